//! `cargo xtask kills`: `kill -9` of the real agent and collector under load, at moments that chance picks; a dated result
//! file says how many and what came of it.
//!
//! The storm is an end-to-end test (`tests/it/kills.rs`), which the other tests run with a handful of kills; this starts it
//! with as many as one asks for, a portion at a time.

use std::path::Path;
use std::process::Stdio;

use anyhow::Context;

use crate::command::{self, cargo};

/// What was run, when, of which commit, and how it went.
const RESULTS: &str = "tests/kills.tsv";
const HEAD: &str = "date\tcommit\tkills\tfigures\n";
/// Kills of one storm, which ends with a count.
const PORTION: u64 = 100;

/// What the command line asks for.
#[derive(Debug)]
pub(crate) struct Options {
    kills: u64,
}

impl Options {
    /// `None` for wrong usage.
    pub(crate) fn parse(words: &[&str]) -> Option<Self> {
        match words {
            [] => Some(Self { kills: PORTION }),
            ["--runs", kills] => Some(Self { kills: kills.parse().ok().filter(|kills| *kills > 0)? }),
            _ => None,
        }
    }
}

/// Runs; whether nothing was lost and nothing is there twice.
pub(crate) fn run(root: &Path, options: &Options) -> anyhow::Result<bool> {
    let programs =
        ["build", "--quiet", "--package", "sekimori-agent", "--package", "sekimori-collector", "--bins"];
    command::run(cargo().current_dir(root).args(programs))?;
    let mut left = options.kills;
    while left > 0 {
        let kills = PORTION.min(left);
        let mut test = cargo();
        test.current_dir(root).args(["test", "--quiet", "--package", "sekimori-tests", "--test", "it", "--"]);
        test.args(["kills::", "--nocapture"]).env("SEKIMORI_KILLS", kills.to_string());
        let done =
            test.stdin(Stdio::null()).stderr(Stdio::inherit()).output().context("cannot start cargo")?;
        let said = String::from_utf8_lossy(&done.stdout);
        print!("{said}");
        if !done.status.success() {
            return Ok(false);
        }
        let figures = said.lines().find_map(|line| line.split_once("kills: ").map(|(_, figures)| figures));
        let figures = figures.context("the storm ended without its closing line")?;
        record(root, kills, figures)?;
        left -= kills;
    }
    Ok(true)
}

fn record(root: &Path, kills: u64, figures: &str) -> anyhow::Result<()> {
    let path = root.join(RESULTS);
    let known = std::fs::read_to_string(&path).unwrap_or_else(|_| HEAD.to_owned());
    let line = format!("{}\t{}\t{kills}\t{figures}\n", command::today()?, command::commit(root)?);
    Ok(std::fs::write(path, known + &line)?)
}
