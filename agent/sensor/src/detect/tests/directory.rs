//! Abuse of the directory and of Kerberos, and the ordinary life of a domain.

use sekimori_wire::finding::Category;

use super::build::*;
use super::lateral::{called, say};
use crate::event::dcerpc::RpcCall;
use crate::event::kerberos::{KerberosKind, KerberosReply, KerberosRequest};
use crate::event::ldap::{LdapRequest, LdapSearch};
use crate::event::{FlowEvent, KerberosExchange, LdapOperation};

const INTRUDER: &str = "192.168.1.77";
const CONTROLLER: &str = "192.168.1.2";
const OTHER: &str = "192.168.1.3";
const DRSUAPI: u128 = 0xe351_4235_4b06_11d1_ab04_00c0_4fc2_dcd2;
const NETLOGON: u128 = 0x1234_5678_1234_abcd_ef00_0123_4567_cffb;
const EFSRPC: u128 = 0xc681_d488_d850_11d0_8c52_00c0_4fd9_0f7e;
const SPOOLSS: u128 = 0x1234_5678_1234_abcd_ef00_0123_4567_89ab;

fn call(script: &mut Script, ms: u64, ends: (&str, &str), rpc: RpcCall) {
    let flow = script.flow(TCP, (ends.0, 50_000), (ends.1, 49_670));
    say(script, ms, flow, rpc);
}

fn ticket(script: &mut Script, ms: u64, client: &str, service: &str, encryption: i32) {
    let request =
        KerberosRequest { kind: KerberosKind::Tgs, encryptions: vec![18, 23], ..KerberosRequest::default() };
    let reply = KerberosReply {
        kind: Some(KerberosKind::Tgs),
        service: Some(service.into()),
        ticket_encryption: Some(encryption),
        ..KerberosReply::default()
    };
    let flow = script.flow(UDP, (client, 50_000), (CONTROLLER, 88));
    say(
        script,
        ms,
        flow,
        KerberosExchange { from_originator: true, request: Some(request), reply: Some(reply) },
    );
}

#[test]
fn replication_by_a_host_that_looked_up_an_account_is_found_at_once() {
    let mut script = Script::default();
    call(&mut script, 0, (INTRUDER, CONTROLLER), called(DRSUAPI, 12));
    call(&mut script, 10, (INTRUDER, CONTROLLER), called(DRSUAPI, 3));
    let finding = script.only(Category::AdAbuse);
    assert_eq!((finding.originator, finding.responder), (host(INTRUDER), host(CONTROLLER)));
    assert_eq!((finding.severity.level(), finding.detected_at), (4, at(10)));
}

#[test]
fn replication_by_a_host_that_never_answers_as_a_controller_is_found() {
    let mut script = Script::default();
    call(&mut script, 0, (INTRUDER, CONTROLLER), called(DRSUAPI, 3));
    assert_eq!(script.only(Category::AdAbuse).severity.level(), 4);
}

#[test]
fn controllers_replicate_in_both_directions() {
    let mut script = Script::default();
    call(&mut script, 0, (OTHER, CONTROLLER), called(DRSUAPI, 3));
    call(&mut script, 60_000, (CONTROLLER, OTHER), called(DRSUAPI, 3));
    script.quiet();
    let mut by_ticket = Script::default();
    let service = "E3514235-4B06-11D1-AB04-00C04FC2DCD2/0f8f/city.example";
    ticket(&mut by_ticket, 0, OTHER, service, 18);
    call(&mut by_ticket, 100, (OTHER, CONTROLLER), called(DRSUAPI, 3));
    by_ticket.quiet();
}

#[test]
fn zerologon_is_found_by_its_zeros_or_its_haste() {
    let attempt = |script: &mut Script, ms: u64, zero_challenge: bool| {
        call(script, ms, (INTRUDER, CONTROLLER), RpcCall { zero_challenge, ..called(NETLOGON, 4) });
        call(script, ms + 5, (INTRUDER, CONTROLLER), called(NETLOGON, 26));
    };
    let mut zeros = Script::default();
    attempt(&mut zeros, 0, true);
    assert_eq!(zeros.only(Category::AdAbuse).severity.level(), 3);
    call(&mut zeros, 50, (INTRUDER, CONTROLLER), called(NETLOGON, 30));
    assert_eq!(zeros.only(Category::AdAbuse).severity.level(), 4);
    let mut haste = Script::default();
    (0..12).for_each(|number| attempt(&mut haste, number * 100, false));
    assert_eq!(haste.only(Category::AdAbuse).severity.level(), 4);
    let mut member = Script::default();
    (0..4).for_each(|number| attempt(&mut member, number * 2_000, false));
    call(&mut member, 9_000, (INTRUDER, CONTROLLER), called(NETLOGON, 30));
    member.quiet();
}

#[test]
fn a_coerced_controller_is_worse_than_a_file_server() {
    let mut script = Script::default();
    call(&mut script, 0, (INTRUDER, "192.168.1.5"), called(EFSRPC, 0));
    assert_eq!(script.only(Category::AdAbuse).severity.level(), 2);
    let back = script.flow(TCP, ("192.168.1.5", 50_000), (INTRUDER, 445));
    script.push(500, back, FlowEvent::Established);
    assert_eq!(script.only(Category::AdAbuse).severity.level(), 3);
    let mut controller = Script::default();
    ticket(&mut controller, 0, INTRUDER, "cifs/files", 18);
    call(&mut controller, 100, (INTRUDER, CONTROLLER), called(EFSRPC, 4));
    assert_eq!(controller.only(Category::AdAbuse).severity.level(), 4);
}

#[test]
fn printing_is_no_coercion() {
    let mut script = Script::default();
    ticket(&mut script, 0, INTRUDER, "cifs/dc", 18);
    let flow = script.flow(TCP, (INTRUDER, 50_000), (CONTROLLER, 49_670));
    for (ms, operation) in (100..).zip([69, 8, 65, 17, 29]) {
        say(&mut script, ms, flow, called(SPOOLSS, operation));
    }
    script.quiet();
    let flow = script.flow(TCP, (INTRUDER, 50_001), (CONTROLLER, 49_670));
    say(&mut script, 300, flow, called(SPOOLSS, 1));
    say(&mut script, 301, flow, called(SPOOLSS, 65));
    assert_eq!(script.only(Category::AdAbuse).severity.level(), 3);
}

#[test]
fn many_weak_tickets_are_collected_and_a_log_on_is_not() {
    let collect = |count: u64, encryption: i32| {
        let mut script = Script::default();
        for number in 0..count {
            ticket(&mut script, number * 100, INTRUDER, &format!("MSSQLSvc/db{number}"), encryption);
        }
        script
    };
    assert_eq!(collect(10, 23).only(Category::AdAbuse).severity.level(), 4);
    assert_eq!(collect(30, 18).only(Category::AdAbuse).severity.level(), 1);
    collect(9, 23).quiet();
    collect(29, 18).quiet();
}

#[test]
fn accounts_without_proof_are_collected() {
    let answered = |count: u64, encryptions: Vec<i32>| {
        let mut script = Script::default();
        for number in 0..count {
            let client: Option<Box<str>> = Some(format!("user{number}").into());
            let request = KerberosRequest {
                client: client.clone(),
                encryptions: encryptions.clone(),
                ..KerberosRequest::default()
            };
            let kind = Some(KerberosKind::As);
            let reply = KerberosReply { kind, client, encryption: Some(23), ..KerberosReply::default() };
            let flow = script.flow(UDP, (INTRUDER, 50_000), (CONTROLLER, 88));
            let (request, reply) = (Some(request), Some(reply));
            say(&mut script, number * 100, flow, KerberosExchange { from_originator: true, request, reply });
        }
        script
    };
    assert_eq!(answered(1, vec![23]).only(Category::AdAbuse).severity.level(), 3);
    assert_eq!(answered(3, vec![18, 23]).only(Category::AdAbuse).severity.level(), 4);
    answered(2, vec![18, 23]).quiet();
}

#[test]
fn one_odd_search_is_a_note_and_several_are_more() {
    let filters = [
        "(&(samAccountType=805306368)(servicePrincipalName=*))",
        "(userAccountControl:1.2.840.113556.1.4.803:=4194304)",
        "(adminCount=1)",
        "(objectClass=trustedDomain)",
        "(objectClass=groupPolicyContainer)",
    ];
    let searched = |count: usize| {
        let mut script = Script::default();
        let flow = script.flow(TCP, (INTRUDER, 50_000), (CONTROLLER, 389));
        for (ms, filter) in (0..).zip(&filters[..count]) {
            let search = LdapSearch { filter: (*filter).into(), ..LdapSearch::default() };
            let request = Some(LdapRequest::Search(Box::new(search)));
            say(
                &mut script,
                ms,
                flow,
                LdapOperation { from_originator: true, request, ..LdapOperation::default() },
            );
        }
        script.only(Category::AdAbuse).severity.level()
    };
    assert_eq!((searched(1), searched(3), searched(5)), (1, 2, 3));
}
