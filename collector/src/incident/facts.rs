//! Everything about an incident that decides what may happen to it next.

use std::collections::BTreeSet;

use sekimori_wire::finding::Severity;
use sekimori_wire::id::BodyCode;
use sekimori_wire::time::Timestamp;
use serde::{Deserialize, Serialize};

use super::action::Action;
use super::form::{
    Eta, FalsePositiveReason, Investigation, Leak, Publication, Review, Signed, Triage, Vendor,
};
use super::obligation::Obligation;
use super::permission::{AtHand, Part};
use super::severity::Circumstances;
use super::task::Task;
use super::{IncidentCategory, IncidentState};

/// An incident as a decision needs it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IncidentFacts {
    /// `INC-…`.
    pub id: String,
    /// What kind.
    pub category: IncidentCategory,
    /// How bad.
    pub severity: Severity,
    /// Where the work stands.
    pub state: IncidentState,
    /// Whose; `None`: a wide-area parent.
    pub body: Option<BodyCode>,
    /// Grows with every change.
    pub version: i64,
    /// An exercise; never changes after opening.
    pub drill: bool,
    /// Segments of the acting hosts, as the findings name them.
    pub segments: Vec<String>,
    /// How many bodies the same attacker was seen in; 1 for an incident alone.
    pub bodies: u32,
    /// Incidents that have this one as their parent.
    pub children: Vec<String>,
    /// Findings linked to it.
    pub findings: Vec<String>,
    /// What people wrote down and decided.
    pub work: Work,
    /// What must be done.
    pub tasks: Vec<Task>,
    /// What was proposed, and what became of it.
    pub proposals: Vec<Proposal>,
    /// What must be reported.
    pub obligations: Vec<Obligation>,
    /// What the probes of the affected services say.
    pub probes: Probes,
    /// The other incident that a merge is about, if there is one and it exists.
    pub other: Option<Other>,
}

/// What people wrote down and decided. Stored as one JSON document: unknown fields are refused, missing ones empty.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Work {
    /// When somebody took it.
    pub acknowledged_at: Option<Timestamp>,
    /// The first task done.
    pub first_response_at: Option<Timestamp>,
    /// The first response is over.
    pub contained_at: Option<Timestamp>,
    /// Services run again.
    pub recovered_at: Option<Timestamp>,
    /// It is over.
    pub closed_at: Option<Timestamp>,
    /// How often it was reopened.
    pub reopened: u32,
    /// Who works on it.
    pub owner: Option<String>,
    /// As last assessed.
    pub triage: Option<Triage>,
    /// Playbooks taken over, as `category/version`; the last is that of the category now.
    pub playbooks: Vec<String>,
    /// What leaked.
    pub leak: Option<Leak>,
    /// What was found out.
    pub investigation: Investigation,
    /// When it will be done, every word that was given.
    pub etas: Vec<Eta>,
    /// The evidence is preserved: who saw to it, when.
    pub evidence: Option<Preserved>,
    /// Whether and how the public is told.
    pub publication: Option<Publication>,
    /// Others speak of it already: where, and since when we know.
    pub mentioned: Option<Mention>,
    /// Who helps from outside.
    pub vendors: Vec<Vendor>,
    /// Incident control runs it: who called it, when.
    pub control: Option<Signed>,
    /// The review.
    pub review: Option<Review>,
    /// Since when it is only watched.
    pub observing_since: Option<Timestamp>,
    /// Why it was none.
    pub false_positive: Option<FalsePositiveReason>,
    /// Where it went.
    pub merged: Option<Merged>,
    /// What it was split off from.
    pub split_from: Option<String>,
    /// Retention leaves it alone: why, who said so, when.
    pub hold: Option<Preserved>,
    /// Its level without those merged into it, while some are.
    pub own_level: Option<u8>,
}

impl Work {
    /// Another incident was merged into this one: its level from now on.
    pub fn absorb(&mut self, current: Severity, source: Severity) -> Severity {
        self.own_level.get_or_insert_with(|| current.level());
        current.max(source)
    }

    /// One of those merged into it left again: its level from now on, given those that stay and what its own findings
    /// say. A level that a person set since then stays.
    pub fn release(&mut self, current: Severity, stay: Option<Severity>, evidence: Severity) -> Severity {
        let Some(own) = self.own_level.and_then(Severity::new) else { return current };
        if stay.is_none() {
            self.own_level = None;
        }
        own.max(evidence).max(stay.unwrap_or_default()).min(current)
    }
}

/// Evidence, safe.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Preserved {
    /// What and where, in words.
    pub what: String,
    /// Who, when.
    pub signed: Signed,
}

/// Somebody else published first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mention {
    /// Where.
    pub place: String,
    /// Who noticed, when.
    pub signed: Signed,
}

/// A merge, with all that it takes to undo it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Merged {
    /// Into which incident.
    pub into: String,
    /// The state before.
    pub state: IncidentState,
    /// The incidents that followed it, having had it as their parent.
    pub children: BTreeSet<String>,
    /// Who, when.
    pub signed: Signed,
}

/// Something that one person wants and another must approve.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Proposal {
    /// Within the incident, from 1.
    pub n: u32,
    /// What.
    pub action: Action,
    /// Who.
    pub by: String,
    /// In which role.
    pub role: Part,
    /// When.
    pub at: Timestamp,
    /// Who agreed so far, in which role.
    pub signed: Vec<(String, Part)>,
    /// What became of it.
    pub state: ProposalState,
}

closed_words! {
    /// What became of a proposal.
    ProposalState {
        /// Nobody decided.
        Pending "pending" "承認待ち" "Pending",
        /// Approved, and done.
        Approved "approved" "承認" "Approved",
        /// Refused.
        Rejected "rejected" "却下" "Rejected",
    }
}

/// What probes of the affected services say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Probes {
    /// There is no probe for what this incident is about.
    #[default]
    None,
    /// At least one says that something is down.
    Red,
    /// All are well since then.
    GreenSince(Timestamp),
}

/// The other incident of a merge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Other {
    /// Which.
    pub id: String,
    /// Where its work stands.
    pub state: IncidentState,
    /// Whose; `None`: wide-area.
    pub body: Option<BodyCode>,
    /// How bad.
    pub severity: Severity,
    /// An exercise.
    pub drill: bool,
}

impl IncidentFacts {
    /// What the floor of its level depends on.
    pub fn circumstances(&self) -> Circumstances<'_> {
        let leak = self.work.triage.as_ref().and_then(|triage| triage.leak_class);
        Circumstances { category: self.category, segments: &self.segments, leak }
    }

    /// What a grant may depend on.
    pub fn at_hand(&self, action: &Action) -> AtHand {
        let mut at_hand = AtHand { severity: self.severity, level: None, days: None };
        if let Action::SetLevel { level, .. } = action {
            at_hand.level = Some(*level);
        }
        if let Action::Suppress { days, .. } = action {
            at_hand.days = Some(*days);
        }
        at_hand
    }

    /// The task with this number.
    pub fn task_mut(&mut self, n: u32) -> Option<&mut Task> {
        self.tasks.iter_mut().find(|task| task.n == n)
    }

    /// The proposal with this number, if it waits.
    pub fn pending(&self, n: u32) -> Option<&Proposal> {
        self.proposals.iter().find(|one| one.n == n && one.state == ProposalState::Pending)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_merge_raised_an_unmerge_lowers_again() {
        let [low, medium, high, critical] = [1, 2, 3, 4].map(|level| Severity::new(level).unwrap());
        let mut work = Work::default();
        let level = work.absorb(low, high);
        let level = work.absorb(level, critical);
        assert_eq!(level, critical);
        let level = work.release(level, Some(high), low);
        assert_eq!(level, high, "the other one is still there");
        let level = work.release(level, None, medium);
        assert_eq!((level, work.own_level), (medium, None), "its own findings grew meanwhile");
        assert_eq!(work.release(critical, None, low), critical, "a person set it");
    }
}
