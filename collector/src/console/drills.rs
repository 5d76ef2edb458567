//! 訓練: drills that were run, those that run, and the form that begins one.

use askama::Template;
use axum::Form;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::http::header::{CONTENT_DISPOSITION, CONTENT_TYPE};
use axum::response::{IntoResponse as _, Redirect, Response};
use serde::Deserialize;

use super::page::{Mark, Page, When, error, failed, render, shown};
use super::{Console, Visitor};
use crate::auth::User;
use crate::clock::now;
use crate::doc::{Doc, Section};
use crate::drill::scenario::ready;
use crate::export::By;
use crate::handover::Format;
use crate::i18n::Lang;
use crate::store::StoreError;
use crate::store::drill::{Drill, StartError};

#[derive(Template)]
#[template(path = "drills.html")]
struct DrillsPage {
    page: Page,
    rows: Vec<DrillRow>,
    /// Of the form; empty for whoever may not begin one.
    scenarios: Vec<Offered>,
    bodies: Vec<(String, String)>,
    may_run: bool,
    refused: bool,
}

struct DrillRow {
    id: i64,
    title: String,
    state: Mark,
    started: When,
    by: String,
    bodies: String,
}

struct Offered {
    id: String,
    title: String,
    needs: String,
}

#[derive(Template)]
#[template(path = "drill.html")]
#[expect(clippy::struct_excessive_bools, reason = "each is a part of the page that is there or not")]
struct DrillPage {
    page: Page,
    id: i64,
    doc: Doc,
    state: Mark,
    may_end: bool,
    is_over: bool,
    linked: bool,
}

fn state(lang: Lang, drill: &Drill) -> Mark {
    if drill.is_over() {
        Mark::none(lang.text("drill-ended"))
    } else {
        Mark::warn(lang.text("drill-running"))
    }
}

fn by(user: &User) -> By {
    By { actor: user.name.as_str().to_owned(), role: user.role.as_str().to_owned() }
}

/// `GET /drills`.
pub(super) async fn list(State(console): State<Console>, visitor: Visitor) -> Response {
    match read(&console, &visitor, false).await {
        Ok(page) => render(&page),
        Err(cause) => failed(visitor.lang, &cause),
    }
}

async fn read(console: &Console, visitor: &Visitor, refused: bool) -> Result<DrillsPage, StoreError> {
    let page = Page::new(visitor, "drills");
    let (lang, user) = (visitor.lang, &visitor.user);
    let seen = console.seen_by(user);
    let row = |drill: Drill| DrillRow {
        id: drill.id,
        title: shown(lang.pick(&drill.scenario.title_ja, &drill.scenario.title_en)),
        state: state(lang, &drill),
        started: When::from(drill.started_at),
        by: shown(&drill.started_by),
        bodies: drill.bodies.join(", "),
    };
    let rows = seen.drills(page.now).await?.into_iter().map(row).collect();
    let may_run = user.role.may_run_drills();
    let (scenarios, bodies) =
        if may_run { (offered(lang), seen.bodies().await?) } else { (Vec::new(), Vec::new()) };
    let bodies = bodies.into_iter().map(|(code, name)| (code, shown(&name))).collect();
    Ok(DrillsPage { page, rows, scenarios, bodies, may_run, refused })
}

fn offered(lang: Lang) -> Vec<Offered> {
    let ready = ready().unwrap_or_else(|cause| {
        tracing::error!(%cause, "a ready scenario is broken");
        Vec::new()
    });
    let one = |one: crate::drill::scenario::Scenario| Offered {
        title: lang.pick(&one.title_ja, &one.title_en).to_owned(),
        needs: lang.with("drill-needs", one.bodies),
        id: one.id,
    };
    ready.into_iter().map(one).collect()
}

/// `POST /drills`.
pub(super) async fn start(
    State(console): State<Console>,
    visitor: Visitor,
    Form(fields): Form<Vec<(String, String)>>,
) -> Response {
    let (lang, user) = (visitor.lang, &visitor.user);
    let all = |name: &'static str| {
        fields.iter().filter(move |(field, _)| field == name).map(|(_, value)| value.as_str())
    };
    if all("csrf").next() != Some(visitor.token.csrf().as_str()) || !user.role.may_run_drills() {
        return error(lang, StatusCode::FORBIDDEN);
    }
    let scenarios = match ready() {
        Ok(scenarios) => scenarios,
        Err(cause) => {
            tracing::error!(%cause, "a ready scenario is broken");
            return error(lang, StatusCode::INTERNAL_SERVER_ERROR);
        }
    };
    let wanted = all("scenario").next().unwrap_or_default();
    let Some(scenario) = scenarios.into_iter().find(|one| one.id == wanted) else {
        return error(lang, StatusCode::BAD_REQUEST);
    };
    let bodies: Vec<String> = all("body").map(str::to_owned).collect();
    let seen = console.seen_by(user);
    match seen.start_drill(&scenario, &bodies, &by(user), now()).await {
        Ok(id) => Redirect::to(&format!("/drills/{id}")).into_response(),
        Err(StartError::Store(cause)) => failed(lang, &cause),
        Err(StartError::Bodies { .. } | StartError::UnknownBody(_) | StartError::Busy) => {
            match read(&console, &visitor, true).await {
                Ok(page) => (StatusCode::UNPROCESSABLE_ENTITY, render(&page)).into_response(),
                Err(cause) => failed(lang, &cause),
            }
        }
    }
}

/// In which form.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Asked {
    format: Option<Format>,
}

/// `GET /drills/{id}`: players see what is expected of them when it is over, those who run drills at once.
pub(super) async fn show(
    State(console): State<Console>,
    visitor: Visitor,
    Path(id): Path<String>,
    Query(asked): Query<Asked>,
) -> Response {
    let (lang, user) = (visitor.lang, &visitor.user);
    let Ok(id) = id.parse() else { return error(lang, StatusCode::NOT_FOUND) };
    let drill = match console.seen_by(user).drill(id, now()).await {
        Ok(Some(drill)) => drill,
        Ok(None) => return error(lang, StatusCode::NOT_FOUND),
        Err(cause) => return failed(lang, &cause),
    };
    let tells = drill.is_over() || user.role.may_run_drills();
    let Some(format) = asked.format else {
        return render(&DrillPage {
            id,
            doc: if tells { drill.doc(lang) } else { for_players(&drill, lang) },
            state: state(lang, &drill),
            may_end: !drill.is_over() && user.role.may_run_drills(),
            is_over: drill.is_over(),
            linked: true,
            page: Page::new(&visitor, "drills"),
        });
    };
    if !tells {
        return error(lang, StatusCode::FORBIDDEN);
    }
    file(&drill, format, lang)
}

/// What the clock gave, and nothing of what is expected.
fn for_players(drill: &Drill, lang: Lang) -> Doc {
    let hidden = Section { text: vec![lang.text("drill-hidden")], ..drill.cards(lang) };
    Doc { sections: vec![hidden], ..drill.doc(lang) }
}

fn file(drill: &Drill, format: Format, lang: Lang) -> Response {
    let doc = drill.doc(lang);
    let (text, ending) = match format {
        Format::Json => (serde_json::to_string(drill).map_err(|cause| cause.to_string()), "json"),
        Format::Markdown => (Ok(doc.markdown()), "md"),
        Format::Html => (doc.html(lang).map_err(|cause| cause.to_string()), "html"),
    };
    match text {
        Ok(text) => {
            let name = format!("attachment; filename=\"drill-{}.{ending}\"", drill.id);
            let headers = [(CONTENT_TYPE, format.media_type().to_owned()), (CONTENT_DISPOSITION, name)];
            (headers, text).into_response()
        }
        Err(cause) => {
            tracing::error!(cause, "the report of a drill cannot be written");
            error(lang, StatusCode::INTERNAL_SERVER_ERROR)
        }
    }
}

/// What the form sends.
#[derive(Debug, Deserialize)]
pub(super) struct Ending {
    csrf: String,
}

/// `POST /drills/{id}/end`.
pub(super) async fn end(
    State(console): State<Console>,
    visitor: Visitor,
    Path(id): Path<String>,
    Form(asked): Form<Ending>,
) -> Response {
    let (lang, user) = (visitor.lang, &visitor.user);
    if asked.csrf != visitor.token.csrf() || !user.role.may_run_drills() {
        return error(lang, StatusCode::FORBIDDEN);
    }
    let Ok(id) = id.parse::<i64>() else { return error(lang, StatusCode::NOT_FOUND) };
    match console.seen_by(user).end_drill(id, &by(user), now()).await {
        Ok(true) => Redirect::to(&format!("/drills/{id}")).into_response(),
        Ok(false) => error(lang, StatusCode::NOT_FOUND),
        Err(cause) => failed(lang, &cause),
    }
}
