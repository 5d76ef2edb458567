//! From an `EtherType` to a network header: VLAN tags, MPLS labels, `PPPoE`, LLC/SNAP, provider backbone bridges, and the tags of
//! Cisco's switches (VN-Tag, `FabricPath`).
//!
//! One loop over at most [`TAGS_MAX`] of them, whatever their kind.

use etherparse::{EtherType, Ethernet2HeaderSlice, SingleVlanSlice};

use super::link::Network;
use super::{Context, Encapsulation, Layer, Met, Skip, Span, half};

/// Tags of one packet that are read; a packet with more is malformed.
const TAGS_MAX: usize = 8;
/// Labels of one MPLS stack that are read; a stack with more is malformed.
const LABELS_MAX: usize = 16;
/// TPID of old `QinQ` switches beside 0x8100, 0x88a8 and 0x9100.
const TPID_9200: EtherType = EtherType(0x9200);
const MPLS: EtherType = EtherType(0x8847);
const MPLS_MULTICAST: EtherType = EtherType(0x8848);
const PPPOE_SESSION: EtherType = EtherType(0x8864);
const VN_TAG: EtherType = EtherType(0x8926);
const FABRIC_PATH: EtherType = EtherType(0x8903);
/// IEEE 802.1ah.
const BACKBONE: EtherType = EtherType(0x88e7);
/// Smaller values are the length of an 802.3 frame.
const TYPES: u16 = 0x0600;
/// LLC: SNAP, unnumbered information.
const SNAP: [u8; 3] = [0xaa, 0xaa, 3];
/// LLC: IP (RFC 948).
const LLC_IP: [u8; 3] = [6, 6, 3];
/// SNAP: an `EtherType` follows, by RFC 1042 and by 802.1H.
const SNAP_TYPES: [[u8; 3]; 2] = [[0, 0, 0], [0, 0, 0xf8]];
const PPP_ADDRESS: [u8; 2] = [0xff, 3];
const PPP_IPV4: u16 = 0x21;
const PPP_IPV6: u16 = 0x57;
const PPP_MPLS: u16 = 0x281;

/// What is to be read next.
#[derive(Clone, Copy, Debug)]
pub(super) enum Next {
    /// What an `EtherType` says.
    Typed(EtherType),
    /// An Ethernet header.
    Ethernet,
    /// Logical link control (IEEE 802.2).
    Llc,
    /// PPP (RFC 1661), with or without address and control.
    Ppp,
    /// IPv4 or IPv6, as its version says.
    Ip,
}

/// Reads tags until there is a network header.
pub(super) fn walk<'a>(
    mut context: Context,
    mut next: Next,
    mut span: Span<'a>,
    met: &mut Met,
) -> Result<Layer<'a>, Skip> {
    context = context.framed(span);
    for _ in 0..=TAGS_MAX {
        let network = match next {
            Next::Ethernet => {
                let header = Ethernet2HeaderSlice::from_slice(span.bytes)
                    .map_err(|_cause| Skip::link("decoder.ethernet.pkt_too_small"))?;
                next = Next::Typed(header.ether_type());
                span = after(span, header.slice().len(), "decoder.ethernet.pkt_too_small")?;
                continue;
            }
            Next::Typed(EtherType::IPV4) => Network::Ipv4,
            Next::Typed(EtherType::IPV6) => Network::Ipv6,
            Next::Typed(EtherType::ARP) => Network::Arp,
            Next::Typed(ether_type) => {
                (next, span) = tag(&mut context, ether_type, span, met)?;
                continue;
            }
            Next::Llc => {
                (next, span) = llc(span)?;
                continue;
            }
            Next::Ppp => {
                (next, span) = ppp(span)?;
                continue;
            }
            Next::Ip => by_version(span)?,
        };
        return Ok(Layer::new(context, network, span));
    }
    Err(Skip::link("decoder.vlan.too_many_layers"))
}

/// Reads one tag.
fn tag<'a>(
    context: &mut Context,
    ether_type: EtherType,
    span: Span<'a>,
    met: &mut Met,
) -> Result<(Next, Span<'a>), Skip> {
    match ether_type {
        EtherType::VLAN_TAGGED_FRAME
        | EtherType::PROVIDER_BRIDGING
        | EtherType::VLAN_DOUBLE_TAGGED_FRAME
        | TPID_9200 => {
            const SMALL: &str = "decoder.vlan.header_too_small";
            let tag = SingleVlanSlice::from_slice(span.bytes).map_err(|_cause| Skip::link(SMALL))?;
            context.vlans.push(tag.vlan_identifier().value());
            met.add(Encapsulation::Vlan);
            Ok((Next::Typed(tag.ether_type()), after(span, 4, SMALL)?))
        }
        MPLS | MPLS_MULTICAST => {
            met.add(Encapsulation::Mpls);
            mpls(span)
        }
        PPPOE_SESSION => {
            met.add(Encapsulation::Pppoe);
            Ok((Next::Ppp, pppoe(span)?))
        }
        VN_TAG => {
            const SMALL: &str = "decoder.vntag.header_too_small";
            let ether_type = half(span.bytes, 4).ok_or(Skip::link(SMALL))?;
            Ok((Next::Typed(EtherType(ether_type)), after(span, 6, SMALL)?))
        }
        FABRIC_PATH => Ok((Next::Ethernet, after(span, 2, "decoder.ethernet.pkt_too_small")?)),
        BACKBONE => Ok((Next::Ethernet, after(span, 4, "decoder.ethernet.pkt_too_small")?)),
        EtherType(length) if length < TYPES => Ok((Next::Llc, span)),
        EtherType(_) => Err(Skip::of(super::Reason::EtherType)),
    }
}

fn after<'a>(span: Span<'a>, n: usize, small: &'static str) -> Result<Span<'a>, Skip> {
    span.after(n).ok_or_else(|| Skip::link(small))
}

/// Label stack entries (RFC 3032). What follows is not said: IP by its version, else Ethernet behind or without a control
/// word (RFC 4448).
fn mpls(mut span: Span<'_>) -> Result<(Next, Span<'_>), Skip> {
    const SMALL: &str = "decoder.mpls.header_too_small";
    for _ in 0..LABELS_MAX {
        let (entry, _) = span.bytes.split_first_chunk::<4>().ok_or(Skip::link(SMALL))?;
        let [_, _, low, _] = *entry;
        span = after(span, 4, SMALL)?;
        if low & 1 == 0 {
            continue;
        }
        return match span.bytes.first().map(|byte| byte >> 4) {
            Some(4 | 6) => Ok((Next::Ip, span)),
            // An Ethernet address may begin with a zero as well: the one with a good `EtherType` is meant.
            Some(0) if !is_ethernet(span.bytes) => Ok((Next::Ethernet, after(span, 4, SMALL)?)),
            Some(_) => Ok((Next::Ethernet, span)),
            None => Err(Skip::link("decoder.mpls.pkt_too_small")),
        };
    }
    Err(Skip::link("decoder.mpls.bad_label_implicit_null"))
}

/// These bytes look like an Ethernet frame: it carries what is decoded.
fn is_ethernet(bytes: &[u8]) -> bool {
    half(bytes, 12).map(EtherType).is_some_and(|ether_type| {
        matches!(
            ether_type,
            EtherType::IPV4
                | EtherType::IPV6
                | EtherType::ARP
                | EtherType::VLAN_TAGGED_FRAME
                | EtherType::PROVIDER_BRIDGING
                | EtherType::VLAN_DOUBLE_TAGGED_FRAME
        )
    })
}

/// The header of a session (RFC 2516).
pub(super) fn pppoe(span: Span<'_>) -> Result<Span<'_>, Skip> {
    const SMALL: &str = "decoder.pppoe.pkt_too_small";
    let [version, code, ..] = *span.bytes else { return Err(Skip::link(SMALL)) };
    if version != 0x11 || code != 0 {
        return Err(Skip::link("decoder.pppoe.wrong_code"));
    }
    after(span, 6, SMALL)
}

/// The protocol field of PPP has two bytes, or one if its lowest bit is set (RFC 1661, 6.5).
fn ppp(span: Span<'_>) -> Result<(Next, Span<'_>), Skip> {
    const SMALL: &str = "decoder.ppp.pkt_too_small";
    let span = if span.bytes.starts_with(&PPP_ADDRESS) { after(span, 2, SMALL)? } else { span };
    let first = *span.bytes.first().ok_or(Skip::link(SMALL))?;
    let (protocol, header) =
        if first & 1 == 1 { (first.into(), 1) } else { (half(span.bytes, 0).ok_or(Skip::link(SMALL))?, 2) };
    let ether_type = match protocol {
        PPP_IPV4 => EtherType::IPV4,
        PPP_IPV6 => EtherType::IPV6,
        PPP_MPLS => MPLS,
        _ => return Err(Skip::of(super::Reason::EtherType)),
    };
    Ok((Next::Typed(ether_type), after(span, header, SMALL)?))
}

/// IEEE 802.2: only what carries IP.
fn llc(span: Span<'_>) -> Result<(Next, Span<'_>), Skip> {
    const SMALL: &str = "decoder.ethernet.pkt_too_small";
    if span.bytes.starts_with(&LLC_IP) {
        return Ok((Next::Ip, after(span, LLC_IP.len(), SMALL)?));
    }
    if !span.bytes.starts_with(&SNAP) {
        return if span.bytes.len() < SNAP.len() {
            Err(Skip::link(SMALL))
        } else {
            Err(Skip::of(super::Reason::EtherType))
        };
    }
    let ether_type = half(span.bytes, 6).ok_or(Skip::link(SMALL))?;
    let typed = span.bytes.get(3..6).is_some_and(|oui| SNAP_TYPES.iter().any(|known| known == oui));
    if !typed || ether_type < TYPES {
        return Err(Skip::of(super::Reason::EtherType));
    }
    Ok((Next::Typed(EtherType(ether_type)), after(span, 8, SMALL)?))
}

/// Raw IP has no type field: the version says it.
fn by_version(span: Span<'_>) -> Result<Network, Skip> {
    match span.bytes.first().map(|byte| byte >> 4) {
        Some(4) => Ok(Network::Ipv4),
        Some(6) => Ok(Network::Ipv6),
        Some(_) => Err(Skip::network("decoder.ipraw.invalid_ip_version")),
        None => Err(Skip::network("decoder.ipv4.pkt_too_small")),
    }
}
