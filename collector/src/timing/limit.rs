//! A time limit as people write it: `15 min`, `4 h working`, `3 bd`, `next bd noon`, `none`.

use core::fmt;
use core::str::FromStr;
use std::time::Duration;

use sekimori_wire::time::Timestamp;

use super::calendar::Calendar;

/// Longest limit.
const SECONDS_MAX: u64 = 366 * 86_400;
/// Most working days.
const BUSINESS_DAYS_MAX: u16 = 250;

/// How much time there is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Limit {
    /// There is no limit.
    None,
    /// Time that passes, day and night.
    Elapsed(Duration),
    /// Time at work.
    Working(Duration),
    /// Working days.
    BusinessDays(u16),
    /// Until noon of the next working day.
    NextNoon,
}

/// How a limit is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "is like \"15 min\", \"2 h\", \"30 d\", \"4 h working\", \"3 bd\", \"next bd noon\" or \"none\", at most a year"
)]
pub struct NotALimit;

impl FromStr for Limit {
    type Err = NotALimit;

    fn from_str(text: &str) -> Result<Self, NotALimit> {
        match text {
            "none" => return Ok(Self::None),
            "next bd noon" => return Ok(Self::NextNoon),
            _ => {}
        }
        let mut words = text.split(' ');
        let (n, unit, rest) = (words.next(), words.next(), words.next());
        let n: u16 = n
            .filter(|n| n.bytes().all(|byte| byte.is_ascii_digit()))
            .and_then(|n| n.parse().ok())
            .filter(|n| *n > 0)
            .ok_or(NotALimit)?;
        if words.next().is_some() {
            return Err(NotALimit);
        }
        let seconds = match (unit, rest) {
            (Some("bd"), None) if n <= BUSINESS_DAYS_MAX => return Ok(Self::BusinessDays(n)),
            (Some("min"), _) => 60,
            (Some("h"), _) => 3600,
            (Some("d"), None) => 86_400,
            _ => return Err(NotALimit),
        };
        let total = u64::from(n) * seconds;
        match rest {
            None if total <= SECONDS_MAX => Ok(Self::Elapsed(Duration::from_secs(total))),
            // A working day has few hours: what is more is said in days.
            Some("working") if total <= 100 * 3600 => Ok(Self::Working(Duration::from_secs(total))),
            None | Some(_) => Err(NotALimit),
        }
    }
}

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (span, behind) = match self {
            Self::None => return f.write_str("none"),
            Self::NextNoon => return f.write_str("next bd noon"),
            Self::BusinessDays(n) => return write!(f, "{n} bd"),
            Self::Elapsed(span) => (span, ""),
            Self::Working(span) => (span, " working"),
        };
        match span.as_secs() {
            secs if secs % 86_400 == 0 && behind.is_empty() => write!(f, "{} d", secs / 86_400),
            secs if secs % 3600 == 0 => write!(f, "{} h{behind}", secs / 3600),
            secs => write!(f, "{} min{behind}", secs / 60),
        }
    }
}

impl Limit {
    /// It stands still while the body is not at work.
    pub const fn pauses(self) -> bool {
        match self {
            Self::None | Self::Elapsed(_) => false,
            Self::Working(_) | Self::BusinessDays(_) | Self::NextNoon => true,
        }
    }

    /// When so many per cent of it have passed; `None`: there is no limit.
    pub fn at(self, percent: u16, since: Timestamp, calendar: &Calendar) -> Option<Timestamp> {
        let share = |span: Duration| {
            let nanos = span.as_nanos() * u128::from(percent) / 100;
            Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
        };
        let work = match self {
            Self::None => return None,
            Self::Elapsed(span) => return Some(since.plus(share(span))),
            Self::Working(span) => span,
            Self::BusinessDays(n) => calendar.business_day() * u32::from(n),
            Self::NextNoon if percent == 100 => return Some(calendar.next_business_noon(since)),
            Self::NextNoon => calendar.business_between(since, calendar.next_business_noon(since)),
        };
        Some(calendar.after_business(since, share(work)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_reads_back() {
        for text in [
            "none",
            "next bd noon",
            "5 min",
            "90 min",
            "2 h",
            "30 d",
            "30 min working",
            "4 h working",
            "3 bd",
        ] {
            assert_eq!(text.parse::<Limit>().unwrap().to_string(), text);
        }
        for text in [
            "",
            "5",
            "min",
            "5min",
            "0 min",
            "-1 h",
            "+1 h",
            "1.5 h",
            "5 min ",
            "3 bd working",
            "367 d",
            "251 bd",
            "5 min now",
            "1 d working",
            "next bd",
            "99999 h",
            "101 h working",
            "1 h working x",
        ] {
            assert_eq!(text.parse::<Limit>(), Err(NotALimit), "{text:?}");
        }
    }
}
