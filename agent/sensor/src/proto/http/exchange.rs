//! Requests and responses of a connection, in order (RFC 9112, 9.3.2), until both are over.

use std::collections::VecDeque;

use sekimori_wire::time::Timestamp;

use super::body::{self, Framing};
use super::file::{Content, FILES_MAX};
use super::signs::{self, Signs};
use crate::event::http::{Body, Request, Response, value};
use crate::event::{Application, HttpExchange};
use crate::proto::{Side, Sink};

/// Requests that wait for their responses; one more, and the oldest is said without.
const WAITING_MAX: usize = 32;

/// The exchanges of a connection that are not over.
#[derive(Debug, Default)]
pub(super) struct Exchanges {
    waiting: VecDeque<Waiting>,
    number: u64,
}

/// An exchange that is not over.
#[derive(Debug)]
struct Waiting {
    exchange: HttpExchange,
    request: State,
    response: State,
    /// The bodies as files (request's, response's).
    contents: [Content; 2],
    /// What of the request looks like an attack, and the beginning of its body, until that is judged.
    signs: Signs,
    body: Vec<u8>,
}

/// How far a message of an exchange is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Not begun.
    Awaited,
    /// Its body is being read.
    Open,
    /// Over.
    Over,
}

/// Which of the two messages of an exchange.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    Request,
    Response,
}

impl Exchanges {
    /// A request begins; one that was still open has no end.
    pub(super) fn request(
        &mut self,
        client: Side,
        request: Request,
        (content, signs): (Content, Signs),
        sink: &mut Sink<'_>,
    ) {
        self.end(Part::Request, false, sink);
        if self.waiting.len() >= WAITING_MAX
            && let Some(oldest) = self.waiting.pop_front()
        {
            oldest.say(sink);
        }
        let exchange = HttpExchange { request: Some(request), ..self.blank(client, sink.at) };
        let contents = [content, Content::None];
        self.waiting.push_back(Waiting {
            exchange,
            request: State::Open,
            response: State::Awaited,
            contents,
            signs,
            body: Vec::new(),
        });
    }

    fn blank(&mut self, client: Side, began: Timestamp) -> HttpExchange {
        let number = self.number;
        self.number = self.number.saturating_add(1);
        let from_originator = client == Side::Originator;
        HttpExchange {
            application: Application::Http,
            from_originator,
            number,
            began,
            ..HttpExchange::default()
        }
    }

    /// The request that the next response answers, if it was seen.
    pub(super) fn asked(&self) -> Option<&Request> {
        let next = self.waiting.iter().find(|one| one.response == State::Awaited);
        next.and_then(|one| one.exchange.request.as_ref())
    }

    /// An interim response (1xx) to it.
    pub(super) fn interim(&mut self, status: u16, reason: &str) {
        if let Some(one) = self.waiting.iter_mut().find(|one| one.response == State::Awaited) {
            one.exchange.interim = Some((status, reason.into()));
        }
    }

    /// A response begins; one that was still open has no end.
    pub(super) fn response(
        &mut self,
        client: Side,
        response: Response,
        content: Content,
        sink: &mut Sink<'_>,
    ) {
        self.end(Part::Response, false, sink);
        if self.waiting.iter().all(|one| one.response != State::Awaited) {
            sink.anomaly(Application::Http, client.other(), "UNABLE_TO_MATCH_RESPONSE_TO_REQUEST");
            let exchange = self.blank(client, sink.at);
            let contents = [Content::None, Content::None];
            let (signs, body) = (Signs::default(), Vec::new());
            let (request, response) = (State::Over, State::Awaited);
            let one = Waiting { exchange, request, response, contents, signs, body };
            self.waiting.push_back(one);
        }
        if let Some(one) = self.waiting.iter_mut().find(|one| one.response == State::Awaited) {
            let [_, place] = &mut one.contents;
            *place = content;
            one.exchange.response = Some(response);
            one.response = State::Open;
        }
    }

    /// The message of this kind whose body is being read.
    fn open(&mut self, part: Part) -> Option<(&mut Body, &mut Content)> {
        let one = self.waiting.iter_mut().find(|one| one.state(part) == State::Open)?;
        let [request, response] = &mut one.contents;
        let (body, content) = match part {
            Part::Request => (one.exchange.request.as_mut().map(|request| &mut request.body), request),
            Part::Response => (one.exchange.response.as_mut().map(|response| &mut response.body), response),
        };
        body.map(|body| (body, content))
    }

    /// Content of the body that is being read.
    pub(super) fn content(&mut self, part: Part, bytes: &[u8]) {
        if let Some((body, content)) = self.open(part) {
            body::count(body, bytes.len(), 0);
            content.add(bytes);
        }
        if part == Part::Request
            && let Some(one) = self.waiting.iter_mut().find(|one| one.state(part) == State::Open)
        {
            let room = signs::BODY_MAX.saturating_sub(one.body.len()).min(bytes.len());
            one.body.extend_from_slice(bytes.get(..room).unwrap_or_default());
        }
    }

    /// What frames it.
    pub(super) fn framing(&mut self, part: Part, bytes: usize) {
        if let Some((body, _)) = self.open(part) {
            body::count(body, 0, bytes);
        }
    }

    /// Bytes behind its announced end that are no message.
    pub(super) fn surplus(&mut self, part: Part, bytes: &[u8]) {
        if let Some((body, Content::File(file))) = self.open(part) {
            body::count(body, 0, bytes.len());
            file.add_surplus(bytes);
        }
    }

    /// `bytes` of it are not in the capture.
    pub(super) fn miss(&mut self, part: Part, bytes: u64) {
        if let Some((body, content)) = self.open(part) {
            body.missing = body.missing.saturating_add(bytes);
            content.miss(bytes);
        }
    }

    /// The message of this kind that is being read is over.
    pub(super) fn end(&mut self, part: Part, complete: bool, sink: &mut Sink<'_>) {
        let Some(one) = self.waiting.iter_mut().find(|one| one.state(part) == State::Open) else { return };
        one.end(part, complete);
        while self
            .waiting
            .front()
            .is_some_and(|one| one.request == State::Over && one.response == State::Over)
        {
            if let Some(one) = self.waiting.pop_front() {
                one.say(sink);
            }
        }
    }

    /// The connection is over: so are bodies that end with it.
    pub(super) fn finish(&mut self, framings: [Option<Framing>; 2], sink: &mut Sink<'_>) {
        for (part, framing) in [Part::Request, Part::Response].into_iter().zip(framings) {
            self.end(part, framing == Some(Framing::Close), sink);
        }
        self.waiting.drain(..).for_each(|one| one.say(sink));
    }
}

impl Waiting {
    const fn state(&self, part: Part) -> State {
        match part {
            Part::Request => self.request,
            Part::Response => self.response,
        }
    }

    fn end(&mut self, part: Part, complete: bool) {
        if part == Part::Request {
            self.judge();
        }
        let [request, response] = &mut self.contents;
        let (content, body, of_originator) = match part {
            Part::Request => {
                self.request = State::Over;
                let body = self.exchange.request.as_mut().map(|request| &mut request.body);
                (request, body, self.exchange.from_originator)
            }
            Part::Response => {
                self.response = State::Over;
                let body = self.exchange.response.as_mut().map(|response| &mut response.body);
                (response, body, !self.exchange.from_originator)
            }
        };
        if let Some(body) = body {
            body.complete = complete && body.missing == 0;
        }
        let content = core::mem::replace(content, Content::None);
        let more = content.finish(complete, (self.exchange.application, of_originator, self.exchange.number));
        if !more.is_empty() {
            let mut files = core::mem::take(&mut self.exchange.files).into_vec();
            files.extend(more);
            files.truncate(FILES_MAX);
            self.exchange.files = files.into();
        }
    }

    /// The request is whole, or as much of it as will come: what is wrong with it. Its body is not kept any longer.
    fn judge(&mut self) {
        let (body, mut signs) = (core::mem::take(&mut self.body), core::mem::take(&mut self.signs));
        let Some(request) = &mut self.exchange.request else { return };
        if !body.is_empty() {
            let kind = value(&request.fields, "content-type").unwrap_or_default().as_bytes();
            signs.body(kind, &body, &request.target);
            request.form = signs::form(kind, &body);
        }
        request.signs = signs.take();
    }

    fn say(mut self, sink: &mut Sink<'_>) {
        for part in [Part::Request, Part::Response] {
            if self.state(part) == State::Open {
                self.end(part, false);
            }
        }
        sink.transaction(self.exchange);
    }
}
