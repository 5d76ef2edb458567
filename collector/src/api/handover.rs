//! `GET /handover` and `GET /incidents/{id}/handover`: what whoever comes next must know.
#![expect(unused_qualifications, reason = "what utoipa makes of `params`")]

use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, State};
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse as _, Response};
use serde::Deserialize;
use utoipa::{IntoParams, OpenApi};

use super::Caller;
use super::problem::ApiError;
use crate::clock::now;
use crate::console::Console;
use crate::export::By;
use crate::handover::{Format, Pack, Wanted, gather};
use crate::i18n::Lang;

/// What is here.
#[derive(OpenApi)]
#[openapi(paths(shift, incident))]
pub(super) struct Part;

/// Since when, and how it is written.
#[derive(Clone, Debug, Default, Deserialize, IntoParams)]
#[serde(default, deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Asked {
    /// What changed from here on, as in a query: `2026-11-22T08:30`, `-12h`; the last shift, if not given.
    #[param(max_length = 40)]
    since: String,
    /// `json` (as a rule), `markdown` or `html`.
    #[param(inline)]
    format: Format,
    /// Of `markdown` and `html`: `ja` (as a rule) or `en`.
    #[param(max_length = 2, pattern = "^(ja|en)$")]
    lang: Option<String>,
}

type Question = Result<Query<Asked>, QueryRejection>;

/// The hand-over of a shift: what is open, who owes what next, what runs out, what changed; each is in the audit log.
#[utoipa::path(
    get, path = "/api/v1/handover", tag = "incidents", operation_id = "handover", params(Asked),
    responses((status = 200, description = "The pack", content(
        (Pack = "application/json"), (String = "text/markdown"), (String = "text/html")
    )))
)]
pub(super) async fn shift(
    State(console): State<Console>,
    caller: Caller,
    asked: Question,
) -> Result<Response, ApiError> {
    give(&console, &caller, None, asked).await
}

/// The hand-over of one incident.
#[utoipa::path(
    get, path = "/api/v1/incidents/{id}/handover", tag = "incidents", operation_id = "incident_handover",
    params(("id" = String, Path, description = "`INC-…`"), Asked),
    responses((status = 200, description = "The pack", content(
        (Pack = "application/json"), (String = "text/markdown"), (String = "text/html")
    )))
)]
pub(super) async fn incident(
    State(console): State<Console>,
    caller: Caller,
    Path(id): Path<String>,
    asked: Question,
) -> Result<Response, ApiError> {
    give(&console, &caller, Some(id), asked).await
}

async fn give(
    console: &Console,
    caller: &Caller,
    incident: Option<String>,
    asked: Question,
) -> Result<Response, ApiError> {
    let bad = |why: &str| ApiError::BadRequest(why.to_owned());
    let Query(asked) = asked.map_err(|cause| bad(&cause.body_text()))?;
    let lang = match asked.lang.as_deref() {
        None => Lang::Ja,
        Some(code) => Lang::from_code(code).ok_or_else(|| bad("lang: ja or en"))?,
    };
    let now = now();
    let wanted = Wanted::new(incident, &asked.since, now)
        .ok_or_else(|| bad("since: a time such as 2026-11-22T08:30 or -12h"))?;
    let user = &caller.user;
    let by = By { actor: user.name.as_str().to_owned(), role: user.role.as_str().to_owned() };
    let pack = gather(console.seen_by(user), &wanted, asked.format.as_str(), &by, now).await?;
    let pack = pack.ok_or(ApiError::NotFound)?;
    let doc = pack.doc(lang);
    let text = match asked.format {
        Format::Json => serde_json::to_string(&pack).map_err(|_cause| ApiError::Failed)?,
        Format::Markdown => doc.markdown(),
        Format::Html => doc.html(lang).map_err(|_cause| ApiError::Failed)?,
    };
    Ok(([(CONTENT_TYPE, asked.format.media_type())], text).into_response())
}
