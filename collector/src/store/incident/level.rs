//! How bad an incident is, as rules and evidence ask for: they raise it and never lower it.
//!
//! `incidents.claimed` is the worst that its own evidence and the rules asked for so far, whatever people made of it. It
//! keeps a rule from saying the same again after a person lowered the level, and tells what an undone merge leaves behind.

use serde_json::{Value, json};

use super::change;
use crate::clock::stored;
use crate::store::commit::Ledger;
use crate::store::db::{self, Conn};
use crate::store::{StoreError, query};
use sekimori_wire::finding::Severity;

/// Merges that are followed from one to the next.
const MERGES_MAX: usize = 8;

/// What is asked for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Level<'a> {
    /// At least this.
    pub(super) to: Severity,
    /// New evidence says so, and not more of what was known.
    pub(super) fresh: bool,
    /// The rule, its words and inputs.
    pub(super) why: Option<&'a Value>,
}

/// Makes an incident at least so bad, with a line in its history; whether that changed anything. What was merged into
/// another one makes that one as bad.
pub(super) async fn raise(
    tx: &mut Conn,
    ledger: &Ledger,
    incident: &str,
    level: &Level<'_>,
) -> Result<bool, StoreError> {
    let failed = "raise an incident";
    let to = i64::from(level.to.level());
    let (before, claimed): (i64, i64) = db::query_as("SELECT severity, claimed FROM incidents WHERE id = $1")
        .bind(incident)
        .fetch_one(&mut *tx)
        .await
        .map_err(query("read an incident"))?;
    let raises = before < to && (level.fresh || claimed < to);
    if !raises && claimed >= to {
        return Ok(false);
    }
    let severity = if raises { to } else { before };
    write(tx, ledger, incident, (severity, claimed.max(to))).await?;
    if !raises {
        return Ok(false);
    }
    let mut what = level.why.cloned().unwrap_or_else(|| json!({}));
    if let Some(fields) = what.as_object_mut() {
        fields.insert("from".to_owned(), before.into());
        fields.insert("to".to_owned(), to.into());
    }
    change(tx, ledger, incident, "raised", &what).await?;
    pass_on(tx, ledger, (incident, to), failed).await?;
    Ok(true)
}

/// Whatever an incident was merged into is at least as bad.
async fn pass_on(
    tx: &mut Conn,
    ledger: &Ledger,
    (incident, to): (&str, i64),
    failed: &'static str,
) -> Result<(), StoreError> {
    let mut from = incident.to_owned();
    for _merge in 0..MERGES_MAX {
        let target: Option<(String, i64, i64)> = db::query_as(
            "SELECT t.id, t.severity, t.claimed FROM incidents i JOIN incidents t ON t.id = i.merged_into
             WHERE i.id = $1 AND i.state = 'merged'",
        )
        .bind(&from)
        .fetch_optional(&mut *tx)
        .await
        .map_err(query(failed))?;
        let Some((target, before, claimed)) = target else { return Ok(()) };
        if before < to {
            write(tx, ledger, &target, (to, claimed)).await?;
            let what = json!({ "rule": "correlate.merged/1", "merged": from, "from": before, "to": to });
            change(tx, ledger, &target, "raised", &what).await?;
        }
        from = target;
    }
    Ok(())
}

async fn write(
    tx: &mut Conn,
    ledger: &Ledger,
    incident: &str,
    (severity, claimed): (i64, i64),
) -> Result<(), StoreError> {
    db::query(
        "UPDATE incidents SET severity = $2, claimed = $3, updated_at = $4, version = version + 1 WHERE id = $1",
    )
    .bind(incident)
    .bind(severity)
    .bind(claimed)
    .bind(stored(ledger.now))
    .execute(tx)
    .await
    .map(drop)
    .map_err(query("raise an incident"))
}
