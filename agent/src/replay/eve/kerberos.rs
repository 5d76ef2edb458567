//! EVE of kerberos.

use sekimori_sensor::event::KerberosExchange;

use super::Entry;

pub(super) fn entries(_one: &KerberosExchange) -> Vec<Entry> {
    Vec::new()
}
