//! Who somebody is at an identity provider. Only an account that somebody linked comes in: none is made by itself.

use super::log::By;
use crate::audit::Entry;
use crate::clock::stored;
use crate::store::audit::append;
use crate::store::db;
use crate::store::{Store, StoreError, query};

impl Store {
    /// Links a subject of an issuer to an account, in place of any other of this account there. `false`: there is no such
    /// account, or the subject is another's.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn link_subject(
        &self,
        by: &By<'_>,
        name: &str,
        (issuer, subject): (&str, &str),
    ) -> Result<bool, StoreError> {
        let failed = "link a subject";
        let mut tx = self.begin().await?;
        db::query("DELETE FROM person_subjects WHERE issuer = $1 AND account = $2")
            .bind(issuer)
            .bind(name)
            .execute(&mut *tx)
            .await
            .map_err(query(failed))?;
        let done = db::query(
            "INSERT INTO person_subjects (issuer, subject, account, linked_at)
             SELECT $1, $2, name, $4 FROM users WHERE name = $3 ON CONFLICT (issuer, subject) DO NOTHING",
        )
        .bind(issuer)
        .bind(subject)
        .bind(name)
        .bind(stored(by.at))
        .execute(&mut *tx)
        .await
        .map_err(query(failed))?;
        if done.rows_affected() == 0 {
            return Ok(false);
        }
        let to = format!("{subject} at {issuer}");
        append(&mut tx, Entry { to, ..by.entry(name, "oidc.link") }).await?;
        tx.commit().await?;
        Ok(true)
    }

    /// Unlinks an account from every issuer, and ends its sessions. `false`: it was linked to none.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn unlink_subjects(&self, by: &By<'_>, name: &str) -> Result<bool, StoreError> {
        let failed = "unlink a subject";
        let mut tx = self.begin().await?;
        let gone: Vec<(String, String)> =
            db::query_as("DELETE FROM person_subjects WHERE account = $1 RETURNING subject, issuer")
                .bind(name)
                .fetch_all(&mut *tx)
                .await
                .map_err(query(failed))?;
        if gone.is_empty() {
            return Ok(false);
        }
        db::query("DELETE FROM sessions WHERE \"user\" = $1")
            .bind(name)
            .execute(&mut *tx)
            .await
            .map_err(query(failed))?;
        for (subject, issuer) in gone {
            let from = format!("{subject} at {issuer}");
            append(&mut tx, Entry { from, ..by.entry(name, "oidc.unlink") }).await?;
        }
        tx.commit().await?;
        Ok(true)
    }

    /// Who an account is elsewhere: issuer and subject.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn subjects_of(&self, name: &str) -> Result<Vec<(String, String)>, StoreError> {
        db::query_as("SELECT issuer, subject FROM person_subjects WHERE account = $1 ORDER BY issuer")
            .bind(name)
            .fetch_all(self.reader())
            .await
            .map_err(query("list subjects"))
    }

    /// The account that a subject is linked to, disabled or not.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn linked(&self, issuer: &str, subject: &str) -> Result<Option<String>, StoreError> {
        db::query_scalar("SELECT account FROM person_subjects WHERE issuer = $1 AND subject = $2")
            .bind(issuer)
            .bind(subject)
            .fetch_optional(self.reader())
            .await
            .map_err(query("look for a subject"))
    }
}
