//! The OpenAPI 3.1 document, put together from what stands at the handlers.
//!
//! A handler has `#[utoipa::path(…)]` with its path, its own parameters, its body and its good answers; a line in one of
//! the `#[openapi(paths(…))]` of [`PARTS`] puts it in. What all have in common is added here and not said again: how one
//! shows who one is, the problems that can come instead of an answer, `If-None-Match` of reads, `Idempotency-Key` of
//! changes. A test compares the document with the router, line by line.

use axum::Json;
use serde_json::{Map, Value, json};
use utoipa::OpenApi;
use utoipa::openapi::schema::{ObjectBuilder, Schema, Type};
use utoipa::openapi::{OpenApi as Document, RefOr};

use super::schema;
use crate::incident::action::Action;

/// What each module brings: add a line here for a type with `#[derive(OpenApi)]`.
const PARTS: &[fn() -> Document] = &[
    Base::openapi,
    super::duty::Duties::openapi,
    super::export::Part::openapi,
    super::search::Search::openapi,
    super::granted::Part::openapi,
    super::handover::Part::openapi,
    super::monthly::Part::openapi,
    super::notices::Part::openapi,
    super::own::Part::openapi,
    super::suppression::Part::openapi,
];

/// What is in `api` itself.
#[derive(OpenApi)]
#[openapi(
    paths(
        super::list::incidents,
        super::incident,
        super::work::open,
        super::work::acknowledge,
        super::work::action,
        super::list::agents,
        super::counters,
        super::exceptions,
        super::policies,
        super::health,
        super::events::events,
        super::detail::findings,
        super::detail::history,
        super::detail::tasks,
        super::detail::agent,
        super::detail::me,
        show
    ),
    components(schemas(schema::Problem, Action))
)]
struct Base;

/// Problems and when they come, by status.
const PROBLEMS: &[(&str, &str)] = &[
    ("400", "The path, the query, a header or the body was not understood"),
    ("401", "No token, name and password, or session; or it is not good"),
    ("403", "Not with this role, this token, or without the session's token"),
    ("404", "There is no such thing, or it is another body's"),
    ("409", "It changed meanwhile, is not in this state, or a request with this key is running"),
    ("412", "`If-Match` names another version than it has now"),
    ("413", "The body is too large"),
    ("415", "The body is not `application/json`"),
    ("422", "Something is missing or not valid, or this `Idempotency-Key` came with another request"),
    ("428", "A version is needed: `If-Match`, or `version` in the body"),
    ("429", "Too many failed logins, or too many keys; see `Retry-After`"),
    ("500", "The collector failed; its log says why"),
    ("503", "Too many listeners, or a search that takes too long"),
];

/// A closed set of words as a schema.
pub fn words_schema(doc: &str, words: impl Iterator<Item = &'static str>) -> RefOr<Schema> {
    let object = ObjectBuilder::new().schema_type(Type::String).description(Some(doc));
    RefOr::T(Schema::Object(object.enum_values(Some(words)).build()))
}

/// The document.
pub fn document() -> Value {
    let mut all = Document::default();
    for part in PARTS {
        all.merge(part());
    }
    let mut all = serde_json::to_value(all).unwrap_or_default();
    set(&mut all, "info", info());
    set(&mut all, "servers", json!([{ "url": "/", "description": "This collector" }]));
    if let Some(components) = all.get_mut("components") {
        set(components, "securitySchemes", security());
        set(components, "responses", problems());
        if let Some(action) = components.pointer_mut("/schemas/Action/oneOf") {
            action.as_array_mut().into_iter().flatten().for_each(with_version);
        }
    }
    let paths = all.get_mut("paths").and_then(Value::as_object_mut);
    for (path, item) in paths.into_iter().flatten() {
        for (method, operation) in item.as_object_mut().into_iter().flatten() {
            complete(path, method, operation);
        }
    }
    all
}

fn set(within: &mut Value, key: &str, value: Value) {
    if let Some(fields) = within.as_object_mut() {
        fields.insert(key.to_owned(), value);
    }
}

fn info() -> Value {
    json!({
        "title": "Sekimori collector",
        "version": env!("CARGO_PKG_VERSION"),
        "description": "Incidents, agents, exceptions and policies for programs. Times are RFC 3339 in UTC. \
            Errors are problems (RFC 9457). Every answer shows only what the caller's scope holds.",
        "license": { "name": env!("CARGO_PKG_LICENSE"), "identifier": env!("CARGO_PKG_LICENSE") },
    })
}

fn security() -> Value {
    json!({
        "token": { "type": "http", "scheme": "bearer", "description": "`sekimori-collector token add`" },
        "password": {
            "type": "http", "scheme": "basic",
            "description": "Name and password, for accounts without a second factor",
        },
        "session": {
            "type": "apiKey", "in": "cookie", "name": crate::auth::session::COOKIE,
            "description": "The console's session; a change also carries the session's token in `sekimori-csrf`",
        },
    })
}

fn problems() -> Value {
    let problem = |description: &str| {
        let schema = json!({ "$ref": "#/components/schemas/Problem" });
        json!({ "description": description, "content": { "application/problem+json": { "schema": schema } } })
    };
    PROBLEMS
        .iter()
        .map(|(status, why)| (format!("Problem{status}"), problem(why)))
        .collect::<Map<_, _>>()
        .into()
}

/// The version stands beside the action in one object.
fn with_version(variant: &mut Value) {
    let version = json!({
        "type": "integer", "format": "int64",
        "description": "The version of the incident that the caller saw; not needed with `If-Match`",
    });
    if let Some(properties) = variant.get_mut("properties") {
        set(properties, "version", version);
    }
}

/// What all operations have in common.
fn complete(path: &str, method: &str, operation: &mut Value) {
    let open = operation.get("security").is_some();
    if !open {
        set(operation, "security", json!([{ "token": [] }, { "password": [] }, { "session": [] }]));
    }
    let reads = method == "get";
    let parameters = operation.get("parameters").and_then(Value::as_array).cloned();
    let mut parameters = parameters.unwrap_or_default();
    let streams = operation.pointer("/responses/200/content/text~1event-stream").is_some();
    let asked = !parameters.is_empty() || operation.get("requestBody").is_some();
    if reads && !streams {
        // Any text: what is no tag of ours matches nothing.
        parameters.push(json!({
            "name": "If-None-Match", "in": "header", "required": false, "schema": { "type": "string" },
            "description": "The `ETag` of what the caller has: 304 if it is that still",
        }));
    } else if !reads {
        parameters.push(json!({
            "name": "Idempotency-Key", "in": "header", "required": false,
            "schema": { "type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[\\x21-\\x7e]+$" },
            "description": "Chosen by the caller: the same request with the same key is done once, and gets the same \
                answer, for 24 hours",
        }));
        if path.starts_with("/api/v1/incidents/{id}/") {
            parameters.push(json!({
                "name": "If-Match", "in": "header", "required": false, "schema": { "type": "string" },
                "description": "The `ETag` of the incident that the caller saw, or its version in quotes: 412 if it \
                    changed meanwhile",
            }));
        }
    }
    set(operation, "parameters", parameters.into());
    let Some(responses) = operation.get_mut("responses").and_then(Value::as_object_mut) else { return };
    if reads && !streams {
        responses.insert("304".to_owned(), json!({ "description": "It is what the caller has" }));
    }
    for (status, _) in PROBLEMS {
        let comes = match *status {
            "400" => true,
            "401" | "403" | "429" => !open,
            "404" => path.contains('{') || responses.contains_key("404"),
            "500" => true,
            "503" => streams || path.starts_with("/api/v1/search/"),
            "412" | "428" => !reads && path.contains('{'),
            _ => !reads && asked,
        };
        if comes {
            responses.insert(
                (*status).to_owned(),
                json!({ "$ref": format!("#/components/responses/Problem{status}") }),
            );
        }
    }
}

/// The document itself.
#[utoipa::path(
    get, path = "/api/v1/openapi.json", tag = "about", security(()),
    responses((status = 200, description = "This document", body = Object))
)]
pub(super) async fn show() -> Json<Value> {
    Json(document())
}
