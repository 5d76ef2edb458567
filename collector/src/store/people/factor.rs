//! Second factors: the secret that an authenticator shares, and recovery codes.

use sekimori_wire::time::Timestamp;

use super::log::By;
use crate::auth::session::SessionToken;
use crate::auth::totp::{CodeError, RecoveryCode, TotpSecret};
use crate::clock::stored;
use crate::store::audit::append;
use crate::store::db;
use crate::store::{Store, StoreError, query};

impl Store {
    /// Keeps a new secret beside a session until its first code comes.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn put_pending_totp(
        &self,
        session: &SessionToken,
        secret: &TotpSecret,
    ) -> Result<(), StoreError> {
        db::query("UPDATE sessions SET totp_pending = $2 WHERE token_hash = $1")
            .bind(session.digest().as_bytes().as_slice())
            .bind(secret.as_bytes())
            .execute(self.writer())
            .await
            .map(|_done| ())
            .map_err(query("keep a new secret"))
    }

    /// Makes a secret the account's, whose code of `step` was just shown, with its recovery codes; all others are gone.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn enrol_totp(
        &self,
        by: &By<'_>,
        name: &str,
        (secret, step): (&TotpSecret, u64),
        codes: &[RecoveryCode],
    ) -> Result<(), StoreError> {
        let failed = "keep a second factor";
        let mut tx = self.begin().await?;
        db::query("UPDATE users SET totp_secret = $2, totp_step = $3 WHERE name = $1")
            .bind(name)
            .bind(secret.as_bytes())
            .bind(i64::try_from(step).unwrap_or(i64::MAX))
            .execute(&mut *tx)
            .await
            .map_err(query(failed))?;
        db::query("DELETE FROM recovery_codes WHERE account = $1")
            .bind(name)
            .execute(&mut *tx)
            .await
            .map_err(query(failed))?;
        for code in codes {
            db::query("INSERT INTO recovery_codes (account, code_hash) VALUES ($1, $2)")
                .bind(name)
                .bind(code.digest().as_bytes().as_slice())
                .execute(&mut *tx)
                .await
                .map_err(query(failed))?;
        }
        append(&mut tx, by.entry(name, "totp.enrol")).await?;
        tx.commit().await
    }

    /// Takes a code of the account's authenticator, once, whichever replica it is shown to.
    ///
    /// # Errors
    /// If the store fails; inside: the code is not good.
    pub async fn take_code(
        &self,
        name: &str,
        code: &str,
        now: Timestamp,
    ) -> Result<Result<(), CodeError>, StoreError> {
        let row: Option<(Option<Vec<u8>>, i64)> =
            db::query_as("SELECT totp_secret, totp_step FROM users WHERE name = $1 AND disabled = 0")
                .bind(name)
                .fetch_optional(self.reader())
                .await
                .map_err(query("read a second factor"))?;
        let Some((secret, last)) = row else { return Ok(Err(CodeError::Wrong)) };
        let Some(secret) = secret.as_deref().and_then(TotpSecret::from_bytes) else {
            return Ok(Err(CodeError::Wrong));
        };
        let step = match secret.accept(code, now, u64::try_from(last).unwrap_or_default()) {
            Ok(step) => step,
            Err(error) => return Ok(Err(error)),
        };
        let done = db::query("UPDATE users SET totp_step = $2 WHERE name = $1 AND totp_step < $2")
            .bind(name)
            .bind(i64::try_from(step).unwrap_or(i64::MAX))
            .execute(self.writer())
            .await
            .map_err(query("take a code"))?;
        Ok(if done.rows_affected() == 1 { Ok(()) } else { Err(CodeError::Replayed) })
    }

    /// Takes a recovery code, once. `false`: it is not one, or was used.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn take_recovery_code(
        &self,
        name: &str,
        code: &RecoveryCode,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let done = db::query(
            "UPDATE recovery_codes SET used_at = $3 WHERE account = $1 AND code_hash = $2 AND used_at IS NULL",
        )
        .bind(name)
        .bind(code.digest().as_bytes().as_slice())
        .bind(stored(now))
        .execute(self.writer())
        .await
        .map_err(query("take a recovery code"))?;
        Ok(done.rows_affected() == 1)
    }

    /// Recovery codes that are left.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn recovery_codes_left(&self, name: &str) -> Result<i64, StoreError> {
        db::query_scalar("SELECT count(*) FROM recovery_codes WHERE account = $1 AND used_at IS NULL")
            .bind(name)
            .fetch_one(self.reader())
            .await
            .map_err(query("count recovery codes"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::role::Role;
    use crate::store::account::AccountChange;

    #[tokio::test]
    async fn codes_are_taken_once() {
        let dir = tempfile::tempdir().unwrap();
        let store = crate::store::testing::store(&dir.path().join("s.db")).await;
        let at = Timestamp::from_secs(1_111_111_109);
        store.put_user(&"a".into(), Role::Monitor, "hash", at).await.unwrap();
        assert_eq!(store.take_code("a", "081804", at).await.unwrap(), Err(CodeError::Wrong), "none yet");
        let secret = TotpSecret::from_bytes(b"12345678901234567890").unwrap();
        let codes = [RecoveryCode::generate().unwrap(), RecoveryCode::generate().unwrap()];
        store.set_totp("a", &secret, 1_111_111_109 / 30 - 1, &codes).await.unwrap();
        assert!(store.account("a").await.unwrap().unwrap().has_totp);
        assert_eq!(store.take_code("a", "081805", at).await.unwrap(), Err(CodeError::Wrong));
        assert_eq!(store.take_code("a", "081804", at).await.unwrap(), Ok(()));
        assert_eq!(store.take_code("a", "081804", at).await.unwrap(), Err(CodeError::Replayed));
        assert_eq!(store.take_code("b", "081804", at).await.unwrap(), Err(CodeError::Wrong));

        assert!(!store.take_recovery_code("b", &codes[0], at).await.unwrap());
        assert!(store.take_recovery_code("a", &codes[0], at).await.unwrap());
        assert!(!store.take_recovery_code("a", &codes[0], at).await.unwrap());
        assert_eq!(store.recovery_codes_left("a").await.unwrap(), 1);
        store.change_account("a", &AccountChange::ResetTotp, at).await.unwrap();
        assert!(!store.account("a").await.unwrap().unwrap().has_totp);
        assert!(!store.take_recovery_code("a", &codes[1], at).await.unwrap());
    }
}
