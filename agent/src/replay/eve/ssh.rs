//! EVE of ssh.

use sekimori_sensor::event::SshConnection;

use super::Entry;

pub(super) fn entries(_one: &SshConnection) -> Vec<Entry> {
    Vec::new()
}
