//! EVE of sip.

use sekimori_sensor::event::SipMessage;

use super::Entry;

pub(super) fn entries(_one: &SipMessage) -> Vec<Entry> {
    Vec::new()
}
