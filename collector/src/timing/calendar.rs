//! Working days and hours of a body, and the days on which the state's offices are closed (行政機関の休日).
//!
//! Two calendars that must not be mixed: a body's own moves what the body promises; a statutory deadline moves by the
//! state's alone. A year without known holidays moves no deadline: the earlier day is the safe one.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use jiff::civil::{Date, DateTime, Time, Weekday};
use sekimori_wire::id::BodyCode;
use sekimori_wire::time::Timestamp;
use serde::Deserialize;
use toml::Spanned;

use super::data::{DataError, Text, Verified};
use super::holidays::Holidays;
use super::{instant, local};

/// Longest search for a working day: 40 holidays, the turn of the year and all week-ends fit many times.
const SEARCH_DAYS_MAX: usize = 400;
/// Working time is added by the day at most so often: 20 years of working days.
const BUSINESS_DAYS_MAX: usize = 5_000;

/// A day of any year.
type MonthDay = (i8, i8);

/// The calendars of all bodies.
#[derive(Clone, Debug)]
pub struct Calendars {
    state: Calendar,
    prefectures: BTreeMap<String, Local>,
    bodies: BTreeMap<BodyCode, Local>,
}

/// What a body has of its own.
#[derive(Clone, Debug, Default)]
struct Local {
    holidays: BTreeSet<MonthDay>,
    hours: Option<(Time, Time)>,
}

/// When one body works.
#[derive(Clone, Debug)]
pub struct Calendar {
    holidays: Arc<Holidays>,
    closed_from: MonthDay,
    closed_to: MonthDay,
    local: BTreeSet<MonthDay>,
    opens: Time,
    closes: Time,
    noon: Time,
}

/// A deadline after the rule about holidays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rolled {
    /// The day that counts.
    pub day: Date,
    /// The holidays of this year are not known, so the day did not move.
    pub unknown_year: Option<i16>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(rename = "holidays")]
    _holidays: Origin,
    government: GovernmentFile,
    hours: HoursFile,
    #[serde(default)]
    body: Vec<Spanned<BodyFile>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Origin {
    #[serde(rename = "source")]
    _source: String,
    #[serde(rename = "verified")]
    _verified: Verified,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct GovernmentFile {
    closed_from: Spanned<String>,
    closed_to: Spanned<String>,
    #[serde(rename = "source")]
    _source: String,
    #[serde(rename = "verified")]
    _verified: Verified,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct HoursFile {
    opens: Spanned<String>,
    closes: Spanned<String>,
    noon: Spanned<String>,
    #[serde(rename = "source")]
    _source: String,
    #[serde(rename = "verified")]
    _verified: Verified,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct BodyFile {
    code: Option<String>,
    prefecture: Option<String>,
    #[serde(rename = "name")]
    _name: String,
    #[serde(default)]
    holidays: Vec<Spanned<String>>,
    opens: Option<Spanned<String>>,
    closes: Option<Spanned<String>>,
    #[serde(rename = "source")]
    _source: String,
    #[serde(rename = "verified")]
    _verified: Verified,
}

impl Calendars {
    /// Reads `calendar.toml`.
    ///
    /// # Errors
    /// Names line, key and rule.
    pub fn parse(text: &Text, holidays: Arc<Holidays>) -> Result<Self, DataError> {
        let file: File = text.toml()?;
        let (opens, closes) = hours(text, &file.hours.opens, &file.hours.closes)?;
        let state = Calendar {
            holidays,
            closed_from: month_day(text, &file.government.closed_from)?,
            closed_to: month_day(text, &file.government.closed_to)?,
            local: BTreeSet::new(),
            opens,
            closes,
            noon: time(text, &file.hours.noon)?,
        };
        let mut out = Self { state, prefectures: BTreeMap::new(), bodies: BTreeMap::new() };
        for one in &file.body {
            out.add(text, one)?;
        }
        Ok(out)
    }

    fn add(&mut self, text: &Text, spanned: &Spanned<BodyFile>) -> Result<(), DataError> {
        let one = spanned.get_ref();
        let local = Local {
            holidays: one.holidays.iter().map(|day| month_day(text, day)).collect::<Result<_, _>>()?,
            hours: match (&one.opens, &one.closes) {
                (Some(opens), Some(closes)) => Some(hours(text, opens, closes)?),
                (None, None) => None,
                (Some(_), None) | (None, Some(_)) => {
                    return Err(text.broken(spanned, "body", "has both of opens and closes, or none"));
                }
            },
        };
        let old = match (&one.code, &one.prefecture) {
            (Some(code), None) => {
                let code: BodyCode = code.parse().map_err(|cause| {
                    text.broken(spanned, "body.code", format!("is not a 団体コード: {cause}"))
                })?;
                self.bodies.insert(code, local)
            }
            (None, Some(two)) if two.len() == 2 && two.bytes().all(|byte| byte.is_ascii_digit()) => {
                self.prefectures.insert(two.clone(), local)
            }
            _ => {
                let rule = "has either a code of six digits or a prefecture of two";
                return Err(text.broken(spanned, "body", rule));
            }
        };
        if old.is_some() {
            return Err(text.broken(spanned, "body", "stands there twice"));
        }
        Ok(())
    }

    /// When the body works; `None`: an incident of several bodies, by the state's days.
    pub fn of(&self, body: Option<&BodyCode>) -> Calendar {
        let mut out = self.state.clone();
        let Some(body) = body else { return out };
        let prefecture = body.as_str().get(..2).unwrap_or_default();
        for local in [self.prefectures.get(prefecture), self.bodies.get(body)].into_iter().flatten() {
            out.local.extend(&local.holidays);
            if let Some((opens, closes)) = local.hours {
                (out.opens, out.closes) = (opens, closes);
            }
        }
        out
    }

    /// The holidays of the nation.
    pub fn holidays(&self) -> &Holidays {
        &self.state.holidays
    }
}

impl Calendar {
    /// The offices of the state are closed (行政機関の休日).
    pub fn is_government_holiday(&self, day: Date) -> bool {
        let of_year = (day.month(), day.day());
        let closed = if self.closed_from <= self.closed_to {
            (self.closed_from..=self.closed_to).contains(&of_year)
        } else {
            of_year >= self.closed_from || of_year <= self.closed_to
        };
        matches!(day.weekday(), Weekday::Saturday | Weekday::Sunday)
            || closed
            || self.holidays.name(day).is_some()
    }

    /// The body works.
    pub fn is_business_day(&self, day: Date) -> bool {
        !self.is_government_holiday(day) && !self.local.contains(&(day.month(), day.day()))
    }

    /// The body is at work right now.
    pub fn is_open(&self, at: Timestamp) -> bool {
        let at = local(at);
        self.is_business_day(at.date()) && at.time() >= self.opens && at.time() < self.closes
    }

    /// A statutory deadline: moved to the next day on which the state's offices are open.
    pub fn roll(&self, day: Date) -> Rolled {
        let mut to = day;
        for _ in 0..SEARCH_DAYS_MAX {
            if !self.holidays.knows(to.year()) {
                return Rolled { day, unknown_year: Some(to.year()) };
            }
            if !self.is_government_holiday(to) {
                return Rolled { day: to, unknown_year: None };
            }
            to = to.tomorrow().unwrap_or(to);
        }
        Rolled { day, unknown_year: None }
    }

    /// The `n`th working day after a day.
    pub fn add_business_days(&self, day: Date, n: u16) -> Date {
        (0..n).fold(day, |day, _| self.next(day, |day| day.tomorrow().ok()))
    }

    /// The `n`th working day before a day.
    pub fn subtract_business_days(&self, day: Date, n: u16) -> Date {
        (0..n).fold(day, |day, _| self.next(day, |day| day.yesterday().ok()))
    }

    fn next(&self, day: Date, step: impl Fn(Date) -> Option<Date>) -> Date {
        let days = std::iter::successors(step(day), |day| step(*day)).take(SEARCH_DAYS_MAX);
        days.into_iter().find(|day| self.is_business_day(*day)).unwrap_or(day)
    }

    /// Noon of the next working day. What comes before opening belongs to the day that begins.
    pub fn next_business_noon(&self, at: Timestamp) -> Timestamp {
        let now = local(at);
        let today = self.is_business_day(now.date()) && now.time() < self.opens;
        let day = if today { now.date() } else { self.add_business_days(now.date(), 1) };
        instant(day.to_datetime(self.noon)).max(at)
    }

    /// How much work there is in a working day.
    pub fn business_day(&self) -> Duration {
        length(self.opens, self.closes)
    }

    /// The moment when `work` of working time has passed.
    pub fn after_business(&self, at: Timestamp, work: Duration) -> Timestamp {
        let mut now = local(at);
        let mut left = work;
        for _ in 0..BUSINESS_DAYS_MAX {
            let (from, until) = self.rest_of(now);
            let today = length(from.time(), until.time());
            if self.is_business_day(now.date()) && left <= today {
                return instant(from).plus(left).max(at);
            }
            if self.is_business_day(now.date()) {
                left = left.saturating_sub(today);
            }
            now = self.add_business_days(now.date(), 1).to_datetime(self.opens);
        }
        instant(now).max(at)
    }

    /// Working time between two moments.
    pub fn business_between(&self, from: Timestamp, to: Timestamp) -> Duration {
        let (mut now, end) = (local(from), local(to));
        let mut sum = Duration::ZERO;
        for _ in 0..BUSINESS_DAYS_MAX {
            if now >= end {
                break;
            }
            if self.is_business_day(now.date()) {
                let (from, until) = self.rest_of(now);
                sum +=
                    length(from.time(), if until < end { until.time() } else { end.time().max(from.time()) });
            }
            now = self.add_business_days(now.date(), 1).to_datetime(self.opens);
        }
        sum
    }

    /// What is left of the working hours of a day.
    fn rest_of(&self, now: DateTime) -> (DateTime, DateTime) {
        let from = now.time().clamp(self.opens, self.closes);
        (now.date().to_datetime(from), now.date().to_datetime(self.closes))
    }
}

fn length(from: Time, to: Time) -> Duration {
    Duration::try_from(from.duration_until(to)).unwrap_or_default()
}

fn month_day(text: &Text, at: &Spanned<String>) -> Result<MonthDay, DataError> {
    // A leap year: the 29th of February may be a holiday too.
    let date: Result<Date, _> = format!("2024-{}", at.get_ref()).parse();
    let date = date.map_err(|cause| text.broken(at, at.get_ref(), format!("is not like 12-29: {cause}")))?;
    Ok((date.month(), date.day()))
}

fn time(text: &Text, at: &Spanned<String>) -> Result<Time, DataError> {
    at.get_ref()
        .parse()
        .map_err(|cause: jiff::Error| text.broken(at, at.get_ref(), format!("is not like 08:30: {cause}")))
}

fn hours(text: &Text, opens: &Spanned<String>, closes: &Spanned<String>) -> Result<(Time, Time), DataError> {
    let (from, to) = (time(text, opens)?, time(text, closes)?);
    if from < to { Ok((from, to)) } else { Err(text.broken(closes, "closes", "is after opens")) }
}

#[cfg(test)]
mod tests;
