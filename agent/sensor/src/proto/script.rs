//! A conversation played to a session, for the tests of parsers: both sides in turn, in pieces of any size.

use core::net::{IpAddr, Ipv4Addr};

use sekimori_wire::time::Timestamp;

use super::session::Taken;
use super::{Notes, Session, Side, Sink};
use crate::counters::Counters;
use crate::event::{Application, Endpoint, Event, FlowEvent, FlowRef, Transaction};

/// What came of a conversation.
#[derive(Debug, Default)]
pub(super) struct Played {
    pub(super) notes: Notes,
    pub(super) counters: Counters,
    events: Vec<Event>,
    /// Bytes that were shown to the session, again and again where it wanted more.
    pub(super) shown: usize,
}

/// The client's words.
pub(super) const C: Side = Side::Originator;
/// The server's.
pub(super) const S: Side = Side::Responder;

/// Plays `turns` in pieces of at most `piece` bytes.
pub(super) fn play(port: u16, turns: &[(Side, &[u8])], piece: usize) -> Played {
    let end = |last, port| Endpoint { address: IpAddr::V4(Ipv4Addr::new(192, 0, 2, last)), port };
    let flow = FlowRef {
        id: 1,
        began: Timestamp::ZERO,
        originator: end(1, 40_000),
        responder: end(2, port),
        protocol: 6,
        vlan: None,
        swapped: false,
    };
    let mut played = Played::default();
    let (notes, counters, events) = (&mut played.notes, &mut played.counters, &mut played.events);
    let mut sink = Sink { at: Timestamp::ZERO, flow, notes, counters, events };
    let mut session = Session::default();
    let mut kept: [Vec<u8>; 2] = [Vec::new(), Vec::new()];
    for (side, bytes) in turns {
        for piece in bytes.chunks(piece) {
            let kept = side.of_mut(&mut kept);
            kept.extend_from_slice(piece);
            let mut taken = 0;
            while taken < kept.len() {
                played.shown += kept.len() - taken;
                match session.read_stream(*side, &kept[taken..], &mut sink) {
                    Taken::More => break,
                    Taken::Bytes(n) => taken += usize::try_from(n).unwrap(),
                    Taken::All => taken = kept.len(),
                }
            }
            // Bytes taken unseen are not played: no test needs them across pieces.
            kept.drain(..taken.min(kept.len()));
            assert!(kept.len() <= 16 * 1024, "a parser waits for more than a window holds");
        }
    }
    session.finish(&mut sink);
    played
}

impl Played {
    /// The transactions of one kind.
    pub(super) fn all<'a, T>(&'a self, of: impl Fn(&'a Transaction) -> Option<&'a T>) -> Vec<&'a T> {
        let transactions = self.events.iter().filter_map(|event| match event {
            Event::Flow { what: FlowEvent::Transaction(one), .. } => Some(&**one),
            _ => None,
        });
        transactions.filter_map(of).collect()
    }

    /// The names of the anomalies.
    pub(super) fn anomalies(&self) -> Vec<&'static str> {
        let anomalies = self.events.iter().filter_map(|event| match event {
            Event::Flow { what: FlowEvent::Anomaly(anomaly), .. } => Some(anomaly.name),
            _ => None,
        });
        anomalies.collect()
    }

    /// What the flow spoke.
    pub(super) fn applications(&self) -> Vec<Application> {
        self.notes.applications.iter().copied().filter(|one| *one != Application::Unknown).collect()
    }

    /// All that was told, as text: for looking for what must not be in it.
    pub(super) fn text(&self) -> String {
        format!("{:?}", self.events)
    }
}
