//! The internet at the door: citizens who read the web site, crawlers, those who work at home, and the usual background of
//! scanners that knock once.

use std::net::IpAddr;

use super::session::{Session, Way};
use super::tape::Tape;
use super::tls;
use super::world::{DAY, HOUR, MINUTE, World, is_workday};
use crate::pcaps::app;
use crate::pcaps::capture::{MILLI, SECOND};
use crate::pcaps::craft::{end, v4};

/// Ports that the background tries most.
const KNOCKED: [u16; 20] = [
    23, 22, 445, 3_389, 80, 443, 8_080, 2_323, 5_900, 1_433, 6_379, 21, 25, 8_443, 3_306, 5_555, 81, 8_888,
    9_200, 2_222,
];
const PATHS: [&str; 8] = [
    "/",
    "/kurashi/gomi.html",
    "/kosodate/hoikuen/",
    "/css/site.css",
    "/img/header.png",
    "/bousai/",
    "/soshiki/shimin/juminhyo.html",
    "/search?q=%E3%82%B4%E3%83%9F+%E5%8F%8E%E9%9B%86",
];

/// All of it.
pub(super) fn begin(world: &mut World) {
    world.at(3 * SECOND, |world, at| {
        visit(world, at);
        Some(at + world.pause(if is_day(at) { 13 * SECOND } else { 80 * SECOND }))
    });
    world.at(11 * MINUTE, |world, at| {
        let pages = world.tape.rng.between(3, 40);
        crawl(world, at, pages);
        Some(at + world.pause(35 * MINUTE))
    });
    world.at(SECOND, |world, at| {
        knock(world, at);
        Some(at + world.pause(4 * SECOND))
    });
    world.at(40 * MINUTE, |world, at| {
        probe(world, at);
        Some(at + world.pause(50 * MINUTE))
    });
    let at_home = u8::try_from(world.hosts.len() / 8 + 1).unwrap_or(3);
    for number in 0..at_home {
        world.at(8 * HOUR + 20 * MINUTE + u64::from(number) * 4 * MINUTE, move |world, at| {
            if is_workday(at) {
                come_in(world, at, number);
            }
            Some(at + DAY)
        });
    }
}

const fn is_day(at: u64) -> bool {
    at % DAY > 7 * HOUR && at % DAY < 22 * HOUR
}

/// Anybody.
fn somebody(tape: &mut Tape) -> IpAddr {
    match tape.rng.between(0, 8) {
        0 => v4([198, 51, 100, tape.rng.byte()]),
        1 => v4([203, 0, 113, tape.rng.byte()]),
        _ => {
            let (a, b, c) = (tape.rng.byte(), tape.rng.byte(), tape.rng.byte());
            v4([198, 18 + (a & 1), b, c])
        }
    }
}

/// A citizen reads some pages: two or three connections over TLS, some give up early.
fn visit(world: &mut World, at: u64) {
    let web = world.servers.web;
    let tape = &mut world.tape;
    let visitor = somebody(tape);
    for number in 0..tape.rng.between(1, 4) {
        let mut session = Session::dial(tape, at + number * 70 * MILLI, visitor, end(web, 443));
        let hello = app::client_hello(&mut tape.rng, "www.city.example");
        let certificate = tls::certificate(
            &mut tape.rng,
            "www.city.example",
            "Example Public CA 3",
            ("260401000000Z", "270401000000Z"),
        );
        if tape.rng.between(0, 12) == 0 {
            // An old telephone that speaks TLS 1.2.
            let (first, key, finished) = (
                tls::flight(&mut tape.rng, &certificate),
                tls::key_exchange(&mut tape.rng),
                tls::finished(&mut tape.rng),
            );
            session.ask(tape, &hello).answer(tape, &first).ask(tape, &key).answer(tape, &finished);
        } else {
            let first = app::server_hello(&mut tape.rng);
            session.ask(tape, &hello).answer(tape, &first);
        }
        for _ in 0..tape.rng.between(1, 5) {
            let request = app::tls_data(&mut tape.rng, 400);
            let size = tape.rng.between(1_000, 90_000);
            let think = tape.rng.between(30 * MILLI, 4 * SECOND);
            session.ask(tape, &request).bulk(tape, Way::Down, size, 4_000_000, 11_680).wait(think);
        }
        match tape.rng.between(0, 8) {
            0 => session.abort(tape),
            1 => {}
            _ => session.close(tape),
        }
    }
    if tape.rng.between(0, 15) == 0 {
        let visitor = tape.source(visitor);
        let mut session = Session::open(tape, at, visitor, end(web, 80));
        session.ask(tape, &app::http_get("www.city.example", "/"));
        session.answer(tape, b"HTTP/1.1 301 Moved Permanently\r\nLocation: https://www.city.example/\r\nContent-Length: 0\r\n\r\n");
        session.close(tape);
    }
}

/// A search engine reads page after page; some are no more.
fn crawl(world: &mut World, at: u64, pages: u64) {
    let web = world.servers.web;
    let tape = &mut world.tape;
    let crawler = v4([198, 51, 100, 66 + u8::try_from(at / HOUR % 4).unwrap_or_default()]);
    let mut now = at;
    for number in 0..pages {
        let mut session = Session::dial(tape, now, crawler, end(web, 80));
        let Some(path) = tape.rng.pick(&PATHS).copied() else { return };
        let path = if number == 0 { "/robots.txt" } else { path };
        let request = format!(
            "GET {path}{} HTTP/1.1\r\nHost: www.city.example\r\nUser-Agent: Mozilla/5.0 (compatible; ExampleBot/2.1; \
             +http://bot.example/about.html)\r\nAccept: text/html\r\nFrom: bot@bot.example\r\n\r\n",
            if number % 7 == 6 { format!("old{number}.html") } else { String::new() }
        );
        let size = usize::try_from(tape.rng.between(500, 9_000)).unwrap_or(500);
        let page = if number % 7 == 6 {
            b"HTTP/1.1 404 Not Found\r\nContent-Type: text/html\r\nContent-Length: 9\r\n\r\nnot found"
                .to_vec()
        } else {
            app::http_ok(&mut tape.rng, size)
        };
        session.ask(tape, request.as_bytes()).answer(tape, &page).close(tape);
        now += tape.rng.between(4 * SECOND, 20 * SECOND);
    }
}

/// Background radiation: one SYN to one port of one of our public addresses, now and then two or three.
fn knock(world: &mut World, at: u64) {
    let (web, mail, vpn) = (world.servers.web, world.servers.mail, world.servers.vpn);
    let tape = &mut world.tape;
    let scanner = somebody(tape);
    for number in 0..(1 + u64::from(tape.rng.between(0, 6) == 0) * 2) {
        let port = tape.rng.pick(&KNOCKED).copied().unwrap_or(23);
        let Some(to) = tape.rng.pick(&[web, mail, vpn, v4([192, 168, 9, 77])]).copied() else { return };
        let from = tape.source(scanner);
        let (at, is_open) = (
            at + number * 40 * MILLI,
            (to, port) == (web, 443) || (to, port) == (web, 80) || (to, port) == (mail, 25),
        );
        if is_open {
            let session = Session::open(tape, at, from, end(to, port));
            session.abort(tape);
        } else if to == web {
            tape.refused(at, from, end(to, port));
        } else {
            tape.unanswered(at, from, end(to, port), 0);
        }
    }
    if tape.rng.between(0, 5) == 0 {
        let from = tape.source(scanner);
        let port = tape.rng.pick(&[53, 123, 161, 1_900, 5_060, 11_211, 389]).copied().unwrap_or(53);
        let payload = tape.rng.bytes(40);
        tape.udp(at + SECOND, from, end(web, port), &payload);
    }
    if tape.rng.between(0, 9) == 0 {
        let sequence = tape.rng.word();
        tape.ping(at + 2 * SECOND, scanner, web, sequence, true);
    }
}

/// Robots that look for known holes: five requests and away.
fn probe(world: &mut World, at: u64) {
    let web = world.servers.web;
    let tape = &mut world.tape;
    let robot = somebody(tape);
    let mut session = Session::dial(tape, at, robot, end(web, 80));
    for path in ["/", "/favicon.ico", "/.well-known/security.txt"] {
        let request = format!(
            "GET {path} HTTP/1.1\r\nHost: www.city.example\r\nUser-Agent: Mozilla/5.0 zgrab/0.x\r\nAccept: */*\r\n\r\n"
        );
        session.ask(tape, request.as_bytes());
        session.answer(tape, b"HTTP/1.1 301 Moved Permanently\r\nLocation: https://www.city.example/\r\nContent-Length: 0\r\n\r\n");
    }
    session.close(tape);
}

/// Somebody works at home: IKE and ESP in UDP, `OpenVPN`, or SSTP, to the body's own gateway, until the evening.
fn come_in(world: &mut World, at: u64, number: u8) {
    let home = v4([198, 18, 77, 10 + number]);
    let vpn = world.servers.vpn;
    let over = at / DAY * DAY + 17 * HOUR + u64::from(number) * 5 * MINUTE;
    match number % 3 {
        0 => {
            let (from, to) = (end(home, 500), end(vpn, 500));
            for (number, length) in [(0, 420_usize), (1, 330)] {
                let mut ask = world.tape.rng.bytes(16);
                ask.extend([33, 0x20, 34, if number == 0 { 8 } else { 0x20 }, 0, 0, 0, 0, 0, 0]);
                ask.extend(u16::try_from(length).unwrap_or_default().to_be_bytes());
                ask.extend(world.tape.rng.bytes(length - 28));
                let ends = if number == 0 { (from, to) } else { (to, from) };
                world.tape.udp(at + number * 20 * MILLI, ends.0, ends.1, &ask);
            }
            datagrams(world, at + SECOND, (home, 4_500), (vpn, 4_500), over);
        }
        1 => datagrams(world, at, (home, 51_000 + u16::from(number)), (vpn, 1_194), over),
        _ => {
            let tape = &mut world.tape;
            let mut session = Session::dial(tape, at, home, end(vpn, 443));
            let hello = app::client_hello(&mut tape.rng, "vpn.city.example");
            let certificate = tls::certificate(
                &mut tape.rng,
                "vpn.city.example",
                "Example Public CA 3",
                ("260401000000Z", "270401000000Z"),
            );
            let (first, key, finished) = (
                tls::flight(&mut tape.rng, &certificate),
                tls::key_exchange(&mut tape.rng),
                tls::finished(&mut tape.rng),
            );
            session.ask(tape, &hello).answer(tape, &first).ask(tape, &key).answer(tape, &finished);
            world.at(at + 2 * SECOND, move |world, at| {
                session.until(at);
                let tape = &mut world.tape;
                if at > over {
                    session.close(tape);
                    return None;
                }
                let (up, down) = (tape.rng.between(200, 4_000), tape.rng.between(500, 60_000));
                session.bulk(tape, Way::Up, up, 1_000_000, 1_400).bulk(
                    tape,
                    Way::Down,
                    down,
                    3_000_000,
                    5_600,
                );
                Some(at + world.pause(6 * SECOND))
            });
        }
    }
}

/// Encrypted datagrams to and fro, with the rhythm of somebody who works.
fn datagrams(world: &mut World, at: u64, home: (IpAddr, u16), vpn: (IpAddr, u16), over: u64) {
    let (a, b) = (end(home.0, home.1), end(vpn.0, vpn.1));
    let spi = world.tape.rng.bytes(4);
    let mut sequence = 0_u32;
    let opcode = if vpn.1 == 1_194 { 0x48 } else { 0 };
    if opcode != 0 {
        for (number, code) in [(0_u64, 0x38_u8), (1, 0x40)] {
            let packet = [&[code][..], &world.tape.rng.bytes(13)].concat();
            let ends = if number == 0 { (a, b) } else { (b, a) };
            world.tape.udp(at + number * 30 * MILLI, ends.0, ends.1, &packet);
        }
    }
    world.at(at + SECOND, move |world, at| {
        if at > over {
            return None;
        }
        for number in 0..world.tape.rng.between(2, 12) {
            sequence += 1;
            let up = number % 3 == 0;
            let length =
                if up { world.tape.rng.between(90, 400) } else { world.tape.rng.between(200, 1_350) };
            let mut packet = if opcode == 0 { spi.clone() } else { vec![opcode, 0, 0, 1] };
            packet.extend(sequence.to_be_bytes());
            packet.extend(world.tape.rng.bytes(40));
            let (from, to) = if up { (a, b) } else { (b, a) };
            let length = u16::try_from(length).unwrap_or(200);
            world.tape.udp_cut(at + number * 3 * MILLI, from, to, (&packet, length));
        }
        Some(at + world.pause(7 * SECOND))
    });
}
