//! Command and control, tunnels and generated names.

use super::super::Case;

/// Every case.
pub(super) fn all() -> Vec<Case> {
    vec![]
}
