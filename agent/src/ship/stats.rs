//! What shipping did, for health records, `status` and tests.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use rustls::{NamedGroup, ProtocolVersion};
use sekimori_wire::ack::{Ack, Refusal, RefusalKind};
use sekimori_wire::batch::Lane;
use sekimori_wire::record::Clock;
use tokio::sync::watch;

use super::skew::{self, Exchange};
use crate::tls::Negotiated;
use sekimori_delivery::spool::Position;

/// Counters that only grow, and the present state.
#[derive(Debug, Default)]
pub(crate) struct Stats {
    submissions: AtomicU64,
    connections: AtomicU64,
    unreachable: AtomicU64,
    tls_failures: AtomicU64,
    broken: AtomicU64,
    bad_answers: AtomicU64,
    /// Newest version of the policy that an acknowledgement named.
    policy: watch::Sender<u64>,
    state: Mutex<State>,
}

#[derive(Clone, Debug, Default)]
struct State {
    acked: Position,
    acked_detail: Position,
    refusals: BTreeMap<RefusalKind, u64>,
    negotiated: Option<Negotiated>,
    last_error: Option<String>,
    clock: Option<Clock>,
}

/// The same at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Snapshot {
    /// Acknowledged up to here, in the urgent lane.
    pub(crate) acked: Position,
    /// And in the detail lane.
    pub(crate) acked_detail: Position,
    /// Requests sent.
    pub(crate) submissions: u64,
    /// Handshakes completed.
    pub(crate) connections: u64,
    /// Attempts that found nobody.
    pub(crate) unreachable: u64,
    /// Handshakes that failed, or connections closed on the first request: one side does not trust the other.
    pub(crate) tls_failures: u64,
    /// Connections that broke later, and answers that did not come in time.
    pub(crate) broken: u64,
    /// Answers that were none, or not for us.
    pub(crate) bad_answers: u64,
    /// Refusals by kind.
    pub(crate) refusals: BTreeMap<RefusalKind, u64>,
    /// Key exchange of the last connection.
    pub(crate) group: Option<NamedGroup>,
    /// TLS version of the last connection.
    pub(crate) version: Option<ProtocolVersion>,
    /// What is wrong now; `None` while it works.
    pub(crate) last_error: Option<String>,
    /// The last submission was acknowledged, or there was none yet.
    pub(crate) is_working: bool,
}

/// Why there was no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Failure {
    Unreachable,
    Tls,
    Broken,
    Answer,
}

impl Stats {
    /// All of it.
    pub(crate) fn snapshot(&self) -> Snapshot {
        let state = self.with(|state| state.clone());
        let load = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Snapshot {
            acked: state.acked,
            acked_detail: state.acked_detail,
            submissions: load(&self.submissions),
            connections: load(&self.connections),
            unreachable: load(&self.unreachable),
            tls_failures: load(&self.tls_failures),
            broken: load(&self.broken),
            bad_answers: load(&self.bad_answers),
            refusals: state.refusals,
            group: state.negotiated.and_then(|negotiated| negotiated.group),
            version: state.negotiated.and_then(|negotiated| negotiated.version),
            is_working: state.last_error.is_none(),
            last_error: state.last_error,
        }
    }

    /// By name, for a health record.
    pub(crate) fn counters(&self) -> Vec<(String, u64)> {
        let now = self.snapshot();
        let mut counters = vec![
            ("ship.submissions".to_owned(), now.submissions),
            ("ship.connections".to_owned(), now.connections),
            ("ship.unreachable".to_owned(), now.unreachable),
            ("ship.tls_failed".to_owned(), now.tls_failures),
            ("ship.broken".to_owned(), now.broken),
            ("ship.bad_answer".to_owned(), now.bad_answers),
        ];
        counters.extend(now.refusals.iter().map(|(kind, count)| (format!("ship.refused.{kind}"), *count)));
        counters
    }

    /// Our clock beside the collector's, as far as it was measured.
    pub(crate) fn clock(&self) -> Option<Clock> {
        self.with(|state| state.clock)
    }

    /// Follows the newest version of the policy that an acknowledgement named.
    pub(crate) fn policy(&self) -> watch::Receiver<u64> {
        self.policy.subscribe()
    }

    /// A verified answer: its time and what it tells of the policy.
    pub(super) fn answered(&self, exchange: &Exchange, ack: &Ack) {
        self.with(|state| state.clock = skew::after(state.clock, exchange, ack.at));
        self.policy.send_if_modified(|known| {
            let is_newer = ack.policy_version > *known;
            *known = ack.policy_version.max(*known);
            is_newer
        });
    }

    pub(super) fn set_acked(&self, lane: Lane, acked: Position) {
        self.with(|state| {
            match lane {
                Lane::Urgent => state.acked = acked,
                Lane::Detail => state.acked_detail = acked,
            }
            if state.last_error.take().is_some() {
                tracing::info!("the collector acknowledges again");
            }
        });
    }

    pub(super) fn connected(&self, negotiated: Negotiated) {
        self.connections.fetch_add(1, Ordering::Relaxed);
        self.with(|state| state.negotiated = Some(negotiated));
    }

    pub(super) fn submitted(&self) {
        self.submissions.fetch_add(1, Ordering::Relaxed);
    }

    /// Whether this is another reason than the last one.
    pub(super) fn refused(&self, refusal: &Refusal) -> bool {
        self.with(|state| *state.refusals.entry(refusal.kind).or_default() += 1);
        self.is_news(&refusal.to_string())
    }

    /// Whether this is another reason than the last one.
    pub(super) fn failed(&self, failure: Failure, text: &str) -> bool {
        let counter = match failure {
            Failure::Unreachable => &self.unreachable,
            Failure::Tls => &self.tls_failures,
            Failure::Broken => &self.broken,
            Failure::Answer => &self.bad_answers,
        };
        counter.fetch_add(1, Ordering::Relaxed);
        self.is_news(text)
    }

    fn is_news(&self, text: &str) -> bool {
        self.with(|state| state.last_error.replace(text.to_owned()).as_deref() != Some(text))
    }

    fn with<T>(&self, of: impl FnOnce(&mut State) -> T) -> T {
        of(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
