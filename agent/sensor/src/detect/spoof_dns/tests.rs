//! Answers that contradict, guess, or come from one who knows every name.

use sekimori_wire::finding::{Category, Finding};

use super::*;
use crate::detect::tests::build::{Script, UDP, at, host};
use crate::event::dns::{Rdata, Resource};
use crate::limits::Limits;

const CLIENT: (&str, u16) = ("192.168.7.20", 40_000);
const SERVER: (&str, u16) = ("198.51.100.53", 53);
const ROUTER: [u8; 6] = [2, 0, 0, 0, 0, 1];
const FORGER: [u8; 6] = [2, 0, 0, 0, 0, 66];

fn query(id: u16, name: &str) -> Dns {
    Dns {
        application: Application::Dns,
        from_originator: true,
        qtype: 1,
        qname: name.into(),
        id,
        frame: Some([[2, 0, 0, 0, 0, 20], ROUTER]),
        hops_left: 64,
        ..Dns::default()
    }
}

fn answer(id: u16, name: &str, addresses: &[&str], (mac, hops_left): ([u8; 6], u8)) -> Dns {
    let record = |address: &&str| Resource {
        name: name.into(),
        rtype: 1,
        class: 1,
        ttl: 60,
        data: Rdata::Address(address.parse().unwrap()),
    };
    Dns {
        from_originator: false,
        is_response: true,
        answer_records: addresses.iter().map(record).collect(),
        frame: Some([mac, [2, 0, 0, 0, 0, 20]]),
        hops_left,
        ..query(id, name)
    }
}

/// Messages of one flow, at so many milliseconds.
fn talk(script: &mut Script, messages: &[(u64, Dns)]) {
    let flow = script.flow(UDP, CLIENT, SERVER);
    for (ms, dns) in messages {
        script.push(*ms, flow, FlowEvent::Dns(Box::new(dns.clone())));
    }
}

fn spoofs(script: &Script) -> Vec<Finding> {
    script.run().into_iter().filter(|one| one.category == Category::SpoofDns).collect()
}

#[test]
fn two_answers_to_one_query_betray_the_faster_one() {
    let mut script = Script::default();
    for (nth, name) in [(0, "www.example"), (1, "mail.example"), (2, "bank.example")] {
        let (start, id) = (u64::from(nth) * 1_000, 7 + nth);
        let forged = answer(id, name, &["192.168.7.66"], (FORGER, 64));
        let real = answer(id, name, &["203.0.113.5", "203.0.113.6"], (ROUTER, 52));
        talk(&mut script, &[(start, query(id, name)), (start + 2, forged), (start + 30, real)]);
    }
    let found = spoofs(&script);
    assert_eq!(found.len(), 1, "{found:#?}");
    assert_eq!((found[0].originator, found[0].count), (Some(Host::Mac(FORGER)), 3));
    assert_eq!((found[0].responder, found[0].severity.level()), (host(CLIENT.0), 3));
}

#[test]
fn a_forger_on_the_path_is_known_by_his_distance() {
    let mut script = Script::default();
    let real = answer(9, "www.example", &["203.0.113.5"], (ROUTER, 51));
    let forged = answer(9, "www.example", &["203.0.113.66"], (ROUTER, 64));
    talk(&mut script, &[(0, query(9, "www.example")), (30, real), (45, forged)]);
    assert_eq!(spoofs(&script)[0].originator, Some(Host::Mac(ROUTER)));
}

#[test]
fn asking_twice_may_be_answered_twice() {
    let mut script = Script::default();
    let one = |address| answer(5, "cdn.example", &[address], (ROUTER, 52));
    talk(
        &mut script,
        &[
            (0, query(5, "cdn.example")),
            (1_000, query(5, "cdn.example")),
            (1_010, one("203.0.113.5")),
            (1_020, one("203.0.113.9")),
        ],
    );
    script.quiet();
}

#[test]
fn repeated_rotated_and_empty_answers_do_not_contradict() {
    let mut script = Script::default();
    let full = answer(5, "cdn.example", &["203.0.113.5", "203.0.113.6"], (ROUTER, 52));
    let turned = answer(5, "cdn.example", &["203.0.113.6", "203.0.113.5"], (ROUTER, 52));
    let mut failed = answer(5, "cdn.example", &[], (ROUTER, 52));
    failed.rcode = 2;
    let messages = [(0, query(5, "cdn.example")), (9, full.clone()), (10, full), (11, turned), (12, failed)];
    talk(&mut script, &messages);
    // Another server's other answer.
    let flow = script.flow(UDP, CLIENT, ("198.51.100.54", 53));
    script.push(3, flow, FlowEvent::Dns(Box::new(query(5, "cdn.example"))));
    let other = answer(5, "cdn.example", &["192.0.2.8"], (ROUTER, 52));
    script.push(20, flow, FlowEvent::Dns(Box::new(other)));
    script.quiet();
}

#[test]
fn guessed_identifiers_are_found_and_lost_queries_are_not() {
    let mut script = Script::default();
    let mut messages = vec![(0, query(1, "www.example"))];
    messages.extend((0..40).map(|nth| {
        let id = u16::try_from(100 + nth).unwrap();
        (1 + nth, answer(id, "www.example", &["203.0.113.66"], (ROUTER, 52)))
    }));
    talk(&mut script, &messages);
    assert_eq!(spoofs(&script).len(), 1);
    let mut one_way = Script::default();
    talk(&mut one_way, &messages[1..]);
    one_way.quiet();
}

#[test]
fn who_knows_every_name_is_found_and_who_knows_its_own_is_not() {
    let answers = |script: &mut Script, host: &str, names: &[&str]| {
        for (nth, name) in (0_u64..).zip(names) {
            let flow = script.flow(UDP, (host, 5_355), ("192.168.7.20", 50_000));
            let mut dns = answer(3, name, &[host], (FORGER, 64));
            (dns.application, dns.from_originator) = (Application::Llmnr, true);
            script.push(nth * 20_000, flow, FlowEvent::Dns(Box::new(dns)));
        }
    };
    let mut script = Script::default();
    answers(&mut script, "192.168.7.5", &["filesrv", "filesrv", "city", "filesrv", "filesrv", "filesrv"]);
    script.quiet();
    answers(&mut script, "192.168.7.66", &["wpad", "fielsrv", "printr1", "qpzxv", "intranett", "wpad"]);
    let found = spoofs(&script);
    assert_eq!(found.len(), 1, "{found:#?}");
    assert_eq!((found[0].originator, found[0].count), (host("192.168.7.66"), 6));
}

#[test]
fn a_flood_of_names_is_bounded_and_counted() {
    let limits = Limits { detector_entries: 64, ..Limits::gateway() };
    let setup = Setup { limits: &limits, seed: 1, user_key: &[0; 32] };
    let (mut detector, mut script) = (SpoofDns::new(&setup), Script::default());
    let flow = script.flow(UDP, CLIENT, SERVER);
    for nth in 0..5_000_u16 {
        detector.on_query(at(nth.into()), &flow, &query(nth, &format!("n{nth}.example")));
    }
    assert!(detector.asked.len() <= 64);
    assert!(detector.take_evicted() > 4_000);
    detector.on_query(at(3_600_000), &flow, &query(1, "late.example"));
    assert_eq!((detector.asked.len(), detector.take_evicted()), (1, 0), "age is no loss");
}
