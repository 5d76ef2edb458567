//! The flows alive: found by key, bounded, and ended in order of time without ever being scanned.
//!
//! The index holds four bytes a flow. Entries live in pages of 256, the lowest page with room is filled first, and a page that
//! is empty is given back: after a flood the table is as small as before it. The index has room for all from the beginning, so
//! that it never has to grow in the middle of a flood; what was written of it is given back behind one.

use core::hash::BuildHasher as _;

use foldhash::quality::FixedState;
use hashbrown::HashTable;
use sekimori_wire::time::Timestamp;
use std::time::Duration;

use crate::flow::pages::Pages;
use crate::flow::queues::usize_of;
use crate::flow::timers::{Link, Links, Timers};
use crate::flow::{Flow, FlowKey, UNIT_BYTES};
use crate::limits::Limits;

/// An index that ever had so many flows is renewed when one of so many is left.
const FLOODED: usize = 32_768;
const SPARSE: usize = 16;

/// A single packet that took another flow's place is kept for so many times as long as an answer may take.
const HURRY: u32 = 2;
/// Flows that move to a lower page at once, at most.
const MOVED_AT_ONCE: usize = 256;

/// The flows alive.
#[derive(Debug)]
pub(crate) struct Table {
    /// Slots by key.
    index: HashTable<u32>,
    hasher: FixedState,
    flows: Flows,
    capacity: usize,
    /// What flows have beside their entries, and may have, in units of [`UNIT_BYTES`].
    units: usize,
    units_max: usize,
    /// Most flows since the index was made.
    most: usize,
    timers: Timers,
    /// No timer is due before this.
    quiet_until: Timestamp,
    /// Pages are being emptied.
    compacts: bool,
}

/// The entries, and how long they live.
#[derive(Debug)]
struct Flows {
    pages: Pages<Flow>,
    /// By [`Patience`](crate::flow::Patience).
    patience: [Duration; 3],
    attempt: Duration,
    active: Duration,
}

/// A timer of a flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Timer {
    /// No answer came.
    Unanswered,
    /// It is time to report it.
    Active,
    /// It has been silent for too long.
    Silent,
}

impl Flows {
    /// What is due first for a flow, and when.
    fn next_of(&self, flow: &Flow) -> (Timestamp, Timer) {
        let usual = self.patience.get(flow.patience() as usize).copied().unwrap_or_default();
        let patience = if flow.is_hurried() { usual.min(self.attempt * HURRY) } else { usual };
        let silent = (flow.last.plus(patience), Timer::Silent);
        let active = (flow.unreported_since().plus(self.active), Timer::Active);
        let first = silent.min(active);
        if flow.waits() { first.min((flow.began.plus(self.attempt), Timer::Unanswered)) } else { first }
    }
}

impl Links for Flows {
    fn link(&mut self, slot: u32) -> Option<&mut Link> {
        self.pages.get_mut(slot).map(|flow| &mut flow.link)
    }

    fn due(&self, slot: u32) -> Timestamp {
        self.pages.get(slot).map_or(Timestamp::ZERO, |flow| self.next_of(flow).0)
    }

    fn seen(&self, slot: u32) -> Timestamp {
        self.pages.get(slot).map_or(Timestamp::ZERO, |flow| flow.last)
    }
}

impl Table {
    pub(crate) fn new(limits: &Limits, seed: u64) -> Self {
        let capacity = limits.flows.clamp(1, usize_of(u32::MAX >> 2));
        Self {
            index: HashTable::with_capacity(capacity),
            hasher: FixedState::with_seed(seed),
            flows: Flows {
                pages: Pages::default(),
                patience: [limits.tcp_idle, limits.other_idle, limits.closed_linger],
                attempt: limits.attempt_timeout,
                active: limits.active,
            },
            capacity,
            units: 0,
            units_max: limits.flow_bytes / UNIT_BYTES,
            most: 0,
            timers: Timers::new(),
            quiet_until: Timestamp::ZERO,
            compacts: false,
        }
    }

    /// The slot of a flow.
    pub(crate) fn find(&self, key: &FlowKey) -> Option<u32> {
        let same = |slot: &u32| self.flow(*slot).is_some_and(|flow| flow.key() == *key);
        self.index.find(self.hasher.hash_one(key), same).copied()
    }

    pub(crate) fn flow(&self, slot: u32) -> Option<&Flow> {
        self.flows.pages.get(slot)
    }

    pub(crate) fn flow_mut(&mut self, slot: u32) -> Option<&mut Flow> {
        self.flows.pages.get_mut(slot)
    }

    /// The slot to give up before another flow can begin: of the flow that would be over first if nothing more came. So attempts
    /// go before conversations.
    pub(crate) fn victim_if_full(&mut self) -> Option<u32> {
        let taken = self.units + self.index.len() * (size_of::<Option<Flow>>() / UNIT_BYTES);
        if self.index.len() < self.capacity && taken < self.units_max {
            return None;
        }
        self.timers.earliest(&mut self.flows)
    }

    /// Takes a new flow in; there must be room.
    pub(crate) fn insert(&mut self, flow: Flow) -> u32 {
        let hash = self.hasher.hash_one(flow.key());
        let slot = self.flows.pages.insert(flow);
        let (flows, hasher) = (&self.flows, &self.hasher);
        let rehash = |slot: &u32| flows.pages.get(*slot).map_or(0, |flow| hasher.hash_one(flow.key()));
        self.index.insert_unique(hash, slot, rehash);
        self.most = self.most.max(self.index.len());
        self.arm(slot);
        slot
    }

    /// What the flow has beside its entry may have changed.
    #[inline]
    pub(crate) fn reckon(&mut self, slot: u32) {
        if let Some((before, after)) = self.flow_mut(slot).map(Flow::reckon) {
            self.units = self.units - usize::from(before) + usize::from(after);
        }
    }

    /// The time of what is due for the flow may have come nearer.
    pub(crate) fn arm(&mut self, slot: u32) {
        if self.flow(slot).is_some() {
            self.timers.arm(slot, &mut self.flows);
            self.quiet_until = self.quiet_until.min(self.timers.quiet_until());
        }
    }

    pub(crate) fn remove(&mut self, slot: u32) -> Option<Flow> {
        self.timers.disarm(slot, &mut self.flows);
        let hash = self.hasher.hash_one(self.flow(slot)?.key());
        if let Ok(entry) = self.index.find_entry(hash, |other| *other == slot) {
            entry.remove();
        }
        if self.most >= FLOODED && self.index.len() < self.most / SPARSE {
            self.renew_index();
        }
        let flow = self.flows.pages.remove(slot)?;
        self.units -= flow.believed();
        Some(flow)
    }

    /// An index of which only the places of those that are left were written.
    fn renew_index(&mut self) {
        let mut index = HashTable::with_capacity(self.capacity);
        for slot in &self.index {
            let Some(flow) = self.flow(*slot) else { continue };
            // There is room for all: nothing is hashed twice.
            index.insert_unique(self.hasher.hash_one(flow.key()), *slot, |_| 0);
        }
        self.most = index.len();
        self.index = index;
    }

    /// Nothing is due by `now`.
    pub(crate) fn is_quiet(&self, now: Timestamp) -> bool {
        now < self.quiet_until
    }

    /// The timer that is due first, if it is due by `now`. Its flow must be [armed](Self::arm) again if it goes on.
    pub(crate) fn due(&mut self, now: Timestamp) -> Option<(Timestamp, Timer, u32)> {
        if self.is_quiet(now) {
            return None;
        }
        while let Some((armed, slot)) = self.timers.pop(now, &mut self.flows) {
            let Some(flow) = self.flow(slot) else { continue };
            let (at, timer) = self.flows.next_of(flow);
            if at <= armed {
                return Some((at, timer, slot));
            }
            // Packets came since.
            self.timers.arm(slot, &mut self.flows);
        }
        self.quiet_until = self.timers.quiet_until();
        None
    }

    /// Behind a flood, what is left lies scattered over all pages: moves some of it from the highest page to the lowest, as
    /// [`Pages`] gives back only what is empty. Nobody may remember slots, but who is told of each that changed and its flow.
    pub(crate) fn compact(&mut self, mut moved: impl FnMut(u32, u32, &mut Flow)) {
        self.compacts = self.flows.pages.is_sparse(self.index.len(), self.compacts);
        if !self.compacts {
            return;
        }
        for _ in 0..MOVED_AT_ONCE {
            let Some((old, new)) = self.flows.pages.move_highest() else { break };
            let Some(flow) = self.flows.pages.get(new) else { break };
            let hash = self.hasher.hash_one(flow.key());
            if let Some(slot) = self.index.find_mut(hash, |slot| *slot == old) {
                *slot = new;
            }
            self.timers.rename(old, new, &mut self.flows);
            if let Some(flow) = self.flows.pages.get_mut(new) {
                moved(old, new, flow);
            }
        }
        self.timers.shrink();
        self.quiet_until = self.quiet_until.min(self.timers.quiet_until());
    }

    /// All slots are below this.
    pub(crate) fn slots(&self) -> usize {
        self.flows.pages.slots()
    }

    /// No flow is alive.
    pub(crate) fn is_empty(&self) -> bool {
        self.index.is_empty()
    }

    /// Slots of the first `max` flows by id, in this order.
    pub(crate) fn first_by_id(&self, max: usize) -> Vec<u32> {
        let mut first = Vec::new();
        let mut bound = u64::MAX;
        for (slot, flow) in self.flows.pages.iter() {
            if flow.id >= bound {
                continue;
            }
            first.push((flow.id, slot));
            if first.len() >= 2 * max {
                let (_, (id, _), _) = first.select_nth_unstable(max);
                bound = *id;
                first.truncate(max);
            }
        }
        first.sort_unstable();
        first.into_iter().take(max).map(|(_, slot)| slot).collect()
    }
}
