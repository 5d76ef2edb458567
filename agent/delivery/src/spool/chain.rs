//! The small file beside the segments: how far the chain was sealed and acknowledged, and what is still to be declared.
//!
//! One line: CRC32C of the rest in hexadecimal, a space, JSON. Written anew as a whole ([`disk::write_atomic`]).

use std::fs;
use std::io;
use std::path::Path;

use sekimori_wire::id::Digest;
use sekimori_wire::record;
use sekimori_wire::time::Timestamp;
use serde::{Deserialize, Serialize};

use crate::disk::{self, DiskError};

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
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Chain {
    pub(super) head: Head,
    pub(super) acked: Position,
    pub(super) undeclared: Undeclared,
    /// Where damaged epochs end: what follows in them was sealed again and waits for removal.
    pub(super) cuts: Vec<Position>,
}

#[derive(Serialize, Deserialize)]
struct File {
    head: Position,
    digest: String,
    acked: Position,
    #[serde(default)]
    undeclared: Undeclared,
    #[serde(default)]
    cuts: Vec<Position>,
}

impl Chain {
    /// `None` if there is no file, or only a damaged one: then the segments alone must tell.
    pub(super) fn read(path: &Path) -> Result<Option<Self>, DiskError> {
        match fs::read_to_string(path) {
            Ok(text) => {
                let chain = Self::parse(&text);
                if chain.is_none() {
                    tracing::warn!(path = %path.display(), "the chain file is damaged; its content is taken from the segments");
                }
                Ok(chain)
            }
            Err(cause) if cause.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(cause) if cause.kind() == io::ErrorKind::InvalidData => {
                tracing::warn!(path = %path.display(), "the chain file is damaged; its content is taken from the segments");
                Ok(None)
            }
            Err(cause) => disk::at("read", path, Err(cause)),
        }
    }

    pub(super) fn write(&self, path: &Path) -> Result<(), DiskError> {
        disk::write_atomic(path, self.to_text().as_bytes())
    }

    /// Where an epoch ends that was given up because of damage.
    pub(super) fn end_of(&self, epoch: u64) -> Option<u64> {
        self.cuts.iter().find(|cut| cut.epoch == epoch).map(|cut| cut.seq)
    }

    fn to_text(&self) -> String {
        let file = File {
            head: self.head.at,
            digest: self.head.digest.to_string(),
            acked: self.acked,
            undeclared: self.undeclared.clone(),
            cuts: self.cuts.clone(),
        };
        let json = serde_json::to_string(&file).unwrap_or_default();
        format!("{:08x} {json}\n", crc32c::crc32c(json.as_bytes()))
    }

    fn parse(text: &str) -> Option<Self> {
        let (sum, json) = text.trim_end().split_once(' ')?;
        if u32::from_str_radix(sum, 16).ok()? != crc32c::crc32c(json.as_bytes()) {
            return None;
        }
        let file: File = serde_json::from_str(json).ok()?;
        Some(Self {
            head: Head { at: file.head, digest: file.digest.parse().ok()? },
            acked: file.acked,
            undeclared: file.undeclared,
            cuts: file.cuts,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_back_and_refuses_every_flipped_bit() {
        let mut chain = Chain {
            head: Head { at: Position { epoch: 1, seq: 12 }, digest: Digest::of(b"x") },
            acked: Position { epoch: 1, seq: 11 },
            undeclared: Undeclared::default(),
            cuts: vec![Position { epoch: 1, seq: 3 }],
        };
        assert_eq!(chain.undeclared.declaration(), None);
        chain.undeclared.add(Timestamp::from_secs(2), "full", 3, 4);
        let text = chain.to_text();
        assert_eq!(Chain::parse(&text), Some(chain));
        for bit in 0..8 * (text.len() - 1) {
            let mut bytes = text.clone().into_bytes();
            bytes[bit / 8] ^= 1 << (bit % 8);
            if let Ok(flipped) = String::from_utf8(bytes)
                && !flipped.eq_ignore_ascii_case(&text)
            {
                assert_eq!(Chain::parse(&flipped), None, "bit {bit}");
            }
        }
    }
}
