//! When flows are due, without scanning them: a timing wheel (Varghese and Lauck, 1987) that is looked at lazily.
//!
//! Each flow is armed once, for the first time at which something could be due. A packet only moves its timers further away, and
//! costs nothing here: when the wheel comes to the flow, it is asked anew and armed again. What is due within the slice of time
//! that has been reached waits in a heap, in exact order.

use core::cmp::Reverse;
use std::collections::BinaryHeap;

use sekimori_wire::time::Timestamp;

use super::pages::mark;
use super::queues::usize_of;
use crate::limits::TIMERS_BYTES;

/// Length of a slice: some eight a second, so that few flows are due in each even in a flood.
const SLICE_NS_LOG2: u32 = 27;
/// Slices of the wheel, nine minutes: what is due later is asked again on the way.
const SLICES: u32 = 4_096;
const NONE: u32 = u32::MAX;
/// In `before`: the flow is the first of the slice in the other bits.
const FIRST: u32 = 1 << 31;
/// In `before`: it waits in the heap.
const IN_HEAP: u32 = u32::MAX - 1;
/// Flows that are asked anew in search of the one to give up. Those asked in vain are put where they belong.
const ASKED_MAX: u32 = 64;
/// Places of the heap that are always kept.
const HEAP_KEPT: usize = 1_024;
/// Flows of one slice that are compared for it.
const COMPARED_MAX: usize = 8;

/// A flow's place on the wheel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Link {
    before: u32,
    after: u32,
}

impl Default for Link {
    fn default() -> Self {
        Self { before: NONE, after: NONE }
    }
}

/// Where the links are: in the entries of the flow table.
pub(super) trait Links {
    /// The link of the flow in `slot`, if there is one.
    fn link(&mut self, slot: u32) -> Option<&mut Link>;

    /// When something is due for the flow in `slot`, as things stand.
    fn due(&self, slot: u32) -> Timestamp;

    /// When the flow in `slot` was seen last.
    fn seen(&self, slot: u32) -> Timestamp;
}

/// The wheel.
#[derive(Debug)]
pub(super) struct Timers {
    /// First flow of each slice.
    first: Vec<u32>,
    /// Which slices have any.
    any: Vec<u64>,
    /// The slice, counted from the epoch, before which everything is in the heap.
    reached: u64,
    heap: BinaryHeap<Reverse<(Timestamp, u32)>>,
    /// Flows on the wheel.
    len: usize,
}

const _: () = assert!(Timers::BYTES <= TIMERS_BYTES, "what the bounds reckon with");

impl Timers {
    /// What it takes, beside the heap of what is due next.
    const BYTES: usize = usize_of(SLICES) * size_of::<u32>() + usize_of(SLICES) / 8;

    pub(super) fn new() -> Self {
        Self {
            first: vec![NONE; usize_of(SLICES)],
            any: vec![0; usize_of(SLICES / u64::BITS)],
            reached: 0,
            heap: BinaryHeap::new(),
            len: 0,
        }
    }

    /// Before this nothing is due.
    pub(super) fn quiet_until(&self) -> Timestamp {
        let never = Timestamp::from_nanos(u64::MAX);
        let waiting = self.heap.peek().map_or(never, |Reverse((at, _))| *at);
        let slice = if self.len > 0 { begin_of(self.reached) } else { never };
        waiting.min(slice)
    }

    /// Asks when something is due for the flow in `slot`; what was said before counts no more.
    pub(super) fn arm(&mut self, slot: u32, links: &mut impl Links) {
        self.disarm(slot, links);
        let at = links.due(slot);
        let slice = slice_of(at);
        if self.len == 0 && self.heap.is_empty() {
            // Nothing hinders an empty wheel from going on later; never back, for what lies before is due.
            self.reached = self.reached.max(slice.saturating_sub(u64::from(SLICES) - 1));
        }
        if slice < self.reached {
            self.heap.push(Reverse((at, slot)));
            return set(links, slot, Link { before: IN_HEAP, after: NONE });
        }
        let place = place_of(slice.min(self.reached + u64::from(SLICES) - 1));
        let Some(first) = self.first.get_mut(usize_of(place)) else { return };
        let after = core::mem::replace(first, slot);
        if let Some(link) = links.link(after) {
            link.before = slot;
        }
        mark(&mut self.any, place, true);
        self.len += 1;
        set(links, slot, Link { before: FIRST | place, after });
    }

    /// Nothing is due for the flow in `slot`.
    pub(super) fn disarm(&mut self, slot: u32, links: &mut impl Links) {
        let Some(Link { before, after }) = links.link(slot).map(core::mem::take) else { return };
        if before == NONE || before == IN_HEAP {
            return;
        }
        self.len -= 1;
        if let Some(link) = links.link(after) {
            link.before = before;
        }
        if before & FIRST == 0 {
            if let Some(link) = links.link(before) {
                link.after = after;
            }
            return;
        }
        let place = before & !FIRST;
        if let Some(first) = self.first.get_mut(usize_of(place)) {
            *first = after;
        }
        mark(&mut self.any, place, after != NONE);
    }

    /// The flow in slot `old`, with its link, is in slot `new` now.
    pub(super) fn rename(&mut self, old: u32, new: u32, links: &mut impl Links) {
        let Some(Link { before, after }) = links.link(new).map(|link| *link) else { return };
        if before == NONE {
            return;
        }
        if before == IN_HEAP {
            // Its old place stays in the heap, as that of a flow that ended does.
            set(links, new, Link::default());
            return self.arm(new, links);
        }
        if let Some(link) = links.link(after) {
            link.before = new;
        }
        if before & FIRST == 0 {
            if let Some(link) = links.link(before) {
                link.after = new;
            }
        } else if let Some(first) = self.first.get_mut(usize_of(before & !FIRST)) {
            debug_assert_eq!(*first, old, "the first of its slice");
            *first = new;
        }
    }

    /// Gives back what the heap needed once.
    pub(super) fn shrink(&mut self) {
        if self.heap.capacity() > HEAP_KEPT && self.heap.len() < self.heap.capacity() / 4 {
            self.heap.shrink_to(self.heap.len() * 2);
        }
    }

    /// The flow for which something may be due first, if that is by `now`: what it was armed for, and its slot. It is armed no
    /// more.
    pub(super) fn pop(&mut self, now: Timestamp, links: &mut impl Links) -> Option<(Timestamp, u32)> {
        loop {
            let next = self.heap.peek().map(|Reverse((at, _))| *at);
            let begin = begin_of(self.reached);
            if self.len > 0 && begin <= now && next.is_none_or(|at| at >= begin) {
                self.advance(now, links);
                continue;
            }
            if next? > now {
                return None;
            }
            let Reverse((at, slot)) = self.heap.pop()?;
            // A flow that ended or was armed anew has left its old place here.
            if let Some(link) = links.link(slot)
                && link.before == IN_HEAP
            {
                *link = Link::default();
                return Some((at, slot));
            }
        }
    }

    /// The slot of the flow for which something is due next: where to begin when one must go.
    pub(super) fn earliest(&mut self, links: &mut impl Links) -> Option<u32> {
        while let Some(Reverse((_, slot))) = self.heap.peek() {
            let slot = *slot;
            if links.link(slot).is_some_and(|link| link.before == IN_HEAP) {
                return Some(slot);
            }
            self.heap.pop();
        }
        let mut found = None;
        for _ in 0..ASKED_MAX {
            let place = self.next_place()?;
            let slot = self.least_recent_of(place, links)?;
            found = Some(slot);
            let last = self.reached + u64::from(SLICES) - 1;
            if place_of(slice_of(links.due(slot)).min(last)) == place {
                break;
            }
            self.arm(slot, links);
        }
        found
    }

    /// Of the first flows of a slice the one that was seen least recently.
    fn least_recent_of(&self, place: u32, links: &mut impl Links) -> Option<u32> {
        let mut at = *self.first.get(usize_of(place))?;
        let mut least: Option<(Timestamp, u32)> = None;
        for _ in 0..COMPARED_MAX {
            let Some(after) = links.link(at).map(|link| link.after) else { break };
            let one = (links.seen(at), at);
            least = Some(least.map_or(one, |least| least.min(one)));
            at = after;
        }
        least.map(|(_, slot)| slot)
    }

    /// Goes on to the next slice that has any, but not beyond `now`: what is due within it goes into the heap.
    fn advance(&mut self, now: Timestamp, links: &mut impl Links) {
        let Some(place) = self.next_place() else { return };
        let ahead = place.wrapping_sub(place_of(self.reached)) % SLICES;
        let slice = self.reached + u64::from(ahead);
        if begin_of(slice) > now {
            self.reached = slice_of(now) + 1;
            return;
        }
        self.reached = slice + 1;
        let Some(first) = self.first.get_mut(usize_of(place)) else { return };
        let mut at = core::mem::replace(first, NONE);
        mark(&mut self.any, place, false);
        while let Some(link) = links.link(at) {
            let after = core::mem::take(link).after;
            self.len -= 1;
            self.arm(at, links);
            at = after;
        }
    }

    /// The first slice that has any, from the one reached on.
    fn next_place(&self) -> Option<u32> {
        if self.len == 0 {
            return None;
        }
        let from = place_of(self.reached);
        let words = SLICES / u64::BITS;
        (0..=words).find_map(|ahead| {
            let at = (from / u64::BITS + ahead) % words;
            let word = *self.any.get(usize_of(at))?;
            // The first word twice: what lies before the beginning comes last.
            let beyond = u64::MAX << (from % u64::BITS);
            let seen = match ahead {
                0 => word & beyond,
                _ if ahead == words => word & !beyond,
                _ => word,
            };
            (seen != 0).then(|| at * u64::BITS + seen.trailing_zeros())
        })
    }
}

/// The slice that holds `at`.
const fn slice_of(at: Timestamp) -> u64 {
    at.nanos() >> SLICE_NS_LOG2
}

/// Where a slice begins.
const fn begin_of(slice: u64) -> Timestamp {
    Timestamp::from_nanos(slice << SLICE_NS_LOG2)
}

/// Where a slice is on the wheel.
fn place_of(slice: u64) -> u32 {
    u32::try_from(slice % u64::from(SLICES)).unwrap_or_default()
}

fn set(links: &mut impl Links, slot: u32, new: Link) {
    if let Some(link) = links.link(slot) {
        *link = new;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// When each flow is due, and its link.
    #[derive(Default)]
    struct Flows(Vec<Option<(Timestamp, Link)>>);

    impl Links for Flows {
        fn link(&mut self, slot: u32) -> Option<&mut Link> {
            self.0.get_mut(usize_of(slot))?.as_mut().map(|(_, link)| link)
        }

        fn due(&self, slot: u32) -> Timestamp {
            self.0[usize_of(slot)].expect("only of flows that are alive").0
        }

        fn seen(&self, slot: u32) -> Timestamp {
            self.due(slot)
        }
    }

    #[derive(Clone, Debug)]
    enum Action {
        /// A flow (over a dead one), due so much later.
        Begin(u32, u64),
        /// A packet moved its timer away, without a word to the wheel.
        Later(u32, u64),
        /// Its timer came nearer.
        Sooner(u32, u64),
        End(u32),
        /// So much time passes.
        Pass(u64),
    }

    fn action() -> impl Strategy<Value = Action> {
        // From nanoseconds to three hours.
        let span = || prop_oneof![0..1_000_u64, 0..1_000_000_000_u64, 0..10_000_000_000_000_u64];
        prop_oneof![
            (0..12_u32, span()).prop_map(|(slot, ns)| Action::Begin(slot, ns)),
            (0..12_u32, span()).prop_map(|(slot, ns)| Action::Later(slot, ns)),
            (0..12_u32, span()).prop_map(|(slot, ns)| Action::Sooner(slot, ns)),
            (0..12_u32).prop_map(Action::End),
            span().prop_map(Action::Pass),
        ]
    }

    fn after(at: Timestamp, ns: u64) -> Timestamp {
        Timestamp::from_nanos(at.nanos() + ns)
    }

    proptest! {
        #[test]
        fn each_flow_comes_when_it_is_due_and_in_order(actions in prop::collection::vec(action(), 0..200)) {
            let (mut timers, mut flows) = (Timers::new(), Flows(vec![None; 12]));
            let mut now = Timestamp::from_secs(1_700_000_000);
            for action in actions {
                match action {
                    Action::Begin(slot, ns) => {
                        timers.disarm(slot, &mut flows);
                        flows.0[usize_of(slot)] = Some((after(now, ns), Link::default()));
                        timers.arm(slot, &mut flows);
                    }
                    Action::Later(slot, ns) => {
                        if let Some((due, _)) = &mut flows.0[usize_of(slot)] {
                            *due = after(*due, ns);
                        }
                    }
                    Action::Sooner(slot, ns) => {
                        if let Some((due, _)) = &mut flows.0[usize_of(slot)] {
                            *due = after(now, ns).min(*due);
                            timers.arm(slot, &mut flows);
                        }
                    }
                    Action::End(slot) => {
                        timers.disarm(slot, &mut flows);
                        flows.0[usize_of(slot)] = None;
                    }
                    Action::Pass(ns) => {
                        now = after(now, ns);
                        let mut expected: Vec<_> = (0_u32..12)
                            .filter_map(|slot| Some((flows.0[usize_of(slot)]?.0, slot)))
                            .filter(|(due, _)| *due <= now)
                            .collect();
                        expected.sort_unstable();
                        if let Some((first, _)) = expected.first() {
                            prop_assert!(timers.quiet_until() <= *first);
                        }
                        let mut got = Vec::new();
                        while let Some((armed, slot)) = timers.pop(now, &mut flows) {
                            let due = flows.due(slot);
                            if due > armed {
                                timers.arm(slot, &mut flows);
                                continue;
                            }
                            got.push((due, slot));
                            flows.0[usize_of(slot)] = None;
                        }
                        prop_assert_eq!(got, expected);
                    }
                }
                let alive = flows.0.iter().flatten().count();
                prop_assert_eq!(timers.earliest(&mut flows).is_some(), alive > 0);
            }
        }
    }
}
