//! Transactions.

use std::collections::BTreeSet;
use std::ops::{Deref, DerefMut};
use std::time::{Duration, Instant};

use sqlx::{Error, PgConnection, Postgres, Sqlite, SqliteConnection, Transaction};

use super::{Pool, query};
use crate::store::{StoreError, query as doing};

/// Steps of SQLite's machine between two looks at the clock.
const STEPS: i32 = 10_000;

/// A connection in a transaction: what everything that writes is handed.
#[derive(Debug)]
pub struct Conn {
    on: On,
    /// The row of the change feed is locked.
    has_feed: bool,
}

#[derive(Debug)]
enum On {
    Sqlite(Transaction<'static, Sqlite>),
    Postgres(Transaction<'static, Postgres>),
}

/// The connection itself.
pub(in crate::store) enum Link<'c> {
    /// To a file.
    Sqlite(&'c mut SqliteConnection),
    /// To a server.
    Postgres(&'c mut PgConnection),
}

impl Conn {
    pub(in crate::store) fn link(&mut self) -> Link<'_> {
        match &mut self.on {
            On::Sqlite(tx) => Link::Sqlite(tx),
            On::Postgres(tx) => Link::Postgres(tx),
        }
    }

    /// Whether other collectors may work on the same store.
    pub const fn is_shared(&self) -> bool {
        matches!(self.on, On::Postgres(_))
    }

    /// ` FOR UPDATE` to put behind a `SELECT` whose rows nobody else may change until the end of the transaction;
    /// nothing on SQLite, where nobody else writes at all. Lock rows in a fixed order: `ORDER BY` the key.
    pub const fn lock_clause(&self) -> &'static str {
        match self.on {
            On::Sqlite(_) => "",
            On::Postgres(_) => " FOR UPDATE",
        }
    }

    /// From here to the end nobody else changes incidents, so that two collectors never open two for one key, and the numbers
    /// of `incident_changes` become visible in their order. Nothing to do on SQLite, where nobody else writes at all.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn lock_feed(&mut self) -> Result<(), StoreError> {
        if matches!(self.on, On::Postgres(_)) && !self.has_feed {
            let lock = query("SELECT last FROM incident_feed FOR UPDATE").execute(&mut *self).await;
            lock.map_err(doing("lock the change feed"))?;
            self.has_feed = true;
        }
        Ok(())
    }

    /// From here to the end nobody else stores what these agents deliver.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn lock_agents(&mut self, ids: &BTreeSet<String>) -> Result<(), StoreError> {
        if matches!(self.on, On::Postgres(_)) && !ids.is_empty() {
            let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
            // Their keys do not change: who only refers to them need not wait.
            query(
                "SELECT id FROM agents WHERE id = ANY (string_to_array($1, ',')) ORDER BY id FOR NO KEY UPDATE",
            )
            .bind(ids.join(","))
            .execute(self)
            .await
            .map_err(doing("lock agents"))?;
        }
        Ok(())
    }
}

/// A transaction; dropped, nothing of it happened.
#[derive(Debug)]
pub struct Tx(Conn);

impl Tx {
    /// Begins one. On SQLite it takes the write lock at once, so that two that write never wait for each other.
    pub(in crate::store) async fn begin(pool: &Pool) -> Result<Self, Error> {
        let on = match pool {
            Pool::Sqlite(pool) => On::Sqlite(pool.begin_with("BEGIN IMMEDIATE").await?),
            Pool::Postgres(pool) => On::Postgres(pool.begin().await?),
        };
        Ok(Self(Conn { on, has_feed: false }))
    }

    /// Begins one that reads, and sees one state throughout.
    pub(in crate::store) async fn snapshot(pool: &Pool) -> Result<Self, Error> {
        let on = match pool {
            Pool::Sqlite(pool) => On::Sqlite(pool.begin().await?),
            Pool::Postgres(pool) => {
                On::Postgres(pool.begin_with("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY").await?)
            }
        };
        Ok(Self(Conn { on, has_feed: false }))
    }

    /// Begins one that reads, and whose statements are given up at that time. It must be [ended](Self::end).
    pub(in crate::store) async fn within(pool: &Pool, over: Instant) -> Result<Self, Error> {
        let mut tx = Self::snapshot(pool).await?;
        match &mut tx.0.on {
            On::Sqlite(tx) => {
                tx.lock_handle().await?.set_progress_handler(STEPS, move || Instant::now() < over);
            }
            On::Postgres(tx) => {
                let left = over.saturating_duration_since(Instant::now()).max(Duration::from_millis(1));
                let millis = left.as_millis().to_string();
                sqlx::query(
                    "SELECT set_config('statement_timeout', $1, true), set_config('jit', 'off', true)",
                )
                .bind(millis)
                .execute(&mut **tx)
                .await?;
            }
        }
        Ok(tx)
    }

    /// Ends one that only read; the connection's next user has all the time again.
    pub(in crate::store) async fn end(self) -> Result<(), Error> {
        match self.0.on {
            On::Sqlite(mut tx) => {
                tx.lock_handle().await?.remove_progress_handler();
                tx.rollback().await
            }
            On::Postgres(tx) => tx.rollback().await,
        }
    }

    /// Makes it last.
    ///
    /// # Errors
    /// If the store fails: then it is not known whether it happened.
    pub async fn commit(self) -> Result<(), StoreError> {
        match self.0.on {
            On::Sqlite(tx) => tx.commit().await,
            On::Postgres(tx) => tx.commit().await,
        }
        .map_err(doing("commit"))
    }
}

impl Deref for Tx {
    type Target = Conn;

    fn deref(&self) -> &Conn {
        &self.0
    }
}

impl DerefMut for Tx {
    fn deref_mut(&mut self) -> &mut Conn {
        &mut self.0
    }
}
