//! Hysteresis: three failures in a row are a fault, two answers in a row its end.

use super::target::Outcome;

/// Failed probes in a row until a fault is one.
pub(crate) const FAILURES: u32 = 3;
/// Answers in a row until it is over.
pub(crate) const ANSWERS: u32 = 2;

/// How a server is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Level {
    /// Not known yet.
    #[default]
    Unknown,
    Up,
    /// It works, but not well or not for long.
    Degraded,
    Down,
}

impl Level {
    /// For people and programs.
    pub(crate) const fn key(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Up => "up",
            Self::Degraded => "degraded",
            Self::Down => "down",
        }
    }

    /// For counters.
    pub(crate) const fn number(self) -> u64 {
        match self {
            Self::Unknown => 0,
            Self::Up => 1,
            Self::Degraded => 2,
            Self::Down => 3,
        }
    }
}

/// The last probes of one server, as far as they decide.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Run {
    pub(super) level: Level,
    /// In a row: all well, at least an answer, not all well, no use at all.
    good: u32,
    answered: u32,
    bad: u32,
    failed: u32,
}

impl Run {
    /// After another probe.
    pub(super) const fn take(&mut self, outcome: &Outcome) {
        match outcome {
            Outcome::Up(_) => {
                (self.good, self.answered) = (self.good.saturating_add(1), self.answered.saturating_add(1));
                (self.bad, self.failed) = (0, 0);
            }
            Outcome::Degraded(_) => {
                (self.answered, self.bad) = (self.answered.saturating_add(1), self.bad.saturating_add(1));
                (self.good, self.failed) = (0, 0);
            }
            Outcome::Down(_) => {
                (self.bad, self.failed) = (self.bad.saturating_add(1), self.failed.saturating_add(1));
                (self.good, self.answered) = (0, 0);
            }
            Outcome::Unable(_) => return,
        }
        self.level = match self.level {
            _ if self.good >= ANSWERS => Level::Up,
            _ if self.failed >= FAILURES => Level::Down,
            Level::Down if self.answered >= ANSWERS => Level::Degraded,
            Level::Up | Level::Unknown if self.bad >= FAILURES => Level::Degraded,
            level @ (Level::Unknown | Level::Up | Level::Degraded | Level::Down) => level,
        };
    }

    /// The next probe may change the level: it is not waited for as long.
    pub(super) const fn is_open(&self) -> bool {
        match self.level {
            Level::Unknown => true,
            Level::Up => self.bad > 0,
            Level::Degraded => self.good > 0 || self.failed > 0,
            Level::Down => self.answered > 0 || self.failed < FAILURES,
        }
    }

    /// What failed until now failed for a reason that is over.
    pub(super) const fn forget_failures(&mut self) {
        (self.bad, self.failed) = (0, 0);
    }

    /// The last probes failed, as many in a row.
    pub(super) const fn failed(&self) -> u32 {
        self.failed
    }

    /// The last probes did not find all well, as many in a row.
    pub(super) const fn bad(&self) -> u32 {
        self.bad
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::watch::target::{Fault, FaultKind};

    /// `+` all well, `~` not well, `-` failed, `?` could not be asked; below each, the level after it.
    #[test]
    fn takes_three_to_fall_and_two_to_rise() {
        for (probes, levels) in [
            ("++", "?U"),
            ("+-+-+-", "??????"),
            ("++--+--+---+-+-++", "?UUUUUUUUUDDDDDDU"),
            ("---", "??D"),
            ("++~~~", "?UUUd"),
            ("++~-~", "?UUUd"),
            ("++~--", "?UUUd"),
            ("++~---", "?UUUdD"),
            ("---~~", "??DDd"),
            ("---~+", "??DDd"),
            ("---~~++", "??DDddU"),
            ("---~~---", "??DDdddD"),
            ("++-?-?-", "?UUUUUD"),
            ("---+?+", "??DDDU"),
        ] {
            let mut run = Run::default();
            let mut seen = String::new();
            for probe in probes.chars() {
                let fault = || Fault::new(FaultKind::NoAnswer, "");
                run.take(&match probe {
                    '+' => Outcome::Up(Duration::ZERO),
                    '~' => Outcome::Degraded(fault()),
                    '-' => Outcome::Down(fault()),
                    _ => Outcome::Unable(String::new()),
                });
                seen.push(match run.level {
                    Level::Unknown => '?',
                    Level::Up => 'U',
                    Level::Degraded => 'd',
                    Level::Down => 'D',
                });
            }
            assert_eq!(seen, levels, "{probes}");
        }
    }
}
