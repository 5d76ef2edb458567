//! EVE of dns (version 3) and mdns.
//!
//! Suricata does not read LLMNR and the `NetBIOS` name service, so they have no entries.

use core::fmt::Write as _;

use sekimori_sensor::event::dns::{Question, Rdata, Resource, Soa, unescape};
use sekimori_sensor::event::{Application, Dns};
use serde_json::{Map, Value, json};

use super::Entry;
use crate::replay::dns_types;

const QR: u16 = 0x8000;
/// The bits of the flags and their names.
const FLAGS: [(u16, &str); 8] = [
    (QR, "qr"),
    (0x0400, "aa"),
    (0x0200, "tc"),
    (0x0100, "rd"),
    (0x0080, "ra"),
    (0x0040, "z"),
    (0x0020, "ad"),
    (0x0010, "cd"),
];
const NULL: u16 = 10;
/// Its fields mean something else (RFC 6891).
const OPT: u16 = 41;

pub(super) fn entries(dns: &Dns) -> Vec<Entry> {
    if dns.application == Application::Llmnr {
        return Vec::new();
    }
    let is_multicast = dns.application == Application::Mdns;
    let (event_type, fields) = if is_multicast { ("mdns", multicast(dns)) } else { ("dns", unicast(dns)) };
    vec![Entry::new(event_type, dns.from_originator, Value::Object(fields))]
}

fn unicast(dns: &Dns) -> Map<String, Value> {
    let mut fields = Map::new();
    let mut put = |key: &str, value: Value| fields.insert(key.to_owned(), value);
    put("version", 3.into());
    put("type", kind(dns).into());
    put("tx_id", dns.number.into());
    put("id", dns.id.into());
    put("flags", format!("{:x}", dns.flags).into());
    for (_, name) in FLAGS.iter().take(6).filter(|(bit, _)| dns.flags & bit != 0) {
        put(name, true.into());
    }
    put("opcode", dns.opcode().into());
    put("rcode", rcode(dns).into());
    if !dns.questions.is_empty() {
        let query = |one: &Question| json!({"rrname": name(&one.name), "rrtype": rrtype(one.qtype)});
        put("queries", dns.questions.iter().map(query).collect());
    }
    if !dns.answer_records.is_empty() {
        put("grouped", grouped(&dns.answer_records));
    }
    for (name, section) in sections(dns) {
        let records: Vec<Value> = section.iter().filter(|one| printed(one)).flat_map(details).collect();
        if !records.is_empty() {
            put(name, records.into());
        }
    }
    fields
}

/// Suricata's newer way: flags as a list, types in small letters, the data under its type.
fn multicast(dns: &Dns) -> Map<String, Value> {
    let mut fields = Map::new();
    let mut put = |key: &str, value: Value| fields.insert(key.to_owned(), value);
    put("type", kind(dns).into());
    put("id", dns.id.into());
    let flags = FLAGS.iter().filter(|(bit, _)| *bit != QR && dns.flags & bit != 0);
    let flags: Vec<&str> = flags.map(|(_, name)| *name).collect();
    if !flags.is_empty() {
        put("flags", flags.into());
    }
    put("opcode", dns.opcode().into());
    put("rcode", dns.rcode.into());
    if !dns.questions.is_empty() {
        let query = |one: &Question| json!({"rrname": name(&one.name), "rrtype": small(one.qtype)});
        put("queries", dns.questions.iter().map(query).collect());
    }
    for (key, section) in sections(dns) {
        let record = |one: &Resource| {
            let mut fields = Map::new();
            fields.insert("rrname".to_owned(), name(&one.name).into());
            let value = if let Rdata::Text(parts) = &one.data {
                Some(parts.iter().map(|part| printable(part)).collect())
            } else {
                data(one).map(|(_, value)| value)
            };
            fields.extend(value.map(|value| (small(one.rtype), value)));
            Value::Object(fields)
        };
        let records: Vec<Value> = section.iter().filter(|one| printed(one)).map(record).collect();
        if !records.is_empty() {
            put(key, records.into());
        }
    }
    fields
}

const fn kind(dns: &Dns) -> &'static str {
    if dns.is_response { "response" } else { "request" }
}

fn sections(dns: &Dns) -> [(&'static str, &[Resource]); 3] {
    [("answers", &dns.answer_records), ("authorities", &dns.authorities), ("additionals", &dns.additionals)]
}

/// An OPT record without options is not printed.
fn printed(record: &Resource) -> bool {
    record.rtype != OPT || !matches!(&record.data, Rdata::Other(data) if data.is_empty())
}

/// A record, or one object for each string of a TXT record.
fn details(record: &Resource) -> Vec<Value> {
    let with = |more: Option<(&str, Value)>| {
        let mut fields =
            json!({"rrname": name(&record.name), "rrtype": rrtype(record.rtype), "ttl": record.ttl});
        if let (Some((key, value)), Some(map)) = (more, fields.as_object_mut()) {
            map.insert(key.to_owned(), value);
        }
        fields
    };
    if let Rdata::Text(parts) = &record.data {
        return parts.iter().map(|part| with(Some(("rdata", printable(part).into())))).collect();
    }
    vec![with(data(record))]
}

/// The data of a record and the key that it stands under; none for what Suricata does not read.
fn data(record: &Resource) -> Option<(&'static str, Value)> {
    Some(match &record.data {
        Rdata::Address(address) => ("rdata", address.to_string().into()),
        Rdata::Name(host) | Rdata::Exchange { host, .. } => ("rdata", name(host).into()),
        Rdata::Authority(soa) => ("soa", authority(soa)),
        Rdata::Fingerprint { algorithm, kind, fingerprint } => {
            ("sshfp", json!({"fingerprint": colons(fingerprint), "algo": algorithm, "type": kind}))
        }
        Rdata::Server { priority, weight, port, target } => {
            ("srv", json!({"priority": priority, "weight": weight, "port": port, "name": name(target)}))
        }
        Rdata::Other(bytes) if record.rtype == NULL => ("rdata", printable(bytes).into()),
        Rdata::Other(bytes) if record.rtype == OPT => ("opt", options(bytes)),
        Rdata::Text(_) | Rdata::Other(_) | Rdata::Issuer { .. } | Rdata::Service { .. } => return None,
    })
}

/// The options of an OPT record (RFC 6891, 6.1.2).
fn options(mut bytes: &[u8]) -> Value {
    let mut options = Vec::new();
    while let Some(([c, d, h, l], rest)) = bytes.split_first_chunk() {
        let (code, length) = (u16::from_be_bytes([*c, *d]), u16::from_be_bytes([*h, *l]));
        let Some((data, rest)) = rest.split_at_checked(length.into()) else { break };
        let hex: String = data.iter().map(|byte| format!("{byte:02x}")).collect();
        options.push(json!({"code": code, "data": hex}));
        bytes = rest;
    }
    options.into()
}

fn authority(soa: &Soa) -> Value {
    json!({
        "mname": name(&soa.mname), "rname": name(&soa.rname), "serial": soa.serial, "refresh": soa.refresh,
        "retry": soa.retry, "expire": soa.expire, "minimum": soa.minimum,
    })
}

/// Answers by type.
fn grouped(answers: &[Resource]) -> Value {
    let mut groups: Map<String, Value> = Map::new();
    for one in answers.iter().filter(|one| one.rtype != OPT) {
        let values: Vec<Value> = if let Rdata::Text(parts) = &one.data {
            parts.iter().map(|part| printable(part).into()).collect()
        } else {
            data(one).map(|(_, value)| value).into_iter().collect()
        };
        if values.is_empty() {
            continue;
        }
        let group = groups.entry(rrtype(one.rtype)).or_insert_with(|| Value::Array(Vec::new()));
        if let Some(group) = group.as_array_mut() {
            group.extend(values);
        }
    }
    Value::Object(groups)
}

/// A name as Suricata prints it.
fn name(escaped: &str) -> String {
    if escaped.contains('\\') { printable(&unescape(escaped)) } else { escaped.to_owned() }
}

/// UTF-8 as it is; of anything else what is not ASCII as `\xNN`.
fn printable(bytes: &[u8]) -> String {
    if let Ok(text) = str::from_utf8(bytes) {
        return text.to_owned();
    }
    let mut text = String::with_capacity(bytes.len());
    for byte in bytes {
        if byte.is_ascii() {
            text.push(char::from(*byte));
        } else {
            // Writing to a String cannot fail.
            write!(text, "\\x{byte:02x}").unwrap_or_default();
        }
    }
    text
}

fn colons(bytes: &[u8]) -> String {
    let pairs: Vec<_> = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    pairs.join(":")
}

fn rcode(dns: &Dns) -> String {
    const NAMES: [&str; 12] = [
        "NOERROR",
        "FORMERR",
        "SERVFAIL",
        "NXDOMAIN",
        "NOTIMP",
        "REFUSED",
        "YXDOMAIN",
        "YXRRSET",
        "NXRRSET",
        "NOTAUTH",
        "NOTZONE",
        "DSOTYPENI",
    ];
    NAMES.get(usize::from(dns.rcode)).map_or_else(|| dns.rcode.to_string(), |name| (*name).to_owned())
}

/// The name of a type (IANA, "Domain Name System Parameters"); its number if it has none.
fn rrtype(number: u16) -> String {
    dns_types::name(number).map_or_else(|| number.to_string(), ToOwned::to_owned)
}

fn small(number: u16) -> String {
    rrtype(number).to_ascii_lowercase()
}
