//! How regular a series of contacts is: RITA's beacon score (v5, `analysis/beacons.go`), kept up while they come.
//!
//! RITA looks back at a day; here the last contacts speak for timing and size, and hourly counts for the day. Its scores of
//! histogram and duration need hours: until then the score is the mean of those that can be judged.

use std::time::Duration;

use sekimori_wire::time::Timestamp;

/// Contacts that timing and sizes are judged by. More would make old rhythms hide a new one.
const POINTS_MAX: usize = 64;
/// Hours that the histogram has.
const HOURS: usize = 24;
/// Contacts closer together than this are one: RITA counts one a second. What asks in parallel would else look like a clock.
const APART_SECONDS: f64 = 1.0;
/// Intervals before anything is said; RITA takes three, whose quartiles mean nothing.
const INTERVALS_MIN: usize = 5;
/// A quartile range below this share of the median is no skew: RITA's ten seconds, made to fit intervals of any length.
const FLAT: f64 = 0.1;
/// The same for sizes: RITA's ten bytes.
const FLAT_BYTES: f64 = 10.0;
/// Histogram and duration are judged from here on, as RITA does with duration.
const HOURS_MIN: u64 = 6;
/// The longest run of hours that RITA asks for.
const RUN_HOURS: f64 = 12.0;

/// Contacts: the last ones, and how many in each of the last hours.
#[derive(Debug)]
pub(super) struct Series {
    points: Vec<Point>,
    hours: [u32; HOURS],
    /// The hour, counted from 1970, that was counted last.
    hour: u64,
    first: Timestamp,
    last: Timestamp,
    /// All contacts.
    pub(super) count: u64,
}

#[derive(Clone, Copy, Debug)]
struct Point {
    at: Timestamp,
    bytes: u64,
}

/// The sub-scores, each 0 to 1.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Score {
    pub(super) timing: f64,
    pub(super) size: f64,
    /// Judged from six hours on.
    pub(super) histogram: Option<f64>,
    /// The same.
    pub(super) duration: Option<f64>,
    /// Mean of those judged.
    pub(super) total: f64,
    /// Seconds between contacts, and how far they are from that.
    pub(super) interval: Spread,
}

/// Median and median absolute deviation.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Spread {
    pub(super) median: f64,
    pub(super) deviation: f64,
}

impl Series {
    pub(super) const fn new(at: Timestamp) -> Self {
        Self { points: Vec::new(), hours: [0; HOURS], hour: hour_of(at), first: at, last: at, count: 0 }
    }

    /// One more contact. They may come out of order, for a connection is counted when it ends.
    pub(super) fn push(&mut self, at: Timestamp, bytes: u64) {
        let hour = hour_of(at);
        // Hours that passed since are empty; a whole day of them empties all.
        for passed in 1..=hour.saturating_sub(self.hour).min(HOURS as u64) {
            if let Some(bin) = self.hours.get_mut(bin_of(self.hour + passed)) {
                *bin = 0;
            }
        }
        self.hour = self.hour.max(hour);
        if self.hour - hour < HOURS as u64
            && let Some(bin) = self.hours.get_mut(bin_of(hour))
        {
            *bin += 1;
        }
        self.first = self.first.min(at);
        self.last = self.last.max(at);
        self.count += 1;
        let place = self.points.partition_point(|point| point.at <= at);
        self.points.insert(place, Point { at, bytes });
        if self.points.len() > POINTS_MAX {
            self.points.remove(0);
        }
    }

    /// From the first contact to the last.
    pub(super) fn span(&self) -> Duration {
        self.last.since(self.first)
    }

    /// Of the last contacts.
    pub(super) fn mean_bytes(&self) -> f64 {
        let sum = self.points.iter().fold(0_u64, |sum, point| sum.saturating_add(point.bytes));
        count(sum) / count(self.points.len().max(1) as u64)
    }

    pub(super) const fn first(&self) -> Timestamp {
        self.first
    }

    /// The score; none as long as there are too few intervals.
    pub(super) fn score(&self) -> Option<Score> {
        let pairs = self.points.iter().zip(self.points.iter().skip(1));
        let mut intervals: Vec<f64> = pairs
            .map(|(a, b)| b.at.since(a.at).as_secs_f64())
            .filter(|seconds| *seconds >= APART_SECONDS)
            .collect();
        let mut sizes: Vec<f64> = self.points.iter().map(|point| count(point.bytes)).collect();
        if intervals.len() < INTERVALS_MIN {
            return None;
        }
        intervals.sort_by(f64::total_cmp);
        sizes.sort_by(f64::total_cmp);
        let interval = spread(&intervals);
        let timing = f64::midpoint(evenness(&intervals, FLAT * interval.median), steadiness(interval, 1.0));
        let size = f64::midpoint(evenness(&sizes, FLAT_BYTES), steadiness(spread(&sizes), 0.0));
        let (histogram, duration) = self.over_hours().unzip();
        let judged: Vec<f64> =
            [Some(timing), Some(size), histogram, duration].into_iter().flatten().collect();
        let total = judged.iter().sum::<f64>() / count(judged.len() as u64);
        Some(Score { timing, size, histogram, duration, total, interval })
    }

    /// Histogram and duration.
    fn over_hours(&self) -> Option<(f64, f64)> {
        let hours = self.span().as_secs() / 3_600 + 1;
        if hours < HOURS_MIN {
            return None;
        }
        let seen = usize::try_from(hours).unwrap_or(HOURS).min(HOURS);
        // The last `seen` hours, oldest first.
        let bins: Vec<f64> = (0..seen as u64)
            .rev()
            .filter_map(|ago| self.hours.get(bin_of(self.hour.saturating_sub(ago))))
            .map(|bin| f64::from(*bin))
            .collect();
        let mean = bins.iter().sum::<f64>() / count(bins.len() as u64);
        let variance = bins.iter().map(|bin| (bin - mean).powi(2)).sum::<f64>() / count(bins.len() as u64);
        let even = if mean > 0.0 { (1.0 - variance.sqrt() / mean).max(0.0) } else { 0.0 };
        let run = bins.split(|bin| *bin <= 0.0).map(<[f64]>::len).max().unwrap_or_default();
        let coverage = self.span().as_secs_f64() / (count(HOURS as u64) * 3_600.0);
        let duration = coverage.max(count(run as u64) / RUN_HOURS).min(1.0);
        Some((even.max(two_heights(&bins)), duration))
    }
}

/// RITA's other histogram score, for contacts with two rates: the share of the hours that have one of the two commonest
/// heights. Needs eleven hours that have any.
fn two_heights(bins: &[f64]) -> f64 {
    let full: Vec<f64> = bins.iter().copied().filter(|bin| *bin > 0.0).collect();
    if full.len() < 11 {
        return 0.0;
    }
    let highest = full.iter().copied().fold(0.0, f64::max);
    let width = (0.05 * highest).ceil().max(1.0);
    let mut heights: Vec<u64> = Vec::new();
    for bin in &full {
        heights.push((bin / width).floor().to_bits());
    }
    heights.sort_unstable();
    let mut runs: Vec<usize> = heights.chunk_by(|a, b| a == b).map(<[u64]>::len).collect();
    runs.sort_unstable_by(|a, b| b.cmp(a));
    let two: usize = runs.iter().take(2).sum();
    (count(two as u64) / count((full.len() - 1) as u64)).min(1.0)
}

/// 1 − |Bowley's skew|: contacts that are early as often as late. `flat`: a quartile range below which there is no skew.
fn evenness(sorted: &[f64], flat: f64) -> f64 {
    let [low, middle, high] = [1, 2, 3].map(|quarter| quantile(sorted, quarter));
    let range = high - low;
    let degenerate = range < flat || range <= 0.0 || middle <= low || middle >= high;
    if degenerate { 1.0 } else { 1.0 - ((low + high - 2.0 * middle) / range).abs() }
}

/// (median − MAD) ÷ median, not below 0; `default` where the median is next to nothing.
fn steadiness(spread: Spread, default: f64) -> f64 {
    // Below a millisecond between contacts, or a byte, nothing can be said.
    if spread.median < 0.001 {
        default
    } else {
        ((spread.median - spread.deviation) / spread.median).max(0.0)
    }
}

fn spread(sorted: &[f64]) -> Spread {
    let median = quantile(sorted, 2);
    let mut distances: Vec<f64> = sorted.iter().map(|value| (value - median).abs()).collect();
    distances.sort_by(f64::total_cmp);
    Spread { median, deviation: quantile(&distances, 2) }
}

/// The quartile, between the two values nearest to it.
fn quantile(sorted: &[f64], quarter: usize) -> f64 {
    let at = sorted.len().saturating_sub(1) * quarter;
    let value = |index: usize| sorted.get(index).or_else(|| sorted.last()).copied().unwrap_or_default();
    let (below, part) = (at / 4, count((at % 4) as u64) / 4.0);
    value(below) * (1.0 - part) + value(below + 1) * part
}

/// Counts here are far below 2^53, where an `f64` is exact.
#[expect(clippy::cast_precision_loss, reason = "counts of contacts, bytes of one contact")]
pub(super) const fn count(number: u64) -> f64 {
    number as f64
}

const fn hour_of(at: Timestamp) -> u64 {
    at.secs() / 3_600
}

fn bin_of(hour: u64) -> usize {
    usize::try_from(hour % HOURS as u64).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn series(times: impl IntoIterator<Item = f64>, bytes: impl Fn(u64) -> u64) -> Series {
        let start = Timestamp::from_secs(1_700_000_000);
        let mut series = Series::new(start);
        for (n, seconds) in (0..).zip(times) {
            series.push(start.plus(Duration::from_secs_f64(seconds)), bytes(n));
        }
        series
    }

    #[test]
    fn a_clock_scores_one_and_bursts_do_not() {
        let clock = series((0..20_u32).map(|n| f64::from(n) * 60.0), |_| 300).score().unwrap();
        assert!(clock.total > 0.99 && clock.histogram.is_none(), "{clock:?}");
        assert!((clock.interval.median - 60.0).abs() < 1e-6);
        // A person reads: several connections at once, then nothing for a while.
        let mut at = 0.0;
        let times: Vec<f64> = (0..60_u32)
            .map(|n| {
                at += if n % 5 == 4 { 4.0 + f64::from(n * n * 37 % 170) } else { 0.3 };
                at
            })
            .collect();
        let person = series(times, |n| 300 + n * n * 37 % 4_000).score().unwrap();
        assert!(person.timing < 0.8 && person.total < 0.7, "{person:?}");
    }

    #[test]
    fn jitter_lowers_the_score_a_little() {
        // Cobalt Strike's jitter of 50 %: between half and all of a minute.
        let mut at = 0.0;
        let times = (0..60_u32).map(|n| {
            at += 30.0 + f64::from(n * 17 % 31);
            at
        });
        let score = series(times.collect::<Vec<_>>(), |_| 300).score().unwrap();
        assert!((0.8..0.98).contains(&score.timing), "{score:?}");
    }

    #[test]
    fn hours_are_judged_when_there_are_enough() {
        let day = series((0..288_u32).map(|n| f64::from(n) * 300.0), |_| 300).score().unwrap();
        assert!(day.histogram.unwrap() > 0.9 && day.duration.unwrap() > 0.95, "{day:?}");
        let mornings = series((0..80_u32).map(|n| f64::from(n / 20) * 18_000.0 + f64::from(n % 20)), |_| 300);
        assert!(mornings.score().unwrap().histogram.unwrap() < 0.5);
    }
}
