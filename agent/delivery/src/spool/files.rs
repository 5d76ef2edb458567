//! The segment files of a folder: appending to the last, reading from the first, removing whole ones.

use std::cell::Cell;
use std::fs::{self, File};
use std::io::{self, BufReader, Read, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};

use sekimori_wire::envelope::Envelope;

use super::SpoolError;
use super::chain::Position;
use super::segment::{self, ENVELOPE_BYTES_MAX, HEADER_BYTES, Scan};
use crate::disk::{self, DiskError};

/// No more of one file is read into memory: a segment ends at the record that passes its size.
const READ_BYTES_MAX: u64 = 16 * 1024 * 1024;
/// What is read at a time of a segment that is delivered.
const READ_AHEAD_BYTES: usize = 64 * 1024;

/// One file: numbers `first..=last` of `epoch`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Segment {
    pub(super) path: PathBuf,
    pub(super) epoch: u64,
    pub(super) first: u64,
    /// `first - 1` if it holds nothing.
    pub(super) last: u64,
    pub(super) bytes: u64,
}

impl Segment {
    pub(super) const fn end(&self) -> Position {
        Position { epoch: self.epoch, seq: self.last }
    }

    /// How many of its batches come after `position`.
    fn after(&self, position: Position) -> u64 {
        let done = if self.epoch == position.epoch { position.seq } else { 0 };
        if self.end() <= position { 0 } else { self.last + 1 - self.first.max(done + 1) }
    }
}

/// The files, in order.
#[derive(Debug)]
pub(super) struct Files {
    dir: PathBuf,
    segment_bytes: u64,
    pub(super) list: Vec<Segment>,
    writer: Option<File>,
    /// A file that may hold bytes of an append that failed.
    dirty: Option<PathBuf>,
    /// Where the record after this position begins: whoever delivers reads on from there.
    cursor: Cell<Option<(Position, u64)>>,
}

impl Files {
    pub(super) const fn new(dir: PathBuf, segment_bytes: u64, list: Vec<Segment>) -> Self {
        Self { dir, segment_bytes, list, writer: None, dirty: None, cursor: Cell::new(None) }
    }

    /// None yet, in the same folder.
    pub(super) fn successor(&self) -> Self {
        Self::new(self.dir.clone(), self.segment_bytes, Vec::new())
    }

    /// Bytes that a batch of envelopes will take.
    pub(super) fn size_of(envelopes: &[Vec<u8>]) -> u64 {
        envelopes.iter().map(|envelope| (envelope.len() + HEADER_BYTES) as u64).sum()
    }

    pub(super) fn bytes(&self) -> u64 {
        self.list.iter().map(|segment| segment.bytes).sum()
    }

    /// Bytes of files that hold anything after `position`.
    pub(super) fn bytes_after(&self, position: Position) -> u64 {
        self.list.iter().filter(|segment| segment.end() > position).map(|segment| segment.bytes).sum()
    }

    /// Batches after `position`.
    pub(super) fn count_after(&self, position: Position) -> u64 {
        self.list.iter().map(|segment| segment.after(position)).sum()
    }

    /// The last number of `epoch` that is held.
    pub(super) fn last_of(&self, epoch: u64) -> Option<u64> {
        self.list.iter().rfind(|segment| segment.epoch == epoch).map(|segment| segment.last)
    }

    /// Whether a batch should be here.
    pub(super) fn holds(&self, at: Position) -> bool {
        let held =
            |segment: &Segment| segment.epoch == at.epoch && (segment.first..=segment.last).contains(&at.seq);
        self.list.iter().any(held)
    }

    /// Appends consecutive batches of one epoch and makes them durable: all of them, or on an error none.
    pub(super) fn append(
        &mut self,
        first: Position,
        envelopes: &[Vec<u8>],
        roll: bool,
    ) -> Result<(), DiskError> {
        self.repair()?;
        let mut bytes = Vec::with_capacity(usize::try_from(Self::size_of(envelopes)).unwrap_or(0));
        for (seq, envelope) in (first.seq..).zip(envelopes) {
            segment::encode(first.epoch, seq, envelope, &mut bytes);
        }
        let continued = self.list.last().filter(|segment| {
            let fits = segment.bytes == 0 || segment.bytes + bytes.len() as u64 <= self.segment_bytes;
            !roll && fits && segment.epoch == first.epoch && segment.last + 1 == first.seq
        });
        let mut segment = continued.cloned().unwrap_or_else(|| Segment {
            path: segment::path(&self.dir, first.epoch, first.seq),
            epoch: first.epoch,
            first: first.seq,
            last: first.seq - 1,
            bytes: 0,
        });
        let is_new = continued.is_none();
        if is_new {
            self.writer = None;
        }
        self.dirty = Some(segment.path.clone());
        if let Err(error) = self.write(&segment, is_new, &bytes) {
            // At once: an end that looks torn beside a slot of the chain that a crash tore would look like damage. What cannot
            // be taken back now is before the next append.
            self.repair().unwrap_or_else(|left| {
                tracing::warn!(
                    error = &left as &dyn std::error::Error,
                    "an append that failed leaves something behind"
                );
            });
            return Err(error);
        }
        self.dirty = None;
        segment.last += envelopes.len() as u64;
        segment.bytes += bytes.len() as u64;
        if !is_new {
            self.list.pop();
        }
        self.list.push(segment);
        Ok(())
    }

    fn write(&mut self, segment: &Segment, is_new: bool, bytes: &[u8]) -> Result<(), DiskError> {
        let mut file = match self.writer.take() {
            Some(file) => file,
            None if is_new => disk::create(&segment.path)?,
            None => open_at(&segment.path, segment.bytes)?,
        };
        disk::append(&mut file, &segment.path, bytes)?;
        disk::sync(&file, &segment.path)?;
        if is_new {
            disk::sync_dir(&self.dir)?;
        }
        self.writer = Some(file);
        Ok(())
    }

    /// Takes back what a failed append may have left, before anything else is written.
    fn repair(&mut self) -> Result<(), DiskError> {
        let Some(path) = &self.dirty else { return Ok(()) };
        self.writer = None;
        match self.list.last().filter(|segment| segment.path == *path) {
            Some(segment) => {
                let file = open_at(path, segment.bytes)?;
                disk::truncate(&file, path, segment.bytes)?;
                disk::sync(&file, path)?;
            }
            None if path.exists() => {
                disk::remove(path)?;
                disk::sync_dir(&self.dir)?;
            }
            None => (),
        }
        self.dirty = None;
        Ok(())
    }

    /// Consecutive batches after `position`, at most `max` and `max_bytes` (but at least one), all of one epoch.
    pub(super) fn read_after(
        &self,
        position: Position,
        max: usize,
        max_bytes: usize,
    ) -> Result<Vec<(Position, Envelope)>, SpoolError> {
        let mut room = Room { max, max_bytes, size: 0, out: Vec::new(), full: max == 0 };
        let mut expected: Option<Position> = None;
        let holds = |segment: &&Segment| segment.end() > position && segment.last >= segment.first;
        for segment in self.list.iter().filter(holds) {
            let next = expected.unwrap_or_else(|| Position {
                epoch: segment.epoch,
                seq: if segment.epoch == position.epoch { position.seq + 1 } else { 1 },
            });
            if segment.epoch != next.epoch || room.full {
                break;
            }
            let mut after = self.read_on(segment, next, &mut room)?;
            if after == next && !room.full {
                // Something before it cannot be read; the batch itself may be.
                after = find(segment, next, &mut room)?;
            }
            if room.full {
                break;
            }
            if after.seq <= segment.last {
                // What comes before the damage can still be sent.
                let damaged = SpoolError::Damaged { path: segment.path.clone(), seq: after.seq };
                return if room.out.is_empty() { Err(damaged) } else { Ok(room.out) };
            }
            expected = Some(after);
        }
        Ok(room.out)
    }

    /// Takes batches of one file from `next` on, for as long as they are whole; the first that was not taken. One record is
    /// in memory at a time.
    fn read_on(&self, segment: &Segment, next: Position, room: &mut Room) -> Result<Position, DiskError> {
        let before = Position { seq: next.seq.saturating_sub(1), ..next };
        let known = self.cursor.get().filter(|(at, _)| *at == before && next.seq > segment.first);
        let (mut seq, mut offset) = known.map_or((segment.first, 0), |(_, offset)| (next.seq, offset));
        let mut file = disk::at("open", &segment.path, File::open(&segment.path))?;
        disk::at("read", &segment.path, file.seek(SeekFrom::Start(offset)))?;
        let mut file = BufReader::with_capacity(READ_AHEAD_BYTES, file);
        let (mut header, mut envelope) = ([0; HEADER_BYTES], Vec::new());
        while let Some(record) = disk::at("read", &segment.path, filled(&mut file, &mut header))?
            .then(|| segment::Header::of(&header))
            .filter(|record| record.fits(segment.epoch, seq))
        {
            let size = HEADER_BYTES as u64 + record.len as u64;
            if seq < next.seq {
                let skip = i64::try_from(record.len).unwrap_or(i64::MAX);
                disk::at("read", &segment.path, file.seek_relative(skip))?;
            } else {
                envelope.resize(record.len, 0);
                let whole = disk::at("read", &segment.path, filled(&mut file, &mut envelope))?;
                if !whole || !record.covers(&envelope) || !room.take(Position { seq, ..next }, &envelope) {
                    break;
                }
                self.cursor.set(Some((Position { seq, ..next }, offset + size)));
            }
            (seq, offset) = (seq + 1, offset + size);
            if room.full {
                break;
            }
        }
        Ok(Position { seq: seq.max(next.seq), ..next })
    }

    /// The good batches of one file after `seq`, whatever their order.
    pub(super) fn salvage(&self, segment: &Segment, seq: u64) -> Result<Vec<Envelope>, SpoolError> {
        let (bytes, scan) = read(&segment.path, segment.epoch)?;
        let good = scan.records.iter().filter(|found| found.seq > seq);
        Ok(good.filter_map(|found| Envelope::from_bytes(bytes.get(found.envelope.clone())?).ok()).collect())
    }

    /// Removes whole files up to `position`; the last that holds anything stays, so that the end of the chain can be read
    /// from it. (A later one may be empty: what an append for which there was no room has left.)
    /// Unless `position` is `known` to the chain file, what went before is gone for good before the next goes, also what an
    /// earlier call removed: what is left then is never more than an end of the chain, whose first name tells what was
    /// removed.
    pub(super) fn remove_through(&mut self, position: Position, known: bool) {
        while let [first, later @ ..] = self.list.as_slice() {
            if first.end() > position || later.iter().all(|segment| segment.last < segment.first) {
                break;
            }
            let before = if known { Ok(()) } else { disk::sync_dir(&self.dir) };
            if let Err(error) = before.and_then(|()| disk::remove(&first.path)) {
                tracing::warn!(error = &error as &dyn std::error::Error, "an acknowledged segment stays");
                break;
            }
            self.list.remove(0);
        }
    }

    /// Cuts what is behind the last whole batch of the last file.
    pub(super) fn cut_torn(&self) -> Result<(), DiskError> {
        let Some(segment) = self.list.last() else { return Ok(()) };
        let bytes = disk::at("look at", &segment.path, fs::metadata(&segment.path))?.len();
        if bytes <= segment.bytes {
            return Ok(());
        }
        let file = open_at(&segment.path, segment.bytes)?;
        disk::truncate(&file, &segment.path, segment.bytes)?;
        disk::sync(&file, &segment.path)
    }

    /// Removes what comes after `end` in its epoch, readable or not.
    pub(super) fn cut(&mut self, end: Position) -> Result<(), DiskError> {
        self.writer = None;
        let mut kept = Vec::with_capacity(self.list.len());
        for mut segment in self.list.drain(..) {
            if segment.epoch != end.epoch || segment.last < end.seq {
                kept.push(segment);
            } else if segment.first > end.seq {
                disk::remove(&segment.path)?;
            } else {
                let (_, scan) = read(&segment.path, segment.epoch)?;
                let keep = scan.records.iter().rfind(|found| found.seq <= end.seq);
                segment.bytes = keep.map_or(0, |found| found.envelope.end as u64);
                segment.last = keep.map_or(segment.first - 1, |found| found.seq);
                let file = open_at(&segment.path, segment.bytes)?;
                disk::truncate(&file, &segment.path, segment.bytes)?;
                disk::sync(&file, &segment.path)?;
                kept.push(segment);
            }
        }
        self.list = kept;
        disk::sync_dir(&self.dir)
    }
}

/// Batches that are being read.
struct Room {
    max: usize,
    max_bytes: usize,
    size: usize,
    out: Vec<(Position, Envelope)>,
    full: bool,
}

impl Room {
    /// Takes a batch, if there is room and it is one.
    fn take(&mut self, at: Position, raw: &[u8]) -> bool {
        let is_first = self.out.is_empty();
        if self.out.len() >= self.max || (self.size + raw.len() > self.max_bytes && !is_first) {
            self.full = true;
            return false;
        }
        let Ok(envelope) = Envelope::from_bytes(raw) else { return false };
        self.size += raw.len();
        self.out.push((at, envelope));
        self.full = self.out.len() >= self.max || self.size >= self.max_bytes;
        true
    }
}

/// Takes batches from `next` on, wherever in the file they are; the first that was not taken.
fn find(segment: &Segment, next: Position, room: &mut Room) -> Result<Position, DiskError> {
    let (bytes, scan) = read(&segment.path, segment.epoch)?;
    let (mut next, start) = (next, next.seq);
    for found in scan.records.iter().skip_while(|found| found.seq < start) {
        let raw = bytes.get(found.envelope.clone()).unwrap_or_default();
        if found.seq != next.seq || room.full || !room.take(next, raw) {
            break;
        }
        next.seq += 1;
    }
    Ok(next)
}

/// Fills the buffer; false if the file ends before.
fn filled(file: &mut impl Read, buffer: &mut [u8]) -> io::Result<bool> {
    match file.read_exact(buffer) {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
        read => read.map(|()| true),
    }
}

/// Names of the segment files in a folder, in order, with epoch and first number.
pub(super) fn names(dir: &Path) -> Result<Vec<(u64, u64, PathBuf)>, DiskError> {
    let entries = disk::at("list", dir, fs::read_dir(dir))?;
    let mut names = Vec::new();
    for entry in entries {
        let path = disk::at("list", dir, entry)?.path();
        if let Some((epoch, first)) = segment::parse_name(&path) {
            names.push((epoch, first, path));
        }
    }
    names.sort();
    Ok(names)
}

/// Reads a whole segment.
pub(super) fn read(path: &Path, epoch: u64) -> Result<(Vec<u8>, Scan), DiskError> {
    let mut bytes = Vec::new();
    let limit = READ_BYTES_MAX + ENVELOPE_BYTES_MAX as u64;
    disk::at("read", path, File::open(path).and_then(|file| file.take(limit).read_to_end(&mut bytes)))?;
    let scan = segment::scan(&bytes, epoch);
    Ok((bytes, scan))
}

/// Opens a segment for writing at an offset.
pub(super) fn open_at(path: &Path, offset: u64) -> Result<File, DiskError> {
    let open = || -> io::Result<File> {
        let mut file = File::options().write(true).open(path)?;
        file.seek(SeekFrom::Start(offset))?;
        Ok(file)
    };
    disk::at("open", path, open())
}
