//! The small file beside the segments: how far the chain was sealed and acknowledged, and what is still to be declared.
//!
//! ```text
//! two slots of 4 KiB: "SKCHAIN1" | sequence u64 | length u32 | CRC32C of the two and the JSON u32 | JSON      (little endian)
//! ```
//! It has its size from the beginning and is written over in place, one slot after the other, so that a full disk still takes
//! it. A write that is torn leaves the slot before it; so does a bit that rots, and then the newest state may be the one that
//! is gone: what must outlive that is written to both.

use std::fs;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use sekimori_wire::id::Digest;
use sekimori_wire::record;
use sekimori_wire::time::Timestamp;
use serde::{Deserialize, Serialize};

use super::chain_path;
use crate::disk::{self, DiskError};

const MAGIC: &[u8; 8] = b"SKCHAIN1";
const SLOT_BYTES: usize = 4096;
const FILE_BYTES: usize = 2 * SLOT_BYTES;
/// Epochs whose ends are remembered, and that one renewal cuts: what fits into a slot.
pub(super) const EPOCHS_MAX: usize = 40;

/// Name of one batch of this agent; ordered as they were sealed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Position {
    /// The chain.
    pub epoch: u64,
    /// The number within it; 0 is before the first.
    pub seq: u64,
}

/// The end of the chain: what the next batch must follow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Head {
    /// The last batch sealed.
    pub at: Position,
    /// Its digest; zero if there is none in this epoch.
    pub digest: Digest,
}

/// Records that were dropped and are not yet declared in a signed record.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Undeclared {
    from: u64,
    until: u64,
    reason: String,
    records: u64,
    bytes: u64,
}

impl Undeclared {
    /// Adds one loss. Of several reasons the first is kept: it is the cause of the others more often than not.
    pub fn add(&mut self, at: Timestamp, reason: &str, records: u64, bytes: u64) {
        if self.records == 0 {
            reason.clone_into(&mut self.reason);
            self.from = at.nanos();
        }
        self.from = self.from.min(at.nanos());
        self.until = self.until.max(at.nanos());
        self.records = self.records.saturating_add(records);
        self.bytes = self.bytes.saturating_add(bytes);
    }

    /// The record that declares it, if there is something to declare.
    pub fn declaration(&self) -> Option<record::Record> {
        (self.records > 0).then(|| {
            record::Record::Gap(record::Gap {
                from: Timestamp::from_nanos(self.from),
                until: Timestamp::from_nanos(self.until),
                reason: self.reason.as_str().into(),
                records: self.records,
                bytes: self.bytes,
            })
        })
    }
}

/// What the file says.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Chain {
    #[serde(with = "head")]
    pub(super) head: Head,
    pub(super) acked: Position,
    pub(super) undeclared: Undeclared,
    /// Where damaged epochs end: what follows in them was sealed again and waits for removal.
    pub(super) cuts: Vec<Position>,
    /// Where earlier epochs end of which something is not acknowledged.
    pub(super) past: Vec<Position>,
    /// A segment could not be read back: the next opening must look at all of them.
    pub(super) suspect: bool,
}

/// A head is its place and its digest.
mod head {
    use super::{Digest, Head, Position};
    use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

    pub(super) fn serialize<S: Serializer>(head: &Head, to: S) -> Result<S::Ok, S::Error> {
        (head.at, head.digest.to_string()).serialize(to)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Head, D::Error> {
        let (at, digest) = <(Position, String)>::deserialize(from)?;
        let digest: Digest = digest.parse().map_err(|_cause| D::Error::custom("a digest"))?;
        Ok(Head { at, digest })
    }
}

impl Chain {
    /// As it was last written; `None` if there is no file, or only a damaged one: then the segments alone must tell.
    pub(super) fn read(path: &Path) -> Result<Option<Self>, DiskError> {
        Ok(Slots::of(&read(path)?).newest.map(|(_, chain)| chain))
    }

    /// Where an earlier epoch ends, as far as it is known.
    pub(super) fn end_of(&self, epoch: u64) -> Option<u64> {
        self.cuts.iter().chain(&self.past).find(|end| end.epoch == epoch).map(|end| end.seq)
    }

    /// Begins another epoch.
    pub(super) fn begin(&mut self, epoch: u64) {
        self.past.push(self.head.at);
        self.head = Head { at: Position { epoch, seq: 0 }, digest: Digest::ZERO };
        self.forget();
    }

    /// Forgets the ends of what is acknowledged, and of more than fit into a slot the oldest.
    pub(super) fn forget(&mut self) {
        let acked = self.acked;
        self.past.retain(|end| *end > acked && end.seq > 0);
        let surplus = self.past.len().saturating_sub(EPOCHS_MAX);
        self.past.drain(..surplus);
    }

    fn to_slot(&self, sequence: u64) -> Vec<u8> {
        let json = serde_json::to_vec(self).unwrap_or_default();
        let len = u32::try_from(json.len()).unwrap_or(u32::MAX).to_le_bytes();
        let sequence = sequence.to_le_bytes();
        let sum = checksum(&[&sequence, &len, &json]).to_le_bytes();
        [&MAGIC[..], &sequence, &len, &sum, &json].concat()
    }

    fn of_slot(slot: &[u8]) -> Option<(u64, Self)> {
        let (sequence, rest) = slot.strip_prefix(MAGIC)?.split_first_chunk::<8>()?;
        let (len, rest) = rest.split_first_chunk::<4>()?;
        let (sum, rest) = rest.split_first_chunk::<4>()?;
        let json = rest.get(..usize::try_from(u32::from_le_bytes(*len)).ok()?)?;
        if checksum(&[sequence, len, json]) != u32::from_le_bytes(*sum) {
            return None;
        }
        Some((u64::from_le_bytes(*sequence), serde_json::from_slice(json).ok()?))
    }
}

fn checksum(parts: &[&[u8]]) -> u32 {
    parts.iter().fold(0, |sum, part| crc32c::crc32c_append(sum, part))
}

/// What can be read of a file.
#[derive(Debug, Default)]
struct Slots {
    newest: Option<(u64, Chain)>,
    /// Both say the same.
    same: bool,
    /// One was written, and cannot be read: it may have been the newest.
    spoiled: bool,
}

impl Slots {
    fn of(bytes: &[u8]) -> Self {
        let mut slots = Self::default();
        for slot in bytes.chunks(SLOT_BYTES) {
            match Chain::of_slot(slot) {
                None => slots.spoiled |= slot.iter().any(|byte| *byte != 0),
                Some((sequence, chain)) => {
                    slots.same = slots.newest.as_ref().is_some_and(|(_, other)| *other == chain);
                    if slots.newest.as_ref().is_none_or(|(newest, _)| *newest < sequence) {
                        slots.newest = Some((sequence, chain));
                    }
                }
            }
        }
        slots
    }
}

fn read(path: &Path) -> Result<Vec<u8>, DiskError> {
    let read = || -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        fs::File::open(path)?.take(FILE_BYTES as u64).read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    match read() {
        Err(cause) if cause.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        read => disk::at("read", path, read),
    }
}

/// The file, open for the one process that may write it.
#[derive(Debug)]
pub(super) struct ChainFile {
    path: PathBuf,
    file: fs::File,
    /// Of the slot written last.
    sequence: u64,
    /// What it says, and whether both slots do.
    written: Option<(Chain, bool)>,
}

impl ChainFile {
    /// Opens the file, or makes one. What it says, and whether that is sure to be the newest.
    pub(super) fn open(dir: &Path) -> Result<(Self, Option<Chain>, bool), DiskError> {
        let path = chain_path(dir);
        let bytes = read(&path)?;
        let Slots { newest, same, spoiled } = Slots::of(&bytes);
        let sequence = newest.as_ref().map_or(0, |(sequence, _)| *sequence);
        if spoiled {
            tracing::warn!(path = %path.display(), "a slot of the chain file is damaged");
        }
        if bytes.len() != FILE_BYTES {
            // Room for both slots from now on.
            let mut whole = vec![0; FILE_BYTES];
            if let Some((sequence, chain)) = &newest {
                let at = slot_of(*sequence);
                let slot = chain.to_slot(*sequence);
                whole.splice(at..at + slot.len(), slot);
            }
            disk::write_atomic(&path, &whole)?;
        }
        let file = disk::at("open", &path, fs::File::options().write(true).open(&path))?;
        // What a killed process wrote counts from here on, so it must be durable.
        disk::sync(&file, &path)?;
        let chain = newest.map(|(_, chain)| chain);
        let written = chain.clone().map(|chain| (chain, same));
        Ok((Self { path, file, sequence, written }, chain, !spoiled))
    }

    /// Writes one slot, if it is news.
    pub(super) fn write(&mut self, chain: &Chain) -> Result<(), DiskError> {
        if self.written.as_ref().is_some_and(|(written, _)| written == chain) {
            return Ok(());
        }
        self.write_slot(chain)
    }

    /// Writes it to both slots: neither a torn write nor a bit that rots takes it away.
    pub(super) fn write_both(&mut self, chain: &Chain) -> Result<(), DiskError> {
        self.write(chain)?;
        if self.written.as_ref().is_some_and(|(_, both)| *both) {
            return Ok(());
        }
        self.write_slot(chain)
    }

    fn write_slot(&mut self, chain: &Chain) -> Result<(), DiskError> {
        let sequence = self.sequence + 1;
        let slot = chain.to_slot(sequence);
        if slot.len() > SLOT_BYTES {
            return disk::at("write", &self.path, Err(io::ErrorKind::InvalidInput.into()));
        }
        disk::overwrite(&self.file, &self.path, slot_of(sequence) as u64, &slot)?;
        disk::sync(&self.file, &self.path)?;
        let both = self.written.as_ref().is_some_and(|(written, _)| written == chain);
        self.sequence = sequence;
        self.written = Some((chain.clone(), both));
        Ok(())
    }
}

/// Where the slot with this sequence number is.
const fn slot_of(sequence: u64) -> usize {
    if sequence.is_multiple_of(2) { 0 } else { SLOT_BYTES }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chain(seq: u64) -> Chain {
        Chain {
            head: Head { at: Position { epoch: 1, seq }, digest: Digest::of(b"x") },
            acked: Position { epoch: 1, seq: 11 },
            cuts: vec![Position { epoch: 1, seq: 3 }],
            ..Chain::default()
        }
    }

    #[test]
    fn reads_back_and_refuses_every_flipped_bit() {
        let mut chain = chain(12);
        assert_eq!(chain.undeclared.declaration(), None);
        chain.undeclared.add(Timestamp::from_secs(2), "full", 3, 4);
        let slot = chain.to_slot(7);
        assert_eq!(Chain::of_slot(&slot), Some((7, chain)));
        for bit in 0..8 * slot.len() {
            let mut bytes = slot.clone();
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(Chain::of_slot(&bytes), None, "bit {bit}");
        }
    }

    #[test]
    fn the_largest_state_fits_its_slot() {
        let mut chain = chain(u64::from(u32::MAX));
        chain.undeclared.add(Timestamp::from_secs(u64::from(u32::MAX)), &"x".repeat(128), u64::MAX, u64::MAX);
        chain.cuts.clear();
        for epoch in 1..=EPOCHS_MAX as u64 + 9 {
            chain.head.at = Position { epoch: 1_000_000 + epoch, seq: 1 << 40 };
            chain.begin(1_000_000 + epoch + 1);
        }
        assert_eq!(chain.past.len(), EPOCHS_MAX);
        chain.cuts = chain.past.clone();
        assert!(chain.to_slot(u64::MAX).len() <= SLOT_BYTES, "{}", chain.to_slot(u64::MAX).len());
    }

    #[test]
    fn a_slot_that_is_torn_or_rots_leaves_the_one_before_it() {
        let dir = crate::spool::tests::scratch();
        let path = chain_path(dir.path());
        let (mut file, known, sure) = ChainFile::open(dir.path()).unwrap();
        assert_eq!((known, sure), (None, true));
        for seq in 12..=15 {
            file.write(&chain(seq)).unwrap();
            assert_eq!(Chain::read(&path).unwrap(), Some(chain(seq)));
            let whole = fs::read(&path).unwrap();
            assert_eq!(whole.len(), FILE_BYTES);
            let newest = slot_of(file.sequence);
            let mut torn = whole.clone();
            torn[newest + 40] ^= 1;
            fs::write(&path, &torn).unwrap();
            let (_, known, sure) = ChainFile::open(dir.path()).unwrap();
            assert_eq!((known, sure), ((seq > 12).then(|| chain(seq - 1)), false));
            fs::write(&path, &whole).unwrap();
        }
        file.write_both(&chain(15)).unwrap();
        let whole = fs::read(&path).unwrap();
        for at in [30, SLOT_BYTES + 30] {
            let mut rotten = whole.clone();
            rotten[at] ^= 1;
            fs::write(&path, &rotten).unwrap();
            assert_eq!(Chain::read(&path).unwrap(), Some(chain(15)), "byte {at}");
        }
        // Neither is there any more.
        fs::write(&path, vec![7; FILE_BYTES]).unwrap();
        let (_, known, sure) = ChainFile::open(dir.path()).unwrap();
        assert_eq!((known, sure), (None, false));
    }
}
