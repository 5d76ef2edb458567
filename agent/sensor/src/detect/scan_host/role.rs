//! Who looks for hosts because it is its work.

use core::net::IpAddr;

use crate::bounded::{Distinct, Map};
use crate::event::{First, FlowEvent, FlowRef, Transaction};

/// IPv4 addresses behind one Ethernet address that make it a router's: a host has one, rarely two.
const ROUTED_MIN: usize = 3;

/// ICMP that only routers send: redirect and time exceeded in transit (RFC 792), and in version 6 also router advertisement
/// (RFC 4443, RFC 4861).
const fn is_routers_message(flow: &FlowRef) -> bool {
    matches!(
        (flow.protocol, flow.originator.port, flow.responder.port),
        (1, 5, _) | (1, 11, 0) | (58, 134 | 137, _) | (58, 3, 0)
    )
}

/// Routers and DHCP servers, as far as they showed.
#[derive(Debug)]
pub(super) struct Roles {
    behind: Map<[u8; 6], Distinct<IpAddr>>,
    /// Of the last flow.
    last: [Option<Way>; 2],
    lessors: Map<IpAddr, ()>,
    /// Addresses that spoke as only routers do.
    routers: Map<IpAddr, ()>,
}

/// What was learned of one direction.
#[derive(Clone, Copy, Debug)]
struct Way {
    mac: [u8; 6],
    address: IpAddr,
    /// Further addresses tell nothing.
    is_router: bool,
}

impl Roles {
    pub(super) fn new(entries: usize, seed: u64) -> Self {
        Self {
            behind: Map::new(entries, seed),
            last: [None; 2],
            lessors: Map::new(entries, seed),
            routers: Map::new(entries, seed),
        }
    }

    /// Addresses that packets were sent from, behind their Ethernet addresses.
    fn on_ways(&mut self, ways: [(Option<[u8; 6]>, IpAddr, u64); 2]) {
        let ways = ways.map(|(mac, address, packets)| {
            let told = packets > 0 && matches!(address, IpAddr::V4(v4) if !v4.is_unspecified());
            mac.filter(|_| told).map(|mac| (mac, address))
        });
        // Most flows go between the same two, of which all is known: nothing changes, not even the order of use.
        let is_known = |(way, last): (&Option<_>, &Option<Way>)| match (way, last) {
            (Some((mac, address)), Some(last)) => {
                last.mac == *mac && (last.is_router || last.address == *address)
            }
            (None, None) => true,
            (Some(_), None) | (None, Some(_)) => false,
        };
        if ways.iter().zip(&self.last).all(is_known) {
            return;
        }
        self.last = ways.map(|way| {
            let (mac, address) = way?;
            let behind = self.behind.get_or_insert_with(mac, || Distinct::new(ROUTED_MIN)).0?;
            behind.insert(address);
            Some(Way { mac, address, is_router: behind.is_full() })
        });
    }

    /// Full tables forget the least recently used, which makes a finding graver, never lost.
    pub(super) fn learn(&mut self, flow: &FlowRef, what: &FlowEvent) {
        match what {
            FlowEvent::Ended(record) => self.on_ways([
                (record.conduct.originator.mac, flow.originator.address, record.originator.packets),
                (record.conduct.responder.mac, flow.responder.address, record.responder.packets),
            ]),
            FlowEvent::Transaction(one) => {
                if let Transaction::Dhcp(message) = &**one
                    && message.is_reply
                {
                    let sender = if message.from_originator { flow.originator } else { flow.responder };
                    let _left = self.lessors.insert(sender.address, ());
                    for router in &message.routers {
                        let _left = self.routers.insert((*router).into(), ());
                    }
                }
            }
            FlowEvent::Started(First::Other) if is_routers_message(flow) => {
                let _left = self.routers.insert(flow.originator.address, ());
            }
            FlowEvent::Started(_)
            | FlowEvent::Answered
            | FlowEvent::Established
            | FlowEvent::Rejected
            | FlowEvent::Unanswered
            | FlowEvent::Dns(_)
            | FlowEvent::Tls(_)
            | FlowEvent::HttpRequest(_)
            | FlowEvent::HttpResponse { .. }
            | FlowEvent::Traffic(_)
            | FlowEvent::Opening(_)
            | FlowEvent::Echo(_)
            | FlowEvent::Syslog(_)
            | FlowEvent::Anomaly(_) => {}
        }
    }

    /// Packets of several hosts came from this Ethernet address, or the address is a router's.
    pub(super) fn is_router(&self, mac: [u8; 6], address: IpAddr) -> bool {
        self.behind.peek(&mac).is_some_and(|behind| behind.len() >= ROUTED_MIN)
            || self.routers.peek(&address).is_some()
    }

    /// It gave addresses away: RFC 2131, 2.2 has a server check by ICMP echo or ARP that nobody uses them.
    pub(super) fn gives_leases(&self, address: IpAddr) -> bool {
        self.lessors.peek(&address).is_some()
    }
}
