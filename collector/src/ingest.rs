//! `POST /v1/batches`: what an agent delivers, verified, committed, and only then acknowledged.
//!
//! ```text
//! Peer (TLS) ─ registry ─► Registered ─ verify each ─► Verified<Batch> ─ writer: continuity, ONE transaction ─► Ack
//! ```
//! A submission is stored up to the first envelope that is not good. If anything before it was, the answer is an `Ack`
//! of that; the agent then sends the rest, and the bad one gets its refusal as the first of its submission.

use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use axum::body::Body;
use axum::extract::{DefaultBodyLimit, Request, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use axum::{Extension, Router, middleware, routing};
use sekimori_wire::DecodeError;
use sekimori_wire::ack::{Ack, Answer, Refusal, RefusalKind, decode_submission};
use sekimori_wire::batch::{Batch, Lane};
use sekimori_wire::envelope::{Envelope, Verified, VerifyError};
use sekimori_wire::id::AgentId;
use sekimori_wire::limits::SUBMISSION_BYTES_MAX;
use sekimori_wire::text::BoundedText;
use tokio::sync::{Semaphore, SemaphorePermit};

use crate::clock;
use crate::fleet::{REQUEST_BYTES_MAX, error_chain, renew};
use crate::server::Intake;
use crate::store::StoreError;
use crate::tls::Peer;
use registry::Registered;

pub mod continuity;
pub mod registry;

/// How long the body of a request may take.
const BODY_TIMEOUT: Duration = Duration::from_secs(30);
/// Told to an agent when the collector is busy.
const RETRY_AFTER_SECONDS: u32 = 5;
/// How long a request waits for its turn; after a restart everybody comes at once.
const TURN_TIMEOUT: Duration = Duration::from_secs(5);
/// Submissions in memory at a time, and at most one of each agent.
pub const SUBMISSIONS_MAX: usize = 32;

/// An envelope that was verified: the batch for us, the exact bytes for the store.
#[derive(Debug)]
pub struct Received {
    /// What it says.
    pub batch: Verified<Batch>,
    /// As it came.
    pub envelope: Vec<u8>,
}

/// Everything of one submission that was verified, in order.
#[derive(Debug)]
pub struct Submission {
    /// From whom.
    pub from: Registered,
    /// What.
    pub batches: Vec<Received>,
}

/// What the writer did with a submission.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Everything of this lane up to this place is committed.
    Through(Lane, continuity::Head),
    /// Nothing was stored.
    Refused(Refusal),
}

/// What agents with a certificate can ask for.
pub fn router(state: Intake) -> Router {
    let renew = routing::post(renew::answer).layer(DefaultBodyLimit::max(REQUEST_BYTES_MAX));
    Router::new()
        .route("/v1/batches", routing::post(receive))
        .route("/v1/renew", renew)
        .layer(middleware::from_fn_with_state(state.clone(), renew::gate))
        .with_state(state)
}

async fn receive(State(state): State<Intake>, peer: Option<Extension<Peer>>, request: Request) -> Response {
    // The verifier lets only certificates of our CA in; one that names no agent was not made by us for an agent.
    let Some(Extension(peer)) = peer else { return StatusCode::FORBIDDEN.into_response() };
    let outcome = match take(&state, peer, request.into_body()).await {
        Ok(outcome) => outcome,
        Err(error) => {
            tracing::error!(error = error_chain(&error), "cannot store a submission");
            Outcome::Refused(busy())
        }
    };
    let answer = match outcome {
        Outcome::Through(lane, head) => Answer::Ack(Envelope::seal_ack(
            &Ack {
                agent: peer.agent(),
                lane,
                epoch: head.epoch,
                through: head.through,
                head: head.digest,
                at: clock::now(),
            },
            &state.trust.get().ack_key,
        )),
        Outcome::Refused(refusal) => {
            state.writer.reject(&peer.agent().to_string(), refusal.kind.as_str(), &refusal.detail);
            if refusal.kind != RefusalKind::Busy {
                state.writer.flush().await;
            }
            Answer::Refused(refusal)
        }
    };
    let status = match &answer {
        Answer::Ack(_) => StatusCode::OK,
        Answer::Refused(refusal) => {
            StatusCode::from_u16(refusal.kind.http_status()).unwrap_or(StatusCode::BAD_REQUEST)
        }
    };
    (status, [(header::CONTENT_TYPE, "application/x-protobuf")], answer.to_bytes()).into_response()
}

async fn take(state: &Intake, peer: Peer, body: Body) -> Result<Outcome, StoreError> {
    let Some(from) = registry::look_up(&state.store, peer.agent()).await? else {
        return Ok(refused(RefusalKind::NotEnrolled, "this agent is not enrolled, or was revoked", 0));
    };
    let Some(_turn) = state.turns.take(peer.agent()).await else { return Ok(Outcome::Refused(busy())) };
    let read = axum::body::to_bytes(body, SUBMISSION_BYTES_MAX);
    let bytes = match tokio::time::timeout(BODY_TIMEOUT, read).await {
        Ok(Ok(bytes)) => bytes,
        Ok(Err(_)) => {
            return Ok(refused(RefusalKind::TooLarge, "the body is cut, or larger than allowed", 0));
        }
        Err(_) => return Ok(refused(RefusalKind::Malformed, "the body did not arrive in time", 0)),
    };
    // Signatures and decompression take milliseconds: off the threads that serve everybody.
    let verified = tokio::task::spawn_blocking(move || open(&bytes, from)).await;
    let submission = match verified {
        Ok(Ok(submission)) => submission,
        Ok(Err(refusal)) => return Ok(Outcome::Refused(refusal)),
        Err(_) => return Ok(Outcome::Refused(busy())),
    };
    Ok(state.writer.commit(submission).await.unwrap_or_else(|| Outcome::Refused(busy())))
}

/// Whose submissions are in memory.
#[derive(Debug)]
pub struct Turns {
    slots: Semaphore,
    agents: Mutex<HashSet<AgentId>>,
}

/// The right to have one submission in memory; given back when dropped.
struct Turn<'a> {
    turns: &'a Turns,
    agent: AgentId,
    _slot: SemaphorePermit<'a>,
}

impl Turns {
    /// All of them free.
    pub fn new() -> Self {
        Self { slots: Semaphore::new(SUBMISSIONS_MAX), agents: Mutex::default() }
    }

    /// `None` if the agent has one already, or everybody else does for too long.
    async fn take(&self, agent: AgentId) -> Option<Turn<'_>> {
        let slot = tokio::time::timeout(TURN_TIMEOUT, self.slots.acquire()).await.ok()?.ok()?;
        let free = self.agents.lock().unwrap_or_else(PoisonError::into_inner).insert(agent);
        // Only a turn that was taken may give one back: it must not even be made otherwise.
        free.then(|| Turn { turns: self, agent, _slot: slot })
    }
}

impl Default for Turns {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.turns.agents.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.agent);
    }
}

/// Verifies what it can from the front. An error only if the very first envelope is not good.
fn open(bytes: &[u8], from: Registered) -> Result<Submission, Refusal> {
    let envelopes = decode_submission(bytes).map_err(|cause| undecodable(cause, 0))?;
    let mut batches = Vec::with_capacity(envelopes.len());
    for envelope in envelopes {
        match verify(&envelope, &from) {
            Ok(batch) => batches.push(Received { batch, envelope: envelope.to_bytes() }),
            Err(refusal) if batches.is_empty() => return Err(refusal),
            Err(_) => break,
        }
    }
    Ok(Submission { from, batches })
}

fn verify(envelope: &Envelope, from: &Registered) -> Result<Verified<Batch>, Refusal> {
    if envelope.claimed_signer().and_then(|key| from.keys.by_id(key)).is_none() {
        return Err(refusal(RefusalKind::WrongKey, "signed by another agent than the one that sends it", 0));
    }
    let batch = from.keys.verify(envelope).map_err(|cause| match cause {
        VerifyError::WrongSigner | VerifyError::BadSignature => {
            refusal(RefusalKind::WrongKey, &cause.to_string(), 0)
        }
        VerifyError::WrongType => refusal(RefusalKind::Malformed, &cause.to_string(), 0),
        VerifyError::Decode(cause) => undecodable(cause, 0),
    })?;
    // The store's integers end at 2^63 - 1; no chain gets there.
    if i64::try_from(batch.epoch).is_err() || i64::try_from(batch.seq).is_err() || batch.epoch == 0 {
        return Err(refusal(RefusalKind::Malformed, "epoch or seq is out of range", batch.seq));
    }
    Ok(batch)
}

fn undecodable(cause: DecodeError, seq: u64) -> Refusal {
    let kind = match cause {
        DecodeError::TooLarge => RefusalKind::TooLarge,
        DecodeError::Compression | DecodeError::Protobuf | DecodeError::Field(_) => RefusalKind::Malformed,
    };
    refusal(kind, &cause.to_string(), seq)
}

fn refused(kind: RefusalKind, detail: &str, seq: u64) -> Outcome {
    Outcome::Refused(refusal(kind, detail, seq))
}

/// A refusal that says when to come again, where that makes sense.
pub fn refusal(kind: RefusalKind, detail: &str, seq: u64) -> Refusal {
    let retry_after_seconds = if kind.may_retry() { RETRY_AFTER_SECONDS } else { 0 };
    Refusal { kind, detail: BoundedText::new(detail), seq, retry_after_seconds }
}

fn busy() -> Refusal {
    refusal(RefusalKind::Busy, "the collector cannot store now", 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_agent_has_one_submission_in_memory_however_often_it_asks() {
        let turns = Turns::new();
        let [one, other] = [[1; 32], [2; 32]].map(|bytes| AgentId::from_bytes(&bytes).unwrap());
        let first = turns.take(one).await.unwrap();
        assert!(turns.take(one).await.is_none());
        assert!(turns.take(one).await.is_none(), "a refusal gives nothing back");
        let second = turns.take(other).await.unwrap();
        drop(first);
        assert!(turns.take(one).await.is_some());
        assert!(turns.take(other).await.is_none());
        drop(second);
    }
}
