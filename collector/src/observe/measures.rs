//! What this process counts. Adding to a measure takes an atomic, or for a new label a short lock.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use sekimori_wire::time::Timestamp;

use crate::clock;

/// One label: its name, its value.
pub(super) type Label = [(&'static str, String); 1];

/// Values that a label may take: there are fewer kinds, and a mistake must not fill the memory.
const LABELS_MAX: usize = 64;

/// Seconds, from a thousandth to half a minute.
const SECONDS: [f64; 14] =
    [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0];

fn seconds() -> Histogram {
    Histogram::new(SECONDS)
}

/// All of them.
#[derive(Debug)]
pub struct Measures {
    since: Instant,
    /// When the process began to serve.
    pub started_at: Timestamp,
    pub(super) rejected: Family<Label, Counter>,
    pub(super) events: Family<Label, Counter>,
    pub(super) bytes: Counter,
    pub(super) answers: Family<Label, Histogram, fn() -> Histogram>,
    pub(super) in_flight: Gauge,
    pub(super) open: Family<Label, Gauge>,
    pub(super) connections: Family<Label, Counter>,
    pub(super) commits: Histogram,
    pub(super) grouped: Histogram,
    pub(super) commits_failed: Counter,
    pub(super) queue: Gauge,
    /// Values of labels: of `rejected`, `answers`, `events`.
    reasons: Known,
    kinds: Known,
    names: Known,
    batches: AtomicU64,
    /// Milliseconds after `since` at which the writer was last ready for work.
    writer: AtomicU64,
}

impl Default for Measures {
    fn default() -> Self {
        Self {
            since: Instant::now(),
            started_at: clock::now(),
            rejected: Family::default(),
            events: Family::default(),
            bytes: Counter::default(),
            answers: Family::new_with_constructor(seconds),
            in_flight: Gauge::default(),
            open: Family::default(),
            connections: Family::default(),
            commits: seconds(),
            grouped: Histogram::new([1.0, 2.0, 4.0, 8.0, 16.0, 32.0]),
            commits_failed: Counter::default(),
            queue: Gauge::default(),
            reasons: Known::default(),
            kinds: Known::default(),
            names: Known::default(),
            batches: AtomicU64::new(0),
            writer: AtomicU64::new(0),
        }
    }
}

/// The values that a label has taken.
type Known = Mutex<BTreeSet<String>>;

fn label(known: &Known, name: &'static str, value: &str) -> Label {
    let mut known = known.lock().unwrap_or_else(PoisonError::into_inner);
    if known.len() < LABELS_MAX && !known.contains(value) {
        known.insert(value.to_owned());
    }
    [(name, if known.contains(value) { value } else { "others" }.to_owned())]
}

impl Measures {
    /// Somebody was turned away.
    pub fn rejected(&self, kind: &str) {
        self.rejected.get_or_create(&label(&self.reasons, "reason", kind)).inc();
    }

    /// Bytes of submissions came.
    pub fn received(&self, bytes: usize) {
        self.bytes.inc_by(u64::try_from(bytes).unwrap_or(u64::MAX));
    }

    /// A submission is being looked at, until what is returned is dropped.
    pub fn submission(&self) -> Held {
        Held::new(self.in_flight.clone())
    }

    /// A submission was answered: `ack`, or the kind of the refusal.
    pub fn answered(&self, with: &str, took: Duration) {
        self.answers.get_or_create(&label(&self.kinds, "answer", with)).observe(took.as_secs_f64());
    }

    /// A connection is open until what is returned is dropped.
    pub fn connection(&self, listener: &'static str) -> Held {
        let name = [("listener", listener.to_owned())];
        self.connections.get_or_create(&name).inc();
        Held::new(self.open.get_or_create_owned(&name))
    }

    /// A group of submissions is committed, and counted this.
    pub fn committed(&self, submissions: usize, counted: &BTreeMap<String, i64>, took: Duration) {
        self.commits.observe(took.as_secs_f64());
        if let Ok(submissions) = u32::try_from(submissions) {
            self.grouped.observe(f64::from(submissions));
        }
        for (name, count) in counted {
            let count = u64::try_from(*count).unwrap_or_default();
            // Who was turned away is counted at the door.
            if name.starts_with("refused.") || name == "tls.failed" {
                continue;
            }
            if name == "batches_stored" {
                self.batches.fetch_add(count, Ordering::Relaxed);
            }
            self.events.get_or_create(&label(&self.names, "event", name)).inc_by(count);
        }
    }

    /// The store did not take a group.
    pub fn commit_failed(&self) {
        self.commits_failed.inc();
    }

    /// Batches that this process stored.
    pub fn batches(&self) -> u64 {
        self.batches.load(Ordering::Relaxed)
    }

    /// The writer is ready for work; so many submissions wait.
    pub fn writer_turns(&self, waiting: usize) {
        let at = u64::try_from(self.since.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.writer.store(at, Ordering::Relaxed);
        self.queue.set(i64::try_from(waiting).unwrap_or(i64::MAX));
    }

    /// Submissions that waited when the writer was ready last.
    pub fn queue(&self) -> i64 {
        self.queue.get()
    }

    /// For how long the writer was not ready for work.
    pub fn writer_rested(&self) -> Duration {
        self.since.elapsed().saturating_sub(Duration::from_millis(self.writer.load(Ordering::Relaxed)))
    }
}

/// Counted in a gauge until dropped.
#[derive(Debug)]
pub struct Held(Gauge);

impl Held {
    fn new(gauge: Gauge) -> Self {
        gauge.inc();
        Self(gauge)
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.0.dec();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_bounded_and_what_is_held_is_given_back() {
        let measures = Measures::default();
        for n in 0..1000 {
            measures.rejected(&format!("kind{n}"));
        }
        measures.rejected("kind3");
        assert_eq!(measures.reasons.lock().unwrap().len(), LABELS_MAX);
        assert_eq!(measures.rejected.get_or_create(&[("reason", "kind3".to_owned())]).get(), 2);
        assert_eq!(measures.rejected.get_or_create(&[("reason", "others".to_owned())]).get(), 936);
        let held = [measures.submission(), measures.submission()];
        assert_eq!(measures.in_flight.get(), 2);
        drop(held);
        assert_eq!(measures.in_flight.get(), 0);
    }

    #[test]
    fn who_is_turned_away_is_counted_once() {
        let measures = Measures::default();
        let counted = [("refused.forked", 2), ("tls.failed", 5), ("batches_stored", 3)];
        let counted = counted.map(|(name, count)| (name.to_owned(), count)).into();
        measures.committed(2, &counted, Duration::from_millis(3));
        assert_eq!(measures.batches(), 3);
        assert_eq!(Vec::from_iter(measures.names.lock().unwrap().iter()), ["batches_stored"]);
    }
}
