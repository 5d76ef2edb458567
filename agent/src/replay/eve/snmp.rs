//! EVE of snmp.

use sekimori_sensor::event::SnmpMessage;
use sekimori_sensor::event::snmp::SnmpCommunity;
use serde_json::{Map, Value};

use super::Entry;

pub(super) fn entries(one: &SnmpMessage) -> Vec<Entry> {
    let mut fields = Map::new();
    let mut put = |key: &str, value: Value| fields.insert(key.to_owned(), value);
    put("version", one.version.into());
    match one.community {
        Some(SnmpCommunity::Public) => put("community", "public".into()),
        Some(SnmpCommunity::Private) => put("community", "private".into()),
        Some(SnmpCommunity::Other) | None => None,
    };
    if let Some(user) = &one.user {
        put("usm", (**user).into());
    }
    if let Some(pdu_type) = one.pdu_type {
        put("pdu_type", pdu_type.into());
    }
    if one.error_status != 0 {
        put("error", error(one.error_status).into());
    }
    if let Some(kind) = one.trap_type {
        put("trap_type", trap(kind).into());
    }
    if let Some(oid) = &one.trap_oid {
        put("trap_oid", (**oid).into());
    }
    if !one.oids.is_empty() {
        put("vars", one.oids.iter().map(|oid| &**oid).collect());
    }
    vec![Entry::new("snmp", one.from_originator, Value::Object(fields))]
}

/// Error status (RFC 3416, 3) in its standard's words.
fn error(status: u32) -> String {
    const NAMES: [&str; 19] = [
        "noError",
        "tooBig",
        "noSuchName",
        "badValue",
        "readOnly",
        "genErr",
        "noAccess",
        "wrongType",
        "wrongLength",
        "wrongEncoding",
        "wrongValue",
        "noCreation",
        "inconsistentValue",
        "resourceUnavailable",
        "commitFailed",
        "undoFailed",
        "authorizationError",
        "notWritable",
        "inconsistentName",
    ];
    named(&NAMES, status)
}

/// Generic trap (RFC 1157, 4.1.6).
fn trap(kind: u32) -> String {
    const NAMES: [&str; 7] = [
        "coldStart",
        "warmStart",
        "linkDown",
        "linkUp",
        "authenticationFailure",
        "egpNeighborLoss",
        "enterpriseSpecific",
    ];
    named(&NAMES, kind)
}

fn named(names: &[&str], number: u32) -> String {
    let known = usize::try_from(number).ok().and_then(|at| names.get(at));
    known.map_or_else(|| number.to_string(), |name| (*name).to_owned())
}
