//! Servers side by side: twins, strangers, successors.

use sekimori_wire::finding::{Category, Finding};

use super::*;
use crate::detect::tests::build::{Script, UDP, at, host};
use crate::limits::Limits;

const CLIENT: [u8; 6] = [2, 0, 0, 0, 0, 20];

/// What a server gives: its number, the router's, the name server's, the seconds.
#[derive(Clone, Copy)]
struct Gives(u8, u8, u8, u32);

fn v4(last: u8) -> Ipv4Addr {
    Ipv4Addr::new(192, 168, 7, last)
}

fn reply(kind: u8, id: u32, given: u8, Gives(server, router, dns, lease): Gives) -> DhcpMessage {
    DhcpMessage {
        from_originator: true,
        is_reply: true,
        id,
        client_mac: CLIENT,
        assigned_ip: Some(v4(given)),
        kind: Some(kind),
        server_id: Some(v4(server)),
        subnet_mask: Some(Ipv4Addr::new(255, 255, 255, 0)),
        routers: vec![v4(router)],
        dns_servers: vec![v4(dns)],
        lease_time: Some(lease),
        options: [53, 54, 51, 1, 3, 6].into(),
        ..DhcpMessage::default()
    }
}

fn push(script: &mut Script, ms: u64, message: DhcpMessage) {
    let server = message.server_id.unwrap().to_string();
    let flow = script.flow(UDP, (&server, 67), ("255.255.255.255", 68));
    script.push(ms, flow, FlowEvent::Transaction(Box::new(message.into())));
}

fn rogues(script: &Script) -> Vec<Finding> {
    script.run().into_iter().filter(|one| one.category == Category::DhcpRogue).collect()
}

const RIGHT: Gives = Gives(5, 1, 5, 86_400);
const ROGUE: Gives = Gives(66, 66, 66, 3_600);

#[test]
fn a_faster_stranger_that_leads_elsewhere_is_found() {
    let mut script = Script::default();
    push(&mut script, 0, reply(2, 1, 200, ROGUE));
    push(&mut script, 500, reply(2, 1, 30, RIGHT));
    push(&mut script, 600, reply(5, 1, 200, ROGUE));
    let found = rogues(&script);
    assert_eq!(found.len(), 1, "{found:#?}");
    assert_eq!((found[0].originator, found[0].severity.level()), (host("192.168.7.66"), 3));
    assert_eq!(found[0].count, 2);
}

#[test]
fn the_newcomer_is_the_rogue_even_if_it_is_slower() {
    let mut script = Script::default();
    push(&mut script, 0, reply(5, 9, 30, RIGHT));
    push(&mut script, 600_000, reply(2, 1, 30, RIGHT));
    push(&mut script, 600_100, reply(2, 1, 200, ROGUE));
    assert_eq!(rogues(&script)[0].originator, host("192.168.7.66"));
}

#[test]
fn servers_by_turns_are_found_and_a_successor_is_not() {
    let mut script = Script::default();
    push(&mut script, 0, reply(5, 1, 30, RIGHT));
    push(&mut script, 600_000, reply(5, 2, 200, ROGUE));
    script.quiet();
    push(&mut script, 900_000, reply(5, 3, 31, RIGHT));
    assert_eq!(rogues(&script)[0].originator, host("192.168.7.66"));
}

#[test]
fn twins_relays_and_network_boot_are_silent() {
    let mut script = Script::default();
    // A failover pair: one lends for a shorter time while its partner is away.
    push(&mut script, 0, reply(2, 1, 30, RIGHT));
    push(&mut script, 5, reply(2, 1, 130, Gives(6, 1, 5, 1_800)));
    // A boot server offers no address, or says that it is one.
    let mut boot = reply(2, 1, 0, ROGUE);
    boot.assigned_ip = Some(Ipv4Addr::UNSPECIFIED);
    push(&mut script, 6, boot);
    let mut boot = reply(2, 1, 99, ROGUE);
    boot.vendor_class = Some((*b"PXEClient").into());
    push(&mut script, 7, boot);
    // Other networks behind relays have other routers.
    for (nth, relay) in [(0_u64, 10_u8), (1, 20), (2, 10), (3, 20)] {
        let mut one = reply(5, 50 + u32::try_from(nth).unwrap(), 40 + relay, Gives(relay, relay, relay, 60));
        one.relay_ip = Some(Ipv4Addr::new(10, 0, relay, 1));
        push(&mut script, 1_000 + nth, one);
    }
    script.quiet();
}

#[test]
fn a_stranger_with_the_same_settings_and_another_manner_is_of_less_weight() {
    let mut script = Script::default();
    push(&mut script, 0, reply(2, 1, 30, RIGHT));
    let mut other = reply(2, 1, 130, Gives(66, 1, 5, 600));
    other.options = [53, 54, 51, 58, 59, 1, 28, 3, 6].into();
    push(&mut script, 5, other);
    assert_eq!(rogues(&script)[0].severity.level(), 2);
}

#[test]
fn a_flood_of_offers_is_bounded_and_counted() {
    let limits = Limits { detector_entries: 16, ..Limits::gateway() };
    let setup = Setup { limits: &limits, seed: 1, user_key: &[0; 32] };
    let (mut detector, mut out) = (DhcpRogue::new(&setup), Findings::new(&limits, 1));
    let (policy, mut script) = (Policy::default_private(), Script::default());
    let flow = script.flow(UDP, ("192.168.7.66", 67), ("255.255.255.255", 68));
    for nth in 0..2_000_u32 {
        let gives = Gives(u8::try_from(nth % 250).unwrap(), 1, 1, 60);
        detector.on_reply(at(nth.into()), &flow, &reply(2, nth, 30, gives), (&policy, &mut out));
    }
    assert!(detector.offers.len() <= 16 && detector.known.len() <= 16);
    assert!(detector.take_evicted() > 1_900);
}
