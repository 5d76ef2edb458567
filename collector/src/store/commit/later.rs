//! What the batches of a group come to, written together at its end: each statement is a turn to the database and back, and a group
//! has as many rows of one kind as it has batches.
//!
//! Nothing that a submission depends on is behind: who reads batches [settles](Later::settle) first. In the usual case, a batch
//! behind the head of its chain, nobody does.

use std::collections::{BTreeMap, BTreeSet};

use sekimori_wire::batch::{Batch, Lane};
use sekimori_wire::id::Digest;
use sekimori_wire::record::{FlowSummary, Summary};
use sekimori_wire::time::Timestamp;

use super::{Newest, Origin, flows, head_from, integer, json_text};
use crate::clock::stored;
use crate::ingest::Submission;
use crate::ingest::continuity::Head;
use crate::store::db::{Bulk, Conn, Kind, Value};
use crate::store::{StoreError, query};

static HEADS: Bulk<1> = Bulk::new(
    "SELECT c.agent, c.lane, c.epoch, c.through, c.head FROM ({rows}) AS r JOIN chains c ON c.agent = r.column1",
    [Kind::Text],
);
/// Batches of other epochs that were sealed at the same time.
static TOLD: Bulk<4> = Bulk::new(
    "SELECT DISTINCT b.agent, b.lane, b.sealed_at FROM ({rows}) AS r JOIN batches b
        ON b.agent = r.column1 AND b.lane = r.column2 AND b.sealed_at = r.column3 AND b.epoch <> r.column4",
    [Kind::Text, Kind::Int, Kind::Int, Kind::Int],
);
static BATCHES: Bulk<10> = Bulk::new(
    "INSERT INTO batches (agent, lane, epoch, seq, digest, prev, sealed_at, received_at, mode, envelope) {rows}",
    [
        Kind::Text,
        Kind::Int,
        Kind::Int,
        Kind::Int,
        Kind::Blob,
        Kind::Blob,
        Kind::Int,
        Kind::Int,
        Kind::Text,
        Kind::Blob,
    ],
);
static SUMMARIES: Bulk<9> = Bulk::new(
    "INSERT INTO summaries (body, agent, start, \"end\", packets, bytes, flows_ended, flows_omitted, json) {rows}",
    [Kind::Text, Kind::Text, Kind::Int, Kind::Int, Kind::Int, Kind::Int, Kind::Int, Kind::Int, Kind::Text],
);
static ADVANCE: Bulk<7> = Bulk::new(
    "INSERT INTO chains (agent, lane, epoch, through, head, sealed_at, mode) {rows}
     ON CONFLICT (agent, lane) DO UPDATE SET epoch = excluded.epoch, through = excluded.through,
        head = excluded.head, sealed_at = excluded.sealed_at, mode = excluded.mode",
    [Kind::Text, Kind::Int, Kind::Int, Kind::Int, Kind::Blob, Kind::Int, Kind::Text],
);
static SEEN: Bulk<4> = Bulk::new(
    "UPDATE agents SET last_seen = r.column2, version = coalesce(r.column3, agents.version),
        sealed_ahead = coalesce(r.column4, agents.sealed_ahead)
     FROM ({rows}) AS r WHERE agents.id = r.column1",
    [Kind::Text, Kind::Int, Kind::Text, Kind::Int],
);

/// So many flows are written before the end: what agents deliver after an outage would take up hundreds of megabytes.
const FLOWS_MAX: usize = 2_048;

/// An agent and one of its lanes.
type Key = (String, i64);

/// What a group has not written yet, and what was read of the store when it began.
#[derive(Debug)]
pub struct Later {
    /// The ends of the chains in force, moved on by what is stored.
    heads: BTreeMap<Key, Head>,
    /// Agent, lane and time of batches that another epoch's was sealed at too.
    told: BTreeSet<(String, i64, i64)>,
    /// Lanes of which batches were written since: `told` lacks them.
    settled: BTreeSet<Key>,
    batches: Vec<Sealed>,
    summaries: Vec<(Origin, Summary, Vec<FlowSummary>)>,
    advanced: BTreeMap<Key, (Head, Timestamp, &'static str)>,
    seen: BTreeMap<String, Option<(String, i64)>>,
}

/// A row of `batches`.
#[derive(Debug)]
pub(super) struct Sealed {
    origin: Origin,
    digest: Digest,
    prev: Digest,
    sealed_at: Timestamp,
    envelope: Vec<u8>,
}

impl Sealed {
    pub(super) const fn new(origin: Origin, batch: &Batch, digest: Digest, envelope: Vec<u8>) -> Self {
        Self { origin, digest, prev: batch.prev, sealed_at: batch.sealed_at, envelope }
    }
}

impl Later {
    /// Reads what the submissions of a group are judged by.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn begin(tx: &mut Conn, submissions: &[Submission]) -> Result<Self, StoreError> {
        let agents: BTreeSet<String> = submissions.iter().map(|one| one.from.agent.to_string()).collect();
        let rows = agents.into_iter().map(|agent| [agent.into()]).collect();
        let found: Vec<(String, i64, i64, i64, Vec<u8>)> =
            HEADS.fetch_all(tx, rows).await.map_err(query("read the heads of chains"))?;
        let head = |(agent, lane, epoch, through, digest): (_, _, _, _, Vec<u8>)| {
            ((agent, lane), head_from(epoch, through, &digest))
        };
        let heads = found.into_iter().map(head).collect();
        let batches = submissions.iter().flat_map(|one| &one.batches).map(|received| &received.batch);
        let rows = batches.map(|batch| {
            let (agent, lane) = (batch.agent.to_string(), batch.lane.number());
            [agent.into(), lane.into(), stored(batch.sealed_at).into(), integer(batch.epoch).into()]
        });
        let told: Vec<(String, i64, i64)> = TOLD
            .fetch_all(tx, rows.collect())
            .await
            .map_err(query("look for batches that were sealed again"))?;
        Ok(Self {
            heads,
            told: told.into_iter().collect(),
            settled: BTreeSet::new(),
            batches: Vec::new(),
            summaries: Vec::new(),
            advanced: BTreeMap::new(),
            seen: BTreeMap::new(),
        })
    }

    /// The end of the chain in force.
    pub(super) fn head(&self, agent: &str, lane: Lane) -> Head {
        self.heads.get(&key(agent, lane)).copied().unwrap_or_default()
    }

    /// Whether it is worth looking for the same batch in another epoch.
    pub(super) fn may_be_told(&self, batch: &Batch) -> bool {
        let key = key(&batch.agent.to_string(), batch.lane);
        self.settled.contains(&key) || self.told.contains(&(key.0, key.1, stored(batch.sealed_at)))
    }

    /// Stores a batch, behind the others of its chain.
    pub(super) fn batch(&mut self, batch: Sealed) {
        self.batches.push(batch);
    }

    /// Stores a summary and its flows.
    ///
    /// # Errors
    /// If the store fails.
    pub(super) async fn summary(
        &mut self,
        tx: &mut Conn,
        origin: &Origin,
        mut summary: Summary,
    ) -> Result<(), StoreError> {
        let flows = std::mem::take(&mut summary.flows);
        self.summaries.push((origin.clone(), summary, flows));
        let waiting: usize = self.summaries.iter().map(|(_, _, flows)| flows.len()).sum();
        if waiting < FLOWS_MAX { Ok(()) } else { self.write_summaries(tx).await }
    }

    async fn write_summaries(&mut self, tx: &mut Conn) -> Result<(), StoreError> {
        let rows = self.summaries.iter().map(|(origin, summary, _)| summary_row(origin, summary)).collect();
        SUMMARIES.execute(tx, rows).await.map_err(query("store summaries"))?;
        let of = self.summaries.iter().map(|(origin, _, flows)| (origin, flows.as_slice()));
        flows::store(tx, of).await?;
        self.summaries.clear();
        Ok(())
    }

    /// Moves the head behind what was stored.
    pub(super) fn advance(&mut self, (agent, lane): (&str, Lane), head: Head, newest: &Newest) {
        self.heads.insert(key(agent, lane), head);
        self.advanced.insert(key(agent, lane), (head, newest.sealed_at, newest.mode));
    }

    /// Notes that an agent was heard of, and how it is.
    pub(super) fn seen(&mut self, agent: &str, newest: Option<&Newest>, now: Timestamp) {
        let ahead = |newest: &Newest| stored(newest.sealed_at).saturating_sub(stored(now));
        let newest = newest.map(|newest| (newest.version.clone(), ahead(newest)));
        let seen = self.seen.entry(agent.to_owned()).or_default();
        *seen = newest.or_else(|| seen.take());
    }

    /// Writes everything that waits.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn settle(&mut self, tx: &mut Conn, now: Timestamp) -> Result<(), StoreError> {
        let rows = self.batches.iter().map(|one| row_of(one, now)).collect();
        BATCHES.execute(tx, rows).await.map_err(query("store batches"))?;
        self.settled.extend(self.batches.drain(..).map(|one| key(&one.origin.agent, one.origin.lane)));
        self.write_summaries(tx).await?;
        let rows = self.advanced.iter().map(|((agent, lane), (head, sealed_at, mode))| {
            let (epoch, through) = (integer(head.epoch).into(), integer(head.through).into());
            let digest = head.digest.as_bytes().as_slice().into();
            let sealed_at = stored(*sealed_at).into();
            [agent.into(), (*lane).into(), epoch, through, digest, sealed_at, (*mode).into()]
        });
        ADVANCE.execute(tx, rows.collect()).await.map_err(query("move the heads of chains"))?;
        self.advanced.clear();
        let rows = self.seen.iter().map(|(agent, newest)| {
            let (version, ahead) = newest.as_ref().map(|(version, ahead)| (version, *ahead)).unzip();
            [agent.into(), stored(now).into(), version.map(String::as_str).into(), ahead.into()]
        });
        SEEN.execute(tx, rows.collect()).await.map_err(query("note when agents were seen"))?;
        self.seen.clear();
        Ok(())
    }
}

fn key(agent: &str, lane: Lane) -> Key {
    (agent.to_owned(), lane.number().into())
}

fn row_of(one: &Sealed, now: Timestamp) -> [Value<'_>; 10] {
    [
        (&one.origin.agent).into(),
        one.origin.lane.number().into(),
        one.origin.epoch.into(),
        one.origin.seq.into(),
        one.digest.as_bytes().as_slice().into(),
        one.prev.as_bytes().as_slice().into(),
        stored(one.sealed_at).into(),
        stored(now).into(),
        one.origin.mode.into(),
        (&one.envelope).into(),
    ]
}

fn summary_row<'q>(origin: &'q Origin, summary: &Summary) -> [Value<'q>; 9] {
    [
        origin.body.as_str().into(),
        (&origin.agent).into(),
        stored(summary.start).into(),
        stored(summary.end).into(),
        integer(summary.packets).into(),
        integer(summary.bytes).into(),
        integer(summary.flows_ended).into(),
        integer(summary.flows_omitted).into(),
        json_text(summary).into(),
    ]
}
