//! The keys of agents, read with their vouchers: a key that nobody vouched for is none, whatever the store says.

use std::collections::HashMap;

use crate::store::db::{self, Row};
use sekimori_wire::envelope::VerifyingKey;
use sekimori_wire::id::AgentId;
use sekimori_wire::keyring::KeyRing;

use crate::store::{Store, StoreError, query};

/// Of one agent that has this first key; `None` if the key does not give that identity.
///
/// # Errors
/// If the store fails.
pub async fn of(store: &Store, agent: AgentId, first: &[u8]) -> Result<Option<KeyRing>, StoreError> {
    let ring = VerifyingKey::from_bytes(first).map(KeyRing::new).filter(|ring| ring.agent() == agent);
    let Some(mut ring) = ring else { return Ok(None) };
    let rows =
        db::query("SELECT from_epoch, key, voucher FROM agent_keys WHERE agent = $1 ORDER BY from_epoch")
            .bind(agent.to_string())
            .fetch_all(store.reader())
            .await
            .map_err(query("read the keys of an agent"))?;
    for row in &rows {
        if !add(&mut ring, row).map_err(query("read the keys of an agent"))? {
            break;
        }
    }
    Ok(Some(ring))
}

/// Of every agent, by identity; without those whose first key does not give it.
///
/// # Errors
/// If the store fails.
pub async fn all(store: &Store) -> Result<HashMap<String, KeyRing>, StoreError> {
    let rows = db::query(
        "SELECT a.id, a.signing_key, k.from_epoch, k.key, k.voucher FROM agents a
         LEFT JOIN agent_keys k ON k.agent = a.id ORDER BY a.id, k.from_epoch",
    )
    .fetch_all(store.reader())
    .await
    .map_err(query("read the keys of the agents"))?;
    let mut rings = HashMap::<String, KeyRing>::new();
    for row in &rows {
        let of = |row: &Row| -> Result<(String, Vec<u8>, bool), db::Error> {
            let later = row.get::<Option<i64>>("from_epoch")?.is_some();
            Ok((row.get("id")?, row.get("signing_key")?, later))
        };
        let (id, first, later) = of(row).map_err(query("read the keys of the agents"))?;
        let first = VerifyingKey::from_bytes(&first).filter(|key| key.id().to_string() == id);
        let Some(first) = first else { continue };
        let ring = rings.entry(id).or_insert_with(|| KeyRing::new(first));
        if later {
            // One that is not vouched for leaves out those after it too: they are vouched for by it.
            add(ring, row).map_err(query("read the keys of the agents"))?;
        }
    }
    Ok(rings)
}

fn add(ring: &mut KeyRing, row: &Row) -> Result<bool, db::Error> {
    let from = u64::try_from(row.get::<i64>("from_epoch")?).unwrap_or_default();
    let key: Vec<u8> = row.get("key")?;
    let voucher: Vec<u8> = row.get("voucher")?;
    Ok(VerifyingKey::from_bytes(&key).is_some_and(|key| ring.vouch(from, key, &voucher).is_ok()))
}
