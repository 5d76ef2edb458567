//! `intel.match`: contact with something that a threat feed lists.
//!
//! Looked up once for each flow (the outside address), DNS question, TLS or QUIC hello, HTTP request and certificate. One
//! finding for each inside host and indicator grows with every further contact.
//!
//! An address says less than a name: hosting firms and delivery networks put many sites behind one. So what is said of an
//! address alone waits a moment for the name that the flow asks for; if that is known, is not listed itself, and the address
//! is seen to serve others as well, the contact is only worth a note. Who calls from a listed address is one too: feeds
//! list the internet's scanners by the hundred thousand.

mod claim;
#[cfg(test)]
mod tests;

use core::net::IpAddr;
use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use sekimori_wire::id::FindingId;
use sekimori_wire::time::Timestamp;

use crate::bounded::{Distinct, Map};
use crate::detect::findings::Findings;
use crate::detect::{Detect, Kinds, Scene, Setup};
use crate::domain::registered_domain;
use crate::event::dns::Rdata;
use crate::event::http::value;
use crate::event::{Application, Dns, Event, First, FlowEvent, FlowRef, Transaction};
use crate::intel::{Hit, Intel, Kind, url_key};
use claim::{Contact, Lowered, Seen};

/// Clients say whom they want at once: in the first flight after the handshake, which takes TCP one second more for
/// each of the first two losses (RFC 6298: 1 s, then 2 s).
const NAME_WAIT: Duration = Duration::from_secs(5);
/// Names of one listed address that are told apart: two would do.
const NAMES_PER_ADDRESS: usize = 4;
/// An address that serves so many registered domains is shared.
const SHARED_NAMES: usize = 2;
/// Feeds that must agree on an address of a public resolver or a delivery network.
const SHARED_FEEDS: usize = 2;
/// Listed callers that are worth a finding within [`CALLERS_WINDOW`]: a flood from a listed botnet must not push out the
/// findings that still grow.
const CALLERS_MAX: u32 = 64;
const CALLERS_WINDOW: Duration = Duration::from_secs(600);
/// CNAME (RFC 1035).
const CNAME: u16 = 5;

/// State.
#[derive(Debug)]
pub(super) struct IntelMatch {
    intel: Arc<Intel>,
    state: State,
}

#[derive(Debug)]
struct State {
    /// By acting host and indicator.
    known: Map<(IpAddr, u32), FindingId>,
    /// Who contacted an indicator last.
    latest: Map<u32, IpAddr>,
    /// By flow.
    pending: Map<u64, Pending>,
    /// Registered domains that each listed address serves.
    served: Map<IpAddr, Distinct<Box<str>>>,
    /// Inside hosts that answer DNS for others.
    resolvers: Map<IpAddr, ()>,
    /// The one that was seen last, which mostly is the next one too.
    resolver: Option<IpAddr>,
    callers: (Timestamp, u32),
    now: Timestamp,
    evicted: u64,
}

/// A flow to a listed address that has not said yet whom it wants.
#[derive(Clone, Copy, Debug)]
struct Pending {
    at: Timestamp,
    flow: FlowRef,
}

impl IntelMatch {
    pub(super) fn new(setup: &Setup<'_>) -> Self {
        let (entries, seed) = (setup.limits.detector_entries, setup.seed);
        let state = State {
            known: Map::new(entries, seed),
            latest: Map::new(entries, seed),
            pending: Map::new(entries, seed),
            served: Map::new(entries, seed),
            resolvers: Map::new(entries, seed),
            resolver: None,
            callers: (Timestamp::ZERO, 0),
            now: Timestamp::ZERO,
            evicted: 0,
        };
        Self { intel: Arc::default(), state }
    }

    /// What to look for from now on. Findings about what is still listed go on growing.
    pub(super) fn set(&mut self, intel: Arc<Intel>) {
        self.state.replace(&self.intel, &intel);
        self.intel = intel;
    }
}

/// What an event is looked at with.
struct View<'a, 'o> {
    at: Timestamp,
    intel: &'a Intel,
    scene: &'a Scene<'a>,
    out: &'o mut Findings,
}

impl View<'_, '_> {
    fn is_inside(&self, address: IpAddr) -> bool {
        self.scene.policy.is_inside(address)
    }
}

impl Detect for IntelMatch {
    const RULE: &'static str = "intel.match/1";
    const WANTS: Kinds = Kinds::ALL;

    fn on_event(&mut self, event: &Event, scene: &Scene<'_>, out: &mut Findings) {
        if self.intel.is_empty() {
            return;
        }
        let Self { intel, state } = self;
        let mut view = View { at: event.at(), intel, scene, out };
        state.on_time(&mut view);
        let Event::Flow { flow, what, .. } = event else { return };
        match what {
            FlowEvent::Started(first) => state.started(*first, flow, &mut view),
            FlowEvent::Answered => state.called(flow, true, &mut view),
            FlowEvent::Dns(dns) => state.dns(dns, flow, &mut view),
            FlowEvent::Tls(hello) => state.hello(hello.server_name.as_deref(), &hello.ja4, flow, &mut view),
            FlowEvent::HttpRequest(request) => {
                state.request(request.host.as_deref(), &request.path, flow, &mut view);
            }
            FlowEvent::Transaction(one) => state.transaction(one, flow, &mut view),
            FlowEvent::Ended(_) => {
                if let Some(pending) = state.pending.remove(&flow.id) {
                    state.contacted(&pending, None, &mut view);
                }
            }
            FlowEvent::Established
            | FlowEvent::Rejected
            | FlowEvent::Unanswered
            | FlowEvent::HttpResponse { .. }
            | FlowEvent::Traffic(_)
            | FlowEvent::Opening(_)
            | FlowEvent::Echo(_)
            | FlowEvent::Syslog(_)
            | FlowEvent::Anomaly(_) => {}
        }
    }

    fn finish(&mut self, scene: &Scene<'_>, out: &mut Findings) {
        let Self { intel, state } = self;
        let mut view = View { at: state.now, intel, scene, out };
        while let Some((_, pending)) = state.pending.pop_oldest() {
            state.contacted(&pending, None, &mut view);
        }
    }

    fn take_evicted(&mut self) -> u64 {
        core::mem::take(&mut self.state.evicted)
    }
}

impl State {
    /// Places of one list become those of another.
    fn replace(&mut self, old: &Intel, new: &Intel) {
        for _ in 0..self.known.len() {
            let Some(((host, place), id)) = self.known.pop_oldest() else { break };
            if let Some(place) = old.place_in(place, new) {
                let _none = self.known.insert((host, place), id);
            }
        }
        for _ in 0..self.latest.len() {
            let Some((place, host)) = self.latest.pop_oldest() else { break };
            if let Some(place) = old.place_in(place, new) {
                let _none = self.latest.insert(place, host);
            }
        }
    }

    /// Flows that did not say in time whom they want.
    fn on_time(&mut self, view: &mut View<'_, '_>) {
        self.now = self.now.max(view.at);
        while self.pending.oldest().is_some_and(|(_, one)| view.at.since(one.at) > NAME_WAIT) {
            if let Some((_, pending)) = self.pending.pop_oldest() {
                self.contacted(&pending, None, view);
            }
        }
    }

    fn started(&mut self, first: First, flow: &FlowRef, view: &mut View<'_, '_>) {
        let speaks = match first {
            First::Syn | First::Datagram | First::EchoRequest | First::Midstream => true,
            // ICMP errors and replies only answer; other transports speak for themselves.
            First::Other => !matches!(flow.protocol, 1 | 58),
        };
        // Whoever was heard first in the middle of a connection need not have begun it: servers have the lower port.
        let turned = first == First::Midstream && flow.originator.port < flow.responder.port;
        let flow = if turned { flow.reversed() } else { *flow };
        let listed = flow.responder.address;
        if !speaks || view.intel.address(listed, view.at).is_none() || view.is_inside(listed) {
            return self.called(&flow, false, view);
        }
        let pending = Pending { at: view.at, flow };
        if let Some((id, left)) = self.pending.insert(flow.id, pending)
            && id != flow.id
        {
            // No room to wait: judged by what is known.
            self.contacted(&left, None, view);
        }
    }

    /// A listed address speaks first.
    fn called(&mut self, flow: &FlowRef, answered: bool, view: &mut View<'_, '_>) {
        let caller = flow.originator.address;
        let Some(hit) = view.intel.address(caller, view.at) else { return };
        if view.is_inside(caller) {
            return;
        }
        let lowered = if answered { Lowered::Caller } else { Lowered::UnansweredCaller };
        if self.known.peek(&(caller, hit.place)).is_none() {
            let (since, count) = self.callers;
            self.callers =
                if view.at.since(since) > CALLERS_WINDOW { (view.at, 0) } else { (since, count + 1) };
            if self.callers.1 >= CALLERS_MAX {
                self.evicted += 1;
                return;
            }
        }
        let contact = Contact {
            at: view.at,
            flow: *flow,
            host: caller,
            peer: Some(flow.responder.address),
            seen: Seen::Call,
            name: None,
            lowered: Some(lowered),
        };
        self.report(&hit, &contact, view);
    }

    /// A flow to a listed address, when it has said whom it wants or will not.
    fn contacted(&mut self, pending: &Pending, name: Option<&str>, view: &mut View<'_, '_>) {
        let address = pending.flow.responder.address;
        let Some(hit) = view.intel.address(address, pending.at) else { return };
        let name = name.or_else(|| view.scene.names.of(address, pending.at));
        let lowered = self.doubt(&hit, address, name, view);
        let contact = Contact {
            at: view.at.min(pending.at.plus(NAME_WAIT)),
            flow: pending.flow,
            host: pending.flow.originator.address,
            peer: Some(address),
            seen: Seen::Connection,
            name,
            lowered,
        };
        self.report(&hit, &contact, view);
    }

    /// Why an address alone says little.
    fn doubt(
        &self,
        hit: &Hit<'_>,
        address: IpAddr,
        name: Option<&str>,
        view: &View<'_, '_>,
    ) -> Option<Lowered> {
        if hit.feeds < SHARED_FEEDS && view.intel.shared(address).is_some() {
            return Some(Lowered::Shared);
        }
        let name = name?;
        let is_listed = view.intel.domain(name, view.at).is_some()
            || view.intel.exact(Kind::Sni, name, view.at).is_some();
        let many = self.served.peek(&address).is_some_and(|names| names.len() >= SHARED_NAMES);
        (!is_listed && many).then_some(Lowered::NameOutranks)
    }

    /// Remembers that a listed address serves a name.
    fn serves(&mut self, address: IpAddr, name: &str, view: &View<'_, '_>) {
        if view.intel.address(address, view.at).is_none() || view.is_inside(address) {
            return;
        }
        let (names, left) = self.served.get_or_insert_with(address, || Distinct::new(NAMES_PER_ADDRESS));
        if let Some(names) = names {
            names.insert(registered_domain(name).unwrap_or(name).into());
        }
        self.evicted += u64::from(left.is_some());
    }

    fn dns(&mut self, dns: &Dns, flow: &FlowRef, view: &mut View<'_, '_>) {
        if !matches!(dns.application, Application::Dns | Application::Unknown) {
            return;
        }
        if dns.is_response {
            for record in &dns.answer_records {
                match &record.data {
                    Rdata::Address(address) => self.serves(*address, &dns.qname, view),
                    Rdata::Name(name) if record.rtype == CNAME => {
                        self.named(&lower(name), Seen::Answer, None, flow, view);
                    }
                    Rdata::Name(_)
                    | Rdata::Text(_)
                    | Rdata::Exchange { .. }
                    | Rdata::Server { .. }
                    | Rdata::Authority(_)
                    | Rdata::Fingerprint { .. }
                    | Rdata::Issuer { .. }
                    | Rdata::Service { .. }
                    | Rdata::Other(_) => {}
                }
            }
            let resolver = flow.responder.address;
            if self.resolver != Some(resolver) && !dns.from_originator && view.is_inside(resolver) {
                self.resolver = Some(resolver);
                // One that nobody asked for long is forgotten: at worst its own questions count as its own.
                let _left = self.resolvers.insert(resolver, ());
            }
        } else {
            self.named(&dns.qname, Seen::Query, None, flow, view);
        }
    }

    fn hello(&mut self, name: Option<&str>, ja4: &str, flow: &FlowRef, view: &mut View<'_, '_>) {
        let peer = flow.responder.address;
        if let Some(name) = name {
            let name = lower(name);
            self.wants(&name, flow, view);
            self.named(&name, Seen::ServerName, Some(peer), flow, view);
            if let Some(hit) = view.intel.exact(Kind::Sni, &name, view.at) {
                self.found(&hit, Seen::ServerName, Some(peer), flow, view);
            }
        }
        if let Some(hit) = view.intel.exact(Kind::Ja4, ja4, view.at) {
            self.found(&hit, Seen::Fingerprint, Some(peer), flow, view);
        }
    }

    fn request(&mut self, host: Option<&str>, target: &str, flow: &FlowRef, view: &mut View<'_, '_>) {
        let peer = flow.responder.address;
        if let Some(host) = host {
            let host = lower(host);
            self.wants(&host, flow, view);
            self.named(&host, Seen::Request, Some(peer), flow, view);
        }
        if view.intel.has(Kind::Url) || view.intel.has(Kind::Path) {
            self.target(&host_of(host, peer), target, flow, view);
        }
    }

    /// The URL with and without its query, and the path.
    fn target(&mut self, host: &str, target: &str, flow: &FlowRef, view: &mut View<'_, '_>) {
        let peer = Some(flow.responder.address);
        let whole = url_key(host, target);
        let bare = whole.split('?').next().unwrap_or_default();
        let path = bare.find('/').and_then(|at| bare.get(at..)).unwrap_or_default();
        for (kind, text) in [(Kind::Url, &*whole), (Kind::Url, bare), (Kind::Path, path)] {
            if let Some(hit) = view.intel.exact(kind, text, view.at) {
                self.found(&hit, Seen::Request, peer, flow, view);
                if kind == Kind::Url {
                    return;
                }
            }
        }
    }

    fn transaction(&mut self, one: &Transaction, flow: &FlowRef, view: &mut View<'_, '_>) {
        if let Transaction::Quic(hello) = one
            && hello.is_client
        {
            self.hello(hello.server_name.as_deref(), &hello.ja4, flow, view);
        }
        if let Transaction::Tls(tls) = one {
            let listed = tls.server_chain.iter().find_map(|one| view.intel.certificate(&one.sha256, view.at));
            if let Some(hit) = listed {
                let flow = if tls.client_is_originator { *flow } else { flow.reversed() };
                self.found(&hit, Seen::Certificate, Some(flow.responder.address), &flow, view);
            }
        }
        // Of HTTP/1 only the query is new here; the rest was seen when the request began.
        if let Transaction::Http(exchange) = one
            && let Some(request) = &exchange.request
        {
            let host = value(&request.fields, ":authority").or_else(|| value(&request.fields, "host"));
            let host = host.map(|host| host.rsplit_once(':').map_or(host, |(host, _)| host));
            if exchange.application == Application::Http2 {
                let path = value(&request.fields, ":path").unwrap_or(&request.target);
                self.request(host, path, flow, view);
            } else if view.intel.has(Kind::Url) && request.target.contains('?') {
                let host = host_of(host, flow.responder.address);
                let hit = view.intel.exact(Kind::Url, &url_key(&host, &request.target), view.at);
                if let Some(hit) = hit {
                    self.found(&hit, Seen::Request, Some(flow.responder.address), flow, view);
                }
            }
        }
    }

    /// The flow says whom it wants.
    fn wants(&mut self, name: &str, flow: &FlowRef, view: &mut View<'_, '_>) {
        self.serves(flow.responder.address, name, view);
        if let Some(pending) = self.pending.remove(&flow.id) {
            self.contacted(&pending, Some(name), view);
        }
    }

    fn named(
        &mut self,
        name: &str,
        seen: Seen,
        peer: Option<IpAddr>,
        flow: &FlowRef,
        view: &mut View<'_, '_>,
    ) {
        let Some(hit) = view.intel.domain(name, view.at) else { return };
        let asker = flow.originator.address;
        // A resolver asks for somebody else: the finding about that host is the one to follow.
        if seen == Seen::Query
            && self.resolvers.peek(&asker).is_some()
            && self.latest.peek(&hit.place).is_some_and(|host| *host != asker)
        {
            return;
        }
        self.found(&hit, seen, peer, flow, view);
    }

    fn found(
        &mut self,
        hit: &Hit<'_>,
        seen: Seen,
        peer: Option<IpAddr>,
        flow: &FlowRef,
        view: &mut View<'_, '_>,
    ) {
        let host = flow.originator.address;
        // A stranger who asks one of our servers for a listed name says nothing of us.
        if !view.is_inside(host) && view.is_inside(flow.responder.address) {
            return;
        }
        // A proxy inside is not what a name stands for.
        let by_name = matches!(hit.kind, Kind::Domain | Kind::Sni | Kind::Url);
        let peer = peer.filter(|peer| !by_name || !view.is_inside(*peer));
        let contact = Contact { at: view.at, flow: *flow, host, peer, seen, name: None, lowered: None };
        self.report(hit, &contact, view);
    }

    fn report(&mut self, hit: &Hit<'_>, contact: &Contact<'_>, view: &mut View<'_, '_>) {
        let key = (contact.host, hit.place);
        if let Some(id) = self.known.get_mut(&key)
            && view.out.grow(*id, contact.at, |finding| claim::add(finding, hit, contact))
        {
            return;
        }
        let id = view.out.open(claim::claim(hit, contact, view.scene.policy));
        self.evicted += u64::from(self.known.insert(key, id).is_some_and(|(left, _)| left != key));
        let _left = self.latest.insert(hit.place, contact.host);
    }
}

/// In lower case, as names are listed. Most are already.
fn lower(name: &str) -> Cow<'_, str> {
    if name.bytes().fold(false, |any, byte| any | byte.is_ascii_uppercase()) {
        Cow::Owned(name.to_ascii_lowercase())
    } else {
        Cow::Borrowed(name)
    }
}

/// Whom a request is for: the address, where no name is given.
fn host_of(host: Option<&str>, peer: IpAddr) -> Cow<'_, str> {
    host.map_or_else(|| Cow::Owned(peer.to_string()), lower)
}
