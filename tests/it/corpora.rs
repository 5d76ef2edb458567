//! The program on every real capture of `SEKIMORI_CORPORA`: whatever is in them, it ends and says what it could not read; and
//! on those with labels, how well it finds what is in them.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::support::{program, run_ok, said};

/// Of the labelled attacks, this share is found.
const RECALL: f64 = 0.95;
/// And this share of each category with five labels or more.
const RECALL_OF_A_CATEGORY: f64 = 0.8;
/// Of the benign captures, so many in a hundred may have a false finding.
const DISTURBED_PERCENT: f64 = 2.0;

fn files(folder: &Path, out: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap_or_else(|cause| panic!("{}: {cause}", folder.display())) {
        let path = entry.expect("an entry").path();
        if path.is_dir() { files(&path, out) } else { out.push(path) }
    }
}

#[expect(clippy::print_stdout, reason = "a test that is skipped says so")]
pub(crate) fn corpora() -> Option<PathBuf> {
    let folder = std::env::var_os("SEKIMORI_CORPORA").map(PathBuf::from);
    if folder.is_none() {
        println!("SKIPPED: SEKIMORI_CORPORA does not name the folder of captures");
    }
    folder
}

#[test]
fn labelled_attacks_are_found_and_benign_captures_stay_silent() {
    let Some(corpora) = corpora() else { return };
    let mut command = Command::new(program("sekimori-agent"));
    let judged = run_ok(command.args(["evaluate", "--json"]).arg(corpora.join("TRUTH.tsv")));
    let score: Value = serde_json::from_str(&judged).expect("JSON");
    let overall = &score["overall"];
    let recall = overall["recall"].as_f64().expect("a share");
    let benign = &score["benign"];
    let disturbed = 100.0 * benign["with_false_findings"].as_f64().expect("a count")
        / benign["captures"].as_f64().expect("a count");
    println!("recall {recall:.3}, benign captures with false findings {disturbed:.1} %: {overall}");
    let mut problems = Vec::new();
    if recall < RECALL {
        problems.push(format!("recall {recall:.3}"));
    }
    if disturbed > DISTURBED_PERCENT {
        problems.push(format!("{disturbed:.1} % of the benign captures have false findings"));
    }
    for (category, figures) in score["categories"].as_object().expect("an object") {
        let labels = figures["labels"].as_u64().expect("a count");
        if labels >= 5 && figures["recall"].as_f64() < Some(RECALL_OF_A_CATEGORY) {
            problems.push(format!("{category}: {figures}"));
        }
    }
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}

#[test]
fn findings_are_the_same_for_any_number_of_workers() {
    let Some(corpora) = corpora() else { return };
    let mut captures = Vec::new();
    for kind in ["attack", "benign"] {
        files(&corpora.join(kind), &mut captures);
    }
    let mut differ = Vec::new();
    for capture in captures {
        let findings = |workers: &str| {
            let mut command = Command::new(program("sekimori-agent"));
            command.args(["replay", "--quiet", "--format", "findings", "--workers", workers]);
            // Some captures are damaged at the end: what they give first must be the same.
            command.arg(&capture).output().expect("the agent starts").stdout
        };
        let one = findings("1");
        differ.extend(
            ["2", "4", "8"]
                .into_iter()
                .filter(|workers| findings(workers) != one)
                .map(|workers| format!("{} with {workers} workers", capture.display())),
        );
    }
    assert!(differ.is_empty(), "{}", differ.join("\n"));
}

#[test]
fn every_real_capture_ends_without_a_panic() {
    let Some(corpora) = corpora() else { return };
    let mut captures = Vec::new();
    for kind in ["attack", "benign", "malformed", "formats", "protocol"] {
        files(&corpora.join(kind), &mut captures);
    }
    assert!(captures.len() > 100, "{} captures in {}", captures.len(), corpora.display());
    let mut problems = Vec::new();
    for capture in captures {
        let mut command = Command::new(program("sekimori-agent"));
        let output =
            command.args(["replay", "--format", "table"]).arg(&capture).output().expect("the agent starts");
        let name = capture.file_name().expect("a file").to_string_lossy().into_owned();
        let fine = match output.status.code() {
            // What was not looked at stands in the report, by reason.
            Some(0) => String::from_utf8_lossy(&output.stdout).contains("frames"),
            // Damaged, or a format that is not read: an error that names the file.
            Some(1) => String::from_utf8_lossy(&output.stderr).contains(&name),
            Some(_) | None => false,
        };
        if !fine || said(&output).contains("panicked") {
            problems.push(format!("{}: {}: {}", capture.display(), output.status, said(&output)));
        }
    }
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}
