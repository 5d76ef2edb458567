//! From frames to events.

use sekimori_wire::time::Timestamp;

use crate::counters::{Counter, Counters};
use crate::event::Event;
use crate::frame::Frame;
use crate::limits::Limits;

/// Frames in, events out.
#[derive(Debug)]
pub struct Observer {
    counters: Counters,
    now: Timestamp,
}

impl Observer {
    /// An observer that has seen nothing.
    pub fn new(_limits: &Limits, _seed: u64) -> Self {
        Self { counters: Counters::default(), now: Timestamp::ZERO }
    }

    /// One frame.
    pub fn handle_frame(&mut self, frame: &Frame<'_>, _events: &mut Vec<Event>) {
        self.counters.count(Counter::Frames);
        self.counters.add(Counter::Bytes, u64::from(frame.wire_len));
        self.now = self.now.max(frame.at);
    }

    /// Time went on.
    pub fn handle_timeout(&mut self, now: Timestamp, _events: &mut Vec<Event>) {
        self.now = self.now.max(now);
    }

    /// The capture ended.
    pub fn finish(&mut self, _events: &mut Vec<Event>) {}

    /// What was counted.
    pub const fn counters(&self) -> &Counters {
        &self.counters
    }

    /// The latest time.
    pub const fn now(&self) -> Timestamp {
        self.now
    }
}
