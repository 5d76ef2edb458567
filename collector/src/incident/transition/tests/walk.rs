//! From the detection to the end, once for each category, with what its playbook demands.

use super::*;

fn fresh(category: IncidentCategory) -> IncidentFacts {
    IncidentFacts {
        category,
        severity: category.floor(),
        work: Work::default(),
        tasks: Vec::new(),
        obligations: Vec::new(),
        ..complete(S::Detected)
    }
}

fn must(facts: &IncidentFacts, role: Role, action: Action) -> IncidentFacts {
    let name = action.name();
    let changes = ask(facts, &actor(role), action).unwrap_or_else(|error| panic!("{role} {name}: {error}"));
    assert_eq!(changes.facts.version, facts.version + 1);
    changes.facts
}

fn refused(facts: &IncidentFacts, role: Role, action: Action) -> Vec<String> {
    match ask(facts, &actor(role), action) {
        Err(Refused::Guard(missing)) => missing,
        other => panic!("{other:?}"),
    }
}

#[test]
fn an_incident_of_each_category_goes_through_the_six_steps() {
    for category in IncidentCategory::ALL {
        let mut facts = fresh(*category);
        facts = must(&facts, Role::Reception, Action::Acknowledge);
        facts = must(&facts, Role::Monitor, Action::Triage { triage: triage(*category) });
        assert_eq!(facts.work.playbooks, [format!("{category}/1")]);
        facts = must(&facts, Role::Monitor, Action::Start);
        assert!(refused(&facts, Role::TechSupport, Action::Investigate).iter().any(|one| one == "task:1"));
        let preserve = Action::PreserveEvidence { what: "pcap".to_owned() };
        facts = must(&facts, Role::TechSupport, preserve);
        let open: Vec<u32> = facts.tasks.iter().filter(|task| task.blocks()).map(|task| task.n).collect();
        for task in open {
            facts = must(&facts, Role::BodyOfficer, Action::DoTask { task, note: "済".to_owned() });
        }
        facts = must(&facts, Role::TechSupport, Action::Investigate);
        assert_eq!(refused(&facts, Role::TechSupport, Action::Notify).len(), 6);
        facts = must(&facts, Role::TechSupport, Action::Investigation { form: investigation() });
        facts = must(&facts, Role::BodyOfficer, Action::Notify);
        facts = must(&facts, Role::BodyOfficer, Action::Recover);
        assert_eq!(refused(&facts, Role::BodyOfficer, Action::Finish), ["eta"]);
        let eta = Action::Eta { until: NOW.plus(Duration::from_secs(3600)), reason: String::new() };
        facts = must(&facts, Role::TechSupport, eta);
        // Technical support says that it is done; the body confirms.
        facts = must(&facts, Role::TechSupport, Action::Finish);
        assert_eq!(facts.state, S::Recovering);
        facts = must(&facts, Role::BodyOfficer, Action::Approve { proposal: 1 });
        assert_eq!(facts.state, S::PostReview);
        if facts.severity >= Severity::MEDIUM {
            assert_eq!(refused(&facts, Role::Control, Action::Close).len(), 5, "{category}");
        }
        facts = must(&facts, Role::Control, Action::Review { form: review() });
        facts = must(&facts, Role::BodyCiso, Action::Close);
        assert_eq!(facts.state, S::Closed, "{category}");
        let work = &facts.work;
        for at in [work.acknowledged_at, work.first_response_at, work.contained_at, work.recovered_at] {
            assert_eq!(at, Some(NOW), "{category}");
        }
        facts = must(&facts, Role::Control, Action::Reopen { reason: why() });
        assert_eq!((facts.state, facts.work.reopened, facts.work.closed_at), (S::Investigating, 1, None));
    }
}

#[test]
fn a_category_that_turns_out_to_be_another_gets_its_playbook_too() {
    let mut facts = must(&fresh(IncidentCategory::Scan), Role::Monitor, Action::Acknowledge);
    facts = must(&facts, Role::Monitor, Action::Triage { triage: triage(IncidentCategory::Scan) });
    facts = must(&facts, Role::Monitor, Action::Start);
    facts = must(&facts, Role::Monitor, Action::DoTask { task: 1, note: String::new() });
    let scan = facts.tasks.len();
    facts = must(&facts, Role::Monitor, Action::Triage { triage: triage(IncidentCategory::C2Beacon) });
    assert_eq!((facts.state, facts.category), (S::Containing, IncidentCategory::C2Beacon));
    assert!(facts.tasks.len() > scan && facts.tasks[0].state != TaskState::Open);
    assert_eq!(facts.work.playbooks, ["scan/1", "c2_beacon/1"]);
}

#[test]
fn what_is_written_down_reads_back() {
    let mut facts = fresh(IncidentCategory::DataExfil);
    for (role, action) in [
        (Role::Monitor, Action::Acknowledge),
        (Role::Monitor, Action::Triage { triage: triage(IncidentCategory::DataExfil) }),
        (Role::Monitor, Action::Start),
        (Role::Monitor, Action::DoTask { task: 1, note: "x".to_owned() }),
        (Role::Control, Action::WaiveTask { task: 2, reason: why() }),
        (Role::Control, Action::Vendor { form: Vendor { name: "v".to_owned(), ..Vendor::default() } }),
        (Role::Control, Action::Mentioned { place: "SNS".to_owned() }),
        (Role::Control, Action::ActivateControl { reason: why() }),
        (Role::BodyOfficer, Action::FalsePositive { code: FalsePositiveReason::Rule, reason: why() }),
        (Role::Monitor, Action::Unmask { what: "x".to_owned(), reason: why() }),
    ] {
        let result = ask(&facts, &actor(role), action);
        // A false positive is not possible any more once the first response runs.
        facts = result.map_or(facts, |changes| changes.facts);
    }
    let json = serde_json::to_string(&facts.work).unwrap();
    assert_eq!(serde_json::from_str::<Work>(&json).unwrap(), facts.work);
    let json = serde_json::to_string(&facts.tasks).unwrap();
    assert_eq!(serde_json::from_str::<Vec<crate::incident::task::Task>>(&json).unwrap(), facts.tasks);
    assert_eq!(facts.proposals.len(), 1);
    let json = serde_json::to_string(&facts.proposals).unwrap();
    assert_eq!(serde_json::from_str::<Vec<Proposal>>(&json).unwrap(), facts.proposals);
    assert_eq!(serde_json::from_str::<Work>("{}").unwrap(), Work::default(), "what an older version wrote");
}
