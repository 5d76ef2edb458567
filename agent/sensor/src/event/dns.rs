//! What is read of DNS, mDNS, LLMNR and NBNS.

/// A DNS message, names lower case without the final dot, labels escaped as in RFC 4343.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Dns {
    /// The sender is the flow's originator.
    pub from_originator: bool,
    /// QR bit: this is a response.
    pub is_response: bool,
    /// RCODE of a response.
    pub rcode: u8,
    /// QTYPE of the first question.
    pub qtype: u16,
    /// QNAME of the first question.
    pub qname: Box<str>,
    /// Answer records.
    pub answers: u16,
    /// Sum of the RDATA lengths of the answer records.
    pub answer_bytes: u32,
    /// Length of the whole message.
    pub message_bytes: u32,
}
