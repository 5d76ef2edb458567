//! The few files that pages load: style, script, mark. Compiled in; nothing comes from elsewhere.

use std::sync::LazyLock;

use axum::extract::{Path, Query};
use axum::http::StatusCode;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::response::{IntoResponse as _, Response};
use sekimori_wire::id::Digest;
use serde::Deserialize;

const FILES: [(&str, &str, &str); 3] = [
    ("console.css", "text/css; charset=utf-8", include_str!("../../assets/console.css")),
    ("console.js", "text/javascript; charset=utf-8", include_str!("../../assets/console.js")),
    ("mark.svg", "image/svg+xml", include_str!("../../assets/mark.svg")),
];

static VERSION: LazyLock<String> = LazyLock::new(|| {
    let all: String = FILES.iter().map(|(_, _, text)| *text).collect();
    Digest::of(all.as_bytes()).to_string().chars().take(12).collect()
});

/// Changes when a file changes: part of their addresses, so that browsers may keep them.
pub(super) fn version() -> &'static str {
    &VERSION
}

/// The version that a page asked for.
#[derive(Debug, Deserialize)]
pub(super) struct Asked {
    #[serde(default)]
    v: String,
}

/// `GET /assets/{name}`.
pub(super) async fn asset(Path(name): Path<String>, Query(Asked { v }): Query<Asked>) -> Response {
    let Some((_, kind, text)) = FILES.iter().find(|(file, _, _)| *file == name) else {
        return StatusCode::NOT_FOUND.into_response();
    };
    let keep = if v == version() { "public, max-age=31536000, immutable" } else { "no-cache" };
    ([(CONTENT_TYPE, *kind), (CACHE_CONTROL, keep)], *text).into_response()
}
