//! A month of Japan: `2026-10`.

use core::fmt;
use core::str::FromStr;

use jiff::civil::Date;
use sekimori_wire::time::Timestamp;
use serde::{Serialize, Serializer};

use crate::timing::{instant, local};

/// A month of Japan.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Month(Date);

/// What is no month.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a month is like 2026-10")]
pub struct NotAMonth;

impl Month {
    /// The last one that is over.
    pub fn last(now: Timestamp) -> Self {
        Self(local(now).date().first_of_month()).before()
    }

    /// The one before.
    #[must_use]
    pub fn before(self) -> Self {
        Self(self.0.yesterday().unwrap_or(self.0).first_of_month())
    }

    /// The one after.
    #[must_use]
    pub fn after(self) -> Self {
        Self(self.0.last_of_month().tomorrow().unwrap_or(self.0))
    }

    /// Its first moment.
    pub fn begins(self) -> Timestamp {
        instant(self.0.at(0, 0, 0, 0))
    }

    /// The first moment after it.
    pub fn ends(self) -> Timestamp {
        self.after().begins()
    }

    /// Its first and its last day.
    pub fn days(self) -> (Date, Date) {
        (self.0, self.0.last_of_month())
    }
}

impl FromStr for Month {
    type Err = NotAMonth;

    fn from_str(text: &str) -> Result<Self, NotAMonth> {
        let is_month = text.len() == 7 && text.as_bytes().get(4) == Some(&b'-');
        let first = || format!("{text}-01").parse::<Date>().ok();
        let known = |day: &Date| (1970..=2400).contains(&day.year());
        is_month.then(first).flatten().filter(known).map(Self).ok_or(NotAMonth)
    }
}

impl fmt::Display for Month {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.strftime("%Y-%m").to_string())
    }
}

impl Serialize for Month {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn months_are_those_of_japan() {
        let month: Month = "2026-10".parse().unwrap();
        let day = |text: &str| text.parse::<Timestamp>().unwrap();
        assert_eq!(month.begins(), day("2026-10-01T00:00:00+09:00"));
        assert_eq!(month.ends(), day("2026-11-01T00:00:00+09:00"));
        assert_eq!(
            (month.before().to_string(), month.after().to_string()),
            ("2026-09".into(), "2026-11".into())
        );
        let december: Month = "2026-12".parse().unwrap();
        assert_eq!(december.after().to_string(), "2027-01");
        let new_year: Timestamp = "2026-12-31T23:59:59+09:00".parse().unwrap();
        assert_eq!(Month::last(new_year).to_string(), "2026-11");
        assert_eq!(Month::last(december.ends()).to_string(), "2026-12");
        for wrong in ["", "2026", "2026-13", "2026-1", "2026-10-01", "1969-12", "２０２６-10", "2026/10"]
        {
            assert_eq!(wrong.parse::<Month>(), Err(NotAMonth), "{wrong}");
        }
    }
}
