//! Who may, who may propose, and what nobody does alone.

use super::*;

fn propose(facts: &IncidentFacts, who: &Actor, action: &Action) -> IncidentFacts {
    let changes = ask(facts, who, action.clone()).unwrap();
    assert_eq!(changes.line.action, format!("propose:{}", action.name()));
    assert_eq!(changes.facts.state, facts.state, "a proposal changes nothing");
    assert_eq!(changes.facts.work, facts.work);
    assert_eq!(changes.effects, [Effect::Proposed(u32::try_from(changes.facts.proposals.len()).unwrap())]);
    changes.facts
}

/// A state in which the action is possible.
fn place(action: &Action) -> S {
    let row = DIAGRAM.iter().find(|(_, name, _)| *name == named(action));
    row.map_or(S::Investigating, |(from, ..)| *from)
}

#[test]
fn every_role_with_every_action() {
    let people = Role::ALL.iter().map(|role| Part::Person(*role)).chain([Part::System]);
    for role in people {
        for action in every_action() {
            let facts = complete(place(&action));
            let who = Actor { name: "x".to_owned(), role, bodies: Bodies::All };
            let permission = action.permission().unwrap();
            let alone = signatures(permission, facts.severity) == Signatures::One;
            let result = ask(&facts, &who, action.clone());
            let label = format!("{role} {}", action.name());
            match (grant(role, permission, facts.at_hand(&action)), alone) {
                (Grant::No, _) => {
                    assert_eq!(result.unwrap_err(), Refused::NotAllowed { role, permission }, "{label}");
                }
                (Grant::Propose, _) | (Grant::May, false) => {
                    let facts = result.unwrap_or_else(|error| panic!("{label}: {error}")).facts;
                    assert_eq!(facts.proposals.len(), 1, "{label}");
                }
                (Grant::May, true) => {
                    let changes = result.unwrap_or_else(|error| panic!("{label}: {error}"));
                    assert!(changes.facts.proposals.is_empty(), "{label}");
                    assert_eq!(changes.line.action, action.name(), "{label}");
                }
            }
        }
    }
}

#[test]
fn auditor_and_administrator_change_nothing_at_all() {
    for role in [Role::Auditor, Role::Admin] {
        for action in every_action() {
            let facts = complete(place(&action));
            assert!(matches!(ask(&facts, &actor(role), action), Err(Refused::NotAllowed { .. })), "{role}");
        }
        let proposed =
            propose(&complete(S::Received), &actor(Role::Reception), &Action::Observe { reason: why() });
        for decision in [Action::Approve { proposal: 1 }, Action::Reject { proposal: 1, reason: why() }] {
            assert!(matches!(ask(&proposed, &actor(role), decision), Err(Refused::NotAllowed { .. })));
        }
        assert!(offers(&complete(S::Detected), &actor(role), NOW).is_empty());
    }
}

#[test]
fn a_proposal_is_done_when_another_person_who_may_approves() {
    let action = Action::Observe { reason: why() };
    let proposed = propose(&complete(S::Received), &actor(Role::Reception), &action);
    // Its author, even in a role that may; somebody who may only propose, too.
    let same = Actor { name: "reception".to_owned(), ..actor(Role::Control) };
    for (who, refused) in [
        (same, Refused::SamePerson),
        (
            actor(Role::BodyOfficer),
            Refused::NotAllowed { role: Part::Person(Role::BodyOfficer), permission: Permission::Observe },
        ),
        (
            actor(Role::BodyCiso),
            Refused::NotAllowed { role: Part::Person(Role::BodyCiso), permission: Permission::Observe },
        ),
    ] {
        assert_eq!(ask(&proposed, &who, Action::Approve { proposal: 1 }).unwrap_err(), refused);
    }
    let done = ask(&proposed, &actor(Role::Monitor), Action::Approve { proposal: 1 }).unwrap();
    assert_eq!((done.facts.state, done.line.action.as_str()), (S::Observing, "approve:observe"));
    assert_eq!(done.facts.proposals[0].state, ProposalState::Approved);
    // It is decided: nobody decides it again.
    let again = ask(&done.facts, &actor(Role::Control), Action::Approve { proposal: 1 }).unwrap_err();
    assert_eq!(again, Refused::Guard(vec!["proposal:1".to_owned()]));
    // The same is not proposed twice while it waits.
    let twice = ask(&proposed, &actor(Role::BodyOfficer), action).unwrap_err();
    assert_eq!(twice, Refused::Guard(vec!["proposal_not_pending_already".to_owned()]));
}

#[test]
fn a_proposal_can_be_refused_or_taken_back() {
    let proposed =
        propose(&complete(S::Received), &actor(Role::Reception), &Action::Observe { reason: why() });
    let reject = |reason: &str| Action::Reject { proposal: 1, reason: reason.to_owned() };
    assert_eq!(
        ask(&proposed, &actor(Role::Control), reject("")).unwrap_err(),
        Refused::Guard(vec!["reason".to_owned()])
    );
    ask(&proposed, &actor(Role::BodyOfficer), reject(WHY)).unwrap_err();
    for (who, reason) in [(actor(Role::Control), WHY), (actor(Role::Reception), "")] {
        let after = ask(&proposed, &who, reject(reason)).unwrap();
        assert_eq!(after.facts.proposals[0].state, ProposalState::Rejected);
        assert_eq!((after.facts.state, after.line.action.as_str()), (S::Received, "reject:observe"));
    }
}

#[test]
fn what_is_approved_must_still_be_possible() {
    let mut proposed = propose(&complete(S::PostReview), &actor(Role::TechSupport), &Action::Close);
    proposed.obligations[0].state = ObligationState::Applicable;
    let refused = ask(&proposed, &actor(Role::Control), Action::Approve { proposal: 1 }).unwrap_err();
    assert_eq!(refused, Refused::Guard(vec!["obligation:ppc_prelim".to_owned()]));
    proposed.state = S::Investigating;
    let refused = ask(&proposed, &actor(Role::Control), Action::Approve { proposal: 1 }).unwrap_err();
    assert_eq!(refused, Refused::State { action: "close", state: S::Investigating });
    // And what is not possible is not proposed.
    let mut bad = complete(S::PostReview);
    bad.obligations[0].state = ObligationState::Applicable;
    assert!(matches!(ask(&bad, &actor(Role::TechSupport), Action::Close), Err(Refused::Guard(_))));
}

#[test]
fn nobody_calls_a_high_one_a_false_positive_alone() {
    let action = Action::FalsePositive { code: FalsePositiveReason::Rule, reason: why() };
    for level in 0..=4 {
        let mut facts = complete(S::Triaged);
        facts.severity = Severity::new(level).unwrap();
        for role in [Role::Monitor, Role::TechSupport, Role::Control, Role::PrefCsirt] {
            if level <= 2 {
                assert_eq!(ask(&facts, &actor(role), action.clone()).unwrap().facts.state, S::FalsePositive);
                continue;
            }
            let proposed = propose(&facts, &actor(role), &action);
            assert_eq!(
                ask(
                    &proposed,
                    &Actor { name: role.to_string(), ..actor(Role::Control) },
                    Action::Approve { proposal: 1 }
                )
                .unwrap_err(),
                Refused::SamePerson
            );
            for (approver, may) in
                [(Role::Monitor, false), (Role::TechSupport, false), (Role::PrefCsirt, true)]
            {
                let who = Actor { name: "second".to_owned(), ..actor(approver) };
                let result = ask(&proposed, &who, Action::Approve { proposal: 1 });
                assert_eq!(result.is_ok(), may, "L{level} {role} {approver}");
                assert!(result.is_err() || result.unwrap().facts.state == S::FalsePositive);
            }
        }
    }
}

#[test]
fn unmasking_takes_two_and_one_of_the_body() {
    let action = Action::Unmask { what: "10.0.0.5".to_owned(), reason: why() };
    let granted = Effect::Granted(Box::new(action.clone()));
    for author in [Role::Monitor, Role::Control, Role::BodyOfficer, Role::BodyCiso] {
        let proposed = propose(&complete(S::Investigating), &actor(author), &action);
        for (approver, may) in [
            (Role::Control, false),
            (Role::TechSupport, false),
            (Role::BodyOfficer, true),
            (Role::BodyCiso, true),
        ] {
            let who = Actor { name: "second".to_owned(), ..actor(approver) };
            let result = ask(&proposed, &who, Action::Approve { proposal: 1 });
            assert_eq!(result.is_ok(), may, "{author} {approver}");
            assert!(result.is_err() || result.unwrap().effects.contains(&granted));
        }
        ask(&proposed, &actor(author), Action::Approve { proposal: 1 }).unwrap_err();
    }
}

#[test]
fn what_is_shared_is_signed_by_control_and_the_ciso() {
    let action = Action::Share { recipient: "JPCERT/CC".to_owned(), tlp: "AMBER".to_owned(), reason: why() };
    for author in [Role::TechSupport, Role::Control, Role::BodyOfficer, Role::BodyCiso, Role::PrefCsirt] {
        let mut facts = propose(&complete(S::Investigating), &actor(author), &action);
        let needed = [Role::Control, Role::BodyCiso].into_iter().filter(|role| *role != author);
        let last = needed.clone().next_back().unwrap();
        for role in needed {
            let changes = ask(&facts, &actor(role), Action::Approve { proposal: 1 }).unwrap();
            let done = changes.effects.contains(&Effect::Granted(Box::new(action.clone())));
            assert_eq!(done, role == last, "{author} {role}");
            facts = changes.facts;
        }
        assert_eq!(facts.proposals[0].state, ProposalState::Approved, "{author}");
    }
}

#[test]
fn proposals_are_bounded() {
    let mut facts = complete(S::Investigating);
    for n in 0..PENDING_MAX {
        let action = Action::Unmask { what: n.to_string(), reason: why() };
        facts = ask(&facts, &actor(Role::Monitor), action).unwrap().facts;
    }
    let more = Action::Unmask { what: "more".to_owned(), reason: why() };
    let refused = ask(&facts, &actor(Role::Monitor), more).unwrap_err();
    assert_eq!(refused, Refused::Guard(vec!["proposals_decided".to_owned()]));
}

#[test]
fn offers_are_what_the_role_can_do_here() {
    let named = |state, role| -> Vec<String> {
        let offer = |one: Offer| format!("{}{}", one.action, if one.proposes { "?" } else { "" });
        offers(&complete(state), &actor(role), NOW).into_iter().map(offer).collect()
    };
    assert_eq!(
        named(S::Detected, Role::Reception),
        ["acknowledge", "observe?", "false_positive?", "activate_control?"]
    );
    assert_eq!(
        named(S::Received, Role::Monitor),
        ["triage", "observe", "false_positive", "activate_control?"]
    );
    assert_eq!(
        named(S::Recovering, Role::TechSupport),
        ["triage", "finish?", "reopen?", "activate_control?"]
    );
    assert_eq!(named(S::Closed, Role::Control), ["reopen"]);
    assert_eq!(named(S::Closed, Role::Monitor), Vec::<String>::new());
    let mut facts = complete(S::Containing);
    facts.work.evidence = None;
    let offered = offers(&facts, &actor(Role::TechSupport), NOW);
    let investigate = offered.iter().find(|one| one.action == "investigate").unwrap();
    assert_eq!(investigate.missing, ["evidence_preserved"]);
}
