//! Errors of the API: problem details (RFC 9457). `type` and `missing` are for programs, `detail` is for people.

use axum::Json;
use axum::http::header::{CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use crate::auth::LoginError;
use crate::console::{AccessError, chain};
use crate::incident::transition::Refused;
use crate::store::StoreError;
use crate::store::search::SearchError;
use crate::store::work::IntakeError;

/// Why there is no answer.
#[derive(Debug)]
pub(super) enum ApiError {
    Unauthenticated,
    NeedsToken,
    TooMany {
        retry_after_seconds: u64,
    },
    Forbidden,
    OnlyReads,
    NotFound,
    BadRequest(String),
    /// The framework's own refusal.
    Framework(StatusCode, String),
    TooLarge,
    /// `If-Match` names none of the versions that it has had last.
    Precondition {
        is: i64,
    },
    VersionNeeded,
    KeyReused,
    KeyUnanswered,
    TooManyKeys,
    TooManyListeners,
    Refused(Refused),
    /// A search that takes too long.
    TooSlow,
    Failed,
}

impl From<StoreError> for ApiError {
    fn from(cause: StoreError) -> Self {
        if cause.is_of_text() {
            return Self::BadRequest("a text holds characters that cannot be stored".to_owned());
        }
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

impl From<IntakeError> for ApiError {
    fn from(error: IntakeError) -> Self {
        match error {
            IntakeError::NotAllowed(role) => Self::Refused(Refused::NotAllowed {
                role,
                permission: crate::incident::permission::Permission::Open,
            }),
            IntakeError::Missing(missing) => Self::Refused(Refused::Guard(missing)),
            IntakeError::Store(cause) => cause.into(),
        }
    }
}

/// RFC 9457, 3.
pub(super) const MEDIA_TYPE: &str = "application/problem+json";

/// A problem instead of what the framework said.
pub(super) fn of_status(status: StatusCode, said: &str) -> Response {
    let why = if said.trim().is_empty() { framework(status).1 } else { said };
    ApiError::Framework(status, why.to_owned()).into_response()
}

fn framework(status: StatusCode) -> (&'static str, &'static str) {
    match status {
        StatusCode::METHOD_NOT_ALLOWED => ("method", "Not with this method; `Allow` says with which"),
        StatusCode::PAYLOAD_TOO_LARGE => ("too-large", "The body is too large"),
        StatusCode::UNSUPPORTED_MEDIA_TYPE => ("media-type", "The body must be application/json"),
        StatusCode::NOT_FOUND => ("not-found", "Not found"),
        _ if status.is_server_error() => ("failed", "The collector failed"),
        _ => ("bad-request", "Not understood"),
    }
}

/// Status, last part of the type, title.
type Kind = (StatusCode, &'static str, &'static str);

impl ApiError {
    fn kind(&self) -> Kind {
        match self {
            Self::Unauthenticated | Self::NeedsToken => {
                (StatusCode::UNAUTHORIZED, "unauthenticated", "Who are you?")
            }
            Self::TooMany { .. } => (StatusCode::TOO_MANY_REQUESTS, "too-many", "Too many failed logins"),
            Self::Forbidden => (StatusCode::FORBIDDEN, "forbidden", "Not allowed"),
            Self::NotFound | Self::Refused(Refused::OutOfScope) => {
                (StatusCode::NOT_FOUND, "not-found", "Not found")
            }
            Self::BadRequest(_) => (StatusCode::BAD_REQUEST, "bad-request", "Not understood"),
            Self::Framework(status, _) => {
                let (kind, title) = framework(*status);
                (*status, kind, title)
            }
            Self::TooLarge => (StatusCode::PAYLOAD_TOO_LARGE, "too-large", "The body is too large"),
            Self::Precondition { .. } => (StatusCode::PRECONDITION_FAILED, "version", "It changed meanwhile"),
            Self::VersionNeeded => {
                (StatusCode::PRECONDITION_REQUIRED, "version-needed", "A version is needed")
            }
            Self::KeyReused => {
                (StatusCode::UNPROCESSABLE_ENTITY, "key-reused", "The key was for something else")
            }
            Self::KeyUnanswered => (StatusCode::CONFLICT, "key-unanswered", "This was asked already"),
            Self::TooManyKeys => (StatusCode::TOO_MANY_REQUESTS, "too-many-keys", "Too many keys"),
            Self::TooManyListeners => (StatusCode::SERVICE_UNAVAILABLE, "busy", "Too many listeners"),
            Self::OnlyReads | Self::Refused(Refused::NotAllowed { .. }) => {
                (StatusCode::FORBIDDEN, "role", "Not with this role")
            }
            Self::Refused(Refused::SamePerson) => {
                (StatusCode::FORBIDDEN, "same-person", "Another person must decide")
            }
            Self::Refused(Refused::Conflict { .. }) => {
                (StatusCode::CONFLICT, "version", "It changed meanwhile")
            }
            Self::Refused(Refused::State { .. }) => (StatusCode::CONFLICT, "state", "Not in this state"),
            Self::Refused(Refused::Guard(_)) => {
                (StatusCode::UNPROCESSABLE_ENTITY, "missing", "Something is missing or not valid")
            }
            Self::TooSlow => {
                (StatusCode::SERVICE_UNAVAILABLE, "search-too-slow", "The search takes too long")
            }
            Self::Failed => (StatusCode::INTERNAL_SERVER_ERROR, "failed", "The collector failed"),
        }
    }

    fn detail(&self) -> String {
        match self {
            Self::Unauthenticated => "a token, a name and password, or a session is needed".to_owned(),
            Self::NeedsToken => "this account has a second factor: use a token (`token add`)".to_owned(),
            Self::TooMany { .. } => "too many failed logins; try again later".to_owned(),
            Self::OnlyReads => "this role only reads".to_owned(),
            Self::Forbidden => "not with this role, or without the session's token".to_owned(),
            Self::NotFound | Self::Refused(Refused::OutOfScope) => "there is no such thing".to_owned(),
            Self::BadRequest(why) | Self::Framework(_, why) => why.clone(),
            Self::TooLarge => "send less, or in parts".to_owned(),
            Self::Precondition { is } => format!("it has version {is} now: read it again"),
            Self::VersionNeeded => {
                "say which version you saw: its ETag in If-Match, or \"version\" in the body".to_owned()
            }
            Self::KeyReused => "this Idempotency-Key came with another request before".to_owned(),
            Self::KeyUnanswered => {
                "a request with this Idempotency-Key runs; if it has for more than a minute, whether it was done is not known: \
                 look, and use another key"
                    .to_owned()
            }
            Self::TooManyKeys => "this account has used too many Idempotency-Keys in 24 hours".to_owned(),
            Self::TooManyListeners => "too many listen already; end a stream or try again later".to_owned(),
            Self::Refused(refused) => refused.to_string(),
            Self::TooSlow => SearchError::TooSlow.to_string(),
            Self::Failed => "the collector failed; its log says why".to_owned(),
        }
    }

    /// What a program may want to know beside.
    fn extend(&self, problem: &mut Value) {
        let Some(fields) = problem.as_object_mut() else { return };
        if let Self::Precondition { is } = self {
            fields.insert("version".to_owned(), json!(is));
        }
        let Self::Refused(refused) = self else { return };
        match refused {
            Refused::NotAllowed { role, permission } => {
                fields.insert("role".to_owned(), json!(role));
                fields.insert("permission".to_owned(), json!(permission));
            }
            Refused::Conflict { seen, is } => {
                fields.insert("version_seen".to_owned(), json!(seen));
                fields.insert("version".to_owned(), json!(is));
            }
            Refused::State { action, state } => {
                fields.insert("action".to_owned(), json!(action));
                fields.insert("state".to_owned(), json!(state));
            }
            Refused::Guard(missing) => {
                fields.insert("missing".to_owned(), json!(missing));
            }
            Refused::OutOfScope | Refused::SamePerson => {}
        }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let (status, kind, title) = self.kind();
        let detail = self.detail();
        // `error` is what earlier versions had instead of `detail`.
        let mut problem = json!({
            "type": format!("urn:sekimori:problem:{kind}"),
            "title": title,
            "status": status.as_u16(),
            "detail": detail,
            "error": detail,
        });
        self.extend(&mut problem);
        let mut response = (status, Json(problem)).into_response();
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(MEDIA_TYPE));
        match self {
            Self::Unauthenticated | Self::NeedsToken => {
                // Browsers would ask for a password by themselves on "Basic": scripts do not need to be asked.
                headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Sekimori"));
            }
            Self::KeyUnanswered | Self::TooManyKeys | Self::TooManyListeners => {
                headers.insert(RETRY_AFTER, HeaderValue::from_static("60"));
            }
            Self::TooMany { retry_after_seconds } => {
                headers.insert(RETRY_AFTER, HeaderValue::from(retry_after_seconds));
            }
            Self::Forbidden
            | Self::OnlyReads
            | Self::NotFound
            | Self::BadRequest(_)
            | Self::Framework(..)
            | Self::TooLarge
            | Self::Precondition { .. }
            | Self::VersionNeeded
            | Self::KeyReused
            | Self::Refused(_)
            | Self::TooSlow
            | Self::Failed => {}
        }
        response
    }
}
