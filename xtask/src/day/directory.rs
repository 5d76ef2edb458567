//! Active Directory as a workstation uses it: Kerberos tickets, LDAP, group policy, the secure channel, and now and then a
//! password that was mistyped.

use std::net::IpAddr;

use super::der::{integer, object, octets, sequence, tagged, tlv};
use super::session::Session;
use super::smb::{self, Smb};
use super::tape::Tape;
use super::world::{HOUR, Host, MINUTE, World, by_timer, next_morning, while_there};
use super::{names, rpc};
use crate::pcaps::capture::{MILLI, SECOND};
use crate::pcaps::craft::end;

const REALM: &str = "CITY.EXAMPLE";
/// `KDC_ERR_PREAUTH_FAILED`: the password was wrong.
const WRONG: u32 = 24;
/// `KDC_ERR_PREAUTH_REQUIRED`: how every log-on begins.
const PREAUTH: u32 = 25;
/// AES256-CTS-HMAC-SHA1-96.
const AES256: u32 = 18;

/// Everybody logs on, keeps tickets fresh, and refreshes policy.
pub(super) fn begin(world: &mut World) {
    for host in world.hosts.clone() {
        world.at(next_morning(&host, 0).saturating_sub(70 * SECOND), move |world, at| {
            machine(world, &host, at);
            Some(next_morning(&host, at + HOUR).saturating_sub(70 * SECOND))
        });
        world.at(next_morning(&host, 0) + 20 * SECOND, move |world, at| {
            log_on(world, &host, at);
            Some(next_morning(&host, at + HOUR) + 20 * SECOND)
        });
        by_timer(world, host, 95 * MINUTE, policy);
        // Back from a meeting: the screen is unlocked, which asks for a ticket anew.
        while_there(world, host, 90 * MINUTE, |world, host, at| {
            let tries = if world.one_in(6) { 1 + world.tape.rng.between(0, 2) } else { 0 };
            authenticate(world, at, host.ip, &host.user(), tries);
        });
        while_there(world, host, 70 * MINUTE, |world, host, at| {
            let server = if host.number % 2 == 0 { "intranet" } else { "mbx" };
            ticket(world, at, host.ip, &["HTTP", &format!("{server}.city.example")]);
        });
    }
}

fn string(text: &str) -> Vec<u8> {
    tlv(0x1b, text.as_bytes())
}

fn principal(field: u8, kind: u32, parts: &[&str]) -> Vec<u8> {
    let list: Vec<Vec<u8>> = parts.iter().map(|part| string(part)).collect();
    tagged(field, &[tlv(0xa0, &integer(kind)), tlv(0xa1, &sequence(&list))])
}

fn encrypted(field: u8, bytes: &[u8]) -> Vec<u8> {
    tagged(field, &[tlv(0xa0, &integer(AES256)), tlv(0xa1, &integer(2)), tlv(0xa2, &octets(bytes))])
}

fn ticket_of(tape: &mut Tape, service: &[&str]) -> Vec<u8> {
    let length = usize::try_from(tape.rng.between(1_050, 1_250)).unwrap_or(1_100);
    let secret = tape.rng.bytes(length);
    let parts = [
        tlv(0xa0, &integer(5)),
        tlv(0xa1, &string(REALM)),
        principal(0xa2, 2, service),
        encrypted(0xa3, &secret),
    ];
    tagged(0x61, &parts)
}

/// A ticket shown to a service (RFC 4120, 5.5.1).
pub(super) fn ap_request(tape: &mut Tape, service: &[&str]) -> Vec<u8> {
    let ticket = ticket_of(tape, service);
    let authenticator = tape.rng.bytes(190);
    let parts = [
        tlv(0xa0, &integer(5)),
        tlv(0xa1, &integer(14)),
        tlv(0xa2, &tlv(3, &[0, 0x20, 0, 0, 0])),
        tlv(0xa3, &ticket),
        encrypted(0xa4, &authenticator),
    ];
    tagged(0x6e, &parts)
}

fn request(tape: &mut Tape, kind: u32, client: Option<&str>, service: &[&str], data: &[Vec<u8>]) -> Vec<u8> {
    let mut body = vec![tlv(0xa0, &tlv(3, &[0, 0x40, 0x81, 0, 0x10]))];
    body.extend(client.map(|client| principal(0xa1, 1, &[client])));
    body.push(tlv(0xa2, &string(REALM)));
    body.push(principal(0xa3, 2, service));
    body.push(tlv(0xa5, &tlv(0x18, b"20370913024805Z")));
    body.push(tlv(0xa7, &integer(tape.rng.number() >> 1)));
    let kinds: Vec<Vec<u8>> = [18, 17, 23].map(integer).to_vec();
    body.push(tlv(0xa8, &sequence(&kinds)));
    let mut parts = vec![tlv(0xa1, &integer(5)), tlv(0xa2, &integer(kind))];
    if !data.is_empty() {
        parts.push(tlv(0xa3, &sequence(data)));
    }
    parts.push(tlv(0xa4, &sequence(&body)));
    tagged(if kind == 10 { 0x6a } else { 0x6c }, &parts)
}

fn reply(tape: &mut Tape, kind: u32, client: &str, service: &[&str]) -> Vec<u8> {
    let (ticket, secret) = (ticket_of(tape, service), tape.rng.bytes(240));
    let parts = [
        tlv(0xa0, &integer(5)),
        tlv(0xa1, &integer(kind)),
        tlv(0xa3, &string(REALM)),
        principal(0xa4, 1, &[client]),
        tlv(0xa5, &ticket),
        encrypted(0xa6, &secret),
    ];
    tagged(if kind == 11 { 0x6b } else { 0x6d }, &parts)
}

fn refusal(code: u32, service: &[&str]) -> Vec<u8> {
    let salt = sequence(&[tlv(0xa0, &integer(AES256)), tlv(0xa1, &string("CITY.EXAMPLEuser"))]);
    let info = sequence(&[tlv(0xa1, &integer(19)), tlv(0xa2, &octets(&sequence(&[salt])))]);
    let parts = [
        tlv(0xa0, &integer(5)),
        tlv(0xa1, &integer(30)),
        tlv(0xa4, &tlv(0x18, b"20261102000000Z")),
        tlv(0xa5, &integer(1)),
        tlv(0xa6, &integer(code)),
        tlv(0xa9, &string(REALM)),
        principal(0xaa, 2, service),
        tlv(0xac, &octets(&sequence(&[info]))),
    ];
    tagged(0x7e, &parts)
}

/// One question to the key distribution centre over TCP, as Windows asks.
fn ask(world: &mut World, at: u64, client: IpAddr, question: &[u8], answer: &[u8]) -> u64 {
    let to = end(world.servers.dc1, 88);
    let framed = |message: &[u8]| {
        [&u32::try_from(message.len()).unwrap_or_default().to_be_bytes()[..], message].concat()
    };
    let mut session = Session::dial(&mut world.tape, at, client, to);
    session.ask(&mut world.tape, &framed(question)).answer(&mut world.tape, &framed(answer));
    session.close(&mut world.tape);
    session.now
}

/// A ticket-granting ticket, after so many mistyped passwords.
fn authenticate(world: &mut World, at: u64, client: IpAddr, user: &str, mistyped: u64) -> u64 {
    let service = ["krbtgt", REALM];
    let tape = &mut world.tape;
    let wish =
        sequence(&[tlv(0xa1, &integer(128)), tlv(0xa2, &octets(&sequence(&[tlv(0xa0, &tlv(1, &[255]))])))]);
    let bare = request(tape, 10, Some(user), &service, std::slice::from_ref(&wish));
    let mut now = ask(world, at, client, &bare, &refusal(PREAUTH, &service));
    for number in 0..=mistyped {
        let tape = &mut world.tape;
        let stamp = sequence(&[tlv(0xa0, &integer(AES256)), tlv(0xa2, &octets(&tape.rng.bytes(60)))]);
        let proof = sequence(&[tlv(0xa1, &integer(2)), tlv(0xa2, &octets(&stamp))]);
        let question = request(tape, 10, Some(user), &service, &[proof, wish.clone()]);
        let answer =
            if number < mistyped { refusal(WRONG, &service) } else { reply(tape, 11, user, &service) };
        now = ask(world, now + MILLI, client, &question, &answer);
        if number < mistyped {
            now += world.tape.rng.between(4 * SECOND, 15 * SECOND);
        }
    }
    now
}

/// A ticket for a service.
pub(super) fn ticket(world: &mut World, at: u64, client: IpAddr, service: &[&str]) -> u64 {
    let tape = &mut world.tape;
    let shown = ap_request(tape, &["krbtgt", REALM]);
    let proof = sequence(&[tlv(0xa1, &integer(1)), tlv(0xa2, &octets(&shown))]);
    let question = request(tape, 12, None, service, &[proof]);
    let answer = reply(tape, 13, "user", service);
    ask(world, at, client, &question, &answer)
}

/// A service's token: SPNEGO around a Kerberos ticket.
pub(super) fn token(tape: &mut Tape, service: &[&str]) -> Vec<u8> {
    let kerberos = [0x2a, 0x86, 0x48, 0x86, 0xf7, 0x12, 1, 2, 2];
    let inner = tlv(0x60, &[object(&kerberos), vec![1, 0], ap_request(tape, service)].concat());
    let offer = sequence(&[tlv(0xa0, &sequence(&[object(&kerberos)])), tlv(0xa2, &octets(&inner))]);
    tlv(0x60, &[object(&[0x2b, 6, 1, 5, 5, 2]), tlv(0xa0, &offer)].concat())
}

/// The machine itself, before anybody logs on: who is my controller, its ticket, the secure channel, policy.
fn machine(world: &mut World, host: &Host, at: u64) {
    let account = format!("{}$", host.name());
    let known = names::find_service(world, at, host.ip, "_ldap._tcp.dc._msdcs.city.example", 389);
    locate(world, host, known);
    let now = authenticate(world, known + 20 * MILLI, host.ip, &account, 0);
    let now = ticket(world, now, host.ip, &["ldap", "dc1.city.example", "city.example"]);
    let now = rpc::secure_channel(world, now + 10 * MILLI, host);
    policy(world, host, now + SECOND);
}

/// The user: ticket, policy, drives. A mistyped password or two is ordinary.
fn log_on(world: &mut World, host: &Host, at: u64) {
    let mistyped = if world.one_in(10) { 1 + world.tape.rng.between(0, 2) } else { 0 };
    let mut now = authenticate(world, at, host.ip, &host.user(), mistyped);
    for service in [["cifs", "dc1.city.example"], ["cifs", "fs01.city.example"], ["host", "dc1.city.example"]]
    {
        now = ticket(world, now + 5 * MILLI, host.ip, &service);
    }
    policy(world, host, now + 200 * MILLI);
    rpc::who_am_i(world, host, now + 800 * MILLI);
    smb::drives(world, host, now + 2 * SECOND);
}

/// CLDAP: a ping to the controller (MS-ADTS, 6.3.3).
fn locate(world: &mut World, host: &Host, at: u64) {
    let equal = |name: &str, value: &[u8]| tlv(0xa3, &[octets(name.as_bytes()), octets(value)].concat());
    let filter = tlv(
        0xa0,
        &[
            equal("DnsDomain", b"city.example"),
            equal("Host", host.name().as_bytes()),
            equal("NtVer", &[0x16, 0, 0, 0x20]),
        ]
        .concat(),
    );
    let question = search(1, "", 0, &filter, &["Netlogon"]);
    let blob = [&[23, 0, 0, 0, 0xfd, 0xf3, 3, 0][..], &world.tape.rng.bytes(140)].concat();
    let entry = attribute("netlogon", &blob);
    let answer = [
        message(1, 0x64, &[octets(b""), sequence(&[entry])]),
        message(1, 0x65, &[vec![10, 1, 0], octets(b""), octets(b"")]),
    ]
    .concat();
    let ends = (world.tape.source(host.ip), end(world.servers.dc1, 389));
    world.tape.exchange(at, 600, ends, (&question, &answer));
}

fn attribute(name: &str, value: &[u8]) -> Vec<u8> {
    sequence(&[octets(name.as_bytes()), tlv(0x31, &octets(value))])
}

fn message(number: u32, tag: u8, parts: &[Vec<u8>]) -> Vec<u8> {
    sequence(&[integer(number), tlv(tag, &parts.concat())])
}

fn search(number: u32, base: &str, scope: u8, filter: &[u8], wanted: &[&str]) -> Vec<u8> {
    let limits = vec![10, 1, scope, 10, 1, 0, 2, 1, 0, 2, 1, 120, 1, 1, 0];
    let wanted: Vec<Vec<u8>> = wanted.iter().map(|one| octets(one.as_bytes())).collect();
    message(number, 0x63, &[octets(base.as_bytes()), limits, filter.to_vec(), sequence(&wanted)])
}

/// Group policy: a search, a bind with a ticket, what is then sealed, and files of SYSVOL.
fn policy(world: &mut World, host: &Host, at: u64) {
    let (dc1, tape) = (world.servers.dc1, &mut world.tape);
    let mut session = Session::dial(tape, at, host.ip, end(dc1, 389));
    let present = tlv(0x87, b"objectclass");
    session.ask(
        tape,
        &search(
            1,
            "",
            0,
            &present,
            &["subschemaSubentry", "supportedSASLMechanisms", "defaultNamingContext"],
        ),
    );
    let entry = sequence(&[
        attribute("defaultNamingContext", b"DC=city,DC=example"),
        attribute("supportedSASLMechanisms", b"GSS-SPNEGO"),
    ]);
    let done = message(1, 0x65, &[vec![10, 1, 0], octets(b""), octets(b"")]);
    session.answer(tape, &[message(1, 0x64, &[octets(b""), entry]), done].concat());
    let token = token(tape, &["ldap", "dc1.city.example", "city.example"]);
    let credentials = tlv(0xa3, &[octets(b"GSS-SPNEGO"), octets(&token)].concat());
    session.ask(tape, &message(2, 0x60, &[integer(3), octets(b""), credentials]));
    let back = tlv(0x87, &tape.rng.bytes(160));
    session.answer(tape, &message(2, 0x61, &[vec![10, 1, 0], octets(b""), octets(b""), back]));
    for _ in 0..3 {
        for (way, length) in [(true, 260_usize), (false, 1_900)] {
            let sealed = tape.rng.bytes(length);
            let framed = [&u32::try_from(length).unwrap_or_default().to_be_bytes()[..], &sealed].concat();
            if way {
                session.ask(tape, &framed)
            } else {
                session.answer(tape, &framed)
            };
        }
    }
    session.wait(300 * MILLI).close(tape);
    let start = session.now;
    let mut smb = Smb::begin(world, start, host, dc1, "dc1");
    smb.connect(world, "\\\\dc1.city.example\\SysVol");
    for file in [
        "city.example\\Policies\\{31B2F340-016D-11D2-945F-00C04FB984F9}\\gpt.ini",
        "city.example\\Policies\\{31B2F340-016D-11D2-945F-00C04FB984F9}\\Machine\\Microsoft\\Windows NT\\SecEdit\\GptTmpl.inf",
        "city.example\\Policies\\{6AC1786C-016F-11D2-945F-00C04FB984F9}\\gpt.ini",
    ] {
        smb.read_file(world, file, 600);
    }
    smb.end(world);
}
