//! `scan.host`: one host looks for others.
//!
//! TCP: first contacts with distinct hosts on one port drive the sequential test of [`Walk`]. Echo requests likewise. ARP,
//! neighbour solicitation and UDP failures are normal one by one, so there the hosts asked must also lie close together, as
//! a sweep's do and those of a router, a video call or a peer-to-peer client do not; or there are very many and next to
//! none answers. One finding a source grows over all its sweeps. Who looks for hosts because it is its work (a router
//! passing packets on, a DHCP server before it gives an address away) is told with severity 1.

mod means;
mod role;

use core::net::{IpAddr, Ipv4Addr};

use sekimori_wire::finding::{Bilingual, Category, Confidence, Finding, Severity};
use sekimori_wire::id::{FindingId, Host};
use sekimori_wire::time::Timestamp;

use crate::bounded::{Distinct, Map};
use crate::detect::findings::{Findings, Who, draft, input, port, sample, target, threshold};
use crate::detect::walk::Walk;
use crate::detect::{Detect, Kinds, Scene, Setup, Sieve};
use crate::event::{Arp, Event, FlowRef};
use crate::segment::{Policy, is_unicast};
use means::{Means, SPREAD_PER_ANSWERED};
use role::Roles;

/// Flows remembered for evidence.
const SAMPLES: usize = 8;
/// A sweep's hosts are neighbours; strays from other traffic on the port may be among them.
const CLUSTERED_PERCENT: usize = 75;
/// Hosts of one /24 pinged, its first and last address among them: nobody has a reason to ping a network's own address but
/// who goes through the whole range, however many answer.
const RANGE_HOSTS_MIN: usize = 10;

/// State: sweeps by source and means, and the finding of each source.
#[derive(Debug)]
pub(super) struct ScanHost {
    sweeps: Map<(Host, Means), Sweep>,
    newcomers: Sieve<(Host, Means), Seen>,
    sources: Map<Host, FindingId>,
    roles: Roles,
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
    /// The source looks for hosts on behalf of others.
    serves: bool,
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

    fn meets(&self, means: Means) -> bool {
        let rule = means.rule();
        let (failed, answered) = (self.failed.len(), self.answered.len());
        let outnumber = |times: usize| failed >= answered.saturating_mul(times);
        let near = || rule.gap_max.is_none_or(|gap| self.clustered_percent(gap) >= CLUSTERED_PERCENT);
        let many = self.walk.is_scanner() && failed >= rule.failed_min && outnumber(rule.failed_per_answered);
        let spread = rule.spread_min.is_some_and(|min| failed >= min && outnumber(SPREAD_PER_ANSWERED));
        (many && (spread || near())) || (means == Means::Echo && self.covers_range())
    }

    /// The hosts of one /24 were asked from its first address to its last.
    fn covers_range(&self) -> bool {
        let first = self.failed.iter().filter_map(|host| match host {
            IpAddr::V4(v4) if v4.octets()[3] == 0 => Some(v4.to_bits()),
            IpAddr::V4(_) | IpAddr::V6(_) => None,
        });
        first.take(1).any(|net| {
            let within = |host: &&IpAddr| matches!(host, IpAddr::V4(v4) if v4.to_bits() & 0xffff_ff00 == net);
            let hosts = self.failed.iter().chain(self.answered.iter()).filter(within).count();
            hosts >= RANGE_HOSTS_MIN && self.failed.contains(&IpAddr::from(Ipv4Addr::from_bits(net | 0xff)))
        })
    }

    /// Of the failed hosts with a neighbour, how many have it within `gap` addresses. Strays do not hide a swept range.
    fn clustered_percent(&self, gap: u32) -> usize {
        let number = |host: &IpAddr| match host {
            IpAddr::V4(v4) => u128::from(v4.to_bits()),
            IpAddr::V6(v6) => v6.to_bits(),
        };
        let numbers: Vec<u128> = self.failed.iter().map(number).collect();
        let near = |pair: &&[u128]| matches!(pair, [low, high] if high - low <= u128::from(gap));
        let near = numbers.windows(2).filter(near).count();
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
            roles: Roles::new(limits.detector_entries, seed),
            distinct: limits.distinct_per_entry,
            evicted: 0,
        }
    }

    fn take(&mut self, source: Host, means: Means, seen: Seen, (policy, out): (&Policy, &mut Findings)) {
        let key = (source, means);
        let mut place = self.sweeps.place_of(&key);
        let known = place.and_then(|place| self.sweeps.at(place));
        if known.is_some_and(|sweep| seen.at.since(sweep.last) > means.memory()) {
            self.sweeps.remove(&key);
            place = None;
        }
        let place = if let Some(place) = place {
            place
        } else {
            let first = if seen.failed {
                let Some(first) = self.newcomers.pass(key, seen, |a, b| a.host == b.host) else { return };
                Some(first)
            } else {
                None
            };
            let mut fresh = Sweep::new(self.distinct, first.map_or(seen.at, |first| first.at));
            first.iter().for_each(|first| {
                fresh.learn(first);
            });
            let (place, left) = self.sweeps.enter(key, fresh);
            self.evicted += u64::from(left.is_some());
            place
        };
        let Some(sweep) = self.sweeps.use_at(place) else { return };
        if !sweep.learn(&seen) {
            return;
        }
        if let Some(id) = sweep.finding {
            if out.grow(id, seen.at, |finding| add_host(finding, means, sweep, &seen)) {
                return;
            }
            sweep.finding = None;
        }
        if sweep.meets(means) {
            let known = self.sources.get_mut(&source).copied();
            let change = |finding: &mut Finding| {
                finding.count = finding.count.saturating_add(sweep.failed.len() as u64);
                describe(finding, means, sweep);
            };
            let fresh = || Some(claim(source, means, sweep, &seen, policy));
            sweep.finding = out.follow(known, seen.at, change, fresh);
            if let Some(id) = sweep.finding {
                self.sources.insert(source, id);
            }
        }
    }

    fn on_arp(&mut self, (at, vlan): (Timestamp, Option<u16>), arp: &Arp, around: (&Policy, &mut Findings)) {
        let asks = arp.operation == 1 && arp.sender_ip != arp.target_ip;
        // RFC 5227: a probe for an address one would like to have has no sender address.
        let named = |ip: Ipv4Addr, mac| {
            if ip.is_unspecified() { Host::Mac(mac) } else { Host::Ip(ip.into()) }
        };
        if asks {
            let asker = arp.sender_ip.into();
            let serves = self.roles.is_router(arp.sender_mac, asker) || self.roles.gives_leases(asker);
            let seen = Seen { at, host: arp.target_ip.into(), failed: true, flow: None, vlan, serves };
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
    let grave = policy.is_inside(address) && !seen.serves;
    finding.severity = if grave { Severity::HIGH } else { Severity::LOW };
    if seen.serves {
        input(&mut finding, "role", "router or DHCP server: may ask on behalf of others");
    }
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
        "{}, over distinct hosts; enough of them failed, and more failed than answered; for ARP, neighbour solicitation, UDP, \
         web and unusual ports the failed hosts also lie close together, or they are very many and hardly one answered; or \
         echo requests went to a whole /24 from its first address to its last",
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
    const RULE: &'static str = "scan.host/2";
    const WANTS: Kinds = Kinds::STARTED
        .and(Kinds::ANSWERED)
        .and(Kinds::REJECTED)
        .and(Kinds::UNANSWERED)
        .and(Kinds::TRANSACTION)
        .and(Kinds::ENDED)
        .and(Kinds::ARP);

    fn on_event(&mut self, event: &Event, scene: &Scene<'_>, out: &mut Findings) {
        let (at, flow, what) = match event {
            Event::Flow { at, flow, what } => (*at, flow, what),
            Event::Arp { at, vlan, arp } => return self.on_arp((*at, *vlan), arp, (scene.policy, out)),
            Event::Anomaly { .. } => return,
        };
        self.roles.learn(flow, what);
        let Some((means, failed)) = Means::of(flow, what) else { return };
        let (source, to) = (flow.originator.address, flow.responder.address);
        // Nobody looks up a name for each address of a sweep; clients of a network without a way out fail by name.
        if failed && means.may_be_by_name() && scene.names.of(to, at).is_some() {
            return;
        }
        if is_unicast(to) || means == Means::Neighbour {
            let serves = self.roles.gives_leases(source);
            let seen = Seen { at, host: to, failed, flow: Some(*flow), vlan: flow.vlan, serves };
            self.take(source.into(), means, seen, (scene.policy, out));
        }
    }

    fn take_evicted(&mut self) -> u64 {
        core::mem::take(&mut self.evicted)
    }
}
