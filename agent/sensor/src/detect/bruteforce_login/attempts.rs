//! Attempts of one host at one service of another.

use std::collections::VecDeque;
use std::time::Duration;

use sekimori_wire::finding::{Bilingual, Category, Confidence, Finding, Severity};
use sekimori_wire::id::FindingId;
use sekimori_wire::time::Timestamp;

use super::service::Service;
use super::{BruteforceLogin, account};
use crate::bounded::Distinct;
use crate::detect::findings::{Findings, Who, draft, input, port, sample, threshold};
use crate::detect::{Detect, Scene};
use crate::event::FlowRef;

/// Attempts remembered to compare sizes with.
const RECENT: usize = 32;
/// This share of the remembered attempts is of one size.
const ALIKE_PERCENT: usize = 75;
/// Flows remembered for evidence.
const SAMPLES: usize = 8;
/// Distinct accounts remembered; more are more.
const ACCOUNTS_MAX: usize = 32;
/// A session after the attempts that carried this many times what they did (and this many bytes more) got further.
const FURTHER_TIMES: u64 = 4;
const FURTHER_BYTES: u64 = 8 * 1024;
/// Refusals for so many accounts are no person's, who has one or two, and need no more than what people are forgiven.
const SPRAYED: usize = 5;
const SPRAYED_BURST: f64 = 5.0;
/// What is too slow for the bucket is looked at by the hour.
const SLOW: Duration = Duration::from_secs(60 * 60);
/// Accounts refused within that time: twice a spraying's, as a shared computer may have several forgetful users.
const SLOW_ACCOUNTS: usize = 10;
/// Refusals of one account within that time: every third minute, which is a program with an outdated password.
const SLOW_REFUSALS: u64 = 20;
/// A login that succeeds within this time of a refusal belongs to the attempts.
const SUCCESS_WITHIN: Duration = Duration::from_secs(5 * 60);

/// One attempt.
#[derive(Debug)]
pub(super) struct Attempt {
    user: Option<FindingId>,
    /// Payload from the originator and from the responder, where that is all that is known.
    payload: Option<(u64, u64)>,
}

impl Attempt {
    /// The service said that it refused.
    pub(super) const fn said(user: Option<FindingId>) -> Self {
        Self { user, payload: None }
    }

    /// It looks like one.
    pub(super) const fn shaped(payload: (u64, u64)) -> Self {
        Self { user: None, payload: Some(payload) }
    }

    pub(super) const fn is_said(&self) -> bool {
        self.payload.is_none()
    }
}

/// State.
#[derive(Debug)]
pub(super) struct Attempts {
    /// Fill of the bucket, in attempts.
    bucket: f64,
    leaked_at: Timestamp,
    first: Timestamp,
    last: Timestamp,
    count: u64,
    /// Of these, refused in so many words.
    said: u64,
    /// Logins that succeeded.
    let_in: u64,
    hour: Hour,
    /// Payload of the latest attempts: from the originator, from the responder.
    recent: VecDeque<(u64, u64)>,
    samples: Vec<FlowRef>,
    finding: Option<FindingId>,
}

/// What was refused within an hour.
#[derive(Debug)]
struct Hour {
    began: Timestamp,
    said: u64,
    users: Distinct<FindingId>,
}

impl Hour {
    const fn new(began: Timestamp) -> Self {
        Self { began, said: 0, users: Distinct::new(ACCOUNTS_MAX) }
    }
}

/// How the attempts are made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Manner {
    /// Fast.
    Guessing,
    /// Over many accounts.
    Spraying,
    /// One account, again and again, not fast.
    Outdated,
}

impl Manner {
    const fn severity(self) -> Severity {
        match self {
            Self::Guessing | Self::Spraying => Severity::MEDIUM,
            Self::Outdated => Severity::LOW,
        }
    }
}

impl Attempts {
    pub(super) const fn new(at: Timestamp) -> Self {
        Self {
            bucket: 0.0,
            leaked_at: at,
            first: at,
            last: at,
            count: 0,
            said: 0,
            let_in: 0,
            hour: Hour::new(at),
            recent: VecDeque::new(),
            samples: Vec::new(),
            finding: None,
        }
    }

    pub(super) const fn last(&self) -> Timestamp {
        self.last
    }

    pub(super) fn add(&mut self, at: Timestamp, flow: &FlowRef, service: &Service, attempt: &Attempt) {
        self.first = self.first.min(flow.began);
        let leaked = at.since(self.leaked_at).as_secs_f64() / service.leak.as_secs_f64();
        self.bucket = (self.bucket - leaked).max(0.0) + 1.0;
        self.leaked_at = self.leaked_at.max(at);
        self.last = self.last.max(at);
        self.count += 1;
        if let Some(payload) = attempt.payload {
            self.recent.push_back(payload);
            if self.recent.len() > RECENT {
                self.recent.pop_front();
            }
        } else {
            self.said += 1;
            if at.since(self.hour.began) > SLOW {
                self.hour = Hour::new(at);
            }
            self.hour.said += 1;
            if let Some(user) = attempt.user {
                self.hour.users.insert(user);
            }
        }
        if self.samples.len() < SAMPLES && !self.samples.contains(flow) {
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

    fn is_mostly_said(&self) -> bool {
        self.said.saturating_mul(2) >= self.count
    }

    /// The bucket's size.
    fn burst(&self, service: &Service) -> f64 {
        if !self.is_mostly_said() {
            service.burst
        } else if self.hour.users.len() >= SPRAYED {
            SPRAYED_BURST.min(service.burst_said)
        } else {
            service.burst_said
        }
    }

    fn manner(&self, service: &Service) -> Option<Manner> {
        let (_, alike) = self.alike();
        let accounts = self.hour.users.len();
        // Whoever is let in again and again is no guesser: NTLM is refused once before each success.
        let refused_only = self.let_in.saturating_mul(10) <= self.count;
        if self.bucket > self.burst(service)
            && alike * 100 >= self.recent.len() * ALIKE_PERCENT
            && refused_only
        {
            return Some(if accounts >= SPRAYED { Manner::Spraying } else { Manner::Guessing });
        }
        let mostly_refused = self.let_in.saturating_mul(4) <= self.hour.said;
        if accounts >= SLOW_ACCOUNTS && mostly_refused {
            return Some(Manner::Spraying);
        }
        (accounts == 1 && self.hour.said >= SLOW_REFUSALS && refused_only).then_some(Manner::Outdated)
    }

    pub(super) fn judge(
        &mut self,
        at: Timestamp,
        flow: &FlowRef,
        service: &Service,
        (scene, out): (&Scene<'_>, &mut Findings),
    ) {
        let manner = self.manner(service);
        let change = |finding: &mut Finding| {
            self.tell(finding, flow);
            if let Some(manner) = manner {
                finding.severity = finding.severity.max(manner.severity());
            }
        };
        let claim = || manner.map(|manner| self.claim(at, flow, service, manner, scene));
        self.finding = out.follow(self.finding, self.last, change, claim);
    }

    /// A login that the service accepted.
    pub(super) fn accept(&mut self, at: Timestamp, flow: &FlowRef, out: &mut Findings) {
        self.let_in += 1;
        if at.since(self.last) <= SUCCESS_WITHIN {
            self.succeed(at, out, |finding| input(finding, "login_accepted", flow.community_id()));
        }
    }

    /// A session that is no failed attempt, after attempts enough: did it get further?
    pub(super) fn on_session(&self, at: Timestamp, flow: &FlowRef, received: u64, out: &mut Findings) {
        let ((_, usual), _) = self.alike();
        if received < usual.saturating_mul(FURTHER_TIMES) || received < usual.saturating_add(FURTHER_BYTES) {
            return;
        }
        self.succeed(at, out, |finding| {
            input(finding, "session_after_attempts_payload_bytes", received);
            input(finding, "session_after_attempts", flow.community_id());
        });
    }

    /// Whoever guessed got in, or may have. An outdated password that was put right is no break-in.
    fn succeed(&self, at: Timestamp, out: &mut Findings, tell: impl FnOnce(&mut Finding)) {
        let Some(id) = self.finding else { return };
        out.grow(id, at, |finding| {
            if finding.severity >= Severity::MEDIUM {
                finding.severity = Severity::CRITICAL;
                tell(finding);
                note_success(finding);
            }
        });
    }

    fn tell(&self, finding: &mut Finding, flow: &FlowRef) {
        finding.count = self.count;
        input(finding, "attempts", self.count);
        input(finding, "attempts_refused_in_words", self.said);
        if !self.hour.users.is_empty() {
            input(finding, "accounts", self.hour.users.len());
        }
        port(finding, flow.responder.port);
    }

    fn claim(
        &self,
        at: Timestamp,
        flow: &FlowRef,
        service: &Service,
        manner: Manner,
        scene: &Scene<'_>,
    ) -> Finding {
        let who = Who::of(flow, service.name);
        let mut finding = draft(
            Category::BruteforceLogin,
            BruteforceLogin::RULE,
            scene.policy,
            who,
            (self.first, self.last),
        );
        finding.detected_at = at;
        finding.severity = manner.severity();
        let said = self.is_mostly_said();
        finding.confidence = Confidence::from_permille(if said { 900 } else { service.confidence });
        if manner == Manner::Spraying {
            finding.technique = "T1110.003".into();
        }
        (finding.title, finding.explanation) = words(manner, said, flow, service.name);
        finding.evidence.formula = "leaky bucket of attempts, where an attempt is a login that the service refused in so \
             many words, or a short connection (web: a page) of a refused login's size, most of them about the same; it \
             overflows. Or, within an hour: refusals of many accounts, or of one again and again"
            .into();
        let (middle, alike) = self.alike();
        input(&mut finding, "service", service.name);
        input(&mut finding, "bucket", (self.bucket * 10.0).round() / 10.0);
        self.tell(&mut finding, flow);
        if let (1, Some(user)) = (self.hour.users.len(), self.hour.users.iter().next()) {
            input(&mut finding, "account", account(user));
        }
        if !self.recent.is_empty() {
            input(&mut finding, "attempts_compared", self.recent.len());
            input(&mut finding, "attempts_alike", alike);
            input(&mut finding, "median_payload_from_originator", middle.0);
            input(&mut finding, "median_payload_from_responder", middle.1);
            threshold(&mut finding, "alike_percent", ALIKE_PERCENT);
        }
        threshold(&mut finding, "bucket", self.burst(service));
        threshold(&mut finding, "leak_seconds", service.leak.as_secs());
        threshold(&mut finding, "accounts_in_an_hour", SLOW_ACCOUNTS);
        threshold(&mut finding, "refusals_of_one_account_in_an_hour", SLOW_REFUSALS);
        self.samples.iter().for_each(|flow| sample(&mut finding, flow));
        finding
    }
}

fn words(manner: Manner, said: bool, flow: &FlowRef, name: &str) -> (Bilingual, Bilingual) {
    let (source, target) = (flow.originator.address, flow.responder.address);
    let (title, ja, en) = match manner {
        Manner::Guessing if said => (
            ("ログイン総当たり", "Login brute force"),
            "ログインを短時間に何度も失敗しています。パスワードを推測する攻撃の可能性があります。",
            "was refused many logins within a short time: passwords are being guessed.",
        ),
        Manner::Guessing => (
            ("ログイン総当たり", "Login brute force"),
            "ログインの失敗とみられる同じような短い接続を短時間に繰り返しています。パスワードを推測する攻撃の可能性があります。",
            "repeats short, similar connections that look like refused logins: passwords are being guessed.",
        ),
        Manner::Spraying => (
            ("多数のアカウントへのログイン試行", "Logins tried on many accounts"),
            "多くの利用者名でログインを失敗しています。ありがちなパスワードを多くの利用者に試す攻撃の可能性があります。",
            "was refused logins of many accounts: common passwords or names are being tried.",
        ),
        Manner::Outdated => (
            ("同じアカウントのログイン失敗の繰り返し", "One account refused again and again"),
            "同じ利用者名でログインを失敗し続けています。古いパスワードが設定されたままのプログラムの可能性があります。",
            "is refused the same account again and again: probably a program with an outdated password.",
        ),
    };
    (
        Bilingual::new(
            &format!("{}: {source} → {target}({name})", title.0),
            &format!("{}: {source} → {target} ({name})", title.1),
        ),
        Bilingual::new(
            &format!("{source} が {target} の {name} に対し、{ja}"),
            &format!("{source}, towards {name} on {target}, {en}"),
        ),
    )
}

/// Says once that a login may have succeeded.
pub(super) fn note_success(finding: &mut Finding) {
    let note = (
        "その後、ログインに成功したとみられる通信が続いています。",
        "A login may have succeeded after that.",
    );
    if !finding.explanation.ja.contains(note.0) {
        let (ja, en) = (&finding.explanation.ja, &finding.explanation.en);
        finding.explanation =
            Bilingual::new(&format!("{}{}", ja.as_str(), note.0), &format!("{} {}", en.as_str(), note.1));
    }
}
