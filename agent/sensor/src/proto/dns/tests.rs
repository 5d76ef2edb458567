//! DNS in hand-checked and hostile bytes.

use super::*;
use crate::counters::Counters;
use crate::event::{Dns, Event};
use crate::proto::{Notes, Parser as _};

const QUERY: &[u8] =
    b"\xab\xcd\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x07Example\x03com\x00\x00\x01\x00\x01";

/// Lets a parser of a flow to this port do something; what it said and counted.
fn with(
    port: u16,
    protocol: u8,
    act: impl FnOnce(&mut Session, &mut Sink<'_>),
) -> (Vec<FlowEvent>, Counters) {
    let mut hint = Hint::of_port(port);
    hint.flow.protocol = protocol;
    let (mut notes, mut counters, mut events) = (Notes::default(), Counters::default(), Vec::new());
    let mut sink = Sink {
        at: hint.flow.began,
        flow: hint.flow,
        notes: &mut notes,
        counters: &mut counters,
        events: &mut events,
    };
    act(&mut begin(&hint), &mut sink);
    let events = events.into_iter().filter_map(|event| match event {
        Event::Flow { what, .. } => Some(what),
        Event::Arp { .. } | Event::Anomaly { .. } => None,
    });
    (events.collect(), counters)
}

fn messages(events: &[FlowEvent]) -> Vec<&Dns> {
    let mut found: Vec<&Dns> = Vec::new();
    for event in events {
        if let FlowEvent::Dns(dns) = event {
            found.push(dns);
        }
    }
    found
}

fn framed(message: &[u8]) -> Vec<u8> {
    [&u16::try_from(message.len()).unwrap().to_be_bytes()[..], message].concat()
}

#[test]
fn a_message_longer_than_a_stream_keeps_is_read_as_far_as_it_is_kept() {
    let mut long = QUERY.to_vec();
    long.resize(40_000, 0);
    let stream = framed(&long);
    let (events, counters) = with(53, 6, |session, sink| {
        let Session::Dns(parser) = session else { panic!("DNS") };
        assert!(matches!(parser.read_stream(Side::Originator, &stream[..8_000], sink), Take::More));
        let took = parser.read_stream(Side::Originator, &stream[..13_000], sink);
        assert!(matches!(took, Take::Bytes(40_002)), "{took:?}");
        // What follows it is read again.
        assert!(matches!(parser.read_stream(Side::Originator, &framed(QUERY), sink), Take::Bytes(_)));
    });
    let sizes: Vec<_> = messages(&events).iter().map(|dns| (dns.message_bytes, dns.number)).collect();
    assert_eq!(sizes, [(40_000, 0), (u32::try_from(QUERY.len()).unwrap(), 1)]);
    assert_eq!(counters.value(Counter::PrefixTruncated), 1);
}

#[test]
fn goes_on_behind_a_gap() {
    let one = framed(QUERY);
    let (events, _) = with(53, 6, |session, sink| {
        let Session::Dns(parser) = session else { panic!("DNS") };
        // The gap ends where the message ends.
        parser.lose(Side::Originator, &one[..20], u32::try_from(one.len() - 20).ok(), sink);
        assert!(matches!(parser.read_stream(Side::Originator, &one, sink), Take::Bytes(_)));
        // It does not: what is no message is left out, then there is one.
        parser.lose(Side::Originator, &[], Some(7), sink);
        assert!(matches!(parser.read_stream(Side::Originator, b"\x00\x10garbage", sink), Take::All));
        assert!(matches!(parser.read_stream(Side::Originator, &one, sink), Take::Bytes(_)));
    });
    assert_eq!(messages(&events).len(), 2);
}

#[test]
fn names_what_breaks_the_rules() {
    let named = |port, message: &[u8], side| {
        let (events, _) = with(port, 17, |session, sink| {
            let wire_bytes = u32::try_from(message.len()).unwrap();
            session.read_datagram(side, message, wire_bytes, sink);
        });
        let name =
            |event: &FlowEvent| if let FlowEvent::Anomaly(one) = event { Some(one.name) } else { None };
        events.iter().filter_map(name).collect::<Vec<_>>()
    };
    let with_flags = |high: u8, low: u8| {
        let mut message = QUERY.to_vec();
        (message[2], message[3]) = (high, low);
        message
    };
    let (client, server) = (Side::Originator, Side::Responder);
    assert_eq!(named(53, QUERY, client), [""; 0]);
    assert_eq!(named(53, QUERY, server), ["NOT_RESPONSE"]);
    assert_eq!(named(53, &with_flags(0x81, 0x80), client), ["NOT_REQUEST"]);
    assert_eq!(named(53, &with_flags(0x01, 0x40), client), ["Z_FLAG_SET"]);
    assert_eq!(named(53, &with_flags(0x38, 0), client), ["INVALID_OPCODE"]);
    assert_eq!(named(53, &QUERY[..20], client), ["MALFORMED_DATA"]);
    assert_eq!(named(53, &[QUERY, b"x"].concat(), client), ["MALFORMED_DATA"]);
    assert_eq!(named(5353, &with_flags(0x84, 0), client), [""; 0]);
}

#[test]
fn netbios_names_are_not_for_the_detectors() {
    let query = [
        b"\x12\x34\x01\x10\x00\x01\x00\x00\x00\x00\x00\x00\x20".as_slice(),
        b"FHEPFCELEHFCEPFFFACACACACACACABN\x00\x00\x20\x00\x01",
    ]
    .concat();
    let (events, _) = with(137, 17, |session, sink| {
        session.read_datagram(Side::Originator, &query, 50, sink);
    });
    let [FlowEvent::Transaction(one)] = &*events else { panic!("{events:?}") };
    let crate::event::Transaction::NameService(dns) = &**one else { panic!("{one:?}") };
    assert_eq!((&*dns.qname, dns.qtype, dns.application), ("WORKGROUP", 32, Application::Nbns));
}
