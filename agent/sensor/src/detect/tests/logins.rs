//! Logins that services refused in so many words, fast, slow and spread.

use sekimori_wire::finding::{Category, Finding};

use super::build::*;
use super::lateral::say;
use crate::detect::{Detectors, Findings, Setup};
use crate::event::http::{Field, HttpExchange, Request, Response};
use crate::event::kerberos::{KerberosReply, KerberosRequest};
use crate::event::{Event, FlowEvent, FtpCommand, KerberosExchange};
use crate::limits::Limits;
use crate::segment::Policy;

const CLIENT: &str = "192.168.1.77";
const CONTROLLER: &str = "192.168.1.2";

/// A log-on by Kerberos: the error's code, or success.
fn log_on(script: &mut Script, ms: u64, client: &str, user: &str, error: Option<i32>) {
    let kind = if error.is_none() { Some(crate::event::kerberos::KerberosKind::As) } else { None };
    let request =
        KerberosRequest { client: Some(user.into()), has_preauth: true, ..KerberosRequest::default() };
    let reply = KerberosReply { kind, error, encryption: Some(18), ..KerberosReply::default() };
    let flow = script.flow(UDP, (client, 50_000), (CONTROLLER, 88));
    let (request, reply) = (Some(request), Some(reply));
    say(script, ms, flow, KerberosExchange { from_originator: true, request, reply });
}

fn password(script: &mut Script, ms: u64, ends: (&str, &str), code: u16) {
    let flow = script.flow(TCP, (ends.0, 50_000), (ends.1, 21));
    let command = FtpCommand {
        command: Some("PASS".into()),
        user: Some("yamada".into()),
        replies: vec![(Some(code), "".into())],
        ..FtpCommand::default()
    };
    say(script, ms, flow, command);
}

fn only(script: &Script) -> Finding {
    script.only(Category::BruteforceLogin)
}

#[test]
fn spraying_is_told_by_its_accounts_and_a_success_is_worse() {
    let mut script = Script::default();
    for number in 0..8_u64 {
        log_on(
            &mut script,
            number * 100,
            CLIENT,
            &format!("staff{number}"),
            Some(if number % 2 == 0 { 24 } else { 6 }),
        );
    }
    let finding = only(&script);
    assert_eq!((finding.severity.level(), finding.technique.as_str()), (2, "T1110.003"));
    let text = serde_json::to_string(&finding).unwrap();
    assert!(!text.contains("staff"), "no account's name leaves: {text}");
    log_on(&mut script, 2_000, CLIENT, "staff9", None);
    assert_eq!(only(&script).severity.level(), 4);
}

#[test]
fn a_log_on_and_a_mistyped_password_are_quiet() {
    let mut script = Script::default();
    for number in 0..10_u64 {
        log_on(&mut script, number * 60_000, CLIENT, "yamada", Some(25));
        log_on(&mut script, number * 60_000 + 10, CLIENT, "yamada", None);
    }
    for number in 0..4_u64 {
        log_on(&mut script, 700_000 + number * 4_000, CLIENT, "yamada", Some(24));
    }
    script.quiet();
}

#[test]
fn an_outdated_password_is_a_note_and_stays_one() {
    let mut script = Script::default();
    for number in 0..40_u64 {
        log_on(&mut script, number * 170_000, CLIENT, "svc-backup", Some(24));
    }
    assert_eq!(only(&script).severity.level(), 1);
    log_on(&mut script, 40 * 170_000, CLIENT, "svc-backup", None);
    assert_eq!(only(&script).severity.level(), 1, "put right");
}

#[test]
fn slow_spraying_is_found_by_the_hour() {
    let mut script = Script::default();
    for number in 0..11_u64 {
        log_on(&mut script, number * 300_000, CLIENT, &format!("staff{number}"), Some(24));
    }
    assert_eq!(only(&script).severity.level(), 2);
}

#[test]
fn refusals_in_one_long_connection_count_each() {
    let mut script = Script::default();
    for number in 0..8 {
        password(&mut script, number * 500, (CLIENT, "192.168.1.5"), 530);
    }
    assert_eq!((only(&script).count, only(&script).severity.level()), (8, 2));
}

#[test]
fn one_password_on_many_hosts_and_many_sources_on_one_account() {
    let mut hosts = Script::default();
    for last in 0..7_u64 {
        password(&mut hosts, last * 1_000, (CLIENT, &format!("192.168.1.{}", 100 + last)), 530);
    }
    assert_eq!((only(&hosts).originator, only(&hosts).responder), (host(CLIENT), None));
    let mut sources = Script::default();
    for last in 0..11_u64 {
        password(&mut sources, last * 60_000, (&format!("203.0.113.{last}"), "192.168.1.5"), 530);
    }
    assert_eq!((only(&sources).originator, only(&sources).responder), (None, host("192.168.1.5")));
}

#[test]
fn a_form_that_comes_back_is_a_refusal_and_a_portal_is_not() {
    let send = |script: &mut Script, ms: u64, status: &str, to: &str| {
        let flow = script.flow(TCP, (CLIENT, 50_000), ("192.168.1.5", 80));
        let request = Request { method: "POST".into(), target: "/login".into(), ..Request::default() };
        let fields = [Field { name: "Location".into(), value: to.into() }].into();
        let response = Response { status: status.into(), fields, ..Response::default() };
        let (request, response) = (Some(request), Some(response));
        say(
            script,
            ms,
            flow,
            HttpExchange { from_originator: true, request, response, ..HttpExchange::default() },
        );
    };
    let mut guesses = Script::default();
    (0..12).for_each(|number| send(&mut guesses, number * 500, "302", "/login?error=1"));
    assert_eq!(only(&guesses).severity.level(), 2);
    let mut people = Script::default();
    (0..60).for_each(|number| send(&mut people, number * 500, "302", "/portal"));
    people.quiet();
}

#[test]
fn a_crowd_of_strangers_leaves_the_tables_bounded_and_counted() {
    let limits = Limits { detector_entries: 64, ..Limits::gateway() };
    let setup = Setup { limits: &limits, seed: 1, user_key: &[7; 32] };
    let (mut detectors, mut out) = (Detectors::new(&setup), Findings::new(&limits, 1));
    let mut script = Script::default();
    for number in 0..2_000_u64 {
        let source = format!("203.0.{}.{}", number / 250, number % 250);
        password(&mut script, number, (&source, "192.168.1.5"), 530);
    }
    let mut counters = crate::counters::Counters::default();
    for event in script.events() {
        detectors.on_event(event, &Policy::default_private(), &mut out);
    }
    detectors.count_evicted(&mut counters);
    assert!(counters.value(crate::counters::Counter::DetectEvicted) > 1_000);
    let findings = out.take_ready();
    assert!(findings.iter().any(|one| one.originator.is_none()), "the distributed guessing is still found");
}

#[test]
fn an_event_without_a_login_says_nothing() {
    let mut script = Script::default();
    let flow = script.flow(TCP, (CLIENT, 50_000), ("192.168.1.5", 21));
    for ms in 0..50 {
        let command = FtpCommand {
            command: Some("CWD".into()),
            replies: vec![(Some(550), "".into())],
            ..FtpCommand::default()
        };
        script.push(ms, flow, FlowEvent::Transaction(Box::new(command.into())));
    }
    assert!(script.events().all(|event| matches!(event, Event::Flow { .. })));
    script.quiet();
}
