//! Who and what moved the most bytes, in bounded memory.

use std::collections::BTreeMap;
use std::net::IpAddr;

use sekimori_wire::record::FlowSummary;

/// Hosts remembered; when there are more, the smaller half is forgotten and the list said to be approximate.
const HOSTS_MAX: usize = 65_536;

/// Bytes and packets of IP, in both directions, by host and by protocol.
#[derive(Debug, Default)]
pub(super) struct Talkers {
    hosts: BTreeMap<IpAddr, Share>,
    /// By IP protocol and application. The names are a closed set.
    protocols: BTreeMap<(u8, String), Share>,
    /// Hosts were forgotten.
    forgot: bool,
    pub(super) total: Share,
}

/// What one has of the whole.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Share {
    pub(super) bytes: u64,
    pub(super) packets: u64,
    /// Flows, counted once more whenever the active timeout cut them.
    pub(super) flows: u64,
}

impl Share {
    const fn add(&mut self, other: Self) {
        self.bytes = self.bytes.saturating_add(other.bytes);
        self.packets = self.packets.saturating_add(other.packets);
        self.flows = self.flows.saturating_add(other.flows);
    }
}

impl Talkers {
    pub(super) fn add(&mut self, flow: &FlowSummary) {
        let share = Share {
            bytes: flow.originator_bytes.saturating_add(flow.responder_bytes),
            packets: flow.originator_packets.saturating_add(flow.responder_packets),
            flows: 1,
        };
        self.total.add(share);
        let protocol = (flow.protocol, flow.application.as_str().to_owned());
        self.protocols.entry(protocol).or_default().add(share);
        let (one, other) = (flow.originator.ip(), flow.responder.ip());
        self.hosts.entry(one).or_default().add(share);
        if other != one {
            self.hosts.entry(other).or_default().add(share);
        }
        if self.hosts.len() > HOSTS_MAX {
            self.forget();
        }
    }

    fn forget(&mut self) {
        self.forgot = true;
        self.hosts = largest(core::mem::take(&mut self.hosts)).take(HOSTS_MAX / 2).collect();
    }

    /// The hosts with the most bytes, and whether there may be others.
    pub(super) fn hosts(&self, most: usize) -> (Vec<(IpAddr, Share)>, bool) {
        (largest(self.hosts.clone()).take(most).collect(), self.forgot)
    }

    /// IP protocol, application and share, the most bytes first.
    pub(super) fn protocols(&self) -> Vec<((u8, String), Share)> {
        largest(self.protocols.clone()).collect()
    }
}

fn largest<K: Ord>(all: BTreeMap<K, Share>) -> impl Iterator<Item = (K, Share)> {
    let mut all: Vec<(K, Share)> = all.into_iter().collect();
    // Stable: equal ones stay in the order of their keys.
    all.sort_by_key(|(_key, share)| core::cmp::Reverse((share.bytes, share.packets)));
    all.into_iter()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{Ipv4Addr, SocketAddr};

    fn flow(from: u32, bytes: u64) -> FlowSummary {
        FlowSummary {
            originator: SocketAddr::new(Ipv4Addr::from_bits(from).into(), 1),
            responder: SocketAddr::new(Ipv4Addr::new(192, 0, 2, 1).into(), 53),
            protocol: 17,
            start: sekimori_wire::time::Timestamp::ZERO,
            end: sekimori_wire::time::Timestamp::ZERO,
            originator_packets: 1,
            originator_bytes: bytes,
            responder_packets: 1,
            responder_bytes: 1,
            state: "SF".into(),
            application: "dns".into(),
            server_name: "".into(),
            ja4: "".into(),
            vlan: None,
            body: None,
            segment: None,
        }
    }

    #[test]
    fn the_largest_stay_however_many_there_are() {
        let mut talkers = Talkers::default();
        talkers.add(&flow(1, 1_000_000));
        for host in 2..200_000 {
            talkers.add(&flow(host, 10));
        }
        talkers.add(&flow(1, 5));
        assert!(talkers.hosts.len() <= HOSTS_MAX);
        let (hosts, forgot) = talkers.hosts(3);
        assert!(forgot);
        assert_eq!(hosts[0].0, Ipv4Addr::new(192, 0, 2, 1));
        assert_eq!((hosts[1].0, hosts[1].1.bytes), (Ipv4Addr::from_bits(1).into(), 1_000_007));
        assert_eq!(talkers.total.flows, 200_000);
        assert_eq!(talkers.protocols(), [((17, "dns".to_owned()), talkers.total)]);
    }
}
