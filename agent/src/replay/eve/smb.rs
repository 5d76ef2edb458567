//! EVE of smb.

use sekimori_sensor::event::SmbCommand;

use super::Entry;

pub(super) fn entries(_one: &SmbCommand) -> Vec<Entry> {
    Vec::new()
}
