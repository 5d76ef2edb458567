//! The search over stored flow summaries, findings and endpoint alerts, and what may come next while somebody types.

use askama::Template;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use sekimori_wire::finding::Severity;
use serde::Deserialize;
use serde_json::Value;

use super::page::{Level, Page, When, bytes, failed, number, query_value, render, shown};
use super::{Console, Visitor, host};
use crate::auth::User;
use crate::clock::{from_stored, now};
use crate::i18n::Lang;
use crate::query::{QUERY_CHARS_MAX, complete};
use crate::search::{AskError, Asked, Hits, Kind, end_of, protocol};
use crate::store::StoreError;
use crate::store::search::{AlertHit, FindingHit, FlowHit, SearchError};

impl Console {
    /// Writes down who searches for what.
    ///
    /// # Errors
    /// If the store fails: then nothing must be shown.
    pub async fn note_search(&self, user: &User, kind: Kind, asked: &Asked) -> Result<(), StoreError> {
        asked.note(&self.store, kind, (&user.name.to_string(), user.role.as_str()), now()).await
    }
}

/// Where a search leads from one thing to another.
fn link(kind: Kind, q: &str) -> String {
    format!("/search?kind={}&q={}", kind.as_str(), query_value(q))
}

/// Searches for an address, of flows and of findings; none if it is no address.
pub(super) fn around(address: &str) -> Option<(String, String)> {
    let address: std::net::IpAddr = address.parse().ok()?;
    let q = format!("address:{address}");
    Some((link(Kind::Flows, &q), link(Kind::Findings, &q)))
}

/// An address as text, the search for it, and the page about it.
#[derive(Debug, Default)]
struct Linked {
    text: String,
    href: Option<String>,
    about: Option<String>,
}

impl Linked {
    fn new(kind: Kind, address: &str, text: &str, body: &str) -> Self {
        let field = if kind == Kind::Alerts { "host" } else { "address" };
        let href = (!address.is_empty()).then(|| link(kind, &format!("{field}:{address}")));
        Self { text: shown(text), href, about: host::link(address, body) }
    }
}

#[derive(Debug)]
struct FlowRow {
    start: When,
    body: String,
    originator: Linked,
    responder: Linked,
    protocol: String,
    application: String,
    server_name: String,
    bytes: String,
    packets: String,
    state: String,
    community_id: String,
}

impl FlowRow {
    fn new(hit: &FlowHit) -> Self {
        let end = |address: &str, port| Linked::new(Kind::Flows, address, &end_of(address, port), &hit.body);
        let total = hit.originator_bytes.saturating_add(hit.responder_bytes);
        Self {
            start: When::from(from_stored(hit.start)),
            body: shown(&hit.body),
            originator: end(&hit.originator, hit.originator_port),
            responder: end(&hit.responder, hit.responder_port),
            protocol: protocol(hit.protocol),
            application: shown(&hit.application),
            server_name: shown(&hit.server_name),
            bytes: bytes(u64::try_from(total).unwrap_or_default()),
            packets: number(hit.originator_packets.saturating_add(hit.responder_packets)),
            state: shown(&hit.state),
            community_id: shown(&hit.community_id),
        }
    }
}

/// A finding or an alert.
#[derive(Debug)]
struct EventRow {
    time: When,
    level: Option<Level>,
    kind: String,
    text: String,
    body: String,
    /// Of an alert: its host.
    one: Linked,
    /// Of a finding: the other end.
    other: Linked,
    incident: Option<String>,
}

fn said<'a>(json: &'a Value, at: &str) -> &'a str {
    json.pointer(at).and_then(Value::as_str).unwrap_or_default()
}

fn level(lang: Lang, json: &Value) -> Option<Level> {
    let level = json.get("severity")?.as_u64()?;
    Some(Level::new(lang, Severity::new(u8::try_from(level).ok()?)?))
}

impl EventRow {
    fn finding(lang: Lang, hit: &FindingHit) -> Self {
        let end = |at| {
            let address = said(&hit.json, at);
            Linked::new(Kind::Findings, address, address, &hit.body)
        };
        Self {
            time: When::from(hit.time),
            level: level(lang, &hit.json),
            kind: shown(said(&hit.json, "/category")),
            text: shown(lang.pick(said(&hit.json, "/title/ja"), said(&hit.json, "/title/en"))),
            body: shown(&hit.body),
            one: end("/originator"),
            other: end("/responder"),
            incident: hit.incident.clone(),
        }
    }

    fn alert(lang: Lang, hit: &AlertHit) -> Self {
        let host = said(&hit.json, "/host");
        let name = said(&hit.json, "/host_name");
        Self {
            time: When::from(hit.time),
            level: level(lang, &hit.json),
            kind: shown(said(&hit.json, "/class")),
            text: shown(said(&hit.json, "/name")),
            body: shown(&hit.body),
            one: Linked::new(Kind::Alerts, host, if host.is_empty() { name } else { host }, &hit.body),
            other: Linked::default(),
            incident: hit.incident.clone(),
        }
    }
}

/// What of the query was not understood: the text before and from there.
#[derive(Debug)]
struct Wrong {
    why: String,
    before: String,
    rest: String,
}

impl Wrong {
    fn new(lang: Lang, error: &AskError, q: &str) -> Self {
        let (why, at) = match error {
            AskError::Query(error) => (lang.pick(&error.ja(), &error.to_string()).to_owned(), error.at),
            AskError::Time { field: "from" } => (lang.text("search-wrong-from"), 0),
            AskError::Time { .. } => (lang.text("search-wrong-to"), 0),
            AskError::Limit | AskError::Cursor => (lang.text("search-wrong-place"), 0),
        };
        let mut chars = q.chars();
        let before = if at == 0 { String::new() } else { chars.by_ref().take(at - 1).collect() };
        let rest: String = if at == 0 { String::new() } else { chars.collect() };
        Self { why, before: shown(&before), rest: shown(&rest) }
    }
}

/// A field that can be asked.
#[derive(Debug)]
struct FieldRow {
    name: &'static str,
    aliases: String,
}

#[derive(Template)]
#[template(path = "search.html")]
struct SearchPage {
    page: Page,
    kinds: Vec<(Kind, String, bool)>,
    kind: Kind,
    asked: Asked,
    /// It was asked, and not only looked at.
    is_asked: bool,
    wrong: Option<Wrong>,
    too_slow: bool,
    flows: Vec<FlowRow>,
    events: Vec<EventRow>,
    next: Option<String>,
    first: Option<String>,
    fields: Vec<FieldRow>,
    suggestions: Vec<String>,
}

/// The address: which kind, and what is asked of it.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct At {
    kind: Option<String>,
    #[serde(flatten)]
    asked: Asked,
}

/// `GET /search`.
pub(super) async fn show(State(console): State<Console>, visitor: Visitor, Query(at): Query<At>) -> Response {
    let is_asked = at.kind.is_some();
    let kind = at.kind.as_deref().and_then(Kind::from_name).unwrap_or_default();
    let mut shown = SearchPage::new(Page::new(&visitor, "search"), kind, at.asked);
    if !is_asked {
        return render(&shown);
    }
    shown.is_asked = true;
    let search = match shown.asked.search(kind, now()) {
        Ok(search) => search,
        Err(error) => {
            shown.wrong = Some(Wrong::new(shown.page.lang, &error, &shown.asked.q));
            return (StatusCode::BAD_REQUEST, render(&shown)).into_response();
        }
    };
    if let Err(cause) = console.note_search(&visitor.user, kind, &shown.asked).await {
        return failed(visitor.lang, &cause);
    }
    match kind.find(console.seen_by(&visitor.user), &search).await {
        Ok(hits) => {
            shown.fill(&hits);
            render(&shown)
        }
        Err(SearchError::TooSlow) => {
            shown.too_slow = true;
            (StatusCode::SERVICE_UNAVAILABLE, render(&shown)).into_response()
        }
        Err(SearchError::Store(cause)) => failed(visitor.lang, &cause),
    }
}

impl SearchPage {
    fn new(page: Page, kind: Kind, asked: Asked) -> Self {
        let lang = page.lang;
        let label = |kind| match kind {
            Kind::Flows => lang.text("search-flows"),
            Kind::Findings => lang.text("search-findings"),
            Kind::Alerts => lang.text("search-alerts"),
        };
        let fields = kind.entity().fields().iter();
        Self {
            kinds: Kind::ALL.map(|one| (one, label(one), one == kind)).to_vec(),
            fields: fields
                .map(|field| FieldRow { name: field.name, aliases: field.aliases.join(", ") })
                .collect(),
            suggestions: complete("", kind.entity()).into_iter().map(|one| one.text).collect(),
            page,
            kind,
            asked,
            is_asked: false,
            wrong: None,
            too_slow: false,
            flows: Vec::new(),
            events: Vec::new(),
            next: None,
            first: None,
        }
    }

    fn fill(&mut self, hits: &Hits) {
        let lang = self.page.lang;
        match hits {
            Hits::Flows(found) => self.flows = found.rows.iter().map(FlowRow::new).collect(),
            Hits::Findings(found) => {
                self.events = found.rows.iter().map(|hit| EventRow::finding(lang, hit)).collect();
            }
            Hits::Alerts(found) => {
                self.events = found.rows.iter().map(|hit| EventRow::alert(lang, hit)).collect();
            }
        }
        self.next = hits.next().map(|next| self.address(&next.to_string()));
        self.first = (!self.asked.cursor.is_empty()).then(|| self.address(""));
    }

    /// The same search from another place.
    fn address(&self, cursor: &str) -> String {
        let mut address = link(self.kind, &self.asked.q);
        let Asked { q: _, from, to, limit, cursor: _ } = &self.asked;
        for (key, value) in [("from", from.as_str()), ("to", to), ("limit", limit), ("cursor", cursor)] {
            if !value.is_empty() {
                address.push_str(&format!("&{key}={}", query_value(value)));
            }
        }
        address
    }
}

/// What is typed, up to the cursor.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Typed {
    kind: String,
    q: String,
}

/// `GET /search/complete`: the whole text with its last word completed, one in a line.
pub(super) async fn completions(_visitor: Visitor, Query(typed): Query<Typed>) -> String {
    let kind = Kind::from_name(&typed.kind).unwrap_or_default();
    if typed.q.chars().count() > QUERY_CHARS_MAX {
        return String::new();
    }
    let found = complete(&typed.q, kind.entity());
    let texts = found.into_iter().map(|one| format!("{}{}", one.kept, one.text));
    texts.collect::<Vec<_>>().join("\n")
}
