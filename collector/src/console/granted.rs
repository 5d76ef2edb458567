//! What two persons agreed to, on pages: grants of an incident, a hidden value, extracts that were shared.

use askama::Template;
use axum::Form;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::http::header::{CONTENT_DISPOSITION, CONTENT_TYPE};
use axum::response::{IntoResponse as _, Response};
use serde::Deserialize;

use super::page::{Page, When, error, failed, render, shown};
use super::{Console, Visitor};
use crate::clock::now;
use crate::i18n::Lang;
use crate::incident::grant::{GrantKind, GrantState};
use crate::store::work::{GrantView, Unmasked};

/// A grant on an incident's page.
#[derive(Debug)]
pub(super) struct GrantRow {
    pub(super) n: i64,
    pub(super) kind: &'static str,
    pub(super) what: String,
    pub(super) reason: String,
    pub(super) state: &'static str,
    pub(super) at: When,
    pub(super) until: Option<When>,
    pub(super) people: String,
    pub(super) tlp: String,
    pub(super) extract: Option<String>,
    /// This person may look at it now.
    pub(super) mine: bool,
    pub(super) waits: bool,
}

impl GrantRow {
    pub(super) fn new(lang: Lang, visitor: &Visitor, view: &GrantView) -> Self {
        let state = view.state(now());
        let what = match view.kind {
            GrantKind::Unmask => hidden(lang, &view.what),
            GrantKind::Share | GrantKind::Capture | GrantKind::Suppress => shown(&view.what),
        };
        Self {
            n: view.n,
            kind: lang.pick(view.kind.ja(), view.kind.en()),
            what,
            reason: shown(&view.reason),
            state: lang.pick(state.ja(), state.en()),
            at: When::from(view.at),
            until: view.until.map(When::from),
            people: format!("{} → {}", shown(&view.asked_by), shown(&view.granted_by)),
            tlp: view.tlp.clone(),
            extract: view.digest.clone(),
            mine: state == GrantState::Open && view.asked_by == visitor.user.name.as_str(),
            waits: state == GrantState::Waiting,
        }
    }
}

/// What is hidden, in words.
pub(super) fn hidden(lang: Lang, name: &str) -> String {
    let key = format!("hidden-{}", name.replace('.', "-"));
    if lang.has(&key) { lang.text(&key) } else { shown(name) }
}

#[derive(Template)]
#[template(path = "unmasked.html")]
struct UnmaskedPage {
    page: Page,
    id: String,
    name: String,
    value: String,
    until: When,
}

/// What the button sends.
#[derive(Debug, Deserialize)]
pub(super) struct Look {
    csrf: String,
}

/// `POST /incidents/{id}/unmasked/{n}`: a look, which is written down.
pub(super) async fn unmasked(
    State(console): State<Console>,
    visitor: Visitor,
    Path((id, n)): Path<(String, String)>,
    Form(look): Form<Look>,
) -> Response {
    let lang = visitor.lang;
    if look.csrf != visitor.token.csrf() {
        return error(lang, StatusCode::FORBIDDEN);
    }
    let Ok(n) = n.parse::<i64>() else { return error(lang, StatusCode::NOT_FOUND) };
    match console.seen_by(&visitor.user).unmasked(&id, n, &visitor.user.actor(), now()).await {
        Ok(Unmasked::Value { name, value, until }) => render(&UnmaskedPage {
            page: Page::new(&visitor, "incidents"),
            id: shown(&id),
            name: hidden(lang, &name),
            value: shown(&value),
            until: When::from(until),
        }),
        Ok(Unmasked::NotGranted | Unmasked::Ended) => error(lang, StatusCode::NOT_FOUND),
        Err(cause) => failed(lang, &cause),
    }
}

#[derive(Template)]
#[template(path = "shared.html")]
struct SharedPage {
    page: Page,
    rows: Vec<SharedRow>,
}

#[derive(Debug)]
struct SharedRow {
    at: When,
    tlp: String,
    recipient: String,
    digest: String,
    incident: Option<String>,
}

/// `GET /shared`.
pub(super) async fn shared(State(console): State<Console>, visitor: Visitor) -> Response {
    let all = match console.seen_by(&visitor.user).extracts().await {
        Ok(all) => all,
        Err(cause) => return failed(visitor.lang, &cause),
    };
    let row = |one: crate::store::work::Extract| SharedRow {
        at: When::from(one.at),
        tlp: one.tlp,
        recipient: shown(&one.recipient),
        digest: one.digest,
        incident: Some(one.incident).filter(|id| !id.is_empty()),
    };
    render(&SharedPage { rows: all.into_iter().map(row).collect(), page: Page::new(&visitor, "shared") })
}

/// `GET /shared/{digest}`: the document, as a file.
pub(super) async fn extract(
    State(console): State<Console>,
    visitor: Visitor,
    Path(digest): Path<String>,
) -> Response {
    match console.seen_by(&visitor.user).extract(&digest, &visitor.user.actor(), now()).await {
        Ok(Some(one)) => {
            let name = format!(
                "attachment; filename=\"TLP-{}-{}.json\"",
                one.tlp.replace('+', "-"),
                one.digest.get(..12).unwrap_or_default()
            );
            ([(CONTENT_TYPE, "application/json".to_owned()), (CONTENT_DISPOSITION, name)], one.document)
                .into_response()
        }
        Ok(None) => error(visitor.lang, StatusCode::NOT_FOUND),
        Err(cause) => failed(visitor.lang, &cause),
    }
}
