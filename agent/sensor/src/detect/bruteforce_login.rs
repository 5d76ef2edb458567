//! `bruteforce.login`: one host keeps trying to log in to another.
//!
//! What is said inside is mostly encrypted, so attempts are told by their shape: a completed connection to a login
//! service, short, that carried about as much as a refused login does, and about as much as the ones before it. A leaky
//! bucket for each (source, destination, service) judges the rate, with `CrowdSec`'s parameters for SSH (5 at once, one
//! forgiven each 10 s). HTTP says itself that it refused: 401 to a request that carried credentials.

mod service;

use core::net::IpAddr;
use std::collections::VecDeque;
use std::time::Duration;

use sekimori_wire::finding::{Bilingual, Category, Confidence, Finding, Severity};
use sekimori_wire::id::FindingId;
use sekimori_wire::time::Timestamp;

use crate::bounded::Map;
use crate::detect::findings::{Findings, Who, draft, input, port, sample, threshold};
use crate::detect::{Detect, Scene, Setup};
use crate::event::{Event, FlowEvent, FlowRecord, FlowRef};
use crate::segment::Policy;

use service::{HTTP, Service};

/// Attempts remembered to compare sizes with.
const RECENT: usize = 32;
/// This share of the remembered attempts is of one size.
const ALIKE_PERCENT: usize = 75;
/// Attempts are forgotten after this long without one.
const MEMORY: Duration = Duration::from_secs(30 * 60);
/// Flows remembered for evidence.
const SAMPLES: usize = 8;
/// A session after the attempts that carried this many times what they did (and this many bytes more) got further.
const FURTHER_TIMES: u64 = 4;
const FURTHER_BYTES: u64 = 8 * 1024;

/// State: attempts by who, at whom, at which service; and HTTP requests whose answer is awaited.
#[derive(Debug)]
pub(super) struct BruteforceLogin {
    logins: Map<(IpAddr, IpAddr, &'static str), Attempts>,
    /// Flows whose last HTTP request carried credentials.
    asked: Map<u64, ()>,
    evicted: u64,
}

#[derive(Debug)]
struct Attempts {
    /// Fill of the bucket, in attempts.
    bucket: f64,
    leaked_at: Timestamp,
    first: Timestamp,
    last: Timestamp,
    count: u64,
    /// HTTP requests with credentials that were let in.
    let_in: u64,
    /// Payload of the latest attempts: from the originator, from the responder.
    recent: VecDeque<(u64, u64)>,
    samples: Vec<FlowRef>,
    finding: Option<FindingId>,
}

impl Attempts {
    const fn new(at: Timestamp) -> Self {
        Self {
            bucket: 0.0,
            leaked_at: at,
            first: at,
            last: at,
            count: 0,
            let_in: 0,
            recent: VecDeque::new(),
            samples: Vec::new(),
            finding: None,
        }
    }

    fn add(&mut self, at: Timestamp, leak: Duration, flow: &FlowRef, payload: (u64, u64)) {
        self.first = self.first.min(flow.began);
        let leaked = at.since(self.leaked_at).as_secs_f64() / leak.as_secs_f64();
        self.bucket = (self.bucket - leaked).max(0.0) + 1.0;
        self.leaked_at = self.leaked_at.max(at);
        self.last = self.last.max(at);
        self.count += 1;
        self.recent.push_back(payload);
        if self.recent.len() > RECENT {
            self.recent.pop_front();
        }
        if self.samples.len() < SAMPLES {
            self.samples.push(*flow);
        }
    }

    /// Median payload of the attempts, and how many of them are of about that size in both directions.
    fn alike(&self) -> ((u64, u64), usize) {
        let median = |side: fn(&(u64, u64)) -> u64| {
            let mut sizes: Vec<u64> = self.recent.iter().map(side).collect();
            sizes.sort_unstable();
            sizes.get(sizes.len() / 2).copied().unwrap_or_default()
        };
        let middle = (median(|one| one.0), median(|one| one.1));
        // Names and passwords differ by some characters, and encryption pads.
        let near = |size: u64, of: u64| size.abs_diff(of) <= (of / 8).max(64);
        let alike = self.recent.iter().filter(|one| near(one.0, middle.0) && near(one.1, middle.1)).count();
        (middle, alike)
    }
}

impl BruteforceLogin {
    pub(super) fn new(setup: &Setup<'_>) -> Self {
        let (limits, seed) = (setup.limits, setup.seed);
        Self {
            logins: Map::new(limits.detector_entries, seed),
            asked: Map::new(limits.detector_entries, seed),
            evicted: 0,
        }
    }

    fn attempts(&mut self, at: Timestamp, flow: &FlowRef, service: &Service) -> Option<&mut Attempts> {
        let key = (flow.originator.address, flow.responder.address, service.name);
        if self.logins.peek(&key).is_some_and(|one| at.since(one.last) > MEMORY) {
            self.logins.remove(&key);
        }
        let (attempts, left) = self.logins.get_or_insert_with(key, || Attempts::new(at));
        self.evicted += u64::from(left.is_some());
        attempts
    }

    fn on_end(
        &mut self,
        at: Timestamp,
        flow: &FlowRef,
        record: &FlowRecord,
        around: (&Policy, &mut Findings),
    ) {
        let Some(service) = service::of(flow, record) else { return };
        let payload = (record.originator.payload_bytes, record.responder.payload_bytes);
        if !service.is_attempt(record) {
            let key = (flow.originator.address, flow.responder.address, service.name);
            if let Some(attempts) = self.logins.get_mut(&key) {
                attempts.on_session(at, flow, payload.1, around.1);
            }
            return;
        }
        let Some(attempts) = self.attempts(record.start, flow, service) else { return };
        attempts.add(record.start, service.leak, flow, payload);
        attempts.judge(at, flow, service, around);
    }

    fn on_status(&mut self, at: Timestamp, flow: &FlowRef, status: u16, around: (&Policy, &mut Findings)) {
        if self.asked.remove(&flow.id).is_none() {
            return;
        }
        let refused = status == 401 || status == 403;
        let Some(attempts) = self.attempts(at, flow, &HTTP) else { return };
        if refused {
            attempts.add(at, HTTP.leak, flow, (0, 0));
            attempts.judge(at, flow, &HTTP, around);
        } else if status < 400 {
            attempts.let_in += 1;
        }
    }
}

impl Attempts {
    fn judge(
        &mut self,
        at: Timestamp,
        flow: &FlowRef,
        service: &Service,
        (policy, out): (&Policy, &mut Findings),
    ) {
        if let Some(id) = self.finding {
            let count = self.count;
            if out.grow(id, self.last, |finding| {
                finding.count = count;
                input(finding, "attempts", count);
                port(finding, flow.responder.port);
            }) {
                return;
            }
            self.finding = None;
        }
        let (middle, alike) = self.alike();
        // Whoever is let in again and again is no guesser: NTLM is refused once before each success.
        let refused_only = self.let_in.saturating_mul(10) <= self.count;
        if self.bucket > service.burst && alike * 100 >= self.recent.len() * ALIKE_PERCENT && refused_only {
            let finding = self.claim(at, flow, service, (middle, alike), policy);
            self.finding = Some(out.open(finding));
        }
    }

    /// A session that is no failed attempt, after attempts enough: did it get further?
    fn on_session(&self, at: Timestamp, flow: &FlowRef, received: u64, out: &mut Findings) {
        let Some(id) = self.finding else { return };
        let ((_, usual), _) = self.alike();
        if received < usual.saturating_mul(FURTHER_TIMES) || received < usual.saturating_add(FURTHER_BYTES) {
            return;
        }
        out.grow(id, at, |finding| {
            finding.severity = Severity::CRITICAL;
            input(finding, "session_after_attempts_payload_bytes", received);
            input(finding, "session_after_attempts", flow.community_id());
            let note = (
                "その後、明らかに大きいセッションが続いており、ログインに成功した可能性があります。",
                "A markedly larger session followed: a login may have succeeded.",
            );
            if !finding.explanation.ja.contains(note.0) {
                let (ja, en) = (&finding.explanation.ja, &finding.explanation.en);
                finding.explanation = Bilingual::new(
                    &format!("{}{}", ja.as_str(), note.0),
                    &format!("{} {}", en.as_str(), note.1),
                );
            }
        });
    }

    fn claim(
        &self,
        at: Timestamp,
        flow: &FlowRef,
        service: &Service,
        (middle, alike): ((u64, u64), usize),
        policy: &Policy,
    ) -> Finding {
        let mut finding = draft(
            Category::BruteforceLogin,
            BruteforceLogin::RULE,
            policy,
            Who::of(flow, service.name),
            (self.first, self.last),
        );
        finding.detected_at = at;
        finding.count = self.count;
        finding.confidence = Confidence::from_permille(service.confidence);
        let (source, target, name) = (flow.originator.address, flow.responder.address, service.name);
        finding.title = Bilingual::new(
            &format!("ログイン総当たり: {source} → {target}({name})"),
            &format!("Login brute force: {source} → {target} ({name})"),
        );
        finding.explanation = Bilingual::new(
            &format!(
                "{source} が {target} の {name} に対し、ログインの失敗とみられる同じような短い接続を短時間に繰り返しています。\
                 パスワードを推測する攻撃の可能性があります。"
            ),
            &format!(
                "{source} repeats short, similar connections to {name} on {target} that look like refused logins: \
                 passwords are being guessed."
            ),
        );
        finding.evidence.formula = "leaky bucket of attempts, where an attempt is a short connection of a refused login's \
             size (HTTP: 401 or 403 to a request with credentials); it overflows, and most attempts carried about the same"
            .into();
        input(&mut finding, "service", name);
        input(&mut finding, "attempts", self.count);
        input(&mut finding, "bucket", (self.bucket * 10.0).round() / 10.0);
        input(&mut finding, "attempts_compared", self.recent.len());
        input(&mut finding, "attempts_alike", alike);
        input(&mut finding, "median_payload_from_originator", middle.0);
        input(&mut finding, "median_payload_from_responder", middle.1);
        threshold(&mut finding, "bucket", service.burst);
        threshold(&mut finding, "leak_seconds", service.leak.as_secs());
        threshold(&mut finding, "alike_percent", ALIKE_PERCENT);
        port(&mut finding, flow.responder.port);
        self.samples.iter().for_each(|flow| sample(&mut finding, flow));
        finding
    }
}

impl Detect for BruteforceLogin {
    const RULE: &'static str = "bruteforce.login/1";

    fn on_event(&mut self, event: &Event, scene: &Scene<'_>, out: &mut Findings) {
        let Event::Flow { at, flow, what } = event else { return };
        match what {
            FlowEvent::Ended(record) if flow.protocol == 6 => {
                self.on_end(*at, flow, record, (scene.policy, out))
            }
            FlowEvent::HttpRequest(request) if request.has_authorization => {
                // An answer that never comes leaves by itself; nothing is lost with it.
                let _left = self.asked.insert(flow.id, ());
            }
            FlowEvent::HttpResponse { status } => self.on_status(*at, flow, *status, (scene.policy, out)),
            FlowEvent::Ended(_)
            | FlowEvent::HttpRequest(_)
            | FlowEvent::Started(_)
            | FlowEvent::Answered
            | FlowEvent::Established
            | FlowEvent::Rejected
            | FlowEvent::Unanswered
            | FlowEvent::Dns(_)
            | FlowEvent::Tls(_)
            | FlowEvent::Traffic(_)
            | FlowEvent::Opening(_)
            | FlowEvent::Echo(_)
            | FlowEvent::Syslog(_)
            | FlowEvent::Transaction(_)
            | FlowEvent::Anomaly(_) => {}
        }
    }

    fn take_evicted(&mut self) -> u64 {
        core::mem::take(&mut self.evicted)
    }
}
