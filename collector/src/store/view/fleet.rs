//! Agents and bodies, counters, and who was turned away.

use crate::store::db::{self, FromRow};
use crate::store::{Store, StoreError, query};

/// Peers shown of those turned away.
const REJECTION_ROWS: i64 = 100;
const AGENT: &str =
    "SELECT g.id, g.name, g.body, b.name AS body_name, g.enrolled_at, g.revoked_at, g.cert_expires_at,
    (SELECT count(*) FROM agent_keys k WHERE k.agent = g.id) + 1 AS keys,
    g.last_seen, coalesce(u.epoch, 0) AS epoch, coalesce(u.through, 0) AS through, u.head,
    coalesce(d.epoch, 0) AS detail_epoch, coalesce(d.through, 0) AS detail_through, d.head AS detail_head,
    max(coalesce(u.sealed_at, d.sealed_at), coalesce(d.sealed_at, u.sealed_at)) AS sealed_at,
    g.health_json, g.version, coalesce(u.mode, d.mode) AS mode, g.sealed_ahead,
    (SELECT coalesce(max(version), 0) FROM policies WHERE scope IN ('all', 'body:' || g.body, 'agent:' || g.id))
        AS policy_wanted,
    (SELECT count(*) FROM sensor_watch w WHERE w.agent = g.id AND w.incident IS NOT NULL) AS conditions
    FROM agents g JOIN bodies b ON b.code = g.body
    LEFT JOIN chains u ON u.agent = g.id AND u.lane = 0 LEFT JOIN chains d ON d.agent = g.id AND d.lane = 1";

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
    /// How many signing keys it has had.
    pub keys: i64,
    /// Nanoseconds.
    pub cert_expires_at: i64,
    /// Nanoseconds.
    pub last_seen: Option<i64>,
    /// The chain in force of the urgent lane.
    pub epoch: i64,
    /// Last batch of it.
    pub through: i64,
    /// Its digest.
    pub head: Option<Vec<u8>>,
    /// The chain in force of the detail lane.
    pub detail_epoch: i64,
    /// Last batch of it.
    pub detail_through: i64,
    /// Its digest.
    pub detail_head: Option<Vec<u8>>,
    /// When the latest batch was sealed: nanoseconds, by the agent's clock.
    pub sealed_at: Option<i64>,
    /// The latest `Record::Health`.
    pub health_json: Option<String>,
    /// As the agent says.
    pub version: Option<String>,
    /// Of its last batch: `live` or `replay`.
    pub mode: Option<String>,
    /// Nanoseconds that the newest batch was sealed after it was received; negative: before, as it should be.
    pub sealed_ahead: Option<i64>,
    /// Version of the policy that holds for it.
    pub policy_wanted: i64,
    /// Conditions that an incident was told of.
    pub conditions: i64,
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
        db::query_as(db::AssertSqlSafe(format!("{AGENT} ORDER BY g.body, g.name, g.id")))
            .fetch_all(self.reader())
            .await
            .map_err(query("list agents"))
    }

    /// One agent.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn agent(&self, id: &str) -> Result<Option<AgentView>, StoreError> {
        db::query_as(db::AssertSqlSafe(format!("{AGENT} WHERE g.id = $1")))
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
        db::query_as("SELECT code, name FROM bodies ORDER BY code")
            .fetch_all(self.reader())
            .await
            .map_err(query("list bodies"))
    }

    /// Every counter, by name.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn counters(&self) -> Result<Vec<(String, i64)>, StoreError> {
        db::query_as("SELECT name, value FROM counters ORDER BY name")
            .fetch_all(self.reader())
            .await
            .map_err(query("read the counters"))
    }

    /// Whom the collector turned away, the latest first.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn rejections(&self) -> Result<Vec<RejectionView>, StoreError> {
        db::query_as(
            "SELECT peer, kind, count, last_at, detail FROM rejections ORDER BY last_at DESC LIMIT $1",
        )
        .bind(REJECTION_ROWS)
        .fetch_all(self.reader())
        .await
        .map_err(query("list who was turned away"))
    }
}
