//! Port scans and host sweeps, and what only looks like them.

use sekimori_wire::finding::Category;

use super::build::*;
use crate::event::{First, FlowEvent};

const IN: &str = "192.168.1.5";
const PEER: &str = "192.168.1.9";
const OUT: &str = "203.0.113.7";

#[test]
fn a_port_scan_fires_and_grows_with_its_count() {
    let mut script = Script::default();
    for port in 1..=300 {
        script.syn(u64::from(port) * 10, (OUT, 50_000), (IN, port), &[FlowEvent::Rejected]);
    }
    let finding = script.only(Category::ScanPort);
    assert_eq!((finding.originator, finding.responder), (host(OUT), host(IN)));
    assert_eq!((finding.count, finding.severity.level(), finding.ports.len()), (300, 1, 64));
    assert!(finding.revision >= 3 && finding.evidence.community_ids.len() == 8);
}

#[test]
fn inside_it_is_worse_and_open_ports_do_not_hide_it() {
    let mut script = Script::default();
    for port in 1..=40 {
        let what = if port % 4 == 0 { FlowEvent::Answered } else { FlowEvent::Unanswered };
        script.syn(u64::from(port) * 500, (IN, 50_000), (PEER, port), &[what]);
    }
    assert_eq!(script.only(Category::ScanPort).severity.level(), 3);
}

#[test]
fn probes_without_syn_are_a_scan_but_not_a_servers_last_packets() {
    let mut scan = Script::default();
    let mut server = Script::default();
    for n in 1..=40 {
        scan.bare(u64::from(n), (OUT, 40_000), (IN, n), 1);
        server.bare(u64::from(n), (IN, 443), (OUT, 50_000 + n), 1);
    }
    scan.only(Category::ScanPort);
    server.quiet();
}

#[test]
fn silent_udp_is_no_scan_unless_it_is_very_much_and_traceroute_never() {
    let udp = |ports: core::ops::Range<u16>, what: &FlowEvent| {
        let mut script = Script::default();
        for port in ports {
            let flow = script.flow(UDP, (IN, 50_000), (OUT, port));
            script.push(u64::from(port), flow, FlowEvent::Started(First::Datagram));
            script.push(u64::from(port) + 5_000, flow, what.clone());
        }
        script
    };
    udp(2_000..2_050, &FlowEvent::Unanswered).quiet();
    udp(33_434..33_530, &FlowEvent::Rejected).quiet();
    udp(1_000..1_050, &FlowEvent::Rejected).only(Category::ScanPort);
    udp(1_000..1_400, &FlowEvent::Unanswered).only(Category::ScanPort);
}

#[test]
fn clients_of_a_dead_host_are_no_scanners() {
    let mut script = Script::default();
    for round in 0..100 {
        for port in [80, 443, 515, 631, 9100, 161, 445, 139] {
            script.syn(
                round * 10_000 + u64::from(port),
                (IN, 50_000),
                (PEER, port),
                &[FlowEvent::Unanswered],
            );
        }
    }
    script.quiet();
}

#[test]
fn a_flood_of_forged_sources_does_not_blind_the_scan_detector() {
    let mut script = Script::default();
    for n in 0..40_000_u64 {
        let source = format!("198.{}.{}.{}", 18 + n / 65_536, n / 256 % 256, n % 256);
        let flow = script.flow(TCP, (&source, 40_000), (IN, 4_444));
        script.push(n, flow, FlowEvent::Rejected);
    }
    for port in 1..=12 {
        script.syn(u64::from(port) * 3_300, (OUT, 50_000), (IN, port), &[FlowEvent::Rejected]);
    }
    script.only(Category::ScanPort);
}

fn numbered(n: u32) -> String {
    core::net::Ipv4Addr::from_bits(0xc0a8_0200 + n).to_string()
}

#[test]
fn sweeps_fire_by_each_means_and_are_one_finding_a_source() {
    let mut script = Script::default();
    for n in 1..=60 {
        let (ms, to) = (u64::from(n) * 20, numbered(n));
        script.syn(ms, (IN, 50_000), (&to, 445), &[FlowEvent::Unanswered]);
        script.syn(ms, (IN, 50_000), (&to, 23), &[FlowEvent::Rejected]);
        let echo = script.flow(ICMP, (IN, 8), (&to, 0));
        script.push(ms + 5_000, echo, FlowEvent::Unanswered);
        script.arp(ms, 1, IN, &to);
    }
    let finding = script.only(Category::ScanHost);
    assert_eq!((finding.originator, finding.responder, finding.severity.level()), (host(IN), None, 3));
    assert_eq!(finding.ports, [23, 445]);
    assert!(finding.count >= 200 && finding.targets.len() == 32, "{}", finding.count);
}

#[test]
fn ack_pings_and_udp_sweeps_fire() {
    let (mut acks, mut datagrams) = (Script::default(), Script::default());
    for n in 1..=100 {
        acks.bare(u64::from(n), (IN, 50_000), (&numbered(n), 80), u64::from(n % 2));
        let flow = datagrams.flow(UDP, (IN, 50_000), (&numbered(n), 6_892));
        datagrams.push(u64::from(n) + 5_000, flow, FlowEvent::Unanswered);
    }
    acks.only(Category::ScanHost);
    datagrams.only(Category::ScanHost);
}

#[test]
fn monitoring_peers_and_routers_are_no_sweepers() {
    let mut script = Script::default();
    for round in 0..30_u64 {
        // Monitoring: pings a hundred hosts a minute, one in ten of them is down.
        for n in 1..=100 {
            let echo = script.flow(ICMP, (IN, 8), (&numbered(n), 0));
            let (delay, what) =
                if n % 10 == 0 { (5_000, FlowEvent::Unanswered) } else { (5, FlowEvent::Answered) };
            script.push(round * 60_000 + delay + u64::from(n), echo, what);
        }
        // A peer-to-peer client: random addresses, many of them gone.
        for n in 0..20_u32 {
            let peer = core::net::Ipv4Addr::from_bits(
                0x2000_0000 + (n + 20) * (u32::try_from(round).unwrap() + 7) * 65_437,
            )
            .to_string();
            let flow = script.flow(UDP, ("192.168.1.6", 6_881), (&peer, 6_881));
            script.push(round * 60_000 + 5_000, flow, FlowEvent::Unanswered);
            script.syn(round * 60_000, ("192.168.1.6", 50_000), (&peer, 6_881), &[FlowEvent::Unanswered]);
        }
        // A router asks for the thirty machines of its own network that sleep.
        for n in 1..=30 {
            script.arp(round * 60_000 + u64::from(n) * 500, 1, "192.168.2.254", &numbered(n));
        }
        // Another asks for hosts all over a large network.
        for n in 0..30_u32 {
            let asked = core::net::Ipv4Addr::from_bits(0x0a00_0000 + (n + 3) * 1_999).to_string();
            script.arp(round * 60_000 + u64::from(n), 1, "10.0.0.1", &asked);
        }
    }
    script.quiet();
}
