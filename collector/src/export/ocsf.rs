//! OCSF 1.5: an Incident Finding (2005) and its Detection Findings (2004), one JSON object a line.

use serde_json::{Map, Value, json};

use sekimori_wire::finding::Severity;

use super::text::{Observable, clean, epoch_millis, field, in_lang, time};
use super::{Case, Settings};
use crate::incident::IncidentState;
use crate::incident::taxonomy::elsewhere;
use crate::store::view::FindingView;

/// Of the schema.
const VERSION: &str = "1.5.0";
const FINDINGS: u32 = 2;
const DETECTION: u32 = 2004;
const INCIDENT: u32 = 2005;
const CREATE: u32 = 1;
const UPDATE: u32 = 2;
const CLOSE: u32 = 3;

/// All of it.
pub(super) fn lines(cases: &[Case], settings: &Settings) -> Vec<u8> {
    let mut out = String::new();
    for case in cases {
        out.push_str(&incident(case, settings).to_string());
        out.push('\n');
        for finding in &case.findings {
            out.push_str(&detection(case, finding, settings).to_string());
            out.push('\n');
        }
    }
    out.into_bytes()
}

/// What every event has.
fn event(
    class: (u32, &str),
    activity: u32,
    severity: Option<Severity>,
    body: &str,
    uid: &str,
) -> Map<String, Value> {
    let (class_uid, class_name) = class;
    let activity_name = match activity {
        CREATE => "Create",
        UPDATE => "Update",
        _ => "Close",
    };
    let (severity_id, severity) = severity_of(severity);
    let fields = json!({
        "category_uid": FINDINGS, "category_name": "Findings",
        "class_uid": class_uid, "class_name": class_name,
        "activity_id": activity, "activity_name": activity_name,
        "type_uid": class_uid * 100 + activity, "type_name": format!("{class_name}: {activity_name}"),
        "severity_id": severity_id, "severity": severity,
        "metadata": {
            "version": VERSION, "uid": uid, "tenant_uid": body,
            "product": { "name": "Sekimori", "vendor_name": "Sekimori", "version": env!("CARGO_PKG_VERSION") },
        },
    });
    match fields {
        Value::Object(fields) => fields,
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => Map::new(),
    }
}

/// Our five levels are five of theirs; what has none is unknown.
fn severity_of(severity: Option<Severity>) -> (u32, &'static str) {
    match severity.map(Severity::level) {
        Some(0) => (1, "Informational"),
        Some(1) => (2, "Low"),
        Some(2) => (3, "Medium"),
        Some(3) => (4, "High"),
        Some(4) => (5, "Critical"),
        Some(_) | None => (0, "Unknown"),
    }
}

fn incident(case: &Case, settings: &Settings) -> Value {
    let view = &case.view;
    let (status_id, status) = match view.state {
        IncidentState::Detected => (1, "New"),
        IncidentState::Received
        | IncidentState::Triaged
        | IncidentState::Containing
        | IncidentState::Investigating
        | IncidentState::Notifying
        | IncidentState::Recovering => (2, "In Progress"),
        IncidentState::Observing => (3, "On Hold"),
        IncidentState::PostReview => (4, "Resolved"),
        IncidentState::Closed | IncidentState::FalsePositive | IncidentState::Merged => (5, "Closed"),
    };
    let activity = match status_id {
        1 => CREATE,
        5 => CLOSE,
        _ => UPDATE,
    };
    let body = view.body.as_deref().unwrap_or_default();
    let mut event = event((INCIDENT, "Incident Finding"), activity, Some(view.severity), body, &view.id);
    let mut infos: Vec<Value> = case.findings.iter().map(|finding| info(&finding.json)).collect();
    if infos.is_empty() {
        // What people reported has no finding: the incident itself is the one.
        infos.push(json!({ "uid": view.id, "title": clean::<512>(&view.title_en) }));
    }
    let title = |text: &str| {
        if case.is_drill() { format!("【訓練】{}", clean::<512>(text)) } else { clean::<512>(text) }
    };
    let fields = json!({
        "time": epoch_millis(view.opened_at),
        "start_time": epoch_millis(view.first_evidence), "end_time": epoch_millis(view.last_evidence),
        "status_id": status_id, "status": status,
        "desc": title(&view.title_en), "message": title(&view.title_ja),
        "finding_info_list": infos,
        "assignee_group": { "name": format!("SOC {}", clean::<128>(&settings.producer)) },
        "observables": observables(&case.findings),
        "unmapped": {
            "state": view.state.as_str(), "category": view.category.as_str(), "body": view.body,
            "body_name": view.body_name.as_deref().map(clean::<256>), "subject": clean::<256>(&view.subject),
            "parent": view.parent, "rsit": elsewhere(view.category).rsit, "drill": case.is_drill(),
            "mode": if view.replay { "replay" } else { "live" }, "verified": view.signed,
            "updated_at": epoch_millis(view.updated_at), "tlp": settings.tlp.as_str(),
        },
    });
    finish(&mut event, fields);
    verdict(view.state, case.is_drill(), &mut event);
    Value::Object(event)
}

fn verdict(state: IncidentState, is_drill: bool, event: &mut Map<String, Value>) {
    let (id, name) = match (state, is_drill) {
        (_, true) => (6, "Test"),
        (IncidentState::FalsePositive, false) => (1, "False Positive"),
        (IncidentState::Merged, false) => (10, "Duplicate"),
        (
            IncidentState::Detected
            | IncidentState::Received
            | IncidentState::Triaged
            | IncidentState::Containing
            | IncidentState::Investigating
            | IncidentState::Notifying
            | IncidentState::Recovering
            | IncidentState::PostReview
            | IncidentState::Observing
            | IncidentState::Closed,
            false,
        ) => return,
    };
    event.insert("verdict_id".to_owned(), id.into());
    event.insert("verdict".to_owned(), name.into());
}

fn detection(case: &Case, finding: &FindingView, settings: &Settings) -> Value {
    let json = &finding.json;
    let severity = json.get("severity").and_then(Value::as_u64).and_then(|level| u8::try_from(level).ok());
    let revision = json.get("revision").and_then(Value::as_u64).unwrap_or(1);
    let activity = if revision > 1 { UPDATE } else { CREATE };
    let uid = format!("{}/{revision}", clean::<128>(field(json, "id")));
    let class = (DETECTION, "Detection Finding");
    let mut event = event(class, activity, severity.and_then(Severity::new), &finding.body, &uid);
    let first = time(json, "time").unwrap_or_default();
    let last = time(json, "end").unwrap_or(first);
    let share = json.get("confidence").and_then(Value::as_f64).map(|share| share.clamp(0.0, 1.0) * 100.0);
    let score = share.and_then(|share| format!("{share:.0}").parse::<u64>().ok());
    let (confidence_id, confidence) = match score {
        None => (0, "Unknown"),
        Some(..40) => (1, "Low"),
        Some(40..75) => (2, "Medium"),
        Some(75..) => (3, "High"),
    };
    let is_excepted = !field(json, "excepted_by").is_empty();
    let (status_id, status) = if is_excepted { (3, "Suppressed") } else { (1, "New") };
    let fields = json!({
        "time": epoch_millis(time(json, "detected_at").unwrap_or(first)),
        "start_time": epoch_millis(first), "end_time": epoch_millis(last),
        "message": in_lang(json, "explanation", "ja"),
        "confidence_id": confidence_id, "confidence": confidence, "confidence_score": score,
        "status_id": status_id, "status": status, "is_alert": !is_excepted,
        "count": json.get("count").and_then(Value::as_u64).and_then(|count| i32::try_from(count).ok()),
        "finding_info": info(json),
        "evidences": evidences(json),
        "observables": observables(std::slice::from_ref(finding)),
        "unmapped": {
            "incident": case.view.id, "body": finding.body, "revision": revision,
            "segment": clean::<64>(field(json, "segment")), "title_ja": in_lang(json, "title", "ja"),
            "batch": { "agent": finding.batch.agent, "lane": finding.batch.lane, "epoch": finding.batch.epoch, "seq": finding.batch.seq },
            "tlp": settings.tlp.as_str(),
        },
    });
    finish(&mut event, fields);
    Value::Object(event)
}

/// What is known goes in; what is not, stays away.
fn finish(event: &mut Map<String, Value>, fields: Value) {
    if let Value::Object(fields) = fields {
        event.extend(fields.into_iter().filter(|(_, value)| match value {
            Value::Null => false,
            Value::Array(items) => !items.is_empty(),
            Value::String(text) => !text.is_empty(),
            Value::Bool(_) | Value::Number(_) | Value::Object(_) => true,
        }));
    }
}

/// The rule that found it, and what it says.
fn info(json: &Value) -> Value {
    let first = time(json, "time").unwrap_or_default();
    let evidence = json.get("evidence").unwrap_or(&Value::Null);
    let mut info = Map::new();
    let technique = clean::<16>(field(json, "technique"));
    let attack = match technique.split_once('.') {
        None if technique.is_empty() => Value::Null,
        None => json!([{ "technique": { "uid": technique } }]),
        Some((parent, _)) => {
            json!([{ "technique": { "uid": parent }, "sub_technique": { "uid": technique } }])
        }
    };
    let rule = clean::<64>(field(evidence, "rule"));
    let analytic = if rule.is_empty() {
        Value::Null
    } else {
        json!({ "uid": rule, "name": rule, "type_id": 1, "type": "Rule", "desc": clean::<512>(field(evidence, "formula")) })
    };
    let uid = clean::<128>(field(json, "id"));
    finish(
        &mut info,
        json!({
            "uid": if uid.is_empty() { "unknown".to_owned() } else { uid },
            "title": in_lang(json, "title", "en"), "desc": in_lang(json, "explanation", "en"),
            "types": [clean::<64>(field(json, "category"))],
            "first_seen_time": epoch_millis(first),
            "last_seen_time": epoch_millis(time(json, "end").unwrap_or(first)),
            "analytic": analytic, "attacks": attack,
        }),
    );
    Value::Object(info)
}

/// Who went to whom, and what the rule measured.
fn evidences(json: &Value) -> Value {
    let end = |key: &str| match Observable::of(field(json, key)) {
        Some(Observable::Ip(address)) => json!({ "ip": address.to_string() }),
        Some(Observable::Mac(mac)) => json!({ "mac": mac }),
        Some(Observable::Domain(name)) => json!({ "hostname": name }),
        Some(Observable::FileSha256(_)) | None => Value::Null,
    };
    let mut one = Map::new();
    let evidence = json.get("evidence").unwrap_or(&Value::Null);
    let part = |key: &str| evidence.get(key).map(|part| shown(part, 0)).unwrap_or_default();
    finish(
        &mut one,
        json!({
            "src_endpoint": end("originator"), "dst_endpoint": end("responder"),
            "data": { "inputs": part("inputs"), "threshold": part("threshold"), "baseline": part("baseline") },
        }),
    );
    json!([one])
}

/// A value with every text in it made harmless.
fn shown(value: &Value, depth: u32) -> Value {
    const DEPTH_MAX: u32 = 4;
    match value {
        Value::Null | Value::Bool(_) | Value::Number(_) => value.clone(),
        Value::String(text) => clean::<512>(text).into(),
        Value::Array(_) | Value::Object(_) if depth == DEPTH_MAX => Value::Null,
        Value::Array(items) => items.iter().map(|item| shown(item, depth + 1)).collect(),
        Value::Object(fields) => {
            fields.iter().map(|(key, value)| (clean::<64>(key), shown(value, depth + 1))).collect()
        }
    }
}

/// Every address, domain and hash, once.
fn observables(findings: &[FindingView]) -> Value {
    const MOST: usize = 256;
    let mut known = std::collections::BTreeSet::new();
    let mut all = Vec::new();
    for one in findings.iter().flat_map(|finding| Observable::all(&finding.json)) {
        let value = one.value();
        if all.len() == MOST || !known.insert(value.clone()) {
            continue;
        }
        let (type_id, kind, name) = match one {
            Observable::Ip(_) => (2, "IP Address", "ip"),
            Observable::Mac(_) => (3, "MAC Address", "mac"),
            Observable::Domain(_) => (1, "Hostname", "hostname"),
            Observable::FileSha256(_) => (8, "Hash", "sha256"),
        };
        all.push(json!({ "name": name, "type_id": type_id, "type": kind, "value": value }));
    }
    all.into()
}
