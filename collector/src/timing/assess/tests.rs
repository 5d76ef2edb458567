//! The domain's decision table and test vectors, one by one.

use jiff::civil::date;

use super::*;
use crate::timing::{Sources, Timing};

fn known(day: Date) -> Awareness {
    Awareness {
        known_at: crate::timing::instant(day.at(15, 0, 0, 0)),
        known_by: "officer".to_owned(),
        known_dept: "市民課".to_owned(),
        origin_rule: OriginRule::Recorded,
    }
}

fn leak(day: Date, items: &[Item], persons: Option<u64>, wrongful: bool) -> Leak {
    Leak {
        awareness: Some(known(day)),
        persons_max: persons,
        items: items.iter().copied().collect(),
        suspected: true,
        wrongful: Some(wrongful),
        ..Leak::default()
    }
}

fn run(segments: &[&str], profile: Profile, leak: &Leak) -> Assessment {
    let timing = Timing::load(&Sources::default()).unwrap();
    let segments: Vec<String> = segments.iter().map(|one| (*one).to_owned()).collect();
    let setting = Setting {
        level: Severity::LOW,
        category: IncidentCategory::PolicyViolation,
        segments: &segments,
        profile,
    };
    assess(&timing.law, &timing.calendars.of(None), &setting, leak)
}

fn due(assessment: &Assessment, kind: ObligationKind) -> Due {
    assessment.owed.iter().find(|owed| owed.kind == kind).map(|owed| owed.due).expect("owed")
}

/// The test vectors of the domain: known, day 3, day 5, day 30 and its deadline, day 60 and its deadline.
const VECTORS: [[(i16, i8, i8); 7]; 5] = [
    [
        (2026, 11, 22),
        (2026, 11, 24),
        (2026, 11, 26),
        (2026, 12, 21),
        (2026, 12, 21),
        (2027, 1, 20),
        (2027, 1, 20),
    ],
    [
        (2026, 10, 25),
        (2026, 10, 27),
        (2026, 10, 29),
        (2026, 11, 23),
        (2026, 11, 24),
        (2026, 12, 23),
        (2026, 12, 23),
    ],
    [(2026, 12, 2), (2026, 12, 4), (2026, 12, 6), (2026, 12, 31), (2027, 1, 4), (2027, 1, 30), (2027, 2, 1)],
    [(2026, 11, 5), (2026, 11, 7), (2026, 11, 9), (2026, 12, 4), (2026, 12, 4), (2027, 1, 3), (2027, 1, 4)],
    [(2026, 4, 3), (2026, 4, 5), (2026, 4, 7), (2026, 5, 2), (2026, 5, 7), (2026, 6, 1), (2026, 6, 1)],
];

#[test]
fn every_vector_of_the_domain() {
    for vector in VECTORS {
        let [day, three, five, raw30, due30, raw60, due60] = vector.map(|(y, m, d)| date(y, m, d));
        for wrongful in [false, true] {
            let found = run(&[], Profile::Public, &leak(day, &[Item::Sensitive], Some(1), wrongful));
            assert_eq!(
                due(&found, ObligationKind::PpcPrelim),
                Due { target: Some(three), limit: Some(five), raw: Some(five), internal: None }
            );
            let last = due(&found, ObligationKind::PpcFinal);
            let (raw, limit) = if wrongful { (raw60, due60) } else { (raw30, due30) };
            assert_eq!((last.raw, last.limit), (Some(raw), Some(limit)), "{day} {wrongful}");
            assert_eq!(
                last.target,
                wrongful.then_some(raw30),
                "day 30 stays a target where the law gives 60"
            );
            assert!(last.internal < last.limit && found.warnings.is_empty());
        }
    }
}

#[test]
fn our_own_deadline_is_five_working_days_before() {
    for (day, internal) in [
        // 2026-12-21 Mon: 18, 17, 16, 15, 14.
        (date(2026, 11, 22), date(2026, 12, 14)),
        // 2027-01-04 Mon, over the turn of the year: 12-28, 25, 24, 23, 22.
        (date(2026, 12, 2), date(2026, 12, 22)),
        // 2026-11-24 Tue, over 11-23: 20, 19, 18, 17, 16.
        (date(2026, 10, 25), date(2026, 11, 16)),
    ] {
        let found = run(&[], Profile::Public, &leak(day, &[Item::Sensitive], Some(1), false));
        assert_eq!(due(&found, ObligationKind::PpcFinal).internal, Some(internal));
    }
}

/// The decision table: what leaked, from where, of how many, by wrongful purpose; the triggers and the period.
#[test]
fn the_decision_table() {
    use Profile::{Private, Public};
    let day = date(2026, 11, 22);
    type Row<'a> = (&'a [Item], &'a [&'a str], u64, bool, Profile, &'a [&'a str], Option<i8>, Option<i8>);
    let rows: &[Row<'_>] = &[
        (&[Item::Sensitive], &[], 1, false, Public, &["sensitive"], Some(30), None),
        (&[Item::Property], &[], 1, false, Public, &["property"], Some(30), None),
        (&[], &[], 1, true, Public, &["wrongful"], Some(60), None),
        (&[], &[], 100, false, Public, &[], None, None),
        (&[], &[], 101, false, Public, &["many"], Some(30), None),
        (&[], &[], 1000, false, Private, &[], None, None),
        (&[], &[], 1001, false, Private, &["many"], Some(30), None),
        (&[Item::LocalSensitive], &[], 1, false, Public, &["local_sensitive"], Some(30), None),
        (&[Item::LocalSensitive], &[], 1, false, Private, &[], None, None),
        (&[], &["my_number"], 1, false, Public, &["mynumber_system"], None, Some(30)),
        (
            &[],
            &["my_number"],
            1,
            true,
            Public,
            &["mynumber_system", "mynumber_system_wrongful", "wrongful"],
            Some(60),
            Some(60),
        ),
        (&[Item::MyNumber], &[], 1, true, Public, &["mynumber_wrongful", "wrongful"], Some(60), Some(60)),
        (&[Item::MyNumber], &[], 100, false, Private, &[], None, None),
        (&[Item::MyNumber], &[], 101, false, Private, &["mynumber_item"], None, Some(30)),
        (&[Item::MyNumberOpen], &[], 1, false, Public, &["mynumber_open"], None, Some(30)),
        (
            &[Item::Sensitive, Item::Property],
            &[],
            500,
            true,
            Public,
            &["many", "property", "sensitive", "wrongful"],
            Some(60),
            None,
        ),
        (&[], &[], 0, true, Public, &[], None, None),
    ];
    for (items, segments, persons, wrongful, profile, triggers, ppc, mynumber) in rows {
        let found = run(segments, *profile, &leak(day, items, Some(*persons), *wrongful));
        let fired: BTreeSet<&str> =
            found.owed.iter().flat_map(|owed| &owed.triggers).map(String::as_str).collect();
        assert_eq!(fired, triggers.iter().copied().collect(), "{items:?} {segments:?} {persons} {wrongful}");
        for (kind, days) in [(ObligationKind::PpcFinal, ppc), (ObligationKind::PpcMynumberFinal, mynumber)] {
            let raw = found.owed.iter().find(|owed| owed.kind == kind).and_then(|owed| owed.due.raw);
            let expected = days.map(|days| if days == 30 { date(2026, 12, 21) } else { date(2027, 1, 20) });
            assert_eq!(raw, expected, "{items:?} {segments:?} {persons} {wrongful} {kind}");
        }
        let notice = found.owed.iter().any(|owed| owed.kind == ObligationKind::SubjectNotice);
        assert_eq!(notice, !triggers.is_empty());
    }
}

#[test]
fn a_number_that_nobody_gave_leaves_the_question_open() {
    let day = date(2026, 11, 22);
    let open = Warning::OpenTrigger("many".to_owned());
    let mut unknown = leak(day, &[], None, false);
    assert_eq!(run(&[], Profile::Public, &unknown).warnings, std::slice::from_ref(&open));
    unknown.persons_min = Some(20);
    assert_eq!(run(&[], Profile::Public, &unknown).warnings, [open], "20 or more is not yet 100 or fewer");
    unknown.persons_min = Some(101);
    let found = run(&[], Profile::Public, &unknown);
    assert_eq!((found.warnings.len(), found.owed.is_empty()), (0, false));
    unknown.persons_min = None;
    unknown.items = [Item::Sensitive].into();
    assert!(
        !run(&[], Profile::Public, &unknown).owed.is_empty(),
        "the possible is enough from one person on"
    );
    unknown.suspected = false;
    assert_eq!(run(&[], Profile::Public, &unknown), Assessment::default());
}

#[test]
fn encryption_frees_only_when_approved() {
    let mut encrypted = leak(date(2026, 11, 22), &[Item::Sensitive], Some(1), false);
    encrypted.encryption = Encryption::Claimed;
    let found = run(&[], Profile::Public, &encrypted);
    assert_eq!(
        (found.exempt, found.warnings.as_slice()),
        (false, [Warning::ExemptionNotApproved].as_slice())
    );
    assert!(due(&found, ObligationKind::PpcPrelim).limit.is_some(), "the clock runs until then");
    encrypted.encryption = Encryption::Approved { by: "ciso".to_owned() };
    let found = run(&[], Profile::Public, &encrypted);
    assert!(found.exempt && found.owed.is_empty());
}

#[test]
fn nobody_knows_since_when() {
    let mut unknown = leak(date(2026, 11, 22), &[Item::Sensitive], Some(1), false);
    unknown.awareness = None;
    let found = run(&[], Profile::Public, &unknown);
    assert_eq!(found.warnings, [Warning::NoAwareness]);
    assert!(found.owed.iter().all(|owed| owed.due == Due::default()));
}

#[test]
fn a_year_without_holidays_does_not_move() {
    let found = run(&[], Profile::Public, &leak(date(2027, 12, 5), &[Item::Sensitive], Some(1), false));
    let last = due(&found, ObligationKind::PpcFinal);
    assert_eq!((last.limit, found.warnings), (Some(date(2028, 1, 3)), vec![Warning::UnknownYear(2028)]));
}

#[test]
fn the_purpose_follows_the_category_until_somebody_says() {
    let timing = Timing::load(&Sources::default()).unwrap();
    let mut one = leak(date(2026, 11, 22), &[], Some(1), false);
    for (category, said, wrongful) in [
        (IncidentCategory::Ransomware, None, true),
        (IncidentCategory::Ransomware, Some(false), false),
        (IncidentCategory::ServiceOutage, None, false),
        (IncidentCategory::ServiceOutage, Some(true), true),
    ] {
        one.wrongful = said;
        let setting = Setting { level: Severity::LOW, category, segments: &[], profile: Profile::Public };
        let found = assess(&timing.law, &timing.calendars.of(None), &setting, &one);
        assert_eq!(found.owed.iter().any(|owed| owed.kind == ObligationKind::PpcFinal), wrongful);
    }
}

#[test]
fn obligations_without_a_leak_follow_level_segment_and_category() {
    let timing = Timing::load(&Sources::default()).unwrap();
    let lgwan = ["lgwan".to_owned()];
    let none = Leak { awareness: Some(known(date(2026, 11, 22))), ..Leak::default() };
    for (level, category, segments, expected) in [
        (1, IncidentCategory::Scan, &[][..], &[][..]),
        (2, IncidentCategory::Scan, &[], &[ObligationKind::Jpcert]),
        (2, IncidentCategory::SegmentViolation, &lgwan, &[ObligationKind::JlisReport]),
        (1, IncidentCategory::SegmentViolation, &lgwan, &[]),
        (2, IncidentCategory::Dos, &[], &[ObligationKind::Jpcert, ObligationKind::NcoCommonForm]),
        (
            4,
            IncidentCategory::Ransomware,
            &[],
            &[
                ObligationKind::PrefReport,
                ObligationKind::MicReport,
                ObligationKind::Police,
                ObligationKind::Jpcert,
                ObligationKind::Ipa,
                ObligationKind::Publication,
                ObligationKind::NcoCommonForm,
            ],
        ),
    ] {
        let level = Severity::new(level).unwrap();
        let setting = Setting { level, category, segments, profile: Profile::Public };
        let found = assess(&timing.law, &timing.calendars.of(None), &setting, &none);
        let kinds: Vec<_> = found.owed.iter().map(|owed| owed.kind).collect();
        assert_eq!(kinds, expected, "{level:?} {category}");
    }
}

#[test]
fn others_speaking_of_it_shortens_publication() {
    let mut one = leak(date(2026, 11, 22), &[], Some(1), true);
    let timing = Timing::load(&Sources::default()).unwrap();
    let setting = Setting {
        level: Severity::HIGH,
        category: IncidentCategory::DataExfil,
        segments: &[],
        profile: Profile::Public,
    };
    let target = |leak: &Leak| {
        due(&assess(&timing.law, &timing.calendars.of(None), &setting, leak), ObligationKind::Publication)
            .target
    };
    assert_eq!(target(&one), Some(date(2026, 11, 26)));
    one.mentioned_at = Some(crate::timing::instant(date(2026, 11, 23).at(9, 0, 0, 0)));
    assert_eq!(target(&one), Some(date(2026, 11, 23)));
    one.mentioned_at = Some(crate::timing::instant(date(2026, 11, 29).at(9, 0, 0, 0)));
    assert_eq!(target(&one), Some(date(2026, 11, 26)), "never later");
}

#[test]
fn overdue_begins_with_the_next_day_and_ends_only_with_filing() {
    let found = run(&[], Profile::Public, &leak(date(2026, 11, 22), &[Item::Sensitive], Some(1), false));
    let prelim = due(&found, ObligationKind::PpcPrelim);
    let last: Timestamp = "2026-11-26T23:59:59+09:00".parse().unwrap();
    let next: Timestamp = "2026-11-27T00:00:00+09:00".parse().unwrap();
    for state in ObligationState::ALL {
        assert!(!prelim.overdue(*state, last));
        let filed = matches!(
            state,
            ObligationState::FiledPrelim
                | ObligationState::FiledFinal
                | ObligationState::Completed
                | ObligationState::NotApplicable
        );
        assert_eq!(prelim.overdue(*state, next), !filed, "{state}");
    }
}
