//! DNS messages (RFC 1035) by a small walker: it gives the question of a message whose answers are damaged or cut.
//!
//! No general parser is used here: one that reserves room for as many records as the header claims lets a datagram of twelve
//! bytes cost megabytes.

use core::fmt::Write as _;

use super::reader::Reader;
use super::{Guess, Hint, Recogniser, Session, Side, Sink, Take};
use crate::counters::Counter;
use crate::event::{Application, Dns, FlowEvent};

const HEADER: usize = 12;
const QR: u16 = 0x8000;
const OPCODE: u16 = 0x7800;
/// Reserved, must be zero (RFC 1035, 4.1.1; AD and CD took the other two bits).
const Z: u16 = 0x0040;
/// Longest name on the wire (RFC 1035, 3.1).
const NAME_MAX: usize = 255;
/// A message outside DNS's ports with more records than this in one section is taken for something else.
const RECORDS_PLAUSIBLE: u16 = 64;

/// Ports whose datagrams are read as DNS even when damaged: DNS, multicast DNS, LLMNR.
const PORTS: [u16; 3] = [53, 5353, 5355];
/// `NetBIOS` names look like DNS and are not.
const NETBIOS_NAMES: u16 = 137;
/// Bytes of the length before each message over TCP.
const PREFIX: usize = 2;

pub(super) const STREAM: &[Recogniser] =
    &[Recogniser { application: Application::Dns, probe: probe_stream, begin }];
pub(super) const DATAGRAM: &[Recogniser] =
    &[Recogniser { application: Application::Dns, probe: probe_datagram, begin }];

/// State of a flow.
#[derive(Debug, Default)]
pub(crate) struct Parser {
    broken: bool,
}

fn begin(_hint: &Hint<'_>) -> Session {
    Parser::default().into()
}

fn probe_stream(hint: &Hint<'_>, bytes: &[u8]) -> Guess {
    let Some(message) = announced(bytes).and_then(|length| bytes.get(PREFIX..length)) else {
        return if hint.on_port(&PORTS) { Guess::More } else { Guess::No };
    };
    parse(message).is_some_and(|message| message.plausible || hint.on_port(&PORTS)).into()
}

fn probe_datagram(hint: &Hint<'_>, bytes: &[u8]) -> Guess {
    if hint.on_port(&PORTS) {
        return Guess::Yes;
    }
    (!hint.on_port(&[NETBIOS_NAMES]) && parse(bytes).is_some_and(|message| message.plausible)).into()
}

/// Length of the first message over TCP with its prefix (RFC 1035, 4.2.2).
fn announced(bytes: &[u8]) -> Option<usize> {
    bytes.first_chunk().map(|length| PREFIX + usize::from(u16::from_be_bytes(*length)))
}

impl super::Parser for Parser {
    fn read_stream(&mut self, side: Side, bytes: &[u8], sink: &mut Sink<'_>) -> Take {
        let Some(length) = announced(bytes) else { return Take::More };
        let Some(message) = bytes.get(PREFIX..length) else { return Take::More };
        match parse(message) {
            Some(read) => push(side, read.dns, u32::try_from(message.len()).unwrap_or(u32::MAX), sink),
            None => {
                sink.counters.count(Counter::ProtoMalformed);
                self.broken = true;
            }
        }
        Take::bytes(length)
    }

    fn read_datagram(&mut self, side: Side, bytes: &[u8], wire_bytes: u32, sink: &mut Sink<'_>) {
        match parse(bytes) {
            Some(message) => push(side, message.dns, wire_bytes, sink),
            None => sink.counters.count(Counter::ProtoMalformed),
        }
    }

    fn is_done(&self) -> bool {
        self.broken
    }
}

fn push(side: Side, mut dns: Dns, message_bytes: u32, sink: &mut Sink<'_>) {
    dns.from_originator = side == Side::Originator;
    dns.message_bytes = message_bytes;
    if sink.notes.server_name.is_none() && !dns.qname.is_empty() {
        sink.notes.server_name = Some(dns.qname.clone());
    }
    sink.push(FlowEvent::Dns(dns.into()));
}

/// A message as far as it could be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Message {
    /// `from_originator` and `message_bytes` are for the caller to fill.
    pub(super) dns: Dns,
    /// Every section was read and nothing is left over.
    pub(super) whole: bool,
    /// Nothing in it speaks against DNS: holds for the messages that resolvers and stub resolvers send.
    pub(super) plausible: bool,
}

/// Reads a message; none if not even its header and first question can be read.
pub(super) fn parse(bytes: &[u8]) -> Option<Message> {
    let mut reader = Reader(bytes.get(2..)?);
    let flags = reader.u16()?;
    let questions = reader.u16()?;
    let counts = [reader.u16()?, reader.u16()?, reader.u16()?];
    let is_response = flags & QR != 0;
    let mut dns = Dns { is_response, rcode: u8::try_from(flags & 0xf).unwrap_or_default(), ..Dns::default() };
    let mut class = 1;
    for nth in 0..questions {
        let at = bytes.len() - reader.0.len();
        let read = skip_name(&mut reader).and_then(|()| Some((reader.u16()?, reader.u16()?)));
        match (nth, read) {
            (0, Some((qtype, qclass))) => {
                (dns.qname, dns.qtype, class) = (name(bytes, at)?, qtype, qclass & 0x7fff);
            }
            (0, None) => return None,
            (_, Some(_)) => {}
            (_, None) => return Some(Message { dns, whole: false, plausible: false }),
        }
    }
    let mut whole = true;
    for (section, count) in counts.into_iter().enumerate() {
        for _ in 0..count {
            let Some(rdata) = skip_record(&mut reader) else {
                whole = false;
                break;
            };
            if section == 0 {
                dns.answers = dns.answers.saturating_add(1);
                dns.answer_bytes = dns.answer_bytes.saturating_add(rdata.into());
            }
        }
    }
    whole &= reader.0.is_empty();
    let plausible = whole
        && flags & (OPCODE | Z) == 0
        && questions == 1
        && matches!(class, 1 | 3 | 255)
        && counts.iter().all(|count| *count <= RECORDS_PLAUSIBLE)
        && (is_response || counts.first() == Some(&0))
        && dns.qname.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.*/".contains(&byte));
    Some(Message { dns, whole, plausible })
}

/// Moves behind a name without following its compression pointer.
fn skip_name(reader: &mut Reader<'_>) -> Option<()> {
    loop {
        match reader.u8()? {
            0 => return Some(()),
            n @ 1..=63 => reader.take(n.into())?,
            192..=255 => {
                reader.u8()?;
                return Some(());
            }
            64..=191 => return None,
        };
    }
}

/// Moves behind a resource record; the length of its data.
fn skip_record(reader: &mut Reader<'_>) -> Option<u16> {
    skip_name(reader)?;
    // Type, class, time to live.
    reader.take(8)?;
    let rdata = reader.u16()?;
    reader.take(rdata.into())?;
    Some(rdata)
}

/// The name at `at`, lower case, labels escaped as in RFC 4343, 2.1. A compression pointer must point backwards, so that
/// following them ends.
fn name(bytes: &[u8], mut at: usize) -> Option<Box<str>> {
    let mut text = String::with_capacity(64);
    let (mut start, mut wire) = (at, 0);
    loop {
        let n = usize::from(*bytes.get(at)?);
        match n {
            0 => return Some(text.into_boxed_str()),
            1..=63 => {
                wire += n + 1;
                let label = bytes.get(at + 1..at + 1 + n).filter(|_| wire < NAME_MAX)?;
                if !text.is_empty() {
                    text.push('.');
                }
                label.iter().for_each(|byte| push_escaped(&mut text, *byte));
                at += 1 + n;
            }
            192..=255 => {
                let to = (n & 0x3f) << 8 | usize::from(*bytes.get(at + 1)?);
                if to >= start || to < HEADER {
                    return None;
                }
                (start, at) = (to, to);
            }
            _ => return None,
        }
    }
}

fn push_escaped(text: &mut String, byte: u8) {
    match byte {
        b'.' | b'\\' => {
            text.push('\\');
            text.push(char::from(byte));
        }
        0x21..=0x7e => text.push(char::from(byte.to_ascii_lowercase())),
        // Writing to a String cannot fail.
        _ => write!(text, "\\{byte:03}").unwrap_or_default(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use simple_dns::rdata::{A, RData, TXT};
    use simple_dns::{CLASS, Name, Packet, PacketFlag, QCLASS, QTYPE, Question, ResourceRecord, TYPE};

    use super::*;

    /// `example.com A`, in hexadecimal with blanks.
    const QUERY: &str = "abcd 0100 0001 0000 0000 0000 07 4578616d706c65 03 636f6d 00 0001 0001";

    fn hex(text: &str) -> Vec<u8> {
        let digits: Vec<_> = text.bytes().filter(|byte| !byte.is_ascii_whitespace()).collect();
        let byte = |pair: &[u8]| u8::from_str_radix(str::from_utf8(pair).unwrap(), 16).unwrap();
        digits.chunks(2).map(byte).collect()
    }

    #[test]
    fn reads_the_question_whatever_follows_it() {
        let check = |text: &str, expected: Option<(&str, bool, bool)>| {
            let message = parse(&hex(text));
            let seen =
                message.as_ref().map(|message| (&*message.dns.qname, message.whole, message.plausible));
            assert_eq!(seen, expected, "{text}");
        };
        check(QUERY, Some(("example.com", true, true)));
        check(&format!("{QUERY} 00"), Some(("example.com", false, false)));
        // One answer is announced: cut, then there.
        let response = QUERY.replacen("0100 0001 0000", "8180 0001 0001", 1);
        check(&response, Some(("example.com", false, false)));
        check(
            &format!("{response} c00c 0001 0001 0000003c 0004 c0000201"),
            Some(("example.com", true, true)),
        );
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
        assert!(parse(&hex(&of(&label.repeat(3)))).is_some());
        assert_eq!(parse(&hex(&of(&label.repeat(4)))), None);
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
                let message = parse(&bytes).unwrap();
                prop_assert!(message.whole);
                prop_assert_eq!(message.plausible, is_response || answers == 0);
                prop_assert_eq!(message.dns, Dns {
                    is_response, qtype: qtype.into(), qname: qname.as_str().into(), answers, answer_bytes, ..Dns::default()
                });
            }
        }
    }
}
