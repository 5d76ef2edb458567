//! Service probes, web scans, worms, new hosts and services, and what only looks like them.

use sekimori_wire::finding::Category;

use super::build::*;
use crate::event::smb::{SmbCode, SmbDetail, SmbShare};
use crate::event::{
    Application, ConnState, EndReason, First, FlowEvent, FlowRecord, Opening, SmbCommand, Volume,
};

const IN: &str = "192.168.1.5";
const PEER: &str = "192.168.1.9";
const OUT: &str = "203.0.113.7";
const BROWSER: &str = "Mozilla/5.0 (Windows NT 10.0; Win64; x64)";

#[test]
fn three_impossible_probes_are_a_scan_and_two_are_not() {
    let mut script = Script::default();
    script.probe(0, (OUT, 50_000), (IN, 3_390), (0x01, 1));
    script.probe(10, (OUT, 50_001), (IN, 3_391), (0x00, 1));
    script.quiet();
    script.probe(20, (OUT, 50_002), (IN, 3_392), (0x29, 1));
    let finding = script.only(Category::ScanPort);
    assert_eq!((finding.originator, finding.ports), (host(OUT), vec![3_390, 3_391, 3_392]));
}

#[test]
fn ports_that_are_dropped_as_soon_as_they_answer_are_scanned_and_polled_services_are_not() {
    let (mut scan, mut monitor) = (Script::default(), Script::default());
    for port in 1..=14 {
        let at = u64::from(port) * 100;
        monitor.session(at, (PEER, 50_000), (IN, port), 40, (0, 0));
        let flow = scan.syn(at, (PEER, 50_000), (IN, port), &[FlowEvent::Answered]);
        let empty = |packets| Volume { packets, bytes: 40 * packets, ..Volume::default() };
        let record = FlowRecord {
            originator: empty(2),
            responder: empty(1),
            state: ConnState::Rsto,
            reason: EndReason::Closed,
            ..FlowRecord::default()
        };
        scan.push(at + 30, flow, FlowEvent::Ended(Box::new(record)));
    }
    scan.only(Category::ScanPort);
    monitor.quiet();
}

#[test]
fn one_port_opened_with_many_protocols_is_probed() {
    let opened = |protocols: &[Application]| {
        let mut script = Script::default();
        for (n, application) in (0_u64..).zip(protocols) {
            let flow = script.syn(n * 900, (OUT, 50_000), (IN, 8_009), &[FlowEvent::Answered]);
            let record = FlowRecord {
                application: *application,
                originator: Volume { packets: 4, payload_bytes: 40, ..Volume::default() },
                state: ConnState::SF,
                ..FlowRecord::default()
            };
            script.push(n * 900 + 50, flow, FlowEvent::Ended(Box::new(record)));
        }
        script
    };
    use Application::{Http, Http2, Rtsp, Sip, Tls};
    opened(&[Http, Rtsp, Tls, Sip]).only(Category::ScanPort);
    opened(&[Http, Tls, Http, Http2, Tls, Http]).quiet();
}

#[test]
fn a_web_scan_fires_and_a_browser_a_crawler_and_a_webdav_client_do_not() {
    let (mut scan, mut crawler, mut webdav) = (Script::default(), Script::default(), Script::default());
    let mut named = Script::default();
    for n in 0..60_u64 {
        let path = format!("/a{n}.php");
        let (from, to) = ((OUT, 50_000), (IN, 80));
        scan.http(n * 50, from, to, ("GET", &path, BROWSER, if n % 9 == 0 { 200 } else { 404 }));
        crawler.http(n * 50, from, to, ("GET", &path, BROWSER, if n % 3 == 0 { 404 } else { 200 }));
        webdav.http(n * 50, from, to, ("PROPFIND", &path, "WebDAVFS/3.0", 404));
    }
    for n in 0..3 {
        named.http(n, (IN, 50_000), (PEER, 8_080), ("GET", "/", "sqlmap/1.8#stable", 200));
    }
    let finding = scan.only(Category::ScanWeb);
    assert_eq!((finding.originator, finding.severity.level()), (host(OUT), 1));
    assert_eq!(named.only(Category::ScanWeb).severity.level(), 2);
    crawler.quiet();
    webdav.quiet();
}

fn public(n: u32) -> String {
    core::net::Ipv4Addr::from_bits(0x0b00_0000 + n * 0x0101_0305).to_string()
}

#[test]
fn telnet_tried_on_random_addresses_spreads_and_from_outside_it_is_only_a_sweep() {
    let mut script = Script::default();
    for n in 1..=30 {
        script.syn(u64::from(n) * 200, (IN, 50_000), (&public(n), 23), &[FlowEvent::Unanswered]);
    }
    let of = |finding: &sekimori_wire::finding::Finding| (finding.category, finding.severity.level());
    let found = script.run();
    assert_eq!(
        found.iter().map(of).collect::<Vec<_>>(),
        [(Category::ScanHost, 3), (Category::WormSpread, 3)]
    );
    let mut outside = Script::default();
    for n in 1..=30 {
        outside.syn(u64::from(n) * 200, (OUT, 50_000), (&numbered(n), 23), &[FlowEvent::Unanswered]);
    }
    outside.only(Category::ScanHost);
}

fn numbered(n: u32) -> String {
    core::net::Ipv4Addr::from_bits(0xc0a8_0200 + n).to_string()
}

#[test]
fn a_host_that_is_reached_by_a_sweeper_and_sweeps_in_turn_is_the_second_generation() {
    let sweep = |script: &mut Script, from: &str, start: u64| {
        for n in 1..=20 {
            let at = start + u64::from(n) * 200;
            script.syn(at, (from, 50_000), (&numbered(n), 445), &[FlowEvent::Unanswered]);
        }
    };
    let worms = |script: &Script| {
        let mut found: Vec<_> = script
            .run()
            .into_iter()
            .filter(|finding| finding.category == Category::WormSpread)
            .map(|finding| (finding.originator, finding.severity.level()))
            .collect();
        found.sort();
        found
    };
    let mut script = Script::default();
    sweep(&mut script, IN, 0);
    script.session(4_300, (IN, 50_001), (PEER, 445), 900, (4_000, 900));
    assert_eq!(worms(&script), []);
    sweep(&mut script, PEER, 20_000);
    assert_eq!(worms(&script), [(host(IN), 4), (host(PEER), 4)]);
    // Two sweepers of which neither reached the other: two administrators.
    let mut apart = Script::default();
    sweep(&mut apart, IN, 0);
    sweep(&mut apart, PEER, 20_000);
    assert_eq!(worms(&apart), []);
}

fn tree(script: &mut Script, ms: u64, from: &str, to: &str, path: &str) {
    let flow = script.flow(TCP, (from, 50_000), (to, 445));
    let command = SmbCommand {
        id: 3,
        from_originator: true,
        dialect: "NT LM 0.12".into(),
        command: SmbCode::V1(0x75),
        status: None,
        session: 0,
        tree: 0,
        detail: SmbDetail::TreeConnect(SmbShare { name: path.into(), ..SmbShare::default() }),
    };
    script.push(ms, flow, FlowEvent::Transaction(Box::new(command.into())));
}

#[test]
fn a_share_of_another_address_on_several_servers_spreads_and_address_translation_does_not() {
    let path = r"\\172.31.0.20\IPC$";
    let mut script = Script::default();
    tree(&mut script, 0, IN, "192.168.1.20", path);
    tree(&mut script, 10, IN, "192.168.1.20", path);
    tree(&mut script, 20, PEER, "192.168.1.30", r"\\172.31.0.30\share");
    script.quiet();
    tree(&mut script, 30, IN, PEER, path);
    assert_eq!(script.only(Category::WormSpread).severity.level(), 3);
    tree(&mut script, 40, PEER, "192.168.1.40", path);
    let found: Vec<_> =
        script.run().iter().map(|finding| (finding.originator, finding.severity.level())).collect();
    assert_eq!(found, [(host(IN), 4), (host(PEER), 4)]);
}

#[test]
fn one_datagram_to_very_many_silent_hosts_spreads_and_a_game_that_asks_many_servers_does_not() {
    let send = |answers: bool, shapes: u64| {
        let mut script = Script::default();
        for n in 1..=100 {
            let flow = script.flow(UDP, (IN, 50_000), (&public(n), 27_500));
            let opening = Opening {
                from_originator: true,
                bytes: 25,
                shape: u64::from(n) % shapes,
                ..Opening::default()
            };
            script.push(u64::from(n) * 100, flow, FlowEvent::Started(First::Datagram));
            script.push(u64::from(n) * 100, flow, FlowEvent::Opening(opening));
            if answers && n % 3 != 0 {
                script.push(u64::from(n) * 100 + 30, flow, FlowEvent::Answered);
            }
        }
        script
    };
    send(false, 1).only(Category::WormSpread);
    send(true, 1).quiet();
    send(false, 50).quiet();
}

#[test]
fn what_is_new_is_told_after_a_day_of_learning_and_once() {
    const DAY: u64 = 86_400_000;
    let mut script = Script::default();
    for hour in 0..24 {
        script.session(hour * 3_600_000, (OUT, 50_000), (IN, 443), 50, (300, 900));
    }
    script.session(10, (OUT, 50_000), (IN, 25), 50, (300, 900));
    script.session(DAY + 5, (OUT, 50_000), (IN, 443), 50, (300, 900));
    script.quiet();
    script.session(DAY + 10, (OUT, 50_000), (IN, 8_443), 50, (300, 900));
    script.session(DAY + 20, (OUT, 50_000), (IN, 8_443), 50, (300, 900));
    script.session(DAY + 30, (PEER, 50_000), (IN, 443), 50, (300, 900));
    let found: Vec<_> = script
        .run()
        .iter()
        .filter(|finding| finding.severity.level() > 0)
        .map(|finding| (finding.category, finding.originator, finding.severity.level()))
        .collect();
    assert_eq!(found, [(Category::ServiceExposed, host(IN), 1), (Category::HostNew, host(PEER), 1)]);
}

#[test]
fn a_range_pinged_from_end_to_end_is_swept_even_if_most_answer() {
    let ping = |hosts: &[u32]| {
        let mut script = Script::default();
        for n in hosts {
            let echo = script.flow(ICMP, (IN, 8), (&numbered(*n), 0));
            let dead = matches!(n, 0 | 255);
            let (delay, what) = if dead { (5_000, FlowEvent::Unanswered) } else { (3, FlowEvent::Answered) };
            script.push(u64::from(*n) * 10 + delay, echo, what);
        }
        script
    };
    ping(&[0, 1, 2, 3, 40, 50, 51, 60, 70, 255]).only(Category::ScanHost);
    ping(&[1, 2, 3, 40, 50, 51, 60, 70, 80, 255]).quiet();
}

#[test]
fn neighbours_asked_for_one_after_another_are_swept_and_scattered_ones_are_not() {
    let ask = |step: u32| {
        let mut script = Script::default();
        for n in 0..80_u32 {
            let to = format!("ff02::1:ff{:02x}:{:04x}", (n * step) >> 16, (n * step) & 0xffff);
            let flow = script.flow(ICMP6, ("fe80::5", 135), (&to, 0));
            script.push(u64::from(n) * 100, flow, FlowEvent::Started(First::Other));
        }
        script
    };
    ask(1).only(Category::ScanHost);
    ask(65_437).quiet();
}

#[test]
fn a_router_that_asks_for_what_others_sweep_is_no_alarm() {
    let mut script = Script::default();
    let redirect = script.flow(ICMP, ("192.168.2.254", 5), (PEER, 1));
    script.push(0, redirect, FlowEvent::Started(First::Other));
    for n in 1..=80 {
        script.arp(u64::from(n) * 50, 1, "192.168.2.254", &numbered(n));
    }
    assert_eq!(script.only(Category::ScanHost).severity.level(), 1);
}

#[test]
fn a_flood_of_strangers_blinds_no_detector_and_is_counted() {
    let mut script = Script::default();
    for n in 0..40_000_u32 {
        let source = core::net::Ipv4Addr::from_bits(0x1400_0000 + n * 97).to_string();
        script.http(u64::from(n), (&source, 40_000), (PEER, 80), ("GET", &format!("/{n}"), BROWSER, 404));
    }
    for n in 0..40_u64 {
        script.http(n * 500, (OUT, 50_000), (IN, 80), ("GET", &format!("/x{n}"), BROWSER, 404));
    }
    script.only(Category::ScanWeb);
}
