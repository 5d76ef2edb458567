//! From records to signed, numbered, chained envelopes in the spool.
//!
//! Numbers and digests come from the spool alone ([`Spool::head`]), which is what makes them survive a crash; see
//! `spool` for the order. Records that do not fit wait here, summaries and health are dropped first, and every loss is declared: the
//! first batch after it begins with a [`Record::Gap`], which a restart does not forget.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::SystemTime;

use sekimori_wire::batch::{Batch, Mode};
use sekimori_wire::envelope::{Envelope, SealError};
use sekimori_wire::record::Record;
use sekimori_wire::time::Timestamp;

use crate::identity::Identity;
use crate::spool::{Head, Position, Recovery, Renewal, Spool, SpoolError, Undeclared};

/// An envelope is split until it is no larger, or holds one record.
const ENVELOPE_BYTES_TARGET: usize = 64 * 1024;
/// Records tried in one envelope, and appended in one step.
const CHUNK_RECORDS: usize = 256;
/// Envelopes appended in one step, so that one step stays far below the size of a segment.
const CHUNK_ENVELOPES: usize = 8;
/// Records that wait for room. Beyond it, later ones are dropped and declared.
const WAITING_RECORDS_MAX: usize = 4096;

/// Seals what the sensor reports. There is one per spool.
#[derive(Debug)]
pub(crate) struct Sealer {
    identity: Arc<Identity>,
    spool: Arc<Spool>,
    waiting: VecDeque<Record>,
    undeclared: Undeclared,
}

/// What became of the records.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Sealed {
    /// Batches that are now in the spool.
    pub(crate) batches: u64,
    /// Records that were dropped: too large, or no room. A later batch declares them.
    pub(crate) dropped: u64,
    /// Records that wait for room.
    pub(crate) waiting: usize,
}

impl Sealer {
    /// Continues the chain that is in the spool, or starts the one that enrolment named. A chain with lost batches goes
    /// on in a new epoch.
    ///
    /// # Errors
    /// If the spool is another agent's, or the disk fails.
    pub(crate) fn open(identity: Arc<Identity>, spool: Arc<Spool>) -> Result<Self, SealerError> {
        let found = spool.recovery();
        if *found != Recovery::default() {
            tracing::warn!(?found, "the spool was not closed in order, or the disk damaged it");
        }
        if let Some(renewal) = spool.renewal() {
            renew(&identity, renewal)?;
        }
        spool.begin_epoch(identity.epoch)?;
        if let Some((_, envelope)) = spool.oldest_unacked(1, 1)?.first()
            && envelope.claimed_signer() != Some(identity.agent)
        {
            return Err(SealerError::OtherAgent);
        }
        let undeclared = spool.undeclared();
        Ok(Self { identity, spool, waiting: VecDeque::new(), undeclared })
    }

    /// Seals records, after those that wait: when this returns, what it sealed is durable. Without room the records wait;
    /// call again, with none if there are none. `sealed_at` is the clock, not event time.
    ///
    /// # Errors
    /// If the disk fails for another reason than room. The records then wait too.
    pub(crate) fn seal(
        &mut self,
        records: Vec<Record>,
        sealed_at: Timestamp,
        mode: Mode,
    ) -> Result<Sealed, SealerError> {
        let mut sealed = Sealed::default();
        let known = self.undeclared.clone();
        self.waiting.extend(records);
        let mut outcome = self.seal_waiting(sealed_at, mode, &mut sealed);
        if matches!(&outcome, Err(SealerError::Spool(error)) if error.is_full()) {
            sealed.dropped += self
                .drop_waiting(sealed_at, |record| matches!(record, Record::Summary(_) | Record::Health(_)));
            outcome = self.seal_waiting(sealed_at, mode, &mut sealed);
        }
        let mut beyond = self.waiting.len().saturating_sub(WAITING_RECORDS_MAX);
        if beyond > 0 {
            let keep = self.waiting.len() - beyond;
            let late = self.waiting.split_off(keep);
            beyond = late.len();
            for record in &late {
                self.undeclared.add(sealed_at, "the spool is full", 1, size_of(record));
            }
            sealed.dropped += beyond as u64;
        }
        sealed.waiting = self.waiting.len();
        if self.undeclared != known && self.undeclared.declaration().is_some() {
            self.spool.set_undeclared(self.undeclared.clone());
        }
        match outcome {
            Err(SealerError::Spool(error)) if error.is_full() => Ok(sealed),
            Ok(()) | Err(SealerError::Spool(_) | SealerError::OtherAgent | SealerError::Seal(_)) => {
                outcome.map(|()| sealed)
            }
        }
    }

    /// Gives up what waits, so that the next start declares it. For the very end, after a last [`Sealer::seal`].
    pub(crate) fn close(mut self, now: Timestamp) -> u64 {
        let dropped = self.drop_waiting(now, |_| true);
        if dropped > 0 {
            self.spool.set_undeclared(self.undeclared.clone());
        }
        dropped
    }

    fn seal_waiting(
        &mut self,
        sealed_at: Timestamp,
        mode: Mode,
        sealed: &mut Sealed,
    ) -> Result<(), SealerError> {
        let mut chunk = CHUNK_RECORDS;
        loop {
            let take = self.waiting.len().min(chunk);
            let declared: Vec<Record> = self.undeclared.declaration().into_iter().collect();
            if take == 0 && declared.is_empty() {
                return Ok(());
            }
            let mut records = declared;
            records.extend(self.waiting.iter().take(take).cloned());
            let head = self.spool.head();
            let mut chain = Chain::new(&self.identity, head, sealed_at, mode);
            chain.split(records)?;
            if take > 1 && chain.envelopes.len() > CHUNK_ENVELOPES {
                chunk = take / 2;
                continue;
            }
            if !chain.envelopes.is_empty() {
                self.spool.append(chain.first(), &chain.envelopes)?;
                self.undeclared = Undeclared::default();
            }
            sealed.batches += chain.envelopes.len() as u64;
            self.waiting.drain(..take);
            for record in &chain.oversized {
                self.undeclared.add(sealed_at, "a record is larger than a batch may be", 1, size_of(record));
                sealed.dropped += 1;
            }
        }
    }

    fn drop_waiting(&mut self, at: Timestamp, unwanted: impl Fn(&Record) -> bool) -> u64 {
        let before = self.waiting.len();
        let undeclared = &mut self.undeclared;
        self.waiting.retain(|record| {
            let drop = unwanted(record);
            if drop {
                undeclared.add(at, "the spool is full", 1, size_of(record));
            }
            !drop
        });
        (before - self.waiting.len()) as u64
    }
}

/// Envelopes that continue a chain, not yet in the spool.
struct Chain<'a> {
    identity: &'a Identity,
    before: Head,
    head: Head,
    sealed_at: Timestamp,
    mode: Mode,
    envelopes: Vec<Envelope>,
    oversized: Vec<Record>,
}

impl<'a> Chain<'a> {
    const fn new(identity: &'a Identity, head: Head, sealed_at: Timestamp, mode: Mode) -> Self {
        Self { identity, before: head, head, sealed_at, mode, envelopes: Vec::new(), oversized: Vec::new() }
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
                agent: self.identity.agent,
                epoch: at.epoch,
                seq: at.seq,
                prev: self.head.digest,
                sealed_at: self.sealed_at,
                mode: self.mode,
                version: env!("CARGO_PKG_VERSION").into(),
                records,
                unknown_records: 0,
            };
            let fits = match Envelope::seal(&batch, &self.identity.signing) {
                Ok(envelope)
                    if batch.records.len() <= 1 || envelope.to_bytes().len() <= ENVELOPE_BYTES_TARGET =>
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
fn renew(identity: &Identity, mut renewal: Renewal<'_>) -> Result<(), SealerError> {
    let (lost, bytes) = (renewal.lost_batches(), renewal.lost_bytes());
    let mut head = renewal.head();
    tracing::warn!(
        batches = lost,
        bytes,
        epoch = head.at.epoch,
        "batches are damaged on disk: a new epoch declares them"
    );
    let now = now();
    let mut undeclared = renewal.undeclared();
    undeclared.add(now, "batches damaged in the spool", lost.max(1), bytes);
    let mut chain = Chain::new(identity, head, now, Mode::Live);
    chain.split(undeclared.declaration().into_iter().collect())?;
    renewal.append(chain.first(), &chain.envelopes)?;
    head = chain.head;
    while let Some(envelopes) = renewal.next_stranded()? {
        for envelope in envelopes {
            // Damage that the sums of the spool do not show is lost like the rest.
            let Ok(batch) = envelope.verify(identity.signing.verifying_key()) else { continue };
            let batch = batch.into_inner();
            let mut chain = Chain::new(identity, head, batch.sealed_at, batch.mode);
            chain.split(batch.records)?;
            renewal.append(chain.first(), &chain.envelopes)?;
            head = chain.head;
        }
    }
    Ok(renewal.commit()?)
}

fn now() -> Timestamp {
    Timestamp::ZERO.plus(SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default())
}

/// How large a record is in its JSON form: what a Gap tells of what it replaces.
fn size_of(record: &Record) -> u64 {
    serde_json::to_vec(record).map_or(0, |json| json.len() as u64)
}

/// Why records could not be sealed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SealerError {
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
