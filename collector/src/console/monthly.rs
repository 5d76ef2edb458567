//! 月次報告: the monthly report, as a page that prints and as a file.

use askama::Template;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::http::header::{CONTENT_DISPOSITION, CONTENT_TYPE};
use axum::response::{IntoResponse as _, Response};
use serde::Deserialize;

use super::page::{Page, error, failed, query_value, render, shown};
use super::{Console, Visitor};
use crate::clock::now;
use crate::doc::Doc;
use crate::export::By;
use crate::monthly::{Format, Month, Report, TABLES, Wanted, WriteError, gather};
use crate::store::StoreError;

#[derive(Template)]
#[template(path = "monthly.html")]
struct MonthlyPage {
    page: Page,
    doc: Doc,
    month: String,
    /// The body that is chosen, and those that may be: code, shown.
    body: String,
    bodies: Vec<(String, String)>,
    anonymous: bool,
    /// Of a link to the same in another form.
    asked: String,
    tables: Vec<&'static str>,
    linked: bool,
}

/// What is asked for.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Asked {
    month: String,
    body: String,
    anonymous: String,
    format: Option<Format>,
    table: String,
    bom: String,
}

/// `GET /reports/monthly`.
pub(super) async fn show(
    State(console): State<Console>,
    visitor: Visitor,
    Query(asked): Query<Asked>,
) -> Response {
    let (lang, now) = (visitor.lang, now());
    let month = match asked.month.trim() {
        "" => Month::last(now),
        text => match text.parse() {
            Ok(month) => month,
            Err(_not_a_month) => return error(lang, StatusCode::BAD_REQUEST),
        },
    };
    let body = Some(asked.body.trim()).filter(|body| !body.is_empty()).map(str::to_owned);
    let wanted = Wanted { month, body, anonymous: !asked.anonymous.is_empty() };
    let user = &visitor.user;
    let by = By { actor: user.name.as_str().to_owned(), role: user.role.as_str().to_owned() };
    let given = asked.format.map_or("view", Format::as_str);
    let report = match gather(console.seen_by(user), &wanted, given, &by, now).await {
        Ok(Some(report)) => report,
        Ok(None) => return error(lang, StatusCode::NOT_FOUND),
        Err(cause) => return failed(lang, &cause),
    };
    let Some(format) = asked.format else {
        return match page(&console, &visitor, &wanted, &report).await {
            Ok(page) => render(&page),
            Err(cause) => failed(lang, &cause),
        };
    };
    let table = if asked.table.is_empty() { "counts" } else { &asked.table };
    let bytes = match report.write(format, lang, (table, !asked.bom.is_empty())) {
        Ok(bytes) => bytes,
        Err(WriteError::NoTable(_)) => return error(lang, StatusCode::BAD_REQUEST),
        Err(cause @ (WriteError::Json(_) | WriteError::Html(_) | WriteError::Csv(_))) => {
            tracing::error!(%cause, "a report cannot be written");
            return error(lang, StatusCode::INTERNAL_SERVER_ERROR);
        }
    };
    let name = format!("attachment; filename=\"monthly-{month}.{}\"", format.ending());
    ([(CONTENT_TYPE, format.media_type().to_owned()), (CONTENT_DISPOSITION, name)], bytes).into_response()
}

async fn page(
    console: &Console,
    visitor: &Visitor,
    wanted: &Wanted,
    report: &Report,
) -> Result<MonthlyPage, StoreError> {
    let page = Page::new(visitor, "monthly");
    let bodies = console.seen_by(&visitor.user).bodies().await?;
    let body = wanted.body.clone().unwrap_or_default();
    let mut asked = format!("month={}&body={}", wanted.month, query_value(&body));
    if wanted.anonymous {
        asked.push_str("&anonymous=1");
    }
    Ok(MonthlyPage {
        doc: report.doc(page.lang),
        month: wanted.month.to_string(),
        bodies: bodies
            .into_iter()
            .map(|(code, name)| (code.clone(), shown(&format!("{code} {name}"))))
            .collect(),
        body,
        anonymous: wanted.anonymous,
        asked,
        tables: TABLES.split(", ").collect(),
        linked: true,
        page,
    })
}
