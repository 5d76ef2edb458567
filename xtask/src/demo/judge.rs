//! Whether the demo opened what its captures must lead to.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::pcaps::scenario::BODIES;

/// Incident categories that must be there.
const CATEGORIES: [&str; 6] =
    ["scan", "brute_force", "dos", "dns_tunnel", "segment_violation", "malware_infection"];

/// What is missing from `status --json`; empty if it is as expected.
pub(crate) fn problems(status: &Value) -> Vec<String> {
    let none = Vec::new();
    let incidents = status["incidents"].as_array().unwrap_or(&none);
    let mut out = Vec::new();
    let all =
        |key: &str| -> BTreeSet<&str> { incidents.iter().filter_map(|one| one[key].as_str()).collect() };
    let (categories, bodies) = (all("category"), all("body"));
    let lacking = CATEGORIES.iter().filter(|category| !categories.contains(*category));
    out.extend(lacking.map(|category| format!("no incident of category {category}")));
    let lacking = BODIES.iter().filter(|body| !bodies.contains(body.code));
    out.extend(lacking.map(|body| format!("no incident of {} ({})", body.name, body.code)));
    let from_endpoint =
        |one: &Value| one["sources"].as_array().is_some_and(|all| all.contains(&"endpoint_alert".into()));
    if !incidents.iter().any(from_endpoint) {
        out.push("no incident from an endpoint alert".to_owned());
    }
    if !incidents.iter().any(|one| one["children"].as_u64().unwrap_or_default() >= 3) {
        out.push("no parent incident across three bodies".to_owned());
    }
    let unverified = incidents.iter().filter(|one| one["verified"] != Value::Bool(true)).count();
    if unverified > 0 {
        out.push(format!("{unverified} incidents are not verified"));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn good() -> Value {
        let mut incidents: Vec<Value> = CATEGORIES
            .iter()
            .zip(BODIES.iter().cycle())
            .map(|(category, body)| json!({"category": category, "body": body.code, "children": 0, "sources": ["finding"], "verified": true}))
            .collect();
        incidents.push(json!({"category": "scan", "body": null, "children": 3, "sources": ["finding", "endpoint_alert"], "verified": true}));
        json!({ "incidents": incidents })
    }

    #[test]
    fn all_that_is_expected() {
        assert!(problems(&good()).is_empty());
    }

    #[test]
    fn each_missing_thing_is_named() {
        let check = |spoil: &dyn Fn(&mut Vec<Value>), part: &str| {
            let mut status = good();
            spoil(status["incidents"].as_array_mut().unwrap());
            let found = problems(&status);
            assert!(found.iter().any(|problem| problem.contains(part)), "{part}: {found:?}");
        };
        check(&|all| all.retain(|one| one["category"] != "dos"), "category dos");
        check(&|all| all.retain(|one| one["body"] != "422045"), "諫早市");
        check(&|all| drop(all.pop()), "endpoint alert");
        check(&|all| all[6]["children"] = 2.into(), "parent");
        check(&|all| all[0]["verified"] = false.into(), "1 incidents are not verified");
        assert!(problems(&Value::Null).len() > 6);
    }
}
