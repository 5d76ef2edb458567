//! `flood.amplification`: a host drowns in answers to questions that it never asked, or one of ours gives such answers.
//!
//! Somebody sends questions in the victim's name to services that answer more than they are asked. The victim sees answers
//! without questions: flows whose first packet comes from a reflecting service's port ([`reflectors`]), from many hosts with
//! one port, or is a SYN-ACK. Per victim and way a leaking bucket (`Gauge`) tells masses from stragglers. The other half: an
//! outside address asks one of our services hundreds of questions a minute and gets ten times the bytes back.

mod reflecting;
pub(super) mod reflectors;
mod victim;

use core::net::IpAddr;

use sekimori_wire::time::Timestamp;

use crate::bounded::{Map, stand_in};
use crate::detect::findings::Findings;
use crate::detect::{Detect, Inside, Kinds, Report, Scene, Setup, Sieve};
use crate::event::{Event, First, FlowEvent, FlowRef};
use reflecting::Reflecting;
use victim::{Share, Victim};

/// A victim without packets for this many seconds is judged by what there is and forgotten.
const QUIET_SLOTS: u64 = 10;
/// Of a flow seen for the first time, so many packets in one report need no second look.
const AT_ONCE: u32 = 16;
/// IP packets no longer than this carry no TCP payload: 40 bytes of headers (60 over IPv6) and 20 of options.
const BARE_BYTES: u32 = 80;
/// IP and UDP headers, which a payload's length does not count.
const HEADERS_BYTES: u64 = 28;

/// How the answers come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Via {
    /// From the port of a service that is known to reflect.
    Known,
    /// The same, but the service is asked by multicast and both hosts are inside.
    Discovery,
    /// From whatever port, the same of all senders.
    SamePort,
    /// SYN-ACKs without SYN.
    SynAck,
}

impl Via {
    /// Answers without question a second that every host is granted.
    pub(super) const fn floor(self) -> u64 {
        match self {
            // What a busy resolver gets late, after its question was forgotten, is a few a second.
            Self::Known | Self::SynAck => 50,
            // A hundred printers and televisions answer a search within a second or two (UPnP: MX is 1 to 5 seconds).
            Self::Discovery => 250,
            Self::SamePort => 250,
        }
    }
}

/// State: one bucket for each victim and way, and what our own services answer.
#[derive(Debug)]
pub(super) struct FloodAmplification {
    victims: Map<Key, Victim>,
    newcomers: Sieve<Key, u64>,
    /// The last TCP flow that was met midstream: its first packet was a SYN-ACK if the same packet answers.
    midstream: Option<u64>,
    reflecting: Reflecting,
    distinct: usize,
    evicted: u64,
}

type Key = (IpAddr, Via);

impl FloodAmplification {
    pub(super) fn new(setup: &Setup<'_>) -> Self {
        let (limits, seed) = (setup.limits, setup.seed);
        Self {
            victims: Map::new(limits.detector_entries, seed),
            newcomers: Sieve::new(limits.detector_entries, seed),
            midstream: None,
            reflecting: Reflecting::new(limits.detector_entries, seed),
            distinct: limits.distinct_per_entry,
            evicted: 0,
        }
    }

    fn conclude(left: Option<(Key, Victim)>, scene: &Scene<'_>, out: &mut Findings) {
        let Some((key, mut victim)) = left else { return };
        if victim.gauge.conclude(key.1.floor()) {
            victim.judge(key, scene, out);
        }
    }

    fn take(&mut self, at: Timestamp, key: Key, share: Share<'_>, (scene, out): (&Scene<'_>, &mut Findings)) {
        let slot = at.secs();
        while self.victims.oldest().is_some_and(|(_, victim)| slot > victim.gauge.slot() + QUIET_SLOTS) {
            Self::conclude(self.victims.pop_oldest(), scene, out);
        }
        let place = if let Some(place) = self.victims.place_of(&key) {
            place
        } else {
            let known = share.packets >= u64::from(AT_ONCE)
                || share.packets > 0 && self.newcomers.pass(key, share.flow.id, |a, b| a == b).is_some();
            if !known {
                return;
            }
            let (place, left) = self.victims.enter(key, Victim::new(at, self.distinct));
            self.evicted += u64::from(left.is_some());
            Self::conclude(left, scene, out);
            place
        };
        let Some(victim) = self.victims.use_at(place) else { return };
        if victim.gauge.advance(slot, key.1.floor()) {
            victim.judge(key, scene, out);
        }
        if victim.gauge.is_idle() {
            victim.restart(at, self.distinct);
        }
        victim.count(at, &share);
    }

    fn on_flow(
        &mut self,
        at: Timestamp,
        (flow, inside): (&FlowRef, Inside),
        what: &FlowEvent,
        to: (&Scene<'_>, &mut Findings),
    ) {
        match flow.protocol {
            6 => self.on_tcp(at, flow, what, to),
            17 => self.on_udp(at, (flow, inside), what, to),
            _ => {}
        }
    }

    fn on_udp(
        &mut self,
        at: Timestamp,
        (flow, inside): (&FlowRef, Inside),
        what: &FlowEvent,
        (scene, out): (&Scene<'_>, &mut Findings),
    ) {
        let (from, to) = (flow.originator, flow.responder.address);
        let none = Share::of(flow, from);
        let share = match what {
            FlowEvent::Started(First::Datagram) => Share { packets: 1, ..none },
            FlowEvent::Answered => Share { answers: 1, ..none },
            FlowEvent::Traffic(traffic) => Share {
                packets: traffic.sent.packets.into(),
                answers: traffic.received.packets.into(),
                sized: (traffic.sent.packets.into(), traffic.sent.bytes.into()),
                ..none
            },
            // The size of a flow's only packet.
            FlowEvent::Opening(opening) if opening.from_originator && at == flow.began => {
                Share { sized: (1, u64::from(opening.bytes) + HEADERS_BYTES), ..none }
            }
            FlowEvent::Dns(dns) if dns.is_response && dns.from_originator => {
                Share { question: Some(stand_in(&(dns.qtype, &*dns.qname))), ..none }
            }
            FlowEvent::Dns(_)
            | FlowEvent::Started(_)
            | FlowEvent::Established
            | FlowEvent::Rejected
            | FlowEvent::Unanswered
            | FlowEvent::Tls(_)
            | FlowEvent::HttpRequest(_)
            | FlowEvent::HttpResponse { .. }
            | FlowEvent::Opening(_)
            | FlowEvent::Echo(_)
            | FlowEvent::Syslog(_)
            | FlowEvent::Transaction(_)
            | FlowEvent::Anomaly(_)
            | FlowEvent::Ended(_) => return,
        };
        let via = match reflectors::is_one(from.port) {
            true if inside.originator && inside.responder && reflectors::is_discovered(from.port) => {
                Via::Discovery
            }
            true => Via::Known,
            false => Via::SamePort,
        };
        // Groups are sent to by who announces itself and by who streams; a name server never sends there.
        let announced = via == Via::SamePort || reflectors::is_discovered(from.port);
        if to.is_multicast() && announced {
            return;
        }
        self.take(at, (to, via), share, (scene, out));
    }

    fn on_tcp(
        &mut self,
        at: Timestamp,
        flow: &FlowRef,
        what: &FlowEvent,
        (scene, out): (&Scene<'_>, &mut Findings),
    ) {
        // Who receives a SYN-ACK is the originator, by whom it should have been asked for.
        let (victim, none) = (flow.originator.address, Share::of(flow, flow.responder));
        let share = match what {
            FlowEvent::Started(First::Midstream) => {
                self.midstream = Some(flow.id);
                return;
            }
            FlowEvent::Answered if self.midstream == Some(flow.id) => Share { packets: 1, ..none },
            // Data comes: the capture has one half of ordinary connections.
            FlowEvent::Traffic(traffic)
                if traffic.received.bytes > traffic.received.packets.saturating_mul(BARE_BYTES) =>
            {
                Share { answers: traffic.received.packets.into(), ..none }
            }
            FlowEvent::Traffic(_)
            | FlowEvent::Answered
            | FlowEvent::Dns(_)
            | FlowEvent::Started(_)
            | FlowEvent::Established
            | FlowEvent::Rejected
            | FlowEvent::Unanswered
            | FlowEvent::Tls(_)
            | FlowEvent::HttpRequest(_)
            | FlowEvent::HttpResponse { .. }
            | FlowEvent::Opening(_)
            | FlowEvent::Echo(_)
            | FlowEvent::Syslog(_)
            | FlowEvent::Transaction(_)
            | FlowEvent::Anomaly(_)
            | FlowEvent::Ended(_) => return,
        };
        self.take(at, (victim, Via::SynAck), share, (scene, out));
    }
}

impl Detect for FloodAmplification {
    const RULE: &'static str = "flood.amplification/1";
    const WANTS: Kinds =
        Kinds::STARTED.and(Kinds::ANSWERED).and(Kinds::OPENING).and(Kinds::DNS).and(Kinds::ENDED);
    const REPORTS: bool = true;

    fn on_report(&mut self, Report { at, flow, traffic }: &Report, scene: &Scene<'_>, out: &mut Findings) {
        let inside = Inside::of(flow, scene.policy);
        self.on_flow(*at, (flow, inside), &FlowEvent::Traffic(*traffic), (scene, out));
    }

    fn on_event(&mut self, event: &Event, scene: &Scene<'_>, out: &mut Findings) {
        let Event::Flow { at, flow, what } = event else { return };
        if !matches!(what, FlowEvent::Traffic(_) | FlowEvent::Ended(_)) {
            self.on_flow(*at, (flow, scene.inside), what, (scene, out));
        }
        if let FlowEvent::Ended(record) = what
            && flow.protocol == 17
        {
            self.reflecting.on_ended(*at, flow, record, scene, out);
        }
    }

    fn finish(&mut self, scene: &Scene<'_>, out: &mut Findings) {
        while let Some(left) = self.victims.pop_oldest() {
            Self::conclude(Some(left), scene, out);
        }
    }

    fn take_evicted(&mut self) -> u64 {
        core::mem::take(&mut self.evicted) + self.reflecting.take_evicted()
    }
}
