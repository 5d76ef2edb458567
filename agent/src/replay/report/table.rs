//! The report for people: what was read, when, who spoke with whom about what, what was found, and what was not looked at.

use sekimori_sensor::counters::{Counter, Counters};
use sekimori_wire::finding::{Finding, Severity};
use sekimori_wire::id::Host;
use sekimori_wire::record::FlowSummary;
use sekimori_wire::time::Timestamp;

use super::talkers::{Share, Talkers};
use super::text::{amount, bar, left, line, plain, share, width};
use super::timeline::Timeline;
use crate::capture::file::Files;

/// Lines of a list of hosts or protocols.
const LINES_MAX: usize = 10;
/// Findings told in full; the others are in the overview and in `--format findings`.
const FINDINGS_TOLD_MAX: usize = 100;
/// Columns of a bar.
const BAR_CELLS: u64 = 24;

/// Collects for the report; nothing in it grows with the capture.
#[derive(Debug, Default)]
pub(super) struct Table {
    frames: u64,
    bytes: u64,
    span: Option<(Timestamp, Timestamp)>,
    timeline: Timeline,
    talkers: Talkers,
}

impl Table {
    pub(super) fn frame(&mut self, at: Timestamp, wire_len: u32) {
        self.frames += 1;
        self.bytes = self.bytes.saturating_add(wire_len.into());
        let (first, last) = self.span.get_or_insert((at, at));
        *first = (*first).min(at);
        *last = (*last).max(at);
        self.timeline.add(at, wire_len);
    }

    pub(super) fn flow(&mut self, flow: &FlowSummary) {
        self.talkers.add(flow);
    }

    /// All lines, findings sorted by time; `omitted` findings are not among them.
    pub(super) fn print(
        &self,
        findings: &[Finding],
        omitted: u64,
        files: &Files,
        counters: &Counters,
    ) -> Vec<String> {
        let mut out = vec!["Captures".to_owned()];
        out.extend(files.read().map(|(name, packets)| format!("{packets:>12} packets  {}", plain(name))));
        out.extend(self.totals(counters));
        out.extend(self.over_time());
        out.extend(self.hosts());
        out.extend(self.protocols());
        out.extend(overview(findings, omitted));
        out.extend(told(findings));
        out.extend(not_looked_at(self.frames, counters));
        out
    }

    fn totals(&self, counters: &Counters) -> Vec<String> {
        let mut out = Vec::new();
        if let Some((first, last)) = self.span {
            let seconds = last.since(first).as_secs_f64();
            out.push(format!("  from {first} to {last} ({seconds:.1} s)"));
        }
        let flows = counters.value(Counter::FlowsStarted);
        let (frames, bytes) = (self.frames, self.bytes);
        out.push(format!("  {frames} frames, {bytes} bytes on the wire ({}), {flows} flows", amount(bytes)));
        out
    }

    fn over_time(&self) -> Vec<String> {
        let (frames, bytes) = self.timeline.steps();
        if frames.is_empty() {
            return Vec::new();
        }
        let most = |values: &[u64]| values.iter().copied().max().unwrap_or_default();
        vec![
            String::new(),
            format!("Over time (one column: {})", self.timeline.step()),
            format!("  frames {}  at most {}", line(&frames), most(&frames)),
            format!("  bytes  {}  at most {}", line(&bytes), amount(most(&bytes))),
        ]
    }

    fn hosts(&self) -> Vec<String> {
        let (hosts, forgot) = self.talkers.hosts(LINES_MAX);
        let about = if forgot { ", approximate: there were too many" } else { "" };
        let title = format!("Top talkers (bytes of IP sent and received{about})");
        let rows: Vec<_> = hosts.into_iter().map(|(host, share)| (host.to_string(), share)).collect();
        self.ranking(&title, &rows)
    }

    fn protocols(&self) -> Vec<String> {
        let all = self.talkers.protocols();
        let more = all.len().saturating_sub(LINES_MAX);
        let named = all.into_iter().take(LINES_MAX).map(|((protocol, application), share)| {
            let application = if application.is_empty() { "-" } else { &application };
            (format!("{} {application}", transport(protocol)), share)
        });
        let mut out = self.ranking("Protocols by content", &named.collect::<Vec<_>>());
        if more > 0 {
            out.push(format!("  … and {more} more"));
        }
        out
    }

    fn ranking(&self, title: &str, rows: &[(String, Share)]) -> Vec<String> {
        let Some((_name, first)) = rows.first() else { return Vec::new() };
        let (most, all) = (first.bytes, self.talkers.total.bytes);
        let widest = rows.iter().map(|(name, _share)| width(name)).max().unwrap_or_default();
        let mut out = vec![String::new(), title.to_owned()];
        out.extend(rows.iter().map(|(name, one)| {
            let row = format!(
                "  {}  {:>9}  {:>7}  {:>9} packets  {:>7} flows  {}",
                left(name, widest),
                amount(one.bytes),
                share(one.bytes, all),
                one.packets,
                one.flows,
                bar(one.bytes, most, BAR_CELLS),
            );
            row.trim_end().to_owned()
        }));
        out
    }
}

/// The name of an IP protocol that flows are made of.
fn transport(protocol: u8) -> String {
    match protocol {
        1 => "icmp".to_owned(),
        6 => "tcp".to_owned(),
        17 => "udp".to_owned(),
        58 => "icmpv6".to_owned(),
        132 => "sctp".to_owned(),
        other => format!("ip-{other}"),
    }
}

const SEVERITIES: [(Severity, &str); 5] = [
    (Severity::CRITICAL, "critical"),
    (Severity::HIGH, "high"),
    (Severity::MEDIUM, "medium"),
    (Severity::LOW, "low"),
    (Severity::INFORMATIONAL, "informational"),
];

fn severity(of: Severity) -> &'static str {
    SEVERITIES.iter().find(|(severity, _name)| *severity == of).map_or("", |(_severity, name)| name)
}

/// How many of each kind, the most severe first.
fn overview(findings: &[Finding], omitted: u64) -> Vec<String> {
    let mut out = vec![String::new(), format!("Findings: {}", findings.len())];
    if omitted > 0 {
        out.push(format!("  {omitted} more were left out: too many"));
    }
    let mut kinds: Vec<(&Finding, usize)> = Vec::new();
    for finding in findings {
        let same = |one: &Finding| (one.severity, one.category) == (finding.severity, finding.category);
        match kinds.iter_mut().find(|(one, _count)| same(one)) {
            Some((_one, count)) => *count += 1,
            None => kinds.push((finding, 1)),
        }
    }
    kinds.sort_by_key(|(one, count)| {
        (core::cmp::Reverse((one.severity.level(), *count)), one.category.as_str())
    });
    let rows = kinds.iter().map(|(one, count)| {
        let more = if *count > 1 { " …" } else { "" };
        let title = format!("{}{more}", plain(one.title.ja.as_str()));
        [count.to_string(), severity(one.severity).to_owned(), one.category.as_str().to_owned(), title]
    });
    out.extend(aligned(&rows.collect::<Vec<_>>()));
    out
}

/// Columns as wide as their widest cell, in whatever script.
fn aligned<const N: usize>(rows: &[[String; N]]) -> Vec<String> {
    let widest: [usize; N] = core::array::from_fn(|at| {
        rows.iter().filter_map(|row| row.get(at)).map(|cell| width(cell)).max().unwrap_or_default()
    });
    let fill = |row: &[String; N]| {
        let cells = row.iter().zip(widest).map(|(cell, widest)| left(cell, widest));
        format!("  {}", cells.collect::<Vec<_>>().join("  ")).trim_end().to_owned()
    };
    rows.iter().map(fill).collect()
}

/// Each in full, the most severe first, then by time.
fn told(findings: &[Finding]) -> Vec<String> {
    let mut sorted: Vec<&Finding> = findings.iter().collect();
    sorted.sort_by_key(|finding| core::cmp::Reverse(finding.severity.level()));
    let mut out = Vec::new();
    for finding in sorted.iter().take(FINDINGS_TOLD_MAX) {
        let host = |host: Option<Host>| host.map_or_else(|| "-".to_owned(), |host| host.to_string());
        let excepted = finding
            .excepted_by
            .as_ref()
            .map_or_else(String::new, |id| format!(", excepted by {}", plain(id.as_str())));
        out.extend([
            String::new(),
            format!(
                "  [{}] {}  {}{excepted}",
                severity(finding.severity),
                plain(finding.title.ja.as_str()),
                plain(finding.title.en.as_str()),
            ),
            format!(
                "    {} confidence {:.2} {}",
                finding.category,
                f64::from(finding.confidence.permille()) / 1000.0,
                finding.technique,
            ),
            format!(
                "    {} → {}, {} times, {} to {}",
                host(finding.originator),
                host(finding.responder),
                finding.count,
                finding.time,
                finding.end,
            ),
            format!("    {}", plain(finding.explanation.ja.as_str())),
            format!("    {}", plain(finding.explanation.en.as_str())),
        ]);
    }
    let untold = sorted.len().saturating_sub(FINDINGS_TOLD_MAX);
    if untold > 0 {
        out.extend([String::new(), format!("  … and {untold} more: see --format findings")]);
    }
    out
}

/// Frames that were not decoded or not to their end, by reason; then every other counter that is not zero.
fn not_looked_at(frames: u64, counters: &Counters) -> Vec<String> {
    let counted = || counters.iter().filter(|(_name, count)| *count > 0);
    let is_reason = |name: &str| name.starts_with("decode.skip.") || name.starts_with("decode.malformed.");
    let reasons = counted().filter(|(name, _count)| is_reason(name));
    let reasons: Vec<[String; 3]> =
        reasons.map(|(name, count)| [name.to_owned(), count.to_string(), share(count, frames)]).collect();
    let mut out = vec![String::new(), "Not decoded, by reason".to_owned()];
    if reasons.is_empty() {
        out.push("  nothing: every frame was".to_owned());
    }
    out.extend(aligned(&reasons));
    out.extend([String::new(), "Other counters that are not zero".to_owned()]);
    let others = counted().filter(|(name, _count)| !is_reason(name));
    out.extend(aligned(
        &others.map(|(name, count)| [name.to_owned(), count.to_string()]).collect::<Vec<_>>(),
    ));
    out
}
