//! The two spools of an agent: one of what matters at once, one of detail, each with its own chain and its own quota.
//!
//! ```text
//! DIR/            the urgent lane: findings, alerts, health, gaps      a quarter of the quota
//! DIR/detail/     the detail lane: summaries                          the rest
//! ```
//! So findings are delivered first after any outage, and summaries that fill their quota never cost a finding.

use std::path::Path;

use sekimori_wire::batch::Lane;
use serde::Serialize;
use tokio::sync::watch;

use crate::spool::{self, Inspection, Position, Spool, SpoolError};
use sekimori_wire::keyring::KeyRing;

/// Folder of the detail lane within that of the urgent one.
const DETAIL: &str = "detail";

/// Batches that are not acknowledged, by lane.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Waiting {
    /// Of the urgent lane.
    pub urgent: u64,
    /// Of the detail lane.
    pub detail: u64,
}

impl Waiting {
    /// Of both lanes.
    pub const fn all(self) -> u64 {
        self.urgent + self.detail
    }

    /// The lane to deliver from next, if anything waits.
    pub const fn next(self) -> Option<Lane> {
        match (self.urgent, self.detail) {
            (0, 0) => None,
            (0, _) => Some(Lane::Detail),
            (_, _) => Some(Lane::Urgent),
        }
    }
}

/// Both spools of one agent. All methods block on the disk.
#[derive(Debug)]
pub struct Lanes {
    urgent: Spool,
    detail: Spool,
    waiting: watch::Sender<Waiting>,
}

impl Lanes {
    /// Opens both in the folder `dir` (made if it is not there), which may grow to `max_bytes`.
    ///
    /// # Errors
    /// If another process has them open, or the disk fails. Damage is no error: see [`Spool::recovery`].
    pub fn open(dir: &Path, max_bytes: u64) -> Result<Self, SpoolError> {
        let urgent = max_bytes / 4;
        Ok(Self::of(Spool::open(dir, urgent)?, Spool::open(&dir.join(DETAIL), max_bytes - urgent)?))
    }

    /// With limits so small that tests reach them.
    ///
    /// # Errors
    /// As [`Lanes::open`].
    #[cfg(any(test, feature = "fault"))]
    pub fn open_small(dir: &Path) -> Result<Self, SpoolError> {
        Ok(Self::of(Spool::open_small(dir)?, Spool::open_small(&dir.join(DETAIL))?))
    }

    fn of(mut urgent: Spool, mut detail: Spool) -> Self {
        let waiting = watch::Sender::new(Waiting { urgent: urgent.pending(), detail: detail.pending() });
        urgent.tell(Lane::Urgent, waiting.clone());
        detail.tell(Lane::Detail, waiting.clone());
        Self { urgent, detail, waiting }
    }

    /// The spool of a lane.
    pub const fn of_lane(&self, lane: Lane) -> &Spool {
        match lane {
            Lane::Urgent => &self.urgent,
            Lane::Detail => &self.detail,
        }
    }

    /// Batches that are not acknowledged.
    pub fn pending(&self) -> u64 {
        self.waiting().all()
    }

    /// The same by lane.
    pub fn waiting(&self) -> Waiting {
        *self.waiting.borrow()
    }

    /// The same, whenever it changes: for whoever waits for something to send, or for all to be acknowledged.
    pub fn watch(&self) -> watch::Receiver<Waiting> {
        self.waiting.subscribe()
    }

    /// Bytes on the disk.
    pub fn bytes(&self) -> u64 {
        self.urgent.bytes() + self.detail.bytes()
    }

    /// How large both together may grow.
    pub fn max_bytes(&self) -> u64 {
        self.urgent.max_bytes() + self.detail.max_bytes()
    }

    /// Another quota from now on, shared as at the start.
    pub fn set_max_bytes(&self, max_bytes: u64) {
        let urgent = max_bytes / 4;
        self.urgent.set_max_bytes(urgent);
        self.detail.set_max_bytes(max_bytes - urgent);
    }

    /// Bytes that can still be appended to either: a replay waits for room instead of dropping.
    pub fn room(&self) -> u64 {
        self.urgent.room().min(self.detail.room())
    }
}

/// What both spools hold.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Inspected {
    /// The urgent lane.
    pub urgent: Inspection,
    /// The detail lane.
    pub detail: Inspection,
}

impl Inspected {
    /// Both, in the order of delivery.
    pub const fn all(&self) -> [(Lane, &Inspection); 2] {
        [(Lane::Urgent, &self.urgent), (Lane::Detail, &self.detail)]
    }
}

/// Hands every batch that waits to `take`, in the order of delivery, and changes nothing. See [`spool::waiting`].
///
/// # Errors
/// As [`spool::waiting`].
pub fn waiting<E: From<SpoolError>>(
    dir: &Path,
    mut take: impl FnMut(Lane, Position, &[u8]) -> Result<(), E>,
) -> Result<u64, E> {
    let urgent = spool::waiting(dir, |at, raw| take(Lane::Urgent, at, raw))?;
    let detail = dir.join(DETAIL);
    if !detail.is_dir() {
        return Ok(urgent);
    }
    Ok(urgent + spool::waiting(&detail, |at, raw| take(Lane::Detail, at, raw))?)
}

/// Reads every record of both spools in `dir` and changes nothing. See [`spool::inspect`].
///
/// # Errors
/// If a folder or a file cannot be read.
pub fn inspect(dir: &Path, keys: Option<&KeyRing>) -> Result<Inspected, SpoolError> {
    let detail = dir.join(DETAIL);
    // The spool of an older agent has one lane.
    let detail = if detail.is_dir() { spool::inspect(&detail, keys)? } else { Inspection::default() };
    Ok(Inspected { urgent: spool::inspect(dir, keys)?, detail })
}
