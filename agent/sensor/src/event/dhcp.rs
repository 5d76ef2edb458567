//! What is read of DHCP (RFC 2131).

/// A message.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DhcpMessage {}
