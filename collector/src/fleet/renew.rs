//! `POST /v1/renew` on the ingest listener: another certificate, and another signing key if the agent asks for it.
//!
//! And the header by which agents and collector tell each other which CAs and keys they go by
//! ([`TRUST_HEADER`]), on every exchange there.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use crate::store::db;
use axum::body::Bytes;
use axum::extract::{Request, State};
use axum::http::{HeaderValue, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use axum::{Extension, Json};
use sekimori_wire::ack::{Answer, RefusalKind};
use sekimori_wire::envelope::VerifyingKey;
use sekimori_wire::id::AgentId;
use sekimori_wire::keyring::{KeyRing, SUCCESSOR_LABEL, voucher_of};
use sekimori_wire::renew::{RENEW_LABEL, RenewRequest, RenewResponse, Rotation, TRUST_HEADER};

use super::authority::Issued;
use super::{FleetError, decode};
use crate::clock::{self, stored};
use crate::ingest::{refusal, registry};
use crate::server::Intake;
use crate::store::{Store, query};
use crate::tls::Peer;

/// Longest name of a trust that is written down.
const TRUST_BYTES_MAX: usize = 64;

/// What agents said last; saves the store a look at every request.
#[derive(Debug, Default)]
pub struct Followers(Mutex<HashMap<AgentId, String>>);

impl Followers {
    fn is_news(&self, agent: AgentId, trust: &str) -> bool {
        let mut said = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        said.insert(agent, trust.to_owned()).as_deref() != Some(trust)
    }
}

/// Before and after every request of the ingest listener.
pub async fn gate(
    State(state): State<Intake>,
    peer: Option<Extension<Peer>>,
    request: Request,
    next: Next,
) -> Response {
    let trust = state.trust.get();
    if let Some(Extension(peer)) = peer {
        // TLS looked at it when the connection was made, which may be long ago.
        if peer.expires() <= clock::now() {
            let kind = RefusalKind::NotEnrolled;
            let refusal = refusal(kind, "the certificate of this connection has expired", 0);
            state.writer.reject(&peer.agent().to_string(), "expired", &refusal.detail);
            let status = StatusCode::from_u16(kind.http_status()).unwrap_or(StatusCode::FORBIDDEN);
            return (status, Answer::Refused(refusal).to_bytes()).into_response();
        }
        let said = request.headers().get(TRUST_HEADER).and_then(|value| value.to_str().ok());
        if let Some(said) = said.filter(|said| said.len() <= TRUST_BYTES_MAX)
            && state.followers.is_news(peer.agent(), said)
            && let Err(error) = note(&state.store, peer.agent(), said).await
        {
            tracing::warn!(error = super::error_chain(&error), "cannot note what an agent trusts");
        }
    }
    let mut response = next.run(request).await;
    if let Ok(name) = HeaderValue::from_str(&trust.name) {
        response.headers_mut().insert(TRUST_HEADER, name);
    }
    response
}

async fn note(store: &Store, agent: AgentId, trust: &str) -> Result<(), crate::store::StoreError> {
    db::query("UPDATE agents SET trust = $2 WHERE id = $1 AND trust <> $2")
        .bind(agent.to_string())
        .bind(trust)
        .execute(store.writer())
        .await
        .map(drop)
        .map_err(query("note what an agent trusts"))
}

/// `POST /v1/renew`.
pub async fn answer(State(state): State<Intake>, peer: Option<Extension<Peer>>, body: Bytes) -> Response {
    let Some(Extension(peer)) = peer else { return StatusCode::FORBIDDEN.into_response() };
    let outcome = match serde_json::from_slice(&body) {
        Ok(request) => renew(&state, peer.agent(), &request).await,
        Err(_) => Err(FleetError::Malformed { what: "the request" }),
    };
    match outcome {
        Ok(response) => Json(response).into_response(),
        Err(error) => error.answer(&state.writer, "renew", &peer.agent().to_string()),
    }
}

async fn renew(state: &Intake, agent: AgentId, request: &RenewRequest) -> Result<RenewResponse, FleetError> {
    let registered = registry::look_up(&state.store, agent).await?.ok_or(FleetError::NotEnrolled)?;
    let next = request.rotation.as_ref().map(|rotation| Successor::read(&registered.keys, rotation));
    let next = next.transpose()?;
    // Who asks again for the key that we have registered has not had our answer: it still signs with the one before.
    let holder = next.as_ref().map_or(&*registered.keys, |next| &next.before).newest();
    let possession = decode(&request.possession, "possession")?;
    if !holder.verifies_labelled(RENEW_LABEL, request.csr_pem.as_bytes(), &possession) {
        return Err(FleetError::Malformed { what: "possession" });
    }
    let life = state.config.certificate_life;
    let trust = state.trust.get();
    let issued = trust.authority.certify(&request.csr_pem, agent, (clock::now(), life))?;
    write(&state.store, agent, next.as_ref(), &issued).await?;
    tracing::info!(%agent, rotated = next.is_some(), "an agent renewed its certificate");
    Ok(RenewResponse {
        certificate_pem: issued.certificate_pem,
        life_seconds: life.as_secs(),
        ca_pem: trust.ca_pem.clone(),
        collector_keys: trust.collector_keys.clone(),
        ingest_urls: trust.ingest_urls.clone(),
        trust: trust.name.clone(),
    })
}

/// Another key, vouched for by the one before it.
struct Successor {
    before: KeyRing,
    key: VerifyingKey,
    from_epoch: i64,
    voucher: Vec<u8>,
}

impl Successor {
    fn read(known: &KeyRing, rotation: &Rotation) -> Result<Self, FleetError> {
        let malformed = |what| FleetError::Malformed { what };
        let key = decode(&rotation.signing_key, "rotation.signing_key")?;
        let key = VerifyingKey::from_bytes(&key).ok_or_else(|| malformed("rotation.signing_key"))?;
        let again = known.newest() == &key;
        let before = known.without_newest().filter(|_| again).unwrap_or_else(|| known.clone());
        let voucher = decode(&rotation.voucher, "rotation.voucher")?;
        let from_epoch =
            i64::try_from(rotation.from_epoch).map_err(|_cause| malformed("rotation.from_epoch"))?;
        before
            .clone()
            .vouch(rotation.from_epoch, key, &voucher)
            .map_err(|_cause| malformed("rotation.voucher"))?;
        let possession = decode(&rotation.possession, "rotation.possession")?;
        let text = voucher_of(known.agent(), &key, rotation.from_epoch);
        if !key.verifies_labelled(SUCCESSOR_LABEL, &text, &possession) {
            return Err(malformed("rotation.possession"));
        }
        Ok(Self { before, key, from_epoch, voucher })
    }
}

/// Certificate and key, both or neither; nothing for an agent that was revoked meanwhile.
async fn write(
    store: &Store,
    agent: AgentId,
    next: Option<&Successor>,
    issued: &Issued,
) -> Result<(), FleetError> {
    let (agent, now) = (agent.to_string(), stored(clock::now()));
    let mut tx = store.begin().await?;
    let renewed = db::query(
        "UPDATE agents SET cert_serial = $2, cert_expires_at = $3, certified_at = $4
         WHERE id = $1 AND revoked_at IS NULL",
    )
    .bind(&agent)
    .bind(&issued.serial)
    .bind(stored(issued.expires_at))
    .bind(now)
    .execute(&mut *tx)
    .await
    .map_err(query("renew a certificate"))?;
    if renewed.rows_affected() == 0 {
        return Err(FleetError::NotEnrolled);
    }
    if let Some(next) = next {
        let key = next.key.as_bytes().as_slice();
        let used: i64 = db::query_scalar("SELECT coalesce(max(epoch), 0) FROM chains WHERE agent = $1")
            .bind(&agent)
            .fetch_one(&mut *tx)
            .await
            .map_err(query("read the epoch of an agent"))?;
        if next.from_epoch <= used {
            return Err(FleetError::Epoch { used });
        }
        db::query("DELETE FROM agent_keys WHERE agent = $1 AND key = $2")
            .bind(&agent)
            .bind(key)
            .execute(&mut *tx)
            .await
            .map_err(query("replace a key"))?;
        let taken: bool = db::query_scalar(
            "SELECT EXISTS (SELECT 1 FROM agents WHERE signing_key = $1) OR EXISTS (SELECT 1 FROM agent_keys WHERE key = $1)",
        )
        .bind(key)
        .fetch_one(&mut *tx)
        .await
        .map_err(query("look for a key"))?;
        if taken {
            return Err(FleetError::Taken);
        }
        db::query(
            "INSERT INTO agent_keys (agent, from_epoch, key, voucher, since) VALUES ($1, $2, $3, $4, $5)",
        )
        .bind(&agent)
        .bind(next.from_epoch)
        .bind(key)
        .bind(&next.voucher)
        .bind(now)
        .execute(&mut *tx)
        .await
        .map_err(query("add a key"))?;
    }
    tx.commit().await?;
    Ok(())
}
