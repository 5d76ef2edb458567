//! Whom a token lets in: a new agent at once, one that would follow another only after an operator has confirmed it.

use std::collections::BTreeSet;

use crate::store::db::{self, Conn, FromRow, Row};
use sekimori_wire::enroll::HELD;
use sekimori_wire::envelope::VerifyingKey;
use sekimori_wire::id::{AgentId, Digest};
use sekimori_wire::time::Timestamp;
use serde::Serialize;

use super::FleetError;
use super::authority::Issued;
use crate::clock::{self, from_stored, stored};
use crate::store::{Store, StoreError, query};

/// Who asks to be let in.
#[derive(Clone, Copy, Debug)]
pub struct Applicant<'a> {
    /// The hash of the token's secret.
    pub token: &'a Digest,
    /// Its identity: that of its first key.
    pub agent: AgentId,
    /// The key that it asks with.
    pub key: &'a VerifyingKey,
    /// Its own label.
    pub name: &'a str,
}

/// What it gets.
#[derive(Debug)]
pub struct Admitted {
    /// 団体コード.
    pub body: String,
    /// The chain that it must start.
    pub epoch: u64,
}

#[derive(FromRow)]
struct TokenRow {
    body: String,
    name: String,
    replaces: Option<String>,
}

/// The identity of whoever holds this key now: its hash, or that of the first key if it is a later one.
///
/// # Errors
/// If it is a key that another has followed, or the store fails.
pub async fn identity_of(store: &Store, key: &VerifyingKey) -> Result<AgentId, FleetError> {
    let agent: Option<String> = db::query_scalar(
        "SELECT agent FROM agent_keys WHERE agent = $1 OR key = $2 ORDER BY from_epoch DESC LIMIT 1",
    )
    .bind(key.id().to_string())
    .bind(key.as_bytes().as_slice())
    .fetch_optional(store.reader())
    .await
    .map_err(query("look for a key"))?;
    let Some(agent) = agent else { return Ok(key.id()) };
    let agent = agent.parse().map_err(|_cause| FleetError::Taken)?;
    let registered = crate::ingest::registry::look_up(store, agent).await?.ok_or(FleetError::Taken)?;
    if registered.keys.newest() == key { Ok(agent) } else { Err(FleetError::Taken) }
}

/// Uses up the token and writes the agent down, both or neither; or writes down that it waits.
///
/// # Errors
/// If the token is not good, the key is not, or an operator must confirm it first.
pub async fn admit(store: &Store, from: &Applicant<'_>, issued: &Issued) -> Result<Admitted, FleetError> {
    let (agent, now) = (from.agent.to_string(), stored(clock::now()));
    let mut tx = store.begin().await?;
    tx.lock_agents(&BTreeSet::from([agent.clone()])).await?;
    // Whoever uses it at the same moment waits here, and then finds it used.
    let lock = tx.lock_clause();
    let token: Option<TokenRow> = db::query_as(db::AssertSqlSafe(format!(
        "SELECT body, name, replaces FROM tokens WHERE secret_hash = $1 AND used_at IS NULL AND expires_at > $2{lock}"
    )))
    .bind(from.token.as_bytes().as_slice())
    .bind(now)
    .fetch_optional(&mut *tx)
    .await
    .map_err(query("use a token"))?;
    let Some(token) = token else { return Err(FleetError::Token) };
    let follows = follows(&mut tx, &agent, &token).await?;
    let expected = follows.is_none() || follows == token.replaces;
    if let Some(before) = follows.as_deref().filter(|_| !expected)
        && !is_confirmed(&mut tx, from.token, &agent).await?
    {
        hold(&mut tx, from.token, &agent, before).await?;
        tx.commit().await?;
        return Err(FleetError::Held { agent, before: before.to_owned() });
    }
    db::query("UPDATE tokens SET used_at = $2, used_by = $3 WHERE secret_hash = $1")
        .bind(from.token.as_bytes().as_slice())
        .bind(now)
        .bind(&agent)
        .execute(&mut *tx)
        .await
        .map_err(query("use a token"))?;
    let name = if token.name.is_empty() { from.name } else { &token.name };
    let epoch = enter(&mut tx, from, (&token.body, name), issued).await?;
    for before in [follows, token.replaces].into_iter().flatten().filter(|before| *before != agent) {
        db::query("UPDATE agents SET revoked_at = $2 WHERE id = $1 AND body = $3 AND revoked_at IS NULL")
            .bind(before)
            .bind(now)
            .bind(&token.body)
            .execute(&mut *tx)
            .await
            .map_err(query("revoke the agent that is replaced"))?;
    }
    db::query("DELETE FROM enrolments_held WHERE token = $1")
        .bind(from.token.as_bytes().as_slice())
        .execute(&mut *tx)
        .await
        .map_err(query("let an agent in"))?;
    tx.commit().await?;
    Ok(Admitted { body: token.body, epoch })
}

/// Whom it would follow: itself, if it has delivered before; or another that delivers under the name that the token gives.
async fn follows(tx: &mut Conn, agent: &str, token: &TokenRow) -> Result<Option<String>, FleetError> {
    let known = db::query(
        "SELECT body, revoked_at, EXISTS (SELECT 1 FROM chains WHERE agent = id) AS delivered FROM agents WHERE id = $1",
    )
    .bind(agent)
    .fetch_optional(&mut *tx)
    .await
    .map_err(query("look for an agent"))?;
    if let Some(known) = known {
        let read = || -> Result<(String, Option<i64>, bool), db::Error> {
            Ok((known.get("body")?, known.get("revoked_at")?, known.get("delivered")?))
        };
        let (body, revoked_at, delivered) = read().map_err(query("look for an agent"))?;
        if revoked_at.is_some() || body != token.body {
            return Err(FleetError::Taken);
        }
        return Ok(delivered.then(|| agent.to_owned()));
    }
    if token.name.is_empty() {
        return Ok(None);
    }
    db::query_scalar(
        "SELECT id FROM agents WHERE body = $1 AND name = $2 AND revoked_at IS NULL AND last_seen IS NOT NULL
         ORDER BY last_seen DESC LIMIT 1",
    )
    .bind(&token.body)
    .bind(&token.name)
    .fetch_optional(tx)
    .await
    .map_err(|cause| query("look for an agent")(cause).into())
}

async fn is_confirmed(tx: &mut Conn, token: &Digest, agent: &str) -> Result<bool, StoreError> {
    db::query_scalar(
        "SELECT EXISTS (SELECT 1 FROM enrolments_held WHERE token = $1 AND agent = $2 AND confirmed_at IS NOT NULL)",
    )
    .bind(token.as_bytes().as_slice())
    .bind(agent)
    .fetch_one(tx)
    .await
    .map_err(query("look for a confirmation"))
}

/// One row a token, so that nobody without one can make rows. Another agent with the same token starts anew.
async fn hold(tx: &mut Conn, token: &Digest, agent: &str, before: &str) -> Result<(), StoreError> {
    db::query(
        "INSERT INTO enrolments_held (token, agent, replaces, since) VALUES ($1, $2, $3, $4)
         ON CONFLICT (token) DO UPDATE SET agent = excluded.agent, replaces = excluded.replaces,
            since = excluded.since, confirmed_at = NULL WHERE enrolments_held.agent <> excluded.agent",
    )
    .bind(token.as_bytes().as_slice())
    .bind(agent)
    .bind(before)
    .bind(stored(clock::now()))
    .execute(tx)
    .await
    .map(drop)
    .map_err(query("hold an enrolment"))
}

/// The agent's row, and the epoch that it must start: one that neither a batch nor a key has begun.
async fn enter(
    tx: &mut Conn,
    from: &Applicant<'_>,
    (body, name): (&str, &str),
    issued: &Issued,
) -> Result<u64, FleetError> {
    let (agent, now) = (from.agent.to_string(), stored(clock::now()));
    // A revoked key never comes back, nor does one come to another body.
    let epoch: Option<i64> = db::query_scalar(
        "INSERT INTO agents (id, name, body, signing_key, cert_serial, cert_expires_at, enrolled_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7)
         ON CONFLICT (id) DO UPDATE SET name = excluded.name, cert_serial = excluded.cert_serial,
            cert_expires_at = excluded.cert_expires_at, enrolled_at = excluded.enrolled_at, certified_at = NULL
         WHERE agents.revoked_at IS NULL AND agents.body = excluded.body
         RETURNING max((SELECT coalesce(max(epoch), 0) FROM chains WHERE agent = $1),
            (SELECT coalesce(max(from_epoch), 1) - 1 FROM agent_keys WHERE agent = $1))",
    )
    .bind(&agent)
    .bind(name)
    .bind(body)
    .bind(from.key.as_bytes().as_slice())
    .bind(&issued.serial)
    .bind(stored(issued.expires_at))
    .bind(now)
    .fetch_optional(tx)
    .await
    .map_err(query("add an agent"))?;
    let epoch = epoch.ok_or(FleetError::Taken)?;
    Ok(u64::try_from(epoch).unwrap_or_default() + 1)
}

/// An enrolment that waits for an operator.
#[derive(Clone, Debug, Serialize)]
pub struct HeldRow {
    /// Who asks.
    pub agent: String,
    /// Whom it would follow.
    pub replaces: String,
    /// 団体コード.
    pub body: String,
    /// The label that the token gives.
    pub name: String,
    /// When it asked first.
    pub since: Timestamp,
    /// An operator has confirmed it; it has not come back yet.
    pub confirmed: bool,
    /// What agents are told meanwhile.
    pub kind: &'static str,
}

/// Enrolments that wait, with tokens that are still good.
///
/// # Errors
/// If the store fails.
pub async fn held(store: &Store) -> Result<Vec<HeldRow>, StoreError> {
    let rows = db::query(
        "SELECT h.agent, h.replaces, t.body, t.name, h.since, h.confirmed_at IS NOT NULL AS confirmed
         FROM enrolments_held h JOIN tokens t ON t.secret_hash = h.token
         WHERE t.used_at IS NULL AND t.expires_at > $1 ORDER BY h.since, h.agent",
    )
    .bind(stored(clock::now()))
    .fetch_all(store.reader())
    .await
    .map_err(query("list held enrolments"))?;
    let row = |row: &Row| -> Result<HeldRow, db::Error> {
        Ok(HeldRow {
            agent: row.get("agent")?,
            replaces: row.get("replaces")?,
            body: row.get("body")?,
            name: row.get("name")?,
            since: from_stored(row.get("since")?),
            confirmed: row.get("confirmed")?,
            kind: HELD,
        })
    };
    rows.iter().map(row).collect::<Result<_, _>>().map_err(query("list held enrolments"))
}

/// Lets a held agent in when it asks again. Says whether one waited.
///
/// # Errors
/// If the store fails.
pub async fn confirm(store: &Store, agent: AgentId) -> Result<bool, StoreError> {
    db::query("UPDATE enrolments_held SET confirmed_at = $2 WHERE agent = $1 AND confirmed_at IS NULL")
        .bind(agent.to_string())
        .bind(stored(clock::now()))
        .execute(store.writer())
        .await
        .map(|done| done.rows_affected() > 0)
        .map_err(query("confirm an enrolment"))
}
