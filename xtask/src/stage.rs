//! A collector and its agents on this machine, for the demo and for recording: built, started, enrolled, ended.

use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use serde_json::Value;

use crate::command::{self, cargo};
use crate::install::{self, Purpose};
use crate::pcaps::scenario::Body;

/// The collector listens within this time.
const LISTENS_WITHIN: Duration = Duration::from_secs(30);

/// Where the programs are, and where their state is kept.
#[derive(Debug)]
pub(crate) struct Place {
    /// The project.
    pub(crate) root: PathBuf,
    /// State and logs; nothing in it is kept from one run to the next.
    pub(crate) state: PathBuf,
    programs: PathBuf,
}

impl Place {
    /// Installs what building needs, builds both programs, and empties `target/<name>`. In release, save for recording:
    /// that is done by those who develop, and needs no speed.
    pub(crate) fn build(root: &Path, purpose: Purpose, name: &str) -> anyhow::Result<Self> {
        install::ensure(purpose)?;
        let (profile, folder) =
            if purpose == Purpose::Record { ("dev", "debug") } else { ("release", "release") };
        let packages = ["--package", "sekimori-agent", "--package", "sekimori-collector"];
        command::run(cargo().current_dir(root).args(["build", "--profile", profile]).args(packages))?;
        Self::new(root, command::target(root).join(folder), name)
    }

    /// With programs that are built already: this agent and the collector beside it.
    pub(crate) fn with(root: &Path, agent: &Path, name: &str) -> anyhow::Result<Self> {
        let agent = agent.canonicalize().with_context(|| format!("there is no {}", agent.display()))?;
        let programs = agent.parent().context("a program lies in a folder")?.to_owned();
        for name in ["sekimori-agent", "sekimori-collector"] {
            ensure!(programs.join(name).is_file(), "there is no {name} in {}", programs.display());
        }
        Self::new(root, programs, name)
    }

    fn new(root: &Path, programs: PathBuf, name: &str) -> anyhow::Result<Self> {
        let state = command::target(root).join(name);
        if state.exists() {
            std::fs::remove_dir_all(&state).with_context(|| format!("cannot remove {}", state.display()))?;
        }
        std::fs::create_dir_all(&state)?;
        Ok(Self { root: root.to_owned(), programs, state })
    }

    /// The path of a program.
    pub(crate) fn program(&self, name: &str) -> PathBuf {
        self.programs.join(name)
    }

    /// The agent, with arguments to come.
    pub(crate) fn agent(&self) -> Command {
        Command::new(self.program("sekimori-agent"))
    }
}

/// A running collector, as `init --json` described it.
#[derive(Debug)]
pub(crate) struct Collector {
    program: PathBuf,
    config: String,
    /// The console's address.
    pub(crate) console: String,
    /// The first user.
    pub(crate) user: String,
    /// Its password.
    pub(crate) password: String,
    /// The CA's fingerprint.
    pub(crate) ca_sha256: String,
    running: Supervised,
}

impl Collector {
    /// Makes one in the place's state folder, starts it and waits until it listens on 127.0.0.1.
    pub(crate) fn start(place: &Place, port_base: Option<u16>) -> anyhow::Result<Self> {
        let program = place.program("sekimori-collector");
        let ports = ports(port_base)?;
        let [ingest, enroll, console] = ports.map(|port| format!("127.0.0.1:{port}"));
        let mut init = Command::new(&program);
        init.args([
            "init",
            "--json",
            "--without-second-factor",
            "--host",
            "127.0.0.1",
            "--host",
            "localhost",
        ]);
        init.args(["--ingest", &ingest, "--enroll", &enroll, "--console", &console]);
        init.arg("--dir").arg(place.state.join("collector"));
        let said: Value =
            serde_json::from_str(&command::output(&mut init)?).context("init --json is no JSON")?;
        let text = |key: &str| {
            let value = said.get(key).and_then(Value::as_str).map(ToOwned::to_owned);
            value.with_context(|| format!("init --json does not say \"{key}\""))
        };
        let config = text("config")?;
        let mut run = Command::new(&program);
        run.args(["run", "--config", &config]);
        let mut running = Supervised::start(&run, place.state.join("collector.log"))?;
        running.wait_until_listening(&ports)?;
        Ok(Self {
            program,
            config,
            console: text("console")?,
            user: text("user")?,
            password: text("password")?,
            ca_sha256: text("ca_sha256")?,
            running,
        })
    }

    /// Enrols an agent of a body; gives its state folder.
    pub(crate) fn enrol(&self, place: &Place, body: &Body) -> anyhow::Result<PathBuf> {
        let label = format!("{}-gw1", body.key);
        let mut token = Command::new(&self.program);
        token.args(["agent", "token", "--config", &self.config, "--body", body.code]);
        token.args(["--body-name", body.name, "--name", &label]);
        let token = command::output(&mut token)?;
        let state = place.state.join(body.key);
        let mut enroll = place.agent();
        enroll.args(["enroll", "--token", token.trim(), "--name", &label, "--state"]).arg(&state);
        command::output(&mut enroll)?;
        Ok(state)
    }

    /// What `status --json` says.
    pub(crate) fn status(&self) -> anyhow::Result<Value> {
        let mut ask = Command::new(&self.program);
        let text = command::output(ask.args(["status", "--json", "--config", &self.config]))?;
        serde_json::from_str(&text).context("status --json is no JSON")
    }

    /// Stays as long as it runs. Gives only an error: it should run until this process ends.
    pub(crate) fn wait(&mut self) -> anyhow::Result<()> {
        // `Child::wait` would close the pipe, and with it end the collector.
        while self.running.is_running() {
            std::thread::sleep(Duration::from_millis(300));
        }
        bail!("the collector ended by itself; see {}", self.running.log.display())
    }
}

/// A program under a shell that ends it when our end of a pipe closes: however this process dies, it does not stay
/// behind. The shell ignores Ctrl-C, so that the program is always ended in the same, regular way.
#[derive(Debug)]
pub(crate) struct Supervised {
    shell: Child,
    log: PathBuf,
}

const SUPERVISOR: &str = r#"exec 3<&0; trap "" INT; "$@" </dev/null 3<&- & child=$!
( cat >/dev/null; kill -TERM $child 2>/dev/null ) <&3 &
wait $child"#;

impl Supervised {
    /// Starts a command whose output goes to `log`.
    pub(crate) fn start(command: &Command, log: PathBuf) -> anyhow::Result<Self> {
        let file = std::fs::File::create(&log).with_context(|| format!("cannot write {}", log.display()))?;
        let mut shell = Command::new("sh");
        shell.args(["-c", SUPERVISOR, "sh"]).arg(command.get_program()).args(command.get_args());
        shell.stdin(Stdio::piped()).stdout(file.try_clone()?).stderr(file);
        let shell = shell.spawn().with_context(|| format!("cannot start {}", command::show(command)))?;
        Ok(Self { shell, log })
    }

    /// Whether it still runs.
    pub(crate) fn is_running(&mut self) -> bool {
        self.shell.try_wait().is_ok_and(|status| status.is_none())
    }

    fn wait_until_listening(&mut self, ports: &[u16]) -> anyhow::Result<()> {
        let start = Instant::now();
        while !ports.iter().all(|port| TcpStream::connect(("127.0.0.1", *port)).is_ok()) {
            ensure!(self.is_running(), "the collector ended at once; see {}", self.log.display());
            ensure!(
                start.elapsed() < LISTENS_WITHIN,
                "the collector does not listen; see {}",
                self.log.display()
            );
            std::thread::sleep(Duration::from_millis(100));
        }
        Ok(())
    }
}

impl Drop for Supervised {
    fn drop(&mut self) {
        drop(self.shell.stdin.take());
        if let Err(error) = self.shell.wait() {
            eprintln!("xtask: cannot wait for what {} is the log of: {error}", self.log.display());
        }
    }
}

/// Three ports in a row from `base`, or three free ones.
fn ports(base: Option<u16>) -> anyhow::Result<[u16; 3]> {
    if let Some(base) = base {
        let ports = [base, base.saturating_add(1), base.saturating_add(2)];
        for port in ports {
            TcpListener::bind(("127.0.0.1", port)).with_context(|| format!("port {port} is not free"))?;
        }
        return Ok(ports);
    }
    // Held together, so that they differ; free again when this returns.
    let listeners = [(); 3].map(|()| TcpListener::bind(("127.0.0.1", 0)));
    let mut ports = [0; 3];
    for (port, listener) in ports.iter_mut().zip(listeners) {
        *port = listener.context("there is no free port")?.local_addr()?.port();
    }
    Ok(ports)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_different_free_ports() {
        let [a, b, c] = ports(None).unwrap();
        assert!(a != b && b != c && a != c);
    }

    #[test]
    fn a_supervised_program_ends_when_it_is_dropped() {
        let log = std::env::temp_dir().join(format!("xtask-supervised-{}.log", std::process::id()));
        let mut sleep = Command::new("sleep");
        let mut running = Supervised::start(sleep.arg("600"), log.clone()).unwrap();
        assert!(running.is_running());
        let start = Instant::now();
        drop(running);
        assert!(
            start.elapsed() < Duration::from_secs(60),
            "dropping waits for SIGTERM to work, not for sleep"
        );
        std::fs::remove_file(log).unwrap();
    }
}
