//! `cargo xtask demo`: the whole path on one machine, from captures to incidents in a browser.
//!
//! ```text
//! packages ─► release build ─► collector init, run ─► for each of three bodies: agent token, enroll, replay --ship
//!          ─► status --json until the expected incidents are there ─► table, address, login ─► until Ctrl-C
//! ```
//!
//! State is under `target/demo`, that of the previous demo is removed. With `--once` it stops by itself and succeeds
//! only if every incident that the captures must lead to was opened and is verified.

mod judge;
mod table;

use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use serde_json::Value;

use crate::command;
use crate::install::Purpose;
use crate::pcaps::scenario::{BODIES, Body};
use crate::stage::{Collector, Place};

/// From the last program's start to the expected incidents; only a broken build needs it all.
const INCIDENTS_WITHIN: Duration = Duration::from_secs(240);
/// Everything shipped is committed and correlated in one transaction: what is not there then will not come.
const SETTLED_AFTER: Duration = Duration::from_secs(5);

/// What was asked for on the command line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Options {
    once: bool,
    port_base: Option<u16>,
}

impl Options {
    /// From the words after `demo`; `None` if they are not understood.
    pub(crate) fn parse(words: &[&str]) -> Option<Self> {
        let mut out = Self { once: false, port_base: None };
        let mut words = words.iter();
        while let Some(word) = words.next() {
            match *word {
                "--once" => out.once = true,
                "--port-base" => out.port_base = Some(words.next()?.parse().ok()?),
                _ => return None,
            }
        }
        Some(out)
    }
}

/// Runs the demo.
pub(crate) fn run(root: &Path, options: Options) -> anyhow::Result<()> {
    let start = Instant::now();
    let place = Place::build(root, Purpose::Build, "demo")?;
    let built = start.elapsed();
    let mut collector = Collector::start(&place, options.port_base)?;
    let mut replays = Vec::new();
    for body in &BODIES {
        replays.push(Replay::start(&place, &collector, body)?);
    }
    let (status, first) = watch(&collector, &mut replays, start)?;

    print!("\n{}", table::incidents(&status, &BODIES.map(|body| (body.code, body.name))));
    println!("\n  console  {}", collector.console);
    println!("  login    {} / {}", collector.user, collector.password);
    println!("  CA       SHA-256 {}", collector.ca_sha256);
    let first = first.map_or_else(|| "none".to_owned(), |first| format!("{:.0} s", first.as_secs_f64()));
    println!("  time     built after {:.0} s, first incident after {first}", built.as_secs_f64());
    let problems = judge::problems(&status);
    for problem in &problems {
        println!("  MISSING  {problem}");
    }
    if options.once {
        ensure!(problems.is_empty(), "the expected incidents are not there; see {}", place.state.display());
        return Ok(());
    }
    println!(
        "\nOpen the console in a browser (its certificate is signed by the demo's own CA). Ctrl-C ends the demo."
    );
    collector.wait()
}

/// One body's agent replaying its captures. Dropped early, it is ended.
struct Replay {
    child: Child,
    log: PathBuf,
    body: &'static str,
    ended: bool,
}

impl Replay {
    fn start(place: &Place, collector: &Collector, body: &Body) -> anyhow::Result<Self> {
        let state = collector.enrol(place, body)?;
        let captures = place.root.join("pcaps/demo");
        let log = place.state.join(format!("{}.log", body.key));
        let mut replay = place.agent();
        replay.args(["replay", "--ship", "--rebase-time", "--quiet", "--format", "findings"]);
        replay.arg("--state").arg(&state);
        replay.arg("--config").arg(captures.join(format!("{}.toml", body.key)));
        replay.arg("--output").arg(place.state.join(format!("{}.findings.jsonl", body.key)));
        replay.args(files_of(&captures, body.key)?);
        let file = std::fs::File::create(&log)?;
        replay.stdin(Stdio::null()).stdout(file.try_clone()?).stderr(file);
        let child = replay.spawn().with_context(|| format!("cannot start {}", command::show(&replay)))?;
        Ok(Self { child, log, body: body.name, ended: false })
    }

    /// Whether it has ended; an error if it ended badly.
    fn has_ended(&mut self) -> anyhow::Result<bool> {
        if let (false, Some(status)) = (self.ended, self.child.try_wait()?) {
            self.ended = true;
            ensure!(
                status.success(),
                "the replay for {} ended with {status}; see {}",
                self.body,
                self.log.display()
            );
        }
        Ok(self.ended)
    }
}

impl Drop for Replay {
    fn drop(&mut self) {
        if !self.ended && self.child.kill().and_then(|()| self.child.wait()).is_err() {
            eprintln!("xtask: cannot end the replay for {}", self.body);
        }
    }
}

/// A body's captures in order of name.
fn files_of(folder: &Path, key: &str) -> anyhow::Result<Vec<PathBuf>> {
    let mut out = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        if name.starts_with(&format!("{key}-")) && path.extension().is_some_and(|kind| kind == "pcap") {
            out.push(path);
        }
    }
    ensure!(
        !out.is_empty(),
        "no captures {key}-*.pcap in {}; make them with `cargo xtask pcaps`",
        folder.display()
    );
    out.sort();
    Ok(out)
}

/// Polls the collector until everything expected is there, or nothing more can come. Gives its last status, and how
/// long after `start` the first incident was seen.
fn watch(
    collector: &Collector,
    replays: &mut [Replay],
    start: Instant,
) -> anyhow::Result<(Value, Option<Duration>)> {
    let begun = Instant::now();
    let (mut first, mut seen, mut ended_at) = (None, 0, None);
    loop {
        let mut all_ended = true;
        for replay in replays.iter_mut() {
            all_ended &= replay.has_ended()?;
        }
        let status = collector.status()?;
        let count = status.get("incidents").and_then(Value::as_array).map_or(0, Vec::len);
        if count > seen {
            eprintln!("xtask: {count} incidents after {:.0} s", start.elapsed().as_secs_f64());
            first = first.or_else(|| Some(start.elapsed()));
            seen = count;
        }
        if all_ended && ended_at.is_none() {
            ended_at = Some(Instant::now());
        }
        let is_good = all_ended && judge::problems(&status).is_empty();
        let is_over = ended_at.is_some_and(|at: Instant| at.elapsed() > SETTLED_AFTER);
        if is_good || is_over || begun.elapsed() > INCIDENTS_WITHIN {
            return Ok((status, first));
        }
        std::thread::sleep(Duration::from_millis(400));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options() {
        assert_eq!(Options::parse(&[]), Some(Options { once: false, port_base: None }));
        let both = Options { once: true, port_base: Some(9_000) };
        assert_eq!(Options::parse(&["--port-base", "9000", "--once"]), Some(both));
        assert_eq!(Options::parse(&["--port-base"]), None);
        assert_eq!(Options::parse(&["--port-base", "many"]), None);
        assert_eq!(Options::parse(&["--twice"]), None);
    }

    #[test]
    fn every_body_has_captures() {
        let folder = command::root().unwrap().join("pcaps/demo");
        for body in BODIES {
            assert!(files_of(&folder, body.key).unwrap().len() >= 3);
        }
        files_of(&folder, "nobody").unwrap_err();
    }
}
