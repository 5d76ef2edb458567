//! Generic routing encapsulation (RFC 2784, RFC 2890), its version 1 (RFC 2637), NVGRE (RFC 7637), ERSPAN, WCCP, and the tunnels of
//! Aruba's access points.

use etherparse::EtherType;

use super::encap::{ethernet, parses};
use super::tags::{Next, walk};
use super::{Context, Encapsulation, Layer, Met, Span, half, wireless};

const CHECKSUM: u16 = 0x8000;
const ROUTING: u16 = 0x4000;
const KEY: u16 = 0x2000;
const SEQUENCE: u16 = 0x1000;
/// Version 1 only.
const ACKNOWLEDGMENT: u16 = 0x0080;
const VERSION: u16 = 0x0007;
const ETHERNET: u16 = 0x6558;
const PPP: u16 = 0x880b;
const WCCP: u16 = 0x883e;
const ERSPAN: u16 = 0x88be;
const ERSPAN_3: u16 = 0x22eb;
const ERSPAN_HEADER: usize = 8;
const ERSPAN_3_HEADER: usize = 12;
/// Aruba: the last byte names the tunnel.
const ARUBA: core::ops::RangeInclusive<u16> = 0x8200..=0x82ff;
const ARUBA_OLD: u16 = 0x9000;

/// The packet within; nothing if it is not decoded (then the GRE packet has a flow of its own).
pub(super) fn within<'a>(context: Context, span: Span<'a>, met: &mut Met) -> Option<Layer<'a>> {
    let (flags, protocol) = (half(span.bytes, 0)?, half(span.bytes, 2)?);
    if flags & ROUTING != 0 {
        return None;
    }
    let has = |flag: u16| if flags & flag != 0 { 4 } else { 0 };
    let header = match flags & VERSION {
        0 => 4 + has(CHECKSUM) + has(KEY) + has(SEQUENCE),
        1 if protocol == PPP => 4 + has(KEY) + has(SEQUENCE) + has(ACKNOWLEDGMENT),
        _ => return None,
    };
    let span = span.after(header)?;
    let layer = match protocol {
        PPP => walk(context, Next::Ppp, span, met).ok(),
        ETHERNET => return counted(ethernet(context, span, met), Encapsulation::Gre, met),
        ERSPAN | ERSPAN_3 => {
            let span = erspan(protocol, flags, span)?;
            return counted(ethernet(context, span, met), Encapsulation::Erspan, met);
        }
        // Version 2 puts four bytes before the packet.
        WCCP if span.bytes.first().is_some_and(|byte| byte >> 4 != 4) => {
            walk(context, Next::Ip, span.after(4)?, met).ok()
        }
        WCCP => walk(context, Next::Ip, span, met).ok(),
        _ if ARUBA.contains(&protocol) || protocol == ARUBA_OLD => wireless::data(context, span, met).ok(),
        _ => walk(context, Next::Typed(EtherType(protocol)), span, met).ok(),
    };
    counted(layer.filter(parses), Encapsulation::Gre, met)
}

fn counted<'a>(layer: Option<Layer<'a>>, one: Encapsulation, met: &mut Met) -> Option<Layer<'a>> {
    layer.inspect(|_| met.add(one))
}

/// Behind ERSPAN's own header: types I (none, and no sequence numbers), II and III (draft-foschiano-erspan).
fn erspan(protocol: u16, flags: u16, span: Span<'_>) -> Option<Span<'_>> {
    if protocol == ERSPAN {
        return if flags & SEQUENCE == 0 { Some(span) } else { span.after(ERSPAN_HEADER) };
    }
    // The last bit says that a platform's own subheader follows.
    let optional = span.bytes.get(ERSPAN_3_HEADER - 1)? & 1 != 0;
    span.after(ERSPAN_3_HEADER + if optional { 8 } else { 0 })
}
