//! What is behind one thing, a page at a time; one agent; who asks.

use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, State};
use serde_json::{Value, json};

use super::list::{PageAsked, ROWS_MAX, asked, within};
use super::problem::ApiError;
use super::{Caller, cursor, schema, shape};
use crate::auth::scope::Scope;
use crate::console::Console;
use crate::store::seen::FindingPlace;
use crate::store::view::PAGE_ROWS;

/// The findings of an incident, newest first; of a wide-area incident those of its children.
#[utoipa::path(
    get, path = "/api/v1/incidents/{id}/findings", tag = "incidents", operation_id = "incident_findings",
    params(("id" = String, Path, description = "`INC-…`"), PageAsked),
    responses((status = 200, description = "A page of findings", body = schema::FindingPage))
)]
pub(super) async fn findings(
    State(console): State<Console>,
    caller: Caller,
    Path(id): Path<String>,
    query: Result<Query<PageAsked>, QueryRejection>,
) -> Result<Json<Value>, ApiError> {
    let page = asked(query)?;
    let most = within("limit", page.limit, PAGE_ROWS, ROWS_MAX)?;
    let question = format!("findings {id}");
    let after = match &page.cursor {
        Some(cursor) => {
            let [time, id, body] = cursor::read(&question, cursor)?;
            Some(FindingPlace { time: cursor::number(&time)?, id, body })
        }
        None => None,
    };
    let seen = console.seen_by(&caller.user);
    seen.incident(&id).await?.ok_or(ApiError::NotFound)?;
    let rows = seen.findings_page(&id, after.as_ref(), most).await?;
    let full = u32::try_from(rows.len()) == Ok(most);
    let next = rows.last().filter(|_| full).map(|(last, _)| {
        cursor::write(&question, &[last.time.to_string(), last.id.clone(), last.body.clone()])
    });
    let findings: Vec<Value> = rows.iter().map(|(_, finding)| shape::finding(finding)).collect();
    Ok(Json(json!({ "findings": findings, "next": next })))
}

/// The history of an incident, newest first: who did what, and what came in.
#[utoipa::path(
    get, path = "/api/v1/incidents/{id}/history", tag = "incidents", operation_id = "incident_history",
    params(("id" = String, Path, description = "`INC-…`"), PageAsked),
    responses((status = 200, description = "A page of changes", body = schema::ChangePage))
)]
pub(super) async fn history(
    State(console): State<Console>,
    caller: Caller,
    Path(id): Path<String>,
    query: Result<Query<PageAsked>, QueryRejection>,
) -> Result<Json<Value>, ApiError> {
    let page = asked(query)?;
    let most = within("limit", page.limit, PAGE_ROWS, ROWS_MAX)?;
    let question = format!("history {id}");
    let before = match &page.cursor {
        Some(cursor) => {
            let [number] = cursor::read(&question, cursor)?;
            Some(cursor::number(&number)?)
        }
        None => None,
    };
    let seen = console.seen_by(&caller.user);
    let incident = seen.incident(&id).await?.ok_or(ApiError::NotFound)?;
    let (changes, first) = seen.changes_page(&incident, before, most).await?;
    let next = (first > 0).then(|| cursor::write(&question, &[first.to_string()]));
    let changes: Vec<Value> = changes.iter().map(shape::change).collect();
    Ok(Json(json!({ "changes": changes, "next": next })))
}

/// What is to do on an incident: from its playbooks, demanded by what leaked, or added by hand.
#[utoipa::path(
    get, path = "/api/v1/incidents/{id}/tasks", tag = "incidents", operation_id = "incident_tasks",
    params(("id" = String, Path, description = "`INC-…`")),
    responses((status = 200, description = "The tasks", body = schema::TaskList))
)]
pub(super) async fn tasks(
    State(console): State<Console>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<Json<Value>, ApiError> {
    let work = console.seen_by(&caller.user).work_of(&id).await?.ok_or(ApiError::NotFound)?;
    let facts = work.facts;
    Ok(Json(json!({ "version": facts.version, "tasks": facts.tasks, "playbooks": facts.work.playbooks })))
}

/// One agent and how it is.
#[utoipa::path(
    get, path = "/api/v1/agents/{id}", tag = "agents",
    params(("id" = String, Path, description = "Digest of its key, hexadecimal")),
    responses((status = 200, description = "The agent", body = schema::Agent))
)]
pub(super) async fn agent(
    State(console): State<Console>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<Json<Value>, ApiError> {
    let agent = console.seen_by(&caller.user).agent(&id).await?.ok_or(ApiError::NotFound)?;
    Ok(Json(shape::agent(&agent)))
}

/// Who asks, and what they may.
#[utoipa::path(
    get, path = "/api/v1/me", tag = "about",
    responses((status = 200, description = "The caller", body = schema::Me))
)]
pub(super) async fn me(caller: Caller) -> Json<schema::Me> {
    let bodies = match &caller.user.scope {
        Scope::All => None,
        Scope::Bodies(bodies) => Some(bodies.iter().map(|body| body.as_str().to_owned()).collect()),
    };
    Json(schema::Me {
        name: caller.user.name.as_str().to_owned(),
        role: caller.user.role,
        bodies,
        may_act: caller.right.may_act() && caller.user.role.works_incidents(),
        came_by: caller.came.by(),
    })
}
