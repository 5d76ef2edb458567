//! `/notices/dead`: notices that were given up, sent once more or put aside.

use axum::Json;
use axum::extract::State;
use axum::extract::rejection::JsonRejection;
use axum::http::HeaderMap;
use serde::{Deserialize, Serialize};
use utoipa::{OpenApi, ToSchema};

use super::Caller;
use super::problem::ApiError;
use super::work::{authorised, body};
use crate::clock::now;
use crate::console::Console;
use crate::export::By;
use crate::incident::transition::Refused;
use crate::store::seen::{DeadLetter, Settle, Settled};

/// Longest reason, in characters.
pub(crate) const REASON_MAX: usize = 1_000;

/// What is here.
#[derive(OpenApi)]
#[openapi(paths(dead, settle))]
pub(super) struct Part;

/// Dead letters.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct DeadLetters {
    notices: Vec<DeadLetter>,
}

/// What becomes of one.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Settling {
    /// Which: its `key`.
    #[schema(max_length = 1000)]
    key: String,
    what: What,
    /// Why nobody needs it any more; `aside` needs it.
    #[serde(default)]
    #[schema(max_length = 1000)]
    reason: String,
}

/// `again`: it is tried once more. `aside`: nobody needs it any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum What {
    Again,
    Aside,
}

/// Notices that were given up for good, the latest first.
#[utoipa::path(
    get, path = "/api/v1/notices/dead", tag = "about", operation_id = "dead_letters",
    responses((status = 200, description = "Dead letters", body = DeadLetters))
)]
pub(super) async fn dead(
    State(console): State<Console>,
    caller: Caller,
) -> Result<Json<DeadLetters>, ApiError> {
    Ok(Json(DeadLetters { notices: console.seen_by(&caller.user).dead_letters().await? }))
}

/// Sends a dead letter once more, or puts it aside with a reason; it is in the audit log.
#[utoipa::path(
    post, path = "/api/v1/notices/dead", tag = "about", operation_id = "settle_dead_letter", request_body = Settling,
    responses(
        (status = 200, description = "Those that are left", body = DeadLetters),
        (status = 404, description = "No such dead letter")
    )
)]
pub(super) async fn settle(
    State(console): State<Console>,
    caller: Caller,
    headers: HeaderMap,
    asked: Result<Json<Settling>, JsonRejection>,
) -> Result<Json<DeadLetters>, ApiError> {
    authorised(&caller, &headers)?;
    let user = &caller.user;
    if !user.role.works_incidents() {
        return Err(ApiError::Forbidden);
    }
    let asked = body(asked)?;
    let missing = |name: &str| ApiError::Refused(Refused::Guard(vec![name.to_owned()]));
    let reason = asked.reason.trim();
    let how = match asked.what {
        What::Again => Settle::Again,
        What::Aside if reason.is_empty() || reason.chars().count() > REASON_MAX => {
            return Err(missing("reason"));
        }
        What::Aside => Settle::Aside(reason),
    };
    let by = By { actor: user.name.as_str().to_owned(), role: user.role.as_str().to_owned() };
    let seen = console.seen_by(user);
    match seen.settle(&asked.key, how, &by, now()).await? {
        Settled::Done => Ok(Json(DeadLetters { notices: seen.dead_letters().await? })),
        Settled::NotFound => Err(ApiError::NotFound),
        Settled::Nobody => Err(missing("contact")),
    }
}
