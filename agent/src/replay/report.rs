//! What a replay prints: findings, flows or summaries as JSON lines, or a report for people ([`table`]).

mod table;
mod talkers;
mod text;
mod timeline;

use std::collections::BTreeMap;
use std::io::{self, Write as _};

use sekimori_sensor::counters::Counters;
use sekimori_wire::finding::Finding;
use sekimori_wire::id::FindingId;
use sekimori_wire::record::{FlowSummary, Record};
use sekimori_wire::time::Timestamp;
use serde::Serialize;

use super::{Output, ReplayError, Writer};
use crate::capture::file::Files;
use crate::cli::Format;
use table::Table;

/// Findings kept until the end; further ones are counted and said to be missing.
const FINDINGS_MAX: usize = 262_144;

/// Collects and prints.
pub(super) struct Report {
    format: Format,
    output: Output,
    /// The line that is being written: its room is kept for the next.
    line: Vec<u8>,
    /// The last revision of each.
    findings: BTreeMap<FindingId, Finding>,
    omitted: u64,
    table: Table,
}

impl Report {
    pub(super) fn new(format: Format, output: Output) -> Self {
        Self {
            format,
            output,
            line: Vec::new(),
            findings: BTreeMap::new(),
            omitted: 0,
            table: Table::default(),
        }
    }
}

impl Writer for Report {
    fn frame(&mut self, at: Timestamp, wire_len: u32) {
        if self.format == Format::Table {
            self.table.frame(at, wire_len);
        }
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
        if self.format == Format::Table {
            self.table.flow(flow);
            return Ok(());
        }
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
            Format::Table => {
                let report = self.table.print(&findings, self.omitted, files, counters);
                report.iter().try_for_each(|line| self.output.line(line))?;
            }
            Format::Flows | Format::Summary | Format::Eve | Format::Zeek | Format::Csv | Format::Parquet => {}
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
        self.line.clear();
        let written = serde_json::to_writer(&mut self.line, value).map_err(io::Error::from).and_then(|()| {
            self.line.push(b'\n');
            self.output.write_all(&self.line)
        });
        written.map_err(|cause| self.output.failed(cause))
    }
}
