//! Every rung and limit of the table, and that none fires twice.

use jiff::civil::date;
use proptest::prelude::*;

use super::*;
use crate::timing::{Sources, Timing};

fn at(text: &str) -> Timestamp {
    format!("{text}+09:00").parse().unwrap()
}

fn timing() -> Timing {
    Timing::load(&Sources::default()).unwrap()
}

fn level(n: u8) -> Severity {
    Severity::new(n).unwrap()
}

fn of(timing: &Timing, watch: &Watch) -> Vec<Timer> {
    timers(watch, &timing.calendars.of(watch.body.as_ref()), &timing.table)
}

/// Every rung of the ladder of acknowledgement at every level, opened on a Friday afternoon before a long week-end.
#[test]
fn every_rung_of_acknowledgement() {
    let timing = timing();
    let opened = at("2026-11-20T16:55:00");
    let roles: [&[Role]; 4] =
        [&[Role::Monitor], &[Role::Reception], &[Role::Control], &[Role::PrefCsirt, Role::BodyCiso]];
    for (n, expected) in [
        (4, ["2026-11-20T16:57:30", "2026-11-20T17:00:00", "2026-11-20T17:02:30", "2026-11-20T17:05:00"]),
        (3, ["2026-11-20T17:00:00", "2026-11-20T17:05:00", "2026-11-20T17:10:00", "2026-11-20T17:15:00"]),
        (2, ["2026-11-20T17:10:00", "2026-11-24T08:40:00", "2026-11-24T08:55:00", "2026-11-24T09:10:00"]),
        // 20 minutes on Friday and three and a half hours on Tuesday: half of it, all, half as much again, twice.
        (1, ["2026-11-24T10:05:00", "2026-11-24T12:00:00", "2026-11-24T13:55:00", "2026-11-24T15:50:00"]),
    ] {
        let watch = Watch::opened(level(n), None, opened);
        let found: Vec<_> = of(&timing, &watch)
            .into_iter()
            .filter(|timer| timer.key.what == What::Work(TimerKind::Ack))
            .collect();
        for (((timer, due), percent), to) in found.iter().zip(expected).zip([50, 100, 150, 200]).zip(roles) {
            assert_eq!((timer.key.rung, timer.due_at), (percent, at(due)), "level {n}, {percent} %");
            assert_eq!((timer.to.as_slice(), timer.deputies), (to, percent == 100));
            assert_eq!(timer.pauses, n <= 2, "levels 3 and 4 never pause");
        }
        assert_eq!(found.len(), 4);
    }
    let none = Watch::opened(level(0), None, opened);
    let kinds: Vec<_> = of(&timing, &none).iter().map(|timer| timer.key.what).collect();
    assert_eq!(kinds, [What::Work(TimerKind::Close)]);
}

/// Every timer at every level: when its limit ends for an incident of a Wednesday morning that nobody touches.
#[test]
fn every_limit_of_the_table() {
    let timing = timing();
    let opened = at("2026-11-25T10:00:00");
    for (n, kind, expected) in [
        (4, TimerKind::Notify, Some("2026-11-25T10:15:00")),
        (3, TimerKind::Notify, Some("2026-11-25T10:15:00")),
        (2, TimerKind::Notify, Some("2026-11-25T11:00:00")),
        (1, TimerKind::Notify, None),
        (4, TimerKind::FirstResponse, Some("2026-11-25T10:30:00")),
        (3, TimerKind::FirstResponse, Some("2026-11-25T11:00:00")),
        (2, TimerKind::FirstResponse, Some("2026-11-25T14:00:00")),
        (1, TimerKind::FirstResponse, Some("2026-11-30T10:00:00")),
        (4, TimerKind::Eta, Some("2026-11-25T11:00:00")),
        (3, TimerKind::Eta, Some("2026-11-25T12:00:00")),
        (2, TimerKind::Eta, Some("2026-11-26T10:00:00")),
        (1, TimerKind::Eta, None),
        (4, TimerKind::Containment, Some("2026-11-25T12:00:00")),
        (3, TimerKind::Containment, Some("2026-11-25T18:00:00")),
        (2, TimerKind::Containment, Some("2026-11-27T10:00:00")),
        (1, TimerKind::Containment, None),
        (4, TimerKind::Close, Some("2026-12-25T10:00:00")),
        (3, TimerKind::Close, Some("2026-12-25T10:00:00")),
        (2, TimerKind::Close, Some("2026-12-09T10:00:00")),
        (1, TimerKind::Close, Some("2026-12-02T10:00:00")),
        (0, TimerKind::Close, Some("2026-12-02T10:00:00")),
        // Nobody took it, so nobody owes a status.
        (4, TimerKind::StatusUpdate, None),
        (4, TimerKind::Observe, None),
    ] {
        let watch = Watch::opened(level(n), None, opened);
        let found = of(&timing, &watch)
            .into_iter()
            .find(|timer| timer.key.what == What::Work(kind) && timer.key.rung == 100)
            .map(|timer| timer.due_at);
        assert_eq!(found, expected.map(at), "level {n} {kind}");
    }
}

/// What stops each timer, and in which states it runs at all.
#[test]
fn what_starts_and_what_stops() {
    let timing = timing();
    let opened = at("2026-11-25T10:00:00");
    let later = Some(at("2026-11-25T10:01:00"));
    let runs =
        |watch: &Watch, kind| of(&timing, watch).iter().any(|timer| timer.key.what == What::Work(kind));
    let base = Watch {
        state: IncidentState::Received,
        acknowledged_at: later,
        ..Watch::opened(level(4), None, opened)
    };
    assert!(!runs(&base, TimerKind::Ack));
    for (kind, stopped) in [
        (TimerKind::Notify, Watch { notified_at: later, ..base }),
        (TimerKind::FirstResponse, Watch { first_response_at: later, ..base }),
        (TimerKind::Eta, Watch { eta_at: later, ..base }),
        (TimerKind::Containment, Watch { contained_at: later, ..base }),
    ] {
        assert!(runs(&base, kind) && !runs(&stopped, kind), "{kind}");
    }
    for state in IncidentState::ALL.iter().copied() {
        let watch = Watch { state, observing_since: later, acknowledged_at: None, ..base };
        let working = state.is_open() && state != IncidentState::Observing;
        assert_eq!(runs(&watch, TimerKind::Close), working, "{state}");
        assert_eq!(runs(&watch, TimerKind::Notify), working, "{state}");
        assert_eq!(runs(&watch, TimerKind::Observe), state == IncidentState::Observing, "{state}");
        assert_eq!(runs(&watch, TimerKind::Ack), state == IncidentState::Detected, "{state}");
    }
}

#[test]
fn a_status_update_begins_the_next_interval() {
    let timing = timing();
    let opened = at("2026-11-25T10:00:00");
    let taken = Watch {
        state: IncidentState::Containing,
        acknowledged_at: Some(at("2026-11-25T10:02:00")),
        ..Watch::opened(level(4), None, opened)
    };
    let first = |watch: &Watch| {
        of(&timing, watch)
            .into_iter()
            .find(|timer| timer.key.what == What::Work(TimerKind::StatusUpdate))
            .map(|timer| (timer.key.since, timer.due_at))
    };
    assert_eq!(first(&taken), Some((at("2026-11-25T10:02:00"), at("2026-11-25T10:32:00"))));
    let told = Watch { updated_at: Some(at("2026-11-25T10:20:00")), ..taken };
    assert_eq!(first(&told), Some((at("2026-11-25T10:20:00"), at("2026-11-25T10:50:00"))));
}

#[test]
fn a_higher_level_starts_again_and_a_lower_one_does_not_give_time() {
    let timing = timing();
    let opened = at("2026-11-25T10:00:00");
    let low = Watch::opened(level(1), None, opened);
    let raised = Watch { level: level(4), raised_at: Some(at("2026-11-25T11:00:00")), ..low };
    let ack = |watch: &Watch| watch.since(TimerKind::Ack);
    assert_eq!((ack(&low), ack(&raised)), (Some(opened), Some(at("2026-11-25T11:00:00"))));
    let lowered = Watch { level: level(3), ..raised };
    assert_eq!(ack(&lowered), ack(&raised));
    assert_eq!(raised.since(TimerKind::Close), Some(opened), "the end stays where it was");
    assert_eq!(of(&timing, &lowered).first().map(|timer| timer.due_at), Some(at("2026-11-25T11:05:00")));
}

#[test]
fn local_holidays_are_days_off() {
    let timing = timing();
    let naha: BodyCode = "472018".parse().unwrap();
    let opened = at("2026-06-22T16:00:00");
    for (body, expected) in [(None, "2026-06-23T12:00:00"), (Some(naha), "2026-06-24T12:00:00")] {
        let watch = Watch::opened(level(1), body, opened);
        let ack = of(&timing, &watch)
            .into_iter()
            .find(|timer| timer.key.rung == 100 && timer.key.what == What::Work(TimerKind::Ack))
            .map(|timer| timer.due_at);
        assert_eq!(ack, Some(at(expected)));
    }
}

#[test]
fn standing_still_shows() {
    let timing = timing();
    let calendar = timing.calendars.of(None);
    let watch = Watch::opened(level(2), None, at("2026-11-20T16:55:00"));
    let ack = |now: &str| {
        let all = shown(&watch, &calendar, &timing.table, at(now));
        all.into_iter().find(|one| one.kind == TimerKind::Ack).map(|one| (one.paused, one.overdue)).unwrap()
    };
    assert_eq!(ack("2026-11-20T17:00:00"), (false, false));
    assert_eq!(ack("2026-11-22T12:00:00"), (true, false));
    assert_eq!(ack("2026-11-24T08:40:00"), (false, true));
    let high = Watch { level: level(3), ..watch };
    let never = shown(&high, &calendar, &timing.table, at("2026-11-22T03:00:00"));
    assert!(never.iter().all(|one| !one.paused));
}

#[test]
fn obligations_remind_and_overdue_goes_on() {
    let timing = timing();
    let due = Due {
        target: None,
        limit: Some(date(2026, 12, 21)),
        raw: Some(date(2026, 12, 21)),
        internal: Some(date(2026, 12, 14)),
    };
    let kind = ObligationKind::PpcFinal;
    let all = reminders(kind, &due, ObligationState::Applicable, &timing.table);
    let first: Vec<_> =
        all.iter().take(4).map(|timer| (timer.key.what, timer.key.rung, timer.due_at)).collect();
    assert_eq!(
        first,
        [
            (What::Duty(kind, Point::Internal), 0, at("2026-12-14T09:00:00")),
            (What::Duty(kind, Point::Last), 0, at("2026-12-21T09:00:00")),
            (What::Duty(kind, Point::Overdue), 1, at("2026-12-22T09:00:00")),
            (What::Duty(kind, Point::Overdue), 2, at("2026-12-23T09:00:00")),
        ]
    );
    assert_eq!(all.len(), 2 + 12);
    for state in ObligationState::ALL {
        let open = !reminders(kind, &due, *state, &timing.table).is_empty();
        let waits = due.overdue(*state, at("2027-06-01T00:00:00"));
        assert_eq!(open, waits, "whatever can be overdue reminds: {state}");
    }
    let target = Due { target: Some(date(2026, 12, 1)), ..Due::default() };
    let points: BTreeSet<_> =
        reminders(ObligationKind::Police, &target, ObligationState::Applicable, &timing.table)
            .iter()
            .map(|timer| timer.key.what.to_string())
            .collect();
    assert_eq!(points.into_iter().collect::<Vec<_>>(), ["police/last", "police/overdue"]);
}

#[test]
fn names_read_back() {
    for what in [What::Work(TimerKind::Ack), What::Duty(ObligationKind::PpcFinal, Point::Overdue)] {
        assert_eq!(what.to_string().parse(), Ok(what));
    }
    for text in ["", "ack/", "nap", "ppc_final", "ppc_final/late"] {
        assert_eq!(text.parse::<What>(), Err(NotATimer), "{text}");
    }
}

proptest! {
    /// However often and whenever somebody looks, restarts or not: each rung fires once, none before its time, all that
    /// are due by the end, and later rungs of one timer never before earlier ones.
    #[test]
    fn each_rung_fires_once(
        start in 1_767_193_200_u64..1_830_265_200,
        n in 0_u8..=4,
        steps in prop::collection::vec(0_u64..200_000, 1..40),
    ) {
        let timing = timing();
        let watch = Watch::opened(level(n), None, Timestamp::from_secs(start));
        let all = of(&timing, &watch);
        for (one, next) in all.iter().flat_map(|one| all.iter().map(move |next| (one, next))) {
            if one.key.what == next.key.what && one.key.rung < next.key.rung {
                prop_assert!(one.due_at <= next.due_at);
            }
        }
        let (mut now, mut fired) = (Timestamp::from_secs(start), BTreeSet::new());
        for step in steps {
            now = now.plus(std::time::Duration::from_secs(step));
            // Computed anew each time, as after a restart or by another replica.
            let again = of(&timing, &watch);
            let told: Vec<_> = due(&again, &fired, now).cloned().collect();
            for timer in told {
                prop_assert!(timer.due_at <= now);
                prop_assert!(fired.insert(timer.key), "told twice");
            }
        }
        for timer in &all {
            prop_assert_eq!(fired.contains(&timer.key), timer.due_at <= now);
        }
    }
}
