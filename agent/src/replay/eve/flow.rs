//! EVE of flow and stats.

use sekimori_sensor::counters::Counters;
use sekimori_sensor::event::{FlowRecord, FlowRef};
use serde_json::{Value, json};

use super::Entry;

pub(super) fn entries(_flow: &FlowRef, _record: &FlowRecord) -> Vec<Entry> {
    Vec::new()
}

pub(super) fn stats(counters: &Counters) -> Entry {
    let fields = counters.iter().map(|(name, count)| (name.to_owned(), Value::from(count)));
    Entry::new("stats", true, json!({"sekimori": Value::Object(fields.collect())}))
}
