//! Tickets collected to be cracked: Kerberoasting (T1558.003) and AS-REP roasting (T1558.004).
//!
//! A service's ticket is encrypted with a key made from the service account's password, and any user may have one. Who
//! wants to guess the password wants RC4, because it is the fastest, and wants every service.

use core::net::IpAddr;
use std::time::Duration;

use sekimori_wire::finding::{Finding, Severity};
use sekimori_wire::id::FindingId;
use sekimori_wire::time::Timestamp;

use super::{Claim, grow_or_open};
use crate::bounded::{Distinct, Map};
use crate::detect::Scene;
use crate::detect::findings::{Findings, input, threshold};
use crate::event::kerberos::{KerberosKind, KerberosReply, KerberosRequest};
use crate::event::{FlowRef, KerberosExchange};
use crate::limits::Limits;

/// Tickets within this time count together: a tool needs seconds.
const WINDOW: Duration = Duration::from_secs(10 * 60);
/// Distinct services with RC4 tickets: a log-on takes at most some ten, of a modern domain none with RC4.
const SERVICES_RC4: usize = 10;
/// The same where the client offered nothing but RC4, as no system has done by itself since Windows Vista.
const SERVICES_RC4_ONLY: usize = 3;
/// Distinct services with tickets of any kind: three times a busy log-on. Only a notice: proxies and inventories do so too.
const SERVICES_ANY: usize = 30;
/// Distinct accounts that need no proof, with RC4: one may be an old machine's.
const ACCOUNTS: usize = 3;
/// `rc4-hmac` and its export form (RFC 4757).
const RC4: [i32; 2] = [23, 24];

/// State: what each client was given.
#[derive(Debug)]
pub(super) struct Tickets {
    clients: Map<(IpAddr, KerberosKind), Given>,
    distinct: usize,
    evicted: u64,
}

#[derive(Debug)]
struct Given {
    first: Timestamp,
    /// Services or accounts, by hash.
    any: Distinct<FindingId>,
    rc4: Distinct<FindingId>,
    /// Asked for with nothing but RC4.
    rc4_only: Distinct<FindingId>,
    finding: Option<FindingId>,
}

impl Given {
    const fn new(at: Timestamp, distinct: usize) -> Self {
        Self {
            first: at,
            any: Distinct::new(distinct),
            rc4: Distinct::new(distinct),
            rc4_only: Distinct::new(distinct),
            finding: None,
        }
    }
}

impl Tickets {
    pub(super) fn new(limits: &Limits, seed: u64) -> Self {
        let clients = Map::new(limits.detector_entries, seed);
        Self { clients, distinct: limits.distinct_per_entry, evicted: 0 }
    }

    pub(super) fn on_exchange(
        &mut self,
        at: Timestamp,
        flow: &FlowRef,
        exchange: &KerberosExchange,
        (scene, out): (&Scene<'_>, &mut Findings),
    ) {
        let (Some(request), Some(reply)) = (&exchange.request, &exchange.reply) else { return };
        let Some((kind, name)) = wanted(request, reply) else { return };
        let key = (flow.originator.address, kind);
        let distinct = self.distinct;
        let (given, left) = self.clients.get_or_insert_with(key, || Given::new(at, distinct));
        self.evicted += u64::from(left.is_some());
        let Some(given) = given else { return };
        if at.since(given.first) > WINDOW {
            *given = Given { finding: given.finding, ..Given::new(at, distinct) };
        }
        let name = FindingId::of(&[name.to_lowercase().as_bytes()]);
        let of_ticket = if kind == KerberosKind::As { reply.encryption } else { reply.ticket_encryption };
        let is_rc4 = of_ticket.is_some_and(|number| RC4.contains(&number));
        let mut new = given.any.insert(name);
        if is_rc4 {
            new |= given.rc4.insert(name);
            if !request.encryptions.is_empty() && request.encryptions.iter().all(|one| RC4.contains(one)) {
                new |= given.rc4_only.insert(name);
            }
        }
        if new && let Some(verdict) = given.verdict(kind) {
            given.tell(at, flow, (kind, verdict), (scene, out));
        }
    }

    pub(super) const fn take_evicted(&mut self) -> u64 {
        core::mem::replace(&mut self.evicted, 0)
    }
}

/// The service or account that a ticket is worth cracking for.
fn wanted<'e>(request: &'e KerberosRequest, reply: &'e KerberosReply) -> Option<(KerberosKind, &'e str)> {
    let kind = reply.kind?;
    match kind {
        // Computers have random passwords: their accounts, which end in a dollar sign, and the ticket granting service.
        KerberosKind::Tgs => {
            let service = reply.service.as_deref().or(request.service.as_deref())?;
            let is_machine = service.ends_with('$') || service.to_ascii_lowercase().starts_with("krbtgt");
            (!is_machine).then_some((kind, service))
        }
        KerberosKind::As => {
            let client = reply.client.as_deref().or(request.client.as_deref())?;
            (!request.has_preauth && !client.ends_with('$')).then_some((kind, client))
        }
    }
}

impl Given {
    fn verdict(&self, kind: KerberosKind) -> Option<Severity> {
        match kind {
            KerberosKind::Tgs => {
                if self.rc4.len() >= SERVICES_RC4 || self.rc4_only.len() >= SERVICES_RC4_ONLY {
                    Some(Severity::CRITICAL)
                } else {
                    (self.any.len() >= SERVICES_ANY).then_some(Severity::LOW)
                }
            }
            KerberosKind::As => {
                if self.rc4.len() >= ACCOUNTS {
                    Some(Severity::CRITICAL)
                } else {
                    (!self.rc4_only.is_empty()).then_some(Severity::HIGH)
                }
            }
        }
    }

    fn tell(
        &mut self,
        at: Timestamp,
        flow: &FlowRef,
        (kind, severity): (KerberosKind, Severity),
        (scene, out): (&Scene<'_>, &mut Findings),
    ) {
        let sizes = (self.any.len(), self.rc4.len(), self.rc4_only.len());
        let first = self.first;
        let change = |finding: &mut Finding| {
            finding.count = u64::try_from(sizes.0).unwrap_or(u64::MAX);
            finding.severity = finding.severity.max(severity);
            input(finding, "distinct_names", sizes.0);
            input(finding, "distinct_names_rc4", sizes.1);
            input(finding, "distinct_names_rc4_offered_alone", sizes.2);
        };
        grow_or_open(&mut self.finding, at, out, change, || {
            Some(claim(flow, (first, at), (kind, severity), scene))
        });
    }
}

fn claim(
    flow: &FlowRef,
    (first, now): (Timestamp, Timestamp),
    (kind, severity): (KerberosKind, Severity),
    scene: &Scene<'_>,
) -> Finding {
    let is_service = kind == KerberosKind::Tgs;
    let claim = Claim {
        flow,
        first,
        now,
        what: if is_service { "kerberoasting" } else { "as-rep-roasting" },
        technique: if is_service { "T1558.003" } else { "T1558.004" },
        severity,
        confidence: if severity >= Severity::HIGH { 850 } else { 400 },
        title: if is_service {
            ("サービスのチケット収集(Kerberoasting)", "Service tickets collected (Kerberoasting)")
        } else {
            (
                "事前認証のない利用者の情報収集(AS-REP Roasting)",
                "Accounts without preauthentication collected (AS-REP roasting)",
            )
        },
        explanation: if is_service {
            (
                "短時間に多くのサービスのチケットを集めています。チケットからサービス用アカウントの\
                 パスワードを割り出す攻撃の可能性があります。",
                "collects tickets for many services, whose passwords can be guessed from them, from",
            )
        } else {
            (
                "パスワードの確認なしで応答が得られる利用者の情報を集めています。応答からパスワードを割り出す攻撃の\
                 可能性があります。",
                "collects answers for accounts that need no proof, whose passwords can be guessed from them, from",
            )
        },
        formula: "distinct services that one client got tickets for within ten minutes, by encryption; or distinct \
             accounts for which it got an answer without proof",
    };
    let mut finding = claim.draft(scene);
    if is_service {
        threshold(&mut finding, "distinct_names_rc4", SERVICES_RC4);
        threshold(&mut finding, "distinct_names_rc4_offered_alone", SERVICES_RC4_ONLY);
        threshold(&mut finding, "distinct_names", SERVICES_ANY);
    } else {
        threshold(&mut finding, "distinct_names_rc4", ACCOUNTS);
        threshold(&mut finding, "distinct_names_rc4_offered_alone", 1_u64);
    }
    finding
}
