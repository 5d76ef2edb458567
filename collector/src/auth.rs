//! Who may use the console and the API: passwords checked, guesses slowed down.
//!
//! A password is verified off the async threads, at most a few at a time, so that a flood of logins can neither stall
//! ingest nor exhaust memory (Argon2id takes 19 MiB each). An unknown user costs the same as a wrong password.

pub mod approval;
pub mod certificate;
pub mod lockout;
pub mod oidc;
pub mod password;
pub mod role;
pub mod rules;
pub mod scope;
pub mod session;
pub mod token;
pub mod totp;

use core::net::IpAddr;
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use sekimori_wire::id::Digest;
use sekimori_wire::text::BoundedText;
use sekimori_wire::time::Timestamp;
use tokio::sync::Semaphore;

use self::password::{PASSWORD_BYTES_MAX, PasswordError, hash_password, verify_password};
use self::role::Role;
use self::scope::Scope;
use crate::incident::permission::Part;
use crate::incident::transition::{Actor, Bodies};

/// Wrong passwords for one name from one address before it must wait.
const FAILURES_PER_NAME_MAX: u32 = 5;
/// Wrong passwords from one address, whatever the names.
const FAILURES_PER_ADDRESS_MAX: u32 = 30;
/// How long failures are remembered.
const FAILURE_WINDOW: Duration = Duration::from_secs(300);
/// Addresses and names remembered; beyond it the oldest is forgotten.
const ATTEMPTS_MAX: usize = 4096;
/// Addresses of whose refusals it is remembered that they were told.
const TOLD_MAX: usize = 4096;
/// Passwords verified at the same time.
const VERIFICATIONS_MAX: usize = 2;
/// Hash of nobody's password, with the same cost as everybody's: what an unknown user's password is compared with.
const NOBODY: &str =
    "$argon2id$v=19$m=19456,t=2,p=1$DMsTWfXHDQ9nu0m2Qhw7bw$vOxcnoU9ngJrKzeG32LhlEJJUz17adxrz+Um+XBoHNs";

/// Longest user name.
pub type UserName = BoundedText<64>;

/// An account, without its password.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    /// As typed at login.
    pub name: UserName,
    /// What they may do.
    pub role: Role,
    /// What they see.
    pub scope: Scope,
}

impl User {
    /// As the state machine knows them.
    pub fn actor(&self) -> Actor {
        let bodies = match &self.scope {
            Scope::All => Bodies::All,
            Scope::Bodies(bodies) => Bodies::Only(bodies.iter().copied().collect()),
        };
        Actor { name: self.name.as_str().to_owned(), role: Part::Person(self.role), bodies }
    }
}

/// Checks passwords and remembers failures.
#[derive(Debug)]
pub struct Guard {
    running: Semaphore,
    failures: Mutex<HashMap<(IpAddr, Option<Digest>), Failures>>,
    told: Mutex<HashMap<IpAddr, u64>>,
}

#[derive(Clone, Copy, Debug)]
struct Failures {
    since: Timestamp,
    count: u32,
}

impl Default for Guard {
    fn default() -> Self {
        Self {
            running: Semaphore::new(VERIFICATIONS_MAX),
            failures: Mutex::default(),
            told: Mutex::default(),
        }
    }
}

impl Guard {
    /// Whether `password` is the one behind `stored` (`None`: there is no such user).
    ///
    /// # Errors
    /// Too many failures before, or the wrong password; the two are all that a caller may learn.
    pub async fn verify(
        &self,
        name: &str,
        password: String,
        stored: Option<String>,
        from: IpAddr,
        now: Timestamp,
    ) -> Result<(), LoginError> {
        if let Some(retry_after) = self.must_wait(name, from, now) {
            return Err(LoginError::TooMany { retry_after });
        }
        // Counted before the slow part: parallel guesses must not all pass the check above.
        self.count_failure(name, from, now);
        let known = stored.is_some();
        let hash = stored.unwrap_or_else(|| NOBODY.to_owned());
        let _permit = self.running.acquire().await.map_err(|_closed| LoginError::Wrong)?;
        let fits =
            tokio::task::spawn_blocking(move || password_fits(&password, &hash)).await.unwrap_or(false);
        if fits && known {
            self.forget(name, from);
            Ok(())
        } else {
            Err(LoginError::Wrong)
        }
    }

    /// Whether the refusal of somebody who must wait is to be written down: of one address once a minute, so that a flood
    /// does not write.
    pub fn tells_of(&self, from: IpAddr, now: Timestamp) -> bool {
        let minute = now.secs() / 60;
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        if told.len() >= TOLD_MAX {
            told.retain(|_from, at| *at == minute);
        }
        if told.len() >= TOLD_MAX && !told.contains_key(&from) {
            return false;
        }
        told.insert(from, minute) != Some(minute)
    }

    /// Hashes a new password off the async threads, among the same few as verifications.
    ///
    /// # Errors
    /// If the system has no random source.
    pub async fn hash(&self, password: String) -> Result<String, PasswordError> {
        let _permit = self.running.acquire().await.map_err(|_closed| PasswordError::Hash)?;
        let hashing = tokio::task::spawn_blocking(move || hash_password(&password));
        hashing.await.unwrap_or(Err(PasswordError::Hash))
    }

    fn must_wait(&self, name: &str, from: IpAddr, now: Timestamp) -> Option<Duration> {
        let failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
        [(Some(named(name)), FAILURES_PER_NAME_MAX), (None, FAILURES_PER_ADDRESS_MAX)]
            .into_iter()
            .filter_map(|(who, max)| failures.get(&(from, who)).filter(|failed| failed.count >= max))
            .map(|failed| FAILURE_WINDOW.saturating_sub(now.since(failed.since)))
            .filter(|left| !left.is_zero())
            .max()
    }

    fn count_failure(&self, name: &str, from: IpAddr, now: Timestamp) {
        let mut failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
        for who in [Some(named(name)), None] {
            if failures.len() >= ATTEMPTS_MAX {
                failures.retain(|_key, failed| now.since(failed.since) < FAILURE_WINDOW);
            }
            if failures.len() >= ATTEMPTS_MAX {
                let oldest = failures.iter().min_by_key(|(_key, failed)| failed.since).map(|(key, _)| *key);
                oldest.and_then(|key| failures.remove(&key));
            }
            let failed = failures.entry((from, who)).or_insert(Failures { since: now, count: 0 });
            if now.since(failed.since) >= FAILURE_WINDOW {
                *failed = Failures { since: now, count: 0 };
            }
            failed.count = failed.count.saturating_add(1);
        }
    }

    /// A good password clears the name; the address keeps its count less this one.
    fn forget(&self, name: &str, from: IpAddr) {
        let mut failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
        failures.remove(&(from, Some(named(name))));
        if let Some(failed) = failures.get_mut(&(from, None)) {
            failed.count = failed.count.saturating_sub(1);
        }
    }
}

/// A digest keeps entries small, whatever is typed as a name.
fn named(name: &str) -> Digest {
    Digest::of(name.as_bytes())
}

fn password_fits(password: &str, stored: &str) -> bool {
    password.len() <= PASSWORD_BYTES_MAX && verify_password(password, stored)
}

/// Why a login failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LoginError {
    /// The name or the password is wrong; which one is not said.
    #[error("the name or the password is wrong")]
    Wrong,
    /// Too many failures from this address.
    #[error("too many failed logins; try again in {} seconds", retry_after.as_secs())]
    TooMany {
        /// How long to wait.
        retry_after: Duration,
    },
}

#[cfg(test)]
mod tests {
    use core::net::Ipv4Addr;

    use super::*;
    use crate::auth::password::hash_password;

    const HERE: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));
    const THERE: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 2));

    #[tokio::test]
    async fn good_passwords_pass_and_others_do_not() {
        let guard = Guard::default();
        let stored = hash_password("correct horse battery").unwrap();
        assert!(stored.starts_with("$argon2id$"));
        let now = Timestamp::from_secs(1000);
        let check = |password: &str, stored: Option<String>| {
            let (guard, password) = (&guard, password.to_owned());
            async move { guard.verify("a", password, stored, HERE, now).await }
        };
        assert_eq!(check("correct horse battery", Some(stored.clone())).await, Ok(()));
        assert_eq!(check("wrong", Some(stored.clone())).await, Err(LoginError::Wrong));
        assert_eq!(check("sekimori: nobody has this password", None).await, Err(LoginError::Wrong));
        assert_eq!(check("x", Some("not a hash".to_owned())).await, Err(LoginError::Wrong));
        assert_eq!(check(&"x".repeat(PASSWORD_BYTES_MAX + 1), Some(stored)).await, Err(LoginError::Wrong));
    }

    #[test]
    fn failures_are_limited_by_name_and_by_address_and_forgotten() {
        let guard = Guard::default();
        let now = Timestamp::from_secs(1000);
        for _ in 0..FAILURES_PER_NAME_MAX {
            assert_eq!(guard.must_wait("a", HERE, now), None);
            guard.count_failure("a", HERE, now);
        }
        assert_eq!(guard.must_wait("a", HERE, now), Some(FAILURE_WINDOW));
        assert_eq!(guard.must_wait("b", HERE, now), None);
        assert_eq!(guard.must_wait("a", THERE, now), None);
        assert_eq!(guard.must_wait("a", HERE, now.plus(FAILURE_WINDOW)), None);
        for n in FAILURES_PER_NAME_MAX..FAILURES_PER_ADDRESS_MAX {
            guard.count_failure(&n.to_string(), HERE, now);
        }
        assert!(guard.must_wait("somebody else", HERE, now).is_some());
        guard.count_failure("c", THERE, now);
        guard.forget("c", THERE);
        assert_eq!(guard.failures.lock().unwrap().get(&(THERE, None)).map(|failed| failed.count), Some(0));
    }

    #[test]
    fn memory_is_bounded_whatever_is_typed() {
        let guard = Guard::default();
        for n in 0..u32::try_from(ATTEMPTS_MAX).unwrap() {
            guard.count_failure("x", IpAddr::V4(Ipv4Addr::from(n)), Timestamp::from_secs(u64::from(n)));
        }
        assert!(guard.failures.lock().unwrap().len() <= ATTEMPTS_MAX);
    }

    #[test]
    fn nobody_costs_what_everybody_costs() {
        let params = |hash: &str| hash.split('$').take(4).collect::<Vec<_>>().join("$");
        assert_eq!(params(NOBODY), params(&hash_password("x").unwrap()));
        assert!(!verify_password("", NOBODY));
    }
}
