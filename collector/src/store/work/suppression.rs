//! Suppressions in the store: written in the transaction of the last signature, ended by a person with a reason, never deleted.

use sekimori_wire::exception::Exception;
use sekimori_wire::id::BodyCode;
use sekimori_wire::time::Timestamp;

use super::Seen;
use crate::audit::Entry;
use crate::auth::scope::Scope;
use crate::clock::{self, from_stored, stored};
use crate::exceptions::suppression::{self, IN_FORCE_MAX, Written};
use crate::export::By;
use crate::incident::action::Action;
use crate::store::audit::append;
use crate::store::db::{self, Conn};
use crate::store::{Store, StoreError, query};

/// Suppressions that are shown, those in force first.
const ROWS: i64 = 2_000;
/// Evidence of so long ago may still arrive: until then one that ended is still judged by.
const LATE: std::time::Duration = std::time::Duration::from_secs(60 * 86_400);

/// A suppression.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SuppressionView {
    /// By which findings name it.
    pub id: String,
    /// In which incident it was granted.
    pub incident: String,
    /// The only body that it covers.
    pub body: String,
    /// The keys and values.
    pub scope: String,
    /// Why.
    pub reason: String,
    /// Who asked.
    pub asked_by: String,
    /// Whose signature was the last.
    pub granted_by: String,
    /// When it was granted.
    pub at: Timestamp,
    /// It holds up to and including this time.
    pub until: Timestamp,
    /// When somebody ended it before that, who, and why.
    pub ended: Option<(Timestamp, String, String)>,
    /// Findings that are under it now.
    pub findings: i64,
    /// Last evidence of those.
    pub last: Option<Timestamp>,
}

impl SuppressionView {
    /// Whether it keeps anything out at this time.
    pub fn is_in_force(&self, now: Timestamp) -> bool {
        self.ended.is_none() && now <= self.until
    }
}

/// Writes the suppression that the newest grant of the incident is.
pub(super) async fn put(
    tx: &mut Conn,
    seen: Seen<'_>,
    action: &Action,
    asked_by: &str,
) -> Result<(), StoreError> {
    let Action::Suppress { scope, reason, .. } = action else { return Ok(()) };
    // The guards refused a scope that names no body.
    let Ok(body) = suppression::check(scope, seen.before.body) else { return Ok(()) };
    db::query(
        "INSERT INTO suppressions (id, incident, n, body, scope, reason, asked_by, granted_by, at, until)
         SELECT $1 || '-S' || n, $1, n, $2, $3, $4, $5, $6, at, until FROM grants
         WHERE incident = $1 ORDER BY n DESC LIMIT 1",
    )
    .bind(&seen.before.id)
    .bind(body.as_str())
    .bind(scope)
    .bind(reason)
    .bind(asked_by)
    .bind(&seen.actor.name)
    .execute(tx)
    .await
    .map(drop)
    .map_err(query("write a suppression"))
}

/// Whether there are as many as anybody can answer for.
pub(super) async fn full(tx: &mut Conn) -> Result<bool, StoreError> {
    let count: i64 =
        db::query_scalar("SELECT count(*) FROM suppressions WHERE ended_at IS NULL AND until >= $1")
            .bind(stored(clock::now()))
            .fetch_one(tx)
            .await
            .map_err(query("count the suppressions"))?;
    Ok(count >= IN_FORCE_MAX)
}

/// Id, body, scope, reason, who asked, who granted, when, until.
type Row = (String, String, String, String, String, String, i64, i64);

fn exception((id, body, scope, reason, asked_by, granted_by, at, until): &Row) -> Option<Exception> {
    let body: BodyCode = body.parse().ok()?;
    let owner = format!("{asked_by} → {granted_by}");
    let (at, until) = (from_stored(*at), from_stored(*until));
    suppression::exception(&Written { id, scope, body, owner: &owner, reason, at, until })
}

impl Store {
    /// How many were ever granted and how many of them ended by hand: another pair after every change.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn suppressions_number(&self) -> Result<(i64, i64), StoreError> {
        db::query_as("SELECT count(*), count(ended_at) FROM suppressions")
            .fetch_one(self.reader())
            .await
            .map_err(query("count the suppressions"))
    }

    /// Those that findings are judged by.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn suppressions_in_force(&self, now: Timestamp) -> Result<Vec<Exception>, StoreError> {
        let rows: Vec<Row> = db::query_as(
            "SELECT id, body, scope, reason, asked_by, granted_by, at, until FROM suppressions
             WHERE ended_at IS NULL AND until >= $1 ORDER BY at, id",
        )
        .bind(stored(now.minus(LATE)))
        .fetch_all(self.reader())
        .await
        .map_err(query("read the suppressions"))?;
        let read = |row: &Row| {
            let good = exception(row);
            if good.is_none() {
                tracing::error!(id = row.0, "a suppression cannot be read and covers nothing");
            }
            good
        };
        Ok(rows.iter().filter_map(read).collect())
    }

    pub(in crate::store) async fn suppressions_in(
        &self,
        seen: &Scope,
        now: Timestamp,
    ) -> Result<Vec<SuppressionView>, StoreError> {
        let failed = "list the suppressions";
        let rows: Vec<db::Row> = db::query(
            "SELECT s.id, s.incident, s.body, s.scope, s.reason, s.asked_by, s.granted_by, s.at, s.until, s.ended_at,
                s.ended_by, s.ended_reason,
                (SELECT count(*) FROM findings f WHERE f.excepted_by = s.id AND f.excepted_source = 'collector') AS findings,
                (SELECT max(f.end) FROM findings f WHERE f.excepted_by = s.id AND f.excepted_source = 'collector') AS last
             FROM suppressions s WHERE CAST($1 AS TEXT) IS NULL OR $1 LIKE '%,' || s.body || ',%'
             ORDER BY CASE WHEN s.ended_at IS NULL AND s.until >= $2 THEN 0 ELSE 1 END, s.at DESC, s.id LIMIT $3",
        )
        .bind(seen.sql())
        .bind(stored(now))
        .bind(ROWS)
        .fetch_all(self.reader())
        .await
        .map_err(query(failed))?;
        rows.iter().map(|row| view(row).map_err(query(failed))).collect()
    }

    pub(in crate::store) async fn end_suppression_in(
        &self,
        seen: &Scope,
        id: &str,
        (by, reason): (&By, &str),
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let failed = "end a suppression";
        let mut tx = self.begin().await?;
        let row: Option<(String, i64)> = db::query_as(
            "UPDATE suppressions SET ended_at = $2, ended_by = $3, ended_reason = $4
             WHERE id = $1 AND ended_at IS NULL AND until >= $2 AND (CAST($5 AS TEXT) IS NULL OR $5 LIKE '%,' || body || ',%')
             RETURNING incident, n",
        )
        .bind(id)
        .bind(stored(now))
        .bind(&by.actor)
        .bind(reason)
        .bind(seen.sql())
        .fetch_optional(&mut *tx)
        .await
        .map_err(query(failed))?;
        let Some((incident, n)) = row else { return Ok(false) };
        db::query("UPDATE grants SET until = $3 WHERE incident = $1 AND n = $2")
            .bind(&incident)
            .bind(n)
            .bind(stored(now))
            .execute(&mut *tx)
            .await
            .map_err(query(failed))?;
        let line = Entry {
            at: now,
            actor: by.actor.clone(),
            role: by.role.clone(),
            incident,
            action: "suppression:end".to_owned(),
            reason: format!("{id}: {reason}"),
            ..Entry::default()
        };
        append(&mut tx, line).await?;
        tx.commit().await?;
        Ok(true)
    }
}

fn view(row: &db::Row) -> Result<SuppressionView, db::Error> {
    let ended: Option<i64> = row.get("ended_at")?;
    let by: Option<String> = row.get("ended_by")?;
    let why: Option<String> = row.get("ended_reason")?;
    let last: Option<i64> = row.get("last")?;
    Ok(SuppressionView {
        id: row.get("id")?,
        incident: row.get("incident")?,
        body: row.get("body")?,
        scope: row.get("scope")?,
        reason: row.get("reason")?,
        asked_by: row.get("asked_by")?,
        granted_by: row.get("granted_by")?,
        at: from_stored(row.get("at")?),
        until: from_stored(row.get("until")?),
        ended: ended.map(|at| (from_stored(at), by.unwrap_or_default(), why.unwrap_or_default())),
        findings: row.get("findings")?,
        last: last.map(from_stored),
    })
}
