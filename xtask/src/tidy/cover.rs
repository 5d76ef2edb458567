//! Rules about what belongs together: counters with their use, categories with their document and captures, the wire
//! format's document with the contract it describes.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use crate::command;

/// Lines of a macro's list: the identifier and the quoted name after it.
fn entries<'a>(text: &'a str, list: &str) -> Vec<(&'a str, &'a str)> {
    let start = format!("\n{list}! {{");
    let Some((_before, after)) = text.split_once(&start) else { return Vec::new() };
    let lines = after.lines().skip(1).take_while(|line| !line.starts_with('}'));
    lines
        .filter_map(|line| {
            let (variant, rest) = line.trim().split_once(" \"")?;
            Some((variant, rest.split_once('"')?.0))
        })
        .collect()
}

/// Every counter is counted somewhere.
pub(crate) fn counters(list: &str, code: &str) -> Vec<String> {
    let all = entries(list, "counters");
    if all.is_empty() {
        return vec!["agent/sensor/src/counters.rs: no counter found".to_owned()];
    }
    let used = |variant: &str| {
        let name = format!("Counter::{variant}");
        code.match_indices(&name).any(|(at, _found)| {
            let after = code.get(at + name.len()..).and_then(|after| after.chars().next());
            !after.is_some_and(char::is_alphanumeric)
        })
    };
    let unused = all.iter().filter(|(variant, _name)| !used(variant));
    unused.map(|(variant, name)| format!("counter `{variant}` ({name}) is never counted")).collect()
}

/// Every category has its document, a capture that must fire and a near-miss; every capture has its expectation.
pub(crate) fn categories(finding: &str, names: &BTreeSet<&str>) -> Vec<String> {
    let mut out = Vec::new();
    let all = entries(finding, "categories");
    if all.is_empty() {
        out.push("agent/wire/src/finding.rs: no category found".to_owned());
    }
    for (_variant, id) in all {
        let document = format!("docs/detectors/{id}.md");
        if !names.contains(document.as_str()) {
            out.push(format!("category {id}: there is no {document}"));
        }
        for kind in ["positive", "benign"] {
            let start = format!("pcaps/{id}/{kind}-");
            if !names.iter().any(|name| name.starts_with(&start) && name.ends_with(".pcap")) {
                out.push(format!("category {id}: there is no {start}*.pcap"));
            }
        }
    }
    for capture in names.iter().filter(|name| name.starts_with("pcaps/") && name.ends_with(".pcap")) {
        let expected = capture.replace(".pcap", ".expected.json");
        if !names.contains(expected.as_str()) {
            out.push(format!("{capture}: there is no {expected}"));
        }
    }
    out
}

/// The document of the wire format carries the digest of the contract it was written for.
pub(crate) fn wire_digest(root: &Path, document: &str) -> anyhow::Result<Vec<String>> {
    let contract = "agent/wire/proto/sekimori.proto";
    let said = command::output(Command::new("sha256sum").current_dir(root).arg(contract))?;
    let digest = said.split_whitespace().next().unwrap_or_default();
    if digest.len() == 64 && document.contains(digest) {
        return Ok(Vec::new());
    }
    Ok(vec![format!("docs/wire-format.md: does not carry {digest}: read it against {contract}, then say so")])
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIST: &str =
        "macro_rules! x {}\ncounters! {\n    Frames \"frames\" \"A.\",\n    Bytes \"bytes\" \"B.\",\n}\n";

    #[test]
    fn a_counter_must_be_counted() {
        assert_eq!(entries(LIST, "counters"), [("Frames", "frames"), ("Bytes", "bytes")]);
        assert!(counters(LIST, "count(Counter::Frames); add(Counter::Bytes, 2)").is_empty());
        assert_eq!(counters(LIST, "count(Counter::Frames); Counter::BytesSeen").len(), 1);
        assert_eq!(counters("", "").len(), 1);
    }

    #[test]
    fn a_category_must_have_its_document_and_captures() {
        let finding = "\ncategories! {\n    ScanPort \"scan.port\" \"T1046\" 1 \"Ports.\",\n}\n";
        let mut names = BTreeSet::from(["docs/detectors/scan.port.md", "pcaps/scan.port/positive-a.pcap"]);
        names.insert("pcaps/scan.port/positive-a.expected.json");
        assert_eq!(
            categories(finding, &names),
            ["category scan.port: there is no pcaps/scan.port/benign-*.pcap"]
        );
        names.insert("pcaps/scan.port/benign-b.pcap");
        assert_eq!(categories(finding, &names).len(), 1, "the expectation is missing");
        names.insert("pcaps/scan.port/benign-b.expected.json");
        assert!(categories(finding, &names).is_empty());
    }
}
