//! `worm.spread`: something on a host carries itself on to others.
//!
//! Four signs, each of an inside host:
//! - it tries a service through which worms spread ([`ports`]) on random addresses of the internet, most of which fail;
//! - it does what was done to it: reached on such a service by a host that sweeps it (or by one from outside), it then
//!   sweeps the same service itself: the second generation;
//! - it sends one and the same datagram to a great many hosts, hardly any of which answer ([`datagram`]);
//! - it opens the share of one address on several servers: a path fixed in an exploit ([`share`]).
//!
//! A sweep alone is `scan.host`. The second generation is of severity 4, the rest of 3.

mod datagram;
mod ports;
mod share;

use core::net::IpAddr;
use std::time::Duration;

use sekimori_wire::finding::{Bilingual, Category, Confidence, Finding, Severity};
use sekimori_wire::id::FindingId;
use sekimori_wire::time::Timestamp;

use crate::bounded::{Distinct, Map};
use crate::detect::findings::{Findings, Who, draft, input, port, sample, target, threshold};
use crate::detect::walk::Walk;
use crate::detect::{Detect, Kinds, Scene, Setup, Sieve};
use crate::event::{Event, FlowEvent, FlowRef, Transaction};
use crate::segment::{Policy, is_private, is_unicast};

/// Distinct public hosts that failed: twice what makes a sweep, because a claim about malware is graver.
const RANDOM_MIN: usize = 16;
/// They lie in so many networks of /16: random targets, not the servers of one company.
const NETS_MIN: usize = 8;
/// Distinct hosts that failed before a reached host counts as sweeping in its turn, and its attacker before it: more than
/// the four straight failures at which the sequential test decides.
const TURN_MIN: usize = 5;
/// From being reached to sweeping; also what a source did is forgotten after this long without more of it.
const MEMORY: Duration = Duration::from_secs(3_600);
/// Attackers remembered of one reached service.
const ATTACKERS: usize = 4;
/// Flows remembered for evidence.
const SAMPLES: usize = 8;

/// State: sweeps by source and service, and who was reached by whom.
#[derive(Debug)]
pub(super) struct WormSpread {
    sweeps: Map<(IpAddr, Service), Sweep>,
    newcomers: Sieve<(IpAddr, Service), (FlowRef, Timestamp)>,
    reached: Map<(IpAddr, Service), Vec<(IpAddr, Timestamp)>>,
    datagrams: datagram::Datagrams,
    shares: share::Shares,
    told: Told,
    distinct: usize,
    evicted: u64,
}

/// Transport and port.
type Service = (u8, u16);

#[derive(Debug)]
struct Sweep {
    walk: Walk,
    failed: Distinct<IpAddr>,
    answered: Distinct<IpAddr>,
    /// Failed hosts with public addresses, and their networks of /16.
    public: usize,
    nets: Distinct<u16>,
    first: Timestamp,
    last: Timestamp,
    samples: Vec<FlowRef>,
}

impl Sweep {
    const fn new(distinct: usize, first: Timestamp) -> Self {
        Self {
            walk: Walk::START,
            failed: Distinct::new(distinct),
            answered: Distinct::new(distinct),
            public: 0,
            nets: Distinct::new(NETS_MIN),
            first,
            last: first,
            samples: Vec::new(),
        }
    }

    fn fail(&mut self, at: Timestamp, flow: &FlowRef) {
        self.last = at;
        self.first = self.first.min(flow.began);
        let host = flow.responder.address;
        if self.answered.contains(&host) || !self.failed.insert(host) {
            return;
        }
        self.walk.failed();
        if let (IpAddr::V4(v4), false) = (host, is_private(host)) {
            self.public += 1;
            let [a, b, ..] = v4.octets();
            self.nets.insert(u16::from_be_bytes([a, b]));
        }
        if self.samples.len() < SAMPLES {
            self.samples.push(*flow);
        }
    }

    fn is_random(&self) -> bool {
        self.walk.is_scanner() && self.public >= RANDOM_MIN && self.nets.is_full()
    }

    fn is_sweep(&self) -> bool {
        self.walk.is_scanner() && self.failed.len() >= TURN_MIN
    }
}

/// What is claimed of a source.
#[derive(Clone, Debug)]
struct Claim {
    source: IpAddr,
    severity: Severity,
    /// Why, for the evidence: the sign, and what was measured.
    sign: &'static str,
    inputs: Vec<(&'static str, u64)>,
    /// Who did the same to it before.
    by: Option<IpAddr>,
    targets: Vec<IpAddr>,
    flow: FlowRef,
    first: Timestamp,
}

/// The finding of each source.
#[derive(Debug)]
struct Told {
    findings: Map<IpAddr, FindingId>,
}

impl Told {
    /// A new finding, or more of the source's own.
    fn tell(&mut self, at: Timestamp, claim: &Claim, (policy, out): (&Policy, &mut Findings)) {
        let known = self.findings.get_mut(&claim.source).copied();
        if known.is_some_and(|id| out.grow(id, at, |finding| claim.describe(finding))) {
            return;
        }
        let id = out.open(claim.draft(at, policy));
        // A forgotten source only begins another finding.
        let _left = self.findings.insert(claim.source, id);
    }

    /// What a source spread went on from another: it is proven.
    fn prove(&mut self, at: Timestamp, source: IpAddr, to: IpAddr, out: &mut Findings) {
        if let Some(id) = self.findings.get_mut(&source) {
            out.grow(*id, at, |finding| {
                finding.severity = Severity::CRITICAL;
                input(finding, "went_on_from", to.to_string());
                target(finding, &to.to_string());
            });
        }
    }
}

impl Claim {
    fn describe(&self, finding: &mut Finding) {
        finding.severity = finding.severity.max(self.severity);
        finding.count = finding.count.max(self.targets.len() as u64);
        input(finding, "sign", self.sign);
        for (name, value) in &self.inputs {
            input(finding, name, *value);
        }
        if let Some(by) = self.by {
            input(finding, "same_done_to_it_by", by.to_string());
        }
        self.targets.iter().for_each(|host| target(finding, &host.to_string()));
        port(finding, self.flow.responder.port);
        sample(finding, &self.flow);
    }

    fn draft(&self, at: Timestamp, policy: &Policy) -> Finding {
        let source = self.source;
        let who = Who {
            originator: Some(source.into()),
            responder: None,
            places: (source, self.flow.responder.address),
            vlan: self.flow.vlan,
            what: "worm",
        };
        let mut finding = draft(Category::WormSpread, WormSpread::RULE, policy, who, (self.first, at));
        finding.severity = self.severity;
        finding.confidence = Confidence::from_permille(850);
        finding.title = Bilingual::new(
            &format!("マルウェアの拡散の疑い: {source}"),
            &format!("Something spreads from {source}"),
        );
        finding.explanation = Bilingual::new(
            &format!(
                "{source} が、ワームが侵入に使うサービスを多数の宛先に次々と試みるなど、自分自身を広げる動きをしています。\
                 感染が疑われるため、直ちにネットワークから切り離して調べてください。"
            ),
            &format!(
                "{source} behaves like a worm: it tries services through which malware spreads on host after host, or does \
                 to others what was done to it. Take it off the network and examine it."
            ),
        );
        finding.evidence.formula = "a service that worms use, tried on random public addresses that mostly fail; or the same \
                                    service swept by a host after a sweeper reached it; or one datagram to very many hosts; \
                                    or one address's share opened on several servers"
            .into();
        threshold(&mut finding, "random_hosts", RANDOM_MIN);
        threshold(&mut finding, "networks", NETS_MIN);
        threshold(&mut finding, "hosts_in_turn", TURN_MIN);
        threshold(&mut finding, "hosts_with_same_datagram", datagram::HOSTS_MIN);
        threshold(&mut finding, "servers_with_foreign_share", share::SERVERS_MIN);
        self.describe(&mut finding);
        finding
    }
}

impl WormSpread {
    pub(super) fn new(setup: &Setup<'_>) -> Self {
        let (limits, seed) = (setup.limits, setup.seed);
        Self {
            sweeps: Map::new(limits.detector_entries, seed),
            newcomers: Sieve::new(limits.detector_entries, seed),
            reached: Map::new(limits.detector_entries, seed),
            datagrams: datagram::Datagrams::new(setup),
            shares: share::Shares::new(setup),
            told: Told { findings: Map::new(limits.detector_entries, seed) },
            distinct: limits.distinct_per_entry,
            evicted: 0,
        }
    }

    /// A first contact was answered.
    fn on_answer(&mut self, at: Timestamp, flow: &FlowRef, service: Service) {
        if let Some(sweep) = self.sweeps.get_mut(&(flow.originator.address, service)) {
            sweep.last = at;
            if sweep.answered.insert(flow.responder.address) {
                sweep.walk.answered();
            }
        }
    }

    /// Somebody got through to a service.
    fn on_reach(&mut self, at: Timestamp, flow: &FlowRef, service: Service) {
        let key = (flow.responder.address, service);
        let (by, evicted) = self.reached.get_or_insert_with(key, Vec::new);
        self.evicted += u64::from(evicted.is_some());
        let Some(by) = by else { return };
        let from = flow.originator.address;
        by.retain(|(_, since)| at.since(*since) <= MEMORY);
        if by.len() < ATTACKERS && !by.iter().any(|(known, _)| *known == from) {
            by.push((from, at));
        }
    }

    fn on_failure(
        &mut self,
        at: Timestamp,
        (flow, service): (&FlowRef, Service),
        (policy, out): (&Policy, &mut Findings),
    ) {
        let source = flow.originator.address;
        let key = (source, service);
        let is_old = self.sweeps.peek(&key).map(|sweep| at.since(sweep.last) > MEMORY);
        if is_old == Some(true) {
            self.sweeps.remove(&key);
        }
        if is_old != Some(false) {
            let same = |a: &(FlowRef, Timestamp), b: &(FlowRef, Timestamp)| {
                a.0.responder.address == b.0.responder.address
            };
            let Some((before, since)) = self.newcomers.pass(key, (*flow, at), same) else { return };
            let mut fresh = Sweep::new(self.distinct, since);
            fresh.fail(since, &before);
            self.evicted += u64::from(self.sweeps.insert(key, fresh).is_some());
        }
        let Some(sweep) = self.sweeps.get_mut(&key) else { return };
        sweep.fail(at, flow);
        if !policy.is_inside(source) {
            return;
        }
        let (random, in_turn, first) = (sweep.is_random(), sweep.is_sweep(), sweep.first);
        if !random && !in_turn {
            return;
        }
        let by = self.attacker(key, first, random, policy);
        let Some(sweep) = self.sweeps.peek(&key) else { return };
        if by.is_none() && !random {
            return;
        }
        let claim = sweep.claim(source, by, flow);
        self.told.tell(at, &claim, (policy, out));
        if let Some(by) = by {
            if let Some(theirs) = self.sweeps.peek(&(by, service)).filter(|_| policy.is_inside(by)) {
                self.told.tell(at, &theirs.claim(by, None, flow), (policy, out));
            }
            self.told.prove(at, by, source, out);
        }
    }

    /// Who reached this service of the host before it swept, and swept it too; or came from outside, if the host now
    /// tries random addresses.
    fn attacker(
        &self,
        key: (IpAddr, Service),
        first: Timestamp,
        random: bool,
        policy: &Policy,
    ) -> Option<IpAddr> {
        let by = self.reached.peek(&key)?;
        let swept = |from: IpAddr| self.sweeps.peek(&(from, key.1)).is_some_and(Sweep::is_sweep);
        let fits = |(from, at): &&(IpAddr, Timestamp)| {
            *at < first
                && first.since(*at) <= MEMORY
                && *from != key.0
                && (swept(*from) || (random && !policy.is_inside(*from)))
        };
        by.iter().find(fits).map(|(from, _)| *from)
    }
}

impl Sweep {
    fn claim(&self, source: IpAddr, by: Option<IpAddr>, flow: &FlowRef) -> Claim {
        Claim {
            source,
            severity: if by.is_some() { Severity::CRITICAL } else { Severity::HIGH },
            sign: if by.is_some() { "second generation" } else { "random addresses" },
            inputs: vec![
                ("hosts_failed", self.failed.len() as u64),
                ("hosts_answered", self.answered.len() as u64),
                ("public_hosts_failed", self.public as u64),
            ],
            by,
            targets: self.failed.iter().copied().collect(),
            flow: self.samples.first().copied().unwrap_or(*flow),
            first: self.first,
        }
    }
}

impl Detect for WormSpread {
    const RULE: &'static str = "worm.spread/1";
    const WANTS: Kinds = Kinds::STARTED
        .and(Kinds::ANSWERED)
        .and(Kinds::ESTABLISHED)
        .and(Kinds::REJECTED)
        .and(Kinds::UNANSWERED)
        .and(Kinds::OPENING)
        .and(Kinds::TRANSACTION);

    fn on_event(&mut self, event: &Event, scene: &Scene<'_>, out: &mut Findings) {
        let Event::Flow { at, flow, what } = event else { return };
        if let FlowEvent::Transaction(one) = what {
            if let Transaction::Smb(command) = &**one {
                self.shares.on_command((*at, flow), command, &mut self.told, (scene.policy, out));
            }
            return;
        }
        // Only datagrams say something with what they begin with.
        let service = (flow.protocol, flow.responder.port);
        let is_datagram = flow.protocol == 17;
        let is_known = ports::is_known(service.0, service.1);
        if !(is_datagram || is_known) || !is_unicast(flow.responder.address) {
            return;
        }
        if is_datagram {
            self.datagrams.on_flow((*at, flow), what, &mut self.told, (scene, out));
        }
        // Nothing below counts a SYN, or what a flow begins with.
        let early = matches!(what, FlowEvent::Started(_)) && !is_datagram;
        if early || !is_known || matches!(what, FlowEvent::Opening(_)) {
            return;
        }
        let reaches = matches!(what, FlowEvent::Established)
            || (flow.protocol == 17 && matches!(what, FlowEvent::Started(_)));
        if reaches && scene.inside.responder {
            self.on_reach(*at, flow, service);
        }
        if matches!(what, FlowEvent::Answered) {
            self.on_answer(*at, flow, service);
        } else if matches!(what, FlowEvent::Rejected | FlowEvent::Unanswered) {
            self.on_failure(*at, (flow, service), (scene.policy, out));
        }
    }

    fn take_evicted(&mut self) -> u64 {
        core::mem::take(&mut self.evicted) + self.datagrams.take_evicted() + self.shares.take_evicted()
    }
}
