//! `flood.syn`: a service drowns in connections that are begun and never completed.
//!
//! Per destination address and port, in slots of one second of event time, a cumulative sum (CUSUM) over the SYNs that
//! were not completed, after Wang, Zhang and Shin (INFOCOM 2002): x = (SYN − completed) ÷ F, where F is the smoothed
//! number of completed handshakes with a floor, and y = max(0, y + x − 0.35). Completions get a few seconds of grace, so
//! that a load test whose handshakes complete never counts. A port scan spreads over ports and stays below the floor. Where the
//! capture has only the clients' half, what tells a completed handshake is that the client goes on to send something.

use core::net::IpAddr;

use sekimori_wire::finding::{Bilingual, Category, Confidence, Finding, Value};
use sekimori_wire::id::FindingId;
use sekimori_wire::time::Timestamp;

use crate::bounded::{Distinct, Map};
use crate::detect::findings::{Findings, Who, draft, input, port, sample, threshold};
use crate::detect::flood_volume::gauge::Leader;
use crate::detect::{Detect, Kinds, Scene, Setup, Sieve};
use crate::event::{Endpoint, Event, First, FlowEvent, FlowRef};
use crate::segment::Policy;

/// A handshake may take this many slots of one second.
const GRACE: usize = 3;
/// Completed handshakes a second that every service is granted: what is below never looks like a flood.
const FLOOR: f64 = 50.0;
/// Weight of the past in the smoothed number of completed handshakes.
const SMOOTHING: f64 = 0.9;
/// Normal excess of SYNs over completions, as a share of F (the paper's a).
const ALLOWANCE: f64 = 0.35;
/// The sum that is an alarm (the paper's N).
const ALARM: f64 = 1.05;
/// SYNs without completion before anything is claimed: a few lost connections of a quiet service are no flood.
const UNCOMPLETED_MIN: u64 = 200;
/// Flows remembered for evidence.
const SAMPLES: usize = 8;
/// The sum rises no further than this, so that the alarm ends half a minute after the flood does.
const CEILING: f64 = 10.0;
/// Stands for all ports of an address: forged SYNs to ever other ports drown a host, and none of its services alone.
const ANY_PORT: u16 = 0;
/// One port that has so many in a hundred of an address's SYNs is judged by itself.
const ONE_PORT_PERCENT: u64 = 50;
/// A destination that saw nothing for this many seconds is judged by what there is and forgotten.
const QUIET_SLOTS: u64 = 10;

/// State: one sum for each destination.
#[derive(Debug)]
pub(super) struct FloodSyn {
    services: Map<Endpoint, Service>,
    newcomers: Sieve<Endpoint, u64>,
    distinct: usize,
    evicted: u64,
}

#[derive(Debug)]
struct Service {
    /// Second of event time that is being filled.
    slot: u64,
    /// SYNs of this slot and of those still in grace, the newest first.
    waiting: [u64; GRACE + 1],
    /// Handshakes completed in this slot.
    completed: Completed,
    /// F, without the floor.
    smoothed: f64,
    /// y.
    sum: f64,
    /// Since the sum left zero.
    episode: Episode,
    finding: Option<FindingId>,
}

/// Connections that came to be, by two signs of which each connection gives at most one.
#[derive(Clone, Copy, Debug, Default)]
struct Completed {
    /// The handshake was seen to its end.
    shaken: u64,
    /// The client sent something after its SYN.
    opened: u64,
}

impl Completed {
    fn most(self) -> u64 {
        self.shaken.max(self.opened)
    }
}

#[derive(Debug)]
struct Episode {
    first: Timestamp,
    last: Timestamp,
    syns: u64,
    completed: Completed,
    sources: Distinct<IpAddr>,
    port: Leader<u16>,
    /// The only address that can have sent more than half of the SYNs, and its lead (Boyer and Moore).
    leader: Option<(IpAddr, u64)>,
    /// SYNs from the leader since it became one: a lower bound.
    leader_syns: u64,
    samples: Vec<FlowRef>,
}

impl Episode {
    const fn new(at: Timestamp, distinct: usize) -> Self {
        Self {
            first: at,
            last: at,
            syns: 0,
            completed: Completed { shaken: 0, opened: 0 },
            sources: Distinct::new(distinct),
            port: Leader::new(),
            leader: None,
            leader_syns: 0,
            samples: Vec::new(),
        }
    }

    fn on_syn(&mut self, at: Timestamp, flow: &FlowRef) {
        self.last = at;
        self.syns += 1;
        let source = flow.originator.address;
        self.sources.insert(source);
        self.port.count(flow.responder.port, 1);
        self.leader = match self.leader {
            Some((leader, lead)) if leader == source => {
                self.leader_syns += 1;
                Some((leader, lead + 1))
            }
            Some((leader, lead)) if lead > 1 => Some((leader, lead - 1)),
            Some(_) | None => {
                self.leader_syns = 1;
                Some((source, 1))
            }
        };
        if self.samples.len() < SAMPLES {
            self.samples.push(*flow);
        }
    }

    fn uncompleted(&self) -> u64 {
        self.syns.saturating_sub(self.completed.most())
    }

    /// One address sent nearly all of it; otherwise the sources are taken for forged.
    fn sender(&self) -> Option<IpAddr> {
        self.leader.filter(|_| self.leader_syns >= self.syns / 10 * 8).map(|(leader, _)| leader)
    }
}

impl FloodSyn {
    pub(super) fn new(setup: &Setup<'_>) -> Self {
        let (limits, seed) = (setup.limits, setup.seed);
        Self {
            services: Map::new(limits.detector_entries, seed),
            newcomers: Sieve::new(limits.detector_entries, seed),
            distinct: limits.distinct_per_entry,
            evicted: 0,
        }
    }

    /// Counts it for one destination.
    fn take(
        &mut self,
        at: Timestamp,
        flow: &FlowRef,
        (to, sign): (Endpoint, Sign),
        (policy, out): (&Policy, &mut Findings),
    ) {
        let slot = at.secs();
        let place = if let Some(place) = self.services.place_of(&to) {
            place
        } else {
            // A service enters with its second SYN; a scan of many ports leaves one each and stays in the sieve.
            if sign != Sign::Syn || self.newcomers.pass(to, flow.id, |a, b| a == b).is_none() {
                return;
            }
            let mut fresh = Service::new(slot, at, self.distinct);
            fresh.waiting = [1, 0, 0, 0];
            fresh.episode.syns = 1;
            let (place, left) = self.services.enter(to, fresh);
            self.evicted += u64::from(left.is_some());
            conclude(left, policy, out);
            place
        };
        let distinct = self.distinct;
        let Some(service) = self.services.use_at(place) else { return };
        if service.advance(slot) {
            service.judge(to, flow.vlan, policy, out);
        }
        if service.is_idle() {
            service.finding = None;
            service.episode = Episode::new(at, distinct);
        }
        let (now, all) = (&mut service.completed, &mut service.episode.completed);
        match sign {
            Sign::Syn => {
                let [newest, ..] = &mut service.waiting;
                *newest += 1;
                service.episode.on_syn(at, flow);
            }
            Sign::Shaken => [now, all].into_iter().for_each(|completed| completed.shaken += 1),
            Sign::Opened => [now, all].into_iter().for_each(|completed| completed.opened += 1),
        }
    }
}

impl Service {
    const fn new(slot: u64, at: Timestamp, distinct: usize) -> Self {
        Self {
            slot,
            waiting: [0; GRACE + 1],
            completed: Completed { shaken: 0, opened: 0 },
            smoothed: 0.0,
            sum: 0.0,
            episode: Episode::new(at, distinct),
            finding: None,
        }
    }

    /// Closes the slots before `slot`; true if the sum is an alarm after any of them.
    fn advance(&mut self, slot: u64) -> bool {
        let mut alarm = false;
        while self.slot < slot {
            alarm |= self.close_slot();
            if self.is_idle() {
                self.slot = slot;
            }
        }
        alarm
    }

    fn is_idle(&self) -> bool {
        self.waiting.iter().all(|syns| *syns == 0) && self.sum <= 0.0
    }

    fn close_slot(&mut self) -> bool {
        let [.., oldest] = self.waiting;
        self.waiting.rotate_right(1);
        let [newest, ..] = &mut self.waiting;
        *newest = 0;
        self.slot += 1;
        let (syns, completed) = (count(oldest), count(core::mem::take(&mut self.completed).most()));
        let normal = self.smoothed.max(FLOOR);
        self.sum = (self.sum + (syns - completed) / normal - ALLOWANCE).clamp(0.0, CEILING);
        self.smoothed = SMOOTHING * self.smoothed + (1.0 - SMOOTHING) * completed;
        self.is_alarm()
    }

    fn is_alarm(&self) -> bool {
        let uncompleted = self.episode.uncompleted();
        self.sum > ALARM && uncompleted >= UNCOMPLETED_MIN && uncompleted > self.episode.completed.most()
    }

    fn tell(&self, finding: &mut Finding) {
        finding.count = self.episode.syns;
        input(finding, "syns", self.episode.syns);
        input(finding, "completed_handshakes", self.episode.completed.most());
        input(finding, "completed_a_second_smoothed", (self.smoothed * 10.0).round() / 10.0);
        input(finding, "cusum", (self.sum * 100.0).round() / 100.0);
        input(finding, "distinct_sources_at_least", self.episode.sources.len());
        let sources = self.episode.sources.iter().take(10).map(|one| one.to_string().into()).collect();
        finding.evidence.inputs.insert("sources_sample".into(), Value::List(sources));
    }

    fn judge(&mut self, to: Endpoint, vlan: Option<u16>, policy: &Policy, out: &mut Findings) {
        let at = self.episode.last;
        // One sender that tries many ports scans.
        let one = self.episode.sender().is_some() || self.episode.port.with_share(ONE_PORT_PERCENT).is_some();
        if to.port == ANY_PORT && one {
            return;
        }
        let claim = || Some(self.claim(to, vlan, policy));
        self.finding = out.follow(self.finding, at, |finding| self.tell(finding), claim);
    }

    fn claim(&self, to: Endpoint, vlan: Option<u16>, policy: &Policy) -> Finding {
        let sender = self.episode.sender();
        let who = Who {
            originator: sender.map(Into::into),
            responder: Some(to.address.into()),
            places: (to.address, sender.unwrap_or(to.address)),
            vlan,
            what: &to.port.to_string(),
        };
        let span = (self.episode.first, self.episode.last);
        let mut finding = draft(Category::FloodSyn, FloodSyn::RULE, policy, who, span);
        finding.confidence = Confidence::from_permille(900);
        let address = to.address;
        let (to_ja, to_en) = if to.port == ANY_PORT {
            (format!("{address}(多数のポート)"), format!("{address} (many ports)"))
        } else {
            port(&mut finding, to.port);
            (format!("{address}(ポート{})", to.port), format!("{address} (port {})", to.port))
        };
        finding.title =
            Bilingual::new(&format!("SYNフラッド: 標的 {to_ja}"), &format!("SYN flood: target {to_en}"));
        let (by_ja, by_en) = match sender {
            Some(sender) => (format!("{sender} から"), format!(" from {sender}")),
            None => (
                "多数の送信元(詐称の可能性が高い)から".to_owned(),
                " from many addresses, probably forged".to_owned(),
            ),
        };
        finding.explanation = Bilingual::new(
            &format!(
                "{to_ja}に対し、{by_ja}接続要求だけが大量に届き、ほとんどが確立されていません。\
                 サービスを使えなくする攻撃の可能性があります。"
            ),
            &format!(
                "{to_en} receives connection requests in masses{by_en}, and hardly any is completed: this is how a \
                 service is made unreachable."
            ),
        );
        finding.evidence.formula =
            "per second: x = (SYN − completed) ÷ F, F = max(50, smoothed completed); y = max(0, y + x − 0.35); \
             alarm at y > 1.05 with enough SYNs not completed, and fewer completed than not"
                .into();
        threshold(&mut finding, "cusum", ALARM);
        threshold(&mut finding, "uncompleted_syns", UNCOMPLETED_MIN);
        self.tell(&mut finding);
        self.episode.samples.iter().for_each(|flow| sample(&mut finding, flow));
        finding
    }
}

/// Judges a destination that is no longer watched, grace included.
fn conclude(left: Option<(Endpoint, Service)>, policy: &Policy, out: &mut Findings) {
    let Some((to, mut service)) = left else { return };
    if service.advance(service.slot + GRACE as u64 + 1) {
        let vlan = service.episode.samples.first().and_then(|flow| flow.vlan);
        service.judge(to, vlan, policy, out);
    }
}

#[expect(clippy::cast_precision_loss, reason = "SYNs of one second are far below 2^52")]
const fn count(n: u64) -> f64 {
    n as f64
}

/// What an event says of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sign {
    Syn,
    Shaken,
    Opened,
}

impl Detect for FloodSyn {
    const RULE: &'static str = "flood.syn/2";
    const WANTS: Kinds = Kinds::STARTED.and(Kinds::ESTABLISHED).and(Kinds::OPENING);

    fn on_event(&mut self, event: &Event, scene: &Scene<'_>, out: &mut Findings) {
        let Event::Flow { at, flow, what } = event else { return };
        if flow.protocol != 6 {
            return;
        }
        let sign = match what {
            FlowEvent::Started(First::Syn) => Sign::Syn,
            FlowEvent::Established => Sign::Shaken,
            // A flood may carry something in the SYN itself.
            FlowEvent::Opening(opening) if opening.from_originator && *at > flow.began => Sign::Opened,
            FlowEvent::Opening(_)
            | FlowEvent::Started(_)
            | FlowEvent::Answered
            | FlowEvent::Rejected
            | FlowEvent::Unanswered
            | FlowEvent::Dns(_)
            | FlowEvent::Tls(_)
            | FlowEvent::HttpRequest(_)
            | FlowEvent::HttpResponse { .. }
            | FlowEvent::Traffic(_)
            | FlowEvent::Echo(_)
            | FlowEvent::Syslog(_)
            | FlowEvent::Transaction(_)
            | FlowEvent::Anomaly(_)
            | FlowEvent::Ended(_) => return,
        };
        let slot = at.secs();
        while self.services.oldest().is_some_and(|(_, service)| slot > service.slot + QUIET_SLOTS) {
            let quiet = self.services.pop_oldest();
            conclude(quiet, scene.policy, out);
        }
        for to in [flow.responder, Endpoint { port: ANY_PORT, ..flow.responder }] {
            self.take(*at, flow, (to, sign), (scene.policy, out));
        }
    }

    fn finish(&mut self, scene: &Scene<'_>, out: &mut Findings) {
        while let Some(left) = self.services.pop_oldest() {
            conclude(Some(left), scene.policy, out);
        }
    }

    fn take_evicted(&mut self) -> u64 {
        core::mem::take(&mut self.evicted)
    }
}
