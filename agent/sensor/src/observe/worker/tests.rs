//! Several observers see what one does, whatever the packets and wherever the batches end.

use std::time::Duration;

use etherparse::{IcmpEchoHeader, Icmpv4Type, PacketBuilder, icmpv4::DestUnreachableHeader};
use proptest::prelude::*;
use sekimori_wire::time::Timestamp;

use super::*;
use crate::frame::LinkType;
use crate::limits::Limits;
use crate::observe::{Options, Steer};

/// A packet among a few hosts.
#[derive(Clone, Debug)]
struct Packet {
    /// Milliseconds after the one before; some are far apart, so that timers run.
    gap: u64,
    from: u8,
    to: u8,
    port: u16,
    kind: Kind,
}

#[derive(Clone, Debug)]
enum Kind {
    Tcp(u8),
    Udp,
    Ping,
    /// Quotes a datagram of this host to the sender.
    Unreachable(u8),
}

fn packet() -> impl Strategy<Value = Packet> {
    let kind = prop_oneof![
        (0_u8..32).prop_map(Kind::Tcp),
        Just(Kind::Udp),
        Just(Kind::Ping),
        (0_u8..5).prop_map(Kind::Unreachable),
    ];
    let gap =
        prop_oneof![Just(0), Just(1), 0_u64..100, Just(2_000), Just(5_000), Just(60_000), Just(400_000)];
    (gap, 0_u8..5, 0_u8..5, 1_000_u16..1_003, kind).prop_map(|(gap, from, to, port, kind)| Packet {
        gap,
        from,
        to,
        port,
        kind,
    })
}

fn bytes(packet: &Packet) -> Vec<u8> {
    let host = |last: u8| [10, 0, 0, last];
    let mut out = Vec::new();
    let ip = PacketBuilder::ipv4(host(packet.from), host(packet.to), 64);
    match packet.kind {
        Kind::Tcp(flags) => {
            let mut tcp = ip.tcp(packet.port, 80, 1_000, 9_000);
            let set = |bit: u8| flags & bit != 0;
            if set(1) {
                tcp = tcp.syn();
            }
            if set(2) {
                tcp = tcp.ack(1);
            }
            if set(4) {
                tcp = tcp.fin();
            }
            if set(8) {
                tcp = tcp.rst();
            }
            tcp.write(&mut out, if set(16) { b"payload" } else { b"" }).unwrap();
        }
        Kind::Udp => ip.udp(packet.port, 5_353).write(&mut out, b"payload").unwrap(),
        Kind::Ping => {
            let echo = Icmpv4Type::EchoRequest(IcmpEchoHeader { id: packet.port, seq: 1 });
            ip.icmpv4(echo).write(&mut out, b"payload").unwrap();
        }
        Kind::Unreachable(quoted) => {
            let mut inner = Vec::new();
            let builder = PacketBuilder::ipv4(host(packet.to), host(quoted), 64);
            builder.udp(packet.port, 5_353).write(&mut inner, b"payload").unwrap();
            let kind = Icmpv4Type::DestinationUnreachable(DestUnreachableHeader::Port);
            ip.icmpv4(kind).write(&mut out, &inner[..28]).unwrap();
        }
    }
    out
}

fn frames(packets: &[Packet]) -> Vec<(Timestamp, Vec<u8>)> {
    let mut at = Timestamp::from_secs(1_700_000_000);
    let mut next = |packet: &Packet| {
        at = at.plus(Duration::from_millis(packet.gap));
        (at, bytes(packet))
    };
    packets.iter().map(&mut next).collect()
}

fn frame((at, bytes): &(Timestamp, Vec<u8>)) -> Frame<'_> {
    let wire_len = u32::try_from(bytes.len()).unwrap();
    Frame { at: *at, link: LinkType::RawIp, bytes, wire_len, vlan: None }
}

fn observed_by_one(frames: &[(Timestamp, Vec<u8>)]) -> Vec<Event> {
    let mut observer = Observer::new(&Limits::gateway(), Options::default(), 1);
    let mut events = Vec::new();
    frames.iter().for_each(|one| observer.handle_frame(&frame(one), &mut events));
    observer.finish(&mut events);
    events
}

/// What they observed, in the one order.
fn merged(crew: &mut [Worker]) -> Vec<Placed> {
    let mut all: Vec<Placed> = crew.iter_mut().flat_map(Worker::take).collect();
    all.sort_by_key(Placed::place);
    all
}

/// In batches of `batch` frames.
fn observed_by_many(frames: &[(Timestamp, Vec<u8>)], workers: usize, batch: usize) -> Vec<Event> {
    let steer = Steer::new(workers, 7);
    let observer = |seed| Observer::new(&Limits::gateway(), Options::default(), seed);
    let mut crew: Vec<Worker> = (0..workers).map(|seed| Worker::new(observer(seed as u64))).collect();
    let mut events = Vec::new();
    let mut number = 0;
    for batch in frames.chunks(batch) {
        for one in batch {
            number += 1;
            let share = steer.share(&frame(one));
            crew[share.observer].handle_frame(number, &frame(one), false);
            if let Some(other) = share.quoted.filter(|other| *other != share.observer) {
                crew[other].handle_frame(number, &frame(one), true);
            }
        }
        crew.iter_mut().for_each(|worker| worker.reach(batch.last().unwrap().0));
        events.extend(merged(&mut crew));
    }
    for worker in &mut crew {
        while worker.finish_some() {}
    }
    events.extend(merged(&mut crew));
    events.into_iter().map(|placed| placed.event).collect()
}

proptest! {
    #[test]
    fn many_observe_what_one_does(packets in prop::collection::vec(packet(), 1..120), batch in 1_usize..40) {
        let frames = frames(&packets);
        let one = observed_by_one(&frames);
        for workers in [1, 2, 3, 8] {
            prop_assert_eq!(&one, &observed_by_many(&frames, workers, batch), "{} workers", workers);
        }
    }
}

#[test]
fn both_directions_and_fragments_of_a_flow_meet() {
    let steer = Steer::new(8, 3);
    let mut used = std::collections::BTreeSet::new();
    for host in 0..100_u8 {
        let pair = |from: u8, to: u8| {
            let packet = Packet { gap: 0, from, to, port: u16::from(host), kind: Kind::Udp };
            let mut bytes = bytes(&packet);
            let whole = steer.share(&frame(&(Timestamp::ZERO, bytes.clone())));
            // A later fragment has no ports.
            bytes[7] = 1;
            assert_eq!(steer.share(&frame(&(Timestamp::ZERO, bytes))), whole);
            whole.observer
        };
        assert_eq!(pair(host, 200), pair(200, host));
        used.insert(pair(host, 200));
    }
    assert_eq!(used.len(), 8, "all have work");
}
