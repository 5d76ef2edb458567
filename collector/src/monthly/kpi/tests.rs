//! Figures of cases made by hand, worked out by hand.

use super::*;
use crate::incident::IncidentCategory;
use crate::incident::facts::Work;
use crate::incident::form::Triage;

fn at(seconds: u64) -> Timestamp {
    Timestamp::from_secs(1_800_000_000 + seconds)
}

/// Opened at 100 of evidence from 70, at this level.
fn case(level: u8, state: IncidentState, work: Work) -> Case {
    Case {
        id: format!("INC-422011-20270115-{level}"),
        body: Some("422011".to_owned()),
        category: IncidentCategory::Scan,
        severity: Severity::new(level).unwrap(),
        state,
        title_ja: String::new(),
        title_en: String::new(),
        opened_at: at(100),
        first_evidence: at(70),
        notified_at: None,
        by_hand: false,
        work,
        passed: BTreeSet::new(),
        segments: Vec::new(),
    }
}

fn taken(seconds: u64) -> Work {
    Work { acknowledged_at: Some(at(100 + seconds)), triage: Some(Triage::default()), ..Work::default() }
}

#[test]
fn times_are_means_with_what_lies_around_them() {
    let mut cases: Vec<Case> = (1..=20).map(|n| case(3, IncidentState::Closed, taken(n * 60))).collect();
    cases.push(case(3, IncidentState::Detected, Work::default()));
    cases.push(case(3, IncidentState::Merged, taken(9_999)));
    cases.push(case(3, IncidentState::FalsePositive, taken(9_999)));
    let figures = figures(&cases);
    let of = |what, from| *figures.iter().find(|one| one.what == what && one.from_level == from).unwrap();
    let taken = of(Span::Acknowledge, 3);
    assert_eq!(
        (taken.count, taken.mean, taken.median, taken.p95),
        (20, Some(630.0), Some(600.0), Some(1_140.0))
    );
    assert_eq!(taken.met, Some(false), "630 s and not 600");
    assert_eq!(of(Span::Acknowledge, 2).met, None, "nothing to judge");
    let found = of(Span::Detect, 0);
    assert_eq!((found.count, found.mean, found.met), (21, Some(30.0), Some(true)));
}

#[test]
fn shares_count_what_was_judged() {
    let mut late = case(2, IncidentState::Closed, taken(60));
    late.notified_at = Some(at(9_000));
    late.passed.insert(TimerKind::Notify);
    let mut kept = case(2, IncidentState::Closed, taken(60));
    kept.notified_at = Some(at(200));
    // Nobody was told yet, and there is time.
    let waits = case(2, IncidentState::Detected, Work::default());
    let none = case(1, IncidentState::FalsePositive, taken(60));
    let mut told = case(1, IncidentState::Received, Work::default());
    told.by_hand = true;
    let sensor = |minutes, of_minutes| SensorRow {
        name: String::new(),
        body: String::new(),
        version: String::new(),
        minutes,
        of_minutes,
        gaps: 0,
        lost: 0,
    };
    let sensors = [sensor(Some(995), 1_000), sensor(None, 1_000)];
    let causes = [(true, "x".to_owned()), (false, "y".to_owned())];
    let shares = shares(&[late, kept, waits, none, told], &[], &sensors, &causes);
    let of = |what| {
        let one = shares.iter().find(|one| one.what == what).unwrap();
        (one.count, one.of, one.met)
    };
    assert_eq!(of(Portion::Notify), (1, 2, Some(false)));
    assert_eq!(of(Portion::FalsePositive), (1, 3, Some(false)), "a third of what was looked at");
    assert_eq!(of(Portion::ByHand), (1, 5, None));
    assert_eq!(of(Portion::Statutory), (0, 0, None));
    assert_eq!(of(Portion::Recurrence), (1, 2, Some(false)));
    assert_eq!(of(Portion::Sensors), (995, 1_000, Some(true)), "one that was not counted says nothing");
}

#[test]
fn letters_go_on_after_the_last() {
    let letters: Vec<String> = [0, 25, 26, 27, 51, 52, 701, 702].map(letter).to_vec();
    assert_eq!(letters, ["A", "Z", "AA", "AB", "AZ", "BA", "ZZ", "AAA"]);
}
