//! Google's QUIC before the standard: versions Q024 to Q050, whose hello (`CHLO`) is a table of tags in clear text or
//! under keys that anyone can derive.

use crate::proto::reader::Reader;

const HELLO: &[u8; 4] = b"CHLO";
/// Tags of a hello that are looked at.
const TAGS_MAX: usize = 128;
/// Behind the start of a packet a hello begins within this many bytes: header, hash, and header of its frame.
const BEFORE_HELLO_MAX: usize = 64;

/// What a hello says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Hello<'a> {
    pub(super) server_name: Option<&'a [u8]>,
    pub(super) user_agent: Option<&'a [u8]>,
}

/// The version of a packet with Google's own header: `Q043`.
pub(super) fn version(bytes: &[u8]) -> Option<u32> {
    const HAS_VERSION: u8 = 0x01;
    const HAS_CONNECTION: u8 = 0x08;
    let first = *bytes.first()?;
    if first & 0xc0 != 0 || first & (HAS_VERSION | HAS_CONNECTION) != HAS_VERSION | HAS_CONNECTION {
        return None;
    }
    let version = bytes.get(9..)?.first_chunk()?;
    is_version(version).then(|| u32::from_be_bytes(*version))
}

/// `Q046`, `T051`.
pub(super) fn is_version(version: &[u8; 4]) -> bool {
    matches!(version, [b'Q' | b'T', b'0', tens, ones] if tens.is_ascii_digit() && ones.is_ascii_digit())
}

/// The hello in a packet that is not encrypted.
pub(super) fn hello_within(packet: &[u8]) -> Option<Hello<'_>> {
    let start = packet.get(..BEFORE_HELLO_MAX).unwrap_or(packet);
    let at = start.windows(HELLO.len()).position(|four| four == HELLO)?;
    hello(packet.get(at..)?)
}

/// The hello that `bytes` begin with; values that are cut are left out.
pub(super) fn hello(bytes: &[u8]) -> Option<Hello<'_>> {
    let mut reader = Reader(bytes.strip_prefix(HELLO)?);
    let count = u16::from_le_bytes(reader.take(2)?.try_into().ok()?);
    let _padding = reader.u16()?;
    let count = usize::from(count).min(TAGS_MAX);
    let table = reader.take(count.checked_mul(8)?)?.as_chunks::<8>().0;
    let mut hello = Hello::default();
    let mut from = 0;
    for [a, b, c, d, end @ ..] in table {
        let end = usize::try_from(u32::from_le_bytes(*end)).ok()?;
        let value = reader.0.get(from..end);
        match &[*a, *b, *c, *d] {
            b"SNI\0" => hello.server_name = value,
            b"UAID" => hello.user_agent = value,
            _ => {}
        }
        from = end;
    }
    Some(hello)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_tags_of_a_hello() {
        let mut packet = b"\x0d\x01\x02\x03\x04\x05\x06\x07\x08Q043\x01".to_vec();
        packet.extend([0; 20]);
        packet.extend(b"CHLO\x03\0\0\0PAD\0\x02\0\0\0SNI\0\x0d\0\0\0UAID\x13\0\0\0");
        packet.extend(b"--example.orgChrome");
        assert_eq!(version(&packet), Some(u32::from_be_bytes(*b"Q043")));
        let hello = hello_within(&packet).unwrap();
        assert_eq!(hello.server_name, Some(&b"example.org"[..]));
        assert_eq!(hello.user_agent, Some(&b"Chrome"[..]));
        for n in 0..packet.len() {
            let _cut = hello_within(&packet[..n]);
        }
    }
}
