//! Reads what a decision needs.

use std::collections::BTreeSet;

use sekimori_wire::finding::Severity;

use crate::clock::from_stored;
use crate::incident::action::Action;
use crate::incident::facts::{IncidentFacts, Other, Probes, Proposal, Work};
use crate::incident::{IncidentCategory, IncidentState};
use crate::store::clocks::obligations_of;
use crate::store::db::{self, Conn, Row};
use crate::store::{StoreError, query};

/// Findings, children, tasks and proposals of one incident that are looked at.
const ROWS_MAX: i64 = 10_000;
/// Findings whose segment counts.
const SEGMENTS_FROM: i64 = 200;

/// The other incident that an action is about, or that the proposal which it decides is about.
pub(super) async fn other_of(tx: &mut Conn, id: &str, action: &Action) -> Result<Option<String>, StoreError> {
    if let Action::Merge { into: other, .. } | Action::Link { other, .. } | Action::Unlink { other, .. } =
        action
    {
        return Ok(Some(other.clone()));
    }
    if let Action::Unmerge { .. } = action {
        return db::query_scalar(
            "SELECT merged_into FROM incidents WHERE id = $1 AND merged_into IS NOT NULL",
        )
        .bind(id)
        .fetch_optional(tx)
        .await
        .map_err(query("read an incident"));
    }
    let Action::Approve { proposal } = action else { return Ok(None) };
    let json: Option<String> =
        db::query_scalar("SELECT json FROM incident_proposals WHERE incident = $1 AND n = $2")
            .bind(id)
            .bind(i64::from(*proposal))
            .fetch_optional(&mut *tx)
            .await
            .map_err(query("read a proposal"))?;
    let Some(json) = json else { return Ok(None) };
    let proposed: Proposal = parsed(&json)?;
    // A proposal never holds a decision about a proposal: this ends.
    if let Action::Approve { .. } = proposed.action {
        Ok(None)
    } else {
        Box::pin(other_of(tx, id, &proposed.action)).await
    }
}

/// Locks the rows in the order of their names, so that two who merge in opposite directions wait and do not collide.
pub(super) async fn lock(tx: &mut Conn, id: &str, other: Option<&str>) -> Result<(), StoreError> {
    let sql = format!("SELECT id FROM incidents WHERE id = $1 OR id = $2 ORDER BY id{}", tx.lock_clause());
    db::query_scalar::<String>(db::AssertSqlSafe(sql))
        .bind(id)
        .bind(other.unwrap_or(id))
        .fetch_all(tx)
        .await
        .map(drop)
        .map_err(query("lock an incident"))
}

/// Everything about an incident.
pub(super) async fn facts(
    tx: &mut Conn,
    id: &str,
    other: Option<&str>,
) -> Result<Option<IncidentFacts>, StoreError> {
    let failed = "read an incident";
    let row = db::query(
        "SELECT category, severity, state, body, parent, work_version, drill FROM incidents WHERE id = $1",
    )
    .bind(id)
    .fetch_optional(&mut *tx)
    .await
    .map_err(query(failed))?;
    let Some(row) = row else { return Ok(None) };
    let body: Option<String> = row.get("body").map_err(query(failed))?;
    let parent: Option<String> = row.get("parent").map_err(query(failed))?;
    let drill: i64 = row.get("drill").map_err(query(failed))?;
    let category = word(&row, "category", IncidentCategory::from_name)?;
    let other = match other.filter(|other| *other != id) {
        Some(other) => self::other(tx, other).await?,
        None => None,
    };
    let wide = if body.is_none() { Some(id) } else { parent.as_deref() };
    Ok(Some(IncidentFacts {
        id: id.to_owned(),
        category,
        severity: severity(&row)?,
        state: word(&row, "state", IncidentState::from_name)?,
        body: body.and_then(|body| body.parse().ok()),
        version: row.get("work_version").map_err(query(failed))?,
        drill: drill != 0,
        segments: segments(tx, id).await?,
        bodies: bodies(tx, wide).await?,
        children: texts(tx, "SELECT id FROM incidents WHERE parent = $1 ORDER BY id LIMIT $2", id).await?,
        findings: texts(tx, "SELECT id FROM findings WHERE incident = $1 ORDER BY n LIMIT $2", id).await?,
        work: work(tx, id).await?,
        tasks: parsed_all(tx, "SELECT json FROM incident_tasks WHERE incident = $1 ORDER BY n LIMIT $2", id)
            .await?,
        proposals: parsed_all(
            tx,
            "SELECT json FROM incident_proposals WHERE incident = $1 ORDER BY n LIMIT $2",
            id,
        )
        .await?,
        obligations: obligations_of(tx, id).await?,
        probes: probes(tx, id, category).await?,
        other,
    }))
}

/// What watches the thing that the incident is about. Of a sensor that is its own health; services are not watched yet.
async fn probes(tx: &mut Conn, id: &str, category: IncidentCategory) -> Result<Probes, StoreError> {
    if category != IncidentCategory::SensorSilent {
        return Ok(Probes::None);
    }
    let failed = "read how a sensor is";
    let bad: i64 = db::query_scalar("SELECT count(*) FROM sensor_watch WHERE incident = $1")
        .bind(id)
        .fetch_one(&mut *tx)
        .await
        .map_err(query(failed))?;
    let back: Option<i64> =
        db::query_scalar("SELECT max(at) FROM incident_changes WHERE incident = $1 AND kind = 'sensor_back'")
            .bind(id)
            .fetch_one(tx)
            .await
            .map_err(query(failed))?;
    Ok(match back {
        _ if bad > 0 => Probes::Red,
        Some(at) => Probes::GreenSince(from_stored(at)),
        None => Probes::None,
    })
}

/// What people wrote down.
pub(super) async fn work(tx: &mut Conn, id: &str) -> Result<Work, StoreError> {
    let json: Option<String> = db::query_scalar("SELECT json FROM incident_work WHERE incident = $1")
        .bind(id)
        .fetch_optional(tx)
        .await
        .map_err(query("read the work on an incident"))?;
    json.map_or_else(|| Ok(Work::default()), |json| parsed(&json))
}

/// An incident that another one is merged into, or leaves.
pub(super) async fn other(tx: &mut Conn, id: &str) -> Result<Option<Other>, StoreError> {
    let failed = "read an incident";
    let row = db::query("SELECT severity, state, body, drill FROM incidents WHERE id = $1")
        .bind(id)
        .fetch_optional(tx)
        .await
        .map_err(query(failed))?;
    let Some(row) = row else { return Ok(None) };
    let body: Option<String> = row.get("body").map_err(query(failed))?;
    let drill: i64 = row.get("drill").map_err(query(failed))?;
    Ok(Some(Other {
        id: id.to_owned(),
        state: word(&row, "state", IncidentState::from_name)?,
        body: body.and_then(|body| body.parse().ok()),
        severity: severity(&row)?,
        drill: drill != 0,
    }))
}

/// In how many bodies the same was seen: under the wide-area incident that this one is, or belongs to.
async fn bodies(tx: &mut Conn, wide: Option<&str>) -> Result<u32, StoreError> {
    let Some(wide) = wide else { return Ok(1) };
    let count: i64 = db::query_scalar("SELECT count(DISTINCT body) FROM incidents WHERE parent = $1")
        .bind(wide)
        .fetch_one(tx)
        .await
        .map_err(query("count bodies"))?;
    Ok(u32::try_from(count).unwrap_or(u32::MAX).max(1))
}

/// Segments that its findings name.
pub(in crate::store) async fn segments(tx: &mut Conn, id: &str) -> Result<Vec<String>, StoreError> {
    let rows: Vec<String> = db::query_scalar(
        "SELECT json FROM findings WHERE incident = $1 AND category LIKE 'segment.%' ORDER BY n DESC LIMIT $2",
    )
    .bind(id)
    .bind(SEGMENTS_FROM)
    .fetch_all(tx)
    .await
    .map_err(query("read findings"))?;
    let named = rows.iter().filter_map(|json| {
        let json: serde_json::Value = serde_json::from_str(json).ok()?;
        json.get("segment")?.as_str().map(str::to_owned)
    });
    Ok(named.collect::<BTreeSet<_>>().into_iter().collect())
}

async fn texts(tx: &mut Conn, sql: &'static str, id: &str) -> Result<Vec<String>, StoreError> {
    db::query_scalar(sql).bind(id).bind(ROWS_MAX).fetch_all(tx).await.map_err(query("read an incident"))
}

async fn parsed_all<T: serde::de::DeserializeOwned>(
    tx: &mut Conn,
    sql: &'static str,
    id: &str,
) -> Result<Vec<T>, StoreError> {
    texts(tx, sql, id).await?.iter().map(|json| parsed(json)).collect()
}

/// What we wrote ourselves. If it cannot be read nobody may decide on it: better an error than a lost form.
pub(super) fn parsed<T: serde::de::DeserializeOwned>(json: &str) -> Result<T, StoreError> {
    serde_json::from_str(json).map_err(|cause| StoreError::Query {
        what: "understand the work on an incident",
        cause: db::Error::Decode(cause.into()),
    })
}

fn word<T>(row: &Row, column: &'static str, of: impl Fn(&str) -> Option<T>) -> Result<T, StoreError> {
    let text: String = row.get(column).map_err(query("understand an incident"))?;
    of(&text).ok_or_else(|| StoreError::Query {
        what: "understand an incident",
        cause: db::Error::ColumnNotFound(column.to_owned()),
    })
}

fn severity(row: &Row) -> Result<Severity, StoreError> {
    let level: i64 = row.get("severity").map_err(query("understand an incident"))?;
    Ok(crate::store::incident::severity(level))
}
