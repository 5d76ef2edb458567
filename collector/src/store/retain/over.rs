//! Incidents that are long over, and the beginning of the audit log, by their age.
//!
//! Incidents that belong together (merged, or of one wide-area parent) go together, in one transaction, when all of them may.
//! What stays is that there was such an incident (`tombstones`), its lesson, and a line of the audit log. The log itself goes
//! up to an anchor that it names: whoever cuts it off otherwise is found out by `audit verify`.

use std::collections::{BTreeMap, BTreeSet};

use sekimori_wire::id::Digest;
use sekimori_wire::time::Timestamp;
use serde_json::json;

use super::{Kept, chains};
use crate::audit::Entry;
use crate::clock::stored;
use crate::incident::IncidentState;
use crate::incident::facts::Work;
use crate::store::audit::append;
use crate::store::clocks::obligations_of;
use crate::store::db::{self, AssertSqlSafe, Conn};
use crate::store::{Store, StoreError, query};

/// Incidents that are looked at at a time.
const PAGE: i64 = 200;
/// Incidents of one group; a larger one stays.
const GROUP_MAX: usize = 5000;
/// Lines of the audit log that go at a time.
const LINES: i64 = 50_000;
/// What stays of an incident: its lines of the log, which go by their own age, and its lesson.
const STAY: [&str; 2] = ["audit", "lessons"];
/// The action of the lines that name the anchor of the audit log.
pub(in crate::store) const AUDIT: &str = "retention.audit";

/// What is left of an incident.
#[derive(Clone, Debug)]
struct Last {
    id: String,
    category: String,
    severity: i64,
    state: String,
    body: Option<String>,
    opened_at: i64,
    updated_at: i64,
}

impl Store {
    /// Drops the incidents that were over and untouched since then, but for those with an open obligation or a hold.
    pub(super) async fn drop_incidents(
        &self,
        before: Timestamp,
        now: Timestamp,
        kept: &mut Kept,
    ) -> Result<(), StoreError> {
        let (mut at, mut after) = (i64::MIN, String::new());
        loop {
            let page: Vec<(i64, String)> = db::query_as(
                "SELECT opened_at, id FROM incidents WHERE (opened_at > $1 OR (opened_at = $1 AND id > $2))
                    AND opened_at < $3 AND updated_at < $3 AND state IN ('closed', 'false_positive')
                 ORDER BY opened_at, id LIMIT $4",
            )
            .bind(at)
            .bind(after.as_str())
            .bind(stored(before))
            .bind(PAGE)
            .fetch_all(self.reader())
            .await
            .map_err(query("look for incidents that are too old"))?;
            let Some(last) = page.last().cloned() else { return Ok(()) };
            let mut gone = BTreeSet::new();
            for (_, id) in page {
                if !gone.contains(&id) {
                    gone.extend(self.drop_group(&id, before, now, kept).await?);
                }
            }
            (at, after) = last;
        }
    }

    /// Drops an incident with all that belong with it; gives back which went.
    async fn drop_group(
        &self,
        id: &str,
        before: Timestamp,
        now: Timestamp,
        kept: &mut Kept,
    ) -> Result<Vec<String>, StoreError> {
        let mut tx = self.begin().await?;
        let Some(group) = group(&mut tx, id, before).await? else { return Ok(Vec::new()) };
        let tables = tables(&mut tx).await?;
        let mut dropped = BTreeMap::new();
        for one in &group {
            drop_one(&mut tx, one, &tables, &mut dropped).await?;
        }
        // Those that refer to others of the group first.
        for sql in [
            "UPDATE incidents SET parent = NULL, merged_into = NULL WHERE id = $1",
            "DELETE FROM incidents WHERE id = $1",
        ] {
            for one in &group {
                db::query(sql).bind(&one.id).execute(&mut *tx).await.map_err(query("drop an incident"))?;
            }
        }
        for one in &group {
            bury(&mut tx, one, now).await?;
        }
        tx.commit().await?;
        kept.add("incidents", u64::try_from(group.len()).unwrap_or(u64::MAX));
        for (table, rows) in dropped {
            kept.add(if table == "findings" { "findings" } else { "of_incidents" }, rows);
        }
        tokio::time::sleep(super::PAUSE).await;
        Ok(group.into_iter().map(|one| one.id).collect())
    }

    /// Drops the beginning of the audit log, up to the first line that is younger or about an incident that is still there.
    pub(super) async fn drop_audit(
        &self,
        before: Timestamp,
        now: Timestamp,
        kept: &mut Kept,
    ) -> Result<(), StoreError> {
        let failed = "drop the beginning of the audit log";
        let mut tx = self.begin().await?;
        let sql = format!("SELECT seq FROM audit_head WHERE one = 1{}", tx.lock_clause());
        let head: i64 =
            db::query_scalar(AssertSqlSafe(sql)).fetch_one(&mut *tx).await.map_err(query(failed))?;
        let first: Option<i64> = db::query_scalar("SELECT min(seq) FROM audit")
            .fetch_one(&mut *tx)
            .await
            .map_err(query(failed))?;
        let Some(first) = first else { return Ok(()) };
        let most = first.saturating_add(LINES).min(head);
        let young: Option<i64> = db::query_scalar(
            "SELECT a.seq FROM audit a LEFT JOIN incidents i ON i.id = a.incident
             WHERE a.seq < $1 AND (a.at >= $2 OR i.id IS NOT NULL) ORDER BY a.seq LIMIT 1",
        )
        .bind(most)
        .bind(stored(before))
        .fetch_optional(&mut *tx)
        .await
        .map_err(query(failed))?;
        let through = young.unwrap_or(most) - 1;
        if through < first {
            return Ok(());
        }
        let hash: Vec<u8> = db::query_scalar("SELECT hash FROM audit WHERE seq = $1")
            .bind(through)
            .fetch_one(&mut *tx)
            .await
            .map_err(query(failed))?;
        chains::restate(&mut tx, through, now).await?;
        db::query(
            "INSERT INTO audit_anchor (one, seq, hash, at) VALUES (1, $1, $2, $3)
             ON CONFLICT (one) DO UPDATE SET seq = excluded.seq, hash = excluded.hash, at = excluded.at",
        )
        .bind(through)
        .bind(hash.clone())
        .bind(stored(now))
        .execute(&mut *tx)
        .await
        .map_err(query(failed))?;
        let done = db::query("DELETE FROM audit WHERE seq <= $1")
            .bind(through)
            .execute(&mut *tx)
            .await
            .map_err(query(failed))?;
        append(&mut tx, line(AUDIT, "", named(through, &hash), now)).await?;
        tx.commit().await?;
        kept.add("audit", done.rows_affected());
        Ok(())
    }
}

/// What a line says of the anchor of the audit log.
pub(in crate::store) fn named(through: i64, hash: &[u8]) -> String {
    let hash = Digest::from_bytes(hash).unwrap_or(Digest::ZERO);
    json!({ "through": through, "hash": hash }).to_string()
}

fn line(action: &str, incident: &str, reason: String, now: Timestamp) -> Entry {
    Entry {
        at: now,
        actor: "collector".to_owned(),
        role: "system".to_owned(),
        incident: incident.to_owned(),
        action: action.to_owned(),
        reason,
        ..Entry::default()
    }
}

/// All incidents that belong with this one, locked; `None` if one of them must stay.
async fn group(tx: &mut Conn, id: &str, before: Timestamp) -> Result<Option<Vec<Last>>, StoreError> {
    let failed = "look for what belongs with an incident";
    let mut group: BTreeMap<String, Last> = BTreeMap::new();
    let mut next = vec![id.to_owned()];
    let lock = tx.lock_clause();
    while let Some(id) = next.pop() {
        if group.contains_key(&id) {
            continue;
        }
        let sql = format!(
            "SELECT category, severity, state, body, opened_at, updated_at, parent, merged_into FROM incidents
             WHERE id = $1{lock}"
        );
        let row: Option<Row> = db::query_as(AssertSqlSafe(sql))
            .bind(&id)
            .fetch_optional(&mut *tx)
            .await
            .map_err(query(failed))?;
        let Some((category, severity, state, body, opened_at, updated_at, parent, merged_into)) = row else {
            continue;
        };
        let last = Last { id: id.clone(), category, severity, state, body, opened_at, updated_at };
        if group.len() >= GROUP_MAX || !may_go(tx, &last, before).await? {
            return Ok(None);
        }
        group.insert(id.clone(), last);
        let under: Vec<String> =
            db::query_scalar("SELECT id FROM incidents WHERE parent = $1 OR merged_into = $1")
                .bind(&id)
                .fetch_all(&mut *tx)
                .await
                .map_err(query(failed))?;
        next.extend(parent.into_iter().chain(merged_into).chain(under));
    }
    Ok(Some(group.into_values().collect()))
}

/// Category, severity, state, body, opened, updated, parent, merged into.
type Row = (String, i64, String, Option<String>, i64, i64, Option<String>, Option<String>);

async fn may_go(tx: &mut Conn, last: &Last, before: Timestamp) -> Result<bool, StoreError> {
    let over = match IncidentState::from_name(&last.state) {
        Some(state) => !state.is_open(),
        None => false,
    };
    if !over || last.updated_at >= stored(before) {
        return Ok(false);
    }
    if obligations_of(&mut *tx, &last.id).await?.iter().any(|one| !one.state.is_terminal()) {
        return Ok(false);
    }
    let failed = "look whether an incident must stay";
    let watched: i64 = db::query_scalar("SELECT count(*) FROM sensor_watch WHERE incident = $1")
        .bind(&last.id)
        .fetch_one(&mut *tx)
        .await
        .map_err(query(failed))?;
    let work: Option<String> = db::query_scalar("SELECT json FROM incident_work WHERE incident = $1")
        .bind(&last.id)
        .fetch_optional(tx)
        .await
        .map_err(query(failed))?;
    // What cannot be read stays.
    let held =
        work.is_some_and(|json| serde_json::from_str::<Work>(&json).map_or(true, |work| work.hold.is_some()));
    Ok(watched == 0 && !held)
}

/// Every table with a row for an incident, as the database names them: what a later version adds goes, too.
async fn tables(tx: &mut Conn) -> Result<Vec<String>, StoreError> {
    let sql = if tx.is_shared() {
        "SELECT CAST(table_name AS TEXT) FROM information_schema.columns
         WHERE table_schema = current_schema() AND column_name = 'incident' ORDER BY 1"
    } else {
        "SELECT t.name FROM pragma_table_list t JOIN pragma_table_info(t.name) c
         WHERE t.schema = 'main' AND t.type = 'table' AND c.name = 'incident' ORDER BY 1"
    };
    let mut all: Vec<String> = db::query_scalar(sql).fetch_all(tx).await.map_err(query("list the tables"))?;
    all.retain(|table| !STAY.contains(&table.as_str()));
    Ok(all)
}

async fn drop_one(
    tx: &mut Conn,
    one: &Last,
    tables: &[String],
    dropped: &mut BTreeMap<String, u64>,
) -> Result<(), StoreError> {
    let failed = "drop what belongs to an incident";
    for sql in [
        "DELETE FROM notice_attempts WHERE notice IN (SELECT key FROM notices WHERE incident = $1)",
        "DELETE FROM alerts WHERE EXISTS (SELECT 1 FROM findings f
            WHERE f.incident = $1 AND f.body = alerts.body AND f.id = alerts.id)",
        "DELETE FROM incident_links WHERE one = $1 OR other = $1",
    ] {
        db::query(sql).bind(&one.id).execute(&mut *tx).await.map_err(query(failed))?;
    }
    for table in tables {
        let sql = format!("DELETE FROM \"{table}\" WHERE incident = $1");
        let done =
            db::query(AssertSqlSafe(sql)).bind(&one.id).execute(&mut *tx).await.map_err(query(failed))?;
        *dropped.entry(table.clone()).or_insert(0) += done.rows_affected();
    }
    Ok(())
}

/// That it was there, and when it went.
async fn bury(tx: &mut Conn, one: &Last, now: Timestamp) -> Result<(), StoreError> {
    db::query(
        "INSERT INTO tombstones (id, category, severity, state, body, opened_at, closed_at, removed_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
    )
    .bind(&one.id)
    .bind(&one.category)
    .bind(one.severity)
    .bind(&one.state)
    .bind(one.body.as_deref())
    .bind(one.opened_at)
    .bind(one.updated_at)
    .bind(stored(now))
    .execute(&mut *tx)
    .await
    .map_err(query("note that an incident is gone"))?;
    let reason = json!({ "last_change": crate::clock::from_stored(one.updated_at) }).to_string();
    let entry = line("retention.incident", &one.id, reason, now);
    append(tx, Entry { from: one.state.clone(), ..entry }).await
}
