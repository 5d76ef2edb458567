//! DHCP in hand-checked and hostile bytes.
#![expect(clippy::wildcard_enum_match_arm, reason = "a test looks for one kind and takes no other")]

use super::*;
use crate::event::Transaction;
use crate::proto::bench::Bench;

/// A message of a client or server with these options.
fn bytes(operation: u8, options: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0; HEADER];
    bytes[..8].copy_from_slice(&[operation, 1, 6, 0, 0xef, 0x64, 0x57, 0x44]);
    bytes[12..24].copy_from_slice(&[10, 16, 1, 4, 10, 16, 1, 4, 10, 16, 1, 1]);
    bytes[28..34].copy_from_slice(&[0, 0x11, 0x32, 0x17, 0x49, 0xf0]);
    [&bytes[..], &COOKIE, options].concat()
}

fn read(bytes: &[u8]) -> (Bench, Vec<DhcpMessage>) {
    let mut bench = Bench::to(67, 17);
    bench.datagram(Side::Originator, bytes);
    let all = bench.transactions().map(|one| match one {
        Transaction::Dhcp(message) => (**message).clone(),
        other => panic!("{other:?}"),
    });
    let all = all.collect();
    (bench, all)
}

#[test]
fn reads_an_acknowledgement() {
    let options =
        b"\x35\x01\x05\x36\x04\x0a\x10\x01\x01\x33\x04\0\0\x0e\x10\x3a\x04\0\0\x06\x91\x01\x04\xff\xff\0\0\
        \0\0\x06\x08\x0a\x10\x01\x01\x08\x08\x08\x08\x0c\x05nas1\0\x03\x04\x0a\x10\x01\x01\xff";
    let (bench, all) = read(&bytes(2, options));
    let one = &all[0];
    assert!(one.is_reply && one.from_originator);
    assert_eq!((one.id, one.kind_name()), (4_016_330_564, Some("ack")));
    assert_eq!(one.client_mac, [0, 0x11, 0x32, 0x17, 0x49, 0xf0]);
    assert_eq!(one.assigned_ip, Some(Ipv4Addr::new(10, 16, 1, 4)));
    assert_eq!(one.next_server_ip, Some(Ipv4Addr::new(10, 16, 1, 1)));
    assert_eq!((one.lease_time, one.renewal_time), (Some(3600), Some(1681)));
    assert_eq!(one.subnet_mask, Some(Ipv4Addr::new(255, 255, 0, 0)));
    assert_eq!(one.dns_servers, [Ipv4Addr::new(10, 16, 1, 1), Ipv4Addr::new(8, 8, 8, 8)]);
    assert_eq!(one.host_name.as_deref(), Some(&b"nas1\0"[..]));
    assert_eq!((bench.malformed(), bench.application()), (0, Application::Dhcp));
}

#[test]
fn reads_a_discover() {
    let options = b"\x35\x01\x01\x3d\x07\x01\0\x11\x32\x17\x49\xf0\x32\x04\x0a\0\0\x05\x3c\x08MSFT 5.0\x37\x03\x01\x0f\x03\
        \x51\x05\0\0\0pc\xff";
    let one = &read(&bytes(1, options)).1[0];
    assert_eq!((one.is_reply, one.kind_name()), (false, Some("discover")));
    assert_eq!(one.requested_ip, Some(Ipv4Addr::new(10, 0, 0, 5)));
    assert_eq!(one.vendor_class.as_deref(), Some(&b"MSFT 5.0"[..]));
    assert_eq!(one.client_fqdn.as_deref(), Some(&b"pc"[..]));
    assert_eq!(*one.params, [1, 15, 3]);
    assert_eq!(*one.options, [53, 61, 50, 60, 55, 81]);
    assert_eq!(one.client_id.as_deref(), Some(&b"\x01\0\x11\x32\x17\x49\xf0"[..]));
}

#[test]
fn broken_options_are_said() {
    let (bench, all) = read(&bytes(1, b"\x35\x01\x01\x0c\xffab"));
    assert_eq!((all.len(), bench.malformed()), (1, 1));
    assert_eq!((all[0].kind, bench.anomalies()), (Some(1), vec!["malformed_options"]));
    // Without an end (RFC 2131, 4.1 asks for one; many leave it out).
    assert_eq!(read(&bytes(1, b"\x35\x01\x01")).0.malformed(), 0);
}

#[test]
fn floods_of_options_are_bounded() {
    let (_, all) = read(&bytes(1, &b"\x35\x01\x03".repeat(20_000)));
    assert_eq!(all[0].kind, Some(3));
    let (_, all) = read(&bytes(1, &[&b"\x06\xfc"[..], &[8; 252], &[0; 60_000]].concat()));
    assert_eq!(all[0].dns_servers.len(), ADDRESSES_MAX);
}

#[test]
fn is_known_by_its_cookie() {
    let hint = Hint::of_port(4011);
    assert_eq!(probe(&hint, &bytes(1, b"")), Guess::Yes);
    assert_eq!(probe(&hint, &bytes(3, b"")), Guess::No);
    assert_eq!(probe(&hint, &bytes(1, b"")[..239]), Guess::No);
    assert_eq!(probe(&hint, b""), Guess::No);
}

#[test]
fn knows_version_6() {
    let solicit =
        b"\x01\x08\x74\x28\0\x01\0\x0e\0\x01\0\x01\x1c\x39\xcf\x88\x08\0\x27\xfe\x8f\x95\0\x06\0\x02\0\x17";
    assert_eq!(probe_v6(&Hint::of_port(547), solicit), Guess::Yes);
    assert_eq!(probe_v6(&Hint::of_port(548), solicit), Guess::No);
    assert_eq!(probe_v6(&Hint::of_port(547), &solicit[..12]), Guess::No, "its first option is cut");
    assert_eq!(probe_v6(&Hint::of_port(547), b"\x63\0\0\0\0\x01\0\0"), Guess::No);
}
