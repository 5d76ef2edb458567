//! Certificates that end, by an injected clock.

use super::*;
use crate::config::{AgentsOwn, Correlation};
use crate::exceptions::InForce;
use crate::store::db;

const BEGAN: Timestamp = Timestamp::from_secs(1_800_000_000);

struct Bench {
    _dir: tempfile::TempDir,
    store: Store,
}

impl Bench {
    /// With an agent whose certificate is good for so many days.
    async fn new(days: u32) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let store = crate::store::testing::store(&dir.path().join("s.db")).await;
        db::query("INSERT INTO bodies (code, name) VALUES ('422011', '長崎市')")
            .execute(store.writer())
            .await
            .unwrap();
        db::query(
            "INSERT INTO agents (id, name, body, signing_key, cert_serial, cert_expires_at, enrolled_at)
             VALUES ('ab', 'gw', '422011', $3, '01', $1, $2)",
        )
        .bind(stored(BEGAN.plus(DAY * days)))
        .bind(stored(BEGAN))
        .bind(vec![0_u8])
        .execute(store.writer())
        .await
        .unwrap();
        Self { _dir: dir, store }
    }

    async fn warn(&self, after: Duration, own: &[(&'static str, Timestamp)]) -> usize {
        let correlation = Correlation {
            gap: Duration::from_secs(1800),
            wide_area_bodies: 3,
            wide_area_window: Duration::from_secs(86_400),
        };
        let judge = InForce::load(&[], AgentsOwn::Accept).unwrap().judge();
        let mut ledger = Ledger::new(BEGAN.plus(after), correlation, judge);
        warn(&self.store, &mut ledger, own).await.unwrap()
    }

    async fn incidents(&self) -> Vec<(String, i64, Option<String>)> {
        db::query_as("SELECT subject, severity, body FROM incidents ORDER BY opened_at, id")
            .fetch_all(self.store.reader())
            .await
            .unwrap()
    }

    async fn execute(&self, statement: &'static str) {
        db::query(statement).execute(self.store.writer()).await.unwrap();
    }
}

#[tokio::test]
async fn whatever_does_not_renew_is_warned_of_once_at_each_threshold() {
    let bench = Bench::new(90).await;
    let mut raised = Vec::new();
    for hour in 0..24 * 92 {
        // Every six hours, twice: a restart of the collector repeats nothing.
        if hour % 6 == 0 {
            let after = Duration::from_secs(3600 * hour);
            if bench.warn(after, &[]).await > 0 {
                raised.push(hour / 24);
                assert_eq!(bench.warn(after, &[]).await, 0);
            }
        }
    }
    assert_eq!(raised, [60, 76, 83, 90]);
    // One incident, which got worse.
    assert_eq!(bench.incidents().await, [("ab".to_owned(), 3, Some("422011".to_owned()))]);
    let changes: Vec<String> = db::query_scalar("SELECT kind FROM incident_changes ORDER BY seq")
        .fetch_all(bench.store.reader())
        .await
        .unwrap();
    assert_eq!(changes.iter().filter(|kind| *kind == "certificate").count(), 3, "{changes:?}");
}

#[tokio::test]
async fn what_renews_in_time_is_revoked_or_replayed_is_left_alone() {
    let late = DAY * 80;
    for (statement, expected) in [
        ("UPDATE agents SET name = 'x'", 1),
        ("UPDATE agents SET revoked_at = 1", 0),
        ("INSERT INTO chains SELECT id, 0, 1, 1, signing_key, 1, 'replay' FROM agents", 0),
        ("INSERT INTO chains SELECT id, 0, 1, 1, signing_key, 1, 'live' FROM agents", 1),
        (
            "UPDATE agents SET cert_expires_at = cert_expires_at + 5184000000000000, certified_at = enrolled_at + 5184000000000000",
            0,
        ),
    ] {
        let bench = Bench::new(90).await;
        bench.execute(statement).await;
        assert_eq!(bench.warn(late, &[]).await, expected, "{statement}");
    }
}

#[tokio::test]
async fn short_lives_have_short_thresholds_and_the_collectors_own_count_too() {
    let bench = Bench::new(9).await;
    assert_eq!(bench.warn(DAY * 5, &[]).await, 0);
    assert_eq!(bench.warn(DAY * 6, &[]).await, 1);
    let own = [("server", BEGAN.plus(DAY * 20)), ("ca", BEGAN.plus(DAY * 3000))];
    assert_eq!(bench.warn(DAY * 6, &own).await, 1);
    assert_eq!(bench.warn(DAY * 7, &own).await, 0);
    let all = bench.incidents().await;
    assert_eq!(all[1], ("server".to_owned(), 2, None), "{all:?}");
}
