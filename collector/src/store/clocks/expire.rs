//! What was observed for long enough without anything new closes by itself, below level 2.

use std::time::Duration;

use sekimori_wire::time::Timestamp;

use super::Clocks;
use crate::clock::stored;
use crate::incident::action::Action;
use crate::incident::transition::{Actor, Asked};
use crate::store::db;
use crate::store::{StoreError, query};

/// As long as the guard of the step asks for; it decides.
const OBSERVED: Duration = Duration::from_secs(7 * 86_400);
/// Incidents that one look closes.
const EXPIRED_MAX: i64 = 50;

impl Clocks {
    /// Closes them; tells how many. One that somebody touched meanwhile is refused, and looked at again later.
    pub(super) async fn expire(&self, now: Timestamp) -> Result<u64, StoreError> {
        // New evidence ends an observation, and whatever else people do counts as something new here.
        let quiet: Vec<(String, i64)> = db::query_as(
            "SELECT id, work_version FROM incidents WHERE state = 'observing' AND severity < 2 AND updated_at <= $1
             ORDER BY updated_at LIMIT $2",
        )
        .bind(stored(now.minus(OBSERVED)))
        .bind(EXPIRED_MAX)
        .fetch_all(self.store.reader())
        .await
        .map_err(query("look for what was observed long enough"))?;
        let mut closed = 0;
        for (id, version) in quiet {
            let asked = Asked { version, action: Action::Expire };
            if let crate::store::work::Acted::Done(_) =
                self.store.act(&id, &Actor::system(), &asked, now).await?
            {
                closed += 1;
            }
        }
        Ok(closed)
    }
}
