//! What tests need of accounts, without saying each time who did it.

use sekimori_wire::id::Digest;
use sekimori_wire::time::Timestamp;

use super::log::By;
use crate::auth::UserName;
use crate::auth::role::Role;
use crate::auth::scope::Scope;
use crate::auth::token::{ApiToken, TokenEntry};
use crate::auth::totp::{RecoveryCode, TotpSecret};
use crate::clock::{now, stored};
use crate::store::account::AccountChange;
use crate::store::db;
use crate::store::{Store, StoreError, query};

/// Somebody at the command line.
pub(crate) fn root(at: Timestamp) -> By<'static> {
    By { actor: "root", role: "os", address: "local", means: "command line", at }
}

impl Store {
    pub(crate) async fn put_user(
        &self,
        name: &UserName,
        role: Role,
        password_hash: &str,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        assert!(self.add_account(name, role, &Scope::All, password_hash, now).await?, "{name} is there");
        Ok(())
    }

    /// Beside the audit log: what a test sets up is not what it looks at.
    pub(crate) async fn add_account(
        &self,
        name: &UserName,
        role: Role,
        scope: &Scope,
        password_hash: &str,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        db::query(
            "INSERT INTO users (name, password_hash, role, bodies, created_at, password_at)
             VALUES ($1, $2, $3, $4, $5, $5) ON CONFLICT (name) DO NOTHING",
        )
        .bind(name.as_str())
        .bind(password_hash)
        .bind(role.as_str())
        .bind(scope.to_text())
        .bind(stored(now))
        .execute(self.writer())
        .await
        .map(|done| done.rows_affected() > 0)
        .map_err(query("make an account"))
    }

    pub(crate) async fn change_account(
        &self,
        name: &str,
        change: &AccountChange,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        self.alter_account(&root(now), name, change).await
    }

    pub(crate) async fn set_totp(
        &self,
        name: &str,
        secret: &TotpSecret,
        step: u64,
        codes: &[RecoveryCode],
    ) -> Result<(), StoreError> {
        self.enrol_totp(&root(now()), name, (secret, step), codes).await
    }

    pub(crate) async fn end_sessions(&self, name: &str, which: Option<Digest>) -> Result<(), StoreError> {
        self.close_sessions(&root(now()), name, which).await.map(drop)
    }

    pub(crate) async fn put_api_token(
        &self,
        token: &ApiToken,
        entry: &TokenEntry,
    ) -> Result<bool, StoreError> {
        self.issue_api_token(&root(entry.created_at), token, entry).await
    }

    pub(crate) async fn revoke_api_token(
        &self,
        owner: &str,
        label: &str,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        self.end_api_token(&root(now), owner, label).await
    }
}
