//! Tests of QUIC: the examples of RFC 9001, packets out of order, Retry, and what hostile ones cost.

use super::keys::tests::{seal, unhex};
use super::*;
use crate::event::Transaction;
use crate::event::tls::Progress;
use crate::proto::bench::Bench;

const CLIENT: Side = Side::Originator;
const SERVER: Side = Side::Responder;
const DESTINATION: [u8; 8] = [0x83, 0x94, 0xc8, 0xf0, 0x3e, 0x51, 0x57, 0x08];

/// RFC 9001, A.2: the CRYPTO frame of the client's first packet.
const CLIENT_FRAME: &str = "060040f1010000ed0303ebf8fa56f12939b9584a3896472ec40bb863cfd3e86804fe3a47f06a2b69484c\
    00000413011302010000c000000010000e00000b6578616d706c652e636f6dff01000100000a00080006001d00170018001000070005\
    04616c706e000500050100000000003300260024001d00209370b2c9caa47fbabaf4559fedba753de171fa71f50f1ce15d43e994ec74\
    d748002b0003020304000d0010000e0403050306030203080408050806002d00020101001c00024001003900320408ffffffffffffff\
    ff05048000ffff07048000ffff0801100104800075300901100f088394c8f03e51570806048000ffff";
/// A.3: the server's answer.
const SERVER_PACKET: &str = "cf000000010008f067a5502a4262b5004075c0d95a482cd0991cd25b0aac406a5816b6394100f37a1c69\
    797554780bb38cc5a99f5ede4cf73c3ec2493a1839b3dbcba3f6ea46c5b7684df3548e7ddeb9c3bf9c73cc3f3bded74b562bfb19fb84\
    022f8ef4cdd93795d77d06edbb7aaf2f58891850abbdca3d20398c276456cbc42158407dd074ee";

/// A client's Initial of `version` to `destination` with these frames, padded.
fn initial(version: u32, destination: &[u8], number: u32, frames: &[u8]) -> Vec<u8> {
    let scheme = Scheme::of(version).unwrap();
    let keys = Keys::derive(scheme, destination).unwrap();
    let length = u8::try_from(destination.len()).unwrap();
    let header = [&version.to_be_bytes()[..], &[length], destination, &[0, 0]].concat();
    let mut frames = frames.to_vec();
    frames.resize(frames.len().max(1_162), 0);
    seal(&keys.client, 0xc0 | scheme.initial << 4, &header, number, &frames)
}

fn crypto_frame(offset: u16, data: &[u8]) -> Vec<u8> {
    let length = u16::try_from(data.len()).unwrap();
    [&[6][..], &(offset | 0x4000).to_be_bytes(), &(length | 0x4000).to_be_bytes(), data].concat()
}

fn hello() -> Vec<u8> {
    unhex(CLIENT_FRAME)[4..].to_vec()
}

fn bench() -> Bench {
    Bench::to_port(443)
}

fn quic_hellos(bench: &Bench) -> Vec<QuicHello> {
    let hello = |one| if let Transaction::Quic(one) = one { Some(*one) } else { None };
    bench.transactions().cloned().filter_map(hello).collect()
}

#[test]
fn reads_the_example_of_the_standard() {
    let packet = initial(1, &DESTINATION, 2, &unhex(CLIENT_FRAME));
    assert_eq!(packet.len(), 1_200);
    assert!(packet.starts_with(&unhex("c000000001088394c8f03e5157080000449e7b9aec34d1b1c98dd7689fb8ec11")));
    let mut bench = bench();
    bench.datagram(CLIENT, &packet);
    bench.datagram(SERVER, &unhex(SERVER_PACKET));
    assert_eq!(bench.application(), Application::Quic);
    assert_eq!(bench.notes.server_name.as_deref(), Some("example.com"));
    let [detected] = &*bench.hellos() else { panic!("not one hello") };
    assert_eq!((detected.version, detected.alpn.as_deref()), (0x0304, Some("alpn")));
    assert!(detected.ja4.starts_with("q13d0211an_"), "{}", detected.ja4);

    let [client, server] = &*quic_hellos(&bench) else { panic!("not two hellos") };
    assert_eq!((client.version, client.is_client, client.from_originator), (1, true, true));
    let named: Vec<_> = client.extensions.iter().map(|one| (one.kind, one.values.len())).collect();
    assert_eq!(
        named,
        [(0, 1), (65_281, 0), (10, 0), (16, 1), (5, 0), (51, 0), (43, 1), (13, 7), (45, 0), (28, 0), (57, 0)]
    );
    assert!(!server.is_client && !server.from_originator && server.ja4.is_empty());

    let Some(Transaction::Tls(connection)) = bench.transactions().last() else { panic!("no connection") };
    assert_eq!((&*connection.history, connection.carrier), ("Cs", Carrier::Quic));
    assert_eq!((connection.version, connection.cipher, connection.group), (0x0304, Some(0x1301), Some(29)));
    assert_eq!(connection.progress, Progress::Answered);
    assert!(bench.is_opaque(), "nothing more to read");
}

#[test]
fn reads_every_version_that_has_keys() {
    for version in [1, 0x6b33_43cf, 0xff00_001d, 0xff00_001b, 0xface_b002, 0x5130_3530] {
        let mut bench = bench();
        bench.datagram(CLIENT, &initial(version, &DESTINATION, 0, &unhex(CLIENT_FRAME)));
        assert_eq!(bench.hellos().len(), 1, "{version:#x}");
        assert_eq!(quic_hellos(&bench)[0].version, version);
    }
}

#[test]
fn pieces_may_come_in_any_order_and_twice() {
    let hello = hello();
    let (first, second) = hello.split_at(100);
    let (second, third) = second.split_at(50);
    let packets = [
        initial(1, &DESTINATION, 0, &crypto_frame(150, third)),
        initial(
            1,
            &DESTINATION,
            1,
            &[crypto_frame(0, first), vec![1], crypto_frame(0, &first[..9])].concat(),
        ),
        initial(1, &DESTINATION, 2, &crypto_frame(100, second)),
    ];
    for order in [[0, 1, 2], [2, 1, 0], [1, 0, 2], [1, 2, 0]] {
        let mut bench = bench();
        for at in order {
            assert_eq!(bench.hellos().len(), 0, "{order:?}");
            bench.datagram(CLIENT, &packets[at]);
            if at != order[2] {
                bench.datagram(CLIENT, &packets[at]);
            }
        }
        assert_eq!(bench.hellos().len(), 1, "{order:?}");
    }
}

#[test]
fn packets_may_share_a_datagram() {
    let (first, second) = (&hello()[..100], &hello()[100..]);
    let one = initial(1, &DESTINATION, 0, &crypto_frame(0, first));
    let two = initial(1, &DESTINATION, 1, &crypto_frame(100, second));
    let mut bench = bench();
    bench.datagram(CLIENT, &[one, two].concat());
    assert_eq!(bench.hellos().len(), 1);
}

#[test]
fn a_retry_changes_the_keys() {
    let mut bench = bench();
    bench.datagram(CLIENT, &initial(1, &DESTINATION, 0, &unhex(CLIENT_FRAME)));
    let retry = [&unhex("f0000000010008f067a5502a4262b5")[..], &[0x55; 24]].concat();
    bench.datagram(SERVER, &retry);
    bench.datagram(CLIENT, &initial(1, &unhex("f067a5502a4262b5"), 1, &unhex(CLIENT_FRAME)));
    bench.finish();
    assert_eq!((bench.hellos().len(), quic_hellos(&bench).len()), (1, 2), "the same hello again");
    let Some(Transaction::Tls(connection)) = bench.transactions().last() else { panic!("no connection") };
    assert_eq!(&*connection.history, "CC");
}

#[test]
fn recognises_versions_without_keys() {
    let hint = Hint::of_port(443);
    let long = |version: u32| [&[0xc3][..], &version.to_be_bytes(), &[8], &[1; 8], &[0], &[9; 40]].concat();
    for (bytes, expected) in [
        (long(1), Guess::Yes),
        (long(u32::from_be_bytes(*b"T051")), Guess::Yes),
        (long(0xff00_0099), Guess::Yes),
        (long(0x1a2a_3a4a), Guess::Yes),
        (long(0x1234_5678), Guess::No),
        (b"\xc3Q046\x50abcdefgh\0\0\0\x01".to_vec(), Guess::Yes),
        (b"\x0d12345678Q039\x01".to_vec(), Guess::Yes),
        (b"\x43short header".to_vec(), Guess::No),
        (b"\xc0\0\0\0\x01\xff".to_vec(), Guess::No),
    ] {
        assert_eq!(recognise(&hint, &bytes), expected, "{bytes:x?}");
    }
}

#[test]
fn a_flow_costs_a_bounded_number_of_decryptions() {
    let mut bench = bench();
    for number in 0..1_000 {
        let mut packet = initial(1, &DESTINATION, number, &[1]);
        packet[900] ^= 1;
        bench.datagram(CLIENT, &packet);
    }
    assert!(bench.is_opaque());
}

#[test]
fn what_is_no_frame_is_an_anomaly() {
    let mut bench = bench();
    bench.datagram(CLIENT, &initial(1, &DESTINATION, 0, &[0x3f]));
    assert_eq!(bench.malformed(), 1);
}

#[test]
fn cut_packets_are_left_alone() {
    let packet = initial(1, &DESTINATION, 0, &unhex(CLIENT_FRAME));
    for n in 0..packet.len() {
        let mut bench = bench();
        bench.datagram(CLIENT, &packet[..n]);
        assert_eq!(bench.hellos().len(), 0, "{n}");
    }
}
