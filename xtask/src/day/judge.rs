//! What the agent says of a benign day.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Instant;

use anyhow::Context;
use serde_json::Value;

use crate::command;

/// From this severity on a finding on a benign day is false.
const FALSE_FROM: u64 = 2;
/// So many a day can be borne.
const A_DAY: f64 = 3.0;
/// And none of this severity.
const NEVER: u64 = 3;

/// Replays the capture, counts the findings and says what they are; false if there are too many.
pub(super) fn judge(root: &Path, capture: &Path, hours: u64) -> anyhow::Result<bool> {
    command::run(command::cargo().current_dir(root).args([
        "build",
        "--quiet",
        "--package",
        "sekimori-agent",
    ]))?;
    let agent = command::target(root).join("debug/sekimori-agent");
    let start = Instant::now();
    let mut replay = std::process::Command::new(agent);
    replay.args(["replay", "--quiet", "--format", "findings"]).arg(capture);
    let output = command::output(&mut replay)?;
    println!("replayed in {:.0} s", start.elapsed().as_secs_f64());
    let findings = last_revisions(&output)?;
    let mut kinds: BTreeMap<(u64, &str), Vec<&Value>> = BTreeMap::new();
    for finding in findings.values() {
        let severity = finding.get("severity").and_then(Value::as_u64).unwrap_or_default();
        let category = finding.get("category").and_then(Value::as_str).unwrap_or_default();
        kinds.entry((severity, category)).or_default().push(finding);
    }
    for ((severity, category), of_kind) in kinds.iter().rev() {
        println!("severity {severity}  {category:<24} {}", of_kind.len());
        for finding in of_kind.iter().take(if *severity >= FALSE_FROM { 10 } else { 2 }) {
            println!("    {}", describe(finding));
        }
    }
    let from = |level: u64| {
        kinds.iter().filter(|((severity, _), _)| *severity >= level).map(|(_, all)| all.len()).sum()
    };
    let (wrong, grave): (usize, usize) = (from(FALSE_FROM), from(NEVER));
    let days = f64::from(u32::try_from(hours)?) / 24.0;
    let a_day = f64::from(u32::try_from(wrong)?) / days.max(1.0);
    println!(
        "{wrong} false findings, {a_day:.1} a day (at most {A_DAY}), {grave} of severity {NEVER} or above (none)"
    );
    Ok(a_day <= A_DAY && grave == 0)
}

/// Each finding as it was last told.
fn last_revisions(output: &str) -> anyhow::Result<BTreeMap<String, Value>> {
    let mut findings = BTreeMap::new();
    for line in output.lines() {
        let finding: Value =
            serde_json::from_str(line).context("the agent wrote something that is not JSON")?;
        if let Some(id) = finding.get("id").and_then(Value::as_str) {
            findings.insert(id.to_owned(), finding);
        }
    }
    Ok(findings)
}

fn describe(finding: &Value) -> String {
    let text = |key: &str| finding.get(key).map_or_else(|| "-".to_owned(), plain);
    let evidence = finding.pointer("/evidence/inputs").map_or_else(String::new, Value::to_string);
    let title = finding.pointer("/title/en").and_then(Value::as_str).unwrap_or_default();
    format!("{} {} -> {}: {title} {evidence}", text("time"), text("originator"), text("responder"))
}

fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_finding_counts_once() {
        let lines =
            "{\"id\":\"a\",\"severity\":1}\n{\"id\":\"a\",\"severity\":2}\n{\"id\":\"b\",\"severity\":1}\n";
        let findings = last_revisions(lines).unwrap();
        assert_eq!((findings.len(), findings["a"]["severity"].as_u64()), (2, Some(2)));
    }
}
