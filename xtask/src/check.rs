//! `cargo xtask test` and `cargo xtask ci`.

use std::path::Path;
use std::process::Command;
use std::time::Instant;

use anyhow::{Context, ensure};

use crate::bench;
use crate::command::{self, cargo};
use crate::conformance;
use crate::install::{self, Purpose};
use crate::sim;
use crate::tidy;

/// Installs what the tests need, builds the programs that they run, and runs every test.
pub(crate) fn test(root: &Path) -> anyhow::Result<()> {
    install::ensure(Purpose::Test)?;
    let runner = root_runner()?;
    for mut step in test_commands(command::is_there("cargo-nextest")) {
        command::run(step.current_dir(root).envs(runner.clone()))?;
    }
    sim::check(root)?;
    bench::collector::check(root)?;
    // A test runner hides what a passing test prints: say it where it is seen.
    match std::env::var_os("SEKIMORI_CORPORA") {
        Some(folder) => {
            eprintln!("xtask: real captures of {} were used", Path::new(&folder).display());
            let options = conformance::Options::all_with(conformance::agent(root));
            ensure!(conformance::run(root, &options)?, "what is read does not agree with the references");
        }
        None => {
            eprintln!(
                "xtask: SKIPPED: tests over real captures; SEKIMORI_CORPORA does not name their folder"
            );
        }
    }
    Ok(())
}

/// The tests that make network namespaces need root. Without it cargo starts the test programs through sudo; what it
/// builds stays the user's.
fn root_runner() -> anyhow::Result<Option<(String, &'static str)>> {
    if install::is_root() {
        return Ok(None);
    }
    command::run(Command::new("sudo").arg("-v"))
        .context("tests with network namespaces need root or sudo")?;
    let version = command::output(Command::new("rustc").arg("-vV"))?;
    let host = version.lines().find_map(|line| line.strip_prefix("host: ")).context("rustc names no host")?;
    let key = format!("CARGO_TARGET_{}_RUNNER", host.to_uppercase().replace(['-', '.'], "_"));
    Ok(Some((key, "sudo -n -E")))
}

/// The programs first, together with the tests, so that both get the same features and nothing is built twice: the
/// end-to-end tests start them from cargo's folder. `SEKIMORI_CORPORA` is inherited.
fn test_commands(has_nextest: bool) -> Vec<Command> {
    let mut build = cargo();
    build.args(["build", "--workspace", "--bins", "--tests"]);
    let mut test = cargo();
    if has_nextest {
        test.args(["nextest", "run", "--workspace", "--no-fail-fast"]);
        let mut documents = cargo();
        documents.args(["test", "--workspace", "--doc", "--quiet"]);
        return vec![build, test, documents, on_postgres()];
    }
    test.args(["test", "--workspace", "--no-fail-fast"]);
    vec![build, test, on_postgres()]
}

/// The collector's tests once more, every store of theirs on PostgreSQL. Not by nextest, which would start a server for each.
fn on_postgres() -> Command {
    let mut test = cargo();
    test.args(["test", "--package", "sekimori-collector", "--lib", "--no-fail-fast"]);
    test.env("SEKIMORI_TEST_STORE", "postgres");
    test
}

/// Everything that must hold before a change is done. The first step that fails ends it.
pub(crate) fn ci(root: &Path) -> anyhow::Result<()> {
    install::ensure(Purpose::Build)?;
    let start = Instant::now();
    let mut times = Vec::new();
    let mut step = |name: &'static str, work: &dyn Fn() -> anyhow::Result<()>| {
        eprintln!("xtask: {name} …");
        let start = Instant::now();
        let done = work();
        times.push((name, start.elapsed()));
        done
    };
    let run = |words: &[&str], docs: bool| {
        let mut command = cargo();
        if docs {
            command.env("RUSTDOCFLAGS", "-D warnings");
        }
        command::run(command.current_dir(root).args(words))
    };
    let done = step("fmt", &|| run(&["fmt", "--all", "--check"], false))
        .and_then(|()| step("tidy", &|| tidy::check(root)))
        .and_then(|()| {
            let words = ["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"];
            step("clippy", &|| run(&words, false))
        })
        .and_then(|()| {
            let words = ["doc", "--workspace", "--no-deps", "--document-private-items"];
            step("doc", &|| run(&words, true))
        })
        .and_then(|()| step("test", &|| test(root)))
        .and_then(|()| step("instructions", &|| bench::check_instructions(root)));
    for (name, time) in times {
        eprintln!("xtask: {name:<12} {:>6.1} s", time.as_secs_f64());
    }
    eprintln!("xtask: in all      {:>6.1} s", start.elapsed().as_secs_f64());
    done
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_programs_are_built_before_the_tests() {
        for has_nextest in [true, false] {
            let commands: Vec<String> = test_commands(has_nextest).iter().map(command::show).collect();
            assert!(commands[0].ends_with("build --workspace --bins --tests"));
            assert_eq!(commands[1].contains("nextest"), has_nextest);
            let (last, all) = commands.split_last().unwrap();
            assert!(all.iter().all(|one| one.contains("--workspace")));
            assert!(last.contains("--package sekimori-collector"), "once more on PostgreSQL");
        }
    }
}
