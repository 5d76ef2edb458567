//! `cargo xtask install-test`: the packages as an operator meets them, in a fresh Debian of their own.
//!
//! ```text
//! dist --dev ─► debootstrap (kept for the next run) ─► copy ─► apt-get install ─► init, enrol, run ─► upgrade ─► run ─► remove ─► purge
//! ```
//! Everything runs under `chroot`, and what runs or talks also in a network namespace; only apt-get reaches out, for what the
//! packages depend on. There is no systemd that runs: programs are started by this launcher, as the unit's user and with the
//! unit's one capability. Each thing looked at is a line; the last line goes to a dated result file.

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};

use crate::command::{self, output, run};
use crate::dist;
use crate::install::{self, Purpose};

/// What was run, when, of which commit, and how it went.
const RESULTS: &str = "tests/install.tsv";
const HEAD: &str = "date\tcommit\tsuite\tfigures\n";
const SUITE: &str = "bookworm";
const MIRROR: &str = "http://deb.debian.org/debian";
/// Higher than any that there is.
const NEXT_VERSION: &str = "999.0.0";
const AGENT: &str = "/var/lib/sekimori-agent";
const COLLECTOR: &str = "/var/lib/sekimori-collector";
const AGENT_CONFIG: &str = "/etc/sekimori/agent.toml";
const COLLECTOR_CONFIG: &str = "/var/lib/sekimori-collector/collector.toml";
/// Goes in with a /proc that only this program sees; the process stays the same, so that signals reach it.
const ENTER: [&str; 4] =
    ["--mount", "sh", "-c", "mount -t proc proc \"$0/proc\" && exec chroot \"$0\" \"$@\""];
const SOON: Duration = Duration::from_secs(60);

/// Runs everything.
pub(crate) fn test(root: &Path) -> anyhow::Result<()> {
    ensure!(install::is_root(), "this needs root: it makes a Debian of its own");
    install::ensure(Purpose::Debian)?;
    // The whole workspace, as the tests build it: other features would build everything anew.
    run(command::cargo().current_dir(root).args(["build", "--quiet", "--workspace", "--bins"]))?;
    dist::run(root, dist::Options::development())?;
    let target = command::target(root);
    let place = target.join("install-test");
    let base = base(&place)?;
    let debian = Debian::copy(&base, &place.join("debian"))?;
    let mut test = Test { debian, seen: 0, started: Instant::now() };
    let first = debs(&target.join("dist-dev"))?;
    let second: Vec<PathBuf> =
        first.iter().map(|deb| repacked(deb, &place.join("next"))).collect::<Result<_, _>>()?;
    test.installed(&first)?;
    let before = test.enrolled_and_ran()?;
    test.upgraded(&second, &before)?;
    test.removed()?;
    test.purged()?;
    let figures =
        format!("{} looked at, all as promised, in {} s", test.seen, test.started.elapsed().as_secs());
    println!("install-test: {figures}");
    drop(test);
    record(root, &figures)
}

/// A Debian as debootstrap makes it, once.
fn base(place: &Path) -> anyhow::Result<PathBuf> {
    let (base, mark) = (place.join("base"), place.join("base.done"));
    if mark.exists() {
        return Ok(base);
    }
    if base.exists() {
        std::fs::remove_dir_all(&base).with_context(|| format!("cannot remove {}", base.display()))?;
    }
    std::fs::create_dir_all(place).with_context(|| format!("cannot make {}", place.display()))?;
    let mut make = Command::new("debootstrap");
    run(make.args(["--variant=minbase", SUITE]).arg(&base).arg(MIRROR).stdout(Stdio::null()))?;
    std::fs::write(&mark, SUITE)?;
    Ok(base)
}

/// The packages in a folder, agent first.
fn debs(folder: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let mut all: Vec<PathBuf> = std::fs::read_dir(folder)
        .with_context(|| format!("cannot read {}", folder.display()))?
        .filter_map(|entry| entry.ok().map(|entry| entry.path()))
        .filter(|path| path.extension().is_some_and(|end| end == "deb"))
        .collect();
    all.sort();
    ensure!(all.len() == 2, "{} packages in {}", all.len(), folder.display());
    Ok(all)
}

/// The same package, of a higher version: nothing is compiled again.
fn repacked(deb: &Path, folder: &Path) -> anyhow::Result<PathBuf> {
    let name = deb.file_stem().and_then(|name| name.to_str()).context("a package has a name")?;
    let tree = folder.join(name);
    if tree.exists() {
        std::fs::remove_dir_all(&tree)?;
    }
    std::fs::create_dir_all(folder)?;
    run(Command::new("dpkg-deb").arg("--raw-extract").arg(deb).arg(&tree))?;
    let control = tree.join("DEBIAN/control");
    let text = std::fs::read_to_string(&control)?;
    let version =
        text.lines().find(|line| line.starts_with("Version: ")).context("a package has a version")?;
    std::fs::write(&control, text.replace(version, &format!("Version: {NEXT_VERSION}")))?;
    let next = folder.join(format!("{name}-next.deb"));
    run(Command::new("dpkg-deb").args(["--build", "--root-owner-group", "-Znone"]).arg(&tree).arg(&next))?;
    std::fs::remove_dir_all(&tree)?;
    Ok(next)
}

/// A Debian in a folder, and a network namespace. Both are gone when this is dropped.
struct Debian {
    root: PathBuf,
    netns: String,
}

impl Debian {
    fn copy(base: &Path, root: &Path) -> anyhow::Result<Self> {
        if root.exists() {
            std::fs::remove_dir_all(root).with_context(|| format!("cannot remove {}", root.display()))?;
        }
        run(Command::new("cp").args(["--archive", "--reflink=auto"]).arg(base).arg(root))?;
        let debian = Self { root: root.to_owned(), netns: format!("sk-install-{}", std::process::id()) };
        // Nobody else's names and no daemons but ours.
        std::fs::copy("/etc/resolv.conf", root.join("etc/resolv.conf")).context("cannot copy resolv.conf")?;
        let policy = root.join("usr/sbin/policy-rc.d");
        std::fs::write(&policy, "#!/bin/sh\nexit 101\n")?;
        run(Command::new("chmod").arg("755").arg(policy))?;
        run(Command::new("ip").args(["netns", "add", &debian.netns]))?;
        run(Command::new("ip").args(["netns", "exec", &debian.netns, "ip", "link", "set", "lo", "up"]))?;
        Ok(debian)
    }

    fn path(&self, inside: &str) -> PathBuf {
        self.root.join(inside.trim_start_matches('/'))
    }

    /// With the machine's network.
    fn outside(&self, words: &[&str]) -> Command {
        let mut command = Command::new("unshare");
        command.args(ENTER).arg(&self.root).args(words).stdin(Stdio::null());
        command.env("DEBIAN_FRONTEND", "noninteractive").env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
        command
    }

    /// In the namespace, as this user, with nothing but what the unit gives.
    fn service(&self, user: &str, capabilities: &str, words: &[&str]) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.netns, "unshare"]).args(ENTER).arg(&self.root);
        command.args(["setpriv", "--reuid", user, "--regid", user, "--init-groups", "--no-new-privs"]);
        command.arg(format!("--inh-caps=-all{capabilities}"));
        command.arg(format!("--ambient-caps=-all{capabilities}"));
        command.arg(format!("--bounding-set=-all{capabilities}"));
        command.args(words).stdin(Stdio::null()).env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
        command
    }
}

impl Drop for Debian {
    fn drop(&mut self) {
        let removed = Command::new("ip").args(["netns", "del", &self.netns]).status();
        if removed.is_err() || std::fs::remove_dir_all(&self.root).is_err() {
            eprintln!("xtask: {} is left over", self.root.display());
        }
    }
}

/// A program that is ended with the test.
struct Service(Child);

impl Service {
    fn stop(mut self) -> anyhow::Result<()> {
        run(Command::new("kill").arg(self.0.id().to_string()))?;
        let status = self.0.wait()?;
        ensure!(status.success(), "it ended with {status}");
        Ok(())
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        // One that has ended cannot be killed again.
        self.0.kill().unwrap_or_default();
        drop(self.0.wait());
    }
}

/// What must outlive an upgrade.
struct Before {
    identity: String,
    config: String,
    stored: u64,
}

struct Test {
    debian: Debian,
    seen: u32,
    started: Instant,
}

impl Test {
    fn holds(&mut self, what: &str, is: bool) -> anyhow::Result<()> {
        ensure!(is, "not so: {what}");
        println!("  {what}");
        self.seen += 1;
        Ok(())
    }

    /// Owner, group and mode of a file, as `stat` says them inside.
    fn stat(&self, path: &str) -> anyhow::Result<String> {
        let words = ["stat", "--format=%U:%G %a", path];
        Ok(output(&mut self.debian.outside(&words))?.trim().to_owned())
    }

    fn apt(&self, words: &[&str]) -> anyhow::Result<()> {
        let words: Vec<&str> =
            ["apt-get", "-qq", "-o", "Dpkg::Use-Pty=0"].iter().chain(words).copied().collect();
        output(&mut self.debian.outside(&words)).map(drop)
    }

    fn install(&self, debs: &[PathBuf]) -> anyhow::Result<()> {
        let mut names = Vec::new();
        for deb in debs {
            let name = deb.file_name().and_then(|name| name.to_str()).context("a package has a name")?;
            std::fs::copy(deb, self.debian.path(&format!("/srv/{name}")))?;
            names.push(format!("/srv/{name}"));
        }
        let words: Vec<&str> = ["install", "-y", "--no-install-recommends"]
            .into_iter()
            .chain(names.iter().map(String::as_str))
            .collect();
        self.apt(&words)
    }

    fn has_user(&self, name: &str) -> bool {
        self.debian
            .outside(&["getent", "passwd", name])
            .stdout(Stdio::null())
            .status()
            .is_ok_and(|ended| ended.success())
    }

    fn installed(&mut self, debs: &[PathBuf]) -> anyhow::Result<()> {
        println!("install");
        self.apt(&["update"])?;
        self.install(debs)?;
        for (path, wanted) in [
            ("/usr/bin/sekimori-agent", "root:root 755"),
            ("/usr/bin/sekimori-collector", "root:root 755"),
            (AGENT_CONFIG, "root:sekimori-agent 640"),
            (AGENT, "sekimori-agent:sekimori-agent 700"),
            (COLLECTOR, "sekimori-collector:sekimori-collector 700"),
        ] {
            let is = self.stat(path)?;
            self.holds(&format!("{path} is {wanted}"), is == wanted)?;
        }
        for side in ["agent", "collector"] {
            let unit = format!("sekimori-{side}.service");
            let there = ["/lib/systemd/system", "/usr/lib/systemd/system"];
            let there = there.iter().any(|folder| self.debian.path(&format!("{folder}/{unit}")).is_file());
            self.holds(&format!("{unit} is there"), there)?;
            let enabled = self.debian.path(&format!("/etc/systemd/system/multi-user.target.wants/{unit}"));
            self.holds(&format!("{unit} is not enabled"), enabled.symlink_metadata().is_err())?;
            let page = self.debian.path(&format!("/usr/share/man/man1/sekimori-{side}.1.gz"));
            self.holds(&format!("the manual of sekimori-{side} is there"), page.is_file())?;
            let changed =
                output(&mut self.debian.outside(&["dpkg", "--verify", &format!("sekimori-{side}")]))?;
            self.holds(&format!("dpkg finds sekimori-{side} unchanged"), changed.is_empty())?;
        }
        Ok(())
    }

    /// `sekimori-collector … --config` as its user.
    fn collector(&self, words: &[&str]) -> anyhow::Result<String> {
        let words: Vec<&str> = ["sekimori-collector"]
            .iter()
            .chain(words)
            .chain(&["--config", COLLECTOR_CONFIG])
            .copied()
            .collect();
        output(&mut self.debian.service("sekimori-collector", "", &words))
    }

    fn start(&self, side: &str, capabilities: &str, config: &str) -> anyhow::Result<Service> {
        let (user, log) = (format!("sekimori-{side}"), self.debian.path(&format!("/srv/{side}.log")));
        let log = std::fs::File::options().create(true).append(true).open(log)?;
        let mut command = self.debian.service(&user, capabilities, &[&user, "run", "--config", config]);
        Ok(Service(command.stderr(log).spawn().with_context(|| format!("cannot start {user}"))?))
    }

    fn stored(&self) -> anyhow::Result<u64> {
        let status: serde_json::Value = serde_json::from_str(&self.collector(&["status", "--json"])?)?;
        Ok(status.pointer("/counters/batches_stored").and_then(serde_json::Value::as_u64).unwrap_or_default())
    }

    /// Starts both and waits until more batches are stored than before.
    fn run_both(&mut self, before: u64) -> anyhow::Result<u64> {
        let collector = self.start("collector", "", COLLECTOR_CONFIG)?;
        let agent = self.start("agent", ",+net_raw", AGENT_CONFIG)?;
        let began = Instant::now();
        let mut stored = 0;
        while stored <= before {
            if began.elapsed() > SOON {
                let log = |side| std::fs::read_to_string(self.debian.path(&format!("/srv/{side}.log")));
                bail!("no batch within {SOON:?}: {}\n{}", log("agent")?, log("collector")?);
            }
            std::thread::sleep(Duration::from_millis(500));
            stored = self.stored().unwrap_or_default();
        }
        self.holds("batches arrive", true)?;
        agent.stop().context("sekimori-agent")?;
        collector.stop().context("sekimori-collector")?;
        self.holds("both stop when they are told", true)?;
        Ok(stored)
    }

    /// What `README.md` says, word for word but for names.
    fn enrolled_and_ran(&mut self) -> anyhow::Result<Before> {
        println!("enrol and run");
        let init = ["sekimori-collector", "init", "--dir", COLLECTOR, "--host", "127.0.0.1"];
        output(&mut self.debian.outside(&init))?;
        output(&mut self.debian.outside(&["chown", "-R", "sekimori-collector:", COLLECTOR]))?;
        self.holds("init fills the folder that the package made", true)?;
        let token = self.collector(&["agent", "token", "--body", "422011", "--name", "gw1"])?;
        let collector = self.start("collector", "", COLLECTOR_CONFIG)?;
        let enroll = ["sekimori-agent", "enroll", "--state", AGENT, "--token", token.trim()];
        let began = Instant::now();
        while let Err(error) = output(&mut self.debian.service("sekimori-agent", "", &enroll)) {
            if began.elapsed() > SOON {
                return Err(error);
            }
            std::thread::sleep(Duration::from_millis(500));
        }
        collector.stop().context("sekimori-collector")?;
        self.holds("the agent enrols as its own user", true)?;
        output(&mut self.debian.outside(&["sekimori-agent", "init", "--interface", "lo"]))?;
        let config = std::fs::read_to_string(self.debian.path(AGENT_CONFIG))?;
        self.holds(
            "init takes the place of the package's example",
            config.contains("interfaces = [\"lo\"]"),
        )?;
        let stored = self.run_both(0)?;
        Ok(Before { identity: self.identity()?, config, stored })
    }

    /// Names and digests of the agent's keys and certificates.
    fn identity(&self) -> anyhow::Result<String> {
        let words = ["sh", "-c", "cd /var/lib/sekimori-agent/identity && sha256sum *"];
        output(&mut self.debian.outside(&words))
    }

    fn upgraded(&mut self, debs: &[PathBuf], before: &Before) -> anyhow::Result<()> {
        println!("upgrade");
        self.install(debs)?;
        for side in ["agent", "collector"] {
            let words = ["dpkg-query", "--show", "--showformat=${Version}", &format!("sekimori-{side}")];
            let version = output(&mut self.debian.outside(&words))?;
            self.holds(&format!("sekimori-{side} is {NEXT_VERSION}"), version == NEXT_VERSION)?;
        }
        let config = std::fs::read_to_string(self.debian.path(AGENT_CONFIG))?;
        self.holds("the operator's configuration is kept", config == before.config)?;
        let mode = self.stat(AGENT_CONFIG)?;
        self.holds("and may be read by the agent alone", mode == "root:sekimori-agent 640")?;
        let identity = self.identity()?;
        self.holds("keys and certificates are kept", identity == before.identity)?;
        let verify = ["sekimori-agent", "spool", "verify", "--state", AGENT];
        output(&mut self.debian.service("sekimori-agent", "", &verify))?;
        self.holds("the spool is whole", true)?;
        self.run_both(before.stored)?;
        self.collector(&["verify"])?;
        self.holds("one chain, before and after the upgrade", true)
    }

    fn removed(&mut self) -> anyhow::Result<()> {
        println!("remove");
        self.apt(&["remove", "-y", "sekimori-agent", "sekimori-collector"])?;
        for side in ["agent", "collector"] {
            let program = format!("/usr/bin/sekimori-{side}");
            let gone = !self.debian.path(&program).exists();
            self.holds(&format!("{program} is gone"), gone)?;
            let has_user = self.has_user(&format!("sekimori-{side}"));
            self.holds(&format!("the user sekimori-{side} is kept"), has_user)?;
        }
        for path in [AGENT_CONFIG, COLLECTOR_CONFIG, "/var/lib/sekimori-agent/identity/enrolment.json"] {
            let kept = self.debian.path(path).is_file();
            self.holds(&format!("{path} is kept"), kept)?;
        }
        Ok(())
    }

    fn purged(&mut self) -> anyhow::Result<()> {
        println!("purge");
        self.apt(&["purge", "-y", "sekimori-agent", "sekimori-collector"])?;
        for path in [AGENT, COLLECTOR, "/etc/sekimori"] {
            let gone = self.debian.path(path).symlink_metadata().is_err();
            self.holds(&format!("{path} is gone"), gone)?;
        }
        for side in ["agent", "collector"] {
            let has_user = self.has_user(&format!("sekimori-{side}"));
            self.holds(&format!("the user sekimori-{side} is gone"), !has_user)?;
        }
        let left = output(&mut self.debian.outside(&[
            "sh",
            "-c",
            "find / -xdev -name '*sekimori*' -not -path '/srv/*'",
        ]))?;
        self.holds(&format!("nothing of that name is left {left}"), left.trim().is_empty())
    }
}

fn record(root: &Path, figures: &str) -> anyhow::Result<()> {
    let mut line = String::new();
    writeln!(line, "{}\t{}\t{SUITE}\t{figures}", command::today()?, command::commit(root)?)?;
    let path = root.join(RESULTS);
    let is_new = !path.exists();
    let mut file = std::fs::File::options().create(true).append(true).open(&path)?;
    let head = if is_new { HEAD } else { "" };
    write!(file, "{head}{line}").with_context(|| format!("cannot write {}", path.display()))
}
