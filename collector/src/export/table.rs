//! CSV (RFC 4180): one row an incident or a finding. A cell that a spreadsheet would calculate is defused.

use serde_json::Value;

use super::text::{clean, field, in_lang, japan, list};
use super::{Case, Table};
use crate::incident::taxonomy::elsewhere;

/// U+FEFF in UTF-8.
const BOM: &[u8] = b"\xef\xbb\xbf";
/// Longest cell that spreadsheets keep is 32,767 characters; nothing here needs that much.
const CELL_MAX: usize = 4096;

const INCIDENTS: [&str; 26] = [
    "id",
    "category",
    "category_ja",
    "level",
    "state",
    "state_ja",
    "body",
    "body_name",
    "subject",
    "title_ja",
    "title_en",
    "opened_at",
    "opened_jst",
    "updated_at",
    "first_evidence",
    "last_evidence",
    "findings",
    "parent",
    "children",
    "mode",
    "verified",
    "rsit",
    "jpcert",
    "drill",
    "contained_at",
    "closed_at",
];
const FINDINGS: [&str; 25] = [
    "incident",
    "finding",
    "revision",
    "body",
    "category",
    "level",
    "confidence",
    "time",
    "time_jst",
    "end",
    "originator",
    "responder",
    "targets",
    "ports",
    "segment",
    "technique",
    "count",
    "title_ja",
    "title_en",
    "rule",
    "exception",
    "agent",
    "lane",
    "epoch",
    "seq",
];

/// The table with its header.
pub(super) fn table(cases: &[Case], table: Table, bom: bool) -> Result<Vec<u8>, csv::Error> {
    let bytes = if bom { BOM.to_vec() } else { Vec::new() };
    let mut writer = csv::WriterBuilder::new().terminator(csv::Terminator::CRLF).from_writer(bytes);
    match table {
        Table::Incidents => {
            writer.write_record(INCIDENTS)?;
            for case in cases {
                writer.write_record(incident(case).map(|text| cell(&text)))?;
            }
        }
        Table::Findings => {
            writer.write_record(FINDINGS)?;
            for case in cases {
                for one in &case.findings {
                    writer.write_record(finding(case, one).map(|text| cell(&text)))?;
                }
            }
        }
    }
    writer.into_inner().map_err(|error| csv::Error::from(error.into_error()))
}

/// A table with these heads.
pub(crate) fn plain(
    heads: &[String],
    rows: impl Iterator<Item = Vec<String>>,
    bom: bool,
) -> Result<Vec<u8>, csv::Error> {
    let bytes = if bom { BOM.to_vec() } else { Vec::new() };
    let mut writer = csv::WriterBuilder::new().terminator(csv::Terminator::CRLF).from_writer(bytes);
    writer.write_record(heads)?;
    for row in rows {
        writer.write_record(row.iter().map(|text| cell(text)))?;
    }
    writer.into_inner().map_err(|error| csv::Error::from(error.into_error()))
}

/// Nothing that a spreadsheet takes for a formula (OWASP, "CSV Injection"); nothing invisible; of a bounded length.
fn cell(text: &str) -> String {
    const STARTS: [char; 12] = ['=', '+', '-', '@', '\t', '\r', '\n', '|', '＝', '＋', '－', '＠'];
    let shown = clean::<CELL_MAX>(text);
    let is_formula = shown.trim_start().starts_with(STARTS) || text.starts_with(STARTS);
    if is_formula { format!("'{shown}") } else { shown }
}

fn incident(case: &Case) -> [String; 26] {
    let view = &case.view;
    let others = elsewhere(view.category);
    let work = case.work.as_ref().map(|work| &work.facts.work);
    let time = |at: Option<sekimori_wire::time::Timestamp>| at.map(|at| at.to_string()).unwrap_or_default();
    [
        view.id.clone(),
        view.category.as_str().to_owned(),
        view.category.ja().to_owned(),
        view.severity.level().to_string(),
        view.state.as_str().to_owned(),
        view.state.ja().to_owned(),
        view.body.clone().unwrap_or_default(),
        view.body_name.clone().unwrap_or_default(),
        view.subject.clone(),
        view.title_ja.clone(),
        view.title_en.clone(),
        view.opened_at.to_string(),
        japan(view.opened_at),
        view.updated_at.to_string(),
        view.first_evidence.to_string(),
        view.last_evidence.to_string(),
        view.findings.to_string(),
        view.parent.clone().unwrap_or_default(),
        view.children.to_string(),
        if view.replay { "replay" } else { "live" }.to_owned(),
        view.signed.to_string(),
        others.rsit.to_owned(),
        others.jpcert.unwrap_or_default().to_owned(),
        case.is_drill().to_string(),
        time(work.and_then(|work| work.contained_at)),
        time(work.and_then(|work| work.closed_at)),
    ]
}

fn finding(case: &Case, view: &crate::store::view::FindingView) -> [String; 25] {
    let json = &view.json;
    let number =
        |key: &str| json.get(key).filter(|value| value.is_number()).map(Value::to_string).unwrap_or_default();
    let text = |key: &str| field(json, key).to_owned();
    let ports = json.get("ports").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let rule = json.get("evidence").map(|evidence| field(evidence, "rule")).unwrap_or_default();
    let lane = u32::try_from(view.batch.lane).ok().and_then(sekimori_wire::batch::Lane::from_number);
    [
        case.view.id.clone(),
        text("id"),
        number("revision"),
        view.body.clone(),
        text("category"),
        number("severity"),
        number("confidence"),
        text("time"),
        super::text::time(json, "time").map(japan).unwrap_or_default(),
        text("end"),
        text("originator"),
        text("responder"),
        list(json, "targets").collect::<Vec<_>>().join(" "),
        ports.iter().map(Value::to_string).collect::<Vec<_>>().join(" "),
        text("segment"),
        text("technique"),
        number("count"),
        in_lang(json, "title", "ja"),
        in_lang(json, "title", "en"),
        rule.to_owned(),
        text("excepted_by"),
        view.batch.agent.clone(),
        lane.map(|lane| lane.as_str().to_owned()).unwrap_or_default(),
        view.batch.epoch.to_string(),
        view.batch.seq.to_string(),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_that_would_be_calculated_are_text() {
        for (text, shown) in [
            ("=1+1", "'=1+1"),
            ("+81", "'+81"),
            ("-1", "'-1"),
            ("@SUM(A1)", "'@SUM(A1)"),
            ("\t=1", "'\\u{9}=1"),
            ("\r=1", "'\\u{d}=1"),
            ("  =1", "'  =1"),
            ("＝1", "'＝1"),
            ("|calc", "'|calc"),
            ("a=1", "a=1"),
            ("203.0.113.9", "203.0.113.9"),
            ("x\u{0}y", "x\\u{0}y"),
            ("", ""),
        ] {
            assert_eq!(cell(text), shown, "{text:?}");
        }
        assert!(cell(&"長".repeat(10_000)).len() <= CELL_MAX);
    }
}
