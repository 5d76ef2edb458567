//! What all routes have in common: no NUL in what is asked, `ETag` on what is read, and every refusal is a problem.

use axum::body::{Body, to_bytes};
use axum::extract::Request;
use axum::http::header::{CONTENT_LENGTH, CONTENT_TYPE, ETAG, IF_NONE_MATCH};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use sekimori_wire::id::Digest;

use super::problem::{self, ApiError};
use crate::console::{FORM_BYTES_MAX, changes};

/// Longest text of a refusal that is kept as its detail.
const DETAIL_BYTES_MAX: usize = 4096;
/// Longest answer that gets an `ETag`.
const TAGGED_BYTES_MAX: usize = 64 << 20;

/// The version of the incident that an answer shows: a part of its `ETag`, for `If-Match`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Versioned(pub(super) i64);

/// Around every route of the API.
pub(super) async fn around(request: Request, next: Next) -> Response {
    if holds_nul(&request) {
        return nul().into_response();
    }
    let request = match without_nul(request).await {
        Ok(request) => request,
        Err(refused) => return refused.into_response(),
    };
    let known = (*request.method() == Method::GET).then(|| request.headers().clone());
    let response = next.run(request).await;
    match known {
        Some(headers) if response.status() == StatusCode::OK && is_json(response.headers()) => {
            tagged(&headers, response).await
        }
        Some(_) | None => as_problem(response).await,
    }
}

/// PostgreSQL stores no NUL, and nothing of ours has one in its name.
fn holds_nul(request: &Request) -> bool {
    let uri = request.uri();
    [uri.path(), uri.query().unwrap_or_default()].iter().any(|part| part.contains("%00"))
}

/// The same in texts of a body: `\u0000`, with an even number of backslashes before it.
async fn without_nul(request: Request) -> Result<Request, ApiError> {
    if !changes(request.method()) || !is_json(request.headers()) {
        return Ok(request);
    }
    let (parts, body) = request.into_parts();
    let body = to_bytes(body, FORM_BYTES_MAX).await.map_err(|_cause| ApiError::TooLarge)?;
    let mut escaped = false;
    for (at, byte) in body.iter().enumerate() {
        if escaped && body.get(at..).is_some_and(|rest| rest.starts_with(b"u0000")) {
            return Err(nul());
        }
        escaped = !escaped && *byte == b'\\';
    }
    Ok(Request::from_parts(parts, Body::from(body)))
}

fn nul() -> ApiError {
    ApiError::BadRequest("NUL characters cannot be part of anything".to_owned())
}

fn is_json(headers: &HeaderMap) -> bool {
    headers.get(CONTENT_TYPE).is_some_and(|kind| kind == "application/json")
}

/// RFC 9110, 13.1.2. What is answered names what it was made of, so two equal answers have one tag.
async fn tagged(asked: &HeaderMap, response: Response) -> Response {
    let (mut parts, body) = response.into_parts();
    let Ok(body) = to_bytes(body, TAGGED_BYTES_MAX).await else { return ApiError::Failed.into_response() };
    let digest: String = Digest::of(&body).to_string().chars().take(32).collect();
    let tag = match parts.extensions.get::<Versioned>() {
        Some(Versioned(version)) => format!("\"{version}.{digest}\""),
        None => format!("\"{digest}\""),
    };
    let has = asked.get_all(IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok());
    let mut has = has.flat_map(|value| value.split(',')).map(|one| one.trim().trim_start_matches("W/"));
    let same = has.any(|one| one == tag || one == "*");
    if let Ok(tag) = HeaderValue::from_str(&tag) {
        parts.headers.insert(ETAG, tag);
    }
    if same {
        parts.status = StatusCode::NOT_MODIFIED;
        parts.headers.remove(CONTENT_TYPE);
        parts.headers.remove(CONTENT_LENGTH);
        return Response::from_parts(parts, Body::empty());
    }
    Response::from_parts(parts, Body::from(body))
}

/// The framework refuses in plain text (a method, a size, a query); programs get a problem from us always.
async fn as_problem(response: Response) -> Response {
    let status = response.status();
    let refused = status.is_client_error() || status.is_server_error();
    let told = response.headers().get(CONTENT_TYPE).is_some_and(|kind| kind == problem::MEDIA_TYPE);
    if !refused || told {
        return response;
    }
    let (parts, body) = response.into_parts();
    let text = to_bytes(body, DETAIL_BYTES_MAX).await.unwrap_or_default();
    let detail = String::from_utf8_lossy(&text);
    let mut response = problem::of_status(status, &detail);
    for (name, value) in &parts.headers {
        if name != CONTENT_TYPE && name != CONTENT_LENGTH {
            response.headers_mut().append(name, value.clone());
        }
    }
    response
}
