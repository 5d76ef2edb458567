//! `status`: incidents, agents and counters, read beside a running collector.

use std::collections::BTreeMap;

use sekimori_wire::time::Timestamp;
use serde::Serialize;
use sqlx::Row as _;
use sqlx::sqlite::SqliteRow;

use crate::clock::from_stored;
use crate::fleet;
use crate::store::{Store, StoreError, query};
use crate::verify;

/// Incidents that are shown, the newest.
const INCIDENTS_MAX: i64 = 10_000;

/// What `status --json` prints.
#[derive(Clone, Debug, Serialize)]
pub struct Status {
    /// The newest incidents, oldest first.
    pub incidents: Vec<IncidentRow>,
    /// Every agent.
    pub agents: Vec<AgentStatus>,
    /// Every counter.
    pub counters: BTreeMap<String, i64>,
}

/// One incident.
#[derive(Clone, Debug, Serialize)]
pub struct IncidentRow {
    /// Its name.
    pub id: String,
    /// What kind.
    pub category: String,
    /// 0 to 4.
    pub severity: i64,
    /// Where the work stands.
    pub state: String,
    /// 団体コード; none for a wide-area parent.
    pub body: Option<String>,
    /// The host or domain that it is about.
    pub subject: String,
    /// Its wide-area parent.
    pub parent: Option<String>,
    /// How many children it has.
    pub children: i64,
    /// How many findings are linked, its children's included.
    pub findings: i64,
    /// `finding`, `endpoint_alert`, or both.
    pub sources: Vec<&'static str>,
    /// Every batch behind it still verifies.
    pub verified: bool,
    /// When it was opened.
    pub opened_at: Timestamp,
}

/// One agent.
#[derive(Clone, Debug, Serialize)]
pub struct AgentStatus {
    /// Identity.
    pub id: String,
    /// Label.
    pub name: String,
    /// 団体コード.
    pub body: String,
    /// When it last delivered.
    pub last_seen: Option<Timestamp>,
    /// Its last batch.
    pub through: i64,
}

/// Reads everything.
///
/// # Errors
/// If the store cannot be read.
pub async fn read(store: &Store) -> Result<Status, StoreError> {
    let mut incidents = incidents(store).await?;
    let verified = verify::incidents(store, incidents.iter().map(|one| one.id.as_str())).await?;
    for (incident, verified) in incidents.iter_mut().zip(verified) {
        incident.verified = verified;
    }
    let agents = fleet::agents(store).await?.into_iter().map(|agent| AgentStatus {
        id: agent.id,
        name: agent.name,
        body: agent.body,
        last_seen: agent.last_seen,
        through: agent.through,
    });
    let counters = sqlx::query_as::<_, (String, i64)>("SELECT name, value FROM counters")
        .fetch_all(store.reader())
        .await
        .map_err(query("read the counters"))?;
    Ok(Status { incidents, agents: agents.collect(), counters: counters.into_iter().collect() })
}

impl std::fmt::Display for Status {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        writeln!(f, "incidents: {}", self.incidents.len())?;
        for one in &self.incidents {
            let verified = if one.verified { "verified" } else { "NOT VERIFIED" };
            let (id, category, subject) = (&one.id, &one.category, &one.subject);
            writeln!(
                f,
                "  {id}  L{}  {category}  {subject}  {} findings, {verified}",
                one.severity, one.findings
            )?;
        }
        writeln!(f, "agents: {}", self.agents.len())?;
        for one in &self.agents {
            let seen = one.last_seen.map_or_else(|| "never".to_owned(), |at| at.to_string());
            writeln!(f, "  {}  {}  {}  last seen {seen}, batch {}", one.id, one.body, one.name, one.through)?;
        }
        writeln!(f, "counters:")?;
        self.counters.iter().try_for_each(|(name, value)| writeln!(f, "  {name} {value}"))
    }
}

async fn incidents(store: &Store) -> Result<Vec<IncidentRow>, StoreError> {
    let rows = sqlx::query(
        "SELECT i.id, i.category, i.severity, i.state, i.body, i.subject, i.parent, i.findings, i.opened_at,
            (SELECT count(*) FROM incidents c WHERE c.parent = i.id) AS children,
            EXISTS (SELECT 1 FROM findings f JOIN incidents o ON o.id = f.incident
                WHERE (o.id = i.id OR o.parent = i.id) AND f.category = 'endpoint.alert') AS alerts,
            EXISTS (SELECT 1 FROM findings f JOIN incidents o ON o.id = f.incident
                WHERE (o.id = i.id OR o.parent = i.id) AND f.category <> 'endpoint.alert') AS claims
         FROM incidents i ORDER BY i.opened_at DESC, i.id DESC LIMIT $1",
    )
    .bind(INCIDENTS_MAX)
    .fetch_all(store.reader())
    .await
    .map_err(query("list the incidents"))?;
    let incident = |row: &SqliteRow| -> Result<IncidentRow, sqlx::Error> {
        let claims = row.try_get::<bool, _>("claims")?.then_some("finding");
        let alerts = row.try_get::<bool, _>("alerts")?.then_some("endpoint_alert");
        Ok(IncidentRow {
            id: row.try_get("id")?,
            category: row.try_get("category")?,
            severity: row.try_get("severity")?,
            state: row.try_get("state")?,
            body: row.try_get("body")?,
            subject: row.try_get("subject")?,
            parent: row.try_get("parent")?,
            children: row.try_get("children")?,
            findings: row.try_get("findings")?,
            sources: claims.into_iter().chain(alerts).collect(),
            verified: false,
            opened_at: from_stored(row.try_get("opened_at")?),
        })
    };
    rows.iter().rev().map(incident).collect::<Result<_, _>>().map_err(query("list the incidents"))
}
