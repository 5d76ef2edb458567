//! Opening after anything may have happened: what is kept, what is cut, and how a broken chain goes on.
//!
//! A torn end is cut. Damage before the end is skipped; where it hit a batch that was not acknowledged, no later batch of
//! that epoch can be delivered any more (its `prev` names a batch that nobody has), so [`Renewal`] seals what can still be
//! read again in a new epoch, after a record that declares the rest as lost. It is one step for the outside: `chain` tells
//! which epoch is valid, and what an interrupted renewal has left is removed by the next opening.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::MutexGuard;

use sekimori_wire::envelope::Envelope;
use sekimori_wire::id::Digest;

use super::chain::{Chain, ChainFile, EPOCHS_MAX, Head, Position};
use super::files::{self, Files, Segment};
use super::{Spool, SpoolError, State, Undeclared};
use crate::disk;

/// What opening found and repaired.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recovery {
    /// Bytes of unfinished appends, cut from the end.
    pub torn_bytes: u64,
    /// Places in the middle that could not be read.
    pub damaged_places: u64,
    /// Their bytes.
    pub damaged_bytes: u64,
    /// Batches that were sealed, not acknowledged, and cannot be read.
    pub lost_batches: u64,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Broken {
    /// The last batch that can be delivered in each damaged epoch.
    keep: Vec<Position>,
    pub(super) lost_batches: u64,
    lost_bytes: u64,
}

/// Opens in one of two ways. While the chain file is whole and nothing was found damaged, the names of the segments tell what is
/// in them: only the next one to be delivered and the last are read. A bit that rotted in another is found when its turn
/// comes, and makes the next opening read everything, as whatever is wrong here does at once.
pub(super) fn recover(dir: &Path, segment_bytes: u64) -> Result<(State, Recovery), SpoolError> {
    let (mut file, known, is_sure) = ChainFile::open(dir)?;
    let mut names = files::names(dir)?;
    // What an interrupted renewal left: its records still are where it took them from.
    if let Some(chain) = &known {
        while let Some((_, _, path)) = names.pop_if(|(epoch, _, _)| *epoch > chain.head.at.epoch) {
            disk::remove(&path)?;
        }
    }
    let trusted = known.as_ref().filter(|chain| is_sure && !chain.suspect && chain.cuts.is_empty());
    let mut found = Found::read(&names, trusted)?;
    let mut settled = settle(dir, segment_bytes, &known, is_sure, found.clone())?;
    if trusted.is_some() && settled.2.is_some() {
        found = Found::read(&names, None)?;
        settled = settle(dir, segment_bytes, &known, is_sure, found.clone())?;
    }
    let (chain, mut files, broken) = settled;
    let mut recovery = found.recovery;
    recovery.lost_batches = broken.as_ref().map_or(0, |broken| broken.lost_batches);
    // Where something is lost, the files as they are tell so until the chain is renewed: a torn end may be a batch that was
    // delivered, and were it cut, another opening with less of the chain's state left would use its number again.
    if broken.is_none() {
        // Before a slot is written: torn, beside a torn end, it would look like damage.
        files.cut_torn()?;
        // What was found beyond the file can be sent from now on, and whatever is sent must be known to it.
        let is_new = known.is_none() && files.list.is_empty();
        let is_known = is_new || file.write_both(&chain).is_ok();
        files.remove_through(chain.acked, is_known);
    }
    Ok((State { chain, file, files, broken }, recovery))
}

/// What the chain is, by its file and the segments.
fn settle(
    dir: &Path,
    segment_bytes: u64,
    known: &Option<Chain>,
    is_sure: bool,
    Found { list, mut runs, recovery }: Found,
) -> Result<(Chain, Files, Option<Broken>), SpoolError> {
    let mut files = Files::new(dir.to_owned(), segment_bytes, list);
    let mut chain = known.clone().unwrap_or_default();
    chain.suspect = false;
    for cut in std::mem::take(&mut chain.cuts) {
        files.cut(cut)?;
        runs.cut(cut);
    }
    if let Some(newest) = files.list.iter().rfind(|segment| segment.last >= segment.first)
        && (newest.end() > chain.head.at || known.is_none())
    {
        let digest = files.salvage(newest, newest.last - 1)?.last().map_or(Digest::ZERO, Envelope::digest);
        if newest.epoch > chain.head.at.epoch {
            chain.begin(newest.epoch);
        }
        chain.head = Head { at: newest.end(), digest };
        // Any append declares what was undeclared before it.
        chain.undeclared = Undeclared::default();
    }
    // Where the newest state is not known, what is not readable at the end may be batches that were delivered: their numbers
    // must not be used again.
    // One slot alone may also be what a crash of the last opening tore, beside a file that was left empty.
    let is_end_unknown = match known {
        None => recovery.torn_bytes > 0 || is_unreadable(files.list.last()),
        Some(_) => !is_sure && recovery.torn_bytes > 0,
    };
    let mut uncounted = 0;
    if let Some(newest) = files.list.last().filter(|_| is_end_unknown) {
        // Unless the state that is left tells of a batch there, it is one more than the numbers show.
        uncounted = u64::from(newest.end() >= chain.head.at);
        chain.head.at = chain.head.at.max(newest.end());
    }
    if let Some(oldest) = files.list.first() {
        let removed = Position { epoch: oldest.epoch, seq: oldest.first.saturating_sub(1) };
        chain.acked = chain.acked.max(removed).min(chain.head.at);
    }
    chain.forget();
    let mut broken = runs.broken(&chain, recovery.damaged_bytes);
    if is_end_unknown {
        let end = chain.head.at;
        let broken = broken.get_or_insert_default();
        if broken.keep.iter().all(|keep| keep.epoch != end.epoch) {
            broken.keep.push(end);
        }
        broken.lost_batches = (broken.lost_batches + uncounted).max(1);
    }
    Ok((chain, files, broken))
}

fn is_unreadable(segment: Option<&Segment>) -> bool {
    segment.is_some_and(|segment| segment.last < segment.first)
}

/// The segments and what is in them.
#[derive(Clone, Debug, Default)]
struct Found {
    list: Vec<Segment>,
    runs: Runs,
    recovery: Recovery,
}

impl Found {
    /// With a chain file that can be trusted, only what must be read.
    fn read(names: &[(u64, u64, PathBuf)], trusted: Option<&Chain>) -> Result<Self, SpoolError> {
        let mut found = Self::default();
        let mut delivers = false;
        for (idx, (epoch, first, path)) in names.iter().enumerate() {
            let next = names.get(idx + 1);
            let known = trusted.zip(next).and_then(|(chain, next)| {
                let last = if next.0 == *epoch { next.1.checked_sub(1) } else { chain.end_of(*epoch) };
                let end = Position { epoch: *epoch, seq: last.filter(|last| last >= first)? };
                // The next one to be delivered is read: damage there must show before it is its turn again.
                let is_next = end > chain.acked && !std::mem::replace(&mut delivers, true);
                (!is_next).then_some(end.seq)
            });
            let segment = match known {
                Some(last) => {
                    let bytes = disk::at("look at", path, fs::metadata(path))?.len();
                    found.runs.add(*epoch, *first, last);
                    Segment { path: path.clone(), epoch: *epoch, first: *first, last, bytes }
                }
                None => found.read_segment(path, (*epoch, *first), next.is_none())?,
            };
            found.list.push(segment);
        }
        Ok(found)
    }

    /// Of the last one the end may be torn, and is not counted in its size.
    fn read_segment(
        &mut self,
        path: &Path,
        (epoch, first): (u64, u64),
        is_last: bool,
    ) -> Result<Segment, SpoolError> {
        let recovery = &mut self.recovery;
        let (bytes, scan) = files::read(path, epoch)?;
        let rest = (bytes.len() - scan.end) as u64;
        let mut size = bytes.len() as u64;
        if is_last {
            // What a killed process wrote may not be durable yet, and from here on it counts as such.
            let file = files::open_at(path, 0)?;
            if rest > 0 {
                recovery.torn_bytes += rest;
                size = scan.end as u64;
            }
            disk::sync(&file, path)?;
            path.parent().map_or(Ok(()), disk::sync_dir)?;
        } else if rest > 0 {
            recovery.damaged_places += 1;
            recovery.damaged_bytes += rest;
        }
        for place in &scan.damaged {
            recovery.damaged_places += 1;
            recovery.damaged_bytes += place.len() as u64;
        }
        for record in &scan.records {
            self.runs.add(epoch, record.seq, record.seq);
        }
        if rest > 0 {
            self.runs.open(epoch);
        }
        let last = scan.records.last().map_or_else(|| first.saturating_sub(1), |record| record.seq);
        Ok(Segment { path: path.to_owned(), epoch, first, last, bytes: size })
    }
}

/// Which numbers were found, per epoch, as inclusive ranges: one where nothing is missing.
#[derive(Clone, Debug, Default)]
struct Runs {
    found: BTreeMap<u64, Vec<(u64, u64)>>,
    /// Epochs whose last bytes are no record.
    open: BTreeSet<u64>,
}

impl Runs {
    fn add(&mut self, epoch: u64, first: u64, last: u64) {
        self.open.remove(&epoch);
        let runs = self.found.entry(epoch).or_default();
        match runs.last_mut() {
            Some((_, end)) if *end + 1 == first => *end = last,
            Some(_) | None => runs.push((first, last)),
        }
    }

    /// What follows in this epoch cannot be read.
    fn open(&mut self, epoch: u64) {
        self.found.entry(epoch).or_default();
        self.open.insert(epoch);
    }

    fn cut(&mut self, end: Position) {
        self.open.remove(&end.epoch);
        if let Some(runs) = self.found.get_mut(&end.epoch) {
            runs.retain(|(first, _)| *first <= end.seq);
            if let Some((_, last)) = runs.last_mut() {
                *last = end.seq.min(*last);
            }
        }
    }

    fn broken(mut self, chain: &Chain, lost_bytes: u64) -> Option<Broken> {
        for end in chain.past.iter().chain([&chain.head.at]) {
            self.found.entry(end.epoch).or_default();
        }
        let mut broken = Broken { keep: Vec::new(), lost_batches: 0, lost_bytes };
        for (epoch, runs) in self.found.range(chain.acked.epoch..) {
            let start = if *epoch == chain.acked.epoch { chain.acked.seq } else { 0 };
            let found = runs.iter().filter(|(_, last)| *last > start);
            let (mut keep, mut count, mut end) = (start, 0, start);
            for (first, last) in found {
                let first = (*first).max(start + 1);
                if first == keep + 1 {
                    keep = *last;
                }
                count += last + 1 - first;
                end = *last;
            }
            if *epoch == chain.head.at.epoch {
                end = end.max(chain.head.at.seq);
            } else if let Some(known) = chain.end_of(*epoch) {
                end = end.max(known);
            } else if self.open.contains(epoch) {
                // How many they were is not known any more.
                end += 1;
            }
            // Of very many damaged epochs the first: the others show when it is their turn.
            if keep != end && broken.keep.len() < EPOCHS_MAX {
                broken.keep.push(Position { epoch: *epoch, seq: keep });
                broken.lost_batches += end - start - count;
            }
        }
        (!broken.keep.is_empty()).then_some(broken)
    }
}

/// A new epoch being written; nothing of it counts before [`Renewal::commit`].
#[derive(Debug)]
pub struct Renewal<'a> {
    spool: &'a Spool,
    state: MutexGuard<'a, State>,
    broken: Broken,
    files: Files,
    head: Head,
    stranded: std::vec::IntoIter<(Segment, u64)>,
}

impl<'a> Renewal<'a> {
    pub(super) fn begin(spool: &'a Spool, epoch: u64) -> Option<Self> {
        let state = spool.state();
        let broken = state.broken.clone()?;
        let stranded: Vec<_> = state
            .files
            .list
            .iter()
            .filter_map(|segment| {
                let keep = broken.keep.iter().find(|keep| keep.epoch == segment.epoch)?;
                (segment.last > keep.seq).then(|| (segment.clone(), keep.seq))
            })
            .collect();
        let epoch = epoch.max(state.chain.head.at.epoch + 1);
        let head = Head { at: Position { epoch, seq: 0 }, digest: Digest::ZERO };
        let files = state.files.successor();
        Some(Self { spool, state, broken, files, head, stranded: stranded.into_iter() })
    }

    /// What the first new batch follows.
    pub const fn head(&self) -> Head {
        self.head
    }

    /// Batches that cannot be read.
    pub const fn lost_batches(&self) -> u64 {
        self.broken.lost_batches
    }

    /// Bytes that could not be read.
    pub const fn lost_bytes(&self) -> u64 {
        self.broken.lost_bytes
    }

    /// Losses that were still to be declared.
    pub fn undeclared(&self) -> Undeclared {
        self.state.chain.undeclared.clone()
    }

    /// The next batches that can be read and no longer delivered as they are, one file's worth; `None` at the end.
    ///
    /// # Errors
    /// If the disk fails.
    pub fn next_stranded(&mut self) -> Result<Option<Vec<Envelope>>, SpoolError> {
        match self.stranded.next() {
            Some((segment, seq)) => self.state.files.salvage(&segment, seq).map(Some),
            None => Ok(None),
        }
    }

    /// Appends to the new epoch, beyond the quota if need be: these bytes replace others.
    ///
    /// # Errors
    /// If the disk fails.
    pub fn append(&mut self, first: Position, envelopes: &[Envelope]) -> Result<(), SpoolError> {
        let Some(newest) = envelopes.last() else { return Ok(()) };
        super::must_follow(self.head, first);
        let raw: Vec<Vec<u8>> = envelopes.iter().map(Envelope::to_bytes).collect();
        self.files.append(first, &raw, false)?;
        let last = Position { epoch: first.epoch, seq: first.seq + envelopes.len() as u64 - 1 };
        self.head = Head { at: last, digest: newest.digest() };
        Ok(())
    }

    /// From here on the new epoch is the chain, and what it replaces goes.
    ///
    /// # Errors
    /// If the disk fails; the next opening then begins again, or finishes.
    pub fn commit(mut self) -> Result<(), SpoolError> {
        let state = &mut *self.state;
        let mut chain = state.chain.clone();
        chain.begin(self.head.at.epoch);
        chain.head = self.head;
        chain.undeclared = Undeclared::default();
        chain.past.retain(|end| self.broken.keep.iter().all(|keep| keep.epoch != end.epoch));
        chain.cuts.clone_from(&self.broken.keep);
        // To both slots: what is removed now, an older state would take for acknowledged.
        state.file.write_both(&chain)?;
        for keep in &self.broken.keep {
            state.files.cut(*keep)?;
        }
        chain.past.append(&mut chain.cuts);
        chain.past.sort();
        chain.forget();
        state.file.write_both(&chain)?;
        state.chain = chain;
        state.files.list.append(&mut self.files.list);
        state.broken = None;
        self.spool.tell_pending(state);
        Ok(())
    }
}
