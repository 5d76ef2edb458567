//! SIP heads (RFC 3261) in datagrams and streams; RTSP (RFC 7826), which looks alike, is recognised.

use super::lines::{self, after, word};
use super::search::first_line;
use super::{Guess, Hint, Recogniser, Session, Side, Sink, Take};
use crate::counters::Counter;
use crate::event::{Application, SipMessage, SipStart};

pub(super) const STREAM: &[Recogniser] = &[
    Recogniser { application: Application::Sip, probe, begin },
    Recogniser { application: Application::Rtsp, probe: probe_rtsp, begin: |_hint| Session::Opaque },
];
pub(super) const DATAGRAM: &[Recogniser] = &[Recogniser { application: Application::Sip, probe, begin }];

/// Longest head that is waited for.
const HEAD_MAX: usize = 8192;
/// Headers read of a message.
const HEADERS_MAX: usize = 128;
/// Longest value kept.
const VALUE_MAX: usize = 1024;
/// Bytes of a beginning that may still become a first line.
const START_MAX: usize = 16;
const METHODS: [&[u8]; 14] = [
    b"INVITE",
    b"ACK",
    b"BYE",
    b"CANCEL",
    b"REGISTER",
    b"OPTIONS",
    b"PRACK",
    b"SUBSCRIBE",
    b"NOTIFY",
    b"PUBLISH",
    b"INFO",
    b"REFER",
    b"MESSAGE",
    b"UPDATE",
];
const RTSP_METHODS: [&[u8]; 11] = [
    b"OPTIONS",
    b"DESCRIBE",
    b"ANNOUNCE",
    b"SETUP",
    b"PLAY",
    b"PAUSE",
    b"TEARDOWN",
    b"GET_PARAMETER",
    b"SET_PARAMETER",
    b"REDIRECT",
    b"RECORD",
];

/// State of a connection.
#[derive(Debug, Default)]
pub(crate) struct Parser {
    /// Bytes of each head in which no end was found.
    scanned: [usize; 2],
    broken: bool,
}

fn begin(_hint: &Hint<'_>) -> Session {
    Parser::default().into()
}

impl super::Parser for Parser {
    fn read_stream(&mut self, side: Side, bytes: &[u8], sink: &mut Sink<'_>) -> Take {
        // Empty lines keep a connection open (RFC 5626, 3.5.1).
        let blank = bytes.iter().take_while(|byte| matches!(byte, b'\r' | b'\n')).count();
        if blank > 0 {
            return Take::bytes(blank);
        }
        let scanned = side.of_mut(&mut self.scanned);
        let from = scanned.saturating_sub(3);
        let found = bytes.get(from..).unwrap_or_default().windows(4).position(|at| at == b"\r\n\r\n");
        let Some(end) = found.map(|end| end.saturating_add(from).saturating_add(4)) else {
            *scanned = bytes.len();
            if bytes.len() < HEAD_MAX {
                return Take::More;
            }
            sink.counters.count(Counter::ProtoMalformed);
            self.broken = true;
            return Take::All;
        };
        *scanned = 0;
        let head = bytes.get(..end).unwrap_or(bytes);
        match self.read_head(side, head, sink) {
            Some(body) => u32::try_from(end).map_or(Take::All, |end| Take::Bytes(end.saturating_add(body))),
            None => {
                self.broken = true;
                Take::All
            }
        }
    }

    fn read_datagram(&mut self, side: Side, bytes: &[u8], _wire_bytes: u32, sink: &mut Sink<'_>) {
        if bytes.iter().all(|byte| matches!(byte, b'\r' | b'\n' | 0)) {
            return;
        }
        let _body = self.read_head(side, bytes, sink);
    }

    fn lose(&mut self, side: Side, _bytes: &[u8], _missing: Option<u32>, _sink: &mut Sink<'_>) {
        *side.of_mut(&mut self.scanned) = 0;
    }

    fn is_done(&self) -> bool {
        self.broken
    }
}

impl Parser {
    /// Says what a head holds; the length of the body, none if it is not SIP.
    fn read_head(&self, side: Side, head: &[u8], sink: &mut Sink<'_>) -> Option<u32> {
        let mut lines =
            head.split(|byte| *byte == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line));
        let line = lines.next().unwrap_or_default();
        let Some((start, version)) = start(line) else {
            sink.counters.count(Counter::ProtoMalformed);
            sink.anomaly(Application::Sip, side, "INVALID_DATA");
            return None;
        };
        let mut message = SipMessage {
            from_originator: side == Side::Originator,
            start,
            version: lines::text(version, 16),
            line: lines::text(line, VALUE_MAX),
            from: None,
            to: None,
            call_id: None,
            user_agent: None,
        };
        let mut body = 0;
        for line in lines.take_while(|line| !line.is_empty()).take(HEADERS_MAX) {
            let Some(colon) = line.iter().position(|byte| *byte == b':') else { continue };
            let (name, value) = line.split_at_checked(colon).unwrap_or_default();
            let value = value.get(1..).unwrap_or_default().trim_ascii();
            let text = || Some(lines::text(value, VALUE_MAX));
            match name.trim_ascii().to_ascii_lowercase().as_slice() {
                b"from" | b"f" => message.from = text(),
                b"to" | b"t" => message.to = text(),
                b"call-id" | b"i" => message.call_id = text(),
                b"user-agent" | b"server" => message.user_agent = text(),
                b"content-length" | b"l" => body = lines::number(value, 8).unwrap_or_default(),
                _ => {}
            }
        }
        sink.transaction(message);
        Some(body)
    }
}

/// The first line: what it is, and the version.
fn start(line: &[u8]) -> Option<(SipStart, &[u8])> {
    let (first, rest) = word(line);
    if after(first, b"SIP/").is_some() {
        let (code, reason) = word(rest);
        lines::number(code, 3).filter(|code| *code >= 100)?;
        let start = SipStart::Response { code: lines::text(code, 3), reason: lines::text(reason, VALUE_MAX) };
        return Some((start, first));
    }
    let (uri, version) = word(rest);
    let token = (1..=32).contains(&first.len())
        && first.iter().all(|byte| byte.is_ascii_alphanumeric() || b"-.!%*_+`'~".contains(byte));
    (token && !uri.is_empty() && after(version, b"SIP/").is_some()).then(|| {
        (SipStart::Request { method: lines::text(first, 32), uri: lines::text(uri, VALUE_MAX) }, version)
    })
}

fn probe(_hint: &Hint<'_>, bytes: &[u8]) -> Guess {
    has_start(bytes, &METHODS, b"SIP/")
}

fn probe_rtsp(_hint: &Hint<'_>, bytes: &[u8]) -> Guess {
    has_start(bytes, &RTSP_METHODS, b"RTSP/")
}

/// A first line with one of these methods and this version, or a response of this version.
fn has_start(bytes: &[u8], methods: &[&[u8]], version: &[u8]) -> Guess {
    if bytes.starts_with(version) {
        return Guess::Yes;
    }
    // Most of what is no such line does not even begin like one: methods are in capitals.
    if bytes.first().is_some_and(|first| !first.is_ascii_uppercase() && !first.is_ascii_whitespace()) {
        return Guess::No;
    }
    let begins = || methods.iter().any(|one| bytes.first() == one.first() && bytes.starts_with(one));
    let is_short = bytes.len() <= START_MAX;
    if !is_short && !bytes.first().is_some_and(u8::is_ascii_whitespace) && !begins() {
        return Guess::No;
    }
    let line = first_line(bytes);
    let whole = line.len() < bytes.len();
    let (first, rest) = word(line);
    let method = methods.contains(&first);
    let ends = rest.rsplit(|byte| *byte == b' ').next().is_some_and(|last| last.starts_with(version));
    if method && ends && whole {
        return Guess::Yes;
    }
    let could = is_short && methods.iter().chain([&version]).any(|one| one.starts_with(line));
    if !whole && bytes.len() < VALUE_MAX && (method || could) { Guess::More } else { Guess::No }
}

#[cfg(test)]
mod tests;
