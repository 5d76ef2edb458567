//! `/healthz` and `/readyz` on the console's port: for balancers, which have no account; without reasons.

use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use axum::{Extension, Json};
use serde_json::json;

use crate::observe::Observer;

/// `GET /healthz`.
pub(super) async fn live(observer: Option<Extension<Observer>>) -> Response {
    let live = observer.is_none_or(|observer| observer.is_live());
    (status(live), Json(json!({ "live": live }))).into_response()
}

/// `GET /readyz`.
pub(super) async fn ready(observer: Option<Extension<Observer>>) -> Response {
    let Some(observer) = observer else { return StatusCode::SERVICE_UNAVAILABLE.into_response() };
    let health = observer.health().await;
    (status(health.ready), Json(health.in_short())).into_response()
}

const fn status(good: bool) -> StatusCode {
    if good { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE }
}
