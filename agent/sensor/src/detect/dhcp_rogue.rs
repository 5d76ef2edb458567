//! `dhcp.rogue`: a second DHCP server in a network that has one.
//!
//! Whoever hands out addresses decides which gateway and which name server a computer believes in. Two servers are normal
//! when they are twins (failover, split scope): then they offer the same settings. Judged are therefore two servers that
//! offer to one client at once, or that serve one network by turns, and whose offers differ in the router, the name
//! servers or the network; or, with less weight, in lease time and in the set of options, as no pair of one make does. A network boot
//! server without addresses to give (PXE `proxyDHCP`) is none, and a new server after the old one has gone neither.

mod offer;

use core::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use sekimori_wire::finding::{Bilingual, Category, Confidence, Finding, Severity};
use sekimori_wire::id::Host;
use sekimori_wire::time::Timestamp;

use crate::bounded::Map;
use crate::detect::findings::{Findings, Who, draft, input, sample, target, threshold};
use crate::detect::notices::Notices;
use crate::detect::{Detect, Kinds, Scene, Setup};
use crate::event::{DhcpMessage, Event, FlowEvent, FlowRef, Transaction};
use crate::segment::Policy;
use offer::{Difference, Offer};

/// Offers to one discovery come within this (RFC 2131, 4.4.1: clients wait some seconds).
const TOGETHER: Duration = Duration::from_secs(10);
/// A server that was not heard for so long may have been replaced.
const ALIVE: Duration = Duration::from_secs(60 * 60);
/// Whoever has served this long before another came is the one that belongs there.
const ESTABLISHED: Duration = Duration::from_secs(60);
/// Servers of one network that are told apart.
const SERVERS_MAX: usize = 8;
/// Offers to one discovery that are compared.
const OFFERS_MAX: usize = 4;

/// State: the servers of each network, and the offers under way.
#[derive(Debug)]
pub(super) struct DhcpRogue {
    networks: Map<Network, Vec<Server>>,
    offers: Map<Discovery, Vec<(Timestamp, Offer)>>,
    known: Notices<(Network, Ipv4Addr)>,
    evicted: u64,
}

/// VLAN and relay.
type Network = (Option<u16>, Option<Ipv4Addr>);
/// Transaction and client.
type Discovery = (Network, u32, [u8; 6]);

#[derive(Clone, Debug)]
struct Server {
    offer: Offer,
    first: Timestamp,
    last: Timestamp,
}

impl DhcpRogue {
    pub(super) fn new(setup: &Setup<'_>) -> Self {
        let (entries, seed) = (setup.limits.detector_entries, setup.seed);
        Self {
            networks: Map::new(entries, seed),
            offers: Map::new(entries, seed),
            known: Notices::new(entries, seed),
            evicted: 0,
        }
    }

    fn on_reply(
        &mut self,
        at: Timestamp,
        flow: &FlowRef,
        message: &DhcpMessage,
        (policy, out): (&Policy, &mut Findings),
    ) {
        let Some(offer) = Offer::of(flow, message) else { return };
        let network = (flow.vlan, message.relay_ip.filter(|relay| !relay.is_unspecified()));
        let together = self.together(at, (network, message), &offer);
        let by_turns = self.by_turns(at, network, &offer);
        let grew = self.known.grow((&(network, offer.server), at), out, |finding| {
            finding.count = finding.count.saturating_add(1);
            target(finding, &Host::Mac(message.client_mac).to_string());
        });
        if grew {
            return;
        }
        let Some((other, differences)) = together.or(by_turns) else { return };
        let (rogue, right) =
            if self.is_newer(network, &offer, &other) { (offer, other) } else { (other, offer) };
        let key = (network, rogue.server);
        if self.known.has(&key) || self.known.has(&(network, right.server)) {
            // Which of the two is which has been said.
            return;
        }
        let finding = claim(at, flow, (&rogue, &right, &differences), policy);
        self.known.open(key, Finding { responder: None, ..finding }, out);
    }

    /// Another server's offer to the same discovery, and how the two differ.
    fn together(
        &mut self,
        at: Timestamp,
        (network, message): (Network, &DhcpMessage),
        offer: &Offer,
    ) -> Option<(Offer, Vec<Difference>)> {
        if !offer.is_offer {
            return None;
        }
        while self
            .offers
            .oldest()
            .is_some_and(|(_, offers)| offers.last().is_none_or(|(last, _)| at.since(*last) > TOGETHER))
        {
            self.offers.pop_oldest();
        }
        let key = (network, message.id, message.client_mac);
        let (offers, left) = self.offers.get_or_insert_with(key, Vec::new);
        self.evicted += u64::from(left.is_some());
        let offers = offers?;
        let other = offers.iter().find(|(_, other)| other.server != offer.server);
        let found = other.map(|(_, other)| (other.clone(), offer.differs_from(other, true)));
        if offers.len() < OFFERS_MAX {
            offers.push((at, offer.clone()));
        }
        found.filter(|(_, differences)| Difference::matter(differences))
    }

    /// Another server that served the same network before and after this one came, and how the two differ.
    fn by_turns(
        &mut self,
        at: Timestamp,
        network: Network,
        offer: &Offer,
    ) -> Option<(Offer, Vec<Difference>)> {
        let (servers, left) = self.networks.get_or_insert_with(network, Vec::new);
        self.evicted += u64::from(left.is_some());
        let servers = servers?;
        servers.retain(|server| at.since(server.last) <= ALIVE);
        let room = servers.len() < SERVERS_MAX;
        match servers.iter_mut().find(|server| server.offer.server == offer.server) {
            Some(server) => {
                server.last = at;
                server.offer = offer.clone();
            }
            None if room => {
                servers.push(Server { offer: offer.clone(), first: at, last: at });
            }
            None => return None,
        }
        let own = servers.iter().find(|server| server.offer.server == offer.server)?;
        // The other was here first, and this one came and went between two of its messages; or the other way round.
        let alternates =
            |other: &&Server| other.first > own.first && own.first < own.last && own.last >= other.last;
        let other = servers.iter().filter(|one| one.offer.server != offer.server).find(alternates)?;
        let same_network = network.1.is_some() || own.offer.shares_network_with(&other.offer);
        let differences = own.offer.differs_from(&other.offer, false);
        (same_network && Difference::is_serious(&differences)).then(|| (other.offer.clone(), differences))
    }

    /// `offer`'s server is the newcomer; of two that came at once the one that answered first, for a forger must be faster.
    fn is_newer(&mut self, network: Network, offer: &Offer, other: &Offer) -> bool {
        let Some(servers) = self.networks.get_mut(&network) else { return false };
        let first =
            |server: Ipv4Addr| servers.iter().find(|one| one.offer.server == server).map(|one| one.first);
        match (first(offer.server), first(other.server)) {
            (Some(own), Some(others)) => {
                own.since(others) >= ESTABLISHED || (own < others && others.since(own) < ESTABLISHED)
            }
            (Some(_), None) | (None, _) => false,
        }
    }
}

fn claim(
    at: Timestamp,
    flow: &FlowRef,
    (rogue, right, differences): (&Offer, &Offer, &[Difference]),
    policy: &Policy,
) -> Finding {
    let who = Who {
        originator: Some(IpAddr::V4(rogue.server).into()),
        responder: None,
        places: (rogue.server.into(), right.server.into()),
        vlan: flow.vlan,
        what: "",
    };
    let mut finding = draft(Category::DhcpRogue, DhcpRogue::RULE, policy, who, (at, at));
    let serious = Difference::is_serious(differences);
    finding.severity = if serious { Severity::HIGH } else { Severity::MEDIUM };
    finding.confidence = Confidence::from_permille(if serious { 850 } else { 650 });
    let (one, other) = (rogue.server, right.server);
    finding.title =
        Bilingual::new(&format!("不正なDHCPサーバーの疑い: {one}"), &format!("Rogue DHCP server: {one}"));
    finding.explanation = Bilingual::new(
        &format!(
            "{one} が、{other} とは異なる設定で端末にIPアドレスを配布しています。偽のゲートウェイやDNSサーバーへ誘導される\
             おそれがあります。どちらが正規のサーバーか確認してください。"
        ),
        &format!(
            "{one} hands out addresses with other settings than {other} does. Computers may be led to a false gateway or \
             name server. Please check which of the two is authorised."
        ),
    );
    finding.evidence.formula =
        "two servers offer to one client, or serve one network by turns, and differ in router, name \
        servers or network; or in lease time and in the set of options"
            .into();
    let names: Vec<&str> = differences.iter().map(|one| one.as_str()).collect();
    input(&mut finding, "differences", names.join(", "));
    for (name, offer) in [("offer", rogue), ("other_offer", right)] {
        input(&mut finding, name, offer.show());
    }
    threshold(&mut finding, "servers", 1_u64);
    target(&mut finding, &other.to_string());
    target(&mut finding, &Host::Mac(rogue.client).to_string());
    sample(&mut finding, flow);
    finding
}

impl Detect for DhcpRogue {
    const RULE: &'static str = "dhcp.rogue/1";
    const WANTS: Kinds = Kinds::TRANSACTION;

    fn on_event(&mut self, event: &Event, scene: &Scene<'_>, out: &mut Findings) {
        if let Event::Flow { at, flow, what: FlowEvent::Transaction(one) } = event
            && let Transaction::Dhcp(message) = &**one
            && message.is_reply
        {
            self.on_reply(*at, flow, message, (scene.policy, out));
        }
    }

    fn take_evicted(&mut self) -> u64 {
        core::mem::take(&mut self.evicted) + self.known.take_evicted()
    }
}

#[cfg(test)]
mod tests;
