//! The thread of one interface: frames to its sensor, records to its outbox. It waits for nothing but frames.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crossbeam_channel::Receiver;
use sekimori_sensor::sensor::Sensor;

use crate::baseline::{Drawer, SAVE_EVERY};
use crate::capture::record::Recorder;
use crate::capture::{CaptureError, Live, Stats};
use crate::clock;
use crate::endpoint::Line;
use crate::health::{Gauge, Reading, excepted};
use crate::intel::shelf::Shelf;
use crate::outbox::Outbox;

/// Longest wait for a frame: how late a stop or an alert may be noticed.
const WAIT: Duration = Duration::from_millis(100);
/// Frames may arrive this much after their time (the ring hands over blocks): a silent link is told an earlier time.
const SLACK: Duration = Duration::from_secs(1);
/// Alerts taken between two looks at the link.
const LINES_PER_TURN: usize = 256;
const SHOW_EVERY: Duration = Duration::from_secs(1);

pub(super) struct Capturing {
    pub(super) live: Live,
    pub(super) sensor: Sensor,
    /// Where what is learned is put.
    pub(super) drawer: Arc<Drawer>,
    pub(super) outbox: Outbox,
    pub(super) recorder: Option<Recorder>,
    pub(super) lines: Option<Receiver<Line>>,
    pub(super) gauge: Arc<Gauge>,
    pub(super) stop: Arc<AtomicBool>,
    /// Where new lists come from, and the number of those in force.
    pub(super) shelf: (Arc<Shelf>, u64),
}

impl Capturing {
    /// Captures until told to stop, or the interface fails. Either way all that was seen is handed on.
    pub(super) fn run(mut self) -> Result<(), CaptureError> {
        let mut shown = (Instant::now(), Stats::default());
        let mut saved = Instant::now();
        let ended = loop {
            if self.stop.load(Ordering::Relaxed) {
                break Ok(());
            }
            if let Err(error) = self.turn() {
                break Err(error);
            }
            if shown.0.elapsed() >= SHOW_EVERY {
                shown = (Instant::now(), self.show(shown.1));
            }
            if saved.elapsed() >= SAVE_EVERY {
                saved = Instant::now();
                self.drawer.put(self.sensor.learned());
            }
        };
        self.take_lines(usize::MAX);
        self.sensor.finish();
        self.drawer.put(self.sensor.learned());
        self.hand_on();
        self.show(shown.1);
        self.outbox.finish();
        ended
    }

    fn turn(&mut self) -> Result<(), CaptureError> {
        let Self { live, sensor, recorder, shelf: (shelf, seen), .. } = self;
        if let Some(lists) = shelf.newer(seen) {
            sensor.replace(Arc::clone(&lists.intel), lists.exceptions.clone());
        }
        let mut silent = true;
        live.deliver(WAIT, |frame| {
            silent = false;
            if let Some(recorder) = recorder {
                recorder.record(frame);
            }
            sensor.handle_frame(frame);
        })?;
        self.take_lines(LINES_PER_TURN);
        if silent {
            self.sensor.handle_timeout(clock::now().minus(SLACK));
        }
        self.hand_on();
        Ok(())
    }

    fn take_lines(&mut self, most: usize) {
        let Some(lines) = &self.lines else { return };
        for line in lines.try_iter().take(most) {
            self.sensor.handle_alert(line.received_at, line.from, &line.bytes);
        }
    }

    fn hand_on(&mut self) {
        while let Some(record) = self.sensor.poll_record() {
            self.outbox.push(record);
        }
        self.outbox.flush();
    }

    /// Shows how it goes, and tells the sensor what was lost since `before`.
    fn show(&mut self, before: Stats) -> Stats {
        let capture = self.live.stats();
        let since = |now: u64, before: u64| now.saturating_sub(before);
        self.sensor
            .note_loss(since(capture.dropped, before.dropped), since(capture.received, before.received));
        if let Some(recorder) = &mut self.recorder {
            recorder.flush();
        }
        self.gauge.show(Reading {
            sensor: self.sensor.counters(),
            capture,
            shed: self.outbox.shed(),
            not_recorded: self.recorder.as_ref().map_or(0, Recorder::dropped),
            excepted: excepted(self.sensor.iter_excepted()),
        });
        capture
    }
}
