//! One agent: the real sealer, lanes, judge and pace over a disk of its own, and what it has been promised.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use sekimori_delivery::disk::fault::Disk;
use sekimori_delivery::judge::{Judgement, judge};
use sekimori_delivery::lanes::Lanes;
use sekimori_delivery::pace::{Backoff, Event, Pace};
use sekimori_delivery::seal::{Sealer, SealerError, Signer};
use sekimori_delivery::spool::{Position, SpoolError};
use sekimori_wire::ack::{Answer, encode_submission};
use sekimori_wire::batch::{Lane, Mode};
use sekimori_wire::envelope::{Envelope, SigningKey, VerifyingKey};
use sekimori_wire::record::Record;
use sekimori_wire::time::Timestamp;

use crate::account::Account;
use crate::chance::Chance;
use crate::label;

/// Labels of different agents are this far apart.
pub(crate) const LABELS: u64 = 1_000_000;

/// An agent and its machine.
#[derive(Debug)]
pub(crate) struct Agent {
    pub(crate) signer: Arc<Signer>,
    pub(crate) account: Account,
    pub(crate) disk: Disk,
    pub(crate) process: Option<Process>,
    pub(crate) flight: Option<Flight>,
    /// What its clock shows more than it should.
    pub(crate) skew_seconds: i64,
    pub(crate) full: bool,
    dir: PathBuf,
    next_label: u64,
    backoff: Backoff,
}

/// It runs.
#[derive(Debug)]
pub(crate) struct Process {
    sealer: Sealer,
    pub(crate) lanes: Arc<Lanes>,
    given: u64,
    sealed: u64,
    dropped: u64,
    pub(crate) waiting: u64,
    /// Dropped records that no batch declares, when it last said so.
    undeclared: u64,
}

/// A submission that no answer has come to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Flight {
    pub(crate) request: u64,
    lane: Lane,
    first: Position,
}

/// What became of a thing that the agent did.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// Done.
    Fine(String),
    /// The disk lets nothing happen any more: the process is dead.
    Dead,
    /// It ended by itself, and is to be started again.
    Ended(String),
    /// This must not happen.
    Wrong(String),
}

impl Process {
    /// A loss that waits to be declared.
    fn undeclared(&self) -> Option<Record> {
        self.lanes.of_lane(Lane::Urgent).undeclared().declaration()
    }

    fn note_undeclared(&mut self) {
        self.undeclared = self.undeclared().as_ref().map_or(0, label::declared_drops);
    }
}

impl Agent {
    pub(crate) fn new(index: u64, folder: &Path, seed: u64) -> anyhow::Result<Self> {
        let dir = folder.join(format!("agent-{index}"));
        std::fs::create_dir_all(&dir)?;
        let key = key(seed, index + 1)?;
        Ok(Self {
            signer: Arc::new(Signer::first(1, key)),
            account: Account::default(),
            disk: Disk::mount(&dir),
            process: None,
            flight: None,
            skew_seconds: 0,
            full: false,
            dir,
            next_label: index * LABELS + 1,
            backoff: Backoff::new(Pace::DEFAULT),
        })
    }

    pub(crate) fn clock(&self, now: Timestamp) -> Timestamp {
        let skew = Duration::from_secs(self.skew_seconds.unsigned_abs());
        if self.skew_seconds < 0 { now.minus(skew) } else { now.plus(skew) }
    }

    /// Starts the process; what is found in the spool then is durable.
    pub(crate) fn start(&mut self, now: Timestamp) -> Fate {
        let opened = Lanes::open_small(&self.dir).map_err(SealerError::from).and_then(|lanes| {
            let lanes = Arc::new(lanes);
            let sealer = Sealer::open(Arc::clone(&self.signer), Arc::clone(&lanes), self.clock(now))?;
            Ok((sealer, lanes))
        });
        if self.disk.crashed() {
            return Fate::Dead;
        }
        let (sealer, lanes) = match opened {
            Ok(opened) => opened,
            Err(SealerError::Spool(error)) if error.is_full() => return Fate::Ended("no room".to_owned()),
            Err(error) => return Fate::Wrong(format!("cannot start: {error}: {error:?}")),
        };
        let found = [Lane::Urgent, Lane::Detail].map(|lane| lanes.of_lane(lane).recovery().clone());
        for one in &found {
            let is_damaged = one.lost_batches > 0;
            if is_damaged && self.account.rotten == 0 {
                return Fate::Wrong(format!("lost what it had promised, on a sound disk: {one:?}"));
            }
            self.account.renewals += u64::from(is_damaged);
        }
        self.account.opened(found.iter().any(|one| one.lost_batches > 0));
        let mut process =
            Process { sealer, lanes, given: 0, sealed: 0, dropped: 0, waiting: 0, undeclared: 0 };
        process.note_undeclared();
        if let Err(error) = self.account.look(&process.lanes, &self.signer) {
            return ended(&error);
        }
        self.flight = None;
        let heads = [Lane::Urgent, Lane::Detail].map(|lane| process.lanes.of_lane(lane).head().at);
        self.process = Some(process);
        Fate::Fine(format!("{heads:?}"))
    }

    /// Whether the process died with what it just did; if so it is gone.
    fn died(&mut self, in_hand: u64) -> bool {
        if self.disk.crashed() {
            self.kill(in_hand);
            return true;
        }
        false
    }

    /// The process is gone, with what was only in its memory.
    pub(crate) fn kill(&mut self, in_hand: u64) {
        if let Some(process) = self.process.take() {
            self.account.forget(process.waiting + in_hand, process.undeclared);
        }
        self.flight = None;
    }

    /// A clean stop, and what waited is declared at the next start.
    pub(crate) fn stop(&mut self, now: Timestamp) {
        let at = self.clock(now);
        let Some(process) = self.process.take() else { return };
        self.flight = None;
        let (waiting, undeclared) = (process.waiting, process.undeclared);
        let dropped = process.sealer.close(at);
        if self.disk.crashed() {
            self.account.forget(waiting, undeclared);
        } else {
            self.account.drop_records(dropped);
        }
    }

    /// Seals `count` new records, and what waits.
    pub(crate) fn seal(&mut self, count: u64, now: Timestamp, chance: &mut Chance) -> Fate {
        let at = self.clock(now);
        let Some(process) = &mut self.process else { return Fate::Fine("not running".to_owned()) };
        let records = (0..count).map(|n| label::record(self.next_label + n, at, chance)).collect();
        self.next_label += count;
        self.account.given += count;
        process.given += count;
        let outcome = process.sealer.seal(records, at, Mode::Live);
        if self.died(count) {
            return Fate::Dead;
        }
        let Some(process) = &mut self.process else { return Fate::Dead };
        let sealed = match outcome {
            Ok(sealed) => sealed,
            Err(error) => return Fate::Wrong(format!("cannot seal: {error}: {error:?}")),
        };
        process.dropped += sealed.dropped;
        process.waiting = sealed.waiting as u64;
        process.note_undeclared();
        self.account.drop_records(sealed.dropped);
        match self.account.look(&process.lanes, &self.signer) {
            Ok(labels) => process.sealed += labels,
            Err(error) => return ended(&error),
        }
        // Labels in a batch that is damaged are seen by nobody, and those of a later epoch only when it is its turn.
        let known = process.sealed + process.dropped + process.waiting;
        let fits = match (self.account.rotten, self.account.renewals) {
            (0, _) => process.given == known,
            (_, 0) => process.given >= known,
            (_, _) => true,
        };
        if !fits {
            return Fate::Wrong(format!(
                "of {} records {} are sealed, {} dropped and {} wait",
                process.given, process.sealed, process.dropped, process.waiting
            ));
        }
        Fate::Fine(format!("{sealed:?}"))
    }

    /// The next submission, if there is something to send.
    pub(crate) fn submit(&mut self, request: u64, most: usize) -> Result<Option<Vec<u8>>, Fate> {
        let Some(process) = &self.process else { return Ok(None) };
        if self.flight.is_some() {
            return Ok(None);
        }
        let Some(lane) = process.lanes.waiting().next() else { return Ok(None) };
        let batches =
            process.lanes.of_lane(lane).oldest_unacked(most, usize::MAX).map_err(|error| ended(&error))?;
        let Some((first, _)) = batches.first() else {
            return Err(Fate::Wrong("batches wait, and none can be read".to_owned()));
        };
        self.flight = Some(Flight { request, lane, first: *first });
        let envelopes: Vec<Envelope> = batches.into_iter().map(|(_, envelope)| envelope).collect();
        Ok(Some(encode_submission(&envelopes)))
    }

    /// Acts on an answer as the shipper does; how long to wait then.
    pub(crate) fn answered(
        &mut self,
        answer: &[u8],
        collector: &VerifyingKey,
        chance: &mut Chance,
    ) -> (Fate, Duration) {
        let random = chance.uniform();
        let Some((flight, lanes)) =
            self.flight.take().zip(self.process.as_ref().map(|process| Arc::clone(&process.lanes)))
        else {
            return (Fate::Fine("late".to_owned()), Duration::ZERO);
        };
        let ack = match Answer::from_bytes(answer) {
            Ok(Answer::Ack(envelope)) => envelope.verify_ack(collector),
            Ok(Answer::Refused(refusal)) => {
                let asked = Duration::from_secs(refusal.retry_after_seconds.into());
                return if refusal.kind.may_retry() {
                    (Fate::Fine(refusal.to_string()), self.backoff.after(Event::Busy { asked }, random))
                } else {
                    (Fate::Wrong(format!("refused: {refusal}")), Duration::ZERO)
                };
            }
            Err(error) => return (Fate::Wrong(format!("not an answer: {error}")), Duration::ZERO),
        };
        let Ok(ack) = ack else {
            return (Fate::Wrong("an acknowledgement of somebody else".to_owned()), Duration::ZERO);
        };
        let spool = lanes.of_lane(flight.lane);
        let sent = (flight.first, spool.acked());
        let judgement = match judge(&ack, (self.signer.agent, flight.lane), sent, spool) {
            Ok(judgement) => judgement,
            Err(error) => return (ended(&error), Duration::ZERO),
        };
        let (event, fate) = match judgement {
            Judgement::Advance(through) => {
                self.account.acknowledged(flight.lane, through);
                spool.acknowledge(through);
                let looked = self.account.look(&lanes, &self.signer);
                drop(lanes);
                if self.died(0) {
                    return (Fate::Dead, Duration::ZERO);
                }
                if let Err(error) = looked {
                    return (ended(&error), Duration::ZERO);
                }
                (Event::Progress, Fate::Fine(format!("{} {through:?}", flight.lane)))
            }
            Judgement::Nothing => (Event::NoProgress, Fate::Fine("nothing new".to_owned())),
            Judgement::NotOurs => (Event::NoProgress, Fate::Wrong("an answer for another chain".to_owned())),
            Judgement::Forked(fork) => (Event::NoProgress, Fate::Wrong(format!("forked: {fork}"))),
        };
        (fate, self.backoff.after(event, random))
    }

    /// No answer came; how long to wait.
    pub(crate) fn unanswered(&mut self, chance: &mut Chance) -> Duration {
        self.flight = None;
        self.backoff.after(Event::Failed { more_endpoints: false }, chance.uniform())
    }

    /// Nothing is left to do.
    pub(crate) fn is_settled(&self) -> bool {
        let is_idle =
            |one: &Process| one.lanes.pending() == 0 && one.waiting == 0 && one.undeclared().is_none();
        self.process.as_ref().is_some_and(is_idle)
    }

    /// For whoever wonders why not.
    pub(crate) fn state(&self) -> String {
        self.process.as_ref().map_or_else(
            || "does not run".to_owned(),
            |process| {
                format!(
                    "has {:?} to send, {} to seal, {:?} to declare, waits for {:?}",
                    process.lanes.waiting(),
                    process.waiting,
                    process.undeclared(),
                    self.flight
                )
            },
        )
    }
}

/// Opening the spool again repairs what can be repaired; the agent ends, and is started again.
fn ended(error: &SpoolError) -> Fate {
    match error {
        SpoolError::Damaged { seq, .. } => Fate::Ended(format!("batch {seq} is damaged")),
        SpoolError::Broken { .. } => Fate::Ended(error.to_string()),
        SpoolError::Full { .. } | SpoolError::InUse { .. } | SpoolError::Disk(_) => {
            Fate::Wrong(format!("{error}: {error:?}"))
        }
    }
}

/// The key of a party in a run: PKCS#8 of 32 bytes that the seed decides.
pub(crate) fn key(seed: u64, party: u64) -> anyhow::Result<SigningKey> {
    const HEAD: [u8; 16] =
        [0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20];
    let mut chance = Chance::new(seed.wrapping_mul(31).wrapping_add(party));
    let secret: Vec<u8> = (0..4).flat_map(|_| chance.draw().to_le_bytes()).collect();
    SigningKey::from_pkcs8(&[&HEAD[..], &secret].concat()).context("an Ed25519 key")
}
