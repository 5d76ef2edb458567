//! `verify`: every stored batch is whole, in order, and signed by the agent that it names.
//!
//! Nothing the store says is believed: signatures are checked over the stored bytes, digests are computed again, and
//! the head of each chain must be what the agent's row says.

use std::collections::HashMap;

use futures_util::TryStreamExt as _;
use sekimori_wire::envelope::{Envelope, VerifyingKey};
use sekimori_wire::id::Digest;
use sqlx::Row as _;
use sqlx::sqlite::SqliteRow;

use crate::store::{Store, StoreError, query};

/// What was found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Batches looked at.
    pub batches: u64,
    /// The first one that is not good, and why.
    pub bad: Option<String>,
}

/// The chain so far, while reading batches in order.
#[derive(Debug, Default)]
struct Chain {
    agent: String,
    epoch: i64,
    seq: i64,
    digest: Digest,
}

/// Verifies the whole store, in order, up to the first batch that is not good.
///
/// # Errors
/// If the store cannot be read.
pub async fn store(store: &Store) -> Result<Report, StoreError> {
    let agents = agents(store).await?;
    let mut report = Report::default();
    let mut chain = Chain::default();
    let mut rows =
        sqlx::query("SELECT agent, epoch, seq, digest, envelope FROM batches ORDER BY agent, epoch, seq")
            .fetch(store.reader());
    while let Some(row) = rows.try_next().await.map_err(query("read a batch"))? {
        report.batches += 1;
        if let Err(bad) = follow(&mut chain, &row, &agents).map_err(query("read a batch"))? {
            report.bad = Some(bad);
            return Ok(report);
        }
    }
    drop(rows);
    // What the rows of agents say must be in the store: a chain cut at its end is seen only here.
    for (id, agent) in &agents {
        let last: Option<Vec<u8>> =
            sqlx::query_scalar("SELECT digest FROM batches WHERE agent = $1 AND epoch = $2 AND seq = $3")
                .bind(id)
                .bind(agent.epoch)
                .bind(agent.through)
                .fetch_optional(store.reader())
                .await
                .map_err(query("read a batch"))?;
        if agent.through > 0 && (last.is_none() || last != agent.head) {
            report.bad = Some(format!(
                "agent {id} epoch {} batch {}: the end of the chain is missing",
                agent.epoch, agent.through
            ));
            return Ok(report);
        }
    }
    Ok(report)
}

/// Checks one row against the chain so far. The inner error says what is wrong with it.
fn follow(
    chain: &mut Chain,
    row: &SqliteRow,
    agents: &HashMap<String, Agent>,
) -> Result<Result<(), String>, sqlx::Error> {
    let agent: String = row.try_get("agent")?;
    let (epoch, seq): (i64, i64) = (row.try_get("epoch")?, row.try_get("seq")?);
    if agent != chain.agent || epoch != chain.epoch {
        *chain = Chain { agent: agent.clone(), epoch, ..Chain::default() };
    }
    let bad = |why: &str| Ok(Err(format!("agent {agent} epoch {epoch} batch {seq}: {why}")));
    let Some(known) = agents.get(&agent) else { return bad("its agent is not known") };
    let verified = match check(row, known)? {
        Ok(verified) => verified,
        Err(why) => return bad(&why),
    };
    if verified.seq != seq || verified.epoch != epoch {
        return bad("stored under another number than it was signed with");
    }
    if seq != chain.seq + 1 {
        return bad("the batch before it is missing");
    }
    if verified.prev != chain.digest {
        return bad("it does not follow the batch before it");
    }
    (chain.seq, chain.digest) = (seq, verified.digest);
    Ok(Ok(()))
}

struct Checked {
    epoch: i64,
    seq: i64,
    prev: Digest,
    digest: Digest,
}

fn check(row: &SqliteRow, agent: &Agent) -> Result<Result<Checked, String>, sqlx::Error> {
    let bytes: Vec<u8> = row.try_get("envelope")?;
    let stored: Vec<u8> = row.try_get("digest")?;
    let verified = Envelope::from_bytes(&bytes)
        .map_err(|cause| cause.to_string())
        .and_then(|envelope| envelope.verify(&agent.key).map_err(|cause| cause.to_string()));
    Ok(verified.and_then(|batch| {
        let digest = batch.digest();
        if stored == digest.as_bytes() {
            let number = |number| i64::try_from(number).unwrap_or(i64::MAX);
            Ok(Checked { epoch: number(batch.epoch), seq: number(batch.seq), prev: batch.prev, digest })
        } else {
            Err("its digest is not the one stored".to_owned())
        }
    }))
}

struct Agent {
    key: VerifyingKey,
    epoch: i64,
    through: i64,
    head: Option<Vec<u8>>,
}

async fn agents(store: &Store) -> Result<HashMap<String, Agent>, StoreError> {
    let rows = sqlx::query("SELECT id, signing_key, epoch, through, head FROM agents")
        .fetch_all(store.reader())
        .await
        .map_err(query("read the agents"))?;
    let agent = |row: &SqliteRow| -> Result<Option<(String, Agent)>, sqlx::Error> {
        let id: String = row.try_get("id")?;
        // A key that does not give the identity it is stored under proves nothing.
        let key = VerifyingKey::from_bytes(&row.try_get::<Vec<u8>, _>("signing_key")?)
            .filter(|key| key.id().to_string() == id);
        let (epoch, through, head) = (row.try_get("epoch")?, row.try_get("through")?, row.try_get("head")?);
        Ok(key.map(|key| (id, Agent { key, epoch, through, head })))
    };
    rows.iter()
        .filter_map(|row| agent(row).transpose())
        .collect::<Result<_, _>>()
        .map_err(query("read the agents"))
}

/// For each incident, whether every batch behind its findings (or its children's) still verifies.
///
/// # Errors
/// If the store cannot be read.
pub async fn incidents(store: &Store, ids: impl Iterator<Item = &str>) -> Result<Vec<bool>, StoreError> {
    let agents = agents(store).await?;
    let mut verified = Vec::new();
    for id in ids {
        verified.push(incident(store, &agents, id).await?);
    }
    Ok(verified)
}

async fn incident(store: &Store, agents: &HashMap<String, Agent>, id: &str) -> Result<bool, StoreError> {
    let mut rows = sqlx::query(
        "SELECT DISTINCT f.agent, f.epoch, f.seq, b.digest, b.envelope FROM findings f
         JOIN incidents i ON i.id = f.incident
         LEFT JOIN batches b ON b.agent = f.agent AND b.epoch = f.epoch AND b.seq = f.seq
         WHERE i.id = $1 OR i.parent = $1",
    )
    .bind(id)
    .fetch(store.reader());
    while let Some(row) = rows.try_next().await.map_err(query("read a batch"))? {
        if !is_good(&row, agents).map_err(query("read a batch"))? {
            return Ok(false);
        }
    }
    Ok(true)
}

fn is_good(row: &SqliteRow, agents: &HashMap<String, Agent>) -> Result<bool, sqlx::Error> {
    let (epoch, seq): (i64, i64) = (row.try_get("epoch")?, row.try_get("seq")?);
    // A finding whose batch is gone has nothing behind it.
    let there = row.try_get::<Option<Vec<u8>>, _>("envelope")?.is_some();
    let agent = agents.get(&row.try_get::<String, _>("agent")?).filter(|_| there);
    let Some(agent) = agent else { return Ok(false) };
    Ok(check(row, agent)?.is_ok_and(|checked| checked.epoch == epoch && checked.seq == seq))
}
