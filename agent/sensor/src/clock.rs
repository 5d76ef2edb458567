//! Event time that never goes back.
//!
//! A capture may hold frames out of order, and timers may already have spoken for a later moment than a late frame's. Both
//! are lifted to the time reached, so that events leave in order; only the first is counted, it is the capture's doing.

use sekimori_wire::time::Timestamp;

/// The time reached so far.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Clock {
    /// Latest capture time.
    frame: Timestamp,
    /// Latest event time: never before `frame`.
    now: Timestamp,
}

/// What [`Clock::on_frame`] made of a capture time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Tick {
    /// The event time to use.
    pub(crate) at: Timestamp,
    /// The capture time lay before an earlier frame's.
    pub(crate) backwards: bool,
}

impl Clock {
    /// The latest event time.
    pub(crate) const fn now(self) -> Timestamp {
        self.now
    }

    /// A frame was captured at `at`.
    pub(crate) fn on_frame(&mut self, at: Timestamp) -> Tick {
        let backwards = at < self.frame;
        self.frame = self.frame.max(at);
        Tick { at: self.reach(at), backwards }
    }

    /// An event is said to be at `at`; the time it gets.
    pub(crate) fn reach(&mut self, at: Timestamp) -> Timestamp {
        self.now = self.now.max(at);
        self.now
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_never_goes_back() {
        let mut clock = Clock::default();
        let at = Timestamp::from_secs;
        assert_eq!(clock.on_frame(at(5)), Tick { at: at(5), backwards: false });
        assert_eq!(clock.on_frame(at(3)), Tick { at: at(5), backwards: true });
        assert_eq!(clock.reach(at(9)), at(9));
        assert_eq!(
            clock.on_frame(at(7)),
            Tick { at: at(9), backwards: false },
            "a timer was ahead, not the capture"
        );
        assert_eq!(clock.now(), at(9));
    }
}
