//! What a decision changes beside the incident itself.

use sekimori_wire::finding::Severity;
use serde_json::json;

use super::{Seen, change, entry, granted, load, open, save_work};
use crate::audit::Entry;
use crate::clock::stored;
use crate::incident::facts::Work;
use crate::incident::transition::Effect;
use crate::store::audit::append;
use crate::store::db::{self, Conn};
use crate::store::{StoreError, query};

/// Writes what follows.
pub(super) async fn follow(tx: &mut Conn, seen: Seen<'_>, effect: &Effect) -> Result<(), StoreError> {
    match effect {
        Effect::Note(text) => note(tx, seen, text).await,
        Effect::MergedInto { into } => merged(tx, seen, into).await,
        Effect::Unmerged { from } => unmerged(tx, seen, from).await,
        Effect::Linked { other } => linked(tx, seen, other).await,
        Effect::Unlinked { other } => unlinked(tx, seen, other).await,
        Effect::SplitOff(findings) => open::split_off(tx, seen, findings).await,
        Effect::Granted(action) => granted::carry_out(tx, seen, action).await,
        Effect::Completed => completed(tx, seen).await,
        // Timers and notices read the history, which is written in the same transaction.
        Effect::Moved { .. }
        | Effect::Level { .. }
        | Effect::Assessed
        | Effect::Eta(_)
        | Effect::ControlActivated
        | Effect::Hurry
        | Effect::Tune(_)
        | Effect::Proposed(_) => Ok(()),
    }
}

async fn note(tx: &mut Conn, seen: Seen<'_>, text: &str) -> Result<(), StoreError> {
    db::query(
        "INSERT INTO incident_notes (incident, n, at, author, role, text)
         SELECT $1, coalesce(max(n), 0) + 1, $2, $3, $4, $5 FROM incident_notes WHERE incident = $1",
    )
    .bind(&seen.before.id)
    .bind(stored(seen.now))
    .bind(&seen.actor.name)
    .bind(seen.actor.role.as_str())
    .bind(text)
    .execute(tx)
    .await
    .map(drop)
    .map_err(query("write a note"))
}

/// The other incident takes over the level and the children.
async fn merged(tx: &mut Conn, seen: Seen<'_>, into: &str) -> Result<(), StoreError> {
    db::query("UPDATE incidents SET parent = $2, version = version + 1 WHERE parent = $1")
        .bind(&seen.before.id)
        .bind(into)
        .execute(&mut *tx)
        .await
        .map_err(query("move the children of an incident"))?;
    let source = seen.changes.facts.severity;
    touch(tx, seen, (into, "absorbed"), |work, level, _evidence, _stay| work.absorb(level, source)).await
}

/// The children come back, and the other one is as bad as it is without this one.
async fn unmerged(tx: &mut Conn, seen: Seen<'_>, from: &str) -> Result<(), StoreError> {
    for child in &seen.changes.facts.children {
        // A child that was moved somewhere else meanwhile stays there.
        db::query("UPDATE incidents SET parent = $2, version = version + 1 WHERE id = $1 AND parent = $3")
            .bind(child)
            .bind(&seen.before.id)
            .bind(from)
            .execute(&mut *tx)
            .await
            .map_err(query("move the children of an incident"))?;
    }
    touch(tx, seen, (from, "released"), |work, level, evidence, stay| work.release(level, stay, evidence))
        .await
}

/// What a person says has to do with each other.
const BY_HAND: &str = "by-hand/1";

async fn linked(tx: &mut Conn, seen: Seen<'_>, other: &str) -> Result<(), StoreError> {
    let reason = &seen.changes.line.reason;
    let what = json!({ "rule": BY_HAND, "why": { "ja": reason, "en": reason }, "actor": seen.actor.name });
    db::query(
        "INSERT INTO incident_links (one, other, rule, at, json) VALUES ($1, $2, $3, $4, $5)
         ON CONFLICT (one, other, rule) DO NOTHING",
    )
    .bind(&seen.before.id)
    .bind(other)
    .bind(BY_HAND)
    .bind(stored(seen.now))
    .bind(what.to_string())
    .execute(&mut *tx)
    .await
    .map_err(query("link two incidents"))?;
    beside(tx, seen, other, "related").await
}

/// Only what people linked: what a rule saw stays as it is.
async fn unlinked(tx: &mut Conn, seen: Seen<'_>, other: &str) -> Result<(), StoreError> {
    db::query(
        "DELETE FROM incident_links WHERE rule = $3 AND ((one = $1 AND other = $2) OR (one = $2 AND other = $1))",
    )
    .bind(&seen.before.id)
    .bind(other)
    .bind(BY_HAND)
    .execute(&mut *tx)
    .await
    .map_err(query("unlink two incidents"))?;
    beside(tx, seen, other, "unrelated").await
}

/// A line in the history of the other one.
async fn beside(tx: &mut Conn, seen: Seen<'_>, other: &str, kind: &str) -> Result<(), StoreError> {
    let what = json!({
        "actor": seen.actor.name, "role": seen.actor.role, "rule": BY_HAND, "with": seen.before.id,
    });
    change(tx, other, kind, &what, seen.now).await
}

/// Changes the other incident of a merge: its level by `level`, with a line in both histories.
async fn touch(
    tx: &mut Conn,
    seen: Seen<'_>,
    (id, how): (&str, &'static str),
    level: impl FnOnce(&mut Work, Severity, Severity, Option<Severity>) -> Severity + Send,
) -> Result<(), StoreError> {
    let Some(mut other) = load::facts(tx, id, None).await? else { return Ok(()) };
    let worst = |sql: &'static str| db::query_scalar::<Option<i64>>(sql).bind(id);
    let level_of =
        |level: Option<i64>| level.and_then(|level| u8::try_from(level).ok()).and_then(Severity::new);
    let failed = "read levels";
    // What rules asked for counts like evidence: undoing a merge does not undo it.
    let evidence = worst(
        "SELECT max(level) FROM (SELECT max(severity) AS level FROM findings WHERE incident = $1
         UNION ALL SELECT claimed FROM incidents WHERE id = $1) AS levels",
    )
    .fetch_one(&mut *tx)
    .await;
    let stay = worst("SELECT max(severity) FROM incidents WHERE merged_into = $1").fetch_one(&mut *tx).await;
    let evidence = level_of(evidence.map_err(query(failed))?).unwrap_or_default();
    let stay = level_of(stay.map_err(query(failed))?);
    let before = other.severity;
    other.severity = level(&mut other.work, before, evidence, stay);
    other.version = other.version.saturating_add(1);
    db::query(
        "UPDATE incidents SET severity = $2, work_version = $3, version = version + 1, updated_at = $4 WHERE id = $1",
    )
    .bind(id)
    .bind(i64::from(other.severity.level()))
    .bind(other.version)
    .bind(stored(seen.now))
    .execute(&mut *tx)
    .await
    .map_err(query("write the other incident"))?;
    save_work(tx, &other).await?;
    let what = json!({
        "actor": seen.actor.name, "role": seen.actor.role, "incident": seen.before.id,
        "severity_from": before, "severity_to": other.severity, "version": other.version,
    });
    change(tx, id, how, &what, seen.now).await?;
    let line = entry(seen.actor, &other, how, seen.now);
    append(tx, Entry { reason: seen.before.id.clone(), ..line }).await
}

/// The lesson can be found from now on.
async fn completed(tx: &mut Conn, seen: Seen<'_>) -> Result<(), StoreError> {
    let facts = &seen.changes.facts;
    let Some(review) = &facts.work.review else { return Ok(()) };
    let cause = review.cause.or_else(|| facts.work.triage.as_ref().and_then(|triage| triage.cause));
    db::query(
        "INSERT INTO lessons (incident, closed_at, category, body, subject, cause, root_cause, lesson)
         SELECT id, $2, category, body, subject, $3, $4, $5 FROM incidents WHERE id = $1
         ON CONFLICT (incident) DO UPDATE SET closed_at = excluded.closed_at, category = excluded.category,
            cause = excluded.cause, root_cause = excluded.root_cause, lesson = excluded.lesson",
    )
    .bind(&facts.id)
    .bind(stored(seen.now))
    .bind(cause.map(crate::incident::form::CauseClass::as_str))
    .bind(&review.root_cause)
    .bind(&review.lesson)
    .execute(tx)
    .await
    .map(drop)
    .map_err(query("keep a lesson"))
}
