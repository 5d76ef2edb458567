//! What is read of TFTP (RFC 1350).

/// A request for a transfer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TftpRequest {
    /// The client sends the file.
    pub is_write: bool,
    /// Name of the file.
    pub file: Box<str>,
    /// `octet`, `netascii` or `mail`.
    pub mode: Box<str>,
}
