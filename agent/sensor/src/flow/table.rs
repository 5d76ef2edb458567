//! The flows alive: found by key, bounded, and ended in order of time without ever being scanned.

use core::hash::BuildHasher as _;

use foldhash::quality::FixedState;
use hashbrown::HashTable;
use sekimori_wire::time::Timestamp;
use std::time::Duration;

use crate::flow::queues::{Queues, usize_of};
use crate::flow::{Flow, FlowKey};
use crate::limits::Limits;

/// The flows alive.
#[derive(Debug)]
pub(crate) struct Table {
    /// Slots by key.
    index: HashTable<u32>,
    hasher: FixedState,
    flows: Vec<Option<Flow>>,
    free: Vec<u32>,
    capacity: usize,
    /// By [`Patience`](crate::flow::Patience), least recently seen first.
    silent: Queues<3>,
    /// Those that still wait for an answer, by when they began.
    unanswered: Queues<1>,
    /// All, by how long nothing was reported of them.
    unreported: Queues<1>,
    patience: [Duration; 3],
    attempt: Duration,
    active: Duration,
    /// No timer is due before this.
    quiet_until: Timestamp,
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

impl Table {
    pub(crate) fn new(limits: &Limits, seed: u64) -> Self {
        let capacity = limits.flows.clamp(1, usize_of(u32::MAX - 1));
        Self {
            index: HashTable::with_capacity(capacity),
            hasher: FixedState::with_seed(seed),
            flows: Vec::with_capacity(capacity),
            free: Vec::new(),
            capacity,
            silent: Queues::with_capacity(capacity),
            unanswered: Queues::with_capacity(capacity),
            unreported: Queues::with_capacity(capacity),
            patience: [limits.tcp_idle, limits.other_idle, limits.closed_linger],
            attempt: limits.attempt_timeout,
            active: limits.active,
            quiet_until: Timestamp::ZERO,
        }
    }

    /// The slot of a flow.
    pub(crate) fn find(&self, key: &FlowKey) -> Option<u32> {
        let same = |slot: &u32| self.flow(*slot).is_some_and(|flow| flow.key == *key);
        self.index.find(self.hasher.hash_one(key), same).copied()
    }

    pub(crate) fn flow(&self, slot: u32) -> Option<&Flow> {
        self.flows.get(usize_of(slot)).and_then(Option::as_ref)
    }

    pub(crate) fn flow_mut(&mut self, slot: u32) -> Option<&mut Flow> {
        self.flows.get_mut(usize_of(slot)).and_then(Option::as_mut)
    }

    /// The slot to give up before another flow can begin.
    pub(crate) fn least_recent_if_full(&self) -> Option<u32> {
        if self.index.len() < self.capacity {
            return None;
        }
        let fronts = (0..self.patience.len()).filter_map(|list| self.silent.front(list));
        fronts.min_by_key(|slot| self.flow(*slot).map(|flow| (flow.last, flow.id)))
    }

    /// Takes a new flow in; there must be room.
    pub(crate) fn insert(&mut self, flow: Flow) -> u32 {
        let hash = self.hasher.hash_one(flow.key);
        let (awaits, deadline) = (flow.awaits_answer(), flow.began.plus(self.attempt.min(self.active)));
        let slot = self.free.pop().unwrap_or_else(|| {
            self.flows.push(None);
            u32::try_from(self.flows.len() - 1).unwrap_or(u32::MAX)
        });
        if let Some(place) = self.flows.get_mut(usize_of(slot)) {
            *place = Some(flow);
        }
        let (flows, hasher) = (&self.flows, &self.hasher);
        let rehash = |slot: &u32| {
            let flow = flows.get(usize_of(*slot)).and_then(Option::as_ref);
            flow.map_or(0, |flow| hasher.hash_one(flow.key))
        };
        self.index.insert_unique(hash, slot, rehash);
        self.unreported.push_back(0, slot);
        if awaits {
            self.unanswered.push_back(0, slot);
        }
        self.quiet_until = self.quiet_until.min(deadline);
        self.touch(slot);
        slot
    }

    /// A packet of the flow was seen: it has its whole patience again.
    pub(crate) fn touch(&mut self, slot: u32) {
        let Some(flow) = self.flow(slot) else { return };
        let patience = flow.patience() as usize;
        let deadline = flow.last.plus(self.patience.get(patience).copied().unwrap_or_default());
        self.quiet_until = self.quiet_until.min(deadline);
        self.silent.push_back(patience, slot);
    }

    /// The flow waits for no answer any more.
    pub(crate) fn stop_waiting(&mut self, slot: u32) {
        self.unanswered.remove(slot);
    }

    /// The flow was reported: the active timeout begins anew.
    pub(crate) fn restart_active(&mut self, slot: u32, at: Timestamp) {
        if let Some(flow) = self.flow_mut(slot) {
            flow.unreported_since = at;
            self.unreported.push_back(0, slot);
        }
    }

    pub(crate) fn remove(&mut self, slot: u32) -> Option<Flow> {
        let flow = self.flows.get_mut(usize_of(slot))?.take()?;
        if let Ok(entry) = self.index.find_entry(self.hasher.hash_one(flow.key), |other| *other == slot) {
            entry.remove();
        }
        self.silent.remove(slot);
        self.unanswered.remove(slot);
        self.unreported.remove(slot);
        self.free.push(slot);
        Some(flow)
    }

    /// The timer that is due first, if it is due by `now`.
    pub(crate) fn due(&mut self, now: Timestamp) -> Option<(Timestamp, Timer, u32)> {
        if now < self.quiet_until {
            return None;
        }
        let waiting = self.unanswered.front(0).and_then(|slot| {
            self.flow(slot).map(|flow| (flow.began.plus(self.attempt), Timer::Unanswered, slot))
        });
        let unreported = self.unreported.front(0).and_then(|slot| {
            self.flow(slot).map(|flow| (flow.unreported_since.plus(self.active), Timer::Active, slot))
        });
        let silent = self.patience.iter().enumerate().filter_map(|(list, patience)| {
            let slot = self.silent.front(list)?;
            self.flow(slot).map(|flow| (flow.last.plus(*patience), Timer::Silent, slot))
        });
        let first = silent.chain(waiting).chain(unreported).min();
        self.quiet_until = first.map_or(Timestamp::from_nanos(u64::MAX), |(at, ..)| at);
        first.filter(|(at, ..)| *at <= now)
    }

    /// Every slot in use, by flow id.
    pub(crate) fn slots_by_id(&self) -> Vec<u32> {
        let alive = self.flows.iter().zip(0_u32..).filter_map(|(flow, slot)| Some((flow.as_ref()?.id, slot)));
        let mut slots: Vec<_> = alive.collect();
        slots.sort_unstable();
        slots.into_iter().map(|(_, slot)| slot).collect()
    }
}
