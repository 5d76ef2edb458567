//! The thread behind the capture threads of one interface: what they saw, in one order, to the detectors; records to its
//! outbox.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender};
use sekimori_sensor::observe::Placed;
use sekimori_sensor::sensor::Stage;

use super::lanes::{END, Lanes, Part};
use super::team::Team;
use crate::baseline::{Drawer, SAVE_EVERY};
use crate::capture::record::Recorder;
use crate::health::{StageReading, excepted};
use crate::outbox::Outbox;

/// Longest wait for a part: how late an alert may be noticed.
const WAIT: Duration = Duration::from_millis(100);
/// Parts taken between two looks at everything else.
const PARTS_PER_TURN: usize = 16;
const SHOW_EVERY: Duration = Duration::from_secs(1);

pub(super) struct Judging {
    pub(super) team: Arc<Team>,
    /// Number of the lists in force.
    pub(super) seen: u64,
    pub(super) parts: Receiver<Part>,
    pub(super) lanes: Lanes,
    /// Back to each worker: lists of events that were judged.
    pub(super) spent: Vec<Sender<Vec<Placed>>>,
    pub(super) stage: Stage,
    /// Where what is learned is put.
    pub(super) drawer: Arc<Drawer>,
    pub(super) outbox: Outbox,
    pub(super) recorder: Option<Recorder>,
}

impl Judging {
    /// Judges until all capture threads have ended.
    pub(super) fn run(mut self) {
        let mut shown = (Instant::now(), (0, 0));
        let mut saved = Instant::now();
        loop {
            match self.parts.recv_timeout(WAIT) {
                Ok(part) => self.take(part),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break,
            }
            self.judge();
            self.hand_on();
            if shown.0.elapsed() >= SHOW_EVERY {
                shown = (Instant::now(), self.show(shown.1));
            }
            if saved.elapsed() >= SAVE_EVERY {
                saved = Instant::now();
                self.drawer.put(self.stage.learned());
            }
        }
        self.judge();
        self.stage.finish();
        self.drawer.put(self.stage.learned());
        self.hand_on();
        self.show(shown.1);
        self.outbox.finish();
    }

    /// Takes this part and some that wait behind it.
    fn take(&mut self, first: Part) {
        let Self { parts, lanes, team, .. } = self;
        for part in core::iter::once(first).chain(parts.try_iter().take(PARTS_PER_TURN)) {
            team.queue.took(&part);
            lanes.add(part);
        }
    }

    /// Judges what all capture threads have told.
    fn judge(&mut self) {
        let Self { team, seen, lanes, stage, recorder, spent, .. } = self;
        if let Some(lists) = team.shelf.newer(seen) {
            stage.replace(Arc::clone(&lists.intel), lists.exceptions.clone());
        }
        let until = lanes.watermark();
        stage.set_outline(lanes.outline());
        while let Some(tally) = lanes.next_tally(until) {
            lanes.judge(tally.at, |run| stage.handle_placed(run));
            stage.handle_frames(tally.at, tally.packets, tally.bytes);
        }
        lanes.judge(until, |run| stage.handle_placed(run));
        for (worker, list) in lanes.take_spent() {
            if let Some(spent) = spent.get(worker) {
                // A worker that has enough of them, or has ended, needs no more.
                drop(spent.try_send(list));
            }
        }
        if until != END {
            stage.reach(until);
        }
        if let Some(recorder) = recorder {
            while let Some(record) = lanes.next_recorded(until) {
                recorder.record(&record);
            }
        }
    }

    fn hand_on(&mut self) {
        while let Some(record) = self.stage.poll_record() {
            self.outbox.push(record);
        }
        self.outbox.flush();
    }

    /// Shows how it goes, and tells the detectors what was lost since `before`.
    fn show(&mut self, before: (u64, u64)) -> (u64, u64) {
        let (received, lost) = self.team.gauge.received_and_lost();
        let since = |now: u64, before: u64| now.saturating_sub(before);
        self.stage.note_loss(since(lost, before.1), since(received, before.0));
        if let Some(recorder) = &mut self.recorder {
            recorder.flush();
        }
        self.team.gauge.show_stage(StageReading {
            sensor: self.stage.counters(),
            shed: self.outbox.shed(),
            not_recorded: self.recorder.as_ref().map_or(0, Recorder::dropped) + self.lanes.not_recorded(),
            late: self.lanes.late(),
            excepted: excepted(self.stage.iter_excepted()),
        });
        (received, lost)
    }
}
