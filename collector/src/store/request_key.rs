//! Requests that must not be done twice: a key that the caller chose, what was asked under it, and the answer.
//!
//! The claim is a row of its own, written before the request is done, so that it holds over several collectors. A claim
//! without an answer is of a request that runs, or of one whose collector died: whether that was done is not known, so
//! it is never done again.

use std::time::Duration;

use sekimori_wire::id::Digest;
use sekimori_wire::time::Timestamp;

use super::db;
use super::{Store, StoreError, query};
use crate::clock::stored;

/// How long a key is remembered.
const KEPT: Duration = Duration::from_secs(24 * 60 * 60);
/// Keys of one account that are remembered; beyond it there are no new ones until some are forgotten.
pub const KEYS_MAX: i64 = 10_000;

/// Somebody asks for something under a key.
#[derive(Clone, Debug)]
pub struct Claim {
    /// Whose.
    pub account: String,
    /// As the caller chose it.
    pub key: String,
    /// Digest of what is asked.
    pub asked: Digest,
    /// When.
    pub at: Timestamp,
}

/// An answer, to be given again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// Of HTTP.
    pub status: u16,
    /// Where what was made is.
    pub location: Option<String>,
    /// JSON.
    pub body: Vec<u8>,
}

/// What the key says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Claimed {
    /// It is new: do it, then [`Store::answer_key`] or [`Store::release_key`].
    New,
    /// It was done; this was the answer.
    Done(Answer),
    /// It was claimed, and there is no answer.
    Unanswered,
    /// Something else was asked under it.
    Other,
    /// The account has too many.
    TooMany,
}

type Row = (Vec<u8>, Option<i64>, Option<String>, Option<Vec<u8>>);

impl Store {
    /// Claims a key, or says what became of it.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn claim_key(&self, claim: &Claim) -> Result<Claimed, StoreError> {
        let failed = "claim a key";
        let mut tx = self.begin().await?;
        db::query("DELETE FROM request_keys WHERE at <= $1")
            .bind(stored(claim.at.minus(KEPT)))
            .execute(&mut *tx)
            .await
            .map_err(query(failed))?;
        let made = db::query(
            "INSERT INTO request_keys (account, key, asked, at)
             SELECT $1, $2, $3, $4 WHERE (SELECT count(*) FROM request_keys WHERE account = $1) < $5
             ON CONFLICT DO NOTHING",
        )
        .bind(&claim.account)
        .bind(&claim.key)
        .bind(claim.asked.as_bytes().as_slice())
        .bind(stored(claim.at))
        .bind(KEYS_MAX)
        .execute(&mut *tx)
        .await
        .map_err(query(failed))?;
        tx.commit().await?;
        if made.rows_affected() == 1 {
            return Ok(Claimed::New);
        }
        let row: Option<Row> = db::query_as(
            "SELECT asked, status, location, body FROM request_keys WHERE account = $1 AND key = $2",
        )
        .bind(&claim.account)
        .bind(&claim.key)
        .fetch_optional(self.writer())
        .await
        .map_err(query(failed))?;
        let Some((asked, status, location, body)) = row else { return Ok(Claimed::TooMany) };
        if asked != claim.asked.as_bytes().as_slice() {
            return Ok(Claimed::Other);
        }
        let status = status.and_then(|status| u16::try_from(status).ok());
        let answer = status.zip(body).map(|(status, body)| Answer { status, location, body });
        Ok(answer.map_or(Claimed::Unanswered, Claimed::Done))
    }

    /// Keeps the answer to what was done under a key.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn answer_key(&self, claim: &Claim, answer: &Answer) -> Result<(), StoreError> {
        db::query(
            "UPDATE request_keys SET status = $3, location = $4, body = $5 WHERE account = $1 AND key = $2",
        )
        .bind(&claim.account)
        .bind(&claim.key)
        .bind(i64::from(answer.status))
        .bind(answer.location.as_deref())
        .bind(answer.body.as_slice())
        .execute(self.writer())
        .await
        .map(drop)
        .map_err(query("keep the answer to a key"))
    }

    /// Gives a key back: nothing was done under it.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn release_key(&self, claim: &Claim) -> Result<(), StoreError> {
        db::query("DELETE FROM request_keys WHERE account = $1 AND key = $2")
            .bind(&claim.account)
            .bind(&claim.key)
            .execute(self.writer())
            .await
            .map(drop)
            .map_err(query("give a key back"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn claim(key: &str, asked: &[u8], hour: u64) -> Claim {
        let at = Timestamp::from_secs(1_800_000_000 + hour * 3600);
        Claim { account: "soc".to_owned(), key: key.to_owned(), asked: Digest::of(asked), at }
    }

    #[tokio::test]
    async fn a_key_is_claimed_once_answered_the_same_and_forgotten_after_a_day() {
        let dir = tempfile::tempdir().unwrap();
        let store = crate::store::testing::store(&dir.path().join("s.db")).await;
        let first = claim("k", b"a", 0);
        assert_eq!(store.claim_key(&first).await.unwrap(), Claimed::New);
        assert_eq!(store.claim_key(&first).await.unwrap(), Claimed::Unanswered);
        assert_eq!(store.claim_key(&claim("k", b"b", 0)).await.unwrap(), Claimed::Other);
        let answer = Answer { status: 201, location: Some("/x".to_owned()), body: b"{}".to_vec() };
        store.answer_key(&first, &answer).await.unwrap();
        assert_eq!(store.claim_key(&claim("k", b"a", 23)).await.unwrap(), Claimed::Done(answer));
        let other = Claim { account: "monitor".to_owned(), ..first.clone() };
        assert_eq!(store.claim_key(&other).await.unwrap(), Claimed::New, "keys are each account's own");
        store.release_key(&other).await.unwrap();
        assert_eq!(store.claim_key(&other).await.unwrap(), Claimed::New);
        assert_eq!(store.claim_key(&claim("k", b"b", 24)).await.unwrap(), Claimed::New);
    }

    #[tokio::test]
    async fn of_many_at_once_one_wins() {
        let dir = tempfile::tempdir().unwrap();
        let store = crate::store::testing::store(&dir.path().join("s.db")).await;
        let one = claim("k", b"a", 0);
        let all = futures_util::future::join_all((0..8).map(|_| store.claim_key(&one))).await;
        let new = all.iter().filter(|said| matches!(said, Ok(Claimed::New))).count();
        assert_eq!(new, 1, "{all:?}");
        assert!(all.iter().all(|said| matches!(said, Ok(Claimed::New | Claimed::Unanswered))), "{all:?}");
    }
}
