//! `cargo xtask bench --live`: how many packets a second the live agent takes without losing one.
//!
//! ```text
//! namespace out: send (sendmmsg, paced) ─► sk-out ═ veth ═ sk-in ─► ring of the agent: namespace in
//! rates rise until something is lost, then the middle is tried ─► highest rate without loss
//! what passed sk-in, as the kernel counts = what the agent saw + what it says was lost
//! ```
//!
//! A fresh agent for each rate. It is enrolled, but its collector is not there: it seals and spools, and does not ship.
//! Both ends share the machine's cores, as a generator and an agent on one small box would.

mod send;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use serde_json::{Value, json};

use super::{Options, captures};
use crate::command;
use crate::install::{self, Purpose};
use crate::pcaps::scenario::BODIES;
use crate::stage::{Collector, Place, Supervised};
use send::{Frames, Sent};

/// Each rate is held for so long.
const HOLD: Duration = Duration::from_secs(10);
/// The agent captures, or has counted everything, within this time.
const SETTLE: Duration = Duration::from_secs(60);
const FIRST_RATE: u64 = 50_000;
const RATE_MAX: u64 = 1_500_000;
/// Tries between the highest rate without loss and the lowest with.
const BISECTIONS: u32 = 4;
/// The generator kept its rate if it sent at least so many thousandths of it.
const KEPT_PERMILLE: u64 = 980;
/// What the issue promises of the worst case.
const PROMISED: u64 = 300_000;

/// What happened at one rate.
#[derive(Clone, Copy, Debug)]
struct Step {
    wanted: u64,
    /// Packets sent a second.
    rate: u64,
    sent: u64,
    /// What passed the agent's interface as the kernel counts: what came, and the little that the kernel itself sent.
    passed: u64,
    seen: u64,
    lost: u64,
}

impl Step {
    /// The agent's figures are the kernel's.
    const fn agrees(&self) -> bool {
        self.seen + self.lost == self.passed
    }

    const fn generator_kept_up(&self) -> bool {
        self.rate * 1_000 >= self.wanted * KEPT_PERMILLE
    }

    fn line(&self) -> String {
        let per_mille = (self.lost * 1_000).checked_div(self.passed).unwrap_or_default();
        format!(
            "| {} | {} | {} | {} | {} | {}.{} % | {} |",
            self.rate,
            self.sent,
            self.passed,
            self.seen,
            self.lost,
            per_mille / 10,
            per_mille % 10,
            if self.agrees() { "equal" } else { "DIFFER" }
        )
    }
}

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
        println!(
            "| packets/s | sent | passed (kernel) | seen | lost | loss | seen + lost = passed |\n|---:|---:|---:|---:|---:|---:|---|"
        );
        let bench = Live { place: &place, state: &state, frames: &frames };
        let (highest, steps) = bench.climb()?;
        println!("\nHighest rate without loss: {highest} packets/s");
        let agrees = steps.iter().all(Step::agrees);
        println!("{} loss as the agent says equals the kernel's figure to the packet", said(agrees));
        good &= agrees;
        if capture.is_worst() {
            println!("{} no loss at {PROMISED} packets/s", said(highest >= PROMISED));
            good &= highest >= PROMISED;
        }
        found.push(json!({
            "capture": capture.name,
            "highest_without_loss": highest,
            "steps": steps.iter().map(to_json).collect::<Vec<_>>(),
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

fn to_json(step: &Step) -> Value {
    json!({
        "packets_per_second": step.rate,
        "sent": step.sent,
        "passed": step.passed,
        "seen": step.seen,
        "lost": step.lost,
    })
}

/// What a climb needs.
struct Live<'a> {
    place: &'a Place,
    state: &'a Path,
    frames: &'a Frames,
}

impl Live<'_> {
    /// Rates by half more until one loses something or the generator tires, then the middle of what is left.
    fn climb(&self) -> anyhow::Result<(u64, Vec<Step>)> {
        let (mut steps, mut highest, mut lowest_lossy, mut wanted) = (Vec::new(), 0, None, FIRST_RATE);
        let mut bisections = 0;
        loop {
            let step = self.step(wanted).with_context(|| format!("at {wanted} packets a second"))?;
            println!("{}", step.line());
            steps.push(step);
            if step.lost > 0 || !step.agrees() {
                lowest_lossy = Some(step.rate);
            } else {
                highest = highest.max(step.rate);
                if !step.generator_kept_up() {
                    println!("\nThe generator does not send more than {} packets/s here.", step.rate);
                    break;
                }
            }
            let Some(next) = next_rate(step.wanted, highest, lowest_lossy, &mut bisections) else { break };
            wanted = next;
        }
        Ok((highest, steps))
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
        while self.counted(&config).is_none() {
            ensure!(running.is_running(), "the agent ended at once; see {}", log.display());
            ensure!(begun.elapsed() < SETTLE, "the agent shows no status; see {}", log.display());
            std::thread::sleep(Duration::from_millis(200));
        }
        let Sent { packets: sent, took } = cable.send(self.frames, rate, HOLD)?;
        let (passed, seen, lost) = self.settled(&config, &cable)?;
        ensure!(running.is_running(), "the agent ended; see {}", log.display());
        drop(running);
        let rate_sent = u128::from(sent) * 1_000_000 / took.as_micros().max(1);
        Ok(Step { wanted: rate, rate: u64::try_from(rate_sent)?, sent, passed, seen, lost })
    }

    /// What passed, and what the agent has seen and lost of it, when they agree, or at last.
    fn settled(&self, config: &Path, cable: &Cable) -> anyhow::Result<(u64, u64, u64)> {
        let begun = Instant::now();
        loop {
            let passed = cable.passed()?;
            let (seen, lost) = self.counted(config).context("the agent shows no status")?;
            if seen + lost == passed || begun.elapsed() > SETTLE {
                return Ok((passed, seen, lost));
            }
            std::thread::sleep(Duration::from_millis(500));
        }
    }

    /// Packets seen and lost, as the agent's status shows.
    fn counted(&self, config: &Path) -> Option<(u64, u64)> {
        let mut status = self.place.agent();
        let text = command::output(status.args(["status", "--json", "--config"]).arg(config)).ok()?;
        let status: Value = serde_json::from_str(&text).ok()?;
        let one = status.get("health")?.get("interfaces")?.get(0)?;
        Some((one.get("packets")?.as_u64()?, one.get("kernel_drops")?.as_u64()?))
    }

    fn forget_status(&self) -> anyhow::Result<()> {
        let path: PathBuf = self.state.join("status.json");
        if path.exists() {
            std::fs::remove_file(&path).with_context(|| format!("cannot remove {}", path.display()))?;
        }
        Ok(())
    }
}

/// The next rate to try, if there is one.
fn next_rate(last: u64, highest: u64, lowest_lossy: Option<u64>, bisections: &mut u32) -> Option<u64> {
    let Some(lossy) = lowest_lossy else {
        let next = last + last / 2;
        return (next <= RATE_MAX).then_some(next);
    };
    *bisections += 1;
    let middle = highest.midpoint(lossy);
    (*bisections <= BISECTIONS && middle > highest && middle < lossy).then_some(middle)
}

/// Two namespaces joined by a veth pair without addresses: nobody answers. Gone when dropped, with everything in them.
struct Cable {
    inside: String,
    outside: String,
}

impl Cable {
    fn new() -> anyhow::Result<Self> {
        let id = std::process::id();
        let cable = Self { inside: format!("sk-bench-{id}-in"), outside: format!("sk-bench-{id}-out") };
        let (inside, outside) = (&cable.inside, &cable.outside);
        for line in [
            format!("netns add {inside}"),
            format!("netns add {outside}"),
            format!(
                "link add sk-in netns {inside} mtu 9000 type veth peer name sk-out netns {outside} mtu 9000"
            ),
            format!("-n {inside} link set sk-in addrgenmode none up"),
            format!("-n {outside} link set sk-out addrgenmode none up"),
        ] {
            command::output(Command::new("ip").args(line.split_whitespace()))?;
        }
        Ok(cable)
    }

    /// A program at the agent's end.
    fn command(&self, program: &Path) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.inside]).arg(program);
        command
    }

    /// What passed the agent's end, as the kernel counts.
    fn passed(&self) -> anyhow::Result<u64> {
        let mut ip = Command::new("ip");
        let text =
            command::output(ip.args(["-n", &self.inside, "-s", "-j", "link", "show", "dev", "sk-in"]))?;
        let said: Value = serde_json::from_str(&text).context("ip -j link")?;
        let packets = |way: &str| said.pointer(&format!("/0/stats64/{way}/packets")).and_then(Value::as_u64);
        let both = packets("rx").zip(packets("tx"));
        both.map(|(came, went)| came + went).context("ip says nothing of what passed")
    }

    /// Sends from the other end. A thread of its own: entering a namespace changes the thread.
    fn send(&self, frames: &Frames, rate: u64, hold: Duration) -> anyhow::Result<Sent> {
        let path = Path::new("/run/netns").join(&self.outside);
        std::thread::scope(|scope| {
            let sender = scope.spawn(|| send::send(&path, "sk-out", frames, rate, hold));
            let Ok(sent) = sender.join() else { bail!("the generator failed") };
            sent
        })
    }
}

impl Drop for Cable {
    fn drop(&mut self) {
        for name in [&self.inside, &self.outside] {
            if let Err(error) = command::output(Command::new("ip").args(["netns", "del", name])) {
                eprintln!("xtask: {error:#}");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_rise_until_something_is_lost_and_then_close_in() {
        let mut tries = 0;
        assert_eq!(next_rate(100, 100, None, &mut tries), Some(150));
        assert_eq!(next_rate(RATE_MAX, RATE_MAX, None, &mut tries), None);
        assert_eq!(next_rate(150, 100, Some(150), &mut tries), Some(125));
        assert_eq!(next_rate(125, 125, Some(150), &mut tries), Some(137));
        assert_eq!(next_rate(125, 125, Some(126), &mut tries), None);
        assert_eq!(tries, 3);
        assert_eq!(next_rate(0, 0, Some(50), &mut BISECTIONS.clone()), None);
    }

    #[test]
    fn loss_must_agree_with_the_kernel() {
        let step = Step { wanted: 100, rate: 99, sent: 1_000, passed: 1_000, seen: 900, lost: 100 };
        assert!(step.agrees() && step.generator_kept_up());
        assert!(step.line().contains("| 10.0 % | equal |"), "{}", step.line());
        assert!(!Step { lost: 99, ..step }.agrees());
        assert!(!Step { rate: 97, ..step }.generator_kept_up());
    }
}
