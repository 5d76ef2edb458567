//! Who may deliver batches: read from the store for every submission, so that a revocation acts at once.

use std::sync::Arc;

use crate::store::db;
use sekimori_wire::id::{AgentId, BodyCode};
use sekimori_wire::keyring::KeyRing;

use crate::fleet::keys;
use crate::store::{Store, StoreError, query};

/// An agent that is enrolled and not revoked.
#[derive(Clone, Debug)]
pub struct Registered {
    /// Which agent.
    pub agent: AgentId,
    /// Whose network it watches, by enrolment; what a batch claims about it does not count.
    pub body: BodyCode,
    /// What its batches must be signed with.
    pub keys: Arc<KeyRing>,
}

/// The agent, if it is enrolled and not revoked.
///
/// # Errors
/// If the store fails.
pub async fn look_up(store: &Store, agent: AgentId) -> Result<Option<Registered>, StoreError> {
    let row = db::query("SELECT body, signing_key FROM agents WHERE id = $1 AND revoked_at IS NULL")
        .bind(agent.to_string())
        .fetch_optional(store.reader())
        .await
        .map_err(query("look up an agent"))?;
    let Some(row) = row else { return Ok(None) };
    let body: String = row.get("body").map_err(query("look up an agent"))?;
    let key: Vec<u8> = row.get("signing_key").map_err(query("look up an agent"))?;
    let keys = keys::of(store, agent, &key).await?;
    Ok(body.parse().ok().zip(keys).map(|(body, keys)| Registered { agent, body, keys: Arc::new(keys) }))
}
