//! What is read of NTP (RFC 5905).

/// A message.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NtpMessage {}
