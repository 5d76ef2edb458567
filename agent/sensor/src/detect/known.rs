//! What was ever seen here, and for how long one has looked: kept over restarts.

use core::hash::Hash;
use core::net::IpAddr;
use std::time::Duration;

use sekimori_wire::id::Host;
use sekimori_wire::time::Timestamp;

use crate::baseline::{Pack, Ripeness, Unpack};
use crate::bounded::Map;
use crate::detect::Setup;

/// Event time to learn before anything is new: an office's devices show within a day, and on Monday what was off on Friday
/// is one notice of severity 1.
pub(super) const WARM_UP: Duration = Duration::from_secs(24 * 3_600);
/// Hours of [`WARM_UP`] in which something must have happened: time that passed unseen (a sensor that was off, captures put
/// together) teaches nothing. Half, because offices sleep.
const ACTIVE_HOURS_MIN: u32 = 12;

/// How long has been learned; what asks it is not ripe before [`WARM_UP`] of event time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Learning {
    /// The first event.
    since: Option<Timestamp>,
    /// The hour (since 1970) of the last event.
    hour: u64,
    /// Hours with events.
    active: u32,
    is_ripe: bool,
}

impl Learning {
    /// The hours learned, if they are enough.
    fn ripe_hours(&mut self, now: Timestamp) -> Option<u64> {
        if self.since.is_some_and(|since| now < since) {
            // Learned under a clock that was wrong, or from a later capture: that time is yet to come.
            *self = Self::default();
        }
        let learned = now.since(*self.since.get_or_insert(now));
        let hour = now.secs() / 3_600;
        if hour != self.hour {
            (self.hour, self.active) = (hour, self.active.saturating_add(1));
        }
        self.is_ripe = learned >= WARM_UP && self.active >= ACTIVE_HOURS_MIN;
        self.is_ripe.then_some(learned.as_secs() / 3_600)
    }

    /// From when until when [`Learning::ripe_hours`] changes nothing: within the hour, and on one side of [`WARM_UP`].
    fn steady(&self, now: Timestamp) -> (Timestamp, Timestamp) {
        let since = self.since.unwrap_or(now);
        let hour = now.secs() / 3_600;
        let (from, until) = (Timestamp::from_secs(hour * 3_600), Timestamp::from_secs((hour + 1) * 3_600));
        let ripe_at = since.plus(WARM_UP);
        if now < ripe_at {
            (from.max(since), until.min(ripe_at))
        } else {
            (from.max(since).max(ripe_at), until)
        }
    }
}

/// What can be known.
pub(super) trait Key: Copy + Hash + Eq {
    /// As bytes.
    fn pack(&self, out: &mut Pack);
    /// From bytes.
    fn unpack(from: &mut Unpack<'_>) -> Option<Self>;
}

impl Key for Host {
    fn pack(&self, out: &mut Pack) {
        out.host(*self);
    }

    fn unpack(from: &mut Unpack<'_>) -> Option<Self> {
        from.host()
    }
}

impl Key for (IpAddr, u16) {
    fn pack(&self, out: &mut Pack) {
        out.address(self.0);
        out.u16(self.1);
    }

    fn unpack(from: &mut Unpack<'_>) -> Option<Self> {
        Some((from.address()?, from.u16()?))
    }
}

/// What was seen: all that outlives a restart.
#[derive(Debug)]
pub(super) struct Known<K> {
    learning: Learning,
    /// From when until when time may pass without a change in what was learned.
    steady: (Timestamp, Timestamp),
    seen: Map<K, ()>,
    capacity: usize,
    seed: u64,
}

/// What [`Known`] says of one sighting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sighting {
    /// Seen before, or too early to tell.
    Nothing,
    /// Never seen, after so many hours of learning.
    New(u64),
}

impl<K: Key> Known<K> {
    pub(super) fn new(setup: &Setup<'_>) -> Self {
        let capacity = setup.limits.detector_entries;
        Self {
            learning: Learning::default(),
            steady: (Timestamp::ZERO, Timestamp::ZERO),
            seen: Map::new(capacity, setup.seed),
            capacity,
            seed: setup.seed,
        }
    }

    /// Time goes on: it counts as learned whatever happens in it.
    pub(super) fn pass(&mut self, now: Timestamp) {
        if self.is_due(now) {
            self.learning.ripe_hours(now);
            self.steady = self.learning.steady(now);
        }
    }

    /// [`Known::pass`] would change something.
    #[inline]
    pub(super) fn is_due(&self, now: Timestamp) -> bool {
        !(self.steady.0 <= now && now < self.steady.1)
    }

    /// Remembers `key`, and says what that means; counts what had to go.
    ///
    /// Whatever is forgotten would look new. So a full table is not thinned but learned anew, like a new network: phones
    /// that change their address fill it within months, a flood of forged ones within minutes.
    pub(super) fn see(&mut self, now: Timestamp, key: K, evicted: &mut u64) -> Sighting {
        let ripe = self.learning.ripe_hours(now);
        if self.seen.peek(&key).is_some() {
            return Sighting::Nothing;
        }
        if self.seen.len() >= self.capacity {
            *evicted += self.seen.len() as u64;
            self.seen = Map::new(self.capacity, self.seed);
            self.learning = Learning::default();
            self.steady = (Timestamp::ZERO, Timestamp::ZERO);
            self.learning.ripe_hours(now);
        }
        self.seen.insert(key, ());
        match ripe {
            Some(hours) if self.learning.is_ripe => Sighting::New(hours),
            Some(_) | None => Sighting::Nothing,
        }
    }

    /// As bytes.
    pub(super) fn pack(&self, out: &mut Pack) {
        out.u64(self.learning.since.map_or(u64::MAX, Timestamp::nanos));
        out.u64(self.learning.hour);
        out.u32(self.learning.active);
        self.seen.iter().for_each(|(key, ())| key.pack(out));
    }

    /// Takes over what [`Known::pack`] wrote, up to the end of the bytes; false if it is something else, or more than there
    /// is room for: then nothing is taken over.
    pub(super) fn recall(&mut self, from: &mut Unpack<'_>) -> bool {
        let Some(since) = from.u64() else { return false };
        let (Some(hour), Some(active)) = (from.u64(), from.u32()) else { return false };
        let mut seen = Map::new(self.capacity, self.seed);
        while !from.is_empty() {
            let Some(key) = K::unpack(from) else { return false };
            if seen.insert(key, ()).is_some() {
                return false;
            }
        }
        let since = Some(since).filter(|since| *since != u64::MAX).map(Timestamp::from_nanos);
        self.learning = Learning { since, hour, active, is_ripe: false };
        self.steady = (Timestamp::ZERO, Timestamp::ZERO);
        self.seen = seen;
        true
    }

    /// One, once something happened.
    pub(super) fn ripeness(&self) -> Ripeness {
        Ripeness { series: self.learning.since.is_some().into(), ripe: self.learning.is_ripe.into() }
    }
}

#[cfg(test)]
mod tests;
