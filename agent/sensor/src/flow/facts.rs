//! The small things that every entry of the flow table has: facts of a bit each, and the first letters of a history.

use crate::event::History;

/// Yes or no, of a flow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Facts(u16);

/// The originator's packets come from the lower endpoint.
pub(super) const FROM_LOW: u16 = 1;
/// For Zeek the originator is the other.
pub(super) const SWAPPED: u16 = 1 << 1;
pub(super) const HAS_MACS: u16 = 1 << 2;
/// It began with a bare SYN, and nothing came since: there is no need for more.
pub(super) const ONLY_SYN: u16 = 1 << 3;
/// It began with a bare SYN.
pub(super) const BARE_SYN: u16 = 1 << 4;
/// All letters are elsewhere.
pub(super) const LONG_HISTORY: u16 = 1 << 5;
/// It was reported as still active.
pub(super) const REPORTED: u16 = 1 << 6;
/// Nothing is to be read.
pub(super) const OPAQUE: u16 = 1 << 7;
/// It still waits for an answer.
pub(super) const WAITS: u16 = 1 << 8;
/// Side by side (originator's, responder's): it sent a packet; it sent payload.
pub(super) const PACKETS: [u16; 2] = [1 << 9, 1 << 10];
pub(super) const PAYLOAD: [u16; 2] = [1 << 11, 1 << 12];
/// It took the place of another: the table was full.
pub(super) const HURRIED: u16 = 1 << 13;

impl Facts {
    pub(super) const fn has(self, fact: u16) -> bool {
        self.0 & fact != 0
    }

    pub(super) const fn set(&mut self, fact: u16, yes: bool) {
        self.0 = if yes { self.0 | fact } else { self.0 & !fact };
    }

    /// Sets it; true if it was not.
    pub(super) const fn note(&mut self, fact: u16) -> bool {
        let first = !self.has(fact);
        self.0 |= fact;
        first
    }
}

/// What only ICMP has, and what only other flows have, in one place.
///
/// Of ICMP: the code of the packet that it began with, the codes of each side's first packet, and the hash of the last echo's
/// payload. Of others: up to six letters of the history, and their number.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Brief([u8; 7]);

impl Brief {
    /// Of ICMP.
    pub(super) const fn of_icmp(code: u8) -> Self {
        Self([code, 0, 0, 0, 0, 0, 0])
    }

    /// ICMP: the code that it began with.
    pub(super) const fn icmp_code(self) -> u8 {
        let [code, ..] = self.0;
        code
    }

    /// ICMP: the code of each side's first packet.
    pub(super) const fn icmp_codes(self) -> [u8; 2] {
        let [_, originator, responder, ..] = self.0;
        [originator, responder]
    }

    /// ICMP: sets them.
    pub(super) const fn set_icmp_codes(&mut self, codes: [u8; 2]) {
        let Self([_, originator, responder, ..]) = self;
        [*originator, *responder] = codes;
    }

    /// ICMP: the hash of the last echo's payload.
    pub(super) const fn echoed(self) -> u32 {
        let [_, _, _, hash @ ..] = self.0;
        u32::from_be_bytes(hash)
    }

    /// ICMP: sets it.
    pub(super) const fn set_echoed(&mut self, echoed: u32) {
        let Self([_, _, _, hash @ ..]) = self;
        *hash = echoed.to_be_bytes();
    }

    /// One more letter; false if there is no room.
    pub(super) fn push(&mut self, letter: u8) -> bool {
        let Self([letters @ .., len]) = self;
        let Some(place) = letters.get_mut(usize::from(*len)) else { return false };
        *place = letter;
        *len += 1;
        true
    }

    pub(super) fn history(self) -> History {
        let [letters @ .., len] = self.0;
        let mut history = History::default();
        letters.into_iter().take(len.into()).for_each(|letter| history.push(letter));
        history
    }
}
