//! Forged ARP, DNS, DHCP and TCP.

use super::super::Case;

/// Every case.
pub(super) fn all() -> Vec<Case> {
    vec![]
}
