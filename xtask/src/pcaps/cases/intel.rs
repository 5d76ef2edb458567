//! Indicators of threat feeds and exceptions.

use super::super::app;
use super::super::capture::{Capture, MILLI, SECOND, Tcp};
use super::super::craft::{End, end, v4};
use super::super::talk::{self, PLAIN};
use super::super::{Case, Expect};
use std::net::IpAddr;

/// What the captures are replayed with; it names the list beside it.
const CONFIG: &str = "intel.toml";
/// A client that is misled.
const CLIENT: IpAddr = PLAIN.host(42);
/// Its own address and name.
const DROP: End = end(v4([203, 0, 113, 80]), 443);
/// Many sites behind one address, one of which was misused.
const HOSTING: End = end(v4([203, 0, 113, 90]), 443);
/// A scanner that every feed lists.
const SCANNER: IpAddr = v4([203, 0, 113, 200]);

/// What stands beside the captures.
pub(crate) fn files() -> Vec<(String, Vec<u8>)> {
    let toml =
        "# Threat intelligence for the captures beside this file.\n[intel]\nfiles = [\"indicators.csv\"]\n";
    let rows = [
        "type,value,feed,confidence,expires,note",
        "domain,drop.example,example-feed,90,,delivery of a loader",
        "ip,203.0.113.80,example-feed,80,,delivery of a loader",
        "ip,203.0.113.90,example-feed,80,,phishing page on shared hosting",
        "domain,login-update.example,example-feed,80,,phishing page",
        "cidr,203.0.113.192/27,scanner-feed,70,,mass scanner",
        "url,hxxp://pages.example.net/invoice/view.php,example-feed,80,,phishing kit",
        "domain,old.example,example-feed,90,2020-01-01,given up by its owner",
    ];
    let csv = rows.join("\n") + "\n";
    vec![
        ("intel.match/intel.toml".to_owned(), toml.as_bytes().to_vec()),
        ("intel.match/indicators.csv".to_owned(), csv.into_bytes()),
    ]
}

/// Every case.
pub(super) fn all() -> Vec<Case> {
    vec![
        Case {
            name: "intel.match/positive-domain",
            about: "A host looks up a name below a listed domain and opens TLS to its listed address, three times.",
            config: Some(CONFIG),
            expect: vec![
                Expect::of("intel.match", Some(CLIENT), Some(DROP.ip)),
                Expect::of("intel.match", Some(PLAIN.resolver), None),
            ],
            build: |c| {
                talk::office(c, &PLAIN, 0, 30 * SECOND);
                for round in 0..3_u64 {
                    let at = 4 * SECOND + round * 8 * SECOND;
                    resolve(c, at, "cdn3.drop.example", DROP.ip);
                    talk::browse(c, at + 60 * MILLI, CLIENT, DROP, "cdn3.drop.example");
                }
                // The resolver's own question, for a client that is not seen.
                talk::look_up(
                    c,
                    28 * SECOND,
                    PLAIN.resolver,
                    v4([198, 51, 100, 53]),
                    "www.login-update.example",
                );
            },
        },
        Case {
            name: "intel.match/positive-url",
            about: "A host asks an ordinary web server for the one listed page, with a query.",
            config: Some(CONFIG),
            expect: vec![Expect::of("intel.match", Some(CLIENT), Some(v4([198, 51, 100, 61])))],
            build: |c| {
                talk::office(c, &PLAIN, 0, 20 * SECOND);
                let target = "/invoice/view.php?id=7f3a";
                get(c, 6 * SECOND, end(v4([198, 51, 100, 61]), 80), "pages.example.net", target);
            },
        },
        Case {
            name: "intel.match/benign-shared-hosting",
            about: "Hosts visit unlisted sites on an address that is listed for another site on it; other pages of a server \
                    with one listed page; a name whose listing ran out.",
            config: Some(CONFIG),
            expect: vec![],
            build: shared_hosting,
        },
        Case {
            name: "intel.match/benign-scanner",
            about: "A listed scanner tries the web server of the office and reads its page; nobody answers its other calls.",
            config: Some(CONFIG),
            expect: vec![],
            build: |c| {
                talk::office(c, &PLAIN, 0, 20 * SECOND);
                let server = PLAIN.host(5);
                for (number, port) in (0_u64..).zip([22, 23, 445]) {
                    let from = end(SCANNER, c.port());
                    c.refused(3 * SECOND + number * SECOND, MILLI, from, end(server, port));
                }
                let (from, page) = (end(SCANNER, c.port()), app::http_ok(&mut c.rng, 400));
                let mut tcp = Tcp::open(c, 9 * SECOND, from, end(server, 80));
                tcp.ask(&app::http_get("www.city.example", "/")).answer(&page).close();
            },
        },
    ]
}

fn shared_hosting(capture: &mut Capture) {
    talk::office(capture, &PLAIN, 0, 20 * SECOND);
    let sites = ["www.bakery.example", "club.example.org", "www.bakery.example", "school.example.com"];
    for (number, name) in (0_u64..).zip(sites) {
        resolve(capture, 3 * SECOND + number * 9 * SECOND, name, HOSTING.ip);
    }
    for (number, name) in (0_u64..).zip(sites) {
        talk::browse(capture, 40 * SECOND + number * 3 * SECOND, CLIENT, HOSTING, name);
    }
    let pages = end(v4([198, 51, 100, 61]), 80);
    get(capture, 50 * SECOND, pages, "pages.example.net", "/invoice/index.html");
    resolve(capture, 52 * SECOND, "www.old.example", v4([198, 51, 100, 62]));
}

/// A name is looked up by the client and answered with this address.
fn resolve(capture: &mut Capture, at: u64, name: &str, address: IpAddr) {
    let IpAddr::V4(address) = address else { return };
    let (port, id) = (capture.port(), capture.rng.word());
    let ends = (end(CLIENT, port), end(PLAIN.resolver, 53));
    let answer = app::dns_answer(id, name, app::A, &[address.octets().to_vec()]);
    capture.exchange(at, 12 * MILLI, ends, (&app::dns_query(id, name, app::A), &answer));
}

fn get(capture: &mut Capture, at: u64, server: End, host: &str, target: &str) {
    let (from, page) = (end(CLIENT, capture.port()), app::http_ok(&mut capture.rng, 900));
    let mut tcp = Tcp::open(capture, at, from, server);
    tcp.ask(&app::http_get(host, target)).answer(&page).close();
}
