//! Mail: what comes in and goes out over SMTP, mostly with STARTTLS, and the mailboxes that everybody keeps open.

use std::net::IpAddr;

use super::names;
use super::session::{Session, Way};
use super::tape::Tape;
use super::world::{
    DAY, HOUR, Host, MINUTE, World, by_timer, is_workday, next_morning, slowness, while_there,
};
use crate::pcaps::app;
use crate::pcaps::capture::{MILLI, SECOND};
use crate::pcaps::craft::{end, v4};

/// Domains that write to the town hall.
const SENDERS: [&str; 8] = [
    "pref.example",
    "jichi.example",
    "vendor-com.example",
    "bank-net.example",
    "citizen-mail.example",
    "press-org.example",
    "newsletter-com.example",
    "school.example",
];

/// Mail flows.
pub(super) fn begin(world: &mut World) {
    world.at(MINUTE, |world, at| {
        receive(world, at);
        Some(at + world.pause(if busy(at) { 70 * SECOND } else { 12 * MINUTE }))
    });
    world.at(2 * MINUTE, |world, at| {
        if busy(at) {
            deliver(world, at);
        }
        Some(at + world.pause(if busy(at) { 2 * MINUTE } else { HOUR }))
    });
    for host in world.hosts.clone() {
        if host.number % 4 == 1 {
            by_timer(world, host, 5 * MINUTE, poll);
        } else {
            world.at(next_morning(&host, 0) + 3 * MINUTE, move |world, at| {
                keep_open(world, &host, at);
                Some(next_morning(&host, at + HOUR) + 3 * MINUTE)
            });
        }
        while_there(world, host, 40 * MINUTE, submit);
        while_there(world, host, 2 * HOUR, web_mail);
        by_timer(world, host, 28 * MINUTE, push_channel);
    }
}

const fn busy(at: u64) -> bool {
    is_workday(at) && at % DAY > 8 * HOUR && at % DAY < 18 * HOUR
}

/// What an encrypted connection begins with.
fn greet_tls(tape: &mut Tape, session: &mut Session, name: &str) {
    let (hello, first) = (app::client_hello(&mut tape.rng, name), app::server_hello(&mut tape.rng));
    session.ask(tape, &hello).answer(tape, &first);
    let finished = app::tls_data(&mut tape.rng, 53);
    session.ask(tape, &finished);
}

/// Encrypted words to and fro.
fn chat(tape: &mut Tape, session: &mut Session, lines: u32) {
    for _ in 0..lines {
        let (length, back) = (tape.rng.between(30, 120), tape.rng.between(40, 300));
        let (one, other) = (usize::try_from(length).unwrap_or(60), usize::try_from(back).unwrap_or(60));
        let (question, answer) = (app::tls_data(&mut tape.rng, one), app::tls_data(&mut tape.rng, other));
        session.ask(tape, &question).answer(tape, &answer);
    }
}

fn message_size(tape: &mut Tape) -> u64 {
    match tape.rng.between(0, 20) {
        0 => tape.rng.between(500_000, 7_000_000),
        1..5 => tape.rng.between(40_000, 400_000),
        _ => tape.rng.between(2_000, 30_000),
    }
}

/// Between two mail servers.
fn transfer(world: &mut World, at: u64, from: IpAddr, to: IpAddr, names: (&str, &str), clear: bool) {
    let tape = &mut world.tape;
    let mut session = Session::dial(tape, at, from, end(to, 25));
    let (sender, host) = names;
    session.wait(30 * MILLI).answer(tape, format!("220 {host} ESMTP\r\n").as_bytes());
    session.ask(tape, format!("EHLO mx.{sender}\r\n").as_bytes());
    let offer = if clear { "" } else { "250-STARTTLS\r\n" };
    session.answer(
        tape,
        format!("250-{host}\r\n250-PIPELINING\r\n250-SIZE 35882577\r\n{offer}250 8BITMIME\r\n").as_bytes(),
    );
    let size = message_size(tape);
    if clear {
        let user = tape.rng.text(6, "aeioknst");
        session
            .ask(tape, format!("MAIL FROM:<info@{sender}> SIZE={size}\r\n").as_bytes())
            .answer(tape, b"250 2.1.0 Ok\r\n");
        session.ask(tape, format!("RCPT TO:<{user}@city.example>\r\n").as_bytes());
        if tape.rng.between(0, 9) == 0 {
            session
                .answer(tape, b"550 5.1.1 User unknown\r\n")
                .ask(tape, b"QUIT\r\n")
                .answer(tape, b"221 2.0.0 Bye\r\n");
            session.close(tape);
            return;
        }
        session
            .answer(tape, b"250 2.1.5 Ok\r\n")
            .ask(tape, b"DATA\r\n")
            .answer(tape, b"354 End data with <CR><LF>.<CR><LF>\r\n");
        let body = tape.rng.text(3_000, "abcdefghij klmno pqrst uvwxyz ");
        let lines: Vec<&str> =
            body.as_bytes().chunks(70).filter_map(|line| std::str::from_utf8(line).ok()).collect();
        let mail = format!(
            "From: info@{sender}\r\nTo: {user}@city.example\r\nSubject: =?UTF-8?B?44GK55+l44KJ44Gb?=\r\nDate: Mon, 2 Nov 2026 \
             09:00:00 +0900\r\nMessage-ID: <{}@{sender}>\r\nMIME-Version: 1.0\r\nContent-Type: text/plain\r\n\r\n{}\r\n.\r\n",
            tape.rng.number(),
            lines.join("\r\n")
        );
        session.ask(tape, mail.as_bytes()).answer(tape, b"250 2.0.0 Ok: queued\r\n").ask(tape, b"QUIT\r\n");
        session.answer(tape, b"221 2.0.0 Bye\r\n").close(tape);
        return;
    }
    session.ask(tape, b"STARTTLS\r\n").answer(tape, b"220 2.0.0 Ready to start TLS\r\n");
    greet_tls(tape, &mut session, host);
    chat(tape, &mut session, 4);
    session.bulk(tape, Way::Up, size, 2_000_000, 5_840);
    chat(tape, &mut session, 1);
    session.close(tape);
}

/// Somebody writes to the town hall. What comes in is handed to the mailbox server.
fn receive(world: &mut World, at: u64) {
    let Some(sender) = world.tape.rng.pick(&SENDERS).copied() else { return };
    let from = IpAddr::V4(names::address_of(&format!("mx.{sender}")));
    let (mail, exchange) = (world.servers.mail, world.servers.exchange);
    let clear = world.one_in(5);
    if let IpAddr::V4(ip) = from {
        let [a, b, c, d] = ip.octets();
        let reverse = format!("{d}.{c}.{b}.{a}.in-addr.arpa");
        names::forwarded(world, at + 40 * MILLI, mail, (&reverse, app::PTR), (&[], 3));
        let list = format!("{d}.{c}.{b}.{a}.zen.blocklist.example");
        names::nothing(world, at + 60 * MILLI, mail, &list);
        let policy = vec![(app::TXT, 3_600, app::txt("v=spf1 ip4:198.18.0.0/15 -all"))];
        names::forwarded(world, at + 80 * MILLI, mail, (sender, app::TXT), (&policy, 0));
        let key = vec![(
            app::TXT,
            3_600,
            app::txt(&format!("v=DKIM1; k=rsa; p={}", "MIGfMA0GCSqGSIb3DQEBAQUAA4GNADCBiQKBgQ".repeat(5))),
        )];
        names::forwarded(
            world,
            at + 95 * MILLI,
            mail,
            (&format!("s1._domainkey.{sender}"), app::TXT),
            (&key, 0),
        );
    }
    transfer(world, at, from, mail, (sender, "mx1.city.example"), clear);
    transfer(world, at + 3 * SECOND, mail, exchange, ("city.example", "mbx.city.example"), false);
}

/// The town hall writes to somebody.
fn deliver(world: &mut World, at: u64) {
    let Some(receiver) = world.tape.rng.pick(&SENDERS).copied() else { return };
    let mail = world.servers.mail;
    let (to, known) = names::look_up(world, at, mail, &format!("mx.{receiver}"));
    let clear = world.one_in(8);
    transfer(world, known, mail, to, ("city.example", &format!("mx.{receiver}")), clear);
    if world.one_in(12) {
        // One that is down: tried again later.
        let from = world.tape.source(mail);
        world.tape.unanswered(at + SECOND, from, end(v4([198, 51, 100, 199]), 25), 4);
    }
}

/// A mail program that looks every five minutes: IMAP over TLS.
fn poll(world: &mut World, host: &Host, at: u64) {
    let exchange = world.servers.exchange;
    let has_mail = world.one_in(3);
    let tape = &mut world.tape;
    let mut session = Session::dial(tape, at, host.ip, end(exchange, 993));
    greet_tls(tape, &mut session, "mbx.city.example");
    chat(tape, &mut session, 4);
    if has_mail {
        let size = message_size(tape);
        session.bulk(tape, Way::Down, size, 8_000_000, 14_600);
    }
    session.close(tape);
}

/// A mail program that keeps its mailbox open all day: STARTTLS on port 143, IDLE, a sign of life every nine minutes.
fn keep_open(world: &mut World, host: &Host, at: u64) {
    let exchange = world.servers.exchange;
    let tape = &mut world.tape;
    let mut session = Session::dial(tape, at, host.ip, end(exchange, 143));
    session.answer(tape, b"* OK [CAPABILITY IMAP4rev1 STARTTLS LOGINDISABLED] ready.\r\n");
    session.ask(tape, b"a1 STARTTLS\r\n").answer(tape, b"a1 OK Begin TLS negotiation now.\r\n");
    greet_tls(tape, &mut session, "mbx.city.example");
    chat(tape, &mut session, 5);
    let mut session = session.clone();
    let host = *host;
    world.at(at + 9 * MINUTE, move |world, at| {
        session.until(at);
        let tape = &mut world.tape;
        if slowness(&host, at).is_none() {
            session.close(tape);
            return None;
        }
        chat(tape, &mut session, 1);
        if tape.rng.between(0, 3) == 0 {
            let size = message_size(tape);
            session.bulk(tape, Way::Down, size, 8_000_000, 14_600);
        }
        Some(at + 9 * MINUTE)
    });
}

/// A mail is handed in at the submission port.
fn submit(world: &mut World, host: &Host, at: u64) {
    let exchange = world.servers.exchange;
    let tape = &mut world.tape;
    let mut session = Session::dial(tape, at, host.ip, end(exchange, 587));
    session
        .answer(tape, b"220 mbx.city.example ESMTP\r\n")
        .ask(tape, format!("EHLO {}\r\n", host.name()).as_bytes());
    session.answer(tape, b"250-mbx.city.example\r\n250-STARTTLS\r\n250 SIZE 35882577\r\n");
    session.ask(tape, b"STARTTLS\r\n").answer(tape, b"220 2.0.0 SMTP server ready\r\n");
    greet_tls(tape, &mut session, "mbx.city.example");
    chat(tape, &mut session, 6);
    let size = message_size(tape);
    session.bulk(tape, Way::Up, size, 10_000_000, 14_600);
    chat(tape, &mut session, 2);
    session.close(tape);
}

/// A file is uploaded to a shared folder outside: a few megabytes.
fn web_mail(world: &mut World, host: &Host, at: u64) {
    let (ip, known) = names::look_up(world, at, host.ip, "files.share-com.example");
    let tape = &mut world.tape;
    let mut session = Session::dial(tape, known, host.ip, end(ip, 443));
    greet_tls(tape, &mut session, "files.share-com.example");
    let size = tape.rng.between(200_000, 9_000_000);
    session.bulk(tape, Way::Up, size, 3_000_000, 5_840);
    chat(tape, &mut session, 2);
    session.wait(20 * SECOND).close(tape);
}

/// The push channel of the desktop: a new connection whenever the old one was given up, about every 28 minutes.
fn push_channel(world: &mut World, host: &Host, at: u64) {
    let (ip, known) = names::look_up(world, at, host.ip, "push.notify-com.example");
    let tape = &mut world.tape;
    let mut session = Session::dial(tape, known, host.ip, end(ip, 443));
    greet_tls(tape, &mut session, "push.notify-com.example");
    chat(tape, &mut session, 2);
    for _ in 0..5 {
        session.wait(4 * MINUTE).keep_alive(tape);
    }
    session.wait(4 * MINUTE);
    chat(tape, &mut session, 1);
    session.close(tape);
}
