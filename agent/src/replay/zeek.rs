//! Zeek's logs (docs.zeek.org, "Log Files"): tab-separated values with Zeek's header, or JSON lines; Zeek's names and states.
//!
//! Each module makes the rows of its log; names, types and escaping are here.

mod conn;
mod dns;
mod ftp;
mod http;
mod smtp;
mod ssh;
mod ssl;

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use sekimori_sensor::counters::Counters;
use sekimori_sensor::event::{Event, FlowEvent, FlowRef, Transaction};
use sekimori_wire::time::Timestamp;
use serde_json::{Map, Value};

use super::{ReplayError, Writer};
use crate::capture::file::Files;

/// A log: its name and its columns (name, type), with those that every log begins with left out.
#[derive(Debug)]
struct Log {
    name: &'static str,
    fields: &'static [(&'static str, &'static str)],
}

/// Certificates that are remembered as written.
const CERTIFICATES_MAX: usize = 1 << 18;

/// The columns that logs of connections begin with.
const FIRST: [(&str, &str); 6] = [
    ("ts", "time"),
    ("uid", "string"),
    ("id.orig_h", "addr"),
    ("id.orig_p", "port"),
    ("id.resp_h", "addr"),
    ("id.resp_p", "port"),
];

impl Log {
    /// The columns before its own.
    fn first(&self) -> &'static [(&'static str, &'static str)] {
        if core::ptr::eq(self, &ssl::X509) { FIRST.split_at(1).0 } else { &FIRST }
    }
}

/// A value.
#[derive(Clone, Debug, PartialEq)]
enum Cell {
    /// `-`.
    Unset,
    /// A string, an enumeration or an address.
    Text(String),
    Count(u64),
    Bool(bool),
    Time(Timestamp),
    /// A time in whole seconds since 1970, or before.
    Seconds(i64),
    /// Seconds.
    Interval(core::time::Duration),
    /// A set or a vector.
    Many(Vec<Self>),
}

impl Cell {
    fn text(text: impl Into<String>) -> Self {
        Self::Text(text.into())
    }

    fn of<T: Into<String>>(text: Option<T>) -> Self {
        text.map_or(Self::Unset, Self::text)
    }

    fn tsv(&self) -> String {
        match self {
            Self::Unset => "-".to_owned(),
            Self::Text(text) if text.is_empty() => "(empty)".to_owned(),
            Self::Text(text) if text == "-" => "\\x2d".to_owned(),
            Self::Text(text) => escaped(text),
            Self::Count(count) => count.to_string(),
            Self::Bool(true) => "T".to_owned(),
            Self::Bool(false) => "F".to_owned(),
            Self::Time(at) => seconds(at.nanos()),
            Self::Seconds(at) => format!("{at}.000000"),
            // Rounded: Zeek's are floating.
            Self::Interval(span) => {
                seconds(u64::try_from(span.as_nanos()).unwrap_or(u64::MAX).saturating_add(500))
            }
            Self::Many(cells) if cells.is_empty() => "(empty)".to_owned(),
            Self::Many(cells) => {
                let inner = cells.iter().map(|cell| cell.tsv().replace(',', "\\x2c"));
                inner.collect::<Vec<_>>().join(",")
            }
        }
    }

    fn json(&self) -> Option<Value> {
        Some(match self {
            Self::Unset => return None,
            Self::Text(text) => text.as_str().into(),
            Self::Count(count) => (*count).into(),
            Self::Bool(yes) => (*yes).into(),
            Self::Time(_) | Self::Seconds(_) | Self::Interval(_) => {
                self.tsv().parse().map_or(Value::Null, Value::Number)
            }
            Self::Many(cells) => Value::Array(cells.iter().filter_map(Self::json).collect()),
        })
    }
}

/// Seconds with six decimals, the rest cut.
fn seconds(nanos: u64) -> String {
    format!("{}.{:06}", nanos / 1_000_000_000, nanos % 1_000_000_000 / 1_000)
}

/// As Zeek's ASCII writer: control characters, backslashes and the separator as `\\xNN`.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for char in text.chars() {
        match char {
            '\\' => out.push_str("\\\\"),
            char if char.is_ascii_control() => out.push_str(&format!("\\x{:02x}", u32::from(char))),
            char => out.push(char),
        }
    }
    out
}

/// A line of a log, without the columns of [`FIRST`].
#[derive(Debug)]
struct Row {
    log: &'static Log,
    /// `ts`.
    at: Timestamp,
    cells: Vec<Cell>,
}

/// Writes Zeek's logs.
pub(super) struct Zeek {
    folder: PathBuf,
    json: bool,
    logs: BTreeMap<&'static str, Open>,
    /// DNS messages that wait for their counterparts.
    dns: dns::Pending,
    /// Certificates that `x509.log` has: each stands there once.
    certificates: BTreeSet<String>,
}

/// A log that has lines.
struct Open {
    to: BufWriter<File>,
    path: PathBuf,
}

impl Zeek {
    pub(super) fn new(folder: &Path, json: bool) -> Result<Self, ReplayError> {
        std::fs::create_dir_all(folder)
            .map_err(|cause| ReplayError::Output { path: folder.to_owned(), cause })?;
        let (logs, certificates, dns) = (BTreeMap::new(), BTreeSet::new(), dns::Pending::default());
        Ok(Self { folder: folder.to_owned(), json, logs, dns, certificates })
    }

    fn write(&mut self, flow: &FlowRef, row: &Row) -> Result<(), ReplayError> {
        if core::ptr::eq(row.log, &ssl::X509)
            && let Some(Cell::Text(fingerprint)) = row.cells.first()
            && self.certificates.len() < CERTIFICATES_MAX
            && !self.certificates.insert(fingerprint.clone())
        {
            return Ok(());
        }
        let (originator, responder) = conn::ends(flow);
        let first = [
            Cell::Time(row.at),
            Cell::text(uid(flow)),
            Cell::text(originator.address.to_string()),
            Cell::Count(originator.port.into()),
            Cell::text(responder.address.to_string()),
            Cell::Count(responder.port.into()),
        ];
        let json = self.json;
        let cells = || first.iter().take(row.log.first().len()).chain(&row.cells);
        let line = if json {
            let names = row.log.first().iter().chain(row.log.fields).map(|(name, _)| (*name).to_owned());
            let pairs = names.zip(cells()).filter_map(|(name, cell)| Some((name, cell.json()?)));
            Value::Object(pairs.collect::<Map<_, _>>()).to_string()
        } else {
            cells().map(Cell::tsv).collect::<Vec<_>>().join("\t")
        };
        let open = self.open(row.log)?;
        open.line(&line)
    }

    /// The log, begun if need be.
    fn open(&mut self, log: &'static Log) -> Result<&mut Open, ReplayError> {
        let open = match self.logs.entry(log.name) {
            std::collections::btree_map::Entry::Occupied(open) => return Ok(open.into_mut()),
            std::collections::btree_map::Entry::Vacant(free) => {
                let path = self.folder.join(format!("{}.log", log.name));
                let to = match File::create(&path) {
                    Ok(file) => BufWriter::new(file),
                    Err(cause) => return Err(ReplayError::Output { path, cause }),
                };
                free.insert(Open { to, path })
            }
        };
        if !self.json {
            let names: Vec<&str> = log.first().iter().chain(log.fields).map(|(name, _)| *name).collect();
            let types: Vec<&str> = log.first().iter().chain(log.fields).map(|(_, kind)| *kind).collect();
            open.line("#separator \\x09\n#set_separator\t,\n#empty_field\t(empty)\n#unset_field\t-")?;
            open.line(&format!("#path\t{}", log.name))?;
            open.line(&format!("#fields\t{}\n#types\t{}", names.join("\t"), types.join("\t")))?;
        }
        Ok(open)
    }
}

impl Open {
    fn line(&mut self, line: &str) -> Result<(), ReplayError> {
        let written = writeln!(self.to, "{line}");
        written.map_err(|cause| self.failed(cause))
    }

    fn failed(&self, cause: io::Error) -> ReplayError {
        ReplayError::Output { path: self.path.clone(), cause }
    }
}

impl Writer for Zeek {
    fn event(&mut self, event: &Event) -> Result<(), ReplayError> {
        match event {
            Event::Flow { at, flow, what } => {
                let of_dns = self.dns.of(*at, flow, what);
                of_dns.iter().try_for_each(|(flow, row)| self.write(flow, row))?;
                rows(*at, flow, what).iter().try_for_each(|row| self.write(flow, row))
            }
            Event::Arp { .. } | Event::Anomaly { .. } => Ok(()),
        }
    }

    fn finish(&mut self, _files: &Files, _counters: &Counters) -> Result<(), ReplayError> {
        let left = self.dns.finish();
        left.iter().try_for_each(|(flow, row)| self.write(flow, row))?;
        for open in self.logs.values_mut() {
            if !self.json {
                open.line("#close")?;
            }
            let flushed = open.to.flush();
            flushed.map_err(|cause| open.failed(cause))?;
        }
        Ok(())
    }
}

/// A connection's identifier: the same in all logs and in every run.
fn uid(flow: &FlowRef) -> String {
    const DIGITS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    let digest = sekimori_wire::id::Digest::of(
        format!("{} {} {}", flow.began.nanos(), flow.community_id(), flow.id).as_bytes(),
    );
    let digits = digest.as_bytes().iter().take(17).map(|byte| usize::from(*byte) % DIGITS.len());
    let digits = digits.filter_map(|at| DIGITS.get(at)).map(|digit| char::from(*digit));
    core::iter::once('C').chain(digits).collect()
}

fn rows(at: Timestamp, flow: &FlowRef, what: &FlowEvent) -> Vec<Row> {
    match what {
        FlowEvent::Ended(record) => conn::rows(flow, record),
        FlowEvent::Transaction(transaction) => match &**transaction {
            Transaction::Tls(one) => ssl::rows(at, one),
            Transaction::Http(one) => http::rows(at, one),
            Transaction::Ssh(one) => ssh::rows(at, flow, one),
            Transaction::Smtp(one) => smtp::rows(at, flow, one),
            Transaction::Ftp(one) => ftp::rows(at, flow, one),
            Transaction::Rdp(one) => ssl::of_rdp(at, one),
            // A line of `dns.log` is more than one event.
            Transaction::NameService(_)
            | Transaction::Quic(_)
            | Transaction::Pop3(_)
            | Transaction::Imap(_)
            | Transaction::Telnet(_)
            | Transaction::Smb(_)
            | Transaction::DceRpc(_)
            | Transaction::Kerberos(_)
            | Transaction::Ldap(_)
            | Transaction::Ntp(_)
            | Transaction::Dhcp(_)
            | Transaction::Snmp(_)
            | Transaction::Tftp(_)
            | Transaction::Sip(_)
            | Transaction::Mqtt(_)
            | Transaction::Dht(_)
            | Transaction::File(_) => Vec::new(),
        },
        FlowEvent::Dns(_)
        | FlowEvent::Started(_)
        | FlowEvent::Answered
        | FlowEvent::Established
        | FlowEvent::Rejected
        | FlowEvent::Unanswered
        | FlowEvent::Tls(_)
        | FlowEvent::HttpRequest(_)
        | FlowEvent::HttpResponse { .. }
        | FlowEvent::Traffic(_)
        | FlowEvent::Opening(_)
        | FlowEvent::Echo(_)
        | FlowEvent::Syslog(_)
        | FlowEvent::Anomaly(_) => Vec::new(),
    }
}
