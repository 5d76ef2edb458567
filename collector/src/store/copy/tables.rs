//! What tables a store has, as its database names them.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::store::db::{self, Conn};
use crate::store::{StoreError, query};

/// Not copied: what belongs to the database itself, and open sessions, which a restored store must not revive.
const LEFT_OUT: [&str; 4] = ["_sqlx_migrations", "schema_lock", "incident_feed", "sessions"];

/// Read as they lie: to put them in order would take as much room as they do.
const BULK: [&str; 3] = ["batches", "flows", "summaries"];

/// What a column holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// Whole numbers.
    Int,
    /// Numbers with a fraction.
    Real,
    /// Text.
    Text,
    /// Bytes.
    Blob,
}

/// One column.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Column {
    /// Its name.
    pub name: String,
    /// What it holds.
    pub kind: Kind,
}

/// One table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Table {
    /// Its name.
    pub name: String,
    /// Its columns.
    pub columns: Vec<Column>,
    /// Rows with a value here refer to rows of the same table, which have none.
    #[serde(default)]
    pub own: Vec<String>,
    /// The key by which rows are read.
    #[serde(default)]
    pub key: Vec<String>,
}

impl Table {
    /// Everything in it, in an order that can be written again.
    pub(super) fn select(&self) -> String {
        let mut order: Vec<String> =
            self.own.iter().map(|column| format!("\"{column}\" IS NOT NULL")).collect();
        if !BULK.contains(&self.name.as_str()) {
            order.extend(self.key.iter().map(|column| format!("\"{column}\"")));
        }
        let order = if order.is_empty() { String::new() } else { format!(" ORDER BY {}", order.join(", ")) };
        format!("SELECT {} FROM \"{}\"{order}", self.column_list(), self.name)
    }

    /// `"a", "b"`.
    pub(super) fn column_list(&self) -> String {
        self.columns.iter().map(|column| format!("\"{}\"", column.name)).collect::<Vec<_>>().join(", ")
    }
}

/// One text for each database; both give table, column, type and place in the key (0: not in it), by table and column.
const COLUMNS: [&str; 2] = [
    "SELECT t.name AS of, c.name AS col, lower(c.type) AS kind, CAST(c.pk AS INTEGER) AS pk
     FROM pragma_table_list t JOIN pragma_table_info(t.name) c
     WHERE t.schema = 'main' AND t.type = 'table' AND t.name NOT LIKE 'sqlite\\_%' ESCAPE '\\' ORDER BY t.name, c.cid",
    "SELECT CAST(t.relname AS TEXT) AS of, CAST(c.attname AS TEXT) AS col, format_type(c.atttypid, NULL) AS kind,
        CAST(coalesce(array_position(i.indkey::int2[], c.attnum) + 1, 0) AS BIGINT) AS pk
     FROM pg_class t JOIN pg_namespace s ON s.oid = t.relnamespace AND s.nspname = current_schema()
     JOIN pg_attribute c ON c.attrelid = t.oid AND c.attnum > 0 AND NOT c.attisdropped AND c.attgenerated = ''
     LEFT JOIN pg_index i ON i.indrelid = t.oid AND i.indisprimary
     WHERE t.relkind IN ('r', 'p') AND NOT t.relispartition ORDER BY t.relname, c.attnum",
];
/// Which table refers to which, by which column.
const REFERENCES: [&str; 2] = [
    "SELECT t.name AS of, f.\"table\" AS other, f.\"from\" AS col FROM pragma_table_list t JOIN pragma_foreign_key_list(t.name) f
     WHERE t.schema = 'main' AND t.type = 'table'",
    "SELECT CAST(t.relname AS TEXT) AS of, CAST(o.relname AS TEXT) AS other, CAST(c.attname AS TEXT) AS col
     FROM pg_constraint f JOIN pg_class t ON t.oid = f.conrelid JOIN pg_class o ON o.oid = f.confrelid
     JOIN pg_namespace s ON s.oid = t.relnamespace AND s.nspname = current_schema()
     JOIN pg_attribute c ON c.attrelid = t.oid AND c.attnum = ANY (f.conkey)
     WHERE f.contype = 'f' AND NOT t.relispartition",
];

/// Every table that is copied, none before one that it refers to.
///
/// # Errors
/// If the store fails, or a column is of a type that is not known.
pub(super) async fn list(tx: &mut Conn) -> Result<Vec<Table>, StoreError> {
    let failed = query("list the tables");
    let of = |texts: [&'static str; 2]| if tx.is_shared() { texts[1] } else { texts[0] };
    let (columns, references) = (of(COLUMNS), of(REFERENCES));
    let rows: Vec<(String, String, String, i64)> =
        db::query_as(columns).fetch_all(&mut *tx).await.map_err(failed)?;
    let mut tables = BTreeMap::<String, Table>::new();
    let mut keys = BTreeMap::<String, BTreeMap<i64, String>>::new();
    for (name, column, kind, place) in rows {
        if LEFT_OUT.contains(&name.as_str()) {
            continue;
        }
        let Some(kind) = kind_of(&kind) else {
            return Err(StoreError::UnknownType { column: format!("{name}.{column}"), kind });
        };
        if place > 0 {
            keys.entry(name.clone()).or_default().insert(place, column.clone());
        }
        let empty = Table { name: name.clone(), columns: Vec::new(), own: Vec::new(), key: Vec::new() };
        tables.entry(name).or_insert(empty).columns.push(Column { name: column, kind });
    }
    for (name, key) in keys {
        if let Some(table) = tables.get_mut(&name) {
            table.key = key.into_values().collect();
        }
    }
    let rows: Vec<(String, String, String)> =
        db::query_as(references).fetch_all(tx).await.map_err(query("list the tables"))?;
    let mut needs = BTreeMap::<String, BTreeSet<String>>::new();
    for (name, other, column) in rows {
        match tables.get_mut(&name) {
            Some(table) if other == name => table.own.push(column),
            Some(_) => drop(needs.entry(name).or_default().insert(other)),
            None => {}
        }
    }
    Ok(in_order(tables, &needs))
}

fn kind_of(name: &str) -> Option<Kind> {
    Some(match name {
        "integer" | "bigint" => Kind::Int,
        "real" | "double precision" => Kind::Real,
        "text" => Kind::Text,
        "blob" | "bytea" => Kind::Blob,
        _ => return None,
    })
}

/// None before one that it refers to; tables that refer to each other in a circle, of which there are none, come last.
fn in_order(mut tables: BTreeMap<String, Table>, needs: &BTreeMap<String, BTreeSet<String>>) -> Vec<Table> {
    let mut out = Vec::new();
    loop {
        let is_ready =
            |name: &String| needs.get(name).is_none_or(|all| all.iter().all(|one| !tables.contains_key(one)));
        let ready: Vec<String> = tables.keys().filter(|name| is_ready(name)).cloned().collect();
        if ready.is_empty() {
            out.extend(tables.into_values());
            return out;
        }
        out.extend(ready.iter().filter_map(|name| tables.remove(name)));
    }
}
