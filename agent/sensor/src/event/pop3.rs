//! What is read of POP3 (RFC 1939).

/// A command with its response, or a greeting.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pop3Command {
    /// The command; none for the greeting.
    pub request: Option<Pop3Request>,
    /// The response, if it was seen.
    pub response: Option<Pop3Response>,
}

/// What the client asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pop3Request {
    /// In upper case; empty for what answers a challenge.
    pub command: Box<str>,
    /// Without passwords; bounded.
    pub arguments: Vec<Box<str>>,
}

/// What the server answered.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pop3Response {
    /// `+OK`, or a challenge.
    pub success: bool,
    /// The rest of its first line.
    pub header: Box<str>,
    /// Its further lines, without those of messages; bounded.
    pub data: Vec<Box<str>>,
}
