//! One function for each parser, for the fuzzer and the property tests: bytes alone drive it, from both sides, in pieces,
//! as a stream with holes or as datagrams.

use core::net::{IpAddr, Ipv4Addr};

use sekimori_wire::time::Timestamp;

use super::{Hint, Notes, Recogniser, Session, Side, Sink, Taken};
use crate::counters::Counters;
use crate::event::{Endpoint, FlowRef};

/// Bits of the first byte: what is done with the rest.
const DATAGRAMS: u8 = 1;
const ONE_SIDE: u8 = 2;
const HOLES: u8 = 4;
const RESPONDER_FIRST: u8 = 8;
/// Unread bytes that a stream keeps for its parser.
const WINDOW: usize = 16 * 1024;

macro_rules! targets {
    ($($module:ident)*) => {
        /// Every parser by name.
        pub const TARGETS: &[(&str, fn(&[u8]))] = &[("any", any), $((stringify!($module), $module),)*];

        $(
            /// Drives this parser.
            pub fn $module(data: &[u8]) {
                drive(super::$module::STREAM.iter().chain(super::$module::DATAGRAM), data);
            }
        )*
    };
}

targets! {
    dcerpc dhcp dht dns ftp http http2 imap kerberos ldap mqtt ntp pop3 quic rdp sip smb smtp snmp ssh syslog telnet tftp tls
}

/// The target of this name.
pub fn target(name: &str) -> Option<fn(&[u8])> {
    TARGETS.iter().find(|(known, _)| *known == name).map(|(_, target)| *target)
}

/// A flow that is not recognised yet, on the ports that recognisers look at.
pub fn any(data: &[u8]) {
    for port in [80, 53, 514, 445, 25, 21] {
        feed(Session::default(), port, data);
    }
}

fn drive(recognisers: impl Iterator<Item = &'static Recogniser>, data: &[u8]) {
    for recogniser in recognisers {
        let side = if has(data, RESPONDER_FIRST) { Side::Responder } else { Side::Originator };
        let hint = Hint { side, flow: flow(4_444), other: &[] };
        (recogniser.probe)(&hint, data.get(2..).unwrap_or_default());
        feed((recogniser.begin)(&hint), 4_444, data);
    }
}

fn has(data: &[u8], bit: u8) -> bool {
    data.first().is_some_and(|first| first & bit != 0)
}

fn flow(port: u16) -> FlowRef {
    let end = |port| Endpoint { address: IpAddr::V4(Ipv4Addr::LOCALHOST), port };
    FlowRef {
        id: 1,
        began: Timestamp::ZERO,
        originator: end(40_000),
        responder: end(port),
        protocol: 6,
        vlan: None,
        swapped: false,
    }
}

/// The second byte sizes the pieces; 0: all in one.
fn feed(mut session: Session, port: u16, data: &[u8]) {
    let [_, size, bytes @ ..] = data else { return };
    let (mut notes, mut counters, mut events) = (Notes::default(), Counters::default(), Vec::new());
    let (notes, counters, events) = (&mut notes, &mut counters, &mut events);
    let mut sink = Sink { at: Timestamp::ZERO, flow: flow(port), notes, counters, events };
    let size = if *size == 0 { bytes.len().max(1) } else { usize::from(*size) };
    let mut side = if has(data, RESPONDER_FIRST) { Side::Responder } else { Side::Originator };
    let mut streams = [Stream::default(), Stream::default()];
    for (number, piece) in bytes.chunks(size).enumerate() {
        if has(data, DATAGRAMS) {
            session.read_datagram(side, piece, u32::try_from(piece.len()).unwrap_or(u32::MAX), &mut sink);
        } else {
            let stream = side.of_mut(&mut streams);
            if has(data, HOLES) && number % 3 == 2 {
                stream.lose(side, piece.len(), &mut session, &mut sink);
            } else {
                stream.read(side, piece, &mut session, &mut sink);
            }
        }
        if !has(data, ONE_SIDE) {
            side = side.other();
        }
    }
    session.finish(&mut sink);
}

/// One direction as `flow::stream` shows it to a parser.
#[derive(Default)]
struct Stream {
    unread: Vec<u8>,
    /// Bytes that the parser took unseen.
    skip: usize,
}

impl Stream {
    fn read(&mut self, side: Side, piece: &[u8], session: &mut Session, sink: &mut Sink<'_>) {
        let skipped = self.skip.min(piece.len());
        self.skip -= skipped;
        self.unread.extend_from_slice(piece.get(skipped..).unwrap_or_default());
        while !self.unread.is_empty() {
            match session.read_stream(side, &self.unread, sink) {
                Taken::More if self.unread.len() > WINDOW => {
                    session.lose(side, &self.unread, Some(0), sink);
                    self.unread.clear();
                }
                Taken::More => return,
                Taken::Bytes(taken) => {
                    assert!(taken > 0, "a parser that takes nothing asks for more");
                    let taken = usize::try_from(taken).unwrap_or(usize::MAX);
                    self.skip = taken.saturating_sub(self.unread.len());
                    self.unread.drain(..taken.min(self.unread.len()));
                }
                Taken::All => self.unread.clear(),
            }
        }
    }

    fn lose(&mut self, side: Side, missing: usize, session: &mut Session, sink: &mut Sink<'_>) {
        let missing = missing.saturating_sub(self.skip);
        if missing > 0 {
            self.skip = 0;
            session.lose(side, &self.unread, u32::try_from(missing).ok(), sink);
            self.unread.clear();
        }
    }
}
