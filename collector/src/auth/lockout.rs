//! How long somebody must wait after wrong passwords: longer each time, and never for good.

use std::time::Duration;

use sekimori_wire::time::Timestamp;

/// Failures in a row, and the last of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Strikes {
    /// How many.
    pub count: u32,
    /// When the last was.
    pub last: Timestamp,
}

/// How waiting grows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ladder {
    /// Failures without a wait.
    free: u32,
    /// The first wait; each further failure doubles it.
    first: Duration,
    /// The longest wait.
    longest: Duration,
    /// After so long without a failure all is forgotten.
    forget: Duration,
}

/// For one account, from wherever the guesses come.
pub const ACCOUNT: Ladder = Ladder {
    free: 10,
    first: Duration::from_secs(30),
    longest: Duration::from_secs(15 * 60),
    forget: Duration::from_secs(24 * 3600),
};
/// For one address (of IPv6: one network of 64 bits), whatever the accounts.
pub const ADDRESS: Ladder = Ladder {
    free: 30,
    first: Duration::from_secs(30),
    longest: Duration::from_secs(15 * 60),
    forget: Duration::from_secs(3600),
};

impl Ladder {
    /// How long to wait from now on; `None`: not at all.
    pub fn wait(&self, strikes: Strikes, now: Timestamp) -> Option<Duration> {
        let beyond = strikes.count.checked_sub(self.free)?;
        let wait = self.first.saturating_mul(2_u32.saturating_pow(beyond)).min(self.longest);
        let left = wait.saturating_sub(now.since(strikes.last));
        (!left.is_zero()).then_some(left)
    }

    /// One more failure.
    pub fn strike(&self, before: Option<Strikes>, now: Timestamp) -> Strikes {
        let count = before.filter(|before| self.counts(*before, now)).map_or(0, |before| before.count);
        Strikes { count: count.saturating_add(1), last: now }
    }

    /// Whether failures are remembered still.
    pub fn counts(&self, strikes: Strikes, now: Timestamp) -> bool {
        now.since(strikes.last) < self.forget
    }

    /// Failures before this are forgotten at `now`.
    pub const fn forgotten_before(&self, now: Timestamp) -> Timestamp {
        now.minus(self.forget)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waiting_grows_to_a_limit_and_ends() {
        let at = Timestamp::from_secs(1_800_000_000);
        let wait = |count| ACCOUNT.wait(Strikes { count, last: at }, at).map(|wait| wait.as_secs());
        for (count, seconds) in [
            (0, None),
            (9, None),
            (10, Some(30)),
            (11, Some(60)),
            (12, Some(120)),
            (14, Some(480)),
            (15, Some(900)),
            (u32::MAX, Some(900)),
        ] {
            assert_eq!(wait(count), seconds, "{count}");
        }
        let strikes = Strikes { count: u32::MAX, last: at };
        assert!(ACCOUNT.wait(strikes, at.plus(Duration::from_secs(899))).is_some());
        assert_eq!(ACCOUNT.wait(strikes, at.plus(Duration::from_secs(900))), None);
    }

    #[test]
    fn failures_add_up_until_they_are_forgotten() {
        let at = Timestamp::from_secs(1_800_000_000);
        let one = ADDRESS.strike(None, at);
        assert_eq!(one, Strikes { count: 1, last: at });
        let later = at.plus(Duration::from_secs(3599));
        assert_eq!(ADDRESS.strike(Some(one), later), Strikes { count: 2, last: later });
        let forgotten = at.plus(Duration::from_secs(3600));
        assert_eq!(ADDRESS.strike(Some(one), forgotten).count, 1);
        assert_eq!(ADDRESS.strike(Some(Strikes { count: u32::MAX, last: at }), at).count, u32::MAX);
    }

    #[test]
    fn a_clock_that_goes_back_ends_nothing_early() {
        let strikes = Strikes { count: 10, last: Timestamp::from_secs(2000) };
        assert_eq!(ACCOUNT.wait(strikes, Timestamp::from_secs(1000)), Some(Duration::from_secs(30)));
    }
}
