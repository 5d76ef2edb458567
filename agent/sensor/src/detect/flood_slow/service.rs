//! One web service: what it is held with, when that is an attack, and how that is said.

use core::net::IpAddr;
use std::time::Duration;

use sekimori_wire::finding::{Bilingual, Category, Confidence, Finding, Value};
use sekimori_wire::id::FindingId;
use sekimori_wire::time::Timestamp;

use super::FloodSlow;
use crate::bounded::Distinct;
use crate::detect::findings::{Findings, Who, draft, input, port, sample, threshold};
use crate::detect::flood_volume::gauge::Leader;
use crate::detect::{Detect, Scene};
use crate::event::FlowRef;

/// Unfinished requests are added up over this long.
const WINDOW: Duration = Duration::from_secs(60);
/// Unfinished requests within a window: a third of what Apache serves at once by default (150 to 256), and more than eight
/// browsers open to a host (six connections each).
const UNFINISHED_MIN: u64 = 50;
/// Of a service that is asked a lot, one request in so many must be unfinished: a bad line loses one in hundreds.
const FINISHED_FACTOR: u64 = 4;
/// Connections held at once by pieces.
const HELD_MIN: u64 = 50;
/// Flows remembered for evidence.
const SAMPLES: usize = 8;
/// Who holds so many in a hundred of the connections is the sender.
const SENDER_PERCENT: u64 = 80;

/// How a request came to no end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    /// Head or body never came to its end.
    Request,
    /// The answer was not taken.
    Read,
}

#[derive(Debug)]
pub(super) struct Service {
    /// The window's first event.
    since: Timestamp,
    requests: u64,
    reads: u64,
    finished: u64,
    /// Connections held by pieces now, and most of them ever.
    held: u64,
    most_held: u64,
    first: Timestamp,
    sources: Distinct<IpAddr>,
    source: Leader<IpAddr>,
    samples: Vec<FlowRef>,
    /// Behind the finding.
    count: u64,
    finding: Option<FindingId>,
}

impl Service {
    pub(super) const fn new(at: Timestamp, distinct: usize) -> Self {
        Self {
            since: at,
            requests: 0,
            reads: 0,
            finished: 0,
            held: 0,
            most_held: 0,
            first: at,
            sources: Distinct::new(distinct),
            source: Leader::new(),
            samples: Vec::new(),
            count: 0,
            finding: None,
        }
    }

    fn enter(&mut self, at: Timestamp) {
        if at.since(self.since) > WINDOW {
            (self.since, self.requests, self.reads, self.finished) = (at, 0, 0, 0);
            if self.held == 0 {
                (self.first, self.count, self.most_held) = (at, 0, 0);
                self.sources.clear();
                (self.source, self.finding) = (Leader::new(), None);
                self.samples.clear();
            }
        }
    }

    pub(super) fn on_finished(&mut self, at: Timestamp) {
        self.enter(at);
        self.finished += 1;
    }

    pub(super) fn on_unfinished(
        &mut self,
        at: Timestamp,
        flow: &FlowRef,
        way: Way,
        to: (&Scene<'_>, &mut Findings),
    ) {
        self.enter(at);
        match way {
            Way::Request => self.requests += 1,
            Way::Read => self.reads += 1,
        }
        self.learn(at, flow, to);
    }

    pub(super) fn on_held(&mut self, at: Timestamp, flow: &FlowRef, to: (&Scene<'_>, &mut Findings)) {
        self.enter(at);
        self.held += 1;
        self.most_held = self.most_held.max(self.held);
        self.learn(at, flow, to);
    }

    pub(super) const fn on_let_go(&mut self) {
        self.held = self.held.saturating_sub(1);
    }

    fn learn(&mut self, at: Timestamp, flow: &FlowRef, (scene, out): (&Scene<'_>, &mut Findings)) {
        self.count += 1;
        self.first = self.first.min(flow.began);
        self.sources.insert(flow.originator.address);
        self.source.count(flow.originator.address, 1);
        if self.samples.len() < SAMPLES {
            self.samples.push(*flow);
        }
        let claim = || self.is_attack().then(|| self.claim(at, flow, scene));
        self.finding = out.follow(self.finding, at, |finding| self.tell(finding), claim);
    }

    const fn is_attack(&self) -> bool {
        let unfinished = self.requests + self.reads;
        let many =
            unfinished >= UNFINISHED_MIN && unfinished.saturating_mul(FINISHED_FACTOR) >= self.finished;
        many || self.held >= HELD_MIN
    }

    fn tell(&self, finding: &mut Finding) {
        finding.count = self.count;
        input(finding, "unfinished_requests", self.requests);
        input(finding, "answers_not_taken", self.reads);
        input(finding, "finished_requests", self.finished);
        input(finding, "connections_held_in_pieces", self.most_held);
        input(finding, "distinct_sources_at_least", self.sources.len());
        let sources = self.sources.iter().take(10).map(|one| one.to_string().into()).collect();
        finding.evidence.inputs.insert("sources_sample".into(), Value::List(sources));
    }

    fn claim(&self, at: Timestamp, flow: &FlowRef, scene: &Scene<'_>) -> Finding {
        let to = flow.responder;
        let sender = self.source.with_share(SENDER_PERCENT);
        let who = Who {
            originator: sender.map(Into::into),
            responder: Some(to.address.into()),
            places: (to.address, sender.unwrap_or(flow.originator.address)),
            vlan: flow.vlan,
            what: &to.port.to_string(),
        };
        let mut finding = draft(Category::FloodSlow, FloodSlow::RULE, scene.policy, who, (self.first, at));
        finding.confidence = Confidence::from_permille(850);
        finding.title = Bilingual::new(
            &format!("低速HTTP攻撃: 標的 {}:{}", to.address, to.port),
            &format!("Slow HTTP attack: target {}:{}", to.address, to.port),
        );
        let (by_ja, by_en) = sender.map_or_else(
            || ("多数の送信元".to_owned(), "many addresses".to_owned()),
            |sender| (sender.to_string(), sender.to_string()),
        );
        finding.explanation = Bilingual::new(
            &format!(
                "{by_ja}が{}(ポート{})へ多数の接続を開き、リクエストを最後まで送らない、または応答を受け取らないまま\
                 接続を占有しています。少ない通信量でWebサーバーを使えなくする攻撃の可能性があります。",
                to.address, to.port
            ),
            &format!(
                "{by_en} opened many connections to {} (port {}) and keeps them busy by never finishing a request or never \
                 taking the answer: little traffic, but it can make a web server unusable.",
                to.address, to.port
            ),
        );
        finding.evidence.formula =
            "within 60 s: requests without end + answers not taken ≥ 50 and at least a quarter of those finished; or \
             connections on which the client sends only pieces, and gets nothing back, for 10 s ≥ 50 at once"
                .into();
        threshold(&mut finding, "unfinished", UNFINISHED_MIN);
        threshold(&mut finding, "connections_held_in_pieces", HELD_MIN);
        port(&mut finding, to.port);
        self.tell(&mut finding);
        self.samples.iter().for_each(|flow| sample(&mut finding, flow));
        finding
    }
}
