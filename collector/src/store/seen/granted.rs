//! Hidden values and extracts, as one person may see them.

use sekimori_wire::time::Timestamp;

use super::Seen;
use crate::audit::Entry;
use crate::incident::grant::COMMUNITY;
use crate::incident::permission::{AtHand, Grant, Permission, grant};
use crate::incident::transition::Actor;
use crate::store::StoreError;
use crate::store::work::{Extract, Unmasked};

impl Seen<'_> {
    /// A hidden value, for whom it was granted to: in their scope, in a role that may still ask for it, while it lasts.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn unmasked(
        &self,
        id: &str,
        n: i64,
        actor: &Actor,
        now: Timestamp,
    ) -> Result<Unmasked, StoreError> {
        let Some(view) = self.incident(id).await? else { return Ok(Unmasked::NotGranted) };
        let at_hand = AtHand { severity: view.severity, level: None, days: None };
        let may = grant(actor.role, Permission::Unmask, at_hand) != Grant::No;
        if !may || !self.scope.covers_whole(view.body.as_deref()) {
            return Ok(Unmasked::NotGranted);
        }
        self.store.unmasked(id, n, actor, now).await
    }

    /// Extracts for this person: those for their bodies, those for all, and those of incidents that are theirs.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn extracts(&self) -> Result<Vec<Extract>, StoreError> {
        let mut all = self.store.extracts().await?;
        all.retain(|one| self.is_for(one));
        all.iter_mut().for_each(|one| self.without_origin(one));
        Ok(all)
    }

    /// One extract; the reading is in the audit log.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn extract(
        &self,
        digest: &str,
        actor: &Actor,
        now: Timestamp,
    ) -> Result<Option<Extract>, StoreError> {
        let Some(mut one) = self.store.extract(digest).await?.filter(|one| self.is_for(one)) else {
            return Ok(None);
        };
        let line = Entry {
            at: now,
            actor: actor.name.clone(),
            role: actor.role.as_str().to_owned(),
            incident: one.incident.clone(),
            action: "view:extract".to_owned(),
            reason: one.digest.clone(),
            ..Entry::default()
        };
        self.store.audit(line).await?;
        self.without_origin(&mut one);
        Ok(Some(one))
    }

    fn is_for(&self, one: &Extract) -> bool {
        self.scope.covers_whole(one.body.as_deref())
            || one.recipient == COMMUNITY
            || one.to_body.as_deref().is_some_and(|body| self.scope.covers(body))
    }

    /// The name of an incident names its body.
    fn without_origin(&self, one: &mut Extract) {
        if !self.scope.covers_whole(one.body.as_deref()) {
            one.incident.clear();
            one.body = None;
        }
    }
}
