//! One submission inside the transaction: continuity, evidence, findings, incidents.

use std::collections::BTreeMap;

use crate::store::db::{self, Conn, Row};
use sekimori_wire::ack::RefusalKind;
use sekimori_wire::batch::{Batch, Lane, Mode};
use sekimori_wire::envelope::{Envelope, Verified};
use sekimori_wire::id::{AgentId, BodyCode, Digest};
use sekimori_wire::record::{Gap, Health, Record};
use sekimori_wire::time::Timestamp;
use serde_json::json;

use super::retain::{self, Anchor};
use super::{StoreError, finding, incident, query};
use crate::clock::stored;
use crate::config::Correlation;
use crate::exceptions::ruling::Judge;
use crate::ingest::continuity::{Fork, Head, Place, Verdict, judge};
use crate::ingest::registry::Registered;
use crate::ingest::{Outcome, Received, Submission, refusal};

pub(in crate::store) mod flows;
mod later;
#[cfg(test)]
mod tests;

pub use self::later::Later;
use self::later::Sealed;

/// What the statements of one submission share.
#[derive(Debug)]
pub struct Ledger {
    /// The collector's clock when the group began.
    pub now: Timestamp,
    /// When findings belong together.
    pub correlation: Correlation,
    /// What is under an exception.
    pub judge: Judge,
    /// What was counted.
    pub counters: BTreeMap<&'static str, i64>,
    /// A mistake to be found: what is stored already is counted again.
    #[cfg(feature = "fault")]
    pub forgets_repeats: bool,
}

impl Ledger {
    /// An empty one.
    pub const fn new(now: Timestamp, correlation: Correlation, judge: Judge) -> Self {
        Self {
            now,
            correlation,
            judge,
            counters: BTreeMap::new(),
            #[cfg(feature = "fault")]
            forgets_repeats: false,
        }
    }

    /// Counts one.
    pub fn count(&mut self, name: &'static str) {
        *self.counters.entry(name).or_insert(0) += 1;
    }
}

/// Where a record came from.
#[derive(Clone, Debug)]
pub struct Origin {
    /// Which agent, hexadecimal.
    pub agent: String,
    /// Whose network.
    pub body: BodyCode,
    /// Which of its lanes.
    pub lane: Lane,
    /// Which chain.
    pub epoch: i64,
    /// Which batch.
    pub seq: i64,
    /// `live` or `replay`.
    pub mode: &'static str,
}

impl Origin {
    fn of(from: &Registered, batch: &Batch) -> Self {
        Self {
            agent: batch.agent.to_string(),
            body: from.body,
            lane: batch.lane,
            epoch: integer(batch.epoch),
            seq: integer(batch.seq),
            mode: mode_name(batch.mode),
        }
    }
}

/// Stores a submission, all of one lane, up to the first batch that does not fit.
///
/// # Errors
/// If the store fails; nothing may then be kept.
pub async fn submission(
    tx: &mut Conn,
    ledger: &mut Ledger,
    later: &mut Later,
    submission: Submission,
) -> Result<Outcome, StoreError> {
    let Submission { from, batches, carried } = submission;
    let agent = from.agent.to_string();
    let lane = batches.first().map_or(Lane::Urgent, |first| first.batch.lane);
    let chain = Chain { agent: &agent, lane };
    let mut head = later.head(&agent, lane);
    let mut answered = head.epoch;
    let (mut good, mut newest) = (false, None);
    for received in batches {
        if received.batch.lane != lane {
            break;
        }
        let place = place_of(&received.batch);
        // Nothing is stored behind the head of the chain in force.
        let is_behind = place.epoch == head.epoch && place.seq > head.through;
        let stored_digest = if is_behind {
            None
        } else {
            later.settle(tx, ledger.now).await?;
            chain.known(tx, &place).await?
        };
        match judge(&head, stored_digest, &place) {
            Verdict::Next => {
                newest = Some(Newest::of(&received.batch));
                store_batch(tx, ledger, later, (&from, received)).await?;
                head = Head { epoch: place.epoch, through: place.seq, digest: place.digest };
            }
            Verdict::Repeat => {
                ledger.count("batches_repeated");
                #[cfg(feature = "fault")]
                if ledger.forgets_repeats {
                    let batch = received.batch.into_inner();
                    let origin = Origin::of(&from, &batch);
                    store_records(tx, ledger, later, (&origin, batch)).await?;
                }
            }
            Verdict::Gap if chain.was_set_back(tx, &head).await? => {
                newest = Some(Newest::of(&received.batch));
                chain.jump(tx, ledger, &head, &place).await?;
                store_batch(tx, ledger, later, (&from, received)).await?;
                head = Head { epoch: place.epoch, through: place.seq, digest: place.digest };
            }
            Verdict::Gap => {
                ledger.count("batches_early");
                answered = place.epoch;
                break;
            }
            Verdict::Forked(fork) if !good => {
                tampered(tx, ledger, (&from, lane), &place, fork, stored_digest).await?;
                return Ok(Outcome::Refused(refusal(RefusalKind::Forked, fork.as_str(), place.seq)));
            }
            Verdict::Forked(_) => break,
        }
        good = true;
        answered = place.epoch;
    }
    if let Some(newest) = &newest {
        later.advance((&agent, lane), head, newest);
    }
    // What was carried here by hand says nothing of now.
    if !carried {
        later.seen(&agent, newest.as_ref(), ledger.now);
    }
    if answered != head.epoch {
        later.settle(tx, ledger.now).await?;
    }
    chain.end_of(tx, answered, head).await.map(|head| Outcome::Through(lane, head))
}

fn place_of(batch: &Verified<Batch>) -> Place {
    Place { epoch: batch.epoch, seq: batch.seq, prev: batch.prev, digest: batch.digest() }
}

/// What is noted of the last batch of a submission that was stored.
struct Newest {
    sealed_at: Timestamp,
    mode: &'static str,
    version: String,
}

impl Newest {
    fn of(batch: &Batch) -> Self {
        Self { sealed_at: batch.sealed_at, mode: mode_name(batch.mode), version: batch.version.to_string() }
    }
}

/// One lane of one agent.
struct Chain<'a> {
    agent: &'a str,
    lane: Lane,
}

impl Chain<'_> {
    /// Whether nothing came since the store was restored: the agent may have delivered what the backup did not have.
    async fn was_set_back(&self, tx: &mut Conn, head: &Head) -> Result<bool, StoreError> {
        db::query_scalar::<i64>(
            "SELECT count(*) FROM restored_chains WHERE agent = $1 AND lane = $2 AND epoch = $3 AND through = $4",
        )
        .bind(self.agent)
        .bind(self.lane.number())
        .bind(integer(head.epoch))
        .bind(integer(head.through))
        .fetch_one(tx)
        .await
        .map(|rows| rows > 0)
        .map_err(query("look whether a chain was restored"))
    }

    /// Leaves out what was lost, and writes that down.
    async fn jump(
        &self,
        tx: &mut Conn,
        ledger: &mut Ledger,
        head: &Head,
        place: &Place,
    ) -> Result<(), StoreError> {
        let had = if place.epoch == head.epoch { head.through } else { 0 };
        let through = place.seq.saturating_sub(1);
        let lost = integer(through.saturating_sub(had));
        *ledger.counters.entry("batches_lost_by_restore").or_insert(0) += lost;
        let chain = (self.agent, self.lane.number().into(), integer(place.epoch));
        let anchor = Anchor { through: integer(through), digest: place.prev };
        retain::set_back(tx, chain, &anchor, (integer(had), ledger.now)).await
    }

    /// The digest of what came at this place before, as far as that can be known.
    async fn known(&self, tx: &mut Conn, place: &Place) -> Result<Option<Digest>, StoreError> {
        match self.read_digest(tx, place).await? {
            None => self.read_dropped(tx, place).await,
            known => Ok(known),
        }
    }

    /// Of a batch that retention dropped: it was here. Its digest is known of the last one alone, and of those before it
    /// none but that they were acknowledged.
    async fn read_dropped(&self, tx: &mut Conn, place: &Place) -> Result<Option<Digest>, StoreError> {
        let anchor = self.anchor(tx, place.epoch).await?;
        Ok(match place.seq.cmp(&anchor.through) {
            std::cmp::Ordering::Less => Some(place.digest),
            std::cmp::Ordering::Equal => Some(anchor.digest),
            std::cmp::Ordering::Greater => None,
        })
    }

    /// The last batch of a chain that may have been dropped.
    async fn anchor(&self, tx: &mut Conn, epoch: u64) -> Result<Head, StoreError> {
        let row = db::query(
            "SELECT epoch, through, digest AS head FROM chain_anchors WHERE agent = $1 AND lane = $2 AND epoch = $3",
        )
        .bind(self.agent)
        .bind(self.lane.number())
        .bind(integer(epoch))
        .fetch_optional(tx)
        .await
        .map_err(query("read the anchor of a chain"))?;
        row.as_ref()
            .map_or(Ok(Head { epoch, ..Head::default() }), head_of)
            .map_err(query("read the anchor of a chain"))
    }

    /// The last batch stored of a chain: that in force, a future one (nothing), or one that was given up.
    async fn end_of(&self, tx: &mut Conn, epoch: u64, head: Head) -> Result<Head, StoreError> {
        if epoch == head.epoch {
            return Ok(head);
        }
        let row = db::query(
            "SELECT epoch, seq AS through, digest AS head FROM batches
             WHERE agent = $1 AND lane = $2 AND epoch = $3 ORDER BY seq DESC LIMIT 1",
        )
        .bind(self.agent)
        .bind(self.lane.number())
        .bind(integer(epoch))
        .fetch_optional(&mut *tx)
        .await
        .map_err(query("read the end of a chain"))?;
        let anchor = self.anchor(tx, epoch).await?;
        let last = row.as_ref().map_or(Ok(anchor), head_of).map_err(query("read the end of a chain"))?;
        Ok(if last.through < anchor.through { anchor } else { last })
    }

    /// The digest of the batch that is stored there.
    async fn read_digest(&self, tx: &mut Conn, place: &Place) -> Result<Option<Digest>, StoreError> {
        let bytes: Option<Vec<u8>> = db::query_scalar(
            "SELECT digest FROM batches WHERE agent = $1 AND lane = $2 AND epoch = $3 AND seq = $4",
        )
        .bind(self.agent)
        .bind(self.lane.number())
        .bind(integer(place.epoch))
        .bind(integer(place.seq))
        .fetch_optional(tx)
        .await
        .map_err(query("look up a batch"))?;
        Ok(bytes.and_then(|bytes| Digest::from_bytes(&bytes)))
    }
}

fn head_of(row: &Row) -> Result<Head, db::Error> {
    Ok(head_from(row.get("epoch")?, row.get("through")?, row.get("head")?))
}

fn head_from(epoch: i64, through: i64, digest: &[u8]) -> Head {
    Head {
        epoch: u64::try_from(epoch).unwrap_or_default(),
        through: u64::try_from(through).unwrap_or_default(),
        digest: Digest::from_bytes(digest).unwrap_or_default(),
    }
}

async fn store_batch(
    tx: &mut Conn,
    ledger: &mut Ledger,
    later: &mut Later,
    (from, received): (&Registered, Received),
) -> Result<(), StoreError> {
    let Received { batch, envelope } = received;
    let digest = batch.digest();
    let batch = batch.into_inner();
    let was_told = if later.may_be_told(&batch) {
        later.settle(tx, ledger.now).await?;
        was_told(tx, from, &batch).await?
    } else {
        false
    };
    let origin = Origin::of(from, &batch);
    later.batch(Sealed::new(origin.clone(), &batch, digest, envelope));
    ledger.count("batches_stored");
    if was_told {
        ledger.count("batches_resealed");
        return Ok(());
    }
    store_records(tx, ledger, later, (&origin, batch)).await
}

/// Whether a batch of another epoch told the same: what lay behind damage on an agent's disk is sealed again, and may
/// have arrived before.
async fn was_told(tx: &mut Conn, from: &Registered, batch: &Batch) -> Result<bool, StoreError> {
    let others: Vec<Vec<u8>> = db::query_scalar(
        "SELECT envelope FROM batches WHERE agent = $1 AND lane = $2 AND sealed_at = $3 AND epoch <> $4",
    )
    .bind(batch.agent.to_string())
    .bind(batch.lane.number())
    .bind(stored(batch.sealed_at))
    .bind(integer(batch.epoch))
    .fetch_all(tx)
    .await
    .map_err(query("look for a batch that was sealed again"))?;
    let read = |raw: &Vec<u8>| from.keys.verify(&Envelope::from_bytes(raw).ok()?).ok();
    let same = |other: Verified<Batch>| other.mode == batch.mode && other.records == batch.records;
    Ok(others.iter().filter_map(read).any(same))
}

const fn mode_name(mode: Mode) -> &'static str {
    match mode {
        Mode::Live => "live",
        Mode::Replay => "replay",
    }
}

/// Everything that a batch tells.
async fn store_records(
    tx: &mut Conn,
    ledger: &mut Ledger,
    later: &mut Later,
    (origin, batch): (&Origin, Batch),
) -> Result<(), StoreError> {
    if batch.unknown_records > 0 {
        *ledger.counters.entry("records_unknown").or_insert(0) += integer(batch.unknown_records);
    }
    for record in batch.records {
        match record {
            Record::Finding(one) => finding::store(tx, ledger, origin, *one, None).await?,
            Record::EndpointAlert(alert) => {
                finding::store_alert(tx, origin, &alert).await?;
                finding::store(tx, ledger, origin, alert.to_finding(), Some(alert.class)).await?;
            }
            Record::Summary(summary) => later.summary(tx, origin, *summary).await?,
            Record::Health(health) => store_health(tx, ledger, origin, &health).await?,
            Record::Gap(gap) => {
                ledger.count("gaps_declared");
                store_gap(tx, origin, &gap).await?;
            }
        }
    }
    Ok(())
}

async fn store_health(
    tx: &mut Conn,
    ledger: &Ledger,
    origin: &Origin,
    health: &Health,
) -> Result<(), StoreError> {
    db::query("UPDATE agents SET health_at = $2, health_json = $3, health_received_at = $4 WHERE id = $1")
        .bind(&origin.agent)
        .bind(stored(health.at))
        .bind(json_text(health))
        .bind(stored(ledger.now))
        .execute(tx)
        .await
        .map(drop)
        .map_err(query("store an agent's health"))
}

async fn store_gap(tx: &mut Conn, origin: &Origin, gap: &Gap) -> Result<(), StoreError> {
    db::query(
        "INSERT INTO gaps (agent, start, \"end\", reason, records, bytes) VALUES ($1, $2, $3, $4, $5, $6)",
    )
    .bind(&origin.agent)
    .bind(stored(gap.from))
    .bind(stored(gap.until))
    .bind(gap.reason.as_str())
    .bind(integer(gap.records))
    .bind(integer(gap.bytes))
    .execute(tx)
    .await
    .map(drop)
    .map_err(query("store a gap"))
}

/// Another history of an agent exists: somebody copied its state, or tampers with it.
async fn tampered(
    tx: &mut Conn,
    ledger: &mut Ledger,
    (from, lane): (&Registered, Lane),
    place: &Place,
    fork: Fork,
    stored_digest: Option<Digest>,
) -> Result<(), StoreError> {
    let reason = json!({
        "rule": "ingest.forked/1",
        "formula": "an agent's batches form one chain; a number that was used never comes with other bytes",
        "inputs": {
            "agent": AgentId::to_string(&from.agent),
            "lane": lane.as_str(),
            "epoch": place.epoch,
            "seq": place.seq,
            "digest": place.digest.to_string(),
            "stored_digest": stored_digest.map(|digest| digest.to_string()),
            "detail": fork.as_str(),
        },
        "threshold": {},
        "community_ids": [],
    });
    incident::sensor_tampered(tx, ledger, from, &reason).await
}

/// As the store keeps numbers; beyond 2^63 - 1 the last that fits.
pub fn integer(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// JSON of one of our own types; these always serialise.
pub fn json_text<T: serde::Serialize>(value: &T) -> String {
    serde_json::to_string(value).unwrap_or_else(|_cause| "null".to_owned())
}
