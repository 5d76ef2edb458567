//! What is read of FTP (RFC 959): commands and replies.

/// A command with its reply.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FtpCommand {}
