//! SOCKS 4 and 5 (RFC 1928, RFC 1929): how far the server's answers reach; what is behind them is recognised anew.
//!
//! Begins with the server's first answer. What the client says until then, credentials among it, is not looked at.

use super::reader::Reader;
use super::{Hint, Session, Side, Sink, Take};

/// SOCKS 5: the server asks for user and password.
const METHOD_PASSWORD: u8 = 2;
/// SOCKS 5: the request was carried out.
const SUCCEEDED: u8 = 0;
/// SOCKS 4: the request was carried out.
const GRANTED: u8 = 0x5a;
/// Octets of a SOCKS 4 answer.
const ANSWER_4: u32 = 8;

/// Which answer comes next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Next {
    /// To the offer of methods, or all there is of SOCKS 4.
    First,
    /// To user and password.
    Password,
    /// To the request.
    Request,
    /// None that leads on.
    Nothing,
}

/// State of a connection.
#[derive(Debug)]
pub(crate) struct Parser {
    server: Side,
    next: Next,
}

pub(super) fn begin(hint: &Hint<'_>) -> Session {
    Parser { server: hint.side, next: Next::First }.into()
}

impl super::Parser for Parser {
    fn read_stream(&mut self, side: Side, bytes: &[u8], _sink: &mut Sink<'_>) -> Take {
        if side != self.server {
            return Take::All;
        }
        let mut reader = Reader(bytes);
        let (Some(version), Some(word)) = (reader.u8(), reader.u8()) else { return Take::More };
        match (self.next, version, word) {
            (Next::First, 0, GRANTED) if bytes.len() < ANSWER_4.try_into().unwrap_or(usize::MAX) => {
                Take::More
            }
            (Next::First, 0, GRANTED) => Take::Switch(ANSWER_4, Session::default()),
            (Next::First, 5, METHOD_PASSWORD) => self.goes_on(Next::Password),
            (Next::First, 5, 0) | (Next::Password, 1, SUCCEEDED) => self.goes_on(Next::Request),
            (Next::Request, 5, SUCCEEDED) => match answer_length(bytes) {
                Some(Some(length)) => Take::Switch(length, Session::default()),
                Some(None) => Take::More,
                None => self.ends(),
            },
            _ => self.ends(),
        }
    }

    fn lose(&mut self, _side: Side, _bytes: &[u8], _missing: Option<u32>, _sink: &mut Sink<'_>) {
        self.next = Next::Nothing;
    }

    fn needs_order(&self, side: Side) -> bool {
        side == self.server
    }

    fn is_done(&self) -> bool {
        self.next == Next::Nothing
    }
}

impl Parser {
    /// An answer of two octets.
    const fn goes_on(&mut self, next: Next) -> Take {
        self.next = next;
        Take::Bytes(2)
    }

    const fn ends(&mut self) -> Take {
        self.next = Next::Nothing;
        Take::All
    }
}

/// Length of the answer to a request of SOCKS 5: `Some(None)` until enough is there, `None` if it is none.
fn answer_length(bytes: &[u8]) -> Option<Option<u32>> {
    let address: u32 = match (bytes.get(3), bytes.get(4)) {
        (Some(1), _) => 4,
        (Some(4), _) => 16,
        (Some(3), Some(name)) => 1 + u32::from(*name),
        (Some(3), None) | (None, _) => return Some(None),
        (Some(_), _) => return None,
    };
    let length = 4 + address + 2;
    let is_whole = usize::try_from(length).is_ok_and(|length| bytes.len() >= length);
    Some(is_whole.then_some(length))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{Application, FlowEvent};
    use crate::proto::bench::Bench;

    const HTTP: &[u8] = b"GET /x HTTP/1.1\r\nHost: a.example\r\n\r\n";

    /// Client and server in turn, then a request of HTTP.
    fn carries_http(turns: &[&[u8]]) -> bool {
        let mut bench = Bench::to(1080, 6);
        let mut side = Side::Originator;
        for turn in turns {
            bench.stream(side, turn);
            side = side.other();
        }
        bench.stream(Side::Originator, HTTP);
        assert_eq!(bench.application(), Application::Socks, "{turns:?}");
        bench.events().any(|event| matches!(event, FlowEvent::HttpRequest(_)))
    }

    #[test]
    fn what_is_behind_the_answers_is_read() {
        let (offer, request) = (&b"\x05\x02\0\x02"[..], &b"\x05\x01\0\x01\xc0\0\x02\x01\0\x50"[..]);
        let done: &[u8] = b"\x05\0\0\x01\x0a\0\0\x01\x04\x38";
        assert!(carries_http(&[offer, b"\x05\0", request, done]));
        assert!(carries_http(&[offer, b"\x05\x02", b"\x01\x01u\x01p", b"\x01\0", request, done]));
        assert!(carries_http(&[offer, b"\x05\0", request, b"\x05\0\0\x03\x03a.b\0\x50"]));
        assert!(carries_http(&[b"\x04\x01\0\x50\xc0\0\x02\x01me\0", b"\0\x5a\0\0\0\0\0\0"]));
        assert!(!carries_http(&[offer, b"\x05\xff"]), "no method was accepted");
        assert!(!carries_http(&[offer, b"\x05\0", request, b"\x05\x05\0\x01\0\0\0\0\0\0"]), "refused");
        assert!(!carries_http(&[b"\x04\x01\0\x50\xc0\0\x02\x01me\0", b"\0\x5b\0\0\0\0\0\0"]), "refused");
        assert!(!carries_http(&[offer, b"\x05\x02", b"\x01\x01u\x01p", b"\x01\x01"]), "wrong password");
    }

    #[test]
    fn answers_in_pieces() {
        for (bytes, expected) in [
            (&b"\x05\0\0"[..], Some(None)),
            (b"\x05\0\0\x03", Some(None)),
            (b"\x05\0\0\x03\x03a.b\0", Some(None)),
            (b"\x05\0\0\x03\x03a.b\0\x50", Some(Some(10))),
            (b"\x05\0\0\x01\x0a\0\0\x01\x04\x38more", Some(Some(10))),
            (b"\x05\0\0\x02\x0a", None),
        ] {
            assert_eq!(answer_length(bytes), expected, "{bytes:?}");
        }
    }
}
