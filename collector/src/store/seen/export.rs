//! What an export reads of an incident that is seen: more of it than a page shows.

use sekimori_wire::time::Timestamp;

use super::Seen;
use crate::audit::Entry;
use crate::clock::from_stored;
use crate::store::db;
use crate::store::view::FindingView;
use crate::store::{StoreError, query};

/// An indicator as an incident has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExportIndicator {
    /// `address`, `domain`, `ja4` …
    pub kind: String,
    /// What.
    pub value: String,
    /// In which body.
    pub body: String,
    /// When first, in event time.
    pub first: Timestamp,
    /// When last.
    pub last: Timestamp,
}

impl Seen<'_> {
    /// Writes down that something is taken out.
    ///
    /// # Errors
    /// If the store fails: then nothing must be given.
    pub async fn audit_export(&self, entry: Entry) -> Result<(), StoreError> {
        self.store.audit(entry).await
    }

    /// Findings of an incident or of its children, the worst and newest first, at most so many; and how many more there
    /// are.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn export_findings(
        &self,
        incident: &str,
        most: usize,
    ) -> Result<(Vec<FindingView>, u64), StoreError> {
        let failed = "read the findings of an incident";
        let seen = self.scope.sql();
        let total: i64 = db::query_scalar(
            "SELECT count(*) FROM findings f
             WHERE f.incident IN (SELECT id FROM incidents WHERE id = $1 OR parent = $1)
             AND (CAST($2 AS TEXT) IS NULL OR $2 LIKE '%,' || f.body || ',%')",
        )
        .bind(incident)
        .bind(seen.as_deref())
        .fetch_one(self.store.reader())
        .await
        .map_err(query(failed))?;
        let rows = db::query_as(
            "SELECT f.body, f.json, f.link_json, f.exception_json, f.agent, f.lane, f.epoch, f.seq FROM findings f
             WHERE f.incident IN (SELECT id FROM incidents WHERE id = $1 OR parent = $1)
             AND (CAST($3 AS TEXT) IS NULL OR $3 LIKE '%,' || f.body || ',%')
             ORDER BY f.severity DESC, f.time DESC, f.n DESC LIMIT $2",
        )
        .bind(incident)
        .bind(i64::try_from(most).unwrap_or(i64::MAX))
        .bind(seen.as_deref())
        .fetch_all(self.store.reader())
        .await
        .map_err(query(failed))?;
        let findings: Vec<FindingView> = rows.into_iter().map(FindingView::from_row).collect();
        let shown = i64::try_from(findings.len()).unwrap_or(i64::MAX);
        Ok((findings, u64::try_from(total.saturating_sub(shown)).unwrap_or_default()))
    }

    /// Indicators of an incident or of its children, at most so many.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn export_indicators(
        &self,
        incident: &str,
        most: usize,
    ) -> Result<Vec<ExportIndicator>, StoreError> {
        let rows: Vec<(String, String, String, i64, i64)> = db::query_as(
            "SELECT kind, value, body, min(first_seen), max(last_seen) FROM indicators
             WHERE incident IN (SELECT id FROM incidents WHERE id = $1 OR parent = $1)
             AND (CAST($3 AS TEXT) IS NULL OR $3 LIKE '%,' || body || ',%')
             GROUP BY kind, value, body ORDER BY kind, value, body LIMIT $2",
        )
        .bind(incident)
        .bind(i64::try_from(most).unwrap_or(i64::MAX))
        .bind(self.scope.sql())
        .fetch_all(self.store.reader())
        .await
        .map_err(query("read the indicators of an incident"))?;
        let one = |(kind, value, body, first, last)| ExportIndicator {
            kind,
            value,
            body,
            first: from_stored(first),
            last: from_stored(last),
        };
        Ok(rows.into_iter().map(one).collect())
    }
}
