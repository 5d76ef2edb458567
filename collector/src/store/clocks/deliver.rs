//! Emptying the outbox: at least once, so many to one address a minute, with growing pauses, until it arrives or is
//! given up.
//!
//! Whoever sends a notice holds it until a time; if that replica dies, another sends it again after it. The receiver
//! sees by the key that it is the same.

use sekimori_wire::time::Timestamp;

use super::Clocks;
use crate::clock::{from_stored, stored};
use crate::notify::settings::Address;
use crate::notify::template::{Message, NoticeKind};
use crate::notify::{self, DELIVERY_TIMEOUT, Failure, Letter};
use crate::store::db::{self, Row};
use crate::store::{StoreError, query};

/// Notices that one round takes.
const ROUND_MAX: i64 = 20;
/// A notice is held for longer than sending a whole round can take.
const LEASE_ROUNDS: u32 = 25;
/// An address that had enough waits so long.
const RATE_PAUSE: std::time::Duration = std::time::Duration::from_secs(15);
const MINUTE: std::time::Duration = std::time::Duration::from_secs(60);

/// A notice in our hands.
struct Held {
    letter: Letter,
    to: Option<Address>,
    attempts: u32,
    lease: i64,
}

/// What became of a round.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Round {
    /// Arrived.
    pub sent: u32,
    /// To be tried again.
    pub failed: u32,
    /// Given up.
    pub dead: u32,
    /// Too many to this address: later.
    pub waiting: u32,
}

impl Round {
    /// Nothing was there.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

impl Clocks {
    /// Sends what is due, once each.
    ///
    /// # Errors
    /// If the store fails: what was sent and not written down is sent again.
    pub async fn deliver(&self, now: Timestamp) -> Result<Round, StoreError> {
        let mut round = Round::default();
        for held in self.take(now).await? {
            if self.has_enough(&held, now).await? {
                self.put_back(&held, now).await?;
                round.waiting += 1;
                continue;
            }
            let sent = match &held.to {
                Some(to) => notify::send(&self.settings, to, &held.letter, now).await,
                None => Err(Failure::lasting("there is no such way to send a notice")),
            };
            match self.record(&held, sent, now).await? {
                Outcome::Sent => round.sent += 1,
                Outcome::Later => round.failed += 1,
                Outcome::Dead => round.dead += 1,
            }
        }
        Ok(round)
    }

    async fn take(&self, now: Timestamp) -> Result<Vec<Held>, StoreError> {
        let failed = "take notices from the outbox";
        let mut tx = self.store.begin().await?;
        let skip = if tx.lock_clause().is_empty() { "" } else { " FOR UPDATE SKIP LOCKED" };
        let sql = format!(
            "SELECT key, incident, kind, level, channel, address, subject, text, written_at, attempts FROM notices
             WHERE next_at <= $1 AND lease_until <= $1 ORDER BY next_at, key LIMIT $2{skip}"
        );
        let rows = db::query(db::AssertSqlSafe(sql))
            .bind(stored(now))
            .bind(ROUND_MAX)
            .fetch_all(&mut *tx)
            .await
            .map_err(query(failed))?;
        let lease = stored(now.plus(DELIVERY_TIMEOUT * LEASE_ROUNDS));
        let held: Vec<Held> =
            rows.iter().map(|row| hold(row, lease)).collect::<Result<_, _>>().map_err(query(failed))?;
        for one in &held {
            db::query("UPDATE notices SET lease_until = $2 WHERE key = $1")
                .bind(&one.letter.key)
                .bind(lease)
                .execute(&mut *tx)
                .await
                .map_err(query(failed))?;
        }
        tx.commit().await?;
        Ok(held)
    }

    async fn has_enough(&self, held: &Held, now: Timestamp) -> Result<bool, StoreError> {
        let Some(to) = &held.to else { return Ok(false) };
        let sent: i64 = db::query_scalar(
            "SELECT count(*) FROM notices WHERE channel = $1 AND address = $2 AND sent_at > $3",
        )
        .bind(to.channel())
        .bind(to.value())
        .bind(stored(now.minus(MINUTE)))
        .fetch_one(self.store.reader())
        .await
        .map_err(query("count notices"))?;
        Ok(sent >= i64::from(self.settings.limits.per_minute))
    }

    async fn put_back(&self, held: &Held, now: Timestamp) -> Result<(), StoreError> {
        db::query("UPDATE notices SET lease_until = 0, next_at = $3 WHERE key = $1 AND lease_until = $2")
            .bind(&held.letter.key)
            .bind(held.lease)
            .bind(stored(now.plus(RATE_PAUSE)))
            .execute(self.store.writer())
            .await
            .map(drop)
            .map_err(query("put a notice back"))
    }

    async fn record(
        &self,
        held: &Held,
        sent: Result<(), Failure>,
        now: Timestamp,
    ) -> Result<Outcome, StoreError> {
        let attempts = held.attempts.saturating_add(1);
        let outcome = match &sent {
            Ok(()) => Outcome::Sent,
            Err(failure) if failure.lasting || attempts >= self.settings.limits.attempts => Outcome::Dead,
            Err(_) => Outcome::Later,
        };
        let error = sent.err().map(|failure| failure.detail);
        if outcome == Outcome::Dead {
            tracing::warn!(notice = held.letter.key, error, "a notice is given up");
        }
        let at = stored(now);
        let next = stored(now.plus(self.settings.limits.wait(attempts)));
        let only = |wanted: Outcome, value: i64| (outcome == wanted).then_some(value);
        let mut tx = self.store.begin().await?;
        db::query(
            "UPDATE notices SET attempts = $2, lease_until = 0, error = $3, sent_at = coalesce(sent_at, $4),
                    dead_at = $5, next_at = $6,
                    pass_at = CASE WHEN CAST($5 AS BIGINT) IS NOT NULL AND pass_at IS NOT NULL THEN $5 ELSE pass_at END
             WHERE key = $1",
        )
        .bind(&held.letter.key)
        .bind(i64::from(attempts))
        .bind(error.as_deref())
        .bind(only(Outcome::Sent, at))
        .bind(only(Outcome::Dead, at))
        .bind(only(Outcome::Later, next))
        .execute(&mut *tx)
        .await
        .map_err(query("write a delivery down"))?;
        db::query(
            "INSERT INTO notice_attempts (notice, n, at, error)
             SELECT $1, coalesce(max(n), 0) + 1, $2, $3 FROM notice_attempts WHERE notice = $1",
        )
        .bind(&held.letter.key)
        .bind(at)
        .bind(error.as_deref())
        .execute(&mut *tx)
        .await
        .map_err(query("write an attempt down"))?;
        tx.commit().await?;
        Ok(outcome)
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Outcome {
    Sent,
    Later,
    Dead,
}

fn hold(row: &Row, lease: i64) -> Result<Held, db::Error> {
    let number = |column: &'static str| row.get::<i64>(column);
    let (channel, address): (String, String) = (row.get("channel")?, row.get("address")?);
    let kind: String = row.get("kind")?;
    Ok(Held {
        letter: Letter {
            key: row.get("key")?,
            kind: NoticeKind::from_name(&kind).unwrap_or(NoticeKind::Timer),
            incident: row.get("incident")?,
            level: u8::try_from(number("level")?).unwrap_or_default(),
            at: from_stored(number("written_at")?),
            message: Message { subject: row.get("subject")?, body: row.get("text")? },
        },
        to: Address::new(&channel, &address),
        attempts: u32::try_from(number("attempts")?).unwrap_or_default(),
        lease,
    })
}

#[cfg(test)]
impl Clocks {
    /// Takes a round and never sends it, as a replica that dies; tells how many.
    pub(super) async fn take_for_test(&self, now: Timestamp) -> usize {
        self.take(now).await.unwrap_or_default().len()
    }
}
