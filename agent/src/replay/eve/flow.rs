//! EVE of flow and stats.

use std::collections::BTreeMap;

use sekimori_sensor::counters::Counters;
use sekimori_sensor::event::{
    Application, ConnState, EndReason, FlowEvent, FlowRecord, FlowRef, TcpState, Transaction, Volume, Way,
};
use serde_json::{Map, Value, json};

use super::{Entry, time};

const ICMP: u8 = 1;
const TCP: u8 = 6;
const UDP: u8 = 17;
const ICMP6: u8 = 58;

pub(super) fn entries(flow: &FlowRef, record: &FlowRecord) -> Vec<Entry> {
    let conduct = &record.conduct;
    let volume = |side: &Volume| (side.packets, side.wire_bytes);
    let (to_server, to_client) = (volume(&record.originator), volume(&record.responder));
    let age = (record.end.nanos() / NANOS).saturating_sub(record.start.nanos() / NANOS);
    let fields = json!({
        "pkts_toserver": to_server.0,
        "pkts_toclient": to_client.0,
        "bytes_toserver": to_server.1,
        "bytes_toclient": to_client.1,
        "start": time(record.start),
        "end": time(record.end),
        "age": age,
        "state": state(flow, record),
        "reason": reason(record.reason),
        "alerted": false,
    });
    let mut entry = Entry::new("flow", true, fields);
    for (key, name) in protocols(flow, record) {
        entry = entry.with(key, name);
    }
    if flow.protocol == TCP {
        entry = entry.with("tcp", tcp(&conduct.originator, &conduct.responder, conduct.tcp_state));
    }
    if let [Some((kind, code)), response] = conduct.icmp {
        entry = entry.with("icmp_type", kind).with("icmp_code", code);
        if let Some((kind, code)) = response {
            entry = entry.with("response_icmp_type", kind).with("response_icmp_code", code);
        }
    }
    if let (Some(source), Some(destination)) = (conduct.originator.mac, conduct.responder.mac) {
        let ether = json!({"src_macs": [mac(source)], "dest_macs": [mac(destination)]});
        entry = entry.with("ether", ether);
    }
    let vlans: Vec<u16> = conduct.vlans.iter().copied().filter(|vlan| *vlan != 0).collect();
    if vlans.len() > 1 {
        entry = entry.with("vlan", vlans);
    }
    vec![entry]
}

const NANOS: u64 = 1_000_000_000;

fn mac([a, b, c, d, e, f]: [u8; 6]) -> String {
    format!("{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{f:02x}")
}

fn state(flow: &FlowRef, record: &FlowRecord) -> &'static str {
    match (flow.protocol, record.conduct.tcp_state) {
        (TCP, TcpState::None | TcpState::SynSent | TcpState::SynReceived) => "new",
        (TCP, TcpState::LastAck | TcpState::TimeWait | TcpState::Closed) => "closed",
        (
            TCP,
            TcpState::Established
            | TcpState::FinWait1
            | TcpState::FinWait2
            | TcpState::CloseWait
            | TcpState::Closing,
        ) => "established",
        _ if record.state == ConnState::SF => "established",
        _ => "new",
    }
}

/// Why a flow is reported: closed flows wait in Suricata's table, mostly for its end.
fn reason(reason: EndReason) -> &'static str {
    match reason {
        EndReason::Idle | EndReason::Active => "timeout",
        EndReason::Closed | EndReason::Forced => "shutdown",
        EndReason::LackOfResources => "forced",
    }
}

/// `app_proto` and its relatives.
fn protocols(flow: &FlowRef, record: &FlowRecord) -> Vec<(&'static str, &'static str)> {
    let known = record.applications.iter().filter(|one| **one != Application::Unknown);
    let names: Vec<&str> = known.map(|application| name(*application)).collect();
    let carried = record.originator.payload_bytes > 0 || record.responder.payload_bytes > 0;
    match (names.first(), names.last()) {
        (Some(first), Some(last)) if first != last => vec![("app_proto", *last), ("app_proto_orig", *first)],
        (Some(_), Some(only)) => vec![("app_proto", *only)],
        _ if carried && matches!(flow.protocol, TCP | UDP) => vec![("app_proto", "failed")],
        _ => Vec::new(),
    }
}

/// Suricata's name of an application; `failed` where it has none.
pub(super) fn name(application: Application) -> &'static str {
    match application {
        Application::Dns
        | Application::Mdns
        | Application::Tls
        | Application::Quic
        | Application::Http
        | Application::Http2
        | Application::WebSocket
        | Application::Ssh
        | Application::Smtp
        | Application::Ftp
        | Application::FtpData
        | Application::Pop3
        | Application::Imap
        | Application::Telnet
        | Application::Smb
        | Application::DceRpc
        | Application::Kerberos
        | Application::Ldap
        | Application::Rdp
        | Application::Ntp
        | Application::Dhcp
        | Application::Snmp
        | Application::Tftp
        | Application::Sip
        | Application::Mqtt
        | Application::Dht
        | Application::Ike
        | Application::Vnc => application.as_str(),
        Application::Tor => "tls",
        Application::Postgres => "pgsql",
        Application::Unknown
        | Application::Llmnr
        | Application::Nbns
        | Application::Dtls
        | Application::Dhcpv6
        | Application::Syslog
        | Application::BitTorrent
        | Application::WireGuard
        | Application::OpenVpn
        | Application::Stun
        | Application::Ssdp
        | Application::Radius
        | Application::Rtp
        | Application::Rtsp
        | Application::Irc
        | Application::Xmpp
        | Application::Mysql
        | Application::Socks
        | Application::Stratum
        | Application::TeamViewer
        | Application::NbDatagram
        | Application::Slp
        | Application::MongoDb
        | Application::Ajp
        | Application::Iec104
        | Application::AnyDesk => "failed",
    }
}

fn tcp(originator: &Way, responder: &Way, state: TcpState) -> Value {
    let all = originator.flags | responder.flags;
    let mut fields = Map::new();
    for (name, flags) in
        [("tcp_flags", all), ("tcp_flags_ts", originator.flags), ("tcp_flags_tc", responder.flags)]
    {
        fields.insert(name.to_owned(), format!("{flags:02x}").into());
    }
    for (name, bit) in [("fin", 1), ("syn", 2), ("rst", 4), ("psh", 8), ("ack", 16), ("urg", 32)] {
        if all & bit != 0 {
            fields.insert(name.to_owned(), true.into());
        }
    }
    fields.insert("state".to_owned(), state.as_str().into());
    Value::Object(fields)
}

/// Application events after which Suricata's parser reads no more of a flow.
const GIVES_UP: [(Application, &str); 1] = [(Application::Smtp, "INVALID_REPLY")];

/// What `stats` counts of flows.
#[derive(Debug, Default)]
pub(super) struct Tally {
    /// By Suricata's name of the protocol: flows and transactions.
    protocols: BTreeMap<String, (u64, u64)>,
    /// Messages at which Suricata's parser gives a flow up.
    errors: BTreeMap<&'static str, u64>,
    /// Flows by transport.
    transports: [u64; 4],
}

impl Tally {
    /// Counts the end of a flow, or of a transaction.
    pub(super) fn count(&mut self, flow: &FlowRef, what: &FlowEvent) {
        match what {
            FlowEvent::Ended(record) if record.reason != EndReason::Active => self.flow(flow, record),
            FlowEvent::Transaction(one) => {
                if let Some(application) = application(one) {
                    self.of(flow, application).1 += 1;
                }
            }
            FlowEvent::Dns(_) => self.of(flow, Application::Dns).1 += 1,
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
            | FlowEvent::Syslog(_)
            | FlowEvent::Ended(_) => {}
            FlowEvent::Anomaly(anomaly) => {
                if GIVES_UP.contains(&(anomaly.application, anomaly.name)) {
                    *self.errors.entry(name(anomaly.application)).or_default() += 1;
                }
            }
        }
    }

    fn flow(&mut self, flow: &FlowRef, record: &FlowRecord) {
        for application in record.applications.iter().filter(|one| **one != Application::Unknown) {
            self.of(flow, *application).0 += 1;
        }
        let at = match flow.protocol {
            TCP => 0,
            UDP => 1,
            ICMP => 2,
            ICMP6 => 3,
            _ => return,
        };
        if let Some(count) = self.transports.get_mut(at) {
            *count += 1;
        }
    }

    fn of(&mut self, flow: &FlowRef, application: Application) -> &mut (u64, u64) {
        self.protocols.entry(counted(flow, application)).or_default()
    }
}

/// Whose transaction it is.
fn application(transaction: &Transaction) -> Option<Application> {
    Some(match transaction {
        Transaction::Tls(_) => Application::Tls,
        Transaction::NameService(_) => Application::Nbns,
        Transaction::Http(_) => Application::Http,
        Transaction::Ssh(_) => Application::Ssh,
        Transaction::Smtp(_) => Application::Smtp,
        Transaction::Ftp(_) => Application::Ftp,
        Transaction::Pop3(_) => Application::Pop3,
        Transaction::Imap(_) => Application::Imap,
        Transaction::Telnet(_) => Application::Telnet,
        Transaction::Smb(_) => Application::Smb,
        Transaction::DceRpc(_) => Application::DceRpc,
        Transaction::Kerberos(_) => Application::Kerberos,
        Transaction::Ldap(_) => Application::Ldap,
        Transaction::Rdp(_) => Application::Rdp,
        Transaction::Ntp(_) => Application::Ntp,
        Transaction::Dhcp(_) => Application::Dhcp,
        Transaction::Snmp(_) => Application::Snmp,
        Transaction::Tftp(_) => Application::Tftp,
        Transaction::Sip(_) => Application::Sip,
        Transaction::Mqtt(_) => Application::Mqtt,
        Transaction::Quic(_) => Application::Quic,
        Transaction::Dht(_) => Application::Dht,
        Transaction::File(_) => return None,
    })
}

/// Protocols over both transports are counted apart.
fn counted(flow: &FlowRef, application: Application) -> String {
    let [over_tcp, over_udp] = names(application);
    if flow.protocol == UDP { over_udp } else { over_tcp }
}

/// The counters of a protocol over TCP and over UDP; the same where Suricata knows it over one only.
fn names(application: Application) -> [String; 2] {
    let name = name(application);
    let over_both = matches!(
        application,
        Application::Dns | Application::DceRpc | Application::Kerberos | Application::Ldap | Application::Sip
    ) || name == "failed";
    if over_both {
        [format!("{name}_tcp"), format!("{name}_udp")]
    } else {
        [name.to_owned(), name.to_owned()]
    }
}

pub(super) fn stats(counters: &Counters, tally: &Tally) -> Entry {
    let ours = counters.iter().map(|(name, count)| (name.to_owned(), Value::from(count)));
    let by = |which: fn(&(u64, u64)) -> u64| -> Value {
        let mut all: Map<String, Value> =
            Application::ALL.iter().flat_map(|one| names(*one)).map(|name| (name, 0.into())).collect();
        all.extend(tally.protocols.iter().map(|(name, both)| (name.clone(), which(both).into())));
        Value::Object(all)
    };
    let errors: Map<String, Value> = Application::ALL
        .iter()
        .map(|one| (name(*one).to_owned(), json!({"parser": tally.errors.get(name(*one)).unwrap_or(&0)})))
        .collect();
    let [tcp, udp, icmp, icmp6] = tally.transports;
    let fields = json!({
        "sekimori": Value::Object(ours.collect()),
        "app_layer": {"flow": by(|both| both.0), "tx": by(|both| both.1), "error": errors},
        "flow": {"total": tcp + udp + icmp + icmp6, "tcp": tcp, "udp": udp, "icmpv4": icmp, "icmpv6": icmp6},
    });
    Entry::new("stats", true, fields)
}

#[cfg(test)]
mod tests {
    use core::net::{IpAddr, Ipv4Addr};

    use sekimori_sensor::event::{Conduct, Endpoint};
    use sekimori_wire::time::Timestamp;

    use super::*;

    fn flow(protocol: u8) -> FlowRef {
        let end = |port| Endpoint { address: IpAddr::V4(Ipv4Addr::LOCALHOST), port };
        let (originator, responder) = (end(40_000), end(80));
        FlowRef { id: 1, began: Timestamp::ZERO, originator, responder, protocol, vlan: None, swapped: false }
    }

    #[test]
    fn a_flow_names_its_first_and_its_last_protocol() {
        let mut record = FlowRecord::default();
        assert_eq!(protocols(&flow(TCP), &record), []);
        record.originator.payload_bytes = 1;
        assert_eq!(protocols(&flow(TCP), &record), [("app_proto", "failed")]);
        record.applications[0] = Application::Http;
        assert_eq!(protocols(&flow(TCP), &record), [("app_proto", "http")]);
        record.applications[1] = Application::Tls;
        assert_eq!(protocols(&flow(TCP), &record), [("app_proto", "tls"), ("app_proto_orig", "http")]);
    }

    #[test]
    fn the_age_is_the_difference_of_whole_seconds() {
        let mut record = FlowRecord {
            start: Timestamp::from_nanos(1_999_999_999),
            end: Timestamp::from_nanos(2_000_000_000),
            ..FlowRecord::default()
        };
        record.conduct = Conduct { tcp_state: TcpState::Established, ..Conduct::default() };
        record.conduct.originator.flags = 0x1b;
        let entries = entries(&flow(TCP), &record);
        let fields = &entries[0].fields;
        assert_eq!(fields["flow"]["age"], 1);
        assert_eq!(fields["flow"]["state"], "established");
        assert_eq!(fields["tcp"]["tcp_flags_ts"], "1b");
        assert_eq!(fields["tcp"]["psh"], true);
    }

    #[test]
    fn stats_count_flows_and_transactions_by_protocol() {
        let mut tally = Tally::default();
        let mut record = FlowRecord::default();
        record.applications[0] = Application::Sip;
        tally.count(&flow(TCP), &FlowEvent::Ended(Box::new(record)));
        let entry = stats(&Counters::default(), &tally);
        assert_eq!(entry.fields["stats"]["app_layer"]["flow"]["sip_tcp"], 1);
        assert_eq!(entry.fields["stats"]["flow"]["total"], 1);
    }
}
