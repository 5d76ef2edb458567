//! Incidents about certificates that end because nobody renews them.

use crate::store::db::{self, Conn};
use sekimori_wire::finding::Severity;
use sekimori_wire::id::BodyCode;
use sekimori_wire::time::Timestamp;
use serde_json::Value;

use super::{Opening, change, extend, open_incident};
use crate::correlate::rule::Claim;
use crate::incident::IncidentCategory;
use crate::store::commit::Ledger;
use crate::store::{StoreError, query};

/// Rule of incidents about certificates that end.
pub const CERTIFICATE_EXPIRING: &str = "certificate.expiring/1";

/// A certificate that ends and is not renewed.
#[derive(Clone, Copy, Debug)]
pub struct Ending<'a> {
    /// Whose agent; none: the collector's own.
    pub body: Option<&'a BodyCode>,
    /// An agent's identity, or what it is of the collector's own.
    pub subject: &'a str,
    /// For people.
    pub name: &'a str,
    /// The nearer the end, the higher.
    pub severity: Severity,
    /// The end.
    pub expires_at: Timestamp,
    /// Rule, inputs, threshold.
    pub reason: &'a Value,
}

/// A certificate came to a threshold: opens an incident about it, or raises the one that is open.
///
/// # Errors
/// If the store fails.
pub async fn certificate_expiring(
    tx: &mut Conn,
    ledger: &mut Ledger,
    ending: &Ending<'_>,
) -> Result<(), StoreError> {
    let open: Option<String> = db::query_scalar(
        "SELECT id FROM incidents WHERE subject = $1 AND json_extract(reason_json, '$.rule') = $2
            AND state NOT IN ('closed', 'false_positive', 'merged') ORDER BY opened_at DESC LIMIT 1",
    )
    .bind(ending.subject)
    .bind(CERTIFICATE_EXPIRING)
    .fetch_optional(&mut *tx)
    .await
    .map_err(query("look for an open incident"))?;
    if let Some(incident) = open {
        change(tx, ledger, &incident, "certificate", ending.reason).await?;
        let claim = Claim {
            category: IncidentCategory::SensorSilent,
            subject: ending.subject.to_owned(),
            severity: ending.severity,
            time: ledger.now,
            end: ledger.now,
            indicators: Vec::new(),
        };
        return extend(tx, ledger, &claim, &incident, 0).await.map(drop);
    }
    let (name, until) = (ending.name, ending.expires_at);
    let opening = Opening {
        body: ending.body,
        category: IncidentCategory::SensorSilent,
        subject: ending.subject,
        severity: ending.severity,
        first: ledger.now,
        last: ledger.now,
        mode: "live",
        title: (
            format!("証明書の期限切れが近い: {name} ({until} まで、更新されていない)"),
            format!("Certificate not renewed: that of {name} ends at {until}"),
        ),
        reason: ending.reason,
    };
    open_incident(tx, ledger, &opening).await.map(drop)
}
