//! TCP, UDP, ICMP and `ICMPv6` headers.

use etherparse::{IpNumber, TcpSlice, UdpSlice};

use super::network::{Carried, quoted};
use super::{Flags, Icmp, Ip, Ports, Skip, Tcp, Transport};

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

pub(super) fn parse<'a>(carried: &Carried<'a>) -> Result<Ip<'a>, Skip> {
    let (transport, payload, payload_bytes) = match IpNumber(carried.protocol) {
        IpNumber::TCP => tcp(carried)?,
        IpNumber::UDP => udp(carried)?,
        IpNumber::ICMP => icmp(carried, UNREACHABLE_V4)?,
        IpNumber::IPV6_ICMP => icmp(carried, UNREACHABLE_V6)?,
        _ => return Err(Skip::Transport),
    };
    Ok(Ip {
        source: carried.source,
        destination: carried.destination,
        bytes: carried.bytes,
        transport,
        payload,
        payload_bytes,
        truncated: carried.truncated,
    })
}

type Read<'a> = Result<(Transport, &'a [u8], u32), Skip>;

fn tcp<'a>(carried: &Carried<'a>) -> Read<'a> {
    let slice = TcpSlice::from_slice(carried.payload).map_err(|_cause| Skip::MalformedTransport)?;
    let header = u32::try_from(slice.header_len()).unwrap_or(u32::MAX);
    let tcp = Tcp {
        ports: Ports { source: slice.source_port(), destination: slice.destination_port() },
        sequence: slice.sequence_number(),
        acknowledgment: slice.acknowledgment_number(),
        window: slice.window_size(),
        flags: Flags(slice.header_slice().get(13).copied().unwrap_or_default() & 0x3f),
    };
    Ok((Transport::Tcp(tcp), slice.payload(), carried.payload_bytes.saturating_sub(header)))
}

fn udp<'a>(carried: &Carried<'a>) -> Read<'a> {
    let slice = UdpSlice::from_slice_lax(carried.payload).map_err(|_cause| Skip::MalformedTransport)?;
    let ports = Ports { source: slice.source_port(), destination: slice.destination_port() };
    // A length of zero is a jumbogram (RFC 2675), one beyond the IP packet a lie: the IP header decides.
    let announced = u32::from(slice.length());
    let bytes =
        if announced < UDP_HEADER { carried.payload_bytes } else { announced.min(carried.payload_bytes) };
    Ok((Transport::Udp(ports), slice.payload(), bytes.saturating_sub(UDP_HEADER)))
}

fn icmp<'a>(carried: &Carried<'a>, unreachable: u8) -> Read<'a> {
    let [kind, code, _, _, _, _, _, _, ref payload @ ..] = *carried.payload else {
        return Err(Skip::MalformedTransport);
    };
    let v6 = carried.protocol == IpNumber::IPV6_ICMP.0;
    let refuses = kind == unreachable && (v6 || code != FRAGMENTATION_NEEDED);
    let icmp = Icmp { v6, kind, code, unreachable: if refuses { quoted(payload) } else { None } };
    Ok((Transport::Icmp(icmp), payload, carried.payload_bytes.saturating_sub(ICMP_HEADER)))
}
