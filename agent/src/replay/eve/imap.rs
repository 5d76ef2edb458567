//! EVE of imap.

use sekimori_sensor::event::ImapCommand;

use super::Entry;

pub(super) fn entries(_one: &ImapCommand) -> Vec<Entry> {
    Vec::new()
}
