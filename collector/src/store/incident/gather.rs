//! Many of a kind at once: what would open one more incident joins one that is there, and its history says why.

use std::time::Duration;

use serde_json::json;

use super::{Link, change};
use crate::clock::stored;
use crate::correlate::pattern::{Gathering, Many, Rules};
use crate::correlate::rule::IndicatorKind;
use crate::store::commit::Ledger;
use crate::store::db::{self, Conn};
use crate::store::{StoreError, query};

/// A storm that goes on for longer than this begins anew.
const STORM_MAX: Duration = Duration::from_secs(86_400);

/// The incident that gathers what this finding speaks of, and by which rule.
pub(super) async fn find(
    tx: &mut Conn,
    ledger: &mut Ledger,
    link: &Link<'_>,
) -> Result<Option<(String, String)>, StoreError> {
    for rule in Rules::in_force().gatherings() {
        let found = match rule.many() {
            Some(Many::Same(kind)) => same(tx, link, &rule, kind).await?,
            Some(Many::Incidents(least)) => storm(tx, ledger, link, &rule, least).await?,
            None => None,
        };
        if let Some(incident) = found {
            ledger.count("findings_gathered");
            return Ok(Some((incident, rule.id().to_owned())));
        }
    }
    Ok(None)
}

/// The oldest open incident of this kind with the same indicator.
async fn same(
    tx: &mut Conn,
    link: &Link<'_>,
    rule: &Gathering<'_>,
    kind: IndicatorKind,
) -> Result<Option<String>, StoreError> {
    for indicator in link.claim.indicators.iter().filter(|one| one.kind == kind) {
        let found: Option<String> = db::query_scalar(
            "SELECT i.id FROM indicators s JOIN incidents i ON i.id = s.incident
             WHERE s.kind = $1 AND s.value = $2 AND i.body = $3 AND i.category = $4 AND i.mode = $5 AND i.drill = 0
                AND i.state NOT IN ('closed', 'false_positive', 'merged')
                AND s.last_seen >= $6 AND s.first_seen <= $7
             ORDER BY i.first_evidence, i.id LIMIT 1",
        )
        .bind(kind.as_str())
        .bind(&indicator.value)
        .bind(link.origin.body.as_str())
        .bind(link.claim.category.as_str())
        .bind(link.origin.mode)
        .bind(stored(link.claim.time.minus(rule.window())))
        .bind(stored(link.claim.end.plus(rule.window())))
        .fetch_optional(&mut *tx)
        .await
        .map_err(query("look for the same elsewhere in a body"))?;
        if found.is_some() {
            return Ok(found);
        }
    }
    Ok(None)
}

/// Of many incidents of this kind at once the one that gathers the rest: the first of them, from then on.
async fn storm(
    tx: &mut Conn,
    ledger: &mut Ledger,
    link: &Link<'_>,
    rule: &Gathering<'_>,
    least: usize,
) -> Result<Option<String>, StoreError> {
    let near: Vec<(String, i64)> = db::query_as(
        "SELECT id, gathers FROM incidents
         WHERE body = $1 AND category = $2 AND mode = $3 AND drill = 0
            AND state NOT IN ('closed', 'false_positive', 'merged')
            AND first_evidence >= $4 AND first_evidence <= $5 AND last_evidence >= $6
         ORDER BY gathers DESC, first_evidence, id LIMIT $7",
    )
    .bind(link.origin.body.as_str())
    .bind(link.claim.category.as_str())
    .bind(link.origin.mode)
    .bind(stored(link.claim.time.minus(STORM_MAX)))
    .bind(stored(link.claim.end.plus(rule.window())))
    .bind(stored(link.claim.time.minus(rule.window())))
    .bind(i64::try_from(least).unwrap_or(i64::MAX))
    .fetch_all(&mut *tx)
    .await
    .map_err(query("look for a storm"))?;
    let Some((first, gathers)) = near.first() else { return Ok(None) };
    if *gathers != 0 {
        return Ok(Some(first.clone()));
    }
    if near.len() < least {
        return Ok(None);
    }
    begin(tx, ledger, link, rule, &near).await?;
    Ok(Some(first.clone()))
}

/// The first gathers from now on; the others are linked with it.
async fn begin(
    tx: &mut Conn,
    ledger: &mut Ledger,
    link: &Link<'_>,
    rule: &Gathering<'_>,
    near: &[(String, i64)],
) -> Result<(), StoreError> {
    let failed = "begin a storm";
    let Some(((first, _), others)) = near.split_first() else { return Ok(()) };
    let (ja, en) = rule.why();
    let what = json!({
        "rule": rule.id(),
        "why": { "ja": ja, "en": en },
        "inputs": {
            "category": link.claim.category.as_str(),
            "incidents": near.iter().map(|(id, _)| id).collect::<Vec<_>>(),
            "finding": link.finding.id,
        },
        "threshold": { "incidents": near.len(), "window_seconds": rule.window().as_secs() },
    });
    let (ja, en) = (link.claim.category.ja(), link.claim.category.en());
    db::query("UPDATE incidents SET gathers = 1, title_ja = $2, title_en = $3 WHERE id = $1")
        .bind(first)
        .bind(format!("多発: {ja}"))
        .bind(format!("Storm: {en}"))
        .execute(&mut *tx)
        .await
        .map_err(query(failed))?;
    ledger.count("storms");
    change(tx, ledger, first, "storm", &what).await?;
    for (other, _) in others {
        db::query(
            "INSERT INTO incident_links (one, other, rule, at, json) VALUES ($1, $2, $3, $4, $5)
             ON CONFLICT (one, other, rule) DO NOTHING",
        )
        .bind(first)
        .bind(other)
        .bind(rule.id())
        .bind(stored(ledger.now))
        .bind(what.to_string())
        .execute(&mut *tx)
        .await
        .map_err(query(failed))?;
        let mut named = what.clone();
        if let Some(fields) = named.as_object_mut() {
            fields.insert("with".to_owned(), first.as_str().into());
        }
        change(tx, ledger, other, "related", &named).await?;
    }
    Ok(())
}
