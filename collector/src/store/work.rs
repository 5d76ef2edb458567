//! People work on an incident: what is known is read, the state machine decides, and what follows is written — in one
//! transaction, with a line in the audit log.

mod details;
mod effect;
mod extract;
mod granted;
mod load;
mod open;
mod read;
mod suppression;

use sekimori_wire::time::Timestamp;
use serde_json::{Value, json};

use super::audit::append;
use super::db::{self, Conn};
use super::{Store, StoreError, query};
use crate::audit::Entry;
use crate::clock::stored;
use crate::incident::IncidentState;
use crate::incident::action::Action;
use crate::incident::facts::{IncidentFacts, Proposal};
use crate::incident::task::Task;
use crate::incident::transition::{Actor, Asked, Changes, Refused, apply};

pub use self::details::{Details, Mistake};
pub use self::granted::{Extract, GrantView, Unmasked};
pub(super) use self::load::segments;
pub use self::open::{Intake, IntakeError, Reporter};
pub(super) use self::open::{Staged, stage};
pub use self::read::{NoteView, WorkView};
pub use self::suppression::SuppressionView;

/// What became of an action.
#[derive(Debug)]
pub enum Acted {
    /// It is done, or proposed.
    Done(Box<Changes>),
    /// It is not, and why.
    Refused(Refused),
    /// There is no such incident.
    NotFound,
}

impl Store {
    /// Does what `actor` asks of an incident, if the state machine agrees.
    ///
    /// # Errors
    /// If the store fails; nothing happened then.
    pub async fn act(
        &self,
        id: &str,
        actor: &Actor,
        asked: &Asked,
        now: Timestamp,
    ) -> Result<Acted, StoreError> {
        let mut tx = self.begin_changing().await?;
        let acted = act_in(&mut tx, id, actor, asked, now).await?;
        let Acted::Done(_) = acted else { return Ok(acted) };
        let last = last_change(&mut tx).await?;
        tx.commit().await?;
        self.announce(last);
        Ok(acted)
    }
}

/// The same inside a transaction that does more.
///
/// # Errors
/// If the store fails.
pub async fn act_in(
    tx: &mut Conn,
    id: &str,
    actor: &Actor,
    asked: &Asked,
    now: Timestamp,
) -> Result<Acted, StoreError> {
    let other = load::other_of(tx, id, &asked.action).await?;
    load::lock(tx, id, other.as_deref()).await?;
    let Some(before) = load::facts(tx, id, other.as_deref()).await? else { return Ok(Acted::NotFound) };
    let changes = match apply(&before, actor, asked, now) {
        Ok(changes) => changes,
        Err(Refused::OutOfScope) => return Ok(Acted::NotFound),
        Err(refused) => return Ok(Acted::Refused(refused)),
    };
    if let Some(missing) = granted::unknown(tx, id, &asked.action).await? {
        return Ok(Acted::Refused(Refused::Guard(vec![missing.to_owned()])));
    }
    save(tx, &before, &changes, now).await?;
    let seen = Seen { actor, before: &before, changes: &changes, now };
    for effect in &changes.effects {
        effect::follow(tx, seen, effect).await?;
    }
    let what = what(actor, asked, &changes);
    change(tx, id, kind(&changes), &what, now).await?;
    let line = entry(actor, &changes.facts, &changes.line.action, now);
    let (from, to) = (changes.line.from.as_str().to_owned(), changes.line.to.as_str().to_owned());
    append(tx, Entry { from, to, reason: changes.line.reason.clone(), ..line }).await?;
    Ok(Acted::Done(Box::new(changes)))
}

/// What the effects of a decision are told.
#[derive(Clone, Copy)]
struct Seen<'a> {
    actor: &'a Actor,
    before: &'a IncidentFacts,
    changes: &'a Changes,
    now: Timestamp,
}

fn entry(actor: &Actor, facts: &IncidentFacts, action: &str, now: Timestamp) -> Entry {
    Entry {
        at: now,
        actor: actor.name.clone(),
        role: actor.role.as_str().to_owned(),
        incident: facts.id.clone(),
        action: action.to_owned(),
        from: facts.state.as_str().to_owned(),
        to: facts.state.as_str().to_owned(),
        reason: String::new(),
        version: facts.version,
    }
}

/// In one word, for the history.
fn kind(changes: &Changes) -> &'static str {
    match changes.line.action.split_once(':').map_or(changes.line.action.as_str(), |(how, _)| how) {
        "acknowledge" => "acknowledged",
        "propose" => "proposed",
        "approve" => "approved",
        "reject" => "rejected",
        "note" => "note",
        _ if changes.line.from == changes.line.to => "recorded",
        _ => "moved",
    }
}

/// For the history: who, what, from where to where, and what was asked.
fn what(actor: &Actor, asked: &Asked, changes: &Changes) -> Value {
    let asked = serde_json::to_value(&asked.action).unwrap_or_default();
    json!({
        "actor": actor.name,
        "role": actor.role,
        "action": changes.line.action,
        "from": changes.line.from,
        "to": changes.line.to,
        "reason": changes.line.reason,
        "version": changes.facts.version,
        "asked": asked,
    })
}

/// Writes what is true now. The rows are locked, so the version is still the one that was decided on.
async fn save(
    tx: &mut Conn,
    before: &IncidentFacts,
    changes: &Changes,
    now: Timestamp,
) -> Result<(), StoreError> {
    let failed = "write the work on an incident";
    let after = &changes.facts;
    let merged = after.work.merged.as_ref().filter(|_| after.state == IncidentState::Merged);
    let updated = db::query(
        "UPDATE incidents SET state = $2, severity = $3, category = $4, merged_into = $5, updated_at = $6,
            work_version = $7, version = version + 1 WHERE id = $1 AND work_version = $8",
    )
    .bind(&after.id)
    .bind(after.state.as_str())
    .bind(i64::from(after.severity.level()))
    .bind(after.category.as_str())
    .bind(merged.map(|merged| merged.into.as_str()))
    .bind(stored(now))
    .bind(after.version)
    .bind(before.version)
    .execute(&mut *tx)
    .await
    .map_err(query(failed))?;
    if updated.rows_affected() != 1 {
        return Err(StoreError::Query { what: failed, cause: db::Error::RowNotFound });
    }
    if after.work != before.work {
        save_work(tx, after).await?;
    }
    for task in after.tasks.iter().filter(|task| !before.tasks.contains(task)) {
        save_task(tx, &after.id, task).await?;
    }
    for proposal in after.proposals.iter().filter(|one| !before.proposals.contains(one)) {
        save_proposal(tx, &after.id, proposal).await?;
    }
    Ok(())
}

async fn save_work(tx: &mut Conn, facts: &IncidentFacts) -> Result<(), StoreError> {
    db::query(
        "INSERT INTO incident_work (incident, json) VALUES ($1, $2)
         ON CONFLICT (incident) DO UPDATE SET json = excluded.json",
    )
    .bind(&facts.id)
    .bind(text(&facts.work)?)
    .execute(tx)
    .await
    .map(drop)
    .map_err(query("write the work on an incident"))
}

async fn save_task(tx: &mut Conn, incident: &str, task: &Task) -> Result<(), StoreError> {
    db::query(
        "INSERT INTO incident_tasks (incident, n, state, role, assignee, json) VALUES ($1, $2, $3, $4, $5, $6)
         ON CONFLICT (incident, n) DO UPDATE SET state = excluded.state, role = excluded.role,
            assignee = excluded.assignee, json = excluded.json",
    )
    .bind(incident)
    .bind(i64::from(task.n))
    .bind(task.state.as_str())
    .bind(task.role.as_str())
    .bind(task.assignee.as_deref())
    .bind(text(task)?)
    .execute(tx)
    .await
    .map(drop)
    .map_err(query("write a task"))
}

async fn save_proposal(tx: &mut Conn, incident: &str, proposal: &Proposal) -> Result<(), StoreError> {
    db::query(
        "INSERT INTO incident_proposals (incident, n, state, json) VALUES ($1, $2, $3, $4)
         ON CONFLICT (incident, n) DO UPDATE SET state = excluded.state, json = excluded.json",
    )
    .bind(incident)
    .bind(i64::from(proposal.n))
    .bind(proposal.state.as_str())
    .bind(text(proposal)?)
    .execute(tx)
    .await
    .map(drop)
    .map_err(query("write a proposal"))
}

fn text(value: &impl serde::Serialize) -> Result<String, StoreError> {
    serde_json::to_string(value).map_err(|cause| StoreError::Query {
        what: "write what people wrote",
        cause: db::Error::Encode(cause.into()),
    })
}

/// A line of the history.
pub(super) async fn change(
    tx: &mut Conn,
    incident: &str,
    kind: &str,
    what: &Value,
    now: Timestamp,
) -> Result<(), StoreError> {
    db::query("INSERT INTO incident_changes (at, incident, kind, json) VALUES ($1, $2, $3, $4)")
        .bind(stored(now))
        .bind(incident)
        .bind(kind)
        .bind(what.to_string())
        .execute(tx)
        .await
        .map(drop)
        .map_err(query("write a change down"))
}

pub(super) async fn last_change(tx: &mut Conn) -> Result<i64, StoreError> {
    db::query_scalar("SELECT coalesce(max(seq), 0) FROM incident_changes")
        .fetch_one(tx)
        .await
        .map_err(query("read the last change"))
}

/// New evidence for an incident that is only watched: it recurs, and somebody must look again.
///
/// # Errors
/// If the store fails.
pub async fn recur(tx: &mut Conn, id: &str, finding: &str, now: Timestamp) -> Result<(), StoreError> {
    let observed: Option<i64> =
        db::query_scalar("SELECT work_version FROM incidents WHERE id = $1 AND state = 'observing'")
            .bind(id)
            .fetch_optional(&mut *tx)
            .await
            .map_err(query("read an incident"))?;
    let Some(version) = observed else { return Ok(()) };
    let action = Action::Recur { reason: format!("finding {finding}") };
    act_in(tx, id, &Actor::system(), &Asked { version, action }, now).await.map(drop)
}
