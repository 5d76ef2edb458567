//! EVE of dns (version 3).

use sekimori_sensor::event::Dns;

use super::Entry;

pub(super) fn entries(_dns: &Dns) -> Vec<Entry> {
    Vec::new()
}
