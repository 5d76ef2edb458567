//! How hosts are looked for, and what it takes to call that a sweep.

use std::time::Duration;

use crate::detect::probe;
use crate::event::{First, FlowEvent, FlowRef};

/// Outcomes are remembered for this long after the last one.
const MEMORY: Duration = Duration::from_secs(30 * 60);
/// Questions to neighbours count for this long: a router asks for as many hosts in an hour as a sweep does in a second.
const NEIGHBOUR_MEMORY: Duration = Duration::from_secs(60);
/// TCP ports that clients of an isolated network try on many hosts by themselves.
const WEB: [u16; 2] = [80, 443];
/// Ports above 1023 of services that are looked for to be attacked: databases, remote control, embedded devices.
const SOUGHT: [u16; 24] = [
    1433, 1521, 1883, 2222, 2323, 2375, 3306, 3389, 5432, 5555, 5900, 5985, 6379, 7547, 8080, 8291, 8443,
    8545, 9200, 11_211, 23_231, 27_017, 37_215, 52_869,
];
/// UDP services that are looked for to be misused: file transfer, port mapper, `NetBIOS`, SNMP, LDAP, IPMI, SQL Server,
/// SSDP, SIP, memcached, `BACnet`, router backdoor (CISA TA14-017A lists most of them as amplifiers).
const SOUGHT_UDP: [u16; 12] = [69, 111, 137, 161, 389, 623, 1434, 1900, 5060, 11_211, 47_808, 53_413];
/// Hosts that lie far apart count, on ports that peer-to-peer programs do not use, if so many failed for each that
/// answered: random targets. The walk's scanner reaches one in five.
pub(super) const SPREAD_PER_ANSWERED: usize = 19;
/// `NetBIOS` names: Windows asks from the same port.
const NETBIOS: u16 = 137;
/// ICMP requests beside echo (RFC 792, RFC 950): timestamp, information, address mask. Only scanners still send them.
const ICMP_REQUESTS: [u16; 3] = [13, 15, 17];
/// Neighbour solicitation (RFC 4861).
const SOLICITATION: u16 = 135;

/// How something is looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Means {
    /// TCP SYN to a port.
    Syn(u16),
    /// TCP without SYN to a port.
    Bare(u16),
    /// UDP to a port.
    Udp(u16),
    /// SCTP to a port.
    Sctp(u16),
    /// ICMP echo.
    Echo,
    /// Another ICMP request, by type.
    Icmp(u16),
    /// ARP requests.
    Arp,
    /// Neighbour solicitation.
    Neighbour,
}

/// What it takes to call it a sweep.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rule {
    /// Distinct hosts that did not answer.
    pub(super) failed_min: usize,
    /// At least this many failed for each that answered.
    pub(super) failed_per_answered: usize,
    /// Most of the failed hosts lie at most this far from the next one.
    pub(super) gap_max: Option<u32>,
    /// Or they lie anywhere, but so many failed, and nearly all.
    pub(super) spread_min: Option<usize>,
}

impl Means {
    /// What an event says of looking for hosts, and whether it failed.
    pub(super) fn of(flow: &FlowRef, what: &FlowEvent) -> Option<(Self, bool)> {
        let failed = matches!(what, FlowEvent::Rejected | FlowEvent::Unanswered);
        let answered = matches!(what, FlowEvent::Answered);
        let (from, to) = (flow.originator.port, flow.responder.port);
        // A server's answers seen one way only come from its well-known port.
        let is_client = from >= 1_024 || (from == NETBIOS && to == NETBIOS);
        let found = match flow.protocol {
            6 if failed || answered => (Self::Syn(to), failed),
            17 if answered || (failed && is_client) => (Self::Udp(to), failed),
            1 | 58 if failed || answered => (Self::Echo, failed),
            58 if from == SOLICITATION
                && is_solicited_node(flow)
                && *what == FlowEvent::Started(First::Other) =>
            {
                (Self::Neighbour, true)
            }
            _ => return Self::of_end(flow, what),
        };
        Some(found)
    }

    fn of_end(flow: &FlowRef, what: &FlowEvent) -> Option<(Self, bool)> {
        let FlowEvent::Ended(record) = what else { return None };
        let silent = record.responder.packets == 0;
        match flow.protocol {
            6 if probe::is_bare(flow, record) => Some((Self::Bare(flow.responder.port), true)),
            132 => Some((Self::Sctp(flow.responder.port), silent)),
            1 if ICMP_REQUESTS.contains(&flow.originator.port) => {
                Some((Self::Icmp(flow.originator.port), silent))
            }
            _ => None,
        }
    }

    pub(super) const fn rule(self) -> Rule {
        let rule = Rule { failed_min: 8, failed_per_answered: 1, gap_max: None, spread_min: None };
        match self {
            Self::Syn(port) if port == WEB[0] || port == WEB[1] => {
                Rule { failed_min: 25, failed_per_answered: 9, gap_max: Some(16), spread_min: Some(64) }
            }
            Self::Syn(port) if port < 1_024 || has(&SOUGHT, port) => rule,
            Self::Syn(_) => Rule { failed_min: 25, failed_per_answered: 4, gap_max: Some(16), ..rule },
            Self::Bare(_) => Rule { failed_min: 16, failed_per_answered: 4, ..rule },
            Self::Udp(port) => {
                let spread_min = if has(&SOUGHT_UDP, port) { Some(32) } else { None };
                Rule { failed_min: 32, failed_per_answered: 4, gap_max: Some(16), spread_min }
            }
            Self::Echo | Self::Icmp(_) | Self::Sctp(_) => rule,
            // Routers ask for every machine that they gave a lease and that sleeps.
            Self::Arp => Rule { failed_min: 40, failed_per_answered: 2, gap_max: Some(4), ..rule },
            // The answers go another way: whether somebody answered is not known.
            Self::Neighbour => Rule { failed_min: 64, failed_per_answered: 0, gap_max: Some(4), ..rule },
        }
    }

    pub(super) const fn memory(self) -> Duration {
        match self {
            Self::Arp | Self::Neighbour => NEIGHBOUR_MEMORY,
            Self::Syn(_) | Self::Bare(_) | Self::Udp(_) | Self::Sctp(_) | Self::Echo | Self::Icmp(_) => {
                MEMORY
            }
        }
    }

    pub(super) const fn port(self) -> Option<u16> {
        match self {
            Self::Syn(port) | Self::Bare(port) | Self::Udp(port) | Self::Sctp(port) => Some(port),
            Self::Echo | Self::Icmp(_) | Self::Arp | Self::Neighbour => None,
        }
    }

    /// Ordinary programs fail like this on servers whose names they looked up.
    pub(super) const fn may_be_by_name(self) -> bool {
        match self {
            Self::Syn(port) => port == WEB[0] || port == WEB[1] || (port >= 1_024 && !has(&SOUGHT, port)),
            Self::Udp(_) => true,
            Self::Bare(_) | Self::Sctp(_) | Self::Echo | Self::Icmp(_) | Self::Arp | Self::Neighbour => false,
        }
    }

    pub(super) fn words(self) -> String {
        match self {
            Self::Syn(port) => format!("TCP {port}"),
            Self::Bare(port) => format!("TCP {port} (no SYN)"),
            Self::Udp(port) => format!("UDP {port}"),
            Self::Sctp(port) => format!("SCTP {port}"),
            Self::Echo => "ICMP echo".to_owned(),
            Self::Icmp(kind) => format!("ICMP type {kind}"),
            Self::Arp => "ARP".to_owned(),
            Self::Neighbour => "IPv6 neighbour solicitation".to_owned(),
        }
    }
}

/// `ff02::1:ff00:0/104` (RFC 4291): asks one neighbour, named by the last 24 bits.
const fn is_solicited_node(flow: &FlowRef) -> bool {
    match flow.responder.address {
        core::net::IpAddr::V6(to) => {
            to.to_bits() >> 24 == 0xff02_0000_0000_0000_0000_0001_ff
                && !is_unspecified(flow.originator.address)
        }
        core::net::IpAddr::V4(_) => false,
    }
}

/// Duplicate address detection asks without an address of one's own.
const fn is_unspecified(address: core::net::IpAddr) -> bool {
    address.is_unspecified()
}

const fn has(ports: &[u16], port: u16) -> bool {
    let mut rest = ports;
    while let [first, others @ ..] = rest {
        if *first == port {
            return true;
        }
        rest = others;
    }
    false
}
