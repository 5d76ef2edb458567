//! EVE of ssh.

use sekimori_sensor::event::{SshConnection, SshEnd};
use serde_json::{Map, Value, json};

use super::Entry;

pub(super) fn entries(one: &SshConnection) -> Vec<Entry> {
    let mut ends = Map::new();
    for (key, end) in [("client", &one.client), ("server", &one.server)] {
        if let Some(value) = of_end(end) {
            ends.insert(key.to_owned(), value);
        }
    }
    vec![Entry::new("ssh", true, Value::Object(ends))]
}

/// `SSH-2.0-OpenSSH_9.2 comment` in its parts.
fn of_end(end: &SshEnd) -> Option<Value> {
    let (version, software) = end.banner.as_deref()?.strip_prefix("SSH-")?.split_once('-')?;
    let software = software.split(' ').next().unwrap_or_default();
    let mut value = json!({"proto_version": version, "software_version": software});
    if let (Some(hassh), Some(map)) = (&end.hassh, value.as_object_mut()) {
        map.insert("hassh".to_owned(), json!({"hash": &*hassh.hash, "string": &*hassh.text}));
    }
    Some(value)
}
