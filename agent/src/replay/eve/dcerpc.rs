//! EVE of dcerpc.

use sekimori_sensor::event::RpcCall;
use sekimori_sensor::event::dcerpc::{RpcInterface, RpcType};
use serde_json::{Map, Value, json};

use super::Entry;

pub(super) fn entries(call: &RpcCall) -> Vec<Entry> {
    let mut fields = common(call);
    fields.insert("rpc_version".to_owned(), format!("{}.{}", call.version.0, call.version.1).into());
    match call.activity {
        Some(activity) => {
            fields.insert("activityuuid".to_owned(), activity.to_string().into());
            fields.insert("seqnum".to_owned(), call.call.into());
        }
        None => {
            fields.insert("call_id".to_owned(), call.call.into());
        }
    }
    if let Some(Value::Object(sent)) = fields.get_mut("req") {
        sent.insert("opnum".to_owned(), call.operation.into());
    }
    vec![Entry::new("dcerpc", call.from_originator, Value::Object(fields))]
}

/// As it stands within a record of smb.
pub(super) fn within_smb(call: &RpcCall) -> Value {
    let mut fields = common(call);
    fields.insert("call_id".to_owned(), call.call.into());
    if call.request == Some(RpcType::Request) {
        fields.insert("opnum".to_owned(), call.operation.into());
    }
    Value::Object(fields)
}

/// What both have.
fn common(call: &RpcCall) -> Map<String, Value> {
    let mut fields = Map::new();
    let mut put = |key: &str, value: Value| fields.insert(key.to_owned(), value);
    put("request", call.request.map_or("REQUEST_LOST", RpcType::as_str).into());
    put("response", call.response.map_or("UNREPLIED", RpcType::as_str).into());
    if call.request == Some(RpcType::Request) {
        put("req", json!({"frag_cnt": call.sent.fragments, "stub_data_size": call.sent.bytes}));
    }
    if call.response == Some(RpcType::Response) {
        put("res", json!({"frag_cnt": call.received.fragments, "stub_data_size": call.received.bytes}));
    }
    if !call.interfaces.is_empty() {
        put("interfaces", call.interfaces.iter().map(interface).collect());
    }
    fields
}

fn interface(one: &RpcInterface) -> Value {
    let mut fields = json!({
        "uuid": one.uuid.to_string(),
        "version": format!("{}.{}", one.version.0, one.version.1),
    });
    if let (Some((result, reason)), Some(fields)) = (one.answer, fields.as_object_mut()) {
        fields.insert("ack_result".to_owned(), result.into());
        fields.insert("ack_reason".to_owned(), reason.into());
    }
    fields
}
