//! Figures of the overview that are no incidents: what is below them, and what the law waits for.

use std::time::Duration;

use sekimori_wire::time::Timestamp;

use super::Seen;
use crate::clock::stored;
use crate::store::db;
use crate::store::{StoreError, query};
use crate::timing::local;

/// What is below incidents is counted over this time.
const BELOW_FOR: Duration = Duration::from_secs(86_400);

impl Seen<'_> {
    /// 予兆: precursors that led to nothing and incidents of level 0, of the last day.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn below_incidents(&self, now: Timestamp) -> Result<i64, StoreError> {
        db::query_scalar(
            "SELECT (SELECT count(*) FROM precursors WHERE time >= $2 AND incident IS NULL
                    AND (CAST($1 AS TEXT) IS NULL OR $1 LIKE '%,' || body || ',%'))
                + (SELECT count(*) FROM incidents WHERE opened_at >= $2 AND severity = 0 AND drill = 0 AND mode = 'live'
                    AND (CAST($1 AS TEXT) IS NULL OR $1 LIKE '%,' || body || ',%'))",
        )
        .bind(self.scope.sql())
        .bind(stored(now.minus(BELOW_FOR)))
        .fetch_one(self.store.reader())
        .await
        .map_err(query("count what is below incidents"))
    }

    /// Incidents with an obligation whose last day is over and that is not filed, the oldest day first: incident, last day,
    /// how many. Days are those of Japan.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn overdue(&self, now: Timestamp) -> Result<Vec<(String, String, i64)>, StoreError> {
        db::query_as(
            "SELECT o.incident, min(o.last_day), count(*) FROM obligations o JOIN incidents i ON i.id = o.incident
             WHERE o.voluntary = 0 AND o.last_day < $2 AND i.drill = 0
                AND o.state IN ('not_assessed', 'assessing', 'applicable', 'scheduled')
                AND (CAST($1 AS TEXT) IS NULL OR $1 LIKE '%,' || i.body || ',%')
             GROUP BY o.incident ORDER BY min(o.last_day), o.incident LIMIT 50",
        )
        .bind(self.scope.sql())
        .bind(local(now).date().to_string())
        .fetch_all(self.store.reader())
        .await
        .map_err(query("list obligations that are overdue"))
    }
}
