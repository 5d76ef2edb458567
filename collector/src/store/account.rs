//! Users and their sessions.

use crate::store::db::{self, FromRow};
use sekimori_wire::time::Timestamp;

use super::{Store, StoreError, query};
use crate::auth::role::Role;
use crate::auth::session::{AGE_MAX, IDLE_MAX, SessionToken, TOUCH_EVERY, is_alive};
use crate::auth::{User, UserName};
use crate::clock::{from_stored, stored};

/// Sessions of one user; beyond it the one unused for longest ends.
const SESSIONS_PER_USER_MAX: i64 = 20;

/// An account as the command line lists it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    /// Who.
    pub user: User,
    /// Since when.
    pub created_at: Timestamp,
    /// May not log in.
    pub disabled: bool,
}

/// What login needs to know of an account.
#[derive(Clone, Debug)]
pub struct Credentials {
    /// Who.
    pub user: User,
    /// PHC string.
    pub password_hash: String,
}

impl Store {
    /// Makes an account, or gives an existing one a new password and role; its sessions end.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn put_user(
        &self,
        name: &UserName,
        role: Role,
        password_hash: &str,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let failed = "write an account";
        let mut transaction = self.begin().await?;
        db::query(
            "INSERT INTO users (name, password_hash, role, created_at) VALUES ($1, $2, $3, $4)
             ON CONFLICT (name) DO UPDATE SET password_hash = $2, role = $3, disabled = 0",
        )
        .bind(name.as_str())
        .bind(password_hash)
        .bind(role.as_str())
        .bind(stored(now))
        .execute(&mut *transaction)
        .await
        .map_err(query(failed))?;
        db::query("DELETE FROM sessions WHERE \"user\" = $1")
            .bind(name.as_str())
            .execute(&mut *transaction)
            .await
            .map_err(query(failed))?;
        transaction.commit().await
    }

    /// Every account, by name.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn users(&self) -> Result<Vec<Account>, StoreError> {
        let rows: Vec<UserRow> =
            db::query_as("SELECT name, role, password_hash, created_at, disabled FROM users ORDER BY name")
                .fetch_all(self.reader())
                .await
                .map_err(query("list accounts"))?;
        Ok(rows
            .into_iter()
            .filter_map(|row| {
                let created_at = from_stored(row.created_at);
                let disabled = row.disabled != 0;
                row.user().map(|user| Account { user, created_at, disabled })
            })
            .collect())
    }

    /// The account that may log in under `name`.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn credentials(&self, name: &str) -> Result<Option<Credentials>, StoreError> {
        let row: Option<UserRow> = db::query_as(
            "SELECT name, role, password_hash, created_at, disabled FROM users WHERE name = $1 AND disabled = 0",
        )
        .bind(name)
        .fetch_optional(self.reader())
        .await
        .map_err(query("read an account"))?;
        Ok(row.and_then(|row| {
            let password_hash = row.password_hash.clone();
            row.user().map(|user| Credentials { user, password_hash })
        }))
    }

    /// Starts a session; sessions that are over, and the user's oldest beyond the limit, are deleted.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn start_session(
        &self,
        token: &SessionToken,
        user: &User,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let failed = "start a session";
        let mut transaction = self.begin().await?;
        db::query("DELETE FROM sessions WHERE created_at <= $1 OR used_at <= $2")
            .bind(stored(now.minus(AGE_MAX)))
            .bind(stored(now.minus(IDLE_MAX)))
            .execute(&mut *transaction)
            .await
            .map_err(query(failed))?;
        db::query(
            "DELETE FROM sessions WHERE \"user\" = $1 AND token_hash NOT IN
             (SELECT token_hash FROM sessions WHERE \"user\" = $1 ORDER BY used_at DESC LIMIT $2)",
        )
        .bind(user.name.as_str())
        .bind(SESSIONS_PER_USER_MAX - 1)
        .execute(&mut *transaction)
        .await
        .map_err(query(failed))?;
        db::query("INSERT INTO sessions (token_hash, \"user\", created_at, used_at) VALUES ($1, $2, $3, $3)")
            .bind(token.digest().as_bytes().as_slice())
            .bind(user.name.as_str())
            .bind(stored(now))
            .execute(&mut *transaction)
            .await
            .map_err(query(failed))?;
        transaction.commit().await
    }

    /// Whose session this is, if it is alive. A person's use of it (`touch`) keeps it from idling out; what the page
    /// fetches by itself does not.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn session(
        &self,
        token: &SessionToken,
        now: Timestamp,
        touch: Touch,
    ) -> Result<Option<User>, StoreError> {
        let digest = token.digest();
        let row: Option<(String, String, i64, i64)> = db::query_as(
            "SELECT users.name, users.role, sessions.created_at, sessions.used_at FROM sessions
             JOIN users ON users.name = sessions.user WHERE token_hash = $1 AND users.disabled = 0",
        )
        .bind(digest.as_bytes().as_slice())
        .fetch_optional(self.reader())
        .await
        .map_err(query("read a session"))?;
        let Some((name, role, created_at, used_at)) = row else { return Ok(None) };
        let used_at = from_stored(used_at);
        let Some(role) = Role::from_name(&role).filter(|_| is_alive(from_stored(created_at), used_at, now))
        else {
            return Ok(None);
        };
        if touch == Touch::ByPerson && now.since(used_at) >= TOUCH_EVERY {
            db::query("UPDATE sessions SET used_at = $2 WHERE token_hash = $1")
                .bind(digest.as_bytes().as_slice())
                .bind(stored(now))
                .execute(self.writer())
                .await
                .map_err(query("keep a session"))?;
        }
        Ok(Some(User { name: UserName::new(&name), role }))
    }

    /// Ends a session.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn end_session(&self, token: &SessionToken) -> Result<(), StoreError> {
        db::query("DELETE FROM sessions WHERE token_hash = $1")
            .bind(token.digest().as_bytes().as_slice())
            .execute(self.writer())
            .await
            .map(|_done| ())
            .map_err(query("end a session"))
    }
}

/// Who caused a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Touch {
    /// Somebody clicked.
    ByPerson,
    /// The page refreshed itself.
    ByPage,
}

#[derive(FromRow)]
struct UserRow {
    name: String,
    role: String,
    password_hash: String,
    created_at: i64,
    disabled: i64,
}

impl UserRow {
    /// `None` if the role is one that this version does not know: such an account can do nothing.
    fn user(&self) -> Option<User> {
        Role::from_name(&self.role).map(|role| User { name: UserName::new(&self.name), role })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn sessions_live_until_they_idle_age_or_end() {
        let dir = tempfile::tempdir().unwrap();
        let store = crate::store::testing::store(&dir.path().join("s.db")).await;
        let at = Timestamp::from_secs(1_800_000_000);
        let user = User { name: "監視".into(), role: Role::Monitor };
        store.put_user(&user.name, user.role, "hash", at).await.unwrap();
        assert_eq!(store.users().await.unwrap().len(), 1);
        assert_eq!(store.credentials("監視").await.unwrap().unwrap().password_hash, "hash");
        assert!(store.credentials("nobody").await.unwrap().is_none());

        let token = SessionToken::generate().unwrap();
        store.start_session(&token, &user, at).await.unwrap();
        assert_eq!(store.session(&token, at, Touch::ByPerson).await.unwrap(), Some(user.clone()));
        let almost = at.plus(IDLE_MAX - std::time::Duration::from_secs(1));
        assert!(store.session(&token, almost, Touch::ByPage).await.unwrap().is_some());
        assert!(store.session(&token, at.plus(IDLE_MAX), Touch::ByPage).await.unwrap().is_none());
        assert!(store.session(&token, almost, Touch::ByPerson).await.unwrap().is_some());
        assert!(store.session(&token, at.plus(IDLE_MAX), Touch::ByPage).await.unwrap().is_some());
        store.end_session(&token).await.unwrap();
        assert!(store.session(&token, almost, Touch::ByPage).await.unwrap().is_none());

        store.start_session(&token, &user, at).await.unwrap();
        store.put_user(&user.name, Role::Auditor, "other", at).await.unwrap();
        assert!(
            store.session(&token, at, Touch::ByPerson).await.unwrap().is_none(),
            "a new password ends sessions"
        );
    }

    #[tokio::test]
    async fn a_user_has_a_bounded_number_of_sessions() {
        let dir = tempfile::tempdir().unwrap();
        let store = crate::store::testing::store(&dir.path().join("s.db")).await;
        let user = User { name: "a".into(), role: Role::Monitor };
        let at = Timestamp::from_secs(1_800_000_000);
        store.put_user(&user.name, user.role, "hash", at).await.unwrap();
        let first = SessionToken::generate().unwrap();
        store.start_session(&first, &user, at).await.unwrap();
        for second in 1..=20 {
            let later = at.plus(std::time::Duration::from_secs(second));
            store.start_session(&SessionToken::generate().unwrap(), &user, later).await.unwrap();
        }
        let count: i64 =
            db::query_scalar("SELECT count(*) FROM sessions").fetch_one(store.reader()).await.unwrap();
        assert_eq!(count, SESSIONS_PER_USER_MAX);
        assert!(store.session(&first, at, Touch::ByPage).await.unwrap().is_none());
    }
}
