//! Every row of a store, read one after another from one view, and written into a new store in one transaction: what backup,
//! restore and the move between databases have in common.
//!
//! Tables and columns are those that the database names, so that a change of the schema needs nothing here. Not copied is
//! what belongs to a database itself (`tables`) and what must not come back: open sessions.

mod load;
mod tables;

use futures_util::TryStreamExt as _;

use super::db::{self, Row, Tx, Value};
use super::{Store, StoreError, query};

pub use load::{LoadError, Loader};
pub use tables::{Column, Kind, Table};

/// One row, in the order of its table's columns.
pub type Cells = Vec<Value<'static>>;

/// One view of a store.
#[derive(Debug)]
pub struct Source {
    tx: Tx,
    /// The number of the newest change of its schema.
    pub schema: i64,
    /// `sqlite` or `postgresql`.
    pub kind: &'static str,
    /// In an order in which no row comes before one that it refers to.
    pub tables: Vec<Table>,
}

impl Source {
    /// Begins to read: what is written from now on is not seen.
    ///
    /// # Errors
    /// If the store fails, or has a column of a type that is not known.
    pub async fn begin(store: &Store) -> Result<Self, StoreError> {
        let mut tx = store.snapshot().await?;
        let schema = db::query_scalar("SELECT max(version) FROM _sqlx_migrations")
            .fetch_one(&mut *tx)
            .await
            .map_err(query("read the version of the schema"))?;
        let tables = tables::list(&mut tx).await?;
        let kind = if store.is_shared() { "postgresql" } else { "sqlite" };
        Ok(Self { tx, schema, kind, tables })
    }

    /// Hands over every row of a table.
    ///
    /// # Errors
    /// If the store fails, or `take` does.
    pub async fn rows<E: From<StoreError>>(
        &mut self,
        table: &Table,
        mut take: impl AsyncFnMut(Cells) -> Result<(), E>,
    ) -> Result<(), E> {
        let failed = "read the rows of a table";
        let mut rows = db::query(db::AssertSqlSafe(table.select())).fetch(&mut *self.tx);
        while let Some(row) = rows.try_next().await.map_err(query(failed))? {
            take(cells(table, &row).map_err(query(failed))?).await?;
        }
        Ok(())
    }

    /// The ends of all chains and of the audit log, one a line: what two stores must agree in.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn heads(&mut self) -> Result<Vec<String>, StoreError> {
        heads(&mut self.tx).await
    }
}

/// As [`Source::heads`].
pub(super) async fn heads(tx: &mut db::Conn) -> Result<Vec<String>, StoreError> {
    let failed = "read the heads of the chains";
    let rows: Vec<(String, i64, i64, i64, Vec<u8>)> =
        db::query_as("SELECT agent, lane, epoch, through, head FROM chains ORDER BY agent, lane")
            .fetch_all(&mut *tx)
            .await
            .map_err(query(failed))?;
    let (seq, hash): (i64, Vec<u8>) = db::query_as("SELECT seq, hash FROM audit_head WHERE one = 1")
        .fetch_one(tx)
        .await
        .map_err(query(failed))?;
    let chains = rows.into_iter().map(|(agent, lane, epoch, through, head)| {
        format!("{agent} lane {lane}: {epoch}/{through} {}", hexadecimal(&head))
    });
    Ok(chains.chain([format!("audit log: {seq} {}", hexadecimal(&hash))]).collect())
}

/// Lower-case hexadecimal.
pub fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn cells(table: &Table, row: &Row) -> Result<Cells, db::Error> {
    let cell = |(at, column): (usize, &Column)| {
        Ok(match column.kind {
            Kind::Int => row.get::<Option<i64>>(at)?.into(),
            Kind::Real => row.get::<Option<f64>>(at)?.into(),
            Kind::Text => row.get::<Option<String>>(at)?.into(),
            Kind::Blob => row.get::<Option<Vec<u8>>>(at)?.into(),
        })
    };
    table.columns.iter().enumerate().map(cell).collect()
}
