//! `ad.abuse`: abuse of the directory service and of Kerberos, by the calls and tickets that it takes.
//!
//! One watch for each way: replication asked for by a host that is no domain controller (`DCSync`, `DCShadow`), the
//! Netlogon secure channel guessed open (Zerologon, CVE-2020-1472), a server made to log in elsewhere (`PetitPotam`,
//! `PrinterBug`, `DFSCoerce`), tickets collected to be cracked (Kerberoasting, AS-REP roasting), and the questions that
//! prepare all this. Who is a domain controller is learnt from who answers as one.

mod coerce;
mod netlogon;
mod recon;
mod replication;
mod tickets;

use core::net::IpAddr;

use sekimori_wire::finding::{Bilingual, Category, Confidence, Finding, Severity};
use sekimori_wire::id::FindingId;
use sekimori_wire::time::Timestamp;

use crate::bounded::Map;
use crate::detect::findings::{Findings, Who, draft, port, sample};
use crate::detect::windows::{Call, from_client};
use crate::detect::{Detect, Kinds, Scene, Setup};
use crate::event::dcerpc::RpcType;
use crate::event::{Event, FlowEvent, FlowRef, Transaction};

use coerce::Coerce;
use netlogon::Netlogon;
use recon::Recon;
use replication::Replication;
use tickets::Tickets;

/// State: one watch for each way of abuse, and who is a domain controller.
#[derive(Debug)]
pub(super) struct AdAbuse {
    controllers: Controllers,
    replication: Replication,
    netlogon: Netlogon,
    coerce: Coerce,
    tickets: Tickets,
    recon: Recon,
}

/// Hosts that answered as a domain controller: with a Kerberos ticket, or to Netlogon or replication.
#[derive(Debug)]
struct Controllers(Map<IpAddr, ()>);

impl Controllers {
    fn has(&self, host: IpAddr) -> bool {
        self.0.peek(&host).is_some()
    }

    fn learn(&mut self, event: &Event) {
        let Event::Flow { flow, what: FlowEvent::Transaction(transaction), .. } = event else { return };
        let server = if let Transaction::Kerberos(exchange) = &**transaction {
            let gave = exchange.reply.as_ref().is_some_and(|reply| reply.kind.is_some());
            gave.then(|| from_client(flow, exchange.from_originator).responder.address)
        } else {
            Call::of(event).filter(answers_as_controller).map(|call| call.flow.responder.address)
        };
        if let Some(server) = server {
            // The controller least recently heard of leaves; a body has a handful.
            let _left = self.0.insert(server, ());
        }
    }
}

fn answers_as_controller(call: &Call<'_>) -> bool {
    let of_controllers = |name: &str| name == "drsuapi" || name == "netlogon";
    let called = call.operation().is_some_and(|(interface, _)| of_controllers(interface));
    called && call.rpc.response == Some(RpcType::Response)
}

/// What a watch says: all that its findings do not have in common.
struct Claim<'a> {
    flow: &'a FlowRef,
    first: Timestamp,
    now: Timestamp,
    /// Tells the finding from others of these hosts, and names the technique.
    what: &'a str,
    technique: &'static str,
    severity: Severity,
    confidence: u16,
    title: (&'a str, &'a str),
    explanation: (&'a str, &'a str),
    formula: &'static str,
}

impl Claim<'_> {
    fn draft(&self, scene: &Scene<'_>) -> Finding {
        let who = Who::of(self.flow, self.what);
        let mut finding =
            draft(Category::AdAbuse, AdAbuse::RULE, scene.policy, who, (self.first.min(self.now), self.now));
        let (source, target) = (self.flow.originator.address, self.flow.responder.address);
        finding.severity = self.severity;
        finding.confidence = Confidence::from_permille(self.confidence);
        finding.technique = self.technique.into();
        finding.title = Bilingual::new(
            &format!("{}: {source} → {target}", self.title.0),
            &format!("{}: {source} → {target}", self.title.1),
        );
        finding.explanation = Bilingual::new(
            &format!("{source} が {target} に対し、{}", self.explanation.0),
            &format!("{source} {} {target}{}", self.explanation.1, CHECK),
        );
        finding.evidence.formula = self.formula.into();
        port(&mut finding, self.flow.responder.port);
        sample(&mut finding, self.flow);
        finding
    }
}

const CHECK: &str = ". If no administrator planned this, somebody is taking over the domain.";

/// A finding that grows, or a new one where there is none any more.
fn grow_or_open(
    id: &mut Option<FindingId>,
    now: Timestamp,
    out: &mut Findings,
    change: impl Fn(&mut Finding),
    fresh: impl FnOnce() -> Option<Finding>,
) {
    let claim = || {
        let mut finding = fresh()?;
        change(&mut finding);
        Some(finding)
    };
    *id = out.follow(*id, now, &change, claim);
}

impl AdAbuse {
    pub(super) fn new(setup: &Setup<'_>) -> Self {
        let (limits, seed) = (setup.limits, setup.seed);
        Self {
            controllers: Controllers(Map::new(limits.detector_entries, seed)),
            replication: Replication::new(limits, seed),
            netlogon: Netlogon::new(limits, seed),
            coerce: Coerce::new(limits, seed),
            tickets: Tickets::new(limits, seed),
            recon: Recon::new(limits, seed),
        }
    }
}

impl Detect for AdAbuse {
    const RULE: &'static str = "ad.abuse/1";
    const WANTS: Kinds = Kinds::ESTABLISHED.and(Kinds::TRANSACTION);

    #[inline]
    fn is_due(&self, now: Timestamp) -> bool {
        self.replication.is_due(now)
    }

    fn on_time(&mut self, now: Timestamp, scene: &Scene<'_>, out: &mut Findings) {
        self.replication.on_time(now, &self.controllers, scene, out);
    }

    fn on_event(&mut self, event: &Event, scene: &Scene<'_>, out: &mut Findings) {
        self.coerce.on_flow(event, out);
        let Event::Flow { at, flow, what: FlowEvent::Transaction(transaction) } = event else { return };
        self.controllers.learn(event);
        if let Some(call) = Call::of(event) {
            self.replication.on_call(&call, &self.controllers, scene, out);
            self.netlogon.on_call(&call, scene, out);
            self.coerce.on_call(&call, &self.controllers, scene, out);
        } else if let Transaction::Kerberos(exchange) = &**transaction {
            let flow = from_client(flow, exchange.from_originator);
            self.replication.on_ticket(&flow, exchange);
            self.tickets.on_exchange(*at, &flow, exchange, (scene, out));
        } else if let Transaction::Ldap(operation) = &**transaction {
            let flow = from_client(flow, operation.from_originator);
            self.recon.on_operation(*at, &flow, operation, (scene, out));
        }
    }

    fn finish(&mut self, scene: &Scene<'_>, out: &mut Findings) {
        self.replication.finish(&self.controllers, scene, out);
    }

    fn take_evicted(&mut self) -> u64 {
        self.replication.take_evicted()
            + self.netlogon.take_evicted()
            + self.coerce.take_evicted()
            + self.tickets.take_evicted()
            + self.recon.take_evicted()
    }
}
