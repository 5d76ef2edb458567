//! Findings and endpoint alerts: the highest revision of each, linked to its incident.

use crate::store::db::{self, Conn};
use sekimori_wire::alert::{AlertClass, EndpointAlert};
use sekimori_wire::finding::Finding;

use super::commit::{Ledger, Origin, json_text};
use super::{StoreError, exception, incident, query};
use crate::clock::stored;
use crate::correlate::rule;
use crate::exceptions::ruling::{self, Ruling, Source, Whose};
use crate::query::address_key;

/// What is stored of a finding's earlier revision.
struct Earlier {
    n: i64,
    incident: Option<String>,
    excepted_by: Option<String>,
}

/// Stores a finding, or a later revision of one, and correlates it.
///
/// # Errors
/// If the store fails.
pub async fn store(
    tx: &mut Conn,
    ledger: &mut Ledger,
    origin: &Origin,
    mut finding: Finding,
    class: Option<AlertClass>,
) -> Result<(), StoreError> {
    if finding.body.is_some_and(|body| body != origin.body) {
        ledger.count("findings_of_other_body");
    }
    finding.body = Some(origin.body);
    let id = finding.id.to_string();
    tx.lock_feed().await?;
    let row =
        db::query("SELECT n, revision, incident, excepted_by FROM findings WHERE body = $1 AND id = $2")
            .bind(origin.body.as_str())
            .bind(&id)
            .fetch_optional(&mut *tx)
            .await
            .map_err(query("look up a finding"))?;
    let earlier = match row {
        None => None,
        Some(row) => {
            let read = query("look up a finding");
            if row.get::<i64>("revision").map_err(read)? >= i64::from(finding.revision) {
                ledger.count("findings_repeated");
                return Ok(());
            }
            Some(Earlier {
                n: row.get("n").map_err(query("look up a finding"))?,
                incident: row.get("incident").map_err(query("look up a finding"))?,
                excepted_by: row.get("excepted_by").map_err(query("look up a finding"))?,
            })
        }
    };
    let n = write(tx, origin, &finding, &id).await?;
    ledger.count(if earlier.is_some() { "findings_revised" } else { "findings_stored" });
    let (linked, before) = earlier.map_or((None, None), |earlier| {
        debug_assert_eq!(earlier.n, n, "an upsert keeps the row");
        (earlier.incident, earlier.excepted_by)
    });
    let ruling = ruling::rule(&ledger.judge, Whose { agent: &origin.agent, body: origin.body }, &finding);
    if ruling.note().is_some() || before.is_some() {
        exception::mark(tx, n, &ruling).await?;
    }
    count(ledger, &ruling, before.is_some());
    let claim = rule::claim(&finding, class);
    let link = incident::Link { origin, finding: &finding, n, claim: &claim, exception: ruling.note() };
    match (ruling.excepted(), linked) {
        (Some(_), Some(incident)) if before.is_none() => {
            incident::excepted(tx, ledger, &link, &incident).await
        }
        (Some(_), _) => Ok(()),
        (None, Some(incident)) => incident::grow(tx, ledger, &link, &incident).await,
        (None, None) => incident::join_or_open(tx, ledger, &link).await,
    }
}

fn count(ledger: &mut Ledger, ruling: &Ruling, was_excepted: bool) {
    match ruling.excepted() {
        Some((_, source)) => {
            ledger.count("findings_excepted");
            ledger.count(match source {
                Source::Collector => "findings_excepted_here",
                Source::Agent => "findings_excepted_unknown",
            });
        }
        None if was_excepted => ledger.count("findings_no_longer_excepted"),
        None => {}
    }
    match ruling {
        Ruling::Overruled { .. } => ledger.count("exceptions_overruled"),
        Ruling::Counts | Ruling::Excepted { .. } => {}
    }
}

async fn write(tx: &mut Conn, origin: &Origin, finding: &Finding, id: &str) -> Result<i64, StoreError> {
    db::query_scalar(
        "INSERT INTO findings (id, body, revision, time, \"end\", category, severity, originator, responder, json,
            agent, lane, epoch, seq, mode, originator_key, responder_key)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17)
         ON CONFLICT (body, id) DO UPDATE SET revision = excluded.revision, time = excluded.time,
            \"end\" = excluded.\"end\", category = excluded.category, severity = excluded.severity,
            originator = excluded.originator, responder = excluded.responder, json = excluded.json,
            agent = excluded.agent, lane = excluded.lane, epoch = excluded.epoch, seq = excluded.seq, mode = excluded.mode,
            originator_key = excluded.originator_key, responder_key = excluded.responder_key
         RETURNING n",
    )
    .bind(id)
    .bind(origin.body.as_str())
    .bind(finding.revision)
    .bind(stored(finding.time))
    .bind(stored(finding.end))
    .bind(finding.category.as_str())
    .bind(finding.severity.level())
    .bind(finding.originator.map(|host| host.to_string()))
    .bind(finding.responder.map(|host| host.to_string()))
    .bind(json_text(finding))
    .bind(&origin.agent)
    .bind(origin.lane.number())
    .bind(origin.epoch)
    .bind(origin.seq)
    .bind(origin.mode)
    .bind(finding.originator.map(address_key))
    .bind(finding.responder.map(address_key))
    .fetch_one(tx)
    .await
    .map_err(query("store a finding"))
}

/// Stores an endpoint alert; the same alert seen twice (sent to the agent and captured) is stored once.
///
/// # Errors
/// If the store fails.
pub async fn store_alert(tx: &mut Conn, origin: &Origin, alert: &EndpointAlert) -> Result<(), StoreError> {
    db::query(
        "INSERT INTO alerts (id, body, time, class, severity, host, json, agent, lane, epoch, seq, host_key)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12) ON CONFLICT (body, id) DO NOTHING",
    )
    .bind(alert.id.to_string())
    .bind(origin.body.as_str())
    .bind(stored(alert.time))
    .bind(alert.class.as_str())
    .bind(alert.severity.level())
    .bind(alert.host.map(|host| host.to_string()))
    .bind(json_text(alert))
    .bind(&origin.agent)
    .bind(origin.lane.number())
    .bind(origin.epoch)
    .bind(origin.seq)
    .bind(alert.host.map(address_key))
    .execute(tx)
    .await
    .map(drop)
    .map_err(query("store an alert"))
}
