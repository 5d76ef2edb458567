//! 手動受付: incidents that somebody tells of, with the questions of each kind. Whoever gives no name is not asked for one.

use askama::Template;
use axum::Form;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Redirect, Response};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::page::{Page, chain, error, failed, render, shown};
use super::{Console, Visitor};
use crate::clock::now;
use crate::i18n::Lang;
use crate::incident::IncidentCategory;
use crate::incident::permission::{AtHand, Grant, Part, Permission, grant};
use crate::incident::report::ReportKind;
use crate::store::StoreError;
use crate::store::work::{Intake, IntakeError, Mistake};
use sekimori_wire::finding::Severity;

#[derive(Template)]
#[template(path = "report.html")]
struct ReportPage {
    page: Page,
    kind: ReportKind,
    kinds: Vec<(&'static str, &'static str, bool)>,
    bodies: Vec<(String, String)>,
    categories: Vec<(&'static str, &'static str)>,
    mistakes: Vec<(&'static str, &'static str)>,
    missing: Vec<String>,
    fields: Vec<(String, String)>,
}

impl ReportPage {
    /// What was typed before, so that nobody types it twice.
    fn was(&self, name: &str) -> &str {
        self.fields.iter().find(|(field, _)| field == name).map_or("", |(_, value)| value.as_str())
    }

    fn is(&self, name: &str, value: &str) -> bool {
        self.was(name) == value
    }

    fn asks(&self, kind: &str) -> bool {
        self.kind.as_str() == kind
    }
}

/// Which form.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Wanted {
    kind: String,
}

/// Whether this person may open incidents.
pub(super) fn may_open(visitor: &Visitor) -> bool {
    let at_hand = AtHand { severity: Severity::INFORMATIONAL, level: None, days: None };
    grant(Part::Person(visitor.user.role), Permission::Open, at_hand) == Grant::May
}

/// `GET /incidents/new`.
pub(super) async fn show(
    State(console): State<Console>,
    visitor: Visitor,
    Query(wanted): Query<Wanted>,
) -> Response {
    if !may_open(&visitor) {
        return error(visitor.lang, StatusCode::FORBIDDEN);
    }
    let kind = ReportKind::from_name(&wanted.kind).unwrap_or(ReportKind::Staff);
    match page(&console, &visitor, kind, (Vec::new(), Vec::new())).await {
        Ok(page) => render(&page),
        Err(cause) => failed(visitor.lang, &cause),
    }
}

async fn page(
    console: &Console,
    visitor: &Visitor,
    kind: ReportKind,
    (missing, fields): (Vec<String>, Vec<(String, String)>),
) -> Result<ReportPage, StoreError> {
    let lang = visitor.lang;
    let shown_body = |(code, name): (String, String)| (code, shown(&name));
    Ok(ReportPage {
        page: Page::new(visitor, "incidents"),
        kind,
        kinds: ReportKind::ALL
            .iter()
            .map(|one| (one.as_str(), lang.pick(one.ja(), one.en()), *one == kind))
            .collect(),
        bodies: console.seen_by(&visitor.user).bodies().await?.into_iter().map(shown_body).collect(),
        categories: IncidentCategory::ALL.iter().map(|one| (one.as_str(), lang.category(*one))).collect(),
        mistakes: Mistake::ALL.iter().map(|one| (one.as_str(), lang.pick(one.ja(), one.en()))).collect(),
        missing: missing.iter().map(|name| words(lang, name)).collect(),
        fields,
    })
}

/// A field in words.
fn words(lang: Lang, name: &str) -> String {
    let key = format!("report-{}", name.trim_start_matches("details.").replace(['.', '_'], "-"));
    if lang.has(&key) { lang.text(&key) } else { shown(name) }
}

/// `POST /incidents/new`.
pub(super) async fn open(
    State(console): State<Console>,
    visitor: Visitor,
    Form(fields): Form<Vec<(String, String)>>,
) -> Response {
    let lang = visitor.lang;
    let of =
        |name: &str| fields.iter().find(|(field, _)| field == name).map_or("", |(_, value)| value.trim());
    if of("csrf") != visitor.token.csrf() {
        return error(lang, StatusCode::FORBIDDEN);
    }
    if !may_open(&visitor) {
        return error(lang, StatusCode::FORBIDDEN);
    }
    let Some(kind) = ReportKind::from_name(of("kind")) else { return error(lang, StatusCode::BAD_REQUEST) };
    let intake = match serde_json::from_value::<Intake>(intake(kind, &of)) {
        Ok(intake) => intake,
        Err(cause) => {
            tracing::debug!(error = %chain(&cause), "a report was not understood");
            return error(lang, StatusCode::BAD_REQUEST);
        }
    };
    let seen = console.seen_by(&visitor.user);
    match seen.open_by_hand(&intake, &visitor.user.actor(), now()).await {
        Ok(id) => Redirect::to(&format!("/incidents/{id}")).into_response(),
        Err(IntakeError::NotAllowed(_)) => error(lang, StatusCode::FORBIDDEN),
        Err(IntakeError::Missing(missing)) => match page(&console, &visitor, kind, (missing, fields)).await {
            Ok(page) => (StatusCode::UNPROCESSABLE_ENTITY, render(&page)).into_response(),
            Err(cause) => failed(lang, &cause),
        },
        Err(IntakeError::Store(cause)) => failed(lang, &cause),
    }
}

/// From the fields to what the API takes.
fn intake<'a>(kind: ReportKind, of: &impl Fn(&str) -> &'a str) -> Value {
    let yes_no = |name: &str| match of(name) {
        "yes" => json!(true),
        "no" => json!(false),
        _ => Value::Null,
    };
    let (category, details) = match kind {
        ReportKind::Staff | ReportKind::Anonymous => (of("category"), Value::Null),
        ReportKind::Device => (
            "device_lost",
            json!({
                "kind": "device", "device": of("device"), "asset": of("asset"), "holder": of("holder"),
                "last_seen": of("last_seen"), "encrypted": yes_no("encrypted"), "locked": yes_no("locked"),
                "police_report": of("police_report"),
            }),
        ),
        ReportKind::Mistake => (
            "human_error",
            json!({
                "kind": "mistake", "mistake": of("mistake"), "recipient": of("recipient"), "items": of("items"),
                "persons": of("persons").parse::<u32>().ok(), "recovered": yes_no("recovered"),
            }),
        ),
    };
    let reporter = match (kind, of("reporter")) {
        (ReportKind::Anonymous, _) => json!({ "kind": "anonymous" }),
        (_, "outside") => json!({ "kind": "outside", "name": of("name") }),
        (_, _) => json!({ "kind": "staff", "name": of("name") }),
    };
    let mut out = Map::new();
    for (name, value) in [
        ("category", json!(category)),
        ("body", json!(of("body"))),
        ("title", json!(of("title"))),
        ("text", json!(of("text"))),
        ("subject", json!(of("subject"))),
        ("severity", json!(of("severity").parse::<u8>().ok())),
        ("reporter", reporter),
        ("contact", json!(of("contact"))),
        ("details", details),
        ("drill", json!(of("drill") == "1")),
    ] {
        out.insert(name.to_owned(), value);
    }
    // The field has no zone: people mean the clock on their wall.
    if !of("occurred_at").is_empty() {
        out.insert("occurred_at".to_owned(), json!(format!("{}:00+09:00", of("occurred_at"))));
    }
    Value::Object(out)
}
