//! Whether the agent is worse off with a new policy than before, by its own health. Pure: it is told the time.

use std::time::Duration;

use sekimori_wire::record::Health;

/// A policy that was not worse for so long stays.
pub(crate) const TRIAL: Duration = Duration::from_secs(600);
/// A higher level of overload for so long is no burst that came by chance.
const LEVEL_HELD: Duration = Duration::from_secs(30);
/// Growth of the lost share, in thousandths, and how many lost frames make a share at all.
const LOSS_PERMILLE: u64 = 10;
const LOST_LEAST: u64 = 100;
/// Memory may grow by half and this much more: a list of a million indicators.
const MEMORY_SLACK: u64 = 128 << 20;

/// What is compared.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Reading {
    pub(crate) level: u64,
    pub(crate) received: u64,
    pub(crate) lost: u64,
    pub(crate) memory: u64,
}

impl Reading {
    pub(crate) fn of(health: &Health) -> Self {
        let sum = |names: &[&str]| {
            let counters = health.counters.iter().filter(|one| names.contains(&&*one.name));
            counters.map(|one| one.count).fold(0, u64::saturating_add)
        };
        Self {
            level: sum(&["overload.level"]),
            received: health.interfaces.iter().map(|one| one.packets).fold(0, u64::saturating_add),
            lost: sum(&["capture.kernel_drops", "overload.frames_shed", "outbox.shed", "seal.dropped"]),
            memory: health.rss_bytes,
        }
    }

    /// Lost since `before`, in thousandths of what came.
    fn loss_since(self, before: Self) -> u64 {
        let lost = self.lost.saturating_sub(before.lost);
        let received = self.received.saturating_sub(before.received);
        if lost < LOST_LEAST { 0 } else { lost.saturating_mul(1000) / received.saturating_add(lost).max(1) }
    }
}

/// Watches one version.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Guard {
    pub(crate) version: u64,
    began: Duration,
    before: Reading,
    /// Since when the level is higher than before.
    higher: Option<Duration>,
}

/// What a look came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Said {
    /// Too early to say.
    Wait,
    /// The trial is over.
    Proven,
    /// It goes back, for this reason.
    Worse(String),
}

impl Guard {
    /// Times are since any fixed moment; `before` was taken before the version came into force.
    pub(crate) const fn new(version: u64, now: Duration, before: Reading) -> Self {
        Self { version, began: now, before, higher: None }
    }

    pub(crate) fn look(&mut self, now: Duration, reading: Reading) -> Said {
        let Self { before, .. } = *self;
        if reading.level > before.level {
            let since = *self.higher.get_or_insert(now);
            if now.saturating_sub(since) >= LEVEL_HELD {
                return Said::Worse(format!(
                    "overload rose from level {} to {}",
                    before.level, reading.level
                ));
            }
        } else {
            self.higher = None;
        }
        let (was, is) = (before.loss_since(Reading::default()), reading.loss_since(before));
        if is >= was.saturating_add(LOSS_PERMILLE) {
            return Said::Worse(format!("loss rose from {was} to {is} in a thousand"));
        }
        let most = before.memory.saturating_add(before.memory / 2).saturating_add(MEMORY_SLACK);
        if before.memory > 0 && reading.memory > most {
            let mib = |bytes: u64| bytes >> 20;
            return Said::Worse(format!(
                "memory rose from {} to {} MiB",
                mib(before.memory),
                mib(reading.memory)
            ));
        }
        if now.saturating_sub(self.began) >= TRIAL { Said::Proven } else { Said::Wait }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BEFORE: Reading = Reading { level: 0, received: 1_000_000, lost: 0, memory: 100 << 20 };

    fn said(seconds: u64, reading: Reading) -> Said {
        Guard::new(7, Duration::ZERO, BEFORE).look(Duration::from_secs(seconds), reading)
    }

    #[test]
    fn what_is_not_worse_proves_itself_after_ten_minutes() {
        assert_eq!(said(599, BEFORE), Said::Wait);
        assert_eq!(said(600, BEFORE), Said::Proven);
        let busier = Reading { received: 2_000_000, lost: 99, memory: 270 << 20, ..BEFORE };
        assert_eq!(said(600, busier), Said::Proven);
    }

    #[test]
    fn loss_and_memory_count_at_once() {
        let lossy = Reading { received: 1_009_900, lost: 101, ..BEFORE };
        assert_eq!(said(5, lossy), Said::Worse("loss rose from 0 to 10 in a thousand".to_owned()));
        let large = Reading { memory: 279 << 20, ..BEFORE };
        assert_eq!(said(5, large), Said::Worse("memory rose from 100 to 279 MiB".to_owned()));
    }

    #[test]
    fn overload_counts_when_it_lasts() {
        let mut guard = Guard::new(7, Duration::ZERO, BEFORE);
        let high = Reading { level: 1, ..BEFORE };
        let mut look = |seconds, reading| guard.look(Duration::from_secs(seconds), reading);
        assert_eq!(look(5, high), Said::Wait);
        assert_eq!(look(30, BEFORE), Said::Wait);
        assert_eq!(look(35, high), Said::Wait);
        assert_eq!(look(64, high), Said::Wait);
        assert_eq!(look(65, high), Said::Worse("overload rose from level 0 to 1".to_owned()));
    }
}
