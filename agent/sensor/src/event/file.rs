//! What is read of files that a protocol carried, without their content.

/// A file when its transfer ended.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FileInfo {}
