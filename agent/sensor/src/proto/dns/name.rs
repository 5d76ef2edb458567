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
pub(super) fn read(message: &[u8], mut at: usize) -> Option<Box<str>> {
    let mut text = String::with_capacity(64);
    let (mut start, mut wire, mut pointers) = (at, 0, 0);
    loop {
        let n = usize::from(*message.get(at)?);
        match n {
            0 => return Some(text.into_boxed_str()),
            1..=63 => {
                wire += n + 1;
                let label = message.get(at + 1..at + 1 + n).filter(|_| wire < NAME_MAX)?;
                if !text.is_empty() {
                    text.push('.');
                }
                label.iter().for_each(|byte| push_escaped(&mut text, *byte));
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
