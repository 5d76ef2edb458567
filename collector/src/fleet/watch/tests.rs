//! Timers by a clock that the tests own; restarts by a store that is opened again.

use crate::store::db;
use sekimori_wire::record::{Clock, Health, Interface, NamedCount};
use serde_json::{Value, json};

use super::*;
use crate::clock::stored;

const MINUTE: Duration = Duration::from_secs(60);
const LIMITS: Limits = Limits { silent: Duration::from_secs(300), skew: Duration::from_secs(30) };
const CORRELATION: Correlation = Correlation {
    gap: Duration::from_secs(1_800),
    wide_area_bodies: 3,
    wide_area_window: Duration::from_secs(86_400),
};

fn at(seconds: u64) -> Timestamp {
    Timestamp::from_secs(1_800_000_000 + seconds)
}

struct Bench {
    place: crate::store::Place,
    _folder: tempfile::TempDir,
    store: Store,
}

impl Bench {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let place = crate::store::testing::place(&folder.path().join("s.db"));
        let store = Store::create(&place).await.unwrap();
        store.writer().script("INSERT INTO bodies VALUES ('422011', '長崎市')").await.unwrap();
        for statement in [
            "INSERT INTO agents (id, name, body, signing_key, cert_serial, cert_expires_at, enrolled_at)
             VALUES ('a1', 'gw', '422011', $1, '1', 0, 0)",
            "INSERT INTO chains VALUES ('a1', 0, 1, 1, $1, 0, 'live')",
        ] {
            let statement = db::query(statement).bind(vec![0_u8]);
            statement.execute(store.writer()).await.unwrap();
        }
        Self { place, _folder: folder, store }
    }

    async fn reopen(&mut self) {
        self.store.close().await;
        self.store = Store::open(&self.place).await.unwrap();
    }

    async fn seen(&self, seconds: u64) {
        db::query("UPDATE agents SET last_seen = $1")
            .bind(stored(at(seconds)))
            .execute(self.store.writer())
            .await
            .unwrap();
    }

    async fn health(&self, seconds: u64, health: &Health, ahead_ms: i64) {
        self.seen(seconds).await;
        db::query("UPDATE agents SET health_json = $1, health_received_at = $2, sealed_ahead = $3")
            .bind(serde_json::to_string(health).unwrap())
            .bind(stored(at(seconds)))
            .bind(ahead_ms * 1_000_000)
            .execute(self.store.writer())
            .await
            .unwrap();
        self.look(seconds).await;
    }

    async fn look(&self, seconds: u64) {
        self.store.watch(LIMITS, CORRELATION, at(seconds)).await.unwrap();
    }

    /// Looks every ten seconds, as long as nothing is heard.
    async fn pass(&self, from: u64, until: u64) {
        for seconds in (from..=until).step_by(10) {
            self.look(seconds).await;
        }
    }

    /// Incident and kind of every change, in order.
    async fn changes(&self) -> Vec<(String, String)> {
        db::query_as("SELECT incident, kind FROM incident_changes ORDER BY seq")
            .fetch_all(self.store.reader())
            .await
            .unwrap()
    }

    async fn kinds(&self) -> Vec<String> {
        self.changes().await.into_iter().map(|(_, kind)| kind).collect()
    }
}

#[tokio::test]
async fn silence_is_told_once_across_restarts_and_its_end_is_written_down() {
    let mut bench = Bench::new().await;
    bench.seen(0).await;
    bench.pass(0, 290).await;
    assert_eq!(bench.kinds().await.len(), 0);
    bench.reopen().await;
    bench.pass(300, 400).await;
    assert_eq!(bench.kinds().await, ["opened"], "five minutes, and the restart forgot nothing");
    bench.reopen().await;
    bench.pass(410, 1_000).await;
    assert_eq!(bench.kinds().await, ["opened"], "nor tells it twice");
    bench.seen(1_005).await;
    bench.look(1_010).await;
    assert_eq!(bench.kinds().await, ["opened", "sensor_back"]);
    let row: (String, String, i64, String) =
        db::query_as("SELECT category, state, severity, title_ja FROM incidents")
            .fetch_one(bench.store.reader())
            .await
            .unwrap();
    assert_eq!(row, ("sensor_silent".into(), "detected".into(), 2, "センサ不通: gw".into()));
    // Silent again soon: the same incident.
    bench.pass(1_020, 1_400).await;
    assert_eq!(bench.kinds().await, ["opened", "sensor_back", "sensor_worse"]);
}

#[tokio::test]
async fn what_the_collector_was_away_for_is_nobodys_silence() {
    let bench = Bench::new().await;
    bench.seen(0).await;
    bench.look(0).await;
    // An hour without a look: it was away, or its clock was set.
    bench.look(3_600).await;
    bench.pass(3_600, 3_600 + 290).await;
    assert_eq!(bench.kinds().await.len(), 0);
    bench.look(3_900).await;
    assert_eq!(bench.kinds().await, ["opened"]);
    bench.look(100).await;
    assert_eq!(bench.kinds().await.len(), 1, "a clock that went back opens and ends nothing twice");
}

#[tokio::test]
async fn an_agent_that_comes_back_while_the_collector_is_away_is_not_silent() {
    let bench = Bench::new().await;
    bench.seen(0).await;
    bench.pass(0, 300).await;
    bench.look(9_000).await;
    assert_eq!(bench.kinds().await, ["opened"], "nothing was heard: it is not back");
    bench.seen(9_001).await;
    bench.look(9_002).await;
    assert_eq!(bench.kinds().await, ["opened", "sensor_back"]);
}

fn lossy(uptime: u64, packets: u64, drops: u64) -> Health {
    let counters = vec![NamedCount { name: "overload.level".into(), count: 0 }];
    let interfaces = vec![Interface { name: "e".into(), packets, kernel_drops: drops, up: true }];
    Health { uptime_seconds: uptime, counters, interfaces, ..Health::default() }
}

#[tokio::test]
async fn loss_that_lasts_is_told_and_its_end_waits_for_calm() {
    let bench = Bench::new().await;
    let mut second = 0;
    let mut step = async |packets, drops| {
        second += 30;
        bench.health(second, &lossy(second, packets, drops), 0).await;
    };
    // 2 % in each half minute, for five and a half minutes.
    for n in 1..=11 {
        step(n * 9_800, n * 200).await;
    }
    assert_eq!(bench.kinds().await, ["opened"]);
    for n in 12..=30 {
        step(n * 9_800, 11 * 200).await;
    }
    assert_eq!(bench.kinds().await, ["opened"], "not calm for ten minutes yet");
    for n in 31..=33 {
        step(n * 9_800, 11 * 200).await;
    }
    assert_eq!(bench.kinds().await, ["opened", "sensor_back"]);
}

#[tokio::test]
async fn a_clock_that_is_off_is_told_with_hysteresis() {
    let bench = Bench::new().await;
    let clock = |offset_ms| Health { clock: Some(Clock { offset_ms, error_ms: 100 }), ..lossy(1, 0, 0) };
    bench.health(0, &clock(-30_050), 0).await;
    bench.health(60, &clock(-30_050), 0).await;
    assert_eq!(bench.kinds().await.len(), 0, "within its error it may be right");
    bench.health(120, &clock(-31_000), 0).await;
    bench.health(180, &clock(-31_000), 0).await;
    assert_eq!(bench.kinds().await, ["opened"]);
    for second in [240, 360, 480] {
        bench.health(second, &clock(20_000), 0).await;
    }
    assert_eq!(bench.kinds().await, ["opened"], "between half and the whole limit nothing ends");
    bench.health(510, &clock(0), 0).await;
    bench.health(570, &clock(0), 0).await;
    assert_eq!(bench.kinds().await, ["opened", "sensor_back"]);
    // An agent that says nothing of its clock, and seals in the future.
    bench.health(3_600, &lossy(1, 0, 0), 40_000).await;
    bench.health(3_660, &lossy(1, 0, 0), 40_000).await;
    assert_eq!(bench.kinds().await.last().map(String::as_str), Some("opened"));
}

#[test]
fn every_condition_judges_what_it_names() {
    let judged = |key: &str, json: Value, before: Option<Value>| {
        let condition = CONDITIONS.iter().find(|one| one.key == key).unwrap();
        let before = before.map(|json| Facts::of(&json));
        matches!(condition.measure.judge(LIMITS, &Facts::of(&json), before.as_ref(), 0), Verdict::Bad(..))
    };
    let counter = |name: &str, count: u64| json!({ "uptime_seconds": 60, "counters": [{ "name": name, "count": count }] });
    for (key, name, on) in [
        ("overload", "overload.level", 2),
        ("records_lost", "outbox.shed", 1),
        ("seal", "seal.failed", 1),
        ("parsers", "proto.parsers_shed", 600),
        ("intel_unread", "intel.files_unread", 1),
        ("intel_stale", "intel.feeds_stale", 1),
        ("source_quiet", "endpoint.quiet", 1),
        ("watch_unable", "watch.unable", 1),
    ] {
        assert!(judged(key, counter(name, on), None), "{key}");
        assert!(!judged(key, counter(name, on - 1), None), "{key}");
    }
    let grown = json!({ "uptime_seconds": 120, "counters": [{ "name": "seal.failed", "count": 5 }] });
    assert!(!judged("seal", grown, Some(counter("seal.failed", 5))), "it failed once, long ago");
    let again = json!({ "uptime_seconds": 5, "counters": [{ "name": "seal.failed", "count": 2 }] });
    assert!(judged("seal", again, Some(counter("seal.failed", 5))), "after a restart it counts from 0");
    let spool =
        |bytes| json!({ "spool_bytes": bytes, "counters": [{ "name": "spool.quota_bytes", "count": 1000 }] });
    assert!(judged("spool", spool(800), None) && !judged("spool", spool(799), None));
    let disk = |bytes: u64, total: u64| json!({ "disk_free_bytes": bytes, "memory_total_bytes": total });
    assert!(judged("disk", disk(0, 1), None));
    assert!(!judged("disk", disk(0, 0), None), "not measured");
    let host =
        |name: &str, count: u64| json!({ "counters": [{ "name": format!("host.{name}"), "count": count }] });
    assert!(
        judged("cpu", host("cpu_permille", 950), None) && !judged("cpu", host("cpu_permille", 949), None)
    );
    assert!(judged("memory", host("memory_available_mib", 31), None));
    assert!(!judged("memory", host("cpu_permille", 1), None), "not measured");
    assert!(judged("temperature", host("temperature_celsius", 90), None));
    assert!(judged("merging", host("merging", 1), None) && !judged("merging", host("merging", 0), None));
    let frames = |seen: u64, name: &str, lost: u64| {
        json!({ "interfaces": [{ "name": "e", "up": true, "packets": seen }],
            "counters": [{ "name": format!("host.{name}"), "count": lost }] })
    };
    for (key, name) in [("nic_loss", "rx_missed"), ("nic_damaged", "rx_errors")] {
        assert!(judged(key, frames(9_900, name, 100), None));
        assert!(!judged(key, frames(9_901, name, 99), None), "too few");
        assert!(!judged(key, frames(99_000, name, 100), None), "too small a share");
    }
    assert!(judged("interface", json!({ "interfaces": [{ "name": "e", "up": false }] }), None));
    assert!(CONDITIONS.iter().all(|one| !one.why.is_empty() && one.clear <= 10 * MINUTE));
}
