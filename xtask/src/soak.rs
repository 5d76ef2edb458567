//! `cargo xtask soak`: agent and collector under mixed traffic for an hour or as long as one asks, a restart in the middle; a
//! dated result file says what they held at the end and how that grew.
//!
//! It is an end-to-end test (`tests/it/soak.rs`), which the other tests run for half a minute. Here it is built in release; it goes in portions of an
//! hour, each with its line: what was interrupted is gone on with by asking for the portions that are left.

use std::path::Path;
use std::process::Stdio;

use anyhow::Context;

use crate::command::{self, cargo};

/// When, of which commit, how long, and how it went.
const RESULTS: &str = "tests/soak.tsv";
const HEAD: &str = "date\tcommit\tminutes\tfigures\n";
/// Minutes of a portion.
const PORTION: u64 = 60;

/// What the command line asks for.
#[derive(Debug)]
pub(crate) struct Options {
    minutes: u64,
}

impl Options {
    /// `None` for wrong usage.
    pub(crate) fn parse(words: &[&str]) -> Option<Self> {
        match words {
            [] => Some(Self { minutes: PORTION }),
            ["--minutes", minutes] => {
                Some(Self { minutes: minutes.parse().ok().filter(|minutes| *minutes > 0)? })
            }
            _ => None,
        }
    }
}

/// Runs; whether all was flat and nothing was lost.
pub(crate) fn run(root: &Path, options: &Options) -> anyhow::Result<bool> {
    let programs = ["--package", "sekimori-agent", "--package", "sekimori-collector", "--bins"];
    command::run(cargo().current_dir(root).args(["build", "--release", "--quiet"]).args(programs))?;
    let mut left = options.minutes;
    while left > 0 {
        let minutes = PORTION.min(left);
        let mut test = cargo();
        test.current_dir(root).args([
            "test",
            "--release",
            "--quiet",
            "--package",
            "sekimori-tests",
            "--test",
            "it",
        ]);
        test.args(["--", "soak::", "--nocapture"]).env("SEKIMORI_SOAK_MINUTES", minutes.to_string());
        let done =
            test.stdin(Stdio::null()).stderr(Stdio::inherit()).output().context("cannot start cargo")?;
        let said = String::from_utf8_lossy(&done.stdout);
        print!("{said}");
        let figures = said.lines().find_map(|line| line.split_once("soak: ").map(|(_, figures)| figures));
        if let Some(figures) = figures {
            record(root, minutes, done.status.success(), figures)?;
        }
        if !done.status.success() {
            return Ok(false);
        }
        figures.context("the run ended without its closing line")?;
        left -= minutes;
    }
    Ok(true)
}

fn record(root: &Path, minutes: u64, held: bool, figures: &str) -> anyhow::Result<()> {
    let path = root.join(RESULTS);
    let known = std::fs::read_to_string(&path).unwrap_or_else(|_| HEAD.to_owned());
    let verdict = if held { "held" } else { "BROKEN" };
    let line =
        format!("{}\t{}\t{minutes}\t{figures}; {verdict}\n", command::today()?, command::commit(root)?);
    std::fs::write(&path, known + &line).with_context(|| format!("cannot write {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options() {
        assert_eq!(Options::parse(&[]).map(|options| options.minutes), Some(60));
        assert_eq!(Options::parse(&["--minutes", "90"]).map(|options| options.minutes), Some(90));
        for wrong in [&["--minutes"][..], &["--minutes", "0"], &["90"]] {
            assert!(Options::parse(wrong).is_none(), "{wrong:?}");
        }
    }
}
