//! The schema: brought up to date on start, forward only; a newer one than this program knows is refused.

use sqlx::migrate::{MigrateError, Migrator};

use super::db::{self, Conn, Link, Pool};
use super::{Place, StoreError, query};

static SQLITE: Migrator = sqlx::migrate!("src/store/schema/sqlite");
static POSTGRES: Migrator = sqlx::migrate!("src/store/schema/postgres");

/// Brings the schema up to date. Of several collectors that start together one does it, and the others wait.
pub(super) async fn migrate(pool: &Pool, place: &Place) -> Result<(), StoreError> {
    let failed = |cause| {
        let place = place.to_string();
        if let MigrateError::VersionMissing(version) = cause {
            StoreError::Newer { place, version }
        } else {
            StoreError::Migrate { place, cause }
        }
    };
    match pool {
        Pool::Sqlite(pool) => SQLITE.run(pool).await.map_err(failed),
        Pool::Postgres(server) => {
            let lock = lock(pool).await?;
            // Advisory locks do not exist everywhere; the row does.
            let mut migrator = Migrator::with_migrations(POSTGRES.iter().cloned().collect());
            migrator.set_locking(false).run(server).await.map_err(failed)?;
            lock.commit().await
        }
    }
}

/// A transaction that holds the row of those who change the schema. It ends with its connection, whatever becomes of us.
async fn lock(pool: &Pool) -> Result<db::Tx, StoreError> {
    let made = "CREATE TABLE IF NOT EXISTS schema_lock (one BIGINT PRIMARY KEY NOT NULL)";
    // Two that make it at the same moment: one of them is told that it exists, in one of several ways.
    if db::query(made).execute(pool).await.is_err() {
        db::query(made).execute(pool).await.map_err(query("make the lock of the schema"))?;
    }
    db::query("INSERT INTO schema_lock (one) VALUES (1) ON CONFLICT DO NOTHING")
        .execute(pool)
        .await
        .map_err(query("make the lock of the schema"))?;
    let mut tx = db::Tx::begin(pool).await.map_err(query("begin"))?;
    // As long as the other's change takes.
    for wait in ["SET LOCAL lock_timeout = '10min'", "SET LOCAL idle_in_transaction_session_timeout = 0"] {
        db::query(wait).execute(&mut *tx).await.map_err(query("lock the schema"))?;
    }
    db::query("SELECT one FROM schema_lock WHERE one = 1 FOR UPDATE")
        .execute(&mut *tx)
        .await
        .map_err(query("lock the schema"))?;
    Ok(tx)
}

/// The number of the newest change that this program knows.
pub(super) fn newest(pool: &Pool) -> i64 {
    let ours = match pool {
        Pool::Sqlite(_) => &SQLITE,
        Pool::Postgres(_) => &POSTGRES,
    };
    ours.iter().map(|one| one.version).max().unwrap_or_default()
}

/// Changes the schema up to that number, in a transaction that nobody else can see yet.
pub(super) async fn bring_to(tx: &mut Conn, place: &Place, number: i64) -> Result<(), StoreError> {
    let upto = |all: &Migrator| {
        let mut migrator =
            Migrator::with_migrations(all.iter().filter(|one| one.version <= number).cloned().collect());
        migrator.set_locking(false);
        migrator
    };
    let done = match tx.link().map_err(query("change the schema"))? {
        Link::Sqlite(conn) => upto(&SQLITE).run(conn).await,
        Link::Postgres(conn) => upto(&POSTGRES).run(conn).await,
    };
    done.map_err(|cause| StoreError::Migrate { place: place.to_string(), cause })
}

/// Refuses a store that a newer program has changed; for those who only read.
pub(super) async fn known(pool: &Pool, place: &Place) -> Result<(), StoreError> {
    let newest = newest(pool);
    let version: Option<i64> = db::query_scalar("SELECT max(version) FROM _sqlx_migrations")
        .fetch_one(pool)
        .await
        .map_err(query("read the version of the schema"))?;
    match version {
        Some(version) if version > newest => Err(StoreError::Newer { place: place.to_string(), version }),
        Some(_) | None => Ok(()),
    }
}
