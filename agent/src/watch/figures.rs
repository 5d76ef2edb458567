//! What is counted of each server, for the health record: of this, a report makes the availability.

use std::time::Duration;

use super::level::Level;

/// Since the agent started.
#[derive(Debug)]
pub(super) struct Figures {
    counted: Duration,
    up: Duration,
    down: Duration,
    blocked: Duration,
    excused: Duration,
    probes: u64,
    failed: u64,
    unable: u64,
    findings: u64,
    took: Duration,
}

impl Figures {
    pub(super) const fn new(now: Duration) -> Self {
        Self {
            counted: now,
            up: Duration::ZERO,
            down: Duration::ZERO,
            blocked: Duration::ZERO,
            excused: Duration::ZERO,
            probes: 0,
            failed: 0,
            unable: 0,
            findings: 0,
            took: Duration::ZERO,
        }
    }

    pub(super) const fn probed(&mut self) {
        self.probes += 1;
    }

    pub(super) const fn failed(&mut self) {
        self.failed += 1;
    }

    pub(super) const fn unable(&mut self) {
        self.unable += 1;
    }

    pub(super) const fn told(&mut self) {
        self.findings += 1;
    }

    pub(super) const fn took(&mut self, took: Duration) {
        self.took = took;
    }

    /// Counts the time up to now where it belongs; while nothing is known, nowhere.
    pub(super) fn pass(&mut self, now: Duration, level: Level, (is_blocked, is_excused): (bool, bool)) {
        let passed = now.saturating_sub(self.counted);
        self.counted = now;
        match (level, is_excused, is_blocked) {
            (Level::Unknown, ..) => {}
            (Level::Up | Level::Degraded, ..) => self.up += passed,
            (Level::Down, true, _) => self.excused += passed,
            (Level::Down, false, true) => self.blocked += passed,
            (Level::Down, false, false) => self.down += passed,
        }
    }

    /// Names after `watch.NAME.`, and values.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&'static str, u64)> {
        [
            ("probes", self.probes),
            ("failed", self.failed),
            ("unable", self.unable),
            ("findings", self.findings),
            ("up_seconds", self.up.as_secs()),
            ("down_seconds", self.down.as_secs()),
            ("blocked_seconds", self.blocked.as_secs()),
            ("excused_seconds", self.excused.as_secs()),
            ("took_us", u64::try_from(self.took.as_micros()).unwrap_or(u64::MAX)),
        ]
        .into_iter()
    }
}
