//! Scans, sweeps, worms, new hosts and services.

mod make;

use super::super::behaviour as act;
use super::super::capture::{Capture, MILLI, SECOND, Tcp};
use super::super::craft::{End, TcpFlags, end, v4};
use super::super::talk::{self, PLAIN};
use super::super::{Case, Expect, app};
use super::{ATTACKER, INFECTED, SERVER};

const HOUR: u64 = 3_600 * SECOND;

/// Every case.
pub(super) fn all() -> Vec<Case> {
    [ports(), hosts(), web(), worms(), no_worms(), new()].concat()
}

fn ports() -> Vec<Case> {
    let found = || vec![Expect::of("scan.port", Some(ATTACKER), Some(SERVER))];
    vec![
        Case {
            name: "scan.port/positive-stealth",
            about: "An outside host sends FIN, NULL and Xmas probes to two ports each of one server.",
            config: None,
            expect: found(),
            build: |c| {
                talk::office(c, &PLAIN, 0, 15 * SECOND);
                let kinds = [TcpFlags::FIN, TcpFlags::NONE, TcpFlags::XMAS];
                for ((n, port), flags) in
                    (0..).zip([22, 25, 80, 110, 443, 3_389]).zip(kinds.into_iter().cycle())
                {
                    let (a, b) = (end(ATTACKER, 51_000 + n), end(SERVER, port));
                    let at = 3 * SECOND + u64::from(n) * 400 * MILLI;
                    c.segment(at, a, b, (1, 0), flags);
                    c.segment(at + 12 * MILLI, b, a, (0, 1), TcpFlags::RST_ACK);
                }
            },
        },
        Case {
            name: "scan.port/positive-udp",
            about: "An outside host tries 60 UDP ports below 1024 of one server; only NTP answers.",
            config: None,
            expect: found(),
            build: |c| {
                talk::office(c, &PLAIN, 0, 15 * SECOND);
                for n in 0..60_u16 {
                    let (a, b) = (end(ATTACKER, 61_000), end(SERVER, 7 + n * 16));
                    c.udp(3 * SECOND + u64::from(n) * 100 * MILLI, a, b, &[0; 8]);
                }
                let question = [&[0xe3, 0, 4, 0xfa][..], &[0; 44]].concat();
                let answer = [&[0x24, 2][..], &c.rng.bytes(46)].concat();
                let ends = (end(ATTACKER, 61_000), end(SERVER, 123));
                c.exchange(10 * SECOND, 12 * MILLI, ends, (&question, &answer));
            },
        },
        Case {
            name: "scan.port/positive-service-probe",
            about: "An outside host asks port 8009 of one server in eight protocols, as version detection does.",
            config: None,
            expect: found(),
            build: |c| {
                talk::office(c, &PLAIN, 0, 15 * SECOND);
                make::service_probe(c, 3 * SECOND, ATTACKER, end(SERVER, 8_009));
            },
        },
        Case {
            name: "scan.port/benign-multiplexer",
            about: "A client uses SSH, TLS and HTTP through one port of a server that tells them apart.",
            config: None,
            expect: vec![],
            build: |c| {
                let (client, server) = (PLAIN.host(22), end(SERVER, 10_443));
                for n in 0..12_u64 {
                    let at = n * 20 * SECOND;
                    talk::browse(c, at, client, server, "www.city.example");
                    act::ssh(c, at + 5 * SECOND, client, server, act::SshEnd::Copied(2_000));
                    let (from, page) = (end(client, c.port()), app::http_ok(&mut c.rng, 90));
                    let mut tcp = Tcp::open(c, at + 9 * SECOND, from, server);
                    tcp.ask(&app::http_get("www.city.example", "/")).answer(&page).close();
                }
            },
        },
    ]
}

fn hosts() -> Vec<Case> {
    vec![
        Case {
            name: "scan.host/positive-snmp",
            about: "An inside host looks for SNMP on 120 random addresses; none answers.",
            config: None,
            expect: vec![Expect::of("scan.host", Some(INFECTED), None)],
            build: |c| {
                talk::office(c, &PLAIN, 0, 15 * SECOND);
                for n in 0..120_u64 {
                    let (from, to) = (end(INFECTED, 40_161), end(make::stranger(&mut c.rng), 161));
                    c.udp(3 * SECOND + n * 80 * MILLI, from, to, make::SNMP_GET);
                }
            },
        },
        Case {
            name: "scan.host/benign-dhcp-server",
            about: "A DHCP server pings each address before it offers it; nobody answers, as should be.",
            config: None,
            expect: vec![],
            build: |c| {
                talk::office(c, &PLAIN, 0, 20 * SECOND);
                for n in 0..20_u8 {
                    make::lease(c, u64::from(n) * 4 * SECOND, PLAIN.host(2), PLAIN.host(100 + n));
                }
            },
        },
        Case {
            name: "scan.host/benign-no-way-out",
            about: "A client on a network without a way out looks up 90 web servers and reaches none.",
            config: None,
            expect: vec![],
            build: |c| {
                for n in 0..90_u8 {
                    let at = u64::from(n) * 900 * MILLI;
                    let (name, address) = (format!("s{n:02}.telemetry.example"), [198, 51, 100, n]);
                    let (port, id) = (c.port(), c.rng.word());
                    let answer = app::dns_answer(id, &name, app::A, &[address.to_vec()]);
                    let ends = (end(PLAIN.host(25), port), end(PLAIN.resolver, 53));
                    c.exchange(at, 9 * MILLI, ends, (&app::dns_query(id, &name, app::A), &answer));
                    let (from, seq) = (end(PLAIN.host(25), c.port()), c.rng.number());
                    c.segment(at + 20 * MILLI, from, end(v4(address), 443), (seq, 0), TcpFlags::SYN);
                }
            },
        },
    ]
}

fn web() -> Vec<Case> {
    vec![
        Case {
            name: "scan.web/positive-paths",
            about: "An outside host asks a web site for 120 pages, of which four are there.",
            config: None,
            expect: vec![Expect::of("scan.web", Some(ATTACKER), Some(SERVER))],
            build: |c| {
                talk::office(c, &PLAIN, 0, 15 * SECOND);
                for n in 0..120_u64 {
                    let word = c.rng.text(7, "abcdefghijklmnoprstuvw");
                    let page = make::Page { path: format!("/{word}/"), found: n % 30 == 7, referer: None };
                    make::page(c, 3 * SECOND + n * 60 * MILLI, (ATTACKER, end(SERVER, 80)), &page);
                }
            },
        },
        Case {
            name: "scan.web/positive-named",
            about: "An inside host tries SQL injection on a web form with a tool that says its name.",
            config: None,
            expect: vec![Expect::of("scan.web", Some(INFECTED), Some(SERVER))],
            build: |c| {
                for n in 0..12_u64 {
                    let (from, answer) = (end(INFECTED, c.port()), app::http_ok(&mut c.rng, 120));
                    let head = format!(
                        "GET /form?id={n} HTTP/1.1\r\nHost: www.city.example\r\nUser-Agent: sqlmap/1.8#stable\r\n\r\n"
                    );
                    let mut tcp = Tcp::open(c, n * 300 * MILLI, from, end(SERVER, 80));
                    tcp.ask(head.as_bytes()).answer(&answer).close();
                }
            },
        },
        Case {
            name: "scan.web/benign-broken-pages",
            about: "A browser opens an old site: sixty of its pictures are missing. A link checker finds ten dead links in 70.",
            config: None,
            expect: vec![],
            build: |c| {
                for n in 0..90_u64 {
                    let referer = Some("http://www.city.example/history.html");
                    let page = make::Page { path: format!("/img/{n}.png"), found: n % 3 == 0, referer };
                    make::page(c, n * 50 * MILLI, (PLAIN.host(23), end(SERVER, 80)), &page);
                }
                for n in 0..70_u64 {
                    let page = make::Page { path: format!("/doc{n}.html"), found: n % 7 != 0, referer: None };
                    make::page(c, n * 900 * MILLI, (PLAIN.host(9), end(SERVER, 80)), &page);
                }
            },
        },
    ]
}

fn worms() -> Vec<Case> {
    let (first, second) = (INFECTED, PLAIN.host(31));
    vec![
        Case {
            name: "worm.spread/positive-telnet",
            about: "An infected camera tries Telnet (23, 2323) on 160 random addresses of the internet.",
            config: None,
            expect: vec![Expect::of("worm.spread", Some(INFECTED), None)],
            build: |c| {
                talk::office(c, &PLAIN, 0, 15 * SECOND);
                for n in 0..160_u64 {
                    let port = if n % 10 == 9 { 2_323 } else { 23 };
                    let (from, to) = (end(INFECTED, c.port()), end(make::stranger(&mut c.rng), port));
                    let seq = c.rng.number();
                    c.segment(3 * SECOND + n * 70 * MILLI, from, to, (seq, 0), TcpFlags::SYN);
                }
            },
        },
        Case {
            name: "worm.spread/positive-second-generation",
            about: "An inside host sweeps SMB and reaches another, which a minute later sweeps SMB itself.",
            config: None,
            expect: vec![
                Expect::of("worm.spread", Some(first), None),
                Expect::of("worm.spread", Some(second), None),
            ],
            build: |c| {
                let (first, second) = (INFECTED, PLAIN.host(31));
                talk::office(c, &PLAIN, 0, 15 * SECOND);
                act::sweep_tcp(c, 3 * SECOND, first, [192, 168, 20], 445);
                act::upload(c, 40 * SECOND, first, end(second, 445), "pc31", 3_000);
                act::sweep_tcp(c, 100 * SECOND, second, [192, 168, 21], 445);
            },
        },
        Case {
            name: "worm.spread/positive-datagram",
            about: "An infected host sends one datagram of 376 bytes to UDP port 1434 of 300 random addresses.",
            config: None,
            expect: vec![Expect::of("worm.spread", Some(INFECTED), None)],
            build: |c| {
                let payload = [&[4][..], &c.rng.bytes(375)].concat();
                for n in 0..300_u64 {
                    let to = end(make::stranger(&mut c.rng), 1_434);
                    c.udp(n * 5 * MILLI, end(INFECTED, 1_043), to, &payload);
                }
            },
        },
    ]
}

fn no_worms() -> Vec<Case> {
    vec![
        Case {
            name: "worm.spread/benign-file-servers",
            about: "Clients reach a file server over SMB, which itself reaches others, three of which are off.",
            config: None,
            expect: vec![],
            build: |c| {
                for n in 0..20_u8 {
                    let at = u64::from(n) * 3 * SECOND;
                    make::smb(c, at, PLAIN.host(40 + n), end(SERVER, 445));
                    let to = end(PLAIN.host(90 + n % 8), 445);
                    if n % 8 > 4 {
                        let (from, seq) = (end(SERVER, c.port()), c.rng.number());
                        c.segment(at + SECOND, from, to, (seq, 0), TcpFlags::SYN);
                    } else {
                        make::smb(c, at + SECOND, SERVER, to);
                    }
                }
            },
        },
        Case {
            name: "worm.spread/benign-game-servers",
            about: "A list of game servers is refreshed: the same question to 150 of them, two thirds answer.",
            config: None,
            expect: vec![],
            build: |c| {
                for n in 0..150_u64 {
                    let ends = (end(PLAIN.host(27), 52_015), end(make::stranger(&mut c.rng), 27_015));
                    let question = b"\xff\xff\xff\xffTSource Engine Query\0";
                    if n % 3 == 2 {
                        c.udp(n * 20 * MILLI, ends.0, ends.1, question);
                    } else {
                        let answer = [&b"\xff\xff\xff\xffI\x11"[..], &c.rng.bytes(80)].concat();
                        c.exchange(n * 20 * MILLI, 30 * MILLI, ends, (question, &answer));
                    }
                }
            },
        },
    ]
}

fn new() -> Vec<Case> {
    vec![
        Case {
            name: "host.new/positive-device",
            about: "After 25 hours of an office's usual devices one shows that was never there.",
            config: None,
            expect: vec![Expect::of("host.new", None, None)],
            build: |c| {
                make::days(c, 26);
                talk::resolve_arp(c, 25 * HOUR, make::v4_of(PLAIN.host(66)), make::v4_of(PLAIN.host(1)));
            },
        },
        Case {
            name: "host.new/benign-first-day",
            about: "Devices show one after another during the first 20 hours, and again two days later.",
            config: None,
            expect: vec![],
            build: |c| {
                make::days(c, 50);
                for n in 0..40_u8 {
                    let device = make::v4_of(PLAIN.host(60 + n));
                    for at in [u64::from(n) * HOUR / 2, 48 * HOUR + u64::from(n) * SECOND] {
                        talk::resolve_arp(c, at, device, make::v4_of(PLAIN.host(1)));
                    }
                }
            },
        },
        Case {
            name: "service.exposed/positive-remote-desktop",
            about: "After 25 hours in which the web server was open to the outside, remote desktop is too.",
            config: None,
            expect: vec![Expect::of("service.exposed", Some(SERVER), None)],
            build: |c| {
                make::days(c, 26);
                for hour in (0..26).step_by(5) {
                    visit(c, hour * HOUR + SECOND, end(SERVER, 443));
                }
                visit(c, 25 * HOUR + 60 * SECOND, end(SERVER, 3_389));
            },
        },
        Case {
            name: "service.exposed/benign-known-services",
            about: "The same services answer the outside for 26 hours; a closed port and one only used inside are tried.",
            config: None,
            expect: vec![],
            build: |c| {
                make::days(c, 26);
                for hour in (0..26).step_by(5) {
                    visit(c, hour * HOUR + SECOND, end(SERVER, 443));
                    visit(c, hour * HOUR + 2 * SECOND, end(SERVER, 25));
                }
                c.refused(25 * HOUR, MILLI, end(ATTACKER, 50_000), end(SERVER, 3_389));
                talk::browse(c, 25 * HOUR, PLAIN.host(20), end(SERVER, 8_443), "admin.city.example");
            },
        },
    ]
}

/// Somebody outside uses a service over TLS.
fn visit(capture: &mut Capture, at: u64, service: End) {
    talk::browse(capture, at, v4([198, 51, 100, 77]), service, "www.city.example");
}
