//! `cargo xtask bench`: what a packet costs us, and what it costs others on the same work in the same minutes.
//!
//! ```text
//! captures (mix, small) ─► round by round, program by program: replay under the system's accounting (measure)
//!                             ─► medians, ratios, promises (report) ─► table, JSON
//! --instructions: callgrind over a fixed capture, a figure that does not depend on the weather (instructions, layers)
//! --flood: what ten million new flows leave behind in memory (flood)
//! --live: a generator and the agent on two ends of a cable (live)
//! ```
//!
//! Even a quiet machine drifts by a third within an hour: only ratios within one interleaved run mean anything.

mod captures;
pub(crate) mod collector;
mod flood;
mod frames;
mod instructions;
mod layers;
mod live;
mod measure;
mod mix;
mod peer;
mod report;
mod small;
pub(crate) mod store;

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context;
use serde_json::{Value, json};

use crate::command::{self, cargo};
use crate::install::{self, Purpose};
use crate::pcaps::craft;
use captures::Capture;
use peer::Peer;
use report::Series;

pub(crate) use instructions::check as check_instructions;

/// What the command line asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Options {
    /// Install the peers that are missing.
    install: bool,
    rounds: u32,
    /// Of the worst case; none of it if 0.
    packets: u64,
    /// In place of the mix.
    files: Vec<PathBuf>,
    /// Only these programs beside ours.
    only: Vec<String>,
    json: Option<PathBuf>,
    /// The agent to measure instead of the one built here.
    agent: Option<PathBuf>,
    /// A promise that is broken fails the command.
    check: bool,
    mode: Mode,
}

/// Which of the measurements.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    Replay,
    Live,
    Instructions,
    Layers,
    Flood,
}

impl Options {
    /// `None` for wrong usage.
    pub(crate) fn parse(words: &[&str]) -> Option<Self> {
        let mut out = Self {
            install: false,
            rounds: 5,
            packets: 12_000_000,
            files: Vec::new(),
            only: Vec::new(),
            json: None,
            agent: None,
            check: false,
            mode: Mode::Replay,
        };
        let mut words = words.iter();
        while let Some(word) = words.next() {
            match *word {
                "--peers" => out.install = true,
                "--rounds" => out.rounds = words.next()?.parse().ok().filter(|rounds| *rounds > 0)?,
                "--packets" => out.packets = words.next()?.parse().ok()?,
                "--file" => out.files.push(words.next()?.into()),
                "--only" => out.only.push((*words.next()?).to_owned()),
                "--json" => out.json = Some(words.next()?.into()),
                "--agent" => out.agent = Some(words.next()?.into()),
                "--check" => out.check = true,
                "--live" => out.mode = Mode::Live,
                "--instructions" => out.mode = Mode::Instructions,
                "--layers" => out.mode = Mode::Layers,
                "--flood" => out.mode = Mode::Flood,
                _ => return None,
            }
        }
        Some(out)
    }
}

/// Measures what was asked for; false if something does not hold that was to be checked.
pub(crate) fn run(root: &Path, options: &Options) -> anyhow::Result<bool> {
    install::ensure(Purpose::Build)?;
    match options.mode {
        Mode::Instructions => return instructions::run(root, options.agent.as_deref()),
        Mode::Layers => return layers::run(root, options.agent.as_deref()).map(|()| true),
        Mode::Replay | Mode::Live | Mode::Flood => {}
    }
    if options.install {
        install::peers()?;
    }
    if let Some(done) = again_in_release(root)? {
        return Ok(done);
    }
    if options.mode == Mode::Flood {
        return flood::run(&agent(root, options.agent.as_deref())?, options.packets);
    }
    let folder = captures::folder(root)?;
    if options.mode == Mode::Live {
        return live::run(root, &folder, options);
    }
    replay(root, &folder, options, &agent(root, options.agent.as_deref())?)
}

/// The program to measure.
fn agent(root: &Path, given: Option<&Path>) -> anyhow::Result<PathBuf> {
    if let Some(path) = given {
        return path.canonicalize().with_context(|| format!("there is no {}", path.display()));
    }
    command::run(cargo().current_dir(root).args(["build", "--release", "--package", "sekimori-agent"]))?;
    Ok(command::target(root).join("release/sekimori-agent"))
}

/// Making a gigabyte, or sending it, is slow in a build for development: the same command in a release build of this
/// program. `None` if this is one.
fn again_in_release(root: &Path) -> anyhow::Result<Option<bool>> {
    if !cfg!(debug_assertions) {
        return Ok(None);
    }
    command::run(cargo().current_dir(root).args(["build", "--release", "--quiet", "--package", "xtask"]))?;
    let mut again = Command::new(command::target(root).join("release/xtask"));
    again.args(std::env::args_os().skip(1));
    let status = again.status().with_context(|| format!("cannot start {}", command::show(&again)))?;
    Ok(Some(status.success()))
}

fn replay(root: &Path, folder: &Path, options: &Options, agent: &Path) -> anyhow::Result<bool> {
    let work = folder.join("work");
    std::fs::create_dir_all(&work)?;
    let wanted = |peer: &Peer| {
        let is_ours = peer.name == peer::OURS || peer.name == peer::OURS_TWO;
        is_ours
            || options.only.is_empty()
            || options.only.iter().any(|only| peer.name.contains(only.as_str()))
    };
    let peers: Vec<Peer> = peer::installed(agent, &work)?.into_iter().filter(wanted).collect();
    let captures = captures::prepare(root, folder, options)?;
    let mut bench = Bench { work, peers, series: Vec::new() };
    bench.begin(folder, &captures)?;
    for round in 1..=options.rounds {
        eprintln!("xtask: round {round} of {}", options.rounds);
        bench.round()?;
    }
    let series: Vec<Series> = bench.series.into_iter().map(|(series, ..)| series).collect();
    print!("{}", report::table(&captures, &series));
    println!("\nCommands:");
    for peer in &bench.peers {
        println!("  {:<20} {}   [{}]", peer.name, peer.shown(), peer.version());
    }
    println!();
    let verdicts = report::verdicts(&series);
    for verdict in &verdicts {
        println!("{}", verdict.text);
    }
    if let Some(path) = &options.json {
        let json = serde_json::to_string_pretty(&report::to_json(&machine(), &captures, &series))?;
        std::fs::write(path, json + "\n").with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(!options.check || verdicts.iter().all(|verdict| verdict.holds != Some(false)))
}

/// All programs on all captures.
struct Bench {
    work: PathBuf,
    peers: Vec<Peer>,
    /// With the program and what it reads.
    series: Vec<(Series, Peer, PathBuf)>,
}

impl Bench {
    /// What each program reads, and how long it takes to begin.
    fn begin(&mut self, folder: &Path, captures: &[Capture]) -> anyhow::Result<()> {
        // Some refuse a capture without packets.
        let single = self.work.join("single.pcap");
        let mut out = frames::Writer::create(&single)?;
        let frame = craft::arp([10, 0, 0, 1].into(), [10, 0, 0, 2].into(), None);
        out.frame(1_700_000_000_000_000, 60, &frame)?;
        out.finish()?;
        for peer in &self.peers {
            let start_up = self.once(peer, &single)?.cpu.as_millis();
            for capture in captures {
                let [most, of_worst] = peer.most;
                let cut = capture.cut(folder, if capture.is_worst() { of_worst } else { most })?;
                self.series.push((
                    Series {
                        capture: capture.name.clone(),
                        program: peer.name,
                        command: peer.shown(),
                        version: peer.version(),
                        packets: cut.packets,
                        is_cut: cut.packets != capture.packets,
                        start_up: u64::try_from(start_up)?,
                        runs: Vec::new(),
                    },
                    peer.clone(),
                    cut.path,
                ));
            }
        }
        // Programs that are compared stand beside each other in time.
        let order = |name: &str| captures.iter().position(|capture| capture.name == name);
        self.series.sort_by_key(|(series, ..)| order(&series.capture));
        Ok(())
    }

    fn round(&mut self) -> anyhow::Result<()> {
        let mut runs = Vec::new();
        for (series, peer, path) in &self.series {
            let usage = self.once(peer, path)?;
            eprintln!(
                "xtask:   {:<8} {:<22} {:>7} ms CPU, {:>7} ms, {:>6} KiB",
                series.capture,
                series.program,
                usage.cpu.as_millis(),
                usage.wall.as_millis(),
                usage.rss_anon
            );
            runs.push(usage);
        }
        for ((series, ..), usage) in self.series.iter_mut().zip(runs) {
            series.runs.push(usage);
        }
        Ok(())
    }

    /// One run with an empty folder of its own.
    fn once(&self, peer: &Peer, file: &Path) -> anyhow::Result<measure::Usage> {
        let dir = self.work.join("dir");
        if dir.exists() {
            std::fs::remove_dir_all(&dir)?;
        }
        std::fs::create_dir(&dir)?;
        measure::measure(&mut peer.command(file, &dir), &self.work.join("stderr"))
    }
}

/// What the figures were taken on.
fn machine() -> Value {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let release = read("/etc/os-release");
    let system = release.lines().find_map(|line| line.strip_prefix("PRETTY_NAME="));
    json!({
        "processor": processor(),
        "cores": std::thread::available_parallelism().map_or(0, usize::from),
        "kernel": read("/proc/sys/kernel/osrelease").trim(),
        "system": system.unwrap_or_default().trim_matches('"'),
    })
}

/// The processor's model as the kernel calls it.
fn processor() -> String {
    let text = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let of = |key: &str| {
        let line = text.lines().find(|line| line.starts_with(key));
        line.and_then(|line| Some(line.split_once(':')?.1.trim().to_owned())).unwrap_or_default()
    };
    format!("{} {}/{}", of("model name"), of("cpu family"), of("model\t"))
}

/// A short name for bytes: FNV-1a.
fn fingerprint(bytes: &[u8]) -> u64 {
    bytes
        .iter()
        .fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options() {
        let usual = Options::parse(&[]).unwrap();
        assert_eq!((usual.rounds, usual.packets, usual.mode), (5, 12_000_000, Mode::Replay));
        let words = [
            "--rounds",
            "3",
            "--file",
            "a",
            "--file",
            "b",
            "--packets",
            "0",
            "--check",
            "--live",
            "--only",
            "x",
        ];
        let options = Options::parse(&words).unwrap();
        assert_eq!((options.rounds, options.packets, options.files.len()), (3, 0, 2));
        assert!(options.check && options.mode == Mode::Live && options.only == ["x"]);
        for wrong in [&["--rounds", "0"][..], &["--rounds"], &["--file"], &["fast"]] {
            assert_eq!(Options::parse(wrong), None);
        }
    }

    #[test]
    fn fingerprints_differ() {
        assert_ne!(fingerprint(b"a"), fingerprint(b"b"));
        ensure_known();
    }

    fn ensure_known() {
        assert_eq!(fingerprint(b""), 0xcbf2_9ce4_8422_2325, "FNV-1a of nothing");
    }
}
