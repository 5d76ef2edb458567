//! One number an hour: what it usually is at this hour, and how much more would be unusual.
//!
//! Values are kept as logarithms, because traffic varies by factors, not by amounts. Each slot of the calendar holds the
//! values of its last hours exactly, so that median and MAD (median absolute deviation) are exact over a sliding window, a
//! few odd hours move neither, and old habits are forgotten. A slot that has too few values yet is replaced by the hour of the
//! day, that by all hours.

use super::{Pack, Unpack, hour_of_week};

/// |x − median| / (1.4826·MAD) above this is unusual: Iglewicz and Hoaglin's limit for modified z-scores, here over logarithms.
/// 3.5 · 1.4826, in thousandths.
const LIMIT_PERMILLE: u64 = 5_189;
/// Least MAD assumed, half of a doubling: neighbouring working hours of one office differ by that much, and the MAD of a
/// handful of weeks is often far too small by chance. It makes six times the usual the least that can be unusual.
const MAD_FLOOR: u16 = UNIT / 2;
/// A doubling.
const UNIT: u16 = 256;
/// Nothing is judged before two weeks: each hour of the week was then seen twice, each hour of the day fourteen times.
const WARM_UP_HOURS: u64 = 14 * 24;
/// Of so many suspicious hours one is learned: poison resistance (the ratio of Slips' learning rates, 0.5 to 0.005).
const SUSPICIOUS_PER_LESSON: u32 = 100;
/// Values of one hour of the day: two working weeks and their weekends.
const DAY_DEPTH: usize = 14;
/// Of which so many are needed.
const DAY_MIN: usize = 10;
/// Values of any hour: four days.
const ALL_DEPTH: usize = 96;
/// Of which so many are needed: a day and a night, twice.
const ALL_MIN: usize = 48;

/// Which hours are alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Calendar {
    /// The same hour of the same day of the week: 168 slots of six weeks, four needed.
    Week,
    /// The same hour of a working day or of a weekend: 48 slots of eight days, six needed. A quarter of the memory.
    DayKind,
}

impl Calendar {
    const fn slots(self) -> usize {
        match self {
            Self::Week => 168,
            Self::DayKind => 48,
        }
    }

    const fn depth(self) -> usize {
        match self {
            Self::Week => 6,
            Self::DayKind => 8,
        }
    }

    const fn needed(self) -> usize {
        match self {
            Self::Week => 4,
            Self::DayKind => 6,
        }
    }

    fn slot(self, hour: u64) -> usize {
        let of_week = hour_of_week(hour);
        let slot = match self {
            Self::Week => of_week,
            Self::DayKind => of_week % 24 + if of_week >= 5 * 24 { 24 } else { 0 },
        };
        usize::try_from(slot).unwrap_or_default()
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Week => "hour of the week",
            Self::DayKind => "hour of a working day or weekend",
        }
    }
}

/// The last values of each of some slots.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Level {
    depth: usize,
    /// `depth` places for each slot.
    values: Box<[u16]>,
    /// Values ever put into each slot, as far as a byte counts: whole rounds are taken off.
    taken: Box<[u8]>,
}

impl Level {
    fn new(slots: usize, depth: usize) -> Self {
        Self { depth, values: vec![0; slots * depth].into(), taken: vec![0; slots].into() }
    }

    fn push(&mut self, slot: usize, value: u16) {
        let Some(taken) = self.taken.get_mut(slot) else { return };
        let place = slot * self.depth + usize::from(*taken) % self.depth;
        if let Some(old) = self.values.get_mut(place) {
            *old = value;
        }
        *taken += 1;
        if usize::from(*taken) == 2 * self.depth {
            *taken = u8::try_from(self.depth).unwrap_or(u8::MAX);
        }
    }

    /// The values of a slot, in no order of time.
    fn of(&self, slot: usize) -> &[u16] {
        let count = self.taken.get(slot).map_or(0, |taken| usize::from(*taken).min(self.depth));
        let from = slot * self.depth;
        self.values.get(from..from + count).unwrap_or_default()
    }

    fn pack(&self, out: &mut Pack) {
        for slot in 0..self.taken.len() {
            let values = self.of(slot);
            let taken = self.taken.get(slot).copied().map_or(0, usize::from);
            let oldest = if values.len() < self.depth { 0 } else { taken % self.depth };
            out.u8(u8::try_from(values.len()).unwrap_or_default());
            let (newer, older) = values.split_at_checked(oldest).unwrap_or((values, &[]));
            older.iter().chain(newer).for_each(|value| out.u16(*value));
        }
    }

    fn unpack(&mut self, from: &mut Unpack<'_>) -> Option<()> {
        for slot in 0..self.taken.len() {
            let count = usize::from(from.u8()?);
            if count > self.depth {
                return None;
            }
            for _ in 0..count {
                self.push(slot, from.u16()?);
            }
        }
        Some(())
    }
}

/// What an hour may reach.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Expected {
    /// What it was compared with.
    pub(crate) level: &'static str,
    /// Values behind it.
    pub(crate) samples: usize,
    /// The usual.
    pub(crate) median: u64,
    /// MAD as a factor, in percent: 150 is "by half more or less".
    pub(crate) spread_percent: u64,
    /// More than this is unusual.
    pub(crate) limit: u64,
}

/// One number an hour.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Series {
    calendar: Calendar,
    /// Made with the first value: most hosts of a busy network, and all forged ones, are gone before their first hour is over.
    levels: Option<Box<Levels>>,
    /// The first hour that was learned.
    first: Option<u64>,
    suspicious: u32,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Levels {
    fine: Level,
    day: Level,
    all: Level,
}

impl Levels {
    fn new(calendar: Calendar) -> Self {
        Self {
            fine: Level::new(calendar.slots(), calendar.depth()),
            day: Level::new(24, DAY_DEPTH),
            all: Level::new(1, ALL_DEPTH),
        }
    }

    const fn each(&self) -> [&Level; 3] {
        [&self.fine, &self.day, &self.all]
    }
}

impl Series {
    /// Nothing is known.
    pub(crate) const fn new(calendar: Calendar) -> Self {
        Self { calendar, levels: None, first: None, suspicious: 0 }
    }

    /// The value of an hour that is over. What is above `expected` teaches a hundred times more slowly.
    pub(crate) fn learn(&mut self, hour: u64, value: u64, expected: Option<&Expected>) {
        if expected.is_some_and(|expected| value > expected.limit) {
            self.suspicious = self.suspicious.wrapping_add(1);
            if !self.suspicious.is_multiple_of(SUSPICIOUS_PER_LESSON) {
                return;
            }
        }
        self.first.get_or_insert(hour);
        let log = log(value);
        let levels = self.levels.get_or_insert_with(|| Levels::new(self.calendar).into());
        levels.fine.push(self.calendar.slot(hour), log);
        levels.day.push(day_slot(hour), log);
        levels.all.push(0, log);
    }

    /// What this hour may reach: above the usual by the limit and by `floor`. `None` while it warms up.
    pub(crate) fn expected(&self, hour: u64, floor: u64) -> Option<Expected> {
        if hour.saturating_sub(self.first?) < WARM_UP_HOURS {
            return None;
        }
        let levels = self.levels.as_ref()?;
        let fine = levels.fine.of(self.calendar.slot(hour));
        let day = levels.day.of(day_slot(hour));
        let all = levels.all.of(0);
        let (level, values) = if fine.len() >= self.calendar.needed() {
            (self.calendar.name(), fine)
        } else if day.len() >= DAY_MIN {
            ("hour of the day", day)
        } else if all.len() >= ALL_MIN {
            ("all hours", all)
        } else {
            return None;
        };
        let median = median(&mut values.to_vec());
        let deviations = |value: &u16| value.abs_diff(median);
        let mad = self::median(&mut values.iter().map(deviations).collect::<Vec<_>>()).max(MAD_FLOOR);
        let above = u64::from(mad) * LIMIT_PERMILLE / 1_000;
        let unusual = exponential(u64::from(median) + above);
        let usual = exponential(median.into());
        Some(Expected {
            level,
            samples: values.len(),
            median: usual,
            spread_percent: exponential_percent(mad),
            limit: unusual.max(usual.saturating_add(floor)),
        })
    }

    /// Two weeks are over.
    pub(crate) fn is_ripe(&self, hour: u64) -> bool {
        self.first.is_some_and(|first| hour.saturating_sub(first) >= WARM_UP_HOURS)
    }

    /// As bytes.
    pub(crate) fn pack(&self, out: &mut Pack) {
        out.u64(self.first.unwrap_or(u64::MAX));
        out.u32(self.suspicious);
        match &self.levels {
            Some(levels) => levels.each().into_iter().for_each(|level| level.pack(out)),
            None => Levels::new(self.calendar).each().into_iter().for_each(|level| level.pack(out)),
        }
    }

    /// From bytes.
    pub(crate) fn unpack(calendar: Calendar, from: &mut Unpack<'_>) -> Option<Self> {
        let mut series = Self::new(calendar);
        series.first = Some(from.u64()?).filter(|first| *first != u64::MAX);
        series.suspicious = from.u32()?;
        let mut levels = Levels::new(calendar);
        levels.fine.unpack(from)?;
        levels.day.unpack(from)?;
        levels.all.unpack(from)?;
        // Whatever was learned is also among the values of any hour.
        series.levels = (!levels.all.of(0).is_empty()).then(|| levels.into());
        Some(series)
    }
}

fn day_slot(hour: u64) -> usize {
    usize::try_from(hour % 24).unwrap_or_default()
}

/// log2(1 + value) in 256ths, linear between powers: monotone, the same on every machine, exact to a twelfth of a doubling.
fn log(value: u64) -> u16 {
    let value = value.saturating_add(1);
    let whole = value.ilog2();
    let rest = u128::from(value) - (1_u128 << whole);
    let part = u16::try_from((rest << 8) >> whole).unwrap_or_default();
    u16::try_from(whole).unwrap_or_default() * UNIT + part
}

/// The value of such a logarithm.
fn exponential(log: u64) -> u64 {
    let (whole, part) = (log >> 8, log & 0xff);
    if whole >= 63 {
        return u64::MAX;
    }
    let value = ((256 + u128::from(part)) << whole) >> 8;
    u64::try_from(value).unwrap_or(u64::MAX).saturating_sub(1)
}

fn exponential_percent(log: u16) -> u64 {
    let (whole, part) = (u64::from(log >> 8), u64::from(log & 0xff));
    if whole >= 50 { u64::MAX } else { (((256 + part) * 100) << whole) >> 8 }
}

/// The middle value; the lower one of two.
fn median(values: &mut [u16]) -> u16 {
    values.sort_unstable();
    values.get(values.len().saturating_sub(1) / 2).copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Weeks of an office: busy by day, quiet at night.
    fn office(calendar: Calendar, weeks: u64) -> Series {
        let mut series = Series::new(calendar);
        for hour in 0..weeks * 168 {
            series.learn(hour, usual(hour), None);
        }
        series
    }

    fn usual(hour: u64) -> u64 {
        let busy = (8..18).contains(&(hour % 24)) && hour_of_week(hour) < 120;
        if busy { 900_000 + hour * 7_919 % 300_000 } else { 4_000 + hour * 31 % 900 }
    }

    #[test]
    fn logarithms_rise_and_come_back() {
        let mut last = 0;
        for value in [0, 1, 2, 3, 7, 100, 1_000, 1_023, 1_024, 1 << 30, (1 << 40) + 12_345, u64::MAX] {
            let now = log(value);
            assert!(now >= last);
            last = now;
            let back = exponential(now.into());
            assert!(value == u64::MAX || back <= value && value - back <= value / 200 + 1, "{value} {back}");
        }
    }

    #[test]
    fn nothing_is_expected_before_two_weeks() {
        let series = office(Calendar::Week, 1);
        assert_eq!(series.expected(170, 0), None);
        assert!(!series.is_ripe(200));
        let series = office(Calendar::Week, 2);
        assert_eq!(series.expected(2 * 168 + 10, 0).unwrap().level, "hour of the day");
        let series = office(Calendar::Week, 5);
        assert_eq!(series.expected(5 * 168 + 10, 0).unwrap().level, "hour of the week");
        let series = office(Calendar::DayKind, 3);
        assert_eq!(series.expected(3 * 168 + 10, 0).unwrap().level, "hour of a working day or weekend");
    }

    #[test]
    fn the_hour_decides_what_is_unusual() {
        let series = office(Calendar::Week, 5);
        // Hour 0 of 1970 is a Thursday's; five weeks on, three in the morning and ten in the morning of the same day.
        let (night, day) = (series.expected(840 + 3, 0).unwrap(), series.expected(840 + 10, 0).unwrap());
        assert!(night.limit < 60_000 && night.limit > 4_900, "{night:?}");
        assert!(day.limit > 4_000_000, "{day:?}");
        assert_eq!(series.expected(840 + 3, 1_000_000).unwrap().limit, night.median + 1_000_000);
    }

    #[test]
    fn what_is_suspicious_hardly_teaches() {
        let mut series = office(Calendar::Week, 5);
        let before = series.expected(843, 0).unwrap();
        for week in 5..25 {
            let hour = week * 168 + 3;
            let expected = series.expected(hour, 0);
            series.learn(hour, 1 << 30, expected.as_ref());
        }
        assert_eq!(series.expected(25 * 168 + 3, 0), Some(before), "twenty weeks of patience change nothing");
        // A change that is not suspicious is followed.
        for week in 25..31 {
            let hour = week * 168 + 3;
            series.learn(hour, 9_000, series.expected(hour, 0).as_ref());
        }
        assert!(series.expected(31 * 168 + 3, 0).unwrap().median > 8_000);
    }

    #[test]
    fn a_series_reads_back() {
        for weeks in [0, 1, 3, 9] {
            let series = office(Calendar::Week, weeks);
            let mut pack = Pack::default();
            series.pack(&mut pack);
            let mut unpack = Unpack(&pack.0);
            let back = Series::unpack(Calendar::Week, &mut unpack).unwrap();
            assert!(unpack.is_empty());
            let mut again = Pack::default();
            back.pack(&mut again);
            assert_eq!(pack.0, again.0);
            assert_eq!(back.expected(weeks * 168 + 400, 5), series.expected(weeks * 168 + 400, 5));
            for cut in 0..pack.0.len() {
                assert_eq!(Series::unpack(Calendar::Week, &mut Unpack(&pack.0[..cut])), None);
            }
        }
    }
}
