//! Windows against a naive model; streams of requests however they are cut and ordered.

use core::net::{IpAddr, Ipv4Addr};

use proptest::prelude::*;

use super::*;
use crate::event::{Endpoint, Event, FlowEvent, FlowRef};
use crate::proto::Notes;

/// A flow's stream with all that it needs.
struct Bench {
    stream: Stream,
    session: Session,
    pool: Pool,
    counters: Counters,
    notes: Notes,
    events: Vec<Event>,
}

impl Bench {
    fn new(window_bytes: usize) -> Self {
        let mut stream = Stream::default();
        stream.begin(Side::Originator, START);
        Self {
            stream,
            session: Session::default(),
            pool: Pool::new(2, window_bytes),
            counters: Counters::default(),
            notes: Notes::default(),
            events: Vec::new(),
        }
    }

    fn deliver(&mut self, at: usize, bytes: &[u8], wire_bytes: usize) {
        let sequence = START.wrapping_add(u32::try_from(at).unwrap());
        let payload = Payload { sequence, bytes, wire_bytes: u32::try_from(wire_bytes).unwrap() };
        self.with(|stream, session, pool, sink| {
            stream.deliver(Side::Originator, payload, session, pool, sink);
        });
    }

    /// The responder has everything before `at`.
    fn acknowledge(&mut self, at: usize) {
        let sequence = START.wrapping_add(u32::try_from(at).unwrap());
        self.with(|stream, session, pool, sink| {
            stream.acknowledge(Side::Originator, sequence, session, pool, sink);
        });
    }

    fn with(&mut self, what: impl FnOnce(&mut Stream, &mut Session, &mut Pool, &mut Sink<'_>)) {
        let end = |port| Endpoint { address: IpAddr::V4(Ipv4Addr::LOCALHOST), port };
        let flow = FlowRef {
            id: 1,
            began: sekimori_wire::time::Timestamp::ZERO,
            originator: end(40_000),
            responder: end(8_080),
            protocol: 6,
            vlan: None,
            swapped: false,
        };
        let (counters, notes, events) = (&mut self.counters, &mut self.notes, &mut self.events);
        let mut sink = Sink { at: Default::default(), flow, notes, counters, events };
        what(&mut self.stream, &mut self.session, &mut self.pool, &mut sink);
    }

    /// Paths of the requests seen.
    fn paths(&self) -> Vec<&str> {
        fn path(event: &Event) -> Option<&str> {
            let Event::Flow { what: FlowEvent::HttpRequest(request), .. } = event else { return None };
            Some(&request.path)
        }
        self.events.iter().filter_map(path).collect()
    }
}

/// The sequence numbers wrap soon.
const START: u32 = u32::MAX - 40;

const REQUESTS: &str = "GET /1 HTTP/1.1\r\nHost: a\r\n\r\nPOST /2 HTTP/1.1\r\nContent-Length: 27\r\n\r\nGET /no HTTP/1.1\r\nHost: x\r\nPUT /3 HTTP/1.1\r\n\r\n";

proptest! {
    #[test]
    fn a_window_is_a_set_of_bytes(
        pieces in proptest::collection::vec((0_usize..60, 1_usize..20), 1..12), taken in 0_usize..70,
    ) {
        let mut window = Window::default();
        let mut model = [None; 100];
        for (nth, (start, length)) in pieces.into_iter().enumerate() {
            let data = vec![u8::try_from(nth).unwrap(); length];
            if window.insert(start, &data, 64) {
                prop_assert!(start + length <= 64);
                for place in &mut model[start..start + length] {
                    place.get_or_insert(data[0]);
                }
            }
        }
        window.advance(taken);
        model.rotate_left(taken);
        model[100 - taken..].fill(None);
        let there: Vec<_> = model.iter().map_while(|byte| *byte).collect();
        prop_assert_eq!(&window.bytes[..window.ready()], &there[..]);
        let held: usize = window.pieces.iter().map(|(start, end)| end - start).sum();
        prop_assert_eq!(held, model.iter().flatten().count());
        prop_assert!(window.pieces.windows(2).all(|pair| pair[0].1 < pair[1].0));
    }

    /// Cut anywhere, delivered with neighbours swapped and repeated: the same requests.
    #[test]
    fn order_and_cuts_do_not_matter(cuts in proptest::collection::btree_set(1..REQUESTS.len(), 0..6), swap: [bool; 7]) {
        let ends: Vec<_> = cuts.iter().copied().chain([REQUESTS.len()]).collect();
        let starts = [0].into_iter().chain(cuts.iter().copied());
        let mut segments: Vec<_> = starts.zip(ends).collect();
        for (nth, swap) in swap.into_iter().enumerate() {
            if swap && nth + 1 < segments.len() {
                segments.swap(nth, nth + 1);
            }
        }
        let mut bench = Bench::new(1_024);
        for (start, end) in segments.iter().copied().flat_map(|segment| [segment, segment]) {
            bench.deliver(start, &REQUESTS.as_bytes()[start..end], end - start);
        }
        prop_assert_eq!(bench.paths(), ["/1", "/2", "/3"]);
        prop_assert_eq!(bench.counters.value(Counter::PrefixTruncated), 0);
    }
}

#[test]
fn after_a_gap_reading_goes_on_where_a_segment_begins_with_a_head() {
    let mut bench = Bench::new(256);
    bench.deliver(0, b"GET /1 HTTP/1.1\r\n\r\n", 19);
    // Bytes 19 to 99 were never captured; what follows is kept until the window is full, then given up.
    bench.deliver(100, &[b'x'; 160], 160);
    bench.deliver(260, b"GET /2 HTTP/1.1\r\n\r\n", 19);
    bench.deliver(279, b"GET /3 HTTP/1.1\r\n\r\n", 19);
    assert_eq!(bench.paths(), ["/1", "/2", "/3"]);
}

#[test]
fn overlapping_bytes_that_came_first_stand() {
    let mut bench = Bench::new(256);
    bench.deliver(5, b"good HTTP/1.1\r\n\r\n", 17);
    bench.deliver(0, b"GET /evil HTTP/1.1\r\n\r\n", 22);
    assert_eq!(bench.paths(), ["/good"]);
}

#[test]
fn a_request_too_long_for_the_window_gives_its_first_lines() {
    let mut bench = Bench::new(64);
    bench.deliver(0, b"GET /long HTTP/1.1\r\nHost: a.test\r\nCookie: ", 42);
    bench.deliver(42, &[b'c'; 60], 60);
    assert_eq!(bench.paths(), ["/long"]);
    assert_eq!(bench.counters.value(Counter::PrefixTruncated), 1);
}

#[test]
fn a_segment_cut_by_the_capture_gives_its_first_lines() {
    let mut bench = Bench::new(256);
    bench.deliver(0, b"GET /cut HTTP/1.1\r\nHost: a.te", 400);
    bench.deliver(400, b"GET /2 HTTP/1.1\r\n\r\n", 19);
    assert_eq!(bench.paths(), ["/cut", "/2"]);
}

#[test]
fn the_oldest_windows_are_lent_again() {
    let mut counters = Counters::default();
    let mut pool = Pool::new(2, 64);
    let [first, second, third] = [(); 3].map(|()| pool.lend(&mut counters));
    assert!(pool.window(first, Side::Originator).is_none(), "lent to the third");
    assert!(pool.window(second, Side::Originator).is_some() && pool.window(third, Side::Responder).is_some());
    assert_eq!(counters.value(Counter::PrefixTruncated), 1);
    pool.give_back(first);
    pool.give_back(second);
    assert_eq!(pool.lend(&mut counters).index, second.index, "a void lease gives nothing back");
    assert_eq!(counters.value(Counter::PrefixTruncated), 1);
}

const HEADS: [&[u8]; 3] =
    [b"GET /1 HTTP/1.1\r\n\r\n", b"GET /2 HTTP/1.1\r\n\r\n", b"GET /3 HTTP/1.1\r\n\r\n"];

#[test]
fn what_was_acknowledged_and_never_seen_is_not_waited_for() {
    let mut bench = Bench::new(1_024);
    bench.deliver(0, HEADS[0], 19);
    bench.deliver(30, HEADS[1], 19);
    bench.deliver(60, HEADS[2], 19);
    assert_eq!(bench.paths(), ["/1"], "two holes");
    bench.acknowledge(30);
    assert_eq!(bench.paths(), ["/1", "/2"]);
    bench.acknowledge(79);
    assert_eq!(bench.paths(), ["/1", "/2", "/3"]);
    assert_eq!(bench.counters.value(Counter::PrefixTruncated), 0);
    bench.deliver(79, b"GET /4 HTTP/1.1\r\n\r\n", 19);
    assert_eq!(bench.paths().len(), 4, "the place is known");
}

#[test]
fn at_the_end_nothing_is_waited_for() {
    let mut bench = Bench::new(1_024);
    bench.deliver(0, HEADS[0], 19);
    bench.deliver(30, HEADS[1], 19);
    bench.with(Stream::finish);
    assert_eq!(bench.paths(), ["/1", "/2"]);
}

#[test]
fn many_holes_are_passed_in_order_and_the_last_segment_is_read() {
    let mut bench = Bench::new(16_384);
    bench.deliver(0, HEADS[0], 19);
    for nth in 1..40 {
        bench.deliver(nth * 30, HEADS[1], 19);
    }
    bench.acknowledge(40 * 30);
    assert_eq!(bench.paths().len(), 40);
}

/// The largest windows, the worst order: every other byte, backwards. Each segment costs at most one window's bytes.
#[test]
fn the_worst_order_is_bounded() {
    let mut bench = Bench::new(16_384);
    bench.deliver(0, b"GET / HTTP/1.1\r\nX: ", 19);
    for at in (20..20_000).rev().step_by(2) {
        bench.deliver(at, b"x", 1);
    }
    assert!(bench.counters.value(Counter::PrefixTruncated) > 0);
}
