//! From the capture threads to the one that judges. Handing over never waits: where there is no room, the less important
//! goes, then everything, and is counted.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crossbeam_channel::{Receiver, Sender};
use sekimori_sensor::event::{Event, FlowEvent};
use sekimori_sensor::observe::Placed;
use sekimori_wire::time::Timestamp;

use super::lanes::{Part, Tally};

/// Events that may wait, of all workers of an interface: 22 MiB, a fifth of a second of the worst traffic. Those that matter
/// most may be twice as many.
const EVENTS_MAX: usize = 131_072;
/// Parts that may wait.
pub(super) const PARTS_MAX: usize = 512;
/// Lists of events that wait to be used again, of each worker: more are not out at once in normal operation.
pub(super) const ROOMS_MAX: usize = 16;

/// What waits, of all workers of an interface.
#[derive(Debug, Default)]
pub(super) struct Queue {
    events: AtomicUsize,
}

/// One worker's side.
#[derive(Debug)]
pub(super) struct Handing {
    queue: Arc<Queue>,
    to_stage: Sender<Part>,
    /// Lists of events that were judged.
    rooms: Receiver<Vec<Placed>>,
    /// Up to when everything was told.
    until: Timestamp,
    events: u64,
    events_shed: u64,
    not_recorded: u64,
}

impl Queue {
    /// A part was taken.
    pub(super) fn took(&self, part: &Part) {
        self.events.fetch_sub(events(part), Ordering::Relaxed);
    }
}

impl Handing {
    pub(super) const fn new(queue: Arc<Queue>, to_stage: Sender<Part>, rooms: Receiver<Vec<Placed>>) -> Self {
        Self { queue, to_stage, rooms, until: Timestamp::ZERO, events: 0, events_shed: 0, not_recorded: 0 }
    }

    /// An empty list, used before if one has come back. Its events are dropped here, by the thread that made them: elsewhere
    /// that costs twice as much.
    pub(super) fn room(&self) -> Vec<Placed> {
        let mut room = self.rooms.try_recv().unwrap_or_default();
        room.clear();
        room
    }

    /// How much waits, in thousandths of what may.
    pub(super) fn pressure(&self) -> u32 {
        let share = |waiting: usize, most: usize| u32::try_from(waiting * 1000 / most).unwrap_or(u32::MAX);
        let events = self.queue.events.load(Ordering::Relaxed);
        share(events, EVENTS_MAX).max(share(self.to_stage.len(), PARTS_MAX))
    }

    /// Hands a part over. What it counted and nobody took is given back, for the next.
    pub(super) fn hand_over(&mut self, mut part: Part) -> Vec<Tally> {
        part.until = part.until.max(self.until);
        let until = part.until;
        let all = events(&part);
        if all == 0 && part.tallies.is_empty() && until == self.until {
            return Vec::new();
        }
        self.events += count(all);
        let waiting = self.queue.events.load(Ordering::Relaxed);
        if waiting + all > EVENTS_MAX {
            part.placed.retain(|placed| is_essential(&placed.event));
        }
        if waiting + events(&part) > 2 * EVENTS_MAX {
            (part.placed, part.quoted) = (Vec::new(), Vec::new());
        }
        let kept = events(&part);
        self.events_shed += count(all - kept);
        self.queue.events.fetch_add(kept, Ordering::Relaxed);
        match self.to_stage.try_send(part) {
            Ok(()) => {
                self.until = until;
                Vec::new()
            }
            Err(unsent) => {
                self.queue.events.fetch_sub(kept, Ordering::Relaxed);
                let unsent = unsent.into_inner();
                self.events_shed += count(kept);
                self.not_recorded += count(unsent.recorded.len());
                unsent.tallies
            }
        }
    }

    /// Hands over the last part, for which there is time to wait: nothing is captured any more.
    pub(super) fn hand_over_last(&self, part: Part) {
        self.queue.events.fetch_add(events(&part), Ordering::Relaxed);
        // The thread that judges ends after this one.
        let _sent = self.to_stage.send(part);
    }

    /// Events that were observed.
    pub(super) const fn events(&self) -> u64 {
        self.events
    }

    /// Events for which there was no room.
    pub(super) const fn events_shed(&self) -> u64 {
        self.events_shed
    }

    /// Frames of a recording for which there was no room.
    pub(super) const fn not_recorded(&self) -> u64 {
        self.not_recorded
    }
}

fn events(part: &Part) -> usize {
    part.placed.len() + part.quoted.len()
}

/// What is told even when the thread that judges does not keep up: connections, DNS, ARP.
const fn is_essential(event: &Event) -> bool {
    match event {
        Event::Arp { .. } => true,
        Event::Anomaly { .. } => false,
        Event::Flow { what, .. } => match what {
            FlowEvent::Started(_)
            | FlowEvent::Answered
            | FlowEvent::Established
            | FlowEvent::Rejected
            | FlowEvent::Unanswered
            | FlowEvent::Dns(_)
            | FlowEvent::Tls(_) => true,
            FlowEvent::HttpRequest(_)
            | FlowEvent::HttpResponse { .. }
            | FlowEvent::Traffic(_)
            | FlowEvent::Opening(_)
            | FlowEvent::Echo(_)
            | FlowEvent::Syslog(_)
            | FlowEvent::Transaction(_)
            | FlowEvent::Anomaly(_)
            | FlowEvent::Ended(_) => false,
        },
    }
}

fn count(count: usize) -> u64 {
    u64::try_from(count).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use crossbeam_channel::{Receiver, bounded};

    use super::*;
    use crate::run::lanes::tests::arps;

    fn handing(parts: usize) -> (Handing, Receiver<Part>) {
        let (to_stage, parts) = bounded(parts);
        (Handing::new(Arc::default(), to_stage, crossbeam_channel::never()), parts)
    }

    /// ARP packets are essential; what only says that a frame broke a rule is not.
    fn part(essential: u64, others: usize, until: u64) -> Part {
        let mut placed = arps(&(0..essential).collect::<Vec<_>>());
        let other = |mut placed: Placed| {
            let anomaly = sekimori_sensor::event::Anomaly {
                layer: sekimori_sensor::event::Layer::Decode,
                application: sekimori_sensor::event::Application::Unknown,
                name: "x",
                from_originator: true,
            };
            placed.event = Event::Anomaly { at: placed.event.at(), vlan: None, ends: None, anomaly };
            placed
        };
        placed.extend(arps(&[7]).into_iter().cycle().take(others).map(other));
        let tally = Tally { at: Timestamp::from_secs(until), packets: 1, bytes: 60 };
        Part { placed, tallies: vec![tally], until: Timestamp::from_secs(until), ..Part::default() }
    }

    #[test]
    fn the_less_important_goes_first_when_nobody_takes() {
        let (mut handing, parts) = handing(PARTS_MAX);
        assert!(handing.hand_over(part(10, EVENTS_MAX - 10, 1)).is_empty());
        assert_eq!((handing.pressure(), handing.events_shed()), (1000, 0));
        // Full: only what matters most, up to twice the size.
        assert!(handing.hand_over(part(20, 30, 2)).is_empty());
        assert_eq!(handing.events_shed(), 30);
        let much = u64::try_from(EVENTS_MAX - 20).unwrap();
        handing.hand_over(part(much, 0, 3));
        handing.hand_over(part(1, 1, 4));
        assert_eq!((handing.events(), handing.events_shed()), (count(2 * EVENTS_MAX) + 32, 32));
        let kept: Vec<usize> = parts
            .try_iter()
            .map(|part| {
                handing.queue.took(&part);
                part.placed.len()
            })
            .collect();
        assert_eq!(kept, [EVENTS_MAX, 20, EVENTS_MAX - 20, 0], "time goes on all the same");
        assert_eq!(handing.pressure(), 0);
    }

    #[test]
    fn a_stage_that_hangs_is_not_waited_for_and_frames_still_count() {
        let (mut handing, parts) = handing(1);
        assert!(handing.hand_over(part(3, 0, 1)).is_empty());
        let back = handing.hand_over(part(5, 0, 2));
        assert_eq!((back.len(), handing.events_shed()), (1, 5));
        drop(parts.recv());
        assert!(handing.hand_over(part(0, 0, 2)).is_empty(), "that time was not told yet");
        assert_eq!(parts.recv().unwrap().until, Timestamp::from_secs(2));
        let nothing = Part { until: Timestamp::from_secs(1), ..Part::default() };
        assert!(handing.hand_over(nothing).is_empty() && parts.is_empty(), "nothing new is not said");
    }
}
