//! TCP as a third party sees it (RFC 9293), in Zeek's words: connection states, history, bytes by sequence numbers, what is
//! missing.

mod end;
mod pieces;

use crate::decode::Flags;
use crate::event::{ConnState, History, TcpState};
use crate::proto::Side;
use end::{End, Missing, State};
use pieces::Pieces;

/// A RST further than this from what its sender sent last is not believed: an off-path sender who guesses must not end our
/// view of a flow. Wide enough for any window in use and for what the capture missed.
const RST_DISTANCE_MAX: u32 = 1 << 24;

/// State of a TCP flow. Its sides are Zeek's: see [`FlowRef::swapped`](crate::event::FlowRef::swapped).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tcp {
    ends: [End; 2],
    /// What came before its turn; boxed, for few connections ever have any.
    pieces: Option<Box<[Pieces; 2]>>,
    /// Met midstream.
    partial: bool,
    /// The responder said FIN first.
    responder_left: bool,
}

/// What a segment meant.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "independent facts of one segment")]
pub(crate) struct Meaning {
    /// It did not come after both ends had closed.
    pub(crate) productive: bool,
    /// A SYN in answer to a SYN-ACK: the capture had exchanged them, and the sides are now.
    pub(crate) exchanged: bool,
    /// It acknowledged new bytes of an established connection.
    pub(crate) acknowledged: bool,
    /// Some of which the capture does not have.
    pub(crate) unseen: bool,
    /// RST in answer to the SYN.
    pub(crate) rejected: bool,
    /// It has the first bytes of its direction.
    pub(crate) opens: bool,
    /// The flow's patience is another now.
    pub(crate) turns: bool,
}

/// What the machine needs of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Segment {
    pub(crate) flags: Flags,
    pub(crate) sequence: u32,
    pub(crate) acknowledgment: u32,
    pub(crate) window: u16,
    pub(crate) payload_bytes: u32,
    /// The capture has all of the payload.
    pub(crate) whole: bool,
}

impl Segment {
    /// Its share of the sequence space. Bytes in a RST are not part of the stream.
    fn length(&self) -> u32 {
        let controls = u32::from(self.flags.has(Flags::SYN)) + u32::from(self.flags.has(Flags::FIN));
        if self.flags.has(Flags::RST) { controls } else { controls.wrapping_add(self.payload_bytes) }
    }
}

impl Tcp {
    /// One more segment, from Zeek's originator or responder.
    pub(crate) fn on_segment(&mut self, side: Side, segment: &Segment, history: &mut History) -> Meaning {
        let flags = segment.flags;
        if flags.has(Flags::RST) && !self.believes_reset(side, segment.sequence) {
            return Meaning { productive: true, ..Meaning::default() };
        }
        self.note_partial(side, flags);
        let after = segment.sequence.wrapping_add(segment.length());
        let productive = !self.ends.iter().all(|end| end.done);
        let peer_closed = side.other().of(&self.ends).state == State::Closed;
        let end = side.of_mut(&mut self.ends);
        end.begin(flags, segment.sequence, after);
        end.flags |= flags.0;
        let relative = end.relative(segment.sequence, end.last);
        tell(end, side, segment, history);
        if segment.window == 0 && !flags.has(Flags::RST) && !peer_closed && end.state != State::Reset {
            end.zero_windows = scaled(end.zero_windows, b'w', side, history);
        }
        if flags.has(Flags::FIN) {
            end.fin = Some(relative.map_or(u64::MAX, |from| from.saturating_add(segment.length().into())));
        }
        end.resets = end.resets.saturating_add(flags.has(Flags::RST).into());
        let acknowledged = flags.has(Flags::ACK).then(|| self.take_acknowledgment(side, segment));
        let end = side.of_mut(&mut self.ends);
        let repeats = end.send(flags, after, segment.payload_bytes);
        if repeats {
            end.retransmissions = scaled(end.retransmissions, b't', side, history);
        }
        let (side, mut meaning) = self.advance(side, segment, history);
        meaning.productive = productive;
        let from = relative.map(|from| from + u64::from(flags.has(Flags::SYN)));
        meaning.opens = from == Some(1) && segment.payload_bytes > 0 && !flags.has(Flags::RST);
        if let Some(Acknowledged { until, new }) = acknowledged {
            let both = self.ends.iter().all(|end| end.state == State::Established);
            let missing = self.account(side.other(), until, history);
            meaning.acknowledged = both && new;
            meaning.unseen = both && new && missing.bytes > 0;
        }
        let end = side.of_mut(&mut self.ends);
        end.heard = true;
        if let Some(from) = relative
            && segment.payload_bytes > 0
            && segment.whole
            && !flags.has(Flags::RST)
        {
            let from = from + u64::from(flags.has(Flags::SYN));
            let fills = self.keep(side, from, segment.payload_bytes);
            let end = side.of_mut(&mut self.ends);
            end.out_of_order = end.out_of_order.saturating_add(u32::from(fills && repeats));
        }
        self.note_done();
        meaning
    }

    /// What [`on_segment`](Self::on_segment) makes of the segment that nearly always comes: of an established connection, the
    /// next bytes or none, and an acknowledgment of what the capture has. Of any other it says nothing and does nothing.
    pub(crate) fn predicted(&mut self, side: Side, segment: &Segment) -> Option<Meaning> {
        let Segment { flags, sequence, acknowledgment, window, payload_bytes, whole } = *segment;
        let controls = Flags::SYN.0 | Flags::FIN.0 | Flags::RST.0 | Flags::ACK.0;
        if flags.0 & controls != Flags::ACK.0 || window == 0 || acknowledgment == 0 || self.pieces.is_some() {
            return None;
        }
        let [originator, responder] = &mut self.ends;
        let (end, peer) = match side {
            Side::Originator => (originator, responder),
            Side::Responder => (responder, originator),
        };
        let told = if payload_bytes > 0 { DATA } else { ACK };
        if !end.is_steady() || !peer.is_steady() || end.told & told == 0 || sequence != end.next() {
            return None;
        }
        let until = peer.relative(acknowledgment, peer.acked).filter(|until| peer.has_next(*until))?;
        let opens = end.last == 1 && payload_bytes > 0;
        if payload_bytes > 0 && !end.send_next(payload_bytes, whole) {
            return None;
        }
        end.flags |= flags.0;
        let acknowledged = until > peer.acked.max(1);
        peer.acked = peer.acked.max(until);
        Some(Meaning { productive: true, acknowledged, opens, ..Meaning::default() })
    }

    fn note_partial(&mut self, side: Side, flags: Flags) {
        let [originator, responder] = &self.ends;
        let syn = flags.has(Flags::SYN);
        match side {
            Side::Originator if !originator.heard => self.partial = !syn || flags.has(Flags::ACK),
            Side::Responder if !responder.heard && !self.partial => self.partial = !syn,
            Side::Originator | Side::Responder => {}
        }
    }

    fn take_acknowledgment(&mut self, side: Side, segment: &Segment) -> Acknowledged {
        let peer = side.other().of_mut(&mut self.ends);
        if peer.state == State::Inactive {
            peer.begin_unheard(segment.acknowledgment);
            return Acknowledged { until: 1, new: false };
        }
        let before = peer.acked.max(1);
        let until = peer.acknowledge(segment.acknowledgment, !segment.flags.has(Flags::RST));
        Acknowledged { until, new: until > before }
    }

    fn keep(&mut self, side: Side, from: u64, bytes: u32) -> bool {
        let end = side.of_mut(&mut self.ends);
        if self.pieces.is_none() && end.has_next(from) {
            return end.have(from, bytes, &mut Pieces::default());
        }
        end.have(from, bytes, side.of_mut(self.pieces.get_or_insert_default()))
    }

    /// `side` sent bytes up to `until`, says the other: counts those that the capture does not have.
    fn account(&mut self, side: Side, until: u64, history: &mut History) -> Missing {
        let clean = self.ends.iter().all(End::is_clean);
        let partial = self.partial;
        let end = side.of_mut(&mut self.ends);
        let missing = match &mut self.pieces {
            Some(pieces) => end.give_up(until, partial, side.of_mut(pieces)),
            None => end.give_up(until, partial, &mut Pieces::default()),
        };
        if clean {
            end.missed = end.missed.saturating_add(missing.bytes);
            for _ in 0..missing.holes {
                end.gaps = scaled(end.gaps, b'g', side, history);
            }
        }
        missing
    }

    /// An end is done when it closed and no byte before that is awaited any more.
    fn note_done(&mut self) {
        let waits = |side: Side| self.pieces.as_deref().is_some_and(|pieces| !side.of(pieces).is_empty());
        let [originator_waits, responder_waits] = [waits(Side::Originator), waits(Side::Responder)];
        let [originator, responder] = &mut self.ends;
        for (end, peer_waits) in [(originator, responder_waits), (responder, originator_waits)] {
            let awaited = end.is_pending() || (end.state != State::Reset && peer_waits);
            end.done |= end.is_over() && !awaited;
        }
    }

    /// Moves the states on; which side the segment is of then.
    fn advance(&mut self, side: Side, segment: &Segment, history: &mut History) -> (Side, Meaning) {
        let mut meaning = Meaning::default();
        let mut side = side;
        match side.of(&self.ends).state {
            State::Inactive => {
                let flags = segment.flags;
                let reversed = side == Side::Responder
                    && self.ends[0].state == State::SynAckSent
                    && flags.has(Flags::SYN)
                    && !flags.has(Flags::ACK);
                if reversed {
                    // The capture had the SYN-ACK before its SYN.
                    self.ends.swap(0, 1);
                    if let Some(pieces) = &mut self.pieces {
                        pieces.swap(0, 1);
                    }
                    self.partial = false;
                    self.ends[1].enter(State::Established);
                    self.ends[0].enter(State::Established);
                    history.push(b'^');
                    side = Side::Originator;
                    meaning.exchanged = true;
                } else {
                    meaning.rejected = self.wake(side, segment);
                }
            }
            State::SynSent | State::SynAckSent => self.leave(side, segment.flags),
            State::Established | State::Partial => {
                let peer_inactive = side.other().of(&self.ends).state == State::Inactive;
                let end = side.of_mut(&mut self.ends);
                let bare_syn = segment.flags.has(Flags::SYN) && !segment.flags.has(Flags::ACK);
                if bare_syn && end.state == State::Partial && peer_inactive {
                    end.enter(State::SynSent);
                }
                self.leave(side, segment.flags);
            }
            State::Closed => {
                let peer_closed = side.other().of(&self.ends).state == State::Closed;
                // Both ends said goodbye: a RST after that is tidying up.
                if segment.flags.has(Flags::RST) && !peer_closed {
                    side.of_mut(&mut self.ends).enter(State::Reset);
                }
            }
            State::Reset => {}
        }
        (side, meaning)
    }

    /// The first segment of an end; true if it is a RST that refuses a SYN.
    fn wake(&mut self, side: Side, segment: &Segment) -> bool {
        let flags = segment.flags;
        let peer = side.other().of_mut(&mut self.ends);
        let peer_state = peer.state;
        let mut state = State::Inactive;
        if flags.has(Flags::SYN) {
            state = match side {
                Side::Originator if flags.has(Flags::ACK) => State::SynAckSent,
                Side::Originator => State::SynSent,
                Side::Responder => {
                    if peer_state == State::SynSent {
                        peer.enter(State::Established);
                    }
                    State::Established
                }
            };
        }
        if flags.has(Flags::FIN) {
            state = State::Closed;
            self.note_leaving(side);
        }
        if flags.has(Flags::RST) {
            state = State::Reset;
        }
        if state == State::Inactive {
            // Some acknowledge a SYN before they answer it.
            let early = side == Side::Responder && segment.payload_bytes == 0 && peer_state == State::SynSent;
            state = if early {
                State::Inactive
            } else if flags.has(Flags::ACK) && peer_state == State::Established {
                self.partial = false;
                State::Established
            } else {
                State::Partial
            };
        }
        side.of_mut(&mut self.ends).enter(state);
        flags.has(Flags::RST) && side == Side::Responder && peer_state == State::SynSent
    }

    /// FIN and RST of an end that spoke before.
    fn leave(&mut self, side: Side, flags: Flags) {
        if flags.has(Flags::FIN) && !flags.has(Flags::RST) {
            self.note_leaving(side);
            side.of_mut(&mut self.ends).enter(State::Closed);
            let peer = side.other().of_mut(&mut self.ends);
            if peer.state == State::Reset && peer.before == State::Closed {
                // It said FIN before the RST: this was a normal end.
                peer.enter(State::Closed);
            }
        }
        if flags.has(Flags::RST) {
            side.of_mut(&mut self.ends).enter(State::Reset);
        }
    }

    fn note_leaving(&mut self, side: Side) {
        self.responder_left |= side == Side::Responder && self.ends[0].fin.is_none();
    }

    fn believes_reset(&self, side: Side, sequence: u32) -> bool {
        let end = side.of(&self.ends);
        end.state != State::Established || distance(end.next(), sequence).unsigned_abs() <= RST_DISTANCE_MAX
    }

    /// This SYN from Zeek's `side` is not of this connection but opens the next between the same ports. Within an
    /// established connection it is not believed: whoever guesses the ports could cut it in two.
    pub(crate) fn is_reopened_by(&self, side: Side, segment: &Segment) -> bool {
        let flags = segment.flags;
        let [originator, responder] = &self.ends;
        if !flags.has(Flags::SYN) || flags.has(Flags::ACK) || flags.has(Flags::RST) {
            return false;
        }
        let over = originator.is_over() || responder.is_over();
        let unanswered = side == Side::Originator && responder.state == State::Inactive;
        (over || unanswered)
            && originator.start != segment.sequence
            && originator.state != State::SynAckSent
            && originator.state != State::Partial
    }

    /// Both ends are done, or one broke off.
    pub(crate) fn is_closed(&self) -> bool {
        let [originator, responder] = &self.ends;
        let states = (originator.state, responder.state);
        matches!(states, (State::Reset, _) | (_, State::Reset) | (State::Closed, State::Closed))
    }

    /// More than an attempt.
    pub(crate) fn is_talking(&self) -> bool {
        let [originator, responder] = &self.ends;
        let talks = |end: &End, peer: &End| match end.state {
            State::Partial | State::Closed => true,
            State::Established => peer.state != State::Inactive,
            // It goes on after its SYN: it had an answer that the capture has not.
            State::SynSent => end.told & (DATA | ACK) != 0,
            State::Inactive | State::SynAckSent | State::Reset => false,
        };
        talks(originator, responder) || talks(responder, originator)
    }

    /// What Zeek's `side` showed.
    pub(crate) fn way(&self, side: Side) -> crate::event::Way {
        let end = side.of(&self.ends);
        crate::event::Way {
            stream_bytes: end.size(side.other().of(&self.ends).state),
            missed_bytes: end.missed,
            retransmissions: end.retransmissions,
            out_of_order: end.out_of_order,
            zero_windows: end.zero_windows,
            resets: end.resets,
            flags: end.flags,
            mac: None,
        }
    }

    /// As Zeek's `conn_state` has it.
    pub(crate) fn conn_state(&self, history: &History) -> ConnState {
        let [originator, responder] = &self.ends;
        let quiet = |state| matches!(state, State::Inactive | State::Partial);
        let empty = || originator.size(responder.state) == 0 && responder.size(originator.state) == 0;
        match (originator.state, responder.state) {
            (State::SynSent | State::SynAckSent, State::Reset) => ConnState::Rej,
            (State::Reset, State::Reset) if empty() => ConnState::Rej,
            (own, State::Reset) if quiet(own) => ConnState::Rstrh,
            (_, State::Reset) => ConnState::Rstr,
            (State::Reset, other) if quiet(other) => {
                if is_abandoned(history.as_str()) {
                    ConnState::Rstos0
                } else {
                    ConnState::Oth
                }
            }
            (State::Reset, _) => ConnState::Rsto,
            (State::Closed, State::Closed) => ConnState::SF,
            (State::Closed, other) if quiet(other) => ConnState::Sh,
            (State::Closed, _) => ConnState::S2,
            (own, State::Closed) if quiet(own) => ConnState::Shr,
            (_, State::Closed) => ConnState::S3,
            (State::SynSent, State::Inactive) => ConnState::S0,
            (State::Established, State::Established) => ConnState::S1,
            (
                State::Inactive | State::SynSent | State::SynAckSent | State::Partial | State::Established,
                State::Inactive | State::SynSent | State::SynAckSent | State::Partial | State::Established,
            ) => ConnState::Oth,
        }
    }

    /// Of both ends at once; `handshake` says whether the originator answered the SYN-ACK.
    pub(crate) fn state(&self, handshake: bool) -> TcpState {
        let [originator, responder] = &self.ends;
        let acked = |end: &End| end.fin.is_some_and(|fin| end.acked >= fin);
        match (originator.state, responder.state) {
            (State::Reset, _) | (_, State::Reset) => TcpState::Closed,
            (State::Inactive, State::Inactive) => TcpState::None,
            (State::SynSent, _) => TcpState::SynSent,
            (State::Closed, State::Closed) => match (acked(originator), acked(responder)) {
                (true, true) => TcpState::Closed,
                (_, true) if self.responder_left => TcpState::TimeWait,
                _ if self.responder_left => TcpState::Closing,
                _ => TcpState::LastAck,
            },
            (State::Closed, _) => TcpState::CloseWait,
            (_, State::Closed) if acked(responder) => TcpState::FinWait2,
            (_, State::Closed) => TcpState::FinWait1,
            (State::Established, State::Established) if !handshake && !self.partial => TcpState::SynReceived,
            (_, State::SynAckSent | State::SynSent) | (State::SynAckSent, _) => TcpState::SynReceived,
            (
                State::Inactive | State::Partial | State::Established,
                State::Inactive | State::Partial | State::Established,
            ) => TcpState::Established,
        }
    }
}

/// What a segment acknowledged.
#[derive(Clone, Copy, Debug)]
struct Acknowledged {
    until: u64,
    new: bool,
}

/// SYN, perhaps again or without a window, then RST: nothing in between.
fn is_abandoned(history: &str) -> bool {
    let rest = history.strip_prefix('^').unwrap_or(history).strip_prefix('S');
    rest.and_then(|rest| rest.split_once('R'))
        .is_some_and(|(between, _)| !between.contains(['H', 'A', 'F', 'G', 'I', 'Q']))
}

/// Kinds of segments that a history tells once of each end (those with SYN, FIN or RST again if their numbers differ).
const SYN: u8 = 1;
const FIN: u8 = 2;
const RST: u8 = 4;
const FIN_RST: u8 = 8;
const DATA: u8 = 16;
const ACK: u8 = 32;
const MANY: u8 = 64;

/// The control flags and data of a segment, as letters.
fn tell(end: &mut End, side: Side, segment: &Segment, history: &mut History) {
    let flags = segment.flags;
    let mark = segment.sequence.wrapping_sub(end.start);
    let (kind, letter, again) = match (flags.has(Flags::SYN), flags.has(Flags::FIN), flags.has(Flags::RST)) {
        (_, true, true) => (FIN_RST, b'i', false),
        (true, true, false) | (true, false, true) => (MANY, b'q', false),
        (true, false, false) => {
            let again = core::mem::replace(&mut end.syn_mark, mark) != mark;
            (SYN, if flags.has(Flags::ACK) { b'h' } else { b's' }, again)
        }
        (false, true, false) => {
            let fin = u64::from(mark) + u64::from(segment.payload_bytes) + 1;
            (FIN, b'f', end.fin.map(end::low) != Some(end::low(fin)))
        }
        (false, false, true) => {
            let again = core::mem::replace(&mut end.reset_mark, mark) != mark;
            (RST, b'r', again)
        }
        (false, false, false) if segment.payload_bytes > 0 => (DATA, b'd', false),
        (false, false, false) if flags.has(Flags::ACK) => (ACK, b'a', false),
        (false, false, false) => return,
    };
    if end.told & kind == 0 || again {
        history.push(cased(letter, side));
    }
    end.told |= kind;
}

/// One more of what is told at the first, tenth, hundredth time and so on; the new count.
pub(crate) fn scaled(count: u32, letter: u8, side: Side, history: &mut History) -> u32 {
    let count = count.saturating_add(1);
    if 10_u32.pow(count.ilog10()) == count {
        history.push(cased(letter, side));
    }
    count
}

/// Capitals are the originator's.
pub(crate) const fn cased(letter: u8, side: Side) -> u8 {
    match side {
        Side::Originator => letter.to_ascii_uppercase(),
        Side::Responder => letter,
    }
}

/// How far `to` lies after `from` in sequence space.
pub(crate) const fn distance(from: u32, to: u32) -> i32 {
    to.wrapping_sub(from).cast_signed()
}

#[cfg(test)]
mod tests;
