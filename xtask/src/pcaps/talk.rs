//! Ordinary conversations, and the office in the background of every capture.

use std::net::{IpAddr, Ipv4Addr};

use super::app;
use super::capture::{Capture, MILLI, SECOND, Tcp};
use super::craft::{self, End, end, mac, v4};

/// Where the office's hosts find what they need.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Office {
    /// First three octets of the office network.
    pub(crate) net: [u8; 3],
    /// Name server.
    pub(crate) resolver: IpAddr,
    /// The web proxy, where web traffic must pass one.
    pub(crate) proxy: Option<End>,
}

/// An office that goes straight out, as a small body without a proxy.
pub(crate) const PLAIN: Office =
    Office { net: [192, 168, 10], resolver: v4([192, 168, 10, 53]), proxy: None };

impl Office {
    /// A host of the office.
    pub(crate) const fn host(&self, last: u8) -> IpAddr {
        v4([self.net[0], self.net[1], self.net[2], last])
    }
}

const SITES: [(&str, [u8; 4]); 6] = [
    ("www.pref.example", [198, 51, 100, 10]),
    ("news.example", [198, 51, 100, 24]),
    ("mail.example.net", [198, 51, 100, 35]),
    ("static.example.org", [192, 0, 2, 44]),
    ("update.example.com", [192, 0, 2, 80]),
    ("maps.example.com", [192, 0, 2, 91]),
];

/// A name is looked up and answered with an address.
pub(crate) fn look_up(capture: &mut Capture, at: u64, client: IpAddr, resolver: IpAddr, name: &str) {
    let (port, id, delay) = (capture.port(), capture.rng.word(), capture.rng.between(3 * MILLI, 30 * MILLI));
    let address = vec![192, 0, 2, capture.rng.byte()];
    let ends = (end(client, port), end(resolver, 53));
    let answer = app::dns_answer(id, name, app::A, &[address]);
    capture.exchange(at, delay, ends, (&app::dns_query(id, name, app::A), &answer));
}

/// A web page over TLS.
pub(crate) fn browse(capture: &mut Capture, at: u64, client: IpAddr, server: End, name: &str) {
    let port = capture.port();
    let hello = app::client_hello(&mut capture.rng, name);
    let first = app::server_hello(&mut capture.rng);
    let size = usize::try_from(capture.rng.between(600, 4_000)).unwrap_or(600);
    let (request, page) = (app::tls_data(&mut capture.rng, 350), app::tls_data(&mut capture.rng, size));
    let mut tcp = Tcp::open(capture, at, end(client, port), server);
    tcp.ask(&hello).answer(&first).ask(&request).answer(&page).wait(50 * MILLI).close();
}

/// A web page through a proxy (CONNECT, then TLS).
pub(crate) fn browse_by_proxy(capture: &mut Capture, at: u64, client: IpAddr, proxy: End, name: &str) {
    let port = capture.port();
    let connect = format!("CONNECT {name}:443 HTTP/1.1\r\nHost: {name}:443\r\n\r\n");
    let hello = app::client_hello(&mut capture.rng, name);
    let first = app::server_hello(&mut capture.rng);
    let page = app::tls_data(&mut capture.rng, 1_800);
    let mut tcp = Tcp::open(capture, at, end(client, port), proxy);
    tcp.ask(connect.as_bytes()).answer(b"HTTP/1.1 200 Connection established\r\n\r\n");
    tcp.ask(&hello).answer(&first).answer(&page).wait(50 * MILLI).close();
}

/// Somebody asks who has an address, and is answered.
pub(crate) fn resolve_arp(capture: &mut Capture, at: u64, asker: Ipv4Addr, owner: Ipv4Addr) {
    capture.push(at, craft::arp(asker, owner, None));
    capture.push(at + MILLI / 2, craft::arp(owner, asker, Some(mac(IpAddr::V4(asker)))));
}

/// The office from `from` to `until`: name look-ups, web pages, time, ARP; about one thing a second.
pub(crate) fn office(capture: &mut Capture, office: &Office, from: u64, until: u64) {
    let mut at = from;
    while at < until {
        let last = u8::try_from(capture.rng.between(20, 36)).unwrap_or(20);
        let client = office.host(last);
        let site = capture.rng.pick(&SITES).copied();
        let Some((name, address)) = site else { return };
        look_up(capture, at, client, office.resolver, name);
        let soon = at + 60 * MILLI;
        match office.proxy {
            Some(proxy) => browse_by_proxy(capture, soon, client, proxy, name),
            None => browse(capture, soon, client, end(v4(address), 443), name),
        }
        if capture.rng.between(0, 4) == 0 {
            let [a, b, c] = office.net;
            resolve_arp(capture, at + 5 * MILLI, Ipv4Addr::new(a, b, c, last), Ipv4Addr::new(a, b, c, 1));
            let ends = (end(client, 123), end(office.resolver, 123));
            let question = [&[0x23][..], &[0; 47]].concat();
            let answer = [&[0x24, 2][..], &capture.rng.bytes(46)].concat();
            capture.exchange(at + 20 * MILLI, 4 * MILLI, ends, (&question, &answer));
        }
        at += capture.rng.between(SECOND / 2, 2 * SECOND);
    }
}
