//! What somebody may see of the feed of changes, in order, from where they were.
//!
//! Whoever sees all counts by the feed's own numbers; whoever sees some bodies counts only their own changes, because the
//! feed's numbers would tell how much happens elsewhere.

use sekimori_wire::time::Timestamp;

use super::Seen;
use crate::clock::from_stored;
use crate::store::db;
use crate::store::{StoreError, query};

/// A place in the feed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// As told to the listener: so many changes of theirs are before it.
    pub number: i64,
    /// In the feed.
    seq: i64,
}

/// A change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Heard {
    /// The place behind it.
    pub place: Place,
    /// Of which incident.
    pub incident: String,
    /// As in its history.
    pub kind: String,
    /// When.
    pub at: Timestamp,
}

const OWN: &str =
    "(CAST($1 AS TEXT) IS NULL OR incident IN (SELECT id FROM incidents WHERE $1 LIKE '%,' || body || ',%'))";

impl Seen<'_> {
    /// Where the feed ends now.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn feed_end(&self) -> Result<Place, StoreError> {
        let sql = format!("SELECT count(*), coalesce(max(seq), 0) FROM incident_changes WHERE {OWN}");
        let sql = if self.scope.is_all() {
            "SELECT coalesce(max(seq), 0), coalesce(max(seq), 0) FROM incident_changes
             WHERE CAST($1 AS TEXT) IS NULL"
                .to_owned()
        } else {
            sql
        };
        let (number, seq) = db::query_as(db::AssertSqlSafe(sql))
            .bind(self.scope.sql())
            .fetch_one(self.store.reader())
            .await
            .map_err(query("find the end of the feed"))?;
        Ok(Place { number, seq })
    }

    /// The place with this number; `None` if there is none, or what follows it is no longer kept.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn feed_place(&self, number: i64) -> Result<Option<Place>, StoreError> {
        let failed = "find a place in the feed";
        let end = self.feed_end().await?;
        if number < 0 || number > end.number {
            return Ok(None);
        }
        if self.scope.is_all() {
            let first: i64 = db::query_scalar("SELECT coalesce(min(seq), 1) FROM incident_changes")
                .fetch_one(self.store.reader())
                .await
                .map_err(query(failed))?;
            return Ok((number + 1 >= first).then_some(Place { number, seq: number }));
        }
        if number == 0 {
            return Ok(Some(Place { number, seq: 0 }));
        }
        let sql = format!("SELECT seq FROM incident_changes WHERE {OWN} ORDER BY seq LIMIT 1 OFFSET $2");
        let seq: Option<i64> = db::query_scalar(db::AssertSqlSafe(sql))
            .bind(self.scope.sql())
            .bind(number - 1)
            .fetch_optional(self.store.reader())
            .await
            .map_err(query(failed))?;
        Ok(seq.map(|seq| Place { number, seq }))
    }

    /// What follows a place, at most so many.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn feed_after(&self, place: Place, most: i64) -> Result<Vec<Heard>, StoreError> {
        let sql = format!(
            "SELECT seq, incident, kind, at FROM incident_changes WHERE seq > $2 AND {OWN} ORDER BY seq LIMIT $3"
        );
        let rows: Vec<(i64, String, String, i64)> = db::query_as(db::AssertSqlSafe(sql))
            .bind(self.scope.sql())
            .bind(place.seq)
            .bind(most)
            .fetch_all(self.store.reader())
            .await
            .map_err(query("follow the feed"))?;
        let all = self.scope.is_all();
        let heard = |(idx, (seq, incident, kind, at)): (i64, (i64, String, String, i64))| {
            let number = if all { seq } else { place.number + idx };
            Heard { place: Place { number, seq }, incident, kind, at: from_stored(at) }
        };
        Ok((1..).zip(rows).map(heard).collect())
    }
}
