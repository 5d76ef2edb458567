//! The store: one SQLite file with one writer, or a PostgreSQL database that any number of collectors share.
//!
//! Everything that one submission changes is one transaction ([`write`]); what is acknowledged is on the disk
//! (WAL, `synchronous = FULL`; PostgreSQL's own). The command line works on the same store beside a running collector.
//!
//! On PostgreSQL locks are taken in one order: agents by identity, then the change feed ([`db::Conn::lock_feed`]), then the rest.

pub mod account;
pub mod audit;
pub mod view;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use sqlx::sqlite::{
    SqliteAutoVacuum, SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous,
};
use tokio::sync::{Semaphore, watch};

use self::db::Tx;
pub use self::place::{Place, Servers};

pub mod clocks;
pub mod commit;
#[cfg(test)]
pub(crate) mod conformance;
pub mod copy;
pub mod db;
pub mod drill;
pub mod exception;
pub mod expiring;
pub mod finding;
pub mod host;
pub mod incident;
pub mod people;
mod place;
pub mod policy;
mod postgres;
pub mod request_key;
pub mod retain;
mod schema;
pub mod search;
pub mod seen;
pub mod sensor_watch;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
pub(crate) mod testserver;
pub mod work;
pub mod writer;

/// Connections that read.
const READERS_MAX: u32 = 4;
/// How long a statement waits for another process that writes.
const BUSY_TIMEOUT: Duration = Duration::from_secs(20);
/// How long one that wants a file alone waits for others to leave it.
const ALONE_TIMEOUT: Duration = Duration::from_secs(2);

/// The store, cheap to clone.
#[derive(Clone, Debug)]
pub struct Store {
    read: db::Pool,
    write: db::Pool,
    changes: Arc<watch::Sender<i64>>,
    /// Searches that may run at a time.
    searches: Arc<Semaphore>,
}

impl Store {
    /// Makes a new store.
    ///
    /// # Errors
    /// If the file cannot be made, or no server takes writes.
    pub async fn create(place: impl Into<Place>) -> Result<Self, StoreError> {
        Self::connect(place.into(), true).await
    }

    /// Opens an existing store for reading and writing and brings its schema up to date.
    ///
    /// # Errors
    /// If there is none, it cannot be read, or a newer program has changed it.
    pub async fn open(place: impl Into<Place>) -> Result<Self, StoreError> {
        Self::connect(place.into(), false).await
    }

    async fn connect(place: Place, create: bool) -> Result<Self, StoreError> {
        match &place {
            Place::File(path) => {
                let failed = |cause| StoreError::Open { place: place.to_string(), cause };
                let options = options(path).create_if_missing(create).synchronous(SqliteSynchronous::Full);
                let write = SqlitePoolOptions::new()
                    .max_connections(1)
                    .test_before_acquire(false)
                    .connect_with(
                        options
                            .clone()
                            // Of a new file: then what is dropped can be given back to the system piece by piece.
                            .auto_vacuum(SqliteAutoVacuum::Incremental)
                            .journal_mode(SqliteJournalMode::Wal)
                            .pragma("wal_autocheckpoint", LOG_PAGES)
                            .pragma("cache_size", CACHE_KIB),
                    )
                    .await
                    .map_err(failed)?;
                let write = db::Pool::Sqlite(write);
                schema::migrate(&write, &place).await?;
                let read = readers(options.pragma("query_only", "ON")).await.map_err(failed)?;
                Self::new(read, write).await
            }
            Place::Servers(servers) => {
                let pools = postgres::Pools::connect(servers).await?;
                let (read, write) = (pools.read.clone(), pools.write.clone());
                let write = db::Pool::Postgres(write);
                schema::migrate(&write, &place).await?;
                let store = Self::new(db::Pool::Postgres(read), write).await?;
                tokio::spawn(pools.follow(Arc::downgrade(&store.changes)));
                Ok(store)
            }
        }
    }

    async fn new(read: db::Pool, write: db::Pool) -> Result<Self, StoreError> {
        let store = Self::of(read, write);
        store.announce(store.last_change().await?);
        Ok(store)
    }

    /// Opens an existing store for reading only: beside a running collector, or without one.
    ///
    /// # Errors
    /// If there is none, it cannot be read, or a newer program has changed it.
    pub async fn open_read_only(place: impl Into<Place>) -> Result<Self, StoreError> {
        let place = place.into();
        let read = match &place {
            Place::File(path) => readers(options(path).read_only(true))
                .await
                .map_err(|cause| StoreError::Open { place: place.to_string(), cause })?,
            Place::Servers(servers) => db::Pool::Postgres(postgres::Pools::connect(servers).await?.read),
        };
        schema::known(&read, &place).await?;
        Ok(Self::of(read.clone(), read))
    }

    fn of(read: db::Pool, write: db::Pool) -> Self {
        let searches = Arc::new(Semaphore::new(search::AT_A_TIME));
        Self { read, write, changes: Arc::new(watch::Sender::new(0)), searches }
    }

    /// Opens an existing store that nobody else has open (of a file; of a database see [`Store::hold`]).
    ///
    /// # Errors
    /// If there is none, or it is in use: [`StoreError::is_busy`].
    pub async fn open_alone(place: impl Into<Place>) -> Result<Self, StoreError> {
        let place = place.into();
        let Place::File(path) = &place else { return Self::open(place).await };
        let failed = |cause| StoreError::Open { place: place.to_string(), cause };
        // Only who has a file alone can leave the write-ahead log.
        let options = options(path).busy_timeout(ALONE_TIMEOUT).journal_mode(SqliteJournalMode::Delete);
        let pool = SqlitePoolOptions::new().max_connections(2).connect_with(options).await.map_err(failed)?;
        let pool = db::Pool::Sqlite(pool);
        schema::known(&pool, &place).await?;
        Ok(Self::of(pool.clone(), pool))
    }

    /// Lets nobody write until the transaction is dropped.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn hold(&self) -> Result<Tx, StoreError> {
        let mut tx = self.begin().await?;
        if self.is_shared() {
            // What every delivery and every action writes to.
            for text in [
                "SET LOCAL idle_in_transaction_session_timeout = 0",
                "LOCK TABLE agents, chains, incident_feed, audit_head IN SHARE MODE",
            ] {
                db::query(text).execute(&mut *tx).await.map_err(query("hold the store"))?;
            }
        }
        Ok(tx)
    }

    /// Whether other collectors may work on it at the same time.
    pub const fn is_shared(&self) -> bool {
        matches!(self.write, db::Pool::Postgres(_))
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

    /// Begins a transaction that writes and does not touch incidents. On SQLite there is one at a time, so hold it briefly.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn begin(&self) -> Result<Tx, StoreError> {
        Tx::begin(&self.write).await.map_err(query("begin"))
    }

    /// Begins a transaction that changes incidents: nobody else does until it ends.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn begin_changing(&self) -> Result<Tx, StoreError> {
        let mut tx = self.begin().await?;
        tx.lock_feed().await?;
        Ok(tx)
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
        announce(&self.changes, seq);
    }

    async fn last_change(&self) -> Result<i64, StoreError> {
        db::query_scalar(LAST_CHANGE)
            .fetch_one(&self.read)
            .await
            .map_err(|cause| StoreError::Query { what: "read the last change", cause })
    }
}

/// The number of the latest change.
const LAST_CHANGE: &str = "SELECT coalesce(max(seq), 0) FROM incident_changes";

/// Never backwards: what two tasks saw may come in either order.
fn announce(changes: &watch::Sender<i64>, seq: i64) {
    changes.send_if_modified(|last| {
        let later = seq > *last;
        *last = seq.max(*last);
        later
    });
}

/// Pages of the write-ahead log (64 MiB) before they are written into the file: what thousands of agents change again and again
/// goes there once and not hundreds of times.
const LOG_PAGES: &str = "16384";
/// What the one that writes keeps of the file, in KiB with a minus sign as SQLite wants it: the end of each table and where each
/// agent's rows end.
const CACHE_KIB: &str = "-65536";

async fn readers(options: SqliteConnectOptions) -> Result<db::Pool, db::Error> {
    // A connection to a file does not go away: asking each time whether it is there costs as much as a statement.
    let pool = SqlitePoolOptions::new().max_connections(READERS_MAX).test_before_acquire(false);
    pool.connect_with(options).await.map(db::Pool::Sqlite)
}

fn options(path: &Path) -> SqliteConnectOptions {
    SqliteConnectOptions::new().filename(path).busy_timeout(BUSY_TIMEOUT).foreign_keys(true)
}

/// Why the store did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The file.
    #[error("cannot open the store {place}")]
    Open {
        /// Which file.
        place: String,
        /// Why.
        #[source]
        cause: db::Error,
    },
    /// Its schema.
    #[error("cannot bring the store {place} up to date")]
    Migrate {
        /// Which one.
        place: String,
        /// Why.
        #[source]
        cause: sqlx::migrate::MigrateError,
    },
    /// A newer program has been at it.
    #[error(
        "the store {place} has the schema {version}, which this version of sekimori-collector does not know: a newer one \
         has changed it; run that one"
    )]
    Newer {
        /// Which one.
        place: String,
        /// The number of the change.
        version: i64,
    },
    /// A column that cannot be copied.
    #[error("{column} is of a type that cannot be copied: {kind}")]
    UnknownType {
        /// Table and column.
        column: String,
        /// Its type.
        kind: String,
    },
    /// None of the servers.
    #[error("no database takes writes: {said}")]
    NoServer {
        /// What each of them said.
        said: String,
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

impl StoreError {
    /// Whether the database gave a statement up because its time was over.
    fn is_too_slow(&self) -> bool {
        const SQLITE_INTERRUPT: &str = "9";
        const QUERY_CANCELED: &str = "57014";
        let Self::Query { cause, .. } = self else { return false };
        let code = cause.as_database_error().and_then(|error| error.code());
        code.is_some_and(|code| [SQLITE_INTERRUPT, QUERY_CANCELED].contains(&code.as_ref()))
    }

    /// Whether somebody else has the file open.
    pub fn is_busy(&self) -> bool {
        /// `SQLITE_BUSY`, and what says so of the log.
        const BUSY: [&str; 2] = ["5", "261"];
        let Self::Open { cause, .. } = self else { return false };
        let code = cause.as_database_error().and_then(|error| error.code());
        code.is_some_and(|code| BUSY.contains(&code.as_ref()))
    }

    /// Whether the database gave this transaction up for the sake of another; nothing of it happened, and done again it
    /// may well succeed.
    pub fn is_transient(&self) -> bool {
        const SERIALIZATION_FAILURE: &str = "40001";
        const DEADLOCK_DETECTED: &str = "40P01";
        let Self::Query { cause, .. } = self else { return false };
        let code = cause.as_database_error().and_then(|error| error.code());
        code.is_some_and(|code| [SERIALIZATION_FAILURE, DEADLOCK_DETECTED].contains(&code.as_ref()))
    }

    /// Whether the connection broke, the server is ending or starting, or is a standby: another connection, soon, may do. What
    /// was being committed may have happened, so try again only what is known when it comes twice.
    pub fn is_lost(&self) -> bool {
        /// Connection exceptions.
        const CONNECTION: &str = "08";
        /// The server ends, crashed, starts; a transaction on a standby; it waited for us for too long.
        const SERVER: [&str; 5] = ["57P01", "57P02", "57P03", "25006", "25P03"];
        let cause = match self {
            Self::NoServer { .. } => return true,
            Self::Query { cause, .. } => cause,
            Self::Open { .. } | Self::Migrate { .. } | Self::Newer { .. } | Self::UnknownType { .. } => {
                return false;
            }
        };
        if matches!(cause, db::Error::Io(_) | db::Error::PoolTimedOut) {
            return true;
        }
        let code = cause.as_database_error().and_then(|error| error.code());
        code.is_some_and(|code| code.starts_with(CONNECTION) || SERVER.contains(&code.as_ref()))
    }

    /// Whether it is because of a text that the database cannot hold: PostgreSQL has no NUL in texts.
    pub fn is_of_text(&self) -> bool {
        const CHARACTER_NOT_IN_REPERTOIRE: &str = "22021";
        const UNTRANSLATABLE_CHARACTER: &str = "22P05";
        let Self::Query { cause, .. } = self else { return false };
        let code = cause.as_database_error().and_then(|error| error.code());
        code.is_some_and(|code| {
            [CHARACTER_NOT_IN_REPERTOIRE, UNTRANSLATABLE_CHARACTER].contains(&code.as_ref())
        })
    }
}

/// Turns a database error into a [`StoreError`] that says what was being done: `.map_err(query("read an agent"))`.
pub fn query(what: &'static str) -> impl FnOnce(db::Error) -> StoreError {
    move |cause| StoreError::Query { what, cause }
}
