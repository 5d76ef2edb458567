//! A capture being composed: frames with their times, chance from a seed, and the pcap file that comes out.
//!
//! Conversations are pushed in any order and sorted by time when written, so that a scenario and the background noise
//! beside it can be written one after the other. The seed is the capture's name: adding one capture changes no other.

use std::net::IpAddr;

use super::craft::{self, End, Segment, TcpFlags};

/// 2026-11-02T00:00:00Z, a Monday, 9 o'clock in Japan. Every seeded capture starts here.
const BASE_SECONDS: u64 = 1_793_577_600;
/// Largest TCP payload of one frame.
const MSS: usize = 1_460;
/// A second, in the unit of every time here.
pub(crate) const SECOND: u64 = 1_000_000;
/// A millisecond, in the unit of every time here.
pub(crate) const MILLI: u64 = 1_000;

/// Frames of one file, with times in microseconds after the base.
#[derive(Debug)]
pub(crate) struct Capture {
    /// When, what was captured, and how long it was on the wire.
    frames: Vec<(u64, Vec<u8>, usize)>,
    /// Chance, seeded with the capture's name.
    pub(crate) rng: Rng,
    next_port: u16,
    next_ip_id: u16,
}

impl Capture {
    /// An empty capture whose chance is determined by `name`.
    pub(crate) const fn new(name: &str) -> Self {
        Self { frames: Vec::new(), rng: Rng::named(name), next_port: 49_152, next_ip_id: 1 }
    }

    /// Adds a finished frame.
    pub(crate) fn push(&mut self, at: u64, frame: Vec<u8>) {
        let length = frame.len();
        self.frames.push((at, frame, length));
    }

    /// Adds a frame of which only the first bytes were captured, as with a snap length.
    pub(crate) fn push_cut(&mut self, at: u64, mut frame: Vec<u8>, kept: usize) {
        let length = frame.len();
        frame.truncate(kept);
        self.frames.push((at, frame, length));
    }

    /// A source port that no other conversation of this capture has.
    pub(crate) fn port(&mut self) -> u16 {
        self.next_port = self.next_port.checked_add(1).unwrap_or(20_000);
        self.next_port
    }

    /// The next identification of an IP packet.
    pub(crate) fn ip_id(&mut self) -> u16 {
        self.next_ip_id = self.next_ip_id.wrapping_add(1);
        self.next_ip_id
    }

    /// One UDP datagram.
    pub(crate) fn udp(&mut self, at: u64, from: End, to: End, payload: &[u8]) {
        let id = self.ip_id();
        self.push(at, craft::udp(from, to, id, payload));
    }

    /// A UDP question and its answer, `delay` later.
    pub(crate) fn exchange(&mut self, at: u64, delay: u64, ends: (End, End), payloads: (&[u8], &[u8])) {
        self.udp(at, ends.0, ends.1, payloads.0);
        self.udp(at + delay, ends.1, ends.0, payloads.1);
    }

    /// One TCP segment outside a conversation.
    pub(crate) fn segment(&mut self, at: u64, from: End, to: End, numbers: (u32, u32), flags: TcpFlags) {
        let id = self.ip_id();
        let segment =
            Segment { from, to, seq: numbers.0, ack: numbers.1, flags, window: 64_240, payload: &[] };
        self.push(at, craft::tcp(&segment, id));
    }

    /// A SYN that is answered by RST, as from a closed port.
    pub(crate) fn refused(&mut self, at: u64, delay: u64, from: End, to: End) {
        let seq = self.rng.number();
        self.segment(at, from, to, (seq, 0), TcpFlags::SYN);
        self.segment(at + delay, to, from, (0, seq.wrapping_add(1)), TcpFlags::RST_ACK);
    }

    /// An ICMP echo request, and its answer if there is a `delay` for it.
    pub(crate) fn ping(&mut self, at: u64, from: IpAddr, to: IpAddr, answer_after: Option<u64>) {
        let (id, sequence) = (self.ip_id(), self.ip_id());
        self.push(at, craft::echo(from, to, sequence, id, craft::Echo::Request));
        if let Some(delay) = answer_after {
            let id = self.ip_id();
            self.push(at + delay, craft::echo(to, from, sequence, id, craft::Echo::Reply));
        }
    }

    /// The capture as a pcap file (microseconds, little endian, Ethernet).
    pub(crate) fn into_pcap(mut self) -> anyhow::Result<Vec<u8>> {
        self.frames.sort_by_key(|(at, ..)| *at);
        let mut out = Vec::new();
        for word in [0xa1b2_c3d4_u32, 0x0004_0002, 0, 0, 65_535, 1] {
            out.extend_from_slice(&word.to_le_bytes());
        }
        for (at, frame, length) in &self.frames {
            let (kept, length) = (u32::try_from(frame.len())?, u32::try_from(*length)?);
            let seconds = u32::try_from(BASE_SECONDS + at / SECOND)?;
            for word in [seconds, u32::try_from(at % SECOND)?, kept, length] {
                out.extend_from_slice(&word.to_le_bytes());
            }
            out.extend_from_slice(frame);
        }
        Ok(out)
    }
}

/// One TCP conversation as a sensor between both ends sees it.
#[derive(Debug)]
pub(crate) struct Tcp<'c> {
    capture: &'c mut Capture,
    now: u64,
    round_trip: u64,
    ends: (End, End),
    /// Next sequence numbers of the originator and of the responder.
    next: (u32, u32),
}

impl<'c> Tcp<'c> {
    /// A completed handshake.
    pub(crate) fn open(capture: &'c mut Capture, at: u64, originator: End, responder: End) -> Self {
        let round_trip = capture.rng.between(8 * MILLI, 24 * MILLI);
        let (seq_a, seq_b) = (capture.rng.number(), capture.rng.number());
        let next = (seq_a.wrapping_add(1), seq_b.wrapping_add(1));
        capture.segment(at, originator, responder, (seq_a, 0), TcpFlags::SYN);
        capture.segment(at + round_trip, responder, originator, (seq_b, next.0), TcpFlags::SYN_ACK);
        capture.segment(at + round_trip + 300, originator, responder, next, TcpFlags::ACK);
        Self { capture, now: at + round_trip + 600, round_trip, ends: (originator, responder), next }
    }

    /// The originator sends, the responder acknowledges.
    pub(crate) fn ask(&mut self, payload: &[u8]) -> &mut Self {
        self.send(payload, true)
    }

    /// The responder sends, the originator acknowledges.
    pub(crate) fn answer(&mut self, payload: &[u8]) -> &mut Self {
        self.send(payload, false)
    }

    fn send(&mut self, payload: &[u8], by_originator: bool) -> &mut Self {
        for chunk in payload.chunks(MSS) {
            let (from, to, seq, ack) = if by_originator {
                (self.ends.0, self.ends.1, self.next.0, self.next.1)
            } else {
                (self.ends.1, self.ends.0, self.next.1, self.next.0)
            };
            let id = self.capture.ip_id();
            let flags = TcpFlags::PSH_ACK;
            let segment = Segment { from, to, seq, ack, flags, window: 64_240, payload: chunk };
            self.capture.push(self.now, craft::tcp(&segment, id));
            let length = u32::try_from(chunk.len()).unwrap_or_default();
            let after = seq.wrapping_add(length);
            if by_originator {
                self.next.0 = after;
            } else {
                self.next.1 = after;
            }
            self.capture.segment(self.now + self.round_trip / 2, to, from, (ack, after), TcpFlags::ACK);
            self.now += 150;
        }
        self.now += self.round_trip;
        self
    }

    /// Time passes.
    pub(crate) const fn wait(&mut self, time: u64) -> &mut Self {
        self.now += time;
        self
    }

    /// The originator ends it in the regular way; gives the time of the last segment.
    pub(crate) fn close(&mut self) -> u64 {
        let (a, b) = self.ends;
        let (seq_a, seq_b) = self.next;
        let (after_a, after_b) = (seq_a.wrapping_add(1), seq_b.wrapping_add(1));
        let answered = self.now + self.round_trip;
        self.capture.segment(self.now, a, b, (seq_a, seq_b), TcpFlags::FIN_ACK);
        self.capture.segment(answered, b, a, (seq_b, after_a), TcpFlags::FIN_ACK);
        self.capture.segment(answered + 300, a, b, (after_a, after_b), TcpFlags::ACK);
        answered + 300
    }

    /// The originator aborts.
    pub(crate) fn abort(&mut self) {
        let (a, b) = self.ends;
        self.capture.segment(self.now, a, b, self.next, TcpFlags::RST_ACK);
    }
}

/// `SplitMix64`: small, good enough for test traffic, and the same everywhere for ever.
#[derive(Clone, Debug)]
pub(crate) struct Rng(u64);

impl Rng {
    /// Seeded with the FNV-1a hash of a name.
    pub(crate) const fn named(name: &str) -> Self {
        let mut bytes = name.as_bytes();
        let mut hash = 0xcbf2_9ce4_8422_2325_u64;
        while let [first, rest @ ..] = bytes {
            hash = (hash ^ (*first as u64)).wrapping_mul(0x0100_0000_01b3);
            bytes = rest;
        }
        Self(hash)
    }

    /// Seeded with a number.
    pub(crate) const fn seeded(seed: u64) -> Self {
        Self(seed)
    }

    /// The next 64 bits.
    pub(crate) const fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Any 32 bits.
    pub(crate) fn number(&mut self) -> u32 {
        u32::try_from(self.next() >> 32).unwrap_or_default()
    }

    /// Any 16 bits.
    pub(crate) fn word(&mut self) -> u16 {
        u16::try_from(self.next() >> 48).unwrap_or_default()
    }

    /// Any byte.
    pub(crate) fn byte(&mut self) -> u8 {
        u8::try_from(self.next() >> 56).unwrap_or_default()
    }

    /// From `low` to below `high`.
    pub(crate) fn between(&mut self, low: u64, high: u64) -> u64 {
        low + self.next() % high.saturating_sub(low).max(1)
    }

    /// One of several; `None` only if there is none.
    pub(crate) fn pick<'a, T>(&mut self, from: &'a [T]) -> Option<&'a T> {
        let count = u64::try_from(from.len()).unwrap_or_default();
        from.get(usize::try_from(self.between(0, count)).unwrap_or_default())
    }

    /// So many random bytes.
    pub(crate) fn bytes(&mut self, count: usize) -> Vec<u8> {
        std::iter::repeat_with(|| self.byte()).take(count).collect()
    }

    /// So many characters of an alphabet.
    pub(crate) fn text(&mut self, count: usize, alphabet: &str) -> String {
        let letters: Vec<char> = alphabet.chars().collect();
        std::iter::repeat_with(|| self.pick(&letters).copied().unwrap_or('x')).take(count).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chance_is_determined_by_the_name() {
        assert_eq!(Rng::named("a").bytes(64), Rng::named("a").bytes(64));
        assert_ne!(Rng::named("a").bytes(64), Rng::named("b").bytes(64));
        let mut rng = Rng::named("range");
        assert!((0..1_000).all(|_| (3..7).contains(&rng.between(3, 7))));
    }

    #[test]
    fn frames_are_written_in_order_of_time() {
        let mut capture = Capture::new("order");
        capture.push(2 * SECOND + 7, vec![2; 60]);
        capture.push(SECOND, vec![1; 60]);
        let file = capture.into_pcap().unwrap();
        assert_eq!(file.len(), 24 + 2 * (16 + 60));
        assert_eq!((file[40], file[24 + 76 + 16]), (1, 2));
        assert_eq!(file[24 + 76 + 4], 7, "microseconds of the second frame");
    }
}
