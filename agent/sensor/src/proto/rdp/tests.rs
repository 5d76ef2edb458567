//! Hand-checked beginnings of RDP, and what hostile ones cost.

use super::*;
use crate::event::Transaction;
use crate::event::rdp::RdpClient;
use crate::proto::bench::Bench;

const CLIENT: Side = Side::Originator;
const SERVER: Side = Side::Responder;

/// An X.224 message in its TPKT: code, and what follows the fixed part of its header.
fn message(code: u8, body: &[u8]) -> Vec<u8> {
    let fixed: &[u8] = if code == DATA { &[0x80] } else { &[0, 0, 0x12, 0x34, 0] };
    let header = if code == DATA { 2 } else { u8::try_from(1 + fixed.len() + body.len()).unwrap() };
    let length = u16::try_from(TPKT_HEADER + 2 + fixed.len() + body.len()).unwrap().to_be_bytes();
    [&[3, 0], &length[..], &[header, code], fixed, body].concat()
}

fn run(flights: &[(Side, &[u8])]) -> (Vec<RdpNegotiation>, Bench) {
    let mut bench = Bench::to_port(3_389);
    flights.iter().for_each(|(side, bytes)| {
        bench.stream(*side, bytes);
    });
    let step = |one| if let Transaction::Rdp(one) = one { Some(*one) } else { None };
    (bench.transactions().cloned().filter_map(step).collect(), bench)
}

fn steps(flights: &[(Side, &[u8])]) -> Vec<RdpStep> {
    run(flights).0.into_iter().map(|one| one.step).collect()
}

const COOKIE: &[u8] = b"Cookie: mstshash=Yamada\r\n";
const TLS_OR_CREDSSP: &[u8] = b"\x01\x00\x08\x00\x03\x00\x00\x00";

/// MS-RDPBCGR, 4.1.1: the connection request of the specification's example, byte for byte.
#[test]
fn the_request_of_the_specification() {
    let bytes = b"\x03\x00\x00\x2c\x27\xe0\x00\x00\x00\x00\x00Cookie: mstshash=eltons\r\n\x01\x00\x08\x00\x00\x00\x00\x00";
    assert_eq!(bytes.len(), 0x2c);
    let expected = RdpStep::Request { cookie: Some("eltons".into()), negotiation: Some((0, 0)) };
    assert_eq!(steps(&[(CLIENT, bytes)]), [expected]);
}

/// MS-RDPBCGR, 4.1.2: the answer to it.
#[test]
fn the_confirmation_of_the_specification() {
    let request = message(CONNECTION_REQUEST, COOKIE);
    let bytes = b"\x03\x00\x00\x13\x0e\xd0\x00\x00\x12\x34\x00\x02\x00\x08\x00\x00\x00\x00\x00";
    let expected = RdpStep::Confirm { negotiation: Some((0, 0)) };
    assert_eq!(steps(&[(CLIENT, &request), (SERVER, bytes)])[1], expected);
}

#[test]
fn a_request_may_have_a_cookie_a_negotiation_both_or_neither() {
    let cookie: Option<Box<str>> = Some("Yamada".into());
    let correlation = [&b"\x01\x08\x08\x00\x0b\x00\x00\x00\x06\x00\x24\x00"[..], &[1; 32]].concat();
    for (body, expected_cookie, expected_negotiation) in [
        (COOKIE.to_vec(), cookie.clone(), None),
        (TLS_OR_CREDSSP.to_vec(), None, Some((0, 3))),
        ([COOKIE, TLS_OR_CREDSSP].concat(), cookie, Some((0, 3))),
        (Vec::new(), None, None),
        (
            b"Cookie: msts=3640205228.15629.0000\r\n\x01\x00\x08\x00\x01\x00\x00\x00".to_vec(),
            None,
            Some((0, 1)),
        ),
        (b"tsv://MS Terminal Services Plugin.1.Farm\r\n".to_vec(), None, None),
        ([&b"\x01\x01\x08\x00\x0b\x00\x00\x00"[..]].concat(), None, Some((1, 11))),
        (correlation, None, Some((8, 11))),
    ] {
        let bytes = message(CONNECTION_REQUEST, &body);
        let expected = RdpStep::Request { cookie: expected_cookie, negotiation: expected_negotiation };
        assert_eq!(steps(&[(CLIENT, &bytes)]), [expected], "{body:x?}");
    }
}

#[test]
fn cookies_of_other_scripts_are_kept_and_long_ones_cut() {
    let japanese = message(CONNECTION_REQUEST, "Cookie: mstshash=山田\r\n".as_bytes());
    let RdpStep::Request { cookie, .. } = &steps(&[(CLIENT, &japanese)])[0] else { panic!("no request") };
    assert_eq!(cookie.as_deref(), Some("山田"));
    let unended = message(CONNECTION_REQUEST, b"Cookie: mstshash=Yamada");
    assert_eq!(steps(&[(CLIENT, &unended)]), [RdpStep::Request { cookie: None, negotiation: None }]);
}

#[test]
fn a_server_may_refuse() {
    let request = message(CONNECTION_REQUEST, TLS_OR_CREDSSP);
    for code in 1..=6 {
        let refusal = message(CONNECTION_CONFIRM, &[3, 0, 8, 0, code, 0, 0, 0]);
        let expected = RdpStep::Refusal(code.into());
        assert_eq!(steps(&[(CLIENT, &request), (SERVER, &refusal)])[1], expected);
    }
}

#[test]
fn an_old_server_confirms_without_negotiation() {
    let request = message(CONNECTION_REQUEST, COOKIE);
    let confirm = message(CONNECTION_CONFIRM, b"");
    let expected = RdpStep::Confirm { negotiation: None };
    assert_eq!(steps(&[(CLIENT, &request), (SERVER, &confirm)])[1], expected);
}

#[test]
fn what_is_secured_by_tls_goes_on_there() {
    let request = message(CONNECTION_REQUEST, TLS_OR_CREDSSP);
    for protocol in [1, 2, 4, 8] {
        let confirm = message(CONNECTION_CONFIRM, &[2, 0x1f, 8, 0, protocol, 0, 0, 0]);
        let hello =
            [&b"\x16\x03\x03\x00\x2d\x01\x00\x00\x29\x03\x03"[..], &[0; 32], &[0, 0, 2, 0xc0, 0x2f, 1, 0]]
                .concat();
        let (said, mut bench) = run(&[(CLIENT, &request), (SERVER, &confirm), (CLIENT, &hello)]);
        assert_eq!(said[1].step, RdpStep::Confirm { negotiation: Some((0x1f, protocol.into())) });
        assert_eq!(said.iter().map(|one| one.number).collect::<Vec<_>>(), [0, 1]);
        assert_eq!(bench.notes.applications[..2], [Application::Rdp, Application::Tls]);
        bench.finish();
        let Some(Transaction::Tls(connection)) = bench.transactions().last() else { panic!("no TLS") };
        assert_eq!(connection.after, Application::Rdp);
    }
}

/// A client's core data and channels behind the key of its user data.
fn client_data() -> Vec<u8> {
    let wide = |text: &str, length: usize| {
        let mut bytes: Vec<u8> = text.encode_utf16().flat_map(u16::to_le_bytes).collect();
        bytes.resize(length, 0);
        bytes
    };
    let core = [
        &b"\x04\x00\x08\x00\x80\x04\x60\x03\x01\xca\x03\xaa\x11\x04\x00\x00\x28\x0a\x00\x00"[..],
        &wide("KYOTO-PC01", 32),
        b"\x07\x00\x00\x00\x02\x00\x00\x00\x0c\x00\x00\x00",
        &[0; 64],
        b"\x01\xca\x01\x00\x00\x00\x00\x00\x0f\x00\x07\x00\x01\x00",
        &wide("55274-OEM-0011903-00107", 64),
    ]
    .concat();
    let network = b"\x02\x00\x00\x00rdpdr\0\0\0\0\0\x80\x80cliprdr\0\0\0\xa0\xc0";
    let block = |kind: u16, content: &[u8]| {
        let length = u16::try_from(content.len() + 4).unwrap();
        [&kind.to_le_bytes()[..], &length.to_le_bytes(), content].concat()
    };
    let blocks = [block(0xc001, &core), block(0xc004, &[0; 8]), block(0xc003, network)].concat();
    let length = u16::try_from(blocks.len()).unwrap() | 0x8000;
    let conference = b"\x7f\x65\x82\x01\x94\x04\x01\x01\x00\x05\x00\x14\x7c\x00\x01\x81\x48\x00\x08\x00\x10\x00\x01\xc0\x00Duca";
    message(DATA, &[&conference[..], &length.to_be_bytes(), &blocks].concat())
}

#[test]
fn a_client_says_who_it_is_where_nothing_encrypts_it() {
    let request = message(CONNECTION_REQUEST, COOKIE);
    let confirm = message(CONNECTION_CONFIRM, b"");
    let said = steps(&[(CLIENT, &request), (SERVER, &confirm), (CLIENT, &client_data())]);
    let RdpStep::ClientData(client) = &said[2] else { panic!("no data: {said:?}") };
    let expected = RdpClient {
        version: 0x0008_0004,
        desktop: (1_152, 864),
        color_depth: Some(15),
        keyboard_layout: 0x0411,
        build: 2_600,
        name: "KYOTO-PC01".into(),
        keyboard_type: 7,
        keyboard_subtype: 2,
        function_keys: 12,
        product_id: Some(1),
        capabilities: Some(1),
        id: "55274-OEM-0011903-00107".into(),
        channels: ["rdpdr".into(), "cliprdr".into()].into(),
    };
    assert_eq!(**client, expected);
}

#[test]
fn a_server_says_how_it_encrypts() {
    let request = message(CONNECTION_REQUEST, COOKIE);
    let confirm = message(CONNECTION_CONFIRM, b"");
    let security = b"\x02\x0c\x22\x00\x02\x00\x00\x00\x02\x00\x00\x00\x04\x00\x00\x00\x0a\x00\x00\x00rand\
        \x02\x00\x00\x80\x01\x00\x00\x00\x02\x00\x00\x00no";
    let answer = message(DATA, &[&b"\x7f\x66McDn"[..], &[0x26], &security[..]].concat());
    let said = steps(&[(CLIENT, &request), (SERVER, &confirm), (SERVER, &answer)]);
    let RdpStep::ServerData { encryption, certificates } = &said[2] else { panic!("no data: {said:?}") };
    assert_eq!((*encryption, certificates.len()), (Some((2, 2)), 0), "the chain is cut by its block");
}

#[test]
fn is_recognised_by_content() {
    let with_cookie = message(CONNECTION_REQUEST, COOKIE);
    let bare = message(CONNECTION_REQUEST, b"");
    let s7 = message(CONNECTION_REQUEST, b"\xc1\x02\x01\x00\xc2\x02\x01\x02\xc0\x01\x09");
    for (bytes, port, expected) in [
        (&with_cookie[..], 40_001, Guess::Yes),
        (&bare, 40_001, Guess::No),
        (&bare, 3_389, Guess::Yes),
        (&s7, 102, Guess::No),
        (&with_cookie[..4], 3_389, Guess::More),
        (&with_cookie[..20], 3_389, Guess::More),
        (&with_cookie[..1], 3_389, Guess::More),
        (b"\x03\x01\x00\x13", 3_389, Guess::No),
        (b"\x03\x00\x00\x13\x0e\xd0\0\0\x12\x34\0\x02\0\x08\0\0\0\0\0", 3_389, Guess::No),
        (b"GET / HTTP/1.1\r\n", 3_389, Guess::No),
        (b"", 3_389, Guess::More),
    ] {
        assert_eq!(recognise(&Hint::of_port(port), bytes), expected, "{bytes:x?} to {port}");
    }
    let syn = [&b"\xff\xff\xff\xff\x00\x40\x00\x01"[..], &[0; 1_224]].concat();
    assert_eq!(recognise_udp(&Hint::of_port(3_389), &syn), Guess::Yes);
    assert_eq!(recognise_udp(&Hint::of_port(53), &syn), Guess::No);
}

#[test]
fn segments_may_be_cut_anywhere() {
    let request = message(CONNECTION_REQUEST, &[COOKIE, TLS_OR_CREDSSP].concat());
    let confirm = message(CONNECTION_CONFIRM, b"");
    let data = client_data();
    let whole = steps(&[(CLIENT, &request), (SERVER, &confirm), (CLIENT, &data)]);
    for size in [1, 2, 3, 7, 50] {
        let mut bench = Bench::to_port(3_389);
        for (side, bytes) in [(CLIENT, &request), (SERVER, &confirm), (CLIENT, &data)] {
            bytes.chunks(size).for_each(|piece| {
                bench.stream(side, piece);
            });
        }
        let said = bench
            .transactions()
            .filter_map(|one| if let Transaction::Rdp(one) = one { Some(one.step.clone()) } else { None });
        assert_eq!(said.collect::<Vec<_>>(), whole, "{size}");
    }
}

#[test]
fn hostile_messages_end_it_or_are_skipped() {
    let request = message(CONNECTION_REQUEST, COOKIE);
    let broken = [&request[..], b"\x03\x00\x00\x05\x00"].concat();
    let (_, bench) = run(&[(CLIENT, &broken)]);
    assert!(bench.is_opaque());
    assert_eq!(bench.malformed(), 1);

    let huge = [&request[..], b"\x03\x00\xff\xff", &vec![0; 0xfffb], &client_data()].concat();
    assert_eq!(steps(&[(CLIENT, &huge)]).len(), 2, "what is too long is skipped, what follows is read");

    // Requests without end: each is taken at once, and after ten messages of data nothing is read.
    let many = [request, message(DATA, &vec![0x44; 10_000]).repeat(400)].concat();
    let (said, bench) = run(&[(CLIENT, &many)]);
    assert_eq!((said.len(), bench.is_opaque()), (1, true));
}
