//! What a store must do whatever the database is, and what several collectors must not do to each other on PostgreSQL.
//! These always run on both. `SEKIMORI_TEST_STORE=postgres` runs every other test of the crate on PostgreSQL as well.

use std::sync::Arc;
use std::time::Duration;

use sekimori_wire::batch::{Batch, Lane, Mode};
use sekimori_wire::envelope::{Envelope, SigningKey};
use sekimori_wire::finding::{Bilingual, Category, Confidence, Evidence, Finding, Severity};
use sekimori_wire::id::{Digest, FindingId};
use sekimori_wire::keyring::KeyRing;
use sekimori_wire::record::Record;
use sekimori_wire::text::BoundedText;
use sekimori_wire::time::Timestamp;

use super::testing::server;
use super::testserver::database;
use super::writer::{Committer, Writer};
use super::{Place, Store, StoreError, db};
use crate::config::{AgentsOwn, Correlation};
use crate::exceptions::InForce;
use crate::ingest::registry::Registered;
use crate::ingest::{Outcome, Received, Submission};

pub(crate) const NOW: Timestamp = Timestamp::from_secs(1_800_000_000);

/// A new store of each kind. The folder is the file's.
pub(crate) async fn each() -> [(tempfile::TempDir, Place, Store); 2] {
    let made = async |place: Place, dir| {
        let store = Store::create(&place).await.unwrap();
        (dir, place, store)
    };
    let dir = tempfile::tempdir().unwrap();
    let file = Place::from(&dir.path().join("s.db"));
    [made(file, dir).await, made(server(&database()), tempfile::tempdir().unwrap()).await]
}

/// Two collectors on one database.
async fn two() -> (Store, Store) {
    let place = server(&database());
    (Store::create(&place).await.unwrap(), Store::open(&place).await.unwrap())
}

pub(crate) struct Sensor {
    key: SigningKey,
    pub(crate) from: Registered,
}

impl Sensor {
    pub(crate) async fn new(store: &Store, body: &str) -> Self {
        let (key, _pkcs8) = SigningKey::generate().unwrap();
        let ring = KeyRing::new(*key.verifying_key());
        let from = Registered { agent: ring.agent(), body: body.parse().unwrap(), keys: Arc::new(ring) };
        let sensor = Self { key, from };
        sensor.enrol(store).await;
        sensor
    }

    /// Makes it known to another store.
    pub(crate) async fn enrol(&self, store: &Store) {
        let body = self.from.body;
        db::query("INSERT INTO bodies (code, name) VALUES ($1, $1) ON CONFLICT DO NOTHING")
            .bind(body.as_str())
            .execute(store.writer())
            .await
            .unwrap();
        db::query(
            "INSERT INTO agents (id, name, body, signing_key, cert_serial, cert_expires_at, enrolled_at)
             VALUES ($1, 'gw', $2, $3, '1', 0, 0)",
        )
        .bind(self.from.agent.to_string())
        .bind(body.as_str())
        .bind(self.key.verifying_key().as_bytes().as_slice())
        .execute(store.writer())
        .await
        .unwrap();
    }

    /// Its batch of this number, alone in a submission.
    pub(crate) fn delivers(&self, seq: u64, prev: Digest, records: Vec<Record>) -> Submission {
        self.delivers_in((Lane::Urgent, 1), seq, prev, records)
    }

    /// The same in another lane, or epoch.
    pub(crate) fn delivers_in(
        &self,
        (lane, epoch): (Lane, u64),
        seq: u64,
        prev: Digest,
        records: Vec<Record>,
    ) -> Submission {
        let batch = Batch {
            agent: self.from.agent,
            lane,
            epoch,
            seq,
            prev,
            sealed_at: NOW,
            mode: Mode::Live,
            version: "1".into(),
            records,
            unknown_records: 0,
        };
        let envelope = Envelope::seal(&batch, &self.key).unwrap();
        let batch = self.from.keys.verify(&envelope).unwrap();
        Submission {
            from: self.from.clone(),
            batches: vec![Received { batch, envelope: envelope.to_bytes() }],
            carried: false,
        }
    }
}

pub(crate) fn scan(name: &str, originator: &str) -> Record {
    Record::Finding(Box::new(Finding {
        id: FindingId::of(&[name.as_bytes()]),
        revision: 1,
        time: NOW,
        end: NOW,
        detected_at: NOW,
        category: Category::ScanPort,
        severity: Severity::HIGH,
        confidence: Confidence::from_permille(900),
        originator: originator.parse().ok(),
        responder: None,
        targets: Vec::new(),
        ports: vec![22],
        title: Bilingual { ja: BoundedText::new("走査\0"), en: BoundedText::new("a scan\0") },
        explanation: Bilingual::default(),
        evidence: Evidence::default(),
        technique: "T1046".into(),
        count: 1,
        body: None,
        segment: None,
        degraded: false,
        excepted_by: None,
    }))
}

const fn correlation() -> Correlation {
    let day = Duration::from_secs(86_400);
    Correlation { gap: Duration::from_secs(1_800), wide_area_bodies: 3, wide_area_window: day }
}

pub(crate) fn committer(store: &Store) -> Committer {
    Committer::new(store.clone(), correlation(), InForce::load(&[], AgentsOwn::Accept).unwrap())
}

pub(crate) async fn commit(store: &Store, submissions: Vec<Submission>) -> Result<Vec<Outcome>, StoreError> {
    committer(store).prepare(submissions, NOW).await?.commit().await
}

pub(crate) async fn number(store: &Store, sql: &'static str) -> i64 {
    db::query_scalar(sql).fetch_one(store.reader()).await.unwrap()
}

#[tokio::test]
async fn a_delivery_is_stored_once_and_a_bad_one_takes_no_other_with_it() {
    for (_dir, place, store) in each().await {
        let sensor = Sensor::new(&store, "422011").await;
        let one = sensor.delivers(1, Digest::ZERO, vec![scan("a", "203.0.113.9")]);
        // Not of an agent that is known: the reference from its batches fails, and it alone.
        let mut stranger = one.clone();
        stranger.from.agent = SigningKey::generate().unwrap().0.verifying_key().id();
        let unknown = Sensor { key: SigningKey::generate().unwrap().0, from: stranger.from };
        let ring = KeyRing::new(*unknown.key.verifying_key());
        let from = Registered { agent: ring.agent(), keys: Arc::new(ring), ..unknown.from };
        let unknown = Sensor { key: unknown.key, from };
        let bad = unknown.delivers(1, Digest::ZERO, vec![scan("b", "203.0.113.8")]);
        commit(&store, vec![bad.clone(), one.clone()]).await.unwrap_err();
        assert_eq!(number(&store, "SELECT count(*) FROM batches").await, 0, "{place}");
        let exceptions = InForce::load(&[], AgentsOwn::Accept).unwrap();
        let (writer, task) = Writer::start(store.clone(), correlation(), exceptions);
        // One group.
        let (bad, good) = tokio::join!(writer.commit(bad), writer.commit(one.clone()));
        drop(writer);
        task.await.unwrap();
        assert!(bad.is_none() && matches!(good, Some(Outcome::Through(..))), "{place}: {bad:?}, {good:?}");
        let again = commit(&store, vec![one]).await.unwrap();
        assert_eq!(again, good.into_iter().collect::<Vec<_>>(), "{place}");
        let counts = "SELECT (SELECT count(*) FROM batches) * 100 + (SELECT count(*) FROM findings) * 10
            + (SELECT count(*) FROM incidents)";
        assert_eq!(number(&store, counts).await, 111, "{place}");
        assert_eq!(number(&store, "SELECT value FROM counters WHERE name = 'batches_repeated'").await, 1);
        let last = number(&store, "SELECT max(seq) FROM incident_changes").await;
        assert_eq!(*store.subscribe().borrow(), last, "{place}");
        assert!(crate::verify::store(&store).await.unwrap().bad.is_none(), "{place}");
    }
}

#[tokio::test]
async fn what_was_not_committed_never_happened() {
    for (_dir, place, store) in each().await {
        let sensor = Sensor::new(&store, "422011").await;
        let one = sensor.delivers(1, Digest::ZERO, vec![scan("a", "203.0.113.9")]);
        drop(committer(&store).prepare(vec![one], NOW).await.unwrap());
        assert_eq!(number(&store, "SELECT count(*) FROM batches").await, 0, "{place}");
        assert_eq!(number(&store, "SELECT count(*) FROM incidents").await, 0, "{place}");
    }
}

#[tokio::test]
async fn a_store_that_a_newer_program_has_changed_is_refused() {
    for (_dir, place, store) in each().await {
        db::query("UPDATE _sqlx_migrations SET version = 999999 WHERE version = (SELECT max(version) FROM _sqlx_migrations)")
            .execute(store.writer())
            .await
            .unwrap();
        for opened in [Store::open(&place).await, Store::open_read_only(&place).await] {
            let error = opened.unwrap_err();
            assert!(matches!(error, StoreError::Newer { version: 999_999, .. }), "{place}: {error}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn collectors_that_start_together_make_one_schema() {
    let place = server(&database());
    let starting: Vec<_> = (0..4).map(|_| tokio::spawn(Store::create(place.clone()))).collect();
    for one in starting {
        one.await.unwrap().unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_collectors_at_once_store_each_batch_once_and_open_one_incident_for_one_key() {
    let (one, other) = two().await;
    let mut running = Vec::new();
    let mut sensors = Vec::new();
    for body in ["422011", "131016", "011002"] {
        for n in 0..4 {
            let sensor = Sensor::new(&one, body).await;
            let name = format!("{body}{n}");
            // Every batch comes to both, as after an acknowledgement that was lost.
            let delivered = sensor.delivers(1, Digest::ZERO, vec![scan(&name, "203.0.113.9")]);
            for store in [&one, &other] {
                let (committer, delivered) = (committer(store), delivered.clone());
                running.push(tokio::spawn(async move {
                    for _ in 0..20 {
                        let done =
                            async { committer.prepare(vec![delivered.clone()], NOW).await?.commit().await };
                        match done.await {
                            Err(error) if error.is_transient() => {}
                            done => return done.unwrap(),
                        }
                    }
                    panic!("given up for others again and again");
                }));
            }
            sensors.push(sensor);
        }
    }
    for one in running {
        let outcomes = one.await.unwrap();
        assert!(
            matches!(outcomes.as_slice(), [Outcome::Through(_, head)] if head.through == 1),
            "{outcomes:?}"
        );
    }
    assert_eq!(number(&one, "SELECT count(*) FROM batches").await, 12);
    assert_eq!(number(&one, "SELECT count(*) FROM findings").await, 12);
    assert_eq!(number(&one, "SELECT value FROM counters WHERE name = 'batches_repeated'").await, 12);
    assert_eq!(number(&one, "SELECT count(*) FROM incidents WHERE body IS NOT NULL").await, 3, "one a body");
    assert_eq!(number(&one, "SELECT count(*) FROM incidents WHERE body IS NULL").await, 1, "one parent");
    // Without a gap: no number was given and rolled back after a later one was seen.
    let (changes, last) = ("SELECT count(*) FROM incident_changes", "SELECT max(seq) FROM incident_changes");
    assert_eq!(number(&one, changes).await, number(&one, last).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn changes_become_visible_in_their_order_and_reach_the_other_collector() {
    let (one, other) = two().await;
    let mut followed = other.subscribe();
    let first = Sensor::new(&one, "422011").await;
    let slow = first.delivers(1, Digest::ZERO, vec![scan("a", "203.0.113.9")]);
    let slow = committer(&one).prepare(vec![slow], NOW).await.unwrap();
    // The other one wants a later number: it waits until the earlier ones are there.
    let second = Sensor::new(&other, "131016").await;
    let (store, quick) = (other.clone(), second.delivers(1, Digest::ZERO, vec![scan("b", "203.0.113.8")]));
    let waiting = tokio::spawn(async move { commit(&store, vec![quick]).await });
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert!(!waiting.is_finished(), "a later change before an earlier one");
    slow.commit().await.unwrap();
    waiting.await.unwrap().unwrap();
    let seen = number(&one, "SELECT max(seq) FROM incident_changes").await;
    tokio::time::timeout(Duration::from_secs(10), followed.wait_for(|last| *last == seen))
        .await
        .unwrap()
        .unwrap();
    let mut followed = one.subscribe();
    tokio::time::timeout(Duration::from_secs(10), followed.wait_for(|last| *last == seen))
        .await
        .unwrap()
        .unwrap();
}

#[tokio::test]
async fn a_connection_lost_before_the_commit_tells_nobody_that_it_was_stored() {
    let (one, other) = two().await;
    let sensor = Sensor::new(&one, "422011").await;
    let delivered = sensor.delivers(1, Digest::ZERO, vec![scan("a", "203.0.113.9")]);
    let prepared = committer(&one).prepare(vec![delivered.clone()], NOW).await.unwrap();
    let kill = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
        WHERE datname = current_database() AND state = 'idle in transaction'";
    assert_eq!(number(&other, kill).await, 1);
    let error = prepared.commit().await.unwrap_err();
    assert!(!error.is_transient(), "nobody knows what became of it: {error}");
    assert!(error.is_lost(), "{error:?}");
    assert_eq!(number(&other, "SELECT count(*) FROM batches").await, 0);
    // The agent comes again, and the store has a new connection.
    let outcomes = commit(&one, vec![delivered]).await.unwrap();
    assert!(matches!(outcomes.as_slice(), [Outcome::Through(..)]), "{outcomes:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_lost_under_a_group_is_a_retry_and_no_error_to_the_agent() {
    let (one, other) = two().await;
    let sensor = Sensor::new(&one, "422011").await;
    let (writer, task) =
        Writer::start(one.clone(), correlation(), InForce::load(&[], AgentsOwn::Accept).unwrap());
    // The writer waits for the agent's row, and loses its connection there.
    let mut holds = other.begin().await.unwrap();
    holds.lock_agents(&[sensor.from.agent.to_string()].into()).await.unwrap();
    let delivered = sensor.delivers(1, Digest::ZERO, vec![scan("a", "203.0.113.9")]);
    let waiting = {
        let writer = writer.clone();
        tokio::spawn(async move { writer.commit(delivered).await })
    };
    let kill = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
        WHERE datname = current_database() AND wait_event_type = 'Lock'";
    while number(&other, kill).await == 0 {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    drop(holds);
    let outcome = waiting.await.unwrap();
    assert!(matches!(&outcome, Some(Outcome::Through(_, head)) if head.through == 1), "{outcome:?}");
    assert_eq!(number(&other, "SELECT count(*) FROM batches").await, 1);
    assert_eq!(number(&other, "SELECT count(*) FROM findings").await, 1);
    assert_eq!(writer.measures().batches(), 1);
    drop(writer);
    task.await.unwrap();
}

#[tokio::test]
async fn a_deadlock_is_known_as_something_to_try_again() {
    let (one, other) = two().await;
    one.writer().script("INSERT INTO counters VALUES ('a', 0), ('b', 0)").await.unwrap();
    let add = "UPDATE counters SET value = value + 1 WHERE name = $1";
    let (mut left, mut right) = (one.begin().await.unwrap(), other.begin().await.unwrap());
    db::query(add).bind("a").execute(&mut *left).await.unwrap();
    db::query(add).bind("b").execute(&mut *right).await.unwrap();
    let crossed = tokio::join!(db::query(add).bind("b").execute(&mut *left), async {
        let done = db::query(add).bind("a").execute(&mut *right).await;
        drop(right);
        done
    });
    let errors = [crossed.0, crossed.1].map(|done| done.map_err(super::query("count")).err());
    let [error] = errors.into_iter().flatten().collect::<Vec<_>>().try_into().unwrap();
    assert!(StoreError::is_transient(&error), "{error:?}");
}

#[tokio::test]
async fn the_address_that_takes_writes_is_found_and_the_others_are_named() {
    let url = database();
    let (folder, name) = (url.split_once("host=").unwrap().1, url.split_once(":///").unwrap().1);
    let (folder, name) = (folder.split_once('&').unwrap().0, name.split_once('?').unwrap().0);
    let several = format!("postgres://sekimori:s3cret@127.0.0.1:1,{}/{name}", folder.replace('/', "%2F"));
    Store::create(server(&several)).await.unwrap();
    let error =
        Store::open(server("postgres://sekimori:s3cret@127.0.0.1:1,127.0.0.1:2/x")).await.unwrap_err();
    let error = crate::fleet::error_chain(&error);
    assert!(error.contains("127.0.0.1:1/x: ") && error.contains("127.0.0.1:2/x: "), "{error}");
    assert!(!error.contains("s3cret"), "{error}");
}
