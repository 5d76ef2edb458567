//! What is known of a flow when it ends.

use std::time::Duration;

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
    /// What the packets showed, over the flow's whole life so far.
    pub conduct: Conduct,
}

/// One direction's share of a flow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Volume {
    /// Packets.
    pub packets: u64,
    /// Bytes of IP packets, by the IP header's length.
    pub bytes: u64,
    /// Bytes of whole frames on the wire.
    pub wire_bytes: u64,
    /// Transport payload bytes.
    pub payload_bytes: u64,
}

/// How a flow behaved, over its whole life so far: an active timeout does not begin it anew.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Conduct {
    /// The originator's side.
    pub originator: Way,
    /// The responder's side.
    pub responder: Way,
    /// Zeek's `history`; capitals are Zeek's originator, see [`FlowRef::swapped`](super::FlowRef::swapped).
    pub history: History,
    /// Zeek's end of the connection: TCP packets after both ends closed do not count.
    pub active_until: Timestamp,
    /// TCP: from the SYN to the originator's answer to the SYN-ACK.
    pub rtt: Option<Duration>,
    /// How far the TCP connection got.
    pub tcp_state: TcpState,
    /// Its beginning was not seen.
    pub midstream: bool,
    /// VLANs of its first packet, outermost first; 0 ends them.
    pub vlans: [u16; VLANS_MAX],
    /// ICMP type and code of the originator's first packet and of the responder's.
    pub icmp: [Option<(u8, u8)>; 2],
}

/// VLAN tags of a flow that are kept.
pub const VLANS_MAX: usize = 3;

/// One direction of a flow's conduct.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Way {
    /// Zeek's bytes: of TCP by sequence numbers, whether seen or not; else of payloads.
    pub stream_bytes: u64,
    /// TCP bytes that the other end acknowledged and the capture did not have (Zeek's `missed_bytes`).
    pub missed_bytes: u64,
    /// TCP segments that carried nothing beyond what had been sent.
    pub retransmissions: u32,
    /// Those of them that filled a hole, so that they came late rather than again.
    pub out_of_order: u32,
    /// TCP segments that announced a window of zero.
    pub zero_windows: u32,
    /// TCP segments with RST.
    pub resets: u32,
    /// All TCP flags seen, as in the header's fourteenth byte.
    pub flags: u8,
    /// Ethernet address of its first packet's sender.
    pub mac: Option<[u8; 6]>,
}

/// How far a TCP connection got, in the words of RFC 9293 as Suricata uses them: of both ends at once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TcpState {
    /// Not TCP, or no handshake.
    #[default]
    None,
    /// SYN.
    SynSent,
    /// SYN and SYN-ACK.
    SynReceived,
    /// The handshake is complete, or traffic went both ways before the capture began.
    Established,
    /// The responder said FIN.
    FinWait1,
    /// And that was acknowledged.
    FinWait2,
    /// The originator said FIN.
    CloseWait,
    /// Both said FIN, the originator first.
    LastAck,
    /// Both said FIN, the responder first, whose FIN was acknowledged.
    TimeWait,
    /// Both said FIN, the responder first.
    Closing,
    /// Both FINs were acknowledged, or there was a RST.
    Closed,
}

impl TcpState {
    /// As Suricata writes it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::SynSent => "syn_sent",
            Self::SynReceived => "syn_recv",
            Self::Established => "established",
            Self::FinWait1 => "fin_wait1",
            Self::FinWait2 => "fin_wait2",
            Self::CloseWait => "close_wait",
            Self::LastAck => "last_ack",
            Self::TimeWait => "time_wait",
            Self::Closing => "closing",
            Self::Closed => "closed",
        }
    }
}

/// Zeek's `history`: a letter for each new thing that happened, in order; capitals for the originator.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct History {
    letters: [u8; HISTORY_MAX],
    len: u8,
}

/// Letters of a history that are kept; what happens after so many adds nothing.
const HISTORY_MAX: usize = 31;

impl Default for History {
    fn default() -> Self {
        Self { letters: [0; HISTORY_MAX], len: 0 }
    }
}

impl core::fmt::Debug for History {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(self.as_str())
    }
}

impl History {
    /// The letters.
    pub fn as_str(&self) -> &str {
        let letters = self.letters.get(..usize::from(self.len)).unwrap_or_default();
        core::str::from_utf8(letters).unwrap_or_default()
    }

    /// One more letter, an ASCII one.
    pub(crate) fn push(&mut self, letter: u8) {
        if let Some(place) = self.letters.get_mut(usize::from(self.len)) {
            *place = letter;
            self.len += 1;
        }
    }
}

/// How a connection went: Zeek's `conn_state`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ConnState {
    /// Attempt seen, no reply.
    S0,
    /// Established, not ended.
    S1,
    /// Normal end. Also UDP and ICMP with both directions seen.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_history_keeps_its_first_letters() {
        let mut history = History::default();
        b"ShADadFf".iter().for_each(|letter| history.push(*letter));
        assert_eq!(history.as_str(), "ShADadFf");
        (0..100).for_each(|_| history.push(b'R'));
        assert_eq!(history.as_str(), "ShADadFfRRRRRRRRRRRRRRRRRRRRRRR");
    }
}
