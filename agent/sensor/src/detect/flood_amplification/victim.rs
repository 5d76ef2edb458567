//! One victim: the answers it gets, whether they were aimed at it, and how that is said.

use core::net::IpAddr;

use sekimori_wire::finding::{Bilingual, Category, Confidence, Finding, Value};
use sekimori_wire::id::FindingId;
use sekimori_wire::time::Timestamp;

use super::{FloodAmplification, Via, reflectors};
use crate::bounded::Distinct;
use crate::detect::findings::{Findings, Who, draft, input, port, sample, threshold};
use crate::detect::flood_volume::gauge::{Gauge, Leader};
use crate::detect::{Detect, Scene};
use crate::event::{Endpoint, FlowRef};

/// Flows remembered for evidence.
const SAMPLES: usize = 8;
/// Ports remembered for evidence.
const PORTS: usize = 32;
/// An attack uses the answers of many: a single strange server is a misconfiguration, unless its answers are large.
const REFLECTORS_MIN: usize = 10;
/// Reflectors that need not be known services, as long as all send from one port.
const SAME_PORT_MIN: usize = 50;
/// How many in a hundred packets come from one port, or go to one.
const SAME_PORT_PERCENT: u64 = 90;
const AIMED_PERCENT: u64 = 50;
/// Mean bytes of answers that are worth reflecting: what plain DNS may answer (RFC 1035, 2.3.4) is 512 with headers above it;
/// ordinary answers of all these services are half of that.
const LARGE_BYTES: u64 = 400;

/// So many unasked answers a second are no half of ordinary traffic: a resolver of a body with 5,000 users is asked a few
/// hundred names a second and knows most of them.
const MASSES: u64 = 1_000;

/// What one event adds.
#[derive(Clone, Copy, Debug)]
pub(super) struct Share<'f> {
    pub(super) flow: &'f FlowRef,
    /// Who reflects.
    pub(super) reflector: Endpoint,
    pub(super) packets: u64,
    pub(super) answers: u64,
    /// Packets whose size is known, and their bytes.
    pub(super) sized: (u64, u64),
    /// DNS: hash of the question that is answered.
    pub(super) question: Option<u64>,
}

impl<'f> Share<'f> {
    pub(super) const fn of(flow: &'f FlowRef, reflector: Endpoint) -> Self {
        Self { flow, reflector, packets: 0, answers: 0, sized: (0, 0), question: None }
    }

    /// The victim's port.
    const fn aimed(&self) -> u16 {
        let originator = self.flow.originator;
        let reflects = originator.port == self.reflector.port && self.flow.protocol == 17;
        if reflects { self.flow.responder.port } else { originator.port }
    }
}

#[derive(Debug)]
pub(super) struct Victim {
    pub(super) gauge: Gauge,
    episode: Episode,
    finding: Option<FindingId>,
}

/// Since the bucket was empty.
#[derive(Debug)]
struct Episode {
    first: Timestamp,
    last: Timestamp,
    packets: u64,
    sized: (u64, u64),
    reflectors: Distinct<IpAddr>,
    source_port: Leader<u16>,
    source_ports: Distinct<u16>,
    aimed: Leader<u16>,
    question: Leader<u64>,
    samples: Vec<FlowRef>,
}

impl Episode {
    const fn new(at: Timestamp, distinct: usize) -> Self {
        Self {
            first: at,
            last: at,
            packets: 0,
            sized: (0, 0),
            reflectors: Distinct::new(distinct),
            source_port: Leader::new(),
            source_ports: Distinct::new(PORTS),
            aimed: Leader::new(),
            question: Leader::new(),
            samples: Vec::new(),
        }
    }

    /// Mean bytes of those packets whose size is known.
    const fn mean_bytes(&self) -> Option<u64> {
        self.sized.1.checked_div(self.sized.0)
    }
}

impl Victim {
    pub(super) const fn new(at: Timestamp, distinct: usize) -> Self {
        Self { gauge: Gauge::new(at.secs()), episode: Episode::new(at, distinct), finding: None }
    }

    /// The bucket is empty: what comes now is something new.
    pub(super) fn restart(&mut self, at: Timestamp, distinct: usize) {
        if self.episode.packets > 0 || self.finding.is_some() {
            (self.episode, self.finding) = (Episode::new(at, distinct), None);
        }
    }

    pub(super) fn count(&mut self, at: Timestamp, share: &Share<'_>) {
        self.gauge.count(share.packets, share.answers);
        let episode = &mut self.episode;
        episode.sized.0 = episode.sized.0.saturating_add(share.sized.0);
        episode.sized.1 = episode.sized.1.saturating_add(share.sized.1);
        if let Some(question) = share.question {
            episode.question.count(question, 1);
        }
        if share.packets == 0 {
            return;
        }
        episode.last = at;
        episode.packets = episode.packets.saturating_add(share.packets);
        episode.reflectors.insert(share.reflector.address);
        episode.source_port.count(share.reflector.port, share.packets);
        episode.source_ports.insert(share.reflector.port);
        episode.aimed.count(share.aimed(), share.packets);
        if episode.samples.len() < SAMPLES {
            episode.samples.push(*share.flow);
        }
    }

    /// The bucket is over: opens a finding if this is an attack, or lets it grow.
    pub(super) fn judge(&mut self, key: (IpAddr, Via), scene: &Scene<'_>, out: &mut Findings) {
        let claim = || self.is_attack(key.1).then(|| self.claim(key, scene));
        self.finding = out.follow(self.finding, self.episode.last, |finding| self.tell(finding), claim);
    }

    fn is_attack(&self, via: Via) -> bool {
        let episode = &self.episode;
        let reflectors = episode.reflectors.len();
        let large = episode.mean_bytes().is_some_and(|bytes| bytes >= LARGE_BYTES);
        match via {
            // The answers to a host's own questions, where the capture lacks those, are small, go to ever other ports and answer
            // ever other questions; and a single server may be the other end of a tunnel.
            Via::Known | Via::Discovery => {
                let aimed = episode.aimed.with_share(AIMED_PERCENT).is_some();
                let same = aimed || episode.question.with_share(AIMED_PERCENT).is_some();
                let many = reflectors >= REFLECTORS_MIN;
                let one_service = episode.source_port.with_share(AIMED_PERCENT);
                let tunnel = one_service.is_some_and(reflectors::carries_streams);
                many && (large || same || self.gauge.peak() >= MASSES) || large && !tunnel
            }
            Via::SamePort => {
                reflectors >= SAME_PORT_MIN && episode.source_port.with_share(SAME_PORT_PERCENT).is_some()
            }
            Via::SynAck => reflectors >= REFLECTORS_MIN || self.gauge.peak() >= MASSES,
        }
    }

    fn tell(&self, finding: &mut Finding) {
        let episode = &self.episode;
        finding.count = episode.packets;
        input(finding, "answers_without_question", episode.packets);
        input(finding, "most_in_one_second", self.gauge.peak());
        input(finding, "bucket", self.gauge.level());
        input(finding, "distinct_reflectors_at_least", episode.reflectors.len());
        if let Some(bytes) = episode.mean_bytes() {
            input(finding, "mean_bytes", bytes);
        }
        let reflectors = episode.reflectors.iter().take(10).map(|one| one.to_string().into()).collect();
        finding.evidence.inputs.insert("reflectors_sample".into(), Value::List(reflectors));
        episode.source_ports.iter().for_each(|one| port(finding, *one));
    }

    /// What reflects, if it is one service.
    fn service(&self, via: Via) -> (String, String) {
        let port = self.episode.source_port.with_share(AIMED_PERCENT);
        match (via, port) {
            (Via::SynAck, _) => ("TCP(SYN-ACK)".to_owned(), "TCP (SYN-ACK)".to_owned()),
            (_, Some(port)) => {
                let name = reflectors::name(port).map_or_else(|| format!("UDP {port}"), ToOwned::to_owned);
                (name.clone(), name)
            }
            (_, None) => ("複数のサービス".to_owned(), "several services".to_owned()),
        }
    }

    fn claim(&self, (to, via): (IpAddr, Via), scene: &Scene<'_>) -> Finding {
        let only = self.episode.samples.first().filter(|_| self.episode.reflectors.len() == 1);
        let reflector = only.map(|flow| if via == Via::SynAck { flow.responder } else { flow.originator });
        let who = Who {
            originator: reflector.map(|end| end.address.into()),
            responder: Some(to.into()),
            places: (to, self.episode.reflectors.iter().next().copied().unwrap_or(to)),
            vlan: self.episode.samples.first().and_then(|flow| flow.vlan),
            what: via.name(),
        };
        let span = (self.episode.first, self.episode.last);
        let mut finding =
            draft(Category::FloodAmplification, FloodAmplification::RULE, scene.policy, who, span);
        finding.confidence = Confidence::from_permille(850);
        let (service_ja, service_en) = self.service(via);
        let (reflectors, rate) = (self.episode.reflectors.len(), self.gauge.peak());
        finding.title = Bilingual::new(
            &format!("リフレクション(増幅)攻撃: 標的 {to}({service_ja})"),
            &format!("Reflection attack: target {to} ({service_en})"),
        );
        finding.explanation = Bilingual::new(
            &format!(
                "{to}が問い合わせていない{service_ja}の応答が、{reflectors}台以上から毎秒最大{rate}件届いています。\
                 送信元を{to}と偽った問い合わせにより、無関係なサーバーに応答を送りつけさせる攻撃です。\
                 (監視点が通信の片方向しか見ていない場合は、通常の応答の可能性もあります。)"
            ),
            &format!(
                "{to} receives up to {rate} answers of {service_en} a second from {reflectors} or more hosts and was not seen \
                 to ask: somebody asks in its name so that strangers' servers flood it. (If the sensor sees only one \
                 direction of the traffic, these may be ordinary answers.)"
            ),
        );
        finding.evidence.formula =
            "per second: level = max(0, level + answers without question − 50 × packets back − granted), granted = max(floor, \
             3 × learned rate); alarm at level > 3 × granted, and many reflectors with one port or large answers"
                .into();
        threshold(&mut finding, "floor_a_second", via.floor());
        threshold(&mut finding, "bucket", Gauge::alarm_level(via.floor()));
        threshold(
            &mut finding,
            "reflectors",
            if via == Via::SamePort { SAME_PORT_MIN } else { REFLECTORS_MIN },
        );
        threshold(&mut finding, "mean_bytes", LARGE_BYTES);
        self.tell(&mut finding);
        self.episode.samples.iter().for_each(|flow| sample(&mut finding, flow));
        finding
    }
}

impl Via {
    const fn name(self) -> &'static str {
        match self {
            Self::Known => "known",
            Self::Discovery => "discovery",
            Self::SamePort => "same port",
            Self::SynAck => "SYN-ACK",
        }
    }
}
