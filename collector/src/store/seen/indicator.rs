//! Where an indicator was seen: in which bodies, from when to when, in which incidents.
//!
//! Whoever sees some bodies is told of these alone. That others saw the same they hear from a wide-area incident that they
//! have a part in, and from nothing else.

use sekimori_wire::time::Timestamp;

use super::Seen;
use crate::clock::from_stored;
use crate::correlate::rule::IndicatorKind;
use crate::store::db;
use crate::store::view::IncidentView;
use crate::store::{StoreError, query};

/// Incidents of one answer.
const ROWS: usize = 30;

/// An indicator in one body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IndicatorBody {
    /// Its code.
    pub body: String,
    /// Incidents with it.
    pub incidents: i64,
    /// Findings of these incidents.
    pub findings: i64,
    /// When first, in event time.
    pub first: Timestamp,
    /// When last.
    pub last: Timestamp,
}

/// Where an indicator was seen.
#[derive(Clone, Debug)]
pub struct IndicatorView {
    /// By body, by code.
    pub bodies: Vec<IndicatorBody>,
    /// Incidents with it, wide-area ones about it included; the newest first.
    pub incidents: Vec<IncidentView>,
    /// There are more.
    pub more: bool,
}

impl Seen<'_> {
    /// Where an indicator was seen; its value is written as correlation [writes it](IndicatorKind::normal).
    ///
    /// # Errors
    /// If the store fails.
    pub async fn indicator(&self, kind: IndicatorKind, value: &str) -> Result<IndicatorView, StoreError> {
        let rows: Vec<(String, i64, i64, i64, i64)> = db::query_as(
            "SELECT s.body, count(*), CAST(sum(i.findings) AS BIGINT), min(s.first_seen), max(s.last_seen)
             FROM indicators s JOIN incidents i ON i.id = s.incident
             WHERE s.kind = $1 AND s.value = $2 AND (CAST($3 AS TEXT) IS NULL OR $3 LIKE '%,' || s.body || ',%')
             GROUP BY s.body ORDER BY s.body",
        )
        .bind(kind.as_str())
        .bind(value)
        .bind(self.scope.sql())
        .fetch_all(self.store.reader())
        .await
        .map_err(query("read where an indicator was seen"))?;
        let one = |(body, incidents, findings, first, last)| IndicatorBody {
            body,
            incidents,
            findings,
            first: from_stored(first),
            last: from_stored(last),
        };
        let bodies = rows.into_iter().map(one).collect();
        let mut ids = self.incidents_with(kind, value).await?;
        let more = ids.len() > ROWS;
        ids.truncate(ROWS);
        let mut incidents = Vec::with_capacity(ids.len());
        for id in ids {
            // Of what spans several bodies: whoever has a part in it.
            incidents.extend(self.incident(&id).await?);
        }
        Ok(IndicatorView { bodies, incidents, more })
    }

    /// One more than is shown.
    async fn incidents_with(&self, kind: IndicatorKind, value: &str) -> Result<Vec<String>, StoreError> {
        db::query_scalar(
            "SELECT i.id FROM incidents i WHERE i.id IN (
                SELECT s.incident FROM indicators s WHERE s.kind = $1 AND s.value = $2
                    AND (CAST($3 AS TEXT) IS NULL OR $3 LIKE '%,' || s.body || ',%')
                UNION SELECT c.parent FROM indicators s JOIN incidents c ON c.id = s.incident
                    JOIN incidents p ON p.id = c.parent AND p.subject = $2
                    WHERE s.kind = $1 AND s.value = $2
                    AND (CAST($3 AS TEXT) IS NULL OR $3 LIKE '%,' || s.body || ',%'))
             ORDER BY i.opened_at DESC, i.id LIMIT $4",
        )
        .bind(kind.as_str())
        .bind(value)
        .bind(self.scope.sql())
        .bind(i64::try_from(ROWS).unwrap_or(i64::MAX).saturating_add(1))
        .fetch_all(self.store.reader())
        .await
        .map_err(query("list the incidents with an indicator"))
    }
}
