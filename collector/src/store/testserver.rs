//! PostgreSQL for tests: one server for a test process, a database for each test. A shell that watches this process stops the
//! server and removes its files, however this process ends.

use std::io::{BufRead as _, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

/// Makes the server's folder, says where it is, starts it, and waits until nobody holds the other end of its input.
const SCRIPT: &str = r#"
dir=$(mktemp -d /tmp/sekimori-pg-XXXXXX) || exit 1
"$0/initdb" -D "$dir/data" -A trust -U sekimori --no-sync -E UTF8 --locale=C >"$dir/log" 2>&1 || { cat "$dir/log" >&2; exit 1; }
"$0/postgres" -D "$dir/data" -k "$dir" -c listen_addresses= -c fsync=off -c max_connections=300 >>"$dir/log" 2>&1 &
server=$!
echo "$dir"
read -r _
kill -INT "$server"
wait "$server"
rm -rf "$dir"
"#;

/// The server of this process.
struct Server {
    folder: PathBuf,
    binaries: PathBuf,
    /// Its input stays open as long as this process lives.
    _watcher: Child,
}

static SERVER: OnceLock<Server> = OnceLock::new();
static DATABASES: AtomicU32 = AtomicU32::new(0);

fn binaries() -> PathBuf {
    let mut found: Vec<PathBuf> = std::fs::read_dir("/usr/lib/postgresql")
        .map(|folders| folders.filter_map(|folder| Some(folder.ok()?.path().join("bin"))).collect())
        .unwrap_or_default();
    found.retain(|folder| folder.join("initdb").exists());
    found.sort();
    found.pop().expect("PostgreSQL is not installed, and these tests need it: apt-get install postgresql")
}

impl Server {
    fn start() -> Self {
        let binaries = binaries();
        // It refuses to run as root.
        let is_root = Command::new("id").arg("-u").output().is_ok_and(|it| it.stdout == b"0\n");
        let mut command = Command::new(if is_root { "setpriv" } else { "env" });
        if is_root {
            command.args(["--reuid", "postgres", "--regid", "postgres", "--init-groups"]);
        }
        let mut watcher = command
            .args(["sh", "-c", SCRIPT])
            .arg(&binaries)
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("a shell");
        let mut folder = String::new();
        BufReader::new(watcher.stdout.take().expect("its output")).read_line(&mut folder).expect("a folder");
        let folder = PathBuf::from(folder.trim());
        assert!(folder.is_absolute(), "PostgreSQL did not start");
        let server = Self { folder, binaries, _watcher: watcher };
        for _ in 0..200 {
            if server.says("SELECT 1").is_some() {
                return server;
            }
            std::thread::sleep(std::time::Duration::from_millis(50));
        }
        panic!("PostgreSQL does not answer: {:?}", std::fs::read_to_string(server.folder.join("log")));
    }

    fn says(&self, sql: &str) -> Option<String> {
        let run = Command::new(self.binaries.join("psql"))
            .args(["-qAtX", "-U", "sekimori", "-d", "postgres", "-c", sql, "-h"])
            .arg(&self.folder)
            .output()
            .expect("psql");
        run.status.success().then(|| String::from_utf8_lossy(&run.stdout).trim().to_owned())
    }
}

/// The URL of a new, empty database.
pub(crate) fn database() -> String {
    let server = SERVER.get_or_init(Server::start);
    let name = format!("t{}", DATABASES.fetch_add(1, Ordering::Relaxed));
    server.says(&format!("CREATE DATABASE {name}")).expect("a database");
    format!("postgres:///{name}?host={}&user=sekimori", server.folder.display())
}
