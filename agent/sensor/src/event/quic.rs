//! What is read of QUIC v1 and v2 Initial packets (RFC 9000, 9369).

/// The `ClientHello` of the first flight.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct QuicHello {}
