//! RDP's beginning (MS-RDPBCGR, 1.3.1.1): the connection request with its cookie, the negotiation, and where nothing
//! encrypts them (RDP's own security) what client and server say of themselves. What is secured by TLS goes on there.
//!
//! A message longer than the stream keeps is skipped; five messages of each side are looked at.

mod data;

use super::reader::Reader;
use super::{Guess, Hint, Recogniser, Session, Side, Sink, Take, tls};
use crate::counters::Counter;
use crate::event::{Application, RdpNegotiation, RdpStep};

/// TPKT (RFC 1006): version, reserved, length.
const TPKT_HEADER: usize = 4;
const TPKT_VERSION: u8 = 3;
/// Longest message that is read: the server's data with its certificates takes some 4 KiB.
const MESSAGE_MAX: usize = 15 * 1024;
/// Messages after the negotiation that may hold data; then all is encrypted.
const MESSAGES_MAX: u8 = 10;
/// Codes of X.224 messages.
const CONNECTION_REQUEST: u8 = 0xe0;
const CONNECTION_CONFIRM: u8 = 0xd0;
const DATA: u8 = 0xf0;
/// Types of negotiation structures (MS-RDPBCGR, 2.2.1.1.1, 2.2.1.2.1 and 2.2.1.2.2).
const NEGOTIATION_REQUEST: u8 = 1;
const NEGOTIATION_RESPONSE: u8 = 2;
const NEGOTIATION_FAILURE: u8 = 3;
/// Bytes of a cookie that are kept.
const COOKIE_MAX: usize = 256;
/// RDP's port, over UDP as well.
const PORT: u16 = 3_389;

pub(super) const STREAM: &[Recogniser] =
    &[Recogniser { application: Application::Rdp, probe: recognise, begin }];
pub(super) const DATAGRAM: &[Recogniser] =
    &[Recogniser { application: Application::Rdp, probe: recognise_udp, begin }];

/// State of a connection.
#[derive(Debug, Default)]
pub(crate) struct Parser {
    /// Steps said.
    steps: u32,
    messages: u8,
    done: bool,
}

fn begin(_hint: &Hint<'_>) -> Session {
    Parser::default().into()
}

/// A connection request with RDP's cookie or negotiation, or on RDP's port.
fn recognise(hint: &Hint<'_>, bytes: &[u8]) -> Guess {
    if bytes.iter().zip([TPKT_VERSION, 0]).any(|(byte, expected)| *byte != expected) {
        return Guess::No;
    }
    if bytes.len() < TPKT_HEADER + 7 {
        let code = bytes.get(5).is_none_or(|code| *code == CONNECTION_REQUEST);
        return if code { Guess::More } else { Guess::No };
    }
    match Message::read(bytes) {
        Ok(Message { code: CONNECTION_REQUEST, body, .. }) => {
            let Request { cookie, negotiation, is_routed } = Request::read(body);
            (cookie.is_some() || negotiation.is_some() || is_routed || hint.to_port() == PORT).into()
        }
        Ok(_) => Guess::No,
        Err(Unread::Partial) => Guess::More,
        Err(Unread::Broken) => Guess::No,
    }
}

/// The first packet of RDP over UDP (MS-RDPEUDP, 2.2.2.1): nothing acknowledged, SYN, padded.
fn recognise_udp(hint: &Hint<'_>, bytes: &[u8]) -> Guess {
    const SYN: u16 = 0x0001;
    const PADDED: usize = 1_132;
    let flags = bytes.get(6..8).map_or(0, |flags| Reader(flags).u16().unwrap_or_default());
    let is_syn = bytes.starts_with(&[0xff; 4]) && flags & SYN != 0 && bytes.len() >= PADDED;
    (hint.to_port() == PORT && is_syn).into()
}

/// An X.224 message in its TPKT.
#[derive(Clone, Copy, Debug)]
struct Message<'a> {
    /// Bytes of it all.
    length: usize,
    code: u8,
    /// After the fixed part of the X.224 header; for data, after it all.
    body: &'a [u8],
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Unread {
    Partial,
    Broken,
}

impl<'a> Message<'a> {
    fn read(bytes: &'a [u8]) -> Result<Self, Unread> {
        let mut reader = Reader(bytes);
        let (version, _reserved) = (reader.u8().ok_or(Unread::Partial)?, reader.u8().ok_or(Unread::Partial)?);
        let length = usize::from(reader.u16().ok_or(Unread::Partial)?);
        if version != TPKT_VERSION || length < TPKT_HEADER + 3 {
            return Err(Unread::Broken);
        }
        let mut reader = Reader(bytes.get(TPKT_HEADER..length).ok_or(Unread::Partial)?);
        let Some((header, code)) = reader.u8().zip(reader.u8()) else { return Err(Unread::Broken) };
        // Destination, source and class; data has one byte instead. The first length counts what follows it.
        let fixed = if code == DATA { 1 } else { 5 };
        let fits = reader.take(fixed).is_some() && usize::from(header) > fixed;
        fits.then_some(Self { length, code, body: reader.0 }).ok_or(Unread::Broken)
    }
}

impl super::Parser for Parser {
    fn read_stream(&mut self, side: Side, bytes: &[u8], sink: &mut Sink<'_>) -> Take {
        let announced = bytes.get(2..TPKT_HEADER).and_then(|length| Reader(length).u16()).map(usize::from);
        match announced {
            Some(length) if length > MESSAGE_MAX => return Take::bytes(length),
            Some(_) | None => {}
        }
        match Message::read(bytes) {
            Ok(message) => self.message(side, &message, sink),
            Err(Unread::Partial) => Take::More,
            Err(Unread::Broken) => {
                // Once data flows, messages may come without TPKT (MS-RDPBCGR, 2.2.8.1.2).
                if self.messages == 0 {
                    sink.counters.count(Counter::ProtoMalformed);
                }
                self.done = true;
                Take::All
            }
        }
    }

    fn lose(&mut self, _side: Side, _bytes: &[u8], _missing: Option<u32>, _sink: &mut Sink<'_>) {
        self.done = true;
    }

    fn is_done(&self) -> bool {
        self.done
    }
}

impl Parser {
    fn message(&mut self, side: Side, message: &Message<'_>, sink: &mut Sink<'_>) -> Take {
        let taken = Take::bytes(message.length);
        match message.code {
            CONNECTION_REQUEST => {
                let Request { cookie, negotiation, is_routed: _ } = Request::read(message.body);
                let cookie = cookie.map(|cookie| String::from_utf8_lossy(cookie).into());
                self.say(side, RdpStep::Request { cookie, negotiation }, sink);
            }
            CONNECTION_CONFIRM => return self.confirm(side, message, sink),
            _ => {
                self.messages += 1;
                if let Some(client) = data::client(message.body) {
                    self.say(side, RdpStep::ClientData(Box::new(client)), sink);
                } else if let Some(step) = data::server(message.body) {
                    self.say(side, step, sink);
                    self.done = true;
                }
                self.done |= self.messages >= MESSAGES_MAX;
            }
        }
        taken
    }

    fn confirm(&mut self, side: Side, message: &Message<'_>, sink: &mut Sink<'_>) -> Take {
        let negotiation = structure(message.body);
        let (step, is_tls) = match negotiation {
            Some((NEGOTIATION_FAILURE, _, code)) => (RdpStep::Refusal(code), false),
            Some((NEGOTIATION_RESPONSE, flags, protocol)) => {
                (RdpStep::Confirm { negotiation: Some((flags, protocol)) }, protocol != 0)
            }
            Some(_) | None => (RdpStep::Confirm { negotiation: None }, false),
        };
        self.say(side, step, sink);
        match u32::try_from(message.length) {
            Ok(length) if is_tls => Take::Switch(length, tls::session()),
            Ok(_) | Err(_) => Take::bytes(message.length),
        }
    }

    fn say(&mut self, side: Side, step: RdpStep, sink: &mut Sink<'_>) {
        let number = self.steps;
        self.steps += 1;
        sink.transaction(RdpNegotiation { number, from_originator: side == Side::Originator, step });
    }
}

/// What a connection request says.
#[derive(Debug)]
struct Request<'a> {
    cookie: Option<&'a [u8]>,
    /// Flags and protocols.
    negotiation: Option<(u8, u32)>,
    /// It names a route instead of a cookie.
    is_routed: bool,
}

impl<'a> Request<'a> {
    fn read(body: &'a [u8]) -> Self {
        const COOKIE: &[u8] = b"Cookie: mstshash=";
        const ROUTE: &[u8] = b"Cookie: msts=";
        let has_text = body.starts_with(b"Cookie: ") || body.starts_with(b"tsv:");
        let end = body.windows(2).position(|pair| pair == b"\r\n").filter(|_| has_text);
        let (text, rest) = end.and_then(|end| body.split_at_checked(end)).unwrap_or((&[], body));
        let rest = if end.is_some() { rest.get(2..).unwrap_or_default() } else { rest };
        let negotiation = structure(rest).filter(|(kind, ..)| *kind == NEGOTIATION_REQUEST);
        Self {
            cookie: text.strip_prefix(COOKIE).map(|cookie| cookie.get(..COOKIE_MAX).unwrap_or(cookie)),
            negotiation: negotiation.map(|(_, flags, protocols)| (flags, protocols)),
            is_routed: text.starts_with(ROUTE) || text.starts_with(b"tsv:"),
        }
    }
}

/// Type, flags and value of a negotiation structure.
fn structure(bytes: &[u8]) -> Option<(u8, u8, u32)> {
    let &[kind, flags, 8, 0, a, b, c, d] = bytes.first_chunk()? else { return None };
    Some((kind, flags, u32::from_le_bytes([a, b, c, d])))
}

#[cfg(test)]
mod tests;
