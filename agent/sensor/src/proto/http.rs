//! Heads of HTTP/1 messages (RFC 9112) over httparse, and how far their bodies reach.

use httparse::{EMPTY_HEADER, Header, ParserConfig, Status};
use sekimori_wire::text::prefix;

use super::{Guess, Hint, Recogniser, Session, Side, Sink, Take};
use crate::counters::Counter;
use crate::event::{Application, FlowEvent, HttpRequest};

/// A head with more header fields is malformed; servers' own limits are about as high.
const HEADERS_MAX: usize = 100;
const TEXT_MAX: usize = 256;
/// Methods that a stream may begin with: RFC 9110, RFC 5789, and those of `WebDAV` (RFC 4918, 3253).
const METHODS: [&str; 18] = [
    "GET ",
    "POST ",
    "HEAD ",
    "PUT ",
    "DELETE ",
    "OPTIONS ",
    "PATCH ",
    "CONNECT ",
    "TRACE ",
    "PROPFIND ",
    "PROPPATCH ",
    "MKCOL ",
    "COPY ",
    "MOVE ",
    "LOCK ",
    "UNLOCK ",
    "REPORT ",
    "SEARCH ",
];
const RESPONSE: &str = "HTTP/1.";

/// Bodies longer than this are not skipped by counting: sequence numbers wrap.
const SKIP_MAX: u64 = 1 << 30;

pub(super) const STREAM: &[Recogniser] =
    &[Recogniser { application: Application::Http, probe: recognise, begin }];
pub(super) const DATAGRAM: &[Recogniser] = &[];

/// State of a connection.
#[derive(Debug, Default)]
pub(crate) struct Parser {
    places: [Place; 2],
    method: Method,
    upgraded: bool,
}

/// Where in its messages one side is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Place {
    /// A head begins here.
    Head,
    /// Somewhere: the next head is looked for where segments begin.
    #[default]
    Lost,
}

/// The methods whose responses end in another way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Method {
    #[default]
    Usual,
    /// RFC 9112, 6.3: its response has no body whatever the head says.
    Head,
    /// After its success the connection carries something else.
    Connect,
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
        let (length, body) = match probe(bytes) {
            Ok(Kind::Request) => match request(bytes) {
                Read::Head(request, length, body) => {
                    self.method = match &*request.method {
                        "HEAD" => Method::Head,
                        "CONNECT" => Method::Connect,
                        _ => Method::Usual,
                    };
                    push(request, sink);
                    (length, body)
                }
                Read::Partial => return Take::More,
                Read::Malformed => return self.lost(side, sink),
            },
            Ok(Kind::Response) => match response(bytes) {
                Read::Head(status, length, body) => {
                    sink.push(FlowEvent::HttpResponse { status });
                    if status == 101 {
                        self.upgraded = true;
                        return Take::All;
                    }
                    if self.method == Method::Connect && (200..300).contains(&status) {
                        return u32::try_from(length)
                            .map_or(Take::All, |length| Take::Switch(length, Session::default()));
                    }
                    (length, if self.method == Method::Head { Body::Length(0) } else { body })
                }
                Read::Partial => return Take::More,
                Read::Malformed => return self.lost(side, sink),
            },
            Err(true) if *side.of(&self.places) == Place::Head => return Take::More,
            Err(_) if *side.of(&self.places) == Place::Head => return self.lost(side, sink),
            Err(_) => return Take::All,
        };
        let skip = match body {
            Body::Length(bytes) if bytes <= SKIP_MAX => usize::try_from(bytes).ok(),
            Body::Length(_) | Body::Unknown => None,
        };
        *side.of_mut(&mut self.places) = if skip.is_some() { Place::Head } else { Place::Lost };
        // A body of unknown length: the head is taken, the rest of this segment is body.
        skip.map_or(Take::All, |skip| Take::bytes(length.saturating_add(skip)))
    }

    fn lose(&mut self, side: Side, bytes: &[u8], _missing: Option<u32>, sink: &mut Sink<'_>) {
        if let Some(request) = cut_request(bytes) {
            push(request, sink);
        }
        *side.of_mut(&mut self.places) = Place::Lost;
    }

    fn needs_order(&self, side: Side) -> bool {
        *side.of(&self.places) == Place::Head
    }

    fn is_done(&self) -> bool {
        self.upgraded
    }
}

impl Parser {
    fn lost(&mut self, side: Side, sink: &mut Sink<'_>) -> Take {
        sink.counters.count(Counter::ProtoMalformed);
        *side.of_mut(&mut self.places) = Place::Lost;
        Take::All
    }
}

fn push(request: HttpRequest, sink: &mut Sink<'_>) {
    if sink.notes.server_name.is_none() {
        sink.notes.server_name.clone_from(&request.host);
    }
    sink.push(FlowEvent::HttpRequest(request.into()));
}

/// Which kind of head bytes begin with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Request,
    Response,
}

/// Looks at the first bytes; `Err(true)` if more bytes could still make a head of them.
pub(super) fn probe(bytes: &[u8]) -> Result<Kind, bool> {
    let begins = |with: &str| bytes.starts_with(with.as_bytes());
    if begins(RESPONSE) {
        return Ok(Kind::Response);
    }
    if METHODS.iter().any(|method| begins(method)) {
        return Ok(Kind::Request);
    }
    let may = |with: &str| with.as_bytes().starts_with(bytes);
    Err(may(RESPONSE) || METHODS.iter().any(|method| may(method)))
}

/// What bytes that begin with a head hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Read<T> {
    /// The head, its length and its body.
    Head(T, usize, Body),
    /// More is needed.
    Partial,
    /// Not HTTP/1 after all.
    Malformed,
}

/// How the body of a message ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Body {
    /// After this many bytes.
    Length(u64),
    /// Somewhere: chunked, or with the connection.
    Unknown,
}

pub(super) fn request(bytes: &[u8]) -> Read<HttpRequest> {
    let mut headers = [EMPTY_HEADER; HEADERS_MAX];
    let mut head = httparse::Request::new(&mut headers);
    match ParserConfig::default().parse_request(&mut head, bytes) {
        Ok(Status::Complete(length)) => {
            let body = body(head.headers).unwrap_or(Body::Length(0));
            Read::Head(summary(&head), length, body)
        }
        Ok(Status::Partial) => Read::Partial,
        Err(_) => Read::Malformed,
    }
}

/// A request of which no more will come: what its first lines say.
pub(super) fn cut_request(bytes: &[u8]) -> Option<HttpRequest> {
    let mut headers = [EMPTY_HEADER; HEADERS_MAX];
    let mut head = httparse::Request::new(&mut headers);
    let cut = ParserConfig::default().parse_request(&mut head, bytes);
    (cut == Ok(Status::Partial) && head.version.is_some()).then(|| summary(&head))
}

/// Status and body of a response.
pub(super) fn response(bytes: &[u8]) -> Read<u16> {
    let mut headers = [EMPTY_HEADER; HEADERS_MAX];
    let mut head = httparse::Response::new(&mut headers);
    let mut config = ParserConfig::default();
    config.allow_spaces_after_header_name_in_responses(true);
    config.allow_obsolete_multiline_headers_in_responses(true);
    match (config.parse_response(&mut head, bytes), head.code) {
        (Ok(Status::Complete(length)), Some(status @ 100..=599)) => {
            let body = match status {
                100..=199 | 204 | 304 => Body::Length(0),
                _ => body(head.headers).unwrap_or(Body::Unknown),
            };
            Read::Head(status, length, body)
        }
        (Ok(Status::Partial), _) => Read::Partial,
        (Ok(Status::Complete(_)) | Err(_), _) => Read::Malformed,
    }
}

fn value<'h>(headers: &[Header<'h>], name: &str) -> Option<&'h [u8]> {
    headers.iter().find(|header| header.name.eq_ignore_ascii_case(name)).map(|header| header.value)
}

/// What the head says about its body, if it says anything. RFC 9112, 6.3: a transfer coding overrides a length.
fn body(headers: &[Header<'_>]) -> Option<Body> {
    if value(headers, "transfer-encoding").is_some() {
        return Some(Body::Unknown);
    }
    let length = str::from_utf8(value(headers, "content-length")?).ok();
    Some(length.and_then(|text| text.trim().parse().ok()).map_or(Body::Unknown, Body::Length))
}

fn summary(head: &httparse::Request<'_, '_>) -> HttpRequest {
    let method = head.method.unwrap_or_default();
    let target = head.path.unwrap_or_default();
    let target = target.split(['?', '#']).next().unwrap_or_default();
    // RFC 9112, 3.2: the authority of an absolute or CONNECT target goes before the Host header.
    let (authority, path) = match target.split_once("://") {
        _ if method == "CONNECT" => (Some(target), ""),
        Some((_scheme, rest)) => rest.split_once('/').map_or((Some(rest), "/"), |(authority, _)| {
            (Some(authority), rest.split_at_checked(authority.len()).map_or("/", |(_, path)| path))
        }),
        None => (None, target),
    };
    let in_header = || value(head.headers, "host").map(String::from_utf8_lossy);
    let host = authority.map(Into::into).or_else(in_header);
    let agent = value(head.headers, "user-agent").map(String::from_utf8_lossy);
    HttpRequest {
        method: method.into(),
        host: host.as_deref().map(host_name).filter(|host| !host.is_empty()),
        path: prefix(path, TEXT_MAX).into(),
        user_agent: agent.as_deref().map(|agent| prefix(agent, TEXT_MAX).into()),
        has_authorization: value(head.headers, "authorization").is_some(),
    }
}

/// A host without user, port and brackets, lower case.
fn host_name(authority: &str) -> Box<str> {
    let host = authority.trim().rsplit('@').next().unwrap_or_default();
    let host = match host.strip_prefix('[') {
        Some(literal) => literal.split(']').next().unwrap_or_default(),
        None => host.split(':').next().unwrap_or_default(),
    };
    prefix(&host.to_lowercase(), TEXT_MAX).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_requests() {
        let check = |text: &str, method: &str, host: Option<&str>, path: &str, body: Body| {
            let Read::Head(head, length, read) = request(text.as_bytes()) else { panic!("{text}") };
            assert_eq!(
                (&*head.method, head.host.as_deref(), &*head.path, read, length),
                (method, host, path, body, text.len()),
                "{text}"
            );
        };
        let none = Body::Length(0);
        check(
            "GET /a/b?q=secret HTTP/1.1\r\nHost: WWW.Example.JP:8080\r\n\r\n",
            "GET",
            Some("www.example.jp"),
            "/a/b",
            none,
        );
        check(
            "GET http://u:p@proxy.test:3128/x?y HTTP/1.1\r\nHost: other\r\n\r\n",
            "GET",
            Some("proxy.test"),
            "/x",
            none,
        );
        check("GET http://proxy.test HTTP/1.1\r\n\r\n", "GET", Some("proxy.test"), "/", none);
        check("CONNECT mail.test:443 HTTP/1.1\r\n\r\n", "CONNECT", Some("mail.test"), "", none);
        check("GET / HTTP/1.1\r\nHost: [2001:db8::1]:80\r\n\r\n", "GET", Some("2001:db8::1"), "/", none);
        check("GET / HTTP/1.0\r\n\r\n", "GET", None, "/", none);
        check("POST /f HTTP/1.1\r\nContent-Length: 12\r\n\r\n", "POST", None, "/f", Body::Length(12));
        check(
            "PUT /f HTTP/1.1\r\nTransfer-Encoding: chunked\r\nContent-Length: 9\r\n\r\n",
            "PUT",
            None,
            "/f",
            Body::Unknown,
        );
        check("POST /f HTTP/1.1\r\nContent-Length: -1\r\n\r\n", "POST", None, "/f", Body::Unknown);
        let long = format!("GET /{} HTTP/1.1\r\n\r\n", "関".repeat(200));
        let Read::Head(head, ..) = request(long.as_bytes()) else { panic!("long") };
        assert_eq!(head.path.len(), 256);
    }

    #[test]
    fn notices_credentials_and_agents_but_keeps_no_secret() {
        let text = "GET /?token=1 HTTP/1.1\r\nAuthorization: Basic c2VjcmV0\r\nUser-Agent: curl/8ÿ\r\n\r\n";
        let bytes: Vec<u8> = text.chars().map(|ch| u8::try_from(ch).unwrap()).collect();
        let Read::Head(head, ..) = request(&bytes) else { panic!("head") };
        assert!(head.has_authorization);
        assert_eq!(head.user_agent.as_deref(), Some("curl/8\u{fffd}"));
        assert!(!format!("{head:?}").contains("token"));
        assert!(!format!("{head:?}").contains("c2Vj"));
    }

    #[test]
    fn reads_responses() {
        for (text, expected) in [
            ("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", Read::Head(200, 38, Body::Length(5))),
            ("HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n", Read::Head(304, 48, Body::Length(0))),
            ("HTTP/1.0 401 \r\n\r\n", Read::Head(401, 17, Body::Unknown)),
            ("HTTP/1.1 200 OK\r\n", Read::Partial),
            ("HTTP/1.1 999 No\r\n\r\n", Read::Malformed),
            ("HTTP/1.1 2x0 OK\r\n\r\n", Read::Malformed),
        ] {
            assert_eq!(response(text.as_bytes()), expected, "{text}");
        }
    }

    #[test]
    fn probes_by_content() {
        for (text, expected) in [
            ("GET / HTTP/1.1", Ok(Kind::Request)),
            ("HTTP/1.1 200", Ok(Kind::Response)),
            ("PROPF", Err(true)),
            ("HTT", Err(true)),
            ("", Err(true)),
            ("GETX", Err(false)),
            ("HTTP/2", Err(false)),
            ("\x16\x03", Err(false)),
        ] {
            assert_eq!(probe(text.as_bytes()), expected, "{text}");
        }
    }

    #[test]
    fn a_cut_request_gives_what_its_first_lines_say() {
        let cut = cut_request(b"GET /a HTTP/1.1\r\nHost: h.test\r\nUser-Ag").unwrap();
        assert_eq!((&*cut.path, cut.host.as_deref()), ("/a", Some("h.test")));
        assert_eq!(cut_request(b"GET /a HT"), None);
    }
}
