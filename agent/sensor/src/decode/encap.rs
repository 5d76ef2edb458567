//! Packets in IP packets: IP in IP, GRE, `EtherIP`, MPLS and `L2TPv3` in IP. The outer packet has no flow of its own.

use etherparse::EtherType;

use super::link::Network;
use super::network::Carried;
use super::tags::{Next, walk};
use super::{
    Context, Encapsulation, LAYERS_MAX, Layer, LayerContent, Met, Reason, Skip, Span, gre, len, link,
    network, tunnel,
};

const IPV4: u8 = 4;
const IPV6: u8 = 41;
const GRE: u8 = 47;
const ETHER_IP: u8 = 97;
const L2TP: u8 = 115;
const MPLS: u8 = 137;
/// Version 3 and twelve reserved bits (RFC 3378).
const ETHER_IP_HEADER: [u8; 2] = [0x30, 0];

impl Context {
    /// Of a packet within.
    pub(super) const fn deeper(self) -> Option<Self> {
        if self.depth < LAYERS_MAX { Some(Self { depth: self.depth + 1, ..self }) } else { None }
    }

    /// Of what a tunnel carries.
    pub(super) fn framed(self, span: Span<'_>) -> Self {
        if self.depth == 0 {
            return self;
        }
        // What is beyond the first fragment is not known.
        let beyond = if span.beyond == u32::MAX { 0 } else { span.beyond };
        Self { framed_bytes: len(span.bytes).saturating_add(beyond), ..self }
    }
}

/// The packet within `packet`; nothing if it is no tunnel, or holds nothing that is decoded.
pub(super) fn within<'a>(
    context: Context,
    packet: &Carried<'a>,
    met: &mut Met,
) -> Result<Option<Layer<'a>>, Skip> {
    if !matches!(packet.protocol, IPV4 | IPV6 | GRE | ETHER_IP | L2TP | MPLS) {
        return Ok(None);
    }
    let Some(context) = context.deeper() else {
        return Err(Skip::of(Reason::Depth).between(packet.source, packet.destination));
    };
    let span = Span { bytes: packet.payload, beyond: packet.beyond() };
    let context = context.framed(span);
    let mut inside = Met::default();
    let layer = match packet.protocol {
        IPV4 => {
            let v6 = packet.source.is_ipv6();
            inside.add(if v6 { Encapsulation::Ipv4InIpv6 } else { Encapsulation::Ipv4InIpv4 });
            Some(Layer::new(context, Network::Ipv4, span))
        }
        IPV6 => {
            let v6 = packet.source.is_ipv6();
            inside.add(if v6 { Encapsulation::Ipv6InIpv6 } else { Encapsulation::Ipv6InIpv4 });
            Some(Layer::new(context, Network::Ipv6, span))
        }
        GRE => gre::within(context, span, &mut inside),
        ETHER_IP if span.bytes.starts_with(&ETHER_IP_HEADER) => {
            span.after(ETHER_IP_HEADER.len()).and_then(|span| ethernet(context, span, &mut inside))
        }
        L2TP => tunnel::l2tp_session(context, span, &mut inside),
        MPLS => walk(context, Next::Typed(EtherType(0x8847)), span, &mut inside).ok().filter(parses),
        _ => None,
    };
    if layer.is_some() {
        met.merge(inside);
    }
    Ok(layer)
}

/// An Ethernet frame within, if it carries what is decoded.
pub(super) fn ethernet<'a>(context: Context, span: Span<'a>, met: &mut Met) -> Option<Layer<'a>> {
    walk(context, Next::Ethernet, span, met).ok().filter(parses)
}

/// Whether the layer's header can be read: what a guess must stand up to.
pub(super) fn parses(layer: &Layer<'_>) -> bool {
    match layer.content {
        LayerContent::Network { network: Network::Ipv4, bytes, beyond } => {
            network::ipv4(bytes, beyond, false).is_ok()
        }
        LayerContent::Network { network: Network::Ipv6, bytes, beyond } => {
            network::ipv6(bytes, beyond).is_ok()
        }
        LayerContent::Network { network: Network::Arp, bytes, .. } => link::arp(bytes).is_ok(),
        LayerContent::Carried(_) | LayerContent::Aggregate { .. } => true,
    }
}
