//! Agents and bodies, counters, and who was turned away.

use sqlx::FromRow;

use crate::store::{Store, StoreError, query};

/// Peers shown of those turned away.
const REJECTION_ROWS: i64 = 100;
const AGENT: &str =
    "SELECT g.id, g.name, g.body, b.name AS body_name, g.enrolled_at, g.revoked_at, g.cert_expires_at,
    g.last_seen, g.epoch, g.through, g.head, g.sealed_at, g.health_json, g.version,
    (SELECT mode FROM batches WHERE agent = g.id AND epoch = g.epoch AND seq = g.through) AS mode
    FROM agents g JOIN bodies b ON b.code = g.body";

/// An agent and how it is.
#[derive(Clone, Debug, FromRow)]
pub struct AgentView {
    /// Digest of its key.
    pub id: String,
    /// Label.
    pub name: String,
    /// 団体コード.
    pub body: String,
    /// The body's name.
    pub body_name: String,
    /// Nanoseconds.
    pub enrolled_at: i64,
    /// Nanoseconds.
    pub revoked_at: Option<i64>,
    /// Nanoseconds.
    pub cert_expires_at: i64,
    /// Nanoseconds.
    pub last_seen: Option<i64>,
    /// The chain in force.
    pub epoch: i64,
    /// Last batch of it.
    pub through: i64,
    /// Its digest.
    pub head: Option<Vec<u8>>,
    /// Nanoseconds, by the agent's clock.
    pub sealed_at: Option<i64>,
    /// The latest `Record::Health`.
    pub health_json: Option<String>,
    /// As the agent says.
    pub version: Option<String>,
    /// Of its last batch: `live` or `replay`.
    pub mode: Option<String>,
}

/// Somebody who was turned away.
#[derive(Clone, Debug, FromRow)]
pub struct RejectionView {
    /// Address, or agent.
    pub peer: String,
    /// `tls`, or the kind of the refusal.
    pub kind: String,
    /// How often.
    pub count: i64,
    /// Nanoseconds.
    pub last_at: i64,
    /// Of the last time.
    pub detail: String,
}

impl Store {
    /// Every agent, by body and name.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn agents(&self) -> Result<Vec<AgentView>, StoreError> {
        sqlx::query_as(sqlx::AssertSqlSafe(format!("{AGENT} ORDER BY g.body, g.name, g.id")))
            .fetch_all(self.reader())
            .await
            .map_err(query("list agents"))
    }

    /// One agent.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn agent(&self, id: &str) -> Result<Option<AgentView>, StoreError> {
        sqlx::query_as(sqlx::AssertSqlSafe(format!("{AGENT} WHERE g.id = $1")))
            .bind(id)
            .fetch_optional(self.reader())
            .await
            .map_err(query("read an agent"))
    }

    /// Every body: code and name.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn bodies(&self) -> Result<Vec<(String, String)>, StoreError> {
        sqlx::query_as("SELECT code, name FROM bodies ORDER BY code")
            .fetch_all(self.reader())
            .await
            .map_err(query("list bodies"))
    }

    /// Every counter, by name.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn counters(&self) -> Result<Vec<(String, i64)>, StoreError> {
        sqlx::query_as("SELECT name, value FROM counters ORDER BY name")
            .fetch_all(self.reader())
            .await
            .map_err(query("read the counters"))
    }

    /// Whom the collector turned away, the latest first.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn rejections(&self) -> Result<Vec<RejectionView>, StoreError> {
        sqlx::query_as(
            "SELECT peer, kind, count, last_at, detail FROM rejections ORDER BY last_at DESC LIMIT $1",
        )
        .bind(REJECTION_ROWS)
        .fetch_all(self.reader())
        .await
        .map_err(query("list who was turned away"))
    }
}
