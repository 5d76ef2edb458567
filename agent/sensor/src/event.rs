//! The closed set of things observed: the one border between observing and detecting.
//!
//! Everything here is owned: borrowed bytes end at this border.

pub mod anomaly;
pub mod application;
pub mod arp;
pub mod dcerpc;
pub mod dhcp;
pub mod dht;
pub mod dns;
pub mod file;
pub mod flow;
pub mod ftp;
pub mod http;
pub mod imap;
pub mod kerberos;
pub mod ldap;
pub mod mqtt;
pub mod ntlm;
pub mod ntp;
pub mod pop3;
pub mod quic;
pub mod rdp;
pub mod sip;
pub mod smb;
pub mod smtp;
pub mod snmp;
pub mod ssh;
pub mod telnet;
pub mod tftp;
pub mod tls;
pub mod transaction;

use core::net::{IpAddr, SocketAddr};

use sekimori_wire::time::Timestamp;

pub use anomaly::{Anomaly, Layer};
pub use application::Application;
pub use arp::Arp;
pub use dcerpc::RpcCall;
pub use dhcp::DhcpMessage;
pub use dht::DhtMessage;
pub use dns::Dns;
pub use file::{FileInfo, FileState};
pub use flow::{Conduct, ConnState, EndReason, FlowRecord, History, TcpState, Volume, Way};
pub use ftp::{FtpCommand, FtpDataChannel};
pub use http::{HttpExchange, HttpRequest};
pub use imap::ImapCommand;
pub use kerberos::KerberosExchange;
pub use ldap::LdapOperation;
pub use mqtt::MqttMessage;
pub use ntp::NtpMessage;
pub use pop3::{Pop3Command, Pop3Request, Pop3Response};
pub use quic::QuicHello;
pub use rdp::{RdpNegotiation, RdpStep};
pub use sip::{SipMessage, SipStart};
pub use smb::SmbCommand;
pub use smtp::{MailMessage, MailProgress, SmtpLogin, SmtpMail};
pub use snmp::SnmpMessage;
pub use ssh::{Hassh, SshAgreement, SshConnection, SshEnd};
pub use telnet::TelnetSession;
pub use tftp::TftpRequest;
pub use tls::{Certificate, ClientHello, TlsConnection};
pub use transaction::Transaction;

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
    /// A frame broke a rule before it could be given to a flow.
    Anomaly {
        /// When.
        at: Timestamp,
        /// Outermost VLAN.
        vlan: Option<u16>,
        /// Sender and receiver, if so much could be read.
        ends: Option<(IpAddr, IpAddr)>,
        /// What.
        anomaly: Anomaly,
    },
}

impl Event {
    /// The flow that it is about.
    pub const fn flow_id(&self) -> Option<u64> {
        match self {
            Self::Flow { flow, .. } => Some(flow.id),
            Self::Arp { .. } | Self::Anomaly { .. } => None,
        }
    }

    /// When.
    pub const fn at(&self) -> Timestamp {
        match self {
            Self::Flow { at, .. } | Self::Arp { at, .. } | Self::Anomaly { at, .. } => *at,
        }
    }
}

/// What a detector needs to know of the flow that an event is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FlowRef {
    /// In order of the first packet.
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
    /// Zeek's logs have the ends exchanged: by its ports the first packet came from a server. Detectors go by who sent first.
    pub swapped: bool,
}

impl FlowRef {
    /// The same flow with its ends exchanged: for a midstream pick-up that turns out to be the wrong way round.
    #[must_use]
    pub const fn reversed(self) -> Self {
        Self { originator: self.responder, responder: self.originator, ..self }
    }

    /// Community ID v1, seed 0.
    pub fn community_id(&self) -> String {
        self.community_id_seeded(0)
    }

    /// Community ID v1 with a seed that an organisation shares among its tools.
    pub fn community_id_seeded(&self, seed: u16) -> String {
        sekimori_wire::community::community_id(
            seed,
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
    /// (TCP SYN, UDP, ICMP echo), or within a second where the flow then had to go for lack of room. At most once a flow.
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
    /// What the flow carried after its first packet and since the last such report: after every 64 packets, with the first
    /// packet of a later second of event time if that makes at least two, and whatever is left before each
    /// [`Ended`](Self::Ended), which counts all of it once more. So a flow's [`Started`](Self::Started) is its first packet,
    /// and its reports are all the others, each once.
    Traffic(Traffic),
    /// The first payload of one direction.
    Opening(Opening),
    /// An ICMP echo message that is not like what `ping` sends, or an answer that does not repeat its request.
    Echo(Echo),
    /// The payload of a syslog datagram (UDP to port 514 that begins with a priority), or one line of syslog over TCP.
    Syslog(Box<[u8]>),
    /// A unit of an application protocol, when it is over.
    Transaction(Box<Transaction>),
    /// A packet or message of it broke a rule.
    Anomaly(Anomaly),
    /// It is over, or was cut by the active timeout: then it goes on under the same id, and the next record counts only
    /// what this one did not.
    Ended(Box<FlowRecord>),
}

/// What a flow carried since it was last said.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    /// From the originator.
    pub sent: Amount,
    /// From the responder.
    pub received: Amount,
}

/// Packets and their bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Amount {
    /// Packets.
    pub packets: u32,
    /// Bytes of IP packets.
    pub bytes: u32,
}

/// The first payload of one direction of a flow, as a shape that can be compared and never read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Opening {
    /// The originator sent it.
    pub from_originator: bool,
    /// Bytes of the first segment or datagram.
    pub bytes: u32,
    /// FNV-1a (64 bits) of its first 64 bytes, so that what begins alike is alike, however long it is: without a key, hence
    /// the same in every run and everywhere.
    pub shape: u64,
    /// Printable ASCII among its first 64 bytes, in percent.
    pub printable_percent: u8,
    /// Distinct byte values among its first 64 bytes.
    pub distinct_bytes: u8,
}

/// An odd ICMP echo message.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "independent facts of one message")]
pub struct Echo {
    /// The originator of the flow sent it.
    pub from_originator: bool,
    /// Payload bytes.
    pub bytes: u32,
    /// It is an answer and differs from the last request, which had its identifier and sequence number.
    pub differs: bool,
    /// Behind the room for timestamps it counts or repeats, as what `ping` programs send.
    pub regular: bool,
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

const _: () = assert!(size_of::<Event>() <= 128, "events are moved by value on the hot path");
