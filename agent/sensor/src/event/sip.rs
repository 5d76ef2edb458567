//! What is read of SIP (RFC 3261): heads.

/// The head of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SipMessage {
    /// The flow's originator sent it.
    pub from_originator: bool,
    /// Its first line.
    pub start: SipStart,
    /// `SIP/2.0`.
    pub version: Box<str>,
    /// The first line as it was sent.
    pub line: Box<str>,
    /// `From`.
    pub from: Option<Box<str>>,
    /// `To`.
    pub to: Option<Box<str>>,
    /// `Call-ID`.
    pub call_id: Option<Box<str>>,
    /// `User-Agent` or `Server`.
    pub user_agent: Option<Box<str>>,
}

/// A request or a response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SipStart {
    /// A request.
    Request {
        /// Method.
        method: Box<str>,
        /// Request URI.
        uri: Box<str>,
    },
    /// A response.
    Response {
        /// Status code.
        code: Box<str>,
        /// Reason phrase.
        reason: Box<str>,
    },
}
