//! Whether the registered part of a name looks made by a machine: by letters that do not follow each other in words, vowels that
//! are missing, and digits among letters. One such name proves nothing.

/// Letters that follow each letter in English words, in Japanese written in Latin letters, and in the commoner European languages:
/// all pairs that are not rare in them. Of two letters drawn at random half the pairs are here.
const FOLLOWERS: [&[u8]; 26] = [
    b"bcdefghiklmnprstuvwxyz",   // a
    b"abeijlorsuy",              // b
    b"acehiklorstuy",            // c
    b"adegilmorsuwyz",           // d
    b"abcdefgiklmnopqrstuvwxyz", // e
    b"aefilortuy",               // f
    b"aeghilmnorsuyz",           // g
    b"aeimorstuwy",              // h
    b"abcdefgklmnoprstvz",       // i
    b"aeiou",                    // j
    b"aeiklnorstuyz",            // k
    b"abcdefgiklmopstuvy",       // l
    b"abeimnopsuy",              // m
    b"abcdefgiknostuvyz",        // n
    b"abcdefghiklmnoprstuvwxyz", // o
    b"aehiloprstuy",             // p
    b"u",                        // q
    b"abcdefghiklmnoprstuvyz",   // r
    b"acehiklmnopqrstuwyz",      // s
    b"acehilmorstuvwyz",         // t
    b"abcdefgiklmnoprstxyz",     // u
    b"aeiouy",                   // v
    b"adehilnorsy",              // w
    b"aceilptuy",                // x
    b"abcdeilmnoprstu",          // y
    b"acehiouwyz",               // z
];
/// Shorter names look like anything.
const LENGTH_MIN: usize = 7;
/// Letters that are judged by how they follow each other.
const LETTERS_MIN: usize = 8;
/// A third of the pairs are rare: words have next to none, random letters half.
const RARE_PERCENT: usize = 30;
/// Digits that begin or end within letters so often: a year or a number in a name does it once or twice.
const ALTERNATIONS_MIN: usize = 3;
/// Consonants in a row that no word has (nDPI: too few vowels; Maltrail asks for more than nine in all).
const CONSONANTS_RUN: usize = 7;

/// The registered part of a domain (`name.suffix`) looks made by a machine.
pub(in crate::detect) fn looks_generated(domain: &str) -> bool {
    let label = domain.split('.').next().unwrap_or_default().as_bytes();
    // Hyphens join words, and `xn--` is a name in another script.
    if label.len() < LENGTH_MIN || !label.iter().all(u8::is_ascii_alphanumeric) {
        return false;
    }
    let letters: Vec<u8> =
        label.iter().filter(|byte| byte.is_ascii_alphabetic()).map(u8::to_ascii_lowercase).collect();
    let pairs = || label.iter().zip(label.iter().skip(1));
    let alternations = pairs().filter(|(a, b)| a.is_ascii_digit() != b.is_ascii_digit()).count();
    if alternations >= ALTERNATIONS_MIN && letters.len() >= 2 {
        return true;
    }
    if letters.len() < LETTERS_MIN {
        return false;
    }
    let word_pairs = letters.len() - 1;
    let rare = letters.iter().zip(letters.iter().skip(1)).filter(|(a, b)| !follows(**a, **b)).count();
    let vowels = letters.iter().filter(|letter| is_vowel(**letter)).count();
    let run = letters.split(|letter| is_vowel(*letter)).map(<[u8]>::len).max().unwrap_or_default();
    // nDPI: fewer vowels than a quarter of the letters.
    rare * 100 >= word_pairs * RARE_PERCENT
        || (vowels * 4 < letters.len() && rare > 0)
        || run >= CONSONANTS_RUN
}

fn follows(a: u8, b: u8) -> bool {
    FOLLOWERS.get(usize::from(a.wrapping_sub(b'a'))).is_some_and(|after| after.contains(&b))
}

const fn is_vowel(letter: u8) -> bool {
    matches!(letter, b'a' | b'e' | b'i' | b'o' | b'u' | b'y')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_told_from_what_machines_make() {
        for name in [
            "nagasaki-city.example",
            "isahayashi.example",
            "microsoft.com",
            "wikipedia.org",
            "kumamotoken.jp",
            "christchurch.example",
            "schwarzwald.example",
            "booking2026.com",
            "365online.com",
            "sagamihara.jp",
            "googleusercontent.com",
            "xn--kcry6tjko.jp",
            "short.io",
            "rhythmshop.example",
        ] {
            assert!(!looks_generated(name), "{name}");
        }
        for name in [
            "xjwqkvzptr.com",
            "b7k2m9x4q1.top",
            "hvnqxzgtbwmp.net",
            "kjdfhgqwxlzmva.info",
            "qzxvbnmwlkjh.biz",
        ] {
            assert!(looks_generated(name), "{name}");
        }
    }
}
