//! In, in one step or two, and out; and the choice of a language.

use askama::Template;
use axum::Form;
use axum::extract::rejection::FormRejection;
use axum::extract::{Query, State};
use axum::http::header::SET_COOKIE;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{AppendHeaders, IntoResponse as _, Redirect, Response};
use serde::Deserialize;

use super::page::{Page, chain, error, failed, query_value, render};
use super::{AccessError, Console, PeerAddress, StartError, Visitor, lang_of, session_of, shown_certificate};
use crate::auth::session::{SessionToken, Stage, clear_cookie};
use crate::auth::totp::{CodeError, RecoveryCode};
use crate::auth::{LoginError, User};
use crate::clock::now;
use crate::i18n::{COOKIE, Lang};
use crate::store::people::session::{Session, Touch};
use crate::store::people::sign_in::{Attempt, Came, Method};

#[derive(Template)]
#[template(path = "login.html")]
struct LoginPage {
    page: Page,
    next: String,
    name: String,
    problem: Option<String>,
    /// The connection shows a person's certificate.
    has_certificate: bool,
    /// The identity provider: its name, and the way there.
    provider: Option<(String, String)>,
}

/// Where to go after login.
#[derive(Debug, Deserialize)]
pub(super) struct Next {
    #[serde(default)]
    pub(super) next: String,
}

/// What the login form sends.
#[derive(Deserialize)]
pub(super) struct Credentials {
    name: String,
    password: String,
    #[serde(default)]
    next: String,
}

/// Which language, and where to come back.
#[derive(Debug, Deserialize)]
pub(super) struct Switch {
    to: String,
    #[serde(default)]
    back: String,
}

/// The login's address for somebody who wanted to see `place`.
pub(super) fn url(place: &str) -> String {
    if place == "/" { "/login".to_owned() } else { format!("/login?next={}", query_value(place)) }
}

/// `GET /login`.
pub(super) async fn form(
    State(console): State<Console>,
    Query(Next { next }): Query<Next>,
    headers: HeaderMap,
) -> Response {
    match session_of(&headers, &console, Touch::ByPage).await {
        Ok(Some((session, _))) if session.stage == Stage::Full => Redirect::to(local(&next)).into_response(),
        Ok(_) | Err(_) => page(&console, &headers, &next, (String::new(), None)),
    }
}

/// `POST /login`.
pub(super) async fn login(
    State(console): State<Console>,
    PeerAddress(from): PeerAddress,
    headers: HeaderMap,
    form: Result<Form<Credentials>, FormRejection>,
) -> Response {
    let lang = lang_of(&headers);
    let Ok(Form(Credentials { name, password, next })) = form else {
        return error(lang, StatusCode::BAD_REQUEST);
    };
    let attempt = Attempt { name: &name, from, at: now() };
    let (user, stage) = match console.log_in(attempt, password, Method::Password).await {
        Ok(come) => come,
        Err(AccessError::Store(cause)) => return failed(lang, &cause),
        Err(AccessError::Login(why)) => {
            let (status, problem) = said(why, lang, lang.text("login-wrong"));
            let page = page(&console, &headers, &next, (name.clone(), Some(problem)));
            return (status, page).into_response();
        }
    };
    let attempt = Attempt { name: user.name.as_str(), ..attempt };
    let to = onwards(stage, &next);
    match console.start(attempt, &user, stage, Method::Password).await {
        Ok(token) => (AppendHeaders([(SET_COOKIE, token.set_cookie())]), Redirect::to(&to)).into_response(),
        Err(cause) => not_started(lang, &cause),
    }
}

/// Where a sign-in goes on.
pub(super) fn onwards(stage: Stage, next: &str) -> String {
    match stage {
        Stage::Full => local(next).to_owned(),
        Stage::Code => format!("/login/code?next={}", query_value(local(next))),
        Stage::Enrol => format!("/login/enrol?next={}", query_value(local(next))),
    }
}

/// Status and words for somebody who is not let in.
pub(super) fn said(why: LoginError, lang: Lang, wrong: String) -> (StatusCode, String) {
    match why {
        LoginError::Wrong => (StatusCode::UNAUTHORIZED, wrong),
        LoginError::TooMany { retry_after } => {
            (StatusCode::TOO_MANY_REQUESTS, lang.with("login-too-many", retry_after.as_secs().max(1)))
        }
    }
}

pub(super) fn not_started(lang: Lang, cause: &StartError) -> Response {
    tracing::error!(error = %chain(cause), "a session cannot begin");
    error(lang, StatusCode::INTERNAL_SERVER_ERROR)
}

#[derive(Template)]
#[template(path = "login_code.html")]
struct CodePage {
    page: Page,
    csrf: String,
    next: String,
    problem: Option<String>,
}

/// What the form for a code sends.
#[derive(Deserialize)]
pub(super) struct Code {
    csrf: String,
    code: String,
    #[serde(default)]
    next: String,
}

/// `GET /login/code`.
pub(super) async fn code_form(
    State(console): State<Console>,
    Query(Next { next }): Query<Next>,
    headers: HeaderMap,
) -> Response {
    match halfway(&console, &headers, Stage::Code).await {
        Ok((_, token)) => code_page(lang_of(&headers), &token, &next, None),
        Err(response) => response,
    }
}

fn code_page(lang: Lang, token: &SessionToken, next: &str, problem: Option<String>) -> Response {
    let place = format!("/login/code?next={}", query_value(local(next)));
    let page = Page::anonymous(lang, &place);
    render(&CodePage { page, csrf: token.csrf(), next: next.to_owned(), problem })
}

/// Whoever showed a good password and is at this step.
pub(super) async fn halfway(
    console: &Console,
    headers: &HeaderMap,
    stage: Stage,
) -> Result<(Session, SessionToken), Response> {
    let lang = lang_of(headers);
    let session =
        session_of(headers, console, Touch::ByPerson).await.map_err(|cause| failed(lang, &cause))?;
    session
        .filter(|(session, _)| session.stage == stage)
        .ok_or_else(|| Redirect::to("/login").into_response())
}

/// `POST /login/code`: a code of the authenticator, or a recovery code.
pub(super) async fn code(
    State(console): State<Console>,
    PeerAddress(from): PeerAddress,
    headers: HeaderMap,
    form: Result<Form<Code>, FormRejection>,
) -> Response {
    let lang = lang_of(&headers);
    let Ok(Form(form)) = form else { return error(lang, StatusCode::BAD_REQUEST) };
    let (session, token) = match halfway(&console, &headers, Stage::Code).await {
        Ok(halfway) => halfway,
        Err(response) => return response,
    };
    if form.csrf != token.csrf() {
        return error(lang, StatusCode::FORBIDDEN);
    }
    let attempt = Attempt { name: session.user.name.as_str(), from, at: now() };
    match check_code(&console, attempt, &form.code).await {
        Ok(method) => match promoted(&console, attempt, &session.user, (&token, method)).await {
            Ok(token) => {
                let cookie = AppendHeaders([(SET_COOKIE, token.set_cookie())]);
                (cookie, Redirect::to(local(&form.next))).into_response()
            }
            Err(cause) => not_started(lang, &cause),
        },
        Err(AccessError::Login(why)) => {
            let (status, problem) = said(why, lang, lang.text("login-code-wrong"));
            (status, code_page(lang, &token, &form.next, Some(problem))).into_response()
        }
        Err(AccessError::Store(cause)) => failed(lang, &cause),
    }
}

/// Takes the code; a wrong one counts as a wrong password does.
async fn check_code(console: &Console, attempt: Attempt<'_>, code: &str) -> Result<Method, AccessError> {
    let recovery = RecoveryCode::from_typed(code);
    let method = if recovery.is_some() { Method::Recovery } else { Method::Code };
    console.may_try(attempt, method).await?;
    let came = if let Some(recovery) = recovery {
        let good = console.store.take_recovery_code(attempt.name, &recovery, attempt.at).await?;
        if good { None } else { Some(Came::Wrong) }
    } else {
        match console.store.take_code(attempt.name, code, attempt.at).await? {
            Ok(()) => None,
            Err(CodeError::Wrong) => Some(Came::Wrong),
            Err(CodeError::Replayed) => Some(Came::Replayed),
        }
    };
    let Some(came) = came else { return Ok(method) };
    console.failed(attempt, method, came).await?;
    Err(LoginError::Wrong.into())
}

/// The sign-in is done: a new session with a new secret follows the one that was halfway.
async fn promoted(
    console: &Console,
    attempt: Attempt<'_>,
    user: &User,
    (before, method): (&SessionToken, Method),
) -> Result<SessionToken, StartError> {
    console.store.end_session(before).await?;
    console.start(attempt, user, Stage::Full, method).await
}

/// `POST /logout`.
pub(super) async fn logout(
    State(console): State<Console>,
    PeerAddress(from): PeerAddress,
    visitor: Visitor,
    Form(form): Form<Csrf>,
) -> Response {
    if form.csrf != visitor.token.csrf() {
        return error(visitor.lang, StatusCode::FORBIDDEN);
    }
    let attempt = Attempt { name: visitor.user.name.as_str(), from, at: now() };
    let ended = async {
        console.store.end_session(&visitor.token).await?;
        console.store.record_sign_in(attempt, Method::Password, Came::Out).await
    };
    if let Err(cause) = ended.await {
        return failed(visitor.lang, &cause);
    }
    (AppendHeaders([(SET_COOKIE, clear_cookie())]), Redirect::to("/login")).into_response()
}

/// The token that every form of a session carries.
#[derive(Debug, Deserialize)]
pub(super) struct Csrf {
    csrf: String,
}

/// `GET /language`.
pub(super) async fn language(Query(Switch { to, back }): Query<Switch>) -> Response {
    let lang = Lang::from_code(&to).unwrap_or_default();
    let cookie =
        format!("{COOKIE}={}; Path=/; Secure; HttpOnly; SameSite=Lax; Max-Age=31536000", lang.code());
    (AppendHeaders([(SET_COOKIE, cookie)]), Redirect::to(local(&back))).into_response()
}

/// The login's page, with what was typed as a name and what is wrong.
pub(super) fn page(
    console: &Console,
    headers: &HeaderMap,
    next: &str,
    (name, problem): (String, Option<String>),
) -> Response {
    let host = |issuer: &str| issuer.split('/').nth(2).unwrap_or(issuer).to_owned();
    render(&LoginPage {
        page: Page::anonymous(lang_of(headers), &url(local(next))),
        next: next.to_owned(),
        name,
        problem,
        has_certificate: shown_certificate(headers).is_some(),
        provider: console.provider.as_ref().map(|provider| {
            (host(&provider.settings().issuer), format!("/login/oidc?next={}", query_value(local(next))))
        }),
    })
}

/// `place` if it is a path of ours; a link must not lead to another site by way of the login.
pub(super) fn local(place: &str) -> &str {
    let ours = place.starts_with('/')
        && !place.starts_with("//")
        && !place.starts_with("/login")
        && place.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'\\');
    if ours { place } else { "/" }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_our_own_paths_are_places_to_go() {
        for good in ["/", "/incidents?severity=3", "/agents/ab"] {
            assert_eq!(local(good), good);
        }
        for bad in
            ["", "https://evil", "//evil", "/\\evil", "/a\r\nSet-Cookie: x", "/a b", "/login?next=/login"]
        {
            assert_eq!(local(bad), "/", "{bad}");
        }
    }
}
