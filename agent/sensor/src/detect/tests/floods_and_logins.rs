//! SYN floods and login guessing, and what only looks like them.

use sekimori_wire::finding::Category;

use super::build::*;
use crate::event::{FlowEvent, HttpRequest};

const IN: &str = "192.168.1.5";
const SERVER: &str = "192.168.1.80";

#[test]
fn a_forged_flood_names_the_victim_and_nobody_else() {
    let mut script = Script::default();
    for n in 0..5_000_u64 {
        let source = format!("198.18.{}.{}", n / 250, n % 250 + 1);
        script.syn(n * 2, (&source, 1_024), (SERVER, 443), &[FlowEvent::Answered]);
    }
    let finding = script.only(Category::FloodSyn);
    assert_eq!((finding.originator, finding.responder), (None, host(SERVER)));
    assert_eq!(
        (finding.severity.level(), finding.ports.as_slice(), finding.count),
        (3, [443].as_slice(), 5_000)
    );
}

#[test]
fn a_short_flood_from_one_source_names_it() {
    let mut script = Script::default();
    for n in 0..1_500_u16 {
        script.syn(u64::from(n), ("203.0.113.7", 2_000 + n), (SERVER, 80), &[]);
    }
    assert_eq!(script.only(Category::FloodSyn).originator, host("203.0.113.7"));
}

#[test]
fn load_tests_and_scans_are_no_flood() {
    let mut load = Script::default();
    for n in 0..20_000_u64 {
        // Handshakes of a slow link: the answer takes half a second, and one in five is lost.
        let flow = load.syn(n, ("192.168.1.7", 1_024), (SERVER, 80), &[FlowEvent::Answered]);
        if n % 5 != 0 {
            load.push(n + 500, flow, FlowEvent::Established);
        }
    }
    load.quiet();
    let mut scan = Script::default();
    for port in 1..=5_000 {
        scan.syn(u64::from(port), ("203.0.113.7", 50_000), (SERVER, port), &[FlowEvent::Rejected]);
    }
    scan.only(Category::ScanPort);
}

#[test]
fn clients_of_a_dead_service_are_no_flood() {
    let mut script = Script::default();
    for n in 0..3_000_u16 {
        let client = format!("10.0.{}.{}", n % 10, n % 200 + 1);
        script.syn(u64::from(n) * 100, (&client, 1_024 + n), (SERVER, 443), &[FlowEvent::Unanswered]);
    }
    script.quiet();
}

#[test]
fn repeated_refused_logins_fire_and_success_makes_it_critical() {
    let mut script = Script::default();
    for n in 0..40_u16 {
        let size = 2_300 + u64::from(n % 3) * 16;
        script.session(u64::from(n) * 1_500, ("203.0.113.7", 40_000 + n), (SERVER, 22), 1_400, (1_600, size));
    }
    assert_eq!(script.only(Category::BruteforceLogin).severity.level(), 2);
    script.session(70_000, ("203.0.113.7", 50_000), (SERVER, 22), 120_000, (9_000, 80_000));
    let finding = script.only(Category::BruteforceLogin);
    assert_eq!((finding.severity.level(), finding.count), (4, 40));
    assert!(finding.explanation.en.contains("may have succeeded"));
}

#[test]
fn monitoring_and_backup_are_no_guessing() {
    let mut script = Script::default();
    for n in 0..600_u16 {
        // A check that logs in once a minute, and one that only reads the banner every second.
        script.session(u64::from(n) * 60_000, (IN, 1_024 + n), (SERVER, 22), 900, (1_700, 2_600));
        script.session(u64::from(n) * 1_000, (IN, 1_024 + n), (SERVER, 21), 50, (6, 30));
    }
    for n in 0..100_u16 {
        // A backup job: many sessions, each of another size and large.
        let size = 20_000 + u64::from(n) * 7_000;
        script.session(u64::from(n) * 800, ("192.168.1.8", 1_024 + n), (SERVER, 22), 700, (size, 4_000));
    }
    for n in 0..200_u16 {
        // An application that opens a database connection for each query: answers of every size.
        let size = 20 + u64::from(n) * 97 % 560;
        script.session(u64::from(n) * 50, ("192.168.1.9", 1_024 + n), (SERVER, 3_306), 40, (200, size));
    }
    script.quiet();
}

#[test]
fn http_refusals_count_only_where_nothing_is_let_in() {
    let http = |let_in: bool| {
        let mut script = Script::default();
        for n in 0..60_u16 {
            let flow = script.flow(TCP, ("203.0.113.7", 1_024 + n), (SERVER, 8_080));
            let request = HttpRequest { has_authorization: true, ..HttpRequest::default() };
            script.push(u64::from(n) * 100, flow, FlowEvent::HttpRequest(Box::new(request.clone())));
            script.push(u64::from(n) * 100 + 20, flow, FlowEvent::HttpResponse { status: 401 });
            if let_in {
                script.push(u64::from(n) * 100 + 40, flow, FlowEvent::HttpRequest(Box::new(request)));
                script.push(u64::from(n) * 100 + 60, flow, FlowEvent::HttpResponse { status: 200 });
            }
        }
        script
    };
    http(false).only(Category::BruteforceLogin);
    http(true).quiet();
}
