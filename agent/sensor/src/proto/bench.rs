//! A flow for the tests of parsers: bytes in, events out.

use sekimori_wire::time::Timestamp;

use super::{Hint, Notes, Session, Side, Sink, Taken};
use crate::counters::{Counter, Counters};
use crate::event::{Event, FlowEvent, FlowRef, Transaction};

/// As many bytes as the stream keeps for a parser.
const WINDOW: usize = 16 * 1024;

/// A flow.
pub(super) struct Bench {
    session: Session,
    flow: FlowRef,
    notes: Notes,
    counters: Counters,
    events: Vec<Event>,
    kept: [Vec<u8>; 2],
    skip: [usize; 2],
    /// How often the parser was asked.
    pub(super) calls: usize,
}

impl Bench {
    /// A flow to this port, not recognised yet.
    pub(super) fn to_port(port: u16) -> Self {
        let flow = Hint::of_port(port).flow;
        Self {
            session: Session::default(),
            flow,
            notes: Notes::default(),
            counters: Counters::default(),
            events: Vec::new(),
            kept: [Vec::new(), Vec::new()],
            skip: [0, 0],
            calls: 0,
        }
    }

    fn with<T>(&mut self, f: impl FnOnce(&mut Session, &mut Sink<'_>) -> T) -> T {
        let (notes, counters, events) = (&mut self.notes, &mut self.counters, &mut self.events);
        let mut sink = Sink { at: Timestamp::ZERO, flow: self.flow, notes, counters, events };
        f(&mut self.session, &mut sink)
    }

    /// Bytes of a stream.
    pub(super) fn stream(&mut self, side: Side, bytes: &[u8]) -> &mut Self {
        let skipped = bytes.len().min(*side.of(&self.skip));
        *side.of_mut(&mut self.skip) -= skipped;
        let mut kept = core::mem::take(side.of_mut(&mut self.kept));
        kept.extend(&bytes[skipped..]);
        let mut at = 0;
        while at < kept.len() {
            self.calls += 1;
            match self.with(|session, sink| session.read_stream(side, &kept[at..], sink)) {
                Taken::More => break,
                Taken::All => at = kept.len(),
                Taken::Bytes(n) => at += usize::try_from(n).unwrap(),
            }
        }
        *side.of_mut(&mut self.skip) += at.saturating_sub(kept.len());
        kept.drain(..at.min(kept.len()));
        assert!(kept.len() <= WINDOW, "the parser waits for more than there is room for");
        *side.of_mut(&mut self.kept) = kept;
        self
    }

    /// Both sides in turn, in pieces; then a gap, then all of it once more, then the end.
    pub(super) fn torture(&mut self, bytes: &[u8], piece: usize) -> &mut Self {
        for _ in 0..2 {
            let mut side = Side::Originator;
            for piece in bytes.chunks(piece.max(1)) {
                self.stream(side, piece).datagram(side, piece);
                side = side.other();
            }
            self.lose(Side::Originator, Some(9)).lose(Side::Responder, None);
        }
        self.finish()
    }

    /// A gap.
    pub(super) fn lose(&mut self, side: Side, missing: Option<u32>) -> &mut Self {
        let kept = core::mem::take(side.of_mut(&mut self.kept));
        self.with(|session, sink| session.lose(side, &kept, missing, sink));
        self
    }

    /// A datagram.
    pub(super) fn datagram(&mut self, side: Side, bytes: &[u8]) -> &mut Self {
        let wire_bytes = u32::try_from(bytes.len()).unwrap();
        self.with(|session, sink| session.read_datagram(side, bytes, wire_bytes, sink));
        self
    }

    /// Ends the flow.
    pub(super) fn finish(&mut self) -> &mut Self {
        self.with(Session::finish);
        self
    }

    fn said(&self) -> impl Iterator<Item = &FlowEvent> {
        self.events
            .iter()
            .filter_map(|event| if let Event::Flow { what, .. } = event { Some(what) } else { None })
    }

    /// What was read so far.
    pub(super) fn transactions(&self) -> impl Iterator<Item = &Transaction> {
        self.said()
            .filter_map(|what| if let FlowEvent::Transaction(one) = what { Some(&**one) } else { None })
    }

    /// Rules that were broken so far.
    pub(super) fn anomalies(&self) -> Vec<&'static str> {
        self.said()
            .filter_map(|what| if let FlowEvent::Anomaly(one) = what { Some(one.name) } else { None })
            .collect()
    }

    /// Messages that could not be read so far.
    pub(super) fn malformed(&self) -> u64 {
        self.counters.value(Counter::ProtoMalformed)
    }

    /// Nothing more is read.
    pub(super) const fn is_opaque(&self) -> bool {
        self.session.is_opaque()
    }
}
