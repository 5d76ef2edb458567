//! What is read of IMAP (RFC 9051).

/// A command with its response.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ImapCommand {}
