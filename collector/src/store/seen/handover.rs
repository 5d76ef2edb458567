//! What a hand-over tells beside the incidents themselves, of what is seen.

use sekimori_wire::time::Timestamp;

use super::Seen;
use crate::clock::{from_stored, stored};
use crate::handover::{Changed, Lesson, Limit, Sensor, Undelivered};
use crate::store::clocks::passed;
use crate::store::db;
use crate::store::{StoreError, query};

/// Rows of each part.
const ROWS: i64 = 200;

/// Key, incident, kind, role, contact, written at, given up at, error.
type NoticeRow = (String, Option<String>, String, String, String, i64, Option<i64>, Option<String>);

impl Seen<'_> {
    /// Limits of an incident that run or ran out, the next first; none of one that is not wholly theirs.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn limits_of(&self, id: &str, now: Timestamp) -> Result<Vec<Limit>, StoreError> {
        if !self.is_wholly_theirs(id).await? {
            return Ok(Vec::new());
        }
        passed::limits_of(self.store, id, now).await
    }

    /// What happened to incidents since then, or to one: by incident and kind, the latest first.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn changed_since(
        &self,
        since: Timestamp,
        incident: Option<&str>,
    ) -> Result<Vec<Changed>, StoreError> {
        let rows: Vec<(String, String, String, i64, i64)> = db::query_as(
            "SELECT c.incident, c.kind, i.state, count(*), max(c.at) AS last
             FROM incident_changes c JOIN incidents i ON i.id = c.incident
             WHERE c.at >= $1 AND (CAST($2 AS TEXT) IS NULL OR c.incident = $2)
                AND (CAST($3 AS TEXT) IS NULL OR $3 LIKE '%,' || i.body || ',%')
             GROUP BY c.incident, c.kind, i.state ORDER BY last DESC, c.incident, c.kind LIMIT $4",
        )
        .bind(stored(since))
        .bind(incident)
        .bind(self.scope.sql())
        .bind(ROWS)
        .fetch_all(self.store.reader())
        .await
        .map_err(query("read what changed"))?;
        let one = |(incident, kind, state, count, last)| Changed {
            incident,
            kind,
            count,
            last: from_stored(last),
            state,
        };
        Ok(rows.into_iter().map(one).collect())
    }

    /// Sensors of which an incident says that something is wrong, the longest first; with one incident, those of its body.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn sensors_unwell(&self, incident: Option<&str>) -> Result<Vec<Sensor>, StoreError> {
        let rows: Vec<(String, String, String, String, i64, String)> = db::query_as(
            "SELECT g.id, g.name, g.body, w.condition, w.since, w.incident
             FROM sensor_watch w JOIN agents g ON g.id = w.agent
             WHERE w.incident IS NOT NULL AND g.revoked_at IS NULL
                AND (CAST($1 AS TEXT) IS NULL OR g.body IN (SELECT body FROM incidents WHERE id = $1))
                AND (CAST($2 AS TEXT) IS NULL OR $2 LIKE '%,' || g.body || ',%')
             ORDER BY w.since, g.id, w.condition LIMIT $3",
        )
        .bind(incident)
        .bind(self.scope.sql())
        .bind(ROWS)
        .fetch_all(self.store.reader())
        .await
        .map_err(query("list the sensors that are not well"))?;
        let one = |(agent, name, body, condition, since, incident)| Sensor {
            agent,
            name,
            body,
            condition,
            since: from_stored(since),
            incident,
        };
        Ok(rows.into_iter().map(one).collect())
    }

    /// Notices that were given up, or that wait after an attempt that failed; the oldest first.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn undelivered(&self, incident: Option<&str>) -> Result<Vec<Undelivered>, StoreError> {
        let rows: Vec<NoticeRow> = db::query_as(
            "SELECT key, incident, kind, role, contact, written_at, dead_at, error FROM notices
             WHERE ((dead_at IS NOT NULL AND aside_at IS NULL) OR (next_at IS NOT NULL AND attempts > 0))
                AND (CAST($1 AS TEXT) IS NULL OR incident = $1)
                AND (CAST($2 AS TEXT) IS NULL OR $2 LIKE '%,' || body || ',%')
             ORDER BY written_at, key LIMIT $3",
        )
        .bind(incident)
        .bind(self.scope.sql())
        .bind(ROWS)
        .fetch_all(self.store.reader())
        .await
        .map_err(query("list the notices that did not arrive"))?;
        let one = |(key, incident, kind, role, contact, written, dead, error): NoticeRow| Undelivered {
            key,
            incident,
            kind,
            role,
            contact,
            written_at: from_stored(written),
            dead: dead.is_some(),
            error: error.unwrap_or_default(),
        };
        Ok(rows.into_iter().map(one).collect())
    }

    /// What was learned since then, the latest first.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn lessons_since(&self, since: Timestamp) -> Result<Vec<Lesson>, StoreError> {
        let rows: Vec<(String, String, String, String)> = db::query_as(
            "SELECT incident, category, root_cause, lesson FROM lessons
             WHERE closed_at >= $1 AND (CAST($2 AS TEXT) IS NULL OR $2 LIKE '%,' || body || ',%')
             ORDER BY closed_at DESC, incident LIMIT $3",
        )
        .bind(stored(since))
        .bind(self.scope.sql())
        .bind(ROWS)
        .fetch_all(self.store.reader())
        .await
        .map_err(query("read what was learned"))?;
        let one =
            |(incident, category, root_cause, lesson)| Lesson { incident, category, root_cause, lesson };
        Ok(rows.into_iter().map(one).collect())
    }
}
