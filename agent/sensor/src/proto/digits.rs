//! Numbers as text: what formatting does as well, at a tenth of its cost; fingerprints are made of hundreds of them.

/// Writes a number with decimal digits.
pub(super) fn push_decimal(text: &mut String, number: u64) {
    /// Digits of the largest number.
    const DIGITS: usize = 20;
    let mut digits = [0_u8; DIGITS];
    let (mut rest, mut used) = (number, 0);
    for digit in digits.iter_mut().rev() {
        *digit = b'0' + u8::try_from(rest % 10).unwrap_or_default();
        (rest, used) = (rest / 10, used + 1);
        if rest == 0 {
            break;
        }
    }
    // Digits are text.
    text.push_str(str::from_utf8(digits.get(DIGITS - used..).unwrap_or_default()).unwrap_or_default());
}

/// Writes bytes with two hexadecimal digits each, lower case.
pub(super) fn push_hex(text: &mut String, bytes: &[u8]) {
    let digit = |nibble: u8| if nibble < 10 { b'0' + nibble } else { b'a' + nibble - 10 };
    text.extend(bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 0xf)]).map(char::from));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writes_what_formatting_writes() {
        for number in [0, 7, 10, 99, 100, 65_535, 1_000_000, u64::MAX] {
            let mut text = String::from("x");
            push_decimal(&mut text, number);
            assert_eq!(text, format!("x{number}"));
        }
        for number in 0..=u16::MAX {
            let mut text = String::new();
            push_hex(&mut text, &number.to_be_bytes());
            assert_eq!(text, format!("{number:04x}"));
        }
    }
}
