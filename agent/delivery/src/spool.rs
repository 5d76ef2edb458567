//! The agent's memory of what it has sealed and the collector has not yet acknowledged.
//!
//! ```text
//! DIR/<epoch>-<first number>.seg   append-only records (segment), in order; whole files go when acknowledged
//! DIR/chain                        how far was sealed and acknowledged, what is still to be declared: written in place (chain)
//! DIR/lock                         held by the one process that may write
//! ```
//!
//! Order of what becomes durable, and why a crash at any point neither reuses a number nor leaves a hole:
//! 1. `append` writes the records and syncs the segment (and the folder, for a new file). A crash before that leaves a
//!    torn end that `open` cuts, or whole records that it keeps: nobody has seen their numbers yet.
//! 2. It then writes `chain`. A crash before that leaves the segments ahead of `chain`; `open` believes the segments.
//! 3. Only then can `oldest_unacked` see the records, so whatever was sent is known to `chain`, which needs no room for it.
//!    Where `chain` is ahead of the segments, the disk has lost what it had promised: the numbers are not used again;
//!    [`Renewal`] starts a new epoch.
//! 4. `acknowledge` writes `chain`, then removes files. A crash before either sends again what the collector has, and it
//!    acknowledges again. The name of the first file tells what was removed, should `chain` be older.
//!
//! Nothing unacknowledged is ever removed: a full spool refuses (`Full`), and the sealer declares what it had to drop.

use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use sekimori_wire::batch::Lane;
use sekimori_wire::envelope::Envelope;
use sekimori_wire::id::Digest;
use tokio::sync::watch;

use crate::lanes::Waiting;

use crate::disk::{self, DiskError};

mod carry;
mod chain;
mod files;
mod inspect;
mod recover;
mod segment;

pub use carry::waiting;
pub use chain::{Head, Position, Undeclared};
pub use inspect::{Inspection, Problem, SegmentInfo, inspect};
pub use recover::{Recovery, Renewal};

use chain::{Chain, ChainFile};
use files::Files;

/// A file is ended at this size, so that what is acknowledged can be removed piece by piece.
const SEGMENT_BYTES: u64 = 8 * 1024 * 1024;

/// The spool of one agent. All methods block on the disk.
#[derive(Debug)]
pub struct Spool {
    max_bytes: AtomicU64,
    state: Mutex<State>,
    /// Told how many batches wait, as this lane.
    told: Option<(Lane, watch::Sender<Waiting>)>,
    recovery: Recovery,
    _lock: File,
}

#[derive(Debug)]
struct State {
    chain: Chain,
    file: ChainFile,
    files: Files,
    /// Where the chain is broken; `None` once renewed.
    broken: Option<recover::Broken>,
}

impl State {
    fn pending(&self) -> u64 {
        self.files.count_after(self.chain.acked)
    }

    /// After the fact: the segments alone would tell the same after a crash, less sure about damage. So a disk that cannot write
    /// this file is no reason to fail. Says whether it was written.
    fn write_chain(&mut self) -> bool {
        told(&self.file.write(&self.chain))
    }

    /// What was read back is not what was written: the next opening looks at everything.
    fn suspect(&mut self, error: &SpoolError) {
        if matches!(error, SpoolError::Damaged { .. }) && !self.chain.suspect {
            self.chain.suspect = true;
            told(&self.file.write_both(&self.chain));
        }
    }
}

fn told(written: &Result<(), DiskError>) -> bool {
    if let Err(error) = written {
        tracing::warn!(error = error as &dyn std::error::Error, "the chain file stays behind");
    }
    written.is_ok()
}

impl Spool {
    /// Opens the spool in the folder `dir` (made if it is not there), which may grow to `max_bytes`.
    ///
    /// # Errors
    /// If another process has it open, or the disk fails. Damage is no error: see [`Spool::recovery`].
    pub fn open(dir: &Path, max_bytes: u64) -> Result<Self, SpoolError> {
        Self::open_with(dir, max_bytes, SEGMENT_BYTES.min(max_bytes / 4))
    }

    /// With limits so small that tests reach them.
    ///
    /// # Errors
    /// As [`Spool::open`].
    #[cfg(any(test, feature = "fault"))]
    pub fn open_small(dir: &Path) -> Result<Self, SpoolError> {
        Self::open_with(dir, 16_000, 1000)
    }

    fn open_with(dir: &Path, max_bytes: u64, segment_bytes: u64) -> Result<Self, SpoolError> {
        disk::create_private_dir(dir)?;
        let lock = dir.join("lock");
        let file = disk::at("open", &lock, File::options().create(true).append(true).open(&lock))?;
        match file.try_lock() {
            Ok(()) => (),
            Err(TryLockError::WouldBlock) => return Err(SpoolError::InUse { path: lock }),
            Err(TryLockError::Error(cause)) => disk::at("lock", &lock, Err(cause))?,
        }
        let (state, recovery) = recover::recover(dir, segment_bytes)?;
        Ok(Self {
            max_bytes: AtomicU64::new(max_bytes),
            state: Mutex::new(state),
            told: None,
            recovery,
            _lock: file,
        })
    }

    /// What opening found and repaired.
    pub const fn recovery(&self) -> &Recovery {
        &self.recovery
    }

    /// The end of the chain.
    pub fn head(&self) -> Head {
        self.state().chain.head
    }

    /// Everything up to here is acknowledged.
    pub fn acked(&self) -> Position {
        self.state().chain.acked
    }

    /// Starts this epoch at its beginning, unless it or a later one has begun. What is in the spool stays in its own.
    ///
    /// # Errors
    /// If the disk fails.
    pub fn begin_epoch(&self, epoch: u64) -> Result<(), SpoolError> {
        let mut state = self.state();
        if epoch <= state.chain.head.at.epoch {
            return Ok(());
        }
        let mut chain = state.chain.clone();
        chain.begin(epoch);
        state.file.write(&chain)?;
        state.chain = chain;
        Ok(())
    }

    /// Appends envelopes that continue the chain at `first`, durably: all, or on an error none. Whoever declares a loss
    /// ([`Spool::undeclared`]) does it in the next batch: this append takes it off the record.
    ///
    /// # Errors
    /// `Full`, or the disk fails.
    pub fn append(&self, first: Position, envelopes: &[Envelope]) -> Result<(), SpoolError> {
        let Some(newest) = envelopes.last() else { return Ok(()) };
        let mut state = self.state();
        let State { chain, files, .. } = &mut *state;
        must_follow(chain.head, first);
        let raw: Vec<Vec<u8>> = envelopes.iter().map(Envelope::to_bytes).collect();
        let needed = Files::size_of(&raw);
        let max_bytes = self.max_bytes.load(Ordering::Relaxed);
        if files.bytes_after(chain.acked) + needed > max_bytes {
            return Err(SpoolError::Full { max_bytes });
        }
        // Acknowledged bytes of the last file count as well, unless a new file lets it go.
        let roll = files.bytes() + needed > max_bytes;
        files.append(first, &raw, roll)?;
        let last = Position { epoch: first.epoch, seq: first.seq + envelopes.len() as u64 - 1 };
        chain.head = Head { at: last, digest: newest.digest() };
        chain.undeclared = Undeclared::default();
        let known = state.write_chain();
        let State { chain, files, .. } = &mut *state;
        files.remove_through(chain.acked, known);
        self.tell_pending(&state);
        Ok(())
    }

    /// The oldest batches that are not acknowledged, all of one epoch: at most this many envelopes and bytes, but one at
    /// least if there is one.
    ///
    /// # Errors
    /// If the disk fails, or has damaged the very next batch: opening the spool anew repairs that.
    pub fn oldest_unacked(
        &self,
        max_envelopes: usize,
        max_bytes: usize,
    ) -> Result<Vec<(Position, Envelope)>, SpoolError> {
        self.unacked_after(Position::default(), max_envelopes, max_bytes)
    }

    /// The same, beginning after `after` if that is not acknowledged yet: for whoever has sent what comes before.
    ///
    /// # Errors
    /// As [`Spool::oldest_unacked`].
    pub fn unacked_after(
        &self,
        after: Position,
        max_envelopes: usize,
        max_bytes: usize,
    ) -> Result<Vec<(Position, Envelope)>, SpoolError> {
        let mut state = self.state();
        if let Some(broken) = &state.broken {
            return Err(SpoolError::Broken { batches: broken.lost_batches });
        }
        let read = state.files.read_after(state.chain.acked.max(after), max_envelopes, max_bytes);
        read.inspect_err(|error| state.suspect(error))
    }

    /// The digest of a batch that is still here.
    ///
    /// # Errors
    /// If the disk fails.
    pub fn digest_of(&self, at: Position) -> Result<Option<Digest>, SpoolError> {
        let mut state = self.state();
        if at == state.chain.head.at {
            return Ok(Some(state.chain.head.digest));
        }
        if at.seq == 0 || !state.files.holds(at) {
            return Ok(None);
        }
        let found = state.files.read_after(Position { seq: at.seq - 1, ..at }, 1, 1);
        let found = found.inspect_err(|error| state.suspect(error))?;
        Ok(found.first().filter(|(position, _)| *position == at).map(|(_, envelope)| envelope.digest()))
    }

    /// The last number sealed in an epoch, as far as is known here.
    pub fn last_of(&self, epoch: u64) -> Option<u64> {
        let state = self.state();
        let head = state.chain.head.at;
        if epoch == head.epoch { Some(head.seq) } else { state.files.last_of(epoch) }
    }

    /// Everything up to and including `through` is committed by the collector: whole files of it are removed.
    pub fn acknowledge(&self, through: Position) {
        let mut state = self.state();
        let chain = &mut state.chain;
        if through <= chain.acked || through > chain.head.at {
            return;
        }
        chain.acked = through;
        chain.forget();
        let known = state.write_chain();
        state.files.remove_through(through, known);
        self.tell_pending(&state);
    }

    /// Losses that are not yet declared in a batch.
    pub fn undeclared(&self) -> Undeclared {
        self.state().chain.undeclared.clone()
    }

    /// Remembers losses until the next append declares them.
    pub fn set_undeclared(&self, undeclared: Undeclared) {
        let mut state = self.state();
        let State { chain, file, .. } = &mut *state;
        chain.undeclared = undeclared;
        told(&file.write_both(chain));
    }

    /// Batches that are not acknowledged.
    pub fn pending(&self) -> u64 {
        self.state().pending()
    }

    /// How large it may grow.
    pub fn max_bytes(&self) -> u64 {
        self.max_bytes.load(Ordering::Relaxed)
    }

    /// Another quota from now on. A smaller one than is used removes nothing: nothing is appended until there is room.
    pub fn set_max_bytes(&self, max_bytes: u64) {
        self.max_bytes.store(max_bytes, Ordering::Relaxed);
    }

    /// From now on says there how many batches wait.
    pub(crate) fn tell(&mut self, lane: Lane, to: watch::Sender<Waiting>) {
        self.told = Some((lane, to));
    }

    fn tell_pending(&self, state: &State) {
        let Some((lane, to)) = &self.told else { return };
        let pending = state.pending();
        to.send_modify(|waiting| match lane {
            Lane::Urgent => waiting.urgent = pending,
            Lane::Detail => waiting.detail = pending,
        });
    }

    /// Bytes on the disk.
    pub fn bytes(&self) -> u64 {
        self.state().files.bytes()
    }

    /// Bytes that can still be appended: a replay waits for room instead of dropping.
    pub fn room(&self) -> u64 {
        let state = self.state();
        self.max_bytes().saturating_sub(state.files.bytes_after(state.chain.acked))
    }

    /// The chain cannot go on as it is: batches that were not acknowledged are damaged or missing. Everything but
    /// [`Spool::acked`] and the sizes waits for a [`Renewal`], which begins with this epoch or a later one.
    pub fn renewal(&self, epoch: u64) -> Option<Renewal<'_>> {
        Renewal::begin(self, epoch)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One sealer numbers the batches: anything else would fork the chain, and is our own fault.
fn must_follow(head: Head, first: Position) {
    assert_eq!(first, Position { seq: head.at.seq + 1, ..head.at }, "the batch that follows the last one");
}

fn chain_path(dir: &Path) -> PathBuf {
    dir.join("chain")
}

/// Why the spool cannot do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum SpoolError {
    /// Unacknowledged batches fill it.
    #[error("the spool is full: {max_bytes} bytes of batches wait for the collector")]
    Full {
        /// Its quota.
        max_bytes: u64,
    },
    /// Another process writes to it.
    #[error("another agent uses this state folder ({} is locked)", path.display())]
    InUse {
        /// The lock.
        path: PathBuf,
    },
    /// A batch cannot be read back.
    #[error("batch {seq} in {} is damaged; opening the spool again repairs it", path.display())]
    Damaged {
        /// Where.
        path: PathBuf,
        /// Which.
        seq: u64,
    },
    /// The chain has a hole, and nobody has renewed it yet.
    #[error("{batches} batches are lost; the sealer must start a new epoch first")]
    Broken {
        /// How many are missing.
        batches: u64,
    },
    /// The disk fails.
    #[error(transparent)]
    Disk(#[from] DiskError),
}

impl SpoolError {
    /// There is no room in the quota or on the disk: a condition that passes.
    pub fn is_full(&self) -> bool {
        match self {
            Self::Full { .. } => true,
            Self::Disk(error) => error.is_full(),
            Self::InUse { .. } | Self::Damaged { .. } | Self::Broken { .. } => false,
        }
    }
}

#[cfg(test)]
pub mod tests;
