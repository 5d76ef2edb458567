//! Small messages at regular intervals within one long connection.

use std::time::Duration;

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
use crate::detect::findings::Findings;
use crate::detect::{Scene, Setup};
use crate::event::{Application, EndReason, Endpoint, FlowRecord, FlowRef, Traffic};
use crate::segment::is_unicast;

/// A connection is looked at from this age on: most are over by then.
const AGE_MIN: Duration = Duration::from_secs(10);
/// Quiet for this long, and what comes next is another beat. Reports of traffic are a second apart.
const QUIET_MIN: Duration = Duration::from_secs(2);
/// Beats before anything is said: as many intervals as quartiles need to mean something.
const BEATS_MIN: u64 = 8;
/// The same where certificate, name and port already speak against the server.
const BEATS_MIN_MARKED: u64 = 6;
/// Headers of a TCP segment over IPv4 and IPv6, without and with timestamps (RFC 7323).
const HEADERS: [u32; 4] = [40, 52, 60, 72];
/// A beat of more bytes is a transfer, not a message: a screen shot or a file would be more.
const BEAT_BYTES_MAX: f64 = 16_384.0;
/// The timing that a heartbeat must have, be its sizes what they may: orders and what they bring back are larger than the beat.
const TIMING_MIN: f64 = 0.85;

/// Long connections.
#[derive(Debug)]
pub(super) struct Beats {
    flows: Map<(Endpoint, Endpoint, u8), Beat>,
    pub(super) evicted: u64,
}

#[derive(Debug)]
struct Beat {
    series: Series,
    /// The beat that goes on: when it began, its bytes.
    current: (Timestamp, u64),
    last: Timestamp,
    /// Beats that carried nothing: TCP's own.
    empty: u64,
    /// As far as it was said; what has no events of its own is known when the flow is reported.
    application: Option<Application>,
    finding: Option<FindingId>,
}

impl Beats {
    pub(super) fn new(setup: &Setup<'_>) -> Self {
        Self { flows: Map::new(setup.limits.detector_entries / 4, setup.seed), evicted: 0 }
    }

    /// The flow is over, or reported and goes on: now its application is known.
    pub(super) fn on_end(
        &mut self,
        at: Timestamp,
        (flow, record): (&FlowRef, &FlowRecord),
        known: &Known,
        (scene, out): (&Scene<'_>, &mut Findings),
    ) {
        if !is_looked_at(flow, scene) {
            return;
        }
        let key = (flow.originator, flow.responder, flow.protocol);
        let Some(place) = self.flows.place_of(&key) else { return };
        if let Some(beat) = self.flows.use_at(place) {
            beat.application = Some(record.application);
            // A finding began when its last beat was, not when the silence after it was noticed.
            beat.judge(record.end.min(at), flow, known, (scene, out));
        }
        if record.reason != EndReason::Active {
            self.flows.remove(&key);
        }
    }

    pub(super) fn on_traffic(
        &mut self,
        at: Timestamp,
        flow: &FlowRef,
        traffic: &Traffic,
        known: &Known,
        (scene, out): (&Scene<'_>, &mut Findings),
    ) {
        if at.since(flow.began) < AGE_MIN || !is_looked_at(flow, scene) {
            return;
        }
        let key = (flow.originator, flow.responder, flow.protocol);
        let fresh = || Beat {
            series: Series::new(at),
            current: (at, 0),
            last: at,
            empty: 0,
            application: known.application(flow),
            finding: None,
        };
        let (beat, left) = self.flows.get_or_insert_with(key, fresh);
        self.evicted += u64::from(left.is_some());
        let Some(beat) = beat else { return };
        let (packets, bytes) = (
            traffic.sent.packets.saturating_add(traffic.received.packets),
            traffic.sent.bytes.saturating_add(traffic.received.bytes),
        );
        // A report comes with the first packet after a second and counts what was before it.
        beat.current.1 = beat.current.1.saturating_add(bytes.into());
        if at.since(beat.last) >= QUIET_MIN {
            let (began, size) = core::mem::replace(&mut beat.current, (at, 0));
            beat.series.push(began, size);
            beat.empty += u64::from(flow.protocol == 6 && is_empty(packets, bytes));
            beat.judge(at, flow, known, (scene, out));
        }
        beat.last = at;
    }
}

impl Beat {
    fn judge(
        &mut self,
        at: Timestamp,
        flow: &FlowRef,
        known: &Known,
        (scene, out): (&Scene<'_>, &mut Findings),
    ) {
        let count = self.series.count;
        let carrier = self.application.filter(|application| may_carry(*application));
        let score = if count >= BEATS_MIN_MARKED { self.series.score() } else { None };
        let verdict = carrier.zip(score).and_then(|(application, score)| {
            let signs = signs(at, (flow, application), known, scene);
            Some((score, signs, self.severity(&score, signs, flow, (known, scene))?))
        });
        let what = if verdict.is_some() {
            format!("beat {}/{}", flow.responder.port, flow.protocol)
        } else {
            String::new()
        };
        let claim = verdict.map(|(score, signs, severity)| Claim {
            kind: Kind::Beats,
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
            claim.iter().for_each(|claim| claim.raise(finding));
        };
        let fresh = || claim.as_ref().map(|claim| known.printed(claim.finding(scene.policy), flow));
        self.finding = out.follow(self.finding, at, change, fresh);
    }

    fn severity(
        &self,
        score: &Score,
        signs: Signs,
        flow: &FlowRef,
        (known, scene): (&Known, &Scene<'_>),
    ) -> Option<Severity> {
        let count = self.series.count;
        if self.empty * 2 > count {
            return None;
        }
        let small = self.series.mean_bytes() <= BEAT_BYTES_MAX;
        let regular = count >= BEATS_MIN && score.timing >= TIMING_MIN && small;
        let alike = score.total >= SCORE_MIN;
        let grave = alike && signs.count() >= SIGNS_HIGH && signs.accuse_destination();
        let marked =
            signs.has(Sign::PrivateCertificate) && signs.has(Sign::OddPort) && signs.has(Sign::NoServerName);
        if scene.policy.is_inside(flow.responder.address) {
            return (regular && alike && signs.has(Sign::DefaultPort)).then_some(Severity::LOW);
        }
        let harmless = known.is_peer(flow.originator.address)
            || known.prevalence(flow.responder.address) == Prevalence::Common
            || known.says_protocol(flow);
        let enough = signs.count() >= 2 || signs.has(Sign::NoServerName);
        match (regular, enough) {
            (true, true) if grave && !harmless => Some(Severity::HIGH),
            (true, true) => Some(Severity::LOW),
            (true | false, _) if marked => Some(Severity::LOW),
            (true | false, _) => None,
        }
    }
}

fn signs(
    at: Timestamp,
    (flow, application): (&FlowRef, Application),
    known: &Known,
    scene: &Scene<'_>,
) -> Signs {
    let mut signs = known.signs(at, flow, scene);
    signs.add_if(Sign::UnknownProtocol, application == Application::Unknown);
    signs.add_if(Sign::OddPort, is_odd(application, flow));
    signs.add_if(Sign::DefaultPort, is_default(flow.responder.port));
    signs
}

/// Nothing but headers, and the one byte that a keep-alive may have (RFC 9293, 3.8.4).
fn is_empty(packets: u32, bytes: u32) -> bool {
    HEADERS.iter().any(|header| {
        let least = packets.saturating_mul(*header);
        (least..=least.saturating_add(packets)).contains(&bytes)
    })
}

/// From the inside, over TCP or UDP, to one host and no service that keeps contact by design.
fn is_looked_at(flow: &FlowRef, scene: &Scene<'_>) -> bool {
    matches!(flow.protocol, 6 | 17)
        && !scene.inside.is_inbound()
        && is_unicast(flow.responder.address)
        && !is_service(flow.responder.port)
        && !is_service(flow.originator.port)
}
