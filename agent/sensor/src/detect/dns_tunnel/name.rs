//! How much a name can carry.

/// Bytes of a name below its domain (dots left out, escapes as the byte they stand for), and the bits they can carry.
pub(super) fn information(below: &str) -> (u64, u64) {
    let (mut bytes, mut alphabet) = (0, Alphabet::Digits);
    let mut rest = below.bytes();
    while let Some(byte) = rest.next() {
        match byte {
            b'.' => continue,
            // RFC 4343: \DDD is one byte of any value, \x the character x.
            b'\\' => {
                if rest.next().is_some_and(|byte| byte.is_ascii_digit()) {
                    rest.next();
                    rest.next();
                }
                alphabet = Alphabet::Bytes;
            }
            b'0'..=b'9' => {}
            b'a'..=b'f' => alphabet = alphabet.max(Alphabet::Hex),
            b'g'..=b'z' | b'-' | b'_' => alphabet = alphabet.max(Alphabet::Letters),
            _ => alphabet = alphabet.max(Alphabet::Mixed),
        }
        bytes += 1;
    }
    (bytes, bytes * alphabet.centibits() / 100)
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Alphabet {
    Digits,
    Hex,
    Letters,
    Mixed,
    Bytes,
}

impl Alphabet {
    /// log2 of its size, in hundredths.
    const fn centibits(self) -> u64 {
        match self {
            Self::Digits => 332,
            Self::Hex => 400,
            Self::Letters => 525,
            Self::Mixed => 600,
            Self::Bytes => 800,
        }
    }
}

/// Record types whose answers return data of any shape: CNAME, NULL, MX, TXT, SRV, KEY and private ones.
pub(super) const fn carries_data(qtype: u16) -> bool {
    matches!(qtype, 5 | 10 | 15 | 16 | 25 | 33 | 65_280..=65_534)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_count_as_one_byte_and_the_alphabet_decides() {
        assert_eq!(information("1234"), (4, 13));
        assert_eq!(information("12.ab"), (4, 16));
        assert_eq!(information("w-w"), (3, 15));
        assert_eq!(information(r"a\255\."), (3, 24));
        assert_eq!(information(""), (0, 0));
    }
}
