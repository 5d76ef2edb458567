//! `GET /incidents/{id}/export` and `GET /export`: incidents as a file for other programs (docs/export.md).

use axum::Extension;
use axum::body::Body;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, State};
use axum::http::header::{CONTENT_DISPOSITION, CONTENT_TYPE, HeaderName};
use axum::http::{HeaderValue, Uri};
use axum::response::Response;
use serde::Deserialize;

use super::Caller;
use super::problem::ApiError;
use crate::console::{Asked, Console, chain};
use crate::export::{By, ExportError, File, Format, Order, Settings, Table, Which, export};

/// How many incidents and findings that match are not in the file.
const LEFT_OUT: HeaderName = HeaderName::from_static("sekimori-left-out");

/// How it is to be written.
#[derive(Debug, Deserialize)]
pub(super) struct Wanted {
    #[serde(default)]
    format: Format,
    /// Of `csv`; by itself the findings of one incident, the incidents of a list.
    table: Option<Table>,
    #[serde(default)]
    bom: bool,
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

/// `GET /incidents/{id}/export`.
pub(super) async fn one(
    State(console): State<Console>,
    caller: Caller,
    Path(id): Path<String>,
    wanted: Result<Query<Wanted>, QueryRejection>,
    configured: Configured,
) -> Result<Response, ApiError> {
    give(&console, &caller, Which::Incident(id), wanted, (configured, Table::Findings)).await
}

/// `GET /export`: those that the filters of `GET /incidents` let through.
pub(super) async fn matching(
    State(console): State<Console>,
    caller: Caller,
    uri: Uri,
    Query(asked): Query<Asked>,
    wanted: Result<Query<Wanted>, QueryRejection>,
    configured: Configured,
) -> Result<Response, ApiError> {
    let filter = asked.filter().map_err(|error| ApiError::BadRequest(format!("q: {error}")))?;
    let which = Which::Matching(Box::new(filter), uri.query().unwrap_or_default().to_owned());
    give(&console, &caller, which, wanted, (configured, Table::Incidents)).await
}

async fn give(
    console: &Console,
    caller: &Caller,
    which: Which,
    wanted: Result<Query<Wanted>, QueryRejection>,
    (configured, table): (Configured, Table),
) -> Result<Response, ApiError> {
    let Query(wanted) = wanted.map_err(|cause| ApiError::BadRequest(cause.body_text()))?;
    let order = Order {
        format: wanted.format,
        table: wanted.table.unwrap_or(table),
        bom: wanted.bom,
        settings: configured.map(|Extension(settings)| settings).unwrap_or_default(),
    };
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
