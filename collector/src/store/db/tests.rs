//! The layer itself, on both databases.

use super::*;
use crate::store::Store;

async fn store() -> (tempfile::TempDir, Store) {
    let dir = tempfile::tempdir().unwrap();
    let store = crate::store::testing::store(&dir.path().join("s.db")).await;
    (dir, store)
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
