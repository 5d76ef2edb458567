//! Obligations in the store: derived from what is known, moved by people.

use jiff::civil::Date;
use sekimori_wire::time::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::case::Case;
use crate::audit::Entry;
use crate::auth::role::Role;
use crate::clock::{from_stored, stored};
use crate::incident::obligation::{Obligation, ObligationKind, ObligationState};
use crate::store::audit::append;
use crate::store::db::{self, Conn, Row};
use crate::store::{Store, StoreError, query};
use crate::timing::Timing;
use crate::timing::assess::{self, Awareness, Due, OriginRule, Profile, Setting};
use crate::timing::calendar::Calendar;
use crate::timing::duty::{
    Approver, Duty, Exemption, Move, Mover, Refused, corrects, preliminary_of, prepares,
};

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
    /// Under which number.
    pub receipt: String,
    /// To whom.
    pub filed_to: String,
    /// An exemption that waits for the body's CISO.
    pub proposed: Option<ExemptionAsked>,
}

/// An exemption, as whoever asks for it puts it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExemptionAsked {
    /// Why, as a stable word.
    pub reason: String,
    /// Why, in words.
    pub note: String,
    /// Who asked.
    pub by: String,
    /// As what.
    pub role: String,
}

/// What comes with a move: which version its author saw, and what was filed.
#[derive(Clone, Copy, Debug, Default)]
pub struct Handed<'a> {
    /// The version of the incident that was seen; another one refuses.
    pub version: Option<i64>,
    /// The number that the receiver gave.
    pub receipt: &'a str,
    /// Who received it.
    pub filed_to: &'a str,
    /// When it was filed; `None`: now.
    pub filed_at: Option<Timestamp>,
    /// Why, in words.
    pub note: &'a str,
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
    /// Somebody changed the incident meanwhile.
    #[error("the incident changed meanwhile")]
    Conflict {
        /// What its version is now.
        is: i64,
    },
    /// A time that has not come yet.
    #[error("what was done is not in the future")]
    Future,
    /// A correction says why.
    #[error("a correction is given a reason in words")]
    Why,
    /// No exemption waits.
    #[error("nothing waits for approval")]
    NothingProposed,
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
        "SELECT kind, state, voluntary, target, last_day, raw, internal, triggers, reason, filed_at, receipt,
                filed_to, proposed FROM obligations
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
        receipt: row.get("receipt")?,
        filed_to: row.get("filed_to")?,
        proposed: serde_json::from_str(&row.get::<String>("proposed")?).ok(),
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
        handed: &Handed<'_>,
    ) -> Result<ObligationState, MoveError> {
        let mut tx = self.begin_changing().await?;
        let version = lock(&mut tx, incident, handed.version).await?;
        let state = moved(&mut tx, (incident, kind, version), (by, by), wanted, handed).await?;
        tx.commit().await?;
        Ok(state)
    }

    /// Asks for the exemption of an obligation. Until the body's CISO agrees it stands as it did, overdue or not.
    ///
    /// # Errors
    /// It may not be asked for, or the store fails.
    pub async fn propose_exemption(
        &self,
        incident: &str,
        kind: ObligationKind,
        by: Mover<'_>,
        (reason, why): (Exemption, &str),
        version: Option<i64>,
    ) -> Result<(), MoveError> {
        let mut tx = self.begin_changing().await?;
        let version = lock(&mut tx, incident, version).await?;
        let one = one_of(&mut tx, incident, kind).await?;
        let wanted = Move::Exempt { reason, note: why.to_owned(), approved_by: None };
        // All is well but that nobody has approved it yet.
        match (Duty { kind, voluntary: one.voluntary, state: one.state }).step(by, &wanted) {
            Err(Refused::Approval) => {}
            Err(refused) => return Err(refused.into()),
            Ok(_) => return Err(Refused::Approval.into()),
        }
        let asked = ExemptionAsked {
            reason: reason.as_str().to_owned(),
            note: why.to_owned(),
            by: by.account.to_owned(),
            role: by.role.as_str().to_owned(),
        };
        let json = serde_json::to_string(&asked).unwrap_or_default();
        put_proposal(&mut tx, incident, kind, &json).await?;
        let what = format!("obligation:{kind}:propose_exempt");
        told(&mut tx, (incident, version), by, (&what, one.state, one.state), &format!("{reason}: {why}"))
            .await?;
        tx.commit().await?;
        Ok(())
    }

    /// The body's CISO decides on an exemption that was asked for.
    ///
    /// # Errors
    /// Nothing waits, this person may not, or the store fails.
    pub async fn decide_exemption(
        &self,
        incident: &str,
        kind: ObligationKind,
        by: Mover<'_>,
        agrees: bool,
        version: Option<i64>,
    ) -> Result<ObligationState, MoveError> {
        let mut tx = self.begin_changing().await?;
        let version = lock(&mut tx, incident, version).await?;
        let one = one_of(&mut tx, incident, kind).await?;
        let asked = one.proposed.clone().ok_or(MoveError::NothingProposed)?;
        let state = if agrees {
            let role = Role::from_name(&asked.role).ok_or(MoveError::NothingProposed)?;
            let reason = Exemption::from_name(&asked.reason).ok_or(MoveError::NothingProposed)?;
            let approver = Approver { account: by.account.to_owned(), role: by.role };
            let wanted = Move::Exempt { reason, note: asked.note, approved_by: Some(approver) };
            let proposer = Mover { account: &asked.by, role, now: by.now };
            moved(&mut tx, (incident, kind, version), (proposer, by), &wanted, &Handed::default()).await?
        } else {
            // Whoever asked may take it back; else it is the CISO's to refuse.
            if by.role != Role::BodyCiso && by.account != asked.by {
                return Err(Refused::Role(by.role).into());
            }
            let what = format!("obligation:{kind}:reject_exempt");
            told(&mut tx, (incident, version), by, (&what, one.state, one.state), &asked.note).await?;
            one.state
        };
        put_proposal(&mut tx, incident, kind, "").await?;
        tx.commit().await?;
        Ok(state)
    }

    /// Records since when a leak is known, or corrects it with a reason. The days are computed anew at the next look.
    ///
    /// # Errors
    /// It may not be recorded so, or the store fails.
    pub async fn record_awareness(
        &self,
        incident: &str,
        known: &Awareness,
        by: Mover<'_>,
        reason: &str,
        version: Option<i64>,
    ) -> Result<(), MoveError> {
        let mut tx = self.begin_changing().await?;
        let version = lock(&mut tx, incident, version).await?;
        let before: Option<i64> = db::query_scalar("SELECT known_at FROM awareness WHERE incident = $1")
            .bind(incident)
            .fetch_optional(&mut *tx)
            .await
            .map_err(query("read since when it is known"))?;
        let origin = match before {
            None => {
                prepares(by.role)?;
                known.origin_rule
            }
            Some(_) => {
                corrects(by.role)?;
                if reason.trim().is_empty() {
                    return Err(MoveError::Why);
                }
                OriginRule::Corrected
            }
        };
        if known.known_at > by.now {
            return Err(MoveError::Future);
        }
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
        .bind(origin.as_str())
        .bind(reason)
        .bind(by.account)
        .bind(stored(by.now))
        .execute(&mut *tx)
        .await
        .map_err(query("record since when it is known"))?;
        let from = before.map(|at| from_stored(at).to_string()).unwrap_or_default();
        let what = json!({
            "actor": by.account, "role": by.role.as_str(), "known_at": known.known_at, "known_by": known.known_by,
            "known_dept": known.known_dept, "origin_rule": origin, "reason": reason, "known_before": from,
        });
        note(&mut tx, incident, &what, by.now).await?;
        let (action, to) = ("obligation:known_at".to_owned(), known.known_at.to_string());
        let line = entry(incident, by, version);
        append(&mut tx, Entry { action, from, to, reason: reason.to_owned(), ..line }).await?;
        tx.commit().await?;
        Ok(())
    }
}

/// Locks the incident and raises its version, as everything does that people do.
async fn lock(tx: &mut Conn, incident: &str, seen: Option<i64>) -> Result<i64, MoveError> {
    let failed = "lock an incident";
    let sql = format!("SELECT work_version FROM incidents WHERE id = $1{}", tx.lock_clause());
    let is = db::query_scalar::<i64>(db::AssertSqlSafe(sql))
        .bind(incident)
        .fetch_optional(&mut *tx)
        .await
        .map_err(query(failed))?
        .ok_or(MoveError::NotFound)?;
    if seen.is_some_and(|seen| seen != is) {
        return Err(MoveError::Conflict { is });
    }
    db::query("UPDATE incidents SET work_version = work_version + 1, version = version + 1 WHERE id = $1")
        .bind(incident)
        .execute(tx)
        .await
        .map_err(query(failed))?;
    Ok(is + 1)
}

async fn one_of(tx: &mut Conn, incident: &str, kind: ObligationKind) -> Result<ObligationView, MoveError> {
    views(tx, incident).await?.into_iter().find(|one| one.kind == kind).ok_or(MoveError::NotFound)
}

/// One move, with what follows of it, in the history and in the audit log.
async fn moved(
    tx: &mut Conn,
    (incident, kind, version): (&str, ObligationKind, i64),
    (by, actor): (Mover<'_>, Mover<'_>),
    wanted: &Move,
    handed: &Handed<'_>,
) -> Result<ObligationState, MoveError> {
    if handed.filed_at.is_some_and(|at| at > by.now) {
        return Err(MoveError::Future);
    }
    let all = views(&mut *tx, incident).await?;
    let one = all.iter().find(|one| one.kind == kind).ok_or(MoveError::NotFound)?;
    let state = Duty { kind, voluntary: one.voluntary, state: one.state }.step(by, wanted)?;
    write(tx, incident, (kind, state), by, (wanted, handed)).await?;
    let done = [ObligationState::FiledFinal, ObligationState::Completed].contains(&state);
    for prelim in all.iter().filter(|one| done && preliminary_of(one.kind) == Some(kind)) {
        if prelim.state == ObligationState::FiledPrelim {
            let follows = (&Move::Supplement, &Handed::default());
            write(tx, incident, (prelim.kind, ObligationState::Completed), by, follows).await?;
        }
    }
    let why = match wanted {
        Move::Exempt { reason, note, approved_by } => {
            let approver = approved_by.as_ref().map_or("", |one| one.account.as_str());
            format!("{reason}: {note} ({} → {approver})", by.account)
        }
        Move::File => format!("{} {} {}", handed.filed_to, handed.receipt, handed.note).trim().to_owned(),
        Move::Schedule { at } => format!("{at} {}", handed.note).trim().to_owned(),
        Move::Assess | Move::Applies | Move::Supplement | Move::Reassess => handed.note.to_owned(),
    };
    told(tx, (incident, version), actor, (&format!("obligation:{kind}"), one.state, state), &why).await?;
    Ok(state)
}

async fn put_proposal(
    tx: &mut Conn,
    incident: &str,
    kind: ObligationKind,
    json: &str,
) -> Result<(), StoreError> {
    db::query("UPDATE obligations SET proposed = $3 WHERE incident = $1 AND kind = $2")
        .bind(incident)
        .bind(kind.as_str())
        .bind(json)
        .execute(tx)
        .await
        .map(drop)
        .map_err(query("write an exemption that is asked for"))
}

fn entry(incident: &str, by: Mover<'_>, version: i64) -> Entry {
    Entry {
        at: by.now,
        actor: by.account.to_owned(),
        role: by.role.as_str().to_owned(),
        incident: incident.to_owned(),
        action: String::new(),
        from: String::new(),
        to: String::new(),
        reason: String::new(),
        version,
    }
}

/// In the history and in the audit log.
async fn told(
    tx: &mut Conn,
    (incident, version): (&str, i64),
    by: Mover<'_>,
    (action, from, to): (&str, ObligationState, ObligationState),
    why: &str,
) -> Result<(), StoreError> {
    let what = json!({
        "actor": by.account, "role": by.role.as_str(), "action": action, "from": from, "to": to, "reason": why,
        "version": version,
    });
    note(tx, incident, &what, by.now).await?;
    let (from, to) = (from.as_str().to_owned(), to.as_str().to_owned());
    let line = entry(incident, by, version);
    append(tx, Entry { action: action.to_owned(), from, to, reason: why.to_owned(), ..line }).await
}

async fn write(
    tx: &mut Conn,
    incident: &str,
    (kind, state): (ObligationKind, ObligationState),
    by: Mover<'_>,
    (wanted, handed): (&Move, &Handed<'_>),
) -> Result<(), StoreError> {
    let (reason, approver) = match wanted {
        Move::Exempt { reason, note, approved_by } => {
            let approver = approved_by.as_ref().map_or("", |approver| approver.account.as_str());
            (format!("{reason}: {note}"), approver)
        }
        Move::Schedule { at } => (format!("{at} {}", handed.note).trim().to_owned(), ""),
        Move::Assess | Move::Applies | Move::File | Move::Supplement | Move::Reassess => {
            (handed.note.to_owned(), "")
        }
    };
    db::query(
        "UPDATE obligations SET state = $3, reason = $4, moved_by = $5, approved_by = $6, moved_at = $7,
                filed_at = CASE WHEN CAST($8 AS BIGINT) = 1 THEN coalesce(filed_at, $9) ELSE filed_at END,
                receipt = CASE WHEN $10 = '' THEN receipt ELSE $10 END,
                filed_to = CASE WHEN $11 = '' THEN filed_to ELSE $11 END
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
    .bind(stored(handed.filed_at.unwrap_or(by.now)))
    .bind(handed.receipt)
    .bind(handed.filed_to)
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
