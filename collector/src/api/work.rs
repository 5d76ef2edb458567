//! `POST /incidents` and `POST /incidents/{id}/actions`: what programs ask of incidents.

use axum::Json;
use axum::extract::rejection::JsonRejection;
use axum::extract::{Path, State};
use axum::http::header::IF_MATCH;
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse as _, Response};
use serde::Deserialize;
use serde_json::{Value, json};
use utoipa::ToSchema;

use super::problem::ApiError;
use super::{CSRF_HEADER, Caller, schema, shape};
use crate::clock::now;
use crate::console::Console;
use crate::incident::action::Action;
use crate::incident::similar::similar;
use crate::incident::transition::{Asked, Effect, Refused, offers};
use crate::store::seen::Seen as StoreSeen;
use crate::store::work::{Acted, Intake};

/// What a caller saw when it decided.
#[derive(Debug, Deserialize, ToSchema)]
pub(super) struct Seen {
    /// The version of the incident that the caller saw; not needed with `If-Match`.
    #[serde(default)]
    version: Option<i64>,
}

/// Whoever has only a cookie must also have the session's token.
pub(super) fn authorised(caller: &Caller, headers: &HeaderMap) -> Result<(), ApiError> {
    let carried = headers.get(CSRF_HEADER).map(HeaderValue::as_bytes);
    let forged = caller.csrf.as_ref().is_some_and(|csrf| carried != Some(csrf.as_bytes()));
    if forged { Err(ApiError::Forbidden) } else { Ok(()) }
}

pub(super) fn body<T>(read: Result<Json<T>, JsonRejection>) -> Result<T, ApiError> {
    read.map(|Json(body)| body).map_err(|cause| match cause.status() {
        status @ (StatusCode::UNSUPPORTED_MEDIA_TYPE | StatusCode::PAYLOAD_TOO_LARGE) => {
            ApiError::Framework(status, cause.body_text())
        }
        _ => ApiError::BadRequest(cause.body_text()),
    })
}

/// Opens an incident from what somebody told.
#[utoipa::path(
    post, path = "/api/v1/incidents", tag = "incidents", request_body = Intake,
    responses((
        status = 201, description = "It is open", body = schema::Incident,
        headers(("Location" = String, description = "Where it is"))
    ))
)]
pub(super) async fn open(
    State(console): State<Console>,
    caller: Caller,
    headers: HeaderMap,
    intake: Result<Json<Intake>, JsonRejection>,
) -> Result<Response, ApiError> {
    authorised(&caller, &headers)?;
    let id = console.seen_by(&caller.user).open_by_hand(&body(intake)?, &caller.user.actor(), now()).await?;
    let view = console.seen_by(&caller.user).incident(&id).await?.ok_or(ApiError::NotFound)?;
    let mut response = (StatusCode::CREATED, Json(shape::incident(&view))).into_response();
    if let Ok(place) = HeaderValue::from_str(&format!("/api/v1/incidents/{id}")) {
        response.headers_mut().insert(axum::http::header::LOCATION, place);
    }
    Ok(response)
}

/// The action `acknowledge`, from before there were others.
#[utoipa::path(
    post, path = "/api/v1/incidents/{id}/acknowledge", tag = "incidents", request_body = Seen,
    params(("id" = String, Path, description = "`INC-…`")),
    responses((status = 200, description = "Somebody has it", body = schema::ActionResult))
)]
pub(super) async fn acknowledge(
    State(console): State<Console>,
    caller: Caller,
    Path(id): Path<String>,
    headers: HeaderMap,
    seen: Result<Json<Seen>, JsonRejection>,
) -> Result<Json<Value>, ApiError> {
    authorised(&caller, &headers)?;
    let version = Wanted::new(body(seen)?.version, &headers)?;
    act(&console, &caller, &id, version, Action::Acknowledge).await
}

/// Does something to an incident: `{"version": 3, "action": "triage", …}`.
#[utoipa::path(
    post, path = "/api/v1/incidents/{id}/actions", tag = "incidents", request_body = Action,
    params(("id" = String, Path, description = "`INC-…`")),
    responses((status = 200, description = "Done, or proposed to whoever must approve it", body = schema::ActionResult))
)]
pub(super) async fn action(
    State(console): State<Console>,
    caller: Caller,
    Path(id): Path<String>,
    headers: HeaderMap,
    asked: Result<Json<Value>, JsonRejection>,
) -> Result<Json<Value>, ApiError> {
    authorised(&caller, &headers)?;
    let mut asked = body(asked)?;
    let version = match asked.as_object_mut().and_then(|fields| fields.remove("version")) {
        None => None,
        Some(one) => {
            let whole = one.as_i64();
            Some(whole.ok_or_else(|| ApiError::BadRequest("\"version\" must be a whole number".to_owned()))?)
        }
    };
    let version = Wanted::new(version, &headers)?;
    let action = serde_json::from_value(asked).map_err(|cause| ApiError::BadRequest(cause.to_string()))?;
    act(&console, &caller, &id, version, action).await
}

/// Which version the caller saw.
pub(super) enum Wanted {
    /// `version` in the body; another one is a conflict.
    Body(i64),
    /// One of those in `If-Match`; another one fails the precondition.
    Match(Vec<i64>),
}

impl Wanted {
    pub(super) fn new(body: Option<i64>, headers: &HeaderMap) -> Result<Self, ApiError> {
        let mut named = headers.get_all(IF_MATCH).iter().peekable();
        if named.peek().is_none() {
            return body.map(Self::Body).ok_or(ApiError::VersionNeeded);
        }
        let named = named.filter_map(|value| value.to_str().ok()).flat_map(|value| value.split(','));
        let named: Vec<&str> = named.map(str::trim).collect();
        // "Whatever it is now" is what a version is there to prevent.
        if named.contains(&"*") {
            return Err(ApiError::VersionNeeded);
        }
        // Weak tags never match (RFC 9110, 13.1.1).
        let tags = named.iter().filter_map(|one| one.strip_prefix('"')?.strip_suffix('"'));
        let versions: Vec<i64> =
            tags.filter_map(|tag| tag.split_once('.').map_or(tag, |(first, _)| first).parse().ok()).collect();
        match body {
            Some(body) if !versions.contains(&body) => {
                Err(ApiError::BadRequest("If-Match and \"version\" name different versions".to_owned()))
            }
            Some(_) | None => Ok(Self::Match(versions)),
        }
    }

    /// The version to act on, and whether `If-Match` named it.
    pub(super) async fn of(self, seen: StoreSeen<'_>, id: &str) -> Result<(i64, bool), ApiError> {
        let versions = match self {
            Self::Body(version) => return Ok((version, false)),
            Self::Match(versions) => versions,
        };
        let is = seen.incident(id).await?.ok_or(ApiError::NotFound)?.version;
        if versions.contains(&is) { Ok((is, true)) } else { Err(ApiError::Precondition { is }) }
    }
}

async fn act(
    console: &Console,
    caller: &Caller,
    id: &str,
    wanted: Wanted,
    action: Action,
) -> Result<Json<Value>, ApiError> {
    let seen = console.seen_by(&caller.user);
    let (version, matched) = wanted.of(seen, id).await?;
    let asked = Asked { version, action };
    let changes = match seen.act(id, &caller.user.actor(), &asked, now()).await? {
        Acted::Done(changes) => changes,
        Acted::Refused(Refused::Conflict { is, .. }) if matched => return Err(ApiError::Precondition { is }),
        Acted::Refused(refused) => return Err(ApiError::Refused(refused)),
        Acted::NotFound => return Err(ApiError::NotFound),
    };
    let proposal = changes
        .effects
        .iter()
        .find_map(|effect| if let Effect::Proposed(n) = effect { Some(*n) } else { None });
    let view = console.seen_by(&caller.user).incident(id).await?.ok_or(ApiError::NotFound)?;
    let mut out = shape::incident(&view);
    if let Some(fields) = out.as_object_mut() {
        fields.insert("outcome".to_owned(), json!(if proposal.is_some() { "proposed" } else { "done" }));
        fields.insert("proposal".to_owned(), json!(proposal));
        fields.insert("tasks".to_owned(), json!(changes.facts.tasks));
    }
    Ok(Json(out))
}

/// The work on an incident, with what this caller could do next.
pub(super) async fn shown(console: &Console, caller: &Caller, id: &str) -> Result<Value, ApiError> {
    let view = console.seen_by(&caller.user).work_of(id).await?.ok_or(ApiError::NotFound)?;
    let offers = offers(&view.facts, &caller.user.actor(), now());
    let compared = console.seen_by(&caller.user).traits_of(id).await?;
    let resembling = compared.as_ref().map(|(own, past)| similar(own, past)).unwrap_or_default();
    Ok(shape::work(&view, &offers, &resembling))
}
