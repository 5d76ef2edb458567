//! Frames over time in a bounded number of steps: when the capture outgrows them, the steps become longer.

use std::collections::BTreeMap;

use sekimori_wire::time::Timestamp;

/// Steps at most: a line on a terminal.
const STEPS_MAX: u64 = 72;

const MS: u64 = 1_000_000;
const SECOND: u64 = 1000 * MS;
const HOUR: u64 = 3600 * SECOND;
const DAY: u64 = 24 * HOUR;

/// Lengths of a step, each a multiple of the one before, so that steps can be put together. The last holds all of time
/// in fewer than [`STEPS_MAX`].
const LENGTHS: [(u64, &str); 21] = [
    (MS, "1 ms"),
    (2 * MS, "2 ms"),
    (10 * MS, "10 ms"),
    (20 * MS, "20 ms"),
    (100 * MS, "100 ms"),
    (200 * MS, "200 ms"),
    (SECOND, "1 s"),
    (2 * SECOND, "2 s"),
    (10 * SECOND, "10 s"),
    (20 * SECOND, "20 s"),
    (60 * SECOND, "1 min"),
    (120 * SECOND, "2 min"),
    (600 * SECOND, "10 min"),
    (1200 * SECOND, "20 min"),
    (HOUR, "1 h"),
    (4 * HOUR, "4 h"),
    (12 * HOUR, "12 h"),
    (DAY, "1 day"),
    (10 * DAY, "10 days"),
    (100 * DAY, "100 days"),
    (10_000 * DAY, "10000 days"),
];

/// Frames and bytes of each step.
#[derive(Debug, Default)]
pub(super) struct Timeline {
    /// Which of [`LENGTHS`].
    length: usize,
    /// By time divided by the length.
    steps: BTreeMap<u64, (u64, u64)>,
}

impl Timeline {
    pub(super) fn add(&mut self, at: Timestamp, bytes: u32) {
        let (frames, sum) = self.steps.entry(at.nanos() / self.length()).or_default();
        *frames += 1;
        *sum += u64::from(bytes);
        while self.span() > STEPS_MAX && self.length + 1 < LENGTHS.len() {
            let before = self.length();
            self.length += 1;
            let factor = self.length() / before;
            for (step, (frames, bytes)) in core::mem::take(&mut self.steps) {
                let (all_frames, all_bytes) = self.steps.entry(step / factor).or_default();
                *all_frames += frames;
                *all_bytes += bytes;
            }
        }
    }

    fn length(&self) -> u64 {
        LENGTHS.get(self.length).map_or(u64::MAX, |(length, _name)| *length)
    }

    fn span(&self) -> u64 {
        let (first, last) = (self.steps.keys().next(), self.steps.keys().next_back());
        first.zip(last).map_or(0, |(first, last)| last - first + 1)
    }

    /// How long a step is, in words.
    pub(super) fn step(&self) -> &'static str {
        LENGTHS.get(self.length).map_or("", |(_length, name)| name)
    }

    /// Frames and bytes of every step from the first to the last, empty ones too.
    pub(super) fn steps(&self) -> (Vec<u64>, Vec<u64>) {
        let first = self.steps.keys().next().copied().unwrap_or_default();
        let all = (first..first + self.span()).map(|step| self.steps.get(&step).copied().unwrap_or_default());
        all.unzip()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_grow_with_the_capture_whatever_the_order() {
        for pair in LENGTHS.windows(2) {
            assert!(pair[1].0.is_multiple_of(pair[0].0), "{}", pair[1].1);
        }
        let last = LENGTHS[LENGTHS.len() - 1].0;
        assert!(u64::MAX / last < STEPS_MAX);
        let times = [5_000, 3_000, 0, 250, 9_000, 100_000].map(|ms| Timestamp::from_nanos(ms * MS));
        let mut forward = Timeline::default();
        let mut backward = Timeline::default();
        times.iter().for_each(|at| forward.add(*at, 10));
        times.iter().rev().for_each(|at| backward.add(*at, 10));
        assert_eq!(forward.steps(), backward.steps());
        assert_eq!(forward.step(), "2 s");
        let (frames, bytes) = forward.steps();
        assert_eq!((frames.len(), frames[0], frames.iter().sum::<u64>()), (51, 2, 6));
        assert_eq!(bytes.iter().sum::<u64>(), 60);
        forward.add(Timestamp::from_nanos(u64::MAX), 1);
        assert!(forward.steps().0.len() <= 72);
        assert_eq!(Timeline::default().steps().0.len(), 0);
    }
}
