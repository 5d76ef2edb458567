//! The packets that nearly all frames hold, read in one go: whole, in Ethernet without tags, over IP without options or extension
//! headers, TCP or UDP, and no tunnel. What is read here is what the layers would give; all else, errors too, is left to them.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::{Flags, Ip, Ports, TCP, Tcp, Transport, UDP, Vlans, len, tunnel};
use crate::frame::{Frame, LinkType};

const ETHERNET_HEADER: usize = 14;
const V4_HEADER: usize = 20;
const V6_HEADER: usize = 40;
const TCP_HEADER: usize = 20;
const UDP_HEADER: usize = 8;
/// Version 4, five words.
const V4_WITHOUT_OPTIONS: u8 = 0x45;
/// More fragments, and the offset.
const FRAGMENT: u16 = 0x3fff;

/// The packet of a plain frame; none of any other. Checksums are not looked at.
pub(crate) fn plain<'a>(frame: &Frame<'a>) -> Option<Ip<'a>> {
    if frame.link != LinkType::Ethernet || frame.vlan.is_some() {
        return None;
    }
    let (ethernet, packet) = frame.bytes.split_first_chunk::<ETHERNET_HEADER>()?;
    match *ethernet {
        [.., 0x08, 0x00] => v4(packet, frame.wire_len),
        [.., 0x86, 0xdd] => v6(packet, frame.wire_len),
        _ => None,
    }
}

fn v4(packet: &[u8], wire_len: u32) -> Option<Ip<'_>> {
    let fixed = packet.first_chunk::<V4_HEADER>()?;
    let [first, _, t0, t1, _, _, f0, f1, hops_left, protocol, _, _, s0, s1, s2, s3, d0, d1, d2, d3] = *fixed;
    if first != V4_WITHOUT_OPTIONS || u16::from_be_bytes([f0, f1]) & FRAGMENT != 0 {
        return None;
    }
    let total = usize::from(u16::from_be_bytes([t0, t1]));
    let content = packet.get(V4_HEADER..total)?;
    let source = IpAddr::V4(Ipv4Addr::new(s0, s1, s2, s3));
    let destination = IpAddr::V4(Ipv4Addr::new(d0, d1, d2, d3));
    ip(source, destination, protocol, hops_left, content, (V4_HEADER, wire_len))
}

fn v6(packet: &[u8], wire_len: u32) -> Option<Ip<'_>> {
    let fixed = packet.first_chunk::<V6_HEADER>()?;
    let [first, _, _, _, l0, l1, protocol, hops_left, ref addresses @ ..] = *fixed;
    let announced = usize::from(u16::from_be_bytes([l0, l1]));
    if first >> 4 != 6 || announced == 0 {
        return None;
    }
    let content = packet.get(V6_HEADER..V6_HEADER + announced)?;
    let address = |octets: Option<&[u8; 16]>| Some(IpAddr::V6(Ipv6Addr::from(*octets?)));
    let (source, destination) = (address(addresses.first_chunk())?, address(addresses.last_chunk())?);
    ip(source, destination, protocol, hops_left, content, (V6_HEADER, wire_len))
}

/// `lengths`: of the IP header, and of the frame on the wire.
fn ip(
    source: IpAddr,
    destination: IpAddr,
    protocol: u8,
    hops_left: u8,
    content: &[u8],
    (header, wire_len): (usize, u32),
) -> Option<Ip<'_>> {
    let (transport, payload) = match protocol {
        TCP => tcp(content)?,
        UDP => udp(content)?,
        _ => return None,
    };
    Some(Ip {
        source,
        destination,
        bytes: u32::try_from(header + content.len()).ok()?,
        wire_bytes: wire_len,
        framed_bytes: wire_len,
        fragments: 1,
        vlans: Vlans::default(),
        depth: 0,
        transport,
        payload,
        payload_bytes: len(payload),
        truncated: false,
        bad_checksum: false,
        hops_left,
        tunnel: None,
        anomaly: None,
    })
}

fn tcp(segment: &[u8]) -> Option<(Transport, &[u8])> {
    let fixed = segment.first_chunk::<TCP_HEADER>()?;
    let [p0, p1, p2, p3, s0, s1, s2, s3, a0, a1, a2, a3, offset, flags, w0, w1, _, _, _, _] = *fixed;
    let header = usize::from(offset >> 4) * 4;
    if header < TCP_HEADER {
        return None;
    }
    let tcp = Tcp {
        ports: Ports { source: u16::from_be_bytes([p0, p1]), destination: u16::from_be_bytes([p2, p3]) },
        sequence: u32::from_be_bytes([s0, s1, s2, s3]),
        acknowledgment: u32::from_be_bytes([a0, a1, a2, a3]),
        window: u16::from_be_bytes([w0, w1]),
        flags: Flags(flags & 0x3f),
    };
    Some((Transport::Tcp(tcp), segment.get(header..)?))
}

fn udp(datagram: &[u8]) -> Option<(Transport, &[u8])> {
    let [p0, p1, p2, p3, l0, l1, _, _] = *datagram.first_chunk::<UDP_HEADER>()?;
    let payload = datagram.get(UDP_HEADER..usize::from(u16::from_be_bytes([l0, l1])))?;
    let ports = Ports { source: u16::from_be_bytes([p0, p1]), destination: u16::from_be_bytes([p2, p3]) };
    (!tunnel::may_be(ports, payload)).then_some((Transport::Udp(ports), payload))
}
