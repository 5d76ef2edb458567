//! A group says and leaves what its submissions would one after the other.

use sekimori_wire::batch::Lane;
use sekimori_wire::id::Digest;
use sekimori_wire::record::{Record, Summary};

use crate::ingest::{Outcome, Submission};
use crate::store::conformance::{NOW, Sensor, commit, each, scan};
use crate::store::{Store, db};

fn summary(packets: u64) -> Record {
    Record::Summary(Box::new(Summary { start: NOW, end: NOW, packets, ..Summary::default() }))
}

fn digest(submission: &Submission) -> Digest {
    submission.batches.last().unwrap().batch.digest()
}

/// Both lanes of one agent, with everything that a chain can meet, and another agent between.
fn submissions(one: &Sensor, other: &Sensor) -> Vec<Submission> {
    let (first, second) = ((Lane::Urgent, 1), (Lane::Urgent, 2));
    let a1 = one.delivers_in(first, 1, Digest::ZERO, vec![scan("a", "203.0.113.9")]);
    let a2 = one.delivers_in(first, 2, digest(&a1), vec![scan("b", "203.0.113.8")]);
    let early = one.delivers_in(first, 9, digest(&a2), vec![scan("c", "203.0.113.7")]);
    // After damage on its disk: a new chain, which begins with what the second batch told.
    let b1 = one.delivers_in(second, 1, Digest::ZERO, vec![scan("b", "203.0.113.8")]);
    let b2 = one.delivers_in(second, 2, digest(&b1), vec![scan("d", "203.0.113.6")]);
    let given_up = one.delivers_in(first, 3, digest(&a2), vec![scan("e", "203.0.113.5")]);
    let forked = one.delivers_in(second, 2, digest(&b1), vec![scan("f", "203.0.113.4")]);
    let mut both = one.delivers_in(second, 3, digest(&b2), Vec::new());
    both.batches.extend(one.delivers_in(second, 4, digest(&both), vec![scan("g", "203.0.113.3")]).batches);
    let d1 = one.delivers_in((Lane::Detail, 1), 1, Digest::ZERO, vec![summary(1)]);
    let d2 = one.delivers_in((Lane::Detail, 1), 2, digest(&d1), vec![summary(2), summary(3)]);
    let e1 = one.delivers_in((Lane::Detail, 2), 1, Digest::ZERO, vec![summary(2), summary(3)]);
    let o1 = other.delivers_in((Lane::Detail, 1), 1, Digest::ZERO, vec![summary(4)]);
    let o2 = other.delivers_in(first, 1, Digest::ZERO, vec![scan("h", "203.0.113.2")]);
    vec![
        d1.clone(),
        d1,
        d2,
        o1,
        e1,
        a1.clone(),
        a2.clone(),
        a1,
        early,
        o2.clone(),
        b1.clone(),
        a2,
        b2,
        b1,
        given_up,
        forked,
        both,
        o2,
    ]
}

/// What is left: rows, heads of chains, counters.
async fn left(store: &Store) -> Vec<(String, i64)> {
    let found = db::query_as(
        "SELECT 'batches ' || agent || ' ' || lane || ' ' || epoch AS what, count(*) FROM batches GROUP BY agent, lane, epoch
         UNION ALL SELECT 'head ' || agent || ' ' || lane || ' ' || epoch, through FROM chains
         UNION ALL SELECT 'summaries', count(*) FROM summaries
         UNION ALL SELECT 'findings', count(*) FROM findings
         UNION ALL SELECT 'incidents', count(*) FROM incidents
         UNION ALL SELECT 'seen ' || id || ' ' || version, last_seen FROM agents
         UNION ALL SELECT 'counted ' || name, value FROM counters ORDER BY 1",
    );
    found.fetch_all(store.reader()).await.unwrap()
}

#[tokio::test]
async fn a_group_comes_to_what_its_submissions_come_to_one_by_one() {
    for ((_dir, place, grouped), (_other, _, single)) in each().await.into_iter().zip(each().await) {
        let (one, other) = (Sensor::new(&grouped, "422011").await, Sensor::new(&grouped, "131016").await);
        one.enrol(&single).await;
        other.enrol(&single).await;
        let submissions = submissions(&one, &other);
        let mut expected = Vec::new();
        for submission in &submissions {
            expected.extend(commit(&single, vec![submission.clone()]).await.unwrap());
        }
        let outcomes = commit(&grouped, submissions).await.unwrap();
        assert_eq!(outcomes, expected, "{place}");
        let refused = outcomes.iter().filter(|outcome| matches!(outcome, Outcome::Refused(_))).count();
        assert_eq!(refused, 2, "{place}: what was given up, and another history: {outcomes:?}");
        let left = (left(&grouped).await, left(&single).await);
        assert_eq!(left.0, left.1, "{place}");
        let count = |name: &str| left.0.iter().find(|(what, _)| what == name).map(|(_, count)| *count);
        assert_eq!(count("counted batches_resealed"), Some(2), "{place}: {left:?}");
        assert_eq!((count("summaries"), count("findings")), (Some(4), Some(5)), "{place}: {left:?}");
    }
}
