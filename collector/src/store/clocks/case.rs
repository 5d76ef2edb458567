//! What the clocks read of an incident.

use std::collections::BTreeSet;

use sekimori_wire::finding::Severity;
use sekimori_wire::id::BodyCode;
use sekimori_wire::time::Timestamp;

use crate::clock::{from_stored, stored};
use crate::incident::facts::Work;
use crate::incident::form::LeakClass;
use crate::incident::{IncidentCategory, IncidentState};
use crate::store::db::{self, Conn, Row};
use crate::store::incident::severity;
use crate::store::work::segments;
use crate::store::{StoreError, query};
use crate::timing::assess::{Awareness, Encryption, Leak, OriginRule};
use crate::timing::law::Item;
use crate::timing::storm::Told;
use crate::timing::timer::Watch;

/// An incident, as the clocks see it.
#[derive(Clone, Debug)]
pub(super) struct Case {
    pub(super) id: String,
    pub(super) category: IncidentCategory,
    pub(super) subject: String,
    pub(super) findings: u64,
    /// An exercise, or evidence that was replayed: nobody but the drill's own contacts is told.
    pub(super) drill: bool,
    pub(super) segments: Vec<String>,
    pub(super) watch: Watch,
    pub(super) told: Told,
    /// Its history says already that a storm is counted in silence.
    pub(super) hushed: bool,
    /// What may have leaked; `None`: nobody triaged it, so nothing is assessed.
    pub(super) leak: Option<Leak>,
}

impl Case {
    pub(super) const fn body(&self) -> Option<&BodyCode> {
        self.watch.body.as_ref()
    }
}

/// Reads the incident, locks its row, and keeps what the clocks must remember of it.
pub(super) async fn read(tx: &mut Conn, id: &str, now: Timestamp) -> Result<Option<Case>, StoreError> {
    let failed = "read an incident";
    let sql = format!(
        "SELECT category, severity, state, body, subject, opened_at, findings, mode, drill FROM incidents
         WHERE id = $1{}",
        tx.lock_clause()
    );
    let row =
        db::query(db::AssertSqlSafe(sql)).bind(id).fetch_optional(&mut *tx).await.map_err(query(failed))?;
    let Some(row) = row else { return Ok(None) };
    let work = work(tx, id).await?;
    let text = |column: &'static str| row.get::<String>(column).map_err(query(failed));
    let number = |column: &'static str| row.get::<i64>(column).map_err(query(failed));
    let body: Option<String> = row.get("body").map_err(query(failed))?;
    let level = severity(number("severity")?);
    let remembered = remember(tx, id, level, &work, now).await?;
    let watch = Watch {
        level,
        state: IncidentState::from_name(&text("state")?).unwrap_or(IncidentState::Detected),
        body: body.and_then(|body| body.parse().ok()),
        opened_at: from_stored(number("opened_at")?),
        raised_at: remembered.raised_at,
        acknowledged_at: work.acknowledged_at,
        notified_at: notified(tx, id, level).await?,
        first_response_at: work.first_response_at,
        updated_at: updated(tx, id).await?,
        eta_at: work.etas.last().map(|eta| eta.signed.at),
        contained_at: work.contained_at,
        reopened_at: remembered.reopened_at,
        observing_since: work.observing_since,
    };
    let segments = segments(tx, id).await?;
    Ok(Some(Case {
        id: id.to_owned(),
        category: IncidentCategory::from_name(&text("category")?)
            .unwrap_or(IncidentCategory::PolicyViolation),
        subject: text("subject")?,
        findings: u64::try_from(number("findings")?).unwrap_or_default(),
        drill: number("drill")? != 0 || text("mode")? == "replay",
        leak: leak(tx, id, &work).await?,
        segments,
        watch,
        told: remembered.told,
        hushed: remembered.hushed,
    }))
}

async fn work(tx: &mut Conn, id: &str) -> Result<Work, StoreError> {
    let json: Option<String> = db::query_scalar("SELECT json FROM incident_work WHERE incident = $1")
        .bind(id)
        .fetch_optional(tx)
        .await
        .map_err(query("read the work on an incident"))?;
    let Some(json) = json else { return Ok(Work::default()) };
    serde_json::from_str(&json).map_err(|cause| StoreError::Query {
        what: "understand the work on an incident",
        cause: db::Error::Decode(cause.into()),
    })
}

/// What is remembered between looks.
struct Remembered {
    raised_at: Option<Timestamp>,
    reopened_at: Option<Timestamp>,
    told: Told,
    hushed: bool,
}

/// A level that rose since the last look rose now: nobody had time before. So with being reopened.
async fn remember(
    tx: &mut Conn,
    id: &str,
    level: Severity,
    work: &Work,
    now: Timestamp,
) -> Result<Remembered, StoreError> {
    let failed = "remember an incident";
    db::query(
        "INSERT INTO clocks (incident, level, reopened, notices, told_findings, told_level, told_grown)
         VALUES ($1, $2, $3, 0, 0, 0, 0)
         ON CONFLICT (incident) DO UPDATE SET
            raised_at = CASE WHEN excluded.level > clocks.level THEN $4 ELSE clocks.raised_at END,
            reopened_at = CASE WHEN excluded.reopened > clocks.reopened THEN $4 ELSE clocks.reopened_at END,
            level = excluded.level, reopened = excluded.reopened",
    )
    .bind(id)
    .bind(i64::from(level.level()))
    .bind(i64::from(work.reopened))
    .bind(stored(now))
    .execute(&mut *tx)
    .await
    .map_err(query(failed))?;
    let row = db::query(
        "SELECT raised_at, reopened_at, notices, told_findings, told_level, told_grown, hushed_at FROM clocks WHERE incident = $1",
    )
    .bind(id)
    .fetch_one(tx)
    .await
    .map_err(query(failed))?;
    let number = |column: &'static str| row.get::<i64>(column).map_err(query(failed));
    Ok(Remembered {
        raised_at: time(&row, "raised_at")?,
        reopened_at: time(&row, "reopened_at")?,
        hushed: time(&row, "hushed_at")?.is_some(),
        told: Told {
            notices: u32::try_from(number("notices")?).unwrap_or(u32::MAX),
            findings: u64::try_from(number("told_findings")?).unwrap_or_default(),
            level: severity(number("told_level")?),
            grown: number("told_grown")? != 0,
        },
    })
}

fn time(row: &Row, column: &'static str) -> Result<Option<Timestamp>, StoreError> {
    let at: Option<i64> = row.get(column).map_err(query("read a time"))?;
    Ok(at.map(from_stored))
}

/// When the body was told: at levels 3 and 4 somebody must have read it, or heard it by telephone; below, a letter that
/// was sent is enough.
async fn notified(tx: &mut Conn, id: &str, level: Severity) -> Result<Option<Timestamp>, StoreError> {
    let row = db::query(
        "SELECT min(read_at) AS was_read, min(sent_at) AS was_sent FROM notices
         WHERE incident = $1 AND role IN ('body_officer', 'body_ciso')",
    )
    .bind(id)
    .fetch_one(tx)
    .await
    .map_err(query("read who was told"))?;
    let (read, sent) = (time(&row, "was_read")?, time(&row, "was_sent")?);
    Ok(if level >= Severity::HIGH { read } else { read.into_iter().chain(sent).min() })
}

/// What decides which timers of an incident run, without keeping or locking anything.
pub(super) async fn peek(tx: &mut Conn, id: &str) -> Result<Option<Watch>, StoreError> {
    let failed = "look at an incident";
    let row = db::query(
        "SELECT i.severity, i.state, i.body, i.opened_at, c.raised_at, c.reopened_at FROM incidents i
         LEFT JOIN clocks c ON c.incident = i.id WHERE i.id = $1",
    )
    .bind(id)
    .fetch_optional(&mut *tx)
    .await
    .map_err(query(failed))?;
    let Some(row) = row else { return Ok(None) };
    let work = work(tx, id).await?;
    let level = severity(row.get("severity").map_err(query(failed))?);
    let state: String = row.get("state").map_err(query(failed))?;
    let body: Option<String> = row.get("body").map_err(query(failed))?;
    Ok(Some(Watch {
        level,
        state: IncidentState::from_name(&state).unwrap_or(IncidentState::Detected),
        body: body.and_then(|body| body.parse().ok()),
        opened_at: from_stored(row.get("opened_at").map_err(query(failed))?),
        raised_at: time(&row, "raised_at")?,
        acknowledged_at: work.acknowledged_at,
        notified_at: notified(tx, id, level).await?,
        first_response_at: work.first_response_at,
        updated_at: updated(tx, id).await?,
        eta_at: work.etas.last().map(|eta| eta.signed.at),
        contained_at: work.contained_at,
        reopened_at: time(&row, "reopened_at")?,
        observing_since: work.observing_since,
    }))
}

/// When a person last did something that others see.
async fn updated(tx: &mut Conn, id: &str) -> Result<Option<Timestamp>, StoreError> {
    let at: Option<i64> = db::query_scalar(
        "SELECT max(at) FROM incident_changes
         WHERE incident = $1 AND kind IN ('acknowledged', 'moved', 'recorded', 'note', 'approved')",
    )
    .bind(id)
    .fetch_one(tx)
    .await
    .map_err(query("read the history of an incident"))?;
    Ok(at.map(from_stored))
}

async fn leak(tx: &mut Conn, id: &str, work: &Work) -> Result<Option<Leak>, StoreError> {
    let Some(triage) = &work.triage else { return Ok(None) };
    let class = triage.leak_class.unwrap_or(LeakClass::None);
    let form = work.leak.clone().unwrap_or_default();
    let mut items: BTreeSet<Item> = form.item_types.iter().filter_map(|name| Item::from_name(name)).collect();
    if class == LeakClass::SpecificPersonal {
        items.insert(Item::MyNumber);
    }
    Ok(Some(Leak {
        awareness: awareness(tx, id, work).await?,
        persons_min: form.persons_min,
        persons_max: form.persons_max,
        items,
        suspected: class.is_personal(),
        encryption: if form.encrypted == Some(true) { Encryption::Claimed } else { Encryption::None },
        wrongful: None,
        mentioned_at: work.mentioned.as_ref().map(|mention| mention.signed.at),
    }))
}

/// As somebody recorded it; otherwise the time at which the SOC took the incident counts, as the careful reading.
async fn awareness(tx: &mut Conn, id: &str, work: &Work) -> Result<Option<Awareness>, StoreError> {
    let failed = "read since when it is known";
    let row =
        db::query("SELECT known_at, known_by, known_dept, origin_rule FROM awareness WHERE incident = $1")
            .bind(id)
            .fetch_optional(tx)
            .await
            .map_err(query(failed))?;
    let Some(row) = row else {
        return Ok(work.acknowledged_at.map(|known_at| Awareness {
            known_at,
            known_by: String::new(),
            known_dept: String::new(),
            origin_rule: OriginRule::Acknowledged,
        }));
    };
    let text = |column: &'static str| row.get::<String>(column).map_err(query(failed));
    Ok(Some(Awareness {
        known_at: from_stored(row.get("known_at").map_err(query(failed))?),
        known_by: text("known_by")?,
        known_dept: text("known_dept")?,
        origin_rule: OriginRule::from_name(&text("origin_rule")?).unwrap_or(OriginRule::Recorded),
    }))
}
