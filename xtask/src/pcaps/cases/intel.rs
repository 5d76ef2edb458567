//! Indicators of threat feeds and exceptions.

use super::super::Case;

/// Every case.
pub(super) fn all() -> Vec<Case> {
    vec![]
}
