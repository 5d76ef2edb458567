//! Exports by the API: what is in them, that it is harmless, and that others' own checkers take them.
//!
//! With `SEKIMORI_VALIDATORS=1` the OASIS `stix2-validator` and models made of the OCSF schema (`ocsf-emitter`) read every
//! file too; both come from PyPI into a virtual environment under the target directory.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::*;
use crate::incident::task::{Phase, Task, TaskKind, TaskState};

/// Everything that a stranger may put into a text, as long as it may be.
fn hostile() -> String {
    format!("=cmd|'/c calc'!A1\u{0}\u{1b}[2J\u{202e}\u{feff}'] OR [x:y = '\\{}\r\n,\"", "長".repeat(4000))
}

fn finding_of(n: u8) -> Finding {
    let text = hostile();
    let mut one = finding(n);
    one.title = Bilingual::new(&text, &text);
    one.explanation = Bilingual::new(&text, &text);
    one.segment = Some(text.as_str().into());
    one.targets =
        [text.as_str(), "evil.example.jp", "=1+1", "203.0.113.77", "'.example"].map(Into::into).into();
    one.evidence.formula = text.as_str().into();
    one.evidence.inputs.insert("file_sha256".into(), "ab".repeat(32).as_str().into());
    one.evidence.inputs.insert("domain".into(), "evil.example.jp".into());
    one
}

/// Incidents of which everything that can be hostile is; the names of all, one with work on it first.
async fn filled() -> (Bench, Vec<String>) {
    let mut bench = Bench::new().await;
    let nowhere = Finding {
        originator: None,
        responder: None,
        targets: vec![HOSTILE.into()],
        category: Category::C2Beacon,
        ..finding(9)
    };
    let mut records: Vec<Record> =
        [finding_of(1), finding_of(2), nowhere].map(|one| Record::Finding(Box::new(one))).into();
    records
        .push(Record::EndpointAlert(Box::new(EndpointAlert { name: hostile().as_str().into(), ..alert() })));
    bench.deliver(records).await;
    bench.writer.flush().await;
    let (rows, _) = bench.store.incidents(&IncidentFilter::default()).await.unwrap();
    let mut names: Vec<String> = rows.iter().map(|row| row.id.clone()).collect();
    let scan = rows.iter().find(|row| row.category.as_str() == "scan").unwrap().id.clone();
    names.retain(|name| *name != scan);
    names.insert(0, scan.clone());
    for (n, text) in [(1, hostile()), (2, String::new())] {
        db::query("INSERT INTO incident_notes (incident, n, at, author, role, text) VALUES ($1, $2, $3, 'a.person', 'control', $4)")
            .bind(&scan)
            .bind(n)
            .bind(stored(now()) + n)
            .bind(text.replace('\u{0}', ""))
            .execute(bench.store.writer())
            .await
            .unwrap();
    }
    let signed = crate::incident::form::Signed { by: "a.person".to_owned(), at: now() };
    let states = [TaskState::Done { signed, note: hostile() }, TaskState::Open];
    for (n, state) in states.into_iter().enumerate() {
        let n = u32::try_from(n).unwrap() + 90;
        let task = Task {
            n,
            origin: "hand".to_owned(),
            ja: hostile(),
            en: format!("task {n}"),
            mandatory: false,
            role: Role::Control,
            phase: Phase::Respond,
            kind: TaskKind::Work,
            assignee: None,
            state,
        };
        db::query("INSERT INTO incident_tasks (incident, n, state, role, assignee, json) VALUES ($1, $2, $3, 'control', NULL, $4)")
            .bind(&scan)
            .bind(i64::from(n))
            .bind(task.state.as_str())
            .bind(serde_json::to_string(&task).unwrap())
            .execute(bench.store.writer())
            .await
            .unwrap();
    }
    (bench, names)
}

async fn exported(bench: &Bench, cookie: &str, path: &str) -> Answer {
    let answer = bench.get(path, cookie).await;
    assert_eq!(answer.status, StatusCode::OK, "{path}: {}", answer.text);
    assert!(answer.header("content-disposition").starts_with("attachment; filename=\""), "{path}");
    assert_eq!(answer.header("sekimori-left-out"), "0");
    for bad in ["\u{202e}", "\u{0}", "\u{1b}", "\\u0000", "\\u001b", "a.person"] {
        assert!(!answer.text.contains(bad), "{path} holds {bad:?}");
    }
    answer
}

fn refs(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::Object(fields) => {
            for (key, value) in fields {
                if key.ends_with("_ref") || key.ends_with("_refs") {
                    found.extend(value.as_str().map(str::to_owned));
                    found.extend(
                        value.as_array().into_iter().flatten().map(|one| one.as_str().unwrap().to_owned()),
                    );
                }
                refs(value, found);
            }
        }
        Value::Array(items) => items.iter().for_each(|item| refs(item, found)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// Rules of STIX 2.1 that need no schema: identifiers are of their kind and of one thing each, every reference is to something
/// in the bundle, nothing is empty, times are in order.
fn sound(bundle: &Value) -> BTreeMap<String, usize> {
    let mut kinds = BTreeMap::new();
    let objects = bundle["objects"].as_array().unwrap();
    let ids: BTreeSet<&str> = objects.iter().map(|one| one["id"].as_str().unwrap()).collect();
    assert_eq!(ids.len(), objects.len(), "an identifier is of two things");
    for one in objects {
        let (kind, id) = (one["type"].as_str().unwrap(), one["id"].as_str().unwrap());
        let uuid = id.strip_prefix(&format!("{kind}--")).unwrap();
        assert_eq!(uuid.split('-').map(str::len).collect::<Vec<_>>(), [8, 4, 4, 4, 12]);
        assert_eq!(one["spec_version"], "2.1");
        let mut found = Vec::new();
        refs(one, &mut found);
        for reference in found {
            assert!(ids.contains(reference.as_str()), "{id} names {reference}, which is not here");
        }
        assert!(
            one.as_object().unwrap().values().all(|value| *value != Value::Array(Vec::new()) && value != "")
        );
        if let (Some(created), Some(modified)) = (one["created"].as_str(), one["modified"].as_str()) {
            assert!(created <= modified, "{id}");
        }
        if kind != "marking-definition" {
            assert_eq!(
                one["object_marking_refs"][0],
                "marking-definition--55d920b0-5e8b-4f79-9ee9-91f868d9b421"
            );
        }
        *kinds.entry(kind.to_owned()).or_insert(0) += 1;
    }
    kinds
}

#[tokio::test]
async fn a_bundle_of_stix_has_all_that_is_known_and_nothing_that_harms() {
    let (bench, names) = filled().await;
    let (cookie, _) = bench.session("monitor").await;
    let path = format!("/api/v1/incidents/{}/export?format=stix", names[0]);
    let answer = exported(&bench, &cookie, &path).await;
    assert_eq!(answer.header("content-type"), "application/stix+json;version=2.1");
    let kinds = sound(&answer.json());
    for (kind, count) in [
        ("incident", 1),
        ("grouping", 1),
        ("observed-data", 2),
        ("note", 2),
        ("course-of-action", 1),
        ("attack-pattern", 1),
        ("marking-definition", 1),
    ] {
        assert_eq!(kinds.get(kind), Some(&count), "{kind}: {kinds:?}");
    }
    for kind in [
        "identity",
        "indicator",
        "sighting",
        "relationship",
        "ipv4-addr",
        "domain-name",
        "file",
        "network-traffic",
    ] {
        assert!(kinds.contains_key(kind), "{kind}: {kinds:?}");
    }
    // A later one has the same things under the same names.
    let again = exported(&bench, &cookie, &path).await.json();
    assert_eq!(again["objects"], answer.json()["objects"]);
    let all = exported(&bench, &cookie, "/api/v1/export?format=stix&scope=all").await;
    assert_eq!(sound(&all.json())["incident"], names.len());
    check_stix(&[&answer.text, &all.text]);
}

#[tokio::test]
async fn events_of_ocsf_have_what_their_classes_require() {
    let (bench, names) = filled().await;
    let (cookie, _) = bench.session("auditor").await;
    let all = exported(&bench, &cookie, "/api/v1/export?format=ocsf&scope=all").await;
    let mut classes = BTreeMap::new();
    for line in all.text.lines() {
        let event: Value = serde_json::from_str(line).unwrap();
        let class = event["class_uid"].as_u64().unwrap();
        assert_eq!(event["type_uid"].as_u64().unwrap(), class * 100 + event["activity_id"].as_u64().unwrap());
        assert_eq!((&event["category_uid"], &event["metadata"]["version"]), (&2.into(), &"1.5.0".into()));
        assert!(
            event["metadata"]["product"]["vendor_name"].is_string()
                && event["time"].as_u64().unwrap() > 1 << 40
        );
        assert!((1..=5).contains(&event["severity_id"].as_u64().unwrap()));
        match class {
            2005 => {
                assert!(event["status_id"].is_u64() && event["assignee_group"]["name"].is_string());
                assert!(!event["finding_info_list"].as_array().unwrap().is_empty());
            }
            2004 => assert!(event["finding_info"]["uid"].is_string() && event["evidences"][0].is_object()),
            other => panic!("class {other}"),
        }
        *classes.entry(class).or_insert(0) += 1;
    }
    assert_eq!(classes, [(2004, 4), (2005, names.len())].into());
    let one = exported(&bench, &cookie, &format!("/api/v1/incidents/{}/export?format=ocsf", names[0])).await;
    assert_eq!(one.text.lines().count(), 3);
    check_ocsf(&all.text);
}

#[tokio::test]
async fn tables_are_tables_and_calculate_nothing() {
    let (bench, names) = filled().await;
    let (cookie, _) = bench.session("control").await;
    for (path, rows) in [
        ("/api/v1/export?format=csv&scope=all".to_owned(), names.len()),
        ("/api/v1/export?format=csv&scope=all&table=findings".to_owned(), 4),
        (format!("/api/v1/incidents/{}/export?format=csv&bom=true", names[0]), 2),
    ] {
        let answer = exported(&bench, &cookie, &path).await;
        let text = answer.text.strip_prefix('\u{feff}');
        assert_eq!(text.is_some(), path.contains("bom"), "{path}");
        let text = text.unwrap_or(&answer.text);
        assert!(
            text.ends_with("\r\n") && text.matches('\n').count() == rows + 1,
            "{path}: one row, one line"
        );
        let mut reader = csv::Reader::from_reader(text.as_bytes());
        let mut found = 0;
        for row in reader.records() {
            for cell in &row.unwrap() {
                assert!(!cell.starts_with(['=', '+', '-', '@', '\t', '\r', '|']), "{cell}");
            }
            found += 1;
        }
        assert_eq!(found, rows, "{path}");
    }
}

#[tokio::test]
async fn every_export_is_in_the_audit_log_and_what_is_not_understood_says_so() {
    let (bench, names) = filled().await;
    let (cookie, _) = bench.session("monitor").await;
    exported(&bench, &cookie, &format!("/api/v1/incidents/{}/export", names[0])).await;
    exported(&bench, &cookie, "/api/v1/export?format=csv&q=severity%3E%3D1").await;
    for (path, status) in [
        ("/api/v1/incidents/INC-1/export?format=stix", StatusCode::NOT_FOUND),
        ("/api/v1/export?format=pdf", StatusCode::BAD_REQUEST),
        ("/api/v1/export?format=csv&bom=maybe", StatusCode::BAD_REQUEST),
        ("/api/v1/export?format=csv&body=42201", StatusCode::BAD_REQUEST),
        ("/api/v1/export?format=csv&q=severity%3E", StatusCode::BAD_REQUEST),
    ] {
        let answer = bench.get(path, &cookie).await;
        assert_eq!(
            (answer.status, answer.header("content-type")),
            (status, "application/problem+json"),
            "{path}"
        );
    }
    let about = bench.store.audit_of(&names[0], 10).await.unwrap();
    let line = &about[0].entry;
    assert_eq!(
        (line.action.as_str(), line.actor.as_str(), line.role.as_str()),
        ("export:stix", "monitor", "monitor")
    );
    let others = bench.store.audit_of("", 10).await.unwrap();
    let line = others.iter().find(|line| line.entry.action == "export:csv").unwrap();
    assert!(line.entry.reason.ends_with("q=severity%3E%3D1"), "{}", line.entry.reason);
    assert_eq!(bench.store.verify_audit().await.unwrap().broken, None);
}

#[tokio::test]
async fn the_page_of_an_incident_offers_its_files() {
    let (bench, id) = Bench::filled().await;
    let (cookie, _) = bench.session("monitor").await;
    let page = bench.get(&format!("/incidents/{id}"), &cookie).await.text;
    for format in ["stix", "ocsf", "csv"] {
        assert!(page.contains(&format!("/api/v1/incidents/{id}/export?format={format}")), "{format}");
    }
    let list = bench.get("/incidents?severity=3&scope=all", &cookie).await.text;
    assert!(list.contains("/api/v1/export?format=csv&#38;bom=true&#38;severity=3&#38;scope=all"), "{list}");
}

/// The interpreter of the virtual environment, made when it is not there; `None` where the real checkers are not asked for.
fn python() -> Option<PathBuf> {
    std::env::var_os("SEKIMORI_VALIDATORS")?;
    let target = std::env::current_exe().unwrap();
    let venv = target.ancestors().nth(3)?.join("validators");
    static MADE: std::sync::Mutex<()> = std::sync::Mutex::new(());
    let _one = MADE.lock().unwrap();
    let python = venv.join("bin/python");
    if !venv.join("done").exists() {
        run(Command::new("python3").args(["-m", "venv"]).arg(&venv));
        run(Command::new(&python).args(["-m", "pip", "install", "-q", "stix2-validator", "ocsf-emitter"]));
        std::fs::write(venv.join("done"), "").unwrap();
    }
    Some(python)
}

fn run(command: &mut Command) {
    let output = command.stdin(Stdio::null()).output().unwrap();
    let told =
        [output.stdout, output.stderr].map(|text| String::from_utf8_lossy(&text).into_owned()).concat();
    assert!(output.status.success(), "{command:?}: {told}");
}

fn kept(dir: &Path, name: &str, text: &str) -> PathBuf {
    let path = dir.join(name);
    std::fs::write(&path, text).unwrap();
    path
}

fn check_stix(bundles: &[&str]) {
    let Some(python) = python() else { return };
    let dir = tempfile::tempdir().unwrap();
    for (n, bundle) in bundles.iter().enumerate() {
        let file = kept(dir.path(), &format!("{n}.json"), bundle);
        // Ours are made from names (allowed, 2.9), with TLP 2.0: not what these two recommendations expect.
        let mut command = Command::new(python.with_file_name("stix2_validator"));
        run(command.args(["--version", "2.1"]).arg(file));
    }
}

fn check_ocsf(lines: &str) {
    const CHECK: &str = "
import json, sys
from ocsf_emitter import _models as m, validate
classes = {2004: m.DetectionFinding, 2005: m.IncidentFinding}
n = 0
for line in open(sys.argv[1], encoding='utf-8'):
    event = json.loads(line)
    model = classes[event['class_uid']]
    unknown = set(event) - set(model.model_fields)
    assert not unknown, unknown
    infos = event.get('finding_info_list', [event.get('finding_info')])
    for info in infos:
        assert not set(info) - set(m.FindingInfo.model_fields), info
    assert not set(event['metadata']) - set(m.Metadata.model_fields)
    validate(model.model_validate(event))
    n += 1
assert n > 0
";
    let Some(python) = python() else { return };
    let dir = tempfile::tempdir().unwrap();
    let file = kept(dir.path(), "events.jsonl", lines);
    run(Command::new(python).args(["-c", CHECK]).arg(file));
}
