//! Days and hours of work around holidays, week-ends and the turn of the year.

use jiff::civil::date;
use proptest::prelude::*;

use super::*;
use crate::timing::{Sources, Timing};

fn calendars() -> Calendars {
    Timing::load(&Sources::default()).unwrap().calendars
}

fn at(text: &str) -> Timestamp {
    format!("{text}+09:00").parse().unwrap()
}

#[test]
fn days_of_work_and_days_off() {
    let calendars = calendars();
    let naha: BodyCode = "472018".parse().unwrap();
    let hiroshima: BodyCode = "341002".parse().unwrap();
    let kure: BodyCode = "342025".parse().unwrap();
    for (day, state, body, works) in [
        (date(2026, 11, 20), false, None, true),
        (date(2026, 11, 21), true, None, false),
        (date(2026, 11, 22), true, None, false),
        (date(2026, 11, 23), true, None, false),
        (date(2026, 9, 22), true, None, false),
        (date(2026, 12, 28), false, None, true),
        (date(2026, 12, 29), true, None, false),
        (date(2026, 12, 31), true, None, false),
        (date(2027, 1, 3), true, None, false),
        (date(2027, 1, 4), false, None, true),
        (date(2026, 6, 23), false, None, true),
        (date(2026, 6, 23), false, Some(naha), false),
        (date(2026, 6, 23), false, Some(hiroshima), true),
        (date(2026, 8, 6), false, Some(hiroshima), false),
        (date(2026, 8, 6), false, Some(kure), true),
    ] {
        let calendar = calendars.of(body.as_ref());
        assert_eq!(
            (calendar.is_government_holiday(day), calendar.is_business_day(day)),
            (state, works),
            "{day} {body:?}"
        );
    }
}

#[test]
fn local_holidays_move_promises_and_no_deadline() {
    let naha: BodyCode = "472018".parse().unwrap();
    let calendar = calendars().of(Some(&naha));
    assert_eq!(calendar.roll(date(2026, 6, 23)), Rolled { day: date(2026, 6, 23), unknown_year: None });
    assert_eq!(calendar.add_business_days(date(2026, 6, 22), 1), date(2026, 6, 24));
}

#[test]
fn deadlines_roll_and_unknown_years_stay() {
    let calendar = calendars().of(None);
    for (day, to, unknown_year) in [
        (date(2026, 12, 31), date(2027, 1, 4), None),
        (date(2027, 1, 30), date(2027, 2, 1), None),
        (date(2026, 5, 2), date(2026, 5, 7), None),
        (date(2026, 6, 1), date(2026, 6, 1), None),
        (date(2028, 1, 1), date(2028, 1, 1), Some(2028)),
        (date(2027, 12, 31), date(2027, 12, 31), Some(2028)),
        (date(2024, 6, 1), date(2024, 6, 1), Some(2024)),
    ] {
        assert_eq!(calendar.roll(day), Rolled { day: to, unknown_year });
    }
}

#[test]
fn counting_working_days() {
    let calendar = calendars().of(None);
    for (day, n, later) in [
        (date(2026, 11, 20), 0, date(2026, 11, 20)),
        (date(2026, 11, 20), 1, date(2026, 11, 24)),
        (date(2026, 12, 28), 1, date(2027, 1, 4)),
        (date(2026, 9, 18), 2, date(2026, 9, 25)),
    ] {
        assert_eq!(calendar.add_business_days(day, n), later);
        assert_eq!(calendar.subtract_business_days(later, n), day);
    }
}

#[test]
fn noon_of_the_next_working_day() {
    let calendar = calendars().of(None);
    for (from, to) in [
        ("2026-11-20T09:00:00", "2026-11-24T12:00:00"),
        ("2026-11-21T03:00:00", "2026-11-24T12:00:00"),
        ("2026-11-24T03:00:00", "2026-11-24T12:00:00"),
        ("2026-11-24T08:30:00", "2026-11-25T12:00:00"),
        ("2026-12-28T23:00:00", "2027-01-04T12:00:00"),
    ] {
        assert_eq!(calendar.next_business_noon(at(from)), at(to), "{from}");
    }
}

#[test]
fn working_time() {
    let calendar = calendars().of(None);
    let hours = |n: u64| Duration::from_secs(n * 3600);
    for (from, work, to) in [
        ("2026-11-20T10:00:00", hours(4), "2026-11-20T14:00:00"),
        ("2026-11-20T16:15:00", hours(1), "2026-11-20T17:15:00"),
        ("2026-11-20T16:15:00", hours(4), "2026-11-24T11:30:00"),
        ("2026-11-21T00:00:00", hours(1), "2026-11-24T09:30:00"),
        ("2026-11-24T03:00:00", hours(1), "2026-11-24T09:30:00"),
        ("2026-11-20T20:00:00", hours(1), "2026-11-24T09:30:00"),
        ("2026-11-25T15:00:00", calendar.business_day(), "2026-11-26T15:00:00"),
    ] {
        assert_eq!(calendar.after_business(at(from), work), at(to), "{from} {work:?}");
        assert_eq!(calendar.business_between(at(from), at(to)), work, "{from} {work:?}");
    }
    assert!(calendar.is_open(at("2026-11-20T08:30:00")) && !calendar.is_open(at("2026-11-20T17:15:00")));
    assert!(!calendar.is_open(at("2026-11-23T10:00:00")));
}

#[test]
fn errors_name_line_key_and_rule() {
    let good = super::super::CALENDAR;
    for (from, to, expected) in [
        ("closed_from = \"12-29\"", "closed_from = \"13-29\"", "c.toml, line 14: 13-29 is not like 12-29"),
        ("closes = \"17:15\"", "closes = \"07:15\"", "closes is after opens"),
        ("code = \"341002\"", "code = \"341003\"", "body.code is not a 団体コード"),
        ("prefecture = \"47\"", "prefecture = \"沖縄\"", "either a code of six digits"),
        ("holidays = [\"06-23\"]", "holydays = []", "unknown field `holydays`"),
        ("[government]", "[goverment]", "unknown field `goverment`"),
    ] {
        assert!(good.contains(from), "{from}");
        let text = Text { file: "c.toml".to_owned(), text: good.replace(from, to) };
        let error = Calendars::parse(&text, Arc::default()).unwrap_err();
        let shown = crate::timing::data::shown(&error);
        assert!(shown.starts_with("c.toml") && shown.contains(expected), "{shown}");
    }
}

proptest! {
    /// More work ends no earlier, a later start ends no earlier, and measuring gives back what was added.
    #[test]
    fn working_time_is_monotone(start in 1_767_193_200_u64..1_830_265_200, work in 0_u64..2_000_000, more in 0_u64..100_000) {
        let calendar = calendars().of(None);
        let from = Timestamp::from_secs(start);
        let done = calendar.after_business(from, Duration::from_secs(work));
        prop_assert!(done >= from);
        prop_assert!(calendar.after_business(from, Duration::from_secs(work + more)) >= done);
        prop_assert!(calendar.after_business(from.plus(Duration::from_secs(more)), Duration::from_secs(work)) >= done);
        prop_assert_eq!(calendar.business_between(from, done), Duration::from_secs(work));
        prop_assert!(calendar.next_business_noon(from) > from);
    }
}
