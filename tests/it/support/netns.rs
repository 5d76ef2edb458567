//! Network namespaces that a test makes itself, and removes.

use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

use super::run_ok;

/// A namespace with its loopback up. Removed when dropped.
pub(crate) struct Netns {
    pub(crate) name: String,
}

static NUMBER: AtomicU32 = AtomicU32::new(0);

/// A command that only root can run.
fn privileged(program: &str) -> Command {
    assert!(nix::unistd::geteuid().is_root(), "this needs root: run the tests with `cargo xtask test`");
    Command::new(program)
}

impl Netns {
    pub(crate) fn new(role: &str) -> Self {
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let netns = Self { name: format!("sk{}-{number}-{role}", std::process::id()) };
        run_ok(privileged("ip").args(["netns", "add", &netns.name]));
        netns.ip(&["link", "set", "lo", "up"]);
        netns
    }

    /// `ip …` inside.
    pub(crate) fn ip(&self, words: &[&str]) {
        run_ok(self.command(Path::new("ip")).args(words));
    }

    /// A program inside.
    pub(crate) fn command(&self, program: &Path) -> Command {
        Self::command_in(&self.name, program)
    }

    /// A program inside the namespace of this name, whoever keeps it.
    pub(crate) fn command_in(name: &str, program: &Path) -> Command {
        let mut command = privileged("ip");
        command.args(["netns", "exec", name]).arg(program);
        command
    }

    pub(crate) fn listens(&self, port: u16) -> bool {
        let listening = run_ok(self.command(Path::new("ss")).args(["-Hltn"]));
        listening.lines().any(|line| line.contains(&format!(":{port} ")))
    }

    /// A cable between two namespaces: `name` on both ends, with these addresses.
    pub(crate) fn connect(&self, address: &str, other: &Self, other_address: &str, name: &str) {
        run_ok(privileged("ip").args(["link", "add", name, "netns", &self.name, "type", "veth"]).args([
            "peer",
            "name",
            name,
            "netns",
            &other.name,
        ]));
        for (end, address) in [(self, address), (other, other_address)] {
            end.ip(&["addr", "add", address, "dev", name]);
            end.ip(&["link", "set", name, "up"]);
        }
    }
}

impl Drop for Netns {
    fn drop(&mut self) {
        // The name is ours; a namespace that is already gone is no reason to fail.
        let removed = privileged("ip").args(["netns", "del", &self.name]).status();
        assert!(removed.is_ok(), "ip can be started");
    }
}
