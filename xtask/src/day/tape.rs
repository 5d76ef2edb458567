//! Frames on their way to the file: sorted by time within what is still open, so that a day needs little memory.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::io::{self, Write};
use std::net::IpAddr;

use crate::pcaps::capture::{Rng, SECOND};
use crate::pcaps::craft::{self, End, Segment, TcpFlags};

/// 2026-11-02T00:00:00+09:00, a Monday: time 0 of every day.
const BASE_SECONDS: u64 = 1_793_545_200;
/// Bytes of a long data segment that are kept, as a capture with a snap length does: headers, and the beginning of what is
/// encrypted anyway.
const SNAP: usize = 60;

/// A frame and when it is seen.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Frame {
    at: u64,
    /// Order of frames of the same microsecond.
    number: u64,
    wire_len: u32,
    bytes: Vec<u8>,
}

/// Frames that are not written yet, chance, and the numbers that hosts count.
#[derive(Debug)]
pub(super) struct Tape {
    waiting: BinaryHeap<Reverse<Frame>>,
    next: u64,
    /// Chance.
    pub(super) rng: Rng,
    ports: BTreeMap<IpAddr, u16>,
    ip_id: u16,
    /// Frames and bytes written so far.
    pub(super) written: (u64, u64),
}

impl Tape {
    /// An empty one whose chance is determined by `seed`.
    pub(super) fn new(seed: u64) -> Self {
        Self {
            waiting: BinaryHeap::new(),
            next: 0,
            rng: Rng::named(&format!("day {seed}")),
            ports: BTreeMap::new(),
            ip_id: 1,
            written: (0, 0),
        }
    }

    /// A whole frame.
    pub(super) fn push(&mut self, at: u64, bytes: Vec<u8>) {
        let wire_len = u32::try_from(bytes.len()).unwrap_or_default();
        self.push_cut(at, bytes, wire_len);
    }

    fn push_cut(&mut self, at: u64, bytes: Vec<u8>, wire_len: u32) {
        self.next += 1;
        self.waiting.push(Reverse(Frame { at, number: self.next, wire_len, bytes }));
    }

    /// The next source port of a host, as its system counts them; a stranger's is any.
    pub(super) fn port(&mut self, host: IpAddr) -> u16 {
        let is_ours = matches!(host, IpAddr::V4(ip) if ip.is_private());
        if !is_ours {
            return u16::try_from(self.rng.between(1_025, 65_535)).unwrap_or(40_000);
        }
        let first = u16::try_from(self.rng.between(49_152, 64_000)).unwrap_or(49_152);
        let port = self.ports.entry(host).or_insert(first);
        *port = if *port >= 65_534 { 49_152 } else { *port + 1 };
        *port
    }

    /// A host's next source with its port.
    pub(super) fn source(&mut self, host: IpAddr) -> End {
        craft::end(host, self.port(host))
    }

    fn ip_id(&mut self) -> u16 {
        self.ip_id = self.ip_id.wrapping_add(1);
        self.ip_id
    }

    /// One UDP datagram.
    pub(super) fn udp(&mut self, at: u64, from: End, to: End, payload: &[u8]) {
        let id = self.ip_id();
        self.push(at, craft::udp(from, to, id, payload));
    }

    /// A UDP question and its answer, `delay` later.
    pub(super) fn exchange(&mut self, at: u64, delay: u64, ends: (End, End), payloads: (&[u8], &[u8])) {
        self.udp(at, ends.0, ends.1, payloads.0);
        self.udp(at + delay, ends.1, ends.0, payloads.1);
    }

    /// One TCP segment.
    pub(super) fn tcp(
        &mut self,
        at: u64,
        ends: (End, End),
        numbers: (u32, u32),
        flags: TcpFlags,
        payload: &[u8],
    ) {
        let id = self.ip_id();
        let segment = Segment {
            from: ends.0,
            to: ends.1,
            seq: numbers.0,
            ack: numbers.1,
            flags,
            window: 64_240,
            payload,
        };
        self.push(at, craft::tcp(&segment, id));
    }

    /// A data segment of `length` bytes of which the file keeps the beginning. Longer than a frame may be: as the kernel hands
    /// over what the card has put together.
    pub(super) fn tcp_cut(&mut self, at: u64, ends: (End, End), numbers: (u32, u32), length: u16) {
        let id = self.ip_id();
        let payload = self.rng.bytes(usize::from(length).min(SNAP));
        let flags = TcpFlags::PSH_ACK;
        let (from, to) = ends;
        let (seq, ack) = numbers;
        let segment = Segment { from, to, seq, ack, flags, window: 64_240, payload: &payload };
        let mut bytes = craft::tcp(&segment, id);
        let kept = u16::try_from(payload.len()).unwrap_or_default();
        craft::lengthen(&mut bytes, length.saturating_sub(kept));
        let wire_len = u32::try_from(bytes.len()).unwrap_or_default() + u32::from(length - kept);
        bytes.truncate(54 + SNAP);
        self.push_cut(at, bytes, wire_len);
    }

    /// One UDP datagram of `length` bytes of which the file keeps the beginning.
    pub(super) fn udp_cut(&mut self, at: u64, from: End, to: End, (payload, length): (&[u8], u16)) {
        let id = self.ip_id();
        let mut bytes = craft::udp(from, to, id, payload);
        let more = length.saturating_sub(u16::try_from(payload.len()).unwrap_or_default());
        craft::lengthen(&mut bytes, more);
        let wire_len = u32::try_from(bytes.len()).unwrap_or_default() + u32::from(more);
        self.push_cut(at, bytes, wire_len);
    }

    /// A SYN that is answered by RST, as from a closed port.
    pub(super) fn refused(&mut self, at: u64, from: End, to: End) {
        let (seq, delay) = (self.rng.number(), self.rng.between(200, 900));
        self.tcp(at, (from, to), (seq, 0), TcpFlags::SYN, &[]);
        self.tcp(at + delay, (to, from), (0, seq.wrapping_add(1)), TcpFlags::RST_ACK, &[]);
    }

    /// A SYN that nobody answers, and what the system repeats of it.
    pub(super) fn unanswered(&mut self, at: u64, from: End, to: End, repeats: u32) {
        let seq = self.rng.number();
        let mut at = at;
        for repeat in 0..=repeats {
            self.tcp(at, (from, to), (seq, 0), TcpFlags::SYN, &[]);
            at += SECOND << repeat;
        }
    }

    /// An ICMP echo request, and its answer if there is one.
    pub(super) fn ping(&mut self, at: u64, from: IpAddr, to: IpAddr, sequence: u16, answered: bool) {
        let id = self.ip_id();
        self.push(at, craft::echo(from, to, sequence, id, craft::Echo::Request));
        if answered {
            let (id, delay) = (self.ip_id(), self.rng.between(150, 1_200));
            self.push(at + delay, craft::echo(to, from, sequence, id, craft::Echo::Reply));
        }
    }

    /// Forgets what was seen before `until`: it happened before the capture began.
    pub(super) fn forget_before(&mut self, until: u64) {
        while self.waiting.peek().is_some_and(|Reverse(frame)| frame.at < until) {
            self.waiting.pop();
        }
    }

    /// Begins a pcap file (microseconds, little endian, Ethernet).
    pub(super) fn begin(out: &mut impl Write) -> io::Result<()> {
        for word in [0xa1b2_c3d4_u32, 0x0004_0002, 0, 0, 262_144, 1] {
            out.write_all(&word.to_le_bytes())?;
        }
        Ok(())
    }

    /// Writes what was seen before `until`; no such frame may come later.
    pub(super) fn write_before(&mut self, until: u64, out: &mut impl Write) -> io::Result<()> {
        while self.waiting.peek().is_some_and(|Reverse(frame)| frame.at < until) {
            let Some(Reverse(frame)) = self.waiting.pop() else { break };
            let word = |value: u64| u32::try_from(value).unwrap_or(u32::MAX);
            let kept = word(u64::try_from(frame.bytes.len()).unwrap_or_default());
            for value in
                [word(BASE_SECONDS + frame.at / SECOND), word(frame.at % SECOND), kept, frame.wire_len]
            {
                out.write_all(&value.to_le_bytes())?;
            }
            out.write_all(&frame.bytes)?;
            self.written.0 += 1;
            self.written.1 += u64::from(frame.wire_len);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pcaps::craft::{end, v4};

    #[test]
    fn frames_leave_in_order_and_not_too_early() {
        let mut tape = Tape::new(1);
        tape.push(2 * SECOND, vec![2; 60]);
        tape.push(SECOND, vec![1; 60]);
        let mut out = Vec::new();
        tape.write_before(2 * SECOND, &mut out).unwrap();
        assert_eq!((out.len(), out[16]), (76, 1));
        tape.write_before(u64::MAX, &mut out).unwrap();
        assert_eq!((out.len(), out[76 + 16], tape.written), (152, 2, (2, 120)));
    }

    #[test]
    fn a_cut_segment_tells_its_length() {
        let mut tape = Tape::new(1);
        let ends = (end(v4([192, 168, 10, 2]), 445), end(v4([192, 168, 10, 3]), 50_000));
        tape.tcp_cut(0, ends, (1, 1), 60_000);
        let Some(Reverse(frame)) = tape.waiting.pop() else { panic!("no frame") };
        assert_eq!((frame.bytes.len(), frame.wire_len), (54 + SNAP, 54 + 60_000));
        assert_eq!(u16::from_be_bytes([frame.bytes[16], frame.bytes[17]]), 60_040);
    }
}
