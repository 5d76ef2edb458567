//! What a flow speaks: found by content, then read by one parser for the flow's life.
//!
//! A `Session` is small and holds no bytes: the stream (`flow::stream`) keeps what a parser has not taken yet. A parser
//! that lost its place (a gap in the capture) does not guess: it takes up again only where a segment begins with what it
//! knows how to read.

mod dns;
mod http;
mod reader;
mod session;
mod text;
mod tls;

use sekimori_wire::time::Timestamp;

use crate::counters::Counters;
use crate::event::{Application, ClientHello, Dns, Event, FlowEvent, FlowRef, HttpRequest};
pub(crate) use session::{Session, Take};

/// Which end of a flow sent something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    /// The flow's originator.
    Originator,
    /// Its responder.
    Responder,
}

impl Side {
    /// The other.
    pub(crate) const fn other(self) -> Self {
        match self {
            Self::Originator => Self::Responder,
            Self::Responder => Self::Originator,
        }
    }

    /// One of a pair (originator's, responder's).
    pub(crate) const fn of<T>(self, [originator, responder]: &[T; 2]) -> &T {
        match self {
            Self::Originator => originator,
            Self::Responder => responder,
        }
    }

    /// One of a pair (originator's, responder's).
    pub(crate) const fn of_mut<T>(self, [originator, responder]: &mut [T; 2]) -> &mut T {
        match self {
            Self::Originator => originator,
            Self::Responder => responder,
        }
    }
}

/// What the parsers learnt of a flow, for its record.
#[derive(Clone, Debug, Default)]
pub(crate) struct Notes {
    pub(crate) application: Application,
    pub(crate) server_name: Option<Box<str>>,
    pub(crate) ja4: Option<Box<str>>,
}

/// Where parsers put what they read.
#[derive(Debug)]
pub(crate) struct Sink<'a> {
    pub(crate) at: Timestamp,
    pub(crate) flow: FlowRef,
    pub(crate) notes: &'a mut Notes,
    pub(crate) counters: &'a mut Counters,
    pub(crate) events: &'a mut Vec<Event>,
}

impl Sink<'_> {
    fn push(&mut self, what: FlowEvent) {
        self.events.push(Event::Flow { at: self.at, flow: self.flow, what });
    }

    fn is(&mut self, application: Application) {
        if self.notes.application == Application::Unknown {
            self.notes.application = application;
        }
    }

    fn has_port(&self, ports: &[u16]) -> bool {
        ports.contains(&self.flow.responder.port) || ports.contains(&self.flow.originator.port)
    }
}

fn push_dns(side: Side, mut dns: Dns, message_bytes: u32, sink: &mut Sink<'_>) {
    sink.is(Application::Dns);
    dns.from_originator = side == Side::Originator;
    dns.message_bytes = message_bytes;
    if sink.notes.server_name.is_none() && !dns.qname.is_empty() {
        sink.notes.server_name = Some(dns.qname.clone());
    }
    sink.push(FlowEvent::Dns(dns.into()));
}

fn push_tls(hello: ClientHello, sink: &mut Sink<'_>) {
    sink.notes.server_name = hello.server_name.clone().or_else(|| sink.notes.server_name.take());
    if sink.notes.ja4.is_none() && !hello.ja4.is_empty() {
        sink.notes.ja4 = Some(hello.ja4.clone());
    }
    sink.push(FlowEvent::Tls(hello.into()));
}

fn push_request(request: HttpRequest, sink: &mut Sink<'_>) {
    if sink.notes.server_name.is_none() {
        sink.notes.server_name.clone_from(&request.host);
    }
    sink.push(FlowEvent::HttpRequest(request.into()));
}

/// For the fuzzer and the property tests: both sides in turn, in pieces that the first byte sizes.
pub fn fuzz(data: &[u8]) {
    use core::net::{IpAddr, Ipv4Addr};

    use crate::event::Endpoint;

    let Some((first, bytes)) = data.split_first() else { return };
    for port in [80, 53, text::SYSLOG_PORT] {
        let end = |port| Endpoint { address: IpAddr::V4(Ipv4Addr::LOCALHOST), port };
        let flow = FlowRef {
            id: 1,
            began: Timestamp::ZERO,
            originator: end(40_000),
            responder: end(port),
            protocol: 6,
            vlan: None,
        };
        let (mut notes, mut counters, mut events) = (Notes::default(), Counters::default(), Vec::new());
        let (notes, counters, events) = (&mut notes, &mut counters, &mut events);
        let mut sink = Sink { at: Timestamp::ZERO, flow, notes, counters, events };
        let (mut stream, mut datagrams) = (Session::default(), Session::default());
        let mut side = Side::Originator;
        for piece in bytes.chunks(usize::from(*first).max(1)) {
            let wire_bytes = u32::try_from(piece.len()).unwrap_or(u32::MAX);
            datagrams.read_datagram(side, piece, wire_bytes, &mut sink);
            match stream.read_stream(side, piece, &mut sink) {
                Take::More => stream.lose(side, piece, &mut sink),
                Take::Bytes(taken) => assert!(taken > 0, "a parser that takes nothing asks for more"),
                Take::All => {}
            }
            side = side.other();
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn nothing_panics(data: Vec<u8>) {
            super::fuzz(&data);
        }

        /// Random bytes behind a beginning that a parser believes.
        #[test]
        fn nothing_panics_behind_a_good_beginning(
            begin in proptest::sample::select(vec![
                &b"\x16\x03\x01\x00\xc8\x01\x00\x00\xc4\x03\x03"[..], b"GET / HTTP/1.1\r\n", b"HTTP/1.1 200 ",
                b"\x00\x1d\xab\xcd\x01\x00\x00\x01", b"<13>", b"7 <13>", b"220 ftp", b"SSH-2.0-",
            ]),
            data: Vec<u8>,
        ) {
            super::fuzz(&[&[0xff], begin, &data].concat());
        }
    }
}
