//! PostgreSQL: which address takes writes, and following what other collectors change.

use std::sync::Weak;
use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgConnection, PgPool, PgPoolOptions};
use sqlx::{Connection as _, Error};
use tokio::sync::watch;

use super::place::{Server, Servers};
use super::{StoreError, db};

/// Connections that read, and that write.
const READERS_MAX: u32 = 8;
const WRITERS_MAX: u32 = 4;
/// How long an address may take to answer.
const ANSWER_MAX: Duration = Duration::from_secs(5);
/// How long a request waits for a connection.
const ACQUIRE_MAX: Duration = Duration::from_secs(10);
/// How often one looks for what other collectors changed; live updates are late by at most this.
const LOOK_EVERY: Duration = Duration::from_millis(300);
/// A statement waits no longer for somebody else's lock, and a transaction whose collector is gone holds its own no longer.
const WAITS: [(&str, &str); 2] = [("lock_timeout", "20s"), ("idle_in_transaction_session_timeout", "60s")];

/// Connections that read and that write, to whichever address takes writes.
#[derive(Clone, Debug)]
pub(super) struct Pools {
    pub(super) read: PgPool,
    pub(super) write: PgPool,
    servers: Servers,
}

impl Pools {
    /// Finds the address that takes writes.
    pub(super) async fn connect(servers: &Servers) -> Result<Self, StoreError> {
        let options = writable(servers).await?.options;
        let pool = |most: u32| {
            PgPoolOptions::new()
                .max_connections(most)
                .acquire_timeout(ACQUIRE_MAX)
                .test_before_acquire(false)
                // A server that another has taken over from still answers: leave it, whether the connection is old or new.
                .before_acquire(|connection, _meta| {
                    Box::pin(async move { Ok(takes_writes(connection).await.unwrap_or(false)) })
                })
                .after_connect(|connection, _meta| {
                    Box::pin(async move {
                        if takes_writes(connection).await? {
                            Ok(())
                        } else {
                            Err(Error::Protocol(STANDBY.to_owned()))
                        }
                    })
                })
        };
        let write = pool(WRITERS_MAX).connect_lazy_with(writing(&options));
        let read = pool(READERS_MAX).connect_lazy_with(reading(&options));
        Ok(Self { read, write, servers: servers.clone() })
    }

    /// Tells of changes that others commit, and moves to another address when this one no longer takes writes. Ends when
    /// the store is dropped or closed.
    pub(super) async fn follow(self, changes: Weak<watch::Sender<i64>>) {
        loop {
            tokio::time::sleep(LOOK_EVERY).await;
            if self.read.is_closed() {
                return;
            }
            let look = last_change(&self.read);
            let seen = tokio::time::timeout(ANSWER_MAX, look).await.unwrap_or(Err(Error::PoolTimedOut));
            let Some(changes) = changes.upgrade() else { return };
            match seen {
                Ok(last) => super::announce(&changes, last),
                Err(_) => self.move_on().await,
            }
        }
    }

    async fn move_on(&self) {
        match writable(&self.servers).await {
            Ok(server) => {
                self.write.set_connect_options(writing(&server.options));
                self.read.set_connect_options(reading(&server.options));
                tracing::warn!(%server, "lost the database; going on with this server");
            }
            Err(error) => {
                tracing::error!(error = crate::fleet::error_chain(&error), "no database takes writes")
            }
        }
    }
}

async fn last_change(pool: &PgPool) -> Result<i64, Error> {
    db::query_scalar(super::LAST_CHANGE).fetch_one(&db::Pool::Postgres(pool.clone())).await
}

fn writing(options: &PgConnectOptions) -> PgConnectOptions {
    options.clone().options(WAITS)
}

fn reading(options: &PgConnectOptions) -> PgConnectOptions {
    options.clone().options([("default_transaction_read_only", "on")])
}

const STANDBY: &str = "it is a standby: it takes no writes";

async fn takes_writes(connection: &mut PgConnection) -> Result<bool, Error> {
    sqlx::query_scalar("SELECT NOT pg_is_in_recovery()").fetch_one(connection).await
}

/// The first address that takes writes; what each of the others said if there is none.
async fn writable(servers: &Servers) -> Result<Server, StoreError> {
    let mut said = Vec::new();
    for server in &servers.0 {
        let ask = async {
            let mut connection = PgConnection::connect_with(&server.options).await?;
            let answer = takes_writes(&mut connection).await;
            // It has answered; how it parts does not matter.
            connection.close().await.unwrap_or_default();
            answer
        };
        match tokio::time::timeout(ANSWER_MAX, ask).await {
            Ok(Ok(true)) => return Ok(server.clone()),
            Ok(Ok(false)) => said.push(format!("{server}: {STANDBY}")),
            Ok(Err(cause)) => said.push(format!("{server}: {cause}")),
            Err(_elapsed) => said.push(format!("{server}: no answer within {} s", ANSWER_MAX.as_secs())),
        }
    }
    Err(StoreError::NoServer { said: said.join("; ") })
}
