//! `cargo xtask fuzz --minutes N`: every fuzz target for N minutes, from the corpus that earlier runs left.
//!
//! With a nightly toolchain the address sanitizer watches (memory that leaks or is touched wrongly, in dependencies' C code
//! too); without one, the stable compiler's coverage counters and checks. What was run is added to a dated result file;
//! an input that crashes, hangs or takes too much memory is kept in the corpus, where the tests replay it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use anyhow::{Context, bail};

use crate::command;

/// Where the targets and their corpora lie.
const FOLDER: &str = "tests/fuzz";
/// What was run, when, and how it went.
const RESULTS: &str = "tests/fuzz/results.tsv";
/// Fuzzers side by side.
const WORKERS: usize = 2;
/// Seconds that one input may take before it is a hang, and megabytes before it is a leak.
const TIMEOUT_SECONDS: u32 = 5;
const MEMORY_MEGABYTES: u32 = 1_024;
/// Inputs of a target that stay in the project: the smallest ones with the coverage of all.
const KEPT_MAX: usize = 64;
const KEPT_BYTES_MAX: u64 = 4_096;
/// As cargo-fuzz sets them: libFuzzer's counters on every edge.
const COVERAGE: &str = "--cfg fuzzing -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
    -Cllvm-args=-sanitizer-coverage-trace-compares -Clink-dead-code";
const TRIPLE: &str = "x86_64-unknown-linux-gnu";

/// What the command line asks for.
#[derive(Debug)]
pub(crate) struct Options {
    /// For each target.
    minutes: u64,
    /// Only the targets whose name contains this.
    only: Option<String>,
}

impl Options {
    /// `None` for wrong usage.
    pub(crate) fn parse(words: &[&str]) -> Option<Self> {
        let mut options = Self { minutes: 1, only: None };
        let mut rest = words.iter();
        while let Some(word) = rest.next() {
            match *word {
                "--minutes" => options.minutes = rest.next()?.parse().ok().filter(|minutes| *minutes > 0)?,
                "--only" => options.only = Some((*rest.next()?).to_owned()),
                _ => return None,
            }
        }
        Some(options)
    }
}

/// Builds and runs; whether no target found anything.
pub(crate) fn run(root: &Path, options: &Options) -> anyhow::Result<bool> {
    let folder = root.join(FOLDER);
    let names = targets(&folder)?;
    let wanted: Vec<&String> = names
        .iter()
        .filter(|name| options.only.as_ref().is_none_or(|only| name.contains(only.as_str())))
        .collect();
    let nightly = has_nightly();
    let built = build(root, &folder, nightly)?;
    let work = command::target(root).join("fuzz");
    let next = AtomicUsize::new(0);
    let outcome = Mutex::new((Vec::new(), Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..WORKERS {
            scope.spawn(|| {
                while let Some(name) = wanted.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let target = Target { name, program: built.join(name), folder: &folder, work: &work };
                    let done = target.fuzz(options.minutes, nightly);
                    let mut outcome = outcome.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
                    match done {
                        Ok(line) => {
                            println!("{line}");
                            outcome.0.push(line);
                        }
                        Err(error) => outcome.1.push(format!("{name}: {error:#}")),
                    }
                }
            });
        }
    });
    let (lines, errors) = outcome.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
    record(root, &lines)?;
    if !errors.is_empty() {
        bail!("{}", errors.join("\n"));
    }
    Ok(lines.iter().all(|line| line.ends_with("\tnothing")))
}

fn targets(folder: &Path) -> anyhow::Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(folder.join("targets"))? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "rs") {
            names.extend(path.file_stem().map(|stem| stem.to_string_lossy().into_owned()));
        }
    }
    names.sort();
    Ok(names)
}

fn has_nightly() -> bool {
    let version = Command::new("cargo").args(["+nightly", "--version"]).stderr(Stdio::null()).output();
    version.is_ok_and(|version| version.status.success())
}

/// Builds all targets; the folder of the programs.
fn build(root: &Path, folder: &Path, nightly: bool) -> anyhow::Result<PathBuf> {
    let target = command::target(root).join("fuzz-build");
    let mut cargo = Command::new("cargo");
    let flags = if nightly { format!("{COVERAGE} -Zsanitizer=address") } else { COVERAGE.to_owned() };
    if nightly {
        cargo.arg("+nightly");
    }
    // The toolchain that runs us must not choose the one that builds.
    for name in ["CARGO", "RUSTC", "RUSTUP_TOOLCHAIN", "CARGO_MANIFEST_DIR"] {
        cargo.env_remove(name);
    }
    cargo.args(["build", "--release", "--bins", "--target", TRIPLE]).current_dir(folder);
    cargo.env("CARGO_TARGET_DIR", &target).env("RUSTFLAGS", flags);
    command::run(&mut cargo)?;
    Ok(target.join(TRIPLE).join("release"))
}

/// One target and its folders.
struct Target<'a> {
    name: &'a str,
    program: PathBuf,
    folder: &'a Path,
    work: &'a Path,
}

impl Target<'_> {
    /// Fuzzes; a line of the result file.
    fn fuzz(&self, minutes: u64, nightly: bool) -> anyhow::Result<String> {
        let (kept, grown) =
            (self.folder.join("corpus").join(self.name), self.work.join("corpus").join(self.name));
        let artifacts = self.work.join("artifacts").join(self.name);
        for folder in [&kept, &grown, &artifacts] {
            fs::create_dir_all(folder).with_context(|| folder.display().to_string())?;
        }
        let began = Instant::now();
        let log = self.work.join(format!("{}.log", self.name));
        let mut fuzzer = Command::new(&self.program);
        fuzzer.args([
            format!("-max_total_time={}", minutes * 60),
            format!("-timeout={TIMEOUT_SECONDS}"),
            format!("-rss_limit_mb={MEMORY_MEGABYTES}"),
            format!("-artifact_prefix={}/", artifacts.display()),
            "-print_final_stats=1".to_owned(),
        ]);
        let status = fuzzer.arg(&grown).arg(&kept).stderr(fs::File::create(&log)?).status()?;
        let text = fs::read_to_string(&log)?;
        let executed = text.lines().find_map(|line| line.strip_prefix("stat::number_of_executed_units: "));
        let found = keep_found(&artifacts, &kept)?;
        self.shrink(&grown, &kept)?;
        let verdict = match (status.success(), found) {
            (true, 0) => "nothing".to_owned(),
            (_, found) => format!("{found} inputs, see {}", log.display()),
        };
        Ok(format!(
            "{}\t{}\t{}\t{}\t{}\t{verdict}",
            command::today()?,
            self.name,
            began.elapsed().as_secs(),
            executed.map_or("?", str::trim),
            if nightly { "address" } else { "none" },
        ))
    }

    /// What the project keeps: a small set of small inputs.
    fn shrink(&self, grown: &Path, kept: &Path) -> anyhow::Result<()> {
        let merged = self.work.join("merged").join(self.name);
        if merged.exists() {
            fs::remove_dir_all(&merged)?;
        }
        fs::create_dir_all(&merged)?;
        let mut merge = Command::new(&self.program);
        merge.args(["-merge=1", "-max_total_time=60"]).arg(&merged).arg(kept).arg(grown);
        merge.stderr(Stdio::null()).status()?;
        let mut inputs: Vec<(u64, PathBuf)> = Vec::new();
        for entry in fs::read_dir(&merged)? {
            let entry = entry?;
            inputs.push((entry.metadata()?.len(), entry.path()));
        }
        inputs.sort();
        for (_, input) in inputs.iter().filter(|(bytes, _)| *bytes <= KEPT_BYTES_MAX).take(KEPT_MAX) {
            let name = input.file_name().context("a file has a name")?;
            fs::copy(input, kept.join(name))?;
        }
        Ok(())
    }
}

/// Moves what was found into the corpus that the tests replay; how many there were.
fn keep_found(artifacts: &Path, kept: &Path) -> anyhow::Result<usize> {
    let mut found = 0;
    for entry in fs::read_dir(artifacts)? {
        let path = entry?.path();
        let name = path.file_name().context("a file has a name")?;
        // What was merely slow on a busy machine is not a finding.
        if !name.to_string_lossy().starts_with("slow-unit-") {
            fs::copy(&path, kept.join(name))?;
            found += 1;
        }
        fs::remove_file(&path)?;
    }
    Ok(found)
}

/// Adds to the result file.
fn record(root: &Path, lines: &[String]) -> anyhow::Result<()> {
    let path = root.join(RESULTS);
    let mut text = fs::read_to_string(&path)
        .unwrap_or_else(|_| "date\ttarget\tseconds\tinputs tried\tsanitizer\tfound\n".to_owned());
    for line in lines {
        text.push_str(line);
        text.push('\n');
    }
    Ok(fs::write(&path, text)?)
}
