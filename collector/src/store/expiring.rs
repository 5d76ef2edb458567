//! Warnings of certificates that end because nobody renews them: agents', the server's, the CA's.
//!
//! An agent renews itself by two thirds of its certificate's life; one that has not by then is warned of at 30, 14 and 7 days
//! (of 90; in proportion for shorter lives) and when it is over, once each. A certificate with a new end starts anew.

use std::time::Duration;

use crate::store::db::{self, Conn, Row};
use sekimori_wire::finding::Severity;
use sekimori_wire::id::BodyCode;
use sekimori_wire::time::Timestamp;
use serde_json::json;

use super::commit::Ledger;
use super::incident::{self, Ending};
use super::{Store, StoreError, query};
use crate::clock::{from_stored, stored};

const DAY: Duration = Duration::from_secs(86_400);
/// Days before the end at which there is a warning; of several that are due, the last.
const THRESHOLDS: [u32; 4] = [30, 14, 7, 0];
/// The life that the thresholds are meant for; those of a shorter one are shorter.
const WHOLE_LIFE: Duration = Duration::from_secs(90 * 86_400);

/// A certificate that ends.
#[derive(Clone, Debug)]
struct Certificate {
    /// An agent's identity, or what it is of the collector's own.
    owner: String,
    /// Label.
    name: String,
    /// Whose agent; none: the collector's own.
    body: Option<BodyCode>,
    expires_at: Timestamp,
    life: Duration,
}

/// Raises an incident for whatever has come to a threshold since the last time. Says how many.
///
/// # Errors
/// If the store fails; nothing is raised then.
pub async fn warn(
    store: &Store,
    ledger: &mut Ledger,
    own: &[(&'static str, Timestamp)],
) -> Result<usize, StoreError> {
    let mut tx = store.begin_changing().await?;
    let mut all = agents(&mut tx).await?;
    all.extend(own.iter().map(|(what, expires_at)| Certificate {
        owner: (*what).to_owned(),
        name: (*what).to_owned(),
        body: None,
        expires_at: *expires_at,
        life: WHOLE_LIFE,
    }));
    let mut raised = 0;
    for certificate in &all {
        let Some(days) = threshold(certificate.expires_at, certificate.life, ledger.now) else { continue };
        if is_new(&mut tx, certificate, days, ledger.now).await? {
            raise(&mut tx, ledger, certificate, days).await?;
            raised += 1;
        }
    }
    super::writer::add_counters(&mut tx, ledger.counters.iter().map(|(name, count)| (*name, *count))).await?;
    let last: i64 = db::query_scalar("SELECT coalesce(max(seq), 0) FROM incident_changes")
        .fetch_one(&mut *tx)
        .await
        .map_err(query("read the last change"))?;
    tx.commit().await?;
    store.announce(last);
    Ok(raised)
}

/// The nearest threshold that has come. What renews itself in time never comes to one: agents renew before the first.
fn threshold(expires_at: Timestamp, life: Duration, now: Timestamp) -> Option<u32> {
    let left = expires_at.since(now);
    let scaled = |days: u32| life.min(WHOLE_LIFE) / 90 * days;
    THRESHOLDS.into_iter().rfind(|days| left <= scaled(*days)).filter(|days| *days > 0 || expires_at <= now)
}

async fn agents(tx: &mut Conn) -> Result<Vec<Certificate>, StoreError> {
    // A replay that has ended renews nothing and misses nothing.
    let rows = db::query(
        "SELECT g.id, g.name, g.body, g.cert_expires_at, coalesce(g.certified_at, g.enrolled_at) AS since FROM agents g
         WHERE g.revoked_at IS NULL AND NOT EXISTS
            (SELECT 1 FROM chains c WHERE c.agent = g.id AND c.lane = 0 AND c.mode = 'replay')",
    )
    .fetch_all(tx)
    .await
    .map_err(query("read the ends of certificates"))?;
    let certificate = |row: &Row| -> Result<Certificate, db::Error> {
        let expires_at = from_stored(row.get("cert_expires_at")?);
        Ok(Certificate {
            owner: row.get("id")?,
            name: row.get("name")?,
            body: row.get::<String>("body")?.parse().ok(),
            expires_at,
            life: expires_at.since(from_stored(row.get("since")?)),
        })
    };
    rows.iter().map(certificate).collect::<Result<_, _>>().map_err(query("read the ends of certificates"))
}

async fn is_new(
    tx: &mut Conn,
    certificate: &Certificate,
    days: u32,
    now: Timestamp,
) -> Result<bool, StoreError> {
    db::query(
        "INSERT INTO certificate_warnings (owner, expires_at, threshold_days, at) VALUES ($1, $2, $3, $4)
         ON CONFLICT DO NOTHING",
    )
    .bind(&certificate.owner)
    .bind(stored(certificate.expires_at))
    .bind(days)
    .bind(stored(now))
    .execute(tx)
    .await
    .map(|done| done.rows_affected() > 0)
    .map_err(query("note a warning"))
}

async fn raise(
    tx: &mut Conn,
    ledger: &mut Ledger,
    certificate: &Certificate,
    days: u32,
) -> Result<(), StoreError> {
    let left = certificate.expires_at.since(ledger.now);
    let reason = json!({
        "rule": incident::CERTIFICATE_EXPIRING,
        "formula": "a certificate that renews itself has more time left than this",
        "inputs": {
            "certificate_of": certificate.owner,
            "name": certificate.name,
            "expires_at": certificate.expires_at.to_string(),
            "days_left": left.as_secs() / DAY.as_secs(),
        },
        "threshold": { "days": days },
        "community_ids": [],
    });
    let ending = Ending {
        body: certificate.body.as_ref(),
        subject: &certificate.owner,
        name: &certificate.name,
        severity: if days <= 7 { Severity::HIGH } else { Severity::MEDIUM },
        expires_at: certificate.expires_at,
        reason: &reason,
    };
    incident::certificate_expiring(tx, ledger, &ending).await
}

#[cfg(test)]
mod tests;
