//! Dead letters: notices that were given up for good. They are sent once more, or put aside with a reason; both are in the audit
//! log.

use sekimori_wire::time::Timestamp;
use serde::Serialize;
use utoipa::ToSchema;

use super::Seen;
use crate::audit::Entry;
use crate::clock::{from_stored, stored};
use crate::export::By;
use crate::store::audit::append;
use crate::store::db;
use crate::store::{StoreError, query};

/// Dead letters that are shown, the latest first.
const ROWS: i64 = 500;

/// A notice that was given up, and about which nobody decided anything yet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct DeadLetter {
    /// What makes it one of its kind.
    pub key: String,
    /// About which incident.
    pub incident: Option<String>,
    /// 団体コード; none: wide-area, or all bodies.
    pub body: Option<String>,
    /// What it is about: `opened`, `timer` …
    pub kind: String,
    /// To whom, in which role.
    pub role: String,
    /// To whom, by name; empty: nobody is named for the role.
    pub contact: String,
    /// How: `mail` …; empty: nobody is named for the role.
    pub channel: String,
    /// When it was written.
    #[schema(value_type = String, format = DateTime)]
    pub written_at: Timestamp,
    /// When it was given up.
    #[schema(value_type = String, format = DateTime)]
    pub dead_at: Timestamp,
    /// How often it was tried.
    pub attempts: i64,
    /// What was wrong with the last attempt.
    pub error: String,
}

/// What becomes of a dead letter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Settle<'a> {
    /// It is tried once more; if that fails it is a dead letter again.
    Again,
    /// Nobody needs it any more, for this reason.
    Aside(&'a str),
}

/// What came of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Settled {
    /// It is done, and in the audit log.
    Done,
    /// No such dead letter is seen.
    NotFound,
    /// It cannot be sent: nobody is named for the role.
    Nobody,
}

/// Key, incident, body, kind, role, contact, channel, written at, given up at, attempts, error.
type Row =
    (String, Option<String>, Option<String>, String, String, String, String, i64, i64, i64, Option<String>);

impl Seen<'_> {
    /// Dead letters, the latest first.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn dead_letters(&self) -> Result<Vec<DeadLetter>, StoreError> {
        let rows: Vec<Row> = db::query_as(
            "SELECT key, incident, body, kind, role, contact, channel, written_at, dead_at, attempts, error FROM notices
             WHERE dead_at IS NOT NULL AND aside_at IS NULL
                AND (CAST($1 AS TEXT) IS NULL OR $1 LIKE '%,' || body || ',%')
             ORDER BY dead_at DESC, key LIMIT $2",
        )
        .bind(self.scope.sql())
        .bind(ROWS)
        .fetch_all(self.store.reader())
        .await
        .map_err(query("list the dead letters"))?;
        let one =
            |(key, incident, body, kind, role, contact, channel, written, dead, attempts, error): Row| {
                DeadLetter {
                    key,
                    incident,
                    body,
                    kind,
                    role,
                    contact,
                    channel,
                    written_at: from_stored(written),
                    dead_at: from_stored(dead),
                    attempts,
                    error: error.unwrap_or_default(),
                }
            };
        Ok(rows.into_iter().map(one).collect())
    }

    /// Sends a dead letter once more or puts it aside.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn settle(
        &self,
        key: &str,
        how: Settle<'_>,
        by: &By,
        now: Timestamp,
    ) -> Result<Settled, StoreError> {
        let failed = "decide about a dead letter";
        let mut tx = self.store.begin().await?;
        let sql = format!(
            "SELECT incident, channel FROM notices WHERE key = $1 AND dead_at IS NOT NULL AND aside_at IS NULL
                AND (CAST($2 AS TEXT) IS NULL OR $2 LIKE '%,' || body || ',%'){}",
            tx.lock_clause()
        );
        let row: Option<(Option<String>, String)> = db::query_as(db::AssertSqlSafe(sql))
            .bind(key)
            .bind(self.scope.sql())
            .fetch_optional(&mut *tx)
            .await
            .map_err(query(failed))?;
        let Some((incident, channel)) = row else { return Ok(Settled::NotFound) };
        let (action, reason) = match how {
            Settle::Again if channel.is_empty() => return Ok(Settled::Nobody),
            Settle::Again => {
                db::query("UPDATE notices SET dead_at = NULL, next_at = $2, lease_until = 0 WHERE key = $1")
                    .bind(key)
                    .bind(stored(now))
                    .execute(&mut *tx)
                    .await
                    .map_err(query(failed))?;
                ("notice:again", key.to_owned())
            }
            Settle::Aside(reason) => {
                db::query(
                    "UPDATE notices SET aside_at = $2, aside_by = $3, aside_reason = $4, pass_at = NULL WHERE key = $1",
                )
                .bind(key)
                .bind(stored(now))
                .bind(&by.actor)
                .bind(reason)
                .execute(&mut *tx)
                .await
                .map_err(query(failed))?;
                ("notice:aside", format!("{key}: {reason}"))
            }
        };
        let line = Entry {
            at: now,
            actor: by.actor.clone(),
            role: by.role.clone(),
            incident: incident.unwrap_or_default(),
            action: action.to_owned(),
            reason,
            ..Entry::default()
        };
        append(&mut tx, line).await?;
        tx.commit().await?;
        Ok(Settled::Done)
    }
}
