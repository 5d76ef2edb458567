//! TCP as a third party sees it (RFC 9293), summed up as Zeek's connection states.

use crate::decode::Flags;
use crate::event::ConnState;
use crate::proto::Side;

/// A RST further than this from what its sender sent last is not believed: an off-path sender who guesses must not end our
/// view of a flow. Wide enough for any window in use and for what the capture missed.
const RST_DISTANCE_MAX: u32 = 1 << 24;

/// State of a TCP flow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tcp {
    /// Originator's and responder's.
    ends: [End; 2],
    /// Initial sequence number of the originator, if its SYN was seen.
    initial: Option<u32>,
}

/// One end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct End {
    state: State,
    /// Sequence number after the last byte seen.
    next: Option<u32>,
}

/// How far one end is, in Zeek's words.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    /// Nothing seen.
    #[default]
    Inactive,
    /// SYN.
    SynSent,
    /// SYN-ACK, no SYN seen from the other.
    SynAckSent,
    /// Something, but no handshake.
    Partial,
    /// Handshake seen.
    Established,
    /// FIN.
    Closed,
    /// RST.
    Reset,
}

/// What a segment meant for the handshake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// Nothing.
    None,
    /// SYN-ACK of the responder.
    Answered,
    /// The originator's answer to that.
    Established,
    /// RST in answer to the SYN.
    Rejected,
}

/// The segment's share of the sequence space.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Segment {
    pub(crate) flags: Flags,
    pub(crate) sequence: u32,
    pub(crate) payload_bytes: u32,
}

impl Tcp {
    /// One more segment.
    pub(crate) fn on_segment(&mut self, side: Side, segment: Segment) -> Step {
        let flags = segment.flags;
        if flags.has(Flags::RST) && !self.believes_reset(side, segment.sequence) {
            return Step::None;
        }
        if side == Side::Originator && flags.has(Flags::SYN) && !flags.has(Flags::ACK) {
            self.initial = self.initial.or(Some(segment.sequence));
        }
        let step = self.advance(side, flags);
        let controls = u32::from(flags.has(Flags::SYN)) + u32::from(flags.has(Flags::FIN));
        let end = segment.sequence.wrapping_add(segment.payload_bytes).wrapping_add(controls);
        let known = &mut side.of_mut(&mut self.ends).next;
        if !flags.has(Flags::RST) && known.is_none_or(|next| distance(next, end) > 0) {
            *known = Some(end);
        }
        step
    }

    fn advance(&mut self, side: Side, flags: Flags) -> Step {
        let (own, peer) = (side.of(&self.ends).state, side.other().of(&self.ends).state);
        let mut step = Step::None;
        let mut peer_after = peer;
        let own_after = if flags.has(Flags::RST) {
            let refused = peer == State::SynSent && own == State::Inactive && side == Side::Responder;
            step = if refused { Step::Rejected } else { Step::None };
            // Both ends said goodbye: what comes after is tidying up.
            if own == State::Closed && peer == State::Closed { own } else { State::Reset }
        } else if flags.has(Flags::SYN) {
            match own {
                State::Inactive | State::SynSent if flags.has(Flags::ACK) => {
                    step = if side == Side::Responder { Step::Answered } else { Step::None };
                    if peer == State::SynSent {
                        peer_after = State::Established;
                    }
                    if peer == State::Inactive { State::SynAckSent } else { State::Established }
                }
                State::Inactive => State::SynSent,
                State::SynSent
                | State::SynAckSent
                | State::Partial
                | State::Established
                | State::Closed
                | State::Reset => own,
            }
        } else {
            // The handshake ends with the originator's first segment after the SYN-ACK.
            if side == Side::Originator && flags.has(Flags::ACK) {
                let answered = matches!(peer, State::SynAckSent | State::Established);
                step = if answered { Step::Established } else { Step::None };
                if peer == State::SynAckSent {
                    peer_after = State::Established;
                }
            }
            match own {
                State::Closed | State::Reset => own,
                _ if flags.has(Flags::FIN) => State::Closed,
                State::Inactive if peer == State::SynAckSent => State::Established,
                State::Inactive => State::Partial,
                // Goes on after its SYN: it had an answer that we did not see.
                State::SynSent if flags.has(Flags::ACK) => State::Established,
                State::SynSent | State::SynAckSent | State::Partial | State::Established => own,
            }
        };
        side.of_mut(&mut self.ends).state = own_after;
        side.other().of_mut(&mut self.ends).state = peer_after;
        step
    }

    fn believes_reset(&self, side: Side, sequence: u32) -> bool {
        let end = side.of(&self.ends);
        end.state != State::Established
            || end.next.is_none_or(|next| distance(next, sequence).unsigned_abs() <= RST_DISTANCE_MAX)
    }

    /// This SYN is not of this connection but opens the next between the same ports.
    pub(crate) fn is_reopened_by(&self, flags: Flags, sequence: u32) -> bool {
        self.is_closed()
            && flags.has(Flags::SYN)
            && !flags.has(Flags::ACK)
            && !flags.has(Flags::RST)
            && self.initial != Some(sequence)
    }

    /// Both ends are done, or one broke off.
    pub(crate) fn is_closed(&self) -> bool {
        let [originator, responder] = self.ends;
        let states = (originator.state, responder.state);
        matches!(states, (State::Reset, _) | (_, State::Reset) | (State::Closed, State::Closed))
    }

    /// More than an attempt.
    pub(crate) fn is_talking(&self) -> bool {
        let talks = |end: &End| matches!(end.state, State::Partial | State::Established | State::Closed);
        self.ends.iter().any(talks)
    }

    /// As Zeek's `conn_state` has it; `payload` says whether any was seen.
    pub(crate) fn conn_state(&self, payload: bool) -> ConnState {
        let [originator, responder] = self.ends;
        let quiet = |state| matches!(state, State::Inactive | State::Partial);
        match (originator.state, responder.state) {
            (State::SynSent | State::SynAckSent, State::Reset) => ConnState::Rej,
            (State::Reset, State::Reset) if !payload => ConnState::Rej,
            (own, State::Reset) => {
                if quiet(own) {
                    ConnState::Rstrh
                } else {
                    ConnState::Rstr
                }
            }
            (State::Reset, other) => {
                if quiet(other) {
                    ConnState::Rstos0
                } else {
                    ConnState::Rsto
                }
            }
            (State::Closed, State::Closed) => ConnState::SF,
            (State::Closed, other) => {
                if quiet(other) {
                    ConnState::Sh
                } else {
                    ConnState::S2
                }
            }
            (own, State::Closed) => {
                if quiet(own) {
                    ConnState::Shr
                } else {
                    ConnState::S3
                }
            }
            (State::SynSent, State::Inactive) => ConnState::S0,
            (State::Established, State::Established) => ConnState::S1,
            (
                State::Inactive | State::SynSent | State::SynAckSent | State::Partial | State::Established,
                State::Inactive | State::SynSent | State::SynAckSent | State::Partial | State::Established,
            ) => ConnState::Oth,
        }
    }
}

/// How far `to` lies after `from` in sequence space.
pub(crate) const fn distance(from: u32, to: u32) -> i32 {
    to.wrapping_sub(from).cast_signed()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `S>` is a segment of the originator, `<SA` one of the responder; letters: S, A, F, R, D (one byte of payload), and
    /// `+n` moves the sequence number n further. Returns state and steps.
    fn run(segments: &str) -> (Tcp, Vec<Step>) {
        let mut tcp = Tcp::default();
        let mut next = [1_000_u32, 5_000_u32];
        let mut steps = Vec::new();
        for text in segments.split_whitespace() {
            let side = if text.starts_with('<') { Side::Responder } else { Side::Originator };
            let letters = text.trim_matches(['<', '>']);
            let (letters, jump) = letters.split_once('+').unwrap_or((letters, "0"));
            let mut segment = Segment { flags: Flags(0), sequence: *side.of(&next), payload_bytes: 0 };
            segment.sequence = segment.sequence.wrapping_add(jump.parse().unwrap());
            for letter in letters.chars() {
                match letter {
                    'S' => segment.flags.0 |= Flags::SYN.0,
                    'A' => segment.flags.0 |= Flags::ACK.0,
                    'F' => segment.flags.0 |= Flags::FIN.0,
                    'R' => segment.flags.0 |= Flags::RST.0,
                    'D' => segment.payload_bytes = 1,
                    other => panic!("{other}"),
                }
            }
            if jump == "0" {
                *side.of_mut(&mut next) += u32::from(segment.flags.0 & 3 != 0) + segment.payload_bytes;
            }
            steps.push(tcp.on_segment(side, segment));
        }
        steps.retain(|step| *step != Step::None);
        steps.dedup();
        (tcp, steps)
    }

    fn check(segments: &str, state: &str) {
        let (tcp, _) = run(segments);
        assert_eq!(tcp.conn_state(segments.contains('D')).as_str(), state, "{segments}");
    }

    #[test]
    fn states_are_zeeks() {
        check("S>", "S0");
        check("S> S>", "S0");
        check("S> <SA", "S1");
        check("S> <SA A>", "S1");
        check("S> <SA A> DA> <DA", "S1");
        check("S> <SA A> FA> <A <FA A>", "SF");
        check("S> <SA A> <FA FA> <A", "SF");
        check("S> <SA A> FA> <A", "S2");
        check("S> <SA A> <FA A>", "S3");
        check("S> <RA", "REJ");
        check("S> <RA S> <RA", "REJ");
        check("S> <SA A> RA>", "RSTO");
        check("S> <SA R>", "RSTO");
        check("S> <SA A> DA> <RA", "RSTR");
        check("S> R>", "RSTOS0");
        check("<SA <R", "RSTRH");
        check("S> FA>", "SH");
        check("<SA <FA", "SHR");
        check("DA> <DA", "OTH");
        check("<A", "OTH");
        check("A>", "OTH");
        check("S> A> DA>", "OTH");
        check("S> <SA A> FA> <FA A> <R", "SF");
        check("S> <S SA> <SA A>", "S1");
        check("<SA A> DA> <DA FA> <FA", "SF");
    }

    #[test]
    fn steps_of_the_handshake() {
        let check = |segments: &str, expected: &[Step]| assert_eq!(run(segments).1, expected, "{segments}");
        check("S> <SA A> DA>", &[Step::Answered, Step::Established]);
        check("S> <SA R>", &[Step::Answered]);
        check("S> <RA", &[Step::Rejected]);
        check("S> <SA A> <R", &[Step::Answered, Step::Established]);
        check("<SA A>", &[Step::Answered, Step::Established]);
        check("DA> <DA", &[]);
        check("S> A>", &[]);
    }

    #[test]
    fn a_reset_far_from_its_senders_bytes_is_not_believed() {
        check("S> <SA A> R+100000000> A>", "S1");
        check("S> <SA A> R+70000> A>", "RSTO");
    }

    #[test]
    fn only_a_new_syn_reopens_a_closed_connection() {
        let check = |segments: &str, sequence, expected| {
            assert_eq!(
                run(segments).0.is_reopened_by(Flags::SYN, sequence),
                expected,
                "{segments} {sequence}"
            );
        };
        check("S> <SA A> FA> <FA A>", 99, true);
        check("S> <RA", 99, true);
        check("S> <RA", 1_000, false);
        check("S> <SA A> FA>", 99, false);
    }

    #[test]
    fn distances_wrap() {
        assert_eq!(distance(u32::MAX, 1), 2);
        assert_eq!(distance(1, u32::MAX), -2);
    }
}
