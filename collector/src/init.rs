//! `init`: a new collector in a new folder.
//!
//! Made under a temporary name and renamed at the end: there is a whole collector, or none.

use std::collections::BTreeSet;
use std::fs::{DirBuilder, OpenOptions};
use std::io::Write as _;
use std::net::SocketAddr;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::auth::password::{PasswordError, hash_password, random_secret};
use crate::auth::role::Role;
use crate::auth::rules::AccountRules;
use crate::auth::scope::Scope;
use crate::beside::operator;
use crate::clock;
use crate::fleet::authority::{self, AuthorityError, Paths};
use crate::store::people::log::By;
use crate::store::{Place, Servers, Store, StoreError};

/// The first user.
const ADMIN: &str = "admin";

/// What an operator asks for.
#[derive(Debug)]
pub struct Plan {
    /// The folder to make.
    pub dir: PathBuf,
    /// Names and addresses that agents and browsers will use.
    pub hosts: Vec<String>,
    /// Where agents deliver batches.
    pub ingest: SocketAddr,
    /// Where new agents enrol.
    pub enroll: SocketAddr,
    /// Console and JSON API.
    pub console: SocketAddr,
    /// Passwords alone open the console.
    pub without_second_factor: bool,
    /// The database server; none: a file beside the configuration.
    pub store: Option<String>,
}

/// What an operator must know of the new collector.
#[derive(Debug, Serialize)]
pub struct Made {
    /// The configuration file.
    pub config: PathBuf,
    /// The console's address.
    pub console: String,
    /// The first user.
    pub user: String,
    /// That user's password, shown once.
    pub password: String,
    /// The CA's certificate.
    pub ca_pem: PathBuf,
    /// Its fingerprint.
    pub ca_sha256: String,
}

/// Makes the folder.
///
/// # Errors
/// If it is there already and not empty, or cannot be written.
pub async fn run(plan: &Plan) -> Result<Made, InitError> {
    // Without a slash at the end, so that the temporary name stands beside it.
    let dir: &PathBuf = &plan.dir.components().collect();
    if dir.symlink_metadata().is_ok() && !is_empty_folder(dir) {
        return Err(InitError::Exists { dir: dir.clone() });
    }
    let mut temporary = dir.as_os_str().to_owned();
    temporary.push(".new");
    let temporary = PathBuf::from(temporary);
    if let Some(parent) = dir.parent() {
        folder(parent, true)?;
    }
    folder(&temporary, false)?;
    let made = fill(plan, &temporary).await;
    if made.is_err() {
        // What is half made is of no use; that it cannot be removed either must not hide the first error.
        std::fs::remove_dir_all(&temporary).unwrap_or_default();
    }
    let (password, ca_sha256) = made?;
    std::fs::rename(&temporary, dir).map_err(|cause| InitError::Write { path: dir.clone(), cause })?;
    let host = plan.hosts.first().map_or("127.0.0.1", String::as_str);
    let host = if host.contains(':') { format!("[{host}]") } else { host.to_owned() };
    Ok(Made {
        config: dir.join("collector.toml"),
        console: format!("https://{host}:{}/", plan.console.port()),
        user: ADMIN.to_owned(),
        password,
        ca_pem: Paths::of(dir).ca(),
        ca_sha256,
    })
}

/// What a package or `systemd-tmpfiles` made, and nobody has used; a link to such a folder is none.
fn is_empty_folder(dir: &Path) -> bool {
    let is_folder = dir.symlink_metadata().is_ok_and(|data| data.is_dir());
    is_folder && std::fs::read_dir(dir).is_ok_and(|mut entries| entries.next().is_none())
}

async fn fill(plan: &Plan, dir: &Path) -> Result<(String, String), InitError> {
    for name in ["ca", "keys", "store"] {
        folder(&dir.join(name), false)?;
    }
    let authority = authority::make(&Paths::of(dir), &plan.hosts, clock::now())?;
    write(&dir.join("collector.toml"), config_text(plan).as_bytes())?;
    for (path, content) in &authority.files {
        write(path, content)?;
    }
    let place = match plan.store.as_deref().map(Servers::parse).transpose().map_err(InitError::Url)? {
        Some(servers) => Place::Servers(servers),
        None => {
            let path = dir.join("store/sekimori.db");
            write(&path, b"")?;
            Place::File(path)
        }
    };
    let store = Store::create(&place).await?;
    if !store.users().await?.is_empty() {
        return Err(InitError::Taken(place.to_string()));
    }
    let password = random_secret()?;
    let operator = operator();
    let by = By { actor: &operator, role: "os", address: "local", means: "init", at: clock::now() };
    store.create_account(&by, &ADMIN.into(), Role::FIRST, &Scope::All, &hash_password(&password)?).await?;
    store.close().await;
    Ok((password, authority.ca_sha256.to_string()))
}

/// A folder that only we can enter; `recursive` also takes one that is there.
fn folder(path: &Path, recursive: bool) -> Result<(), InitError> {
    DirBuilder::new()
        .mode(0o700)
        .recursive(recursive)
        .create(path)
        .map_err(|cause| InitError::Write { path: path.to_owned(), cause })
}

/// A new file that only we can read, on the disk when this returns.
fn write(path: &Path, content: &[u8]) -> Result<(), InitError> {
    let failed = |cause| InitError::Write { path: path.to_owned(), cause };
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).map_err(failed)?;
    file.write_all(content).and_then(|()| file.sync_all()).map_err(failed)
}

fn second_factor(plan: &Plan) -> toml::Value {
    let roles =
        if plan.without_second_factor { BTreeSet::new() } else { AccountRules::default().second_factor };
    toml::Value::from(roles.iter().map(|role| role.as_str()).collect::<Vec<_>>())
}

/// The annotated configuration, as the documents show it.
const EXAMPLE: &str = include_str!("../collector.example.toml");

/// The same with what was asked for; a test reads it back.
fn config_text(plan: &Plan) -> String {
    let hosts = if plan.hosts.is_empty() { vec!["127.0.0.1".to_owned()] } else { plan.hosts.clone() };
    let value = |address: SocketAddr| toml::Value::from(address.to_string());
    let mut lines = vec![
        ("hosts = ", format!("hosts = {}", toml::Value::from(hosts))),
        ("ingest = ", format!("ingest = {}", value(plan.ingest))),
        ("enroll = ", format!("enroll = {}", value(plan.enroll))),
        ("console = ", format!("console = {}", value(plan.console))),
        ("second_factor = ", format!("second_factor = {}", second_factor(plan))),
    ];
    if let Some(url) = &plan.store {
        lines.push(("# url = ", format!("url = {}", toml::Value::from(url.as_str()))));
    }
    let chosen = |line: &str| {
        let found = lines.iter().find(|(start, _)| line.starts_with(start));
        found.map_or_else(|| line.to_owned(), |(_, instead)| instead.clone()) + "\n"
    };
    EXAMPLE.lines().map(chosen).collect()
}

/// Why there is no new collector.
#[derive(Debug, thiserror::Error)]
pub enum InitError {
    /// The folder.
    #[error("{dir} is there already; a collector is never made over another")]
    Exists {
        /// Which folder.
        dir: PathBuf,
    },
    /// A file.
    #[error("cannot write {path}")]
    Write {
        /// Which file.
        path: PathBuf,
        /// Why.
        #[source]
        cause: std::io::Error,
    },
    /// The CA.
    #[error("the certificates cannot be made")]
    Authority {
        /// Why.
        #[from]
        cause: AuthorityError,
    },
    /// What was given as the database.
    #[error("--store {0}")]
    Url(&'static str),
    /// It is another collector's.
    #[error("the database {0} belongs to a collector already: for one more, copy that one's folder")]
    Taken(String),
    /// The store.
    #[error("the store cannot be made")]
    Store {
        /// Why.
        #[from]
        cause: StoreError,
    },
    /// The password.
    #[error("no password can be made")]
    Password {
        /// Why.
        #[from]
        cause: PasswordError,
    },
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    #[test]
    fn the_configuration_it_writes_is_read_back() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("collector.toml");
        let plan = Plan {
            dir: dir.path().to_owned(),
            hosts: vec!["collector.example.lg.jp".into(), "192.0.2.1".into()],
            ingest: "0.0.0.0:8440".parse().unwrap(),
            enroll: "0.0.0.0:8441".parse().unwrap(),
            console: "[::]:8443".parse().unwrap(),
            without_second_factor: false,
            store: Some("postgres://me@db1,db2/sekimori".into()),
        };
        std::fs::write(&path, config_text(&plan)).unwrap();
        let config = Config::load(&path).unwrap();
        assert_eq!(config.hosts, plan.hosts);
        assert_eq!(config.store().to_string(), "db1:5432/sekimori, db2:5432/sekimori");
        assert_eq!(config.console, plan.console);
        assert_eq!(config.url(config.ingest), "https://collector.example.lg.jp:8440");
        assert_eq!(config.correlation.gap.as_secs(), 1800);
        assert_eq!(config.accounts.second_factor, AccountRules::default().second_factor);
        std::fs::write(&path, config_text(&Plan { without_second_factor: true, ..plan })).unwrap();
        assert!(Config::load(&path).unwrap().accounts.second_factor.is_empty());
    }
}
