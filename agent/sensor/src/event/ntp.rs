//! What is read of NTP (RFC 5905, RFC 1305 for control messages).

/// A message; of each flow the first of either side.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NtpMessage {
    /// The sender is the flow's originator.
    pub from_originator: bool,
    /// 1 to 4.
    pub version: u8,
    /// 1 and 2 symmetric, 3 client, 4 server, 5 broadcast, 6 control, 7 private.
    pub mode: u8,
    /// Distance from a reference clock; 0 is unspecified or a kiss of death.
    pub stratum: u8,
    /// Reference clock, or the address of the server above.
    pub reference: [u8; 4],
    /// Mode 6: operation; mode 7: request code (42 is `monlist`).
    pub operation: Option<u8>,
    /// Bytes of the datagram.
    pub bytes: u32,
}
