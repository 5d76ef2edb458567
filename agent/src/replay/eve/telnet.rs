//! EVE of telnet.

use sekimori_sensor::event::TelnetSession;

use super::Entry;

pub(super) fn entries(_one: &TelnetSession) -> Vec<Entry> {
    Vec::new()
}
