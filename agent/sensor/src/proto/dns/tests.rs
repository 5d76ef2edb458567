//! DNS in hand-checked and hostile bytes.

use super::*;
use crate::event::Dns;
use crate::proto::bench::{Bench, C as CLIENT, S as SERVER};

const QUERY: &[u8] =
    b"\xab\xcd\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x07Example\x03com\x00\x00\x01\x00\x01";

/// A flow whose parser is that of DNS, whatever it says.
fn bench(port: u16, protocol: u8) -> Bench {
    let mut hint = Hint::of_port(port);
    hint.flow.protocol = protocol;
    Bench::of(begin(&hint), hint.flow)
}

fn messages(bench: &Bench) -> Vec<&Dns> {
    bench
        .events()
        .filter_map(|event| if let FlowEvent::Dns(dns) = event { Some(&**dns) } else { None })
        .collect()
}

fn framed(message: &[u8]) -> Vec<u8> {
    [&u16::try_from(message.len()).unwrap().to_be_bytes()[..], message].concat()
}

#[test]
fn a_message_longer_than_a_stream_keeps_is_read_as_far_as_it_is_kept() {
    let mut long = QUERY.to_vec();
    long.resize(40_000, 0);
    let stream = framed(&long);
    let mut bench = bench(53, 6);
    bench.stream(CLIENT, &stream[..8_000]).stream(CLIENT, &stream[8_000..13_000]);
    // It is read as soon as there is enough of it; what follows it is read again.
    assert_eq!(messages(&bench).len(), 1);
    bench.stream(CLIENT, &stream[13_000..]).stream(CLIENT, &framed(QUERY));
    let sizes: Vec<_> = messages(&bench).into_iter().map(|dns| (dns.message_bytes, dns.number)).collect();
    assert_eq!(sizes, [(40_000, 0), (u32::try_from(QUERY.len()).unwrap(), 1)]);
    assert_eq!(bench.counters.value(Counter::PrefixTruncated), 1);
}

#[test]
fn goes_on_behind_a_gap() {
    let one = framed(QUERY);
    let mut bench = bench(53, 6);
    // The gap ends where the message ends.
    bench.stream(CLIENT, &one[..20]).lose(CLIENT, u32::try_from(one.len() - 20).ok()).stream(CLIENT, &one);
    // It does not: what is no message is left out, then there is one.
    bench.lose(CLIENT, Some(7)).stream(CLIENT, b"\x00\x10garbage").stream(CLIENT, &one);
    assert_eq!(messages(&bench).len(), 2);
}

#[test]
fn names_what_breaks_the_rules() {
    let named = |port, message: &[u8], side| bench(port, 17).datagram(side, message).anomalies();
    let with_flags = |high: u8, low: u8| {
        let mut message = QUERY.to_vec();
        (message[2], message[3]) = (high, low);
        message
    };
    assert_eq!(named(53, QUERY, CLIENT), [""; 0]);
    assert_eq!(named(53, QUERY, SERVER), ["NOT_RESPONSE"]);
    assert_eq!(named(53, &with_flags(0x81, 0x80), CLIENT), ["NOT_REQUEST"]);
    assert_eq!(named(53, &with_flags(0x01, 0x40), CLIENT), ["Z_FLAG_SET"]);
    assert_eq!(named(53, &with_flags(0x38, 0), CLIENT), ["INVALID_OPCODE"]);
    assert_eq!(named(53, &QUERY[..20], CLIENT), ["MALFORMED_DATA"]);
    assert_eq!(named(53, &[QUERY, b"x"].concat(), CLIENT), ["MALFORMED_DATA"]);
    assert_eq!(named(5353, &with_flags(0x84, 0), CLIENT), [""; 0]);
}

#[test]
fn netbios_names_are_not_for_the_detectors() {
    let query = [
        b"\x12\x34\x01\x10\x00\x01\x00\x00\x00\x00\x00\x00\x20".as_slice(),
        b"FHEPFCELEHFCEPFFFACACACACACACABN\x00\x00\x20\x00\x01",
    ]
    .concat();
    let mut bench = bench(137, 17);
    bench.datagram(CLIENT, &query);
    let [FlowEvent::Transaction(one)] = bench.events().collect::<Vec<_>>()[..] else { panic!("one event") };
    let crate::event::Transaction::NameService(dns) = &**one else { panic!("{one:?}") };
    assert_eq!((&*dns.qname, dns.qtype, dns.application), ("WORKGROUP", 32, Application::Nbns));
}
