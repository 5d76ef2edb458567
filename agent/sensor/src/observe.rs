//! The hot path on one screen: frame → packet → flow → session → events.
//!
//! Events leave in order of event time. What timers bring about is said to be at the moment they were due, not at the frame
//! that moved time on: so it is the same whether [`Observer::handle_timeout`] or the next frame noticed it.

mod read;
mod steer;
mod worker;

use core::net::IpAddr;
use std::time::Duration;

use sekimori_wire::time::Timestamp;

use crate::clock::Clock;
use crate::counters::{Counter, Counters};
use crate::decode::fragment::{Fragment, Fragments, Outcome};
use crate::decode::{Flags, Ip, Layer, Met, Quoted, Skip, Step as Read, Transport, plain};
use crate::event::{self, Anomaly, Application, EndReason, Endpoint, Event, First, FlowEvent};
use crate::flow::readers::Readers;
use crate::flow::stream::Pool;
use crate::flow::table::{Table, Timer};
use crate::flow::{Apart, Direction, Flow, FlowKey, Once, Reading, Step, TCP, Wire, ends};
use crate::frame::{Frame, LinkType};
use crate::limits::Limits;
use crate::proto::{Expected, Side, Sink};

pub use steer::{Share, Steer, quoted_ends};
pub(crate) use worker::EVENTS_KEPT;
pub use worker::{Place, Placed, Worker};

/// How an observer looks at packets, beside its bounds.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Packets whose IP, TCP, UDP or ICMP checksum is wrong are counted and left out. Off for live capture: with checksum
    /// offload the sender's own packets are captured before the card completes them.
    pub verify_checksums: bool,
    /// TCP connections whose beginning was not seen are read as well.
    pub midstream: bool,
    /// What a flow is.
    pub rules: Rules,
}

impl Default for Options {
    fn default() -> Self {
        Self { verify_checksums: false, midstream: true, rules: Rules::Own }
    }
}

/// Whose idea of a flow: a replay in another tool's format takes that tool's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rules {
    /// VLANs tell flows apart. Packets with a wrong checksum are left out.
    Own,
    /// VLANs do not. A TCP flow ends when its SYN was not answered in time. Packets with a wrong checksum are left out, but
    /// the flow's history has them.
    Zeek,
    /// VLANs do, and so does how many packets they came in. A packet in a packet has its own length only. A wrong checksum
    /// only keeps TCP from being read.
    Suricata,
}

/// FTP's port.
const FTP: u16 = 21;
/// An attempt that must go for lack of room was unanswered if it waited so long: then its sender would have tried again
/// (RFC 6298, 2.1). Else a flood would hide who scans behind it.
const WAITED_LONG_ENOUGH: Duration = Duration::from_secs(1);
/// Flows that end between two looks at their events when the capture is over.
const ENDED_AT_ONCE: usize = 1_024;
/// Of which so many are put in order at once: each time all that are left are looked at, and all at once would need room.
const SORTED_AT_ONCE: usize = 65_536;
/// Events of timers after which they are looked at before more timers run.
const EXPIRED_AT_ONCE: usize = 4_096;

/// The flows that are left when the capture is over.
#[derive(Debug)]
pub(crate) struct Ending {
    at: Timestamp,
    /// Those that end next.
    slots: std::vec::IntoIter<u32>,
}

/// Turns frames into events.
#[derive(Debug)]
pub struct Observer {
    options: Options,
    clock: Clock,
    counters: Counters,
    fragments: Fragments,
    table: Table,
    pool: Pool,
    readers: Readers,
    /// FTP's data connections that were announced.
    expected: Expected,
    /// Number of the frame that is being read, from 1.
    frame: u64,
    /// Flows that it began.
    begun: u16,
    /// What `finish` waits for.
    attempt_timeout: Duration,
    /// Of the frame that is being read.
    addresses: Option<[[u8; 6]; 2]>,
}

impl Observer {
    /// `seed` keys the hash of the flow table; it never shows in the events.
    pub fn new(limits: &Limits, options: Options, seed: u64) -> Self {
        Self {
            options,
            clock: Clock::default(),
            counters: Counters::default(),
            fragments: Fragments::new(limits, seed),
            table: Table::new(limits, seed),
            pool: Pool::new(limits.prefixes, limits.prefix_bytes),
            readers: Readers::new(limits.parsers),
            expected: Expected::default(),
            frame: 0,
            begun: 0,
            attempt_timeout: limits.attempt_timeout,
            addresses: None,
        }
    }

    /// Observes one frame. Cannot fail: what is not understood is counted.
    pub fn handle_frame(&mut self, frame: &Frame<'_>, events: &mut Vec<Event>) {
        self.handle_numbered(self.frame + 1, frame, events);
    }

    /// Observes the frame of this number in the capture: the numbers grow, but those that other observers got are missing.
    pub fn handle_numbered(&mut self, number: u64, frame: &Frame<'_>, events: &mut Vec<Event>) {
        (self.frame, self.begun) = (number, 0);
        self.counters.count(Counter::Frames);
        self.counters.add(Counter::Bytes, frame.wire_len.into());
        self.expire(frame.at, events);
        let tick = self.clock.on_frame(frame.at);
        if tick.backwards {
            self.counters.count(Counter::TimeBackwards);
        }
        self.addresses = addresses(frame);
        let plain = if self.options.verify_checksums { None } else { plain(frame) };
        if let Some(ip) = &plain {
            self.counters.count(Counter::Decoded);
            let wire = Wire { at: tick.at, bytes: frame.wire_len, addresses: self.addresses };
            return self.on_ip(&wire, ip, events);
        }
        let mut met = Met::default();
        match Layer::of(frame, &mut met) {
            Ok(layer) => {
                met.count(&mut self.counters);
                self.on_layer(tick.at, layer, events);
            }
            Err(skip) => self.on_skip(tick.at, (frame.vlan, 1), skip, events),
        }
    }

    /// Takes note only of the flow that an ICMP error quotes: another observer got the frame itself. It may come late: what it
    /// brings about is said to be at the frame's own time, in whatever order that is.
    pub fn handle_quote(&mut self, number: u64, frame: &Frame<'_>, events: &mut Vec<Event>) {
        (self.frame, self.begun) = (number, 0);
        self.reach(frame.at, events);
        let Ok(layer) = Layer::of(frame, &mut Met::default()) else { return };
        if let Ok(Read::Ip(ip, _)) = layer.step(self.options.verify_checksums, &mut Met::default())
            && let Transport::Icmp(icmp) = ip.transport
            && let Some(quoted) = icmp.unreachable
            && (!ip.bad_checksum || self.options.rules == Rules::Suricata)
        {
            self.on_unreachable(frame.at, self.apart(&ip), quoted, events);
        }
    }

    /// Other observers have reached this time: what is due by then happens.
    pub fn reach(&mut self, now: Timestamp, events: &mut Vec<Event>) {
        self.expire(now, events);
        self.clock.reach(now);
    }

    /// Reads a packet, and those within it.
    fn on_layer(&mut self, at: Timestamp, layer: Layer<'_>, events: &mut Vec<Event>) {
        let mut next = Some(layer);
        while let Some(layer) = next.take() {
            let (vlan, frames, outermost) = (layer.vlan(), layer.frames(), layer.is_outermost());
            let mut met = Met::default();
            let step = match layer.step(self.options.verify_checksums, &mut met) {
                Ok(step) => step,
                Err(skip) => return self.on_skip(at, (vlan, frames), skip, events),
            };
            met.count(&mut self.counters);
            match step {
                Read::Arp(mut arp) => {
                    self.counters.add(Counter::Decoded, frames.into());
                    arp.frame = self.addresses.filter(|_addresses| outermost);
                    events.push(Event::Arp { at, vlan, arp });
                }
                Read::Ip(ip, inner) => {
                    next = inner;
                    if let Some(name) = ip.anomaly {
                        events.push(anomaly(at, vlan, Some((ip.source, ip.destination)), name));
                    }
                    let counter = if ip.bad_checksum { Counter::SkipChecksum } else { Counter::Decoded };
                    self.counters.add(counter, frames.into());
                    if !ip.bad_checksum || self.options.rules != Rules::Own {
                        let inner = self.options.rules == Rules::Suricata;
                        let bytes = if inner { ip.framed_bytes } else { ip.wire_bytes };
                        self.on_ip(&Wire { at, bytes, addresses: self.addresses }, &ip, events);
                    }
                }
                Read::Into(layer) => next = Some(layer),
                Read::Both(first, rest) => {
                    self.on_layer(at, first, events);
                    next = Some(rest);
                }
                Read::Fragment(fragment) => self.on_fragment(at, vlan, &fragment, events),
            }
        }
    }

    /// Puts a datagram together, and reads it when it is whole. Fragments within a reassembled packet need another packet
    /// around them: the recursion is as deep as [`LAYERS_MAX`](crate::decode::LAYERS_MAX) allows.
    fn on_fragment(
        &mut self,
        at: Timestamp,
        vlan: Option<u16>,
        fragment: &Fragment<'_>,
        events: &mut Vec<Event>,
    ) {
        let ends = Some(fragment.ends());
        let mut overlap = |name: Option<&'static str>| {
            events.extend(name.map(|name| anomaly(at, vlan, ends, name)));
        };
        match self.fragments.add(at, fragment, &mut self.counters) {
            Outcome::Waits(name) => overlap(name),
            Outcome::Refused => self.counters.add(Counter::SkipFragment, fragment.frames().into()),
            Outcome::Whole(whole, name) => {
                overlap(name);
                self.on_layer(at, whole.layer(), events);
            }
        }
    }

    /// Counts what `frames` frames were not looked at for.
    fn on_skip(
        &mut self,
        at: Timestamp,
        (vlan, frames): (Option<u16>, u32),
        skip: Skip,
        events: &mut Vec<Event>,
    ) {
        self.counters.add(skip.counter(), frames.into());
        events.extend(skip.anomaly.map(|name| anomaly(at, vlan, skip.ends, name)));
    }

    /// The link may be silent: ends what is due by `now`. Event time does not follow `now`, only the timers that were due.
    pub fn handle_timeout(&mut self, now: Timestamp, events: &mut Vec<Event>) {
        self.expire(now, events);
    }

    /// The capture is over: attempts get their time to be answered, then all flows end, in order of id.
    pub fn finish(&mut self, events: &mut Vec<Event>) {
        let mut ending = self.begin_to_end(self.over(), events);
        while self.end_some(&mut ending, events) {}
    }

    /// Until when attempts get their time to be answered if the capture ends now.
    pub(crate) fn over(&self) -> Timestamp {
        self.clock.now().plus(self.attempt_timeout)
    }

    /// The first half of the end: attempts get their time to be answered.
    pub(crate) fn begin_to_end(&mut self, over: Timestamp, events: &mut Vec<Event>) -> Ending {
        self.fragments.finish(&mut self.counters);
        self.expire(over, events);
        Ending { at: self.clock.reach(over), slots: Vec::new().into_iter() }
    }

    /// The second half: all flows end, in order of id, so many at a time that their events do not fill the memory. False when
    /// there are none left.
    pub(crate) fn end_some(&mut self, ending: &mut Ending, events: &mut Vec<Event>) -> bool {
        if ending.slots.len() == 0 {
            ending.slots = self.table.first_by_id(SORTED_AT_ONCE).into_iter();
        }
        for slot in ending.slots.by_ref().take(ENDED_AT_ONCE) {
            self.end(slot, ending.at, EndReason::Forced, events);
        }
        !self.table.is_empty()
    }

    /// What was counted so far.
    pub const fn counters(&self) -> &Counters {
        &self.counters
    }

    /// The latest event time.
    pub const fn now(&self) -> Timestamp {
        self.clock.now()
    }

    fn on_ip(&mut self, wire: &Wire, ip: &Ip<'_>, events: &mut Vec<Event>) {
        if ip.truncated {
            self.counters.count(Counter::Truncated);
        }
        let at = wire.at;
        let (protocol, source, destination) = ends(ip);
        let apart = self.apart(ip);
        let (key, direction) = FlowKey::new(protocol, apart, source, destination);
        let slot = self.slot(wire, key, direction, ip, events);
        let Some(flow) = self.table.flow_mut(slot) else { return };
        let side = flow.side(direction);
        if ip.bad_checksum && self.options.rules == Rules::Zeek {
            return flow.note_corrupt(side);
        }
        flow.count(side, ip, wire);
        if ip.bad_checksum && protocol == TCP {
            return flow.note_unread_segment();
        }
        let (step, meaning) = flow.follow(side, ip, at);
        if meaning.acknowledged {
            self.counters.count(Counter::TcpAcks);
            self.counters.add(Counter::TcpAckedUnseen, meaning.unseen.into());
        }
        let mut say = |once: Once, what: FlowEvent| {
            if flow.say_once(once) {
                events.push(Event::Flow { at, flow: flow.reference(), what });
            }
        };
        match step {
            Step::None => {}
            Step::Answered => say(Once::Answered, FlowEvent::Answered),
            Step::Established => say(Once::Established, FlowEvent::Established),
            Step::Rejected => say(Once::Rejected, FlowEvent::Rejected),
        }
        if let Some(what) = flow.look(side, ip, meaning.opens) {
            events.push(Event::Flow { at, flow: flow.reference(), what });
        }
        if let Some(name) = flow.contradiction(side, ip) {
            let anomaly = Anomaly { from_originator: side == Side::Originator, ..stream_anomaly(name) };
            events.push(Event::Flow { at, flow: flow.reference(), what: FlowEvent::Anomaly(anomaly) });
        }
        if flow.waits() && flow.had_reaction() {
            flow.stop_waiting();
        }
        let traffic = flow.take_traffic().map(|traffic| (flow.reference(), traffic));
        if ip.tunnel.is_none() && flow.may_read(ip) {
            self.parse(at, slot, side, ip, events);
        }
        self.table.reckon(slot);
        events.extend(traffic.map(|(flow, traffic)| Event::Flow {
            at,
            flow,
            what: FlowEvent::Traffic(traffic),
        }));
        if meaning.turns {
            self.table.arm(slot);
        }
        if let Transport::Icmp(icmp) = ip.transport
            && let Some(quoted) = icmp.unreachable
        {
            self.on_unreachable(at, apart, quoted, events);
        }
    }

    /// What tells flows between the same ends apart.
    fn apart(&self, ip: &Ip<'_>) -> Apart {
        match self.options.rules {
            Rules::Own => Apart { vlans: ip.vlans, by_vlan: true, depth: 0 },
            Rules::Zeek => Apart { vlans: ip.vlans, by_vlan: false, depth: 0 },
            Rules::Suricata => Apart { vlans: ip.vlans, by_vlan: true, depth: ip.depth },
        }
    }

    /// The flow of a packet, begun if need be.
    fn slot(
        &mut self,
        wire: &Wire,
        key: FlowKey,
        direction: Direction,
        ip: &Ip<'_>,
        events: &mut Vec<Event>,
    ) -> u32 {
        let at = wire.at;
        if let Some(slot) = self.table.find(&key) {
            if !self.table.flow(slot).is_some_and(|flow| flow.is_reopened_by(direction, ip)) {
                return slot;
            }
            self.end(slot, at, EndReason::Closed, events);
        }
        let victim = self.table.victim_if_full();
        if let Some(slot) = victim {
            self.counters.count(Counter::FlowsEvicted);
            if let Some(flow) = self.table.flow_mut(slot)
                && flow.waits()
                && at.since(flow.began) >= WAITED_LONG_ENOUGH
            {
                say_unanswered(flow, at, events);
            }
            self.end(slot, at, EndReason::LackOfResources, events);
        }
        self.begun = self.begun.saturating_add(1);
        self.counters.count(Counter::FlowsStarted);
        // The same whoever else observes: the frame that began it, and which of the flows of that frame it is.
        let id = self.frame << u16::BITS | u64::from(self.begun);
        let mut flow = Flow::begin(id, key, direction, ip, wire);
        if victim.is_some() {
            flow.hurry();
        }
        let handshake = matches!(ip.transport, Transport::Tcp(tcp) if tcp.flags.has(Flags::SYN));
        let read = match self.options.rules {
            // Its analysers read what begins with a SYN-ACK, but nothing later; FTP's does.
            Rules::Zeek => {
                let ftp = flow.reference().responder.port == FTP;
                handshake || ftp || flow.first() != First::Midstream
            }
            Rules::Own | Rules::Suricata => self.options.midstream || flow.first() != First::Midstream,
        };
        if !read {
            flow.blind();
        }
        events.push(Event::Flow { at, flow: flow.reference(), what: FlowEvent::Started(flow.first()) });
        self.table.insert(flow)
    }

    /// A router or the host itself says that the originator's packets do not arrive.
    fn on_unreachable(&mut self, at: Timestamp, apart: Apart, quoted: Quoted, events: &mut Vec<Event>) {
        let source = Endpoint { address: quoted.source, port: quoted.ports.source };
        let destination = Endpoint { address: quoted.destination, port: quoted.ports.destination };
        let (key, direction) = FlowKey::new(quoted.protocol, apart, source, destination);
        let Some(slot) = self.table.find(&key) else { return };
        let Some(flow) = self.table.flow_mut(slot) else { return };
        if flow.side(direction) == Side::Originator && !flow.had_reaction() && flow.say_once(Once::Rejected) {
            flow.stop_waiting();
            events.push(Event::Flow { at, flow: flow.reference(), what: FlowEvent::Rejected });
        }
    }

    /// Runs every timer that is due by `now`, in order of time and then of flows.
    fn expire(&mut self, now: Timestamp, events: &mut Vec<Event>) {
        self.expire_up_to(now, usize::MAX, events);
    }

    /// Runs many of the timers that are due by `now`, if there are more than a few: false when all have run. What they say is
    /// in order, and before all that is said by those left: after a pause a whole flood is due at once.
    pub(crate) fn expire_some(&mut self, now: Timestamp, events: &mut Vec<Event>) -> bool {
        self.expire_up_to(now, EXPIRED_AT_ONCE, events)
    }

    fn expire_up_to(&mut self, now: Timestamp, max: usize, events: &mut Vec<Event>) -> bool {
        if self.table.is_quiet(now) {
            return false;
        }
        let before = events.len();
        let more = self.run_timers(now, max, events);
        self.compact();
        if let Some(new) = events.get_mut(before..)
            && new.len() > 1
        {
            new.sort_by_key(|event| (event.at(), event.flow_id()));
        }
        more
    }

    /// Behind a flood: gathers the flows that are left.
    fn compact(&mut self) {
        let Self { table, readers, .. } = self;
        table.compact(|old, new, flow| {
            if let Some(reading) = flow.reading() {
                readers.rename(old, new, reading.stream.member);
            }
        });
        readers.shrink_to(table.slots());
    }

    /// True if it stopped after so many events, with all that is due at the same time.
    fn run_timers(&mut self, now: Timestamp, max: usize, events: &mut Vec<Event>) -> bool {
        let (before, mut until, mut stopped) = (events.len(), now, false);
        while let Some((due, timer, slot)) = self.table.due(until) {
            let at = self.clock.reach(due);
            if !stopped && events.len() - before >= max {
                (until, stopped) = (until.min(at), true);
            }
            match timer {
                Timer::Unanswered => {
                    let Some(flow) = self.table.flow_mut(slot) else { continue };
                    flow.stop_waiting();
                    say_unanswered(flow, at, events);
                    if self.options.rules == Rules::Zeek && flow.first() == First::Syn {
                        self.end(slot, at, EndReason::Idle, events);
                    }
                }
                Timer::Active => {
                    let Some(flow) = self.table.flow_mut(slot) else { continue };
                    say_ended(flow, at, EndReason::Active, events);
                    flow.restart(at);
                }
                Timer::Silent => {
                    let closed = self.table.flow(slot).is_some_and(Flow::is_closed);
                    let reason = if closed { EndReason::Closed } else { EndReason::Idle };
                    self.end(slot, at, reason, events);
                }
            }
            self.table.arm(slot);
        }
        stopped
    }

    fn end(&mut self, slot: u32, at: Timestamp, reason: EndReason, events: &mut Vec<Event>) {
        let Some(mut flow) = self.table.remove(slot) else { return };
        let flow_ref = flow.reference();
        if let Some(Reading { session, notes, stream }) = flow.reading().as_deref_mut() {
            self.readers.leave(slot, &mut stream.member);
            let mut sink = Sink { at, flow: flow_ref, notes, counters: &mut self.counters, events };
            stream.finish(session, &mut self.pool, &mut sink);
            session.finish(&mut sink);
            if sink.notes.application() == Application::FtpData
                && let Some(transfer) = self.expected.take(flow_ref.responder)
            {
                sink.transaction(transfer);
            }
        }
        self.counters.count(Counter::FlowsEnded);
        let reason = if reason == EndReason::Forced && flow.is_closed() { EndReason::Closed } else { reason };
        say_ended(&mut flow, at, reason, events);
    }
}

/// Nothing came back; said once.
fn say_unanswered(flow: &mut Flow, at: Timestamp, events: &mut Vec<Event>) {
    if flow.say_once(Once::Unanswered) {
        events.push(Event::Flow { at, flow: flow.reference(), what: FlowEvent::Unanswered });
    }
}

/// The last of what it carried, and its record.
fn say_ended(flow: &mut Flow, at: Timestamp, reason: EndReason, events: &mut Vec<Event>) {
    let (traffic, record) = (flow.take_last_traffic(), flow.take_record(reason));
    let flow = flow.reference();
    events.extend(traffic.map(|traffic| Event::Flow { at, flow, what: FlowEvent::Traffic(traffic) }));
    events.push(Event::Flow { at, flow, what: FlowEvent::Ended(record.into()) });
}

/// The Ethernet addresses of a frame: sender, receiver.
fn addresses(frame: &Frame<'_>) -> Option<[[u8; 6]; 2]> {
    if frame.link != LinkType::Ethernet {
        return None;
    }
    let (destination, rest) = frame.bytes.split_first_chunk::<6>()?;
    Some([*rest.first_chunk::<6>()?, *destination])
}

/// A rule that a segment of the originator breaks.
const fn stream_anomaly(name: &'static str) -> Anomaly {
    Anomaly { layer: event::Layer::Stream, application: Application::Unknown, name, from_originator: true }
}

/// A rule that a frame breaks.
const fn anomaly(
    at: Timestamp,
    vlan: Option<u16>,
    ends: Option<(IpAddr, IpAddr)>,
    name: &'static str,
) -> Event {
    let anomaly = Anomaly {
        layer: event::Layer::Decode,
        application: Application::Unknown,
        name,
        from_originator: true,
    };
    Event::Anomaly { at, vlan, ends, anomaly }
}

#[cfg(test)]
mod layers;
#[cfg(test)]
mod tests;
