//! Suricata's EVE JSON (docs.suricata.io, "EVE JSON format"): one object a line, field for field where we have the value.
//!
//! Each module makes the fields of its event types; what all share is written here.

mod anomaly;
mod arp;
mod dcerpc;
mod dhcp;
mod dht;
mod dns;
mod file;
mod flow;
mod ftp;
mod http;
mod imap;
mod kerberos;
mod ldap;
mod mqtt;
mod ntp;
mod pop3;
mod quic;
mod rdp;
mod sip;
mod smb;
mod smtp;
mod snmp;
mod ssh;
mod telnet;
mod tftp;
mod tls;

use core::net::IpAddr;

use jiff::fmt::strtime;
use sekimori_sensor::counters::Counters;
use sekimori_sensor::event::{Event, FlowEvent, FlowRef, Layer, Transaction};
use sekimori_wire::finding::Finding;
use sekimori_wire::record::Record;
use sekimori_wire::time::Timestamp;
use serde_json::{Map, Value, json};

use super::{Output, ReplayError, Writer};
use crate::capture::file::Files;

/// One EVE record before what all have.
#[derive(Debug)]
struct Entry {
    /// `event_type`.
    event_type: &'static str,
    /// `src_ip` is the flow's originator.
    from_originator: bool,
    /// Everything else, by top-level key.
    fields: Map<String, Value>,
}

impl Entry {
    /// A record whose fields stand under the key of its own type.
    fn new(event_type: &'static str, from_originator: bool, fields: Value) -> Self {
        let mut map = Map::new();
        map.insert(event_type.to_owned(), fields);
        Self { event_type, from_originator, fields: map }
    }

    /// With one more top-level key.
    fn with(mut self, key: &str, value: impl Into<Value>) -> Self {
        self.fields.insert(key.to_owned(), value.into());
        self
    }
}

/// Writes EVE.
pub(super) struct Eve {
    output: Output,
    now: Timestamp,
    /// Of the Community IDs.
    seed: u16,
    tally: flow::Tally,
    parted: file::Parted,
}

impl Eve {
    pub(super) fn new(output: Output, seed: u16) -> Self {
        let (tally, parted) = (flow::Tally::default(), file::Parted::default());
        Self { output, now: Timestamp::ZERO, seed, tally, parted }
    }

    fn write(&mut self, at: Timestamp, flow: Option<&FlowRef>, entry: Entry) -> Result<(), ReplayError> {
        let mut line = entry.fields;
        line.insert("timestamp".to_owned(), time(at).into());
        line.insert("event_type".to_owned(), entry.event_type.into());
        line.insert("pkt_src".to_owned(), "wire/pcap".into());
        if let Some(flow) = flow {
            share(flow, self.seed, entry.from_originator, &mut line);
        }
        self.output.line(&Value::Object(line).to_string())
    }
}

impl Writer for Eve {
    fn record(&mut self, record: &Record) -> Result<(), ReplayError> {
        match record {
            Record::Finding(finding) => self.write(finding.detected_at, None, alert(finding)),
            Record::EndpointAlert(_) | Record::Summary(_) | Record::Health(_) | Record::Gap(_) => Ok(()),
        }
    }

    fn event(&mut self, event: &Event) -> Result<(), ReplayError> {
        self.now = self.now.max(event.at());
        match event {
            Event::Arp { at, vlan, arp } => self.write(*at, None, arp::entry(*vlan, arp)),
            Event::Anomaly { at, vlan, ends, anomaly } => {
                self.write(*at, None, anomaly::of_frame(*vlan, *ends, anomaly))
            }
            Event::Flow { at, flow, what } => {
                self.tally.count(flow, what);
                let entries = entries(flow, what, &mut self.parted);
                entries.into_iter().try_for_each(|entry| self.write(*at, Some(flow), entry))
            }
        }
    }

    fn finish(&mut self, _files: &Files, counters: &Counters) -> Result<(), ReplayError> {
        self.write(self.now, None, flow::stats(counters, &self.tally))?;
        self.output.flush()
    }
}

fn entries(flow: &FlowRef, what: &FlowEvent, parted: &mut file::Parted) -> Vec<Entry> {
    match what {
        FlowEvent::Dns(dns) => dns::entries(dns),
        FlowEvent::Ended(record) => flow::entries(flow, record),
        // Ours; Suricata's own of the stream have other conditions.
        FlowEvent::Anomaly(anomaly) if anomaly.layer == Layer::Stream => Vec::new(),
        // What only our detectors want is no event of Suricata's.
        FlowEvent::Anomaly(anomaly) if anomaly.name.starts_with(anomaly::OURS) => Vec::new(),
        FlowEvent::Anomaly(anomaly) => vec![anomaly::of_flow(anomaly)],
        FlowEvent::Transaction(transaction) => match &**transaction {
            Transaction::Tls(one) => tls::entries(one),
            // Suricata does not read it.
            Transaction::NameService(_) => Vec::new(),
            Transaction::Http(one) => http::entries(one, parted),
            Transaction::Ssh(one) => ssh::entries(one),
            Transaction::Smtp(one) => smtp::entries(one),
            Transaction::Ftp(one) => ftp::entries(one),
            Transaction::Pop3(one) => pop3::entries(one),
            Transaction::Imap(one) => imap::entries(one),
            Transaction::Telnet(one) => telnet::entries(one),
            Transaction::Smb(one) => smb::entries(one),
            Transaction::DceRpc(one) => dcerpc::entries(one),
            Transaction::Kerberos(one) => kerberos::entries(one),
            Transaction::Ldap(one) => ldap::entries(one),
            Transaction::Rdp(one) => rdp::entries(one),
            Transaction::Ntp(one) => ntp::entries(one),
            Transaction::Dhcp(one) => dhcp::entries(one),
            Transaction::Snmp(one) => snmp::entries(one),
            Transaction::Tftp(one) => tftp::entries(one),
            Transaction::Sip(one) => sip::entries(one),
            Transaction::Mqtt(one) => mqtt::entries(one),
            Transaction::Quic(one) => quic::entries(one),
            Transaction::Dht(one) => dht::entries(one),
            Transaction::File(one) => file::entries(one),
        },
        FlowEvent::Started(_)
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
        | FlowEvent::Syslog(_) => Vec::new(),
    }
}

/// What every record of a flow has.
fn share(flow: &FlowRef, seed: u16, from_originator: bool, line: &mut Map<String, Value>) {
    let (from, to) =
        if from_originator { (flow.originator, flow.responder) } else { (flow.responder, flow.originator) };
    let mut put = |key: &str, value: Value| line.insert(key.to_owned(), value);
    put("flow_id", flow.id.into());
    put("src_ip", from.address.to_string().into());
    put("dest_ip", to.address.to_string().into());
    put("ip_v", if from.address.is_ipv4() { 4 } else { 6 }.into());
    put("proto", protocol(flow.protocol).into());
    put("community_id", flow.community_id_seeded(seed).into());
    if flow.protocol == 6 || flow.protocol == 17 {
        put("src_port", from.port.into());
        put("dest_port", to.port.into());
    }
    if let Some(vlan) = flow.vlan {
        line.entry("vlan").or_insert_with(|| json!([vlan]));
    }
}

/// Suricata's name of an IP protocol.
fn protocol(number: u8) -> String {
    match number {
        1 => "ICMP".to_owned(),
        6 => "TCP".to_owned(),
        17 => "UDP".to_owned(),
        58 => "IPv6-ICMP".to_owned(),
        132 => "SCTP".to_owned(),
        other => format!("{other:03}"),
    }
}

/// `2013-02-26T22:02:35.714139+0000`.
fn time(at: Timestamp) -> String {
    let at = jiff::Timestamp::from_nanosecond(at.nanos().into()).unwrap_or_default();
    strtime::format("%Y-%m-%dT%H:%M:%S.%6f+0000", &at.to_zoned(jiff::tz::TimeZone::UTC)).unwrap_or_default()
}

/// A finding as an alert of this program.
fn alert(finding: &Finding) -> Entry {
    let mut entry = Entry::new(
        "alert",
        true,
        json!({
            "action": "allowed",
            "gid": 1,
            "signature": &*finding.title.en,
            "category": finding.category.as_str(),
            "severity": 5_u8.saturating_sub(finding.severity.level()).clamp(1, 3),
            "metadata": {"finding": [finding.id.to_string()]},
        }),
    );
    if let Some(host) = finding.originator {
        entry = entry.with("src_ip", host.to_string());
    }
    if let Some(host) = finding.responder {
        entry = entry.with("dest_ip", host.to_string());
    }
    entry
}

/// Text of any address.
fn text(address: IpAddr) -> Value {
    address.to_string().into()
}
