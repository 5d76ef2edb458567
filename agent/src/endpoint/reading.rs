//! The thread that reads the lines of all sources: text, meaning, repetition, rate, and on to the spool.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crossbeam_channel::Sender;
use sekimori_sensor::alert::{self, normalise};
use sekimori_sensor::hosts::Hosts;
use sekimori_sensor::segment::Policy;
use sekimori_wire::alert::{EndpointAlert, Intake};
use sekimori_wire::id::Host;
use sekimori_wire::record::Record;

use super::charset;
use super::marks::Marks;
use super::queue::{Line, Lines, Next};
use super::repeat::{Allowance, Repeats, Told};
use super::source::{Source, Tally, bump};

/// Longest wait for a line: how late the end is noticed.
const WAIT: Duration = Duration::from_millis(100);
/// How often windows of repetition are looked at.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// What alerts are placed and keyed with.
#[derive(Debug)]
pub(crate) struct Place {
    pub(crate) policy: Policy,
    pub(crate) user_key: [u8; 32],
    /// Which machine has which address.
    pub(crate) hosts: Arc<Hosts>,
}

/// The thread's state.
#[derive(Debug)]
pub(crate) struct Reading {
    lines: Lines,
    desks: Vec<Desk>,
    repeats: Repeats,
    marks: Arc<Marks>,
    /// Alerts handed on so far.
    handed_on: u64,
}

#[derive(Debug)]
struct Desk {
    source: Arc<Source>,
    tally: Arc<Tally>,
    allowance: Allowance,
    /// It says too much: said once.
    is_limited: bool,
}

impl Reading {
    pub(super) fn new(
        lines: Lines,
        sources: Vec<Arc<Source>>,
        tallies: Vec<Arc<Tally>>,
        marks: Arc<Marks>,
    ) -> Self {
        let now = Instant::now();
        let desk = |(source, tally): (Arc<Source>, Arc<Tally>)| Desk {
            allowance: Allowance::new(source.alerts_per_minute, now),
            source,
            tally,
            is_limited: false,
        };
        let desks = sources.into_iter().zip(tallies).map(desk).collect();
        Self { lines, desks, repeats: Repeats::default(), marks, handed_on: 0 }
    }

    /// Reads until told to stop, then what waits; ends at once where there is no source.
    pub(crate) fn run(mut self, place: &Place, to_sealing: &Sender<Record>, stop: &AtomicBool) {
        let mut looked = Instant::now();
        loop {
            match self.lines.next(WAIT) {
                Next::Line(line) => self.take(line, place, to_sealing),
                Next::Over => break,
                Next::Nothing if stop.load(Ordering::Relaxed) => break,
                Next::Nothing => {}
            }
            if looked.elapsed() >= LOOK_EVERY {
                looked = Instant::now();
                for alert in self.repeats.ended(looked) {
                    self.hand_on(alert, to_sealing);
                }
            }
        }
        for alert in self.repeats.finish() {
            self.hand_on(alert, to_sealing);
        }
    }

    fn take(&mut self, mut line: Line, place: &Place, to_sealing: &Sender<Record>) {
        let mark = line.mark.take();
        if let Some(alert) = self.read(&line, place) {
            self.tell(line.source, alert, to_sealing);
        }
        if let Some(mark) = mark {
            self.marks.put(self.handed_on, mark);
        }
    }

    fn read(&self, line: &Line, place: &Place) -> Option<EndpointAlert> {
        let Desk { source, tally, .. } = self.desks.get(line.source)?;
        let (text, is_garbled) = charset::text(&line.bytes, source.charset);
        if is_garbled {
            bump(&tally.garbled);
        }
        let given = alert::Line {
            raw: &line.bytes,
            text: &text,
            received_at: line.received_at,
            intake: Intake::Listener,
            from: line.from,
            place: line.mark.as_ref().map(|mark| mark.position.offset ^ mark.position.inode.rotate_left(32)),
            zone: source.zone,
            user_key: &place.user_key,
        };
        match normalise(&given, &source.mappings) {
            Ok(mut alert) => {
                bump(&tally.alerts);
                alert.source = source.name.as_str().into();
                place.hosts.join(&mut alert);
                placed(&mut alert, line, &place.policy);
                Some(alert)
            }
            Err(reason) => {
                tally.reject(reason);
                None
            }
        }
    }

    fn tell(&mut self, source: usize, alert: EndpointAlert, to_sealing: &Sender<Record>) {
        let now = Instant::now();
        let Some(desk) = self.desks.get_mut(source) else { return };
        let alert = match self.repeats.take(&alert, now) {
            Told::Counted => return bump(&desk.tally.repeated),
            Told::Again(again) => {
                bump(&desk.tally.repeated);
                *again
            }
            Told::New if desk.allowance.take(now) => {
                desk.is_limited = false;
                alert
            }
            Told::New => {
                self.repeats.forget(&alert);
                bump(&desk.tally.limited);
                if !desk.is_limited {
                    desk.is_limited = true;
                    tracing::warn!(
                        source = desk.source.name,
                        alerts_per_minute = desk.source.alerts_per_minute,
                        "this source reports more than it may: the rest is counted only"
                    );
                }
                return;
            }
        };
        self.hand_on(alert, to_sealing);
    }

    fn hand_on(&mut self, alert: EndpointAlert, to_sealing: &Sender<Record>) {
        // Waits for the disk, and the senders of streams with it. That nobody takes it any more means the end.
        if to_sealing.send(Record::EndpointAlert(Box::new(alert))).is_ok() {
            self.handed_on += 1;
        }
    }
}

/// Body and segment of the endpoint; of the sender where the alert names none.
fn placed(alert: &mut EndpointAlert, line: &Line, policy: &Policy) {
    let address = match alert.host {
        Some(Host::Ip(address)) => Some(address),
        Some(Host::Mac(_)) | None => line.from,
    };
    if let Some(address) = address {
        let place = policy.place(address, None);
        alert.body = place.body;
        alert.segment = place.segment.map(|segment| segment.as_str().into());
    }
}

#[cfg(test)]
pub(super) mod tests {
    use sekimori_sensor::alert::Zone;
    use sekimori_wire::time::Timestamp;

    use super::*;
    use crate::endpoint::mappings;

    /// An alert from its line.
    pub(crate) fn alert(text: &str) -> EndpointAlert {
        let given = alert::Line {
            raw: text.as_bytes(),
            text,
            received_at: Timestamp::from_secs(1_700_000_000),
            intake: Intake::Listener,
            from: None,
            place: None,
            zone: Zone::default(),
            user_key: &[1; 32],
        };
        static READ: std::sync::LazyLock<Arc<alert::Mappings>> =
            std::sync::LazyLock::new(|| mappings::built_in().unwrap());
        normalise(&given, &READ).unwrap()
    }
}
