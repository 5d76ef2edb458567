//! Follows files that grow: through rotation by renaming and by copying, truncation, restart and `kill -9`.
//!
//! A file is known by device, inode and its first bytes. One that was renamed or copied away is read to its end, also when
//! that happened while the agent was down, before its successor is begun.

mod open;
mod tail;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::marks::Marks;
use super::queue::Queue;
use super::source::{Source, Tally, Where};
use tail::Tail;

/// Wait when no file has grown.
const PAUSE: Duration = Duration::from_millis(200);

/// All followed files.
#[derive(Debug)]
pub(super) struct Follower {
    tails: Vec<Tail>,
    queue: Queue,
    marks: Arc<Marks>,
}

impl Follower {
    pub(super) fn new(
        sources: &[Arc<Source>],
        tallies: &[Arc<Tally>],
        queue: Queue,
        marks: &Arc<Marks>,
    ) -> Self {
        let tail = |(at, (source, tally)): (usize, (&Arc<Source>, &Arc<Tally>))| match &source.place {
            Where::File(path) => {
                let left = marks.reached(&source.name).filter(|position| position.path == *path);
                Some(Tail::new(at, &source.name, path, Arc::clone(tally), left))
            }
            Where::Address(_) => None,
        };
        let tails = sources.iter().zip(tallies).enumerate().filter_map(tail).collect();
        Self { tails, queue, marks: Arc::clone(marks) }
    }

    /// Follows until told to stop.
    pub(super) fn run(mut self, stop: &AtomicBool) {
        if self.tails.is_empty() {
            return;
        }
        while !stop.load(Ordering::Relaxed) {
            let mut has_read = false;
            for tail in &mut self.tails {
                has_read |= tail.step(&self.queue, &self.marks, stop);
            }
            if !has_read {
                std::thread::sleep(PAUSE);
            }
        }
    }
}
