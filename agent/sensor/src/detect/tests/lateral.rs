//! Programs started and sessions opened on other hosts, and what only looks like it.

use sekimori_wire::finding::Category;

use super::build::*;
use crate::event::dcerpc::{RpcCall, RpcType, RpcUuid};
use crate::event::http::{Field, HttpExchange, Request, Response};
use crate::event::smb::{SmbCode, SmbCommand, SmbDetail, SmbShare, SmbStatus, SmbTransfer};
use crate::event::{FlowEvent, FlowRef, RdpNegotiation, RdpStep, Transaction};
use crate::segment::{Policy, PolicyFile};

const INTRUDER: &str = "192.168.1.77";
const HOST: &str = "192.168.1.24";
const SVCCTL: u128 = 0x367a_bb81_9844_35f1_ad32_98f0_3800_1003;
const TASKS: u128 = 0x86d3_5949_83c9_4044_b424_db36_3231_fd0c;
const WMI: u128 = 0x9556_dc99_828c_11cf_a37e_00aa_0032_40c7;
const SRVSVC: u128 = 0x4b32_4fc8_1670_01d3_1278_5a47_bf6e_e188;
const WINREG: u128 = 0x338c_d001_2244_31f1_aaaa_9000_3800_1003;

/// A call that was answered.
pub(super) fn called(interface: u128, operation: u16) -> RpcCall {
    RpcCall {
        from_originator: true,
        version: (5, 0),
        request: Some(RpcType::Request),
        response: Some(RpcType::Response),
        interface: Some(RpcUuid(interface)),
        operation,
        ..RpcCall::default()
    }
}

pub(super) fn say(script: &mut Script, ms: u64, flow: FlowRef, what: impl Into<Transaction>) {
    script.push(ms, flow, FlowEvent::Transaction(Box::new(what.into())));
}

fn call(script: &mut Script, ms: u64, ends: (&str, &str), interface: u128, operation: u16) {
    let flow = script.flow(TCP, (ends.0, 50_000), (ends.1, 49_670));
    say(script, ms, flow, called(interface, operation));
}

fn smb(detail: SmbDetail, status: u32) -> SmbCommand {
    SmbCommand {
        id: 1,
        from_originator: true,
        dialect: "3.11".into(),
        command: SmbCode::V2(9),
        status: Some(SmbStatus::Nt(status)),
        session: 1,
        tree: 5,
        detail,
    }
}

fn share(name: &str) -> SmbDetail {
    SmbDetail::TreeConnect(SmbShare { name: name.into(), ..SmbShare::default() })
}

fn written(name: &str) -> SmbDetail {
    SmbDetail::Transfer(Box::new(SmbTransfer { name: name.into(), is_write: true, ..SmbTransfer::default() }))
}

fn managed(target: &str, agent: &str) -> HttpExchange {
    let fields = [Field { name: "User-Agent".into(), value: agent.into() }].into();
    let request = Request { method: "POST".into(), target: target.into(), fields, ..Request::default() };
    let response = Response { status: "200".into(), ..Response::default() };
    HttpExchange {
        from_originator: true,
        request: Some(request),
        response: Some(response),
        ..HttpExchange::default()
    }
}

#[test]
fn each_way_to_run_a_program_is_found() {
    for (interface, operation, technique) in
        [(SVCCTL, 12, "T1569.002"), (SVCCTL, 45, "T1569.002"), (TASKS, 1, "T1053.005"), (WMI, 24, "T1047")]
    {
        let mut script = Script::default();
        call(&mut script, 0, (INTRUDER, HOST), interface, operation);
        let finding = script.only(Category::LateralExec);
        assert_eq!((finding.originator, finding.responder), (host(INTRUDER), host(HOST)));
        assert_eq!((finding.severity.level(), finding.technique.as_str()), (3, technique));
    }
}

#[test]
fn a_service_that_is_changed_and_started_runs_something() {
    let mut script = Script::default();
    call(&mut script, 0, (INTRUDER, HOST), SVCCTL, 19);
    call(&mut script, 1_000, (INTRUDER, HOST), SVCCTL, 11);
    script.quiet();
    call(&mut script, 2_000, (INTRUDER, HOST), SVCCTL, 19);
    assert_eq!(script.only(Category::LateralExec).severity.level(), 3);
}

#[test]
fn asking_for_states_is_no_execution() {
    let mut script = Script::default();
    for (at, operation) in (0..).zip([15, 16, 6, 14, 64, 28, 0]) {
        call(&mut script, at * 10, (INTRUDER, HOST), SVCCTL, operation);
    }
    for at in 0..50 {
        call(&mut script, at * 1_000, (INTRUDER, HOST), WMI, 20);
    }
    script.quiet();
}

#[test]
fn a_shell_is_told_from_a_query_and_from_events() {
    let shell = |target: &str, agent: &str, times: u64| {
        let mut script = Script::default();
        let flow = script.flow(TCP, (INTRUDER, 50_000), (HOST, 5_985));
        (0..times).for_each(|at| say(&mut script, at * 100, flow, managed(target, agent)));
        script
    };
    let windows = "Microsoft WinRM Client";
    assert_eq!(shell("/wsman?PSVersion=5.1", windows, 3).only(Category::LateralExec).severity.level(), 3);
    assert_eq!(shell("/wsman", "Ruby client", 3).only(Category::LateralExec).severity.level(), 3);
    assert_eq!(shell("/wsman", windows, 20).only(Category::LateralExec).severity.level(), 1);
    shell("/wsman?PSVersion=5.1", windows, 2).quiet();
    shell("/wsman/subscriptions/1", "other", 20).quiet();
}

#[test]
fn management_from_the_management_segment_is_a_note() {
    let file: PolicyFile =
        serde_json::from_str(r#"{"segment": [{"name": "mgmt", "cidr": ["192.168.1.64/26"]}]}"#).unwrap();
    let policy = Policy::from_file(file).unwrap();
    let mut script = Script::default();
    call(&mut script, 0, (INTRUDER, HOST), SVCCTL, 12);
    assert_eq!(script.findings(&policy, 1)[0].severity.level(), 1);
}

#[test]
fn a_copied_program_and_a_service_are_surer() {
    let mut script = Script::default();
    let flow = script.flow(TCP, (INTRUDER, 50_000), (HOST, 445));
    say(&mut script, 0, flow, smb(share(r"\\pc24\ADMIN$"), 0));
    say(&mut script, 10, flow, smb(written("svc.exe"), 0));
    say(&mut script, 20, flow, smb(SmbDetail::Rpc(Box::new(called(SVCCTL, 12))), 0));
    let findings = script.run();
    let exec = findings.iter().find(|one| one.category == Category::LateralExec).unwrap();
    assert_eq!(exec.confidence.permille(), 950);
    let session = findings.iter().find(|one| one.category == Category::LateralSession).unwrap();
    assert_eq!(session.severity.level(), 2, "a program in an administrator's share");
}

#[test]
fn reading_from_an_administrative_share_is_a_note() {
    let mut script = Script::default();
    let flow = script.flow(TCP, (INTRUDER, 50_000), (HOST, 445));
    say(&mut script, 0, flow, smb(share(r"\\pc24\c$"), 0));
    say(&mut script, 10, flow, smb(written("report.xlsx"), 0));
    assert_eq!(script.only(Category::LateralSession).severity.level(), 1);
    let mut other = Script::default();
    let flow = other.flow(TCP, (INTRUDER, 50_000), (HOST, 445));
    say(&mut other, 0, flow, smb(share(r"\\files\public"), 0));
    say(&mut other, 10, flow, smb(written("setup.exe"), 0));
    other.quiet();
}

#[test]
fn many_hosts_in_a_row_are_more_than_one() {
    let listing = |hosts: u8| {
        let mut script = Script::default();
        for last in 0..hosts {
            let to = format!("192.168.1.{}", 100 + last);
            call(&mut script, u64::from(last) * 1_000, (INTRUDER, &to), SRVSVC, 15);
        }
        script.only(Category::LateralSession)
    };
    assert_eq!((listing(5).severity.level(), listing(6).severity.level()), (0, 2));
    assert_eq!((listing(1).responder, listing(2).responder), (host("192.168.1.100"), None));
}

#[test]
fn desktops_count_when_they_were_accepted() {
    let mut script = Script::default();
    let flow = script.flow(TCP, (INTRUDER, 50_000), (HOST, 3_389));
    let step = RdpStep::Request { cookie: None, negotiation: Some((0, 3)) };
    say(&mut script, 0, flow, RdpNegotiation { number: 0, from_originator: true, step });
    script.quiet();
    let step = RdpStep::Confirm { negotiation: Some((0, 2)) };
    say(&mut script, 5, flow, RdpNegotiation { number: 1, from_originator: false, step });
    assert_eq!(script.only(Category::LateralSession).severity.level(), 1);
}

#[test]
fn saving_the_registry_is_bad_at_once() {
    let mut script = Script::default();
    call(&mut script, 0, (INTRUDER, HOST), WINREG, 20);
    assert_eq!(script.only(Category::LateralSession).severity.level(), 3);
}
