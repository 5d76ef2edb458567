//! Flows and summaries go by whole days: on PostgreSQL each is a partition.

use std::iter;

use super::Kept;
use super::rows::Pieces;
use crate::store::db::{self, AssertSqlSafe};
use crate::store::writer::add_counters;
use crate::store::{Store, StoreError, query};

/// With what takes the rows that no day's partition takes, on PostgreSQL.
const TABLES: [(&str, &str); 2] = [("flows", "flows_other"), ("summaries", "summaries_other")];
/// Rows come in the order of their days, but for a clock that was wrong: so many pieces without an old one, and the rest is newer.
const PATIENCE: u32 = 50;
/// Partitions that are there before they are needed.
const AHEAD_DAYS: i64 = 7;
/// No change of partitions makes deliveries wait longer than this; it is tried again with the next look.
const LOCK_TIMEOUT: &str = "SET LOCAL lock_timeout = '1s'";
/// Pages of SQLite that are given back at a time, and that stay free for what comes.
const PAGES: i64 = 512;
const PAGES_KEPT: i64 = 4096;
/// SQLite's number for "when asked".
const INCREMENTAL: i64 = 2;

impl Store {
    /// Makes the partitions of the next days.
    pub(super) async fn make_days(&self) -> Result<(), StoreError> {
        if !self.is_shared() {
            return Ok(());
        }
        for (table, _) in TABLES {
            for ahead in 0..=AHEAD_DAYS {
                let mut tx = self.begin().await?;
                db::query(LOCK_TIMEOUT).execute(&mut *tx).await.map_err(query("make a day's partition"))?;
                let made = db::query("SELECT make_day($1, today() + $2)").bind(table).bind(ahead);
                if let Err(error) = made.execute(&mut *tx).await {
                    // What comes meanwhile goes where everything without a day goes.
                    tracing::warn!(table, ahead, %error, "a day's partition is not made yet");
                    return Ok(());
                }
                tx.commit().await?;
            }
        }
        Ok(())
    }

    /// Drops every day before this one.
    pub(super) async fn drop_days(&self, before: i64, kept: &mut Kept) -> Result<(), StoreError> {
        for (table, other) in TABLES {
            if self.is_shared() {
                self.drop_partitions(table, before, kept).await?;
            }
            let from = if self.is_shared() { other } else { table };
            let (columns, condition, patience) = ("n, day", "w.day < $2", Some(PATIENCE));
            let pieces = Pieces { table, from, columns, condition, patience };
            kept.add(table, self.drop_pieces(&pieces, before).await?);
        }
        Ok(())
    }

    async fn drop_partitions(
        &self,
        table: &'static str,
        before: i64,
        kept: &mut Kept,
    ) -> Result<(), StoreError> {
        let failed = "drop a day's partition";
        let days: Vec<i64> = db::query_scalar("SELECT day FROM days_of($1) WHERE day < $2 ORDER BY day")
            .bind(table)
            .bind(before)
            .fetch_all(self.reader())
            .await
            .map_err(query(failed))?;
        for day in days {
            let part = format!("{table}_day_{day}");
            let rows: i64 = db::query_scalar(AssertSqlSafe(format!("SELECT count(*) FROM {part}")))
                .fetch_one(self.reader())
                .await
                .map_err(query(failed))?;
            let mut tx = self.begin().await?;
            db::query(LOCK_TIMEOUT).execute(&mut *tx).await.map_err(query(failed))?;
            let dropped = db::query(AssertSqlSafe(format!("DROP TABLE {part}"))).execute(&mut *tx).await;
            if let Err(error) = dropped {
                tracing::warn!(part, %error, "a day's partition is not dropped yet");
                return Ok(());
            }
            add_counters(&mut tx, iter::once((format!("dropped.{table}").as_str(), rows))).await?;
            tx.commit().await?;
            kept.add(table, u64::try_from(rows).unwrap_or_default());
        }
        Ok(())
    }

    /// The oldest day that there is something of.
    pub(super) async fn oldest_day(&self) -> Result<Option<i64>, StoreError> {
        let sql = if self.is_shared() {
            "SELECT min(day) FROM (SELECT day FROM days_of('flows') UNION SELECT day FROM days_of('summaries')) days"
        } else {
            "SELECT min(day) FROM (SELECT day FROM (SELECT day FROM flows ORDER BY n LIMIT 2000) f
             UNION ALL SELECT day FROM (SELECT day FROM summaries ORDER BY n LIMIT 2000) s) days"
        };
        db::query_scalar(sql).fetch_one(self.reader()).await.map_err(query("look for the oldest day"))
    }

    /// Gives the room of what was dropped back to the system, piece by piece, as far as the file was made for it.
    pub(super) async fn give_back(&self) -> Result<(), StoreError> {
        if self.is_shared() {
            return Ok(());
        }
        let failed = "give free pages back";
        let automatic: i64 =
            db::query_scalar("PRAGMA auto_vacuum").fetch_one(self.reader()).await.map_err(query(failed))?;
        if automatic != INCREMENTAL {
            return Ok(());
        }
        let mut free = i64::MAX;
        loop {
            let now: i64 = db::query_scalar("PRAGMA freelist_count")
                .fetch_one(self.reader())
                .await
                .map_err(query(failed))?;
            if now <= PAGES_KEPT || now >= free {
                return Ok(());
            }
            free = now;
            let some = format!("PRAGMA incremental_vacuum({PAGES})");
            db::query(AssertSqlSafe(some)).fetch_all(self.writer()).await.map_err(query(failed))?;
            tokio::time::sleep(super::PAUSE).await;
        }
    }
}
