//! The list of incidents and its filters.

use askama::Template;
use axum::extract::{Query, State};
use axum::response::Response;
use sekimori_wire::finding::Severity;
use serde::Deserialize;

use super::evidence::text;
use super::page::{Level, Mark, Page, When, failed, number, query_value, render, shown};
use super::{Console, Visitor};
use crate::clock::now;
use crate::i18n::Lang;
use crate::incident::{IncidentCategory, IncidentState};
use crate::query::{Entity, Query as Asking, QueryError};
use crate::store::StoreError;
use crate::store::view::{IncidentFilter, IncidentView, Order, PAGE_ROWS, Scope};

/// An incident in a table.
#[derive(Debug)]
pub(super) struct Row {
    pub(super) id: String,
    pub(super) level: Level,
    pub(super) category: &'static str,
    pub(super) subject: String,
    /// By which rule it was opened.
    pub(super) rule: String,
    pub(super) body: String,
    pub(super) code: String,
    pub(super) state: &'static str,
    pub(super) waiting: bool,
    pub(super) findings: String,
    pub(super) opened: When,
    pub(super) opened_ago: String,
    pub(super) parent: Option<String>,
    pub(super) children: i64,
    pub(super) from_endpoint: bool,
    /// Why it is marked as replayed, if it is.
    pub(super) replay: Option<String>,
    pub(super) signed: Mark,
    /// What a screen reader hears when it arrives.
    pub(super) say: String,
}

impl Row {
    pub(super) fn new(page: &Page, view: IncidentView) -> Self {
        let lang = page.lang;
        let level = Level::new(lang, view.severity);
        let category = lang.category(view.category);
        let wide = || lang.text("wide-area");
        let body = view.body_name.as_deref().map(shown).or_else(|| view.body.clone()).unwrap_or_else(wide);
        Self {
            say: format!("{} {category} {body}", level.label),
            category,
            body,
            level,
            subject: shown(&view.subject),
            rule: text(&view.reason, "rule"),
            code: view.body.unwrap_or_default(),
            state: lang.state(view.state),
            waiting: view.state == IncidentState::Detected,
            findings: number(view.findings),
            opened: When::from(view.opened_at),
            opened_ago: page.ago(view.opened_at),
            parent: view.parent,
            children: view.children,
            from_endpoint: view.sources.contains(&"endpoint_alert"),
            replay: view.replay.then(|| lang.text("tag-replay-title")),
            signed: if view.findings == 0 {
                Mark::none(lang.text("check-none"))
            } else if view.signed {
                Mark::ok(lang.text("signed")).titled(lang.text("signed-title"))
            } else {
                Mark::bad(lang.text("unsigned")).titled(lang.text("unsigned-title"))
            },
            id: view.id,
        }
    }
}

impl Row {
    /// The page about its subject, if that is an address.
    pub(super) fn host(&self) -> Option<String> {
        super::host::link(&self.subject, &self.code)
    }

    /// Where else its subject is to be looked for: flows, findings.
    pub(super) fn around(&self) -> Option<(String, String)> {
        super::search::around(&self.subject)
    }
}

/// A choice of a filter.
#[derive(Debug)]
struct Choice {
    value: String,
    label: String,
    chosen: bool,
}

#[derive(Template)]
#[template(path = "incidents.html")]
struct IncidentsPage {
    page: Page,
    rows: Vec<Row>,
    total: String,
    severities: Vec<Choice>,
    categories: Vec<Choice>,
    bodies: Vec<Choice>,
    scopes: Vec<Choice>,
    orders: Vec<Choice>,
    filtered: bool,
    /// Where the same list is as a file.
    export: String,
    /// As it was written.
    q: String,
    /// Why that is no query.
    wrong: Option<String>,
    this_page: u32,
    pages: u32,
    before: Option<String>,
    after: Option<String>,
}

/// Filters as in the address: everything unknown means "any".
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Asked {
    severity: String,
    category: String,
    body: String,
    scope: String,
    order: String,
    page: String,
    /// In the query language.
    q: String,
}

impl Asked {
    /// What to ask the store for.
    ///
    /// # Errors
    /// If the query is none: where, and why.
    pub fn filter(&self) -> Result<IncidentFilter, QueryError> {
        let asked = Asking::parse(&self.q, Entity::Incidents, now())?;
        Ok(IncidentFilter {
            severity: self.severity.parse().ok().and_then(Severity::new),
            category: IncidentCategory::from_name(&self.category),
            body: Some(self.body.clone()).filter(|body| !body.is_empty()),
            scope: if self.scope == "all" { Scope::All } else { Scope::Open },
            order: if self.order == "worst" { Order::Worst } else { Order::Newest },
            page: self.page.parse().unwrap_or(1).clamp(1, 100_000),
            asked: Some(asked).filter(|asked| !asked.is_empty()),
            after: None,
            rows: None,
        })
    }

    fn address(&self, page: u32) -> String {
        self.with_filters(format!("/incidents?page={page}"))
    }

    fn with_filters(&self, mut address: String) -> String {
        for (key, value) in [
            ("severity", &self.severity),
            ("category", &self.category),
            ("body", &self.body),
            ("scope", &self.scope),
            ("order", &self.order),
            ("q", &self.q),
        ] {
            if !value.is_empty() {
                address.push_str(&format!("&{key}={}", query_value(value)));
            }
        }
        address
    }
}

/// `GET /incidents`.
pub(super) async fn list(
    State(console): State<Console>,
    visitor: Visitor,
    Query(asked): Query<Asked>,
) -> Response {
    match read(&console, &visitor, &asked).await {
        Ok(page) => render(&page),
        Err(cause) => failed(visitor.lang, &cause),
    }
}

async fn read(console: &Console, visitor: &Visitor, asked: &Asked) -> Result<IncidentsPage, StoreError> {
    let page = Page::new(visitor, "incidents");
    let lang = page.lang;
    let (filter, wrong) = match asked.filter() {
        Ok(filter) => (filter, None),
        // What cannot be understood is shown beside what there is without it.
        Err(error) => {
            let rest = Asked { q: String::new(), ..asked.clone() };
            (rest.filter().unwrap_or_default(), Some(lang.pick(&error.ja(), &error.to_string()).to_owned()))
        }
    };
    let (views, total) = console.seen_by(&visitor.user).incidents(&filter).await?;
    let pages = total.div_ceil(PAGE_ROWS).max(1);
    let this_page = filter.page.min(pages);
    let bodies = console.seen_by(&visitor.user).bodies().await?;
    Ok(IncidentsPage {
        rows: views.into_iter().map(|view| Row::new(&page, view)).collect(),
        total: lang.with("total-incidents", total),
        severities: severities(lang, filter.severity),
        categories: categories(lang, filter.category),
        bodies: bodies
            .into_iter()
            .map(|(code, name)| Choice {
                chosen: filter.body.as_deref() == Some(&code),
                label: format!("{} {code}", shown(&name)),
                value: code,
            })
            .collect(),
        scopes: vec![
            choice("", lang.text("scope-open"), filter.scope == Scope::Open),
            choice("all", lang.text("scope-all"), filter.scope == Scope::All),
        ],
        orders: vec![
            choice("", lang.text("order-newest"), filter.order == Order::Newest),
            choice("worst", lang.text("order-worst"), filter.order == Order::Worst),
        ],
        filtered: filter.severity.is_some()
            || filter.category.is_some()
            || filter.body.is_some()
            || !asked.q.is_empty(),
        export: asked.with_filters("/api/v1/export?format=csv&bom=true".to_owned()),
        q: asked.q.clone(),
        wrong,
        before: (this_page > 1).then(|| asked.address(this_page - 1)),
        after: (this_page < pages).then(|| asked.address(this_page + 1)),
        this_page,
        pages,
        page,
    })
}

fn choice(value: &str, label: String, chosen: bool) -> Choice {
    Choice { value: value.to_owned(), label, chosen }
}

fn severities(lang: Lang, chosen: Option<Severity>) -> Vec<Choice> {
    let levels = (1..=4).rev().filter_map(Severity::new);
    let label = |severity| lang.with("severity-at-least", lang.severity(severity));
    levels
        .map(|severity| choice(&severity.level().to_string(), label(severity), chosen == Some(severity)))
        .collect()
}

fn categories(lang: Lang, chosen: Option<IncidentCategory>) -> Vec<Choice> {
    let one = |category: &IncidentCategory| {
        choice(category.as_str(), lang.category(*category).to_owned(), chosen == Some(*category))
    };
    IncidentCategory::ALL.iter().map(one).collect()
}
