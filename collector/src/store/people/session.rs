//! Sessions: started, looked up, listed, ended.

use sekimori_wire::id::Digest;
use sekimori_wire::time::Timestamp;

use super::log::By;
use crate::audit::Entry;
use crate::auth::User;
use crate::auth::session::{SessionRules, SessionToken, Stage, TOUCH_EVERY};
use crate::auth::totp::TotpSecret;
use crate::clock::{from_stored, stored};
use crate::store::account::user;
use crate::store::audit::append;
use crate::store::db;
use crate::store::{Store, StoreError, query};

/// Sessions of one user; beyond it the one unused for longest ends.
const SESSIONS_PER_USER_MAX: i64 = 20;

/// Who caused a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Touch {
    /// Somebody clicked.
    ByPerson,
    /// The page refreshed itself.
    ByPage,
}

/// A session that begins.
#[derive(Clone, Copy, Debug)]
pub struct NewSession<'a> {
    /// Its secret.
    pub token: &'a SessionToken,
    /// Whose.
    pub user: &'a User,
    /// How far the sign-in is.
    pub stage: Stage,
    /// Where they sit.
    pub address: &'a str,
}

/// A session that is alive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Session {
    /// Whose.
    pub user: User,
    /// How far the sign-in is.
    pub stage: Stage,
    /// A secret that waits for its first code.
    pub pending: Option<TotpSecret>,
}

/// A session in the list of one's own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionEntry {
    /// Names it.
    pub digest: Digest,
    /// When it began.
    pub created_at: Timestamp,
    /// When it was used last.
    pub used_at: Timestamp,
    /// From where it began.
    pub address: String,
}

type SessionRow = (String, String, String, i64, i64, String, Option<Vec<u8>>);

impl Store {
    /// Starts a session; sessions that are over, and the user's oldest beyond the limit, are deleted.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn start_session(
        &self,
        new: NewSession<'_>,
        rules: SessionRules,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let failed = "start a session";
        let mut tx = self.begin().await?;
        end_lapsed(&mut tx, rules, now).await?;
        let pushed_out = db::query(
            "DELETE FROM sessions WHERE \"user\" = $1 AND token_hash NOT IN
             (SELECT token_hash FROM sessions WHERE \"user\" = $1 ORDER BY used_at DESC LIMIT $2)",
        )
        .bind(new.user.name.as_str())
        .bind(SESSIONS_PER_USER_MAX - 1)
        .execute(&mut *tx)
        .await
        .map_err(query(failed))?;
        db::query(
            "INSERT INTO sessions (token_hash, \"user\", created_at, used_at, stage, address, certificate)
             VALUES ($1, $2, $3, $3, $4, $5, $6)",
        )
        .bind(new.token.digest().as_bytes().as_slice())
        .bind(new.user.name.as_str())
        .bind(stored(now))
        .bind(new.stage.as_str())
        .bind(new.address)
        .bind(new.token.certificate().map(|fingerprint| fingerprint.as_bytes().to_vec()))
        .execute(&mut *tx)
        .await
        .map_err(query(failed))?;
        if pushed_out.rows_affected() > 0 {
            let by = By::person(new.user, new.address, "too many sessions", now);
            append(&mut tx, by.entry(&new.user.name, "session.end")).await?;
        }
        tx.commit().await
    }

    /// Whose session this is, if it is alive. A person's use of it (`touch`) keeps it from idling out; what the page
    /// fetches by itself does not.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn session(
        &self,
        token: &SessionToken,
        rules: SessionRules,
        now: Timestamp,
        touch: Touch,
    ) -> Result<Option<Session>, StoreError> {
        let digest = token.digest();
        let row: Option<SessionRow> = db::query_as(
            "SELECT u.name, u.role, u.bodies, s.created_at, s.used_at, s.stage, s.totp_pending FROM sessions s
             JOIN users u ON u.name = s.\"user\" WHERE s.token_hash = $1 AND u.disabled = 0
             AND (s.certificate IS NULL OR EXISTS (SELECT 1 FROM person_certificates c
                 WHERE c.fingerprint = s.certificate AND c.account = u.name AND c.fingerprint = $2
                 AND c.revoked_at IS NULL AND c.expires_at > $3))",
        )
        .bind(digest.as_bytes().as_slice())
        // Without a certificate none of them is shown: no fingerprint is empty.
        .bind(token.certificate().map(|shown| shown.as_bytes().to_vec()).unwrap_or_default())
        .bind(stored(now))
        .fetch_optional(self.reader())
        .await
        .map_err(query("read a session"))?;
        let Some((name, role, bodies, created_at, used_at, stage, pending)) = row else { return Ok(None) };
        let used_at = from_stored(used_at);
        let Some((user, stage)) = user(&name, &role, &bodies).zip(Stage::from_name(&stage)) else {
            return Ok(None);
        };
        if !rules.is_alive(stage, from_stored(created_at), used_at, now) {
            return Ok(None);
        }
        if touch == Touch::ByPerson && now.since(used_at) >= TOUCH_EVERY {
            db::query("UPDATE sessions SET used_at = $2 WHERE token_hash = $1")
                .bind(digest.as_bytes().as_slice())
                .bind(stored(now))
                .execute(self.writer())
                .await
                .map_err(query("keep a session"))?;
        }
        let pending = pending.as_deref().and_then(TotpSecret::from_bytes);
        Ok(Some(Session { user, stage, pending }))
    }

    /// The sessions of an account, the latest used first.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn sessions_of(
        &self,
        name: &str,
        rules: SessionRules,
        now: Timestamp,
    ) -> Result<Vec<SessionEntry>, StoreError> {
        let rows: Vec<(Vec<u8>, i64, i64, String, String)> = db::query_as(
            "SELECT token_hash, created_at, used_at, address, stage FROM sessions WHERE \"user\" = $1
             ORDER BY used_at DESC",
        )
        .bind(name)
        .fetch_all(self.reader())
        .await
        .map_err(query("list sessions"))?;
        let entry = |(digest, created_at, used_at, address, stage): (Vec<u8>, i64, i64, String, String)| {
            let (created_at, used_at) = (from_stored(created_at), from_stored(used_at));
            let alive = rules.is_alive(Stage::from_name(&stage)?, created_at, used_at, now);
            let digest = Digest::from_bytes(&digest).filter(|_| alive)?;
            Some(SessionEntry { digest, created_at, used_at, address })
        };
        Ok(rows.into_iter().filter_map(entry).collect())
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

    /// Ends one session of an account (`which`), or all of them; how many ended.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn close_sessions(
        &self,
        by: &By<'_>,
        name: &str,
        which: Option<Digest>,
    ) -> Result<u64, StoreError> {
        let mut tx = self.begin().await?;
        let which = which.map(|digest| digest.as_bytes().to_vec());
        let done = db::query("DELETE FROM sessions WHERE \"user\" = $1 AND ($2 IS NULL OR token_hash = $2)")
            .bind(name)
            .bind(which)
            .execute(&mut *tx)
            .await
            .map_err(query("end sessions"))?;
        if done.rows_affected() > 0 {
            let to = format!("{} ended", done.rows_affected());
            append(&mut tx, Entry { to, ..by.entry(name, "session.end") }).await?;
        }
        tx.commit().await?;
        Ok(done.rows_affected())
    }

    /// Ends the sessions that nobody used for too long, or that are too old.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn end_lapsed_sessions(&self, rules: SessionRules, now: Timestamp) -> Result<(), StoreError> {
        let mut tx = self.begin().await?;
        end_lapsed(&mut tx, rules, now).await?;
        tx.commit().await
    }
}

/// Of two collectors that look at once, one deletes the row and writes the line.
async fn end_lapsed(tx: &mut db::Conn, rules: SessionRules, now: Timestamp) -> Result<(), StoreError> {
    let failed = "end sessions";
    let lapsed: Vec<(String, String, String)> = db::query_as(
        "DELETE FROM sessions WHERE created_at <= $1 OR used_at <= $2 RETURNING \"user\", address, stage",
    )
    .bind(stored(now.minus(rules.age)))
    .bind(stored(now.minus(rules.idle)))
    .fetch_all(&mut *tx)
    .await
    .map_err(query(failed))?;
    for (name, address, stage) in lapsed {
        if stage == Stage::Full.as_str() {
            let by = By { actor: "collector", role: "", address: &address, means: "time", at: now };
            append(tx, by.entry(&name, "session.lapse")).await?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::auth::role::Role;
    use crate::auth::scope::Scope;
    use crate::store::account::AccountChange;

    const RULES: SessionRules =
        SessionRules { idle: Duration::from_secs(3600), age: Duration::from_secs(43_200) };

    async fn bench() -> (tempfile::TempDir, Store, User, Timestamp) {
        let dir = tempfile::tempdir().unwrap();
        let store = crate::store::testing::store(&dir.path().join("s.db")).await;
        let at = Timestamp::from_secs(1_800_000_000);
        let user = User { name: "監視".into(), role: Role::Monitor, scope: Scope::All };
        store.put_user(&user.name, user.role, "hash", at).await.unwrap();
        (dir, store, user, at)
    }

    async fn start(store: &Store, user: &User, stage: Stage, at: Timestamp) -> SessionToken {
        let token = SessionToken::generate().unwrap();
        let new = NewSession { token: &token, user, stage, address: "192.0.2.9" };
        store.start_session(new, RULES, at).await.unwrap();
        token
    }

    #[tokio::test]
    async fn sessions_live_until_they_idle_age_or_end() {
        let (_dir, store, user, at) = bench().await;
        let look =
            async |token: &SessionToken, at, touch| store.session(token, RULES, at, touch).await.unwrap();
        let token = start(&store, &user, Stage::Full, at).await;
        let whole = Session { user: user.clone(), stage: Stage::Full, pending: None };
        assert_eq!(look(&token, at, Touch::ByPerson).await, Some(whole));
        let almost = at.plus(RULES.idle - Duration::from_secs(1));
        assert!(look(&token, almost, Touch::ByPage).await.is_some());
        assert!(look(&token, at.plus(RULES.idle), Touch::ByPage).await.is_none());
        assert!(look(&token, almost, Touch::ByPerson).await.is_some());
        assert!(look(&token, at.plus(RULES.idle), Touch::ByPage).await.is_some());
        store.end_session(&token).await.unwrap();
        assert!(look(&token, almost, Touch::ByPage).await.is_none());

        let token = start(&store, &user, Stage::Code, at).await;
        assert!(look(&token, at.plus(Duration::from_secs(599)), Touch::ByPage).await.is_some());
        assert!(look(&token, at.plus(Duration::from_secs(600)), Touch::ByPage).await.is_none());
    }

    #[tokio::test]
    async fn every_change_of_an_account_ends_its_sessions() {
        let (_dir, store, user, at) = bench().await;
        for change in [
            AccountChange::Enable,
            AccountChange::Role(Role::Auditor, Scope::All),
            AccountChange::Scope(Scope::parse("422011").unwrap()),
            AccountChange::Password("other".to_owned()),
            AccountChange::ResetTotp,
            AccountChange::Disable,
        ] {
            let token = start(&store, &user, Stage::Full, at).await;
            assert!(store.session(&token, RULES, at, Touch::ByPage).await.unwrap().is_some());
            store.change_account(&user.name, &change, at).await.unwrap();
            assert!(store.session(&token, RULES, at, Touch::ByPage).await.unwrap().is_none(), "{change:?}");
        }
        // Disabled: not even one that began meanwhile.
        let token = start(&store, &user, Stage::Full, at).await;
        assert!(store.session(&token, RULES, at, Touch::ByPage).await.unwrap().is_none());
    }

    #[tokio::test]
    async fn a_user_has_a_bounded_number_of_sessions_and_ends_them() {
        let (_dir, store, user, at) = bench().await;
        let first = start(&store, &user, Stage::Full, at).await;
        let mut last = None;
        for second in 1..=20 {
            last = Some(start(&store, &user, Stage::Full, at.plus(Duration::from_secs(second))).await);
        }
        let list = store.sessions_of(&user.name, RULES, at).await.unwrap();
        assert_eq!(i64::try_from(list.len()).unwrap(), SESSIONS_PER_USER_MAX);
        assert_eq!((list[0].digest, &*list[0].address), (last.clone().unwrap().digest(), "192.0.2.9"));
        assert!(store.session(&first, RULES, at, Touch::ByPage).await.unwrap().is_none());
        store.end_sessions("somebody", Some(list[0].digest)).await.unwrap();
        store.end_sessions(&user.name, Some(list[1].digest)).await.unwrap();
        assert_eq!(store.sessions_of(&user.name, RULES, at).await.unwrap().len(), 19);
        assert!(store.session(&last.unwrap(), RULES, at, Touch::ByPage).await.unwrap().is_some());
        store.end_sessions(&user.name, None).await.unwrap();
        assert_eq!(store.sessions_of(&user.name, RULES, at).await.unwrap(), []);
    }
}
