//! `c2.beacon`: a program on an inside host keeps contact with somebody, as remote control does.
//!
//! Four looks at it: connection after connection to one service ([`contacts`]), messages within one long connection ([`beats`]),
//! HTTP requests that no browsing explains ([`polls`]), and sessions on ports that remote-control malware uses by default. Much
//! harmless software is regular too. So regularity alone is at most worth a notice; it takes several independent signs beside it
//! (no name behind the address, an unknown protocol, an odd port, a certificate that vouches for itself, …) to be grave, and among
//! inside hosts, where programs poll each other all day, more.

mod beats;
mod claim;
mod contacts;
mod known;
mod polls;
mod request;
mod series;
mod services;
mod signs;

use core::net::IpAddr;

use sekimori_wire::finding::{Finding, Severity};
use sekimori_wire::id::FindingId;
use sekimori_wire::time::Timestamp;

use crate::bounded::Map;
use crate::detect::findings::{Findings, sample};
use crate::detect::{Detect, Kinds, Scene, Setup};
use crate::event::{Application, Event, FlowEvent, FlowRecord, FlowRef, Transaction};
use crate::segment::is_unicast;
use beats::Beats;
use claim::{Claim, Kind};
use contacts::Contacts;
use known::Known;
use polls::Polls;
use signs::{Sign, Signs};

/// The score from which contact is regular: in the upper half of what RITA calls high (75 to 90 of 100).
const SCORE_MIN: f64 = 0.8;
/// Independent signs beside regularity that make it grave.
const SIGNS_HIGH: u32 = 3;
/// Packets with payload each way that make a session of a connection to a port that says something.
const SESSION_PACKETS: u64 = 5;

/// State.
#[derive(Debug)]
pub(super) struct C2Beacon {
    known: Known,
    contacts: Contacts,
    beats: Beats,
    polls: Polls,
    /// Findings of sessions on default ports, by who and where.
    sessions: Map<(IpAddr, IpAddr, u16), FindingId>,
    evicted: u64,
}

impl C2Beacon {
    pub(super) fn new(setup: &Setup<'_>) -> Self {
        Self {
            known: Known::new(setup),
            contacts: Contacts::new(setup),
            beats: Beats::new(setup),
            polls: Polls::new(setup),
            sessions: Map::new(setup.limits.detector_entries / 4, setup.seed),
            evicted: 0,
        }
    }

    fn on_transaction(
        &mut self,
        at: Timestamp,
        flow: &FlowRef,
        transaction: &Transaction,
        (scene, out): (&Scene<'_>, &mut Findings),
    ) {
        if let Transaction::Http(exchange) = transaction {
            self.polls.on_exchange(at, (flow, exchange), &mut self.known, (scene, out));
        } else if let Transaction::Tls(tls) = transaction {
            self.known.on_tls(flow, tls);
        } else if let Transaction::Quic(hello) = transaction {
            self.known.on_quic(flow, hello);
        }
    }

    fn on_end(
        &mut self,
        at: Timestamp,
        (flow, record): (&FlowRef, &FlowRecord),
        (scene, out): (&Scene<'_>, &mut Findings),
    ) {
        self.beats.on_end(at, (flow, record), &self.known, (scene, out));
        let (from, to) = (flow.originator.address, flow.responder.address);
        if scene.inside.is_inbound() || !is_unicast(to) || !is_unicast(from) {
            return;
        }
        self.contacts.on_end(at, flow, record, &mut self.known, (scene, out));
        self.on_default_port((flow, record), scene, out);
    }

    /// A session on a port that says something, in no protocol that belongs there: worth a notice, whatever its rhythm.
    fn on_default_port(
        &mut self,
        (flow, record): (&FlowRef, &FlowRecord),
        scene: &Scene<'_>,
        out: &mut Findings,
    ) {
        let port = flow.responder.port;
        let spoken = [record.originator, record.responder];
        let is_session = flow.protocol == 6
            && services::is_default(port)
            && matches!(record.application, Application::Unknown | Application::Tls)
            && spoken.iter().all(|way| way.packets >= SESSION_PACKETS && way.payload_bytes > 0);
        if !is_session {
            return;
        }
        let key = (flow.originator.address, flow.responder.address, port);
        let more = |finding: &mut Finding| {
            finding.count += 1;
            sample(finding, flow);
        };
        if self.sessions.get_mut(&key).is_some_and(|id| out.grow(*id, record.end, more)) {
            return;
        }
        let mut signs: Signs = self.known.signs(record.end, flow, scene);
        signs.add_if(Sign::DefaultPort, true);
        signs.add_if(Sign::UnknownProtocol, record.application == Application::Unknown);
        let claim = Claim {
            kind: Kind::Port,
            flow,
            what: &format!("port {port}"),
            first: record.start,
            now: record.end,
            count: 1,
            severity: Severity::LOW,
            signs,
            score: None,
        };
        let id = out.open(self.known.printed(claim.finding(scene.policy), flow));
        self.evicted += u64::from(self.sessions.insert(key, id).is_some_and(|(left, _)| left != key));
    }
}

impl Detect for C2Beacon {
    const RULE: &'static str = "c2.beacon/1";
    const WANTS: Kinds =
        Kinds::OPENING.and(Kinds::TRAFFIC).and(Kinds::DNS).and(Kinds::TRANSACTION).and(Kinds::ENDED);

    fn on_event(&mut self, event: &Event, scene: &Scene<'_>, out: &mut Findings) {
        let Event::Flow { at, flow, what } = event else { return };
        match what {
            FlowEvent::Opening(opening) => {
                if !scene.inside.is_inbound() && is_unicast(flow.responder.address) {
                    self.contacts.on_opening(flow, opening);
                }
            }
            FlowEvent::Traffic(traffic) => {
                self.beats.on_traffic(*at, flow, traffic, &self.known, (scene, out));
            }
            FlowEvent::Dns(dns) => self.known.on_dns(flow, dns),
            FlowEvent::Transaction(transaction) => self.on_transaction(*at, flow, transaction, (scene, out)),
            FlowEvent::Ended(record) => self.on_end(*at, (flow, record), (scene, out)),
            FlowEvent::Started(_)
            | FlowEvent::Answered
            | FlowEvent::Established
            | FlowEvent::Rejected
            | FlowEvent::Unanswered
            | FlowEvent::Tls(_)
            | FlowEvent::HttpRequest(_)
            | FlowEvent::HttpResponse { .. }
            | FlowEvent::Echo(_)
            | FlowEvent::Syslog(_)
            | FlowEvent::Anomaly(_) => {}
        }
    }

    fn take_evicted(&mut self) -> u64 {
        let Self { known, contacts, beats, polls, evicted, .. } = self;
        [&mut known.evicted, &mut contacts.evicted, &mut beats.evicted, &mut polls.evicted, evicted]
            .into_iter()
            .map(core::mem::take)
            .sum()
    }
}
