//! EVE of ntp.

use sekimori_sensor::event::NtpMessage;

use super::Entry;

pub(super) fn entries(_one: &NtpMessage) -> Vec<Entry> {
    Vec::new()
}
