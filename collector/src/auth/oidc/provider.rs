//! What the provider says of itself, its keys, and its answer to a code. Everything is bounded in bytes and time, kept for
//! a while, and asked for by one at a time.

use std::sync::Arc;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hyper::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HOST, USER_AGENT};
use hyper::{Request, Uri};
use jsonwebtoken::jwk::JwkSet;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use tokio::sync::{Mutex, Semaphore};

use super::Flow;
use super::settings::{Settings, may_ask};
use super::token::{Identity, TokenError, verify};
use crate::http::{self, SendError};
use crate::notify::tls;

/// How long one request may take, with all of its answer.
const REQUEST_MAX: Duration = Duration::from_secs(10);
/// Longest answer.
const ANSWER_BYTES_MAX: usize = 256 * 1024;
/// Most keys.
const KEYS_MAX: usize = 64;
/// How long what the provider says of itself is believed.
const KEPT_FOR: Duration = Duration::from_secs(3600);
/// Keys are fetched again for a name that is not known, so often in a minute at most.
const REFETCHES_MAX: u32 = 6;
const MINUTE: Duration = Duration::from_secs(60);
/// After a failure nobody is asked for so long.
const REST: Duration = Duration::from_secs(2);
/// Codes exchanged at a time.
const EXCHANGES_MAX: usize = 8;
/// Longest client secret.
const SECRET_BYTES_MAX: usize = 4096;
/// Longest code.
const CODE_BYTES_MAX: usize = 4096;

/// What we need of a provider's own description (`OpenID` Connect Discovery).
#[derive(Debug, Deserialize)]
struct Description {
    issuer: String,
    authorization_endpoint: String,
    token_endpoint: String,
    jwks_uri: String,
    token_endpoint_auth_methods_supported: Option<Vec<String>>,
}

#[derive(Debug, Deserialize)]
struct Answer {
    id_token: String,
}

/// What is known of it at the moment.
#[derive(Debug, Default)]
struct Known {
    description: Option<(Instant, Arc<Description>)>,
    keys: Option<(Instant, Arc<JwkSet>)>,
    failed: Option<Instant>,
    refetched: Option<(Instant, u32)>,
}

/// An identity provider.
#[derive(Debug)]
pub struct Provider {
    settings: Settings,
    request_max: Duration,
    known: Mutex<Known>,
    turns: Semaphore,
}

impl Provider {
    /// Nothing is asked yet.
    pub fn new(settings: Settings) -> Self {
        Self {
            settings,
            request_max: REQUEST_MAX,
            known: Mutex::default(),
            turns: Semaphore::new(EXCHANGES_MAX),
        }
    }

    /// For tests that do not want to wait.
    #[cfg(test)]
    pub(crate) fn hurried(settings: Settings, request_max: Duration) -> Self {
        Self { request_max, ..Self::new(settings) }
    }

    /// What the configuration says.
    pub const fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Where somebody must go to sign in.
    ///
    /// # Errors
    /// If the provider does not describe itself.
    pub async fn place(&self, flow: &Flow) -> Result<String, OidcError> {
        let description = self.description().await?;
        let scopes: Vec<&str> =
            std::iter::once("openid").chain(self.settings.scopes.iter().map(String::as_str)).collect();
        let query = form(&[
            ("response_type", "code"),
            ("client_id", &self.settings.client_id),
            ("redirect_uri", &self.settings.redirect),
            ("scope", &scopes.join(" ")),
            ("state", &flow.state()),
            ("nonce", &flow.nonce()),
            ("code_challenge", &flow.challenge()),
            ("code_challenge_method", "S256"),
        ]);
        let at = &description.authorization_endpoint;
        let between = if at.contains('?') { '&' } else { '?' };
        Ok(format!("{at}{between}{query}"))
    }

    /// Who came back with this code.
    ///
    /// # Errors
    /// If the provider does not answer, or its token does not hold.
    pub async fn identify(&self, flow: &Flow, code: &str) -> Result<Identity, OidcError> {
        if code.is_empty() || code.len() > CODE_BYTES_MAX {
            return Err(OidcError::Code);
        }
        let _turn = self.turns.try_acquire().map_err(|_busy| OidcError::Busy)?;
        let description = self.description().await?;
        let answer: Answer = self.exchange(&description, flow, code).await?;
        let (nonce, token) = (flow.nonce(), answer.id_token.as_str());
        match verify(token, &*self.keys(&description, false).await?, &self.settings, &nonce) {
            Err(TokenError::UnknownKey) => {
                let keys = self.keys(&description, true).await?;
                verify(token, &keys, &self.settings, &nonce).map_err(|cause| OidcError::Token { cause })
            }
            other => other.map_err(|cause| OidcError::Token { cause }),
        }
    }

    async fn exchange(
        &self,
        description: &Description,
        flow: &Flow,
        code: &str,
    ) -> Result<Answer, OidcError> {
        let verifier = flow.verifier();
        let mut fields = vec![
            ("grant_type", "authorization_code"),
            ("code", code),
            ("redirect_uri", &self.settings.redirect),
            ("code_verifier", &verifier),
        ];
        let secret = self.secret()?;
        let methods = description.token_endpoint_auth_methods_supported.as_ref();
        // RFC 8414, 2: Basic, if nothing is said.
        let basic = methods.is_none_or(|methods| methods.iter().any(|one| one == "client_secret_basic"));
        let mut authorization = None;
        match &secret {
            Some(secret) if basic => {
                let pair = format!("{}:{}", encoded(&self.settings.client_id), encoded(secret));
                authorization = Some(format!("Basic {}", STANDARD.encode(pair)));
            }
            Some(secret) => {
                fields.extend([("client_id", &*self.settings.client_id), ("client_secret", secret)]);
            }
            None => fields.push(("client_id", &self.settings.client_id)),
        }
        let mut request = Request::post("/").header(CONTENT_TYPE, "application/x-www-form-urlencoded");
        if let Some(authorization) = authorization {
            request = request.header(AUTHORIZATION, authorization);
        }
        self.ask(&description.token_endpoint, request, form(&fields)).await
    }

    fn secret(&self) -> Result<Option<String>, OidcError> {
        let Some(path) = &self.settings.secret_file else { return Ok(None) };
        let text = std::fs::read_to_string(path).map_err(|cause| OidcError::Secret { cause })?;
        let secret = text.trim_end_matches(['\r', '\n']);
        if secret.is_empty() || secret.len() > SECRET_BYTES_MAX {
            return Err(OidcError::NoSecret);
        }
        Ok(Some(secret.to_owned()))
    }

    async fn description(&self) -> Result<Arc<Description>, OidcError> {
        let mut known = self.known.lock().await;
        if let Some((at, description)) = &known.description
            && at.elapsed() < KEPT_FOR
        {
            return Ok(Arc::clone(description));
        }
        known.rested()?;
        let issuer = self.settings.issuer.trim_end_matches('/');
        let at = format!("{issuer}/.well-known/openid-configuration");
        let asked: Result<Description, OidcError> = self.ask(&at, Request::get("/"), String::new()).await;
        let checked = asked.and_then(|description| {
            if description.issuer != self.settings.issuer {
                return Err(OidcError::OtherIssuer);
            }
            let all =
                [&description.authorization_endpoint, &description.token_endpoint, &description.jwks_uri];
            if all.iter().all(|url| may_ask(url)) { Ok(Arc::new(description)) } else { Err(OidcError::Url) }
        });
        match checked {
            Ok(description) => {
                known.description = Some((Instant::now(), Arc::clone(&description)));
                Ok(description)
            }
            Err(error) => {
                known.failed = Some(Instant::now());
                Err(error)
            }
        }
    }

    /// The keys that it publishes; `again`: a name is missing in those that are kept.
    async fn keys(&self, description: &Description, again: bool) -> Result<Arc<JwkSet>, OidcError> {
        let mut known = self.known.lock().await;
        if let Some((at, keys)) = &known.keys
            && at.elapsed() < KEPT_FOR
            && !again
        {
            return Ok(Arc::clone(keys));
        }
        known.rested()?;
        if again && !known.may_refetch() {
            return Err(OidcError::Token { cause: TokenError::UnknownKey });
        }
        match self.ask::<JwkSet>(&description.jwks_uri, Request::get("/"), String::new()).await {
            Ok(keys) if keys.keys.len() > KEYS_MAX => Err(OidcError::TooManyKeys),
            Ok(keys) => {
                let keys = Arc::new(keys);
                known.keys = Some((Instant::now(), Arc::clone(&keys)));
                Ok(keys)
            }
            Err(error) => {
                known.failed = Some(Instant::now());
                Err(error)
            }
        }
    }

    async fn ask<T: DeserializeOwned>(
        &self,
        url: &str,
        request: hyper::http::request::Builder,
        body: String,
    ) -> Result<T, OidcError> {
        let url: Uri = url.parse().map_err(|_none| OidcError::Url)?;
        let path = url.path_and_query().map_or("/", |path| path.as_str());
        let authority = url.authority().ok_or(OidcError::Url)?;
        let request = request
            .uri(path)
            .header(HOST, authority.as_str())
            .header(ACCEPT, "application/json")
            .header(USER_AGENT, concat!("sekimori/", env!("CARGO_PKG_VERSION")))
            .body(body)
            .map_err(|_bad| OidcError::Url)?;
        let tls = if url.scheme_str() == Some("https") {
            let client = tls::client(self.settings.ca_file.as_deref());
            Some(client.map_err(|cause| OidcError::Trust { cause })?)
        } else {
            None
        };
        let sent = http::send(&url, tls.as_ref(), request, ANSWER_BYTES_MAX);
        let sent = tokio::time::timeout(self.request_max, sent).await.map_err(|_late| OidcError::Late)?;
        let (status, answer) = sent.map_err(|cause| OidcError::Send { cause })?;
        if !status.is_success() {
            return Err(OidcError::Status { status: status.as_u16() });
        }
        serde_json::from_slice(&answer).map_err(|cause| OidcError::Answer { cause })
    }
}

impl Known {
    /// A provider that has just failed is left alone for a moment.
    fn rested(&self) -> Result<(), OidcError> {
        if self.failed.is_some_and(|at| at.elapsed() < REST) { Err(OidcError::Busy) } else { Ok(()) }
    }

    fn may_refetch(&mut self) -> bool {
        let now = Instant::now();
        let (since, times) = self.refetched.unwrap_or((now, 0));
        let (since, times) = if since.elapsed() >= MINUTE { (now, 0) } else { (since, times) };
        self.refetched = Some((since, times.saturating_add(1)));
        times < REFETCHES_MAX
    }
}

/// `application/x-www-form-urlencoded`.
fn form(fields: &[(&str, &str)]) -> String {
    let all: Vec<String> = fields.iter().map(|(name, value)| format!("{name}={}", encoded(value))).collect();
    all.join("&")
}

fn encoded(text: &str) -> String {
    let keep = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    let one = |byte: u8| if keep(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") };
    text.bytes().map(one).collect()
}

/// Why nobody came in by the provider.
#[derive(Debug, thiserror::Error)]
pub enum OidcError {
    /// Too many at once, or it has just failed.
    #[error("the identity provider is not asked at the moment")]
    Busy,
    /// The connection.
    #[error("the identity provider cannot be reached: {cause}")]
    Send {
        /// Why.
        cause: SendError,
    },
    /// Slow.
    #[error("the identity provider took too long")]
    Late,
    /// An error, or a redirection, which is not followed.
    #[error("the identity provider answered with status {status}")]
    Status {
        /// Which.
        status: u16,
    },
    /// Something else than it should be.
    #[error("the identity provider's answer is not what it should be: {cause}")]
    Answer {
        /// Why.
        cause: serde_json::Error,
    },
    /// It says that it is somebody else.
    #[error("the identity provider says that it is another issuer than the configuration says")]
    OtherIssuer,
    /// A URL that no secret may travel to.
    #[error("the identity provider names a URL that is not https")]
    Url,
    /// More than any provider needs.
    #[error("the identity provider publishes more than {KEYS_MAX} keys")]
    TooManyKeys,
    /// The client secret.
    #[error("cannot read oidc.client_secret_file: {cause}")]
    Secret {
        /// Why.
        cause: std::io::Error,
    },
    /// An empty one.
    #[error("oidc.client_secret_file is empty or too long")]
    NoSecret,
    /// The certificates that are trusted.
    #[error("oidc.ca_file: {cause}")]
    Trust {
        /// Why.
        cause: tls::TrustError,
    },
    /// No code that a provider makes.
    #[error("that is no code")]
    Code,
    /// The token.
    #[error("{cause}")]
    Token {
        /// Why.
        cause: TokenError,
    },
}

impl OidcError {
    /// Whether somebody showed something bad, and not the provider or the configuration failed.
    pub const fn is_of_person(&self) -> bool {
        matches!(self, Self::Code | Self::Token { .. } | Self::Status { status: 400 })
    }
}
