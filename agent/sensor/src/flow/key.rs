//! What names a flow: the same for both directions, and small, for the table has one of it for each flow.

use core::hash::{Hash, Hasher};
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use sekimori_wire::community::icmp_counterpart;

use super::{ICMP, ICMP6};
use crate::decode::Vlans;
use crate::event::Endpoint;

/// The canonical name of a flow.
#[derive(Clone, Copy, Debug)]
pub(crate) struct FlowKey {
    low: Words,
    high: Words,
    ports: [u16; 2],
    /// Of the first packet; whether they tell flows apart is in the kind.
    vlans: Vlans,
    protocol: u8,
    /// Packets around it.
    depth: u8,
    kind: u8,
}

/// An IP address: the halves of IPv6, or IPv4 in the second.
pub(super) type Words = [u64; 2];

/// A key as the table's entries hold it: of IPv4 all; of IPv6 the addresses are elsewhere.
#[derive(Clone, Copy, Debug)]
pub(super) struct Name {
    /// IPv4 addresses; of IPv6 nothing.
    ends: [u32; 2],
    ports: [u16; 2],
    vlans: Vlans,
    protocol: u8,
    depth: u8,
    kind: u8,
}

impl Name {
    /// The whole key, with the addresses of IPv6.
    #[inline]
    pub(super) fn key(self, v6: [Words; 2]) -> FlowKey {
        let Self { ends: [low, high], ports, vlans, protocol, depth, kind } = self;
        let [low, high] = if kind & V6 == 0 { [[0, low.into()], [0, high.into()]] } else { v6 };
        FlowKey { low, high, ports, vlans, protocol, depth, kind }
    }

    pub(super) const fn is_v6(self) -> bool {
        self.kind & V6 != 0
    }

    /// IANA protocol number.
    pub(super) const fn protocol(self) -> u8 {
        self.protocol
    }

    /// VLANs of the first packet.
    pub(super) const fn vlans(self) -> Vlans {
        self.vlans
    }
}

/// Its addresses are of IPv6.
const V6: u8 = 1;
/// Its VLANs tell it apart.
const BY_VLAN: u8 = 2;
/// An ICMP type that has no counterpart: who sends the same the other way makes another flow.
const ONE_WAY_FROM_LOW: u8 = 4;
const ONE_WAY_FROM_HIGH: u8 = 8;

/// What else tells flows between the same ends apart.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Apart {
    /// VLANs of the packet.
    pub(crate) vlans: Vlans,
    /// They tell flows apart.
    pub(crate) by_vlan: bool,
    /// Packets around it, where those do.
    pub(crate) depth: u8,
}

/// Which way a packet goes through its flow's key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Direction {
    /// From the lower endpoint.
    FromLow,
    /// From the higher endpoint.
    FromHigh,
}

impl Direction {
    /// The other way.
    pub(crate) const fn reversed(self) -> Self {
        match self {
            Self::FromLow => Self::FromHigh,
            Self::FromHigh => Self::FromLow,
        }
    }
}

impl FlowKey {
    /// The key of a flow and which way a packet from `source` to `destination` goes. ICMP types become ports as in
    /// Community ID: the type, and the type that answers it.
    #[inline(always)]
    pub(crate) fn new(
        protocol: u8,
        apart: Apart,
        source: Endpoint,
        destination: Endpoint,
    ) -> (Self, Direction) {
        let counterpart = icmp_counterpart(protocol, source.port);
        let from = (words(source.address), source.port);
        let to = (words(destination.address), counterpart.unwrap_or(destination.port));
        let place = |([first, second], port): (Words, u16)| {
            (u128::from(first) << u64::BITS | u128::from(second), port)
        };
        let (low, high, direction) = if place(from) <= place(to) {
            (from, to, Direction::FromLow)
        } else {
            (to, from, Direction::FromHigh)
        };
        let is_icmp = protocol == ICMP || protocol == ICMP6;
        let one_way = match direction {
            _ if !is_icmp || counterpart.is_some() => 0,
            Direction::FromLow => ONE_WAY_FROM_LOW,
            Direction::FromHigh => ONE_WAY_FROM_HIGH,
        };
        let v6 = if source.address.is_ipv6() { V6 } else { 0 };
        let by_vlan = if apart.by_vlan { BY_VLAN } else { 0 };
        let key = Self {
            low: low.0,
            high: high.0,
            ports: [low.1, high.1],
            vlans: apart.vlans,
            protocol,
            depth: apart.depth,
            kind: one_way | v6 | by_vlan,
        };
        (key, direction)
    }

    /// IANA protocol number.
    pub(super) const fn protocol(&self) -> u8 {
        self.protocol
    }

    /// What an entry holds of it, and the addresses of IPv6.
    pub(super) fn split(self) -> (Name, Option<[Words; 2]>) {
        let Self { low, high, ports, vlans, protocol, depth, kind } = self;
        let is_v6 = kind & V6 != 0;
        let end = |[_, word]: Words| if is_v6 { 0 } else { u32::try_from(word).unwrap_or_default() };
        let name = Name { ends: [end(low), end(high)], ports, vlans, protocol, depth, kind };
        (name, is_v6.then_some([low, high]))
    }

    /// Who sends packets that go `direction`.
    pub(crate) fn sender(&self, direction: Direction) -> Endpoint {
        let [low, high] = self.ports;
        let (words, port) = match direction {
            Direction::FromLow => (self.low, low),
            Direction::FromHigh => (self.high, high),
        };
        Endpoint { address: self.address(words), port }
    }

    fn address(&self, [first, second]: Words) -> IpAddr {
        if self.kind & V6 == 0 {
            IpAddr::V4(Ipv4Addr::from_bits(u32::try_from(second).unwrap_or_default()))
        } else {
            IpAddr::V6(Ipv6Addr::from_bits(u128::from(first) << u64::BITS | u128::from(second)))
        }
    }

    const fn is_by_vlan(&self) -> bool {
        self.kind & BY_VLAN != 0
    }
}

#[inline(always)]
fn words(address: IpAddr) -> Words {
    match address {
        IpAddr::V4(v4) => [0, v4.to_bits().into()],
        IpAddr::V6(v6) => {
            let bits = v6.to_bits();
            let half = |bits: u128| u64::try_from(bits & u128::from(u64::MAX)).unwrap_or_default();
            [half(bits >> u64::BITS), half(bits)]
        }
    }
}

impl PartialEq for FlowKey {
    fn eq(&self, other: &Self) -> bool {
        self.low == other.low
            && self.high == other.high
            && self.ports == other.ports
            && (self.protocol, self.depth, self.kind) == (other.protocol, other.depth, other.kind)
            && (!self.is_by_vlan() || self.vlans == other.vlans)
    }
}

impl Eq for FlowKey {}

impl Hash for FlowKey {
    #[inline(always)]
    fn hash<H: Hasher>(&self, state: &mut H) {
        let ([low_first, low], [high_first, high]) = (self.low, self.high);
        if self.kind & V6 == 0 {
            state.write_u64(low << 32 | high);
        } else {
            [low_first, low, high_first, high].into_iter().for_each(|word| state.write_u64(word));
        }
        let [low, high] = self.ports;
        let ports = u64::from(low) << 16 | u64::from(high);
        // 12 bits hold every VLAN, 0 names none.
        let vlan = if self.is_by_vlan() { self.vlans.outermost().unwrap_or_default() } else { 0 };
        state.write_u64(ports << 32 | u64::from(vlan) << 8 | u64::from(self.protocol));
    }
}
