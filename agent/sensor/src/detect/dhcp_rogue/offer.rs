//! What a DHCP server offers, and how two offers differ.

use core::net::{IpAddr, Ipv4Addr};

use sekimori_wire::id::Host;

use crate::event::{DhcpMessage, FlowRef};

const OFFER: u8 = 2;
const ACK: u8 = 5;
/// Vendor class of network boot (PXE specification 2.1).
const PXE: &[u8] = b"PXEClient";

/// An offer or acknowledgement that gives an address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Offer {
    pub(super) server: Ipv4Addr,
    pub(super) is_offer: bool,
    pub(super) client: [u8; 6],
    mac: Option<[u8; 6]>,
    given: Ipv4Addr,
    mask: Option<Ipv4Addr>,
    routers: Vec<Ipv4Addr>,
    dns: Vec<Ipv4Addr>,
    domain: Option<Box<[u8]>>,
    lease: Option<u32>,
    options: Box<[u8]>,
}

/// In what two offers differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Difference {
    Router,
    NameServers,
    Network,
    Domain,
    LeaseTime,
    Options,
}

impl Difference {
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Router => "router",
            Self::NameServers => "name servers",
            Self::Network => "network",
            Self::Domain => "domain",
            Self::LeaseTime => "lease time",
            Self::Options => "set of options",
        }
    }

    /// They lead clients elsewhere.
    pub(super) fn is_serious(all: &[Self]) -> bool {
        all.iter().any(|one| matches!(one, Self::Router | Self::NameServers | Self::Network))
    }

    /// The two are no twins. A failover pair may differ in lease time alone (the shorter one of a partner that is cut off),
    /// two versions of one program in their options alone.
    pub(super) fn matter(all: &[Self]) -> bool {
        Self::is_serious(all) || (all.contains(&Self::LeaseTime) && all.contains(&Self::Options))
    }
}

impl Offer {
    /// Of a server's message, if it gives an address.
    pub(super) fn of(flow: &FlowRef, message: &DhcpMessage) -> Option<Self> {
        let is_offer = message.kind == Some(OFFER);
        if !is_offer && message.kind != Some(ACK) {
            return None;
        }
        let given = message.assigned_ip.filter(|given| !given.is_unspecified())?;
        let boots = message.vendor_class.as_ref().is_some_and(|class| class.starts_with(PXE));
        let sender = if message.from_originator { flow.originator } else { flow.responder };
        let server = match (message.server_id, sender.address) {
            (Some(server), _) | (None, IpAddr::V4(server)) => server,
            (None, IpAddr::V6(_)) => return None,
        };
        let mut options = message.options.to_vec();
        options.sort_unstable();
        (!boots).then(|| Self {
            server,
            is_offer,
            client: message.client_mac,
            mac: message.frame.map(|[from, _]| from),
            given,
            mask: message.subnet_mask,
            routers: message.routers.clone(),
            dns: message.dns_servers.clone(),
            domain: message.domain.clone(),
            lease: message.lease_time,
            options: options.into(),
        })
    }

    /// How this offer differs from another. `to_one_client`: they answer the same question, so what one lacks counts too.
    pub(super) fn differs_from(&self, other: &Self, to_one_client: bool) -> Vec<Difference> {
        let lists = |own: &[Ipv4Addr], others: &[Ipv4Addr]| {
            let (mut own, mut others) = (own.to_vec(), others.to_vec());
            own.sort_unstable();
            others.sort_unstable();
            own != others && (to_one_client || (!own.is_empty() && !others.is_empty()))
        };
        let both = |own: bool, others: bool| to_one_client || (own && others);
        let checks = [
            (Difference::Router, lists(&self.routers, &other.routers)),
            (Difference::NameServers, lists(&self.dns, &other.dns)),
            (Difference::Network, !self.shares_network_with(other)),
            (
                Difference::Domain,
                self.domain != other.domain && both(self.domain.is_some(), other.domain.is_some()),
            ),
            (Difference::LeaseTime, self.lease != other.lease && self.is_offer == other.is_offer),
            (Difference::Options, to_one_client && self.options != other.options),
        ];
        checks.into_iter().filter(|(_, differs)| *differs).map(|(which, _)| which).collect()
    }

    /// Both give addresses of one network.
    pub(super) fn shares_network_with(&self, other: &Self) -> bool {
        let network = |mask: Ipv4Addr, of: Ipv4Addr| mask.to_bits() & of.to_bits();
        match (self.mask, other.mask) {
            (Some(mask), None) | (None, Some(mask)) => {
                network(mask, self.given) == network(mask, other.given)
            }
            (Some(own), Some(others)) => {
                own == others && network(own, self.given) == network(own, other.given)
            }
            (None, None) => true,
        }
    }

    pub(super) fn show(&self) -> String {
        let list =
            |all: &[Ipv4Addr]| all.iter().take(4).map(ToString::to_string).collect::<Vec<_>>().join(" ");
        let mac = self.mac.map_or_else(|| "?".to_owned(), |mac| Host::Mac(mac).to_string());
        let lease = self.lease.map_or_else(|| "?".to_owned(), |seconds| seconds.to_string());
        format!(
            "server {} ({mac}), address {}, router {}, name servers {}, lease {lease} s",
            self.server,
            self.given,
            list(&self.routers),
            list(&self.dns),
        )
    }
}
