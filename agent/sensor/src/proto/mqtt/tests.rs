//! MQTT in hand-checked and hostile bytes.
#![expect(clippy::wildcard_enum_match_arm, reason = "a test looks for one kind and takes no other")]

use super::*;
use crate::event::Transaction;
use crate::event::mqtt::{MqttName, MqttValue};
use crate::proto::bench::Bench;

const CONNECT_4: &[u8] = b"\x10\x12\0\x04MQTT\x04\xc2\0\x3c\0\0\0\x01u\0\x01p";
const CONNECT_5: &[u8] = b"\x10\x13\0\x04MQTT\x05\x02\0\x3c\x03\x21\0\x14\0\x03abc";

fn messages(bench: &Bench) -> Vec<MqttMessage> {
    let messages = bench.transactions().map(|one| match one {
        Transaction::Mqtt(message) => (**message).clone(),
        other => panic!("{other:?}"),
    });
    messages.collect()
}

fn kinds(bench: &Bench) -> Vec<String> {
    let names = |message: &MqttMessage| {
        message.packets.iter().map(|packet| packet.kind.as_str()).collect::<Vec<_>>().join("+")
    };
    messages(bench).iter().map(names).collect()
}

/// Runs packets after a CONNECT; `>` is the client.
fn run(connect: &[u8], packets: &[(char, &[u8])]) -> Bench {
    let mut bench = Bench::to(1883, 6);
    bench.stream(Side::Originator, connect);
    for (side, bytes) in packets {
        bench.stream(if *side == '>' { Side::Originator } else { Side::Responder }, bytes);
    }
    bench.finish();
    bench
}

#[test]
fn groups_packets_into_transactions() {
    let bench = run(
        CONNECT_4,
        &[
            ('<', b"\x20\x02\0\0"),
            ('>', b"\x32\x06\0\x01t\0\x01m"),
            ('>', b"\x34\x06\0\x01t\0\x02m"),
            ('<', b"\x40\x02\0\x01"),
            ('<', b"\x50\x02\0\x02"),
            ('>', b"\x62\x02\0\x02"),
            ('<', b"\x70\x02\0\x02"),
            ('>', b"\x82\x06\0\x03\0\x01t\x01"),
            ('<', b"\x90\x03\0\x03\x01"),
            ('>', b"\xa2\x05\0\x04\0\x01t"),
            ('<', b"\xb0\x02\0\x04"),
            ('>', b"\xc0\0"),
            ('<', b"\xd0\0"),
            ('>', b"\x30\x04\0\x01tm"),
            ('>', b"\xe0\0"),
        ],
    );
    let expected = [
        "connect+connack",
        "publish+puback",
        "publish+pubrec+pubrel+pubcomp",
        "subscribe+suback",
        "unsubscribe+unsuback",
        "pingreq+pingresp",
        "publish",
        "disconnect",
    ];
    assert_eq!(kinds(&bench), expected);
    assert!(bench.anomalies().is_empty());
    assert_eq!(bench.application(), Application::Mqtt);
}

#[test]
fn the_same_identifier_of_the_other_side_is_another_transaction() {
    let publish = b"\x32\x06\0\x01t\0\x01m";
    let bench = run(CONNECT_4, &[('>', publish), ('<', publish), ('>', b"\x40\x02\0\x01")]);
    let of_server = messages(&bench).into_iter().find(|message| message.packets.len() == 2).unwrap();
    assert!(!of_server.packets[0].from_originator && of_server.packets[1].from_originator);
}

#[test]
fn reads_a_connect() {
    let all = messages(&run(CONNECT_4, &[]));
    let MqttBody::Connect(connect) = &all[0].packets[0].body else { panic!("{all:?}") };
    assert_eq!((&*connect.protocol, connect.version, connect.keep_alive), ("MQTT", 4, 60));
    assert_eq!(connect.username.as_deref(), Some("u"));
    assert!(connect.has_password() && connect.clean_session() && !connect.has_will());
    assert!(!format!("{all:?}").contains("\"p\""), "a password is not kept");
}

#[test]
fn reads_properties_of_version_5() {
    let bench = run(CONNECT_5, &[('>', b"\xe0\x08\x04\x06\x11\0\0\0\x7a\x01"), ('>', b"\xe0\0")]);
    let all = messages(&bench);
    let MqttBody::Reason { code, .. } = &all[0].packets[0].body else { panic!("{all:?}") };
    assert_eq!(*code, Some(0), "left out");
    let connect = all.iter().find_map(|one| match &one.packets[0].body {
        MqttBody::Connect(connect) => Some(connect),
        _ => None,
    });
    let property = &connect.unwrap().properties[0];
    assert_eq!(property.name, MqttName::Standard("receive_maximum"));
    assert_eq!(property.value, MqttValue::Number(20));
    assert_eq!(bench.malformed(), 1, "a property is cut");
}

#[test]
fn long_packets_are_skipped() {
    // 2 MiB are not read, 64 KiB only in front; what follows either is found again.
    let long = [&b"\x30\x80\x80\x80\x01\0\x01t"[..], &vec![b'm'; (2 << 20) - 3]].concat();
    let middle = [&b"\x30\x80\x80\x04\0\x01t"[..], &vec![b'm'; (64 << 10) - 3]].concat();
    let mut bench = Bench::to(1883, 6);
    bench.stream(Side::Originator, CONNECT_4);
    for segment in [long, middle].concat().chunks(1400) {
        bench.stream(Side::Originator, segment);
    }
    bench.stream(Side::Originator, b"\xe0\0").finish();
    let all = messages(&bench);
    assert_eq!(all[0].packets[0].body, MqttBody::Skipped { bytes: (2 << 20) + 5 });
    let MqttBody::Publish { message_bytes, .. } = all[1].packets[0].body else { panic!("{all:?}") };
    assert_eq!(message_bytes, (64 << 10) - 3);
    assert_eq!(kinds(&bench)[2], "disconnect");
}

#[test]
fn says_what_breaks_the_order() {
    let bench =
        run(CONNECT_4, &[('<', b"\x40\x02\0\x09"), ('>', CONNECT_4), ('>', b"\x36\x06\0\x01t\0\x01m")]);
    assert_eq!(bench.anomalies(), ["missing_publish", "double_connect", "invalid_qos_level"]);
    let bench = run(CONNECT_4, &[('>', b"\x00\x00"), ('>', b"\x30\xff\xff\xff\xff")]);
    assert_eq!(bench.anomalies(), ["unassigned_msg_type", "malformed_traffic"]);
}

#[test]
fn takes_up_again_after_a_gap() {
    let mut bench = Bench::to(1883, 6);
    bench.stream(Side::Originator, CONNECT_4).lose(Side::Originator, Some(1));
    bench
        .stream(Side::Originator, b"in the middle of something")
        .stream(Side::Originator, b"\xe0\0")
        .finish();
    assert_eq!(kinds(&bench), ["disconnect", "connect"]);
}

#[test]
fn is_known_by_its_connect() {
    let hint = Hint::of_port(80);
    assert_eq!(probe(&hint, CONNECT_5), Guess::Yes);
    assert_eq!(probe(&hint, b"\x10\x80\x02\0\x06MQIsdp\x03"), Guess::Yes);
    assert_eq!(probe(&hint, &CONNECT_4[..5]), Guess::More);
    assert_eq!(probe(&hint, b"\x10"), Guess::More);
    assert_eq!(probe(&hint, b"\x10\x12\0\x04HTTP"), Guess::No);
    assert_eq!(probe(&hint, b"\x10\xff\xff\xff\xff\xff\xff"), Guess::No);
    assert_eq!(probe(&hint, b"\x20\x02\0\0"), Guess::No);
}

/// Requests that are never answered, and packets full of properties and topics: bounded.
#[test]
fn floods_are_bounded() {
    let mut bench = Bench::to(1883, 6);
    bench.stream(Side::Originator, CONNECT_4);
    for id in 0..20_000_u16 {
        bench.stream(Side::Originator, &[&b"\x32\x05\0\x01t"[..], &id.to_be_bytes()].concat());
    }
    assert_eq!(bench.transactions().count(), 20_001 - PENDING_MAX);

    let property = b"\x26\0\x01a\0\x01b".repeat(2_300);
    let connect = [b"\x10\x92\x7e\0\x04MQTT\x05\x02\0\x3c\x84\x7e", &property[..], b"\0\0"].concat();
    let mut bench = Bench::to(1883, 6);
    bench.stream(Side::Originator, &connect[..5]).stream(Side::Originator, &connect[5..]).finish();
    assert!(matches!(messages(&bench)[0].packets[0].body, MqttBody::Skipped { .. }));

    let topics = b"\0\x01t\0".repeat(4_000);
    let subscribe = [b"\x82\x82\x7d\0\x01", &topics[..]].concat();
    let bench = run(CONNECT_4, &[('>', &subscribe)]);
    let all = messages(&bench);
    let MqttBody::Subscribe { topics, .. } = &all[1].packets[0].body else { panic!("{all:?}") };
    assert_eq!(topics.len(), 100);
}
