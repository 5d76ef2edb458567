//! Somebody was faster: what was typed is not lost, what changed is shown, and it can be sent again.

use askama::Template;
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};

use super::incident::Change;
use super::page::{Page, error, failed, render, shown};
use super::{Console, Visitor};
use crate::i18n::Lang;
use crate::incident::transition::Refused;
use crate::store::StoreError;

/// Fields of the page, not of what somebody typed.
const OURS: [&str; 3] = ["csrf", "version", "action"];
/// What was chosen from a list or ticked: sent again as it was.
const CHOSEN: [&str; 19] = [
    "category",
    "code",
    "confirmed",
    "encrypted",
    "hurts",
    "hurts_stated",
    "impact",
    "leak_class",
    "cause",
    "level",
    "nda",
    "proposal",
    "publish",
    "task",
    "tlp",
    "to",
    "until",
    "urgency",
    "owner",
];

#[derive(Template)]
#[template(path = "conflict.html")]
struct ConflictPage {
    page: Page,
    id: String,
    what: String,
    action: String,
    /// The version that this page shows the way to.
    version: i64,
    /// It may still be possible.
    again: bool,
    state: &'static str,
    fields: Vec<Field>,
    changes: Vec<Change>,
}

/// Something that was typed or chosen.
#[derive(Debug)]
struct Field {
    name: String,
    label: String,
    value: String,
    kind: Kind,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Kind {
    /// Nothing to see: empty.
    Hidden,
    /// Shown, and sent as it was.
    Chosen,
    /// Can be changed before it is sent again.
    Typed,
}

impl Field {
    fn new(lang: Lang, (name, value): &(String, String)) -> Self {
        let kind = match (value.trim().is_empty(), CHOSEN.contains(&name.as_str())) {
            (true, _) => Kind::Hidden,
            (false, true) => Kind::Chosen,
            (false, false) => Kind::Typed,
        };
        Self { label: label(lang, name), name: name.clone(), value: value.clone(), kind }
    }

    fn is_chosen(&self) -> bool {
        self.kind == Kind::Chosen
    }

    fn is_typed(&self) -> bool {
        self.kind == Kind::Typed
    }

    /// Enough lines for what was typed, within reason.
    fn rows(&self) -> usize {
        self.value.lines().count().clamp(2, 12)
    }
}

/// What a field is called where it was filled in.
fn label(lang: Lang, name: &str) -> String {
    let plain = name.replace('_', "-");
    let keys = ["conflict-field-", "missing-", "missing-investigation-", "missing-review-"];
    let known = keys.iter().map(|prefix| format!("{prefix}{plain}")).find(|key| lang.has(key));
    known.map_or_else(|| shown(name), |key| lang.text(&key))
}

/// The page for a form that was filled in on an older version.
pub(super) async fn answer(
    console: &Console,
    visitor: &Visitor,
    id: &str,
    (seen, refused): (i64, &Refused),
    fields: &[(String, String)],
) -> Response {
    match read(console, visitor, id, (seen, refused), fields).await {
        Ok(Some(page)) => (StatusCode::CONFLICT, render(&page)).into_response(),
        Ok(None) => error(visitor.lang, StatusCode::NOT_FOUND),
        Err(cause) => failed(visitor.lang, &cause),
    }
}

async fn read(
    console: &Console,
    visitor: &Visitor,
    id: &str,
    (seen, refused): (i64, &Refused),
    fields: &[(String, String)],
) -> Result<Option<ConflictPage>, StoreError> {
    let page = Page::new(visitor, "incidents");
    let lang = page.lang;
    let store = console.seen_by(&visitor.user);
    let Some(view) = store.incident(id).await? else { return Ok(None) };
    let Some(work) = store.work_of(id).await? else { return Ok(None) };
    let since = |json: &serde_json::Value| json.get("version").and_then(serde_json::Value::as_i64);
    let changes = store.changes_of(&view).await?;
    let action = fields.iter().find(|(name, _)| name == "action").map_or("", |(_, value)| value);
    let key = format!("action-{action}");
    Ok(Some(ConflictPage {
        id: view.id.clone(),
        what: if lang.has(&key) { lang.text(&key) } else { shown(action) },
        action: action.to_owned(),
        version: work.facts.version,
        again: matches!(refused, Refused::Conflict { .. }),
        state: lang.state(view.state),
        fields: fields
            .iter()
            .filter(|(name, _)| !OURS.contains(&name.as_str()))
            .map(|field| Field::new(lang, field))
            .collect(),
        changes: changes
            .iter()
            .filter(|change| since(&change.json).is_some_and(|version| version > seen))
            .map(|change| Change::new(lang, change))
            .collect(),
        page,
    }))
}
