//! `dns.log`: a query and its response are one line, a message without its counterpart is one as well.

use core::time::Duration;
use std::collections::{BTreeMap, VecDeque};

use sekimori_sensor::event::dns::{Rdata, Resource, unescape};
use sekimori_sensor::event::{Application, Dns, FlowEvent, FlowRef, Transaction};
use sekimori_wire::time::Timestamp;

use super::{Cell, Log, Row};
use crate::replay::dns_types;

/// Messages that wait for their counterparts over all flows; more, and those of the oldest flow are written without.
const PENDING_MAX: usize = 65_536;
/// Those of one flow.
const PENDING_FLOW_MAX: usize = 256;

static LOG: Log = Log {
    name: "dns",
    fields: &[
        ("proto", "enum"),
        ("trans_id", "count"),
        ("rtt", "interval"),
        ("query", "string"),
        ("qclass", "count"),
        ("qclass_name", "string"),
        ("qtype", "count"),
        ("qtype_name", "string"),
        ("rcode", "count"),
        ("rcode_name", "string"),
        ("AA", "bool"),
        ("TC", "bool"),
        ("RD", "bool"),
        ("RA", "bool"),
        ("Z", "count"),
        ("answers", "vector[string]"),
        ("TTLs", "vector[interval]"),
        ("rejected", "bool"),
        ("opcode", "count"),
        ("opcode_name", "string"),
    ],
};

const AA: u16 = 0x0400;
const TC: u16 = 0x0200;
const RD: u16 = 0x0100;
const RA: u16 = 0x0080;

/// Messages whose counterparts have not come, by flow.
#[derive(Debug, Default)]
pub(super) struct Pending {
    flows: BTreeMap<u64, (FlowRef, VecDeque<Line>)>,
    lines: usize,
}

/// A line that may still change.
#[derive(Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is a column, or says how to read one")]
struct Line {
    at: Timestamp,
    is_tcp: bool,
    id: u16,
    opcode: u8,
    netbios: bool,
    asked: bool,
    question: Option<(String, Option<(u16, u16)>)>,
    /// TC, RD and Z of the query.
    query_flags: u16,
    rcode: Option<u8>,
    /// AA and RA of a response with answers.
    response_flags: u16,
    rtt: Option<Duration>,
    answers: Vec<(String, u32)>,
    rejected: bool,
}

impl Pending {
    /// The rows that are over with this event.
    pub(super) fn of(&mut self, at: Timestamp, flow: &FlowRef, what: &FlowEvent) -> Vec<(FlowRef, Row)> {
        if let FlowEvent::Dns(dns) = what {
            return self.rows(at, flow, dns);
        }
        if let FlowEvent::Transaction(one) = what
            && let Transaction::NameService(dns) = &**one
        {
            return self.rows(at, flow, dns);
        }
        if matches!(what, FlowEvent::Ended(_)) { self.ended(flow.id) } else { Vec::new() }
    }

    fn rows(&mut self, at: Timestamp, flow: &FlowRef, dns: &Dns) -> Vec<(FlowRef, Row)> {
        let (_, lines) = self.flows.entry(flow.id).or_insert_with(|| (*flow, VecDeque::new()));
        let counterpart = lines.iter().position(|line| line.id == dns.id && line.asked == dns.is_response);
        let before = lines.len();
        let mut rows = Vec::new();
        match counterpart.and_then(|nth| lines.remove(nth)) {
            Some(mut line) => {
                line.add(at, dns);
                rows.push((*flow, line.row()));
            }
            None => {
                let mut line = Line::new(at, flow, dns);
                line.add(at, dns);
                lines.push_back(line);
                if lines.len() > PENDING_FLOW_MAX {
                    rows.extend(lines.pop_front().map(|line| (*flow, line.row())));
                }
            }
        }
        self.lines = self.lines - before + lines.len();
        if lines.is_empty() {
            self.flows.remove(&flow.id);
        }
        if self.lines > PENDING_MAX
            && let Some(oldest) = self.flows.keys().next().copied()
        {
            rows.extend(self.ended(oldest));
        }
        rows
    }

    /// A flow is over: what is left of it.
    fn ended(&mut self, flow: u64) -> Vec<(FlowRef, Row)> {
        let Some((flow, lines)) = self.flows.remove(&flow) else { return Vec::new() };
        self.lines -= lines.len();
        lines.into_iter().map(|line| (flow, line.row())).collect()
    }

    /// Everything is over.
    pub(super) fn finish(&mut self) -> Vec<(FlowRef, Row)> {
        let flows: Vec<u64> = self.flows.keys().copied().collect();
        flows.into_iter().flat_map(|flow| self.ended(flow)).collect()
    }
}

impl Line {
    fn new(at: Timestamp, flow: &FlowRef, dns: &Dns) -> Self {
        Self {
            at,
            is_tcp: flow.protocol == 6,
            id: dns.id,
            opcode: dns.opcode(),
            netbios: dns.application == Application::Nbns,
            asked: !dns.is_response,
            question: None,
            query_flags: 0,
            rcode: None,
            response_flags: 0,
            rtt: None,
            answers: Vec::new(),
            rejected: false,
        }
    }

    fn add(&mut self, at: Timestamp, dns: &Dns) {
        if dns.is_response { self.add_response(at, dns) } else { self.add_query(dns) }
    }

    fn add_query(&mut self, dns: &Dns) {
        // Of several questions the last one stands.
        let Some(question) = dns.questions.last() else { return };
        self.query_flags = dns.flags;
        self.question = Some((self.name(&question.name), Some((question.qclass, question.qtype))));
    }

    fn add_response(&mut self, at: Timestamp, dns: &Dns) {
        self.rcode = Some(dns.rcode);
        let [questions, records @ ..] = dns.announced;
        self.rejected = if questions == 0 { dns.rcode != 0 } else { records == [0; 3] };
        let Some(first) = dns.answer_records.first() else { return };
        if self.question.is_none() {
            self.question = Some((self.name(&first.name), None));
        }
        self.response_flags = dns.flags;
        self.rtt = Some(at.since(self.at)).filter(|rtt| !rtt.is_zero());
        let texts = dns.answer_records.iter().filter_map(|one| Some((answer(one, self.netbios)?, one.ttl)));
        self.answers = texts.collect();
    }

    fn name(&self, escaped: &str) -> String {
        let name = raw(escaped);
        if self.netbios { name } else { name.to_ascii_lowercase() }
    }

    fn row(&self) -> Row {
        let (qclass, qtype) = self.question.as_ref().and_then(|(_, kind)| *kind).unzip();
        let many = |cells: Vec<Cell>| if cells.is_empty() { Cell::Unset } else { Cell::Many(cells) };
        let flag = |flags: u16, bit: u16| Cell::Bool(flags & bit != 0);
        Row {
            log: &LOG,
            at: self.at,
            cells: vec![
                Cell::text(if self.is_tcp { "tcp" } else { "udp" }),
                Cell::Count(self.id.into()),
                self.rtt.map_or(Cell::Unset, Cell::Interval),
                Cell::of(self.question.as_ref().map(|(name, _)| name)),
                qclass.map_or(Cell::Unset, |class| Cell::Count(class.into())),
                Cell::of(qclass.map(class_name)),
                qtype.map_or(Cell::Unset, |qtype| Cell::Count(qtype.into())),
                Cell::of(qtype.map(|qtype| type_name(qtype, self.netbios))),
                self.rcode.map_or(Cell::Unset, |rcode| Cell::Count(rcode.into())),
                Cell::of(self.rcode.map(rcode_name)),
                flag(self.response_flags, AA),
                flag(self.query_flags, TC),
                flag(self.query_flags, RD),
                flag(self.response_flags, RA),
                Cell::Count((self.query_flags >> 4 & 7).into()),
                many(self.answers.iter().map(|(text, _)| Cell::text(text)).collect()),
                many(
                    self.answers
                        .iter()
                        .map(|(_, ttl)| Cell::Interval(Duration::from_secs((*ttl).into())))
                        .collect(),
                ),
                Cell::Bool(self.rejected),
                Cell::Count(self.opcode.into()),
                Cell::text(opcode_name(self.opcode, self.netbios)),
            ],
        }
    }
}

/// A name as it was sent.
fn raw(escaped: &str) -> String {
    if !escaped.contains('\\') {
        return escaped.to_owned();
    }
    String::from_utf8(unescape(escaped))
        .unwrap_or_else(|bytes| bytes.as_bytes().iter().map(|byte| char::from(*byte)).collect())
}

fn lower(escaped: &str) -> String {
    raw(escaped).to_ascii_lowercase()
}

/// What stands for a record among the answers; none for those that Zeek leaves out.
fn answer(record: &Resource, netbios: bool) -> Option<String> {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Some(match &record.data {
        Rdata::Address(address) => address.to_string(),
        Rdata::Name(name) | Rdata::Exchange { host: name, .. } | Rdata::Server { target: name, .. } => {
            lower(name)
        }
        Rdata::Authority(soa) => lower(&soa.mname),
        Rdata::Text(parts) => {
            let kind = if record.rtype == 99 { "SPF" } else { "TXT" };
            let parts = parts.iter().map(|part| format!("{kind} {} {}", part.len(), text(part)));
            parts.collect::<Vec<_>>().join(" ")
        }
        Rdata::Fingerprint { fingerprint, .. } => format!("SSHFP: {}", hex(fingerprint)),
        Rdata::Issuer { .. } => return None,
        Rdata::Service { target, .. } => {
            if target.is_empty() {
                ".".to_owned()
            } else {
                lower(target)
            }
        }
        Rdata::Other(_) if record.rtype == 32 || netbios => return None,
        Rdata::Other(data) => other(record, data)?,
    })
}

/// Types whose data is not kept apart, as Zeek summarises them.
fn other(record: &Resource, data: &[u8]) -> Option<String> {
    let byte = |at: usize| data.get(at).copied().unwrap_or_default();
    Some(match record.rtype {
        // NULL is none that Zeek knows; WKS, HINFO, OPT and TSIG have events of their own.
        11 | 13 | 41 | 250 => return None,
        43 => format!("DS {} {}", byte(2), byte(3)),
        46 => {
            let covered = u16::from_be_bytes([byte(0), byte(1)]);
            let signer = labels(data.get(18..).unwrap_or_default());
            format!("RRSIG {covered} {}", if signer.is_empty() { "<Root>" } else { &signer })
        }
        47 => format!("NSEC {} {}", lower(&record.name), labels(data)),
        48 => format!("DNSKEY {}", byte(3)),
        50 => "NSEC3".to_owned(),
        51 => "NSEC3PARAM".to_owned(),
        unknown => format!("<unknown type={unknown}>"),
    })
}

/// An uncompressed name.
fn labels(mut data: &[u8]) -> String {
    let mut labels = Vec::new();
    while let Some((length @ 1..=63, rest)) = data.split_first() {
        let Some((label, rest)) = rest.split_at_checked((*length).into()) else { break };
        labels.push(String::from_utf8_lossy(label).to_ascii_lowercase());
        data = rest;
    }
    labels.join(".")
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn class_name(class: u16) -> String {
    match class {
        1 => "C_INTERNET".to_owned(),
        2 => "C_CSNET".to_owned(),
        3 => "C_CHAOS".to_owned(),
        4 => "C_HESIOD".to_owned(),
        254 => "C_NONE".to_owned(),
        255 => "C_ANY".to_owned(),
        other => format!("qclass-{other}"),
    }
}

fn type_name(qtype: u16, netbios: bool) -> String {
    match qtype {
        33 if netbios => "NBSTAT".to_owned(),
        23 => "NSAP-PTR".to_owned(),
        255 => "*".to_owned(),
        other => dns_types::name(other).map_or_else(|| format!("query-{other}"), ToOwned::to_owned),
    }
}

fn rcode_name(rcode: u8) -> String {
    const NAMES: [&str; 11] = [
        "NOERROR", "FORMERR", "SERVFAIL", "NXDOMAIN", "NOTIMP", "REFUSED", "YXDOMAIN", "YXRRSET", "NXRRSet",
        "NOTAUTH", "NOTZONE",
    ];
    NAMES.get(usize::from(rcode)).map_or_else(|| format!("unassigned-{rcode}"), |name| (*name).to_owned())
}

fn opcode_name(opcode: u8, netbios: bool) -> String {
    match (opcode, netbios) {
        (0, false) => "query".to_owned(),
        (1, false) => "iquery".to_owned(),
        (2, false) => "server-status".to_owned(),
        (4, false) => "notify".to_owned(),
        (5, false) => "dynamic-update".to_owned(),
        (6, false) => "dso".to_owned(),
        (other, false) => format!("opcode-{other}"),
        (0, true) => "netbios-query".to_owned(),
        (5, true) => "netbios-registration".to_owned(),
        (6, true) => "netbios-release".to_owned(),
        (7, true) => "netbios-wack".to_owned(),
        (8, true) => "netbios-refresh".to_owned(),
        (other, true) => format!("netbios-opcode-{other}"),
    }
}
