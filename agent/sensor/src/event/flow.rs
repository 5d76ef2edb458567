//! What is known of a flow when it ends.

use sekimori_wire::time::Timestamp;

use super::Application;

/// All that is known of a flow when it ends.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FlowRecord {
    /// First packet that this record counts.
    pub start: Timestamp,
    /// Last packet.
    pub end: Timestamp,
    /// From the originator.
    pub originator: Volume,
    /// From the responder.
    pub responder: Volume,
    /// How it went, as Zeek says it.
    pub state: ConnState,
    /// Why it ended.
    pub reason: EndReason,
    /// Application protocol by content: the first that was recognised.
    pub application: Application,
    /// All that were recognised, in order (SMTP, then TLS); the rest is `Unknown`.
    pub applications: [Application; 4],
    /// TLS server name, HTTP host, or the first DNS name.
    pub server_name: Option<Box<str>>,
    /// JA4 of the TLS client.
    pub ja4: Option<Box<str>>,
}

/// One direction's share of a flow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Volume {
    /// Packets.
    pub packets: u64,
    /// Bytes of IP packets, by the IP header's length.
    pub bytes: u64,
    /// Transport payload bytes.
    pub payload_bytes: u64,
}

/// How a connection went: Zeek's `conn_state`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ConnState {
    /// Attempt seen, no reply.
    S0,
    /// Established, not ended. Also UDP and ICMP with both directions seen (Zeek says SF; so do we).
    S1,
    /// Normal end.
    SF,
    /// Attempt rejected.
    Rej,
    /// Established, originator wants to end, no answer to that.
    S2,
    /// Established, responder wants to end, no answer to that.
    S3,
    /// Established, originator aborted.
    Rsto,
    /// Responder aborted.
    Rstr,
    /// Originator sent SYN then RST; no SYN-ACK seen.
    Rstos0,
    /// Responder sent SYN-ACK then RST; no SYN seen.
    Rstrh,
    /// Originator sent SYN then FIN; no SYN-ACK seen.
    Sh,
    /// Responder sent SYN-ACK then FIN; no SYN seen.
    Shr,
    /// No SYN seen: midstream.
    #[default]
    Oth,
}

impl ConnState {
    /// As Zeek writes it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::S0 => "S0",
            Self::S1 => "S1",
            Self::SF => "SF",
            Self::Rej => "REJ",
            Self::S2 => "S2",
            Self::S3 => "S3",
            Self::Rsto => "RSTO",
            Self::Rstr => "RSTR",
            Self::Rstos0 => "RSTOS0",
            Self::Rstrh => "RSTRH",
            Self::Sh => "SH",
            Self::Shr => "SHR",
            Self::Oth => "OTH",
        }
    }
}

/// Why a flow ended (IPFIX information element 136).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum EndReason {
    /// No packet for the idle timeout.
    Idle,
    /// Cut by the active timeout; it goes on.
    Active,
    /// The transport said so.
    Closed,
    /// The capture ended.
    #[default]
    Forced,
    /// The table was full.
    LackOfResources,
}
