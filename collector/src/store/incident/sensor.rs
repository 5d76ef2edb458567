//! Incidents about a sensor that is silent or does not see well: at most one of each kind open for an agent.

use crate::store::db::{self, Conn};
use sekimori_wire::finding::Severity;
use sekimori_wire::id::BodyCode;
use sekimori_wire::time::Timestamp;
use serde_json::{Value, json};

use super::{Opening, change, extend, open_incident};
use crate::clock::stored;
use crate::correlate::rule::Claim;
use crate::fleet::watch::SILENT;
use crate::incident::IncidentCategory;
use crate::store::commit::Ledger;
use crate::store::{StoreError, query};

/// Whose sensor.
#[derive(Clone, Copy, Debug)]
pub struct Whose<'a> {
    /// Its identity.
    pub agent: &'a str,
    /// Its label.
    pub name: &'a str,
    /// 団体コード.
    pub body: &'a str,
}

/// What is wrong.
#[derive(Clone, Debug)]
pub struct Told {
    /// Which condition.
    pub condition: &'static str,
    /// In Japanese.
    pub ja: &'static str,
    /// In English.
    pub en: &'static str,
    /// How bad.
    pub severity: Severity,
    /// What was measured.
    pub inputs: Value,
    /// From where on it is bad.
    pub threshold: Value,
    /// Why there.
    pub why: &'static str,
}

impl Told {
    fn rule(&self) -> &'static str {
        if self.condition == SILENT { "sensor.silent/1" } else { "sensor.degraded/1" }
    }
}

/// Adds to the open incident of this kind about the agent, or opens one. Its name.
///
/// # Errors
/// If the store fails.
pub async fn tell(
    tx: &mut Conn,
    ledger: &mut Ledger,
    whose: &Whose<'_>,
    told: &Told,
    since: Timestamp,
) -> Result<String, StoreError> {
    let claim = Claim {
        category: IncidentCategory::SensorSilent,
        subject: whose.agent.to_owned(),
        severity: told.severity,
        time: since,
        end: ledger.now,
        indicators: Vec::new(),
    };
    let reason = json!({
        "rule": told.rule(),
        "formula": told.why,
        "inputs": { "agent": whose.agent, "name": whose.name, "condition": told.condition, "since": since, "measured": told.inputs },
        "threshold": told.threshold,
        "community_ids": [],
    });
    if let Some(incident) = open_one(tx, ledger, whose, told.rule()).await? {
        extend(tx, ledger, &claim, &incident, 0).await?;
        change(tx, ledger, &incident, "sensor_worse", &reason).await?;
        return Ok(incident);
    }
    let (name, ja, en) = (whose.name, told.ja, told.en);
    let title = if told.condition == SILENT {
        (format!("{ja}: {name}"), format!("{en}: {name}"))
    } else {
        (format!("センサ劣化: {name}({ja})"), format!("Sensor degraded: {name} ({en})"))
    };
    let body: Option<BodyCode> = whose.body.parse().ok();
    let opening = Opening {
        body: body.as_ref(),
        category: claim.category,
        subject: whose.agent,
        severity: told.severity,
        first: since,
        last: ledger.now,
        mode: "live",
        title,
        reason: &reason,
    };
    open_incident(tx, ledger, &opening).await
}

/// Writes into the incident that a condition is over. Closing it is for people.
///
/// # Errors
/// If the store fails.
pub async fn over(
    tx: &mut Conn,
    ledger: &Ledger,
    incident: &str,
    condition: &str,
    since: Timestamp,
    until: Timestamp,
) -> Result<(), StoreError> {
    db::query(
        "UPDATE incidents SET last_evidence = max(last_evidence, $2), updated_at = $2, version = version + 1
         WHERE id = $1",
    )
    .bind(incident)
    .bind(stored(until))
    .execute(&mut *tx)
    .await
    .map_err(query("note that a sensor is back"))?;
    let what = json!({
        "condition": condition, "since": since, "until": until, "seconds": until.since(since).as_secs(),
    });
    change(tx, ledger, incident, "sensor_back", &what).await
}

/// The open incident of this kind: one that still has a condition, or whose last one ended not long ago.
async fn open_one(
    tx: &mut Conn,
    ledger: &Ledger,
    whose: &Whose<'_>,
    rule: &str,
) -> Result<Option<String>, StoreError> {
    db::query_scalar(
        "SELECT i.id FROM incidents i
         WHERE i.body = $1 AND i.subject = $2 AND i.category = $3 AND json_extract(i.reason_json, '$.rule') = $4
            AND i.state NOT IN ('closed', 'false_positive', 'merged')
            AND (i.last_evidence >= $5 OR EXISTS (SELECT 1 FROM sensor_watch w WHERE w.incident = i.id))
         ORDER BY i.last_evidence DESC LIMIT 1",
    )
    .bind(whose.body)
    .bind(whose.agent)
    .bind(IncidentCategory::SensorSilent.as_str())
    .bind(rule)
    .bind(stored(ledger.now.minus(ledger.correlation.gap)))
    .fetch_optional(tx)
    .await
    .map_err(query("look for an incident about a sensor"))
}
