//! NTLM messages (MS-NLMP) within SPNEGO or bare: names and versions; responses and keys are never kept.

use super::reader::Reader;
use crate::event::ntlm::{Ntlm, NtlmAnswer, NtlmClient};

const SIGNATURE: &[u8] = b"NTLMSSP\0";
const AUTHENTICATE: u32 = 3;
const UNICODE: u32 = 1;
const HAS_VERSION: u32 = 0x0200_0000;
/// Length of an answer of version 1.
const ANSWER_V1: u16 = 24;
/// Characters of a name that are kept.
const NAME_MAX: usize = 256;

/// What a token says of NTLM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Message {
    /// Negotiation or challenge: names come later.
    Early,
    /// The client named itself.
    Authenticate(Ntlm),
    /// It contradicts itself.
    Malformed,
}

/// The NTLM message in a token, if it has one.
pub(super) fn find(token: &[u8]) -> Option<Message> {
    let at = token.windows(SIGNATURE.len()).position(|window| window == SIGNATURE)?;
    let message = token.get(at..)?;
    let mut reader = Reader(message.get(SIGNATURE.len()..)?);
    match reader.u32_le() {
        Some(AUTHENTICATE) => Some(authenticate(message).map_or(Message::Malformed, Message::Authenticate)),
        Some(1 | 2) => Some(Message::Early),
        Some(_) | None => Some(Message::Malformed),
    }
}

fn authenticate(message: &[u8]) -> Option<Ntlm> {
    let mut reader = Reader(message.get(12..)?);
    let lm = field(&mut reader)?;
    let nt = field(&mut reader)?;
    let names = [field(&mut reader)?, field(&mut reader)?, field(&mut reader)?];
    let _key = field(&mut reader);
    let flags = reader.u32_le().unwrap_or(UNICODE);
    let mut version = None;
    if flags & HAS_VERSION != 0
        && let Some([major, minor, low, high, _, _, _, revision]) = reader.array()
    {
        version = Some(NtlmClient { major, minor, build: u16::from_le_bytes([low, high]), revision });
    }
    let name = |(length, at): (u16, u32)| {
        let at = usize::try_from(at).ok()?;
        let bytes = message.get(at..at.checked_add(length.into())?)?;
        Some(text(bytes, flags & UNICODE != 0, NAME_MAX))
    };
    let [domain, user, host] = names;
    let answer = match (nt.0, lm.0) {
        (0, 0 | 1) => NtlmAnswer::Anonymous,
        (0..=ANSWER_V1, _) => NtlmAnswer::V1,
        _ => NtlmAnswer::V2,
    };
    Some(Ntlm { domain: name(domain)?, user: name(user)?, host: name(host)?, version, answer })
}

/// Length and offset of a field.
fn field(reader: &mut Reader<'_>) -> Option<(u16, u32)> {
    let (length, _room, at) = (reader.u16_le()?, reader.u16_le()?, reader.u32_le()?);
    Some((length, at))
}

/// Text of UTF-16 (low byte first) or of one byte each, at most `max` characters, up to the first NUL at the end.
pub(super) fn text(bytes: &[u8], unicode: bool, max: usize) -> Box<str> {
    let mut text: String = if unicode {
        let pairs = bytes.as_chunks::<2>().0.iter().map(|pair| u16::from_le_bytes(*pair));
        char::decode_utf16(pairs).take(max).map(|one| one.unwrap_or(char::REPLACEMENT_CHARACTER)).collect()
    } else {
        let cut = bytes.get(..max).unwrap_or(bytes);
        String::from_utf8_lossy(cut).into_owned()
    };
    text.truncate(text.trim_end_matches('\0').len());
    text.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An AUTHENTICATE message by hand: domain D, user Ann, host PC, version 6.1.7601, an answer of `answer` bytes.
    pub(in crate::proto) fn message(answer: u16) -> Vec<u8> {
        let mut bytes = b"NTLMSSP\0\x03\x00\x00\x00".to_vec();
        let mut put = |length: u16, at: u32| {
            bytes.extend(length.to_le_bytes());
            bytes.extend(length.to_le_bytes());
            bytes.extend(at.to_le_bytes());
        };
        put(0, 72);
        put(answer, 84);
        put(2, 72);
        put(6, 74);
        put(4, 80);
        put(0, 72);
        bytes.extend((UNICODE | HAS_VERSION).to_le_bytes());
        bytes.extend([6, 1, 0xb1, 0x1d, 0, 0, 0, 15]);
        bytes.extend(b"D\0A\0n\0n\0P\0C\0");
        bytes.resize(84 + usize::from(answer), 0xaa);
        bytes
    }

    #[test]
    fn names_and_version_are_read() {
        let spnego = [b"\xa1\x81\x99\x30\x81\x96\xa2\x81\x93\x04\x81\x90", &message(100)[..]].concat();
        let Some(Message::Authenticate(ntlm)) = find(&spnego) else { panic!("{:?}", find(&spnego)) };
        assert_eq!((&*ntlm.domain, &*ntlm.user, &*ntlm.host), ("D", "Ann", "PC"));
        assert_eq!(ntlm.version, Some(NtlmClient { major: 6, minor: 1, build: 7601, revision: 15 }));
        assert_eq!(ntlm.answer, NtlmAnswer::V2);
    }

    #[test]
    fn the_length_of_the_answer_shows_the_version() {
        for (length, answer) in [(0, NtlmAnswer::Anonymous), (24, NtlmAnswer::V1), (25, NtlmAnswer::V2)] {
            let Some(Message::Authenticate(ntlm)) = find(&message(length)) else { panic!("{length}") };
            assert_eq!(ntlm.answer, answer);
        }
    }

    #[test]
    fn a_name_outside_the_message_is_malformed() {
        let mut bytes = message(24);
        bytes[36] = 0xff;
        assert_eq!(find(&bytes), Some(Message::Malformed));
        assert_eq!(find(b"NTLMSSP\0\x02\0\0\0"), Some(Message::Early));
        assert_eq!(find(b"NTLMSSP\0\x09\0\0\0"), Some(Message::Malformed));
        assert_eq!(find(b"NTLM"), None);
    }

    #[test]
    fn text_is_bounded() {
        assert_eq!(&*text(b"a\0b\0\0\0", true, 10), "ab");
        assert_eq!(&*text(&[0x42; 1000], false, 4), "BBBB");
        assert_eq!(&*text(b"\x00\xd8", true, 4), "\u{fffd}");
    }
}
