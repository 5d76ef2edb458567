//! What the threads of one interface share.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use sekimori_sensor::frame::LinkType;
use sekimori_wire::time::Timestamp;

use super::handing::Queue;
use crate::capture::Fanout;
use crate::health::Gauge;
use crate::intel::shelf::Shelf;

/// ICMP errors that may wait for a worker.
pub(super) const QUOTES_MAX: usize = 1_024;
/// Longest wait for the other workers at the end.
const LAST_MAX: Duration = Duration::from_secs(2);

/// An ICMP error that one worker captured and that quotes a flow of another.
#[derive(Debug)]
pub(super) struct Quote {
    pub(super) number: u64,
    pub(super) at: Timestamp,
    pub(super) link: LinkType,
    pub(super) wire_len: u32,
    pub(super) vlan: Option<u16>,
    pub(super) bytes: Box<[u8]>,
}

impl Quote {
    /// Of an error no more is kept: RFC 1812 and RFC 4443 quote no more than a packet of 576 or 1280 bytes holds.
    pub(super) const BYTES_MAX: usize = 2_048;
}

#[derive(Debug)]
pub(super) struct Team {
    pub(super) fanout: Fanout,
    pub(super) shelf: Arc<Shelf>,
    pub(super) gauge: Arc<Gauge>,
    /// What is captured is recorded.
    pub(super) records: bool,
    pub(super) stop: Arc<AtomicBool>,
    pub(super) started: Timestamp,
    /// Between the capture threads and the one that judges.
    pub(super) queue: Arc<Queue>,
    /// Time of the last frame, and how many workers have not said theirs.
    last: AtomicU64,
    capturing: AtomicUsize,
}

impl Team {
    pub(super) fn new(
        fanout: Fanout,
        shelf: Arc<Shelf>,
        gauge: Arc<Gauge>,
        records: bool,
        stop: Arc<AtomicBool>,
    ) -> Self {
        Self {
            fanout,
            shelf,
            gauge,
            records,
            stop,
            started: crate::clock::now(),
            queue: Arc::default(),
            last: AtomicU64::new(0),
            capturing: AtomicUsize::new(fanout.workers()),
        }
    }

    /// This worker's last frame was then; when was that of them all? A worker that hangs is not waited for.
    pub(super) fn await_last(&self, own: Timestamp) -> Timestamp {
        self.last.fetch_max(own.nanos(), Ordering::AcqRel);
        self.capturing.fetch_sub(1, Ordering::AcqRel);
        let begun = Instant::now();
        while self.capturing.load(Ordering::Acquire) > 0 && begun.elapsed() < LAST_MAX {
            std::thread::sleep(Duration::from_millis(1));
        }
        Timestamp::from_nanos(self.last.load(Ordering::Acquire))
    }
}
