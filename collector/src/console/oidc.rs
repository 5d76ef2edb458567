//! In by an identity provider: there, and back.

use askama::Template;
use axum::extract::{Query, State};
use axum::http::header::SET_COOKIE;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{AppendHeaders, IntoResponse as _, Redirect, Response};
use serde::Deserialize;

use super::login::{Next, local, not_started, onwards, page, said};
use super::page::{Page, chain, error, failed, render, shown};
use super::{AccessError, Console, PeerAddress, StartError, cookies, lang_of};
use crate::auth::User;
use crate::auth::oidc::provider::{OidcError, Provider};
use crate::auth::oidc::token::Identity;
use crate::auth::oidc::{Flow, clear_cookie};
use crate::auth::session::Stage;
use crate::clock::now;
use crate::i18n::Lang;
use crate::store::StoreError;
use crate::store::people::sign_in::{Attempt, Came, Method};

/// The answer comes from another site: a redirection would not carry the new cookie, which is `Strict`. A page of ours does.
#[derive(Template)]
#[template(path = "oidc_done.html")]
struct DonePage {
    page: Page,
    to: String,
}

/// What the provider sends people back with.
#[derive(Deserialize)]
pub(super) struct Answer {
    #[serde(default)]
    code: String,
    #[serde(default)]
    state: String,
    iss: Option<String>,
    error: Option<String>,
}

/// `GET /login/oidc`.
pub(super) async fn begin(
    State(console): State<Console>,
    Query(Next { next }): Query<Next>,
    headers: HeaderMap,
) -> Response {
    let lang = lang_of(&headers);
    let Some(provider) = &console.provider else { return error(lang, StatusCode::NOT_FOUND) };
    let flow = match Flow::generate(local(&next)) {
        Ok(flow) => flow,
        Err(cause) => return not_started(lang, &StartError::Random(cause)),
    };
    match provider.place(&flow).await {
        Ok(place) => (AppendHeaders([(SET_COOKIE, flow.set_cookie())]), Redirect::to(&place)).into_response(),
        Err(cause) => {
            tracing::error!(error = %chain(&cause), "nobody can sign in by the identity provider");
            let problem = Some(lang.text("oidc-away"));
            let page = page(&console, &headers, &next, (String::new(), problem));
            (StatusCode::SERVICE_UNAVAILABLE, page).into_response()
        }
    }
}

/// `GET /login/oidc/callback`.
pub(super) async fn callback(
    State(console): State<Console>,
    PeerAddress(from): PeerAddress,
    Query(answer): Query<Answer>,
    headers: HeaderMap,
) -> Response {
    let lang = lang_of(&headers);
    let Some(provider) = console.provider.clone() else { return error(lang, StatusCode::NOT_FOUND) };
    // The answer to a question that this browser did not ask is nobody's.
    let flow = cookies(&headers).find_map(Flow::from_cookies).filter(|flow| flow.state() == answer.state);
    let Some(flow) = flow else { return error(lang, StatusCode::BAD_REQUEST) };
    // Who they are is not known yet: their failures count against where they come from.
    let stranger = format!("oidc\0{from}");
    let attempt = Attempt { name: &stranger, from, at: now() };
    let refused = |status: StatusCode, problem: String| {
        let page = page(&console, &headers, flow.next(), (String::new(), Some(problem)));
        (status, AppendHeaders([(SET_COOKIE, clear_cookie())]), page).into_response()
    };
    match come(&console, &provider, &flow, (attempt, &answer)).await {
        Ok((user, stage)) => {
            let attempt = Attempt { name: user.name.as_str(), ..attempt };
            match console.start(attempt, &user, stage, Method::Oidc).await {
                Ok(token) => {
                    let cookies = [(SET_COOKIE, token.set_cookie()), (SET_COOKIE, clear_cookie())];
                    let to = onwards(stage, flow.next());
                    let done = DonePage { page: Page::anonymous(lang, "/"), to };
                    (AppendHeaders(cookies), render(&done)).into_response()
                }
                Err(cause) => not_started(lang, &cause),
            }
        }
        Err(Stop::Store(cause)) => failed(lang, &cause),
        Err(Stop::Wait(AccessError::Store(cause))) => failed(lang, &cause),
        Err(Stop::Wait(AccessError::Login(why))) => {
            let (status, problem) = said(why, lang, String::new());
            refused(status, problem)
        }
        Err(stop) => {
            let (status, problem) = stop.said(lang);
            refused(status, problem)
        }
    }
}

/// Why somebody who came back does not come in.
enum Stop {
    Store(StoreError),
    Wait(AccessError),
    /// The provider, or they themselves, said no.
    Refused,
    /// The provider or the configuration failed.
    Away,
    /// They are known there, and not here.
    Unlinked(String),
    /// The account may not sign in.
    Disabled,
}

impl From<StoreError> for Stop {
    fn from(cause: StoreError) -> Self {
        Self::Store(cause)
    }
}

impl Stop {
    fn said(&self, lang: Lang) -> (StatusCode, String) {
        match self {
            Self::Unlinked(subject) => (StatusCode::FORBIDDEN, lang.with("oidc-unlinked", shown(subject))),
            Self::Disabled => (StatusCode::FORBIDDEN, lang.text("oidc-disabled")),
            Self::Refused => (StatusCode::UNAUTHORIZED, lang.text("oidc-refused")),
            Self::Away | Self::Store(_) | Self::Wait(_) => {
                (StatusCode::SERVICE_UNAVAILABLE, lang.text("oidc-away"))
            }
        }
    }
}

async fn come(
    console: &Console,
    provider: &Provider,
    flow: &Flow,
    (attempt, answer): (Attempt<'_>, &Answer),
) -> Result<(User, Stage), Stop> {
    console.may_try(attempt, Method::Oidc).await.map_err(Stop::Wait)?;
    // RFC 9207: an answer that names another issuer is not for this question.
    let other = answer.iss.as_ref().is_some_and(|iss| *iss != provider.settings().issuer);
    if answer.error.is_some() || other {
        console.store.record_sign_in(attempt, Method::Oidc, Came::Refused).await?;
        return Err(Stop::Refused);
    }
    let identity = match provider.identify(flow, &answer.code).await {
        Ok(identity) => identity,
        Err(cause) => return Err(not_believed(console, attempt, &cause).await?),
    };
    let name = console.store.linked(&provider.settings().issuer, &identity.subject).await?;
    let Some(name) = name else {
        console.store.record_sign_in(attempt, Method::Oidc, Came::Refused).await?;
        return Err(Stop::Unlinked(identity.subject));
    };
    let Some(known) = console.store.credentials(&name).await? else {
        console.store.record_sign_in(Attempt { name: &name, ..attempt }, Method::Oidc, Came::Refused).await?;
        return Err(Stop::Disabled);
    };
    let stage = stage(console, &identity, &known.user, known.has_totp);
    Ok((known.user, stage))
}

/// The provider's second factor counts if the configuration says so; else ours is asked for as after a password.
fn stage(console: &Console, identity: &Identity, user: &User, has_totp: bool) -> Stage {
    if identity.has_second_factor { Stage::Full } else { console.rules.after_password(user.role, has_totp) }
}

async fn not_believed(
    console: &Console,
    attempt: Attempt<'_>,
    cause: &OidcError,
) -> Result<Stop, StoreError> {
    tracing::warn!(from = %attempt.from, error = %chain(cause), "nobody came in by the identity provider");
    if cause.is_of_person() {
        console.failed(attempt, Method::Oidc, Came::Wrong).await?;
        return Ok(Stop::Refused);
    }
    console.store.record_sign_in(attempt, Method::Oidc, Came::Refused).await?;
    Ok(Stop::Away)
}
