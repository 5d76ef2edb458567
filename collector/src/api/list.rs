//! Lists: a page at a time, in an order that stays as it is while one reads.

use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use sekimori_wire::finding::Severity;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use utoipa::{IntoParams, ToSchema};

use super::problem::ApiError;
use super::{Caller, cursor, schema, shape};
use crate::clock::{now, stored};
use crate::console::Console;
use crate::incident::IncidentCategory;
use crate::query::{Entity, Query as Asking};
use crate::store::view::{After, IncidentFilter, IncidentView, Order, PAGE_ROWS, Scope};

/// Rows of one page, at most.
const ROWS_MAX: u32 = 200;
/// Agents of one page, at most, and unless fewer are asked for.
const AGENTS_MAX: u32 = 5_000;
/// Last page that can be asked for by number.
const PAGE_MAX: u32 = 100_000;

/// Which incidents.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum Which {
    #[default]
    Open,
    All,
}

/// In which order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum By {
    #[default]
    Newest,
    Worst,
}

/// What is asked of the list of incidents.
#[derive(Clone, Debug, Default, Serialize, Deserialize, IntoParams)]
#[serde(default, deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct IncidentsAsked {
    /// At least this bad.
    #[param(maximum = 4)]
    severity: Option<u8>,
    category: Option<IncidentCategory>,
    /// 団体コード; also wide-area incidents with this body in them.
    #[param(max_length = 64)]
    body: Option<String>,
    /// `open` (as a rule) or `all`.
    #[param(inline)]
    scope: Option<Which>,
    /// `newest` (as a rule) or `worst` first.
    #[param(inline)]
    order: Option<By>,
    /// In the query language: `severity>=3 state:detected -category:scan`.
    #[param(max_length = 2000)]
    q: Option<String>,
    /// What `next` of the page before said.
    #[param(max_length = 512)]
    cursor: Option<String>,
    /// Rows of a page; 50 unless said otherwise.
    #[param(minimum = 1, maximum = 200)]
    limit: Option<u32>,
    /// A page by its number, from 1. Incidents that open meanwhile move its rows: `cursor` does not have that.
    #[param(minimum = 1, maximum = 100000)]
    page: Option<u32>,
}

/// What is asked of other lists.
#[derive(Clone, Debug, Default, Deserialize, IntoParams)]
#[serde(default, deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct PageAsked {
    /// What `next` of the page before said.
    #[param(max_length = 512)]
    cursor: Option<String>,
    /// Rows of a page; 50 unless said otherwise.
    #[param(minimum = 1, maximum = 200)]
    limit: Option<u32>,
}

/// What is asked of the list of agents.
#[derive(Clone, Debug, Default, Deserialize, IntoParams)]
#[serde(default, deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct AgentsAsked {
    /// What `next` of the page before said.
    #[param(max_length = 512)]
    cursor: Option<String>,
    /// Agents of a page; 5,000 unless said otherwise.
    #[param(minimum = 1, maximum = 5000)]
    limit: Option<u32>,
}

/// What the query of an address says, or why it says nothing.
type Asked<T> = Result<Query<T>, QueryRejection>;

fn asked<T>(asked: Asked<T>) -> Result<T, ApiError> {
    asked.map(|Query(asked)| asked).map_err(|cause| ApiError::BadRequest(cause.body_text()))
}

fn within(name: &str, value: Option<u32>, usual: u32, most: u32) -> Result<u32, ApiError> {
    let value = value.unwrap_or(usual);
    let fits = (1..=most).contains(&value);
    if fits { Ok(value) } else { Err(ApiError::BadRequest(format!("{name}: 1 to {most}"))) }
}

impl IncidentsAsked {
    /// Everything that a cursor belongs to.
    fn question(&self) -> String {
        let rest = Self { cursor: None, limit: None, page: None, ..self.clone() };
        serde_json::to_string(&rest).unwrap_or_default()
    }

    fn filter(&self) -> Result<IncidentFilter, ApiError> {
        let bad = |why: String| ApiError::BadRequest(why);
        let query = Asking::parse(self.q.as_deref().unwrap_or_default(), Entity::Incidents, now())
            .map_err(|error| bad(format!("q: {error}")))?;
        let severity = match self.severity {
            Some(level) => Some(Severity::new(level).ok_or_else(|| bad("severity: 0 to 4".to_owned()))?),
            None => None,
        };
        if self.cursor.is_some() && self.page.is_some() {
            return Err(bad("cursor, page: one of the two".to_owned()));
        }
        let after = match &self.cursor {
            Some(cursor) => {
                let [severity, opened_at, id] = cursor::read(&self.question(), cursor)?;
                Some(After {
                    severity: cursor::number(&severity)?,
                    opened_at: cursor::number(&opened_at)?,
                    id,
                })
            }
            None => None,
        };
        Ok(IncidentFilter {
            severity,
            category: self.category,
            body: self.body.clone(),
            scope: match self.scope.unwrap_or_default() {
                Which::Open => Scope::Open,
                Which::All => Scope::All,
            },
            order: match self.order.unwrap_or_default() {
                By::Newest => Order::Newest,
                By::Worst => Order::Worst,
            },
            page: within("page", self.page, 1, PAGE_MAX)?,
            asked: Some(query).filter(|query| !query.is_empty()),
            after,
            rows: Some(within("limit", self.limit, PAGE_ROWS, ROWS_MAX)?),
        })
    }

    fn next(&self, last: &IncidentView) -> String {
        let key = [i64::from(last.severity.level()), stored(last.opened_at)].map(|part| part.to_string());
        let [severity, opened_at] = key;
        cursor::write(&self.question(), &[severity, opened_at, last.id.clone()])
    }
}

/// Incidents, a page at a time.
#[utoipa::path(
    get, path = "/api/v1/incidents", tag = "incidents", params(IncidentsAsked),
    responses((status = 200, description = "A page of incidents", body = schema::IncidentPage))
)]
pub(super) async fn incidents(
    State(console): State<Console>,
    caller: Caller,
    query: Asked<IncidentsAsked>,
) -> Result<Json<Value>, ApiError> {
    let asked = asked(query)?;
    let filter = asked.filter()?;
    let (rows, total) = console.seen_by(&caller.user).incidents(&filter).await?;
    let full = u32::try_from(rows.len()).ok() == filter.rows;
    let next = rows.last().filter(|_| full).map(|last| asked.next(last));
    let rows: Vec<Value> = rows.iter().map(shape::incident).collect();
    Ok(Json(json!({ "incidents": rows, "total": total, "page": filter.page, "next": next })))
}

/// Agents, by body and name.
#[utoipa::path(
    get, path = "/api/v1/agents", tag = "agents", params(AgentsAsked),
    responses((status = 200, description = "A page of agents", body = schema::AgentPage))
)]
pub(super) async fn agents(
    State(console): State<Console>,
    caller: Caller,
    query: Asked<AgentsAsked>,
) -> Result<Json<Value>, ApiError> {
    let asked = asked(query)?;
    let most = usize::try_from(within("limit", asked.limit, AGENTS_MAX, AGENTS_MAX)?).unwrap_or(usize::MAX);
    let mut agents = console.seen_by(&caller.user).agents().await?;
    // Of the program's own order, not the database's.
    agents.sort_by(|a, b| (&a.body, &a.name, &a.id).cmp(&(&b.body, &b.name, &b.id)));
    if let Some(cursor) = &asked.cursor {
        let [body, name, id] = cursor::read("agents", cursor)?;
        agents.retain(|one| (&one.body, &one.name, &one.id) > (&body, &name, &id));
    }
    let more = agents.len() > most;
    agents.truncate(most);
    let last = agents.last().filter(|_| more);
    let next = last.map(|one| cursor::write("agents", &[one.body.clone(), one.name.clone(), one.id.clone()]));
    let agents: Vec<Value> = agents.iter().map(shape::agent).collect();
    Ok(Json(json!({ "agents": agents, "next": next })))
}
