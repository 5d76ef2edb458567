//! The hot path on one screen: frame → packet → flow → session → events.
//!
//! Events leave in order of event time. What timers bring about is said to be at the moment they were due, not at the frame
//! that moved time on: so it is the same whether [`Observer::handle_timeout`] or the next frame noticed it.

use sekimori_wire::time::Timestamp;

use crate::clock::Clock;
use crate::counters::{Counter, Counters};
use crate::decode::{Content, Flags, Ip, Packet, Quoted, Transport};
use crate::event::{Application, EndReason, Endpoint, Event, FlowEvent};
use crate::flow::stream::{Payload, Pool};
use crate::flow::table::{Table, Timer};
use crate::flow::tcp::{Segment, Step};
use crate::flow::{Direction, Flow, FlowKey, Once, ends};
use crate::frame::Frame;
use crate::limits::Limits;
use crate::proto::{Expected, Session, Side, Sink};

/// How an observer looks at packets, beside its bounds.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Packets whose IP, TCP, UDP or ICMP checksum is wrong are counted and left out. Off for live capture: with checksum
    /// offload the sender's own packets are captured before the card completes them.
    pub verify_checksums: bool,
    /// TCP connections whose beginning was not seen are read as well.
    pub midstream: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self { verify_checksums: false, midstream: true }
    }
}

/// Turns frames into events.
#[derive(Debug)]
pub struct Observer {
    options: Options,
    clock: Clock,
    counters: Counters,
    table: Table,
    pool: Pool,
    /// FTP's data connections that were announced.
    expected: Expected,
    /// Flows begun: the last one's id.
    begun: u64,
    /// What `finish` waits for.
    attempt_timeout: std::time::Duration,
}

impl Observer {
    /// `seed` keys the hash of the flow table; it never shows in the events.
    pub fn new(limits: &Limits, options: Options, seed: u64) -> Self {
        Self {
            options,
            clock: Clock::default(),
            counters: Counters::default(),
            table: Table::new(limits, seed),
            pool: Pool::new(limits.prefixes, limits.prefix_bytes),
            expected: Expected::default(),
            begun: 0,
            attempt_timeout: limits.attempt_timeout,
        }
    }

    /// Observes one frame. Cannot fail: what is not understood is counted.
    pub fn handle_frame(&mut self, frame: &Frame<'_>, events: &mut Vec<Event>) {
        self.counters.count(Counter::Frames);
        self.counters.add(Counter::Bytes, frame.wire_len.into());
        self.expire(frame.at, events);
        let tick = self.clock.on_frame(frame.at);
        if tick.backwards {
            self.counters.count(Counter::TimeBackwards);
        }
        let packet = match Packet::parse(frame) {
            Ok(packet) => packet,
            Err(skip) => return self.counters.count(skip.counter()),
        };
        match packet.content {
            Content::Arp(arp) => events.push(Event::Arp { at: tick.at, vlan: packet.vlan, arp }),
            Content::Ip(ip) => self.on_ip(tick.at, packet.vlan, &ip, events),
        }
    }

    /// The link may be silent: ends what is due by `now`. Event time does not follow `now`, only the timers that were due.
    pub fn handle_timeout(&mut self, now: Timestamp, events: &mut Vec<Event>) {
        self.expire(now, events);
    }

    /// The capture is over: attempts get their time to be answered, then all flows end, in order of id.
    pub fn finish(&mut self, events: &mut Vec<Event>) {
        self.expire(self.clock.now().plus(self.attempt_timeout), events);
        for slot in self.table.slots_by_id() {
            self.end(slot, self.clock.now(), EndReason::Forced, events);
        }
    }

    /// What was counted so far.
    pub const fn counters(&self) -> &Counters {
        &self.counters
    }

    /// The latest event time.
    pub const fn now(&self) -> Timestamp {
        self.clock.now()
    }

    fn on_ip(&mut self, at: Timestamp, vlan: Option<u16>, ip: &Ip<'_>, events: &mut Vec<Event>) {
        if ip.truncated {
            self.counters.count(Counter::Truncated);
        }
        let (protocol, source, destination) = ends(ip);
        let (key, direction) = FlowKey::new(protocol, vlan, source, destination);
        let slot = self.slot(at, key, direction, ip, events);
        let Some(flow) = self.table.flow_mut(slot) else { return };
        let side = flow.side(direction);
        flow.count(side, ip, at);
        let mut say = |flow: &mut Flow, once: Once, what: FlowEvent| {
            if flow.say_once(once) {
                events.push(Event::Flow { at, flow: flow.reference(), what });
            }
        };
        let step = match ip.transport {
            Transport::Tcp(tcp) => {
                let segment =
                    Segment { flags: tcp.flags, sequence: tcp.sequence, payload_bytes: ip.payload_bytes };
                flow.tcp.on_segment(side, segment)
            }
            Transport::Udp(_) | Transport::Icmp(_) if flow.is_answered_by(side, ip) => Step::Answered,
            Transport::Udp(_) | Transport::Icmp(_) => Step::None,
        };
        match step {
            Step::None => {}
            Step::Answered => say(flow, Once::Answered, FlowEvent::Answered),
            Step::Established => say(flow, Once::Established, FlowEvent::Established),
            Step::Rejected => say(flow, Once::Rejected, FlowEvent::Rejected),
        }
        let reacted = flow.had_reaction();
        self.parse(at, slot, side, ip, events);
        if reacted {
            self.table.stop_waiting(slot);
        }
        self.table.touch(slot);
        if let Transport::Icmp(icmp) = ip.transport
            && let Some(quoted) = icmp.unreachable
        {
            self.on_unreachable(at, vlan, quoted, events);
        }
    }

    /// The flow of a packet, begun if need be.
    fn slot(
        &mut self,
        at: Timestamp,
        key: FlowKey,
        direction: Direction,
        ip: &Ip<'_>,
        events: &mut Vec<Event>,
    ) -> u32 {
        if let Some(slot) = self.table.find(&key) {
            let reopened = match (ip.transport, self.table.flow(slot)) {
                (Transport::Tcp(tcp), Some(flow)) => flow.tcp.is_reopened_by(tcp.flags, tcp.sequence),
                (Transport::Tcp(_) | Transport::Udp(_) | Transport::Icmp(_), _) => false,
            };
            if !reopened {
                return slot;
            }
            self.end(slot, at, EndReason::Closed, events);
        }
        if let Some(slot) = self.table.least_recent_if_full() {
            self.counters.count(Counter::FlowsEvicted);
            self.end(slot, at, EndReason::LackOfResources, events);
        }
        self.begun += 1;
        self.counters.count(Counter::FlowsStarted);
        let flow = Flow::begin(self.begun, key, direction, ip, at);
        events.push(Event::Flow { at, flow: flow.reference(), what: FlowEvent::Started(flow.first()) });
        self.table.insert(flow)
    }

    /// Shows the payload to the flow's parser.
    fn parse(&mut self, at: Timestamp, slot: u32, side: Side, ip: &Ip<'_>, events: &mut Vec<Event>) {
        let Some(flow) = self.table.flow_mut(slot) else { return };
        if flow.session.is_opaque() {
            return;
        }
        let reference = flow.reference();
        let (counters, notes) = (&mut self.counters, &mut flow.notes);
        let mut sink = Sink { at, flow: reference, notes, counters, events };
        if !ip.payload.is_empty() && flow.session.is_fresh() && self.expected.has(reference.responder) {
            sink.is(Application::FtpData);
            flow.session = Session::Opaque;
            return;
        }
        match ip.transport {
            Transport::Tcp(tcp) if tcp.flags.has(Flags::RST) => {}
            Transport::Tcp(tcp) => {
                let syn = tcp.flags.has(Flags::SYN);
                let sequence = tcp.sequence.wrapping_add(syn.into());
                if syn {
                    flow.stream.begin(side, sequence);
                }
                let payload = Payload { sequence, bytes: ip.payload, wire_bytes: ip.payload_bytes };
                flow.stream.deliver(side, payload, &mut flow.session, &mut self.pool, &mut sink);
            }
            Transport::Udp(_) if ip.payload.is_empty() => {}
            Transport::Udp(_) => flow.session.read_datagram(side, ip.payload, ip.payload_bytes, &mut sink),
            Transport::Icmp(_) => {}
        }
        if !flow.notes.ftp.is_empty() {
            self.expected.note(reference.id, &mut flow.notes.ftp);
        }
    }

    /// A router or the host itself says that the originator's packets do not arrive.
    fn on_unreachable(&mut self, at: Timestamp, vlan: Option<u16>, quoted: Quoted, events: &mut Vec<Event>) {
        let source = Endpoint { address: quoted.source, port: quoted.ports.source };
        let destination = Endpoint { address: quoted.destination, port: quoted.ports.destination };
        let (key, direction) = FlowKey::new(quoted.protocol, vlan, source, destination);
        let Some(slot) = self.table.find(&key) else { return };
        let Some(flow) = self.table.flow_mut(slot) else { return };
        if flow.side(direction) == Side::Originator && !flow.had_reaction() && flow.say_once(Once::Rejected) {
            events.push(Event::Flow { at, flow: flow.reference(), what: FlowEvent::Rejected });
            self.table.stop_waiting(slot);
        }
    }

    /// Runs every timer that is due by `now`, in order.
    fn expire(&mut self, now: Timestamp, events: &mut Vec<Event>) {
        while let Some((due, timer, slot)) = self.table.due(now) {
            let at = self.clock.reach(due);
            match timer {
                Timer::Unanswered => {
                    self.table.stop_waiting(slot);
                    if let Some(flow) = self.table.flow_mut(slot)
                        && flow.say_once(Once::Unanswered)
                    {
                        events.push(Event::Flow { at, flow: flow.reference(), what: FlowEvent::Unanswered });
                    }
                }
                Timer::Active => {
                    self.table.restart_active(slot, at);
                    if let Some(flow) = self.table.flow_mut(slot) {
                        let (flow, record) = (flow.reference(), flow.take_record(EndReason::Active));
                        events.push(Event::Flow { at, flow, what: FlowEvent::Ended(record.into()) });
                    }
                }
                Timer::Silent => {
                    let closed = self.table.flow(slot).is_some_and(|flow| flow.tcp.is_closed());
                    let reason = if closed { EndReason::Closed } else { EndReason::Idle };
                    self.end(slot, at, reason, events);
                }
            }
        }
    }

    fn end(&mut self, slot: u32, at: Timestamp, reason: EndReason, events: &mut Vec<Event>) {
        let Some(mut flow) = self.table.remove(slot) else { return };
        flow.stream.release(&mut self.pool);
        let reference = flow.reference();
        let (counters, notes) = (&mut self.counters, &mut flow.notes);
        let mut sink = Sink { at, flow: reference, notes, counters, events };
        flow.session.finish(&mut sink);
        if sink.notes.application() == Application::FtpData
            && let Some(transfer) = self.expected.take(reference.responder)
        {
            sink.transaction(transfer);
        }
        self.counters.count(Counter::FlowsEnded);
        let reason =
            if reason == EndReason::Forced && flow.tcp.is_closed() { EndReason::Closed } else { reason };
        let record = flow.take_record(reason);
        events.push(Event::Flow { at, flow: flow.reference(), what: FlowEvent::Ended(record.into()) });
    }
}

#[cfg(test)]
mod tests;
