//! What these cases are made of.

use std::net::{IpAddr, Ipv4Addr};

use super::super::super::app;
use super::super::super::capture::{Capture, MILLI, Rng, SECOND, Tcp};
use super::super::super::craft::{End, end, v4};
use super::super::super::talk::{self, PLAIN};

/// SNMP version 1, community `public`, GET of `sysDescr.0` (RFC 1157).
pub(super) const SNMP_GET: &[u8] = &[
    0x30, 0x26, 2, 1, 0, 4, 6, b'p', b'u', b'b', b'l', b'i', b'c', 0xa0, 0x19, 2, 1, 1, 2, 1, 0, 2, 1, 0,
    0x30, 0x0e, 0x30, 0x0c, 6, 8, 0x2b, 6, 1, 2, 1, 1, 1, 0, 5, 0,
];

/// A random address of the ranges that RFC 5737 and RFC 2544 (198.18.0.0/15) give to documentation and tests, and of those
/// that are on no public network (100.64.0.0/10, RFC 6598), so that it may be anywhere.
pub(super) fn stranger(rng: &mut Rng) -> IpAddr {
    const NETS: [[u8; 2]; 12] = [
        [192, 0],
        [198, 51],
        [203, 0],
        [198, 18],
        [198, 19],
        [100, 88],
        [100, 64],
        [100, 80],
        [100, 96],
        [100, 112],
        [100, 70],
        [100, 120],
    ];
    let [a, b] = rng.pick(&NETS).copied().unwrap_or([198, 18]);
    match (a, b) {
        (192, _) => v4([a, b, 2, rng.byte()]),
        (198, 51) => v4([a, b, 100, rng.byte()]),
        (203, _) => v4([a, b, 113, rng.byte()]),
        _ => v4([a, b, rng.byte(), rng.byte()]),
    }
}

/// The IPv4 address of an office host.
pub(super) const fn v4_of(address: IpAddr) -> Ipv4Addr {
    match address {
        IpAddr::V4(v4) => v4,
        IpAddr::V6(_) => Ipv4Addr::UNSPECIFIED,
    }
}

/// The openings that version detection sends, each in a connection of its own: the server closes what it does not know.
pub(super) fn service_probe(capture: &mut Capture, start: u64, from: IpAddr, to: End) {
    let hello = app::client_hello(&mut capture.rng, "192.168.10.5");
    let openings: [&[u8]; 8] = [
        b"GET / HTTP/1.0\r\n\r\n",
        b"OPTIONS / RTSP/1.0\r\nCSeq: 1\r\n\r\n",
        b"OPTIONS sip:nm SIP/2.0\r\nVia: SIP/2.0/TCP nm;branch=foo\r\nFrom: <sip:nm@nm>;tag=root\r\n\
          To: <sip:nm2@nm2>\r\nCall-ID: 50000\r\nCSeq: 42 OPTIONS\r\nMax-Forwards: 70\r\nContent-Length: 0\r\n\r\n",
        &hello,
        b"\x03\x00\x00\x2a\x25\xe0\x00\x00\x00\x00\x00Cookie: mstshash=nmap\r\n\x01\x00\x08\x00\x03\x00\x00\x00",
        b"SSH-2.0-probe\r\n",
        b"HELP\r\n",
        b"\r\n\r\n",
    ];
    for (at, opening) in (start..).step_by(1_100_000).zip(openings) {
        let source = end(from, capture.port());
        let mut tcp = Tcp::open(capture, at, source, to);
        tcp.ask(opening).wait(200 * MILLI).close();
    }
}

/// A request for a page.
#[derive(Clone, Debug)]
pub(super) struct Page {
    pub(super) path: String,
    /// It is there.
    pub(super) found: bool,
    /// The page that led to it.
    pub(super) referer: Option<&'static str>,
}

/// One page is asked for, in a connection of its own.
pub(super) fn page(capture: &mut Capture, at: u64, (from, to): (IpAddr, End), page: &Page) {
    let referer = page.referer.map(|from| format!("Referer: {from}\r\n")).unwrap_or_default();
    let path = &page.path;
    let head = format!(
        "GET {path} HTTP/1.1\r\nHost: www.city.example\r\nUser-Agent: Mozilla/5.0 (X11; Linux x86_64)\r\n{referer}\r\n"
    );
    let answer = if page.found {
        app::http_ok(&mut capture.rng, 120)
    } else {
        b"HTTP/1.1 404 Not Found\r\nContent-Type: text/plain\r\nContent-Length: 9\r\n\r\nNot found".to_vec()
    };
    let source = end(from, capture.port());
    Tcp::open(capture, at, source, to).ask(head.as_bytes()).answer(&answer).close();
}

/// An address is leased: DISCOVER, the server's ping, OFFER, REQUEST, ACK.
pub(super) fn lease(capture: &mut Capture, at: u64, server: IpAddr, offered: IpAddr) {
    let (client, everybody) = (end(v4([0; 4]), 68), end(v4([255; 4]), 67));
    let from = end(server, 67);
    let id = capture.rng.number();
    let message = |reply: bool, kind: u8| {
        let mut out = vec![if reply { 2 } else { 1 }, 1, 6, 0];
        out.extend(id.to_be_bytes());
        out.extend([0; 8]);
        out.extend(if reply { v4_of(offered).octets() } else { [0; 4] });
        out.extend([0; 8]);
        let [_, b, c, d] = id.to_be_bytes();
        out.extend([2, 1, 0xdc, b, c, d]);
        out.extend([0; 10 + 192]);
        out.extend([0x63, 0x82, 0x53, 0x63, 53, 1, kind, 54, 4]);
        out.extend(v4_of(server).octets());
        out.push(255);
        out
    };
    capture.udp(at, client, everybody, &message(false, 1));
    capture.ping(at + 2 * MILLI, server, offered, None);
    let answer_to = end(v4([255; 4]), 68);
    capture.udp(at + SECOND, from, answer_to, &message(true, 2));
    capture.udp(at + SECOND + 5 * MILLI, client, everybody, &message(false, 3));
    capture.udp(at + SECOND + 9 * MILLI, from, answer_to, &message(true, 5));
}

/// So many hours of an office's usual devices: each asks for the router once an hour.
pub(super) fn days(capture: &mut Capture, hours: u64) {
    for hour in 0..hours {
        for last in [5, 9, 20, 21, 22, 53] {
            let at = hour * 3_600 * SECOND + u64::from(last) * SECOND;
            talk::resolve_arp(capture, at, v4_of(PLAIN.host(last)), v4_of(PLAIN.host(1)));
        }
    }
}

/// An SMB 2 connection as every client begins it (MS-SMB2, 2.2.3 and 2.2.4), closed after the dialect is agreed on.
pub(super) fn smb(capture: &mut Capture, at: u64, from: IpAddr, to: End) {
    let message = |flags: u8, body: &[u8]| {
        let mut head = vec![0xfe, b'S', b'M', b'B', 64, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, flags, 0, 0, 0];
        head.resize(64, 0);
        let length = u8::try_from(head.len() + body.len()).unwrap_or(u8::MAX);
        [&[0, 0, 0, length][..], &head, body].concat()
    };
    let mut ask = vec![36, 0, 1, 0, 1, 0, 0, 0, 0, 0, 0, 0];
    ask.extend(capture.rng.bytes(16));
    ask.extend([0, 0, 0, 0, 0, 0, 0, 0, 2, 2]);
    let mut answer = vec![65, 0, 1, 0, 2, 2, 0, 0];
    answer.extend(capture.rng.bytes(16));
    answer.extend([7, 0, 0, 0, 0, 0, 16, 0, 0, 0, 16, 0, 0, 0, 16, 0]);
    answer.resize(64, 0);
    let source = end(from, capture.port());
    let mut tcp = Tcp::open(capture, at, source, to);
    tcp.ask(&message(0, &ask)).answer(&message(1, &answer)).close();
}
