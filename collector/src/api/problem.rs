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
    Refused(Refused),
    /// A search that takes too long.
    TooSlow,
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

/// Status, last part of the type, title.
type Kind = (StatusCode, &'static str, &'static str);

impl ApiError {
    const fn kind(&self) -> Kind {
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
            Self::BadRequest(why) => why.clone(),
            Self::Refused(refused) => refused.to_string(),
            Self::TooSlow => SearchError::TooSlow.to_string(),
            Self::Failed => "the collector failed; its log says why".to_owned(),
        }
    }

    /// What a program may want to know beside.
    fn extend(&self, problem: &mut Value) {
        let Some(fields) = problem.as_object_mut() else { return };
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
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        match self {
            Self::Unauthenticated | Self::NeedsToken => {
                // Browsers would ask for a password by themselves on "Basic": scripts do not need to be asked.
                headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Sekimori"));
            }
            Self::TooMany { retry_after_seconds } => {
                headers.insert(RETRY_AFTER, HeaderValue::from(retry_after_seconds));
            }
            Self::Forbidden
            | Self::OnlyReads
            | Self::NotFound
            | Self::BadRequest(_)
            | Self::Refused(_)
            | Self::TooSlow
            | Self::Failed => {}
        }
        response
    }
}
