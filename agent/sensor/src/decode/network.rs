//! IPv4 and IPv6: headers, extension headers, fragments' place in their datagram; what ICMP errors quote.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use etherparse::{IpNumber, LaxIpv4Slice, LaxIpv6Slice};

use super::fragment::{Fragment, Place};
use super::{
    Context, Encapsulation, Met, Ports, Quoted, Reason, Skip, Step, checksum, encap, half, len, transport,
};

const V4_HEADER: usize = 20;
const V6_HEADER: usize = 40;
const FRAGMENT_HEADER: usize = 8;
const HOP_BY_HOP: u8 = 0;
const ROUTING: u8 = 43;
const FRAGMENT: u8 = 44;
const AUTHENTICATION: u8 = 51;
const DESTINATION_OPTIONS: u8 = 60;
const MOBILITY: u8 = 135;
const HOST_IDENTITY: u8 = 139;
const SHIM6: u8 = 140;

/// An IP packet without its header.
#[derive(Clone, Copy, Debug)]
pub(super) struct Carried<'a> {
    pub(super) source: IpAddr,
    pub(super) destination: IpAddr,
    /// Length by the IP header.
    pub(super) bytes: u32,
    pub(super) protocol: u8,
    pub(super) payload: &'a [u8],
    /// Length of the payload by the IP header.
    pub(super) payload_bytes: u32,
    /// Which piece of a datagram it is.
    pub(super) place: Place,
    /// What is known of the whole.
    pub(super) shape: Shape,
    /// TTL or hop limit.
    pub(super) hops_left: u8,
    pub(super) anomaly: Option<&'static str>,
}

/// How much of a packet there is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shape {
    /// Everything, and its length is known: checksums can be verified.
    Whole,
    /// Everything, but checksums cannot be verified: segmentation offload, or a source route that is not at its end.
    Unverifiable,
    /// Less was captured than was sent.
    Cut,
    /// Only the first fragment of a datagram.
    FirstFragment,
}

impl Carried<'_> {
    /// Bytes that were sent and not captured.
    pub(super) fn beyond(&self) -> u32 {
        match self.shape {
            // The length is the datagram's, which is not known.
            Shape::FirstFragment => u32::MAX,
            Shape::Whole | Shape::Unverifiable | Shape::Cut => {
                self.payload_bytes.saturating_sub(len(self.payload))
            }
        }
    }

    /// Goes past `n` bytes of an extension header.
    fn skip(&mut self, n: usize, next: u8) -> Result<(), Skip> {
        self.payload = self.payload.get(n..).ok_or_else(|| self.fails("decoder.ipv6.trunc_exthdr"))?;
        self.payload_bytes = self.payload_bytes.saturating_sub(u32::try_from(n).unwrap_or(u32::MAX));
        self.protocol = next;
        Ok(())
    }

    fn fails(&self, anomaly: &'static str) -> Skip {
        Skip::network(anomaly).between(self.source, self.destination)
    }
}

/// The length of a packet by its header, or by the frame if the header has none (segmentation offload).
struct Extent {
    total: u32,
    shape: Shape,
}

/// Of a packet with `captured` bytes, of which `beyond` more were sent, that announces `announced`.
fn extent(announced: Option<u32>, captured: u32, beyond: u32) -> Option<Extent> {
    let sent = captured.saturating_add(beyond);
    let total = announced.unwrap_or(sent);
    let shape = if total > captured {
        Shape::Cut
    } else if announced.is_none() {
        Shape::Unverifiable
    } else {
        Shape::Whole
    };
    (total <= sent).then_some(Extent { total, shape })
}

/// `beyond`: how many bytes were sent and not captured.
pub(super) fn ipv4(bytes: &[u8], beyond: u32, verify: bool) -> Result<Carried<'_>, Skip> {
    let first = bytes.first().ok_or(Skip::network("decoder.ipv4.pkt_too_small"))?;
    if first >> 4 != 4 {
        return Err(Skip::network("decoder.ipv4.wrong_ip_version"));
    }
    let header_bytes = usize::from(first & 0x0f) * 4;
    if header_bytes < V4_HEADER {
        return Err(Skip::network("decoder.ipv4.hlen_too_small"));
    }
    let (Some(header), Some(fixed)) = (bytes.get(..header_bytes), bytes.first_chunk::<V4_HEADER>()) else {
        return Err(Skip::network("decoder.ipv4.pkt_too_small"));
    };
    let [_, _, t0, t1, i0, i1, f0, f1, hops_left, protocol, _, _, addresses @ ..] = *fixed;
    let [s0, s1, s2, s3, d0, d1, d2, d3] = addresses;
    let (source, destination) = (Ipv4Addr::new(s0, s1, s2, s3).into(), Ipv4Addr::new(d0, d1, d2, d3).into());
    let fails = |anomaly| Skip::network(anomaly).between(source, destination);
    let announced = u16::from_be_bytes([t0, t1]);
    if announced != 0 && usize::from(announced) < header_bytes {
        return Err(fails("decoder.ipv4.iplen_smaller_than_hlen"));
    }
    let extent = extent((announced != 0).then_some(announced.into()), len(bytes), beyond)
        .ok_or_else(|| fails("decoder.ipv4.trunc_pkt"))?;
    if verify && checksum::of(header) != 0 {
        return Err(Skip::of(Reason::Checksum).between(source, destination));
    }
    let flags = u16::from_be_bytes([f0, f1]);
    let end = usize::try_from(extent.total).unwrap_or(usize::MAX).min(bytes.len());
    let headers = len(header);
    Ok(Carried {
        source,
        destination,
        bytes: extent.total,
        protocol,
        payload: bytes.get(header_bytes..end).unwrap_or_default(),
        payload_bytes: extent.total.saturating_sub(headers),
        place: Place::new(
            u16::from_be_bytes([i0, i1]).into(),
            u32::from(flags & 0x1fff) * 8,
            flags & 0x2000 != 0,
        ),
        shape: extent.shape,
        hops_left,
        anomaly: None,
    })
}

/// `beyond`: how many bytes were sent and not captured.
pub(super) fn ipv6(bytes: &[u8], beyond: u32) -> Result<Carried<'_>, Skip> {
    let first = bytes.first().ok_or(Skip::network("decoder.ipv6.pkt_too_small"))?;
    if first >> 4 != 6 {
        return Err(Skip::network("decoder.ipv6.wrong_ip_version"));
    }
    let fixed = bytes.first_chunk::<V6_HEADER>().ok_or(Skip::network("decoder.ipv6.pkt_too_small"))?;
    let [_, _, _, _, l0, l1, protocol, hops_left, addresses @ ..] = *fixed;
    let address = |at: usize| {
        let bytes = addresses.get(at..).and_then(<[u8]>::first_chunk::<16>).copied().unwrap_or_default();
        IpAddr::V6(Ipv6Addr::from(bytes))
    };
    let (source, destination) = (address(0), address(16));
    let announced = u16::from_be_bytes([l0, l1]);
    // A jumbogram (RFC 2675) or segmentation offload: anything else that announces nothing holds nothing.
    let unknown = announced == 0
        && matches!(IpNumber(protocol), IpNumber::TCP | IpNumber::UDP | IpNumber::IPV6_HEADER_HOP_BY_HOP);
    let total = (!unknown).then_some(u32::from(announced) + len(fixed));
    let extent = extent(total, len(bytes), beyond)
        .ok_or_else(|| Skip::network("decoder.ipv6.trunc_pkt").between(source, destination))?;
    let end = usize::try_from(extent.total).unwrap_or(usize::MAX).min(bytes.len());
    Ok(Carried {
        source,
        destination,
        bytes: extent.total,
        protocol,
        payload: bytes.get(V6_HEADER..end).unwrap_or_default(),
        payload_bytes: extent.total.saturating_sub(len(fixed)),
        place: Place::Whole,
        shape: extent.shape,
        hops_left,
        anomaly: None,
    })
}

/// What an IP packet carries: past its extension headers, a piece of a datagram, a packet within, or a transport.
pub(super) fn carried<'a>(
    context: Context,
    mut packet: Carried<'a>,
    verify: bool,
    met: &mut Met,
) -> Result<Step<'a>, Skip> {
    if let Some(fragment) = piece(context, &mut packet)? {
        return Ok(Step::Fragment(fragment));
    }
    // Each extension header takes at least eight bytes.
    loop {
        let v6 = packet.source.is_ipv6();
        match packet.protocol {
            AUTHENTICATION => {
                met.add(Encapsulation::Ah);
                let [next, words, ..] = *packet.payload else {
                    return Err(packet.fails("decoder.ipv6.trunc_exthdr"));
                };
                packet.skip((usize::from(words) + 2) * 4, next)?;
            }
            FRAGMENT if v6 => {
                if let Some(fragment) = fragment_header(context, &mut packet)? {
                    return Ok(Step::Fragment(fragment));
                }
            }
            HOP_BY_HOP | ROUTING | DESTINATION_OPTIONS | MOBILITY | HOST_IDENTITY | SHIM6 if v6 => {
                let [next, eights, _, left, ..] = *packet.payload else {
                    return Err(packet.fails("decoder.ipv6.trunc_exthdr"));
                };
                if packet.protocol == ROUTING && left > 0 && packet.shape == Shape::Whole {
                    // Transport checksums are over the last address of the route (RFC 8200, 8.1).
                    packet.shape = Shape::Unverifiable;
                }
                packet.skip((usize::from(eights) + 1) * 8, next)?;
            }
            _ => break,
        }
    }
    if let Some(layer) = encap::within(context, &packet, met)? {
        return Ok(Step::Into(layer));
    }
    transport::parse(context, &packet, verify, met)
}

/// The fragment header of IPv6 (RFC 8200, 4.5); nothing if the packet is whole (RFC 6946) or all that there will be.
fn fragment_header<'a>(context: Context, packet: &mut Carried<'a>) -> Result<Option<Fragment<'a>>, Skip> {
    let [next, _, o0, o1, i0, i1, i2, i3, ..] = *packet.payload else {
        return Err(packet.fails("decoder.ipv6.trunc_exthdr"));
    };
    if packet.place != Place::Whole {
        return Err(packet.fails("decoder.ipv6.exthdr_dupl_fh"));
    }
    packet.skip(FRAGMENT_HEADER, next)?;
    let place = u16::from_be_bytes([o0, o1]);
    let id = u32::from_be_bytes([i0, i1, i2, i3]);
    packet.place = Place::new(id, u32::from(place & 0xfff8), place & 1 != 0);
    if packet.place == Place::Whole {
        packet.anomaly = Some("decoder.ipv6.exthdr_useless_fh");
    }
    piece(context, packet)
}

/// A piece of a datagram. One that was cut can never be put together: the first is then read on its own.
fn piece<'a>(context: Context, packet: &mut Carried<'a>) -> Result<Option<Fragment<'a>>, Skip> {
    let Place::Piece { offset, more, .. } = packet.place else { return Ok(None) };
    let v6 = packet.source.is_ipv6();
    let end = offset.saturating_add(packet.payload_bytes);
    if end > u16::MAX.into() {
        let anomaly = if v6 { "decoder.ipv6.frag_pkt_too_large" } else { "decoder.ipv4.frag_pkt_too_large" };
        return Err(packet.fails(anomaly));
    }
    if packet.payload_bytes == 0 || more && !packet.payload_bytes.is_multiple_of(8) {
        let anomaly = if v6 { "decoder.ipv6.frag_invalid_length" } else { "decoder.ipv4.frag_ignored" };
        return Err(packet.fails(anomaly));
    }
    if packet.shape == Shape::Cut {
        if offset != 0 {
            return Err(Skip::of(Reason::Fragment).between(packet.source, packet.destination));
        }
        packet.shape = Shape::FirstFragment;
        return Ok(None);
    }
    Ok(Some(Fragment::new(context, packet)))
}

/// The packet that an ICMP error quotes: its IP header and at least the ports.
pub(super) fn quoted(bytes: &[u8]) -> Option<Quoted> {
    let (source, destination, protocol, payload): (IpAddr, IpAddr, u8, &[u8]) = match bytes.first()? >> 4 {
        4 => {
            let (slice, _) = LaxIpv4Slice::from_slice(bytes).ok()?;
            let header = slice.header();
            let (source, destination) = (header.source_addr(), header.destination_addr());
            (source.into(), destination.into(), slice.payload().ip_number.0, slice.payload().payload)
        }
        6 => {
            let (slice, _) = LaxIpv6Slice::from_slice(bytes).ok()?;
            let header = slice.header();
            let (source, destination) = (header.source_addr(), header.destination_addr());
            (source.into(), destination.into(), slice.payload().ip_number.0, slice.payload().payload)
        }
        _ => return None,
    };
    let [a, b, ..] = *payload else { return None };
    let ports = if transport::is_icmp(protocol) {
        Ports { source: a.into(), destination: b.into() }
    } else {
        Ports { source: u16::from_be_bytes([a, b]), destination: half(payload, 2)? }
    };
    Some(Quoted { source, destination, protocol, ports })
}
