//! EVE of ntp.

use sekimori_sensor::event::NtpMessage;
use serde_json::json;

use super::Entry;

pub(super) fn entries(one: &NtpMessage) -> Vec<Entry> {
    let mut fields = json!({"version": one.version, "mode": one.mode});
    if let Some(map) = fields.as_object_mut() {
        match one.operation {
            Some(operation) => {
                map.insert("operation".to_owned(), operation.into());
            }
            None => {
                map.insert("stratum".to_owned(), one.stratum.into());
                let [a, b, c, d] = one.reference;
                map.insert("reference_id".to_owned(), format!("{a:02x}:{b:02x}:{c:02x}:{d:02x}").into());
            }
        }
    }
    vec![Entry::new("ntp", one.from_originator, fields)]
}
