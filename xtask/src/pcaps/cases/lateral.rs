//! Movement between inside hosts, the directory service, guessed logins.

use super::super::Case;

/// Every case.
pub(super) fn all() -> Vec<Case> {
    vec![]
}
