//! Messages made by hand after RFC 4511, 4; what tshark shows of such messages is what is expected here.

use super::{filter, recognise_datagram, recognise_stream};
use crate::event::Transaction;
use crate::event::ldap::{LdapMechanism, LdapOperation, LdapRequest, LdapResponseKind, result_name};
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

fn text(text: &str) -> Vec<u8> {
    tlv(4, text.as_bytes())
}

fn message(number: u8, tag: u8, parts: &[Vec<u8>]) -> Vec<u8> {
    tlv(0x30, &[vec![2, 1, number], tlv(tag, &parts.concat())].concat())
}

fn result(number: u8, tag: u8, code: u8) -> Vec<u8> {
    message(number, tag, &[vec![10, 1, code], text(""), text("")])
}

fn attribute(name: &str, values: &[&str]) -> Vec<u8> {
    let values = values.iter().map(|value| text(value)).collect::<Vec<_>>().concat();
    tlv(0x30, &[text(name), tlv(0x31, &values)].concat())
}

fn search(number: u8, filter: &[u8]) -> Vec<u8> {
    let limits = vec![10, 1, 2, 10, 1, 0, 2, 1, 5, 2, 1, 30, 1, 1, 0];
    message(number, 0x63, &[text("dc=dom,dc=test"), limits, filter.to_vec(), tlv(0x30, &text("cn"))])
}

fn operations(bench: &Bench) -> Vec<LdapOperation> {
    let all = bench.all(|one| if let Transaction::Ldap(one) = one { Some(&**one) } else { None });
    all.into_iter().cloned().collect()
}

#[test]
fn a_password_is_never_kept() {
    let mut bench = Bench::to_port(389);
    let bind = message(1, 0x60, &[vec![2, 1, 3], text("cn=admin"), tlv(0x80, b"hunter2")]);
    bench.stream(Originator, &bind).stream(Responder, &result(1, 0x61, 49));
    let add = [
        text("cn=x"),
        tlv(0x30, &[attribute("cn", &["x"]), attribute("userPassword", &["hunter2"])].concat()),
    ];
    bench.stream(Originator, &message(2, 0x68, &add)).finish();
    let all = operations(&bench);
    let mechanism = LdapMechanism::Simple { is_empty: false };
    assert_eq!(all[0].request, Some(LdapRequest::Bind { version: 3, name: "cn=admin".into(), mechanism }));
    let result = all[0].responses[0].result.as_ref().unwrap();
    assert_eq!(result_name(result.code), Some("invalid_credentials"));
    let Some(LdapRequest::Add { attributes, .. }) = &all[1].request else { panic!("{all:?}") };
    assert_eq!((attributes[0].values.len(), attributes[1].values.len()), (1, 0));
    assert!(!format!("{all:?}").contains("hunter2"));
}

#[test]
fn a_search_has_its_entries_and_its_end() {
    let mut bench = Bench::to_port(3268);
    bench.stream(Originator, &search(7, &tlv(0x87, b"objectClass")));
    let entry = [text("cn=ann"), tlv(0x30, &attribute("cn", &["ann", "Ann"]))];
    bench.stream(Responder, &message(7, 0x64, &entry));
    assert!(operations(&bench).is_empty());
    bench.stream(Responder, &result(7, 0x65, 0));
    let all = operations(&bench);
    let Some(LdapRequest::Search(search)) = &all[0].request else { panic!("{all:?}") };
    assert_eq!((&*search.base, search.scope, search.deref), ("dc=dom,dc=test", 2, 0));
    assert_eq!((search.size_limit, search.time_limit, search.types_only), (5, 30, false));
    assert_eq!((&*search.filter, &*search.attributes), ("(objectClass=*)", &["cn".into()][..]));
    assert_eq!(all[0].responses[0].attributes[0].values.len(), 2);
    assert_eq!((&*all[0].responses[0].name, all[0].response_count), ("cn=ann", 2));
    assert_eq!(all[0].responses[1].kind, LdapResponseKind::SearchDone);
}

#[test]
fn changes_are_read() {
    let change = |operation: u8, name: &str, value: &str| {
        tlv(0x30, &[vec![10, 1, operation], attribute(name, &[value])].concat())
    };
    let changes = tlv(0x30, &[change(1, "givenName", "John"), change(2, "unicodePwd", "s3cret")].concat());
    let mut bench = Bench::to_port(389);
    bench
        .stream(Originator, &message(2, 0x66, &[text("uid=j"), changes]))
        .stream(Responder, &result(2, 0x67, 0));
    let delete = tlv(0x30, &[vec![2, 1, 3], tlv(0x4a, b"uid=j")].concat());
    bench.stream(Originator, &delete).stream(Responder, &result(3, 0x6b, 32));
    bench.stream(Originator, &message(4, 0x6c, &[text("uid=j"), text("uid=k"), vec![1, 1, 0xff]]));
    bench.stream(
        Originator,
        &message(5, 0x6e, &[text("uid=j"), tlv(0x30, &[text("cn"), text("J")].concat())]),
    );
    bench
        .stream(Originator, &tlv(0x30, &[2, 1, 6, 0x50, 1, 5]))
        .stream(Originator, &[0x30, 5, 2, 1, 7, 0x42, 0]);
    bench.finish();
    let all = operations(&bench);
    let Some(LdapRequest::Modify { changes, .. }) = &all[0].request else { panic!("{all:?}") };
    assert_eq!((changes[0].operation, &*changes[0].attribute.name), (1, "givenName"));
    assert!(changes[1].attribute.values.is_empty());
    assert_eq!(all[1].request, Some(LdapRequest::Delete { entry: "uid=j".into() }));
    assert_eq!(all[2].request, Some(LdapRequest::Abandon { message: 5 }));
    assert_eq!(all[3].request, Some(LdapRequest::Unbind));
    assert!(matches!(all[4].request, Some(LdapRequest::ModifyDn { delete_old_rdn: true, .. })));
    assert!(matches!(all[5].request, Some(LdapRequest::Compare { .. })));
    assert_eq!(bench.malformed(), 0);
}

#[test]
fn start_tls_hands_over() {
    let mut bench = Bench::to_port(389);
    bench.stream(Originator, &message(1, 0x77, &[tlv(0x80, b"1.3.6.1.4.1.1466.20037")]));
    bench.stream(Responder, &result(1, 0x78, 0));
    assert_eq!(operations(&bench).len(), 1);
    // The beginning of a ClientHello, which is no LDAP.
    bench.stream(Originator, b"\x16\x03\x01\0\x40\x01\0\0\x3c\x03\x03");
    assert_eq!(bench.malformed(), 0, "TLS reads now");
}

#[test]
fn sealed_messages_are_stepped_over() {
    let mut bench = Bench::to_port(389);
    let sasl = tlv(0xa3, &[text("GSS-SPNEGO"), text("token")].concat());
    bench.stream(Originator, &message(1, 0x60, &[vec![2, 1, 3], text(""), sasl]));
    bench.stream(Responder, &result(1, 0x61, 0));
    bench
        .stream(Originator, b"\x00\x00\x00\x05\x05\x04\x06\xff\x00")
        .stream(Originator, &[0x30, 5, 2, 1, 7, 0x42, 0]);
    let all = operations(&bench);
    let Some(LdapRequest::Bind { mechanism, .. }) = &all[0].request else { panic!("{all:?}") };
    assert_eq!(*mechanism, LdapMechanism::Sasl { name: "GSS-SPNEGO".into() });
    assert_eq!((all.len(), bench.malformed()), (2, 0));
}

#[test]
fn signed_messages_are_read() {
    let signed = |message: &[u8]| {
        let length = u32::try_from(16 + 12 + message.len()).unwrap().to_be_bytes();
        [&length[..], &[5, 4, 4, 0xff, 0, 12, 0, 12], &[0; 8], &[0x5a; 12], message].concat()
    };
    let mut bench = Bench::to_port(389);
    bench.stream(Originator, &search(1, &tlv(0x87, b"a"))).stream(Responder, &result(1, 0x65, 0));
    let change = message(8, 0x66, &[text("cn=x"), tlv(0x30, &[])]);
    bench.stream(Originator, &signed(&change)).stream(Responder, &signed(&result(8, 0x67, 0)));
    let mut unreadable = signed(&change);
    unreadable[6] |= 2;
    bench.stream(Originator, &unreadable);
    let all = operations(&bench);
    assert!(matches!(all[1].request, Some(LdapRequest::Modify { .. })));
    assert_eq!((all.len(), bench.malformed()), (2, 0));
}

#[test]
fn datagrams_are_read() {
    let mut bench = Bench::to_port(389);
    bench
        .datagram(Originator, &search(1, &tlv(0xa0, &tlv(0xa3, &[text("DnsDomain"), text("dom")].concat()))));
    let entry = message(1, 0x64, &[text(""), tlv(0x30, &attribute("netlogon", &["\u{17}"]))]);
    bench.datagram(Responder, &[entry, result(1, 0x65, 0)].concat());
    let all = operations(&bench);
    let Some(LdapRequest::Search(search)) = &all[0].request else { panic!("{all:?}") };
    assert_eq!(&*search.filter, "(&(DnsDomain=dom))");
    assert_eq!(all[0].responses.len(), 2);
}

#[test]
fn filters_are_written_as_text() {
    let both = |tag: u8, value: &[u8]| tlv(tag, &[text("a"), tlv(4, value)].concat());
    let written = |filter: &[u8]| {
        let mut ber = crate::proto::ber::Ber(filter);
        let (tag, content) = ber.next().unwrap();
        filter::text(tag, content).into_string()
    };
    assert_eq!(written(&both(0xa5, b"1")), "(a>=1)");
    assert_eq!(written(&tlv(0xa2, &both(0xa3, b"(*)"))), r"(!(a=\28\2a\29))");
    assert_eq!(written(&both(0xa3, &[0xff, 0])), r"(a=\ff\00)");
    assert_eq!(written(&tlv(0xa1, &[both(0xa6, b"1"), both(0xa8, b"2")].concat())), "(|(a<=1)(a~=2))");
    let parts = [tlv(0x80, b"x"), tlv(0x81, b"y"), tlv(0x82, b"z")].concat();
    assert_eq!(written(&tlv(0xa4, &[text("cn"), tlv(0x30, &parts)].concat())), "(cn=x*y*z)");
    assert_eq!(written(&tlv(0xa4, &[text("cn"), tlv(0x30, &tlv(0x81, b"y"))].concat())), "(cn=*y*)");
    let rule = [tlv(0x81, b"1.2"), tlv(0x82, b"uac"), tlv(0x83, b"2")].concat();
    assert_eq!(written(&tlv(0xa9, &rule)), "(uac:1.2:=2)");
}

#[test]
fn deep_and_wide_filters_are_cut() {
    let mut deep = tlv(0x87, b"a");
    for _ in 0..2000 {
        deep = tlv(0xa2, &deep);
    }
    let wide = tlv(0xa0, &tlv(0x87, b"abc").repeat(100_000));
    for filter in [deep, wide] {
        let mut bench = Bench::to_port(389);
        for piece in search(1, &filter).chunks(1460) {
            bench.stream(Originator, piece);
        }
        bench.finish();
        let all = operations(&bench);
        let Some(LdapRequest::Search(search)) = &all[0].request else { panic!("{all:?}") };
        assert!(search.filter.len() < 1100, "{}", search.filter);
    }
}

#[test]
fn a_large_answer_is_not_waited_for() {
    let mut bench = Bench::to_port(389);
    bench.stream(Originator, &search(1, &tlv(0x87, b"a")));
    let photo = "p".repeat(300_000);
    for piece in
        message(1, 0x64, &[text("cn=ann"), tlv(0x30, &attribute("jpegPhoto", &[&photo]))]).chunks(1460)
    {
        bench.stream(Responder, piece);
    }
    bench.stream(Responder, &result(1, 0x65, 0));
    let all = operations(&bench);
    assert_eq!((&*all[0].responses[0].name, all[0].responses.len()), ("cn=ann", 2));
    assert_eq!(bench.malformed(), 0);
}

#[test]
fn operations_and_responses_are_bounded() {
    let mut bench = Bench::to_port(389);
    for number in 0..100 {
        bench.stream(Originator, &search(number, &tlv(0x87, b"a")));
    }
    assert_eq!(operations(&bench).len(), 100 - 32);
    for _ in 0..1000 {
        bench.stream(
            Responder,
            &message(99, 0x64, &[text("cn=ann"), tlv(0x30, &attribute("cn", &["ann"; 9]))]),
        );
    }
    bench.stream(Responder, &result(99, 0x65, 0));
    let all = operations(&bench);
    let last = all.last().unwrap();
    assert_eq!((last.responses.len(), last.response_count), (33, 1001));
    assert_eq!(last.responses[32].kind, LdapResponseKind::SearchDone);
    assert!(last.responses[0].attributes[0].values.len() <= 8);
}

#[test]
fn what_is_none_is_not_recognised() {
    let hint = Hint::of_port(389);
    assert_eq!(recognise_stream(&hint, &search(1, &tlv(0x87, b"a"))), Guess::Yes);
    assert_eq!(recognise_stream(&hint, b"\x30\x84\x00"), Guess::More);
    let snmp = b"\x30\x26\x02\x01\x01\x04\x06public\xa1\x19";
    assert_eq!(recognise_stream(&hint, snmp), Guess::No);
    assert_eq!(recognise_datagram(&hint, snmp), Guess::No);
    assert_eq!(recognise_stream(&Hint::of_port(80), b"\x30\x84"), Guess::No);
    assert_eq!(recognise_datagram(&hint, &search(1, &tlv(0x87, b"a"))), Guess::Yes);
}

#[test]
fn a_place_that_was_lost_is_found_again() {
    let mut bench = Bench::to_port(389);
    bench.stream(Originator, &search(1, &tlv(0x87, b"a"))).lose(Originator, None);
    bench.stream(Originator, &[0x55; 100]).stream(Originator, &search(2, &tlv(0x87, b"a"))).finish();
    assert_eq!((operations(&bench).len(), bench.malformed()), (2, 0));
}

proptest::proptest! {
    #[test]
    fn nothing_panics(at in 0_usize..200, byte: u8, piece in 1_usize..300, body: Vec<u8>) {
        let filter = tlv(0xa0, &tlv(0xa3, &[text("a"), text("b")].concat()));
        let entry = message(1, 0x64, &[text("cn=a"), tlv(0x30, &attribute("cn", &["a"]))]);
        let change = message(2, 0x66, &[text("cn=x"), tlv(0x30, &body)]);
        let mut all = [search(1, &filter), entry, result(1, 0x65, 0), change, tlv(0x30, &body)].concat();
        let at = at % all.len();
        all[at] = byte;
        Bench::to_port(389).torture(&all, piece);
        Bench::to_port(389).torture(&all, all.len());
    }
}
