//! Which agents there are: tokens, enrolment, renewal, revocation.
//!
//! A token is worth one identity, once, until it expires. Revocation acts on the next request: the registry is read
//! from the store each time. The command line does all of this beside a running collector.

use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use crate::store::db;
use axum::body::Bytes;
use axum::extract::{ConnectInfo, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use axum::{Json, Router, routing};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sekimori_wire::enroll::{EnrollRefusal, EnrollRequest, EnrollResponse, HELD, POSSESSION_LABEL, Token};
use sekimori_wire::envelope::VerifyingKey;
use sekimori_wire::id::{AgentId, BodyCode, Digest};
use sekimori_wire::text::BoundedText;
use sekimori_wire::time::Timestamp;
use serde::Serialize;
use serde_json::Value;

use crate::auth::password::{PasswordError, random_secret};
use crate::clock::{self, stored};
use crate::config::Config;
use crate::server::Intake;
use crate::store::view::AgentView;
use crate::store::writer::Writer;
use crate::store::{Store, StoreError, query};
use admission::Applicant;
use authority::{AuthorityError, Paths};
use watch::Facts;

pub mod admission;
pub mod authority;
pub mod keys;
pub mod policy;
pub mod renew;
pub mod swap;
pub mod trust;
pub mod watch;

/// Body of `POST /v1/enroll` and `POST /v1/renew`.
pub const REQUEST_BYTES_MAX: usize = 64 * 1024;
/// When an agent that waits for an operator is to ask again.
const HELD_SECONDS: u32 = 10;

/// What an operator asks for.
#[derive(Debug)]
pub struct TokenOrder {
    /// Whose agent.
    pub body: BodyCode,
    /// The body's name, to set or change it.
    pub body_name: Option<String>,
    /// The agent's label, or empty for the one that it gives itself.
    pub name: String,
    /// How long the token is good.
    pub ttl: Duration,
    /// The agent that is enrolled again or replaced, without further confirmation.
    pub replaces: Option<AgentId>,
}

/// Makes a one-time token; the store keeps only its hash.
///
/// # Errors
/// If the store or the system's random source fails.
pub async fn new_token(store: &Store, config: &Config, order: &TokenOrder) -> Result<Token, FleetError> {
    let ca = authority::ca_sha256(&Paths::of(&config.dir))?;
    let secret = random_secret()?;
    let now = clock::now();
    let expires = now.plus(order.ttl);
    let code = order.body.as_str();
    let mut tx = store.begin().await?;
    let name = order.body_name.as_deref();
    db::query(
        "INSERT INTO bodies (code, name) VALUES ($1, coalesce($2, $1))
         ON CONFLICT (code) DO UPDATE SET name = coalesce($2, bodies.name)",
    )
    .bind(code)
    .bind(name)
    .execute(&mut *tx)
    .await
    .map_err(query("add a body"))?;
    db::query(
        "INSERT INTO tokens (secret_hash, body, name, created_at, expires_at, replaces)
         VALUES ($1, $2, $3, $4, $5, $6)",
    )
    .bind(Digest::of(secret.as_bytes()).as_bytes().as_slice())
    .bind(code)
    .bind(BoundedText::<64>::new(&order.name).as_str())
    .bind(stored(now))
    .bind(stored(expires))
    .bind(order.replaces.map(|agent| agent.to_string()))
    .execute(&mut *tx)
    .await
    .map_err(query("add a token"))?;
    tx.commit().await?;
    Ok(Token {
        enroll_url: config.url(config.enroll),
        ingest_urls: vec![config.url(config.ingest)],
        ca_sha256: ca.to_string(),
        body: code.to_owned(),
        secret,
        expires: expires.secs(),
    })
}

/// One agent, for a list.
#[derive(Clone, Debug, Default, Serialize)]
pub struct AgentRow {
    /// Identity.
    pub id: String,
    /// Label.
    pub name: String,
    /// 団体コード.
    pub body: String,
    /// As it says; the rules are part of it.
    pub version: Option<String>,
    /// When it enrolled.
    pub enrolled_at: Timestamp,
    /// When it was revoked.
    pub revoked_at: Option<Timestamp>,
    /// When its certificate ends.
    pub certificate_expires_at: Timestamp,
    /// How many signing keys it has had.
    pub keys: i64,
    /// When its last batch was stored.
    pub last_seen: Option<Timestamp>,
    /// The chain in force.
    pub epoch: i64,
    /// Its last batch in the urgent lane.
    pub through: i64,
    /// The last batch of the detail lane.
    pub detail_through: i64,
    /// Of its configuration.
    pub config_digest: String,
    /// Of its threat intelligence.
    pub intel_version: String,
    /// Frames that its kernel dropped.
    pub kernel_drops: u64,
    /// Records that it lost before sealing.
    pub records_lost: u64,
    /// Its clock less ours, with the bound of the error, in milliseconds.
    pub clock_ms: Option<(i64, u64)>,
    /// Version of the policy in force there.
    pub policy_version: u64,
    /// What became of the last one.
    pub policy_state: String,
    /// Version that should be in force there.
    pub policy_wanted: i64,
    /// Conditions that an incident was told of.
    pub conditions: i64,
}

impl AgentRow {
    fn new(view: AgentView) -> Self {
        let health = view.health_json.as_deref().and_then(|json| serde_json::from_str::<Value>(json).ok());
        let health = health.unwrap_or_default();
        let text = |key: &str| health.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
        let facts = Facts::of(&health);
        let reported = policy::command::Reported::of(&view);
        Self {
            enrolled_at: clock::from_stored(view.enrolled_at),
            revoked_at: view.revoked_at.map(clock::from_stored),
            certificate_expires_at: clock::from_stored(view.cert_expires_at),
            last_seen: view.last_seen.map(clock::from_stored),
            epoch: view.epoch,
            through: view.through,
            detail_through: view.detail_through,
            config_digest: text("config_digest"),
            intel_version: text("intel_version"),
            kernel_drops: facts.count("kernel_drops"),
            records_lost: facts.count("records_lost"),
            clock_ms: facts.clock(),
            policy_version: reported.version,
            policy_state: reported.state,
            policy_wanted: view.policy_wanted,
            conditions: view.conditions,
            keys: view.keys,
            version: view.version,
            id: view.id,
            name: view.name,
            body: view.body,
        }
    }
}

impl fmt::Display for AgentRow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = if self.revoked_at.is_some() { "revoked" } else { "enrolled" };
        let seen = self.last_seen.map_or_else(|| "never".to_owned(), |at| at.to_string());
        let text = |text: &str, most: usize| match BoundedText::<64>::new(text).to_string() {
            empty if empty.is_empty() => "-".to_owned(),
            text => text.chars().take(most).collect(),
        };
        let clock =
            self.clock_ms.map_or_else(|| "-".to_owned(), |(offset, error)| format!("{offset:+}±{error} ms"));
        writeln!(
            f,
            "{}  {}  {state}  last seen {seen}  {}",
            self.id,
            self.body,
            BoundedText::<64>::new(&self.name)
        )?;
        writeln!(
            f,
            "    version {}, configuration {}, intelligence {}, certificate until {}",
            text(self.version.as_deref().unwrap_or_default(), 32),
            text(&self.config_digest, 12),
            text(&self.intel_version, 16),
            self.certificate_expires_at,
        )?;
        write!(
            f,
            "    through {}/{}, detail {}; lost {} frames, {} records; clock {clock}; policy {} of {} ({}); {} conditions",
            self.epoch,
            self.through,
            self.detail_through,
            self.kernel_drops,
            self.records_lost,
            self.policy_version,
            self.policy_wanted,
            text(&self.policy_state, 64),
            self.conditions,
        )
    }
}

/// Every agent, by body and label.
///
/// # Errors
/// If the store fails.
pub async fn agents(store: &Store) -> Result<Vec<AgentRow>, StoreError> {
    Ok(store.agents().await?.into_iter().map(AgentRow::new).collect())
}

/// Revokes an agent; its next request is refused. Says whether there was one to revoke.
///
/// # Errors
/// If the store fails.
pub async fn revoke(store: &Store, agent: AgentId) -> Result<bool, StoreError> {
    db::query("UPDATE agents SET revoked_at = $2 WHERE id = $1 AND revoked_at IS NULL")
        .bind(agent.to_string())
        .bind(stored(clock::now()))
        .execute(store.writer())
        .await
        .map(|done| done.rows_affected() > 0)
        .map_err(query("revoke an agent"))
}

/// `POST /v1/enroll`.
pub fn router(state: Intake) -> Router {
    Router::new()
        .route("/v1/enroll", routing::post(answer))
        .layer(axum::extract::DefaultBodyLimit::max(REQUEST_BYTES_MAX))
        .with_state(state)
}

async fn answer(
    State(state): State<Intake>,
    ConnectInfo(from): ConnectInfo<SocketAddr>,
    body: Bytes,
) -> Response {
    let outcome = match serde_json::from_slice(&body) {
        Ok(request) => enroll(&state, &request).await,
        Err(_) => Err(FleetError::Malformed { what: "the request" }),
    };
    match outcome {
        Ok(response) => {
            tracing::info!(agent = %response.agent, body = %response.body, "an agent enrolled");
            Json(response).into_response()
        }
        Err(error) => error.answer(&state.writer, "enroll", &from.ip().to_string()),
    }
}

/// The error and its causes in one line.
pub fn error_chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |cause| cause.source());
    causes.fold(error.to_string(), |line, cause| format!("{line}: {cause}"))
}

async fn enroll(state: &Intake, request: &EnrollRequest) -> Result<EnrollResponse, FleetError> {
    let malformed = |what| FleetError::Malformed { what };
    let key = decode(&request.signing_key, "signing_key")?;
    let key = VerifyingKey::from_bytes(&key).ok_or_else(|| malformed("signing_key"))?;
    let possession = decode(&request.possession, "possession")?;
    if !key.verifies_labelled(POSSESSION_LABEL, request.csr_pem.as_bytes(), &possession) {
        return Err(malformed("possession"));
    }
    let now = clock::now();
    let agent = admission::identity_of(&state.store, &key).await?;
    let (trust, life) = (state.trust.get(), state.config.certificate_life);
    let issued = trust.authority.certify(&request.csr_pem, agent, (now, life))?;
    let name = BoundedText::<64>::new(&request.name).to_string();
    let token = &Digest::of(request.secret.as_bytes());
    let applicant = Applicant { token, agent, key: &key, name: &name };
    let admitted = admission::admit(&state.store, &applicant, &issued).await?;
    Ok(EnrollResponse {
        agent: agent.to_string(),
        certificate_pem: issued.certificate_pem,
        ca_pem: trust.ca_pem.clone(),
        collector_key: URL_SAFE_NO_PAD.encode(trust.ack_key.verifying_key().as_bytes()),
        collector_keys: trust.collector_keys.clone(),
        life_seconds: life.as_secs(),
        trust: trust.name.clone(),
        body: admitted.body,
        epoch: admitted.epoch,
        ingest_urls: trust.ingest_urls.clone(),
    })
}

/// A field that is base64url.
fn decode(text: &str, what: &'static str) -> Result<Vec<u8>, FleetError> {
    URL_SAFE_NO_PAD.decode(text).map_err(|_cause| FleetError::Malformed { what })
}

/// Why there is no token or no agent.
#[derive(Debug, thiserror::Error)]
pub enum FleetError {
    /// A field of the request.
    #[error("{what} is not valid")]
    Malformed {
        /// Which field.
        what: &'static str,
    },
    /// The secret.
    #[error("the token is unknown, used or expired; ask for a new one")]
    Token,
    /// The key.
    #[error("this signing key was revoked or belongs to another body; enrol with a new state folder")]
    Taken,
    /// It would follow an agent that is there, and nobody has confirmed that yet.
    #[error(
        "an operator must confirm this with `sekimori-collector agent confirm {agent}`: it would follow {before}, which has delivered"
    )]
    Held {
        /// Who asks.
        agent: String,
        /// Whom it would follow.
        before: String,
    },
    /// Revoked, or never there.
    #[error("this agent is not enrolled, or was revoked")]
    NotEnrolled,
    /// A key may not take over what another has signed.
    #[error("epoch {used} has begun: the next key must begin later")]
    Epoch {
        /// The latest that has.
        used: i64,
    },
    /// The CA.
    #[error("the certificate authority failed")]
    Authority {
        /// Why.
        #[source]
        cause: AuthorityError,
    },
    /// The store.
    #[error("the store failed")]
    Store {
        /// Why.
        #[from]
        cause: StoreError,
    },
    /// A secret.
    #[error("no secret can be made")]
    Secret {
        /// Why.
        #[from]
        cause: PasswordError,
    },
}

impl FleetError {
    const fn status(&self) -> StatusCode {
        match self {
            Self::Malformed { .. } => StatusCode::BAD_REQUEST,
            Self::Token | Self::Taken | Self::NotEnrolled => StatusCode::FORBIDDEN,
            Self::Held { .. } | Self::Epoch { .. } => StatusCode::CONFLICT,
            Self::Authority { .. } | Self::Store { .. } | Self::Secret { .. } => {
                StatusCode::INTERNAL_SERVER_ERROR
            }
        }
    }

    const fn kind(&self) -> &'static str {
        match self {
            Self::Malformed { .. } => "malformed",
            Self::Token => "token",
            Self::Taken => "taken",
            Self::Held { .. } => "held",
            Self::NotEnrolled => "not_enrolled",
            Self::Epoch { .. } => "epoch",
            Self::Authority { .. } | Self::Store { .. } | Self::Secret { .. } => "failed",
        }
    }

    /// What `peer` is told who wanted to `what` (enroll, renew), after it has been counted.
    fn answer(&self, writer: &Writer, what: &str, peer: &str) -> Response {
        let status = self.status();
        if status.is_server_error() {
            tracing::error!(error = error_chain(self), "cannot {what}");
        }
        let kind = format!("{what}.{}", self.kind());
        writer.reject(peer, &kind, &self.to_string());
        let retry_after_seconds = if kind == HELD { HELD_SECONDS } else { 0 };
        (status, Json(EnrollRefusal { error: self.to_string(), kind, retry_after_seconds })).into_response()
    }
}

impl From<AuthorityError> for FleetError {
    fn from(cause: AuthorityError) -> Self {
        match cause {
            AuthorityError::Request { .. } => Self::Malformed { what: "csr_pem" },
            AuthorityError::Read { .. }
            | AuthorityError::Content { .. }
            | AuthorityError::Pem { .. }
            | AuthorityError::Host { .. }
            | AuthorityError::Issue { .. }
            | AuthorityError::Ack { .. }
            | AuthorityError::Random => Self::Authority { cause },
        }
    }
}
