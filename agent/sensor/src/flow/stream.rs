//! The bytes of a TCP direction in order, as many as a parser still needs.
//!
//! A segment that a parser can take whole never gets copied. What it asks to see more of, or what came too early, is kept in
//! a window of bounded size; a bounded number of flows has windows. Where bytes overlap, those that came first stand.

use core::num::NonZeroU32;

use crate::counters::{Counter, Counters};
use crate::flow::queues::{Queues, usize_of};
use crate::flow::readers::Membership;
use crate::flow::tcp::distance;
use crate::proto::{Session, Side, Sink, Taken};

/// Separate pieces that a window keeps; one more and the missing bytes are given up.
const PIECES_MAX: usize = 8;
/// Bytes that a window keeps while no flow has it.
const WINDOW_KEPT: usize = 2_048;

/// Reading position in both directions of a flow.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Stream {
    /// Sequence number of the next byte that the parser wants (originator's, responder's), where it is known.
    next: [u32; 2],
    /// Of its windows, if it has any.
    number: Option<NonZeroU32>,
    index: u16,
    facts: u8,
    /// The flow's place among those that are read.
    pub(crate) member: Membership,
}

/// The next byte is known, of each side.
const KNOWN: [u8; 2] = [1, 2];
/// Payload was seen, of each side.
const BEGAN: [u8; 2] = [4, 8];

/// Windows lent to a flow; void once they were lent to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Lease {
    index: u16,
    number: NonZeroU32,
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
        if self.facts & *side.of(&BEGAN) == 0 {
            self.set_next(side, sequence);
        }
    }

    fn next(&self, side: Side) -> Option<u32> {
        (self.facts & *side.of(&KNOWN) != 0).then(|| *side.of(&self.next))
    }

    fn set_next(&mut self, side: Side, sequence: u32) {
        *side.of_mut(&mut self.next) = sequence;
        self.facts |= *side.of(&KNOWN);
    }

    fn windows(&self) -> Option<Lease> {
        self.number.map(|number| Lease { index: self.index, number })
    }

    /// Something is known of where bytes begin.
    pub(crate) const fn has_begun(&self) -> bool {
        self.facts & (KNOWN[0] | KNOWN[1]) != 0
    }

    /// Bytes wait for those before them.
    pub(crate) const fn holds_bytes(&self) -> bool {
        self.number.is_some()
    }

    /// The flow is over or needs no bytes any more.
    pub(crate) fn release(&mut self, pool: &mut Pool) {
        if let Some(lease) = self.windows() {
            pool.give_back(lease);
        }
        self.number = None;
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
        self.facts |= *side.of(&BEGAN);
        self.notice_void_lease(side, session, pool, sink);
        let next = self.next(side).unwrap_or(payload.sequence);
        self.set_next(side, next);
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
        if self.number.is_none() || session.is_opaque() {
            return;
        }
        let Some(next) = self.next(side) else { return };
        if let Ok(until) = u32::try_from(distance(next, sequence)) {
            self.pass_holes(side, usize_of(until), session, pool, sink);
        }
    }

    /// The flow is over: what waits for missing bytes is shown without them.
    pub(crate) fn finish(&mut self, session: &mut Session, pool: &mut Pool, sink: &mut Sink<'_>) {
        if self.number.is_some() && !session.is_opaque() {
            for side in [Side::Originator, Side::Responder] {
                self.pass_holes(side, usize::MAX, session, pool, sink);
                // What a parser still waits for more of: it says what it can of it.
                if let Some(window) = self.windows().and_then(|lease| pool.window(lease, side))
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
            let next = self.next(side).unwrap_or(payload.sequence);
            // Bytes before the next wanted one are known already.
            let ahead = distance(next, payload.sequence);
            let known = if ahead < 0 { usize_of(ahead.unsigned_abs()) } else { 0 };
            let hole = if ahead > 0 { usize_of(ahead.unsigned_abs()) } else { 0 };
            let bytes = payload.bytes.get(known..).unwrap_or_default();
            let waiting = self
                .windows()
                .and_then(|lease| pool.window(lease, side))
                .is_some_and(|window| window.holds());
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
        let next = self.next(side)?;
        let ready =
            self.windows().and_then(|lease| pool.window(lease, side)).map_or(0, |window| window.ready());
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
        let Some(window) = self.windows().and_then(|lease| pool.window(lease, side)) else { return };
        let taken = read(side, window.bytes.get(..window.ready()).unwrap_or_default(), session, sink);
        window.advance(usize_of(taken));
        self.advance(side, taken);
    }

    fn advance(&mut self, side: Side, taken: u32) {
        if let Some(next) = self.next(side) {
            self.set_next(side, next.wrapping_add(taken));
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
        while let Some(window) = self.windows().and_then(|lease| pool.window(lease, side)) {
            let ready = window.ready();
            let Some(behind) = window.after_hole().filter(|behind| *behind <= left) else { return };
            let missing = u32::try_from(behind - ready).ok();
            session.lose(side, window.bytes.get(..ready).unwrap_or_default(), missing, sink);
            window.advance(behind);
            self.advance(side, u32::try_from(behind).unwrap_or_default());
            let before = self.next(side);
            self.read_window(side, session, pool, sink);
            let (Some(before), Some(next)) = (before, self.next(side)) else { return };
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
        self.pass_holes(side, offset(self.next(side)).map_or(0, usize_of), session, pool, sink);
        let left = offset(self.next(side));
        let mut shown = 0;
        match self.windows().and_then(|lease| pool.window(lease, side)) {
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
        let lease = self.windows().unwrap_or_else(|| pool.lend(counters));
        (self.index, self.number) = (lease.index, Some(lease.number));
        let window_bytes = pool.window_bytes;
        pool.window(lease, side).is_some_and(|window| window.insert(hole, bytes, window_bytes))
    }

    /// The pool lent this flow's windows to another flow meanwhile.
    fn notice_void_lease(&mut self, side: Side, session: &mut Session, pool: &mut Pool, sink: &mut Sink<'_>) {
        if self.windows().is_some_and(|lease| pool.window(lease, side).is_none()) {
            self.number = None;
            session.lose(Side::Originator, &[], None, sink);
            session.lose(Side::Responder, &[], None, sink);
            self.facts &= !(KNOWN[0] | KNOWN[1]);
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
    lent: u32,
}

const FREE: usize = 0;
const LENT: usize = 1;

#[derive(Debug, Default)]
struct Entry {
    /// Of the lease; none if it is free.
    number: Option<NonZeroU32>,
    windows: [Window; 2],
}

impl Pool {
    /// At most `capacity` flows with windows of `window_bytes` per direction.
    pub(crate) fn new(capacity: usize, window_bytes: usize) -> Self {
        let capacity = capacity.clamp(1, usize::from(u16::MAX));
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
        self.lent = self.lent.wrapping_add(1);
        let number = NonZeroU32::new(self.lent).unwrap_or(NonZeroU32::MAX);
        self.queues.push_back(LENT, index);
        if let Some(entry) = self.entries.get_mut(usize_of(index)) {
            entry.number = Some(number);
            entry.windows.iter_mut().for_each(Window::clear);
        }
        Lease { index: u16::try_from(index).unwrap_or(u16::MAX), number }
    }

    fn give_back(&mut self, lease: Lease) {
        if let Some(entry) =
            self.entries.get_mut(usize::from(lease.index)).filter(|entry| entry.number == Some(lease.number))
        {
            entry.number = None;
            entry.windows.iter_mut().for_each(Window::give_back);
            self.queues.push_back(FREE, lease.index.into());
        }
    }

    fn window(&mut self, lease: Lease, side: Side) -> Option<&mut Window> {
        let number = Some(lease.number);
        let entry = self.entries.get_mut(usize::from(lease.index)).filter(|entry| entry.number == number);
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

    /// Nobody needs it now: keeps the room that most need.
    fn give_back(&mut self) {
        self.clear();
        self.bytes.shrink_to(WINDOW_KEPT);
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
