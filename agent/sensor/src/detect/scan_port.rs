//! `scan.port`: one host tries many ports of another.
//!
//! For each pair of hosts the outcomes of first contacts with distinct ports drive the sequential test of [`Walk`]; a
//! minimum of distinct failed ports keeps clients of a dead host out. A probe without SYN (FIN, NULL, Xmas, ACK) shows as
//! a flow that never carried anything. Unanswered UDP proves nothing, so UDP needs ICMP unreachable messages, or a great
//! many silent ports on a host that answers none.

use std::time::Duration;

use sekimori_wire::finding::{Bilingual, Category, Confidence, Finding, Severity};
use sekimori_wire::id::FindingId;
use sekimori_wire::time::Timestamp;

use core::net::IpAddr;

use crate::bounded::{Distinct, Map};
use crate::detect::findings::{Findings, Who, draft, input, port, sample, threshold};
use crate::detect::walk::Walk;
use crate::detect::{Detect, Scene, Setup, Sieve, probe};
use crate::event::{Event, FlowEvent, FlowRef};
use crate::segment::Policy;

/// Distinct failed ports before the test may decide. Between Slips (5) and Zeek (15): a printer or server that is off is
/// tried on half a dozen ports by its own software.
const PORTS_MIN: usize = 10;
/// Silent UDP ports on a host that answered on none.
const SILENT_UDP_MIN: usize = 100;
/// Outcomes are remembered for this long after the last one.
const MEMORY: Duration = Duration::from_secs(30 * 60);
/// Flows remembered for evidence.
const SAMPLES: usize = 8;
/// traceroute counts upwards from here, one port per probe, and stops within 64 hops of three probes.
const TRACEROUTE: core::ops::RangeInclusive<u16> = 33_434..=33_625;
/// Ports from here on are given to clients by common systems: whoever talks *to* them is mostly answering.
const EPHEMERAL: u16 = 32_768;

/// State: outcomes by pair of hosts.
#[derive(Debug)]
pub(super) struct ScanPort {
    pairs: Map<Pair, Contacts>,
    newcomers: Sieve<Pair, (FlowRef, Timestamp)>,
    distinct: usize,
    evicted: u64,
}

/// Who tried whom.
type Pair = (IpAddr, IpAddr);

#[derive(Debug)]
struct Contacts {
    walk: Walk,
    /// Transport and port of first contacts that were rejected or ignored.
    failed: Distinct<(u8, u16)>,
    answered: Distinct<(u8, u16)>,
    silent_udp: Distinct<u16>,
    first: Timestamp,
    last: Timestamp,
    samples: Vec<FlowRef>,
    finding: Option<FindingId>,
    /// Contacts behind the finding, repeats and what no longer fits the sets included.
    count: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    Answered,
    Failed,
    SilentUdp,
}

impl ScanPort {
    pub(super) fn new(setup: &Setup<'_>) -> Self {
        let (limits, seed) = (setup.limits, setup.seed);
        Self {
            pairs: Map::new(limits.detector_entries, seed),
            newcomers: Sieve::new(limits.detector_entries, seed),
            distinct: limits.distinct_per_entry,
            evicted: 0,
        }
    }

    /// The state of a pair that tried two ports or more.
    fn contacts(&mut self, at: Timestamp, flow: &FlowRef, outcome: Outcome) -> Option<&mut Contacts> {
        let pair = (flow.originator.address, flow.responder.address);
        if self.pairs.peek(&pair).is_some_and(|one| at.since(one.last) > MEMORY) {
            self.pairs.remove(&pair);
        }
        if self.pairs.peek(&pair).is_none() {
            if outcome == Outcome::Answered {
                // Success alone never makes a scanner, and remembering it would cost a table entry per server visited.
                return None;
            }
            let other_port = |a: &(FlowRef, Timestamp), b: &(FlowRef, Timestamp)| {
                a.0.responder.port == b.0.responder.port && a.0.protocol == b.0.protocol
            };
            let (first_flow, first) = self.newcomers.pass(pair, (*flow, at), other_port)?;
            let mut fresh = Contacts::new(self.distinct, first);
            fresh.failed_before(&first_flow, outcome);
            self.evicted += u64::from(self.pairs.insert(pair, fresh).is_some());
        }
        self.pairs.get_mut(&pair)
    }

    fn take(
        &mut self,
        at: Timestamp,
        flow: &FlowRef,
        outcome: Outcome,
        (policy, out): (&Policy, &mut Findings),
    ) {
        let Some(contacts) = self.contacts(at, flow, outcome) else { return };
        let new = contacts.learn(at, flow, outcome);
        if let Some(id) = contacts.finding {
            contacts.count += u64::from(new);
            if !new || out.grow(id, at, |finding| contacts.tell(finding)) {
                return;
            }
            contacts.finding = None;
        }
        let tcp_like = contacts.walk.is_scanner() && contacts.failed.len() >= PORTS_MIN;
        let udp =
            contacts.silent_udp.len() >= SILENT_UDP_MIN && !contacts.answered.iter().any(|(p, _)| *p == 17);
        if tcp_like || udp {
            contacts.count = contacts.distinct();
            let finding = contacts.claim(at, flow, policy);
            contacts.finding = Some(out.open(finding));
        }
    }
}

impl Contacts {
    const fn new(distinct: usize, first: Timestamp) -> Self {
        Self {
            walk: Walk::START,
            failed: Distinct::new(distinct),
            answered: Distinct::new(distinct),
            silent_udp: Distinct::new(distinct),
            first,
            last: first,
            samples: Vec::new(),
            finding: None,
            count: 0,
        }
    }

    /// The contact that the sieve held back.
    fn failed_before(&mut self, flow: &FlowRef, outcome: Outcome) {
        self.first = self.first.min(flow.began);
        if outcome == Outcome::SilentUdp {
            self.silent_udp.insert(flow.responder.port);
        } else if self.failed.insert((flow.protocol, flow.responder.port)) {
            self.walk.failed();
        }
        self.samples.push(*flow);
    }

    /// True if the port is new.
    fn learn(&mut self, at: Timestamp, flow: &FlowRef, outcome: Outcome) -> bool {
        self.last = at;
        let port = (flow.protocol, flow.responder.port);
        if self.failed.contains(&port) || self.answered.contains(&port) {
            return false;
        }
        self.first = self.first.min(flow.began);
        let new = match outcome {
            Outcome::Answered => {
                self.walk.answered();
                self.answered.insert(port)
            }
            Outcome::Failed => {
                self.walk.failed();
                self.failed.insert(port) || self.failed.is_full()
            }
            Outcome::SilentUdp => self.silent_udp.insert(port.1) || self.silent_udp.is_full(),
        };
        if new && self.samples.len() < SAMPLES {
            self.samples.push(*flow);
        }
        new
    }

    fn distinct(&self) -> u64 {
        (self.failed.len() + self.answered.len() + self.silent_udp.len()) as u64
    }

    fn tell(&self, finding: &mut Finding) {
        finding.count = self.count.max(self.distinct());
        for (_, one) in self.failed.iter().chain(self.answered.iter()) {
            port(finding, *one);
        }
        self.silent_udp.iter().for_each(|one| port(finding, *one));
        input(finding, "failed_ports", self.failed.len());
        input(finding, "answered_ports", self.answered.len());
        input(finding, "silent_udp_ports", self.silent_udp.len());
        input(finding, "likelihood_ratio", self.walk.ratio());
    }

    fn claim(&self, at: Timestamp, flow: &FlowRef, policy: &Policy) -> Finding {
        let who = Who::of(flow, "");
        let mut finding = draft(Category::ScanPort, ScanPort::RULE, policy, who, (self.first, at));
        let (source, target) = (flow.originator.address, flow.responder.address);
        finding.severity = if policy.is_inside(source) { Severity::HIGH } else { Severity::LOW };
        finding.confidence = Confidence::from_permille(900);
        finding.title = Bilingual::new(
            &format!("ポートスキャン: {source} → {target}"),
            &format!("Port scan: {source} → {target}"),
        );
        finding.explanation = Bilingual::new(
            &format!(
                "{source} が {target} の多数のポートに次々と接続を試み、ほとんどが拒否されたか応答がありませんでした。\
                 侵入口を探す下調べの可能性があります。"
            ),
            &format!(
                "{source} tried many ports of {target} one after another; most refused or did not answer. \
                 This is how a way in is looked for."
            ),
        );
        finding.evidence.formula = format!(
            "{}, over distinct ports; and enough distinct failed ports, or enough silent UDP ports and none answered",
            Walk::FORMULA
        )
        .into();
        threshold(&mut finding, "failed_ports", PORTS_MIN);
        threshold(&mut finding, "likelihood_ratio", Walk::UPPER_BOUND);
        threshold(&mut finding, "silent_udp_ports", SILENT_UDP_MIN);
        self.tell(&mut finding);
        self.samples.iter().for_each(|flow| sample(&mut finding, flow));
        finding
    }
}

impl Detect for ScanPort {
    const RULE: &'static str = "scan.port/1";

    fn on_event(&mut self, event: &Event, scene: &Scene<'_>, out: &mut Findings) {
        let Event::Flow { at, flow, what } = event else { return };
        if !matches!(flow.protocol, 6 | 17) {
            return;
        }
        let tcp = flow.protocol == 6;
        let outcome = match what {
            FlowEvent::Answered => Outcome::Answered,
            FlowEvent::Rejected => Outcome::Failed,
            FlowEvent::Unanswered if tcp => Outcome::Failed,
            // A server's answers seen one way only come from its well-known port.
            FlowEvent::Unanswered if flow.originator.port >= 1_024 => Outcome::SilentUdp,
            FlowEvent::Ended(record) if probe::is_bare(flow, record) && flow.responder.port < EPHEMERAL => {
                Outcome::Failed
            }
            FlowEvent::Unanswered
            | FlowEvent::Ended(_)
            | FlowEvent::Started(_)
            | FlowEvent::Established
            | FlowEvent::Dns(_)
            | FlowEvent::Tls(_)
            | FlowEvent::HttpRequest(_)
            | FlowEvent::HttpResponse { .. }
            | FlowEvent::Traffic(_)
            | FlowEvent::Opening(_)
            | FlowEvent::Echo(_)
            | FlowEvent::Syslog(_)
            | FlowEvent::Transaction(_)
            | FlowEvent::Anomaly(_) => return,
        };
        if !tcp && TRACEROUTE.contains(&flow.responder.port) {
            return;
        }
        self.take(*at, flow, outcome, (scene.policy, out));
    }

    fn take_evicted(&mut self) -> u64 {
        core::mem::take(&mut self.evicted)
    }
}
