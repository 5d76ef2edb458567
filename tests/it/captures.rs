//! Every capture of `pcaps/` gives what stands beside it: each detector's positives fire, its near-misses stay silent.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::support::{program, run_ok};

fn captures() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../pcaps");
    let folders = std::fs::read_dir(&root).expect("pcaps/").map(|entry| entry.expect("an entry").path());
    let mut out: Vec<PathBuf> = folders
        .filter(|folder| folder.is_dir())
        .flat_map(|folder| {
            std::fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").path())
        })
        .filter(|path| path.extension().is_some_and(|kind| kind == "pcap"))
        .collect();
    out.sort();
    assert!(out.len() >= 20, "pcaps/ is not complete: {out:?}");
    out
}

fn findings(capture: &Path, expected: &Value) -> Vec<Value> {
    let mut command = Command::new(program("sekimori-agent"));
    command.args(["replay", "--quiet", "--format", "findings"]);
    if let Some(config) = expected["config"].as_str() {
        command.arg("--config").arg(capture.with_file_name(config));
    }
    let first = run_ok(command.arg(capture));
    assert_eq!(run_ok(&mut command), first, "{}: same capture, same bytes", capture.display());
    let several = run_ok(command.args(["--workers", "3"]));
    assert_eq!(several, first, "{}: whoever observed it", capture.display());
    first.lines().map(|line| serde_json::from_str(line).expect("a finding a line")).collect()
}

#[test]
fn every_capture_gives_what_stands_beside_it() {
    let mut problems = Vec::new();
    for capture in captures() {
        let name = capture.with_extension("expected.json");
        let text =
            std::fs::read_to_string(&name).unwrap_or_else(|cause| panic!("{}: {cause}", name.display()));
        let expected: Value = serde_json::from_str(&text).expect("JSON");
        let found = findings(&capture, &expected);
        for one in expected["expect"].as_array().expect("a list") {
            let fits = |finding: &Value| {
                one.as_object().expect("an object").iter().all(|(key, value)| &finding[key] == value)
            };
            if !found.iter().any(fits) {
                problems.push(format!("{}: not found: {one}", capture.display()));
            }
        }
        let forbidden = expected["forbid_severity_from"].as_u64().unwrap_or(u64::MAX);
        for finding in &found {
            if finding["severity"].as_u64() >= Some(forbidden) {
                problems.push(format!("{}: false finding: {finding}", capture.display()));
            }
            for key in ["rule", "formula"] {
                assert_ne!(finding["evidence"][key], "", "{finding} says why");
            }
            assert!(!finding["evidence"]["inputs"].as_object().expect("inputs").is_empty(), "{finding}");
            for lang in ["ja", "en"] {
                assert_ne!(finding["title"][lang], "", "{finding}");
                assert_ne!(finding["explanation"][lang], "", "{finding}");
            }
        }
    }
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}
