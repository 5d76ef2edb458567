//! Floods, amplification and bulk uploads.

use std::net::IpAddr;

use super::super::app;
use super::super::capture::{Capture, MILLI, SECOND, Tcp};
use super::super::craft::{self, End, Segment, TcpFlags, end, v4};
use super::super::talk::{self, PLAIN};
use super::super::{Case, Expect};
use super::{ATTACKER, INFECTED, SERVER};

/// Bytes kept of a frame whose content nobody needs: Ethernet, IP, TCP, and a little.
const KEPT: usize = 70;
/// Payload of the segments that a card hands over as one (GRO).
const JOINED: usize = 60_000;

/// Every case.
pub(super) fn all() -> Vec<Case> {
    [volume(), amplification(), slow(), uploads()].concat()
}

fn volume() -> Vec<Case> {
    vec![
        Case {
            name: "flood.volume/positive-icmp",
            about: "An outside host sends a server 300 echo requests a second for four seconds.",
            config: None,
            expect: vec![Expect::of("flood.volume", Some(ATTACKER), Some(SERVER))],
            build: |c| {
                talk::office(c, &PLAIN, 0, 20 * SECOND);
                (0..1_200).for_each(|n| c.ping(5 * SECOND + n * SECOND / 300, ATTACKER, SERVER, None));
            },
        },
        Case {
            name: "flood.volume/positive-udp",
            about: "Many outside hosts send a server 2,400 datagrams within a second, to any port; none is answered.",
            config: None,
            expect: vec![Expect::of("flood.volume", None, Some(SERVER))],
            build: |c| {
                talk::office(c, &PLAIN, 0, 20 * SECOND);
                for number in 0..2_400 {
                    let from = end(v4([203, 0, 113, c.rng.byte()]), c.rng.word() | 0x8000);
                    let to = end(SERVER, c.rng.word() | 0x4000);
                    c.udp(5 * SECOND + number * SECOND / 2_400, from, to, b"0123456789");
                }
            },
        },
        Case {
            name: "flood.volume/positive-ack",
            about: "Forged addresses send a web server 4,000 ACK segments of connections that never were.",
            config: None,
            expect: vec![Expect::of("flood.volume", None, Some(SERVER))],
            build: |c| {
                talk::office(c, &PLAIN, 0, 20 * SECOND);
                for number in 0..4_500 {
                    let from = end(v4([198, 51, 100, c.rng.byte()]), c.rng.word() | 0x8000);
                    let numbers = (c.rng.number(), c.rng.number());
                    let at = 5 * SECOND + number * SECOND / 4_500;
                    c.segment(at, from, end(SERVER, 443), numbers, TcpFlags::ACK);
                }
            },
        },
        Case {
            name: "flood.volume/benign-camera",
            about: "A recorder asks a camera for its picture over RTSP; 2,500 datagrams a second come and few go back.",
            config: None,
            expect: vec![],
            build: camera,
        },
    ]
}

/// One way nearly all the time: only that both speak over TCP as well tells it from a flood.
fn camera(capture: &mut Capture) {
    let (recorder, camera) = (PLAIN.host(60), PLAIN.host(61));
    talk::office(capture, &PLAIN, 0, 20 * SECOND);
    let from = end(recorder, capture.port());
    let mut tcp = Tcp::open(capture, SECOND, from, end(camera, 554));
    tcp.ask(b"SETUP rtsp://camera.city.example/1 RTSP/1.0\r\nCSeq: 1\r\nTransport: RTP/AVP;unicast;client_port=50000-50001\r\n\r\n");
    tcp.answer(b"RTSP/1.0 200 OK\r\nCSeq: 1\r\nSession: 12345678\r\n\r\n");
    tcp.ask(b"PLAY rtsp://camera.city.example/1 RTSP/1.0\r\nCSeq: 2\r\nSession: 12345678\r\n\r\n");
    tcp.answer(b"RTSP/1.0 200 OK\r\nCSeq: 2\r\n\r\n");
    for number in 0..5_000 {
        let frame = craft::udp(end(camera, 6_970), end(recorder, 50_000), capture.ip_id(), &[0x80; 1_200]);
        capture.push_cut(3 * SECOND + number * SECOND / 2_500, frame, 48);
    }
}

fn amplification() -> Vec<Case> {
    vec![
        Case {
            name: "flood.amplification/positive-ntp",
            about: "Sixty NTP servers answer a list request that somebody sent in the server's name: 440 bytes, 400 a second.",
            config: None,
            expect: vec![Expect::of("flood.amplification", None, Some(SERVER))],
            build: |c| reflect(c, (123, 60), 440, 400),
        },
        Case {
            name: "flood.amplification/positive-memcached",
            about: "A dozen memcached servers send 1,400 bytes each, 500 a second, that nobody inside asked for.",
            config: None,
            expect: vec![Expect::of("flood.amplification", None, Some(SERVER))],
            build: |c| reflect(c, (11_211, 12), 1_400, 500),
        },
        Case {
            name: "flood.amplification/positive-syn-ack",
            about: "Forty web servers send SYN-ACKs for connections that the victim never asked for.",
            config: None,
            expect: vec![Expect::of("flood.amplification", None, Some(SERVER))],
            build: |c| {
                talk::office(c, &PLAIN, 0, 20 * SECOND);
                for number in 0..600 {
                    let from = end(v4([192, 0, 2, 1 + c.rng.byte() % 40]), 443);
                    let to = end(SERVER, c.rng.word() | 0x4000);
                    let numbers = (c.rng.number(), c.rng.number());
                    c.segment(5 * SECOND + number * SECOND / 200, from, to, numbers, TcpFlags::SYN_ACK);
                }
            },
        },
        Case {
            name: "flood.amplification/benign-answers",
            about: "A resolver's 150 questions a second are answered, and sixty devices answer a multicast search at once.",
            config: None,
            expect: vec![],
            build: answers,
        },
    ]
}

/// So many outside servers send answers from `port` for three seconds.
fn reflect(capture: &mut Capture, (port, servers): (u16, u8), bytes: usize, rate: u64) {
    talk::office(capture, &PLAIN, 0, 20 * SECOND);
    let payload = vec![0; bytes];
    for number in 0..3 * rate {
        let from = end(v4([203, 0, 113, 1 + capture.rng.byte() % servers]), port);
        let frame = craft::udp(from, end(SERVER, 443), capture.ip_id(), &payload);
        capture.push_cut(5 * SECOND + number * SECOND / rate, frame, KEPT);
    }
}

fn answers(capture: &mut Capture) {
    for number in 0..450 {
        let (port, id) = (capture.port(), capture.rng.word());
        let name = format!("www.{}.example", capture.rng.text(9, "aeioubcdfgklmnprst"));
        let server = v4([198, 51, 100, capture.rng.byte()]);
        let answer = app::dns_answer(id, &name, app::A, &[vec![192, 0, 2, 7]]);
        let ends = (end(PLAIN.resolver, port), end(server, 53));
        let query = app::dns_query(id, &name, app::A);
        capture.exchange(number * SECOND / 150, 20 * MILLI, ends, (&query, &answer));
    }
    let asker = end(PLAIN.host(25), 50_700);
    let search = b"M-SEARCH * HTTP/1.1\r\nHOST: 239.255.255.250:1900\r\nMAN: \"ssdp:discover\"\r\nMX: 1\r\nST: ssdp:all\r\n\r\n";
    capture.udp(SECOND, asker, end(v4([239, 255, 255, 250]), 1_900), search);
    for device in 100..160 {
        for service in 0..6 {
            let at = SECOND + u64::from(device) * 8 * MILLI + service * MILLI;
            let text =
                format!("HTTP/1.1 200 OK\r\nST: urn:example:service:{service}\r\nUSN: uuid:{device}\r\n\r\n");
            capture.udp(at, end(PLAIN.host(device), 1_900), asker, text.as_bytes());
        }
    }
}

fn slow() -> Vec<Case> {
    vec![
        Case {
            name: "flood.slow/positive-headers",
            about: "An outside host opens 110 connections to a web server and sends each a header every four seconds.",
            config: None,
            expect: vec![Expect::of("flood.slow", Some(ATTACKER), Some(SERVER))],
            build: |c| {
                talk::office(c, &PLAIN, 0, 20 * SECOND);
                for number in 0..110 {
                    let from = end(ATTACKER, c.port());
                    let mut tcp = Tcp::open(c, 2 * SECOND + number * 5 * MILLI, from, end(SERVER, 80));
                    tcp.ask(b"GET /?q=1 HTTP/1.1\r\nHost: www.city.example\r\n");
                    for piece in 0..4 {
                        tcp.wait(4 * SECOND).ask(format!("X-a{piece}: {number:04}\r\n").as_bytes());
                    }
                }
            },
        },
        Case {
            name: "flood.slow/benign-long-poll",
            about: "A hundred browsers wait 25 s for news on complete requests, and ping over WebSocket every five seconds.",
            config: None,
            expect: vec![],
            build: long_poll,
        },
    ]
}

fn long_poll(capture: &mut Capture) {
    talk::office(capture, &PLAIN, 0, 20 * SECOND);
    for number in 0..100 {
        let client = v4([192, 168, 40, 10 + u8::try_from(number).unwrap_or_default()]);
        let from = end(client, capture.port());
        let news = app::http_ok(&mut capture.rng, 40);
        let mut poll = Tcp::open(capture, SECOND + number * 30 * MILLI, from, end(SERVER, 80));
        poll.ask(&app::http_get("www.city.example", "/news")).wait(25 * SECOND).answer(&news).close();
        if number % 2 == 0 {
            let from = end(client, capture.port());
            let mut socket = Tcp::open(capture, SECOND + number * 40 * MILLI, from, end(SERVER, 443));
            for _ in 0..5 {
                socket.wait(5 * SECOND).ask(&[0x8a; 12]).answer(&[0x8a; 40]);
            }
            socket.close();
        }
    }
}

fn uploads() -> Vec<Case> {
    vec![
        Case {
            name: "exfil.volume/positive-tls",
            about: "An inside host sends 126 MB over TLS to port 8444 of an outside address that nobody looked up.",
            config: None,
            expect: vec![Expect::of("exfil.volume", Some(INFECTED), Some(ATTACKER))],
            build: |c| {
                talk::office(c, &PLAIN, 0, 20 * SECOND);
                bulk(c, 3 * SECOND, INFECTED, end(ATTACKER, 8_444), "");
            },
        },
        Case {
            name: "exfil.volume/positive-ftp",
            about: "An inside host stores a file on an outside FTP server.",
            config: None,
            expect: vec![Expect::of("exfil.volume", Some(INFECTED), Some(ATTACKER))],
            build: |c| {
                talk::office(c, &PLAIN, 0, 20 * SECOND);
                store(c, 3 * SECOND, INFECTED, ATTACKER);
            },
        },
        Case {
            name: "exfil.volume/benign-backup",
            about: "A server backs up 126 MB to storage with a name outside and as much inside; a video call is even.",
            config: None,
            expect: vec![],
            build: |c| {
                let storage = v4([192, 0, 2, 120]);
                bulk(c, 3 * SECOND, SERVER, end(storage, 443), "backup.storage.example");
                bulk(c, 9 * SECOND, SERVER, end(PLAIN.host(8), 8_444), "");
                let (us, them) = (end(PLAIN.host(30), 50_020), end(v4([198, 51, 100, 77]), 3_481));
                for number in 0..600 {
                    let at = 2 * SECOND + number * 10 * MILLI;
                    for (from, to) in [(us, them), (them, us)] {
                        let frame = craft::udp(from, to, c.ip_id(), &[0x80; 1_100]);
                        c.push_cut(at, frame, 48);
                    }
                }
            },
        },
    ]
}

/// 126 MB over TLS, the frames cut behind their headers; an empty name is none.
fn bulk(capture: &mut Capture, at: u64, from: IpAddr, to: End, name: &str) {
    let source = end(from, capture.port());
    let hello = app::client_hello(&mut capture.rng, name);
    let first = app::server_hello(&mut capture.rng);
    let (mut seq, ack, payload) = (capture.rng.number(), capture.rng.number(), vec![0x17; JOINED]);
    capture.segment(at, source, to, (seq, 0), TcpFlags::SYN);
    seq = seq.wrapping_add(1);
    capture.segment(at + 9 * MILLI, to, source, (ack.wrapping_sub(1), seq), TcpFlags::SYN_ACK);
    capture.segment(at + 10 * MILLI, source, to, (seq, ack), TcpFlags::ACK);
    let mut say = |at: u64, (from, to): (End, End), (seq, ack): (u32, u32), payload: &[u8], kept: usize| {
        let segment = Segment { from, to, seq, ack, flags: TcpFlags::PSH_ACK, window: 64_240, payload };
        let id = capture.ip_id();
        capture.push_cut(at, craft::tcp(&segment, id), kept);
    };
    let length = |bytes: usize| u32::try_from(bytes).unwrap_or_default();
    say(at + 11 * MILLI, (source, to), (seq, ack), &hello, usize::MAX);
    seq = seq.wrapping_add(length(hello.len()));
    say(at + 20 * MILLI, (to, source), (ack, seq), &first, usize::MAX);
    let ack = ack.wrapping_add(length(first.len()));
    for number in 0..2_100 {
        let now = at + 30 * MILLI + number * 2 * MILLI;
        say(now, (source, to), (seq, ack), &payload, KEPT);
        seq = seq.wrapping_add(length(JOINED));
        if number % 10 == 0 {
            say(now + MILLI, (to, source), (ack, seq), &[], KEPT);
        }
    }
}

/// A file goes to an FTP server: control and data connection.
fn store(capture: &mut Capture, at: u64, from: IpAddr, to: IpAddr) {
    let (control, data) = (end(from, capture.port()), end(from, capture.port()));
    let mut tcp = Tcp::open(capture, at, control, end(to, 21));
    tcp.answer(b"220 Welcome.\r\n").ask(b"USER report\r\n").answer(b"331 Password required.\r\n");
    tcp.ask(b"PASS example-only\r\n")
        .answer(b"230 Logged in.\r\n")
        .ask(b"TYPE I\r\n")
        .answer(b"200 Type is I.\r\n");
    tcp.ask(b"PASV\r\n").answer(b"227 Entering Passive Mode (203,0,113,66,195,80).\r\n");
    tcp.ask(b"STOR kakei-2026.zip\r\n").answer(b"150 Go on.\r\n").wait(4 * SECOND).answer(b"226 Done.\r\n");
    tcp.ask(b"QUIT\r\n").answer(b"221 Goodbye.\r\n").close();
    let file = capture.rng.bytes(30_000);
    let mut tcp = Tcp::open(capture, at + 2 * SECOND, data, end(to, 50_000));
    tcp.ask(&file).close();
}
