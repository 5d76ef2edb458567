//! One STIX 2.1 bundle.
//!
//! For each incident: `incident` (with the Incident Core extension), `grouping` of all that belongs to it, `observed-data`
//! and its observables for each finding, `indicator`, `sighting` and `relationship` for what others can look for,
//! `course-of-action` for what was done, `note` for what people wrote. Bodies and the producer are `identity`.
//!
//! Identifiers are made from names (UUIDv5), so that a later export of the same incident takes the place of this one;
//! those of observables are the ones that the standard prescribes. Markings are TLP 2.0 by the OASIS extension.

mod objects;

use std::collections::BTreeMap;

use sekimori_wire::time::Timestamp;
use serde_json::{Map, Value, json};

use self::objects::{Marking, Namespace, sco};
use super::text::{Observable, clean, field, in_lang, is_domain, is_public, lines, millis, time};
use super::{Case, Settings};
use crate::incident::IncidentState;
use crate::incident::task::{Task, TaskState};
use crate::incident::taxonomy::elsewhere;
use crate::store::view::FindingView;
use crate::store::work::NoteView;

/// Incident Core, of the OASIS STIX common objects.
const INCIDENT_CORE: &str = "extension-definition--ef765651-680c-498d-9894-99799f2fa126";
/// What never changes was always there: bodies, techniques, the producer.
const ALWAYS: &str = "2026-01-01T00:00:00.000Z";
/// Most that `number_observed` and `count` may say.
const COUNT_MAX: u64 = 999_999_999;

/// The bundle.
pub(super) fn bundle(cases: &[Case], settings: &Settings, at: Timestamp) -> Value {
    let mut bundle = Bundle::new(settings);
    for case in cases {
        bundle.case(case);
    }
    let names: Vec<&str> = cases.iter().map(|case| case.view.id.as_str()).collect();
    let id = bundle.namespace.id("bundle", &[&names.join(" "), &at.nanos().to_string()]);
    let objects: Vec<Value> = bundle.order.iter().filter_map(|id| bundle.objects.remove(id)).collect();
    json!({ "type": "bundle", "id": id, "objects": objects })
}

struct Bundle {
    namespace: Namespace,
    marking: Marking,
    producer: String,
    objects: BTreeMap<String, Value>,
    order: Vec<String>,
}

/// When something was made, and when it was changed last.
#[derive(Clone, Copy)]
struct Made(Timestamp, Timestamp);

impl Bundle {
    fn new(settings: &Settings) -> Self {
        let namespace = Namespace::of(&settings.producer);
        let marking = Marking::of(settings.tlp);
        let producer = namespace.id("identity", &["producer"]);
        let mut bundle = Self { namespace, marking, producer, objects: BTreeMap::new(), order: Vec::new() };
        bundle.put(bundle.marking.object());
        let identity = json!({
            "type": "identity", "spec_version": "2.1", "id": bundle.producer, "created": ALWAYS,
            "modified": ALWAYS, "name": clean::<256>(&settings.producer), "identity_class": "organization",
            "sectors": ["government-regional"], "object_marking_refs": [bundle.marking.id],
        });
        bundle.put(identity);
        bundle
    }

    /// Takes an object in, once; gives back its identifier.
    fn put(&mut self, object: Value) -> String {
        let id = field(&object, "id").to_owned();
        if !self.objects.contains_key(&id) {
            self.order.push(id.clone());
            self.objects.insert(id.clone(), object);
        }
        id
    }

    /// A domain or relationship object, with what all of them have.
    fn make(&mut self, kind: &str, name: &[&str], made: Made, fields: Value) -> String {
        let Made(created, modified) = made;
        self.fixed(kind, name, (&millis(created), &millis(modified.max(created))), fields)
    }

    fn fixed(
        &mut self,
        kind: &str,
        name: &[&str],
        (created, modified): (&str, &str),
        fields: Value,
    ) -> String {
        let mut object = Map::new();
        object.insert("type".to_owned(), kind.into());
        object.insert("spec_version".to_owned(), "2.1".into());
        object.insert("id".to_owned(), self.namespace.id(kind, name).into());
        object.insert("created_by_ref".to_owned(), self.producer.clone().into());
        object.insert("created".to_owned(), created.into());
        object.insert("modified".to_owned(), modified.into());
        object.insert("object_marking_refs".to_owned(), json!([self.marking.id]));
        if let Value::Object(fields) = fields {
            // What is empty is left out: the standard allows no empty lists and texts.
            object.extend(fields.into_iter().filter(|(_, value)| !is_empty(value)));
        }
        self.put(Value::Object(object))
    }

    fn case(&mut self, case: &Case) {
        let view = &case.view;
        let made = Made(view.opened_at, view.updated_at);
        let incident = self.incident(case, made);
        let mut refs = vec![incident.clone()];
        let mut techniques = Vec::new();
        let mut seen: Vec<(&FindingView, String)> = Vec::new();
        for finding in &case.findings {
            if let Some(id) = self.finding(finding, &incident, &mut refs) {
                seen.push((finding, id));
            }
            techniques.extend(self.technique(finding));
        }
        techniques.sort();
        techniques.dedup();
        refs.extend(techniques.iter().cloned());
        self.indicators(case, (&incident, &techniques), &seen, &mut refs);
        if let Some(work) = &case.work {
            for task in &work.facts.tasks {
                refs.extend(self.action(&view.id, task, &incident));
            }
            for note in &work.notes {
                refs.push(self.note(&view.id, note, &incident));
            }
        }
        let mut known = std::collections::HashSet::new();
        refs.retain(|id| known.insert(id.clone()));
        let fields = json!({
            "name": clean::<256>(&view.id), "context": "suspicious-activity", "object_refs": refs,
            "labels": labels(case),
        });
        self.make("grouping", &[&view.id], made, fields);
    }

    fn incident(&mut self, case: &Case, made: Made) -> String {
        let view = &case.view;
        let (drill_ja, drill_en) = if case.is_drill() { ("【訓練】", "[DRILL] ") } else { ("", "") };
        let reason = |key: &str| clean::<512>(field(&view.reason, key));
        let status = match view.state {
            IncidentState::Detected | IncidentState::Received => "new",
            IncidentState::Triaged
            | IncidentState::Containing
            | IncidentState::Investigating
            | IncidentState::Notifying
            | IncidentState::Recovering
            | IncidentState::PostReview
            | IncidentState::Observing => "open",
            IncidentState::Closed | IncidentState::FalsePositive | IncidentState::Merged => "closed",
        };
        let determination =
            if view.state == IncidentState::FalsePositive { "false-positive" } else { "suspected" };
        let fields = json!({
            "name": format!("{drill_ja}{}", clean::<512>(&view.title_ja)),
            "description": format!(
                "{drill_en}{}\n{} {}", clean::<1024>(&view.title_en), reason("rule"), reason("formula")
            ).trim_end(),
            "labels": labels(case),
            "external_references": [{ "source_name": "sekimori", "external_id": clean::<64>(&view.id) }],
            "extensions": { INCIDENT_CORE: {
                "extension_type": "property-extension",
                "determination": determination,
                "investigation_status": status,
                "criticality": u64::from(view.severity.level()) * 25,
                "incident_types": [elsewhere(view.category).rsit.replace(':', "-")],
            }},
        });
        self.make("incident", &[&view.id], made, fields)
    }

    /// What a finding observed, or, where it names nothing that others have a word for, a note of it.
    fn finding(&mut self, finding: &FindingView, incident: &str, refs: &mut Vec<String>) -> Option<String> {
        let json = &finding.json;
        let first = time(json, "time").unwrap_or_default();
        let last = time(json, "end").unwrap_or(first).max(first);
        let body = self.body(&finding.body);
        refs.push(body);
        let observables = Observable::all(json);
        let mut objects: Vec<String> =
            observables.iter().map(|one| self.put(self.marking.on(sco(one)))).collect();
        let explained = format!("{}\n{}", in_lang(json, "title", "ja"), in_lang(json, "explanation", "ja"));
        if objects.is_empty() {
            let fields = json!({ "content": explained, "object_refs": [incident] });
            refs.push(self.make(
                "note",
                &["finding", &finding.body, field(json, "id")],
                Made(first, last),
                fields,
            ));
            return None;
        }
        objects.extend(self.traffic(json));
        refs.extend(objects.iter().cloned());
        let count = json.get("count").and_then(Value::as_u64).unwrap_or(1).clamp(1, COUNT_MAX);
        let confidence = percent(json.get("confidence"));
        let fields = json!({
            "first_observed": millis(first), "last_observed": millis(last), "number_observed": count,
            "object_refs": objects, "labels": [clean::<64>(field(json, "category"))], "confidence": confidence,
            "external_references": [{
                "source_name": "sekimori", "external_id": clean::<128>(field(json, "id")), "description": explained,
            }],
        });
        let made = Made(first, last);
        let id = self.make("observed-data", &[&finding.body, field(json, "id")], made, fields);
        refs.push(id.clone());
        Some(id)
    }

    /// Who went to whom, where a finding names one address each.
    fn traffic(&mut self, finding: &Value) -> Option<String> {
        let end = |key: &str| Observable::of(field(finding, key));
        let (Some(from @ Observable::Ip(address)), Some(to @ Observable::Ip(_))) =
            (end("originator"), end("responder"))
        else {
            return None;
        };
        let protocol = if address.is_ipv4() { "ipv4" } else { "ipv6" };
        let object = objects::traffic(&sco(&from), &sco(&to), protocol);
        Some(self.put(self.marking.on(object)))
    }

    fn body(&mut self, code: &str) -> String {
        let fields = json!({
            "name": clean::<64>(code), "identity_class": "organization", "sectors": ["government-local"],
            "external_references": [{ "source_name": "団体コード", "external_id": clean::<64>(code) }],
        });
        self.fixed("identity", &["body", code], (ALWAYS, ALWAYS), fields)
    }

    fn technique(&mut self, finding: &FindingView) -> Option<String> {
        let technique = field(&finding.json, "technique");
        let is_one = technique.starts_with('T')
            && technique.len() >= 5
            && technique.bytes().skip(1).all(|byte| byte.is_ascii_digit() || byte == b'.');
        is_one.then(|| {
            let fields = json!({
                "name": technique,
                "external_references": [{ "source_name": "mitre-attack", "external_id": technique }],
            });
            self.fixed("attack-pattern", &[technique], (ALWAYS, ALWAYS), fields)
        })
    }

    fn indicators(
        &mut self,
        case: &Case,
        (incident, techniques): (&str, &[String]),
        seen: &[(&FindingView, String)],
        refs: &mut Vec<String>,
    ) {
        let view = &case.view;
        let made = Made(view.opened_at, view.updated_at);
        for one in &case.indicators {
            let Some(pattern) = pattern(&one.kind, &one.value) else { continue };
            let name = [view.id.as_str(), &one.kind, &one.value];
            let fields = json!({
                "name": clean::<256>(&one.value), "indicator_types": ["malicious-activity"],
                "pattern": pattern, "pattern_type": "stix", "pattern_version": "2.1",
                "valid_from": millis(one.first), "labels": labels(case),
            });
            let indicator = self.make("indicator", &name, made, fields);
            refs.push(indicator.clone());
            let body = self.body(&one.body);
            let backing: Vec<&String> = seen
                .iter()
                .filter(|(finding, _)| finding.body == one.body)
                .filter(|(finding, _)| {
                    Observable::all(&finding.json).iter().any(|it| it.value() == one.value)
                })
                .map(|(_, id)| id)
                .collect();
            let fields = json!({
                "sighting_of_ref": indicator, "where_sighted_refs": [body], "observed_data_refs": backing,
                "first_seen": millis(one.first), "last_seen": millis(one.last.max(one.first)),
                "count": backing.len().max(1),
            });
            let name = [view.id.as_str(), &one.kind, &one.value, &one.body];
            refs.extend([self.make("sighting", &name, made, fields), body]);
            refs.push(self.relate(made, &indicator, "related-to", incident));
            for technique in techniques {
                refs.push(self.relate(made, &indicator, "indicates", technique));
            }
        }
    }

    fn relate(&mut self, made: Made, from: &str, how: &str, to: &str) -> String {
        let fields = json!({ "source_ref": from, "relationship_type": how, "target_ref": to });
        self.make("relationship", &[from, how, to], made, fields)
    }

    /// What was done; what is open or was waived is nobody else's.
    fn action(&mut self, incident: &str, task: &Task, target: &str) -> Vec<String> {
        let TaskState::Done { signed, .. } = &task.state else { return Vec::new() };
        let made = Made(signed.at, signed.at);
        let fields = json!({ "name": clean::<256>(&task.ja), "description": clean::<1024>(&task.en) });
        let action = self.make("course-of-action", &[incident, &task.n.to_string()], made, fields);
        let relation = self.relate(made, &action, "related-to", target);
        vec![action, relation]
    }

    /// Who wrote it stays here; in which role, does not.
    fn note(&mut self, incident: &str, note: &NoteView, target: &str) -> String {
        let content = lines(&note.text);
        let content = if content.is_empty() { "-".to_owned() } else { content };
        let fields =
            json!({ "content": content, "authors": [clean::<64>(&note.role)], "object_refs": [target] });
        let at = note.at.nanos().to_string();
        self.make("note", &[incident, &at, &note.text], Made(note.at, note.at), fields)
    }
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(fields) => fields.is_empty(),
        Value::Bool(_) | Value::Number(_) => false,
    }
}

/// 0 to 1 as 0 to 100.
fn percent(confidence: Option<&Value>) -> Value {
    let percent = confidence.and_then(Value::as_f64).map(|share| (share.clamp(0.0, 1.0) * 100.0).round());
    percent.and_then(|percent| format!("{percent:.0}").parse::<u64>().ok()).map_or(Value::Null, Value::from)
}

fn labels(case: &Case) -> Value {
    let view = &case.view;
    let mut labels = vec![view.category.as_str().to_owned(), format!("level-{}", view.severity.level())];
    labels.push(format!("rsit:{}", elsewhere(view.category).rsit));
    if case.is_drill() {
        labels.push("drill".to_owned());
    }
    if view.replay {
        labels.push("replay".to_owned());
    }
    labels.into()
}

/// What others can look for; a host of somebody's inner network is nothing to look for elsewhere, and STIX has no word
/// for JA4.
fn pattern(kind: &str, value: &str) -> Option<String> {
    match kind {
        "address" => {
            let address = value.parse().ok().filter(|address| is_public(*address))?;
            let family = if address.is_ipv4() { "ipv4-addr" } else { "ipv6-addr" };
            Some(format!("[{family}:value = '{address}']"))
        }
        "domain" => {
            is_domain(value).then(|| format!("[domain-name:value = '{}']", value.to_ascii_lowercase()))
        }
        "file" | "file_sha256" | "sha256" => {
            let hash = Observable::sha256(value)?;
            Some(format!("[file:hashes.'SHA-256' = '{}']", hash.value()))
        }
        "certificate" | "cert_sha256" => {
            let hash = Observable::sha256(value)?;
            Some(format!("[x509-certificate:hashes.'SHA-256' = '{}']", hash.value()))
        }
        _ => None,
    }
}
