//! Syslog (RFC 5424, RFC 3164) in datagrams and in streams (RFC 6587).

use super::{Guess, Hint, Recogniser, Session, Side, Sink, Take};
use crate::counters::Counter;
use crate::event::{Application, FlowEvent};

/// The priority of a syslog message has at most three digits (RFC 5424, 6.2.1).
const PRIORITY_DIGITS_MAX: usize = 3;
/// Digits of an octet count (RFC 6587, 3.4.1).
const COUNT_DIGITS_MAX: usize = 5;
pub(super) const PORT: u16 = 514;
/// Plain syslog over TCP (RFC 6587): by habit and by registration.
const STREAM_PORTS: [u16; 2] = [PORT, 601];

pub(super) const STREAM: &[Recogniser] =
    &[Recogniser { application: Application::Syslog, probe: probe_stream, begin }];
pub(super) const DATAGRAM: &[Recogniser] =
    &[Recogniser { application: Application::Syslog, probe: probe_datagram, begin }];

/// State of a connection.
#[derive(Debug, Default)]
pub(crate) struct Parser {
    broken: bool,
}

fn begin(_hint: &Hint<'_>) -> Session {
    Parser::default().into()
}

fn probe_stream(hint: &Hint<'_>, bytes: &[u8]) -> Guess {
    match syslog_line(bytes) {
        Line::Whole(..) if hint.on_port(&STREAM_PORTS) => Guess::Yes,
        Line::Partial if hint.on_port(&STREAM_PORTS) => Guess::More,
        Line::Whole(..) | Line::Partial | Line::Malformed => Guess::No,
    }
}

fn probe_datagram(hint: &Hint<'_>, bytes: &[u8]) -> Guess {
    (hint.to_port() == PORT && is_syslog(bytes)).into()
}

impl super::Parser for Parser {
    fn read_stream(&mut self, _side: Side, bytes: &[u8], sink: &mut Sink<'_>) -> Take {
        match syslog_line(bytes) {
            Line::Whole(line, length) => {
                sink.push(FlowEvent::Syslog(line.into()));
                Take::bytes(length)
            }
            Line::Partial => Take::More,
            Line::Malformed => {
                sink.counters.count(Counter::ProtoMalformed);
                self.broken = true;
                Take::All
            }
        }
    }

    fn read_datagram(&mut self, side: Side, bytes: &[u8], _wire_bytes: u32, sink: &mut Sink<'_>) {
        let hint = Hint { side, flow: sink.flow, other: &[] };
        if probe_datagram(&hint, bytes) == Guess::Yes {
            sink.push(FlowEvent::Syslog(bytes.into()));
        }
    }

    fn is_done(&self) -> bool {
        self.broken
    }

    fn is_light(&self) -> bool {
        true
    }
}

/// Begins with a priority: `<13>`.
pub(super) fn is_syslog(bytes: &[u8]) -> bool {
    let Some(rest) = bytes.strip_prefix(b"<") else { return false };
    let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
    (1..=PRIORITY_DIGITS_MAX).contains(&digits) && rest.get(digits) == Some(&b'>')
}

/// One message of a syslog stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Line<'a> {
    /// The message, and how many bytes it took.
    Whole(&'a [u8], usize),
    /// More is needed.
    Partial,
    /// Not syslog.
    Malformed,
}

/// The first message of `bytes`: counted (`17 <13>…`) or ended by a line feed or NUL (RFC 6587, 3.4).
pub(super) fn syslog_line(bytes: &[u8]) -> Line<'_> {
    let digits = bytes.iter().take_while(|byte| byte.is_ascii_digit()).count();
    if digits > COUNT_DIGITS_MAX {
        return Line::Malformed;
    }
    if digits > 0 {
        let (count, rest) = bytes.split_at_checked(digits).unwrap_or_default();
        let count =
            str::from_utf8(count).ok().and_then(|count| count.parse::<usize>().ok()).unwrap_or_default();
        return match rest.split_first() {
            None => Line::Partial,
            Some((b' ', message)) => match message.get(..count) {
                Some(line) if is_syslog(line) => Line::Whole(line, digits + 1 + count),
                Some(_) => Line::Malformed,
                None => Line::Partial,
            },
            Some(_) => Line::Malformed,
        };
    }
    match bytes.iter().position(|byte| matches!(byte, b'\n' | 0)) {
        Some(end) => {
            let line = bytes.get(..end).unwrap_or_default();
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            if is_syslog(line) { Line::Whole(line, end + 1) } else { Line::Malformed }
        }
        None if bytes.is_empty() || bytes.starts_with(b"<") => Line::Partial,
        None => Line::Malformed,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_priority_makes_syslog() {
        for (text, expected) in [
            ("<13>Oct 11 x", true),
            ("<0>", true),
            ("<191>1 -", true),
            ("<1913>1", false),
            ("<>x", false),
            ("<13", false),
            ("13>", false),
            ("", false),
        ] {
            assert_eq!(is_syslog(text.as_bytes()), expected, "{text}");
        }
    }

    #[test]
    fn frames_syslog_streams() {
        for (text, expected) in [
            ("<13>a b\n<14>c", Line::Whole(b"<13>a b", 8)),
            ("<13>a\r\n", Line::Whole(b"<13>a", 7)),
            ("<13>a\0", Line::Whole(b"<13>a", 6)),
            ("7 <13>a\nb5 <1", Line::Whole(b"<13>a\nb", 9)),
            ("7 <13>a", Line::Partial),
            ("12", Line::Partial),
            ("<13>a", Line::Partial),
            ("", Line::Partial),
            ("123456 <13>", Line::Malformed),
            ("5 abcde", Line::Malformed),
            ("hello\n", Line::Malformed),
        ] {
            assert_eq!(syslog_line(text.as_bytes()), expected, "{text}");
        }
    }
}
