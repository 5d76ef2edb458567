//! Accounts: who may sign in, as what, and what they see. They are disabled, never deleted: histories name them.

use sekimori_wire::time::Timestamp;

use super::audit::append;
use super::people::log::By;
use super::{Store, StoreError, query};
use crate::audit::Entry;
use crate::auth::role::Role;
use crate::auth::scope::Scope;
use crate::auth::{User, UserName};
use crate::clock::{from_stored, stored};
use crate::store::db::{self, FromRow};

const ACCOUNT: &str = "SELECT name, role, bodies, password_hash, created_at, password_at, disabled,
    totp_secret IS NOT NULL AS has_totp FROM users";

/// An account as it is listed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    /// Who.
    pub user: User,
    /// Since when.
    pub created_at: Timestamp,
    /// When the password was set.
    pub password_at: Timestamp,
    /// May not sign in.
    pub disabled: bool,
    /// Has an authenticator.
    pub has_totp: bool,
}

/// What a sign-in needs to know of an account.
#[derive(Clone, Debug)]
pub struct Credentials {
    /// Who.
    pub user: User,
    /// PHC string.
    pub password_hash: String,
    /// Has an authenticator.
    pub has_totp: bool,
}

/// What of an account is changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AccountChange {
    /// May sign in again.
    Enable,
    /// May not sign in any more.
    Disable,
    /// Another role, and with it what it sees.
    Role(Role, Scope),
    /// Other bodies.
    Scope(Scope),
    /// Another password, as its hash.
    Password(String),
    /// No authenticator and no recovery codes any more: a new one is set up with the next sign-in.
    ResetTotp,
}

impl AccountChange {
    fn statement<'q>(&'q self, name: &'q str, now: Timestamp) -> db::Query<'q> {
        match self {
            Self::Enable => db::query("UPDATE users SET disabled = 0 WHERE name = $1").bind(name),
            Self::Disable => db::query("UPDATE users SET disabled = 1 WHERE name = $1").bind(name),
            Self::Role(role, scope) => db::query("UPDATE users SET role = $2, bodies = $3 WHERE name = $1")
                .bind(name)
                .bind(role.as_str())
                .bind(scope.to_text()),
            Self::Scope(scope) => {
                db::query("UPDATE users SET bodies = $2 WHERE name = $1").bind(name).bind(scope.to_text())
            }
            Self::Password(hash) => {
                db::query("UPDATE users SET password_hash = $2, password_at = $3 WHERE name = $1")
                    .bind(name)
                    .bind(hash.as_str())
                    .bind(stored(now))
            }
            Self::ResetTotp => {
                db::query("UPDATE users SET totp_secret = NULL, totp_step = 0 WHERE name = $1").bind(name)
            }
        }
    }

    /// What the audit log says of it. Never what a password is made of.
    fn entry(&self, by: &By<'_>, before: &UserRow) -> Entry {
        let state = |disabled: bool| if disabled { "disabled" } else { "enabled" }.to_owned();
        let factor = |has: bool| if has { "authenticator" } else { "none" }.to_owned();
        let (action, from, to) = match self {
            Self::Enable => ("account.enable", state(before.disabled != 0), state(false)),
            Self::Disable => ("account.disable", state(before.disabled != 0), state(true)),
            Self::Role(role, scope) => {
                ("account.role", format!("{} {}", before.role, before.bodies), format!("{role} {scope}"))
            }
            Self::Scope(scope) => ("account.scope", before.bodies.clone(), scope.to_string()),
            Self::Password(_) => ("account.password", String::new(), String::new()),
            Self::ResetTotp => ("totp.reset", factor(before.has_totp), factor(false)),
        };
        Entry { from, to, ..by.entry(&before.name, action) }
    }
}

impl Store {
    /// Makes an account. `false`: there is one of this name.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn create_account(
        &self,
        by: &By<'_>,
        name: &UserName,
        role: Role,
        scope: &Scope,
        password_hash: &str,
    ) -> Result<bool, StoreError> {
        let mut tx = self.begin().await?;
        let done = db::query(
            "INSERT INTO users (name, password_hash, role, bodies, created_at, password_at)
             VALUES ($1, $2, $3, $4, $5, $5) ON CONFLICT (name) DO NOTHING",
        )
        .bind(name.as_str())
        .bind(password_hash)
        .bind(role.as_str())
        .bind(scope.to_text())
        .bind(stored(by.at))
        .execute(&mut *tx)
        .await
        .map_err(query("make an account"))?;
        if done.rows_affected() == 0 {
            return Ok(false);
        }
        let to = format!("{role} {scope}");
        append(&mut tx, Entry { to, ..by.entry(name, "account.create") }).await?;
        tx.commit().await?;
        Ok(true)
    }

    /// Changes an account; all its sessions end, so that no old right outlives the change. `false`: there is none.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn alter_account(
        &self,
        by: &By<'_>,
        name: &str,
        change: &AccountChange,
    ) -> Result<bool, StoreError> {
        let failed = "change an account";
        let mut tx = self.begin().await?;
        let row: Option<UserRow> = db::query_as(db::AssertSqlSafe(format!("{ACCOUNT} WHERE name = $1")))
            .bind(name)
            .fetch_optional(&mut *tx)
            .await
            .map_err(query(failed))?;
        let Some(row) = row else { return Ok(false) };
        change.statement(name, by.at).execute(&mut *tx).await.map_err(query(failed))?;
        if *change == AccountChange::ResetTotp {
            db::query("DELETE FROM recovery_codes WHERE account = $1")
                .bind(name)
                .execute(&mut *tx)
                .await
                .map_err(query(failed))?;
        }
        let ended = db::query("DELETE FROM sessions WHERE \"user\" = $1")
            .bind(name)
            .execute(&mut *tx)
            .await
            .map_err(query(failed))?;
        append(&mut tx, change.entry(by, &row)).await?;
        if ended.rows_affected() > 0 {
            let to = format!("{} ended", ended.rows_affected());
            append(&mut tx, Entry { to, ..by.entry(name, "session.end") }).await?;
        }
        tx.commit().await?;
        Ok(true)
    }

    /// Every account, by name.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn users(&self) -> Result<Vec<Account>, StoreError> {
        let rows: Vec<UserRow> = db::query_as(db::AssertSqlSafe(format!("{ACCOUNT} ORDER BY name")))
            .fetch_all(self.reader())
            .await
            .map_err(query("list accounts"))?;
        Ok(rows.into_iter().filter_map(UserRow::account).collect())
    }

    /// One account, disabled or not.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn account(&self, name: &str) -> Result<Option<Account>, StoreError> {
        let row: Option<UserRow> = db::query_as(db::AssertSqlSafe(format!("{ACCOUNT} WHERE name = $1")))
            .bind(name)
            .fetch_optional(self.reader())
            .await
            .map_err(query("read an account"))?;
        Ok(row.and_then(UserRow::account))
    }

    /// The account that may sign in under `name`.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn credentials(&self, name: &str) -> Result<Option<Credentials>, StoreError> {
        let sql = format!("{ACCOUNT} WHERE name = $1 AND disabled = 0");
        let row: Option<UserRow> = db::query_as(db::AssertSqlSafe(sql))
            .bind(name)
            .fetch_optional(self.reader())
            .await
            .map_err(query("read an account"))?;
        Ok(row.and_then(|row| {
            let password_hash = row.password_hash.clone();
            row.account().map(|one| Credentials { user: one.user, password_hash, has_totp: one.has_totp })
        }))
    }
}

#[derive(FromRow)]
struct UserRow {
    name: String,
    role: String,
    bodies: String,
    password_hash: String,
    created_at: i64,
    password_at: Option<i64>,
    disabled: i64,
    has_totp: bool,
}

impl UserRow {
    /// `None` if the role is one that this version does not know: such an account can do nothing.
    fn account(self) -> Option<Account> {
        Some(Account {
            user: user(&self.name, &self.role, &self.bodies)?,
            created_at: from_stored(self.created_at),
            password_at: from_stored(self.password_at.unwrap_or(self.created_at)),
            disabled: self.disabled != 0,
            has_totp: self.has_totp,
        })
    }
}

/// From the columns of an account.
pub(super) fn user(name: &str, role: &str, bodies: &str) -> Option<User> {
    let role = Role::from_name(role)?;
    Some(User { name: UserName::new(name), role, scope: Scope::stored(role, bodies) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn accounts_are_changed_and_disabled_and_never_deleted() {
        let dir = tempfile::tempdir().unwrap();
        let store = crate::store::testing::store(&dir.path().join("s.db")).await;
        let at = Timestamp::from_secs(1_800_000_000);
        let name = UserName::new("監視");
        let body = Scope::parse("422011").unwrap();
        assert!(store.add_account(&name, Role::BodyOfficer, &body, "hash", at).await.unwrap());
        assert!(!store.add_account(&name, Role::Control, &Scope::All, "other", at).await.unwrap());
        let account = store.account("監視").await.unwrap().unwrap();
        assert_eq!((account.user.role, account.user.scope), (Role::BodyOfficer, body));
        assert_eq!(store.credentials("監視").await.unwrap().unwrap().password_hash, "hash");

        let later = at.plus(std::time::Duration::from_secs(60));
        for (change, expected) in [
            (AccountChange::Role(Role::Monitor, Scope::All), (Role::Monitor, "all", false)),
            (AccountChange::Scope(Scope::parse("422029").unwrap()), (Role::Monitor, "422029", false)),
            (AccountChange::Disable, (Role::Monitor, "422029", true)),
            (AccountChange::Enable, (Role::Monitor, "422029", false)),
            (AccountChange::Password("new".to_owned()), (Role::Monitor, "422029", false)),
            (AccountChange::ResetTotp, (Role::Monitor, "422029", false)),
        ] {
            assert!(store.change_account("監視", &change, later).await.unwrap());
            assert!(!store.change_account("nobody", &change, later).await.unwrap());
            let one = store.account("監視").await.unwrap().unwrap();
            assert_eq!((one.user.role, &*one.user.scope.to_text(), one.disabled), expected, "{change:?}");
            assert_eq!(store.credentials("監視").await.unwrap().is_none(), one.disabled);
        }
        let account = store.account("監視").await.unwrap().unwrap();
        assert_eq!((account.created_at, account.password_at), (at, later));
        assert_eq!(store.users().await.unwrap().len(), 1);
        assert!(store.credentials("nobody").await.unwrap().is_none());
    }
}
