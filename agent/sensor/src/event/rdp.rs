//! What is read of RDP: negotiation and cookie.

/// A connection request with its answer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RdpNegotiation {}
