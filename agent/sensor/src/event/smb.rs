//! What is read of SMB 1, 2 and 3.

/// A command with its response.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SmbCommand {}
