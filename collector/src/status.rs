//! `status`: incidents, agents and counters, read beside a running collector.

mod attention;
pub mod overview;

pub use self::attention::{Attention, Grade};

use std::collections::BTreeMap;

use crate::store::db::{self, Row};
use sekimori_wire::text::BoundedText;
use sekimori_wire::time::Timestamp;
use serde::Serialize;

use crate::clock::{self, from_stored};
use crate::exceptions::{days_left, ending_within};
use crate::fleet;
use crate::fleet::standing::{Standing, standing};
use crate::store::exception::{ExceptionView, UnknownView};
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
    /// The exceptions in force.
    pub exceptions: Vec<ExceptionStatus>,
    /// Those that only agents know.
    pub exceptions_unknown: Vec<UnknownStatus>,
    /// Why the files of exceptions were not taken when they were read last.
    pub exceptions_error: Option<String>,
    /// Enrolments to confirm, followers of a swap, certificates that should have been renewed.
    pub fleet: Standing,
    /// What the store takes and how far back it goes; what was dropped is among the counters (`dropped.…`).
    pub retention: Option<Retention>,
    /// Every counter.
    pub counters: BTreeMap<String, i64>,
}

/// What the last look for what is too old found.
#[derive(Clone, Debug, Serialize, db::FromRow)]
pub struct Retention {
    /// When, nanoseconds since 1970.
    #[serde(skip)]
    at: i64,
    /// Bytes that the store takes.
    pub bytes: Option<i64>,
    /// Bytes that it may take; none: no limit.
    pub budget: Option<i64>,
    /// Days since 1970 of the oldest summary.
    pub flows_from: Option<i64>,
}

/// An exception in force.
#[derive(Clone, Debug, Serialize)]
pub struct ExceptionStatus {
    /// Its number in the owner's list.
    pub id: String,
    /// Who decided it.
    pub owner: String,
    /// Why it is acceptable.
    pub reason: String,
    /// It holds up to and including this time.
    pub expires: Timestamp,
    /// Whole days; none once it has ended.
    pub days_left: Option<u64>,
    /// 0 once it has ended, else 7, 14 or 30 days; none while its end is far.
    pub ends_within: Option<u64>,
    /// Findings that are under it now.
    pub findings: i64,
}

/// An exception that only an agent knows.
#[derive(Clone, Debug, Serialize)]
pub struct UnknownStatus {
    /// As the agent says.
    pub id: String,
    /// Which agent.
    pub agent: String,
    /// Its label.
    pub agent_name: String,
    /// Findings that are under it now.
    pub findings: i64,
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
    /// Its last batch in the urgent lane.
    pub through: i64,
    /// Its last batch in the detail lane.
    pub detail_through: i64,
}

/// Reads everything; `trust` names what agents are to follow while a swap of the CA goes on.
///
/// # Errors
/// If the store cannot be read.
pub async fn read(store: &Store, trust: Option<&str>) -> Result<Status, StoreError> {
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
        detail_through: agent.detail_through,
    });
    let counters = db::query_as::<(String, i64)>("SELECT name, value FROM counters")
        .fetch_all(store.reader())
        .await
        .map_err(query("read the counters"))?;
    let retention = db::query_as("SELECT at, bytes, budget, flows_from FROM retention WHERE at IS NOT NULL")
        .fetch_optional(store.reader())
        .await
        .map_err(query("read what was dropped"))?;
    Ok(Status {
        retention,
        incidents,
        agents: agents.collect(),
        exceptions: exceptions(store).await?,
        exceptions_unknown: unknown(store).await?,
        exceptions_error: store.exceptions_read().await?.and_then(|read| read.error),
        fleet: standing(store, trust, clock::now()).await?,
        counters: counters.into_iter().collect(),
    })
}

async fn exceptions(store: &Store) -> Result<Vec<ExceptionStatus>, StoreError> {
    let now = clock::now();
    let one = |view: ExceptionView| ExceptionStatus {
        days_left: days_left(view.expires, now),
        ends_within: ending_within(view.expires, now),
        id: view.id,
        owner: view.owner,
        reason: view.reason,
        expires: view.expires,
        findings: view.findings,
    };
    Ok(store.exceptions().await?.into_iter().map(one).collect())
}

async fn unknown(store: &Store) -> Result<Vec<UnknownStatus>, StoreError> {
    let one = |view: UnknownView| UnknownStatus {
        id: view.id,
        agent: view.agent,
        agent_name: view.agent_name,
        findings: view.findings,
    };
    Ok(store.unknown_exceptions().await?.into_iter().map(one).collect())
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
            let name = BoundedText::<256>::new(&one.name);
            writeln!(
                f,
                "  {}  {}  {name}  last seen {seen}, batch {}, of detail {}",
                one.id, one.body, one.through, one.detail_through
            )?;
        }
        self.fmt_fleet(f)?;
        self.fmt_exceptions(f)?;
        if let Some(Retention { at, bytes: Some(bytes), budget, flows_from }) = &self.retention {
            let budget =
                budget.map_or_else(|| "no limit".to_owned(), |budget| format!("of {budget} at most"));
            let from =
                flows_from.and_then(|day| u64::try_from(day).ok()).map(|day| day.saturating_mul(86_400));
            let from = from.map_or_else(|| "-".to_owned(), |secs| Timestamp::from_secs(secs).to_string());
            let at = from_stored(*at);
            writeln!(f, "store: {bytes} bytes, {budget}; summaries since {from}; looked at {at}")?;
        }
        writeln!(f, "counters:")?;
        self.counters.iter().try_for_each(|(name, value)| writeln!(f, "  {name} {value}"))
    }
}

impl Status {
    /// What the fleet waits for, and the exceptions.
    pub fn rest(&self) -> String {
        struct Rest<'a>(&'a Status);
        impl std::fmt::Display for Rest<'_> {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                self.0.fmt_fleet(f)?;
                self.0.fmt_exceptions(f)
            }
        }
        Rest(self).to_string()
    }

    fn fmt_fleet(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let shown = BoundedText::<64>::new;
        for one in &self.fleet.held {
            let state = if one.confirmed { "confirmed" } else { "WAITS FOR `agent confirm`" };
            let (agent, body, name) = (&one.agent, &one.body, shown(&one.name));
            writeln!(f, "  held  {agent}  {body}  {name}  {state}, would follow {}", one.replaces)?;
        }
        if let Some(swap) = &self.fleet.swap {
            writeln!(f, "swap of the CA: {} agents follow, {} do not yet", swap.followed, swap.behind.len())?;
            for one in &swap.behind {
                writeln!(f, "  not followed  {}  {}  {}", one.id, one.body, shown(&one.name))?;
            }
        }
        for one in &self.fleet.renewals_due {
            let (id, body, name) = (&one.id, &one.body, shown(&one.name));
            writeln!(f, "  NOT RENEWED  {id}  {body}  {name}  certificate until {}", one.expires)?;
        }
        Ok(())
    }

    fn fmt_exceptions(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let shown = BoundedText::<1024>::new;
        writeln!(f, "exceptions: {}", self.exceptions.len())?;
        if let Some(error) = &self.exceptions_error {
            writeln!(f, "  NOT READ, those before stay in force: {}", shown(error))?;
        }
        for one in &self.exceptions {
            let left = match (one.days_left, one.ends_within) {
                (None, _) => "ENDED".to_owned(),
                (Some(days), None) => format!("{days} days left"),
                (Some(days), Some(within)) => format!("ENDS within {within} days: {days} days left"),
            };
            let (id, owner) = (shown(&one.id), shown(&one.owner));
            writeln!(f, "  {left}  {id}  {owner}  {} findings", one.findings)?;
        }
        for one in &self.exceptions_unknown {
            let (id, name) = (shown(&one.id), shown(&one.agent_name));
            writeln!(f, "  UNKNOWN HERE  {id}  by agent {} {name}  {} findings", one.agent, one.findings)?;
        }
        Ok(())
    }
}

async fn incidents(store: &Store) -> Result<Vec<IncidentRow>, StoreError> {
    let rows = db::query(
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
    let incident = |row: &Row| -> Result<IncidentRow, db::Error> {
        let claims = row.get::<bool>("claims")?.then_some("finding");
        let alerts = row.get::<bool>("alerts")?.then_some("endpoint_alert");
        Ok(IncidentRow {
            id: row.get("id")?,
            category: row.get("category")?,
            severity: row.get("severity")?,
            state: row.get("state")?,
            body: row.get("body")?,
            subject: row.get("subject")?,
            parent: row.get("parent")?,
            children: row.get("children")?,
            findings: row.get("findings")?,
            sources: claims.into_iter().chain(alerts).collect(),
            verified: false,
            opened_at: from_stored(row.get("opened_at")?),
        })
    };
    rows.iter().rev().map(incident).collect::<Result<_, _>>().map_err(query("list the incidents"))
}
