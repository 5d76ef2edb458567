//! The page of an indicator: in which bodies it was seen, from when to when, in which incidents.

use askama::Template;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use serde::Deserialize;

use super::incidents::Row;
use super::page::{Page, When, failed, number, query_value, render, shown};
use super::{Console, Visitor, host};
use crate::audit::Entry;
use crate::clock::now;
use crate::correlate::rule::IndicatorKind;
use crate::i18n::Lang;
use crate::store::StoreError;
use crate::store::seen::{ExportIndicator, IndicatorBody, IndicatorView, Seen};

/// Indicators that the page of an incident names.
const OF_INCIDENT: usize = 50;

/// An indicator on the page of an incident.
#[derive(Debug)]
pub(super) struct Shown {
    pub(super) kind: String,
    pub(super) value: String,
    pub(super) href: String,
}

/// What an incident that is seen has in common with others, if they have it.
///
/// # Errors
/// If the store fails.
pub(super) async fn of_incident(lang: Lang, seen: Seen<'_>, id: &str) -> Result<Vec<Shown>, StoreError> {
    let mut all = seen.export_indicators(id, OF_INCIDENT).await?;
    // Of a wide-area incident every child has its own.
    all.dedup_by(|one, other| one.kind == other.kind && one.value == other.value);
    let one = |one: ExportIndicator| {
        let kind = IndicatorKind::from_name(&one.kind)?;
        let href = format!("/indicators?kind={}&value={}", kind.as_str(), query_value(&one.value));
        Some(Shown { kind: label(lang, kind), value: shown(&one.value), href })
    };
    Ok(all.into_iter().filter_map(one).collect())
}

/// What a kind is called.
fn label(lang: Lang, kind: IndicatorKind) -> String {
    match kind {
        IndicatorKind::Address => lang.text("indicator-address"),
        IndicatorKind::Domain => lang.text("indicator-domain"),
        IndicatorKind::Ja4 => lang.text("indicator-ja4"),
        IndicatorKind::Certificate => lang.text("indicator-certificate"),
        IndicatorKind::File => lang.text("indicator-file"),
    }
}

/// What is asked for, as in the address of the page.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Asked {
    kind: String,
    value: String,
}

#[derive(Debug)]
struct BodyRow {
    code: String,
    name: String,
    incidents: String,
    findings: String,
    first: When,
    last: When,
}

#[derive(Template)]
#[template(path = "indicator.html")]
struct IndicatorPage {
    page: Page,
    kinds: Vec<(&'static str, String, bool)>,
    value: String,
    /// What it is, and its value; `None`: nothing is asked yet, or what is asked is no indicator.
    found: Option<(String, String)>,
    wrong: bool,
    bodies: Vec<BodyRow>,
    rows: Vec<Row>,
    more: bool,
    /// Of an address: the page of it.
    host: Option<String>,
    /// Findings that name it.
    search: String,
}

/// `GET /indicators`.
pub(super) async fn show(
    State(console): State<Console>,
    visitor: Visitor,
    Query(asked): Query<Asked>,
) -> Response {
    let kind = IndicatorKind::from_name(&asked.kind);
    let mut page = IndicatorPage::new(Page::new(&visitor, "search"), kind, &asked.value);
    if asked.kind.is_empty() && asked.value.trim().is_empty() {
        return render(&page);
    }
    let Some((kind, value)) = kind.and_then(|kind| Some((kind, kind.normal(&asked.value)?))) else {
        page.wrong = true;
        return (StatusCode::BAD_REQUEST, render(&page)).into_response();
    };
    let entry = Entry {
        at: now(),
        actor: visitor.user.name.to_string(),
        role: visitor.user.role.as_str().to_owned(),
        action: "search:indicator".to_owned(),
        reason: format!("{} {value}", kind.as_str()),
        ..Entry::default()
    };
    if let Err(cause) = console.everything().audit(entry).await {
        return failed(visitor.lang, &cause);
    }
    let seen = console.seen_by(&visitor.user);
    let (view, names) = match (seen.indicator(kind, &value).await, seen.bodies().await) {
        (Ok(view), Ok(names)) => (view, names),
        (Err(cause), _) | (_, Err(cause)) => return failed(visitor.lang, &cause),
    };
    page.fill(kind, &value, view, &names);
    render(&page)
}

impl IndicatorPage {
    fn new(page: Page, kind: Option<IndicatorKind>, value: &str) -> Self {
        let one = |one: IndicatorKind| (one.as_str(), label(page.lang, one), Some(one) == kind);
        Self {
            kinds: IndicatorKind::ALL.map(one).to_vec(),
            page,
            value: value.to_owned(),
            found: None,
            wrong: false,
            bodies: Vec::new(),
            rows: Vec::new(),
            more: false,
            host: None,
            search: String::new(),
        }
    }

    fn fill(&mut self, kind: IndicatorKind, value: &str, view: IndicatorView, names: &[(String, String)]) {
        let body = |one: &IndicatorBody| BodyRow {
            name: names
                .iter()
                .find(|(code, _)| *code == one.body)
                .map(|(_, name)| shown(name))
                .unwrap_or_default(),
            code: shown(&one.body),
            incidents: number(one.incidents),
            findings: number(one.findings),
            first: When::from(one.first),
            last: When::from(one.last),
        };
        self.bodies = view.bodies.iter().map(body).collect();
        self.rows = view.incidents.into_iter().map(|view| Row::new(&self.page, view)).collect();
        self.more = view.more;
        if kind == IndicatorKind::Address {
            self.host = host::link(value, "");
        }
        self.search = format!("/search?kind=findings&q={}", query_value(&format!("\"{value}\"")));
        self.found = Some((label(self.page.lang, kind), shown(value)));
    }
}
