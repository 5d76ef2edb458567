//! One's own tokens: list them, end one.

use axum::Json;
use axum::extract::{Path, State};
use axum::http::HeaderMap;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use utoipa::{OpenApi, ToSchema};

use super::Caller;
use super::problem::ApiError;
use super::work::authorised;
use crate::auth::token::TokenEntry;
use crate::clock::now;
use crate::console::{Console, PeerAddress};
use crate::store::people::log::By;

/// What is here.
#[derive(OpenApi)]
#[openapi(paths(tokens, revoke))]
pub(super) struct Part;

/// One's own tokens that are good.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub(super) struct TokenList {
    tokens: Vec<OwnToken>,
}

/// A token; what it is itself, nobody has but its holder.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub(super) struct OwnToken {
    label: String,
    /// `read` or `act`.
    right: String,
    /// Bodies, by commas; `all`.
    bodies: String,
    #[schema(format = DateTime)]
    expires_at: String,
    #[schema(format = DateTime)]
    used_at: Option<String>,
}

/// A token that is good no more.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub(super) struct Revoked {
    revoked: String,
}

/// One's own tokens that are good.
#[utoipa::path(
    get, path = "/api/v1/me/tokens", tag = "about", operation_id = "own_tokens",
    responses((status = 200, description = "The tokens", body = TokenList))
)]
pub(super) async fn tokens(State(console): State<Console>, caller: Caller) -> Result<Json<Value>, ApiError> {
    let all = console.everything().api_tokens(Some(caller.user.name.as_str())).await?;
    let now = now();
    let one = |token: &TokenEntry| {
        json!({
            "label": token.label.as_str(), "right": token.right.as_str(),
            "bodies": token.scope.and(&caller.user.scope).to_text(),
            "expires_at": token.expires_at, "used_at": token.used_at,
        })
    };
    let tokens: Vec<Value> = all.iter().filter(|one| one.is_alive(now)).map(one).collect();
    Ok(Json(json!({ "tokens": tokens })))
}

/// Ends a token of one's own for good; it may be the one that the request came with.
#[utoipa::path(
    post, path = "/api/v1/me/tokens/{label}/revoke", tag = "about", operation_id = "revoke_own_token",
    params(("label" = String, Path, description = "Its label")),
    responses((status = 200, description = "It is good no more", body = Revoked))
)]
pub(super) async fn revoke(
    State(console): State<Console>,
    caller: Caller,
    PeerAddress(from): PeerAddress,
    Path(label): Path<String>,
    headers: HeaderMap,
) -> Result<Json<Value>, ApiError> {
    authorised(&caller, &headers)?;
    let address = from.to_string();
    let by = By::person(&caller.user, &address, "api", now());
    if console.everything().end_api_token(&by, caller.user.name.as_str(), &label).await? {
        Ok(Json(json!({ "revoked": label })))
    } else {
        Err(ApiError::NotFound)
    }
}
