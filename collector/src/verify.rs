//! `verify`: every stored batch is whole, in order, and signed by the agent that it names, with the key that was valid for
//! its epoch.
//!
//! Nothing the store says is believed: signatures are checked over the stored bytes, digests are computed again, and
//! the head of each chain must be what the agent's row says. Where retention dropped the beginning of a chain, the rest must
//! continue its anchor, and the anchors must be those that the audit log names.

use std::collections::HashMap;

use crate::store::db::{self, Row};
use futures_util::TryStreamExt as _;
use sekimori_wire::envelope::Envelope;
use sekimori_wire::id::Digest;
use sekimori_wire::keyring::KeyRing;

use crate::fleet::keys;
use crate::store::retain::Anchors;
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
    lane: i64,
    epoch: i64,
    /// What came before it, and perhaps itself, may have been dropped by retention.
    anchor: i64,
    seq: i64,
    digest: Digest,
}

/// Verifies the whole store, in order, up to the first batch that is not good.
///
/// # Errors
/// If the store cannot be read.
pub async fn store(store: &Store) -> Result<Report, StoreError> {
    let agents = keys::all(store).await?;
    let mut report = Report::default();
    let mut chain = Chain::default();
    let anchors = match store.anchors().await? {
        Ok(anchors) => anchors,
        Err(bad) => {
            report.bad = Some(bad);
            return Ok(report);
        }
    };
    let mut rows = db::query(
        "SELECT agent, lane, epoch, seq, digest, envelope FROM batches ORDER BY agent, lane, epoch, seq",
    )
    .fetch(store.reader());
    while let Some(row) = rows.try_next().await.map_err(query("read a batch"))? {
        report.batches += 1;
        if let Err(bad) = follow(&mut chain, &row, (&agents, &anchors)).map_err(query("read a batch"))? {
            report.bad = Some(bad);
            return Ok(report);
        }
    }
    drop(rows);
    // What the heads say must be in the store: a chain cut at its end is seen only here.
    let cut = db::query(
        "SELECT c.agent, c.lane, c.epoch, c.through FROM chains c LEFT JOIN batches b
            ON b.agent = c.agent AND b.lane = c.lane AND b.epoch = c.epoch AND b.seq = c.through
         WHERE (b.digest IS NULL OR b.digest <> c.head)
            AND NOT EXISTS (SELECT 1 FROM chain_anchors a WHERE a.agent = c.agent AND a.lane = c.lane
                AND a.epoch = c.epoch AND a.through = c.through AND a.digest = c.head)
         ORDER BY c.agent, c.lane LIMIT 1",
    )
    .fetch_optional(store.reader())
    .await
    .map_err(query("read the heads of the chains"))?;
    if let Some(row) = cut {
        let name = |row: &Row| -> Result<_, db::Error> {
            let (agent, lane): (String, i64) = (row.get("agent")?, row.get("lane")?);
            let (epoch, seq): (i64, i64) = (row.get("epoch")?, row.get("through")?);
            Ok(format!(
                "agent {agent} lane {lane} epoch {epoch} batch {seq}: the end of the chain is missing"
            ))
        };
        report.bad = Some(name(&row).map_err(query("read the heads of the chains"))?);
    }
    Ok(report)
}

/// Checks one row against the chain so far. The inner error says what is wrong with it.
fn follow(
    chain: &mut Chain,
    row: &Row,
    (agents, anchors): (&HashMap<String, KeyRing>, &Anchors),
) -> Result<Result<(), String>, db::Error> {
    let agent: String = row.get("agent")?;
    let (lane, epoch, seq): (i64, i64, i64) = (row.get("lane")?, row.get("epoch")?, row.get("seq")?);
    if agent != chain.agent || lane != chain.lane || epoch != chain.epoch {
        let anchor = anchors.get(&(agent.clone(), lane, epoch));
        let (seq, digest) = anchor.map_or((0, Digest::ZERO), |anchor| (anchor.through, anchor.digest));
        *chain = Chain { agent: agent.clone(), lane, epoch, anchor: seq, seq, digest };
    }
    let bad = |why: &str| Ok(Err(format!("agent {agent} lane {lane} epoch {epoch} batch {seq}: {why}")));
    let Some(known) = agents.get(&agent) else { return bad("its agent is not known") };
    let verified = match check(row, known)? {
        Ok(verified) => verified,
        Err(why) => return bad(&why),
    };
    if (verified.lane, verified.epoch, verified.seq) != (lane, epoch, seq) {
        return bad("stored under another number than it was signed with");
    }
    // Before the anchor there are only batches that findings are in: each stands for itself.
    if seq < chain.anchor {
        return Ok(Ok(()));
    }
    if seq == chain.anchor {
        return if verified.digest == chain.digest {
            Ok(Ok(()))
        } else {
            bad("it is not the one that its anchor names")
        };
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
    lane: i64,
    epoch: i64,
    seq: i64,
    prev: Digest,
    digest: Digest,
}

fn check(row: &Row, keys: &KeyRing) -> Result<Result<Checked, String>, db::Error> {
    let bytes: Vec<u8> = row.get("envelope")?;
    let stored: Vec<u8> = row.get("digest")?;
    let verified = Envelope::from_bytes(&bytes)
        .map_err(|cause| cause.to_string())
        .and_then(|envelope| keys.verify(&envelope).map_err(|cause| cause.to_string()));
    Ok(verified.and_then(|batch| {
        let digest = batch.digest();
        if stored == digest.as_bytes() {
            let number = |number| i64::try_from(number).unwrap_or(i64::MAX);
            Ok(Checked {
                lane: batch.lane.number().into(),
                epoch: number(batch.epoch),
                seq: number(batch.seq),
                prev: batch.prev,
                digest,
            })
        } else {
            Err("its digest is not the one stored".to_owned())
        }
    }))
}

/// For each incident, whether every batch behind its findings (or its children's) still verifies.
///
/// # Errors
/// If the store cannot be read.
pub async fn incidents(store: &Store, ids: impl Iterator<Item = &str>) -> Result<Vec<bool>, StoreError> {
    let agents = keys::all(store).await?;
    let mut verified = Vec::new();
    for id in ids {
        verified.push(incident(store, &agents, id).await?);
    }
    Ok(verified)
}

async fn incident(store: &Store, agents: &HashMap<String, KeyRing>, id: &str) -> Result<bool, StoreError> {
    let mut rows = db::query(
        "SELECT DISTINCT f.agent, f.lane, f.epoch, f.seq, b.digest, b.envelope FROM findings f
         JOIN incidents i ON i.id = f.incident
         LEFT JOIN batches b ON b.agent = f.agent AND b.lane = f.lane AND b.epoch = f.epoch AND b.seq = f.seq
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

fn is_good(row: &Row, agents: &HashMap<String, KeyRing>) -> Result<bool, db::Error> {
    let place: (i64, i64, i64) = (row.get("lane")?, row.get("epoch")?, row.get("seq")?);
    // A finding whose batch is gone has nothing behind it.
    let there = row.get::<Option<Vec<u8>>>("envelope")?.is_some();
    let agent = agents.get(&row.get::<String>("agent")?).filter(|_| there);
    let Some(agent) = agent else { return Ok(false) };
    Ok(check(row, agent)?.is_ok_and(|checked| (checked.lane, checked.epoch, checked.seq) == place))
}
