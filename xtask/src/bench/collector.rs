//! `cargo xtask bench collector`: thousands of agents on a real collector, and the highest rate that it keeps its promises at.
//!
//! The agents are a program of their own (`tests/load`): this builds both in release, starts it, and keeps its closing line in
//! `tests/load.tsv`.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, ensure};

use crate::command::{self, cargo};

/// When, of which commit, with which options, and the closing line.
const RESULTS: &str = "tests/load.tsv";
const HEAD: &str = "date\tcommit\toptions\tfigures\n";
/// What each line of the load begins with.
const MARK: &str = "load: ";
/// Agents, seconds and time of an acknowledgement in `cargo xtask test`: of builds for development, on a machine that may be
/// busy. How fast it is, a bench tells.
const CHECKED: [&str; 6] = ["--agents", "50", "--seconds", "10", "--within", "10000"];
/// And this: two collectors on PostgreSQL, one killed every few seconds, and the synchronous standby takes over from the server.
const CHECKED_REPLICAS: [&str; 12] = [
    "--agents",
    "150",
    "--seconds",
    "20",
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
    let (is_good, closing) = start(root, "release", words)?;
    let path = root.join(RESULTS);
    let mut known = std::fs::read_to_string(&path).unwrap_or_else(|_| HEAD.to_owned());
    let (date, commit) = (command::today()?, command::commit(root)?);
    known.push_str(&format!("{date}\t{commit}\t{}\t{closing}\n", words.join(" ")));
    std::fs::write(&path, known).with_context(|| format!("cannot write {}", path.display()))?;
    Ok(is_good)
}

/// What `cargo xtask test` runs, of the programs that it has built.
pub(crate) fn check(root: &Path) -> anyhow::Result<()> {
    ensure!(start(root, "debug", &CHECKED)?.0, "a collector under light load does not keep what is promised");
    let (survived, _) = start(root, "debug", &CHECKED_REPLICAS)?;
    ensure!(survived, "collectors that are killed, or whose database fails, do not keep what is promised");
    Ok(())
}

/// Whether all was kept, and the closing line.
fn start(root: &Path, profile: &str, words: &[&str]) -> anyhow::Result<(bool, String)> {
    let programs = command::target(root).join(profile);
    let dir = command::target(root).join("bench-collector");
    if dir.exists() {
        std::fs::remove_dir_all(&dir).with_context(|| format!("cannot remove {}", dir.display()))?;
    }
    let mut load = Command::new(programs.join("sekimori-load"));
    load.arg("--collector").arg(programs.join("sekimori-collector")).arg("--dir").arg(&dir).args(words);
    load.stdin(Stdio::null()).stdout(Stdio::piped());
    let mut running = load.spawn().with_context(|| format!("cannot start {}", command::show(&load)))?;
    let mut closing = String::new();
    for line in running.stdout.take().map(BufReader::new).into_iter().flat_map(BufReader::lines) {
        let line = line.context("cannot read what the load says")?;
        println!("{line}");
        if let Some(said) = line.strip_prefix(MARK) {
            said.clone_into(&mut closing);
        }
    }
    let status = running.wait().context("cannot wait for the load")?;
    if status.success() {
        // A store of gigabytes is of no use; after a failure it is.
        std::fs::remove_dir_all(&dir).with_context(|| format!("cannot remove {}", dir.display()))?;
    }
    ensure!(status.code() != Some(2), "the load could not be run");
    Ok((status.success(), closing))
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
