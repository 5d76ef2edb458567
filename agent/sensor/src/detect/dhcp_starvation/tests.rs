//! Clients that cannot exist, and mornings at the office.

use core::net::Ipv4Addr;

use sekimori_wire::finding::{Category, Finding};

use super::*;
use crate::detect::tests::build::{Script, UDP, at, host};
use crate::limits::Limits;

fn discover(id: u32, from: [u8; 6], client: [u8; 6], name: Option<&str>) -> DhcpMessage {
    DhcpMessage {
        from_originator: true,
        id,
        client_mac: client,
        kind: Some(DISCOVER),
        host_name: name.map(|name| name.as_bytes().into()),
        frame: Some([from, [0xff; 6]]),
        ..DhcpMessage::default()
    }
}

fn push(script: &mut Script, ms: u64, message: DhcpMessage) {
    let (from, to) = if message.is_reply {
        (("192.168.7.5", 67), ("255.255.255.255", 68))
    } else {
        (("0.0.0.0", 68), ("255.255.255.255", 67))
    };
    let flow = script.flow(UDP, from, to);
    script.push(ms, flow, FlowEvent::Transaction(Box::new(message.into())));
}

fn offer(id: u32) -> DhcpMessage {
    let server = Some(Ipv4Addr::new(192, 168, 7, 5));
    DhcpMessage {
        from_originator: true,
        is_reply: true,
        id,
        kind: Some(2),
        server_id: server,
        ..DhcpMessage::default()
    }
}

/// Addresses that look drawn, of stations.
fn drawn(nth: u32) -> [u8; 6] {
    let [a, b, c, d] = nth.wrapping_mul(0x9e37_79b9).to_be_bytes();
    [a & 0xfe, b, c, d, a, b]
}

fn starved(script: &Script) -> Vec<Finding> {
    script.run().into_iter().filter(|one| one.category == Category::DhcpStarvation).collect()
}

#[test]
fn clients_named_in_the_frames_of_others_are_found() {
    let mut script = Script::default();
    for nth in 1..60_u32 {
        push(&mut script, u64::from(nth) * 1_500, discover(nth, drawn(nth), drawn(nth + 5_000), None));
        push(&mut script, u64::from(nth) * 1_500 + 9, offer(nth));
    }
    let found = starved(&script);
    assert_eq!(found.len(), 1, "{found:#?}");
    assert_eq!((found[0].originator, found[0].responder), (None, host("192.168.7.5")));
    assert_eq!((found[0].severity.level(), found[0].count), (2, 59));
}

#[test]
fn one_device_that_speaks_for_many_is_named() {
    let device = [2, 0, 0, 0, 0, 66];
    let mut script = Script::default();
    for nth in 1..60_u32 {
        push(&mut script, u64::from(nth) * 100, discover(nth, device, drawn(nth), None));
    }
    assert_eq!(starved(&script)[0].originator, Some(Host::Mac(device)));
    let mut bridge = Script::default();
    for nth in 1..25_u32 {
        push(&mut bridge, u64::from(nth) * 100, discover(nth, device, drawn(nth), Some("phone")));
    }
    bridge.quiet();
}

#[test]
fn drawn_addresses_at_speed_are_found_and_group_addresses_at_once() {
    let mut script = Script::default();
    for nth in 1..150_u32 {
        push(&mut script, u64::from(nth) * 10, discover(nth, drawn(nth), drawn(nth), None));
    }
    assert_eq!(starved(&script).len(), 1);
    let mut group = Script::default();
    for nth in 1..9_u32 {
        let mut client = drawn(nth);
        client[0] |= 1;
        push(&mut group, u64::from(nth) * 10_000, discover(nth, client, client, None));
    }
    assert_eq!(starved(&group).len(), 1);
}

#[test]
fn a_single_sender_at_speed_is_found_and_a_lonely_client_is_not() {
    let client = [2, 0, 0, 0, 0, 9];
    let mut script = Script::default();
    for nth in 0..500_u32 {
        push(&mut script, u64::from(nth) / 10, discover(nth, client, client, None));
    }
    assert_eq!(starved(&script)[0].originator, Some(Host::Mac(client)));
    let mut lonely = Script::default();
    for nth in 0..200_u32 {
        push(&mut lonely, u64::from(nth) * 4_000, discover(nth, client, client, Some("pc")));
    }
    lonely.quiet();
}

#[test]
fn a_morning_and_a_relay_are_silent() {
    let mut script = Script::default();
    for nth in 0..240_u8 {
        // Two makers; each says its name; all within two minutes.
        let client = [0, 0x1b, nth % 2, 1, 2, nth];
        let id = u32::from(nth);
        push(&mut script, u64::from(nth) * 400, discover(id, client, client, Some("pc")));
        let mut request = discover(id, client, client, Some("pc"));
        request.kind = Some(REQUEST);
        push(&mut script, u64::from(nth) * 400 + 50, request);
    }
    for nth in 1..500_u32 {
        let mut relayed = discover(nth, [2, 0, 0, 0, 0, 1], drawn(nth), None);
        relayed.relay_ip = Some(Ipv4Addr::new(10, 0, 1, 1));
        push(&mut script, u64::from(nth) * 10, relayed);
    }
    script.quiet();
}

#[test]
fn a_flood_of_senders_is_bounded_and_counted() {
    let limits = Limits { detector_entries: 16, ..Limits::gateway() };
    let setup = Setup { limits: &limits, seed: 1, user_key: &[0; 32] };
    let (mut detector, mut out) = (DhcpStarvation::new(&setup), Findings::new(&limits, 1));
    let (policy, mut script) = (Policy::default_private(), Script::default());
    let flow = script.flow(UDP, ("0.0.0.0", 68), ("255.255.255.255", 67));
    for nth in 0..3_000_u32 {
        let message = discover(nth, drawn(nth), drawn(nth), Some("pc"));
        detector.on_request(at(u64::from(nth) * 1_000), &flow, &message, (&policy, &mut out));
    }
    assert!(detector.senders.len() <= 16 && detector.networks.len() <= 16);
    assert!(detector.take_evicted() > 2_900);
}
