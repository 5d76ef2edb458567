//! `/metrics`, `/healthz`, `/readyz`: on a listener of their own, over plain HTTP, for this machine alone.

use std::time::Duration;

use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use axum::{Json, Router};
use serde_json::json;
use tokio::net::TcpListener;
use tokio::sync::watch;

use super::Observer;
use crate::fleet::error_chain;

/// How long one answer may take.
const SERVE_TIMEOUT: Duration = Duration::from_secs(30);
/// How long the listener rests when the system has no descriptor left.
const REST: Duration = Duration::from_millis(100);

/// As the OpenMetrics standard names it.
pub const MEDIA_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Serves until `stop` becomes true.
pub async fn serve(listener: TcpListener, observer: Observer, mut stop: watch::Receiver<bool>) {
    let router = router(observer);
    loop {
        let accepted = tokio::select! {
            _stopped = stop.wait_for(|stop| *stop) => return,
            accepted = listener.accept() => accepted,
        };
        let stream = match accepted {
            Ok((stream, _from)) => stream,
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection for measures");
                tokio::time::sleep(REST).await;
                continue;
            }
        };
        let service = hyper_util::service::TowerToHyperService::new(router.clone());
        tokio::spawn(async move {
            let mut builder = hyper::server::conn::http1::Builder::new();
            builder.timer(hyper_util::rt::TokioTimer::new()).keep_alive(false);
            let served = builder.serve_connection(hyper_util::rt::TokioIo::new(stream), service);
            // Who asks is on this machine: one that goes away, or takes too long, is nobody's concern.
            drop(tokio::time::timeout(SERVE_TIMEOUT, served).await);
        });
    }
}

fn router(observer: Observer) -> Router {
    Router::new()
        .route("/metrics", get(metrics))
        .route("/healthz", get(live))
        .route("/readyz", get(ready))
        .with_state(observer)
}

/// Everything that is measured.
pub async fn metrics(State(observer): State<Observer>) -> Response {
    match observer.metrics().await {
        Ok(text) => ([(CONTENT_TYPE, MEDIA_TYPE)], text).into_response(),
        Err(error) => {
            tracing::error!(error = error_chain(&error), "cannot measure");
            StatusCode::SERVICE_UNAVAILABLE.into_response()
        }
    }
}

/// 200 while the process lives, else 503.
pub async fn live(State(observer): State<Observer>) -> Response {
    let live = observer.is_live();
    let status = if live { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(json!({ "live": live, "version": env!("CARGO_PKG_VERSION") }))).into_response()
}

/// 200 when it can work, else 503, with what keeps it from that.
pub async fn ready(State(observer): State<Observer>) -> Response {
    let health = observer.health().await;
    let status = if health.ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(&*health)).into_response()
}
