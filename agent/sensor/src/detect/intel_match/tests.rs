//! Contacts with what is listed: found, named once, and not exaggerated.

use std::sync::Arc;

use sekimori_wire::finding::Finding;

use crate::detect::{Detectors, Findings, Setup};
use crate::event::dns::{Rdata, Resource};
use crate::event::*;
use crate::intel::{Builder, Feed, Indicator, Intel, Kind};
use crate::limits::Limits;
use crate::segment::Policy;
use sekimori_wire::time::Timestamp;
use std::time::Duration;

const CLIENT: &str = "192.168.1.20";
const LISTED: &str = "198.51.100.7";

fn intel(rows: &[(Kind, &str, &str, u8)]) -> Arc<Intel> {
    let mut builder = Builder::new();
    for (kind, value, feed, confidence) in rows {
        let feed = builder.feed(Feed::named(feed)).unwrap();
        let (kind, confidence) = (*kind, *confidence);
        builder.add(feed, &Indicator { kind, value, confidence, expires: None, note: "note" }).unwrap();
    }
    Arc::new(builder.build())
}

struct Play {
    detectors: Detectors,
    findings: Findings,
    flows: u64,
    ms: u64,
}

impl Play {
    fn new(intel: Arc<Intel>) -> Self {
        let mut limits = Limits::gateway();
        limits.detector_entries = 128;
        let setup = Setup { limits: &limits, seed: 1, user_key: &[7; 32] };
        let mut detectors = Detectors::new(&setup);
        detectors.set_intel(intel);
        Self { detectors, findings: Findings::new(&limits, 1), flows: 0, ms: 0 }
    }

    fn at(&self) -> Timestamp {
        Timestamp::from_secs(1_700_000_000).plus(Duration::from_millis(self.ms))
    }

    fn flow(&mut self, from: &str, to: &str, port: u16) -> FlowRef {
        self.flows += 1;
        let end = |address: &str, port| Endpoint { address: address.parse().unwrap(), port };
        FlowRef {
            id: self.flows,
            began: self.at(),
            originator: end(from, 40_000),
            responder: end(to, port),
            protocol: 6,
            vlan: None,
            swapped: false,
        }
    }

    fn show(&mut self, flow: FlowRef, what: FlowEvent) {
        self.ms += 10;
        let event = Event::Flow { at: self.at(), flow, what };
        self.detectors.on_event(&event, &Policy::default_private(), &mut self.findings);
    }

    fn connect(&mut self, from: &str, to: &str) -> FlowRef {
        let flow = self.flow(from, to, 443);
        self.show(flow, FlowEvent::Started(First::Syn));
        flow
    }

    fn tls(&mut self, from: &str, to: &str, name: &str) {
        let flow = self.connect(from, to);
        let hello = ClientHello { server_name: Some(name.into()), ..ClientHello::default() };
        self.show(flow, FlowEvent::Tls(Box::new(hello)));
    }

    fn query(&mut self, from: &str, to: &str, name: &str) -> FlowRef {
        let flow = self.flow(from, to, 53);
        let dns = Dns { from_originator: true, qname: name.into(), ..Dns::default() };
        self.show(flow, FlowEvent::Dns(Box::new(dns)));
        flow
    }

    fn answer(&mut self, flow: FlowRef, name: &str, data: Rdata) {
        let rtype = if matches!(data, Rdata::Name(_)) { 5 } else { 1 };
        let record = Resource { name: name.into(), rtype, class: 1, ttl: 60, data };
        let dns =
            Dns { is_response: true, qname: name.into(), answer_records: [record].into(), ..Dns::default() };
        self.show(flow, FlowEvent::Dns(Box::new(dns)));
    }

    fn ended(mut self) -> Vec<Finding> {
        self.detectors.finish(&Policy::default_private(), &mut self.findings);
        self.findings.finish();
        let mut last: Vec<Finding> = Vec::new();
        for finding in self.findings.take_ready() {
            if finding.category.as_str() != "intel.match" {
                continue;
            }
            match last.iter_mut().find(|one| one.id == finding.id) {
                Some(one) => *one = finding,
                None => last.push(finding),
            }
        }
        last
    }
}

/// Severity, originator, responder and value of each finding.
fn told(findings: &[Finding]) -> Vec<(u8, String, Option<String>, &str)> {
    let text = |host: Option<sekimori_wire::id::Host>| host.map(|host| host.to_string());
    let one = |finding: &'_ Finding| (text(finding.originator).unwrap_or_default(), text(finding.responder));
    findings
        .iter()
        .map(|finding| {
            let (from, to) = one(finding);
            (finding.severity.level(), from, to, finding.targets[0].as_str())
        })
        .collect()
}

#[test]
fn a_listed_address_is_found_once_for_each_host() {
    let mut play = Play::new(intel(&[(Kind::Address, LISTED, "a", 80)]));
    for _ in 0..3 {
        play.connect(CLIENT, LISTED);
    }
    play.connect("192.168.1.21", LISTED);
    play.connect(CLIENT, "198.51.100.8");
    let findings = play.ended();
    let expect = |host: &str| (3, host.to_owned(), Some(LISTED.to_owned()), LISTED);
    assert_eq!(told(&findings), [expect(CLIENT), expect("192.168.1.21")]);
    assert_eq!(findings[0].count, 3);
    assert!(findings.iter().all(|one| one.evidence.inputs.len() >= 6 && !one.explanation.ja.is_empty()));
}

#[test]
fn confidence_and_the_feed_bound_the_severity() {
    for (confidence, expect) in [(100, 3), (70, 3), (69, 2), (50, 2), (49, 1), (0, 1)] {
        let mut play = Play::new(intel(&[(Kind::Domain, "evil.example", "a", confidence)]));
        play.query(CLIENT, "192.0.2.53", "www.evil.example");
        let findings = play.ended();
        assert_eq!(findings[0].severity.level(), expect, "{confidence}");
        assert_eq!(findings[0].responder, None, "the resolver is not what is listed");
    }
}

#[test]
fn a_name_that_is_not_listed_outranks_an_address_that_many_share() {
    let rows = [(Kind::Address, LISTED, "a", 80)];
    let mut play = Play::new(intel(&rows));
    for name in ["www.one.example", "www.two.example"] {
        let flow = play.query(CLIENT, "192.0.2.53", name);
        play.answer(flow, name, Rdata::Address(LISTED.parse().unwrap()));
    }
    play.tls(CLIENT, LISTED, "www.two.example");
    let findings = play.ended();
    assert_eq!(told(&findings), [(1, CLIENT.to_owned(), Some(LISTED.to_owned()), LISTED)]);
    assert!(findings[0].explanation.en.contains("www.two.example"));
    // One name only: nobody shares the address. A listed name: the address confirms it.
    let mut play = Play::new(intel(&rows));
    play.tls(CLIENT, LISTED, "www.one.example");
    assert_eq!(play.ended()[0].severity.level(), 3);
    let mut play = Play::new(intel(&[rows[0], (Kind::Domain, "two.example", "a", 80)]));
    play.tls("192.168.1.99", LISTED, "www.one.example");
    play.tls(CLIENT, LISTED, "www.two.example");
    let of_client = play.ended().into_iter().filter(|one| one.originator == CLIENT.parse().ok());
    assert_eq!(of_client.map(|one| one.severity.level()).collect::<Vec<_>>(), [3, 3]);
}

#[test]
fn a_contact_without_a_name_raises_what_a_name_had_lowered() {
    let mut play = Play::new(intel(&[(Kind::Address, LISTED, "a", 80)]));
    play.tls("192.168.1.9", LISTED, "www.one.example");
    play.tls(CLIENT, LISTED, "www.two.example");
    let flow = play.connect(CLIENT, LISTED);
    play.show(flow, FlowEvent::Ended(Box::default()));
    let findings = play.ended();
    let own: Vec<_> = findings.iter().filter(|one| one.originator == CLIENT.parse().ok()).collect();
    assert_eq!((own.len(), own[0].severity.level()), (1, 3));
    assert!(!own[0].evidence.inputs.contains_key(&"lowered".into()));
}

#[test]
fn one_feed_is_not_enough_for_a_shared_service() {
    let resolver = "9.9.9.9";
    let mut play = Play::new(intel(&[(Kind::Address, resolver, "a", 90)]));
    play.connect(CLIENT, resolver);
    assert_eq!(play.ended()[0].severity.level(), 1);
    let mut play =
        Play::new(intel(&[(Kind::Address, resolver, "a", 90), (Kind::Address, resolver, "b", 60)]));
    play.connect(CLIENT, resolver);
    assert_eq!(play.ended()[0].severity.level(), 3);
}

#[test]
fn listed_callers_are_notes_and_a_flood_of_them_is_bounded() {
    let mut play = Play::new(intel(&[
        (Kind::Address, "203.0.113.0/24", "a", 90),
        (Kind::Address, "45.0.0.0/8", "a", 90),
    ]));
    let flow = play.connect("203.0.113.9", CLIENT);
    play.show(flow, FlowEvent::Answered);
    let findings = play.ended();
    assert_eq!(told(&findings), [(1, "203.0.113.9".to_owned(), Some(CLIENT.to_owned()), "203.0.113.0/24")]);
    let mut play = Play::new(intel(&[(Kind::Address, "45.0.0.0/8", "a", 90)]));
    for n in 0..1_000_u32 {
        play.connect(&format!("45.1.{}.{}", n / 250, n % 250), CLIENT);
    }
    assert!(play.detectors.intel_match_evicted() > 900);
    let findings = play.ended();
    assert!(findings.len() <= 64 && findings.iter().all(|one| one.severity.level() == 0));
}

#[test]
fn a_resolver_is_not_blamed_for_the_question_it_passes_on() {
    let mut play = Play::new(intel(&[(Kind::Domain, "evil.example", "a", 80)]));
    let asked = play.query("192.168.1.77", "192.168.1.53", "www.city.example");
    play.answer(asked, "www.city.example", Rdata::Address(LISTED.parse().unwrap()));
    play.query(CLIENT, "192.168.1.53", "evil.example");
    play.query("192.168.1.53", "192.0.2.1", "evil.example");
    let findings = play.ended();
    assert_eq!(told(&findings), [(3, CLIENT.to_owned(), None, "evil.example")]);
}

#[test]
fn names_are_seen_wherever_they_are_said() {
    let rows = [
        (Kind::Domain, "evil.example", "a", 80),
        (Kind::Url, "http://files.example.net/kit.zip?v=2", "a", 80),
        (Kind::Url, "http://files.example.net/other", "a", 80),
        (Kind::Path, "/Exploit.class", "a", 80),
        (Kind::Ja4, "t13d1516h2_8daaf6152771_e5627efa2ab1", "a", 80),
        (Kind::Certificate, "abababababababababababababababababababababababababababababababab", "a", 80),
    ];
    let check = |kind: &str, severity: u8, what: FlowEvent| {
        let mut play = Play::new(intel(&rows));
        let flow = play.flow(CLIENT, LISTED, 80);
        play.show(flow, what.clone());
        play.show(flow, what);
        let findings = play.ended();
        assert_eq!(findings.len(), 1, "{kind}: {findings:#?}");
        assert_eq!(findings[0].evidence.inputs[&"type".into()], kind.into());
        assert_eq!((findings[0].severity.level(), findings[0].count), (severity, 2), "{kind}");
    };
    let request = |host: &str, path: &str| {
        let request = HttpRequest { host: Some(host.into()), path: path.into(), ..HttpRequest::default() };
        FlowEvent::HttpRequest(Box::new(request))
    };
    check("domain", 3, request("www.evil.example", "/"));
    check("url", 3, request("files.example.net", "/other"));
    check("url_path", 2, request("files.example.org", "/Exploit.class"));
    let hello = ClientHello { ja4: "t13d1516h2_8daaf6152771_e5627efa2ab1".into(), ..ClientHello::default() };
    check("ja4", 2, FlowEvent::Tls(Box::new(hello)));
    let hello =
        QuicHello { is_client: true, server_name: Some("Evil.example".into()), ..QuicHello::default() };
    check("domain", 3, FlowEvent::Transaction(Box::new(hello.into())));
    let certificate = Certificate { sha1: [0; 20], sha256: [0xab; 32], content: None };
    let tls = TlsConnection {
        client_is_originator: true,
        server_chain: [certificate].into(),
        ..TlsConnection::default()
    };
    check("cert_sha256", 3, FlowEvent::Transaction(Box::new(tls.into())));
    let fields = [http::Field { name: "Host".into(), value: "files.example.net:8080".into() }].into();
    let request = http::Request { target: "/kit.zip?v=2".into(), fields, ..http::Request::default() };
    let exchange = HttpExchange { request: Some(request), ..HttpExchange::default() };
    check("url", 3, FlowEvent::Transaction(Box::new(exchange.into())));
}

#[test]
fn a_canonical_name_leads_to_a_listed_one() {
    let mut play = Play::new(intel(&[(Kind::Domain, "evil.example", "a", 80)]));
    let flow = play.query(CLIENT, "192.0.2.53", "www.city.example");
    play.answer(flow, "www.city.example", Rdata::Name("Edge.Evil.example".into()));
    assert_eq!(told(&play.ended()), [(3, CLIENT.to_owned(), None, "evil.example")]);
}

#[test]
fn strangers_fill_no_table_without_its_being_counted() {
    let mut play = Play::new(intel(&[(Kind::Address, "45.0.0.0/8", "a", 80)]));
    for n in 0..2_000_u32 {
        play.connect(CLIENT, &format!("45.9.{}.{}", n / 250, n % 250));
    }
    // One prefix is one indicator: the host has one finding, and the others only waited.
    let findings = play.ended();
    assert_eq!((findings.len(), findings[0].count), (1, 2_000));
    assert!(findings[0].targets.len() <= 32 && findings[0].responder.is_none());
    let mut play = Play::new(intel(&[(Kind::Domain, "evil.example", "a", 80)]));
    for n in 0..1_000_u32 {
        play.query(&format!("10.0.{}.{}", n / 250, n % 250), "192.0.2.53", "evil.example");
    }
    assert!(play.detectors.intel_match_evicted() >= 1_000 - 128);
}

#[test]
fn other_lists_in_force_lose_nothing_of_what_is_still_listed() {
    let before = intel(&[(Kind::Address, LISTED, "a", 80), (Kind::Domain, "old.example", "a", 80)]);
    let more: Vec<String> = (0..200).map(|n| format!("203.0.113.{n}")).collect();
    let more = more.iter().map(|value| (Kind::Address, value.as_str(), "b", 60));
    let rows: Vec<_> = more.chain([(Kind::Address, LISTED, "a", 80)]).collect();
    let after = intel(&rows);
    let place = |intel: &Intel| intel.address(LISTED.parse().unwrap(), Timestamp::ZERO).unwrap().place;
    assert_ne!(place(&before), place(&after), "or this shows nothing");

    let mut play = Play::new(before);
    play.connect(CLIENT, LISTED);
    play.query(CLIENT, "192.168.1.1", "old.example");
    play.ms += 10_000;
    play.connect("192.168.1.21", "192.168.1.22");
    play.detectors.set_intel(after);
    play.connect(CLIENT, LISTED);
    play.query(CLIENT, "192.168.1.1", "old.example");
    play.connect(CLIENT, "203.0.113.9");
    let findings = play.ended();
    let values: Vec<_> = findings.iter().map(|one| (one.targets[0].as_str(), one.count)).collect();
    assert_eq!(values, [("old.example", 1), (LISTED, 2), ("203.0.113.9", 1)]);
}
