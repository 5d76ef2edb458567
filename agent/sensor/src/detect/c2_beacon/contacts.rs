//! Connection after connection to one service of one host.

use core::net::IpAddr;

use sekimori_wire::finding::{Finding, Severity};
use sekimori_wire::id::FindingId;
use sekimori_wire::time::Timestamp;

use super::claim::{Claim, Kind, tell};
use super::known::{Known, Prevalence};
use super::series::{Score, Series};
use super::services::{is_default, is_odd, is_service, may_carry};
use super::signs::{Sign, Signs};
use super::{SCORE_MIN, SIGNS_HIGH};
use crate::bounded::Map;
use crate::detect::findings::{Findings, sample};
use crate::detect::{Scene, Setup, Sieve};
use crate::event::{Application, ConnState, EndReason, Endpoint, FlowRecord, FlowRef, Opening};

/// Contacts before anything is said. RITA takes four within a day; within minutes a person makes as many.
const CONTACTS_MIN: u64 = 10;
/// With RITA's four scores, that is over hours, its four are enough; a few more keep a morning's look-ups out.
const CONTACTS_MIN_HOURS: u64 = 6;
/// Every so many contacts the score is worked out again.
const STEP: u64 = 4;
/// A program that keeps no connection open and comes back within so many seconds does not poll as telemetry does, ...
const FAST_SECONDS: f64 = 10.0;
/// ... if it does so this often.
const FAST_MIN: u64 = 20;
/// Of the contacts, so many must begin alike to say that they do.
const SAME_PERCENT: u64 = 90;

/// RITA's uppermost band begins here ...
const TOTAL_HIGH: f64 = 0.9;
/// ... and timing, without which nothing beacons, must be of the band below: even with a jitter of a third of the interval it is.
const TIMING_HIGH: f64 = 0.8;

/// Source, destination, port, protocol.
type Pair = (IpAddr, IpAddr, u16, u8);
type Ends = (Endpoint, Endpoint, u8);

/// State by pair.
#[derive(Debug)]
pub(super) struct Contacts {
    pairs: Map<Pair, Contact>,
    newcomers: Sieve<Pair, First>,
    /// How the flows that still go on began.
    openings: Map<Ends, Opening>,
    pub(super) evicted: u64,
}

/// What the sieve holds of a pair's first contact.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct First {
    flow: u64,
    at: Timestamp,
    bytes: u64,
    shape: Option<u64>,
}

#[derive(Debug)]
struct Contact {
    series: Series,
    shape: Option<u64>,
    same_shape: u64,
    finding: Option<FindingId>,
}

impl Contacts {
    pub(super) fn new(setup: &Setup<'_>) -> Self {
        let (entries, seed) = (setup.limits.detector_entries, setup.seed);
        Self {
            pairs: Map::new(entries / 2, seed),
            newcomers: Sieve::new(entries, seed),
            openings: Map::new(entries, seed),
            evicted: 0,
        }
    }

    pub(super) fn on_opening(&mut self, flow: &FlowRef, opening: &Opening) {
        if opening.from_originator && may_be_contact(flow) {
            // The one that began longest ago leaves: a shape that is not known is no sign, and no loss worth counting.
            let _left = self.openings.insert(ends(flow), *opening);
        }
    }

    pub(super) fn on_end(
        &mut self,
        at: Timestamp,
        flow: &FlowRef,
        record: &FlowRecord,
        known: &mut Known,
        (scene, out): (&Scene<'_>, &mut Findings),
    ) {
        if !may_be_contact(flow) {
            return;
        }
        let opening = self.openings.remove(&ends(flow));
        // Only what begins is a contact: a long connection that goes on is told again and again.
        if record.start != flow.began || !is_contact(flow, record) {
            return;
        }
        let unknown = record.application == Application::Unknown;
        known.on_contact(flow.originator.address, flow.responder.address, unknown);
        let pair = (flow.originator.address, flow.responder.address, flow.responder.port, flow.protocol);
        let contact = First {
            flow: flow.id,
            at: flow.began,
            bytes: record.originator.bytes,
            shape: opening.map(|opening| opening.shape),
        };
        let place = if let Some(place) = self.pairs.place_of(&pair) {
            place
        } else {
            let same = |a: &First, b: &First| a.flow == b.flow;
            let Some(first) = self.newcomers.pass(pair, contact, same) else { return };
            let mut fresh =
                Contact { series: Series::new(first.at), shape: first.shape, same_shape: 0, finding: None };
            fresh.add(&first);
            let (place, left) = self.pairs.enter(pair, fresh);
            self.evicted += u64::from(left.is_some());
            place
        };
        if let Some(pair) = self.pairs.use_at(place) {
            pair.add(&contact);
            pair.judge((at, flow, record.application), known, scene, out);
        }
    }
}

impl Contact {
    fn add(&mut self, contact: &First) {
        self.series.push(contact.at, contact.bytes);
        self.same_shape += u64::from(contact.shape.is_some() && contact.shape == self.shape);
    }

    fn judge(
        &mut self,
        (at, flow, application): (Timestamp, &FlowRef, Application),
        known: &Known,
        scene: &Scene<'_>,
        out: &mut Findings,
    ) {
        let count = self.series.count;
        let due = count >= CONTACTS_MIN_HOURS && count.is_multiple_of(STEP) || count == CONTACTS_MIN;
        let score = if due { self.series.score() } else { None };
        let verdict = score.and_then(|score| {
            let enough = count >= CONTACTS_MIN || score.duration.is_some();
            let signs = self.signs(&score, (at, flow, application), known, scene);
            let severity = severity(&score, signs, flow, known, scene)?;
            (enough && score.total >= SCORE_MIN).then_some((score, signs, severity))
        });
        let what = if verdict.is_some() {
            format!("{}/{}", flow.responder.port, flow.protocol)
        } else {
            String::new()
        };
        let claim = verdict.map(|(score, signs, severity)| Claim {
            kind: Kind::Contacts,
            flow,
            what: &what,
            first: self.series.first(),
            now: at,
            count,
            severity,
            signs,
            score: Some(score),
        });
        let change = |finding: &mut Finding| {
            tell(finding, count, score);
            sample(finding, flow);
            claim.iter().for_each(|claim| claim.raise(finding));
        };
        let fresh = || claim.as_ref().map(|claim| known.printed(claim.finding(scene.policy), flow));
        self.finding = out.follow(self.finding, at, change, fresh);
    }

    fn signs(
        &self,
        score: &Score,
        (at, flow, application): (Timestamp, &FlowRef, Application),
        known: &Known,
        scene: &Scene<'_>,
    ) -> Signs {
        let count = self.series.count;
        let unknown = application == Application::Unknown;
        let mut signs = known.signs(at, flow, scene);
        signs.add_if(Sign::UnknownProtocol, unknown);
        signs.add_if(Sign::OddPort, is_odd(application, flow));
        signs.add_if(Sign::DefaultPort, is_default(flow.responder.port));
        signs.add_if(Sign::SameContent, unknown && self.same_shape * 100 >= count * SAME_PERCENT);
        let fast = count >= FAST_MIN && score.interval.median <= FAST_SECONDS && flow.protocol == 6;
        signs.add_if(Sign::Fast, fast);
        signs.add_if(Sign::Sustained, score.duration.is_some_and(|duration| duration >= 0.5));
        signs
    }
}

/// How grave; none if nothing is worth saying.
fn severity(
    score: &Score,
    signs: Signs,
    flow: &FlowRef,
    known: &Known,
    scene: &Scene<'_>,
) -> Option<Severity> {
    let count = signs.count();
    if scene.policy.is_inside(flow.responder.address) {
        // Between inside hosts programs keep regular contact all day; only what fits none of them is told, and softly.
        let telling = signs.has(Sign::DefaultPort) || signs.has(Sign::Fast) && signs.has(Sign::NoServerName);
        return (telling && count >= 2).then_some(Severity::LOW);
    }
    let common = known.prevalence(flow.responder.address) == Prevalence::Common;
    let peer = known.is_peer(flow.originator.address);
    let strong = score.total >= TOTAL_HIGH && score.timing >= TIMING_HIGH;
    match count {
        0 => None,
        1 if !(signs.has(Sign::Fast) || signs.has(Sign::NoServerName)) => None,
        SIGNS_HIGH.. if strong && signs.accuse_destination() && !common && !peer => Some(Severity::HIGH),
        _ if common => None,
        _ => Some(Severity::LOW),
    }
}

/// A connection that was made, or datagrams whether answered or not, to one host, in a protocol that control channels hide in.
fn is_contact(flow: &FlowRef, record: &FlowRecord) -> bool {
    let tcp = flow.protocol == 6;
    let made = match record.state {
        ConnState::SF | ConnState::S1 | ConnState::S2 | ConnState::S3 | ConnState::Rsto | ConnState::Rstr => {
            true
        }
        ConnState::S0 => !tcp,
        ConnState::Rej
        | ConnState::Rstos0
        | ConnState::Rstrh
        | ConnState::Sh
        | ConnState::Shr
        | ConnState::Oth => false,
    };
    made && record.originator.payload_bytes > 0
        && record.reason != EndReason::LackOfResources
        && may_carry(record.application)
}

/// Over TCP or UDP, and to no service that keeps contact by design.
fn may_be_contact(flow: &FlowRef) -> bool {
    matches!(flow.protocol, 6 | 17) && !is_service(flow.responder.port) && !is_service(flow.originator.port)
}

const fn ends(flow: &FlowRef) -> Ends {
    (flow.originator, flow.responder, flow.protocol)
}
