//! What a storm of findings may tell: its beginning, that it grew, and that it got worse; then it is counted in silence.

use std::time::Duration;

use sekimori_wire::finding::Severity;

/// The bounds, from `timers.toml`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Storm {
    /// Notices of one incident's findings, in all.
    pub notices_max: u32,
    /// Growth by this factor is told, once.
    pub growth: u64,
    /// Incidents of one kind that begin within this time share the notices.
    pub together: Duration,
    /// From so many findings on the history says that they are counted in silence.
    pub many: u64,
}

/// What was told last.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Told {
    /// Notices so far.
    pub notices: u32,
    /// Findings at the last of them.
    pub findings: u64,
    /// The level at the last of them.
    pub level: Severity,
    /// Growth was told.
    pub grown: bool,
}

/// Why a notice is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// It began.
    Opened,
    /// Its level rose.
    Raised,
    /// There are many more findings.
    Grown,
}

impl Storm {
    /// Whether what begins goes untold, because others of its kind that began with it were told enough.
    pub const fn hushes(self, notices: u64, worst: Severity, level: Severity) -> bool {
        notices >= self.notices_max as u64 && level.level() <= worst.level()
    }

    /// Whether the incident's findings are told once more.
    pub const fn tells(self, told: &Told, findings: u64, level: Severity) -> Option<Why> {
        if told.notices >= self.notices_max || findings == 0 {
            return None;
        }
        if told.notices == 0 {
            return Some(Why::Opened);
        }
        if level.level() > told.level.level() {
            return Some(Why::Raised);
        }
        // The last notice is kept for a rise: growing is told once, and never with the last one left.
        let left = self.notices_max - told.notices;
        if !told.grown && left > 1 && findings >= told.findings.saturating_mul(self.growth) {
            return Some(Why::Grown);
        }
        None
    }
}

impl Told {
    /// After a notice.
    #[must_use]
    pub const fn after(self, why: Why, findings: u64, level: Severity) -> Self {
        Self {
            notices: self.notices.saturating_add(1),
            findings,
            level,
            grown: self.grown || matches!(why, Why::Grown),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STORM: Storm = Storm { notices_max: 3, growth: 10, together: Duration::from_secs(600), many: 100 };

    fn run(levels: impl Iterator<Item = u8>) -> Vec<(u64, Why)> {
        let (mut told, mut out) = (Told::default(), Vec::new());
        for (findings, level) in (1..).zip(levels) {
            let level = Severity::new(level).unwrap();
            if let Some(why) = STORM.tells(&told, findings, level) {
                out.push((findings, why));
                told = told.after(why, findings, level);
            }
        }
        out
    }

    #[test]
    fn a_thousand_findings_are_at_most_three_notices() {
        assert_eq!(run((0..1000).map(|_| 2)), [(1, Why::Opened), (10, Why::Grown)]);
        let worse = (0..1000).map(|n| if n < 500 { 2 } else { 4 });
        assert_eq!(run(worse), [(1, Why::Opened), (10, Why::Grown), (501, Why::Raised)]);
        let climbing = (0..1000_u16).map(|n| u8::try_from(n / 5).unwrap_or(4).min(4));
        assert_eq!(run(climbing), [(1, Why::Opened), (6, Why::Raised), (11, Why::Raised)]);
        let up_and_down = (0..1000_u16).map(|n| u8::try_from(n % 5).unwrap_or(0));
        assert_eq!(run(up_and_down).len(), 3);
    }
}
