//! EVE of ldap.

use sekimori_sensor::event::ldap::{
    LdapAttribute, LdapMechanism, LdapOperation, LdapRequest, LdapResponse, LdapResponseKind, LdapSearch,
    result_name,
};
use serde_json::{Map, Value, json};

use super::Entry;

pub(super) fn entries(operation: &LdapOperation) -> Vec<Entry> {
    let mut fields = Map::new();
    if let Some(one) = &operation.request {
        fields.insert("request".to_owned(), request(operation.message, one));
    }
    if !operation.responses.is_empty() {
        fields.insert("responses".to_owned(), operation.responses.iter().map(response).collect());
    }
    vec![Entry::new("ldap", operation.from_originator, Value::Object(fields))]
}

/// Operation and message number, and what belongs to it under the operation's name.
fn request(message: i64, one: &LdapRequest) -> Value {
    let (name, fields) = match one {
        LdapRequest::Bind { version, name, mechanism } => ("bind_request", bind(*version, name, mechanism)),
        LdapRequest::Unbind => ("unbind_request", Value::Null),
        LdapRequest::Search(one) => ("search_request", search(one)),
        LdapRequest::Modify { object, changes } => {
            let changes: Value = changes
                .iter()
                .map(|change| {
                    json!({
                        "operation": change_name(change.operation),
                        "modification": {
                            "attribute_type": change.attribute.name,
                            "attribute_values": change.attribute.values,
                        },
                    })
                })
                .collect();
            ("modify_request", json!({"object": object, "changes": changes}))
        }
        LdapRequest::Add { entry, attributes } => {
            let attributes: Value = attributes.iter().map(|one| attribute("name", one)).collect();
            ("add_request", json!({"entry": entry, "attributes": attributes}))
        }
        LdapRequest::Delete { entry } => ("del_request", json!({"dn": entry})),
        LdapRequest::ModifyDn { entry, new_rdn, delete_old_rdn, new_superior } => (
            "mod_dn_request",
            json!({
                "entry": entry,
                "new_rdn": new_rdn,
                "delete_old_rdn": delete_old_rdn,
                "new_superior": new_superior.as_deref().unwrap_or_default(),
            }),
        ),
        LdapRequest::Compare { entry, attribute, value } => (
            "compare_request",
            json!({"entry": entry, "attribute_value_assertion": {"description": attribute, "value": value}}),
        ),
        LdapRequest::Abandon { message } => ("abandon_request", json!({"message_id": message})),
        LdapRequest::Extended { name } => ("extended_request", json!({"name": name})),
    };
    let mut map = Map::new();
    map.insert("operation".to_owned(), name.into());
    map.insert("message_id".to_owned(), message.into());
    if !fields.is_null() {
        map.insert(name.to_owned(), fields);
    }
    Value::Object(map)
}

fn bind(version: i64, name: &str, mechanism: &LdapMechanism) -> Value {
    let mut fields = json!({"version": version, "name": name});
    if let (LdapMechanism::Sasl { name }, Some(map)) = (mechanism, fields.as_object_mut()) {
        map.insert("sasl".to_owned(), json!({"mechanism": name}));
    }
    fields
}

fn search(one: &LdapSearch) -> Value {
    json!({
        "base_object": one.base,
        "scope": one.scope,
        "deref_alias": one.deref,
        "size_limit": one.size_limit,
        "time_limit": one.time_limit,
        "types_only": one.types_only,
        "attributes": one.attributes,
    })
}

fn change_name(operation: i64) -> String {
    match operation {
        0 => "add".to_owned(),
        1 => "delete".to_owned(),
        2 => "replace".to_owned(),
        3 => "increment".to_owned(),
        other => other.to_string(),
    }
}

fn attribute(key: &str, one: &LdapAttribute) -> Value {
    let mut map = Map::new();
    map.insert(key.to_owned(), (*one.name).into());
    map.insert("values".to_owned(), one.values.iter().map(|value| &**value).collect());
    Value::Object(map)
}

fn response(one: &LdapResponse) -> Value {
    let name = match one.kind {
        LdapResponseKind::Bind => "bind_response",
        LdapResponseKind::SearchEntry => "search_result_entry",
        LdapResponseKind::SearchReference => "search_result_reference",
        LdapResponseKind::SearchDone => "search_result_done",
        LdapResponseKind::Modify => "modify_response",
        LdapResponseKind::Add => "add_response",
        LdapResponseKind::Delete => "del_response",
        LdapResponseKind::ModifyDn => "mod_dn_response",
        LdapResponseKind::Compare => "compare_response",
        LdapResponseKind::Extended => "extended_response",
        LdapResponseKind::Intermediate => "intermediate_response",
    };
    let mut fields = Map::new();
    if let Some(result) = &one.result {
        let code = result_name(result.code).map_or_else(|| result.code.to_string(), str::to_owned);
        fields.insert("result_code".to_owned(), code.into());
        fields.insert("matched_dn".to_owned(), (*result.matched).into());
        fields.insert("message".to_owned(), (*result.message).into());
    }
    match one.kind {
        LdapResponseKind::SearchEntry => {
            fields.insert("base_object".to_owned(), (*one.name).into());
            let attributes = one.attributes.iter().map(|one| attribute("type", one)).collect();
            fields.insert("attributes".to_owned(), attributes);
        }
        LdapResponseKind::SearchReference => {
            fields.insert("uris".to_owned(), json!([one.name]));
        }
        LdapResponseKind::Extended | LdapResponseKind::Intermediate => {
            if !one.name.is_empty() {
                fields.insert("name".to_owned(), (*one.name).into());
            }
        }
        LdapResponseKind::Bind
        | LdapResponseKind::SearchDone
        | LdapResponseKind::Modify
        | LdapResponseKind::Add
        | LdapResponseKind::Delete
        | LdapResponseKind::ModifyDn
        | LdapResponseKind::Compare => {}
    }
    json!({"operation": name, name: fields})
}
