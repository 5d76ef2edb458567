//! How a flow follows its connection: from the bare SYN, which needs nothing beside the entry, to the state of TCP.

use sekimori_wire::time::Timestamp;

use super::facts::{BARE_SYN, LONG_HISTORY, ONLY_SYN, SWAPPED};
use super::more::Talk;
use super::tcp::{Meaning, Segment, Tcp};
use super::twice::Heard;
use super::{Direction, Flow, Once, Step};
use crate::decode::{self, Flags, Ip, Transport};
use crate::event::{First, History};
use crate::proto::Side;

impl Flow {
    /// This SYN is not of this connection but opens the next between the same ports.
    pub(crate) fn is_reopened_by(&self, direction: Direction, ip: &Ip<'_>) -> bool {
        let Transport::Tcp(tcp) = ip.transport else { return false };
        if !tcp.flags.has(Flags::SYN) {
            return false;
        }
        let side = self.zeek(self.side(direction));
        let segment = segment(&tcp, ip);
        match self.tcp() {
            Some(tcp) => tcp.is_reopened_by(side, &segment),
            None => self.imagine().0.is_reopened_by(side, &segment),
        }
    }

    /// The state of a connection that has none of its own yet, and its history.
    pub(super) fn imagine(&self) -> (Tcp, History) {
        let (mut tcp, mut history) = (Tcp::default(), self.history());
        if self.facts.has(ONLY_SYN) {
            let _meaning = tcp.on_segment(Side::Originator, &self.syn(), &mut history);
        }
        (tcp, history)
    }

    /// The bare SYN that it began with.
    const fn syn(&self) -> Segment {
        Segment {
            flags: Flags::SYN,
            sequence: self.asked,
            acknowledgment: 0,
            window: u16::MAX,
            payload_bytes: 0,
            whole: true,
        }
    }

    /// From now on the connection has a state.
    pub(super) fn converse(&mut self) {
        if self.talk().is_none() {
            let talk = Talk::new(self.imagine(), self.began);
            self.facts.set(LONG_HISTORY, true);
            self.facts.set(ONLY_SYN, false);
            self.more().talk = Some(Box::new(talk));
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
        let talk = self.more.as_mut()?.talk.as_mut()?;
        let heard =
            Heard { flags: tcp.flags, sequence: tcp.sequence, payload: ip.payload, hops_left: ip.hops_left };
        if !ip.payload.is_empty() {
            side.other().of_mut(&mut talk.twice).yield_turn();
        }
        side.of_mut(&mut talk.twice).hear(&heard)
    }

    fn follow_tcp(&mut self, side: Side, segment: &Segment, at: Timestamp) -> (Step, Meaning) {
        let flags = segment.flags;
        if self.first == First::Syn && self.is_only_syn(segment) {
            self.facts.set(ONLY_SYN | BARE_SYN, true);
            self.asked = segment.sequence;
            return (Step::None, Meaning { productive: true, ..Meaning::default() });
        }
        let zeek = self.zeek(side);
        let talk = self.more.as_mut().and_then(|more| more.talk.as_deref_mut());
        let predicted = talk.and_then(|talk| {
            let meaning = talk.tcp.predicted(zeek, segment)?;
            talk.active_until = at;
            Some(meaning)
        });
        let meaning = match predicted {
            Some(meaning) => meaning,
            None => self.take_segment(zeek, segment, at),
        };
        let (syn, ack) = (flags.has(Flags::SYN), flags.has(Flags::ACK));
        let step = match side {
            _ if flags.has(Flags::RST) && !(meaning.rejected && side == Side::Responder) => Step::None,
            Side::Responder if meaning.rejected => Step::Rejected,
            Side::Responder if syn && ack => Step::Answered,
            Side::Originator if ack && !syn && self.was_said(Once::Answered) => Step::Established,
            Side::Originator | Side::Responder => Step::None,
        };
        if step == Step::Established
            && !self.was_said(Once::Established)
            && self.first == First::Syn
            && let Some(talk) = self.more().talk.as_mut()
        {
            talk.rtt = Some(at.since(talk.attempt));
        }
        (step, meaning)
    }

    /// A segment that may change the state of the connection; `side` is Zeek's.
    fn take_segment(&mut self, side: Side, segment: &Segment, at: Timestamp) -> Meaning {
        let patience = self.patience();
        self.converse();
        let Some(talk) = &mut self.more().talk else { return Meaning::default() };
        let mut meaning = talk.tcp.on_segment(side, segment, &mut talk.history);
        if meaning.productive {
            talk.active_until = at;
        }
        if segment.flags.has(Flags::SYN) && !segment.flags.has(Flags::ACK) {
            talk.attempt = at;
        }
        self.facts.set(SWAPPED, self.facts.has(SWAPPED) != meaning.exchanged);
        meaning.turns = self.patience() != patience;
        meaning
    }

    /// This is the packet that it begins with, and it says nothing but SYN.
    fn is_only_syn(&self, segment: &Segment) -> bool {
        let flows = self.facts.has(ONLY_SYN | BARE_SYN) || self.talk().is_some();
        !flows && segment.flags == Flags::SYN && segment.payload_bytes == 0 && segment.window > 0
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
