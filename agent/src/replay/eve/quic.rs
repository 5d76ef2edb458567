//! EVE of quic.

use sekimori_sensor::event::QuicHello;
use sekimori_sensor::event::quic::Extension;
use serde_json::{Map, Value};

use super::Entry;
use super::tls::fingerprint;

pub(super) fn entries(one: &QuicHello) -> Vec<Entry> {
    let mut fields = Map::new();
    let mut put = |key: &str, value: Value| fields.insert(key.to_owned(), value);
    put("version", version(one.version).into());
    if let Some(name) = &one.server_name {
        put("sni", (**name).into());
    }
    if let Some(agent) = &one.user_agent {
        put("ua", (**agent).into());
    }
    if let Some(ja3) = &one.ja3 {
        put(if one.is_client { "ja3" } else { "ja3s" }, fingerprint(ja3));
    }
    if !one.ja4.is_empty() {
        put("ja4", (*one.ja4).into());
    }
    if !one.extensions.is_empty() {
        put("extensions", one.extensions.iter().map(extension).collect());
    }
    vec![Entry::new("quic", one.from_originator, Value::Object(fields))]
}

fn extension(one: &Extension) -> Value {
    let mut fields = Map::new();
    if let Some(name) = name(one.kind) {
        fields.insert("name".to_owned(), name.into());
    }
    fields.insert("type".to_owned(), one.kind.into());
    if !one.values.is_empty() {
        fields.insert("values".to_owned(), one.values.iter().map(|value| &**value).collect());
    }
    Value::Object(fields)
}

fn version(version: u32) -> String {
    match version {
        1 => "1".to_owned(),
        0x6b33_43cf => "2".to_owned(),
        draft if draft >> 8 == 0x00ff_0000 => format!("draft-{}", draft & 0xff),
        other => match other.to_be_bytes() {
            letters if letters.iter().all(u8::is_ascii_alphanumeric) => {
                letters.iter().map(|letter| char::from(*letter)).collect()
            }
            _ => format!("{other:#010x}"),
        },
    }
}

/// Suricata's name of an extension.
const fn name(kind: u16) -> Option<&'static str> {
    Some(match kind {
        0 => "server_name",
        1 => "max_fragment_length",
        5 => "status_request",
        10 => "supported_groups",
        11 => "ec_point_formats",
        13 => "signature_algorithms",
        15 => "heartbeat",
        16 => "alpn",
        18 => "signed_certificate_timestamp",
        21 => "padding",
        22 => "encrypt_then_mac",
        23 => "extended_master_secret",
        28 => "record_size_limit",
        35 => "session_ticket",
        41 => "pre_shared_key",
        42 => "early_data",
        43 => "supported_versions",
        44 => "cookie",
        45 => "psk_key_exchange_modes",
        48 => "oid_filters",
        49 => "post_handshake_auth",
        50 => "signature_algorithms_cert",
        51 => "key_share",
        57 => "quic_transport_parameters",
        65281 => "renegotiation_info",
        grease if grease & 0x0f0f == 0x0a0a && grease >> 8 == grease & 0xff => "grease",
        _ => return None,
    })
}
