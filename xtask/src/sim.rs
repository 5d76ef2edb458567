//! `cargo xtask sim`: simulated runs of delivery, from the seed where the last ones ended; a dated result file says which.
//!
//! The simulation is a program of its own (`tests/sim`): this builds and starts it, a portion of seeds at a time, so that
//! what was run is written down wherever it is interrupted.

use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, ensure};

use crate::command::{self, cargo};

/// What was run, when, of which commit, and how it went.
const RESULTS: &str = "tests/sim/results.tsv";
const HEAD: &str = "date\tcommit\tfirst seed\tlast seed\truns\tviolations\tfigures\n";
/// Seeds of one line of the result file.
const PORTION: u64 = 250;
/// Runs in `cargo xtask test`, always the same.
const CI_RUNS: u64 = 200;

/// What the command line asks for.
#[derive(Debug)]
pub(crate) struct Options {
    runs: u64,
    /// The first; else the one after the last of the result file.
    seed: Option<u64>,
    mistake: Option<String>,
}

impl Options {
    /// `None` for wrong usage.
    pub(crate) fn parse(words: &[&str]) -> Option<Self> {
        let mut options = Self { runs: 0, seed: None, mistake: None };
        let mut rest = words.iter();
        while let Some(word) = rest.next() {
            match *word {
                "--runs" => options.runs = rest.next()?.parse().ok().filter(|runs| *runs > 0)?,
                "--seed" => options.seed = Some(rest.next()?.parse().ok()?),
                "--mistake" => options.mistake = Some((*rest.next()?).to_owned()),
                _ => return None,
            }
        }
        if options.runs == 0 {
            // One seed is there to be looked at; without one, a few hundred.
            options.runs = if options.seed.is_some() { 1 } else { PORTION };
        }
        Some(options)
    }
}

/// Runs; whether nothing was violated.
pub(crate) fn run(root: &Path, options: &Options) -> anyhow::Result<bool> {
    command::run(cargo().current_dir(root).args(["build", "--quiet", "--package", "sekimori-sim"]))?;
    let path = root.join(RESULTS);
    let known = std::fs::read_to_string(&path).unwrap_or_else(|_| HEAD.to_owned());
    // Single seeds and mistakes are looked at; what counts is what goes on from the last seed.
    let counts = options.mistake.is_none() && options.seed.is_none();
    let mut first = options.seed.unwrap_or_else(|| if counts { next_seed(&known) } else { 1 });
    let last = first + options.runs - 1;
    let mut good = true;
    while first <= last {
        let runs = PORTION.min(last - first + 1);
        let (ok, line) = portion(root, first, runs, options.mistake.as_deref())?;
        good &= ok;
        if counts {
            record(root, &path, &line)?;
        }
        first += runs;
    }
    Ok(good)
}

/// What `cargo xtask test` runs, of the program that it has built.
pub(crate) fn check(root: &Path) -> anyhow::Result<()> {
    ensure!(portion(root, 1, CI_RUNS, None)?.0, "a simulated run of delivery violates what must hold");
    Ok(())
}

/// Starts the program; its verdict and its closing line. What it says is passed on.
fn portion(root: &Path, first: u64, runs: u64, mistake: Option<&str>) -> anyhow::Result<(bool, String)> {
    let program = command::target(root).join("debug/sekimori-sim");
    let mut sim = Command::new(&program);
    sim.args(["--seed", &first.to_string(), "--runs", &runs.to_string()]);
    if let Some(mistake) = mistake {
        sim.args(["--mistake", mistake]);
    }
    let done = sim
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .with_context(|| format!("cannot start {}", program.display()))?;
    let said = String::from_utf8_lossy(&done.stdout);
    print!("{said}");
    let line = said.lines().last().filter(|line| line.starts_with("sim: "));
    // A mistake that is found ends with a closing line too; what ends without one failed by itself.
    Ok((done.status.success(), line.context("the simulation ended without its closing line")?.to_owned()))
}

/// The seed after the last that counts.
fn next_seed(results: &str) -> u64 {
    let lasts = results.lines().skip(1).filter_map(|line| line.split('\t').nth(3)?.parse::<u64>().ok());
    lasts.max().unwrap_or(0) + 1
}

/// A closing line as a line of the result file.
fn entry(date: &str, commit: &str, closing: &str) -> Option<String> {
    let (head, figures) = closing.strip_prefix("sim: seeds ")?.split_once("; ")?;
    let mut parts = head.split(", ");
    let (first, last) = parts.next()?.split_once('-')?;
    let runs = parts.next()?.strip_suffix(" runs")?;
    let violations = parts.next()?.strip_suffix(" violations")?;
    Some(format!("{date}\t{commit}\t{first}\t{last}\t{runs}\t{violations}\t{figures}\n"))
}

fn record(root: &Path, path: &Path, closing: &str) -> anyhow::Result<()> {
    let entry = entry(&command::today()?, &command::commit(root)?, closing).context("a closing line")?;
    let known = std::fs::read_to_string(path).unwrap_or_else(|_| HEAD.to_owned());
    Ok(std::fs::write(path, known + &entry)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn goes_on_where_the_last_runs_ended() {
        assert_eq!(next_seed(HEAD), 1);
        let closing = "sim: seeds 1-250, 250 runs, 0 violations, 93 s; 7 batches, 1 crashes";
        let line = entry("2026-11-22", "abc", closing).unwrap();
        assert_eq!(line, "2026-11-22\tabc\t1\t250\t250\t0\t7 batches, 1 crashes\n");
        assert_eq!(next_seed(&format!("{HEAD}{line}")), 251);
    }
}
