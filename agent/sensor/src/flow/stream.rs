//! The bytes of a TCP direction in order, as many as a parser still needs.
//!
//! A segment that a parser can take whole never gets copied. What it asks to see more of, or what came too early, is kept in
//! a window of bounded size; a bounded number of flows has windows. Where bytes overlap, those that came first stand.

use crate::counters::{Counter, Counters};
use crate::flow::queues::{Queues, usize_of};
use crate::flow::tcp::distance;
use crate::proto::{Session, Side, Sink, Taken};

/// Separate pieces that a window keeps; one more and the missing bytes are given up.
const PIECES_MAX: usize = 8;

/// Reading position in both directions of a flow.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Stream {
    /// Sequence number of the next byte that the parser wants (originator's, responder's).
    next: [Option<u32>; 2],
    /// Payload was seen.
    began: [bool; 2],
    windows: Option<Lease>,
}

/// Windows lent to a flow; void once they were lent to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Lease {
    index: u32,
    number: u64,
}

/// A segment's payload.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Payload<'a> {
    pub(crate) sequence: u32,
    /// As captured.
    pub(crate) bytes: &'a [u8],
    /// As sent; more if the packet was cut.
    pub(crate) wire_bytes: u32,
}

impl Stream {
    /// The sender's SYN fixes where its bytes begin; once there were any, a SYN is not believed.
    pub(crate) fn begin(&mut self, side: Side, sequence: u32) {
        if !side.of(&self.began) {
            *side.of_mut(&mut self.next) = Some(sequence);
        }
    }

    /// The flow is over or needs no bytes any more.
    pub(crate) fn release(&mut self, pool: &mut Pool) {
        if let Some(lease) = self.windows.take() {
            pool.give_back(lease);
        }
    }

    /// One more segment for the parser.
    pub(crate) fn deliver(
        &mut self,
        side: Side,
        payload: Payload<'_>,
        session: &mut Session,
        pool: &mut Pool,
        sink: &mut Sink<'_>,
    ) {
        if payload.wire_bytes == 0 || session.is_opaque() {
            return;
        }
        *side.of_mut(&mut self.began) = true;
        self.notice_void_lease(side, session, pool, sink);
        let next = *side.of_mut(&mut self.next).get_or_insert(payload.sequence);
        let end = payload.sequence.wrapping_add(payload.wire_bytes);
        if distance(next, end) <= 0 {
            return;
        }
        // Bytes before the next wanted one are known already.
        let ahead = distance(next, payload.sequence);
        let known = if ahead < 0 { usize_of(ahead.unsigned_abs()) } else { 0 };
        let hole = if ahead > 0 { usize_of(ahead.unsigned_abs()) } else { 0 };
        let bytes = payload.bytes.get(known..).unwrap_or_default();

        let waiting =
            self.windows.and_then(|lease| pool.window(lease, side)).is_some_and(|window| window.holds());
        if hole == 0 && !waiting {
            self.read_direct(side, bytes, session, pool, sink);
        } else if (waiting || session.needs_order(side)) && self.keep(side, hole, bytes, pool, sink.counters)
        {
            self.read_window(side, session, pool, sink);
        } else {
            if waiting {
                sink.counters.count(Counter::PrefixTruncated);
            }
            self.lose(side, payload.sequence, session, pool, sink);
            *side.of_mut(&mut self.next) = Some(payload.sequence);
            self.read_direct(side, payload.bytes, session, pool, sink);
        }
        let next = side.of(&self.next).unwrap_or(end);
        if payload.bytes.len() < usize_of(payload.wire_bytes) && distance(next, end) > 0 {
            // The capture cut this segment: what it lacks will never come.
            self.lose(side, end, session, pool, sink);
            *side.of_mut(&mut self.next) = Some(end);
        }
        if session.is_opaque() {
            self.release(pool);
        }
    }

    /// Shows the parser bytes where they lie and keeps what it wants to see again.
    fn read_direct(
        &mut self,
        side: Side,
        bytes: &[u8],
        session: &mut Session,
        pool: &mut Pool,
        sink: &mut Sink<'_>,
    ) {
        let taken = read(side, bytes, session, sink);
        self.advance(side, taken);
        let rest = bytes.get(usize_of(taken)..).unwrap_or_default();
        if !rest.is_empty() && !self.keep(side, 0, rest, pool, sink.counters) {
            sink.counters.count(Counter::PrefixTruncated);
            session.lose(side, rest, Some(0), sink);
            self.advance(side, u32::try_from(rest.len()).unwrap_or_default());
        }
    }

    /// Shows the parser what the window has in order.
    fn read_window(&mut self, side: Side, session: &mut Session, pool: &mut Pool, sink: &mut Sink<'_>) {
        let Some(window) = self.windows.and_then(|lease| pool.window(lease, side)) else { return };
        let taken = read(side, window.bytes.get(..window.ready()).unwrap_or_default(), session, sink);
        window.advance(usize_of(taken));
        self.advance(side, taken);
    }

    fn advance(&mut self, side: Side, taken: u32) {
        if let Some(next) = side.of_mut(&mut self.next) {
            *next = next.wrapping_add(taken);
        }
    }

    /// Gives up on the missing bytes: the parser says what it can of those before, the window is emptied. It goes on at
    /// sequence number `until`.
    fn lose(&mut self, side: Side, until: u32, session: &mut Session, pool: &mut Pool, sink: &mut Sink<'_>) {
        let next = *side.of(&self.next);
        let missing = |shown: usize| {
            let gap = next.map(|next| distance(next, until))?;
            u32::try_from(gap).ok()?.checked_sub(u32::try_from(shown).ok()?)
        };
        match self.windows.and_then(|lease| pool.window(lease, side)) {
            Some(window) => {
                let (ready, all) = (window.ready(), window.bytes.len());
                session.lose(side, window.bytes.get(..ready).unwrap_or_default(), missing(ready), sink);
                window.clear();
                self.advance(side, u32::try_from(all).unwrap_or_default());
            }
            None => session.lose(side, &[], missing(0), sink),
        }
    }

    /// Keeps bytes that begin `hole` after the next wanted one; false if there is no room.
    fn keep(
        &mut self,
        side: Side,
        hole: usize,
        bytes: &[u8],
        pool: &mut Pool,
        counters: &mut Counters,
    ) -> bool {
        let lease = *self.windows.get_or_insert_with(|| pool.lend(counters));
        let window_bytes = pool.window_bytes;
        pool.window(lease, side).is_some_and(|window| window.insert(hole, bytes, window_bytes))
    }

    /// The pool lent this flow's windows to another flow meanwhile.
    fn notice_void_lease(&mut self, side: Side, session: &mut Session, pool: &mut Pool, sink: &mut Sink<'_>) {
        if self.windows.is_some_and(|lease| pool.window(lease, side).is_none()) {
            self.windows = None;
            session.lose(Side::Originator, &[], None, sink);
            session.lose(Side::Responder, &[], None, sink);
            self.next = [None, None];
        }
    }
}

/// Shows the parser all it may take; how much it took, perhaps beyond `bytes`.
fn read(side: Side, bytes: &[u8], session: &mut Session, sink: &mut Sink<'_>) -> u32 {
    let mut taken = 0_u32;
    loop {
        let rest = bytes.get(usize_of(taken)..).unwrap_or_default();
        if rest.is_empty() {
            return taken;
        }
        match session.read_stream(side, rest, sink) {
            Taken::More | Taken::Bytes(0) => return taken,
            Taken::Bytes(n) => taken = taken.saturating_add(n),
            Taken::All => return taken.saturating_add(u32::try_from(rest.len()).unwrap_or_default()),
        }
    }
}

/// The windows of all flows.
#[derive(Debug)]
pub(crate) struct Pool {
    entries: Vec<Entry>,
    /// 0: free, 1: lent, oldest first.
    queues: Queues<2>,
    capacity: usize,
    window_bytes: usize,
    lent: u64,
}

const FREE: usize = 0;
const LENT: usize = 1;

#[derive(Debug, Default)]
struct Entry {
    number: u64,
    windows: [Window; 2],
}

impl Pool {
    /// At most `capacity` flows with windows of `window_bytes` per direction.
    pub(crate) fn new(capacity: usize, window_bytes: usize) -> Self {
        Self { entries: Vec::new(), queues: Queues::with_capacity(0), capacity, window_bytes, lent: 0 }
    }

    /// Windows for a flow: free ones, new ones, or those of the flow that has had its own the longest.
    fn lend(&mut self, counters: &mut Counters) -> Lease {
        let index = self.queues.front(FREE).unwrap_or_else(|| match self.queues.front(LENT) {
            Some(oldest) if self.entries.len() >= self.capacity => {
                counters.count(Counter::PrefixTruncated);
                oldest
            }
            Some(_) | None => {
                self.entries.push(Entry::default());
                u32::try_from(self.entries.len() - 1).unwrap_or(u32::MAX)
            }
        });
        self.lent += 1;
        self.queues.push_back(LENT, index);
        if let Some(entry) = self.entries.get_mut(usize_of(index)) {
            entry.number = self.lent;
            entry.windows.iter_mut().for_each(Window::clear);
        }
        Lease { index, number: self.lent }
    }

    fn give_back(&mut self, lease: Lease) {
        if let Some(entry) =
            self.entries.get_mut(usize_of(lease.index)).filter(|entry| entry.number == lease.number)
        {
            entry.number = 0;
            self.queues.push_back(FREE, lease.index);
        }
    }

    fn window(&mut self, lease: Lease, side: Side) -> Option<&mut Window> {
        let entry = self.entries.get_mut(usize_of(lease.index)).filter(|entry| entry.number == lease.number);
        entry.map(|entry| side.of_mut(&mut entry.windows))
    }
}

/// Bytes from the next wanted one on, with holes.
#[derive(Debug, Default)]
struct Window {
    bytes: Vec<u8>,
    /// Which parts of `bytes` are there: in order, apart from each other.
    pieces: Vec<(usize, usize)>,
}

impl Window {
    /// How many bytes are there without a hole.
    fn ready(&self) -> usize {
        self.pieces.first().filter(|(start, _)| *start == 0).map_or(0, |(_, end)| *end)
    }

    fn holds(&self) -> bool {
        !self.pieces.is_empty()
    }

    fn clear(&mut self) {
        self.bytes.clear();
        self.pieces.clear();
    }

    /// Puts `data` at `start`; false, and nothing changed, if it does not fit.
    fn insert(&mut self, start: usize, data: &[u8], max: usize) -> bool {
        let end = start.saturating_add(data.len());
        let apart = |piece: &&(usize, usize)| piece.1 < start || piece.0 > end;
        if end > max || self.pieces.iter().filter(apart).count() >= PIECES_MAX {
            return false;
        }
        if self.bytes.len() < end {
            self.bytes.resize(end, 0);
        }
        let (mut from, mut merged) = (start, (start, end));
        for (piece_start, piece_end) in self.pieces.iter().copied().chain([(end, end)]) {
            let to = piece_start.min(end);
            if from < to
                && let (Some(place), Some(new)) =
                    (self.bytes.get_mut(from..to), data.get(from - start..to - start))
            {
                place.copy_from_slice(new);
            }
            from = from.max(piece_end.min(end));
            if piece_end >= start && piece_start <= end {
                merged = (merged.0.min(piece_start), merged.1.max(piece_end));
            }
        }
        self.pieces.retain(|piece| piece.1 < start || piece.0 > end);
        let at = self.pieces.partition_point(|piece| piece.0 < merged.0);
        self.pieces.insert(at, merged);
        true
    }

    /// Forgets the first `n` bytes, there or not.
    fn advance(&mut self, n: usize) {
        self.bytes.drain(..n.min(self.bytes.len()));
        for piece in &mut self.pieces {
            *piece = (piece.0.saturating_sub(n), piece.1.saturating_sub(n));
        }
        self.pieces.retain(|piece| piece.0 < piece.1);
    }
}

#[cfg(test)]
mod tests;
