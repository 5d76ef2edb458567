//! The bytes of a segment file, and what can still be read of damaged ones. Pure.
//!
//! ```text
//! record = length of the envelope u32 | CRC32C of all the rest u32 | epoch u64 | seq u64 | envelope     (little endian)
//! ```
//! A segment holds records of one epoch with ascending numbers; its name is its epoch and the first of them. A record whose
//! sum does not fit is skipped by looking for the next place where one does.

use core::ops::Range;
use std::path::{Path, PathBuf};

use sekimori_wire::limits::PAYLOAD_BYTES_MAX;

/// Bytes before the envelope.
pub(super) const HEADER_BYTES: usize = 24;
/// An envelope is its payload and less than this.
pub(super) const ENVELOPE_BYTES_MAX: usize = PAYLOAD_BYTES_MAX + 1024;

/// Appends one record to `out`.
pub(super) fn encode(epoch: u64, seq: u64, envelope: &[u8], out: &mut Vec<u8>) {
    assert!(envelope.len() <= ENVELOPE_BYTES_MAX, "the wire format bounds an envelope");
    let len = u32::try_from(envelope.len()).unwrap_or(u32::MAX).to_le_bytes();
    let (epoch, seq) = (epoch.to_le_bytes(), seq.to_le_bytes());
    let sum = checksum(&[&len, &epoch, &seq, envelope]).to_le_bytes();
    for part in [&len[..], &sum, &epoch, &seq, envelope] {
        out.extend_from_slice(part);
    }
}

/// What comes before an envelope.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Header {
    /// Of the envelope.
    pub(super) len: usize,
    sum: u32,
    epoch: u64,
    seq: u64,
}

impl Header {
    /// Reads one; whether it is one, its sum tells.
    pub(super) fn of(bytes: &[u8; HEADER_BYTES]) -> Self {
        let [l0, l1, l2, l3, s0, s1, s2, s3, rest @ ..] = *bytes;
        let [e0, e1, e2, e3, e4, e5, e6, e7, seq @ ..] = rest;
        Self {
            len: usize::try_from(u32::from_le_bytes([l0, l1, l2, l3])).unwrap_or(usize::MAX),
            sum: u32::from_le_bytes([s0, s1, s2, s3]),
            epoch: u64::from_le_bytes([e0, e1, e2, e3, e4, e5, e6, e7]),
            seq: u64::from_le_bytes(seq),
        }
    }

    /// Whether it is that of this record.
    pub(super) const fn fits(&self, epoch: u64, seq: u64) -> bool {
        self.epoch == epoch && self.seq == seq && self.len <= ENVELOPE_BYTES_MAX
    }

    /// Whether its sum is that of this envelope.
    pub(super) fn covers(&self, envelope: &[u8]) -> bool {
        let len = u32::try_from(envelope.len()).unwrap_or(u32::MAX).to_le_bytes();
        self.sum == checksum(&[&len, &self.epoch.to_le_bytes(), &self.seq.to_le_bytes(), envelope])
    }
}

/// What a segment holds.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Scan {
    /// Good records, numbers ascending.
    pub(super) records: Vec<Found>,
    /// Bytes between good records that are none.
    pub(super) damaged: Vec<Range<usize>>,
    /// End of the last good record; what follows was torn off, or is damaged.
    pub(super) end: usize,
}

/// A good record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) seq: u64,
    /// Where its envelope is.
    pub(super) envelope: Range<usize>,
}

/// Finds the good records of `epoch` in any bytes.
pub(super) fn scan(bytes: &[u8], epoch: u64) -> Scan {
    let mut scan = Scan::default();
    let mut at = 0;
    while at < bytes.len() {
        let last = scan.records.last().map_or(0, |found| found.seq);
        match record_at(bytes, at, epoch).filter(|found| found.seq > last) {
            Some(found) => {
                if at > scan.end {
                    scan.damaged.push(scan.end..at);
                }
                at = found.envelope.end;
                scan.end = at;
                scan.records.push(found);
            }
            None => at += 1,
        }
    }
    scan
}

fn record_at(bytes: &[u8], at: usize, epoch: u64) -> Option<Found> {
    let rest = bytes.get(at..)?;
    let (len, rest) = rest.split_first_chunk::<4>()?;
    let (sum, rest) = rest.split_first_chunk::<4>()?;
    let (claimed, rest) = rest.split_first_chunk::<8>()?;
    // Cheap before dear: while looking for the next record this fails on nearly every byte.
    if u64::from_le_bytes(*claimed) != epoch {
        return None;
    }
    let (seq, rest) = rest.split_first_chunk::<8>()?;
    let envelope_len = usize::try_from(u32::from_le_bytes(*len)).ok()?;
    if envelope_len > ENVELOPE_BYTES_MAX {
        return None;
    }
    let envelope = rest.get(..envelope_len)?;
    let start = at + HEADER_BYTES;
    (checksum(&[len, claimed, seq, envelope]) == u32::from_le_bytes(*sum))
        .then(|| Found { seq: u64::from_le_bytes(*seq), envelope: start..start + envelope_len })
}

fn checksum(parts: &[&[u8]]) -> u32 {
    parts.iter().fold(0, |sum, part| crc32c::crc32c_append(sum, part))
}

/// `DIR/<epoch>-<first number>.seg`, both in hexadecimal, so that names sort as numbers do.
pub(super) fn path(dir: &Path, epoch: u64, first: u64) -> PathBuf {
    dir.join(format!("{epoch:016x}-{first:016x}.seg"))
}

/// Epoch and first number, if the path is that of a segment.
pub(super) fn parse_name(path: &Path) -> Option<(u64, u64)> {
    let (epoch, first) = path.file_name()?.to_str()?.strip_suffix(".seg")?.split_once('-')?;
    if epoch.len() != 16 || first.len() != 16 {
        return None;
    }
    Some((u64::from_str_radix(epoch, 16).ok()?, u64::from_str_radix(first, 16).ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn sample(seqs: &[u64]) -> Vec<u8> {
        let mut out = Vec::new();
        for &seq in seqs {
            encode(7, seq, &[u8::try_from(seq).unwrap(); 40], &mut out);
        }
        out
    }

    fn seqs(bytes: &[u8]) -> Vec<u64> {
        scan(bytes, 7).records.iter().map(|found| found.seq).collect()
    }

    #[test]
    fn names_read_back() {
        let path = path(Path::new("/x"), 7, 0xabc);
        assert_eq!(path, Path::new("/x/0000000000000007-0000000000000abc.seg"));
        assert_eq!(parse_name(&path), Some((7, 0xabc)));
        for other in ["chain", "0000000000000007-abc.seg", "7.seg", "lock"] {
            assert_eq!(parse_name(Path::new(other)), None);
        }
    }

    #[test]
    fn a_torn_end_is_no_damage_in_the_middle() {
        let bytes = sample(&[1, 2, 3]);
        for cut in 0..64 {
            let scan = scan(&bytes[..bytes.len() - 1 - cut], 7);
            assert_eq!((scan.records.len(), scan.end, scan.damaged.len()), (2, 128, 0), "cut {cut}");
        }
    }

    proptest! {
        #[test]
        fn one_flipped_bit_costs_one_record(bit in 0usize..5 * 64 * 8) {
            let mut bytes = sample(&[1, 2, 3, 4, 5]);
            bytes[bit / 8] ^= 1 << (bit % 8);
            let hit = u64::try_from(bit / 8 / 64).unwrap() + 1;
            prop_assert_eq!(seqs(&bytes), (1..=5).filter(|seq| *seq != hit).collect::<Vec<_>>());
        }

        #[test]
        fn any_bytes_end_in_a_scan(bytes in prop::collection::vec(any::<u8>(), 0..300), epoch in 0u64..3) {
            let scan = scan(&bytes, epoch);
            prop_assert!(scan.end <= bytes.len());
        }
    }
}
