//! From a frame to the headers that matter, borrowed; what cannot be read has a reason that is counted.
//!
//! Layer by layer over etherparse's slices, which stay behind this module. A packet cut by the snap length is decoded as
//! far as it goes. One level of IP only: encapsulations are not entered.

mod link;
mod network;
mod transport;

use core::net::IpAddr;

use crate::counters::Counter;
use crate::event::Arp;
use crate::frame::{Frame, LinkType};

/// A decoded frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Packet<'a> {
    /// Outermost VLAN identifier; priority tags (identifier 0) name no VLAN.
    pub vlan: Option<u16>,
    /// What it carries.
    pub content: Content<'a>,
}

/// What a frame carries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Content<'a> {
    /// ARP for IPv4 over Ethernet.
    Arp(Arp),
    /// IPv4 or IPv6.
    Ip(Ip<'a>),
}

/// An IP packet, or the first fragment of one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ip<'a> {
    /// Sender.
    pub source: IpAddr,
    /// Receiver.
    pub destination: IpAddr,
    /// Length by the IP header (by the wire where the header has none: segmentation offload).
    pub bytes: u32,
    /// The transport header.
    pub transport: Transport,
    /// Transport payload as captured.
    pub payload: &'a [u8],
    /// Transport payload as sent; more than `payload` holds if the packet was cut.
    pub payload_bytes: u32,
    /// Less was captured than the headers announce.
    pub truncated: bool,
}

/// A transport header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// TCP (RFC 9293).
    Tcp(Tcp),
    /// UDP (RFC 768).
    Udp(Ports),
    /// ICMP (RFC 792) or `ICMPv6` (RFC 4443).
    Icmp(Icmp),
}

/// The two ports of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ports {
    /// The sender's.
    pub source: u16,
    /// The receiver's.
    pub destination: u16,
}

/// The part of a TCP header that an observer needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tcp {
    /// Ports.
    pub ports: Ports,
    /// Sequence number of the first byte (of the SYN, if there is one).
    pub sequence: u32,
    /// What its sender expects next; means something with ACK.
    pub acknowledgment: u32,
    /// Window as announced, not scaled.
    pub window: u16,
    /// The six classic flags, as in the header's fourteenth byte.
    pub flags: Flags,
}

/// FIN 1, SYN 2, RST 4, PSH 8, ACK 16, URG 32.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Flags(pub u8);

impl Flags {
    /// FIN.
    pub const FIN: Self = Self(1);
    /// SYN.
    pub const SYN: Self = Self(2);
    /// RST.
    pub const RST: Self = Self(4);
    /// ACK.
    pub const ACK: Self = Self(16);

    /// Every flag of `other` is set.
    pub const fn has(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }
}

/// An ICMP or `ICMPv6` header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Icmp {
    /// It is `ICMPv6`.
    pub v6: bool,
    /// Type.
    pub kind: u8,
    /// Code.
    pub code: u8,
    /// The packet that a destination-unreachable message quotes.
    pub unreachable: Option<Quoted>,
}

/// The start of a packet quoted in an ICMP error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quoted {
    /// Its sender.
    pub source: IpAddr,
    /// Its receiver.
    pub destination: IpAddr,
    /// IANA protocol number.
    pub protocol: u8,
    /// Ports; for ICMP type and code.
    pub ports: Ports,
}

/// Why a frame was not looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Skip {
    /// A link type that is not decoded.
    LinkType,
    /// An `EtherType` (or 802.3 LLC) that is not decoded.
    EtherType,
    /// An IP protocol that is not decoded.
    Transport,
    /// A fragment other than the first.
    Fragment,
    /// Link layer, VLAN tags or ARP too short or contradictory.
    MalformedLink,
    /// IP headers that contradict themselves or are cut.
    MalformedNetwork,
    /// Transport headers that contradict themselves or are cut.
    MalformedTransport,
}

impl Skip {
    /// The counter of this reason.
    pub const fn counter(self) -> Counter {
        match self {
            Self::LinkType => Counter::SkipLinkType,
            Self::EtherType => Counter::SkipEtherType,
            Self::Transport => Counter::SkipTransport,
            Self::Fragment => Counter::SkipFragment,
            Self::MalformedLink => Counter::MalformedLink,
            Self::MalformedNetwork => Counter::MalformedNetwork,
            Self::MalformedTransport => Counter::MalformedTransport,
        }
    }
}

impl<'a> Packet<'a> {
    /// Decodes a frame.
    pub fn parse(frame: &Frame<'a>) -> Result<Self, Skip> {
        let link = link::parse(frame)?;
        let payload = link.payload;
        let beyond = frame.wire_len.saturating_sub(u32::try_from(frame.bytes.len()).unwrap_or(u32::MAX));
        let content = match link.network {
            link::Network::Arp => Content::Arp(link::arp(payload)?),
            link::Network::Ipv4 => Content::Ip(network::ipv4(payload, beyond)?),
            link::Network::Ipv6 => Content::Ip(network::ipv6(payload, beyond)?),
        };
        Ok(Self { vlan: link.vlan, content })
    }
}

/// For the fuzzer and the property tests: the first byte picks the link type.
pub fn fuzz(data: &[u8]) {
    const LINKS: [LinkType; 6] = [
        LinkType::Ethernet,
        LinkType::RawIp,
        LinkType::LinuxSll,
        LinkType::LinuxSll2,
        LinkType::Loopback,
        LinkType::Other(147),
    ];
    let Some((first, bytes)) = data.split_first() else { return };
    let link = LINKS.get(usize::from(*first) % LINKS.len()).copied().unwrap_or(LinkType::Ethernet);
    let frame = Frame { at: Default::default(), link, bytes, wire_len: 1_500, vlan: None };
    if let Ok(Packet { content: Content::Ip(ip), .. }) = Packet::parse(&frame) {
        assert!(ip.payload.len() <= bytes.len(), "a payload lies within its frame");
    }
}

#[cfg(test)]
mod tests;
