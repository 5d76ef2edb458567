//! Flows: which packets belong together, who began, how much, and how it went.

pub(crate) mod queues;
pub(crate) mod stream;
pub(crate) mod table;
pub(crate) mod tcp;

use core::hash::{Hash, Hasher};
use core::net::IpAddr;

use sekimori_wire::community::icmp_counterpart;
use sekimori_wire::time::Timestamp;

use crate::decode::{Flags, Icmp, Ip, Ports, Transport};
use crate::event::{ConnState, EndReason, Endpoint, First, FlowRecord, FlowRef, Volume};
use crate::proto::{Notes, Session, Side};
use stream::Stream;
use tcp::Tcp;

const TCP: u8 = 6;
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
    vlan: Option<u16>,
    /// An ICMP type that has no counterpart: who sends the same the other way makes another flow.
    one_way: Option<Direction>,
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
        vlan: Option<u16>,
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
        (Self { low, high, protocol, vlan, one_way }, direction)
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
        let vlan = u64::from(self.vlan.unwrap_or_default());
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

/// One conversation.
#[derive(Debug)]
pub(crate) struct Flow {
    pub(crate) key: FlowKey,
    pub(crate) id: u64,
    /// The way of the originator's packets.
    originator: Direction,
    icmp_code: u8,
    first: First,
    said: Said,
    /// First packet of all.
    pub(crate) began: Timestamp,
    /// Since when it has not been reported.
    pub(crate) unreported_since: Timestamp,
    /// First packet not reported.
    start: Option<Timestamp>,
    /// Last packet.
    pub(crate) last: Timestamp,
    volumes: [Volume; 2],
    /// Both sides sent something, payload was seen: over its whole life.
    pub(crate) seen: [Seen; 2],
    pub(crate) tcp: Tcp,
    pub(crate) stream: Stream,
    pub(crate) session: Session,
    pub(crate) notes: Notes,
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
    pub(crate) fn begin(id: u64, key: FlowKey, direction: Direction, ip: &Ip<'_>, at: Timestamp) -> Self {
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
        Self {
            key,
            id,
            originator,
            icmp_code,
            first,
            said: Said::default(),
            began: at,
            unreported_since: at,
            start: None,
            last: at,
            volumes: [Volume::default(); 2],
            seen: [Seen::default(); 2],
            tcp: Tcp::default(),
            stream: Stream::default(),
            session: if key.protocol == TCP || key.protocol == UDP {
                Session::default()
            } else {
                Session::Opaque
            },
            notes: Notes::default(),
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
            vlan: self.key.vlan,
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

    /// Counts a packet.
    pub(crate) fn count(&mut self, side: Side, ip: &Ip<'_>, at: Timestamp) {
        self.start.get_or_insert(at);
        self.last = at;
        let volume = side.of_mut(&mut self.volumes);
        volume.packets += 1;
        volume.bytes = volume.bytes.saturating_add(ip.bytes.into());
        volume.payload_bytes = volume.payload_bytes.saturating_add(ip.payload_bytes.into());
        let seen = side.of_mut(&mut self.seen);
        seen.packets = true;
        seen.payload |= ip.payload_bytes > 0;
    }

    /// True the first time.
    pub(crate) fn say_once(&mut self, what: Once) -> bool {
        let bit = what as u8;
        let first = self.said.0 & bit == 0;
        self.said.0 |= bit;
        first
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
        }
    }

    fn state(&self) -> ConnState {
        let [originator, responder] = self.seen;
        if self.key.protocol == TCP {
            return self.tcp.conn_state(originator.payload || responder.payload);
        }
        match (originator.packets, responder.packets) {
            (_, true) => ConnState::SF,
            (_, false) if self.awaits_answer() => ConnState::S0,
            (_, false) => ConnState::Oth,
        }
    }

    fn is_icmp(&self) -> bool {
        self.key.protocol == ICMP || self.key.protocol == ICMP6
    }

    /// This packet is an echo reply: what an echo request waits for.
    pub(crate) fn is_answered_by(&self, side: Side, ip: &Ip<'_>) -> bool {
        match ip.transport {
            Transport::Tcp(_) => false,
            Transport::Udp(_) | Transport::Other(_) => side == Side::Responder,
            Transport::Icmp(Icmp { v6, kind, .. }) => {
                side == Side::Responder && kind == if v6 { ECHO_REPLY6 } else { ECHO_REPLY }
            }
        }
    }
}

fn is_server(port: u16) -> bool {
    port < PRIVILEGED || SERVER_PORTS.contains(&port)
}
