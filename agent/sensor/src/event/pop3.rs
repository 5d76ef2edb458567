//! What is read of POP3 (RFC 1939).

/// A command with its response.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pop3Command {}
