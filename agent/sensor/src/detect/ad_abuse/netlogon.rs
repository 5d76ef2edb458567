//! Zerologon (CVE-2020-1472, Secura 2020): with a challenge and credential of zeros one of 256 attempts opens the secure
//! channel of any account, a controller's own too; then its password is set.

use core::net::IpAddr;
use std::time::Duration;

use sekimori_wire::finding::{Finding, Severity};
use sekimori_wire::id::FindingId;
use sekimori_wire::time::Timestamp;

use super::{Claim, grow_or_open};
use crate::bounded::Map;
use crate::detect::Scene;
use crate::detect::findings::{Findings, input, threshold};
use crate::detect::windows::Call;
use crate::limits::Limits;

/// Attempts at once that are forgiven: a member logs in once when it starts and a few times more when it fails. An attack
/// takes 256 in the mean.
const BURST: f64 = 10.0;
/// One more is forgiven in this time.
const LEAK: Duration = Duration::from_secs(6);
/// Challenges of zeros before the finding is critical: a scanner that checks for the weakness stops early or is allowed.
const ZEROS_CRITICAL: u64 = 3;
/// Attempts are forgotten after this long without one.
const MEMORY: Duration = Duration::from_secs(30 * 60);
/// Operations (MS-NRPC 3.5.4.4): challenge, authentication in three forms, and both ways to set a password.
const CHALLENGE: u16 = 4;
const AUTHENTICATE: [u16; 3] = [5, 15, 26];
const SET_PASSWORD: [u16; 2] = [6, 30];

/// State: attempts by client and controller.
#[derive(Debug)]
pub(super) struct Netlogon {
    pairs: Map<(IpAddr, IpAddr), Attempts>,
    evicted: u64,
}

#[derive(Debug)]
struct Attempts {
    first: Timestamp,
    last: Timestamp,
    bucket: f64,
    count: u64,
    zeros: u64,
    password_set: bool,
    finding: Option<FindingId>,
}

impl Netlogon {
    pub(super) fn new(limits: &Limits, seed: u64) -> Self {
        Self { pairs: Map::new(limits.detector_entries, seed), evicted: 0 }
    }

    pub(super) fn on_call(&mut self, call: &Call<'_>, scene: &Scene<'_>, out: &mut Findings) {
        let Some(("netlogon", operation)) = call.operation() else { return };
        let ends = call.ends();
        let (is_attempt, sets) = (AUTHENTICATE.contains(&operation), SET_PASSWORD.contains(&operation));
        let is_zero = operation == CHALLENGE && call.rpc.zero_challenge;
        if !is_attempt && !is_zero && !sets {
            return;
        }
        if self.pairs.peek(&ends).is_some_and(|one| call.at.since(one.last) > MEMORY) {
            self.pairs.remove(&ends);
        }
        if sets && self.pairs.peek(&ends).is_none() {
            return;
        }
        let (attempts, left) = self.pairs.get_or_insert_with(ends, || Attempts::new(call.at));
        self.evicted += u64::from(left.is_some());
        let Some(attempts) = attempts else { return };
        let leaked = call.at.since(attempts.last).as_secs_f64() / LEAK.as_secs_f64();
        attempts.bucket = (attempts.bucket - leaked).max(0.0) + f64::from(u8::from(is_attempt));
        attempts.last = attempts.last.max(call.at);
        attempts.count += u64::from(is_attempt);
        attempts.zeros += u64::from(is_zero);
        if attempts.finding.is_some() || attempts.zeros > 0 || attempts.bucket > BURST {
            attempts.password_set |= sets;
            attempts.tell(call, scene, out);
        }
    }

    pub(super) const fn take_evicted(&mut self) -> u64 {
        core::mem::replace(&mut self.evicted, 0)
    }
}

impl Attempts {
    const fn new(at: Timestamp) -> Self {
        Self { first: at, last: at, bucket: 0.0, count: 0, zeros: 0, password_set: false, finding: None }
    }

    fn severity(&self) -> Severity {
        let sure = self.zeros >= ZEROS_CRITICAL || (self.zeros > 0 && self.password_set);
        if sure || self.bucket > BURST { Severity::CRITICAL } else { Severity::HIGH }
    }

    fn tell(&mut self, call: &Call<'_>, scene: &Scene<'_>, out: &mut Findings) {
        let (count, zeros, set, first) = (self.count, self.zeros, self.password_set, self.first);
        let (severity, bucket) = (self.severity(), (self.bucket * 10.0).round() / 10.0);
        let change = |finding: &mut Finding| {
            finding.count = count.max(1);
            finding.severity = finding.severity.max(severity);
            input(finding, "attempts", count);
            input(finding, "challenges_of_zeros", zeros);
            input(finding, "bucket", bucket);
            input(finding, "password_set_afterwards", if set { "yes" } else { "no" });
        };
        grow_or_open(&mut self.finding, call.at, out, change, || {
            let claim = Claim {
                flow: &call.flow,
                first,
                now: call.at,
                what: "zerologon",
                technique: "T1210",
                severity,
                confidence: if zeros > 0 { 950 } else { 800 },
                title: (
                    "Netlogonの認証突破の試み(Zerologon)",
                    "Netlogon authentication attacked (Zerologon)",
                ),
                explanation: (
                    "認証の欠陥(CVE-2020-1472)を突いてドメインコントローラーになりすまそうとしています。\
                     ドメイン全体が乗っ取られるおそれがあります。",
                    "tries to break Netlogon's authentication (CVE-2020-1472) of",
                ),
                formula: "a challenge of zeros to Netlogon, which no client sends by chance, or a leaky bucket of \
                     authentications that overflows",
            };
            let mut finding = claim.draft(scene);
            threshold(&mut finding, "bucket", BURST);
            threshold(&mut finding, "leak_seconds", LEAK.as_secs());
            threshold(&mut finding, "challenges_of_zeros", 1_u64);
            Some(finding)
        });
    }
}
