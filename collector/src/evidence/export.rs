//! Writing a bundle from one consistent view of the store.

use std::io::{self, Write};

use crate::store::db::{self, Conn, Row};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use futures_util::TryStreamExt as _;
use sekimori_wire::envelope::SigningKey;
use sekimori_wire::time::Timestamp;
use serde_json::{Value, json};

use super::{FORMAT, Writer, hexadecimal};
use crate::clock::from_stored;
use crate::monthly::Report;
use crate::store::{Store, StoreError, query};

/// The incidents that a bundle is about: one and its children.
const ABOUT: &str = "SELECT id FROM incidents WHERE id = $1 OR parent = $1";

/// Why there is no bundle.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// Of what?
    #[error("there is no incident {0}")]
    NoIncident(String),
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Where it was to be written.
    #[error("cannot write the bundle")]
    Write(#[from] io::Error),
}

/// Everything that is stored of one incident and its children: the batches behind its findings, the findings, its history.
/// Gives back the number of lines.
///
/// # Errors
/// If there is no such incident, the store fails, or it cannot be written.
pub async fn incident(
    store: &Store,
    id: &str,
    key: &SigningKey,
    now: Timestamp,
    to: impl Write,
) -> Result<u64, ExportError> {
    let mut tx = store.snapshot().await?;
    let mut out = Writer::new(to, key);
    out.line(&header(now, &json!({ "incident": id })))?;
    let agents = format!("IN (SELECT f.agent FROM findings f WHERE f.incident IN ({ABOUT}))");
    copy(&mut tx, &mut out, &agents_where(&format!("g.id {agents}")), Some(id), agent_line).await?;
    copy(&mut tx, &mut out, &keys_where(&format!("agent {agents}")), Some(id), key_line).await?;
    let found = copy(
        &mut tx,
        &mut out,
        &format!("SELECT * FROM incidents WHERE id IN ({ABOUT}) ORDER BY id = $1 DESC, id"),
        Some(id),
        incident_line,
    )
    .await?;
    if found == 0 {
        return Err(ExportError::NoIncident(id.to_owned()));
    }
    let changes = format!("SELECT * FROM incident_changes WHERE incident IN ({ABOUT}) ORDER BY seq");
    copy(&mut tx, &mut out, &changes, Some(id), change_line).await?;
    let places = format!("SELECT agent, lane, epoch, seq FROM findings WHERE incident IN ({ABOUT})");
    copy(
        &mut tx,
        &mut out,
        &batches_where(&format!("(agent, lane, epoch, seq) IN ({places})")),
        Some(id),
        batch_line,
    )
    .await?;
    let findings = format!("SELECT * FROM findings WHERE incident IN ({ABOUT}) ORDER BY n");
    copy(&mut tx, &mut out, &findings, Some(id), finding_line).await?;
    Ok(out.seal()?)
}

/// Every batch of the store, or those of one agent, with the heads of their chains. Gives back the number of lines.
///
/// # Errors
/// If the store fails, or it cannot be written.
pub async fn store(
    store: &Store,
    agent: Option<&str>,
    key: &SigningKey,
    now: Timestamp,
    to: impl Write,
) -> Result<u64, ExportError> {
    let mut tx = store.snapshot().await?;
    let mut out = Writer::new(to, key);
    out.line(&header(now, &json!({ "store": { "agent": agent } })))?;
    copy(&mut tx, &mut out, &agents_where("$1 IS NULL OR g.id = $1"), agent, agent_line).await?;
    copy(&mut tx, &mut out, &keys_where("$1 IS NULL OR agent = $1"), agent, key_line).await?;
    let anchors = "SELECT * FROM chain_anchors WHERE $1 IS NULL OR agent = $1 ORDER BY agent, lane, epoch";
    copy(&mut tx, &mut out, anchors, agent, anchor_line).await?;
    copy(&mut tx, &mut out, &batches_where("$1 IS NULL OR agent = $1"), agent, batch_line).await?;
    let heads = "SELECT * FROM chains WHERE $1 IS NULL OR agent = $1 ORDER BY agent, lane";
    copy(&mut tx, &mut out, heads, agent, head_line).await?;
    Ok(out.seal()?)
}

/// A monthly report, sealed. Gives back the number of lines.
///
/// # Errors
/// If it cannot be written.
pub fn report(report: &Report, key: &SigningKey, to: impl Write) -> io::Result<u64> {
    let mut out = Writer::new(to, key);
    out.line(&header(report.made_at, &json!({ "report": { "month": report.month, "body": report.body } })))?;
    out.line(&json!({ "type": "report", "report": report }))?;
    out.seal()
}

fn header(now: Timestamp, of: &Value) -> Value {
    json!({
        "type": "bundle", "format": FORMAT, "made_at": now, "made_by": env!("CARGO_PKG_VERSION"), "of": of,
    })
}

fn agents_where(condition: &str) -> String {
    format!(
        "SELECT g.id, g.name, g.body, b.name AS body_name, g.signing_key, g.enrolled_at, g.revoked_at
         FROM agents g JOIN bodies b ON b.code = g.body WHERE {condition} ORDER BY g.id"
    )
}

/// The later keys of agents, each vouched for by the one before it.
fn keys_where(condition: &str) -> String {
    format!("SELECT * FROM agent_keys WHERE {condition} ORDER BY agent, from_epoch")
}

fn batches_where(condition: &str) -> String {
    format!("SELECT * FROM batches WHERE {condition} ORDER BY agent, lane, epoch, seq")
}

/// Writes a line for each row, as they come. How many there were.
async fn copy<W: Write>(
    tx: &mut Conn,
    out: &mut Writer<'_, W>,
    sql: &str,
    argument: Option<&str>,
    line: fn(&Row) -> Result<Value, db::Error>,
) -> Result<u64, ExportError> {
    let failed = "read what is exported";
    // The texts are ours alone; what varies is bound.
    let mut rows = db::query(db::AssertSqlSafe(sql.to_owned())).bind(argument).fetch(tx);
    let mut count = 0;
    while let Some(row) = rows.try_next().await.map_err(query(failed))? {
        out.line(&line(&row).map_err(query(failed))?)?;
        count += 1;
    }
    Ok(count)
}

fn agent_line(row: &Row) -> Result<Value, db::Error> {
    Ok(json!({
        "type": "agent",
        "id": row.get::<String>("id")?,
        "name": row.get::<String>("name")?,
        "body": row.get::<String>("body")?,
        "body_name": row.get::<String>("body_name")?,
        "key": URL_SAFE_NO_PAD.encode(row.get::<Vec<u8>>("signing_key")?),
        "enrolled_at": from_stored(row.get("enrolled_at")?),
        "revoked_at": row.get::<Option<i64>>("revoked_at")?.map(from_stored),
    }))
}

fn key_line(row: &Row) -> Result<Value, db::Error> {
    Ok(json!({
        "type": "key",
        "agent": row.get::<String>("agent")?,
        "from_epoch": row.get::<i64>("from_epoch")?,
        "key": URL_SAFE_NO_PAD.encode(row.get::<Vec<u8>>("key")?),
        "voucher": URL_SAFE_NO_PAD.encode(row.get::<Vec<u8>>("voucher")?),
    }))
}

fn incident_line(row: &Row) -> Result<Value, db::Error> {
    Ok(json!({
        "type": "incident",
        "id": row.get::<String>("id")?,
        "parent": row.get::<Option<String>>("parent")?,
        "category": row.get::<String>("category")?,
        "severity": row.get::<i64>("severity")?,
        "state": row.get::<String>("state")?,
        "body": row.get::<Option<String>>("body")?,
        "subject": row.get::<String>("subject")?,
        "opened_at": from_stored(row.get("opened_at")?),
        "updated_at": from_stored(row.get("updated_at")?),
        "title": { "ja": row.get::<String>("title_ja")?, "en": row.get::<String>("title_en")? },
        "reason": value(&row.get::<String>("reason_json")?),
    }))
}

fn change_line(row: &Row) -> Result<Value, db::Error> {
    Ok(json!({
        "type": "change",
        "incident": row.get::<String>("incident")?,
        "at": from_stored(row.get("at")?),
        "kind": row.get::<String>("kind")?,
        "details": value(&row.get::<String>("json")?),
    }))
}

fn batch_line(row: &Row) -> Result<Value, db::Error> {
    let mut line = place("batch", row)?;
    line.insert("seq".to_owned(), row.get::<i64>("seq")?.into());
    line.insert("received_at".to_owned(), json!(from_stored(row.get("received_at")?)));
    line.insert("envelope".to_owned(), STANDARD.encode(row.get::<Vec<u8>>("envelope")?).into());
    Ok(line.into())
}

fn finding_line(row: &Row) -> Result<Value, db::Error> {
    let mut line = place("finding", row)?;
    line.insert("seq".to_owned(), row.get::<i64>("seq")?.into());
    line.insert("incident".to_owned(), row.get::<Option<String>>("incident")?.into());
    line.insert("finding".to_owned(), value(&row.get::<String>("json")?));
    Ok(line.into())
}

fn anchor_line(row: &Row) -> Result<Value, db::Error> {
    let mut line = place("anchor", row)?;
    line.insert("through".to_owned(), row.get::<i64>("through")?.into());
    line.insert("digest".to_owned(), hexadecimal(&row.get::<Vec<u8>>("digest")?).into());
    Ok(line.into())
}

fn head_line(row: &Row) -> Result<Value, db::Error> {
    let mut line = place("head", row)?;
    line.insert("through".to_owned(), row.get::<i64>("through")?.into());
    line.insert("digest".to_owned(), hexadecimal(&row.get::<Vec<u8>>("head")?).into());
    Ok(line.into())
}

/// Which chain a line is about.
fn place(kind: &str, row: &Row) -> Result<serde_json::Map<String, Value>, db::Error> {
    let mut line = serde_json::Map::new();
    line.insert("type".to_owned(), kind.into());
    line.insert("agent".to_owned(), row.get::<String>("agent")?.into());
    line.insert("lane".to_owned(), row.get::<i64>("lane")?.into());
    line.insert("epoch".to_owned(), row.get::<i64>("epoch")?.into());
    Ok(line)
}

fn value(json: &str) -> Value {
    serde_json::from_str(json).unwrap_or(Value::Null)
}
