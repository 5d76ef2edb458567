//! What somebody decided to accept: which exceptions are in force, when they end, and what they keep out of incidents.

use askama::Template;
use axum::Form;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Redirect, Response};
use sekimori_wire::finding::Severity;
use sekimori_wire::time::Timestamp;
use serde::Deserialize;
use serde_json::Value;

use super::evidence::{pairs, text};
use super::page::{Level, Mark, Page, When, error, failed, number, render, shown};
use super::{Console, Visitor};
use crate::api::NOTICE_REASON_MAX;
use crate::clock::now;
use crate::exceptions::{days_left, ending_within};
use crate::export::By;
use crate::i18n::Lang;
use crate::store::StoreError;
use crate::store::exception::{ExceptionView, ReadView, UnknownView};
use crate::store::seen::may_end;
use crate::store::view::FindingView;
use crate::store::work::SuppressionView;

#[derive(Template)]
#[template(path = "exceptions.html")]
struct ExceptionsPage {
    page: Page,
    broken: Option<Broken>,
    rows: Vec<ExceptionRow>,
    suppressions: Vec<SuppressionRow>,
    /// This person may end one.
    may_end: bool,
    unknown: Vec<Unknown>,
    excepted: Vec<ExceptedRow>,
}

/// Why the files were not taken.
#[derive(Debug)]
pub(super) struct Broken {
    pub(super) at: When,
    pub(super) error: String,
}

impl Broken {
    /// Only if they were not.
    pub(super) fn new(read: Option<ReadView>) -> Option<Self> {
        let ReadView { at, error } = read?;
        error.map(|error| Self { at: When::from(at), error: shown(&error) })
    }
}

/// An exception in force.
#[derive(Debug)]
pub(super) struct ExceptionRow {
    pub(super) id: String,
    pub(super) owner: String,
    pub(super) reason: String,
    pub(super) scope: Vec<(String, String)>,
    pub(super) created: When,
    pub(super) until: When,
    pub(super) left: Mark,
    pub(super) findings: String,
    pub(super) last: Option<When>,
    /// It ends soon, or has ended.
    pub(super) ending: bool,
}

impl ExceptionRow {
    pub(super) fn new(page: &Page, view: &ExceptionView) -> Self {
        let lang = page.lang;
        let left = |days| lang.with("exception-days", days);
        let within = ending_within(view.expires, page.now);
        let left = match (within, days_left(view.expires, page.now)) {
            (_, None) => Mark::bad(lang.text("exception-ended")),
            (Some(0..=7), Some(days)) => Mark::bad(left(days)),
            (Some(_), Some(days)) => Mark::warn(left(days)),
            (None, Some(days)) => Mark::ok(left(days)),
        };
        Self {
            id: shown(&view.id),
            owner: shown(&view.owner),
            reason: shown(&view.reason),
            scope: pairs(Some(&view.scope)),
            created: When::from(view.created),
            until: When::from(view.expires),
            left,
            findings: number(view.findings),
            last: view.last.map(When::from),
            ending: within.is_some(),
        }
    }
}

/// Findings that people agreed in an incident to keep out.
#[derive(Debug)]
struct SuppressionRow {
    id: String,
    incident: String,
    body: String,
    scope: String,
    reason: String,
    people: String,
    at: When,
    until: When,
    state: Mark,
    /// Who ended it, when and why.
    ended: Option<(String, When, String)>,
    findings: String,
    last: Option<When>,
    in_force: bool,
}

impl SuppressionRow {
    fn new(page: &Page, view: SuppressionView) -> Self {
        let lang = page.lang;
        let in_force = view.is_in_force(page.now);
        let state = match days_left(view.until, page.now) {
            Some(days) if in_force => Mark::warn(lang.with("exception-days", days)),
            Some(_) | None if view.ended.is_some() => Mark::none(lang.text("suppression-ended")),
            Some(_) | None => Mark::none(lang.text("exception-ended")),
        };
        Self {
            id: view.id,
            incident: view.incident,
            body: shown(&view.body),
            scope: shown(&view.scope),
            reason: shown(&view.reason),
            people: format!("{} → {}", shown(&view.asked_by), shown(&view.granted_by)),
            at: When::from(view.at),
            until: When::from(view.until),
            state,
            ended: view.ended.map(|(at, by, why)| (shown(&by), When::from(at), shown(&why))),
            findings: number(view.findings),
            last: view.last.map(When::from),
            in_force,
        }
    }
}

/// An exception that only an agent knows.
#[derive(Debug)]
struct Unknown {
    id: String,
    agent: String,
    agent_name: String,
    findings: String,
    last: When,
}

impl Unknown {
    fn new(view: UnknownView) -> Self {
        Self {
            id: shown(&view.id),
            agent: view.agent,
            agent_name: shown(&view.agent_name),
            findings: number(view.findings),
            last: When::from(view.last),
        }
    }
}

/// A finding that no incident knows because of an exception.
#[derive(Debug)]
pub(super) struct ExceptedRow {
    pub(super) level: Level,
    pub(super) title: String,
    pub(super) category: String,
    pub(super) body: String,
    pub(super) last: When,
    pub(super) by: Option<Excepted>,
}

impl ExceptedRow {
    pub(super) fn new(lang: Lang, view: &FindingView) -> Self {
        let json = &view.json;
        let severity =
            json.get("severity").and_then(Value::as_u64).and_then(|level| u8::try_from(level).ok());
        let last = json.get("end").and_then(Value::as_str).and_then(|at| at.parse().ok());
        Self {
            level: Level::new(lang, severity.and_then(Severity::new).unwrap_or_default()),
            title: json.get("title").map(|both| text(both, lang.code())).unwrap_or_default(),
            category: text(json, "category"),
            body: shown(&view.body),
            last: When::from(last.unwrap_or(Timestamp::ZERO)),
            by: Excepted::new(lang, &view.exception),
        }
    }
}

/// By which exception, who, why, until when; or which one was overruled.
#[derive(Debug, Template)]
#[template(
    source = r#"<span class="tag">{{ id }}</span> {{ verdict }}{% if !owner.is_empty() %} · {{ owner }}{% if !reason.is_empty() %}: {{ reason }}{% endif %}{% endif %}{% if let Some((label, at)) = until %} · {{ label }} {{ at }}{% endif %}"#,
    ext = "html"
)]
pub(super) struct Excepted {
    id: String,
    verdict: Mark,
    owner: String,
    reason: String,
    until: Option<(String, When)>,
}

impl askama::filters::HtmlSafe for Excepted {}

impl Excepted {
    /// From what was written down with the finding; `None` if no exception was named.
    pub(super) fn new(lang: Lang, note: &Value) -> Option<Self> {
        let id = text(note, "id");
        if id.is_empty() {
            return None;
        }
        let verdict = match note.get("verdict").and_then(Value::as_str).unwrap_or_default() {
            "covers" => Mark::none(lang.text("exception-covers")),
            "ended" => Mark::bad(lang.text("exception-overruled-ended")),
            "outside" => Mark::bad(lang.text("exception-overruled-outside")),
            "refused" => Mark::bad(lang.text("exception-overruled-unknown")),
            _ => Mark::warn(lang.text("exception-unknown")),
        };
        let until = note.get("expires").and_then(Value::as_str).and_then(|at| at.parse::<Timestamp>().ok());
        Some(Self {
            id,
            verdict,
            owner: text(note, "owner"),
            reason: text(note, "reason"),
            until: until.map(|at| (lang.text("exception-until"), When::from(at))),
        })
    }
}

/// `GET /exceptions`.
pub(super) async fn show(State(console): State<Console>, visitor: Visitor) -> Response {
    match read(&console, &visitor).await {
        Ok(page) => render(&page),
        Err(cause) => failed(visitor.lang, &cause),
    }
}

async fn read(console: &Console, visitor: &Visitor) -> Result<ExceptionsPage, StoreError> {
    let page = Page::new(visitor, "exceptions");
    let store = console.seen_by(&visitor.user);
    let excepted = store.excepted_findings().await?;
    let suppressions = store.suppressions(page.now).await?;
    Ok(ExceptionsPage {
        broken: Broken::new(store.exceptions_read().await?),
        rows: store.exceptions().await?.iter().map(|view| ExceptionRow::new(&page, view)).collect(),
        suppressions: suppressions.into_iter().map(|one| SuppressionRow::new(&page, one)).collect(),
        may_end: may_end(visitor.user.role),
        unknown: store.unknown_exceptions().await?.into_iter().map(Unknown::new).collect(),
        excepted: excepted.iter().map(|view| ExceptedRow::new(page.lang, view)).collect(),
        page,
    })
}

/// What the form sends.
#[derive(Debug, Deserialize)]
pub(super) struct Ending {
    csrf: String,
    #[serde(default)]
    reason: String,
}

/// `POST /suppressions/{id}/end`.
pub(super) async fn end(
    State(console): State<Console>,
    visitor: Visitor,
    Path(id): Path<String>,
    Form(asked): Form<Ending>,
) -> Response {
    let (lang, user) = (visitor.lang, &visitor.user);
    if asked.csrf != visitor.token.csrf() || !may_end(user.role) {
        return error(lang, StatusCode::FORBIDDEN);
    }
    let reason = asked.reason.trim();
    if reason.is_empty() || reason.chars().count() > NOTICE_REASON_MAX {
        return error(lang, StatusCode::UNPROCESSABLE_ENTITY);
    }
    let by = By { actor: user.name.as_str().to_owned(), role: user.role.as_str().to_owned() };
    match console.seen_by(user).end_suppression(&id, &by, reason, now()).await {
        Ok(true) => Redirect::to("/exceptions").into_response(),
        Ok(false) => error(lang, StatusCode::NOT_FOUND),
        Err(cause) => failed(lang, &cause),
    }
}
