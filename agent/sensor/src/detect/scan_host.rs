//! `scan.host`: one host looks for others.
//!
//! TCP: first contacts with distinct hosts on one port drive the sequential test of [`Walk`]. Echo requests likewise. ARP
//! and UDP failures are normal one by one, so there the hosts asked must also lie close together, as a sweep's do and
//! those of a router, a video call or a peer-to-peer client do not. One finding a source grows over all its sweeps.

use core::net::IpAddr;
use std::time::Duration;

use sekimori_wire::finding::{Bilingual, Category, Confidence, Finding, Severity};
use sekimori_wire::id::{FindingId, Host};
use sekimori_wire::time::Timestamp;

use crate::bounded::{Distinct, Map};
use crate::detect::findings::{Findings, Who, draft, input, port, sample, target, threshold};
use crate::detect::walk::Walk;
use crate::detect::{Detect, Scene, Setup, Sieve, probe};
use crate::event::{Arp, Event, FlowEvent, FlowRef};
use crate::segment::{Policy, is_unicast};

/// Outcomes are remembered for this long after the last one.
const MEMORY: Duration = Duration::from_secs(30 * 60);
/// ARP requests count for this long: a router asks for as many hosts in an hour as a sweep does in a second.
const ARP_MEMORY: Duration = Duration::from_secs(60);
/// Flows remembered for evidence.
const SAMPLES: usize = 8;
/// A sweep's hosts are neighbours; strays from other traffic on the port may be among them.
const CLUSTERED_PERCENT: usize = 75;
/// TCP ports that clients of an isolated network try on many hosts by themselves.
const WEB: [u16; 2] = [80, 443];
/// Ports above 1023 of services that are looked for to be attacked: databases, remote control, embedded devices.
const SOUGHT: [u16; 19] = [
    1433, 1521, 1883, 2222, 2323, 3306, 3389, 5432, 5555, 5900, 5985, 6379, 7547, 8080, 8443, 9200, 11_211,
    27_017, 37_215,
];

/// How something is looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Means {
    /// TCP SYN to a port.
    Syn(u16),
    /// TCP without SYN to a port.
    Bare(u16),
    /// UDP to a port.
    Udp(u16),
    /// ICMP echo.
    Echo,
    /// ARP requests.
    Arp,
}

/// What it takes to call it a sweep.
#[derive(Clone, Copy, Debug)]
struct Rule {
    /// Distinct hosts that did not answer.
    failed_min: usize,
    /// At least this many failed for each that answered.
    failed_per_answered: usize,
    /// Most of the failed hosts lie at most this far from the next one.
    gap_max: Option<u32>,
}

impl Means {
    const fn rule(self) -> Rule {
        match self {
            Self::Syn(port) if port == WEB[0] || port == WEB[1] => {
                Rule { failed_min: 25, failed_per_answered: 9, gap_max: None }
            }
            Self::Syn(port) if is_sought(port) => {
                Rule { failed_min: 8, failed_per_answered: 1, gap_max: None }
            }
            Self::Syn(_) => Rule { failed_min: 25, failed_per_answered: 4, gap_max: Some(16) },
            Self::Bare(_) => Rule { failed_min: 16, failed_per_answered: 4, gap_max: None },
            Self::Udp(_) => Rule { failed_min: 32, failed_per_answered: 4, gap_max: Some(16) },
            Self::Echo => Rule { failed_min: 8, failed_per_answered: 1, gap_max: None },
            // Routers ask for every machine that they gave a lease and that sleeps.
            Self::Arp => Rule { failed_min: 40, failed_per_answered: 2, gap_max: Some(4) },
        }
    }

    const fn memory(self) -> Duration {
        match self {
            Self::Arp => ARP_MEMORY,
            Self::Syn(_) | Self::Bare(_) | Self::Udp(_) | Self::Echo => MEMORY,
        }
    }

    const fn port(self) -> Option<u16> {
        match self {
            Self::Syn(port) | Self::Bare(port) | Self::Udp(port) => Some(port),
            Self::Echo | Self::Arp => None,
        }
    }

    fn words(self) -> String {
        match self {
            Self::Syn(port) => format!("TCP {port}"),
            Self::Bare(port) => format!("TCP {port} (no SYN)"),
            Self::Udp(port) => format!("UDP {port}"),
            Self::Echo => "ICMP echo".to_owned(),
            Self::Arp => "ARP".to_owned(),
        }
    }
}

const fn is_sought(port: u16) -> bool {
    let mut at = 0;
    while at < SOUGHT.len() {
        #[expect(clippy::indexing_slicing, reason = "const fn: the loop's own bound")]
        if SOUGHT[at] == port {
            return true;
        }
        at += 1;
    }
    port < 1_024
}

/// State: sweeps by source and means, and the finding of each source.
#[derive(Debug)]
pub(super) struct ScanHost {
    sweeps: Map<(Host, Means), Sweep>,
    newcomers: Sieve<(Host, Means), Seen>,
    sources: Map<Host, FindingId>,
    distinct: usize,
    evicted: u64,
}

/// One outcome.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Seen {
    at: Timestamp,
    host: IpAddr,
    failed: bool,
    flow: Option<FlowRef>,
    vlan: Option<u16>,
}

#[derive(Debug)]
struct Sweep {
    walk: Walk,
    failed: Distinct<IpAddr>,
    answered: Distinct<IpAddr>,
    first: Timestamp,
    last: Timestamp,
    samples: Vec<FlowRef>,
    finding: Option<FindingId>,
}

impl Sweep {
    const fn new(distinct: usize, first: Timestamp) -> Self {
        Self {
            walk: Walk::START,
            failed: Distinct::new(distinct),
            answered: Distinct::new(distinct),
            first,
            last: first,
            samples: Vec::new(),
            finding: None,
        }
    }

    /// True if the host is new.
    fn learn(&mut self, seen: &Seen) -> bool {
        self.last = seen.at;
        if self.failed.contains(&seen.host) || self.answered.contains(&seen.host) {
            return false;
        }
        if seen.failed {
            self.walk.failed();
        } else {
            self.walk.answered();
        }
        self.first = seen.flow.map_or(seen.at, |flow| flow.began).min(self.first);
        let set = if seen.failed { &mut self.failed } else { &mut self.answered };
        let new = set.insert(seen.host) || set.is_full();
        if let Some(flow) = seen.flow.filter(|_| seen.failed && self.samples.len() < SAMPLES) {
            self.samples.push(flow);
        }
        new
    }

    fn meets(&self, rule: &Rule) -> bool {
        self.walk.is_scanner()
            && self.failed.len() >= rule.failed_min
            && self.failed.len() >= self.answered.len().saturating_mul(rule.failed_per_answered)
            && rule.gap_max.is_none_or(|gap| self.clustered_percent(gap) >= CLUSTERED_PERCENT)
    }

    /// Of the failed hosts with a neighbour, how many have it within `gap` addresses. Strays do not hide a swept range.
    fn clustered_percent(&self, gap: u32) -> usize {
        let number = |host: &IpAddr| match host {
            IpAddr::V4(v4) => Some(v4.to_bits()),
            // One cannot sweep IPv6 by counting.
            IpAddr::V6(_) => None,
        };
        let numbers: Vec<u32> = self.failed.iter().filter_map(number).collect();
        let near = numbers.windows(2).filter(|pair| matches!(pair, [low, high] if high - low <= gap)).count();
        (near * 100).checked_div(numbers.len().saturating_sub(1)).unwrap_or_default()
    }
}

impl ScanHost {
    pub(super) fn new(setup: &Setup<'_>) -> Self {
        let (limits, seed) = (setup.limits, setup.seed);
        Self {
            sweeps: Map::new(limits.detector_entries, seed),
            newcomers: Sieve::new(limits.detector_entries, seed),
            sources: Map::new(limits.detector_entries, seed),
            distinct: limits.distinct_per_entry,
            evicted: 0,
        }
    }

    fn take(&mut self, source: Host, means: Means, seen: Seen, (policy, out): (&Policy, &mut Findings)) {
        let key = (source, means);
        if self.sweeps.peek(&key).is_some_and(|sweep| seen.at.since(sweep.last) > means.memory()) {
            self.sweeps.remove(&key);
        }
        if self.sweeps.peek(&key).is_none() {
            let mut fresh = Sweep::new(self.distinct, seen.at);
            if seen.failed {
                let Some(first) = self.newcomers.pass(key, seen, |a, b| a.host == b.host) else { return };
                fresh.first = first.at;
                fresh.learn(&first);
            }
            self.evicted += u64::from(self.sweeps.insert(key, fresh).is_some());
        }
        let Some(sweep) = self.sweeps.get_mut(&key) else { return };
        if !sweep.learn(&seen) {
            return;
        }
        if let Some(id) = sweep.finding {
            if out.grow(id, seen.at, |finding| add_host(finding, means, sweep, &seen)) {
                return;
            }
            sweep.finding = None;
        }
        if sweep.meets(&means.rule()) {
            let known = self.sources.get_mut(&source).copied();
            let grown = known.is_some_and(|id| {
                out.grow(id, seen.at, |finding| {
                    finding.count = finding.count.saturating_add(sweep.failed.len() as u64);
                    describe(finding, means, sweep);
                })
            });
            sweep.finding =
                if grown { known } else { Some(out.open(claim(source, means, sweep, &seen, policy))) };
            if let Some(id) = sweep.finding {
                self.sources.insert(source, id);
            }
        }
    }

    fn on_arp(&mut self, (at, vlan): (Timestamp, Option<u16>), arp: &Arp, around: (&Policy, &mut Findings)) {
        let asks = arp.operation == 1 && arp.sender_ip != arp.target_ip;
        // RFC 5227: a probe for an address one would like to have has no sender address.
        let named = |ip: core::net::Ipv4Addr, mac| {
            if ip.is_unspecified() { Host::Mac(mac) } else { Host::Ip(ip.into()) }
        };
        if asks {
            let seen = Seen { at, host: arp.target_ip.into(), failed: true, flow: None, vlan };
            self.take(named(arp.sender_ip, arp.sender_mac), Means::Arp, seen, around);
        } else if arp.operation == 2 {
            let key = (named(arp.target_ip, arp.target_mac), Means::Arp);
            if let Some(sweep) = self.sweeps.get_mut(&key) {
                sweep.answered.insert(arp.sender_ip.into());
            }
        }
    }
}

/// Words and numbers that change as a source sweeps on.
fn describe(finding: &mut Finding, means: Means, sweep: &Sweep) {
    let name = means.words();
    input(finding, &format!("{name}: hosts without answer"), sweep.failed.len());
    input(finding, &format!("{name}: hosts that answered"), sweep.answered.len());
    if let Some(one) = means.port() {
        port(finding, one);
    }
    sweep.failed.iter().for_each(|host| target(finding, &host.to_string()));
    sweep.samples.iter().for_each(|flow| sample(finding, flow));
}

fn add_host(finding: &mut Finding, means: Means, sweep: &Sweep, seen: &Seen) {
    finding.count = finding.count.saturating_add(u64::from(seen.failed));
    let name = means.words();
    let (what, hosts) =
        if seen.failed { ("without answer", &sweep.failed) } else { ("that answered", &sweep.answered) };
    input(finding, &format!("{name}: hosts {what}"), hosts.len());
    target(finding, &seen.host.to_string());
}

fn claim(source: Host, means: Means, sweep: &Sweep, seen: &Seen, policy: &Policy) -> Finding {
    let address = match source {
        Host::Ip(address) => address,
        Host::Mac(_) => seen.host,
    };
    let name = means.words();
    let who = Who {
        originator: Some(source),
        responder: None,
        places: (address, seen.host),
        vlan: seen.vlan,
        what: &name,
    };
    let mut finding = draft(Category::ScanHost, ScanHost::RULE, policy, who, (sweep.first, seen.at));
    finding.severity = if policy.is_inside(address) { Severity::HIGH } else { Severity::LOW };
    finding.confidence = Confidence::from_permille(850);
    finding.count = sweep.failed.len() as u64;
    finding.title = Bilingual::new(
        &format!("ホスト探索: {source} が多数の宛先を調査({name})"),
        &format!("Host sweep: {source} looks for hosts ({name})"),
    );
    finding.explanation = Bilingual::new(
        &format!(
            "{source} が {name} で多数の宛先に次々と接触を試み、ほとんどから応答がありませんでした。\
             稼働中の機器を探す下調べ、またはマルウェアの拡散活動の可能性があります。"
        ),
        &format!(
            "{source} contacted many addresses by {name} one after another, and most did not answer: it is looking for \
             live hosts, or something on it is spreading."
        ),
    );
    let rule = means.rule();
    finding.evidence.formula = format!(
        "{}, over distinct hosts; enough of them failed, and more failed than answered; for ARP, UDP and unusual ports the \
         failed hosts also lie close together",
        Walk::FORMULA
    )
    .into();
    threshold(&mut finding, "hosts_without_answer", rule.failed_min);
    threshold(&mut finding, "failed_per_answered", rule.failed_per_answered);
    threshold(&mut finding, "likelihood_ratio", Walk::UPPER_BOUND);
    input(&mut finding, "likelihood_ratio", sweep.walk.ratio());
    if let Some(gap) = rule.gap_max {
        threshold(&mut finding, "clustered_percent", CLUSTERED_PERCENT);
        threshold(&mut finding, "gap_to_neighbour", gap);
        input(&mut finding, "clustered_percent", sweep.clustered_percent(gap));
    }
    describe(&mut finding, means, sweep);
    finding
}

impl Detect for ScanHost {
    const RULE: &'static str = "scan.host/1";

    fn on_event(&mut self, event: &Event, scene: &Scene<'_>, out: &mut Findings) {
        let (at, flow, what) = match event {
            Event::Flow { at, flow, what } => (*at, flow, what),
            Event::Arp { at, vlan, arp } => return self.on_arp((*at, *vlan), arp, (scene.policy, out)),
            Event::Anomaly { .. } => return,
        };
        let to = flow.responder;
        let (means, failed) = match (flow.protocol, what) {
            (6, FlowEvent::Answered) => (Means::Syn(to.port), false),
            (6, FlowEvent::Rejected | FlowEvent::Unanswered) => (Means::Syn(to.port), true),
            (6, FlowEvent::Ended(record)) if probe::is_bare(flow, record) => (Means::Bare(to.port), true),
            (17, FlowEvent::Answered) => (Means::Udp(to.port), false),
            (17, FlowEvent::Rejected | FlowEvent::Unanswered) if flow.originator.port >= 1_024 => {
                (Means::Udp(to.port), true)
            }
            (1 | 58, FlowEvent::Answered) => (Means::Echo, false),
            (1 | 58, FlowEvent::Unanswered | FlowEvent::Rejected) => (Means::Echo, true),
            _ => return,
        };
        if is_unicast(to.address) {
            let seen = Seen { at, host: to.address, failed, flow: Some(*flow), vlan: flow.vlan };
            self.take(flow.originator.address.into(), means, seen, (scene.policy, out));
        }
    }

    fn take_evicted(&mut self) -> u64 {
        core::mem::take(&mut self.evicted)
    }
}
