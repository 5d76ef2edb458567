//! Reading a spool without owning it: what `spool inspect`, `spool verify` and `status` show.

use std::path::{Path, PathBuf};

use sekimori_wire::envelope::Envelope;
use sekimori_wire::id::Digest;
use sekimori_wire::keyring::KeyRing;
use serde::Serialize;

use super::chain::{Chain, Position};
use super::segment::Scan;
use super::{SpoolError, chain_path, files};

/// Problems beyond this many are only counted.
const PROBLEMS_MAX: usize = 64;

/// What a spool holds.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Inspection {
    /// The last batch sealed, by the chain file.
    pub head: Position,
    /// Acknowledged up to here, by the chain file.
    pub acked: Position,
    /// Batches that are not acknowledged.
    #[serde(rename = "pending_batches")]
    pub pending: u64,
    /// Bytes of all segments.
    pub bytes: u64,
    /// The files.
    pub segments: Vec<SegmentInfo>,
    /// What is wrong; the first 64.
    pub problems: Vec<Problem>,
    /// How much is wrong.
    pub problems_count: u64,
}

/// One segment file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SegmentInfo {
    /// Where.
    pub path: PathBuf,
    /// Its chain.
    pub epoch: u64,
    /// The first number in it; 0 if it is empty.
    pub first: u64,
    /// The last.
    pub last: u64,
    /// Good records.
    pub batches: u64,
    /// Size of the file.
    pub bytes: u64,
}

/// Something wrong in a segment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// In which file.
    pub path: PathBuf,
    /// Where in it.
    pub offset_bytes: u64,
    /// What.
    pub what: &'static str,
}

/// Reads every record of the spool in `dir` and changes nothing. With the agent's keys, signatures and the chain are
/// verified too. Beside a running agent, the end of the last file may look torn for a moment.
///
/// # Errors
/// If the folder or a file cannot be read.
pub fn inspect(dir: &Path, keys: Option<&KeyRing>) -> Result<Inspection, SpoolError> {
    let chain = Chain::read(&chain_path(dir))?.unwrap_or_default();
    let mut inspection = Inspection { head: chain.head.at, acked: chain.acked, ..Inspection::default() };
    let mut before = None;
    for (epoch, _, path) in files::names(dir)? {
        let (bytes, scan) = files::read(&path, epoch)?;
        let seqs = || scan.records.iter().map(|found| found.seq);
        inspection.bytes += bytes.len() as u64;
        inspection.pending += seqs().filter(|seq| Position { epoch, seq: *seq } > chain.acked).count() as u64;
        inspection.segments.push(SegmentInfo {
            path: path.clone(),
            epoch,
            first: seqs().next().unwrap_or(0),
            last: seqs().next_back().unwrap_or(0),
            batches: scan.records.len() as u64,
            bytes: bytes.len() as u64,
        });
        for place in &scan.damaged {
            inspection.problem(&path, place.start, "no readable record here");
        }
        if scan.end < bytes.len() {
            inspection.problem(&path, scan.end, "the end is torn off");
        }
        inspection.check(&path, epoch, (&bytes, &scan), keys, &mut before);
    }
    if let Some((last, _)) = before
        && last < chain.head.at
    {
        let path = chain_path(dir);
        inspection.problem(&path, 0, "batches that were sealed are missing at the end");
    }
    Ok(inspection)
}

impl Inspection {
    fn check(
        &mut self,
        path: &Path,
        epoch: u64,
        (bytes, scan): (&[u8], &Scan),
        keys: Option<&KeyRing>,
        before: &mut Option<(Position, Digest)>,
    ) {
        for found in &scan.records {
            let at = Position { epoch, seq: found.seq };
            let envelope = bytes.get(found.envelope.clone()).and_then(|raw| Envelope::from_bytes(raw).ok());
            let digest = envelope.as_ref().map_or(Digest::ZERO, Envelope::digest);
            let previous = before.replace((at, digest));
            let follows = match previous {
                Some((last, _)) if last.epoch == epoch => last.seq + 1 == found.seq,
                Some(_) => found.seq == 1,
                None => true,
            };
            if !follows {
                self.problem(path, found.envelope.start, "batches before this one are missing");
            }
            let Some(keys) = keys else { continue };
            match envelope.map(|envelope| keys.verify(&envelope)) {
                None => self.problem(path, found.envelope.start, "not an envelope"),
                Some(Err(_)) => self.problem(path, found.envelope.start, "not signed by this agent's key"),
                Some(Ok(batch)) if (batch.epoch, batch.seq) != (epoch, found.seq) => {
                    self.problem(path, found.envelope.start, "the signed number is another one");
                }
                Some(Ok(batch)) => {
                    let linked = previous.filter(|(last, _)| last.epoch == epoch && follows);
                    if linked.is_some_and(|(_, digest)| digest != batch.prev) {
                        self.problem(path, found.envelope.start, "does not follow the batch before");
                    }
                }
            }
        }
    }

    fn problem(&mut self, path: &Path, offset: usize, what: &'static str) {
        self.problems_count += 1;
        if self.problems.len() < PROBLEMS_MAX {
            self.problems.push(Problem { path: path.to_owned(), offset_bytes: offset as u64, what });
        }
    }
}
