//! In and out, and the choice of a language.

use askama::Template;
use axum::Form;
use axum::extract::rejection::FormRejection;
use axum::extract::{Query, State};
use axum::http::header::SET_COOKIE;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{AppendHeaders, IntoResponse as _, Redirect, Response};
use serde::Deserialize;

use super::page::{Page, error, failed, query_value, render};
use super::{AccessError, Console, PeerAddress, Visitor, lang_of, session_of};
use crate::auth::LoginError;
use crate::auth::session::{SessionToken, clear_cookie};
use crate::clock::now;
use crate::i18n::{COOKIE, Lang};
use crate::store::account::Touch;

#[derive(Template)]
#[template(path = "login.html")]
struct LoginPage {
    page: Page,
    next: String,
    name: String,
    problem: Option<String>,
}

/// Where to go after login.
#[derive(Debug, Deserialize)]
pub(super) struct Next {
    #[serde(default)]
    next: String,
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
    if let Ok(Some(_session)) = session_of(&headers, &console, Touch::ByPage).await {
        return Redirect::to(local(&next)).into_response();
    }
    page(lang_of(&headers), &next, String::new(), None)
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
    let user = match console.log_in(&name, password, from).await {
        Ok(user) => user,
        Err(AccessError::Login(LoginError::Wrong)) => {
            return (StatusCode::UNAUTHORIZED, page(lang, &next, name, Some(lang.text("login-wrong"))))
                .into_response();
        }
        Err(AccessError::Login(LoginError::TooMany { retry_after })) => {
            let problem = lang.with("login-too-many", retry_after.as_secs().max(1));
            return (StatusCode::TOO_MANY_REQUESTS, page(lang, &next, name, Some(problem))).into_response();
        }
        Err(AccessError::Store(cause)) => return failed(lang, &cause),
    };
    let Ok(token) = SessionToken::generate() else {
        return error(lang, StatusCode::INTERNAL_SERVER_ERROR);
    };
    if let Err(cause) = console.store.start_session(&token, &user, now()).await {
        return failed(lang, &cause);
    }
    (AppendHeaders([(SET_COOKIE, token.set_cookie())]), Redirect::to(local(&next))).into_response()
}

/// `POST /logout`.
pub(super) async fn logout(
    State(console): State<Console>,
    visitor: Visitor,
    Form(form): Form<Csrf>,
) -> Response {
    if form.csrf != visitor.token.csrf() {
        return error(visitor.lang, StatusCode::FORBIDDEN);
    }
    if let Err(cause) = console.store.end_session(&visitor.token).await {
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

fn page(lang: Lang, next: &str, name: String, problem: Option<String>) -> Response {
    render(&LoginPage {
        page: Page::anonymous(lang, &url(local(next))),
        next: next.to_owned(),
        name,
        problem,
    })
}

/// `place` if it is a path of ours; a link must not lead to another site by way of the login.
fn local(place: &str) -> &str {
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
