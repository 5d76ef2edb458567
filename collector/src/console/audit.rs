//! The audit log as a page: who did what, when and why, and whether the chain holds.

use askama::Template;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use serde::Deserialize;

use super::page::{Mark, Page, When, error, failed, number, query_value, render, shown};
use super::{Console, Visitor};
use crate::audit::{Entry, Line};
use crate::auth::User;
use crate::auth::role::Role;
use crate::clock::now;
use crate::i18n::Lang;
use crate::query::span;
use crate::store::audit::Audited;
use crate::store::search::SearchError;
use crate::store::seen::{AuditAsked, AuditKind};

/// Who may read it: auditors, and those who answer for the SOC or the system as a whole.
pub(super) const fn may_read(user: &User) -> bool {
    match user.role {
        Role::Auditor => true,
        Role::Control | Role::PrefCsirt | Role::Admin => user.scope.is_all(),
        Role::Reception | Role::Monitor | Role::TechSupport | Role::BodyOfficer | Role::BodyCiso => false,
    }
}

/// What is asked for, as in the address of the page.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Asked {
    actor: String,
    incident: String,
    kind: String,
    from: String,
    to: String,
    before: String,
    check: String,
}

#[derive(Debug)]
struct LineRow {
    seq: i64,
    at: When,
    actor: String,
    role: String,
    action: String,
    words: String,
    incident: String,
    states: String,
    reason: String,
    hash: String,
}

#[derive(Template)]
#[template(path = "audit.html")]
struct AuditPage {
    page: Page,
    asked: Asked,
    kinds: Vec<(&'static str, &'static str, bool)>,
    wrong: Option<String>,
    too_slow: bool,
    lines: Vec<LineRow>,
    next: Option<String>,
    first: Option<String>,
    check: String,
    chain: Option<Mark>,
    chain_text: String,
}

/// `GET /audit`.
pub(super) async fn show(
    State(console): State<Console>,
    visitor: Visitor,
    Query(asked): Query<Asked>,
) -> Response {
    if !may_read(&visitor.user) {
        return error(visitor.lang, StatusCode::NOT_FOUND);
    }
    let mut page = AuditPage::new(Page::new(&visitor, "audit"), asked);
    let asked = match page.asked() {
        Ok(asked) => asked,
        Err(key) => {
            page.wrong = Some(page.page.t(key));
            return (StatusCode::BAD_REQUEST, render(&page)).into_response();
        }
    };
    let checks = !page.asked.check.is_empty();
    // Who reads what others did is written down as well.
    if let Err(cause) = console.everything().audit(entry(&visitor, &page.asked)).await {
        return failed(visitor.lang, &cause);
    }
    let seen = console.seen_by(&visitor.user);
    let checked = if checks { seen.audit_checked().await } else { Ok(None) };
    match (checked, seen.audit_page(&asked).await) {
        (Err(SearchError::Store(cause)), _) | (_, Err(SearchError::Store(cause))) => {
            failed(visitor.lang, &cause)
        }
        (Err(SearchError::TooSlow), _) | (_, Err(SearchError::TooSlow)) => {
            page.too_slow = true;
            (StatusCode::SERVICE_UNAVAILABLE, render(&page)).into_response()
        }
        (Ok(checked), Ok((lines, more))) => {
            page.fill(&lines, more);
            if let Some(audited) = checked {
                page.fill_chain(&audited);
            }
            render(&page)
        }
    }
}

fn entry(visitor: &Visitor, asked: &Asked) -> Entry {
    let Asked { actor, incident, kind, from, to, before, check } = asked;
    let fields = [
        ("actor", actor),
        ("incident", incident),
        ("kind", kind),
        ("from", from),
        ("to", to),
        ("before", before),
        ("check", check),
    ];
    let said = fields.iter().filter(|(_, value)| !value.trim().is_empty());
    let said: Vec<String> = said.map(|(name, value)| format!("{name}={}", shown(value.trim()))).collect();
    Entry {
        at: now(),
        actor: visitor.user.name.to_string(),
        role: visitor.user.role.as_str().to_owned(),
        action: "audit:read".to_owned(),
        reason: said.join(" "),
        ..Entry::default()
    }
}

impl AuditPage {
    fn new(page: Page, asked: Asked) -> Self {
        let lang = page.lang;
        let kind =
            |kind: &AuditKind| (kind.as_str(), lang.pick(kind.ja(), kind.en()), kind.as_str() == asked.kind);
        Self {
            kinds: AuditKind::ALL.iter().map(kind).collect(),
            wrong: None,
            too_slow: false,
            lines: Vec::new(),
            next: None,
            first: None,
            check: place(&asked, "", true),
            chain: None,
            chain_text: String::new(),
            page,
            asked,
        }
    }

    /// As the store wants it, or the key of the words for what is wrong.
    fn asked(&self) -> Result<AuditAsked, &'static str> {
        let Asked { actor, incident, kind, from, to, before, check: _ } = &self.asked;
        let now = now();
        let time = |text: &str, wrong| match text.trim() {
            "" => Ok(None),
            text => span(text, now).map(Some).ok_or(wrong),
        };
        let kind = match kind.as_str() {
            "" => None,
            name => Some(AuditKind::from_name(name).ok_or("search-wrong-place")?),
        };
        let before = match before.as_str() {
            "" => None,
            seq => Some(seq.parse().map_err(|_no_number| "search-wrong-place")?),
        };
        let between = (
            time(from, "search-wrong-from")?.map(|span| span.0),
            time(to, "search-wrong-to")?.map(|span| span.1),
        );
        let (actor, incident) = (actor.trim().to_owned(), incident.trim().to_owned());
        Ok(AuditAsked { actor, incident, kind, between, before })
    }

    fn fill(&mut self, lines: &[Line], more: bool) {
        self.lines = lines.iter().map(|line| LineRow::new(self.page.lang, line)).collect();
        let last = lines.last().filter(|_| more);
        self.next = last.map(|line| place(&self.asked, &line.seq.to_string(), false));
        self.first = (!self.asked.before.is_empty()).then(|| place(&self.asked, "", false));
    }

    fn fill_chain(&mut self, audited: &Audited) {
        let lang = self.page.lang;
        self.chain = Some(match audited.broken {
            None => Mark::ok(lang.with("audit-chain-good", audited.lines)),
            Some(_) => Mark::bad(lang.text("audit-chain-broken")),
        });
        let mut said = vec![format!("{} {}", lang.text("audit-chain-head"), audited.head)];
        if audited.after > 0 {
            said.insert(0, lang.with("audit-chain-after", number(audited.after)));
        }
        said.extend(audited.broken.as_ref().map(ToString::to_string));
        self.chain_text = said.join(" · ");
    }
}

/// The same page from another place on.
fn place(asked: &Asked, before: &str, checks: bool) -> String {
    let Asked { actor, incident, kind, from, to, before: _, check: _ } = asked;
    let check = if checks { "yes" } else { "" };
    let fields = [
        ("actor", actor.as_str()),
        ("incident", incident),
        ("kind", kind),
        ("from", from),
        ("to", to),
        ("before", before),
        ("check", check),
    ];
    let said = fields.iter().filter(|(_, value)| !value.is_empty());
    let said: Vec<String> = said.map(|(name, value)| format!("{name}={}", query_value(value))).collect();
    format!("/audit?{}", said.join("&"))
}

impl LineRow {
    fn new(lang: Lang, line: &Line) -> Self {
        let Entry { at, actor, role, incident, action, from, to, reason, version: _ } = &line.entry;
        let key = format!("action-{action}");
        Self {
            seq: line.seq,
            at: When::from(*at),
            actor: shown(actor),
            role: Role::from_name(role).map_or_else(|| shown(role), |role| lang.role(role)),
            action: shown(action),
            words: if lang.has(&key) { lang.text(&key) } else { String::new() },
            incident: shown(incident),
            states: match (from.is_empty(), to.is_empty()) {
                (true, true) => String::new(),
                (true, false) => shown(to),
                (false, true) => format!("{} →", shown(from)),
                (false, false) => format!("{} → {}", shown(from), shown(to)),
            },
            reason: shown(reason),
            hash: line.hash.to_string().chars().take(16).collect(),
        }
    }
}
