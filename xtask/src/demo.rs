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

use std::io::Write;
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use serde_json::Value;

use crate::command::{self, cargo};
use crate::install::{self, Purpose};
use crate::pcaps::scenario::{BODIES, Body};

/// From the last program's start to the expected incidents. Only a broken build needs it all.
const INCIDENTS_WITHIN: Duration = Duration::from_secs(240);
/// The collector listens within this time.
const LISTENS_WITHIN: Duration = Duration::from_secs(30);

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

/// The two programs and where this demo keeps its state.
struct Place {
    root: PathBuf,
    programs: PathBuf,
    state: PathBuf,
}

impl Place {
    fn agent(&self) -> Command {
        Command::new(self.programs.join("sekimori-agent"))
    }

    fn collector(&self) -> Command {
        Command::new(self.programs.join("sekimori-collector"))
    }
}

/// What `init --json` said.
struct Collector {
    config: String,
    console: String,
    user: String,
    password: String,
    ca_sha256: String,
}

/// Runs the demo.
pub(crate) fn run(root: &Path, options: Options) -> anyhow::Result<()> {
    let start = Instant::now();
    install::ensure(Purpose::Build)?;
    let target = command::target(root);
    command::run(cargo().current_dir(root).args(BUILD))?;
    let built = start.elapsed();

    let place = Place { root: root.to_owned(), programs: target.join("release"), state: target.join("demo") };
    if place.state.exists() {
        std::fs::remove_dir_all(&place.state).context("cannot remove the previous demo's state")?;
    }
    std::fs::create_dir_all(&place.state)?;
    let ports = ports(options.port_base)?;
    let collector = init(&place, ports)?;
    let mut running = Supervised::start(&place, &collector)?;
    wait_for_listeners(&mut running, &ports)?;
    let mut replays = Vec::new();
    for body in &BODIES {
        replays.push(Replay::start(&place, &collector, body)?);
    }
    let (status, first) = watch(&place, &collector, &mut replays, start)?;

    let problems = judge::problems(&status);
    print!("\n{}", table::incidents(&status, &BODIES.map(|body| (body.code, body.name))));
    println!("\n  console  {}", collector.console);
    println!("  login    {} / {}", collector.user, collector.password);
    println!("  CA       SHA-256 {}", collector.ca_sha256);
    println!(
        "  time     built in {:.0} s, first incident after {:.0} s",
        built.as_secs_f64(),
        first.as_secs_f64()
    );
    for problem in &problems {
        println!("  missing  {problem}");
    }
    std::io::stdout().flush()?;
    if options.once {
        running.stop();
        ensure!(
            problems.is_empty(),
            "the demo did not open the expected incidents; see {}",
            place.state.display()
        );
        return Ok(());
    }
    println!(
        "\nOpen the console in a browser (its certificate is signed by the demo's own CA). Ctrl-C ends the demo."
    );
    running.wait()
}

const BUILD: [&str; 6] =
    ["build", "--release", "--package", "sekimori-agent", "--package", "sekimori-collector"];

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
    for (port, listener) in ports.iter_mut().zip(&listeners) {
        let listener = listener.as_ref().map_err(|error| anyhow::anyhow!("no free port: {error}"))?;
        *port = listener.local_addr()?.port();
    }
    Ok(ports)
}

fn init(place: &Place, ports: [u16; 3]) -> anyhow::Result<Collector> {
    let [ingest, enroll, console] = ports.map(|port| format!("127.0.0.1:{port}"));
    let mut command = place.collector();
    command.args(["init", "--json", "--host", "127.0.0.1", "--host", "localhost", "--dir"]);
    command.arg(place.state.join("collector"));
    command.args(["--ingest", &ingest, "--enroll", &enroll, "--console", &console]);
    let said: Value =
        serde_json::from_str(&command::output(&mut command)?).context("init --json is no JSON")?;
    let text = |key: &str| {
        said.get(key)
            .and_then(Value::as_str)
            .map(ToOwned::to_owned)
            .with_context(|| format!("init --json does not say \"{key}\""))
    };
    Ok(Collector {
        config: text("config")?,
        console: text("console")?,
        user: text("user")?,
        password: text("password")?,
        ca_sha256: text("ca_sha256")?,
    })
}

/// The collector under a shell that ends it when our end of a pipe closes: however this process dies, it does not stay
/// behind. The shell ignores Ctrl-C, so that the collector is always ended in the same, regular way.
struct Supervised {
    shell: Child,
    log: PathBuf,
}

const SUPERVISOR: &str = r#"trap "" INT; "$@" </dev/null & child=$!
( cat >/dev/null; kill -TERM $child 2>/dev/null ) <&3 &
wait $child"#;

impl Supervised {
    fn start(place: &Place, collector: &Collector) -> anyhow::Result<Self> {
        let log = place.state.join("collector.log");
        let file = std::fs::File::create(&log)?;
        let program = place.programs.join("sekimori-collector");
        let shell = Command::new("sh")
            .args(["-c", &format!("exec 3<&0; {SUPERVISOR}"), "sh"])
            .arg(program)
            .args(["run", "--config", &collector.config])
            .stdin(Stdio::piped())
            .stdout(file.try_clone()?)
            .stderr(file)
            .spawn()
            .context("cannot start sh")?;
        Ok(Self { shell, log })
    }

    fn is_running(&mut self) -> bool {
        self.shell.try_wait().is_ok_and(|status| status.is_none())
    }

    fn wait(&mut self) -> anyhow::Result<()> {
        // `Child::wait` would close the pipe, and with it end the collector.
        while self.is_running() {
            std::thread::sleep(Duration::from_millis(300));
        }
        bail!("the collector ended by itself; see {}", self.log.display())
    }

    fn stop(&mut self) {
        drop(self.shell.stdin.take());
        if let Err(error) = self.shell.wait() {
            eprintln!("xtask: cannot wait for the collector: {error}");
        }
    }
}

impl Drop for Supervised {
    fn drop(&mut self) {
        self.stop();
    }
}

fn wait_for_listeners(running: &mut Supervised, ports: &[u16; 3]) -> anyhow::Result<()> {
    let start = Instant::now();
    loop {
        ensure!(running.is_running(), "the collector ended at once; see {}", running.log.display());
        if ports.iter().all(|port| TcpStream::connect(("127.0.0.1", *port)).is_ok()) {
            return Ok(());
        }
        ensure!(
            start.elapsed() < LISTENS_WITHIN,
            "the collector does not listen; see {}",
            running.log.display()
        );
        std::thread::sleep(Duration::from_millis(100));
    }
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
        let label = format!("{}-gw1", body.key);
        let mut token = place.collector();
        token.args(["agent", "token", "--config", &collector.config, "--body", body.code]);
        token.args(["--body-name", body.name, "--name", &label]);
        let token = command::output(&mut token)?;
        let state = place.state.join(body.key);
        let mut enroll = place.agent();
        enroll.args(["enroll", "--token", token.trim(), "--name", &label, "--state"]).arg(&state);
        command::output(&mut enroll)?;

        let captures = place.root.join("pcaps/demo");
        let log = place.state.join(format!("{}.log", body.key));
        let mut replay = place.agent();
        replay.args(["replay", "--ship", "--rebase-time", "--quiet", "--format", "findings", "--state"]);
        replay.arg(&state).arg("--config").arg(captures.join(format!("{}.toml", body.key)));
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

/// Polls the collector until everything expected is there, or nothing more can come. Gives its last status and when the
/// first incident was seen.
fn watch(
    place: &Place,
    collector: &Collector,
    replays: &mut [Replay],
    start: Instant,
) -> anyhow::Result<(Value, Duration)> {
    let begun = Instant::now();
    let (mut first, mut seen, mut all_ended_at) = (None, 0, None);
    loop {
        let mut ask = place.collector();
        let text = command::output(ask.args(["status", "--json", "--config", &collector.config]))?;
        let status: Value = serde_json::from_str(&text).context("status --json is no JSON")?;
        let count = status.get("incidents").and_then(Value::as_array).map_or(0, Vec::len);
        if count > seen {
            eprintln!("xtask: {count} incidents after {:.0} s", start.elapsed().as_secs_f64());
            first = first.or_else(|| Some(start.elapsed()));
            seen = count;
        }
        let mut all_ended = true;
        for replay in replays.iter_mut() {
            all_ended &= replay.has_ended()?;
        }
        if all_ended && all_ended_at.is_none() {
            all_ended_at = Some(Instant::now());
        }
        let is_good = all_ended && judge::problems(&status).is_empty();
        // Everything shipped is committed and correlated in one transaction: what is not there now will not come.
        let is_over = all_ended_at.is_some_and(|at: Instant| at.elapsed() > Duration::from_secs(5));
        if is_good || is_over || begun.elapsed() > INCIDENTS_WITHIN {
            return Ok((status, first.unwrap_or_default()));
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
    fn three_different_free_ports() {
        let [a, b, c] = ports(None).unwrap();
        assert!(a != b && b != c && a != c);
    }

    #[test]
    fn every_body_has_captures() {
        let folder = command::root().unwrap().join("pcaps/demo");
        for body in BODIES {
            assert!(files_of(&folder, body.key).unwrap().len() >= 3);
        }
        files_of(&folder, "nobody").unwrap_err();
    }

    #[test]
    fn a_supervised_program_ends_when_the_pipe_closes() {
        let script = format!("exec 3<&0; {SUPERVISOR}");
        let mut shell = Command::new("sh");
        shell.args(["-c", &script, "sh", "sleep", "600"]);
        let mut child = shell.stdin(Stdio::piped()).spawn().unwrap();
        assert!(child.try_wait().unwrap().is_none());
        drop(child.stdin.take());
        assert!(!child.wait().unwrap().success(), "sleep was ended by SIGTERM");
    }
}
