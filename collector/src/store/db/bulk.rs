//! One statement for many rows: each that is run alone is handed to SQLite's thread, or to a server, and back, which costs more
//! than dozens of rows.

use std::fmt::Write as _;
use std::sync::OnceLock;

use super::{AssertSqlSafe, Bound, Conn, Error, Query, Shape, Value, query, query_as};

/// Rows of a statement on SQLite, most first: few different statements, so that each is prepared once, and by halves, so that few
/// make up any number.
const SIZES: [usize; 7] = [64, 32, 16, 8, 4, 2, 1];
/// Where in the text the rows come.
const HERE: &str = "{rows}";

/// What a column of the rows holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Whole numbers.
    Int,
    /// Text.
    Text,
    /// Bytes.
    Blob,
}

/// A statement with `{rows}` in it, which becomes a table of the columns `column1`, `column2`, …
///
/// ```ignore
/// static COUNT: Bulk<2> = Bulk::new(
///     "INSERT INTO counters (name, value) {rows} ON CONFLICT (name) DO UPDATE SET value = counters.value + excluded.value",
///     [Kind::Text, Kind::Int],
/// );
/// COUNT.execute(&mut tx, vec![["a".into(), 1.into()], ["b".into(), 2.into()]]).await?;
/// ```
///
/// On SQLite they are `VALUES` of at most 64 rows, and more than one statement if there are more; on PostgreSQL one array for
/// each column, since a statement of as many placeholders as values is dear to send and to plan. So of one call no two rows may
/// change the same row of a table.
#[derive(Debug)]
pub struct Bulk<const N: usize> {
    sql: &'static str,
    kinds: [Kind; N],
    sqlite: OnceLock<[String; SIZES.len()]>,
    postgres: OnceLock<String>,
}

impl<const N: usize> Bulk<N> {
    /// `sql` has `{rows}` once.
    pub const fn new(sql: &'static str, kinds: [Kind; N]) -> Self {
        Self { sql, kinds, sqlite: OnceLock::new(), postgres: OnceLock::new() }
    }

    /// Runs it for all rows.
    ///
    /// # Errors
    /// If the database refuses, or a value is not of its column's kind (PostgreSQL).
    pub async fn execute(&'static self, conn: &mut Conn, rows: Vec<[Value<'_>; N]>) -> Result<(), Error> {
        for (sql, values) in self.statements(conn.is_shared(), rows)? {
            let statement = Query { values, ..query(AssertSqlSafe(sql)) };
            statement.execute(&mut *conn).await?;
        }
        Ok(())
    }

    /// Runs it for all rows, and gives what it finds.
    ///
    /// # Errors
    /// If the database refuses, or a value is not of its column's kind (PostgreSQL).
    pub async fn fetch_all<O: Shape>(
        &'static self,
        conn: &mut Conn,
        rows: Vec<[Value<'_>; N]>,
    ) -> Result<Vec<O>, Error> {
        let mut found = Vec::new();
        for (sql, values) in self.statements(conn.is_shared(), rows)? {
            let statement = Query { values, ..query_as(AssertSqlSafe(sql)) };
            found.extend(statement.fetch_all(&mut *conn).await?);
        }
        Ok(found)
    }

    fn statements<'q>(
        &'static self,
        on_server: bool,
        rows: Vec<[Value<'q>; N]>,
    ) -> Result<Vec<(&'static str, Vec<Bound<'q>>)>, Error> {
        if rows.is_empty() {
            return Ok(Vec::new());
        }
        if on_server {
            let sql = self.postgres.get_or_init(|| self.sql.replacen(HERE, &arrays(&self.kinds), 1));
            return Ok(vec![(sql.as_str(), columns(self.kinds, rows)?)]);
        }
        let sql = self.sqlite.get_or_init(|| SIZES.map(|size| self.sql.replacen(HERE, &values(size, N), 1)));
        let (mut left, mut rows, mut statements) = (rows.len(), rows.into_iter(), Vec::new());
        for (size, sql) in SIZES.iter().zip(sql) {
            while left >= *size {
                left -= size;
                let values = rows.by_ref().take(*size).flatten().map(Bound::One).collect();
                statements.push((sql.as_str(), values));
            }
        }
        Ok(statements)
    }
}

/// `VALUES` for SQLite.
fn values(rows: usize, columns: usize) -> String {
    let mut text = "VALUES ".to_owned();
    for row in 0..rows {
        for column in 0..columns {
            text.push_str(match (row, column) {
                (0, 0) => "(",
                (_, 0) => "), (",
                _ => ", ",
            });
            // Without a number: a placeholder that has one is looked for by its name among all of them, each time it is bound.
            text.push('?');
        }
    }
    text.push(')');
    text
}

/// The same for PostgreSQL.
fn arrays(kinds: &[Kind]) -> String {
    let (mut arrays, mut names) = (String::new(), String::new());
    for (at, kind) in kinds.iter().enumerate() {
        let of = match kind {
            Kind::Int => "bigint",
            Kind::Text => "text",
            Kind::Blob => "bytea",
        };
        let comma = if at == 0 { "" } else { ", " };
        // Writing into a string never fails.
        write!(arrays, "{comma}${}::{of}[]", at + 1).unwrap_or_default();
        write!(names, "{comma}column{}", at + 1).unwrap_or_default();
    }
    format!("SELECT * FROM unnest({arrays}) AS of_rows ({names})")
}

fn columns<const N: usize>(kinds: [Kind; N], rows: Vec<[Value<'_>; N]>) -> Result<Vec<Bound<'_>>, Error> {
    let mut columns = kinds.map(|kind| match kind {
        Kind::Int => Bound::Ints(Vec::with_capacity(rows.len())),
        Kind::Text => Bound::Texts(Vec::with_capacity(rows.len())),
        Kind::Blob => Bound::Blobs(Vec::with_capacity(rows.len())),
    });
    for row in rows {
        for (column, value) in columns.iter_mut().zip(row) {
            match (column, value) {
                (Bound::Ints(column), Value::Int(value)) => column.push(value),
                (Bound::Texts(column), Value::Text(value)) => column.push(value),
                (Bound::Blobs(column), Value::Blob(value)) => column.push(value),
                (Bound::One(_) | Bound::Ints(_) | Bound::Texts(_) | Bound::Blobs(_), value) => {
                    return Err(Error::Encode(format!("{value:?} is not of its column's kind").into()));
                }
            }
        }
    }
    Ok(columns.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::conformance;

    static COUNT: Bulk<2> = Bulk::new(
        "INSERT INTO counters (name, value) {rows} ON CONFLICT (name) DO UPDATE SET value = counters.value + excluded.value",
        [Kind::Text, Kind::Int],
    );
    static RENAME: Bulk<2> = Bulk::new(
        "UPDATE counters SET name = r.column2 FROM ({rows}) AS r WHERE counters.name = r.column1",
        [Kind::Text, Kind::Text],
    );
    static OF: Bulk<1> = Bulk::new(
        "SELECT c.name, c.value FROM ({rows}) AS r JOIN counters c ON c.name = r.column1",
        [Kind::Text],
    );

    #[tokio::test]
    async fn every_row_is_written_changed_and_found_however_many_there_are() {
        for (_dir, place, store) in conformance::each().await {
            for count in [0_i64, 1, 2, 3, 63, 64, 65, 127, 212] {
                let names = |prefix: char| (0..count).map(move |n| format!("{prefix}{count}.{n}"));
                let mut tx = store.begin().await.unwrap();
                for _ in 0..2 {
                    let rows = names('a').zip(0_i64..).map(|(name, n)| [name.into(), n.into()]).collect();
                    COUNT.execute(&mut tx, rows).await.unwrap();
                }
                let rows = names('a').zip(names('b')).map(|(a, b)| [a.into(), b.into()]).collect();
                RENAME.execute(&mut tx, rows).await.unwrap();
                let mut found: Vec<(String, i64)> =
                    OF.fetch_all(&mut tx, names('b').map(|name| [name.into()]).collect()).await.unwrap();
                tx.commit().await.unwrap();
                found.sort_by_key(|(_, n)| *n);
                let expected: Vec<_> = names('b').zip((0_i64..).map(|n| n * 2)).collect();
                assert_eq!(found, expected, "{place}");
            }
        }
    }

    #[tokio::test]
    async fn a_value_of_another_kind_is_an_error_on_a_server() {
        let (rows, kinds) = (vec![[Value::from(1_i64)]], [Kind::Text]);
        assert!(matches!(columns(kinds, rows), Err(Error::Encode(_))));
        let empty = columns([Kind::Blob], vec![[Value::from(None::<Vec<u8>>)]]).unwrap();
        assert!(matches!(empty.as_slice(), [Bound::Blobs(values)] if *values == [None]));
    }
}
