//! PostgreSQL under load: a server of its own, as durable as one in use, that fails when asked: it comes back, or its
//! synchronous standby takes over.
//!
//! A shell that watches this process stops the server and removes its files, however this process ends.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};

/// Makes the server's folder, starts it, with a standby that each commit waits for if there is a second port, and says where
/// it is. A line of its input ends it as a failing machine would: after `again` it is started again, after `over` the standby takes
/// its place. The end of its input ends it for good.
const SCRIPT: &str = r#"
dir=$(mktemp -d /tmp/sekimori-load-pg-XXXXXX) || exit 1
"$0/initdb" -D "$dir/one" -A trust -U sekimori -E UTF8 --locale=C >"$dir/log" 2>&1 || { cat "$dir/log" >&2; exit 1; }
data=$dir/one port=$1 sync=
start() {
  "$0/postgres" -D "$data" -k "$dir" -p "$port" -c listen_addresses=127.0.0.1 -c max_connections=200 \
    -c synchronous_standby_names="$sync" >>"$dir/log" 2>&1 &
  server=$!
}
if [ -n "$2" ]; then sync='*'; fi
start
if [ -n "$2" ]; then
  until "$0/pg_isready" -q -h "$dir" -p "$port"; do sleep 0.1; done
  "$0/pg_basebackup" -D "$dir/two" -R -h "$dir" -p "$port" -U sekimori -c fast >>"$dir/log" 2>&1 || exit 1
  first=$server data=$dir/two port=$2 sync=
  start
  standby=$server server=$first data=$dir/one port=$1 sync='*'
fi
echo "$dir"
while read -r what; do
  kill -QUIT "$server"
  wait "$server"
  if [ "$what" = over ]; then
    "$0/pg_ctl" promote -w -D "$dir/two" >>"$dir/log" 2>&1
    server=$standby data=$dir/two port=$2 sync=
  else
    start
  fi
done
kill -INT "$server"
wait "$server"
rm -rf "$dir"
"#;
const ANSWERS_WITHIN: Duration = Duration::from_secs(30);
const DATABASE: &str = "load";

/// A running server.
#[derive(Debug)]
pub(crate) struct Database {
    /// Of the server, and of its standby.
    ports: Vec<u16>,
    /// Which of them is in use.
    current: usize,
    folder: PathBuf,
    binaries: PathBuf,
    watcher: Child,
}

impl Database {
    /// Makes a server with an empty database and starts it, with a standby or without.
    pub(crate) fn start(with_standby: bool) -> anyhow::Result<Self> {
        let ports = ports(if with_standby { 2 } else { 1 })?;
        let binaries = binaries()?;
        let mut command = Command::new("sh");
        if nix::unistd::geteuid().is_root() {
            // It refuses to run as root.
            command = Command::new("setpriv");
            command.args(["--reuid", "postgres", "--regid", "postgres", "--init-groups", "sh"]);
        }
        let mut watcher = command
            .args(["-c", SCRIPT])
            .arg(&binaries)
            .args(ports.iter().map(u16::to_string))
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context("cannot start a shell for PostgreSQL")?;
        let mut folder = String::new();
        BufReader::new(watcher.stdout.take().context("its output")?).read_line(&mut folder)?;
        let folder = PathBuf::from(folder.trim());
        ensure!(folder.is_absolute(), "PostgreSQL did not start");
        let server = Self { ports, current: 0, folder, binaries, watcher };
        server.answers()?;
        ensure!(server.does(&format!("CREATE DATABASE {DATABASE}")), "PostgreSQL makes no database");
        Ok(server)
    }

    /// For `[store] url`.
    pub(crate) fn url(&self) -> String {
        let hosts: Vec<String> = self.ports.iter().map(|port| format!("127.0.0.1:{port}")).collect();
        format!("postgres://sekimori@{}/{DATABASE}", hosts.join(","))
    }

    /// Ends it at once, as a machine that fails would, and starts it again. What was committed is there.
    pub(crate) fn restart(&mut self) -> anyhow::Result<()> {
        self.tell("again")?;
        self.answers()
    }

    /// Ends it at once and for good; its standby takes its place.
    pub(crate) fn fail_over(&mut self) -> anyhow::Result<()> {
        self.tell("over")?;
        self.current = 1;
        self.answers()
    }

    fn tell(&mut self, what: &str) -> anyhow::Result<()> {
        Ok(writeln!(self.watcher.stdin.as_mut().context("its input")?, "{what}")?)
    }

    fn answers(&self) -> anyhow::Result<()> {
        let begin = Instant::now();
        while !self.does("CREATE TEMPORARY TABLE writes (n bigint)") {
            let log = self.folder.join("log");
            ensure!(begin.elapsed() < ANSWERS_WITHIN, "PostgreSQL does not answer; see {}", log.display());
            std::thread::sleep(Duration::from_millis(50));
        }
        Ok(())
    }

    fn does(&self, sql: &str) -> bool {
        let mut psql = Command::new(self.binaries.join("psql"));
        psql.args(["-qAtX", "-U", "sekimori", "-d", "postgres", "-c", sql, "-h"]).arg(&self.folder);
        psql.args(self.ports.get(self.current).map(|port| format!("-p{port}")));
        psql.stdin(Stdio::null()).output().is_ok_and(|run| run.status.success())
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        drop(self.watcher.stdin.take());
        drop(self.watcher.wait());
    }
}

fn binaries() -> anyhow::Result<PathBuf> {
    let mut found: Vec<PathBuf> = std::fs::read_dir("/usr/lib/postgresql")
        .map(|folders| folders.filter_map(|folder| Some(folder.ok()?.path().join("bin"))).collect())
        .unwrap_or_default();
    found.retain(|folder| folder.join("initdb").exists());
    found.sort();
    found.pop().context("PostgreSQL is not installed: apt-get install postgresql")
}

/// Free ports, held together so that they differ.
fn ports(count: usize) -> anyhow::Result<Vec<u16>> {
    let held: Vec<TcpListener> =
        (0..count).map(|_| TcpListener::bind(("127.0.0.1", 0))).collect::<Result<_, _>>()?;
    held.iter().map(|one| Ok(one.local_addr()?.port())).collect()
}
