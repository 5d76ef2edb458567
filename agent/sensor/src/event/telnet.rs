//! What is read of Telnet (RFC 854).

/// A login as far as it is seen.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TelnetSession {}
