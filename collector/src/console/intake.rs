//! What came in and what was turned away: nothing that the collector refuses is refused in silence.

use askama::Template;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use sekimori_wire::ack::RefusalKind;

use super::page::{Page, When, error, failed, number, render, shown};
use super::{Console, Visitor};
use crate::clock::from_stored;
use crate::i18n::Lang;
use crate::store::StoreError;
use crate::store::view::RejectionView;

#[derive(Template)]
#[template(path = "intake.html")]
struct IntakePage {
    page: Page,
    counters: Vec<Counter>,
    turned: Vec<Turned>,
}

/// A counter with its meaning.
#[derive(Debug)]
struct Counter {
    name: String,
    label: String,
    value: String,
}

/// Somebody who was turned away.
#[derive(Debug)]
pub(super) struct Turned {
    pub(super) peer: String,
    pub(super) kind: String,
    pub(super) count: String,
    pub(super) last: When,
    pub(super) last_ago: String,
    pub(super) detail: String,
}

impl Turned {
    pub(super) fn new(page: &Page, row: &RejectionView) -> Self {
        let last = from_stored(row.last_at);
        Self {
            peer: shown(&row.peer),
            kind: kind_label(page.lang, &row.kind),
            count: number(row.count),
            last: When::from(last),
            last_ago: page.ago(last),
            detail: shown(&row.detail),
        }
    }
}

fn kind_label(lang: Lang, kind: &str) -> String {
    let key = format!("refusal-{kind}");
    if lang.has(&key) { format!("{} ({})", lang.text(&key), shown(kind)) } else { shown(kind) }
}

/// `GET /intake`.
pub(super) async fn show(State(console): State<Console>, visitor: Visitor) -> Response {
    match read(&console, &visitor).await {
        Ok(Some(page)) => render(&page),
        // Counters and addresses are everybody's.
        Ok(None) => error(visitor.lang, StatusCode::NOT_FOUND),
        Err(cause) => failed(visitor.lang, &cause),
    }
}

async fn read(console: &Console, visitor: &Visitor) -> Result<Option<IntakePage>, StoreError> {
    let page = Page::new(visitor, "intake");
    let lang = page.lang;
    let seen = console.seen_by(&visitor.user);
    let (Some(counted), Some(turned)) = (seen.counters().await?, seen.rejections().await?) else {
        return Ok(None);
    };
    // The known ones are shown even while they are zero: "none so far" is an answer.
    let mut known = vec!["batches_stored".to_owned(), "batches_repeated".to_owned()];
    known.extend(RefusalKind::ALL.iter().map(|kind| format!("refused.{kind}")));
    known.push("tls.failed".to_owned());
    let others: Vec<_> =
        counted.iter().map(|(name, _)| name).filter(|name| !known.contains(name)).cloned().collect();
    let counter = |name: String| Counter {
        label: counter_label(lang, &name),
        value: number(counted.iter().find(|(key, _)| *key == name).map_or(0, |(_, value)| *value)),
        name: shown(&name),
    };
    Ok(Some(IntakePage {
        counters: known.into_iter().chain(others).map(counter).collect(),
        turned: turned.iter().map(|peer| Turned::new(&page, peer)).collect(),
        page,
    }))
}

fn counter_label(lang: Lang, name: &str) -> String {
    match name.strip_prefix("refused.") {
        Some(kind) => lang.with("counter-refused-kind", lang.text(&format!("refusal-{}", kind_key(kind)))),
        None => {
            let key = format!("counter-{}", name.replace('.', "-"));
            if lang.has(&key) { lang.text(&key) } else { String::new() }
        }
    }
}

/// A refusal that this version has no words for is "other".
fn kind_key(kind: &str) -> &'static str {
    RefusalKind::from_name(kind).map_or("other", RefusalKind::as_str)
}
