//! An authenticator's six digits (RFC 6238), computed apart from the collector's code.

use std::time::{SystemTime, UNIX_EPOCH};

use aws_lc_rs::hmac;

/// The code of this secret in Base32, `ahead` half minutes from now.
pub(crate) fn code_at(secret: &str, ahead: u64) -> String {
    let seconds = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs();
    code_of_step(&from_base32(secret), seconds / 30 + ahead)
}

fn code_of_step(secret: &[u8], step: u64) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, secret);
    let tag = hmac::sign(&key, &step.to_be_bytes());
    let bytes = tag.as_ref();
    let at = usize::from(bytes[bytes.len() - 1] & 0xF);
    let four: [u8; 4] = bytes[at..at + 4].try_into().expect("four bytes");
    format!("{:06}", (u32::from_be_bytes(four) & 0x7FFF_FFFF) % 1_000_000)
}

fn from_base32(text: &str) -> Vec<u8> {
    let (mut out, mut bits, mut held) = (Vec::new(), 0_u32, 0_u32);
    for letter in text.bytes().filter(u8::is_ascii_alphanumeric) {
        let value = match letter {
            b'A'..=b'Z' => letter - b'A',
            b'2'..=b'7' => letter - b'2' + 26,
            _ => panic!("{text} is no Base32"),
        };
        held = held << 5 | u32::from(value);
        bits += 5;
        if bits >= 8 {
            bits -= 8;
            out.push((held >> bits).to_be_bytes()[3]);
        }
    }
    out
}

#[test]
fn codes_are_those_of_the_rfc() {
    let secret = from_base32("GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ");
    assert_eq!(secret, b"12345678901234567890");
    // RFC 6238, appendix B, the last six of its eight digits.
    for (seconds, code) in [(59, "287082"), (1_111_111_109, "081804"), (20_000_000_000, "353130")] {
        assert_eq!(code_of_step(&secret, seconds / 30), code);
    }
}
