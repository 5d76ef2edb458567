//! What was measured: times from when something was due, by step of the rate.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// Times of one kind.
#[derive(Clone, Debug, Default)]
pub(crate) struct Times(Vec<u32>);

impl Times {
    pub(crate) fn add(&mut self, took: Duration) {
        self.0.push(u32::try_from(took.as_micros()).unwrap_or(u32::MAX));
    }

    pub(crate) const fn count(&self) -> usize {
        self.0.len()
    }

    /// The times that half, 99 of a hundred, and all of them do not exceed.
    pub(crate) fn quantiles(&self) -> [Duration; 3] {
        let mut sorted = self.0.clone();
        sorted.sort_unstable();
        let of = |permille: usize| {
            let index = (sorted.len() * permille).div_ceil(1000).saturating_sub(1);
            Duration::from_micros(sorted.get(index).copied().unwrap_or_default().into())
        };
        [of(500), of(990), of(1000)]
    }
}

/// What one step of the rate came to.
#[derive(Clone, Debug, Default)]
pub(crate) struct Figures {
    /// From when a batch was due until its acknowledgement was verified.
    pub(crate) acknowledged: Times,
    /// From when a new finding was due until its incident could be read.
    pub(crate) incidents: Times,
    /// From when a batch was due until it was sealed: what the generator itself, or the answer before, took.
    pub(crate) sealed: Times,
    /// Bytes of envelopes.
    pub(crate) bytes: u64,
    /// Answers that asked to come again.
    pub(crate) busy: u64,
    /// Requests without an answer, and connections that could not be made.
    pub(crate) broken: u64,
    /// Refusals that nobody should get, and acknowledgements that are not right.
    pub(crate) wrong: u64,
    pub(crate) first_wrong: Option<String>,
}

/// Of all steps; the last is the present one.
#[derive(Debug)]
pub(crate) struct Board(Mutex<Vec<Figures>>);

impl Board {
    pub(crate) fn new() -> Self {
        Self(Mutex::new(vec![Figures::default()]))
    }

    pub(crate) fn next_step(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(Figures::default());
    }

    pub(crate) fn step(&self) -> usize {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).len() - 1
    }

    /// Notes something of a step.
    pub(crate) fn note(&self, step: usize, what: impl FnOnce(&mut Figures)) {
        if let Some(figures) = self.0.lock().unwrap_or_else(PoisonError::into_inner).get_mut(step) {
            what(figures);
        }
    }

    pub(crate) fn get(&self, step: usize) -> Figures {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(step).cloned().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_times_that_were_measured() {
        let mut times = Times::default();
        assert_eq!(times.quantiles(), [Duration::ZERO; 3]);
        for millis in (1..=200).rev() {
            times.add(Duration::from_millis(millis));
        }
        assert_eq!(times.quantiles(), [100, 198, 200].map(Duration::from_millis));
    }
}
