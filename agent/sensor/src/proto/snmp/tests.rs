//! SNMP in hand-checked and hostile bytes.

use super::*;
use crate::event::Transaction;
use crate::proto::bench::Bench;

fn check(hex: &str) -> Option<SnmpMessage> {
    let digits = hex.as_bytes().chunks(2).map(|two| str::from_utf8(two).unwrap());
    let bytes: Vec<u8> = digits.map(|two| u8::from_str_radix(two, 16).unwrap()).collect();
    message(&bytes)
}

#[test]
fn reads_version_3() {
    let read = check(
        "3079020103301102045e857779020300ffe3040104020103042b3029041180001f8880468a3a41a3a51b5c0000000002010302\
         0124040a6e6f4175746855736572040004003034041180001f8880468a3a41a3a51b5c000000000400a51d020447a313c20201\
         0002010a300f300d06092b06010201190101000500",
    )
    .unwrap();
    assert_eq!((read.version, read.pdu_type), (3, Some("get_bulk_request")));
    assert_eq!(read.user.as_deref(), Some("noAuthUser"));
    assert_eq!(read.engine.as_deref().map(<[u8]>::len), Some(17));
    assert_eq!(*read.oids[0], *"1.3.6.1.2.1.25.1.1.0");
    assert_eq!(read.error_status, 0, "non-repeaters are no error");
}

#[test]
fn reads_versions_1_and_2c() {
    // A GetRequest of sysDescr.0 in version 2c, community "public".
    let get = "302602010104067075626c6963a019020400000001020100020100300b300906052b060102010500";
    let read = check(get).unwrap();
    assert_eq!((read.version, read.community), (2, Some(SnmpCommunity::Public)));
    assert_eq!((read.pdu_type, read.oids.len()), (Some("get_request"), 1));
    // A response of version 1 with noSuchName, community "secret".
    let read = check(
        "302602010004067365637265 74a219020400000001020102020101300b300906052b060102010500"
            .replace(' ', "")
            .as_str(),
    );
    let read = read.unwrap();
    assert_eq!((read.version, read.community, read.error_status), (1, Some(SnmpCommunity::Other), 2));
    assert!(!format!("{read:?}").contains("secret"), "a community is not kept");
    // linkDown of version 1.
    let read = check(
        "302e020100040770726976617465a42006062b06010401094004c0000201020102020100430164300730050601290500",
    );
    let read = read.unwrap();
    assert_eq!((read.community, read.pdu_type), (Some(SnmpCommunity::Private), Some("trap_v1")));
    assert_eq!((read.trap_oid.as_deref(), read.trap_type), (Some("1.3.6.1.4.1.9"), Some(2)));
}

#[test]
fn other_ber_is_not_snmp() {
    // LDAP bind, a version that does not exist, a PDU that does not exist, cut.
    for hex in [
        "300c020101600702010304008000",
        "302602010204067075626c6963a019020400000001020100020100300b300906052b060102010500",
        "302602010104067075626c6963b019020400000001020100020100300b300906052b060102010500",
        "302602010104067075626c6963",
        "3000",
        "",
    ] {
        assert_eq!(check(hex), None, "{hex}");
    }
}

#[test]
fn many_variables_are_bounded() {
    let variables = [0x30, 4, 6, 2, 0x2b, 6].repeat(9_000);
    let length = |n: usize| [0x83, 0, u8::try_from(n >> 8).unwrap(), u8::try_from(n & 0xff).unwrap()];
    let list = [&[0x30][..], &length(variables.len()), &variables].concat();
    let pdu = [&[2, 1, 1, 2, 1, 0, 2, 1, 0][..], &list].concat();
    let rest = [&[2, 1, 1, 4, 0, 0xa2][..], &length(pdu.len()), &pdu].concat();
    let bytes = [&[0x30][..], &length(rest.len()), &rest].concat();
    let mut bench = Bench::to(161, 17);
    bench.datagram(Side::Originator, &bytes).datagram(Side::Originator, b"\x30\0");
    let [Transaction::Snmp(read)] = bench.transactions().collect::<Vec<_>>()[..] else {
        panic!("one message")
    };
    assert_eq!(read.oids.len(), OIDS_MAX);
    assert_eq!((bench.malformed(), bench.anomalies()), (1, vec!["malformed_data"]));
}
