//! How much is left out when there is more to do than can be done: a level that rises with what waits and falls when it is
//! calm. Pure: it is told the time.
//!
//! The order is declared, so that what matters longest goes last:
//!
//! | Level | Left out, beside what lower levels leave out |
//! |---|---|
//! | 0 | nothing |
//! | 1 | detail of summaries: flows that end are counted, not listed |
//! | 2 | payload, but that of DNS, of openings (TLS, HTTP) and of hosts that intelligence lists |
//! | 3 | frames, but DNS, the beginnings and ends of connections, ICMP, ARP, hosts that are listed, and one of sixteen others |

use core::time::Duration;

/// What is left out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Level {
    #[default]
    Everything,
    Outline,
    Headers,
    Essentials,
}

/// Waiting work, in thousandths of what may wait, from which on the level rises.
const HIGH: u32 = 500;
/// From which on it rises to the highest at once.
const FULL: u32 = 800;
/// Below which it is calm.
const LOW: u32 = 200;
/// Time between two rises: so long takes what the last one left out to show.
const RISE_EVERY: Duration = Duration::from_millis(100);
/// Calm for so long lowers the level by one: what only stood still for a moment soon does all its work again.
const CALM: Duration = Duration::from_millis(500);
/// The same, when a fall was followed by a rise: all three levels within 10 seconds all the same.
const CALM_AFTER_RELAPSE: Duration = Duration::from_millis(2_500);
/// A rise so soon after a fall is a relapse.
const RELAPSE: Duration = Duration::from_secs(5);

impl Level {
    pub(super) const fn number(self) -> u8 {
        match self {
            Self::Everything => 0,
            Self::Outline => 1,
            Self::Headers => 2,
            Self::Essentials => 3,
        }
    }

    const fn higher(self) -> Self {
        match self {
            Self::Everything => Self::Outline,
            Self::Outline => Self::Headers,
            Self::Headers | Self::Essentials => Self::Essentials,
        }
    }

    const fn lower(self) -> Self {
        match self {
            Self::Everything | Self::Outline => Self::Everything,
            Self::Headers => Self::Outline,
            Self::Essentials => Self::Headers,
        }
    }
}

/// The level of one worker. Times are since any fixed moment.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Overload {
    level: Level,
    rose: Option<Duration>,
    fell: Option<Duration>,
    calm_since: Option<Duration>,
    relapsed: bool,
    highest: Level,
    /// How often the level left [`Level::Everything`].
    begun: u64,
}

impl Overload {
    pub(super) const fn level(&self) -> Level {
        self.level
    }

    /// The highest level so far.
    pub(super) const fn highest(&self) -> Level {
        self.highest
    }

    pub(super) const fn begun(&self) -> u64 {
        self.begun
    }

    /// So much waits now, in thousandths of what may.
    pub(super) fn on_pressure(&mut self, now: Duration, waiting: u32) {
        if waiting >= LOW {
            self.calm_since = None;
        }
        if waiting >= HIGH {
            self.rise(now, waiting);
        } else if waiting < LOW && self.level != Level::Everything {
            let since = *self.calm_since.get_or_insert(now);
            let calm = if self.relapsed { CALM_AFTER_RELAPSE } else { CALM };
            if now.saturating_sub(since) >= calm {
                self.level = self.level.lower();
                self.fell = Some(now);
                self.calm_since = Some(now);
                self.relapsed &= self.level != Level::Everything;
            }
        }
    }

    fn rise(&mut self, now: Duration, waiting: u32) {
        let within = |past: Option<Duration>, span| past.is_some_and(|past| now.saturating_sub(past) < span);
        if self.level == Level::Essentials || (waiting < FULL && within(self.rose, RISE_EVERY)) {
            return;
        }
        self.begun += u64::from(self.level == Level::Everything);
        self.relapsed |= within(self.fell, RELAPSE);
        self.level = if waiting >= FULL { Level::Essentials } else { self.level.higher() };
        self.highest = self.highest.max(self.level);
        self.rose = Some(now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The level after each (milliseconds, thousandths waiting).
    fn levels(steps: &[(u64, u32)]) -> Vec<u8> {
        let mut overload = Overload::default();
        let step = |(ms, waiting): &(u64, u32)| {
            overload.on_pressure(Duration::from_millis(*ms), *waiting);
            overload.level().number()
        };
        steps.iter().map(step).collect()
    }

    #[test]
    fn rises_step_by_step_while_much_waits() {
        assert_eq!(
            levels(&[(0, 499), (1, 500), (50, 600), (101, 600), (201, 600), (301, 600)]),
            [0, 1, 1, 2, 3, 3]
        );
    }

    #[test]
    fn what_is_nearly_full_rises_at_once() {
        assert_eq!(levels(&[(0, 500), (1, 800)]), [1, 3]);
    }

    #[test]
    fn falls_only_when_it_was_calm_for_long() {
        let calm_broken =
            [(0, 500), (10, 100), (509, 100), (510, 300), (511, 100), (1_010, 100), (1_011, 100)];
        assert_eq!(levels(&calm_broken), [1, 1, 1, 1, 1, 1, 0]);
        assert_eq!(
            levels(&[(0, 500), (5_000, 300), (50_000, 499)]),
            [1, 1, 1],
            "neither high nor calm: it stays"
        );
    }

    #[test]
    fn all_work_is_done_again_within_ten_seconds_of_calm_even_after_relapses() {
        let mut overload = Overload::default();
        let mut ms = 0;
        for _relapse in 0..20 {
            for waiting in [900, 0, 0] {
                overload.on_pressure(Duration::from_millis(ms), waiting);
                ms += 1_600;
            }
        }
        overload.on_pressure(Duration::from_millis(ms), 1_000);
        assert_eq!((overload.level(), overload.highest()), (Level::Essentials, Level::Essentials));
        let end = ms;
        while overload.level() != Level::Everything {
            ms += 20;
            overload.on_pressure(Duration::from_millis(ms), 0);
        }
        assert!((4_500..10_000).contains(&(ms - end)), "{} ms", ms - end);
        assert_eq!(overload.begun(), 1, "it never was calm for long enough in between");
    }

    #[test]
    fn a_load_that_each_level_relieves_does_not_flap() {
        // Level 2 is enough to keep up, level 1 is not.
        let mut overload = Overload::default();
        let (mut changes, mut before) = (0, 0);
        for ms in (0..60_000).step_by(20) {
            let waiting = if overload.level() >= Level::Headers { 0 } else { 600 };
            overload.on_pressure(Duration::from_millis(ms), waiting);
            changes += u32::from(overload.level().number() != before);
            before = overload.level().number();
        }
        assert!(changes <= 4 + 2 * 60_000 / 2_500, "{changes} changes in a minute");
    }
}
