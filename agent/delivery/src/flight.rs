//! What is under way to the collector and not yet answered: how much of it at once, and what goes next. Pure: it is told the
//! times, and does no IO.
//!
//! ```text
//! spool ─ after what is under way ─► submission ─► … ─► answer, judged in the order of sending ─► acknowledged
//! ```
//! One submission at a time until an answer has shown that the collector takes them; then several, so that a long line is
//! used while answers travel. Also one of each chain until its first answer: a collector that was restored from a backup may
//! leave out what it lost before the first batch that comes, and none must pass that one. How many bytes follows what the line takes: twice as many after each quick answer, half as many
//! after a slow one. Whatever is not as hoped ends a round: nothing more is sent, what is under way is heard or given up, and
//! the next round begins after what is acknowledged. So it is never more than a repetition, which the collector recognises.

use std::collections::{BTreeSet, VecDeque};
use std::time::Duration;

use sekimori_wire::batch::Lane;

use crate::lanes::Waiting;
use crate::spool::Position;

/// Bytes under way at once, at first and at least: a second of a line of 1 Mbit/s.
const BYTES_MIN: usize = 128 * 1024;
/// And at most: 1.6 s of a line of 10 Mbit/s, far more than its delay.
const BYTES_MAX: usize = 2 * 1024 * 1024;
/// An answer within this time lets more bytes under way.
const QUICK: Duration = Duration::from_secs(2);
/// One that takes longer lets fewer: a finding waits behind what is under way.
const SLOW: Duration = Duration::from_secs(6);

/// A submission under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sent {
    /// Of which chain.
    pub lane: Lane,
    /// Its first batch.
    pub first: Position,
    /// Its last batch.
    pub last: Position,
    /// What was acknowledged when it was sent: its answer may say as little.
    pub acked: Position,
    /// Bytes of its body.
    pub bytes: usize,
}

impl Sent {
    const fn batches(&self) -> u64 {
        self.last.seq - self.first.seq + 1
    }
}

/// What to read and send next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Next {
    /// Of which chain.
    pub lane: Lane,
    /// What follows this; `None`: what follows the last acknowledged one.
    pub after: Option<Position>,
    /// No more bytes than this, but one batch at least.
    pub bytes: usize,
}

/// Everything under way, in the order of sending.
#[derive(Debug)]
pub struct Flight {
    sent: VecDeque<Sent>,
    most: usize,
    bytes: usize,
    /// Chains of which an answer has come since the connection was opened.
    proven: BTreeSet<Lane>,
    /// Nothing more is sent until nothing is under way.
    ending: bool,
}

impl Flight {
    /// Nothing, and later no more than `most` submissions at once.
    pub const fn new(most: usize) -> Self {
        Self { sent: VecDeque::new(), most, bytes: BYTES_MIN, proven: BTreeSet::new(), ending: false }
    }

    /// What is to be sent now, while so many batches are not acknowledged.
    pub fn next(&self, waiting: Waiting) -> Option<Next> {
        let most = if self.proven.is_empty() { 1 } else { self.most.max(1) };
        let under_way: usize = self.sent.iter().map(|sent| sent.bytes).sum();
        let room = self.bytes.saturating_sub(under_way);
        if self.ending || self.sent.len() >= most || room == 0 {
            return None;
        }
        // Each its share, so that the line is never idle while one answer travels.
        let bytes = room.min(self.bytes / most);
        let unsent = |lane: Lane, waiting: u64| {
            let under_way: u64 = self.sent.iter().filter(|sent| sent.lane == lane).map(Sent::batches).sum();
            waiting > under_way && (under_way == 0 || self.proven.contains(&lane))
        };
        let lane = if unsent(Lane::Urgent, waiting.urgent) {
            Lane::Urgent
        } else if unsent(Lane::Detail, waiting.detail) {
            Lane::Detail
        } else {
            return None;
        };
        let after = self.sent.iter().rev().find(|sent| sent.lane == lane).map(|sent| sent.last);
        Some(Next { lane, after, bytes })
    }

    /// Whether batches of this epoch may follow what is under way: a chain that was begun anew waits until the one before it
    /// is stored, or it would pass it.
    pub fn may_follow(&self, lane: Lane, first: Position) -> bool {
        self.sent.iter().filter(|sent| sent.lane == lane).all(|sent| sent.last.epoch == first.epoch)
    }

    /// This was sent.
    pub fn push(&mut self, sent: Sent) {
        self.sent.push_back(sent);
    }

    /// The one whose answer is judged next.
    pub fn front(&self) -> Option<&Sent> {
        self.sent.front()
    }

    /// Nothing is under way.
    pub fn is_empty(&self) -> bool {
        self.sent.is_empty()
    }

    /// Submissions under way.
    pub fn len(&self) -> usize {
        self.sent.len()
    }

    /// Bytes under way.
    pub fn bytes(&self) -> usize {
        self.sent.iter().map(|sent| sent.bytes).sum()
    }

    /// The first was answered after so long. Unless `all` of it is acknowledged, the round ends: the others are heard, and
    /// nothing else is sent before.
    pub fn answered(&mut self, took: Duration, all: bool) {
        self.proven.extend(self.sent.pop_front().map(|sent| sent.lane));
        if took <= QUICK && all {
            self.bytes = self.bytes.saturating_mul(2).min(BYTES_MAX);
        } else if took > SLOW {
            self.bytes = (self.bytes / 2).max(BYTES_MIN);
        }
        self.ending = (self.ending || !all) && !self.sent.is_empty();
    }

    /// No answer will come to anything that is under way.
    pub fn broken(&mut self) {
        *self = Self::new(self.most);
    }
}

#[cfg(test)]
mod tests;
