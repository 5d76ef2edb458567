//! Movement between inside hosts, the directory service, guessed logins.

use std::net::IpAddr;

use super::super::app;
use super::super::capture::{Capture, MILLI, SECOND, Tcp};
use super::super::craft::{End, end};
use super::super::talk::{self, PLAIN};
use super::super::windows::{self as win, AES, RC4};
use super::super::{Case, Expect};

/// Domain controllers, a file and print server, an administrator's and an intruder's host, an ordinary one.
const CONTROLLER: IpAddr = PLAIN.host(2);
const SECOND_CONTROLLER: IpAddr = PLAIN.host(3);
const FILES: IpAddr = PLAIN.host(5);
const INTRUDER: IpAddr = PLAIN.host(77);
const PC: IpAddr = PLAIN.host(24);

/// Every case.
pub(super) fn all() -> Vec<Case> {
    [executions(), sessions(), directory(), guesses()].concat()
}

/// Where Windows' services listen after the endpoint mapper named the port.
const fn service(host: IpAddr) -> End {
    end(host, 49_670)
}

fn executions() -> Vec<Case> {
    vec![
        Case {
            name: "lateral.exec/positive-service",
            about: "A host makes and starts a service on another, whose program is a command.",
            config: None,
            expect: vec![Expect::of("lateral.exec", Some(INTRUDER), Some(PC))],
            build: |c| {
                talk::office(c, &PLAIN, 0, 20 * SECOND);
                // ROpenSCManager2, RCreateServiceW, RStartServiceW, RDeleteService, RCloseServiceHandle.
                let steps = [(64, 112), (12, 800), (19, 32), (2, 32), (0, 32)];
                win::calls(c, 6 * SECOND, (INTRUDER, service(PC)), win::SVCCTL, &steps);
            },
        },
        Case {
            name: "lateral.exec/positive-wmi-task",
            about: "A host calls a method of WMI on one host and registers a scheduled task on another.",
            config: None,
            expect: vec![
                Expect::of("lateral.exec", Some(INTRUDER), Some(PC)),
                Expect::of("lateral.exec", Some(INTRUDER), Some(FILES)),
            ],
            build: |c| {
                talk::office(c, &PLAIN, 0, 20 * SECOND);
                win::calls(c, 5 * SECOND, (INTRUDER, service(PC)), win::WMI, &[(6, 160), (24, 3_000)]);
                win::calls(c, 9 * SECOND, (INTRUDER, service(FILES)), win::TASKS, &[(1, 2_000), (12, 90)]);
            },
        },
        Case {
            name: "lateral.exec/positive-winrm",
            about: "A host opens a PowerShell session on another by remote management.",
            config: None,
            expect: vec![Expect::of("lateral.exec", Some(INTRUDER), Some(PC))],
            build: |c| {
                talk::office(c, &PLAIN, 0, 20 * SECOND);
                win::management(c, 5 * SECOND, (INTRUDER, PC), "/wsman?PSVersion=5.1.19041.1", 8);
            },
        },
        Case {
            name: "lateral.exec/benign-monitoring",
            about: "A monitor asks six hosts for the state of services, by WMI and remote management; hosts send their events \
                    to it and print.",
            config: None,
            expect: vec![],
            build: monitoring,
        },
    ]
}

fn monitoring(capture: &mut Capture) {
    let monitor = PLAIN.host(9);
    for round in 0..3_u64 {
        for last in 20..26_u8 {
            let (host, at) = (PLAIN.host(last), round * 60 * SECOND + u64::from(last) * SECOND);
            // ROpenSCManagerW, ROpenServiceW, RQueryServiceStatus, REnumServicesStatusW, RCloseServiceHandle.
            let steps = [(15, 60), (16, 60), (6, 20), (14, 40), (0, 20)];
            win::calls(capture, at, (monitor, service(host)), win::SVCCTL, &steps);
            // ExecQuery.
            win::calls(
                capture,
                at + 300 * MILLI,
                (monitor, service(host)),
                win::WMI,
                &[(20, 240), (20, 260)],
            );
            win::management(capture, at + 600 * MILLI, (monitor, host), "/wsman", 2);
            let events = "/wsman/subscriptions/0f8fad5b-d9cb-469f-a165-70867728950e/1";
            win::management(capture, at + 700 * MILLI, (host, monitor), events, 4);
            // RpcOpenPrinterEx, RpcGetPrinter, the subscription to notifications, RpcStartDocPrinter, RpcClosePrinter.
            let printing = [(69, 300), (8, 40), (65, 90), (17, 80), (29, 20)];
            win::calls(capture, at + 800 * MILLI, (host, service(FILES)), win::SPOOLSS, &printing);
        }
    }
    talk::office(capture, &PLAIN, 0, 60 * SECOND);
}

fn sessions() -> Vec<Case> {
    vec![
        Case {
            name: "lateral.session/positive-looking-around",
            about: "A host lists the sessions and shares of nine others within a minute.",
            config: None,
            expect: vec![Expect::of("lateral.session", Some(INTRUDER), None)],
            build: |c| {
                talk::office(c, &PLAIN, 0, 20 * SECOND);
                for last in 20..29_u8 {
                    let (to, at) = (service(PLAIN.host(last)), u64::from(last - 18) * 5 * SECOND);
                    win::calls(c, at, (INTRUDER, to), win::SRVSVC, &[(12, 90), (15, 70)]);
                }
            },
        },
        Case {
            name: "lateral.session/positive-desktops",
            about: "A host opens remote desktops on seven others within half an hour.",
            config: None,
            expect: vec![Expect::of("lateral.session", Some(INTRUDER), None)],
            build: |c| {
                talk::office(c, &PLAIN, 0, 20 * SECOND);
                for last in 20..27_u8 {
                    win::desktop(c, u64::from(last - 19) * 240 * SECOND, INTRUDER, PLAIN.host(last));
                }
            },
        },
        Case {
            name: "lateral.session/benign-day",
            about: "Eight people look at the file server's shares; an administrator has a remote desktop on two servers.",
            config: None,
            expect: vec![],
            build: |c| {
                talk::office(c, &PLAIN, 0, 60 * SECOND);
                for last in 20..28_u8 {
                    let at = u64::from(last - 19) * 20 * SECOND;
                    win::calls(c, at, (PLAIN.host(last), service(FILES)), win::SRVSVC, &[(21, 40), (15, 70)]);
                }
                win::desktop(c, 30 * SECOND, PLAIN.host(12), FILES);
                win::desktop(c, 400 * SECOND, PLAIN.host(12), CONTROLLER);
            },
        },
    ]
}

/// Operations of drsuapi: bind, changes, unbind; look up names, look up controllers.
const REPLICATION: [(u16, usize); 4] = [(0, 60), (3, 300), (3, 300), (1, 24)];
const DCSYNC: [(u16, usize); 5] = [(0, 60), (16, 80), (12, 96), (3, 336), (1, 32)];

fn directory() -> Vec<Case> {
    vec![
        Case {
            name: "ad.abuse/positive-dcsync",
            about: "An office host looks up a controller and an account and asks for the directory's changes (DCSync).",
            config: None,
            expect: vec![Expect::of("ad.abuse", Some(INTRUDER), Some(CONTROLLER))],
            build: |c| {
                talk::office(c, &PLAIN, 0, 20 * SECOND);
                morning(c);
                win::calls(c, 70 * SECOND, (INTRUDER, service(CONTROLLER)), win::DRSUAPI, &DCSYNC);
            },
        },
        Case {
            name: "ad.abuse/positive-zerologon",
            about: "A host tries challenges and credentials of zeros 60 times, then sets the controller's password.",
            config: None,
            expect: vec![Expect::of("ad.abuse", Some(INTRUDER), Some(CONTROLLER))],
            build: |c| {
                talk::office(c, &PLAIN, 0, 20 * SECOND);
                for attempt in 0..60_u64 {
                    let at = 5 * SECOND + attempt * 120 * MILLI;
                    channel(c, at, (INTRUDER, service(CONTROLLER)), [0; 8], attempt == 59);
                }
            },
        },
        Case {
            name: "ad.abuse/positive-kerberoasting",
            about: "A host gets RC4 tickets for fourteen services within three seconds.",
            config: None,
            expect: vec![Expect::of("ad.abuse", Some(INTRUDER), Some(CONTROLLER))],
            build: |c| {
                talk::office(c, &PLAIN, 0, 20 * SECOND);
                for number in 0..14_u64 {
                    let name = format!("MSSQLSvc/db{number:02}.city.example");
                    win::ticket(c, 5 * SECOND + number * 200 * MILLI, (INTRUDER, CONTROLLER), &name, RC4);
                }
            },
        },
        Case {
            name: "ad.abuse/benign-domain",
            about: "Two controllers replicate, twelve hosts open their secure channel and get tickets as at a log-on.",
            config: None,
            expect: vec![],
            build: |c| {
                talk::office(c, &PLAIN, 0, 60 * SECOND);
                for round in 0..4_u64 {
                    let at = 3 * SECOND + round * 30 * SECOND;
                    let pair = (SECOND_CONTROLLER, service(CONTROLLER));
                    win::calls(c, at, pair, win::DRSUAPI, &REPLICATION);
                    let pair = (CONTROLLER, service(SECOND_CONTROLLER));
                    win::calls(c, at + 15 * SECOND, pair, win::DRSUAPI, &REPLICATION);
                }
                morning(c);
            },
        },
    ]
}

/// The secure channel of a computer: challenge, authentication, perhaps a new password.
fn channel(capture: &mut Capture, at: u64, ends: (IpAddr, End), challenge: [u8; 8], sets_password: bool) {
    let names = capture.rng.bytes(60);
    let mut steps = vec![(4, [&names[..], &challenge].concat()), (26, capture.rng.bytes(120))];
    if sets_password {
        steps.push((30, capture.rng.bytes(636)));
    }
    win::calls_with(capture, at, ends, win::NETLOGON, &steps);
}

/// Twelve hosts start and their users log on.
fn morning(capture: &mut Capture) {
    const SERVICES: [&str; 6] = [
        "cifs/files.city.example",
        "ldap/dc1.city.example/city.example",
        "HTTP/portal.city.example",
        "host/dc1.city.example",
        "cifs/dc1.city.example",
        "MSSQLSvc/kyuyo.city.example",
    ];
    for last in 20..32_u8 {
        let (host, at) = (PLAIN.host(last), u64::from(last - 19) * 4 * SECOND);
        let challenge = capture.rng.next().to_be_bytes();
        let controller = if last % 2 == 0 { CONTROLLER } else { SECOND_CONTROLLER };
        channel(capture, at, (host, service(controller)), challenge, false);
        win::log_on(capture, at + SECOND, (host, controller), &format!("user{last}"), None);
        for (number, name) in (1..).zip(SERVICES) {
            win::ticket(capture, at + SECOND + number * 90 * MILLI, (host, controller), name, AES);
        }
    }
}

fn guesses() -> Vec<Case> {
    vec![
        Case {
            name: "bruteforce.login/positive-spraying",
            about: "A host tries one password on 25 accounts by Kerberos; nine do not exist, one has that password.",
            config: None,
            expect: vec![Expect::of("bruteforce.login", Some(INTRUDER), Some(CONTROLLER))],
            build: |c| {
                talk::office(c, &PLAIN, 0, 20 * SECOND);
                for number in 0..25_u64 {
                    let outcome = match number {
                        22 => None,
                        _ if number % 3 == 1 => Some(6),
                        _ => Some(24),
                    };
                    let at = 5 * SECOND + number * 400 * MILLI;
                    win::log_on(c, at, (INTRUDER, CONTROLLER), &format!("staff{number:02}"), outcome);
                }
            },
        },
        Case {
            name: "bruteforce.login/positive-form",
            about: "A host sends 40 passwords to the login form of a web application, which shows the form again each time.",
            config: None,
            expect: vec![Expect::of("bruteforce.login", Some(INTRUDER), Some(FILES))],
            build: |c| {
                talk::office(c, &PLAIN, 0, 20 * SECOND);
                for number in 0..40_u64 {
                    form(c, 5 * SECOND + number * 700 * MILLI, (INTRUDER, end(FILES, 80)), None);
                }
            },
        },
        Case {
            name: "bruteforce.login/benign-outdated",
            about: "A program with an outdated password is refused every three minutes for two hours; people mistype theirs \
                    once or twice and get in, also at a web form.",
            config: None,
            expect: vec![],
            build: outdated,
        },
    ]
}

/// A form is sent; the answer is the way on, or the form again.
fn form(capture: &mut Capture, at: u64, (from, to): (IpAddr, End), on: Option<&str>) {
    let page = app::http_ok(&mut capture.rng, 900);
    let body = format!("user=yamada&password={}", capture.rng.text(10, "abcdefghij0123456789"));
    let head = "POST /groupware/login HTTP/1.1\r\nHost: groupware.city.example\r\n\
                Content-Type: application/x-www-form-urlencoded\r\n";
    let ask = format!("{head}Content-Length: {}\r\n\r\n{body}", body.len());
    let answer = on.map_or(page, |on| {
        format!("HTTP/1.1 302 Found\r\nLocation: {on}\r\nContent-Length: 0\r\n\r\n").into_bytes()
    });
    let from = end(from, capture.port());
    let mut tcp = Tcp::open(capture, at, from, to);
    tcp.ask(ask.as_bytes()).answer(&answer).close();
}

fn outdated(capture: &mut Capture) {
    for number in 0..40_u64 {
        win::log_on(capture, number * 180 * SECOND, (PLAIN.host(12), CONTROLLER), "svc-backup", Some(24));
    }
    for last in 20..30_u8 {
        let (host, user, at) = (PLAIN.host(last), format!("user{last}"), u64::from(last) * 60 * SECOND);
        if last % 2 == 0 {
            win::log_on(capture, at, (host, CONTROLLER), &user, Some(24));
        }
        win::log_on(capture, at + 8 * SECOND, (host, CONTROLLER), &user, None);
        form(capture, at + 20 * SECOND, (host, end(FILES, 80)), None);
        form(capture, at + 35 * SECOND, (host, end(FILES, 80)), Some("/groupware/portal"));
    }
    talk::office(capture, &PLAIN, 0, 60 * SECOND);
}
