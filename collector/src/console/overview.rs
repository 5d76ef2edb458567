//! What needs somebody now.

use askama::Template;
use axum::extract::State;
use axum::response::Response;
use sekimori_wire::finding::Severity;

use super::agents::{AgentRow, Attention};
use super::exceptions::{Broken, ExceptionRow};
use super::incidents::Row;
use super::intake::Turned;
use super::page::{Page, failed, number, render};
use super::{Console, Visitor};
use crate::store::StoreError;
use crate::store::view::{IncidentFilter, Order};

/// Incidents shown.
const ROWS: usize = 12;

#[derive(Template)]
#[template(path = "overview.html")]
struct OverviewPage {
    page: Page,
    tiles: Vec<Tile>,
    rows: Vec<Row>,
    open: String,
    agents: Vec<AgentRow>,
    agents_total: String,
    counters: Vec<(String, String)>,
    turned: Vec<Turned>,
    broken: Option<Broken>,
    ending: Vec<ExceptionRow>,
    /// 予兆 of the last day.
    below: String,
    /// Incident, last day, how many.
    overdue: Vec<(String, String, i64)>,
}

/// How many open incidents of one severity.
#[derive(Debug)]
struct Tile {
    level: u8,
    label: String,
    count: i64,
}

/// `GET /`.
pub(super) async fn overview(State(console): State<Console>, visitor: Visitor) -> Response {
    match read(&console, &visitor).await {
        Ok(page) => render(&page),
        Err(cause) => failed(visitor.lang, &cause),
    }
}

async fn read(console: &Console, visitor: &Visitor) -> Result<OverviewPage, StoreError> {
    let page = Page::new(visitor, "overview");
    let lang = page.lang;
    let seen = console.seen_by(&visitor.user);
    let filter = IncidentFilter { order: Order::Worst, page: 1, ..IncidentFilter::default() };
    let (views, open) = seen.incidents(&filter).await?;
    let levels = (0..=4).rev().filter_map(Severity::new);
    let tiles = levels.zip(seen.open_by_severity().await?.into_iter().rev());
    let agents = seen.agents().await?;
    let agents_total = lang.with("total-agents", agents.len());
    let counters = seen.counters().await?.unwrap_or_default();
    let turned = seen.rejections().await?.unwrap_or_default();
    let counted = |prefix: &str| -> i64 {
        counters.iter().filter(|(name, _)| name.starts_with(prefix)).map(|(_, value)| value).sum()
    };
    let exceptions = seen.exceptions().await?;
    Ok(OverviewPage {
        below: number(seen.below_incidents(page.now).await?),
        overdue: seen.overdue(page.now).await?,
        broken: Broken::new(seen.exceptions_read().await?),
        ending: exceptions
            .iter()
            .map(|view| ExceptionRow::new(&page, view))
            .filter(|row| row.ending)
            .collect(),
        tiles: tiles
            .map(|(severity, count)| Tile { level: severity.level(), label: lang.severity(severity), count })
            .collect(),
        rows: views.into_iter().take(ROWS).map(|view| Row::new(&page, view)).collect(),
        open: lang.with("total-incidents", open),
        agents: agents
            .into_iter()
            .map(|agent| AgentRow::new(&page, agent))
            .filter(|agent| !matches!(agent.attention, Attention::Nothing | Attention::Replayed))
            .collect(),
        agents_total,
        counters: [
            (lang.text("counter-batches_stored"), counted("batches_stored")),
            (lang.text("counter-batches_repeated"), counted("batches_repeated")),
            (lang.text("counter-refused"), counted("refused.")),
            (lang.text("counter-tls-failed"), counted("tls.failed")),
        ]
        .map(|(label, count)| (label, number(count)))
        .to_vec(),
        turned: turned.iter().take(5).map(|peer| Turned::new(&page, peer)).collect(),
        page,
    })
}
