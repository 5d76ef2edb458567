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

    /// Something is known of where bytes begin.
    pub(crate) fn has_begun(&self) -> bool {
        self.next.iter().any(Option::is_some)
    }

    /// Bytes wait for those before them.
    pub(crate) const fn holds_bytes(&self) -> bool {
        self.windows.is_some()
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
        self.take_in(side, payload, session, pool, sink);
        let reached = self.reached(side, pool).unwrap_or(end);
        let captured = payload.sequence.wrapping_add(u32::try_from(payload.bytes.len()).unwrap_or(u32::MAX));
        if distance(reached, captured) <= 0 && distance(reached, end) > 0 {
            // The capture cut this segment: what it lacks will never come.
            self.give_up(side, end, session, pool, sink);
        }
        if session.is_opaque() {
            self.release(pool);
        }
    }

    /// The other end has all bytes of `side` before `sequence`: those that the capture lacks will not come again.
    pub(crate) fn acknowledge(
        &mut self,
        side: Side,
        sequence: u32,
        session: &mut Session,
        pool: &mut Pool,
        sink: &mut Sink<'_>,
    ) {
        if self.windows.is_none() || session.is_opaque() {
            return;
        }
        let Some(next) = *side.of(&self.next) else { return };
        if let Ok(until) = u32::try_from(distance(next, sequence)) {
            self.pass_holes(side, usize_of(until), session, pool, sink);
        }
    }

    /// The flow is over: what waits for missing bytes is shown without them.
    pub(crate) fn finish(&mut self, session: &mut Session, pool: &mut Pool, sink: &mut Sink<'_>) {
        if self.windows.is_some() && !session.is_opaque() {
            for side in [Side::Originator, Side::Responder] {
                self.pass_holes(side, usize::MAX, session, pool, sink);
                // What a parser still waits for more of: it says what it can of it.
                if let Some(window) = self.windows.and_then(|lease| pool.window(lease, side))
                    && window.ready() > 0
                {
                    session.lose(side, window.bytes.get(..window.ready()).unwrap_or_default(), Some(0), sink);
                    window.clear();
                }
            }
        }
        self.release(pool);
    }

    fn take_in(
        &mut self,
        side: Side,
        payload: Payload<'_>,
        session: &mut Session,
        pool: &mut Pool,
        sink: &mut Sink<'_>,
    ) {
        // Where it cannot be kept, what was kept is given up: then it can be read where it lies.
        for _ in 0..2 {
            let next = side.of(&self.next).unwrap_or(payload.sequence);
            // Bytes before the next wanted one are known already.
            let ahead = distance(next, payload.sequence);
            let known = if ahead < 0 { usize_of(ahead.unsigned_abs()) } else { 0 };
            let hole = if ahead > 0 { usize_of(ahead.unsigned_abs()) } else { 0 };
            let bytes = payload.bytes.get(known..).unwrap_or_default();
            let waiting =
                self.windows.and_then(|lease| pool.window(lease, side)).is_some_and(|window| window.holds());
            if hole == 0 && !waiting {
                return self.read_direct(side, bytes, session, pool, sink);
            }
            let wanted = waiting || session.needs_order(side);
            if wanted && self.keep(side, hole, bytes, pool, sink.counters) {
                return self.read_window(side, session, pool, sink);
            }
            if waiting {
                sink.counters.count(Counter::PrefixTruncated);
            }
            self.give_up(side, payload.sequence, session, pool, sink);
        }
    }

    /// The sequence number up to which there is no hole.
    fn reached(&self, side: Side, pool: &mut Pool) -> Option<u32> {
        let next = (*side.of(&self.next))?;
        let ready =
            self.windows.and_then(|lease| pool.window(lease, side)).map_or(0, |window| window.ready());
        Some(next.wrapping_add(u32::try_from(ready).unwrap_or_default()))
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

    /// Shows the parser what lies behind the holes that begin before `until`, counted from the next wanted byte.
    fn pass_holes(
        &mut self,
        side: Side,
        until: usize,
        session: &mut Session,
        pool: &mut Pool,
        sink: &mut Sink<'_>,
    ) {
        let mut left = until;
        while let Some(window) = self.windows.and_then(|lease| pool.window(lease, side)) {
            let ready = window.ready();
            let Some(behind) = window.after_hole().filter(|behind| *behind <= left) else { return };
            let missing = u32::try_from(behind - ready).ok();
            session.lose(side, window.bytes.get(..ready).unwrap_or_default(), missing, sink);
            window.advance(behind);
            self.advance(side, u32::try_from(behind).unwrap_or_default());
            let before = *side.of(&self.next);
            self.read_window(side, session, pool, sink);
            let (Some(before), Some(next)) = (before, *side.of(&self.next)) else { return };
            left = left.saturating_sub(behind).saturating_sub(usize_of(next.wrapping_sub(before)));
        }
    }

    /// Gives up what is missing before sequence number `until`, where reading goes on: shows the parser what there is, and
    /// keeps nothing.
    fn give_up(
        &mut self,
        side: Side,
        until: u32,
        session: &mut Session,
        pool: &mut Pool,
        sink: &mut Sink<'_>,
    ) {
        let offset = |next: Option<u32>| next.and_then(|next| u32::try_from(distance(next, until)).ok());
        self.pass_holes(side, offset(*side.of(&self.next)).map_or(0, usize_of), session, pool, sink);
        let left = offset(*side.of(&self.next));
        let mut shown = 0;
        match self.windows.and_then(|lease| pool.window(lease, side)) {
            Some(window) => {
                let ready = window.ready();
                shown = u32::try_from(ready).unwrap_or_default();
                let missing = left.unwrap_or_default().saturating_sub(shown);
                if shown > 0 || missing > 0 {
                    session.lose(side, window.bytes.get(..ready).unwrap_or_default(), Some(missing), sink);
                }
                window.clear();
            }
            None => {
                if let Some(missing) = left.filter(|missing| *missing > 0) {
                    session.lose(side, &[], Some(missing), sink);
                }
            }
        }
        self.advance(side, shown.max(left.unwrap_or_default()));
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

    /// Where the first piece behind a hole begins.
    fn after_hole(&self) -> Option<usize> {
        self.pieces.iter().map(|(start, _)| *start).find(|start| *start > 0)
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
