//! Whether a TCP direction said one thing twice with different bytes, went on after it had reset the connection, or reset it
//! at several places it had not reached: what only a third party's segments among the real ones can bring about.
//!
//! Whoever injects into a connection races the real answer: two segments then begin at the same sequence number right after
//! the other end spoke. So of each direction the first segment of its turn is remembered, as hashes of its first bytes;
//! nothing is allocated, and the segments of a long transfer cost a comparison of numbers.

use crate::decode::Flags;
use crate::flow::payload::{SEED, folded, hash, hash_on};
use crate::flow::tcp::distance;

/// Lengths of the beginnings that are compared, multiples of eight: the longest one that both segments have. The first is longer than what keep-alive
/// and zero-window probes carry (a byte, RFC 9293, 3.8.4), the last reaches past the status line and first header of HTTP.
const RUNGS: [usize; 3] = [16, 64, 256];
/// Data as far behind a reset as this is of the same connection: the largest window without scaling (RFC 9293, 3.1).
const AFTER_RESET_MAX: i32 = 65_535;

/// So many resets in a row, each ahead of the one before and of all that was sent, are a third party's guesses of what the
/// receiver expects (`RST_SEQ_CHANGE` of Weaver, Sommer, Paxson, "Detecting Forged TCP Reset Packets", NDSS 2009). A host
/// resets at what it sent last, or at what it is told it has sent (RFC 9293, 3.10.7.1); its FIN and a loss in the capture can
/// put one of them ahead.
const LEAPS_MIN: u8 = 3;

/// What is remembered of one direction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Twice {
    /// Of the first segment of the turn.
    sequence: u32,
    rungs: [u32; RUNGS.len()],
    reset_sequence: u32,
    /// Right behind all that was sent.
    sent_until: u32,
    hops_left: u8,
    reset_hops_left: u8,
    /// How many of the rungs there are.
    reach: u8,
    state: u8,
    /// Resets in a row, each further ahead.
    leaps: u8,
}

/// The other end spoke since: the next segment begins a turn.
const ITS_TURN: u8 = 1;
const RESET: u8 = 2;
const SAID_DATA: u8 = 4;
const SAID_RESET: u8 = 8;
/// Has sent payload at all.
const SPOKE: u8 = 16;

/// A segment, as far as it matters here.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Heard<'a> {
    pub(crate) flags: Flags,
    pub(crate) sequence: u32,
    /// As captured.
    pub(crate) payload: &'a [u8],
    pub(crate) hops_left: u8,
}

impl Twice {
    /// The other end sent payload.
    pub(crate) const fn yield_turn(&mut self) {
        self.state |= ITS_TURN;
    }

    /// Takes one segment; the name of what is wrong with it, once for each kind.
    pub(crate) fn hear(&mut self, heard: &Heard<'_>) -> Option<&'static str> {
        if heard.flags.has(Flags::RST) {
            let said = self.leap(heard.sequence);
            self.state |= RESET;
            (self.reset_sequence, self.reset_hops_left) = (heard.sequence, heard.hops_left);
            return said;
        }
        if heard.payload.is_empty() {
            return None;
        }
        self.leaps = 0;
        let until = heard.sequence.wrapping_add(u32::try_from(heard.payload.len()).unwrap_or(u32::MAX));
        if self.state & SPOKE == 0 || distance(self.sent_until, until) > 0 {
            self.sent_until = until;
        }
        let said = self.contradiction(heard).or_else(|| self.after_reset(heard));
        let turn = self.state & ITS_TURN != 0 || self.state & SPOKE == 0;
        if turn {
            self.remember(heard);
        }
        said
    }

    fn remember(&mut self, heard: &Heard<'_>) {
        self.state = self.state & !ITS_TURN | SPOKE;
        (self.sequence, self.hops_left, self.reach) = (heard.sequence, heard.hops_left, 0);
        let (mut done, mut so_far) = (0, SEED);
        for (rung, length) in self.rungs.iter_mut().zip(RUNGS) {
            let Some(more) = heard.payload.get(done..length) else { return };
            (done, so_far) = (length, hash_on(so_far, more));
            *rung = folded(so_far);
            self.reach += 1;
        }
    }

    fn contradiction(&mut self, heard: &Heard<'_>) -> Option<&'static str> {
        if self.state & SPOKE == 0 || heard.sequence != self.sequence || self.state & SAID_DATA != 0 {
            return None;
        }
        let known = self.rungs.iter().zip(RUNGS).take(self.reach.into());
        let (rung, beginning) =
            known.filter_map(|(rung, length)| Some((*rung, heard.payload.get(..length)?))).next_back()?;
        if folded(hash(beginning)) == rung {
            return None;
        }
        self.state |= SAID_DATA;
        let elsewhere = heard.hops_left != self.hops_left;
        Some(if elsewhere { CONTRADICTED_FROM_ELSEWHERE } else { CONTRADICTED })
    }

    fn leap(&mut self, sequence: u32) -> Option<&'static str> {
        let ahead = distance(self.sent_until, sequence);
        let further = self.state & RESET == 0 || distance(self.reset_sequence, sequence) > 0;
        // One behind what was sent is a FIN.
        if self.state & SPOKE == 0 || !further || !(2..=AFTER_RESET_MAX).contains(&ahead) {
            return None;
        }
        self.leaps = self.leaps.saturating_add(1);
        (self.leaps == LEAPS_MIN).then_some(RESET_AHEAD)
    }

    fn after_reset(&mut self, heard: &Heard<'_>) -> Option<&'static str> {
        let behind = distance(self.reset_sequence, heard.sequence);
        let again = self.state & SAID_RESET != 0;
        if self.state & RESET == 0 || again || !(0..=AFTER_RESET_MAX).contains(&behind) {
            return None;
        }
        self.state |= SAID_RESET;
        let elsewhere = heard.hops_left != self.reset_hops_left;
        Some(if elsewhere { AFTER_RESET_FROM_ELSEWHERE } else { AFTER_RESET })
    }
}

/// One stretch of the stream came twice with different bytes.
pub(crate) const CONTRADICTED: &str = "stream.contradicted";
/// The same, and the two did not come from equally far.
pub(crate) const CONTRADICTED_FROM_ELSEWHERE: &str = "stream.contradicted_from_elsewhere";
/// New data came from whoever had reset the connection.
pub(crate) const AFTER_RESET: &str = "stream.data_after_reset";
/// The same, and the two did not come from equally far.
pub(crate) const AFTER_RESET_FROM_ELSEWHERE: &str = "stream.data_after_reset_from_elsewhere";

/// Resets came at several places that the connection had not reached.
pub(crate) const RESET_AHEAD: &str = "stream.resets_ahead";

#[cfg(test)]
mod tests {
    use super::*;

    fn segment(sequence: u32, payload: &[u8], hops_left: u8) -> Heard<'_> {
        Heard { flags: Flags(0x18), sequence, payload, hops_left }
    }

    const REAL: &[u8] =
        b"HTTP/1.1 200 OK\r\nServer: example\r\nContent-Length: 20\r\n\r\nsomething of the page";
    const FORGED: &[u8] = b"HTTP/1.1 302 Found\r\nLocation: http://192.0.2.66/\r\n\r\n";

    #[test]
    fn the_second_answer_is_noticed_whichever_is_forged() {
        for (first, second) in [(REAL, FORGED), (FORGED, REAL)] {
            let mut twice = Twice::default();
            assert_eq!(twice.hear(&segment(1_000, first, 64)), None);
            assert_eq!(twice.hear(&segment(1_000, second, 52)), Some(CONTRADICTED_FROM_ELSEWHERE));
            assert_eq!(twice.hear(&segment(1_000, second, 52)), None, "it is said once");
        }
    }

    #[test]
    fn it_is_noticed_after_the_client_went_on() {
        let mut twice = Twice::default();
        assert_eq!(twice.hear(&segment(1_000, FORGED, 64)), None);
        twice.yield_turn();
        assert_eq!(twice.hear(&segment(1_000, REAL, 64)), Some(CONTRADICTED));
    }

    #[test]
    fn repetition_however_cut_is_none() {
        let mut twice = Twice::default();
        assert_eq!(twice.hear(&segment(1_000, REAL, 64)), None);
        for length in [1, 15, 16, 40, 64, REAL.len()] {
            assert_eq!(twice.hear(&segment(1_000, &REAL[..length], 64)), None);
        }
        let longer = [REAL, REAL, REAL, REAL].concat();
        assert_eq!(twice.hear(&segment(1_000, &longer, 64)), None, "and repacked with what follows");
        assert_eq!(twice.hear(&segment(1_000, b"\0", 64)), None, "a keep-alive's byte is garbage");
        assert_eq!(twice.hear(&segment(1_040, FORGED, 64)), None, "another place of the stream");
    }

    #[test]
    fn resets_ahead_of_the_stream_are_guesses() {
        let reset = |sequence| Heard { flags: Flags(0x04), sequence, payload: &[], hops_left: 64 };
        let mut twice = Twice::default();
        assert_eq!(twice.hear(&segment(1_000, REAL, 64)), None);
        let end = 1_000 + u32::try_from(REAL.len()).unwrap();
        let said: Vec<_> =
            [end, end + 63, end + 189, end + 378, end + 630].map(|at| twice.hear(&reset(at))).into();
        assert_eq!(said, [None, None, None, Some(RESET_AHEAD), None], "it is said once");
    }

    #[test]
    fn a_host_that_answers_late_segments_with_resets_is_none() {
        let reset = |sequence| Heard { flags: Flags(0x04), sequence, payload: &[], hops_left: 64 };
        let mut twice = Twice::default();
        assert_eq!(twice.hear(&reset(9_000)), None, "nothing is known of what it sent");
        assert_eq!(twice.hear(&segment(1_000, &[7; 400], 64)), None);
        // With its own reset first, or with that one lost; and behind its FIN.
        for sequence in [1_400, 1_100, 1_200, 1_300, 1_400, 1_401, 1_401, 1_401, 1_401] {
            assert_eq!(twice.hear(&reset(sequence)), None);
        }
    }

    #[test]
    fn data_behind_a_reset_is_noticed_but_not_what_was_on_its_way() {
        let reset = Heard { flags: Flags(0x14), sequence: 2_000, payload: &[], hops_left: 64 };
        let mut twice = Twice::default();
        assert_eq!(twice.hear(&segment(1_000, REAL, 52)), None);
        assert_eq!(twice.hear(&reset), None);
        assert_eq!(twice.hear(&segment(1_900, REAL, 52)), None);
        assert_eq!(twice.hear(&segment(2_000, REAL, 52)), Some(AFTER_RESET_FROM_ELSEWHERE));
        assert_eq!(twice.hear(&segment(2_100, REAL, 52)), None);
    }
}
