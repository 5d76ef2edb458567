//! What only some flows have: a conversation over TCP, a parser, a long life.

use std::time::Duration;

use sekimori_wire::time::Timestamp;

use super::key::Words;
use super::readers::Membership;
use super::stream::Stream;
use super::tcp::Tcp;
use super::twice::Twice;
use crate::event::{History, Volume};
use crate::proto::{Notes, Session, Tried};

/// What a flow has beyond its entry in the table.
#[derive(Debug, Default)]
pub(super) struct More {
    /// Addresses of IPv6.
    pub(super) v6: [Words; 2],
    /// Of TCP, once there is more than a SYN.
    pub(super) talk: Option<Box<Talk>>,
    pub(super) rare: Option<Box<Rare>>,
}

/// What few flows have, or long ones.
#[derive(Debug, Default)]
pub(super) struct Rare {
    /// Counts that outgrew their room in the entry.
    pub(super) carried: [Volume; 2],
    /// Since it was reported as still active.
    pub(super) reported: Option<Reported>,
    /// All letters, once there are more than the entry has room for and no conversation.
    pub(super) history: History,
    /// Packets of each side with a wrong checksum, for the history.
    pub(super) corrupt: [u32; 2],
}

/// A flow of which nothing is counted yet that belongs to its next record.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reported {
    /// When the last report was.
    pub(super) at: Timestamp,
    /// First packet since.
    pub(super) start: Option<Timestamp>,
}

/// A conversation over TCP.
#[derive(Debug)]
pub(super) struct Talk {
    pub(super) tcp: Tcp,
    pub(super) history: History,
    /// What each side said at its last turn.
    pub(super) twice: [Twice; 2],
    /// Last packet that Zeek counts to the duration.
    pub(super) active_until: Timestamp,
    /// The last SYN.
    pub(super) attempt: Timestamp,
    pub(super) rtt: Option<Duration>,
}

const _: () = assert!(size_of::<More>() + size_of::<Talk>() <= 368, "each conversation over TCP has them");
const _: () = assert!(size_of::<Reading>() <= 64, "each flow that is read has one");

impl Talk {
    /// Of a connection whose only packet, if any, was at `began`.
    pub(super) fn new((tcp, history): (Tcp, History), began: Timestamp) -> Self {
        Self { tcp, history, twice: Default::default(), active_until: began, attempt: began, rtt: None }
    }
}

/// What is read of a flow.
#[derive(Debug, Default)]
pub(crate) struct Reading {
    pub(crate) session: Session,
    pub(crate) notes: Notes,
    pub(crate) stream: Stream,
}

impl Reading {
    /// All that is to be remembered: the datagrams that were not recognised, if there is no more.
    pub(crate) fn only_tried(&self) -> Option<Tried> {
        let Self { session, notes, stream } = self;
        let nothing_else = !notes.is_any() && !stream.has_begun() && stream.member == Membership::default();
        session.tried().filter(|_tried| nothing_else)
    }

    /// There is something to remember until the next packet.
    pub(crate) fn is_worth_keeping(&self) -> bool {
        let Self { session, notes, stream } = self;
        if session.is_opaque() {
            return notes.is_any();
        }
        !session.is_fresh() || notes.is_any() || stream.has_begun() || stream.member != Membership::default()
    }
}
