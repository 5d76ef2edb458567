//! What a flow speaks: found by content, then read by one parser for the flow's life.
//!
//! A `Session` is small and holds no bytes: the stream (`flow::stream`) keeps what a parser has not taken yet. A parser
//! that lost its place (a gap in the capture) does not guess: it takes up again only where a segment begins with what it
//! knows how to read.

#[cfg(test)]
mod bench;
mod ber;
mod dcerpc;
mod dhcp;
mod dht;
mod digits;
mod dns;
mod ftp;
pub mod fuzz;
mod http;
mod http2;
mod imap;
mod irc;
mod kerberos;
mod ldap;
mod lines;
mod mqtt;
mod ntlm;
mod ntp;
mod pop3;
mod ports;
mod quic;
mod rdp;
mod reader;
mod recognise;
mod search;
mod session;
mod shell;
mod sip;
mod smb;
mod smtp;
mod snmp;
mod socks;
mod ssh;
mod syslog;
mod telnet;
mod tftp;
mod tls;
mod xmpp;

use sekimori_wire::time::Timestamp;

use crate::counters::Counters;
use crate::event::{Anomaly, Application, Event, FlowEvent, FlowRef, Layer, Transaction};
pub(crate) use ftp::{Expected, FtpNote};
pub(crate) use session::{Guess, Hint, Parser, Recogniser, Session, Take, Taken, Tried};

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
    /// In the order in which they were recognised; what is left is `Unknown`.
    pub(crate) applications: [Application; APPLICATIONS_MAX],
    pub(crate) server_name: Option<Box<str>>,
    noted: Option<Box<Noted>>,
}

/// What is noted of few flows.
#[derive(Clone, Debug, Default)]
pub(crate) struct Noted {
    pub(crate) ja4: Option<Box<str>>,
    /// What an FTP control connection says of its data connections, until the observer takes it.
    pub(crate) ftp: Vec<FtpNote>,
}

/// Applications of one flow that are kept: SMTP, then TLS, then SMTP again is more than is ever seen.
pub(crate) const APPLICATIONS_MAX: usize = 4;

impl Notes {
    /// Something is noted.
    pub(crate) fn is_any(&self) -> bool {
        let Self { applications: _, server_name, noted } = self;
        let any = |noted: &Noted| noted.ja4.is_some() || !noted.ftp.is_empty();
        self.application() != Application::Unknown
            || server_name.is_some()
            || noted.as_deref().is_some_and(any)
    }

    /// What is noted of few flows, of this one too.
    pub(crate) fn more(&mut self) -> &mut Noted {
        self.noted.get_or_insert_default()
    }

    /// JA4 of a client's hello is noted.
    pub(crate) fn has_ja4(&self) -> bool {
        self.noted.as_ref().is_some_and(|noted| noted.ja4.is_some())
    }

    /// The server's name and JA4 of the client's hello, for a record of a flow that goes on.
    pub(crate) fn names(&self) -> (Option<Box<str>>, Option<Box<str>>) {
        (self.server_name.clone(), self.noted.as_ref().and_then(|noted| noted.ja4.clone()))
    }

    /// The same for the last record: they are not copied.
    pub(crate) fn take_names(&mut self) -> (Option<Box<str>>, Option<Box<str>>) {
        (self.server_name.take(), self.noted.as_mut().and_then(|noted| noted.ja4.take()))
    }

    /// What an FTP control connection said of its data connections since it was taken last.
    pub(crate) fn ftp(&mut self) -> Option<&mut Vec<FtpNote>> {
        self.noted.as_mut().map(|noted| &mut noted.ftp).filter(|ftp| !ftp.is_empty())
    }

    /// What the flow spoke first.
    pub(crate) fn application(&self) -> Application {
        self.applications.first().copied().unwrap_or_default()
    }
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
    pub(crate) fn push(&mut self, what: FlowEvent) {
        if let FlowEvent::Tls(hello) = &what
            && let Some(name) = &hello.server_name
            && let Some(application) = recognise::of_server_name(name, hello.alpn.is_some())
        {
            self.is(application);
        }
        self.events.push(Event::Flow { at: self.at, flow: self.flow, what });
    }

    /// A unit of the application protocol is over.
    pub(crate) fn transaction(&mut self, one: impl Into<Transaction>) {
        self.push(FlowEvent::Transaction(Box::new(one.into())));
    }

    /// A message of `application` broke the rule of this name (Suricata's event name where it has one).
    pub(crate) fn anomaly(&mut self, application: Application, side: Side, name: &'static str) {
        let from_originator = side == Side::Originator;
        self.push(FlowEvent::Anomaly(Anomaly {
            layer: Layer::Application,
            application,
            name,
            from_originator,
        }));
    }

    /// The flow speaks this, perhaps after something else.
    pub(crate) fn is(&mut self, application: Application) {
        let known = self.notes.applications.contains(&application);
        let free = self.notes.applications.iter_mut().find(|one| **one == Application::Unknown);
        if let (false, Some(free)) = (known, free) {
            *free = application;
        } else {
            return;
        }
        let is_first = self.notes.application() == application;
        if is_first && ports::disagree(application, &self.flow) {
            self.anomaly(application, Side::Originator, "protocol.mismatch");
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn nothing_panics(data: Vec<u8>) {
            super::fuzz::any(&data);
        }

        #[test]
        fn nothing_panics_in_any_parser(data: Vec<u8>) {
            super::fuzz::TARGETS.iter().for_each(|(_, target)| target(&data));
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
            super::fuzz::any(&[&[0xff], begin, &data].concat());
        }
    }
}
