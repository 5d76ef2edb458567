//! Answers to one query that contradict each other, or that guess.

use core::net::IpAddr;
use std::time::Duration;

use sekimori_wire::time::Timestamp;

use crate::bounded::{Distinct, stand_in};
use crate::event::dns::Rdata;
use crate::event::{Dns, FlowRef};

/// How long answers belong to a query: resolvers give up and ask anew well before.
pub(super) const LIFE: Duration = Duration::from_secs(10);
/// Wrong identifiers for one question: a guesser needs thousands for a fair chance among 65,536 (Kaminsky, 2008), a stray
/// answer to a query that the capture lacks is one.
pub(super) const GUESSES_MIN: usize = 16;
/// Queries of one question that are told apart.
const QUERIES_MAX: usize = 8;
/// Different answers to them that are kept.
const ANSWERS_MAX: usize = 8;
/// TTLs that common systems send with (Linux 64, Windows 128, routers 255): what arrives with one came from the same link.
const INITIAL_HOPS: [u8; 3] = [64, 128, 255];
const A: u16 = 1;
const AAAA: u16 = 28;
const NO_SUCH_NAME: u8 = 3;
/// The flag of a truncated answer.
const TRUNCATED: u16 = 0x0200;

/// Who asks whom what.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Question {
    pub(super) client: IpAddr,
    pub(super) server: IpAddr,
    /// Stands for the name, which every message has with it.
    name: u64,
    qtype: u16,
    vlan: Option<u16>,
}

impl Question {
    /// Of a query or an answer for addresses over UDP.
    pub(super) fn of(flow: &FlowRef, dns: &Dns) -> Option<Self> {
        if !matches!(dns.qtype, A | AAAA) || flow.protocol != 17 || dns.opcode() != 0 || dns.qname.is_empty()
        {
            return None;
        }
        let (client, server) = ends(flow, dns);
        Some(Self {
            client: client.0,
            server: server.0,
            name: stand_in(&*dns.qname),
            qtype: dns.qtype,
            vlan: flow.vlan,
        })
    }
}

/// Client and server of a message.
fn ends(flow: &FlowRef, dns: &Dns) -> ((IpAddr, u16), (IpAddr, u16)) {
    let (originator, responder) =
        ((flow.originator.address, flow.originator.port), (flow.responder.address, flow.responder.port));
    if dns.from_originator == dns.is_response { (responder, originator) } else { (originator, responder) }
}

/// A question under way.
#[derive(Debug)]
pub(super) struct Asked {
    pub(super) last: Timestamp,
    queries: Vec<Query>,
    answers: Vec<Answer>,
    guesses: Distinct<u16>,
}

#[derive(Clone, Copy, Debug)]
struct Query {
    port: u16,
    id: u16,
    at: Timestamp,
    /// How often it was sent, or captured.
    times: usize,
    /// The Ethernet address that it was sent to.
    next_hop: Option<[u8; 6]>,
}

#[derive(Clone, Debug)]
struct Answer {
    port: u16,
    id: u16,
    content: Content,
    hops_left: u8,
    mac: Option<[u8; 6]>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Content {
    /// In order.
    Addresses(Vec<IpAddr>),
    NoSuchName,
}

impl Content {
    fn of(dns: &Dns) -> Option<Self> {
        if dns.rcode == NO_SUCH_NAME {
            return Some(Self::NoSuchName);
        }
        if dns.rcode != 0 || dns.flags & TRUNCATED != 0 || dns.left_out > 0 {
            return None;
        }
        let mut addresses: Vec<IpAddr> = dns
            .answer_records
            .iter()
            .filter_map(|record| if let Rdata::Address(address) = record.data { Some(address) } else { None })
            .collect();
        addresses.sort_unstable();
        (!addresses.is_empty()).then_some(Self::Addresses(addresses))
    }

    fn contradicts(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Addresses(these), Self::Addresses(those)) => !these.iter().any(|one| those.contains(one)),
            (Self::NoSuchName, Self::NoSuchName) => false,
            (Self::NoSuchName, Self::Addresses(_)) | (Self::Addresses(_), Self::NoSuchName) => true,
        }
    }

    fn show(&self) -> String {
        match self {
            Self::Addresses(addresses) => {
                addresses.iter().take(4).map(ToString::to_string).collect::<Vec<_>>().join(", ")
            }
            Self::NoSuchName => "no such name".to_owned(),
        }
    }
}

/// What betrays a forger.
#[derive(Debug)]
pub(super) struct Forged {
    pub(super) since: Timestamp,
    pub(super) answers: Vec<String>,
    pub(super) hops: Vec<String>,
    /// The Ethernet address that the forged answer came from, if it tells.
    pub(super) forger: Option<[u8; 6]>,
    /// Wrong identifiers, if that is what betrays.
    pub(super) guesses: usize,
    /// The two answers did not come from equally far.
    from_elsewhere: bool,
}

impl Forged {
    pub(super) const fn permille(&self) -> u16 {
        if self.forger.is_some() || self.from_elsewhere { 950 } else { 850 }
    }
}

impl Asked {
    pub(super) const fn new(at: Timestamp) -> Self {
        Self { last: at, queries: Vec::new(), answers: Vec::new(), guesses: Distinct::new(GUESSES_MIN * 4) }
    }

    pub(super) fn query(&mut self, at: Timestamp, flow: &FlowRef, dns: &Dns) {
        if at.since(self.last) > LIFE {
            *self = Self::new(at);
        }
        self.last = at;
        let ((_, port), _) = ends(flow, dns);
        match self.queries.iter_mut().find(|one| (one.port, one.id) == (port, dns.id)) {
            Some(one) => one.times += 1,
            None => {
                if self.queries.len() >= QUERIES_MAX {
                    self.queries.remove(0);
                }
                let next_hop = dns.frame.map(|[_, to]| to);
                // Most questions are asked once, and answered once: no room for more.
                if self.queries.is_empty() {
                    self.queries.reserve_exact(1);
                }
                self.queries.push(Query { port, id: dns.id, at, times: 1, next_hop });
            }
        }
    }

    fn keep(&mut self, answer: Answer) {
        if self.answers.len() < ANSWERS_MAX {
            if self.answers.is_empty() {
                self.answers.reserve_exact(1);
            }
            self.answers.push(answer);
        }
    }

    /// What an answer betrays beside those before it.
    pub(super) fn response(&mut self, flow: &FlowRef, dns: &Dns) -> Option<Forged> {
        let ((_, port), _) = ends(flow, dns);
        let query = self.queries.iter().find(|one| (one.port, one.id) == (port, dns.id)).copied();
        let Some(query) = query else {
            let since = self.queries.first()?.at;
            self.guesses.insert(dns.id);
            let guesses = self.guesses.len();
            let (answers, hops) = (Vec::new(), Vec::new());
            let forged = Forged { since, answers, hops, forger: None, guesses, from_elsewhere: false };
            return (guesses >= GUESSES_MIN).then_some(forged);
        };
        let (hops_left, mac) = (dns.hops_left, dns.frame.map(|[from, _]| from));
        let new = Answer { port, id: dns.id, content: Content::of(dns)?, hops_left, mac };
        let alike = self.answers.iter().filter(|one| (one.port, one.id) == (port, new.id));
        if alike.clone().any(|one| one.content == new.content) {
            return None;
        }
        // As many queries may have as many answers.
        let too_many = alike.clone().count() >= query.times;
        let other = if too_many {
            alike.clone().find(|one| one.content.contradicts(&new.content)).cloned()
        } else {
            None
        };
        let Some(other) = other else {
            self.keep(new);
            return None;
        };
        self.keep(new.clone());
        Some(Forged {
            since: query.at,
            answers: vec![other.content.show(), new.content.show()],
            hops: vec![other.hops_left.to_string(), new.hops_left.to_string()],
            forger: forger(&query, &other, &new),
            guesses: 0,
            from_elsewhere: other.hops_left != new.hops_left,
        })
    }
}

/// The Ethernet address behind the forged one of two answers: not the one that the query went to; or, if both came the same
/// way, the one that sent its packet itself while the other's had passed routers.
fn forger(query: &Query, one: &Answer, other: &Answer) -> Option<[u8; 6]> {
    let astray =
        |answer: &Answer| answer.mac.filter(|mac| query.next_hop.is_some_and(|next_hop| next_hop != *mac));
    let adjacent = |answer: &Answer| INITIAL_HOPS.contains(&answer.hops_left);
    match (astray(one), astray(other)) {
        (Some(mac), None) | (None, Some(mac)) => Some(mac),
        (None, None) if adjacent(one) != adjacent(other) => {
            if adjacent(one) {
                one.mac
            } else {
                other.mac
            }
        }
        (Some(_), Some(_)) | (None, None) => None,
    }
}
