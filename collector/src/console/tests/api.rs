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
