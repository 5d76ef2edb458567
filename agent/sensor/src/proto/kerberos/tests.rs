//! Messages made by hand after RFC 4120, 5; what tshark shows of such messages is what is expected here.

use super::{recognise_datagram, recognise_stream};
use crate::event::Transaction;
use crate::event::kerberos::{KerberosExchange, KerberosKind, encryption_name, error_name, is_weak};
use crate::proto::Side::{Originator, Responder};
use crate::proto::bench::Bench;
use crate::proto::{Guess, Hint};

/// An element.
fn tlv(tag: u8, content: &[u8]) -> Vec<u8> {
    let length = content.len();
    let head = match u8::try_from(length) {
        Ok(short) if short < 0x80 => vec![tag, short],
        _ => [&[tag, 0x84][..], &u32::try_from(length).unwrap().to_be_bytes()].concat(),
    };
    [&head[..], content].concat()
}

fn sequence(tag: u8, parts: &[Vec<u8>]) -> Vec<u8> {
    tlv(tag, &tlv(0x30, &parts.concat()))
}

fn number(field: u8, value: u8) -> Vec<u8> {
    tlv(field, &[2, 1, value])
}

fn string(text: &str) -> Vec<u8> {
    tlv(0x1b, text.as_bytes())
}

fn name(field: u8, components: &[&str]) -> Vec<u8> {
    let list = components.iter().map(|one| string(one)).collect::<Vec<_>>().concat();
    sequence(field, &[number(0xa0, 1), tlv(0xa1, &tlv(0x30, &list))])
}

fn request(kind: u8, client: Option<&str>, service: &[&str], preauth: Option<u8>) -> Vec<u8> {
    let mut body = vec![tlv(0xa0, &[3, 5, 0, 0x40, 0x81, 0, 0x10])];
    body.extend(client.map(|client| name(0xa1, &[client])));
    body.push(tlv(0xa2, &string("DOM.TEST")));
    body.push(name(0xa3, service));
    body.push(tlv(0xa5, &tlv(0x18, b"20370913024805Z")));
    body.push(number(0xa7, 9));
    body.push(tlv(0xa8, &tlv(0x30, &[2, 1, 18, 2, 1, 23, 2, 1, 0x80])));
    let mut parts = vec![number(0xa1, 5), number(0xa2, kind)];
    if let Some(preauth) = preauth {
        parts.push(tlv(0xa3, &sequence(0x30, &[number(0xa1, preauth), tlv(0xa2, &tlv(4, b"secret"))])));
    }
    parts.push(sequence(0xa4, &body));
    sequence(0x60 | kind, &parts)
}

fn encrypted(field: u8, kind: u8, bytes: usize) -> Vec<u8> {
    sequence(field, &[number(0xa0, kind), tlv(0xa2, &tlv(4, &vec![0x5a; bytes]))])
}

fn ticket(kind: u8, bytes: usize) -> Vec<u8> {
    let service = name(0xa2, &["cifs", "srv.dom.test"]);
    sequence(0x61, &[number(0xa0, 5), tlv(0xa1, &string("DOM.TEST")), service, encrypted(0xa3, kind, bytes)])
}

fn reply(kind: u8, bytes: usize) -> Vec<u8> {
    let parts = [
        number(0xa0, 5),
        number(0xa1, kind),
        tlv(0xa3, &string("DOM.TEST")),
        name(0xa4, &["ann"]),
        tlv(0xa5, &ticket(18, bytes)),
        encrypted(0xa6, 23, 10),
    ];
    sequence(0x60 | kind, &parts)
}

fn error(code: u8) -> Vec<u8> {
    let parts = [
        number(0xa0, 5),
        number(0xa1, 30),
        tlv(0xa4, &tlv(0x18, b"20260213203031Z")),
        number(0xa5, 1),
        number(0xa6, code),
        tlv(0xa9, &string("DOM.TEST")),
        name(0xaa, &["krbtgt", "DOM.TEST"]),
    ];
    sequence(0x7e, &parts)
}

fn marked(message: &[u8]) -> Vec<u8> {
    [&u32::try_from(message.len()).unwrap().to_be_bytes()[..], message].concat()
}

fn exchanges(bench: &Bench) -> Vec<KerberosExchange> {
    let all = bench.all(|one| if let Transaction::Kerberos(one) = one { Some(&**one) } else { None });
    all.into_iter().cloned().collect()
}

#[test]
fn a_request_says_who_asks_for_what() {
    let mut bench = Bench::to_port(88);
    bench.datagram(Originator, &request(10, Some("ann"), &["krbtgt", "DOM.TEST"], None)).finish();
    let all = exchanges(&bench);
    let request = all[0].request.as_ref().unwrap();
    assert_eq!(request.kind, KerberosKind::As);
    assert_eq!((request.client.as_deref(), request.realm.as_deref()), (Some("ann"), Some("DOM.TEST")));
    assert_eq!(request.service.as_deref(), Some("krbtgt/DOM.TEST"));
    assert_eq!(request.encryptions, [18, 23, -128]);
    assert_eq!(request.options, 0x4081_0010);
    assert_eq!(request.till.as_deref(), Some("20370913024805Z"));
    assert_eq!((request.renew_till.as_deref(), request.has_preauth), (None, false));
    assert_eq!(all[0].reply, None);
}

#[test]
fn preauthentication_is_noted() {
    for (kind, proves) in [(2, true), (16, true), (128, false), (149_u8, false)] {
        let mut bench = Bench::to_port(88);
        bench.datagram(Originator, &request(10, Some("ann"), &["krbtgt"], Some(kind))).finish();
        let all = exchanges(&bench);
        assert_eq!(all[0].request.as_ref().unwrap().has_preauth, proves, "{kind}");
    }
}

#[test]
fn a_reply_names_the_types_of_encryption() {
    let mut bench = Bench::to_port(88);
    bench.stream(Originator, &marked(&request(10, Some("ann"), &["krbtgt", "DOM.TEST"], Some(2))));
    bench.stream(Responder, &marked(&reply(11, 900)));
    let all = exchanges(&bench);
    let reply = all[0].reply.as_ref().unwrap();
    assert_eq!(reply.kind, Some(KerberosKind::As));
    assert_eq!((reply.encryption, reply.ticket_encryption), (Some(23), Some(18)));
    assert_eq!((reply.client.as_deref(), reply.service.as_deref()), (Some("ann"), Some("cifs/srv.dom.test")));
    assert!(all[0].request.is_some() && all[0].from_originator);
}

#[test]
fn an_error_ends_the_request() {
    let mut bench = Bench::to_port(88);
    bench.stream(Originator, &marked(&request(10, Some("ann"), &["krbtgt", "DOM.TEST"], None)));
    bench.stream(Responder, &marked(&error(25)));
    let all = exchanges(&bench);
    let reply = all[0].reply.as_ref().unwrap();
    assert_eq!(reply.error.and_then(error_name), Some("KDC_ERR_PREAUTH_REQUIRED"));
    assert_eq!((reply.kind, reply.realm.as_deref()), (None, None), "the realm of an error is the server's");
    assert_eq!(reply.service.as_deref(), Some("krbtgt/DOM.TEST"));
    assert_eq!(all[0].request.as_ref().map(|one| one.kind), Some(KerberosKind::As));
}

#[test]
fn a_request_for_a_service_does_not_name_the_client() {
    let mut bench = Bench::to_port(88);
    bench.stream(Originator, &marked(&request(12, None, &["host", "anything"], Some(1))));
    bench.stream(Responder, &marked(&reply(13, 10)));
    let all = exchanges(&bench);
    let request = all[0].request.as_ref().unwrap();
    assert_eq!((request.kind, request.client.as_deref()), (KerberosKind::Tgs, None));
    assert!(!request.has_preauth, "a ticket is no preauthentication");
    assert_eq!(all[0].reply.as_ref().unwrap().kind, Some(KerberosKind::Tgs));
}

#[test]
fn replies_find_their_requests() {
    let mut bench = Bench::to_port(88);
    bench.stream(Originator, &marked(&request(12, None, &["a"], None)));
    bench.stream(Originator, &marked(&request(10, Some("b"), &["b"], None)));
    bench.stream(Responder, &marked(&reply(11, 10))).stream(Responder, &marked(&reply(13, 10)));
    let all = exchanges(&bench);
    assert_eq!(all[0].request.as_ref().unwrap().service.as_deref(), Some("b"));
    assert_eq!(all[1].request.as_ref().unwrap().service.as_deref(), Some("a"));
}

#[test]
fn messages_may_share_a_segment_or_be_torn() {
    let one = marked(&request(10, Some("ann"), &["krbtgt", "DOM.TEST"], None));
    let two = marked(&request(12, None, &["krbtgt", "DOM.TEST"], None));
    let mut bench = Bench::to_port(88);
    bench.stream(Originator, &[&one[..], &two].concat()).finish();
    assert_eq!(exchanges(&bench).len(), 2);
    let mut bench = Bench::to_port(88);
    for byte in [&one[..], &two].concat() {
        bench.stream(Originator, &[byte]);
    }
    bench.finish();
    assert_eq!((exchanges(&bench).len(), bench.malformed()), (2, 0));
}

#[test]
fn a_reply_alone_is_said() {
    let mut bench = Bench::to_port(88);
    bench.stream(Responder, &marked(&error(6)));
    let all = exchanges(&bench);
    assert_eq!((all[0].request.is_none(), all[0].from_originator), (true, true));
}

#[test]
fn a_ticket_is_found_in_a_token() {
    let krb5 = tlv(6, &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x12, 1, 2, 2]);
    let parts =
        [number(0xa0, 5), number(0xa1, 14), tlv(0xa2, &[3, 5, 0, 0, 0, 0, 0]), tlv(0xa3, &ticket(23, 50))];
    let ap_req = sequence(0x6e, &parts);
    let token = tlv(0x60, &[&krb5[..], &[1, 0], &ap_req].concat());
    let spnego = tlv(6, &[0x2b, 6, 1, 5, 5, 2]);
    let init = sequence(0xa0, &[tlv(0xa0, &tlv(0x30, &krb5)), tlv(0xa2, &tlv(4, &token))]);
    let wrapped = tlv(0x60, &[spnego, init].concat());
    for token in [token, wrapped] {
        let ticket = super::ticket_in(&token).unwrap();
        assert_eq!((&*ticket.realm, ticket.service.len(), ticket.encryption), ("DOM.TEST", 2, 23));
        assert_eq!(&*ticket.service[1], "srv.dom.test");
    }
    assert_eq!(super::ticket_in(b"NTLMSSP\0"), None);
}

#[test]
fn old_encryption_is_weak() {
    assert!(is_weak(23) && is_weak(3) && is_weak(-128) && !is_weak(18) && !is_weak(17));
    assert_eq!(encryption_name(23), Some("rc4-hmac"));
    assert_eq!((encryption_name(99), error_name(999)), (None, None));
}

#[test]
fn what_is_none_is_not_recognised() {
    let hint = Hint::of_port(88);
    let message = request(10, Some("ann"), &["krbtgt"], None);
    assert_eq!(recognise_datagram(&hint, &message), Guess::Yes);
    assert_eq!(recognise_datagram(&hint, &message[..40]), Guess::No);
    let short = sequence(0x7e, &[number(0xa6, 25)]);
    assert_eq!(recognise_datagram(&hint, &short), Guess::Yes, "an error without a version");
    assert_eq!(recognise_datagram(&Hint::of_port(389), &short), Guess::No);
    assert_eq!(recognise_stream(&hint, &marked(&message)), Guess::Yes);
    assert_eq!(recognise_stream(&hint, &marked(&message)[..6]), Guess::More);
    assert_eq!(recognise_stream(&hint, b"\x00\x00\x00\x00"), Guess::No);
    assert_eq!(recognise_stream(&hint, b"GET / HTTP/1.1\r\n"), Guess::No);
    assert_eq!(recognise_stream(&Hint::of_port(53), b"\x00\x00"), Guess::No);
}

#[test]
fn broken_messages_are_counted() {
    let mut bench = Bench::to_port(88);
    let mut message = request(10, Some("ann"), &["krbtgt"], None);
    let at = message.windows(6).position(|window| window == b"krbtgt").unwrap();
    message[at - 1] = 0x70;
    bench.datagram(Originator, &message).finish();
    assert_eq!(
        (bench.malformed(), bench.anomalies(), exchanges(&bench).len()),
        (1, vec!["malformed_data"], 0)
    );
}

#[test]
fn large_and_many_messages_are_bounded() {
    let mut bench = Bench::to_port(88);
    bench.stream(Originator, &marked(&request(10, Some("ann"), &["krbtgt"], None)));
    for piece in marked(&reply(11, 500_000)).chunks(1460) {
        bench.stream(Responder, piece);
    }
    assert_eq!(bench.malformed(), 1, "a ticket of half a megabyte is none");
    bench.stream(Responder, &marked(&error(6)));
    assert_eq!(exchanges(&bench).len(), 1);
    for _ in 0..1000 {
        bench.stream(Originator, &marked(&request(10, Some("ann"), &["krbtgt"], None)));
    }
    assert_eq!(exchanges(&bench).len(), 1 + 1000 - 32);
}

proptest::proptest! {
    #[test]
    fn nothing_panics(at in 0_usize..200, byte: u8, piece in 1_usize..300) {
        let parts = [request(10, Some("a"), &["b"], Some(2)), reply(11, 9), error(6), request(12, None, &["c"], None)];
        let mut all = parts.map(|one| marked(&one)).concat();
        let at = at % all.len();
        all[at] = byte;
        Bench::to_port(88).torture(&all, piece);
        Bench::to_port(88).torture(&all, all.len());
    }
}
