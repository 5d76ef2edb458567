//! Forged ARP, DNS, DHCP and TCP; approvals that ran out, and two bodies behind one interface.

mod forge;

use std::net::{IpAddr, Ipv4Addr};

use super::super::app;
use super::super::capture::{Capture, MILLI, SECOND};
use super::super::craft::{self, End, TcpFlags, end, v4};
use super::super::talk::{self, PLAIN};
use super::super::{Case, Expect};
use super::SEGMENTS;
use forge::{ALL, Mac, Server};

const GATEWAY: Ipv4Addr = Ipv4Addr::new(192, 168, 10, 1);
const VICTIM: Ipv4Addr = Ipv4Addr::new(192, 168, 10, 24);
const FORGER: Ipv4Addr = Ipv4Addr::new(192, 168, 10, 66);
const SITE: End = end(v4([198, 51, 100, 24]), 80);

/// Every case.
pub(super) fn all() -> Vec<Case> {
    [addresses(), names(), streams(), leases(), segments()].concat()
}

fn mac(ip: Ipv4Addr) -> Mac {
    forge::mac(IpAddr::V4(ip))
}

fn addresses() -> Vec<Case> {
    vec![
        Case {
            name: "spoof.arp/positive-both-ways",
            about: "A host tells the gateway that it is a computer and the computer that it is the gateway, every two seconds.",
            config: None,
            expect: vec![Expect::of("spoof.arp", Some(IpAddr::V4(FORGER)), None)],
            build: |c| {
                talk::office(c, &PLAIN, 0, 40 * SECOND);
                talk::resolve_arp(c, SECOND, FORGER, GATEWAY);
                talk::resolve_arp(c, 2 * SECOND, FORGER, VICTIM);
                for at in (10 * SECOND..40 * SECOND).step_by(2_000_000) {
                    let forged = |claimed, told| forge::arp(2, (mac(FORGER), claimed), (mac(told), told));
                    c.push(at, forged(GATEWAY, VICTIM));
                    c.push(at + MILLI, forged(VICTIM, GATEWAY));
                }
            },
        },
        Case {
            name: "spoof.arp/benign-failover",
            about: "A gateway without a virtual address fails over and back, announcing itself; a lease goes to another computer; a probe.",
            config: None,
            expect: vec![],
            build: failover,
        },
    ]
}

fn failover(capture: &mut Capture) {
    const OTHER: Mac = [2, 1, 192, 168, 10, 2];
    talk::office(capture, &PLAIN, 0, 20 * SECOND);
    for (start, holder) in [(30 * SECOND, OTHER), (90 * SECOND, mac(GATEWAY))] {
        for nth in 0..5 {
            let announce = forge::arp(1, (holder, GATEWAY), (ALL, GATEWAY));
            capture.push(start + nth * 200 * MILLI, announce);
        }
        for last in 20..36_u8 {
            let host = Ipv4Addr::new(192, 168, 10, last);
            let at = start + 2 * SECOND + u64::from(last) * SECOND;
            capture.push(at, forge::arp(1, (mac(host), host), (ALL, GATEWAY)));
            capture.push(at + MILLI, forge::arp(2, (holder, GATEWAY), (mac(host), host)));
        }
    }
    let lease = Ipv4Addr::new(192, 168, 10, 90);
    for (at, holder) in [(SECOND, [2, 9, 0, 0, 0, 1]), (3_600 * SECOND, [2, 9, 0, 0, 0, 2])] {
        capture.push(at, forge::arp(1, (holder, Ipv4Addr::UNSPECIFIED), (ALL, lease)));
        for nth in 1..3 {
            capture.push(at + nth * 2 * SECOND, forge::arp(1, (holder, lease), (ALL, lease)));
        }
    }
}

fn names() -> Vec<Case> {
    vec![
        Case {
            name: "spoof.dns/positive-race",
            about: "A host beside the path answers three look-ups before the outside name server does.",
            config: None,
            expect: vec![Expect::of("spoof.dns", None, Some(IpAddr::V4(VICTIM)))],
            build: race,
        },
        Case {
            name: "spoof.dns/positive-llmnr",
            about: "A host answers seven mistyped and unknown names over LLMNR with its own address.",
            config: None,
            expect: vec![Expect::of("spoof.dns", Some(IpAddr::V4(FORGER)), None)],
            build: |c| {
                talk::office(c, &PLAIN, 0, 20 * SECOND);
                let names = ["wpad", "fielsrv", "printr1", "qpzxv", "intranett", "sahre", "wpad2"];
                llmnr(c, FORGER, &names);
            },
        },
        Case {
            name: "spoof.dns/benign-asked-twice",
            about: "A query is repeated and answered twice with different addresses; two servers differ; a host answers for its own name.",
            config: None,
            expect: vec![],
            build: |c| {
                talk::office(c, &PLAIN, 0, 20 * SECOND);
                for nth in 0..20_u8 {
                    let at = u64::from(nth) * SECOND;
                    let ends = (end(IpAddr::V4(VICTIM), c.port()), end(v4([198, 51, 100, 53]), 53));
                    let id = c.rng.word();
                    let query = app::dns_query(id, "www.cdn.example", app::A);
                    let answer =
                        |last| app::dns_answer(id, "www.cdn.example", app::A, &[vec![203, 0, 113, last]]);
                    c.exchange(at, 1_030 * MILLI, ends, (&query, &answer(nth)));
                    c.exchange(at + SECOND, 40 * MILLI, ends, (&query, &answer(nth + 100)));
                    let other = (ends.0, end(v4([198, 51, 100, 54]), 53));
                    c.exchange(at + 5, 50 * MILLI, other, (&query, &answer(nth + 200)));
                }
                llmnr(c, Ipv4Addr::new(192, 168, 10, 5), &["filesrv"; 12]);
            },
        },
    ]
}

fn race(capture: &mut Capture) {
    talk::office(capture, &PLAIN, 0, 20 * SECOND);
    for (nth, name) in (1..).zip(["www.bank.example", "mail.example.net", "login.pref.example"]) {
        let at = nth * 4 * SECOND;
        let (client, server) = (end(IpAddr::V4(VICTIM), capture.port()), end(v4([198, 51, 100, 53]), 53));
        let id = capture.rng.word();
        let answer = |address: [u8; 4]| app::dns_answer(id, name, app::A, &[address.to_vec()]);
        let real = answer([203, 0, 113, 80]);
        capture.exchange(at, 31 * MILLI, (client, server), (&app::dns_query(id, name, app::A), &real));
        let forged = craft::udp(server, client, 1, &answer(FORGER.octets()));
        capture.push(at + 3 * MILLI, forge::between(mac(FORGER), mac(VICTIM), &forged));
    }
}

fn llmnr(capture: &mut Capture, host: Ipv4Addr, names: &[&str]) {
    for (nth, name) in (1..).zip(names) {
        let at = nth * 2 * SECOND;
        let client = end(IpAddr::V4(VICTIM), capture.port());
        let id = capture.rng.word();
        let group = end(v4([224, 0, 0, 252]), 5_355);
        capture.udp(at, client, group, &app::dns_query(id, name, app::A));
        let answer = app::dns_answer(id, name, app::A, &[host.octets().to_vec()]);
        capture.udp(at + 2 * MILLI, end(IpAddr::V4(host), 5_355), client, &answer);
    }
}

fn streams() -> Vec<Case> {
    vec![
        Case {
            name: "inject.tcp/positive-redirect",
            about: "A forged redirect comes before the web server's own answer, with the same sequence number.",
            config: None,
            expect: vec![Expect::of("inject.tcp", None, Some(IpAddr::V4(VICTIM)))],
            build: |c| {
                talk::office(c, &PLAIN, 0, 20 * SECOND);
                let (client, seqs) = asks_for_page(c, 5 * SECOND);
                let forged = b"HTTP/1.1 302 Found\r\nLocation: http://www.example.org/update\r\n\r\n";
                let frame = forge::data(SITE, client, seqs, forged);
                c.push(5 * SECOND + 21 * MILLI, forge::between(mac(FORGER), mac(VICTIM), &frame));
                let page = app::http_ok(&mut c.rng, 900);
                c.push(5 * SECOND + 40 * MILLI, forge::data(SITE, client, seqs, &page));
            },
        },
        Case {
            name: "inject.tcp/benign-retransmission",
            about: "A lost acknowledgement: the server sends its answer again, in other pieces; keep-alives with a byte of garbage.",
            config: None,
            expect: vec![],
            build: |c| {
                talk::office(c, &PLAIN, 0, 20 * SECOND);
                let (client, (seq, ack)) = asks_for_page(c, 5 * SECOND);
                let page = app::http_ok(&mut c.rng, 900);
                for (nth, length) in (0..).zip([page.len(), 100, 536, page.len()]) {
                    let piece = page.get(..length).unwrap_or_default();
                    c.push(
                        5 * SECOND + (40 + nth * 300) * MILLI,
                        forge::data(SITE, client, (seq, ack), piece),
                    );
                }
                let last = seq.wrapping_add(u32::try_from(page.len()).unwrap_or_default()).wrapping_sub(1);
                for at in [15, 25] {
                    c.push(at * SECOND, forge::data(SITE, client, (last, ack), &[0]));
                }
            },
        },
    ]
}

/// A client asks for a page: the client's end, and the numbers with which the answer begins.
fn asks_for_page(capture: &mut Capture, at: u64) -> (End, (u32, u32)) {
    let client = end(IpAddr::V4(VICTIM), capture.port());
    let (own, other) = (capture.rng.number(), capture.rng.number());
    let next = (own.wrapping_add(1), other.wrapping_add(1));
    capture.segment(at, client, SITE, (own, 0), TcpFlags::SYN);
    capture.segment(at + 15 * MILLI, SITE, client, (other, next.0), TcpFlags::SYN_ACK);
    capture.segment(at + 16 * MILLI, client, SITE, next, TcpFlags::ACK);
    let request = app::http_get("news.example", "/");
    capture.push(at + 17 * MILLI, forge::data(client, SITE, next, &request));
    (client, (next.1, next.0.wrapping_add(u32::try_from(request.len()).unwrap_or_default())))
}

const RIGHT: Server =
    Server { own: [192, 168, 10, 5], router: [192, 168, 10, 1], dns: [192, 168, 10, 53], lease: 86_400 };

fn leases() -> Vec<Case> {
    vec![
        Case {
            name: "dhcp.rogue/positive-router",
            about: "A host offers leases faster than the server, with itself as router and name server.",
            config: None,
            expect: vec![Expect::of("dhcp.rogue", Some(IpAddr::V4(FORGER)), None)],
            build: |c| {
                let own = FORGER.octets();
                let rogue = Server { own, router: own, dns: own, lease: 3_600 };
                serve(c, &[(rogue, 2 * MILLI, 200), (RIGHT, 900 * MILLI, 100)]);
            },
        },
        Case {
            name: "dhcp.rogue/benign-failover-pair",
            about: "Two servers of one failover pair offer the same settings, one for a shorter time.",
            config: None,
            expect: vec![],
            build: |c| {
                let twin = Server { own: [192, 168, 10, 6], lease: 1_800, ..RIGHT };
                serve(c, &[(RIGHT, 3 * MILLI, 100), (twin, 5 * MILLI, 180)]);
            },
        },
        Case {
            name: "dhcp.starvation/positive-drawn",
            about: "One device takes 80 leases in the names of computers that do not exist.",
            config: None,
            expect: vec![Expect::of("dhcp.starvation", None, Some(v4(RIGHT.own)))],
            build: |c| {
                for nth in 0..80_u8 {
                    let (at, id) = (u64::from(nth) * 700 * MILLI, c.rng.number());
                    let [a, b, d, e, f, ..] = c.rng.next().to_be_bytes();
                    let client = [a & 0xfe, b, d, e, f, nth];
                    forge::ask(c, at, (1, id), (mac(FORGER), client), "");
                    forge::give(c, at + 3 * MILLI, (2, id), (client, [192, 168, 10, 100 + nth]), RIGHT);
                    forge::ask(c, at + 5 * MILLI, (3, id), (mac(FORGER), client), "");
                    forge::give(c, at + 8 * MILLI, (5, id), (client, [192, 168, 10, 100 + nth]), RIGHT);
                }
            },
        },
        Case {
            name: "dhcp.starvation/benign-morning",
            about: "120 computers of two makers are switched on within a minute and a half and get their leases.",
            config: None,
            expect: vec![],
            build: |c| {
                for nth in 0..120_u8 {
                    let (at, id) = (u64::from(nth) * 750 * MILLI, c.rng.number());
                    let client = [2, 0x1b, nth % 2, 7, 7, nth];
                    let name = format!("PC-{nth:04}");
                    forge::ask(c, at, (1, id), (client, client), &name);
                    forge::give(c, at + 3 * MILLI, (2, id), (client, [192, 168, 10, 100 + nth]), RIGHT);
                    forge::ask(c, at + 5 * MILLI, (3, id), (client, client), &name);
                    forge::give(c, at + 8 * MILLI, (5, id), (client, [192, 168, 10, 100 + nth]), RIGHT);
                }
            },
        },
    ]
}

/// The right server gives a computer its address for a day.
pub(super) fn lease(capture: &mut Capture, at: u64, (client, address): (Mac, IpAddr), name: &str) {
    let IpAddr::V4(address) = address else { return };
    let (id, given) = (capture.rng.number(), (client, address.octets()));
    forge::ask(capture, at, (1, id), (client, client), name);
    forge::give(capture, at + 3 * MILLI, (2, id), given, RIGHT);
    forge::ask(capture, at + 5 * MILLI, (3, id), (client, client), name);
    forge::give(capture, at + 8 * MILLI, (5, id), given, RIGHT);
}

/// Six computers ask for a lease; each server offers after its delay, and the first is taken.
fn serve(capture: &mut Capture, servers: &[(Server, u64, u8)]) {
    talk::office(capture, &PLAIN, 0, 20 * SECOND);
    for nth in 0..6_u8 {
        let (at, id) = (u64::from(nth) * 30 * SECOND, capture.rng.number());
        let client = [2, 0x1b, 0, 7, 7, nth];
        forge::ask(capture, at, (1, id), (client, client), "pc");
        for (server, delay, first) in servers {
            let given = [192, 168, 10, first + nth];
            forge::give(capture, at + delay, (2, id), (client, given), *server);
        }
        forge::ask(capture, at + SECOND, (3, id), (client, client), "pc");
        if let Some((server, delay, first)) = servers.first() {
            let given = [192, 168, 10, first + nth];
            forge::give(capture, at + SECOND + delay, (5, id), (client, given), *server);
        }
    }
}

fn segments() -> Vec<Case> {
    const TRANSFER: IpAddr = v4([172, 17, 5, 11]);
    const SCREEN_SERVER: IpAddr = v4([192, 168, 9, 8]);
    const TERMINAL: IpAddr = v4([172, 17, 5, 33]);
    vec![
        Case {
            name: "segment.violation/positive-expired",
            about: "Screen transfer from LGWAN to the internet segment goes on seven months after its approval ran out.",
            config: Some(SEGMENTS),
            expect: vec![Expect::of("segment.violation", Some(TRANSFER), Some(SCREEN_SERVER))],
            build: |c| {
                for nth in 0..3 {
                    let at = nth * 60 * SECOND;
                    talk::browse(c, at, TRANSFER, end(SCREEN_SERVER, 443), "screen.city.example");
                }
            },
        },
        Case {
            name: "segment.violation/positive-two-bodies",
            about: "Two bodies number their LGWAN segments alike; VLANs 20 and 120 tell them apart. A terminal of each tries the internet.",
            config: Some("two-bodies.toml"),
            expect: vec![Expect::of("segment.violation", Some(TERMINAL), None)],
            build: |c| {
                for (nth, vlan) in (0..).zip([20, 120, 20, 120]) {
                    let (from, to) = (end(TERMINAL, c.port()), end(SITE.ip, 443));
                    let (seq, flags) = (c.rng.number(), TcpFlags::SYN);
                    let syn = craft::Segment { from, to, seq, ack: 0, flags, window: 64_240, payload: &[] };
                    c.push(nth * 5 * SECOND, forge::tagged(vlan, &craft::tcp(&syn, 1)));
                }
            },
        },
    ]
}
