//! A TCP conversation that may last all day: its numbers, without holding on to the tape.

use std::net::IpAddr;

use super::tape::Tape;
use crate::pcaps::capture::{MILLI, SECOND};
use crate::pcaps::craft::{End, TcpFlags};

/// Largest TCP payload of one frame on the wire.
const MSS: usize = 1_460;
/// Of so many data segments one is lost behind the sensor and sent again.
const LOSS: u64 = 600;

/// Who of the two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    Up,
    Down,
}

/// One conversation as a sensor between both ends sees it.
#[derive(Clone, Debug)]
pub(super) struct Session {
    /// When the last thing happened.
    pub(super) now: u64,
    round_trip: u64,
    ends: (End, End),
    next: (u32, u32),
}

fn is_far(ip: IpAddr) -> bool {
    !matches!(ip, IpAddr::V4(ip) if ip.is_private())
}

impl Session {
    /// A completed handshake with a port that `from` has not used lately.
    pub(super) fn dial(tape: &mut Tape, at: u64, from: IpAddr, to: End) -> Self {
        let source = tape.source(from);
        Self::open(tape, at, source, to)
    }

    /// A completed handshake.
    pub(super) fn open(tape: &mut Tape, at: u64, from: End, to: End) -> Self {
        let far = is_far(from.ip) || is_far(to.ip);
        let round_trip =
            if far { tape.rng.between(6 * MILLI, 60 * MILLI) } else { tape.rng.between(180, 1_100) };
        let (a, b) = (tape.rng.number(), tape.rng.number());
        let next = (a.wrapping_add(1), b.wrapping_add(1));
        tape.tcp(at, (from, to), (a, 0), TcpFlags::SYN, &[]);
        tape.tcp(at + round_trip, (to, from), (b, next.0), TcpFlags::SYN_ACK, &[]);
        tape.tcp(at + round_trip + 60, (from, to), next, TcpFlags::ACK, &[]);
        Self { now: at + round_trip + 120, round_trip, ends: (from, to), next }
    }

    /// The originator sends.
    pub(super) fn ask(&mut self, tape: &mut Tape, payload: &[u8]) -> &mut Self {
        self.send(tape, payload, Way::Up)
    }

    /// The responder sends.
    pub(super) fn answer(&mut self, tape: &mut Tape, payload: &[u8]) -> &mut Self {
        self.send(tape, payload, Way::Down)
    }

    fn places(&self, way: Way) -> ((End, End), (u32, u32)) {
        match way {
            Way::Up => (self.ends, self.next),
            Way::Down => ((self.ends.1, self.ends.0), (self.next.1, self.next.0)),
        }
    }

    fn advance(&mut self, way: Way, length: usize) {
        let length = u32::try_from(length).unwrap_or_default();
        match way {
            Way::Up => self.next.0 = self.next.0.wrapping_add(length),
            Way::Down => self.next.1 = self.next.1.wrapping_add(length),
        }
    }

    fn acknowledge(&self, tape: &mut Tape, way: Way, at: u64) {
        let ((from, to), (seq, ack)) = self.places(way);
        tape.tcp(at, (to, from), (ack, seq), TcpFlags::ACK, &[]);
    }

    fn send(&mut self, tape: &mut Tape, payload: &[u8], way: Way) -> &mut Self {
        let mut chunks = payload.chunks(MSS).peekable();
        let mut number = 0_u32;
        while let Some(chunk) = chunks.next() {
            let (ends, numbers) = self.places(way);
            tape.tcp(self.now, ends, numbers, TcpFlags::PSH_ACK, chunk);
            if tape.rng.between(0, LOSS) == 0 {
                tape.tcp(self.now + 220 * MILLI, ends, numbers, TcpFlags::PSH_ACK, chunk);
            }
            self.advance(way, chunk.len());
            number += 1;
            if number.is_multiple_of(2) || chunks.peek().is_none() {
                self.acknowledge(tape, way, self.now + self.round_trip / 2);
            }
            self.now += 120;
        }
        self.now += self.round_trip;
        self
    }

    /// A great deal of data one way, at so many bytes a second, in segments of a length; the file keeps their beginnings.
    pub(super) fn bulk(
        &mut self,
        tape: &mut Tape,
        way: Way,
        bytes: u64,
        rate: u64,
        segment: u16,
    ) -> &mut Self {
        let (mut left, step) = (bytes, u64::from(segment) * SECOND / rate.max(1));
        let mut number = 0_u64;
        while left > 0 {
            let length = u16::try_from(left).unwrap_or(u16::MAX).min(segment);
            let (ends, numbers) = self.places(way);
            tape.tcp_cut(self.now, ends, numbers, length);
            self.advance(way, usize::from(length));
            left -= u64::from(length);
            number += 1;
            if number.is_multiple_of(4) || left == 0 {
                self.acknowledge(tape, way, self.now + self.round_trip / 2);
            }
            self.now += tape.rng.between(step / 2, step * 3 / 2 + 1);
        }
        self.now += self.round_trip;
        self
    }

    /// Time passes.
    pub(super) const fn wait(&mut self, time: u64) -> &mut Self {
        self.now += time;
        self
    }

    /// It goes on at this time, if that is not past.
    pub(super) fn until(&mut self, at: u64) -> &mut Self {
        self.now = self.now.max(at);
        self
    }

    /// An empty probe of one byte before the next, answered: TCP keep-alive (RFC 9293, 3.8.4).
    pub(super) fn keep_alive(&self, tape: &mut Tape) {
        let (ends, (seq, ack)) = self.places(Way::Up);
        tape.tcp(self.now, ends, (seq.wrapping_sub(1), ack), TcpFlags::ACK, &[]);
        self.acknowledge(tape, Way::Up, self.now + self.round_trip);
    }

    /// One end closes in the regular way, and the other.
    pub(super) fn close(&mut self, tape: &mut Tape) {
        let (a, b) = self.ends;
        let (x, y) = self.next;
        let (after_x, after_y) = (x.wrapping_add(1), y.wrapping_add(1));
        let answered = self.now + self.round_trip;
        tape.tcp(self.now, (a, b), (x, y), TcpFlags::FIN_ACK, &[]);
        tape.tcp(answered, (b, a), (y, after_x), TcpFlags::FIN_ACK, &[]);
        tape.tcp(answered + 60, (a, b), (after_x, after_y), TcpFlags::ACK, &[]);
        self.now = answered + 60;
    }

    /// The originator aborts, as browsers and sleeping notebooks do.
    pub(super) fn abort(&self, tape: &mut Tape) {
        tape.tcp(self.now, self.ends, self.next, TcpFlags::RST_ACK, &[]);
    }
}
