//! One of several observers, and how their events come together again.
//!
//! Each event carries its place in the one order that a single observer would have given: time; at the same time what
//! timers brought about (by flow) before what frames did (by their number); then the order in which it was observed.

use sekimori_wire::time::Timestamp;

use super::{Ending, Observer};
use crate::counters::Counters;
use crate::event::Event;
use crate::frame::Frame;

/// Events that there is room for from one frame to the next.
pub(crate) const EVENTS_KEPT: usize = 1_024;

/// An observer of a share of the frames.
#[derive(Debug)]
pub struct Worker {
    observer: Observer,
    placed: Vec<Placed>,
    /// Reused for each frame.
    events: Vec<Event>,
    end: End,
}

/// How far the end of the capture has come.
#[derive(Debug, Default)]
enum End {
    /// It has not ended.
    #[default]
    Open,
    /// Attempts have until then to be answered.
    Waiting(Timestamp),
    /// Flows end.
    Ending(Ending),
}

/// An event and its place among those of all observers.
#[derive(Clone, Debug, PartialEq)]
pub struct Placed {
    place: Place,
    /// What was observed.
    pub event: Event,
}

/// Where an event belongs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    at: Timestamp,
    cause: Cause,
    index: u32,
}

/// What brought an event about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Cause {
    /// A timer of this flow.
    Timer(u64),
    /// The frame of this number: first by its own content, then by what it quotes.
    Frame(u64, bool),
    /// The end of the capture, for this flow.
    End(u64),
}

impl Place {
    /// Behind everything.
    pub const LAST: Self =
        Self { at: Timestamp::from_nanos(u64::MAX), cause: Cause::End(u64::MAX), index: u32::MAX };

    /// Behind everything that a frame brings about.
    pub const fn after_frame(at: Timestamp, number: u64) -> Self {
        Self { at, cause: Cause::Frame(number, true), index: u32::MAX }
    }
}

impl Placed {
    /// Where it belongs.
    pub const fn place(&self) -> Place {
        self.place
    }
}

impl Worker {
    /// Observes with this.
    pub const fn new(observer: Observer) -> Self {
        Self { observer, placed: Vec::new(), events: Vec::new(), end: End::Open }
    }

    /// Observes the frame of this number; `quote`: only what it quotes.
    pub fn handle_frame(&mut self, number: u64, frame: &Frame<'_>, quote: bool) {
        self.reach(frame.at);
        if quote {
            self.observer.handle_quote(number, frame, &mut self.events);
        } else {
            self.observer.handle_numbered(number, frame, &mut self.events);
        }
        self.place(|_| Cause::Frame(number, quote));
    }

    /// All frames up to this time were handed out: what is due by then happens.
    pub fn reach(&mut self, now: Timestamp) {
        self.observer.reach(now, &mut self.events);
        self.place(|event| Cause::Timer(event.flow_id().unwrap_or_default()));
    }

    /// No frame can come any more from before `now`, but later ones may: timers that were due speak, and event time stays.
    pub fn handle_timeout(&mut self, now: Timestamp) {
        self.observer.handle_timeout(now, &mut self.events);
        self.place(|event| Cause::Timer(event.flow_id().unwrap_or_default()));
    }

    /// The latest event time.
    pub const fn now(&self) -> Timestamp {
        self.observer.now()
    }

    /// The capture is over.
    pub fn finish(&mut self) {
        while self.finish_some() {}
    }

    /// The capture is over: goes on with what follows from that, so much at a time that the events do not fill the memory.
    /// False when all is over.
    pub fn finish_some(&mut self) -> bool {
        let timer = |event: &Event| Cause::Timer(event.flow_id().unwrap_or_default());
        match core::mem::take(&mut self.end) {
            End::Open => self.end = End::Waiting(self.observer.over()),
            End::Waiting(over) => {
                self.end = if self.observer.expire_some(over, &mut self.events) {
                    End::Waiting(over)
                } else {
                    End::Ending(self.observer.begin_to_end(over, &mut self.events))
                };
                self.place(timer);
            }
            End::Ending(mut ending) => {
                let more = self.observer.end_some(&mut ending, &mut self.events);
                self.place(|event| Cause::End(event.flow_id().unwrap_or_default()));
                self.end = End::Ending(ending);
                return more;
            }
        }
        true
    }

    /// What was observed since the last call, in order.
    pub fn take(&mut self) -> Vec<Placed> {
        core::mem::take(&mut self.placed)
    }

    /// The same, against an empty list whose room is used from now on.
    pub const fn exchange(&mut self, room: Vec<Placed>) -> Vec<Placed> {
        core::mem::replace(&mut self.placed, room)
    }

    /// Events that were observed since they were taken last.
    pub const fn waiting(&self) -> usize {
        self.placed.len()
    }

    /// What was counted so far.
    pub const fn counters(&self) -> &Counters {
        self.observer.counters()
    }

    fn place(&mut self, cause: impl Fn(&Event) -> Cause) {
        for (index, event) in (0..).zip(self.events.drain(..)) {
            let place = Place { at: event.at(), cause: cause(&event), index };
            self.placed.push(Placed { place, event });
        }
        self.events.shrink_to(EVENTS_KEPT);
    }
}

#[cfg(test)]
mod tests;
