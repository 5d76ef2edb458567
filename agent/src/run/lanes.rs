//! What several capture threads saw, brought together in the order of time. Pure.
//!
//! Each thread says up to when it has told everything; what lies before the earliest of these is judged. A thread without
//! frames says so by the clock, so that it holds nobody up; one that is stuck holds the others up only as long as there is
//! room. What comes after its time is judged late, and counted.

use core::time::Duration;
use std::collections::VecDeque;

use sekimori_sensor::observe::{Place, Placed};
use sekimori_wire::time::Timestamp;

/// With several threads, what a thread has told is held back for so long: an ICMP error that one captured may concern a
/// flow of another, which hears of it a little later.
pub(super) const HOLD: Duration = Duration::from_millis(100);
/// Events that may wait for a thread that says nothing.
const HELD_MAX: usize = 131_072;

/// Bytes of a recording that may wait. More are not recorded, and counted.
const RECORDED_MAX: usize = 64 << 20;
/// A thread has told everything that it ever will.
pub(super) const END: Timestamp = Timestamp::from_nanos(u64::MAX);

/// What a capture thread hands over.
#[derive(Debug, Default)]
pub(super) struct Part {
    pub(super) worker: usize,
    /// In order.
    pub(super) placed: Vec<Placed>,
    /// What ICMP errors that others captured brought about, in any order.
    pub(super) quoted: Vec<Placed>,
    pub(super) tallies: Vec<Tally>,
    pub(super) recorded: Vec<(Timestamp, Box<[u8]>)>,
    /// All before it was told.
    pub(super) until: Timestamp,
    /// Summaries are to lose their detail.
    pub(super) outline: bool,
}

/// Frames of one second.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Tally {
    /// The first of them.
    pub(super) at: Timestamp,
    pub(super) packets: u64,
    pub(super) bytes: u64,
}

/// What waits for its time.
#[derive(Debug)]
pub(super) struct Lanes {
    lanes: Vec<Lane>,
    hold: Duration,
    held: usize,
    recorded_bytes: usize,
    /// Frames that did not fit the recording.
    not_recorded: u64,
    /// Everything before it was judged.
    reached: Timestamp,
    late: u64,
}

#[derive(Debug, Default)]
struct Lane {
    placed: Queue,
    quoted: Queue,
    tallies: VecDeque<Tally>,
    recorded: VecDeque<(Timestamp, Box<[u8]>)>,
    until: Timestamp,
    outline: bool,
    /// Lists whose events were judged.
    spent: Vec<Vec<Placed>>,
}

/// Events in order, in the lists in which they came.
#[derive(Debug, Default)]
struct Queue {
    parts: VecDeque<Vec<Placed>>,
    /// Of the first list, how many are gone.
    gone: usize,
}

impl Queue {
    fn push(&mut self, part: Vec<Placed>) {
        if !part.is_empty() {
            self.parts.push_back(part);
        }
    }

    /// Puts these, in any order, among those that wait.
    fn insert(&mut self, part: Vec<Placed>) {
        if part.is_empty() {
            return;
        }
        let gone = core::mem::take(&mut self.gone);
        let mut all: Vec<Placed> = self.parts.drain(..).flatten().skip(gone).chain(part).collect();
        all.sort_by_key(Placed::place);
        self.parts.push_back(all);
    }

    fn head(&self) -> Option<Place> {
        self.parts.front()?.get(self.gone).map(Placed::place)
    }

    /// The next ones before a time and not behind a place; not all of them if they lie in several lists.
    fn run(&self, before: Timestamp, not_behind: Option<Place>) -> &[Placed] {
        let rest = self.parts.front().and_then(|part| part.get(self.gone..)).unwrap_or_default();
        let is_due =
            |one: &&Placed| one.event.at() < before && not_behind.is_none_or(|place| one.place() <= place);
        rest.get(..rest.iter().take_while(is_due).count()).unwrap_or_default()
    }

    /// So many are gone; a list that is gone as a whole.
    fn advance(&mut self, count: usize) -> Option<Vec<Placed>> {
        self.gone += count;
        self.parts.front().filter(|part| self.gone >= part.len())?;
        self.gone = 0;
        self.parts.pop_front()
    }
}

impl Lanes {
    pub(super) fn new(workers: usize) -> Self {
        let hold = if workers > 1 { HOLD } else { Duration::ZERO };
        let lanes = (0..workers).map(|_| Lane::default()).collect();
        Self { lanes, hold, held: 0, recorded_bytes: 0, not_recorded: 0, reached: Timestamp::ZERO, late: 0 }
    }

    pub(super) fn add(&mut self, part: Part) {
        let Some(lane) = self.lanes.get_mut(part.worker) else { return };
        self.held += part.placed.len() + part.quoted.len();
        lane.placed.push(part.placed);
        lane.quoted.insert(part.quoted);
        lane.tallies.extend(part.tallies);
        if self.recorded_bytes <= RECORDED_MAX {
            self.recorded_bytes += part.recorded.iter().map(|(_, record)| record.len()).sum::<usize>();
            lane.recorded.extend(part.recorded);
        } else {
            self.not_recorded += u64::try_from(part.recorded.len()).unwrap_or(u64::MAX);
        }
        lane.until = lane.until.max(part.until);
        lane.outline = part.outline;
    }

    /// Any thread is so loaded that summaries are to lose their detail.
    pub(super) fn outline(&self) -> bool {
        self.lanes.iter().any(|lane| lane.outline)
    }

    /// Up to when everything was told: what lies before may be taken.
    pub(super) fn watermark(&self) -> Timestamp {
        let until = self.lanes.iter().map(|lane| lane.until);
        let all = until.clone().min().unwrap_or_default();
        let told = if self.held > HELD_MAX { until.max().unwrap_or_default() } else { all };
        if told == END { told } else { told.minus(self.hold) }
    }

    /// The next frames up to then.
    pub(super) fn next_tally(&mut self, until: Timestamp) -> Option<Tally> {
        let heads = self.lanes.iter().enumerate();
        let next = heads.filter_map(|(idx, lane)| Some((lane.tallies.front()?.at, idx))).min()?;
        let (at, idx) = next;
        if at > until { None } else { self.lanes.get_mut(idx)?.tallies.pop_front() }
    }

    /// The next recorded frame up to then.
    pub(super) fn next_recorded(&mut self, until: Timestamp) -> Option<Box<[u8]>> {
        let heads = self.lanes.iter().enumerate();
        let (at, idx) = heads.filter_map(|(idx, lane)| Some((lane.recorded.front()?.0, idx))).min()?;
        if at > until {
            return None;
        }
        let (_, record) = self.lanes.get_mut(idx)?.recorded.pop_front()?;
        self.recorded_bytes -= record.len();
        Some(record)
    }

    /// All events before then, in order, some at a time.
    pub(super) fn judge(&mut self, before: Timestamp, mut judge: impl FnMut(&[Placed])) {
        while let Some((number, is_quoted, others)) = self.earliest() {
            let Some(lane) = self.lanes.get_mut(number) else { return };
            let queue = if is_quoted { &mut lane.quoted } else { &mut lane.placed };
            let run = queue.run(before, others);
            for Placed { event, .. } in run {
                let is_late = event.at() < self.reached;
                self.late += u64::from(is_late);
                self.reached = self.reached.max(event.at());
            }
            if run.is_empty() {
                return;
            }
            judge(run);
            let count = run.len();
            self.held -= count;
            lane.spent.extend(queue.advance(count));
        }
    }

    /// The queue with the earliest event (number of its lane, whether its events were quoted), and the place of the earliest
    /// in any other.
    fn earliest(&self) -> Option<(usize, bool, Option<Place>)> {
        let (mut first, mut others): (Option<(Place, usize, bool)>, Option<Place>) = (None, None);
        for (number, lane) in self.lanes.iter().enumerate() {
            for (queue, is_quoted) in [(&lane.placed, false), (&lane.quoted, true)] {
                let Some(place) = queue.head() else { continue };
                let behind = match first {
                    Some((best, ..)) if best <= place => Some(place),
                    best => {
                        first = Some((place, number, is_quoted));
                        best.map(|(place, ..)| place)
                    }
                };
                others = [others, behind].into_iter().flatten().min();
            }
        }
        first.map(|(_, number, is_quoted)| (number, is_quoted, others))
    }

    /// Lists whose events were judged, and the worker that each came from.
    pub(super) fn take_spent(&mut self) -> impl Iterator<Item = (usize, Vec<Placed>)> {
        let lanes = self.lanes.iter_mut().enumerate();
        lanes.flat_map(|(worker, lane)| lane.spent.drain(..).map(move |list| (worker, list)))
    }

    /// Frames that did not fit the recording.
    pub(super) const fn not_recorded(&self) -> u64 {
        self.not_recorded
    }

    /// Events that came too late for their place.
    pub(super) const fn late(&self) -> u64 {
        self.late
    }
}

#[cfg(test)]
pub(super) mod tests {
    use sekimori_sensor::counters::Counter;
    use sekimori_sensor::frame::{Frame, LinkType};
    use sekimori_sensor::limits::Limits;
    use sekimori_sensor::observe::{Observer, Options, Worker};

    use super::*;

    /// Real events: an ARP packet at each of these milliseconds, as a worker places them.
    pub(in crate::run) fn arps(milliseconds: &[u64]) -> Vec<Placed> {
        let mut bytes = vec![0xff; 12];
        bytes.extend([8, 6, 0, 1, 8, 0, 6, 4, 0, 1]);
        bytes.extend([0; 20]);
        let mut worker = Worker::new(Observer::new(&Limits::gateway(), Options::default(), 1));
        for (number, at) in (1..).zip(milliseconds) {
            let at = ms(*at);
            let frame = Frame { at, link: LinkType::Ethernet, bytes: &bytes, wire_len: 42, vlan: None };
            worker.handle_frame(number, &frame, false);
        }
        assert_eq!(worker.counters().value(Counter::Decoded), u64::try_from(milliseconds.len()).unwrap());
        worker.take()
    }

    fn ms(milliseconds: u64) -> Timestamp {
        Timestamp::from_nanos(milliseconds * 1_000_000)
    }

    fn part(worker: usize, events: &[u64], until: u64) -> Part {
        Part { worker, placed: arps(events), until: ms(until), ..Part::default() }
    }

    /// Milliseconds of what may be judged now.
    fn taken(lanes: &mut Lanes) -> Vec<u64> {
        let before = lanes.watermark();
        let mut times = Vec::new();
        lanes.judge(before, |run| {
            times.extend(run.iter().map(|placed| placed.event.at().nanos() / 1_000_000));
        });
        times
    }

    #[test]
    fn events_leave_in_order_once_all_have_told() {
        let mut lanes = Lanes::new(2);
        lanes.add(part(0, &[1_000, 1_005, 1_500], 1_600));
        assert!(taken(&mut lanes).is_empty(), "the other thread has said nothing yet");
        lanes.add(part(1, &[1_002, 1_400], 1_450));
        assert_eq!(taken(&mut lanes), [1_000, 1_002, 1_005], "less 100 ms for what one tells another");
        // The second is idle, and says so by the clock.
        lanes.add(part(1, &[], 5_000));
        assert_eq!(taken(&mut lanes), [1_400]);
        lanes.add(part(0, &[], 5_000));
        assert_eq!(taken(&mut lanes), [1_500]);
        assert_eq!(lanes.late(), 0);
        let spent: Vec<(usize, usize)> =
            lanes.take_spent().map(|(worker, list)| (worker, list.len())).collect();
        assert_eq!(spent, [(0, 3), (1, 2)], "each list goes back to where it came from");
        assert_eq!(lanes.take_spent().count(), 0);
    }

    #[test]
    fn one_thread_waits_for_nobody() {
        let mut lanes = Lanes::new(1);
        lanes.add(part(0, &[1_000, 1_005], 1_005));
        assert_eq!(taken(&mut lanes), [1_000]);
        lanes.add(Part { until: END, ..Part::default() });
        assert_eq!(taken(&mut lanes), [1_005]);
    }

    #[test]
    fn what_another_thread_was_told_late_finds_its_place() {
        let mut lanes = Lanes::new(2);
        lanes.add(part(0, &[1_000, 1_090], 1_100));
        lanes.add(part(1, &[1_050, 1_095], 1_100));
        let quoted = [arps(&[1_060]), arps(&[1_020])].concat();
        lanes.add(Part { worker: 1, quoted, until: ms(1_300), ..Part::default() });
        lanes.add(part(0, &[], 1_300));
        assert_eq!(taken(&mut lanes), [1_000, 1_020, 1_050, 1_060, 1_090, 1_095]);
    }

    #[test]
    fn a_stuck_thread_holds_the_others_up_only_while_there_is_room() {
        let mut lanes = Lanes::new(2);
        let many: Vec<u64> =
            (0..u64::try_from(HELD_MAX).unwrap() + 1).map(|number| 1_000 + number / 100).collect();
        lanes.add(part(0, &many, 9_000));
        assert_eq!(taken(&mut lanes).len(), many.len());
        lanes.add(part(1, &[1_001], 9_000));
        assert_eq!(taken(&mut lanes), [1_001]);
        assert_eq!(lanes.late(), 1);
    }

    #[test]
    fn frames_and_recordings_leave_in_order_too() {
        let mut lanes = Lanes::new(2);
        let tally = |at| Tally { at: ms(at), packets: 1, bytes: 60 };
        let record = |at: u64| (ms(at), Box::from([u8::try_from(at).unwrap()]));
        for (worker, times) in [(0, [1, 3]), (1, [2, 9])] {
            let (tallies, recorded) = (times.map(tally).to_vec(), times.map(record).to_vec());
            lanes.add(Part { worker, tallies, recorded, ..Part::default() });
        }
        let tallies: Vec<Tally> = core::iter::from_fn(|| lanes.next_tally(ms(3))).collect();
        assert_eq!(tallies, [1, 2, 3].map(tally));
        let recorded: Vec<_> = core::iter::from_fn(|| lanes.next_recorded(ms(3))).collect();
        assert_eq!(recorded, [[1], [2], [3]].map(Box::from));
    }
}
