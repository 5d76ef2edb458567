//! One destination: what it receives, whether that is a flood, and how that is said.

use core::net::IpAddr;

use sekimori_wire::finding::{Bilingual, Category, Confidence, Finding, Severity, Value};
use sekimori_wire::id::FindingId;
use sekimori_wire::time::Timestamp;

use super::gauge::{Gauge, Leader};
use super::{Kind, pair};
use crate::bounded::{Distinct, Map, stand_in};
use crate::detect::findings::{Findings, Who, draft, input, port, sample, threshold};
use crate::detect::flood_volume::FloodVolume;
use crate::detect::{Detect, Scene};
use crate::event::FlowRef;

/// Flows remembered for evidence.
const SAMPLES: usize = 8;
/// Ports remembered for evidence.
const PORTS: usize = 32;
/// Who sent so much of it is its sender; otherwise the sources are many or forged.
const SENDER_PERCENT: u64 = 80;
/// UDP between hosts that are in conversation, with so many packets to a flow, is a stream (cameras, telephony, IPTV) unless it
/// is more than `FastNetMon`'s default for a whole host, 1,000 Mbit/s, in units of 500 bytes.
const STREAM_PACKETS_MIN: u64 = 50;
const STREAM_PEAK: u64 = 250_000;
/// UDP that one way is all there is to it: syslog, SNMP traps, NetFlow, sFlow and IPFIX (IANA's registry).
const EXPORTS: [u16; 7] = [162, 514, 2_055, 4_739, 6_343, 9_995, 9_996];
/// What a collector of those may be sent a second: ten times what others may.
const EXPORT_PEAK: u64 = 5_000;
/// Segments of so many connections that never began are a flood of their own; of fewer, it takes what no acknowledging client
/// sends: acknowledgements of a download at 50 Mbit/s, seen without the download, are 2,000 a second.
const STRAYS_MIN: u64 = 200;
const FEW_STRAYS_PEAK: u64 = 2_500;
/// Datagrams that come from so many hosts and nearly all from one port were reflected.
const REFLECTED_SOURCES: usize = 50;
const REFLECTED_PERCENT: u64 = 90;
/// Requests that flood ask for one thing; a browser, a crawler or a crowd asks for all of a page.
const SAME_PATH_PERCENT: u64 = 80;
/// Requests before anything is claimed: a page with all its parts, and the next one.
const REQUESTS_MIN: u64 = 500;
/// Connections before anything is claimed: five seconds of the floor.
const CONNECTIONS_MIN: u64 = 1_000;
/// Echo requests below this are a nuisance: ntopng's threshold.
const ECHO_SEVERE: u64 = 250;

/// What one event adds.
#[derive(Clone, Debug, Default)]
pub(super) struct Share {
    pub(super) packets: u64,
    /// Packets, long ones more than once: what the bucket measures.
    pub(super) units: u64,
    pub(super) answers: u64,
    pub(super) bytes: u64,
    pub(super) flows: u64,
    /// HTTP: of the request.
    pub(super) path: Option<Box<str>>,
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
    total: Share,
    sources: Distinct<IpAddr>,
    source: Leader<IpAddr>,
    source_port: Leader<u16>,
    port: Leader<u16>,
    ports: Distinct<u16>,
    path: Leader<u64>,
    samples: Vec<FlowRef>,
}

impl Episode {
    const fn new(at: Timestamp, distinct: usize) -> Self {
        Self {
            first: at,
            last: at,
            total: Share { packets: 0, units: 0, answers: 0, bytes: 0, flows: 0, path: None },
            sources: Distinct::new(distinct),
            source: Leader::new(),
            source_port: Leader::new(),
            port: Leader::new(),
            ports: Distinct::new(PORTS),
            path: Leader::new(),
            samples: Vec::new(),
        }
    }
}

impl Victim {
    pub(super) const fn new(at: Timestamp, distinct: usize) -> Self {
        Self { gauge: Gauge::new(at.secs()), episode: Episode::new(at, distinct), finding: None }
    }

    /// The bucket is empty: what comes now is something new.
    pub(super) fn restart(&mut self, at: Timestamp, distinct: usize) {
        if self.episode.total.packets > 0 || self.finding.is_some() {
            (self.episode, self.finding) = (Episode::new(at, distinct), None);
        }
    }

    pub(super) fn count(&mut self, at: Timestamp, flow: &FlowRef, share: Share) {
        self.gauge.count(share.units, share.answers);
        let episode = &mut self.episode;
        let total = &mut episode.total;
        total.answers = total.answers.saturating_add(share.answers);
        total.bytes = total.bytes.saturating_add(share.bytes);
        if share.packets == 0 {
            return;
        }
        episode.last = at;
        total.packets = total.packets.saturating_add(share.packets);
        total.flows = total.flows.saturating_add(share.flows);
        episode.sources.insert(flow.originator.address);
        episode.source.count(flow.originator.address, share.packets);
        episode.source_port.count(flow.originator.port, share.packets);
        episode.port.count(flow.responder.port, share.packets);
        episode.ports.insert(flow.responder.port);
        if let Some(path) = share.path {
            episode.path.count(stand_in(&path), share.packets);
        }
        if episode.samples.len() < SAMPLES {
            episode.samples.push(*flow);
        }
    }

    /// The bucket is over: opens a finding if this is a flood, or lets it grow.
    pub(super) fn judge(
        &mut self,
        key: (IpAddr, Kind),
        talks: &Map<(IpAddr, IpAddr), ()>,
        scene: &Scene<'_>,
        out: &mut Findings,
    ) {
        let claim = || self.is_flood(key, talks).then(|| self.claim(key, scene));
        self.finding =
            out.follow(self.finding, self.episode.last, |finding| self.tell(key.1, finding), claim);
    }

    fn is_flood(&self, (to, kind): (IpAddr, Kind), talks: &Map<(IpAddr, IpAddr), ()>) -> bool {
        let (episode, peak) = (&self.episode, self.gauge.peak());
        match kind {
            Kind::Echo | Kind::Icmp | Kind::Other => true,
            Kind::Udp => {
                let reflected = episode.sources.len() >= REFLECTED_SOURCES
                    && episode.source_port.with_share(REFLECTED_PERCENT).is_some();
                let talking = episode
                    .samples
                    .iter()
                    .all(|flow| talks.peek(&pair(flow.originator.address, to)).is_some());
                let few = episode.total.flows.saturating_mul(STREAM_PACKETS_MIN) <= episode.total.packets;
                let exported =
                    episode.port.with_share(SENDER_PERCENT).is_some_and(|port| EXPORTS.contains(&port));
                !reflected && (!(talking && few) || peak >= STREAM_PEAK) && (!exported || peak >= EXPORT_PEAK)
            }
            Kind::Tcp => episode.total.flows >= STRAYS_MIN || peak >= FEW_STRAYS_PEAK,
            Kind::Connect => {
                episode.total.packets >= CONNECTIONS_MIN
                    && episode.source.with_share(SENDER_PERCENT).is_some()
            }
            Kind::Http => {
                episode.total.packets >= REQUESTS_MIN && episode.path.with_share(SAME_PATH_PERCENT).is_some()
            }
        }
    }

    fn tell(&self, kind: Kind, finding: &mut Finding) {
        let (total, gauge) = (&self.episode.total, &self.gauge);
        finding.count = total.packets;
        let counted = match kind {
            Kind::Http => "requests",
            Kind::Connect => "connections",
            Kind::Echo | Kind::Icmp | Kind::Udp | Kind::Tcp | Kind::Other => "packets",
        };
        input(finding, counted, total.packets);
        input(finding, "most_in_one_second", gauge.peak());
        input(finding, "bucket", gauge.level());
        input(finding, "answers", total.answers);
        if counted == "packets" {
            input(finding, "bytes_at_least", total.bytes);
        }
        input(finding, "distinct_sources_at_least", self.episode.sources.len());
        let sources = self.episode.sources.iter().take(10).map(|one| one.to_string().into()).collect();
        finding.evidence.inputs.insert("sources_sample".into(), Value::List(sources));
        if matches!(kind, Kind::Udp | Kind::Tcp | Kind::Connect | Kind::Http) {
            self.episode.ports.iter().for_each(|one| port(finding, *one));
        }
    }

    fn severity(&self, kind: Kind, sender: Option<IpAddr>, to: IpAddr, scene: &Scene<'_>) -> Severity {
        let inside =
            sender.is_some_and(|sender| scene.policy.is_inside(sender)) && scene.policy.is_inside(to);
        match kind {
            // Between our own hosts this is how programs speak with each other: an application and its search engine.
            Kind::Http if inside => Severity::LOW,
            Kind::Http | Kind::Connect => Severity::MEDIUM,
            Kind::Echo if self.gauge.peak() < ECHO_SEVERE => Severity::MEDIUM,
            Kind::Echo | Kind::Icmp | Kind::Udp | Kind::Tcp | Kind::Other => Severity::HIGH,
        }
    }

    fn claim(&self, (to, kind): (IpAddr, Kind), scene: &Scene<'_>) -> Finding {
        let sender = self.episode.source.with_share(SENDER_PERCENT);
        let who = Who {
            originator: sender.map(Into::into),
            responder: Some(to.into()),
            places: (to, sender.unwrap_or(to)),
            vlan: self.episode.samples.first().and_then(|flow| flow.vlan),
            what: kind.name_en(),
        };
        let span = (self.episode.first, self.episode.last);
        let mut finding = draft(Category::FloodVolume, FloodVolume::RULE, scene.policy, who, span);
        finding.severity = self.severity(kind, sender, to, scene);
        finding.confidence =
            Confidence::from_permille(if self.episode.total.answers == 0 { 900 } else { 800 });
        let (name_ja, name_en) = (kind.name_ja(), kind.name_en());
        finding.title = Bilingual::new(
            &format!("{name_ja}フラッド: 標的 {to}"),
            &format!("Flood of {name_en}: target {to}"),
        );
        let (by_ja, by_en) = sender.map_or_else(
            || ("多数の送信元(詐称の可能性あり)".to_owned(), "many addresses, perhaps forged,".to_owned()),
            |sender| (sender.to_string(), sender.to_string()),
        );
        let rate = self.gauge.peak();
        finding.explanation = Bilingual::new(
            &format!(
                "{by_ja}から{to}へ、{name_ja}が毎秒最大{rate}件届き続けています。通常の利用では見られない量で、\
                 回線やサーバーを使えなくする攻撃の可能性があります。"
            ),
            &format!(
                "{by_en} sent {to} up to {rate} {name_en} a second: far more than ordinary use, and enough to make a line or \
                 a server unusable."
            ),
        );
        finding.evidence.formula =
            "per second: level = max(0, level + packets (long ones more than once) − 50 × answers − granted), granted = max(floor, 3 × learned rate); \
             alarm at level > 3 × granted"
                .into();
        threshold(&mut finding, "floor_a_second", kind.floor());
        threshold(&mut finding, "bucket", Gauge::alarm_level(kind.floor()));
        self.tell(kind, &mut finding);
        self.episode.samples.iter().for_each(|flow| sample(&mut finding, flow));
        finding
    }
}

impl Kind {
    const fn name_en(self) -> &'static str {
        match self {
            Self::Echo => "ICMP echo requests",
            Self::Icmp => "ICMP messages",
            Self::Udp => "UDP datagrams",
            Self::Tcp => "TCP segments without connection",
            Self::Other => "IP packets",
            Self::Connect => "TCP connections",
            Self::Http => "HTTP requests",
        }
    }

    const fn name_ja(self) -> &'static str {
        match self {
            Self::Echo => "ICMPエコー要求(ping)",
            Self::Icmp => "ICMPメッセージ",
            Self::Udp => "UDPパケット",
            Self::Tcp => "接続のないTCPパケット",
            Self::Other => "IPパケット",
            Self::Connect => "TCP接続",
            Self::Http => "HTTPリクエスト",
        }
    }
}
