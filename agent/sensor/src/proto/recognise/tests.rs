//! Protocols that are only recognised: what is and, next to it, what is not.

use super::*;
use crate::proto::Side;
use crate::proto::bench::Bench;

fn stream(port: u16, segments: &[&[u8]]) -> Application {
    let mut bench = Bench::to(port, 6);
    for (nth, bytes) in segments.iter().enumerate() {
        bench.stream(if nth % 2 == 0 { Side::Originator } else { Side::Responder }, bytes);
    }
    bench.application()
}

fn datagram(port: u16, datagrams: &[&[u8]]) -> Application {
    let mut bench = Bench::to(port, 17);
    for (nth, bytes) in datagrams.iter().enumerate() {
        bench.datagram(if nth % 2 == 0 { Side::Originator } else { Side::Responder }, bytes);
    }
    bench.application()
}

#[test]
fn streams() {
    use Application as A;
    for (port, segments, expected) in [
        (6881, &[&b"\x13BitTorrent protocol\0\0\0\0\0\x10\0\x05"[..]][..], A::BitTorrent),
        (5900, &[b"RFB 003.008\n"], A::Vnc),
        (5432, &[b"\0\0\0\x08\x04\xd2\x16\x2f"], A::Postgres),
        (5433, &[b"\0\0\0\x13\0\x03\0\0user\0pg\0\0abc"], A::Postgres),
        (5432, &[b"\0\0\0\x13\0\x03\0\0name\0pg\0\0abc"], A::Unknown),
        (3306, &[b"", b"\x10\0\0\0\x0a8.0.36\0\x0c\0\0\0\x31\x74\x75\x67"], A::Mysql),
        (3306, &[b"", b"\x11\0\0\0\x0a8.0.36\0\x0c\0\0\0\x31\x74\x75\x67"], A::Unknown),
        (3333, &[b"{\"id\":1,\"method\":\"mining.subscribe\",\"params\":[\"x\"]}\n"], A::Stratum),
        (3333, &[b"{\"id\":1,\"method\":\"login\",\"params\":{\"login\":\"x\",\"pass\":\"y\"}}\n"], A::Stratum),
        (3333, &[b"{\"id\":1,\"method\":\"subscribe\"}\n"], A::Unknown),
        (1080, &[b"\x05\x02\0\x02", b"\x05\0"], A::Socks),
        (1080, &[b"\x05\x01\0", b"\x05\x09"], A::Unknown),
        (1080, &[b"\x04\x01\0\x50\xc0\0\x02\x01me\0", b"\0\x5a\0\0\0\0\0\0"], A::Socks),
        (8009, &[b"\x12\x34\0\x01\x0a"], A::Ajp),
        (8009, &[b"\x12\x34\0\x02\x0a"], A::Unknown),
        (2404, &[b"\x68\x04\x07\0\0\0"], A::Iec104),
        (1194, &[b"\0\x0e\x38\x50\x7a\x28\xa7\x82\x75\x78\x8d\0\0\0\0\0"], A::OpenVpn),
        (1194, &[b"\0\x0e\x38\x50\x7a\x28\xa7\x82\x75\x78\x8d\0\0\0\0\x01"], A::Unknown),
        (5938, &[b"\x17\x24\x0a\x20\0"], A::TeamViewer),
        (9000, &[b"\x17\x24\x0a\x20\0", b"\x11\x30\x36\0"], A::TeamViewer),
        (9000, &[b"\x17\x24\x0a\x20\0"], A::Unknown),
        (443, &[b"\x17\x03\x03\0\x02ab\x15\x03\x03\0\x01x"], A::Tls),
        (5222, &[b"<presence to='a@b'/>"], A::Xmpp),
        (27_017, &[b"\x3b\0\0\0\0\0\0\0\0\0\0\0\xd4\x07\0\0\0\0\0\0abtest.$cmd\0\0\0\0\0\xff\xff\xff\xff\x13\0\0\0\x01\
            getnonce\0\x01\0\0\0\0"], A::MongoDb),
    ] {
        assert_eq!(stream(port, segments), expected, "{segments:?}");
    }
}

#[test]
fn datagrams() {
    use Application as A;
    let initiation = [&[1, 0, 0, 0][..], &[7; 144]].concat();
    let radius = [&[1, 7, 0, 26][..], &[0; 16], &[1, 6, b'u', b's', b'e', b'r']].concat();
    for (port, datagrams, expected) in [
        (51_820, &[&initiation[..]][..], A::WireGuard),
        (51_820, &[&initiation[..147]], A::Unknown),
        (1194, &[b"\x38\x39\xfd\xed\x2d\xaa\x10\xa4\x37\0\0\0\0\0"], A::OpenVpn),
        (3478, &[b"\0\x01\0\0\x21\x12\xa4\x42SCdK61tjZWfk"], A::Stun),
        (3478, &[b"\0\x01\0\x04\x21\x12\xa4\x42SCdK61tjZWfk"], A::Unknown),
        (1900, &[b"M-SEARCH * HTTP/1.1\r\nST: ssdp:all\r\n\r\n"], A::Ssdp),
        (50_000, &[b"HTTP/1.1 200 OK\r\nST: upnp:rootdevice\r\n\r\n"], A::Ssdp),
        (50_000, &[b"HTTP/1.1 200 OK\r\n\r\n"], A::Unknown),
        (1812, &[&radius], A::Radius),
        (1811, &[&radius], A::Unknown),
        (1812, &[&radius[..25]], A::Unknown),
        (427, &[b"\x02\x09\0\0\x1d\0\0\0\0\0\x9d\xf6\0\x02en\0\0\xff\xff\0\x07DEFAULT"], A::Slp),
        (138, &[b"\x11\x0a\x2e\x43\xc0\0\x02\x01\0\x8a\0\xe6"], A::NbDatagram),
        (138, &[b"\x11\x0a\x2e\x43\xc0\0\x02\x03\0\x8a\0\xe6"], A::Unknown),
        (6771, &[b"BT-SEARCH * HTTP/1.1\r\nHost: x\r\n"], A::BitTorrent),
        (80, &[b"\0\0\x04\x17\x27\x10\x19\x80\0\0\0\0abcd"], A::BitTorrent),
        (9999, &[b"\x41\0\x12\x34\0\0\0\0\0\0\0\0\0\x10\0\0\0\x01\0\0"], A::BitTorrent),
        (9999, &[b"\x41\0\x12\x34\0\0\0\0\0\0\0\0\0\x10\0\0\0\x02\0\0"], A::Unknown),
        (443, &[b"\x0d\x49\xbe\xe2\xd3\xf0\xed\xcc\xd6Q025\x01\xd8"], A::Quic),
        (443, &[b"\xc3Q046\x50\xd1\xa3\xab"], A::Quic),
        (443, &[b"\x16\xfe\xff\0\0\0\0\0\0\0\0\0\x02\x01\0"], A::Dtls),
        (443, &[b"\x16\xfe\xff\0\0\0\0\0\0\0\0\0\x03\x01\0"], A::Unknown),
    ] {
        assert_eq!(datagram(port, datagrams), expected, "{datagrams:?}");
    }
}

#[test]
fn ike_by_form() {
    let sa_init = [&[9; 8][..], &[0; 8], &[0x21, 0x20, 34, 8, 0, 0, 0, 0, 0, 0, 0, 32, 1, 2, 3, 4]].concat();
    let behind_nat = [&[0; 4][..], &sa_init].concat();
    assert_eq!(datagram(500, &[&sa_init]), Application::Ike);
    assert_eq!(datagram(4500, &[&behind_nat]), Application::Ike);
    assert_eq!(datagram(501, &[&sa_init]), Application::Unknown);
    assert_eq!(datagram(500, &[&sa_init[..31]]), Application::Unknown);
}

#[test]
fn openvpn_with_hmacs() {
    for hmac in [16, 20, 28, 32, 48, 64] {
        let reset = |operation: u8, tail: &[u8]| {
            [&[operation][..], &[7; 8], &vec![0xaa; hmac], &[0, 0, 0, 1, 0x60, 0, 0, 0], tail].concat()
        };
        let server = [&[1, 0, 0, 0, 0][..], &[8; 8], &[0; 4]].concat();
        assert_eq!(datagram(443, &[&reset(0x38, &[0; 5])]), Application::OpenVpn, "{hmac}");
        assert_eq!(datagram(443, &[&reset(0x40, &server)]), Application::OpenVpn, "{hmac}");
        assert_ne!(datagram(443, &[&reset(0x39, &[0; 5])]), Application::OpenVpn, "{hmac}");
    }
}

#[test]
fn wireguard_under_way_needs_both_sides() {
    let data = [&[4, 0, 0, 0][..], &[7; 60]].concat();
    assert_eq!(datagram(51_820, &[&data]), Application::Unknown);
    assert_eq!(datagram(51_820, &[&data, &data]), Application::WireGuard);
}

#[test]
fn what_server_names_give_away() {
    for (name, expected) in [
        ("relay-3185a847.net.anydesk.com", Some(Application::AnyDesk)),
        ("router7.teamviewer.com", Some(Application::TeamViewer)),
        ("www.xt3c4bqd6kzfw.com", Some(Application::Tor)),
        ("www.facebook.com", None),
        ("www.city-of-x2.net", None),
        ("www.example.com", None),
        ("www.3rdpartylogistics.com", None),
        ("notanydesk.com", None),
        ("", None),
    ] {
        assert_eq!(of_server_name(name, false), expected, "{name}");
    }
    assert_eq!(of_server_name("www.xt3c4bqd6kzfw.com", true), None, "Tor asks for no protocols");
}

#[test]
fn a_mismatch_is_said_once() {
    let mut bench = Bench::to(443, 6);
    bench.stream(Side::Originator, b"RFB 003.008\n").stream(Side::Responder, b"RFB 003.008\n");
    assert_eq!(bench.anomalies(), ["protocol.mismatch"]);
    assert!(Bench::to(5900, 6).stream(Side::Originator, b"RFB 003.008\n").anomalies().is_empty());
}
