//! One host that answers for many names of the neighbourhood (LLMNR, `NetBIOS`).

use core::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use sekimori_wire::finding::{Bilingual, Category, Confidence, Finding};
use sekimori_wire::id::FindingId;
use sekimori_wire::time::Timestamp;

use super::SpoofDns;
use crate::bounded::Distinct;
use crate::detect::Detect;
use crate::detect::findings::{Findings, Who, draft, input, sample, target, threshold};
use crate::event::dns::Rdata;
use crate::event::{Application, Dns, FlowRef};
use crate::segment::Policy;

/// Names that one host may answer for with one address: its own, its workgroup or domain, the browser election's, and its
/// web service's are the four that Windows registers (RFC 1001, 17.1).
const NAMES_MIN: usize = 5;
/// Names are counted over this long.
const MEMORY: Duration = Duration::from_secs(30 * 60);
/// Names shown.
const NAMES_SHOWN: usize = 8;
const NAMES_MAX: usize = 256;

/// Who answers with which address.
pub(super) type Key = (IpAddr, IpAddr);

/// A host and the names that it answered for.
#[derive(Debug)]
pub(super) struct Poisoner {
    names: Distinct<Box<str>>,
    victims: Distinct<IpAddr>,
    first: Timestamp,
    last: Timestamp,
    count: u64,
    finding: Option<FindingId>,
}

/// Who answers, and with which address; none if it is no answer of that kind. Multicast DNS is left out: printers and small servers
/// rightly have many names there.
pub(super) fn answerer(flow: &FlowRef, dns: &Dns) -> Option<Key> {
    if !matches!(dns.application, Application::Llmnr | Application::Nbns)
        || dns.rcode != 0
        || dns.opcode() != 0
    {
        return None;
    }
    let host = if dns.from_originator { flow.originator } else { flow.responder };
    let address = dns.answer_records.iter().find_map(|record| {
        if let Rdata::Address(address) = record.data {
            return Some(address);
        }
        let Rdata::Other(bytes) = &record.data else { return None };
        // Of NetBIOS: flags, then the address (RFC 1002, 4.2.13).
        let address = bytes.get(2..6)?.first_chunk::<4>()?;
        (dns.application == Application::Nbns).then(|| Ipv4Addr::from(*address).into())
    })?;
    Some((host.address, address))
}

impl Poisoner {
    pub(super) const fn new(at: Timestamp) -> Self {
        Self {
            names: Distinct::new(NAMES_MAX),
            victims: Distinct::new(NAMES_MAX),
            first: at,
            last: at,
            count: 0,
            finding: None,
        }
    }

    /// One more answer.
    pub(super) fn answers(
        &mut self,
        at: Timestamp,
        flow: &FlowRef,
        ((host, address), dns): (Key, &Dns),
        (policy, out): (&Policy, &mut Findings),
    ) {
        if at.since(self.last) > MEMORY {
            *self = Self::new(at);
        }
        self.last = at;
        self.count += 1;
        let asked = if dns.qname.is_empty() {
            dns.answer_records.first().map(|record| record.name.to_ascii_lowercase())
        } else {
            Some(dns.qname.to_ascii_lowercase())
        };
        if let Some(name) = asked {
            self.names.insert(name.trim_end().into());
        }
        let victim = if dns.from_originator { flow.responder } else { flow.originator };
        self.victims.insert(victim.address);
        let is_enough = self.names.len() >= NAMES_MIN;
        let claim = || is_enough.then(|| self.claim(at, flow, (host, address), policy));
        self.finding = out.follow(self.finding, at, |finding| self.show(finding), claim);
    }

    fn show(&self, finding: &mut Finding) {
        finding.count = self.count;
        input(finding, "names_answered", self.names.len());
        let shown: Vec<&str> = self.names.iter().take(NAMES_SHOWN).map(AsRef::as_ref).collect();
        input(finding, "names", shown.join(", "));
        self.victims.iter().for_each(|victim| target(finding, &victim.to_string()));
    }

    fn claim(&self, at: Timestamp, flow: &FlowRef, (host, address): Key, policy: &Policy) -> Finding {
        let who = Who {
            originator: Some(host.into()),
            responder: None,
            places: (host, address),
            vlan: flow.vlan,
            what: "neighbourhood",
        };
        let mut finding = draft(Category::SpoofDns, SpoofDns::RULE, policy, who, (self.first, at));
        finding.confidence = Confidence::from_permille(900);
        finding.title = Bilingual::new(
            &format!("名前解決のなりすまし(LLMNR/NBNS): {host}"),
            &format!("Name service poisoning (LLMNR/NBNS): {host}"),
        );
        finding.explanation = Bilingual::new(
            &format!(
                "{host} が、周囲の端末が探している多数の異なる名前に対して「それは {address} である」と答えています。端末を\
                 自分に接続させ、パスワードの情報を盗む手口です。"
            ),
            &format!(
                "{host} answers for many different names that others look for, always with {address}. This makes their \
                 computers connect to it and hand over password hashes."
            ),
        );
        finding.evidence.formula =
            "distinct names that one host answers for with one address, over LLMNR and NetBIOS name service"
                .into();
        threshold(&mut finding, "names_answered", NAMES_MIN);
        input(&mut finding, "answered_address", address.to_string());
        self.show(&mut finding);
        sample(&mut finding, flow);
        finding
    }
}
