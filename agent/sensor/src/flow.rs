//! Flows: which packets belong together, who began, how much, and how it went.
//!
//! An entry of the table holds what every flow has. What only a conversation has – the state of TCP, what its parser reads,
//! what was noted of it – is allocated when the first packet shows that there is one: of a scan or a flood most flows never do.

mod conversation;
mod count;
mod facts;
pub(crate) mod key;
mod more;
mod pages;
mod payload;
pub(crate) mod queues;
pub(crate) mod readers;
mod record;
mod servers;
pub(crate) mod stream;
pub(crate) mod table;
pub(crate) mod tcp;
mod timers;
pub(crate) mod twice;
mod unsaid;

use core::net::{IpAddr, Ipv4Addr};
use sekimori_wire::time::Timestamp;

use crate::decode::{self, Flags, Icmp, Ip, Ports, Transport};
use crate::event::{Endpoint, First, FlowEvent, FlowRef, History, Traffic};
use crate::proto::{Session, Side, Tried};
use count::{Tally, plus_one};
use facts::{
    BARE_SYN, Brief, FROM_LOW, Facts, HAS_MACS, HURRIED, LONG_HISTORY, ONLY_SYN, OPAQUE, PACKETS, PAYLOAD,
    REPORTED, SWAPPED, WAITS,
};
use key::Name;
pub(crate) use key::{Apart, Direction, FlowKey};
pub(crate) use more::Reading;
use more::{More, Rare, Reported, Talk};
use payload::Asked;
use servers::is_likely_server;
use tcp::{Tcp, cased, scaled};
use timers::Link;
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

/// One conversation, or the attempt at one.
#[derive(Debug)]
pub(crate) struct Flow {
    name: Name,
    pub(crate) id: u64,
    /// First packet of all.
    pub(crate) began: Timestamp,
    /// Last packet.
    pub(crate) last: Timestamp,
    tallies: [Tally; 2],
    more: Option<Box<More>>,
    reading: Option<Box<Reading>>,
    /// Of ICMP, identifier and sequence number of the last echo request; of TCP, the sequence number of the SYN that it began
    /// with; of UDP, what was not recognised ([`Tried`]).
    asked: u32,
    /// Its place among the timers.
    pub(crate) link: Link,
    unsaid: Unsaid,
    /// Ethernet addresses (originator's, responder's), if its frames have any.
    macs: [[u8; 6]; 2],
    brief: Brief,
    first: First,
    said: Said,
    facts: Facts,
    /// What the table believes it has beside this entry, in units of [`UNIT_BYTES`].
    believed: u8,
}

/// In what steps the table reckons with what flows have beside their entries.
pub(crate) const UNIT_BYTES: usize = 16;

/// Five bytes for each of the index's places, of which at most half are free.
const INDEX_BYTES: usize = 10;
/// All that a flow costs until there is a conversation.
const _: () =
    assert!(size_of::<Option<Flow>>() + INDEX_BYTES <= 138, "a million of them are alive in the worst case");

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
        let (first, originator) = match ip.transport {
            Transport::Tcp(tcp) if tcp.flags.has(Flags::SYN) => {
                // A SYN-ACK answers somebody: its receiver began.
                let answers = tcp.flags.has(Flags::ACK);
                if answers { (First::Midstream, direction.reversed()) } else { (First::Syn, direction) }
            }
            Transport::Tcp(tcp) => {
                let from_server = is_server(tcp.ports.source) && !is_server(tcp.ports.destination);
                (First::Midstream, if from_server { direction.reversed() } else { direction })
            }
            Transport::Udp(_) => (First::Datagram, direction),
            Transport::Icmp(Icmp { v6, kind, .. }) => {
                let echo = kind == if v6 { ECHO_REQUEST6 } else { ECHO_REQUEST };
                (if echo { First::EchoRequest } else { First::Other }, direction)
            }
            Transport::Other(_) => (First::Other, direction),
        };
        let flips = is_flipped(ip);
        let mut brief = match ip.transport {
            Transport::Icmp(icmp) => Brief::of_icmp(icmp.code),
            Transport::Tcp(_) | Transport::Udp(_) | Transport::Other(_) => Brief::default(),
        };
        if flips {
            brief.push(b'^');
        }
        let mut facts = Facts::default();
        facts.set(FROM_LOW, originator == Direction::FromLow);
        facts.set(SWAPPED, (originator == direction) == flips);
        facts.set(HAS_MACS, wire.addresses.is_some());
        facts.set(OPAQUE, key.protocol() != TCP && key.protocol() != UDP);
        let macs = wire.addresses.unwrap_or_default();
        let (name, v6) = key.split();
        let mut flow = Self {
            name,
            id,
            began: wire.at,
            last: wire.at,
            tallies: [Tally::default(); 2],
            more: v6.map(|v6| Box::new(More { v6, ..More::default() })),
            reading: None,
            asked: 0,
            link: Link::default(),
            unsaid: Unsaid::default(),
            macs: if originator == direction { macs } else { [macs[1], macs[0]] },
            brief,
            first,
            said: Said::default(),
            facts,
            believed: 0,
        };
        flow.facts.set(WAITS, flow.awaits_answer());
        flow
    }

    /// What names it.
    #[inline]
    pub(crate) fn key(&self) -> FlowKey {
        let more = if self.name.is_v6() { self.more.as_ref() } else { None };
        self.name.key(more.map_or_else(Default::default, |more| more.v6))
    }

    /// What detectors need to know of it.
    pub(crate) fn reference(&self) -> FlowRef {
        let originator = self.originator();
        let key = self.key();
        let mut responder = key.sender(originator.reversed());
        if self.is_icmp() {
            responder.port = self.brief.icmp_code().into();
        }
        FlowRef {
            id: self.id,
            began: self.began,
            originator: key.sender(originator),
            responder,
            protocol: self.name.protocol(),
            vlan: self.name.vlans().outermost(),
            swapped: self.facts.has(SWAPPED),
        }
    }

    /// What it has beside its entry in the table, without what its parser owns; in units of [`UNIT_BYTES`].
    fn units(&self) -> u8 {
        const fn units<T>() -> u8 {
            // No part has more than 255 units.
            size_of::<T>().div_ceil(UNIT_BYTES).to_le_bytes()[0]
        }
        // A name that was asked for comes to some 32 bytes.
        let reading = if self.reading.is_some() { units::<Reading>() + 2 } else { 0 };
        let Some(more) = &self.more else { return reading };
        let talk = if more.talk.is_some() { units::<Talk>() } else { 0 };
        let rare = if more.rare.is_some() { units::<Rare>() } else { 0 };
        units::<More>() + talk + rare + reading
    }

    /// Makes the table's belief true; what it was and what it is.
    pub(crate) fn reckon(&mut self) -> (u8, u8) {
        let units = self.units();
        (core::mem::replace(&mut self.believed, units), units)
    }

    /// What the table believes it has beside its entry, in units of [`UNIT_BYTES`].
    pub(crate) fn believed(&self) -> usize {
        self.believed.into()
    }

    /// The way of the originator's packets.
    const fn originator(&self) -> Direction {
        if self.facts.has(FROM_LOW) { Direction::FromLow } else { Direction::FromHigh }
    }

    /// What its first packet was.
    pub(crate) const fn first(&self) -> First {
        self.first
    }

    /// Who sends packets that go `direction`.
    pub(crate) fn side(&self, direction: Direction) -> Side {
        if direction == self.originator() { Side::Originator } else { Side::Responder }
    }

    /// Zeek's name of a side.
    const fn zeek(&self, side: Side) -> Side {
        if self.facts.has(SWAPPED) { side.other() } else { side }
    }

    fn more(&mut self) -> &mut More {
        self.more.get_or_insert_default()
    }

    fn rare(&mut self) -> &mut Rare {
        self.more().rare.get_or_insert_default()
    }

    fn rare_if_any(&self) -> Option<&Rare> {
        self.more.as_ref()?.rare.as_deref()
    }

    fn talk(&self) -> Option<&Talk> {
        self.more.as_ref()?.talk.as_deref()
    }

    fn tcp(&self) -> Option<&Tcp> {
        self.talk().map(|talk| &talk.tcp)
    }

    /// One more letter of the history.
    fn push(&mut self, letter: u8) {
        if self.facts.has(LONG_HISTORY) || !self.brief.push(letter) {
            self.lengthen().push(letter);
        }
    }

    /// The history, where there is room for all of it.
    fn lengthen(&mut self) -> &mut History {
        let begun = self.brief_history();
        let begun = self.facts.note(LONG_HISTORY).then_some(begun);
        let more = self.more.get_or_insert_default();
        let history = match &mut more.talk {
            Some(talk) => &mut talk.history,
            None => &mut more.rare.get_or_insert_default().history,
        };
        if let Some(begun) = begun {
            *history = begun;
        }
        history
    }

    fn history(&self) -> History {
        let long = self.more.as_ref().filter(|_more| self.facts.has(LONG_HISTORY));
        let in_talk = |more: &More| more.talk.as_ref().map(|talk| talk.history);
        let long =
            long.and_then(|more| in_talk(more).or_else(|| more.rare.as_ref().map(|rare| rare.history)));
        long.unwrap_or_else(|| self.brief_history())
    }

    fn brief_history(&self) -> History {
        if self.is_icmp() { History::default() } else { self.brief.history() }
    }

    /// Counts a packet.
    pub(crate) fn count(&mut self, side: Side, ip: &Ip<'_>, wire: &Wire) {
        self.last = wire.at;
        if self.facts.has(REPORTED)
            && let Some(reported) = &mut self.rare().reported
        {
            reported.start.get_or_insert(wire.at);
        }
        let tally = side.of_mut(&mut self.tallies);
        if !tally.add(ip, wire.bytes) {
            let full = core::mem::take(tally);
            let counted = tally.add(ip, wire.bytes);
            let carried = side.of_mut(&mut self.rare().carried);
            *carried = full.on_top_of(*carried);
            if !counted {
                *carried = plus_one(*carried, ip, wire.bytes);
            }
        }
        // `Started` has told the first packet.
        if self.facts.has(PACKETS[0] | PACKETS[1]) {
            self.unsaid.count(side, ip.bytes, wire.at);
        }
        if ip.payload_bytes > 0 {
            self.facts.set(*side.of(&PAYLOAD), true);
        }
        if self.facts.note(*side.of(&PACKETS)) {
            if let Transport::Icmp(icmp) = ip.transport {
                let mut codes = self.brief.icmp_codes();
                *side.of_mut(&mut codes) = icmp.code;
                self.brief.set_icmp_codes(codes);
            }
            if matches!(ip.transport, Transport::Udp(_)) {
                self.push(cased(b'd', self.zeek(side)));
            }
        }
    }

    /// A packet with a wrong checksum: it is not counted, but told.
    pub(crate) fn note_corrupt(&mut self, side: Side) {
        if !self.facts.has(PACKETS[0] | PACKETS[1]) && self.facts.note(REPORTED) {
            // The record begins with the first packet that counts.
            self.rare().reported = Some(Reported { at: self.began, start: None });
        }
        if self.name.protocol() == TCP {
            self.converse();
        }
        let zeek = self.zeek(side);
        let so_far = *side.of(&self.rare().corrupt);
        let corrupt = scaled(so_far, b'c', zeek, self.lengthen());
        *side.of_mut(&mut self.rare().corrupt) = corrupt;
    }

    /// A TCP segment with a wrong checksum: it counts, but the connection does not go by it.
    pub(crate) fn note_unread_segment(&mut self) {
        self.converse();
    }

    /// Nothing will be read of it any more, or ever.
    fn is_opaque(&self) -> bool {
        match &self.reading {
            Some(reading) => reading.session.is_opaque(),
            None => self.facts.has(OPAQUE),
        }
    }

    /// This packet may have something to read, or says that what is awaited will not come.
    pub(crate) fn may_read(&self, ip: &Ip<'_>) -> bool {
        if self.is_opaque() {
            return false;
        }
        let Transport::Tcp(tcp) = ip.transport else { return true };
        // Of a bare SYN the entry itself remembers the number.
        let begins = tcp.flags.has(Flags::SYN) && !self.facts.has(ONLY_SYN);
        let awaits = || self.reading.as_ref().is_some_and(|reading| reading.stream.holds_bytes());
        ip.payload_bytes > 0 || begins || awaits()
    }

    /// Nothing is to be read of it.
    pub(crate) const fn blind(&mut self) {
        self.facts.set(OPAQUE, true);
    }

    /// What is read of it, once something is.
    pub(crate) const fn reading(&mut self) -> &mut Option<Box<Reading>> {
        &mut self.reading
    }

    /// What is read of it before anything was.
    pub(crate) fn first_reading(&self) -> Reading {
        let mut reading = Reading::default();
        if self.facts.has(OPAQUE) {
            reading.session = Session::Opaque;
        } else if self.facts.has(BARE_SYN) {
            reading.stream.begin(Side::Originator, self.asked.wrapping_add(1));
        } else if self.name.protocol() == UDP {
            reading.session = Session::after(Tried::from_bits(self.asked));
        }
        reading
    }

    /// Remembers what was read for the first time, as far as that is needed; of unrecognised datagrams in the entry itself.
    pub(crate) fn keep(&mut self, first: Reading) {
        if let Some(tried) = first.only_tried() {
            self.asked = tried.bits();
        } else if first.is_worth_keeping() {
            self.reading = Some(Box::new(first));
        } else {
            self.facts.set(OPAQUE, first.session.is_opaque());
        }
    }

    /// Goes on remembering what is read, as far as that is needed.
    pub(crate) fn keep_on(&mut self) {
        if let Some(reading) = self.reading.as_deref().filter(|reading| !reading.is_worth_keeping()) {
            self.facts.set(OPAQUE, reading.session.is_opaque());
            self.reading = None;
        }
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
            Transport::Icmp(icmp) => {
                let mut asked = Asked { number: self.asked, payload: self.brief.echoed() };
                let echo = asked.look(side, &icmp, ip);
                self.asked = asked.number;
                self.brief.set_echoed(asked.payload);
                echo.map(FlowEvent::Echo)
            }
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
        let talks = || self.tcp().is_some_and(Tcp::is_talking);
        self.facts.has(PACKETS[1]) || self.was_said(Once::Rejected) || talks()
    }

    /// The first packet was of a kind that should be answered.
    pub(crate) const fn awaits_answer(&self) -> bool {
        match self.first {
            First::Syn | First::Datagram | First::EchoRequest => true,
            First::Midstream | First::Other => false,
        }
    }

    pub(crate) fn patience(&self) -> Patience {
        match self.tcp() {
            Some(tcp) if tcp.is_closed() => Patience::Closed,
            Some(tcp) if tcp.is_talking() => Patience::Tcp,
            Some(_) | None => Patience::Other,
        }
    }

    /// The table was full when it began.
    pub(crate) const fn hurry(&mut self) {
        self.facts.set(HURRIED, true);
    }

    /// It began when the table was full, and nothing has followed its first packet.
    pub(crate) fn is_hurried(&self) -> bool {
        self.facts.has(HURRIED) && self.began == self.last && !self.had_reaction()
    }

    /// What it carried since the last report, if it is time for one.
    pub(crate) fn take_traffic(&mut self) -> Option<Traffic> {
        self.unsaid.take_due(self.last)
    }

    /// What it carried since the last report, if there is anything to say.
    pub(crate) fn take_last_traffic(&mut self) -> Option<Traffic> {
        self.unsaid.take_last()
    }

    /// It still waits for an answer.
    pub(crate) const fn waits(&self) -> bool {
        self.facts.has(WAITS)
    }

    /// It waits for no answer any more.
    pub(crate) const fn stop_waiting(&mut self) {
        self.facts.set(WAITS, false);
    }

    /// The TCP connection is over.
    pub(crate) fn is_closed(&self) -> bool {
        self.tcp().is_some_and(Tcp::is_closed)
    }

    /// Since when it has not been reported.
    pub(crate) fn unreported_since(&self) -> Timestamp {
        let rare = self.rare_if_any().filter(|_rare| self.facts.has(REPORTED));
        rare.and_then(|rare| rare.reported).map_or(self.began, |reported| reported.at)
    }

    /// It was reported at `at` and goes on.
    pub(crate) fn restart(&mut self, at: Timestamp) {
        self.facts.set(REPORTED, true);
        self.rare().reported = Some(Reported { at, start: None });
    }

    fn is_icmp(&self) -> bool {
        self.name.protocol() == ICMP || self.name.protocol() == ICMP6
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
