//! Tests of TLS: what a whole handshake says, however it is cut; what a hostile one costs.

use core::net::IpAddr;

use proptest::prelude::*;
use tls_parser::{TlsExtension, TlsMessage, TlsMessageHandshake, parse_tls_extensions, parse_tls_plaintext};

use super::*;
use crate::event::tls::Progress;
use crate::event::{TlsConnection, Transaction};
use crate::proto::bench::Bench;

fn to_port(session: Session, port: u16) -> Bench {
    Bench::of(session, Hint::of_port(port).flow)
}

fn connections(bench: &Bench) -> Vec<&TlsConnection> {
    bench.all(|one| if let Transaction::Tls(one) = one { Some(&**one) } else { None })
}

const CLIENT: Side = Side::Originator;
const SERVER: Side = Side::Responder;

fn length16(bytes: &[u8]) -> Vec<u8> {
    [&u16::try_from(bytes.len()).unwrap().to_be_bytes(), bytes].concat()
}

fn length24(bytes: &[u8]) -> Vec<u8> {
    [&u32::try_from(bytes.len()).unwrap().to_be_bytes()[1..], bytes].concat()
}

fn extensions(list: &[(u16, &[u8])]) -> Vec<u8> {
    let each = list.iter().map(|(kind, data)| [&kind.to_be_bytes()[..], &length16(data)].concat());
    length16(&each.collect::<Vec<_>>().concat())
}

fn message(kind: u8, body: &[u8]) -> Vec<u8> {
    [&[kind], &*length24(body)].concat()
}

fn record(kind: u8, fragment: &[u8]) -> Vec<u8> {
    [&[kind, 3, 3], &*length16(fragment)].concat()
}

/// A hello of a client with these ciphers, session and extensions.
fn client_hello_with(session: &[u8], ciphers: &[u8], list: &[(u16, &[u8])]) -> Vec<u8> {
    let session_len = u8::try_from(session.len()).unwrap();
    let head = [&[3, 3][..], &[0x11; 32], &[session_len], session, &length16(ciphers), &[1, 0]].concat();
    message(CLIENT_HELLO, &[head, extensions(list)].concat())
}

/// Of TLS 1.3 with a GREASE cipher, SNI, ALPN, two signature algorithms and versions.
fn client_hello() -> Vec<u8> {
    client_hello_with(
        b"",
        &[0x1a, 0x1a, 0x13, 0x02, 0x13, 0x01],
        &[
            (0x0000, b"\0\x10\0\0\x0dWww.Example.C"),
            (0x2a2a, b""),
            (0x0010, b"\0\x0c\x02h2\x08http/1.1"),
            (0x000d, b"\0\x04\x04\x03\x08\x04"),
            (0x002b, b"\x06\x7a\x7a\x03\x04\x03\x03"),
        ],
    )
}

fn server_hello(session: &[u8], list: &[(u16, &[u8])]) -> Vec<u8> {
    let session_len = u8::try_from(session.len()).unwrap();
    let head = [&[3, 3][..], &[0x22; 32], &[session_len], session, &[0xc0, 0x2f, 0]].concat();
    message(SERVER_HELLO, &[head, extensions(list)].concat())
}

const CERTIFICATE: &str = "308201fd308201a3a003020102020400a1b2c3300a06082a8648ce3d040302303f310b30090603550406130\
    24a5031163014060355040a0c0d4578616d706c652c20496e632e3118301606035504030c0f7777772e6578616d706c652e6f7267301e170\
    d3236313132323130313833315a170d3336313131393130313833315a303f310b3009060355040613024a5031163014060355040a0c0d457\
    8616d706c652c20496e632e3118301606035504030c0f7777772e6578616d706c652e6f72673059301306072a8648ce3d020106082a8648c\
    e3d0301070342000497a416163c5ab3b587e001db371f3656ed5fbbba4e49f6a98d0442b556f698e507917d69b624825eae6d114f4e4df71\
    bb2ece8f2cabc8673ed92a09b8b6f7e9aa3818c30818930540603551d11044d304b820f7777772e6578616d706c652e6f7267820d2a2e657\
    8616d706c652e6f72678704c0000201810d61406578616d706c652e6f7267861468747470733a2f2f6578616d706c652e6f72672f3012060\
    3551d130101ff040830060101ff020101301d0603551d0e04160414760864a06faa03f5dd7815eb9db07d7035b5a1d7300a06082a8648ce3\
    d0403020348003045022100a8043fa6e60d25d9878e850dca768767c4416c9681571c4832d53732ad6275c8022073424bd39ad0e6e784450\
    5aebce1d75d6f4f9dfda53e267cce9770d2f3725056";

fn certificate() -> Vec<u8> {
    let digits: Vec<u8> = CERTIFICATE.bytes().filter(u8::is_ascii_hexdigit).collect();
    let pair = |pair: &[u8]| u8::from_str_radix(core::str::from_utf8(pair).unwrap(), 16).unwrap();
    digits.chunks(2).map(pair).collect()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A handshake of TLS 1.2 in which the server asks for a certificate: who sends what, in order.
fn handshake_1_2() -> Vec<(Side, Vec<u8>)> {
    let chain = message(11, &length24(&[length24(&certificate()), length24(&certificate())].concat()));
    let key = message(12, b"\x03\x00\x1d\x01x\x04\x03\0\0");
    let authority = b"\x30\x0d\x31\x0b\x30\x09\x06\x03\x55\x04\x06\x13\x02JP";
    let request = message(13, &[b"\x01\x01\0\x02\x04\x03".to_vec(), length16(&length16(authority))].concat());
    let first_flight =
        [server_hello(b"s", &[(16, b"\0\x03\x02h2")]), chain, key, request, message(14, b"")].concat();
    let (one, two) = first_flight.split_at(100);
    let empty_chain = message(11, &length24(b""));
    vec![
        (CLIENT, record(HANDSHAKE, &client_hello())),
        (SERVER, [record(HANDSHAKE, one), record(HANDSHAKE, two)].concat()),
        (CLIENT, record(HANDSHAKE, &[empty_chain, message(16, b"key")].concat())),
        (CLIENT, record(CHANGE_CIPHER_SPEC, b"\x01")),
        (CLIENT, record(HANDSHAKE, &[0xaa; 40])),
        (SERVER, record(HANDSHAKE, &message(4, b"ticket"))),
        (SERVER, record(CHANGE_CIPHER_SPEC, b"\x01")),
        (SERVER, record(HANDSHAKE, &[0xbb; 40])),
        (CLIENT, record(APPLICATION_DATA, &[0xcc; 4_000])),
    ]
}

fn run(flights: &[(Side, Vec<u8>)]) -> Bench {
    let mut bench = to_port(Session::default(), 4_444);
    flights.iter().for_each(|(side, bytes)| {
        bench.stream(*side, bytes);
    });
    bench.finish();
    bench
}

#[test]
fn reads_a_whole_handshake() {
    let bench = run(&handshake_1_2());
    let hellos = bench.hellos();
    assert_eq!(hellos.len(), 1);
    assert_eq!(hellos[0].server_name.as_deref(), Some("www.example.c"));
    assert_eq!((hellos[0].alpn.as_deref(), hellos[0].version), (Some("h2"), 0x0304));
    assert!(hellos[0].ja4.starts_with("t13d0204h2_"), "{}", hellos[0].ja4);
    assert_eq!(bench.notes.server_name.as_deref(), Some("www.example.c"));
    assert_eq!(bench.application(), Application::Tls);

    let [connection] = &*connections(&bench) else { panic!("not one connection") };
    assert_eq!(&*connection.history, "CsxkrnXGIti");
    assert_eq!(connection.progress, Progress::Established);
    assert_eq!((connection.version, connection.cipher, connection.group), (0x0303, Some(0xc02f), Some(29)));
    assert_eq!(connection.server_name.as_deref(), Some("Www.Example.C"), "as it was sent");
    assert_eq!((connection.client_protocols.len(), connection.server_protocols.len()), (2, 1));
    assert_eq!(connection.ja4, hellos[0].ja4);
    let ja3 = connection.ja3.as_ref().unwrap();
    assert_eq!(&*ja3.text, "771,4866-4865,0-16-13-43,,");
    assert_eq!(&*connection.ja3s.as_ref().unwrap().text, "771,49199,16");
    assert_eq!(connection.authorities[0].first("2.5.4.6"), Some("JP"));
    assert_eq!((connection.client_chain.len(), connection.server_chain.len()), (0, 2));
    assert!(connection.client_is_originator && !connection.resumed);
    assert_eq!((connection.after, bench.anomalies()), (Application::Unknown, vec![]));
}

#[test]
fn reads_a_certificate() {
    let read = x509::certificate(&certificate());
    assert_eq!(hex(&read.sha1), "854179049e5038e232dda8dc49b0f8020fc112a9");
    assert_eq!(hex(&read.sha256), "c263e9e9d8f4a862b703c133f6cc6ac388b13d6d37db3d0ef3dc3495f50b056d");
    let content = read.content.unwrap();
    assert_eq!((content.version, &*content.serial), (3, &[0, 0xa1, 0xb2, 0xc3][..]));
    assert_eq!(content.subject, content.issuer);
    assert_eq!(content.subject.first("2.5.4.10"), Some("Example, Inc."));
    assert_eq!((content.not_before, content.not_after), (1_795_342_711, 2_110_702_711));
    assert_eq!(&*content.signature_algorithm, "1.2.840.10045.4.3.2");
    assert_eq!((&*content.key.algorithm, content.key.bits), ("1.2.840.10045.2.1", 256));
    assert_eq!(content.key.curve.as_deref(), Some("1.2.840.10045.3.1.7"));
    assert_eq!((content.authority, content.path_len), (Some(true), Some(1)));
    assert_eq!(content.names.dns, ["www.example.org", "*.example.org"].map(Into::into).into());
    assert_eq!(content.names.ip, [IpAddr::from([192, 0, 2, 1])].into());
    assert_eq!((&*content.names.email[0], &*content.names.uri[0]), ("a@example.org", "https://example.org/"));
}

#[test]
fn no_cut_certificate_panics() {
    let whole = certificate();
    for n in 0..whole.len() {
        assert_eq!(x509::certificate(&whole[..n]).content, None, "{n}");
    }
}

#[test]
fn a_second_hello_follows_a_retry() {
    let mut retry = server_hello(b"", &[(43, b"\x03\x04"), (51, b"\0\x17")]);
    retry[6..38].copy_from_slice(&[
        0xcf, 0x21, 0xad, 0x74, 0xe5, 0x9a, 0x61, 0x11, 0xbe, 0x1d, 0x8c, 0x02, 0x1e, 0x65, 0xb8, 0x91, 0xc2,
        0xa2, 0x11, 0x16, 0x7a, 0xbb, 0x8c, 0x5e, 0x07, 0x9e, 0x09, 0xe2, 0xc8, 0xa8, 0x33, 0x9c,
    ]);
    let second = client_hello_with(b"", b"\x13\x01", &[(43, b"\x02\x03\x04"), (41, b"psk")]);
    let answer = server_hello(b"", &[(43, b"\x03\x04"), (41, b"\0\0"), (51, b"\0\x1d")]);
    let ccs = record(CHANGE_CIPHER_SPEC, b"\x01");
    let bench = run(&[
        (CLIENT, record(HANDSHAKE, &client_hello())),
        (SERVER, [record(HANDSHAKE, &retry), ccs.clone()].concat()),
        (CLIENT, [ccs, record(HANDSHAKE, &second)].concat()),
        (SERVER, [record(HANDSHAKE, &answer), record(APPLICATION_DATA, &[1; 90])].concat()),
        (CLIENT, record(APPLICATION_DATA, &[2; 50])),
    ]);
    let ja4s: Vec<_> = bench.hellos().into_iter().map(|hello| hello.ja4).collect();
    assert_eq!(ja4s.len(), 2);
    let [connection] = &*connections(&bench) else { panic!("not one connection") };
    assert_eq!(&*connection.history, "CjiICs");
    assert_eq!((&*connection.earlier_ja4, &connection.ja4), (&ja4s[..1], &ja4s[1]));
    assert_eq!((connection.version, connection.group), (0x0304, Some(29)));
    assert_eq!((connection.resumed, connection.progress), (true, Progress::Established));
}

#[test]
fn tells_a_resumed_session() {
    let ccs = |side| (side, record(CHANGE_CIPHER_SPEC, b"\x01"));
    let resumed = |hello: Vec<u8>, answer: Vec<u8>| {
        let hellos = [(CLIENT, record(HANDSHAKE, &hello)), (SERVER, record(HANDSHAKE, &answer))];
        let bench = run(&[&hellos[..], &[ccs(SERVER), ccs(CLIENT)]].concat());
        connections(&bench)[0].resumed
    };
    let ciphers = b"\xc0\x2f";
    let ticket = &[(35, &b"ticket"[..])];
    for (session, answer, with, expected) in [
        (&[7; 32][..], &[7; 32][..], &[][..], true),
        (&[7; 32], &[8; 32], &[], false),
        (&[0; 32], &[0; 32], &[], false),
        (b"", b"", &[], false),
        (b"", b"new", ticket, true),
    ] {
        let hello = client_hello_with(session, ciphers, with);
        assert_eq!(resumed(hello, server_hello(answer, &[])), expected, "{session:x?} {answer:x?}");
    }
    // TLS 1.3 returns the identifier in any case.
    let hello = client_hello_with(&[7; 32], ciphers, &[]);
    assert!(!resumed(hello, server_hello(&[7; 32], &[(43, b"\x03\x04")])));
}

#[test]
fn an_alert_in_the_clear_is_kept() {
    let bench = run(&[(CLIENT, record(HANDSHAKE, &client_hello())), (SERVER, record(ALERT, b"\x02\x28"))]);
    let [connection] = &*connections(&bench) else { panic!("not one connection") };
    assert_eq!((connection.alert, &*connection.history), (Some(40), "Cl"));
    assert_eq!(connection.progress, Progress::Offered);
}

#[test]
fn reads_hellos_of_the_second_version() {
    let mut hello = b"\x80\x2e\x01\x03\x01\x00\x15\x00\x00\x00\x10".to_vec();
    hello.extend(b"\0\0\x39\0\0\x38\0\0\x35\0\0\x16\0\0\x13\0\0\x0a\x07\0\xc0");
    hello.extend([0x33; 16]);
    let answer = message(SERVER_HELLO, &[&[3, 1][..], &[0; 32], &[0, 0, 0x35, 0]].concat());
    let bench = run(&[(CLIENT, hello.clone()), (SERVER, record(HANDSHAKE, &answer))]);
    let [connection] = &*connections(&bench) else { panic!("not one connection") };
    assert_eq!((&*connection.history, connection.version, connection.cipher), ("Cs", 0x0301, Some(0x35)));
    assert_eq!(&*connection.ja3.as_ref().unwrap().text, "769,57-56-53-22-19-10,,,");

    let answer = b"\x80\x10\x04\x00\x01\x00\x02\x00\x00\x00\x03\x00\x02\x07\x00\xc0id".to_vec();
    let bench = run(&[(CLIENT, hello), (SERVER, answer)]);
    assert_eq!(connections(&bench)[0].version, 2);
}

#[test]
fn a_cut_hello_gives_its_name_only() {
    let whole = record(HANDSHAKE, &client_hello());
    let mut named = 0;
    for cut in 6..whole.len() {
        let mut bench = to_port(session(), 443);
        bench.stream(CLIENT, &whole[..cut]);
        bench.lose(CLIENT, Some(10));
        bench.finish();
        for hello in bench.hellos() {
            assert_eq!((hello.server_name.as_deref(), &*hello.ja4), (Some("www.example.c"), ""));
            named += 1;
        }
    }
    assert!(named > 20, "{named}");
}

#[test]
fn goes_on_after_a_gap_where_records_begin() {
    let flights = handshake_1_2();
    let mut bench = to_port(session(), 443);
    bench.stream(CLIENT, &flights[0].1);
    bench.lose(SERVER, None);
    bench.stream(SERVER, b"the middle of a record");
    bench.stream(SERVER, &flights[6].1);
    bench.stream(CLIENT, &flights[3].1);
    bench.stream(CLIENT, &flights[4].1);
    bench.finish();
    let [connection] = &*connections(&bench) else { panic!("not one connection") };
    assert_eq!((&*connection.history, connection.progress), ("CiI", Progress::Established));

    // A gap within one record leaves the next one where it is.
    let mut bench = to_port(session(), 443);
    bench.stream(CLIENT, &flights[0].1);
    bench.stream(SERVER, &flights[1].1[..200]);
    let missing = u32::try_from(flights[1].1.len() - 200).unwrap();
    bench.lose(SERVER, Some(missing));
    bench.stream(SERVER, &record(ALERT, b"\x02\x28"));
    bench.finish();
    assert_eq!(connections(&bench)[0].alert, Some(40));
}

#[test]
fn says_what_the_flow_spoke_before() {
    let mut bench = to_port(session(), 25);
    bench.notes.applications[0] = Application::Smtp;
    bench.stream(CLIENT, &record(HANDSHAKE, &client_hello()));
    bench.finish();
    assert_eq!(connections(&bench)[0].after, Application::Smtp);
    assert_eq!(bench.notes.applications[..2], [Application::Smtp, Application::Tls]);
}

#[test]
fn a_heartbeat_that_reads_too_much_is_told_and_an_honest_one_is_not() {
    let hello = record(HANDSHAKE, &client_hello());
    let beat = |kind: u8, says: u16, bytes: usize| {
        record(HEARTBEAT, &[&[kind][..], &says.to_be_bytes(), &vec![0; bytes]].concat())
    };
    let honest = run(&[(CLIENT, hello.clone()), (CLIENT, beat(1, 8, 8 + 16)), (SERVER, beat(2, 8, 8 + 16))]);
    assert_eq!(honest.anomalies(), [""; 0]);
    // Without padding, so that the answer is longer: 16 bytes beyond the record are read.
    let bleeding = [(CLIENT, hello), (CLIENT, beat(1, 40, 40)), (SERVER, beat(2, 40, 40 + 16))];
    assert_eq!(run(&bleeding).anomalies(), ["exploit.heartbleed_request", "exploit.heartbleed_response"]);
}

#[test]
fn broken_records_and_messages_have_names() {
    let hello = record(HANDSHAKE, &client_hello());
    for (bytes, expected) in [
        (&b"\x63\x03\x03\0\x01x"[..], "INVALID_RECORD_TYPE"),
        (b"\x16\x09\x03\0\x01x", "INVALID_TLS_HEADER"),
        (b"\x16\x03\x03\xff\xffx", "INVALID_RECORD_LENGTH"),
        (b"\x16\x03\x03\0\x06\x02\0\0\x02\x03\x03", "INVALID_HANDSHAKE_MESSAGE"),
        (b"\x16\x03\x03\0\x0a\x0b\0\0\x06\0\0\x03\0\x09\0", "CERTIFICATE_INVALID_LENGTH"),
        (b"\x16\x03\x03\0\x0b\x0b\0\0\x07\0\0\x04\0\0\x01x", "CERTIFICATE_INVALID_DER"),
        (b"\x18\x03\x03\0\x03\x01\x40\0", "OVERFLOW_HEARTBEAT_MESSAGE"),
    ] {
        let bench = run(&[(CLIENT, hello.clone()), (SERVER, bytes.to_vec())]);
        let of_suricata: Vec<_> =
            bench.anomalies().into_iter().filter(|name| !name.starts_with("exploit.")).collect();
        assert_eq!(of_suricata, [expected], "{bytes:x?}");
        assert_eq!(connections(&bench).len(), 1);
    }
    let twice = [(0, &b"\0\x06\0\0\x03a.b"[..]), (0, b"\0\x06\0\0\x03c.d")];
    let bench = run(&[(CLIENT, record(HANDSHAKE, &client_hello_with(b"", b"\0\x0a", &twice)))]);
    assert_eq!(bench.anomalies(), ["MULTIPLE_SNI_EXTENSIONS"]);
    assert_eq!(bench.hellos()[0].server_name.as_deref(), Some("a.b"));
    // The cipher list claims more than the hello holds.
    let mut lie = client_hello();
    lie[4 + 2 + 32 + 1] = 0xff;
    let bench = run(&[(CLIENT, record(HANDSHAKE, &lie))]);
    assert_eq!((bench.anomalies(), bench.hellos()), (vec!["INVALID_HANDSHAKE_MESSAGE"], vec![]));
    assert_eq!(bench.malformed(), 1);
}

#[test]
fn probes_by_content() {
    for (bytes, port, expected) in [
        (&b"\x16\x03\x01\x02\x00\x01\x00"[..], 1, Guess::Yes),
        (b"\x16\x03\x03\x00\x7a\x02\x00", 1, Guess::Yes),
        (b"\x16", 1, Guess::More),
        (b"\x16\x03\x01\x02\x00", 1, Guess::More),
        (b"\x16\x03\x09", 1, Guess::No),
        (b"\x17\x03\x03\x00\x20", 1, Guess::No),
        (b"\x17\x03\x03\x00\x20", 443, Guess::Yes),
        (b"\x17\x03\x03\x00\x02ab\x15\x03\x03\x00\x01a", 1, Guess::Yes),
        (b"\x17\x03\x03\x00\x02ab\x15\x03\x03\x00\x02a", 1, Guess::No),
        (b"\x16\x03\x01\x02\x00\x0b", 1, Guess::No),
        (b"GET / HTTP/1.1", 443, Guess::No),
    ] {
        assert_eq!(recognise(&Hint::of_port(port), bytes), expected, "{bytes:x?}");
    }
}

#[test]
fn reads_a_handshake_over_datagrams() {
    let part = |kind: u8, sequence: u8, length: usize, offset: usize, bytes: &[u8]| {
        let number = |n: usize| u32::try_from(n).unwrap().to_be_bytes()[1..].to_vec();
        let numbers = [number(length), vec![0, sequence], number(offset), number(bytes.len())].concat();
        [&[kind], &*numbers, bytes].concat()
    };
    let record = |kind: u8, epoch: u8, fragment: &[u8]| {
        [&[kind, 0xfe, 0xfd, 0, epoch, 0, 0, 0, 0, 0, 0], &*length16(fragment)].concat()
    };
    let list = extensions(&[(0, b"\0\x06\0\0\x03a.b")]);
    let hello = [&[0xfe, 0xfd][..], &[0; 32], &[0, 1, b'c', 0, 2, 0xc0, 0x2b, 1, 0], &list].concat();
    let (one, two) = hello.split_at(20);
    let answer = [&[0xfe, 0xfd][..], &[0; 32], &[0, 0xc0, 0x2b, 0]].concat();
    let chain = length24(&length24(&certificate()));

    let mut bench = to_port(Session::default(), 4_444);
    bench.datagram(CLIENT, &record(HANDSHAKE, 0, &part(1, 0, hello.len(), 0, one)));
    bench.datagram(CLIENT, &record(HANDSHAKE, 0, &part(1, 0, hello.len(), 20, two)));
    let flight = [
        record(HANDSHAKE, 0, &part(2, 1, answer.len(), 0, &answer)),
        record(HANDSHAKE, 0, &part(11, 2, chain.len(), 0, &chain)),
        record(CHANGE_CIPHER_SPEC, 0, b"\x01"),
    ];
    bench.datagram(SERVER, &flight.concat());
    bench.datagram(CLIENT, &[record(CHANGE_CIPHER_SPEC, 0, b"\x01"), record(HANDSHAKE, 1, b"x")].concat());
    assert_eq!(bench.application(), Application::Dtls);
    assert!(bench.hellos()[0].ja4.starts_with("dd2d0101"), "{}", bench.hellos()[0].ja4);
    let [connection] = &*connections(&bench) else { panic!("not one connection") };
    assert_eq!((&*connection.history, connection.carrier), ("CsxiI", Carrier::Dtls));
    assert_eq!((connection.version, connection.server_chain.len()), (0xfefd, 1));
    assert_eq!(connection.progress, Progress::Established);
}

/// The worst that fits a direction: each must cost time in proportion to its bytes, and keep little.
#[test]
fn hostile_streams_are_read_in_linear_time() {
    const BYTES: usize = 4 << 20;
    let many = |piece: Vec<u8>| piece.repeat(BYTES / piece.len());
    let warnings = many(record(ALERT, b"\x01\x5a"));
    let empty_records = many(record(HANDSHAKE, b""));
    let requests = many(record(HANDSHAKE, &message(0, b"")));
    let one_byte_records: Vec<u8> =
        message(11, &vec![0; 200_000]).iter().flat_map(|byte| record(HANDSHAKE, &[*byte])).collect();
    let many_extensions = client_hello_with(b"", b"\0\x0a", &vec![(0x1234, &[][..]); 7_000]);
    let many_hellos = many(record(HANDSHAKE, &many_extensions[..]).split_at(0).1.to_vec());
    let empty_certificates = many(record(HANDSHAKE, &message(11, &length24(&length24(b"").repeat(1_000)))));
    for stream in [warnings, empty_records, requests, one_byte_records, many_hellos, empty_certificates] {
        for size in [1, 1_400, 65_536] {
            let mut bench = to_port(session(), 443);
            for piece in stream.chunks(size).take(2 << 20) {
                bench.stream(SERVER, piece);
            }
            bench.finish();
            for connection in connections(&bench) {
                assert!(connection.history.len() <= 101 && connection.client_chain.len() <= 16);
            }
            assert!(bench.hellos().len() <= 4);
        }
    }
}

/// A hello as a client might make it.
fn any_hello() -> impl Strategy<Value = Vec<u8>> {
    let name = proptest::option::of("[a-z]{1,20}\\.[a-z]{2,5}");
    let alpn = proptest::collection::vec("[ -~]{1,12}", 0..4);
    let others = proptest::collection::vec((100_u16..2_000, any::<Vec<u8>>()), 0..6);
    let ciphers = proptest::collection::vec(any::<u16>(), 0..40);
    let lists = proptest::collection::vec(any::<u16>(), 0..12);
    let session = proptest::collection::vec(any::<u8>(), 0..=32);
    (name, alpn, others, ciphers, lists, session).prop_map(|(name, alpn, others, ciphers, lists, session)| {
        let bytes = |list: &[u16]| list.iter().flat_map(|one| one.to_be_bytes()).collect::<Vec<_>>();
        let mut list: Vec<(u16, Vec<u8>)> = others;
        if let Some(name) = name {
            list.push((0, length16(&[&[0], &*length16(name.as_bytes())].concat())));
        }
        if !alpn.is_empty() {
            let each =
                alpn.iter().flat_map(|one| [&[u8::try_from(one.len()).unwrap()], one.as_bytes()].concat());
            list.push((16, length16(&each.collect::<Vec<_>>())));
        }
        list.push((10, length16(&bytes(&lists))));
        list.push((13, length16(&bytes(&lists))));
        let borrowed: Vec<(u16, &[u8])> = list.iter().map(|(kind, data)| (*kind, &**data)).collect();
        client_hello_with(&session, &bytes(&ciphers), &borrowed)
    })
}

proptest! {
    /// Records and segments may be cut anywhere: what is said stays the same.
    #[test]
    fn cuts_change_nothing(records in proptest::collection::vec(1_usize..300, 1..8), segments in 1_usize..80) {
        let flights = handshake_1_2();
        let cut = |(side, bytes): &(Side, Vec<u8>)| {
            // Only records of handshake messages may be cut further.
            if bytes[0] != HANDSHAKE || bytes[5] > 20 {
                return (*side, bytes.clone());
            }
            let mut fragment = Vec::new();
            let mut reader = Reader(bytes);
            while !reader.0.is_empty() {
                reader.take(3).unwrap();
                fragment.extend(reader.vec16().unwrap().0);
            }
            let (mut rest, mut out) = (&fragment[..], Vec::new());
            for size in records.iter().cycle() {
                let (piece, after) = rest.split_at((*size).min(rest.len()));
                out.extend(record(HANDSHAKE, piece));
                rest = after;
                if rest.is_empty() {
                    break;
                }
            }
            (*side, out)
        };
        let mut bench = to_port(session(), 443);
        for (side, bytes) in flights.iter().map(cut) {
            bytes.chunks(segments).for_each(|segment| {
                bench.stream(side, segment);
            });
        }
        bench.finish();
        let expected = run(&flights);
        prop_assert_eq!(connections(&bench), connections(&expected));
        prop_assert_eq!(bench.hellos(), expected.hellos());
    }

    /// Both parsers agree on every hello that can be made.
    #[test]
    fn agrees_with_tls_parser_on_hellos(hello in any_hello()) {
        let bytes = record(HANDSHAKE, &hello);
        let (_, parsed) = parse_tls_plaintext(&bytes).expect("a record");
        let [TlsMessage::Handshake(TlsMessageHandshake::ClientHello(theirs))] = &parsed.msg[..] else {
            return Err(TestCaseError::fail("no hello"));
        };
        let (ours, whole) = hello::ClientFields::read(&hello[HANDSHAKE_HEADER..], hello::Cookie::No);
        prop_assert!(whole);
        prop_assert_eq!(ours.legacy_version, theirs.version.0);
        prop_assert_eq!(ours.session, theirs.session_id.unwrap_or_default());
        let ciphers: Vec<u16> =
            theirs.ciphers.iter().map(|cipher| cipher.0).filter(|cipher| !hello::is_grease(*cipher)).collect();
        prop_assert_eq!(&ours.ciphers, &ciphers);
        let (_, extensions) = parse_tls_extensions(theirs.ext.unwrap_or_default()).expect("extensions");
        prop_assert_eq!(ours.extensions.len(), extensions.len());
        for extension in &extensions {
            if let TlsExtension::SNI(names) = extension {
                prop_assert_eq!(ours.server_name, names.first().map(|name| name.1));
            } else if let TlsExtension::ALPN(protocols) = extension {
                prop_assert_eq!(&ours.protocols, protocols);
            } else if let TlsExtension::EllipticCurves(groups) = extension {
                    let groups: Vec<u16> =
                        groups.iter().map(|group| group.0).filter(|group| !hello::is_grease(*group)).collect();
                    prop_assert_eq!(&ours.groups, &groups);
            } else if let TlsExtension::SignatureAlgorithms(list) = extension {
                    let list: Vec<u16> = list.iter().copied().filter(|one| !hello::is_grease(*one)).collect();
                    prop_assert_eq!(&ours.signature_algorithms, &list);
            }
        }
    }

    /// What tls-parser takes for the records of a stream we do too: neither finds more bytes of them than the other.
    #[test]
    fn agrees_with_tls_parser_on_records(list in proptest::collection::vec((20_u8..=24, 1_usize..400), 1..12)) {
        let bytes: Vec<u8> = list.iter().flat_map(|(kind, length)| record(*kind, &vec![0x77; *length])).collect();
        let (mut rest, mut theirs) = (&bytes[..], 0);
        while let Ok((after, _)) = tls_parser::parse_tls_raw_record(rest) {
            (rest, theirs) = (after, theirs + 1);
        }
        prop_assert_eq!(theirs, list.len());
        let mut bench = to_port(session(), 443);
        bench.stream(CLIENT, &bytes);
        bench.stream(CLIENT, b"\x99");
        bench.stream(CLIENT, b"\x03\x03\0\x01");
        // Had we lost our place, the broken record behind them would have been taken for something else.
        prop_assert_eq!(bench.anomalies().last().copied(), Some("INVALID_RECORD_TYPE"));
    }
}
