//! What rules put together with an incident, and why.

use serde_json::Value;

use super::DETAIL_ROWS;
use crate::auth::scope::Scope as Seen;
use crate::store::db;
use crate::store::seen::Seen as SeenStore;
use crate::store::{Store, StoreError, query};

/// An incident that a rule put beside another one.
#[derive(Clone, Debug, PartialEq)]
pub struct LinkView {
    /// Which.
    pub incident: String,
    /// By which rule.
    pub rule: String,
    /// Rule, words, inputs, threshold.
    pub json: Value,
}

impl Store {
    async fn links_in(&self, id: &str, seen: &Seen) -> Result<Vec<LinkView>, StoreError> {
        let rows: Vec<(String, String, String)> = db::query_as(
            "SELECT i.id, l.rule, l.json FROM incident_links l
             JOIN incidents i ON i.id = CASE WHEN l.one = $1 THEN l.other ELSE l.one END
             WHERE (l.one = $1 OR l.other = $1) AND (CAST($2 AS TEXT) IS NULL OR $2 LIKE '%,' || i.body || ',%')
             ORDER BY l.at DESC, i.id, l.rule LIMIT $3",
        )
        .bind(id)
        .bind(seen.sql())
        .bind(DETAIL_ROWS)
        .fetch_all(self.reader())
        .await
        .map_err(query("list what is linked with an incident"))?;
        let link = |(incident, rule, json): (String, String, String)| {
            let json = serde_json::from_str(&json).unwrap_or_default();
            LinkView { incident, rule, json: seen.redact(&json) }
        };
        Ok(rows.into_iter().map(link).collect())
    }
}

impl SeenStore<'_> {
    /// What rules put together with an incident, the newest first.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn links_of(&self, id: &str) -> Result<Vec<LinkView>, StoreError> {
        self.store.links_in(id, self.scope).await
    }
}
