//! Baselines: three weeks of ordinary hours, then one that is not; and a Monday that only looks hard.

use std::net::IpAddr;

use super::super::capture::{Capture, MILLI, SECOND, Tcp};
use super::super::craft::{self, End, Segment, TcpFlags, end, v4};
use super::super::talk::{self, PLAIN};
use super::super::{Case, Expect};

/// Copies to the provider every hour.
const STORE: IpAddr = v4([192, 168, 10, 8]);
/// The provider's side: rsync, which no parser knows, so that an hour is a handful of frames.
const PROVIDER: End = end(v4([198, 51, 100, 40]), 873);
/// Asks and is answered every hour; one night it asks in vain.
const DESK: IpAddr = v4([192, 168, 10, 44]);
const HOUR: u64 = 3_600 * SECOND;
/// Hours of three weeks and a day; the captures begin on a Monday at nine.
const WEEKS: u64 = 22 * 24;
/// Three at night, Tuesday, after those.
const NIGHT: u64 = (WEEKS + 18) * HOUR;
/// Nine in the morning, Monday.
const MONDAY: u64 = 28 * 24 * HOUR;

pub(super) fn all() -> Vec<Case> {
    vec![
        Case {
            name: "baseline.volume/positive-night",
            about: "A replication of a few kilobytes an hour, for three weeks; then 72 megabytes at three in the morning.",
            config: None,
            expect: vec![Expect::of("baseline.volume", Some(STORE), None)],
            build: |c| {
                hours(c, WEEKS, |_| 3);
                upload(c, NIGHT, 1_200);
            },
        },
        Case {
            name: "baseline.volume/benign-monday",
            about: "Four weeks of a replication that is larger in working hours; a Monday with three times the usual.",
            config: None,
            expect: vec![],
            build: |c| {
                let busy = |hour: u64| hour % 24 < 9 && hour / 24 % 7 < 5;
                hours(c, MONDAY / HOUR, move |hour| if busy(hour) { 24 } else { 2 });
                for hour in 0..4 {
                    upload(c, MONDAY + hour * HOUR, 72);
                }
                talk::office(c, &PLAIN, MONDAY, MONDAY + 30 * SECOND);
            },
        },
        Case {
            name: "baseline.host/positive-retries",
            about: "A desk whose connections fail once in a while, for three weeks; then one night it tries a dead server 300 times.",
            config: None,
            expect: vec![Expect::of("baseline.host", Some(DESK), None)],
            build: |c| {
                desk(c);
                retries(c, NIGHT, 300);
            },
        },
        Case {
            name: "baseline.host/benign-monday",
            about: "The same three weeks; then the desk tries a drive that is no more 80 times, and copies eight megabytes.",
            config: None,
            expect: vec![],
            build: |c| {
                desk(c);
                retries(c, WEEKS * HOUR, 80);
                upload(c, WEEKS * HOUR + 600 * SECOND, 130);
                talk::office(c, &PLAIN, WEEKS * HOUR, WEEKS * HOUR + 20 * SECOND);
            },
        },
    ]
}

/// One small connection an hour, its size in kilobytes by the hour.
fn hours(capture: &mut Capture, count: u64, kilobytes: impl Fn(u64) -> usize) {
    for hour in 0..count {
        let at = hour * HOUR + capture.rng.between(60 * SECOND, 600 * SECOND);
        let source = end(STORE, capture.port());
        let seq = capture.rng.number();
        talk_small(capture, at, (source, PROVIDER), (seq, kilobytes(hour)));
    }
}

/// Greeting, one long segment of which the capture has the beginning, and an end.
fn talk_small(capture: &mut Capture, at: u64, (from, to): (End, End), (seq, kilobytes): (u32, usize)) {
    let mine = seq.wrapping_add(1);
    capture.segment(at, from, to, (seq, 0), TcpFlags::SYN);
    capture.segment(at + 9 * MILLI, to, from, (seq, mine), TcpFlags::SYN_ACK);
    capture.segment(at + 10 * MILLI, from, to, (mine, mine), TcpFlags::ACK);
    let next = long_segment(capture, at + 11 * MILLI, (from, to), (mine, mine), kilobytes * 1_000);
    capture.segment(at + 30 * MILLI, to, from, (mine, next), TcpFlags::ACK);
    capture.segment(at + 31 * MILLI, from, to, (next, mine), TcpFlags::FIN_ACK);
    capture.segment(at + 40 * MILLI, to, from, (mine, next.wrapping_add(1)), TcpFlags::FIN_ACK);
}

/// A data segment as the kernel hands over what the card put together, cut by a snap length; gives the next number.
fn long_segment(
    capture: &mut Capture,
    at: u64,
    (from, to): (End, End),
    (seq, ack): (u32, u32),
    bytes: usize,
) -> u32 {
    let id = capture.ip_id();
    let payload = vec![0x5e; bytes];
    let flags = TcpFlags::PSH_ACK;
    let segment = Segment { from, to, seq, ack, flags, window: 64_240, payload: &payload };
    capture.push_cut(at, craft::tcp(&segment, id), 60);
    seq.wrapping_add(u32::try_from(bytes).unwrap_or_default())
}

/// So many segments of sixty kilobytes within one connection.
fn upload(capture: &mut Capture, at: u64, segments: u64) {
    let (from, to) = (end(STORE, capture.port()), PROVIDER);
    let seq = capture.rng.number();
    let mut next = seq.wrapping_add(1);
    capture.segment(at, from, to, (seq, 0), TcpFlags::SYN);
    capture.segment(at + 9 * MILLI, to, from, (seq, next), TcpFlags::SYN_ACK);
    capture.segment(at + 10 * MILLI, from, to, (next, next), TcpFlags::ACK);
    let ack = next;
    for number in 0..segments {
        let now = at + (20 + number * 40) * MILLI;
        next = long_segment(capture, now, (from, to), (next, ack), 60_000);
        if number % 20 == 19 {
            capture.segment(now + 9 * MILLI, to, from, (ack, next), TcpFlags::ACK);
        }
    }
    let over = at + (60 + segments * 40) * MILLI;
    capture.segment(over, from, to, (next, ack), TcpFlags::FIN_ACK);
    capture.segment(over + 9 * MILLI, to, from, (ack, next.wrapping_add(1)), TcpFlags::FIN_ACK);
}

/// Three weeks of a desk: a name every hour, and every seventh hour a connection that is refused.
fn desk(capture: &mut Capture) {
    for hour in 0..WEEKS {
        let at = hour * HOUR + capture.rng.between(0, 1_200 * SECOND);
        talk::look_up(capture, at, DESK, PLAIN.resolver, "www.pref.example");
        if hour % 7 == 0 {
            let from = end(DESK, capture.port());
            capture.refused(at + SECOND, MILLI, from, end(PLAIN.host(5), 445));
        }
    }
}

/// A program that does not give up: the same port of the same server, every ten seconds.
fn retries(capture: &mut Capture, at: u64, count: u64) {
    talk::look_up(capture, at, DESK, PLAIN.resolver, "files-old.city.example");
    for number in 0..count {
        let from = end(DESK, capture.port());
        capture.refused(at + (1 + number * 10) * SECOND, MILLI, from, end(PLAIN.host(5), 445));
    }
    let from = end(DESK, capture.port());
    Tcp::open(capture, at + 1_700 * SECOND, from, end(PLAIN.host(6), 80)).close();
}
