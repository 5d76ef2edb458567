//! What is behind an incident, a page at a time.

use serde_json::Value;

use super::Seen;
use crate::clock::from_stored;
use crate::store::db;
use crate::store::view::{BatchName, ChangeView, FindingView, IncidentView};
use crate::store::{StoreError, query};

/// Where a finding stands among those of an incident: the newest first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FindingPlace {
    /// Nanoseconds.
    pub time: i64,
    /// Its name.
    pub id: String,
    /// Whose: a wide-area incident may hold the same from several.
    pub body: String,
}

#[derive(db::FromRow)]
struct Row {
    time: i64,
    id: String,
    body: String,
    json: String,
    link_json: Option<String>,
    exception_json: Option<String>,
    #[sqlx(flatten)]
    batch: BatchName,
}

impl Row {
    fn view(self) -> (FindingPlace, FindingView) {
        let batch = self.batch;
        let columns = (
            self.body.clone(),
            self.json,
            self.link_json,
            self.exception_json,
            batch.agent,
            batch.lane,
            batch.epoch,
            batch.seq,
        );
        let place = FindingPlace { time: self.time, id: self.id, body: self.body };
        (place, FindingView::from_row(columns))
    }
}

impl Seen<'_> {
    /// Findings of an incident or of its children, newest first, those that follow `after`.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn findings_page(
        &self,
        incident: &str,
        after: Option<&FindingPlace>,
        most: u32,
    ) -> Result<Vec<(FindingPlace, FindingView)>, StoreError> {
        let rows: Vec<Row> = db::query_as(
            "SELECT f.time, f.id, f.body, f.json, f.link_json, f.exception_json, f.agent, f.lane, f.epoch, f.seq
             FROM findings f WHERE f.incident IN (SELECT id FROM incidents WHERE id = $1 OR parent = $1)
             AND (CAST($2 AS TEXT) IS NULL OR $2 LIKE '%,' || f.body || ',%')
             AND (CAST($3 AS BIGINT) IS NULL OR f.time < $3 OR (f.time = $3 AND (f.id < $4 OR (f.id = $4 AND f.body < $5))))
             ORDER BY f.time DESC, f.id DESC, f.body DESC LIMIT $6",
        )
        .bind(incident)
        .bind(self.scope.sql())
        .bind(after.map(|after| after.time))
        .bind(after.map_or("", |after| after.id.as_str()))
        .bind(after.map_or("", |after| after.body.as_str()))
        .bind(i64::from(most))
        .fetch_all(self.store.reader())
        .await
        .map_err(query("list the findings of an incident"))?;
        let mut page: Vec<_> = rows.into_iter().map(Row::view).collect();
        for (_, finding) in &mut page {
            finding.link = self.scope.redact(&finding.link);
        }
        Ok(page)
    }

    /// The history of an incident that is seen, newest first: the lines before the one with number `before`, counted from
    /// the oldest; and the number of the last line that is given. That of a wide-area incident is everybody's.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn changes_page(
        &self,
        incident: &IncidentView,
        before: Option<i64>,
        most: u32,
    ) -> Result<(Vec<ChangeView>, i64), StoreError> {
        if !self.scope.covers_whole(incident.body.as_deref()) {
            return Ok((Vec::new(), 0));
        }
        let failed = "read the history of an incident";
        let all: i64 = db::query_scalar("SELECT count(*) FROM incident_changes WHERE incident = $1")
            .bind(&incident.id)
            .fetch_one(self.store.reader())
            .await
            .map_err(query(failed))?;
        let end = before.unwrap_or(all).clamp(0, all);
        let start = (end - i64::from(most)).max(0);
        let rows: Vec<(i64, String, String)> = db::query_as(
            "SELECT at, kind, json FROM incident_changes WHERE incident = $1 ORDER BY seq LIMIT $2 OFFSET $3",
        )
        .bind(&incident.id)
        .bind(end - start)
        .bind(start)
        .fetch_all(self.store.reader())
        .await
        .map_err(query(failed))?;
        let view = |(at, kind, json): (i64, String, String)| {
            let json: Value = serde_json::from_str(&json).unwrap_or_default();
            ChangeView { at: from_stored(at), kind, json: self.scope.redact(&json) }
        };
        Ok((rows.into_iter().rev().map(view).collect(), start))
    }
}
