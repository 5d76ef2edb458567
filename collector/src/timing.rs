//! Time limits of the work on incidents: business calendars, escalation, and what the law wants reported by when.
//!
//! ```text
//! data files ─► Timing { calendars, law, table }
//! Watch (an incident's times) ─► timer::timers ─► rungs ─► timer::due(now, fired) ─► the outbox
//! Leak (what people know) ─► assess::assess ─► obligations with their days
//! ```
//! All of it is data and pure functions: law and thresholds lie in `collector/data`, each with its `source` and whether
//! it was `verified`, and a configuration can put files of its own in their place. Nothing here reads a clock. Days are
//! Japan's, by a fixed offset. This is not legal advice.

pub mod assess;
pub mod calendar;
pub mod data;
pub mod duty;
pub mod holidays;
pub mod law;
pub mod limit;
pub mod storm;
pub mod table;
pub mod timer;

use std::path::PathBuf;
use std::sync::Arc;

use jiff::civil::{Date, DateTime};
use jiff::tz::Offset;
use sekimori_wire::time::Timestamp;

use calendar::Calendars;
use data::{DataError, Text};
use law::Law;
use table::Table;

const HOLIDAYS: &[u8] = include_bytes!("../data/holidays.csv");
const CALENDAR: &str = include_str!("../data/calendar.toml");
const LAW: &str = include_str!("../data/obligations.toml");
const TIMERS: &str = include_str!("../data/timers.toml");

/// Files that take the place of the built-in ones.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sources {
    /// Holidays of the nation, in the format of the Cabinet Office.
    pub holidays: Option<PathBuf>,
    /// Working hours and local holidays.
    pub calendar: Option<PathBuf>,
    /// What must be reported, and by when.
    pub obligations: Option<PathBuf>,
    /// Escalation.
    pub timers: Option<PathBuf>,
}

/// All the data.
#[derive(Clone, Debug)]
pub struct Timing {
    /// Working days, of every body.
    pub calendars: Calendars,
    /// What must be reported.
    pub law: Law,
    /// Limits and ladders.
    pub table: Table,
}

impl Timing {
    /// Reads and checks everything.
    ///
    /// # Errors
    /// Names the file, the line, the key and the rule that was broken.
    pub fn load(sources: &Sources) -> Result<Self, DataError> {
        let holidays = match &sources.holidays {
            None => holidays::parse("holidays.csv (built in)", HOLIDAYS)?,
            Some(path) => holidays::parse(&path.display().to_string(), &data::bytes(path)?)?,
        };
        let [(_, law), (_, timers), (_, calendar)] = texts(sources)?;
        Ok(Self {
            calendars: Calendars::parse(&calendar, Arc::new(holidays))?,
            law: Law::parse(&law)?,
            table: Table::parse(&timers)?,
        })
    }
}

/// The files but the holidays, as they are in force: what must be reported, time limits, working days.
///
/// # Errors
/// One of them cannot be read.
pub fn texts(sources: &Sources) -> Result<[(&'static str, Text); 3], DataError> {
    Ok([
        ("law", Text::open(sources.obligations.as_deref(), "obligations.toml", LAW)?),
        ("timers", Text::open(sources.timers.as_deref(), "timers.toml", TIMERS)?),
        ("calendar", Text::open(sources.calendar.as_deref(), "calendar.toml", CALENDAR)?),
    ])
}

const JST_SECONDS: i32 = 9 * 3600;

fn japan() -> Offset {
    Offset::from_seconds(JST_SECONDS).map_or(Offset::UTC, |offset| offset)
}

/// The wall clock in Japan.
pub fn local(at: Timestamp) -> DateTime {
    let at = jiff::Timestamp::from_nanosecond(i128::from(at.nanos())).unwrap_or_default();
    japan().to_datetime(at)
}

/// The point in time of a wall clock in Japan; before 1970 it is 1970.
pub fn instant(local: DateTime) -> Timestamp {
    let nanos = japan().to_timestamp(local).map_or(0, jiff::Timestamp::as_nanosecond);
    Timestamp::from_nanos(u64::try_from(nanos).unwrap_or_default())
}

/// The first moment after a day in Japan.
pub fn end_of(day: Date) -> Timestamp {
    instant(day.tomorrow().unwrap_or(day).at(0, 0, 0, 0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_built_in_is_good() {
        let timing = Timing::load(&Sources::default()).unwrap();
        assert_eq!(timing.calendars.holidays().years(), [2025, 2026, 2027]);
    }

    #[test]
    fn the_day_changes_at_three_in_the_afternoon_of_utc() {
        let before: Timestamp = "2026-11-22T14:59:59Z".parse().unwrap();
        let after: Timestamp = "2026-11-22T15:00:00Z".parse().unwrap();
        assert_eq!(local(before).date(), jiff::civil::date(2026, 11, 22));
        assert_eq!(local(after).date(), jiff::civil::date(2026, 11, 23));
        assert_eq!(instant(local(after)), after);
        assert_eq!(end_of(local(before).date()), after);
        assert_eq!(local(Timestamp::from_nanos(u64::MAX)).year(), 2554);
    }

    #[test]
    fn a_file_that_is_not_there_is_named() {
        let sources = Sources { timers: Some(PathBuf::from("/nowhere/t.toml")), ..Sources::default() };
        assert!(Timing::load(&sources).unwrap_err().to_string().contains("/nowhere/t.toml"));
    }
}
