//! Scans, sweeps, worms, new hosts and services.

use super::super::Case;

/// Every case.
pub(super) fn all() -> Vec<Case> {
    vec![]
}
