//! Monitoring and administration: twenty servers every minute, one of them dead, and a person who looks after them.

use std::net::IpAddr;

use super::lan::{self, PRINTERS};
use super::session::{Session, Way};
use super::smb::Smb;
use super::world::{DAY, HOUR, MINUTE, World, is_workday, while_there};
use crate::pcaps::app;
use crate::pcaps::capture::{MILLI, SECOND};
use crate::pcaps::craft::{end, v4};

/// ifInOctets, ifOutOctets, ifOperStatus and sysUpTime.
const OBJECTS: [&[u8]; 4] = [
    &[0x2b, 6, 1, 2, 1, 2, 2, 1, 10, 1],
    &[0x2b, 6, 1, 2, 1, 2, 2, 1, 16, 1],
    &[0x2b, 6, 1, 2, 1, 2, 2, 1, 8, 1],
    &[0x2b, 6, 1, 2, 1, 1, 3, 0],
];

/// What is watched: address and port.
fn watched(world: &World) -> Vec<(IpAddr, u16)> {
    let servers = world.servers;
    let mut all = vec![
        (servers.dc1, 389),
        (servers.dc2, 389),
        (servers.files, 445),
        (servers.mail, 25),
        (servers.intranet, 80),
        (servers.backup, 22),
        (servers.exchange, 993),
        (servers.web, 443),
        (servers.gateway, 443),
        (servers.dead, 443),
    ];
    all.extend((0..6).map(|last| (v4([192, 168, 11, 20 + last]), 1_433 + u16::from(last % 3) * 1_873)));
    all.extend(PRINTERS.into_iter().take(4).map(|printer| (printer, 9_100)));
    all
}

/// Watching, and administration.
pub(super) fn begin(world: &mut World) {
    for (number, (server, port)) in (0..).zip(watched(world)) {
        world.at(number * 2_900 * MILLI + SECOND, move |world, at| {
            check(world, at, server, port);
            Some(at + MINUTE + world.tape.rng.between(0, 300 * MILLI))
        });
    }
    // The administrator has the first desk.
    if let Some(host) = world.hosts.first().copied() {
        while_there(world, host, 80 * MINUTE, |world, host, at| {
            let server = if world.one_in(2) { world.servers.files } else { world.servers.dc1 };
            remote_desktop(world, at, host.ip, server);
        });
        while_there(world, host, 60 * MINUTE, |world, host, at| {
            let web = world.servers.web;
            shell(world, at, host.ip, web);
        });
        while_there(world, host, 4 * HOUR, |world, host, at| {
            // A look at a colleague's disk: the administrative share.
            let Some(desk) = world.hosts.get(2).copied() else { return };
            let mut smb = Smb::begin(world, at, host, desk.ip, "pc103");
            smb.connect(world, "\\\\pc103.city.example\\C$");
            smb.list(world, "Users");
            smb.read_file(world, "Windows\\Temp\\install.log", 48_000);
            smb.end(world);
        });
    }
    // A cron job on the web server fetches feeds, logs go to the monitor.
    let (web, monitor) = (world.servers.web, world.servers.monitor);
    world.at(20 * SECOND, move |world, at| {
        let line = app::syslog(
            86,
            at / SECOND,
            "web01",
            "CRON",
            "pam_unix(cron:session): session opened for user root",
        );
        let from = world.tape.source(web);
        world.tape.udp(at, from, end(monitor, 514), &line);
        let busy = is_workday(at) && at % DAY > 8 * HOUR && at % DAY < 18 * HOUR;
        Some(at + world.pause(if busy { 8 * SECOND } else { 40 * SECOND }))
    });
}

/// One round: echo, connection, counters.
fn check(world: &mut World, at: u64, server: IpAddr, port: u16) {
    let (monitor, dead) = (world.servers.monitor, world.servers.dead);
    let up = server != dead;
    let tape = &mut world.tape;
    let sequence = u16::try_from(at / MINUTE % 65_536).unwrap_or_default();
    tape.ping(at, monitor, server, sequence, up);
    if !up {
        let from = tape.source(monitor);
        tape.unanswered(at + SECOND, from, end(server, port), 1);
        let from = tape.source(monitor);
        let question = lan::snmp(0xa0, 7, &OBJECTS, false);
        tape.udp(at + 2 * SECOND, from, end(server, 161), &question);
        return;
    }
    let mut session = Session::dial(tape, at + 40 * MILLI, monitor, end(server, port));
    match port {
        25 => {
            session
                .answer(tape, b"220 mx1.city.example ESMTP\r\n")
                .ask(tape, b"QUIT\r\n")
                .answer(tape, b"221 Bye\r\n");
        }
        80 => {
            let page = app::http_ok(&mut tape.rng, 300);
            session.ask(tape, &app::http_get("portal.city.example", "/health")).answer(tape, &page);
        }
        22 => {
            session.answer(tape, b"SSH-2.0-OpenSSH_9.2p1 Debian-2+deb12u3\r\n");
        }
        _ => {}
    }
    session.close(tape);
    let (from, id) = (tape.source(monitor), tape.rng.number() >> 1);
    let (question, answer) = (lan::snmp(0xa0, id, &OBJECTS, false), lan::snmp(0xa2, id, &OBJECTS, true));
    tape.exchange(at + 90 * MILLI, 3 * MILLI, (from, end(server, 161)), (&question, &answer));
}

/// Remote desktop (MS-RDPBCGR): a cookie, TLS, screens one way, keys the other.
pub(super) fn remote_desktop(world: &mut World, at: u64, from: IpAddr, to: IpAddr) {
    let tape = &mut world.tape;
    let mut session = Session::dial(tape, at, from, end(to, 3_389));
    let cookie = b"Cookie: mstshash=admin\r\n";
    let wish = [1, 0, 8, 0, 3, 0, 0, 0];
    let length = u8::try_from(11 + cookie.len() + wish.len()).unwrap_or_default();
    let ask = [&[3, 0, 0, length, length - 5, 0xe0, 0, 0, 0, 0, 0][..], cookie, &wish].concat();
    session
        .ask(tape, &ask)
        .answer(tape, &[3, 0, 0, 19, 14, 0xd0, 0, 0, 0x12, 0x34, 0, 2, 0x1f, 8, 0, 2, 0, 0, 0]);
    let (hello, first) =
        (app::client_hello(&mut tape.rng, "fs01.city.example"), app::server_hello(&mut tape.rng));
    session.ask(tape, &hello).answer(tape, &first);
    for _ in 0..tape.rng.between(40, 240) {
        let keys = app::tls_data(&mut tape.rng, 60);
        let screen = tape.rng.between(200, 30_000);
        session.ask(tape, &keys).bulk(tape, Way::Down, screen, 20_000_000, 14_600);
        let think = tape.rng.between(300 * MILLI, 6 * SECOND);
        session.wait(think);
    }
    session.close(tape);
}

/// A shell on the web server.
fn shell(world: &mut World, at: u64, from: IpAddr, to: IpAddr) {
    let tape = &mut world.tape;
    let mut session = Session::dial(tape, at, from, end(to, 22));
    session
        .ask(tape, b"SSH-2.0-OpenSSH_for_Windows_9.5\r\n")
        .answer(tape, b"SSH-2.0-OpenSSH_9.2p1 Debian-2+deb12u3\r\n");
    let (ours, theirs) = (app::ssh_kexinit(&mut tape.rng), app::ssh_kexinit(&mut tape.rng));
    let (init, reply) = (app::ssh_ecdh_init(&mut tape.rng), app::ssh_ecdh_reply(&mut tape.rng));
    session.ask(tape, &ours).answer(tape, &theirs).ask(tape, &init).answer(tape, &reply);
    for number in 0..tape.rng.between(20, 160) {
        let (key, echo) = (tape.rng.bytes(36), tape.rng.bytes(if number % 9 == 8 { 900 } else { 36 }));
        let think = tape.rng.between(80 * MILLI, 2 * SECOND);
        session.ask(tape, &key).answer(tape, &echo).wait(think);
    }
    session.close(tape);
}
