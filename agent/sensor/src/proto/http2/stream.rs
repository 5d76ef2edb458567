//! The streams of a connection: each is one exchange (RFC 9113, 8.1).

use std::collections::BTreeMap;

use sekimori_wire::time::Timestamp;

use super::hpack::Block;
use crate::event::http::{Body, Field, Http2, Request, Response, value};
use crate::event::{Application, HttpExchange};
use crate::proto::http::{Signs, Transfer, file_name, file_range};
use crate::proto::{Side, Sink, dns};

/// Streams that are not over; one more, and the oldest is said as it is.
const STREAMS_MAX: usize = 64;
/// A DNS message within a body (RFC 8484) that is kept until it is whole.
const DNS_MAX: usize = 4 * 1024;

/// The streams that are not over.
#[derive(Debug)]
pub(super) struct Streams {
    client: Side,
    open: BTreeMap<u32, Stream>,
    number: u64,
}

/// A stream that is not over.
#[derive(Debug)]
struct Stream {
    exchange: HttpExchange,
    /// Bodies as files (client's, server's).
    files: [Option<Box<Transfer>>; 2],
    /// Bodies that are DNS messages (client's, server's).
    dns: [Vec<u8>; 2],
    over: [bool; 2],
}

impl Streams {
    pub(super) const fn new(client: Side) -> Self {
        Self { client, open: BTreeMap::new(), number: 0 }
    }

    fn blank(&mut self, began: Timestamp, stream: u32) -> HttpExchange {
        let number = self.number;
        self.number = self.number.saturating_add(1);
        HttpExchange {
            application: Application::Http2,
            from_originator: self.client == Side::Originator,
            number,
            began,
            http2: Some(Box::new(Http2 { stream, ..Http2::default() })),
            ..HttpExchange::default()
        }
    }

    /// The connection's own settings are an exchange of their own.
    pub(super) fn settings(&mut self, side: Side, settings: Box<[(u16, u32)]>, sink: &mut Sink<'_>) {
        let mut exchange = self.blank(sink.at, 0);
        if let Some(http2) = &mut exchange.http2 {
            *(if side == self.client { &mut http2.client_settings } else { &mut http2.server_settings }) =
                settings;
        }
        sink.transaction(exchange);
    }

    /// The whole connection, or a stream of it, ended with this error.
    pub(super) fn error(&mut self, stream: u32, error: u32, sink: &mut Sink<'_>) {
        match self.open.remove(&stream) {
            Some(mut one) => {
                if let Some(http2) = &mut one.exchange.http2 {
                    http2.error = Some(error);
                }
                one.say(sink);
            }
            None if stream == 0 => {
                let mut exchange = self.blank(sink.at, 0);
                if let Some(http2) = &mut exchange.http2 {
                    http2.error = Some(error);
                }
                sink.transaction(exchange);
            }
            None => {}
        }
    }

    fn stream(&mut self, id: u32, sink: &mut Sink<'_>) -> &mut Stream {
        if !self.open.contains_key(&id)
            && self.open.len() >= STREAMS_MAX
            && let Some((_, oldest)) = self.open.pop_first()
        {
            oldest.say(sink);
        }
        let exchange =
            if self.open.contains_key(&id) { HttpExchange::default() } else { self.blank(sink.at, id) };
        self.open.entry(id).or_insert_with(|| Stream::new(exchange))
    }

    /// A header block of a stream: the head of its message, an interim response, or trailers.
    pub(super) fn head(&mut self, side: Side, id: u32, block: Block, sink: &mut Sink<'_>) {
        let is_request = side == self.client;
        let one = self.stream(id, sink);
        if let Some(http2) = &mut one.exchange.http2 {
            let [request, response] = &mut http2.table_sizes;
            let place = if is_request { request } else { response };
            *place = block.table_size.or(*place);
        }
        let pseudo = |name: &str| value(&block.fields, name).unwrap_or_default().into();
        let (method, target, status): (Box<str>, Box<str>, Box<str>) =
            (pseudo(":method"), pseudo(":path"), pseudo(":status"));
        let fields: Box<[Field]> = block.fields.into();
        let (protocol, body) = ("HTTP/2".into(), Body::default());
        match (is_request, &one.exchange.request, &one.exchange.response) {
            (true, None, _) => {
                let mut signs = Signs::default();
                let all = fields.iter().map(|field| (field.name.as_bytes(), field.value.as_bytes()));
                signs.head(target.as_bytes(), all);
                let request = Request { method, target, protocol, fields, body, ..Request::default() };
                one.exchange.request = Some(Request { signs: signs.take(), ..request });
            }
            (false, _, None) if status.starts_with('1') => {
                one.exchange.interim = status.parse().ok().map(|status| (status, "".into()));
            }
            (false, _, None) => {
                one.exchange.response = Some(Response { protocol, status, reason: "".into(), fields, body });
            }
            // Trailers.
            (true, Some(_), _) | (false, _, Some(_)) => {}
        }
    }

    /// The request that was sent before the connection became one of HTTP/2 (RFC 7540, 3.2).
    pub(super) fn upgraded(&mut self, request: &Request, at: Timestamp) {
        let field = |name: &str, value: &str| Field { name: name.into(), value: value.into() };
        let host = value(&request.fields, "host").unwrap_or_default();
        let pseudo =
            [field(":method", &request.method), field(":path", &request.target), field(":authority", host)];
        let fields = pseudo.into_iter().chain(request.fields.iter().cloned()).collect();
        let mut exchange = self.blank(at, 1);
        exchange.request = Some(Request { fields, protocol: "HTTP/2".into(), ..request.clone() });
        self.open.insert(1, Stream { over: [true, false], ..Stream::new(exchange) });
    }

    /// Content of a stream.
    pub(super) fn content(&mut self, side: Side, id: u32, bytes: &[u8], missing: u64) {
        let is_request = side == self.client;
        let Some(one) = self.open.get_mut(&id) else { return };
        let (request, response) = (&mut one.exchange.request, &mut one.exchange.response);
        let path = request.as_ref().map(|request| request.target.clone());
        let (body, fields) = match (is_request, request, response) {
            (true, Some(request), _) => (&mut request.body, &request.fields),
            (false, _, Some(response)) => (&mut response.body, &response.fields),
            (true, None, _) | (false, _, None) => return,
        };
        let length = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        body.bytes = body.bytes.saturating_add(length);
        body.framed_bytes = body.framed_bytes.saturating_add(length);
        body.missing = body.missing.saturating_add(missing);
        let [of_request, of_response] = &mut one.files;
        let file = (if is_request { of_request } else { of_response }).get_or_insert_with(|| {
            let name = file_name(fields, path.as_deref().unwrap_or_default());
            Box::new(Transfer::new(name, file_range(fields)))
        });
        file.add(bytes);
        file.miss(missing);
        let is_dns =
            value(fields, "content-type").is_some_and(|kind| kind.starts_with("application/dns-message"));
        let [of_request, of_response] = &mut one.dns;
        let dns = if is_request { of_request } else { of_response };
        if is_dns && dns.len() + bytes.len() <= DNS_MAX {
            dns.extend(bytes);
        }
    }

    /// One side has said everything on this stream.
    pub(super) fn end(&mut self, side: Side, id: u32, sink: &mut Sink<'_>) {
        let is_request = side == self.client;
        let Some(one) = self.open.get_mut(&id) else { return };
        let [request, response] = &mut one.over;
        *(if is_request { &mut *request } else { &mut *response }) = true;
        let [of_request, of_response] = &mut one.dns;
        let message = core::mem::take(if is_request { of_request } else { of_response });
        if !message.is_empty() {
            dns::over_http(side, &message, one.exchange.number, sink);
        }
        if *request
            && *response
            && let Some(one) = self.open.remove(&id)
        {
            one.say(sink);
        }
    }

    pub(super) fn finish(&mut self, sink: &mut Sink<'_>) {
        core::mem::take(&mut self.open).into_values().for_each(|one| one.say(sink));
    }
}

impl Stream {
    const fn new(exchange: HttpExchange) -> Self {
        Self { exchange, files: [None, None], dns: [Vec::new(), Vec::new()], over: [false; 2] }
    }

    fn say(self, sink: &mut Sink<'_>) {
        let mut exchange = self.exchange;
        let mut files = Vec::new();
        for ((file, over), is_request) in self.files.into_iter().zip(self.over).zip([true, false]) {
            let from_originator = exchange.from_originator == is_request;
            let of = (Application::Http2, from_originator, exchange.number);
            files.extend(file.and_then(|file| file.finish(over, of)));
        }
        let [request, response] = self.over;
        if let Some(message) = &mut exchange.request {
            message.body.complete = request && message.body.missing == 0;
        }
        if let Some(message) = &mut exchange.response {
            message.body.complete = response && message.body.missing == 0;
        }
        exchange.files = files.into();
        sink.transaction(exchange);
    }
}
