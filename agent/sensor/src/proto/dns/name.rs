//! Domain names on the wire (RFC 1035, 3.1 and 4.1.4) and `NetBIOS` names within them (RFC 1001, 14.1).

use core::fmt::Write as _;

use super::super::reader::Reader;

/// Longest name on the wire (RFC 1035, 3.1).
const NAME_MAX: usize = 255;
/// Compression pointers followed for one name: more would be more than it can have labels.
const POINTERS_MAX: usize = 127;
/// No name begins within the header.
const HEADER: usize = 12;

/// Moves behind a name without following its compression pointer.
pub(super) fn skip(reader: &mut Reader<'_>) -> Option<()> {
    loop {
        match reader.u8()? {
            0 => return Some(()),
            n @ 1..=63 => reader.take(n.into())?,
            192..=255 => {
                reader.u8()?;
                return Some(());
            }
            64..=191 => return None,
        };
    }
}

/// The name at `at` in the sender's letters, labels escaped as in RFC 4343, 2.1. A compression pointer must point
/// backwards, so that following them ends.
pub(super) fn read(message: &[u8], at: usize) -> Option<Box<str>> {
    // Nearly every name has nothing to escape: it is put together where it costs nothing, and kept at its length.
    let mut plain = Plain::new();
    labels(message, at, |label| plain.put(label))?;
    if let Some(text) = plain.text() {
        return Some(text.into());
    }
    let mut text = String::with_capacity(2 * NAME_MAX);
    labels(message, at, |label| {
        if !text.is_empty() {
            text.push('.');
        }
        label.iter().for_each(|byte| push_escaped(&mut text, *byte));
    })?;
    Some(text.into_boxed_str())
}

/// Labels with dots between them, as long as nothing in them is to be escaped.
struct Plain {
    /// What is not written yet is plain.
    bytes: [u8; PLAIN_BYTES],
    length: usize,
    dots: u32,
}

/// A name, rounded up to whole words.
const PLAIN_BYTES: usize = 256;
/// A byte in each of a word's.
const EACH: u64 = 0x0101_0101_0101_0101;
/// Their upper bits, and all others.
const HIGH: u64 = 0x80 * EACH;
const LOW: u64 = 0x7f * EACH;

impl Plain {
    const fn new() -> Self {
        Self { bytes: [b'a'; PLAIN_BYTES], length: 0, dots: 0 }
    }

    /// Labels and dots are shorter than a name on the wire, which [`labels`] bounds.
    fn put(&mut self, label: &[u8]) {
        if self.length > 0 {
            if let Some(place) = self.bytes.get_mut(self.length) {
                *place = b'.';
            }
            self.length += 1;
            self.dots += 1;
        }
        let end = self.length + label.len();
        if let Some(room) = self.bytes.get_mut(self.length..end) {
            // Most labels are short: a call would cost more than the loop.
            room.iter_mut().zip(label).for_each(|(to, from)| *to = *from);
            self.length = end;
        }
    }

    /// All of it, if every byte stands for itself. A dot more than labels need stands within one.
    fn text(&self) -> Option<&str> {
        let (mut odd, mut dots) = (0, 0);
        for word in self.bytes.as_chunks().0.iter().take(self.length.div_ceil(8)) {
            let word = u64::from_le_bytes(*word);
            odd |= not_plain(word);
            dots += equal(word, b'.').count_ones();
        }
        let text = self.bytes.get(..self.length).filter(|_| odd == 0 && dots == self.dots)?;
        str::from_utf8(text).ok()
    }
}

/// The upper bit of each byte that is not within 0x21 to 0x7e, or is a backslash. No byte carries into the next.
fn not_plain(word: u64) -> u64 {
    let low = word & LOW;
    let from_0x21 = low + (0x80 - 0x21) * EACH;
    let to_0x7e = low + EACH;
    (word | !from_0x21 | to_0x7e | equal(word, b'\\')) & HIGH
}

/// The upper bit of each byte that is this one.
fn equal(word: u64, byte: u8) -> u64 {
    let differs = word ^ (u64::from(byte) * EACH);
    !(((differs & LOW) + LOW) | differs) & HIGH
}

/// Shows the labels of the name at `at`.
fn labels(message: &[u8], mut at: usize, mut show: impl FnMut(&[u8])) -> Option<()> {
    let (mut start, mut wire, mut pointers) = (at, 0, 0);
    loop {
        let n = usize::from(*message.get(at)?);
        match n {
            0 => return Some(()),
            1..=63 => {
                wire += n + 1;
                show(message.get(at + 1..at + 1 + n).filter(|_| wire < NAME_MAX)?);
                at += 1 + n;
            }
            192..=255 => {
                let to = (n & 0x3f) << 8 | usize::from(*message.get(at + 1)?);
                pointers += 1;
                if to >= start || to < HEADER || pointers > POINTERS_MAX {
                    return None;
                }
                (start, at) = (to, to);
            }
            _ => return None,
        }
    }
}

fn push_escaped(text: &mut String, byte: u8) {
    match byte {
        b'.' | b'\\' => {
            text.push('\\');
            text.push(char::from(byte));
        }
        0x21..=0x7e => text.push(char::from(byte)),
        // Writing to a String cannot fail.
        _ => write!(text, "\\{byte:03}").unwrap_or_default(),
    }
}

/// A `NetBIOS` name in its first-level encoding, without the blanks that fill it and without its suffix; the scope that
/// may follow stays. None if it is not so encoded.
pub(super) fn netbios(name: &str) -> Option<Box<str>> {
    let (encoded, scope) = name.split_at_checked(32)?;
    if !(scope.is_empty() || scope.starts_with('.')) {
        return None;
    }
    let half = |letter: u8| letter.checked_sub(b'A').filter(|half| *half < 16);
    let mut text = String::with_capacity(16);
    let (pairs, _) = encoded.as_bytes().as_chunks::<2>();
    for [high, low] in pairs.iter().take(15) {
        let byte = half(high.to_ascii_uppercase())? << 4 | half(low.to_ascii_uppercase())?;
        match byte {
            b'.' | b' ' => text.push(char::from(byte)),
            0 => text.push('\0'),
            _ => push_escaped(&mut text, byte),
        }
    }
    let kept = text.trim_end_matches([' ', '\0']);
    Some(format!("{kept}{scope}").into_boxed_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn netbios_names_lose_their_filling() {
        let encoded = "FHEPFCELEHFCEPFFFACACACACACACABN";
        assert_eq!(netbios(encoded).as_deref(), Some("WORKGROUP"));
        assert_eq!(netbios(&format!("{encoded}.example.jp")).as_deref(), Some("WORKGROUP.example.jp"));
        assert_eq!(netbios("CKAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA").as_deref(), Some("*"));
        assert_eq!(netbios("www.example.jp"), None);
        assert_eq!(netbios("zzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzz"), None);
    }

    #[test]
    fn the_longest_name_and_an_odd_one_are_whole() {
        let label = |letter: u8, length: u8| [&[length][..], &vec![letter; length.into()]].concat();
        let message = [vec![0; HEADER], [b'a', b'b', b'c'].map(|one| label(one, 63)).concat()].concat();
        for (last, fits) in [(61, true), (62, false)] {
            let message = [&message[..], &label(b'd', last), &[0]].concat();
            let expected = format!(
                "{}.{}.{}.{}",
                "a".repeat(63),
                "b".repeat(63),
                "c".repeat(63),
                "d".repeat(last.into())
            );
            assert_eq!(read(&message, HEADER).as_deref(), fits.then_some(&*expected));
        }
        let odd = [&[0; HEADER][..], b"\x03a.b\x02\\\xe9\x01c\0"].concat();
        assert_eq!(read(&odd, HEADER).as_deref(), Some("a\\.b.\\\\\\233.c"));
    }

    #[test]
    fn every_byte_is_escaped_or_stands_for_itself() {
        for byte in 0..=u8::MAX {
            let message = [&[0; HEADER][..], b"\x04ab", &[byte], b"c\x02de\0"].concat();
            let middle = match byte {
                b'.' | b'\\' => format!("\\{}", char::from(byte)),
                0x21..=0x7e => char::from(byte).to_string(),
                _ => format!("\\{byte:03}"),
            };
            assert_eq!(read(&message, HEADER).as_deref(), Some(&*format!("ab{middle}c.de")));
        }
    }

    #[test]
    fn a_chain_of_pointers_ends() {
        // Each pointer points at the one before it.
        let mut message = vec![0; HEADER];
        message.push(0);
        let mut last = HEADER;
        for _ in 0..4_000 {
            let at = message.len();
            message.extend(u16::try_from(0xc000 | last).unwrap().to_be_bytes());
            last = at;
        }
        assert_eq!(read(&message, last), None);
        assert_eq!(read(&message, HEADER + 1 + 2 * 100).as_deref(), Some(""));
    }
}
