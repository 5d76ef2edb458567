//! What is read of HTTP/1 and of HTTP/2 in clear text.

use sekimori_wire::time::Timestamp;

use super::{Application, FileInfo};

/// The head of an HTTP/1 request. The query is never kept.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HttpRequest {
    /// Method.
    pub method: Box<str>,
    /// Host header without the port, lower case.
    pub host: Option<Box<str>>,
    /// Path, at most 256 bytes, without the query.
    pub path: Box<str>,
    /// User-Agent header, at most 256 bytes.
    pub user_agent: Option<Box<str>>,
    /// An Authorization header is there.
    pub has_authorization: bool,
}

/// A request with its response, when the response is over or the flow is. Texts are at most 2 KiB, fields at most 64 a message.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HttpExchange {
    /// HTTP/1 or HTTP/2.
    pub application: Application,
    /// The client is the flow's originator.
    pub from_originator: bool,
    /// Exchanges of this connection before this one.
    pub number: u64,
    /// When the request began, or the response where there is no request.
    pub began: Timestamp,
    /// The request, if it was seen.
    pub request: Option<Request>,
    /// The last response, if one was seen.
    pub response: Option<Response>,
    /// The last interim response (1xx).
    pub interim: Option<(u16, Box<str>)>,
    /// Files that its bodies carried, at most 16.
    pub files: Box<[FileInfo]>,
    /// What HTTP/2 says beside it.
    pub http2: Option<Box<Http2>>,
}

/// The head of a request and the size of its body.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Request {
    /// Method as sent.
    pub method: Box<str>,
    /// Target as sent.
    pub target: Box<str>,
    /// `HTTP/1.1`; empty: none was given.
    pub protocol: Box<str>,
    /// Fields in order; the values of those with credentials and cookies are taken out.
    pub fields: Box<[Field]>,
    /// User of Basic credentials.
    pub user: Option<Box<str>>,
    /// The body.
    pub body: Body,
    /// What a form in it says of a login.
    pub form: Option<HttpForm>,
    /// What looks like an attack, anywhere in it; bounded.
    pub signs: Box<[HttpSign]>,
}

/// A form that was sent, as far as it is a login: the values of other fields and every password are not kept.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HttpForm {
    /// It has a field for a password, and that was filled in.
    pub has_password: bool,
    /// Who logs in, if a field says so.
    pub user: Option<Box<str>>,
}

/// Something in a request that looks like an attack. What it was is not kept.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HttpSign {
    /// Identifier of the rule that found it.
    pub rule: &'static str,
    /// Where: `target`, `field`, `body`.
    pub place: &'static str,
    /// Hosts that it would have the server call (names in lower case, or addresses), with a port where it says one; bounded.
    pub callbacks: Box<[(Box<str>, Option<u16>)]>,
}

/// The head of a response and the size of its body.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Response {
    /// `HTTP/1.1`; empty: none was given.
    pub protocol: Box<str>,
    /// Status code as sent: not always a number.
    pub status: Box<str>,
    /// Reason phrase.
    pub reason: Box<str>,
    /// Fields in order; the values of cookies are taken out.
    pub fields: Box<[Field]>,
    /// The body.
    pub body: Body,
}

/// A header or trailer field.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Field {
    /// As sent.
    pub name: Box<str>,
    /// Without its outer blanks.
    pub value: Box<str>,
}

/// How much of a body there was.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Body {
    /// Bytes of content seen.
    pub bytes: u64,
    /// The same with what frames it (chunk sizes).
    pub framed_bytes: u64,
    /// Bytes that the capture lacks.
    pub missing: u64,
    /// It came to its end.
    pub complete: bool,
}

/// What HTTP/2 adds to an exchange.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Http2 {
    /// 0: the connection itself.
    pub stream: u32,
    /// The client's SETTINGS (identifier, value), where this is the connection.
    pub client_settings: Box<[(u16, u32)]>,
    /// The server's.
    pub server_settings: Box<[(u16, u32)]>,
    /// Changes of the dynamic table's size in front of the fields (client's, server's).
    pub table_sizes: [Option<u32>; 2],
    /// `RST_STREAM` or `GOAWAY`: its error code.
    pub error: Option<u32>,
}

/// The value of the first field of this name.
pub fn value<'f>(fields: &'f [Field], name: &str) -> Option<&'f str> {
    fields.iter().find(|field| field.name.eq_ignore_ascii_case(name)).map(|field| &*field.value)
}
