//! The store: one SQLite file, many readers, one writer.
//!
//! Everything that one submission changes is one transaction ([`write`]); what is acknowledged is on the disk
//! (WAL, `synchronous = FULL`). The command line works on the same file beside a running collector.

pub mod account;
pub mod acknowledge;
pub mod view;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use tokio::sync::watch;

use self::db::Tx;

pub mod commit;
pub mod db;
pub mod exception;
pub mod expiring;
pub mod finding;
pub mod incident;
pub mod people;
pub mod policy;
pub mod seen;
pub mod sensor_watch;
pub mod writer;

/// Connections that read.
const READERS_MAX: u32 = 4;
/// How long a statement waits for another process that writes.
const BUSY_TIMEOUT: Duration = Duration::from_secs(20);

/// The store, cheap to clone.
#[derive(Clone, Debug)]
pub struct Store {
    read: db::Pool,
    write: db::Pool,
    changes: Arc<watch::Sender<i64>>,
}

impl Store {
    /// Makes a new store.
    ///
    /// # Errors
    /// If the file cannot be made.
    pub async fn create(path: &Path) -> Result<Self, StoreError> {
        Self::connect(path, true).await
    }

    /// Opens an existing store for reading and writing and brings its schema up to date.
    ///
    /// # Errors
    /// If there is none, or it cannot be read.
    pub async fn open(path: &Path) -> Result<Self, StoreError> {
        Self::connect(path, false).await
    }

    async fn connect(path: &Path, create: bool) -> Result<Self, StoreError> {
        let failed = |cause| StoreError::Open { path: path.to_owned(), cause };
        let options = options(path).create_if_missing(create).synchronous(SqliteSynchronous::Full);
        let write = SqlitePoolOptions::new()
            .max_connections(1)
            .connect_with(options.clone().journal_mode(SqliteJournalMode::Wal))
            .await
            .map_err(failed)?;
        sqlx::migrate!("src/store/schema/sqlite")
            .run(&write)
            .await
            .map_err(|cause| StoreError::Migrate { path: path.to_owned(), cause })?;
        let read = SqlitePoolOptions::new()
            .max_connections(READERS_MAX)
            .connect_with(options.pragma("query_only", "ON"))
            .await
            .map_err(failed)?;
        let (read, write) = (db::Pool::Sqlite(read), db::Pool::Sqlite(write));
        let store = Self { read, write, changes: Arc::new(watch::Sender::new(0)) };
        store.announce(store.last_change().await?);
        Ok(store)
    }

    /// Opens an existing store for reading only: beside a running collector, or without one.
    ///
    /// # Errors
    /// If there is none, or it cannot be read.
    pub async fn open_read_only(path: &Path) -> Result<Self, StoreError> {
        let read = SqlitePoolOptions::new()
            .max_connections(READERS_MAX)
            .connect_with(options(path).read_only(true))
            .await
            .map_err(|cause| StoreError::Open { path: path.to_owned(), cause })?;
        let read = db::Pool::Sqlite(read);
        Ok(Self { write: read.clone(), read, changes: Arc::new(watch::Sender::new(0)) })
    }

    /// Connections that can only read.
    pub const fn reader(&self) -> &db::Pool {
        &self.read
    }

    /// What writes one statement alone; several that belong together are one transaction, [`Store::begin`].
    pub const fn writer(&self) -> &db::Pool {
        &self.write
    }

    /// Begins a transaction that only reads, and sees the store as it is now however long it takes.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn snapshot(&self) -> Result<Tx, StoreError> {
        Tx::snapshot(&self.read).await.map_err(query("begin"))
    }

    /// Begins a transaction that writes. On SQLite there is one at a time, so hold it briefly.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn begin(&self) -> Result<Tx, StoreError> {
        Tx::begin(&self.write).await.map_err(query("begin"))
    }

    /// Follows the number of the latest committed row of `incident_changes`.
    pub fn subscribe(&self) -> watch::Receiver<i64> {
        self.changes.subscribe()
    }

    /// Waits for what is running and closes the file.
    pub async fn close(&self) {
        self.read.close().await;
        self.write.close().await;
    }

    fn announce(&self, seq: i64) {
        self.changes.send_replace(seq);
    }

    async fn last_change(&self) -> Result<i64, StoreError> {
        db::query_scalar("SELECT coalesce(max(seq), 0) FROM incident_changes")
            .fetch_one(&self.read)
            .await
            .map_err(|cause| StoreError::Query { what: "read the last change", cause })
    }
}

fn options(path: &Path) -> SqliteConnectOptions {
    SqliteConnectOptions::new().filename(path).busy_timeout(BUSY_TIMEOUT).foreign_keys(true)
}

/// Why the store did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The file.
    #[error("cannot open the store {path}")]
    Open {
        /// Which file.
        path: PathBuf,
        /// Why.
        #[source]
        cause: db::Error,
    },
    /// Its schema.
    #[error("cannot bring the store {path} up to date")]
    Migrate {
        /// Which file.
        path: PathBuf,
        /// Why.
        #[source]
        cause: sqlx::migrate::MigrateError,
    },
    /// A statement.
    #[error("the store cannot {what}")]
    Query {
        /// What was being done.
        what: &'static str,
        /// Why not.
        #[source]
        cause: db::Error,
    },
}

/// Turns a database error into a [`StoreError`] that says what was being done: `.map_err(query("read an agent"))`.
pub fn query(what: &'static str) -> impl FnOnce(db::Error) -> StoreError {
    move |cause| StoreError::Query { what, cause }
}
