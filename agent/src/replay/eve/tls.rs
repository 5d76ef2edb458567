//! EVE of tls.

use sekimori_sensor::event::TlsConnection;

use super::Entry;

pub(super) fn entries(_one: &TlsConnection) -> Vec<Entry> {
    Vec::new()
}
