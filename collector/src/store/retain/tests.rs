//! What is too old goes, what is behind incidents stays, and the rest still proves itself. On both kinds of store.

use std::time::Duration;

use sekimori_wire::id::Digest;
use sekimori_wire::time::Timestamp;

use super::*;
use crate::ingest::Outcome;
use crate::store::conformance::{NOW, Sensor, committer, each, number, scan};
use crate::store::testing;

const DAY: Duration = Duration::from_secs(86_400);

fn rules(days: u32) -> Rules {
    let age = DAY * days;
    Rules { flows: age, findings: age, alerts: age, batches: age, max_size: None }
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
        assert!(matches!(outcomes.as_slice(), [Some(Outcome::Through(..))]));
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
            assert!(matches!(outcomes.as_slice(), [Some(Outcome::Through(_, head))] if head.through == 10));
        }
        // The last that was dropped is known by its digest.
        let other = commit(sensor.delivers(5, digests[4], vec![scan("x", "203.0.113.9")])).await;
        assert!(matches!(other.as_slice(), [Some(Outcome::Refused(_))]), "{place}: {other:?}");
        let outcomes = commit(sensor.delivers(11, digests[10], Vec::new())).await;
        assert!(matches!(outcomes.as_slice(), [Some(Outcome::Through(_, head))] if head.through == 11));
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
