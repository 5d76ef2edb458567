//! Packets as a script, events as text.
#![expect(clippy::wildcard_enum_match_arm, reason = "a test looks for one kind and takes no other")]

use std::time::Duration;

use etherparse::PacketBuilder;
use proptest::prelude::*;

use super::*;
use crate::event::{First, FlowRecord, FlowRef};
use crate::frame::LinkType;

/// An observer and a clock in milliseconds.
struct World {
    observer: Observer,
    at: u64,
    events: Vec<Event>,
}

const HOSTS: [[u8; 4]; 4] = [[10, 0, 0, 1], [10, 0, 0, 2], [10, 0, 0, 3], [10, 0, 0, 4]];

impl World {
    fn new(limits: &Limits) -> Self {
        Self { observer: Observer::new(limits, Options::default(), 7), at: 1_000_000, events: Vec::new() }
    }

    fn small() -> Limits {
        Limits { flows: 3, prefixes: 2, prefix_bytes: 512, ..Limits::gateway() }
    }

    fn time(&self) -> Timestamp {
        Timestamp::from_nanos(self.at * 1_000_000)
    }

    fn frame(&mut self, bytes: &[u8]) {
        self.at += 1;
        let wire_len = u32::try_from(bytes.len()).unwrap();
        let frame = Frame { at: self.time(), link: LinkType::RawIp, bytes, wire_len, vlan: None };
        self.observer.handle_frame(&frame, &mut self.events);
    }

    fn udp(&mut self, from: (usize, u16), to: (usize, u16), payload: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::new();
        let builder = PacketBuilder::ipv4(HOSTS[from.0], HOSTS[to.0], 64).udp(from.1, to.1);
        builder.write(&mut bytes, payload).unwrap();
        self.frame(&bytes);
        bytes
    }

    /// `flags` of S, A, F, R.
    fn tcp(&mut self, from: (usize, u16), to: (usize, u16), flags: &str, sequence: u32, payload: &[u8]) {
        let mut builder =
            PacketBuilder::ipv4(HOSTS[from.0], HOSTS[to.0], 64).tcp(from.1, to.1, sequence, 9_000);
        for flag in flags.chars() {
            builder = match flag {
                'S' => builder.syn(),
                'A' => builder.ack(1),
                'F' => builder.fin(),
                'R' => builder.rst(),
                other => panic!("{other}"),
            };
        }
        let mut bytes = Vec::new();
        builder.write(&mut bytes, payload).unwrap();
        self.frame(&bytes);
    }

    fn finish(mut self) -> Self {
        self.observer.finish(&mut self.events);
        self
    }

    /// `flow id`, what, and how it ended.
    fn said(&self) -> String {
        // Flows by the order in which they began.
        let ids: std::collections::BTreeSet<u64> = self.events.iter().filter_map(Event::flow_id).collect();
        let rank = |id: u64| ids.range(..=id).count();
        let mut words = Vec::new();
        let mut before = Timestamp::ZERO;
        for event in &self.events {
            let (at, word) = match event {
                Event::Arp { at, .. } => (*at, "arp".to_owned()),
                Event::Anomaly { at, anomaly, .. } => (*at, anomaly.name.to_owned()),
                Event::Flow { at, flow, what } => {
                    let what = match what {
                        FlowEvent::Started(first) => format!("{first:?}"),
                        FlowEvent::Ended(record) => format!("{}/{:?}", record.state.as_str(), record.reason),
                        FlowEvent::Dns(dns) => format!("dns({})", dns.qname),
                        FlowEvent::HttpRequest(request) => format!("{}({})", request.method, request.path),
                        FlowEvent::HttpResponse { status } => status.to_string(),
                        FlowEvent::Syslog(line) => String::from_utf8_lossy(line).into_owned(),
                        FlowEvent::Tls(hello) => format!("tls({:?})", hello.server_name),
                        // What parsers read is tested beside them.
                        FlowEvent::Transaction(_)
                        | FlowEvent::Anomaly(_)
                        | FlowEvent::Traffic(_)
                        | FlowEvent::Opening(_)
                        | FlowEvent::Echo(_) => continue,
                        FlowEvent::Answered
                        | FlowEvent::Established
                        | FlowEvent::Rejected
                        | FlowEvent::Unanswered => format!("{what:?}"),
                    };
                    (*at, format!("{}:{what}", rank(flow.id)))
                }
            };
            assert!(at >= before, "{word} goes back in time");
            before = at;
            words.push(word);
        }
        words.join(" ")
    }
}

const A: (usize, u16) = (0, 40_000);
const B: (usize, u16) = (1, 8_081);

#[test]
fn a_connection_from_syn_to_fin() {
    let mut world = World::new(&World::small());
    world.tcp(A, B, "S", 100, b"");
    world.tcp(B, A, "SA", 500, b"");
    world.tcp(A, B, "A", 101, b"");
    world.tcp(A, B, "A", 101, b"GET /a HTTP/1.1\r\n\r\n");
    world.tcp(B, A, "A", 501, b"HTTP/1.1 404 No\r\nContent-Length: 2\r\n\r\nno");
    world.tcp(A, B, "A", 120, b"GET /b HTTP/1.1\r\n\r\n");
    world.tcp(B, A, "A", 541, b"HTTP/1.1 200 Ok\r\n\r\n");
    world.tcp(A, B, "FA", 139, b"");
    world.tcp(B, A, "FA", 560, b"");
    world.tcp(A, B, "A", 140, b"");
    world.at += 3_000;
    world.udp((2, 1), (3, 2), b"time moves on");
    assert_eq!(
        world.said(),
        "1:Syn 1:Answered 1:Established 1:GET(/a) 1:404 1:GET(/b) 1:200 1:SF/Closed 2:Datagram"
    );
    let mut ends = world.events.iter().filter_map(|event| match event {
        Event::Flow { what: FlowEvent::Ended(record), at, flow } => Some((record, at, flow)),
        _ => None,
    });
    let (record, at, flow) = ends.next().unwrap();
    assert_eq!(at.since(record.end), Duration::from_secs(2), "the linger counts from the last packet");
    assert_eq!((record.originator.packets, record.responder.packets), (6, 4));
    assert_eq!((record.originator.payload_bytes, record.responder.payload_bytes), (38, 59));
    assert_eq!(record.originator.bytes, 6 * 40 + 38);
    assert_eq!((flow.originator.port, flow.responder.port), (40_000, 8_081));
}

#[test]
fn attempts_without_answer_and_with_refusal() {
    let mut world = World::new(&World::small());
    world.tcp(A, B, "S", 100, b"");
    world.tcp((0, 40_001), B, "S", 100, b"");
    world.tcp(B, (0, 40_001), "RA", 0, b"");
    world.observer.handle_timeout(world.time().plus(Duration::from_secs(30)), &mut world.events);
    world.at += 10_000;
    world.tcp(A, B, "A", 101, b"");
    let world = world.finish();
    assert_eq!(world.said(), "1:Syn 2:Syn 2:Rejected 2:REJ/Closed 1:Unanswered 1:S0/Forced");
}

#[test]
fn the_end_of_a_capture_waits_for_answers() {
    let mut world = World::new(&World::small());
    world.tcp(A, B, "S", 100, b"");
    world.udp((2, 5_000), (1, 6_000), b"?");
    let last = world.time();
    let world = world.finish();
    assert_eq!(world.said(), "1:Syn 2:Datagram 1:Unanswered 2:Unanswered 1:S0/Forced 2:S0/Forced");
    assert_eq!(world.observer.now().since(last), Limits::gateway().attempt_timeout);
}

#[test]
fn an_unreachable_rejects_the_flow_it_quotes() {
    let mut world = World::new(&World::small());
    let probe = world.udp((0, 5_000), (1, 33_434), b"?");
    let mut bytes = Vec::new();
    let unreachable =
        etherparse::Icmpv4Type::DestinationUnreachable(etherparse::icmpv4::DestUnreachableHeader::Port);
    PacketBuilder::ipv4(HOSTS[1], HOSTS[0], 64).icmpv4(unreachable).write(&mut bytes, &probe[..28]).unwrap();
    world.frame(&bytes);
    world.frame(&bytes);
    let world = world.finish();
    assert_eq!(world.said(), "1:Datagram 2:Other 1:Rejected 1:S0/Forced 2:OTH/Forced");
}

#[test]
fn pings_and_their_answers_are_one_flow() {
    let mut world = World::new(&World::small());
    let ping = |world: &mut World, from: usize, to: usize, request: bool| {
        let builder = PacketBuilder::ipv4(HOSTS[from], HOSTS[to], 64);
        let mut bytes = Vec::new();
        let builder =
            if request { builder.icmpv4_echo_request(1, 1) } else { builder.icmpv4_echo_reply(1, 1) };
        builder.write(&mut bytes, b"ping").unwrap();
        world.frame(&bytes);
    };
    ping(&mut world, 0, 1, true);
    ping(&mut world, 1, 0, false);
    ping(&mut world, 2, 1, true);
    let world = world.finish();
    let expected = "1:EchoRequest 1:Answered 2:EchoRequest 2:Unanswered 1:SF/Forced 2:S0/Forced";
    assert_eq!(world.said(), expected);
    let Some(Event::Flow { flow, .. }) = world.events.first() else { panic!("flow") };
    assert_eq!((flow.originator.port, flow.responder.port), (8, 0));
}

#[test]
fn who_began_is_guessed_midstream() {
    let check = |from: (usize, u16), to: (usize, u16), flags: &str, originator: u16| {
        let mut world = World::new(&World::small());
        world.tcp(from, to, flags, 1, b"");
        let Some(Event::Flow { flow, what: FlowEvent::Started(First::Midstream), .. }) = world.events.first()
        else {
            panic!("midstream")
        };
        assert_eq!(flow.originator.port, originator, "{from:?} {to:?} {flags}");
    };
    check((0, 40_000), (1, 443), "A", 40_000);
    check((1, 443), (0, 40_000), "A", 40_000);
    check((1, 8_080), (0, 40_000), "A", 40_000);
    check((1, 50_000), (0, 40_000), "A", 50_000);
    check((1, 22), (0, 443), "A", 22);
    check((1, 50_000), (0, 40_000), "SA", 40_000);
}

#[test]
fn every_dns_message_of_a_long_flow_is_an_event() {
    let query = |name: &str| {
        let mut message = b"\xab\xcd\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00".to_vec();
        message.push(u8::try_from(name.len()).unwrap());
        message.extend(name.as_bytes());
        message.extend(b"\x00\x00\x01\x00\x01");
        message
    };
    let mut world = World::new(&World::small());
    for name in ["one", "two", "three"] {
        world.udp(A, (1, 53), &query(name));
    }
    world.udp(A, (1, 53), b"nonsense");
    world.udp((2, 9_999), (1, 9_998), &query("unusual-port"));
    world.udp((2, 9_999), (1, 9_998), b"nonsense");
    world.udp((2, 9_997), (1, 137), &query("netbios"));
    let said = world.said();
    assert_eq!(
        said,
        "1:Datagram 1:dns(one) 1:dns(two) 1:dns(three) 2:Datagram 2:dns(unusual-port) 3:Datagram"
    );
    assert_eq!(world.observer.counters().value(Counter::ProtoMalformed), 2);

    // Over TCP: two messages in one segment, one in two.
    let framed = |name: &str| [&[0, u8::try_from(query(name).len()).unwrap()][..], &query(name)].concat();
    let mut world = World::new(&World::small());
    let stream = [framed("one"), framed("two"), framed("three")].concat();
    world.tcp(A, (1, 53), "A", 1, &stream[..50]);
    world.tcp(A, (1, 53), "A", 51, &stream[50..]);
    assert_eq!(world.said(), "1:Midstream 1:dns(one) 1:dns(two) 1:dns(three)");
}

#[test]
fn syslog_in_datagrams_and_streams() {
    let mut world = World::new(&World::small());
    world.udp(A, (1, 514), b"<13>one");
    world.udp(A, (1, 514), b"no priority");
    world.udp(A, (1, 515), b"<13>another port");
    world.tcp(A, (1, 514), "A", 1, b"<13>two\n<14>th");
    world.tcp(A, (1, 514), "A", 15, b"ree\n");
    assert_eq!(world.said(), "1:Datagram 1:<13>one 2:Datagram 3:Midstream 3:<13>two 3:<14>three");
}

#[test]
fn a_full_table_ends_the_least_recent() {
    let mut world = World::new(&World::small());
    for port in [1, 2, 3] {
        world.udp((0, port), (1, 7), b"x");
    }
    world.udp((0, 1), (1, 7), b"x");
    world.tcp((0, 4), (1, 7), "S", 1, b"");
    assert_eq!(world.said(), "1:Datagram 2:Datagram 3:Datagram 2:S0/LackOfResources 4:Syn");
    assert_eq!(world.observer.counters().value(Counter::FlowsEvicted), 1);
}

#[test]
fn a_lone_packet_that_took_a_place_is_not_kept_long() {
    let mut world = World::new(&World::small());
    for port in [1, 2, 3, 4] {
        world.udp((0, port), (1, 7), b"x");
    }
    world.udp((0, 5), (1, 7), b"x");
    world.udp((1, 7), (0, 5), b"y");
    world.observer.handle_timeout(world.time().plus(Duration::from_secs(11)), &mut world.events);
    let said = world.said();
    assert!(said.ends_with("5:Datagram 5:Answered 3:Unanswered 4:Unanswered 4:S0/Idle"), "{said}");
    world.observer.handle_timeout(world.time().plus(Duration::from_secs(61)), &mut world.events);
    let said = world.said();
    assert!(said.ends_with("4:S0/Idle 3:S0/Idle 5:SF/Idle"), "{said}");
}

#[test]
fn what_nobody_recognises_of_datagrams_is_remembered_in_the_entry() {
    let reads = |world: &mut World| {
        let slot = world.observer.table.first_by_id(9).pop().expect("it is alive");
        world.observer.table.flow_mut(slot).is_some_and(|flow| flow.reading().is_some())
    };
    let data = [&[4, 0, 0, 0][..], &[9; 28]].concat();
    let mut world = World::new(&Limits::gateway());
    for (port, tries) in [(1, 0), (2, 6), (3, 7)] {
        for _ in 0..tries {
            world.udp((1, 7), (0, port), b"0123456789ab");
        }
        world.udp((0, port), (1, 7), &data);
        assert!(!reads(&mut world), "{port}");
        world.udp((1, 7), (0, port), &data);
        assert_eq!(reads(&mut world), port != 3, "after eight nothing is tried any more: {port}");
    }
    world.observer.finish(&mut world.events);
    let spoke = |event: &Event| match event {
        Event::Flow { what: FlowEvent::Ended(record), .. } => Some(record.application),
        _ => None,
    };
    let spoken: Vec<Application> = world.events.iter().filter_map(spoke).collect();
    assert_eq!(spoken, [Application::WireGuard, Application::WireGuard, Application::Unknown]);
}

#[test]
fn what_a_flood_leaves_is_gathered_in_few_pages() {
    const FLOWS: u16 = 40_000;
    let stays = |port: u16| port.is_multiple_of(100);
    let connect = |world: &mut World, port: u16| {
        world.tcp((0, port), B, "S", 100, b"");
        world.tcp(B, (0, port), "SA", 500, b"");
        world.tcp((0, port), B, "A", 101, b"GET /a HTTP/1.1\r\n");
    };
    let mut world = World::new(&Limits::gateway());
    for port in 1..=FLOWS {
        if stays(port) {
            connect(&mut world, port);
        } else {
            world.udp((2, port), (1, 7), b"x");
        }
    }
    let all = world.observer.table.slots();
    assert!(all >= usize::from(FLOWS), "{all}");
    for _ in 0..100 {
        world.at += 1_000;
        world.udp((2, 1), (1, 7), b"time moves on");
    }
    let left = world.observer.table.slots();
    assert!(left <= 65 * 256, "{left} of {all}");
    let begun = world.observer.counters().value(Counter::FlowsStarted);
    world.events.clear();
    for port in (1..=FLOWS).filter(|port| stays(*port)) {
        world.tcp((0, port), B, "A", 118, b"Host: b\r\n\r\n");
    }
    assert_eq!(world.observer.counters().value(Counter::FlowsStarted), begun, "each is found");
    assert_eq!(world.said().matches("GET(/a)").count(), 400, "with what was read of it");
    world.events.clear();
    world.observer.handle_timeout(world.time().plus(Duration::from_secs(301)), &mut world.events);
    assert_eq!(world.said().matches("S1/Idle").count(), 400, "and ends in its time");
    assert!(world.observer.table.is_empty());
}

#[test]
fn long_flows_are_reported_and_go_on() {
    let mut world = World::new(&Limits { active: Duration::from_secs(100), ..World::small() });
    world.tcp(A, B, "S", 1, b"");
    world.tcp(B, A, "SA", 1, b"");
    for _ in 0..5 {
        world.at += 50_000;
        world.tcp(A, B, "A", 2, b"");
    }
    let world = world.finish();
    assert_eq!(world.said(), "1:Syn 1:Answered 1:Established 1:S1/Active 1:S1/Active 1:S1/Forced");
    let packets: Vec<_> = world
        .events
        .iter()
        .filter_map(|event| {
            let Event::Flow { what: FlowEvent::Ended(record), .. } = event else { return None };
            Some(record.originator.packets)
        })
        .collect();
    assert_eq!(packets.iter().sum::<u64>(), 6, "no packet is counted twice: {packets:?}");
}

#[test]
fn ports_used_again_make_a_new_flow() {
    let mut world = World::new(&World::small());
    for sequence in [1, 1, 5_000] {
        world.tcp(A, B, "S", sequence, b"");
        world.tcp(B, A, "RA", 0, b"");
    }
    assert_eq!(world.said(), "1:Syn 1:Rejected 1:REJ/Closed 2:Syn 2:Rejected");
}

#[test]
fn attempts_may_be_forgotten_when_nobody_answers() {
    let mut world = World::new(&World::small());
    world.observer = Observer::new(&World::small(), Options { rules: Rules::Zeek, ..Options::default() }, 7);
    world.tcp(A, B, "S", 1, b"");
    world.at += 6_000;
    world.tcp(A, B, "S", 1, b"");
    world.tcp(B, A, "SA", 1, b"");
    world.at += 6_000;
    world.tcp(A, B, "A", 2, b"");
    assert_eq!(world.said(), "1:Syn 1:Unanswered 1:S0/Idle 2:Syn 2:Answered 2:Established");
}

#[test]
fn a_connection_met_midstream_may_be_left_alone() {
    let mut world = World::new(&World::small());
    world.observer = Observer::new(&World::small(), Options { midstream: false, ..Options::default() }, 7);
    world.tcp(A, B, "A", 1, b"GET /a HTTP/1.1\r\n\r\n");
    world.tcp(A, (2, 80), "S", 1, b"");
    world.tcp(A, (2, 80), "A", 2, b"GET /b HTTP/1.1\r\n\r\n");
    assert_eq!(world.said(), "1:Midstream 2:Syn 2:GET(/b)");
}

#[test]
fn what_a_wrong_checksum_means_depends_on_the_rules() {
    let ended = |rules: Rules| {
        let mut world = World::new(&World::small());
        let options = Options { verify_checksums: true, rules, ..Options::default() };
        world.observer = Observer::new(&World::small(), options, 7);
        for damaged in [true, false, true] {
            let mut bytes = Vec::new();
            PacketBuilder::ipv4(HOSTS[0], HOSTS[1], 64)
                .tcp(40_000, 8_081, 7, 9_000)
                .ack(1)
                .write(&mut bytes, b"GET / HTTP/1.1\r\n\r\n")
                .unwrap();
            bytes[36] ^= u8::from(damaged);
            world.frame(&bytes);
        }
        let world = world.finish();
        assert_eq!(world.observer.counters().value(Counter::SkipChecksum), 2);
        let (_, record) = record(&world);
        (record.originator.packets, record.conduct.history.as_str().to_owned())
    };
    assert_eq!(ended(Rules::Own), (1, "D".to_owned()));
    assert_eq!(ended(Rules::Zeek), (1, "CD".to_owned()));
    assert_eq!(ended(Rules::Suricata), (3, "D".to_owned()));
}

/// The record of the only flow.
fn record(world: &World) -> (FlowRef, FlowRecord) {
    let mut records = world.events.iter().filter_map(|event| match event {
        Event::Flow { flow, what: FlowEvent::Ended(record), .. } => Some((*flow, (**record).clone())),
        _ => None,
    });
    let first = records.next().unwrap();
    assert!(records.next().is_none());
    first
}

#[test]
fn zeek_exchanges_the_ends_of_what_a_server_sends_first() {
    let swapped = |from: (usize, u16), to: (usize, u16)| {
        let mut world = World::new(&World::small());
        world.udp(from, to, b"x");
        world.udp(to, from, b"x");
        let (flow, record) = record(&world.finish());
        assert_eq!(flow.originator.port, from.1, "detectors go by who sent first");
        (flow.swapped, record.conduct.history.as_str().to_owned())
    };
    assert_eq!(swapped((0, 53), (1, 40_000)), (true, "^dD".to_owned()));
    assert_eq!(swapped((0, 40_000), (1, 53)), (false, "Dd".to_owned()));
    assert_eq!(swapped((0, 53), (1, 123)), (false, "Dd".to_owned()));

    let swapped = |from: (usize, u16), to: (usize, u16), flags: &str| {
        let mut world = World::new(&World::small());
        world.tcp(from, to, flags, 9_000, b"");
        let (flow, record) = record(&world.finish());
        (flow.originator.port, flow.swapped, record.conduct.history.as_str().to_owned())
    };
    assert_eq!(swapped((0, 80), A, "SA"), (40_000, false, "^h".to_owned()));
    assert_eq!(swapped((0, 50_000), A, "SA"), (40_000, true, "H".to_owned()), "Zeek takes no SYN-ACK's word");
    assert_eq!(swapped((0, 80), A, "A"), (40_000, false, "^a".to_owned()));
    assert_eq!(swapped((0, 50_000), A, "A"), (50_000, false, "A".to_owned()));
}

#[test]
fn a_record_tells_how_the_connection_went() {
    let mut world = World::new(&World::small());
    world.tcp(A, B, "S", 100, b"");
    world.at += 29;
    world.tcp(B, A, "SA", 500, b"");
    world.at += 9;
    world.tcp(A, B, "A", 101, b"");
    world.tcp(A, B, "A", 101, b"hello");
    world.tcp(A, B, "A", 101, b"hello");
    world.tcp(A, B, "R", 106, b"");
    let (_, record) = record(&world.finish());
    let conduct = record.conduct;
    assert_eq!(conduct.rtt, Some(Duration::from_millis(40)));
    assert_eq!(conduct.tcp_state.as_str(), "closed");
    assert_eq!((record.originator.wire_bytes, record.responder.wire_bytes), (4 * 40 + 50, 40));
    assert_eq!((conduct.originator.stream_bytes, conduct.responder.stream_bytes), (5, 0));
    assert_eq!((conduct.originator.retransmissions, conduct.originator.resets), (1, 1));
    assert_eq!((conduct.originator.flags, conduct.responder.flags), (0x16, 0x12));
    assert_eq!((record.state.as_str(), conduct.history.as_str()), ("RSTO", "ShADTR"));
    assert!(!conduct.midstream);
}

#[test]
fn vlans_tell_flows_apart() {
    let mut bytes = Vec::new();
    PacketBuilder::ipv4(HOSTS[0], HOSTS[1], 64).udp(1, 2).write(&mut bytes, b"x").unwrap();
    let said = |rules: Rules| {
        let mut world = World::new(&World::small());
        world.observer = Observer::new(&World::small(), Options { rules, ..Options::default() }, 7);
        for vlan in [None, Some(1), Some(2), Some(1)] {
            let frame = Frame { at: world.time(), link: LinkType::RawIp, bytes: &bytes, wire_len: 29, vlan };
            world.observer.handle_frame(&frame, &mut world.events);
        }
        world.said()
    };
    assert_eq!(said(Rules::Own), "1:Datagram 2:Datagram 3:Datagram");
    assert_eq!(said(Rules::Suricata), "1:Datagram 2:Datagram 3:Datagram");
    assert_eq!(said(Rules::Zeek), "1:Datagram");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever comes: in order, every flow ends once, and neither the seed nor a timeout shows.
    #[test]
    fn the_same_packets_give_the_same_events(
        packets in proptest::collection::vec(
            (0_u8..4, 0_u16..4, 0_u8..64, 0_u32..4, "[ -~]{0,8}", 0_u64..8_000), 0..60,
        ),
    ) {
        let run = |seed: u64, timeouts: bool| {
            let mut world = World::new(&World::small());
            world.observer = Observer::new(&World::small(), Options::default(), seed);
            for (ends, port, flags, sequence, payload, pause) in &packets {
                world.at += pause;
                if timeouts {
                    world.observer.handle_timeout(world.time(), &mut world.events);
                }
                let (from, to) = if ends & 1 == 0 { ((0, *port), (1, 53)) } else { ((1, 53), (0, *port)) };
                if ends & 2 == 0 {
                    world.udp(from, to, payload.as_bytes());
                } else {
                    let flags: String = "FSRA".chars().zip(0..).filter(|(_, bit)| flags >> bit & 1 == 1).map(|(flag, _)| flag).collect();
                    world.tcp(from, to, &flags, *sequence, payload.as_bytes());
                }
            }
            let world = world.finish();
            let said = world.said();
            let counters = world.observer.counters();
            assert_eq!(counters.value(Counter::FlowsStarted), counters.value(Counter::FlowsEnded));
            (said, world.events)
        };
        prop_assert_eq!(run(1, false), run(2, true));
    }
}

#[test]
fn only_so_many_flows_are_read_at_a_time() {
    let mut world = World::new(&Limits { parsers: 1, ..World::small() });
    let other = (2, 40_001);
    for (client, path) in [(A, "/a"), (other, "/b")] {
        world.tcp(client, B, "S", 100, b"");
        world.tcp(B, client, "SA", 500, b"");
        world.tcp(client, B, "A", 101, format!("GET {path} HTTP/1.1\r\n\r\n").as_bytes());
    }
    world.tcp(A, B, "A", 120, b"GET /c HTTP/1.1\r\n\r\n");
    world.tcp(other, B, "A", 120, b"GET /d HTTP/1.1\r\n\r\n");
    let said = world.said();
    let read = ["GET(/a)", "GET(/b)", "GET(/c)", "GET(/d)"].map(|request| said.contains(request));
    assert_eq!(read, [true, true, false, true], "{said}");
    assert_eq!(world.observer.counters().value(Counter::ParsersShed), 1);
}

#[test]
fn the_first_payload_of_each_direction_is_told_once() {
    let mut world = World::new(&World::small());
    world.tcp(A, B, "S", 100, b"");
    world.tcp(B, A, "SA", 500, b"");
    world.tcp(A, B, "A", 101, b"");
    world.tcp(A, B, "A", 106, b"later");
    world.tcp(A, B, "A", 101, b"first");
    world.tcp(A, B, "A", 101, b"again");
    world.tcp(B, A, "A", 501, &[0xff; 100]);
    world.tcp(B, A, "A", 601, b"more");
    world.udp((2, 1), (3, 2), b"");
    world.udp((2, 1), (3, 2), b"first");
    world.tcp((2, 7), B, "A", 101, b"who knows what came before");
    let openings: Vec<(u64, event::Opening)> = world
        .events
        .iter()
        .filter_map(|event| match event {
            Event::Flow { flow, what: FlowEvent::Opening(opening), .. } => Some((flow.id, *opening)),
            _ => None,
        })
        .collect();
    let [(one, ask), (same, answer), (other, datagram)] = openings[..] else { panic!("{openings:?}") };
    assert!(one == same && one < other);
    assert_eq!(
        (ask.from_originator, ask.bytes, ask.printable_percent, ask.distinct_bytes),
        (true, 5, 100, 5)
    );
    assert_eq!((answer.from_originator, answer.bytes), (false, 100));
    assert_eq!((answer.printable_percent, answer.distinct_bytes), (0, 1));
    assert_eq!(ask.shape, datagram.shape);
    assert_ne!(ask.shape, answer.shape);
}

#[test]
fn echoes_that_carry_something_are_told() {
    let mut world = World::new(&World::small());
    let mut echo = |request: bool, number: u16, payload: &[u8]| {
        let (from, to) = if request { (0, 1) } else { (1, 0) };
        let builder = PacketBuilder::ipv4(HOSTS[from], HOSTS[to], 64);
        let builder = if request {
            builder.icmpv4_echo_request(7, number)
        } else {
            builder.icmpv4_echo_reply(7, number)
        };
        let mut bytes = Vec::new();
        builder.write(&mut bytes, payload).unwrap();
        world.frame(&bytes);
    };
    let carried = b"an answer that has nothing in common with what was asked: it carries something";
    echo(true, 1, &[0; 56]);
    echo(false, 1, &[0; 56]);
    echo(true, 2, &[0; 56]);
    echo(false, 2, &[1; 56]);
    echo(true, 3, carried);
    echo(false, 3, carried);
    echo(false, 2, &[1; 56]);
    let echoes: Vec<_> = world
        .events
        .iter()
        .filter_map(|event| match event {
            Event::Flow { what: FlowEvent::Echo(echo), .. } => {
                Some((echo.from_originator, echo.bytes, echo.differs, echo.regular))
            }
            _ => None,
        })
        .collect();
    assert_eq!(echoes, [(false, 56, true, true), (true, 78, false, false), (false, 78, false, false)]);
}
