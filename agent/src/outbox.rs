//! Records that wait because the thread behind cannot take them: bounded, and honest about what it lets go.
//!
//! When it is full, summaries go first, oldest first; findings and alerts last. What went is declared in a
//! [`Record::Gap`] before anything else is handed on.

use std::collections::VecDeque;

use crossbeam_channel::{Sender, TrySendError};
use sekimori_wire::record::{Gap, Record};
use sekimori_wire::time::Timestamp;

/// Records that may wait, of which at most [`SUMMARIES_MAX`] summaries (each up to a summary's byte budget).
const RECORDS_MAX: usize = 4096;
const SUMMARIES_MAX: usize = 64;

/// The waiting records of one thread.
#[derive(Debug)]
pub(crate) struct Outbox {
    to_next: Sender<Record>,
    waiting: VecDeque<Record>,
    summaries: usize,
    lost: Option<Gap>,
    shed: u64,
}

impl Outbox {
    pub(crate) fn new(to_next: Sender<Record>) -> Self {
        Self { to_next, waiting: VecDeque::new(), summaries: 0, lost: None, shed: 0 }
    }

    /// Adds a record, making room where there is none.
    pub(crate) fn push(&mut self, record: Record) {
        self.summaries += usize::from(is_summary(&record));
        self.waiting.push_back(record);
        while self.waiting.len() > RECORDS_MAX || self.summaries > SUMMARIES_MAX {
            let oldest_summary = self.waiting.iter().position(is_summary).unwrap_or(0);
            let Some(shed) = self.waiting.remove(oldest_summary) else { break };
            self.summaries -= usize::from(is_summary(&shed));
            self.shed += 1;
            self.lose(&shed);
        }
    }

    /// Hands on as much as the next thread takes, without waiting for it.
    pub(crate) fn flush(&mut self) {
        self.hand_on(|to_next, record| to_next.try_send(record));
    }

    /// Hands on everything, waiting for the next thread: for the end.
    pub(crate) fn finish(mut self) {
        self.hand_on(|to_next, record| {
            to_next.send(record).map_err(|unsent| TrySendError::Disconnected(unsent.into_inner()))
        });
    }

    fn hand_on(&mut self, send: impl Fn(&Sender<Record>, Record) -> Result<(), TrySendError<Record>>) {
        if let Some(gap) = self.lost.take()
            && send(&self.to_next, Record::Gap(gap.clone())).is_err()
        {
            self.lost = Some(gap);
            return;
        }
        while let Some(record) = self.waiting.pop_front() {
            let summary = usize::from(is_summary(&record));
            if let Err(TrySendError::Full(record) | TrySendError::Disconnected(record)) =
                send(&self.to_next, record)
            {
                return self.waiting.push_front(record);
            }
            self.summaries -= summary;
        }
    }

    /// Records let go since the start.
    pub(crate) const fn shed(&self) -> u64 {
        self.shed
    }

    fn lose(&mut self, record: &Record) {
        let (from, until) = span(record);
        let bytes =
            serde_json::to_vec(record).map_or(0, |json| u64::try_from(json.len()).unwrap_or(u64::MAX));
        let reason = "the disk could not keep up";
        let lost =
            self.lost.get_or_insert_with(|| Gap { from, until, reason: reason.into(), ..Gap::default() });
        lost.from = lost.from.min(from);
        lost.until = lost.until.max(until);
        lost.records += 1;
        lost.bytes += bytes;
    }
}

const fn is_summary(record: &Record) -> bool {
    matches!(record, Record::Summary(_))
}

/// The event time that a record is about.
fn span(record: &Record) -> (Timestamp, Timestamp) {
    match record {
        Record::Summary(summary) => (summary.start, summary.end),
        Record::Finding(finding) => (finding.time, finding.end),
        Record::EndpointAlert(alert) => (alert.time, alert.received_at),
        Record::Health(health) => (health.at, health.at),
        Record::Gap(gap) => (gap.from, gap.until),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sekimori_wire::record::{Health, Summary};

    fn summary(second: u64) -> Record {
        let (start, end) = (Timestamp::from_secs(second), Timestamp::from_secs(second + 1));
        Record::Summary(Box::new(Summary { start, end, ..Summary::default() }))
    }

    fn health() -> Record {
        Record::Health(Box::default())
    }

    #[test]
    fn summaries_go_first_and_the_loss_is_declared_first() {
        let (to_next, received) = crossbeam_channel::bounded(10_000);
        let mut outbox = Outbox::new(to_next);
        outbox.push(health());
        for second in 100..100 + u64::try_from(SUMMARIES_MAX).unwrap() + 3 {
            outbox.push(summary(second));
        }
        assert_eq!(outbox.shed(), 3);
        outbox.flush();
        let Ok(Record::Gap(gap)) = received.try_recv() else { panic!("the gap comes first") };
        assert_eq!((gap.records, gap.from.secs(), gap.until.secs()), (3, 100, 103));
        assert!(gap.bytes > 0);
        assert_eq!(received.try_recv(), Ok(health()));
        assert_eq!(received.try_recv(), Ok(summary(103)));
        assert_eq!(received.try_iter().count(), SUMMARIES_MAX - 1);
    }

    #[test]
    fn keeps_order_and_loses_nothing_within_its_bounds() {
        let (to_next, received) = crossbeam_channel::bounded(2);
        let mut outbox = Outbox::new(to_next);
        let at = |second| Health { at: Timestamp::from_secs(second), ..Health::default() };
        let mut seen = Vec::new();
        for second in 0..100 {
            outbox.push(Record::Health(Box::new(at(second))));
            outbox.flush();
            if second % 3 == 0 {
                seen.extend(received.try_recv());
            }
        }
        let rest = std::thread::spawn(move || received.iter().collect::<Vec<_>>());
        outbox.finish();
        seen.extend(rest.join().unwrap());
        assert_eq!(seen.len(), 100);
        assert!(seen.iter().zip(0..).all(|(record, second)| *record == Record::Health(Box::new(at(second)))));
    }
}
