//! Certificates and versions that should not be in use, and those that may.

use super::*;
use crate::detect::tests::build::{Script, TCP, at, host};
use crate::event::tls::{Attribute, Certificate, CertificateContent, Name};

fn connection(version: u16, cipher: u16) -> TlsConnection {
    TlsConnection {
        client_is_originator: true,
        version,
        cipher: Some(cipher),
        progress: Progress::Established,
        server_name: Some("www.city.example".into()),
        ..TlsConnection::default()
    }
}

fn self_signed(valid_until: Timestamp) -> Box<[Certificate]> {
    let name =
        Name([Attribute { joined: false, oid: "2.5.4.3".into(), value: "www.city.example".into() }].into());
    let not_after = i64::try_from(valid_until.secs()).unwrap();
    let content = CertificateContent {
        subject: name.clone(),
        issuer: name,
        not_before: not_after - 86_400,
        not_after,
        ..CertificateContent::default()
    };
    [Certificate { sha1: [0; 20], sha256: [0; 32], content: Some(Box::new(content)) }].into()
}

fn script(connections: &[(&str, TlsConnection)], server: &str) -> Script {
    let mut script = Script::default();
    for (n, (client, tls)) in (0_u64..).zip(connections) {
        let flow = script.flow(TCP, (client, 40_000), (server, 443));
        script.push(n * 1_000, flow, FlowEvent::Transaction(Box::new(tls.clone().into())));
    }
    script
}

const CLIENTS: [&str; 2] = ["192.168.1.5", "192.168.1.6"];
const SERVER: &str = "198.51.100.7";

#[test]
fn one_finding_names_all_that_is_wrong_with_a_server() {
    let expired = TlsConnection { server_chain: self_signed(at(0)), ..connection(0x0303, 0xc02f) };
    let old = connection(0x0300, 0x0005);
    let script = script(&[(CLIENTS[0], expired), (CLIENTS[1], old)], SERVER);
    let finding = script.only(Category::TlsAnomaly);
    assert_eq!((finding.severity.level(), finding.count, finding.responder), (1, 2, host(SERVER)));
    let names = list(&finding, "problems");
    let names: Vec<_> = names.iter().map(|name| name.as_str()).collect();
    assert_eq!(names, ["certificate_self_signed", "version_ssl3", "cipher_weak"]);
    assert_eq!(finding.targets.len(), 1);
}

#[test]
fn an_expired_certificate_is_judged_at_the_time_of_the_event() {
    let shown = |until| TlsConnection { server_chain: self_signed(until), ..connection(0x0303, 0xc02f) };
    let problems_of = |until| problems(at(60_000), &shown(until));
    assert_eq!(problems_of(at(59_000)), [Problem::Expired, Problem::SelfSigned]);
    assert_eq!(problems_of(at(61_000)), [Problem::SelfSigned]);
}

#[test]
fn good_tls_and_offers_alone_are_silent() {
    let offered = TlsConnection { progress: Progress::Offered, ..connection(0x0300, 0x0005) };
    script(&[(CLIENTS[0], connection(0x0304, 0x1301)), (CLIENTS[1], offered)], SERVER).quiet();
}

#[test]
fn an_appliance_inside_is_only_noted() {
    let appliance = TlsConnection { server_chain: self_signed(at(86_400_000)), ..connection(0x0303, 0xc02f) };
    let finding = script(&[(CLIENTS[0], appliance)], "192.168.1.9").only(Category::TlsAnomaly);
    assert_eq!(finding.severity.level(), 0);
}
