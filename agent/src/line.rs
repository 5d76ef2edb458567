//! How the collector is reached: `[collector]` of the configuration. Which addresses, through which proxy, how fast, how many
//! submissions at once, with which key exchange. Everything that the agent sends goes over one of these.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

mod proxy;
mod throttle;

pub(crate) use proxy::{Proxy, ProxyError};
pub(crate) use throttle::Throttled;
use throttle::{Bucket, Budget};

/// What the collector takes of one agent at once; more would be refused.
pub(crate) const IN_FLIGHT: usize = 4;
/// 4 Mbit/s: of a line of 10 Mbit/s more than half stays with those whom the gateway serves, and a day of the full uplink is
/// caught up within 20 minutes.
pub(crate) const RATE_BITS: u64 = 4_000_000;

/// What goes out in ordinary running in any ten seconds at most: half a percent of a line of 10 Mbit/s.
pub(crate) const BUDGET_BYTES: u64 = 64 * 1024;

/// Shared by everybody who connects: its clones have one rate and one budget together.
#[derive(Clone, Debug)]
pub(crate) struct Line {
    /// Tried in this order. Empty: those that enrolment gave.
    pub(crate) urls: Vec<String>,
    /// Submissions under way at most.
    pub(crate) in_flight: usize,
    /// The way out, where there is no direct one.
    pub(crate) proxy: Option<Proxy>,
    /// Only with a key exchange that a quantum computer does not undo later.
    pub(crate) require_post_quantum: bool,
    /// Of everything.
    pub(crate) rate: Option<Rate>,
    /// Of what goes out in ordinary running; far below the rate, which holds while a backlog is caught up.
    pub(crate) budget: Option<Arc<Budget>>,
}

/// In either direction.
#[derive(Clone, Debug)]
pub(crate) struct Rate {
    bytes_per_second: u64,
    up: Arc<Bucket>,
    down: Arc<Bucket>,
}

impl Line {
    /// To the addresses of the enrolment, directly, as fast as it goes.
    pub(crate) const fn direct() -> Self {
        Self {
            urls: Vec::new(),
            in_flight: IN_FLIGHT,
            proxy: None,
            require_post_quantum: false,
            rate: None,
            budget: None,
        }
    }

    /// With no more than so many bits a second in either direction; 0: as fast as it goes.
    pub(crate) fn limited(self, bits_per_second: u64) -> Self {
        let bytes_per_second = bits_per_second / 8;
        let bucket = || Arc::new(Bucket::new(bytes_per_second));
        let rate = Rate { bytes_per_second, up: bucket(), down: bucket() };
        Self { rate: (bytes_per_second > 0).then_some(rate), ..self }
    }

    /// With no more than so many bytes going out in any ten seconds of ordinary running; 0: as many as the rate lets through.
    pub(crate) fn budgeted(self, bytes: u64) -> Self {
        let budget = || {
            Arc::new(Budget {
                bucket: Arc::new(Bucket::in_ten_seconds(bytes)),
                lifted: AtomicBool::new(false),
            })
        };
        Self { budget: (bytes > 0).then(budget), ..self }
    }

    /// Lifts the budget, or lets it hold again.
    pub(crate) fn lift_budget(&self, lifted: bool) {
        if let Some(budget) = &self.budget {
            budget.lifted.store(lifted, Ordering::Relaxed);
        }
    }

    /// Whether there is a budget, and it holds now.
    pub(crate) fn is_budgeted(&self) -> bool {
        self.budget.as_ref().is_some_and(|budget| !budget.lifted.load(Ordering::Relaxed))
    }

    /// The same stream, no faster than the line may be used.
    pub(crate) fn throttled<S>(&self, stream: S) -> Throttled<S> {
        let buckets = self.rate.as_ref().map(|rate| (Arc::clone(&rate.up), Arc::clone(&rate.down)));
        Throttled::new(stream, buckets, self.budget.clone())
    }

    /// How long so many bytes take at most by our own rate, twice over: others may be sending too.
    pub(crate) fn allowance(&self, bytes: usize) -> Duration {
        self.rate.as_ref().map_or(Duration::ZERO, |rate| {
            let bytes = u64::try_from(bytes).unwrap_or(u64::MAX).saturating_mul(2);
            Duration::from_secs(bytes / rate.bytes_per_second)
        })
    }

    /// The same for what goes out, which the budget may slow down further.
    pub(crate) fn allowance_up(&self, bytes: usize) -> Duration {
        let budget = self.budget.as_ref().filter(|_| self.is_budgeted()).map_or(Duration::ZERO, |budget| {
            let bytes = u64::try_from(bytes).unwrap_or(u64::MAX).saturating_mul(2);
            Duration::from_secs(bytes / budget.bucket.bytes_per_second().max(1))
        });
        self.allowance(bytes).max(budget)
    }
}
