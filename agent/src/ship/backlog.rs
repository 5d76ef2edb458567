//! What waits in the spool after an outage, and until when it counts as that: ordinary running has a budget, catching up has
//! none. What a storm piles up while the collector answers is no backlog.

use std::time::{Duration, Instant};

use sekimori_delivery::lanes::Lanes;
use sekimori_delivery::spool::Position;
use sekimori_wire::batch::Lane;

/// A collector that did not take anything for so long was away. A shorter pause piles up less than the budget carries off.
const OUTAGE: Duration = Duration::from_secs(60);

/// The last batches of the lanes when the outage ended, if they are not delivered, and since when nothing is taken.
#[derive(Debug, Default)]
pub(super) struct Backlog {
    through: Option<[(Lane, Position); 2]>,
    away: Option<Instant>,
}

impl Backlog {
    /// What waits at the start: whoever was not running was away.
    pub(super) fn of(lanes: &Lanes) -> Self {
        let mut backlog = Self::default();
        backlog.note(lanes);
        backlog
    }

    fn note(&mut self, lanes: &Lanes) {
        let through = Lane::ALL.map(|lane| (lane, lanes.of_lane(lane).head().at));
        self.through = (lanes.pending() > 0).then_some(through);
    }

    /// The collector is not there, or refuses.
    pub(super) fn away(&mut self, now: Instant) {
        self.away.get_or_insert(now);
    }

    /// It has answered. True if it was away for so long that what waits now is a backlog.
    pub(super) fn back(&mut self, now: Instant, lanes: &Lanes) -> bool {
        let was_away = self.away.take().is_some_and(|since| now.saturating_duration_since(since) >= OUTAGE);
        if was_away {
            self.note(lanes);
        }
        was_away && self.is_any()
    }

    /// There is one, as far as anybody has looked.
    pub(super) const fn is_any(&self) -> bool {
        self.through.is_some()
    }

    /// Nothing of it is in the spool any more.
    pub(super) fn is_delivered(&self, lanes: &Lanes) -> bool {
        self.through.iter().flatten().all(|(lane, through)| {
            let spool = lanes.of_lane(*lane);
            spool.pending() == 0 || spool.acked() >= *through
        })
    }

    pub(super) const fn clear(&mut self) {
        self.through = None;
    }
}
