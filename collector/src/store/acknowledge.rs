//! Somebody takes an incident: `detected` → `received`.

use crate::store::db;
use sekimori_wire::time::Timestamp;

use super::{Store, StoreError, query};
use crate::auth::User;
use crate::clock::stored;
use crate::incident::IncidentState;

/// What became of an acknowledgement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Acknowledged {
    /// The incident is received now.
    Done,
    /// Somebody else changed it after this person looked.
    Conflict,
    /// There is no such incident.
    NotFound,
}

impl Store {
    /// Takes an incident that is still as the person saw it (`version`).
    ///
    /// # Errors
    /// If the store fails.
    pub async fn acknowledge(
        &self,
        incident: &str,
        version: i64,
        by: &User,
        now: Timestamp,
    ) -> Result<Acknowledged, StoreError> {
        let failed = "acknowledge an incident";
        let (from, to) = (IncidentState::Detected, IncidentState::Received);
        let mut transaction = self.begin_changing().await?;
        let updated = db::query(
            "UPDATE incidents SET state = $1, version = version + 1, updated_at = $2
             WHERE id = $3 AND version = $4 AND state = $5",
        )
        .bind(to.as_str())
        .bind(stored(now))
        .bind(incident)
        .bind(version)
        .bind(from.as_str())
        .execute(&mut *transaction)
        .await
        .map_err(query(failed))?;
        if updated.rows_affected() == 0 {
            let exists: bool = db::query_scalar("SELECT EXISTS (SELECT 1 FROM incidents WHERE id = $1)")
                .bind(incident)
                .fetch_one(&mut *transaction)
                .await
                .map_err(query(failed))?;
            return Ok(if exists { Acknowledged::Conflict } else { Acknowledged::NotFound });
        }
        let json = serde_json::json!({
            "actor": by.name, "role": by.role.as_str(), "from": from.as_str(), "to": to.as_str(),
            "version": version.saturating_add(1),
        });
        let change: i64 = db::query_scalar(
            "INSERT INTO incident_changes (at, incident, kind, json) VALUES ($1, $2, 'acknowledged', $3) RETURNING seq",
        )
        .bind(stored(now))
        .bind(incident)
        .bind(json.to_string())
        .fetch_one(&mut *transaction)
        .await
        .map_err(query(failed))?;
        transaction.commit().await?;
        self.announce(change);
        Ok(Acknowledged::Done)
    }
}
