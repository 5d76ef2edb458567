//! One capture per behaviour that must be found, and per near-miss that must not.

mod baseline;
mod c2;
mod endpoint;
mod exploit;
mod flood;
mod intel;
mod lateral;
mod outage;
mod recon;
mod spoof;

use std::net::{IpAddr, Ipv6Addr};

use super::app;
use super::behaviour::{self as act, SshEnd};
use super::capture::{Capture, MILLI, SECOND, Tcp};
use super::craft::{End, end, v4};
use super::talk::{self, PLAIN};
use super::{Case, Expect};

/// The outside attacker of every capture that has one.
pub(crate) const ATTACKER: IpAddr = v4([203, 0, 113, 66]);
const GUESSER: IpAddr = v4([198, 51, 100, 23]);
const SERVER: IpAddr = v4([192, 168, 10, 5]);
const INFECTED: IpAddr = v4([192, 168, 10, 77]);
const MONITOR: IpAddr = v4([192, 168, 10, 9]);
const SEGMENTS: &str = "segments.toml";

/// Ports in the order a scanner shuffles them, the usual services among them.
pub(crate) fn shuffled_ports(count: u16) -> Vec<u16> {
    (0..count).map(|i| 1 + i.wrapping_mul(97) % 1_021).chain([3_306, 3_389, 5_432, 8_080, 8_443]).collect()
}

/// Every single case (the demo's captures are in `scenario`).
pub(crate) fn all() -> Vec<Case> {
    let by_category = [scans(), sweeps(), floods(), logins(), tunnels(), segments(), endpoint::all()];
    let by_kind = [recon::all(), flood::all(), c2::all(), spoof::all(), outage::all()];
    let more = [lateral::all(), exploit::all(), intel::all(), baseline::all()];
    [by_category.concat(), by_kind.concat(), more.concat()].concat()
}

/// What cases need beside their captures.
pub(crate) fn files() -> Vec<(String, Vec<u8>)> {
    intel::files()
}

fn scans() -> Vec<Case> {
    vec![
        Case {
            name: "scan.port/positive-outside",
            about: "An outside host tries 205 ports of one server; three are open.",
            config: None,
            expect: vec![Expect::of("scan.port", Some(ATTACKER), Some(SERVER))],
            build: |c| {
                talk::office(c, &PLAIN, 0, 30 * SECOND);
                act::scan_ports(c, 5 * SECOND, ATTACKER, SERVER, &shuffled_ports(200), &[22, 80, 443]);
            },
        },
        Case {
            name: "scan.port/positive-inside",
            about: "An infected inside host tries 85 ports of the file server.",
            config: None,
            expect: vec![Expect::of("scan.port", Some(INFECTED), Some(SERVER))],
            build: |c| {
                talk::office(c, &PLAIN, 0, 20 * SECOND);
                act::scan_ports(c, 4 * SECOND, INFECTED, SERVER, &shuffled_ports(80), &[139, 445]);
            },
        },
        Case {
            name: "scan.port/benign-monitoring",
            about: "A monitoring system polls eight services of each of six servers every two minutes; one is down.",
            config: None,
            expect: vec![],
            build: monitoring,
        },
        Case {
            name: "scan.port/benign-near-miss",
            about: "An administrator looks for a service by hand: six closed ports within ten minutes.",
            config: None,
            expect: vec![],
            build: |c| {
                talk::office(c, &PLAIN, 0, 60 * SECOND);
                for (number, port) in (0..).zip([8_000, 8_008, 8_081, 8_888, 9_000, 9_090]) {
                    let from = end(PLAIN.host(21), c.port());
                    c.refused(number * 95 * SECOND, MILLI, from, end(SERVER, port));
                }
            },
        },
    ]
}

fn monitoring(capture: &mut Capture) {
    const SERVICES: [u16; 8] = [22, 25, 53, 80, 143, 443, 587, 3_306];
    for round in 0..4_u64 {
        let mut at = round * 120 * SECOND;
        for last in 3..9_u8 {
            for port in SERVICES {
                let (from, to) = (end(MONITOR, capture.port()), end(PLAIN.host(last), port));
                if (last, port) == (7, 143) {
                    capture.refused(at, MILLI, from, to);
                } else {
                    Tcp::open(capture, at, from, to).wait(15 * MILLI).close();
                }
                at += 300 * MILLI;
            }
        }
    }
    talk::office(capture, &PLAIN, 0, 60 * SECOND);
}

fn sweeps() -> Vec<Case> {
    vec![
        Case {
            name: "scan.host/positive-inside-445",
            about: "An infected inside host looks for SMB (445) on all of 192.168.20.0/24.",
            config: None,
            expect: vec![Expect::of("scan.host", Some(INFECTED), None)],
            build: |c| {
                talk::office(c, &PLAIN, 0, 40 * SECOND);
                act::sweep_tcp(c, 5 * SECOND, INFECTED, [192, 168, 20], 445);
            },
        },
        Case {
            name: "scan.host/positive-arp",
            about: "An inside host asks by ARP for every address of its network within five seconds.",
            config: None,
            expect: vec![Expect::of("scan.host", Some(INFECTED), None)],
            build: |c| {
                talk::office(c, &PLAIN, 0, 20 * SECOND);
                act::sweep_arp(c, 5 * SECOND, PLAIN.net, 77);
            },
        },
        Case {
            name: "scan.host/positive-ping",
            about: "An inside host sends echo requests to all of 192.168.20.0/24.",
            config: None,
            expect: vec![Expect::of("scan.host", Some(INFECTED), None)],
            build: |c| {
                talk::office(c, &PLAIN, 0, 20 * SECOND);
                act::sweep_ping(c, 5 * SECOND, INFECTED, [192, 168, 20]);
            },
        },
        Case {
            name: "scan.host/benign-resolver",
            about: "A recursive name server asks 150 other name servers; three do not answer.",
            config: None,
            expect: vec![],
            build: resolver,
        },
        Case {
            name: "scan.host/benign-cdn",
            about: "A browser opens pages whose parts come from 80 servers of delivery networks, over IPv4 and IPv6.",
            config: None,
            expect: vec![],
            build: cdn,
        },
    ]
}

fn resolver(capture: &mut Capture) {
    for (number, last) in (0..).zip(1..=150_u8) {
        let (port, id) = (capture.port(), capture.rng.word());
        let name = format!("www.{}.example", capture.rng.text(9, "aeioubcdfgklmnprst"));
        let third = if last % 2 == 0 { [198, 51, 100] } else { [203, 0, 113] };
        let ends = (end(PLAIN.resolver, port), end(v4([third[0], third[1], third[2], last]), 53));
        let (query, at) = (app::dns_query(id, &name, app::A), number * 200 * MILLI);
        if last % 50 == 49 {
            capture.udp(at, ends.0, ends.1, &query);
        } else {
            let answer = app::dns_answer(id, &name, app::A, &[vec![192, 0, 2, last]]);
            capture.exchange(at, 25 * MILLI, ends, (&query, &answer));
        }
    }
}

fn cdn(capture: &mut Capture) {
    let client = PLAIN.host(24);
    let client6 = IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0x10, 0, 0, 0, 0, 24));
    for (number, last) in (0_u64..).zip(1..=80_u8) {
        let at = number * 250 * MILLI;
        let name = format!("e{last:02}.edge.cdn.example.net");
        talk::look_up(capture, at, client, PLAIN.resolver, &name);
        if last % 4 == 0 {
            let server = IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0xcd, 0, 0, 0, 0, u16::from(last)));
            talk::browse(capture, at + 40 * MILLI, client6, end(server, 443), &name);
        } else {
            talk::browse(capture, at + 40 * MILLI, client, end(v4([198, 51, 100, last]), 443), &name);
        }
    }
}

fn floods() -> Vec<Case> {
    vec![
        Case {
            name: "flood.syn/positive-spoofed",
            about: "300 SYN a second from forged sources to a web server for 20 s after a quiet 40 s.",
            config: None,
            expect: vec![Expect::of("flood.syn", None, Some(SERVER))],
            build: |c| {
                web_visits(c, 0, 60 * SECOND, 2);
                act::flood_syn(c, 40 * SECOND, 20, 300, end(SERVER, 443));
            },
        },
        Case {
            name: "flood.syn/benign-load-test",
            about: "A load test opens 60 connections a second to a web server for 13 s; every handshake completes.",
            config: None,
            expect: vec![],
            build: |c| {
                web_visits(c, 0, 30 * SECOND, 2);
                for number in 0..780_u64 {
                    let from = end(v4([192, 168, 40, 9]), c.port());
                    let at = 10 * SECOND + number * SECOND / 60;
                    let page = app::http_ok(&mut c.rng, 60);
                    let mut tcp = Tcp::open(c, at, from, end(SERVER, 80));
                    tcp.ask(&app::http_get("www.city.example", "/")).answer(&page).close();
                }
            },
        },
    ]
}

/// So many visitors a second read a page of the web server.
pub(crate) fn web_visits(capture: &mut Capture, from: u64, until: u64, per_second: u64) {
    let mut at = from;
    while at < until {
        let visitor = end(v4([198, 51, 100, capture.rng.byte()]), capture.port());
        let hello = app::client_hello(&mut capture.rng, "www.city.example");
        let (first, page) = (app::server_hello(&mut capture.rng), app::tls_data(&mut capture.rng, 500));
        let mut tcp = Tcp::open(capture, at, visitor, end(SERVER, 443));
        tcp.ask(&hello).answer(&first).answer(&page).close();
        at += SECOND / per_second.max(1);
    }
}

fn logins() -> Vec<Case> {
    vec![
        Case {
            name: "bruteforce.login/positive-ssh",
            about: "An outside host opens 70 SSH sessions within six minutes; each password is refused.",
            config: None,
            expect: vec![Expect::of("bruteforce.login", Some(GUESSER), Some(SERVER))],
            build: |c| {
                talk::office(c, &PLAIN, 0, 20 * SECOND);
                ssh_guesses(c, 5 * SECOND, GUESSER, end(SERVER, 22));
            },
        },
        Case {
            name: "bruteforce.login/positive-ftp",
            about: "An outside host tries 60 FTP passwords in 20 sessions; each is answered with 530.",
            config: None,
            expect: vec![Expect::of("bruteforce.login", Some(GUESSER), Some(SERVER))],
            build: |c| {
                talk::office(c, &PLAIN, 0, 20 * SECOND);
                act::ftp_guesses(c, 5 * SECOND, GUESSER, end(SERVER, 21), 20, 3);
            },
        },
        Case {
            name: "bruteforce.login/benign-jobs",
            about: "A backup job copies over SSH every five minutes and a monitor reads the SSH banner every minute.",
            config: None,
            expect: vec![],
            build: jobs,
        },
        Case {
            name: "bruteforce.login/benign-forgetful",
            about: "Somebody mistypes the FTP password four times, then waits and mistypes the SSH password twice.",
            config: None,
            expect: vec![],
            build: |c| {
                talk::office(c, &PLAIN, 0, 60 * SECOND);
                act::ftp_guesses(c, 5 * SECOND, PLAIN.host(22), end(SERVER, 21), 2, 2);
                act::ssh(c, 45 * SECOND, PLAIN.host(22), end(SERVER, 22), SshEnd::Refused(2));
                act::ssh(c, 60 * SECOND, PLAIN.host(22), end(SERVER, 22), SshEnd::Copied(20_000));
            },
        },
    ]
}

/// Seventy sessions in which an SSH password is refused.
pub(crate) fn ssh_guesses(capture: &mut Capture, start: u64, from: IpAddr, to: End) {
    let mut at = start;
    for _ in 0..70 {
        act::ssh(capture, at, from, to, SshEnd::Refused(1));
        at += capture.rng.between(3 * SECOND, 7 * SECOND);
    }
}

fn jobs(capture: &mut Capture) {
    for minute in 0..25_u64 {
        let at = minute * 60 * SECOND;
        let from = end(MONITOR, capture.port());
        let mut tcp = Tcp::open(capture, at, from, end(SERVER, 22));
        tcp.answer(b"SSH-2.0-OpenSSH_9.2p1 Debian-2+deb12u3\r\n").close();
        if minute % 5 == 0 {
            act::ssh(capture, at + 7 * SECOND, PLAIN.host(12), end(SERVER, 22), SshEnd::Copied(90_000));
        }
    }
    talk::office(capture, &PLAIN, 0, 60 * SECOND);
}

fn tunnels() -> Vec<Case> {
    let client = PLAIN.host(40);
    vec![
        Case {
            name: "dns.tunnel/positive-txt",
            about: "An inside host sends 400 names with 110 random characters under tunnel.example; TXT and NULL answers.",
            config: None,
            expect: vec![Expect::of("dns.tunnel", Some(client), None)],
            build: |c| {
                talk::office(c, &PLAIN, 0, 60 * SECOND);
                act::tunnel(c, 5 * SECOND, (PLAIN.host(40), PLAIN.resolver), "tunnel.example", 400);
            },
        },
        Case {
            name: "dns.tunnel/benign-lookups",
            about: "Antivirus hash look-ups, delivery network names, reverse look-ups, mDNS and NTP.",
            config: None,
            expect: vec![],
            build: look_ups,
        },
    ]
}

fn look_ups(capture: &mut Capture) {
    let (client, resolver) = (PLAIN.host(26), PLAIN.resolver);
    for number in 0..120_u64 {
        let at = number * 500 * MILLI;
        if number % 4 == 0 {
            let hash = capture.rng.text(32, "0123456789abcdef");
            talk::look_up(capture, at, client, resolver, &format!("{hash}.h.avcheck.example"));
        }
        let edge = capture.rng.text(6, "abcdefghijklmnopqrstuvwxyz0123456789");
        let name = format!("{edge}.dscb{}.delivery.example.net", number % 30);
        talk::look_up(capture, at + 90 * MILLI, client, resolver, &name);
        let (port, id) = (capture.port(), capture.rng.word());
        let reverse = format!("{}.100.51.198.in-addr.arpa", number + 1);
        let host = [&b"\x04host\x07example\x03net\x00"[..]].concat();
        let answer = app::dns_answer(id, &reverse, app::PTR, &[host]);
        let ends = (end(MONITOR, port), end(resolver, 53));
        capture.exchange(
            at + 200 * MILLI,
            9 * MILLI,
            ends,
            (&app::dns_query(id, &reverse, app::PTR), &answer),
        );
        if number % 5 == 0 {
            let mdns = (end(client, 5_353), end(v4([224, 0, 0, 251]), 5_353));
            let query = app::dns_query(0, "_printer._tcp.local", app::PTR);
            capture.udp(at + 300 * MILLI, mdns.0, mdns.1, &query);
            let id = capture.rng.word();
            let query = app::dns_query(id, "www.pref.example", app::AAAA);
            let none = app::dns_answer(id, "www.pref.example", app::AAAA, &[]);
            let ends = (end(client, capture.port()), end(resolver, 53));
            capture.exchange(at + 350 * MILLI, 9 * MILLI, ends, (&query, &none));
        }
    }
    talk::office(capture, &PLAIN, 0, 30 * SECOND);
}

const MY_NUMBER: IpAddr = v4([172, 16, 4, 21]);
const LGWAN: IpAddr = v4([172, 17, 5, 33]);
const SCREEN: IpAddr = v4([172, 17, 5, 10]);
const SCREEN_SERVER: IpAddr = v4([192, 168, 9, 8]);
const OUTSIDE: IpAddr = v4([198, 51, 100, 80]);

fn segments() -> Vec<Case> {
    vec![
        Case {
            name: "segment.violation/positive-mynumber",
            about: "A host of the MyNumber segment sends a file to an address in the internet.",
            config: Some(SEGMENTS),
            expect: vec![Expect::of("segment.violation", Some(MY_NUMBER), Some(OUTSIDE))],
            build: |c| {
                act::upload(c, 5 * SECOND, MY_NUMBER, end(OUTSIDE, 80), "files.example.net", 40_000);
            },
        },
        Case {
            name: "segment.violation/positive-lgwan",
            about: "A host of the LGWAN segment opens a TLS connection to the internet, past every relay.",
            config: Some(SEGMENTS),
            expect: vec![Expect::of("segment.violation", Some(LGWAN), Some(OUTSIDE))],
            build: |c| {
                talk::browse(c, 5 * SECOND, LGWAN, end(OUTSIDE, 443), "files.example.net");
            },
        },
        Case {
            name: "segment.violation/benign-allowed",
            about: "Screen transfer from LGWAN to the internet segment, as permitted until 2036; talk within segments.",
            config: Some(SEGMENTS),
            expect: vec![],
            build: |c| {
                for minute in 0..5_u64 {
                    let at = minute * 60 * SECOND;
                    talk::browse(c, at, SCREEN, end(SCREEN_SERVER, 443), "screen.city.example");
                    talk::browse(
                        c,
                        at + SECOND,
                        MY_NUMBER,
                        end(v4([172, 16, 1, 2]), 443),
                        "tax.city.example",
                    );
                    talk::browse(
                        c,
                        at + 2 * SECOND,
                        LGWAN,
                        end(v4([172, 17, 1, 2]), 443),
                        "mail.city.example",
                    );
                }
            },
        },
    ]
}
