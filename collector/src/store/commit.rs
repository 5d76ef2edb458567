//! One submission inside the transaction: continuity, evidence, findings, incidents.

use std::collections::BTreeMap;

use crate::store::db::{self, Conn, Row};
use sekimori_wire::ack::RefusalKind;
use sekimori_wire::batch::{Batch, Lane, Mode};
use sekimori_wire::envelope::{Envelope, Verified};
use sekimori_wire::id::{AgentId, BodyCode, Digest};
use sekimori_wire::record::{Gap, Health, Record, Summary};
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

/// Stores a submission, all of one lane, up to the first batch that does not fit.
///
/// # Errors
/// If the store fails; nothing may then be kept.
pub async fn submission(
    tx: &mut Conn,
    ledger: &mut Ledger,
    submission: Submission,
) -> Result<Outcome, StoreError> {
    let Submission { from, batches, carried } = submission;
    let agent = from.agent.to_string();
    let lane = batches.first().map_or(Lane::Urgent, |first| first.batch.lane);
    let chain = Chain { agent: &agent, lane };
    let mut head = chain.read_head(tx).await?;
    let mut answered = head.epoch;
    let (mut good, mut newest) = (false, None);
    for received in batches {
        if received.batch.lane != lane {
            break;
        }
        let place = Place {
            epoch: received.batch.epoch,
            seq: received.batch.seq,
            prev: received.batch.prev,
            digest: received.batch.digest(),
        };
        // Nothing is stored behind the head of the chain in force.
        let is_behind = place.epoch == head.epoch && place.seq > head.through;
        let stored_digest = if is_behind { None } else { chain.read_digest(tx, &place).await? };
        let stored_digest = match stored_digest {
            None if !is_behind => chain.read_dropped(tx, &place).await?,
            known => known,
        };
        match judge(&head, stored_digest, &place) {
            Verdict::Next => {
                newest = Some(Newest::of(&received.batch));
                store_batch(tx, ledger, &from, received).await?;
                head = Head { epoch: place.epoch, through: place.seq, digest: place.digest };
            }
            Verdict::Repeat => {
                ledger.count("batches_repeated");
                #[cfg(feature = "fault")]
                if ledger.forgets_repeats {
                    store_records(tx, ledger, &from, received.batch.into_inner()).await?;
                }
            }
            Verdict::Gap if chain.was_set_back(tx, &head).await? => {
                newest = Some(Newest::of(&received.batch));
                chain.jump(tx, ledger, &head, &place).await?;
                store_batch(tx, ledger, &from, received).await?;
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
        chain.advance(tx, &head, newest).await?;
    }
    // What was carried here by hand says nothing of now.
    if !carried {
        note_seen(tx, ledger.now, &agent, newest.as_ref()).await?;
    }
    chain.end_of(tx, answered, head).await.map(|head| Outcome::Through(lane, head))
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

/// Notes that an agent was heard of, and how it is.
async fn note_seen(
    tx: &mut Conn,
    now: Timestamp,
    agent: &str,
    newest: Option<&Newest>,
) -> Result<(), StoreError> {
    let query_of = |sql| db::query(sql).bind(agent).bind(stored(now));
    let update = match newest {
        Some(newest) => {
            query_of("UPDATE agents SET last_seen = $2, version = $3, sealed_ahead = $4 WHERE id = $1")
                .bind(&newest.version)
                .bind(stored(newest.sealed_at).saturating_sub(stored(now)))
        }
        None => query_of("UPDATE agents SET last_seen = $2 WHERE id = $1"),
    };
    update.execute(tx).await.map(drop).map_err(query("note when an agent was seen"))
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

    /// The end of the chain in force.
    async fn read_head(&self, tx: &mut Conn) -> Result<Head, StoreError> {
        let row = db::query("SELECT epoch, through, head FROM chains WHERE agent = $1 AND lane = $2")
            .bind(self.agent)
            .bind(self.lane.number())
            .fetch_optional(tx)
            .await
            .map_err(query("read the head of a chain"))?;
        row.as_ref().map_or(Ok(Head::default()), head_of).map_err(query("read the head of a chain"))
    }

    /// Moves the head behind what was stored.
    async fn advance(&self, tx: &mut Conn, head: &Head, newest: &Newest) -> Result<(), StoreError> {
        db::query(
            "INSERT INTO chains (agent, lane, epoch, through, head, sealed_at, mode) VALUES ($1, $2, $3, $4, $5, $6, $7)
             ON CONFLICT (agent, lane) DO UPDATE SET epoch = excluded.epoch, through = excluded.through,
                head = excluded.head, sealed_at = excluded.sealed_at, mode = excluded.mode",
        )
        .bind(self.agent)
        .bind(self.lane.number())
        .bind(integer(head.epoch))
        .bind(integer(head.through))
        .bind(head.digest.as_bytes().as_slice())
        .bind(stored(newest.sealed_at))
        .bind(newest.mode)
        .execute(tx)
        .await
        .map(drop)
        .map_err(query("move the head of a chain"))
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
    Ok(Head {
        epoch: u64::try_from(row.get::<i64>("epoch")?).unwrap_or_default(),
        through: u64::try_from(row.get::<i64>("through")?).unwrap_or_default(),
        digest: Digest::from_bytes(&row.get::<Vec<u8>>("head")?).unwrap_or_default(),
    })
}

async fn store_batch(
    tx: &mut Conn,
    ledger: &mut Ledger,
    from: &Registered,
    received: Received,
) -> Result<(), StoreError> {
    let Received { batch, envelope } = received;
    let digest = batch.digest();
    let batch = batch.into_inner();
    let agent = batch.agent.to_string();
    let was_told = was_told(tx, from, &batch).await?;
    db::query(
        "INSERT INTO batches (agent, lane, epoch, seq, digest, prev, sealed_at, received_at, mode, envelope)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
    )
    .bind(&agent)
    .bind(batch.lane.number())
    .bind(integer(batch.epoch))
    .bind(integer(batch.seq))
    .bind(digest.as_bytes().as_slice())
    .bind(batch.prev.as_bytes().as_slice())
    .bind(stored(batch.sealed_at))
    .bind(stored(ledger.now))
    .bind(mode_name(batch.mode))
    .bind(envelope)
    .execute(&mut *tx)
    .await
    .map_err(query("store a batch"))?;
    ledger.count("batches_stored");
    if was_told {
        ledger.count("batches_resealed");
        return Ok(());
    }
    store_records(tx, ledger, from, batch).await
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
    from: &Registered,
    batch: Batch,
) -> Result<(), StoreError> {
    let origin = Origin {
        agent: batch.agent.to_string(),
        body: from.body,
        lane: batch.lane,
        epoch: integer(batch.epoch),
        seq: integer(batch.seq),
        mode: mode_name(batch.mode),
    };
    if batch.unknown_records > 0 {
        *ledger.counters.entry("records_unknown").or_insert(0) += integer(batch.unknown_records);
    }
    for record in batch.records {
        store_record(tx, ledger, &origin, record).await?;
    }
    Ok(())
}

async fn store_record(
    tx: &mut Conn,
    ledger: &mut Ledger,
    origin: &Origin,
    record: Record,
) -> Result<(), StoreError> {
    match record {
        Record::Finding(one) => finding::store(tx, ledger, origin, *one, None).await,
        Record::EndpointAlert(alert) => {
            finding::store_alert(tx, origin, &alert).await?;
            finding::store(tx, ledger, origin, alert.to_finding(), Some(alert.class)).await
        }
        Record::Summary(summary) => store_summary(tx, origin, *summary).await,
        Record::Health(health) => store_health(tx, ledger, origin, &health).await,
        Record::Gap(gap) => {
            ledger.count("gaps_declared");
            store_gap(tx, origin, &gap).await
        }
    }
}

async fn store_summary(tx: &mut Conn, origin: &Origin, mut summary: Summary) -> Result<(), StoreError> {
    let flows = std::mem::take(&mut summary.flows);
    db::query(
        "INSERT INTO summaries (body, agent, start, \"end\", packets, bytes, flows_ended, flows_omitted, json)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
    )
    .bind(origin.body.as_str())
    .bind(&origin.agent)
    .bind(stored(summary.start))
    .bind(stored(summary.end))
    .bind(integer(summary.packets))
    .bind(integer(summary.bytes))
    .bind(integer(summary.flows_ended))
    .bind(integer(summary.flows_omitted))
    .bind(json_text(&summary))
    .execute(&mut *tx)
    .await
    .map_err(query("store a summary"))?;
    flows::store(tx, origin, &flows).await
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
