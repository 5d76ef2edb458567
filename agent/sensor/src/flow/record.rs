//! What is told of a flow when it ends, or goes on for long.

use super::facts::{HAS_MACS, PACKETS};
use super::{Flow, Once, TCP};
use crate::event::{Conduct, ConnState, EndReason, First, FlowRecord, TcpState, Way};
use crate::proto::{Notes, Side};

impl Flow {
    /// The record of what happened since the last one; counting begins anew. Of a flow that does not go on it has the names.
    pub(crate) fn take_record(&mut self, reason: EndReason) -> FlowRecord {
        let rare = self.more.as_mut().and_then(|more| more.rare.as_mut());
        let carried = rare.map(|rare| core::mem::take(&mut rare.carried)).unwrap_or_default();
        let [of_originator, of_responder] = core::mem::take(&mut self.tallies);
        let originator = of_originator.on_top_of(carried[0]);
        let responder = of_responder.on_top_of(carried[1]);
        let reported = self.rare_if_any().and_then(|rare| rare.reported);
        let start = reported.map_or(Some(self.began), |reported| reported.start).unwrap_or(self.last);
        let (conduct, state) = self.conduct([originator.payload_bytes, responder.payload_bytes]);
        let mut nothing = Notes::default();
        let notes = self.reading.as_mut().map_or(&mut nothing, |reading| &mut reading.notes);
        let (server_name, ja4) = if reason == EndReason::Active { notes.names() } else { notes.take_names() };
        FlowRecord {
            start,
            end: self.last,
            originator,
            responder,
            state,
            reason,
            application: notes.application(),
            applications: notes.applications,
            server_name,
            ja4,
            conduct,
        }
    }

    fn conduct(&self, payload_bytes: [u64; 2]) -> (Conduct, ConnState) {
        let is_tcp = self.name.protocol() == TCP;
        let imagined = (is_tcp && self.talk().is_none()).then(|| self.imagine());
        let (tcp, history) = match (&imagined, self.talk()) {
            (Some((tcp, history)), _) => (Some(tcp), *history),
            (None, talk) => (talk.map(|talk| &talk.tcp), self.history()),
        };
        let way = |side: Side| {
            let mac = self.facts.has(HAS_MACS).then(|| *side.of(&self.macs));
            match tcp {
                Some(tcp) => Way { mac, ..tcp.way(self.zeek(side)) },
                None => Way { mac, stream_bytes: *side.of(&payload_bytes), ..Way::default() },
            }
        };
        let handshake = self.was_said(Once::Established);
        let conduct = Conduct {
            originator: way(Side::Originator),
            responder: way(Side::Responder),
            history,
            active_until: match self.talk() {
                Some(talk) => talk.active_until,
                None if is_tcp => self.began,
                None => self.last,
            },
            rtt: self.talk().and_then(|talk| talk.rtt),
            tcp_state: tcp.map_or(TcpState::None, |tcp| tcp.state(handshake)),
            midstream: self.first == First::Midstream,
            vlans: self.name.vlans().array(),
            icmp: [Side::Originator, Side::Responder].map(|side| self.icmp_of(side)),
        };
        let state = tcp.map_or_else(|| self.state(), |tcp| tcp.conn_state(&history));
        (conduct, state)
    }

    /// ICMP type and code of a side's first packet.
    fn icmp_of(&self, side: Side) -> Option<(u8, u8)> {
        if !self.is_icmp() || !self.facts.has(*side.of(&PACKETS)) {
            return None;
        }
        let direction = match side {
            Side::Originator => self.originator(),
            Side::Responder => self.originator().reversed(),
        };
        let kind = u8::try_from(self.key().sender(direction).port).ok()?;
        Some((kind, *side.of(&self.brief.icmp_codes())))
    }

    /// How a flow without connection went.
    const fn state(&self) -> ConnState {
        match (self.facts.has(PACKETS[0]), self.facts.has(PACKETS[1])) {
            (_, true) => ConnState::SF,
            (true, false) if self.awaits_answer() => ConnState::S0,
            (_, false) => ConnState::Oth,
        }
    }
}
