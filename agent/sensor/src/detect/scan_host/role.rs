//! Who looks for hosts because it is its work.

use core::net::IpAddr;

use crate::bounded::{Distinct, Map};
use crate::event::{FlowEvent, FlowRef, Transaction};

/// IPv4 addresses behind one Ethernet address that make it a router's: a host has one, rarely two.
const ROUTED_MIN: usize = 3;

/// Routers and DHCP servers, as far as they showed.
#[derive(Debug)]
pub(super) struct Roles {
    behind: Map<[u8; 6], Distinct<IpAddr>>,
    lessors: Map<IpAddr, ()>,
}

impl Roles {
    pub(super) fn new(entries: usize, seed: u64) -> Self {
        Self { behind: Map::new(entries, seed), lessors: Map::new(entries, seed) }
    }

    /// Full tables forget the least recently used, which makes a finding graver, never lost.
    pub(super) fn learn(&mut self, flow: &FlowRef, what: &FlowEvent) {
        match what {
            FlowEvent::Ended(record) => {
                let ways = [
                    (record.conduct.originator.mac, flow.originator.address, record.originator.packets),
                    (record.conduct.responder.mac, flow.responder.address, record.responder.packets),
                ];
                for (mac, address, packets) in ways {
                    if let (Some(mac), IpAddr::V4(v4), true) = (mac, address, packets > 0)
                        && !v4.is_unspecified()
                    {
                        let (behind, _left) =
                            self.behind.get_or_insert_with(mac, || Distinct::new(ROUTED_MIN));
                        if let Some(behind) = behind {
                            behind.insert(address);
                        }
                    }
                }
            }
            FlowEvent::Transaction(one) => {
                if let Transaction::Dhcp(message) = &**one
                    && message.is_reply
                {
                    let sender = if message.from_originator { flow.originator } else { flow.responder };
                    let _left = self.lessors.insert(sender.address, ());
                }
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

    /// Packets of several hosts came from this Ethernet address.
    pub(super) fn is_router(&self, mac: [u8; 6]) -> bool {
        self.behind.peek(&mac).is_some_and(|behind| behind.len() >= ROUTED_MIN)
    }

    /// It gave addresses away: RFC 2131, 2.2 has a server check by ICMP echo or ARP that nobody uses them.
    pub(super) fn gives_leases(&self, address: IpAddr) -> bool {
        self.lessors.peek(&address).is_some()
    }
}
