//! A DNS message, section by section.
//!
//! No general parser is used here: one that reserves room for as many records as the header claims lets a datagram of twelve
//! bytes cost megabytes.

use super::super::reader::Reader;
use super::name;
use super::record::{self, Place};
use crate::event::dns::{Question, Resource};
use crate::event::{Application, Dns};

const QR: u16 = 0x8000;
const OPCODE: u16 = 0x7800;
/// Reserved, must be zero (RFC 1035, 4.1.1; AD and CD took the other two bits).
const Z: u16 = 0x0040;
/// A message outside DNS's ports with more records than this in one section is taken for something else.
const RECORDS_PLAUSIBLE: u16 = 64;
/// Questions of a message that are kept; nobody sends more than one but multicast DNS.
const QUESTIONS_MAX: usize = 32;
/// Records of a section that are kept.
const RECORDS_MAX: usize = 256;
/// Records that room is made for because a header says so.
const ROOM: usize = 4;
/// A compression pointer to the first name behind the header: the first question's, if there is one.
const TO_QUESTION: [u8; 2] = [0xc0, 12];
/// Bytes of names and data of a message that are kept: compression makes 255 bytes of two.
const TEXT_MAX: usize = 64 * 1024;

/// A message as far as it could be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Message {
    /// `application`, `from_originator`, `message_bytes` and `number` are for the caller to fill.
    pub(super) dns: Box<Dns>,
    /// Every section was read and nothing is left over.
    pub(super) whole: bool,
    /// Nothing in header and questions speaks against DNS, but perhaps the name.
    plausible: bool,
}

/// Which rules of DNS's descendants hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Dialect {
    Dns,
    /// Names are `NetBIOS` names in disguise.
    NetBios,
}

/// Reads a message; none if not even its header and first question can be read.
pub(super) fn parse(bytes: &[u8], dialect: Dialect) -> Option<Message> {
    let mut header = Reader(bytes);
    let (id, flags) = (header.u16()?, header.u16()?);
    let announced = [header.u16()?, header.u16()?, header.u16()?, header.u16()?];
    let [asked, counts @ ..] = announced;
    let is_response = flags & QR != 0;
    let rcode = u8::try_from(flags & 0xf).unwrap_or_default();
    let mut walk = Walk { message: bytes, reader: header, dialect, left: TEXT_MAX, left_out: 0 };
    let mut dns = Box::new(Dns { is_response, rcode, id, flags, announced, ..Dns::default() });
    let mut questions = Vec::with_capacity(usize::from(asked).min(ROOM));
    for nth in 0..asked {
        match walk.question(nth == 0 || questions.len() < QUESTIONS_MAX) {
            Some(Some(question)) => questions.push(question),
            Some(None) => {}
            None if nth == 0 => return None,
            None => {
                put_questions(&mut dns, questions, dialect);
                return Some(Message { dns, whole: false, plausible: false });
            }
        }
    }
    let class = questions.first().map_or(1, |question| question.qclass & 0x7fff);
    put_questions(&mut dns, questions, dialect);
    let mut whole = true;
    let mut sections = [Vec::new(), Vec::new(), Vec::new()];
    for (nth, (section, count)) in sections.iter_mut().zip(counts).enumerate() {
        section.reserve_exact(usize::from(count).min(ROOM));
        for _ in 0..count {
            let keep = section.len() < RECORDS_MAX;
            let Some((rdata, record)) = walk.record(keep, dns.questions.first()) else {
                whole = false;
                break;
            };
            section.extend(record);
            if nth == 0 {
                dns.answers = dns.answers.saturating_add(1);
                dns.answer_bytes = dns.answer_bytes.saturating_add(rdata.into());
            }
        }
    }
    [dns.answer_records, dns.authorities, dns.additionals] = sections.map(Vec::into_boxed_slice);
    dns.left_out = walk.left_out;
    whole &= walk.reader.0.is_empty();
    let plausible = whole && is_plausible(flags, asked, counts) && matches!(class, 1 | 3 | 255);
    Some(Message { dns, whole, plausible })
}

fn put_questions(dns: &mut Dns, questions: Vec<Question>, dialect: Dialect) {
    if let Some(first) = questions.first() {
        let lower = || first.name.to_ascii_lowercase();
        dns.qname = if dialect == Dialect::NetBios { first.name.clone() } else { lower().into_boxed_str() };
        dns.qtype = first.qtype;
    }
    dns.questions = questions.into();
}

/// What a message needs in its header to be plausible.
pub(super) fn may_be_plausible(bytes: &[u8]) -> bool {
    let mut header = Reader(bytes);
    let read = (|| {
        let (_id, flags) = (header.u16()?, header.u16()?);
        Some((flags, header.u16()?, [header.u16()?, header.u16()?, header.u16()?]))
    })();
    read.is_some_and(|(flags, asked, counts)| is_plausible(flags, asked, counts))
}

fn is_plausible(flags: u16, asked: u16, counts: [u16; 3]) -> bool {
    flags & (OPCODE | Z) == 0
        && asked == 1
        && counts.iter().all(|count| *count <= RECORDS_PLAUSIBLE)
        && (flags & QR != 0 || counts.first() == Some(&0))
}

/// Through a message.
struct Walk<'a> {
    message: &'a [u8],
    reader: Reader<'a>,
    dialect: Dialect,
    /// Bytes that may still be kept.
    left: usize,
    left_out: u16,
}

impl Walk<'_> {
    fn name(&mut self) -> Option<usize> {
        let at = self.message.len() - self.reader.0.len();
        name::skip(&mut self.reader)?;
        Some(at)
    }

    fn text(&self, at: usize) -> Option<Box<str>> {
        let text = name::read(self.message, at)?;
        let netbios = (self.dialect == Dialect::NetBios).then(|| name::netbios(&text)).flatten();
        Some(netbios.unwrap_or(text))
    }

    /// A question, if it is to be kept.
    fn question(&mut self, keep: bool) -> Option<Option<Question>> {
        let at = self.name()?;
        let (qtype, qclass) = (self.reader.u16()?, self.reader.u16()?);
        if !keep {
            return Some(None);
        }
        let name = self.text(at)?;
        self.left = self.left.saturating_sub(name.len());
        Some(Some(Question { name, qtype, qclass }))
    }

    /// The length of a record's data, and the record if it is to be kept.
    fn record(&mut self, keep: bool, asked: Option<&Question>) -> Option<(u16, Option<Resource>)> {
        let at = self.name()?;
        let (rtype, class, ttl, length) =
            (self.reader.u16()?, self.reader.u16()?, self.reader.u32()?, self.reader.u16()?);
        let data_at = self.message.len() - self.reader.0.len();
        let data = self.reader.take(length.into())?;
        let room = self.left;
        if !keep || room == 0 {
            self.left_out = self.left_out.saturating_add(1);
            return Some((length, None));
        }
        let place = Place { message: self.message, at: data_at, data };
        let record = Resource {
            // A name that cannot be followed does not take the rest of the message with it.
            name: match asked {
                // Nearly always that of the question.
                Some(asked) if self.message.get(at..).is_some_and(|name| name.starts_with(&TO_QUESTION)) => {
                    asked.name.clone()
                }
                Some(_) | None => self.text(at).unwrap_or_default(),
            },
            rtype,
            class,
            ttl,
            data: record::read(rtype, place, self.dialect == Dialect::NetBios),
        };
        // Names in data expand as well: three of them at most (SOA has two).
        self.left = room.saturating_sub(record.name.len() + size(&record));
        Some((length, Some(record)))
    }
}

/// Bytes that a record's data takes.
fn size(record: &Resource) -> usize {
    use crate::event::dns::Rdata;
    match &record.data {
        Rdata::Address(_) => 16,
        Rdata::Name(name) | Rdata::Exchange { host: name, .. } | Rdata::Server { target: name, .. } => {
            name.len()
        }
        Rdata::Text(parts) => parts.iter().map(|part| part.len() + 16).sum(),
        Rdata::Authority(soa) => soa.mname.len() + soa.rname.len(),
        Rdata::Fingerprint { fingerprint: bytes, .. } | Rdata::Other(bytes) => bytes.len(),
        Rdata::Issuer { tag, value, .. } => tag.len() + value.len(),
        Rdata::Service { target, parameters, .. } => {
            target.len() + parameters.iter().map(|(_, value)| value.len() + 16).sum::<usize>()
        }
    }
}

impl Message {
    /// Nothing in it speaks against DNS: holds for the messages that resolvers and stub resolvers send. Only asked where the port
    /// does not say what it is.
    pub(super) fn is_plausible(&self) -> bool {
        let mut name = self.dns.qname.bytes();
        self.plausible && name.all(|byte| byte.is_ascii_alphanumeric() || b"-_.*/".contains(&byte))
    }

    /// What of it breaks the rules, by Suricata's names.
    pub(super) fn violations(&self, from_server: Option<bool>) -> impl Iterator<Item = &'static str> {
        let is_dns = self.dns.application == Application::Dns;
        let response = self.dns.is_response;
        [
            (!self.whole, "MALFORMED_DATA"),
            (is_dns && from_server == Some(false) && response, "NOT_REQUEST"),
            (is_dns && from_server == Some(true) && !response, "NOT_RESPONSE"),
            (is_dns && self.dns.flags & Z != 0, "Z_FLAG_SET"),
            (is_dns && self.dns.opcode() >= 7, "INVALID_OPCODE"),
        ]
        .into_iter()
        .filter_map(|(broken, name)| broken.then_some(name))
    }
}

#[cfg(test)]
mod tests;
