//! The state machine: what somebody asks of an incident, decided.
//!
//! [`apply`] looks at nothing but its arguments. In this order: is the incident in the actor's scope, may the role do
//! this at all, is it the version that the actor saw, does the state allow it, is everything there that must be. What a
//! role may only propose becomes a [`Proposal`] that another person decides on.

mod guard;
mod record;
mod step;
#[cfg(test)]
mod tests;

use sekimori_wire::finding::Severity;
use sekimori_wire::id::BodyCode;
use sekimori_wire::time::Timestamp;

use super::IncidentState;
use super::action::Action;
use super::facts::{IncidentFacts, Proposal, ProposalState};
use super::form::{FalsePositiveReason, Signed};
use super::permission::{Grant, Part, Permission, Signatures, grant, signatures};

/// Proposals of one incident that may wait at a time.
const PENDING_MAX: usize = 32;

/// Whose incidents somebody may see.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Bodies {
    /// All, and wide-area ones.
    All,
    /// Those of these bodies.
    Only(Vec<BodyCode>),
}

impl Bodies {
    /// Whether an incident of `body` is among them.
    pub fn hold(&self, body: Option<&BodyCode>) -> bool {
        match self {
            Self::All => true,
            Self::Only(bodies) => body.is_some_and(|body| bodies.contains(body)),
        }
    }
}

/// Who acts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Actor {
    /// Their account.
    pub name: String,
    /// Their part.
    pub role: Part,
    /// Whose incidents.
    pub bodies: Bodies,
}

impl Actor {
    /// The program itself.
    pub fn system() -> Self {
        Self { name: "system".to_owned(), role: Part::System, bodies: Bodies::All }
    }
}

/// What is asked, of what one saw.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    /// The version that the actor looked at.
    pub version: i64,
    /// What to do.
    pub action: Action,
}

/// Why not.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// Of another body: to this person it does not exist.
    #[error("there is no such incident")]
    OutOfScope,
    /// The role may not even propose it.
    #[error("the role {role} may not do this: {permission}")]
    NotAllowed {
        /// Whose role.
        role: Part,
        /// What it lacks.
        permission: Permission,
    },
    /// Two persons are needed, and this is the same one.
    #[error("another person must decide this")]
    SamePerson,
    /// Somebody was faster.
    #[error("it changed meanwhile: you saw version {seen}, it is {is}")]
    Conflict {
        /// What the actor saw.
        seen: i64,
        /// What it is.
        is: i64,
    },
    /// Not in this state.
    #[error("{action} is not possible in the state {state}")]
    State {
        /// What was asked.
        action: &'static str,
        /// Where the incident stands.
        state: IncidentState,
    },
    /// Something must be there first, or makes no sense.
    #[error("missing or not valid: {}", .0.join(", "))]
    Guard(Vec<String>),
}

/// What follows from a decision outside of the incident's own facts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Timers start and stop by this.
    Moved {
        /// The state before.
        from: IncidentState,
        /// The state after.
        to: IncidentState,
    },
    /// Another level: timers are computed again.
    Level {
        /// Before.
        from: Severity,
        /// After.
        to: Severity,
    },
    /// What must be reported, and who must be told, is to be derived again.
    Assessed,
    /// Something worth knowing was written down.
    Note(String),
    /// Reception is told when it will be done.
    Eta(Timestamp),
    /// Incident control runs it from now on.
    ControlActivated,
    /// Others speak of it: publication cannot wait as long.
    Hurry,
    /// The rule that found this should be looked at.
    Tune(FalsePositiveReason),
    /// The lesson can be found from now on, and the figures are final.
    Completed,
    /// It is part of another incident now; its children follow.
    MergedInto {
        /// Which.
        into: String,
    },
    /// It is itself again; so are its children.
    Unmerged {
        /// What it was part of.
        from: String,
    },
    /// These findings become an incident of their own.
    SplitOff(Vec<String>),
    /// A person puts it beside another incident.
    Linked {
        /// Which.
        other: String,
    },
    /// What a person put beside it is not beside it any more.
    Unlinked {
        /// Which.
        other: String,
    },
    /// Something outside of the incident may be done now.
    Granted(Box<Action>),
    /// Somebody wants something that another person must approve.
    Proposed(u32),
}

/// A line of the audit log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// What was done: `triage`, `propose:triage`, `approve:triage`, `reject:triage`.
    pub action: String,
    /// The state before.
    pub from: IncidentState,
    /// The state after.
    pub to: IncidentState,
    /// Why.
    pub reason: String,
}

/// What is true after a decision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Changes {
    /// The incident, one version on.
    pub facts: IncidentFacts,
    /// What follows.
    pub effects: Vec<Effect>,
    /// For the log.
    pub line: Line,
}

/// The work on one decision.
struct Draft<'a> {
    facts: IncidentFacts,
    effects: Vec<Effect>,
    actor: &'a Actor,
    now: Timestamp,
}

/// Decides what `actor` asks.
///
/// # Errors
/// Why nothing changes.
pub fn apply(
    facts: &IncidentFacts,
    actor: &Actor,
    asked: &Asked,
    now: Timestamp,
) -> Result<Changes, Refused> {
    if !actor.bodies.hold(facts.body.as_ref()) {
        return Err(Refused::OutOfScope);
    }
    let mut draft = Draft { facts: facts.clone(), effects: Vec::new(), actor, now };
    let action = if let Action::Approve { proposal } = &asked.action {
        draft.approve(*proposal, asked.version)?
    } else if let Action::Reject { proposal, reason } = &asked.action {
        draft.reject(*proposal, asked.version, reason)?
    } else {
        draft.ask(&asked.action, asked.version)?
    };
    draft.facts.version = facts.version.saturating_add(1);
    let reason = asked.action.reason().to_owned();
    let line = Line { action, from: facts.state, to: draft.facts.state, reason };
    Ok(Changes { facts: draft.facts, effects: draft.effects, line })
}

/// Something that an actor could do next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offer {
    /// What.
    pub action: &'static str,
    /// Another person must approve it.
    pub proposes: bool,
    /// What must be there first.
    pub missing: Vec<String>,
}

/// The steps that `actor` could take from here, with what is missing for each; forms and notes are not among them.
pub fn offers(facts: &IncidentFacts, actor: &Actor, now: Timestamp) -> Vec<Offer> {
    let reason = || "?".to_owned();
    let notifying = facts.state == IncidentState::Notifying;
    let back = if notifying { IncidentState::Investigating } else { IncidentState::Containing };
    let steps = [
        Action::Acknowledge,
        Action::Triage { triage: super::form::Triage::default() },
        Action::Start,
        Action::Investigate,
        Action::Notify,
        Action::Recover,
        Action::Finish,
        Action::Close,
        Action::Reopen { reason: reason() },
        Action::Back { to: back, reason: reason() },
        Action::Observe { reason: reason() },
        Action::Recur { reason: reason() },
        Action::Expire,
        Action::FalsePositive { code: FalsePositiveReason::Business, reason: reason() },
        Action::Unmerge { reason: reason() },
        Action::ActivateControl { reason: reason() },
    ];
    let offer = |action: Action| {
        let name = action.name();
        match apply(facts, actor, &Asked { version: facts.version, action }, now) {
            Ok(changes) => {
                let proposes = changes.effects.iter().any(|effect| matches!(effect, Effect::Proposed(_)));
                Some(Offer { action: name, proposes, missing: Vec::new() })
            }
            Err(Refused::Guard(missing)) => Some(Offer { action: name, proposes: false, missing }),
            Err(
                Refused::OutOfScope
                | Refused::NotAllowed { .. }
                | Refused::SamePerson
                | Refused::Conflict { .. }
                | Refused::State { .. },
            ) => None,
        }
    };
    steps.into_iter().filter_map(offer).collect()
}

impl Draft<'_> {
    /// Somebody asks for something: done, or proposed.
    fn ask(&mut self, action: &Action, version: i64) -> Result<String, Refused> {
        let (permission, granted) = self.granted(action)?;
        self.seen(version)?;
        let alone = signatures(permission, self.facts.severity) == Signatures::One;
        let before = self.facts.clone();
        // Also what is only proposed must be possible now: nobody should approve what then cannot be done.
        self.perform(action)?;
        if granted == Grant::May && alone {
            return Ok(action.name().to_owned());
        }
        self.facts = before;
        self.effects.clear();
        self.propose(action, granted)?;
        Ok(format!("propose:{}", action.name()))
    }

    fn propose(&mut self, action: &Action, granted: Grant) -> Result<(), Refused> {
        let pending: Vec<&Proposal> =
            self.facts.proposals.iter().filter(|one| one.state == ProposalState::Pending).collect();
        if pending.len() >= PENDING_MAX {
            return Err(guard::missing("proposals_decided"));
        }
        if pending.iter().any(|one| one.action == *action) {
            return Err(guard::missing("proposal_not_pending_already"));
        }
        let n = self.facts.proposals.iter().map(|one| one.n).max().unwrap_or_default().saturating_add(1);
        let signed = match granted {
            Grant::May => vec![(self.actor.name.clone(), self.actor.role)],
            Grant::Propose | Grant::No => Vec::new(),
        };
        self.facts.proposals.push(Proposal {
            n,
            action: action.clone(),
            by: self.actor.name.clone(),
            role: self.actor.role,
            at: self.now,
            signed,
            state: ProposalState::Pending,
        });
        self.effects.push(Effect::Proposed(n));
        Ok(())
    }

    /// Somebody agrees to a proposal; with the last signature it is done.
    fn approve(&mut self, n: u32, version: i64) -> Result<String, Refused> {
        let proposal = self.proposal(n)?;
        let (permission, granted) = self.granted(&proposal.action)?;
        if granted != Grant::May {
            return Err(Refused::NotAllowed { role: self.actor.role, permission });
        }
        let name = &self.actor.name;
        if proposal.by == *name || proposal.signed.iter().any(|(signer, _)| signer == name) {
            return Err(Refused::SamePerson);
        }
        self.seen(version)?;
        let mut signed = proposal.signed;
        signed.push((name.clone(), self.actor.role));
        let has = |role| signed.iter().any(|(_, signer)| *signer == Part::Person(role));
        let complete = match signatures(permission, self.facts.severity) {
            Signatures::One | Signatures::Two => true,
            Signatures::ControlAndCiso => {
                use crate::auth::role::Role;
                has(Role::Control) && has(Role::BodyCiso)
            }
        };
        if complete {
            self.perform(&proposal.action)?;
        }
        let state = if complete { ProposalState::Approved } else { ProposalState::Pending };
        if let Some(one) = self.facts.proposals.iter_mut().find(|one| one.n == n) {
            one.signed = signed;
            one.state = state;
        }
        Ok(format!("approve:{}", proposal.action.name()))
    }

    /// Somebody who may do it refuses a proposal, or its author takes it back.
    fn reject(&mut self, n: u32, version: i64, reason: &str) -> Result<String, Refused> {
        let proposal = self.proposal(n)?;
        let own = proposal.by == self.actor.name;
        let (permission, granted) = self.granted(&proposal.action)?;
        if !own && granted != Grant::May {
            return Err(Refused::NotAllowed { role: self.actor.role, permission });
        }
        self.seen(version)?;
        if !own {
            guard::reason(reason)?;
        }
        if let Some(one) = self.facts.proposals.iter_mut().find(|one| one.n == n) {
            one.state = ProposalState::Rejected;
        }
        Ok(format!("reject:{}", proposal.action.name()))
    }

    fn proposal(&self, n: u32) -> Result<Proposal, Refused> {
        self.facts.pending(n).cloned().ok_or_else(|| guard::missing(&format!("proposal:{n}")))
    }

    fn granted(&self, action: &Action) -> Result<(Permission, Grant), Refused> {
        let role = self.actor.role;
        // A proposal never holds a decision about a proposal.
        let Some(permission) = action.permission() else { return Err(guard::missing("proposal")) };
        match grant(role, permission, self.facts.at_hand(action)) {
            Grant::No => Err(Refused::NotAllowed { role, permission }),
            granted @ (Grant::Propose | Grant::May) => Ok((permission, granted)),
        }
    }

    fn seen(&self, version: i64) -> Result<(), Refused> {
        let is = self.facts.version;
        if version == is { Ok(()) } else { Err(Refused::Conflict { seen: version, is }) }
    }

    fn signed(&self) -> Signed {
        Signed { by: self.actor.name.clone(), at: self.now }
    }

    /// Only in one of these states.
    fn only(&self, action: &Action, states: &[IncidentState]) -> Result<(), Refused> {
        let state = self.facts.state;
        if states.contains(&state) { Ok(()) } else { Err(Refused::State { action: action.name(), state }) }
    }

    /// Only while it is not over.
    fn open(&self, action: &Action) -> Result<(), Refused> {
        let state = self.facts.state;
        if state.is_open() { Ok(()) } else { Err(Refused::State { action: action.name(), state }) }
    }

    fn go(&mut self, to: IncidentState) {
        self.effects.push(Effect::Moved { from: self.facts.state, to });
        self.facts.state = to;
    }

    fn level(&mut self, to: Severity) {
        if to != self.facts.severity {
            self.effects.push(Effect::Level { from: self.facts.severity, to });
            self.facts.severity = to;
        }
    }
}
