//! `GET /incidents/{id}/export` and `GET /export`: incidents as a file for other programs (docs/export.md).
//! `GET /metrics`: measures, for who watches from another machine.
#![expect(unused_qualifications, reason = "what utoipa makes of `params`")]

use axum::Extension;
use axum::body::Body;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, State};
use axum::http::header::{CONTENT_DISPOSITION, CONTENT_TYPE, HeaderName};
use axum::http::{HeaderValue, Uri};
use axum::response::{IntoResponse as _, Response};
use sekimori_wire::finding::Severity;
use sekimori_wire::id::BodyCode;
use serde::Deserialize;
use utoipa::{IntoParams, OpenApi};

use super::Caller;
use super::problem::ApiError;
use crate::clock::now;
use crate::console::{Console, chain};
use crate::export::{By, ExportError, File, Format, Order, Settings, Table, Which, export};
use crate::incident::IncidentCategory;
use crate::observe::{Observer, routes::MEDIA_TYPE};
use crate::query::{Entity, Query as Asking};
use crate::store::view::{IncidentFilter, Order as Sorted, Scope};

/// How many incidents and findings that match are not in the file.
const LEFT_OUT: HeaderName = HeaderName::from_static("sekimori-left-out");

/// What is here.
#[derive(OpenApi)]
#[openapi(paths(one, matching, metrics))]
pub(super) struct Part;

/// How it is to be written.
#[derive(Clone, Copy, Debug, Default, Deserialize, IntoParams)]
#[serde(default, deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct OneAsked {
    /// `stix` (as a rule), `ocsf` or `csv`.
    #[param(inline)]
    format: Format,
    /// Of `csv`: `findings` (as a rule) or `incidents`.
    #[param(inline)]
    table: Option<Table>,
    /// Of `csv`: begin with a byte order mark, for spreadsheets.
    bom: bool,
}

/// How it is to be written, and which incidents.
#[derive(Clone, Debug, Default, Deserialize, IntoParams)]
#[serde(default, deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct MatchingAsked {
    /// `stix` (as a rule), `ocsf` or `csv`.
    #[param(inline)]
    format: Format,
    /// Of `csv`: `incidents` (as a rule) or `findings`.
    #[param(inline)]
    table: Option<Table>,
    /// Of `csv`: begin with a byte order mark, for spreadsheets.
    bom: bool,
    /// At least this bad.
    #[param(maximum = 4)]
    severity: Option<u8>,
    category: Option<IncidentCategory>,
    /// 団体コード; also wide-area incidents with this body in them.
    #[param(min_length = 6, max_length = 6, pattern = "^[0-9]{6}$")]
    body: Option<String>,
    /// `open` (as a rule) or `all`.
    #[param(max_length = 4, pattern = "^(open|all)$")]
    scope: Option<String>,
    /// `newest` (as a rule) or `worst` first.
    #[param(max_length = 6, pattern = "^(newest|worst)$")]
    order: Option<String>,
    /// In the query language: `severity>=3 state:detected -category:scan`.
    #[param(max_length = 2000)]
    q: Option<String>,
}

type Asked<T> = Result<Query<T>, QueryRejection>;

fn asked<T>(asked: Asked<T>) -> Result<T, ApiError> {
    asked.map(|Query(asked)| asked).map_err(|cause| ApiError::BadRequest(cause.body_text()))
}

impl MatchingAsked {
    fn filter(&self) -> Result<IncidentFilter, ApiError> {
        let bad = |why: &str| ApiError::BadRequest(why.to_owned());
        let query = Asking::parse(self.q.as_deref().unwrap_or_default(), Entity::Incidents, now())
            .map_err(|error| bad(&format!("q: {error}")))?;
        let severity = match self.severity {
            Some(level) => Some(Severity::new(level).ok_or_else(|| bad("severity: 0 to 4"))?),
            None => None,
        };
        if self.body.as_ref().is_some_and(|body| body.parse::<BodyCode>().is_err()) {
            return Err(bad("body: no 団体コード"));
        }
        Ok(IncidentFilter {
            severity,
            category: self.category,
            body: self.body.clone(),
            scope: match self.scope.as_deref() {
                None | Some("open") => Scope::Open,
                Some("all") => Scope::All,
                Some(_) => return Err(bad("scope: open or all")),
            },
            order: match self.order.as_deref() {
                None | Some("newest") => Sorted::Newest,
                Some("worst") => Sorted::Worst,
                Some(_) => return Err(bad("order: newest or worst")),
            },
            page: 1,
            asked: Some(query).filter(|query| !query.is_empty()),
            after: None,
            rows: None,
        })
    }
}

/// What the configuration says of exports.
type Configured = Option<Extension<Settings>>;

impl From<ExportError> for ApiError {
    fn from(error: ExportError) -> Self {
        match error {
            ExportError::Store(cause) => cause.into(),
            ExportError::Table(_) | ExportError::Interrupted => {
                tracing::error!(error = %chain(&error), "an export failed");
                Self::Failed
            }
        }
    }
}

/// An incident as a file: a STIX 2.1 bundle, OCSF events, or a table.
#[utoipa::path(
    get, path = "/api/v1/incidents/{id}/export", tag = "export", operation_id = "export_incident",
    params(("id" = String, Path, description = "The incident"), OneAsked),
    responses((status = 200, description = "The file; it is in the audit log", content(
        (serde_json::Value = "application/stix+json"), (String = "application/x-ndjson"), (String = "text/csv")
    )))
)]
pub(super) async fn one(
    State(console): State<Console>,
    caller: Caller,
    Path(id): Path<String>,
    wanted: Asked<OneAsked>,
    configured: Configured,
) -> Result<Response, ApiError> {
    let OneAsked { format, table, bom } = asked(wanted)?;
    let table = table.unwrap_or(Table::Findings);
    give(&console, &caller, Which::Incident(id), (format, table, bom), configured).await
}

/// The incidents that these filters let through, as a file.
#[utoipa::path(
    get, path = "/api/v1/export", tag = "export", operation_id = "export_incidents", params(MatchingAsked),
    responses((status = 200, description = "The file; it is in the audit log", content(
        (serde_json::Value = "application/stix+json"), (String = "application/x-ndjson"), (String = "text/csv")
    )))
)]
pub(super) async fn matching(
    State(console): State<Console>,
    caller: Caller,
    uri: Uri,
    wanted: Asked<MatchingAsked>,
    configured: Configured,
) -> Result<Response, ApiError> {
    let wanted = asked(wanted)?;
    let which = Which::Matching(Box::new(wanted.filter()?), uri.query().unwrap_or_default().to_owned());
    let how = (wanted.format, wanted.table.unwrap_or(Table::Incidents), wanted.bom);
    give(&console, &caller, which, how, configured).await
}

async fn give(
    console: &Console,
    caller: &Caller,
    which: Which,
    (format, table, bom): (Format, Table, bool),
    configured: Configured,
) -> Result<Response, ApiError> {
    let settings = configured.map(|Extension(settings)| settings).unwrap_or_default();
    let order = Order { format, table, bom, settings };
    let by = By { actor: caller.user.name.as_str().to_owned(), role: caller.user.role.as_str().to_owned() };
    let file = export(console.seen_by(&caller.user), &which, order, by).await?;
    Ok(download(file.ok_or(ApiError::NotFound)?))
}

fn download(file: File) -> Response {
    let mut response = Response::new(Body::from(file.bytes));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(file.media_type));
    if let Ok(name) = HeaderValue::from_str(&format!("attachment; filename=\"{}\"", file.name)) {
        headers.insert(CONTENT_DISPOSITION, name);
    }
    headers.insert(LEFT_OUT, HeaderValue::from(file.left_out));
    response
}

/// Measures of the collector, for Prometheus: for whoever sees all.
#[utoipa::path(
    get, path = "/api/v1/metrics", tag = "about",
    responses((status = 200, description = "Measures (OpenMetrics 1.0)", content((String = "application/openmetrics-text"))))
)]
pub(super) async fn metrics(
    caller: Caller,
    observer: Option<Extension<Observer>>,
) -> Result<Response, ApiError> {
    // They count everybody's.
    let observer = observer.filter(|_| caller.user.scope.is_all()).ok_or(ApiError::NotFound)?;
    let text = observer.metrics().await?;
    Ok(([(CONTENT_TYPE, MEDIA_TYPE)], text).into_response())
}
