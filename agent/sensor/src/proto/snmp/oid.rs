//! Object identifiers as dotted numbers (ITU-T X.690, 8.19).

use core::fmt::Write as _;

/// Numbers of an identifier that are kept (RFC 2578, 3.5).
const NUMBERS_MAX: usize = 128;

/// Content of an OBJECT IDENTIFIER as text; what is too long or cut is left out.
pub(super) fn dotted(content: &[u8]) -> Box<str> {
    let (mut text, mut number, mut count) = (String::new(), 0_u64, 0);
    for byte in content {
        number = number.saturating_mul(128) | u64::from(byte & 0x7f);
        if byte & 0x80 != 0 {
            continue;
        }
        if count == 0 {
            // The first two numbers share one: 40 · x + y, x at most 2.
            let first = (number / 40).min(2);
            text.push_str(&format!("{first}.{}", number - first * 40));
        } else {
            let _always_ok = write!(text, ".{number}");
        }
        (number, count) = (0, count + 1);
        if count == NUMBERS_MAX {
            break;
        }
    }
    text.into()
}

#[cfg(test)]
mod tests {
    use super::dotted;

    #[test]
    fn writes_identifiers() {
        for (content, expected) in [
            (&b"\x2b\x06\x01\x02\x01\x01\x01\x00"[..], "1.3.6.1.2.1.1.1.0"),
            (b"\x2a\x86\x48\x86\xf7\x0d", "1.2.840.113549"),
            (b"\x88\x37\x03", "2.999.3"),
            (b"\x00", "0.0"),
            (b"", ""),
            (b"\x2b\x86", "1.3"),
        ] {
            assert_eq!(&*dotted(content), expected);
        }
    }

    #[test]
    fn long_identifiers_are_cut() {
        assert_eq!(dotted(&[0x2b; 60_000]).split('.').count(), super::NUMBERS_MAX + 1);
        assert!(dotted(&[0xff; 60_000]).is_empty());
    }
}
