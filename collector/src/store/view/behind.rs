//! What is behind an incident: findings, alerts, flows, history, and the signed batches.

use std::time::Duration;

use crate::store::db::{self, FromRow};
use sekimori_wire::keyring::KeyRing;
use sekimori_wire::time::Timestamp;
use serde_json::Value;

use super::{DETAIL_ROWS, IncidentView, value};
use crate::auth::scope::Scope as Seen;
use crate::clock::{from_stored, stored};
use crate::fleet::keys;
use crate::store::{Store, StoreError, query};

/// Flows shown around one incident.
const FLOW_ROWS: i64 = 60;
/// How far from its evidence a flow still belongs to an incident.
const AROUND: Duration = Duration::from_secs(3600);
/// The longest that one of them can have lasted before the first evidence.
const BEFORE: Duration = Duration::from_secs(86_400);
/// Batches verified for one page.
const BATCH_ROWS: i64 = 24;

/// A finding of an incident.
#[derive(Clone, Debug)]
pub struct FindingView {
    /// Whose network.
    pub body: String,
    /// The [`Finding`](sekimori_wire::finding::Finding), as the agent said it.
    pub json: Value,
    /// Why it belongs to the incident.
    pub link: Value,
    /// Under which exception it is, or which one was overruled.
    pub exception: Value,
    /// The batch that brought it.
    pub batch: BatchName,
}

/// Columns of a finding as they are read: body, finding, link, exception, agent, lane, epoch, seq.
type FindingRow = (String, String, Option<String>, Option<String>, String, i64, i64, i64);

impl FindingView {
    /// From its columns.
    pub fn from_row((body, json, link, exception, agent, lane, epoch, seq): FindingRow) -> Self {
        Self {
            body,
            json: value(&json),
            link: link.as_deref().map_or(Value::Null, value),
            exception: exception.as_deref().map_or(Value::Null, value),
            batch: BatchName { agent, lane, epoch, seq },
        }
    }
}

/// Names a batch.
#[derive(Clone, Debug, PartialEq, Eq, Hash, FromRow)]
pub struct BatchName {
    /// Whose.
    pub agent: String,
    /// Of which of its lanes.
    pub lane: i64,
    /// Of which chain.
    pub epoch: i64,
    /// Its number.
    pub seq: i64,
}

/// A stored batch and what is needed to check it again.
#[derive(Clone, Debug, FromRow)]
pub struct BatchView {
    /// Which.
    #[sqlx(flatten)]
    pub name: BatchName,
    /// The agent's label.
    pub agent_name: String,
    /// As stored at intake.
    pub digest: Vec<u8>,
    /// The digest that it continues.
    pub prev: Vec<u8>,
    /// Digest of the batch stored before it; `None` for the first.
    pub before: Option<Vec<u8>>,
    /// Nanoseconds.
    pub received_at: i64,
    /// The exact bytes.
    pub envelope: Vec<u8>,
    /// The agent's keys; none if its first key does not give its identity.
    #[sqlx(skip)]
    pub keys: Option<KeyRing>,
}

/// A flow near an incident.
#[derive(Clone, Debug, FromRow)]
pub struct FlowView {
    /// Community ID v1.
    pub community_id: String,
    /// Address.
    pub originator: String,
    /// Port.
    pub originator_port: i64,
    /// Address.
    pub responder: String,
    /// Port.
    pub responder_port: i64,
    /// IANA number.
    pub protocol: i64,
    /// Nanoseconds.
    pub start: i64,
    /// Nanoseconds.
    pub end: i64,
    /// Both directions.
    pub packets: i64,
    /// Both directions.
    pub bytes: i64,
    /// Zeek's `conn_state`.
    pub state: String,
    /// By content, or empty.
    pub application: String,
    /// By content, or empty.
    pub server_name: String,
}

/// One line of an incident's history.
#[derive(Clone, Debug)]
pub struct ChangeView {
    /// When.
    pub at: Timestamp,
    /// What.
    pub kind: String,
    /// Details.
    pub json: Value,
}

impl Store {
    /// Findings of an incident or of its children, the worst and newest first.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn findings_of(&self, incident: &str) -> Result<Vec<FindingView>, StoreError> {
        self.findings_in(incident, &Seen::All).await
    }

    pub(in crate::store) async fn findings_in(
        &self,
        incident: &str,
        seen: &Seen,
    ) -> Result<Vec<FindingView>, StoreError> {
        let rows: Vec<FindingRow> = db::query_as(
            "SELECT f.body, f.json, f.link_json, f.exception_json, f.agent, f.lane, f.epoch, f.seq FROM findings f
             WHERE f.incident IN (SELECT id FROM incidents WHERE id = $1 OR parent = $1)
             AND (CAST($3 AS TEXT) IS NULL OR $3 LIKE '%,' || f.body || ',%')
             ORDER BY f.severity DESC, f.time DESC, f.n DESC LIMIT $2",
        )
        .bind(incident)
        .bind(DETAIL_ROWS)
        .bind(seen.sql())
        .fetch_all(self.reader())
        .await
        .map_err(query("list the findings of an incident"))?;
        Ok(rows.into_iter().map(FindingView::from_row).collect())
    }

    /// Endpoint alerts of an incident or of its children, newest first.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn alerts_of(&self, incident: &str) -> Result<Vec<Value>, StoreError> {
        self.alerts_in(incident, &Seen::All).await
    }

    pub(in crate::store) async fn alerts_in(
        &self,
        incident: &str,
        seen: &Seen,
    ) -> Result<Vec<Value>, StoreError> {
        let rows: Vec<String> = db::query_scalar(
            "SELECT a.json FROM alerts a JOIN findings f ON f.body = a.body AND f.id = a.id
             WHERE f.incident IN (SELECT id FROM incidents WHERE id = $1 OR parent = $1)
             AND (CAST($3 AS TEXT) IS NULL OR $3 LIKE '%,' || a.body || ',%')
             ORDER BY a.time DESC LIMIT $2",
        )
        .bind(incident)
        .bind(DETAIL_ROWS)
        .bind(seen.sql())
        .fetch_all(self.reader())
        .await
        .map_err(query("list the endpoint alerts of an incident"))?;
        Ok(rows.iter().map(|json| value(json)).collect())
    }

    /// Flows with one of these Community IDs, in these bodies and about the time of an incident, newest first. None that had
    /// begun more than a day before it.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn flows_around(
        &self,
        incident: &IncidentView,
        bodies: &[String],
        community_ids: &[String],
    ) -> Result<Vec<FlowView>, StoreError> {
        self.flows_in(incident, (bodies, community_ids), &Seen::All).await
    }

    pub(in crate::store) async fn flows_in(
        &self,
        incident: &IncidentView,
        (bodies, community_ids): (&[String], &[String]),
        seen: &Seen,
    ) -> Result<Vec<FlowView>, StoreError> {
        db::query_as(
            "SELECT community_id, originator, originator_port, responder, responder_port, protocol, start, \"end\",
             originator_packets + responder_packets AS packets, originator_bytes + responder_bytes AS bytes,
             state, application, server_name
             FROM flows WHERE body IN (SELECT value FROM json_each($3)) AND start BETWEEN $7 AND $4
             AND community_id IN (SELECT value FROM json_each($1)) AND \"end\" >= $5
             AND (CAST($6 AS TEXT) IS NULL OR $6 LIKE '%,' || body || ',%') ORDER BY start DESC LIMIT $2",
        )
        .bind(Value::from(community_ids).to_string())
        .bind(FLOW_ROWS)
        .bind(Value::from(bodies).to_string())
        .bind(stored(incident.last_evidence.plus(AROUND)))
        .bind(stored(incident.first_evidence.minus(AROUND)))
        .bind(seen.sql())
        .bind(stored(incident.first_evidence.minus(BEFORE)))
        .fetch_all(self.reader())
        .await
        .map_err(query("list flows"))
    }

    /// The history of an incident, newest first.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn changes_of(&self, incident: &str) -> Result<Vec<ChangeView>, StoreError> {
        let rows: Vec<(i64, String, String)> = db::query_as(
            "SELECT at, kind, json FROM incident_changes WHERE incident = $1 ORDER BY seq DESC LIMIT $2",
        )
        .bind(incident)
        .bind(DETAIL_ROWS)
        .fetch_all(self.reader())
        .await
        .map_err(query("read the history of an incident"))?;
        let view = |(at, kind, json): (i64, String, String)| ChangeView {
            at: from_stored(at),
            kind,
            json: value(&json),
        };
        Ok(rows.into_iter().map(view).collect())
    }

    /// The batches behind an incident, newest first, with what is needed to verify them again.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn batches_of(&self, incident: &str) -> Result<Vec<BatchView>, StoreError> {
        self.batches_in(incident, &Seen::All).await
    }

    pub(in crate::store) async fn batches_in(
        &self,
        incident: &str,
        seen: &Seen,
    ) -> Result<Vec<BatchView>, StoreError> {
        let mut batches: Vec<BatchView> = db::query_as(
            "SELECT s.agent, s.lane, s.epoch, s.seq, g.name AS agent_name, s.digest, s.prev, s.received_at, s.envelope,
             (SELECT p.digest FROM batches p
                WHERE p.agent = s.agent AND p.lane = s.lane AND p.epoch = s.epoch AND p.seq = s.seq - 1) AS before
             FROM batches s JOIN agents g ON g.id = s.agent
             WHERE (s.agent, s.lane, s.epoch, s.seq) IN (SELECT f.agent, f.lane, f.epoch, f.seq FROM findings f
                WHERE f.incident IN (SELECT id FROM incidents WHERE id = $1 OR parent = $1)
                AND (CAST($3 AS TEXT) IS NULL OR $3 LIKE '%,' || f.body || ',%'))
             AND (CAST($3 AS TEXT) IS NULL OR $3 LIKE '%,' || g.body || ',%')
             ORDER BY s.received_at DESC, s.seq DESC LIMIT $2",
        )
        .bind(incident)
        .bind(BATCH_ROWS)
        .bind(seen.sql())
        .fetch_all(self.reader())
        .await
        .map_err(query("read the batches behind an incident"))?;
        let keys = keys::all(self).await?;
        for batch in &mut batches {
            batch.keys = keys.get(&batch.name.agent).cloned();
        }
        Ok(batches)
    }
}
