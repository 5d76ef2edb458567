//! `dns.dga`: a client looks for its controller under names that an algorithm makes.
//!
//! Of such names nearly none is registered, so what shows is NXDOMAIN for one new domain after another. For each client the
//! sequential test of [`Walk`] runs over distinct registered domains: one that does not exist is a failure, one that has an address a
//! success. Only behind that gate the names are looked at; never is anybody accused for one name. What browsers, search lists and mail
//! servers ask in good faith is left out: names without a dot, names that a search list ends with the client's own domain, reverse
//! look-ups, list services, and a domain that did not exist is one failure however often it is asked.

mod looks;

use core::net::IpAddr;
use std::time::Duration;

use sekimori_wire::finding::{Bilingual, Category, Confidence, Finding, Severity, Value};
use sekimori_wire::id::FindingId;
use sekimori_wire::text::BoundedText;
use sekimori_wire::time::Timestamp;

use crate::bounded::{Distinct, Map, stand_in};
use crate::detect::findings::{Findings, Who, draft, input, sample, target, threshold};
use crate::detect::walk::Walk;
use crate::detect::{Detect, Kinds, Scene, Setup, Sieve};
use crate::domain::{Registered, ends};
use crate::event::dns::Rdata;
use crate::event::{Dns, Event, FlowEvent, FlowRef};
use crate::segment::Policy;

pub(super) use looks::looks_generated;

/// RCODE 3: the name does not exist (RFC 1035).
const NXDOMAIN: u8 = 3;
/// Distinct domains that did not exist (Slips: ten; Maltrail: twenty an hour).
const FAILED_MIN: usize = 10;
/// Share of them that look made by a machine. Random letters do in nine of ten cases, words in one of fifty.
const GENERATED_PERCENT: usize = 50;
/// Where nobody says that names do not exist (no answers, a resolver that fails, a sinkhole that answers everything): so many domains
/// in an hour ...
const ASKED_MIN: usize = 20;
/// ... of which next to all look made by a machine. Of what people ask for it is one in fifty.
const ASKED_GENERATED_PERCENT: usize = 80;
/// A sinkhole answers with its own address, perhaps one of each kind; names that have addresses of their own are somebody's.
const SINKHOLES_MAX: usize = 2;
/// The outcomes of a client are remembered for this long (Maltrail counts by the hour).
const WINDOW: Duration = Duration::from_secs(3_600);
/// Names remembered for evidence.
const SAMPLES: usize = 8;

/// State by client.
#[derive(Debug)]
pub(super) struct DnsDga {
    clients: Map<IpAddr, Client>,
    newcomers: Sieve<IpAddr, u64>,
    distinct: usize,
    evicted: u64,
}

#[derive(Debug)]
struct Client {
    since: Timestamp,
    walk: Walk,
    /// Domains by hash: did not exist, did.
    failed: Distinct<u64>,
    found: Distinct<u64>,
    generated: usize,
    /// Domains asked for, answered or not, and those of them that look generated.
    asked: Distinct<u64>,
    asked_generated: usize,
    /// Addresses that were answered.
    addresses: Distinct<IpAddr>,
    /// Domains that did not exist, those that no longer fit the set included.
    count: u64,
    samples: Vec<BoundedText<255>>,
    finding: Option<FindingId>,
}

impl Client {
    const fn new(since: Timestamp, distinct: usize) -> Self {
        Self {
            since,
            walk: Walk::START,
            failed: Distinct::new(distinct),
            found: Distinct::new(distinct),
            generated: 0,
            asked: Distinct::new(distinct),
            asked_generated: 0,
            addresses: Distinct::new(SINKHOLES_MAX + 1),
            count: 0,
            samples: Vec::new(),
            finding: None,
        }
    }

    /// True if a new domain did not exist.
    fn learn(&mut self, (domain, hash): (&str, u64), exists: bool) -> bool {
        if self.failed.contains(&hash) || self.found.contains(&hash) {
            return false;
        }
        if exists {
            self.found.insert(hash);
            self.walk.answered();
            return false;
        }
        if !self.failed.insert(hash) {
            // The set is full: what is new can no longer be told from what was asked before.
            return false;
        }
        self.walk.failed();
        self.count += 1;
        self.generated += usize::from(looks_generated(domain));
        true
    }

    /// True if the domain was not asked for before and looks generated.
    fn ask(&mut self, domain: &str, hash: u64) -> bool {
        let new = self.asked.insert(hash) && looks_generated(domain);
        if new {
            self.asked_generated += 1;
            if self.samples.len() < SAMPLES {
                self.samples.push(domain.into());
            }
        }
        new
    }

    fn is_dga(&self) -> bool {
        let failing = self.walk.is_scanner()
            && self.failed.len() >= FAILED_MIN
            && self.generated * 100 >= self.failed.len() * GENERATED_PERCENT;
        let nothing_else = self.asked.len() >= ASKED_MIN
            && self.addresses.len() <= SINKHOLES_MAX
            && self.asked_generated * 100 >= self.asked.len() * ASKED_GENERATED_PERCENT;
        failing || nothing_else
    }

    fn tell(&self, finding: &mut Finding) {
        finding.count = finding.count.max(self.count).max(self.asked_generated as u64);
        input(finding, "domains_not_existing", self.failed.len());
        input(finding, "domains_existing", self.found.len());
        input(finding, "domains_that_look_generated", self.generated);
        input(finding, "domains_asked", self.asked.len());
        input(finding, "addresses_answered", self.addresses.len());
        input(finding, "domains_asked_that_look_generated", self.asked_generated);
        input(finding, "likelihood_ratio", self.walk.ratio());
        finding.evidence.inputs.insert("names_sample".into(), Value::List(self.samples.clone()));
        self.samples.iter().for_each(|name| target(finding, name.as_str()));
    }

    fn claim(&self, at: Timestamp, flow: &FlowRef, policy: &Policy) -> Finding {
        let client = flow.originator.address;
        let who = Who { responder: None, ..Who::of(flow, "") };
        let mut finding = draft(Category::DnsDga, DnsDga::RULE, policy, who, (self.since, at));
        finding.severity = Severity::MEDIUM;
        finding.confidence = Confidence::from_permille(800);
        finding.title = Bilingual::new(
            &format!("自動生成ドメインへの問い合わせ: {client}"),
            &format!("Look-ups of generated domains: {client}"),
        );
        finding.explanation = Bilingual::new(
            &format!(
                "{client} が、機械的に作られたような存在しないドメイン名を次々と問い合わせています。マルウェアが指令サーバーを\
                 探しているときの動きです。"
            ),
            &format!(
                "{client} asks for one domain after another that does not exist and looks made by a machine: malware \
                 looks for its controller so."
            ),
        );
        finding.evidence.formula = format!(
            "{}, over distinct registered domains (not existing: failed); and enough of them, most of which look generated: \
             rare pairs of letters, few vowels, digits among letters; or next to all that it asked for in an hour do, and at most two addresses were answered",
            Walk::FORMULA
        )
        .into();
        threshold(&mut finding, "domains_not_existing", FAILED_MIN);
        threshold(&mut finding, "generated_percent", GENERATED_PERCENT);
        threshold(&mut finding, "domains_asked", ASKED_MIN);
        threshold(&mut finding, "addresses_answered", SINKHOLES_MAX);
        threshold(&mut finding, "asked_generated_percent", ASKED_GENERATED_PERCENT);
        threshold(&mut finding, "likelihood_ratio", Walk::UPPER_BOUND);
        self.tell(&mut finding);
        finding.ports = vec![flow.responder.port];
        sample(&mut finding, flow);
        finding
    }
}

impl DnsDga {
    pub(super) fn new(setup: &Setup<'_>) -> Self {
        Self {
            clients: Map::new(setup.limits.detector_entries, setup.seed),
            newcomers: Sieve::new(setup.limits.detector_entries, setup.seed),
            distinct: setup.limits.distinct_per_entry,
            evicted: 0,
        }
    }

    fn on_message(
        &mut self,
        at: Timestamp,
        flow: &FlowRef,
        (dns, domain): (&Dns, Option<Registered<'_>>),
        (policy, out): (&Policy, &mut Findings),
    ) {
        let answered = dns.is_response && matches!(dns.rcode, 0 | NXDOMAIN);
        let Some(domain) = domain_of(dns, domain).filter(|_| answered || !dns.is_response) else { return };
        let client = flow.originator.address;
        // Who asks for one domain only, as every forged source does, is not remembered.
        let (distinct, hash) = (self.distinct, stand_in(domain));
        let place = if let Some(place) = self.clients.place_of(&client) {
            place
        } else {
            if self.newcomers.pass(client, hash, |a, b| a == b).is_none() {
                return;
            }
            let (place, left) = self.clients.enter(client, Client::new(at, distinct));
            self.evicted += u64::from(left.is_some());
            place
        };
        let Some(state) = self.clients.use_at(place) else { return };
        if at.since(state.since) > WINDOW {
            let finding = state.finding;
            *state = Client::new(at, distinct);
            state.finding = finding;
        }
        for record in &dns.answer_records {
            if let Rdata::Address(address) = record.data {
                state.addresses.insert(address);
            }
        }
        // A capture may have only the answers.
        let asked = state.ask(domain, hash);
        let failed = dns.is_response && state.learn((domain, hash), dns.rcode == 0);
        if !asked && !failed {
            return;
        }
        let claim = || state.is_dga().then(|| state.claim(at, flow, policy));
        state.finding = out.follow(state.finding, at, |finding| state.tell(finding), claim);
    }
}

/// The registered domain that was asked for, if it can be one of an algorithm's: those are asked for by themselves or with one label
/// before them. More labels are a list service, a search list or a delivery network.
fn domain_of<'e>(dns: &'e Dns, domain: Option<Registered<'e>>) -> Option<&'e str> {
    // A, AAAA, HTTPS.
    if !matches!(dns.qtype, 1 | 28 | 65) {
        return None;
    }
    let name = &*dns.qname;
    let is_private = |suffix: &str| {
        matches!(
            suffix,
            "arpa"
                | "local"
                | "lan"
                | "home"
                | "internal"
                | "localdomain"
                | "corp"
                | "intranet"
                | "localhost"
        )
    };
    if ends(name, 1).any(is_private) {
        return None;
    }
    // A suffix that no registry has: a search list, or a name of the inside. `example` stands for all in what is written about
    // names (RFC 2606).
    let domain = domain.filter(|one| one.is_listed || one.name.ends_with(".example"))?.name;
    let below = name.strip_suffix(domain)?.trim_end_matches('.');
    (!below.contains('.')).then_some(domain)
}

impl Detect for DnsDga {
    const RULE: &'static str = "dns.dga/1";
    const WANTS: Kinds = Kinds::DNS;

    fn on_event(&mut self, event: &Event, scene: &Scene<'_>, out: &mut Findings) {
        let Event::Flow { at, flow, what: FlowEvent::Dns(dns) } = event else { return };
        // Multicast DNS and LLMNR ask the neighbours.
        if matches!(flow.responder.port, 5_353 | 5_355) {
            return;
        }
        let asker = if dns.from_originator == dns.is_response { flow.reversed() } else { *flow };
        self.on_message(*at, &asker, (dns, scene.domain), (scene.policy, out));
    }

    fn take_evicted(&mut self) -> u64 {
        core::mem::take(&mut self.evicted)
    }
}
