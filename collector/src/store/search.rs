//! What was stored, asked for in the query language: flow summaries, findings, endpoint alerts, newest first.
//!
//! A search has a time limit and a place among few others: it never keeps the rest of the console waiting.

mod plan;

use std::sync::Arc;
use std::time::Duration;

use sekimori_wire::time::Timestamp;
use serde_json::Value;
use tokio::time::{Instant, timeout_at};

use super::db::{self, FromRow, Shape, Tx};
use super::{Store, StoreError, query};
use crate::auth::scope::Scope;
use crate::clock::from_stored;
use crate::query::{Entity, Query};

/// Searches that run at a time; another waits for its turn.
pub(super) const AT_A_TIME: usize = 2;
/// A search takes no longer, waiting for its turn included.
pub const TIME_MAX: Duration = Duration::from_secs(5);
/// Rows of one answer.
pub const ROWS_MAX: u32 = 1000;

/// What is searched for.
#[derive(Clone, Debug)]
pub struct Search {
    /// In the query language.
    pub asked: Query,
    /// Event time, both ends included; nanoseconds.
    pub between: (Option<i64>, Option<i64>),
    /// Only what comes after this one.
    pub after: Option<Cursor>,
    /// Rows, at most [`ROWS_MAX`].
    pub limit: u32,
}

/// The place of a row: newest first, and of one time the latest that arrived.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cursor {
    time: i64,
    n: i64,
}

impl Cursor {
    /// As it was [written](core::fmt::Display).
    pub fn parse(text: &str) -> Option<Self> {
        let (time, n) = text.split_once('-')?;
        let read =
            |text: &str| u64::from_str_radix(text, 36).ok().and_then(|number| i64::try_from(number).ok());
        Some(Self { time: read(time)?, n: read(n)? })
    }
}

impl core::fmt::Display for Cursor {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "{}-{}", base36(self.time), base36(self.n))
    }
}

fn base36(number: i64) -> String {
    let mut rest = u64::try_from(number).unwrap_or_default();
    let mut digits = Vec::new();
    loop {
        let digit = u32::try_from(rest % 36).unwrap_or_default();
        digits.push(char::from_digit(digit, 36).unwrap_or('0'));
        rest /= 36;
        if rest == 0 {
            return digits.into_iter().rev().collect();
        }
    }
}

/// One answer.
#[derive(Clone, Debug)]
pub struct Found<T> {
    /// Newest first.
    pub rows: Vec<T>,
    /// Where the next answer begins; `None`: that was all.
    pub next: Option<Cursor>,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum SearchError {
    /// It took too long.
    #[error(
        "the search took longer than {} s: ask for less time (from, to), or name an address, a port or a body",
        TIME_MAX.as_secs()
    )]
    TooSlow,
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// A flow summary.
#[derive(Clone, Debug, FromRow)]
pub struct FlowHit {
    /// Its number here.
    pub n: i64,
    /// Whose network.
    pub body: String,
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
    /// Sent by the originator.
    pub originator_packets: i64,
    /// Sent by the originator.
    pub originator_bytes: i64,
    /// Sent by the responder.
    pub responder_packets: i64,
    /// Sent by the responder.
    pub responder_bytes: i64,
    /// Zeek's `conn_state`.
    pub state: String,
    /// By content, or empty.
    pub application: String,
    /// By content, or empty.
    pub server_name: String,
    /// Or empty.
    pub ja4: String,
    /// As the agent is configured.
    pub segment: Option<String>,
    /// Which agent saw it.
    pub agent: String,
}

/// A finding.
#[derive(Clone, Debug)]
pub struct FindingHit {
    /// Its name.
    pub id: String,
    /// Whose network.
    pub body: String,
    /// Event time.
    pub time: Timestamp,
    /// The incident that it belongs to.
    pub incident: Option<String>,
    /// Which agent.
    pub agent: String,
    /// From a capture file, not from a live link.
    pub replay: bool,
    /// The [`Finding`](sekimori_wire::finding::Finding), as the agent said it.
    pub json: Value,
}

/// An endpoint alert.
#[derive(Clone, Debug)]
pub struct AlertHit {
    /// Its name.
    pub id: String,
    /// Whose network.
    pub body: String,
    /// Event time.
    pub time: Timestamp,
    /// Which agent.
    pub agent: String,
    /// The incident that its finding belongs to.
    pub incident: Option<String>,
    /// The [`EndpointAlert`](sekimori_wire::alert::EndpointAlert), as the agent said it.
    pub json: Value,
}

/// Columns of a finding: n, time, id, body, incident, agent, mode, json.
type FindingRow = (i64, i64, String, String, Option<String>, String, String, String);
/// Columns of an alert: n, time, id, body, agent, incident, json.
type AlertRow = (i64, i64, String, String, String, Option<String>, String);

/// A table, as it is searched.
struct Place {
    columns: &'static str,
    from: &'static str,
    alias: &'static str,
    time: &'static str,
    entity: Entity,
    /// There are indexes by address.
    by_address: bool,
}

static FLOWS: Place = Place {
    columns: "w.n, w.body, w.community_id, w.originator, w.originator_port, w.responder, w.responder_port, w.protocol,
        w.start, w.\"end\", w.originator_packets, w.originator_bytes, w.responder_packets, w.responder_bytes, w.state,
        w.application, w.server_name, w.ja4, w.segment, w.agent",
    from: "flows w",
    alias: "w",
    time: "w.start",
    entity: Entity::Flows,
    by_address: false,
};
static FINDINGS: Place = Place {
    columns: "f.n, f.time, f.id, f.body, f.incident, f.agent, f.mode, f.json",
    from: "findings f",
    alias: "f",
    time: "f.time",
    entity: Entity::Findings,
    by_address: true,
};
static ALERTS: Place = Place {
    columns: "a.n, a.time, a.id, a.body, a.agent,
        (SELECT f.incident FROM findings f WHERE f.body = a.body AND f.id = a.id), a.json",
    from: "alerts a",
    alias: "a",
    time: "a.time",
    entity: Entity::Alerts,
    by_address: true,
};

impl Store {
    /// Flow summaries that somebody with this scope sees.
    ///
    /// # Errors
    /// If it takes too long, or the store fails.
    pub async fn search_flows(&self, search: &Search, seen: &Scope) -> Result<Found<FlowHit>, SearchError> {
        let rows: Vec<FlowHit> = self.search(&FLOWS, search, seen).await?;
        Ok(found(rows, search, |row| Cursor { time: row.start, n: row.n }, |row| row))
    }

    /// Findings that somebody with this scope sees.
    ///
    /// # Errors
    /// As [`Store::search_flows`].
    pub async fn search_findings(
        &self,
        search: &Search,
        seen: &Scope,
    ) -> Result<Found<FindingHit>, SearchError> {
        let rows: Vec<FindingRow> = self.search(&FINDINGS, search, seen).await?;
        let hit = |(_, time, id, body, incident, agent, mode, json): FindingRow| FindingHit {
            time: from_stored(time),
            replay: mode == "replay",
            json: super::view::value(&json),
            id,
            body,
            incident,
            agent,
        };
        Ok(found(rows, search, |row| Cursor { time: row.1, n: row.0 }, hit))
    }

    /// Endpoint alerts that somebody with this scope sees.
    ///
    /// # Errors
    /// As [`Store::search_flows`].
    pub async fn search_alerts(&self, search: &Search, seen: &Scope) -> Result<Found<AlertHit>, SearchError> {
        let rows: Vec<AlertRow> = self.search(&ALERTS, search, seen).await?;
        let hit = |(_, time, id, body, agent, incident, json): AlertRow| AlertHit {
            time: from_stored(time),
            json: super::view::value(&json),
            id,
            body,
            agent,
            incident,
        };
        Ok(found(rows, search, |row| Cursor { time: row.1, n: row.0 }, hit))
    }

    /// One row more than is asked for: whether there is another answer.
    async fn search<T: Shape + Send + 'static>(
        &self,
        place: &'static Place,
        search: &Search,
        seen: &Scope,
    ) -> Result<Vec<T>, SearchError> {
        let over = Instant::now() + TIME_MAX;
        let turn = timeout_at(over, Arc::clone(&self.searches).acquire_owned()).await;
        let turn = turn.map_err(|_elapsed| SearchError::TooSlow)?;
        let (read, search) = (self.read.clone(), search.clone());
        let bodies = seen.bodies().map(|bodies| bodies.map(str::to_owned).collect());
        // A task of its own: whoever asked may hang up, and the connection must be handed back as it was.
        let running = tokio::spawn(async move {
            let rows = run(&read, place, &search, &bodies, over).await;
            drop(turn);
            rows
        });
        match running.await {
            Ok(Err(error)) if error.is_too_slow() => Err(SearchError::TooSlow),
            Ok(done) => Ok(done?),
            Err(_stopped) => Err(SearchError::TooSlow),
        }
    }
}

async fn run<T: Shape + Send>(
    read: &db::Pool,
    place: &Place,
    search: &Search,
    bodies: &plan::Bodies,
    over: Instant,
) -> Result<Vec<T>, StoreError> {
    let mut tx = Tx::within(read, over.into_std()).await.map_err(query("begin a search"))?;
    let is_shared = matches!(read, db::Pool::Postgres(_));
    let rows = plan::rows(&mut tx, place, search, bodies, is_shared).await;
    let ended = tx.end().await;
    let rows = rows.map_err(query("search"))?;
    ended.map_err(query("end a search")).map(|()| rows)
}

fn found<R, T>(
    mut rows: Vec<R>,
    search: &Search,
    cursor: impl Fn(&R) -> Cursor,
    hit: impl Fn(R) -> T,
) -> Found<T> {
    let limit = usize::try_from(search.limit.clamp(1, ROWS_MAX)).unwrap_or(usize::MAX);
    let more = rows.len() > limit;
    rows.truncate(limit);
    let next = rows.last().map(cursor).filter(|_| more);
    Found { rows: rows.into_iter().map(hit).collect(), next }
}

#[cfg(test)]
mod measure;
#[cfg(test)]
mod tests;
