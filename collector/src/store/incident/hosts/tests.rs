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

pub(in crate::store) fn at(minute: u64) -> Timestamp {
    Timestamp::from_secs(1_800_000_000 + minute * 60)
}

pub(in crate::store) fn made(category: Category, severity: Severity, minute: u64, host: &str) -> Finding {
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

/// A store, filled by the real writer's statements.
pub(in crate::store) struct Bench {
    _dir: tempfile::TempDir,
    pub(in crate::store) store: Store,
    pub(in crate::store) ledger: Ledger,
}

impl Bench {
    pub(in crate::store) async fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let store = crate::store::testing::store(&dir.path().join("s.db")).await;
        let correlation = Correlation {
            gap: Duration::from_secs(1800),
            wide_area_bodies: 3,
            wide_area_window: Duration::from_secs(86_400),
        };
        Self { _dir: dir, store, ledger: Ledger::new(at(60), correlation, Judge::default()) }
    }

    pub(in crate::store) async fn take(&mut self, finding: Finding, class: Option<AlertClass>) {
        self.take_for("422011", finding, class).await;
    }

    pub(in crate::store) async fn take_for(
        &mut self,
        body: &str,
        finding: Finding,
        class: Option<AlertClass>,
    ) {
        let body = body.parse().unwrap();
        let origin = Origin { agent: "a".into(), body, lane: Lane::Urgent, epoch: 1, seq: 1, mode: "live" };
        let mut tx = self.store.begin_changing().await.unwrap();
        finding::store(&mut tx, &mut self.ledger, &origin, finding, class).await.unwrap();
        tx.commit().await.unwrap();
    }

    pub(in crate::store) async fn overdue(&mut self, minute: u64) {
        self.ledger.now = at(minute);
        let mut tx = self.store.begin_changing().await.unwrap();
        overdue(&mut tx, &mut self.ledger).await.unwrap();
        tx.commit().await.unwrap();
    }

    /// Category, severity and number of findings.
    pub(in crate::store) async fn incidents(&self) -> Vec<(String, i64, i64)> {
        db::query_as("SELECT category, severity, findings FROM incidents ORDER BY id")
            .fetch_all(self.store.reader())
            .await
            .unwrap()
    }

    pub(in crate::store) async fn changes(&self, kind: &str) -> Vec<Value> {
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

#[tokio::test]
async fn each_of_many_uncontained_has_its_turn() {
    let mut bench = Bench::new().await;
    // Straight into the store: three hundred alerts of one kind would be one storm.
    let mut tx = bench.store.begin().await.unwrap();
    for n in 0..300_i64 {
        let id = format!("INC-422011-20270115-{n}");
        db::query(
            "INSERT INTO incidents (id, category, severity, state, body, subject, opened_at, updated_at, first_evidence,
                last_evidence, findings, mode, version, title_ja, title_en, reason_json, claimed)
             VALUES ($1, 'malware_infection', 1, 'detected', '422011', $1, $2, $2, $2, $2, 1, 'live', 1, '', '', '{}', 1)",
        )
        .bind(&id)
        .bind(stored(at(0)))
        .execute(&mut *tx)
        .await
        .unwrap();
        db::query(
            "INSERT INTO host_sightings (body, host, category, source, incident, first_seen, last_seen, severity, contained)
             VALUES ('422011', $1, 'malware_infection', 'endpoint', $1, $2, $2, 1, 0)",
        )
        .bind(&id)
        .bind(stored(at(0).plus(Duration::from_secs(u64::try_from(n).unwrap()))))
        .execute(&mut *tx)
        .await
        .unwrap();
    }
    tx.commit().await.unwrap();
    let high = async |bench: &Bench| bench.incidents().await.iter().filter(|one| one.1 == 3).count();
    bench.overdue(29).await;
    assert_eq!(high(&bench).await, 0);
    bench.overdue(40).await;
    assert_eq!(high(&bench).await, 256);
    // A person looks at one and finds it mild: nobody takes that back, and the others have their turn.
    db::query("UPDATE incidents SET severity = 1 WHERE id = 'INC-422011-20270115-0'")
        .execute(bench.store.writer())
        .await
        .unwrap();
    bench.overdue(41).await;
    bench.overdue(42).await;
    assert_eq!((high(&bench).await, bench.changes("raised").await.len()), (299, 300));
}

#[tokio::test]
async fn a_revision_does_not_take_back_what_a_person_decided_and_new_evidence_does() {
    let mut bench = Bench::new().await;
    let beacon = made(Category::C2Beacon, Severity::HIGH, 0, HOST);
    bench.take(beacon.clone(), None).await;
    db::query("UPDATE incidents SET severity = 1").execute(bench.store.writer()).await.unwrap();
    bench.take(Finding { revision: 2, ..beacon.clone() }, None).await;
    assert_eq!(bench.incidents().await, [("c2_beacon".to_owned(), 1, 1)]);
    bench.take(Finding { revision: 3, severity: Severity::CRITICAL, ..beacon }, None).await;
    assert_eq!(bench.incidents().await[0].1, 4, "worse than anything before");
    db::query("UPDATE incidents SET severity = 1").execute(bench.store.writer()).await.unwrap();
    bench.take(made(Category::C2Beacon, Severity::MEDIUM, 5, HOST), None).await;
    assert_eq!(bench.incidents().await, [("c2_beacon".to_owned(), 2, 2)], "a new finding");
}
