//! Exceptions in the store: those in force, what was wrong with their files, and which findings are under one.

use std::time::Duration;

use crate::store::db::{self, Conn};
use sekimori_wire::exception::Exceptions;
use sekimori_wire::text::BoundedText;
use sekimori_wire::time::Timestamp;
use serde_json::Value;

use super::view::{FindingView, IncidentView};
use super::{Store, StoreError, query};
use crate::clock::{from_stored, stored};
use crate::exceptions::ruling::{Ruling, scope_of};

/// Findings under exceptions that are shown.
const EXCEPTED_ROWS: i64 = 50;
/// How far from its evidence a finding is still shown beside an incident.
const AROUND: Duration = Duration::from_secs(3600);
/// Ids that are listed although the collector does not know them.
const UNKNOWN_ROWS: i64 = 200;
/// Longest text kept of what is wrong with a file.
const ERROR_BYTES_MAX: usize = 2_048;

/// An exception in force.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExceptionView {
    /// Its number in the owner's list.
    pub id: String,
    /// Who decided it.
    pub owner: String,
    /// Why it is acceptable.
    pub reason: String,
    /// Beginning of the day on which it was decided.
    pub created: Timestamp,
    /// It holds up to and including this time.
    pub expires: Timestamp,
    /// Keys and values, as the file writes them.
    pub scope: Value,
    /// Findings that are under it now.
    pub findings: i64,
    /// Last evidence of those.
    pub last: Option<Timestamp>,
}

/// An exception that only agents know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownView {
    /// As the agent says.
    pub id: String,
    /// Which agent, hexadecimal.
    pub agent: String,
    /// Its label.
    pub agent_name: String,
    /// Findings that are under it now.
    pub findings: i64,
    /// Last evidence of those.
    pub last: Timestamp,
}

/// When the files were read last.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReadView {
    /// By the collector's clock.
    pub at: Timestamp,
    /// What was wrong with them; what was in force before then stays.
    pub error: Option<String>,
}

type ExceptionRow = (String, String, String, i64, i64, String, i64, Option<i64>);

impl Store {
    /// Writes down which exceptions are in force.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn put_exceptions(&self, exceptions: &Exceptions, now: Timestamp) -> Result<(), StoreError> {
        let failed = "write the exceptions in force";
        let mut tx = self.begin().await?;
        db::query("DELETE FROM exceptions").execute(&mut *tx).await.map_err(query(failed))?;
        for (place, one) in (0_i64..).zip(exceptions.iter()) {
            db::query(
                "INSERT INTO exceptions (id, place, owner, reason, created, expires, scope_json)
                 VALUES ($1, $2, $3, $4, $5, $6, $7)",
            )
            .bind(one.id.as_str())
            .bind(place)
            .bind(&one.owner)
            .bind(&one.reason)
            .bind(stored(one.created))
            .bind(stored(one.expires))
            .bind(scope_of(one).to_string())
            .execute(&mut *tx)
            .await
            .map_err(query(failed))?;
        }
        put_read(&mut tx, None, now).await?;
        tx.commit().await
    }

    /// Writes down why the files could not be used.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn put_exceptions_error(&self, error: &str, now: Timestamp) -> Result<(), StoreError> {
        let mut tx = self.begin().await?;
        put_read(&mut tx, Some(BoundedText::<ERROR_BYTES_MAX>::new(error).as_str()), now).await?;
        tx.commit().await
    }

    /// Those in force, in order, with what they cover.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn exceptions(&self) -> Result<Vec<ExceptionView>, StoreError> {
        let rows: Vec<ExceptionRow> = db::query_as(
            "SELECT e.id, e.owner, e.reason, e.created, e.expires, e.scope_json,
                (SELECT count(*) FROM findings f WHERE f.excepted_by = e.id AND f.excepted_source = 'collector'),
                (SELECT max(f.end) FROM findings f WHERE f.excepted_by = e.id AND f.excepted_source = 'collector')
             FROM exceptions e ORDER BY e.place",
        )
        .fetch_all(self.reader())
        .await
        .map_err(query("list the exceptions"))?;
        let view =
            |(id, owner, reason, created, expires, scope, findings, last): ExceptionRow| ExceptionView {
                id,
                owner,
                reason,
                created: from_stored(created),
                expires: from_stored(expires),
                scope: serde_json::from_str(&scope).unwrap_or_default(),
                findings,
                last: last.map(from_stored),
            };
        Ok(rows.into_iter().map(view).collect())
    }

    /// Exceptions that only agents know, those with the latest evidence first.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn unknown_exceptions(&self) -> Result<Vec<UnknownView>, StoreError> {
        let rows: Vec<(String, String, String, i64, i64)> = db::query_as(
            "SELECT f.excepted_by, f.agent, coalesce(g.name, ''), count(*), max(f.end) AS last
             FROM findings f LEFT JOIN agents g ON g.id = f.agent
             WHERE f.excepted_by IS NOT NULL AND f.excepted_source = 'agent'
             GROUP BY f.excepted_by, f.agent, g.name ORDER BY last DESC, f.excepted_by LIMIT $1",
        )
        .bind(UNKNOWN_ROWS)
        .fetch_all(self.reader())
        .await
        .map_err(query("list the exceptions that only agents know"))?;
        let view = |(id, agent, agent_name, findings, last)| UnknownView {
            id,
            agent,
            agent_name,
            findings,
            last: from_stored(last),
        };
        Ok(rows.into_iter().map(view).collect())
    }

    /// When the files were read last, and what was wrong with them; `None` before the collector ran.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn exceptions_read(&self) -> Result<Option<ReadView>, StoreError> {
        let row: Option<(i64, Option<String>)> = db::query_as("SELECT at, error FROM exceptions_read")
            .fetch_optional(self.reader())
            .await
            .map_err(query("read how exceptions were read"))?;
        Ok(row.map(|(at, error)| ReadView { at: from_stored(at), error }))
    }

    /// Findings that are under an exception, those with the latest evidence first.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn excepted_findings(&self) -> Result<Vec<FindingView>, StoreError> {
        let rows = db::query_as(
            "SELECT f.body, f.json, f.link_json, f.exception_json, f.agent, f.lane, f.epoch, f.seq FROM findings f
             WHERE f.excepted_by IS NOT NULL ORDER BY f.end DESC, f.n DESC LIMIT $1",
        )
        .bind(EXCEPTED_ROWS)
        .fetch_all(self.reader())
        .await
        .map_err(query("list the findings under exceptions"))?;
        Ok(rows.into_iter().map(FindingView::from_row).collect())
    }

    /// Findings under exceptions that are about the subject of an incident, about its time, and belong to none.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn excepted_beside(&self, incident: &IncidentView) -> Result<Vec<FindingView>, StoreError> {
        // Both ends by their own index first: an OR would go through all that was excepted since.
        let rows = db::query_as(
            "SELECT f.body, f.json, f.link_json, f.exception_json, f.agent, f.lane, f.epoch, f.seq FROM findings f
             WHERE f.n IN (SELECT n FROM findings
                    WHERE excepted_by IS NOT NULL AND originator = $1 AND \"end\" >= $4 AND time <= $3
                UNION SELECT n FROM findings
                    WHERE excepted_by IS NOT NULL AND responder = $1 AND \"end\" >= $4 AND time <= $3)
                AND coalesce(f.incident, '') = '' AND ($2 IS NULL OR f.body = $2)
             ORDER BY f.end DESC, f.n DESC LIMIT $5",
        )
        .bind(&incident.subject)
        .bind(incident.body.as_deref())
        .bind(stored(incident.last_evidence.plus(AROUND)))
        .bind(stored(incident.first_evidence.minus(AROUND)))
        .bind(EXCEPTED_ROWS)
        .fetch_all(self.reader())
        .await
        .map_err(query("list the findings under exceptions beside an incident"))?;
        Ok(rows.into_iter().map(FindingView::from_row).collect())
    }
}

async fn put_read(tx: &mut Conn, error: Option<&str>, now: Timestamp) -> Result<(), StoreError> {
    db::query(
        "INSERT INTO exceptions_read (one, at, error) VALUES (1, $1, $2)
         ON CONFLICT (one) DO UPDATE SET at = excluded.at, error = excluded.error",
    )
    .bind(stored(now))
    .bind(error)
    .execute(tx)
    .await
    .map(drop)
    .map_err(query("write how exceptions were read"))
}

/// Marks a stored finding with what was ruled on its last revision.
///
/// # Errors
/// If the store fails.
pub async fn mark(tx: &mut Conn, n: i64, ruling: &Ruling) -> Result<(), StoreError> {
    let excepted = ruling.excepted();
    db::query("UPDATE findings SET excepted_by = $2, excepted_source = $3, exception_json = $4 WHERE n = $1")
        .bind(n)
        .bind(excepted.map(|(id, _)| id))
        .bind(excepted.map(|(_, source)| source.as_str()))
        .bind(ruling.note().map(Value::to_string))
        .execute(tx)
        .await
        .map(drop)
        .map_err(query("mark a finding with its exception"))
}
