//! Rules for datagrams.

use core::net::{IpAddr, Ipv4Addr};

use super::super::reader::Reader;
use crate::proto::{Guess, Hint};

/// RFC 8489, 5.
const STUN_COOKIE: u32 = 0x2112_a442;
/// Ports of RADIUS: registered, of old, and for changes (RFC 2865, 2866, 5176).
const RADIUS_PORTS: [u16; 6] = [1812, 1813, 1645, 1646, 3799, 1700];
const IKE_PORTS: [u16; 2] = [500, 4500];
const SSDP_PORT: u16 = 1900;
const SLP_PORT: u16 = 427;
/// Ports that peers of `BitTorrent` choose first.
const BITTORRENT_PORTS: [u16; 9] = [6881, 6882, 6883, 6884, 6885, 6886, 6887, 6888, 6889];

pub(super) fn stun(_hint: &Hint<'_>, bytes: &[u8]) -> Guess {
    is_stun(bytes).into()
}

/// A header with the cookie, and attributes as long as it says (RFC 8489, 5).
pub(super) fn is_stun(bytes: &[u8]) -> bool {
    let mut reader = Reader(bytes);
    let read = (|| Some((reader.u16()?, reader.u16()?, reader.u32()?)))();
    read.is_some_and(|(kind, length, cookie)| {
        kind < 0x4000 && length % 4 == 0 && cookie == STUN_COOKIE && usize::from(length) + 20 <= bytes.len()
    })
}

/// How a message with data begins.
pub(in crate::proto) const WIREGUARD_DATA: [u8; 4] = [4, 0, 0, 0];

/// The messages have fixed lengths, but for the one with data (`WireGuard`, 5.4).
pub(super) fn wireguard(hint: &Hint<'_>, bytes: &[u8]) -> Guess {
    let is_data = |bytes: &[u8]| {
        bytes.starts_with(&WIREGUARD_DATA) && bytes.len() >= 32 && bytes.len().is_multiple_of(16)
    };
    let [kind, 0, 0, 0, ..] = bytes else { return Guess::No };
    match (kind, bytes.len()) {
        (1, 148) | (2, 92) => Guess::Yes,
        // Only where the other side sent some too: what is kept of it says the type, not the length.
        (4, _) => (is_data(bytes) && hint.other.starts_with(&WIREGUARD_DATA)).into(),
        _ => Guess::No,
    }
}

pub(super) fn openvpn(_hint: &Hint<'_>, bytes: &[u8]) -> Guess {
    is_openvpn_reset(bytes).into()
}

/// A hard reset of either side, which begins every session, plain or with an HMAC of a usual length (`OpenVPN`, "Network
/// protocol"; `ssl_pkt.h`).
pub(super) fn is_openvpn_reset(bytes: &[u8]) -> bool {
    /// Operation and the sender's session.
    const HEAD: usize = 1 + 8;
    /// Number and time of a packet that is protected.
    const REPLAY: usize = 4 + 4;
    /// MD5, SHA-1, SHA-224, SHA-256, SHA-384, SHA-512.
    const HMACS: [usize; 6] = [16, 20, 28, 32, 48, 64];
    // Acknowledgements (none, or one with whom it is for), then the number of this packet: the first.
    let tail: &[usize] = match bytes.first() {
        Some(0x38) => &[1 + 4],
        Some(0x40) => &[1 + 4 + 8 + 4, 1 + 4],
        Some(_) | None => return false,
    };
    let word = |at: usize| {
        let bytes = bytes.get(at..)?.first_chunk()?;
        Some(u32::from_be_bytes(*bytes))
    };
    tail.iter().any(|tail| {
        let Some(at) = bytes.len().checked_sub(*tail) else { return false };
        let acknowledged = if *tail == 5 { Some(&0) } else { Some(&1) };
        let is_plain = bytes.get(at) == acknowledged
            && word(bytes.len() - 4) == Some(0)
            && (*tail == 5 || word(at + 1) == Some(0));
        let hmac = at.checked_sub(HEAD + REPLAY).filter(|hmac| HMACS.contains(hmac));
        let is_signed = hmac.is_some_and(|hmac| matches!(word(HEAD + hmac), Some(0..=16)));
        // tls-crypt: the number and the time stand in front, the rest is encrypted.
        let is_crypted = hmac == Some(32) && matches!(word(HEAD), Some(1..=16 | 0x0f00_0001));
        is_plain && (at == HEAD || is_signed) || is_crypted
    })
}

/// `UPnP` Device Architecture, 1.3. Answers come from any port: they are told by their search target.
pub(super) fn ssdp(hint: &Hint<'_>, bytes: &[u8]) -> Guess {
    /// Bytes of a head in which a field is looked for.
    const HEAD_MAX: usize = 1024;
    if bytes.starts_with(b"HTTP/1.1 200 OK\r\n") {
        let head = bytes.get(..HEAD_MAX).unwrap_or(bytes);
        return head.windows(5).any(|field| field.eq_ignore_ascii_case(b"\r\nst:")).into();
    }
    let begins = bytes.starts_with(b"M-SEARCH * HTTP/1.1") || bytes.starts_with(b"NOTIFY * HTTP/1.1");
    (begins && hint.on_port(&[SSDP_PORT])).into()
}

/// RFC 2865, 3: a known code and a length that fits; what is behind it is padding.
pub(super) fn radius(hint: &Hint<'_>, bytes: &[u8]) -> Guess {
    let [1..=5 | 11..=13 | 40..=45, _, high, low, ..] = bytes else { return Guess::No };
    let length = usize::from(u16::from_be_bytes([*high, *low]));
    (hint.on_port(&RADIUS_PORTS) && length >= 20 && length <= bytes.len()).into()
}

/// RFC 7296, 3.1, on port 4500 behind four zero bytes (RFC 3948, 2.2); also version 1 (RFC 2408).
pub(super) fn ike(hint: &Hint<'_>, bytes: &[u8]) -> Guess {
    let message = bytes.strip_prefix(&[0; 4]).filter(|_| hint.on_port(&[4500])).unwrap_or(bytes);
    let mut reader = Reader(message);
    let read = (|| {
        let _cookies = reader.take(17)?;
        let (version, exchange, _flags, _id) = (reader.u8()?, reader.u8()?, reader.u8()?, reader.u32()?);
        Some((version, exchange, reader.u32()?))
    })();
    let is_one = read.is_some_and(|(version, exchange, length)| {
        let known = matches!((version, exchange), (0x10, 1..=6 | 32 | 33) | (0x20, 34..=44));
        known && usize::try_from(length).is_ok_and(|length| length == message.len())
    });
    (hint.on_port(&IKE_PORTS) && is_one).into()
}

/// RFC 2608, 8 (version 2) and RFC 2165, 8 (version 1).
pub(super) fn slp(hint: &Hint<'_>, bytes: &[u8]) -> Guess {
    let mut reader = Reader(bytes);
    let read = (|| {
        let (version, function) = (reader.u8()?, reader.u8()?);
        Some((version, function, if version == 2 { reader.u24()? } else { reader.u16()?.into() }))
    })();
    let is_one = read.is_some_and(|(version, function, length)| {
        matches!((version, function), (1, 1..=10) | (2, 1..=11)) && length == bytes.len()
    });
    (hint.on_port(&[SLP_PORT]) && is_one).into()
}

/// RFC 1002, 4.4: a datagram that repeats its sender's address.
pub(super) fn netbios(hint: &Hint<'_>, bytes: &[u8]) -> Guess {
    const PORT: u16 = 138;
    let ends = [hint.flow.originator.address, hint.flow.responder.address];
    let is_one = match bytes {
        [0x10..=0x16, _, _, _, a, b, c, d, _, _, ..] => {
            ends.contains(&IpAddr::V4(Ipv4Addr::new(*a, *b, *c, *d)))
        }
        _ => false,
    };
    (is_one && hint.on_port(&[PORT])).into()
}

/// Peers over uTP (BEP 29), a tracker (BEP 15), or the search on the local network (BEP 14).
pub(super) fn bittorrent(hint: &Hint<'_>, bytes: &[u8]) -> Guess {
    if bytes.starts_with(b"BT-SEARCH * HTTP/1.1\r\n") {
        return Guess::Yes;
    }
    // Protocol identifier, action 0: connect.
    if bytes.len() == 16 && bytes.starts_with(&[0, 0, 0x04, 0x17, 0x27, 0x10, 0x19, 0x80, 0, 0, 0, 0]) {
        return Guess::Yes;
    }
    let [kind, extension @ 0..=2, ..] = bytes else { return Guess::No };
    let word = |at: usize| bytes.get(at..)?.first_chunk().map(|word| u16::from_be_bytes(*word));
    match kind {
        // The first packet has number 1 and acknowledges nothing.
        0x41 => (bytes.len() == 20 && *extension == 0 && word(16) == Some(1) && word(18) == Some(0)).into(),
        0x01 | 0x11 | 0x21 => (bytes.len() >= 20 && hint.on_port(&BITTORRENT_PORTS)).into(),
        _ => Guess::No,
    }
}

/// A long header with a version that was in use (RFC 9000, 17.2), or Google's own form before it.
pub(super) fn quic(_hint: &Hint<'_>, bytes: &[u8]) -> Guess {
    /// RFC 9000, 17.2.
    const CONNECTION_MAX: usize = 20;
    let is_google = |version: &[u8]| matches!(version, [b'Q' | b'T', b'0', b'0'..=b'9', b'0'..=b'9']);
    let mut reader = Reader(bytes);
    let Some(first) = reader.u8() else { return Guess::No };
    if first & 0xc0 == 0xc0 {
        let read = (|| Some((reader.take(4)?, reader.0)))();
        let Some((version, ids)) = read else { return Guess::No };
        let known = is_google(version)
            || matches!(
                version,
                [0, 0, 0, 1] | [0x6b, 0x33, 0x43, 0xcf] | [0xff, 0, 0, 0x17..=0x22] | [0xfa, 0xce, 0xb0, _]
            );
        // Google's versions up to Q048 put both lengths into one byte.
        let fits = match ids {
            [0x50 | 0x05, ..] => is_google(version),
            [one, ..] => usize::from(*one) <= CONNECTION_MAX,
            [] => false,
        };
        return (known && fits).into();
    }
    // Version and a connection of eight bytes in the flags, then both (QUIC wire layout, "Public Header").
    let is_public = first & 0xc9 == 0x09;
    let version = reader.take(8).and_then(|_connection| reader.take(4));
    (is_public && version.is_some_and(is_google)).into()
}

/// Whole records up to the end of the datagram, of a known type, version and epoch (RFC 6347, 4.1).
pub(super) fn dtls(_hint: &Hint<'_>, bytes: &[u8]) -> Guess {
    let mut reader = Reader(bytes);
    while !reader.0.is_empty() {
        let read = (|| {
            let (kind, version) = (reader.u8()?, reader.u16()?);
            let (epoch, _sequence) = (reader.u16()?, reader.take(6)?);
            Some((kind, version, epoch, reader.vec16()?))
        })();
        let fits = read.is_some_and(|(kind, version, epoch, record)| {
            matches!((kind, version), (20..=23, 0xfeff | 0xfefd | 0x0100))
                && epoch < 16
                && !record.0.is_empty()
        });
        if !fits {
            return Guess::No;
        }
    }
    (!bytes.is_empty()).into()
}
