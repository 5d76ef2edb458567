//! Beacons, tunnels in echoes and generated names, and what looks like them.

use core::net::IpAddr;

use sekimori_wire::finding::{Category, Severity};

use super::build::*;
use crate::detect::{Detectors, Findings, Setup};
use crate::event::http::{Body, Field, Request};
use crate::event::tls::{Attribute, Certificate, CertificateContent, Name, Progress};
use crate::event::*;
use crate::limits::Limits;
use crate::segment::Policy;

const IN: &str = "192.168.1.5";
const SERVER: &str = "192.168.1.9";
const OUT: &str = "203.0.113.80";

/// Somebody who looks names up, so that an address without one says something.
fn looks_up(script: &mut Script) {
    script.dns(0, IN, "www.example.com", 1, (0, 4));
}

/// A connection every `step` ms, `jitter` around it.
fn contacts(script: &mut Script, to: (&str, u16), (n, step, jitter): (u64, u64, u64)) {
    let mut ms = 1_000;
    for number in 0..n {
        let port = 40_000 + u16::try_from(number).unwrap();
        script.session(ms, (IN, port), to, 300, (120, 60));
        ms += step - jitter + number * 7 % 11 * jitter * 2 / 10;
    }
}

#[test]
fn regular_contact_with_an_odd_service_without_a_name_is_a_beacon() {
    for (step, jitter) in [(60_000, 0), (45_000, 9_000), (4_000, 400)] {
        let mut script = Script::default();
        looks_up(&mut script);
        contacts(&mut script, (OUT, 7_261), (40, step, jitter));
        let finding = script.only(Category::C2Beacon);
        assert_eq!((finding.originator, finding.responder), (host(IN), host(OUT)));
        assert_eq!(finding.severity, Severity::HIGH, "{finding:#?}");
        assert!(finding.evidence.inputs.contains_key(&"interval_median_seconds".into()));
    }
}

#[test]
fn a_certificate_of_ones_own_makes_a_server_known_elsewhere() {
    for (private, expected) in [(true, true), (false, false)] {
        let mut script = Script::default();
        looks_up(&mut script);
        let name = Name([Attribute { joined: false, oid: "2.5.4.3".into(), value: "x".into() }].into());
        let issuer = if private { name.clone() } else { Name(Box::default()) };
        let content = CertificateContent { subject: name, issuer, ..CertificateContent::default() };
        let own = Certificate { sha1: [0; 20], sha256: [7; 32], content: Some(Box::new(content)) };
        let tls = TlsConnection {
            client_is_originator: true,
            progress: Progress::Established,
            ja4: "t13d1516h2_8daaf6152771_b186095e22b6".into(),
            server_chain: [own].into(),
            ..TlsConnection::default()
        };
        let flow = script.flow(TCP, (IN, 39_999), (OUT, 7_261));
        script.push(500, flow, FlowEvent::Transaction(Box::new(tls.into())));
        contacts(&mut script, (OUT, 7_261), (40, 60_000, 0));
        let inputs = script.only(Category::C2Beacon).evidence.inputs;
        let shown = |name: &str| inputs.get(&name.into()).cloned();
        assert_eq!(shown("certificate_sha256"), expected.then(|| "07".repeat(32).into()));
        assert_eq!(shown("ja4").is_some(), expected);
    }
}

#[test]
fn irregular_contact_is_none_and_regular_contact_inside_or_with_a_service_neither() {
    let mut script = Script::default();
    looks_up(&mut script);
    let mut ms = 1_000;
    for number in 0..60_u64 {
        let port = 40_000 + u16::try_from(number).unwrap();
        script.session(ms, (IN, port), (OUT, 7_261), 300, (100 + number * number * 31 % 5_000, 60));
        // Bursts, as of a person: four at once, then a pause of any length.
        ms += if number % 4 == 3 { 20_000 + number * 7_919 % 90_000 } else { 150 };
    }
    for (to, port) in [(SERVER, 9_400), (OUT, 5_223), (OUT, 123), (SERVER, 502)] {
        contacts(&mut script, (to, port), (40, 60_000, 0));
    }
    script.quiet();
}

#[test]
fn one_source_among_many_peers_is_a_peer() {
    let mut script = Script::default();
    looks_up(&mut script);
    for peer in 1..=12 {
        contacts(&mut script, (&format!("203.0.113.{peer}"), 7_261), (30, 20_000, 1_000));
    }
    assert!(script.run().iter().all(|finding| finding.severity <= Severity::LOW));
}

/// A connection that says something every `step` ms.
fn beats(script: &mut Script, to: (&str, u16), step: u64, bytes: u32, application: Application) {
    let flow = script.syn(0, (IN, 41_000), to, &[FlowEvent::Answered, FlowEvent::Established]);
    let amount = |bytes| Amount { packets: 2, bytes };
    for n in 1..=40 {
        let what = FlowEvent::Traffic(Traffic { sent: amount(bytes), received: amount(104) });
        script.push(n * step, flow, what);
    }
    let record = FlowRecord { start: at(0), end: at(40 * step), application, ..FlowRecord::default() };
    script.push(41 * step, flow, FlowEvent::Ended(Box::new(record)));
}

#[test]
fn a_heartbeat_in_an_unknown_protocol_is_found_and_keep_alives_of_tcp_are_not() {
    let mut script = Script::default();
    looks_up(&mut script);
    beats(&mut script, (OUT, 9_617), 10_000, 250, Application::Unknown);
    let finding = script.only(Category::C2Beacon);
    assert_eq!((finding.severity, finding.responder), (Severity::HIGH, host(OUT)));

    for (to, bytes, application) in [
        ((OUT, 9_617), 104, Application::Unknown),
        ((SERVER, 9_617), 250, Application::Unknown),
        ((OUT, 9_617), 250, Application::BitTorrent),
        ((OUT, 5_228), 250, Application::Tls),
    ] {
        let mut script = Script::default();
        looks_up(&mut script);
        beats(&mut script, to, 10_000, bytes, application);
        script.quiet();
    }
}

fn exchange(method: &str, target: &str, fields: &[(&str, &str)], began: u64) -> FlowEvent {
    let field = |(name, value): &(&str, &str)| Field { name: (*name).into(), value: (*value).into() };
    let request = Request {
        method: method.into(),
        target: target.into(),
        protocol: "HTTP/1.1".into(),
        fields: fields.iter().map(field).collect(),
        body: Body { bytes: 40, framed_bytes: 40, missing: 0, complete: true },
        ..Request::default()
    };
    let exchange = HttpExchange {
        application: Application::Http,
        from_originator: true,
        began: at(began),
        request: Some(request),
        ..HttpExchange::default()
    };
    FlowEvent::Transaction(Box::new(exchange.into()))
}

const BROWSER: (&str, &str) =
    ("User-Agent", "Mozilla/5.0 (Windows NT 10.0; rv:128.0) Gecko/20100101 Firefox/128.0");

#[test]
fn polling_by_a_false_browser_is_found() {
    let mut script = Script::default();
    let flow = script.syn(0, (IN, 41_000), (OUT, 8_899), &[]);
    for n in 0..20 {
        let what = exchange("POST", "/check", &[("Host", "203.0.113.80:8899"), BROWSER], n * 30_000);
        script.push(n * 30_000 + 50, flow, what);
    }
    let finding = script.only(Category::C2Beacon);
    assert_eq!((finding.severity, finding.responder), (Severity::HIGH, host(OUT)));
}

#[test]
fn browsing_web_services_and_metrics_are_not_polling() {
    let mut script = Script::default();
    let flow = script.syn(0, (IN, 41_000), (OUT, 80), &[]);
    let inside = script.syn(0, (IN, 41_001), (SERVER, 80), &[]);
    for n in 0..40 {
        let page = [("Host", "www.example.com"), BROWSER, ("Accept-Language", "ja")];
        script.push(n * 20_000 + 50, flow, exchange("GET", "/", &page, n * 20_000));
        let soap =
            [("Host", "192.168.1.9"), ("Content-Type", "application/soap+xml"), ("User-Agent", "WSDAPI")];
        script.push(n * 20_000 + 60, inside, exchange("POST", "/wsd", &soap, n * 20_000));
    }
    script.quiet();
}

/// An echo that carries something; a request and its answer.
fn echo(script: &mut Script, ms: u64, (bytes, differs, regular): (u32, bool, bool)) {
    let flow = script.flow(ICMP, (IN, 8), (OUT, 0));
    let one = Echo { from_originator: true, bytes, differs: false, regular };
    script.push(ms, flow, FlowEvent::Echo(one));
    script.push(ms + 30, flow, FlowEvent::Echo(Echo { from_originator: false, differs, ..one }));
}

#[test]
fn echoes_that_carry_something_are_a_tunnel() {
    for (differs, sizes) in [(true, 1), (false, 12)] {
        let mut script = Script::default();
        for n in 0..60_u32 {
            echo(&mut script, u64::from(n) * 900, (80 + n % sizes * 10, differs, false));
        }
        let finding = script.only(Category::C2Tunnel);
        assert_eq!((finding.originator, finding.responder), (host(IN), host(OUT)));
        assert_eq!(finding.severity, Severity::HIGH);
    }
}

#[test]
fn random_filling_and_answers_cut_short_are_no_tunnel() {
    let mut script = Script::default();
    for n in 0..200 {
        echo(&mut script, n * 900, (120, false, false));
        echo(&mut script, n * 900 + 300, (1_400, true, true));
    }
    script.quiet();
}

#[test]
fn an_unknown_conversation_over_the_port_of_dns_is_told() {
    let conversation = |packets, application| {
        let mut script = Script::default();
        let flow = script.flow(UDP, (IN, 41_000), (OUT, 53));
        script.push(0, flow, FlowEvent::Started(First::Datagram));
        let volume =
            Volume { packets, bytes: packets * 900, payload_bytes: packets * 870, ..Volume::default() };
        let record = FlowRecord {
            start: at(0),
            end: at(90_000),
            originator: volume,
            responder: volume,
            state: ConnState::SF,
            application,
            ..FlowRecord::default()
        };
        script.push(150_000, flow, FlowEvent::Ended(Box::new(record)));
        script
    };
    assert_eq!(conversation(25, Application::Unknown).only(Category::C2Tunnel).severity, Severity::LOW);
    assert_eq!(conversation(400, Application::Unknown).only(Category::C2Tunnel).severity, Severity::MEDIUM);
    conversation(19, Application::Unknown).quiet();
    conversation(400, Application::Dns).quiet();
}

#[test]
fn a_slow_tunnel_of_long_names_for_data_is_found_and_mail_keys_are_not() {
    let mut script = Script::default();
    for n in 0..25 {
        let name = format!("{}.{}.t.example.com", letters(n, 50), letters(n + 99, 20));
        script.dns(n * 120_000, IN, &name, if n % 3 == 0 { 15 } else { 16 }, (0, 90));
    }
    assert_eq!(script.only(Category::DnsTunnel).originator, host(IN));

    let mut script = Script::default();
    for n in 0..200 {
        let sender = format!("mail-{}.example{}.com", n, n % 40);
        script.dns(n * 9_000, IN, &format!("selector-{}-2048._domainkey.{sender}", n % 5), 16, (0, 400));
    }
    script.quiet();
}

#[test]
fn generated_names_that_do_not_exist_are_found() {
    let mut script = Script::default();
    for n in 0..40 {
        script.dns(n * 5_000, IN, &format!("{}.com", letters(n, 14)), 1, (if n == 33 { 0 } else { 3 }, 0));
    }
    let finding = script.only(Category::DnsDga);
    assert_eq!((finding.originator, finding.severity), (host(IN), Severity::MEDIUM));
    assert!(finding.count > 30 && !finding.targets.is_empty());
}

#[test]
fn generated_names_that_a_sinkhole_answers_are_found() {
    let mut script = Script::default();
    for n in 0..40 {
        script.dns(n * 5_000, IN, &format!("{}.net", letters(n, 15)), 1, (0, 4));
        script.dns(n * 30_000, SERVER, "www.example.com", 1, (0, 4));
    }
    assert_eq!(script.only(Category::DnsDga).originator, host(IN));

    // Odd names that have addresses of their own: brands, and what a resolver asks for all.
    let mut script = Script::default();
    for n in 0..60 {
        let flow = script.flow(UDP, (IN, 40_000), ("192.0.2.53", 53));
        let address = IpAddr::from([198, 51, 100, u8::try_from(n).unwrap()]);
        let name: Box<str> = format!("{}.net", letters(n, 15)).into();
        let data = dns::Rdata::Address(address);
        let record = dns::Resource { name: name.clone(), rtype: 1, class: 1, ttl: 60, data };
        let answer = Dns {
            is_response: true,
            qtype: 1,
            qname: name,
            answers: 1,
            answer_records: [record].into(),
            ..Dns::default()
        };
        script.push(n * 5_000, flow, FlowEvent::Dns(Box::new(answer)));
    }
    script.quiet();
}

#[test]
fn names_that_do_not_exist_in_good_faith_are_not_generated() {
    let mut script = Script::default();
    for n in 0..200 {
        let ms = n * 5_000;
        // A browser's probes, bare and with the search list; a list service; a reverse look-up; one name over and over.
        script.dns(ms, IN, &letters(n, 12), 1, (3, 0));
        script.dns(ms, IN, &format!("{}.city.example.jp", letters(n, 12)), 1, (3, 0));
        script.dns(ms, IN, &format!("{}.corp", letters(n, 12)), 1, (3, 0));
        script.dns(ms, IN, &format!("{}.7.0.203.list.example.org", n % 250), 1, (3, 0));
        script.dns(ms, IN, &format!("{}.2.0.192.in-addr.arpa", n % 250), 12, (3, 0));
        script.dns(ms, IN, "xkqzvwjt.com", 1, (3, 0));
        // Names of words, some gone: a crawler, or a mail server.
        let words = ["green", "tokyo", "mail", "shop", "news", "best", "city", "forest"];
        let pick = |k: u64| words[usize::try_from((n / k) % 8).unwrap()];
        script.dns(ms, SERVER, &format!("{}{}{}.com", pick(1), pick(8), pick(64)), 1, (3, 0));
    }
    script.quiet();
}

#[test]
fn strangers_leave_memory_bounded_and_are_counted() {
    let limits = Limits { detector_entries: 64, ..Limits::gateway() };
    let mut detectors = Detectors::new(&Setup { limits: &limits, seed: 1, user_key: &[7; 32] });
    let (mut findings, policy) = (Findings::new(&limits, 1), Policy::default_private());
    let mut script = Script::default();
    let mut evicted = crate::counters::Counters::default();
    for n in 0..5_000_u32 {
        let address = IpAddr::from(std::net::Ipv4Addr::from(0xcb00_0000 + n)).to_string();
        let flow = script.flow(ICMP, (IN, 8), (&address, 0));
        let when = at(u64::from(n));
        let echo = Echo { from_originator: true, bytes: 90, differs: true, regular: false };
        let event = Event::Flow { at: when, flow, what: FlowEvent::Echo(echo) };
        detectors.on_event(&event, &policy, &mut findings);
    }
    detectors.count_evicted(&mut evicted);
    assert!(evicted.value(crate::counters::Counter::DetectEvicted) >= 5_000 - 64);
}
