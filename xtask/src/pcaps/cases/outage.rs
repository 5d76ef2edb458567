//! Published services that stop answering or answer with errors.

use std::net::IpAddr;

use super::super::capture::{Capture, MILLI, SECOND, Tcp};
use super::super::craft::{TcpFlags, end, v4};
use super::super::{Case, Expect, app};
use super::SERVER;

const MINUTE: u64 = 60 * SECOND;

/// Every case.
pub(super) fn all() -> Vec<Case> {
    let found = || vec![Expect::of("service.down", None, Some(SERVER))];
    vec![
        Case {
            name: "service.down/positive-silent",
            about: "A web server that visitors reach every few seconds answers nobody from the fifteenth minute on.",
            config: None,
            expect: found(),
            build: |c| {
                visits(c, 0, 15 * MINUTE);
                attempts(c, 15 * MINUTE, 4 * SECOND, false);
            },
        },
        Case {
            name: "service.down/positive-refused",
            about: "The same, and its port is closed: each attempt is refused.",
            config: None,
            expect: found(),
            build: |c| {
                visits(c, 0, 15 * MINUTE);
                attempts(c, 15 * MINUTE, 4 * SECOND, true);
            },
        },
        Case {
            name: "service.down/positive-errors",
            about: "The pages of a site in clear text are well for 40 minutes, then each request is answered with 503.",
            config: None,
            expect: found(),
            build: |c| pages(c, b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n"),
        },
        Case {
            name: "service.down/benign-not-found",
            about: "The same, and the pages are gone (404): no fault of the server.",
            config: None,
            expect: vec![],
            build: |c| pages(c, b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"),
        },
        Case {
            name: "service.down/benign-quiet-night",
            about: "A server that is visited once in ten minutes; in the night a firewall drops what bots send to it.",
            config: None,
            expect: vec![],
            build: |c| {
                for n in 0..60 {
                    visit(c, n * 10 * MINUTE);
                }
                attempts(c, 600 * MINUTE, 5 * SECOND, false);
            },
        },
    ]
}

/// Somebody outside, another one each time.
fn stranger(capture: &mut Capture) -> IpAddr {
    v4([203, 0, 113, 1 + capture.rng.byte() % 250])
}

/// A small answer over TLS.
fn visit(capture: &mut Capture, at: u64) {
    let (client, port) = (stranger(capture), capture.port());
    let hello = app::client_hello(&mut capture.rng, "www.city.example");
    let (first, page) = (app::server_hello(&mut capture.rng), app::tls_data(&mut capture.rng, 120));
    let mut tcp = Tcp::open(capture, at, end(client, port), end(SERVER, 443));
    tcp.ask(&hello).answer(&first).answer(&page).wait(50 * MILLI).close();
}

fn visits(capture: &mut Capture, from: u64, until: u64) {
    let mut at = from;
    while at < until {
        visit(capture, at);
        at += capture.rng.between(2 * SECOND, 6 * SECOND);
    }
}

/// Forty attempts that come to nothing.
fn attempts(capture: &mut Capture, from: u64, every: u64, refused: bool) {
    for n in 0..40 {
        let (at, client, port) = (from + n * every, stranger(capture), capture.port());
        let ends = (end(client, port), end(SERVER, 443));
        if refused {
            capture.refused(at, 20 * MILLI, ends.0, ends.1);
        } else {
            let number = capture.rng.number();
            for again in [0, SECOND, 3 * SECOND] {
                capture.segment(at + again, ends.0, ends.1, (number, 0), TcpFlags::SYN);
            }
        }
    }
}

/// Pages for 40 minutes, and this in place of them for ten more.
fn pages(capture: &mut Capture, after: &[u8]) {
    for n in 0..300 {
        let (at, client, port) = (n * 10 * SECOND, stranger(capture), capture.port());
        let page = app::http_ok(&mut capture.rng, 700);
        let answer = if at < 40 * MINUTE { &page[..] } else { after };
        let mut tcp = Tcp::open(capture, at, end(client, port), end(SERVER, 80));
        tcp.ask(&app::http_get("www.city.example", "/")).answer(answer).wait(50 * MILLI).close();
    }
}
