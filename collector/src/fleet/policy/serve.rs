//! `GET /v1/policy?have=N` and `GET /v1/intel/DIGEST`, for agents, on the ingest listener.

use axum::extract::{Path, Query, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use axum::{Extension, Router, routing};
use sekimori_wire::envelope::Envelope;
use sekimori_wire::id::Digest;
use serde::Deserialize;

use super::of_agent;
use crate::fleet::error_chain;
use crate::ingest::registry::{self, Registered};
use crate::server::Intake;
use crate::store::policy::Kept;
use crate::tls::Peer;

/// What an agent has already.
#[derive(Debug, Deserialize)]
struct Have {
    #[serde(default)]
    have: u64,
}

/// The two routes.
pub fn router() -> Router<Intake> {
    Router::new().route("/v1/policy", routing::get(policy)).route("/v1/intel/{digest}", routing::get(intel))
}

/// 204: what the agent has is what holds.
async fn policy(
    State(state): State<Intake>,
    peer: Option<Extension<Peer>>,
    Query(asked): Query<Have>,
) -> Response {
    let (from, kept) = match asking(&state, peer).await {
        Ok(found) => found,
        Err(refused) => return refused,
    };
    match of_agent(from.agent, &kept) {
        Ok(Some(policy)) if policy.version > asked.have => {
            match Envelope::seal_policy(&policy, &state.trust.get().ack_key) {
                Ok(envelope) => bytes(envelope.to_bytes()),
                Err(error) => failed(&error),
            }
        }
        Ok(_) => StatusCode::NO_CONTENT.into_response(),
        Err(error) => failed(&error),
    }
}

/// Only what the agent's own policy names.
async fn intel(
    State(state): State<Intake>,
    peer: Option<Extension<Peer>>,
    Path(digest): Path<String>,
) -> Response {
    let kept = match asking(&state, peer).await {
        Ok((_, kept)) => kept,
        Err(refused) => return refused,
    };
    let Ok(digest) = digest.parse::<Digest>() else { return StatusCode::BAD_REQUEST.into_response() };
    if !kept.iter().flat_map(|kept| &kept.intel).any(|one| one.digest == digest) {
        return StatusCode::NOT_FOUND.into_response();
    }
    match state.store.policy_intel(digest).await {
        Ok(Some(found)) => bytes(found),
        Ok(None) => StatusCode::NOT_FOUND.into_response(),
        Err(error) => failed(&error),
    }
}

/// Who asks, and what is kept for it; a refusal otherwise.
async fn asking(state: &Intake, peer: Option<Extension<Peer>>) -> Result<(Registered, Vec<Kept>), Response> {
    let Some(Extension(peer)) = peer else { return Err(StatusCode::FORBIDDEN.into_response()) };
    let from = registry::look_up(&state.store, peer.agent()).await.map_err(|error| failed(&error))?;
    let Some(from) = from else {
        state.writer.reject(&peer.agent().to_string(), "not_enrolled", "it asked for its policy");
        return Err(StatusCode::FORBIDDEN.into_response());
    };
    let kept = state.store.policies_of(from.agent, from.body).await.map_err(|error| failed(&error))?;
    Ok((from, kept))
}

fn bytes(body: Vec<u8>) -> Response {
    ([(header::CONTENT_TYPE, "application/octet-stream")], body).into_response()
}

fn failed(error: &dyn std::error::Error) -> Response {
    tracing::error!(error = error_chain(error), "cannot give an agent its policy");
    StatusCode::INTERNAL_SERVER_ERROR.into_response()
}
