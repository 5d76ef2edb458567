//! One end of a TCP connection: its state, its sequence numbers, and which of its bytes the capture has.
//!
//! Sequence numbers are kept relative to the end's SYN (0; the first byte is 1) and do not wrap.

use super::distance;
use super::pieces::Pieces;
use crate::decode::Flags;

/// Bytes beyond a hole without any acknowledgment: what is missing will not be accounted for (one-way captures).
const BEYOND_HOLE_MAX: u64 = 16 * 1024;
/// A SYN or RST further than this from what its sender sent last says nothing about its bytes.
const JUMP_MAX: u32 = 1 << 20;

/// How far one end is, in Zeek's words.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum State {
    /// Nothing seen.
    #[default]
    Inactive,
    /// SYN.
    SynSent,
    /// SYN-ACK, no SYN seen from the other.
    SynAckSent,
    /// Something, but no handshake.
    Partial,
    /// Handshake seen.
    Established,
    /// FIN.
    Closed,
    /// RST.
    Reset,
}

/// One end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "independent facts, each set once")]
pub(super) struct End {
    pub(super) state: State,
    /// The state before this one.
    pub(super) before: State,
    /// Sequence number of the SYN; without one, of the byte before the first.
    pub(super) start: u32,
    /// After the last byte sent.
    pub(super) last: u64,
    /// Acknowledged by the other end.
    pub(super) acked: u64,
    /// After the last byte that the capture has without a hole, or given up.
    delivered: u64,
    /// After the FIN, if there was one.
    pub(super) fin: Option<u64>,
    pub(super) missed: u64,
    /// Marks of the last SYN and RST that entered the history.
    pub(super) syn_mark: u32,
    pub(super) reset_mark: u32,
    pub(super) retransmissions: u32,
    pub(super) out_of_order: u32,
    pub(super) zero_windows: u32,
    pub(super) gaps: u32,
    pub(super) resets: u32,
    /// Kinds of packets that the history has.
    pub(super) told: u8,
    /// All flags seen.
    pub(super) flags: u8,
    /// Its holes are not looked at any more.
    blind: bool,
    /// It closed, and every byte before that was seen.
    pub(super) done: bool,
    /// A first packet was seen.
    pub(super) heard: bool,
}

impl Default for End {
    fn default() -> Self {
        Self {
            state: State::Inactive,
            before: State::Inactive,
            start: 0,
            last: 0,
            acked: 0,
            delivered: 1,
            fin: None,
            missed: 0,
            syn_mark: 0,
            reset_mark: 0,
            retransmissions: 0,
            out_of_order: 0,
            zero_windows: 0,
            gaps: 0,
            resets: 0,
            told: 0,
            flags: 0,
            blind: false,
            done: false,
            heard: false,
        }
    }
}

/// What an acknowledgment showed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Missing {
    pub(super) holes: u32,
    pub(super) bytes: u64,
}

impl End {
    pub(super) fn enter(&mut self, state: State) {
        if state != self.state {
            self.before = self.state;
            self.state = state;
        }
    }

    /// Numbers begin with this segment, which ends at `after`; without a SYN as if there had been one just before.
    pub(super) fn begin(&mut self, flags: Flags, sequence: u32, after: u32) {
        let syn = flags.has(Flags::SYN);
        let restart = match self.state {
            State::Inactive => true,
            State::SynSent | State::SynAckSent => syn && sequence != self.start,
            State::Established | State::Partial => syn,
            State::Reset => syn && self.before == State::Inactive,
            State::Closed => false,
        };
        if restart {
            self.start = if syn { sequence } else { sequence.wrapping_sub(1) };
            self.acked = 0;
            self.last = if syn { after.wrapping_sub(self.start).into() } else { 1 };
        }
    }

    /// Only the other end was heard, and it acknowledges `sequence`.
    pub(super) fn begin_unheard(&mut self, acknowledgment: u32) {
        self.start = acknowledgment.wrapping_sub(1);
        self.acked = 0;
        self.last = 0;
    }

    /// The relative number of `sequence`, which lies near `near`; none before the beginning.
    pub(super) fn relative(&self, sequence: u32, near: u64) -> Option<u64> {
        near.checked_add_signed(distance(self.start.wrapping_add(low(near)), sequence).into())
    }

    /// The sequence number after the last byte sent.
    pub(super) fn next(&self) -> u32 {
        self.start.wrapping_add(low(self.last))
    }

    /// The other end acknowledges `sequence`; its relative number.
    pub(super) fn acknowledge(&mut self, sequence: u32, believe: bool) -> u64 {
        let Some(relative) = self.relative(sequence, self.acked) else { return 0 };
        let broken = sequence == 0 && relative.saturating_sub(self.acked) > JUMP_MAX.into();
        if believe && !broken {
            self.acked = self.acked.max(relative);
        }
        relative
    }

    /// It sent a segment that ends at `after`; true if that repeated bytes.
    pub(super) fn send(&mut self, flags: Flags, after: u32, payload_bytes: u32) -> bool {
        let ahead = distance(self.next(), after);
        let jumps = ahead.unsigned_abs() > JUMP_MAX;
        if (flags.has(Flags::SYN) || flags.has(Flags::RST)) && jumps {
            return false;
        }
        // A FIN far behind nothing but a SYN: more than 2 GiB were not seen.
        let unseen = flags.has(Flags::FIN) && self.last == 1;
        if unseen || (self.state != State::Reset && ahead > 0) {
            self.last += u64::from(after.wrapping_sub(self.next()));
            return false;
        }
        self.state != State::Reset && payload_bytes > 0
    }

    /// None of its data was acknowledged.
    fn is_unacknowledged(&self) -> bool {
        self.acked <= 1
    }

    /// Zeek's size: by sequence numbers, without SYN and FIN.
    pub(super) fn size(&self, peer: State) -> u64 {
        let half_open =
            self.before == State::SynSent && self.state == State::Reset && peer == State::Inactive;
        if half_open && !self.is_unacknowledged() {
            return 0;
        }
        let size = self.last.max(self.acked).saturating_sub(1);
        size.saturating_sub(u64::from(self.fin.is_some()))
    }

    /// Established, and there is no more to find out about it.
    pub(super) fn is_steady(&self) -> bool {
        self.state == State::Established && self.heard && !self.done
    }

    /// It sent the next bytes, of which the capture has all if they are `whole`; false, and nothing is noted, if others before
    /// them are missing.
    pub(super) fn send_next(&mut self, bytes: u32, whole: bool) -> bool {
        let until = self.last + u64::from(bytes);
        if bytes > JUMP_MAX
            || (whole && (self.blind || self.delivered != self.last || self.acked > self.last))
        {
            return false;
        }
        self.last = until;
        if whole {
            self.delivered = until;
        }
        true
    }

    /// No byte before `from` is missing.
    pub(super) const fn has_next(&self, from: u64) -> bool {
        from <= self.delivered
    }

    /// It sent these bytes and the capture has them whole; true if they fill a hole.
    pub(super) fn have(&mut self, from: u64, bytes: u32, pieces: &mut Pieces) -> bool {
        let to = from.saturating_add(bytes.into());
        if self.blind || to <= self.acked || to <= self.delivered {
            return false;
        }
        let fills = to < self.last;
        // What was acknowledged before it was seen was given up then.
        let from = from.max(self.acked).max(self.delivered);
        if from == self.delivered {
            self.delivered = pieces.absorb(to);
        } else {
            pieces.insert(self.delivered, (from, to));
        }
        if self.is_unacknowledged() && pieces.end(self.delivered) - self.delivered > BEYOND_HOLE_MAX {
            pieces.clear();
            self.blind = true;
        }
        fills
    }

    /// Bytes up to `until` were acknowledged: what the capture does not have of them is missing.
    pub(super) fn give_up(&mut self, until: u64, partial: bool, pieces: &mut Pieces) -> Missing {
        let mut missing = Missing::default();
        let until = self.fin.map_or(until, |fin| until.min(fin.saturating_sub(1)));
        // A connection met midstream: its first byte may be a keep-alive's.
        if until <= self.delivered || (until <= 2 && partial) {
            return missing;
        }
        if self.blind {
            self.delivered = until;
            return missing;
        }
        while self.delivered < until {
            let (start, end) =
                pieces.first(self.delivered).filter(|piece| piece.0 < until).unwrap_or((until, until));
            missing.holes += 1;
            missing.bytes = missing.bytes.saturating_add(start.saturating_sub(self.delivered));
            self.delivered = pieces.absorb(end);
        }
        missing
    }

    /// Handshake seen, and nothing since but perhaps its own FIN.
    pub(super) fn is_clean(&self) -> bool {
        self.state == State::Established || (self.state == State::Closed && self.before == State::Established)
    }

    /// It closed, or broke off.
    pub(super) fn is_over(&self) -> bool {
        matches!(self.state, State::Closed | State::Reset)
    }

    /// Bytes before its end are missing still.
    pub(super) fn is_pending(&self) -> bool {
        !self.blind && self.last > self.delivered && self.last != self.delivered + 1
    }
}

/// The low half.
pub(super) fn low(number: u64) -> u32 {
    u32::try_from(number & u64::from(u32::MAX)).unwrap_or_default()
}
