//! Dropping what is too old, in small pieces: between two of them deliveries go on.
//!
//! Of each chain an anchor says up to where its batches may be gone, and with which digest the rest goes on. All anchors of a
//! look are written in one transaction together with a line of the audit log that names them, and batches are dropped after
//! it, so that whoever removes batches otherwise is found out by `verify`.

mod chains;
mod days;
mod over;
mod rows;

use std::collections::BTreeMap;
use std::iter;
use std::time::Duration;

use sekimori_wire::time::Timestamp;

use super::db;
use super::writer::add_counters;
use super::{Store, StoreError, query};
use crate::clock::stored;
use crate::retain::Rules;

pub use chains::{Anchor, Anchors, set_back};
pub(super) use over::{AUDIT, named};

/// Another collector may take over after this.
const LEASE: Duration = Duration::from_secs(3600);
/// Between two pieces: whoever delivers comes first.
const PAUSE: Duration = Duration::from_millis(5);
/// Days that are never dropped for the size: today and the one before.
const LEAST_DAYS: i64 = 2;

/// What a look came to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Kept {
    /// Rows that were dropped, by table.
    pub dropped: BTreeMap<&'static str, u64>,
    /// What the store takes now.
    pub bytes: u64,
    /// It takes more than it may, and nothing more may be dropped.
    pub is_over: bool,
}

impl Kept {
    fn add(&mut self, table: &'static str, rows: u64) {
        if rows > 0 {
            *self.dropped.entry(table).or_insert(0) += rows;
        }
    }
}

impl Store {
    /// Drops what is too old, or too much. `None`: another collector is at it.
    ///
    /// # Errors
    /// If the store fails; what was dropped before stays dropped.
    pub async fn retain(&self, rules: &Rules, now: Timestamp) -> Result<Option<Kept>, StoreError> {
        let taken = db::query("UPDATE retention SET lease_until = $1 WHERE one = 1 AND lease_until <= $2")
            .bind(stored(now.plus(LEASE)))
            .bind(stored(now))
            .execute(self.writer())
            .await
            .map_err(query("begin to drop what is too old"))?;
        if taken.rows_affected() == 0 {
            return Ok(None);
        }
        let done = self.retain_alone(rules, now).await;
        let kept = done.as_ref().ok();
        db::query(
            "UPDATE retention SET lease_until = 0, at = $1, bytes = coalesce($2, bytes), budget = $3,
             flows_from = (SELECT min(day) FROM (SELECT day FROM summaries ORDER BY n LIMIT 2000) oldest) WHERE one = 1",
        )
        .bind(stored(now))
        .bind(kept.map(|kept| integer(kept.bytes)))
        .bind(rules.max_size.map(integer))
        .execute(self.writer())
        .await
        .map_err(query("note what was dropped"))?;
        done.map(Some)
    }

    async fn retain_alone(&self, rules: &Rules, now: Timestamp) -> Result<Kept, StoreError> {
        let mut kept = Kept::default();
        self.make_days().await?;
        self.drop_days(day_of(now.minus(rules.flows)), &mut kept).await?;
        self.drop_incidents(now.minus(rules.incidents), now, &mut kept).await?;
        self.drop_audit(now.minus(rules.audit), now, &mut kept).await?;
        self.drop_rows(rules, now, &mut kept).await?;
        self.drop_batches(now.minus(rules.batches), now, &mut kept).await?;
        kept.bytes = self.bytes().await?;
        if let Some(budget) = rules.max_size {
            self.shrink(budget, now, &mut kept).await?;
            kept.is_over = kept.bytes > budget;
        }
        self.give_back().await?;
        Ok(kept)
    }

    /// Drops the oldest days until the store takes no more than it may.
    async fn shrink(&self, budget: u64, now: Timestamp, kept: &mut Kept) -> Result<(), StoreError> {
        let last = day_of(now) - LEAST_DAYS;
        while kept.bytes > budget
            && let Some(oldest) = self.oldest_day().await?
            && oldest <= last
        {
            let before = kept.dropped.clone();
            self.drop_days(oldest + 1, kept).await?;
            kept.bytes = self.bytes().await?;
            if before == kept.dropped {
                break;
            }
        }
        // PostgreSQL does not give back the room of single rows: dropping more of them for it would never end.
        while kept.bytes > budget
            && !self.is_shared()
            && let Some(oldest) = self.oldest_batch().await?
            && day_of(oldest) <= last
        {
            let until = Timestamp::from_secs(u64::try_from(day_of(oldest) + 1).unwrap_or_default() * 86_400);
            self.drop_batches(until, now, kept).await?;
            kept.bytes = self.bytes().await?;
        }
        Ok(())
    }

    /// What the store takes, without what is free within it.
    async fn bytes(&self) -> Result<u64, StoreError> {
        let sql = if self.is_shared() {
            "SELECT pg_database_size(current_database())"
        } else {
            "SELECT (p.page_count - f.freelist_count) * s.page_size
             FROM pragma_page_count p, pragma_freelist_count f, pragma_page_size s"
        };
        let bytes: i64 =
            db::query_scalar(sql).fetch_one(self.reader()).await.map_err(query("measure the store"))?;
        Ok(u64::try_from(bytes).unwrap_or_default())
    }

    /// Runs one statement that drops rows, and counts them, in a transaction of its own.
    async fn drop_piece(&self, table: &'static str, statement: db::Query<'_>) -> Result<u64, StoreError> {
        let mut tx = self.begin().await?;
        let done = statement.execute(&mut *tx).await.map_err(query("drop rows"))?.rows_affected();
        if done > 0 {
            add_counters(&mut tx, iter::once((format!("dropped.{table}").as_str(), integer(done)))).await?;
        }
        tx.commit().await?;
        tokio::time::sleep(PAUSE).await;
        Ok(done)
    }
}

/// Whole days since 1970-01-01.
fn day_of(at: Timestamp) -> i64 {
    i64::try_from(at.secs() / 86_400).unwrap_or(i64::MAX)
}

fn integer(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests;
