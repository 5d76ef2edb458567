//! `POST /v1/batches`: what an agent delivers, verified, committed, and only then acknowledged.
//!
//! ```text
//! Peer (TLS) ─ registry ─► Registered ─ verify each ─► Verified<Batch> ─ writer: continuity, ONE transaction ─► Ack
//! ```
//! A submission is stored up to the first envelope that is not good. If anything before it was, the answer is an `Ack`
//! of that; the agent then sends the rest, and the bad one gets its refusal as the first of its submission.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use axum::body::{Body, Bytes};
use axum::extract::{ConnectInfo, DefaultBodyLimit, Request, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use axum::{Extension, Router, middleware, routing};
use sekimori_wire::DecodeError;
use sekimori_wire::ack::{Ack, Answer, Refusal, RefusalKind, decode_submission};
use sekimori_wire::batch::{Batch, Lane};
use sekimori_wire::envelope::{Envelope, SigningKey, Verified, VerifyError};
use sekimori_wire::id::AgentId;
use sekimori_wire::limits::SUBMISSION_BYTES_MAX;
use sekimori_wire::text::BoundedText;
use sekimori_wire::time::Timestamp;
use tokio::sync::{Semaphore, SemaphorePermit, watch};

use crate::clock;
use crate::fleet::{REQUEST_BYTES_MAX, error_chain, policy, renew};
use crate::server::Intake;
use crate::store::StoreError;
use crate::tls::Peer;
use continuity::Head;
use registry::Registered;

pub mod continuity;
pub mod registry;

/// Told to an agent when the collector is busy.
const RETRY_AFTER_SECONDS: u32 = 5;
/// How long a request waits for its turn; after a restart everybody comes at once.
const TURN_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a submission waits here for the one before it: they were sent in order, and may come in another.
const EARLY_WAIT: Duration = Duration::from_secs(2);
/// Submissions in memory at a time.
pub const SUBMISSIONS_MAX: usize = 32;
/// Of these, of one agent: it may send the next ones while the first is stored.
const SUBMISSIONS_OF_AGENT: usize = 4;

/// An envelope that was verified: the batch for us, the exact bytes for the store.
#[derive(Clone, Debug)]
pub struct Received {
    /// What it says.
    pub batch: Verified<Batch>,
    /// As it came.
    pub envelope: Vec<u8>,
}

/// Everything of one submission that was verified, in order.
#[derive(Clone, Debug)]
pub struct Submission {
    /// From whom.
    pub from: Registered,
    /// What.
    pub batches: Vec<Received>,
    /// By hand, in a file: nobody has heard of the agent by that.
    pub carried: bool,
}

impl Submission {
    /// Whether it is of the lane without findings.
    pub fn is_detail(&self) -> bool {
        self.batches.first().is_some_and(|first| first.batch.lane == Lane::Detail)
    }
}

/// What the writer did with a submission.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Everything of this lane up to this place is committed.
    Through(Lane, Head),
    /// Nothing was stored.
    Refused(Refusal),
}

/// What agents with a certificate can ask for.
pub fn router(state: Intake) -> Router {
    let renew = routing::post(renew::answer).layer(DefaultBodyLimit::max(REQUEST_BYTES_MAX));
    Router::new()
        .route("/v1/batches", routing::post(receive))
        .route("/v1/renew", renew)
        .merge(policy::serve::router())
        .fallback(elsewhere)
        .method_not_allowed_fallback(elsewhere)
        .layer(middleware::from_fn_with_state(state.clone(), renew::gate))
        .with_state(state)
}

/// No agent of ours asks for anything else.
async fn elsewhere(State(state): State<Intake>, ConnectInfo(from): ConnectInfo<SocketAddr>) -> StatusCode {
    state.writer.reject(&from.ip().to_string(), "http", "a request for nothing that is here");
    StatusCode::NOT_FOUND
}

async fn receive(
    State(state): State<Intake>,
    ConnectInfo(from): ConnectInfo<SocketAddr>,
    peer: Option<Extension<Peer>>,
    request: Request,
) -> Response {
    // The verifier lets only certificates of our CA in; one that names no agent was not made by us for an agent.
    let Some(Extension(peer)) = peer else {
        state.writer.reject(&from.ip().to_string(), "no_agent", "a certificate of ours that names no agent");
        return StatusCode::FORBIDDEN.into_response();
    };
    let begun = Instant::now();
    let measured = state.writer.measures().submission();
    let outcome = match take(&state, peer, request.into_body()).await {
        Ok(outcome) => outcome,
        Err(error) => {
            tracing::error!(error = error_chain(&error), "cannot store a submission");
            Outcome::Refused(busy())
        }
    };
    // An agent that is told of no policy keeps the one that it has.
    let policy_version = state.store.policy_version(&peer.agent().to_string()).await.unwrap_or_default();
    let answer = match outcome {
        Outcome::Through(lane, head) => Answer::Ack(acknowledge(
            peer.agent(),
            (lane, &head),
            (clock::now(), policy_version),
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
    let named = match &answer {
        Answer::Ack(_) => "ack",
        Answer::Refused(refusal) => refusal.kind.as_str(),
    };
    state.writer.measures().answered(named, begun.elapsed());
    drop(measured);
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
    if let Err(wait) = state.rates.begin(peer.agent(), Instant::now()) {
        let seconds = u32::try_from(wait.as_secs()).unwrap_or(u32::MAX).saturating_add(1);
        let busy = refusal(RefusalKind::Busy, "this agent delivers more than it may", 0);
        return Ok(Outcome::Refused(Refusal { retry_after_seconds: seconds, ..busy }));
    }
    let Some(turn) = state.turns.take(peer.agent()).await else { return Ok(Outcome::Refused(busy())) };
    let read = axum::body::to_bytes(body, SUBMISSION_BYTES_MAX);
    let bytes = match tokio::time::timeout(state.config.body_timeout, read).await {
        Ok(Ok(bytes)) => bytes,
        Ok(Err(_)) => {
            return Ok(refused(RefusalKind::TooLarge, "the body is cut, or larger than allowed", 0));
        }
        Err(_) => return Ok(refused(RefusalKind::Malformed, "the body did not arrive in time", 0)),
    };
    state.rates.received(peer.agent(), bytes.len());
    state.writer.measures().received(bytes.len());
    let patience = Instant::now() + EARLY_WAIT;
    loop {
        let mut others = turn.others.subscribe();
        others.mark_unchanged();
        let (outcome, is_early) = store(state, &turn, from.clone(), bytes.clone()).await;
        // What it follows was sent before it over the same connection, and is still on its way through here.
        let is_alone = *others.borrow() <= 1;
        if !is_early || is_alone {
            return Ok(outcome);
        }
        let changed = tokio::time::timeout_at(patience.into(), others.changed()).await;
        if !matches!(changed, Ok(Ok(()))) {
            return Ok(outcome);
        }
    }
}

/// Verifies and commits; whether batches before it are missing.
async fn store(state: &Intake, turn: &Turn<'_>, from: Registered, bytes: Bytes) -> (Outcome, bool) {
    // In the order in which they came, or the later ones would be early.
    let _in_order = turn.order.lock().await;
    // Signatures and decompression take milliseconds: off the threads that serve everybody.
    let verified = tokio::task::spawn_blocking(move || open(&bytes, from)).await;
    let submission = match verified {
        Ok(Ok(submission)) => submission,
        Ok(Err(refusal)) => return (Outcome::Refused(refusal), false),
        Err(_) => return (Outcome::Refused(busy()), false),
    };
    let first = submission.batches.first().map(|first| (first.batch.epoch, first.batch.seq));
    let outcome = state.writer.commit(submission).await.unwrap_or_else(|| Outcome::Refused(busy()));
    let is_early = match (&outcome, first) {
        (Outcome::Through(_, head), Some((epoch, seq))) => head.epoch == epoch && head.through + 1 < seq,
        (Outcome::Through(..), None) | (Outcome::Refused(_), _) => false,
    };
    (outcome, is_early)
}

/// Whose submissions are in memory.
#[derive(Debug)]
pub struct Turns {
    slots: Semaphore,
    agents: Mutex<HashMap<AgentId, Order>>,
}

/// Submissions of one agent that are in memory, and who of them is being stored. A fair lock: first come, first served.
#[derive(Debug, Default)]
struct Order {
    count: watch::Sender<usize>,
    lock: Arc<tokio::sync::Mutex<()>>,
}

/// The right to have one submission in memory; given back when dropped.
struct Turn<'a> {
    turns: &'a Turns,
    agent: AgentId,
    /// Held while it is verified and stored.
    order: Arc<tokio::sync::Mutex<()>>,
    /// How many of this agent there are, this one included.
    others: watch::Sender<usize>,
    _slot: SemaphorePermit<'a>,
}

impl Turns {
    /// All of them free.
    pub fn new() -> Self {
        Self { slots: Semaphore::new(SUBMISSIONS_MAX), agents: Mutex::default() }
    }

    /// `None` if the agent has as many as it may have, or everybody else does for too long.
    async fn take(&self, agent: AgentId) -> Option<Turn<'_>> {
        let slot = tokio::time::timeout(TURN_TIMEOUT, self.slots.acquire()).await.ok()?.ok()?;
        let mut agents = self.agents.lock().unwrap_or_else(PoisonError::into_inner);
        let order = agents.entry(agent).or_default();
        // Only a turn that was taken may give one back: it must not even be made otherwise.
        let has_room = *order.count.borrow() < SUBMISSIONS_OF_AGENT;
        has_room.then(|| {
            order.count.send_modify(|count| *count += 1);
            let (order, others) = (Arc::clone(&order.lock), order.count.clone());
            Turn { turns: self, agent, order, others, _slot: slot }
        })
    }
}

impl Default for Turns {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        let mut agents = self.turns.agents.lock().unwrap_or_else(PoisonError::into_inner);
        let left = agents.get_mut(&self.agent).map_or(0, |order| {
            order.count.send_modify(|count| *count -= 1);
            *order.count.borrow()
        });
        if left == 0 {
            agents.remove(&self.agent);
        }
    }
}

/// What is told of a lane of this agent that is committed up to `head`, and of the newest policy that there is for it.
pub fn acknowledge(
    agent: AgentId,
    (lane, head): (Lane, &Head),
    (at, policy_version): (Timestamp, u64),
    key: &SigningKey,
) -> Envelope {
    let Head { epoch, through, digest: head } = *head;
    let ack = Ack { agent, lane, epoch, through, head, at, policy_version };
    Envelope::seal_ack(&ack, key)
}

/// Verifies what it can of the body of a request, from the front.
///
/// # Errors
/// Only if the very first envelope is not good.
pub fn open(bytes: &[u8], from: Registered) -> Result<Submission, Refusal> {
    let envelopes = decode_submission(bytes).map_err(|cause| undecodable(cause, 0))?;
    let mut batches = Vec::with_capacity(envelopes.len());
    for envelope in envelopes {
        match verify(&envelope, &from) {
            Ok(batch) => batches.push(Received { batch, envelope: envelope.to_bytes() }),
            Err(refusal) if batches.is_empty() => return Err(refusal),
            Err(_) => break,
        }
    }
    Ok(Submission { from, batches, carried: false })
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
    async fn an_agent_has_few_submissions_in_memory_however_often_it_asks() {
        let turns = Turns::new();
        let [one, other] = [[1; 32], [2; 32]].map(|bytes| AgentId::from_bytes(&bytes).unwrap());
        let mut taken = Vec::new();
        for _ in 0..SUBMISSIONS_OF_AGENT {
            taken.push(turns.take(one).await.unwrap());
        }
        assert!(turns.take(one).await.is_none());
        assert!(turns.take(one).await.is_none(), "a refusal gives nothing back");
        let second = turns.take(other).await.unwrap();
        taken.pop();
        taken.push(turns.take(one).await.unwrap());
        assert!(turns.take(one).await.is_none());
        drop((taken, second));
        assert!(turns.agents.lock().unwrap().is_empty());
    }
}
