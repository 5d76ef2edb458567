//! A capture thread: frames of one ring to its observer, events to the thread that judges. It waits for nothing but frames:
//! when the others do not keep up, it leaves work out in the declared order ([`overload`](super::overload)) and counts that.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender};
use sekimori_sensor::frame::{Frame, LinkType};
use sekimori_sensor::observe::{Placed, Worker, quoted_ends};
use sekimori_wire::time::Timestamp;

use super::handing::Handing;
use super::lanes::{END, Part, Tally};
use super::overload::{Level, Overload};
use super::shed::{Admission, Shed};
use super::team::{QUOTES_MAX, Quote, Team};
use crate::capture::record::encode;
use crate::capture::{CaptureError, Live};
use crate::clock;
use crate::health::WorkerReading;
use crate::intel::shelf::Lists;

/// Longest wait for a frame: how late a stop may be noticed, or with several workers what another one passes on.
const WAIT_ALONE: Duration = Duration::from_millis(100);
const WAIT_TOGETHER: Duration = Duration::from_millis(20);
/// Frames may arrive this much after their time (the ring hands over blocks): a silent link is told an earlier time.
const SLACK: Duration = Duration::from_millis(250);
const SHOW_EVERY: Duration = Duration::from_secs(1);
/// ICMP errors taken from other workers between two looks at the ring, and how many may wait for their time.
const QUOTES_PER_TURN: usize = 256;
const QUOTES_WAITING_MAX: usize = 4 * QUOTES_MAX;
/// Looks at the ring after the end was asked for: what is there already is still read.
const LAST_TURNS: usize = 64;
const LAST_WAIT: Duration = Duration::from_millis(60);
/// Flows are numbered by when they began, in units of so many nanoseconds, so that those of all workers have one order.
const NANOS_PER_NUMBER: u64 = 1_024;

pub(super) struct Capturing {
    live: Live,
    desk: Desk,
    handing: Handing,
    quotes: Receiver<Quote>,
    /// Those of a time up to which not every frame of this worker was read.
    waiting: Vec<Quote>,
    overload: Overload,
}

/// What is done with each frame.
struct Desk {
    team: Arc<Team>,
    /// What is in force, and its number.
    lists: Arc<Lists>,
    seen: u64,
    own: usize,
    worker: Worker,
    /// Of the latest frame, among those of all workers.
    number: u64,
    /// The same, among those of this one.
    turn: u64,
    level: Level,
    shed: Shed,
    tallies: Vec<Tally>,
    /// The second of the last of them.
    second_ends: Timestamp,
    recorded: Vec<(Timestamp, Box<[u8]>)>,
    to_others: Vec<Sender<Quote>>,
    quotes_shed: u64,
    is_silent: bool,
}

impl Capturing {
    pub(super) fn new(
        (own, live): (usize, Live),
        worker: Worker,
        team: Arc<Team>,
        (to_stage, rooms): (Sender<Part>, Receiver<Vec<Placed>>),
        (to_others, quotes): (Vec<Sender<Quote>>, Receiver<Quote>),
    ) -> Self {
        let handing = Handing::new(Arc::clone(&team.queue), to_stage, rooms);
        let desk = Desk {
            lists: team.shelf.lists(),
            seen: 0,
            team,
            own,
            worker,
            number: 0,
            turn: 0,
            level: Level::default(),
            shed: Shed::default(),
            tallies: Vec::new(),
            second_ends: Timestamp::ZERO,
            recorded: Vec::new(),
            to_others,
            quotes_shed: 0,
            is_silent: true,
        };
        Self { live, desk, handing, quotes, waiting: Vec::new(), overload: Overload::default() }
    }

    /// Captures until told to stop, or the interface fails. Either way all that was seen is handed on.
    pub(super) fn run(mut self) -> Result<(), CaptureError> {
        let team = Arc::clone(&self.desk.team);
        let wait = if team.fanout.workers() > 1 { WAIT_TOGETHER } else { WAIT_ALONE };
        let started = Instant::now();
        let mut shown = Duration::ZERO;
        let mut ended = loop {
            if team.stop.load(Ordering::Relaxed) {
                break Ok(());
            }
            if let Err(error) = self.turn(wait) {
                break Err(error);
            }
            let now = started.elapsed();
            self.overload.on_pressure(now, self.live.backlog().max(self.handing.pressure()));
            self.desk.level = self.overload.level();
            if now.saturating_sub(shown) >= SHOW_EVERY {
                shown = now;
                self.show();
            }
        };
        for _ in 0..LAST_TURNS {
            if ended.is_err() || self.desk.is_silent {
                break;
            }
            ended = self.turn(LAST_WAIT);
        }
        self.finish();
        ended
    }

    fn turn(&mut self, wait: Duration) -> Result<(), CaptureError> {
        // Before the look at the ring: what is not there then came later.
        let now = clock::now().minus(SLACK);
        let Self { live, desk, .. } = self;
        if let Some(lists) = desk.team.shelf.newer(&mut desk.seen) {
            desk.lists = lists;
        }
        desk.is_silent = true;
        let delivered = live.deliver(wait, |frame| desk.handle_frame(frame));
        let mut placed = desk.worker.exchange(self.handing.room());
        let mut until = self.desk.worker.now();
        if self.desk.is_silent && now > until && self.live.backlog() == 0 {
            self.desk.worker.handle_timeout(now);
            placed.extend(self.desk.worker.take());
            until = now;
        }
        let quoted = self.take_quotes(until);
        let part = self.part(placed, quoted, until);
        // What was not taken still counts as frames.
        self.desk.tallies = self.handing.hand_over(part);
        delivered
    }

    /// What ICMP errors that others captured mean for the flows of this one. They come by another way than its own frames, and
    /// often sooner: each waits until all frames before it were read, for one of these may have begun the flow.
    fn take_quotes(&mut self, until: Timestamp) -> Vec<Placed> {
        let room = QUOTES_WAITING_MAX.saturating_sub(self.waiting.len());
        self.waiting.extend(self.quotes.try_iter().take(room.min(QUOTES_PER_TURN)));
        let mut due: Vec<Quote> = self.waiting.extract_if(.., |quote| quote.at <= until).collect();
        due.sort_unstable_by_key(|quote| quote.number);
        for Quote { number, at, link, wire_len, vlan, bytes } in due {
            let frame = Frame { at, link, bytes: &bytes, wire_len, vlan };
            self.desk.worker.handle_frame(number, &frame, true);
        }
        self.desk.worker.take()
    }

    /// What was seen, for the thread that judges.
    fn part(&mut self, placed: Vec<Placed>, quoted: Vec<Placed>, until: Timestamp) -> Part {
        let desk = &mut self.desk;
        Part {
            worker: desk.own,
            placed,
            quoted,
            tallies: core::mem::take(&mut desk.tallies),
            recorded: core::mem::take(&mut desk.recorded),
            until,
            outline: desk.level >= Level::Outline,
        }
    }

    /// The end of all workers is at one time, that of the last frame of any.
    fn finish(&mut self) {
        let last = self.desk.team.await_last(self.desk.worker.now());
        let mut quoted = Vec::new();
        while !(self.quotes.is_empty() && self.waiting.is_empty()) {
            quoted.extend(self.take_quotes(END));
        }
        self.desk.worker.reach(last);
        let mut placed = self.desk.worker.take();
        while self.desk.worker.finish_some() {}
        placed.extend(self.desk.worker.take());
        self.show();
        let part = self.part(placed, quoted, END);
        self.handing.hand_over_last(part);
    }

    /// Shows how it goes.
    fn show(&mut self) {
        let Desk { team, own, worker, shed, quotes_shed, .. } = &self.desk;
        let reading = WorkerReading {
            sensor: worker.counters().clone(),
            capture: self.live.stats(),
            level: self.overload.level().number(),
            highest: self.overload.highest().number(),
            overloads: self.overload.begun(),
            frames_shed: shed.frames,
            payloads_shed: shed.payloads,
            events: self.handing.events(),
            events_shed: self.handing.events_shed(),
            quotes_shed: *quotes_shed,
            not_recorded: self.handing.not_recorded(),
        };
        team.gauge.show_worker(*own, reading);
    }
}

impl Desk {
    fn handle_frame(&mut self, frame: &Frame<'_>) {
        self.is_silent = false;
        let at = frame.at.max(self.worker.now());
        self.tally(at, frame.wire_len);
        self.number = self.next_number(at);
        if self.team.records {
            self.recorded.push((at, encode(frame)));
        }
        if !self.to_others.is_empty() && may_quote(frame) {
            self.pass_on(frame, at);
        }
        let bytes = if self.level < Level::Headers {
            frame.bytes
        } else {
            match self.shed.admit(self.level, frame, &self.lists.intel) {
                Admission::Whole => frame.bytes,
                Admission::Headers(length) => frame.bytes.get(..length).unwrap_or(frame.bytes),
                Admission::No => return,
            }
        };
        self.worker.handle_frame(self.number, &Frame { bytes, ..*frame }, false);
    }

    /// Numbers grow with time, and no two workers give the same.
    fn next_number(&mut self, at: Timestamp) -> u64 {
        let workers = count(self.team.fanout.workers());
        self.turn += 1;
        if workers > 1 {
            let by_time = at.nanos().saturating_sub(self.team.started.nanos()) / NANOS_PER_NUMBER;
            self.turn = self.turn.max(by_time);
        }
        self.turn * workers + count(self.own)
    }

    fn tally(&mut self, at: Timestamp, wire_len: u32) {
        let bytes = u64::from(wire_len);
        match self.tallies.last_mut() {
            Some(last) if at < self.second_ends => {
                last.packets += 1;
                last.bytes += bytes;
            }
            Some(_) | None => {
                self.second_ends = Timestamp::from_secs(at.secs() + 1);
                self.tallies.push(Tally { at, packets: 1, bytes });
            }
        }
    }

    /// Tells another worker of an ICMP error that quotes a flow of its own.
    fn pass_on(&mut self, frame: &Frame<'_>, at: Timestamp) {
        let Some(other) = quoted_ends(frame).map(|ends| self.team.fanout.of(ends)) else { return };
        if other == self.own {
            return;
        }
        let Some(to_other) = self.to_others.get(other) else { return };
        let Frame { link, wire_len, vlan, bytes, at: _ } = *frame;
        let bytes = bytes.get(..Quote::BYTES_MAX).unwrap_or(bytes).into();
        if to_other.try_send(Quote { number: self.number, at, link, wire_len, vlan, bytes }).is_err() {
            self.quotes_shed += 1;
        }
    }
}

/// Whether the frame may be an ICMP error. Most frames are plain TCP or UDP, and that is soon seen.
fn may_quote(frame: &Frame<'_>) -> bool {
    if frame.link != LinkType::Ethernet {
        return true;
    }
    let byte = |at: usize| frame.bytes.get(at).copied();
    !matches!(
        (byte(12), byte(13), byte(23), byte(20)),
        (Some(0x08), Some(0x00), Some(6 | 17), _) | (Some(0x86), Some(0xdd), _, Some(6 | 17))
    )
}

fn count(count: usize) -> u64 {
    u64::try_from(count).unwrap_or(u64::MAX)
}
