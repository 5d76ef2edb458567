//! What is decided here for agents: which policies hold, and which agent has which version.

use askama::Template;
use axum::extract::State;
use axum::response::Response;

use super::agents::PolicyCell;
use super::page::{Mark, Page, When, failed, render, shown};
use super::{Console, Visitor};
use crate::fleet::policy::command::Reported;
use crate::i18n::Lang;
use crate::store::StoreError;
use crate::store::policy::Kept;
use crate::store::view::AgentView;

#[derive(Template)]
#[template(path = "policies.html")]
struct PoliciesPage {
    page: Page,
    rows: Vec<PolicyRow>,
    agents: Vec<AgentPolicy>,
}

struct PolicyRow {
    version: u64,
    scope: String,
    state: Mark,
    at: When,
    text: String,
}

impl PolicyRow {
    fn new(lang: Lang, kept: Kept) -> Self {
        let state = if kept.text.is_some() {
            Mark::ok(lang.text("policy-holds"))
        } else {
            Mark::none(lang.text("policy-withdrawn"))
        };
        Self {
            version: kept.version,
            scope: kept.scope.to_string(),
            state,
            at: When::from(kept.at),
            text: kept.text.unwrap_or_default(),
        }
    }
}

struct AgentPolicy {
    id: String,
    name: String,
    body: String,
    mark: Mark,
    policy: PolicyCell,
}

impl AgentPolicy {
    fn new(lang: Lang, agent: AgentView) -> Self {
        let policy = PolicyCell::new(&agent, &Reported::of(&agent));
        let mark = if policy.is_current {
            Mark::ok(lang.text("policy-current"))
        } else {
            Mark::warn(lang.text("policy-behind"))
        };
        Self { id: agent.id, name: shown(&agent.name), body: shown(&agent.body_name), mark, policy }
    }
}

/// `GET /policies`.
pub(super) async fn show(State(console): State<Console>, visitor: Visitor) -> Response {
    match read(&console, &visitor).await {
        Ok(page) => render(&page),
        Err(cause) => failed(visitor.lang, &cause),
    }
}

async fn read(console: &Console, visitor: &Visitor) -> Result<PoliciesPage, StoreError> {
    let page = Page::new(visitor, "policies");
    let store = console.seen_by(&visitor.user);
    let agents = store.agents().await?.into_iter().filter(|agent| agent.revoked_at.is_none());
    Ok(PoliciesPage {
        rows: store.policies().await?.into_iter().map(|kept| PolicyRow::new(page.lang, kept)).collect(),
        agents: agents.map(|agent| AgentPolicy::new(page.lang, agent)).collect(),
        page,
    })
}
