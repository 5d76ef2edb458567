//! EVE of file.

use sekimori_sensor::event::FileInfo;

use super::Entry;

pub(super) fn entries(_one: &FileInfo) -> Vec<Entry> {
    Vec::new()
}
