//! Single frames, crafted with pnet: Ethernet, ARP, IPv4, IPv6, TCP, UDP and ICMP with correct lengths and checksums.
//!
//! The sensor sits at the gateway: inside hosts have MAC addresses of their own (locally administered, made of their
//! address), whatever comes from outside has the router's.
#![expect(clippy::expect_used, reason = "every buffer is made here, of the size that its header needs")]

use std::net::{IpAddr, Ipv4Addr};

use pnet::packet::Packet;
use pnet::packet::arp::{ArpHardwareTypes, ArpOperations, MutableArpPacket};
use pnet::packet::ethernet::{EtherType, EtherTypes, MutableEthernetPacket};
use pnet::packet::icmp::{self, IcmpTypes, echo_request::MutableEchoRequestPacket};
use pnet::packet::ip::{IpNextHeaderProtocol, IpNextHeaderProtocols};
use pnet::packet::ipv4::{self, Ipv4Flags, MutableIpv4Packet};
use pnet::packet::ipv6::MutableIpv6Packet;
use pnet::packet::tcp::{self, MutableTcpPacket};
use pnet::packet::udp::{self, MutableUdpPacket};
use pnet::util::MacAddr;

/// Frames shorter than this (without checksum) are padded on the wire.
const FRAME_MIN: usize = 60;

/// An address and a port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct End {
    /// The address.
    pub(crate) ip: IpAddr,
    /// The port.
    pub(crate) port: u16,
}

/// An address with a port.
pub(crate) const fn end(ip: IpAddr, port: u16) -> End {
    End { ip, port }
}

/// An IPv4 address.
pub(crate) const fn v4(octets: [u8; 4]) -> IpAddr {
    IpAddr::V4(Ipv4Addr::new(octets[0], octets[1], octets[2], octets[3]))
}

/// Flags of a TCP segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TcpFlags(u8);

impl TcpFlags {
    /// Begin.
    pub(crate) const SYN: Self = Self(tcp::TcpFlags::SYN);
    /// Begin, answered.
    pub(crate) const SYN_ACK: Self = Self(tcp::TcpFlags::SYN | tcp::TcpFlags::ACK);
    /// Acknowledge.
    pub(crate) const ACK: Self = Self(tcp::TcpFlags::ACK);
    /// Data.
    pub(crate) const PSH_ACK: Self = Self(tcp::TcpFlags::PSH | tcp::TcpFlags::ACK);
    /// End.
    pub(crate) const FIN_ACK: Self = Self(tcp::TcpFlags::FIN | tcp::TcpFlags::ACK);
    /// Refuse or abort.
    pub(crate) const RST_ACK: Self = Self(tcp::TcpFlags::RST | tcp::TcpFlags::ACK);
    /// Abort without acknowledging, as a half-open scanner's kernel does.
    pub(crate) const RST: Self = Self(tcp::TcpFlags::RST);
    /// End, without acknowledging: no TCP implementation sends that.
    pub(crate) const FIN: Self = Self(tcp::TcpFlags::FIN);
    /// Nothing at all: nor that.
    pub(crate) const NONE: Self = Self(0);
    /// Everything lit like a Christmas tree: nor that.
    pub(crate) const XMAS: Self = Self(tcp::TcpFlags::FIN | tcp::TcpFlags::PSH | tcp::TcpFlags::URG);
}

/// One TCP segment.
#[derive(Debug)]
pub(crate) struct Segment<'a> {
    /// Sender.
    pub(crate) from: End,
    /// Addressee.
    pub(crate) to: End,
    /// Sequence number.
    pub(crate) seq: u32,
    /// Acknowledgement number.
    pub(crate) ack: u32,
    /// Flags.
    pub(crate) flags: TcpFlags,
    /// Window.
    pub(crate) window: u16,
    /// Data.
    pub(crate) payload: &'a [u8],
}

/// The MAC address behind which an address is seen at the gateway.
pub(crate) fn mac(ip: IpAddr) -> MacAddr {
    let router = MacAddr::new(0x02, 0x00, 0x5e, 0, 0, 1);
    match ip {
        IpAddr::V4(ip) if ip.is_private() => {
            let [a, b, c, d] = ip.octets();
            MacAddr::new(0x02, 0x01, a, b, c, d)
        }
        IpAddr::V4(ip) if ip.is_multicast() => {
            let [_, b, c, d] = ip.octets();
            MacAddr::new(0x01, 0x00, 0x5e, b & 0x7f, c, d)
        }
        IpAddr::V4(_) | IpAddr::V6(_) => router,
    }
}

/// A TCP frame. A SYN carries the maximum segment size option, as every real one does.
pub(crate) fn tcp(segment: &Segment<'_>, ip_id: u16) -> Vec<u8> {
    let is_syn = segment.flags == TcpFlags::SYN || segment.flags == TcpFlags::SYN_ACK;
    let options = if is_syn { vec![tcp::TcpOption::mss(1_460)] } else { Vec::new() };
    let header = 20 + options.len() * 4;
    let mut bytes = vec![0; header + segment.payload.len()];
    let mut packet = MutableTcpPacket::new(&mut bytes).expect("a TCP header fits");
    packet.set_source(segment.from.port);
    packet.set_destination(segment.to.port);
    packet.set_sequence(segment.seq);
    packet.set_acknowledgement(segment.ack);
    packet.set_data_offset(if is_syn { 6 } else { 5 });
    packet.set_flags(segment.flags.0);
    packet.set_window(segment.window);
    packet.set_options(&options);
    packet.set_payload(segment.payload);
    let checksum = match (segment.from.ip, segment.to.ip) {
        (IpAddr::V4(from), IpAddr::V4(to)) => tcp::ipv4_checksum(&packet.to_immutable(), &from, &to),
        (IpAddr::V6(from), IpAddr::V6(to)) => tcp::ipv6_checksum(&packet.to_immutable(), &from, &to),
        (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => 0,
    };
    packet.set_checksum(checksum);
    ip(segment.from.ip, segment.to.ip, IpNextHeaderProtocols::Tcp, ip_id, &bytes)
}

/// Says in the headers of an IPv4 frame that `more` bytes of payload follow, which a snap length has cut off. The transport's
/// checksum stays that of what is there.
pub(crate) fn lengthen(frame: &mut [u8], more: u16) {
    let Some(mut packet) = frame.get_mut(14..).and_then(MutableIpv4Packet::new) else { return };
    packet.set_total_length(packet.get_total_length().saturating_add(more));
    if packet.get_next_level_protocol() == IpNextHeaderProtocols::Udp {
        let mut datagram = packet.payload().to_vec();
        if let Some(mut udp) = MutableUdpPacket::new(&mut datagram) {
            udp.set_length(udp.get_length().saturating_add(more));
        }
        packet.set_payload(&datagram);
    }
    let checksum = ipv4::checksum(&packet.to_immutable());
    packet.set_checksum(checksum);
}

/// A UDP frame.
pub(crate) fn udp(from: End, to: End, ip_id: u16, payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0; 8 + payload.len()];
    let length = u16::try_from(bytes.len()).expect("a datagram is shorter than 64 KiB");
    let mut packet = MutableUdpPacket::new(&mut bytes).expect("a UDP header fits");
    packet.set_source(from.port);
    packet.set_destination(to.port);
    packet.set_length(length);
    packet.set_payload(payload);
    let checksum = match (from.ip, to.ip) {
        (IpAddr::V4(from), IpAddr::V4(to)) => udp::ipv4_checksum(&packet.to_immutable(), &from, &to),
        (IpAddr::V6(from), IpAddr::V6(to)) => udp::ipv6_checksum(&packet.to_immutable(), &from, &to),
        (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => 0,
    };
    packet.set_checksum(checksum);
    ip(from.ip, to.ip, IpNextHeaderProtocols::Udp, ip_id, &bytes)
}

/// Which of the two ICMP echo messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Echo {
    /// Type 8.
    Request,
    /// Type 0.
    Reply,
}

/// An ICMP echo frame with the usual 48 bytes of data.
pub(crate) fn echo(from: IpAddr, to: IpAddr, sequence: u16, ip_id: u16, which: Echo) -> Vec<u8> {
    echo_with((from, to), (sequence, ip_id), which, &[0x61; 48])
}

/// An ICMP echo frame with this data; `numbers` are its sequence number and the IP packet's identifier.
pub(crate) fn echo_with(ends: (IpAddr, IpAddr), numbers: (u16, u16), which: Echo, data: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0; 8 + data.len()];
    let mut packet = MutableEchoRequestPacket::new(&mut bytes).expect("an ICMP header fits");
    packet.set_icmp_type(match which {
        Echo::Request => IcmpTypes::EchoRequest,
        Echo::Reply => IcmpTypes::EchoReply,
    });
    packet.set_identifier(0x5e1c);
    packet.set_sequence_number(numbers.0);
    packet.set_payload(data);
    let view = icmp::IcmpPacket::new(packet.packet()).expect("an ICMP header fits");
    let checksum = icmp::checksum(&view);
    packet.set_checksum(checksum);
    ip(ends.0, ends.1, IpNextHeaderProtocols::Icmp, numbers.1, &bytes)
}

/// An ARP frame: a request to everybody, or with `answer_to` a reply to one.
pub(crate) fn arp(sender: Ipv4Addr, target: Ipv4Addr, answer_to: Option<MacAddr>) -> Vec<u8> {
    let mut bytes = vec![0; 28];
    let mut packet = MutableArpPacket::new(&mut bytes).expect("an ARP packet fits");
    let sender_mac = mac(IpAddr::V4(sender));
    packet.set_hardware_type(ArpHardwareTypes::Ethernet);
    packet.set_protocol_type(EtherTypes::Ipv4);
    packet.set_hw_addr_len(6);
    packet.set_proto_addr_len(4);
    packet.set_operation(if answer_to.is_some() { ArpOperations::Reply } else { ArpOperations::Request });
    packet.set_sender_hw_addr(sender_mac);
    packet.set_sender_proto_addr(sender);
    packet.set_target_hw_addr(answer_to.unwrap_or_default());
    packet.set_target_proto_addr(target);
    ethernet(sender_mac, answer_to.unwrap_or_else(MacAddr::broadcast), EtherTypes::Arp, &bytes)
}

fn ip(from: IpAddr, to: IpAddr, protocol: IpNextHeaderProtocol, id: u16, payload: &[u8]) -> Vec<u8> {
    let length = u16::try_from(payload.len()).expect("a packet is shorter than 64 KiB");
    let ttl = if mac(from) == MacAddr::new(0x02, 0x00, 0x5e, 0, 0, 1) { 52 } else { 64 };
    match (from, to) {
        (IpAddr::V4(source), IpAddr::V4(destination)) => {
            let mut bytes = vec![0; 20 + payload.len()];
            let mut packet = MutableIpv4Packet::new(&mut bytes).expect("an IPv4 header fits");
            packet.set_version(4);
            packet.set_header_length(5);
            packet.set_total_length(20 + length);
            packet.set_identification(id);
            packet.set_flags(Ipv4Flags::DontFragment);
            packet.set_ttl(ttl);
            packet.set_next_level_protocol(protocol);
            packet.set_source(source);
            packet.set_destination(destination);
            packet.set_payload(payload);
            let checksum = ipv4::checksum(&packet.to_immutable());
            packet.set_checksum(checksum);
            ethernet(mac(from), mac(to), EtherTypes::Ipv4, &bytes)
        }
        (IpAddr::V6(source), IpAddr::V6(destination)) => {
            let mut bytes = vec![0; 40 + payload.len()];
            let mut packet = MutableIpv6Packet::new(&mut bytes).expect("an IPv6 header fits");
            packet.set_version(6);
            packet.set_payload_length(length);
            packet.set_next_header(protocol);
            packet.set_hop_limit(ttl);
            packet.set_source(source);
            packet.set_destination(destination);
            packet.set_payload(payload);
            ethernet(mac(from), mac(to), EtherTypes::Ipv6, &bytes)
        }
        (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => Vec::new(),
    }
}

fn ethernet(from: MacAddr, to: MacAddr, kind: EtherType, payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0; (14 + payload.len()).max(FRAME_MIN)];
    let mut packet = MutableEthernetPacket::new(&mut bytes).expect("an Ethernet header fits");
    packet.set_source(from);
    packet.set_destination(to);
    packet.set_ethertype(kind);
    packet.set_payload(payload);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;
    use pnet::packet::ipv4::Ipv4Packet;
    use pnet::packet::tcp::TcpPacket;

    #[test]
    fn a_segment_has_its_checksums() {
        let (from, to) = (end(v4([192, 168, 1, 2]), 40_000), end(v4([203, 0, 113, 9]), 443));
        let segment =
            Segment { from, to, seq: 1, ack: 2, flags: TcpFlags::PSH_ACK, window: 9, payload: b"hello" };
        let frame = tcp(&segment, 7);
        let ip = Ipv4Packet::new(&frame[14..]).unwrap();
        assert_eq!(ip.get_checksum(), ipv4::checksum(&ip));
        let tcp = TcpPacket::new(ip.payload()).unwrap();
        assert_eq!(tcp.payload(), b"hello");
        assert_eq!(tcp.get_checksum(), tcp::ipv4_checksum(&tcp, &ip.get_source(), &ip.get_destination()));
    }

    #[test]
    fn inside_hosts_have_a_mac_and_outside_ones_the_routers() {
        assert_eq!(mac(v4([192, 168, 1, 2])).to_string(), "02:01:c0:a8:01:02");
        assert_eq!(mac(v4([203, 0, 113, 9])), mac(v4([198, 51, 100, 1])));
    }
}
