//! `conn.log`.

use core::net::IpAddr;

use sekimori_sensor::event::{Application, ConnState, EndReason, Endpoint, FlowRecord, FlowRef, Volume, Way};
use sekimori_wire::community::icmp_counterpart;

use super::{Cell, Log, Row};

static CONN: Log = Log {
    name: "conn",
    fields: &[
        ("proto", "enum"),
        ("service", "string"),
        ("duration", "interval"),
        ("orig_bytes", "count"),
        ("resp_bytes", "count"),
        ("conn_state", "string"),
        ("local_orig", "bool"),
        ("local_resp", "bool"),
        ("missed_bytes", "count"),
        ("history", "string"),
        ("orig_pkts", "count"),
        ("orig_ip_bytes", "count"),
        ("resp_pkts", "count"),
        ("resp_ip_bytes", "count"),
        ("tunnel_parents", "set[string]"),
        ("ip_proto", "count"),
    ],
};

const ICMP: u8 = 1;
const TCP: u8 = 6;
const UDP: u8 = 17;
const ICMP6: u8 = 58;

/// One end of a connection.
struct Side<'a> {
    address: IpAddr,
    volume: &'a Volume,
    way: &'a Way,
}

pub(super) fn rows(flow: &FlowRef, record: &FlowRecord) -> Vec<Row> {
    if record.reason == EndReason::Active && record.originator.packets + record.responder.packets == 0 {
        return Vec::new();
    }
    let conduct = &record.conduct;
    let originator =
        Side { address: flow.originator.address, volume: &record.originator, way: &conduct.originator };
    let responder =
        Side { address: flow.responder.address, volume: &record.responder, way: &conduct.responder };
    let [originator, responder] =
        if flow.swapped { [responder, originator] } else { [originator, responder] };
    let duration = conduct.active_until.since(record.start);
    let lasted = !duration.is_zero();
    let bytes = |side: &Side<'_>| if lasted { Cell::Count(side.way.stream_bytes) } else { Cell::Unset };
    let history = conduct.history.as_str();
    let cells = vec![
        Cell::text(protocol(flow.protocol)),
        Cell::of(service(flow.protocol, record)),
        if lasted { Cell::Interval(duration) } else { Cell::Unset },
        bytes(&originator),
        bytes(&responder),
        Cell::text(state(flow, record).as_str()),
        Cell::Bool(is_local(originator.address)),
        Cell::Bool(is_local(responder.address)),
        Cell::Count(originator.way.missed_bytes.saturating_add(responder.way.missed_bytes)),
        Cell::of((!history.is_empty()).then_some(history)),
        Cell::Count(originator.volume.packets),
        Cell::Count(originator.volume.bytes),
        Cell::Count(responder.volume.packets),
        Cell::Count(responder.volume.bytes),
        Cell::Unset,
        Cell::Count(flow.protocol.into()),
    ];
    vec![Row { log: &CONN, at: record.start, cells }]
}

/// The ends as Zeek names them: exchanged where it guesses so, and for ICMP the type that answers instead of the code.
pub(super) fn ends(flow: &FlowRef) -> (Endpoint, Endpoint) {
    let (originator, mut responder) = (flow.originator, flow.responder);
    if flow.protocol == ICMP || flow.protocol == ICMP6 {
        responder.port = icmp_counterpart(flow.protocol, originator.port).unwrap_or(responder.port);
    }
    if flow.swapped { (responder, originator) } else { (originator, responder) }
}

fn protocol(number: u8) -> &'static str {
    match number {
        TCP => "tcp",
        UDP => "udp",
        ICMP | ICMP6 => "icmp",
        _ => "unknown_transport",
    }
}

fn state(flow: &FlowRef, record: &FlowRecord) -> ConnState {
    match (flow.protocol, record.state) {
        (TCP, state) => state,
        (UDP, ConnState::S0) if flow.swapped => ConnState::Shr,
        (UDP, state) => state,
        _ => ConnState::Oth,
    }
}

/// Zeek's names of the analysers that agreed, with commas.
fn service(protocol: u8, record: &FlowRecord) -> Option<String> {
    let mut names: Vec<&str> = Vec::new();
    for application in record.applications {
        let name = analyser(protocol, application);
        if !name.is_empty() && !names.contains(&name) {
            names.push(name);
        }
    }
    if record.applications.contains(&Application::Quic) && record.ja4.is_some() {
        names.push("ssl");
    }
    (!names.is_empty()).then(|| names.join(","))
}

/// Zeek's analyser of an application; empty where it has none.
fn analyser(protocol: u8, application: Application) -> &'static str {
    match application {
        Application::Dns | Application::Mdns | Application::Llmnr | Application::Nbns => "dns",
        Application::Tls | Application::Dtls | Application::Tor => "ssl",
        Application::Kerberos if protocol == TCP => "krb_tcp",
        Application::Kerberos => "krb",
        Application::Ldap if protocol == TCP => "ldap_tcp",
        Application::Ldap => "ldap_udp",
        Application::DceRpc => "dce_rpc",
        Application::Quic
        | Application::Http
        | Application::Ssh
        | Application::Smtp
        | Application::Ftp
        | Application::FtpData
        | Application::Pop3
        | Application::Imap
        | Application::Smb
        | Application::Rdp
        | Application::Ntp
        | Application::Dhcp
        | Application::Snmp
        | Application::Sip
        | Application::Mqtt
        | Application::Syslog
        | Application::BitTorrent
        | Application::Radius
        | Application::Irc
        | Application::Xmpp
        | Application::Mysql
        | Application::Postgres
        | Application::Vnc
        | Application::Socks => application.as_str(),
        Application::Unknown
        | Application::Http2
        | Application::Telnet
        | Application::Dhcpv6
        | Application::Tftp
        | Application::Dht
        | Application::WireGuard
        | Application::OpenVpn
        | Application::Stun
        | Application::Ssdp
        | Application::Ike
        | Application::Rtp
        | Application::Rtsp
        | Application::Stratum
        | Application::TeamViewer
        | Application::AnyDesk => "",
    }
}

/// Zeek's `Site::private_address_space`: what no one routes on the Internet.
fn is_local(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => {
            let [a, b, c, _] = v4.octets();
            v4.is_private()
                || v4.is_loopback()
                || v4.is_link_local()
                || v4.is_documentation()
                || matches!(
                    (a, b, c),
                    (0 | 240..=255, ..) | (100, 64..=127, _) | (198, 18 | 19, _) | (192, 0, 0)
                )
        }
        IpAddr::V6(v6) => {
            let [a, b, c, d, ..] = v6.segments();
            v6.is_unspecified()
                || v6.is_loopback()
                || v6.is_unique_local()
                || v6.is_unicast_link_local()
                || matches!((a, b, c, d), (0x2001, 0xdb8, ..) | (0x2001, 2, 0, _) | (0x100, 0, 0, 0))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn local_is_what_is_not_routed() {
        for local in
            ["10.1.2.3", "172.16.0.1", "100.64.0.1", "255.255.255.255", "0.0.0.0", "::", "fe80::1", "fd00::1"]
        {
            assert!(is_local(local.parse().unwrap()), "{local}");
        }
        for global in ["172.32.0.1", "100.128.0.1", "8.8.8.8", "239.1.1.1", "2001:4860::1", "ff02::1"] {
            assert!(!is_local(global.parse().unwrap()), "{global}");
        }
    }

    #[test]
    fn icmp_ports_are_the_type_and_its_answer() {
        let end = |address: &str, port| Endpoint { address: address.parse().unwrap(), port };
        let mut flow = FlowRef {
            id: 1,
            began: sekimori_wire::time::Timestamp::ZERO,
            originator: end("fe80::1", 135),
            responder: end("fe80::2", 0),
            protocol: ICMP6,
            vlan: None,
            swapped: false,
        };
        assert_eq!(ends(&flow), (end("fe80::1", 135), end("fe80::2", 136)));
        flow.originator.port = 143;
        assert_eq!(ends(&flow), (end("fe80::1", 143), end("fe80::2", 0)), "no answer: the code");
        let datagrams = FlowRef { protocol: UDP, swapped: true, ..flow };
        assert_eq!(ends(&datagrams), (end("fe80::2", 0), end("fe80::1", 143)));
    }
}
