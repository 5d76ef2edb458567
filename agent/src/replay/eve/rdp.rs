//! EVE of rdp.

use sekimori_sensor::event::RdpNegotiation;

use super::Entry;

pub(super) fn entries(_one: &RdpNegotiation) -> Vec<Entry> {
    Vec::new()
}
