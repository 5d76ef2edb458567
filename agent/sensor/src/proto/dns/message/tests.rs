//! Messages of DNS: hand-checked, damaged and hostile ones.

use proptest::prelude::*;
use simple_dns::rdata::{A, RData, TXT};
use simple_dns::{CLASS, Name, Packet, PacketFlag, QCLASS, QTYPE, Question, ResourceRecord, TYPE};

use super::*;
use crate::event::dns::Rdata;

/// `example.com A`, in hexadecimal with blanks.
const QUERY: &str = "abcd 0100 0001 0000 0000 0000 07 4578616d706c65 03 636f6d 00 0001 0001";

fn read(bytes: &[u8]) -> Option<Message> {
    parse(bytes, Dialect::Dns)
}

fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<_> = text.bytes().filter(|byte| !byte.is_ascii_whitespace()).collect();
    let byte = |pair: &[u8]| u8::from_str_radix(str::from_utf8(pair).unwrap(), 16).unwrap();
    digits.chunks(2).map(byte).collect()
}

#[test]
fn reads_the_question_whatever_follows_it() {
    let check = |text: &str, expected: Option<(&str, bool, bool)>| {
        let message = read(&hex(text));
        let seen =
            message.as_ref().map(|message| (&*message.dns.qname, message.whole, message.is_plausible()));
        assert_eq!(seen, expected, "{text}");
    };
    check(QUERY, Some(("example.com", true, true)));
    check(&format!("{QUERY} 00"), Some(("example.com", false, false)));
    // One answer is announced: cut, then there.
    let response = QUERY.replacen("0100 0001 0000", "8180 0001 0001", 1);
    check(&response, Some(("example.com", false, false)));
    check(&format!("{response} c00c 0001 0001 0000003c 0004 c0000201"), Some(("example.com", true, true)));
    // 65,535 questions are announced.
    check(&QUERY.replacen("0100 0001", "0100 ffff", 1), Some(("example.com", false, false)));
    // The name points at itself, forward, into the header; a label type that was never assigned; cut.
    check("abcd 0100 0001 0000 0000 0000 c00c 0001 0001", None);
    check("abcd 0100 0001 0000 0000 0000 c010 0001 0001", None);
    check("abcd 0100 0001 0000 0000 0000 c000 0001 0001", None);
    check("abcd 0100 0001 0000 0000 0000 80 00 0001 0001", None);
    check("abcd 0100 0001 0000 0000 0000 07 4578", None);
    check("abcd 0100 0001", None);
    // The root; a dot, a backslash, a blank and a byte that is not ASCII within a label; no question (multicast DNS).
    check("abcd 0100 0001 0000 0000 0000 00 0002 0001", Some(("", true, true)));
    check(
        "abcd 0100 0001 0000 0000 0000 05 2e5c20e961 00 0010 0001",
        Some(("\\.\\\\\\032\\233a", true, false)),
    );
    check("0000 8400 0000 0000 0000 0000", Some(("", true, false)));
}

#[test]
fn refuses_names_longer_than_the_protocol_allows() {
    let label = format!("3f {}", "61".repeat(63));
    let of = |labels: &str| format!("abcd 0100 0001 0000 0000 0000 {labels} 00 0001 0001");
    assert!(read(&hex(&of(&label.repeat(3)))).is_some());
    assert_eq!(read(&hex(&of(&label.repeat(4)))), None);
}

proptest! {
    /// A full parser, as the oracle, agrees on what it wrote.
    #[test]
    fn agrees_with_a_full_parser(
        labels in proptest::collection::vec("[a-z0-9_-]{1,20}", 1..6),
        qtype in proptest::sample::select(vec![TYPE::A, TYPE::AAAA, TYPE::TXT, TYPE::MX, TYPE::NS]),
        answers in 0_u16..5, is_response in any::<bool>(),
    ) {
        let qname = labels.join(".");
        let name = Name::new(&qname).unwrap();
        let mut packet = Packet::new_query(7);
        if is_response {
            packet.set_flags(PacketFlag::RESPONSE);
        }
        packet.questions.push(Question::new(name.clone(), QTYPE::TYPE(qtype), QCLASS::CLASS(CLASS::IN), false));
        let mut answer_bytes = 0;
        for nth in 0..answers {
            let rdata = if nth % 2 == 0 {
                answer_bytes += 4;
                RData::A(A { address: 0xc000_0201 })
            } else {
                answer_bytes += 6;
                RData::TXT(TXT::new().with_string("hello").unwrap())
            };
            packet.answers.push(ResourceRecord::new(name.clone(), CLASS::IN, 60, rdata));
        }
        for bytes in [packet.build_bytes_vec().unwrap(), packet.build_bytes_vec_compressed().unwrap()] {
            let message = read(&bytes).unwrap();
            prop_assert!(message.whole);
            prop_assert_eq!(message.is_plausible(), is_response || answers == 0);
            let dns = message.dns;
            prop_assert_eq!(
                (dns.is_response, dns.qtype, &*dns.qname, dns.answers, dns.answer_bytes, dns.id, dns.left_out),
                (is_response, qtype.into(), qname.as_str(), answers, answer_bytes, 7, 0)
            );
            prop_assert_eq!(dns.answer_records.len(), usize::from(answers));
            for (nth, record) in dns.answer_records.iter().enumerate() {
                prop_assert_eq!((&*record.name, record.class, record.ttl), (qname.as_str(), 1, 60));
                let expected = if nth % 2 == 0 {
                    Rdata::Address(core::net::IpAddr::from([192, 0, 2, 1]))
                } else {
                    Rdata::Text([b"hello"[..].into()].into())
                };
                prop_assert_eq!(&record.data, &expected);
            }
        }
    }
}

/// Three sections of as many records as fit, each a pointer to the longest name there is, with the longest name as data.
fn bomb() -> Vec<u8> {
    let label = [&[63][..], &[b'a'; 63]].concat();
    let name = [label.repeat(3), vec![61], vec![b'a'; 60], vec![0]].concat();
    let mut bytes = hex("abcd 8180 0001 1000 1000 1000");
    bytes.extend(name);
    bytes.extend([0, 5, 0, 1]);
    while bytes.len() < 65_500 {
        bytes.extend(hex("c00c 0005 0001 0000003c 0002 c00c"));
    }
    bytes
}

#[test]
fn what_compression_expands_to_is_bounded() {
    let bytes = bomb();
    let message = read(&bytes).unwrap();
    let kept: usize = [&message.dns.answer_records, &message.dns.authorities, &message.dns.additionals]
        .into_iter()
        .flatten()
        .map(|record| record.name.len() + size(record))
        .sum();
    assert!(kept <= TEXT_MAX + 3 * 1_024, "{kept} bytes");
    let read = message.dns.answer_records.len() + usize::from(message.dns.left_out);
    assert_eq!(read, (bytes.len() - 12 - 259) / 14);
}

#[test]
fn keeps_what_records_say() {
    let response = QUERY.replacen("0100 0001 0000", "8580 0001 0001", 1);
    let data = |rtype: &str, rdata: &str| {
        let length = hex(rdata).len();
        let text = format!("{response} c00c {rtype} 0001 0000003c {length:04x} {rdata}");
        let message = read(&hex(&text)).unwrap();
        assert!(message.whole, "{text}");
        message.dns.answer_records.first().unwrap().data.clone()
    };
    // `Example.com` begins at 12, `com` at 20.
    assert_eq!(data("0005", "03 777777 c00c"), Rdata::Name("www.Example.com".into()));
    assert_eq!(data("000f", "000a 02 6d78 c014"), Rdata::Exchange { preference: 10, host: "mx.com".into() });
    assert_eq!(
        data("0021", "0001 0002 01bb c00c"),
        Rdata::Server { priority: 1, weight: 2, port: 443, target: "Example.com".into() }
    );
    assert_eq!(
        data("001c", "2001 0db8 0000 0000 0000 0000 0000 0001"),
        Rdata::Address("2001:db8::1".parse().unwrap())
    );
    assert_eq!(data("0010", "01 61 00 02 6263"), Rdata::Text([&b"a"[..], b"", b"bc"].map(Into::into).into()));
    assert_eq!(
        data("002c", "01 02 abcd"),
        Rdata::Fingerprint { algorithm: 1, kind: 2, fingerprint: [0xab, 0xcd].into() }
    );
    assert_eq!(
        data("0101", "80 05 6973737565 6361"),
        Rdata::Issuer { flags: 128, tag: "issue".into(), value: b"ca"[..].into() }
    );
    assert_eq!(
        data("0041", "0001 00 0001 0003 02 6832"),
        Rdata::Service { priority: 1, target: "".into(), parameters: [(1, b"\x02h2"[..].into())].into() }
    );
    let Rdata::Authority(soa) = data("0006", "c00c 01 61 c014 00000001 00000002 00000003 00000004 00000005")
    else {
        panic!("SOA")
    };
    assert_eq!((&*soa.mname, &*soa.rname, soa.serial, soa.minimum), ("Example.com", "a.com", 1, 5));
    // Data that break the rules of their type, and types that nobody reads.
    assert_eq!(data("0001", "c0"), Rdata::Other([0xc0].into()));
    assert_eq!(data("0005", "c00c 00"), Rdata::Other([0xc0, 0x0c, 0].into()));
    assert_eq!(data("0010", "05 61"), Rdata::Other([5, 0x61].into()));
    assert_eq!(data("ff01", "00"), Rdata::Other([0].into()));
}
