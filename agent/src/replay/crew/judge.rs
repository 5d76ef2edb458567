//! The thread behind the observers: their events in the one order to the stage, what it makes of them to whoever reads.

use std::sync::{Arc, Mutex};

use crossbeam_channel::{Receiver, Sender};
use sekimori_sensor::counters::Counters;
use sekimori_sensor::event::Event;
use sekimori_sensor::observe::{Place, Placed};
use sekimori_sensor::sensor::Stage;
use sekimori_wire::record::{FlowSummary, Record};
use sekimori_wire::time::Timestamp;

use super::hand::{Lane, Part};
use super::lock;

/// Events that are judged before what came of them is told.
const TELL_EVERY: usize = 16_384;

/// Time and length of a frame.
pub(super) type Seen = (Timestamp, u32);

/// A batch that the observers have: the number of its first frame, and what the stage wants to know of each.
pub(super) struct Handed {
    pub(super) first: u64,
    pub(super) seen: Vec<Seen>,
}

/// What the stage made.
#[derive(Default)]
pub(super) struct Told {
    pub(super) records: Vec<Record>,
    pub(super) flows: Vec<FlowSummary>,
    pub(super) events: Vec<Event>,
    /// A batch was judged: its list, empty.
    pub(super) seen: Option<Vec<Seen>>,
}

/// Nobody reads any more, or an observer failed.
struct Gone;

pub(super) struct Judge {
    stage: Arc<Mutex<Stage>>,
    streams: Vec<Stream>,
    tell: Sender<Told>,
    /// What the observers counted.
    counters: Counters,
    /// Judged since the stage was asked what it made.
    judged: usize,
}

/// The events of one observer, batch after batch.
struct Stream {
    lane: Lane,
    part: Part,
    next: usize,
}

impl Judge {
    pub(super) fn new(stage: Arc<Mutex<Stage>>, lanes: Vec<Lane>, tell: Sender<Told>) -> Self {
        let streams = lanes.into_iter().map(|lane| Stream { lane, part: Part::default(), next: 0 });
        Self { stage, streams: streams.collect(), tell, counters: Counters::default(), judged: 0 }
    }

    /// Judges batches until there are no more, then the end of the capture. What the observers counted.
    pub(super) fn run(mut self, handed: &Receiver<Handed>) -> Counters {
        let stage = Arc::clone(&self.stage);
        let ended = handed.iter().try_for_each(|batch| self.judge(&mut lock(&stage), batch));
        if ended.is_ok() {
            // An early end of whoever reads is no end of the capture: then there is nobody to tell either.
            let _told = self.finish(&mut lock(&stage));
        }
        self.counters
    }

    fn judge(&mut self, stage: &mut Stage, Handed { first, mut seen }: Handed) -> Result<(), Gone> {
        self.begin()?;
        let mut due = self.due();
        for (number, (at, wire_len)) in (first..).zip(seen.iter().copied()) {
            stage.handle_frame(at, wire_len);
            let until = Place::after_frame(at, number);
            if due.is_some_and(|due| due <= until) {
                due = self.judge_until(stage, until)?;
            }
        }
        // What was due by the last frame's time, and brought about by no frame.
        self.judge_until(stage, Place::LAST)?;
        seen.clear();
        self.tell(stage, Some(seen))
    }

    fn finish(&mut self, stage: &mut Stage) -> Result<(), Gone> {
        self.begin()?;
        self.judge_until(stage, Place::LAST)?;
        stage.finish();
        self.tell(stage, None)
    }

    /// The first part of a batch of every observer.
    fn begin(&mut self) -> Result<(), Gone> {
        for stream in &mut self.streams {
            stream.part.more = true;
            stream.fill(&mut self.counters)?;
        }
        Ok(())
    }

    /// Where the next event belongs.
    fn due(&self) -> Option<Place> {
        self.streams.iter().filter_map(Stream::head).min()
    }

    /// Judges what is due by then; where the next event belongs.
    fn judge_until(&mut self, stage: &mut Stage, until: Place) -> Result<Option<Place>, Gone> {
        loop {
            // The stream with the earliest, and up to where it has none between its own.
            let (mut first, mut others): (Option<(Place, &mut Stream)>, Option<Place>) = (None, None);
            for stream in &mut self.streams {
                let Some(head) = stream.head() else { continue };
                if let Some((place, _)) = &first
                    && *place <= head
                {
                    others = Some(others.map_or(head, |others| others.min(head)));
                } else {
                    others = first.map(|(place, _)| place).or(others);
                    first = Some((head, stream));
                }
            }
            let Some((head, stream)) = first else { return Ok(None) };
            if head > until {
                return Ok(Some(head));
            }
            let run = stream.run(others.map_or(until, |others| others.min(until)));
            self.judged += run.len();
            stage.handle_placed(run);
            stream.next += run.len();
            stream.fill(&mut self.counters)?;
            if self.judged >= TELL_EVERY {
                self.tell(stage, None)?;
            }
        }
    }

    /// Hands over what the stage made.
    fn tell(&mut self, stage: &mut Stage, seen: Option<Vec<Seen>>) -> Result<(), Gone> {
        self.judged = 0;
        let told = Told {
            records: std::iter::from_fn(|| stage.poll_record()).collect(),
            flows: std::iter::from_fn(|| stage.poll_flow()).collect(),
            events: std::iter::from_fn(|| stage.poll_event()).collect(),
            seen,
        };
        self.tell.send(told).map_err(|_untold| Gone)
    }
}

impl Stream {
    fn head(&self) -> Option<Place> {
        self.part.placed.get(self.next).map(Placed::place)
    }

    /// The next events up to this place, of those that are here.
    fn run(&self, until: Place) -> &[Placed] {
        let rest = self.part.placed.get(self.next..).unwrap_or_default();
        let len = rest.iter().take_while(|placed| placed.place() <= until).count();
        rest.get(..len).unwrap_or_default()
    }

    /// Has an event at hand, unless the batch has no more.
    fn fill(&mut self, counters: &mut Counters) -> Result<(), Gone> {
        while self.next >= self.part.placed.len() && self.part.more {
            let mut part = self.lane.parts.recv().map_err(|_ended| Gone)?;
            if let Some(counted) = part.counters.take() {
                counters.merge(&counted);
            }
            let spent = core::mem::replace(&mut self.part, part);
            self.next = 0;
            // It ends by itself when it has told everything.
            let _given = self.lane.spent.send(spent.placed);
        }
        Ok(())
    }
}
