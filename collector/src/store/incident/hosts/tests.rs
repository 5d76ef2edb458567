//! Rules over several categories, on a store filled by the real writer's statements.

use std::time::Duration;

use sekimori_wire::alert::AlertClass;
use sekimori_wire::batch::Lane;
use sekimori_wire::finding::Severity;
use sekimori_wire::finding::{Bilingual, Category, Confidence, Evidence, Finding};
use sekimori_wire::id::FindingId;
use serde_json::Value;

use super::*;
use crate::config::Correlation;
use crate::exceptions::ruling::Judge;
use crate::store::commit::Origin;
use crate::store::{Store, finding};

const HOST: &str = "192.168.10.20";

fn at(minute: u64) -> Timestamp {
    Timestamp::from_secs(1_800_000_000 + minute * 60)
}

fn made(category: Category, severity: Severity, minute: u64, host: &str) -> Finding {
    Finding {
        id: FindingId::of(&[category.as_str().as_bytes(), &minute.to_be_bytes(), host.as_bytes()]),
        revision: 1,
        time: at(minute),
        end: at(minute),
        detected_at: at(minute),
        category,
        severity,
        confidence: Confidence::from_permille(900),
        originator: host.parse().ok(),
        responder: None,
        targets: Vec::new(),
        ports: Vec::new(),
        title: Bilingual::default(),
        explanation: Bilingual::default(),
        evidence: Evidence::default(),
        technique: "".into(),
        count: 1,
        body: None,
        segment: None,
        degraded: false,
        excepted_by: None,
    }
}

struct Bench {
    _dir: tempfile::TempDir,
    store: Store,
    ledger: Ledger,
}

impl Bench {
    async fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::create(&dir.path().join("s.db")).await.unwrap();
        let correlation = Correlation {
            gap: Duration::from_secs(1800),
            wide_area_bodies: 3,
            wide_area_window: Duration::from_secs(86_400),
        };
        Self { _dir: dir, store, ledger: Ledger::new(at(60), correlation, Judge::default()) }
    }

    async fn take(&mut self, finding: Finding, class: Option<AlertClass>) {
        let body = "422011".parse().unwrap();
        let origin = Origin { agent: "a".into(), body, lane: Lane::Urgent, epoch: 1, seq: 1, mode: "live" };
        let mut tx = self.store.begin().await.unwrap();
        finding::store(&mut tx, &mut self.ledger, &origin, finding, class).await.unwrap();
        tx.commit().await.unwrap();
    }

    async fn overdue(&mut self, minute: u64) {
        self.ledger.now = at(minute);
        let mut tx = self.store.begin().await.unwrap();
        overdue(&mut tx, &mut self.ledger).await.unwrap();
        tx.commit().await.unwrap();
    }

    /// Category, severity and number of findings.
    async fn incidents(&self) -> Vec<(String, i64, i64)> {
        db::query_as("SELECT category, severity, findings FROM incidents ORDER BY id")
            .fetch_all(self.store.reader())
            .await
            .unwrap()
    }

    async fn changes(&self, kind: &str) -> Vec<Value> {
        let all: Vec<String> =
            db::query_scalar("SELECT json FROM incident_changes WHERE kind = $1 ORDER BY seq")
                .bind(kind)
                .fetch_all(self.store.reader())
                .await
                .unwrap();
        all.iter().map(|json| serde_json::from_str(json).unwrap()).collect()
    }
}

fn alert(minute: u64, action: &str) -> Finding {
    let mut finding = made(Category::EndpointAlert, Severity::LOW, minute, HOST);
    finding.evidence.inputs.insert("action".into(), action.into());
    finding
}

#[tokio::test]
async fn an_edr_alert_and_a_beacon_are_one_incident_whichever_comes_first() {
    let malware = Some(AlertClass::Malware);
    let beacon = made(Category::C2Beacon, Severity::LOW, 5, HOST);
    for order in [0, 1] {
        let mut bench = Bench::new().await;
        let mut both = [(alert(0, "allowed"), malware), (beacon.clone(), None)];
        both.rotate_left(order);
        for (finding, class) in both {
            bench.take(finding, class).await;
        }
        let first = if order == 0 { "malware_infection" } else { "c2_beacon" };
        assert_eq!(bench.incidents().await, [(first.to_owned(), 3, 2)]);
        let raised = bench.changes("raised").await;
        assert_eq!(raised.last().unwrap()["rule"], "correlate.endpoint-network/1");
        let link: Vec<String> = db::query_scalar("SELECT link_json FROM findings ORDER BY n DESC LIMIT 1")
            .fetch_all(bench.store.reader())
            .await
            .unwrap();
        assert!(link[0].contains("correlate.endpoint-network/1"), "{link:?}");
    }
    // Another host, or later than ten minutes: two.
    for other in [
        made(Category::C2Beacon, Severity::LOW, 5, "192.168.10.21"),
        made(Category::C2Beacon, Severity::LOW, 11, HOST),
    ] {
        let mut bench = Bench::new().await;
        bench.take(alert(0, "allowed"), malware).await;
        bench.take(other, None).await;
        assert_eq!(bench.incidents().await.len(), 2);
    }
}

#[tokio::test]
async fn a_later_stage_raises_and_links_once() {
    let mut bench = Bench::new().await;
    bench.take(made(Category::ScanPort, Severity::MEDIUM, 0, HOST), None).await;
    bench.take(made(Category::ExfilVolume, Severity::LOW, 30, HOST), None).await;
    let expected = [("scan".to_owned(), 2, 1), ("data_exfil".to_owned(), 3, 1)];
    assert_eq!(bench.incidents().await, expected);
    assert_eq!(bench.changes("related").await.len(), 2, "in both");
    // More of the same neither raises nor links again.
    bench.take(made(Category::ExfilVolume, Severity::LOW, 31, HOST), None).await;
    assert_eq!(bench.incidents().await[1], ("data_exfil".to_owned(), 3, 2));
    assert_eq!((bench.changes("related").await.len(), bench.changes("raised").await.len()), (2, 1));
    let related = &bench.changes("related").await[0];
    assert_eq!(related["rule"], "correlate.kill-chain/1");
    assert!(related["with"].as_str().unwrap().starts_with("INC-422011-"));
}

#[tokio::test]
async fn an_alert_that_is_not_contained_gets_worse_after_half_an_hour_and_once() {
    let mut bench = Bench::new().await;
    let malware = Some(AlertClass::Malware);
    bench.take(alert(0, "detected, not blocked"), malware).await;
    bench.overdue(29).await;
    assert_eq!(bench.incidents().await[0].1, 1);
    bench.overdue(30).await;
    bench.overdue(31).await;
    assert_eq!(bench.incidents().await[0].1, 3);
    assert_eq!(bench.changes("raised").await.len(), 1);
    let mut bench = Bench::new().await;
    bench.take(alert(0, "Quarantined"), malware).await;
    bench.overdue(30).await;
    assert_eq!(bench.incidents().await[0].1, 1);
}
