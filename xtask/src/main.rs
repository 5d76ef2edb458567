//! The project's own commands. `cargo xtask` without arguments says what there is.
//!
//! Depends on no crate of the workspace and on little else, so that it is there within seconds of a fresh clone and can
//! install what the others need to build.
#![forbid(unsafe_code)]
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a command line tool talks to its terminal")]

mod bench;
mod catchup;
mod check;
mod command;
mod conformance;
mod day;
mod demo;
mod dist;
mod fuzz;
mod install;
mod kills;
mod packages;
mod pcaps;
mod reference;
mod screenshots;
mod sim;
mod soak;
mod stage;
mod tidy;

use std::process::ExitCode;

const USAGE: &str = "\
cargo xtask <command>

  demo [--once] [--port-base N]
                    build, start a collector and three agents, replay pcaps/demo, show the incidents; until Ctrl-C
  test              install what the tests need and run every test
  ci                fmt, tidy, clippy, doc, test, instructions: everything that must hold before a change is done
  conformance [--only REFERENCE] [--type TYPE] [--path PART] [--agent FILE] [-v]
                    what is read of the corpora's captures, value by value against other tools (SEKIMORI_CORPORA)
  fuzz [--minutes N] [--only PART]
                    every parser's fuzz target for N minutes, from the corpus that earlier runs left
  sim [--runs N] [--seed S] [--mistake M]
                    delivery under simulated disks, networks and clocks: on from the last seed, or one seed; a mistake must be found
  kills [--runs N]  kill -9 of agent and collector under load, N times; then every alert is there once
  soak [--minutes N]
                    agent and collector under mixed traffic for N minutes, a restart in the middle: memory, descriptors, threads
                    and drops, with tests/soak.tsv
  catchup [--hours N]
                    a collector away for a week of event time, then back: order, rate and memory, with tests/catchup.tsv
  bench [--peers] [--rounds N] [--packets N] [--file PCAP]... [--only NAME]... [--agent FILE] [--json FILE] [--check]
                    what a packet costs in replay, beside the peers that are installed (--peers installs them)
  bench --live [--file PCAP]...
                    the highest rate without loss between two network namespaces (root)
  bench --flood [--packets N] [--agent FILE]
  bench --instructions | --layers
                    instructions per packet under callgrind, held against xtask/instructions.tsv; or by layer
  bench collector [--agents N] [--seconds S] [--rate R] [--kill-every S] [--restart-every S] [--fail-over-after S] [--store sqlite|postgres] [--replicas R]
                    N agents on a real collector; with --rate R batches a second more each S seconds until a promise breaks
  bench store [--store sqlite|postgres]
                    searches over a million flow summaries and pages of 100,000 incidents, with tests/search.tsv
  tidy              the rules of this project that no compiler checks
  pcaps [--record [PART]]
                    make every seeded file of pcaps/, or record those of real tools (root, network namespaces)
  day [--hours N] [--from HOUR] [--hosts N] [--seed N] [--output FILE] [--judge]
                    a benign day of a town hall as a capture (under target/), and whether the agent cries wolf on it
  dist [--check | --dev]
                    packages (.deb, .rpm) of both programs with bills of materials and checksums, in target/dist;
                    --check builds twice and compares; --dev packs what was built for development
  screenshots       pictures of the console's main pages with the demo's data, in docs/screenshots
  install-test      both packages in a fresh Debian of their own: install, enrol, run, upgrade, remove, purge, with
                    tests/install.tsv (root; apt-get and debootstrap reach out)
  reference         docs/configuration.md, of the annotated examples of both programs
  doctor-dev        what is installed, what is missing, and how to get it
";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match dispatch(&arguments) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn dispatch(arguments: &[String]) -> anyhow::Result<ExitCode> {
    let root = command::root()?;
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["demo", rest @ ..] => match demo::Options::parse(rest) {
            Some(options) => demo::run(&root, options)?,
            None => return Ok(usage()),
        },
        ["test"] => check::test(&root)?,
        ["ci"] => check::ci(&root)?,
        ["screenshots"] => screenshots::run(&root)?,
        ["conformance", rest @ ..] => {
            return judged(conformance::Options::parse(rest), |options| conformance::run(&root, &options));
        }
        ["fuzz", rest @ ..] => {
            return judged(fuzz::Options::parse(rest), |options| fuzz::run(&root, &options));
        }
        ["sim", rest @ ..] => return judged(sim::Options::parse(rest), |options| sim::run(&root, &options)),
        ["kills", rest @ ..] => {
            return judged(kills::Options::parse(rest), |options| kills::run(&root, &options));
        }
        ["soak", rest @ ..] => {
            return judged(soak::Options::parse(rest), |options| soak::run(&root, &options));
        }
        ["catchup", rest @ ..] => {
            return judged(catchup::Options::parse(rest), |options| catchup::run(&root, &options));
        }
        ["day", rest @ ..] => return judged(day::Options::parse(rest), |options| day::run(&root, &options)),
        ["bench", "collector", rest @ ..] => {
            return judged(bench::collector::parse(rest), |words| bench::collector::run(&root, &words));
        }
        ["bench", "store", rest @ ..] => {
            return judged(bench::store::parse(rest), |which| bench::store::run(&root, which));
        }
        ["bench", rest @ ..] => {
            return judged(bench::Options::parse(rest), |options| bench::run(&root, &options));
        }
        ["dist", rest @ ..] => match dist::Options::parse(rest) {
            Some(options) => dist::run(&root, options)?,
            None => return Ok(usage()),
        },
        ["install-test"] => packages::test(&root)?,
        ["reference"] => reference::write(&root)?,
        ["tidy"] => tidy::check(&root)?,
        ["pcaps"] => pcaps::write(&root)?,
        ["pcaps", "--record"] => pcaps::record::all(&root, "")?,
        ["pcaps", "--record", part] => pcaps::record::all(&root, part)?,
        ["doctor-dev"] => install::doctor()?,
        ["help" | "--help" | "-h"] => print!("{USAGE}"),
        _ => return Ok(usage()),
    }
    Ok(ExitCode::SUCCESS)
}

/// Runs what was asked for; the exit status says whether all that it looks at holds.
fn judged<T>(options: Option<T>, run: impl FnOnce(T) -> anyhow::Result<bool>) -> anyhow::Result<ExitCode> {
    let Some(options) = options else { return Ok(usage()) };
    Ok(if run(options)? { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Says what there is; the exit status of wrong usage.
fn usage() -> ExitCode {
    eprint!("{USAGE}");
    ExitCode::from(2)
}
