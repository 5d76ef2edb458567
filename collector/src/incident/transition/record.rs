//! What people write down: tasks, forms, notes, and permissions for what is done elsewhere. The state stays.

use sekimori_wire::finding::Severity;
use sekimori_wire::time::Timestamp;

use super::{Draft, Effect, Refused, guard};
use crate::exceptions::suppression;
use crate::incident::action::Action;
use crate::incident::facts::{Mention, Preserved};
use crate::incident::form::{Eta, Leak, Publication, said};
use crate::incident::grant::{COMMUNITY, Tlp};
use crate::incident::severity;
use crate::incident::task::{self, Task, TaskKind, TaskState};

/// Entries of one kind that an incident keeps: nobody fills the store by repeating a form.
const ENTRIES_MAX: usize = 256;

impl Draft<'_> {
    /// Actions that move nothing, on an incident that is not over.
    #[expect(clippy::too_many_lines, reason = "one arm for each action, and the list of those that are none")]
    pub(super) fn record(&mut self, action: &Action) -> Result<(), Refused> {
        match action {
            Action::SetLevel { level, reason } => self.set_level(*level, reason),
            Action::Assign { owner } => {
                guard::text_of("owner", owner)?;
                self.facts.work.owner = Some(owner.clone());
                Ok(())
            }
            Action::Release { reason } => {
                guard::reason(reason)?;
                self.facts.work.owner.take().map(drop).ok_or_else(|| guard::missing("owner"))
            }
            Action::DoTask { task, note } => self.do_task(*task, note),
            Action::WaiveTask { task, reason } => self.waive_task(*task, reason),
            Action::UndoTask { task, reason } => self.undo_task(*task, reason),
            Action::TakeTask { task, assignee } => {
                guard::text_of("assignee", assignee)?;
                self.task(*task)?.assignee = Some(assignee.clone());
                Ok(())
            }
            Action::AddTask { text, role, phase, kind } => {
                guard::text_of("text", text)?;
                room(self.facts.tasks.len())?;
                task::add(&mut self.facts.tasks, text, *role, *phase, *kind);
                Ok(())
            }
            Action::Eta { until, reason } => self.eta(*until, reason),
            Action::Investigation { form } => {
                self.facts.work.investigation.clone_from(form);
                Ok(())
            }
            Action::Leak { form } => self.leak(form),
            Action::PreserveEvidence { what } => {
                guard::text_of("what", what)?;
                self.facts.work.evidence = Some(Preserved { what: what.clone(), signed: self.signed() });
                Ok(())
            }
            Action::Publication { form, text } => {
                let next = publication(self.facts.work.publication.as_ref(), form, text)?;
                self.facts.work.publication = Some(next);
                Ok(())
            }
            Action::ApprovePublication => self.approve_publication(),
            Action::Mentioned { place } => self.mentioned(place),
            Action::Vendor { form } => {
                guard::text_of("name", &form.name)?;
                room(self.facts.work.vendors.len())?;
                self.facts.work.vendors.push(form.clone());
                Ok(())
            }
            Action::Review { form } => {
                self.facts.work.review = Some(form.clone());
                Ok(())
            }
            Action::ActivateControl { reason } => self.activate_control(reason),
            Action::EvidenceCapture { what, .. } | Action::Unmask { what, .. } => {
                guard::text_of("what", what)?;
                self.grant_outside(action)
            }
            Action::Suppress { scope, days, .. } => {
                guard::text_of("scope", scope)?;
                if *days == 0 || *days > suppression::DAYS_MAX {
                    return Err(guard::missing("days_1_to_366"));
                }
                suppression::check(scope, self.facts.body).map_err(guard::missing)?;
                self.grant_outside(action)
            }
            Action::Share { recipient, tlp, .. } => {
                guard::text_of("recipient", recipient)?;
                let mark = Tlp::from_name(tlp).ok_or_else(|| guard::missing("tlp"))?;
                if recipient == COMMUNITY && !mark.is_for_community() {
                    return Err(guard::missing("tlp.green_or_clear"));
                }
                self.grant_outside(action)
            }
            Action::Note { text } => self.note(text),
            // Steps and decisions are not records: `perform` and `apply` send none of them here.
            Action::Acknowledge
            | Action::Triage { .. }
            | Action::Link { .. }
            | Action::Unlink { .. }
            | Action::Hold { .. }
            | Action::ReleaseHold { .. }
            | Action::Start
            | Action::Investigate
            | Action::Notify
            | Action::Recover
            | Action::Finish
            | Action::Close
            | Action::Expire
            | Action::Reopen { .. }
            | Action::Back { .. }
            | Action::Observe { .. }
            | Action::Recur { .. }
            | Action::FalsePositive { .. }
            | Action::Merge { .. }
            | Action::Unmerge { .. }
            | Action::Split { .. }
            | Action::Approve { .. }
            | Action::Reject { .. } => Err(Refused::State { action: action.name(), state: self.facts.state }),
        }
    }

    pub(super) fn note(&mut self, text: &str) -> Result<(), Refused> {
        guard::text_of("text", text)?;
        self.effects.push(Effect::Note(text.to_owned()));
        Ok(())
    }

    fn set_level(&mut self, level: Severity, reason: &str) -> Result<(), Refused> {
        guard::reason(reason)?;
        let (floor, rule) = severity::floor(self.facts.circumstances());
        if level < floor {
            return Err(guard::missing(&format!("level_of_at_least_{} ({rule})", floor.level())));
        }
        self.facts.work.own_level = None;
        self.level(level);
        Ok(())
    }

    fn task(&mut self, n: u32) -> Result<&mut Task, Refused> {
        self.facts.task_mut(n).ok_or_else(|| guard::missing(&format!("task:{n}")))
    }

    /// A task that is neither done nor waived.
    fn open_task(&mut self, n: u32) -> Result<&mut Task, Refused> {
        let task = self.task(n)?;
        if task.state == TaskState::Open { Ok(task) } else { Err(guard::missing(&format!("task:{n}.open"))) }
    }

    fn do_task(&mut self, n: u32, note: &str) -> Result<(), Refused> {
        let (signed, now) = (self.signed(), self.now);
        let preserved = self.facts.work.evidence.is_some();
        let task = self.open_task(n)?;
        if task.kind == TaskKind::CleanUp && !preserved {
            return Err(guard::missing("evidence_preserved"));
        }
        task.state = TaskState::Done { signed, note: note.to_owned() };
        self.facts.work.first_response_at.get_or_insert(now);
        Ok(())
    }

    fn waive_task(&mut self, n: u32, reason: &str) -> Result<(), Refused> {
        guard::reason(reason)?;
        let signed = self.signed();
        self.open_task(n)?.state = TaskState::Waived { signed, reason: reason.to_owned() };
        Ok(())
    }

    fn undo_task(&mut self, n: u32, reason: &str) -> Result<(), Refused> {
        guard::reason(reason)?;
        let task = self.task(n)?;
        if task.state == TaskState::Open {
            return Err(guard::missing(&format!("task:{n}.done")));
        }
        task.state = TaskState::Open;
        Ok(())
    }

    fn eta(&mut self, until: Timestamp, reason: &str) -> Result<(), Refused> {
        room(self.facts.work.etas.len())?;
        if until <= self.now {
            return Err(guard::missing("until_in_the_future"));
        }
        // The first word needs no reason; every later one changes what people were told.
        if !self.facts.work.etas.is_empty() {
            guard::reason(reason)?;
        }
        let eta = Eta { until, reason: reason.to_owned(), signed: self.signed() };
        self.facts.work.etas.push(eta);
        self.effects.push(Effect::Eta(until));
        Ok(())
    }

    fn leak(&mut self, form: &Leak) -> Result<(), Refused> {
        if form.persons_min.zip(form.persons_max).is_some_and(|(min, max)| min > max) {
            return Err(guard::missing("persons_min_at_most_persons_max"));
        }
        self.facts.work.leak = Some(form.clone());
        self.effects.push(Effect::Assessed);
        Ok(())
    }

    fn approve_publication(&mut self) -> Result<(), Refused> {
        let signed = self.signed();
        let form = self.facts.work.publication.as_mut().ok_or_else(|| guard::missing("publication"))?;
        if form.publish && form.texts.is_empty() {
            return Err(guard::missing("publication.text"));
        }
        form.approved = Some(signed);
        Ok(())
    }

    fn mentioned(&mut self, place: &str) -> Result<(), Refused> {
        guard::text_of("place", place)?;
        let mention = Mention { place: place.to_owned(), signed: self.signed() };
        self.facts.work.mentioned.get_or_insert(mention);
        self.effects.push(Effect::Hurry);
        Ok(())
    }

    fn activate_control(&mut self, reason: &str) -> Result<(), Refused> {
        guard::reason(reason)?;
        if self.facts.work.control.is_some() {
            return Err(guard::missing("control_not_active_already"));
        }
        self.facts.work.control = Some(self.signed());
        self.effects.push(Effect::ControlActivated);
        Ok(())
    }

    fn grant_outside(&mut self, action: &Action) -> Result<(), Refused> {
        guard::reason(action.reason())?;
        self.effects.push(Effect::Granted(Box::new(action.clone())));
        Ok(())
    }
}

fn room(entries: usize) -> Result<(), Refused> {
    if entries < ENTRIES_MAX { Ok(()) } else { Err(guard::missing("room")) }
}

/// A decision about publication with one more version of its text: what was approved before is not approved any more.
fn publication(before: Option<&Publication>, form: &Publication, text: &str) -> Result<Publication, Refused> {
    if form.publish {
        let missing = [
            ("when", !said(&form.when)),
            ("media", !form.media.iter().any(|one| said(one))),
            ("spokesperson", !said(&form.spokesperson)),
        ];
        let missing =
            missing.into_iter().filter(|(_, is)| *is).map(|(name, _)| format!("publication.{name}"));
        guard::all(missing.collect())?;
    } else {
        guard::text_of("publication.reason", &form.reason)?;
    }
    let mut texts = before.map(|before| before.texts.clone()).unwrap_or_default();
    room(texts.len())?;
    if said(text) {
        texts.push(text.to_owned());
    }
    Ok(Publication { texts, approved: None, ..form.clone() })
}
