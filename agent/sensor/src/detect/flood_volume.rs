//! `flood.volume`: a host drowns in packets that it did not ask for and does not answer, or in requests for one page.
//!
//! Per destination and kind of packet, a bucket in slots of one second of event time leaks at the larger of a floor and three
//! times what was normal ([`gauge`]). Bulk transfers are no floods, for their receiver answers: only what the originator of a
//! flow sends counts, and each answer takes many packets back. SYNs are `flood.syn`'s, answers of services that reflect are
//! `flood.amplification`'s.

pub(super) mod gauge;
mod victim;

use core::net::IpAddr;

use sekimori_wire::time::Timestamp;

use crate::bounded::Map;
use crate::detect::findings::Findings;
use crate::detect::flood_amplification::reflectors;
use crate::detect::{Detect, Kinds, Report, Scene, Setup, Sieve};
use crate::event::{Amount, Event, First, FlowEvent, FlowRef, Traffic};
use victim::{Share, Victim};

/// A destination without packets for this many seconds is judged by what there is and forgotten.
const QUIET_SLOTS: u64 = 10;
/// IP packets no longer than this carry no TCP payload: 40 bytes of headers (60 over IPv6) and 20 of options.
const BARE_BYTES: u32 = 80;
/// What an Ethernet frame carries.
const FRAME_BYTES: u64 = 1_500;
/// Of a flow seen for the first time, so many packets in one report need no second look.
const AT_ONCE: u32 = 32;

/// What kind of packets a destination is flooded with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Kind {
    /// ICMP echo requests.
    Echo,
    /// Other ICMP: unreachables, replies nobody asked for, neighbour and router advertisements.
    Icmp,
    /// UDP.
    Udp,
    /// TCP segments that belong to no connection and carry nothing: ACK, RST and FIN floods.
    Tcp,
    /// Any other protocol.
    Other,
    /// TCP connections that were established.
    Connect,
    /// HTTP requests.
    Http,
}

impl Kind {
    /// Packets or requests a second that every destination is granted.
    pub(super) const fn floor(self) -> u64 {
        match self {
            // ping sends one a second, users may not go below 200 ms, and `ping -f` sends at least a hundred (ping(8)).
            Self::Echo => 50,
            // ntopng's threshold of an ICMP flood. Hosts themselves limit what they send to 1,000 a second in all (Linux,
            // icmp_msgs_per_sec).
            Self::Icmp => 250,
            // With Kind::unit, a sixth of the smaller bodies' lines of 10 Mbit/s (DETECTION 4.8: 20 % of capacity).
            Self::Udp => 400,
            // A busy server of a body sees a few hundred packets a second in all.
            Self::Tcp => 500,
            Self::Other => 1_000,
            // Everybody's browsers together open a few dozen connections a second to one server.
            Self::Connect => 200,
            // A browser asks for a hundred things of a page within a second or two, and then is silent.
            Self::Http => 100,
        }
    }
}

/// State: one bucket for each destination and kind.
#[derive(Debug)]
pub(super) struct FloodVolume {
    victims: Map<Key, Victim>,
    newcomers: Sieve<Key, u64>,
    /// Pairs of hosts that spoke with each other, lower address first.
    talks: Map<(IpAddr, IpAddr), ()>,
    /// The last TCP flow that was met midstream: its first packet was a SYN-ACK if the same packet answers.
    midstream: Option<u64>,
    distinct: usize,
    evicted: u64,
}

impl Kind {
    /// A packet counts once more for each so many bytes, for lines fill by bytes.
    const fn unit(self) -> u64 {
        match self {
            // An echo of 64 KiB, which was put together from so many frames.
            Self::Echo | Self::Icmp => FRAME_BYTES,
            Self::Udp | Self::Tcp | Self::Other | Self::Connect | Self::Http => 500,
        }
    }
}

type Key = (IpAddr, Kind);

impl FloodVolume {
    pub(super) fn new(setup: &Setup<'_>) -> Self {
        let (limits, seed) = (setup.limits, setup.seed);
        Self {
            victims: Map::new(limits.detector_entries, seed),
            newcomers: Sieve::new(limits.detector_entries, seed),
            talks: Map::new(limits.detector_entries, seed),
            midstream: None,
            distinct: limits.distinct_per_entry,
            evicted: 0,
        }
    }

    /// The least recent conversation leaves uncounted: it only granted a higher rate.
    fn remember_talk(&mut self, flow: &FlowRef) {
        let _left = self.talks.insert(pair(flow.originator.address, flow.responder.address), ());
    }

    fn forget_quiet(&mut self, slot: u64, scene: &Scene<'_>, out: &mut Findings) {
        while self.victims.oldest().is_some_and(|(_, victim)| slot > victim.gauge.slot() + QUIET_SLOTS) {
            let quiet = self.victims.pop_oldest();
            self.conclude(quiet, scene, out);
        }
    }

    fn conclude(&self, left: Option<(Key, Victim)>, scene: &Scene<'_>, out: &mut Findings) {
        let Some((key, mut victim)) = left else { return };
        if victim.gauge.conclude(key.1.floor()) {
            victim.judge(key, &self.talks, scene, out);
        }
    }

    fn take(
        &mut self,
        at: Timestamp,
        flow: &FlowRef,
        (kind, share): (Kind, Share),
        (scene, out): (&Scene<'_>, &mut Findings),
    ) {
        let (key, slot) = ((flow.responder.address, kind), at.secs());
        self.forget_quiet(slot, scene, out);
        let place = if let Some(place) = self.victims.place_of(&key) {
            place
        } else {
            // Nobody completes a connection in another's name.
            let known = matches!(kind, Kind::Http | Kind::Connect)
                || share.packets >= u64::from(AT_ONCE)
                || share.packets > 0 && self.newcomers.pass(key, flow.id, |a, b| a == b).is_some();
            if !known {
                return;
            }
            let (place, left) = self.victims.enter(key, Victim::new(at, self.distinct));
            self.evicted += u64::from(left.is_some());
            self.conclude(left, scene, out);
            place
        };
        let Some(victim) = self.victims.use_at(place) else { return };
        if victim.gauge.advance(slot, kind.floor()) {
            victim.judge(key, &self.talks, scene, out);
        }
        if victim.gauge.is_idle() {
            victim.restart(at, self.distinct);
        }
        victim.count(at, flow, share);
    }
}

/// Two addresses, the lower first.
fn pair(a: IpAddr, b: IpAddr) -> (IpAddr, IpAddr) {
    if a <= b { (a, b) } else { (b, a) }
}

/// The kind of a flow's packets.
const fn kind_of(flow: &FlowRef) -> Kind {
    match (flow.protocol, flow.originator.port) {
        (1, 8) | (58, 128) => Kind::Echo,
        (1 | 58, _) => Kind::Icmp,
        (17, _) => Kind::Udp,
        (6, _) => Kind::Tcp,
        _ => Kind::Other,
    }
}

/// What an event adds to which bucket of the flow's responder.
fn share_of(at: Timestamp, flow: &FlowRef, what: &FlowEvent) -> Option<(Kind, Share)> {
    let kind = kind_of(flow);
    let one = Share { packets: 1, units: 1, flows: 1, ..Share::default() };
    match what {
        FlowEvent::HttpRequest(request) => {
            Some((Kind::Http, Share { path: Some(request.path.clone()), ..one }))
        }
        FlowEvent::Started(First::Syn) => None,
        FlowEvent::Started(First::Midstream | First::Datagram | First::EchoRequest | First::Other) => {
            Some((kind, one))
        }
        FlowEvent::Established => Some((Kind::Connect, one)),
        // Every echo request may be answered: whoever pings at such a rate floods.
        FlowEvent::Answered if kind == Kind::Udp => Some((kind, Share { answers: 1, ..Share::default() })),
        // The size of a flow's first packet, if it carried something.
        FlowEvent::Opening(opening) if opening.from_originator && at == flow.began && kind == Kind::Udp => {
            let bytes = u64::from(opening.bytes).min(FRAME_BYTES);
            Some((kind, Share { bytes, units: bytes / kind.unit(), ..Share::default() }))
        }
        FlowEvent::Answered
        | FlowEvent::Traffic(_)
        | FlowEvent::Opening(_)
        | FlowEvent::Rejected
        | FlowEvent::Unanswered
        | FlowEvent::Dns(_)
        | FlowEvent::Tls(_)
        | FlowEvent::HttpResponse { .. }
        | FlowEvent::Echo(_)
        | FlowEvent::Syslog(_)
        | FlowEvent::Transaction(_)
        | FlowEvent::Anomaly(_)
        | FlowEvent::Ended(_) => None,
    }
}

fn carried(kind: Kind, Traffic { sent, received }: Traffic) -> Share {
    let bare = |amount: Amount| amount.bytes <= amount.packets.saturating_mul(BARE_BYTES);
    let (packets, answers) = match kind {
        Kind::Echo => (sent.packets, 0),
        // Who sends data, or is sent data, is in a connection; a RST for each segment is no answer.
        Kind::Tcp if bare(sent) => (sent.packets, if bare(received) { 0 } else { received.packets }),
        Kind::Tcp => (0, sent.packets),
        Kind::Icmp | Kind::Udp | Kind::Other | Kind::Connect | Kind::Http => (sent.packets, received.packets),
    };
    let bytes = if packets > 0 { u64::from(sent.bytes) } else { 0 };
    let packets = u64::from(packets);
    // A datagram counts for no more than what one frame carries, whatever a broken header says.
    let believed = if kind == Kind::Echo { bytes } else { bytes.min(packets * FRAME_BYTES) };
    let units = packets + believed / kind.unit();
    Share { packets, units, answers: answers.into(), bytes, ..Share::default() }
}

impl Detect for FloodVolume {
    const RULE: &'static str = "flood.volume/1";
    const WANTS: Kinds = Kinds::STARTED
        .and(Kinds::ANSWERED)
        .and(Kinds::ESTABLISHED)
        .and(Kinds::HTTP_REQUEST)
        .and(Kinds::OPENING);
    const REPORTS: bool = true;

    fn on_report(&mut self, Report { at, flow, traffic }: &Report, scene: &Scene<'_>, out: &mut Findings) {
        let kind = kind_of(flow);
        if !is_left_out(flow) {
            self.take(*at, flow, (kind, carried(kind, *traffic)), (scene, out));
        }
    }

    fn on_event(&mut self, event: &Event, scene: &Scene<'_>, out: &mut Findings) {
        let Event::Flow { at, flow, what } = event else { return };
        let talks = match flow.protocol {
            6 => matches!(what, FlowEvent::Established),
            17 => matches!(what, FlowEvent::Answered),
            _ => false,
        };
        if talks {
            self.remember_talk(flow);
        }
        if is_left_out(flow) {
            return;
        }
        if flow.protocol == 6 && matches!(what, FlowEvent::Started(First::Midstream)) {
            self.midstream = Some(flow.id);
        }
        if matches!(what, FlowEvent::Answered) && self.midstream == Some(flow.id) {
            // That first packet was a SYN-ACK to the originator: what was counted for the responder is taken back.
            self.take(*at, flow, (Kind::Tcp, Share { answers: 1, ..Share::default() }), (scene, out));
        }
        // A load test between our own hosts, whose handshakes all complete, is told by its requests at most.
        let ours = || scene.inside.originator && scene.inside.responder;
        let share = share_of(*at, flow, what).filter(|(kind, _)| !(*kind == Kind::Connect && ours()));
        if let Some(share) = share {
            self.take(*at, flow, share, (scene, out));
        }
    }

    fn finish(&mut self, scene: &Scene<'_>, out: &mut Findings) {
        while let Some(left) = self.victims.pop_oldest() {
            self.conclude(Some(left), scene, out);
        }
    }

    fn take_evicted(&mut self) -> u64 {
        core::mem::take(&mut self.evicted)
    }
}

/// Not judged here: what may be a reflection, and datagrams to groups.
fn is_left_out(flow: &FlowRef) -> bool {
    let to = flow.responder.address;
    let broadcast = matches!(to, IpAddr::V4(v4) if v4.is_broadcast());
    let reflected = reflectors::is_one(flow.originator.port);
    flow.protocol == 17 && (reflected || to.is_multicast() || broadcast)
}
