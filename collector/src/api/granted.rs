//! What two persons agreed to: hidden values for who asked, while they may be seen, and extracts for others.

use axum::Json;
use axum::extract::{Path, State};
use axum::http::HeaderValue;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::response::{IntoResponse as _, Response};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use utoipa::{OpenApi, ToSchema};

use super::Caller;
use super::problem::ApiError;
use crate::clock::now;
use crate::console::Console;
use crate::incident::grant::{GrantKind, GrantState};
use crate::store::work::{Extract, Unmasked};

/// What is here.
#[derive(OpenApi)]
#[openapi(paths(unmasked, extracts, extract))]
pub(super) struct Part;

/// Something that two persons agreed to.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub(super) struct Granted {
    /// Within the incident, from 1.
    n: i64,
    kind: GrantKind,
    /// The hidden value's name; the recipient; hosts and time.
    what: String,
    /// Of an evidence capture it is `waiting`: approved, and no sensor can carry it out yet.
    state: GrantState,
    asked_by: String,
    granted_by: String,
    #[schema(format = DateTime)]
    at: String,
    /// Of an unmasking: when it ends.
    #[schema(format = DateTime)]
    until: Option<String>,
    reason: String,
    /// Of an extract: its TLP 2.0 mark.
    tlp: Option<String>,
    /// Of an extract: its SHA-256.
    extract: Option<String>,
}

/// A hidden value.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub(super) struct Hidden {
    name: String,
    value: String,
    /// It may be seen until then.
    #[schema(format = DateTime)]
    until: String,
}

/// Extracts, without their documents.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub(super) struct ExtractList {
    extracts: Vec<ExtractLine>,
}

/// An extract.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub(super) struct ExtractLine {
    /// SHA-256 of the document, by which it is asked for.
    digest: String,
    recipient: String,
    /// TLP 2.0.
    tlp: String,
    #[schema(format = DateTime)]
    at: String,
    /// Of which incident; null where that is another body's.
    incident: Option<String>,
}

/// A hidden value, for who asked to see it, for half an hour after somebody else agreed. Each look is in the audit log.
#[utoipa::path(
    get, path = "/api/v1/incidents/{id}/unmasked/{n}", tag = "incidents",
    params(("id" = String, Path, description = "`INC-…`"), ("n" = i64, Path, description = "Number of the grant")),
    responses((status = 200, description = "The value", body = Hidden))
)]
pub(super) async fn unmasked(
    State(console): State<Console>,
    caller: Caller,
    Path((id, n)): Path<(String, String)>,
) -> Result<Response, ApiError> {
    let n: i64 = n.parse().map_err(|_no_number: std::num::ParseIntError| ApiError::NotFound)?;
    if !caller.right.may_act() {
        return Err(ApiError::Forbidden);
    }
    match console.seen_by(&caller.user).unmasked(&id, n, &caller.user.actor(), now()).await? {
        Unmasked::Value { name, value, until } => {
            let mut response = Json(json!({ "name": name, "value": value, "until": until })).into_response();
            response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
            Ok(response)
        }
        // That it was granted once, to somebody, is nobody else's business.
        Unmasked::NotGranted | Unmasked::Ended => Err(ApiError::NotFound),
    }
}

/// Extracts that were made for the caller's bodies, for all, or of incidents of theirs.
#[utoipa::path(
    get, path = "/api/v1/shared", tag = "export", operation_id = "extracts",
    responses((status = 200, description = "The newest", body = ExtractList))
)]
pub(super) async fn extracts(
    State(console): State<Console>,
    caller: Caller,
) -> Result<Json<Value>, ApiError> {
    let all = console.seen_by(&caller.user).extracts().await?;
    Ok(Json(json!({ "extracts": all.iter().map(line).collect::<Vec<_>>() })))
}

fn line(one: &Extract) -> Value {
    json!({
        "digest": one.digest, "recipient": one.recipient, "tlp": one.tlp, "at": one.at,
        "incident": (!one.incident.is_empty()).then_some(&one.incident),
    })
}

/// One extract, as it was made; its bytes have the digest by which it is asked for. The reading is in the audit log.
#[utoipa::path(
    get, path = "/api/v1/shared/{digest}", tag = "export", operation_id = "extract",
    params(("digest" = String, Path, description = "SHA-256, hexadecimal")),
    responses((status = 200, description = "The document", body = Object))
)]
pub(super) async fn extract(
    State(console): State<Console>,
    caller: Caller,
    Path(digest): Path<String>,
) -> Result<Response, ApiError> {
    let found = console.seen_by(&caller.user).extract(&digest, &caller.user.actor(), now()).await?;
    let one = found.ok_or(ApiError::NotFound)?;
    let kind = HeaderValue::from_static("application/json");
    Ok(([(CONTENT_TYPE, kind)], one.document).into_response())
}
