//! EVE of imap: Suricata recognises IMAP and writes no event of it; these fields are this program's.

use sekimori_sensor::event::ImapCommand;
use serde_json::{Map, Value};

use super::Entry;

pub(super) fn entries(one: &ImapCommand) -> Vec<Entry> {
    let mut imap = Map::new();
    let mut put = |key: &str, value: &str| imap.insert(key.to_owned(), value.into());
    put("tag", &one.tag);
    put("command", &one.command);
    if let Some(argument) = &one.argument {
        put("argument", argument);
    }
    if let Some(status) = &one.status {
        put("status", status);
        put("response", &one.text);
    }
    vec![Entry::new("imap", true, Value::Object(imap))]
}
