//! Several observers on threads of their own, and the stage behind them on another: the same records as with one, in less time.
//!
//! ```text
//!                    ┌─► observer 1 ─┐
//! frames ─► Steer ───┼─► observer 2 ─┼─► merge ─► Stage ─► records, to whoever reads the frames
//!  (one batch each)  └─► observer N ─┘      (one thread)
//! ```
//!
//! Frames go out in batches. While the stage is at one, the observers are at the next and another is being read; where
//! batches begin and end never shows. What goes from one thread to another comes back to be used again, and events are
//! dropped by the observer that made them. What is on its way is bounded: batches, the bytes of each, events of an observer.

mod hand;
mod judge;

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use crossbeam_channel::{Receiver, Sender, bounded};
use sekimori_sensor::baseline::BaselineError;
use sekimori_sensor::counters::{Counter, Counters};
use sekimori_sensor::event::Event;
use sekimori_sensor::frame::Frame;
use sekimori_sensor::observe::{Observer, Share, Steer};
use sekimori_sensor::sensor::{Sensor, SensorConfig, Stage};
use sekimori_wire::record::{FlowSummary, Record};
use sekimori_wire::time::Timestamp;

use hand::{Hand, Load, Work};
use judge::{Handed, Judge, Seen, Told};

/// Frames of a batch: enough that handing it over costs little, few enough to stay in the cache.
const BATCH_FRAMES: usize = 2_048;
/// Bytes of a batch.
const BATCH_BYTES: usize = 1 << 20;
/// Batches out at once: enough that no thread waits for another that was only held up for a moment.
const AHEAD: usize = 6;

/// One sensor, or several observers.
pub(super) enum Crew {
    One(Box<Sensor>),
    Many(Box<Many>),
}

/// Several observers: the side of whoever reads the frames.
pub(super) struct Many {
    steer: Steer,
    hands: Vec<Hand>,
    /// Its own thread has it while there is a batch to judge.
    stage: Arc<Mutex<Stage>>,
    /// Gone once the capture is over.
    to_judge: Option<Sender<Handed>>,
    told: Receiver<Told>,
    judge: Option<JoinHandle<Counters>>,
    /// Of frames that went back in time; in the end also what the observers counted.
    counters: Counters,
    /// Frames handed out so far.
    number: u64,
    /// Capture time never goes back.
    now: Timestamp,
    /// What is being collected: for each observer its frames, and of all frames what the stage wants to know.
    loads: Vec<Load>,
    seen: Vec<Seen>,
    bytes: usize,
    /// Lists that came back empty.
    spare: Vec<Vec<Seen>>,
    /// Batches that are not judged.
    out: usize,
    records: VecDeque<Record>,
    flows: VecDeque<FlowSummary>,
    events: VecDeque<Event>,
}

impl Crew {
    /// One observer without threads, or so many with.
    pub(super) fn new(config: SensorConfig, workers: usize) -> Self {
        if workers <= 1 {
            Self::One(Box::new(Sensor::new(config)))
        } else {
            Self::Many(Box::new(Many::new(config, workers)))
        }
    }

    pub(super) fn handle_frame(&mut self, frame: &Frame<'_>) {
        match self {
            Self::One(sensor) => sensor.handle_frame(frame),
            Self::Many(many) => many.handle_frame(frame),
        }
    }

    /// The capture is over: goes on with the end, and says whether there is more of it.
    pub(super) fn finish_some(&mut self) -> bool {
        match self {
            Self::One(sensor) => {
                sensor.finish();
                false
            }
            Self::Many(many) => many.finish_some(),
        }
    }

    pub(super) fn poll_record(&mut self) -> Option<Record> {
        match self {
            Self::One(sensor) => sensor.poll_record(),
            Self::Many(many) => many.records.pop_front(),
        }
    }

    pub(super) fn poll_flow(&mut self) -> Option<FlowSummary> {
        match self {
            Self::One(sensor) => sensor.poll_flow(),
            Self::Many(many) => many.flows.pop_front(),
        }
    }

    pub(super) fn poll_event(&mut self) -> Option<Event> {
        match self {
            Self::One(sensor) => sensor.poll_event(),
            Self::Many(many) => many.events.pop_front(),
        }
    }

    pub(super) fn counters(&self) -> Counters {
        match self {
            Self::One(sensor) => sensor.counters(),
            Self::Many(many) => {
                let mut all = lock(&many.stage).counters();
                all.merge(&many.counters);
                all
            }
        }
    }

    pub(super) fn excepted(&self) -> Vec<(String, u64)> {
        let named = |(id, count): (&str, u64)| (id.to_owned(), count);
        match self {
            Self::One(sensor) => sensor.iter_excepted().map(named).collect(),
            Self::Many(many) => lock(&many.stage).iter_excepted().map(named).collect(),
        }
    }

    pub(super) fn learned(&self) -> Vec<u8> {
        match self {
            Self::One(sensor) => sensor.learned(),
            Self::Many(many) => lock(&many.stage).learned(),
        }
    }

    pub(super) fn recall(&mut self, file: &[u8]) -> Result<(), BaselineError> {
        match self {
            Self::One(sensor) => sensor.recall(file),
            Self::Many(many) => lock(&many.stage).recall(file),
        }
    }

    pub(super) fn now(&self) -> Timestamp {
        match self {
            Self::One(sensor) => sensor.now(),
            Self::Many(many) => lock(&many.stage).now(),
        }
    }
}

impl Many {
    fn new(config: SensorConfig, workers: usize) -> Self {
        // Each has all the bounds: one pair of hosts is one worker's alone, and must be seen as if there were no others.
        let observers = (0..workers).map(|_| Observer::new(&config.limits, config.observe, config.seed));
        let (hands, lanes) = observers.map(Hand::start).unzip();
        let steer = Steer::new(workers, config.seed);
        let stage = Arc::new(Mutex::new(Stage::new(config)));
        let (to_judge, handed) = bounded(AHEAD + 1);
        let (tell, told) = bounded(AHEAD + 1);
        let judge = Judge::new(Arc::clone(&stage), lanes, tell);
        Self {
            steer,
            hands,
            stage,
            to_judge: Some(to_judge),
            told,
            judge: Some(std::thread::spawn(move || judge.run(&handed))),
            counters: Counters::default(),
            number: 0,
            now: Timestamp::ZERO,
            loads: (0..workers).map(|_| Load::default()).collect(),
            seen: Vec::new(),
            bytes: 0,
            spare: Vec::new(),
            out: 0,
            records: VecDeque::new(),
            flows: VecDeque::new(),
            events: VecDeque::new(),
        }
    }

    fn handle_frame(&mut self, frame: &Frame<'_>) {
        if frame.at < self.now {
            self.counters.count(Counter::TimeBackwards);
        }
        self.now = self.now.max(frame.at);
        self.number += 1;
        let Share { observer, quoted } = self.steer.share(frame);
        let lifted = Frame { at: self.now, ..*frame };
        self.load(observer, &lifted, false);
        if let Some(other) = quoted.filter(|other| *other != observer) {
            self.load(other, &lifted, true);
        }
        self.seen.push((self.now, frame.wire_len));
        if self.seen.len() >= BATCH_FRAMES || self.bytes >= BATCH_BYTES {
            self.hand_out();
        }
    }

    fn load(&mut self, observer: usize, frame: &Frame<'_>, quote: bool) {
        if let Some(load) = self.loads.get_mut(observer) {
            load.push(self.number, frame, quote);
            self.bytes += frame.bytes.len();
        }
    }

    /// Gives the open batch to the observers and the stage; waits while too many are out.
    fn hand_out(&mut self) {
        if self.seen.is_empty() {
            return;
        }
        for (hand, load) in self.hands.iter().zip(&mut self.loads) {
            let full = core::mem::replace(load, hand.spare());
            hand.give(Work::Batch(full, self.now));
        }
        let seen = core::mem::replace(&mut self.seen, self.spare.pop().unwrap_or_default());
        self.bytes = 0;
        let count = u64::try_from(seen.len()).unwrap_or_default();
        if let Some(to_judge) = &self.to_judge {
            // It ends after this side does.
            let _sent = to_judge.send(Handed { first: self.number - count + 1, seen });
        }
        self.out += 1;
        while self.out > AHEAD && self.hear() {}
        while let Ok(told) = self.told.try_recv() {
            self.take(told);
        }
    }

    /// Waits for what the stage says next. False when it has ended.
    fn hear(&mut self) -> bool {
        let Ok(told) = self.told.recv() else { return false };
        self.take(told);
        true
    }

    fn take(&mut self, told: Told) {
        let Told { records, flows, events, seen } = told;
        self.records.extend(records);
        self.flows.extend(flows);
        self.events.extend(events);
        if let Some(seen) = seen {
            self.out -= 1;
            self.spare.push(seen);
        }
    }

    fn finish_some(&mut self) -> bool {
        if self.to_judge.is_some() {
            self.hand_out();
            self.hands.iter().for_each(|hand| hand.give(Work::Finish));
            self.to_judge = None;
        }
        if self.hear() {
            return true;
        }
        match self.judge.take().map(JoinHandle::join) {
            Some(Ok(counted)) => self.counters.merge(&counted),
            Some(Err(panic)) => std::panic::resume_unwind(panic),
            None => {}
        }
        false
    }
}

impl Drop for Many {
    fn drop(&mut self) {
        self.to_judge = None;
        self.hands.iter_mut().for_each(Hand::dismiss);
        // Lets the stage go on that waits to tell something.
        while self.told.recv().is_ok() {}
        if let Some(judge) = self.judge.take() {
            let _ended = judge.join();
        }
        self.hands.iter_mut().for_each(Hand::join);
    }
}

fn lock(stage: &Mutex<Stage>) -> MutexGuard<'_, Stage> {
    stage.lock().unwrap_or_else(PoisonError::into_inner)
}
