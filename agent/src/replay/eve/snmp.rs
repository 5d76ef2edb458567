//! EVE of snmp.

use sekimori_sensor::event::SnmpMessage;

use super::Entry;

pub(super) fn entries(_one: &SnmpMessage) -> Vec<Entry> {
    Vec::new()
}
