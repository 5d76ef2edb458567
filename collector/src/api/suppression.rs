//! `/suppressions`: findings that people agreed to keep out of incidents, for one body and a time; ended with a reason.

use axum::Json;
use axum::extract::rejection::JsonRejection;
use axum::extract::{Path, State};
use axum::http::HeaderMap;
use sekimori_wire::time::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use utoipa::{OpenApi, ToSchema};

use super::Caller;
use super::notices::REASON_MAX;
use super::problem::ApiError;
use super::work::{authorised, body};
use crate::clock::now;
use crate::console::Console;
use crate::export::By;
use crate::incident::transition::Refused;
use crate::store::StoreError;
use crate::store::seen::may_end;
use crate::store::work::SuppressionView;

/// What is here.
#[derive(OpenApi)]
#[openapi(paths(list, end))]
pub(super) struct Part;

/// Suppressions.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub(super) struct SuppressionList {
    suppressions: Vec<Suppression>,
}

/// Findings that are kept out of incidents.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub(super) struct Suppression {
    /// By which findings name it.
    id: String,
    /// In which incident it was granted.
    incident: String,
    /// 団体コード of the only body that it covers.
    body: String,
    /// `category=… originator=…`: all that is named must fit.
    scope: String,
    reason: String,
    asked_by: String,
    granted_by: String,
    #[schema(format = DateTime)]
    at: String,
    #[schema(format = DateTime)]
    until: String,
    in_force: bool,
    /// When somebody ended it before its time.
    #[schema(format = DateTime)]
    ended_at: Option<String>,
    ended_by: Option<String>,
    ended_reason: Option<String>,
    /// Findings under it.
    findings: i64,
    #[schema(format = DateTime)]
    last: Option<String>,
}

/// Why it is not wanted any more.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Ending {
    #[schema(max_length = 1000)]
    reason: String,
}

fn shape(view: &SuppressionView, now: Timestamp) -> Value {
    let ended = view.ended.as_ref();
    json!({
        "id": view.id, "incident": view.incident, "body": view.body, "scope": view.scope, "reason": view.reason,
        "asked_by": view.asked_by, "granted_by": view.granted_by, "at": view.at, "until": view.until,
        "in_force": view.is_in_force(now), "ended_at": ended.map(|one| one.0), "ended_by": ended.map(|one| &one.1),
        "ended_reason": ended.map(|one| &one.2), "findings": view.findings, "last": view.last,
    })
}

async fn all(console: &Console, caller: &Caller) -> Result<Json<Value>, StoreError> {
    let now = now();
    let all = console.seen_by(&caller.user).suppressions(now).await?;
    Ok(Json(json!({ "suppressions": all.iter().map(|one| shape(one, now)).collect::<Vec<_>>() })))
}

/// Suppressions of the caller's bodies: those in force, then those that ended.
#[utoipa::path(
    get, path = "/api/v1/suppressions", tag = "exceptions", operation_id = "suppressions",
    responses((status = 200, description = "Suppressions", body = SuppressionList))
)]
pub(super) async fn list(State(console): State<Console>, caller: Caller) -> Result<Json<Value>, ApiError> {
    Ok(all(&console, &caller).await?)
}

/// Ends a suppression before its time: what comes from then on opens incidents again. It is in the audit log.
#[utoipa::path(
    post, path = "/api/v1/suppressions/{id}/end", tag = "exceptions", operation_id = "end_suppression",
    request_body = Ending, params(("id" = String, Path, description = "`INC-…-S1`")),
    responses(
        (status = 200, description = "All that are left, and those that ended", body = SuppressionList),
        (status = 404, description = "None of this id is in force")
    )
)]
pub(super) async fn end(
    State(console): State<Console>,
    caller: Caller,
    Path(id): Path<String>,
    headers: HeaderMap,
    asked: Result<Json<Ending>, JsonRejection>,
) -> Result<Json<Value>, ApiError> {
    authorised(&caller, &headers)?;
    let user = &caller.user;
    if !may_end(user.role) {
        return Err(ApiError::Forbidden);
    }
    let asked = body(asked)?;
    let reason = asked.reason.trim();
    if reason.is_empty() || reason.chars().count() > REASON_MAX {
        return Err(ApiError::Refused(Refused::Guard(vec!["reason".to_owned()])));
    }
    let by = By { actor: user.name.as_str().to_owned(), role: user.role.as_str().to_owned() };
    if !console.seen_by(user).end_suppression(&id, &by, reason, now()).await? {
        return Err(ApiError::NotFound);
    }
    Ok(all(&console, &caller).await?)
}
