//! `dhcp.starvation`: somebody takes all of a DHCP server's addresses.
//!
//! It takes a new hardware address for each lease. An office that is switched on in the morning does that too, so numbers alone prove
//! nothing: its computers send from the address that they name, their addresses come from a few makers, and they say
//! who they are. Counted are hardware addresses that no computer can have: named in a message that another one sent, group
//! addresses (IEEE 802), or a hundred makers' within a minute without a host name; and single senders that ask at a rate
//! that RFC 2131 (4.1: waits of 4, 8, 16, 32 seconds) rules out. Messages that a relay passed on are left out.

use core::net::IpAddr;
use std::time::Duration;

use sekimori_wire::finding::{Bilingual, Category, Confidence, Finding};
use sekimori_wire::id::{FindingId, Host};
use sekimori_wire::time::Timestamp;

use crate::bounded::{Distinct, Map};
use crate::detect::findings::{Findings, Who, draft, input, sample, target, threshold};
use crate::detect::{Detect, Kinds, Scene, Setup};
use crate::event::{DhcpMessage, Event, FlowEvent, FlowRef, Transaction};
use crate::segment::Policy;

/// Hardware addresses are counted over this long.
const WINDOW: Duration = Duration::from_secs(5 * 60);
/// A sender's requests, and a fleet's first ones, are counted over this long.
const BURST: Duration = Duration::from_secs(60);
/// Clients named by others' frames, if the frames' addresses change too: no device does that.
const FOREIGN_MIN: usize = 10;
/// The same from one device: a wireless bridge speaks for some behind it, seldom for so many at once.
const BRIDGED_MIN: usize = 30;
/// Senders among them from which on they count as changing.
const SENDERS_MIN: usize = 5;
/// Group addresses as clients: one may be a damaged message.
const GROUP_MIN: usize = 5;
/// New clients within a minute: as many computers as a large office floor has, all at once.
const FLEET_MIN: usize = 100;
/// Of a hundred such, so many with a maker of their own and so many without a host name.
const STRANGE_PERCENT: usize = 90;
/// Different requests of one sender within a minute: RFC 2131 allows four or five.
const REQUESTS_MIN: usize = 100;
const DISCOVER: u8 = 1;
const REQUEST: u8 = 3;

/// State: who asks for addresses, by network and by sender.
#[derive(Debug)]
pub(super) struct DhcpStarvation {
    networks: Map<Option<u16>, Network>,
    senders: Map<(Option<u16>, [u8; 6]), Sender>,
    distinct: usize,
    evicted: u64,
}

/// The clients of a network.
#[derive(Debug)]
struct Network {
    since: Timestamp,
    last: Timestamp,
    foreign: Distinct<[u8; 6]>,
    foreign_senders: Distinct<[u8; 6]>,
    group: Distinct<[u8; 6]>,
    fleet: Fleet,
    server: Option<IpAddr>,
    count: u64,
    finding: Option<FindingId>,
}

/// New clients of a minute.
#[derive(Debug)]
struct Fleet {
    since: Timestamp,
    clients: Distinct<[u8; 6]>,
    makers: Distinct<[u8; 3]>,
    nameless: usize,
}

/// One sender's requests of a minute.
#[derive(Debug)]
struct Sender {
    since: Timestamp,
    requests: Distinct<u32>,
    count: u64,
    finding: Option<FindingId>,
}

impl Fleet {
    const fn new(since: Timestamp, distinct: usize) -> Self {
        Self { since, clients: Distinct::new(distinct), makers: Distinct::new(distinct), nameless: 0 }
    }

    fn take(&mut self, message: &DhcpMessage) {
        if self.clients.insert(message.client_mac) {
            let [a, b, c, ..] = message.client_mac;
            self.makers.insert([a, b, c]);
            self.nameless += usize::from(message.host_name.is_none() && message.client_fqdn.is_none());
        }
    }

    fn is_forged(&self) -> bool {
        let clients = self.clients.len();
        let most = |part: usize| part * 100 >= clients * STRANGE_PERCENT;
        clients >= FLEET_MIN && most(self.makers.len()) && most(self.nameless)
    }
}

impl Network {
    const fn new(at: Timestamp, distinct: usize) -> Self {
        Self {
            since: at,
            last: at,
            foreign: Distinct::new(distinct),
            foreign_senders: Distinct::new(distinct),
            group: Distinct::new(distinct),
            fleet: Fleet::new(at, distinct),
            server: None,
            count: 0,
            finding: None,
        }
    }

    fn take(&mut self, at: Timestamp, message: &DhcpMessage, distinct: usize) {
        if at.since(self.last) > WINDOW || at.since(self.since) > WINDOW {
            let (server, finding, count) = (self.server, self.finding, self.count);
            *self = Self { server, finding, count, ..Self::new(at, distinct) };
        }
        if at.since(self.fleet.since) > BURST {
            self.fleet = Fleet::new(at, distinct);
        }
        self.last = at;
        self.count += 1;
        let client = message.client_mac;
        if let Some([from, _]) = message.frame
            && from != client
        {
            self.foreign.insert(client);
            self.foreign_senders.insert(from);
        }
        if client.first().is_some_and(|first| first & 1 == 1) {
            self.group.insert(client);
        }
        self.fleet.take(message);
    }

    fn is_starved(&self) -> bool {
        let changing = self.foreign_senders.len() >= SENDERS_MIN;
        self.foreign.len() >= if changing { FOREIGN_MIN } else { BRIDGED_MIN }
            || self.group.len() >= GROUP_MIN
            || self.fleet.is_forged()
    }

    /// The device that all forged clients' messages came from, if it is one.
    fn sender(&self) -> Option<[u8; 6]> {
        self.foreign_senders.iter().next().copied().filter(|_first| self.foreign_senders.len() == 1)
    }

    fn show(&self, finding: &mut Finding) {
        finding.count = finding.count.max(self.count);
        input(finding, "clients_named_by_others", self.foreign.len());
        input(finding, "senders_of_those", self.foreign_senders.len());
        input(finding, "group_addresses", self.group.len());
        input(finding, "new_clients_in_a_minute", self.fleet.clients.len());
        input(finding, "their_makers", self.fleet.makers.len());
        input(finding, "without_host_name", self.fleet.nameless);
    }
}

impl DhcpStarvation {
    pub(super) fn new(setup: &Setup<'_>) -> Self {
        let (entries, seed) = (setup.limits.detector_entries, setup.seed);
        let distinct = setup.limits.distinct_per_entry;
        Self { networks: Map::new(entries, seed), senders: Map::new(entries, seed), distinct, evicted: 0 }
    }

    /// A server that gives addresses.
    fn on_reply(&mut self, flow: &FlowRef, message: &DhcpMessage) {
        if let Some(network) = self.networks.get_mut(&flow.vlan) {
            let sender = if message.from_originator { flow.originator } else { flow.responder };
            network.server = Some(message.server_id.map_or(sender.address, IpAddr::V4));
        }
    }

    fn on_request(
        &mut self,
        at: Timestamp,
        flow: &FlowRef,
        message: &DhcpMessage,
        (policy, out): (&Policy, &mut Findings),
    ) {
        let distinct = self.distinct;
        let (network, left) = self.networks.get_or_insert_with(flow.vlan, || Network::new(at, distinct));
        self.evicted += u64::from(left.is_some());
        let Some(network) = network else { return };
        network.take(at, message, distinct);
        let receiver = network.server.unwrap_or(flow.responder.address);
        if network.is_starved() {
            let fresh = || {
                let who = (network.sender().map(Host::Mac), receiver);
                let mut finding = claim((network.since, at), flow, who, policy);
                network.show(&mut finding);
                Some(finding)
            };
            network.finding = out.follow(network.finding, at, |finding| network.show(finding), fresh);
            return;
        }
        let from = message.frame.map_or(message.client_mac, |[from, _]| from);
        let (sender, left) = self.senders.get_or_insert_with((flow.vlan, from), || Sender::new(at, distinct));
        self.evicted += u64::from(left.is_some());
        let Some(sender) = sender else { return };
        sender.take(at, message, distinct);
        if sender.requests.len() < REQUESTS_MIN {
            return;
        }
        let fresh = || {
            let mut finding = claim((sender.since, at), flow, (Some(Host::Mac(from)), receiver), policy);
            sender.show(&mut finding);
            Some(finding)
        };
        sender.finding = out.follow(sender.finding, at, |finding| sender.show(finding), fresh);
    }
}

impl Sender {
    const fn new(at: Timestamp, distinct: usize) -> Self {
        Self { since: at, requests: Distinct::new(distinct), count: 0, finding: None }
    }

    fn take(&mut self, at: Timestamp, message: &DhcpMessage, distinct: usize) {
        if at.since(self.since) > BURST {
            *self = Self { finding: self.finding, count: self.count, ..Self::new(at, distinct) };
        }
        self.requests.insert(message.id);
        self.count += 1;
    }

    fn show(&self, finding: &mut Finding) {
        finding.count = finding.count.max(self.count);
        input(finding, "requests_of_one_sender_in_a_minute", self.requests.len());
    }
}

fn claim(
    (first, at): (Timestamp, Timestamp),
    flow: &FlowRef,
    (originator, receiver): (Option<Host>, IpAddr),
    policy: &Policy,
) -> Finding {
    let who = Who {
        originator,
        responder: Some(receiver.into()),
        places: (receiver, flow.responder.address),
        vlan: flow.vlan,
        what: "",
    };
    let mut finding = draft(Category::DhcpStarvation, DhcpStarvation::RULE, policy, who, (first, at));
    finding.confidence = Confidence::from_permille(900);
    finding.title = Bilingual::new(
        &format!("DHCPアドレスの枯渇攻撃: {receiver} 宛て"),
        &format!("DHCP starvation: towards {receiver}"),
    );
    finding.explanation = Bilingual::new(
        "実在しない多数の端末を装って、IPアドレスの割り当てが次々に要求されています。アドレスが尽きると、正規の端末が\
         ネットワークに接続できなくなります。",
        "Addresses are asked for again and again in the names of many computers that do not exist. When none is left, real \
         computers cannot join the network.",
    );
    finding.evidence.formula = "within five minutes: clients named in frames of others, or group addresses as clients; \
        within a minute: new clients nearly all of different makers and without host names, or different requests of one \
        sender"
        .into();
    threshold(&mut finding, "clients_named_by_others", FOREIGN_MIN);
    threshold(&mut finding, "the_same_from_one_device", BRIDGED_MIN);
    threshold(&mut finding, "group_addresses", GROUP_MIN);
    threshold(&mut finding, "new_clients_in_a_minute", FLEET_MIN);
    threshold(&mut finding, "requests_of_one_sender_in_a_minute", REQUESTS_MIN);
    target(&mut finding, &receiver.to_string());
    sample(&mut finding, flow);
    finding
}

impl Detect for DhcpStarvation {
    const RULE: &'static str = "dhcp.starvation/1";
    const WANTS: Kinds = Kinds::TRANSACTION;

    fn on_event(&mut self, event: &Event, scene: &Scene<'_>, out: &mut Findings) {
        let Event::Flow { at, flow, what: FlowEvent::Transaction(one) } = event else { return };
        let Transaction::Dhcp(message) = &**one else { return };
        let relayed = message.relay_ip.is_some_and(|relay| !relay.is_unspecified());
        // Whoever renews already has an address and uses it.
        let has_address = message.client_ip.is_some_and(|own| !own.is_unspecified());
        if message.is_reply {
            self.on_reply(flow, message);
        } else if matches!(message.kind, Some(DISCOVER | REQUEST)) && !relayed && !has_address {
            self.on_request(*at, flow, message, (scene.policy, out));
        }
    }

    fn take_evicted(&mut self) -> u64 {
        core::mem::take(&mut self.evicted)
    }
}

#[cfg(test)]
mod tests;
