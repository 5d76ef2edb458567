//! From records to signed, numbered, chained envelopes in the spool.
//!
//! Numbers and digests come from the spool alone ([`Spool::head`](crate::spool::Spool::head)), which is what makes them survive a crash; see
//! `spool` for the order. Records that do not fit wait here, summaries and health are dropped first, and every loss is declared: the
//! first batch after it begins with a [`Record::Gap`], which a restart does not forget.

use std::collections::VecDeque;
use std::sync::Arc;

use sekimori_wire::batch::{Batch, Lane, Mode};
use sekimori_wire::envelope::{Envelope, SealError, SigningKey};
use sekimori_wire::id::AgentId;
use sekimori_wire::keyring::KeyRing;
use sekimori_wire::record::Record;
use sekimori_wire::time::Timestamp;

use crate::lanes::Lanes;
use crate::spool::{Head, Position, Recovery, Renewal, SpoolError, Undeclared};

/// An envelope is split until it is no larger, or holds one record.
const ENVELOPE_BYTES_TARGET: usize = 64 * 1024;
/// Records tried in one envelope, and appended in one step.
const CHUNK_RECORDS: usize = 256;
/// Envelopes appended in one step, so that one step stays far below the size of a segment.
const CHUNK_ENVELOPES: usize = 8;
/// Why records are dropped that could not be sealed.
const NO_ROOM: &str = "the spool is full";
/// Records of a lane that wait for room. Beyond it, later ones are dropped and declared.
const WAITING_RECORDS_MAX: usize = 4096;

/// Whose batches they are.
#[derive(Debug)]
pub struct Signer {
    /// Named in every batch.
    pub agent: AgentId,
    /// The chain that enrolment, or this key, started.
    pub epoch: u64,
    /// Signs batches.
    pub key: SigningKey,
    /// This key and those before it.
    pub keys: KeyRing,
}

impl Signer {
    /// With an agent's first key.
    pub fn first(epoch: u64, key: SigningKey) -> Self {
        let keys = KeyRing::new(*key.verifying_key());
        Self { agent: keys.agent(), epoch, key, keys }
    }
}

/// Seals what the sensor reports. There is one per pair of spools.
#[derive(Debug)]
pub struct Sealer {
    signer: Arc<Signer>,
    /// Takes over with a new epoch as soon as the disk lets it.
    successor: Option<Arc<Signer>>,
    lanes: Arc<Lanes>,
    /// Waits for room in the urgent lane.
    urgent: VecDeque<Record>,
    /// Waits for room in the detail lane.
    detail: VecDeque<Record>,
    /// Of both.
    undeclared: Undeclared,
}

/// What became of the records.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sealed {
    /// Batches that are now in the spool.
    pub batches: u64,
    /// Records that were dropped: too large, or no room. A later batch declares them.
    pub dropped: u64,
    /// Records that wait for room.
    pub waiting: usize,
}

impl Sealer {
    /// Continues the chains that are in the spools, or starts those that enrolment named. A chain with lost batches goes
    /// on in a new epoch.
    ///
    /// # Errors
    /// If the spool is another agent's, or the disk fails.
    pub fn open(signer: Arc<Signer>, lanes: Arc<Lanes>, now: Timestamp) -> Result<Self, SealerError> {
        for lane in Lane::ALL {
            let spool = lanes.of_lane(lane);
            let found = spool.recovery();
            if *found != Recovery::default() {
                tracing::warn!(%lane, ?found, "the spool was not closed in order, or the disk damaged it");
            }
            if let Some(renewal) = spool.renewal(signer.epoch) {
                renew(&signer, lane, renewal, now)?;
            }
            spool.begin_epoch(signer.epoch)?;
            if let Some((_, envelope)) = spool.oldest_unacked(1, 1)?.first()
                && envelope.claimed_signer().and_then(|key| signer.keys.by_id(key)).is_none()
            {
                return Err(SealerError::OtherAgent);
            }
        }
        let undeclared = lanes.of_lane(Lane::Urgent).undeclared();
        Ok(Self {
            signer,
            successor: None,
            lanes,
            urgent: VecDeque::new(),
            detail: VecDeque::new(),
            undeclared,
        })
    }

    /// Seals records, after those that wait: when this returns, what it sealed is durable. Without room findings and alerts
    /// wait, and what matters less is dropped; call again, with none if there are none. `sealed_at` is the clock, not event
    /// time.
    ///
    /// # Errors
    /// If the disk fails for another reason than room. The records then wait too.
    pub fn seal(
        &mut self,
        records: Vec<Record>,
        sealed_at: Timestamp,
        mode: Mode,
    ) -> Result<Sealed, SealerError> {
        let mut sealed = Sealed::default();
        let known = self.undeclared.clone();
        for record in records {
            match Lane::of(&record) {
                Lane::Urgent => self.urgent.push_back(record),
                Lane::Detail => self.detail.push_back(record),
            }
        }
        let now = (sealed_at, mode);
        let turned = self.turn();
        let (detail, urgent) = match turned {
            Ok(()) => (self.seal_detail(now, &mut sealed), self.seal_urgent(now, &mut sealed)),
            // The old key may not sign any more, and the new one has no epoch yet: everything waits.
            Err(error) => (Ok(()), Err(error)),
        };
        for late in [&mut self.urgent, &mut self.detail] {
            let keep = late.len().min(WAITING_RECORDS_MAX);
            for record in late.drain(keep..) {
                self.undeclared.add(sealed_at, NO_ROOM, 1, size_of(&record));
                sealed.dropped += 1;
            }
        }
        sealed.waiting = self.urgent.len() + self.detail.len();
        if self.undeclared != known && self.undeclared.declaration().is_some() {
            self.lanes.of_lane(Lane::Urgent).set_undeclared(self.undeclared.clone());
        }
        urgent.and(detail).map(|()| sealed)
    }

    /// From the next [`Sealer::seal`] on another key of the same agent signs, in the epoch that it begins with.
    pub fn succeed(&mut self, signer: &Arc<Signer>) {
        let present = self.successor.as_ref().unwrap_or(&self.signer);
        if signer.agent == present.agent && signer.epoch > present.epoch {
            self.successor = Some(Arc::clone(signer));
        }
    }

    /// Hands over to the successor, if there is one: both lanes begin its epoch, or it is tried again.
    fn turn(&mut self) -> Result<(), SealerError> {
        let Some(successor) = &self.successor else { return Ok(()) };
        for lane in Lane::ALL {
            self.lanes.of_lane(lane).begin_epoch(successor.epoch)?;
        }
        if let Some(successor) = self.successor.take() {
            self.signer = successor;
        }
        Ok(())
    }

    /// Gives up what waits, so that the next start declares it. For the very end, after a last [`Sealer::seal`].
    pub fn close(mut self, now: Timestamp) -> u64 {
        let dropped = self.drop_waiting(now, |_| true);
        if dropped > 0 {
            self.lanes.of_lane(Lane::Urgent).set_undeclared(self.undeclared.clone());
        }
        dropped
    }

    /// Summaries for which there is no room are dropped at once: what comes later tells more about now.
    fn seal_detail(&mut self, now: (Timestamp, Mode), sealed: &mut Sealed) -> Result<(), SealerError> {
        let outcome = self.seal_waiting(Lane::Detail, now, sealed);
        if !is_full(&outcome) {
            return outcome;
        }
        sealed.dropped += self.drop_waiting(now.0, |record| Lane::of(record) == Lane::Detail);
        Ok(())
    }

    fn seal_urgent(&mut self, now: (Timestamp, Mode), sealed: &mut Sealed) -> Result<(), SealerError> {
        let mut outcome = self.seal_waiting(Lane::Urgent, now, sealed);
        if is_full(&outcome) {
            sealed.dropped += self.drop_waiting(now.0, |record| matches!(record, Record::Health(_)));
            outcome = self.seal_waiting(Lane::Urgent, now, sealed);
        }
        if is_full(&outcome) { Ok(()) } else { outcome }
    }

    /// Seals what waits in a lane. Losses of both are declared in the urgent one, with the next record or, once the losing
    /// is over, by themselves.
    fn seal_waiting(
        &mut self,
        lane: Lane,
        (sealed_at, mode): (Timestamp, Mode),
        sealed: &mut Sealed,
    ) -> Result<(), SealerError> {
        let mut chunk = CHUNK_RECORDS;
        let losing = sealed.dropped > 0;
        loop {
            let waiting = match lane {
                Lane::Urgent => &mut self.urgent,
                Lane::Detail => &mut self.detail,
            };
            let take = waiting.len().min(chunk);
            let declared = self.undeclared.declaration().filter(|_| lane == Lane::Urgent);
            if take == 0 && (declared.is_none() || losing) {
                return Ok(());
            }
            let declares = declared.is_some();
            let mut records: Vec<Record> = declared.into_iter().collect();
            records.extend(waiting.iter().take(take).cloned());
            let spool = self.lanes.of_lane(lane);
            let mut chain = Chain::new(&self.signer, lane, spool.head(), (sealed_at, mode));
            chain.split(records)?;
            if take > 1 && chain.envelopes.len() > CHUNK_ENVELOPES {
                chunk = take / 2;
                continue;
            }
            if !chain.envelopes.is_empty() {
                spool.append(chain.first(), &chain.envelopes)?;
                if declares {
                    self.undeclared = Undeclared::default();
                }
            }
            sealed.batches += chain.envelopes.len() as u64;
            waiting.drain(..take);
            for record in &chain.oversized {
                self.undeclared.add(sealed_at, "a record is larger than a batch may be", 1, size_of(record));
                sealed.dropped += 1;
            }
        }
    }

    fn drop_waiting(&mut self, at: Timestamp, unwanted: impl Fn(&Record) -> bool) -> u64 {
        let before = self.urgent.len() + self.detail.len();
        let undeclared = &mut self.undeclared;
        for waiting in [&mut self.urgent, &mut self.detail] {
            waiting.retain(|record| {
                let drop = unwanted(record);
                if drop {
                    undeclared.add(at, NO_ROOM, 1, size_of(record));
                }
                !drop
            });
        }
        (before - self.urgent.len() - self.detail.len()) as u64
    }
}

fn is_full(outcome: &Result<(), SealerError>) -> bool {
    matches!(outcome, Err(SealerError::Spool(error)) if error.is_full())
}

/// Envelopes that continue a chain, not yet in the spool.
struct Chain<'a> {
    signer: &'a Signer,
    lane: Lane,
    before: Head,
    head: Head,
    sealed_at: Timestamp,
    mode: Mode,
    bytes_target: usize,
    envelopes: Vec<Envelope>,
    oversized: Vec<Record>,
}

impl<'a> Chain<'a> {
    fn new(signer: &'a Signer, lane: Lane, head: Head, (sealed_at, mode): (Timestamp, Mode)) -> Self {
        let (envelopes, oversized, bytes_target) = (Vec::new(), Vec::new(), ENVELOPE_BYTES_TARGET);
        Self { signer, lane, before: head, head, sealed_at, mode, bytes_target, envelopes, oversized }
    }

    const fn first(&self) -> Position {
        Position { epoch: self.before.at.epoch, seq: self.before.at.seq + 1 }
    }

    /// Seals the records in as many envelopes as their size asks for, in order.
    fn split(&mut self, records: Vec<Record>) -> Result<(), SealerError> {
        let mut parts = vec![records];
        while let Some(records) = parts.pop() {
            let at = Position { seq: self.head.at.seq + 1, ..self.head.at };
            let mut batch = Batch {
                agent: self.signer.agent,
                lane: self.lane,
                epoch: at.epoch,
                seq: at.seq,
                prev: self.head.digest,
                sealed_at: self.sealed_at,
                mode: self.mode,
                version: env!("CARGO_PKG_VERSION").into(),
                records,
                unknown_records: 0,
            };
            let fits = match Envelope::seal(&batch, &self.signer.key) {
                Ok(envelope)
                    if batch.records.len() <= 1 || envelope.to_bytes().len() <= self.bytes_target =>
                {
                    Some(envelope)
                }
                Ok(_) | Err(SealError::TooLarge { .. } | SealError::TooMany { .. }) => None,
                Err(cause @ SealError::Compress) => return Err(SealerError::Seal(cause)),
            };
            if let Some(envelope) = fits {
                self.head = Head { at, digest: envelope.digest() };
                self.envelopes.push(envelope);
            } else if batch.records.len() <= 1 {
                self.oversized.append(&mut batch.records);
            } else {
                let later = batch.records.split_off(batch.records.len() / 2);
                parts.push(later);
                parts.push(batch.records);
            }
        }
        Ok(())
    }
}

/// A new epoch that first declares what is lost, then carries what could still be read, sealed again.
fn renew(signer: &Signer, lane: Lane, mut renewal: Renewal<'_>, now: Timestamp) -> Result<(), SealerError> {
    let (lost, bytes) = (renewal.lost_batches(), renewal.lost_bytes());
    let mut head = renewal.head();
    tracing::warn!(
        batches = lost,
        bytes,
        epoch = head.at.epoch,
        "batches are damaged on disk: a new epoch declares them"
    );
    let mut damaged = Undeclared::default();
    damaged.add(now, "batches damaged in the spool", lost.max(1), bytes);
    let declared = [renewal.undeclared(), damaged];
    let mut chain = Chain::new(signer, lane, head, (now, Mode::Live));
    chain.split(declared.iter().filter_map(Undeclared::declaration).collect())?;
    renewal.append(chain.first(), &chain.envelopes)?;
    head = chain.head;
    while let Some(envelopes) = renewal.next_stranded()? {
        for envelope in envelopes {
            // Damage that the sums of the spool do not show is lost like the rest.
            let Ok(batch) = signer.keys.verify(&envelope) else { continue };
            let batch = batch.into_inner();
            // As one, with its time: if the collector has it already, it knows it by that.
            let mut chain = Chain::new(signer, lane, head, (batch.sealed_at, batch.mode));
            chain.bytes_target = usize::MAX;
            chain.split(batch.records)?;
            renewal.append(chain.first(), &chain.envelopes)?;
            head = chain.head;
        }
    }
    Ok(renewal.commit()?)
}

/// How large a record is in its JSON form: what a Gap tells of what it replaces.
fn size_of(record: &Record) -> u64 {
    serde_json::to_vec(record).map_or(0, |json| json.len() as u64)
}

/// Why records could not be sealed.
#[derive(Debug, thiserror::Error)]
pub enum SealerError {
    /// The batches in the spool are signed by another key.
    #[error("the spool in this state folder belongs to another agent")]
    OtherAgent,
    /// The spool failed.
    #[error(transparent)]
    Spool(#[from] SpoolError),
    /// A batch could not be made.
    #[error(transparent)]
    Seal(SealError),
}

#[cfg(test)]
mod tests;
