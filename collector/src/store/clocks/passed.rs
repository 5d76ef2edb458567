//! Limits that ran out while what they are about is not done: told until it is, whatever rungs have fired meanwhile.

use std::collections::BTreeMap;

use sekimori_wire::time::Timestamp;

use super::case;
use crate::clock::from_stored;
use crate::handover::Limit;
use crate::store::db;
use crate::store::{Store, StoreError, query};
use crate::timing::timer::What;

/// Incidents that are looked at one by one; those that nobody took are counted all.
const LOOKED_AT: usize = 200;

/// How many.
///
/// # Errors
/// If the store fails.
pub async fn limits_passed(store: &Store) -> Result<i64, StoreError> {
    let failed = "count limits that ran out";
    let mut tx = store.snapshot().await?;
    let untaken: i64 = db::query_scalar(
        "SELECT count(*) FROM incidents i WHERE i.state = 'detected' AND i.drill = 0 AND i.mode <> 'replay'
         AND EXISTS (SELECT 1 FROM timers t WHERE t.incident = i.id AND t.what = 'ack' AND t.rung = 100
            AND t.fired_at IS NOT NULL AND NOT EXISTS (SELECT 1 FROM timers n WHERE n.incident = t.incident
                AND n.what = t.what AND n.since > t.since))",
    )
    .fetch_one(&mut *tx)
    .await
    .map_err(query(failed))?;
    let rows: Vec<(String, String, i64)> = db::query_as(
        "SELECT t.incident, t.what, t.since FROM timers t JOIN incidents i ON i.id = t.incident
         WHERE t.fired_at IS NOT NULL AND t.rung = 100 AND t.what NOT LIKE '%/%' AND t.what <> 'ack'
         AND i.state NOT IN ('closed', 'false_positive', 'merged') AND i.drill = 0 AND i.mode <> 'replay'
         ORDER BY i.severity DESC, t.incident LIMIT 2000",
    )
    .fetch_all(&mut *tx)
    .await
    .map_err(query(failed))?;
    let mut fired: BTreeMap<String, Vec<(String, i64)>> = BTreeMap::new();
    for (incident, what, since) in rows {
        if fired.len() < LOOKED_AT || fired.contains_key(&incident) {
            fired.entry(incident).or_default().push((what, since));
        }
    }
    let mut passed = untaken;
    for (incident, limits) in fired {
        let Some(watch) = case::peek(&mut tx, &incident).await? else { continue };
        let runs = |(what, since): &&(String, i64)| match what.parse::<What>() {
            Ok(What::Work(kind)) => watch.since(kind) == Some(from_stored(*since)),
            Ok(What::Duty(..)) | Err(_) => false,
        };
        passed += i64::try_from(limits.iter().filter(runs).count()).unwrap_or(i64::MAX);
    }
    Ok(passed)
}

/// Limits of one incident that run now, and those that ran out while what they are about is not done; the next first.
///
/// # Errors
/// If the store fails.
pub async fn limits_of(store: &Store, incident: &str, now: Timestamp) -> Result<Vec<Limit>, StoreError> {
    let mut tx = store.snapshot().await?;
    let Some(watch) = case::peek(&mut tx, incident).await? else { return Ok(Vec::new()) };
    let rows: Vec<(String, i64, i64)> = db::query_as(
        "SELECT what, since, due_at FROM timers WHERE incident = $1 AND rung = 100 AND what NOT LIKE '%/%'
         ORDER BY due_at, what",
    )
    .bind(incident)
    .fetch_all(&mut *tx)
    .await
    .map_err(query("read the limits of an incident"))?;
    let one = |(what, since, due): (String, i64, i64)| {
        let Ok(What::Work(kind)) = what.parse() else { return None };
        let runs = watch.since(kind) == Some(from_stored(since));
        let due_at = from_stored(due);
        runs.then_some(Limit { what: kind, due_at, passed: due_at <= now })
    };
    Ok(rows.into_iter().filter_map(one).collect())
}
