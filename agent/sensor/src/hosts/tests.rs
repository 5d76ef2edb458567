//! Names, MAC addresses and leases, honest and not.

use sekimori_wire::id::Host;

use super::*;
use crate::alert::tests::alert_of;
use crate::event::dns::Resource;
use crate::event::kerberos::{KerberosKind, KerberosReply};
use crate::event::ntlm::Ntlm;
use crate::event::smb::{SmbCode, SmbDetail, SmbSession};
use crate::event::{Endpoint, SmbCommand};

const START: Timestamp = Timestamp::from_secs(1_700_000_000);
const PC: [u8; 4] = [192, 168, 1, 23];
const MAC: [u8; 6] = [2, 0, 0, 0, 0, 0x23];

fn flow(from: [u8; 4]) -> FlowRef {
    FlowRef {
        id: 1,
        began: START,
        originator: Endpoint { address: IpAddr::from(from), port: 49_152 },
        responder: Endpoint { address: IpAddr::from([192, 168, 1, 1]), port: 88 },
        protocol: 17,
        vlan: None,
        swapped: false,
    }
}

fn said(at: Timestamp, from: [u8; 4], unit: impl Into<Transaction>) -> Event {
    Event::Flow { at, flow: flow(from), what: FlowEvent::Transaction(Box::new(unit.into())) }
}

fn dhcp(kind: u8, is_reply: bool, name: Option<&str>, address: Option<[u8; 4]>) -> DhcpMessage {
    DhcpMessage {
        is_reply,
        kind: Some(kind),
        client_mac: MAC,
        host_name: name.map(|name| name.as_bytes().into()),
        assigned_ip: address.map(Ipv4Addr::from),
        lease_time: Some(3_600),
        ..DhcpMessage::default()
    }
}

fn arp(mac: [u8; 6], address: [u8; 4]) -> Event {
    let arp = Arp {
        operation: 2,
        sender_mac: mac,
        sender_ip: address.into(),
        target_mac: [0; 6],
        target_ip: Ipv4Addr::UNSPECIFIED,
        frame: Some([mac, [0xff; 6]]),
    };
    Event::Arp { at: START, vlan: None, arp }
}

fn ticket(name: &str) -> KerberosExchange {
    let reply =
        KerberosReply { kind: Some(KerberosKind::As), client: Some(name.into()), ..KerberosReply::default() };
    KerberosExchange { from_originator: true, request: None, reply: Some(reply) }
}

fn logon(name: &str) -> SmbCommand {
    let ntlm = Some(Ntlm { host: name.into(), ..Ntlm::default() });
    SmbCommand {
        id: 1,
        from_originator: true,
        dialect: "3.11".into(),
        command: SmbCode::V2(1),
        status: None,
        session: 1,
        tree: 0,
        detail: SmbDetail::SessionSetup(Box::new(SmbSession { ntlm, ..SmbSession::default() })),
    }
}

fn registration(name: &str) -> Dns {
    Dns {
        application: Application::Nbns,
        from_originator: true,
        flags: u16::from(REGISTRATION) << 11,
        qname: name.into(),
        ..Dns::default()
    }
}

fn learned(events: &[Event]) -> Hosts {
    let (hosts, policy) = (Hosts::default(), Policy::default_private());
    events.iter().for_each(|event| hosts.learn(event, &policy));
    hosts
}

/// What an alert of this host gets, this long after the start.
fn joined(hosts: &Hosts, host: Option<Host>, name: &str, after: u64) -> (Option<Host>, Option<JoinedBy>) {
    let mut alert = EndpointAlert {
        host,
        host_name: name.into(),
        received_at: START.plus(Duration::from_secs(after)),
        ..alert_of("<13>virus found")
    };
    hosts.join(&mut alert);
    (alert.host, alert.joined)
}

fn at(address: [u8; 4]) -> Host {
    Host::Ip(address.into())
}

#[test]
fn a_lease_names_a_machine_for_as_long_as_it_lasts() {
    let hosts = learned(&[
        said(START, [0; 4], dhcp(REQUEST, false, Some("PC-SOUMU-01\0"), None)),
        said(START, [192, 168, 1, 1], dhcp(ACK, true, None, Some(PC))),
    ]);
    let by_lease = (Some(at(PC)), Some(JoinedBy::Dhcp));
    assert_eq!(joined(&hosts, None, "pc-soumu-01.city.example.lg.jp", 10), by_lease);
    assert_eq!(joined(&hosts, Some(Host::Mac(MAC)), "", 3_600), by_lease);
    assert_eq!(joined(&hosts, None, "pc-soumu-01", 3_601), (None, None), "the lease is over");
    assert_eq!(joined(&hosts, None, "pc-soumu-02", 10), (None, None));
    let known = Some(at([192, 168, 1, 99]));
    assert_eq!(joined(&hosts, known, "PC-SOUMU-01", 10), (known, None), "what the product says stays");
    assert_eq!(joined(&hosts, None, "PC-SOUMU-01", 10), by_lease, "and is weaker than a lease");
    hosts.learn(&said(START, PC, dhcp(RELEASE, false, None, None)), &Policy::default_private());
    assert_eq!(joined(&hosts, None, "PC-SOUMU-01", 10), (None, None), "given back");
}

#[test]
fn a_stronger_word_stands_against_a_weaker_one() {
    let other = [192, 168, 1, 66];
    let hosts = learned(&[
        said(START, PC, ticket("PC-01$")),
        said(START, other, registration("PC-01")),
        said(START, other, logon("PC-01")),
    ]);
    assert_eq!(joined(&hosts, None, "PC-01", 10), (Some(at(PC)), Some(JoinedBy::Kerberos)));
    assert_eq!(joined(&hosts, None, "taro", 10), (None, None));
    let users = learned(&[said(START, PC, ticket("taro"))]);
    assert_eq!(joined(&users, None, "taro", 10), (None, None), "a person is no machine");
    let moved = learned(&[said(START, PC, ticket("PC-01$")), said(START, other, ticket("PC-01$"))]);
    assert_eq!(joined(&moved, None, "PC-01", 10), (Some(at(other)), Some(JoinedBy::Kerberos)));
}

#[test]
fn a_name_that_several_claim_names_none() {
    let other = [192, 168, 1, 66];
    let both =
        learned(&[said(START, PC, registration("WORKGROUP")), said(START, other, registration("WORKGROUP"))]);
    assert_eq!(joined(&both, None, "WORKGROUP", 10), (None, None));
    let one = learned(&[said(START, PC, registration("PC-01")), said(START, PC, registration("PC-01"))]);
    assert_eq!(joined(&one, None, "PC-01", 10), (Some(at(PC)), Some(JoinedBy::Nbns)));
    assert_eq!(joined(&one, None, "PC-01", 24 * 3_600 + 1), (None, None), "old");
}

#[test]
fn what_is_outside_or_speaks_for_another_is_not_believed() {
    let outside = learned(&[said(START, [203, 0, 113, 7], ticket("PC-01$")), arp(MAC, [203, 0, 113, 7])]);
    assert_eq!(joined(&outside, Some(Host::Mac(MAC)), "PC-01", 1), (Some(Host::Mac(MAC)), None));
    let mut forged = arp(MAC, PC);
    if let Event::Arp { arp, .. } = &mut forged {
        arp.frame = Some([[9; 6], MAC]);
    }
    let hosts = learned(&[forged]);
    assert_eq!(joined(&hosts, Some(Host::Mac(MAC)), "", 1), (Some(Host::Mac(MAC)), None));
    let hosts = learned(&[arp(MAC, PC)]);
    assert_eq!(joined(&hosts, Some(Host::Mac(MAC)), "", 1), (Some(at(PC)), Some(JoinedBy::Arp)));
}

#[test]
fn a_machine_answers_for_its_own_address_only() {
    let answer = |address: [u8; 4]| Dns {
        application: Application::Mdns,
        from_originator: true,
        is_response: true,
        answer_records: [Resource {
            name: "PC-01.local".into(),
            rtype: 1,
            class: 1,
            ttl: 120,
            data: Rdata::Address(address.into()),
        }]
        .into(),
        ..Dns::default()
    };
    let event = |dns| Event::Flow { at: START, flow: flow(PC), what: FlowEvent::Dns(Box::new(dns)) };
    let own = learned(&[event(answer(PC))]);
    assert_eq!(joined(&own, None, "PC-01", 1), (Some(at(PC)), Some(JoinedBy::Multicast)));
    let other = learned(&[event(answer([192, 168, 1, 66]))]);
    assert_eq!(joined(&other, None, "PC-01", 1), (None, None));
}

#[test]
fn an_alert_with_both_tells_of_the_next_with_a_name() {
    let hosts = Hosts::default();
    assert_eq!(joined(&hosts, Some(at(PC)), "PC-01", 0), (Some(at(PC)), None));
    assert_eq!(joined(&hosts, None, "PC-01", 5), (Some(at(PC)), Some(JoinedBy::Alert)));
    for name in ["", "192.168.1.23", "-- no name --", "\u{202e}x y", &"a".repeat(64)] {
        assert_eq!(joined(&hosts, Some(at(PC)), name, 0), (Some(at(PC)), None));
        assert_eq!(joined(&hosts, None, name, 5), (None, None), "{name}");
    }
}

#[test]
fn no_flood_of_names_takes_more_than_its_room() {
    let (hosts, policy) = (Hosts::default(), Policy::default_private());
    for number in 0..3 * u32::try_from(HOSTS).unwrap() {
        let [_, a, b, c] = number.to_be_bytes();
        hosts.learn(&said(START, [10, a, b, c], registration(&format!("PC-{number}"))), &policy);
    }
    assert_eq!(hosts.table().by_name.len(), HOSTS);
}
