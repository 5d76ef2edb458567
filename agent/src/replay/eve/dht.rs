//! EVE of dht.

use sekimori_sensor::event::DhtMessage;

use super::Entry;

pub(super) fn entries(_one: &DhtMessage) -> Vec<Entry> {
    Vec::new()
}
