//! Who claims whose address, and how.

use core::net::{IpAddr, Ipv4Addr};

use sekimori_wire::finding::{Category, Finding};
use sekimori_wire::id::Host;

use super::*;
use crate::detect::tests::build::{Script, at};
use crate::limits::Limits;

const GATEWAY: Mac = [2, 0, 0, 0, 0, 1];
const VICTIM: Mac = [2, 0, 0, 0, 0, 20];
const FORGER: Mac = [2, 0, 0, 0, 0, 66];
const ALL: Mac = [0xff; 6];

fn v4(last: u8) -> Ipv4Addr {
    Ipv4Addr::new(192, 168, 7, last)
}

/// Somebody says where `sender` is.
fn say(operation: u16, (mac, sender): (Mac, u8), (to, target): (Mac, u8)) -> Arp {
    let frame = Some([mac, to]);
    let target_mac = if operation == 2 { to } else { [0; 6] };
    Arp { operation, sender_mac: mac, sender_ip: v4(sender), target_mac, target_ip: v4(target), frame }
}

/// Somebody asks and is answered.
fn resolve(script: &mut Script, ms: u64, asker: (Mac, u8), owner: (Mac, u8)) {
    script.arp_packet(ms, say(1, asker, (ALL, owner.1)));
    script.arp_packet(ms + 1, say(2, owner, asker));
}

fn spoofs(script: &Script) -> Vec<Finding> {
    script.run().into_iter().filter(|one| one.category == Category::SpoofArp).collect()
}

#[test]
fn one_address_claimed_again_and_again_to_one_host() {
    let mut script = Script::default();
    resolve(&mut script, 0, (VICTIM, 20), (GATEWAY, 1));
    resolve(&mut script, 10, (FORGER, 66), (VICTIM, 20));
    for nth in 0..50 {
        script.arp_packet(5_000 + nth * 2_000, say(2, (FORGER, 1), (VICTIM, 20)));
    }
    let found = spoofs(&script);
    assert_eq!(found.len(), 1, "{found:#?}");
    assert_eq!(found[0].originator, Some(Host::Ip(IpAddr::V4(v4(66)))), "its own address is known");
    assert_eq!((found[0].severity.level(), found[0].count), (3, 50));
    let targets: Vec<&str> = found[0].targets.iter().map(|one| &**one).collect();
    assert_eq!(targets, ["192.168.7.1", "02:00:00:00:00:01", "192.168.7.20"]);
}

#[test]
fn both_ends_are_told_though_nothing_was_heard_before() {
    let mut script = Script::default();
    script.arp_packet(0, say(2, (FORGER, 1), (VICTIM, 20)));
    script.arp_packet(20, say(2, (FORGER, 20), (GATEWAY, 1)));
    let found = spoofs(&script);
    assert_eq!(found.len(), 1, "{found:#?}");
    assert_eq!((found[0].originator, found[0].severity.level()), (Some(Host::Mac(FORGER)), 3));
}

#[test]
fn a_failover_and_its_return_are_silent() {
    let other: Mac = [2, 0, 0, 0, 0, 2];
    let mut script = Script::default();
    resolve(&mut script, 0, (VICTIM, 20), (GATEWAY, 1));
    for (start, mac) in [(60_000, other), (120_000, GATEWAY)] {
        for nth in 0..5 {
            script.arp_packet(start + nth, say(1, (mac, 1), (ALL, 1)));
            // Some clusters tell each neighbour as well.
            script.arp_packet(start + 100 + nth, say(2, (mac, 1), (VICTIM, 20 + u8::try_from(nth).unwrap())));
        }
        resolve(&mut script, start + 2_000, (VICTIM, 20), (mac, 1));
    }
    script.quiet();
}

#[test]
fn virtual_routers_and_new_leases_are_silent() {
    let mut script = Script::default();
    let virtual_mac = [0, 0, 0x5e, 0, 1, 7];
    resolve(&mut script, 0, (VICTIM, 20), (GATEWAY, 1));
    for nth in 0..100 {
        script.arp_packet(1_000 * nth, say(2, (virtual_mac, 1), (VICTIM, 20)));
    }
    // An address goes to another computer after an hour.
    script.arp_packet(1_000, say(1, ([2, 0, 0, 0, 1, 1], 50), (ALL, 50)));
    for nth in 0..20 {
        resolve(&mut script, 3_600_000 + nth * 500, ([2, 0, 0, 0, 1, 2], 50), (GATEWAY, 1));
    }
    script.quiet();
}

#[test]
fn an_address_given_out_twice_is_a_notice() {
    let mut script = Script::default();
    for nth in 0..20_u64 {
        let mac = if nth % 2 == 0 { VICTIM } else { FORGER };
        resolve(&mut script, nth * 5_000, (mac, 20), (GATEWAY, 1));
    }
    let found = spoofs(&script);
    assert_eq!(found.iter().map(|one| one.severity.level()).collect::<Vec<_>>(), [1], "{found:#?}");
}

#[test]
fn who_announces_an_address_that_is_in_use_is_found() {
    let mut script = Script::default();
    for nth in 0..30_u64 {
        resolve(&mut script, nth * 10_000, (VICTIM, 20), (GATEWAY, 1));
        for again in 1..4 {
            script.arp_packet(nth * 10_000 + again * 2_000, say(2, (FORGER, 1), (ALL, 1)));
        }
    }
    assert_eq!(spoofs(&script).iter().map(|one| one.severity.level()).max(), Some(3));
}

#[test]
fn the_way_out_goes_to_whoever_claimed_an_address() {
    let mut script = Script::default();
    let mut visit = |ms: u64, mac: Mac, port: u16| {
        let flow = script.flow(6, ("192.168.7.20", port), ("203.0.113.5", 443));
        let mut record = FlowRecord { start: at(ms), end: at(ms + 50), ..FlowRecord::default() };
        record.conduct.responder.mac = Some(mac);
        script.push(ms, flow, FlowEvent::Started(crate::event::First::Syn));
        script.push(ms + 200_000, flow, FlowEvent::Ended(Box::new(record)));
    };
    visit(0, GATEWAY, 40_000);
    visit(9_000, FORGER, 40_001);
    script.arp_packet(8_000, say(2, (FORGER, 1), (VICTIM, 20)));
    let found = spoofs(&script);
    assert_eq!(found.len(), 1, "{found:#?}");
    assert_eq!(found[0].originator, Some(Host::Mac(FORGER)));
}

#[test]
fn a_flood_of_strangers_is_bounded_and_counted() {
    let limits = Limits { detector_entries: 64, ..Limits::gateway() };
    let setup = Setup { limits: &limits, seed: 1, user_key: &[0; 32] };
    let (mut detector, mut out) = (SpoofArp::new(&setup), Findings::new(&limits, 1));
    let policy = Policy::default_private();
    for nth in 0..10_000_u16 {
        let [high, low] = nth.to_be_bytes();
        let mac = [2, 9, 9, 9, high, low];
        let mut arp = say(2, (mac, 1), (VICTIM, 20));
        arp.sender_ip = Ipv4Addr::new(10, 1, high, low);
        detector.on_arp(at(nth.into()), None, &arp, (&policy, &mut out));
        arp.operation = 1;
        detector.on_arp(at(nth.into()), None, &arp, (&policy, &mut out));
    }
    assert!(detector.addresses.len() <= 64 && detector.actors.len() <= 64 && detector.asked.len() <= 64);
    assert!(detector.take_evicted() > 9_900);
}
