//! Writing rows into a new store: schema, rows and what counts on from them, all in one transaction.
//!
//! A SQLite file is made under another name, and has its own only when it is whole; in PostgreSQL nothing is there before the
//! transaction ends. So a store that is half restored is never found.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use sqlx::sqlite::{SqliteAutoVacuum, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};

use super::{Cells, Kind, Table, heads, tables};
use crate::store::db::{self, AssertSqlSafe, Tx};
use crate::store::{Place, StoreError, options, postgres, query, schema};

/// Placeholders of a statement, by database: SQLite looks for each by its name.
const PLACEHOLDERS: [usize; 2] = [120, 2000];
/// Days before and after today that get a partition of their own.
const DAYS: (i64, i64) = (1100, 8);

/// Why rows cannot be written.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// There is something already.
    #[error("{place} is not empty: {what}")]
    NotEmpty {
        /// Where.
        place: String,
        /// What is there.
        what: String,
    },
    /// Written by a newer program.
    #[error(
        "it has the schema {schema}, and this version of sekimori-collector knows none after {known}: use a newer one"
    )]
    Newer {
        /// Its number.
        schema: i64,
        /// The newest that is known.
        known: i64,
    },
    /// A table or a column that the schema of that number does not have.
    #[error("the schema {schema} has no {what}")]
    NoSuch {
        /// Its number.
        schema: i64,
        /// Which.
        what: String,
    },
    /// Not what was read.
    #[error("{0}")]
    Differs(String),
    /// A file.
    #[error("cannot write {path}")]
    Write {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        cause: std::io::Error,
    },
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// A new store that is being written.
#[derive(Debug)]
pub struct Loader {
    tx: Tx,
    pool: db::Pool,
    schema: i64,
    /// Of SQLite: the file as it is called meanwhile, and in the end.
    file: Option<(PathBuf, PathBuf)>,
    tables: BTreeMap<String, Table>,
    now: Option<Filling>,
    rows: BTreeMap<String, u64>,
}

/// The table that is being filled.
#[derive(Debug)]
struct Filling {
    table: Table,
    waiting: Vec<Cells>,
    most: usize,
    /// Where the day of a row is, and the days that have a partition.
    days: Option<(usize, BTreeSet<i64>)>,
}

impl Loader {
    /// Makes the store with the schema of that number.
    ///
    /// # Errors
    /// If there is something, or the schema is newer than this program.
    pub async fn begin(place: &Place, schema: i64) -> Result<Self, LoadError> {
        let (pool, file) = match place {
            Place::File(path) => {
                let temporary = fresh(path)?;
                (file_pool(&temporary).await?, Some((temporary, path.clone())))
            }
            Place::Servers(servers) => {
                let pools = postgres::Pools::connect(servers).await?;
                pools.read.close().await;
                (db::Pool::Postgres(pools.write), None)
            }
        };
        let known = schema::newest(&pool);
        if schema > known {
            return Err(LoadError::Newer { schema, known });
        }
        let mut tx = Tx::begin(&pool).await.map_err(query("begin"))?;
        let there = tables::list(&mut tx).await?;
        if let Some(one) = there.first() {
            let what = format!("it has {} tables, such as {}; name an empty database", there.len(), one.name);
            return Err(LoadError::NotEmpty { place: place.to_string(), what });
        }
        schema::bring_to(&mut tx, place, schema).await?;
        let tables: BTreeMap<_, _> =
            tables::list(&mut tx).await?.into_iter().map(|table| (table.name.clone(), table)).collect();
        Ok(Self { tx, pool, schema, file, tables, now: None, rows: BTreeMap::new() })
    }

    /// From here on rows are of this table.
    ///
    /// # Errors
    /// If there is no such table or column, or the rows before cannot be written.
    pub async fn table(&mut self, table: &Table) -> Result<(), LoadError> {
        self.flush().await?;
        let lacks = |what: String| LoadError::NoSuch { schema: self.schema, what };
        let ours = self.tables.get(&table.name).ok_or_else(|| lacks(format!("table {:?}", table.name)))?;
        for column in &table.columns {
            if !ours.columns.contains(column) {
                return Err(lacks(format!("column {:?} of this kind in {}", column.name, table.name)));
            }
        }
        if self.rows.contains_key(&table.name) || table.columns.is_empty() {
            return Err(LoadError::Differs(format!(
                "the table {} comes twice, or has no columns",
                table.name
            )));
        }
        // What a change of the schema itself puts there.
        let clear = format!("DELETE FROM \"{}\"", table.name);
        db::query(AssertSqlSafe(clear)).execute(&mut *self.tx).await.map_err(query("write a table"))?;
        self.rows.insert(table.name.clone(), 0);
        let days = if self.tx.is_shared() && ["flows", "summaries"].contains(&table.name.as_str()) {
            table.columns.iter().position(|column| column.name == "day").map(|at| (at, BTreeSet::new()))
        } else {
            None
        };
        let [few, many] = PLACEHOLDERS;
        let most = if self.tx.is_shared() { many } else { few } / table.columns.len();
        self.now = Some(Filling { table: table.clone(), waiting: Vec::new(), most: most.max(1), days });
        Ok(())
    }

    /// A row of the table that was named last.
    ///
    /// # Errors
    /// If it has other columns, or cannot be written.
    pub async fn row(&mut self, cells: Cells) -> Result<(), LoadError> {
        let Some(now) = &mut self.now else {
            return Err(LoadError::Differs("a row comes before its table".to_owned()));
        };
        let is_of = |(cell, column): (&db::Value<'_>, &super::Column)| {
            matches!(
                (cell, column.kind),
                (db::Value::Int(_), Kind::Int)
                    | (db::Value::Real(_), Kind::Real)
                    | (db::Value::Text(_), Kind::Text)
                    | (db::Value::Blob(_), Kind::Blob)
            )
        };
        if cells.len() != now.table.columns.len() || !cells.iter().zip(&now.table.columns).all(is_of) {
            return Err(LoadError::Differs(format!("a row of {} has other columns than it", now.table.name)));
        }
        if let Some((at, days)) = &mut now.days
            && let Some(db::Value::Int(Some(day))) = cells.get(*at)
            && days.insert(*day)
        {
            let make = "SELECT make_day($1, $2) WHERE $2 BETWEEN today() - $3 AND today() + $4";
            db::query(make)
                .bind(now.table.name.as_str())
                .bind(*day)
                .bind(DAYS.0)
                .bind(DAYS.1)
                .execute(&mut *self.tx)
                .await
                .map_err(query("make the partition of a day"))?;
        }
        if let Some(count) = self.rows.get_mut(&now.table.name) {
            *count += 1;
        }
        now.waiting.push(cells);
        if now.waiting.len() >= now.most {
            self.flush().await?;
        }
        Ok(())
    }

    async fn flush(&mut self) -> Result<(), LoadError> {
        let Some(now) = self.now.as_mut().filter(|now| !now.waiting.is_empty()) else { return Ok(()) };
        let text = insert(&now.table, now.waiting.len());
        let values = now.waiting.drain(..).flatten();
        db::query(AssertSqlSafe(text))
            .bind_all(values)
            .execute(&mut *self.tx)
            .await
            .map(drop)
            .map_err(query("write rows"))?;
        Ok(())
    }

    /// Rows that were written so far, by table.
    pub const fn rows(&self) -> &BTreeMap<String, u64> {
        &self.rows
    }

    /// Checks what is there now, brings the schema up to date, and makes it last. `may_be_older`: agents may have delivered
    /// more than is there.
    ///
    /// # Errors
    /// If it is not what was read, or the store fails: then there is nothing.
    pub async fn finish(
        mut self,
        expected: &BTreeMap<String, u64>,
        ends: &[String],
        may_be_older: bool,
    ) -> Result<(), LoadError> {
        self.flush().await?;
        for (table, count) in expected {
            let sql = format!("SELECT count(*) FROM \"{table}\"");
            let there: i64 = db::query_scalar(AssertSqlSafe(sql))
                .fetch_one(&mut *self.tx)
                .await
                .map_err(query("count the rows"))?;
            if u64::try_from(there).ok() != Some(*count) {
                return Err(LoadError::Differs(format!(
                    "{count} rows of {table} were read, {there} are there"
                )));
            }
        }
        let there = heads(&mut self.tx).await?;
        if there != ends {
            let other = there.iter().zip(ends).find(|(one, other)| one != other);
            let (is, was) = other.map_or(("", ""), |(is, was)| (is.as_str(), was.as_str()));
            return Err(LoadError::Differs(format!(
                "the ends of the chains differ: `{is}`, and it was `{was}`"
            )));
        }
        self.count_on().await?;
        schema::bring_to(&mut self.tx, &Place::File(PathBuf::new()), i64::MAX).await?;
        if may_be_older {
            self.set_back().await?;
        }
        self.tx.commit().await?;
        self.pool.close().await;
        if let Some((temporary, path)) = &self.file {
            keep(temporary, path)?;
        }
        Ok(())
    }

    /// Notes how far each chain is.
    async fn set_back(&mut self) -> Result<(), StoreError> {
        for text in [
            "DELETE FROM restored_chains",
            "INSERT INTO restored_chains (agent, lane, epoch, through)
                SELECT a.id, l.lane, coalesce(c.epoch, 0), coalesce(c.through, 0) FROM agents a
                CROSS JOIN (SELECT CAST(0 AS BIGINT) AS lane UNION ALL SELECT CAST(1 AS BIGINT)) l
                LEFT JOIN chains c ON c.agent = a.id AND c.lane = l.lane",
        ] {
            db::query(text).execute(&mut *self.tx).await.map_err(query("note how far the chains are"))?;
        }
        Ok(())
    }

    /// New rows are numbered after those that were written.
    async fn count_on(&mut self) -> Result<(), StoreError> {
        if !self.tx.is_shared() {
            // SQLite looks at the rows themselves.
            return Ok(());
        }
        let failed = "set the next numbers";
        let columns: Vec<(String, String, String)> = db::query_as(
            "SELECT CAST(t.relname AS TEXT), CAST(c.attname AS TEXT),
                pg_get_serial_sequence(quote_ident(t.relname), c.attname)
             FROM pg_class t JOIN pg_namespace s ON s.oid = t.relnamespace AND s.nspname = current_schema()
             JOIN pg_attribute c ON c.attrelid = t.oid AND c.attnum > 0 AND NOT c.attisdropped
             WHERE t.relkind IN ('r', 'p') AND NOT t.relispartition
             AND pg_get_serial_sequence(quote_ident(t.relname), c.attname) IS NOT NULL",
        )
        .fetch_all(&mut *self.tx)
        .await
        .map_err(query(failed))?;
        for (table, column, sequence) in columns {
            let sql = format!(
                "SELECT setval($1::regclass, coalesce(max(\"{column}\"), 0) + 1, false) FROM \"{table}\""
            );
            db::query(AssertSqlSafe(sql))
                .bind(sequence)
                .execute(&mut *self.tx)
                .await
                .map_err(query(failed))?;
        }
        let feed = "UPDATE incident_feed SET last = (SELECT coalesce(max(seq), 0) FROM incident_changes)";
        db::query(feed).execute(&mut *self.tx).await.map(drop).map_err(query(failed))
    }
}

fn insert(table: &Table, rows: usize) -> String {
    let columns = table.columns.len();
    let mut text = format!("INSERT INTO \"{}\" ({}) VALUES ", table.name, table.column_list());
    for row in 0..rows {
        for column in 0..columns {
            let before = match (row, column) {
                (0, 0) => "(",
                (_, 0) => "), (",
                _ => ", ",
            };
            // Writing to a text cannot fail.
            write!(text, "{before}${}", row * columns + column + 1).unwrap_or_default();
        }
    }
    text.push(')');
    text
}

/// The name that a file has until it is whole; what an earlier attempt left there is removed.
fn fresh(path: &Path) -> Result<PathBuf, LoadError> {
    let length = std::fs::metadata(path).map_or(0, |file| file.len());
    if length > 0 {
        let what = format!("the file has {length} bytes; move it away");
        return Err(LoadError::NotEmpty { place: path.display().to_string(), what });
    }
    let mut temporary = path.as_os_str().to_owned();
    temporary.push(".restoring");
    let temporary = PathBuf::from(temporary);
    match std::fs::remove_file(&temporary) {
        Err(cause) if cause.kind() != std::io::ErrorKind::NotFound => {
            Err(LoadError::Write { path: temporary, cause })
        }
        Ok(()) | Err(_) => Ok(temporary),
    }
}

/// Pages of a new file are not journalled, so that a transaction of any size needs no second copy.
async fn file_pool(path: &Path) -> Result<db::Pool, LoadError> {
    use std::os::unix::fs::OpenOptionsExt as _;
    let made = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
    made.map_err(|cause| LoadError::Write { path: path.to_owned(), cause })?;
    let options = options(path)
        .auto_vacuum(SqliteAutoVacuum::Incremental)
        .journal_mode(SqliteJournalMode::Delete)
        .synchronous(SqliteSynchronous::Full);
    let pool = SqlitePoolOptions::new().max_connections(1).connect_with(options).await;
    let place = path.display().to_string();
    pool.map(db::Pool::Sqlite).map_err(|cause| StoreError::Open { place, cause }.into())
}

/// Gives a whole file its name, on the disk when this returns.
fn keep(temporary: &Path, path: &Path) -> Result<(), LoadError> {
    let folder =
        path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or_else(|| Path::new("."));
    let mut log = path.as_os_str().to_owned();
    log.push("-wal");
    let kept = || {
        // A log that another file left would be read as this one's.
        for left in
            [PathBuf::from(log.clone()), PathBuf::from(path.as_os_str().to_owned()).with_extension("db-shm")]
        {
            if left.exists() {
                std::fs::remove_file(left)?;
            }
        }
        std::fs::rename(temporary, path)?;
        std::fs::File::open(folder)?.sync_all()
    };
    kept().map_err(|cause| LoadError::Write { path: path.to_owned(), cause })
}
