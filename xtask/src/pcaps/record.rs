//! `cargo xtask pcaps --record`: real tools between two network namespaces, captured by our own agent.
//!
//! ```text
//! namespace "out" 203.0.113.66 ──veth── 192.168.10.5 namespace "in": servers, and `sekimori-agent run` with `record`
//! ```
//!
//! The captures differ from one recording to the next; what must be found in them does not. The namespaces have names
//! of their own and are removed however the recording ends.

mod tools;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, ensure};
use serde_json::Value;

use super::{FILE_BYTES_MAX, FORBIDDEN_SEVERITY, expected_json};
use crate::command;
use crate::install::Purpose;
use crate::stage::{Collector, Place, Supervised};
use tools::{Recording, recordings};

/// The agent has opened its ring within this time; what is sent earlier is not recorded.
const SETTLE: Duration = Duration::from_secs(3);

/// Which of the two namespaces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Side {
    Inside,
    Outside,
}

/// Records every capture anew whose name holds `only`.
pub(crate) fn all(root: &Path, only: &str) -> anyhow::Result<()> {
    let uid = command::output(Command::new("id").arg("-u"))?;
    ensure!(uid.trim() == "0", "recording makes network namespaces and captures: run it as root");
    let place = Place::build(root, Purpose::Record, "record")?;
    // The agent captures only when it is enrolled; that it cannot reach the collector from its namespace does not matter.
    let collector = Collector::start(&place, None)?;
    let [body, ..] = super::scenario::BODIES;
    let state = collector.enrol(&place, &body)?;
    // Each stands for itself: one tool that fails does not keep the others from being recorded.
    let mut failed = Vec::new();
    for recording in recordings().into_iter().filter(|recording| recording.name.contains(only)) {
        eprintln!("xtask: recording {}", recording.name);
        if let Err(error) = record(&place, &state, &recording) {
            eprintln!("xtask: cannot record {}: {error:#}", recording.name);
            failed.push(recording.name);
        }
    }
    ensure!(failed.is_empty(), "not recorded: {}", failed.join(", "));
    Ok(())
}

fn record(place: &Place, state: &Path, recording: &Recording) -> anyhow::Result<()> {
    let world = World::new()?;
    let folder = place.state.join(recording.name.replace('/', "-"));
    std::fs::create_dir_all(&folder)?;
    let raw = folder.join("recorded.pcap");
    let config = folder.join("agent.toml");
    let text = format!("[capture]\ninterfaces = [\"sk-in\"]\nrecord = {raw:?}\n\n[state]\ndir = {state:?}\n");
    std::fs::write(&config, text)?;
    let mut agent = world.command(Side::Inside, place.program("sekimori-agent"));
    agent.args(["run", "--config"]).arg(&config);
    let mut running = Supervised::start(&agent, folder.join("agent.log"))?;
    std::thread::sleep(SETTLE);
    ensure!(running.is_running(), "the agent ended at once; see {}", folder.join("agent.log").display());

    let mut servers = Vec::new();
    for (number, (side, line)) in recording.servers.iter().enumerate() {
        let shell = world.shell(*side, line, &folder);
        servers.push(Supervised::start(&shell, folder.join(format!("server-{number}.log")))?);
    }
    std::thread::sleep(SETTLE);
    for (side, line) in recording.acts {
        command::output(&mut world.shell(*side, line, &folder))?;
    }
    std::thread::sleep(SETTLE);
    drop(servers);
    // Ends the agent with SIGTERM: it writes out what it has before it goes.
    drop(running);
    finish(place, recording, &raw)
}

/// Puts the capture where it belongs, if what must be found in it is found.
fn finish(place: &Place, recording: &Recording, raw: &Path) -> anyhow::Result<()> {
    let bytes = std::fs::read(raw).context("the agent recorded nothing")?;
    ensure!(bytes.len() > 1_000, "the agent recorded only {} bytes", bytes.len());
    ensure!(bytes.len() <= FILE_BYTES_MAX, "{} bytes were recorded, more than 1 MiB", bytes.len());
    let found = command::output(place.agent().args(["replay", "--format", "findings"]).arg(raw))?;
    let findings = found.lines().map(serde_json::from_str).collect::<Result<Vec<Value>, _>>()?;
    for expect in recording.expect.iter().map(|expect| expect.to_json()) {
        let fits = |finding: &Value| {
            let mut wanted = expect.as_object().into_iter().flatten();
            wanted.all(|(key, value)| finding.get(key) == Some(value))
        };
        ensure!(findings.iter().any(fits), "{expect} is not found in what was recorded:\n{found}");
    }
    let severe = findings.iter().filter_map(|finding| finding.get("severity")?.as_u64());
    let is_false = recording.expect.is_empty() && severe.max() >= Some(u64::from(FORBIDDEN_SEVERITY));
    ensure!(!is_false, "a near-miss gave findings:\n{found}");
    let stem = place.root.join("pcaps").join(recording.name);
    let beside = |extension: &str| PathBuf::from(format!("{}.{extension}", stem.display()));
    std::fs::write(beside("pcap"), bytes)?;
    std::fs::write(beside("expected.json"), expected_json(recording.about, None, &recording.expect)?)?;
    Ok(())
}

/// Two namespaces joined by a veth pair; gone when dropped, with everything in them.
struct World {
    inside: String,
    outside: String,
}

impl World {
    fn new() -> anyhow::Result<Self> {
        let id = std::process::id();
        let world = Self { inside: format!("sk-{id}-in"), outside: format!("sk-{id}-out") };
        let ip = |line: &str| command::output(Command::new("ip").args(line.split_whitespace()));
        let (inside, outside) = (&world.inside, &world.outside);
        ip(&format!("netns add {inside}"))?;
        ip(&format!("netns add {outside}"))?;
        ip(&format!("link add sk-in netns {inside} type veth peer name sk-out netns {outside}"))?;
        for line in [
            format!("-n {inside} addr add 192.168.10.5/24 dev sk-in"),
            format!("-n {outside} addr add 203.0.113.66/24 dev sk-out"),
            format!("-n {inside} link set sk-in up"),
            format!("-n {outside} link set sk-out up"),
            format!("-n {inside} link set lo up"),
            format!("-n {outside} link set lo up"),
            format!("-n {outside} route add 192.168.10.0/24 dev sk-out"),
            // Behind the gateway, but nobody is there: the sweep goes unanswered.
            format!("-n {outside} route add 192.168.20.0/24 via 192.168.10.5"),
            format!("-n {inside} route add default dev sk-in"),
        ] {
            ip(&line)?;
        }
        Ok(world)
    }

    fn command(&self, side: Side, program: PathBuf) -> Command {
        let namespace = match side {
            Side::Inside => &self.inside,
            Side::Outside => &self.outside,
        };
        let mut command = Command::new("ip");
        command.args(["netns", "exec", namespace]).arg(program);
        command
    }

    /// A shell line in a namespace and a folder.
    fn shell(&self, side: Side, line: &str, folder: &Path) -> Command {
        let mut command = self.command(side, "bash".into());
        command.args(["-c", "cd \"$0\" && PATH=$PATH:/usr/sbin:/sbin && eval \"$1\""]).arg(folder).arg(line);
        command
    }
}

impl Drop for World {
    fn drop(&mut self) {
        for name in [&self.inside, &self.outside] {
            // What a program left behind would keep the namespace; everybody in it was started here.
            let left = command::output(Command::new("ip").args(["netns", "pids", name])).unwrap_or_default();
            if !left.trim().is_empty()
                && let Err(error) = command::output(Command::new("kill").args(left.split_whitespace()))
            {
                eprintln!("xtask: {error:#}");
            }
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
    fn recordings_are_named_for_what_they_expect() {
        for recording in recordings() {
            let (category, file) = recording.name.split_once('/').unwrap();
            assert!(recording.expect.iter().all(|expect| expect.category == category), "{}", recording.name);
            let start = if recording.expect.is_empty() { "benign-recorded-" } else { "positive-recorded-" };
            assert!(file.starts_with(start), "{}", recording.name);
        }
    }
}
