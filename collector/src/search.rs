//! Searches as they are asked for by the API, the console and the command line, and how their answers look.

use core::fmt::{self, Write as _};

use clap::ValueEnum;
use sekimori_wire::text::BoundedText;
use sekimori_wire::time::Timestamp;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::audit::Entry;
use crate::clock::from_stored;
use crate::query::{Entity, Query, QueryError, span};
use crate::store::Store;
use crate::store::search::{AlertHit, Cursor, FindingHit, FlowHit, Found, ROWS_MAX, Search, SearchError};
use crate::store::seen::Seen;

/// Rows where nobody says how many.
pub const ROWS: u32 = 100;

/// What is searched.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// Flow summaries.
    #[default]
    Flows,
    /// Findings.
    Findings,
    /// Endpoint alerts.
    Alerts,
}

impl Kind {
    /// Every one.
    pub const ALL: [Self; 3] = [Self::Flows, Self::Findings, Self::Alerts];

    /// As in addresses and on the command line.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Flows => "flows",
            Self::Findings => "findings",
            Self::Alerts => "alerts",
        }
    }

    /// By its name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == name)
    }

    /// What its queries are about.
    pub const fn entity(self) -> Entity {
        match self {
            Self::Flows => Entity::Flows,
            Self::Findings => Entity::Findings,
            Self::Alerts => Entity::Alerts,
        }
    }

    /// Searches.
    ///
    /// # Errors
    /// If it takes too long, or the store fails.
    pub async fn find(self, seen: Seen<'_>, search: &Search) -> Result<Hits, SearchError> {
        Ok(match self {
            Self::Flows => Hits::Flows(seen.search_flows(search).await?),
            Self::Findings => Hits::Findings(seen.search_findings(search).await?),
            Self::Alerts => Hits::Alerts(seen.search_alerts(search).await?),
        })
    }
}

/// A search as somebody writes it: every field may be empty.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Asked {
    /// In the query language.
    pub q: String,
    /// Event time from here on, written as in a query: `2026-11-22`, `2026-11-22T10:30`, `-24h`.
    pub from: String,
    /// Event time up to here, the end of what is named included.
    pub to: String,
    /// Rows.
    pub limit: String,
    /// Where the answer before ended.
    pub cursor: String,
}

/// Why that is no search.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AskError {
    /// The query.
    #[error("q: {0}")]
    Query(#[from] QueryError),
    /// A time.
    #[error("{field}: a time such as 2026-11-22, 2026-11-22T10:30 or -24h is needed here")]
    Time {
        /// Which.
        field: &'static str,
    },
    /// A number.
    #[error("limit: a number from 1 to {ROWS_MAX} is needed here")]
    Limit,
    /// A cursor.
    #[error("cursor: not one that was given out")]
    Cursor,
}

impl Asked {
    /// As the store wants it.
    ///
    /// # Errors
    /// If something of it cannot be understood: what, and where.
    pub fn search(&self, kind: Kind, now: Timestamp) -> Result<Search, AskError> {
        let asked = Query::parse(&self.q, kind.entity(), now)?;
        let time = |text: &str, field| match text.trim() {
            "" => Ok(None),
            text => span(text, now).map(Some).ok_or(AskError::Time { field }),
        };
        let between = (time(&self.from, "from")?.map(|it| it.0), time(&self.to, "to")?.map(|it| it.1));
        let limit = match self.limit.as_str() {
            "" => ROWS,
            text => {
                text.parse().ok().filter(|limit| (1..=ROWS_MAX).contains(limit)).ok_or(AskError::Limit)?
            }
        };
        let after = match self.cursor.as_str() {
            "" => None,
            text => Some(Cursor::parse(text).ok_or(AskError::Cursor)?),
        };
        Ok(Search { asked, between, after, limit })
    }

    /// Writes down who looks for what, before anything is shown: whose communication with whom is personal.
    ///
    /// # Errors
    /// If the store fails: then nothing must be shown.
    pub async fn note(
        &self,
        store: &Store,
        kind: Kind,
        (actor, role): (&str, &str),
        now: Timestamp,
    ) -> Result<(), crate::store::StoreError> {
        let mut reason = self.q.clone();
        for (name, value) in [("from", &self.from), ("to", &self.to)] {
            if !value.is_empty() {
                // Writing to a text cannot fail.
                write!(reason, " {name}={value}").unwrap_or_default();
            }
        }
        let entry = Entry {
            at: now,
            actor: actor.to_owned(),
            role: role.to_owned(),
            action: format!("search:{}", kind.as_str()),
            reason: BoundedText::<2048>::new(&reason).to_string(),
            ..Entry::default()
        };
        store.audit(entry).await
    }
}

/// What was found.
#[derive(Clone, Debug)]
pub enum Hits {
    /// Flow summaries.
    Flows(Found<FlowHit>),
    /// Findings.
    Findings(Found<FindingHit>),
    /// Endpoint alerts.
    Alerts(Found<AlertHit>),
}

impl Hits {
    /// Where the next answer begins.
    pub const fn next(&self) -> Option<Cursor> {
        match self {
            Self::Flows(found) => found.next,
            Self::Findings(found) => found.next,
            Self::Alerts(found) => found.next,
        }
    }

    /// Each as JSON. The names are a contract.
    pub fn rows(&self) -> Vec<Value> {
        match self {
            Self::Flows(found) => found.rows.iter().map(flow).collect(),
            Self::Findings(found) => found.rows.iter().map(finding).collect(),
            Self::Alerts(found) => found.rows.iter().map(alert).collect(),
        }
    }

    /// Each as a line for a terminal, and above them the names of the columns.
    pub fn table(&self) -> Vec<Vec<String>> {
        match self {
            Self::Flows(found) => found.rows.iter().map(flow_line).collect(),
            Self::Findings(found) => found.rows.iter().map(finding_line).collect(),
            Self::Alerts(found) => found.rows.iter().map(alert_line).collect(),
        }
    }
}

fn flow(hit: &FlowHit) -> Value {
    json!({
        "body": hit.body,
        "start": from_stored(hit.start),
        "end": from_stored(hit.end),
        "originator": hit.originator,
        "originator_port": hit.originator_port,
        "responder": hit.responder,
        "responder_port": hit.responder_port,
        "protocol": hit.protocol,
        "application": clean(&hit.application),
        "server_name": clean(&hit.server_name),
        "ja4": clean(&hit.ja4),
        "state": clean(&hit.state),
        "originator_packets": hit.originator_packets,
        "originator_bytes": hit.originator_bytes,
        "responder_packets": hit.responder_packets,
        "responder_bytes": hit.responder_bytes,
        "segment": hit.segment.as_deref().map(clean),
        "community_id": clean(&hit.community_id),
        "agent": hit.agent,
    })
}

fn finding(hit: &FindingHit) -> Value {
    json!({
        "id": hit.id,
        "body": hit.body,
        "time": hit.time,
        "incident": hit.incident,
        "agent": hit.agent,
        "mode": if hit.replay { "replay" } else { "live" },
        "finding": hit.json,
    })
}

fn alert(hit: &AlertHit) -> Value {
    json!({
        "id": hit.id,
        "body": hit.body,
        "time": hit.time,
        "incident": hit.incident,
        "agent": hit.agent,
        "alert": hit.json,
    })
}

/// The name of a protocol of IP, or its number.
pub fn protocol(number: i64) -> String {
    match number {
        1 => "ICMP".to_owned(),
        6 => "TCP".to_owned(),
        17 => "UDP".to_owned(),
        58 => "ICMPv6".to_owned(),
        132 => "SCTP".to_owned(),
        other => other.to_string(),
    }
}

/// An address with its port.
pub fn end_of(address: &str, port: i64) -> String {
    if address.contains(':') { format!("[{address}]:{port}") } else { format!("{address}:{port}") }
}

/// A text of the JSON, without anything that a terminal would obey.
fn text(json: &Value, at: &str) -> String {
    json.pointer(at).and_then(Value::as_str).map(clean).unwrap_or_default()
}

fn clean(text: &str) -> String {
    BoundedText::<256>::new(text).to_string()
}

/// Time of Japan, to the second.
fn when(at: Timestamp) -> String {
    let zone = jiff::tz::Offset::from_seconds(9 * 3600).unwrap_or(jiff::tz::Offset::UTC);
    let utc = jiff::Timestamp::from_nanosecond(i128::from(at.nanos())).unwrap_or_default();
    zone.to_datetime(utc).strftime("%Y-%m-%d %H:%M:%S").to_string()
}

impl Kind {
    /// The names of the columns of [`Hits::table`].
    pub const fn columns(self) -> &'static [&'static str] {
        match self {
            Self::Flows => &[
                "start (JST)",
                "body",
                "originator",
                "responder",
                "protocol",
                "application",
                "bytes",
                "state",
                "server",
            ],
            Self::Findings => &[
                "time (JST)",
                "body",
                "severity",
                "category",
                "originator",
                "responder",
                "incident",
                "title",
            ],
            Self::Alerts => &["time (JST)", "body", "severity", "class", "host", "incident", "name"],
        }
    }
}

fn flow_line(hit: &FlowHit) -> Vec<String> {
    vec![
        when(from_stored(hit.start)),
        hit.body.clone(),
        end_of(&hit.originator, hit.originator_port),
        end_of(&hit.responder, hit.responder_port),
        protocol(hit.protocol),
        clean(&hit.application),
        hit.originator_bytes.saturating_add(hit.responder_bytes).to_string(),
        clean(&hit.state),
        clean(&hit.server_name),
    ]
}

fn finding_line(hit: &FindingHit) -> Vec<String> {
    vec![
        when(hit.time),
        hit.body.clone(),
        hit.json.get("severity").map(Value::to_string).unwrap_or_default(),
        text(&hit.json, "/category"),
        text(&hit.json, "/originator"),
        text(&hit.json, "/responder"),
        hit.incident.clone().unwrap_or_default(),
        text(&hit.json, "/title/ja"),
    ]
}

fn alert_line(hit: &AlertHit) -> Vec<String> {
    vec![
        when(hit.time),
        hit.body.clone(),
        hit.json.get("severity").map(Value::to_string).unwrap_or_default(),
        text(&hit.json, "/class"),
        text(&hit.json, "/host"),
        hit.incident.clone().unwrap_or_default(),
        text(&hit.json, "/name"),
    ]
}

/// Lines whose columns stand under each other.
#[derive(Debug)]
pub struct Table {
    widths: Vec<usize>,
}

impl Table {
    /// As wide as the widest of these.
    pub fn of(kind: Kind, rows: &[Vec<String>]) -> Self {
        let mut widths: Vec<usize> = kind.columns().iter().map(|name| name.len()).collect();
        for row in rows {
            for (width, cell) in widths.iter_mut().zip(row) {
                *width = (*width).max(cell.chars().count());
            }
        }
        Self { widths }
    }

    /// One line.
    pub fn line<T: fmt::Display>(&self, cells: impl IntoIterator<Item = T>) -> String {
        let cells = self.widths.iter().zip(cells).map(|(width, cell)| format!("{cell:<width$}"));
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    }
}

#[cfg(test)]
mod tests;
