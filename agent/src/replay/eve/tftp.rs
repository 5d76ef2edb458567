//! EVE of tftp.

use sekimori_sensor::event::TftpRequest;
use serde_json::json;

use super::Entry;

pub(super) fn entries(one: &TftpRequest) -> Vec<Entry> {
    let packet = if one.is_write { "write" } else { "read" };
    vec![Entry::new("tftp", true, json!({"packet": packet, "file": *one.file, "mode": *one.mode}))]
}
