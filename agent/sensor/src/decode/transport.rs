//! TCP, UDP, ICMP and `ICMPv6` headers; of others the number, and SCTP's ports.

use etherparse::{IpNumber, TcpSlice, UdpSlice};

use super::network::{Carried, Shape, quoted};
use super::{
    Context, Encapsulation, Flags, Icmp, Ip, Met, Other, Ports, Skip, Span, Step, Tcp, Transport, checksum,
    half, tunnel,
};

const ICMP_HEADER: u32 = 8;
/// Destination unreachable, RFC 792; its code 4 is path MTU discovery, not a refusal (RFC 1191).
const UNREACHABLE_V4: u8 = 3;
const FRAGMENTATION_NEEDED: u8 = 4;
/// Destination unreachable, RFC 4443, 3.1.
const UNREACHABLE_V6: u8 = 1;
const UDP_HEADER: u32 = 8;

pub(super) fn is_icmp(protocol: u8) -> bool {
    protocol == IpNumber::ICMP.0 || protocol == IpNumber::IPV6_ICMP.0
}

/// A transport header and its payload.
struct Read<'a> {
    transport: Transport,
    payload: &'a [u8],
    payload_bytes: u32,
    /// What its checksum covers; nothing if it has none.
    covered: Option<&'a [u8]>,
    anomaly: Option<&'static str>,
}

/// Reads the transport header, and looks for a tunnel behind UDP.
pub(super) fn parse<'a>(
    context: Context,
    carried: &Carried<'a>,
    verify: bool,
    met: &mut Met,
) -> Result<Step<'a>, Skip> {
    let read = match IpNumber(carried.protocol) {
        IpNumber::TCP => tcp(carried),
        IpNumber::UDP => udp(carried),
        IpNumber::ICMP => icmp(carried, UNREACHABLE_V4),
        IpNumber::IPV6_ICMP => icmp(carried, UNREACHABLE_V6),
        number => {
            if number == IpNumber::ENCAPSULATING_SECURITY_PAYLOAD {
                met.add(Encapsulation::Esp);
            }
            Ok(other(carried))
        }
    };
    let read = read.map_err(|skip| skip.between(carried.source, carried.destination))?;
    let bad_checksum = verify
        && carried.shape == Shape::Whole
        && read.covered.is_some_and(|covered| {
            let (source, destination) = (carried.source, carried.destination);
            match IpNumber(carried.protocol) {
                IpNumber::ICMP => checksum::of(covered) != 0,
                _ => checksum::with_pseudo_header(source, destination, carried.protocol, covered) != 0,
            }
        });
    let (tunnel, inner) = match read.transport {
        Transport::Udp(ports) if !bad_checksum => {
            let beyond = match carried.shape {
                Shape::FirstFragment => u32::MAX,
                Shape::Whole | Shape::Unverifiable | Shape::Cut => {
                    read.payload_bytes.saturating_sub(super::len(read.payload))
                }
            };
            tunnel::within(context, ports, Span { bytes: read.payload, beyond }, met).unzip()
        }
        Transport::Udp(_) | Transport::Tcp(_) | Transport::Icmp(_) | Transport::Other(_) => (None, None),
    };
    let ip = Ip {
        source: carried.source,
        destination: carried.destination,
        bytes: carried.bytes,
        wire_bytes: context.wire_bytes,
        framed_bytes: context.framed_bytes,
        fragments: context.fragments,
        vlans: context.vlans,
        depth: context.depth,
        transport: read.transport,
        payload: read.payload,
        payload_bytes: read.payload_bytes,
        truncated: matches!(carried.shape, Shape::Cut | Shape::FirstFragment),
        bad_checksum,
        hops_left: carried.hops_left,
        tunnel,
        anomaly: read.anomaly.or(carried.anomaly),
    };
    Ok(Step::Ip(ip, inner))
}

fn tcp<'a>(carried: &Carried<'a>) -> Result<Read<'a>, Skip> {
    let slice = TcpSlice::from_slice(carried.payload).map_err(|_cause| {
        // The data offset is the upper half of the thirteenth byte, in words of four.
        let small = carried.payload.len() >= 20 && carried.payload.get(12).is_some_and(|byte| byte >> 4 < 5);
        Skip::transport(if small { "decoder.tcp.hlen_too_small" } else { "decoder.tcp.pkt_too_small" })
    })?;
    let header = u32::try_from(slice.header_len()).unwrap_or(u32::MAX);
    let tcp = Tcp {
        ports: Ports { source: slice.source_port(), destination: slice.destination_port() },
        sequence: slice.sequence_number(),
        acknowledgment: slice.acknowledgment_number(),
        window: slice.window_size(),
        flags: Flags(slice.header_slice().get(13).copied().unwrap_or_default() & 0x3f),
    };
    Ok(Read {
        transport: Transport::Tcp(tcp),
        payload: slice.payload(),
        payload_bytes: carried.payload_bytes.saturating_sub(header),
        covered: Some(carried.payload),
        anomaly: None,
    })
}

fn udp<'a>(carried: &Carried<'a>) -> Result<Read<'a>, Skip> {
    let slice = UdpSlice::from_slice_lax(carried.payload)
        .map_err(|_cause| Skip::transport("decoder.udp.pkt_too_small"))?;
    let ports = Ports { source: slice.source_port(), destination: slice.destination_port() };
    // A length of zero is a jumbogram (RFC 2675), one beyond the IP packet a lie: the IP header decides.
    let announced = u32::from(slice.length());
    let lies = announced > carried.payload_bytes && carried.shape != Shape::FirstFragment;
    let bytes =
        if announced < UDP_HEADER { carried.payload_bytes } else { announced.min(carried.payload_bytes) };
    // A checksum of zero says that there is none.
    let has_checksum = half(carried.payload, 6).is_some_and(|sum| sum != 0);
    Ok(Read {
        transport: Transport::Udp(ports),
        payload: slice.payload(),
        payload_bytes: bytes.saturating_sub(UDP_HEADER),
        covered: has_checksum.then(|| slice.slice()),
        anomaly: lies.then_some("decoder.udp.len_invalid"),
    })
}

fn icmp<'a>(carried: &Carried<'a>, unreachable: u8) -> Result<Read<'a>, Skip> {
    let v6 = carried.protocol == IpNumber::IPV6_ICMP.0;
    let [kind, code, _, _, a, b, c, d, ref payload @ ..] = *carried.payload else {
        return Err(Skip::transport(if v6 {
            "decoder.icmpv6.pkt_too_small"
        } else {
            "decoder.icmpv4.pkt_too_small"
        }));
    };
    let refuses = kind == unreachable && (v6 || code != FRAGMENTATION_NEEDED);
    let unreachable = if refuses { quoted(payload) } else { None };
    let icmp = Icmp { v6, kind, code, echo: u32::from_be_bytes([a, b, c, d]), unreachable };
    Ok(Read {
        transport: Transport::Icmp(icmp),
        payload,
        payload_bytes: carried.payload_bytes.saturating_sub(ICMP_HEADER),
        covered: Some(carried.payload),
        anomaly: if v6 { unknown_v6(carried, kind) } else { unknown_v4(carried, kind, code) },
    })
}

/// Types and codes of ICMP that no document defines.
fn unknown_v4(carried: &Carried<'_>, kind: u8, code: u8) -> Option<&'static str> {
    if carried.source.is_ipv6() {
        return Some("decoder.ipv6.icmpv4");
    }
    let codes = match kind {
        3 => 15,
        0 | 4 | 8 | 10 | 13..=18 => 0,
        5 => 3,
        9 if code == 16 => return None,
        9 => 0,
        11 => 1,
        12 => 2,
        _ => return Some("decoder.icmpv4.unknown_type"),
    };
    (code > codes).then_some("decoder.icmpv4.unknown_code")
}

/// Types of `ICMPv6` that no document defines.
fn unknown_v6(carried: &Carried<'_>, kind: u8) -> Option<&'static str> {
    if carried.source.is_ipv4() {
        return Some("decoder.ipv4.icmpv6");
    }
    match kind {
        1..=4 | 100 | 101 | 127..=161 | 200 | 201 | 255 => None,
        _ => Some("decoder.icmpv6.unknown_type"),
    }
}

/// Any other: a flow of its own, by its number.
fn other<'a>(carried: &Carried<'a>) -> Read<'a> {
    let ports = |at: usize| {
        let has_ports = carried.protocol == IpNumber::SCTP.0;
        has_ports.then(|| half(carried.payload, at)).flatten().unwrap_or_default()
    };
    let ports = Ports { source: ports(0), destination: ports(2) };
    Read {
        transport: Transport::Other(Other { protocol: carried.protocol, ports }),
        payload: carried.payload,
        payload_bytes: carried.payload_bytes,
        covered: None,
        anomaly: None,
    }
}
