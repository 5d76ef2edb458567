//! `Idempotency-Key`: the same request under the same key is done once and answered the same, for a day, whichever
//! collector it comes to.
//!
//! What was refused gives the key back, because nothing was done; what failed does not, because that is not known.

use axum::body::{Body, Bytes, to_bytes};
use axum::extract::{FromRequestParts as _, Request, State};
use axum::http::header::{CONTENT_TYPE, LOCATION};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use sekimori_wire::id::Digest;

use super::Caller;
use super::problem::ApiError;
use super::work::authorised;
use crate::clock::now;
use crate::console::{Console, FORM_BYTES_MAX};
use crate::store::Store;
use crate::store::request_key::{Answer, Claim, Claimed};

const KEY: HeaderName = HeaderName::from_static("idempotency-key");
/// Says that this is an answer from before.
const REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");
/// Longest key, in characters.
const KEY_MAX: usize = 255;

/// Around every route of the API.
pub(super) async fn once(State(console): State<Console>, request: Request, next: Next) -> Response {
    // Every change is a POST.
    if request.method() != Method::POST || !request.headers().contains_key(KEY) {
        return next.run(request).await;
    }
    keyed(&console, request, next).await.unwrap_or_else(|refused| refused.into_response())
}

async fn keyed(console: &Console, request: Request, next: Next) -> Result<Response, ApiError> {
    let (mut parts, body) = request.into_parts();
    let caller = Caller::from_request_parts(&mut parts, console).await?;
    authorised(&caller, &parts.headers)?;
    let key = key_of(&parts.headers)?;
    let body = to_bytes(body, FORM_BYTES_MAX).await.map_err(|_cause| ApiError::TooLarge)?;
    let account = caller.user.name.as_str().to_owned();
    let claim = Claim { account, key, asked: digest(&parts, &body), at: now() };
    let store = console.everything().clone();
    match store.claim_key(&claim).await? {
        Claimed::New => {}
        Claimed::Done(answer) => return Ok(again(answer)),
        Claimed::Unanswered => return Err(ApiError::KeyUnanswered),
        Claimed::Other => return Err(ApiError::KeyReused),
        Claimed::TooMany => return Err(ApiError::TooManyKeys),
    }
    let request = Request::from_parts(parts, Body::from(body));
    // Whoever hangs up in the middle must not leave it half known.
    let done = tokio::spawn(async move { keep(&store, &claim, next.run(request).await).await });
    done.await.unwrap_or_else(|_panicked| Err(ApiError::Failed))
}

fn key_of(headers: &HeaderMap) -> Result<String, ApiError> {
    let mut all = headers.get_all(KEY).iter();
    let key = all.next().and_then(|value| value.to_str().ok()).unwrap_or_default();
    let well = (1..=KEY_MAX).contains(&key.len()) && key.bytes().all(|byte| byte.is_ascii_graphic());
    if well && all.next().is_none() {
        return Ok(key.to_owned());
    }
    Err(ApiError::BadRequest(format!("Idempotency-Key: one, of 1 to {KEY_MAX} visible ASCII characters")))
}

/// Each part with its length before it, so that no two requests look the same.
fn digest(parts: &Parts, body: &Bytes) -> Digest {
    let kind = parts.headers.get(CONTENT_TYPE).map_or(&b""[..], HeaderValue::as_bytes);
    let seen = parts.headers.get(axum::http::header::IF_MATCH).map_or(&b""[..], HeaderValue::as_bytes);
    let place = parts.uri.path_and_query().map_or("", |place| place.as_str());
    let mut asked = Vec::with_capacity(body.len() + 256);
    for part in [parts.method.as_str().as_bytes(), place.as_bytes(), kind, seen, body.as_ref()] {
        asked.extend_from_slice(&u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
        asked.extend_from_slice(part);
    }
    Digest::of(&asked)
}

async fn keep(store: &Store, claim: &Claim, response: Response) -> Result<Response, ApiError> {
    let status = response.status();
    if status.is_client_error() {
        store.release_key(claim).await?;
        return Ok(response);
    }
    if !status.is_success() {
        return Ok(response);
    }
    let (parts, body) = response.into_parts();
    let body = to_bytes(body, FORM_BYTES_MAX).await.map_err(|_cause| ApiError::Failed)?;
    let location = parts.headers.get(LOCATION).and_then(|place| place.to_str().ok()).map(str::to_owned);
    let answer = Answer { status: status.as_u16(), location, body: body.to_vec() };
    store.answer_key(claim, &answer).await?;
    Ok(Response::from_parts(parts, Body::from(body)))
}

fn again(answer: Answer) -> Response {
    let status = StatusCode::from_u16(answer.status).unwrap_or(StatusCode::OK);
    let mut response = (status, Body::from(answer.body)).into_response();
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(REPLAYED, HeaderValue::from_static("true"));
    if let Some(place) = answer.location.and_then(|place| HeaderValue::from_str(&place).ok()) {
        headers.insert(LOCATION, place);
    }
    response
}
