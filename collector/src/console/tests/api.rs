//! The API against its own document, and what all its routes have in common.

use super::scope::routes_of_sources;
use super::*;
use crate::api::document;

/// Where the document is kept for readers and for whoever makes clients from it.
const KEPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/openapi.json");

fn operations(document: &Value) -> Vec<(String, String)> {
    let paths = document["paths"].as_object().unwrap();
    let methods = |(path, item): (&String, &Value)| {
        let path = path.clone();
        let names: Vec<String> = item.as_object().unwrap().keys().map(|name| name.to_uppercase()).collect();
        names.into_iter().map(move |name| (name, path.clone()))
    };
    paths.iter().flat_map(methods).collect()
}

fn references(value: &Value, out: &mut BTreeSet<String>) {
    match value {
        Value::Object(fields) => {
            out.extend(fields.get("$ref").and_then(Value::as_str).map(str::to_owned));
            fields.values().for_each(|value| references(value, out));
        }
        Value::Array(items) => items.iter().for_each(|value| references(value, out)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

#[test]
fn every_route_is_in_the_document_and_the_other_way_round() {
    let mut routes = routes_of_sources();
    routes.retain(|(_, path)| path.starts_with("/api/v1/"));
    let mut told = operations(&document());
    routes.sort();
    told.sort();
    assert_eq!(told, routes, "`#[utoipa::path]` at the handler, and its line in api/document.rs");
}

#[test]
fn the_document_is_whole() {
    let document = document();
    assert_eq!(document["openapi"], "3.1.0");
    let mut wanted = BTreeSet::new();
    references(&document, &mut wanted);
    for one in &wanted {
        assert!(document.pointer(one.trim_start_matches('#')).is_some(), "{one} leads nowhere");
    }
    for (method, path) in operations(&document) {
        let it = &document["paths"][&path][method.to_lowercase()];
        assert!(
            it["summary"].as_str().is_some_and(|text| !text.is_empty()),
            "{method} {path}: say what it does"
        );
        assert_eq!(it["tags"].as_array().map(Vec::len), Some(1), "{method} {path}");
        assert!(it["responses"]["500"].is_object() && it["security"].is_array(), "{method} {path}");
        let good = ["200", "201"].iter().find_map(|status| it["responses"].get(status)).unwrap();
        assert!(good["content"].is_object(), "{method} {path}: what does it answer?");
        for word in path.split('/').filter_map(|part| part.strip_prefix('{')) {
            let name = word.trim_end_matches('}');
            let parameters = it["parameters"].as_array().unwrap();
            assert!(
                parameters.iter().any(|one| one["in"] == "path" && one["name"] == name),
                "{method} {path}"
            );
        }
    }
    let ids =
        document["paths"].as_object().unwrap().values().flat_map(|item| item.as_object().unwrap().values());
    let ids: Vec<&str> = ids.map(|one| one["operationId"].as_str().unwrap()).collect();
    assert_eq!(ids.iter().collect::<BTreeSet<_>>().len(), ids.len(), "one name for one operation: {ids:?}");
    let states = &document["components"]["schemas"]["IncidentState"]["enum"];
    assert_eq!(states.as_array().map(Vec::len), Some(12));
    let actions = document["components"]["schemas"]["Action"]["oneOf"].as_array().unwrap();
    assert!(actions.len() > 30 && actions.iter().all(|one| one["properties"]["version"].is_object()));
}

#[test]
fn the_kept_document_is_this_one() {
    let kept = std::fs::read_to_string(KEPT).unwrap();
    assert!(
        kept == format!("{:#}\n", document()),
        "docs/openapi.json is old: `cargo run -p sekimori-collector -- openapi > docs/openapi.json`"
    );
}

/// Somebody who asks by the API.
struct Program<'a> {
    bench: &'a Bench,
    cookie: String,
    csrf: String,
}

impl<'a> Program<'a> {
    async fn of(bench: &'a Bench, name: &str) -> Self {
        let (cookie, csrf) = bench.session(name).await;
        Self { bench, cookie, csrf }
    }

    async fn ask(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Answer {
        let mut request = Request::builder().method(method).uri(format!("/api/v1{path}"));
        request = request.header("cookie", &self.cookie).header("sekimori-csrf", &self.csrf);
        if !headers.iter().any(|(name, _)| *name == "content-type") {
            request = request.header("content-type", "application/json");
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        self.bench.send(request.body(Body::from(body.to_owned())).unwrap()).await
    }

    async fn get(&self, path: &str) -> Answer {
        self.ask("GET", path, &[], "").await
    }
}

/// Checks an answer against what the document says about it.
fn conforms(document: &Value, schema: &Value, value: &Value, place: &str) {
    let schema = match schema["$ref"].as_str() {
        Some(name) => document.pointer(name.trim_start_matches('#')).unwrap(),
        None => schema,
    };
    for part in schema["allOf"].as_array().into_iter().flatten() {
        conforms(document, part, value, place);
    }
    for name in schema["required"].as_array().into_iter().flatten() {
        assert!(value.get(name.as_str().unwrap()).is_some(), "{place}: no {name}");
    }
    for (name, inner) in schema["properties"].as_object().into_iter().flatten() {
        if let Some(value) = value.get(name) {
            conforms(document, inner, value, &format!("{place}.{name}"));
        }
    }
    for (idx, item) in value.as_array().into_iter().flatten().enumerate() {
        conforms(document, &schema["items"], item, &format!("{place}[{idx}]"));
    }
    let is = match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(_) => "integer",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    };
    let types = match &schema["type"] {
        Value::String(one) => vec![one.as_str()],
        Value::Array(all) => all.iter().filter_map(Value::as_str).collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_) => return,
    };
    assert!(types.contains(&is), "{place}: {is}, not {types:?}");
}

/// The names that a schema knows, with those of its parts.
fn known(document: &Value, schema: &Value) -> BTreeSet<String> {
    let schema = match schema["$ref"].as_str() {
        Some(name) => document.pointer(name.trim_start_matches('#')).unwrap(),
        None => schema,
    };
    let own = schema["properties"].as_object().into_iter().flatten().map(|(name, _)| name.clone());
    let parts = schema["allOf"].as_array().into_iter().flatten().flat_map(|part| known(document, part));
    own.chain(parts).collect()
}

#[tokio::test]
async fn answers_are_what_the_document_says() {
    let (bench, id) = Bench::filled().await;
    let document = document();
    let program = Program::of(&bench, "control").await;
    let version = bench.store.incident(&id).await.unwrap().unwrap().version;
    let tag = format!("\"{version}\"");
    let actions = format!("/incidents/{id}/actions");
    let acknowledged =
        program.ask("POST", &actions, &[("if-match", &tag)], r#"{"action":"acknowledge"}"#).await;
    let triage = r#"{"action":"triage","triage":{"category":"scan","impact":"i1","urgency":"u2","hurts":[],
        "leak_class":"none","owner":"control"}}"#;
    let version = acknowledged.json()["version"].as_i64().unwrap();
    let triaged = program.ask("POST", &actions, &[("if-match", &format!("\"{version}\""))], triage).await;
    assert_eq!(triaged.status, StatusCode::OK, "{}", triaged.text);
    let intake = r#"{"category":"device_lost","body":"422011","title":"PC","text":"lost","reporter":{"kind":"anonymous"}}"#;
    let opened = program.ask("POST", "/incidents", &[], intake).await;
    let mut answers = vec![
        ("/api/v1/incidents/{id}/actions", "post", "200", triaged),
        ("/api/v1/incidents/{id}/acknowledge", "post", "200", acknowledged),
        ("/api/v1/incidents", "post", "201", opened),
    ];
    for (method, path) in operations(&document) {
        // Others give files, measures and events; what two persons must agree to first is in the tests of that.
        let content = &document["paths"][&path]["get"]["responses"]["200"]["content"];
        if method == "GET"
            && content["application/json"].is_object()
            && !path.contains("{n}")
            && !path.contains("{digest}")
        {
            let agent = bench.from.agent.to_string();
            let at = path.replace("{id}", if path.contains("agents") { &agent } else { &id });
            let answer = program.get(at.strip_prefix("/api/v1").unwrap()).await;
            let path: &str = Box::leak(path.into_boxed_str());
            answers.push((path, "get", "200", answer));
        }
    }
    for (path, method, status, answer) in &answers {
        assert_eq!(answer.status.as_str(), *status, "{path}: {}", answer.text);
        let operation = &document["paths"][path][method];
        let schema = &operation["responses"][status]["content"]["application/json"]["schema"];
        assert!(schema.is_object(), "{path}");
        conforms(&document, schema, &answer.json(), path);
        let known = known(&document, schema);
        for name in answer.json().as_object().unwrap().keys().filter(|_| !known.is_empty()) {
            assert!(known.contains(name), "{path} answers {name}, of which the document says nothing");
        }
    }
    let problem = program.get("/nothing").await;
    conforms(&document, &document["components"]["schemas"]["Problem"], &problem.json(), "a problem");
}

#[tokio::test]
async fn every_refusal_is_a_problem() {
    let (bench, id) = Bench::filled().await;
    let program = Program::of(&bench, "control").await;
    let long = format!("{{\"title\": \"{}\"}}", "x".repeat(40_000));
    let nul = "{\"category\":\"device_lost\",\"body\":\"422011\",\"title\":\"a\\u0000b\",\"text\":\"x\",\"reporter\":{\"kind\":\"anonymous\"}}";
    let actions = format!("/incidents/{id}/actions");
    for (method, path, headers, body, status, kind) in [
        ("GET", "/nothing", &[][..], "", 404, "not-found"),
        ("GET", "/incidents/%00", &[], "", 400, "bad-request"),
        ("GET", "/incidents/%FF", &[], "", 400, "bad-request"),
        ("GET", "/incidents?q=%00", &[], "", 400, "bad-request"),
        ("GET", "/incidents?limit=0", &[], "", 400, "bad-request"),
        ("GET", "/incidents?limit=99999999999999999999", &[], "", 400, "bad-request"),
        ("GET", "/incidents?severity=9", &[], "", 400, "bad-request"),
        ("GET", "/incidents?category=red", &[], "", 400, "bad-request"),
        ("GET", "/incidents?colour=red", &[], "", 400, "bad-request"),
        ("GET", "/incidents?cursor=x", &[], "", 400, "bad-request"),
        ("GET", "/agents?limit=5001", &[], "", 400, "bad-request"),
        ("DELETE", "/incidents", &[], "", 405, "method"),
        ("POST", "/agents", &[], "{}", 405, "method"),
        ("POST", "/incidents", &[], "{", 400, "bad-request"),
        ("POST", "/incidents", &[], nul, 400, "bad-request"),
        ("POST", "/incidents", &[], &long, 413, "too-large"),
        ("POST", "/incidents", &[("content-type", "text/plain")], "{}", 415, "media-type"),
        ("POST", &actions, &[], r#"{"action":"acknowledge"}"#, 428, "version-needed"),
        ("POST", &actions, &[("if-match", "*")], r#"{"action":"acknowledge"}"#, 428, "version-needed"),
        ("POST", &actions, &[("if-match", "\"99\"")], r#"{"action":"acknowledge"}"#, 412, "version"),
        ("POST", &actions, &[("if-match", "W/\"1\"")], r#"{"action":"acknowledge"}"#, 412, "version"),
        ("POST", &actions, &[], r#"{"version":1e300,"action":"acknowledge"}"#, 400, "bad-request"),
        ("POST", &actions, &[], r#"{"version":99,"action":"acknowledge"}"#, 409, "version"),
        ("POST", &actions, &[("idempotency-key", "")], "{}", 400, "bad-request"),
    ] {
        let answer = program.ask(method, path, headers, body).await;
        let place = format!("{method} {path} {headers:?}: {}", answer.text);
        assert_eq!(answer.status.as_u16(), status, "{place}");
        assert_eq!(answer.header("content-type"), "application/problem+json", "{place}");
        assert_eq!(answer.json()["type"], format!("urn:sekimori:problem:{kind}"), "{place}");
        assert_eq!(answer.header("allow").is_empty(), status != 405, "{place}");
    }
}

#[tokio::test]
async fn what_is_read_has_a_tag_and_a_change_can_name_it() {
    let (bench, id) = Bench::filled().await;
    let program = Program::of(&bench, "control").await;
    let path = format!("/incidents/{id}");
    let first = program.get(&path).await;
    let tag = first.header("etag").to_owned();
    for (named, status) in
        [(tag.as_str(), 304), (&format!("\"x\", W/{tag}"), 304), ("*", 304), ("\"x\"", 200)]
    {
        let again = program.ask("GET", &path, &[("if-none-match", named)], "").await;
        assert_eq!(again.status.as_u16(), status, "{named}");
        assert_eq!((again.header("etag"), again.text.is_empty()), (tag.as_str(), status == 304));
    }
    let action = r#"{"action":"acknowledge"}"#;
    let actions = format!("{path}/actions");
    let done = program.ask("POST", &actions, &[("if-match", &tag)], action).await;
    assert_eq!((done.status, &done.json()["state"]), (StatusCode::OK, &"received".into()), "{}", done.text);
    let late = program.ask("POST", &actions, &[("if-match", &tag)], r#"{"action":"start"}"#).await;
    assert_eq!(late.status, StatusCode::PRECONDITION_FAILED);
    assert_eq!(late.json()["version"], done.json()["version"]);
    let changed = program.ask("GET", &path, &[("if-none-match", &tag)], "").await;
    assert!(changed.status == StatusCode::OK && changed.header("etag") != tag);
}

#[tokio::test]
async fn the_same_request_under_one_key_is_done_once() {
    let (bench, id) = Bench::filled().await;
    let program = Program::of(&bench, "control").await;
    let intake = |title: &str| {
        format!(
            r#"{{"category":"device_lost","body":"422011","title":"{title}","text":"x","reporter":{{"kind":"anonymous"}}}}"#
        )
    };
    let key = &[("idempotency-key", "3f0c")];
    let (one, other) = (intake("PC"), intake("USB"));
    let first = program.ask("POST", "/incidents", key, &one).await;
    assert_eq!((first.status, first.header("idempotency-replayed")), (StatusCode::CREATED, ""));
    let again = program.ask("POST", "/incidents", key, &one).await;
    assert_eq!((again.status, again.header("idempotency-replayed")), (StatusCode::CREATED, "true"));
    assert_eq!((&again.text, again.header("location")), (&first.text, first.header("location")));
    let reused = program.ask("POST", "/incidents", key, &other).await;
    assert_eq!(reused.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert_eq!(reused.json()["type"], "urn:sekimori:problem:key-reused");
    let lost = program.get("/incidents?category=device_lost").await;
    assert_eq!(lost.json()["total"], 1);
    // Another account has keys of its own.
    let monitor = Program::of(&bench, "monitor").await;
    assert_eq!(monitor.ask("POST", "/incidents", key, &other).await.status, StatusCode::CREATED);
    // What was refused was not done: the key is free.
    let key = &[("idempotency-key", "4a")];
    let actions = format!("/incidents/{id}/actions");
    let refused = program.ask("POST", &actions, key, r#"{"version":99,"action":"acknowledge"}"#).await;
    assert_eq!(refused.status, StatusCode::CONFLICT);
    let version = bench.store.incident(&id).await.unwrap().unwrap().version;
    let good = format!(r#"{{"version":{version},"action":"acknowledge"}}"#);
    for replayed in ["", "true"] {
        let done = program.ask("POST", &actions, key, &good).await;
        assert_eq!((done.status, done.header("idempotency-replayed")), (StatusCode::OK, replayed));
    }
}

#[tokio::test]
async fn lists_go_on_where_they_were_whatever_opens_meanwhile() {
    let mut bench = Bench::new().await;
    for n in 1..=7 {
        let one = Finding { originator: format!("10.0.0.{n}").parse().ok(), ..finding(n) };
        bench.deliver(vec![Record::Finding(Box::new(one))]).await;
    }
    for order in ["newest", "worst"] {
        let program = Program::of(&bench, "control").await;
        let (mut seen, mut path) = (Vec::new(), format!("/incidents?order={order}&limit=3"));
        let cursor = loop {
            let page = program.get(&path).await.json();
            let rows = page["incidents"].as_array().unwrap();
            seen.extend(rows.iter().map(|row| row["id"].as_str().unwrap().to_owned()));
            let Some(next) = page["next"].as_str() else { break path };
            path = format!("/incidents?order={order}&limit=3&cursor={next}");
        };
        assert_eq!(seen.len(), if order == "newest" { 7 } else { 8 });
        assert_eq!(seen.iter().collect::<BTreeSet<_>>().len(), seen.len(), "{seen:?}");
        let other = program.get(&cursor.replace(&format!("order={order}"), "scope=all")).await;
        assert_eq!(other.status, StatusCode::BAD_REQUEST);
        // What opens between two pages does not move the rows of the second.
        let first = program.get(&format!("/incidents?order={order}&limit=3")).await.json();
        let path = format!("/incidents?order={order}&limit=3&cursor={}", first["next"].as_str().unwrap());
        let before = program.get(&path).await.json()["incidents"].clone();
        drop(program);
        let new = Finding { originator: format!("10.0.1.{}", seen.len()).parse().ok(), ..finding(99) };
        let new = Finding { id: FindingId::of(&[order.as_bytes()]), ..new };
        bench.deliver(vec![Record::Finding(Box::new(new))]).await;
        let program = Program::of(&bench, "control").await;
        assert_eq!(program.get(&path).await.json()["incidents"], before, "{order}");
    }
    let program = Program::of(&bench, "control").await;
    let id = program.get("/incidents").await.json()["incidents"][0]["id"].as_str().unwrap().to_owned();
    let history = program.get(&format!("/incidents/{id}/history?limit=1")).await.json();
    assert_eq!(history["changes"].as_array().map(Vec::len), Some(1));
    let whole = program.get(&format!("/incidents/{id}/history")).await.json();
    assert!(whole["next"].is_null());
    let findings = program.get(&format!("/incidents/{id}/findings?limit=1")).await.json();
    let next = findings["next"].as_str().unwrap();
    let rest = program.get(&format!("/incidents/{id}/findings?limit=1&cursor={next}")).await.json();
    assert_eq!(
        (findings["findings"].as_array().map(Vec::len), rest["findings"].as_array().map(Vec::len)),
        (Some(1), Some(0))
    );
}

/// What a stream says next.
async fn said(stream: &mut Body) -> String {
    let frame = tokio::time::timeout(Duration::from_secs(10), stream.frame()).await.unwrap();
    String::from_utf8(frame.unwrap().unwrap().into_data().unwrap().to_vec()).unwrap()
}

#[tokio::test]
async fn programs_hear_of_incidents_and_go_on_where_they_were() {
    let (mut bench, _) = Bench::filled().await;
    let (cookie, _) = bench.session("control").await;
    let listen = async |bench: &Bench, last: Option<&str>| {
        let mut request = Request::get("/api/v1/events").header("cookie", &cookie);
        if let Some(last) = last {
            request = request.header("last-event-id", last);
        }
        let answer = bench.router.clone().oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
        assert_eq!(answer.status(), StatusCode::OK);
        assert_eq!(answer.headers()["content-type"], "text/event-stream");
        answer.into_body()
    };
    let id = |event: &str| event.split("id: ").nth(1).unwrap().lines().next().unwrap().to_owned();
    let mut stream = listen(&bench, None).await;
    let ready = said(&mut stream).await;
    assert!(ready.contains("event: ready"), "{ready}");
    let new = Finding { originator: "10.9.9.9".parse().ok(), ..finding(9) };
    bench.deliver(vec![Record::Finding(Box::new(new))]).await;
    let created = said(&mut stream).await;
    assert!(
        created.contains("event: incident.created") && created.contains("\"kind\":\"opened\""),
        "{created}"
    );
    drop(stream);
    // Whoever comes back hears what they missed, and not what they heard.
    let mut stream = listen(&bench, Some(&id(&ready))).await;
    assert!(said(&mut stream).await.contains("event: ready"));
    assert_eq!(said(&mut stream).await, created);
    for unknown in ["", "nonsense", "00000000-1", &format!("{}9999", id(&ready))] {
        let mut stream = listen(&bench, Some(unknown)).await;
        let first = said(&mut stream).await;
        assert!(first.contains("event: reset"), "{unknown}: {first}");
    }
}
