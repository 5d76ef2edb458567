//! Applies what correlation decides, inside the transaction of the batch, and writes down why.

use crate::store::db::{self, Conn, Row};
use sekimori_wire::finding::{Finding, Severity};
use sekimori_wire::id::BodyCode;
use sekimori_wire::time::Timestamp;
use serde_json::{Value, json};

use super::commit::{Ledger, Origin};
use super::{StoreError, query, work};
use crate::clock::{from_stored, stored};
use crate::correlate::pattern::Source;
use crate::correlate::rule::{Claim, Indicator};
use crate::correlate::wide::{self, Sighting, Wide};
use crate::correlate::window::{self, Open};
use crate::incident::{IncidentCategory, IncidentState, name_prefix};
use crate::ingest::registry::Registered;

mod ending;
mod gather;
pub mod hosts;
mod level;
mod precursor;
pub mod sensor;

use level::Level;

pub use ending::{CERTIFICATE_EXPIRING, Ending, certificate_expiring};

/// Incidents of one key that are looked at; nearer ones first.
const CANDIDATES_MAX: i64 = 16;
/// Incidents with the same indicator that are looked at.
const SIGHTINGS_MAX: i64 = 4096;
/// Same body, subject and category, and no long silence between.
const WINDOW_RULE: &str = "correlate.window/1";
/// An incident has at least this level; a finding below it opens one only when it comes again.
const OPENS_FROM: Severity = Severity::LOW;

/// A finding on its way into an incident.
#[derive(Clone, Copy, Debug)]
pub struct Link<'a> {
    /// Where it came from.
    pub origin: &'a Origin,
    /// The finding.
    pub finding: &'a Finding,
    /// Its row.
    pub n: i64,
    /// What it claims.
    pub claim: &'a Claim,
    /// What was ruled on an exception that it is under, or that its agent named.
    pub exception: Option<&'a Value>,
}

/// What a new incident starts with.
struct Opening<'a> {
    body: Option<&'a BodyCode>,
    category: IncidentCategory,
    subject: &'a str,
    severity: Severity,
    first: Timestamp,
    last: Timestamp,
    mode: &'a str,
    title: (String, String),
    reason: &'a Value,
}

/// Links a new finding to the open incident that it belongs to, or opens one.
///
/// # Errors
/// If the store fails.
pub async fn join_or_open(tx: &mut Conn, ledger: &mut Ledger, link: &Link<'_>) -> Result<(), StoreError> {
    let body = &link.origin.body;
    let open = candidates(tx, ledger, body, link.claim).await?;
    let gap = ledger.correlation.gap;
    let verdicts = hosts::judge(tx, link, None).await?;
    let by_rule = verdicts.iter().find_map(|verdict| Some((verdict.join.clone()?, verdict.rule.clone())));
    let own = verdicts.iter().filter(|verdict| verdict.pivot.is_none());
    let worst = own.map(|verdict| verdict.severity).max().unwrap_or_default();
    let near =
        window::choose(&open, link.claim, gap).map(|incident| (incident.id.clone(), WINDOW_RULE.to_owned()));
    let (incident, how, rule) = match near.or(by_rule) {
        Some((incident, rule)) => (incident, "joined", rule),
        None => {
            let reason = match precursor::worth(tx, link).await? {
                Some(reason) => reason,
                None if worst >= OPENS_FROM => reason_of(link.finding),
                None => return hosts::note(tx, link, None).await,
            };
            let gathered = gather::find(tx, ledger, link).await?;
            let (incident, how, rule) = match gathered {
                Some((incident, rule)) => (incident, "joined", rule),
                None => (open_for(tx, ledger, link, &reason).await?, "opened", WINDOW_RULE.to_owned()),
            };
            precursor::join(tx, link, &incident).await?;
            (incident, how, rule)
        }
    };
    let why = json!({
        "rule": rule,
        "how": how,
        "inputs": {
            "body": body,
            "subject": link.claim.subject,
            "category": link.claim.category.as_str(),
            "time": link.claim.time,
            "end": link.claim.end,
        },
        "threshold": { "gap_seconds": gap.as_secs() },
        "exception": link.exception,
    });
    db::query("UPDATE findings SET incident = $2, link_json = $3 WHERE n = $1")
        .bind(link.n)
        .bind(&incident)
        .bind(why.to_string())
        .execute(&mut *tx)
        .await
        .map_err(query("link a finding"))?;
    apply(tx, ledger, link, &incident, 1).await?;
    hosts::apply(tx, ledger, (&incident, true), &verdicts).await?;
    hosts::note(tx, link, Some(&incident)).await
}

/// Opens an incident for a finding that belongs to none.
async fn open_for(
    tx: &mut Conn,
    ledger: &mut Ledger,
    link: &Link<'_>,
    reason: &Value,
) -> Result<String, StoreError> {
    let opening = Opening {
        body: Some(&link.origin.body),
        category: link.claim.category,
        subject: &link.claim.subject,
        severity: link.claim.severity.max(OPENS_FROM),
        first: link.claim.time,
        last: link.claim.end,
        mode: link.origin.mode,
        title: title(link.claim.category, &link.claim.subject),
        reason,
    };
    open_incident(tx, ledger, &opening).await
}

/// A later revision of a finding that is linked already.
///
/// # Errors
/// If the store fails.
pub async fn grow(
    tx: &mut Conn,
    ledger: &mut Ledger,
    link: &Link<'_>,
    incident: &str,
) -> Result<(), StoreError> {
    apply(tx, ledger, link, incident, 0).await?;
    let verdicts = hosts::judge(tx, link, Some(incident)).await?;
    hosts::apply(tx, ledger, (incident, false), &verdicts).await?;
    hosts::note(tx, link, Some(incident)).await
}

/// A finding of the incident came under an exception: the incident stays as it is, and its history says so.
///
/// # Errors
/// If the store fails.
pub async fn excepted(
    tx: &mut Conn,
    ledger: &Ledger,
    link: &Link<'_>,
    incident: &str,
) -> Result<(), StoreError> {
    let what = json!({
        "finding": link.finding.id,
        "revision": link.finding.revision,
        "exception": link.exception,
    });
    change(tx, ledger, incident, "excepted", &what).await
}

/// An agent's chain forked: opens an incident about the agent, or keeps the one that is open.
///
/// # Errors
/// If the store fails.
pub async fn sensor_tampered(
    tx: &mut Conn,
    ledger: &mut Ledger,
    from: &Registered,
    reason: &Value,
) -> Result<(), StoreError> {
    tx.lock_feed().await?;
    let claim = Claim {
        category: IncidentCategory::SensorSilent,
        subject: from.agent.to_string(),
        severity: Severity::HIGH,
        time: ledger.now,
        end: ledger.now,
        indicators: Vec::new(),
        hosts: Vec::new(),
        source: Source::Network,
        contained: false,
    };
    let open = candidates(tx, ledger, &from.body, &claim).await?;
    if let Some(incident) = window::choose(&open, &claim, ledger.correlation.gap) {
        return extend(tx, ledger, &claim, &incident.id, 0).await.map(drop);
    }
    let name: String = db::query_scalar("SELECT name FROM agents WHERE id = $1")
        .bind(&claim.subject)
        .fetch_one(&mut *tx)
        .await
        .map_err(query("read an agent's name"))?;
    let opening = Opening {
        body: Some(&from.body),
        category: claim.category,
        subject: &claim.subject,
        severity: claim.severity,
        first: claim.time,
        last: claim.end,
        mode: "live",
        title: (
            format!("センサ改変の疑い: {name} の記録が分岐"),
            format!("Sensor tampering suspected: the records of {name} forked"),
        ),
        reason,
    };
    open_incident(tx, ledger, &opening).await.map(drop)
}

fn title(category: IncidentCategory, subject: &str) -> (String, String) {
    (format!("{}: {subject}", category.ja()), format!("{}: {subject}", category.en()))
}

/// Rule, inputs, threshold and sample flows of the finding that opened an incident.
fn reason_of(finding: &Finding) -> Value {
    json!({
        "rule": finding.evidence.rule,
        "formula": finding.evidence.formula,
        "inputs": finding.evidence.inputs,
        "threshold": finding.evidence.threshold,
        "baseline": finding.evidence.baseline,
        "community_ids": finding.evidence.community_ids,
        "finding": finding.id,
    })
}

async fn candidates(
    tx: &mut Conn,
    ledger: &Ledger,
    body: &BodyCode,
    claim: &Claim,
) -> Result<Vec<Open>, StoreError> {
    let gap = ledger.correlation.gap;
    let rows = db::query(
        // What was merged stands for the incident that it was merged into.
        "SELECT coalesce(t.id, i.id) AS id, i.first_evidence,
            CASE WHEN t.last_evidence > i.last_evidence THEN t.last_evidence ELSE i.last_evidence END AS last_evidence
         FROM incidents i LEFT JOIN incidents t ON i.state = 'merged' AND t.id = i.merged_into
            AND t.state NOT IN ('closed', 'false_positive', 'merged')
         WHERE i.body = $1 AND i.subject = $2 AND i.category = $3
            AND (i.state NOT IN ('closed', 'false_positive', 'merged') OR t.id IS NOT NULL)
            AND (i.last_evidence >= $4 OR t.last_evidence >= $4) AND i.first_evidence <= $5
         ORDER BY 3 DESC LIMIT $6",
    )
    .bind(body.as_str())
    .bind(&claim.subject)
    .bind(claim.category.as_str())
    .bind(stored(claim.time.minus(gap)))
    .bind(stored(claim.end.plus(gap)))
    .bind(CANDIDATES_MAX)
    .fetch_all(tx)
    .await
    .map_err(query("look for an open incident"))?;
    let open = |row: &Row| -> Result<Open, db::Error> {
        Ok(Open {
            id: row.get("id")?,
            first: from_stored(row.get("first_evidence")?),
            last: from_stored(row.get("last_evidence")?),
        })
    };
    rows.iter().map(open).collect::<Result<_, _>>().map_err(query("look for an open incident"))
}

async fn open_incident(
    tx: &mut Conn,
    ledger: &mut Ledger,
    opening: &Opening<'_>,
) -> Result<String, StoreError> {
    let prefix = name_prefix(opening.body, ledger.now);
    let number: i64 = db::query_scalar(
        "INSERT INTO incident_numbers (prefix, last) VALUES ($1, 1)
         ON CONFLICT (prefix) DO UPDATE SET last = incident_numbers.last + 1 RETURNING last",
    )
    .bind(&prefix)
    .fetch_one(&mut *tx)
    .await
    .map_err(query("number an incident"))?;
    let id = format!("{prefix}{number}");
    db::query(
        "INSERT INTO incidents (id, category, severity, state, body, subject, opened_at, updated_at,
            first_evidence, last_evidence, findings, mode, version, title_ja, title_en, reason_json, claimed)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $7, $8, $9, 0, $10, 1, $11, $12, $13, $3)",
    )
    .bind(&id)
    .bind(opening.category.as_str())
    .bind(opening.severity.level())
    .bind(IncidentState::Detected.as_str())
    .bind(opening.body.map(BodyCode::as_str))
    .bind(opening.subject)
    .bind(stored(ledger.now))
    .bind(stored(opening.first))
    .bind(stored(opening.last))
    .bind(opening.mode)
    .bind(&opening.title.0)
    .bind(&opening.title.1)
    .bind(opening.reason.to_string())
    .execute(&mut *tx)
    .await
    .map_err(query("open an incident"))?;
    ledger.count("incidents_opened");
    let what = json!({ "category": opening.category.as_str(), "severity": opening.severity });
    change(tx, ledger, &id, "opened", &what).await?;
    Ok(id)
}

/// Lets the incident (and its parent) know of the finding, and looks for the same indicator elsewhere.
async fn apply(
    tx: &mut Conn,
    ledger: &mut Ledger,
    link: &Link<'_>,
    incident: &str,
    added: i64,
) -> Result<(), StoreError> {
    let what = json!({ "finding": link.finding.id, "revision": link.finding.revision });
    change(tx, ledger, incident, if added > 0 { "finding" } else { "revised" }, &what).await?;
    let parent = extend(tx, ledger, link.claim, incident, added).await?;
    work::recur(tx, incident, &link.finding.id.to_string(), ledger.now).await?;
    for indicator in &link.claim.indicators {
        sighted(tx, link, incident, indicator).await?;
        relate(tx, ledger, link, indicator).await?;
    }
    match parent {
        Some(parent) => refresh_parent(tx, ledger, &parent).await,
        None => Ok(()),
    }
}

/// Widens an incident by a claim; it gets worse, never better. Returns its parent.
async fn extend(
    tx: &mut Conn,
    ledger: &Ledger,
    claim: &Claim,
    incident: &str,
    added: i64,
) -> Result<Option<String>, StoreError> {
    let parent = db::query_scalar(
        "UPDATE incidents SET
            first_evidence = CASE WHEN first_evidence > $2 THEN $2 ELSE first_evidence END,
            last_evidence = CASE WHEN last_evidence < $3 THEN $3 ELSE last_evidence END,
            findings = findings + $4, updated_at = $5, version = version + 1
         WHERE id = $1 RETURNING parent",
    )
    .bind(incident)
    .bind(stored(claim.time))
    .bind(stored(claim.end))
    .bind(added)
    .bind(stored(ledger.now))
    .fetch_one(&mut *tx)
    .await
    .map_err(query("extend an incident"))?;
    let level = Level { to: claim.severity, fresh: added > 0, why: None };
    level::raise(tx, ledger, incident, &level).await?;
    Ok(parent)
}

async fn sighted(
    tx: &mut Conn,
    link: &Link<'_>,
    incident: &str,
    indicator: &Indicator,
) -> Result<(), StoreError> {
    db::query(
        "INSERT INTO indicators (kind, value, incident, body, first_seen, last_seen)
         VALUES ($1, $2, $3, $4, $5, $6)
         ON CONFLICT (kind, value, incident) DO UPDATE SET
            first_seen = min(indicators.first_seen, excluded.first_seen),
            last_seen = max(indicators.last_seen, excluded.last_seen)",
    )
    .bind(indicator.kind.as_str())
    .bind(&indicator.value)
    .bind(incident)
    .bind(link.origin.body.as_str())
    .bind(stored(link.claim.time))
    .bind(stored(link.claim.end))
    .execute(tx)
    .await
    .map(drop)
    .map_err(query("note an indicator"))
}

/// Joins or opens the wide-area parent, if the indicator was seen in enough bodies.
async fn relate(
    tx: &mut Conn,
    ledger: &mut Ledger,
    link: &Link<'_>,
    indicator: &Indicator,
) -> Result<(), StoreError> {
    let sightings = sightings(tx, ledger, link.claim, indicator).await?;
    let Some(wide) = wide::judge(&sightings, ledger.correlation.wide_area_bodies) else { return Ok(()) };
    if wide.children.is_empty() {
        return Ok(());
    }
    let parent = match &wide.parent {
        Some(parent) => parent.clone(),
        None => open_parent(tx, ledger, link, indicator, &wide).await?,
    };
    for child in &wide.children {
        db::query("UPDATE incidents SET parent = $2, updated_at = $3, version = version + 1 WHERE id = $1")
            .bind(child)
            .bind(&parent)
            .bind(stored(ledger.now))
            .execute(&mut *tx)
            .await
            .map_err(query("link an incident to its parent"))?;
        let why = json!({
            "rule": "correlate.wide/1",
            "inputs": { "kind": indicator.kind.as_str(), "value": indicator.value, "bodies": wide.bodies },
            "threshold": wide_threshold(ledger),
            "parent": parent,
            "child": child,
        });
        change(tx, ledger, child, "linked", &why).await?;
        change(tx, ledger, &parent, "child", &why).await?;
    }
    refresh_parent(tx, ledger, &parent).await
}

fn wide_threshold(ledger: &Ledger) -> Value {
    json!({
        "bodies": ledger.correlation.wide_area_bodies,
        "window_seconds": ledger.correlation.wide_area_window.as_secs(),
    })
}

async fn open_parent(
    tx: &mut Conn,
    ledger: &mut Ledger,
    link: &Link<'_>,
    indicator: &Indicator,
    wide: &Wide,
) -> Result<String, StoreError> {
    let (ja, en) = indicator.kind.words();
    let (bodies, value) = (wide.bodies.len(), &indicator.value);
    let reason = json!({
        "rule": "correlate.wide/1",
        "formula": "the same attacking address, registered domain, JA4, certificate or file hash in distinct bodies within a window",
        "inputs": { "kind": indicator.kind.as_str(), "value": value, "bodies": wide.bodies },
        "threshold": wide_threshold(ledger),
        "community_ids": link.finding.evidence.community_ids,
        "finding": link.finding.id,
    });
    let opening = Opening {
        body: None,
        category: wide.category,
        subject: value,
        severity: wide.severity,
        first: link.claim.time,
        last: link.claim.end,
        mode: link.origin.mode,
        title: (
            format!("広域: {bodies} 団体で{ja} {value} ({})", wide.category.ja()),
            format!("Wide-area: {en} {value} in {bodies} bodies ({})", wide.category.en()),
        ),
        reason: &reason,
    };
    open_incident(tx, ledger, &opening).await
}

async fn sightings(
    tx: &mut Conn,
    ledger: &Ledger,
    claim: &Claim,
    indicator: &Indicator,
) -> Result<Vec<Sighting>, StoreError> {
    let window = ledger.correlation.wide_area_window;
    let rows = db::query(
        "SELECT s.incident, s.body, i.parent, i.severity, i.category
         FROM indicators s JOIN incidents i ON i.id = s.incident
         WHERE s.kind = $1 AND s.value = $2 AND s.last_seen >= $3 AND s.first_seen <= $4
            AND i.state NOT IN ('closed', 'false_positive', 'merged')
         ORDER BY s.last_seen DESC, s.incident LIMIT $5",
    )
    .bind(indicator.kind.as_str())
    .bind(&indicator.value)
    .bind(stored(claim.time.minus(window)))
    .bind(stored(claim.end.plus(window)))
    .bind(SIGHTINGS_MAX)
    .fetch_all(tx)
    .await
    .map_err(query("look for an indicator"))?;
    let sighting = |row: &Row| -> Result<Sighting, db::Error> {
        let category: String = row.get("category")?;
        Ok(Sighting {
            incident: row.get("incident")?,
            body: row.get("body")?,
            parent: row.get("parent")?,
            severity: severity(row.get("severity")?),
            category: IncidentCategory::from_name(&category).unwrap_or(IncidentCategory::PolicyViolation),
        })
    };
    rows.iter().map(sighting).collect::<Result<_, _>>().map_err(query("look for an indicator"))
}

/// A stored level; what is none counts as the lowest.
pub(super) fn severity(level: i64) -> Severity {
    u8::try_from(level).ok().and_then(Severity::new).unwrap_or_default()
}

/// A parent spans its children, counts their findings, and is one level worse than the worst of them.
async fn refresh_parent(tx: &mut Conn, ledger: &Ledger, parent: &str) -> Result<(), StoreError> {
    let row = db::query(
        "SELECT max(c.severity) AS worst, CAST(sum(c.findings) AS BIGINT) AS findings,
            min(c.first_evidence) AS first, max(c.last_evidence) AS last
         FROM incidents p JOIN incidents c ON c.parent = p.id WHERE p.id = $1 GROUP BY p.id",
    )
    .bind(parent)
    .fetch_optional(&mut *tx)
    .await
    .map_err(query("read a parent"))?;
    let Some(row) = row else { return Ok(()) };
    let number = |name: &str| row.get::<i64>(name).map_err(query("read a parent"));
    let worst = severity(number("worst")?);
    db::query(
        "UPDATE incidents SET findings = $2, first_evidence = $3, last_evidence = $4, updated_at = $5,
            version = version + 1 WHERE id = $1",
    )
    .bind(parent)
    .bind(number("findings")?)
    .bind(number("first")?)
    .bind(number("last")?)
    .bind(stored(ledger.now))
    .execute(&mut *tx)
    .await
    .map_err(query("refresh a parent"))?;
    let level = Level { to: worst.raised(), fresh: false, why: None };
    level::raise(tx, ledger, parent, &level).await.map(drop)
}

async fn change(
    tx: &mut Conn,
    ledger: &Ledger,
    incident: &str,
    kind: &str,
    what: &Value,
) -> Result<(), StoreError> {
    db::query("INSERT INTO incident_changes (at, incident, kind, json) VALUES ($1, $2, $3, $4)")
        .bind(stored(ledger.now))
        .bind(incident)
        .bind(kind)
        .bind(what.to_string())
        .execute(tx)
        .await
        .map(drop)
        .map_err(query("write a change down"))
}

#[cfg(test)]
mod tests;
