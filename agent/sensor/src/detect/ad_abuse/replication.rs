//! Replication asked for by a host that is no domain controller: `DCSync` (T1003.006) and `DCShadow` (T1207).
//!
//! `DRSGetNCChanges` (MS-DRSR 4.1.10) hands out password hashes. Controllers ask each other for changes all day, so the
//! client's standing decides: controllers answer as such themselves, or hold a ticket for the replication service. Tools that
//! act for a person first look for a controller and an account (`DRSDomainControllerInfo`, `DRSCrackNames`), which a
//! controller has no need to; then nothing is waited for. Else what the client is may show within ten minutes.

use core::net::IpAddr;
use std::collections::VecDeque;
use std::time::Duration;

use sekimori_wire::finding::{Finding, Severity};
use sekimori_wire::id::FindingId;
use sekimori_wire::time::Timestamp;

use super::{Claim, Controllers, grow_or_open};
use crate::bounded::Map;
use crate::detect::Scene;
use crate::detect::findings::{Findings, input, threshold};
use crate::detect::windows::Call;
use crate::event::{FlowRef, KerberosExchange};
use crate::limits::Limits;

/// A controller shows itself within this time: it answers its own clients all the while.
const WAIT: Duration = Duration::from_secs(10 * 60);
/// Requests that wait at once; one more and the oldest is decided.
const WAITING_MAX: usize = 256;
/// Operations of drsuapi (MS-DRSR 4.1).
const GET_CHANGES: u16 = 3;
const ADD_REPLICA: u16 = 5;
const CRACK_NAMES: u16 = 12;
const CONTROLLER_INFO: u16 = 16;
const ADD_ENTRY: u16 = 17;
/// The service class of a controller's replication service (MS-DRSR 2.2.3.2) is the interface's UUID.
const SERVICE_CLASS: &str = "e3514235-4b06-11d1-ab04-00c04fc2dcd2/";

/// State: clients that asked, and those still to be decided on.
#[derive(Debug)]
pub(super) struct Replication {
    asked: Map<(IpAddr, IpAddr), Asked>,
    waiting: VecDeque<Waiting>,
    /// Clients that hold a ticket for the replication service.
    partners: Map<IpAddr, ()>,
    evicted: u64,
}

#[derive(Debug)]
struct Asked {
    first: Timestamp,
    calls: u64,
    /// It looked for a controller or an account by name.
    looked_up: bool,
    waits: bool,
    finding: Option<FindingId>,
}

#[derive(Debug)]
struct Waiting {
    since: Timestamp,
    at: Timestamp,
    flow: FlowRef,
    operation: u16,
}

impl Replication {
    pub(super) fn new(limits: &Limits, seed: u64) -> Self {
        Self {
            asked: Map::new(limits.detector_entries, seed),
            waiting: VecDeque::new(),
            partners: Map::new(limits.detector_entries, seed),
            evicted: 0,
        }
    }

    /// A ticket for the replication service, as controllers hold it for each other.
    pub(super) fn on_ticket(&mut self, flow: &FlowRef, exchange: &KerberosExchange) {
        let service = exchange.reply.as_ref().and_then(|reply| reply.service.as_deref()).unwrap_or_default();
        let head = service.get(..SERVICE_CLASS.len());
        if head.is_some_and(|head| head.eq_ignore_ascii_case(SERVICE_CLASS)) {
            // The partner least recently heard of leaves.
            let _left = self.partners.insert(flow.originator.address, ());
        }
    }

    pub(super) fn on_call(
        &mut self,
        call: &Call<'_>,
        controllers: &Controllers,
        scene: &Scene<'_>,
        out: &mut Findings,
    ) {
        let Some(("drsuapi", operation)) = call.operation() else { return };
        let ends = call.ends();
        if controllers.has(ends.0) || call.is_refused() || ends.0 == ends.1 {
            return;
        }
        let looks_up = matches!(operation, CRACK_NAMES | CONTROLLER_INFO);
        let takes = matches!(operation, GET_CHANGES | ADD_REPLICA | ADD_ENTRY);
        if !looks_up && !takes {
            return;
        }
        let fresh = || Asked { first: call.at, calls: 0, looked_up: false, waits: false, finding: None };
        let (asked, left) = self.asked.get_or_insert_with(ends, fresh);
        self.evicted += u64::from(left.is_some());
        let Some(asked) = asked else { return };
        asked.looked_up |= looks_up;
        if !takes {
            return;
        }
        asked.calls += 1;
        let waiting = Waiting { since: asked.first, at: call.at, flow: call.flow, operation };
        if asked.looked_up || asked.finding.is_some() {
            asked.tell(&waiting, call.at, scene, out);
        } else if self.partners.peek(&ends.0).is_none() && !core::mem::replace(&mut asked.waits, true) {
            self.waiting.push_back(waiting);
            if self.waiting.len() > WAITING_MAX {
                self.decide_oldest(call.at, controllers, scene, out);
            }
        }
    }

    /// Something has waited long enough.
    #[inline]
    pub(super) fn is_due(&self, now: Timestamp) -> bool {
        self.waiting.front().is_some_and(|one| now.since(one.at) > WAIT)
    }

    /// Time went on: who has not shown itself as a controller by now is none.
    pub(super) fn on_time(
        &mut self,
        now: Timestamp,
        controllers: &Controllers,
        scene: &Scene<'_>,
        out: &mut Findings,
    ) {
        while self.is_due(now) {
            self.decide_oldest(now, controllers, scene, out);
        }
    }

    /// The capture ended.
    pub(super) fn finish(&mut self, controllers: &Controllers, scene: &Scene<'_>, out: &mut Findings) {
        while let Some(at) = self.waiting.front().map(|one| one.at) {
            self.decide_oldest(at, controllers, scene, out);
        }
    }

    fn decide_oldest(
        &mut self,
        now: Timestamp,
        controllers: &Controllers,
        scene: &Scene<'_>,
        out: &mut Findings,
    ) {
        let Some(waiting) = self.waiting.pop_front() else { return };
        let ends = (waiting.flow.originator.address, waiting.flow.responder.address);
        let is_partner = controllers.has(ends.0) || self.partners.peek(&ends.0).is_some();
        let Some(asked) = self.asked.get_mut(&ends) else { return };
        asked.waits = false;
        if !is_partner && asked.finding.is_none() {
            asked.tell(&waiting, now, scene, out);
        }
    }

    pub(super) const fn take_evicted(&mut self) -> u64 {
        core::mem::replace(&mut self.evicted, 0)
    }
}

impl Asked {
    fn tell(&mut self, waiting: &Waiting, now: Timestamp, scene: &Scene<'_>, out: &mut Findings) {
        let (calls, looked_up) = (self.calls, self.looked_up);
        let change = |finding: &mut Finding| {
            finding.count = calls;
            input(finding, "replication_calls", calls);
            input(finding, "looked_up_controller_or_account", if looked_up { "yes" } else { "no" });
        };
        grow_or_open(&mut self.finding, waiting.at, out, change, || {
            Some(waiting.claim(looked_up, now, scene))
        });
    }
}

impl Waiting {
    fn claim(&self, looked_up: bool, now: Timestamp, scene: &Scene<'_>) -> Finding {
        let is_sync = self.operation == GET_CHANGES;
        let claim = Claim {
            flow: &self.flow,
            first: self.since,
            now: self.at,
            what: if is_sync { "dcsync" } else { "dcshadow" },
            technique: if is_sync { "T1003.006" } else { "T1207" },
            severity: Severity::CRITICAL,
            confidence: if looked_up { 950 } else { 750 },
            title: if is_sync {
                ("ドメイン複製の悪用(DCSync)", "Domain replication abused (DCSync)")
            } else {
                ("偽のドメインコントローラー登録(DCShadow)", "Rogue domain controller (DCShadow)")
            },
            explanation: if is_sync {
                (
                    "ドメインコントローラーではないのに、全利用者のパスワード情報を含むデータの複製を要求しました。\
                     ドメイン全体が乗っ取られるおそれがあります。",
                    "is no domain controller and asked for a copy of the directory, with its password hashes, from",
                )
            } else {
                (
                    "ドメインコントローラーではないのに、複製先として登録する操作をしました。\
                     ディレクトリの内容が書き換えられるおそれがあります。",
                    "is no domain controller and registered itself for replication with",
                )
            },
            formula: "a replication call of drsuapi by a host that neither answers as a domain controller nor holds a \
                 ticket for the replication service; at once where it looked up a controller or account before",
        };
        let mut finding = claim.draft(scene);
        finding.detected_at = now;
        threshold(&mut finding, "replication_calls", 1_u64);
        finding
    }
}
