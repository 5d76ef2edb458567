//! EVE of dht.

use core::fmt::Write as _;
use core::net::SocketAddr;

use sekimori_sensor::event::DhtMessage;
use sekimori_sensor::event::dht::{DhtBody, DhtValues};
use serde_json::{Map, Value, json};

use super::Entry;

pub(super) fn entries(one: &DhtMessage) -> Vec<Entry> {
    let mut fields = Map::new();
    let mut put = |key: &str, value: Value| fields.insert(key.to_owned(), value);
    put("transaction_id", hex(&one.transaction_id));
    if let Some(version) = &one.client_version {
        put("client_version", hex(version));
    }
    match &one.body {
        DhtBody::Request { name, arguments } => {
            put("request_type", (**name).into());
            put("request", values(arguments));
        }
        DhtBody::Response(response) => {
            put("response", values(response));
        }
        DhtBody::Error { number, message } => {
            put("error", json!({"num": number, "msg": **message}));
        }
        DhtBody::Unknown => {}
    }
    vec![Entry::new("bittorrent_dht", one.from_originator, Value::Object(fields))]
}

fn values(values: &DhtValues) -> Value {
    let mut fields = Map::new();
    let mut put = |key: &str, value: Value| fields.insert(key.to_owned(), value);
    put("id", hex(&values.id));
    let parts = [("target", &values.target), ("info_hash", &values.info_hash), ("token", &values.token)];
    for (key, bytes) in parts {
        if let Some(bytes) = bytes {
            put(key, hex(bytes));
        }
    }
    if let Some(implied) = values.implied_port {
        put("implied_port", implied.into());
    }
    if let Some(port) = values.port {
        put("port", port.into());
    }
    if !values.nodes.is_empty() {
        let node =
            |id: &[u8], at: SocketAddr| json!({"id": hex(id), "ip": at.ip().to_string(), "port": at.port()});
        put("nodes", values.nodes.iter().map(|one| node(&one.id, one.address)).collect());
    }
    if !values.values.is_empty() {
        let peer = |at: &SocketAddr| json!({"ip": at.ip().to_string(), "port": at.port()});
        put("values", values.values.iter().map(peer).collect());
    }
    Value::Object(fields)
}

fn hex(bytes: &[u8]) -> Value {
    let mut text = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        let _always_ok = write!(text, "{byte:02x}");
    }
    text.into()
}
