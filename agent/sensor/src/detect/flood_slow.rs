//! `flood.slow`: a web service is held by many connections that never finish asking.
//!
//! Three ways, all counted per service: requests whose head or body never came to its end (slow headers and slow bodies:
//! slowloris, R.U.D.Y.), connections on which the client keeps sending a few bytes at a time and never got anything back (the
//! same as it happens), and clients that close their receive window on an answer (slow read). A client that waits for an answer
//! (long poll), sleeps on an open connection, or was answered (WebSocket) is none of these.

mod service;

use std::time::Duration;

use sekimori_wire::time::Timestamp;

use crate::bounded::Map;
use crate::detect::findings::Findings;
use crate::detect::ports::Ports;
use crate::detect::{Detect, Kinds, Scene, Setup};
use crate::event::{
    Amount, Endpoint, Event, FlowEvent, FlowRecord, FlowRef, HttpExchange, Opening, Transaction,
};
use service::{Service, Way};

/// Pieces on one connection before it counts as held: headers that come one by one still fit in two or three packets.
const PIECES_MIN: u32 = 3;
/// And over so long: a head is expected to be complete within 20 seconds (Apache, `mod_reqtimeout`), and is within one.
const HELD_MIN: Duration = Duration::from_secs(10);
/// A piece is no longer than this as an IPv4 packet: attack tools send one header or a few bytes of a body.
const PIECE_BYTES_MAX: u32 = 200;
/// IPv6's header is so much longer.
const IPV6_MORE: u32 = 20;
/// Zero windows that a client announces on one connection, and for how long, before it reads slowly on purpose: a program that
/// is only busy takes what came within a second.
const ZERO_WINDOWS_MIN: u32 = 3;
const CLOSED_MIN: Duration = Duration::from_secs(2);
/// Ports of web services besides those at which HTTP was seen: IANA's http, https and their alternatives.
static WEB_PORTS: Ports = Ports::of(&[&[80, 443, 591, 8_000, 8_008, 8_080, 8_443]]);

/// State: what each web service is held with.
#[derive(Debug)]
pub(super) struct FloodSlow {
    services: Map<Endpoint, Service>,
    /// Connections whose client began to ask and heard nothing yet.
    dripping: Map<u64, Drip>,
    /// The flow whose last request was unfinished when it was told: at the flow's end, if that comes next.
    unfinished: Option<u64>,
    distinct: usize,
    evicted: u64,
}

#[derive(Debug)]
struct Drip {
    service: Endpoint,
    first: Timestamp,
    pieces: u32,
    held: bool,
}

impl FloodSlow {
    pub(super) fn new(setup: &Setup<'_>) -> Self {
        let (limits, seed) = (setup.limits, setup.seed);
        Self {
            services: Map::new(limits.detector_entries, seed),
            dripping: Map::new(limits.detector_entries, seed),
            unfinished: None,
            distinct: limits.distinct_per_entry,
            evicted: 0,
        }
    }

    fn service(&mut self, at: Timestamp, server: Endpoint) -> Option<&mut Service> {
        let distinct = self.distinct;
        let (service, evicted) = self.services.get_or_insert_with(server, || Service::new(at, distinct));
        self.evicted += u64::from(evicted.is_some());
        service
    }

    fn on_exchange(&mut self, at: Timestamp, flow: &FlowRef, exchange: &HttpExchange) {
        let Some(request) = exchange.request.as_ref().filter(|_| exchange.from_originator) else { return };
        let unfinished = !request.body.complete && request.body.missing == 0 && exchange.response.is_none();
        self.unfinished = unfinished.then_some(flow.id);
        if let Some(service) = self.service(at, flow.responder).filter(|_| !unfinished) {
            service.on_finished(at);
        }
    }

    fn on_opening(&mut self, at: Timestamp, flow: &FlowRef, opening: Opening) {
        if !opening.from_originator {
            return self.forget(flow.id);
        }
        if WEB_PORTS.has(flow.responder.port) || self.services.peek(&flow.responder).is_some() {
            let drip = Drip { service: flow.responder, first: at, pieces: 0, held: false };
            if let Some((_, left)) = self.dripping.insert(flow.id, drip) {
                self.evicted += 1;
                self.let_go(&left);
            }
        }
    }

    fn on_traffic(&mut self, at: Timestamp, flow: &FlowRef, sent: Amount, to: (&Scene<'_>, &mut Findings)) {
        if !is_piece(sent, flow.responder.address.is_ipv6()) {
            return;
        }
        let Some(drip) = self.dripping.get_mut(&flow.id) else { return };
        drip.pieces = drip.pieces.saturating_add(1);
        let held = drip.pieces >= PIECES_MIN && at.since(drip.first) >= HELD_MIN;
        let newly = held && !core::mem::replace(&mut drip.held, held);
        if newly && let Some(service) = self.service(at, flow.responder) {
            service.on_held(at, flow, to);
        }
    }

    fn on_ended(
        &mut self,
        at: Timestamp,
        flow: &FlowRef,
        record: &FlowRecord,
        (scene, out): (&Scene<'_>, &mut Findings),
    ) {
        let conduct = &record.conduct;
        let whole = !conduct.midstream && conduct.originator.missed_bytes == 0;
        let unfinished = self.unfinished.take() == Some(flow.id) && whole;
        let closed = conduct.originator.zero_windows >= ZERO_WINDOWS_MIN;
        let long = record.end.since(flow.began) >= CLOSED_MIN && record.responder.payload_bytes > 0;
        let way = if unfinished { Some(Way::Request) } else { (closed && long).then_some(Way::Read) };
        if let Some(way) = way
            && let Some(service) = self.service(at, flow.responder)
        {
            service.on_unfinished(at, flow, way, (scene, out));
        }
        self.forget(flow.id);
    }

    fn forget(&mut self, flow: u64) {
        if let Some(drip) = self.dripping.remove(&flow) {
            self.let_go(&drip);
        }
    }

    fn let_go(&mut self, drip: &Drip) {
        if drip.held
            && let Some(service) = self.services.get_mut(&drip.service)
        {
            service.on_let_go();
        }
    }
}

/// A few bytes of payload on headers with or without timestamps; a keep-alive has one at most.
fn is_piece(amount: Amount, is_v6: bool) -> bool {
    let more = if is_v6 { IPV6_MORE } else { 0 };
    let mean = amount.bytes.checked_div(amount.packets).map(|mean| mean.saturating_sub(more));
    mean.is_some_and(|mean| matches!(mean, 45..=51 | 55..=PIECE_BYTES_MAX))
}

impl Detect for FloodSlow {
    const RULE: &'static str = "flood.slow/1";
    const WANTS: Kinds =
        Kinds::TRAFFIC.and(Kinds::OPENING).and(Kinds::HTTP_REQUEST).and(Kinds::ENDED).and(Kinds::TRANSACTION);

    fn on_event(&mut self, event: &Event, scene: &Scene<'_>, out: &mut Findings) {
        let Event::Flow { at, flow, what } = event else { return };
        if flow.protocol != 6 {
            return;
        }
        if let FlowEvent::Traffic(traffic) = what {
            self.on_traffic(*at, flow, traffic.sent, (scene, out));
        } else if let FlowEvent::Opening(opening) = what {
            self.on_opening(*at, flow, *opening);
        } else if let FlowEvent::HttpRequest(request) = what {
            // The head is whole; what follows it may still be a body in pieces.
            if !matches!(&*request.method, "POST" | "PUT" | "PATCH") {
                self.forget(flow.id);
            }
        } else if let FlowEvent::Ended(record) = what {
            self.on_ended(*at, flow, record, (scene, out));
        } else if let FlowEvent::Transaction(transaction) = what
            && let Transaction::Http(exchange) = &**transaction
        {
            self.on_exchange(*at, flow, exchange);
        }
    }

    fn take_evicted(&mut self) -> u64 {
        core::mem::take(&mut self.evicted)
    }
}
