//! `GET /api/v1/search/{flows,findings,alerts}`: stored flow summaries, findings and endpoint alerts, newest first.
#![expect(unused_qualifications, reason = "what utoipa makes of `params`")]

use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::{IntoParams, OpenApi, ToSchema};

use super::Caller;
use super::problem::ApiError;
use super::schema::Mode;
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

/// What is searched for. An empty parameter is as good as none.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(default, deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct SearchAsked {
    /// In the query language: `address:10.1.0.0/16 port:443 -server:*.lg.jp`. Everything if it is left out.
    #[param(max_length = 2000)]
    q: Option<String>,
    /// Event time from here on, as in a query: `2026-11-22` (a day of Japan), `2026-11-22T10:30`, with `Z` or `+09:00`,
    /// `today`, `-24h`.
    #[param(max_length = 64)]
    from: Option<String>,
    /// Event time up to here; a day or a minute that is named counts as a whole.
    #[param(max_length = 64)]
    to: Option<String>,
    /// What `next` of the page before said.
    #[param(max_length = 512)]
    cursor: Option<String>,
    /// Rows of a page; 100 unless said otherwise.
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<u32>,
}

/// Stored flow summaries, newest first.
#[utoipa::path(
    get, path = "/api/v1/search/flows", tag = "search", params(SearchAsked), operation_id = "search_flows",
    responses((status = 200, description = "A page of what was found", body = FlowHits))
)]
pub(super) async fn flows(
    console: State<Console>,
    caller: Caller,
    query: Result<Query<SearchAsked>, QueryRejection>,
) -> Result<Json<Value>, ApiError> {
    answer(console, caller, query, Kind::Flows).await
}

/// Stored findings, newest first.
#[utoipa::path(
    get, path = "/api/v1/search/findings", tag = "search", params(SearchAsked), operation_id = "search_findings",
    responses((status = 200, description = "A page of what was found", body = FindingHits))
)]
pub(super) async fn findings(
    console: State<Console>,
    caller: Caller,
    query: Result<Query<SearchAsked>, QueryRejection>,
) -> Result<Json<Value>, ApiError> {
    answer(console, caller, query, Kind::Findings).await
}

/// Stored endpoint alerts, newest first.
#[utoipa::path(
    get, path = "/api/v1/search/alerts", tag = "search", params(SearchAsked), operation_id = "search_alerts",
    responses((status = 200, description = "A page of what was found", body = AlertHits))
)]
pub(super) async fn alerts(
    console: State<Console>,
    caller: Caller,
    query: Result<Query<SearchAsked>, QueryRejection>,
) -> Result<Json<Value>, ApiError> {
    answer(console, caller, query, Kind::Alerts).await
}

async fn answer(
    State(console): State<Console>,
    caller: Caller,
    query: Result<Query<SearchAsked>, QueryRejection>,
    kind: Kind,
) -> Result<Json<Value>, ApiError> {
    let Query(SearchAsked { q, from, to, cursor, limit }) =
        query.map_err(|cause| ApiError::BadRequest(cause.body_text()))?;
    let asked = Asked {
        q: q.unwrap_or_default(),
        from: from.unwrap_or_default(),
        to: to.unwrap_or_default(),
        cursor: cursor.unwrap_or_default(),
        limit: limit.map(|limit| limit.to_string()).unwrap_or_default(),
    };
    let search = asked.search(kind, now())?;
    console.note_search(&caller.user, kind, &asked).await?;
    let hits = kind.find(console.seen_by(&caller.user), &search).await?;
    let next = hits.next().map_or(Value::Null, |next| next.to_string().into());
    Ok(Json(Value::Object(Map::from_iter([
        (kind.as_str().to_owned(), hits.rows().into()),
        ("next".to_owned(), next),
    ]))))
}

/// What this module brings to the document.
#[derive(OpenApi)]
#[openapi(paths(flows, findings, alerts))]
pub(super) struct Search;

/// A flow summary.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct FlowFound {
    /// 団体コード.
    body: String,
    #[schema(format = DateTime)]
    start: String,
    #[schema(format = DateTime)]
    end: String,
    originator: String,
    originator_port: i64,
    responder: String,
    responder_port: i64,
    /// IANA number.
    protocol: i64,
    /// By content, or empty.
    application: String,
    /// By content, or empty.
    server_name: String,
    /// Or empty.
    ja4: String,
    /// Zeek's `conn_state`.
    state: String,
    originator_packets: i64,
    originator_bytes: i64,
    responder_packets: i64,
    responder_bytes: i64,
    segment: Option<String>,
    /// Version 1.
    community_id: String,
    /// Which agent saw it.
    agent: String,
}

/// Flow summaries that were found, newest first.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct FlowHits {
    #[schema(max_items = 1000)]
    flows: Vec<FlowFound>,
    /// Ask for what follows with this as `cursor`; null at the end.
    next: Option<String>,
}

/// A finding that was found.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct FindingFound {
    id: String,
    /// 団体コード.
    body: String,
    #[schema(format = DateTime)]
    time: String,
    /// The incident that it belongs to.
    incident: Option<String>,
    agent: String,
    mode: Mode,
    /// As the agent said it: category, severity, addresses, title, explanation, evidence, technique.
    #[schema(value_type = Object)]
    finding: Map<String, Value>,
}

/// Findings that were found, newest first.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct FindingHits {
    #[schema(max_items = 1000)]
    findings: Vec<FindingFound>,
    /// Ask for what follows with this as `cursor`; null at the end.
    next: Option<String>,
}

/// An endpoint alert that was found.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct AlertFound {
    id: String,
    /// 団体コード.
    body: String,
    #[schema(format = DateTime)]
    time: String,
    /// The incident that its finding belongs to.
    incident: Option<String>,
    agent: String,
    /// As the agent said it: product, class, severity, host, action, the original line.
    #[schema(value_type = Object)]
    alert: Map<String, Value>,
}

/// Endpoint alerts that were found, newest first.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct AlertHits {
    #[schema(max_items = 1000)]
    alerts: Vec<AlertFound>,
    /// Ask for what follows with this as `cursor`; null at the end.
    next: Option<String>,
}
