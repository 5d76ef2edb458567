//! The layer itself, on both databases.

use super::*;
use crate::store::Store;

async fn store() -> (tempfile::TempDir, Store) {
    let dir = tempfile::tempdir().unwrap();
    let store = crate::store::testing::store(&dir.path().join("s.db")).await;
    (dir, store)
}

async fn add(tx: &mut Conn, name: &str, value: i64) -> Result<Done, Error> {
    query("INSERT INTO counters (name, value) VALUES ($1, $2)").bind(name).bind(value).execute(tx).await
}

async fn names(store: &Store) -> Vec<String> {
    query_scalar("SELECT name FROM counters ORDER BY name").fetch_all(store.reader()).await.unwrap()
}

#[tokio::test]
async fn a_part_that_is_undone_takes_nothing_else_with_it() {
    let (_dir, store) = store().await;
    let mut tx = store.begin().await.unwrap();
    add(&mut tx, "a", 1).await.unwrap();
    let mut part = tx.savepoint().await.unwrap();
    add(&mut part, "b", 2).await.unwrap();
    assert!(add(&mut part, "a", 3).await.is_err(), "the name is taken");
    part.undo().await.unwrap();
    let mut part = tx.savepoint().await.unwrap();
    add(&mut part, "c", 3).await.unwrap();
    part.keep().await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(names(&store).await, ["a", "c"]);
}

#[tokio::test]
async fn a_part_left_open_spoils_the_whole() {
    let (_dir, store) = store().await;
    let mut tx = store.begin().await.unwrap();
    add(&mut tx, "a", 1).await.unwrap();
    drop(tx.savepoint().await.unwrap());
    add(&mut tx, "b", 1).await.unwrap_err();
    assert!(tx.commit().await.is_err());
    drop(store.begin().await.unwrap());
    assert!(names(&store).await.is_empty());
}

#[tokio::test]
async fn values_come_back_as_they_went() {
    let (_dir, store) = store().await;
    let sql = "SELECT CAST($1 AS BIGINT) AS n, CAST($2 AS TEXT) AS t, $3 IS NULL AS missing, CAST($4 AS BIGINT) AS yes";
    let ask = || query(sql).bind(i64::MIN).bind("関守").bind(None::<i64>).bind(true);
    let row = ask().fetch_one(store.reader()).await.unwrap();
    assert_eq!(row.get::<i64>("n").unwrap(), i64::MIN);
    assert_eq!(row.get::<&str>("t").unwrap(), "関守");
    assert!(row.get::<bool>("missing").unwrap());
    assert_eq!(row.get::<i64>(3).unwrap(), 1);
    assert!(row.get::<i64>("t").is_err() && row.get::<i64>("none").is_err());
    let shaped: (i64, String, bool, i64) = query_as(sql)
        .bind(i64::MIN)
        .bind("関守")
        .bind(None::<i64>)
        .bind(true)
        .fetch_one(store.reader())
        .await
        .unwrap();
    assert_eq!(shaped, (i64::MIN, "関守".to_owned(), true, 1));
    assert_eq!(ask().fetch(store.reader()).count().await, 1);
}

#[tokio::test]
async fn readers_cannot_write() {
    let (_dir, store) = store().await;
    let insert = || query("INSERT INTO counters (name, value) VALUES ('a', 1)");
    insert().execute(store.reader()).await.unwrap_err();
    assert_eq!(insert().execute(store.writer()).await.unwrap().rows_affected(), 1);
}
