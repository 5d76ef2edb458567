//! HTTP requests that a program makes: the same few paths again and again, or check-ins in no rhythm.

use core::net::IpAddr;
use std::time::Duration;

use sekimori_wire::finding::{Finding, Severity};
use sekimori_wire::id::FindingId;
use sekimori_wire::time::Timestamp;

use super::claim::{Claim, Kind, tell};
use super::known::{Known, Prevalence};
use super::request::{Agents, Facts, host};
use super::series::Series;
use super::services::{is_odd, is_service};
use super::signs::{Sign, Signs};
use crate::bounded::{Distinct, Map};
use crate::detect::dns_dga::looks_generated;
use crate::detect::findings::{Findings, sample};
use crate::detect::{Scene, Setup};
use crate::domain::registered_domain;
use crate::event::Application;
use crate::event::http::Request;
use crate::event::{FlowRef, HttpExchange};

/// Requests that are polling ...
const POLLS_MIN: u64 = 10;
/// ... if they go on for this long, ...
const POLLS_SPAN: Duration = Duration::from_secs(60);
/// ... and each path is asked this often in the mean.
const POLLS_PER_PATH: u64 = 4;
/// Paths remembered for a server.
const PATHS: usize = 16;
/// Requests before check-ins are spoken of.
const CHECK_INS_MIN: u64 = 3;
/// Signs that they take.
const SIGNS_MIN: u32 = 3;
/// Among inside hosts, where programs talk to programs by bare addresses and odd ports, or where a server has no name.
const SIGNS_GRAVE: u32 = 4;
/// A share of requests that counts as all: a few may be cut.
const NEARLY_ALL_PERCENT: u64 = 80;
/// The timing of requests that are regular, as Cobalt Strike's are with its full jitter.
const TIMING_MIN: f64 = 0.75;

/// State by client and server.
#[derive(Debug)]
pub(super) struct Polls {
    pairs: Map<(IpAddr, IpAddr, u16), Asked>,
    agents: Agents,
    pub(super) evicted: u64,
}

#[derive(Debug)]
struct Asked {
    series: Series,
    paths: Distinct<u64>,
    /// Different sets of parameter names.
    keys: Distinct<u64>,
    posts: u64,
    led: u64,
    services: u64,
    false_browser: u64,
    script: u64,
    identifiers: u64,
    bare: bool,
    generated: bool,
    finding: Option<FindingId>,
}

impl Polls {
    pub(super) fn new(setup: &Setup<'_>) -> Self {
        Self {
            pairs: Map::new(setup.limits.detector_entries / 4, setup.seed),
            agents: Agents::new(setup.seed),
            evicted: 0,
        }
    }

    pub(super) fn on_exchange(
        &mut self,
        at: Timestamp,
        (flow, exchange): (&FlowRef, &HttpExchange),
        known: &mut Known,
        (scene, out): (&Scene<'_>, &mut Findings),
    ) {
        let Some(request) = &exchange.request else { return };
        let flow = if exchange.from_originator { *flow } else { flow.reversed() };
        let (client, server) = (flow.originator.address, flow.responder.address);
        let inbound = !scene.policy.is_inside(client) && scene.policy.is_inside(server);
        if inbound || is_service(flow.responder.port) {
            return;
        }
        known.on_contact(client, server, false);
        let began = exchange.began;
        let (asked, left) =
            self.pairs.get_or_insert_with((client, server, flow.responder.port), || Asked::new(began));
        self.evicted += u64::from(left.is_some());
        if let Some(asked) = asked {
            asked.add(began, request, &mut self.agents);
            asked.judge(at, &flow, known, (scene, out));
        }
    }
}

impl Asked {
    const fn new(at: Timestamp) -> Self {
        Self {
            series: Series::new(at),
            paths: Distinct::new(PATHS),
            keys: Distinct::new(PATHS),
            posts: 0,
            led: 0,
            services: 0,
            false_browser: 0,
            script: 0,
            identifiers: 0,
            bare: false,
            generated: false,
            finding: None,
        }
    }

    fn add(&mut self, at: Timestamp, request: &Request, agents: &mut Agents) {
        let facts = Facts::of(request, agents);
        self.series
            .push(at, request.body.bytes.saturating_add(u64::try_from(request.target.len()).unwrap_or(0)));
        self.paths.insert(facts.path);
        if facts.keys != 0 {
            self.keys.insert(facts.keys);
        }
        self.posts += u64::from(facts.posts);
        self.led += u64::from(facts.led);
        self.services += u64::from(facts.service);
        self.false_browser += u64::from(facts.false_browser);
        self.script += u64::from(facts.script);
        self.identifiers += u64::from(facts.identifiers);
        if let Some(name) = host(&request.fields) {
            self.bare |= name.parse::<IpAddr>().is_ok();
            self.generated |= registered_domain(name).is_some_and(looks_generated);
        }
    }

    fn judge(
        &mut self,
        at: Timestamp,
        flow: &FlowRef,
        known: &Known,
        (scene, out): (&Scene<'_>, &mut Findings),
    ) {
        let count = self.series.count;
        // Where pages lead to requests somebody browses; web services are asked by programs by design.
        let programs = count >= CHECK_INS_MIN && self.led * 10 <= count && self.services * 2 <= count;
        let polling = programs
            && count >= POLLS_MIN
            && self.series.span() >= POLLS_SPAN
            && !self.paths.is_full()
            && self.paths.len() as u64 * POLLS_PER_PATH <= count;
        let score = if polling { self.series.score() } else { None };
        let regular = score.is_some_and(|score| score.timing >= TIMING_MIN);
        let signs = self.signs(flow, (polling, regular));
        let severity = if programs { severity(signs, flow, known, scene) } else { None };
        let what = if severity.is_some() { format!("http {}", flow.responder.port) } else { String::new() };
        let claim = severity.map(|severity| Claim {
            kind: if polling { Kind::Polls } else { Kind::CheckIns },
            flow,
            what: &what,
            first: self.series.first(),
            now: at,
            count,
            severity,
            signs,
            score: score.filter(|_| regular),
        });
        let change = |finding: &mut Finding| {
            tell(finding, count, score.filter(|_| regular));
            sample(finding, flow);
            claim.iter().for_each(|claim| claim.raise(finding));
        };
        let fresh = || claim.as_ref().map(|claim| claim.finding(scene.policy));
        self.finding = out.follow(self.finding, at, change, fresh);
    }

    fn signs(&self, flow: &FlowRef, (polling, regular): (bool, bool)) -> Signs {
        let count = self.series.count;
        let nearly_all = |number: u64| number * 100 >= count * NEARLY_ALL_PERCENT;
        let mut signs = Signs::default();
        signs.add_if(Sign::Polling, polling);
        signs.add_if(Sign::Regular, regular);
        signs.add_if(Sign::BareAddress, self.bare);
        signs.add_if(Sign::OddPort, is_odd(Application::Http, flow));
        signs.add_if(Sign::Posts, self.posts >= 2 && nearly_all(self.posts));
        signs.add_if(Sign::FalseBrowser, nearly_all(self.false_browser));
        signs.add_if(Sign::Script, nearly_all(self.script));
        signs.add_if(Sign::GeneratedName, self.generated);
        signs.add_if(Sign::Identifiers, self.identifiers > 0);
        let varying = self.paths.len() == 1 && self.keys.len() as u64 * 100 >= count * NEARLY_ALL_PERCENT;
        signs.add_if(Sign::VaryingKeys, varying && self.keys.len() > 1);
        signs
    }
}

/// How grave; none if nothing is worth saying.
fn severity(signs: Signs, flow: &FlowRef, known: &Known, scene: &Scene<'_>) -> Option<Severity> {
    let count = signs.count();
    if count < SIGNS_MIN {
        return None;
    }
    let target = flow.responder.address;
    if scene.policy.is_inside(target) {
        // Monitoring polls all day; it does not lie about being a browser, nor send data to where no web server is expected.
        let lies = signs.has(Sign::FalseBrowser);
        let sends = signs.has(Sign::OddPort) && signs.has(Sign::Posts);
        let grave = lies && count >= SIGNS_GRAVE;
        let told = signs.has(Sign::Polling) && (lies || sends);
        return told.then_some(if grave { Severity::MEDIUM } else { Severity::LOW });
    }
    if known.prevalence(target) == Prevalence::Common {
        return None;
    }
    let named_oddly = signs.has(Sign::BareAddress) || signs.has(Sign::GeneratedName);
    let behaves_oddly = signs.has(Sign::Polling) || signs.has(Sign::FalseBrowser);
    let grave = named_oddly && behaves_oddly && count >= SIGNS_GRAVE;
    Some(if grave { Severity::HIGH } else { Severity::LOW })
}
