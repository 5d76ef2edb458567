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

impl super::Store {
    /// Whether the store answers, and no newer program has changed it.
    ///
    /// # Errors
    /// If it does not answer.
    pub async fn schema_known(&self, place: &Place) -> Result<bool, StoreError> {
        match known(self.reader(), place).await {
            Ok(()) => Ok(true),
            Err(StoreError::Newer { .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Whether something could be written now: takes the writer's turn, and changes nothing.
    ///
    /// # Errors
    /// If nothing can.
    pub async fn writable(&self) -> Result<(), StoreError> {
        let mut tx = self.begin().await?;
        db::query("UPDATE watch_clock SET at = at WHERE one = 0")
            .execute(&mut *tx)
            .await
            .map(drop)
            .map_err(query("write"))
    }
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
    let done = match tx.link() {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::conformance::number;
    use crate::store::{Store, testing, testserver};

    /// Every store of before must open: rows of the tables that are made anew keep their values.
    #[tokio::test]
    async fn a_store_of_an_older_version_is_brought_up_to_date() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("s.db");
        let file = sqlx::sqlite::SqliteConnectOptions::new().filename(&path).create_if_missing(true);
        let file = Pool::Sqlite(sqlx::SqlitePool::connect_with(file).await.unwrap());
        let url = testserver::database();
        let server = Pool::Postgres(sqlx::PgPool::connect(&url).await.unwrap());
        for (place, pool) in [(Place::from(&path), file), (testing::server(&url), server)] {
            let mut tx = db::Tx::begin(&pool).await.unwrap();
            bring_to(&mut tx, &place, 10).await.unwrap();
            tx.commit().await.unwrap();
            let rows = "INSERT INTO bodies (code, name) VALUES ('422011', 'x');
                INSERT INTO agents (id, name, body, signing_key, cert_serial, cert_expires_at, enrolled_at)
                    SELECT 'a', 'gw', '422011', hash, '1', 0, 0 FROM audit_head;
                INSERT INTO chains (agent, lane, epoch, through, head, sealed_at, mode)
                    SELECT 'a', 0, 1, 1, hash, 0, 'live' FROM audit_head;
                INSERT INTO flows (n, body, community_id, originator, originator_port, responder, responder_port, protocol,
                    start, \"end\", originator_packets, originator_bytes, responder_packets, responder_bytes, state,
                    application, server_name, ja4, segment, agent)
                    VALUES (7, '422011', '1:x', '192.0.2.1', 1, '2001:db8::2', 2, 6, 3, 1795132800000000000, 4, 5, 6, 8, 'SF', 'tls', 'h', 'j',
                    'lan', 'a');
                INSERT INTO summaries (n, body, agent, start, \"end\", packets, bytes, flows_ended, flows_omitted, json)
                    VALUES (9, '422011', 'a', 1, 1795132800000000000, 3, 4, 5, 6, '{}');";
            pool.script(rows).await.unwrap();
            pool.close().await;
            let store = Store::open(&place).await.unwrap();
            for (sql, expected) in [
                ("SELECT day FROM flows WHERE n = 7 AND segment = 'lan' AND responder_bytes = 8", 20_777),
                ("SELECT day FROM summaries WHERE n = 9 AND flows_omitted = 6", 20_777),
                ("SELECT count(*) FROM chains", 1),
                ("SELECT count(*) FROM retention", 1),
            ] {
                assert_eq!(number(&store, sql).await, expected, "{place}: {sql}");
            }
            let next = "INSERT INTO summaries (body, agent, start, \"end\", packets, bytes, flows_ended, flows_omitted, json)
                VALUES ('422011', 'a', 1, 2, 3, 4, 5, 6, '{}')";
            store.writer().script(next).await.unwrap();
            assert_eq!(number(&store, "SELECT max(n) FROM summaries").await, 10, "{place}");
            store.close().await;
            Store::open(&place).await.unwrap();
        }
    }
}
