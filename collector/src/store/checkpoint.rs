//! SQLite's write-ahead log goes into the file beside the writer, not in its way.
//!
//! A commit that finds the log long enough writes all of it into the file before it returns: of a store of gigabytes that is
//! seconds in which nothing is acknowledged, because thousands of agents change pages all over it. Here another connection does
//! it while commits go on, again and again until little is left, and only that little holds the writer up, so that the log can
//! begin anew. Where nobody does this (a command beside a collector), the commits do it themselves at a longer log.

use std::time::Duration;

use sqlx::sqlite::{SqlitePoolOptions, SqliteSynchronous};
use tokio::task::JoinHandle;

use super::{Place, StoreError, db, options, query};
use crate::fleet::error_chain;

/// Pages of the log from which on it is begun anew (64 MiB): what thousands of agents change again and again goes into the file
/// once and not hundreds of times.
const LOG_PAGES: i64 = 16_384;
/// Pages that may be left when the writer is held up: some milliseconds.
const LEFT_PAGES: i64 = 1_024;
/// Rounds after which the rest is not waited for: the next look goes on.
const ROUNDS: u32 = 8;
/// How long the writer, or somebody who reads, may be waited for: while readers are waited for, nobody can commit.
const WAIT: Duration = Duration::from_millis(250);
/// Between two looks.
const LOOK_EVERY: Duration = Duration::from_secs(3);

/// Begins, where the store is a file.
///
/// # Errors
/// If the file cannot be opened.
pub async fn start(place: &Place) -> Result<Option<JoinHandle<()>>, StoreError> {
    let Place::File(path) = place else { return Ok(None) };
    let failed = |cause| StoreError::Open { place: place.to_string(), cause };
    let one = SqlitePoolOptions::new().max_connections(1).test_before_acquire(false);
    let pool = one
        .connect_with(options(path).busy_timeout(WAIT).synchronous(SqliteSynchronous::Full))
        .await
        .map_err(failed)?;
    let pool = db::Pool::Sqlite(pool);
    Ok(Some(tokio::spawn(async move {
        let mut tick = tokio::time::interval(LOOK_EVERY);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tick.tick().await;
            if let Err(error) = look(&pool).await {
                tracing::error!(
                    error = error_chain(&error),
                    "the write-ahead log is not written into the file"
                );
            }
        }
    })))
}

/// How long the log is, and how much of it is in the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Log {
    pages: i64,
    written: i64,
}

async fn look(pool: &db::Pool) -> Result<(), StoreError> {
    for _ in 0..ROUNDS {
        let log = checkpoint(pool, "PRAGMA wal_checkpoint(PASSIVE)").await?;
        if log.pages < LOG_PAGES {
            return Ok(());
        }
        if log.pages - log.written <= LEFT_PAGES {
            // The rest, and then the next commit writes at the log's beginning again, if nobody reads behind it.
            checkpoint(pool, "PRAGMA wal_checkpoint(RESTART)").await?;
            return Ok(());
        }
    }
    Ok(())
}

/// Writes what may be written.
async fn checkpoint(pool: &db::Pool, how: &'static str) -> Result<Log, StoreError> {
    let failed = "write the log into the file";
    let row = db::query(how).fetch_one(pool).await.map_err(query(failed))?;
    Ok(Log {
        pages: row.get("log").map_err(query(failed))?,
        written: row.get("checkpointed").map_err(query(failed))?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Store;

    #[tokio::test]
    async fn a_long_log_is_written_and_begun_anew_while_others_write() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("store.db");
        let store = Store::create(Place::File(path.clone())).await.unwrap();
        let one = SqlitePoolOptions::new().max_connections(1);
        let pool = db::Pool::Sqlite(one.connect_with(options(&path)).await.unwrap());
        // A row takes a page: half as much again as makes a log long.
        let mut n = 0;
        while n < LOG_PAGES * 3 / 2 {
            let mut tx = store.begin().await.unwrap();
            for _ in 0..1_024 {
                n += 1;
                db::query("INSERT INTO counters (name, value) VALUES ($1, 1)")
                    .bind(format!("{n:x>3800}"))
                    .execute(&mut *tx)
                    .await
                    .unwrap();
            }
            tx.commit().await.unwrap();
        }
        let writing = {
            let store = store.clone();
            tokio::spawn(async move {
                for n in 0..200 {
                    let mut tx = store.begin().await.unwrap();
                    db::query("INSERT INTO counters (name, value) VALUES ($1, 1)")
                        .bind(format!("beside {n}"))
                        .execute(&mut *tx)
                        .await
                        .unwrap();
                    tx.commit().await.unwrap();
                }
            })
        };
        look(&pool).await.unwrap();
        writing.await.unwrap();
        let mut tx = store.begin().await.unwrap();
        db::query("INSERT INTO counters (name, value) VALUES ('last', 1)").execute(&mut *tx).await.unwrap();
        tx.commit().await.unwrap();
        let log = checkpoint(&pool, "PRAGMA wal_checkpoint(PASSIVE)").await.unwrap();
        assert!(log.pages < LOG_PAGES, "begun anew: {log:?}");
        let rows: i64 =
            db::query_scalar("SELECT count(*) FROM counters").fetch_one(store.reader()).await.unwrap();
        assert_eq!(rows, n + 201, "nothing is lost");
    }
}
