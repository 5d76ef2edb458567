//! Which services are in regular contact by design, and which ports say something.

use crate::detect::ports::Ports;
use crate::event::{Application, FlowRef};

const TCP: u8 = 6;

/// Protocols that control channels hide in; all others that are recognised have a purpose of their own, and rules of their own.
pub(super) const fn may_carry(application: Application) -> bool {
    use Application as A;
    matches!(
        application,
        A::Unknown | A::Tls | A::Dtls | A::Quic | A::Http | A::Http2 | A::WebSocket | A::Irc | A::Socks
    )
}

/// Registered ports (IANA) of services that keep contact by design or poll: naming, time, management, logging, directories,
/// files, printing, databases, clusters, monitoring, telephony, tunnels, push messages, and process control.
const SERVICES: [u16; 95] = [
    7, 22, 25, 53, 67, 68, 69, 88, 102, 110, 111, 123, 135, 137, 138, 139, 143, 161, 162, 179, 389, 445, 464,
    465, 500, 502, 514, 515, 546, 547, 554, 587, 623, 631, 636, 646, 853, 873, 993, 995, 1194, 1433, 1434,
    1512, 1514, 1521, 1645, 1646, 1701, 1718, 1719, 1720, 1723, 1812, 1813, 1883, 1900, 2049, 2055, 2222,
    2379, 2380, 2404, 3260, 3268, 3269, 3306, 3389, 3478, 3479, 3702, 4500, 4739, 4789, 4840, 5060, 5061,
    5222, 5223, 5228, 5229, 5230, 5353, 5355, 5432, 5666, 5671, 5672, 5900, 5985, 5986, 6343, 8883, 9100,
    20_000,
];

/// Beyond the registered ones of [`SERVICES`]: building and factory control, monitoring agents, data stores.
const HIGH_SERVICES: [u16; 12] =
    [6_379, 9_092, 10_050, 10_051, 11_211, 27_017, 34_962, 34_963, 34_964, 44_818, 47_808, 51_820];

static ALL_SERVICES: Ports = Ports::of(&[&SERVICES, &HIGH_SERVICES]);

/// Regular contact with this port means nothing.
pub(super) fn is_service(port: u16) -> bool {
    ALL_SERVICES.has(port)
}

/// Ports that remote-control malware and attack frameworks listen on unless told otherwise; looked up in November 2026. Such a
/// port is one sign among others and alone a notice, never more.
///
/// - from the program's own source: Quasar 4782 (`Settings.cs`), `AsyncRAT` 6606, 7707 and 8808 (`Settings.cs` of 0.3.0)
/// - from a list kept for hunting, with its confidence "high" (mthcht, `suspicious_ports_list.csv`): Metasploit 4444, `NetBus`
///   12345, Sub7 27374, Back Orifice and Sliver 31337, Cobalt Strike 50050; "medium": IRC bots 6667
/// - from several detection rules and port lists that agree, none of them the program's own: njRAT 1177 and 5552, `DarkComet` 1604
///
/// Poison Ivy's 3460 was found in none of these and is left out.
const DEFAULTS: [u16; 13] =
    [1_177, 1_604, 4_444, 4_782, 5_552, 6_606, 6_667, 7_707, 8_808, 12_345, 27_374, 31_337, 50_050];

/// Remote-control malware uses this port by default.
pub(super) fn is_default(port: u16) -> bool {
    DEFAULTS.binary_search(&port).is_ok()
}

/// The port is not one where this protocol is usually found. An unknown protocol is odd anywhere above the privileged ports,
/// and where another protocol is expected.
pub(super) fn is_odd(application: Application, flow: &FlowRef) -> bool {
    use Application as A;
    let port = flow.responder.port;
    if matches!(application, A::Tls | A::Dtls | A::Quic) {
        !matches!(port, 443 | 4_433 | 4_443 | 5_061 | 5_349 | 8_443 | 9_443) && !is_service(port)
    } else if matches!(application, A::Http | A::Http2 | A::WebSocket) {
        !matches!(port, 80 | 443 | 3_128 | 8_000 | 8_008 | 8_080 | 8_081)
    } else {
        flow.protocol != TCP || port >= 1_024 || matches!(port, 80 | 443)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tables_can_be_searched() {
        assert!(SERVICES.is_sorted() && HIGH_SERVICES.is_sorted() && DEFAULTS.is_sorted());
        assert!(is_service(502) && is_service(5_223) && !is_service(8_219) && is_default(4_444));
    }
}
