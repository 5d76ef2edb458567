//! Fill, back up while writes go on, wipe, restore: the same chains, incidents and history, and they go on. From each kind of
//! store into each.

use std::path::Path;

use sekimori_wire::id::Digest;
use sekimori_wire::record::{FlowSummary, Record, Summary};

use super::*;
use crate::audit::Entry;
use crate::ingest::{Outcome, Submission};
use crate::store::conformance::{NOW, Sensor, commit, each, number, scan};
use crate::store::{Place, Store, db, testing, testserver};

/// Each of them has a chain, with what it delivered last.
struct Fleet(Vec<(Sensor, u64, Digest)>);

impl Fleet {
    async fn new(store: &Store) -> Self {
        let mut fleet = Vec::new();
        for body in ["422011", "131016", "271004"] {
            fleet.push((Sensor::new(store, body).await, 0, Digest::ZERO));
        }
        Self(fleet)
    }

    /// The next batch of each.
    async fn deliver(&mut self, store: &Store) {
        for (sensor, seq, head) in &mut self.0 {
            *seq += 1;
            let name = format!("{seq} of {}", sensor.from.body);
            let finding = scan(&name, &format!("203.0.113.{}", *seq % 200 + 1));
            let submission = sensor.delivers(*seq, *head, vec![finding, summary()]);
            *head = last(&submission);
            let outcomes = commit(store, vec![submission]).await.unwrap();
            let through = |one: &Outcome| match one {
                Outcome::Through(_, head) => head.through,
                refused @ Outcome::Refused(_) => panic!("{refused:?}"),
            };
            assert_eq!(through(&outcomes[0]), *seq);
        }
    }
}

fn last(submission: &Submission) -> Digest {
    submission.batches.last().unwrap().batch.digest()
}

fn summary() -> Record {
    let address = |port| std::net::SocketAddr::from(([192, 0, 2, 1], port));
    let flow = FlowSummary {
        originator: address(1),
        responder: address(443),
        protocol: 6,
        start: NOW,
        end: NOW,
        originator_packets: 1,
        originator_bytes: 10,
        responder_packets: 2,
        responder_bytes: 3,
        state: "SF".into(),
        application: "tls".into(),
        server_name: "host.example".into(),
        ja4: "".into(),
        vlan: None,
        body: None,
        segment: None,
    };
    Record::Summary(Box::new(Summary { start: NOW, end: NOW, flows: vec![flow; 9], ..Summary::default() }))
}

async fn audited(store: &Store, action: &str) {
    let entry = Entry {
        at: NOW,
        actor: "me".into(),
        action: action.into(),
        reason: "理由\0".into(),
        ..Entry::default()
    };
    store.audit(entry).await.unwrap();
}

/// A backup of the whole store with one time in it, so that two of the same rows are the same.
async fn backed_up(store: &Store, path: &Path) -> Made {
    make(store, None, path, NOW).await.unwrap()
}

/// Where nothing is: a file, and a database.
fn empty(dir: &Path) -> [Place; 2] {
    [Place::File(dir.join("restored.db")), testing::server(&testserver::database())]
}

async fn assert_good(store: &Store) {
    let report = crate::verify::store(store).await.unwrap();
    assert!(report.bad.is_none() && report.batches > 0, "{report:?}");
    let audited = store.verify_audit().await.unwrap();
    assert!(audited.broken.is_none() && audited.lines > 0, "{audited:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_wiped_comes_back_and_goes_on() {
    for (dir, place, store) in each().await {
        let mut fleet = Fleet::new(&store).await;
        for _ in 0..4 {
            fleet.deliver(&store).await;
        }
        audited(&store, "triage").await;
        let before = dir.path().join("a.backup");
        let (writing, going_on) = (store.clone(), tokio::sync::Notify::new());
        let made = {
            let deliver = async {
                for _ in 0..6 {
                    fleet.deliver(&writing).await;
                    audited(&writing, "more").await;
                    going_on.notify_one();
                }
            };
            let back_up = async {
                going_on.notified().await;
                backed_up(&store, &before).await
            };
            tokio::join!(deliver, back_up).1
        };
        assert!(made.end.rows["incidents"] >= 4 && made.end.rows["flows"] >= 100, "{place}: {made:?}");
        store.close().await;
        drop(store);
        for target in empty(dir.path()) {
            let restored = restore(&before, &Destination::Store(target.clone())).await.unwrap();
            assert_eq!(restored.end, made.end, "{place} to {target}");
            let store = Store::open(&target).await.unwrap();
            assert_good(&store).await;
            let rows = made.end.rows.iter().filter(|(table, _)| *table != "restored_chains");
            for (table, rows) in rows {
                let sql = format!("SELECT count(*) FROM {table}");
                let there: i64 =
                    db::query_scalar(db::AssertSqlSafe(sql)).fetch_one(store.reader()).await.unwrap();
                assert_eq!(u64::try_from(there).unwrap(), *rows, "{place} to {target}: {table}");
            }
            goes_on(&store).await;
            store.close().await;
        }
    }
}

/// New rows are numbered after those that came back, and new batches continue the chains.
async fn goes_on(store: &Store) {
    let most = "SELECT (SELECT max(n) FROM findings) + (SELECT max(n) FROM flows) + (SELECT max(seq) FROM incident_changes)";
    let before = number(store, most).await;
    let mut newcomers = Fleet::new(store).await;
    newcomers.deliver(store).await;
    audited(store, "after").await;
    assert!(number(store, most).await > before);
    assert_good(store).await;
}

#[tokio::test]
async fn the_chains_continue_where_the_backup_ends() {
    for (dir, _place, store) in each().await {
        let mut fleet = Fleet::new(&store).await;
        fleet.deliver(&store).await;
        fleet.deliver(&store).await;
        audited(&store, "triage").await;
        let path = dir.path().join("a.backup");
        backed_up(&store, &path).await;
        store.close().await;
        for target in empty(dir.path()) {
            restore(&path, &Destination::Store(target.clone())).await.unwrap();
            let store = Store::open(&target).await.unwrap();
            let chain: Vec<(u64, Digest)> = fleet.0.iter().map(|(_, seq, head)| (*seq, *head)).collect();
            fleet.deliver(&store).await;
            assert_good(&store).await;
            // The next store has not seen these.
            for ((_, seq, head), was) in fleet.0.iter_mut().zip(chain) {
                (*seq, *head) = was;
            }
            store.close().await;
        }
    }
}

#[tokio::test]
async fn there_and_back_every_row_is_the_same() {
    let [(dir, file, store), (_dir, servers, other)] = each().await;
    let mut fleet = Fleet::new(&store).await;
    for _ in 0..3 {
        fleet.deliver(&store).await;
    }
    audited(&store, "triage").await;
    let first = backed_up(&store, &dir.path().join("1.backup")).await;
    // Neither over a store that is in use, nor over one that holds something.
    let in_use = migrate(&file, &empty(dir.path())[1]).await.unwrap_err();
    assert!(matches!(in_use, BackupError::InUse { .. }), "{in_use:?}");
    store.close().await;
    other.close().await;
    // A connection that was refused ends a moment later.
    let mut full = migrate(&file, &servers).await.unwrap_err();
    for _ in 0..20 {
        if !matches!(full, BackupError::InUse { .. }) {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        full = migrate(&file, &servers).await.unwrap_err();
    }
    assert!(matches!(full, BackupError::Load(LoadError::NotEmpty { .. })), "{full:?}");
    let [_, middle] = empty(dir.path());
    migrate(&file, &middle).await.unwrap();
    let store = Store::open(&middle).await.unwrap();
    assert_good(&store).await;
    store.close().await;
    let back = Place::File(dir.path().join("back.db"));
    migrate(&middle, &back).await.unwrap();
    let store = Store::open(&back).await.unwrap();
    let last = backed_up(&store, &dir.path().join("2.backup")).await;
    assert_eq!(first.end, last.end);
}

#[tokio::test]
async fn a_damaged_or_foreign_file_is_named_and_leaves_nothing() {
    let [(dir, _, store), _] = each().await;
    Fleet::new(&store).await.deliver(&store).await;
    let path = dir.path().join("a.backup");
    backed_up(&store, &path).await;
    let whole = std::fs::read(&path).unwrap();
    let target = dir.path().join("new.db");
    let tried = async |bytes: &[u8]| {
        let bad = dir.path().join("bad.backup");
        std::fs::write(&bad, bytes).unwrap();
        let error = restore(&bad, &Destination::Store(Place::File(target.clone()))).await.unwrap_err();
        assert!(!target.exists());
        verify(&bad).unwrap_err();
        error
    };
    for at in (0..whole.len()).step_by(whole.len() / 12) {
        let mut changed = whole.clone();
        changed[at] ^= 0x10;
        tried(&changed).await;
        tried(&whole[..at]).await;
    }
    let two = tried(&[whole.as_slice(), whole.as_slice()].concat()).await;
    assert!(format!("{:?}", anyhow::Error::from(two)).contains("something follows the end"));
    let none = tried(b"nothing of the kind").await;
    assert!(matches!(none, BackupError::Bad { .. }), "{none:?}");
    assert_eq!(verify(&path).unwrap().0.schema, 11.max(verify(&path).unwrap().0.schema));
    // Of a newer program.
    let header = Header { schema: 9_999, ..verify(&path).unwrap().0 };
    let mut newer = Vec::new();
    format::Writer::new(&mut newer, &header).unwrap().finish(Vec::new()).unwrap();
    let bad = dir.path().join("newer.backup");
    std::fs::write(&bad, newer).unwrap();
    let error = restore(&bad, &Destination::Store(Place::File(target.clone()))).await.unwrap_err();
    assert!(format!("{:#}", anyhow::Error::from(error)).contains("the schema 9999"));
    // Over what is there.
    let file = Place::File(dir.path().join("s.db"));
    let error = restore(&path, &Destination::Store(file)).await.unwrap_err();
    assert!(format!("{:#}", anyhow::Error::from(error)).contains("s.db is not empty"));
    assert!(matches!(make(&store, None, &path, NOW).await, Err(BackupError::Exists { .. })));
}

#[tokio::test]
async fn agents_that_delivered_after_the_backup_go_on_and_the_loss_is_written_down() {
    for (dir, _place, store) in each().await {
        let mut fleet = Fleet::new(&store).await;
        fleet.deliver(&store).await;
        fleet.deliver(&store).await;
        audited(&store, "triage").await;
        let path = dir.path().join("a.backup");
        backed_up(&store, &path).await;
        // These are acknowledged, and gone.
        for _ in 0..3 {
            fleet.deliver(&store).await;
        }
        store.close().await;
        for target in empty(dir.path()) {
            restore(&path, &Destination::Store(target.clone())).await.unwrap();
            let store = Store::open(&target).await.unwrap();
            let (sensor, seq, head) = &fleet.0[0];
            let next = sensor.delivers(seq + 1, *head, Vec::new());
            let after = sensor.delivers(seq + 2, last(&next), Vec::new());
            let early = sensor.delivers(seq + 9, Digest::ZERO, Vec::new());
            let outcomes = commit(&store, vec![next, after, early]).await.unwrap();
            let through = |one: &Outcome| match one {
                Outcome::Through(_, head) => head.through,
                refused @ Outcome::Refused(_) => panic!("{refused:?}"),
            };
            // Once: what leaves out more after that is told to come in order.
            assert_eq!(outcomes.iter().map(through).collect::<Vec<_>>(), [6, 7, 7], "{target}");
            assert_eq!(
                number(&store, "SELECT value FROM counters WHERE name = 'batches_lost_by_restore'").await,
                3
            );
            assert_good(&store).await;
            store.close().await;
        }
    }
}

/// A whole collector: configuration, CA and keys come back as they were, for their owner alone.
#[tokio::test]
async fn a_collector_comes_back_with_its_keys() {
    use std::os::unix::fs::PermissionsExt as _;
    let dir = tempfile::tempdir().unwrap();
    let home = dir.path().join("collector");
    let plan = crate::init::Plan {
        dir: home.clone(),
        hosts: vec!["127.0.0.1".into()],
        ingest: "127.0.0.1:1".parse().unwrap(),
        enroll: "127.0.0.1:2".parse().unwrap(),
        console: "127.0.0.1:3".parse().unwrap(),
        without_second_factor: false,
        store: None,
    };
    crate::init::run(&plan).await.unwrap();
    let path = home.join("collector.toml");
    let config = crate::config::Config::load(&path).unwrap();
    let store = Store::open_read_only(config.store()).await.unwrap();
    let made = make(&store, Some((&config, &path)), dir.path(), NOW).await.unwrap();
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&made.path), made.end.files), (0o600, 6), "{made:?}");
    store.close().await;
    let back = dir.path().join("back");
    restore(&made.path, &Destination::Folder(back.clone())).await.unwrap();
    for name in ["collector.toml", "ca/ca.pem", "ca/ca.key.pem", "keys/server.key.pem", "keys/ack.pk8"] {
        assert_eq!(
            std::fs::read(home.join(name)).unwrap(),
            std::fs::read(back.join(name)).unwrap(),
            "{name}"
        );
        assert_eq!(mode(&back.join(name)), 0o600, "{name}");
    }
    assert_eq!((mode(&back), mode(&back.join("store/sekimori.db"))), (0o700, 0o600));
    let store = Store::open(crate::config::Config::load(&back.join("collector.toml")).unwrap().store())
        .await
        .unwrap();
    assert_eq!(store.users().await.unwrap().len(), 1);
    let again = restore(&made.path, &Destination::Folder(back)).await.unwrap_err();
    assert!(matches!(again, BackupError::Exists { .. }), "{again:?}");
    // One without keys restores no folder, and says so before it makes one.
    let only = make(&store, None, &dir.path().join("only.backup"), NOW).await.unwrap();
    let other = dir.path().join("other");
    let error = restore(&only.path, &Destination::Folder(other.clone())).await.unwrap_err();
    assert!(matches!(error, BackupError::NoFiles { .. }) && !other.exists(), "{error:?}");
}
