//! The behaviours that detectors look for, as functions of who does what to whom; used by single cases and the demo.

use std::net::{IpAddr, Ipv4Addr};

use super::app;
use super::capture::{Capture, MILLI, SECOND, Tcp};
use super::craft::{self, End, TcpFlags, end, mac, v4};

/// A half-open scan: SYN to each port; open ones answer and are reset, closed ones refuse, filtered ones keep silent.
pub(crate) fn scan_ports(
    capture: &mut Capture,
    start: u64,
    from: IpAddr,
    to: IpAddr,
    ports: &[u16],
    open: &[u16],
) {
    let mut at = start;
    let source = capture.port();
    for port in ports {
        let (a, b) = (end(from, source), end(to, *port));
        let delay = capture.rng.between(9 * MILLI, 14 * MILLI);
        if open.contains(port) {
            let (seq, other) = (capture.rng.number(), capture.rng.number());
            capture.segment(at, a, b, (seq, 0), TcpFlags::SYN);
            capture.segment(at + delay, b, a, (other, seq.wrapping_add(1)), TcpFlags::SYN_ACK);
            capture.segment(at + delay + 200, a, b, (seq.wrapping_add(1), 0), TcpFlags::RST);
        } else if port % 11 == 0 {
            let seq = capture.rng.number();
            capture.segment(at, a, b, (seq, 0), TcpFlags::SYN);
        } else {
            capture.refused(at, delay, a, b);
        }
        at += capture.rng.between(12 * MILLI, 40 * MILLI);
    }
}

/// One port on every host of a /24: a few refuse, one or two answer, the others do not exist.
pub(crate) fn sweep_tcp(capture: &mut Capture, start: u64, from: IpAddr, net: [u8; 3], port: u16) {
    let mut at = start;
    for last in 1..=254_u8 {
        let to = v4([net[0], net[1], net[2], last]);
        if to == from {
            continue;
        }
        let a = end(from, capture.port());
        match last % 23 {
            5 => capture.refused(at, MILLI, a, end(to, port)),
            11 if last < 60 => {
                Tcp::open(capture, at, a, end(to, port)).wait(20 * MILLI).abort();
            }
            _ => {
                let seq = capture.rng.number();
                capture.segment(at, a, end(to, port), (seq, 0), TcpFlags::SYN);
            }
        }
        at += capture.rng.between(60 * MILLI, 180 * MILLI);
    }
}

/// ARP requests for every address of a /24, few of which exist.
pub(crate) fn sweep_arp(capture: &mut Capture, start: u64, net: [u8; 3], own: u8) {
    let [a, b, c] = net;
    let asker = Ipv4Addr::new(a, b, c, own);
    for (at, last) in (start..).step_by(20_000).zip(1..=254_u8) {
        let target = Ipv4Addr::new(a, b, c, last);
        capture.push(at, craft::arp(asker, target, None));
        if last % 17 == 3 {
            capture.push(at + MILLI, craft::arp(target, asker, Some(mac(IpAddr::V4(asker)))));
        }
    }
}

/// Echo requests to every address of a /24.
pub(crate) fn sweep_ping(capture: &mut Capture, start: u64, from: IpAddr, net: [u8; 3]) {
    for (at, last) in (start..).step_by(30_000).zip(1..=254_u8) {
        let answer = (last % 17 == 3).then_some(MILLI);
        capture.ping(at, from, v4([net[0], net[1], net[2], last]), answer);
    }
}

/// SYN from forged sources, `rate` a second; the server answers the first of each second and nobody goes on.
pub(crate) fn flood_syn(capture: &mut Capture, start: u64, seconds: u64, rate: u64, to: End) {
    const FORGED: [[u8; 2]; 3] = [[198, 51], [203, 0], [192, 0]];
    let step = SECOND / rate.max(1);
    for number in 0..seconds * rate {
        let at = start + number * step;
        let [a, b] = capture.rng.pick(&FORGED).copied().unwrap_or([198, 51]);
        let third = match a {
            198 => 100,
            203 => 113,
            _ => 2,
        };
        let from = end(v4([a, b, third, capture.rng.byte()]), capture.rng.word() | 0x0400);
        let (seq, other) = (capture.rng.number(), capture.rng.number());
        capture.segment(at, from, to, (seq, 0), TcpFlags::SYN);
        if number % rate < rate / 8 {
            capture.segment(at + 300, to, from, (other, seq.wrapping_add(1)), TcpFlags::SYN_ACK);
        }
    }
}

/// How an SSH session goes after the keys are exchanged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SshEnd {
    /// So many passwords are refused, then the client goes.
    Refused(u8),
    /// The login succeeds and so many bytes are copied to the server.
    Copied(usize),
}

/// One SSH session.
pub(crate) fn ssh(capture: &mut Capture, at: u64, from: IpAddr, to: End, how: SshEnd) -> u64 {
    let source = end(from, capture.port());
    let rng = &mut capture.rng;
    let (ours, theirs) = (app::ssh_kexinit(rng), app::ssh_kexinit(rng));
    let (init, reply) = (app::ssh_ecdh_init(rng), app::ssh_ecdh_reply(rng));
    let (service, accept) = (rng.bytes(64), rng.bytes(44));
    let secret = rng.bytes(148);
    let data = match how {
        SshEnd::Refused(_) => Vec::new(),
        SshEnd::Copied(length) => rng.bytes(length),
    };
    let mut tcp = Tcp::open(capture, at, source, to);
    tcp.ask(b"SSH-2.0-libssh_0.10.6\r\n").answer(b"SSH-2.0-OpenSSH_9.2p1 Debian-2+deb12u3\r\n");
    tcp.ask(&ours).answer(&theirs).ask(&init).answer(&reply).ask(&service).answer(&accept);
    match how {
        SshEnd::Refused(passwords) => {
            for _ in 0..passwords {
                tcp.ask(&secret).wait(400 * MILLI).answer(accept.get(..36).unwrap_or_default());
            }
        }
        SshEnd::Copied(_) => {
            tcp.ask(&secret).answer(&accept).ask(&data).answer(&accept);
        }
    }
    tcp.close()
}

/// FTP sessions that each try `tries` passwords and are refused with 530.
pub(crate) fn ftp_guesses(
    capture: &mut Capture,
    start: u64,
    from: IpAddr,
    to: End,
    sessions: u64,
    tries: u64,
) {
    let mut at = start;
    for session in 0..sessions {
        let source = end(from, capture.port());
        let mut tcp = Tcp::open(capture, at, source, to);
        tcp.answer(b"220 FTP server ready.\r\n");
        for attempt in 0..tries {
            let number = session * tries + attempt;
            tcp.ask(b"USER admin\r\n").answer(b"331 Please specify the password.\r\n");
            tcp.ask(format!("PASS guess{number:04}\r\n").as_bytes()).wait(900 * MILLI);
            tcp.answer(b"530 Login incorrect.\r\n");
        }
        tcp.ask(b"QUIT\r\n").answer(b"221 Goodbye.\r\n");
        at = tcp.close() + 250 * MILLI;
    }
}

/// Data carried in names under `domain`: random labels out, TXT or NULL answers back.
pub(crate) fn tunnel(capture: &mut Capture, start: u64, ends: (IpAddr, IpAddr), domain: &str, queries: u64) {
    const BASE32: &str = "abcdefghijklmnopqrstuvwxyz234567";
    let mut at = start;
    for number in 0..queries {
        let rng = &mut capture.rng;
        let (first, second) = (rng.text(60, BASE32), rng.text(48, BASE32));
        let name = format!("{first}.{second}.{number:04x}.{domain}");
        let kind = if number % 3 == 2 { app::NULL } else { app::TXT };
        let back = rng.text(140, BASE32);
        let data = if kind == app::TXT { app::txt(&back) } else { rng.bytes(180) };
        let (id, delay) = (rng.word(), rng.between(20 * MILLI, 60 * MILLI));
        at += rng.between(120 * MILLI, 420 * MILLI);
        let port = capture.port();
        let answer = app::dns_answer(id, &name, kind, &[data]);
        let query = app::dns_query(id, &name, kind);
        capture.exchange(at, delay, (end(ends.0, port), end(ends.1, 53)), (&query, &answer));
    }
}

/// A file goes over HTTP from one host to another; how a leak between segments looks on the wire.
pub(crate) fn upload(
    capture: &mut Capture,
    at: u64,
    from: IpAddr,
    to: End,
    host: &str,
    length: usize,
) -> u64 {
    let source = end(from, capture.port());
    let head = format!("POST /upload HTTP/1.1\r\nHost: {host}\r\nContent-Length: {length}\r\n\r\n");
    let data = capture.rng.bytes(length);
    let mut tcp = Tcp::open(capture, at, source, to);
    tcp.ask(head.as_bytes()).ask(&data).answer(b"HTTP/1.1 204 No Content\r\n\r\n");
    tcp.close()
}

/// An endpoint product's malware alert in CEF.
pub(crate) fn cef_malware(seconds: u64, host: IpAddr, host_name: &str, remote: IpAddr) -> Vec<u8> {
    let message = format!(
        "CEF:0|Example Security|Endpoint Sensor|7.2|MAL-1042|Malware detected: Trojan.Example|9|\
         src={host} shost={host_name} dst={remote} suser=sato.h \
         fname=C:\\\\Users\\\\sato.h\\\\Downloads\\\\invoice.exe \
         fileHash=9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08 \
         cat=malware act=quarantined msg=Malicious file was found and quarantined"
    );
    app::syslog(130, seconds, "edr01.city.example", "endpoint-sensor", &message)
}

/// An antivirus program's alert in plain words.
pub(crate) fn plain_alert(seconds: u64, host: IpAddr, host_name: &str) -> Vec<u8> {
    let message = format!("ALERT: virus detected: Worm.Example.B on {host_name} ({host}), action: blocked");
    app::syslog(129, seconds, host_name, "antivirus", &message)
}
