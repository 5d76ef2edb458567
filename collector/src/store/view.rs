//! What the console and the API read. Nothing here writes.

use sekimori_wire::finding::Severity;
use sekimori_wire::time::Timestamp;
use serde_json::Value;
use sqlx::FromRow;

use super::{Store, StoreError, query};
use crate::clock::from_stored;
use crate::incident::{IncidentCategory, IncidentState};

/// Incidents on one page.
pub const PAGE_ROWS: u32 = 50;
/// Findings, alerts, changes shown of one incident; the newest.
const DETAIL_ROWS: i64 = 50;
/// Flows shown around one incident.
const FLOW_ROWS: i64 = 60;
/// Batches verified for one page.
const BATCH_ROWS: i64 = 24;
/// Peers shown of those turned away.
const REJECTION_ROWS: i64 = 100;

const INCIDENT: &str =
    "SELECT i.id, i.category, i.severity, i.state, i.body, b.name AS body_name, i.subject, i.parent,
    i.opened_at, i.updated_at, i.first_evidence, i.last_evidence, i.findings, i.mode, i.version,
    i.title_ja, i.title_en, i.reason_json,
    (SELECT count(*) FROM incidents c WHERE c.parent = i.id) AS children,
    EXISTS (SELECT 1 FROM findings f JOIN incidents o ON o.id = f.incident
        WHERE (o.id = i.id OR o.parent = i.id) AND f.category = 'endpoint.alert') AS from_endpoint,
    EXISTS (SELECT 1 FROM findings f JOIN incidents o ON o.id = f.incident
        WHERE (o.id = i.id OR o.parent = i.id) AND f.category <> 'endpoint.alert') AS from_sensor,
    NOT EXISTS (SELECT 1 FROM findings f JOIN incidents o ON o.id = f.incident
        LEFT JOIN batches s ON s.agent = f.agent AND s.epoch = f.epoch AND s.seq = f.seq
        WHERE (o.id = i.id OR o.parent = i.id) AND s.seq IS NULL) AS signed
    FROM incidents i LEFT JOIN bodies b ON b.code = i.body ";
const WHERE: &str = "WHERE ($1 IS NULL OR i.severity >= $1) AND ($2 IS NULL OR i.category = $2)
    AND ($3 IS NULL OR i.body = $3 OR EXISTS (SELECT 1 FROM incidents c WHERE c.parent = i.id AND c.body = $3))
    AND ($4 = 0 OR i.state NOT IN ('closed', 'false_positive', 'merged')) ";

const AGENT: &str =
    "SELECT g.id, g.name, g.body, b.name AS body_name, g.enrolled_at, g.revoked_at, g.cert_expires_at,
    g.last_seen, g.epoch, g.through, g.head, g.sealed_at, g.health_json, g.version
    FROM agents g JOIN bodies b ON b.code = g.body";

/// Which incidents.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct IncidentFilter {
    /// At least this bad.
    pub severity: Option<Severity>,
    /// Of this kind.
    pub category: Option<IncidentCategory>,
    /// Of this body, or wide-area with this body in it.
    pub body: Option<String>,
    /// Open ones, or all.
    pub scope: Scope,
    /// Newest first, or worst first.
    pub order: Order,
    /// From 1.
    pub page: u32,
}

/// Which states.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Scope {
    /// Not over yet.
    #[default]
    Open,
    /// Every one.
    All,
}

/// In which order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Order {
    /// By opening.
    #[default]
    Newest,
    /// By severity, then by opening.
    Worst,
}

/// An incident as listed.
#[derive(Clone, Debug)]
pub struct IncidentView {
    /// `INC-…`.
    pub id: String,
    /// What kind.
    pub category: IncidentCategory,
    /// How bad.
    pub severity: Severity,
    /// Where the work stands.
    pub state: IncidentState,
    /// 団体コード; `None` for a wide-area parent.
    pub body: Option<String>,
    /// The body's name.
    pub body_name: Option<String>,
    /// What it is about.
    pub subject: String,
    /// The wide-area incident that it belongs to.
    pub parent: Option<String>,
    /// Incidents that belong to it.
    pub children: i64,
    /// Findings linked.
    pub findings: i64,
    /// By the collector's clock.
    pub opened_at: Timestamp,
    /// Last change.
    pub updated_at: Timestamp,
    /// Event time.
    pub first_evidence: Timestamp,
    /// Event time.
    pub last_evidence: Timestamp,
    /// From a capture file, not from a live link.
    pub replay: bool,
    /// Grows with every change.
    pub version: i64,
    /// One line, Japanese.
    pub title_ja: String,
    /// One line, English.
    pub title_en: String,
    /// Why it was opened.
    pub reason: Value,
    /// `finding`, `endpoint_alert`: what its evidence comes from.
    pub sources: Vec<&'static str>,
    /// Everything behind it is in stored batches, whose signatures were checked when they came in.
    pub signed: bool,
}

/// A finding of an incident.
#[derive(Clone, Debug)]
pub struct FindingView {
    /// Whose network.
    pub body: String,
    /// The [`Finding`](sekimori_wire::finding::Finding), as the agent said it.
    pub json: Value,
    /// Why it belongs to the incident.
    pub link: Value,
    /// The batch that brought it.
    pub batch: BatchName,
}

/// Names a batch.
#[derive(Clone, Debug, PartialEq, Eq, Hash, FromRow)]
pub struct BatchName {
    /// Whose.
    pub agent: String,
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
    /// The agent's key as enrolled.
    pub signing_key: Vec<u8>,
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
    /// One page of incidents, and how many there are in all.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn incidents(&self, filter: &IncidentFilter) -> Result<(Vec<IncidentView>, u32), StoreError> {
        let severity = filter.severity.map(|severity| i64::from(severity.level()));
        let category = filter.category.map(IncidentCategory::as_str);
        let open_only = i64::from(filter.scope == Scope::Open);
        let total: i64 =
            sqlx::query_scalar(sqlx::AssertSqlSafe(format!("SELECT count(*) FROM incidents i {WHERE}")))
                .bind(severity)
                .bind(category)
                .bind(filter.body.as_deref())
                .bind(open_only)
                .fetch_one(self.reader())
                .await
                .map_err(query("count incidents"))?;
        let order = match filter.order {
            Order::Newest => "i.opened_at DESC, i.id DESC",
            Order::Worst => "i.severity DESC, i.opened_at DESC, i.id DESC",
        };
        let sql = format!("{INCIDENT} {WHERE} ORDER BY {order} LIMIT {PAGE_ROWS} OFFSET $5");
        let rows: Vec<IncidentRow> = sqlx::query_as(sqlx::AssertSqlSafe(sql))
            .bind(severity)
            .bind(category)
            .bind(filter.body.as_deref())
            .bind(open_only)
            .bind(i64::from(filter.page.saturating_sub(1)) * i64::from(PAGE_ROWS))
            .fetch_all(self.reader())
            .await
            .map_err(query("list incidents"))?;
        let rows = rows.into_iter().map(IncidentRow::view).collect::<Result<_, _>>()?;
        Ok((rows, u32::try_from(total).unwrap_or(u32::MAX)))
    }

    /// One incident.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn incident(&self, id: &str) -> Result<Option<IncidentView>, StoreError> {
        let row: Option<IncidentRow> =
            sqlx::query_as(sqlx::AssertSqlSafe(format!("{INCIDENT} WHERE i.id = $1")))
                .bind(id)
                .fetch_optional(self.reader())
                .await
                .map_err(query("read an incident"))?;
        row.map(IncidentRow::view).transpose()
    }

    /// The incidents of a wide-area incident, newest first.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn children_of(&self, id: &str) -> Result<Vec<IncidentView>, StoreError> {
        let sql = format!("{INCIDENT} WHERE i.parent = $1 ORDER BY i.opened_at DESC LIMIT {DETAIL_ROWS}");
        let rows: Vec<IncidentRow> = sqlx::query_as(sqlx::AssertSqlSafe(sql))
            .bind(id)
            .fetch_all(self.reader())
            .await
            .map_err(query("list the children of an incident"))?;
        rows.into_iter().map(IncidentRow::view).collect()
    }

    /// Findings of an incident or of its children, the worst and newest first.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn findings_of(&self, incident: &str) -> Result<Vec<FindingView>, StoreError> {
        let rows: Vec<(String, String, Option<String>, String, i64, i64)> = sqlx::query_as(
            "SELECT f.body, f.json, f.link_json, f.agent, f.epoch, f.seq FROM findings f
             WHERE f.incident IN (SELECT id FROM incidents WHERE id = $1 OR parent = $1)
             ORDER BY f.severity DESC, f.time DESC, f.n DESC LIMIT $2",
        )
        .bind(incident)
        .bind(DETAIL_ROWS)
        .fetch_all(self.reader())
        .await
        .map_err(query("list the findings of an incident"))?;
        Ok(rows
            .into_iter()
            .map(|(body, json, link, agent, epoch, seq)| FindingView {
                body,
                json: value(&json),
                link: link.as_deref().map_or(Value::Null, value),
                batch: BatchName { agent, epoch, seq },
            })
            .collect())
    }

    /// Endpoint alerts of an incident or of its children, newest first.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn alerts_of(&self, incident: &str) -> Result<Vec<Value>, StoreError> {
        let rows: Vec<String> = sqlx::query_scalar(
            "SELECT a.json FROM alerts a JOIN findings f ON f.body = a.body AND f.id = a.id
             WHERE f.incident IN (SELECT id FROM incidents WHERE id = $1 OR parent = $1)
             ORDER BY a.time DESC LIMIT $2",
        )
        .bind(incident)
        .bind(DETAIL_ROWS)
        .fetch_all(self.reader())
        .await
        .map_err(query("list the endpoint alerts of an incident"))?;
        Ok(rows.iter().map(|json| value(json)).collect())
    }

    /// Flows with one of these Community IDs, newest first.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn flows_with(&self, community_ids: &[String]) -> Result<Vec<FlowView>, StoreError> {
        sqlx::query_as(
            "SELECT community_id, originator, originator_port, responder, responder_port, protocol, start, end,
             originator_packets + responder_packets AS packets, originator_bytes + responder_bytes AS bytes,
             state, application, server_name
             FROM flows WHERE community_id IN (SELECT value FROM json_each($1)) ORDER BY start DESC LIMIT $2",
        )
        .bind(Value::from(community_ids).to_string())
        .bind(FLOW_ROWS)
        .fetch_all(self.reader())
        .await
        .map_err(query("list flows"))
    }

    /// The history of an incident, newest first.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn changes_of(&self, incident: &str) -> Result<Vec<ChangeView>, StoreError> {
        let rows: Vec<(i64, String, String)> = sqlx::query_as(
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
        sqlx::query_as(
            "SELECT s.agent, s.epoch, s.seq, g.name AS agent_name, s.digest, s.prev, s.received_at, s.envelope,
             g.signing_key, (SELECT p.digest FROM batches p
                WHERE p.agent = s.agent AND p.epoch = s.epoch AND p.seq = s.seq - 1) AS before
             FROM batches s JOIN agents g ON g.id = s.agent
             WHERE (s.agent, s.epoch, s.seq) IN (SELECT f.agent, f.epoch, f.seq FROM findings f
                WHERE f.incident IN (SELECT id FROM incidents WHERE id = $1 OR parent = $1))
             ORDER BY s.received_at DESC, s.seq DESC LIMIT $2",
        )
        .bind(incident)
        .bind(BATCH_ROWS)
        .fetch_all(self.reader())
        .await
        .map_err(query("read the batches behind an incident"))
    }

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

    /// Open incidents by severity, informational first.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn open_by_severity(&self) -> Result<[i64; 5], StoreError> {
        let rows: Vec<(i64, i64)> = sqlx::query_as(
            "SELECT severity, count(*) FROM incidents
             WHERE state NOT IN ('closed', 'false_positive', 'merged') GROUP BY severity",
        )
        .fetch_all(self.reader())
        .await
        .map_err(query("count open incidents"))?;
        let mut counts = [0; 5];
        for (level, count) in rows {
            if let Some(at) = usize::try_from(level).ok().and_then(|level| counts.get_mut(level)) {
                *at = count;
            }
        }
        Ok(counts)
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

#[derive(FromRow)]
struct IncidentRow {
    id: String,
    category: String,
    severity: i64,
    state: String,
    body: Option<String>,
    body_name: Option<String>,
    subject: String,
    parent: Option<String>,
    opened_at: i64,
    updated_at: i64,
    first_evidence: i64,
    last_evidence: i64,
    findings: i64,
    mode: String,
    version: i64,
    title_ja: String,
    title_en: String,
    reason_json: String,
    children: i64,
    from_endpoint: i64,
    from_sensor: i64,
    signed: i64,
}

impl IncidentRow {
    fn view(self) -> Result<IncidentView, StoreError> {
        let unknown = |column: &'static str| {
            move || StoreError::Query {
                what: "understand an incident",
                cause: sqlx::Error::ColumnNotFound(column.to_owned()),
            }
        };
        let sources = [(self.from_sensor, "finding"), (self.from_endpoint, "endpoint_alert")];
        Ok(IncidentView {
            category: IncidentCategory::from_name(&self.category).ok_or_else(unknown("category"))?,
            severity: u8::try_from(self.severity)
                .ok()
                .and_then(Severity::new)
                .ok_or_else(unknown("severity"))?,
            state: IncidentState::from_name(&self.state).ok_or_else(unknown("state"))?,
            id: self.id,
            body: self.body,
            body_name: self.body_name,
            subject: self.subject,
            parent: self.parent,
            children: self.children,
            findings: self.findings,
            opened_at: from_stored(self.opened_at),
            updated_at: from_stored(self.updated_at),
            first_evidence: from_stored(self.first_evidence),
            last_evidence: from_stored(self.last_evidence),
            replay: self.mode == "replay",
            version: self.version,
            title_ja: self.title_ja,
            title_en: self.title_en,
            reason: value(&self.reason_json),
            sources: sources.into_iter().filter(|(there, _)| *there != 0).map(|(_, name)| name).collect(),
            signed: self.signed != 0,
        })
    }
}

/// What we wrote ourselves; anything else shows as nothing rather than failing a page.
fn value(json: &str) -> Value {
    serde_json::from_str(json).unwrap_or_default()
}
