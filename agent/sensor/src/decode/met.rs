//! The encapsulations that were met on the way to a packet.

use crate::counters::{Counter, Counters};

/// An encapsulation that is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Encapsulation {
    Vlan,
    Mpls,
    Pppoe,
    Gre,
    Erspan,
    Vxlan,
    Geneve,
    Teredo,
    Ayiya,
    L2tp,
    Ipv4InIpv4,
    Ipv4InIpv6,
    Ipv6InIpv4,
    Ipv6InIpv6,
    Esp,
    Ah,
}

impl Encapsulation {
    const COUNTERS: [(Self, Counter); 16] = [
        (Self::Vlan, Counter::Vlan),
        (Self::Mpls, Counter::Mpls),
        (Self::Pppoe, Counter::Pppoe),
        (Self::Gre, Counter::Gre),
        (Self::Erspan, Counter::Erspan),
        (Self::Vxlan, Counter::Vxlan),
        (Self::Geneve, Counter::Geneve),
        (Self::Teredo, Counter::Teredo),
        (Self::Ayiya, Counter::Ayiya),
        (Self::L2tp, Counter::L2tp),
        (Self::Ipv4InIpv4, Counter::Ipv4InIpv4),
        (Self::Ipv4InIpv6, Counter::Ipv4InIpv6),
        (Self::Ipv6InIpv4, Counter::Ipv6InIpv4),
        (Self::Ipv6InIpv6, Counter::Ipv6InIpv6),
        (Self::Esp, Counter::Esp),
        (Self::Ah, Counter::Ah),
    ];
}

/// The encapsulations met while a layer was read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Met(u32);

impl Met {
    pub(super) fn add(&mut self, one: Encapsulation) {
        self.0 |= 1 << (one as u32);
    }

    pub(super) fn merge(&mut self, other: Self) {
        self.0 |= other.0;
    }

    /// Counts each that was met.
    pub(crate) fn count(self, counters: &mut Counters) {
        if self.0 == 0 {
            return;
        }
        for (one, counter) in Encapsulation::COUNTERS {
            if self.0 & 1 << (one as u32) != 0 {
                counters.count(counter);
            }
        }
    }
}
