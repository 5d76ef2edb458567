//! What the fleet waits for: enrolments that an operator must confirm, agents that have not followed a swap of the CA, and
//! certificates that should have been renewed by now.

use std::time::Duration;

use sekimori_wire::time::Timestamp;
use serde::Serialize;

use super::admission::{self, HeldRow};
use super::swap::{self, Behind};
use crate::clock::from_stored;
use crate::store::db::{self, FromRow};
use crate::store::{Store, StoreError, query};

/// What is not settled.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Standing {
    /// Enrolments that wait.
    pub held: Vec<HeldRow>,
    /// Who follows a swap of the CA; none if there is no swap.
    pub swap: Option<Followers>,
    /// Agents whose certificates are past the time when they renew them.
    pub renewals_due: Vec<Due>,
}

/// Who follows a swap.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Followers {
    /// Agents that trust the new CA and the new key.
    pub followed: u64,
    /// Those that do not yet.
    pub behind: Vec<Behind>,
}

/// An agent that should have renewed its certificate.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Due {
    /// Identity.
    pub id: String,
    /// Label.
    pub name: String,
    /// 団体コード.
    pub body: String,
    /// When the certificate ends.
    pub expires: Timestamp,
}

#[derive(FromRow)]
struct Certified {
    id: String,
    name: String,
    body: String,
    certified: i64,
    expires: i64,
}

/// Reads it; `trust` names what agents are to follow while a swap goes on.
///
/// # Errors
/// If the store fails.
pub async fn standing(store: &Store, trust: Option<&str>, now: Timestamp) -> Result<Standing, StoreError> {
    let certified: Vec<Certified> = db::query_as(
        "SELECT id, name, body, coalesce(certified_at, enrolled_at) AS certified, cert_expires_at AS expires
         FROM agents WHERE revoked_at IS NULL ORDER BY cert_expires_at, id",
    )
    .fetch_all(store.reader())
    .await
    .map_err(query("look for certificates that should be renewed"))?;
    let swap = match trust {
        None => None,
        Some(trust) => {
            let behind = swap::behind(store, trust).await?;
            let followed = certified.len().saturating_sub(behind.len()) as u64;
            Some(Followers { followed, behind })
        }
    };
    let due = |agent: Certified| {
        let (from, expires) = (from_stored(agent.certified), from_stored(agent.expires));
        let is_due = now > from.plus(renewed_within(expires.since(from)));
        is_due.then_some(Due { id: agent.id, name: agent.name, body: agent.body, expires })
    };
    Ok(Standing {
        held: admission::held(store).await?,
        swap,
        renewals_due: certified.into_iter().filter_map(due).collect(),
    })
}

/// An agent renews its certificate before two thirds of its life are over.
const fn renewed_within(life: Duration) -> Duration {
    Duration::from_secs(life.as_secs() / 3 * 2)
}
