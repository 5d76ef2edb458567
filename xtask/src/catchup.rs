//! `cargo xtask catchup`: a collector that is away for a week of event time, then back; a dated result file says how fast it
//! had everything, and in how much memory.
//!
//! It is an end-to-end test (`tests/it/catchup.rs`), which the other tests run with a few hours.

use std::path::Path;
use std::process::Stdio;

use anyhow::Context;

use crate::command::{self, cargo};

/// What was run, when, of which commit, and how it went.
const RESULTS: &str = "tests/catchup.tsv";
const HEAD: &str = "date\tcommit\thours\tfigures\n";
const WEEK_HOURS: u64 = 168;

/// What the command line asks for.
#[derive(Debug)]
pub(crate) struct Options {
    hours: u64,
}

impl Options {
    /// `None` for wrong usage.
    pub(crate) fn parse(words: &[&str]) -> Option<Self> {
        match words {
            [] => Some(Self { hours: WEEK_HOURS }),
            ["--hours", hours] => Some(Self { hours: hours.parse().ok().filter(|hours| *hours > 0)? }),
            _ => None,
        }
    }
}

/// Runs; whether everything arrived as it should.
pub(crate) fn run(root: &Path, options: &Options) -> anyhow::Result<bool> {
    let programs =
        ["build", "--quiet", "--package", "sekimori-agent", "--package", "sekimori-collector", "--bins"];
    command::run(cargo().current_dir(root).args(programs))?;
    let mut test = cargo();
    test.current_dir(root).args(["test", "--quiet", "--package", "sekimori-tests", "--test", "it", "--"]);
    test.args(["catchup::", "--nocapture"]).env("SEKIMORI_CATCHUP_HOURS", options.hours.to_string());
    let done = test.stdin(Stdio::null()).stderr(Stdio::inherit()).output().context("cannot start cargo")?;
    let said = String::from_utf8_lossy(&done.stdout);
    print!("{said}");
    if !done.status.success() {
        return Ok(false);
    }
    let figures = said.lines().find_map(|line| line.split_once("catchup: ").map(|(_, figures)| figures));
    let figures = figures.context("the run ended without its closing line")?;
    let path = root.join(RESULTS);
    let known = std::fs::read_to_string(&path).unwrap_or_else(|_| HEAD.to_owned());
    let (date, commit) = (command::today()?, command::commit(root)?);
    std::fs::write(path, known + &format!("{date}\t{commit}\t{}\t{figures}\n", options.hours))?;
    Ok(true)
}
