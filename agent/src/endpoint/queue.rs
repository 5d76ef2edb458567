//! Lines that wait to be read: bounded in number and in bytes, whatever the senders do.

use core::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, TrySendError, bounded};
use sekimori_wire::time::Timestamp;

use super::marks::Mark;

/// Lines that may wait: a tenth of a second of the busiest sources.
const LINES_MAX: usize = 4096;
/// Their bytes together.
const BYTES_MAX: usize = 8 * 1024 * 1024;
/// How long a sender that can wait does so between two tries.
const WAIT: Duration = Duration::from_millis(2);

/// One line as it came.
#[derive(Debug)]
pub(super) struct Line {
    pub(super) source: usize,
    pub(super) received_at: Timestamp,
    pub(super) from: Option<IpAddr>,
    pub(super) bytes: Vec<u8>,
    /// Of a followed file: where reading goes on behind it.
    pub(super) mark: Option<Mark>,
}

/// The side of the senders.
#[derive(Clone, Debug)]
pub(super) struct Queue {
    to_reading: Sender<Line>,
    bytes: Arc<AtomicUsize>,
}

/// The side of the reader.
#[derive(Debug)]
pub(super) struct Lines {
    lines: Receiver<Line>,
    bytes: Arc<AtomicUsize>,
}

impl Queue {
    pub(super) fn new() -> (Self, Lines) {
        let (to_reading, lines) = bounded(LINES_MAX);
        let bytes = Arc::<AtomicUsize>::default();
        (Self { to_reading, bytes: Arc::clone(&bytes) }, Lines { lines, bytes })
    }

    /// Puts a line where there is room, or gives it back.
    #[expect(clippy::result_large_err, reason = "a line that finds no room is given back as it came")]
    pub(super) fn try_put(&self, line: Line) -> Result<(), Line> {
        let len = line.bytes.len();
        if self.bytes.load(Ordering::Relaxed) + len > BYTES_MAX {
            return Err(line);
        }
        self.bytes.fetch_add(len, Ordering::Relaxed);
        self.to_reading.try_send(line).map_err(|unsent| {
            self.bytes.fetch_sub(len, Ordering::Relaxed);
            match unsent {
                TrySendError::Full(line) | TrySendError::Disconnected(line) => line,
            }
        })
    }

    /// Puts a line, waiting for room; the sender of a stream waits with us.
    pub(super) async fn put(&self, mut line: Line) {
        while let Err(unsent) = self.try_put(line) {
            line = unsent;
            tokio::time::sleep(WAIT).await;
        }
    }
}

/// What became of waiting for a line.
#[derive(Debug)]
pub(super) enum Next {
    Line(Line),
    /// None came in time.
    Nothing,
    /// No source is left, or there never was one: none will ever come.
    Over,
}

impl Lines {
    /// The next line, if one comes in time.
    pub(super) fn next(&self, wait: Duration) -> Next {
        match self.lines.recv_timeout(wait) {
            Ok(line) => {
                self.bytes.fetch_sub(line.bytes.len(), Ordering::Relaxed);
                Next::Line(line)
            }
            Err(RecvTimeoutError::Timeout) => Next::Nothing,
            Err(RecvTimeoutError::Disconnected) => Next::Over,
        }
    }
}
