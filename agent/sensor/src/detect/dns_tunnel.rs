//! `dns.tunnel`: data carried in DNS names.
//!
//! For each (client, registered domain) the information in *distinct* names below the domain is counted, after the idea
//! of information-based heavy hitters (arXiv 2307.02614): repeating a name carries nothing new, so caches, monitoring and
//! ordinary browsing stay small. Volume alone is not enough: the carrier must also look like one, by record types that
//! return data, by long names or by large answers; without those it takes far more.

mod known;
mod name;

use core::net::IpAddr;
use std::time::Duration;

use sekimori_wire::finding::{Bilingual, Category, Confidence, Finding, Severity};
use sekimori_wire::id::FindingId;
use sekimori_wire::time::Timestamp;

use crate::bounded::{Distinct, Map, stand_in};
use crate::detect::findings::{Findings, Who, draft, input, sample, target, threshold};
use crate::detect::{Detect, Kinds, Scene, Setup};
use crate::domain::Registered;
use crate::event::dns::{Rdata, Resource};
use crate::event::{Dns, Event, FlowEvent, FlowRef};
use crate::segment::Policy;

/// Counted over this long; then the count begins again.
const WINDOW: Duration = Duration::from_secs(3_600);
/// Distinct names (RITA's lowest step is 100 a day; ibHH needs fewer because it weighs them).
const NAMES_MIN: usize = 50;
/// Information in them: 0.7 bytes a second over an hour.
const INFORMATION_BYTES_MIN: u64 = 2_500;
/// The same where nothing but volume speaks for a tunnel: RITA's highest step, and four times the information.
const NAMES_MIN_PLAIN: usize = 1_000;
const INFORMATION_BYTES_MIN_PLAIN: u64 = 10_000;
/// The same where everything speaks for one: long names, and most of them for data. A slow tunnel has few an hour.
const NAMES_MIN_SURE: usize = 20;
const INFORMATION_BYTES_MIN_SURE: u64 = 1_000;
/// What everything is: names longer than the community's rule for Zeek allows a query to be, and half of the queries for data.
const NAME_BYTES_SURE: u64 = 52;
const CARRIER_PERCENT_SURE: u64 = 50;
/// Share of queries for record types that return data.
const CARRIER_PERCENT: u64 = 20;
/// Mean length of the part below the domain, and mean bytes of answer data.
const NAME_BYTES: u64 = 30;
const ANSWER_BYTES: u64 = 200;
/// More refused than this: somebody asks for names that do not exist, which carries nothing home.
const REFUSED_PERCENT: u64 = 80;
/// Lists that are asked by DNS (block lists, reputation of files) answer with an address of 127.0.0.0/8, or that the name does not
/// exist (RFC 5782, 2.1): little else may come back (their own sites are looked up as well), and at least so many answers are such
/// addresses.
const LIST_PERCENT: u64 = 80;
const LISTED_PERCENT: u64 = 5;
/// Names remembered for evidence.
const SAMPLES: usize = 4;

/// State: what each client asked of each registered domain.
#[derive(Debug)]
pub(super) struct DnsTunnel {
    pairs: Map<(IpAddr, u64), Asked>,
    names_per_pair: usize,
    names_max: usize,
    /// Distinct names over all pairs.
    names: usize,
    evicted: u64,
}

#[derive(Debug)]
struct Asked {
    since: Timestamp,
    /// Hashes of distinct names.
    names: Distinct<u64>,
    information_bits: u64,
    name_bytes: u64,
    queries: u64,
    carriers: u64,
    responses: u64,
    refused: u64,
    /// Responses with addresses of 127.0.0.0/8 only.
    listed: u64,
    answer_bytes: u64,
    samples: Vec<Box<str>>,
    flow: FlowRef,
    finding: Option<FindingId>,
}

impl Asked {
    const fn new(since: Timestamp, flow: FlowRef, names_per_pair: usize) -> Self {
        Self {
            since,
            names: Distinct::new(names_per_pair),
            information_bits: 0,
            name_bytes: 0,
            queries: 0,
            carriers: 0,
            responses: 0,
            refused: 0,
            listed: 0,
            answer_bytes: 0,
            samples: Vec::new(),
            flow,
            finding: None,
        }
    }

    fn mean_name_bytes(&self) -> u64 {
        self.name_bytes.checked_div(self.names.len() as u64).unwrap_or_default()
    }

    fn mean_answer_bytes(&self) -> u64 {
        self.answer_bytes.checked_div(self.responses).unwrap_or_default()
    }

    const fn information_bytes(&self) -> u64 {
        self.information_bits / 8
    }

    fn carries(&self) -> bool {
        self.carriers * 100 >= self.queries * CARRIER_PERCENT
            || self.mean_name_bytes() >= NAME_BYTES
            || self.mean_answer_bytes() >= ANSWER_BYTES
    }

    /// Long names for data, and answers that bring some.
    fn is_sure(&self) -> bool {
        self.carriers * 100 >= self.queries * CARRIER_PERCENT_SURE
            && self.mean_name_bytes() >= NAME_BYTES_SURE
            && self.refused * 2 <= self.responses
    }

    /// It is answered as lists are. Names could still carry something out, but nothing comes back.
    const fn is_list(&self) -> bool {
        self.responses * 2 >= self.queries
            && self.listed * 100 >= self.responses * LISTED_PERCENT
            && (self.listed + self.refused) * 100 >= self.responses * LIST_PERCENT
    }

    const fn severity(&self) -> Severity {
        if self.is_list() { Severity::LOW } else { Severity::HIGH }
    }

    fn is_tunnel(&self) -> bool {
        let enough = |names, bytes| self.names.len() >= names && self.information_bytes() >= bytes;
        let refused = self.refused * 100 > self.responses * REFUSED_PERCENT;
        if self.is_sure() && enough(NAMES_MIN_SURE, INFORMATION_BYTES_MIN_SURE) {
            true
        } else if self.carries() {
            enough(NAMES_MIN, INFORMATION_BYTES_MIN)
        } else {
            !refused && enough(NAMES_MIN_PLAIN, INFORMATION_BYTES_MIN_PLAIN)
        }
    }

    fn tell(&self, finding: &mut Finding) {
        finding.count = finding.count.max(self.queries);
        // A window that has just begun has heard too few answers to judge anew.
        if self.is_tunnel() {
            finding.severity = finding.severity.max(self.severity());
        }
        input(finding, "distinct_names", self.names.len());
        input(finding, "information_bytes", self.information_bytes());
        input(finding, "queries", self.queries);
        input(finding, "data_type_queries", self.carriers);
        input(finding, "mean_name_bytes", self.mean_name_bytes());
        input(finding, "mean_answer_bytes", self.mean_answer_bytes());
        input(finding, "refused_responses", self.refused);
        input(finding, "responses_as_of_a_list", self.listed);
    }
}

impl DnsTunnel {
    pub(super) fn new(setup: &Setup<'_>) -> Self {
        let (limits, seed) = (setup.limits, setup.seed);
        Self {
            pairs: Map::new(limits.detector_entries, seed),
            names_per_pair: limits.dns_names_per_pair,
            names_max: limits.dns_names,
            names: 0,
            evicted: 0,
        }
    }

    fn on_query(
        &mut self,
        at: Timestamp,
        flow: &FlowRef,
        (dns, domain): (&Dns, Option<Registered<'_>>),
        (policy, out): (&Policy, &mut Findings),
    ) {
        let Some((domain, below)) = split(dns, domain) else { return };
        let key = (flow.originator.address, stand_in(domain));
        let per_pair = self.names_per_pair;
        let (asked, left) = self.pairs.get_or_insert_with(key, || Asked::new(at, *flow, per_pair));
        if let Some((_, left)) = left {
            self.names -= left.names.len();
            self.evicted += 1;
        }
        let Some(asked) = asked else { return };
        if at.since(asked.since) > WINDOW {
            self.names -= asked.names.len();
            let finding = asked.finding;
            *asked = Asked::new(at, *flow, per_pair);
            asked.finding = finding;
        }
        asked.queries += 1;
        asked.carriers += u64::from(name::carries_data(dns.qtype));
        if asked.names.insert(stand_in(below)) {
            self.names += 1;
            let (bytes, bits) = name::information(below);
            asked.name_bytes += bytes;
            asked.information_bits += bits;
            if asked.samples.len() < SAMPLES {
                if asked.samples.is_empty() {
                    asked.samples.reserve_exact(1);
                }
                asked.samples.push(dns.qname.clone());
            }
        }
        judge(asked, (at, flow), domain, policy, out);
        while self.names > self.names_max {
            let Some((_, left)) = self.pairs.pop_oldest() else { break };
            self.names -= left.names.len();
            self.evicted += 1;
        }
    }

    fn on_response(&mut self, client: IpAddr, (dns, domain): (&Dns, Option<Registered<'_>>)) {
        let Some((domain, _)) = split(dns, domain) else { return };
        if let Some(asked) = self.pairs.get_mut(&(client, stand_in(domain))) {
            asked.responses += 1;
            asked.refused += u64::from(dns.rcode != 0);
            asked.listed += u64::from(is_of_a_list(dns));
            asked.answer_bytes += u64::from(dns.answer_bytes);
        }
    }
}

/// Every answer is an address that means an entry of a list.
fn is_of_a_list(dns: &Dns) -> bool {
    let is_entry =
        |record: &Resource| matches!(record.data, Rdata::Address(address) if address.is_loopback());
    !dns.answer_records.is_empty() && dns.answer_records.iter().all(is_entry)
}

/// Registered domain and what stands below it; `None` for names that carry nothing or that everybody may ask.
fn split<'e>(dns: &'e Dns, domain: Option<Registered<'e>>) -> Option<(&'e str, &'e str)> {
    let domain = domain?.name;
    let below = dns.qname.strip_suffix(domain)?.strip_suffix('.')?;
    (!below.is_empty() && !known::is_harmless(&dns.qname, below)).then_some((domain, below))
}

fn judge(
    asked: &mut Asked,
    (at, flow): (Timestamp, &FlowRef),
    domain: &str,
    policy: &Policy,
    out: &mut Findings,
) {
    let claim = || asked.is_tunnel().then(|| claim(asked, (at, flow), domain, policy));
    asked.finding = out.follow(asked.finding, at, |finding| asked.tell(finding), claim);
}

fn claim(asked: &Asked, (at, flow): (Timestamp, &FlowRef), domain: &str, policy: &Policy) -> Finding {
    let client = flow.originator.address;
    let who = Who { responder: None, ..Who::of(flow, domain) };
    let mut finding = draft(Category::DnsTunnel, DnsTunnel::RULE, policy, who, (asked.since, at));
    finding.severity = asked.severity();
    finding.confidence = Confidence::from_permille(if asked.carries() { 850 } else { 600 });
    finding.title = Bilingual::new(
        &format!("DNSトンネルの疑い: {client} → {domain}"),
        &format!("Possible DNS tunnel: {client} → {domain}"),
    );
    finding.explanation = Bilingual::new(
        &format!(
            "{client} が {domain} の下の異なる名前を大量に問い合わせています。名前の中にデータを隠して外部とやり取りする\
             DNSトンネル(情報の持ち出しや遠隔操作)の可能性があります。"
        ),
        &format!(
            "{client} asks for masses of different names below {domain}: data may be hidden in the names to get it out or \
             to be controlled from outside."
        ),
    );
    finding.evidence.formula =
        "information = Σ over distinct names below the domain of bytes × log2(alphabet) ÷ 8, in one hour; with enough \
         distinct names, and record types that return data, long names or large answers (far more without those)"
            .into();
    let (names, information) = if asked.is_sure() {
        (NAMES_MIN_SURE, INFORMATION_BYTES_MIN_SURE)
    } else if asked.carries() {
        (NAMES_MIN, INFORMATION_BYTES_MIN)
    } else {
        (NAMES_MIN_PLAIN, INFORMATION_BYTES_MIN_PLAIN)
    };
    threshold(&mut finding, "distinct_names", names);
    threshold(&mut finding, "information_bytes", information);
    threshold(&mut finding, "data_type_percent", CARRIER_PERCENT);
    threshold(&mut finding, "mean_name_bytes", NAME_BYTES);
    threshold(&mut finding, "mean_answer_bytes", ANSWER_BYTES);
    let names: Vec<_> = asked.samples.iter().map(|name| (&**name).into()).collect();
    finding.evidence.inputs.insert("names_sample".into(), sekimori_wire::finding::Value::List(names));
    asked.tell(&mut finding);
    target(&mut finding, domain);
    finding.ports = vec![flow.responder.port];
    sample(&mut finding, &asked.flow);
    sample(&mut finding, flow);
    finding
}

impl Detect for DnsTunnel {
    const RULE: &'static str = "dns.tunnel/1";
    const WANTS: Kinds = Kinds::DNS;

    fn on_event(&mut self, event: &Event, scene: &Scene<'_>, out: &mut Findings) {
        let Event::Flow { at, flow, what: FlowEvent::Dns(dns) } = event else { return };
        // Who asks is the client, even if the capture began with an answer.
        let asker = if dns.from_originator == dns.is_response { flow.reversed() } else { *flow };
        // Multicast DNS (RFC 6762) asks the neighbours, and nobody outside hears it.
        if asker.responder.port == 5_353 {
            return;
        }
        if dns.is_response {
            self.on_response(asker.originator.address, (dns, scene.domain));
        } else {
            self.on_query(*at, &asker, (dns, scene.domain), (scene.policy, out));
        }
    }

    fn take_evicted(&mut self) -> u64 {
        core::mem::take(&mut self.evicted)
    }
}
