//! How long to wait after what. Pure: chance is an argument.

use std::time::Duration;

/// The waits of a shipper.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pace {
    /// After the first failure; doubles with each further one.
    pub first: Duration,
    /// The longest wait between attempts that may succeed without anybody's help.
    pub longest: Duration,
    /// After a refusal that somebody must mend.
    pub refused: Duration,
    /// The longest wait that a collector can ask for.
    pub asked_max: Duration,
}

impl Pace {
    /// In production.
    pub const DEFAULT: Self = Self {
        first: Duration::from_millis(500),
        longest: Duration::from_secs(60),
        refused: Duration::from_secs(60),
        asked_max: Duration::from_secs(300),
    };
}

/// What an attempt came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// What was sent is acknowledged, or a part of it.
    Progress,
    /// Nothing of it is, and nothing was refused.
    NoProgress,
    /// The collector cannot now.
    Busy {
        /// For how long it asks to be left alone.
        asked: Duration,
    },
    /// The collector will not.
    Refused {
        /// For how long it asks to be left alone.
        asked: Duration,
    },
    /// There was no answer to believe.
    Failed {
        /// Another address was not tried yet in this round.
        more_endpoints: bool,
    },
}

/// Exponential back-off with jitter.
#[derive(Debug)]
pub struct Backoff {
    pace: Pace,
    failures: u32,
}

impl Backoff {
    /// With nothing failed yet.
    pub const fn new(pace: Pace) -> Self {
        Self { pace, failures: 0 }
    }

    /// How long to wait before the next attempt; `random` is uniform.
    pub fn after(&mut self, event: Event, random: u32) -> Duration {
        match event {
            Event::Progress => {
                self.failures = 0;
                Duration::ZERO
            }
            Event::Failed { more_endpoints: true } => Duration::ZERO,
            Event::NoProgress | Event::Failed { more_endpoints: false } => self.grown(random),
            Event::Busy { asked } => self.grown(random).max(asked.min(self.pace.asked_max)),
            // Up to half as long again: those that were refused together do not return together.
            Event::Refused { asked } => {
                let wait = self.pace.refused.max(asked.min(self.pace.asked_max));
                wait + scaled(wait / 2, random)
            }
        }
    }

    /// Half of the doubled wait, and up to the other half by chance.
    fn grown(&mut self, random: u32) -> Duration {
        let factor = 2_u32.saturating_pow(self.failures);
        let whole = self.pace.first.saturating_mul(factor).min(self.pace.longest);
        self.failures = self.failures.saturating_add(1);
        whole / 2 + scaled(whole / 2, random)
    }
}

fn scaled(duration: Duration, random: u32) -> Duration {
    duration.mul_f64(f64::from(random) / f64::from(u32::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    const FAILED: Event = Event::Failed { more_endpoints: false };

    #[test]
    fn waits_double_to_the_longest_and_start_again_after_progress() {
        let mut backoff = Backoff::new(Pace::DEFAULT);
        let waits: Vec<u128> = (0..10).map(|_| backoff.after(FAILED, u32::MAX).as_millis()).collect();
        assert_eq!(waits, [500, 1000, 2000, 4000, 8000, 16_000, 32_000, 60_000, 60_000, 60_000]);
        assert_eq!(backoff.after(Event::Progress, 0), Duration::ZERO);
        assert_eq!(backoff.after(FAILED, 0), Duration::from_millis(250));
    }

    #[test]
    fn never_a_busy_loop() {
        for random in [0, 1, u32::MAX] {
            let mut backoff = Backoff::new(Pace::DEFAULT);
            for event in [FAILED, Event::NoProgress, Event::Busy { asked: Duration::ZERO }] {
                assert!(backoff.after(event, random) >= Duration::from_millis(250), "{event:?}");
            }
            let refused = backoff.after(Event::Refused { asked: Duration::ZERO }, random);
            assert!((60..=90).contains(&refused.as_secs()), "{refused:?}");
        }
    }

    #[test]
    fn a_collector_may_ask_for_patience_within_bounds() {
        let mut backoff = Backoff::new(Pace::DEFAULT);
        let busy = |secs| Event::Busy { asked: Duration::from_secs(secs) };
        assert_eq!(backoff.after(busy(30), 0), Duration::from_secs(30));
        assert_eq!(backoff.after(busy(u64::MAX), 0), Duration::from_secs(300));
        assert_eq!(backoff.after(Event::Failed { more_endpoints: true }, 7), Duration::ZERO);
    }
}
