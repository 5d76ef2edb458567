//! Setting up an authenticator: with the first sign-in that needs one, or in place of another.

use askama::Template;
use axum::Form;
use axum::extract::rejection::FormRejection;
use axum::extract::{Query, State};
use axum::http::header::SET_COOKIE;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{AppendHeaders, IntoResponse as _, Redirect, Response};
use qrcode::render::svg;
use qrcode::{EcLevel, QrCode};
use serde::Deserialize;

use super::login::{Next, halfway, local, not_started, said};
use super::page::{Page, error, failed, render};
use super::{AccessError, Console, PeerAddress, StartError, Visitor, lang_of, session_of};
use crate::auth::password::PasswordError;
use crate::auth::session::{SessionToken, Stage};
use crate::auth::totp::{RECOVERY_CODES, RecoveryCode, TotpSecret};
use crate::auth::{LoginError, User};
use crate::clock::now;
use crate::i18n::Lang;
use crate::store::people::log::By;
use crate::store::people::session::Touch;
use crate::store::people::sign_in::{Attempt, Came, Method};

#[derive(Template)]
#[template(path = "authenticator.html")]
struct AuthenticatorPage {
    page: Page,
    csrf: String,
    /// Where the form goes.
    action: &'static str,
    /// In groups of four.
    secret: String,
    uri: String,
    /// The address as a picture, SVG.
    qr: String,
    next: String,
    asks_password: bool,
    problem: Option<String>,
}

#[derive(Template)]
#[template(path = "recovery.html")]
struct RecoveryPage {
    page: Page,
    codes: Vec<String>,
    next: String,
}

/// What the form sends.
#[derive(Deserialize)]
pub(super) struct FirstCode {
    csrf: String,
    code: String,
    #[serde(default)]
    next: String,
    #[serde(default)]
    password: String,
}

/// Where somebody is while they set one up.
struct Desk<'a> {
    lang: Lang,
    user: &'a User,
    token: &'a SessionToken,
    action: &'static str,
    next: &'a str,
}

impl Desk<'_> {
    /// The secret that waits for its first code; a new one if none does.
    async fn page(
        &self,
        console: &Console,
        pending: Option<TotpSecret>,
        problem: Option<String>,
    ) -> Result<Response, StartError> {
        let secret = match pending {
            Some(secret) => secret,
            None => {
                let secret = TotpSecret::generate()?;
                console.store.put_pending_totp(self.token, &secret).await?;
                secret
            }
        };
        let letters: Vec<char> = secret.to_base32().chars().collect();
        let groups: Vec<String> = letters.chunks(4).map(|four| four.iter().collect()).collect();
        let uri = secret.uri(self.user.name.as_str(), &console.rules.host);
        Ok(render(&AuthenticatorPage {
            page: Page::anonymous(self.lang, self.action),
            csrf: self.token.csrf(),
            action: self.action,
            secret: groups.join(" "),
            qr: qr(&uri),
            uri,
            next: local(self.next).to_owned(),
            asks_password: self.action == REPLACE,
            problem,
        }))
    }
}

/// For an authenticator to scan: nothing but shapes, so that the content security policy need not allow more. Empty if the
/// text is too long for one; the text is on the page all the same.
fn qr(text: &str) -> String {
    let Ok(code) = QrCode::with_error_correction_level(text, EcLevel::M) else { return String::new() };
    let svg = code.render::<svg::Color<'_>>().module_dimensions(4, 4).quiet_zone(true).build();
    svg.find("<svg").and_then(|at| svg.get(at..)).unwrap_or_default().to_owned()
}

const ENROL: &str = "/login/enrol";
const REPLACE: &str = "/account/authenticator";

/// `GET /login/enrol`.
pub(super) async fn form(
    State(console): State<Console>,
    Query(Next { next }): Query<Next>,
    headers: HeaderMap,
) -> Response {
    let lang = lang_of(&headers);
    match halfway(&console, &headers, Stage::Enrol).await {
        Ok((session, token)) => {
            let desk = Desk { lang, user: &session.user, token: &token, action: ENROL, next: &next };
            let page = desk.page(&console, session.pending.clone(), None).await;
            page.unwrap_or_else(|cause| not_started(lang, &cause))
        }
        Err(response) => response,
    }
}

/// `POST /login/enrol`.
pub(super) async fn confirm(
    State(console): State<Console>,
    PeerAddress(from): PeerAddress,
    headers: HeaderMap,
    form: Result<Form<FirstCode>, FormRejection>,
) -> Response {
    let lang = lang_of(&headers);
    let Ok(Form(form)) = form else { return error(lang, StatusCode::BAD_REQUEST) };
    let (session, token) = match halfway(&console, &headers, Stage::Enrol).await {
        Ok(halfway) => halfway,
        Err(response) => return response,
    };
    if form.csrf != token.csrf() {
        return error(lang, StatusCode::FORBIDDEN);
    }
    let attempt = Attempt { name: session.user.name.as_str(), from, at: now() };
    let desk = Desk { lang, user: &session.user, token: &token, action: ENROL, next: &form.next };
    let done = finish(&console, &desk, (attempt, session.pending.clone()), &form.code).await;
    done.unwrap_or_else(|cause| not_started(lang, &cause))
}

/// `GET /account/authenticator`.
pub(super) async fn replace_form(
    State(console): State<Console>,
    visitor: Visitor,
    headers: HeaderMap,
) -> Response {
    let lang = visitor.lang;
    let desk = Desk { lang, user: &visitor.user, token: &visitor.token, action: REPLACE, next: "/account" };
    match session_of(&headers, &console, Touch::ByPerson).await {
        Ok(Some((session, _))) => {
            let page = desk.page(&console, session.pending, None).await;
            page.unwrap_or_else(|cause| not_started(lang, &cause))
        }
        Ok(None) => Redirect::to("/login").into_response(),
        Err(cause) => failed(lang, &cause),
    }
}

/// `POST /account/authenticator`: with the password, so that a console left open is not enough.
pub(super) async fn replace(
    State(console): State<Console>,
    PeerAddress(from): PeerAddress,
    visitor: Visitor,
    headers: HeaderMap,
    Form(form): Form<FirstCode>,
) -> Response {
    let lang = visitor.lang;
    if form.csrf != visitor.token.csrf() {
        return error(lang, StatusCode::FORBIDDEN);
    }
    let pending = match session_of(&headers, &console, Touch::ByPerson).await {
        Ok(session) => session.and_then(|(session, _)| session.pending),
        Err(cause) => return failed(lang, &cause),
    };
    let attempt = Attempt { name: visitor.user.name.as_str(), from, at: now() };
    let desk = Desk { lang, user: &visitor.user, token: &visitor.token, action: REPLACE, next: "/account" };
    let done = match console.log_in(attempt, form.password, Method::Password).await {
        Ok(_) => finish(&console, &desk, (attempt, pending), &form.code).await,
        Err(AccessError::Login(why)) => {
            let (status, problem) = said(why, lang, lang.text("password-wrong"));
            desk.page(&console, pending, Some(problem)).await.map(|page| (status, page).into_response())
        }
        Err(AccessError::Store(cause)) => return failed(lang, &cause),
    };
    done.unwrap_or_else(|cause| not_started(lang, &cause))
}

/// The first code makes the secret the account's. All its sessions end but a new one; recovery codes are shown once.
async fn finish(
    console: &Console,
    desk: &Desk<'_>,
    (attempt, pending): (Attempt<'_>, Option<TotpSecret>),
    code: &str,
) -> Result<Response, StartError> {
    let accepted = match console.may_try(attempt, Method::Code).await {
        Ok(()) => pending.as_ref().and_then(|secret| secret.accept(code, attempt.at, 0).ok()),
        Err(AccessError::Store(cause)) => return Err(cause.into()),
        Err(AccessError::Login(why)) => {
            let (status, problem) = said(why, desk.lang, desk.lang.text("login-code-wrong"));
            return Ok((status, desk.page(console, pending, Some(problem)).await?).into_response());
        }
    };
    let Some((secret, step)) = pending.as_ref().zip(accepted) else {
        console.failed(attempt, Method::Code, Came::Wrong).await?;
        let (status, problem) = said(LoginError::Wrong, desk.lang, desk.lang.text("login-code-wrong"));
        return Ok((status, desk.page(console, pending, Some(problem)).await?).into_response());
    };
    let codes: Vec<RecoveryCode> =
        (0..RECOVERY_CODES).map(|_| RecoveryCode::generate()).collect::<Result<_, PasswordError>>()?;
    let address = attempt.from.to_string();
    let by = By::person(desk.user, &address, "console", attempt.at);
    console.store.enrol_totp(&by, attempt.name, (secret, step), &codes).await?;
    console.store.close_sessions(&by, attempt.name, None).await?;
    let bound = console.binding(desk.token, attempt).await?;
    let token = console.start_beside(attempt, desk.user, (Stage::Full, Method::Code), bound).await?;
    let page = render(&RecoveryPage {
        page: Page::anonymous(desk.lang, "/account"),
        codes: codes.iter().map(RecoveryCode::to_text).collect(),
        next: local(desk.next).to_owned(),
    });
    Ok((AppendHeaders([(SET_COOKIE, token.set_cookie())]), page).into_response())
}
