//! What is read of SIP (RFC 3261): heads.

/// The head of a message.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SipMessage {}
