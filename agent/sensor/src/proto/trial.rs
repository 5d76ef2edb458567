//! For the tests of parsers: what a session makes of bytes, and nothing around it.

use sekimori_wire::time::Timestamp;

use super::{Hint, Notes, Session, Side, Sink, Taken};
use crate::counters::{Counter, Counters};
use crate::event::{Application, Event, FlowEvent, FlowRef, Transaction};

/// A flow from port 40000 to `port`.
pub(super) struct Trial {
    flow: FlowRef,
    session: Session,
    notes: Notes,
    counters: Counters,
    events: Vec<Event>,
    /// Not yet taken, and to be skipped when seen.
    waiting: [(Vec<u8>, usize); 2],
}

impl Trial {
    pub(super) fn to(port: u16, protocol: u8) -> Self {
        let flow = FlowRef { protocol, ..Hint::of_port(port).flow };
        let (notes, counters, events) = (Notes::default(), Counters::default(), Vec::new());
        Self { flow, session: Session::default(), notes, counters, events, waiting: Default::default() }
    }

    /// The next datagram.
    pub(super) fn datagram(&mut self, side: Side, bytes: &[u8]) -> &mut Self {
        let wire_bytes = u32::try_from(bytes.len()).unwrap();
        self.with(|session, sink| session.read_datagram(side, bytes, wire_bytes, sink));
        self
    }

    /// The next segment, as the stream shows it.
    pub(super) fn segment(&mut self, side: Side, bytes: &[u8]) -> &mut Self {
        let (mut ready, skip) = core::mem::take(side.of_mut(&mut self.waiting));
        ready.extend_from_slice(bytes.get(skip..).unwrap_or_default());
        let mut skip = skip.saturating_sub(bytes.len());
        while !ready.is_empty() {
            match self.with(|session, sink| session.read_stream(side, &ready, sink)) {
                Taken::More => break,
                Taken::All => ready.clear(),
                Taken::Bytes(taken) => {
                    let taken = usize::try_from(taken).unwrap();
                    skip = taken.saturating_sub(ready.len());
                    ready.drain(..taken.min(ready.len()));
                }
            }
        }
        *side.of_mut(&mut self.waiting) = (ready, skip);
        self
    }

    /// Bytes of a side were lost.
    pub(super) fn gap(&mut self, side: Side) -> &mut Self {
        self.with(|session, sink| session.lose(side, &[], Some(1), sink));
        self
    }

    /// The flow is over.
    pub(super) fn end(&mut self) -> &mut Self {
        self.with(Session::finish);
        self
    }

    fn with<T>(&mut self, act: impl FnOnce(&mut Session, &mut Sink<'_>) -> T) -> T {
        let (notes, counters, events) = (&mut self.notes, &mut self.counters, &mut self.events);
        act(&mut self.session, &mut Sink { at: Timestamp::ZERO, flow: self.flow, notes, counters, events })
    }

    pub(super) fn application(&self) -> Application {
        self.notes.application()
    }

    /// What was observed of it.
    pub(super) fn events(&self) -> impl Iterator<Item = &FlowEvent> {
        self.each()
    }

    pub(super) fn malformed(&self) -> u64 {
        self.counters.value(Counter::ProtoMalformed)
    }

    fn each(&self) -> impl Iterator<Item = &FlowEvent> {
        self.events.iter().filter_map(|event| match event {
            Event::Flow { what, .. } => Some(what),
            Event::Arp { .. } | Event::Anomaly { .. } => None,
        })
    }

    pub(super) fn transactions(&self) -> Vec<&Transaction> {
        self.each()
            .filter_map(|what| if let FlowEvent::Transaction(one) = what { Some(&**one) } else { None })
            .collect()
    }

    pub(super) fn anomalies(&self) -> Vec<&'static str> {
        self.each()
            .filter_map(|what| if let FlowEvent::Anomaly(one) = what { Some(one.name) } else { None })
            .collect()
    }
}
