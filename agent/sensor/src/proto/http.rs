//! HTTP/1 (RFC 9112): requests and responses in order, with bodies counted and not kept.

mod body;
mod exchange;
mod file;
mod head;
mod signs;

use super::{Guess, Hint, Recogniser, Session, Side, Sink, Take, http2};
use crate::counters::Counter;
use crate::event::http::{Body, Request, Response};
use crate::event::{Application, FlowEvent, HttpRequest};
use body::{Chunk, Framing, Step};
use exchange::{Exchanges, Part};
use file::Content;
use head::{Head, Kind, Length, TARGET_MAX, WORD_MAX, probe};

pub(super) use file::{Transfer, name_of as file_name, range_of as file_range};
pub(super) use head::{field_text, is_secret};
pub(super) use signs::Signs;

/// What a response begins with.
const STATUS: &[u8] = b"HTTP/";
/// Bytes behind the announced end of a body that still belong to it when they are no message.
const SURPLUS_MAX: usize = 256;
/// Heads of one connection that may be unreadable before it is left alone.
const MALFORMED_MAX: u8 = 16;

pub(super) const STREAM: &[Recogniser] =
    &[Recogniser { application: Application::Http, probe: recognise, begin }];
pub(super) const DATAGRAM: &[Recogniser] = &[];

/// State of a connection.
#[derive(Debug, Default)]
pub(crate) struct Parser {
    /// Who asks.
    client: Option<Side>,
    places: [Place; 2],
    /// Bytes of a head that were searched for its end.
    searched: [usize; 2],
    exchanges: Exchanges,
    malformed: u8,
}

/// Where in its messages one side is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Place {
    /// A head begins here.
    Head,
    /// In the body of a message.
    Body(Framing),
    /// Behind a CONNECT: what comes depends on the answer.
    Tunnel,
    /// Nothing was seen of it yet: a head, or the middle of a connection that was joined late.
    #[default]
    Start,
    /// Somewhere: the next head is looked for where segments begin.
    Lost,
}

/// `side` is at a head; where the other is, a midstream pick-up does not know.
fn begin(hint: &Hint<'_>) -> Session {
    let mut parser = Parser::default();
    *hint.side.of_mut(&mut parser.places) = Place::Head;
    parser.into()
}

fn recognise(_hint: &Hint<'_>, bytes: &[u8]) -> Guess {
    match probe(bytes) {
        Ok(_) => Guess::Yes,
        Err(true) => Guess::More,
        Err(false) => Guess::No,
    }
}

impl super::Parser for Parser {
    fn read_stream(&mut self, side: Side, bytes: &[u8], sink: &mut Sink<'_>) -> Take {
        match *side.of(&self.places) {
            Place::Head => self.read_head(side, bytes, sink),
            Place::Body(framing) => self.read_body(side, framing, bytes, sink),
            Place::Tunnel => match blank(bytes) {
                0 => Take::More,
                blank => Take::bytes(blank),
            },
            Place::Start | Place::Lost => match probe(bytes) {
                Ok(kind) if self.client.is_none_or(|client| (client == side) == (kind == Kind::Request)) => {
                    *side.of_mut(&mut self.places) = Place::Head;
                    self.read_head(side, bytes, sink)
                }
                Err(_) if self.awaits_old_response(side) => self.old_response(side, bytes, sink),
                Err(true) => Take::More,
                Ok(_) | Err(false) => {
                    *side.of_mut(&mut self.places) = Place::Lost;
                    Take::All
                }
            },
        }
    }

    fn lose(&mut self, side: Side, bytes: &[u8], missing: Option<u32>, sink: &mut Sink<'_>) {
        *side.of_mut(&mut self.searched) = 0;
        let gone = missing.map(|missing| u64::from(missing) + u64::try_from(bytes.len()).unwrap_or(u64::MAX));
        match *side.of(&self.places) {
            Place::Head => {
                if !bytes.is_empty() {
                    self.cut_head(side, bytes, sink);
                }
                self.lost(side, sink);
            }
            Place::Body(mut framing) => {
                let part = self.part(side);
                let left = framing.left();
                match gone.and_then(|gone| framing.skip(gone)) {
                    Some(content) => {
                        self.exchanges.miss(part, content);
                        *side.of_mut(&mut self.places) = Place::Body(framing);
                        if framing.is_over() {
                            self.message_over(side, sink);
                        }
                    }
                    None => {
                        self.exchanges.miss(part, left);
                        self.lost(side, sink);
                    }
                }
            }
            Place::Tunnel | Place::Start | Place::Lost => self.lost(side, sink),
        }
    }

    fn needs_order(&self, side: Side) -> bool {
        *side.of(&self.places) != Place::Lost
    }

    fn finish(&mut self, sink: &mut Sink<'_>) {
        let client = self.client.unwrap_or(Side::Originator);
        let framing = |side: Side| match side.of(&self.places) {
            Place::Body(framing) => Some(*framing),
            Place::Head | Place::Tunnel | Place::Start | Place::Lost => None,
        };
        let framings = [framing(client), framing(client.other())];
        self.exchanges.finish(framings, sink);
    }

    fn is_done(&self) -> bool {
        self.malformed >= MALFORMED_MAX
    }
}

impl Parser {
    fn part(&self, side: Side) -> Part {
        if self.client == Some(side) { Part::Request } else { Part::Response }
    }

    /// Where this side is, nobody knows: its message has no end.
    fn lost(&mut self, side: Side, sink: &mut Sink<'_>) {
        let part = self.part(side);
        self.exchanges.end(part, false, sink);
        *side.of_mut(&mut self.places) = Place::Lost;
    }

    fn malformed(&mut self, side: Side, sink: &mut Sink<'_>) -> Take {
        sink.counters.count(Counter::ProtoMalformed);
        self.malformed = self.malformed.saturating_add(1);
        self.lost(side, sink);
        Take::All
    }

    fn message_over(&mut self, side: Side, sink: &mut Sink<'_>) {
        let part = self.part(side);
        self.exchanges.end(part, true, sink);
        *side.of_mut(&mut self.places) = Place::Head;
    }

    fn read_body(&mut self, side: Side, mut framing: Framing, bytes: &[u8], sink: &mut Sink<'_>) -> Take {
        let part = self.part(side);
        let mut taken = match framing.step(bytes) {
            Step::Framing(n) => {
                self.exchanges.framing(part, n);
                n
            }
            Step::Content(content) => {
                self.exchanges.content(part, content);
                content.len()
            }
            Step::Broken => return self.malformed(side, sink),
        };
        *side.of_mut(&mut self.places) = Place::Body(framing);
        if framing.is_over() {
            let rest = bytes.get(taken..).unwrap_or_default();
            if part == Part::Response && framing == Framing::Length(0) {
                let surplus = surplus(rest);
                self.exchanges.surplus(part, surplus);
                taken += surplus.len();
            }
            self.message_over(side, sink);
        }
        Take::bytes(taken)
    }

    fn read_head(&mut self, side: Side, bytes: &[u8], sink: &mut Sink<'_>) -> Take {
        let blank = blank(bytes);
        if blank > 0 {
            return Take::bytes(blank);
        }
        let (is_response, may_be) =
            (bytes.starts_with(STATUS), STATUS.starts_with(bytes.get(..5).unwrap_or(bytes)));
        let client = *self.client.get_or_insert_with(|| if is_response { side.other() } else { side });
        let searched = core::mem::take(side.of_mut(&mut self.searched));
        if side == client {
            if is_response || !bytes.first().is_some_and(u8::is_ascii_alphanumeric) {
                return self.malformed(side, sink);
            }
            let Some(length) = old_request(bytes).or_else(|| head::end(bytes, searched)) else {
                *side.of_mut(&mut self.searched) = bytes.len();
                return Take::More;
            };
            let head = head::read(bytes.get(..length).unwrap_or_default());
            return self.request(side, &head, length, sink);
        }
        if !may_be {
            return self.old_response(side, bytes, sink);
        }
        let Some(length) = head::end(bytes, searched) else {
            *side.of_mut(&mut self.searched) = bytes.len();
            return Take::More;
        };
        let head = head::read(bytes.get(..length).unwrap_or_default());
        self.response(side, &head, length, sink)
    }

    fn request(&mut self, side: Side, head: &Head<'_>, length: usize, sink: &mut Sink<'_>) -> Take {
        self.say_request(side, head, false, sink);
        let connect = head::request_line(head.line).method == b"CONNECT";
        let place = match head.length() {
            _ if connect => Place::Tunnel,
            Length::Unsaid | Length::Bytes(0) => Place::Head,
            Length::Bytes(bytes) => Place::Body(Framing::Length(bytes)),
            Length::Chunked => Place::Body(Framing::Chunked(Chunk::FIRST)),
            Length::Unclear => Place::Lost,
        };
        *side.of_mut(&mut self.places) = place;
        match place {
            Place::Head | Place::Tunnel => self.exchanges.end(Part::Request, true, sink),
            Place::Lost => self.exchanges.end(Part::Request, false, sink),
            Place::Body(_) | Place::Start => {}
        }
        Take::bytes(length)
    }

    /// A request begins: for the detectors at once, for its exchange.
    fn say_request(&mut self, side: Side, head: &Head<'_>, is_cut: bool, sink: &mut Sink<'_>) {
        let line = head::request_line(head.line);
        // A target that is cut is none for the detectors.
        if !is_cut || !line.protocol.is_empty() {
            push(head.summary(&line), sink);
        }
        if line.protocol.is_empty() {
            sink.anomaly(Application::Http, side, "REQUEST_LINE_MISSING_PROTOCOL");
        } else if head.value("host").is_none() && line.protocol.ends_with(b"1.1") {
            sink.anomaly(Application::Http, side, "MISSING_HOST_HEADER");
        }
        let target = head::text(line.target, TARGET_MAX);
        let (_, path) = head::split_target(&target, line.method == b"CONNECT");
        let content = Content::of_request(head, line.method, path);
        let mut signs = Signs::default();
        signs.head(line.target, head.fields.iter().copied());
        let request = Request {
            method: head::text(line.method, WORD_MAX),
            protocol: head::text(line.protocol, WORD_MAX),
            fields: head.kept(),
            user: head.user(),
            body: Body::default(),
            target,
            form: None,
            signs: Box::default(),
        };
        self.exchanges.request(side, request, (content, signs), sink);
    }

    fn response(&mut self, side: Side, head: &Head<'_>, length: usize, sink: &mut Sink<'_>) -> Take {
        let line = head::status_line(head.line);
        let status = str::from_utf8(line.status).ok().and_then(|status| status.parse::<u16>().ok());
        if let Some(status) = status.filter(|status| (100..600).contains(status)) {
            sink.push(FlowEvent::HttpResponse { status });
        }
        if let Some(status @ (100 | 102..=199)) = status {
            self.exchanges.interim(status, &head::text(line.reason, TARGET_MAX));
            return Take::bytes(length);
        }
        let asked = self.exchanges.asked().map_or("", |request| &*request.method);
        let (is_head, is_connect) = (asked == "HEAD", asked == "CONNECT");
        let upgraded = status == Some(101);
        let next = upgraded.then(|| self.upgrade(head, sink));
        self.say_response(side, head, sink);
        let tunnel = (is_connect && matches!(status, Some(200..=299))) || upgraded;
        let framing = match (status, head.length()) {
            _ if is_head || tunnel => None,
            (Some(204 | 304), _) | (_, Length::Bytes(0)) => None,
            (_, Length::Bytes(bytes)) => Some(Framing::Length(bytes)),
            (_, Length::Chunked) => Some(Framing::Chunked(Chunk::FIRST)),
            (_, Length::Unsaid | Length::Unclear) => Some(Framing::Close),
        };
        if let Some(framing) = framing {
            *side.of_mut(&mut self.places) = Place::Body(framing);
        } else {
            self.message_over(side, sink);
        }
        if tunnel {
            let length = u32::try_from(length).unwrap_or(u32::MAX);
            return Take::Switch(length, next.unwrap_or_default());
        }
        let client = side.other();
        if *client.of(&self.places) == Place::Tunnel {
            *client.of_mut(&mut self.places) = Place::Head;
        }
        Take::bytes(length)
    }

    /// A final response begins.
    fn say_response(&mut self, side: Side, head: &Head<'_>, sink: &mut Sink<'_>) {
        let line = head::status_line(head.line);
        let target = self.exchanges.asked().map_or("", |request| &*request.target);
        let (_, path) = head::split_target(target, false);
        let content = Content::of_response(head, path);
        let response = Response {
            protocol: head::text(line.protocol, WORD_MAX),
            status: head::text(line.status, WORD_MAX),
            reason: head::text(line.reason, TARGET_MAX),
            fields: head.kept(),
            body: Body::default(),
        };
        self.exchanges.response(side.other(), response, content, sink);
    }

    /// What the connection goes on as.
    fn upgrade(&self, head: &Head<'_>, sink: &mut Sink<'_>) -> Session {
        let to = head.value("upgrade").unwrap_or_default();
        if to.eq_ignore_ascii_case(b"h2c") {
            sink.is(Application::Http2);
            let client = self.client.unwrap_or(Side::Originator);
            http2::upgraded(client, self.exchanges.asked().cloned(), sink.at)
        } else if to.eq_ignore_ascii_case(b"websocket") {
            sink.is(Application::WebSocket);
            Session::Opaque
        } else {
            Session::default()
        }
    }

    /// The next response answers a request before HTTP/1.0.
    fn awaits_old_response(&self, side: Side) -> bool {
        self.client == Some(side.other())
            && self.exchanges.asked().is_some_and(|request| request.protocol.is_empty())
    }

    /// What no status line begins answers a request before HTTP/1.0, or nothing.
    fn old_response(&mut self, side: Side, bytes: &[u8], sink: &mut Sink<'_>) -> Take {
        if !self.awaits_old_response(side) {
            return self.malformed(side, sink);
        }
        self.say_response(side, &Head::default(), sink);
        self.read_body(side, Framing::Close, bytes, sink)
    }

    /// A head of which no more will come: what its first lines say.
    fn cut_head(&mut self, side: Side, bytes: &[u8], sink: &mut Sink<'_>) {
        let head = head::read(bytes);
        if self.client.is_none_or(|client| client == side) && probe(bytes) == Ok(Kind::Request) {
            self.client = Some(side);
            self.say_request(side, &head, true, sink);
        }
    }
}

/// Line ends in front of a head.
fn blank(bytes: &[u8]) -> usize {
    bytes.iter().take_while(|byte| matches!(byte, b'\r' | b'\n')).count()
}

/// A request line without a version, and nothing behind it that could be fields: HTTP/0.9 ends there.
fn old_request(bytes: &[u8]) -> Option<usize> {
    let end = bytes.iter().position(|byte| *byte == b'\n')? + 1;
    let line = bytes.get(..end)?;
    let rest = bytes.get(end..)?;
    (rest.is_empty() && head::request_line(line).protocol.is_empty()).then_some(end)
}

/// What stands behind a body and is no head: usually one line end too many.
fn surplus(rest: &[u8]) -> &[u8] {
    if STATUS.starts_with(rest.get(..5).unwrap_or(rest)) {
        return &[];
    }
    let end = rest.iter().position(|byte| *byte == b'\n').map_or(rest.len(), |at| at + 1);
    rest.get(..end).filter(|rest| rest.len() <= SURPLUS_MAX).unwrap_or_default()
}

fn push(request: HttpRequest, sink: &mut Sink<'_>) {
    if sink.notes.server_name.is_none() {
        sink.notes.server_name.clone_from(&request.host);
    }
    sink.push(FlowEvent::HttpRequest(request.into()));
}

#[cfg(test)]
mod tests;
