//! Several observers on threads of their own, with one stage behind them: the same records as with one, in less time.
//!
//! ```text
//! frames ─► Steer ─┬─► worker 1 ─┐
//!                  ├─► worker 2 ─┼─► merge ─► Stage ─► records
//!                  └─► worker N ─┘
//! ```
//!
//! Frames go out in batches. A batch is merged when every worker has answered it, while the next one is being observed;
//! where batches begin and end never shows.

use std::collections::VecDeque;
use std::thread::JoinHandle;

use crossbeam_channel::{Receiver, Sender, bounded};
use sekimori_sensor::baseline::BaselineError;
use sekimori_sensor::counters::{Counter, Counters};
use sekimori_sensor::event::Event;
use sekimori_sensor::frame::{Frame, LinkType};
use sekimori_sensor::observe::{Observer, Place, Placed, Share, Steer, Worker, merge};
use sekimori_sensor::sensor::{Sensor, SensorConfig, Stage};
use sekimori_wire::record::{FlowSummary, Record};
use sekimori_wire::time::Timestamp;

/// Frames of a batch: enough that handing it over costs little, few enough to stay in the cache.
const BATCH_FRAMES: usize = 2_048;
/// Bytes of a batch.
const BATCH_BYTES: usize = 1 << 20;
/// Batches out at once.
const AHEAD: usize = 2;

/// One sensor, or several observers.
pub(super) enum Crew {
    One(Box<Sensor>),
    Many(Box<Many>),
}

/// Several observers.
pub(super) struct Many {
    steer: Steer,
    hands: Vec<Hand>,
    stage: Stage,
    /// Of frames that went back in time.
    counters: Counters,
    /// Frames handed out so far.
    number: u64,
    /// Capture time never goes back.
    now: Timestamp,
    /// What is being collected.
    open: Open,
    /// Batches that the workers have, oldest first.
    out: VecDeque<Handed>,
}

/// A worker's thread.
struct Hand {
    work: Option<Sender<Work>>,
    done: Receiver<Done>,
    /// What its observer has counted.
    counters: Counters,
    thread: Option<JoinHandle<()>>,
}

/// Frames for one worker.
#[derive(Default)]
struct Load {
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

enum Work {
    /// Frames, and the time that all frames so far have reached.
    Batch(Load, Timestamp),
    /// The capture is over.
    Finish,
}

struct Done {
    placed: Vec<Placed>,
    counters: Counters,
}

impl Done {
    fn of(worker: &mut Worker) -> Self {
        Self { placed: worker.take(), counters: worker.counters().clone() }
    }
}

#[derive(Default)]
struct Open {
    loads: Vec<Load>,
    frames: Vec<(Timestamp, u32)>,
    bytes: usize,
}

/// A batch that is with the workers: number of its first frame, time and length of each.
struct Handed {
    first: u64,
    frames: Vec<(Timestamp, u32)>,
}

impl Crew {
    /// One observer without threads, or so many with.
    pub(super) fn new(config: SensorConfig, workers: usize) -> Self {
        if workers <= 1 {
            return Self::One(Box::new(Sensor::new(config)));
        }
        let limits = config.limits.share(workers);
        let hands = (0..workers).map(|_| Hand::start(Observer::new(&limits, config.observe, config.seed)));
        Self::Many(Box::new(Many {
            steer: Steer::new(workers, config.seed),
            hands: hands.collect(),
            stage: Stage::new(config),
            counters: Counters::default(),
            number: 0,
            now: Timestamp::ZERO,
            open: Open::new(workers),
            out: VecDeque::new(),
        }))
    }

    pub(super) fn handle_frame(&mut self, frame: &Frame<'_>) {
        match self {
            Self::One(sensor) => sensor.handle_frame(frame),
            Self::Many(many) => many.handle_frame(frame),
        }
    }

    pub(super) fn finish(&mut self) {
        match self {
            Self::One(sensor) => sensor.finish(),
            Self::Many(many) => many.finish(),
        }
    }

    pub(super) fn poll_record(&mut self) -> Option<Record> {
        match self {
            Self::One(sensor) => sensor.poll_record(),
            Self::Many(many) => many.stage.poll_record(),
        }
    }

    pub(super) fn poll_flow(&mut self) -> Option<FlowSummary> {
        match self {
            Self::One(sensor) => sensor.poll_flow(),
            Self::Many(many) => many.stage.poll_flow(),
        }
    }

    pub(super) fn poll_event(&mut self) -> Option<Event> {
        match self {
            Self::One(sensor) => sensor.poll_event(),
            Self::Many(many) => many.stage.poll_event(),
        }
    }

    pub(super) fn counters(&self) -> Counters {
        match self {
            Self::One(sensor) => sensor.counters(),
            Self::Many(many) => {
                let mut all = many.stage.counters();
                all.merge(&many.counters);
                many.hands.iter().for_each(|hand| all.merge(&hand.counters));
                all
            }
        }
    }

    pub(super) fn iter_excepted(&self) -> impl Iterator<Item = (&str, u64)> {
        match self {
            Self::One(sensor) => sensor.stage(),
            Self::Many(many) => &many.stage,
        }
        .iter_excepted()
    }

    pub(super) fn learned(&self) -> Vec<u8> {
        match self {
            Self::One(sensor) => sensor.learned(),
            Self::Many(many) => many.stage.learned(),
        }
    }

    pub(super) fn recall(&mut self, file: &[u8]) -> Result<(), BaselineError> {
        match self {
            Self::One(sensor) => sensor.recall(file),
            Self::Many(many) => many.stage.recall(file),
        }
    }

    pub(super) fn now(&self) -> Timestamp {
        match self {
            Self::One(sensor) => sensor.now(),
            Self::Many(many) => many.stage.now(),
        }
    }
}

impl Many {
    fn handle_frame(&mut self, frame: &Frame<'_>) {
        if frame.at < self.now {
            self.counters.count(Counter::TimeBackwards);
        }
        self.now = self.now.max(frame.at);
        self.number += 1;
        let Share { observer, quoted } = self.steer.share(frame);
        let lifted = Frame { at: self.now, ..*frame };
        self.open.load(observer, self.number, &lifted, false);
        if let Some(other) = quoted.filter(|other| *other != observer) {
            self.open.load(other, self.number, &lifted, true);
        }
        self.open.frames.push((self.now, frame.wire_len));
        if self.open.frames.len() >= BATCH_FRAMES || self.open.bytes >= BATCH_BYTES {
            self.hand_out();
        }
    }

    /// Gives the open batch to the workers, and takes back one that they have had for long.
    fn hand_out(&mut self) {
        let open = std::mem::replace(&mut self.open, Open::new(self.hands.len()));
        if open.frames.is_empty() {
            return;
        }
        for (hand, load) in self.hands.iter().zip(open.loads) {
            hand.give(Work::Batch(load, self.now));
        }
        let count = u64::try_from(open.frames.len()).unwrap_or_default();
        self.out.push_back(Handed { first: self.number - count + 1, frames: open.frames });
        if self.out.len() > AHEAD {
            self.take_back();
        }
    }

    /// Merges the oldest batch.
    fn take_back(&mut self) {
        let Some(Handed { first, frames }) = self.out.pop_front() else { return };
        let mut placed = self.collect().into_iter().peekable();
        for (number, (at, wire_len)) in (first..).zip(frames) {
            self.stage.handle_frame(at, wire_len);
            let until = Place::after_frame(at, number);
            let own = std::iter::from_fn(|| placed.next_if(|one| one.place() <= until));
            self.stage.handle_events(own.map(|one| one.event));
        }
        // What was due by the last frame's time, and brought about by no frame.
        self.stage.handle_events(placed.map(|one| one.event));
    }

    /// The answer of every worker to the oldest work, in the one order.
    fn collect(&mut self) -> Vec<Placed> {
        let mut parts = Vec::with_capacity(self.hands.len());
        for hand in &mut self.hands {
            if let Ok(done) = hand.done.recv() {
                hand.counters = done.counters;
                parts.push(done.placed);
            }
        }
        merge(parts)
    }

    fn finish(&mut self) {
        self.hand_out();
        while !self.out.is_empty() {
            self.take_back();
        }
        for hand in &mut self.hands {
            hand.give(Work::Finish);
            // Nothing follows: the thread ends, and with it what it gives back.
            hand.work = None;
        }
        self.collect_ends();
        self.stage.finish();
    }

    /// What follows from the end of the capture comes in parts: of all workers' next events the first is shown.
    fn collect_ends(&mut self) {
        let mut heads: Vec<_> = self.hands.iter().map(|_| Vec::new().into_iter().peekable()).collect();
        loop {
            let mut first: Option<(Place, usize)> = None;
            for (at, (hand, head)) in self.hands.iter_mut().zip(&mut heads).enumerate() {
                while head.peek().is_none()
                    && let Ok(done) = hand.done.recv()
                {
                    hand.counters = done.counters;
                    *head = done.placed.into_iter().peekable();
                }
                let next = head.peek().map(|placed: &Placed| (placed.place(), at));
                first = first.into_iter().chain(next).min();
            }
            let Some(head) = first.and_then(|(_, at)| heads.get_mut(at)) else { return };
            self.stage.handle_events(head.next().into_iter().map(|one| one.event));
        }
    }
}

impl Open {
    fn new(workers: usize) -> Self {
        Self { loads: (0..workers).map(|_| Load::default()).collect(), frames: Vec::new(), bytes: 0 }
    }

    fn load(&mut self, worker: usize, number: u64, frame: &Frame<'_>, quote: bool) {
        let Some(load) = self.loads.get_mut(worker) else { return };
        load.bytes.extend_from_slice(frame.bytes);
        self.bytes += frame.bytes.len();
        let Frame { at, link, wire_len, vlan, bytes: _ } = *frame;
        load.frames.push(Loaded { number, at, link, wire_len, vlan, quote, end: load.bytes.len() });
    }
}

impl Hand {
    fn start(observer: Observer) -> Self {
        let (work, to_do) = bounded::<Work>(AHEAD + 1);
        let (give_back, done) = bounded::<Done>(AHEAD + 1);
        let thread = std::thread::spawn(move || {
            let mut worker = Worker::new(observer);
            for work in to_do {
                match work {
                    Work::Batch(load, now) => {
                        load.replay(&mut worker);
                        worker.reach(now);
                    }
                    // What comes of it is given back in parts, and the last with what is sent below.
                    Work::Finish => {
                        while worker.finish_some() && give_back.send(Done::of(&mut worker)).is_ok() {}
                    }
                }
                if give_back.send(Done::of(&mut worker)).is_err() {
                    return;
                }
            }
        });
        Self { work: Some(work), done, counters: Counters::default(), thread: Some(thread) }
    }

    fn give(&self, work: Work) {
        if let Some(sender) = &self.work {
            // A worker ends only after this side does.
            let _given = sender.send(work);
        }
    }
}

impl Load {
    fn replay(&self, worker: &mut Worker) {
        let mut from = 0;
        for one in &self.frames {
            let bytes = self.bytes.get(from..one.end).unwrap_or_default();
            from = one.end;
            let Loaded { number, at, link, wire_len, vlan, quote, end: _ } = *one;
            worker.handle_frame(number, &Frame { at, link, bytes, wire_len, vlan }, quote);
        }
    }
}

impl Drop for Many {
    fn drop(&mut self) {
        for hand in &mut self.hands {
            hand.work = None;
            // Lets a worker go on that waits to give something back.
            while hand.done.recv().is_ok() {}
            if let Some(thread) = hand.thread.take() {
                let _ended = thread.join();
            }
        }
    }
}
