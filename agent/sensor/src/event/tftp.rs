//! What is read of TFTP (RFC 1350).

/// A read or write request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TftpRequest {}
