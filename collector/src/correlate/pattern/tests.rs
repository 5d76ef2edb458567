//! Each rule that comes with the program, and texts that are none.

use super::*;
use IncidentCategory as C;

fn at(minute: u64) -> Timestamp {
    Timestamp::from_secs(1_000_000 + minute * 60)
}

fn seen(category: C, minute: u64, severity: Severity, incident: &str) -> Seen {
    Seen {
        category,
        source: Source::Network,
        time: at(minute),
        severity,
        incident: Some(incident.to_owned()).filter(|id| !id.is_empty()),
        state: IncidentState::Detected,
        contained: false,
    }
}

fn edr(category: C, minute: u64, incident: &str) -> Seen {
    Seen { source: Source::Endpoint, ..seen(category, minute, Severity::MEDIUM, incident) }
}

fn judge(history: &[Seen], new: &Seen) -> Vec<Verdict> {
    Rules::in_force().judge(history, new)
}

fn names(verdicts: &[Verdict]) -> Vec<&str> {
    verdicts.iter().map(|verdict| verdict.rule.as_str()).collect()
}

#[test]
fn an_endpoint_alert_and_a_beacon_of_one_host_are_one_incident() {
    let beacon = seen(C::C2Beacon, 100, Severity::MEDIUM, "INC-1");
    for (minute, joins) in [(89, false), (90, true), (100, true), (110, true), (111, false)] {
        let found = judge(std::slice::from_ref(&beacon), &edr(C::MalwareInfection, minute, ""));
        let joined = found.iter().find_map(|verdict| verdict.join.as_deref());
        assert_eq!(joined, joins.then_some("INC-1"), "minute {minute}");
        assert_eq!(found.iter().any(|one| one.severity >= Severity::HIGH), joins);
    }
    // Either may come first.
    let alert = edr(C::MalwareInfection, 100, "INC-2");
    let found = judge(&[alert], &seen(C::C2Beacon, 105, Severity::LOW, ""));
    assert_eq!(found[0].join.as_deref(), Some("INC-2"));
    assert_eq!(found[0].why.1, "an endpoint alert and a network finding of the same host within 10 minutes");
    // What is over is not joined, but still makes the new one worse.
    let over = Seen { state: IncidentState::Closed, ..beacon };
    let found = judge(&[over], &edr(C::MalwareInfection, 100, ""));
    assert_eq!((found[0].join.as_deref(), found[0].severity), (None, Severity::HIGH));
}

#[test]
fn two_endpoint_alerts_prove_each_other_nothing() {
    assert_eq!(judge(&[edr(C::PolicyViolation, 1, "INC-1")], &edr(C::MalwareInfection, 2, "")), []);
}

#[test]
fn a_later_stage_raises_over_the_worst_before_it() {
    let scan = seen(C::Scan, 0, Severity::LOW, "INC-1");
    let spread = seen(C::SegmentViolation, 600, Severity::HIGH, "INC-2");
    let exfil = seen(C::DataExfil, 900, Severity::MEDIUM, "INC-3");
    let found = judge(&[spread, scan.clone()], &exfil);
    assert_eq!(names(&found), ["correlate.kill-chain/1"]);
    assert_eq!(
        (found[0].severity, &*found[0].link),
        (Severity::CRITICAL, &["INC-1", "INC-2", "INC-3"].map(String::from)[..])
    );
    assert_eq!(
        found[0].why.1,
        "the attack on or from this host went a stage further: Scanning → Segmentation breach → Data exfiltration"
    );
    // Not back to an earlier stage, nor the same again, nor after a day.
    assert_eq!(judge(std::slice::from_ref(&exfil), &seen(C::Scan, 1000, Severity::LOW, "")), []);
    assert_eq!(judge(std::slice::from_ref(&scan), &seen(C::Scan, 10, Severity::LOW, "")), []);
    assert_eq!(judge(&[scan], &seen(C::SegmentViolation, 1441, Severity::LOW, "")), []);
}

#[test]
fn the_order_is_that_of_events_and_not_of_arrival() {
    let exploit = seen(C::ExploitAttempt, 10, Severity::MEDIUM, "INC-1");
    let beacon = seen(C::C2Beacon, 40, Severity::LOW, "INC-2");
    let found = judge(std::slice::from_ref(&exploit), &beacon);
    assert_eq!(names(&found), ["correlate.kill-chain/1", "correlate.exploit-then-contact/1"]);
    assert_eq!((found[1].severity, &found[1].pivot), (Severity::HIGH, &None));
    // The exploit is reported last, and happened first: it makes the beacon's incident as bad.
    let late = Seen { incident: None, ..exploit };
    let found = judge(std::slice::from_ref(&beacon), &late);
    assert_eq!(names(&found), ["correlate.kill-chain/1", "correlate.exploit-then-contact/1"]);
    assert!(found.iter().all(|one| one.severity == Severity::HIGH && one.pivot.as_deref() == Some("INC-2")));
    assert!(found.iter().all(|one| one.join.is_none()));
    // Whose work is over is not made worse.
    assert_eq!(judge(&[Seen { state: IncidentState::Closed, ..beacon }], &late), []);
    let early = seen(C::C2Beacon, 5, Severity::LOW, "INC-2");
    assert_eq!(judge(&[exploit], &early), []);
}

#[test]
fn three_of_five_kinds() {
    let history = [
        seen(C::BruteForce, 0, Severity::LOW, "INC-1"),
        seen(C::BruteForce, 5, Severity::LOW, "INC-1"),
        seen(C::ExploitAttempt, 10, Severity::MEDIUM, "INC-2"),
    ];
    let new = seen(C::Scan, 20, Severity::LOW, "");
    let found = judge(&history, &new);
    assert_eq!(names(&found), ["correlate.three-of-five/1"]);
    assert_eq!((found[0].severity, found[0].link.len()), (Severity::HIGH, 2));
    assert!(found[0].why.0.starts_with("同じ端末に 3 種類の異常"));
    assert_eq!(judge(&history[..2], &new), []);
}

#[test]
fn no_verdict_is_milder_than_what_it_judges() {
    let worst = Severity::CRITICAL;
    for category in C::ALL {
        let history = [
            seen(C::Scan, 0, worst, "INC-1"),
            edr(C::MalwareInfection, 1, "INC-2"),
            seen(C::C2Beacon, 2, worst, "INC-3"),
        ];
        let new = seen(*category, 3, worst, "");
        for verdict in judge(&history, &new) {
            assert!(verdict.severity >= new.severity, "{verdict:?}");
        }
    }
}

#[test]
fn what_is_not_contained_in_time_is_told() {
    let rules = Rules::parse(BUILT_IN).unwrap();
    let alert = edr(C::MalwareInfection, 0, "INC-1");
    let history = std::slice::from_ref(&alert);
    assert_eq!(rules.overdue(history, at(29)), []);
    let overdue = rules.overdue(history, at(30));
    assert_eq!((overdue.len(), overdue[0].1.severity), (1, Severity::HIGH));
    assert_eq!(rules.overdue(&[Seen { contained: true, ..alert.clone() }], at(30)), []);
    assert_eq!(rules.overdue(&[Seen { state: IncidentState::Closed, ..alert.clone() }], at(30)), []);
    assert_eq!(rules.overdue(&[Seen { source: Source::Network, ..alert }], at(30)), []);
    assert_eq!(rules.reach(), Duration::from_secs(24 * 3600));
}

#[test]
fn rules_that_make_no_sense_are_named() {
    let rule = |kind: &str, effect: &str| {
        format!(
            "version = 1\n[[rule]]\nid = \"x/1\"\n{kind}\neffect = {{ {effect} }}\nja = \"a\"\nen = \"a\"\nsource = \"s\"\nverified = \"2026-11-22\"\n"
        )
    };
    let some = "kind = \"some\"\ncategories = [\"scan\", \"dos\"]\nat_least = 2\nwindow_minutes = 5";
    Rules::parse(&rule(some, "raise = 1")).unwrap();
    let storm = "kind = \"storm\"\nincidents = 10\nwindow_minutes = 5";
    let same = "kind = \"same\"\nindicator = \"file\"\nwindow_minutes = 5";
    let absence = "kind = \"absence\"\nafter = { source = \"endpoint\", categories = [\"*\"] }\nmissing = \"contained\"\nwithin_minutes = 5";
    for good in [storm, same] {
        let rules = Rules::parse(&rule(good, "join = true")).unwrap();
        assert_eq!((rules.gatherings().count(), rules.reach()), (1, Duration::ZERO));
    }
    for (text, said) in [
        (rule(&storm.replace("10", "1"), "join = true"), "`incidents` is 2 to 1000"),
        (rule(&same.replace("file", "fil"), "join = true"), "there is no indicator \"fil\""),
        (rule(storm, "join = true, raise = 1"), "only joins"),
        (rule(storm, "raise = 1"), "only joins"),
        (rule(absence, "severity = 3, raise = 1"), "only ask for a `severity`"),
        (rule(some, "raise = 0"), "does nothing"),
        (rule(some, "severity = 5"), "0 to 4"),
        (rule(some, "lower = 1"), "unknown field `lower`"),
        (rule(&some.replace("= 2", "= 3"), "raise = 1"), "`at_least` is 2 to"),
        (rule(&some.replace("dos", "doz"), "raise = 1"), "there is no category \"doz\""),
        (rule(&some.replace("= 5", "= 0"), "raise = 1"), "a window is 1 to"),
        (rule(&some.replace("some", "most"), "raise = 1"), "unknown variant `most`"),
        (rule(some, "raise = 1") + &rule(some, "raise = 1").replace("version = 1", ""), "two of this id"),
        (rule(some, "raise = 1").replace("version = 1", "version = 2"), "version 2"),
        (rule(some, "raise = 1").replace("\"s\"", "\"\""), "`source` and `verified`"),
    ] {
        let error = Rules::parse(&text).unwrap_err().to_string();
        assert!(error.contains(said), "{error}");
    }
}
