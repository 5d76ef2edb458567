//! EVE of quic.

use sekimori_sensor::event::QuicHello;

use super::Entry;

pub(super) fn entries(_one: &QuicHello) -> Vec<Entry> {
    Vec::new()
}
