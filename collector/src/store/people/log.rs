//! What is done to accounts, and who comes in, as lines of the audit log.
//!
//! Each line names who did it, in which role, from where and by which means. What strangers cause is bounded: of one
//! account (all names that are none count as one), one outcome and one minute, the first is a line at once, and the others
//! are one line with their number when the minute is over.

use sekimori_wire::time::Timestamp;

use super::sign_in::{Attempt, Came, Method};
use crate::audit::Entry;
use crate::auth::User;
use crate::clock::stored;
use crate::store::audit::append;
use crate::store::db::{self, Conn};
use crate::store::{Store, StoreError, query};

/// What failures are added up by.
const MINUTE: u64 = 60;

/// Who does something to an account.
#[derive(Clone, Copy, Debug)]
pub struct By<'a> {
    /// An account, or a user of the operating system.
    pub actor: &'a str,
    /// The account's role; `os` for a user of the operating system.
    pub role: &'a str,
    /// From where.
    pub address: &'a str,
    /// By which means: `console`, `command line`.
    pub means: &'a str,
    /// When.
    pub at: Timestamp,
}

impl<'a> By<'a> {
    /// Somebody with an account.
    pub fn person(user: &'a User, address: &'a str, means: &'a str, at: Timestamp) -> Self {
        Self { actor: user.name.as_str(), role: user.role.as_str(), address, means, at }
    }

    /// The line about what is done to this account.
    pub(in crate::store) fn entry(&self, account: &str, action: &str) -> Entry {
        let reason = serde_json::json!({ "account": account, "address": self.address, "means": self.means });
        Entry {
            at: self.at,
            actor: self.actor.to_owned(),
            role: self.role.to_owned(),
            action: action.to_owned(),
            reason: reason.to_string(),
            ..Entry::default()
        }
    }
}

/// Writes a sign-in down, or adds it to those of its minute.
pub(super) async fn sign_in(
    tx: &mut Conn,
    attempt: Attempt<'_>,
    method: Method,
    came: Came,
) -> Result<(), StoreError> {
    let failed = "write a sign-in into the audit log";
    let known: Option<(String, String)> = db::query_as("SELECT name, role FROM users WHERE name = $1")
        .bind(attempt.name)
        .fetch_optional(&mut *tx)
        .await
        .map_err(query(failed))?;
    // What was typed may be a password: only names of accounts are written down.
    let (name, role) = known.unwrap_or_default();
    let address = attempt.from.to_string();
    end_minutes(tx, attempt.at).await?;
    match came {
        Came::In | Came::Out => {}
        Came::Halfway | Came::Wrong | Came::Replayed | Came::Locked | Came::Refused => {
            let more: i64 = db::query_scalar(
                "INSERT INTO sign_in_minutes (account, outcome, minute, more, address, method)
                 VALUES ($1, $2, $3, 0, $4, $5) ON CONFLICT (account, outcome, minute) DO UPDATE
                 SET more = sign_in_minutes.more + 1, address = excluded.address, method = excluded.method
                 RETURNING more",
            )
            .bind(name.as_str())
            .bind(came.as_str())
            .bind(minute(attempt.at))
            .bind(address.as_str())
            .bind(method.as_str())
            .fetch_one(&mut *tx)
            .await
            .map_err(query(failed))?;
            if more > 0 {
                return Ok(());
            }
        }
    }
    let by = By { actor: &name, role: &role, address: &address, means: method.as_str(), at: attempt.at };
    append(tx, by.entry(&name, &format!("sign_in.{}", came.as_str()))).await
}

/// Writes a line for each minute that is over and had more than its first.
async fn end_minutes(tx: &mut Conn, now: Timestamp) -> Result<(), StoreError> {
    let mut over: Vec<(i64, String, String, i64, String, String)> = db::query_as(
        "DELETE FROM sign_in_minutes WHERE minute < $1
         RETURNING minute, account, outcome, more, address, method",
    )
    .bind(minute(now))
    .fetch_all(&mut *tx)
    .await
    .map_err(query("end a minute of failed sign-ins"))?;
    over.sort();
    for (_, name, outcome, more, address, method) in over {
        if more > 0 {
            let by = By { actor: &name, role: "", address: &address, means: &method, at: now };
            let to = format!("{more} more in that minute");
            append(tx, Entry { to, ..by.entry(&name, &format!("sign_in.{outcome}")) }).await?;
        }
    }
    Ok(())
}

fn minute(at: Timestamp) -> i64 {
    stored(Timestamp::from_secs(at.secs() / MINUTE * MINUTE))
}

impl Store {
    /// Writes down what the minutes that are over had of failed sign-ins.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn end_sign_in_minutes(&self, now: Timestamp) -> Result<(), StoreError> {
        let mut tx = self.begin().await?;
        end_minutes(&mut tx, now).await?;
        tx.commit().await
    }

    /// The newest lines about accounts, newest first: every action with this beginning.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn audit_of_people(&self, prefix: &str, most: i64) -> Result<Vec<Entry>, StoreError> {
        let rows: Vec<(i64, String, String, String, String, String, String)> = db::query_as(
            "SELECT at, actor, role, action, from_state, to_state, reason FROM audit
             WHERE action LIKE $1 || '%' ORDER BY seq DESC LIMIT $2",
        )
        .bind(prefix)
        .bind(most)
        .fetch_all(self.reader())
        .await
        .map_err(query("read the audit log"))?;
        let entry = |(at, actor, role, action, from, to, reason)| Entry {
            at: crate::clock::from_stored(at),
            actor,
            role,
            action,
            from,
            to,
            reason,
            ..Entry::default()
        };
        Ok(rows.into_iter().map(entry).collect())
    }
}

#[cfg(test)]
mod tests;
