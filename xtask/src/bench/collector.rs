//! `cargo xtask bench collector`: thousands of agents on a real collector, and the highest rate that it keeps its promises at.
//!
//! The agents are a program of their own (`tests/load`): this builds both in release and starts it.

use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, ensure};

use crate::command::{self, cargo};

/// Agents, seconds and time of an acknowledgement in `cargo xtask test`: of builds for development, on a machine that may be
/// busy. How fast it is, a bench tells.
const CHECKED: [&str; 6] = ["--agents", "50", "--seconds", "10", "--within", "10000"];
/// And this: two collectors on PostgreSQL, one killed every few seconds, and the synchronous standby takes over from the server.
const CHECKED_REPLICAS: [&str; 12] = [
    "--agents",
    "50",
    "--seconds",
    "15",
    "--store",
    "postgres",
    "--replicas",
    "2",
    "--kill-every",
    "4",
    "--fail-over-after",
    "7",
];
/// Each takes a number or a name; the program itself says what is wrong with one.
const OPTIONS: [&str; 9] = [
    "--agents",
    "--seconds",
    "--store",
    "--replicas",
    "--rate",
    "--kill-every",
    "--restart-every",
    "--fail-over-after",
    "--within",
];

/// What the command line asks for, or `None` for wrong usage.
pub(crate) fn parse<'a>(words: &[&'a str]) -> Option<Vec<&'a str>> {
    let (pairs, rest) = words.as_chunks::<2>();
    let known = pairs.iter().all(|[option, _]| OPTIONS.contains(option));
    (known && rest.is_empty()).then(|| words.to_vec())
}

/// Builds and runs; whether what is promised was kept.
pub(crate) fn run(root: &Path, words: &[&str]) -> anyhow::Result<bool> {
    let packages = ["--package", "sekimori-collector", "--package", "sekimori-load"];
    command::run(cargo().current_dir(root).args(["build", "--release", "--quiet"]).args(packages))?;
    start(root, "release", words)
}

/// What `cargo xtask test` runs, of the programs that it has built.
pub(crate) fn check(root: &Path) -> anyhow::Result<()> {
    ensure!(start(root, "debug", &CHECKED)?, "a collector under light load does not keep what is promised");
    let survived = start(root, "debug", &CHECKED_REPLICAS)?;
    ensure!(survived, "collectors that are killed, or whose database fails, do not keep what is promised");
    Ok(())
}

fn start(root: &Path, profile: &str, words: &[&str]) -> anyhow::Result<bool> {
    let programs = command::target(root).join(profile);
    let dir = command::target(root).join("bench-collector");
    if dir.exists() {
        std::fs::remove_dir_all(&dir).with_context(|| format!("cannot remove {}", dir.display()))?;
    }
    let mut load = Command::new(programs.join("sekimori-load"));
    load.arg("--collector").arg(programs.join("sekimori-collector")).arg("--dir").arg(&dir).args(words);
    let status = load.stdin(Stdio::null()).status();
    let status = status.with_context(|| format!("cannot start {}", command::show(&load)))?;
    if status.success() {
        // A store of gigabytes is of no use; after a failure it is.
        std::fs::remove_dir_all(&dir).with_context(|| format!("cannot remove {}", dir.display()))?;
    }
    ensure!(status.code() != Some(2), "the load could not be run");
    Ok(status.success())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options() {
        assert_eq!(parse(&[]), Some(vec![]));
        assert_eq!(parse(&["--agents", "5"]), Some(vec!["--agents", "5"]));
        for wrong in [&["--agents"][..], &["--dir", "x"], &["5", "--agents"]] {
            assert_eq!(parse(wrong), None);
        }
    }
}
