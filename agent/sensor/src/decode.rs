//! From a frame to the headers that matter, borrowed; what cannot be read has a reason that is counted.
//!
//! A frame is a chain of `Layer`s, each of which begins with a network header: its own, and those of the packets that it
//! encapsulates ([`LAYERS_MAX`] of them). `Layer::of` takes the link layer off, `Layer::step` reads one layer and says what
//! comes next; the observer loops. Every step takes at least a header's bytes, so a frame costs time linear in its length.
//!
//! etherparse's slices stay behind this module. A packet cut by the snap length is decoded as far as it goes.

mod checksum;
mod encap;
pub(crate) mod fragment;
mod gre;
mod link;
mod met;
mod network;
mod plain;
mod skip;
mod tags;
mod transport;
mod tunnel;
mod wireless;

use core::net::IpAddr;

use crate::event::Arp;
use crate::frame::Frame;
use fragment::Fragment;
use link::Network;
pub(crate) use met::{Encapsulation, Met};
use network::Carried;
pub(crate) use plain::plain;
pub use skip::{Reason, Skip};

/// Packets in packets that are entered; a frame that holds more is counted (`decode.skip.depth`).
pub const LAYERS_MAX: u8 = 4;

/// VLAN identifiers of a packet, outermost first; of more than three tags the outer three (as Suricata keeps them).
/// Priority tags (identifier 0) name no VLAN.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Vlans([u16; 3]);

impl Vlans {
    /// The outermost.
    pub const fn outermost(self) -> Option<u16> {
        match self.0 {
            [0, _, _] => None,
            [first, _, _] => Some(first),
        }
    }

    /// All, outermost first.
    pub fn iter(self) -> impl Iterator<Item = u16> {
        self.0.into_iter().take_while(|id| *id != 0)
    }

    /// All, outermost first; 0 ends them.
    pub(crate) const fn array(self) -> [u16; 3] {
        self.0
    }

    fn push(&mut self, id: u16) {
        if let Some(free) = self.0.iter_mut().find(|id| **id == 0) {
            *free = id;
        }
    }
}

/// What is known of a layer from those around it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Context {
    vlans: Vlans,
    /// Lengths on the wire of the frames that the layer came in.
    wire_bytes: u32,
    /// Length of the innermost frame, or of the packet if a tunnel carries it without one.
    framed_bytes: u32,
    /// Fragments that the layer was put together from; 1 for a whole packet.
    fragments: u16,
    /// Frames whose fate this layer decides: none if a layer around it was decoded already.
    frames: u32,
    /// Packets around this one.
    depth: u8,
}

/// A packet within a frame, and what is known from the layers around it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Layer<'a> {
    context: Context,
    content: LayerContent<'a>,
}

#[derive(Clone, Copy, Debug)]
enum LayerContent<'a> {
    /// A network header and what follows it. `beyond`: how many bytes were sent and not captured.
    Network { network: Network, bytes: &'a [u8], beyond: u32 },
    /// What a whole datagram carries.
    Carried(Carried<'a>),
    /// The rest of an aggregate of wireless frames.
    Aggregate { bytes: &'a [u8], beyond: u32 },
}

/// What an IP header says before anything else is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Outermost {
    /// Sender and receiver.
    pub(crate) ends: (IpAddr, IpAddr),
    /// The packet may be an ICMP message.
    pub(crate) may_be_icmp: bool,
}

const ICMP: u8 = 1;
const TCP: u8 = 6;
const UDP: u8 = 17;

/// What a layer turned out to be.
#[derive(Debug)]
pub(crate) enum Step<'a> {
    /// ARP for IPv4 over Ethernet.
    Arp(Arp),
    /// A packet with a flow of its own, and the packet that it carries if it is of a tunnel over UDP.
    Ip(Ip<'a>, Option<Layer<'a>>),
    /// A packet whose only purpose is to carry another.
    Into(Layer<'a>),
    /// The first of several packets, and the others.
    Both(Layer<'a>, Layer<'a>),
    /// A piece of a datagram.
    Fragment(Fragment<'a>),
}

/// An IP packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ip<'a> {
    /// Sender.
    pub source: IpAddr,
    /// Receiver.
    pub destination: IpAddr,
    /// Length by the IP header (by the wire where the header has none: segmentation offload).
    pub bytes: u32,
    /// Lengths on the wire of the frames that it came in; for a packet in a tunnel those of the whole frames.
    pub wire_bytes: u32,
    /// Length of its own frame; in a tunnel, of the frame or packet that the tunnel carries; put together from fragments, of
    /// the datagram. What Suricata counts.
    pub framed_bytes: u32,
    /// Fragments that it was put together from; 1 for a whole packet.
    pub fragments: u16,
    /// VLANs around it.
    pub vlans: Vlans,
    /// Packets that it is encapsulated in.
    pub depth: u8,
    /// The transport header.
    pub transport: Transport,
    /// Transport payload as captured.
    pub payload: &'a [u8],
    /// Transport payload as sent; more than `payload` holds if the packet was cut.
    pub payload_bytes: u32,
    /// Less was captured than the headers announce.
    pub truncated: bool,
    /// Its TCP, UDP or ICMP checksum is wrong; only if checksums are verified.
    pub bad_checksum: bool,
    /// TTL or hop limit; 0 if it was put together from fragments.
    pub hops_left: u8,
    /// The payload is a packet in this tunnel.
    pub tunnel: Option<Tunnel>,
    /// A rule that it breaks, as Suricata names it, though it can be read.
    pub anomaly: Option<&'static str>,
}

/// Tunnels over UDP: their packets have a flow of their own beside the flows within.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tunnel {
    /// VXLAN (RFC 7348).
    Vxlan,
    /// Geneve (RFC 8926).
    Geneve,
    /// Teredo (RFC 4380).
    Teredo,
    /// L2TP (RFC 2661, RFC 3931).
    L2tp,
    /// AYIYA (draft-massar-v6ops-ayiya).
    Ayiya,
}

impl Tunnel {
    /// Zeek's name of the service.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Vxlan => "vxlan",
            Self::Geneve => "geneve",
            Self::Teredo => "teredo",
            Self::L2tp => "l2tp",
            Self::Ayiya => "ayiya",
        }
    }
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
    /// Any other.
    Other(Other),
}

/// A transport of which only the number is known, and the ports for SCTP (RFC 9260).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Other {
    /// IANA protocol number.
    pub protocol: u8,
    /// Ports; 0 where it has none.
    pub ports: Ports,
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
    /// The next four bytes: identifier and sequence number of an echo message.
    pub echo: u32,
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

impl<'a> Layer<'a> {
    /// The first packet of a frame: what is left without the link layer.
    pub(crate) fn of(frame: &Frame<'a>, met: &mut Met) -> Result<Self, Skip> {
        let beyond = frame.wire_len.saturating_sub(len(frame.bytes));
        let mut vlans = Vlans::default();
        if let Some(id) = frame.vlan {
            met.add(Encapsulation::Vlan);
            vlans.push(id);
        }
        let (wire_bytes, framed_bytes) = (frame.wire_len, frame.wire_len);
        let context = Context { vlans, wire_bytes, framed_bytes, fragments: 1, frames: 1, depth: 0 };
        link::parse(context, frame.link, Span { bytes: frame.bytes, beyond }, met)
    }

    /// The outermost VLAN.
    pub(crate) const fn vlan(&self) -> Option<u16> {
        self.context.vlans.outermost()
    }

    /// The addresses of the layer's IP header, without reading the rest.
    pub(crate) fn outermost(&self) -> Option<Outermost> {
        let LayerContent::Network { network, bytes, .. } = self.content else { return None };
        match network {
            Network::Arp => None,
            Network::Ipv4 => {
                let address =
                    |at: usize| bytes.get(at..)?.first_chunk::<4>().map(|octets| IpAddr::from(*octets));
                Some(Outermost { ends: (address(12)?, address(16)?), may_be_icmp: *bytes.get(9)? == ICMP })
            }
            Network::Ipv6 => {
                let address =
                    |at: usize| bytes.get(at..)?.first_chunk::<16>().map(|octets| IpAddr::from(*octets));
                // Anything but TCP and UDP may be ICMPv6 or an extension header in front of it.
                let may_be_icmp = !matches!(*bytes.get(6)?, TCP | UDP);
                Some(Outermost { ends: (address(8)?, address(24)?), may_be_icmp })
            }
        }
    }

    /// Frames whose fate this layer decides.
    pub(crate) const fn frames(&self) -> u32 {
        self.context.frames
    }

    /// No packet is around it.
    pub(crate) const fn is_outermost(&self) -> bool {
        self.context.depth == 0
    }

    /// Reads the layer. `verify`: packets with a wrong checksum are left out.
    pub(crate) fn step(self, verify: bool, met: &mut Met) -> Result<Step<'a>, Skip> {
        let context = self.context;
        match self.content {
            LayerContent::Network { network: Network::Arp, bytes, .. } => Ok(Step::Arp(link::arp(bytes)?)),
            LayerContent::Network { network: Network::Ipv4, bytes, beyond } => {
                let packet = network::ipv4(bytes, beyond, verify)?;
                network::carried(context, packet, verify, met)
            }
            LayerContent::Network { network: Network::Ipv6, bytes, beyond } => {
                let packet = network::ipv6(bytes, beyond)?;
                network::carried(context, packet, verify, met)
            }
            LayerContent::Carried(packet) => network::carried(context, packet, verify, met),
            LayerContent::Aggregate { bytes, beyond } => {
                wireless::aggregate(context, Span { bytes, beyond }, met)
            }
        }
    }

    const fn new(context: Context, network: Network, span: Span<'a>) -> Self {
        let Span { bytes, beyond } = span;
        Self { context, content: LayerContent::Network { network, bytes, beyond } }
    }
}

/// Captured bytes, and how many more were sent.
#[derive(Clone, Copy, Debug)]
struct Span<'a> {
    bytes: &'a [u8],
    beyond: u32,
}

impl Span<'_> {
    /// Without the first `n` bytes.
    fn after(self, n: usize) -> Option<Self> {
        Some(Self { bytes: self.bytes.get(n..)?, ..self })
    }
}

fn len(bytes: &[u8]) -> u32 {
    u32::try_from(bytes.len()).unwrap_or(u32::MAX)
}

fn half(bytes: &[u8], at: usize) -> Option<u16> {
    bytes.get(at..)?.first_chunk().map(|pair| u16::from_be_bytes(*pair))
}

/// For the fuzzer and the property tests: the first byte picks the link type and what is verified, the second how the rest is cut
/// into frames, so that fragments meet.
pub fn fuzz(data: &[u8]) {
    fuzzing::fuzz(data);
}

mod fuzzing;

#[cfg(test)]
mod tests;
