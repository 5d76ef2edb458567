//! What a replay prints: findings, flows or summaries as JSON lines, or a report for people.

use std::collections::BTreeMap;

use sekimori_sensor::counters::{Counter, Counters};
use sekimori_wire::finding::Finding;
use sekimori_wire::id::FindingId;
use sekimori_wire::record::{FlowSummary, Record};
use sekimori_wire::time::Timestamp;
use serde::Serialize;

use super::{Output, ReplayError, Writer};
use crate::capture::file::Files;
use crate::cli::Format;

/// Findings kept until the end; further ones are counted and said to be missing.
const FINDINGS_MAX: usize = 262_144;

/// Collects and prints.
pub(super) struct Report {
    format: Format,
    output: Output,
    /// The last revision of each.
    findings: BTreeMap<FindingId, Finding>,
    omitted: u64,
    frames: u64,
    bytes: u64,
    span: Option<(Timestamp, Timestamp)>,
}

impl Report {
    pub(super) const fn new(format: Format, output: Output) -> Self {
        Self { format, output, findings: BTreeMap::new(), omitted: 0, frames: 0, bytes: 0, span: None }
    }
}

impl Writer for Report {
    fn frame(&mut self, at: Timestamp, wire_len: u32) {
        self.frames += 1;
        self.bytes += u64::from(wire_len);
        let (first, last) = self.span.get_or_insert((at, at));
        *first = (*first).min(at);
        *last = (*last).max(at);
    }

    fn record(&mut self, record: &Record) -> Result<(), ReplayError> {
        let wants_findings = matches!(self.format, Format::Findings | Format::Table);
        match record {
            Record::Finding(finding) if wants_findings => self.keep((**finding).clone()),
            Record::EndpointAlert(alert) if wants_findings => self.keep(alert.to_finding()),
            Record::Summary(_) | Record::Health(_) | Record::Gap(_) if self.format == Format::Summary => {
                return self.json(record);
            }
            Record::Finding(_)
            | Record::EndpointAlert(_)
            | Record::Summary(_)
            | Record::Health(_)
            | Record::Gap(_) => {}
        }
        Ok(())
    }

    fn flow(&mut self, flow: &FlowSummary) -> Result<(), ReplayError> {
        #[derive(Serialize)]
        struct Line<'a> {
            community_id: String,
            #[serde(flatten)]
            flow: &'a FlowSummary,
        }
        self.json(&Line { community_id: flow.community_id(), flow })
    }

    /// Prints what waits for the end.
    fn finish(&mut self, files: &Files, counters: &Counters) -> Result<(), ReplayError> {
        let mut findings: Vec<Finding> = core::mem::take(&mut self.findings).into_values().collect();
        findings.sort_by_key(|finding| (finding.time, finding.id));
        match self.format {
            Format::Findings => findings.iter().try_for_each(|finding| self.json(finding))?,
            Format::Table => self.table(&findings, files, counters)?,
            Format::Flows | Format::Summary | Format::Eve | Format::Zeek => {}
        }
        if self.omitted > 0 {
            tracing::warn!(omitted = self.omitted, kept = FINDINGS_MAX, "findings were left out: too many");
        }
        self.output.flush()
    }
}

impl Report {
    fn keep(&mut self, finding: Finding) {
        if self.findings.len() >= FINDINGS_MAX && !self.findings.contains_key(&finding.id) {
            self.omitted += 1;
            return;
        }
        self.findings.insert(finding.id, finding);
    }

    fn json(&mut self, value: &impl Serialize) -> Result<(), ReplayError> {
        match serde_json::to_string(value) {
            Ok(line) => self.output.line(&line),
            Err(cause) => Err(self.output.failed(cause.into())),
        }
    }

    fn table(&mut self, findings: &[Finding], files: &Files, counters: &Counters) -> Result<(), ReplayError> {
        for (name, packets) in files.read() {
            self.output.line(&format!("{packets:>10} packets  {}", name.escape_debug()))?;
        }
        if let Some((first, last)) = self.span {
            let seconds = last.since(first).as_secs_f64();
            self.output.line(&format!("from {first} to {last} ({seconds:.1} s)"))?;
        }
        let flows = counters.value(Counter::FlowsStarted);
        self.output
            .line(&format!("{} frames, {} bytes on the wire, {flows} flows\n", self.frames, self.bytes))?;
        self.output.line(&format!("findings: {}", findings.len()))?;
        for finding in findings {
            let host = |host: Option<_>| {
                host.map_or_else(|| "-".to_owned(), |host: sekimori_wire::id::Host| host.to_string())
            };
            let excepted =
                finding.excepted_by.as_ref().map_or_else(String::new, |id| format!(", excepted by {id}"));
            self.output.line(&format!(
                "\n{} severity {} confidence {:.2} {}{excepted}\n  {} -> {}, {} times, {} to {}",
                finding.category,
                finding.severity.level(),
                f64::from(finding.confidence.permille()) / 1000.0,
                finding.technique,
                host(finding.originator),
                host(finding.responder),
                finding.count,
                finding.time,
                finding.end,
            ))?;
            self.output.line(&format!("  {}\n  {}", finding.explanation.ja, finding.explanation.en))?;
        }
        self.output.line("\ncounters that are not zero (what was not looked at, and why):")?;
        for (name, count) in counters.iter().filter(|(_, count)| *count > 0) {
            self.output.line(&format!("{count:>12}  {name}"))?;
        }
        Ok(())
    }
}
