//! The world of a test: a collector, agents, the programs under test, and how to wait for something.

pub(crate) mod line;
pub(crate) mod netns;
pub(crate) mod pcap;

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use serde_json::Value;
use tempfile::TempDir;

use self::netns::Netns;

/// A program of this workspace, beside the test binary in the target folder.
pub(crate) fn program(name: &str) -> PathBuf {
    let exe = std::env::current_exe().expect("the test's own path");
    let found = exe.ancestors().map(|folder| folder.join(name)).find(|path| path.is_file());
    found.unwrap_or_else(|| panic!("{name} is not built: run the tests with `cargo xtask test`"))
}

/// A capture that the project made.
pub(crate) fn pcap(name: &str) -> PathBuf {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../pcaps").join(name);
    assert!(path.is_file(), "{} is missing: `cargo xtask pcaps` makes it", path.display());
    path
}

/// Runs to the end; panics with what it said if it fails.
pub(crate) fn run_ok(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|cause| panic!("cannot start {command:?}: {cause}"));
    assert!(output.status.success(), "{command:?}: {}\n{}", output.status, said(&output));
    String::from_utf8(output.stdout).expect("UTF-8 on standard output")
}

pub(crate) fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// Polls until `probe` gives something; panics with `what` after `limit`.
pub(crate) fn wait_for<T>(what: &str, limit: Duration, mut probe: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(found) = probe() {
            return found;
        }
        assert!(start.elapsed() < limit, "{what}: not within {limit:?}");
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// Ports outside the range that the system gives to outgoing connections: nobody takes one between this look and the
/// program's own bind, but a test that runs beside this one and draws the same.
const PORTS: std::ops::Range<u16> = 10_240..32_768;
static NEXT_PORT: AtomicU16 = AtomicU16::new(0);

/// A port that nobody listens on, never the same twice in this process; processes begin at different places.
pub(crate) fn free_port() -> u16 {
    let width = u32::from(PORTS.end - PORTS.start);
    loop {
        let step = NEXT_PORT.fetch_add(1, Ordering::Relaxed);
        let place = std::process::id().wrapping_mul(7_919).wrapping_add(step.into()) % width;
        let port = PORTS.start + u16::try_from(place).expect("within the range");
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}

/// A child that is ended when the test ends, however it ends.
pub(crate) struct Running(Child);

impl Running {
    pub(crate) fn start(command: &mut Command) -> Self {
        Self(
            command
                .stdin(Stdio::null())
                .spawn()
                .unwrap_or_else(|cause| panic!("cannot start {command:?}: {cause}")),
        )
    }

    /// As `start`, with what it says on standard error added to a file.
    pub(crate) fn logged(command: &mut Command, log: &Path) -> Self {
        let log = std::fs::File::options().create(true).append(true).open(log).expect("a log file");
        Self::start(command.stderr(log))
    }

    /// SIGKILL: no chance to clean up.
    pub(crate) fn kill_hard(mut self) {
        self.end();
    }

    /// SIGTERM, and the exit status within a second or so.
    pub(crate) fn stop(mut self) -> std::process::ExitStatus {
        self.signal(Signal::SIGTERM);
        wait_for("a clean stop", Duration::from_secs(10), || self.0.try_wait().expect("our own child"))
    }

    /// The same, waiting for its end itself: to the millisecond.
    pub(crate) fn stop_closely(mut self) -> std::process::ExitStatus {
        self.signal(Signal::SIGTERM);
        self.0.wait().expect("our own child")
    }

    /// SIGHUP: read again what can be read again.
    pub(crate) fn hang_up(&self) {
        self.signal(Signal::SIGHUP);
    }

    pub(crate) fn signal(&self, signal: Signal) {
        let pid = nix::unistd::Pid::from_raw(i32::try_from(self.0.id()).expect("a process id"));
        nix::sys::signal::kill(pid, signal).expect("signals reach our own child");
    }

    /// Processor time that it has used, in the kernel and outside.
    pub(crate) fn cpu_time(&self) -> Duration {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.0.id())).expect("our own child");
        let after_name = stat.rsplit(')').next().expect("proc(5): the name is in parentheses");
        let ticks =
            after_name.split_whitespace().skip(11).take(2).map(|field| field.parse::<u64>().expect("ticks"));
        // USER_HZ is 100 on Linux.
        Duration::from_millis(ticks.sum::<u64>() * 10)
    }

    /// What the kernel says of each of its threads.
    pub(crate) fn thread_statuses(&self) -> Vec<String> {
        let tasks = std::fs::read_dir(format!("/proc/{}/task", self.0.id())).expect("our own child");
        // One may end between the two looks.
        tasks.flatten().filter_map(|task| std::fs::read_to_string(task.path().join("status")).ok()).collect()
    }

    /// Open file descriptors; `None` once it has ended.
    pub(crate) fn descriptors(&self) -> Option<usize> {
        Some(std::fs::read_dir(format!("/proc/{}/fd", self.0.id())).ok()?.count())
    }

    /// Memory that is no file's, in KiB; `None` once it has ended.
    pub(crate) fn anonymous_kib(&self) -> Option<u64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.0.id())).ok()?;
        let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:"))?;
        line.trim().strip_suffix(" kB")?.parse().ok()
    }

    pub(crate) fn has_ended(&mut self) -> bool {
        self.0.try_wait().expect("our own child").is_some()
    }

    fn end(&mut self) {
        if self.0.try_wait().ok().flatten().is_none() {
            self.0.kill().expect("our own child can be killed");
            self.0.wait().expect("and waited for");
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.end();
    }
}

/// How long a collector may take to listen: seconds at most, but the machines are shared and their disks stall.
const START_MAX: Duration = Duration::from_secs(60);

/// A collector with its own folder, ports and CA.
pub(crate) struct Collector {
    pub(crate) folder: TempDir,
    pub(crate) ingest: SocketAddr,
    pub(crate) console: SocketAddr,
    pub(crate) user: String,
    pub(crate) password: String,
    running: Option<Running>,
    place: Option<Netns>,
}

impl Collector {
    pub(crate) fn start() -> Self {
        Self::start_in(None)
    }

    /// Inside a network namespace, so that an agent there can reach it.
    pub(crate) fn start_in(place: Option<Netns>) -> Self {
        let mut collector = Self::made(place, true);
        collector.run();
        collector
    }

    /// Whose people need an authenticator, as it is where nobody says otherwise.
    pub(crate) fn with_authenticators() -> Self {
        let mut collector = Self::made(None, false);
        collector.run();
        collector
    }

    fn made(place: Option<Netns>, passwords_alone: bool) -> Self {
        let folder = tempfile::Builder::new().prefix("sekimori-it").tempdir().expect("a folder");
        let [ingest, enroll, console] = [(); 3].map(|()| SocketAddr::from(([127, 0, 0, 1], free_port())));
        let mut init = Command::new(program("sekimori-collector"));
        init.args(["init", "--json", "--host", "127.0.0.1", "--dir"]).arg(folder.path().join("collector"));
        if passwords_alone {
            init.arg("--without-second-factor");
        }
        for (flag, address) in [("--ingest", ingest), ("--enroll", enroll), ("--console", console)] {
            init.args([flag, &address.to_string()]);
        }
        let made: Value = serde_json::from_str(&run_ok(&mut init)).expect("JSON from init");
        let text = |key: &str| made[key].as_str().unwrap_or_else(|| panic!("init gives {key}")).to_owned();
        let (user, password) = (text("user"), text("password"));
        Self { folder, ingest, console, user, password, running: None, place }
    }

    /// Starts it and waits until it listens.
    pub(crate) fn run(&mut self) {
        let mut command = self.command_in_place("sekimori-collector");
        command.args(["run", "--config"]).arg(self.config());
        let log = self.folder.path().join("collector.log");
        let mut running = Running::logged(&mut command, &log);
        let (ingest, place) = (self.ingest, self.place.as_ref());
        wait_for("the collector listens", START_MAX, || {
            let said = || std::fs::read_to_string(&log).unwrap_or_default();
            assert!(!running.has_ended(), "the collector ended at once: {}", said());
            match place {
                None => TcpStream::connect(ingest).ok().map(drop),
                Some(place) => place.listens(ingest.port()).then_some(()),
            }
        });
        self.running = Some(running);
    }

    pub(crate) fn hang_up(&self) {
        self.running.as_ref().expect("it runs").hang_up();
    }

    pub(crate) fn kill_hard(&mut self) {
        self.running.take().expect("it runs").kill_hard();
    }

    pub(crate) fn running(&self) -> &Running {
        self.running.as_ref().expect("it runs")
    }

    pub(crate) fn config(&self) -> PathBuf {
        self.folder.path().join("collector/collector.toml")
    }

    fn command_in_place(&self, name: &str) -> Command {
        match &self.place {
            None => Command::new(program(name)),
            Some(place) => place.command(&program(name)),
        }
    }

    pub(crate) fn cli(&self, words: &[&str]) -> Command {
        let mut command = Command::new(program("sekimori-collector"));
        command.args(words).arg("--config").arg(self.config());
        command
    }

    /// Enrols a new agent for a body.
    pub(crate) fn enrol(&self, body: &str, name: &str) -> Agent {
        self.enrolled(name, &["--body", body])
    }

    /// The same, and what the body is called.
    pub(crate) fn enrol_named(&self, body: &str, body_name: &str, name: &str) -> Agent {
        self.enrolled(name, &["--body", body, "--body-name", body_name])
    }

    fn enrolled(&self, name: &str, of: &[&str]) -> Agent {
        let mut token = self.cli(&["agent", "token", "--name", name, "--ttl", "600"]);
        let token = run_ok(token.args(of));
        let state = self.folder.path().join(format!("agent-{name}"));
        let mut enroll = self.command_in_place("sekimori-agent");
        enroll.args(["enroll", "--name", name, "--token", token.trim(), "--state"]).arg(&state);
        run_ok(&mut enroll);
        Agent { state }
    }

    pub(crate) fn status(&self) -> Value {
        serde_json::from_str(&run_ok(self.cli(&["status"]).arg("--json"))).expect("JSON from status")
    }

    /// A counter of the collector; zero if nothing was counted yet.
    pub(crate) fn counter(&self, name: &str) -> u64 {
        self.status()["counters"][name].as_u64().unwrap_or(0)
    }

    /// Batches that are stored of the first agent's chains in force, in both lanes.
    pub(crate) fn through(&self) -> u64 {
        let agent = &self.status()["agents"][0];
        agent["through"].as_u64().unwrap_or(0) + agent["detail_through"].as_u64().unwrap_or(0)
    }

    /// Incidents of a category, once there is one.
    pub(crate) fn incidents(&self, category: &str, limit: Duration) -> Vec<Value> {
        wait_for(&format!("an incident of category {category}"), limit, || {
            let status = self.status();
            let all = status["incidents"].as_array().expect("a list of incidents");
            let fitting: Vec<Value> = all.iter().filter(|one| one["category"] == category).cloned().collect();
            (!fitting.is_empty()).then_some(fitting)
        })
    }

    /// Every stored batch is whole, in order and signed.
    pub(crate) fn assert_verifies(&self) {
        run_ok(&mut self.cli(&["verify"]));
    }
}

/// An enrolled agent's state folder.
pub(crate) struct Agent {
    pub(crate) state: PathBuf,
}

impl Agent {
    /// Replays captures and ships what was found.
    pub(crate) fn replay(&self, config: Option<&Path>, captures: &[PathBuf]) -> Command {
        let mut command = Command::new(program("sekimori-agent"));
        command
            .args(["replay", "--ship", "--rebase-time", "--quiet", "--ship-timeout", "60", "--state"])
            .arg(&self.state);
        if let Some(config) = config {
            command.arg("--config").arg(config);
        }
        command.args(captures);
        command
    }

    /// Writes a configuration for `run` and gives its path.
    pub(crate) fn configure(&self, toml: &str) -> PathBuf {
        let path = self.state.join("agent.toml");
        let text = format!("{toml}\n[state]\ndir = {:?}\n", self.state);
        std::fs::write(&path, text).expect("the state folder is ours");
        path
    }

    /// Batches in the spool that are not acknowledged.
    pub(crate) fn waiting(&self) -> u64 {
        let spool = self.spool();
        ["urgent", "detail"].iter().filter_map(|lane| spool[lane]["pending_batches"].as_u64()).sum()
    }

    pub(crate) fn spool(&self) -> Value {
        let mut command = Command::new(program("sekimori-agent"));
        command.args(["spool", "inspect", "--json", "--state"]).arg(&self.state);
        serde_json::from_str(&run_ok(&mut command)).expect("JSON from spool inspect")
    }

    pub(crate) fn identity(&self, file: &str) -> PathBuf {
        self.state.join("identity").join(file)
    }
}

/// `sekimori-agent` with these words, run to the end.
pub(crate) fn agent(words: &[&str]) -> Output {
    Command::new(program("sekimori-agent")).args(words).output().expect("the agent starts")
}
