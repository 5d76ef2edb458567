//! `scan.web`: many paths of a web server that do not exist, or a scanner's own name.
//!
//! For each client, server and site: distinct paths by how the server answered. A scan asks for what is not there, so
//! most of its paths fail; who follows links mostly finds. Requests with a `Referer` are not counted as failed: the page
//! that names them is to blame. Methods of `WebDAV` are left out, whose clients look for hidden files in every folder. Seen
//! without answers, or where every path is answered with a redirection, it takes many more paths.

mod agents;

use core::net::IpAddr;
use std::time::Duration;

use sekimori_wire::finding::{Bilingual, Category, Confidence, Finding, Severity};
use sekimori_wire::id::FindingId;
use sekimori_wire::time::Timestamp;

use crate::bounded::{Distinct, Map, stand_in};
use crate::detect::findings::{Findings, Who, draft, input, port, sample, threshold};
use crate::detect::{Detect, Kinds, Scene, Setup, Sieve};
use crate::event::http::{Request, value};
use crate::event::{Endpoint, Event, FlowEvent, FlowRef, HttpExchange, Transaction};
use crate::segment::Policy;

/// Distinct paths that failed. `CrowdSec`'s http-probing alarms above 10; a broken page can have as many dead parts.
const FAILED_MIN: usize = 20;
/// At least this share of the distinct paths failed.
const FAILED_PERCENT: usize = 50;
/// Distinct paths without a good answer, where answers are not seen or every path is redirected.
const UNSURE_MIN: usize = 100;
/// Of those, at most one in so many was answered well.
const UNSURE_PER_GOOD: usize = 10;
/// Requests that carry a scanner's name; one or two may be somebody trying out a header.
const NAMED_MIN: u64 = 3;
/// Paths are remembered for this long after the last one.
const MEMORY: Duration = Duration::from_secs(10 * 60);
/// Without a finding a site's counts begin anew after this long: dead links of a day's work would add up.
const UNDECIDED: Duration = Duration::from_secs(20 * 60);
/// Methods that ask for a page (RFC 9110), or that nobody uses but who looks for weaknesses.
const METHODS: [&str; 8] = ["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "TRACE", "PATCH"];
/// Names of clients remembered with what they tell.
const AGENTS_MAX: usize = 256;
/// Flows remembered for evidence.
const SAMPLES: usize = 8;

/// State: what each client asked each site.
#[derive(Debug)]
pub(super) struct ScanWeb {
    sites: Map<Key, Asked>,
    newcomers: Sieve<Key, u64>,
    /// What the last clients' names told, by what stands for them: the same few come again and again.
    agents: Map<u64, Option<&'static str>>,
    distinct: usize,
    evicted: u64,
}

/// Client, server, hash of the `Host` field.
type Key = (IpAddr, Endpoint, u64);

#[derive(Debug)]
struct Asked {
    first: Timestamp,
    last: Timestamp,
    failed: Distinct<u64>,
    redirected: Distinct<u64>,
    silent: Distinct<u64>,
    good: Distinct<u64>,
    /// Requests of all kinds.
    requests: u64,
    /// Requests with a scanner's name, and which.
    named: (u64, Option<&'static str>),
    samples: Vec<FlowRef>,
    finding: Option<FindingId>,
}

/// How a path was answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Answer {
    Good,
    /// 400, 403, 404 and the like. 401 and 407 ask for a password: other detectors count those.
    Failed,
    Redirected,
    Silent,
}

fn answer(exchange: &HttpExchange, request: &Request) -> Answer {
    let Some(response) = &exchange.response else { return Answer::Silent };
    match response.status.parse::<u16>() {
        Ok(400 | 403..=406 | 410 | 414 | 500 | 501) if value(&request.fields, "referer").is_none() => {
            Answer::Failed
        }
        Ok(301 | 302 | 303 | 307 | 308) => Answer::Redirected,
        Ok(_) | Err(_) => Answer::Good,
    }
}

impl ScanWeb {
    pub(super) fn new(setup: &Setup<'_>) -> Self {
        let (limits, seed) = (setup.limits, setup.seed);
        Self {
            sites: Map::new(limits.detector_entries, seed),
            newcomers: Sieve::new(limits.detector_entries, seed),
            agents: Map::new(AGENTS_MAX, setup.seed),
            distinct: limits.distinct_per_entry,
            evicted: 0,
        }
    }

    /// The state of a site that was asked for two paths or more, or by a scanner's name.
    fn asked(&mut self, at: Timestamp, key: Key, path: u64, is_named: bool) -> Option<&mut Asked> {
        let is_old = |one: &Asked| {
            at.since(one.last) > MEMORY || (one.finding.is_none() && at.since(one.first) > UNDECIDED)
        };
        if self.sites.peek(&key).is_some_and(is_old) {
            self.sites.remove(&key);
        }
        if self.sites.peek(&key).is_none() {
            // The first path is lost to the counts, which is one of twenty.
            let passed = self.newcomers.pass(key, path, |a, b| a == b).is_some();
            if !passed && !is_named {
                return None;
            }
            let fresh = Asked::new(self.distinct, at);
            self.evicted += u64::from(self.sites.insert(key, fresh).is_some());
        }
        self.sites.get_mut(&key)
    }

    fn scanner(&mut self, agent: &str) -> Option<&'static str> {
        let (known, _left) = self.agents.get_or_insert_with(stand_in(agent), || agents::scanner(agent));
        known.copied().flatten()
    }

    fn take(
        &mut self,
        (at, flow): (Timestamp, &FlowRef),
        exchange: &HttpExchange,
        request: &Request,
        (policy, out): (&Policy, &mut Findings),
    ) {
        let ends = (flow.originator, flow.responder);
        let (client, server) = if exchange.from_originator { ends } else { (ends.1, ends.0) };
        let path = request.target.split(['?', '#']).next().unwrap_or_default();
        let host = value(&request.fields, "host").unwrap_or_default();
        let agent = value(&request.fields, "user-agent").and_then(|agent| self.scanner(agent));
        let path = stand_in(path);
        let key = (client.address, server, stand_in(host));
        let Some(asked) = self.asked(at, key, path, agent.is_some()) else { return };
        asked.learn(at, flow, (path, answer(exchange, request), agent));
        let claim = || asked.is_scan().then(|| asked.claim(at, (client, server), (flow, policy)));
        asked.finding = out.follow(asked.finding, at, |finding| asked.tell(finding), claim);
    }
}

impl Asked {
    const fn new(distinct: usize, first: Timestamp) -> Self {
        Self {
            first,
            last: first,
            failed: Distinct::new(distinct),
            redirected: Distinct::new(distinct),
            silent: Distinct::new(distinct),
            good: Distinct::new(distinct),
            requests: 0,
            named: (0, None),
            samples: Vec::new(),
            finding: None,
        }
    }

    fn learn(
        &mut self,
        at: Timestamp,
        flow: &FlowRef,
        (path, answer, agent): (u64, Answer, Option<&'static str>),
    ) {
        self.last = at;
        self.requests += 1;
        if agent.is_some() {
            self.named = (self.named.0 + 1, agent);
        }
        let set = match answer {
            Answer::Good => &mut self.good,
            Answer::Failed => &mut self.failed,
            Answer::Redirected => &mut self.redirected,
            Answer::Silent => &mut self.silent,
        };
        let new = set.insert(path);
        if (agent.is_some() || (new && answer != Answer::Good)) && self.samples.len() < SAMPLES {
            self.samples.push(*flow);
        }
    }

    fn is_scan(&self) -> bool {
        let (failed, good) = (self.failed.len(), self.good.len());
        let others = self.redirected.len() + self.silent.len();
        let paths = failed + good + others;
        let unsure = failed + others;
        let by_failures = failed >= FAILED_MIN && failed * 100 >= paths * FAILED_PERCENT;
        by_failures || (unsure >= UNSURE_MIN && unsure >= good * UNSURE_PER_GOOD) || self.named.0 >= NAMED_MIN
    }

    fn tell(&self, finding: &mut Finding) {
        finding.count = self.requests;
        input(finding, "failed_paths", self.failed.len());
        input(finding, "found_paths", self.good.len());
        input(finding, "redirected_paths", self.redirected.len());
        input(finding, "unanswered_paths", self.silent.len());
        input(finding, "requests_with_a_scanners_name", self.named.0);
        if let Some(name) = self.named.1 {
            input(finding, "scanner", name);
        }
        self.samples.iter().for_each(|flow| sample(finding, flow));
    }

    fn claim(
        &self,
        at: Timestamp,
        (client, server): (Endpoint, Endpoint),
        (flow, policy): (&FlowRef, &Policy),
    ) -> Finding {
        let who = Who {
            originator: Some(client.address.into()),
            responder: Some(server.address.into()),
            places: (client.address, server.address),
            vlan: flow.vlan,
            what: "web",
        };
        let mut finding = draft(Category::ScanWeb, ScanWeb::RULE, policy, who, (self.first, at));
        let (source, target, number) = (client.address, server.address, server.port);
        finding.severity = if policy.is_inside(source) { Severity::MEDIUM } else { Severity::LOW };
        finding.confidence = Confidence::from_permille(if self.named.0 >= NAMED_MIN { 950 } else { 800 });
        finding.title = Bilingual::new(
            &format!("Webサイトの探索: {source} → {target}:{number}"),
            &format!("Web scan: {source} → {target}:{number}"),
        );
        finding.explanation = Bilingual::new(
            &format!(
                "{source} が {target} のWebサイトで、存在しないページや公開されていないページを次々と要求しました。\
                 弱点や隠れた管理画面を探す下調べの可能性があります。"
            ),
            &format!(
                "{source} asked the web site on {target} for one page after another that is not there or not public: it \
                 looks for weak spots or hidden administration pages."
            ),
        );
        finding.evidence.formula =
            "distinct paths that failed and their share of all distinct paths; or many paths without a good answer; or \
             requests that carry a scanner's name"
                .into();
        threshold(&mut finding, "failed_paths", FAILED_MIN);
        threshold(&mut finding, "failed_percent", FAILED_PERCENT);
        threshold(&mut finding, "paths_without_good_answer", UNSURE_MIN);
        threshold(&mut finding, "requests_with_a_scanners_name", NAMED_MIN);
        port(&mut finding, number);
        self.tell(&mut finding);
        finding
    }
}

impl Detect for ScanWeb {
    const RULE: &'static str = "scan.web/1";
    const WANTS: Kinds = Kinds::TRANSACTION;

    fn on_event(&mut self, event: &Event, scene: &Scene<'_>, out: &mut Findings) {
        let Event::Flow { at, flow, what: FlowEvent::Transaction(one) } = event else { return };
        let Transaction::Http(exchange) = &**one else { return };
        if let Some(request) = exchange.request.as_ref()
            && METHODS.contains(&&*request.method)
        {
            self.take((*at, flow), exchange, request, (scene.policy, out));
        }
    }

    fn take_evicted(&mut self) -> u64 {
        core::mem::take(&mut self.evicted)
    }
}
