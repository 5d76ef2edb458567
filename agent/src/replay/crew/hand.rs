//! An observer on its own thread: batches of frames in, events out, in parts of a bounded size.

use std::thread::JoinHandle;

use crossbeam_channel::{Receiver, Sender, bounded, unbounded};
use sekimori_sensor::counters::Counters;
use sekimori_sensor::frame::{Frame, LinkType};
use sekimori_sensor::observe::{Observer, Placed, Worker};
use sekimori_wire::time::Timestamp;

use super::AHEAD;

/// Events of a part, or a few more: a batch whose frames bring about many (all flows of a table end at once) comes in
/// several.
const PART_EVENTS: usize = 4_096;
/// Parts that may wait for the stage.
const PARTS_MAX: usize = AHEAD;

/// The side of whoever hands out work.
pub(super) struct Hand {
    work: Option<Sender<Work>>,
    /// Loads that came back empty.
    spare: Receiver<Load>,
    thread: Option<JoinHandle<()>>,
}

/// The side of whoever takes the events.
pub(super) struct Lane {
    pub(super) parts: Receiver<Part>,
    /// Events go back to where they came from.
    pub(super) spent: Sender<Vec<Placed>>,
}

pub(super) enum Work {
    /// Frames, and the time that all frames so far have reached.
    Batch(Load, Timestamp),
    /// The capture is over.
    Finish,
}

/// Some of what a batch brought about.
#[derive(Default)]
pub(super) struct Part {
    pub(super) placed: Vec<Placed>,
    /// More of the same batch follow.
    pub(super) more: bool,
    /// What was counted in all, with the very last.
    pub(super) counters: Option<Box<Counters>>,
}

/// Frames for one observer.
#[derive(Default)]
pub(super) struct Load {
    frames: Vec<Loaded>,
    bytes: Vec<u8>,
}

#[derive(Clone, Copy)]
struct Loaded {
    number: u64,
    at: Timestamp,
    link: LinkType,
    wire_len: u32,
    vlan: Option<u16>,
    quote: bool,
    /// Where its bytes end.
    end: usize,
}

impl Hand {
    pub(super) fn start(observer: Observer) -> (Self, Lane) {
        let (work, to_do) = bounded(AHEAD + 1);
        let (to_stage, parts) = bounded(PARTS_MAX);
        // As many as there were given out at most.
        let (give_back, spare) = unbounded();
        let (spent, room) = unbounded();
        let bench = Bench { worker: Worker::new(observer), to_stage, room, rooms: Vec::new() };
        let thread = std::thread::spawn(move || {
            // Nobody wants the rest when this fails.
            let _ended = bench.run(&to_do, &give_back);
        });
        (Self { work: Some(work), spare, thread: Some(thread) }, Lane { parts, spent })
    }

    /// An empty load, used before if there is one.
    pub(super) fn spare(&self) -> Load {
        self.spare.try_recv().unwrap_or_default()
    }

    pub(super) fn give(&self, work: Work) {
        if let Some(sender) = &self.work {
            // An observer ends only after this side does.
            let _given = sender.send(work);
        }
    }

    /// There is no more work.
    pub(super) fn dismiss(&mut self) {
        self.work = None;
    }

    pub(super) fn join(&mut self) {
        if let Some(thread) = self.thread.take() {
            let _ended = thread.join();
        }
    }
}

impl Load {
    pub(super) fn push(&mut self, number: u64, frame: &Frame<'_>, quote: bool) {
        self.bytes.extend_from_slice(frame.bytes);
        let Frame { at, link, wire_len, vlan, bytes: _ } = *frame;
        self.frames.push(Loaded { number, at, link, wire_len, vlan, quote, end: self.bytes.len() });
    }

    fn clear(&mut self) {
        self.frames.clear();
        self.bytes.clear();
    }
}

/// The stage has ended.
struct Gone;

/// The thread's own side.
struct Bench {
    worker: Worker,
    to_stage: Sender<Part>,
    /// Events that were judged.
    room: Receiver<Vec<Placed>>,
    /// The lists that held them.
    rooms: Vec<Vec<Placed>>,
}

impl Bench {
    fn run(mut self, to_do: &Receiver<Work>, give_back: &Sender<Load>) -> Result<(), Gone> {
        for work in to_do {
            match work {
                Work::Batch(mut load, now) => {
                    self.observe(&load)?;
                    self.worker.reach(now);
                    self.tell(false, None)?;
                    load.clear();
                    // Whoever reads may have ended.
                    let _given = give_back.send(load);
                }
                Work::Finish => {
                    while self.worker.finish_some() {
                        self.tell_if_many()?;
                    }
                    let counters = self.worker.counters().clone();
                    return self.tell(false, Some(Box::new(counters)));
                }
            }
        }
        Ok(())
    }

    fn observe(&mut self, load: &Load) -> Result<(), Gone> {
        let mut from = 0;
        for one in &load.frames {
            let bytes = load.bytes.get(from..one.end).unwrap_or_default();
            from = one.end;
            let Loaded { number, at, link, wire_len, vlan, quote, end: _ } = *one;
            self.worker.handle_frame(number, &Frame { at, link, bytes, wire_len, vlan }, quote);
            self.tell_if_many()?;
        }
        Ok(())
    }

    fn tell_if_many(&mut self) -> Result<(), Gone> {
        if self.worker.waiting() < PART_EVENTS { Ok(()) } else { self.tell(true, None) }
    }

    fn tell(&mut self, more: bool, counters: Option<Box<Counters>>) -> Result<(), Gone> {
        // Dropped here, where they were made: elsewhere that costs twice as much.
        for mut spent in self.room.try_iter() {
            spent.clear();
            self.rooms.push(spent);
        }
        let placed = self.worker.exchange(self.rooms.pop().unwrap_or_default());
        self.to_stage.send(Part { placed, more, counters }).map_err(|_unsent| Gone)
    }
}
