//! What was seen of each host of a body, and what the rules of [`pattern`](crate::correlate::pattern) make of it, inside the transaction of the batch.

use std::collections::BTreeMap;

use sekimori_wire::time::Timestamp;
use serde_json::json;

use super::level::{self, Level};
use super::{Link, change, severity};
use crate::clock::{from_stored, stored};
use crate::correlate::pattern::{Rules, SEEN_MAX, Seen, Source, Verdict};
use crate::incident::{IncidentCategory, IncidentState};
use crate::store::commit::Ledger;
use crate::store::db::{self, Conn, Row};
use crate::store::{StoreError, query};

/// What a finding is, as something that was seen.
pub(super) fn seen(link: &Link<'_>, incident: Option<&str>) -> Seen {
    Seen {
        category: link.claim.category,
        source: link.claim.source,
        time: link.claim.end,
        severity: link.claim.severity,
        incident: incident.map(ToOwned::to_owned),
        state: IncidentState::Detected,
        contained: link.claim.contained,
    }
}

/// What the rules say of a finding that is about to be linked; each rule once, of the host of which it says the most.
pub(super) async fn judge(
    tx: &mut Conn,
    link: &Link<'_>,
    incident: Option<&str>,
) -> Result<Vec<Verdict>, StoreError> {
    let new = seen(link, incident);
    let mut verdicts: BTreeMap<(String, Option<String>), Verdict> = BTreeMap::new();
    for host in &link.claim.hosts {
        let history = history(tx, link, host).await?;
        for verdict in Rules::in_force().judge(&history, &new) {
            let says_more = |known: &Verdict| {
                (verdict.severity, verdict.join.is_some(), verdict.link.len())
                    > (known.severity, known.join.is_some(), known.link.len())
            };
            let key = (verdict.rule.clone(), verdict.pivot.clone());
            if verdicts.get(&key).is_none_or(says_more) {
                verdicts.insert(key, verdict);
            }
        }
    }
    Ok(verdicts.into_values().collect())
}

/// Writes down that a finding speaks of its hosts.
pub(super) async fn note(tx: &mut Conn, link: &Link<'_>, incident: Option<&str>) -> Result<(), StoreError> {
    for host in &link.claim.hosts {
        db::query(
            "INSERT INTO host_sightings (body, host, category, source, incident, first_seen, last_seen, severity, contained)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
             ON CONFLICT (body, host, category, source, incident) DO UPDATE SET
                first_seen = CASE WHEN host_sightings.first_seen > excluded.first_seen
                    THEN excluded.first_seen ELSE host_sightings.first_seen END,
                last_seen = CASE WHEN host_sightings.last_seen < excluded.last_seen
                    THEN excluded.last_seen ELSE host_sightings.last_seen END,
                severity = CASE WHEN host_sightings.severity < excluded.severity
                    THEN excluded.severity ELSE host_sightings.severity END,
                contained = CASE WHEN host_sightings.contained < excluded.contained
                    THEN excluded.contained ELSE host_sightings.contained END",
        )
        .bind(link.origin.body.as_str())
        .bind(host)
        .bind(link.claim.category.as_str())
        .bind(link.claim.source.as_str())
        .bind(incident.unwrap_or_default())
        .bind(stored(link.claim.time))
        .bind(stored(link.claim.end))
        .bind(i64::from(link.claim.severity.level()))
        .bind(i64::from(link.claim.contained))
        .execute(&mut *tx)
        .await
        .map_err(query("note what was seen of a host"))?;
    }
    Ok(())
}

/// Raises and links what the rules say, and writes down why. What was said before is not said again; of a finding that is
/// not `fresh`, no level that was asked for before, because a person may have lowered it since.
pub(super) async fn apply(
    tx: &mut Conn,
    ledger: &mut Ledger,
    (incident, fresh): (&str, bool),
    verdicts: &[Verdict],
) -> Result<(), StoreError> {
    for verdict in verdicts {
        let (ja, en) = &verdict.why;
        let what = json!({ "rule": verdict.rule, "why": { "ja": ja, "en": en }, "reason": verdict.reason });
        let target = verdict.pivot.as_deref().unwrap_or(incident);
        let level = Level { to: verdict.severity, fresh, why: Some(&what) };
        if level::raise(tx, ledger, target, &level).await? {
            ledger.count("incidents_raised_by_rule");
        }
        if verdict.link.is_empty() {
            continue;
        }
        let own = [incident].into_iter().filter(|own| !verdict.link.iter().any(|other| other == own));
        for other in verdict.link.iter().map(String::as_str).chain(own).filter(|other| *other != target) {
            relate(tx, ledger, (other, target), verdict, &what).await?;
        }
    }
    Ok(())
}

/// Writes into both that a rule puts them together.
async fn relate(
    tx: &mut Conn,
    ledger: &mut Ledger,
    (other, target): (&str, &str),
    verdict: &Verdict,
    what: &serde_json::Value,
) -> Result<(), StoreError> {
    let done = db::query(
        "INSERT INTO incident_links (one, other, rule, at, json) VALUES ($1, $2, $3, $4, $5)
         ON CONFLICT (one, other, rule) DO NOTHING",
    )
    .bind(other)
    .bind(target)
    .bind(&verdict.rule)
    .bind(stored(ledger.now))
    .bind(what.to_string())
    .execute(&mut *tx)
    .await
    .map_err(query("link two incidents"))?;
    if done.rows_affected() == 0 {
        return Ok(());
    }
    ledger.count("incidents_linked");
    let mut named = what.clone();
    for (one, with) in [(target, other), (other, target)] {
        if let Some(fields) = named.as_object_mut() {
            fields.insert("with".to_owned(), with.into());
        }
        change(tx, ledger, one, "related", &named).await?;
    }
    Ok(())
}

/// What was seen of a host within reach of the rules, newest first.
async fn history(tx: &mut Conn, link: &Link<'_>, host: &str) -> Result<Vec<Seen>, StoreError> {
    let reach = Rules::in_force().reach();
    let (start, end) = (link.claim.time, link.claim.end);
    let rows = db::query(
        // What was merged stands for the incident that it was merged into.
        "SELECT s.category, s.source, coalesce(t.id, s.incident) AS incident, s.first_seen, s.last_seen, s.severity,
            s.contained, coalesce(t.state, i.state) AS state
         FROM host_sightings s LEFT JOIN incidents i ON i.id = s.incident
            LEFT JOIN incidents t ON i.state = 'merged' AND t.id = i.merged_into
         WHERE s.body = $1 AND s.host = $2 AND s.last_seen >= $3 AND s.first_seen <= $4
         ORDER BY s.last_seen DESC, s.category, s.source, s.incident LIMIT $5",
    )
    .bind(link.origin.body.as_str())
    .bind(host)
    .bind(stored(start.minus(reach)))
    .bind(stored(end.plus(reach)))
    .bind(i64::try_from(SEEN_MAX).unwrap_or(i64::MAX))
    .fetch_all(&mut *tx)
    .await
    .map_err(query("read what was seen of a host"))?;
    let read = |row: &Row| -> Result<Option<Seen>, db::Error> {
        let (category, source): (String, String) = (row.get("category")?, row.get("source")?);
        let known = IncidentCategory::from_name(&category).zip(Source::from_name(&source));
        let Some((category, source)) = known else { return Ok(None) };
        let incident: String = row.get("incident")?;
        let state: Option<String> = row.get("state")?;
        let span = (from_stored(row.get("first_seen")?), from_stored(row.get("last_seen")?));
        Ok(Some(Seen {
            category,
            source,
            time: nearest(span, end),
            severity: severity(row.get("severity")?),
            incident: Some(incident).filter(|id| !id.is_empty()),
            state: state.and_then(|state| IncidentState::from_name(&state)).unwrap_or(IncidentState::Closed),
            contained: row.get::<i64>("contained")? > 0,
        }))
    };
    let seen: Result<Vec<Option<Seen>>, db::Error> = rows.iter().map(read).collect();
    Ok(seen.map_err(query("read what was seen of a host"))?.into_iter().flatten().collect())
}

/// Of a span of time the point that is nearest to another.
fn nearest((first, last): (Timestamp, Timestamp), to: Timestamp) -> Timestamp {
    to.max(first).min(last)
}

/// Endpoint alerts that nobody contained in time: their incidents get worse, once. Those that were asked to be as bad
/// before are not looked at again, so that however many there are, each has its turn.
///
/// # Errors
/// If the store fails.
pub async fn overdue(tx: &mut Conn, ledger: &mut Ledger) -> Result<(), StoreError> {
    let rules = Rules::in_force();
    let rows = db::query(
        "SELECT s.category, s.incident, s.last_seen, s.severity, i.state
         FROM host_sightings s JOIN incidents i ON i.id = s.incident
         WHERE s.source = $1 AND s.contained = 0 AND s.last_seen >= $2 AND s.last_seen <= $3
            AND i.state IN ('detected', 'received', 'triaged') AND i.claimed < $4
         ORDER BY s.last_seen, s.incident, s.host LIMIT $5",
    )
    .bind(Source::Endpoint.as_str())
    .bind(stored(ledger.now.minus(rules.reach())))
    .bind(stored(ledger.now.minus(rules.absence_after())))
    .bind(i64::from(rules.absence_level().level()))
    .bind(i64::try_from(SEEN_MAX).unwrap_or(i64::MAX))
    .fetch_all(&mut *tx)
    .await
    .map_err(query("look for what is not contained"))?;
    let read = |row: &Row| -> Result<Seen, db::Error> {
        let (category, state): (String, String) = (row.get("category")?, row.get("state")?);
        Ok(Seen {
            category: IncidentCategory::from_name(&category).unwrap_or(IncidentCategory::PolicyViolation),
            source: Source::Endpoint,
            time: from_stored(row.get("last_seen")?),
            severity: severity(row.get("severity")?),
            incident: row.get("incident")?,
            state: IncidentState::from_name(&state).unwrap_or(IncidentState::Closed),
            contained: false,
        })
    };
    let seen: Result<Vec<Seen>, db::Error> = rows.iter().map(read).collect();
    let seen = seen.map_err(query("look for what is not contained"))?;
    for (seen, verdict) in rules.overdue(&seen, ledger.now) {
        if let Some(incident) = &seen.incident {
            apply(tx, ledger, (incident, false), &[verdict]).await?;
        }
    }
    Ok(())
}

#[cfg(test)]
pub(in crate::store) mod tests;
