//! The JSON API under `/api/v1`, for programs: the same facts as the console, with stable names.
//!
//! Programs come with a token (`Authorization: Bearer`), or, for an account without a second factor, with name and
//! password in every request (HTTP Basic over TLS); the console's session cookie works too, and then a change
//! must carry the session's token in `sekimori-csrf`. Times are RFC 3339 UTC. An error is `{"error": "…"}`.

mod shape;

use axum::extract::rejection::JsonRejection;
use axum::extract::{FromRequestParts, Path, Query, State};
use axum::http::header::{AUTHORIZATION, HeaderName, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::request::Parts;
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::auth::session::Stage;
use crate::auth::token::{ApiToken, Right};
use crate::auth::{LoginError, User};
use crate::clock::now;
use crate::console::{AccessError, Asked, Console, PeerAddress, chain, changes, session_of};
use crate::store::StoreError;
use crate::store::acknowledge::Acknowledged;
use crate::store::people::session::Touch;
use crate::store::people::sign_in::{Attempt, Method};

/// Carries the session's token where a cookie authorises a change.
const CSRF_HEADER: HeaderName = HeaderName::from_static("sekimori-csrf");

/// The routes, to be nested under `/api/v1`.
pub fn router() -> Router<Console> {
    Router::new()
        .route("/incidents", get(incidents))
        .route("/incidents/{id}", get(incident))
        .route("/incidents/{id}/acknowledge", post(acknowledge))
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
        if changes(&parts.method) && (caller.user.role.only_reads() || !right.may_act()) {
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
            Stage::Full => Ok((Self { user, csrf: None }, Right::Act)),
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
    let filter = asked.filter();
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
    }
    Ok(Json(out))
}

/// What a caller saw when it decided.
#[derive(Debug, Deserialize)]
struct Seen {
    version: i64,
}

async fn acknowledge(
    State(console): State<Console>,
    caller: Caller,
    Path(id): Path<String>,
    headers: axum::http::HeaderMap,
    seen: Result<Json<Seen>, JsonRejection>,
) -> Result<Json<Value>, ApiError> {
    let carried = headers.get(CSRF_HEADER).map(HeaderValue::as_bytes);
    if caller.csrf.is_some_and(|csrf| carried != Some(csrf.as_bytes())) || !caller.user.role.may_acknowledge()
    {
        return Err(ApiError::Forbidden);
    }
    let Json(seen) = seen.map_err(|_cause| ApiError::BadRequest)?;
    match console.seen_by(&caller.user).acknowledge(&id, seen.version, &caller.user, now()).await? {
        Acknowledged::Done => {
            let view = console.seen_by(&caller.user).incident(&id).await?.ok_or(ApiError::NotFound)?;
            Ok(Json(shape::incident(&view)))
        }
        Acknowledged::NotYours => Err(ApiError::Forbidden),
        Acknowledged::Conflict => Err(ApiError::Conflict),
        Acknowledged::NotFound => Err(ApiError::NotFound),
    }
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

/// Why there is no answer.
#[derive(Debug)]
enum ApiError {
    Unauthenticated,
    NeedsToken,
    TooMany { retry_after_seconds: u64 },
    Forbidden,
    NotFound,
    Conflict,
    BadRequest,
    Failed,
}

impl From<StoreError> for ApiError {
    fn from(cause: StoreError) -> Self {
        tracing::error!(error = %chain(&cause), "a request to the API failed");
        Self::Failed
    }
}

impl From<AccessError> for ApiError {
    fn from(error: AccessError) -> Self {
        match error {
            AccessError::Login(LoginError::Wrong) => Self::Unauthenticated,
            AccessError::Login(LoginError::TooMany { retry_after }) => {
                Self::TooMany { retry_after_seconds: retry_after.as_secs().max(1) }
            }
            AccessError::Store(cause) => cause.into(),
        }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let (status, error) = match self {
            Self::Unauthenticated => {
                (StatusCode::UNAUTHORIZED, "a token, a name and password, or a session is needed")
            }
            Self::NeedsToken => {
                (StatusCode::UNAUTHORIZED, "this account has a second factor: use a token (`token add`)")
            }
            Self::TooMany { .. } => {
                (StatusCode::TOO_MANY_REQUESTS, "too many failed logins; try again later")
            }
            Self::Forbidden => (StatusCode::FORBIDDEN, "not with this role, or without the session's token"),
            Self::NotFound => (StatusCode::NOT_FOUND, "there is no such thing"),
            Self::Conflict => (StatusCode::CONFLICT, "it is not as you saw it any more; read it again"),
            Self::BadRequest => (StatusCode::BAD_REQUEST, "the body must be JSON with a number \"version\""),
            Self::Failed => (StatusCode::INTERNAL_SERVER_ERROR, "the collector failed; its log says why"),
        };
        let mut response = (status, Json(json!({ "error": error }))).into_response();
        match self {
            Self::Unauthenticated | Self::NeedsToken => {
                // Browsers would ask for a password by themselves on "Basic": scripts do not need to be asked.
                response.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static("Sekimori"));
            }
            Self::TooMany { retry_after_seconds } => {
                response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(retry_after_seconds));
            }
            Self::Forbidden | Self::NotFound | Self::Conflict | Self::BadRequest | Self::Failed => {}
        }
        response
    }
}
