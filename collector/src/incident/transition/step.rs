//! Steps from one state to another, and what else an action does.

use sekimori_wire::finding::Severity;

use super::{Draft, Effect, Refused, guard};
use crate::incident::IncidentState as S;
use crate::incident::action::Action;
use crate::incident::facts::{Merged, Preserved};
use crate::incident::form::{FalsePositiveReason, Triage};
use crate::incident::{playbook, severity, task};

/// Where an incident can still turn out to be none, part of another one, or not worth more than a look now and then.
const UNDECIDED: &[S] = &[S::Detected, S::Received, S::Triaged, S::Investigating];
/// Where triage can be corrected.
const ASSESSABLE: &[S] =
    &[S::Received, S::Triaged, S::Containing, S::Investigating, S::Notifying, S::Recovering, S::PostReview];
/// Each step back that exists.
const BACK: &[(S, S)] =
    &[(S::Investigating, S::Containing), (S::Notifying, S::Investigating), (S::Notifying, S::Containing)];

impl Draft<'_> {
    /// Does it, if the state allows it and nothing is missing.
    pub(super) fn perform(&mut self, action: &Action) -> Result<(), Refused> {
        match action {
            Action::Acknowledge => self.acknowledge(action),
            Action::Triage { triage } => self.triage(action, triage),
            Action::Start => self.forward(action, &[S::Triaged], guard::start(&self.facts), S::Containing),
            Action::Investigate => self.investigate(action),
            Action::Notify => {
                self.forward(action, &[S::Investigating], guard::notify(&self.facts), S::Notifying)
            }
            Action::Recover => self.recover(action),
            Action::Finish => self.finish(action),
            Action::Close => {
                self.forward(action, &[S::PostReview], guard::close(&self.facts), S::Closed)?;
                self.over();
                Ok(())
            }
            Action::Expire => {
                let missing = guard::expire(&self.facts, self.now);
                self.forward(action, &[S::Observing], missing, S::Closed)?;
                self.over();
                Ok(())
            }
            Action::Reopen { reason } => self.reopen(action, reason),
            Action::Back { to, reason } => self.back(action, *to, reason),
            Action::Observe { reason } => self.observe(action, reason),
            Action::Recur { reason } => self.recur(action, reason),
            Action::FalsePositive { code, reason } => self.false_positive(action, *code, reason),
            Action::Merge { into, reason } => self.merge(action, into, reason),
            Action::Unmerge { reason } => self.unmerge(action, reason),
            Action::Split { findings, reason } => self.split(action, findings, reason),
            // A note about what is over still finds its place.
            Action::Note { text } => self.note(text),
            // Courts ask for what is long over.
            Action::Hold { reason } => self.hold(Some(reason)),
            Action::ReleaseHold { reason } => {
                guard::reason(reason)?;
                self.hold(None)
            }
            Action::Link { other, reason } => self.link(action, other, reason),
            Action::Unlink { other, reason } => self.unlink(action, other, reason),
            Action::Release { .. }
            | Action::SetLevel { .. }
            | Action::Assign { .. }
            | Action::DoTask { .. }
            | Action::WaiveTask { .. }
            | Action::UndoTask { .. }
            | Action::TakeTask { .. }
            | Action::AddTask { .. }
            | Action::Eta { .. }
            | Action::Investigation { .. }
            | Action::Leak { .. }
            | Action::PreserveEvidence { .. }
            | Action::Publication { .. }
            | Action::ApprovePublication
            | Action::Mentioned { .. }
            | Action::Vendor { .. }
            | Action::Review { .. }
            | Action::ActivateControl { .. }
            | Action::EvidenceCapture { .. }
            | Action::Unmask { .. }
            | Action::Suppress { .. }
            | Action::Share { .. }
            | Action::Approve { .. }
            | Action::Reject { .. } => {
                self.open(action)?;
                self.record(action)
            }
        }
    }

    fn investigate(&mut self, action: &Action) -> Result<(), Refused> {
        self.forward(action, &[S::Containing], guard::investigate(&self.facts), S::Investigating)?;
        let now = self.now;
        self.facts.work.contained_at.get_or_insert(now);
        Ok(())
    }

    fn finish(&mut self, action: &Action) -> Result<(), Refused> {
        let missing = guard::finish(&self.facts, self.now);
        self.forward(action, &[S::Recovering], missing, S::PostReview)?;
        self.facts.work.recovered_at = Some(self.now);
        Ok(())
    }

    fn forward(&mut self, action: &Action, from: &[S], missing: Vec<String>, to: S) -> Result<(), Refused> {
        self.only(action, from)?;
        guard::all(missing)?;
        self.go(to);
        Ok(())
    }

    fn acknowledge(&mut self, action: &Action) -> Result<(), Refused> {
        self.forward(action, &[S::Detected], Vec::new(), S::Received)?;
        self.facts.work.acknowledged_at = Some(self.now);
        Ok(())
    }

    fn triage(&mut self, action: &Action, triage: &Triage) -> Result<(), Refused> {
        self.only(action, ASSESSABLE)?;
        let missing: Vec<String> = triage.missing().into_iter().map(str::to_owned).collect();
        let (Some(category), Some(impact), Some(urgency), Some(leak), true) =
            (triage.category, triage.impact, triage.urgency, triage.leak_class, missing.is_empty())
        else {
            return Err(Refused::Guard(missing));
        };
        self.facts.category = category;
        self.facts.work.owner.clone_from(&triage.owner);
        self.facts.work.triage = Some(triage.clone());
        let level = severity::triaged(
            self.facts.severity,
            (impact, urgency),
            self.facts.bodies >= 3,
            self.facts.circumstances(),
        );
        self.level(level);
        // What was assessed is its own, and stays when a merge is undone.
        if let Some(own) = self.facts.work.own_level.and_then(Severity::new) {
            let wide = self.facts.bodies >= 3;
            let own = severity::triaged(own, (impact, urgency), wide, self.facts.circumstances());
            self.facts.work.own_level = Some(own.level());
        }
        if let Some(playbook) = playbook::playbook(category) {
            task::attach(&mut self.facts.tasks, playbook);
            let name = format!("{}/{}", playbook.category, playbook.version);
            if self.facts.work.playbooks.last() != Some(&name) {
                self.facts.work.playbooks.retain(|one| *one != name);
                self.facts.work.playbooks.push(name);
            }
        }
        task::attach_leak(&mut self.facts.tasks, leak);
        self.effects.push(Effect::Assessed);
        if self.facts.state == S::Received {
            self.go(S::Triaged);
        }
        Ok(())
    }

    fn recover(&mut self, action: &Action) -> Result<(), Refused> {
        let missing = if self.facts.state == S::Investigating {
            guard::recover_at_once(&self.facts)
        } else {
            guard::recover(&self.facts)
        };
        self.forward(action, &[S::Notifying, S::Investigating], missing, S::Recovering)
    }

    /// It is over.
    fn over(&mut self) {
        self.facts.work.closed_at = Some(self.now);
        self.effects.push(Effect::Completed);
    }

    fn reopen(&mut self, action: &Action, reason: &str) -> Result<(), Refused> {
        self.only(action, &[S::Closed, S::PostReview, S::Recovering])?;
        guard::reason(reason)?;
        let work = &mut self.facts.work;
        work.reopened = work.reopened.saturating_add(1);
        (work.closed_at, work.recovered_at) = (None, None);
        self.go(S::Investigating);
        Ok(())
    }

    fn back(&mut self, action: &Action, to: S, reason: &str) -> Result<(), Refused> {
        if !BACK.contains(&(self.facts.state, to)) {
            return Err(Refused::State { action: action.name(), state: self.facts.state });
        }
        guard::reason(reason)?;
        self.go(to);
        Ok(())
    }

    fn observe(&mut self, action: &Action, reason: &str) -> Result<(), Refused> {
        self.only(action, UNDECIDED)?;
        guard::reason(reason)?;
        self.facts.work.observing_since = Some(self.now);
        self.go(S::Observing);
        Ok(())
    }

    fn recur(&mut self, action: &Action, reason: &str) -> Result<(), Refused> {
        self.only(action, &[S::Observing])?;
        guard::reason(reason)?;
        self.facts.work.observing_since = None;
        self.go(S::Received);
        Ok(())
    }

    fn false_positive(
        &mut self,
        action: &Action,
        code: FalsePositiveReason,
        reason: &str,
    ) -> Result<(), Refused> {
        self.only(action, UNDECIDED)?;
        guard::reason(reason)?;
        self.facts.work.false_positive = Some(code);
        self.facts.work.closed_at = Some(self.now);
        self.effects.push(Effect::Tune(code));
        self.go(S::FalsePositive);
        Ok(())
    }

    fn merge(&mut self, action: &Action, into: &str, reason: &str) -> Result<(), Refused> {
        self.only(action, UNDECIDED)?;
        let mut missing = Vec::new();
        match self.facts.other.as_ref().filter(|other| other.id == into && other.id != self.facts.id) {
            None => missing.push("into"),
            Some(other) => {
                if !other.state.is_open() {
                    missing.push("into.open");
                }
                if other.body.is_some() && other.body != self.facts.body {
                    missing.push("into.same_body_or_wide_area");
                }
                if other.drill != self.facts.drill {
                    missing.push("into.same_mode");
                }
            }
        }
        guard::all(missing.into_iter().map(str::to_owned).collect())?;
        guard::reason(reason)?;
        self.facts.work.merged = Some(Merged {
            into: into.to_owned(),
            state: self.facts.state,
            children: self.facts.children.iter().cloned().collect(),
            signed: self.signed(),
        });
        self.effects.push(Effect::MergedInto { into: into.to_owned() });
        self.go(S::Merged);
        Ok(())
    }

    fn hold(&mut self, reason: Option<&String>) -> Result<(), Refused> {
        let signed = self.signed();
        match reason {
            Some(reason) => {
                guard::reason(reason)?;
                self.facts.work.hold = Some(Preserved { what: reason.clone(), signed });
                Ok(())
            }
            None => self.facts.work.hold.take().map(drop).ok_or_else(|| guard::missing("hold")),
        }
    }

    fn link(&mut self, action: &Action, other: &str, reason: &str) -> Result<(), Refused> {
        self.open(action)?;
        let mut missing = Vec::new();
        match self.facts.other.as_ref().filter(|one| one.id == other && one.id != self.facts.id) {
            None => missing.push("other"),
            Some(one) => {
                let wide = one.body.is_none() || self.facts.body.is_none();
                if one.body != self.facts.body && !wide {
                    missing.push("other.same_body_or_wide_area");
                }
                if one.drill != self.facts.drill {
                    missing.push("other.same_mode");
                }
            }
        }
        guard::all(missing.into_iter().map(str::to_owned).collect())?;
        guard::reason(reason)?;
        self.effects.push(Effect::Linked { other: other.to_owned() });
        Ok(())
    }

    fn unlink(&mut self, action: &Action, other: &str, reason: &str) -> Result<(), Refused> {
        self.open(action)?;
        if self.facts.other.as_ref().is_none_or(|one| one.id != other) {
            return Err(guard::missing("other"));
        }
        guard::reason(reason)?;
        self.effects.push(Effect::Unlinked { other: other.to_owned() });
        Ok(())
    }

    fn unmerge(&mut self, action: &Action, reason: &str) -> Result<(), Refused> {
        self.only(action, &[S::Merged])?;
        guard::reason(reason)?;
        let Some(merged) = self.facts.work.merged.take() else { return Err(guard::missing("merged")) };
        self.effects.push(Effect::Unmerged { from: merged.into });
        self.facts.children = merged.children.into_iter().collect();
        self.go(merged.state);
        Ok(())
    }

    fn split(&mut self, action: &Action, findings: &[String], reason: &str) -> Result<(), Refused> {
        self.open(action)?;
        let mut missing = Vec::new();
        if findings.is_empty() {
            missing.push("findings".to_owned());
        }
        let foreign = findings.iter().filter(|one| !self.facts.findings.contains(one));
        missing.extend(foreign.map(|one| format!("finding:{one}")));
        let rest = self.facts.findings.iter().filter(|one| !findings.contains(one)).count();
        if missing.is_empty() && rest == 0 {
            missing.push("findings_that_stay".to_owned());
        }
        guard::all(missing)?;
        guard::reason(reason)?;
        self.facts.findings.retain(|one| !findings.contains(one));
        self.effects.push(Effect::SplitOff(findings.to_vec()));
        Ok(())
    }
}
