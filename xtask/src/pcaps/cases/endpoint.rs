//! What endpoint products say over syslog, seen on its way.

use super::super::app;
use super::super::behaviour as act;
use super::super::capture::{Capture, MILLI, SECOND};
use super::super::craft::{End, end, v4};
use super::super::talk::{self, PLAIN};
use super::super::{Case, Expect};
use super::{OUTSIDE, c2, spoof};

/// Every case.
pub(super) fn all() -> Vec<Case> {
    vec![
        Case {
            name: "endpoint.alert/positive-cef",
            about: "An EDR manager reports malware in CEF over syslog to the log server; seen on its way.",
            config: None,
            expect: vec![Expect::of("endpoint.alert", Some(PLAIN.host(25)), None)],
            build: |c| {
                talk::office(c, &PLAIN, 0, 20 * SECOND);
                syslog_noise(c, 20);
                let alert = act::cef_malware(8, PLAIN.host(25), "PC-0125", OUTSIDE);
                c.udp(8 * SECOND + 250 * MILLI, end(PLAIN.host(6), 40_514), LOG_SERVER, &alert);
            },
        },
        Case {
            name: "endpoint.alert/positive-plain",
            about: "An antivirus program reports a virus in plain words over RFC 5424 syslog; seen on its way.",
            config: None,
            expect: vec![Expect::of("endpoint.alert", Some(PLAIN.host(31)), None)],
            build: |c| {
                syslog_noise(c, 20);
                let alert = act::plain_alert(9, PLAIN.host(31), "PC-0131");
                c.udp(9 * SECOND + 250 * MILLI, end(PLAIN.host(31), 40_515), LOG_SERVER, &alert);
            },
        },
        Case {
            name: "endpoint.alert/positive-named",
            about: "A computer gets its lease and a beacon begins; its EDR, which knows nothing but the computer's name, reports malware.",
            config: None,
            expect: vec![
                Expect::of("endpoint.alert", Some(c2::INFECTED), None),
                Expect::of("c2.beacon", Some(c2::INFECTED), None),
            ],
            build: named,
        },
        Case {
            name: "endpoint.alert/benign-noise",
            about: "Ordinary syslog: cron, logins, DHCP, a virus scan that found nothing, signature updates.",
            config: None,
            expect: vec![],
            build: |c| {
                talk::office(c, &PLAIN, 0, 20 * SECOND);
                syslog_noise(c, 120);
            },
        },
    ]
}

/// Where everything logs to.
const LOG_SERVER: End = end(v4([192, 168, 10, 14]), 514);

fn syslog_noise(capture: &mut Capture, lines: u64) {
    const NOISE: [(u8, &str, &str); 6] = [
        (78, "CRON", "(root) CMD (/usr/local/bin/backup --quiet)"),
        (38, "sshd", "Accepted publickey for backup from 192.168.10.12 port 50122 ssh2"),
        (30, "dhcpd", "DHCPACK on 192.168.10.33 to 02:01:c0:a8:0a:21 via eth0"),
        (30, "antivirus", "scheduled scan finished, 48210 files scanned, nothing found"),
        (30, "antivirus", "signature database updated to version 27144"),
        (86, "systemd-logind", "New session 118 of user operator."),
    ];
    for number in 0..lines {
        let Some((priority, app, text)) = capture.rng.pick(&NOISE).copied() else { return };
        let last = u8::try_from(capture.rng.between(3, 15)).unwrap_or(3);
        let line = app::syslog(priority, number, &format!("srv{last:02}.city.example"), app, text);
        capture.udp(number * SECOND + 250 * MILLI, end(PLAIN.host(last), 38_514), LOG_SERVER, &line);
    }
}

fn named(capture: &mut Capture) {
    const NAME: &str = "PC-0161";
    const MINUTE: u64 = 60 * SECOND;
    spoof::lease(capture, SECOND, ([2, 0x1b, 0, 7, 7, 61], c2::INFECTED), NAME);
    c2::heartbeat(capture);
    let message = format!(
        "CEF:0|Example Security|Endpoint Sensor|7.2|MAL-2001|Malware running: Trojan.Example|8|shost={NAME} suser=sato.h \
         cat=malware act=detected msg=Malicious process seen"
    );
    let alert = app::syslog(130, 240, "edr01.city.example", "endpoint-sensor", &message);
    capture.udp(4 * MINUTE, end(PLAIN.host(6), 40_516), LOG_SERVER, &alert);
}
