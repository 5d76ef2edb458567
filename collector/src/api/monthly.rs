//! `GET /reports/monthly`: the monthly report.
#![expect(unused_qualifications, reason = "what utoipa makes of `params`")]

use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse as _, Response};
use serde::Deserialize;
use utoipa::{IntoParams, OpenApi};

use super::Caller;
use super::problem::ApiError;
use crate::clock::now;
use crate::console::Console;
use crate::export::By;
use crate::i18n::Lang;
use crate::monthly::{Format, Month, Report, TABLES, Wanted, WriteError, gather, is_table};

/// What is here.
#[derive(OpenApi)]
#[openapi(paths(monthly))]
pub(super) struct Part;

/// Of which month and body, and how it is written.
#[derive(Clone, Debug, Default, Deserialize, IntoParams)]
#[serde(default, deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Asked {
    /// The month in Japan, `2026-10`; the last one that is over, if not given.
    #[param(pattern = "^[0-9]{4}-[0-9]{2}$", max_length = 7)]
    month: Option<String>,
    /// 団体コード; all bodies that are seen, if not given.
    #[param(max_length = 6)]
    body: Option<String>,
    /// Bodies are not named, nor anything that names one.
    anonymous: bool,
    /// `json` (as a rule), `markdown`, `html` or `csv`.
    #[param(inline)]
    format: Format,
    /// Of `csv`: which table.
    #[param(max_length = 20)]
    table: Option<String>,
    /// Of `csv`: begin with a byte order mark.
    bom: bool,
    /// Of all but `json`: `ja` (as a rule) or `en`.
    #[param(max_length = 2, pattern = "^(ja|en)$")]
    lang: Option<String>,
}

/// The report of a month, of one body or of all: numbers, incidents, KPIs, limits, sensors, statutory reports; it is in the audit log
/// that it was given.
#[utoipa::path(
    get, path = "/api/v1/reports/monthly", tag = "incidents", operation_id = "monthly_report", params(Asked),
    responses(
        (status = 200, description = "The report", content(
            (Report = "application/json"), (String = "text/markdown"), (String = "text/html"), (String = "text/csv")
        )),
        (status = 404, description = "There is no such body, or it is not the caller's to see")
    )
)]
pub(super) async fn monthly(
    State(console): State<Console>,
    caller: Caller,
    asked: Result<Query<Asked>, QueryRejection>,
) -> Result<Response, ApiError> {
    let bad = |why: &str| ApiError::BadRequest(why.to_owned());
    let Query(asked) = asked.map_err(|cause| bad(&cause.body_text()))?;
    let lang = match asked.lang.as_deref() {
        None => Lang::Ja,
        Some(code) => Lang::from_code(code).ok_or_else(|| bad("lang: ja or en"))?,
    };
    let now = now();
    let month = match asked.month.as_deref() {
        None => Month::last(now),
        Some(text) => text.parse().map_err(|_not_a_month| bad("month: like 2026-10"))?,
    };
    let table = asked.table.as_deref().unwrap_or("counts");
    if !is_table(table) {
        return Err(ApiError::BadRequest(format!("table: one of {TABLES}")));
    }
    let wanted = Wanted { month, body: asked.body, anonymous: asked.anonymous };
    let user = &caller.user;
    let by = By { actor: user.name.as_str().to_owned(), role: user.role.as_str().to_owned() };
    let report = gather(console.seen_by(user), &wanted, asked.format.as_str(), &by, now).await?;
    let report = report.ok_or(ApiError::NotFound)?;
    let bytes = report.write(asked.format, lang, (table, asked.bom)).map_err(|cause| match cause {
        WriteError::NoTable(_) => ApiError::BadRequest(format!("table: {cause}")),
        WriteError::Json(_) | WriteError::Html(_) | WriteError::Csv(_) => ApiError::Failed,
    })?;
    Ok(([(CONTENT_TYPE, asked.format.media_type())], bytes).into_response())
}
