//! One's own account: the password, the authenticator, where one is signed in, and who tried to.

use askama::Template;
use axum::Form;
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::SET_COOKIE;
use axum::response::{AppendHeaders, IntoResponse as _, Redirect, Response};
use sekimori_wire::id::Digest;
use serde::Deserialize;

use super::login::{not_started, said};
use super::page::{Page, When, error, failed, render, shown};
use super::{AccessError, Console, PeerAddress, StartError, Visitor};
use crate::auth::password::check_password;
use crate::auth::session::{Stage, clear_cookie};
use crate::auth::totp::RECOVERY_CODES;
use crate::clock::now;
use crate::i18n::Lang;
use crate::store::StoreError;
use crate::store::account::AccountChange;
use crate::store::people::log::By;
use crate::store::people::sign_in::{Attempt, Method, SignIn};

/// Sign-ins shown.
const SIGN_INS: u32 = 20;

#[derive(Template)]
#[template(path = "account.html")]
struct AccountPage {
    page: Page,
    name: String,
    role: String,
    bodies: String,
    password_at: When,
    has_totp: bool,
    recovery: String,
    sessions: Vec<SessionRow>,
    tokens: Vec<TokenRow>,
    sign_ins: Vec<SignInRow>,
    problem: Option<String>,
}

/// A session of one's own.
struct SessionRow {
    id: String,
    began: When,
    used: When,
    address: String,
    is_this: bool,
}

/// A token of one's own.
struct TokenRow {
    label: String,
    right: &'static str,
    bodies: String,
    ends: When,
    used: Option<When>,
}

/// A sign-in of one's own.
pub(super) struct SignInRow {
    pub(super) at: When,
    pub(super) address: String,
    pub(super) what: String,
    pub(super) good: bool,
}

impl SignInRow {
    pub(super) fn new(lang: Lang, line: &SignIn) -> Self {
        let key = format!("sign-in-{}", line.outcome);
        let what = if lang.has(&key) { lang.text(&key) } else { shown(&line.outcome) };
        let method = lang.text(&format!("sign-in-by-{}", line.method));
        Self {
            at: When::from(line.at),
            address: shown(&line.address),
            what: format!("{what} ({method})"),
            good: ["in", "halfway", "out"].contains(&line.outcome.as_str()),
        }
    }
}

/// `GET /account`.
pub(super) async fn show(State(console): State<Console>, visitor: Visitor) -> Response {
    whole(&console, &visitor, None).await
}

async fn whole(console: &Console, visitor: &Visitor, problem: Option<String>) -> Response {
    match read(console, visitor, problem).await {
        Ok(Some(page)) => render(&page),
        Ok(None) => error(visitor.lang, StatusCode::NOT_FOUND),
        Err(cause) => failed(visitor.lang, &cause),
    }
}

async fn read(
    console: &Console,
    visitor: &Visitor,
    problem: Option<String>,
) -> Result<Option<AccountPage>, StoreError> {
    let (store, lang, name) = (&console.store, visitor.lang, visitor.user.name.as_str());
    let page = Page::new(visitor, "account");
    let Some(account) = store.account(name).await? else { return Ok(None) };
    let sessions = store.sessions_of(name, console.rules.session, page.now).await?;
    let tokens = store.api_tokens(Some(name)).await?;
    let sign_ins = store.sign_ins(Some(name), SIGN_INS).await?;
    let bodies =
        if account.user.scope.is_all() { lang.text("bodies-all") } else { account.user.scope.to_string() };
    Ok(Some(AccountPage {
        name: visitor.user.name.to_string(),
        role: lang.role(account.user.role),
        bodies,
        password_at: When::from(account.password_at),
        has_totp: account.has_totp,
        recovery: format!("{} / {RECOVERY_CODES}", store.recovery_codes_left(name).await?),
        sessions: sessions
            .into_iter()
            .map(|one| SessionRow {
                id: one.digest.to_string(),
                began: When::from(one.created_at),
                used: When::from(one.used_at),
                address: shown(&one.address),
                is_this: one.digest == visitor.token.digest(),
            })
            .collect(),
        tokens: tokens
            .iter()
            .filter(|one| one.is_alive(page.now))
            .map(|one| TokenRow {
                label: one.label.to_string(),
                right: one.right.as_str(),
                bodies: one.scope.and(&visitor.user.scope).to_string(),
                ends: When::from(one.expires_at),
                used: one.used_at.map(When::from),
            })
            .collect(),
        sign_ins: sign_ins.iter().map(|line| SignInRow::new(lang, line)).collect(),
        problem,
        page,
    }))
}

/// What the form for a new password sends.
#[derive(Deserialize)]
pub(super) struct NewPassword {
    csrf: String,
    current: String,
    new: String,
    again: String,
}

/// `POST /account/password`: every session ends, and a new one begins here.
pub(super) async fn password(
    State(console): State<Console>,
    PeerAddress(from): PeerAddress,
    visitor: Visitor,
    Form(form): Form<NewPassword>,
) -> Response {
    let (lang, name) = (visitor.lang, visitor.user.name.as_str());
    if form.csrf != visitor.token.csrf() {
        return error(lang, StatusCode::FORBIDDEN);
    }
    let weak = if form.new == form.again { check_password(&form.new, name).err() } else { None };
    let problem = match weak {
        Some(weak) => Some(lang.text(&format!("password-{}", weak.as_str()))),
        None => (form.new != form.again).then(|| lang.text("password-differs")),
    };
    if problem.is_some() {
        return (StatusCode::BAD_REQUEST, whole(&console, &visitor, problem).await).into_response();
    }
    let attempt = Attempt { name, from, at: now() };
    match console.log_in(attempt, form.current, Method::Password).await {
        Ok(_) => {}
        Err(AccessError::Store(cause)) => return failed(lang, &cause),
        Err(AccessError::Login(why)) => {
            let (status, problem) = said(why, lang, lang.text("password-wrong"));
            return (status, whole(&console, &visitor, Some(problem)).await).into_response();
        }
    }
    set_password(&console, &visitor, attempt, form.new)
        .await
        .unwrap_or_else(|cause| not_started(lang, &cause))
}

async fn set_password(
    console: &Console,
    visitor: &Visitor,
    attempt: Attempt<'_>,
    password: String,
) -> Result<Response, StartError> {
    let hash = console.guard.hash(password).await?;
    let address = attempt.from.to_string();
    let by = By::person(&visitor.user, &address, "console", attempt.at);
    console.store.alter_account(&by, attempt.name, &AccountChange::Password(hash)).await?;
    let bound = console.binding(&visitor.token, attempt).await?;
    let how = (Stage::Full, Method::Password);
    let token = console.start_beside(attempt, &visitor.user, how, bound).await?;
    Ok((AppendHeaders([(SET_COOKIE, token.set_cookie())]), Redirect::to("/account")).into_response())
}

/// Which token ends.
#[derive(Debug, Deserialize)]
pub(super) struct EndToken {
    csrf: String,
    #[serde(default)]
    label: String,
}

/// `POST /account/tokens/end`: one of one's own, for good.
pub(super) async fn end_token(
    State(console): State<Console>,
    PeerAddress(from): PeerAddress,
    visitor: Visitor,
    Form(form): Form<EndToken>,
) -> Response {
    if form.csrf != visitor.token.csrf() {
        return error(visitor.lang, StatusCode::FORBIDDEN);
    }
    let address = from.to_string();
    let by = By::person(&visitor.user, &address, "console", now());
    match console.store.end_api_token(&by, visitor.user.name.as_str(), &form.label).await {
        Ok(true) => Redirect::to("/account").into_response(),
        Ok(false) => error(visitor.lang, StatusCode::NOT_FOUND),
        Err(cause) => failed(visitor.lang, &cause),
    }
}

/// Which session ends; none named: all.
#[derive(Debug, Deserialize)]
pub(super) struct End {
    csrf: String,
    #[serde(default)]
    session: String,
}

/// `POST /account/sessions/end`.
pub(super) async fn end_sessions(
    State(console): State<Console>,
    PeerAddress(from): PeerAddress,
    visitor: Visitor,
    Form(form): Form<End>,
) -> Response {
    if form.csrf != visitor.token.csrf() {
        return error(visitor.lang, StatusCode::FORBIDDEN);
    }
    let which: Option<Digest> = match form.session.as_str() {
        "" => None,
        text => match text.parse() {
            Ok(digest) => Some(digest),
            Err(_) => return error(visitor.lang, StatusCode::BAD_REQUEST),
        },
    };
    let address = from.to_string();
    let by = By::person(&visitor.user, &address, "console", now());
    match console.store.close_sessions(&by, visitor.user.name.as_str(), which).await {
        Err(cause) => failed(visitor.lang, &cause),
        Ok(_) if which.is_none() => {
            (AppendHeaders([(SET_COOKIE, clear_cookie())]), Redirect::to("/login")).into_response()
        }
        Ok(_) => Redirect::to("/account").into_response(),
    }
}
