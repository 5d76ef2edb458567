//! In by a certificate: the connection has proven that its key is there, the store says whose it is. Such a session is good
//! with this certificate alone.

use axum::Form;
use axum::extract::State;
use axum::extract::rejection::FormRejection;
use axum::http::header::SET_COOKIE;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{AppendHeaders, IntoResponse as _, Redirect, Response};

use super::login::{Next, local, not_started, page};
use super::page::{error, failed};
use super::{Console, PeerAddress, lang_of, shown_certificate};
use crate::auth::User;
use crate::auth::session::Stage;
use crate::clock::now;
use crate::store::StoreError;
use crate::store::people::certificate::Shown;
use crate::store::people::sign_in::{Attempt, Came, Method};

/// `POST /login/certificate`.
pub(super) async fn login(
    State(console): State<Console>,
    PeerAddress(from): PeerAddress,
    headers: HeaderMap,
    form: Result<Form<Next>, FormRejection>,
) -> Response {
    let lang = lang_of(&headers);
    let Ok(Form(Next { next })) = form else { return error(lang, StatusCode::BAD_REQUEST) };
    if shown_certificate(&headers).is_none() {
        return Redirect::to("/login").into_response();
    }
    let attempt = Attempt { name: "", from, at: now() };
    let user = match whose(&console, &headers, attempt).await {
        Ok(Some(user)) => user,
        Ok(None) => {
            let problem = (String::new(), Some(lang.text("login-certificate-refused")));
            return (StatusCode::UNAUTHORIZED, page(&console, &headers, &next, problem)).into_response();
        }
        Err(cause) => return failed(lang, &cause),
    };
    let attempt = Attempt { name: user.name.as_str(), ..attempt };
    let how = (Stage::Full, Method::Certificate);
    match console.start_beside(attempt, &user, how, shown_certificate(&headers)).await {
        Ok(token) => {
            let cookie = AppendHeaders([(SET_COOKIE, token.set_cookie())]);
            (cookie, Redirect::to(local(&next))).into_response()
        }
        Err(cause) => not_started(lang, &cause),
    }
}

/// Nobody can guess a certificate: what is refused is written down, and makes nobody wait.
async fn whose(
    console: &Console,
    headers: &HeaderMap,
    attempt: Attempt<'_>,
) -> Result<Option<User>, StoreError> {
    let Some(fingerprint) = shown_certificate(headers) else { return Ok(None) };
    let name = match console.store.shown_certificate(fingerprint, attempt.at).await? {
        Shown::Good(user) => return Ok(Some(user)),
        Shown::Bad(name) => name,
        Shown::Unknown => String::new(),
    };
    let attempt = Attempt { name: &name, ..attempt };
    console.store.record_sign_in(attempt, Method::Certificate, Came::Refused).await?;
    Ok(None)
}
