//! Frames as text, what they decode to.

use etherparse::{PacketBuilder, VlanId};
use proptest::prelude::*;

use super::*;

const UDP: [u8; 12] = *b"\x9c\x40\x00\x35\x00\x0c\xff\xffdata";

fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<_> = text.bytes().filter(|byte| !byte.is_ascii_whitespace()).collect();
    let byte = |pair: &[u8]| u8::from_str_radix(str::from_utf8(pair).unwrap(), 16).unwrap();
    digits.chunks(2).map(byte).collect()
}

fn frame(link: LinkType, bytes: &[u8]) -> Frame<'_> {
    let wire_len = u32::try_from(bytes.len()).unwrap();
    Frame { at: Default::default(), link, bytes, wire_len, vlan: None }
}

/// In one line: VLAN, addresses, transport, payload.
fn shown(frame: &Frame<'_>) -> String {
    let packet = match Packet::parse(frame) {
        Ok(packet) => packet,
        Err(skip) => return format!("{skip:?}"),
    };
    let vlan = packet.vlan.map_or(String::new(), |vlan| format!("vlan {vlan} "));
    match packet.content {
        Content::Arp(arp) => format!("{vlan}arp {} {}>{}", arp.operation, arp.sender_ip, arp.target_ip),
        Content::Ip(ip) => {
            let transport = match ip.transport {
                Transport::Tcp(tcp) => {
                    format!("tcp {}>{} {:02x}", tcp.ports.source, tcp.ports.destination, tcp.flags.0)
                }
                Transport::Udp(ports) => format!("udp {}>{}", ports.source, ports.destination),
                Transport::Icmp(icmp) => {
                    let quoted =
                        icmp.unreachable.map(|quoted| (quoted.destination, quoted.ports.destination));
                    format!("icmp {}/{} {quoted:?}", icmp.kind, icmp.code)
                }
            };
            let cut = if ip.truncated { " cut" } else { "" };
            let (payload, sent) = (ip.payload.len(), ip.payload_bytes);
            format!(
                "{vlan}{}>{} {transport} {payload}/{sent} of {}{cut}",
                ip.source, ip.destination, ip.bytes
            )
        }
    }
}

fn ipv4(protocol: u8, fragment: &str, payload: &[u8]) -> Vec<u8> {
    let length = 20 + u16::try_from(payload.len()).unwrap();
    let mut bytes =
        hex(&format!("4500 {length:04x} 0001 {fragment} 40 {protocol:02x} 0000 c0000201 c6336402"));
    bytes.extend(payload);
    bytes
}

fn ipv6(next: u8, payload: &[u8]) -> Vec<u8> {
    let length = u16::try_from(payload.len()).unwrap();
    let address = |last| format!("20010db8 00000000 00000000 000000{last:02x}");
    let mut bytes = hex(&format!("60000000 {length:04x} {next:02x} 40 {} {}", address(1), address(2)));
    bytes.extend(payload);
    bytes
}

#[test]
fn link_layers() {
    let check = |link: LinkType, head: &str, expected: &str| {
        let bytes = [hex(head), ipv4(17, "0000", &UDP)].concat();
        assert_eq!(shown(&frame(link, &bytes)), expected, "{link:?} {head}");
    };
    let udp = "192.0.2.1>198.51.100.2 udp 40000>53 4/4 of 32";
    let macs = "020000000001 020000000002";
    check(LinkType::Ethernet, &format!("{macs} 0800"), udp);
    check(LinkType::Ethernet, &format!("{macs} 8100 200a 0800"), &format!("vlan 10 {udp}"));
    check(LinkType::Ethernet, &format!("{macs} 88a8 0064 8100 000a 0800"), &format!("vlan 100 {udp}"));
    check(
        LinkType::Ethernet,
        &format!("{macs} 9100 0064 9200 000a 8100 000b 0800"),
        &format!("vlan 100 {udp}"),
    );
    check(LinkType::Ethernet, &format!("{macs} 8100 e000 0800"), udp);
    check(LinkType::Ethernet, &format!("{macs} {} 0800", "8100 0001 ".repeat(9)), "MalformedLink");
    check(LinkType::Ethernet, &format!("{macs} 0026 4242 03"), "EtherType");
    check(LinkType::Ethernet, &format!("{macs} 8847"), "EtherType");
    check(LinkType::RawIp, "", udp);
    check(LinkType::LinuxSll, "0000 0001 0006 020000000001 0000 0800", udp);
    check(LinkType::LinuxSll2, "0800 0000 00000001 0001 00 06 0200000000010000", udp);
    check(LinkType::Loopback, "02000000", udp);
    check(LinkType::Loopback, "00000002", udp);
    check(LinkType::Loopback, "00000007", "EtherType");
    check(LinkType::Other(147), "", "LinkType");
}

#[test]
fn the_ring_tells_the_outer_vlan() {
    let bytes = [hex("020000000001 020000000002 8100 000a 0800"), ipv4(17, "0000", &UDP)].concat();
    for (vlan, expected) in [(Some(7), "vlan 7 "), (Some(0), "vlan 10 "), (None, "vlan 10 ")] {
        let frame = Frame { vlan, ..frame(LinkType::Ethernet, &bytes) };
        assert!(shown(&frame).starts_with(expected), "{vlan:?}");
    }
}

#[test]
fn network_and_transport_layers() {
    let check = |bytes: &[u8], expected: &str| assert_eq!(shown(&frame(LinkType::RawIp, bytes)), expected);
    let four = "192.0.2.1>198.51.100.2";
    let six = "2001:db8::1>2001:db8::2";
    check(&ipv4(17, "2000", &UDP), &format!("{four} udp 40000>53 4/4 of 32"));
    check(&ipv4(17, "0001", &UDP), "Fragment");
    check(&ipv4(47, "0000", &UDP), "Transport");
    check(&ipv4(6, "0000", &UDP), "MalformedTransport");
    check(&[ipv4(17, "0000", &UDP), vec![0; 20]].concat(), &format!("{four} udp 40000>53 4/4 of 32"));
    let tcp = hex("1f90 c350 00000001 00000002 5012 ffff 0000 0000 616263");
    check(&ipv4(6, "0000", &tcp), &format!("{four} tcp 8080>50000 12 3/3 of 43"));
    check(&ipv4(6, "0000", &hex("1f90 c350 00000001 00000002 4012 ffff 0000 0000")), "MalformedTransport");
    check(&ipv4(1, "0000", &hex("0800 0000 00010001")), &format!("{four} icmp 8/0 None 0/0 of 28"));
    check(&ipv4(1, "0000", &hex("0800")), "MalformedTransport");
    let quoting = |code: &str| [hex(&format!("03{code} 0000 00000000")), ipv4(17, "0000", &UDP)].concat();
    check(&ipv4(1, "0000", &quoting("03")), &format!("{four} icmp 3/3 Some((198.51.100.2, 53)) 32/32 of 60"));
    check(&ipv4(1, "0000", &quoting("04")), &format!("{four} icmp 3/4 None 32/32 of 60"));
    let quoting = [hex("0104 0000 00000000"), ipv6(17, &UDP)].concat();
    check(&ipv6(58, &quoting), &format!("{six} icmp 1/4 Some((2001:db8::2, 53)) 52/52 of 100"));
    check(&ipv6(17, &UDP), &format!("{six} udp 40000>53 4/4 of 52"));
    let options = [hex("3c00 000000000000 1100 000000000000"), UDP.to_vec()].concat();
    check(&ipv6(0, &options), &format!("{six} udp 40000>53 4/4 of 68"));
    let fragment = |offset: &str| [hex(&format!("1100 {offset} 00000001")), UDP.to_vec()].concat();
    check(&ipv6(44, &fragment("0001")), &format!("{six} udp 40000>53 4/4 of 60"));
    check(&ipv6(44, &fragment("0008")), "Fragment");
    check(&ipv6(0, &hex("3cff")), "MalformedNetwork");
    check(&hex("45"), "MalformedNetwork");
    check(&hex("55000000"), "MalformedNetwork");
    check(&[], "MalformedNetwork");
}

#[test]
fn a_cut_packet_is_decoded_as_far_as_it_goes() {
    let whole = ipv4(17, "0000", &[&UDP[..8], &[0; 100]].concat());
    // The UDP header still says 12 bytes: what is sent is the least that the headers agree on.
    let cut = Frame { wire_len: 128, ..frame(LinkType::RawIp, &whole[..30]) };
    assert_eq!(shown(&cut), "192.0.2.1>198.51.100.2 udp 40000>53 2/4 of 128 cut");
    let tcp =
        ipv4(6, "0000", &[hex("1f90 c350 00000001 00000002 5010 ffff 0000 0000"), vec![0; 100]].concat());
    let cut = Frame { wire_len: 140, ..frame(LinkType::RawIp, &tcp[..50]) };
    assert_eq!(shown(&cut), "192.0.2.1>198.51.100.2 tcp 8080>50000 10 10/100 of 140 cut");
    let cut = Frame { wire_len: 140, ..frame(LinkType::RawIp, &tcp[..30]) };
    assert_eq!(shown(&cut), "MalformedTransport");
    // Segmentation offload leaves the length at zero.
    let mut offloaded = tcp;
    offloaded[2..4].fill(0);
    assert_eq!(
        shown(&frame(LinkType::RawIp, &offloaded)),
        "192.0.2.1>198.51.100.2 tcp 8080>50000 10 100/100 of 140"
    );
}

#[test]
fn arp_for_ipv4_over_ethernet_only() {
    let arp = "0001 0800 06 04 0002 020000000001 c0000201 020000000002 c0000202";
    let check = |arp: &str, expected: &str| {
        let bytes = hex(&format!("ffffffffffff 020000000001 0806 {arp}"));
        assert_eq!(shown(&frame(LinkType::Ethernet, &bytes)), expected);
    };
    check(arp, "arp 2 192.0.2.1>192.0.2.2");
    check(&arp.replacen("0001 0800", "0006 0800", 1), "EtherType");
    check(&arp.replacen("06 04", "08 04", 1), "MalformedLink");
    check("0001 0800 06", "MalformedLink");
}

proptest! {
    #[test]
    fn nothing_panics(data: Vec<u8>) {
        fuzz(&data);
    }

    /// A good frame with some bytes changed and its end cut off.
    #[test]
    fn nothing_panics_on_damaged_frames(
        changes in proptest::collection::vec((0_usize..200, any::<u8>()), 0..8), cut in 0_usize..200, v6: bool, tcp: bool,
    ) {
        let builder = PacketBuilder::ethernet2([2; 6], [4; 6]).single_vlan(VlanId::try_new(9).unwrap());
        let builder = if v6 { builder.ipv6([1; 16], [2; 16], 64) } else { builder.ipv4([1; 4], [2; 4], 64) };
        let mut bytes = vec![0];
        let payload = [7; 64];
        if tcp {
            builder.tcp(1, 2, 3, 4).write(&mut bytes, &payload).unwrap();
        } else {
            builder.udp(1, 2).write(&mut bytes, &payload).unwrap();
        }
        for (at, value) in changes {
            if let Some(byte) = bytes.get_mut(at.max(1)) {
                *byte = value;
            }
        }
        bytes.truncate(cut.max(1));
        fuzz(&bytes);
    }
}
