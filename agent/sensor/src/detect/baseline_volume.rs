//! `baseline.volume`: volume far from what this hour of the week has been.
//!
//! Learned of each body, segment, direction and service: bytes an hour, by the hour of the week. Only more than usual is told:
//! holidays and summer make every hour quieter than it was.

use core::net::IpAddr;
use std::time::Duration;

use sekimori_wire::finding::{Bilingual, Category, Confidence, Finding, Value};
use sekimori_wire::id::{BodyCode, FindingId, Host};
use sekimori_wire::time::Timestamp;

use crate::baseline::{Calendar, Expected, Pack, Read, Ripeness, Section, Series, Unpack, end_of, hour_of};
use crate::bounded::Map;
use crate::detect::findings::{Findings, Who, draft, input, sample, threshold};
use crate::detect::{Detect, Kinds, Scene, Setup};
use crate::event::{Application, Event, FlowEvent, FlowRecord, FlowRef};
use crate::segment::{Policy, Segment, is_unicast};

/// Series learned; each costs some three KiB. Ten segments, three directions and thirty services are 900.
const SERIES_MAX: usize = 1_024;
/// Beyond the usual by less than this within an hour is not worth a person's look: a few dozen web pages, or half of what
/// Slips calls an upload worth evidence (100 MB).
const FLOOR: u64 = 50_000_000;
/// Ports below are given to services by IANA: an unrecognised protocol is told apart by them.
const SYSTEM_PORTS: u16 = 1_024;
/// A departure that lasts is told once a day.
const AGAIN: Duration = Duration::from_secs(24 * 3_600);
/// IANA protocol numbers.
const TCP: u8 = 6;
const UDP: u8 = 17;
/// Hosts remembered as the hour's largest.
const TALKERS: usize = 4;

/// Tells when an hour of Japan's clock is over.
#[derive(Debug, Default)]
pub(super) struct Clock {
    hour: Option<u64>,
    /// When that hour is over; the beginning of time before there is one.
    until: Timestamp,
    /// The hour was seen from its beginning.
    whole: bool,
}

impl Clock {
    /// If a new hour begins: the hour that is over and was seen whole, and the new one. Hours in which nothing at all was seen
    /// are not learned as silent: nobody knows whether we were looking.
    pub(super) fn turn(&mut self, at: Timestamp) -> Option<(Option<u64>, u64)> {
        if !self.is_over(at) {
            return None;
        }
        let hour = hour_of(at);
        self.until = end_of(hour);
        let over = self.hour.filter(|_| self.whole);
        self.whole = self.hour.is_some();
        self.hour = Some(hour);
        Some((over, hour))
    }

    /// A new hour begins.
    #[inline]
    pub(super) fn is_over(&self, at: Timestamp) -> bool {
        at >= self.until
    }

    /// The present hour.
    pub(super) const fn hour(&self) -> Option<u64> {
        self.hour
    }
}

/// A departure that was told.
#[derive(Debug)]
pub(super) struct Told {
    pub(super) id: FindingId,
    pub(super) at: Timestamp,
    pub(super) value: u64,
}

impl Told {
    /// Too soon to tell it again.
    pub(super) fn is_recent(&self, at: Timestamp) -> bool {
        at.since(self.at) < AGAIN
    }
}

/// What a finding says of the baseline.
pub(super) fn baseline(finding: &mut Finding, expected: &Expected) {
    finding.confidence = Confidence::from_permille(if expected.level.contains("week") { 700 } else { 500 });
    finding.evidence.formula =
        "log2(value) - median > 3.5 * 1.4826 * MAD of earlier values of this hour, and beyond the floor"
            .into();
    threshold(finding, "limit", expected.limit);
    let said: [(&str, Value); 4] = [
        ("median", expected.median.into()),
        ("spread_percent", expected.spread_percent.into()),
        ("samples", expected.samples.into()),
        ("compared_with", expected.level.into()),
    ];
    finding.evidence.baseline.extend(said.map(|(name, value)| (name.into(), value)));
}

/// Which way, seen from the inside.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Way {
    Out,
    In,
    Within,
}

impl Way {
    const ALL: [Self; 3] = [Self::Out, Self::In, Self::Within];

    const fn as_str(self) -> &'static str {
        match self {
            Self::Out => "out",
            Self::In => "in",
            Self::Within => "within",
        }
    }

    const fn japanese(self) -> &'static str {
        match self {
            Self::Out => "外部へ",
            Self::In => "外部から",
            Self::Within => "内部",
        }
    }
}

/// What is spoken: the protocol, or failing that the transport and a well-known port.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Service {
    Known(Application),
    Port(u8, u16),
}

impl Service {
    fn of(flow: &FlowRef, record: &FlowRecord) -> Self {
        if record.application != Application::Unknown {
            return Self::Known(record.application);
        }
        let port = flow.responder.port;
        Self::Port(flow.protocol, if port < SYSTEM_PORTS { port } else { 0 })
    }

    fn name(self) -> String {
        match self {
            Self::Known(application) => application.as_str().to_owned(),
            Self::Port(protocol, port) => {
                let transport = match protocol {
                    TCP => "tcp".to_owned(),
                    UDP => "udp".to_owned(),
                    number => number.to_string(),
                };
                if port == 0 { format!("{transport}/other") } else { format!("{transport}/{port}") }
            }
        }
    }

    fn parse(name: &str) -> Option<Self> {
        if let Some((transport, port)) = name.split_once('/') {
            let port = if port == "other" { 0 } else { port.parse().ok()? };
            let protocol = match transport {
                "tcp" => TCP,
                "udp" => UDP,
                number => number.parse().ok()?,
            };
            return Some(Self::Port(protocol, port));
        }
        Application::ALL.iter().find(|one| one.as_str() == name).copied().map(Self::Known)
    }
}

/// Whose series.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Key {
    body: Option<BodyCode>,
    segment: Option<Segment>,
    way: Way,
    service: Service,
}

/// Segments that a series can be of.
const SEGMENTS: [Segment; 9] = [
    Segment::MyNumber,
    Segment::Lgwan,
    Segment::Internet,
    Segment::Dmz,
    Segment::SecCloud,
    Segment::Wan,
    Segment::Mgmt,
    Segment::Edu,
    Segment::Unknown,
];

impl Key {
    /// And the inside host that the flow is told of.
    fn of(flow: &FlowRef, record: &FlowRecord, scene: &Scene<'_>) -> Option<(Self, IpAddr)> {
        let (from, to) = (flow.originator.address, flow.responder.address);
        let (way, host) = match (scene.inside.originator, scene.inside.responder) {
            (true, false) if is_unicast(to) => (Way::Out, from),
            (true, _) => (Way::Within, from),
            (false, true) => (Way::In, to),
            (false, false) => return None,
        };
        let place = scene.policy.place(host, flow.vlan);
        let service = Service::of(flow, record);
        Some((Self { body: place.body, segment: place.segment, way, service }, host))
    }

    fn pack(&self, out: &mut Pack) {
        out.text(self.body.as_ref().map_or("", |body| body.as_str()));
        out.text(self.segment.map_or("", Segment::as_str));
        out.text(self.way.as_str());
        out.text(&self.service.name());
    }

    fn unpack(from: &mut Unpack<'_>) -> Option<Self> {
        let (body, segment, way, service) = (from.text()?, from.text()?, from.text()?, from.text()?);
        Some(Self {
            body: if body.is_empty() { None } else { Some(body.parse().ok()?) },
            segment: match segment {
                "" => None,
                name => Some(*SEGMENTS.iter().find(|one| one.as_str() == name)?),
            },
            way: *Way::ALL.iter().find(|one| one.as_str() == way)?,
            service: Service::parse(service)?,
        })
    }
}

/// State.
#[derive(Debug)]
pub(super) struct BaselineVolume {
    series: Map<Key, Volume>,
    clock: Clock,
    capacity: usize,
    seed: u64,
    evicted: u64,
}

/// One series and its present hour.
#[derive(Debug)]
struct Volume {
    series: Series,
    bytes: u64,
    expected: Option<Expected>,
    talkers: Vec<(IpAddr, u64)>,
    told: Option<Told>,
}

impl Volume {
    const fn of(series: Series) -> Self {
        Self { series, bytes: 0, expected: None, talkers: Vec::new(), told: None }
    }

    fn turn(&mut self, over: Option<u64>, hour: u64) {
        if let Some(over) = over {
            self.series.learn(over, self.bytes, self.expected.as_ref());
        }
        self.bytes = 0;
        self.talkers.clear();
        self.expected = self.series.expected(hour, FLOOR);
    }

    /// Space-saving (Metwally et al., 2005): whoever made half of it is certainly among the few that are kept.
    fn add(&mut self, host: IpAddr, bytes: u64) {
        self.bytes = self.bytes.saturating_add(bytes);
        if let Some((_, sum)) = self.talkers.iter_mut().find(|(one, _)| *one == host) {
            *sum = sum.saturating_add(bytes);
        } else if self.talkers.len() < TALKERS {
            self.talkers.push((host, bytes));
        } else if let Some(least) = self.talkers.iter_mut().min_by_key(|(_, sum)| *sum) {
            *least = (host, least.1.saturating_add(bytes));
        }
    }

    /// Who made at least half of it.
    fn main_talker(&self) -> Option<(IpAddr, u64)> {
        let largest = self.talkers.iter().max_by_key(|(_, sum)| *sum)?;
        (largest.1 >= self.bytes / 2).then_some(*largest)
    }
}

impl BaselineVolume {
    pub(super) fn new(setup: &Setup<'_>) -> Self {
        let capacity = SERIES_MAX.min(setup.limits.detector_entries);
        Self {
            series: Map::new(capacity, setup.seed),
            clock: Clock::default(),
            capacity,
            seed: setup.seed,
            evicted: 0,
        }
    }

    fn ended(
        &mut self,
        at: Timestamp,
        flow: &FlowRef,
        record: &FlowRecord,
        (scene, out): (&Scene<'_>, &mut Findings),
    ) {
        let Some((key, host)) = Key::of(flow, record, scene) else { return };
        let volume = if record.responder.packets == 0 {
            // An unanswered packet begins no series: anybody can send one.
            self.series.get_mut(&key)
        } else {
            let fresh = || Volume::of(Series::new(Calendar::Week));
            let (volume, left) = self.series.get_or_insert_with(key, fresh);
            self.evicted += u64::from(left.is_some());
            volume
        };
        let Some(volume) = volume else { return };
        volume.add(host, record.originator.bytes.saturating_add(record.responder.bytes));
        let Some(expected) = volume.expected.filter(|expected| volume.bytes > expected.limit) else { return };
        let bytes = volume.bytes;
        if let Some(told) = &mut volume.told {
            let grown = out.grow(told.id, at, |finding| {
                finding.count += 1;
                input(finding, "bytes_this_hour", bytes.max(told.value));
                sample(finding, flow);
            });
            if grown || told.is_recent(at) {
                told.value = told.value.max(bytes);
                return;
            }
        }
        let talker = volume.main_talker();
        let mut finding = claim(&key, (host, talker), (at, flow), scene.policy);
        input(&mut finding, "bytes_this_hour", bytes);
        if let Some((host, sum)) = talker {
            input(&mut finding, "main_host", host.to_string());
            input(&mut finding, "main_host_bytes", sum);
        }
        baseline(&mut finding, &expected);
        threshold(&mut finding, "floor_above_median", FLOOR);
        volume.told = Some(Told { id: out.open(finding), at, value: bytes });
    }
}

fn claim(
    key: &Key,
    (host, talker): (IpAddr, Option<(IpAddr, u64)>),
    (at, flow): (Timestamp, &FlowRef),
    policy: &Policy,
) -> Finding {
    let service = key.service.name();
    let what = format!("{} {service}", key.way.as_str());
    let main = talker.map(|(host, _)| host);
    let who = Who {
        originator: main.map(Host::Ip),
        responder: None,
        places: (main.unwrap_or(host), host),
        vlan: flow.vlan,
        what: &what,
    };
    let mut finding = draft(Category::BaselineVolume, BaselineVolume::RULE, policy, who, (at, at));
    let (way, segment) = (key.way.japanese(), key.segment.map_or("", Segment::as_str));
    finding.title = Bilingual::new(
        format!("普段と違う通信量: {way} {service} {segment}").trim_end(),
        format!("Unusual volume: {what} {segment}").trim_end(),
    );
    finding.explanation = Bilingual::new(
        &format!(
            "{way}の {service} の1時間の通信量が、同じ曜日・同じ時間帯のこれまでの値を大きく超えています。\
             バックアップや更新などの予定がなければ、情報の持ち出しや不正利用の可能性を確認してください。"
        ),
        &format!(
            "The volume of {service} ({}) within an hour went far beyond what this hour of the week has been. \
             If no backup or update explains it, look for data being carried out or misuse.",
            key.way.as_str()
        ),
    );
    sample(&mut finding, flow);
    finding
}

impl Detect for BaselineVolume {
    const RULE: &'static str = "baseline.volume/1";
    const WANTS: Kinds = Kinds::ENDED;

    #[inline]
    fn is_due(&self, now: Timestamp) -> bool {
        self.clock.is_over(now)
    }

    fn on_time(&mut self, now: Timestamp, _scene: &Scene<'_>, _out: &mut Findings) {
        if let Some((over, hour)) = self.clock.turn(now) {
            self.series.for_each_mut(|_, volume| volume.turn(over, hour));
        }
    }

    fn on_event(&mut self, event: &Event, scene: &Scene<'_>, out: &mut Findings) {
        let Event::Flow { at, flow, what: FlowEvent::Ended(record) } = event else { return };
        self.ended(*at, flow, record, (scene, out));
    }

    fn take_evicted(&mut self) -> u64 {
        core::mem::take(&mut self.evicted)
    }

    fn learned(&self) -> Option<(Section, Vec<u8>)> {
        let mut pack = Pack::default();
        for (key, volume) in self.series.iter() {
            key.pack(&mut pack);
            volume.series.pack(&mut pack);
        }
        Some((Section::Volume, pack.0))
    }

    fn recall(&mut self, file: &Read<'_>) -> bool {
        let Some(mut section) = file.section(Section::Volume) else { return true };
        let mut all = Map::new(self.capacity, self.seed);
        while !section.is_empty() {
            let Some(key) = Key::unpack(&mut section) else { return false };
            let Some(series) = Series::unpack(Calendar::Week, &mut section) else { return false };
            all.insert(key, Volume::of(series));
        }
        self.series = all;
        true
    }

    fn ripeness(&self) -> Ripeness {
        let hour = self.clock.hour().unwrap_or_default();
        let ripe = self.series.iter().filter(|(_, volume)| volume.series.is_ripe(hour)).count();
        Ripeness { series: self.series.len() as u64, ripe: ripe as u64 }
    }
}

#[cfg(test)]
pub(super) mod tests;
