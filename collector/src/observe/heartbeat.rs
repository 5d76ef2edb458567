//! Writes down that this collector runs, so that `status` and the other collectors on the same store know of it; and tells
//! systemd that it lives.

use std::collections::VecDeque;
use std::time::Duration;

use sekimori_wire::time::Timestamp;
use serde::Serialize;

use super::Observer;
use super::snapshot::COLLECTOR_GONE;
use crate::clock::{self, from_stored, stored};
use crate::fleet::error_chain;
use crate::store::db;
use crate::store::{Store, StoreError, query};

/// How often.
const EVERY: Duration = Duration::from_secs(10);
/// Counts of batches that are kept: one a beat, a minute back.
const BEATS: usize = 6;
/// Rows of collectors that died without a word.
const FORGOTTEN: Duration = Duration::from_secs(7 * 86_400);

/// A collector that runs on a store.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Running {
    /// Its machine.
    pub host: String,
    /// Its version.
    pub version: String,
    /// Since when.
    pub started_at: Timestamp,
    /// When it was seen last.
    pub seen_at: Timestamp,
    /// Batches that it stored in the last minute.
    pub batches_per_minute: i64,
    /// Submissions that waited for the store.
    pub queue: i64,
    /// It was seen a moment ago.
    pub alive: bool,
}

/// Beats until it is dropped or aborted.
pub async fn beat(observer: Observer, store: Store) {
    let mut tick = tokio::time::interval(EVERY);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut counts = VecDeque::from([observer.measures().batches()]);
    let id = id(&observer);
    loop {
        tick.tick().await;
        let now_stored = observer.measures().batches();
        let before = counts.front().copied().unwrap_or_default();
        counts.push_back(now_stored);
        if counts.len() > BEATS {
            counts.pop_front();
        }
        let in_minute = i64::try_from(now_stored.saturating_sub(before)).unwrap_or(i64::MAX);
        if let Err(error) = write(&store, &id, &observer, in_minute).await {
            tracing::warn!(error = error_chain(&error), "cannot write down that this collector runs");
        }
    }
}

/// Takes the row away: this collector stops.
///
/// # Errors
/// If the store fails.
pub async fn leave(observer: &Observer, store: &Store) -> Result<(), StoreError> {
    db::query("DELETE FROM collectors WHERE id = $1")
        .bind(id(observer))
        .execute(store.writer())
        .await
        .map(drop)
        .map_err(query("write down that a collector stops"))
}

/// Tells systemd that we live, as often as it wants to hear; nothing if it does not.
pub async fn watchdog(observer: Observer) {
    let Some(limit) = sd_notify::watchdog_enabled() else { return };
    let mut tick = tokio::time::interval(limit / 3);
    loop {
        tick.tick().await;
        // Silence is what makes systemd start it anew.
        if !observer.is_live() {
            tracing::error!("the writer is stuck: systemd is told nothing");
        } else if let Err(error) = sd_notify::notify(&[sd_notify::NotifyState::Watchdog]) {
            tracing::warn!(%error, "cannot notify systemd");
        }
    }
}

/// Of this run: no two processes of a machine begin at the same nanosecond with the same number.
fn id(observer: &Observer) -> String {
    format!("{}/{}/{}", host(), std::process::id(), observer.measures().started_at.nanos())
}

fn host() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname")
        .or_else(|_| std::fs::read_to_string("/etc/hostname"));
    let name = name.unwrap_or_default().trim().to_owned();
    if name.is_empty() { "?".to_owned() } else { name }
}

async fn write(store: &Store, id: &str, observer: &Observer, in_minute: i64) -> Result<(), StoreError> {
    let failed = "write down that a collector runs";
    let now = clock::now();
    db::query(
        "INSERT INTO collectors (id, host, version, started_at, seen_at, batches_per_minute, queue)
         VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT (id) DO UPDATE SET seen_at = excluded.seen_at,
            batches_per_minute = excluded.batches_per_minute, queue = excluded.queue",
    )
    .bind(id)
    .bind(host())
    .bind(env!("CARGO_PKG_VERSION"))
    .bind(stored(observer.measures().started_at))
    .bind(stored(now))
    .bind(in_minute)
    .bind(observer.measures().queue())
    .execute(store.writer())
    .await
    .map_err(query(failed))?;
    db::query("DELETE FROM collectors WHERE seen_at < $1")
        .bind(stored(now.minus(FORGOTTEN)))
        .execute(store.writer())
        .await
        .map(drop)
        .map_err(query(failed))
}

/// Those that ran lately, the newest first.
///
/// # Errors
/// If the store fails.
pub async fn running(store: &Store, now: Timestamp) -> Result<Vec<Running>, StoreError> {
    let rows: Vec<(String, String, i64, i64, i64, i64)> = db::query_as(
        "SELECT host, version, started_at, seen_at, batches_per_minute, queue FROM collectors
         ORDER BY started_at DESC, id LIMIT 64",
    )
    .fetch_all(store.reader())
    .await
    .map_err(query("list the collectors"))?;
    let one = |(host, version, started, seen, batches_per_minute, queue)| {
        let seen_at = from_stored(seen);
        Running {
            host,
            version,
            started_at: from_stored(started),
            seen_at,
            batches_per_minute,
            queue,
            alive: now.since(seen_at) < COLLECTOR_GONE,
        }
    };
    Ok(rows.into_iter().map(one).collect())
}
