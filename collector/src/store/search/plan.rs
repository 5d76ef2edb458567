//! How a search is carried out.
//!
//! PostgreSQL knows how its rows are spread and plans by itself. SQLite does not: it would read a table through an index row by
//! row, which takes several times as long as to read it as it lies. So there a condition on addresses goes through its
//! index, where there is one, if it is one address, or if few rows fit; otherwise the newest rows are looked at first, and then,
//! if that did not fill the page, the whole table.

use super::{Place, ROWS_MAX, Search};
use crate::query::{AddressTerm, Param, Style};
use crate::store::db::{self, Conn, Error, Shape};

/// Rows that are looked at by time before the whole table is.
const NEWEST: i64 = 50_000;
/// Rows that may be fetched through an index on addresses.
const FEW: i64 = 20_000;

/// One way to do it.
#[derive(Clone, Copy, Debug, Default)]
struct Way {
    style: Style,
    /// Only from here on.
    since: Option<i64>,
    /// Reads the table as it lies, and sorts what fits.
    sorts: bool,
}

/// Whose rows: `None` for everybody's.
pub(super) type Bodies = Option<Vec<String>>;

/// Every row that fits, up to one more than was asked for.
pub(super) async fn rows<T: Shape + Send>(
    tx: &mut Conn,
    place: &Place,
    search: &Search,
    bodies: &Bodies,
    is_shared: bool,
) -> Result<Vec<T>, Error> {
    if is_shared {
        return fetch(tx, place, search, bodies, Way::default()).await;
    }
    let style = Style { folds_case: true, index: None, hides: true };
    if let Some(index) = narrow(tx, place, search).await? {
        let style = Style { index: Some(index), ..style };
        return fetch(tx, place, search, bodies, Way { style, ..Way::default() }).await;
    }
    let newest = Way { style, ..Way::default() };
    let Some(since) = newest_since(tx, place, search).await? else {
        return fetch(tx, place, search, bodies, newest).await;
    };
    let rows = fetch(tx, place, search, bodies, Way { since: Some(since), ..newest }).await?;
    if rows.len() > usize::try_from(search.limit).unwrap_or(usize::MAX) {
        return Ok(rows);
    }
    fetch(tx, place, search, bodies, Way { sorts: true, ..newest }).await
}

/// Which of the conditions on addresses is best looked up, if one is.
async fn narrow(tx: &mut Conn, place: &Place, search: &Search) -> Result<Option<usize>, Error> {
    if !place.by_address {
        return Ok(None);
    }
    let mut best: Option<(i64, usize)> = None;
    for AddressTerm { number, ranges } in search.asked.address_terms() {
        let rows = match ranges.as_slice() {
            // In order of time: one need not read further than the page.
            [(_, low, high)] if low == high => 0,
            ranges => {
                let mut rows = 0;
                for (key, low, high) in ranges {
                    let count = format!(
                        "SELECT count(*) FROM (SELECT 1 FROM {} WHERE {key} BETWEEN $1 AND $2 LIMIT {})",
                        place.from,
                        FEW + 1
                    );
                    let few: i64 = db::query_scalar(db::AssertSqlSafe(count))
                        .bind(low.as_str())
                        .bind(high.as_str())
                        .fetch_one(&mut *tx)
                        .await?;
                    rows += few;
                    if rows > FEW {
                        break;
                    }
                }
                rows
            }
        };
        if rows <= FEW && best.is_none_or(|(least, _)| rows < least) {
            best = Some((rows, number));
        }
    }
    Ok(best.map(|(_, number)| number))
}

/// When the last of the newest rows began; `None` if there are fewer.
async fn newest_since(tx: &mut Conn, place: &Place, search: &Search) -> Result<Option<i64>, Error> {
    let before = search.after.map(|after| after.time).into_iter().chain(search.between.1).min();
    let sql = format!(
        "SELECT {time} FROM {from} WHERE {time} <= $1 ORDER BY {time} DESC LIMIT 1 OFFSET {NEWEST}",
        time = place.time,
        from = place.from
    );
    let since: Option<i64> =
        db::query_scalar(db::AssertSqlSafe(sql)).bind(before.unwrap_or(i64::MAX)).fetch_optional(tx).await?;
    // All that may fit is among the newest.
    Ok(since.filter(|since| search.between.0.is_none_or(|from| from < *since)))
}

async fn fetch<T: Shape + Send>(
    tx: &mut Conn,
    place: &Place,
    search: &Search,
    bodies: &Bodies,
    way: Way,
) -> Result<Vec<T>, Error> {
    let (sql, values) = statement(place, search, bodies, way);
    db::query_as(db::AssertSqlSafe(sql)).bind_all(values).fetch_all(tx).await
}

/// The statement, with nothing in it that was not asked for, so that the database can plan for what was.
fn statement(place: &Place, search: &Search, bodies: &Bodies, way: Way) -> (String, Vec<db::Value<'static>>) {
    debug_assert_eq!(place.entity, search.asked.entity(), "a query about something else");
    let asked = search.asked.condition_in(1, way.style);
    let mut values: Vec<db::Value<'static>> = asked
        .params
        .into_iter()
        .map(|param| match param {
            Param::Int(number) => number.into(),
            Param::Text(text) => text.into(),
        })
        .collect();
    let mut sql = format!("SELECT {} FROM {} WHERE ({})", place.columns, place.from, asked.sql);
    let mut bind = |value: db::Value<'static>| {
        values.push(value);
        values.len()
    };
    if let Some(bodies) = bodies {
        let places: Vec<String> =
            bodies.iter().map(|body| format!("${}", bind(body.clone().into()))).collect();
        // Nobody's bodies: nothing.
        let within = if places.is_empty() { "NULL".to_owned() } else { places.join(", ") };
        sql.push_str(&format!(" AND {}.body IN ({within})", place.alias));
    }
    let since = search.between.0.into_iter().chain(way.since).max();
    for (sign, bound) in [(">=", since), ("<=", search.between.1)] {
        if let Some(bound) = bound {
            sql.push_str(&format!(" AND {} {sign} ${}", place.time, bind(bound.into())));
        }
    }
    if let Some(after) = search.after {
        let (time, n) = (bind(after.time.into()), bind(after.n.into()));
        sql.push_str(&format!(" AND ({}, {}.n) < (${time}, ${n})", place.time, place.alias));
    }
    let rows = search.limit.clamp(1, ROWS_MAX) + 1;
    let plus = if way.sorts { "+" } else { "" };
    sql.push_str(&format!(" ORDER BY {plus}{} DESC, {}.n DESC LIMIT {rows}", place.time, place.alias));
    (sql, values)
}
