//! `scan.port`: one host tries many ports of another, or one port with many protocols.
//!
//! For each pair of hosts the outcomes of first contacts with distinct ports drive the sequential test of [`Walk`]; a
//! minimum of distinct failed ports keeps clients of a dead host out. A port that answers and is dropped at once counts as
//! failed: nobody wanted it. A probe without SYN (FIN, NULL, Xmas, ACK) shows as a flow that never carried anything; those
//! with flags that no TCP implementation sends need no walk. Unanswered UDP proves little, so UDP needs ICMP unreachable
//! messages, or many silent ports on a host that answers on hardly any. Other transports (SCTP, and each protocol number of
//! a protocol scan) count like ports. [`service`] looks for the many openings of a service probe.

mod service;

use std::time::Duration;

use sekimori_wire::finding::{Bilingual, Category, Confidence, Finding, Severity};
use sekimori_wire::id::FindingId;
use sekimori_wire::time::Timestamp;

use core::net::IpAddr;

use crate::bounded::{Distinct, Map};
use crate::detect::findings::{Findings, Who, draft, input, port, sample, threshold};
use crate::detect::walk::Walk;
use crate::detect::{Detect, Kinds, Scene, Setup, Sieve, probe};
use crate::event::{Event, FlowEvent, FlowRecord, FlowRef};
use crate::segment::{Policy, is_unicast};

/// Distinct failed ports before the test may decide. Between Slips (5) and Zeek (15): a printer or server that is off is
/// tried on half a dozen ports by its own software.
const PORTS_MIN: usize = 10;
/// Silent UDP ports. Media and games choose a port for each call, so it takes a great many.
const SILENT_UDP_MIN: usize = 100;
/// Silent UDP ports below 1024 (RFC 6335: assigned to services, never chosen at random): about half of what a scan of the
/// hundred commonest UDP ports tries.
const SILENT_SERVICES_MIN: usize = 20;
/// So many silent UDP ports for each that answered: a scan finds few.
const SILENT_PER_ANSWERED: usize = 10;
/// Distinct probes (flags and port) that no TCP implementation sends. One or two may be a damaged packet.
const ODD_MIN: usize = 3;
/// What is remembered of a pair without having made a finding is forgotten after this long: dynamic ports of a service that
/// is blocked (FTP data, RPC) would add up over days.
const UNDECIDED: Duration = Duration::from_secs(12 * 3_600);
/// Transports with an outcome of their own: ICMP and its like are no ports.
const NO_PORTS: [u8; 2] = [1, 58];
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
    newcomers: Sieve<Pair, (FlowRef, Timestamp, Outcome)>,
    services: service::Services,
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
    /// Ports that answered and were dropped at once; they are in `answered` too, if that was seen.
    dropped: Distinct<(u8, u16)>,
    /// Flags and port of probes that no TCP implementation sends.
    odd: Distinct<(u8, u16)>,
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
    Dropped,
    /// A probe with these flags.
    Odd(u8),
    SilentUdp,
}

impl ScanPort {
    pub(super) fn new(setup: &Setup<'_>) -> Self {
        let (limits, seed) = (setup.limits, setup.seed);
        Self {
            pairs: Map::new(limits.detector_entries, seed),
            newcomers: Sieve::new(limits.detector_entries, seed),
            services: service::Services::new(setup),
            distinct: limits.distinct_per_entry,
            evicted: 0,
        }
    }

    /// The state of a pair that tried two ports or more.
    fn contacts(&mut self, at: Timestamp, flow: &FlowRef, outcome: Outcome) -> Option<&mut Contacts> {
        let pair = (flow.originator.address, flow.responder.address);
        let is_old = |one: &Contacts| {
            at.since(one.last) > MEMORY || (one.finding.is_none() && at.since(one.first) > UNDECIDED)
        };
        let mut place = self.pairs.place_of(&pair);
        if place.and_then(|place| self.pairs.at(place)).is_some_and(is_old) {
            self.pairs.remove(&pair);
            place = None;
        }
        let place = if let Some(place) = place {
            place
        } else {
            if outcome == Outcome::Answered {
                // Success alone never makes a scanner, and remembering it would cost a table entry per server visited.
                return None;
            }
            let other_port = |a: &(FlowRef, Timestamp, Outcome), b: &(FlowRef, Timestamp, Outcome)| {
                a.0.responder.port == b.0.responder.port && a.0.protocol == b.0.protocol
            };
            let (first_flow, first, before) = self.newcomers.pass(pair, (*flow, at, outcome), other_port)?;
            let mut fresh = Contacts::new(self.distinct, first);
            fresh.learn(first, &first_flow, before);
            let (place, left) = self.pairs.enter(pair, fresh);
            self.evicted += u64::from(left.is_some());
            place
        };
        self.pairs.use_at(place)
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
        if contacts.is_scan() {
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
            dropped: Distinct::new(distinct),
            odd: Distinct::new(distinct),
            silent_udp: Distinct::new(distinct),
            first,
            last: first,
            samples: Vec::new(),
            finding: None,
            count: 0,
        }
    }

    /// True if the port is new.
    fn learn(&mut self, at: Timestamp, flow: &FlowRef, outcome: Outcome) -> bool {
        self.last = at;
        let port = (flow.protocol, flow.responder.port);
        if let Outcome::Odd(flags) = outcome {
            self.odd.insert((flags, port.1));
        }
        let is_known = self.failed.contains(&port) || self.dropped.contains(&port);
        if is_known || (self.answered.contains(&port) && outcome != Outcome::Dropped) {
            return false;
        }
        self.first = self.first.min(flow.began);
        let new = match outcome {
            Outcome::Answered => {
                self.walk.answered();
                self.answered.insert(port)
            }
            Outcome::Dropped => {
                if self.answered.contains(&port) {
                    // Takes the answer back.
                    self.walk.failed();
                }
                self.walk.failed();
                self.dropped.insert(port) && !self.answered.contains(&port)
            }
            Outcome::Failed | Outcome::Odd(_) => {
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

    fn is_scan(&self) -> bool {
        let by_walk = self.walk.is_scanner() && self.failed.len() + self.dropped.len() >= PORTS_MIN;
        let services = self.silent_udp.iter().take_while(|port| **port < 1_024).count();
        let answered_udp = self.answered.iter().filter(|(protocol, _)| *protocol == 17).count();
        let many = self.silent_udp.len() >= SILENT_UDP_MIN || services >= SILENT_SERVICES_MIN;
        let by_silence = many && self.silent_udp.len() >= answered_udp.saturating_mul(SILENT_PER_ANSWERED);
        by_walk || by_silence || self.odd.len() >= ODD_MIN
    }

    fn distinct(&self) -> u64 {
        let only_dropped = self.dropped.iter().filter(|port| !self.answered.contains(port)).count();
        (self.failed.len() + self.answered.len() + self.silent_udp.len() + only_dropped) as u64
    }

    fn tell(&self, finding: &mut Finding) {
        finding.count = self.count.max(self.distinct());
        for (_, one) in self.failed.iter().chain(self.answered.iter()).chain(self.dropped.iter()) {
            port(finding, *one);
        }
        self.silent_udp.iter().for_each(|one| port(finding, *one));
        input(finding, "failed_ports", self.failed.len());
        input(finding, "answered_ports", self.answered.len());
        input(finding, "dropped_ports", self.dropped.len());
        input(finding, "impossible_probes", self.odd.len());
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
            "{}, over distinct ports, and enough distinct ports that failed or were dropped; or enough silent UDP ports and \
             ten for each that answered; or enough probes with flags that no TCP implementation sends",
            Walk::FORMULA
        )
        .into();
        threshold(&mut finding, "failed_or_dropped_ports", PORTS_MIN);
        threshold(&mut finding, "likelihood_ratio", Walk::UPPER_BOUND);
        threshold(&mut finding, "silent_udp_ports", SILENT_UDP_MIN);
        threshold(&mut finding, "silent_udp_services", SILENT_SERVICES_MIN);
        threshold(&mut finding, "impossible_probes", ODD_MIN);
        self.tell(&mut finding);
        self.samples.iter().for_each(|flow| sample(&mut finding, flow));
        finding
    }
}

impl Detect for ScanPort {
    const RULE: &'static str = "scan.port/2";
    const WANTS: Kinds = Kinds::ANSWERED
        .and(Kinds::REJECTED)
        .and(Kinds::UNANSWERED)
        .and(Kinds::HTTP_REQUEST)
        .and(Kinds::ENDED);

    fn on_event(&mut self, event: &Event, scene: &Scene<'_>, out: &mut Findings) {
        let Event::Flow { at, flow, what } = event else { return };
        self.services.on_flow((*at, flow), what, (scene.policy, out));
        if NO_PORTS.contains(&flow.protocol) {
            return;
        }
        let (tcp, udp) = (flow.protocol == 6, flow.protocol == 17);
        let outcome = match what {
            FlowEvent::Answered => Outcome::Answered,
            FlowEvent::Rejected => Outcome::Failed,
            FlowEvent::Unanswered if tcp => Outcome::Failed,
            // Answers seen one way only come from a server's well-known port, or go to a port that clients are given: what
            // answers a question by multicast (SSDP, mDNS) has not been asked itself.
            FlowEvent::Unanswered if flow.originator.port >= 1_024 && flow.responder.port < EPHEMERAL => {
                Outcome::SilentUdp
            }
            FlowEvent::Ended(record) if tcp => match outcome_of_end(flow, record) {
                Some(outcome) => outcome,
                None => return,
            },
            FlowEvent::Ended(record)
                if !udp && record.responder.packets == 0 && is_unicast(flow.responder.address) =>
            {
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
        if udp && TRACEROUTE.contains(&flow.responder.port) {
            return;
        }
        self.take(*at, flow, outcome, (scene.policy, out));
    }

    fn take_evicted(&mut self) -> u64 {
        core::mem::take(&mut self.evicted) + self.services.take_evicted()
    }
}

/// What the end of a TCP flow adds to what its beginning told.
fn outcome_of_end(flow: &FlowRef, record: &FlowRecord) -> Option<Outcome> {
    if let Some(flags) = probe::odd_flags(flow, record) {
        return Some(Outcome::Odd(flags));
    }
    if probe::is_dropped(flow, record) {
        return Some(Outcome::Dropped);
    }
    (probe::is_bare(flow, record) && flow.responder.port < EPHEMERAL).then_some(Outcome::Failed)
}
