//! QUIC Initial packets (RFC 9000, RFC 9001, RFC 9369; drafts from 23 on): the hellos of both sides. Google's own versions
//! are recognised, and their hellos read where they are in clear text.
//!
//! A flow costs at most [`OPENINGS_MAX`] decryptions; what comes after the server's hello is not looked at.

mod crypto;
mod google;
mod keys;

use super::reader::Reader;
use super::tls::handshake::Handshake;
use super::tls::hello::lossy;
use super::tls::message::Message;
use super::{Guess, Hint, Recogniser, Session, Side, Sink};
use crate::event::tls::Carrier;
use crate::event::{Application, QuicHello};
use crypto::Crypto;
use keys::{Keys, Scheme};

/// Packets of a flow that are decrypted or tried.
const OPENINGS_MAX: u8 = 32;
/// Packets that may share a datagram.
const COALESCED_MAX: usize = 8;
/// Longest connection identifier (RFC 9000, 17.2).
const CONNECTION_MAX: usize = 20;

pub(super) const STREAM: &[Recogniser] = &[];
pub(super) const DATAGRAM: &[Recogniser] =
    &[Recogniser { application: Application::Quic, probe: recognise, begin }];

/// State of a connection.
#[derive(Debug)]
pub(crate) struct Parser {
    handshake: Handshake,
    client: Option<Side>,
    /// Of the last client's Initial that was opened: what its keys were derived from.
    keys: Option<(Box<[u8]>, Box<Keys>)>,
    sides: [(Crypto, Message); 2],
    openings: u8,
    done: bool,
}

fn begin(_hint: &Hint<'_>) -> Session {
    Parser {
        handshake: Handshake::new(Carrier::Quic),
        client: None,
        keys: None,
        sides: Default::default(),
        openings: 0,
        done: false,
    }
    .into()
}

fn recognise(hint: &Hint<'_>, bytes: &[u8]) -> Guess {
    if google::version(bytes).is_some() {
        return Guess::Yes;
    }
    let Some(header) = Header::read(&mut Reader(bytes)) else { return Guess::No };
    let known = Scheme::of(header.version).is_some()
        || google::is_version(&header.version.to_be_bytes())
        // Drafts, Facebook's, and versions that are only there to be refused (RFC 9000, 15).
        || header.version >> 8 == 0x00ff_0000
        || header.version >> 8 == 0x00fa_ceb0
        || (header.version & 0x0f0f_0f0f == 0x0a0a_0a0a && hint.on_port(&[443]));
    let negotiation = header.version == 0 && hint.on_port(&[443]) && !header.source.is_empty();
    (known || negotiation).into()
}

/// What all long headers have (RFC 8999).
#[derive(Debug)]
struct Header<'a> {
    first: u8,
    version: u32,
    destination: &'a [u8],
    source: &'a [u8],
}

impl<'a> Header<'a> {
    fn read(reader: &mut Reader<'a>) -> Option<Self> {
        const LONG: u8 = 0x80;
        const FIXED: u8 = 0x40;
        let first = reader.u8()?;
        let version = u32::from_be_bytes(reader.take(4)?.try_into().ok()?);
        if first & LONG == 0 || (first & FIXED == 0 && version != 0) {
            return None;
        }
        // Q046 has two lengths in one byte.
        if version == u32::from_be_bytes(*b"Q046") {
            let lengths = reader.u8()?;
            let length = |nibble: u8| if nibble == 0 { 0 } else { usize::from(nibble) + 3 };
            let (destination, source) =
                (reader.take(length(lengths >> 4))?, reader.take(length(lengths & 0xf))?);
            return Some(Self { first, version, destination, source });
        }
        let (destination, source) = (reader.vec8()?.0, reader.vec8()?.0);
        let fit = destination.len() <= CONNECTION_MAX && source.len() <= CONNECTION_MAX;
        fit.then_some(Self { first, version, destination, source })
    }

    const fn kind(&self) -> u8 {
        self.first >> 4 & 0x03
    }
}

impl Reader<'_> {
    /// RFC 9000, 16.
    fn varint(&mut self) -> Option<u64> {
        let first = self.u8()?;
        let mut value = u64::from(first & 0x3f);
        for _ in 1..(1_u8 << (first >> 6)) {
            value = value << 8 | u64::from(self.u8()?);
        }
        Some(value)
    }

    /// As many bytes as the number before them says.
    fn vec_varint(&mut self) -> Option<&[u8]> {
        let n = usize::try_from(self.varint()?).ok()?;
        self.take(n)
    }
}

impl super::Parser for Parser {
    fn read_datagram(&mut self, side: Side, bytes: &[u8], _wire_bytes: u32, sink: &mut Sink<'_>) {
        if let Some(version) = google::version(bytes) {
            self.google(side, version, bytes, sink);
            return;
        }
        let mut rest = bytes;
        for _ in 0..COALESCED_MAX {
            match self.packet(side, rest, sink) {
                Some(next) if !next.is_empty() && !self.done => rest = next,
                Some(_) | None => return,
            }
        }
    }

    fn finish(&mut self, sink: &mut Sink<'_>) {
        self.handshake.finish(sink);
    }

    fn is_done(&self) -> bool {
        self.done
    }
}

impl Parser {
    /// Reads one packet; what follows it in the datagram.
    fn packet<'a>(&mut self, side: Side, bytes: &'a [u8], sink: &mut Sink<'_>) -> Option<&'a [u8]> {
        let mut reader = Reader(bytes);
        let header = Header::read(&mut reader)?;
        let Some(scheme) = Scheme::of(header.version) else {
            if google::is_version(&header.version.to_be_bytes()) {
                self.google(side, header.version, bytes, sink);
            }
            return None;
        };
        let kind = header.kind();
        if kind == scheme.retry {
            return None;
        }
        if kind == scheme.initial {
            let _token = reader.vec_varint()?;
        }
        let length = usize::try_from(reader.varint()?).ok()?;
        let number_at = bytes.len() - reader.0.len();
        let (packet, rest) = bytes.split_at_checked(number_at.checked_add(length)?)?;
        if kind == scheme.initial {
            self.initial(side, &header, scheme, (packet, number_at), sink);
        }
        Some(rest)
    }

    fn initial(
        &mut self,
        side: Side,
        header: &Header<'_>,
        scheme: Scheme,
        (packet, number_at): (&[u8], usize),
        sink: &mut Sink<'_>,
    ) {
        if self.openings >= OPENINGS_MAX {
            self.done = true;
            return;
        }
        self.openings += 1;
        let is_client = *self.client.get_or_insert(side) == side;
        let mut frames = self.keys.as_ref().and_then(|(_, keys)| {
            let end = if is_client { &keys.client } else { &keys.server };
            end.open(packet, number_at)
        });
        let is_other = self.keys.as_ref().is_none_or(|(from, _)| **from != *header.destination);
        if frames.is_none() && is_client && is_other && !self.handshake.is_answered() {
            // The first packet, or the first after a Retry (RFC 9001, 5.2).
            let Some(keys) = Keys::derive(scheme, header.destination) else { return };
            frames = keys.client.open(packet, number_at);
            if frames.is_some() {
                self.keys = Some((header.destination.into(), Box::new(keys)));
                self.sides = Default::default();
            }
        }
        match frames {
            Some(frames) => {
                self.handshake.quic_version(header.version);
                self.frames(side, header.version, &frames, sink);
            }
            None if self.keys.is_none() => self.client = None,
            None => {}
        }
    }

    fn frames(&mut self, side: Side, version: u32, frames: &[u8], sink: &mut Sink<'_>) {
        let (crypto, message) = side.of_mut(&mut self.sides);
        if read_frames(frames, crypto).is_none() {
            sink.counters.count(crate::counters::Counter::ProtoMalformed);
            sink.anomaly(Application::Quic, side, "ERROR_ON_DATA");
        }
        let ready = crypto.take_ready();
        if ready.is_empty() {
            return;
        }
        if let Some(hello) = google::hello(&ready) {
            say_google(side, version, hello, sink);
            self.done = true;
        } else if !message.read(side, &ready, &mut self.handshake, sink) {
            self.done = true;
        }
        self.done |= self.handshake.is_answered();
    }

    /// A packet of Google's own versions: only a hello in clear text says something.
    fn google(&mut self, side: Side, version: u32, packet: &[u8], sink: &mut Sink<'_>) {
        self.openings = self.openings.saturating_add(1);
        self.done |= self.openings >= OPENINGS_MAX;
        if let Some(hello) = google::hello_within(packet) {
            say_google(side, version, hello, sink);
            self.done = true;
        }
    }
}

fn say_google(side: Side, version: u32, hello: google::Hello<'_>, sink: &mut Sink<'_>) {
    let text = |bytes: &[u8]| lossy(bytes).into_boxed_str();
    let server_name = hello.server_name.map(text);
    sink.notes.server_name = server_name.clone().or_else(|| sink.notes.server_name.take());
    sink.transaction(QuicHello {
        version,
        is_client: true,
        from_originator: side == Side::Originator,
        server_name,
        user_agent: hello.user_agent.map(text),
        ..QuicHello::default()
    });
}

/// The frames that an Initial packet may have (RFC 9000, 17.2.2).
fn read_frames(frames: &[u8], crypto: &mut Crypto) -> Option<()> {
    let mut reader = Reader(frames);
    while let Some(kind) = reader.u8() {
        match kind {
            // PADDING, PING.
            0x00 | 0x01 => {}
            0x02 | 0x03 => ack(kind, &mut reader)?,
            0x06 => {
                let offset = reader.varint()?;
                crypto.insert(offset, reader.vec_varint()?);
            }
            // CONNECTION_CLOSE ends the packet as far as hellos go; so does what no Initial packet may hold.
            0x1c => return Some(()),
            _ => return None,
        }
    }
    Some(())
}

fn ack(kind: u8, reader: &mut Reader<'_>) -> Option<()> {
    let (_largest, _delay, ranges, _first) =
        (reader.varint()?, reader.varint()?, reader.varint()?, reader.varint()?);
    for _ in 0..ranges {
        let (_gap, _length) = (reader.varint()?, reader.varint()?);
    }
    if kind == 0x03 {
        let (_ect0, _ect1, _ce) = (reader.varint()?, reader.varint()?, reader.varint()?);
    }
    Some(())
}

#[cfg(test)]
mod tests;
