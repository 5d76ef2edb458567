//! Failures that make somebody wait, and the record of who came in.

use core::net::IpAddr;
use std::time::Duration;

use sekimori_wire::id::Digest;
use sekimori_wire::time::Timestamp;

use super::log;
use crate::auth::lockout::{ACCOUNT, ADDRESS, Ladder, Strikes};
use crate::clock::{from_stored, stored};
use crate::store::db;
use crate::store::{Store, StoreError, query};

/// Names and addresses whose failures are remembered; beyond it the oldest are forgotten.
const STRIKES_MAX: i64 = 20_000;
/// Sign-ins kept.
const SIGN_INS_MAX: i64 = 200_000;
/// An address from which an account came in so lately does not wait for guesses made elsewhere.
const KNOWN_FOR: Duration = Duration::from_secs(30 * 86_400);

/// A program that comes with every request is told of this often.
const TOLD_FOR: Duration = Duration::from_secs(600);

/// How a sign-in was tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// Name and password, at the login page.
    Password,
    /// The code of an authenticator.
    Code,
    /// A recovery code.
    Recovery,
    /// Name and password with a request to the API.
    Basic,
    /// A certificate of our CA for people.
    Certificate,
    /// An identity provider.
    Oidc,
}

impl Method {
    /// The stable identifier.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Password => "password",
            Self::Code => "code",
            Self::Recovery => "recovery",
            Self::Basic => "basic",
            Self::Certificate => "certificate",
            Self::Oidc => "oidc",
        }
    }
}

/// What became of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Came {
    /// Signed in.
    In,
    /// The password was right; the second factor is asked for.
    Halfway,
    /// Something was wrong.
    Wrong,
    /// The code was used before.
    Replayed,
    /// Signed out.
    Out,
    /// Had to wait, and was not even asked.
    Locked,
    /// What was shown is good, but no account may come in with it.
    Refused,
}

impl Came {
    /// The stable identifier.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::In => "in",
            Self::Halfway => "halfway",
            Self::Wrong => "wrong",
            Self::Replayed => "replayed",
            Self::Out => "out",
            Self::Locked => "locked",
            Self::Refused => "refused",
        }
    }
}

/// A line of the record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignIn {
    /// When.
    pub at: Timestamp,
    /// Who; empty: no account of that name.
    pub account: String,
    /// From where.
    pub address: String,
    /// [`Method`].
    pub method: String,
    /// [`Came`].
    pub outcome: String,
}

/// Whoever tries to come in.
#[derive(Clone, Copy, Debug)]
pub struct Attempt<'a> {
    /// As typed.
    pub name: &'a str,
    /// From where.
    pub from: IpAddr,
    /// When.
    pub at: Timestamp,
}

impl Attempt<'_> {
    fn account(&self) -> String {
        account_subject(self.name)
    }

    fn address(&self) -> String {
        match self.from {
            IpAddr::V4(address) => format!("address:{address}"),
            // Whoever has one address of IPv6 has the whole network.
            IpAddr::V6(address) => {
                let [a, b, c, d, ..] = address.segments();
                format!("address:{a:x}:{b:x}:{c:x}:{d:x}::/64")
            }
        }
    }
}

fn account_subject(name: &str) -> String {
    format!("account:{}", Digest::of(name.as_bytes()))
}

impl Store {
    /// How long this attempt must wait; `None`: not at all.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn must_wait(&self, attempt: Attempt<'_>) -> Result<Option<Duration>, StoreError> {
        let by_address = self.strikes(&attempt.address()).await?;
        let by_address = by_address.and_then(|strikes| ADDRESS.wait(strikes, attempt.at));
        let by_account = self.strikes(&attempt.account()).await?;
        let mut by_account = by_account.and_then(|strikes| ACCOUNT.wait(strikes, attempt.at));
        if by_account.is_some() && self.is_known(attempt).await? {
            by_account = None;
        }
        Ok(by_address.max(by_account))
    }

    async fn is_known(&self, attempt: Attempt<'_>) -> Result<bool, StoreError> {
        db::query_scalar(
            "SELECT EXISTS (SELECT 1 FROM sign_ins
             WHERE account = $1 AND address = $2 AND outcome = 'in' AND at >= $3)",
        )
        .bind(attempt.name)
        .bind(attempt.from.to_string())
        .bind(stored(attempt.at.minus(KNOWN_FOR)))
        .fetch_one(self.reader())
        .await
        .map_err(query("look for earlier sign-ins"))
    }

    /// Whether this account came in from here by this method within ten minutes.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn came_lately(&self, attempt: Attempt<'_>, method: Method) -> Result<bool, StoreError> {
        db::query_scalar(
            "SELECT EXISTS (SELECT 1 FROM sign_ins
             WHERE account = $1 AND address = $2 AND outcome = 'in' AND method = $3 AND at > $4)",
        )
        .bind(attempt.name)
        .bind(attempt.from.to_string())
        .bind(method.as_str())
        .bind(stored(attempt.at.minus(TOLD_FOR)))
        .fetch_one(self.reader())
        .await
        .map_err(query("look for earlier sign-ins"))
    }

    async fn strikes(&self, subject: &str) -> Result<Option<Strikes>, StoreError> {
        let row: Option<(i64, i64)> =
            db::query_as("SELECT failures, last_at FROM strikes WHERE subject = $1")
                .bind(subject)
                .fetch_optional(self.reader())
                .await
                .map_err(query("read failed sign-ins"))?;
        Ok(row.map(|(failures, last)| Strikes {
            count: u32::try_from(failures).unwrap_or(u32::MAX),
            last: from_stored(last),
        }))
    }

    /// Failures in a row of an account that still count, and how long it must wait for them.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn failures_of(
        &self,
        name: &str,
        now: Timestamp,
    ) -> Result<(u32, Option<Duration>), StoreError> {
        let strikes = self.strikes(&account_subject(name)).await?;
        let counting = strikes.filter(|strikes| ACCOUNT.counts(*strikes, now));
        Ok(counting.map_or((0, None), |strikes| (strikes.count, ACCOUNT.wait(strikes, now))))
    }

    /// Counts a failure against the account and the address.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn count_failure(&self, attempt: Attempt<'_>) -> Result<(), StoreError> {
        let failed = "count a failed sign-in";
        let mut tx = self.begin().await?;
        let one = |subject: String, ladder: &Ladder| {
            db::query(
                "INSERT INTO strikes (subject, failures, last_at) VALUES ($1, 1, $2)
                 ON CONFLICT (subject) DO UPDATE SET last_at = excluded.last_at,
                 failures = CASE WHEN strikes.last_at <= $3 THEN 1 ELSE strikes.failures + 1 END",
            )
            .bind(subject)
            .bind(stored(attempt.at))
            .bind(stored(ladder.forgotten_before(attempt.at)))
        };
        one(attempt.account(), &ACCOUNT).execute(&mut *tx).await.map_err(query(failed))?;
        one(attempt.address(), &ADDRESS).execute(&mut *tx).await.map_err(query(failed))?;
        db::query(
            "DELETE FROM strikes WHERE last_at <= $1
             OR last_at < (SELECT last_at FROM strikes ORDER BY last_at DESC LIMIT 1 OFFSET $2)",
        )
        .bind(stored(ACCOUNT.forgotten_before(attempt.at)))
        .bind(STRIKES_MAX)
        .execute(&mut *tx)
        .await
        .map_err(query(failed))?;
        tx.commit().await
    }

    /// Forgets the failures of an account whose owner has come in.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn forget_failures(&self, name: &str) -> Result<(), StoreError> {
        db::query("DELETE FROM strikes WHERE subject = $1")
            .bind(account_subject(name))
            .execute(self.writer())
            .await
            .map(|_done| ())
            .map_err(query("forget failed sign-ins"))
    }

    /// Writes down an attempt. What was typed as a name is kept only if there is such an account.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn record_sign_in(
        &self,
        attempt: Attempt<'_>,
        method: Method,
        came: Came,
    ) -> Result<(), StoreError> {
        let failed = "record a sign-in";
        let mut tx = self.begin().await?;
        db::query(
            "INSERT INTO sign_ins (at, account, address, method, outcome)
             VALUES ($1, coalesce((SELECT name FROM users WHERE name = $2), ''), $3, $4, $5)",
        )
        .bind(stored(attempt.at))
        .bind(attempt.name)
        .bind(attempt.from.to_string())
        .bind(method.as_str())
        .bind(came.as_str())
        .execute(&mut *tx)
        .await
        .map_err(query(failed))?;
        db::query("DELETE FROM sign_ins WHERE n <= (SELECT max(n) FROM sign_ins) - $1")
            .bind(SIGN_INS_MAX)
            .execute(&mut *tx)
            .await
            .map_err(query(failed))?;
        log::sign_in(&mut tx, attempt, method, came).await?;
        tx.commit().await
    }

    /// The latest sign-ins, of one account or of all.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn sign_ins(&self, name: Option<&str>, rows: u32) -> Result<Vec<SignIn>, StoreError> {
        let rows: Vec<(i64, String, String, String, String)> = db::query_as(
            "SELECT at, account, address, method, outcome FROM sign_ins
             WHERE CAST($1 AS TEXT) IS NULL OR account = $1 ORDER BY n DESC LIMIT $2",
        )
        .bind(name)
        .bind(i64::from(rows))
        .fetch_all(self.reader())
        .await
        .map_err(query("list sign-ins"))?;
        let line = |(at, account, address, method, outcome)| SignIn {
            at: from_stored(at),
            account,
            address,
            method,
            outcome,
        };
        Ok(rows.into_iter().map(line).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::role::Role;

    async fn store() -> (tempfile::TempDir, Store, Timestamp) {
        let dir = tempfile::tempdir().unwrap();
        let store = crate::store::testing::store(&dir.path().join("s.db")).await;
        let at = Timestamp::from_secs(1_800_000_000);
        store.put_user(&"monitor".into(), Role::Monitor, "hash", at).await.unwrap();
        (dir, store, at)
    }

    fn attempt(name: &'static str, from: &str, at: Timestamp) -> Attempt<'static> {
        Attempt { name, from: from.parse().unwrap(), at }
    }

    #[tokio::test]
    async fn an_account_waits_wherever_the_guesses_come_from_and_not_for_good() {
        let (_dir, store, at) = store().await;
        for name in ["monitor", "no such account"] {
            for n in 0..10 {
                let one = attempt(name, &format!("192.0.2.{n}"), at);
                assert_eq!(store.must_wait(one).await.unwrap(), None, "{n}");
                store.count_failure(one).await.unwrap();
            }
            let next = attempt(name, "192.0.2.99", at);
            assert_eq!(store.must_wait(next).await.unwrap(), Some(Duration::from_secs(30)), "{name}");
            let later = Attempt { at: at.plus(Duration::from_secs(30)), ..next };
            assert_eq!(store.must_wait(later).await.unwrap(), None);
        }
        assert_eq!(store.failures_of("monitor", at).await.unwrap(), (10, Some(Duration::from_secs(30))));
        store.forget_failures("monitor").await.unwrap();
        assert_eq!(store.failures_of("monitor", at).await.unwrap(), (0, None));
        assert!(store.must_wait(attempt("no such account", "192.0.2.99", at)).await.unwrap().is_some());
    }

    #[tokio::test]
    async fn guesses_elsewhere_do_not_lock_out_who_was_here_before() {
        let (_dir, store, at) = store().await;
        let here = attempt("monitor", "198.51.100.7", at);
        store.record_sign_in(here, Method::Password, Came::In).await.unwrap();
        for _ in 0..12 {
            store.count_failure(attempt("monitor", "192.0.2.1", at)).await.unwrap();
        }
        assert_eq!(store.must_wait(here).await.unwrap(), None);
        assert!(store.must_wait(attempt("monitor", "198.51.100.8", at)).await.unwrap().is_some());
        let long_after = Attempt { at: at.plus(KNOWN_FOR + Duration::from_secs(1)), ..here };
        for _ in 0..12 {
            store.count_failure(Attempt { from: "192.0.2.1".parse().unwrap(), ..long_after }).await.unwrap();
        }
        assert!(store.must_wait(long_after).await.unwrap().is_some());
    }

    #[tokio::test]
    async fn an_address_waits_whatever_the_names_and_a_network_of_ipv6_is_one() {
        let (_dir, store, at) = store().await;
        for n in 0..30_u8 {
            let from = format!("2001:db8:0:1::{n:x}");
            let name: &'static str = Box::leak(format!("guess {n}").into_boxed_str());
            store.count_failure(attempt(name, &from, at)).await.unwrap();
        }
        assert!(store.must_wait(attempt("monitor", "2001:db8:0:1:9::9", at)).await.unwrap().is_some());
        assert_eq!(store.must_wait(attempt("monitor", "2001:db8:0:2::1", at)).await.unwrap(), None);
    }

    #[tokio::test]
    async fn the_record_names_only_accounts() {
        let (_dir, store, at) = store().await;
        store.record_sign_in(attempt("monitor", "192.0.2.1", at), Method::Basic, Came::Wrong).await.unwrap();
        store
            .record_sign_in(attempt("my password", "192.0.2.1", at), Method::Password, Came::Wrong)
            .await
            .unwrap();
        let lines = store.sign_ins(None, 10).await.unwrap();
        assert_eq!(lines.iter().map(|line| line.account.as_str()).collect::<Vec<_>>(), ["", "monitor"]);
        let own = store.sign_ins(Some("monitor"), 10).await.unwrap();
        assert_eq!(own, lines[1..]);
        assert_eq!((own[0].method.as_str(), own[0].outcome.as_str()), ("basic", "wrong"));
    }
}
