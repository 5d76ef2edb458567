//! Frames as text, what they decode to.

use etherparse::{PacketBuilder, VlanId};
use proptest::prelude::*;

use super::fragment::{Fragments, Outcome};
use super::*;
use crate::counters::{Counter, Counters};
use crate::frame::LinkType;
use crate::limits::Limits;
use sekimori_wire::time::Timestamp;

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

/// Decodes, and puts fragments together.
struct Reader {
    fragments: Fragments,
    counters: Counters,
    verify: bool,
    met: Met,
}

impl Reader {
    fn new() -> Self {
        let limits = Limits { datagrams: 2, datagram_bytes: 8_192, ..Limits::gateway() };
        let fragments = Fragments::new(&limits, 1);
        Self { fragments, counters: Counters::default(), verify: false, met: Met::default() }
    }

    /// The packets of a frame in one line: VLANs, addresses, transport, payload; `|` before a packet in a tunnel.
    fn read(&mut self, frame: &Frame<'_>) -> String {
        fuzzing::agrees(frame);
        match Layer::of(frame, &mut self.met) {
            Ok(layer) => self.walk(frame.at, layer),
            Err(skip) => format!("{:?}", skip.reason),
        }
    }

    fn walk(&mut self, at: Timestamp, layer: Layer<'_>) -> String {
        let vlans: String = layer.context.vlans.iter().map(|id| format!("vlan {id} ")).collect();
        match layer.step(self.verify, &mut self.met) {
            Err(skip) => format!("{:?}", skip.reason),
            Ok(Step::Arp(arp)) => {
                format!("{vlans}arp {} {}>{}", arp.operation, arp.sender_ip, arp.target_ip)
            }
            Ok(Step::Ip(ip, inner)) => {
                let tunnel = ip.tunnel.map_or(String::new(), |tunnel| format!(" {}", tunnel.as_str()));
                let inner = inner.map_or(String::new(), |layer| format!(" | {}", self.walk(at, layer)));
                format!("{vlans}{}{tunnel}{inner}", packet(&ip))
            }
            Ok(Step::Into(layer)) => self.walk(at, layer),
            Ok(Step::Both(first, rest)) => {
                let first = self.walk(at, first);
                format!("{first} & {}", self.walk(at, rest))
            }
            Ok(Step::Fragment(fragment)) => match self.fragments.add(at, &fragment, &mut self.counters) {
                Outcome::Waits(anomaly) => anomaly.unwrap_or("waits").to_owned(),
                Outcome::Refused => "refused".to_owned(),
                Outcome::Whole(whole, anomaly) => {
                    format!("{}{}", anomaly.unwrap_or_default(), self.walk(at, whole.layer()))
                }
            },
        }
    }
}

fn packet(ip: &Ip<'_>) -> String {
    let transport = match ip.transport {
        Transport::Tcp(tcp) => {
            format!("tcp {}>{} {:02x}", tcp.ports.source, tcp.ports.destination, tcp.flags.0)
        }
        Transport::Udp(ports) => format!("udp {}>{}", ports.source, ports.destination),
        Transport::Icmp(icmp) => {
            let quoted = icmp.unreachable.map(|quoted| (quoted.destination, quoted.ports.destination));
            format!("icmp {}/{} {quoted:?}", icmp.kind, icmp.code)
        }
        Transport::Other(other) => format!("{} {}", other.protocol, other.ports.destination),
    };
    let cut = if ip.truncated { " cut" } else { "" };
    let wrong = if ip.bad_checksum { " wrong" } else { "" };
    let anomaly = ip.anomaly.map_or(String::new(), |name| format!(" {name}"));
    let (payload, sent) = (ip.payload.len(), ip.payload_bytes);
    format!(
        "{}>{} {transport} {payload}/{sent} of {}{cut}{wrong}{anomaly}",
        ip.source, ip.destination, ip.bytes
    )
}

/// In one line.
fn shown(frame: &Frame<'_>) -> String {
    Reader::new().read(frame)
}

/// The anomaly of a frame that is not decoded.
fn broken(link: LinkType, bytes: &[u8]) -> Option<&'static str> {
    let met = &mut Met::default();
    let skip = Layer::of(&frame(link, bytes), met).and_then(|layer| layer.step(false, met).map(|_| ()));
    skip.err().and_then(|skip| skip.anomaly)
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
    check(
        LinkType::Ethernet,
        &format!("{macs} 88a8 0064 8100 000a 0800"),
        &format!("vlan 100 vlan 10 {udp}"),
    );
    check(
        LinkType::Ethernet,
        &format!("{macs} 9100 0064 9200 000a 8100 000b 8100 000c 0800"),
        &format!("vlan 100 vlan 10 vlan 11 {udp}"),
    );
    check(LinkType::Ethernet, &format!("{macs} 8100 e000 0800"), udp);
    check(LinkType::Ethernet, &format!("{macs} {} 0800", "8100 0001 ".repeat(9)), "MalformedLink");
    check(LinkType::Ethernet, &format!("{macs} 0026 4242 03"), "EtherType");
    check(LinkType::Ethernet, &format!("{macs} 88cc"), "EtherType");
    check(LinkType::Ethernet, &format!("{macs} 0028 aaaa03 000000 0800"), udp);
    check(LinkType::Ethernet, &format!("{macs} 0028 aaaa03 0000f8 0800"), udp);
    check(LinkType::Ethernet, &format!("{macs} 0028 aaaa03 00000c 2000"), "EtherType");
    check(LinkType::Ethernet, &format!("{macs} 0023 060603"), udp);
    check(LinkType::Ethernet, &format!("{macs} 8926 00000000 0800"), udp);
    check(LinkType::Ethernet, &format!("{macs} 8903 0001 {macs} 8100 000a 0800"), &format!("vlan 10 {udp}"));
    check(LinkType::Ethernet, &format!("{macs} 88e7 00000001 {macs} 0800"), udp);
    check(LinkType::Ethernet, &format!("{macs} 8864 1100 0001 0022 0021"), udp);
    check(LinkType::Ethernet, &format!("{macs} 8864 1100 0001 0022 21"), udp);
    check(LinkType::Ethernet, &format!("{macs} 8864 1100 0001 0022 c021"), "EtherType");
    check(LinkType::Ethernet, &format!("{macs} 8864 1109 0001 0022 0021"), "MalformedLink");
    check(LinkType::Ethernet, &format!("{macs} 8847 0001 0040 0001 0140"), udp);
    check(LinkType::Ethernet, &format!("{macs} 8847 0001 0140 0000 0001 {macs} 0800"), udp);
    check(LinkType::Ethernet, &format!("{macs} 8848 0001 0140 {macs} 0800"), udp);
    check(LinkType::Ethernet, &format!("{macs} 8847 {}", "0001 0040".repeat(17)), "MalformedLink");
    check(LinkType::Ppp, "ff03 0021", udp);
    check(LinkType::Ppp, "21", udp);
    check(LinkType::Ppp, "0f00 0800", udp);
    check(LinkType::Ppp, "ff03 0281 0001 0140", udp);
    check(LinkType::PppWithDirection, "01 ff03 0021", udp);
    check(LinkType::PppEther, "1100 0001 0022 0021", udp);
    check(LinkType::CiscoHdlc, "0f00 0800", udp);
    check(LinkType::CiscoHdlc, "8f00 8035", "EtherType");
    check(LinkType::Nflog, "0200 0001 0800 0100 00000003 2400 0900", udp);
    check(LinkType::Nflog, "0700 0001 2400 0900", "EtherType");
    check(LinkType::Nflog, "0200 0001 0300 0900", "MalformedLink");
    check(LinkType::LinuxSll, "0000 0001 0006 020000000001 0000 0004 aaaa03 000000 0800", udp);
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
    for (vlan, expected) in [(Some(7), "vlan 7 vlan 10 "), (Some(0), "vlan 10 "), (None, "vlan 10 ")] {
        let frame = Frame { vlan, ..frame(LinkType::Ethernet, &bytes) };
        assert!(shown(&frame).starts_with(expected), "{vlan:?}");
    }
}

#[test]
fn network_and_transport_layers() {
    let check = |bytes: &[u8], expected: &str| assert_eq!(shown(&frame(LinkType::RawIp, bytes)), expected);
    let four = "192.0.2.1>198.51.100.2";
    let six = "2001:db8::1>2001:db8::2";
    check(&ipv4(50, "0000", &UDP), &format!("{four} 50 0 12/12 of 32"));
    check(&ipv4(132, "0000", &UDP), &format!("{four} 132 53 12/12 of 32"));
    check(&ipv4(47, "0000", &UDP), &format!("{four} 47 0 12/12 of 32"));
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
    let useless = "decoder.ipv6.exthdr_useless_fh";
    check(&ipv6(44, &fragment("0000")), &format!("{six} udp 40000>53 4/4 of 60 {useless}"));
    check(&ipv6(44, &fragment("0008")), "waits");
    let authenticated = [hex("1104 0000 00000001 00000001 000000000000000000000000"), UDP.to_vec()].concat();
    check(&ipv6(51, &authenticated), &format!("{six} udp 40000>53 4/4 of 76"));
    check(&ipv4(51, "0000", &authenticated), &format!("{four} udp 40000>53 4/4 of 56"));
    check(&ipv6(0, &hex("3cff")), "MalformedNetwork");
    // Without a payload the link's padding is none.
    let empty = [ipv6(59, &[]), vec![0; 6]].concat();
    check(&empty, &format!("{six} 59 0 0/0 of 40"));
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

const MACS: &str = "020000000001 020000000002";
const INNER: &str = "192.0.2.1>198.51.100.2 udp 40000>53 4/4 of 32";

fn udp(from: u16, to: u16, payload: &[u8]) -> Vec<u8> {
    let length = 8 + u16::try_from(payload.len()).unwrap();
    [&hex(&format!("{from:04x} {to:04x} {length:04x} 0000"))[..], payload].concat()
}

#[test]
fn packets_in_packets() {
    let inner = ipv4(17, "0000", &UDP);
    let check = |protocol: u8, head: &str, expected: &str| {
        let bytes = ipv4(protocol, "0000", &[hex(head), inner.clone()].concat());
        assert_eq!(shown(&frame(LinkType::RawIp, &bytes)), expected, "{protocol} {head}");
    };
    check(4, "", INNER);
    check(47, "0000 0800", INNER);
    check(47, "b000 0800 00000000 00000001 00000002", INNER);
    check(47, &format!("2000 6558 00000001 {MACS} 0800"), INNER);
    check(47, &format!("0000 88be {MACS} 8100 000a 0800"), &format!("vlan 10 {INNER}"));
    check(47, &format!("1000 88be 00000001 1000000000000000 {MACS} 0800"), INNER);
    check(47, &format!("1000 22eb 00000001 200000000000000000000000 {MACS} 0800"), INNER);
    check(47, &format!("1000 22eb 00000001 200000000000000000000001 0000000000000000 {MACS} 0800"), INNER);
    check(47, "3081 880b 00200001 00000001 00000002 ff03 0021", INNER);
    check(47, "3001 880b 00200001 00000001 21", INNER);
    check(47, "0000 8847 00010140", INNER);
    check(47, "0000 883e", INNER);
    check(47, "0000 883e 00000000", INNER);
    let aruba = "0000 8240 0802 0000 000000000001 000000000002 000000000003 0000 aaaa03 000000 0800";
    check(47, aruba, INNER);
    check(97, &format!("3000 {MACS} 0800"), INNER);
    check(115, &format!("00000001 {MACS} 0800"), INNER);
    check(137, "00010140", INNER);
    // What cannot be entered has a flow of its own.
    check(47, "4000 0800", "192.0.2.1>198.51.100.2 47 0 36/36 of 56");
    check(47, "0000 1234", "192.0.2.1>198.51.100.2 47 0 36/36 of 56");
    check(47, "0000 86dd", "192.0.2.1>198.51.100.2 47 0 36/36 of 56");
    check(41, "", "MalformedNetwork");
    let six = ipv6(17, &UDP);
    let inner6 = "2001:db8::1>2001:db8::2 udp 40000>53 4/4 of 52";
    assert_eq!(shown(&frame(LinkType::RawIp, &ipv4(41, "0000", &six))), inner6);
    assert_eq!(shown(&frame(LinkType::RawIp, &ipv6(4, &inner))), INNER);
    assert_eq!(shown(&frame(LinkType::RawIp, &ipv6(41, &six))), inner6);
}

#[test]
fn packets_in_datagrams() {
    let inner = ipv4(17, "0000", &UDP);
    let check = |to: u16, head: &str, inner: &[u8], expected: &str| {
        let payload = [&hex(head)[..], inner].concat();
        let (length, sent) = (payload.len(), payload.len() + 28);
        let bytes = ipv4(17, "0000", &udp(40_000, to, &payload));
        let outer = format!("192.0.2.1>198.51.100.2 udp 40000>{to} {length}/{length} of {sent}");
        assert_eq!(shown(&frame(LinkType::RawIp, &bytes)), format!("{outer}{expected}"), "{to} {head}");
    };
    check(4_789, &format!("0800000000000100 {MACS} 0800"), &inner, &format!(" vxlan | {INNER}"));
    check(8_472, &format!("0800000000000100 {MACS} 0800"), &inner, &format!(" vxlan | {INNER}"));
    check(4_789, &format!("0000000000000100 {MACS} 0800"), &inner, "");
    check(4_789, &format!("0800000000000100 {MACS} 88cc"), &inner, "");
    check(6_081, &format!("0000 6558 00000100 {MACS} 0800"), &inner, &format!(" geneve | {INNER}"));
    check(6_081, "0100 0800 00000100 00000000", &inner, &format!(" geneve | {INNER}"));
    check(6_081, "4000 0800 00000100", &inner, "");
    check(1_701, "0002 0001 0001 ff03 0021", &inner, &format!(" l2tp | {INNER}"));
    check(1_701, "4a02 0030 0001 0001 0000 0000 0002 0000 21", &inner, &format!(" l2tp | {INNER}"));
    check(1_701, &format!("0003 0000 00000001 00000000 {MACS} 0800"), &inner, &format!(" l2tp | {INNER}"));
    check(1_701, "c802 0020 0001 0001 0000 0000", &inner, "");
    check(
        5_072,
        "4152 1104 00000001 20010db8000000000000000000000001 00000000000000000000000000000000 00000000",
        &inner,
        &format!(" ayiya | {INNER}"),
    );
    let bubble =
        |source: &str| hex(&format!("60000000 0000 3b 40 {source} 20010db8000000000000000000000002"));
    let teredo = bubble("20010000000000000000000000000001");
    let found = " teredo | 2001::1>2001:db8::2 59 0 0/0 of 40";
    check(3_544, "", &teredo, found);
    check(3_544, "0000 9c40 c0000201", &teredo, found);
    check(3_544, "0001 0000 0000000000000000 00 0000 9c40 c0000201", &teredo, found);
    check(4_000, "", &teredo, found);
    check(4_000, "", &bubble("20010db8000000000000000000000001"), "");
}

#[test]
fn nearly_all_packets_are_plain() {
    let bytes = |build: &dyn Fn(&mut Vec<u8>)| {
        let mut bytes = Vec::new();
        build(&mut bytes);
        bytes
    };
    let v4 = || PacketBuilder::ethernet2([1; 6], [2; 6]).ipv4([192, 0, 2, 1], [192, 0, 2, 2], 64);
    let v6 = || PacketBuilder::ethernet2([1; 6], [2; 6]).ipv6([1; 16], [2; 16], 64);
    let tcp = bytes(&|to| v4().tcp(40_000, 80, 7, 512).ack(9).write(to, b"GET ").unwrap());
    let udp = bytes(&|to| v6().udp(40_000, 53).write(to, b"data").unwrap());
    let vxlan = bytes(&|to| v4().udp(40_000, 4_789).write(to, b"data").unwrap());
    let plain = |bytes: &[u8]| fuzzing::agrees(&frame(LinkType::Ethernet, bytes));
    assert!(plain(&tcp) && plain(&udp) && plain(&[&tcp[..], b"padding"].concat()));
    assert!(!plain(&vxlan) && !plain(&tcp[..tcp.len() - 1]) && !plain(&tcp[..30]));
    // Every byte that differs is read as the layers read it.
    for whole in [&tcp, &udp] {
        for at in 12..whole.len() {
            for value in [0, 1, 5, 0x40, 0x46, 0x60, 0xff] {
                let mut other = whole.clone();
                other[at] = value;
                plain(&other);
            }
        }
    }
}

#[test]
fn lengths_of_frames_in_frames() {
    let lengths = |bytes: &[u8]| {
        let layer = Layer::of(&frame(LinkType::Ethernet, bytes), &mut Met::default());
        let (mut next, mut lengths) = (layer.ok(), Vec::new());
        while let Some(layer) = next.take() {
            match layer.step(false, &mut Met::default()) {
                Ok(Step::Ip(ip, inner)) => {
                    lengths.push((ip.bytes, ip.framed_bytes, ip.wire_bytes));
                    next = inner;
                }
                Ok(Step::Into(layer)) => next = Some(layer),
                other => panic!("{other:?}"),
            }
        }
        lengths
    };
    let inner = ipv4(17, "0000", &UDP);
    let ethernet = |bytes: &[u8]| [hex(&format!("{MACS} 0800")), bytes.to_vec()].concat();
    assert_eq!(lengths(&ethernet(&inner)), [(32, 46, 46)]);
    assert_eq!(lengths(&ethernet(&ipv4(4, "0000", &inner))), [(32, 32, 66)]);
    let vxlan = udp(40_000, 4_789, &[hex("0800000000000100"), ethernet(&inner)].concat());
    assert_eq!(lengths(&ethernet(&ipv4(17, "0000", &vxlan))), [(82, 96, 96), (32, 46, 96)]);
}

#[test]
fn wireless_frames() {
    let inner = ipv4(17, "0000", &UDP);
    let addresses = "0000 000000000001 000000000002 000000000003";
    let llc = "aaaa03 000000 0800";
    let check = |link: LinkType, head: &str, expected: &str| {
        let bytes = [hex(head), inner.clone()].concat();
        assert_eq!(shown(&frame(link, &bytes)), expected, "{link:?} {head}");
    };
    let wireless = |control: &str, more: &str| format!("{control} {addresses} {more}");
    check(LinkType::Wireless, &wireless("0801", &format!("0000 {llc}")), INNER);
    check(LinkType::Wireless, &wireless("0803", &format!("0000 000000000004 {llc}")), INNER);
    check(LinkType::Wireless, &wireless("8801", &format!("0000 0000 {llc}")), INNER);
    check(LinkType::Wireless, &wireless("8881", &format!("0000 0000 00000000 {llc}")), INNER);
    check(LinkType::Wireless, &wireless("0841", &format!("0000 {llc}")), "Protected");
    check(LinkType::Wireless, &wireless("0805", &format!("0000 {llc}")), "Fragment");
    check(LinkType::Wireless, &wireless("0801", &format!("0100 {llc}")), "Fragment");
    check(LinkType::Wireless, &wireless("8000", "0000"), "EtherType");
    check(LinkType::Wireless, &wireless("4801", "0000"), "EtherType");
    check(
        LinkType::Radiotap,
        &format!("0000 0a00 00000000 0000 {}", wireless("0801", &format!("0000 {llc}"))),
        INNER,
    );
    let avs = format!("80211001 00000008 {}", wireless("0801", &format!("0000 {llc}")));
    check(LinkType::PrismOrAvs, &avs, INNER);
    let prism = format!("44000000 08000000 {}", wireless("0801", &format!("0000 {llc}")));
    check(LinkType::PrismOrAvs, &prism, INNER);

    let subframe = |length: usize| [hex(&format!("{MACS} {length:04x} {llc}")), inner.clone()].concat();
    let aggregate = [hex(&wireless("8801", "0000 8000")), subframe(40), vec![0; 2], subframe(40)].concat();
    assert_eq!(shown(&frame(LinkType::Wireless, &aggregate)), format!("{INNER} & {INNER}"));
    // A length beyond the frame: what is there is read.
    let aggregate = [hex(&wireless("8801", "0000 8000")), subframe(9_000)].concat();
    assert_eq!(shown(&frame(LinkType::Wireless, &aggregate)), INNER);
}

#[test]
fn only_so_many_packets_in_packets() {
    let nested = |depth: usize| (0..depth).fold(ipv4(17, "0000", &UDP), |inner, _| ipv4(4, "0000", &inner));
    assert_eq!(shown(&frame(LinkType::RawIp, &nested(4))), INNER);
    assert_eq!(shown(&frame(LinkType::RawIp, &nested(5))), "Depth");
    // A datagram in one too many datagrams is one as any other.
    let nested = (0..6).fold(ipv4(17, "0000", &UDP), |inner, _| {
        ipv4(17, "0000", &udp(1, 6_081, &[hex("0000 0800 00000100"), inner].concat()))
    });
    assert_eq!(shown(&frame(LinkType::RawIp, &nested)).matches("geneve").count(), 4);
}

#[test]
fn fragments_come_in_any_order() {
    let payload: Vec<u8> = udp(40_000, 53, &(0..100).collect::<Vec<u8>>());
    let v4 = |from: usize, to: usize| {
        let more = if to < payload.len() { 0x2000 } else { 0 };
        ipv4(17, &format!("{:04x}", more | (from / 8)), &payload[from..to])
    };
    let v6 = |from: usize, to: usize| {
        let more = u16::from(to < payload.len());
        let place = u16::try_from(from).unwrap() | more;
        ipv6(44, &[hex(&format!("1100 {place:04x} 00000001")), payload[from..to].to_vec()].concat())
    };
    let check = |frames: &[Vec<u8>], expected: &[&str]| {
        let mut reader = Reader::new();
        let said: Vec<_> = frames.iter().map(|bytes| reader.read(&frame(LinkType::RawIp, bytes))).collect();
        assert_eq!(said, expected);
        reader.fragments.finish(&mut reader.counters);
        reader.counters
    };
    let whole = "192.0.2.1>198.51.100.2 udp 40000>53 100/100 of 128";
    let whole6 = "2001:db8::1>2001:db8::2 udp 40000>53 100/100 of 148";
    check(&[v4(0, 64), v4(64, 108)], &["waits", whole]);
    check(&[v4(64, 108), v4(32, 64), v4(0, 32)], &["waits", "waits", whole]);
    check(&[v4(0, 64), v4(0, 64), v4(64, 108)], &["waits", "waits", whole]);
    check(&[v6(64, 108), v6(0, 64)], &["waits", whole6]);

    // What came first is kept.
    let overlap = "decoder.ipv4.frag_overlap";
    let mut lie = v4(32, 108);
    lie[20..].fill(0xff);
    let counters = check(&[v4(0, 64), lie], &["waits", &format!("{overlap}{whole}")]);
    assert_eq!(counters.value(Counter::FragmentOverlap), 1);
    assert_eq!(counters.value(Counter::Reassembled), 1);
    let overlap = "decoder.ipv6.frag_overlap";
    let counters = check(&[v6(0, 64), v6(32, 108), v6(64, 108)], &["waits", overlap, "waits"]);
    assert_eq!(counters.value(Counter::SkipFragment), 3);

    // Contradictions.
    check(&[v4(0, 64), v4(64, 108), v4(64, 108)], &["waits", whole, "waits"]);
    let early_end = ipv4(17, "0002", &payload[16..32]);
    check(&[v4(0, 64), early_end], &["waits", "refused"]);
    check(&[v4(0, 64), ipv4(17, "2008", &payload[64..107])], &["waits", "MalformedNetwork"]);
    check(&[ipv4(17, "3fff", &payload[..64])], &["MalformedNetwork"]);
    let again = [hex("2c00 0001 00000001 1100 0001 00000002"), payload[..64].to_vec()].concat();
    let end = [hex("2c00 0048 00000001"), payload[..64].to_vec()].concat();
    check(&[ipv6(44, &again), ipv6(44, &end)], &["waits", "MalformedNetwork"]);

    // A cut fragment will never be part of a whole.
    let cut = v4(0, 64);
    let cut = Frame { wire_len: 84, ..frame(LinkType::RawIp, &cut[..60]) };
    assert_eq!(shown(&cut), "192.0.2.1>198.51.100.2 udp 40000>53 32/56 of 84 cut");
    let cut = v4(64, 108);
    let cut = Frame { wire_len: 64, ..frame(LinkType::RawIp, &cut[..60]) };
    assert_eq!(shown(&cut), "Fragment");
}

#[test]
fn fragments_that_wait_are_bounded() {
    let mut reader = Reader::new();
    let mut send = |id: u16, place: u16, length: usize, secs: u64| {
        let mut bytes = ipv4(17, &format!("{place:04x}"), &vec![0; length]);
        bytes[4..6].copy_from_slice(&id.to_be_bytes());
        let at = Timestamp::from_secs(secs);
        let said = reader.read(&Frame { at, ..frame(LinkType::RawIp, &bytes) });
        let given_up = (
            reader.counters.value(Counter::FragmentEvicted),
            reader.counters.value(Counter::FragmentTimeout),
            reader.counters.value(Counter::SkipFragment),
        );
        (said, given_up)
    };
    let waits = |given_up| ("waits".to_owned(), given_up);
    assert_eq!(send(1, 0x2000, 64, 0), waits((0, 0, 0)));
    assert_eq!(send(1, 0x2010, 64, 0), waits((0, 0, 0)));
    assert_eq!(send(2, 0x2000, 64, 0), waits((0, 0, 0)));
    assert_eq!(send(3, 0x2000, 64, 0), waits((1, 0, 2)), "too many datagrams");
    assert_eq!(send(3, 0x2100, 8_000, 1), waits((3, 0, 5)), "too many bytes");
    assert_eq!(send(4, 0x2000, 64, 30), waits((3, 0, 5)));
    assert_eq!(send(5, 0x2000, 64, 61), waits((3, 1, 6)), "too long");
}

/// The smallest fragments, all of one datagram, and again.
#[test]
fn a_flood_of_fragments_is_bounded() {
    let mut reader = Reader::new();
    for round in 0..4_u8 {
        for place in 0..8_000_u16 {
            let bytes = ipv4(17, &format!("{:04x}", 0x2000 | place), &[round; 8]);
            reader.read(&frame(LinkType::RawIp, &bytes));
        }
    }
    reader.fragments.finish(&mut reader.counters);
    assert!(reader.counters.value(Counter::SkipFragment) <= 32_000);
}

#[test]
fn the_longest_chain_of_extension_headers_is_read() {
    let options = hex("3c00 000000000000").repeat(8_000);
    let bytes = ipv6(60, &[options, hex("1100 000000000000"), UDP.to_vec()].concat());
    let said = shown(&frame(LinkType::RawIp, &bytes));
    assert_eq!(said, "2001:db8::1>2001:db8::2 udp 40000>53 4/4 of 64060");
}

#[test]
fn broken_packets_have_suricatas_names() {
    let check = |link: LinkType, bytes: &str, name: &str| {
        assert_eq!(broken(link, &hex(bytes)), Some(name), "{bytes}");
    };
    check(LinkType::Ethernet, "0200", "decoder.ethernet.pkt_too_small");
    check(LinkType::Ethernet, &format!("{MACS} 8100 00"), "decoder.vlan.header_too_small");
    check(LinkType::RawIp, "45", "decoder.ipv4.pkt_too_small");
    check(LinkType::RawIp, "44000014", "decoder.ipv4.hlen_too_small");
    check(LinkType::RawIp, "55", "decoder.ipraw.invalid_ip_version");
    check(
        LinkType::RawIp,
        "4500 0013 0001 0000 4011 0000 c0000201 c6336402",
        "decoder.ipv4.iplen_smaller_than_hlen",
    );
    check(LinkType::RawIp, "4500 0020 0001 0000 4011 0000 c0000201 c6336402", "decoder.ipv4.trunc_pkt");
    check(LinkType::RawIp, "60", "decoder.ipv6.pkt_too_small");
    let six = |next: &str| format!("60000000 0001 {next} 40 {} {} 00", "01".repeat(16), "02".repeat(16));
    check(LinkType::RawIp, &six("00"), "decoder.ipv6.trunc_exthdr");
    check(LinkType::RawIp, &six("06"), "decoder.tcp.pkt_too_small");
    check(LinkType::RawIp, &six("11"), "decoder.udp.pkt_too_small");
    check(LinkType::RawIp, &six("3a"), "decoder.icmpv6.pkt_too_small");
    check(LinkType::RawIp, six("00").trim_end_matches(" 00"), "decoder.ipv6.trunc_pkt");
}

#[test]
fn wrong_checksums_are_seen_when_asked_for() {
    let mut bytes = Vec::new();
    PacketBuilder::ipv4([1; 4], [2; 4], 64).tcp(1, 2, 3, 4).write(&mut bytes, b"odd").unwrap();
    let read = |bytes: &[u8], wire_len: u32| {
        let mut reader = Reader { verify: true, ..Reader::new() };
        reader.read(&Frame { wire_len, ..frame(LinkType::RawIp, bytes) })
    };
    let good = "1.1.1.1>2.2.2.2 tcp 1>2 00 3/3 of 43";
    assert_eq!(read(&bytes, 43), good);
    // Padding of the link is not covered.
    assert_eq!(read(&[&bytes[..], &[7; 3]].concat(), 46), good);
    assert_eq!(read(&bytes[..42], 43), "1.1.1.1>2.2.2.2 tcp 1>2 00 2/3 of 43 cut");
    let mut wrong = bytes.clone();
    wrong[42] ^= 1;
    assert_eq!(read(&wrong, 43), format!("{good} wrong"));
    assert_eq!(read(&wrong[..42], 43), "1.1.1.1>2.2.2.2 tcp 1>2 00 2/3 of 43 cut");
    let mut wrong = bytes;
    wrong[10] ^= 1;
    assert_eq!(read(&wrong, 43), "Checksum");
    // A checksum of zero is none.
    let mut unchecked = Vec::new();
    PacketBuilder::ipv4([1; 4], [2; 4], 64).udp(1, 2).write(&mut unchecked, b"x").unwrap();
    unchecked[26..28].fill(0);
    assert_eq!(read(&unchecked, 29), "1.1.1.1>2.2.2.2 udp 1>2 1/1 of 29");
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
        let mut bytes = vec![0, 0];
        let payload = [7; 64];
        if tcp {
            builder.tcp(1, 2, 3, 4).write(&mut bytes, &payload).unwrap();
        } else {
            builder.udp(1, 2).write(&mut bytes, &payload).unwrap();
        }
        for (at, value) in changes {
            if let Some(byte) = bytes.get_mut(at.max(2)) {
                *byte = value;
            }
        }
        bytes.truncate(cut.max(2));
        fuzz(&bytes);
    }
}
