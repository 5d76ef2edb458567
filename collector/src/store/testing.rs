//! Stores for tests. `SEKIMORI_TEST_STORE=postgres` runs every test of this crate that makes a store on PostgreSQL.

use std::path::Path;

use super::testserver;
use super::{Place, Servers, Store};

/// Whether this run is to use PostgreSQL.
fn on_postgres() -> bool {
    match std::env::var("SEKIMORI_TEST_STORE").as_deref() {
        Ok("postgres") => true,
        Ok("sqlite") | Err(_) => false,
        Ok(other) => panic!("SEKIMORI_TEST_STORE is postgres or sqlite, not {other}"),
    }
}

/// The URL of a new database, if this run is to use PostgreSQL.
pub(crate) fn url() -> Option<String> {
    on_postgres().then(testserver::database)
}

/// Where a new store of this run can be made.
pub(crate) fn place(file: &Path) -> Place {
    url().map_or_else(|| file.into(), |url| server(&url))
}

/// A new database.
pub(crate) fn server(url: &str) -> Place {
    Place::Servers(Servers::parse(url).unwrap())
}

/// A new store of this run.
pub(crate) async fn store(file: &Path) -> Store {
    Store::create(place(file)).await.unwrap()
}
