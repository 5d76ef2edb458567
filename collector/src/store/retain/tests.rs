//! What is too old goes, what is behind incidents stays, and the rest still proves itself. On both kinds of store.

use std::time::Duration;

use sekimori_wire::id::Digest;
use sekimori_wire::time::Timestamp;
use serde_json::json;

use super::*;
use crate::ingest::Outcome;
use crate::store::conformance::{NOW, Sensor, committer, each, number, scan};
use crate::store::testing;

const DAY: Duration = Duration::from_secs(86_400);

fn rules(days: u32) -> Rules {
    let age = DAY * days;
    let over = DAY * 36_500;
    Rules {
        flows: age,
        findings: age,
        alerts: age,
        batches: age,
        incidents: over,
        audit: over,
        max_size: None,
    }
}

/// One batch a day for ten days before [`NOW`], the third with a finding; the digests of all.
async fn filled(store: &Store) -> (Sensor, Vec<Digest>) {
    let sensor = Sensor::new(store, "422011").await;
    let mut digests = vec![Digest::ZERO];
    for seq in 1..=10_u64 {
        let records = if seq == 3 { vec![scan("a", "203.0.113.9")] } else { Vec::new() };
        let submission = sensor.delivers(seq, digests[digests.len() - 1], records);
        digests.push(submission.batches[0].batch.digest());
        let came = NOW.minus(DAY * u32::try_from(10 - seq).unwrap());
        let outcomes =
            committer(store).prepare(vec![submission], came).await.unwrap().commit().await.unwrap();
        assert!(matches!(outcomes.as_slice(), [Outcome::Through(..)]));
    }
    (sensor, digests)
}

async fn kept(store: &Store, rules: &Rules) -> Kept {
    store.retain(rules, NOW).await.unwrap().unwrap()
}

async fn bad(store: &Store) -> Option<String> {
    crate::verify::store(store).await.unwrap().bad
}

#[tokio::test]
async fn the_beginning_of_a_chain_goes_and_the_rest_still_proves_itself() {
    for (_dir, place, store) in each().await {
        let (sensor, digests) = filled(&store).await;
        let done = kept(&store, &rules(4)).await;
        // 1 to 5 are older; 3 is behind the finding of an incident.
        assert_eq!(done.dropped.get("batches"), Some(&4), "{place}: {done:?}");
        assert_eq!(number(&store, "SELECT count(*) FROM batches").await, 6, "{place}");
        assert_eq!(number(&store, "SELECT value FROM counters WHERE name = 'dropped.batches'").await, 4);
        assert_eq!(bad(&store).await, None, "{place}");
        assert!(store.verify_audit().await.unwrap().broken.is_none());
        let again = kept(&store, &rules(4)).await;
        assert!(again.dropped.is_empty() && again.bytes > 0, "{place}: {again:?}");
        // What was dropped was here: come again, it is neither news nor another history.
        let commit = async |submission| {
            committer(&store).prepare(vec![submission], NOW).await.unwrap().commit().await.unwrap()
        };
        for seq in [1, 2, 5] {
            let before = digests[usize::try_from(seq).unwrap() - 1];
            let outcomes = commit(sensor.delivers(seq, before, Vec::new())).await;
            assert!(matches!(outcomes.as_slice(), [Outcome::Through(_, head)] if head.through == 10));
        }
        // The last that was dropped is known by its digest.
        let other = commit(sensor.delivers(5, digests[4], vec![scan("x", "203.0.113.9")])).await;
        assert!(matches!(other.as_slice(), [Outcome::Refused(_)]), "{place}: {other:?}");
        let outcomes = commit(sensor.delivers(11, digests[10], Vec::new())).await;
        assert!(matches!(outcomes.as_slice(), [Outcome::Through(_, head)] if head.through == 11));
        assert_eq!(bad(&store).await, None, "{place}");
        let mut bundle = Vec::new();
        let (key, _) = sekimori_wire::envelope::SigningKey::generate().unwrap();
        crate::evidence::store(&store, None, &key, NOW, &mut bundle).await.unwrap();
        assert_eq!(crate::evidence::check(bundle.as_slice()).unwrap().batches, 7, "{place}");
    }
}

#[tokio::test]
async fn a_chain_that_is_all_old_goes_to_its_end() {
    for (_dir, place, store) in each().await {
        filled(&store).await;
        let late = NOW.plus(DAY * 30);
        store.retain(&rules(4), late).await.unwrap().unwrap();
        assert_eq!(
            number(&store, "SELECT count(*) FROM batches").await,
            1,
            "{place}: the one behind an incident"
        );
        assert_eq!(bad(&store).await, None, "{place}");
    }
}

#[tokio::test]
async fn who_removes_batches_otherwise_is_found_out() {
    for (_dir, place, store) in each().await {
        filled(&store).await;
        kept(&store, &rules(6)).await;
        assert_eq!(bad(&store).await, None, "{place}");
        store.writer().script("DELETE FROM batches WHERE seq = 4").await.unwrap();
        assert!(bad(&store).await.unwrap().contains("the batch before it is missing"), "{place}");
        let forged =
            "UPDATE chain_anchors SET through = 4, digest = (SELECT prev FROM batches WHERE seq = 5)";
        store.writer().script(forged).await.unwrap();
        assert!(bad(&store).await.unwrap().contains("not by retention"), "{place}");
    }
}

/// Flows and summaries of these days, a hundred each.
async fn days(store: &Store, days: impl Iterator<Item = i64>) {
    for day in days {
        let flows = format!(
            "INSERT INTO flows (body, community_id, originator, originator_port, responder, responder_port, protocol, start,
                \"end\", originator_packets, originator_bytes, responder_packets, responder_bytes, state, application,
                server_name, ja4, agent, day)
             SELECT '422011', '1:x', '192.0.2.1', 1, '192.0.2.2', 2, 6, 0, 0, 1, 1, 1, 1, 'SF', 'tls', 'x', '', 'a', {day}
             FROM (VALUES (1), (2), (3), (4), (5), (6), (7), (8), (9), (10)) a,
                (VALUES (1), (2), (3), (4), (5), (6), (7), (8), (9), (10)) b"
        );
        let summaries = format!(
            "INSERT INTO summaries (body, agent, start, \"end\", packets, bytes, flows_ended, flows_omitted, json, day)
             VALUES ('422011', 'a', 0, 0, 0, 0, 0, 0, '{{}}', {day})"
        );
        store.writer().script(db::AssertSqlSafe(flows)).await.unwrap();
        store.writer().script(db::AssertSqlSafe(summaries)).await.unwrap();
    }
}

#[tokio::test]
async fn flows_go_by_whole_days() {
    for (_dir, place, store) in each().await {
        // Some of these days have a partition on PostgreSQL, and some have not.
        let now = crate::clock::now();
        let today = day_of(now);
        if store.is_shared() {
            let make = format!("SELECT make_day('flows', {0}), make_day('summaries', {0})", today - 5);
            store.writer().script(db::AssertSqlSafe(make)).await.unwrap();
        }
        days(&store, (0..10).map(|back| today - 9 + back)).await;
        let done = store.retain(&rules(3), now).await.unwrap().unwrap();
        assert_eq!(done.dropped["flows"], 600, "{place}");
        assert_eq!(done.dropped["summaries"], 6, "{place}");
        assert_eq!(number(&store, "SELECT count(*) FROM flows").await, 400, "{place}");
        assert_eq!(number(&store, "SELECT min(day) FROM flows").await, today - 3, "{place}");
        assert_eq!(number(&store, "SELECT value FROM counters WHERE name = 'dropped.flows'").await, 600);
        // Another collector is at it.
        store.writer().script("UPDATE retention SET lease_until = 9000000000000000000").await.unwrap();
        assert_eq!(store.retain(&rules(3), now).await.unwrap(), None);
    }
}

#[tokio::test]
async fn what_is_too_large_loses_its_oldest_days_and_no_more() {
    let dir = tempfile::tempdir().unwrap();
    let store = testing::store(&dir.path().join("s.db")).await;
    filled(&store).await;
    let now = crate::clock::now();
    if store.is_shared() {
        // Only whole partitions give room back.
        for back in 1..10 {
            let make =
                format!("SELECT make_day('flows', {0}), make_day('summaries', {0})", day_of(now) - back);
            store.writer().script(db::AssertSqlSafe(make)).await.unwrap();
        }
    }
    days(&store, (0..10).map(|back| day_of(now) - 9 + back)).await;
    let tight = Rules { max_size: Some(1), ..rules(36_500) };
    let done = store.retain(&tight, now).await.unwrap().unwrap();
    assert!(done.is_over, "nothing more may go: {done:?}");
    let days = number(&store, "SELECT count(DISTINCT day) FROM flows").await;
    assert_eq!(days, 2, "today and yesterday stay");
    assert_eq!(number(&store, "SELECT count(*) FROM incidents").await, 1);
    assert_eq!(number(&store, "SELECT count(*) FROM findings").await, 1);
    assert_eq!(bad(&store).await, None);
    let roomy = Rules { max_size: Some(1 << 40), ..rules(36_500) };
    assert!(!store.retain(&roomy, now).await.unwrap().unwrap().is_over);
}

#[tokio::test]
async fn findings_of_no_incident_go_and_those_of_one_stay() {
    for (_dir, place, store) in each().await {
        let (sensor, digests) = filled(&store).await;
        let lone = sensor.delivers(11, digests[10], vec![scan("b", "203.0.113.9")]);
        committer(&store).prepare(vec![lone], NOW).await.unwrap().commit().await.unwrap();
        store.writer().script("UPDATE findings SET incident = NULL WHERE seq = 11").await.unwrap();
        let late: Timestamp = NOW.plus(DAY * 30);
        let done = store.retain(&rules(4), late).await.unwrap().unwrap();
        assert_eq!(done.dropped.get("findings"), Some(&1), "{place}: {done:?}");
        assert_eq!(number(&store, "SELECT count(*) FROM findings").await, 1, "{place}");
        // With the finding, nothing holds its batch any more.
        assert_eq!(number(&store, "SELECT count(*) FROM batches").await, 1, "{place}");
        assert_eq!(bad(&store).await, None, "{place}");
    }
}

const YEARS: u32 = 2000;

fn five_years() -> Rules {
    Rules { incidents: DAY * 1827, audit: DAY * 1827, ..rules(36_500) }
}

/// Incidents opened by hand, in these states, long ago.
async fn old(store: &Store, states: &[&str]) -> Vec<String> {
    use crate::incident::permission::Part;
    use crate::incident::transition::{Actor, Bodies};
    db::query("INSERT INTO bodies (code, name) VALUES ('422011', '甲市') ON CONFLICT DO NOTHING")
        .execute(store.writer())
        .await
        .unwrap();
    let role = Part::Person(crate::auth::role::Role::Control);
    let actor = Actor { name: "control".to_owned(), role, bodies: Bodies::All };
    let intake = serde_json::from_value(json!({
        "category": "device_lost", "body": "422011", "title": "PC", "text": "x",
        "reporter": { "kind": "staff", "name": "山田" },
    }))
    .unwrap();
    let mut ids = Vec::new();
    for state in states {
        let then = NOW.minus(DAY * YEARS);
        let id = store.open_by_hand(&intake, &actor, then).await.unwrap();
        db::query("UPDATE incidents SET state = $2 WHERE id = $1")
            .bind(&id)
            .bind(*state)
            .execute(store.writer())
            .await
            .unwrap();
        ids.push(id);
    }
    ids
}

async fn run(store: &Store, sql: &'static str, id: &str, other: &str) {
    db::query(sql).bind(id).bind(other).execute(store.writer()).await.unwrap();
}

async fn left(store: &Store) -> Vec<String> {
    db::query_scalar("SELECT id FROM incidents ORDER BY opened_at, id")
        .fetch_all(store.reader())
        .await
        .unwrap()
}

#[tokio::test]
async fn what_is_over_for_years_goes_whole_and_what_must_stay_stays() {
    for (_dir, place, store) in each().await {
        let states =
            ["closed", "false_positive", "detected", "closed", "closed", "closed", "merged", "closed"];
        let ids = old(&store, &states).await;
        let [gone, none, open, owes, held, into, merged, young] = ids.as_slice() else { panic!() };
        run(
            &store,
            "INSERT INTO obligations (incident, kind, state, voluntary, triggers, reason, moved_by, approved_by, moved_at)
             VALUES ($1, 'ppc_final', 'applicable', 0, '', $2, '', '', 1)",
            owes,
            "",
        )
        .await;
        let hold = r#"{"hold":{"what":"訴訟","signed":{"by":"control","at":"2026-01-01T00:00:00Z"}}}"#;
        run(&store, "INSERT INTO incident_work (incident, json) VALUES ($1, $2)", held, hold).await;
        run(&store, "UPDATE incidents SET merged_into = $2 WHERE id = $1", merged, into).await;
        db::query("UPDATE incidents SET updated_at = $2 WHERE id = $1")
            .bind(young)
            .bind(stored(NOW.minus(DAY * 1826)))
            .execute(store.writer())
            .await
            .unwrap();
        let done = kept(&store, &five_years()).await;
        assert_eq!(done.dropped.get("incidents"), Some(&4), "{place}: {done:?}");
        assert_eq!(left(&store).await, [open, owes, held, young].map(Clone::clone), "{place}");
        assert_eq!(number(&store, "SELECT count(*) FROM tombstones").await, 4, "{place}");
        for id in [gone, none, into, merged] {
            assert_eq!(store.audit_of(id, 9).await.unwrap()[0].entry.action, "retention.incident");
        }
        // The log is cut where the first of those begins that are still there: the third.
        let audited = store.verify_audit().await.unwrap();
        assert_eq!((audited.after, audited.broken), (2, None), "{place}");
        let again = kept(&store, &five_years()).await;
        assert!(again.dropped.is_empty(), "{place}: {again:?}");
    }
}

/// Every table with a column `incident` is emptied of it: a table that a later version adds is not forgotten.
#[tokio::test]
async fn nothing_of_what_is_gone_is_left_in_any_table() {
    for (_dir, place, store) in each().await {
        let ids = old(&store, &["closed"]).await;
        let id = &ids[0];
        for sql in [
            "INSERT INTO incident_notes (incident, n, at, author, role, text) VALUES ($1, 1, 1, 'x', 'control', $2)",
            "INSERT INTO grants (incident, n, kind, what, asked_by, granted_by, at, reason, tlp)
             VALUES ($1, 1, 'evidence_capture', 'x', 'x', 'x', 1, $2, '')",
            "INSERT INTO lessons (incident, closed_at, category, subject, root_cause, lesson)
             VALUES ($1, 1, 'device_lost', '-', 'x', $2)",
        ] {
            run(&store, sql, id, "x").await;
        }
        let done = kept(&store, &five_years()).await;
        assert_eq!(done.dropped.get("incidents"), Some(&1), "{place}: {done:?}");
        for (sql, rows) in [
            ("SELECT count(*) FROM incident_notes", 0),
            ("SELECT count(*) FROM grants", 0),
            ("SELECT count(*) FROM masked_values", 0),
            ("SELECT count(*) FROM incident_changes", 0),
            ("SELECT count(*) FROM lessons", 1),
        ] {
            assert_eq!(number(&store, sql).await, rows, "{place}: {sql}");
        }
        // The next of that day has another number.
        let next = old(&store, &["detected"]).await;
        assert_ne!(&next[0], id, "{place}");
    }
}

#[tokio::test]
async fn the_log_begins_where_it_says_and_nowhere_else() {
    for (_dir, place, store) in each().await {
        let (_sensor, _) = filled(&store).await;
        kept(&store, &rules(4)).await;
        for _ in 0..3 {
            store.audit(crate::audit::Entry { at: NOW, ..Default::default() }).await.unwrap();
        }
        let later = NOW.plus(DAY * 1900);
        let rules = Rules { audit: DAY * 1827, ..rules(36_500) };
        let done = store.retain(&rules, later).await.unwrap().unwrap();
        assert!(done.dropped.contains_key("audit"), "{place}: {done:?}");
        let audited = store.verify_audit().await.unwrap();
        assert!(audited.after > 0 && audited.lines > 0 && audited.broken.is_none(), "{place}: {audited:?}");
        store.anchors().await.unwrap().unwrap();
        assert_eq!(bad(&store).await, None, "{place}");
        // Somebody cuts off more, and says so in the anchor.
        let (seq, hash): (i64, Vec<u8>) = db::query_as("SELECT seq, hash FROM audit ORDER BY seq LIMIT 1")
            .fetch_one(store.reader())
            .await
            .unwrap();
        for sql in ["DELETE FROM audit WHERE seq = $1", "UPDATE audit_anchor SET seq = $1, hash = $2"] {
            let statement = db::query(sql).bind(seq);
            let statement = if sql.contains("$2") { statement.bind(hash.clone()) } else { statement };
            statement.execute(store.writer()).await.unwrap();
            assert!(store.verify_audit().await.unwrap().broken.is_some(), "{place}: {sql}");
        }
    }
}
