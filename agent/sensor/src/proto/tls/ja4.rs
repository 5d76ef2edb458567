//! JA4, the fingerprint of a TLS client (`FoxIO`'s technical details, BSD-3; none of the other JA4+ methods).
//!
//! The first letter says what carries the handshake: `t` TCP, `q` QUIC, `d` DTLS.

use core::fmt::Write as _;

use sekimori_wire::id::Digest;

use super::hello::{ALPN, ClientFields, SERVER_NAME};
use crate::proto::digits::push_hex;

/// Two digits are all that a count has.
const COUNT_MAX: usize = 99;
/// Hexadecimal digits of a SHA-256 that are kept.
const HASH_LEN: usize = 12;

pub(super) fn fingerprint(fields: &ClientFields<'_>, carrier: char) -> String {
    let mut text = String::with_capacity(36);
    let server_name = if fields.kinds().any(|kind| kind == SERVER_NAME) { 'd' } else { 'i' };
    let ciphers = fields.ciphers.len().min(COUNT_MAX);
    let extensions = fields.kinds().count().min(COUNT_MAX);
    let (first, last) = alpn_ends(fields.protocols.first().copied().unwrap_or_default());
    // Writing to a String cannot fail.
    let version = version(fields.version);
    write!(text, "{carrier}{version}{server_name}{ciphers:02}{extensions:02}{first}{last}_")
        .unwrap_or_default();

    let mut sorted = fields.ciphers.clone();
    sorted.sort_unstable();
    text.push_str(&hash(&hex_list(&sorted)));

    sorted.clear();
    sorted.extend(fields.kinds().filter(|kind| ![SERVER_NAME, ALPN].contains(kind)));
    sorted.sort_unstable();
    let mut list = hex_list(&sorted);
    if !fields.signature_algorithms.is_empty() {
        list.push('_');
        list.push_str(&hex_list(&fields.signature_algorithms));
    }
    text.push('_');
    text.push_str(&if sorted.is_empty() { hash("") } else { hash(&list) });
    text
}

const fn version(version: u16) -> &'static str {
    match version {
        0x0304 => "13",
        0x0303 => "12",
        0x0302 => "11",
        0x0301 => "10",
        0x0300 => "s3",
        0x0002 => "s2",
        0xfeff => "d1",
        0xfefd => "d2",
        0xfefc => "d3",
        _ => "00",
    }
}

/// First and last character of the first protocol. Where either is no letter or digit, the specification takes the
/// hexadecimal form; but both reference implementations write 9 for a byte beyond ASCII, and fingerprints are for comparing.
fn alpn_ends(alpn: &[u8]) -> (char, char) {
    let (Some(first), Some(last)) = (alpn.first(), alpn.last()) else { return ('0', '0') };
    let digit = |nibble: u8| char::from_digit(nibble.into(), 16).unwrap_or('0');
    if !first.is_ascii() || !last.is_ascii() {
        let or_nine = |byte: u8| if byte.is_ascii_alphanumeric() { char::from(byte) } else { '9' };
        return (or_nine(*first), or_nine(*last));
    }
    if first.is_ascii_alphanumeric() && last.is_ascii_alphanumeric() {
        return (char::from(*first), char::from(*last));
    }
    (digit(first >> 4), digit(last & 0xf))
}

fn hex_list(values: &[u16]) -> String {
    let mut list = String::with_capacity(values.len() * 5);
    for value in values {
        if !list.is_empty() {
            list.push(',');
        }
        push_hex(&mut list, &value.to_be_bytes());
    }
    list
}

fn hash(list: &str) -> String {
    if list.is_empty() {
        return "0".repeat(HASH_LEN);
    }
    let mut digits = String::with_capacity(HASH_LEN);
    let digest = Digest::of(list.as_bytes());
    push_hex(&mut digits, digest.as_bytes().first_chunk::<{ HASH_LEN / 2 }>().map_or(&[], |bytes| bytes));
    digits
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The worked example of `FoxIO`'s technical details.
    #[test]
    fn agrees_with_the_specification() {
        let fields = ClientFields {
            version: 0x0304,
            ciphers: vec![
                0x1301, 0x1302, 0x1303, 0xc02b, 0xc02f, 0xc02c, 0xc030, 0xcca9, 0xcca8, 0xc013, 0xc014,
                0x009c, 0x009d, 0x002f, 0x0035,
            ],
            extensions: [
                0x001b, 0x0000, 0x0033, 0x0010, 0x4469, 0x0017, 0x002d, 0x000d, 0x0005, 0x0023, 0x0012,
                0x002b, 0xff01, 0x000b, 0x000a, 0x0015,
            ]
            .map(|kind| (kind, &[][..]))
            .to_vec(),
            signature_algorithms: vec![0x0403, 0x0804, 0x0401, 0x0503, 0x0805, 0x0501, 0x0806, 0x0601],
            protocols: vec![b"h2"],
            ..ClientFields::default()
        };
        assert_eq!(fingerprint(&fields, 't'), "t13d1516h2_8daaf6152771_e5627efa2ab1");
    }

    #[test]
    fn says_zero_where_there_is_nothing() {
        assert_eq!(fingerprint(&ClientFields::default(), 'q'), "q00i000000_000000000000_000000000000");
    }

    #[test]
    fn the_ends_of_a_protocol_name() {
        for (alpn, expected) in [
            (&b"h2"[..], ('h', '2')),
            (b"http/1.1", ('h', '1')),
            (b"x", ('x', 'x')),
            (b"\xab", ('9', '9')),
            (b"\xab\xcd", ('9', '9')),
            (b"h\xab", ('h', '9')),
            (b"\x0a\x1a", ('0', 'a')),
            (b"h.", ('6', 'e')),
            (b"", ('0', '0')),
        ] {
            assert_eq!(alpn_ends(alpn), expected, "{alpn:x?}");
        }
    }
}
