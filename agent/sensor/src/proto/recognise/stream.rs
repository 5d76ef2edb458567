//! Rules for streams.

use super::super::reader::Reader;
use super::datagram::{is_openvpn_reset, is_stun};
use super::starts;
use crate::proto::{Guess, Hint, Side};

/// Bytes of a first line in which a word is looked for.
const LINE_MAX: usize = 512;

/// BEP 3: the handshake between peers.
pub(super) fn bittorrent(_hint: &Hint<'_>, bytes: &[u8]) -> Guess {
    starts(bytes, b"\x13BitTorrent protocol")
}

/// RFC 6143, 7.1.1: `RFB 003.008\n`, the server first.
pub(super) fn rfb(_hint: &Hint<'_>, bytes: &[u8]) -> Guess {
    match starts(bytes, b"RFB 00") {
        Guess::Yes => match bytes.get(..12) {
            Some([.., b'.', _, _, _, b'\n']) => Guess::Yes,
            Some(_) => Guess::No,
            None => Guess::More,
        },
        guess @ (Guess::More | Guess::No) => guess,
    }
}

/// A start-up message, or the question for encryption (`PostgreSQL`, "Message Formats").
pub(super) fn postgres(_hint: &Hint<'_>, bytes: &[u8]) -> Guess {
    let read = |bytes| {
        let mut reader = Reader(bytes);
        Some((reader.u32()?, reader.u32()?))
    };
    match read(bytes) {
        // SSLRequest, GSSENCRequest, CancelRequest.
        Some((8, 80_877_103 | 80_877_104) | (16, 80_877_102)) => Guess::Yes,
        Some((9..=10_000, 0x0003_0000)) => starts(bytes.get(8..).unwrap_or_default(), b"user\0"),
        Some(_) => Guess::No,
        None => {
            if bytes.starts_with(&[0]) {
                Guess::More
            } else {
                Guess::No
            }
        }
    }
}

/// The server's greeting, protocol version 10 (`MySQL`, "`Protocol::HandshakeV10`").
pub(super) fn mysql(_hint: &Hint<'_>, bytes: &[u8]) -> Guess {
    let [low, middle, 0, 0, 10, rest @ ..] = bytes else { return Guess::No };
    let length = usize::from(*low) | usize::from(*middle) << 8;
    let version = rest.split(|byte| *byte == 0).next().unwrap_or_default();
    let is_version = version.first().is_some_and(u8::is_ascii_digit)
        && version.len() < rest.len()
        && version.iter().all(u8::is_ascii_graphic);
    (length + 4 == bytes.len() && is_version).into()
}

/// `JSON-RPC` of mining: a line that names one of its methods.
pub(super) fn stratum(hint: &Hint<'_>, bytes: &[u8]) -> Guess {
    const METHODS: [&[u8]; 6] = [
        b"\"mining.subscribe\"",
        b"\"mining.authorize\"",
        b"\"mining.notify\"",
        b"\"eth_submitLogin\"",
        b"\"eth_getWork\"",
        b"\"eth_submitWork\"",
    ];
    if !bytes.starts_with(b"{") {
        return Guess::No;
    }
    let line = bytes.get(..LINE_MAX).unwrap_or(bytes);
    let has = |word: &[u8]| line.windows(word.len()).any(|part| part == word);
    let logs_in = hint.side == Side::Originator
        && has(b"\"method\":\"login\"")
        && has(b"\"login\":")
        && has(b"\"pass\":");
    (logs_in || METHODS.iter().any(|method| has(method))).into()
}

/// `OP_QUERY` and `OP_MSG` of a client (`MongoDB`, "Wire Protocol").
pub(super) fn mongodb(_hint: &Hint<'_>, bytes: &[u8]) -> Guess {
    let mut reader = Reader(bytes);
    let mut next = || reader.u32().map(u32::swap_bytes);
    let (Some(length), Some(_request), Some(answers), Some(operation), Some(flags)) =
        (next(), next(), next(), next(), next())
    else {
        return Guess::No;
    };
    let fits = usize::try_from(length).is_ok_and(|length| length == bytes.len());
    let body = match operation {
        // The name of a collection has a full stop.
        2004 => reader.0.split(|byte| *byte == 0).next().is_some_and(|name| name.contains(&b'.')),
        2013 => flags & !0x0001_0003 == 0 && matches!(reader.0.first(), Some(0 | 1)),
        _ => false,
    };
    (fits && matches!(answers, 0 | u32::MAX) && body).into()
}

/// A reset with its length before it (`OpenVPN`, "Network protocol").
pub(super) fn openvpn(_hint: &Hint<'_>, bytes: &[u8]) -> Guess {
    let mut reader = Reader(bytes);
    match reader.vec16() {
        Some(packet) => is_openvpn_reset(packet.0).into(),
        None => Guess::No,
    }
}

/// RFC 8489, 6.2.2.
pub(super) fn stun(_hint: &Hint<'_>, bytes: &[u8]) -> Guess {
    is_stun(bytes).into()
}

/// The server took up what the client offered (RFC 1928, 3; SOCKS 4 by Koblas).
pub(super) fn socks(hint: &Hint<'_>, bytes: &[u8]) -> Guess {
    if hint.side == Side::Originator {
        return Guess::No;
    }
    match (hint.other, bytes) {
        ([5, count, methods @ ..], [5, 0..=2 | 0xff]) => {
            let known = methods.iter().all(|method| matches!(method, 0..=9 | 0x80..=0xfe));
            (usize::from(*count) == methods.len() && *count > 0 && known).into()
        }
        ([4, 1 | 2, rest @ ..], [0, 0x5a..=0x5d, answer @ ..]) => {
            (rest.len() >= 7 && rest.ends_with(&[0]) && answer.len() == 6).into()
        }
        _ => Guess::No,
    }
}

/// Apache `JServ` Protocol 1.3: a packet of a known type and of exactly this length.
pub(super) fn ajp(_hint: &Hint<'_>, bytes: &[u8]) -> Guess {
    let (rest, is_known) = match bytes {
        [0x12, 0x34, rest @ ..] => (rest, matches!(rest.get(2), Some(2 | 7 | 8 | 10))),
        [b'A', b'B', rest @ ..] => (rest, matches!(rest.get(2), Some(3..=6 | 9))),
        _ => return Guess::No,
    };
    let mut reader = Reader(rest);
    let fits = reader.vec16().is_some_and(|body| !body.0.is_empty()) && reader.0.is_empty();
    (fits && is_known).into()
}

/// IEC 60870-5-104: an unnumbered control function, the beginning of every connection.
pub(super) fn iec104(_hint: &Hint<'_>, bytes: &[u8]) -> Guess {
    matches!(bytes, [0x68, 4, 0x07 | 0x0b | 0x13 | 0x23 | 0x43 | 0x83, 0, 0, 0]).into()
}

/// `TeamViewer`: both sides' first bytes, or the client's to its port.
pub(super) fn teamviewer(hint: &Hint<'_>, bytes: &[u8]) -> Guess {
    const PORT: u16 = 5938;
    let [first, second, ..] = bytes else { return Guess::No };
    let asks = |bytes: &[u8]| bytes.starts_with(&[0x17, 0x24]);
    match [*first, *second] {
        [0x17, 0x24] => hint.on_port(&[PORT]).into(),
        [0x11, 0x30] => asks(hint.other).into(),
        _ => Guess::No,
    }
}
