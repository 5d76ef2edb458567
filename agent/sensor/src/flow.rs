//! Flows: which packets belong together, who began, how much, and how it went.

mod payload;
pub(crate) mod queues;
pub(crate) mod readers;
mod servers;
pub(crate) mod stream;
pub(crate) mod table;
pub(crate) mod tcp;
pub(crate) mod twice;
mod unsaid;

use core::hash::{Hash, Hasher};
use core::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use sekimori_wire::community::icmp_counterpart;
use sekimori_wire::time::Timestamp;

use crate::decode::{self, Flags, Icmp, Ip, Ports, Transport, Vlans};
use crate::event::{
    Conduct, ConnState, EndReason, Endpoint, First, FlowEvent, FlowRecord, FlowRef, History, TcpState,
    Traffic, Volume, Way,
};
use crate::proto::{Notes, Session, Side};
use payload::Asked;
use readers::Membership;
use servers::is_likely_server;
use stream::Stream;
use tcp::{Meaning, Segment, Tcp, cased, scaled};
use twice::{Heard, Twice};
use unsaid::Unsaid;

pub(crate) const TCP: u8 = 6;
const UDP: u8 = 17;
const ICMP: u8 = 1;
const ICMP6: u8 = 58;
const ECHO_REQUEST: u8 = 8;
const ECHO_REQUEST6: u8 = 128;
const ECHO_REPLY: u8 = 0;
const ECHO_REPLY6: u8 = 129;
/// Ports above the privileged ones that servers use: who owns one is the responder of a TCP flow met midstream.
const SERVER_PORTS: [u16; 16] =
    [1433, 1521, 3128, 3268, 3306, 3389, 5060, 5432, 5900, 5985, 6379, 8000, 8080, 8443, 9200, 27_017];
const PRIVILEGED: u16 = 1_024;

/// The canonical name of a flow: the same for both directions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FlowKey {
    low: Endpoint,
    high: Endpoint,
    protocol: u8,
    apart: Apart,
    /// An ICMP type that has no counterpart: who sends the same the other way makes another flow.
    one_way: Option<Direction>,
}

/// What else tells flows between the same ends apart.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Apart {
    pub(crate) vlans: Vlans,
    /// Packets around it.
    pub(crate) depth: u8,
}

/// Which way a packet goes through its flow's key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Direction {
    /// From the lower endpoint.
    FromLow,
    /// From the higher endpoint.
    FromHigh,
}

impl FlowKey {
    /// The key of a flow and which way a packet from `source` to `destination` goes. ICMP types become ports as in
    /// Community ID: the type, and the type that answers it.
    pub(crate) fn new(
        protocol: u8,
        apart: Apart,
        source: Endpoint,
        destination: Endpoint,
    ) -> (Self, Direction) {
        let mut destination = destination;
        let counterpart = icmp_counterpart(protocol, source.port);
        destination.port = counterpart.unwrap_or(destination.port);
        let (low, high, direction) = if source <= destination {
            (source, destination, Direction::FromLow)
        } else {
            (destination, source, Direction::FromHigh)
        };
        let is_icmp = protocol == ICMP || protocol == ICMP6;
        let one_way = (is_icmp && counterpart.is_none()).then_some(direction);
        (Self { low, high, protocol, apart, one_way }, direction)
    }
}

impl Hash for FlowKey {
    fn hash<H: Hasher>(&self, state: &mut H) {
        match (self.low.address, self.high.address) {
            (IpAddr::V4(low), IpAddr::V4(high)) => {
                state.write_u64(u64::from(low.to_bits()) << 32 | u64::from(high.to_bits()));
            }
            (low, high) => [low, high].iter().for_each(|address| match address {
                IpAddr::V4(v4) => state.write_u32(v4.to_bits()),
                IpAddr::V6(v6) => state.write_u128(v6.to_bits()),
            }),
        }
        let ports = u64::from(self.low.port) << 16 | u64::from(self.high.port);
        // 12 bits hold every VLAN, 0 names none.
        let vlan = u64::from(self.apart.vlans.outermost().unwrap_or_default());
        state.write_u64(ports << 32 | vlan << 8 | u64::from(self.protocol));
    }
}

/// The endpoints and protocol number of a packet, as [`FlowKey::new`] takes them.
pub(crate) fn ends(ip: &Ip<'_>) -> (u8, Endpoint, Endpoint) {
    let (protocol, ports) = match ip.transport {
        Transport::Tcp(tcp) => (TCP, tcp.ports),
        Transport::Udp(ports) => (UDP, ports),
        Transport::Icmp(Icmp { v6, kind, code, .. }) => {
            (if v6 { ICMP6 } else { ICMP }, Ports { source: kind.into(), destination: code.into() })
        }
        Transport::Other(other) => (other.protocol, other.ports),
    };
    let source = Endpoint { address: ip.source, port: ports.source };
    (protocol, source, Endpoint { address: ip.destination, port: ports.destination })
}

/// What a packet's frame says about it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wire {
    pub(crate) at: Timestamp,
    /// Length on the wire.
    pub(crate) bytes: u32,
    /// Ethernet addresses of sender and receiver.
    pub(crate) addresses: Option<[[u8; 6]; 2]>,
}

/// One conversation.
#[derive(Debug)]
pub(crate) struct Flow {
    pub(crate) key: FlowKey,
    pub(crate) reading: Membership,
    pub(crate) id: u64,
    /// The way of the originator's packets.
    originator: Direction,
    /// For Zeek it is the other way.
    swapped: bool,
    icmp_code: u8,
    first: First,
    said: Said,
    history: History,
    vlans: Vlans,
    /// Ethernet addresses (originator's, responder's).
    macs: Option<[[u8; 6]; 2]>,
    /// Packets of each side with a wrong checksum, for the history.
    corrupt: [u32; 2],
    /// ICMP type and code of each side's first packet.
    icmp: [Option<(u8, u8)>; 2],
    /// First packet of all.
    pub(crate) began: Timestamp,
    /// Since when it has not been reported.
    pub(crate) unreported_since: Timestamp,
    /// First packet not reported.
    start: Option<Timestamp>,
    /// Last packet.
    pub(crate) last: Timestamp,
    /// Last packet that Zeek counts to the duration.
    active_until: Timestamp,
    /// The last SYN.
    attempt: Timestamp,
    rtt: Option<Duration>,
    volumes: [Volume; 2],
    unsaid: Unsaid,
    /// Both sides sent something, payload was seen: over its whole life.
    pub(crate) seen: [Seen; 2],
    pub(crate) tcp: Tcp,
    /// What each side said at its last turn.
    twice: [Twice; 2],
    pub(crate) stream: Stream,
    pub(crate) session: Session,
    pub(crate) notes: Notes,
    /// The last ICMP echo request.
    echo: Asked,
}

/// What a flow costs; docs/ARCHITECTURE.md says what that means for a full table.
const _: () = assert!(size_of::<Flow>() <= 880, "262,144 of them live on an appliance of 512 MiB");

/// What a packet meant for the beginning of its flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// Nothing.
    None,
    /// SYN-ACK of the responder, or its first packet.
    Answered,
    /// The originator's answer to the SYN-ACK.
    Established,
    /// RST in answer to the SYN.
    Rejected,
}

/// What one side ever sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Seen {
    packets: bool,
    payload: bool,
}

/// The events that a flow has at most once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Said(u8);

/// One such event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Once {
    Answered = 1,
    Established = 2,
    Rejected = 4,
    Unanswered = 8,
    OriginatorOpened = 16,
    ResponderOpened = 32,
}

/// How long a flow may be silent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Patience {
    /// TCP that has more than an attempt.
    Tcp = 0,
    /// Everything else.
    Other = 1,
    /// TCP that is over: late packets are awaited.
    Closed = 2,
}

impl Flow {
    /// A flow that begins with `ip`, which goes `direction`.
    pub(crate) fn begin(id: u64, key: FlowKey, direction: Direction, ip: &Ip<'_>, wire: &Wire) -> Self {
        let reversed = match direction {
            Direction::FromLow => Direction::FromHigh,
            Direction::FromHigh => Direction::FromLow,
        };
        let (first, originator, icmp_code) = match ip.transport {
            Transport::Tcp(tcp) if tcp.flags.has(Flags::SYN) => {
                // A SYN-ACK answers somebody: its receiver began.
                let answers = tcp.flags.has(Flags::ACK);
                if answers { (First::Midstream, reversed, 0) } else { (First::Syn, direction, 0) }
            }
            Transport::Tcp(tcp) => {
                let from_server = is_server(tcp.ports.source) && !is_server(tcp.ports.destination);
                (First::Midstream, if from_server { reversed } else { direction }, 0)
            }
            Transport::Udp(_) => (First::Datagram, direction, 0),
            Transport::Icmp(Icmp { v6, kind, code, .. }) => {
                let echo = kind == if v6 { ECHO_REQUEST6 } else { ECHO_REQUEST };
                (if echo { First::EchoRequest } else { First::Other }, direction, code)
            }
            Transport::Other(_) => (First::Other, direction, 0),
        };
        let flips = is_flipped(ip);
        let mut history = History::default();
        if flips {
            history.push(b'^');
        }
        let swapped = (originator == direction) == flips;
        let at = wire.at;
        Self {
            key,
            id,
            originator,
            swapped,
            icmp_code,
            first,
            said: Said::default(),
            history,
            vlans: ip.vlans,
            macs: wire
                .addresses
                .map(|[from, to]| if originator == direction { [from, to] } else { [to, from] }),
            corrupt: [0; 2],
            reading: Membership::default(),
            icmp: [None; 2],
            began: at,
            unreported_since: at,
            start: None,
            last: at,
            active_until: at,
            attempt: at,
            rtt: None,
            volumes: [Volume::default(); 2],
            unsaid: Unsaid::default(),
            seen: [Seen::default(); 2],
            tcp: Tcp::default(),
            twice: [Twice::default(); 2],
            stream: Stream::default(),
            session: if key.protocol == TCP || key.protocol == UDP {
                Session::default()
            } else {
                Session::Opaque
            },
            notes: Notes::default(),
            echo: Asked::default(),
        }
    }

    /// What detectors need to know of it.
    pub(crate) fn reference(&self) -> FlowRef {
        let (originator, mut responder) = match self.originator {
            Direction::FromLow => (self.key.low, self.key.high),
            Direction::FromHigh => (self.key.high, self.key.low),
        };
        if self.is_icmp() {
            responder.port = self.icmp_code.into();
        }
        FlowRef {
            id: self.id,
            began: self.began,
            originator,
            responder,
            protocol: self.key.protocol,
            vlan: self.vlans.outermost(),
            swapped: self.swapped,
        }
    }

    /// What its first packet was.
    pub(crate) const fn first(&self) -> First {
        self.first
    }

    /// Who sends packets that go `direction`.
    pub(crate) fn side(&self, direction: Direction) -> Side {
        if direction == self.originator { Side::Originator } else { Side::Responder }
    }

    /// Zeek's name of a side.
    const fn zeek(&self, side: Side) -> Side {
        if self.swapped { side.other() } else { side }
    }

    /// Counts a packet.
    pub(crate) fn count(&mut self, side: Side, ip: &Ip<'_>, wire: &Wire) {
        self.start.get_or_insert(wire.at);
        self.last = wire.at;
        let volume = side.of_mut(&mut self.volumes);
        volume.packets += 1;
        volume.bytes = volume.bytes.saturating_add(ip.bytes.into());
        volume.wire_bytes = volume.wire_bytes.saturating_add(wire.bytes.into());
        volume.payload_bytes = volume.payload_bytes.saturating_add(ip.payload_bytes.into());
        self.unsaid.count(side, ip.bytes, wire.at);
        let zeek = self.zeek(side);
        let seen = side.of_mut(&mut self.seen);
        let first = !core::mem::replace(&mut seen.packets, true);
        seen.payload |= ip.payload_bytes > 0;
        if first {
            if let Transport::Icmp(icmp) = ip.transport {
                *side.of_mut(&mut self.icmp) = Some((icmp.kind, icmp.code));
            }
            if matches!(ip.transport, Transport::Udp(_)) {
                self.history.push(cased(b'd', zeek));
            }
        }
        if !matches!(ip.transport, Transport::Tcp(_)) {
            self.active_until = wire.at;
        }
    }

    /// A packet with a wrong checksum: it is not counted, but told.
    pub(crate) fn note_corrupt(&mut self, side: Side) {
        let zeek = self.zeek(side);
        let corrupt = side.of_mut(&mut self.corrupt);
        *corrupt = scaled(*corrupt, b'c', zeek, &mut self.history);
    }

    /// This SYN is not of this connection but opens the next between the same ports.
    pub(crate) fn is_reopened_by(&self, direction: Direction, ip: &Ip<'_>) -> bool {
        match ip.transport {
            Transport::Tcp(tcp) => {
                let side = self.zeek(self.side(direction));
                self.tcp.is_reopened_by(side, &segment(&tcp, ip))
            }
            Transport::Udp(_) | Transport::Icmp(_) | Transport::Other(_) => false,
        }
    }

    /// Follows the handshake, or what comes nearest to one.
    pub(crate) fn follow(&mut self, side: Side, ip: &Ip<'_>, at: Timestamp) -> (Step, Meaning) {
        match ip.transport {
            Transport::Tcp(tcp) => self.follow_tcp(side, &segment(&tcp, ip), at),
            Transport::Udp(_) | Transport::Icmp(_) | Transport::Other(_) => {
                let step = if self.is_answered_by(side, ip) { Step::Answered } else { Step::None };
                (step, Meaning::default())
            }
        }
    }

    /// The name of what only a third party's segments can bring about, if this is such a segment; TCP only.
    pub(crate) fn contradiction(&mut self, side: Side, ip: &Ip<'_>) -> Option<&'static str> {
        let Transport::Tcp(tcp) = ip.transport else { return None };
        let heard =
            Heard { flags: tcp.flags, sequence: tcp.sequence, payload: ip.payload, hops_left: ip.hops_left };
        if !ip.payload.is_empty() {
            side.other().of_mut(&mut self.twice).yield_turn();
        }
        side.of_mut(&mut self.twice).hear(&heard)
    }

    fn follow_tcp(&mut self, side: Side, segment: &Segment, at: Timestamp) -> (Step, Meaning) {
        let flags = segment.flags;
        let meaning = self.tcp.on_segment(self.zeek(side), segment, &mut self.history);
        self.swapped ^= meaning.exchanged;
        if meaning.productive {
            self.active_until = at;
        }
        let (syn, ack) = (flags.has(Flags::SYN), flags.has(Flags::ACK));
        if syn && !ack {
            self.attempt = at;
        }
        let step = match side {
            _ if flags.has(Flags::RST) && !(meaning.rejected && side == Side::Responder) => Step::None,
            Side::Responder if meaning.rejected => Step::Rejected,
            Side::Responder if syn && ack => Step::Answered,
            Side::Originator if ack && !syn && self.was_said(Once::Answered) => Step::Established,
            Side::Originator | Side::Responder => Step::None,
        };
        if step == Step::Established && !self.was_said(Once::Established) && self.first == First::Syn {
            self.rtt = Some(at.since(self.attempt));
        }
        (step, meaning)
    }

    /// What is worth telling of a packet's payload; `opens`: it has the first bytes of a TCP direction.
    pub(crate) fn look(&mut self, side: Side, ip: &Ip<'_>, opens: bool) -> Option<FlowEvent> {
        match ip.transport {
            Transport::Tcp(_) if !opens || self.first != First::Syn => None,
            Transport::Udp(_) if ip.payload.is_empty() => None,
            Transport::Tcp(_) | Transport::Udp(_) => {
                let once = match side {
                    Side::Originator => Once::OriginatorOpened,
                    Side::Responder => Once::ResponderOpened,
                };
                self.say_once(once).then(|| FlowEvent::Opening(payload::opening(side, ip)))
            }
            Transport::Icmp(icmp) => self.echo.look(side, &icmp, ip).map(FlowEvent::Echo),
            Transport::Other(_) => None,
        }
    }

    /// True the first time.
    pub(crate) fn say_once(&mut self, what: Once) -> bool {
        let bit = what as u8;
        let first = self.said.0 & bit == 0;
        self.said.0 |= bit;
        first
    }

    const fn was_said(&self, what: Once) -> bool {
        self.said.0 & what as u8 != 0
    }

    /// Someone, somehow, reacted to the first packet.
    pub(crate) fn had_reaction(&self) -> bool {
        self.seen[1].packets || self.tcp.is_talking() || self.said.0 & Once::Rejected as u8 != 0
    }

    /// The first packet was of a kind that should be answered.
    pub(crate) const fn awaits_answer(&self) -> bool {
        match self.first {
            First::Syn | First::Datagram | First::EchoRequest => true,
            First::Midstream | First::Other => false,
        }
    }

    pub(crate) fn patience(&self) -> Patience {
        match self.key.protocol {
            TCP if self.tcp.is_closed() => Patience::Closed,
            TCP if self.tcp.is_talking() => Patience::Tcp,
            _ => Patience::Other,
        }
    }

    /// What it carried since the last report, if it is time for one.
    pub(crate) fn take_traffic(&mut self) -> Option<Traffic> {
        self.unsaid.take_due()
    }

    /// What it carried since the last report, if there is anything to say.
    pub(crate) fn take_last_traffic(&mut self) -> Option<Traffic> {
        self.unsaid.take_last()
    }

    /// The record of what happened since the last one; counting begins anew.
    pub(crate) fn take_record(&mut self, reason: EndReason) -> FlowRecord {
        let [originator, responder] = core::mem::take(&mut self.volumes);
        FlowRecord {
            start: self.start.take().unwrap_or(self.last),
            end: self.last,
            originator,
            responder,
            state: self.state(),
            reason,
            application: self.notes.application(),
            applications: self.notes.applications,
            server_name: self.notes.server_name.clone(),
            ja4: self.notes.ja4.clone(),
            conduct: self.conduct([originator.payload_bytes, responder.payload_bytes]),
        }
    }

    fn conduct(&self, payload_bytes: [u64; 2]) -> Conduct {
        let is_tcp = self.key.protocol == TCP;
        let way = |side: Side| {
            let mac = self.macs.as_ref().map(|macs| *side.of(macs));
            if is_tcp {
                Way { mac, ..self.tcp.way(self.zeek(side)) }
            } else {
                Way { mac, stream_bytes: *side.of(&payload_bytes), ..Way::default() }
            }
        };
        let handshake = self.was_said(Once::Established);
        Conduct {
            originator: way(Side::Originator),
            responder: way(Side::Responder),
            history: self.history,
            active_until: self.active_until,
            rtt: self.rtt,
            tcp_state: if is_tcp { self.tcp.state(handshake) } else { TcpState::None },
            midstream: self.first == First::Midstream,
            vlans: self.vlans.array(),
            icmp: self.icmp,
        }
    }

    fn state(&self) -> ConnState {
        if self.key.protocol == TCP {
            return self.tcp.conn_state(&self.history);
        }
        let [originator, responder] = self.seen;
        match (originator.packets, responder.packets) {
            (_, true) => ConnState::SF,
            (true, false) if self.awaits_answer() => ConnState::S0,
            (_, false) => ConnState::Oth,
        }
    }

    fn is_icmp(&self) -> bool {
        self.key.protocol == ICMP || self.key.protocol == ICMP6
    }

    /// This packet is an echo reply: what an echo request waits for.
    fn is_answered_by(&self, side: Side, ip: &Ip<'_>) -> bool {
        match ip.transport {
            Transport::Tcp(_) => false,
            Transport::Udp(_) | Transport::Other(_) => side == Side::Responder,
            Transport::Icmp(Icmp { v6, kind, .. }) => {
                side == Side::Responder && kind == if v6 { ECHO_REPLY6 } else { ECHO_REPLY }
            }
        }
    }
}

fn segment(tcp: &decode::Tcp, ip: &Ip<'_>) -> Segment {
    Segment {
        flags: tcp.flags,
        sequence: tcp.sequence,
        acknowledgment: tcp.acknowledgment,
        window: tcp.window,
        payload_bytes: ip.payload_bytes,
        whole: usize::try_from(ip.payload_bytes).is_ok_and(|bytes| bytes <= ip.payload.len()),
    }
}

/// Zeek takes the receiver of this first packet for the originator, by the ports.
fn is_flipped(ip: &Ip<'_>) -> bool {
    match ip.transport {
        Transport::Tcp(decode::Tcp { flags, ports, .. }) => {
            if flags.has(Flags::SYN) && !flags.has(Flags::ACK) {
                return false;
            }
            let to_server = is_likely_server(TCP, ports.destination);
            is_likely_server(TCP, ports.source) && (!to_server || ports.source < ports.destination)
        }
        Transport::Udp(ports) => {
            is_likely_server(UDP, ports.source)
                && !is_likely_server(UDP, ports.destination)
                && ip.destination != IpAddr::V4(Ipv4Addr::BROADCAST)
        }
        Transport::Icmp(_) | Transport::Other(_) => false,
    }
}

fn is_server(port: u16) -> bool {
    port < PRIVILEGED || SERVER_PORTS.contains(&port)
}
