//! What is read of HTTP/1 and of HTTP/2 in clear text.

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

/// A request with its response, when the response is over.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HttpExchange {}
