//! What an agent on a busy gateway, and in a storm of findings, takes of its uplink, counted on the wire: headers, TLS,
//! acknowledgements and all.

use std::path::Path;
use std::time::{Duration, Instant};

use pnet::packet::Packet as _;
use pnet::packet::ip::{IpNextHeaderProtocol, IpNextHeaderProtocols};
use pnet::packet::ipv4::{self, MutableIpv4Packet};
use pnet::packet::tcp::{self, MutableTcpPacket, TcpFlags};
use pnet::packet::udp::{self, MutableUdpPacket};

use crate::kills::Ledger;
use crate::live::{Link, send_timed};
use crate::support::netns::Netns;
use crate::support::{run_ok, wait_for};

/// By default, in every window of so long.
const BUDGET: u64 = 64 * 1024;
const WINDOW: usize = 10;
/// Of the traffic: the first summaries are behind by then, and several windows follow.
const SECONDS: u64 = 75;
/// New conversations a second, each with hosts and a name of its own: far more than a summary can list.
const CONVERSATIONS: u64 = 200;
/// Of the storm: who knocks, at how many ports, within how long.
const STRANGERS: u64 = 1_000;
const STORM_PORTS: u16 = 120;
const STORM_SECONDS: u64 = 30;

/// Numbers that look like chance, the same in every run.
pub(crate) struct Chance(pub(crate) u64);

impl Chance {
    fn draw(&mut self, below: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % below
    }

    fn byte(&mut self) -> u8 {
        u8::try_from(self.draw(256)).expect("a byte")
    }
}

/// An IPv4 packet on Ethernet.
fn framed(protocol: IpNextHeaderProtocol, from: [u8; 4], to: [u8; 4], segment: &[u8]) -> Vec<u8> {
    let mut packet = MutableIpv4Packet::owned(vec![0; 20 + segment.len()]).expect("room");
    packet.set_version(4);
    packet.set_header_length(5);
    packet.set_total_length(u16::try_from(20 + segment.len()).expect("a short segment"));
    packet.set_ttl(64);
    packet.set_next_level_protocol(protocol);
    packet.set_source(from.into());
    packet.set_destination(to.into());
    packet.set_payload(segment);
    packet.set_checksum(ipv4::checksum(&packet.to_immutable()));
    let mut frame = vec![0xff; 6];
    frame.extend([2, 0, 0, 0, 0, 0x66, 0x08, 0x00]);
    frame.extend(packet.packet());
    frame
}

type End = ([u8; 4], u16);

fn datagram(from: End, to: End, payload: &[u8]) -> Vec<u8> {
    let mut datagram = MutableUdpPacket::owned(vec![0; 8 + payload.len()]).expect("room");
    datagram.set_source(from.1);
    datagram.set_destination(to.1);
    datagram.set_length(u16::try_from(8 + payload.len()).expect("a short payload"));
    datagram.set_payload(payload);
    datagram.set_checksum(udp::ipv4_checksum(&datagram.to_immutable(), &from.0.into(), &to.0.into()));
    framed(IpNextHeaderProtocols::Udp, from.0, to.0, datagram.packet())
}

fn segment(from: End, to: End, (seq, ack, flags): (u32, u32, u8), payload: &[u8]) -> Vec<u8> {
    let mut segment = MutableTcpPacket::owned(vec![0; 20 + payload.len()]).expect("room");
    segment.set_source(from.1);
    segment.set_destination(to.1);
    segment.set_sequence(seq);
    segment.set_acknowledgement(ack);
    segment.set_data_offset(5);
    segment.set_flags(flags);
    segment.set_window(64_000);
    segment.set_payload(payload);
    segment.set_checksum(tcp::ipv4_checksum(&segment.to_immutable(), &from.0.into(), &to.0.into()));
    framed(IpNextHeaderProtocols::Tcp, from.0, to.0, segment.packet())
}

/// A name is looked up, a page is fetched from it.
pub(crate) fn conversation(chance: &mut Chance) -> Vec<Vec<u8>> {
    let client =
        ([10, 3, chance.byte(), chance.byte()], 1_024 + u16::try_from(chance.draw(60_000)).expect("a port"));
    let resolver = ([198, 18, 0, chance.byte()], 53);
    let letters = 6 + chance.draw(10);
    let name: Vec<u8> =
        (0..letters).map(|_| b'a' + u8::try_from(chance.draw(26)).expect("a letter")).collect();
    let server = ([198, 19, chance.byte(), chance.byte()], 80);
    let mut question = vec![chance.byte(), chance.byte(), 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, 3];
    question.extend(b"www");
    question.push(u8::try_from(name.len()).expect("a label"));
    question.extend(&name);
    question.extend(*b"\x03com\x00\x00\x01\x00\x01");
    let mut answer = question.clone();
    (answer[2], answer[3], answer[7]) = (0x81, 0x80, 1);
    answer.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 1, 44, 0, 4]);
    answer.extend(server.0);
    let host = String::from_utf8(name).expect("letters");
    let get = format!("GET / HTTP/1.1\r\nHost: www.{host}.com\r\nUser-Agent: Mozilla/5.0\r\n\r\n");
    let page = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 2\r\n\r\nok";
    let (sent, got) = (u32::try_from(get.len()).expect("short"), u32::try_from(page.len()).expect("short"));
    let (syn, ack, fin) = (TcpFlags::SYN, TcpFlags::ACK, TcpFlags::FIN);
    vec![
        datagram(client, resolver, &question),
        datagram(resolver, client, &answer),
        segment(client, server, (0, 0, syn), b""),
        segment(server, client, (0, 1, syn | ack), b""),
        segment(client, server, (1, 1, ack), get.as_bytes()),
        segment(server, client, (1, 1 + sent, ack), page),
        segment(server, client, (1 + got, 1 + sent, fin | ack), b""),
        segment(client, server, (1 + sent, 2 + got, fin | ack), b""),
        segment(server, client, (2 + got, 2 + sent, ack), b""),
    ]
}

fn traffic() -> Vec<(Duration, Vec<u8>)> {
    let mut chance = Chance(7);
    let mut frames = Vec::new();
    for number in 0..SECONDS * CONVERSATIONS {
        let at = Duration::from_micros(number * 1_000_000 / CONVERSATIONS);
        frames.extend(conversation(&mut chance).into_iter().map(|frame| (at, frame)));
    }
    frames
}

/// Everything that crossed the loopback of the gateway, where agent and collector speak to each other, and nobody else.
fn crossed(gateway: &str) -> u64 {
    let mut cat = Netns::command_in(gateway, Path::new("cat"));
    let text = run_ok(cat.arg("/sys/class/net/lo/statistics/tx_bytes"));
    text.trim().parse().expect("a number")
}

/// Each of many strangers knocks at many ports of the gateway: a finding each, and with what is told of them far more than
/// the budget carries off meanwhile.
fn storm() -> Vec<(Duration, Vec<u8>)> {
    let mut frames = Vec::new();
    for port in 1..=u64::from(STORM_PORTS) {
        for stranger in 0..STRANGERS {
            let at = (port - 1) * STRANGERS + stranger;
            let at =
                Duration::from_micros(at * STORM_SECONDS * 1_000_000 / (STRANGERS * u64::from(STORM_PORTS)));
            let [.., high, low] = u32::try_from(stranger).expect("few").to_be_bytes();
            let from = ([203, 0, high, low], 50_000);
            let to = ([198, 51, 100, 1], u16::try_from(port).expect("a port"));
            frames.push((at, segment(from, to, (0, 0, TcpFlags::SYN), b"")));
            frames.push((at, segment(to, from, (0, 1, TcpFlags::RST | TcpFlags::ACK), b"")));
        }
    }
    frames
}

/// Bytes in every window of ten seconds, while these frames cross the cable.
fn windows(link: &Link, frames: Vec<(Duration, Vec<u8>)>) -> Vec<u64> {
    let outside = link.outside.name.clone();
    let sender = std::thread::spawn(move || send_timed(&outside, "sk0", frames));
    let start = Instant::now();
    let mut samples = Vec::new();
    while start.elapsed() < Duration::from_secs(SECONDS) {
        samples.push(crossed(&link.gateway));
        let next = Duration::from_secs(u64::try_from(samples.len()).expect("few"));
        std::thread::sleep(next.saturating_sub(start.elapsed()));
    }
    sender.join().expect("all was sent");
    samples.windows(WINDOW + 1).map(|window| window[WINDOW] - window[0]).collect()
}

/// As on a cable: no packet is larger, none stands for many.
fn cable(gateway: &Netns) {
    gateway.ip(&["link", "set", "lo", "mtu", "1500", "gso_max_segs", "1"]);
}

#[test]
fn a_storm_of_findings_waits_in_the_spool_and_none_is_dropped() {
    let link = Link::with("", false, cable);
    let running = link.run();
    let windows = windows(&link, storm());
    let most = windows.iter().max().expect("windows");
    let waiting = link.agent.waiting();
    println!("{most} bytes in the busiest ten seconds: {windows:?}; {waiting} batches wait");
    assert!(*most <= BUDGET, "{most} bytes in ten seconds");
    assert!(*most > BUDGET / 2, "{most} bytes: no storm");
    assert!(running.stop().success(), "a clean stop");
    // What waits when it starts is a backlog, for which the budget is lifted.
    let running = link.run();
    wait_for("the backlog is delivered", Duration::from_secs(60), || {
        (link.agent.waiting() == 0).then_some(())
    });
    assert!(running.stop().success(), "a clean stop");
    let ledger = Ledger::of(&link.collector);
    let strangers = ledger.number("SELECT count(*) FROM findings");
    let lost = ledger.number("SELECT coalesce(sum(records), 0) FROM gaps");
    println!("{strangers} findings of {STRANGERS} strangers, {lost} records declared lost");
    assert_eq!(lost, 0);
    assert!(strangers >= i64::try_from(STRANGERS).expect("few"), "{strangers} findings");
    link.collector.assert_verifies();
}

#[test]
fn an_agent_on_a_busy_gateway_stays_within_64_kib_in_ten_seconds() {
    let link = Link::with("", false, cable);
    let running = link.run();
    let (before, windows) = (crossed(&link.gateway), windows(&link, traffic()));
    let (most, all) = (windows.iter().max().expect("windows"), crossed(&link.gateway) - before);
    println!("{all} bytes in {SECONDS} s, {most} in the busiest ten seconds: {windows:?}");
    let status = wait_for("the spool is empty", Duration::from_secs(20), || {
        (link.agent.waiting() == 0).then(|| link.collector.status())
    });
    assert!(running.stop().success(), "a clean stop");
    println!("{}", status["counters"]);
    let ledger = Ledger::of(&link.collector);
    // It was as busy as it can be: the summaries are of their full size, and what they leave out is counted.
    let largest = ledger.number("SELECT max(length(envelope)) FROM batches WHERE lane = 1");
    println!("the largest batch of summaries has {largest} bytes, compressed");
    assert!(*most <= BUDGET, "{most} bytes in ten seconds");
    assert!(all > SECONDS / 10 * 1024, "{all} bytes: nothing was reported");
    link.collector.assert_verifies();
}
