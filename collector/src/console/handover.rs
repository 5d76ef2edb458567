//! 引継ぎ: the hand-over of a shift or of one incident, as a page that prints and as a file.

use askama::Template;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::http::header::{CONTENT_DISPOSITION, CONTENT_TYPE};
use axum::response::{IntoResponse as _, Response};
use serde::Deserialize;

use super::page::{Page, error, failed, query_value, render, shown};
use super::{Console, Visitor};
use crate::clock::now;
use crate::doc::Doc;
use crate::export::By;
use crate::handover::{Format, Wanted, gather};

#[derive(Template)]
#[template(path = "handover.html")]
struct HandoverPage {
    page: Page,
    doc: Doc,
    place: String,
    since: String,
    since_value: String,
    linked: bool,
}

/// What is asked for.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Asked {
    since: String,
    format: Option<Format>,
}

/// `GET /handover`.
pub(super) async fn shift(
    State(console): State<Console>,
    visitor: Visitor,
    Query(asked): Query<Asked>,
) -> Response {
    give(&console, &visitor, None, asked).await
}

/// `GET /incidents/{id}/handover`.
pub(super) async fn incident(
    State(console): State<Console>,
    visitor: Visitor,
    Path(id): Path<String>,
    Query(asked): Query<Asked>,
) -> Response {
    give(&console, &visitor, Some(id), asked).await
}

async fn give(console: &Console, visitor: &Visitor, incident: Option<String>, asked: Asked) -> Response {
    let (lang, now) = (visitor.lang, now());
    let Some(wanted) = Wanted::new(incident, &asked.since, now) else {
        return error(lang, StatusCode::BAD_REQUEST);
    };
    let user = &visitor.user;
    let by = By { actor: user.name.as_str().to_owned(), role: user.role.as_str().to_owned() };
    let given = asked.format.map_or("view", Format::as_str);
    let pack = match gather(console.seen_by(user), &wanted, given, &by, now).await {
        Ok(Some(pack)) => pack,
        Ok(None) => return error(lang, StatusCode::NOT_FOUND),
        Err(cause) => return failed(lang, &cause),
    };
    let doc = pack.doc(lang);
    let (text, ending) = match asked.format {
        None => {
            let place = match &pack.incident {
                Some(id) => format!("/incidents/{id}/handover"),
                None => "/handover".to_owned(),
            };
            let page = Page::new(visitor, "handover");
            let (since, since_value) = (shown(asked.since.trim()), query_value(asked.since.trim()));
            return render(&HandoverPage { page, doc, place, since, since_value, linked: true });
        }
        Some(Format::Markdown) => (Some(doc.markdown()), "md"),
        Some(Format::Html) => (doc.html(lang).ok(), "html"),
        Some(Format::Json) => (serde_json::to_string(&pack).ok(), "json"),
    };
    let Some(text) = text else { return error(lang, StatusCode::INTERNAL_SERVER_ERROR) };
    let name = format!("attachment; filename=\"handover-{}.{ending}\"", now.secs());
    let kind = asked.format.unwrap_or_default().media_type();
    ([(CONTENT_TYPE, kind.to_owned()), (CONTENT_DISPOSITION, name)], text).into_response()
}
