//! Suppressions, as one person may see and end them.

use sekimori_wire::finding::Severity;
use sekimori_wire::time::Timestamp;

use super::Seen;
use crate::auth::role::Role;
use crate::export::By;
use crate::incident::permission::{AtHand, Grant, Part, Permission, grant};
use crate::store::StoreError;
use crate::store::work::SuppressionView;

/// Whether this role may end a suppression: whoever may ask for one. More is seen then, so nobody else needs to agree.
pub fn may_end(role: Role) -> bool {
    let at_hand = AtHand { severity: Severity::default(), level: None, days: None };
    grant(Part::Person(role), Permission::Suppress, at_hand) != Grant::No
}

impl Seen<'_> {
    /// Those of bodies that are seen: in force first, then those that ended.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn suppressions(&self, now: Timestamp) -> Result<Vec<SuppressionView>, StoreError> {
        self.store.suppressions_in(self.scope, now).await
    }

    /// Ends one before its time; it is in the audit log. `false` if none of this id is in force among those that are seen.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn end_suppression(
        &self,
        id: &str,
        by: &By,
        reason: &str,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        self.store.end_suppression_in(self.scope, id, (by, reason), now).await
    }
}
