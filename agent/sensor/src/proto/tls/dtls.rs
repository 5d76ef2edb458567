//! DTLS 1.0 to 1.3 (RFC 4347, RFC 6347, RFC 9147): handshakes in datagrams.

use super::handshake::Handshake;
use super::{ALERT, APPLICATION_DATA, CHANGE_CIPHER_SPEC, HANDSHAKE, HEARTBEAT, Parser};
use crate::event::tls::Carrier;
use crate::proto::reader::Reader;
use crate::proto::{Guess, Hint, Session, Side, Sink};

/// Type, version, epoch, sequence number, length.
const RECORD_HEADER: usize = 13;
/// A message longer than this is not put together.
const MESSAGE_MAX: usize = 16 * 1024;
const CERTIFICATE: u8 = 11;

pub(super) fn begin(_hint: &Hint<'_>) -> Session {
    Parser::new(Carrier::Dtls).into()
}

/// A datagram of whole records.
pub(super) fn recognise(_hint: &Hint<'_>, bytes: &[u8]) -> Guess {
    let mut reader = Reader(bytes);
    let mut records = 0;
    while let Some(record) = Record::read(&mut reader) {
        records += 1;
        // In the clear, a handshake begins with a message that is known.
        if record.kind == HANDSHAKE
            && record.epoch == 0
            && record.fragment.first().is_none_or(|kind| *kind > 26)
        {
            return Guess::No;
        }
    }
    (records > 0 && reader.0.is_empty()).into()
}

struct Record<'a> {
    kind: u8,
    epoch: u16,
    fragment: &'a [u8],
}

impl<'a> Record<'a> {
    fn read(reader: &mut Reader<'a>) -> Option<Self> {
        let mut ahead = *reader;
        let (kind, version, epoch) = (ahead.u8()?, ahead.u16()?, ahead.u16()?);
        let _sequence = ahead.take(RECORD_HEADER - 7)?;
        let fragment = ahead.vec16()?.0;
        let known = matches!(version, 0xfeff | 0xfefd | 0xfefc | 0x0100)
            && (CHANGE_CIPHER_SPEC..=HEARTBEAT).contains(&kind);
        known.then(|| {
            *reader = ahead;
            Self { kind, epoch, fragment }
        })
    }
}

/// Messages in parts, of both sides.
#[derive(Debug, Default)]
pub(super) struct Datagrams {
    /// The message of each side that is being put together.
    partial: [Partial; 2],
}

#[derive(Debug, Default)]
struct Partial {
    sequence: Option<u16>,
    body: Vec<u8>,
}

impl Datagrams {
    /// Reads one datagram; true if the handshake is over.
    pub(super) fn read(
        &mut self,
        side: Side,
        bytes: &[u8],
        handshake: &mut Handshake,
        sink: &mut Sink<'_>,
    ) -> bool {
        let mut reader = Reader(bytes);
        while let Some(record) = Record::read(&mut reader) {
            match record.kind {
                CHANGE_CIPHER_SPEC if record.epoch == 0 => handshake.change_cipher_spec(side),
                HANDSHAKE if record.epoch == 0 => self.messages(side, record.fragment, handshake, sink),
                ALERT if record.epoch == 0 => {
                    if let &[_level, description] = record.fragment {
                        handshake.alert(side, description);
                    }
                }
                APPLICATION_DATA | HANDSHAKE | ALERT => {
                    handshake.encrypts(side);
                    if handshake.ciphertext() {
                        return true;
                    }
                }
                _ => {}
            }
        }
        false
    }

    fn messages(&mut self, side: Side, fragment: &[u8], handshake: &mut Handshake, sink: &mut Sink<'_>) {
        let mut reader = Reader(fragment);
        while let Some(part) = MessagePart::read(&mut reader) {
            let partial = side.of_mut(&mut self.partial);
            if part.bytes.len() == part.length {
                partial.body.clear();
                message(side, part.kind, part.bytes, handshake, sink);
                continue;
            }
            if part.offset == 0 {
                partial.sequence = Some(part.sequence);
                partial.body.clear();
            }
            // Parts out of order are sent again by their sender; it is not worth sorting them.
            let fits = partial.sequence == Some(part.sequence)
                && partial.body.len() == part.offset
                && part.length <= MESSAGE_MAX;
            if !fits {
                continue;
            }
            partial.body.extend_from_slice(part.bytes);
            if partial.body.len() == part.length {
                let body = core::mem::take(&mut partial.body);
                message(side, part.kind, &body, handshake, sink);
            }
        }
    }
}

struct MessagePart<'a> {
    kind: u8,
    /// Of the whole message.
    length: usize,
    sequence: u16,
    offset: usize,
    bytes: &'a [u8],
}

impl<'a> MessagePart<'a> {
    fn read(reader: &mut Reader<'a>) -> Option<Self> {
        let (kind, length, sequence, offset) = (reader.u8()?, reader.u24()?, reader.u16()?, reader.u24()?);
        let n = reader.u24()?;
        let bytes = reader.take(n)?;
        Some(Self { kind, length, sequence, offset, bytes })
    }
}

fn message(side: Side, kind: u8, body: &[u8], handshake: &mut Handshake, sink: &mut Sink<'_>) {
    if kind == CERTIFICATE {
        let mut reader = Reader(body);
        let mut chain = reader.u24().and_then(|length| reader.take(length)).map_or(Reader(&[]), Reader);
        while let Some(der) = chain.u24().and_then(|length| chain.take(length)) {
            handshake.certificate(side, der, sink);
        }
    }
    handshake.message(side, kind, body, sink);
}
