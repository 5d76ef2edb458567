//! The console: pages in HTML for people, rendered on the server; the JSON API for programs is beside it.
//!
//! Everything on a page came over the network: templates escape it, and the content security policy lets nothing run
//! that is not one of our own files. Every route but the login, its assets and the language asks who it is.

mod agents;
mod assets;
mod evidence;
mod exceptions;
mod incident;
mod incidents;
mod intake;
mod live;
mod login;
mod overview;
mod page;
mod policies;
#[cfg(test)]
pub(crate) mod tests;
mod work;

pub use self::evidence::Check;
pub use self::incidents::Asked;
pub use self::page::chain;

use core::convert::Infallible;
use core::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use axum::Router;
use axum::extract::{ConnectInfo, DefaultBodyLimit, FromRequestParts, Request};
use axum::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, COOKIE, HeaderName, REFERRER_POLICY, STRICT_TRANSPORT_SECURITY,
    X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse as _, Redirect, Response};
use axum::routing::{get, post};
use tokio::sync::Semaphore;

use crate::api;
use crate::auth::session::SessionToken;
use crate::auth::{Guard, LoginError, User};
use crate::clock::now;
use crate::i18n::Lang;
use crate::server::AppState;
use crate::store::account::Touch;
use crate::store::{Store, StoreError};

/// Longest body of a request: forms with a few short fields.
const BODY_BYTES_MAX: usize = 16 * 1024;
/// Longest body of a request about an incident: a review in Japanese, percent-encoded.
pub(crate) const FORM_BYTES_MAX: usize = 256 * 1024;
/// Pages that may wait for changes at a time.
const STREAMS_MAX: usize = 512;
/// Sent by the page when it refreshes itself.
const LIVE_HEADER: HeaderName = HeaderName::from_static("sekimori-live");

/// What the handlers of console and API share.
#[derive(Clone, Debug)]
pub struct Console {
    /// Where everything is.
    pub store: Store,
    guard: Arc<Guard>,
    streams: Arc<Semaphore>,
}

/// Every route of the console and the API.
pub fn router(state: AppState) -> Router {
    router_of(state.store)
}

fn router_of(store: Store) -> Router {
    let console = Console { store, guard: Arc::default(), streams: Arc::new(Semaphore::new(STREAMS_MAX)) };
    Router::new()
        .route("/", get(overview::overview))
        .route("/login", get(login::form).post(login::login))
        .route("/logout", post(login::logout))
        .route("/language", get(login::language))
        .route("/incidents", get(incidents::list))
        .route("/incidents/{id}", get(incident::show))
        .route("/incidents/{id}/acknowledge", post(incident::acknowledge))
        .route("/incidents/{id}/act", post(work::act).layer(DefaultBodyLimit::max(FORM_BYTES_MAX)))
        .route("/agents", get(agents::list))
        .route("/agents/{id}", get(agents::show))
        .route("/intake", get(intake::show))
        .route("/exceptions", get(exceptions::show))
        .route("/policies", get(policies::show))
        .route("/events", get(live::events))
        .route("/assets/{name}", get(assets::asset))
        .nest("/api/v1", api::router())
        .fallback(page::not_found)
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .layer(middleware::from_fn(protect))
        .with_state(console)
}

impl Console {
    /// Who this name and password belong to.
    ///
    /// # Errors
    /// Wrong, too often wrong, or the store failed.
    pub async fn log_in(&self, name: &str, password: String, from: IpAddr) -> Result<User, AccessError> {
        let known = self.store.credentials(name).await?;
        let (user, hash) = known.map_or((None, None), |known| (Some(known.user), Some(known.password_hash)));
        let verified = self.guard.verify(name, password, hash, from, now()).await;
        if let Err(LoginError::TooMany { .. }) = verified {
            tracing::warn!(%from, "too many failed logins");
        }
        verified?;
        user.ok_or(AccessError::Login(LoginError::Wrong))
    }
}

/// Why somebody is not let in.
#[derive(Debug, thiserror::Error)]
pub enum AccessError {
    /// Their fault.
    #[error(transparent)]
    Login(#[from] LoginError),
    /// Ours.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// A person with a session. Whoever has none is sent to the login.
#[derive(Debug)]
pub struct Visitor {
    /// Who.
    pub user: User,
    /// With which session.
    pub token: SessionToken,
    /// In which language.
    pub lang: Lang,
    /// Where they are: path and query, for coming back.
    pub place: String,
}

impl FromRequestParts<Console> for Visitor {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, console: &Console) -> Result<Self, Response> {
        let lang = lang_of(&parts.headers);
        let place = parts.uri.path_and_query().map_or("/", |place| place.as_str()).to_owned();
        let touch = if parts.headers.contains_key(LIVE_HEADER) { Touch::ByPage } else { Touch::ByPerson };
        match session_of(&parts.headers, console, touch).await {
            Ok(Some((user, token))) => Ok(Self { user, token, lang, place }),
            Ok(None)
                if parts.method == Method::GET
                    && touch == Touch::ByPerson
                    && parts.uri.path() != "/events" =>
            {
                Err(Redirect::to(&login::url(&place)).into_response())
            }
            Ok(None) => Err(page::error(lang, StatusCode::UNAUTHORIZED)),
            Err(cause) => Err(page::failed(lang, &cause)),
        }
    }
}

/// Whose session the cookie names.
///
/// # Errors
/// If the store fails.
pub async fn session_of(
    headers: &HeaderMap,
    console: &Console,
    touch: Touch,
) -> Result<Option<(User, SessionToken)>, StoreError> {
    let Some(token) = cookies(headers).find_map(SessionToken::from_cookies) else { return Ok(None) };
    Ok(console.store.session(&token, now(), touch).await?.map(|user| (user, token)))
}

fn lang_of(headers: &HeaderMap) -> Lang {
    cookies(headers).map(Lang::from_cookies).find(|lang| *lang != Lang::default()).unwrap_or_default()
}

/// HTTP/2 may send one header for each cookie (RFC 9113, 8.2.3).
fn cookies(headers: &HeaderMap) -> impl Iterator<Item = &str> {
    headers.get_all(COOKIE).iter().filter_map(|value| value.to_str().ok())
}

/// Where a request comes from. All whose address is not known share one.
#[derive(Clone, Copy, Debug)]
pub struct PeerAddress(pub IpAddr);

impl<S: Sync> FromRequestParts<S> for PeerAddress {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Infallible> {
        let peer = parts.extensions.get::<ConnectInfo<SocketAddr>>();
        Ok(Self(peer.map_or(IpAddr::V6(Ipv6Addr::UNSPECIFIED), |ConnectInfo(address)| address.ip())))
    }
}

/// Refuses what another site makes a browser send, and tells browsers what our pages may do.
async fn protect(request: Request, next: Next) -> Response {
    let from = request.headers().get("sec-fetch-site").map(HeaderValue::as_bytes);
    let foreign = from.is_some_and(|from| from != b"same-origin" && from != b"none");
    let mut response = if foreign && request.method() != Method::GET && request.method() != Method::HEAD {
        page::error(lang_of(request.headers()), StatusCode::FORBIDDEN)
    } else {
        next.run(request).await
    };
    let headers = response.headers_mut();
    for (name, value) in [
        (
            CONTENT_SECURITY_POLICY,
            "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self' data:; connect-src 'self'; \
             form-action 'self'; frame-ancestors 'none'; base-uri 'none'",
        ),
        (STRICT_TRANSPORT_SECURITY, "max-age=31536000"),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (X_FRAME_OPTIONS, "DENY"),
        (REFERRER_POLICY, "no-referrer"),
        (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
        (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
        (HeaderName::from_static("permissions-policy"), "camera=(), microphone=(), geolocation=()"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    headers.entry(CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    response
}
