//! Packets in packets, fragments and checksums as the observer sees them; every frame ends as one thing.

use etherparse::PacketBuilder;

use super::*;
use crate::frame::LinkType;

struct World {
    observer: Observer,
    events: Vec<Event>,
}

impl World {
    fn new(options: Options) -> Self {
        Self { observer: Observer::new(&Limits::gateway(), options, 7), events: Vec::new() }
    }

    fn frame(&mut self, bytes: &[u8]) {
        let wire_len = u32::try_from(bytes.len()).unwrap();
        let at = Timestamp::from_secs(1);
        let frame = Frame { at, link: LinkType::RawIp, bytes, wire_len, vlan: None };
        self.observer.handle_frame(&frame, &mut self.events);
    }

    /// Ends the capture: the ports of its flows, the anomalies, and how the frames ended.
    fn finish(mut self) -> (Vec<u16>, Vec<&'static str>, [u64; 4]) {
        self.observer.finish(&mut self.events);
        let (mut ports, mut anomalies) = (Vec::new(), Vec::new());
        for event in &self.events {
            match event {
                Event::Flow { flow, what: FlowEvent::Started(_), .. } => ports.push(flow.responder.port),
                Event::Anomaly { anomaly, .. } => anomalies.push(anomaly.name),
                Event::Flow { .. } | Event::Arp { .. } => {}
            }
        }
        let counters = self.observer.counters();
        let sum = |start: &str| -> u64 {
            counters.iter().filter(|(name, _)| name.starts_with(start)).map(|(_, value)| value).sum()
        };
        let all = counters.value(Counter::Frames);
        (ports, anomalies, [all, sum("decode.decoded"), sum("decode.skip."), sum("decode.malformed.")])
    }
}

fn udp(to: u16, payload: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    PacketBuilder::ipv4([10, 0, 0, 1], [10, 0, 0, 2], 64).udp(40_000, to).write(&mut bytes, payload).unwrap();
    bytes
}

fn ip(protocol: u8, payload: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    PacketBuilder::ipv4([10, 0, 0, 3], [10, 0, 0, 4], 64)
        .write(&mut bytes, protocol.into(), payload)
        .unwrap();
    bytes
}

#[test]
fn a_tunnel_over_udp_has_a_flow_and_others_have_none() {
    let mut world = World::new(Options::default());
    let geneve = [&[0, 0, 8, 0, 0, 0, 1, 0][..], &udp(7, b"x")].concat();
    world.frame(&udp(6_081, &geneve));
    world.frame(&ip(4, &udp(8, b"x")));
    world.frame(&ip(47, &[&[0, 0, 8, 0][..], &udp(9, b"x")].concat()));
    world.frame(&ip(50, b"encrypted"));
    assert_eq!(world.observer.counters().value(Counter::Geneve), 1);
    assert_eq!(world.observer.counters().value(Counter::Gre), 1);
    assert_eq!(world.observer.counters().value(Counter::Esp), 1);
    assert_eq!(world.finish(), (vec![6_081, 7, 8, 9, 0], vec![], [4, 4, 0, 0]));
}

#[test]
fn every_frame_ends_as_one_thing() {
    let mut world = World::new(Options::default());
    let mut fragments = |id: u16, count: usize, broken: bool| {
        let payload = udp(7, &[1; 72])[20..].to_vec();
        for (piece, bytes) in payload.chunks(32).enumerate().take(count) {
            let mut bytes = ip(17, bytes);
            let place = u16::try_from(piece * 4).unwrap() | if piece < 2 { 0x2000 } else { 0 };
            bytes[4..6].copy_from_slice(&id.to_be_bytes());
            bytes[6..8].copy_from_slice(&place.to_be_bytes());
            if broken {
                bytes[9] = 6;
            }
            world.frame(&bytes);
        }
    };
    fragments(1, 3, false);
    // Half a datagram, and a whole one with a header that is none.
    fragments(2, 2, false);
    fragments(3, 3, true);
    // A fragment in a datagram that is one already.
    let mut inner = ip(17, &[0; 8]);
    inner[6] = 0x20;
    world.frame(&udp(6_081, &[&[0, 0, 8, 0, 0, 0, 1, 0][..], &inner].concat()));
    world.frame(&[0x45]);
    let malformed = vec!["decoder.tcp.hlen_too_small", "decoder.ipv4.pkt_too_small"];
    assert_eq!(world.finish(), (vec![7, 6_081], malformed, [10, 4, 2, 4]));
}

#[test]
fn packets_with_a_wrong_checksum_are_left_out_when_asked_for() {
    let mut wrong = udp(7, b"x");
    wrong[28] ^= 1;
    for (verify_checksums, expected) in
        [(true, (vec![], vec![], [1, 0, 1, 0])), (false, (vec![7], vec![], [1, 1, 0, 0]))]
    {
        let mut world = World::new(Options { verify_checksums, ..Options::default() });
        world.frame(&wrong);
        assert_eq!(world.finish(), expected);
    }
}
