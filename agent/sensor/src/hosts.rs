//! Who is who: the address that a machine has, by its name and by its MAC address.
//!
//! Endpoint products name machines, packets carry addresses. What DHCP, ARP, `NetBIOS`, LLMNR, multicast DNS, Kerberos, NTLM
//! and the alerts themselves say is kept here, so that an alert that names no address meets what was seen of its machine.
//! All of these but a lease can be forged by whoever is in the network: a stronger word is never replaced by a weaker one
//! while it holds, a name that several machines claim names none of them, and nothing is excused by it. An alert that got its address
//! this way says so ([`EndpointAlert::joined`]).

use core::net::{IpAddr, Ipv4Addr};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use sekimori_wire::alert::{EndpointAlert, JoinedBy};
use sekimori_wire::id::Host;
use sekimori_wire::time::Timestamp;

use crate::bounded::Map;
use crate::event::dhcp::DhcpMessage;
use crate::event::dns::Rdata;
use crate::event::smb::SmbDetail;
use crate::event::{Application, Arp, Dns, Event, FlowEvent, FlowRef, KerberosExchange, Transaction};
use crate::segment::Policy;

/// Names and MAC addresses that are remembered, each; about 2 MiB in all. Full: the one that was used longest ago is forgotten.
const HOSTS: usize = 8_192;
/// What nobody gave a lease for is believed this long.
const MEMORY: Duration = Duration::from_secs(24 * 3_600);
/// A lease is believed no longer, whatever it says.
const LEASE_MAX: Duration = Duration::from_secs(8 * 24 * 3_600);
/// Longest name of a machine, in bytes (a label of RFC 1035).
const NAME_BYTES_MAX: usize = 63;
/// DHCP message types (RFC 2132, 9.6).
const DISCOVER: u8 = 1;
const REQUEST: u8 = 3;
const ACK: u8 = 5;
const RELEASE: u8 = 7;
/// OPCODE of a `NetBIOS` registration and of its refresh (RFC 1002, 4.2.1.1).
const REGISTRATION: u8 = 5;
const REFRESH: u8 = 8;

/// What is known of the machines around one agent; all its stages and its sources of alerts share it.
#[derive(Debug)]
pub struct Hosts {
    table: Mutex<Table>,
}

#[derive(Debug)]
struct Table {
    by_name: Map<Box<str>, Held>,
    by_mac: Map<[u8; 6], Held>,
    /// What clients call themselves when they ask for a lease.
    asking: Map<[u8; 6], Box<str>>,
}

#[derive(Clone, Copy, Debug)]
struct Held {
    /// None: several machines say that it is theirs.
    address: Option<IpAddr>,
    by: JoinedBy,
    until: Timestamp,
}

/// Who says it, when, and for how long it holds.
#[derive(Clone, Copy, Debug)]
struct Word {
    by: JoinedBy,
    at: Timestamp,
    lasts: Duration,
}

impl Word {
    const fn of(by: JoinedBy, at: Timestamp) -> Self {
        Self { by, at, lasts: MEMORY }
    }
}

impl Default for Hosts {
    fn default() -> Self {
        Self::new(0)
    }
}

impl Hosts {
    /// Knows nobody; `seed` keys the hashes.
    pub fn new(seed: u64) -> Self {
        let table = Table {
            by_name: Map::new(HOSTS, seed),
            by_mac: Map::new(HOSTS, seed),
            asking: Map::new(HOSTS, seed),
        };
        Self { table: Mutex::new(table) }
    }

    /// Takes what an event says about machines inside.
    pub(crate) fn learn(&self, event: &Event, policy: &Policy) {
        match event {
            Event::Arp { at, arp, .. } => {
                if policy.is_inside(arp.sender_ip.into()) && is_honest(arp) {
                    self.table().by_mac.claim(
                        arp.sender_mac,
                        arp.sender_ip.into(),
                        Word::of(JoinedBy::Arp, *at),
                    );
                }
            }
            Event::Flow { at, flow, what: FlowEvent::Transaction(unit) } => {
                self.learn_unit(*at, flow, unit, policy);
            }
            Event::Flow { at, flow, what: FlowEvent::Dns(dns) } if dns.application != Application::Dns => {
                self.learn_answer(*at, flow, dns, policy);
            }
            Event::Flow { .. } | Event::Anomaly { .. } => {}
        }
    }

    fn learn_unit(&self, at: Timestamp, flow: &FlowRef, unit: &Transaction, policy: &Policy) {
        match unit {
            Transaction::Dhcp(message) => self.table().lease(at, message),
            Transaction::NameService(dns) => self.learn_registration(at, flow, dns, policy),
            Transaction::Kerberos(exchange) => {
                let client = if exchange.from_originator { flow.originator } else { flow.responder };
                if let Some(name) = machine_of(exchange) {
                    self.name(name, client.address, (JoinedBy::Kerberos, at), policy);
                }
            }
            Transaction::Smb(command) => {
                let client = if command.from_originator { flow.originator } else { flow.responder };
                if let SmbDetail::SessionSetup(session) = &command.detail
                    && let Some(ntlm) = &session.ntlm
                {
                    self.name(&ntlm.host, client.address, (JoinedBy::Ntlm, at), policy);
                }
            }
            Transaction::Tls(_)
            | Transaction::Http(_)
            | Transaction::Ssh(_)
            | Transaction::Smtp(_)
            | Transaction::Ftp(_)
            | Transaction::Pop3(_)
            | Transaction::Imap(_)
            | Transaction::Telnet(_)
            | Transaction::DceRpc(_)
            | Transaction::Ldap(_)
            | Transaction::Rdp(_)
            | Transaction::Ntp(_)
            | Transaction::Snmp(_)
            | Transaction::Tftp(_)
            | Transaction::Sip(_)
            | Transaction::Mqtt(_)
            | Transaction::Quic(_)
            | Transaction::Dht(_)
            | Transaction::File(_) => {}
        }
    }

    /// `NetBIOS`: a machine registers its own name. Names of groups are registered by many, and name none of them.
    fn learn_registration(&self, at: Timestamp, flow: &FlowRef, dns: &Dns, policy: &Policy) {
        if dns.is_response || !matches!(dns.opcode(), REGISTRATION | REFRESH) {
            return;
        }
        self.name(&dns.qname, sender(flow, dns), (JoinedBy::Nbns, at), policy);
    }

    /// LLMNR, multicast DNS: a machine says what its own address is.
    fn learn_answer(&self, at: Timestamp, flow: &FlowRef, dns: &Dns, policy: &Policy) {
        let sender = sender(flow, dns);
        let own = dns.answer_records.iter().find(|record| record.data == Rdata::Address(sender));
        if let Some(record) = own.filter(|_| dns.is_response) {
            self.name(&record.name, sender, (JoinedBy::Multicast, at), policy);
        }
    }

    fn name(&self, name: &str, address: IpAddr, (by, at): (JoinedBy, Timestamp), policy: &Policy) {
        if let Some(name) = plain(name).filter(|_| policy.is_inside(address)) {
            self.table().by_name.claim(name, address, Word::of(by, at));
        }
    }

    /// Gives an alert that names no address the one of its machine; learns from one that names both.
    pub fn join(&self, alert: &mut EndpointAlert) {
        let at = alert.received_at;
        let name = plain(&alert.host_name);
        let mut table = self.table();
        let known = match alert.host {
            Some(Host::Ip(address)) => {
                if let Some(name) = name {
                    table.by_name.claim(name, address, Word::of(JoinedBy::Alert, at));
                }
                return;
            }
            Some(Host::Mac(mac)) => table.by_mac.held(&mac, at),
            None => None,
        };
        let known = known.or_else(|| table.by_name.held(&name?, at));
        if let Some((address, by)) = known {
            alert.host = Some(Host::Ip(address));
            alert.joined = Some(by);
        }
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Table {
    /// A step towards a lease, or away from it.
    fn lease(&mut self, at: Timestamp, message: &DhcpMessage) {
        let mac = message.client_mac;
        let said = [&message.client_fqdn, &message.host_name].into_iter().flatten();
        let said = said.filter_map(|bytes| core::str::from_utf8(bytes).ok()).find_map(plain);
        match (message.kind, message.is_reply) {
            (Some(DISCOVER | REQUEST), false) => {
                if let Some(name) = said {
                    let _left = self.asking.insert(mac, name);
                }
            }
            (Some(ACK), true) => {
                let given = message
                    .assigned_ip
                    .or(message.client_ip)
                    .filter(|address| *address != Ipv4Addr::UNSPECIFIED);
                let Some(address) = given.map(IpAddr::from) else { return };
                let lease = message.lease_time.map_or(MEMORY, |seconds| Duration::from_secs(seconds.into()));
                let word = Word { by: JoinedBy::Dhcp, at, lasts: lease.min(LEASE_MAX) };
                self.by_mac.claim(mac, address, word);
                if let Some(name) = self.asking.peek(&mac).cloned().or(said) {
                    self.by_name.claim(name, address, word);
                }
            }
            (Some(RELEASE), false) => {
                let name = self.asking.remove(&mac);
                let left = self.by_mac.remove(&mac);
                let is_same = |held: &Held| left.is_some_and(|left| left.address == held.address);
                if let Some(name) = name.filter(|name| self.by_name.peek(name).is_some_and(is_same)) {
                    self.by_name.remove(&name);
                }
            }
            _ => {}
        }
    }
}

impl<K: core::hash::Hash + Eq> Map<K, Held> {
    /// Somebody says that this is at `address`.
    fn claim(&mut self, key: K, address: IpAddr, word: Word) {
        let new = Held { address: Some(address), by: word.by, until: word.at.plus(word.lasts) };
        let Some(held) = self.get_mut(&key) else {
            let _left = self.insert(key, new);
            return;
        };
        if held.until < word.at || word.by > held.by {
            *held = new;
        } else if word.by == held.by {
            let is_same = held.address == Some(address) || is_unique(word.by);
            *held = Held { address: is_same.then_some(address), ..new };
        }
    }

    fn held(&self, key: &K, at: Timestamp) -> Option<(IpAddr, JoinedBy)> {
        let held = self.peek(key).filter(|held| at <= held.until)?;
        Some((held.address?, held.by))
    }
}

/// A new word of this kind takes the place of the old one: a machine moved. Of the others, two that differ are two machines.
const fn is_unique(by: JoinedBy) -> bool {
    match by {
        JoinedBy::Dhcp | JoinedBy::Arp | JoinedBy::Kerberos | JoinedBy::Alert => true,
        JoinedBy::Ntlm | JoinedBy::Nbns | JoinedBy::Multicast => false,
    }
}

/// It speaks for the machine that sent it.
fn is_honest(arp: &Arp) -> bool {
    arp.frame.is_none_or(|[sender, _]| sender == arp.sender_mac) && !arp.sender_ip.is_unspecified()
}

const fn sender(flow: &FlowRef, dns: &Dns) -> IpAddr {
    if dns.from_originator { flow.originator.address } else { flow.responder.address }
}

/// The machine that got a ticket for itself.
fn machine_of(exchange: &KerberosExchange) -> Option<&str> {
    let granted = exchange.reply.as_ref().filter(|reply| reply.kind.is_some())?;
    let asked = exchange.request.as_ref().and_then(|request| request.client.as_deref());
    granted.client.as_deref().or(asked)?.strip_suffix('$')
}

/// A machine's own name without its domain, lower case; none for what cannot be one.
fn plain(name: &str) -> Option<Box<str>> {
    let name = name.trim_matches(['\0', ' ']).trim_end_matches('$');
    if name.parse::<IpAddr>().is_ok() {
        return None;
    }
    let first = name.split('.').next().unwrap_or_default();
    let is_name = |letter: char| letter.is_alphanumeric() || matches!(letter, '-' | '_');
    let is_one = !first.is_empty() && first.len() <= NAME_BYTES_MAX && first.chars().all(is_name);
    is_one.then(|| first.to_lowercase().into_boxed_str())
}

#[cfg(test)]
mod tests;
