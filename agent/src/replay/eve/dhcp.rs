//! EVE of dhcp.

use sekimori_sensor::event::DhcpMessage;

use super::Entry;

pub(super) fn entries(_one: &DhcpMessage) -> Vec<Entry> {
    Vec::new()
}
