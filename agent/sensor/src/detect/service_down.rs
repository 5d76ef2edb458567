//! `service.down`, seen in passing: a published service stops answering, answers with errors, or slows down.
//!
//! A service is one that somebody outside was answered by. Nobody is asked anything: what clients meet is enough. How many
//! answers were to be expected in a silence is known from the hour before, so that a quiet night is no outage; errors and
//! slowness are held against what was usual. One that nobody asks is not judged at all.

use core::net::IpAddr;
use std::time::Duration;

use sekimori_wire::finding::{Bilingual, Category, Confidence, Finding, Severity};
use sekimori_wire::id::FindingId;
use sekimori_wire::time::Timestamp;

use crate::bounded::Map;
use crate::detect::findings::{Findings, Who, draft, input, port, sample, threshold};
use crate::detect::{Detect, Kinds, Scene, Setup};
use crate::event::{Endpoint, Event, FlowEvent, FlowRef};

/// Services that are followed, and as a share of the entries of a detector: few are published.
const SERVICES_MAX: usize = 1_024;
const SERVICES_SHARE: usize = 8;
/// Flows whose first answer is waited for, and as such a share.
const WAITING_MAX: usize = 4_096;
const WAITING_SHARE: usize = 4;
/// Ports that systems give to clients (RFC 6335): connections to them were agreed on elsewhere, as for FTP's data.
const DYNAMIC: u16 = 49_152;
/// IANA protocol number.
const UDP: u8 = 17;

/// Answers before a service is known well enough to be missed.
const ANSWERED_MIN: u64 = 50;
/// And since its first one.
const KNOWN_FOR: Duration = Duration::from_secs(10 * 60);
/// The rate of answers follows the present with this weight, a minute: half of it is of the last twenty minutes.
const RATE_WEIGHT: u64 = 30;
/// Minutes without an answer that still lower the rate; after so many nothing of it is left.
const MINUTES_MAX: u64 = 300;
/// Answers to be expected in the silence, at the rate before: that none comes by chance has a probability of e^-10 (Poisson).
const EXPECTED_MIN: u64 = 10;
/// Attempts without an answer since the last one.
const FAILED_MIN: u64 = 5;
/// And between the first and the last of them.
const FAILED_FOR: Duration = Duration::from_secs(30);
/// Clients who met it: one alone may have a trouble of its own.
const CLIENTS_MIN: usize = 3;
/// Answers in a row after which it is over.
const BACK_AFTER: u64 = 2;

/// Errors and slowness are judged of so long.
const WINDOW: Duration = Duration::from_secs(5 * 60);
/// Answers of a window below which it is not judged.
const WINDOW_MIN: u64 = 20;
/// Windows that must have been good before.
const GOOD_MIN: u64 = 6;
/// Weight of a window in what is usual.
const USUAL_WEIGHT: u64 = 6;
/// Share of errors of the server (5xx), in thousandths.
const ERRORS_MIN: u64 = 500;
/// Usual share up to which it can be missed.
const ERRORS_USUAL_MAX: u64 = 100;
/// Slow: the median took so many times as long as usual …
const SLOWER: u64 = 4;
/// … and so much longer, in microseconds.
const LONGER: u64 = 300_000;
/// Windows in a row that are slow.
const SLOW_MIN: u64 = 2;

/// State.
#[derive(Debug)]
pub(super) struct ServiceDown {
    services: Map<Key, Service>,
    /// Since when the first answer of a flow is waited for.
    waiting: Map<u64, Timestamp>,
    evicted: u64,
}

/// Server, port, transport.
type Key = (IpAddr, u16, u8);

/// One service.
#[derive(Debug)]
struct Service {
    first: Timestamp,
    last: Timestamp,
    answered: u64,
    /// Answers a minute, in thousandths, and the minute that is not in it yet.
    rate: u64,
    minute: u64,
    in_minute: u64,
    failed: Failed,
    window: Window,
    errors: Usual,
    latency: Usual,
    slow_windows: u64,
}

/// What went unanswered since the last answer, and what was told of it.
#[derive(Debug, Default)]
struct Failed {
    count: u64,
    refused: u64,
    first: Timestamp,
    clients: Few,
    told: Option<FindingId>,
    /// Answers since it was told.
    back: u64,
}

/// Answers of some minutes.
#[derive(Debug)]
struct Window {
    number: u64,
    answers: u64,
    errors: u64,
    erring: Few,
    times: Histogram,
    measured: u64,
    clients: Few,
}

/// What a value usually is, and what was told of it.
#[derive(Debug, Default)]
struct Usual {
    value: u64,
    windows: u64,
    told: Option<FindingId>,
}

/// A few addresses: whether there are enough different ones.
#[derive(Debug, Default)]
struct Few([Option<IpAddr>; CLIENTS_MIN]);

impl Few {
    fn add(&mut self, address: IpAddr) {
        if !self.0.contains(&Some(address))
            && let Some(free) = self.0.iter_mut().find(|place| place.is_none())
        {
            *free = Some(address);
        }
    }

    fn are_enough(&self) -> bool {
        self.0.iter().all(Option::is_some)
    }
}

/// Times by quarters of an octave of microseconds: within a fifth of what they were, up to 71 minutes.
#[derive(Debug)]
struct Histogram([u16; 128]);

impl Histogram {
    fn place(micros: u64) -> usize {
        let micros = micros.clamp(1, u64::from(u32::MAX));
        let octave = micros.ilog2();
        // The two bits behind the highest one.
        let quarter = if octave >= 2 { (micros >> (octave - 2)) & 3 } else { (micros << (2 - octave)) & 3 };
        octave as usize * 4 + usize::try_from(quarter).unwrap_or_default()
    }

    fn add(&mut self, micros: u64) {
        if let Some(count) = self.0.get_mut(Self::place(micros)) {
            *count = count.saturating_add(1);
        }
    }

    /// The least time of the quarter in which the middle one lies, in microseconds.
    fn median(&self) -> u64 {
        let total: u64 = self.0.iter().map(|count| u64::from(*count)).sum();
        let mut before = 0;
        let found = self.0.iter().position(|count| {
            before += u64::from(*count);
            before * 2 >= total
        });
        let place = found.unwrap_or_default() as u64;
        ((4 + place % 4) << (place / 4)) >> 2
    }
}

impl Window {
    fn new(number: u64) -> Self {
        Self {
            number,
            answers: 0,
            errors: 0,
            erring: Few::default(),
            times: Histogram([0; 128]),
            measured: 0,
            clients: Few::default(),
        }
    }

    const fn error_share(&self) -> u64 {
        match (self.errors * 1_000).checked_div(self.answers) {
            Some(share) => share,
            None => 0,
        }
    }
}

impl Usual {
    fn learn(&mut self, value: u64) {
        self.windows += 1;
        self.value =
            if self.windows == 1 { value } else { (self.value * (USUAL_WEIGHT - 1) + value) / USUAL_WEIGHT };
    }

    const fn is_known(&self) -> bool {
        self.windows >= GOOD_MIN
    }
}

impl Service {
    fn new(at: Timestamp) -> Self {
        Self {
            first: at,
            last: at,
            answered: 0,
            rate: 0,
            minute: at.secs() / 60,
            in_minute: 0,
            failed: Failed::default(),
            window: Window::new(at.secs() / WINDOW.as_secs()),
            errors: Usual::default(),
            latency: Usual::default(),
            slow_windows: 0,
        }
    }

    /// It answered somebody.
    fn answers(&mut self, at: Timestamp) {
        let minute = at.secs() / 60;
        let gone = minute.saturating_sub(self.minute);
        for number in 0..gone.min(MINUTES_MAX) {
            let present = if number == 0 { self.in_minute * 1_000 } else { 0 };
            self.rate = (self.rate * (RATE_WEIGHT - 1) + present) / RATE_WEIGHT;
        }
        if gone > 0 {
            (self.minute, self.in_minute) = (minute, 0);
        }
        (self.answered, self.in_minute, self.last) = (self.answered + 1, self.in_minute + 1, at);
        self.failed.back += 1;
        if self.failed.told.is_none() || self.failed.back >= BACK_AFTER {
            self.failed = Failed::default();
        }
    }

    /// Answers that were to be expected since the last one.
    fn expected(&self, at: Timestamp) -> u64 {
        self.rate.saturating_mul(at.since(self.last).as_secs()) / 60_000
    }

    fn is_silent(&self, at: Timestamp) -> bool {
        self.answered >= ANSWERED_MIN
            && self.last.since(self.first) >= KNOWN_FOR
            && self.failed.count >= FAILED_MIN
            && self.failed.clients.are_enough()
            && at.since(self.failed.first) >= FAILED_FOR
            && self.expected(at) >= EXPECTED_MIN
    }

    /// Somebody was not answered.
    fn fails(&mut self, (at, began): (Timestamp, Timestamp), client: IpAddr, refused: bool) {
        // What began before the last answer says nothing of the time after it.
        if began < self.last {
            return;
        }
        let failed = &mut self.failed;
        if failed.count == 0 {
            failed.first = began.min(at);
        }
        failed.count += 1;
        failed.refused += u64::from(refused);
        failed.back = 0;
        failed.clients.add(client);
    }

    /// Puts the window that is over away; whether a slow time went on in it.
    fn turn(&mut self, at: Timestamp) {
        let number = at.secs() / WINDOW.as_secs();
        if number <= self.window.number {
            return;
        }
        let over = core::mem::replace(&mut self.window, Window::new(number));
        if over.answers >= WINDOW_MIN && over.error_share() < ERRORS_MIN {
            self.errors.learn(over.error_share());
            self.errors.told = None;
        }
        if over.measured < WINDOW_MIN {
            return;
        }
        let median = over.times.median();
        if self.is_slow(median) && over.clients.are_enough() {
            self.slow_windows += 1;
        } else {
            self.slow_windows = 0;
            self.latency.learn(median);
            self.latency.told = None;
        }
    }

    const fn is_slow(&self, median: u64) -> bool {
        let usual = self.latency.value;
        self.latency.is_known() && median >= usual * SLOWER && median >= usual + LONGER
    }

    fn is_erring(&self) -> bool {
        self.errors.is_known()
            && self.errors.value <= ERRORS_USUAL_MAX
            && self.window.answers >= WINDOW_MIN
            && self.window.error_share() >= ERRORS_MIN
            && self.window.erring.are_enough()
    }
}

/// What is wrong.
#[derive(Clone, Copy, Debug)]
enum Fault {
    Silent,
    Erring,
    Slow,
}

impl ServiceDown {
    pub(super) fn new(setup: &Setup<'_>) -> Self {
        let entries = setup.limits.detector_entries;
        Self {
            services: Map::new(SERVICES_MAX.min(entries.div_ceil(SERVICES_SHARE)), setup.seed),
            waiting: Map::new(WAITING_MAX.min(entries.div_ceil(WAITING_SHARE)), setup.seed),
            evicted: 0,
        }
    }

    /// What an event of a flow to the inside says of its service.
    fn hear(
        &mut self,
        (at, flow): (Timestamp, &FlowRef),
        what: &FlowEvent,
        (scene, out): (&Scene<'_>, &mut Findings),
    ) {
        let (client, server) = (flow.originator, flow.responder);
        let key = (server.address, server.port, flow.protocol);
        let is_udp = flow.protocol == UDP;
        match what {
            FlowEvent::Established | FlowEvent::Answered if is_udp == matches!(what, FlowEvent::Answered) => {
                let (service, left) = self.services.get_or_insert_with(key, || Service::new(at));
                self.evicted += u64::from(left.is_some());
                if let Some(service) = service {
                    service.answers(at);
                }
            }
            FlowEvent::Rejected | FlowEvent::Unanswered => {
                let Some(service) = self.services.get_mut(&key) else { return };
                let refused = matches!(what, FlowEvent::Rejected);
                service.fails((at, flow.began), client.address, refused);
                service.tell_silence(at, (flow, server), (scene, out));
            }
            FlowEvent::HttpRequest(_) if self.services.peek(&key).is_some() => self.wait(flow.id, at),
            FlowEvent::Opening(opening) if opening.from_originator && self.services.peek(&key).is_some() => {
                self.wait(flow.id, at);
            }
            FlowEvent::Opening(opening) if !opening.from_originator => {
                self.arrived((at, flow), None, (scene, out));
            }
            FlowEvent::HttpResponse { status } => self.arrived((at, flow), Some(*status), (scene, out)),
            FlowEvent::Started(_)
            | FlowEvent::Answered
            | FlowEvent::Established
            | FlowEvent::Dns(_)
            | FlowEvent::Tls(_)
            | FlowEvent::HttpRequest(_)
            | FlowEvent::Traffic(_)
            | FlowEvent::Opening(_)
            | FlowEvent::Echo(_)
            | FlowEvent::Syslog(_)
            | FlowEvent::Transaction(_)
            | FlowEvent::Anomaly(_)
            | FlowEvent::Ended(_) => {}
        }
    }

    fn wait(&mut self, flow: u64, since: Timestamp) {
        // Whoever waits longest goes: it will not be measured, which loses one of many.
        if self.waiting.peek(&flow).is_none() {
            let _left = self.waiting.insert(flow, since);
        }
    }

    /// A first answer, or the head of one to a request.
    fn arrived(
        &mut self,
        (at, flow): (Timestamp, &FlowRef),
        status: Option<u16>,
        (scene, out): (&Scene<'_>, &mut Findings),
    ) {
        let (client, server) = (flow.originator, flow.responder);
        let key = (server.address, server.port, flow.protocol);
        let waited = self.waiting.remove(&flow.id).map(|since| at.since(since));
        let Some(service) = self.services.get_mut(&key) else { return };
        service.turn(at);
        if let Some(waited) = waited {
            service.window.times.add(u64::try_from(waited.as_micros()).unwrap_or(u64::MAX));
            service.window.measured += 1;
            service.window.clients.add(client.address);
        }
        if let Some(status) = status {
            service.window.answers += 1;
            if matches!(status, 500 | 502..=504) {
                service.window.errors += 1;
                service.window.erring.add(client.address);
            }
        }
        service.tell_quality(at, (flow, server), (scene, out));
    }
}

impl Service {
    fn tell_silence(
        &mut self,
        at: Timestamp,
        (flow, server): (&FlowRef, Endpoint),
        (scene, out): (&Scene<'_>, &mut Findings),
    ) {
        if let Some(id) = self.failed.told {
            let (count, refused) = (self.failed.count, self.failed.refused);
            // Closed while the outage lasts: it was told.
            let _is_open = out.grow(id, at, |finding| {
                finding.count = count;
                input(finding, "unanswered", count - refused);
                input(finding, "refused", refused);
                sample(finding, flow);
            });
        } else if self.is_silent(at) {
            let mut finding = claim(Fault::Silent, (self.failed.first, at), (flow, server), scene);
            finding.count = self.failed.count;
            finding.evidence.formula =
                "no answer, though at the rate of the hour before so many were to be expected; attempts of several clients \
                 failed since"
                    .into();
            input(&mut finding, "unanswered", self.failed.count - self.failed.refused);
            input(&mut finding, "refused", self.failed.refused);
            input(&mut finding, "silent_seconds", at.since(self.last).as_secs());
            input(&mut finding, "expected_answers", self.expected(at));
            input(&mut finding, "answered_before", self.answered);
            threshold(&mut finding, "expected_answers", EXPECTED_MIN);
            threshold(&mut finding, "failed", FAILED_MIN);
            threshold(&mut finding, "clients", CLIENTS_MIN);
            sample(&mut finding, flow);
            self.failed.told = Some(out.open(finding));
        }
    }

    fn tell_quality(
        &mut self,
        at: Timestamp,
        (flow, server): (&FlowRef, Endpoint),
        (scene, out): (&Scene<'_>, &mut Findings),
    ) {
        let began = Timestamp::from_secs(self.window.number * WINDOW.as_secs());
        if self.is_erring() {
            let (errors, share) = (self.window.errors, self.window.error_share());
            if let Some(id) = self.errors.told {
                let _is_open = out.grow(id, at, |finding| finding.count += 1);
            } else {
                let mut finding = claim(Fault::Erring, (began, at), (flow, server), scene);
                finding.count = errors;
                finding.evidence.formula =
                    "share of 500, 502, 503 and 504 among answers of HTTP within five minutes, and what was usual"
                        .into();
                input(&mut finding, "errors", errors);
                input(&mut finding, "errors_permille", share);
                input(&mut finding, "usual_permille", self.errors.value);
                threshold(&mut finding, "errors_permille", ERRORS_MIN);
                threshold(&mut finding, "usual_permille_at_most", ERRORS_USUAL_MAX);
                threshold(&mut finding, "clients", CLIENTS_MIN);
                sample(&mut finding, flow);
                self.errors.told = Some(out.open(finding));
            }
        }
        if self.slow_windows >= SLOW_MIN && self.latency.told.is_none() {
            let mut finding = claim(Fault::Slow, (began, at), (flow, server), scene);
            finding.evidence.formula =
                "median time to the first answer in two windows of five minutes, and what was usual".into();
            input(&mut finding, "usual_microseconds", self.latency.value);
            input(&mut finding, "windows", self.slow_windows);
            threshold(&mut finding, "times_as_long", SLOWER);
            threshold(&mut finding, "longer_by_microseconds", LONGER);
            threshold(&mut finding, "clients", CLIENTS_MIN);
            sample(&mut finding, flow);
            self.latency.told = Some(out.open(finding));
        }
    }
}

fn claim(
    fault: Fault,
    span: (Timestamp, Timestamp),
    (flow, server): (&FlowRef, Endpoint),
    scene: &Scene<'_>,
) -> Finding {
    let (address, number) = (server.address, server.port);
    let (what, severity, title, words) = match fault {
        Fault::Silent => (
            "silent",
            Severity::MEDIUM,
            ("公開サービスの停止", "A published service stopped answering"),
            (
                "への接続が、複数の利用者に対して応答されなくなりました。サーバー、前段の機器、回線の順に確認してください。",
                "no longer answers several of its clients. Look at the server, what stands before it, and the line.",
            ),
        ),
        Fault::Erring => (
            "errors",
            Severity::MEDIUM,
            ("公開サービスのエラー応答", "A published service answers with errors"),
            (
                "が、普段と違い半数以上の要求にサーバーエラー(5xx)を返しています。アプリケーションと背後のサーバーを確認してください。",
                "answers half of all requests or more with errors of the server (5xx), which is not usual. Look at the \
                 application and what stands behind it.",
            ),
        ),
        Fault::Slow => (
            "slow",
            Severity::LOW,
            ("公開サービスの応答遅延", "A published service has slowed down"),
            (
                "の最初の応答までの時間が、普段の4倍以上になっています。負荷、背後のサーバー、攻撃の有無を確認してください。",
                "takes four times as long as usual or more until it begins to answer. Look for load, for what stands behind \
                 it, and for an attack.",
            ),
        ),
    };
    let who = Who {
        originator: None,
        responder: Some(address.into()),
        places: (address, address),
        vlan: flow.vlan,
        what: &format!("{what} {number}/{}", flow.protocol),
    };
    let mut finding = draft(Category::ServiceDown, ServiceDown::RULE, scene.policy, who, span);
    finding.severity = severity;
    finding.confidence = Confidence::from_permille(800);
    finding.title = Bilingual::new(
        &format!("{}: {address}:{number}", title.0),
        &format!("{}: {address}:{number}", title.1),
    );
    finding.explanation = Bilingual::new(
        &format!("{address}:{number} {}", words.0),
        &format!("{address}:{number} {}", words.1),
    );
    port(&mut finding, number);
    finding
}

impl Detect for ServiceDown {
    const RULE: &'static str = "service.down.passive/1";
    const WANTS: Kinds = Kinds::ESTABLISHED
        .and(Kinds::ANSWERED)
        .and(Kinds::REJECTED)
        .and(Kinds::UNANSWERED)
        .and(Kinds::OPENING)
        .and(Kinds::HTTP_REQUEST)
        .and(Kinds::HTTP_RESPONSE);

    #[inline]
    fn on_event(&mut self, event: &Event, scene: &Scene<'_>, out: &mut Findings) {
        let Event::Flow { at, flow, what } = event else { return };
        if scene.inside.is_inbound() && flow.responder.port < DYNAMIC && flow.responder.port != 0 {
            self.hear((*at, flow), what, (scene, out));
        }
    }

    fn take_evicted(&mut self) -> u64 {
        core::mem::take(&mut self.evicted)
    }
}

#[cfg(test)]
mod tests;
