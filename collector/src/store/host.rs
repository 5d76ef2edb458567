//! What one address did, across detectors and time: findings by category and day, endpoint alerts, incidents, and what flow
//! summaries of some time say of it.
//!
//! Findings and alerts have an index by address: of these everything that is kept is counted. Flows have none, so that only
//! a span of time is looked through, and if that takes too long the rest is told all the same. The address of a private
//! network is another machine in every body: [`HostAsked::body`] names one.

use std::sync::Arc;

use sekimori_wire::id::{BodyCode, Host};
use sekimori_wire::time::Timestamp;
use tokio::time::{Instant, timeout_at};

use super::db::{self, Conn, FromRow, Shape, Tx};
use super::search::{SearchError, TIME_MAX};
use super::seen::Seen;
use super::view::IncidentView;
use super::{StoreError, query};
use crate::auth::scope::Scope;
use crate::clock::{from_stored, stored};
use crate::query::address_key;

/// Days of which findings are counted one by one, the present one included.
pub const DAYS: usize = 30;
/// Rows of each list.
const ROWS: i64 = 20;
const NANOS_PER_SECOND: i64 = 1_000_000_000;
const NANOS_PER_DAY: i64 = 86_400 * NANOS_PER_SECOND;
/// Japan's time is ahead of UTC by this much.
const JST_NANOS: i64 = 9 * 3600 * NANOS_PER_SECOND;

/// What is asked for.
#[derive(Clone, Debug)]
pub struct HostAsked {
    /// The address.
    pub host: Host,
    /// In this body alone.
    pub body: Option<BodyCode>,
    /// Flows that began in this span, both ends included; nanoseconds.
    pub flows: (i64, i64),
}

/// Findings of one category in which the address is on one side.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Told {
    /// A detector's category.
    pub category: String,
    /// It is the victim; else it acts.
    pub as_responder: bool,
    /// Findings.
    pub count: i64,
    /// Those of them that are under an exception.
    pub excepted: i64,
    /// The worst severity.
    pub worst: i64,
    /// Earliest evidence.
    pub first: Timestamp,
    /// Latest evidence.
    pub last: Timestamp,
    /// Findings of each of the last [`DAYS`] days of Japan, the oldest first.
    pub days: Vec<i64>,
}

/// Endpoint alerts of one class.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Alerted {
    /// As the product is understood.
    pub class: String,
    /// Alerts.
    pub count: i64,
    /// The worst severity.
    pub worst: i64,
    /// Earliest.
    pub first: Timestamp,
    /// Latest.
    pub last: Timestamp,
}

/// Totals of flow summaries on one side.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromRow)]
pub struct FlowTotals {
    /// 1: it answered; 0: it began.
    pub side: i64,
    /// Flow summaries.
    pub flows: i64,
    /// Different addresses at the other end.
    pub peers: i64,
    /// Bytes that it sent.
    pub sent: i64,
    /// Bytes that it was sent.
    pub received: i64,
}

/// A service that it used or gave.
#[derive(Clone, Debug, PartialEq, Eq, FromRow)]
pub struct Service {
    /// 1: it answered; 0: it began.
    pub side: i64,
    /// IANA number.
    pub protocol: i64,
    /// The responder's.
    pub port: i64,
    /// By content, or empty.
    pub application: String,
    /// Flow summaries.
    pub flows: i64,
}

/// A name that it was called by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Name {
    /// The name.
    pub name: String,
    /// An endpoint product calls it so; else who connected to it asked for a server of this name.
    pub by_endpoint: bool,
    /// How often.
    pub count: i64,
    /// When last.
    pub last: Timestamp,
}

/// What flow summaries say of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HostFlows {
    /// By side.
    pub totals: Vec<FlowTotals>,
    /// The most used first.
    pub services: Vec<Service>,
    /// Names of servers that were asked for at it, the latest first.
    pub names: Vec<Name>,
}

/// What is known of an address.
#[derive(Clone, Debug)]
pub struct HostView {
    /// By category and side, the latest first.
    pub told: Vec<Told>,
    /// By class, the latest first.
    pub alerts: Vec<Alerted>,
    /// Incidents about it or with findings of it, the newest first.
    pub incidents: Vec<IncidentView>,
    /// There are more of them.
    pub more_incidents: bool,
    /// What endpoint products call it, the latest first.
    pub names: Vec<Name>,
    /// Bodies in which there is a finding or an alert of it: code, findings and alerts.
    pub bodies: Vec<(String, i64)>,
    /// `None`: to look through the flows of that time took too long.
    pub flows: Option<HostFlows>,
}

/// Category, side, findings, excepted, worst, first, last.
type ToldRow = (String, i64, i64, i64, i64, i64, i64);
/// Name, count, last.
type NameRow = (String, i64, i64);

/// What the statements are asked with.
#[derive(Clone, Debug)]
struct Keys {
    key: String,
    text: String,
    scope: Option<String>,
    today: i64,
    flows: (i64, i64),
}

/// What is found by index.
#[derive(Debug, Default)]
struct Indexed {
    told: Vec<Told>,
    alerts: Vec<Alerted>,
    names: Vec<Name>,
    bodies: Vec<(String, i64)>,
    incidents: Vec<String>,
}

impl Seen<'_> {
    /// What is known of an address.
    ///
    /// # Errors
    /// If even what has an index takes too long, or the store fails.
    pub async fn host(&self, asked: &HostAsked, now: Timestamp) -> Result<HostView, SearchError> {
        let one = asked.body.map(|body| Scope::Bodies([body].into()));
        let scope = one.map_or_else(|| self.scope.clone(), |one| self.scope.and(&one));
        let keys = Keys {
            key: address_key(asked.host),
            text: asked.host.to_string(),
            scope: scope.sql(),
            today: day_of(stored(now)),
            flows: asked.flows,
        };
        let (indexed, flows) = self.look_up(keys).await?;
        let (mut incidents, mut more_incidents) = (Vec::new(), false);
        for (at, id) in indexed.incidents.iter().enumerate() {
            if at >= usize::try_from(ROWS).unwrap_or(usize::MAX) {
                more_incidents = true;
                break;
            }
            // What spans several bodies has a part in this one, or is none of it.
            if self.store.seen_in(&scope).incident(id).await?.is_some() {
                incidents.extend(self.incident(id).await?);
            }
        }
        let Indexed { told, alerts, names, bodies, incidents: _ } = indexed;
        Ok(HostView { told, alerts, incidents, more_incidents, names, bodies, flows })
    }

    /// Asks the store, as one of few searches at a time.
    async fn look_up(&self, keys: Keys) -> Result<(Indexed, Option<HostFlows>), SearchError> {
        let over = Instant::now() + TIME_MAX;
        let turn = timeout_at(over, Arc::clone(&self.store.searches).acquire_owned()).await;
        let turn = turn.map_err(|_elapsed| SearchError::TooSlow)?;
        let read = self.store.read.clone();
        // A task of its own: whoever asked may hang up, and the connection must be handed back as it was.
        let running = tokio::spawn(async move {
            let indexed = indexed(&read, over, &keys).await;
            let flows = match &indexed {
                Ok(_) => Some(flows(&read, over, &keys).await),
                Err(_) => None,
            };
            drop(turn);
            (indexed, flows)
        });
        let Ok((indexed, flows)) = running.await else { return Err(SearchError::TooSlow) };
        let indexed = indexed.map_err(slow)?;
        let flows = match flows.map(|flows| flows.map_err(slow)) {
            None | Some(Err(SearchError::TooSlow)) => None,
            Some(Ok(flows)) => Some(flows),
            Some(Err(error @ SearchError::Store(_))) => return Err(error),
        };
        Ok((indexed, flows))
    }
}

fn slow(error: StoreError) -> SearchError {
    if error.is_too_slow() { SearchError::TooSlow } else { error.into() }
}

/// The day of Japan, counted from 1970.
const fn day_of(nanos: i64) -> i64 {
    (nanos + JST_NANOS).div_euclid(NANOS_PER_DAY)
}

async fn indexed(read: &db::Pool, over: Instant, keys: &Keys) -> Result<Indexed, StoreError> {
    let failed = "look an address up";
    let mut tx = Tx::within(read, over.into_std()).await.map_err(query(failed))?;
    let found = read_indexed(&mut tx, keys).await;
    let ended = tx.end().await;
    let found = found.map_err(query(failed))?;
    ended.map_err(query(failed)).map(|()| found)
}

async fn flows(read: &db::Pool, over: Instant, keys: &Keys) -> Result<HostFlows, StoreError> {
    let failed = "look through flows for an address";
    let mut tx = Tx::within(read, over.into_std()).await.map_err(query(failed))?;
    let found = read_flows(&mut tx, keys).await;
    let ended = tx.end().await;
    let found = found.map_err(query(failed))?;
    ended.map_err(query(failed)).map(|()| found)
}

async fn read_indexed(tx: &mut Conn, keys: &Keys) -> Result<Indexed, db::Error> {
    Ok(Indexed {
        told: told(tx, keys).await?,
        alerts: alerts(tx, keys).await?,
        names: names(tx, keys).await?,
        bodies: bodies(tx, keys).await?,
        incidents: incidents(tx, keys).await?,
    })
}

/// Findings by category and side, with their days.
async fn told(tx: &mut Conn, keys: &Keys) -> Result<Vec<Told>, db::Error> {
    let rows: Vec<ToldRow> = db::query_as(
        "SELECT category, side, count(*), CAST(sum(CASE WHEN excepted_by IS NULL THEN 0 ELSE 1 END) AS BIGINT),
            max(severity), min(time), max(\"end\") AS last
         FROM (SELECT CAST(0 AS BIGINT) AS side, category, excepted_by, severity, time, \"end\" FROM findings
                WHERE originator_key = $1 AND (CAST($2 AS TEXT) IS NULL OR $2 LIKE '%,' || body || ',%')
            UNION ALL SELECT CAST(1 AS BIGINT), category, excepted_by, severity, time, \"end\" FROM findings
                WHERE responder_key = $1 AND (CAST($2 AS TEXT) IS NULL OR $2 LIKE '%,' || body || ',%')) both_sides
         GROUP BY category, side ORDER BY last DESC, category, side",
    )
    .bind(keys.key.as_str())
    .bind(keys.scope.as_deref())
    .fetch_all(&mut *tx)
    .await?;
    let since = keys.today - i64::try_from(DAYS).unwrap_or(0) + 1;
    let days: Vec<(String, i64, i64, i64)> = db::query_as(
        "SELECT category, side, (time + $4) / $5 AS day, count(*)
         FROM (SELECT CAST(0 AS BIGINT) AS side, category, time FROM findings
                WHERE originator_key = $1 AND time >= $3
                    AND (CAST($2 AS TEXT) IS NULL OR $2 LIKE '%,' || body || ',%')
            UNION ALL SELECT CAST(1 AS BIGINT), category, time FROM findings
                WHERE responder_key = $1 AND time >= $3
                    AND (CAST($2 AS TEXT) IS NULL OR $2 LIKE '%,' || body || ',%')) both_sides
         GROUP BY category, side, day",
    )
    .bind(keys.key.as_str())
    .bind(keys.scope.as_deref())
    .bind(since * NANOS_PER_DAY - JST_NANOS)
    .bind(JST_NANOS)
    .bind(NANOS_PER_DAY)
    .fetch_all(&mut *tx)
    .await?;
    let one = |(category, side, count, excepted, worst, first, last): ToldRow| {
        let mut by_day = vec![0; DAYS];
        for (_, _, day, count) in days.iter().filter(|(of, on, ..)| *of == category && *on == side) {
            let at = usize::try_from(day - since).ok();
            if let Some(slot) = at.and_then(|at| by_day.get_mut(at)) {
                *slot = *count;
            }
        }
        Told {
            category,
            as_responder: side == 1,
            count,
            excepted,
            worst,
            first: from_stored(first),
            last: from_stored(last),
            days: by_day,
        }
    };
    Ok(rows.into_iter().map(one).collect())
}

async fn alerts(tx: &mut Conn, keys: &Keys) -> Result<Vec<Alerted>, db::Error> {
    let rows: Vec<(String, i64, i64, i64, i64)> = db::query_as(
        "SELECT class, count(*), max(severity), min(time), max(time) AS last FROM alerts
         WHERE host_key = $1 AND (CAST($2 AS TEXT) IS NULL OR $2 LIKE '%,' || body || ',%')
         GROUP BY class ORDER BY last DESC, class",
    )
    .bind(keys.key.as_str())
    .bind(keys.scope.as_deref())
    .fetch_all(tx)
    .await?;
    let one = |(class, count, worst, first, last)| Alerted {
        class,
        count,
        worst,
        first: from_stored(first),
        last: from_stored(last),
    };
    Ok(rows.into_iter().map(one).collect())
}

/// What endpoint products call it.
async fn names(tx: &mut Conn, keys: &Keys) -> Result<Vec<Name>, db::Error> {
    let rows: Vec<NameRow> = db::query_as(
        "SELECT name, count(*), max(time) AS last
         FROM (SELECT json_extract(json, '$.host_name') AS name, time FROM alerts
            WHERE host_key = $1 AND (CAST($2 AS TEXT) IS NULL OR $2 LIKE '%,' || body || ',%')) said
         WHERE name <> '' GROUP BY name ORDER BY last DESC, name LIMIT $3",
    )
    .bind(keys.key.as_str())
    .bind(keys.scope.as_deref())
    .bind(ROWS)
    .fetch_all(tx)
    .await?;
    Ok(rows.into_iter().map(|row| named(row, true)).collect())
}

fn named((name, count, last): NameRow, by_endpoint: bool) -> Name {
    Name { name, by_endpoint, count, last: from_stored(last) }
}

async fn bodies(tx: &mut Conn, keys: &Keys) -> Result<Vec<(String, i64)>, db::Error> {
    db::query_as(
        "SELECT body, count(*) FROM (
            SELECT body FROM findings WHERE originator_key = $1
            UNION ALL SELECT body FROM findings
                WHERE responder_key = $1 AND (originator_key IS NULL OR originator_key <> $1)
            UNION ALL SELECT body FROM alerts WHERE host_key = $1) of_it
         WHERE CAST($2 AS TEXT) IS NULL OR $2 LIKE '%,' || body || ',%'
         GROUP BY body ORDER BY body",
    )
    .bind(keys.key.as_str())
    .bind(keys.scope.as_deref())
    .fetch_all(tx)
    .await
}

/// One more than is shown. What spans several bodies is taken along: whether it is seen is decided where it is read.
async fn incidents(tx: &mut Conn, keys: &Keys) -> Result<Vec<String>, db::Error> {
    db::query_scalar(
        "SELECT i.id FROM incidents i WHERE (i.subject = $3 OR i.id IN (
                SELECT incident FROM findings WHERE originator_key = $1 AND incident IS NOT NULL
                UNION SELECT incident FROM findings WHERE responder_key = $1 AND incident IS NOT NULL))
            AND (CAST($2 AS TEXT) IS NULL OR $2 LIKE '%,' || i.body || ',%'
                OR EXISTS (SELECT 1 FROM incidents c WHERE c.parent = i.id AND $2 LIKE '%,' || c.body || ',%'))
         ORDER BY i.opened_at DESC, i.id LIMIT $4",
    )
    .bind(keys.key.as_str())
    .bind(keys.scope.as_deref())
    .bind(keys.text.as_str())
    .bind(ROWS + 1)
    .fetch_all(tx)
    .await
}

async fn read_flows(tx: &mut Conn, keys: &Keys) -> Result<HostFlows, db::Error> {
    // Each flow once, from the side of the address; who speaks with itself began it.
    let of_it = "FROM (SELECT CAST(CASE WHEN originator_key = $1 THEN 0 ELSE 1 END AS BIGINT) AS side, w.* FROM flows w
        WHERE w.start >= $3 AND w.start <= $4 AND (w.originator_key = $1 OR w.responder_key = $1)
            AND (CAST($2 AS TEXT) IS NULL OR $2 LIKE '%,' || w.body || ',%')) of_it";
    let sql = format!(
        "SELECT side, count(*) AS flows, count(DISTINCT CASE side WHEN 0 THEN responder ELSE originator END) AS peers,
            CAST(sum(CASE side WHEN 0 THEN originator_bytes ELSE responder_bytes END) AS BIGINT) AS sent,
            CAST(sum(CASE side WHEN 0 THEN responder_bytes ELSE originator_bytes END) AS BIGINT) AS received
         {of_it} GROUP BY side ORDER BY side"
    );
    let totals = of_address(sql, keys).fetch_all(&mut *tx).await?;
    let sql = format!(
        "SELECT side, protocol, responder_port AS port, application, count(*) AS flows
         {of_it} GROUP BY side, protocol, responder_port, application
         ORDER BY flows DESC, side, protocol, port, application LIMIT {ROWS}"
    );
    let services = of_address(sql, keys).fetch_all(&mut *tx).await?;
    let sql = format!(
        "SELECT server_name, count(*), max(start) AS last {of_it}
         WHERE side = 1 AND server_name <> '' GROUP BY server_name ORDER BY last DESC, server_name LIMIT {ROWS}"
    );
    let names: Vec<NameRow> = of_address(sql, keys).fetch_all(tx).await?;
    let names = names.into_iter().map(|row| named(row, false)).collect();
    Ok(HostFlows { totals, services, names })
}

/// A statement with the address, the scope and the span of time as its values.
fn of_address<T: Shape>(sql: String, keys: &Keys) -> db::Query<'_, T> {
    let asked = db::query_as(db::AssertSqlSafe(sql));
    asked.bind(keys.key.as_str()).bind(keys.scope.as_deref()).bind(keys.flows.0).bind(keys.flows.1)
}
