//! The flow path allocates nothing for a packet of a flow that exists: what a flow needs it gets when it begins.
#![expect(unsafe_code, reason = "an allocator that counts implements an unsafe trait")]

#[cfg(test)]
mod tests {
    use std::alloc::{GlobalAlloc, Layout, System};
    use std::cell::Cell;

    use etherparse::PacketBuilder;
    use sekimori_sensor::counters::Counter;
    use sekimori_sensor::event::Event;
    use sekimori_sensor::frame::{Frame, LinkType};
    use sekimori_sensor::limits::Limits;
    use sekimori_sensor::observe::{Observer, Options};
    use sekimori_wire::time::Timestamp;

    struct Counting;

    thread_local! {
        static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
    }

    // SAFETY: every call goes to the system's allocator as it came; counting touches a thread's own cell, which is
    // initialised at compile time and so allocates nothing itself.
    unsafe impl GlobalAlloc for Counting {
        unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
            ALLOCATIONS.with(|count| count.set(count.get() + 1));
            // SAFETY: the caller's promise is passed on.
            unsafe { System.alloc(layout) }
        }

        unsafe fn dealloc(&self, place: *mut u8, layout: Layout) {
            // SAFETY: the caller's promise is passed on.
            unsafe { System.dealloc(place, layout) }
        }

        unsafe fn realloc(&self, place: *mut u8, layout: Layout, size: usize) -> *mut u8 {
            ALLOCATIONS.with(|count| count.set(count.get() + 1));
            // SAFETY: the caller's promise is passed on.
            unsafe { System.realloc(place, layout, size) }
        }
    }

    #[global_allocator]
    static ALLOCATOR: Counting = Counting;

    const CLIENT: [u8; 4] = [10, 0, 0, 1];
    const SERVER: [u8; 4] = [10, 0, 0, 2];

    /// A packet each way of a TCP connection, a UDP flow and an ICMP flow, and what a TCP connection does besides.
    fn round(nth: u32) -> Vec<Vec<u8>> {
        let mut frames = Vec::new();
        let mut push = |builder: etherparse::PacketBuilderStep<etherparse::TcpHeader>, payload: &[u8]| {
            let mut bytes = Vec::new();
            builder.write(&mut bytes, payload).unwrap();
            frames.push(bytes);
        };
        let out = |sequence| PacketBuilder::ipv4(CLIENT, SERVER, 64).tcp(40_000, 9_999, sequence, 1_000);
        let back = |sequence| PacketBuilder::ipv4(SERVER, CLIENT, 64).tcp(9_999, 40_000, sequence, 1_000);
        let (from, to) = (1_001 + nth * 300, 5_001 + nth * 100);
        // In order, again, and out of order.
        push(out(from).ack(to), &[0xee; 100]);
        push(out(from).ack(to), &[0xee; 100]);
        push(out(from + 200).ack(to), &[0xee; 100]);
        push(out(from + 100).ack(to), &[0xee; 100]);
        push(back(to).ack(from + 300), &[0xdd; 100]);
        push(out(from + 300).ack(to + 100), &[]);
        for (source, destination) in [(CLIENT, SERVER), (SERVER, CLIENT)] {
            let mut bytes = Vec::new();
            PacketBuilder::ipv4(source, destination, 64)
                .udp(7_777, 7_777)
                .write(&mut bytes, &[0xcc; 50])
                .unwrap();
            frames.push(bytes);
        }
        let mut bytes = Vec::new();
        PacketBuilder::ipv4(CLIENT, SERVER, 64)
            .icmpv4_echo_request(1, 2)
            .write(&mut bytes, &[0; 20])
            .unwrap();
        frames.push(bytes);
        let mut bytes = Vec::new();
        PacketBuilder::ipv4(SERVER, CLIENT, 64).icmpv4_echo_reply(1, 2).write(&mut bytes, &[0; 20]).unwrap();
        frames.push(bytes);
        frames
    }

    #[test]
    fn packets_of_flows_that_exist_allocate_nothing() {
        let mut observer = Observer::new(&Limits::gateway(), Options::default(), 7);
        let mut events: Vec<Event> = Vec::with_capacity(64);
        let handshake: Vec<Vec<u8>> = {
            let write = |builder: etherparse::PacketBuilderStep<etherparse::TcpHeader>| {
                let mut bytes = Vec::new();
                builder.write(&mut bytes, &[]).unwrap();
                bytes
            };
            vec![
                write(PacketBuilder::ipv4(CLIENT, SERVER, 64).tcp(40_000, 9_999, 1_000, 1_000).syn()),
                write(
                    PacketBuilder::ipv4(SERVER, CLIENT, 64).tcp(9_999, 40_000, 5_000, 1_000).syn().ack(1_001),
                ),
            ]
        };
        // The counts of all flows outgrow their room in the table while it gets warm: that is one allocation in a flow's life.
        let rounds: Vec<Vec<u8>> = (0..2_000).flat_map(round).collect();
        let (warm, measured) = rounds.split_at(rounds.len() / 4 * 3);
        let mut at = 0;
        let mut feed = |frames: &[Vec<u8>], events: &mut Vec<Event>| {
            let before = ALLOCATIONS.with(Cell::get);
            for bytes in frames {
                at += 1_000_000;
                let wire_len = u32::try_from(bytes.len()).unwrap();
                let frame = Frame {
                    at: Timestamp::from_nanos(at),
                    link: LinkType::RawIp,
                    bytes,
                    wire_len,
                    vlan: None,
                };
                observer.handle_frame(&frame, events);
                events.clear();
            }
            (ALLOCATIONS.with(Cell::get) - before, observer.counters().value(Counter::FlowsStarted))
        };
        let (_, flows) = feed(&handshake, &mut events);
        assert_eq!(flows, 1);
        let (beginning, flows) = feed(warm, &mut events);
        assert!(beginning > 0, "the counting works: parsers of a flow that begins do allocate");
        assert_eq!(flows, 3);
        assert_eq!(feed(measured, &mut events), (0, 3), "thousands of packets");
    }
}
