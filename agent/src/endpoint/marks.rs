//! How far followed files were read: remembered on disk only past what is sealed into the spool, so that after any end
//! nothing is lost and nothing is read twice.
//!
//! Alerts reach the spool in the order in which the reading thread hands them on. A mark says: once so many are sealed, this
//! file is read up to here.

use std::collections::{BTreeMap, VecDeque};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use sekimori_delivery::disk;
use serde::{Deserialize, Serialize};

const FILE: &str = "endpoint-positions.json";
/// Bytes at a file's start that tell it from another with the same inode.
pub(super) const HEAD_BYTES: usize = 1024;
/// A file of positions is smaller.
const POSITIONS_BYTES_MAX: u64 = 1024 * 1024;

/// Up to where a file was read.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Position {
    pub(super) path: PathBuf,
    pub(super) device: u64,
    pub(super) inode: u64,
    pub(super) offset: u64,
    /// Length and SHA-256 of its first bytes.
    pub(super) head_bytes: usize,
    pub(super) head: String,
}

/// The position of one source.
#[derive(Clone, Debug)]
pub(super) struct Mark {
    pub(super) source: String,
    pub(super) position: Position,
}

/// All of them.
#[derive(Debug)]
pub(crate) struct Marks {
    file: PathBuf,
    sealed: AtomicU64,
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    /// Alerts handed on before it, and the mark.
    pending: VecDeque<(u64, Mark)>,
    reached: BTreeMap<String, Position>,
    is_changed: bool,
}

impl Marks {
    /// As they were left. A file that cannot be read is as none: reading begins as at the first start.
    pub(super) fn open(state: &Path) -> Self {
        let file = state.join(FILE);
        let is_small = std::fs::metadata(&file).is_ok_and(|meta| meta.len() <= POSITIONS_BYTES_MAX);
        let bytes = if is_small { std::fs::read(&file).unwrap_or_default() } else { Vec::new() };
        let reached = if bytes.is_empty() {
            BTreeMap::new()
        } else {
            serde_json::from_slice(&bytes).unwrap_or_else(|error| {
                tracing::error!(%error, file = %file.display(), "the positions of followed files cannot be read");
                BTreeMap::new()
            })
        };
        let inner = Inner { reached, ..Inner::default() };
        Self { file, sealed: AtomicU64::new(0), inner: Mutex::new(inner) }
    }

    fn inner(&self) -> std::sync::MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Where a source was left.
    pub(super) fn reached(&self, source: &str) -> Option<Position> {
        self.inner().reached.get(source).cloned()
    }

    /// A source was read up to there, and so many alerts were handed on before.
    pub(super) fn put(&self, handed_on: u64, mark: Mark) {
        let mut inner = self.inner();
        match inner.pending.back_mut() {
            Some((before, last)) if *before == handed_on && last.source == mark.source => *last = mark,
            Some(_) | None => inner.pending.push_back((handed_on, mark)),
        }
    }

    /// So many more alerts are in the spool.
    pub(crate) fn add_sealed(&self, count: u64) {
        self.sealed.fetch_add(count, Ordering::AcqRel);
    }

    /// Remembers on disk what is safe by now.
    pub(crate) fn settle(&self) {
        let sealed = self.sealed.load(Ordering::Acquire);
        let mut inner = self.inner();
        while let Some((_, mark)) = inner.pending.pop_front_if(|(after, _)| *after <= sealed) {
            inner.is_changed = true;
            inner.reached.insert(mark.source, mark.position);
        }
        if !inner.is_changed {
            return;
        }
        let json = serde_json::to_vec_pretty(&inner.reached).unwrap_or_default();
        match disk::write_atomic(&self.file, &json) {
            Ok(()) => inner.is_changed = false,
            Err(error) => tracing::error!(
                error = &error as &dyn std::error::Error,
                "the positions of followed files stay behind: after a restart lines are read again"
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_counts_once_its_alerts_are_sealed() {
        let folder = tempfile::tempdir().unwrap();
        let marks = Marks::open(folder.path());
        let mark =
            |offset| Mark { source: "a".to_owned(), position: Position { offset, ..Position::default() } };
        marks.put(0, mark(5));
        marks.put(2, mark(9));
        marks.put(2, mark(12));
        let kept = || {
            marks.settle();
            Marks::open(folder.path()).reached("a").map(|position| position.offset)
        };
        assert_eq!(kept(), Some(5));
        marks.add_sealed(1);
        assert_eq!(kept(), Some(5));
        marks.add_sealed(1);
        assert_eq!(kept(), Some(12));
        std::fs::write(folder.path().join(FILE), b"{").unwrap();
        assert!(Marks::open(folder.path()).reached("a").is_none());
    }
}
