//! A storm through the real ingest: whatever comes, few incidents and few notices, and the history says why.

use super::*;

/// What comes in a batch.
const BATCH: usize = 100;

struct Told {
    incidents: i64,
    findings: i64,
    /// Times that somebody was told of findings.
    notices: i64,
    /// Rules of the storm lines in all histories.
    rules: Vec<String>,
}

/// Sends a thousand findings and waits until the clocks have followed all of it.
async fn thousand(record: impl Fn(usize) -> Record) -> Told {
    let collector = Collector::start().await;
    let token = collector.token("422011", 60).await;
    let agent = collector.enroll(&token).await.ok().unwrap();
    let all: Vec<Record> = (0..1000).map(record).collect();
    let mut prev = Digest::ZERO;
    for (seq, records) in (1..).zip(all.chunks(BATCH)) {
        let envelope = agent.seal(seq, prev, records.to_vec());
        prev = envelope.digest();
        assert_eq!(agent.send(&[envelope]).await.unwrap().through, seq);
    }
    let store = collector.store().await;
    let number =
        async |sql: &'static str| -> i64 { db::query_scalar(sql).fetch_one(store.reader()).await.unwrap() };
    let behind = "SELECT (SELECT coalesce(max(seq), 0) FROM incident_changes)
        - (SELECT seq FROM followers WHERE name = 'clocks')";
    for _try in 0..600 {
        if number(behind).await == 0 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(number(behind).await, 0, "the clocks follow");
    let rules = db::query_scalar("SELECT json FROM incident_changes WHERE kind = 'storm' ORDER BY seq")
        .fetch_all(store.reader())
        .await
        .unwrap();
    let rule = |json: &String| -> String {
        let json: serde_json::Value = serde_json::from_str(json).unwrap();
        json["rule"].as_str().unwrap().to_owned()
    };
    let told = Told {
        incidents: number("SELECT count(*) FROM incidents").await,
        findings: number("SELECT count(*) FROM findings WHERE incident IS NOT NULL").await,
        notices: number("SELECT coalesce(CAST(sum(notices) AS BIGINT), 0) FROM clocks").await,
        rules: rules.iter().map(rule).collect(),
    };
    collector.stop.send(true).unwrap();
    told
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_findings_of_one_attacker_are_one_incident_and_at_most_three_notices() {
    let told = thousand(|n| finding(&format!("f{n}"), 1, "203.0.113.9", 1000 + n as u64, 2)).await;
    assert_eq!((told.incidents, told.findings), (1, 1000));
    assert!((1..=3).contains(&told.notices), "{}", told.notices);
    assert_eq!(told.rules, ["notice.storm/1"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_outbreak_of_one_file_on_a_thousand_hosts_is_one_incident_and_at_most_three_notices() {
    let told = thousand(|n| {
        let Record::EndpointAlert(mut alert) = alert(AlertClass::Malware) else { unreachable!() };
        alert.id = FindingId::of(&[&n.to_be_bytes()]);
        alert.host = format!("10.0.{}.{}", n / 250, n % 250 + 1).parse().ok();
        alert.file_sha256 = Some(Digest::of(b"one file"));
        Record::EndpointAlert(alert)
    })
    .await;
    assert_eq!((told.incidents, told.findings), (1, 1000));
    assert!((1..=3).contains(&told.notices), "{}", told.notices);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_attackers_are_ten_incidents_and_at_most_three_notices() {
    let told = thousand(|n| {
        let from = format!("203.{}.{}.9", n / 250, n % 250);
        finding(&format!("f{n}"), 1, &from, 1000 + n as u64 / 10, 2)
    })
    .await;
    assert_eq!((told.incidents, told.findings), (10, 1000));
    assert!((1..=3).contains(&told.notices), "{}", told.notices);
    assert_eq!(told.rules.iter().filter(|rule| *rule == "correlate.storm/1").count(), 1);
}
