//! What the console and the API read: incidents here, what is behind one in `behind`, agents and counters in `fleet`.
//!
//! Nothing here writes.

mod behind;
mod fleet;
mod links;

use crate::store::db::{self, FromRow};
use sekimori_wire::finding::Severity;
use sekimori_wire::time::Timestamp;
use serde_json::Value;

use super::{Store, StoreError, query};
use crate::auth::scope::Scope as Seen;
use crate::clock::from_stored;
use crate::incident::{IncidentCategory, IncidentState};
use crate::query::{Param, Query};

pub use self::behind::{BatchName, BatchView, ChangeView, FindingView, FlowView};
pub use self::fleet::{AgentView, RejectionView};
pub use self::links::LinkView;

/// Incidents on one page.
pub const PAGE_ROWS: u32 = 50;
/// Findings, alerts, changes shown of one incident; the newest.
const DETAIL_ROWS: i64 = 50;

const INCIDENT: &str =
    "SELECT i.id, i.category, i.severity, i.state, i.body, b.name AS body_name, i.subject, i.parent,
    i.opened_at, i.updated_at, i.first_evidence, i.last_evidence, i.findings, i.mode, i.work_version AS version,
    i.title_ja, i.title_en, i.reason_json,
    (SELECT count(*) FROM incidents c WHERE c.parent = i.id) AS children,
    EXISTS (SELECT 1 FROM findings f JOIN incidents o ON o.id = f.incident
        WHERE (o.id = i.id OR o.parent = i.id) AND f.category = 'endpoint.alert') AS from_endpoint,
    EXISTS (SELECT 1 FROM findings f JOIN incidents o ON o.id = f.incident
        WHERE (o.id = i.id OR o.parent = i.id) AND f.category <> 'endpoint.alert') AS from_sensor,
    NOT EXISTS (SELECT 1 FROM findings f JOIN incidents o ON o.id = f.incident
        LEFT JOIN batches s ON s.agent = f.agent AND s.lane = f.lane AND s.epoch = f.epoch AND s.seq = f.seq
        WHERE (o.id = i.id OR o.parent = i.id) AND s.seq IS NULL) AS signed
    FROM incidents i LEFT JOIN bodies b ON b.code = i.body ";
const WHERE: &str = "WHERE ($1 IS NULL OR i.severity >= $1) AND ($2 IS NULL OR i.category = $2)
    AND ($3 IS NULL OR i.body = $3 OR EXISTS (SELECT 1 FROM incidents c WHERE c.parent = i.id AND c.body = $3))
    AND (CAST($4 AS TEXT) IS NULL OR $4 LIKE '%,' || i.body || ',%' OR (i.body IS NULL AND EXISTS
        (SELECT 1 FROM incidents c WHERE c.parent = i.id AND $4 LIKE '%,' || c.body || ',%'))) ";
/// As the index `incidents_open` has it, word for word: the databases compare the words.
const OPEN: &str = "AND i.state NOT IN ('closed', 'false_positive', 'merged')";

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
    /// What somebody asked for in the query language.
    pub asked: Option<Query>,
    /// Those that follow this one in the order, instead of a page by number.
    pub after: Option<After>,
    /// So many, instead of [`PAGE_ROWS`].
    pub rows: Option<u32>,
}

/// Where an incident stands in the order of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct After {
    /// How bad it was.
    pub severity: i64,
    /// Nanoseconds.
    pub opened_at: i64,
    /// `INC-…`.
    pub id: String,
}

impl After {
    /// What follows in `order`, with parameters from `$first`.
    fn condition(&self, order: Order, first: usize) -> (String, Vec<db::Value<'_>>) {
        let (at, id, severity) = (first, first + 1, first + 2);
        let opened = format!("(i.opened_at < ${at} OR (i.opened_at = ${at} AND i.id < ${id}))");
        let mut values = vec![db::Value::from(self.opened_at), db::Value::from(&self.id)];
        match order {
            Order::Newest => (format!("AND {opened}"), values),
            Order::Worst => {
                values.push(db::Value::from(self.severity));
                let same = format!("(i.severity = ${severity} AND {opened})");
                (format!("AND (i.severity < ${severity} OR {same})"), values)
            }
        }
    }
}

/// Number of the first parameter behind those of [`WHERE`].
const ASKED_FROM: usize = 5;

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
    /// Grows with everything that people do; new findings leave it as it is.
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

impl Store {
    /// One page of incidents, and how many there are in all.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn incidents(&self, filter: &IncidentFilter) -> Result<(Vec<IncidentView>, u32), StoreError> {
        self.incidents_in(filter, &Seen::All).await
    }

    pub(super) async fn incidents_in(
        &self,
        filter: &IncidentFilter,
        seen: &Seen,
    ) -> Result<(Vec<IncidentView>, u32), StoreError> {
        let seen = seen.sql();
        let severity = filter.severity.map(|severity| i64::from(severity.level()));
        let category = filter.category.map(IncidentCategory::as_str);
        let open = if filter.scope == Scope::Open { OPEN } else { "" };
        let asked = filter.asked.as_ref().map(|asked| asked.condition(ASKED_FROM)).unwrap_or_default();
        // Whoever sees a part of a wide-area incident must not learn of the rest by asking for it.
        let hidden = if seen.is_some() && !asked.sql.is_empty() { "AND i.body IS NOT NULL" } else { "" };
        let asked_for = if asked.sql.is_empty() { String::new() } else { format!("AND ({})", asked.sql) };
        let matching = format!("{WHERE} {open} {hidden} {asked_for}");
        let count = format!("SELECT count(*) FROM incidents i {matching}");
        let values = || {
            let fixed: [db::Value<'_>; 4] =
                [severity.into(), category.into(), filter.body.as_deref().into(), seen.as_deref().into()];
            let asked = asked.params.iter().map(|param| match param {
                Param::Int(number) => db::Value::from(*number),
                Param::Text(text) => db::Value::from(text),
            });
            fixed.into_iter().chain(asked)
        };
        let total: i64 = db::query_scalar(db::AssertSqlSafe(count))
            .bind_all(values())
            .fetch_one(self.reader())
            .await
            .map_err(query("count incidents"))?;
        let order = match filter.order {
            Order::Newest => "i.opened_at DESC, i.id DESC",
            Order::Worst => "i.severity DESC, i.opened_at DESC, i.id DESC",
        };
        let (from, place) = match &filter.after {
            Some(after) => after.condition(filter.order, ASKED_FROM + asked.params.len()),
            None => (String::new(), Vec::new()),
        };
        let rows = filter.rows.unwrap_or(PAGE_ROWS);
        let offset = i64::from(filter.page.saturating_sub(1)) * i64::from(rows);
        // First which ones: what is told of each is looked up for these alone.
        let sql = format!(
            "{INCIDENT} WHERE i.id IN (SELECT i.id FROM incidents i {matching} {from}
                ORDER BY {order} LIMIT {rows} OFFSET {offset}) ORDER BY {order}"
        );
        let rows: Vec<IncidentRow> = db::query_as(db::AssertSqlSafe(sql))
            .bind_all(values().chain(place))
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
        let row: Option<IncidentRow> = db::query_as(db::AssertSqlSafe(format!("{INCIDENT} WHERE i.id = $1")))
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
        self.children_in(id, &Seen::All).await
    }

    pub(super) async fn children_in(&self, id: &str, seen: &Seen) -> Result<Vec<IncidentView>, StoreError> {
        let sql = format!(
            "{INCIDENT} WHERE i.parent = $1 AND (CAST($2 AS TEXT) IS NULL OR $2 LIKE '%,' || i.body || ',%')
             ORDER BY i.opened_at DESC LIMIT {DETAIL_ROWS}"
        );
        let rows: Vec<IncidentRow> = db::query_as(db::AssertSqlSafe(sql))
            .bind(id)
            .bind(seen.sql())
            .fetch_all(self.reader())
            .await
            .map_err(query("list the children of an incident"))?;
        rows.into_iter().map(IncidentRow::view).collect()
    }

    /// Open incidents by severity, informational first.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn open_by_severity(&self) -> Result<[i64; 5], StoreError> {
        self.open_by_severity_in(&Seen::All).await
    }

    pub(super) async fn open_by_severity_in(&self, seen: &Seen) -> Result<[i64; 5], StoreError> {
        let rows: Vec<(i64, i64)> = db::query_as(
            "SELECT severity, count(*) FROM incidents
             WHERE state NOT IN ('closed', 'false_positive', 'merged')
             AND (CAST($1 AS TEXT) IS NULL OR $1 LIKE '%,' || body || ',%') GROUP BY severity",
        )
        .bind(seen.sql())
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
}

#[derive(FromRow)]
#[expect(clippy::struct_excessive_bools, reason = "columns of a row")]
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
    from_endpoint: bool,
    from_sensor: bool,
    signed: bool,
}

impl IncidentRow {
    fn view(self) -> Result<IncidentView, StoreError> {
        let unknown = |column: &'static str| {
            move || StoreError::Query {
                what: "understand an incident",
                cause: db::Error::ColumnNotFound(column.to_owned()),
            }
        };
        let reason = value(&self.reason_json);
        let manual =
            reason.get("rule").and_then(Value::as_str).is_some_and(|rule| rule.starts_with("intake."));
        let sources =
            [(self.from_sensor, "finding"), (self.from_endpoint, "endpoint_alert"), (manual, "manual")];
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
            reason,
            sources: sources.into_iter().filter(|(there, _)| *there).map(|(_, name)| name).collect(),
            // What somebody told is signed by nobody.
            signed: self.signed && !manual,
        })
    }
}

/// What we wrote ourselves; anything else shows as nothing rather than failing a page.
pub(super) fn value(json: &str) -> Value {
    serde_json::from_str(json).unwrap_or_default()
}
