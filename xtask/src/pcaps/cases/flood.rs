//! Floods, amplification and bulk uploads.

use super::super::Case;

/// Every case.
pub(super) fn all() -> Vec<Case> {
    vec![]
}
