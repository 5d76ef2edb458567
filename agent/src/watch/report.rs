//! The finding about a server that is down: what is wrong, at which stage, and what was found to work.

use core::net::{IpAddr, Ipv4Addr};

use sekimori_sensor::segment::Policy;
use sekimori_wire::finding::{Bilingual, Category, Confidence, Evidence, Finding, Severity, Value};
use sekimori_wire::id::{FindingId, Host};
use sekimori_wire::limits::TARGETS_MAX;
use sekimori_wire::text::BoundedText;
use sekimori_wire::time::Timestamp;

use super::desk::Watched;
use super::level::{ANSWERS, FAILURES, Level};
use super::target::{FaultKind, Stage};

const RULE: &str = "service.down/1";
const FORMULA: &str =
    "failures in a row >= 3 -> down; answers in a row >= 2 -> up; a dependency that is down -> its finding";

/// What a finding is made of.
pub(super) struct Report<'a> {
    pub(super) one: Option<&'a Watched>,
    /// The revision before.
    pub(super) before: Option<&'a Finding>,
    /// The first failure.
    pub(super) first: Timestamp,
    pub(super) now: Timestamp,
    /// What is down because of it.
    pub(super) affected: Vec<&'a str>,
    /// What it depends on, none of it down.
    pub(super) well: Vec<&'a str>,
    pub(super) policy: &'a Policy,
}

/// The next revision, or the first.
pub(super) fn finding(report: &Report<'_>) -> Finding {
    let mut finding = report.before.cloned().unwrap_or_else(|| first(report));
    if report.before.is_some() {
        finding.revision = finding.revision.saturating_add(1);
        finding.count = finding.count.saturating_add(1);
    }
    finding.end = report.now;
    let Some(one) = report.one else { return finding };
    let target = &one.target;
    let stage =
        one.fault.as_ref().and_then(super::target::Fault::stage).unwrap_or_else(|| target.server.stage());
    finding.severity = finding.severity.max(severity(one));
    say(&mut finding, one, stage, report);
    for name in &report.affected {
        let name = BoundedText::new(name);
        if finding.targets.len() < TARGETS_MAX && !finding.targets.contains(&name) {
            finding.targets.push(name);
        }
    }
    let list = |names: &[&str]| Value::List(names.iter().map(|name| BoundedText::new(name)).collect());
    let fault = one.fault.as_ref();
    let detail = fault.map(|fault| fault.detail.to_string()).unwrap_or_default();
    let inputs = [
        ("target", Value::from(&*target.name)),
        ("server", target.server.key().into()),
        ("probe", target.probe.key().into()),
        ("place", place(one).into()),
        ("fault", fault.map_or("", |fault| fault.kind.key()).into()),
        ("detail", detail.into()),
        ("stage", stage.key().into()),
        ("state", one.run.level.key().into()),
        ("affected", list(&report.affected)),
        ("working", list(&report.well)),
    ];
    finding.evidence.inputs = inputs.into_iter().map(|(name, value)| (name.into(), value)).collect();
    finding
}

/// The last revision of one that is over.
pub(super) fn end(finding: &mut Finding, now: Timestamp) {
    finding.revision = finding.revision.saturating_add(1);
    finding.end = now;
    let seconds = now.since(finding.time).as_secs();
    let inputs = &mut finding.evidence.inputs;
    inputs.insert("state".into(), Level::Up.key().into());
    inputs.insert("recovered_at".into(), now.to_string().into());
    inputs.insert("down_seconds".into(), seconds.into());
    let Bilingual { ja, en } = &finding.title;
    finding.title = Bilingual::new(&format!("復旧: {ja}"), &format!("Recovered: {en}"));
}

fn first(report: &Report<'_>) -> Finding {
    let (mut originator, mut ports, mut targets, mut threshold) = (None, Vec::new(), Vec::new(), Vec::new());
    let (mut name, mut home) = ("", None);
    if let Some(one) = report.one {
        let target = &one.target;
        name = &target.name;
        home = target.host.parse::<IpAddr>().ok();
        originator = home.map(Host::Ip);
        ports.extend((target.port > 0).then_some(target.port));
        targets.extend([BoundedText::new(&target.host), BoundedText::new(&target.name)]);
        let millis = |time: core::time::Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        threshold.push(("timeout_ms", Value::from(millis(target.timeout))));
        threshold.extend(target.slow_after.map(|slow| ("slow_after_ms", Value::from(millis(slow)))));
    }
    threshold.extend([("failures_in_a_row", FAILURES.into()), ("answers_in_a_row", ANSWERS.into())]);
    // One that is named and not numbered belongs to the body of the gateway.
    let at = report.policy.place(home.unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED)), None);
    Finding {
        id: FindingId::of(&[b"service.down", name.as_bytes(), &report.first.nanos().to_be_bytes()]),
        revision: 1,
        time: report.first,
        end: report.now,
        detected_at: report.now,
        category: Category::ServiceDown,
        severity: Severity::INFORMATIONAL,
        confidence: Confidence::from_permille(950),
        originator: None,
        responder: originator,
        targets,
        ports,
        title: Bilingual::default(),
        explanation: Bilingual::default(),
        evidence: Evidence {
            rule: RULE.into(),
            formula: FORMULA.into(),
            threshold: threshold.into_iter().map(|(name, value)| (name.into(), value)).collect(),
            ..Evidence::default()
        },
        technique: Category::ServiceDown.technique().into(),
        count: 1,
        body: at.body,
        segment: at.segment.map(|segment| segment.as_str().into()),
        degraded: false,
        excepted_by: None,
    }
}

/// A server that does not serve is grave; one that does so slowly, or soon will not, can wait for the morning.
fn severity(one: &Watched) -> Severity {
    let kind = one.fault.as_ref().map(|fault| fault.kind);
    match (one.run.level, kind) {
        (Level::Down, Some(FaultKind::Changed)) => Category::ServiceDown.default_severity().raised(),
        (Level::Down, _) => Category::ServiceDown.default_severity(),
        (Level::Unknown | Level::Up | Level::Degraded, _) => Severity::LOW,
    }
}

fn place(one: &Watched) -> String {
    let host = &one.target.host;
    match (one.target.port, host.contains(':')) {
        (0, _) => host.clone(),
        (port, true) => format!("[{host}]:{port}"),
        (port, false) => format!("{host}:{port}"),
    }
}

fn say(finding: &mut Finding, one: &Watched, stage: Stage, report: &Report<'_>) {
    let name = &one.target.name;
    let (server_ja, server_en) = one.target.server.words();
    let (fault_ja, fault_en) = one.fault.as_ref().map_or(("", ""), |fault| fault.kind.words());
    let (stage_ja, stage_en) = stage.words();
    let place = place(one);
    let (down_ja, down_en) = match one.run.level {
        Level::Down => ("サービス停止", "Service down"),
        Level::Unknown | Level::Up | Level::Degraded => ("サービス低下", "Service degraded"),
    };
    finding.title = Bilingual::new(
        &format!("{down_ja}: {name}({server_ja}、{fault_ja})"),
        &format!("{down_en}: {name} ({server_en}; {fault_en})"),
    );
    let (mut ja, mut en) = (
        format!(
            "{server_ja}「{name}」({place})の監視が{FAILURES}回続けて失敗しました({fault_ja})。切り分け: 障害箇所は{stage_ja}です。"
        ),
        format!(
            "Probes of the {server_en} \"{name}\" ({place}) failed {FAILURES} times in a row: {fault_en}. The stage at fault is {stage_en}."
        ),
    );
    if !report.well.is_empty() {
        let names = report.well.join(", ");
        ja.push_str(&format!("正常に応答: {names}。"));
        en.push_str(&format!(" Working: {names}."));
    }
    if !report.affected.is_empty() {
        let names = report.affected.join(", ");
        ja.push_str(&format!("影響を受けている監視対象: {names}。"));
        en.push_str(&format!(" Not reached because of it: {names}."));
    }
    finding.explanation = Bilingual::new(&ja, &en);
}
