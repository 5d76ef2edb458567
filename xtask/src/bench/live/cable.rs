//! The cable between the generator and the agent.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, bail};
use serde_json::Value;

use super::send::{self, Frames, Sent};
use crate::command;

/// Two namespaces joined by a veth pair without addresses: nobody answers. Gone when dropped, with everything in them.
pub(super) struct Cable {
    inside: String,
    outside: String,
}

impl Cable {
    pub(super) fn new() -> anyhow::Result<Self> {
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
    pub(super) fn command(&self, program: &Path) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.inside]).arg(program);
        command
    }

    /// What passed the agent's end, as the kernel counts.
    pub(super) fn passed(&self) -> anyhow::Result<u64> {
        let mut ip = Command::new("ip");
        let text =
            command::output(ip.args(["-n", &self.inside, "-s", "-j", "link", "show", "dev", "sk-in"]))?;
        let said: Value = serde_json::from_str(&text).context("ip -j link")?;
        let packets = |way: &str| said.pointer(&format!("/0/stats64/{way}/packets")).and_then(Value::as_u64);
        let both = packets("rx").zip(packets("tx"));
        both.map(|(came, went)| came + went).context("ip says nothing of what passed")
    }

    /// Sends from the other end. A thread of its own: entering a namespace changes the thread.
    pub(super) fn send(&self, frames: &Frames, rate: u64, hold: Duration) -> anyhow::Result<Sent> {
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
