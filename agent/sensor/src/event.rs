//! The closed set of things observed: the one border between observing and detecting.
//!
//! Everything here is owned: borrowed bytes end at this border.

use core::net::{IpAddr, SocketAddr};

use sekimori_wire::time::Timestamp;

/// Something observed at a point in event time. Events leave the observer in order of time.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// About a flow.
    Flow {
        /// When.
        at: Timestamp,
        /// Which flow.
        flow: FlowRef,
        /// What about it.
        what: FlowEvent,
    },
    /// An ARP packet (RFC 826).
    Arp {
        /// When.
        at: Timestamp,
        /// Outermost VLAN.
        vlan: Option<u16>,
        /// The packet.
        arp: Arp,
    },
}

impl Event {
    /// When.
    pub const fn at(&self) -> Timestamp {
        match self {
            Self::Flow { at, .. } | Self::Arp { at, .. } => *at,
        }
    }
}

/// What a detector needs to know of the flow that an event is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FlowRef {
    /// Numbered in order of the first packet.
    pub id: u64,
    /// Its first packet: the first evidence of what only a timeout or the end of the flow shows.
    pub began: Timestamp,
    /// Who sent first, as far as we saw (a midstream pick-up may have it reversed).
    pub originator: Endpoint,
    /// The other.
    pub responder: Endpoint,
    /// IANA protocol number: 1 ICMP, 6 TCP, 17 UDP, 58 `ICMPv6`.
    pub protocol: u8,
    /// Outermost VLAN.
    pub vlan: Option<u16>,
}

impl FlowRef {
    /// The same flow with its ends exchanged: for a midstream pick-up that turns out to be the wrong way round.
    #[must_use]
    pub const fn reversed(self) -> Self {
        Self { originator: self.responder, responder: self.originator, ..self }
    }

    /// Community ID v1, seed 0.
    pub fn community_id(&self) -> String {
        sekimori_wire::community::community_id(
            0,
            self.protocol,
            (self.originator.address, self.originator.port),
            (self.responder.address, self.responder.port),
        )
    }
}

/// One end of a flow. For ICMP the originator's port is the type and the responder's port the code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Endpoint {
    /// Network address.
    pub address: IpAddr,
    /// Transport port.
    pub port: u16,
}

impl From<Endpoint> for SocketAddr {
    fn from(end: Endpoint) -> Self {
        Self::new(end.address, end.port)
    }
}

/// What happened to a flow.
#[derive(Clone, Debug, PartialEq)]
pub enum FlowEvent {
    /// Its first packet.
    Started(First),
    /// TCP: the responder sent SYN-ACK. UDP, ICMP: the responder's first packet. At most once a flow.
    Answered,
    /// TCP: the originator acknowledged the SYN-ACK: the handshake is complete. At most once a flow.
    Established,
    /// TCP: RST in answer to SYN. Any: an ICMP unreachable quoted the flow before an answer. At most once a flow.
    Rejected,
    /// Nothing came back within [`Limits::attempt_timeout`](crate::limits::Limits::attempt_timeout) of the first packet
    /// (TCP SYN, UDP, ICMP echo). At most once a flow.
    Unanswered,
    /// A DNS message (UDP or TCP).
    Dns(Box<Dns>),
    /// A TLS `ClientHello`.
    Tls(Box<ClientHello>),
    /// The head of an HTTP/1 request.
    HttpRequest(Box<HttpRequest>),
    /// The status of an HTTP/1 response.
    HttpResponse {
        /// Status code, 100 to 599.
        status: u16,
    },
    /// The payload of a syslog datagram (UDP to port 514 that begins with a priority), or one line of syslog over TCP.
    Syslog(Box<[u8]>),
    /// It is over, or was cut by the active timeout: then it goes on under the same id, and the next record counts only
    /// what this one did not.
    Ended(Box<FlowRecord>),
}

/// What the first packet of a flow was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum First {
    /// TCP SYN.
    Syn,
    /// TCP, anything else: we came too late.
    Midstream,
    /// UDP.
    Datagram,
    /// ICMP echo request.
    EchoRequest,
    /// ICMP, any other type; also any other transport.
    Other,
}

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

/// A TLS `ClientHello` (RFC 8446, 4.1.2).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClientHello {
    /// Server name indication (RFC 6066), lower case.
    pub server_name: Option<Box<str>>,
    /// First protocol of ALPN (RFC 7301).
    pub alpn: Option<Box<str>>,
    /// JA4 fingerprint of the client.
    pub ja4: Box<str>,
    /// Highest version offered, GREASE left out: 0x0304 is TLS 1.3.
    pub version: u16,
}

/// The head of an HTTP/1 request. The query is never kept.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HttpRequest {
    /// Method.
    pub method: Box<str>,
    /// Host header without the port, lower case.
    pub host: Option<Box<str>>,
    /// Path, at most 256 bytes, without the query.
    pub path: Box<str>,
    /// User-Agent header, at most 256 bytes.
    pub user_agent: Option<Box<str>>,
    /// An Authorization header is there.
    pub has_authorization: bool,
}

/// An ARP packet for IPv4 over Ethernet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Arp {
    /// 1 request, 2 reply.
    pub operation: u16,
    /// Sender hardware address.
    pub sender_mac: [u8; 6],
    /// Sender protocol address.
    pub sender_ip: core::net::Ipv4Addr,
    /// Target hardware address.
    pub target_mac: [u8; 6],
    /// Target protocol address.
    pub target_ip: core::net::Ipv4Addr,
}

/// All that is known of a flow when it ends.
#[derive(Clone, Debug, PartialEq, Eq)]
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
    /// Application protocol by content.
    pub application: Application,
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
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
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
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EndReason {
    /// No packet for the idle timeout.
    Idle,
    /// Cut by the active timeout; it goes on.
    Active,
    /// The transport said so.
    Closed,
    /// The capture ended.
    Forced,
    /// The table was full.
    LackOfResources,
}

/// Application protocol by content, not by port.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Application {
    /// Not recognised.
    #[default]
    Unknown,
    /// Domain Name System.
    Dns,
    /// Transport Layer Security.
    Tls,
    /// HTTP/1.
    Http,
    /// Secure Shell, by its banner.
    Ssh,
    /// File Transfer Protocol, by its banner and commands.
    Ftp,
    /// Syslog.
    Syslog,
}

impl Application {
    /// The usual lower-case name; empty if not recognised.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unknown => "",
            Self::Dns => "dns",
            Self::Tls => "tls",
            Self::Http => "http",
            Self::Ssh => "ssh",
            Self::Ftp => "ftp",
            Self::Syslog => "syslog",
        }
    }
}

const _: () = assert!(size_of::<Event>() <= 128, "events are moved by value on the hot path");
