//! Tokens for programs.

use std::time::Duration;

use sekimori_wire::time::Timestamp;

use super::log::By;
use crate::audit::Entry;
use crate::auth::User;
use crate::auth::role::Role;
use crate::auth::scope::Scope;
use crate::auth::token::{ApiToken, Right, TokenEntry};
use crate::clock::{from_stored, stored};
use crate::store::account::user;
use crate::store::audit::append;
use crate::store::db::{self, FromRow};
use crate::store::{Store, StoreError, query};

/// Use is written down at most this often.
const USED_EVERY: Duration = Duration::from_secs(60);
/// Tokens of one account that are good at a time.
pub const TOKENS_PER_ACCOUNT_MAX: usize = 50;

/// Account, role, bodies, right, bodies of the token, end, last use.
type BearerRow = (String, String, String, String, String, i64, Option<i64>);

impl Store {
    /// Keeps a token. `false`: the account has one of this label that is good, or too many.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn issue_api_token(
        &self,
        by: &By<'_>,
        token: &ApiToken,
        entry: &TokenEntry,
    ) -> Result<bool, StoreError> {
        let good = self.api_tokens(Some(&entry.owner)).await?;
        let mut good = good.iter().filter(|one| one.is_alive(entry.created_at));
        if good.clone().count() >= TOKENS_PER_ACCOUNT_MAX || good.any(|one| one.label == entry.label) {
            return Ok(false);
        }
        let mut tx = self.begin().await?;
        db::query(
            "INSERT INTO api_tokens (token_hash, account, label, right_name, bodies, created_at, expires_at)
             VALUES ($1, $2, $3, $4, $5, $6, $7)",
        )
        .bind(token.digest().as_bytes().as_slice())
        .bind(entry.owner.as_str())
        .bind(entry.label.as_str())
        .bind(entry.right.as_str())
        .bind(entry.scope.to_text())
        .bind(stored(entry.created_at))
        .bind(stored(entry.expires_at))
        .execute(&mut *tx)
        .await
        .map_err(query("keep a token"))?;
        let to =
            format!("{} {} {} until {}", entry.label, entry.right.as_str(), entry.scope, entry.expires_at);
        append(&mut tx, Entry { to, ..by.entry(&entry.owner, "token.make") }).await?;
        tx.commit().await?;
        Ok(true)
    }

    /// Who comes with this token, with what is left to them of what they see, and what they may do. `None`: it is not
    /// good.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn bearer(
        &self,
        token: &ApiToken,
        now: Timestamp,
    ) -> Result<Option<(User, Right)>, StoreError> {
        let digest = token.digest();
        let row: Option<BearerRow> = db::query_as(
            "SELECT u.name, u.role, u.bodies, t.right_name, t.bodies, t.expires_at, t.used_at
             FROM api_tokens t JOIN users u ON u.name = t.account
             WHERE t.token_hash = $1 AND t.revoked_at IS NULL AND u.disabled = 0",
        )
        .bind(digest.as_bytes().as_slice())
        .fetch_optional(self.reader())
        .await
        .map_err(query("read a token"))?;
        let Some((name, role, bodies, right, narrowed, expires_at, used_at)) = row else { return Ok(None) };
        let Some((mut user, right)) = user(&name, &role, &bodies).zip(Right::from_name(&right)) else {
            return Ok(None);
        };
        if from_stored(expires_at) <= now {
            return Ok(None);
        }
        user.scope = user.scope.and(&Scope::parse(&narrowed).unwrap_or(Scope::NOTHING));
        if used_at.is_none_or(|used_at| now.since(from_stored(used_at)) >= USED_EVERY) {
            db::query("UPDATE api_tokens SET used_at = $2 WHERE token_hash = $1")
                .bind(digest.as_bytes().as_slice())
                .bind(stored(now))
                .execute(self.writer())
                .await
                .map_err(query("note the use of a token"))?;
        }
        Ok(Some((user, right)))
    }

    /// Every token, of one account or of all, the newest first.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn api_tokens(&self, owner: Option<&str>) -> Result<Vec<TokenEntry>, StoreError> {
        let rows: Vec<TokenRow> = db::query_as(
            "SELECT t.label, t.account, t.right_name, t.bodies, t.created_at, t.expires_at, t.revoked_at, t.used_at
             FROM api_tokens t WHERE CAST($1 AS TEXT) IS NULL OR t.account = $1
             ORDER BY t.created_at DESC, t.label",
        )
        .bind(owner)
        .fetch_all(self.reader())
        .await
        .map_err(query("list tokens"))?;
        Ok(rows.into_iter().filter_map(TokenRow::entry).collect())
    }

    /// Ends a token for good. `false`: there is none of this label that is good.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn end_api_token(&self, by: &By<'_>, owner: &str, label: &str) -> Result<bool, StoreError> {
        let mut tx = self.begin().await?;
        let done = db::query(
            "UPDATE api_tokens SET revoked_at = $3
             WHERE account = $1 AND label = $2 AND revoked_at IS NULL AND expires_at > $3",
        )
        .bind(owner)
        .bind(label)
        .bind(stored(by.at))
        .execute(&mut *tx)
        .await
        .map_err(query("end a token"))?;
        if done.rows_affected() == 0 {
            return Ok(false);
        }
        append(&mut tx, Entry { from: label.to_owned(), ..by.entry(owner, "token.revoke") }).await?;
        tx.commit().await?;
        Ok(true)
    }
}

#[derive(FromRow)]
struct TokenRow {
    label: String,
    account: String,
    right_name: String,
    bodies: String,
    created_at: i64,
    expires_at: i64,
    revoked_at: Option<i64>,
    used_at: Option<i64>,
}

impl TokenRow {
    fn entry(self) -> Option<TokenEntry> {
        Some(TokenEntry {
            label: self.label.as_str().into(),
            owner: self.account.as_str().into(),
            right: Right::from_name(&self.right_name)?,
            // Of a token itself nothing forbids "all": the owner's scope limits it.
            scope: Scope::stored(Role::Admin, &self.bodies),
            created_at: from_stored(self.created_at),
            expires_at: from_stored(self.expires_at),
            revoked_at: self.revoked_at.map(from_stored),
            used_at: self.used_at.map(from_stored),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::account::AccountChange;

    #[tokio::test]
    async fn a_token_is_good_until_it_ends_and_never_sees_more_than_its_owner() {
        let dir = tempfile::tempdir().unwrap();
        let store = crate::store::testing::store(&dir.path().join("s.db")).await;
        let at = Timestamp::from_secs(1_800_000_000);
        let two = Scope::parse("422011,422029").unwrap();
        store.add_account(&"officer".into(), Role::BodyOfficer, &two, "hash", at).await.unwrap();
        let entry = |label: &str, scope: &str| TokenEntry {
            label: label.into(),
            owner: "officer".into(),
            right: Right::Act,
            scope: Scope::parse(scope).unwrap(),
            created_at: at,
            expires_at: at.plus(Duration::from_secs(100)),
            revoked_at: None,
            used_at: None,
        };
        let (whole, part) = (ApiToken::generate().unwrap(), ApiToken::generate().unwrap());
        assert!(store.put_api_token(&whole, &entry("siem", "all")).await.unwrap());
        assert!(!store.put_api_token(&part, &entry("siem", "all")).await.unwrap(), "the label is taken");
        assert!(store.put_api_token(&part, &entry("part", "422029,422037")).await.unwrap());
        let scope = async |token: &ApiToken, at| {
            store.bearer(token, at).await.unwrap().map(|(user, _)| user.scope.to_text())
        };
        assert_eq!(scope(&whole, at).await.as_deref(), Some("422011,422029"));
        assert_eq!(scope(&part, at).await.as_deref(), Some("422029"));
        assert_eq!(scope(&ApiToken::generate().unwrap(), at).await, None);
        assert_eq!(scope(&whole, at.plus(Duration::from_secs(100))).await, None);
        assert_eq!(store.api_tokens(None).await.unwrap()[0].used_at, Some(at));

        assert!(!store.revoke_api_token("somebody", "siem", at).await.unwrap());
        assert!(store.revoke_api_token("officer", "siem", at).await.unwrap());
        assert!(!store.revoke_api_token("officer", "siem", at).await.unwrap());
        assert_eq!(scope(&whole, at).await, None);
        assert!(
            store.put_api_token(&whole, &entry("again", "all")).await.is_err(),
            "a token is not used twice"
        );
        store.change_account("officer", &AccountChange::Disable, at).await.unwrap();
        assert_eq!(scope(&part, at).await, None);
    }
}
