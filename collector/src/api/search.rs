//! `GET /api/v1/search/{flows,findings,alerts}`: stored flow summaries, findings and endpoint alerts, newest first.

use axum::Json;
use axum::extract::{Query, State};
use serde_json::{Map, Value};

use super::Caller;
use super::problem::ApiError;
use crate::clock::now;
use crate::console::Console;
use crate::search::{AskError, Asked, Kind};
use crate::store::search::SearchError;

impl From<AskError> for ApiError {
    fn from(error: AskError) -> Self {
        Self::BadRequest(error.to_string())
    }
}

impl From<SearchError> for ApiError {
    fn from(error: SearchError) -> Self {
        match error {
            SearchError::TooSlow => Self::TooSlow,
            SearchError::Store(cause) => cause.into(),
        }
    }
}

/// `GET /api/v1/search/flows`.
pub(super) async fn flows(
    console: State<Console>,
    caller: Caller,
    asked: Query<Asked>,
) -> Result<Json<Value>, ApiError> {
    answer(console, caller, asked, Kind::Flows).await
}

/// `GET /api/v1/search/findings`.
pub(super) async fn findings(
    console: State<Console>,
    caller: Caller,
    asked: Query<Asked>,
) -> Result<Json<Value>, ApiError> {
    answer(console, caller, asked, Kind::Findings).await
}

/// `GET /api/v1/search/alerts`.
pub(super) async fn alerts(
    console: State<Console>,
    caller: Caller,
    asked: Query<Asked>,
) -> Result<Json<Value>, ApiError> {
    answer(console, caller, asked, Kind::Alerts).await
}

async fn answer(
    State(console): State<Console>,
    caller: Caller,
    Query(asked): Query<Asked>,
    kind: Kind,
) -> Result<Json<Value>, ApiError> {
    let search = asked.search(kind, now())?;
    console.note_search(&caller.user, kind, &asked).await?;
    let hits = kind.find(console.seen_by(&caller.user), &search).await?;
    let next = hits.next().map_or(Value::Null, |next| next.to_string().into());
    Ok(Json(Value::Object(Map::from_iter([
        (kind.as_str().to_owned(), hits.rows().into()),
        ("next_cursor".to_owned(), next),
    ]))))
}
