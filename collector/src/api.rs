//! The JSON API under `/api/v1`, for programs: the same facts as the console, with stable names.
//!
//! Programs come with a token (`Authorization: Bearer`), or, for an account without a second factor, with name and
//! password in every request (HTTP Basic over TLS); the console's session cookie works too, and then a change
//! must carry the session's token in `sekimori-csrf`. Times are RFC 3339 UTC. An error is a problem (RFC 9457).

mod problem;
mod shape;
mod work;

use axum::extract::{DefaultBodyLimit, FromRequestParts, Path, Query, State};
use axum::http::header::{AUTHORIZATION, HeaderName};
use axum::http::request::Parts;
use axum::routing::{get, post};
use axum::{Json, Router};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};

use self::problem::ApiError;
use crate::auth::User;
use crate::auth::session::Stage;
use crate::auth::token::{ApiToken, Right};
use crate::clock::now;
use crate::console::{Asked, Console, FORM_BYTES_MAX, PeerAddress, changes, session_of};
use crate::store::people::session::Touch;
use crate::store::people::sign_in::{Attempt, Method};

/// Carries the session's token where a cookie authorises a change.
const CSRF_HEADER: HeaderName = HeaderName::from_static("sekimori-csrf");

/// The routes, to be nested under `/api/v1`.
pub fn router() -> Router<Console> {
    Router::new()
        .route("/incidents", get(incidents).post(work::open))
        .route("/incidents/{id}", get(incident))
        .route("/incidents/{id}/acknowledge", post(work::acknowledge))
        .route("/incidents/{id}/actions", post(work::action).layer(DefaultBodyLimit::max(FORM_BYTES_MAX)))
        .route("/agents", get(agents))
        .route("/counters", get(counters))
        .route("/exceptions", get(exceptions))
        .route("/policies", get(policies))
        .route("/health", get(health))
        .fallback(|| async { ApiError::NotFound })
}

/// Who calls.
#[derive(Debug)]
struct Caller {
    user: User,
    /// The token that a change must carry, if a cookie authorises it.
    csrf: Option<String>,
}

impl FromRequestParts<Console> for Caller {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, console: &Console) -> Result<Self, ApiError> {
        let header = parts.headers.get(AUTHORIZATION);
        let header = header.map(|header| header.to_str().unwrap_or_default().to_owned());
        let (caller, right) = match header {
            Some(header) => Self::with_header(&header, parts, console).await?,
            None => {
                let session = session_of(&parts.headers, console, Touch::ByPerson).await?;
                let session = session.filter(|(session, _)| session.stage == Stage::Full);
                let (session, token) = session.ok_or(ApiError::Unauthenticated)?;
                (Self { user: session.user, csrf: Some(token.csrf()) }, Right::Act)
            }
        };
        if changes(&parts.method) && caller.user.role.only_reads() {
            return Err(ApiError::OnlyReads);
        }
        if changes(&parts.method) && !right.may_act() {
            return Err(ApiError::Forbidden);
        }
        Ok(caller)
    }
}

impl Caller {
    async fn with_header(
        header: &str,
        parts: &mut Parts,
        console: &Console,
    ) -> Result<(Self, Right), ApiError> {
        if let Some(token) = ApiToken::from_header(header) {
            let (user, right) = console.bearer(&token).await?.ok_or(ApiError::Unauthenticated)?;
            return Ok((Self { user, csrf: None }, right));
        }
        let (name, password) = basic(header).ok_or(ApiError::Unauthenticated)?;
        let Ok(PeerAddress(from)) = PeerAddress::from_request_parts(parts, console).await;
        let attempt = Attempt { name: &name, from, at: now() };
        let (user, stage) = console.log_in(attempt, password, Method::Basic).await?;
        match stage {
            Stage::Full => {
                console.came_by_basic(Attempt { name: user.name.as_str(), ..attempt }).await?;
                Ok((Self { user, csrf: None }, Right::Act))
            }
            // A program has no authenticator: it has a token.
            Stage::Code | Stage::Enrol => Err(ApiError::NeedsToken),
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

async fn incidents(
    State(console): State<Console>,
    caller: Caller,
    Query(asked): Query<Asked>,
) -> Result<Json<Value>, ApiError> {
    let filter = asked.filter().map_err(|error| ApiError::BadRequest(format!("q: {error}")))?;
    let (rows, total) = console.seen_by(&caller.user).incidents(&filter).await?;
    let rows: Vec<Value> = rows.iter().map(shape::incident).collect();
    Ok(Json(json!({ "incidents": rows, "total": total, "page": filter.page })))
}

async fn incident(
    State(console): State<Console>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<Json<Value>, ApiError> {
    let seen = console.seen_by(&caller.user);
    let view = seen.incident(&id).await?.ok_or(ApiError::NotFound)?;
    let batches = seen.batches_of(&id).await?;
    let batches = tokio::task::spawn_blocking(move || batches.iter().map(shape::batch).collect::<Vec<_>>());
    let findings = seen.findings_of(&id).await?;
    let excepted = seen.excepted_beside(&view).await?;
    let children = seen.children_of(&id).await?;
    let changes = seen.changes_of(&view).await?;
    let mut out = shape::incident(&view);
    if let Some(fields) = out.as_object_mut() {
        fields.insert("reason".to_owned(), view.reason);
        fields.insert("findings_detail".to_owned(), findings.iter().map(shape::finding).collect());
        fields.insert("excepted_beside".to_owned(), excepted.iter().map(shape::finding).collect());
        fields.insert("endpoint_alerts".to_owned(), seen.alerts_of(&id).await?.into());
        fields.insert("children_ids".to_owned(), children.into_iter().map(|child| child.id).collect());
        fields.insert("batches".to_owned(), batches.await.unwrap_or_default().into());
        fields.insert("changes".to_owned(), changes.iter().map(shape::change).collect());
        fields.insert("work".to_owned(), work::shown(&console, &caller, &id).await?);
    }
    Ok(Json(out))
}

async fn agents(State(console): State<Console>, caller: Caller) -> Result<Json<Value>, ApiError> {
    let agents: Vec<Value> = console.seen_by(&caller.user).agents().await?.iter().map(shape::agent).collect();
    Ok(Json(json!({ "agents": agents })))
}

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

async fn exceptions(State(console): State<Console>, caller: Caller) -> Result<Json<Value>, ApiError> {
    let now = now();
    let store = console.seen_by(&caller.user);
    let here: Vec<Value> = store.exceptions().await?.iter().map(|view| shape::exception(view, now)).collect();
    let unknown: Vec<Value> = store.unknown_exceptions().await?.iter().map(shape::unknown).collect();
    let findings: Vec<Value> = store.excepted_findings().await?.iter().map(shape::finding).collect();
    let error = store.exceptions_read().await?.and_then(|read| read.error);
    Ok(Json(json!({ "exceptions": here, "unknown": unknown, "findings": findings, "error": error })))
}

async fn policies(State(console): State<Console>, caller: Caller) -> Result<Json<Value>, ApiError> {
    Ok(Json(crate::fleet::policy::command::list(console.seen_by(&caller.user)).await?))
}

/// For whoever watches the collector: no login, and nothing but "the store answers".
async fn health(State(console): State<Console>) -> Result<Json<Value>, ApiError> {
    console.answers().await?;
    Ok(Json(json!({ "status": "ok", "version": env!("CARGO_PKG_VERSION") })))
}
