//! 予兆: findings that alone are too little for an incident are kept, and open one when they come again.

use serde_json::{Value, json};

use super::{Link, reason_of};
use crate::clock::{from_stored, stored};
use crate::incident::precursor::{Verdict, judge, rule};
use crate::store::db::{self, Conn};
use crate::store::{StoreError, query};

/// Earlier ones that are looked at; more than any rule asks for.
const BEFORE_MAX: i64 = 256;

/// Why an incident is opened for this finding; `None`: it stays a precursor, and is kept.
pub(super) async fn worth(tx: &mut Conn, link: &Link<'_>) -> Result<Option<Value>, StoreError> {
    let claim = link.claim;
    let within = rule(claim.category).within;
    let before: Vec<i64> = db::query_scalar(
        "SELECT time FROM precursors WHERE body = $1 AND category = $2 AND subject = $3
            AND time >= $4 AND time <= $5 AND finding <> $6 AND incident IS NULL LIMIT $7",
    )
    .bind(link.origin.body.as_str())
    .bind(claim.category.as_str())
    .bind(&claim.subject)
    .bind(stored(claim.time.minus(within)))
    .bind(stored(claim.time.plus(within)))
    .bind(link.finding.id.to_string())
    .bind(BEFORE_MAX)
    .fetch_all(&mut *tx)
    .await
    .map_err(query("look for precursors"))?;
    let before = before.into_iter().map(from_stored);
    match judge(claim.category, claim.severity, claim.time, before) {
        Verdict::Incident => Ok(Some(reason_of(link.finding))),
        Verdict::Precursor => keep(tx, link).await.map(|()| None),
        Verdict::Promoted { rule, times } => Ok(Some(json!({
            "rule": rule.id,
            "inputs": { "times": times, "subject": claim.subject, "category": claim.category.as_str() },
            "threshold": { "times": rule.times, "within_seconds": rule.within.as_secs() },
            "finding": link.finding.id,
            "community_ids": link.finding.evidence.community_ids,
        }))),
    }
}

async fn keep(tx: &mut Conn, link: &Link<'_>) -> Result<(), StoreError> {
    db::query(
        "INSERT INTO precursors (body, finding, category, subject, time) VALUES ($1, $2, $3, $4, $5)
         ON CONFLICT DO NOTHING",
    )
    .bind(link.origin.body.as_str())
    .bind(link.finding.id.to_string())
    .bind(link.claim.category.as_str())
    .bind(&link.claim.subject)
    .bind(stored(link.claim.time))
    .execute(tx)
    .await
    .map(drop)
    .map_err(query("keep a precursor"))
}

/// An incident was opened: the precursors that led to it are part of it.
pub(super) async fn join(tx: &mut Conn, link: &Link<'_>, incident: &str) -> Result<(), StoreError> {
    let failed = "promote precursors";
    let claim = link.claim;
    let within = rule(claim.category).within;
    let earlier: Vec<String> = db::query_scalar(
        "SELECT finding FROM precursors WHERE body = $1 AND category = $2 AND subject = $3
            AND time >= $4 AND time <= $5 AND incident IS NULL ORDER BY time LIMIT $6",
    )
    .bind(link.origin.body.as_str())
    .bind(claim.category.as_str())
    .bind(&claim.subject)
    .bind(stored(claim.time.minus(within)))
    .bind(stored(claim.time.plus(within)))
    .bind(BEFORE_MAX)
    .fetch_all(&mut *tx)
    .await
    .map_err(query(failed))?;
    for finding in &earlier {
        db::query("UPDATE precursors SET incident = $3 WHERE body = $1 AND finding = $2")
            .bind(link.origin.body.as_str())
            .bind(finding)
            .bind(incident)
            .execute(&mut *tx)
            .await
            .map_err(query(failed))?;
        let linked = db::query(
            "UPDATE findings SET incident = $3, link_json = $4 WHERE body = $1 AND id = $2 AND incident IS NULL",
        )
        .bind(link.origin.body.as_str())
        .bind(finding)
        .bind(incident)
        .bind(json!({ "rule": rule(claim.category).id, "how": "precursor" }).to_string())
        .execute(&mut *tx)
        .await
        .map_err(query(failed))?;
        if linked.rows_affected() > 0 {
            db::query(
                "UPDATE incidents SET findings = findings + 1,
                    first_evidence = (SELECT CASE WHEN f.time < incidents.first_evidence THEN f.time
                        ELSE incidents.first_evidence END FROM findings f WHERE f.body = $2 AND f.id = $3)
                 WHERE id = $1",
            )
            .bind(incident)
            .bind(link.origin.body.as_str())
            .bind(finding)
            .execute(&mut *tx)
            .await
            .map_err(query(failed))?;
        }
    }
    Ok(())
}
