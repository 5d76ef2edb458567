//! Obligations in the store: derived from what is known, moved by people.

use jiff::civil::Date;
use sekimori_wire::time::Timestamp;
use serde_json::json;

use super::case::Case;
use crate::clock::{from_stored, stored};
use crate::incident::obligation::{Obligation, ObligationKind, ObligationState};
use crate::store::db::{self, Conn, Row};
use crate::store::{Store, StoreError, query};
use crate::timing::Timing;
use crate::timing::assess::{self, Awareness, Due, Profile, Setting};
use crate::timing::calendar::Calendar;
use crate::timing::duty::{Duty, Move, Mover, Refused, preliminary_of};

/// An obligation, with its days.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObligationView {
    /// Which.
    pub kind: ObligationKind,
    /// Where it stands.
    pub state: ObligationState,
    /// Nobody is obliged.
    pub voluntary: bool,
    /// Its days.
    pub due: Due,
    /// What makes it owed.
    pub triggers: Vec<String>,
    /// Why it does not apply.
    pub reason: String,
    /// When it was filed.
    pub filed_at: Option<Timestamp>,
}

impl ObligationView {
    /// Its last day has passed and nothing was filed.
    pub fn overdue(&self, now: Timestamp) -> bool {
        self.due.overdue(self.state, now)
    }

    /// It was filed after its last day.
    pub fn late(&self) -> bool {
        let last = self.due.last().map(crate::timing::end_of);
        self.filed_at.zip(last).is_some_and(|(filed, last)| filed >= last)
    }
}

/// Why an obligation was not moved.
#[derive(Debug, thiserror::Error)]
pub enum MoveError {
    /// There is none of this kind.
    #[error("this incident has no such obligation")]
    NotFound,
    /// It may not be.
    #[error(transparent)]
    Refused(#[from] Refused),
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What must be reported of an incident, for the guards of its states.
///
/// # Errors
/// If the store fails.
pub async fn obligations_of(tx: &mut Conn, incident: &str) -> Result<Vec<Obligation>, StoreError> {
    // What is voluntary keeps no incident open.
    let owed = views(tx, incident).await?.into_iter().filter(|one| !one.voluntary);
    Ok(owed.map(|one| Obligation { kind: one.kind, state: one.state }).collect())
}

/// Derives what is owed and writes it; what people decided stays.
pub(super) async fn assess(
    tx: &mut Conn,
    timing: &Timing,
    calendar: &Calendar,
    case: &Case,
    now: Timestamp,
) -> Result<Vec<ObligationView>, StoreError> {
    let Some(leak) = &case.leak else { return Ok(Vec::new()) };
    let setting = Setting {
        level: case.watch.level,
        category: case.category,
        segments: &case.segments,
        profile: Profile::Public,
    };
    let found = assess::assess(&timing.law, calendar, &setting, leak);
    let before = views(&mut *tx, &case.id).await?;
    for owed in &found.owed {
        upsert(tx, &case.id, owed, now).await?;
    }
    for gone in before.iter().filter(|one| !found.owed.iter().any(|owed| owed.kind == one.kind)) {
        // What nobody touched goes; what somebody worked on stays, and they decide.
        db::query("DELETE FROM obligations WHERE incident = $1 AND kind = $2 AND state = 'not_assessed'")
            .bind(&case.id)
            .bind(gone.kind.as_str())
            .execute(&mut *tx)
            .await
            .map_err(query("remove an obligation"))?;
    }
    views(tx, &case.id).await
}

async fn upsert(tx: &mut Conn, id: &str, owed: &assess::Owed, now: Timestamp) -> Result<(), StoreError> {
    let day = |day: Option<Date>| day.map(|day| day.to_string());
    db::query(
        "INSERT INTO obligations (incident, kind, state, voluntary, target, last_day, raw, internal, triggers, reason,
                                  moved_by, approved_by, moved_at)
         VALUES ($1, $2, 'not_assessed', $3, $4, $5, $6, $7, $8, '', '', '', $9)
         ON CONFLICT (incident, kind) DO UPDATE SET voluntary = excluded.voluntary, target = excluded.target,
            last_day = excluded.last_day, raw = excluded.raw, internal = excluded.internal, triggers = excluded.triggers",
    )
    .bind(id)
    .bind(owed.kind.as_str())
    .bind(i64::from(owed.voluntary))
    .bind(day(owed.due.target))
    .bind(day(owed.due.limit))
    .bind(day(owed.due.raw))
    .bind(day(owed.due.internal))
    .bind(owed.triggers.join(","))
    .bind(stored(now))
    .execute(tx)
    .await
    .map(drop)
    .map_err(query("write an obligation"))
}

async fn views(target: impl Into<db::Target<'_>>, incident: &str) -> Result<Vec<ObligationView>, StoreError> {
    let failed = "read obligations";
    let rows = db::query(
        "SELECT kind, state, voluntary, target, last_day, raw, internal, triggers, reason, filed_at FROM obligations
         WHERE incident = $1 ORDER BY kind",
    )
    .bind(incident)
    .fetch_all(target)
    .await
    .map_err(query(failed))?;
    rows.iter().map(view).collect::<Result<_, _>>().map_err(query(failed))
}

fn view(row: &Row) -> Result<ObligationView, db::Error> {
    let day = |column: &'static str| {
        row.get::<Option<String>>(column).map(|day| day.and_then(|day| day.parse::<Date>().ok()))
    };
    let unknown = |column: &'static str| move || db::Error::ColumnNotFound(column.to_owned());
    let (kind, state): (String, String) = (row.get("kind")?, row.get("state")?);
    let triggers: String = row.get("triggers")?;
    Ok(ObligationView {
        kind: ObligationKind::from_name(&kind).ok_or_else(unknown("kind"))?,
        state: ObligationState::from_name(&state).ok_or_else(unknown("state"))?,
        voluntary: row.get::<i64>("voluntary")? != 0,
        due: Due {
            target: day("target")?,
            limit: day("last_day")?,
            raw: day("raw")?,
            internal: day("internal")?,
        },
        triggers: triggers.split(',').filter(|one| !one.is_empty()).map(str::to_owned).collect(),
        reason: row.get("reason")?,
        filed_at: row.get::<Option<i64>>("filed_at")?.map(from_stored),
    })
}

impl Store {
    /// What must be reported of an incident.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn obligations(&self, incident: &str) -> Result<Vec<ObligationView>, StoreError> {
        views(self.reader(), incident).await
    }

    /// Moves an obligation. Filing the final report completes the preliminary one of the same law.
    ///
    /// # Errors
    /// It may not be moved so, or the store fails.
    pub async fn move_obligation(
        &self,
        incident: &str,
        kind: ObligationKind,
        by: Mover<'_>,
        wanted: &Move,
    ) -> Result<ObligationState, MoveError> {
        let mut tx = self.begin_changing().await?;
        let sql = format!("SELECT id FROM incidents WHERE id = $1{}", tx.lock_clause());
        db::query_scalar::<String>(db::AssertSqlSafe(sql))
            .bind(incident)
            .fetch_optional(&mut *tx)
            .await
            .map_err(query("lock an incident"))?;
        let all = views(&mut *tx, incident).await?;
        let one = all.iter().find(|one| one.kind == kind).ok_or(MoveError::NotFound)?;
        let state = Duty { kind, voluntary: one.voluntary, state: one.state }.step(by, wanted)?;
        write(&mut tx, incident, (kind, state), by, wanted).await?;
        let done = [ObligationState::FiledFinal, ObligationState::Completed].contains(&state);
        for prelim in all.iter().filter(|one| done && preliminary_of(one.kind) == Some(kind)) {
            if prelim.state == ObligationState::FiledPrelim {
                write(&mut tx, incident, (prelim.kind, ObligationState::Completed), by, &Move::Supplement)
                    .await?;
            }
        }
        let what = json!({ "actor": by.account, "role": by.role.as_str(), "obligation": kind, "from": one.state, "to": state });
        note(&mut tx, incident, &what, by.now).await?;
        tx.commit().await?;
        Ok(state)
    }

    /// Records since when a leak is known, or corrects it with a reason.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn record_awareness(
        &self,
        incident: &str,
        known: &Awareness,
        by: Mover<'_>,
        reason: &str,
    ) -> Result<(), StoreError> {
        let mut tx = self.begin_changing().await?;
        db::query(
            "INSERT INTO awareness (incident, known_at, known_by, known_dept, origin_rule, reason, recorded_by, recorded_at)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
             ON CONFLICT (incident) DO UPDATE SET known_at = excluded.known_at, known_by = excluded.known_by,
                known_dept = excluded.known_dept, origin_rule = excluded.origin_rule, reason = excluded.reason,
                recorded_by = excluded.recorded_by, recorded_at = excluded.recorded_at",
        )
        .bind(incident)
        .bind(stored(known.known_at))
        .bind(&known.known_by)
        .bind(&known.known_dept)
        .bind(known.origin_rule.as_str())
        .bind(reason)
        .bind(by.account)
        .bind(stored(by.now))
        .execute(&mut *tx)
        .await
        .map_err(query("record since when it is known"))?;
        let what = json!({
            "actor": by.account, "role": by.role.as_str(), "known_at": known.known_at, "known_by": known.known_by,
            "known_dept": known.known_dept, "origin_rule": known.origin_rule, "reason": reason,
        });
        note(&mut tx, incident, &what, by.now).await?;
        tx.commit().await
    }
}

async fn write(
    tx: &mut Conn,
    incident: &str,
    (kind, state): (ObligationKind, ObligationState),
    by: Mover<'_>,
    wanted: &Move,
) -> Result<(), StoreError> {
    let (reason, approver) = match wanted {
        Move::Exempt { reason, note, approved_by } => {
            let approver = approved_by.as_ref().map_or("", |approver| approver.account.as_str());
            (format!("{reason}: {note}"), approver)
        }
        Move::Schedule { at } => (format!("{at}"), ""),
        Move::Assess | Move::Applies | Move::File | Move::Supplement | Move::Reassess => (String::new(), ""),
    };
    db::query(
        "UPDATE obligations SET state = $3, reason = $4, moved_by = $5, approved_by = $6, moved_at = $7,
                filed_at = CASE WHEN CAST($8 AS BIGINT) = 1 THEN coalesce(filed_at, $7) ELSE filed_at END
         WHERE incident = $1 AND kind = $2",
    )
    .bind(incident)
    .bind(kind.as_str())
    .bind(state.as_str())
    .bind(reason)
    .bind(by.account)
    .bind(approver)
    .bind(stored(by.now))
    .bind(i64::from(*wanted == Move::File))
    .execute(tx)
    .await
    .map(drop)
    .map_err(query("move an obligation"))
}

async fn note(
    tx: &mut Conn,
    incident: &str,
    what: &serde_json::Value,
    now: Timestamp,
) -> Result<(), StoreError> {
    db::query("INSERT INTO incident_changes (at, incident, kind, json) VALUES ($1, $2, 'obligation', $3)")
        .bind(stored(now))
        .bind(incident)
        .bind(what.to_string())
        .execute(tx)
        .await
        .map(drop)
        .map_err(query("write a change down"))
}
