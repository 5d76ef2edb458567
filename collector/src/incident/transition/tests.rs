//! The machine against literal tables: every action in every state, by every role, and every guard.

use std::time::Duration;

use super::*;
use crate::auth::role::Role;
use crate::incident::IncidentCategory;
use crate::incident::IncidentState as S;
use crate::incident::facts::{Merged, Other, Preserved, Probes, Work};
use crate::incident::form::{
    Answer, Aspect, Eta, Investigation, LeakClass, Prevention, Publication, Review, Triage, Vendor,
};
use crate::incident::obligation::{Obligation, ObligationKind, ObligationState};
use crate::incident::severity::{Impact, Urgency};
use crate::incident::task::{Phase, TaskKind, TaskState};

mod guards;
mod people;
mod walk;

const NOW: Timestamp = Timestamp::from_secs(1_800_000_000);
const WHY: &str = "理由";

fn actor(role: Role) -> Actor {
    Actor { name: role.as_str().to_owned(), role: Part::Person(role), bodies: Bodies::All }
}

fn signed() -> Signed {
    Signed { by: "control".to_owned(), at: NOW }
}

fn triage(category: IncidentCategory) -> Triage {
    Triage {
        category: Some(category),
        impact: Some(Impact::I1),
        urgency: Some(Urgency::U2),
        hurts: Some([Aspect::Confidentiality].into()),
        leak_class: Some(LeakClass::None),
        owner: Some("monitor".to_owned()),
        cause: None,
    }
}

fn answer() -> Answer {
    Answer { value: Some("x".to_owned()), unknown_because: None }
}

fn investigation() -> Investigation {
    Investigation {
        vector: answer(),
        assets: answer(),
        scope: answer(),
        period: answer(),
        accounts: answer(),
        evidence: Answer { value: None, unknown_because: Some(WHY.to_owned()) },
    }
}

fn review() -> Review {
    Review {
        held_on: "2026-12-01".to_owned(),
        attendees: vec!["control".to_owned()],
        whys: vec![WHY.to_owned()],
        root_cause: WHY.to_owned(),
        prevention: vec![Prevention {
            what: "MFA".to_owned(),
            owner: "情報政策課".to_owned(),
            due: "2027-01-31".to_owned(),
        }],
        lesson: WHY.to_owned(),
        ..Review::default()
    }
}

/// An incident in this state where nothing is missing for any step, and everything can still go wrong.
fn complete(state: S) -> IncidentFacts {
    let work = Work {
        triage: Some(triage(IncidentCategory::Scan)),
        playbooks: vec!["scan/1".to_owned()],
        investigation: investigation(),
        etas: vec![Eta { until: NOW, reason: String::new(), signed: signed() }],
        evidence: Some(Preserved { what: "disk image".to_owned(), signed: signed() }),
        review: Some(review()),
        publication: Some(Publication {
            publish: true,
            texts: vec!["公表文".to_owned()],
            approved: Some(signed()),
            ..Publication::default()
        }),
        observing_since: Some(NOW.minus(Duration::from_secs(8 * 86_400))),
        merged: Some(Merged {
            into: "INC-0".to_owned(),
            state: S::Investigating,
            children: ["INC-7".to_owned()].into(),
            signed: signed(),
        }),
        ..Work::default()
    };
    let mut facts = IncidentFacts {
        id: "INC-1".to_owned(),
        category: IncidentCategory::Scan,
        severity: Severity::LOW,
        state,
        body: "422011".parse().ok(),
        version: 7,
        drill: false,
        segments: Vec::new(),
        bodies: 1,
        children: Vec::new(),
        findings: vec!["f1".to_owned(), "f2".to_owned()],
        work,
        tasks: Vec::new(),
        proposals: Vec::new(),
        obligations: vec![Obligation {
            kind: ObligationKind::PpcPrelim,
            state: ObligationState::NotApplicable,
        }],
        probes: Probes::None,
        other: Some(Other {
            id: "INC-2".to_owned(),
            state: S::Received,
            body: "422011".parse().ok(),
            severity: Severity::HIGH,
            drill: false,
        }),
    };
    crate::incident::task::add(&mut facts.tasks, "x", Role::Monitor, Phase::Respond, TaskKind::Work);
    crate::incident::task::add(&mut facts.tasks, "y", Role::Monitor, Phase::Recover, TaskKind::CleanUp);
    facts.tasks[1].state = TaskState::Done { signed: signed(), note: String::new() };
    facts.work.owner = Some("monitor".to_owned());
    facts.work.hold = facts.work.evidence.clone();
    facts
}

fn ask(facts: &IncidentFacts, who: &Actor, action: Action) -> Result<Changes, Refused> {
    apply(facts, who, &Asked { version: facts.version, action }, NOW)
}

fn why() -> String {
    WHY.to_owned()
}

/// One of every action, with nothing missing.
fn every_action() -> Vec<Action> {
    let form = Publication {
        publish: true,
        when: "12:00".to_owned(),
        media: vec!["web".to_owned()],
        spokesperson: "広報課長".to_owned(),
        ..Publication::default()
    };
    vec![
        Action::Acknowledge,
        Action::Triage { triage: triage(IncidentCategory::Scan) },
        Action::SetLevel { level: Severity::MEDIUM, reason: why() },
        Action::Assign { owner: "tech".to_owned() },
        Action::Release { reason: why() },
        Action::Link { other: "INC-2".to_owned(), reason: why() },
        Action::Unlink { other: "INC-2".to_owned(), reason: why() },
        Action::Hold { reason: why() },
        Action::ReleaseHold { reason: why() },
        Action::Start,
        Action::Investigate,
        Action::Notify,
        Action::Recover,
        Action::Finish,
        Action::Close,
        Action::Expire,
        Action::Reopen { reason: why() },
        Action::Back { to: S::Containing, reason: why() },
        Action::Back { to: S::Investigating, reason: why() },
        Action::Observe { reason: why() },
        Action::Recur { reason: why() },
        Action::FalsePositive { code: FalsePositiveReason::Rule, reason: why() },
        Action::Merge { into: "INC-2".to_owned(), reason: why() },
        Action::Unmerge { reason: why() },
        Action::Split { findings: vec!["f1".to_owned()], reason: why() },
        Action::DoTask { task: 1, note: String::new() },
        Action::WaiveTask { task: 1, reason: why() },
        Action::UndoTask { task: 2, reason: why() },
        Action::TakeTask { task: 1, assignee: "tech".to_owned() },
        Action::AddTask { text: why(), role: Role::Monitor, phase: Phase::Recover, kind: TaskKind::Work },
        Action::Note { text: why() },
        Action::Eta { until: NOW.plus(Duration::from_secs(60)), reason: why() },
        Action::Investigation { form: investigation() },
        Action::Leak { form: crate::incident::form::Leak::default() },
        Action::PreserveEvidence { what: why() },
        Action::Publication { form, text: why() },
        Action::ApprovePublication,
        Action::Mentioned { place: why() },
        Action::Vendor { form: Vendor { name: why(), ..Vendor::default() } },
        Action::Review { form: review() },
        Action::ActivateControl { reason: why() },
        Action::EvidenceCapture { what: why(), reason: why() },
        Action::Unmask { what: why(), reason: why() },
        Action::Suppress { scope: "port=443 body=422011".to_owned(), days: 30, reason: why() },
        Action::Share { recipient: why(), tlp: "AMBER".to_owned(), reason: why() },
    ]
}

/// The diagram: from, action, to. What is not here is refused.
const DIAGRAM: &[(S, &str, S)] = &[
    (S::Detected, "acknowledge", S::Received),
    (S::Received, "triage", S::Triaged),
    (S::Triaged, "start", S::Containing),
    (S::Containing, "investigate", S::Investigating),
    (S::Investigating, "notify", S::Notifying),
    (S::Notifying, "recover", S::Recovering),
    (S::Investigating, "recover", S::Recovering),
    (S::Recovering, "finish", S::PostReview),
    (S::PostReview, "close", S::Closed),
    (S::Investigating, "back containing", S::Containing),
    (S::Notifying, "back investigating", S::Investigating),
    (S::Notifying, "back containing", S::Containing),
    (S::Closed, "reopen", S::Investigating),
    (S::Recovering, "reopen", S::Investigating),
    (S::PostReview, "reopen", S::Investigating),
    (S::Detected, "observe", S::Observing),
    (S::Received, "observe", S::Observing),
    (S::Triaged, "observe", S::Observing),
    (S::Investigating, "observe", S::Observing),
    (S::Observing, "recur", S::Received),
    (S::Observing, "expire", S::Closed),
    (S::Detected, "false_positive", S::FalsePositive),
    (S::Received, "false_positive", S::FalsePositive),
    (S::Triaged, "false_positive", S::FalsePositive),
    (S::Investigating, "false_positive", S::FalsePositive),
    (S::Detected, "merge", S::Merged),
    (S::Received, "merge", S::Merged),
    (S::Triaged, "merge", S::Merged),
    (S::Investigating, "merge", S::Merged),
    // The state before the merge, as the incident remembers it.
    (S::Merged, "unmerge", S::Investigating),
];

/// The name in the table above.
fn named(action: &Action) -> String {
    if let Action::Back { to, .. } = action { format!("back {to}") } else { action.name().to_owned() }
}

/// A role that may do everything of the kind alone.
fn able(action: &Action) -> Actor {
    let bodys = [Permission::PublicationApprove, Permission::Finish].contains(&action.permission().unwrap());
    actor(if bodys { Role::BodyCiso } else { Role::Control })
}

#[test]
fn every_action_in_every_state() {
    let moves: Vec<&str> = DIAGRAM.iter().map(|(_, action, _)| *action).collect();
    for state in S::ALL {
        for action in every_action() {
            let facts = complete(*state);
            let name = named(&action);
            let result = ask(&facts, &able(&action), action.clone());
            let row = DIAGRAM.iter().find(|(from, name, _)| from == state && *name == named(&action));
            let assesses = matches!(action, Action::Triage { .. })
                && [S::Triaged, S::Containing, S::Investigating, S::Notifying, S::Recovering, S::PostReview]
                    .contains(state);
            match (row, result) {
                (Some((_, _, to)), Ok(changes)) => {
                    assert_eq!(changes.facts.state, *to, "{state} {name}");
                    assert_eq!((changes.line.from, changes.line.to), (*state, *to));
                    let moved = Effect::Moved { from: *state, to: *to };
                    assert!(changes.effects.contains(&moved), "{state} {name}");
                    assert_eq!(changes.facts.version, 8);
                }
                (None, Ok(changes)) => {
                    let allowed = assesses
                        || matches!(
                            action,
                            Action::Note { .. } | Action::Hold { .. } | Action::ReleaseHold { .. }
                        )
                        || (state.is_open() && !moves.contains(&name.as_str()));
                    assert!(allowed, "{state} {name} must be refused");
                    assert_eq!(changes.facts.state, *state, "{state} {name} moves nothing");
                    assert_eq!(changes.facts.version, 8);
                }
                (None, Err(Refused::State { action: refused, state: at })) => {
                    assert_eq!((refused, at), (action.name(), *state));
                    assert!(
                        !assesses && (moves.contains(&name.as_str()) || !state.is_open()),
                        "{state} {name}"
                    );
                }
                (row, result) => panic!("{state} {name}: {row:?} {result:?}"),
            }
        }
    }
}

#[test]
fn what_somebody_saw_must_still_be_so() {
    let facts = complete(S::Detected);
    for (version, is) in [(6, 7), (8, 7), (0, 7)] {
        let asked = Asked { version, action: Action::Acknowledge };
        let refused = apply(&facts, &actor(Role::Monitor), &asked, NOW).unwrap_err();
        assert_eq!(refused, Refused::Conflict { seen: version, is });
    }
    // Two at once: the second of them changes nothing.
    let first = ask(&facts, &actor(Role::Monitor), Action::Acknowledge).unwrap();
    let second = Asked { version: 7, action: Action::Note { text: why() } };
    let refused = apply(&first.facts, &actor(Role::Control), &second, NOW).unwrap_err();
    assert_eq!(refused, Refused::Conflict { seen: 7, is: 8 });
}

#[test]
fn another_bodys_incident_does_not_exist() {
    let own = Actor { bodies: Bodies::Only(vec!["422011".parse().unwrap()]), ..actor(Role::BodyOfficer) };
    let other = Actor { bodies: Bodies::Only(vec!["131016".parse().unwrap()]), ..actor(Role::BodyOfficer) };
    let facts = complete(S::Detected);
    ask(&facts, &own, Action::Acknowledge).unwrap();
    assert_eq!(ask(&facts, &other, Action::Acknowledge).unwrap_err(), Refused::OutOfScope);
    let wide = IncidentFacts { body: None, ..facts };
    assert_eq!(ask(&wide, &own, Action::Acknowledge).unwrap_err(), Refused::OutOfScope);
    ask(&wide, &actor(Role::BodyOfficer), Action::Acknowledge).unwrap();
}

#[test]
fn a_merge_and_its_undoing_leave_everything_as_it_was() {
    let control = actor(Role::Control);
    for state in [S::Detected, S::Received, S::Triaged, S::Investigating] {
        let mut before = complete(state);
        before.children = vec!["INC-8".to_owned(), "INC-9".to_owned()];
        before.work.merged = None;
        let merged =
            ask(&before, &control, Action::Merge { into: "INC-2".to_owned(), reason: why() }).unwrap();
        assert_eq!(merged.facts.state, S::Merged);
        assert!(merged.effects.contains(&Effect::MergedInto { into: "INC-2".to_owned() }));
        // While it is merged its children belong to the other.
        let there = IncidentFacts { children: Vec::new(), other: None, ..merged.facts };
        let back = ask(&there, &control, Action::Unmerge { reason: why() }).unwrap();
        assert!(back.effects.contains(&Effect::Unmerged { from: "INC-2".to_owned() }));
        let expected = IncidentFacts { version: 9, other: None, ..before };
        assert_eq!(back.facts, expected);
    }
}
