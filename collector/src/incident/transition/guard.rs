//! What must be there before a step: each guard names what is missing, in words that the API and the console show.

use std::time::Duration;

use sekimori_wire::finding::Severity;
use sekimori_wire::time::Timestamp;

use super::Refused;
use crate::incident::facts::{IncidentFacts, Probes};
use crate::incident::form::{LeakClass, said};
use crate::incident::obligation::{Obligation, ObligationState};
use crate::incident::task::Phase;

/// How long services must be well before recovery counts.
const STABLE: Duration = Duration::from_secs(15 * 60);
/// How long an incident is observed.
pub(super) const OBSERVED: Duration = Duration::from_secs(7 * 86_400);

/// One thing is missing.
pub(super) fn missing(what: &str) -> Refused {
    Refused::Guard(vec![what.to_owned()])
}

/// A reason that says something.
pub(super) fn reason(text: &str) -> Result<(), Refused> {
    text_of("reason", text)
}

/// A text that says something.
pub(super) fn text_of(name: &str, text: &str) -> Result<(), Refused> {
    if said(text) { Ok(()) } else { Err(missing(name)) }
}

/// All of it, or every name of what is missing.
pub(super) fn all(missing: Vec<String>) -> Result<(), Refused> {
    if missing.is_empty() { Ok(()) } else { Err(Refused::Guard(missing)) }
}

/// `triaged` → `containing`.
pub(super) fn start(facts: &IncidentFacts) -> Vec<String> {
    if facts.work.playbooks.is_empty() { vec!["playbook".to_owned()] } else { Vec::new() }
}

/// `containing` → `investigating`.
pub(super) fn investigate(facts: &IncidentFacts) -> Vec<String> {
    let mut missing = tasks(facts, Phase::Respond);
    if facts.work.evidence.is_none() {
        missing.push("evidence_preserved".to_owned());
    }
    missing
}

/// `investigating` → `notifying`.
pub(super) fn notify(facts: &IncidentFacts) -> Vec<String> {
    let form = &facts.work.investigation;
    let items = form.missing().into_iter().map(|name| format!("investigation.{name}"));
    items.chain(tasks(facts, Phase::Investigate)).collect()
}

/// `notifying` → `recovering`.
pub(super) fn recover(facts: &IncidentFacts) -> Vec<String> {
    let mut missing = open_obligations(facts, ObligationState::lets_recovery_begin);
    missing.extend(tasks(facts, Phase::Notify));
    missing.extend(publication(facts));
    missing
}

/// `investigating` → `recovering`: nothing is to be reported at all.
pub(super) fn recover_at_once(facts: &IncidentFacts) -> Vec<String> {
    let mut missing = open_obligations(facts, |state| state == ObligationState::NotApplicable);
    let form = &facts.work.investigation;
    missing.extend(form.missing().into_iter().map(|name| format!("investigation.{name}")));
    missing.extend(tasks(facts, Phase::Notify));
    missing.extend(publication(facts));
    missing
}

/// `recovering` → `post_review`.
pub(super) fn finish(facts: &IncidentFacts, now: Timestamp) -> Vec<String> {
    let mut missing = tasks(facts, Phase::Recover);
    if facts.work.etas.is_empty() {
        missing.push("eta".to_owned());
    }
    match facts.probes {
        Probes::Red => missing.push("probes_green".to_owned()),
        Probes::GreenSince(since) if now.since(since) < STABLE => {
            missing.push("probes_green_15_minutes".to_owned());
        }
        Probes::GreenSince(_) | Probes::None => {}
    }
    missing
}

/// `post_review` → `closed`.
pub(super) fn close(facts: &IncidentFacts) -> Vec<String> {
    let mut missing = open_obligations(facts, ObligationState::is_terminal);
    missing.extend(tasks(facts, Phase::Review));
    if facts.severity >= Severity::MEDIUM {
        let review = facts.work.review.clone().unwrap_or_default();
        missing.extend(review.missing().into_iter().map(str::to_owned));
    }
    missing
}

/// `observing` → `closed`.
pub(super) fn expire(facts: &IncidentFacts, now: Timestamp) -> Vec<String> {
    let since = facts.work.observing_since.unwrap_or(now);
    [
        ("observed_7_days", now.since(since) < OBSERVED),
        ("level_below_medium", facts.severity >= Severity::MEDIUM),
    ]
    .into_iter()
    .filter(|(_, missing)| *missing)
    .map(|(name, _)| name.to_owned())
    .collect()
}

/// Mandatory tasks of this step and those before it.
fn tasks(facts: &IncidentFacts, through: Phase) -> Vec<String> {
    let blocking = facts.tasks.iter().filter(|task| task.phase <= through && task.blocks());
    blocking.map(|task| format!("task:{}", task.n)).collect()
}

fn open_obligations(facts: &IncidentFacts, done: impl Fn(ObligationState) -> bool) -> Vec<String> {
    let open = facts.obligations.iter().filter(|Obligation { state, .. }| !done(*state));
    open.map(|one| format!("obligation:{}", one.kind)).collect()
}

/// What is of public interest needs a decision, and what is to be published an approval.
fn publication(facts: &IncidentFacts) -> Vec<String> {
    let public =
        facts.work.triage.as_ref().is_some_and(|triage| triage.leak_class == Some(LeakClass::PublicInterest));
    match &facts.work.publication {
        None if public => vec!["publication".to_owned()],
        Some(form) if form.publish && form.approved.is_none() => vec!["publication.approved".to_owned()],
        None | Some(_) => Vec::new(),
    }
}
