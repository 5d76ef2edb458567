//! DHT in hand-checked and hostile bytes.
#![expect(clippy::wildcard_enum_match_arm, reason = "a test looks for one kind and takes no other")]

use super::*;
use crate::event::Transaction;
use crate::proto::bench::Bench;

fn run(bytes: &[u8]) -> (Bench, Vec<DhtMessage>) {
    let mut bench = Bench::to(6881, 17);
    bench.datagram(Side::Originator, bytes);
    let all = bench.transactions().map(|one| match one {
        Transaction::Dht(message) => (**message).clone(),
        other => panic!("{other:?}"),
    });
    let all = all.collect();
    (bench, all)
}

#[test]
fn reads_questions() {
    let bytes =
        b"d1:ad2:id20:abcdefghij012345678912:implied_porti1e9:info_hash20:mnopqrstuvwxyz1234564:porti6881e\
        5:token8:aoeusnthe1:q13:announce_peer1:t2:aa1:v4:UT011:y1:qe";
    let (bench, all) = run(bytes);
    assert_eq!(bench.application(), Application::Dht);
    assert_eq!((&*all[0].transaction_id, all[0].client_version.as_deref()), (&b"aa"[..], Some(&b"UT01"[..])));
    let DhtBody::Request { name, arguments } = &all[0].body else { panic!("{all:?}") };
    assert_eq!((&**name, arguments.port, arguments.implied_port), ("announce_peer", Some(6881), Some(1)));
    assert_eq!(arguments.info_hash.as_deref(), Some(&b"mnopqrstuvwxyz123456"[..]));
    assert_eq!(arguments.token.as_deref(), Some(&b"aoeusnth"[..]));
}

#[test]
fn reads_answers() {
    let (_, all) = run(
        b"d1:rd2:id20:abcdefghij01234567895:nodes26:mnopqrstuvwxyz123456axje.u5:token1:x6:valuesl6:axje.u6:idhtnmee\
        1:t2:aa1:y1:re",
    );
    let DhtBody::Response(values) = &all[0].body else { panic!("{all:?}") };
    assert_eq!(
        values.values,
        ["97.120.106.101:11893".parse().unwrap(), "105.100.104.116:28269".parse().unwrap()]
    );
    assert_eq!(values.nodes[0].id, *b"mnopqrstuvwxyz123456");
    assert_eq!(values.nodes[0].address, "97.120.106.101:11893".parse().unwrap());
    let (_, all) = run(b"d1:eli201e23:A Generic Error Ocurrede1:t2:aa1:y1:ee");
    let expected = DhtBody::Error { number: 201, message: "A Generic Error Ocurred".into() };
    assert_eq!(all[0].body, expected);
}

#[test]
fn without_a_transaction_it_is_malformed_and_still_said() {
    let (bench, all) = run(b"d1:ad2:id20:abcdefghij0123456789e1:q4:ping1:y1:qe");
    assert_eq!((bench.anomalies(), bench.malformed()), (vec!["malformed_packet"], 1));
    assert!(all[0].transaction_id.is_empty());
}

#[test]
fn hostile_messages_are_bounded() {
    let begin = b"d1:ad2:id20:abcdefghij01234567891:x";
    let nested =
        [&begin[..], &b"l".repeat(30_000), &b"e".repeat(30_000), b"e1:q4:ping1:t1:a1:y1:qe"].concat();
    assert_eq!(run(&nested).0.malformed(), 1);
    let keys =
        [&b"d1:rd2:id20:abcdefghij0123456789"[..], &b"1:x0:".repeat(12_000), b"e1:t1:a1:y1:re"].concat();
    assert_eq!(run(&keys).0.malformed(), 1);
    let peers = b"6:axje.u".repeat(7_000);
    let peers = [&b"d1:rd2:id20:abcdefghij01234567896:valuesl"[..], &peers, b"ee1:t1:a1:y1:re"].concat();
    let (_, all) = run(&peers);
    let DhtBody::Response(values) = &all[0].body else { panic!("{all:?}") };
    assert_eq!(values.values.len(), ADDRESSES_MAX);
}

#[test]
fn other_dictionaries_are_left_alone() {
    for bytes in [&b"d8:announce3:urle"[..], b"d1:ad2:id20:abcdefghij0123456789e", b"d1:rd2:ip", b"", b"d"] {
        assert_eq!(probe(&Hint::of_port(6881), bytes), Guess::No, "{bytes:?}");
    }
}
