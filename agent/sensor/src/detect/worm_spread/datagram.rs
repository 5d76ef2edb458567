//! One and the same datagram goes to a great many hosts and hardly any answer: SQL Slammer's way, and that of malware
//! that reports to whole networks at once. Programs that ask many hosts the same (games, peers) get answers.

use core::net::IpAddr;
use std::time::Duration;

use sekimori_wire::finding::Severity;
use sekimori_wire::time::Timestamp;

use super::{Claim, Told, ports};
use crate::bounded::{Distinct, Map};
use crate::detect::{Findings, Scene, Setup, Sieve};
use crate::event::{FlowEvent, FlowRef};

/// Distinct hosts. A name server or a game asks fewer within the memory, or is answered.
pub(super) const HOSTS_MIN: usize = 64;
/// So many asked for each that answered.
const PER_ANSWERED: usize = 20;
/// So many alike for each that differs.
const PER_DIFFERENT: u64 = 10;
/// Forgotten after this long without more.
const MEMORY: Duration = Duration::from_secs(300);
/// A datagram shorter than this says too little to be the same by more than chance.
const BYTES_MIN: u32 = 4;

/// State by source and port.
#[derive(Debug)]
pub(super) struct Datagrams {
    alike: Map<(IpAddr, u16), Alike>,
    newcomers: Sieve<(IpAddr, u16), (IpAddr, u64)>,
    distinct: usize,
    evicted: u64,
}

#[derive(Debug)]
struct Alike {
    shape: u64,
    hosts: Distinct<IpAddr>,
    answered: Distinct<IpAddr>,
    different: u64,
    first: Timestamp,
    last: Timestamp,
    is_told: bool,
}

impl Datagrams {
    pub(super) fn new(setup: &Setup<'_>) -> Self {
        let (limits, seed) = (setup.limits, setup.seed);
        Self {
            alike: Map::new(limits.detector_entries, seed),
            newcomers: Sieve::new(limits.detector_entries, seed),
            distinct: limits.distinct_per_entry,
            evicted: 0,
        }
    }

    pub(super) const fn take_evicted(&mut self) -> u64 {
        core::mem::replace(&mut self.evicted, 0)
    }

    pub(super) fn on_flow(
        &mut self,
        (at, flow): (Timestamp, &FlowRef),
        what: &FlowEvent,
        told: &mut Told,
        (scene, out): (&Scene<'_>, &mut Findings),
    ) {
        let key = (flow.originator.address, flow.responder.port);
        let host = flow.responder.address;
        if matches!(what, FlowEvent::Answered) {
            if let Some(alike) = self.alike.get_mut(&key) {
                alike.answered.insert(host);
            }
            return;
        }
        let FlowEvent::Opening(opening) = what else { return };
        let says_much = opening.from_originator && opening.bytes >= BYTES_MIN;
        if !says_much || !scene.inside.originator || ports::is_discovery(key.1) {
            return;
        }
        if self.alike.peek(&key).is_some_and(|alike| at.since(alike.last) > MEMORY) {
            self.alike.remove(&key);
        }
        if self.alike.peek(&key).is_none() {
            let passed = self.newcomers.pass(key, (host, opening.shape), |a, b| a.0 == b.0);
            let Some((before, shape)) = passed else { return };
            let mut fresh = Alike {
                shape,
                hosts: Distinct::new(self.distinct),
                answered: Distinct::new(self.distinct),
                different: 0,
                first: flow.began,
                last: at,
                is_told: false,
            };
            fresh.hosts.insert(before);
            self.evicted += u64::from(self.alike.insert(key, fresh).is_some());
        }
        let Some(alike) = self.alike.get_mut(&key) else { return };
        alike.last = at;
        if opening.shape != alike.shape {
            alike.different += 1;
            return;
        }
        let new = alike.hosts.insert(host);
        // Answers take a moment: each further host looks again.
        if new && alike.is_spreading() && (!alike.is_told || alike.hosts.len().is_power_of_two()) {
            alike.is_told = true;
            told.tell(at, &alike.claim(key.0, flow), (scene.policy, out));
        }
    }
}

impl Alike {
    fn is_spreading(&self) -> bool {
        let hosts = self.hosts.len();
        hosts >= HOSTS_MIN
            && hosts >= self.answered.len().saturating_mul(PER_ANSWERED)
            && hosts as u64 >= self.different.saturating_mul(PER_DIFFERENT)
    }

    fn claim(&self, source: IpAddr, flow: &FlowRef) -> Claim {
        Claim {
            source,
            severity: Severity::HIGH,
            sign: "same datagram to many hosts",
            inputs: vec![
                ("hosts_with_same_datagram", self.hosts.len() as u64),
                ("hosts_answered", self.answered.len() as u64),
            ],
            by: None,
            targets: self.hosts.iter().copied().collect(),
            flow: *flow,
            first: self.first,
        }
    }
}
