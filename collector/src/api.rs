//! The JSON API under `/api/v1`, for programs: the same facts as the console, with stable names.
//!
//! Programs come with a token (`Authorization: Bearer`), or, for an account without a second factor, with name and
//! password in every request (HTTP Basic over TLS); the console's session cookie works too, and then a change
//! must carry the session's token in `sekimori-csrf`. Times are RFC 3339 UTC. An error is a problem (RFC 9457).

mod common;
mod cursor;
mod detail;
mod document;
mod duty;
mod events;
mod export;
mod granted;
mod handover;
mod list;
mod monthly;
mod notices;
mod once;
mod own;
mod problem;
mod schema;
mod search;
mod shape;
mod suppression;
mod work;

pub use self::document::{document, words_schema};
pub use self::events::Listeners;
pub(crate) use self::notices::REASON_MAX as NOTICE_REASON_MAX;

use axum::extract::{DefaultBodyLimit, FromRequestParts, Path, State};
use axum::http::header::{AUTHORIZATION, HeaderName};
use axum::http::request::Parts;
use axum::middleware;
use axum::routing::{get, post};
use axum::{Extension, Json, Router};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};

use self::problem::ApiError;
use crate::auth::User;
use crate::auth::session::{SessionToken, Stage};
use crate::auth::token::{ApiToken, Right};
use crate::clock::now;
use crate::console::{Console, FORM_BYTES_MAX, PeerAddress, changes, session_of};
use crate::store::people::session::Touch;
use crate::store::people::sign_in::{Attempt, Method};

/// Carries the session's token where a cookie authorises a change.
const CSRF_HEADER: HeaderName = HeaderName::from_static("sekimori-csrf");

/// The routes, to be nested under `/api/v1`.
pub fn router(console: &Console) -> Router<Console> {
    Router::new()
        .route("/incidents", get(list::incidents).post(work::open))
        .route("/incidents/{id}", get(incident))
        .route("/incidents/{id}/acknowledge", post(work::acknowledge))
        .route("/incidents/{id}/actions", post(work::action).layer(DefaultBodyLimit::max(FORM_BYTES_MAX)))
        .route("/incidents/{id}/obligations", get(duty::obligations).post(duty::move_obligation))
        .route("/incidents/{id}/awareness", post(duty::awareness))
        .route("/incidents/{id}/calls", post(duty::call))
        .route("/agents", get(list::agents))
        .route("/counters", get(counters))
        .route("/exceptions", get(exceptions))
        .route("/suppressions", get(suppression::list))
        .route("/suppressions/{id}/end", post(suppression::end))
        .route("/policies", get(policies))
        .route("/search/flows", get(search::flows))
        .route("/search/findings", get(search::findings))
        .route("/search/alerts", get(search::alerts))
        .route("/health", get(health))
        .route("/incidents/{id}/export", get(export::one))
        .route("/export", get(export::matching))
        .route("/metrics", get(export::metrics))
        .route("/notices/dead", get(notices::dead).post(notices::settle))
        .route("/handover", get(handover::shift))
        .route("/reports/monthly", get(monthly::monthly))
        .route("/incidents/{id}/handover", get(handover::incident))
        .route("/openapi.json", get(document::show))
        .route("/events", get(events::events))
        .route("/incidents/{id}/findings", get(detail::findings))
        .route("/incidents/{id}/history", get(detail::history))
        .route("/incidents/{id}/tasks", get(detail::tasks))
        .route("/incidents/{id}/unmasked/{n}", get(granted::unmasked))
        .route("/me/tokens", get(own::tokens))
        .route("/me/tokens/{label}/revoke", post(own::revoke))
        .route("/shared", get(granted::extracts))
        .route("/shared/{digest}", get(granted::extract))
        .route("/agents/{id}", get(detail::agent))
        .route("/me", get(detail::me))
        .fallback(|| async { ApiError::NotFound })
        .layer(middleware::from_fn_with_state(console.clone(), once::once))
        .layer(middleware::from_fn(common::around))
}

/// Who calls.
#[derive(Clone, Debug)]
struct Caller {
    user: User,
    /// The token that a change must carry, if a cookie authorises it.
    csrf: Option<String>,
    /// What may be done at most, whatever the role.
    right: Right,
    came: Came,
}

/// With what they showed who they are.
#[derive(Clone, Debug)]
enum Came {
    Token(ApiToken),
    Password,
    Session(SessionToken),
}

impl Came {
    const fn by(&self) -> schema::CameBy {
        match self {
            Self::Token(_) => schema::CameBy::Token,
            Self::Password => schema::CameBy::Password,
            Self::Session(_) => schema::CameBy::Session,
        }
    }
}

impl FromRequestParts<Console> for Caller {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, console: &Console) -> Result<Self, ApiError> {
        // Asked once for each request: a password costs a while to check.
        if let Some(caller) = parts.extensions.get::<Self>() {
            return Ok(caller.clone());
        }
        let header = parts.headers.get(AUTHORIZATION);
        let header = header.map(|header| header.to_str().unwrap_or_default().to_owned());
        let caller = match header {
            Some(header) => Self::with_header(&header, parts, console).await?,
            None => {
                let session = session_of(&parts.headers, console, Touch::ByPerson).await?;
                let session = session.filter(|(session, _)| session.stage == Stage::Full);
                let (session, token) = session.ok_or(ApiError::Unauthenticated)?;
                let csrf = Some(token.csrf());
                Self { user: session.user, csrf, right: Right::Act, came: Came::Session(token) }
            }
        };
        if changes(&parts.method) && caller.user.role.only_reads() {
            return Err(ApiError::OnlyReads);
        }
        if changes(&parts.method) && !caller.right.may_act() {
            return Err(ApiError::Forbidden);
        }
        parts.extensions.insert(caller.clone());
        Ok(caller)
    }
}

impl Caller {
    async fn with_header(header: &str, parts: &mut Parts, console: &Console) -> Result<Self, ApiError> {
        if let Some(token) = ApiToken::from_header(header) {
            let (user, right) = console.bearer(&token).await?.ok_or(ApiError::Unauthenticated)?;
            return Ok(Self { user, csrf: None, right, came: Came::Token(token) });
        }
        let (name, password) = basic(header).ok_or(ApiError::Unauthenticated)?;
        let Ok(PeerAddress(from)) = PeerAddress::from_request_parts(parts, console).await;
        let attempt = Attempt { name: &name, from, at: now() };
        let (user, stage) = console.log_in(attempt, password, Method::Basic).await?;
        match stage {
            Stage::Full => {
                console.came_by_basic(Attempt { name: user.name.as_str(), ..attempt }).await?;
                Ok(Self { user, csrf: None, right: Right::Act, came: Came::Password })
            }
            // A program has no authenticator: it has a token.
            Stage::Code | Stage::Enrol => Err(ApiError::NeedsToken),
        }
    }

    /// Who it is now, some time later; nobody if they may no longer come in.
    async fn still(&self, console: &Console) -> Option<User> {
        match &self.came {
            Came::Token(token) => Some(console.bearer(token).await.ok()??.0),
            Came::Session(token) => Some(console.follow(token).await.ok()??.user),
            Came::Password => {
                Some(console.everything().credentials(self.user.name.as_str()).await.ok()??.user)
            }
        }
    }
}

/// RFC 7617: `Basic`, then `name:password` in Base64.
fn basic(header: &str) -> Option<(String, String)> {
    let (scheme, encoded) = header.split_once(' ')?;
    let decoded = STANDARD.decode(encoded.trim()).ok().filter(|_| scheme.eq_ignore_ascii_case("basic"))?;
    let (name, password) = std::str::from_utf8(&decoded).ok()?.split_once(':')?;
    Some((name.to_owned(), password.to_owned()))
}

/// One incident, with what is behind it and what could be done next.
#[utoipa::path(
    get, path = "/api/v1/incidents/{id}", tag = "incidents", params(("id" = String, Path, description = "`INC-…`")),
    responses((status = 200, description = "The incident", body = schema::IncidentDetail))
)]
async fn incident(
    State(console): State<Console>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<(Extension<common::Versioned>, Json<Value>), ApiError> {
    let seen = console.seen_by(&caller.user);
    let view = seen.incident(&id).await?.ok_or(ApiError::NotFound)?;
    let batches = seen.batches_of(&id).await?;
    let batches = tokio::task::spawn_blocking(move || batches.iter().map(shape::batch).collect::<Vec<_>>());
    let findings = seen.findings_of(&id).await?;
    let excepted = seen.excepted_beside(&view).await?;
    let children = seen.children_of(&id).await?;
    let changes = seen.changes_of(&view).await?;
    let links = seen.links_of(&id).await?;
    let mut out = shape::incident(&view);
    if let Some(fields) = out.as_object_mut() {
        fields.insert("reason".to_owned(), view.reason);
        fields.insert("links".to_owned(), links.iter().map(shape::link).collect());
        fields.insert("findings_detail".to_owned(), findings.iter().map(shape::finding).collect());
        fields.insert("excepted_beside".to_owned(), excepted.iter().map(shape::finding).collect());
        fields.insert("endpoint_alerts".to_owned(), seen.alerts_of(&id).await?.into());
        fields.insert("children_ids".to_owned(), children.into_iter().map(|child| child.id).collect());
        fields.insert("batches".to_owned(), batches.await.unwrap_or_default().into());
        fields.insert("changes".to_owned(), changes.iter().map(shape::change).collect());
        fields.insert("work".to_owned(), work::shown(&console, &caller, &id).await?);
    }
    Ok((Extension(common::Versioned(view.version)), Json(out)))
}

/// Every counter, and who was turned away; for whoever sees every body.
#[utoipa::path(
    get, path = "/api/v1/counters", tag = "about",
    responses(
        (status = 200, description = "Counters", body = schema::Counters),
        (status = 404, description = "Not for somebody of a body")
    )
)]
async fn counters(State(console): State<Console>, caller: Caller) -> Result<Json<Value>, ApiError> {
    let seen = console.seen_by(&caller.user);
    // They count everybody's: for somebody of a body there are none.
    let counters = seen.counters().await?.ok_or(ApiError::NotFound)?;
    let rejections = seen.rejections().await?.ok_or(ApiError::NotFound)?;
    let counters: Map<String, Value> =
        counters.into_iter().map(|(name, value)| (name, value.into())).collect();
    let rejections: Vec<Value> = rejections.iter().map(shape::rejection).collect();
    Ok(Json(json!({ "counters": counters, "rejections": rejections })))
}

/// Exceptions in force, and the findings under them.
#[utoipa::path(
    get, path = "/api/v1/exceptions", tag = "exceptions",
    responses((status = 200, description = "Exceptions", body = schema::Exceptions))
)]
async fn exceptions(State(console): State<Console>, caller: Caller) -> Result<Json<Value>, ApiError> {
    let now = now();
    let store = console.seen_by(&caller.user);
    let here: Vec<Value> = store.exceptions().await?.iter().map(|view| shape::exception(view, now)).collect();
    let unknown: Vec<Value> = store.unknown_exceptions().await?.iter().map(shape::unknown).collect();
    let findings: Vec<Value> = store.excepted_findings().await?.iter().map(shape::finding).collect();
    let error = store.exceptions_read().await?.and_then(|read| read.error);
    Ok(Json(json!({ "exceptions": here, "unknown": unknown, "findings": findings, "error": error })))
}

/// Policies, and which agent has which.
#[utoipa::path(
    get, path = "/api/v1/policies", tag = "agents",
    responses((status = 200, description = "Policies", body = schema::Policies))
)]
async fn policies(State(console): State<Console>, caller: Caller) -> Result<Json<Value>, ApiError> {
    Ok(Json(crate::fleet::policy::command::list(console.seen_by(&caller.user)).await?))
}

/// For whoever watches the collector: no login, and nothing but "the store answers".
#[utoipa::path(
    get, path = "/api/v1/health", tag = "about", security(()),
    responses((status = 200, description = "The collector and its store answer", body = schema::Health))
)]
async fn health(State(console): State<Console>) -> Result<Json<Value>, ApiError> {
    console.answers().await?;
    Ok(Json(json!({ "status": "ok", "version": env!("CARGO_PKG_VERSION") })))
}
