//! A benign morning of a small town hall, made as `cargo xtask day` makes it: nobody is woken.

use std::process::Command;

use serde_json::Value;

use crate::support::{program, run_ok};

/// From this severity on a finding on a benign day is false. Three a day can be borne, so within three hours none.
const FALSE_FROM: u64 = 2;

#[test]
fn a_benign_morning_has_no_false_findings() {
    let folder = tempfile::tempdir().expect("a folder");
    let capture = folder.path().join("day.pcap");
    let mut make = Command::new(program("xtask"));
    run_ok(make.args(["day", "--hours", "3", "--hosts", "15", "--output"]).arg(&capture));
    let size = std::fs::metadata(&capture).expect("the capture").len();
    assert!(size > 20 << 20, "a morning of {size} bytes shows nothing");
    let mut replay = Command::new(program("sekimori-agent"));
    let found = run_ok(replay.args(["replay", "--quiet", "--format", "findings"]).arg(&capture));
    let all: Vec<Value> = found.lines().map(|line| serde_json::from_str(line).expect("a finding")).collect();
    assert!(!all.is_empty(), "who works has something of severity 0 or 1 told of him");
    let wrong: Vec<&Value> = all.iter().filter(|one| one["severity"].as_u64() >= Some(FALSE_FROM)).collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
}
