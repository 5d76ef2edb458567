//! Several capture threads on a real interface: whole flows come to one of them, overload is borne in the declared order,
//! and an interface may go down, away and come back.

use core::net::IpAddr;
use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

use nix::sched::{CloneFlags, setns};
use nix::sys::signal::Signal;
use pnet::datalink::{self, Channel};
use pnet::packet::tcp::{self, MutableTcpPacket, TcpFlags};
use pnet::packet::udp::{self, MutableUdpPacket};
use pnet::packet::{Packet as _, ipv4};
use sekimori_wire::time::Timestamp;
use serde_json::Value;

use crate::live::{Link, by_id, send};
use crate::support::netns::Netns;
use crate::support::{program, run_ok, wait_for};

const SOON: Duration = Duration::from_secs(20);

/// The counters of the status file, by name.
fn counters(link: &Link) -> BTreeMap<String, u64> {
    let status = std::fs::read(link.agent.state.join("status.json")).expect("a status file");
    let status: Value = serde_json::from_slice(&status).expect("JSON");
    let counters = status["health"]["counters"].as_array().expect("counters");
    let named = |one: &Value| {
        (one["name"].as_str().expect("a name").to_owned(), one["count"].as_u64().expect("a count"))
    };
    counters.iter().map(named).collect()
}

fn sum(counters: &BTreeMap<String, u64>, end: &str) -> u64 {
    counters
        .iter()
        .filter(|(name, _)| name.starts_with("capture.sk0.") && name.ends_with(end))
        .map(|(_, n)| n)
        .sum()
}

fn log(link: &Link) -> String {
    std::fs::read_to_string(link.agent.state.join("agent.log")).expect("a log")
}

/// `ip …` in the gateway.
fn ip(link: &Link, words: &[&str]) {
    run_ok(Netns::command_in(&link.gateway, Path::new("ip")).args(words));
}

/// A UDP datagram in two fragments, behind these tags.
fn fragments(tags: &[u8], from: (IpAddr, u16), to: (IpAddr, u16), id: u16) -> [Vec<u8>; 2] {
    let mut datagram = MutableUdpPacket::owned(vec![0x61; 48]).expect("48 bytes");
    datagram.set_source(from.1);
    datagram.set_destination(to.1);
    datagram.set_length(48);
    datagram.set_checksum(0);
    let [id_high, id_low] = id.to_be_bytes();
    // First 24 bytes with "more follows", then the rest.
    let piece = |offset: u16, more: bool| match (from.0, to.0) {
        (IpAddr::V4(from), IpAddr::V4(to)) => {
            let [high, low] = (offset / 8 + if more { 0x2000 } else { 0 }).to_be_bytes();
            let mut packet = vec![0x45, 0, 0, 44, id_high, id_low, high, low, 64, 17, 0, 0];
            packet.extend(from.octets().into_iter().chain(to.octets()));
            let sum = ipv4::checksum(&ipv4::Ipv4Packet::new(&packet).expect("a header")).to_be_bytes();
            packet[10..12].copy_from_slice(&sum);
            (packet, [8, 0])
        }
        (IpAddr::V6(from), IpAddr::V6(to)) => {
            let [high, low] = (offset | u16::from(more)).to_be_bytes();
            let mut packet = vec![0x60, 0, 0, 0, 0, 32, 44, 64];
            packet.extend(from.octets().into_iter().chain(to.octets()));
            packet.extend([17, 0, high, low, 0, 0, id_high, id_low]);
            (packet, [0x86, 0xdd])
        }
        _ => panic!("two addresses of one family"),
    };
    let checksum = match (from.0, to.0) {
        (IpAddr::V4(from), IpAddr::V4(to)) => udp::ipv4_checksum(&datagram.to_immutable(), &from, &to),
        (IpAddr::V6(from), IpAddr::V6(to)) => udp::ipv6_checksum(&datagram.to_immutable(), &from, &to),
        _ => panic!("two addresses of one family"),
    };
    datagram.set_checksum(checksum);
    [(0, true), (24, false)].map(|(offset, more)| {
        let (packet, kind) = piece(offset, more);
        let at = usize::from(offset);
        let addresses = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2, 0, 0, 0, 0, 0x66];
        [&addresses[..], tags, &kind, &packet, &datagram.packet()[at..at + 24]].concat()
    })
}

#[test]
fn both_directions_and_all_fragments_of_a_flow_come_to_one_worker() {
    const PAIRS: u16 = 96;
    let link = Link::with("workers = 4\n", true, |_gateway| {});
    let running = link.run();
    let (mut there, mut back) = (Vec::new(), Vec::new());
    for n in 0..PAIRS {
        let [high, low] = n.to_be_bytes();
        let (one, other): (IpAddr, IpAddr) = if n % 3 == 0 {
            ([0x2001, 0xdb8, n, 0, 0, 0, 0, 1].into(), [0x2001, 0xdb8, 0xffff, n * 5, 0, 0, 0, 2].into())
        } else {
            ([10, 1, high, low].into(), [10, 2, low, high].into())
        };
        let tags: &[u8] = match n % 4 {
            0 => &[0x81, 0, 0, 30],
            1 => &[0x88, 0xa8, 0, 100, 0x81, 0, 0, 30],
            _ => &[],
        };
        there.extend(fragments(tags, (one, 4_000), (other, 5_000), n));
        back.extend(fragments(tags, (other, 5_000), (one, 4_000), n));
    }
    // In one direction they come in, in the other they go out: the kernel shows the two differently to its program.
    send(&link.outside.name, "sk0", there);
    send(&link.gateway, "sk0", back);
    std::thread::sleep(Duration::from_secs(1));
    assert!(running.stop().success(), "a clean stop");
    let live = counters(&link);
    for worker in 0..4 {
        assert!(live[&format!("capture.sk0.{worker}.received")] > 0, "all four get some: {live:?}");
    }
    assert_eq!(live["decode.fragment.reassembled"], 2 * u64::from(PAIRS), "fragments meet: {live:?}");
    assert_eq!((live["capture.kernel_drops"], live["overload.begun"], live["merge.late"]), (0, 0, 0));
    // One observer of the same frames sees as many flows: none was seen by two workers.
    let flows = link.replay("flows", &link.recorded());
    assert_eq!(live["flow.started"], u64::try_from(flows.len()).expect("a number"), "{flows:?}");
    let ours = flows.iter().filter(|flow| flow["responder"].as_str().is_some_and(|to| to.ends_with(":5000")));
    let ours: Vec<_> = ours.collect();
    assert_eq!(ours.len(), usize::from(PAIRS), "{ours:?}");
    for flow in ours {
        assert_eq!(
            (&flow["originator_packets"], &flow["responder_packets"]),
            (&1.into(), &1.into()),
            "{flow}"
        );
    }
}

/// A SYN, and what a router on the way says of it.
fn rejected_by_router(target: [u8; 4], port: u16) -> [Vec<u8>; 2] {
    let header = |protocol: u8, length: u16, from: [u8; 4], to: [u8; 4]| {
        let [high, low] = length.to_be_bytes();
        let mut packet = vec![0x45, 0, high, low, 0, 0, 0, 0, 64, protocol, 0, 0];
        packet.extend(from.into_iter().chain(to));
        let sum = ipv4::checksum(&ipv4::Ipv4Packet::new(&packet).expect("a header")).to_be_bytes();
        packet[10..12].copy_from_slice(&sum);
        packet
    };
    let source = [192, 0, 2, 66];
    let mut segment = MutableTcpPacket::owned(vec![0; 20]).expect("20 bytes");
    segment.set_source(40_000 + port);
    segment.set_destination(port);
    segment.set_data_offset(5);
    segment.set_flags(TcpFlags::SYN);
    segment.set_checksum(tcp::ipv4_checksum(&segment.to_immutable(), &source.into(), &target.into()));
    let syn = [header(6, 40, source, target), segment.packet().to_vec()].concat();
    // Destination unreachable, by a filter.
    let mut error = [&[3, 13, 0, 0, 0, 0, 0, 0], &syn[..28]].concat();
    let sum = pnet::util::checksum(&error, 1).to_be_bytes();
    error[2..4].copy_from_slice(&sum);
    let error = [header(1, 56, [203, 0, 113, 1], source), error].concat();
    let link = [&[0xff; 6][..], &[2, 0, 0, 0, 0, 0x66, 8, 0]].concat();
    [[&link[..], &syn].concat(), [&link[..], &error].concat()]
}

#[test]
fn a_router_that_rejects_is_heard_by_the_worker_of_the_flow() {
    let link = Link::with("workers = 4\n", true, |_gateway| {});
    let running = link.run();
    let frames = (1..=120_u8).flat_map(|host| rejected_by_router([198, 51, 100, host], 445)).collect();
    send(&link.outside.name, "sk0", frames);
    link.collector.incidents("scan", Duration::from_secs(30));
    assert!(running.stop().success(), "a clean stop");
    let seen = counters(&link);
    assert_eq!((seen["overload.quotes_shed"], seen["merge.late"]), (0, 0), "{seen:?}");
    let recorded = link.recorded();
    let running = link.run();
    wait_for("the spool is empty", SOON, || (link.agent.waiting() == 0).then_some(()));
    let live = link.delivered();
    assert!(running.stop().success(), "a clean stop");
    let replayed = by_id(link.replay("findings", &recorded).into_iter());
    // Without the router's word a SYN has failed only after five seconds.
    let sweep = replayed.values().find(|finding| finding["category"] == "scan.host").expect("a sweep");
    let time = |key: &str| sweep[key].as_str().expect("a time").parse::<Timestamp>().expect("RFC 3339");
    assert!(time("detected_at").since(time("time")) < Duration::from_secs(1), "{sweep}");
    // Not one of them: an error may come to its worker before the SYN does, and waits for it.
    assert!(time("end").since(time("time")) < Duration::from_secs(1), "{sweep}");
    assert_eq!(live, replayed);
}

/// SYNs from one address to many ports: a scan.
fn scan(link: &Link) {
    send(&link.outside.name, "sk0", (1..=60).map(|port| crate::live::tagged_syn(&[], port)).collect());
}

#[test]
fn what_the_gateway_sends_is_left_out_on_request() {
    let link = Link::with("workers = 2\nignore_outgoing = true\nfilter = \"tcp\"\n", true, |_gateway| {});
    let running = link.run();
    let syns = |ports: core::ops::Range<u16>| ports.map(|port| crate::live::tagged_syn(&[], port)).collect();
    send(&link.gateway, "sk0", syns(1..20));
    send(&link.outside.name, "sk0", syns(20..40));
    std::thread::sleep(Duration::from_secs(1));
    assert!(running.stop().success(), "a clean stop");
    let flows = link.replay("flows", &link.recorded());
    // What came in, and not what went out: that was sent by nobody else.
    let mut ports: Vec<u16> = flows
        .iter()
        .filter(|flow| flow["originator"].as_str().is_some_and(|from| from.starts_with("192.0.2.66:")))
        .map(|flow| flow["responder"].as_str().expect("an end").rsplit(':').next().expect("a port"))
        .map(|port| port.parse().expect("a port"))
        .collect();
    ports.sort_unstable();
    assert_eq!(ports, (20..40).collect::<Vec<u16>>());
}

#[test]
fn a_link_that_goes_down_and_up_is_captured_from_again() {
    let link = Link::with("workers = 2\n", false, |_gateway| {});
    ip(&link, &["link", "set", "sk0", "down"]);
    let mut running = link.run();
    for _flap in 0..3 {
        ip(&link, &["link", "set", "sk0", "down"]);
        std::thread::sleep(Duration::from_millis(300));
        ip(&link, &["link", "set", "sk0", "up"]);
    }
    wait_for("the link is up", SOON, || {
        let shown = run_ok(Netns::command_in(&link.gateway, Path::new("ip")).args(["link", "show", "sk0"]));
        shown.contains("state UP").then_some(())
    });
    assert!(!running.has_ended(), "{}", log(&link));
    scan(&link);
    link.collector.incidents("scan", Duration::from_secs(30));
    assert!(running.stop().success(), "a clean stop");
}

#[test]
fn one_of_two_interfaces_may_go_and_come_back() {
    let cable = ["link", "add", "sk1", "type", "veth", "peer", "name", "sk1-far"];
    let link = Link::with("interfaces = [\"sk0\", \"sk1\"]\nworkers = 2\n", false, |gateway| {
        gateway.ip(&cable);
        gateway.ip(&["link", "set", "sk1", "up"]);
        gateway.ip(&["link", "set", "sk1-far", "up"]);
    });
    let mut running = link.run();
    ip(&link, &["link", "del", "sk1"]);
    wait_for("the status says so", SOON, || (counters(&link)["capture.interfaces_gone"] == 1).then_some(()));
    assert!(!running.has_ended(), "{}", log(&link));
    scan(&link);
    link.collector.incidents("scan", Duration::from_secs(30));
    ip(&link, &cable);
    ip(&link, &["link", "set", "sk1", "up"]);
    wait_for("the agent ends, to be started anew", SOON, || running.has_ended().then_some(()));
    assert!(log(&link).contains("sk1 is back"), "{}", log(&link));
}

#[test]
fn the_only_interface_going_is_a_sealed_end() {
    let link = Link::with("workers = 2\n", false, |_gateway| {});
    let mut running = link.run();
    scan(&link);
    std::thread::sleep(Duration::from_secs(1));
    ip(&link, &["link", "del", "sk0"]);
    wait_for("the agent ends", SOON, || running.has_ended().then_some(()));
    assert!(log(&link).contains("sk0: the interface was removed"), "{}", log(&link));
    let state = link.agent.state.to_str().expect("UTF-8");
    run_ok(std::process::Command::new(program("sekimori-agent")).args(["spool", "verify", "--state", state]));
    assert!(counters(&link)["flow.ended"] >= 60, "what was captured was judged");
}

/// TCP segments with data between many hosts, as fast as they go, for so long. How many were sent.
fn flood(netns: &str, interface: &str, length: Duration) -> u64 {
    let (path, interface) = (format!("/run/netns/{netns}"), interface.to_owned());
    let sender = std::thread::spawn(move || {
        setns(std::fs::File::open(path).expect("the namespace"), CloneFlags::CLONE_NEWNET)
            .expect("root may enter it");
        let interface =
            datalink::interfaces().into_iter().find(|one| one.name == interface).expect("the cable");
        let Ok(Channel::Ethernet(mut out, _)) = datalink::channel(&interface, datalink::Config::default())
        else {
            panic!("no channel on {interface}");
        };
        let frames: Vec<Vec<u8>> = (0..4_096_u16)
            .map(|n| {
                let [high, low] = n.to_be_bytes();
                let mut frame = vec![0xff; 6];
                frame.extend([2, 0, 0, 0, 0, 0x66, 8, 0, 0x45, 0, 0, 140, 0, 0, 0x40, 0, 64, 6, 0, 0]);
                frame.extend([
                    10, 3, high, low, 10, 4, low, high, 0x9c, 0x40, 1, 0xbb, 0, 0, 0, 1, 0, 0, 0, 1,
                ]);
                frame.extend([0x50, 0x18, 4, 0, 0, 0, 0, 0]);
                frame.resize(154, 0x61);
                frame
            })
            .collect();
        let (begun, mut sent) = (Instant::now(), 0);
        while begun.elapsed() < length {
            for frame in &frames {
                // The cable takes what there is room for.
                if out.send_to(frame, None).is_some_and(|sent| sent.is_ok()) {
                    sent += 1;
                }
            }
        }
        sent
    });
    sender.join().expect("all frames are sent")
}

#[test]
fn overload_is_counted_to_the_frame_and_over_within_ten_seconds() {
    let link = Link::with("workers = 2\n", false, |_gateway| {});
    let mut running = link.run();
    let sent = std::thread::scope(|scope| {
        let flooding = scope.spawn(|| flood(&link.outside.name, "sk0", Duration::from_secs(6)));
        // Something takes the processor for a while: the rings fill, and run over.
        std::thread::sleep(Duration::from_secs(1));
        running.signal(Signal::SIGSTOP);
        std::thread::sleep(Duration::from_secs(3));
        running.signal(Signal::SIGCONT);
        flooding.join().expect("all frames are sent")
    });
    let ended = Instant::now();
    wait_for("the overload was seen", SOON, || (counters(&link)["overload.begun"] > 0).then_some(()));
    wait_for("all work is done again", Duration::from_secs(12).saturating_sub(ended.elapsed()), || {
        (counters(&link)["overload.level"] == 0).then_some(())
    });
    assert!(!running.has_ended(), "{}", log(&link));
    assert!(log(&link).contains("the overload is over"), "{}", log(&link));
    // What comes now is looked at as ever.
    scan(&link);
    link.collector.incidents("scan", Duration::from_secs(30));
    assert!(running.stop().success(), "a clean stop");
    let seen = counters(&link);
    let (received, lost) = (sum(&seen, ".received"), sum(&seen, ".kernel_drops"));
    // A few frames are the cable's own (neighbour discovery) and the scan's.
    assert!((sent..sent + 500).contains(&(received + lost)), "{sent} sent, {received} came, {lost} lost");
    assert_eq!(seen["frames"] + seen["overload.frames_shed"], received, "{seen:?}");
    assert!(lost > 0, "the rings ran over: {seen:?}");
    assert!(seen["overload.frames_shed"] + seen["overload.payloads_shed"] > 0, "{seen:?}");
}
