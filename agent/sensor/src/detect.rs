//! From events to findings: one behaviour per file, each with its state, threshold, evidence and bounds.
//!
//! A detector sees events in order of time and never a clock, so the same capture gives the same findings. It names the
//! acting host as originator, whoever sent the first packet. What it remembers is bounded by [`Limits`]; what strangers
//! can make it remember with one packet goes through a [`Sieve`] first, so that a spoofed flood blinds nobody.

mod findings;
mod sieve;

use crate::counters::Counters;
use crate::event::Event;
use crate::limits::Limits;
use crate::segment::Policy;

pub use findings::Findings;
pub use sieve::Sieve;

/// One behaviour looked for.
pub trait Detect {
    /// Identifier and version of the rule, as evidence names it.
    const RULE: &'static str;

    /// Takes one event; what follows from it goes to `out`.
    fn on_event(&mut self, event: &Event, policy: &Policy, out: &mut Findings);

    /// The capture ended: what is still undecided is decided by what there is.
    fn finish(&mut self, _policy: &Policy, _out: &mut Findings) {}

    /// States dropped because a table was full, since the last call.
    fn take_evicted(&mut self) -> u64;
}

/// Every detector, in the order in which each event visits them.
#[derive(Debug)]
pub struct Detectors;

impl Detectors {
    /// All with empty state.
    pub const fn new(_limits: &Limits, _seed: u64) -> Self {
        Self
    }

    /// Shows one event to each.
    pub const fn on_event(&mut self, _event: &Event, _policy: &Policy, _out: &mut Findings) {}

    /// The capture ended.
    pub const fn finish(&mut self, _policy: &Policy, _out: &mut Findings) {}

    /// Counts the states dropped since the last call.
    pub const fn count_evicted(&mut self, _counters: &mut Counters) {}
}
