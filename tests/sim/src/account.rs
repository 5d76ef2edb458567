//! What an agent was given, what was promised to whoever gave it, and what may be missing.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use sekimori_delivery::lanes::Lanes;
use sekimori_delivery::seal::Signer;
use sekimori_delivery::spool::{Position, SpoolError};
use sekimori_wire::batch::Lane;
use sekimori_wire::id::Digest;
use sekimori_wire::record::Record;

use crate::label;

/// The books of one agent, kept by somebody who sees its spool whenever it was changed.
#[derive(Debug, Default)]
pub(crate) struct Account {
    /// Every batch that was ever seen sealed.
    pub(crate) batches: BTreeMap<(Lane, Position), Seen>,
    /// Labels of health: the store keeps only the last of it.
    pub(crate) health: BTreeSet<u64>,
    /// Labels that were sealed durably.
    pub(crate) promised: BTreeSet<u64>,
    /// Signed acknowledgements reached up to here.
    pub(crate) acked: BTreeMap<(Lane, u64), u64>,
    /// Bits of its disk that were flipped: damage is allowed, if declared.
    pub(crate) rotten: u64,
    /// Of them, in each file of a chain's state: one flipped bit there costs nothing, two may cost both of its slots.
    pub(crate) rotten_chains: BTreeMap<PathBuf, u64>,
    /// Chains that were renewed.
    pub(crate) renewals: u64,
    /// Records that the sealer was given.
    pub(crate) given: u64,
    /// Records that the sealer said it dropped.
    dropped: u64,
    /// Records that were in the memory of a process that died: declared, if it came to that, and else not.
    forgotten: u64,
    /// Records that the process in whose hand it died was about to declare, or had just declared.
    in_hand: u64,
    /// Of them, those whose declaration may have been in a batch that nobody saw before the disk damaged it.
    unseen: u64,
    looked_at: BTreeMap<Lane, Position>,
}

/// A batch in the spool.
#[derive(Debug)]
pub(crate) struct Seen {
    pub(crate) digest: Digest,
    pub(crate) labels: Vec<u64>,
    /// Dropped records that it declares.
    pub(crate) declares: u64,
    /// Damaged batches that it declares.
    pub(crate) declares_damage: u64,
}

impl Account {
    /// Writes down what is new in the spools; how many labels are newly promised.
    pub(crate) fn look(&mut self, lanes: &Lanes, signer: &Signer) -> Result<u64, SpoolError> {
        let mut labels = 0;
        for lane in Lane::ALL {
            let spool = lanes.of_lane(lane);
            let head = spool.head().at;
            if self.looked_at.get(&lane) == Some(&head) {
                continue;
            }
            let mut last = spool.acked();
            for (at, envelope) in spool.oldest_unacked(usize::MAX, usize::MAX)? {
                last = at;
                if self.batches.contains_key(&(lane, at)) {
                    continue;
                }
                let Ok(batch) = signer.keys.verify(&envelope) else { continue };
                let health = batch.records.iter().filter(|one| matches!(one, Record::Health(_)));
                self.health.extend(health.filter_map(label::label_of));
                let own: Vec<u64> = batch.records.iter().filter_map(label::label_of).collect();
                labels += own.iter().filter(|one| self.promised.insert(**one)).count() as u64;
                let declares = batch.records.iter().map(label::declared_drops).sum();
                let declares_damage = batch.records.iter().map(label::declared_damage).sum();
                let seen = Seen { digest: envelope.digest(), labels: own, declares, declares_damage };
                self.batches.insert((lane, at), seen);
            }
            // Only one epoch is given at a time: a later one shows once this is acknowledged.
            if last >= head {
                self.looked_at.insert(lane, head);
            }
        }
        Ok(labels)
    }

    /// The sealer said that it dropped this many, and lives: then it has written that down, on a full disk too.
    pub(crate) const fn drop_records(&mut self, count: u64) {
        self.dropped += count;
    }

    /// The process died with this many records that it had not sealed, and so many drops that it had not declared as far
    /// as anybody saw.
    pub(crate) const fn forget(&mut self, waiting: u64, undeclared: u64) {
        self.forgotten += waiting;
        self.in_hand = undeclared;
    }

    /// The next process has opened its spools, and has found batches damaged or not.
    pub(crate) const fn opened(&mut self, is_damaged: bool) {
        if is_damaged {
            self.unseen += self.in_hand;
        }
        self.in_hand = 0;
    }

    /// Both slots of a chain's state may be gone.
    pub(crate) fn lost_a_chain(&self) -> bool {
        self.rotten_chains.values().any(|bits| *bits > 1)
    }

    /// A signed acknowledgement was acted upon.
    pub(crate) fn acknowledged(&mut self, lane: Lane, through: Position) {
        let acked = self.acked.entry((lane, through.epoch)).or_default();
        *acked = through.seq.max(*acked);
    }

    /// Bounds of what must be declared as dropped.
    pub(crate) const fn declared_between(&self) -> (u64, u64) {
        (self.dropped.saturating_sub(self.unseen), self.dropped + self.forgotten)
    }

    /// Records that the sealer said it dropped.
    pub(crate) const fn dropped(&self) -> u64 {
        self.dropped
    }
}
