//! What addresses are called: the names that clients looked up, by the address that was answered.

use core::net::IpAddr;
use std::time::Duration;

use sekimori_wire::time::Timestamp;

use crate::bounded::Map;
use crate::event::dns::Rdata;
use crate::event::{Event, FlowEvent};
use crate::limits::Limits;

/// A name is believed this long after its last answer: systems and browsers keep answers longer than their TTL says.
const MEMORY: Duration = Duration::from_secs(24 * 3_600);

/// The last name that was answered with each address.
#[derive(Debug)]
pub struct Names {
    by_address: Map<IpAddr, Name>,
}

#[derive(Debug)]
struct Name {
    name: Box<str>,
    at: Timestamp,
}

impl Names {
    /// None yet. Full: the name that was answered longest ago is forgotten, which makes no finding wrong, only poorer.
    pub fn new(limits: &Limits, seed: u64) -> Self {
        Self { by_address: Map::new(limits.detector_entries, seed) }
    }

    /// The name that somebody looked up last and was answered with this address, lower case, without the final dot.
    pub fn of(&self, address: IpAddr, now: Timestamp) -> Option<&str> {
        let name = self.by_address.peek(&address)?;
        (now.since(name.at) <= MEMORY).then_some(&*name.name)
    }

    /// Takes the answers of DNS; forged ones too, so nothing is ever excused by a name alone.
    pub(super) fn learn(&mut self, event: &Event) {
        let Event::Flow { at, what: FlowEvent::Dns(dns), .. } = event else { return };
        if !dns.is_response || dns.rcode != 0 {
            return;
        }
        for record in &dns.answer_records {
            if let Rdata::Address(address) = record.data {
                match self.by_address.get_mut(&address) {
                    Some(known) if known.name == dns.qname => known.at = *at,
                    Some(known) => *known = Name { name: dns.qname.clone(), at: *at },
                    None => {
                        let _left =
                            self.by_address.insert(address, Name { name: dns.qname.clone(), at: *at });
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::dns::Resource;
    use crate::event::{Dns, Endpoint, FlowRef};

    #[test]
    fn an_address_has_the_name_that_was_looked_up_until_it_is_old() {
        let mut names = Names::new(&Limits::gateway(), 0);
        let address = IpAddr::from([198, 51, 100, 7]);
        let end = Endpoint { address: IpAddr::from([192, 168, 1, 1]), port: 53 };
        let flow = FlowRef {
            id: 1,
            began: Timestamp::ZERO,
            originator: end,
            responder: end,
            protocol: 17,
            vlan: None,
            swapped: false,
        };
        let record = Resource {
            name: "edge.cdn.example".into(),
            rtype: 1,
            class: 1,
            ttl: 60,
            data: Rdata::Address(address),
        };
        let dns = Dns {
            is_response: true,
            qname: "www.city.example".into(),
            answer_records: [record].into(),
            ..Dns::default()
        };
        let at = Timestamp::from_secs(1_700_000_000);
        names.learn(&Event::Flow { at, flow, what: FlowEvent::Dns(Box::new(dns)) });
        assert_eq!(names.of(address, at), Some("www.city.example"));
        assert_eq!(names.of(address, at.plus(MEMORY + Duration::from_secs(1))), None);
        assert_eq!(names.of(end.address, at), None);
    }
}
