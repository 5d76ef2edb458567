//! Which applications are expected on a well-known port: `protocol.mismatch` where content says otherwise.
//!
//! Only ports whose use is settled stand here. An application that ordinary programs carry over a port (TLS on nearly all,
//! STUN beside QUIC) is expected there too: the anomaly is to be rare enough to be worth a look.

use crate::event::{Application, FlowRef};

const TCP: u8 = 6;
const UDP: u8 = 17;

/// Applications that are expected on this port of the responder; none is said of other ports.
pub(super) const fn expected(port: u16, protocol: u8) -> &'static [Application] {
    use Application as A;
    match (protocol, port) {
        (TCP, 21) => &[A::Ftp, A::Tls],
        (TCP, 22) => &[A::Ssh],
        (TCP, 23) => &[A::Telnet],
        (TCP, 25 | 465 | 587) => &[A::Smtp, A::Tls],
        (TCP | UDP, 53) => &[A::Dns],
        (TCP, 80) => &[A::Http, A::Http2],
        (TCP | UDP, 88) => &[A::Kerberos],
        (TCP, 110 | 995) => &[A::Pop3, A::Tls],
        (TCP, 135) => &[A::DceRpc],
        (TCP, 139 | 445) => &[A::Smb],
        (TCP, 143 | 993) => &[A::Imap, A::Tls],
        (TCP | UDP, 389) | (TCP, 636 | 3268 | 3269) => &[A::Ldap, A::Tls],
        (TCP, 443) => &[A::Tls, A::Http2],
        (TCP, 1433) => &[A::Tls],
        (TCP, 1883 | 8883) => &[A::Mqtt, A::Tls],
        (TCP, 3306) => &[A::Mysql, A::Tls],
        (TCP, 3389) => &[A::Rdp, A::Tls],
        (TCP, 5432) => &[A::Postgres, A::Tls],
        (TCP, 5900) => &[A::Vnc, A::Tls],
        (UDP, 67 | 68) => &[A::Dhcp],
        (UDP, 69) => &[A::Tftp],
        (UDP, 123) => &[A::Ntp],
        (UDP, 137) => &[A::Nbns],
        (UDP, 161 | 162) => &[A::Snmp],
        (UDP, 443) => &[A::Quic, A::Dtls, A::Stun],
        (UDP, 500) => &[A::Ike],
        (UDP, 514) => &[A::Syslog],
        (UDP, 1812 | 1813) => &[A::Radius],
        (UDP, 5353) => &[A::Mdns, A::Dns],
        (UDP, 5355) => &[A::Llmnr, A::Dns],
        _ => &[],
    }
}

/// Content and port of a flow disagree. A flow that was picked up the wrong way round is judged by the other port.
pub(super) fn disagree(application: Application, flow: &FlowRef) -> bool {
    let here = expected(flow.responder.port, flow.protocol);
    let there = expected(flow.originator.port, flow.protocol);
    !here.is_empty() && !here.contains(&application) && !there.contains(&application)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Endpoint;
    use core::net::{IpAddr, Ipv4Addr};

    fn flow(from: u16, to: u16, protocol: u8) -> FlowRef {
        let end = |port| Endpoint { address: IpAddr::V4(Ipv4Addr::LOCALHOST), port };
        let began = sekimori_wire::time::Timestamp::ZERO;
        FlowRef {
            id: 1,
            began,
            originator: end(from),
            responder: end(to),
            protocol,
            vlan: None,
            swapped: false,
        }
    }

    #[test]
    fn content_and_port_disagree() {
        for (application, from, to, protocol, expected) in [
            (Application::Ssh, 40_000, 443, TCP, true),
            (Application::Tls, 40_000, 443, TCP, false),
            (Application::Tls, 40_000, 993, TCP, false),
            (Application::Http, 40_000, 8080, TCP, false),
            (Application::Http, 40_000, 53, TCP, true),
            (Application::OpenVpn, 40_000, 443, TCP, true),
            (Application::Stun, 40_000, 443, UDP, false),
            (Application::Quic, 40_000, 443, UDP, false),
            (Application::Quic, 443, 5353, UDP, false),
            (Application::Dns, 40_000, 443, UDP, true),
        ] {
            assert_eq!(disagree(application, &flow(from, to, protocol)), expected, "{application:?} to {to}");
        }
    }
}
