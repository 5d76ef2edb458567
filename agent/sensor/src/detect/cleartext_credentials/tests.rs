//! Credentials in clear text on event sequences: which are told, how badly, and that no secret is kept.

use sekimori_wire::finding::Value;

use super::*;
use crate::detect::tests::build::{Script, TCP, host};
use crate::event::http::{HttpForm, Request};
use crate::event::{
    FtpCommand, HttpExchange, Pop3Command, Pop3Request, Pop3Response, SmtpLogin, SmtpMail, Transaction,
};

const CLIENT: &str = "192.168.1.5";
const INSIDE: &str = "192.168.1.9";
const OUTSIDE: &str = "198.51.100.7";

fn say(script: &mut Script, ms: u64, flow: FlowRef, one: impl Into<Transaction>) {
    script.push(ms, flow, FlowEvent::Transaction(Box::new(one.into())));
}

fn ftp(user: &str, guest: Option<&str>, code: u16) -> FtpCommand {
    FtpCommand {
        user: Some(user.into()),
        password_given: true,
        guest_password: guest.map(Into::into),
        command: Some("PASS".into()),
        replies: vec![(Some(code), "".into())],
        ..FtpCommand::default()
    }
}

#[test]
fn a_login_over_the_boundary_is_medium_and_within_a_segment_low() {
    for (server, severity) in [(OUTSIDE, 2), (INSIDE, 1)] {
        let mut script = Script::default();
        let flow = script.flow(TCP, (CLIENT, 40_000), (server, 21));
        say(&mut script, 0, flow, ftp("yamada", None, 530));
        say(&mut script, 9, flow, ftp("yamada", None, 230));
        let finding = script.only(Category::CleartextCredentials);
        assert_eq!((finding.severity.level(), finding.count), (severity, 2));
        assert_eq!((finding.originator, finding.responder), (host(CLIENT), host(server)));
        let text = format!("{finding:?}");
        assert!(!text.contains("yamada") && text.contains("user#"), "{text}");
        assert_eq!(finding.evidence.inputs.get(&"accepted".into()), Some(&Value::Count(1)));
    }
}

#[test]
fn guests_and_challenges_are_no_credentials() {
    let mut script = Script::default();
    let flow = script.flow(TCP, (CLIENT, 40_000), (OUTSIDE, 21));
    say(&mut script, 0, flow, ftp("anonymous", Some("me@example"), 230));
    let login = SmtpLogin { mechanism: "CRAM-MD5".into(), succeeded: Some(true) };
    say(&mut script, 5, flow, SmtpMail { login: Some(login), ..SmtpMail::default() });
    let request = Pop3Request { command: "APOP".into(), arguments: vec!["yamada".into()] };
    say(&mut script, 9, flow, Pop3Command { request: Some(request), response: None });
    script.quiet();
}

#[test]
fn the_user_of_an_earlier_command_is_remembered() {
    let mut script = Script::default();
    let flow = script.flow(TCP, (CLIENT, 40_000), (OUTSIDE, 110));
    for (command, arguments) in [("USER", vec!["yamada".into()]), ("PASS", vec![])] {
        let request = Pop3Request { command: command.into(), arguments };
        let response = Pop3Response { success: true, ..Pop3Response::default() };
        say(&mut script, 0, flow, Pop3Command { request: Some(request), response: Some(response) });
    }
    let finding = script.only(Category::CleartextCredentials);
    assert!(finding.evidence.inputs.contains_key(&"users".into()), "{finding:#?}");
}

#[test]
fn a_form_with_a_password_fires_and_a_search_does_not() {
    let post = |has_password| {
        let form = HttpForm { has_password, user: Some("yamada".into()) };
        let request = Request { form: Some(form), ..Request::default() };
        let exchange =
            HttpExchange { from_originator: true, request: Some(request), ..HttpExchange::default() };
        let mut script = Script::default();
        let flow = script.flow(TCP, (CLIENT, 40_000), (OUTSIDE, 80));
        say(&mut script, 0, flow, exchange);
        script
    };
    assert_eq!(post(true).only(Category::CleartextCredentials).severity.level(), 2);
    post(false).quiet();
}

#[test]
fn strangers_evict_and_are_counted() {
    let mut script = Script::default();
    for last in 1..=30 {
        let flow = script.flow(TCP, (&format!("203.0.113.{last}"), 40_000), (INSIDE, 21));
        script.push(last, flow, FlowEvent::Transaction(Box::new(ftp("a", None, 530).into())));
    }
    assert_eq!(script.forgotten(CleartextCredentials::new), 20);
}
