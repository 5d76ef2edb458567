//! The web: browsing over TLS and QUIC with everything that a page pulls in, and the intranet.

use std::net::IpAddr;

use super::session::{Session, Way};
use super::world::{HOUR, Host, MINUTE, World, by_timer, while_there};
use super::{names, quic, tls};
use crate::pcaps::app;
use crate::pcaps::capture::{MILLI, SECOND};
use crate::pcaps::craft::end;

/// Words that sites are named by.
const WORDS: [&str; 24] = [
    "kasumi",
    "sakura",
    "nagasaki",
    "hinode",
    "minato",
    "yamabiko",
    "news",
    "weather",
    "maps",
    "recipe",
    "bus-jikoku",
    "law-search",
    "gikai",
    "kouhou",
    "jichi",
    "zaimu",
    "shop",
    "bank",
    "travel",
    "dictionary",
    "video",
    "tender",
    "library",
    "kosodate",
];
const ENDS: [&str; 3] = ["example", "test", "city-portal.test"];
/// What pages pull in from elsewhere.
const PARTS: [&str; 10] = [
    "static.cdn-net.example",
    "img.cdn-com.example",
    "fonts.style.example",
    "tag.analytics.example",
    "px.adserve.example",
    "ocsp.ca.example",
    "api.consent.example",
    "video.cdn-org.example",
    "js.library-net.example",
    "beacon.metrics.example",
];
/// What a window of a Chromium browser asks for by itself.
const AT_START: [&str; 4] = [
    "update.browser.example",
    "safebrowsing.browser.example",
    "accounts.browser.example",
    "clients.browser.example",
];

/// Everybody browses.
pub(super) fn begin(world: &mut World) {
    for host in world.hosts.clone() {
        while_there(world, host, 9 * MINUTE, page);
        while_there(world, host, 25 * MINUTE, intranet);
        while_there(world, host, 3 * HOUR, start_browser);
        // Widgets for the weather and the clock ask every five minutes, push notifications are kept alive every 28.
        if host.number % 3 == 0 {
            by_timer(world, host, 5 * MINUTE, |world, host, at| {
                ask(world, host.ip, at, "widget.weather.example", 700);
            });
        }
        if host.number % 6 == 1 {
            by_timer(world, host, MINUTE, |world, host, at| {
                ask(world, host.ip, at, "telemetry.vendor.example", 120);
            });
        }
        if host.number % 4 == 2 {
            by_timer(world, host, 15 * MINUTE, |world, host, at| {
                ask(world, host.ip, at, "license.cad-com.example", 300);
            });
        }
    }
}

/// A site's name: people have their favourites.
fn site(world: &mut World, host: &Host) -> String {
    let favourite = u64::from(host.number % 7);
    let word = if world.one_in(3) {
        world.tape.rng.between(0, 24)
    } else {
        world.tape.rng.between(favourite, favourite + 4)
    };
    let word = usize::try_from(word).ok().and_then(|at| WORDS.get(at)).copied().unwrap_or("news");
    let tail = ENDS.get(word.len() % ENDS.len()).copied().unwrap_or("example");
    format!("www.{word}.{tail}")
}

/// A page, and what it pulls in.
fn page(world: &mut World, host: &Host, at: u64) {
    let name = site(world, host);
    fetch(world, host.ip, at, &name, 0);
    let parts = world.tape.rng.between(2, 6);
    for number in 0..parts {
        let Some(part) = world.tape.rng.pick(&PARTS).copied() else { return };
        let soon = at + (number + 1) * 90 * MILLI;
        if part.starts_with("ocsp") {
            revocation(world, host.ip, soon, part);
        } else if part.starts_with("video") {
            let (ip, known) = names::look_up(world, soon, host.ip, part);
            let packets = world.tape.rng.between(20, 160);
            quic::page(&mut world.tape, known, host.ip, ip, packets);
        } else {
            fetch(world, host.ip, soon, part, number);
        }
    }
    if world.one_in(30) {
        // A link that leads nowhere any more.
        let (ip, known) = names::look_up(world, at + 4 * SECOND, host.ip, "old.kouhou-org.example");
        let from = world.tape.source(host.ip);
        world.tape.unanswered(known, from, end(ip, 443), 3);
    }
    if world.one_in(60) {
        let typo = world.tape.rng.text(7, "aeiouknstrh");
        names::nothing(world, at, host.ip, &format!("www.{typo}.example"));
    }
}

/// One connection over TLS 1.3 with one or several answers.
fn fetch(world: &mut World, client: IpAddr, at: u64, name: &str, depth: u64) {
    let (ip, known) = names::look_up(world, at, client, name);
    let tape = &mut world.tape;
    let mut session = Session::dial(tape, known, client, end(ip, 443));
    let (hello, first) = (app::client_hello(&mut tape.rng, name), app::server_hello(&mut tape.rng));
    session.ask(tape, &hello).answer(tape, &first);
    let requests = if depth == 0 { 1 + tape.rng.between(0, 3) } else { 1 };
    for _ in 0..requests {
        let (length, size) = (tape.rng.between(180, 700), size(tape));
        let request = app::tls_data(&mut tape.rng, usize::try_from(length).unwrap_or(300));
        session.ask(tape, &request).wait(20 * MILLI);
        session.bulk(tape, Way::Down, size, 6_000_000, 14_600).wait(200 * MILLI);
    }
    match tape.rng.between(0, 10) {
        0 => session.abort(tape),
        1 => {}
        _ => {
            let idle = tape.rng.between(SECOND, 60 * SECOND);
            session.wait(idle).close(tape);
        }
    }
}

/// Most answers are small, some are pictures, few are documents.
fn size(tape: &mut super::tape::Tape) -> u64 {
    match tape.rng.between(0, 100) {
        0..70 => tape.rng.between(300, 12_000),
        70..97 => tape.rng.between(12_000, 160_000),
        _ => tape.rng.between(160_000, 2_000_000),
    }
}

/// One small question of a program, always the same way.
pub(super) fn ask(world: &mut World, client: IpAddr, at: u64, name: &str, length: usize) {
    let (ip, known) = names::look_up(world, at, client, name);
    let tape = &mut world.tape;
    let mut session = Session::dial(tape, known, client, end(ip, 443));
    let (hello, first) = (app::client_hello(&mut tape.rng, name), app::server_hello(&mut tape.rng));
    let jitter = usize::from(tape.rng.byte());
    let (request, answer) =
        (app::tls_data(&mut tape.rng, length + jitter), app::tls_data(&mut tape.rng, 240));
    session.ask(tape, &hello).answer(tape, &first).ask(tape, &request).wait(15 * MILLI).answer(tape, &answer);
    session.close(tape);
}

/// Is this certificate still good? OCSP over clear HTTP.
fn revocation(world: &mut World, client: IpAddr, at: u64, name: &str) {
    let (ip, known) = names::look_up(world, at, client, name);
    let tape = &mut world.tape;
    let body = tape.rng.bytes(83);
    let head = format!(
        "POST / HTTP/1.1\r\nHost: {name}\r\nUser-Agent: Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:128.0) Gecko/20100101 \
         Firefox/128.0\r\nContent-Type: application/ocsp-request\r\nContent-Length: 83\r\nConnection: keep-alive\r\n\r\n"
    );
    let answer = tape.rng.bytes(471);
    let back = b"HTTP/1.1 200 OK\r\nContent-Type: application/ocsp-response\r\nContent-Length: 471\r\nCache-Control: max-age=3600\r\n\r\n";
    let mut session = Session::dial(tape, known, client, end(ip, 80));
    session.ask(tape, &[head.as_bytes(), &body].concat()).answer(tape, &[&back[..], &answer].concat());
    session.wait(5 * SECOND).close(tape);
}

/// The attendance system and the message board, in clear within the building.
fn intranet(world: &mut World, host: &Host, at: u64) {
    const PATHS: [&str; 6] = [
        "/",
        "/board/list.jsp?cat=3&page=1",
        "/attendance/punch",
        "/portal/schedule?week=45",
        "/search?q=%E4%BA%88%E7%AE%97",
        "/img/logo.png",
    ];
    let server = world.servers.intranet;
    names::forwarded(
        world,
        at,
        host.ip,
        ("portal.city.example", app::A),
        (&[(app::A, 600, vec![192, 168, 10, 7])], 0),
    );
    let tape = &mut world.tape;
    let mut session = Session::dial(tape, at + 2 * MILLI, host.ip, end(server, 80));
    for _ in 0..tape.rng.between(2, 7) {
        let Some(path) = tape.rng.pick(&PATHS).copied() else { return };
        let request = format!(
            "GET {path} HTTP/1.1\r\nHost: portal.city.example\r\nUser-Agent: Mozilla/5.0 (Windows NT 10.0; Win64; x64) \
             AppleWebKit/537.36 (KHTML, like Gecko) Chrome/130.0.0.0 Safari/537.36 Edg/130.0.0.0\r\nAccept: */*\r\n\
             Accept-Language: ja,en;q=0.8\r\nCookie: JSESSIONID={}\r\n\r\n",
            tape.rng.text(32, "0123456789ABCDEF")
        );
        let size = usize::try_from(tape.rng.between(400, 6_000)).unwrap_or(400);
        let page = app::http_ok(&mut tape.rng, size);
        let think = tape.rng.between(100 * MILLI, 4 * SECOND);
        session.ask(tape, request.as_bytes()).answer(tape, &page).wait(think);
    }
    session.close(tape);
}

/// What a browser does by itself when it starts: three names that do not exist, to know whether somebody lies about names,
/// and its own services.
fn start_browser(world: &mut World, host: &Host, at: u64) {
    for number in 0..3 {
        let length = usize::try_from(world.tape.rng.between(7, 16)).unwrap_or(9);
        let name = world.tape.rng.text(length, "abcdefghijklmnopqrstuvwxyz");
        names::nothing(world, at + number * 3 * MILLI, host.ip, &format!("{name}.city.example"));
    }
    for (number, name) in (0..).zip(AT_START) {
        ask(world, host.ip, at + number * 40 * MILLI, name, 420);
    }
    names::nothing(world, at + SECOND, host.ip, "wpad.city.example");
}

/// A printer's page of settings: TLS 1.2 with a certificate that it made itself.
pub(super) fn printer_page(world: &mut World, host: &Host, at: u64, printer: IpAddr) {
    let tape = &mut world.tape;
    let mut session = Session::dial(tape, at, host.ip, end(printer, 443));
    let hello = app::client_hello(&mut tape.rng, "printer-2f.city.example");
    let first = tls::self_signed_flight(&mut tape.rng, "printer-2f");
    let (exchange, finished) = (tls::key_exchange(&mut tape.rng), tls::finished(&mut tape.rng));
    session.ask(tape, &hello).answer(tape, &first).ask(tape, &exchange).answer(tape, &finished);
    for _ in 0..3 {
        let (request, page) = (app::tls_data(&mut tape.rng, 420), app::tls_data(&mut tape.rng, 2_400));
        session.ask(tape, &request).answer(tape, &page).wait(2 * SECOND);
    }
    session.close(tape);
}
