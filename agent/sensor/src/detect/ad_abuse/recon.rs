//! Questions to the directory that prepare an attack (T1087.002, T1069.002), where LDAP is not encrypted.
//!
//! The filters are those that published tools send and administrators hardly ever: each stands for one way to attack.
//! Tools ask for several at once; a single one is only a notice.

use core::net::IpAddr;
use std::time::Duration;

use sekimori_wire::finding::{Finding, Severity};
use sekimori_wire::id::FindingId;
use sekimori_wire::time::Timestamp;

use super::{Claim, grow_or_open};
use crate::bounded::{Distinct, Map};
use crate::detect::Scene;
use crate::detect::findings::{Findings, input, threshold};
use crate::event::ldap::{LdapRequest, LdapSearch};
use crate::event::{FlowRef, LdapOperation};
use crate::limits::Limits;

/// Questions within this time count together.
const WINDOW: Duration = Duration::from_secs(10 * 60);
/// Kinds of questions that make a finding of medium severity, and of high: tools ask for most of the list.
const KINDS_MEDIUM: usize = 3;
const KINDS_HIGH: usize = 5;

/// What a filter or attribute, in lower case, is looked for in: the kind, and what the text must hold. Bits of
/// `userAccountControl` are those of MS-ADTS 2.2.16, matched by rule 1.2.840.113556.1.4.803 (bitwise and).
const QUESTIONS: [(&str, &str); 14] = [
    ("services", "serviceprincipalname=*"),
    ("accounts_without_preauthentication", "useraccountcontrol:1.2.840.113556.1.4.803:=4194304"),
    ("unconstrained_delegation", "useraccountcontrol:1.2.840.113556.1.4.803:=524288"),
    ("accounts_without_password", "useraccountcontrol:1.2.840.113556.1.4.803:=32)"),
    ("protected_accounts", "admincount=1"),
    ("local_administrator_passwords", "ms-mcs-admpwd"),
    ("local_administrator_passwords", "mslaps-"),
    ("delegation", "msds-allowedtodelegateto"),
    ("delegation", "msds-allowedtoactonbehalfofotheridentity"),
    ("trusts", "objectclass=trusteddomain"),
    ("group_policies", "objectclass=grouppolicycontainer"),
    ("certificate_templates", "objectclass=pkicertificatetemplate"),
    ("managed_service_passwords", "msds-managedpassword"),
    ("shadow_credentials", "msds-keycredentiallink"),
];

/// State: kinds of questions by client.
#[derive(Debug)]
pub(super) struct Recon {
    clients: Map<IpAddr, Asked>,
    evicted: u64,
}

#[derive(Debug)]
struct Asked {
    first: Timestamp,
    kinds: Distinct<&'static str>,
    searches: u64,
    finding: Option<FindingId>,
}

impl Recon {
    pub(super) fn new(limits: &Limits, seed: u64) -> Self {
        Self { clients: Map::new(limits.detector_entries, seed), evicted: 0 }
    }

    pub(super) fn on_operation(
        &mut self,
        at: Timestamp,
        flow: &FlowRef,
        operation: &LdapOperation,
        (scene, out): (&Scene<'_>, &mut Findings),
    ) {
        let Some(LdapRequest::Search(search)) = &operation.request else { return };
        let mut kinds = kinds(search).peekable();
        if kinds.peek().is_none() {
            return;
        }
        let client = flow.originator.address;
        let (asked, left) = self.clients.get_or_insert_with(client, || Asked::new(at, None));
        self.evicted += u64::from(left.is_some());
        let Some(asked) = asked else { return };
        if at.since(asked.first) > WINDOW {
            *asked = Asked::new(at, asked.finding);
        }
        kinds.for_each(|kind| {
            asked.kinds.insert(kind);
        });
        asked.searches += 1;
        asked.tell(at, flow, scene, out);
    }

    pub(super) const fn take_evicted(&mut self) -> u64 {
        core::mem::replace(&mut self.evicted, 0)
    }
}

/// Kinds of questions that a search asks.
fn kinds(search: &LdapSearch) -> impl Iterator<Item = &'static str> {
    let filter = search.filter.to_lowercase();
    let asked = search.attributes.iter().map(|one| one.to_lowercase()).collect::<Vec<_>>();
    QUESTIONS.iter().filter_map(move |(kind, text)| {
        // An attribute is asked for by its name alone; what is a comparison is only looked for in the filter.
        let wanted = !text.contains('=') && asked.iter().any(|one| one.contains(text));
        (wanted || filter.contains(text)).then_some(*kind)
    })
}

impl Asked {
    const fn new(at: Timestamp, finding: Option<FindingId>) -> Self {
        Self { first: at, kinds: Distinct::new(QUESTIONS.len()), searches: 0, finding }
    }

    fn tell(&mut self, at: Timestamp, flow: &FlowRef, scene: &Scene<'_>, out: &mut Findings) {
        let severity = match self.kinds.len() {
            KINDS_HIGH.. => Severity::HIGH,
            KINDS_MEDIUM.. => Severity::MEDIUM,
            _ => Severity::LOW,
        };
        let (searches, first, number) = (self.searches, self.first, self.kinds.len());
        let names = self.kinds.iter().copied().collect::<Vec<_>>().join(", ");
        let change = |finding: &mut Finding| {
            finding.count = searches;
            finding.severity = finding.severity.max(severity);
            input(finding, "searches", searches);
            input(finding, "kinds", number);
            input(finding, "asked_for", names.as_str());
        };
        grow_or_open(&mut self.finding, at, out, change, || {
            let claim = Claim {
                flow,
                first,
                now: at,
                what: "reconnaissance",
                technique: "T1087.002",
                severity,
                confidence: if severity >= Severity::MEDIUM { 800 } else { 400 },
                title: ("ディレクトリの下調べ", "Directory searched for weaknesses"),
                explanation: (
                    "攻撃の下調べに使われる検索(弱い設定の利用者、管理者、信頼関係など)を行いました。\
                     侵入者が次の標的を探している可能性があります。",
                    "searched for weak or privileged accounts, as attackers do to find their next target, in",
                ),
                formula: "distinct kinds of searches that attack tools send, within ten minutes",
            };
            let mut finding = claim.draft(scene);
            threshold(&mut finding, "kinds", KINDS_MEDIUM);
            Some(finding)
        });
    }
}
