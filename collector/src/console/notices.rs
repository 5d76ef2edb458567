//! 届かなかった通知: notices that were given up, with what can be done about each.

use askama::Template;
use axum::Form;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Redirect, Response};
use serde::Deserialize;

use super::page::{Page, When, error, failed, number, render, shown};
use super::{Console, Visitor};
use crate::api::NOTICE_REASON_MAX;
use crate::clock::now;
use crate::export::By;
use crate::i18n::Lang;
use crate::notify::template::NoticeKind;
use crate::store::seen::{DeadLetter, Settle, Settled};

#[derive(Template)]
#[template(path = "notices.html")]
struct NoticesPage {
    page: Page,
    rows: Vec<Letter>,
    /// This person may decide.
    may: bool,
}

#[derive(Debug)]
struct Letter {
    key: String,
    incident: String,
    kind: String,
    role: String,
    contact: String,
    channel: String,
    written: When,
    dead: When,
    attempts: String,
    error: String,
}

impl Letter {
    fn new(lang: Lang, one: DeadLetter) -> Self {
        let known = NoticeKind::from_name(&one.kind);
        let role = format!("role-{}", one.role);
        Self {
            kind: known.map_or_else(|| shown(&one.kind), |kind| lang.pick(kind.ja(), kind.en()).to_owned()),
            role: if lang.has(&role) { lang.text(&role) } else { shown(&one.role) },
            key: one.key,
            incident: one.incident.unwrap_or_default(),
            contact: shown(&one.contact),
            channel: one.channel,
            written: When::from(one.written_at),
            dead: When::from(one.dead_at),
            attempts: number(one.attempts),
            error: shown(&one.error),
        }
    }
}

/// `GET /notices`.
pub(super) async fn show(State(console): State<Console>, visitor: Visitor) -> Response {
    let letters = match console.seen_by(&visitor.user).dead_letters().await {
        Ok(letters) => letters,
        Err(cause) => return failed(visitor.lang, &cause),
    };
    let page = Page::new(&visitor, "notices");
    let rows = letters.into_iter().map(|one| Letter::new(page.lang, one)).collect();
    render(&NoticesPage { rows, may: visitor.user.role.works_incidents(), page })
}

/// What a form sends.
#[derive(Debug, Deserialize)]
pub(super) struct Decision {
    csrf: String,
    #[serde(default)]
    key: String,
    #[serde(default)]
    what: String,
    #[serde(default)]
    reason: String,
}

/// `POST /notices`.
pub(super) async fn settle(
    State(console): State<Console>,
    visitor: Visitor,
    Form(asked): Form<Decision>,
) -> Response {
    let (lang, user) = (visitor.lang, &visitor.user);
    if asked.csrf != visitor.token.csrf() || !user.role.works_incidents() {
        return error(lang, StatusCode::FORBIDDEN);
    }
    let reason = asked.reason.trim();
    let how = match asked.what.as_str() {
        "again" => Settle::Again,
        "aside" if !reason.is_empty() && reason.chars().count() <= NOTICE_REASON_MAX => Settle::Aside(reason),
        _ => return error(lang, StatusCode::UNPROCESSABLE_ENTITY),
    };
    let by = By { actor: user.name.as_str().to_owned(), role: user.role.as_str().to_owned() };
    match console.seen_by(user).settle(&asked.key, how, &by, now()).await {
        Ok(Settled::Done) => Redirect::to("/notices").into_response(),
        Ok(Settled::NotFound) => error(lang, StatusCode::NOT_FOUND),
        Ok(Settled::Nobody) => error(lang, StatusCode::UNPROCESSABLE_ENTITY),
        Err(cause) => failed(lang, &cause),
    }
}
