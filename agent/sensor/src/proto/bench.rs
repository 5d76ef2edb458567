//! A flow for the tests of parsers: bytes in, events out.

use sekimori_wire::time::Timestamp;

use super::{Hint, Notes, Session, Side, Sink, Taken};
use crate::counters::{Counter, Counters};
use crate::event::{Application, ClientHello, Event, FlowEvent, FlowRef, Transaction};

/// The client's words.
pub(super) const C: Side = Side::Originator;
/// The server's.
pub(super) const S: Side = Side::Responder;

/// As many bytes as the stream keeps for a parser.
const WINDOW: usize = 16 * 1024;

/// A flow from port 40000.
pub(super) struct Bench {
    session: Session,
    flow: FlowRef,
    pub(super) notes: Notes,
    pub(super) counters: Counters,
    events: Vec<Event>,
    /// What a parser has not taken, and how many bytes it takes unseen.
    kept: [(Vec<u8>, usize); 2],
    /// How often the parser was asked.
    pub(super) calls: usize,
    /// Bytes that were shown to the session, again and again where it wanted more.
    pub(super) shown: usize,
}

/// Plays `turns` to the end in pieces of at most `piece` bytes.
pub(super) fn play(port: u16, turns: &[(Side, &[u8])], piece: usize) -> Bench {
    let mut bench = Bench::to_port(port);
    for (side, bytes) in turns {
        bytes.chunks(piece).for_each(|piece| {
            bench.stream(*side, piece);
        });
    }
    bench.finish();
    bench
}

impl Bench {
    /// A flow to this port, not recognised yet.
    pub(super) fn to_port(port: u16) -> Self {
        Self::of(Session::default(), Hint::of_port(port).flow)
    }

    /// A flow of this protocol to this port, not recognised yet.
    pub(super) fn to(port: u16, protocol: u8) -> Self {
        Self::of(Session::default(), FlowRef { protocol, ..Hint::of_port(port).flow })
    }

    /// A flow whose parser is known.
    pub(super) fn of(session: Session, flow: FlowRef) -> Self {
        Self {
            session,
            flow,
            notes: Notes::default(),
            counters: Counters::default(),
            events: Vec::new(),
            kept: Default::default(),
            calls: 0,
            shown: 0,
        }
    }

    fn with<T>(&mut self, act: impl FnOnce(&mut Session, &mut Sink<'_>) -> T) -> T {
        let (notes, counters, events) = (&mut self.notes, &mut self.counters, &mut self.events);
        act(&mut self.session, &mut Sink { at: Timestamp::ZERO, flow: self.flow, notes, counters, events })
    }

    /// Bytes of a stream.
    pub(super) fn stream(&mut self, side: Side, bytes: &[u8]) -> &mut Self {
        let (mut kept, skip) = core::mem::take(side.of_mut(&mut self.kept));
        kept.extend_from_slice(bytes.get(skip..).unwrap_or_default());
        let (mut at, skip) = (0, skip.saturating_sub(bytes.len()));
        while at < kept.len() {
            self.calls += 1;
            self.shown += kept.len() - at;
            match self.with(|session, sink| session.read_stream(side, &kept[at..], sink)) {
                Taken::More => break,
                Taken::All => at = kept.len(),
                Taken::Bytes(n) => {
                    assert!(n > 0, "a parser that takes nothing never ends");
                    at += usize::try_from(n).unwrap();
                }
            }
        }
        let skip = skip + at.saturating_sub(kept.len());
        kept.drain(..at.min(kept.len()));
        assert!(kept.len() <= WINDOW, "the parser waits for more than there is room for");
        *side.of_mut(&mut self.kept) = (kept, skip);
        self
    }

    /// Both sides in turn, in pieces; then a gap, then all of it once more, then the end.
    pub(super) fn torture(&mut self, bytes: &[u8], piece: usize) -> &mut Self {
        for _ in 0..2 {
            let mut side = C;
            for piece in bytes.chunks(piece.max(1)) {
                self.stream(side, piece).datagram(side, piece);
                side = side.other();
            }
            self.lose(C, Some(9)).lose(S, None);
        }
        self.finish()
    }

    /// A gap.
    pub(super) fn lose(&mut self, side: Side, missing: Option<u32>) -> &mut Self {
        let kept = core::mem::take(&mut side.of_mut(&mut self.kept).0);
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

    /// What was said so far.
    pub(super) fn events(&self) -> impl Iterator<Item = &FlowEvent> {
        self.events
            .iter()
            .filter_map(|event| if let Event::Flow { what, .. } = event { Some(what) } else { None })
    }

    /// What was read so far.
    pub(super) fn transactions(&self) -> impl Iterator<Item = &Transaction> {
        self.events()
            .filter_map(|what| if let FlowEvent::Transaction(one) = what { Some(&**one) } else { None })
    }

    /// The transactions of one kind.
    pub(super) fn all<'a, T>(&'a self, of: impl Fn(&'a Transaction) -> Option<&'a T>) -> Vec<&'a T> {
        self.transactions().filter_map(of).collect()
    }

    /// The hellos of TLS and QUIC.
    pub(super) fn hellos(&self) -> Vec<ClientHello> {
        self.events()
            .filter_map(|what| if let FlowEvent::Tls(hello) = what { Some((**hello).clone()) } else { None })
            .collect()
    }

    /// Rules that were broken so far.
    pub(super) fn anomalies(&self) -> Vec<&'static str> {
        self.events()
            .filter_map(|what| if let FlowEvent::Anomaly(one) = what { Some(one.name) } else { None })
            .collect()
    }

    /// All that was told, as text: for looking for what must not be in it.
    pub(super) fn text(&self) -> String {
        format!("{:?}", self.events)
    }

    /// What the flow speaks.
    pub(super) fn application(&self) -> Application {
        self.notes.application()
    }

    /// What the flow spoke, one after the other.
    pub(super) fn applications(&self) -> Vec<Application> {
        self.notes.applications.iter().copied().filter(|one| *one != Application::Unknown).collect()
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
