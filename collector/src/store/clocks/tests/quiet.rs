//! What is not told one by one: many of a kind, level 1, and what closes by itself.

use super::*;

#[tokio::test]
async fn many_of_a_kind_at_once_share_three_notices_and_what_is_worse_is_told() {
    let bench = bench().await;
    let clocks = &on_any_store(&bench.one, &bench.dir).await;
    for n in 1..=20 {
        open(&clocks.store, &format!("INC-422011-20261125-{n:02}"), 2, "live").await;
    }
    clocks.look(opened()).await.unwrap();
    clocks.look(after(1)).await.unwrap();
    let monitor = async || contacts(&clocks.store, "%/findings/%/monitor/%").await.len();
    assert_eq!(monitor().await, 3);
    let hushed: Vec<String> =
        db::query_scalar("SELECT json FROM incident_changes WHERE kind = 'storm' AND incident LIKE '%-20'")
            .fetch_all(clocks.store.reader())
            .await
            .unwrap();
    assert_eq!(hushed.len(), 1, "its history says why, once");
    assert!(hushed[0].contains("notice.storm/1") && hushed[0].contains("\"notices\":3"), "{hushed:?}");
    db::query("UPDATE incidents SET severity = 4 WHERE id = 'INC-422011-20261125-20'")
        .execute(clocks.store.writer())
        .await
        .unwrap();
    changed(&clocks.store, "INC-422011-20261125-20", "raised", after(2)).await;
    clocks.look(after(2)).await.unwrap();
    assert_eq!(monitor().await, 4);
    // Time limits go on for each of them.
    clocks.look(after(3600)).await.unwrap();
    assert_eq!(fired(&clocks.store).await.keys().filter(|key| key.ends_with(" ack 100")).count(), 20);
}

#[tokio::test]
async fn level_one_is_told_once_a_day() {
    let dir = tempfile::tempdir().unwrap();
    let sink = sink().await;
    let own = "[[contact]]\nname = \"officer\"\nroles = [\"body_officer\"]\nsyslog = \"monitor2\"\nbodies = [\"422011\"]\n";
    let clocks = on_any_store(&replica(&dir.path().join("s.db"), &sink, own).await, &dir).await;
    let store = &clocks.store;
    db::query("INSERT INTO bodies (code, name) VALUES ('422011', '長崎市')")
        .execute(store.writer())
        .await
        .unwrap();
    open(store, ID, 1, "live").await;
    open(store, "INC-422011-20261125-2", 2, "live").await;
    open(store, "INC-422011-20261125-3", 1, "replay").await;
    db::query(
        "INSERT INTO precursors (body, finding, category, subject, time) VALUES ('422011', 'f', 'scan', 'x', $1)",
    )
    .bind(stored(opened()))
    .execute(store.writer())
    .await
    .unwrap();
    let digests = async || contacts(store, "digest/%").await;
    // Opened at ten; the day's digest was written without it, at the first look.
    clocks.look(at("11-25T09:00:00")).await.unwrap();
    clocks.look(at("11-26T08:29:59")).await.unwrap();
    assert!(digests().await.is_empty());
    for seconds in ["08:30:00", "08:30:01", "12:00:00"] {
        clocks.look(at(&format!("11-26T{seconds}"))).await.unwrap();
    }
    assert_eq!(digests().await, ["officer", "monitor"]);
    let texts: Vec<String> = db::query_scalar("SELECT text FROM notices WHERE key LIKE 'digest/%/422011/%'")
        .fetch_all(store.reader())
        .await
        .unwrap();
    let text = &texts[0];
    assert!(text.contains("L1 の事案: 1\n") && text.contains("(件数のみ): 1\n"), "{text}");
    assert!(text.contains(&format!("11-25 10:00 {ID} ランサムウェア 203.0.113.7 (検知)")), "{text}");
    assert!(!text.contains("20261125-2") && !text.contains("20261125-3"), "{text}");
    // A day without any: nothing; a Saturday: nothing is even counted.
    clocks.look(at("11-27T09:00:00")).await.unwrap();
    clocks.look(at("11-28T09:00:00")).await.unwrap();
    assert_eq!(digests().await.len(), 2);
    let days: Vec<String> = db::query_scalar("SELECT day FROM digests WHERE body = '' ORDER BY day")
        .fetch_all(store.reader())
        .await
        .unwrap();
    assert_eq!(days, ["2026-11-25", "2026-11-26", "2026-11-27"]);
}

#[tokio::test]
async fn what_was_observed_for_a_week_closes_by_itself_below_level_two() {
    let bench = bench().await;
    let clocks = &on_any_store(&bench.one, &bench.dir).await;
    let ids = ["INC-422011-20261125-1", "INC-422011-20261125-2"];
    for (id, level) in ids.iter().zip([1, 2]) {
        open(&clocks.store, id, level, "live").await;
        work(&clocks.store, id, "observing", json!({ "observing_since": opened() }), opened()).await;
    }
    let states = async || -> Vec<String> {
        db::query_scalar("SELECT state FROM incidents ORDER BY id")
            .fetch_all(clocks.store.reader())
            .await
            .unwrap()
    };
    const WEEK: u64 = 7 * 86_400;
    clocks.look(after(WEEK - 1)).await.unwrap();
    assert_eq!(states().await, ["observing", "observing"]);
    clocks.look(after(WEEK)).await.unwrap();
    assert_eq!(states().await, ["closed", "observing"]);
    let lines: Vec<String> = db::query_scalar(
        "SELECT json FROM incident_changes WHERE kind = 'moved' AND incident = $1 ORDER BY seq DESC",
    )
    .bind(ids[0])
    .fetch_all(clocks.store.reader())
    .await
    .unwrap();
    assert!(lines[0].contains("\"system\"") && lines[0].contains("7 days of observation"), "{lines:?}");
}
