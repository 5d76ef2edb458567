//! `cargo xtask bench --live`: how many packets a second the live agent takes without losing one.
//!
//! ```text
//! namespace out: send (sendmmsg, paced) ─► sk-out ═ veth ═ sk-in ─► ring of the agent: namespace in
//! rates rise until something is lost, then the middle is tried ─► highest rate without loss, highest with full work
//! what passed sk-in, as the kernel counts = what the agent saw + what it says was lost
//! ```
//!
//! A fresh agent for each rate. It is enrolled, but its collector is not there: it seals and spools, and does not ship.
//! Both ends share the machine's cores, as a generator and an agent on one small box would.

mod cable;
mod send;
mod step;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use serde_json::{Value, json};

use super::{Options, captures};
use crate::command;
use crate::install::{self, Purpose};
use crate::pcaps::scenario::BODIES;
use crate::stage::{Collector, Place, Supervised};
use cable::Cable;
use send::{Frames, Sent};
use step::{Step, Told};

/// Each rate is held for so long.
const HOLD: Duration = Duration::from_secs(10);
/// The agent captures, or has counted everything, within this time.
const SETTLE: Duration = Duration::from_secs(60);
/// What it says does not change any more when it was the same for so long: it says it every second.
const STEADY: Duration = Duration::from_secs(3);
const FIRST_RATE: u64 = 50_000;
const RATE_MAX: u64 = 1_500_000;
/// Tries between the highest rate without loss and the lowest with.
const BISECTIONS: u32 = 4;
/// What the issue promises of the worst case.
const PROMISED: u64 = 300_000;

/// Finds the highest rate without loss for each capture; false if what was to be checked does not hold.
pub(super) fn run(root: &Path, folder: &Path, options: &Options) -> anyhow::Result<bool> {
    ensure!(install::is_root(), "network namespaces need root");
    let captures = captures::prepare(root, folder, options)?;
    let place = match &options.agent {
        Some(agent) => Place::with(root, agent, "bench-live")?,
        None => Place::build(root, Purpose::Build, "bench-live")?,
    };
    let collector = Collector::start(&place, None)?;
    let [body, ..] = BODIES;
    let state = collector.enrol(&place, &body)?;
    drop(collector);
    let mut good = true;
    let mut found = Vec::new();
    for capture in captures {
        let frames = Frames::read(&capture.path)?;
        println!("\n### {} live: {} frames, repeated as needed\n", capture.name, frames.len());
        println!("{}", step::HEAD);
        let bench = Live { place: &place, state: &state, frames: &frames };
        let steps = bench.climb()?;
        let (lossless, _) = bounds(&steps, Step::is_lossless);
        let (full, _) = bounds(&steps, Step::is_full_work);
        if let Some(tired) = steps.iter().find(|step| !step.generator_kept_up()) {
            println!("\nThe generator does not send more than {} packets/s here.", tired.rate);
        }
        println!(
            "\nHighest rate without loss: {lossless} packets/s; with nothing left out: {full} packets/s\n"
        );
        let agrees = steps.iter().all(Step::agrees);
        println!("{} loss as the agent says equals the kernel's figure to the packet", said(agrees));
        good &= agrees;
        if capture.is_worst() {
            println!("{} no loss at {PROMISED} packets/s", said(lossless >= PROMISED));
            good &= lossless >= PROMISED;
        }
        found.push(json!({
            "capture": capture.name,
            "highest_without_loss": lossless,
            "highest_with_full_work": full,
            "steps": steps.into_iter().map(Step::to_json).collect::<Vec<_>>(),
        }));
    }
    if let Some(path) = &options.json {
        let json = json!({ "machine": super::machine(), "live": found });
        std::fs::write(path, serde_json::to_string_pretty(&json)? + "\n")?;
    }
    Ok(good || !options.check)
}

const fn said(holds: bool) -> &'static str {
    if holds { "holds         " } else { "DOES NOT HOLD " }
}

/// What a climb needs.
struct Live<'a> {
    place: &'a Place,
    state: &'a Path,
    frames: &'a Frames,
}

impl Live<'_> {
    /// Rates by half more until one loses something or the generator tires, then the middle of what is left; then the same
    /// between full work and less.
    fn climb(&self) -> anyhow::Result<Vec<Step>> {
        let mut steps = Vec::new();
        self.close_in(&mut steps, Step::is_lossless)?;
        self.close_in(&mut steps, Step::is_full_work)?;
        Ok(steps)
    }

    /// Tries rates until the highest that is good is known well enough.
    fn close_in(&self, steps: &mut Vec<Step>, is_good: fn(&Step) -> bool) -> anyhow::Result<()> {
        let mut bisections = 0;
        while let Some(wanted) = next_rate(steps, is_good, &mut bisections) {
            let step = self.step(wanted).with_context(|| format!("at {wanted} packets a second"))?;
            println!("{}", step.line());
            steps.push(step);
        }
        Ok(())
    }

    fn step(&self, rate: u64) -> anyhow::Result<Step> {
        let cable = Cable::new()?;
        let config = self.place.state.join("live.toml");
        let text = format!("[capture]\ninterfaces = [\"sk-in\"]\n\n[state]\ndir = {:?}\n", self.state);
        std::fs::write(&config, text)?;
        let mut agent = cable.command(&self.place.program("sekimori-agent"));
        agent.args(["run", "--config"]).arg(&config);
        let log = self.place.state.join("agent.log");
        let begun = Instant::now();
        // The status of the run before must not be taken for this one's.
        self.forget_status()?;
        let mut running = Supervised::start(&agent, log.clone())?;
        let pid = loop {
            if let Some((pid, _)) = self.told(&config) {
                break pid;
            }
            ensure!(running.is_running(), "the agent ended at once; see {}", log.display());
            ensure!(begun.elapsed() < SETTLE, "the agent shows no status; see {}", log.display());
            std::thread::sleep(Duration::from_millis(200));
        };
        let before = cpu(pid)?;
        let Sent { packets: sent, took, cpu: used } = cable.send(self.frames, rate, HOLD)?;
        let agent_used = cpu(pid)?.saturating_sub(before);
        let (passed, told) = self.settled(&config, &cable)?;
        ensure!(running.is_running(), "the agent ended; see {}", log.display());
        drop(running);
        let micros = took.as_micros().max(1);
        Ok(Step {
            wanted: rate,
            rate: u64::try_from(u128::from(sent) * 1_000_000 / micros)?,
            sent,
            passed,
            told,
            agent_cpu: u64::try_from(agent_used.as_micros() * 1_000 / micros)?,
            generator_cpu: u64::try_from(used.as_micros() * 1_000 / micros)?,
        })
    }

    /// What passed, and what the agent says of it, when they agree and it says the same for a while, or at last.
    fn settled(&self, config: &Path, cable: &Cable) -> anyhow::Result<(u64, Told)> {
        let (begun, mut steady, mut before) = (Instant::now(), Instant::now(), Told::default());
        loop {
            let passed = cable.passed()?;
            let (_, told) = self.told(config).context("the agent shows no status")?;
            if told != before || told.seen + told.lost != passed {
                (steady, before) = (Instant::now(), told);
            }
            if steady.elapsed() > STEADY || begun.elapsed() > SETTLE {
                return Ok((passed, told));
            }
            std::thread::sleep(Duration::from_millis(500));
        }
    }

    /// The agent's process, and what its status shows.
    fn told(&self, config: &Path) -> Option<(u64, Told)> {
        let mut status = self.place.agent();
        let text = command::output(status.args(["status", "--json", "--config"]).arg(config)).ok()?;
        let status: Value = serde_json::from_str(&text).ok()?;
        Some((status.get("pid")?.as_u64()?, Told::of(&status)?))
    }

    fn forget_status(&self) -> anyhow::Result<()> {
        let path: PathBuf = self.state.join("status.json");
        if path.exists() {
            std::fs::remove_file(&path).with_context(|| format!("cannot remove {}", path.display()))?;
        }
        Ok(())
    }
}

/// The highest good rate, and the lowest that is not; the rates that were sent.
fn bounds(steps: &[Step], is_good: fn(&Step) -> bool) -> (u64, Option<u64>) {
    let bad = steps.iter().filter(|step| !is_good(step)).map(|step| step.rate).min();
    let below = |step: &&Step| bad.is_none_or(|bad| step.rate < bad);
    let good = steps.iter().filter(|step| is_good(step)).filter(below).map(|step| step.rate).max();
    (good.unwrap_or_default(), bad)
}

/// The next rate to try, if there is one.
fn next_rate(steps: &[Step], is_good: fn(&Step) -> bool, bisections: &mut u32) -> Option<u64> {
    let (good, bad) = bounds(steps, is_good);
    let Some(bad) = bad else {
        let Some(highest) = steps.iter().max_by_key(|step| step.wanted) else { return Some(FIRST_RATE) };
        let next = highest.wanted + highest.wanted / 2;
        return (highest.generator_kept_up() && next <= RATE_MAX).then_some(next);
    };
    *bisections += 1;
    let middle = good.midpoint(bad);
    (*bisections <= BISECTIONS && middle > good && middle < bad).then_some(middle)
}

/// CPU time of a process, all threads, so far.
fn cpu(pid: u64) -> anyhow::Result<Duration> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).context("the agent is gone")?;
    // The name before may hold anything but a closing parenthesis behind the last one.
    let (_, fields) = stat.rsplit_once(')').context("/proc/PID/stat")?;
    let mut times = fields.split_whitespace().skip(11).map(str::parse::<u64>);
    let (user, system) = (times.next().context("utime")??, times.next().context("stime")??);
    // Linux shows them in hundredths of a second on all machines that this runs on.
    Ok(Duration::from_millis((user + system) * 10))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_rise_until_something_is_lost_and_then_close_in() {
        let step = |rate, lost| {
            let told = Told { seen: 1_000 - lost, lost, level: u64::from(rate > 100), ..Told::default() };
            Step { wanted: rate, rate, sent: 1_000, passed: 1_000, told, ..Step::default() }
        };
        let next = |steps: &[Step], tries: &mut u32| next_rate(steps, Step::is_lossless, tries);
        let mut tries = 0;
        assert_eq!(next(&[], &mut tries), Some(FIRST_RATE));
        assert_eq!(next(&[step(100, 0)], &mut tries), Some(150));
        assert_eq!(next(&[step(RATE_MAX, 0)], &mut tries), None);
        let tired = Step { rate: 90, ..step(100, 0) };
        assert_eq!(next(&[tired], &mut tries), None, "the generator sends no more");
        assert_eq!(next(&[step(100, 0), step(150, 1)], &mut tries), Some(125));
        assert_eq!(next(&[step(100, 0), step(150, 1), step(125, 0)], &mut tries), Some(137));
        assert_eq!(next(&[step(125, 0), step(126, 1)], &mut tries), None);
        assert_eq!(tries, 3);
        assert_eq!(next(&[step(50, 1)], &mut BISECTIONS.clone()), None);
        // A loss below, by bad luck, is no reason to call what is above it good.
        assert_eq!(bounds(&[step(100, 0), step(150, 2), step(225, 0)], Step::is_lossless), (100, Some(150)));
        assert_eq!(bounds(&[step(100, 0), step(150, 0)], Step::is_full_work), (100, Some(150)));
    }

    #[test]
    fn a_process_has_cpu_time() {
        let begun = Instant::now();
        while cpu(u64::from(std::process::id())).unwrap() < Duration::from_millis(20) {
            assert!(begun.elapsed() < SETTLE, "this process computes");
        }
        cpu(u64::MAX).unwrap_err();
    }
}
