//! EVE of tftp.

use sekimori_sensor::event::TftpRequest;

use super::Entry;

pub(super) fn entries(_one: &TftpRequest) -> Vec<Entry> {
    Vec::new()
}
