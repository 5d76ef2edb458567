//! A client connects to the share of one address on servers that have other addresses.
//!
//! `\\192.0.2.1\IPC$` asked of 198.51.100.5 can be the fault of address translation, and then each path has one server.
//! The same path on several servers is fixed in a program: exploits are sent as they were recorded, as `WannaCry`'s was.
//! Who was asked for a path like that and then asks others for the same is the second generation.

use core::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use sekimori_wire::finding::Severity;
use sekimori_wire::time::Timestamp;

use super::{Claim, Told};
use crate::bounded::{Distinct, Map};
use crate::detect::{Findings, Setup};
use crate::event::smb::SmbDetail;
use crate::event::{FlowRef, SmbCommand};
use crate::segment::Policy;

/// Servers that were asked for the same foreign share.
pub(super) const SERVERS_MIN: usize = 2;
/// Forgotten after this long without more.
const MEMORY: Duration = Duration::from_secs(3_600);
/// Servers remembered of one path; more change nothing.
const KEPT: usize = 32;

/// State: foreign paths by client and address in the path, and who was asked for one.
#[derive(Debug)]
pub(super) struct Shares {
    foreign: Map<(IpAddr, Ipv4Addr), Foreign>,
    /// First client and time, by server and address in the path.
    asked: Map<(IpAddr, Ipv4Addr), (IpAddr, Timestamp)>,
    evicted: u64,
}

#[derive(Debug)]
struct Foreign {
    servers: Distinct<IpAddr>,
    first: Timestamp,
    last: Timestamp,
    requests: u64,
}

impl Shares {
    pub(super) fn new(setup: &Setup<'_>) -> Self {
        let (entries, seed) = (setup.limits.detector_entries, setup.seed);
        Self { foreign: Map::new(entries, seed), asked: Map::new(entries, seed), evicted: 0 }
    }

    pub(super) const fn take_evicted(&mut self) -> u64 {
        core::mem::replace(&mut self.evicted, 0)
    }

    pub(super) fn on_command(
        &mut self,
        (at, flow): (Timestamp, &FlowRef),
        command: &SmbCommand,
        told: &mut Told,
        (policy, out): (&Policy, &mut Findings),
    ) {
        let SmbDetail::TreeConnect(share) = &command.detail else { return };
        let ends = (flow.originator.address, flow.responder.address);
        let (client, server) = if command.from_originator { ends } else { (ends.1, ends.0) };
        let named = share.name.trim_start_matches('\\').split('\\').next().unwrap_or_default();
        let Some(named) = named.parse::<Ipv4Addr>().ok().filter(|named| IpAddr::V4(*named) != server) else {
            return;
        };
        let key = (client, named);
        if self.foreign.peek(&key).is_some_and(|one| at.since(one.last) > MEMORY) {
            self.foreign.remove(&key);
        }
        let fresh = || Foreign { servers: Distinct::new(KEPT), first: at, last: at, requests: 0 };
        let (one, evicted) = self.foreign.get_or_insert_with(key, fresh);
        self.evicted += u64::from(evicted.is_some());
        let Some(one) = one else { return };
        one.last = at;
        one.requests += 1;
        let new = one.servers.insert(server);
        let earlier = |(_, since): &&(IpAddr, Timestamp)| *since < one.first && at.since(*since) <= MEMORY;
        let before = self.asked.peek(&(client, named)).filter(earlier).copied();
        if new && (one.servers.len() >= SERVERS_MIN || before.is_some()) {
            let by = before.map(|(by, _)| by);
            told.tell(at, &one.claim(client, by, flow), (policy, out));
            if let Some(by) = by {
                told.prove(at, by, client, out);
            }
        }
        let place = (server, named);
        if self.asked.peek(&place).is_none_or(|(_, since)| at.since(*since) > MEMORY) {
            let left = self.asked.insert(place, (client, at));
            self.evicted += u64::from(left.is_some_and(|(left, _)| left != place));
        }
    }
}

impl Foreign {
    fn claim(&self, client: IpAddr, by: Option<IpAddr>, flow: &FlowRef) -> Claim {
        Claim {
            source: client,
            severity: if by.is_some() { Severity::CRITICAL } else { Severity::HIGH },
            sign: if by.is_some() {
                "second generation: foreign share"
            } else {
                "foreign share on several servers"
            },
            inputs: vec![
                ("servers_with_foreign_share", self.servers.len() as u64),
                ("requests_for_foreign_share", self.requests),
            ],
            by,
            targets: self.servers.iter().copied().collect(),
            flow: *flow,
            first: self.first,
        }
    }
}
