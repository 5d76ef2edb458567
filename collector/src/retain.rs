//! What is kept and for how long: `[retention]`, and the task that drops what is older.

use std::time::Duration;

use serde::Deserialize;
use tokio::task::JoinHandle;

use crate::clock;
use crate::fleet::error_chain;
use crate::store::Store;

/// How often what is too old is looked for; the first time soon after the start.
const EVERY: Duration = Duration::from_secs(3600);
const FIRST: Duration = Duration::from_secs(20);
const DAY: u64 = 86_400;
/// With a leap day, and one more where there are two.
const FIVE_YEARS_DAYS: u64 = 1827;
/// Nobody removes what is over with less than a year to look at it again.
const YEAR_DAYS: u64 = 365;

/// What is dropped, and when. Incidents that are not over, and what belongs to them, never are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rules {
    /// Flows and summaries.
    pub flows: Duration,
    /// Findings that are part of no incident, and gaps.
    pub findings: Duration,
    /// Endpoint alerts that are part of no incident.
    pub alerts: Duration,
    /// Signed batches that no kept finding is in.
    pub batches: Duration,
    /// Incidents that are over, since they changed last.
    pub incidents: Duration,
    /// The beginning of the audit log.
    pub audit: Duration,
    /// Bytes that the store may take: the oldest flows and summaries go first, and then the oldest batches.
    pub max_size: Option<u64>,
}

/// As written.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct RetentionFile {
    flows_days: u64,
    findings_days: u64,
    alerts_days: u64,
    batches_days: u64,
    incidents_days: u64,
    audit_days: u64,
    max_size: u64,
}

impl Default for RetentionFile {
    fn default() -> Self {
        Self {
            flows_days: 90,
            findings_days: 400,
            alerts_days: 400,
            batches_days: 400,
            incidents_days: FIVE_YEARS_DAYS,
            audit_days: FIVE_YEARS_DAYS,
            max_size: 0,
        }
    }
}

impl RetentionFile {
    pub(crate) fn rules<E>(
        &self,
        within: impl Fn(&'static str, u64, u64, u64, &'static str) -> Result<u64, E>,
    ) -> Result<Rules, E> {
        let days = |key, value| {
            let days = within(key, value, 1, 36_500, "is 1 to 36500 days")?;
            Ok(Duration::from_secs(days * DAY))
        };
        let years = |key, value| {
            let days = within(key, value, YEAR_DAYS, 36_500, "is 365 to 36500 days")?;
            Ok(Duration::from_secs(days * DAY))
        };
        let least = if self.max_size == 0 { 0 } else { 64 << 20 };
        let size = within(
            "retention.max_size",
            self.max_size,
            least,
            1 << 60,
            "is 0 (no limit) or at least 67108864 bytes",
        )?;
        Ok(Rules {
            flows: days("retention.flows_days", self.flows_days)?,
            findings: days("retention.findings_days", self.findings_days)?,
            alerts: days("retention.alerts_days", self.alerts_days)?,
            batches: days("retention.batches_days", self.batches_days)?,
            incidents: years("retention.incidents_days", self.incidents_days)?,
            audit: years("retention.audit_days", self.audit_days)?,
            max_size: Some(size).filter(|size| *size > 0),
        })
    }
}

/// Looks again and again. Ends with the runtime, or when aborted.
pub fn start(store: Store, rules: Rules) -> JoinHandle<()> {
    tokio::spawn(async move {
        let mut tick = tokio::time::interval_at(tokio::time::Instant::now() + FIRST, EVERY);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tick.tick().await;
            match store.retain(&rules, clock::now()).await {
                Ok(Some(kept)) if kept.is_over => tracing::error!(
                    bytes = kept.bytes,
                    budget = rules.max_size,
                    "the store takes more than retention.max_size, and there is nothing left that may be dropped for it"
                ),
                Ok(Some(kept)) if !kept.dropped.is_empty() => {
                    tracing::info!(bytes = kept.bytes, dropped = ?kept.dropped, "what was too old is dropped");
                }
                Ok(Some(_) | None) => {}
                Err(error) => {
                    tracing::error!(error = error_chain(&error), "cannot drop what is too old");
                }
            }
        }
    })
}
