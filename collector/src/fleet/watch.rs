//! Watching the sensors: one that is silent or does not see well opens an incident, and its return is written down there.
//!
//! ```text
//! agents, their newest health ─► conditions (data) ─► Verdict ─► step (pure, with the row kept so far) ─► store, incident
//! ```
//! A condition must last for its `hold` before anybody is told, and be over for its `clear` before its end is: what flaps is told
//! once. Rows outlive a restart. What the collector was away for is nobody's silence.

use std::time::Duration;

use sekimori_wire::time::Timestamp;
use tokio::task::JoinHandle;

use crate::clock;
use crate::config::Correlation;
use crate::fleet::error_chain;
use crate::store::Store;

pub mod conditions;

pub use conditions::{CONDITIONS, Condition, Facts, SILENT};

/// Longest time between two looks.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// A longer time than this between two looks, and the collector was away.
const AWAY: Duration = Duration::from_secs(60);

/// When somebody is told; from the configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Nothing heard for so long.
    pub silent: Duration,
    /// A clock that is off by more.
    pub skew: Duration,
}

/// What a look at one condition says.
#[derive(Clone, Debug, PartialEq)]
pub enum Verdict {
    /// It holds; since when, if that is known better than "now", and what was measured.
    Bad(Option<Timestamp>, serde_json::Value),
    /// It does not.
    Good,
    /// Nothing new is known, or it is between both.
    Open,
}

/// What is kept of a condition that holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// Since when.
    pub since: Timestamp,
    /// It seems over since then.
    pub good_since: Option<Timestamp>,
    /// Somebody was told.
    pub incident: Option<String>,
}

/// What to do about one condition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Nothing.
    Keep,
    /// It began.
    Begin(Timestamp),
    /// It was over before anybody had to be told.
    Forget,
    /// It lasts: open an incident, or add to one.
    Tell,
    /// It seems over since now, or (`None`) it does not any more.
    SeemsOver(Option<Timestamp>),
    /// It is over: write that into its incident.
    Over,
}

/// What follows from a look.
pub fn step(hold: Duration, clear: Duration, row: Option<&Row>, verdict: &Verdict, now: Timestamp) -> Step {
    let told = row.is_some_and(|row| row.incident.is_some());
    match (row, verdict) {
        (None, Verdict::Bad(since, _)) => Step::Begin(since.unwrap_or(now)),
        (None, Verdict::Good) | (_, Verdict::Open) => Step::Keep,
        (Some(row), Verdict::Bad(..)) => match row.good_since {
            Some(_) => Step::SeemsOver(None),
            None if !told && now.since(row.since) >= hold => Step::Tell,
            None => Step::Keep,
        },
        (Some(_), Verdict::Good) if !told => Step::Forget,
        (Some(row), Verdict::Good) => match row.good_since {
            _ if clear.is_zero() => Step::Over,
            None => Step::SeemsOver(Some(now)),
            Some(good) if now.since(good) >= clear => Step::Over,
            Some(_) => Step::Keep,
        },
    }
}

/// Whether an agent is silent. `listening` is since when the collector listens without a break.
pub fn silence(limit: Duration, last_seen: Timestamp, listening: Timestamp, now: Timestamp) -> Verdict {
    if now.since(last_seen) < limit {
        Verdict::Good
    } else if now.since(last_seen.max(listening)) >= limit {
        let seconds = now.since(last_seen).as_secs();
        Verdict::Bad(
            Some(last_seen),
            serde_json::json!({ "last_seen": last_seen, "silent_seconds": seconds }),
        )
    } else {
        Verdict::Open
    }
}

/// Since when the collector listens without a break, from what was kept at the last look.
pub fn listening(kept: Option<(Timestamp, Timestamp)>, now: Timestamp) -> Timestamp {
    match kept {
        Some((last, since)) if last <= now && now.since(last) <= AWAY => since,
        Some(_) | None => now,
    }
}

/// Looks again and again. Ends with the runtime, or when aborted.
pub fn start(store: Store, limits: Limits, correlation: Correlation) -> JoinHandle<()> {
    let every = LOOK_EVERY.min(limits.silent / 4).max(Duration::from_secs(1));
    tokio::spawn(async move {
        let mut tick = tokio::time::interval(every);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tick.tick().await;
            if let Err(error) = store.watch(limits, correlation, clock::now()).await {
                tracing::error!(error = error_chain(&error), "cannot look after the agents");
            }
        }
    })
}

#[cfg(test)]
mod tests;
