//! Maintenance windows: times in which a fault is expected.

use core::fmt;

use sekimori_wire::time::Timestamp;
use serde::Deserialize;

const DAY: u64 = 86_400;
const MINUTES: u32 = 24 * 60;
/// Of a window that is given with dates; a longer one is a server that nobody watches.
const LONGEST_DAYS: u64 = 31;
const DAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];

/// A time that comes again every day or every week, or comes once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub(crate) enum Window {
    /// From a minute of the day to another, on one day of the week or on each. Days begin in Japan, and 1970 with a Thursday.
    Again { day: Option<usize>, from: u32, until: u32 },
    /// From one time to another.
    Once { from: Timestamp, until: Timestamp },
}

impl Window {
    /// Whether it is now.
    pub(crate) fn holds(self, now: Timestamp) -> bool {
        match self {
            Self::Once { from, until } => from <= now && now < until,
            Self::Again { day, from, until } => {
                // Japan has had no summer time since 1951: nine hours, always.
                let local = now.secs() + 9 * 3_600;
                let minute = u32::try_from(local % DAY / 60).unwrap_or_default();
                let today = usize::try_from(local / DAY % 7).unwrap_or_default();
                let yesterday = (today + 6) % 7;
                let is = |which: usize| day.is_none_or(|day| day == which);
                if from < until {
                    is(today) && (from..until).contains(&minute)
                } else {
                    // Over midnight: the day is that of the beginning.
                    (is(today) && minute >= from) || (is(yesterday) && minute < until)
                }
            }
        }
    }
}

impl TryFrom<String> for Window {
    type Error = NotAWindow;
    fn try_from(text: String) -> Result<Self, NotAWindow> {
        parse(&text).ok_or(NotAWindow(text))
    }
}

fn parse(text: &str) -> Option<Window> {
    if let Some((from, until)) = text.split_once('/') {
        let time = |text: &str| {
            let time: jiff::Timestamp = text.trim().parse().ok()?;
            Some(Timestamp::from_secs(u64::try_from(time.as_second()).ok()?))
        };
        let (from, until) = (time(from)?, time(until)?);
        let is_sound = from < until && until.since(from).as_secs() <= LONGEST_DAYS * DAY;
        return is_sound.then_some(Window::Once { from, until });
    }
    let (day, hours) = text.split_once(' ')?;
    let day = match day {
        "daily" => None,
        name => Some(DAYS.iter().position(|day| *day == name)?),
    };
    let (from, until) = hours.split_once('-')?;
    let (from, until) = (minute_of(from)?, minute_of(until)?);
    (from != until && from < MINUTES).then_some(Window::Again { day, from, until })
}

/// Of `HH:MM`, up to 24:00.
fn minute_of(text: &str) -> Option<u32> {
    let (hours, minutes) = text.split_once(':')?;
    let number = |text: &str| (text.len() == 2).then(|| text.parse::<u32>().ok()).flatten();
    let (hours, minutes) = (number(hours)?, number(minutes)?);
    let minute = hours * 60 + minutes;
    (minutes < 60 && minute <= MINUTES).then_some(minute)
}

/// Not a maintenance window.
#[derive(Debug)]
pub(crate) struct NotAWindow(String);

impl fmt::Display for NotAWindow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "`{}` is not a window such as \"daily 02:00-04:00\", \"Sun 23:00-03:00\" (in Japan's time) or \
             \"2026-12-01T02:00+09:00/2026-12-01T04:00+09:00\" ({LONGEST_DAYS} days at most)",
            self.0
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        let time: jiff::Timestamp = text.parse().unwrap();
        Timestamp::from_secs(u64::try_from(time.as_second()).unwrap())
    }

    #[test]
    fn holds_from_its_first_minute_to_before_its_last() {
        // 2026-11-22 is a Sunday.
        for (window, time, holds) in [
            ("daily 02:00-04:00", "2026-11-23T01:59:59+09:00", false),
            ("daily 02:00-04:00", "2026-11-23T02:00:00+09:00", true),
            ("daily 02:00-04:00", "2026-11-23T03:59:59+09:00", true),
            ("daily 02:00-04:00", "2026-11-23T04:00:00+09:00", false),
            ("daily 22:00-24:00", "2026-11-23T23:59:59+09:00", true),
            ("daily 22:00-24:00", "2026-11-24T00:00:00+09:00", false),
            ("Sun 23:00-03:00", "2026-11-22T23:00:00+09:00", true),
            ("Sun 23:00-03:00", "2026-11-23T02:59:00+09:00", true),
            ("Sun 23:00-03:00", "2026-11-22T02:59:00+09:00", false),
            ("Sun 23:00-03:00", "2026-11-23T23:30:00+09:00", false),
            ("2026-12-01T02:00+09:00/2026-12-01T04:00+09:00", "2026-12-01T03:00:00+09:00", true),
            ("2026-12-01T02:00+09:00/2026-12-01T04:00+09:00", "2026-12-01T04:00:00+09:00", false),
        ] {
            let read = Window::try_from(window.to_owned()).unwrap();
            assert_eq!(read.holds(at(time)), holds, "{window} at {time}");
        }
    }

    #[test]
    fn what_is_no_window_is_refused() {
        for text in [
            "",
            "daily",
            "daily 02:00",
            "daily 02:00-02:00",
            "daily 24:00-02:00",
            "daily 02:60-04:00",
            "daily 2:00-4:00",
            "daily 02:00-24:01",
            "Son 02:00-04:00",
            "2026-12-01T02:00+09:00/2026-12-01T02:00+09:00",
            "2026-12-01T02:00+09:00/2027-01-02T02:00+09:00",
            "2026-12-01/2026-12-02",
        ] {
            assert!(Window::try_from(text.to_owned()).is_err(), "{text}");
        }
    }
}
