//! Every guard: what is taken away, what is asked, what is said to be missing.

use super::*;

type Spoil = fn(&mut IncidentFacts);

fn mandatory(facts: &mut IncidentFacts, phase: Phase) {
    facts.tasks[0].mandatory = true;
    facts.tasks[0].phase = phase;
}

fn obligation(facts: &mut IncidentFacts, state: ObligationState) {
    facts.obligations[0].state = state;
}

fn public(facts: &mut IncidentFacts) {
    facts.work.triage.as_mut().unwrap().leak_class = Some(LeakClass::PublicInterest);
}

fn green_for(facts: &mut IncidentFacts, seconds: u64) {
    facts.probes = Probes::GreenSince(NOW.minus(Duration::from_secs(seconds)));
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table")]
fn every_guard_of_a_step_names_what_is_missing() {
    let table: &[(S, Action, Spoil, &[&str])] = &[
        (S::Triaged, Action::Start, |f| f.work.playbooks.clear(), &["playbook"]),
        (S::Containing, Action::Investigate, |f| mandatory(f, Phase::Respond), &["task:1"]),
        (S::Containing, Action::Investigate, |f| mandatory(f, Phase::Investigate), &[]),
        (S::Containing, Action::Investigate, |f| f.work.evidence = None, &["evidence_preserved"]),
        (
            S::Investigating,
            Action::Notify,
            |f| f.work.investigation = Investigation::default(),
            &[
                "investigation.vector",
                "investigation.assets",
                "investigation.scope",
                "investigation.period",
                "investigation.accounts",
                "investigation.evidence",
            ],
        ),
        (
            S::Investigating,
            Action::Notify,
            |f| f.work.investigation.period = Answer::default(),
            &["investigation.period"],
        ),
        (S::Investigating, Action::Notify, |f| mandatory(f, Phase::Investigate), &["task:1"]),
        (S::Investigating, Action::Notify, |f| mandatory(f, Phase::Notify), &[]),
        (S::Notifying, Action::Recover, |f| mandatory(f, Phase::Notify), &["task:1"]),
        (
            S::Notifying,
            Action::Recover,
            |f| obligation(f, ObligationState::NotAssessed),
            &["obligation:ppc_prelim"],
        ),
        (
            S::Notifying,
            Action::Recover,
            |f| obligation(f, ObligationState::Assessing),
            &["obligation:ppc_prelim"],
        ),
        (
            S::Notifying,
            Action::Recover,
            |f| obligation(f, ObligationState::Applicable),
            &["obligation:ppc_prelim"],
        ),
        (S::Notifying, Action::Recover, |f| obligation(f, ObligationState::Scheduled), &[]),
        (S::Notifying, Action::Recover, |f| obligation(f, ObligationState::FiledPrelim), &[]),
        (S::Notifying, Action::Recover, |f| obligation(f, ObligationState::FiledFinal), &[]),
        (S::Notifying, Action::Recover, |f| obligation(f, ObligationState::Completed), &[]),
        (
            S::Notifying,
            Action::Recover,
            |f| f.work.publication.as_mut().unwrap().approved = None,
            &["publication.approved"],
        ),
        (
            S::Notifying,
            Action::Recover,
            |f| {
                public(f);
                f.work.publication = None;
            },
            &["publication"],
        ),
        (S::Notifying, Action::Recover, |f| f.work.publication = None, &[]),
        (S::Investigating, Action::Recover, |f| f.obligations.clear(), &[]),
        (
            S::Investigating,
            Action::Recover,
            |f| obligation(f, ObligationState::FiledFinal),
            &["obligation:ppc_prelim"],
        ),
        (
            S::Investigating,
            Action::Recover,
            |f| f.work.investigation.scope = Answer::default(),
            &["investigation.scope"],
        ),
        (S::Investigating, Action::Recover, |f| mandatory(f, Phase::Notify), &["task:1"]),
        (S::Recovering, Action::Finish, |f| f.work.etas.clear(), &["eta"]),
        (S::Recovering, Action::Finish, |f| f.probes = Probes::Red, &["probes_green"]),
        (S::Recovering, Action::Finish, |f| green_for(f, 899), &["probes_green_15_minutes"]),
        (S::Recovering, Action::Finish, |f| green_for(f, 900), &[]),
        (S::Recovering, Action::Finish, |f| mandatory(f, Phase::Recover), &["task:1"]),
        (S::PostReview, Action::Close, |f| mandatory(f, Phase::Review), &["task:1"]),
        (
            S::PostReview,
            Action::Close,
            |f| obligation(f, ObligationState::FiledPrelim),
            &["obligation:ppc_prelim"],
        ),
        (
            S::PostReview,
            Action::Close,
            |f| obligation(f, ObligationState::Scheduled),
            &["obligation:ppc_prelim"],
        ),
        (S::PostReview, Action::Close, |f| obligation(f, ObligationState::Completed), &[]),
        // A review is demanded from L2 on.
        (S::PostReview, Action::Close, |f| f.work.review = None, &[]),
        (
            S::PostReview,
            Action::Close,
            |f| {
                f.severity = Severity::MEDIUM;
                f.work.review = None;
            },
            &["review.held_on", "review.attendees", "review.whys", "review.root_cause", "review.prevention"],
        ),
        (
            S::PostReview,
            Action::Close,
            |f| {
                f.severity = Severity::CRITICAL;
                f.work.review.as_mut().unwrap().prevention[0].due = "soon".to_owned();
            },
            &["review.prevention"],
        ),
        (
            S::Observing,
            Action::Expire,
            |f| f.work.observing_since = Some(NOW.minus(Duration::from_secs(7 * 86_400 - 1))),
            &["observed_7_days"],
        ),
        (S::Observing, Action::Expire, |f| f.severity = Severity::MEDIUM, &["level_below_medium"]),
    ];
    for (at, (state, action, spoil, missing)) in table.iter().enumerate() {
        let mut facts = complete(*state);
        assert!(ask(&facts, &able(action), action.clone()).is_ok(), "{at}: {}", action.name());
        spoil(&mut facts);
        let result = ask(&facts, &able(action), action.clone());
        if missing.is_empty() {
            assert!(result.is_ok(), "{at}: {} {result:?}", action.name());
        } else {
            let missing = missing.iter().map(|one| (*one).to_owned()).collect();
            assert_eq!(result.unwrap_err(), Refused::Guard(missing), "{at}: {}", action.name());
        }
    }
}

#[test]
fn a_mandatory_task_stops_blocking_when_it_is_done_or_waived() {
    for action in
        [Action::DoTask { task: 1, note: String::new() }, Action::WaiveTask { task: 1, reason: why() }]
    {
        let mut facts = complete(S::Containing);
        mandatory(&mut facts, Phase::Respond);
        let done = ask(&facts, &actor(Role::TechSupport), action.clone()).unwrap().facts;
        ask(&done, &actor(Role::TechSupport), Action::Investigate).unwrap();
        assert_eq!(done.work.first_response_at.is_some(), matches!(action, Action::DoTask { .. }));
        let undone = ask(&done, &actor(Role::Monitor), Action::UndoTask { task: 1, reason: why() }).unwrap();
        ask(&undone.facts, &actor(Role::TechSupport), Action::Investigate).unwrap_err();
    }
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table")]
fn every_guard_of_a_record_names_what_is_missing() {
    let blank = || "  ".to_owned();
    let table: Vec<(Action, Spoil, &str)> = vec![
        (Action::SetLevel { level: Severity::LOW, reason: blank() }, |_| {}, "reason"),
        (
            Action::SetLevel { level: Severity::MEDIUM, reason: why() },
            |f| f.work.triage.as_mut().unwrap().leak_class = Some(LeakClass::Suspected),
            "level_of_at_least_3 (floor.leak/1)",
        ),
        (Action::Assign { owner: blank() }, |_| {}, "owner"),
        (Action::DoTask { task: 9, note: String::new() }, |_| {}, "task:9"),
        (Action::DoTask { task: 2, note: String::new() }, |_| {}, "task:2.open"),
        (
            Action::DoTask { task: 2, note: String::new() },
            |f| {
                f.tasks[1].state = TaskState::Open;
                f.work.evidence = None;
            },
            "evidence_preserved",
        ),
        (Action::WaiveTask { task: 1, reason: blank() }, |_| {}, "reason"),
        (Action::WaiveTask { task: 2, reason: why() }, |_| {}, "task:2.open"),
        (Action::UndoTask { task: 1, reason: why() }, |_| {}, "task:1.done"),
        (Action::TakeTask { task: 1, assignee: blank() }, |_| {}, "assignee"),
        (Action::Note { text: blank() }, |_| {}, "text"),
        (Action::Eta { until: NOW, reason: why() }, |_| {}, "until_in_the_future"),
        (Action::Eta { until: NOW.plus(Duration::from_secs(1)), reason: blank() }, |_| {}, "reason"),
        (
            Action::Leak {
                form: crate::incident::form::Leak {
                    persons_min: Some(2),
                    persons_max: Some(1),
                    ..Default::default()
                },
            },
            |_| {},
            "persons_min_at_most_persons_max",
        ),
        (Action::PreserveEvidence { what: blank() }, |_| {}, "what"),
        (
            Action::Publication { form: Publication::default(), text: String::new() },
            |_| {},
            "publication.reason",
        ),
        (Action::ApprovePublication, |f| f.work.publication = None, "publication"),
        (
            Action::ApprovePublication,
            |f| f.work.publication.as_mut().unwrap().texts.clear(),
            "publication.text",
        ),
        (Action::Mentioned { place: blank() }, |_| {}, "place"),
        (Action::Vendor { form: Vendor::default() }, |_| {}, "name"),
        (Action::ActivateControl { reason: blank() }, |_| {}, "reason"),
        (
            Action::ActivateControl { reason: why() },
            |f| f.work.control = Some(signed()),
            "control_not_active_already",
        ),
        (Action::EvidenceCapture { what: blank(), reason: why() }, |_| {}, "what"),
        (Action::EvidenceCapture { what: why(), reason: blank() }, |_| {}, "reason"),
        (Action::Suppress { scope: why(), days: 0, reason: why() }, |_| {}, "days_1_to_366"),
        (Action::Suppress { scope: why(), days: 367, reason: why() }, |_| {}, "days_1_to_366"),
        (Action::Share { recipient: why(), tlp: "WHITE".to_owned(), reason: why() }, |_| {}, "tlp"),
        (Action::Observe { reason: blank() }, |_| {}, "reason"),
        (Action::FalsePositive { code: FalsePositiveReason::Rule, reason: blank() }, |_| {}, "reason"),
        (Action::Back { to: S::Containing, reason: blank() }, |_| {}, "reason"),
        (Action::Split { findings: vec![], reason: why() }, |_| {}, "findings"),
        (Action::Split { findings: vec!["f9".to_owned()], reason: why() }, |_| {}, "finding:f9"),
        (
            Action::Split { findings: vec!["f1".to_owned(), "f2".to_owned()], reason: why() },
            |_| {},
            "findings_that_stay",
        ),
        (Action::Merge { into: "INC-3".to_owned(), reason: why() }, |_| {}, "into"),
        (
            Action::Merge { into: "INC-1".to_owned(), reason: why() },
            |f| other(f).id = "INC-1".to_owned(),
            "into",
        ),
        (merge(), |f| other(f).state = S::Closed, "into.open"),
        (merge(), |f| other(f).state = S::Merged, "into.open"),
        (merge(), |f| other(f).body = "131016".parse().ok(), "into.same_body_or_wide_area"),
        (merge(), |f| other(f).drill = true, "into.same_mode"),
        (
            Action::Triage { triage: Triage { impact: None, ..triage(IncidentCategory::Scan) } },
            |_| {},
            "impact",
        ),
    ];
    for (at, (action, spoil, missing)) in table.into_iter().enumerate() {
        let mut facts = complete(S::Investigating);
        spoil(&mut facts);
        let refused = ask(&facts, &able(&action), action.clone()).unwrap_err();
        assert_eq!(refused, Refused::Guard(vec![missing.to_owned()]), "{at}: {}", action.name());
    }
}

fn other(facts: &mut IncidentFacts) -> &mut Other {
    facts.other.as_mut().unwrap()
}

fn merge() -> Action {
    Action::Merge { into: "INC-2".to_owned(), reason: why() }
}

#[test]
fn a_merge_into_a_wide_area_incident_is_one_across_bodies() {
    let mut facts = complete(S::Triaged);
    other(&mut facts).body = None;
    ask(&facts, &actor(Role::Control), merge()).unwrap();
}

#[test]
fn a_new_text_voids_the_approval() {
    let facts = complete(S::Notifying);
    assert!(facts.work.publication.as_ref().unwrap().approved.is_some());
    let action = every_action().into_iter().find(|one| one.name() == "publication").unwrap();
    let next = ask(&facts, &actor(Role::Control), action).unwrap().facts;
    let form = next.work.publication.as_ref().unwrap();
    assert_eq!((form.texts.len(), &form.approved), (2, &None));
    assert!(matches!(ask(&next, &actor(Role::Control), Action::Recover), Err(Refused::Guard(_))));
    let approved = ask(&next, &actor(Role::BodyCiso), Action::ApprovePublication).unwrap().facts;
    ask(&approved, &actor(Role::Control), Action::Recover).unwrap();
}

#[test]
fn a_level_is_raised_by_triage_and_lowered_by_a_person_only() {
    let mut facts = complete(S::Received);
    facts.severity = Severity::HIGH;
    let assessed =
        ask(&facts, &actor(Role::Monitor), Action::Triage { triage: triage(IncidentCategory::Scan) });
    assert_eq!(assessed.unwrap().facts.severity, Severity::HIGH);
    let lower = Action::SetLevel { level: Severity::LOW, reason: why() };
    let lowered = ask(&facts, &actor(Role::TechSupport), lower).unwrap();
    assert_eq!(lowered.facts.severity, Severity::LOW);
    assert!(lowered.effects.contains(&Effect::Level { from: Severity::HIGH, to: Severity::LOW }));
    let leak = Triage { leak_class: Some(LeakClass::Personal), ..triage(IncidentCategory::Scan) };
    facts.severity = Severity::LOW;
    let assessed = ask(&facts, &actor(Role::Monitor), Action::Triage { triage: leak }).unwrap().facts;
    assert_eq!(assessed.severity, Severity::HIGH);
    assert!(assessed.tasks.iter().any(|task| task.origin == "leak/personal#subjects"));
}
