//! The machine's clock, read in one place.

use std::time::{Duration, Instant, SystemTime};

use sekimori_wire::time::Timestamp;

mod kernel;

pub(crate) use kernel::is_synchronised;

/// A step back by so much cannot be waited out.
const STEP_BACK: Duration = Duration::from_secs(30);

/// Whether the clock is set back. What the sensors call now never goes back: windows and timeouts would stand until the clock
/// has come up to where it was.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Steps {
    wall: Timestamp,
    at: Instant,
}

impl Steps {
    /// Looks from now on.
    pub(crate) const fn from(wall: Timestamp, at: Instant) -> Self {
        Self { wall, at }
    }

    /// By how much it was set back since the last look, if that is too much.
    pub(crate) fn back(&mut self, wall: Timestamp, at: Instant) -> Option<Duration> {
        let expected = self.wall.plus(at.saturating_duration_since(self.at));
        *self = Self { wall, at };
        Some(expected.since(wall)).filter(|back| *back >= STEP_BACK)
    }
}

/// Now; 1970 if the clock stands before that.
pub(crate) fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    Timestamp::ZERO.plus(since)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_long_step_back_is_told_and_once() {
        let (began, start) = (Instant::now(), Timestamp::from_secs(1_700_000_000));
        let after = |seconds| Duration::from_secs(seconds);
        let mut steps = Steps::from(start, began);
        assert_eq!(steps.back(start.plus(after(2)), began + after(2)), None, "as it should be");
        assert_eq!(steps.back(start.minus(after(20)), began + after(4)), None, "is waited out");
        assert_eq!(steps.back(start.plus(after(86_400)), began + after(6)), None, "ahead");
        assert_eq!(steps.back(start, began + after(8)), Some(after(86_402)));
        assert_eq!(steps.back(start.plus(after(2)), began + after(10)), None, "told once");
    }
}
