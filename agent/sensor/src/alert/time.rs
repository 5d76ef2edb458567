//! Times as products write them. What names no zone is in the zone of its source; what names no year is in the year that
//! brings it nearest to when it was received.

use sekimori_wire::time::Timestamp;
use serde::Deserialize;

const DAY: i64 = 86_400;
const MONTHS: [&str; 12] =
    ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
/// Times that begin in another year than they were received in differ by less than this.
const HALF_YEAR: i64 = 183 * DAY;

/// Seconds east of Greenwich.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Zone(i32);

impl Default for Zone {
    /// Japan's, where the gateways are.
    fn default() -> Self {
        Self(9 * 3600)
    }
}

impl TryFrom<String> for Zone {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        zone(&text).map(Self).ok_or_else(|| format!("`{text}` is not a zone such as \"+09:00\" or \"Z\""))
    }
}

fn zone(text: &str) -> Option<i32> {
    if text.eq_ignore_ascii_case("z") || text == "UTC" || text == "GMT" {
        return Some(0);
    }
    if text == "JST" {
        return Some(9 * 3600);
    }
    let (sign, digits) = match (text.strip_prefix('+'), text.strip_prefix('-')) {
        (Some(digits), _) => (1, digits),
        (None, Some(digits)) => (-1, digits),
        (None, None) => return None,
    };
    let digits: String = digits.chars().filter(|ch| *ch != ':').collect();
    if digits.len() != 4 || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let number: i32 = digits.parse().ok()?;
    let (hours, minutes) = (number / 100, number % 100);
    (hours <= 14 && minutes < 60).then_some(sign * (hours * 3600 + minutes * 60))
}

/// A form of time: `%Y %m %d %b %H %M %S %f %z` stand for their parts, a space for any spaces, the rest for itself.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub(super) struct Form(String);

impl TryFrom<String> for Form {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        let mut chars = text.chars();
        while let Some(ch) = chars.next() {
            if ch == '%' && !chars.next().is_some_and(|part| "YmdbHMSfz".contains(part)) {
                return Err(format!("`{text}`: after % comes one of Y m d b H M S f z"));
            }
        }
        Ok(Self(text))
    }
}

#[derive(Debug, Default)]
struct Parts {
    year: Option<i64>,
    month: i64,
    day: i64,
    seconds: i64,
    nanos: u32,
    zone: Option<i32>,
}

/// A time: RFC 3339, seconds to nanoseconds since 1970 by their size, or one of these forms.
pub(super) fn read(text: &str, forms: &[Form], zone: Zone, received_at: Timestamp) -> Option<Timestamp> {
    let text = text.trim();
    if let Ok(number) = text.parse::<u64>() {
        return since_1970(number);
    }
    if let Ok(time) = text.parse() {
        return Some(time);
    }
    if let Some((seconds, fraction)) = text.split_once('.')
        && let (Ok(seconds), true) = (seconds.parse::<u64>(), fraction.bytes().all(|b| b.is_ascii_digit()))
    {
        let whole = since_1970(seconds)?;
        return Some(whole.plus(core::time::Duration::from_nanos(nanos_of(fraction).into())));
    }
    forms.iter().find_map(|form| formed(text, form, zone, received_at))
}

/// `Mmm dd hh:mm:ss` of RFC 3164.
pub(super) fn bsd(stamp: &str, zone: Zone, received_at: Timestamp) -> Option<Timestamp> {
    formed(stamp, &Form("%b %d %H:%M:%S".to_owned()), zone, received_at)
}

/// Seconds have ten digits from 2001 to 2286, milliseconds thirteen, and so on.
fn since_1970(number: u64) -> Option<Timestamp> {
    let factor = match number {
        0..1_000_000_000 => return None,
        1_000_000_000..100_000_000_000 => 1_000_000_000,
        100_000_000_000..100_000_000_000_000 => 1_000_000,
        100_000_000_000_000..100_000_000_000_000_000 => 1_000,
        100_000_000_000_000_000.. => 1,
    };
    number.checked_mul(factor).map(Timestamp::from_nanos)
}

fn formed(text: &str, form: &Form, zone: Zone, received_at: Timestamp) -> Option<Timestamp> {
    let mut parts = Parts::default();
    let mut rest = text;
    let mut form = form.0.chars();
    while let Some(ch) = form.next() {
        rest = match ch {
            '%' => part(rest, form.next()?, &mut parts)?,
            ' ' => rest.trim_start(),
            literal => rest.strip_prefix(literal)?,
        };
    }
    if !rest.trim().is_empty() {
        return None;
    }
    parts.timestamp(zone, received_at)
}

fn part<'a>(text: &'a str, part: char, parts: &mut Parts) -> Option<&'a str> {
    let text = text.trim_start();
    let number = |digits_max: usize, least: i64, most: i64| {
        let digits = text.bytes().take(digits_max).take_while(u8::is_ascii_digit).count();
        let (number, rest) = text.split_at_checked(digits)?;
        let number: i64 = number.parse().ok()?;
        (least..=most).contains(&number).then_some((number, rest))
    };
    let rest = match part {
        'Y' => {
            let (year, rest) = number(4, 1970, 2200)?;
            parts.year = Some(year);
            rest
        }
        'm' => {
            let (month, rest) = number(2, 1, 12)?;
            parts.month = month;
            rest
        }
        'd' => {
            let (day, rest) = number(2, 1, 31)?;
            parts.day = day;
            rest
        }
        'H' | 'M' | 'S' => {
            let (unit, most) = match part {
                'H' => (3600, 23),
                'M' => (60, 59),
                _ => (1, 60),
            };
            let (count, rest) = number(2, 0, most)?;
            parts.seconds += count * unit;
            rest
        }
        'b' => {
            let (name, rest) = text.split_at_checked(3)?;
            let at = MONTHS.iter().position(|month| month.eq_ignore_ascii_case(name))?;
            parts.month = i64::try_from(at).ok()? + 1;
            rest
        }
        'f' => {
            let digits = text.bytes().take_while(u8::is_ascii_digit).count();
            let (digits, rest) = text.split_at_checked(digits)?;
            parts.nanos = nanos_of(digits);
            rest
        }
        _ => {
            let end = text.find(' ').unwrap_or(text.len());
            let (name, rest) = text.split_at_checked(end)?;
            parts.zone = Some(zone(name)?);
            rest
        }
    };
    Some(rest)
}

fn nanos_of(digits: &str) -> u32 {
    let digits: String = digits.chars().chain(core::iter::repeat('0')).take(9).collect();
    digits.parse().unwrap_or_default()
}

impl Parts {
    fn timestamp(&self, zone: Zone, received_at: Timestamp) -> Option<Timestamp> {
        let offset = i64::from(self.zone.unwrap_or(zone.0));
        let at = |year: i64| days(year, self.month, self.day) * DAY + self.seconds - offset;
        let received = i64::try_from(received_at.secs()).ok()?;
        let seconds = match self.year {
            Some(year) => at(year),
            None => {
                // The year that it is here, or a neighbour around New Year.
                let year = 1970 + received / (365 * DAY + DAY / 4);
                (year - 1..=year + 1).map(at).min_by_key(|at| (at - received).abs())?
            }
        };
        if self.month == 0 || self.day == 0 {
            return None;
        }
        if self.year.is_none() && (seconds - received).abs() > HALF_YEAR {
            return None;
        }
        let whole = Timestamp::from_secs(u64::try_from(seconds).ok()?);
        Some(whole.plus(core::time::Duration::from_nanos(self.nanos.into())))
    }
}

/// Days since 1970 of a date (Howard Hinnant's `days_from_civil`).
const fn days(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let of_era = year - era * 400;
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;

    fn form(text: &str) -> Form {
        Form::try_from(text.to_owned()).unwrap()
    }

    #[test]
    fn every_form_is_the_same_moment() {
        let noon: Timestamp = "2026-04-01T12:00:00+09:00".parse().unwrap();
        let forms = [
            form("%Y/%m/%d %H:%M:%S"),
            form("%b %d %Y %H:%M:%S"),
            form("%Y-%m-%d %H:%M:%S %z"),
            form("%Y-%m-%dT%H:%M:%S.%f%z"),
            form("%b %d %H:%M:%S"),
        ];
        for text in [
            "2026/04/01 12:00:00",
            "Apr  1 2026 12:00:00",
            "2026-04-01 03:00:00 UTC",
            "2026-04-01T03:00:00.000+0000",
            "Apr 1 12:00:00",
            "1775012400",
            "1775012400000",
            "1775012400000000000",
            "1775012400.0",
            "2026-04-01T03:00:00Z",
        ] {
            assert_eq!(read(text, &forms, Zone::default(), noon), Some(noon), "{text}");
        }
        for text in ["", "12", "Apr 31", "2026/13/01 00:00:00", "tomorrow"] {
            assert_eq!(read(text, &forms, Zone::default(), noon), None, "{text}");
        }
        assert!(Form::try_from("%Q".to_owned()).unwrap_err().contains('%'));
        assert!(!Zone::try_from("+9".to_owned()).unwrap_err().is_empty());
    }

    #[test]
    fn a_time_without_a_year_is_near_its_reception() {
        let new_year: Timestamp = "2026-12-31T15:00:10Z".parse().unwrap();
        let at = |stamp| bsd(stamp, Zone::default(), new_year).unwrap().to_string();
        assert!(at("Dec 31 23:59:59").starts_with("2026-12-31T14:59:59"));
        assert!(at("Jan  1 00:00:05").starts_with("2026-12-31T15:00:05"));
    }
}
