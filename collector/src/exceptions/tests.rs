//! Files, rulings, reloads and dry runs, on a store filled by the real writer's statements.

use crate::store::db;
use sekimori_wire::batch::Lane;
use sekimori_wire::finding::{Bilingual, Category, Confidence, Evidence, Finding, Severity};
use sekimori_wire::id::FindingId;
use sekimori_wire::time::Timestamp;
use serde_json::json;

use super::ruling::{Ruling, Source, Whose, rule};
use super::*;
use crate::config::{AgentsOwn, Correlation};
use crate::store::commit::{Ledger, Origin};
use crate::store::finding;

const FILE: &str = r#"
[[exception]]
id = "EX-1"
category = "scan.*"
originator = "198.51.100.7"
port = 443
reason = "脆弱性診断"
owner = "情報政策課"
created = "2026-04-01"
expires = "2026-04-30"
"#;

/// Noon of a day of April 2026, Japanese time.
fn april(day: u64) -> Timestamp {
    let first: Timestamp = "2026-04-01T12:00:00+09:00".parse().unwrap();
    first.plus(std::time::Duration::from_secs((day - 1) * 86_400))
}

fn scan(revision: u32, end: Timestamp, ports: &[u16]) -> Finding {
    Finding {
        id: FindingId::of(&[b"scan"]),
        revision,
        time: april(20),
        end,
        detected_at: end,
        category: Category::ScanPort,
        severity: Severity::HIGH,
        confidence: Confidence::from_permille(900),
        originator: "198.51.100.7".parse().ok(),
        responder: "192.0.2.10".parse().ok(),
        targets: Vec::new(),
        ports: ports.to_vec(),
        title: Bilingual::default(),
        explanation: Bilingual::default(),
        evidence: Evidence::default(),
        technique: "T1046".into(),
        count: 1,
        body: None,
        segment: None,
        degraded: false,
        excepted_by: None,
    }
}

fn written(text: &str) -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("exceptions.toml");
    std::fs::write(&path, text).unwrap();
    (dir, path)
}

fn read(text: &str) -> Exceptions {
    let (_dir, path) = written(text);
    file::read(&[path]).unwrap()
}

#[test]
fn a_broken_file_is_told_by_file_line_and_id() {
    for (text, parts) in [
        ("[[exception]]\nid = 3\n".to_owned(), &["exceptions.toml is not", "line 2"][..]),
        ("[[exception]]\nid = \"a\"\nprot = 3\n".to_owned(), &["line 3", "prot"]),
        ("speed = 1\n".to_owned(), &["line 1", "speed"]),
        (format!("{FILE}{FILE}"), &["exceptions.toml, line 12", "\"EX-1\" is given twice"]),
        (FILE.replace("2026-04-30", "2026-02-31"), &["exceptions.toml, line 2", "\"EX-1\"", "2026-02-31"]),
        (format!("# é\n{}", FILE.replace("owner", "# owner")), &["line 3", "\"EX-1\"", "owner is missing"]),
    ] {
        let (_dir, path) = written(&text);
        let error = error_chain(&file::read(&[path]).unwrap_err());
        for part in parts {
            assert!(error.contains(part), "{part:?} in {error}");
        }
    }
    let (_dir, path) = written(FILE);
    let error = error_chain(&file::read(&[path.clone(), path]).unwrap_err());
    assert!(error.contains("line 2") && error.contains("given twice"), "{error}");
    let missing = error_chain(&file::read(&["/nonexistent/x.toml".into()]).unwrap_err());
    assert!(missing.contains("cannot read /nonexistent/x.toml"), "{missing}");
}

#[test]
fn the_collectors_judgement_rules_where_it_knows_the_id() {
    let judge = Judge { exceptions: Arc::new(read(FILE)), ..Judge::default() };
    let said = |id: &str, finding: Finding| Finding { excepted_by: Some(id.into()), ..finding };
    // What the agent said, last evidence, ports; then verdict, whose judgement, and whether it is excepted.
    type Case<'a> = (Finding, Option<(&'a str, &'a str, Option<Source>)>);
    let cases: [Case<'_>; 7] = [
        (scan(1, april(30), &[443]), Some(("covers", "collector", Some(Source::Collector)))),
        (said("EX-1", scan(1, april(30), &[443])), Some(("covers", "collector", Some(Source::Collector)))),
        (said("EX-9", scan(1, april(30), &[443])), Some(("covers", "collector", Some(Source::Collector)))),
        (said("EX-1", scan(1, april(31), &[443])), Some(("ended", "collector", None))),
        (said("EX-1", scan(1, april(30), &[443, 22])), Some(("outside", "collector", None))),
        (said("EX-9", scan(1, april(31), &[443])), Some(("unknown", "agent", Some(Source::Agent)))),
        (scan(1, april(31), &[443]), None),
    ];
    for (finding, expected) in cases {
        let ruling = rule(&judge, whose(), &finding);
        let got = ruling.note().map(|note| {
            let text = |key: &str| note[key].as_str().unwrap();
            assert_eq!(note["agent"].as_str(), finding.excepted_by.as_deref());
            assert_eq!(note["owner"].as_str(), (text("source") == "collector").then_some("情報政策課"));
            (text("verdict"), text("source"), ruling.excepted().map(|(_, source)| source))
        });
        assert_eq!(got, expected, "{finding:?}");
    }
    assert_eq!(rule(&Judge::default(), whose(), &scan(1, april(30), &[443])), Ruling::Counts);
    // Where agents may not decide by themselves, the finding counts, and what was refused is shown.
    let strict = Judge { agents_own: AgentsOwn::Refuse, ..judge };
    let ruling = rule(&strict, whose(), &said("EX-9", scan(1, april(31), &[443])));
    assert_eq!((ruling.excepted(), &ruling.note().unwrap()["verdict"]), (None, &json!("refused")));
    assert!(rule(&strict, whose(), &said("EX-9", scan(1, april(30), &[443]))).excepted().is_some());
}

#[test]
fn what_a_policy_gave_to_this_agent_is_known_here() {
    let central = |scope| Arc::new(BTreeMap::from([(scope, read(FILE))]));
    let judge = |scope| Judge { central: central(scope), agents_own: AgentsOwn::Refuse, ..Judge::default() };
    let said = |finding: Finding| Finding { excepted_by: Some("EX-1".into()), ..finding };
    let covered = said(scan(1, april(30), &[443]));
    let ruled = |scope, finding: &Finding| {
        rule(&judge(scope), whose(), finding).note().map(|note| note["verdict"].clone())
    };
    assert_eq!(ruled(Scope::All, &covered), Some(json!("covers")));
    assert_eq!(ruled(Scope::Body(whose().body), &covered), Some(json!("covers")));
    assert_eq!(ruled(Scope::Body("131016".parse().unwrap()), &covered), Some(json!("refused")));
    assert_eq!(ruled(Scope::All, &said(scan(1, april(31), &[443]))), Some(json!("ended")));
    assert_eq!(ruled(Scope::All, &scan(1, april(30), &[443])), None, "its agent does not claim it");
}

/// A store and what the writer gives a submission.
struct Bench {
    _dir: tempfile::TempDir,
    store: Store,
    ledger: Ledger,
    origin: Origin,
}

impl Bench {
    async fn new(exceptions: Exceptions) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let store = crate::store::testing::store(&dir.path().join("s.db")).await;
        let correlation = Correlation {
            gap: std::time::Duration::from_secs(1_800),
            wide_area_bodies: 3,
            wide_area_window: std::time::Duration::from_secs(86_400),
        };
        let judge = Judge { exceptions: Arc::new(exceptions), ..Judge::default() };
        let ledger = Ledger::new(april(30), correlation, judge);
        let body = "422011".parse().unwrap();
        let origin = Origin { agent: "a".into(), body, lane: Lane::Urgent, epoch: 1, seq: 1, mode: "live" };
        Self { _dir: dir, store, ledger, origin }
    }

    async fn take(&mut self, finding: Finding) {
        let mut tx = self.store.begin().await.unwrap();
        finding::store(&mut tx, &mut self.ledger, &self.origin, finding, None).await.unwrap();
        tx.commit().await.unwrap();
    }

    /// Severity, findings and last evidence of every incident.
    async fn incidents(&self) -> Vec<(i64, i64, Timestamp)> {
        let rows: Vec<(i64, i64, i64)> =
            db::query_as("SELECT severity, findings, last_evidence FROM incidents ORDER BY id")
                .fetch_all(self.store.reader())
                .await
                .unwrap();
        rows.into_iter().map(|(level, count, last)| (level, count, clock::from_stored(last))).collect()
    }
}

#[tokio::test]
async fn an_excepted_finding_opens_nothing_until_it_outlives_its_exception() {
    let mut bench = Bench::new(read(FILE)).await;
    bench.take(scan(1, april(29), &[443])).await;
    bench.take(scan(2, april(30), &[443])).await;
    assert_eq!(bench.incidents().await, []);
    let excepted = bench.store.excepted_findings().await.unwrap();
    assert_eq!(excepted.len(), 1);
    assert_eq!((&excepted[0].exception["id"], &excepted[0].json["revision"]), (&json!("EX-1"), &json!(2)));

    bench.take(scan(3, april(31), &[443])).await;
    assert_eq!(bench.incidents().await, [(3, 1, april(31))]);
    assert!(bench.store.excepted_findings().await.unwrap().is_empty());
    let counted = |name: &str| bench.ledger.counters.get(name).copied().unwrap_or(0);
    assert_eq!(
        ["findings_excepted", "findings_excepted_here", "findings_no_longer_excepted"].map(counted),
        [2, 2, 1]
    );
}

#[tokio::test]
async fn an_incident_does_not_grow_by_what_came_under_an_exception() {
    let mut bench = Bench::new(read(FILE)).await;
    let low =
        |revision, end, ports: &[u16]| Finding { severity: Severity::LOW, ..scan(revision, end, ports) };
    bench.take(Finding { id: FindingId::of(&[b"other"]), ..low(1, april(20), &[22]) }).await;
    // A second finding about the same host at the same time, excepted: the incident stays as it is.
    bench.take(scan(1, april(20), &[443])).await;
    assert_eq!(bench.incidents().await, [(1, 1, april(20))]);
    let incident: String =
        db::query_scalar("SELECT id FROM incidents").fetch_one(bench.store.reader()).await.unwrap();
    let view = bench.store.incident(&incident).await.unwrap().unwrap();
    assert_eq!(bench.store.excepted_beside(&view).await.unwrap().len(), 1);

    // One that is in the incident, and by its next revision excepted by its agent: said in the history, once.
    let said = |finding: Finding| Finding { excepted_by: Some("EX-9".into()), ..finding };
    let other = |revision, end| Finding { id: FindingId::of(&[b"other"]), ..scan(revision, end, &[22]) };
    bench.take(said(other(2, april(21)))).await;
    bench.take(said(other(3, april(22)))).await;
    assert_eq!(bench.incidents().await, [(1, 1, april(20))]);
    let changes = bench.store.changes_of(&incident).await.unwrap();
    assert_eq!(changes.iter().filter(|change| change.kind == "excepted").count(), 1);
    assert_eq!(changes[0].json["exception"]["verdict"], "unknown");
    let unknown = bench.store.unknown_exceptions().await.unwrap();
    assert_eq!((unknown[0].id.as_str(), unknown[0].findings), ("EX-9", 1));
    bench.take(other(4, april(23))).await;
    assert_eq!(bench.incidents().await, [(3, 1, april(23))]);
    assert_eq!(bench.ledger.counters["findings_excepted_unknown"], 2);
}

#[tokio::test]
async fn a_mark_that_does_not_hold_here_is_overruled_and_shown() {
    let mut bench = Bench::new(read(FILE)).await;
    bench.take(Finding { excepted_by: Some("EX-1".into()), ..scan(1, april(30), &[443, 22]) }).await;
    assert_eq!(bench.incidents().await.len(), 1);
    assert_eq!(bench.ledger.counters["exceptions_overruled"], 1);
    let (json, by): (String, Option<String>) =
        db::query_as("SELECT exception_json, excepted_by FROM findings")
            .fetch_one(bench.store.reader())
            .await
            .unwrap();
    let note: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!((&note["verdict"], &note["agent"], by), (&json!("outside"), &json!("EX-1"), None));
}

#[tokio::test]
async fn the_dry_run_tells_what_would_have_been_covered_and_what_not() {
    let mut bench = Bench::new(Exceptions::default()).await;
    let named = |name: &str, finding: Finding| Finding { id: FindingId::of(&[name.as_bytes()]), ..finding };
    bench.take(named("in", scan(1, april(20), &[443]))).await;
    bench.take(named("beyond", scan(1, april(20), &[443, 22]))).await;
    bench.take(named("late", scan(1, april(31), &[443]))).await;
    let host = Finding { originator: "203.0.113.5".parse().ok(), ..scan(1, april(20), &[443]) };
    bench.take(named("other host", host)).await;
    let exceptions =
        read(&format!("{FILE}{}", FILE.replace("EX-1", "EX-2").replace("198.51.100.7", "203.0.113.0/24")));
    let report = dry_run::run(&bench.store, &exceptions, None).await.unwrap();
    assert_eq!((report.findings, report.covered, report.unreadable), (4, 2, 0));
    let [first, second] = &report.exceptions[..] else { panic!("one for each") };
    assert_eq!((first.findings, first.hosts, first.bodies.len(), first.severity), (1, 1, 1, Some(3)));
    // The incident of the first host has two more findings; that of the second only this one.
    assert_eq!((first.incidents, first.incidents_in_part), (0, 1));
    assert_eq!((second.findings, second.incidents, second.incidents_in_part), (1, 1, 0));
    assert_eq!((first.exceeding, first.after_end), (1, 1));
    let beyond = &first.exceeding_examples[0];
    assert_eq!((beyond.key, beyond.outside.as_str()), ("port", "22"));
    let text = command::table(&report);
    for part in ["EX-1", "port lies outside: 22", "does NOT cover 1 with evidence after", "2 of 4 findings"] {
        assert!(text.contains(part), "{part:?} in {text}");
    }
    let later = dry_run::run(&bench.store, &exceptions, Some(april(25))).await.unwrap();
    assert_eq!((later.findings, later.covered), (1, 0));
}

#[tokio::test]
async fn a_broken_file_leaves_what_was_in_force() {
    let (_dir, path) = written(FILE);
    let in_force = InForce::load(std::slice::from_ref(&path), AgentsOwn::Accept).unwrap();
    let bench = Bench::new(Exceptions::default()).await;
    bench.store.put_exceptions(&in_force.current(), april(1)).await.unwrap();
    std::fs::write(&path, FILE.replace("owner", "onwer")).unwrap();
    in_force.reload(&bench.store).await.unwrap();
    assert_eq!(in_force.current().iter().count(), 1);
    let read = bench.store.exceptions_read().await.unwrap().unwrap();
    assert!(read.error.is_some_and(|error| error.contains("onwer")));
    std::fs::write(&path, FILE.replace("EX-1", "EX-2")).unwrap();
    in_force.reload(&bench.store).await.unwrap();
    assert!(in_force.current().by_id("EX-2").is_some());
    let views = bench.store.exceptions().await.unwrap();
    assert_eq!(
        (views.len(), views[0].id.as_str(), views[0].scope["port"].as_str()),
        (1, "EX-2", Some("443"))
    );
    assert_eq!(bench.store.exceptions_read().await.unwrap().unwrap().error, None);
}

#[test]
fn the_end_is_announced_at_thirty_fourteen_and_seven_days() {
    let expires: Timestamp = "2026-04-30T23:59:59.999999999+09:00".parse().unwrap();
    for (now, left, within) in [
        ("2026-03-31T23:59:59+09:00", Some(30), None),
        ("2026-04-01T00:00:00+09:00", Some(29), Some(30)),
        ("2026-04-17T00:00:00+09:00", Some(13), Some(14)),
        ("2026-04-24T00:00:00+09:00", Some(6), Some(7)),
        ("2026-04-30T23:00:00+09:00", Some(0), Some(7)),
        ("2026-05-01T00:00:00+09:00", None, Some(0)),
    ] {
        let now = now.parse().unwrap();
        assert_eq!((days_left(expires, now), ending_within(expires, now)), (left, within), "{now}");
    }
}

#[tokio::test]
async fn a_store_of_before_keeps_what_agents_said() {
    let pool =
        sqlx::sqlite::SqlitePoolOptions::new().max_connections(1).connect("sqlite::memory:").await.unwrap();
    let pool = db::Pool::Sqlite(pool);
    pool.script(include_str!("../store/schema/sqlite/0001_first.sql")).await.unwrap();
    for (id, json) in [("a", r#"{"excepted_by":"EX-9"}"#), ("b", r#"{"excepted_by":null}"#), ("c", "{}")] {
        db::query(
            "INSERT INTO findings (id, body, revision, time, \"end\", category, severity, json, agent, epoch, seq, mode)
             VALUES ($1, '422011', 1, 1, 1, 'scan.port', 1, $2, 'x', 1, 1, 'live')",
        )
        .bind(id)
        .bind(json)
        .execute(&pool)
        .await
        .unwrap();
    }
    pool.script(include_str!("../store/schema/sqlite/0002_exceptions.sql")).await.unwrap();
    let rows: Vec<(String, Option<String>, Option<String>)> =
        db::query_as("SELECT id, excepted_by, exception_json FROM findings ORDER BY id")
            .fetch_all(&pool)
            .await
            .unwrap();
    let note = r#"{"id":"EX-9","source":"agent","verdict":"unknown"}"#;
    assert_eq!(rows[0], ("a".into(), Some("EX-9".into()), Some(note.into())));
    assert!(rows[1..].iter().all(|(_, by, note)| by.is_none() && note.is_none()), "{rows:?}");
}

fn whose() -> Whose<'static> {
    Whose { agent: "00", body: "422011".parse().unwrap() }
}
