//! Packets in UDP datagrams: VXLAN, Geneve, Teredo, L2TP, AYIYA. The port is a hint: what is within must be a packet, else the
//! datagram is one as any other.

use etherparse::EtherType;

use super::encap::{ethernet, parses};
use super::tags::{Next, walk};
use super::{Context, Encapsulation, Layer, Met, Ports, Span, Tunnel, half};

/// IANA's port, and Linux's older one.
const VXLAN: [u16; 2] = [4789, 8472];
const GENEVE: u16 = 6081;
const TEREDO: u16 = 3544;
const L2TP: u16 = 1701;
const AYIYA: u16 = 5072;

const VXLAN_HEADER: usize = 8;
/// The flag that says that there is a network identifier; the only one of RFC 7348.
const VXLAN_FLAG: u8 = 8;
const GENEVE_HEADER: usize = 8;
const GENEVE_ETHERNET: u16 = 0x6558;
/// Addresses of Teredo clients (RFC 4380, 2.6).
const TEREDO_PREFIX: [u8; 4] = [0x20, 1, 0, 0];
const IPV6_HEADER: usize = 40;
/// First bytes of Teredo's indicators.
const AUTHENTICATION: [u8; 2] = [0, 1];
const ORIGIN: [u8; 2] = [0, 0];
const ORIGIN_BYTES: usize = 8;
const NONCE_AND_CONFIRMATION: usize = 9;
/// L2TP: control message, length, sequence numbers, offset; version.
const L2TP_CONTROL: u16 = 0x8000;
const L2TP_LENGTH: u16 = 0x4000;
const L2TP_SEQUENCE: u16 = 0x0800;
const L2TP_OFFSET: u16 = 0x0200;
const L2TP_VERSION: u16 = 0x000f;
const AYIYA_HEADER: usize = 8;
const NEXT_IPV4: u8 = 4;
const NEXT_IPV6: u8 = 41;

/// There may be a packet within a datagram that was captured whole: [`within`] says.
pub(super) fn may_be(ports: Ports, payload: &[u8]) -> bool {
    const OTHER_VXLAN: u16 = VXLAN[1];
    const FIRST_VXLAN: u16 = VXLAN[0];
    let on_port = |port: u16| matches!(port, FIRST_VXLAN | OTHER_VXLAN | GENEVE | L2TP | AYIYA | TEREDO);
    let ipv6 = || {
        let announced = half(payload, 4).map_or(usize::MAX, usize::from);
        payload.len().checked_sub(IPV6_HEADER) == Some(announced)
    };
    match payload {
        _ if on_port(ports.destination) || on_port(ports.source) => true,
        // Teredo's indicators, or IPv6 without them.
        [0, 0 | 1, ..] => true,
        [first, ..] => first >> 4 == 6 && ipv6(),
        [] => false,
    }
}

/// The packet within a datagram. The datagram has a flow of its own, which is what becomes of the frame.
pub(super) fn within<'a>(
    context: Context,
    ports: Ports,
    span: Span<'a>,
    met: &mut Met,
) -> Option<(Tunnel, Layer<'a>)> {
    let context = Context { frames: 0, ..context.deeper()? };
    let to = |port: u16| ports.destination == port;
    let between = |port: u16| ports.destination == port || ports.source == port;
    let mut inside = Met::default();
    let (tunnel, encapsulation, layer) = if VXLAN.into_iter().any(to) {
        (Tunnel::Vxlan, Encapsulation::Vxlan, vxlan(context, span, &mut inside))
    } else if to(GENEVE) {
        (Tunnel::Geneve, Encapsulation::Geneve, geneve(context, span, &mut inside))
    } else if between(L2TP) {
        (Tunnel::L2tp, Encapsulation::L2tp, l2tp(context, span, &mut inside))
    } else if between(AYIYA) {
        (Tunnel::Ayiya, Encapsulation::Ayiya, ayiya(context, span, &mut inside))
    } else {
        (Tunnel::Teredo, Encapsulation::Teredo, teredo(context, between(TEREDO), span, &mut inside))
    };
    let layer = layer?;
    met.merge(inside);
    met.add(encapsulation);
    Some((tunnel, layer))
}

/// RFC 7348.
fn vxlan<'a>(context: Context, span: Span<'a>, met: &mut Met) -> Option<Layer<'a>> {
    let flags = *span.bytes.first()?;
    (flags & VXLAN_FLAG != 0).then_some(())?;
    ethernet(context, span.after(VXLAN_HEADER)?, met)
}

/// RFC 8926.
fn geneve<'a>(context: Context, span: Span<'a>, met: &mut Met) -> Option<Layer<'a>> {
    let first = *span.bytes.first()?;
    let options = usize::from(first & 0x3f) * 4;
    let protocol = half(span.bytes, 2)?;
    // The two upper bits are the version, 0.
    (first >> 6 == 0).then_some(())?;
    let span = span.after(GENEVE_HEADER + options)?;
    if protocol == GENEVE_ETHERNET {
        ethernet(context, span, met)
    } else {
        walk(context, Next::Typed(EtherType(protocol)), span, met).ok().filter(parses)
    }
}

/// RFC 4380. On ports other than the server's only between addresses of Teredo.
fn teredo<'a>(context: Context, on_port: bool, mut span: Span<'a>, met: &mut Met) -> Option<Layer<'a>> {
    if span.bytes.starts_with(&AUTHENTICATION) {
        let [_, _, id, authentication, ..] = *span.bytes else { return None };
        span = span.after(4 + usize::from(id) + usize::from(authentication) + NONCE_AND_CONFIRMATION)?;
    }
    if span.bytes.starts_with(&ORIGIN) {
        span = span.after(ORIGIN_BYTES)?;
    }
    let header = span.bytes.first_chunk::<IPV6_HEADER>()?;
    let announced = usize::from(half(header, 4)?);
    // A datagram may end with Teredo's trailers, but a packet elsewhere must fit exactly.
    let exact = announced + IPV6_HEADER == span.bytes.len();
    let ours = |at: usize| header.get(at..).is_some_and(|address| address.starts_with(&TEREDO_PREFIX));
    let plausible = header[0] >> 4 == 6 && (on_port || exact && (ours(8) || ours(24)));
    plausible.then(|| walk(context, Next::Typed(EtherType::IPV6), span, met).ok().filter(parses)).flatten()
}

/// Version 2 carries PPP (RFC 2661, 3.1), version 3 mostly Ethernet (RFC 3931, 4.1.2).
fn l2tp<'a>(context: Context, span: Span<'a>, met: &mut Met) -> Option<Layer<'a>> {
    let flags = half(span.bytes, 0)?;
    (flags & L2TP_CONTROL == 0).then_some(())?;
    match flags & L2TP_VERSION {
        2 => {
            let has = |flag: u16, bytes: usize| if flags & flag != 0 { bytes } else { 0 };
            let before_offset = 2 + has(L2TP_LENGTH, 2) + 4 + has(L2TP_SEQUENCE, 4);
            let padding = match flags & L2TP_OFFSET {
                0 => 0,
                _ => 2 + usize::from(half(span.bytes, before_offset)?),
            };
            let span = span.after(before_offset + padding)?;
            walk(context, Next::Ppp, span, met).ok().filter(parses)
        }
        3 => l2tp_session(context, span.after(4)?, met),
        _ => None,
    }
}

/// A data message of `L2TPv3`: session, then a cookie and a sublayer whose lengths only the ends know: what gives a packet is right.
pub(super) fn l2tp_session<'a>(context: Context, span: Span<'a>, met: &mut Met) -> Option<Layer<'a>> {
    let session = span.bytes.first_chunk::<4>()?;
    // Session 0 is the control connection.
    (*session != [0; 4]).then_some(())?;
    let layer = [8, 4, 12, 16].into_iter().find_map(|header| {
        let mut inside = Met::default();
        let layer = ethernet(context, span.after(header)?, &mut inside)?;
        met.merge(inside);
        Some(layer)
    });
    layer.inspect(|_| met.add(Encapsulation::L2tp))
}

/// An identity, a signature, an operation, and what follows.
fn ayiya<'a>(context: Context, span: Span<'a>, met: &mut Met) -> Option<Layer<'a>> {
    let [lengths, signature, _, next, ..] = *span.bytes else { return None };
    let identity = 1_usize << (lengths >> 4);
    let header = AYIYA_HEADER + identity + usize::from(signature >> 4) * 4;
    let ether_type = match next {
        NEXT_IPV4 => EtherType::IPV4,
        NEXT_IPV6 => EtherType::IPV6,
        _ => return None,
    };
    walk(context, Next::Typed(ether_type), span.after(header)?, met).ok().filter(parses)
}
