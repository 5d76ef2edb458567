//! EVE of pop3.

use sekimori_sensor::event::Pop3Command;

use super::Entry;

pub(super) fn entries(_one: &Pop3Command) -> Vec<Entry> {
    Vec::new()
}
