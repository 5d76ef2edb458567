//! From events to findings: one behaviour per file, each with its state, threshold, evidence and bounds.
//!
//! A detector sees events in order of time and never a clock, so the same capture gives the same findings. It names the
//! acting host as originator, whoever sent the first packet. What it remembers is bounded by [`Limits`]; what strangers
//! can make it remember with one packet goes through a [`Sieve`] first, so that a spoofed flood blinds nobody.

mod bruteforce_login;
mod dns_tunnel;
mod findings;
mod flood_syn;
mod probe;
mod scan_host;
mod scan_port;
mod segment_violation;
mod sieve;
mod walk;

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
pub struct Detectors {
    scan_port: scan_port::ScanPort,
    scan_host: scan_host::ScanHost,
    flood_syn: flood_syn::FloodSyn,
    bruteforce_login: bruteforce_login::BruteforceLogin,
    dns_tunnel: dns_tunnel::DnsTunnel,
    segment_violation: segment_violation::SegmentViolation,
}

impl Detectors {
    /// All with empty state.
    pub fn new(limits: &Limits, seed: u64) -> Self {
        Self {
            scan_port: scan_port::ScanPort::new(limits, seed),
            scan_host: scan_host::ScanHost::new(limits, seed),
            flood_syn: flood_syn::FloodSyn::new(limits, seed),
            bruteforce_login: bruteforce_login::BruteforceLogin::new(limits, seed),
            dns_tunnel: dns_tunnel::DnsTunnel::new(limits, seed),
            segment_violation: segment_violation::SegmentViolation::new(limits, seed),
        }
    }

    /// Shows one event to each.
    pub fn on_event(&mut self, event: &Event, policy: &Policy, out: &mut Findings) {
        self.scan_port.on_event(event, policy, out);
        self.scan_host.on_event(event, policy, out);
        self.flood_syn.on_event(event, policy, out);
        self.bruteforce_login.on_event(event, policy, out);
        self.dns_tunnel.on_event(event, policy, out);
        self.segment_violation.on_event(event, policy, out);
    }

    /// The capture ended.
    pub fn finish(&mut self, policy: &Policy, out: &mut Findings) {
        self.scan_port.finish(policy, out);
        self.scan_host.finish(policy, out);
        self.flood_syn.finish(policy, out);
        self.bruteforce_login.finish(policy, out);
        self.dns_tunnel.finish(policy, out);
        self.segment_violation.finish(policy, out);
    }

    /// Counts the states dropped since the last call.
    pub fn count_evicted(&mut self, counters: &mut Counters) {
        let evicted = [
            self.scan_port.take_evicted(),
            self.scan_host.take_evicted(),
            self.flood_syn.take_evicted(),
            self.bruteforce_login.take_evicted(),
            self.dns_tunnel.take_evicted(),
            self.segment_violation.take_evicted(),
        ];
        counters.add(crate::counters::Counter::DetectEvicted, evicted.iter().sum());
    }
}

#[cfg(test)]
mod tests;
