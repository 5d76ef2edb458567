//! What is read of files that a protocol carried, without their content.

use super::Application;

/// A file when its transfer ended.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FileInfo {
    /// What carried it.
    pub application: Application,
    /// The flow's originator sent it.
    pub from_originator: bool,
    /// Number of the transaction it belongs to within its flow, from 0.
    pub transaction: u64,
    /// Name or path as the protocol says it, at most 512 bytes; empty if it does not say any.
    pub name: Box<str>,
    /// Bytes seen, without those of gaps.
    pub size: u64,
    /// Bytes of it were missing in the capture.
    pub gaps: bool,
    /// How it ended.
    pub state: FileState,
    /// First and last byte, where this is a part of a larger one (RFC 9110, 14.4).
    pub range: Option<(u64, u64)>,
    /// SHA-256 of a whole file without gaps.
    pub sha256: Option<[u8; 32]>,
}

/// How a file's transfer ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum FileState {
    /// As its protocol ends a file.
    Closed,
    /// Before its end, or with bytes missing.
    Truncated,
    /// Nobody can say.
    #[default]
    Unknown,
}

impl FileState {
    /// Suricata's name of it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Closed => "CLOSED",
            Self::Truncated => "TRUNCATED",
            Self::Unknown => "UNKNOWN",
        }
    }
}
