//! The holidays of the nation, as the Cabinet Office publishes them (`syukujitsu.csv`): `Shift_JIS` or UTF-8, one header,
//! `2026/1/1,元日`. Only years that the file speaks of are known; nothing is computed.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use jiff::civil::Date;

use super::data::DataError;

const HEADER: &str = "国民の祝日・休日月日,国民の祝日・休日名称";
/// The law knows 16 holidays and a few days between them.
const PER_YEAR_MAX: usize = 40;

/// Which days are holidays.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Holidays {
    days: BTreeMap<Date, String>,
    years: BTreeSet<i16>,
}

impl Holidays {
    /// The name of a holiday.
    pub fn name(&self, day: Date) -> Option<&str> {
        self.days.get(&day).map(String::as_str)
    }

    /// Whether the file speaks of the year.
    pub fn knows(&self, year: i16) -> bool {
        self.years.contains(&year)
    }

    /// The years that the file speaks of, ascending.
    pub fn years(&self) -> Vec<i16> {
        self.years.iter().copied().collect()
    }
}

/// Reads the file.
///
/// # Errors
/// Names the line and what is wrong with it.
pub fn parse(file: &str, bytes: &[u8]) -> Result<Holidays, DataError> {
    let text = decoded(file, bytes)?;
    let broken = |line: usize, key: &str, rule: String| DataError::Rule {
        file: file.to_owned(),
        line,
        key: key.to_owned(),
        rule,
    };
    let mut lines = text.lines().enumerate().map(|(n, line)| (n + 1, line.trim_end()));
    let header = lines.next().map_or("", |(_first, line)| line);
    if header.trim_start_matches('\u{feff}') != HEADER {
        return Err(broken(1, "header", format!("is not {HEADER}")));
    }
    let mut out = Holidays::default();
    for (n, line) in lines.filter(|(_, line)| !line.is_empty()) {
        let Some((day, name)) = line.split_once(',') else {
            return Err(broken(n, "row", "has no comma".to_owned()));
        };
        let date = date_of(day).ok_or_else(|| broken(n, "date", format!("{day:?} is not like 2026/1/1")))?;
        if name.is_empty() || name.contains([',', '"']) || name.chars().any(char::is_control) {
            return Err(broken(n, "name", format!("{name:?} is not a name")));
        }
        if out.days.insert(date, name.to_owned()).is_some() {
            return Err(broken(n, "date", format!("{day} stands there twice")));
        }
        out.years.insert(date.year());
        let first = Date::new(date.year(), 1, 1).unwrap_or(date);
        let last = Date::new(date.year(), 12, 31).unwrap_or(date);
        if out.days.range(first..=last).count() > PER_YEAR_MAX {
            let rule = format!("is one of more than {PER_YEAR_MAX} holidays in {}", date.year());
            return Err(broken(n, "date", rule));
        }
    }
    Ok(out)
}

/// UTF-8 where it is that, otherwise `Shift_JIS` as Windows writes it (cp932).
fn decoded<'a>(file: &str, bytes: &'a [u8]) -> Result<Cow<'a, str>, DataError> {
    if let Ok(text) = core::str::from_utf8(bytes) {
        return Ok(Cow::Borrowed(text));
    }
    encoding_rs::SHIFT_JIS.decode_without_bom_handling_and_without_replacement(bytes).ok_or_else(|| {
        DataError::Rule {
            file: file.to_owned(),
            line: 1,
            key: "text".to_owned(),
            rule: "is neither UTF-8 nor Shift_JIS".to_owned(),
        }
    })
}

fn date_of(text: &str) -> Option<Date> {
    let mut parts = text.split('/');
    let mut next = || parts.next().filter(|part| part.bytes().all(|byte| byte.is_ascii_digit()));
    let date = Date::new(next()?.parse().ok()?, next()?.parse().ok()?, next()?.parse().ok()?).ok()?;
    (parts.next().is_none() && (1955..=2554).contains(&date.year())).then_some(date)
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::ToSpan as _;
    use jiff::civil::{Weekday, date};

    fn good() -> Holidays {
        parse("h.csv", super::super::HOLIDAYS).unwrap()
    }

    #[test]
    fn the_office_s_encoding_reads_the_same() {
        let text = core::str::from_utf8(super::super::HOLIDAYS).unwrap();
        let (office, _, unmappable) = encoding_rs::SHIFT_JIS.encode(text);
        assert!(!unmappable && office.as_ref() != text.as_bytes());
        assert_eq!(parse("h.csv", &office).unwrap(), good());
        let windows = format!("\u{feff}{}", text.replace('\n', "\r\n"));
        assert_eq!(parse("h.csv", windows.as_bytes()).unwrap(), good());
    }

    /// 国民の祝日に関する法律 3条: a holiday on a Sunday gives the next day that is none; a day between two holidays
    /// is one; the moving holidays are Mondays.
    #[test]
    fn the_days_follow_the_law() {
        let good = good();
        for year in [2025, 2026, 2027] {
            let first = date(year, 1, 1);
            let days: Vec<Date> = first.series(1.day()).take_while(|day| day.year() == year).collect();
            for day in days {
                let real = |day: Date| good.name(day).is_some_and(|name| name != "休日");
                let before = day.yesterday().unwrap();
                let mut run = before;
                while real(run) && run.weekday() != Weekday::Sunday {
                    run = run.yesterday().unwrap();
                }
                let substitute = real(run) && run.weekday() == Weekday::Sunday && !real(day);
                let between = real(before) && real(day.tomorrow().unwrap()) && !real(day);
                assert_eq!(good.name(day) == Some("休日"), substitute || between, "{day}");
                if let Some("成人の日" | "海の日" | "敬老の日" | "スポーツの日") = good.name(day)
                {
                    assert_eq!(day.weekday(), Weekday::Monday, "{day}");
                }
            }
        }
        assert_eq!(good.name(date(2026, 9, 22)), Some("休日"));
        assert!(!good.knows(2028));
    }

    #[test]
    fn errors_name_the_line() {
        for (rows, expected) in [
            ("2026/1/1,元日\n2026/2/30,x\n", "h.csv, line 3: date \"2026/2/30\" is not like"),
            ("2026/1/1,元日\n2026/1/1,元日\n", "line 3: date 2026/1/1 stands there twice"),
            ("2026-01-01,元日\n", "line 2: date"),
            ("2026/1/1\n", "line 2: row has no comma"),
            ("2026/1/1,\n", "line 2: name"),
            ("2026/1/1,a,b\n", "line 2: name"),
            ("2026/+1/1,a\n", "line 2: date"),
            ("99999/1/1,a\n", "line 2: date"),
            ("2026/1/1/1,a\n", "line 2: date"),
        ] {
            let error = parse("h.csv", format!("{HEADER}\n{rows}").as_bytes()).unwrap_err();
            assert!(error.to_string().contains(expected), "{rows:?}: {error}");
        }
        assert!(parse("h.csv", b"date,name\n").unwrap_err().to_string().contains("line 1: header"));
        assert!(parse("h.csv", &[0xff, 0xfe, 0x80]).unwrap_err().to_string().contains("neither UTF-8"));
        let many: String = (1..=41).map(|n| format!("2026/{}/{},x\n", n / 28 + 1, n % 28 + 1)).collect();
        let error = parse("h.csv", format!("{HEADER}\n{many}").as_bytes()).unwrap_err();
        assert!(error.to_string().contains("more than 40 holidays in 2026"), "{error}");
    }
}
