//! Obligations and telephone calls of an incident, for whoever it is wholly theirs to work on.

use super::Seen;
use crate::incident::obligation::ObligationKind;
use crate::store::StoreError;
use crate::store::clocks::call::Call;
use crate::store::clocks::duty::{Handed, MoveError, ObligationView};
use crate::timing::assess::Awareness;
use crate::timing::duty::{Exemption, Move, Mover};

/// What may be done to an obligation.
#[derive(Clone, Debug)]
pub enum Step {
    /// A move that needs nobody else.
    Move(Move),
    /// An exemption is asked for.
    Propose(Exemption),
    /// The body's CISO agrees to one, or does not.
    Decide(bool),
}

impl Seen<'_> {
    /// Whether the whole incident is this person's: of a wide-area incident, only for whoever sees all.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn is_wholly_theirs(&self, id: &str) -> Result<bool, StoreError> {
        let view = self.incident(id).await?;
        Ok(view.is_some_and(|view| self.scope.covers_whole(view.body.as_deref())))
    }

    /// What must be reported; `None`: there is no such incident for this person.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn obligations(&self, id: &str) -> Result<Option<Vec<ObligationView>>, StoreError> {
        if !self.is_wholly_theirs(id).await? {
            return Ok(None);
        }
        self.store.obligations(id).await.map(Some)
    }

    /// Moves an obligation, or decides on its exemption.
    ///
    /// # Errors
    /// There is none, it may not be moved so, or the store fails.
    pub async fn move_obligation(
        &self,
        id: &str,
        kind: ObligationKind,
        by: Mover<'_>,
        wanted: &Step,
        handed: &Handed<'_>,
    ) -> Result<(), MoveError> {
        if !self.is_wholly_theirs(id).await? {
            return Err(MoveError::NotFound);
        }
        match wanted {
            Step::Move(wanted) => self.store.move_obligation(id, kind, by, wanted, handed).await.map(drop),
            Step::Propose(reason) => {
                let asked = (*reason, handed.note);
                self.store.propose_exemption(id, kind, by, asked, handed.version).await
            }
            Step::Decide(agrees) => {
                self.store.decide_exemption(id, kind, by, *agrees, handed.version).await.map(drop)
            }
        }
    }

    /// Records or corrects since when a leak is known.
    ///
    /// # Errors
    /// There is no such incident, it may not be recorded so, or the store fails.
    pub async fn record_awareness(
        &self,
        id: &str,
        known: &Awareness,
        by: Mover<'_>,
        reason: &str,
        version: Option<i64>,
    ) -> Result<(), MoveError> {
        if !self.is_wholly_theirs(id).await? {
            return Err(MoveError::NotFound);
        }
        self.store.record_awareness(id, known, by, reason, version).await
    }

    /// Writes a call down; `false`: there is no such incident for this person.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn record_call(&self, id: &str, call: &Call, by: Mover<'_>) -> Result<bool, StoreError> {
        if !self.is_wholly_theirs(id).await? {
            return Ok(false);
        }
        self.store.record_call(id, call, by).await.map(|()| true)
    }
}
