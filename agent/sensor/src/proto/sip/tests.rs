//! SIP in hand-checked and hostile bytes.

use super::*;
use crate::event::Transaction;
use crate::proto::bench::{Bench, C, S, play};

fn messages(played: &Bench) -> Vec<&SipMessage> {
    played.all(|one| if let Transaction::Sip(one) = one { Some(&**one) } else { None })
}

#[test]
fn reads_heads_in_pieces_of_any_size() {
    let turns: [(Side, &[u8]); 2] = [
        (C, b"INVITE sip:b@example.jp SIP/2.0\r\nFrom: <sip:a@example.jp>\r\nt: B\r\nContent-Length: 4\r\n\r\nv=0\n\r\n\r\nREGISTER sip:x SIP/2.0\r\n\r\n"),
        (S, b"SIP/2.0 180 Ringing now\r\nServer: s\r\nCall-ID: 7\r\n\r\n"),
    ];
    for piece in [100, 4096] {
        let played = play(5060, &turns, piece);
        let lines: Vec<&str> = messages(&played).iter().map(|one| &*one.line).collect();
        assert_eq!(
            lines,
            ["INVITE sip:b@example.jp SIP/2.0", "REGISTER sip:x SIP/2.0", "SIP/2.0 180 Ringing now"]
        );
        assert_eq!(messages(&played)[0].to.as_deref(), Some("B"));
        assert_eq!(
            messages(&played)[2].start,
            SipStart::Response { code: "180".into(), reason: "Ringing now".into() }
        );
        assert_eq!(messages(&played)[2].call_id.as_deref(), Some("7"));
    }
}

#[test]
fn tells_sip_from_rtsp_and_http() {
    for (bytes, expected) in [
        (&b"OPTIONS sip:x SIP/2.0\r\n"[..], Some(Application::Sip)),
        (b"OPTIONS rtsp://x RTSP/1.0\r\n", Some(Application::Rtsp)),
        (b"RTSP/1.0 200 OK\r\n", Some(Application::Rtsp)),
        (b"SIP/2.0 200 OK\r\n", Some(Application::Sip)),
        (b"INVITE someone\r\n", None),
    ] {
        assert_eq!(play(5060, &[(C, bytes)], 4096).applications().first().copied(), expected, "{bytes:?}");
    }
}

#[test]
fn hostile_input_costs_no_more_than_its_length() {
    let endless = [b"INVITE sip:x SIP/2.0\r\n".as_slice(), &b"a: b\r\n".repeat(50_000)].concat();
    let many = b"INVITE sip:x SIP/2.0\r\n\r\n".repeat(5_000);
    for (hostile, expected) in [(&endless, 0), (&many, 5_000)] {
        for piece in [64, 1460] {
            assert_eq!(messages(&play(5060, &[(C, hostile)], piece)).len(), expected);
        }
    }
}
