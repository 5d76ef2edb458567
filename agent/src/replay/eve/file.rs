//! EVE of fileinfo.

use core::fmt::Write as _;

use sekimori_sensor::event::FileInfo;
use serde_json::{Map, Value};

use super::Entry;

pub(super) fn entries(one: &FileInfo) -> Vec<Entry> {
    vec![entry(one).with("app_proto", one.application.as_str())]
}

/// One file, for what carried it to add to.
pub(super) fn entry(one: &FileInfo) -> Entry {
    let mut fields = Map::new();
    let mut put = |key: &str, value: Value| fields.insert(key.to_owned(), value);
    put("filename", (*one.name).into());
    put("gaps", one.gaps.into());
    put("state", one.state.as_str().into());
    put("stored", false.into());
    put("size", one.size.into());
    put("tx_id", one.transaction.into());
    if let Some((start, end)) = one.range {
        put("start", start.into());
        put("end", end.into());
    }
    if let Some(digest) = &one.sha256 {
        let mut hex = String::with_capacity(64);
        for byte in digest {
            // Writing to a String cannot fail.
            write!(hex, "{byte:02x}").unwrap_or_default();
        }
        put("sha256", hex.into());
    }
    Entry::new("fileinfo", one.from_originator, Value::Object(fields))
}
