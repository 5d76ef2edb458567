//! The console: pages in HTML for people, rendered on the server; the JSON API for programs is beside it.
//!
//! Everything on a page came over the network: templates escape it, and the content security policy lets nothing run
//! that is not one of our own files. Every route but the login, its assets and the language asks who it is.

mod account;
mod accounts;
mod agents;
mod assets;
mod audit;
mod bundle;
mod certificate;
mod chart;
mod conflict;
mod drills;
mod duty;
mod enrol;
mod evidence;
mod exceptions;
mod granted;
mod handover;
mod health;
mod help;
mod host;
mod incident;
mod incidents;
mod indicator;
mod intake;
pub(crate) mod live;
mod login;
mod monthly;
mod notices;
mod oidc;
mod overview;
mod page;
mod policies;
mod report;
mod search;
mod settings;
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
use sekimori_wire::id::Digest;
use tokio::sync::{Semaphore, watch};

use crate::api;
use crate::auth::oidc::provider::Provider;
use crate::auth::password::PasswordError;
use crate::auth::rules::AccountRules;
use crate::auth::session::{SessionToken, Stage};
use crate::auth::token::{ApiToken, Right};
use crate::auth::{Guard, LoginError, User};
use crate::clock::now;
use crate::fleet::trust::Present;
use crate::i18n::Lang;
use crate::server::AppState;
use crate::store::people::certificate::Shown;
use crate::store::people::session::{NewSession, Session, Touch};
use crate::store::people::sign_in::{Attempt, Came, Method as SignInMethod};
use crate::store::seen::Seen;
use crate::store::{Store, StoreError};
use crate::tls::PersonShown;

/// Longest body of a request: forms with a few short fields.
const BODY_BYTES_MAX: usize = 16 * 1024;
/// Longest body of a request about an incident: a review in Japanese, percent-encoded.
pub(crate) const FORM_BYTES_MAX: usize = 256 * 1024;
/// Pages that may wait for changes at a time.
const STREAMS_MAX: usize = 512;
/// Sent by the page when it refreshes itself.
const LIVE_HEADER: HeaderName = HeaderName::from_static("sekimori-live");

/// Ours alone: whatever a request says of it is taken away, and the connection's certificate put in its place.
const CERTIFICATE_HEADER: HeaderName = HeaderName::from_static("sekimori-shown-certificate");

/// What the handlers of console and API share.
#[derive(Clone, Debug)]
pub struct Console {
    /// Nobody's view: for accounts and sessions. What a person sees of the rest is [`Console::seen_by`].
    store: Store,
    /// What the collector trusts; none where nobody renews.
    trust: Option<Present>,
    rules: Arc<AccountRules>,
    guard: Arc<Guard>,
    streams: Arc<Semaphore>,
    /// Programs that wait for changes.
    listeners: api::Listeners,
    provider: Option<Arc<Provider>>,
}

/// Every route of the console and the API.
pub fn router(state: AppState) -> Router {
    let export = axum::Extension(state.config.export.clone());
    let in_force = axum::Extension(Arc::new(settings::InForce::load(&state.config)));
    router_of(state.store, Some(state.trust), state.config.accounts.clone()).layer(export).layer(in_force)
}

fn router_of(store: Store, trust: Option<Present>, rules: AccountRules) -> Router {
    let console = Console {
        store,
        trust,
        provider: rules.oidc.clone().map(|settings| Arc::new(Provider::new(settings))),
        rules: Arc::new(rules),
        guard: Arc::default(),
        streams: Arc::new(Semaphore::new(STREAMS_MAX)),
        listeners: api::Listeners::default(),
    };
    Router::new()
        .route("/", get(overview::overview))
        .route("/login", get(login::form).post(login::login))
        .route("/login/code", get(login::code_form).post(login::code))
        .route("/login/enrol", get(enrol::form).post(enrol::confirm))
        .route("/login/certificate", post(certificate::login))
        .route("/login/oidc", get(oidc::begin))
        .route("/login/oidc/callback", get(oidc::callback))
        .route("/accounts", get(accounts::show).post(accounts::add))
        .route("/accounts/change", post(accounts::change))
        .route("/logout", post(login::logout))
        .route("/account", get(account::show))
        .route("/account/password", post(account::password))
        .route("/account/authenticator", get(enrol::replace_form).post(enrol::replace))
        .route("/account/sessions/end", post(account::end_sessions))
        .route("/language", get(login::language))
        .route("/incidents", get(incidents::list))
        .route("/incidents/{id}", get(incident::show))
        .route("/incidents/{id}/acknowledge", post(incident::acknowledge))
        .route("/incidents/{id}/act", post(work::act).layer(DefaultBodyLimit::max(FORM_BYTES_MAX)))
        .route("/incidents/{id}/duty", post(duty::submit))
        .route("/incidents/{id}/unmasked/{n}", post(granted::unmasked))
        .route("/incidents/new", get(report::show).post(report::open))
        .route("/account/tokens/end", post(account::end_token))
        .route("/notices", get(notices::show).post(notices::settle))
        .route("/handover", get(handover::shift))
        .route("/reports/monthly", get(monthly::show))
        .route("/drills", get(drills::list).post(drills::start))
        .route("/drills/{id}", get(drills::show))
        .route("/drills/{id}/end", post(drills::end))
        .route("/help", get(help::show))
        .route("/settings", get(settings::show))
        .route("/incidents/{id}/handover", get(handover::incident))
        .route("/incidents/{id}/evidence", get(bundle::evidence))
        .route("/shared", get(granted::shared))
        .route("/shared/{digest}", get(granted::extract))
        .route("/agents", get(agents::list))
        .route("/agents/{id}", get(agents::show))
        .route("/agents/{id}/confirm", post(agents::confirm))
        .route("/intake", get(intake::show))
        .route("/exceptions", get(exceptions::show))
        .route("/suppressions/{id}/end", post(exceptions::end))
        .route("/policies", get(policies::show))
        .route("/hosts", get(host::show))
        .route("/indicators", get(indicator::show))
        .route("/audit", get(audit::show))
        .route("/search", get(search::show))
        .route("/search/complete", get(search::completions))
        .route("/events", get(live::events))
        .route("/assets/{name}", get(assets::asset))
        .nest("/api/v1", api::router(&console))
        .route("/healthz", get(health::live))
        .route("/readyz", get(health::ready))
        .fallback(page::not_found)
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .layer(middleware::from_fn(protect))
        .with_state(console)
}

impl Console {
    /// The store as this person may see it.
    pub fn seen_by<'a>(&'a self, user: &'a User) -> Seen<'a> {
        self.store.seen_in(&user.scope)
    }

    /// Follows that something changed; what, is for [`Console::seen_by`] to say.
    pub fn changes(&self) -> watch::Receiver<i64> {
        self.store.subscribe()
    }

    async fn session(&self, token: &SessionToken, touch: Touch) -> Result<Option<Session>, StoreError> {
        self.store.session(token, self.rules.session, now(), touch).await
    }

    /// Nobody's view: accounts, keys of requests. What a person sees of the rest is [`Console::seen_by`].
    pub const fn everything(&self) -> &Store {
        &self.store
    }

    /// Programs that wait for changes.
    pub const fn listeners(&self) -> &api::Listeners {
        &self.listeners
    }

    /// Whose session this is still; hearing of changes is no use of it.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn follow(&self, token: &SessionToken) -> Result<Option<Session>, StoreError> {
        self.session(token, Touch::ByPage).await
    }

    /// Whether the store answers.
    ///
    /// # Errors
    /// If it does not.
    pub async fn answers(&self) -> Result<(), StoreError> {
        self.store.counters().await.map(drop)
    }

    /// Who this name and password belong to, and how far they bring them.
    ///
    /// # Errors
    /// Wrong, too often wrong, or the store failed.
    pub async fn log_in(
        &self,
        attempt: Attempt<'_>,
        password: String,
        method: SignInMethod,
    ) -> Result<(User, Stage), AccessError> {
        self.may_try(attempt, method).await?;
        let known = self.store.credentials(attempt.name).await?;
        let hash = known.as_ref().map(|known| known.password_hash.clone());
        match self.guard.verify(attempt.name, password, hash, attempt.from, attempt.at).await {
            Ok(()) => {}
            Err(LoginError::Wrong) => {
                self.failed(attempt, method, Came::Wrong).await?;
                return Err(LoginError::Wrong.into());
            }
            Err(error @ LoginError::TooMany { .. }) => {
                self.refused(attempt, method).await?;
                return Err(error.into());
            }
        }
        let known = known.ok_or(LoginError::Wrong)?;
        let stage = self.rules.after_password(known.user.role, known.has_totp);
        Ok((known.user, stage))
    }

    /// Whether somebody may try to come in now.
    async fn may_try(&self, attempt: Attempt<'_>, method: SignInMethod) -> Result<(), AccessError> {
        match self.store.must_wait(attempt).await? {
            None => Ok(()),
            Some(retry_after) => {
                self.refused(attempt, method).await?;
                Err(LoginError::TooMany { retry_after }.into())
            }
        }
    }

    /// Somebody must wait: told once a minute of each address, so that who floods does not make us write.
    async fn refused(&self, attempt: Attempt<'_>, method: SignInMethod) -> Result<(), StoreError> {
        if self.guard.tells_of(attempt.from, attempt.at) {
            tracing::warn!(from = %attempt.from, "too many failed logins");
            self.store.record_sign_in(attempt, method, Came::Locked).await?;
        }
        Ok(())
    }

    async fn failed(&self, attempt: Attempt<'_>, method: SignInMethod, came: Came) -> Result<(), StoreError> {
        self.store.count_failure(attempt).await?;
        self.store.record_sign_in(attempt, method, came).await
    }

    /// Who comes with this token.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn bearer(&self, token: &ApiToken) -> Result<Option<(User, Right)>, StoreError> {
        self.store.bearer(token, now()).await
    }

    /// Writes down that a program came in by name and password: the first of each ten minutes of account and address.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn came_by_basic(&self, attempt: Attempt<'_>) -> Result<(), StoreError> {
        if self.store.came_lately(attempt, SignInMethod::Basic).await? {
            return Ok(());
        }
        self.store.record_sign_in(attempt, SignInMethod::Basic, Came::In).await
    }

    /// Starts a session and writes it down. The token is a new one with every step of a sign-in.
    async fn start(
        &self,
        attempt: Attempt<'_>,
        user: &User,
        stage: Stage,
        method: SignInMethod,
    ) -> Result<SessionToken, StartError> {
        self.start_beside(attempt, user, (stage, method), None).await
    }

    /// The certificate that a session which follows another is bound to: the one that is shown, if it is this account's and
    /// good, so that a change of the password does not loosen a session from its certificate.
    async fn binding(
        &self,
        before: &SessionToken,
        attempt: Attempt<'_>,
    ) -> Result<Option<Digest>, StoreError> {
        let Some(shown) = before.certificate() else { return Ok(None) };
        let whose = self.store.shown_certificate(shown, attempt.at).await?;
        let good = matches!(whose, Shown::Good(user) if user.name.as_str() == attempt.name);
        Ok(good.then_some(shown))
    }

    /// As [`Console::start`], bound to a certificate.
    async fn start_beside(
        &self,
        attempt: Attempt<'_>,
        user: &User,
        (stage, method): (Stage, SignInMethod),
        certificate: Option<Digest>,
    ) -> Result<SessionToken, StartError> {
        let token = SessionToken::generate()?.beside(certificate);
        let address = attempt.from.to_string();
        let new = NewSession { token: &token, user, stage, address: &address };
        self.store.start_session(new, self.rules.session, attempt.at).await?;
        let came = match stage {
            Stage::Full => Came::In,
            Stage::Code | Stage::Enrol => Came::Halfway,
        };
        self.store.record_sign_in(attempt, method, came).await?;
        if stage == Stage::Full {
            self.store.forget_failures(&user.name).await?;
        }
        Ok(token)
    }
}

/// Why no session began.
#[derive(Debug, thiserror::Error)]
enum StartError {
    #[error(transparent)]
    Random(#[from] PasswordError),
    #[error(transparent)]
    Store(#[from] StoreError),
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
    /// Of the latest change that they can see. Read before the page, so that it is not newer than what is shown.
    seq: i64,
}

impl FromRequestParts<Console> for Visitor {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, console: &Console) -> Result<Self, Response> {
        let lang = lang_of(&parts.headers);
        let place = parts.uri.path_and_query().map_or("/", |place| place.as_str()).to_owned();
        let touch = if parts.headers.contains_key(LIVE_HEADER) { Touch::ByPage } else { Touch::ByPerson };
        let session = session_of(&parts.headers, console, touch).await.map_err(|e| page::failed(lang, &e))?;
        let Some((session, token)) = session.filter(|(session, _)| session.stage == Stage::Full) else {
            let page =
                parts.method == Method::GET && touch == Touch::ByPerson && parts.uri.path() != "/events";
            return Err(if page {
                Redirect::to(&login::url(&place)).into_response()
            } else {
                page::error(lang, StatusCode::UNAUTHORIZED)
            });
        };
        // Their own account is theirs to change, whatever they only read otherwise.
        let path = parts.uri.path();
        let own = ["/logout", "/account"].contains(&path) || path.starts_with("/account/");
        if changes(&parts.method) && session.user.role.only_reads() && !own {
            return Err(page::error(lang, StatusCode::FORBIDDEN));
        }
        let seq = console.seen_by(&session.user).change_number().await;
        let seq = seq.map_err(|cause| page::failed(lang, &cause))?;
        Ok(Self { user: session.user, token, lang, place, seq })
    }
}

/// Whether a request of this method may change something.
pub fn changes(method: &Method) -> bool {
    *method != Method::GET && *method != Method::HEAD
}

/// Whose session the cookie names, however far the sign-in is.
///
/// # Errors
/// If the store fails.
pub async fn session_of(
    headers: &HeaderMap,
    console: &Console,
    touch: Touch,
) -> Result<Option<(Session, SessionToken)>, StoreError> {
    let Some(token) = cookies(headers).find_map(SessionToken::from_cookies) else { return Ok(None) };
    let token = token.beside(shown_certificate(headers));
    Ok(console.session(&token, touch).await?.map(|session| (session, token)))
}

/// The fingerprint of the person's certificate that the connection shows: [`protect`] puts it there.
fn shown_certificate(headers: &HeaderMap) -> Option<Digest> {
    headers.get(CERTIFICATE_HEADER)?.to_str().ok()?.parse().ok()
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
async fn protect(mut request: Request, next: Next) -> Response {
    let shown = request.extensions().get::<PersonShown>().map(|shown| shown.fingerprint().to_string());
    request.headers_mut().remove(CERTIFICATE_HEADER);
    if let Some(shown) = shown.and_then(|shown| HeaderValue::from_str(&shown).ok()) {
        request.headers_mut().insert(CERTIFICATE_HEADER, shown);
    }
    let from = request.headers().get("sec-fetch-site").map(HeaderValue::as_bytes);
    let foreign = from.is_some_and(|from| from != b"same-origin" && from != b"none");
    let mut response = if foreign && changes(request.method()) {
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
