//! What is read of Telnet (RFC 854).

/// A login as far as it is seen.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TelnetSession {
    /// Options that either end negotiated; bounded.
    pub options: Vec<u8>,
    /// Who logs in, if the server asked and the client answered.
    pub user: Option<Box<str>>,
    /// A password was asked for and given; it is not kept.
    pub password_given: bool,
    /// Whether the login succeeded, if the server's answer tells.
    pub succeeded: Option<bool>,
}
