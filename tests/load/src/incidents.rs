//! From finding to incident: looks at the store beside the running collector, as a person's page would.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use sekimori_collector::store::{Store, db};
use sekimori_wire::id::FindingId;

use tokio::time::Instant;

use crate::figures::Board;

/// Between two looks: so much may be added to each time.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// New findings that no incident shows yet: since when, and of which step.
#[derive(Debug, Default)]
pub(crate) struct Awaited(Mutex<HashMap<FindingId, (Instant, usize)>>);

impl Awaited {
    pub(crate) fn add(&self, finding: FindingId, due: Instant, step: usize) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(finding, (due, step));
    }

    pub(crate) fn count(&self) -> usize {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    fn take(&self, finding: FindingId) -> Option<(Instant, usize)> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&finding)
    }
}

/// Looks until it is dropped. A store that cannot be read now is looked at again.
pub(crate) async fn follow(store: &Store, awaited: &Awaited, board: &Board) {
    let mut last = 0;
    loop {
        tokio::time::sleep(LOOK_EVERY).await;
        let rows = db::query("SELECT seq, kind, json FROM incident_changes WHERE seq > $1 ORDER BY seq")
            .bind(last)
            .fetch_all(store.reader())
            .await
            .unwrap_or_default();
        for row in rows {
            last = row.get("seq").unwrap_or(last);
            if row.get("kind").is_ok_and(|kind: &str| kind == "finding")
                && let Ok(json) = row.get::<&str>("json")
                && let Some(finding) = finding_of(json)
                && let Some((due, step)) = awaited.take(finding)
            {
                let took = due.elapsed();
                board.note(step, |figures| figures.incidents.add(took));
            }
        }
    }
}

fn finding_of(json: &str) -> Option<FindingId> {
    let value: serde_json::Value = serde_json::from_str(json).ok()?;
    value.get("finding")?.as_str()?.parse().ok()
}
