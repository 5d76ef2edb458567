//! What the store says, counted.

use std::time::Duration;

use sekimori_wire::time::Timestamp;
use serde::Serialize;

use crate::clock::{self, from_stored, stored};
use crate::config::Config;
use crate::store::clocks::passed;
use crate::store::db;
use crate::store::{Place, Store, StoreError, query};
use crate::timing::local;

/// A certificate that ends within this time is told.
pub const CERTIFICATE_SOON: Duration = Duration::from_secs(30 * 86_400);
/// A collector that was not seen for so long is gone.
pub const COLLECTOR_GONE: Duration = Duration::from_secs(60);

/// A timer's rung that is the limit itself, in per cent; of an obligation: the day itself, day 0.
pub(crate) const LIMIT: &str =
    "((t.what NOT LIKE '%/%' AND t.rung = 100) OR (t.what LIKE '%/%' AND t.rung = 0))";

/// Counts of one moment.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Snapshot {
    /// Incidents that are no drills, by state and level.
    pub incidents: Vec<(String, i64, i64)>,
    /// Rungs of timers that wait.
    pub timers_waiting: i64,
    /// Those that should have fired: more than none for long means that nobody looks.
    pub timers_late: i64,
    /// Limits that ran out while what they are about is not done; of many incidents at least.
    pub limits_passed: i64,
    /// Obligations whose last day is over, and nothing is filed.
    pub obligations_overdue: i64,
    /// Notices by channel: waiting, sent, given up, attempts.
    pub notices: Vec<Notices>,
    /// How long the oldest notice waits, in seconds.
    pub notice_oldest_seconds: u64,
    /// The fleet.
    pub fleet: Fleet,
    /// The collector's own certificates and when they end.
    pub certificates: Vec<(&'static str, Timestamp)>,
    /// `sqlite` or `postgres`.
    pub store_kind: &'static str,
    /// What the store takes on disk.
    pub store_bytes: u64,
    /// The newest change of the schema.
    pub schema: i64,
    /// Collectors that run on the store.
    pub collectors: i64,
}

/// The outbox of one channel.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Notices {
    /// Which.
    pub channel: String,
    /// Not sent yet.
    pub queued: i64,
    /// Sent.
    pub sent: i64,
    /// Given up, and nobody decided about them.
    pub dead: i64,
    /// Given up and put aside.
    pub aside: i64,
    /// Every attempt, good or not.
    pub attempts: i64,
}

/// Agents that are not revoked.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Fleet {
    /// All.
    pub enrolled: i64,
    /// Nothing was ever heard of them.
    pub never: i64,
    /// An incident says that they are silent.
    pub silent: i64,
    /// An incident says something else of them.
    pub degraded: i64,
    /// Their certificates end within 30 days.
    pub certificates_soon: i64,
    /// Their certificates are over.
    pub certificates_over: i64,
    /// Enrolments that somebody must confirm.
    pub held: i64,
}

/// Reads it.
///
/// # Errors
/// If the store fails.
pub async fn read(
    store: &Store,
    config: &Config,
    certificates: Vec<(&'static str, Timestamp)>,
) -> Result<Snapshot, StoreError> {
    let now = clock::now();
    let failed = "count for those who watch";
    let number = async |sql: &'static str, at: Timestamp| -> Result<i64, StoreError> {
        db::query_scalar(sql).bind(stored(at)).fetch_one(store.reader()).await.map_err(query(failed))
    };
    let incidents = db::query_as(
        "SELECT state, severity, count(*) FROM incidents WHERE drill = 0 GROUP BY state, severity",
    )
    .fetch_all(store.reader())
    .await
    .map_err(query(failed))?;
    let oldest =
        number("SELECT coalesce(min(written_at), $1) FROM notices WHERE next_at IS NOT NULL", now).await?;
    let schema = db::query_scalar("SELECT coalesce(max(version), 0) FROM _sqlx_migrations")
        .fetch_one(store.reader())
        .await
        .map_err(query(failed))?;
    Ok(Snapshot {
        incidents,
        timers_waiting: number("SELECT count(*) FROM timers WHERE fired_at IS NULL AND due_at > $1", now)
            .await?,
        timers_late: number("SELECT count(*) FROM timers WHERE fired_at IS NULL AND due_at <= $1", now)
            .await?,
        limits_passed: passed::limits_passed(store).await?,
        obligations_overdue: obligations_overdue(store, now).await?,
        notices: notices(store).await?,
        notice_oldest_seconds: now.since(from_stored(oldest)).as_secs(),
        fleet: fleet(store, now).await?,
        certificates,
        store_kind: if store.is_shared() { "postgres" } else { "sqlite" },
        store_bytes: bytes(store, config).await?,
        schema,
        collectors: number("SELECT count(*) FROM collectors WHERE seen_at >= $1", now.minus(COLLECTOR_GONE))
            .await?,
    })
}

/// Days are those of Japan.
async fn obligations_overdue(store: &Store, now: Timestamp) -> Result<i64, StoreError> {
    db::query_scalar(
        "SELECT count(*) FROM obligations WHERE voluntary = 0 AND last_day < $1
         AND state IN ('not_assessed', 'assessing', 'applicable', 'scheduled')",
    )
    .bind(local(now).date().to_string())
    .fetch_one(store.reader())
    .await
    .map_err(query("count obligations that are overdue"))
}

async fn notices(store: &Store) -> Result<Vec<Notices>, StoreError> {
    let rows: Vec<(String, i64, i64, i64, i64, i64)> = db::query_as(
        "SELECT channel, CAST(sum(CASE WHEN next_at IS NOT NULL THEN 1 ELSE 0 END) AS BIGINT),
            CAST(sum(CASE WHEN sent_at IS NOT NULL THEN 1 ELSE 0 END) AS BIGINT),
            CAST(sum(CASE WHEN dead_at IS NOT NULL AND aside_at IS NULL THEN 1 ELSE 0 END) AS BIGINT),
            CAST(sum(CASE WHEN aside_at IS NOT NULL THEN 1 ELSE 0 END) AS BIGINT), CAST(sum(attempts) AS BIGINT)
         FROM notices GROUP BY channel ORDER BY channel",
    )
    .fetch_all(store.reader())
    .await
    .map_err(query("count the notices"))?;
    let one = |(channel, queued, sent, dead, aside, attempts)| Notices {
        channel,
        queued,
        sent,
        dead,
        aside,
        attempts,
    };
    Ok(rows.into_iter().map(one).collect())
}

async fn fleet(store: &Store, now: Timestamp) -> Result<Fleet, StoreError> {
    let row: (i64, i64, i64, i64, i64, i64) = db::query_as(
        "SELECT count(*), coalesce(CAST(sum(CASE WHEN last_seen IS NULL THEN 1 ELSE 0 END) AS BIGINT), 0),
            coalesce(CAST(sum(CASE WHEN EXISTS (SELECT 1 FROM sensor_watch w WHERE w.agent = g.id
                AND w.incident IS NOT NULL AND w.condition = 'silent') THEN 1 ELSE 0 END) AS BIGINT), 0),
            coalesce(CAST(sum(CASE WHEN EXISTS (SELECT 1 FROM sensor_watch w WHERE w.agent = g.id
                AND w.incident IS NOT NULL AND w.condition <> 'silent') THEN 1 ELSE 0 END) AS BIGINT), 0),
            coalesce(CAST(sum(CASE WHEN cert_expires_at > $1 AND cert_expires_at <= $2 THEN 1 ELSE 0 END) AS BIGINT), 0),
            coalesce(CAST(sum(CASE WHEN cert_expires_at <= $1 THEN 1 ELSE 0 END) AS BIGINT), 0)
         FROM agents g WHERE revoked_at IS NULL",
    )
    .bind(stored(now))
    .bind(stored(now.plus(CERTIFICATE_SOON)))
    .fetch_one(store.reader())
    .await
    .map_err(query("count the fleet"))?;
    let held = db::query_scalar("SELECT count(*) FROM enrolments_held WHERE confirmed_at IS NULL")
        .fetch_one(store.reader())
        .await
        .map_err(query("count the fleet"))?;
    let (enrolled, never, silent, degraded, certificates_soon, certificates_over) = row;
    Ok(Fleet { enrolled, never, silent, degraded, certificates_soon, certificates_over, held })
}

/// The file with what is not yet in it; or the database as its server tells.
pub async fn bytes(store: &Store, config: &Config) -> Result<u64, StoreError> {
    match config.store() {
        Place::File(path) => {
            let parts = ["", "-wal", "-shm"].map(|end| {
                let mut name = path.clone().into_os_string();
                name.push(end);
                std::fs::metadata(name).map_or(0, |part| part.len())
            });
            Ok(parts.iter().sum())
        }
        Place::Servers(_) => {
            let bytes: i64 = db::query_scalar("SELECT pg_database_size(current_database())")
                .fetch_one(store.reader())
                .await
                .map_err(query("measure the store"))?;
            Ok(u64::try_from(bytes).unwrap_or_default())
        }
    }
}
