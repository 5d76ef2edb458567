//! The collectors under load: real processes with folders and ports of their own, started, killed, started again.

use std::fs::File;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use sekimori_collector::config::Config;
use sekimori_collector::init::{self, Plan};

const LISTENS_WITHIN: Duration = Duration::from_secs(30);
/// `USER_HZ` is 100 on Linux.
const TICK: Duration = Duration::from_millis(10);

/// A collector's folder and program.
#[derive(Clone, Debug)]
pub(crate) struct Host {
    program: PathBuf,
    config_path: PathBuf,
    log: PathBuf,
    pub(crate) config: Config,
}

/// The processes of all replicas.
#[derive(Debug)]
pub(crate) struct Replicas {
    hosts: Vec<Host>,
    running: Vec<Running>,
    /// Of those that were killed.
    gone: Duration,
    kills: u32,
}

/// Its process; killed when dropped.
#[derive(Debug)]
struct Running {
    child: Child,
}

/// What a process has used: processor time, and memory of its own in KiB.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Usage {
    pub(crate) cpu: Duration,
    pub(crate) rss_anon: u64,
}

impl Host {
    /// Makes a new collector in `dir`, which must not be there; `store` is a database of several collectors. `timers` takes
    /// the place of the time limits that are built in.
    pub(crate) async fn make(
        program: &Path,
        dir: &Path,
        store: Option<String>,
        timers: Option<String>,
    ) -> anyhow::Result<Self> {
        let [ingest, enroll, console] = ports()?;
        let plan = Plan {
            dir: dir.join("collector"),
            hosts: vec!["127.0.0.1".to_owned()],
            ingest,
            enroll,
            console,
            without_second_factor: true,
            store,
        };
        let made = init::run(&plan).await?;
        if let Some(timers) = timers {
            std::fs::write(made.config.with_file_name("timers.toml"), timers)?;
            let text = std::fs::read_to_string(&made.config)?;
            std::fs::write(&made.config, text + "\n[timing]\ntimers = \"timers.toml\"\n")?;
        }
        let config = Config::load(&made.config)?;
        let log = dir.join("collector.log");
        Ok(Self { program: program.to_owned(), config_path: made.config, log, config })
    }

    /// Another collector on the same database: a copy of the folder, as one makes it, with ports of its own.
    pub(crate) fn replica(&self, dir: &Path, number: usize) -> anyhow::Result<Self> {
        let from = self.config_path.parent().context("a folder")?;
        let to = dir.join(format!("collector-{number}"));
        let status = Command::new("cp").arg("-a").arg(from).arg(&to).status().context("cp")?;
        ensure!(status.success(), "cannot copy {}", from.display());
        let config_path = to.join(self.config_path.file_name().context("a file")?);
        let mut text = std::fs::read_to_string(&config_path)?;
        let before = [self.config.ingest, self.config.enroll, self.config.console];
        for (before, after) in before.into_iter().zip(ports()?) {
            text = text.replace(&format!("\"{before}\""), &format!("\"{after}\""));
        }
        std::fs::write(&config_path, text)?;
        let config = Config::load(&config_path)?;
        ensure!(config.ingest != self.config.ingest, "the copy has the same address");
        let log = dir.join(format!("collector-{number}.log"));
        Ok(Self { program: self.program.clone(), config_path, log, config })
    }

    /// Starts it and waits until it listens.
    async fn start(&self) -> anyhow::Result<Running> {
        let log = File::options().create(true).append(true).open(&self.log)?;
        let mut command = Command::new(&self.program);
        command.arg("run").arg("--config").arg(&self.config_path);
        // One line for each agent that enrols would be most of the log.
        command.env("SEKIMORI_LOG", "warn").stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        let child = command.spawn().with_context(|| format!("cannot start {}", self.program.display()))?;
        let mut running = Running { child };
        let begin = Instant::now();
        while TcpStream::connect(self.config.ingest).is_err() {
            ensure!(running.is_running(), "the collector ended at once; see {}", self.log.display());
            ensure!(
                begin.elapsed() < LISTENS_WITHIN,
                "the collector does not listen; see {}",
                self.log.display()
            );
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Ok(running)
    }
}

impl Running {
    /// Whether it has not ended by itself.
    fn is_running(&mut self) -> bool {
        self.child.try_wait().is_ok_and(|status| status.is_none())
    }

    /// What it has used until now.
    fn usage(&self) -> Usage {
        usage(&self.child.id().to_string())
    }

    /// `SIGKILL`.
    fn kill(&mut self) -> anyhow::Result<()> {
        self.child.kill().context("cannot kill the collector")?;
        self.child.wait().map(drop).context("cannot wait for the collector")
    }

    /// `SIGTERM`, and a clean end.
    async fn stop(mut self) -> anyhow::Result<()> {
        let pid = nix::unistd::Pid::from_raw(i32::try_from(self.child.id())?);
        nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM)?;
        let begin = Instant::now();
        while self.is_running() {
            if begin.elapsed() > LISTENS_WITHIN {
                bail!("the collector does not end");
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        Ok(())
    }
}

impl Replicas {
    /// Starts them all.
    pub(crate) async fn start(hosts: Vec<Host>) -> anyhow::Result<Self> {
        let mut running = Vec::with_capacity(hosts.len());
        for host in &hosts {
            running.push(host.start().await?);
        }
        Ok(Self { hosts, running, gone: Duration::ZERO, kills: 0 })
    }

    /// Whether none has ended by itself.
    pub(crate) fn are_running(&mut self) -> bool {
        self.running.iter_mut().all(Running::is_running)
    }

    /// What all of them have used until now, those that were killed as well.
    pub(crate) fn usage(&self) -> Usage {
        let mut sum = Usage { cpu: self.gone, rss_anon: 0 };
        for usage in self.running.iter().map(Running::usage) {
            sum.cpu += usage.cpu;
            sum.rss_anon += usage.rss_anon;
        }
        sum
    }

    /// `SIGKILL` to one, in turn, and a new process at once.
    pub(crate) async fn kill_one(&mut self) -> anyhow::Result<()> {
        let turn = usize::try_from(self.kills)? % self.hosts.len().max(1);
        let (running, host) =
            self.running.get_mut(turn).zip(self.hosts.get(turn)).context("there is no collector")?;
        self.gone += running.usage().cpu;
        running.kill()?;
        *running = host.start().await?;
        self.kills += 1;
        Ok(())
    }

    /// `SIGTERM` to all of them, and clean ends.
    pub(crate) async fn stop(self) -> anyhow::Result<()> {
        for running in self.running {
            running.stop().await?;
        }
        Ok(())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if self.is_running() {
            drop(self.child.kill());
            drop(self.child.wait());
        }
    }
}

/// What a process (`self`: this one) has used until now; nothing if it is gone.
pub(crate) fn usage(pid: &str) -> Usage {
    let read = |name: &str| std::fs::read_to_string(format!("/proc/{pid}/{name}")).unwrap_or_default();
    let stat = read("stat");
    // proc(5): the name, in parentheses, may hold anything.
    let after_name = stat.rsplit(')').next().unwrap_or_default();
    let ticks = after_name.split_whitespace().skip(11).take(2).filter_map(|field| field.parse::<u32>().ok());
    let status = read("status");
    let rss_anon = status.lines().find_map(|line| line.strip_prefix("RssAnon:"));
    let rss_anon =
        rss_anon.and_then(|rest| rest.trim().strip_suffix(" kB")?.parse().ok()).unwrap_or_default();
    Usage { cpu: TICK * ticks.sum::<u32>(), rss_anon }
}

/// Three free ports, held together so that they differ.
fn ports() -> anyhow::Result<[SocketAddr; 3]> {
    let free = || TcpListener::bind(("127.0.0.1", 0)).context("there is no free port");
    let [a, b, c] = [free()?, free()?, free()?];
    Ok([a.local_addr()?, b.local_addr()?, c.local_addr()?])
}
