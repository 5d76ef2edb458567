//! Anchors: up to where the batches of a chain may be gone.

use std::collections::BTreeMap;

use aws_lc_rs::digest::{Context, SHA256};
use futures_util::TryStreamExt as _;
use sekimori_wire::id::Digest;
use sekimori_wire::time::Timestamp;
use serde_json::json;

use super::Kept;
use crate::audit::Entry;
use crate::clock::{from_stored, stored};
use crate::store::copy::hexadecimal;
use crate::store::db::{self, Conn, Target};
use crate::store::{Store, StoreError, audit, query};

/// Batches of one piece.
const PIECE: i64 = 300;
/// The action of the audit log's lines that name the anchors.
const ACTION: &str = "retention";

/// Up to where a chain's batches may be gone, and with which digest the rest goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Anchor {
    /// The last that may be gone.
    pub through: i64,
    /// Its digest.
    pub digest: Digest,
}

/// By agent, lane and epoch.
pub type Anchors = BTreeMap<(String, i64, i64), Anchor>;

/// Every anchor, and the SHA-256 over all of them.
async fn read(target: impl Into<Target<'_>>) -> Result<(Anchors, String), StoreError> {
    let failed = "read the anchors of the chains";
    let mut anchors = Anchors::new();
    let mut sha256 = Context::new(&SHA256);
    let mut rows = db::query_as::<(String, i64, i64, i64, Vec<u8>)>(
        "SELECT agent, lane, epoch, through, digest FROM chain_anchors",
    )
    .fetch(target);
    while let Some((agent, lane, epoch, through, digest)) = rows.try_next().await.map_err(query(failed))? {
        let digest = Digest::from_bytes(&digest).unwrap_or(Digest::ZERO);
        anchors.insert((agent, lane, epoch), Anchor { through, digest });
    }
    for ((agent, lane, epoch), anchor) in &anchors {
        sha256.update(format!("{agent} {lane} {epoch} {} {}\n", anchor.through, anchor.digest).as_bytes());
    }
    Ok((anchors, hexadecimal(sha256.finish().as_ref())))
}

impl Store {
    /// The anchors of all chains; the inner error says that they are not those that the audit log names.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn anchors(&self) -> Result<Result<Anchors, String>, StoreError> {
        let mut tx = self.snapshot().await?;
        let (anchors, sha256) = read(&mut *tx).await?;
        let named: Option<String> =
            db::query_scalar("SELECT reason FROM audit WHERE action = $1 ORDER BY seq DESC LIMIT 1")
                .bind(ACTION)
                .fetch_optional(&mut *tx)
                .await
                .map_err(query("read the audit log"))?;
        let named = named.and_then(|reason| serde_json::from_str::<serde_json::Value>(&reason).ok());
        let is_named = named.as_ref().and_then(|reason| reason["anchors"].as_str()) == Some(sha256.as_str());
        if is_named || (anchors.is_empty() && named.is_none()) {
            Ok(Ok(anchors))
        } else {
            Ok(Err("where chains begin is not what the audit log says of it: batches were removed, or their anchors \
                    changed, and not by retention"
                .to_owned()))
        }
    }

    /// Drops the batches that came before, but for those behind findings.
    pub(super) async fn drop_batches(
        &self,
        before: Timestamp,
        now: Timestamp,
        kept: &mut Kept,
    ) -> Result<(), StoreError> {
        let (mut anchors, _) = read(self.reader()).await?;
        let moved = self.moved(&anchors, before).await?;
        if !moved.is_empty() {
            let mut tx = self.begin().await?;
            for ((agent, lane, epoch), anchor) in &moved {
                put(&mut tx, (agent, *lane, *epoch), anchor, now).await?;
            }
            anchors = name(&mut tx, json!({ "received_before": before, "chains": moved.len() }), now).await?;
            tx.commit().await?;
        }
        for ((agent, lane, epoch), anchor) in &anchors {
            self.drop_chain((agent, *lane, *epoch), anchor, kept).await?;
        }
        Ok(())
    }

    /// Chains of which more may go than went, with where they begin then.
    async fn moved(&self, anchors: &Anchors, before: Timestamp) -> Result<Anchors, StoreError> {
        let failed = "look for batches that are too old";
        let lanes: Vec<(String, i64)> = db::query_as("SELECT agent, lane FROM chains ORDER BY agent, lane")
            .fetch_all(self.reader())
            .await
            .map_err(query(failed))?;
        let mut moved = Anchors::new();
        for (agent, lane) in lanes {
            let mut epoch = i64::MIN;
            while let Some(next) = self.epoch_after(&agent, lane, epoch).await? {
                epoch = next;
                let key = (agent.clone(), lane, epoch);
                let gone = anchors.get(&key).map_or(0, |anchor| anchor.through);
                if let Some(anchor) = self.begins(&key, gone, before).await? {
                    moved.insert(key, anchor);
                }
            }
        }
        Ok(moved)
    }

    async fn epoch_after(&self, agent: &str, lane: i64, epoch: i64) -> Result<Option<i64>, StoreError> {
        db::query_scalar("SELECT min(epoch) FROM batches WHERE agent = $1 AND lane = $2 AND epoch > $3")
            .bind(agent)
            .bind(lane)
            .bind(epoch)
            .fetch_one(self.reader())
            .await
            .map_err(query("look for the epochs of a chain"))
    }

    /// Where a chain begins when everything that came before is gone; `None`: nothing more is.
    async fn begins(
        &self,
        (agent, lane, epoch): &(String, i64, i64),
        gone: i64,
        before: Timestamp,
    ) -> Result<Option<Anchor>, StoreError> {
        let failed = "look for the first batch that is kept";
        let ask = |sql: &'static str| {
            db::query_as::<(i64, Vec<u8>)>(sql).bind(agent.as_str()).bind(*lane).bind(*epoch)
        };
        let first = ask(
            "SELECT seq - 1, prev FROM batches WHERE agent = $1 AND lane = $2 AND epoch = $3 AND seq > $4
             AND received_at >= $5 ORDER BY seq LIMIT 1",
        )
        .bind(gone)
        .bind(stored(before))
        .fetch_optional(self.reader())
        .await
        .map_err(query(failed))?;
        let first = match first {
            Some(first) => Some(first),
            None => ask(
                "SELECT seq, digest FROM batches WHERE agent = $1 AND lane = $2 AND epoch = $3 ORDER BY seq DESC LIMIT 1",
            )
            .fetch_optional(self.reader())
            .await
            .map_err(query(failed))?,
        };
        let anchor = first.map(|(through, digest)| Anchor {
            through,
            digest: Digest::from_bytes(&digest).unwrap_or(Digest::ZERO),
        });
        Ok(anchor.filter(|anchor| anchor.through > gone))
    }

    /// Drops what lies before an anchor. What is behind a finding stays until that goes.
    async fn drop_chain(
        &self,
        (agent, lane, epoch): (&str, i64, i64),
        anchor: &Anchor,
        kept: &mut Kept,
    ) -> Result<(), StoreError> {
        const GONE: &str = "b.agent = $1 AND b.lane = $2 AND b.epoch = $3 AND b.seq > $4 AND b.seq <= $5
            AND NOT EXISTS (SELECT 1 FROM findings f WHERE f.agent = b.agent AND f.lane = b.lane AND f.epoch = b.epoch
                AND f.seq = b.seq)";
        let look = format!(
            "SELECT max(seq) FROM (SELECT b.seq FROM batches b WHERE {GONE} ORDER BY b.seq LIMIT $6) w"
        );
        let drop = format!("DELETE FROM batches AS b WHERE {GONE}");
        let mut at = i64::MIN;
        loop {
            let end: Option<i64> = db::query_scalar(db::AssertSqlSafe(look.clone()))
                .bind(agent)
                .bind(lane)
                .bind(epoch)
                .bind(at)
                .bind(anchor.through)
                .bind(PIECE)
                .fetch_one(self.reader())
                .await
                .map_err(query("look for batches that are too old"))?;
            let Some(end) = end else { return Ok(()) };
            let statement = db::query(db::AssertSqlSafe(drop.clone()))
                .bind(agent)
                .bind(lane)
                .bind(epoch)
                .bind(at)
                .bind(end);
            kept.add("batches", self.drop_piece("batches", statement).await?);
            at = end;
        }
    }

    /// When the oldest batch came that may still go.
    pub(super) async fn oldest_batch(&self) -> Result<Option<Timestamp>, StoreError> {
        let oldest: Option<i64> = db::query_scalar(
            "SELECT min((SELECT b.received_at FROM batches b WHERE b.agent = c.agent AND b.lane = c.lane
                AND b.epoch = c.epoch AND b.seq > coalesce((SELECT a.through FROM chain_anchors a
                    WHERE a.agent = c.agent AND a.lane = c.lane AND a.epoch = c.epoch), 0)
                ORDER BY b.seq LIMIT 1)) FROM chains c",
        )
        .fetch_one(self.reader())
        .await
        .map_err(query("look for the oldest batch"))?;
        Ok(oldest.map(from_stored))
    }
}

/// Names all anchors in the audit log.
async fn name(tx: &mut Conn, mut reason: serde_json::Value, now: Timestamp) -> Result<Anchors, StoreError> {
    let (anchors, sha256) = read(&mut *tx).await?;
    if let Some(fields) = reason.as_object_mut() {
        fields.insert("anchors".to_owned(), sha256.into());
    }
    let (actor, role, action) = ("collector".to_owned(), "system".to_owned(), ACTION.to_owned());
    let entry = Entry { at: now, actor, role, action, reason: reason.to_string(), ..Entry::default() };
    audit::append(tx, entry).await?;
    Ok(anchors)
}

/// The line that names the anchors is about to go with the beginning of the log: it is written again.
pub(super) async fn restate(tx: &mut Conn, through: i64, now: Timestamp) -> Result<(), StoreError> {
    let last: Option<i64> = db::query_scalar("SELECT max(seq) FROM audit WHERE action = $1")
        .bind(ACTION)
        .fetch_one(&mut *tx)
        .await
        .map_err(query("read the audit log"))?;
    if last.is_none_or(|last| last > through) {
        return Ok(());
    }
    name(tx, json!({ "again": last }), now).await.map(drop)
}

/// A chain goes on with this anchor, because what lay between was lost with a store that was restored from an older backup.
///
/// # Errors
/// If the store fails.
pub async fn set_back(
    tx: &mut Conn,
    chain: (&str, i64, i64),
    anchor: &Anchor,
    (had, now): (i64, Timestamp),
) -> Result<(), StoreError> {
    put(tx, chain, anchor, now).await?;
    let (agent, lane, epoch) = chain;
    let lost =
        json!({ "agent": agent, "lane": lane, "epoch": epoch, "after": had, "through": anchor.through });
    name(tx, json!({ "lost_by_restore": lost }), now).await.map(drop)
}

async fn put(
    tx: &mut Conn,
    (agent, lane, epoch): (&str, i64, i64),
    anchor: &Anchor,
    now: Timestamp,
) -> Result<(), StoreError> {
    db::query(
        "INSERT INTO chain_anchors (agent, lane, epoch, through, digest, at) VALUES ($1, $2, $3, $4, $5, $6)
         ON CONFLICT (agent, lane, epoch) DO UPDATE SET through = excluded.through, digest = excluded.digest,
            at = excluded.at",
    )
    .bind(agent)
    .bind(lane)
    .bind(epoch)
    .bind(anchor.through)
    .bind(anchor.digest.as_bytes().as_slice())
    .bind(stored(now))
    .execute(tx)
    .await
    .map(drop)
    .map_err(query("write the anchor of a chain"))
}
