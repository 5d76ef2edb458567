//! EVE of ldap.

use sekimori_sensor::event::LdapOperation;

use super::Entry;

pub(super) fn entries(_one: &LdapOperation) -> Vec<Entry> {
    Vec::new()
}
