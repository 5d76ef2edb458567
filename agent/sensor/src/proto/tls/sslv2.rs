//! The hellos of SSL 2: its own, and the form in which clients of SSL 3 and TLS 1.0 once offered them (RFC 5246, E.2).

use super::handshake::Handshake;
use super::hello::ClientFields;
use crate::proto::reader::Reader;
use crate::proto::{Guess, Side, Sink};

/// Length in two bytes, the highest bit set.
pub(super) const HEADER: usize = 2;
const CLIENT_HELLO: u8 = 1;
const SERVER_HELLO: u8 = 4;
const VERSION_2: u16 = 2;

pub(super) const fn length([high, low]: [u8; 2]) -> usize {
    u16::from_be_bytes([high & 0x7f, low]) as usize
}

/// A hello of a client whose lengths add up.
pub(super) fn recognise(bytes: &[u8]) -> Guess {
    let Some((&header, body)) = bytes.split_first_chunk() else {
        return if bytes.first().is_some_and(|first| first & 0x80 != 0) { Guess::More } else { Guess::No };
    };
    if header[0] & 0x80 == 0 {
        return Guess::No;
    }
    let fits = |at: usize, holds: &dyn Fn(u8) -> bool| body.get(at).copied().is_none_or(holds);
    let plausible = fits(0, &|kind| kind == CLIENT_HELLO)
        && fits(1, &|major| major == 0 || major == 3)
        && fits(2, &|minor| minor <= 4);
    if !plausible {
        return Guess::No;
    }
    let Some(lengths) = body.get(3..9) else { return Guess::More };
    let mut lengths = Reader(lengths).u16s().map(usize::from);
    let (ciphers, session, challenge) = (
        lengths.next().unwrap_or_default(),
        lengths.next().unwrap_or_default(),
        lengths.next().unwrap_or_default(),
    );
    let adds_up = ciphers > 0
        && ciphers % 3 == 0
        && [0, 16, 32].contains(&session)
        && (16..=32).contains(&challenge)
        && length(header) == 9 + ciphers + session + challenge;
    adds_up.into()
}

/// Reads a hello without its header; false if it is none.
pub(super) fn read(side: Side, body: &[u8], handshake: &mut Handshake, sink: &mut Sink<'_>) -> bool {
    let mut reader = Reader(body);
    match reader.u8() {
        Some(CLIENT_HELLO) => {
            let Some(fields) = client(reader) else { return false };
            handshake.hello_of_client(side, &fields, 't', sink);
            true
        }
        Some(SERVER_HELLO) => {
            let Some(cipher) = server(reader) else { return false };
            handshake.hello_of_version_2(side, VERSION_2, cipher, sink);
            true
        }
        Some(_) | None => false,
    }
}

fn client(mut reader: Reader<'_>) -> Option<ClientFields<'_>> {
    let version = reader.u16()?;
    let (ciphers, session, _challenge) = (reader.u16()?, reader.u16()?, reader.u16()?);
    let ciphers = reader.take(ciphers.into())?.as_chunks::<3>().0;
    let session = reader.take(session.into())?;
    // Ciphers of SSL 2 alone have a first byte.
    let ciphers =
        ciphers.iter().filter(|[first, ..]| *first == 0).map(|[_, a, b]| u16::from_be_bytes([*a, *b]));
    Some(ClientFields {
        legacy_version: version,
        version,
        session,
        ciphers: ciphers.collect(),
        ..ClientFields::default()
    })
}

/// The first cipher that the server has in common.
fn server(mut reader: Reader<'_>) -> Option<u16> {
    let (_hit, _kind, version) = (reader.u8()?, reader.u8()?, reader.u16()?);
    let (certificate, ciphers, _connection) = (reader.u16()?, reader.u16()?, reader.u16()?);
    let _certificate = reader.take(certificate.into())?;
    let ciphers = reader.take(ciphers.into())?;
    let first = ciphers.first_chunk::<3>().map_or(0, |[_, a, b]| u16::from_be_bytes([*a, *b]));
    (version == VERSION_2).then_some(first)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn recognises_a_hello_whose_lengths_add_up() {
        let mut hello = b"\x80\x2e\x01\x03\x01\x00\x15\x00\x00\x00\x10".to_vec();
        hello.extend([0; 0x15 + 0x10]);
        for n in 1..11 {
            assert_eq!(recognise(&hello[..n]), Guess::More, "{n}");
        }
        assert_eq!(recognise(&hello), Guess::Yes);
        hello[1] = 0x2f;
        assert_eq!(recognise(&hello), Guess::No);
        assert_eq!(recognise(b"GET / HTTP/1.1"), Guess::No);
    }
}
