//! Command and control, tunnels and generated names.

use std::net::IpAddr;

use super::super::app;
use super::super::capture::{Capture, MILLI, SECOND, Tcp};
use super::super::craft::{self, Echo, end, v4};
use super::super::talk::{self, PLAIN};
use super::super::{Case, Expect};

const CONTROLLER: IpAddr = v4([203, 0, 113, 80]);
pub(super) const INFECTED: IpAddr = v4([192, 168, 10, 61]);
const LETTERS: &str = "abcdefghijklmnopqrstuvwxyz";

/// Every case.
pub(super) fn all() -> Vec<Case> {
    [beacons(), tunnels(), names()].concat()
}

fn beacons() -> Vec<Case> {
    let both = || vec![Expect::of("c2.beacon", Some(INFECTED), Some(CONTROLLER))];
    vec![
        Case {
            name: "c2.beacon/positive-raw",
            about: "An inside host opens a short connection to a bare address every 45 s (a fifth of that either way) and \
                    reports in a protocol of its own.",
            config: None,
            expect: both(),
            build: raw_beacon,
        },
        Case {
            name: "c2.beacon/positive-heartbeat",
            about: "One connection to a bare address in an unknown protocol: the same short message every ten seconds.",
            config: None,
            expect: both(),
            build: heartbeat,
        },
        Case {
            name: "c2.beacon/positive-polling",
            about: "A program that calls itself a browser posts to one path of a bare address about every 30 s.",
            config: None,
            expect: both(),
            build: polling,
        },
        Case {
            name: "c2.beacon/benign-regular",
            about: "Time, telemetry by name, push messages, a chat program's keep-alives, metrics and printers polled inside.",
            config: None,
            expect: vec![],
            build: regular_in_good_faith,
        },
    ]
}

/// The infected host's ordinary look-ups, so that it is known to use names.
fn ordinary(capture: &mut Capture, until: u64) {
    talk::office(capture, &PLAIN, 0, 60 * SECOND);
    for at in (SECOND..until).step_by(90_000_000) {
        talk::look_up(capture, at, INFECTED, PLAIN.resolver, "www.pref.example");
    }
}

fn raw_beacon(capture: &mut Capture) {
    let mut at = 3 * SECOND;
    for _ in 0..30 {
        let source = end(INFECTED, capture.port());
        let report = [&b"\x01\x00\x5fhello"[..], &[0x2a; 90]].concat();
        let orders = capture.rng.bytes(16);
        Tcp::open(capture, at, source, end(CONTROLLER, 7_261)).ask(&report).answer(&orders).close();
        at += capture.rng.between(36 * SECOND, 54 * SECOND);
    }
    ordinary(capture, at);
}

pub(super) fn heartbeat(capture: &mut Capture) {
    let source = end(INFECTED, capture.port());
    let mut tcp = Tcp::open(capture, 2 * SECOND, source, end(CONTROLLER, 9_617));
    for _ in 0..40 {
        tcp.ask(b"\x07\x00alive|61|0\n").wait(10 * SECOND);
    }
    let at = tcp.close();
    ordinary(capture, at);
}

fn polling(capture: &mut Capture) {
    let source = end(INFECTED, capture.port());
    let waits: Vec<u64> = (0..24).map(|_| capture.rng.between(24 * SECOND, 36 * SECOND)).collect();
    let mut tcp = Tcp::open(capture, 2 * SECOND, source, end(CONTROLLER, 8_899));
    for wait in waits {
        let request = "POST /v1/check HTTP/1.1\r\nHost: 203.0.113.80:8899\r\n\
                       User-Agent: Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:128.0) Gecko/20100101 Firefox/128.0\r\n\
                       Content-Length: 24\r\n\r\nc2Vzc2lvbj0xMjM0NTY3OA==";
        tcp.ask(request.as_bytes()).answer(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nbm9w").wait(wait);
    }
    let at = tcp.close();
    ordinary(capture, at);
}

fn regular_in_good_faith(capture: &mut Capture) {
    const MINUTES: u64 = 25;
    let client = PLAIN.host(33);
    let telemetry = v4([192, 0, 2, 80]);
    ordinary(capture, MINUTES * 60 * SECOND);
    for minute in 0..MINUTES {
        let at = minute * 60 * SECOND;
        let ntp = [0x23_u8; 48];
        let clock = (end(client, 123), end(v4([198, 51, 100, 123]), 123));
        capture.exchange(at, 9 * MILLI, clock, (&ntp, &ntp));
        name(capture, at + SECOND, (client, "telemetry.example.com"), telemetry);
        talk::browse(capture, at + 2 * SECOND, client, end(telemetry, 443), "telemetry.example.com");
        let metrics = end(PLAIN.host(9), capture.port());
        let body = "POST /api/v1/write HTTP/1.1\r\nHost: 192.168.10.5:9090\r\nUser-Agent: Prometheus/2.53\r\n\
                    Content-Type: application/x-protobuf\r\nContent-Length: 5\r\n\r\n12345";
        let mut tcp = Tcp::open(capture, at + 3 * SECOND, metrics, end(PLAIN.host(5), 9_090));
        tcp.ask(body.as_bytes()).answer(b"HTTP/1.1 204 No Content\r\n\r\n").close();
        let monitor = end(PLAIN.host(9), capture.port());
        let status = app::http_ok(&mut capture.rng, 40);
        let mut tcp = Tcp::open(capture, at + 4 * SECOND, monitor, end(PLAIN.host(40), 80));
        tcp.ask(&app::http_get("192.168.10.40", "/status")).answer(&status).close();
    }
    push(capture, client, (v4([198, 51, 100, 52]), 5_228), 60 * SECOND);
    name(capture, SECOND / 2, (client, "chat.example.net"), v4([198, 51, 100, 88]));
    push(capture, client, (v4([198, 51, 100, 88]), 443), 30 * SECOND);
}

/// One long connection over TLS with a keep-alive every so often.
fn push(capture: &mut Capture, client: IpAddr, server: (IpAddr, u16), every: u64) {
    let source = end(client, capture.port());
    let hello = app::client_hello(&mut capture.rng, "chat.example.net");
    let (first, alive) = (app::server_hello(&mut capture.rng), app::tls_data(&mut capture.rng, 40));
    let mut tcp = Tcp::open(capture, SECOND, source, end(server.0, server.1));
    tcp.ask(&hello).answer(&first);
    for _ in 0..20 {
        tcp.ask(&alive).answer(&alive).wait(every);
    }
    tcp.close();
}

/// A name is looked up and answered with this address.
fn name(capture: &mut Capture, at: u64, (client, name): (IpAddr, &str), address: IpAddr) {
    let IpAddr::V4(address) = address else { return };
    let (id, ends) = (capture.rng.word(), (end(client, capture.port()), end(PLAIN.resolver, 53)));
    let answer = app::dns_answer(id, name, app::A, &[address.octets().to_vec()]);
    capture.exchange(at, 5 * MILLI, ends, (&app::dns_query(id, name, app::A), &answer));
}

fn tunnels() -> Vec<Case> {
    vec![
        Case {
            name: "c2.tunnel/positive-echo",
            about: "Packets of a shell session carried in ICMP echoes to an outside host; the answers carry the other way.",
            config: None,
            expect: vec![Expect::of("c2.tunnel", Some(INFECTED), Some(CONTROLLER))],
            build: |c| {
                ordinary(c, 60 * SECOND);
                for (number, sequence) in (0..).zip(1..=80_u16) {
                    let at = 5 * SECOND + number * 600 * MILLI;
                    for (which, ends) in
                        [(Echo::Request, (INFECTED, CONTROLLER)), (Echo::Reply, (CONTROLLER, INFECTED))]
                    {
                        let size = usize::try_from(c.rng.between(40, 400)).unwrap_or(40);
                        let inner =
                            [&[0x45, 0, 0, 60, 0x3a, 0x68, 0x40, 0, 64, 6][..], &c.rng.bytes(size)].concat();
                        let delay = if which == Echo::Reply { 30 * MILLI } else { 0 };
                        c.push(at + delay, craft::echo_with(ends, (sequence, sequence), which, &inner));
                    }
                }
            },
        },
        Case {
            name: "c2.tunnel/benign-ping",
            about: "Monitoring pings every second, somebody looks for the path's MTU with ever larger pings, and a probe that \
                    fills its pings at random; all are answered with what was asked.",
            config: None,
            expect: vec![],
            build: pings,
        },
    ]
}

fn pings(capture: &mut Capture) {
    let (monitor, client) = (PLAIN.host(9), PLAIN.host(21));
    let (near, far) = (PLAIN.host(5), v4([198, 51, 100, 10]));
    talk::office(capture, &PLAIN, 0, 60 * SECOND);
    for (number, sequence) in (0..).zip(1..=60_u16) {
        let at = number * SECOND;
        let size = usize::from(sequence) * 24;
        let letters: Vec<u8> = (b'a'..=b'w').cycle().take(size).collect();
        let filled = capture.rng.bytes(120);
        for (which, delay) in [(Echo::Request, 0), (Echo::Reply, 8 * MILLI)] {
            let turn = |a: IpAddr, b: IpAddr| if which == Echo::Request { (a, b) } else { (b, a) };
            let numbers = (sequence, sequence);
            capture.push(at + delay, craft::echo_with(turn(monitor, near), numbers, which, &[0; 56]));
            capture.push(
                at + 200 * MILLI + delay,
                craft::echo_with(turn(client, far), numbers, which, &letters),
            );
            capture.push(
                at + 400 * MILLI + delay,
                craft::echo_with(turn(monitor, far), numbers, which, &filled),
            );
        }
    }
}

fn names() -> Vec<Case> {
    vec![
        Case {
            name: "dns.dga/positive-random",
            about: "An inside host asks for 60 domains of random letters within five minutes; one of them exists.",
            config: None,
            expect: vec![Expect::of("dns.dga", Some(INFECTED), None)],
            build: |c| {
                ordinary(c, 300 * SECOND);
                for number in 0..60_u64 {
                    let (label, exists) = (c.rng.text(14, LETTERS), number == 47);
                    ask(c, 4 * SECOND + number * 5 * SECOND, INFECTED, &format!("{label}.example"), exists);
                }
            },
        },
        Case {
            name: "dns.dga/benign-not-found",
            about: "Mistyped names, a browser's three random probes at each start, a search list, a mail server that looks up \
                    senders' domains, reverse look-ups.",
            config: None,
            expect: vec![],
            build: not_found,
        },
    ]
}

/// A name is asked for, and found or not.
fn ask(capture: &mut Capture, at: u64, client: IpAddr, name: &str, exists: bool) {
    let (id, ends) = (capture.rng.word(), (end(client, capture.port()), end(PLAIN.resolver, 53)));
    let data = if exists { vec![vec![192, 0, 2, 7]] } else { vec![] };
    let answer = app::dns_answer(id, name, app::A, &data);
    capture.exchange(at, 12 * MILLI, ends, (&app::dns_query(id, name, app::A), &answer));
}

fn not_found(capture: &mut Capture) {
    const TYPED: [&str; 12] = [
        "wwwpref",
        "cityofice",
        "newss",
        "gooogle",
        "yahooo",
        "mapps",
        "wether",
        "librery",
        "kokusei",
        "juminhyo",
        "nagasakishi",
        "youtub",
    ];
    const SENDERS: [&str; 14] = [
        "discount-offers",
        "best-price",
        "travelnews",
        "mailblast",
        "winprize",
        "cheapwatch",
        "loanfast",
        "medsonline",
        "jobsnow",
        "cryptogain",
        "dietplan",
        "casinobonus",
        "freegift",
        "luckydraw",
    ];
    let client = PLAIN.host(24);
    talk::office(capture, &PLAIN, 0, 60 * SECOND);
    for (number, typed) in (0..).zip(TYPED) {
        let at = number * 40 * SECOND;
        ask(capture, at, client, &format!("www.{typed}.example"), false);
        ask(capture, at + SECOND, client, "www.pref.example", true);
        // The browser was started again: three names without a dot, and with the client's own domain behind.
        for probe in 0..3_u64 {
            let label = capture.rng.text(11, LETTERS);
            ask(capture, at + 3 * SECOND + probe * 50 * MILLI, client, &label, false);
            ask(
                capture,
                at + 4 * SECOND + probe * 50 * MILLI,
                client,
                &format!("{label}.city.example"),
                false,
            );
        }
        ask(capture, at + 9 * SECOND, client, &format!("{number}.2.0.192.in-addr.arpa"), false);
    }
    let server = PLAIN.host(25);
    for (number, sender) in (0..).zip(SENDERS) {
        let at = number * 20 * SECOND;
        ask(capture, at, server, &format!("{sender}.example"), number % 3 == 0);
        ask(capture, at + SECOND, server, &format!("7.{number}.113.203.list.example"), number % 2 == 0);
    }
}
