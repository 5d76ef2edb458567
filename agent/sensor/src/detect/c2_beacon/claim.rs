//! The words of a finding.

use sekimori_wire::finding::{Bilingual, Category, Confidence, Finding, Severity, Value};
use sekimori_wire::time::Timestamp;

use super::C2Beacon;
use super::series::Score;
use super::signs::Signs;
use crate::detect::Detect;
use crate::detect::findings::{Who, draft, input, sample, threshold};
use crate::event::FlowRef;
use crate::segment::Policy;

/// Which regularity was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Connection after connection.
    Contacts,
    /// Messages within one connection.
    Beats,
    /// HTTP requests.
    Polls,
    /// Requests that only a program makes, in no rhythm.
    CheckIns,
    /// A session on a port that says something.
    Port,
}

/// What a finding is made from.
#[derive(Debug)]
pub(super) struct Claim<'a> {
    pub(super) kind: Kind,
    pub(super) flow: &'a FlowRef,
    /// What tells it from others between the same hosts.
    pub(super) what: &'a str,
    pub(super) first: Timestamp,
    pub(super) now: Timestamp,
    pub(super) count: u64,
    pub(super) severity: Severity,
    pub(super) signs: Signs,
    pub(super) score: Option<Score>,
}

impl Kind {
    const fn formula(self) -> &'static str {
        match self {
            Self::Contacts => {
                "RITA v5: timing = (1 − |Bowley skew| + (median − MAD) ÷ median) ÷ 2 over the intervals of the last 64 \
                 contacts; size = the same over bytes sent; from six hours on also histogram and duration; score = their \
                 mean. Severity by what else speaks for it"
            }
            Self::Beats => {
                "RITA v5 timing and size over the bursts within one connection that follow two quiet seconds; score = their \
                 mean. Severity by what else speaks for it"
            }
            Self::Polls => {
                "requests of one client to one server: many for few paths, over a minute or more, none led to by a page; and \
                 enough signs"
            }
            Self::CheckIns => {
                "requests of one client to one server, none led to by a page; and enough signs of a program"
            }
            Self::Port => "payload both ways over a port of that table, in no protocol that belongs there",
        }
    }

    fn words(self, flow: &FlowRef, every: Option<f64>) -> ((String, String), (String, String)) {
        let (from, to) = (flow.originator.address, flow.responder.address);
        let port = flow.responder.port;
        let (pace_en, pace_ja) = every.map_or_else(Default::default, |seconds| {
            (format!(" about every {seconds:.1} s"), format!("約{seconds:.1}秒ごとに"))
        });
        match self {
            Self::Contacts => (
                (
                    format!("規則的な通信: {from} → {to}:{port}"),
                    format!("Regular contact: {from} → {to}:{port}"),
                ),
                (
                    format!("{from} が {to} のポート{port}に{pace_ja}規則正しく接続しています。"),
                    format!("{from} contacts port {port} of {to}{pace_en}, regularly as a program does."),
                ),
            ),
            Self::Beats => (
                (
                    format!("接続内の定期的な信号: {from} → {to}:{port}"),
                    format!("Heartbeat within a connection: {from} → {to}:{port}"),
                ),
                (
                    format!(
                        "{from} と {to} のポート{port}との接続で、{pace_ja}小さな通信が繰り返されています。"
                    ),
                    format!(
                        "Within a connection of {from} to port {port} of {to} something small is said{pace_en}."
                    ),
                ),
            ),
            Self::Polls => (
                (
                    format!("HTTPによる定期的な問い合わせ: {from} → {to}:{port}"),
                    format!("Polling over HTTP: {from} → {to}:{port}"),
                ),
                (
                    format!(
                        "{from} のプログラムが {to} のポート{port}に{pace_ja}HTTPで指示を問い合わせているように見えます。"
                    ),
                    format!(
                        "A program on {from} asks port {port} of {to} over HTTP{pace_en}, as if for orders."
                    ),
                ),
            ),
            Self::CheckIns => (
                (
                    format!("不審なHTTP送信: {from} → {to}:{port}"),
                    format!("Odd check-ins over HTTP: {from} → {to}:{port}"),
                ),
                (
                    format!("{from} のプログラムが {to} に、閲覧ではないHTTPの要求を送っています。"),
                    format!("A program on {from} sends {to} HTTP requests that no browsing explains."),
                ),
            ),
            Self::Port => (
                (
                    format!("遠隔操作の疑いがあるポート: {from} → {to}:{port}"),
                    format!("Session on a port of remote-control malware: {from} → {to}:{port}"),
                ),
                (
                    format!(
                        "{from} と {to} の間に、遠隔操作型マルウェアが既定で使うポート{port}での通信があります。"
                    ),
                    format!(
                        "{from} and {to} have a session on port {port}, which remote-control malware uses by default."
                    ),
                ),
            ),
        }
    }
}

impl Claim<'_> {
    pub(super) fn finding(&self, policy: &Policy) -> Finding {
        let who = Who::of(self.flow, self.what);
        let mut finding = draft(Category::C2Beacon, C2Beacon::RULE, policy, who, (self.first, self.now));
        let every = self.score.map(|score| score.interval.median);
        let ((title_ja, title_en), (ja, en)) = self.kind.words(self.flow, every);
        let (signs_en, signs_ja) = self.signs.words();
        finding.severity = self.severity;
        finding.confidence =
            Confidence::from_permille(if self.severity >= Severity::HIGH { 850 } else { 500 });
        finding.title = Bilingual::new(&title_ja, &title_en);
        let so_ja = "マルウェアが外部からの指示を待つときの動きに似ています。";
        let so_en = "Malware that waits for orders behaves so.";
        finding.explanation = if self.signs.count() == 0 {
            Bilingual::new(&format!("{ja}{so_ja}"), &format!("{en} {so_en}"))
        } else {
            Bilingual::new(&format!("{ja}{so_ja}({signs_ja})"), &format!("{en} {so_en} ({signs_en})"))
        };
        finding.evidence.formula = self.kind.formula().into();
        finding.evidence.inputs.insert("signs".into(), Value::List(self.signs.list()));
        tell(&mut finding, self.count, self.score);
        threshold(&mut finding, "score", super::SCORE_MIN);
        threshold(&mut finding, "signs_for_high", u64::from(super::SIGNS_HIGH));
        finding.ports = vec![self.flow.responder.port];
        sample(&mut finding, self.flow);
        finding
    }
}

/// How often, and how regularly.
pub(super) fn tell(finding: &mut Finding, count: u64, score: Option<Score>) {
    finding.count = finding.count.max(count);
    input(finding, "contacts", finding.count);
    let Some(score) = score else { return };
    let rounded = |number: f64| (number * 1_000.0).round() / 1_000.0;
    for (name, number) in [
        ("score", Some(score.total)),
        ("timing_score", Some(score.timing)),
        ("size_score", Some(score.size)),
        ("histogram_score", score.histogram),
        ("duration_score", score.duration),
        ("interval_median_seconds", Some(score.interval.median)),
        ("interval_mad_seconds", Some(score.interval.deviation)),
    ] {
        if let Some(number) = number {
            input(finding, name, rounded(number));
        }
    }
}
