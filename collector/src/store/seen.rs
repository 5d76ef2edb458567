//! The store as one person may see it: every read for console and API goes through here.
//!
//! Whoever sees all sees what the store has. Whoever sees some bodies sees what belongs to these and nothing else: of
//! a wide-area incident only their own part, without the names and numbers of the others; no figure that counts
//! everybody's.

mod audited;
mod dead;
mod duty;
mod feed;
mod figures;
mod granted;
mod handover;
mod indicator;
mod monthly;
mod pages;
mod suppression;

pub use self::audited::{AUDIT_ROWS, AuditAsked, AuditKind};
pub use self::dead::{DeadLetter, Settle, Settled};
pub use self::duty::Step;
pub use self::feed::{Heard, Place};
pub use self::indicator::{IndicatorBody, IndicatorView};
pub use self::pages::FindingPlace;
pub use self::suppression::may_end;
mod export;

use sekimori_wire::id::BodyCode;
use sekimori_wire::time::Timestamp;
use serde_json::{Map, Value};

use super::exception::{ExceptionView, ReadView, UnknownView};
use super::policy::Kept;
use super::search::{AlertHit, FindingHit, FlowHit, Found, Search, SearchError};
use super::view::{
    AgentView, BatchView, ChangeView, FindingView, FlowView, IncidentFilter, IncidentView, RejectionView,
};
use super::work::{Acted, Intake, IntakeError, WorkView};
use super::{Store, StoreError, query};
use crate::auth::scope::Scope;
use crate::clock::from_stored;
use crate::fleet::policy::Scope as For;
use crate::incident::facts::Work;
use crate::incident::similar::Traits;
use crate::incident::transition::{Actor, Asked};
use crate::store::db;

pub use self::export::ExportIndicator;

/// What one person sees.
#[derive(Clone, Copy, Debug)]
pub struct Seen<'a> {
    pub(super) store: &'a Store,
    pub(super) scope: &'a Scope,
}

/// What is to be known of those of an incident's children that are seen: how many, their findings, first and last
/// evidence, last change.
type Part = (i64, i64, Option<i64>, Option<i64>, Option<i64>);

impl Store {
    /// As somebody with this scope sees it.
    pub const fn seen_in<'a>(&'a self, scope: &'a Scope) -> Seen<'a> {
        Seen { store: self, scope }
    }
}

impl Seen<'_> {
    /// One page of incidents, and how many there are in all.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn incidents(&self, filter: &IncidentFilter) -> Result<(Vec<IncidentView>, u32), StoreError> {
        // A filter must not tell whether another body has a part in a wide-area incident.
        if filter.body.as_deref().is_some_and(|body| !self.scope.covers(body)) {
            return Ok((Vec::new(), 0));
        }
        let (views, total) = self.store.incidents_in(filter, self.scope).await?;
        let mut shown = Vec::with_capacity(views.len());
        for view in views {
            shown.push(self.own_part(view).await?);
        }
        Ok((shown, total))
    }

    /// One incident.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn incident(&self, id: &str) -> Result<Option<IncidentView>, StoreError> {
        let Some(view) = self.store.incident(id).await? else { return Ok(None) };
        let is_seen = match view.body.as_deref() {
            Some(body) => self.scope.covers(body),
            None => self.scope.is_all() || self.part_of(id).await?.0 > 0,
        };
        if is_seen { self.own_part(view).await.map(Some) } else { Ok(None) }
    }

    /// The incidents of a wide-area incident, newest first.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn children_of(&self, id: &str) -> Result<Vec<IncidentView>, StoreError> {
        let mut children = self.store.children_in(id, self.scope).await?;
        for child in &mut children {
            child.reason = self.scope.redact(&child.reason);
        }
        Ok(children)
    }

    /// Open incidents by severity, informational first.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn open_by_severity(&self) -> Result<[i64; 5], StoreError> {
        self.store.open_by_severity_in(self.scope).await
    }

    /// Findings of an incident or of its children, the worst and newest first.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn findings_of(&self, incident: &str) -> Result<Vec<FindingView>, StoreError> {
        let mut findings = self.store.findings_in(incident, self.scope).await?;
        for finding in &mut findings {
            finding.link = self.scope.redact(&finding.link);
        }
        Ok(findings)
    }

    /// Endpoint alerts of an incident or of its children, newest first.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn alerts_of(&self, incident: &str) -> Result<Vec<Value>, StoreError> {
        self.store.alerts_in(incident, self.scope).await
    }

    /// Flows with one of these Community IDs, in these bodies and about the time of an incident, newest first. None that had
    /// begun more than a day before it.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn flows_around(
        &self,
        incident: &IncidentView,
        bodies: &[String],
        community_ids: &[String],
    ) -> Result<Vec<FlowView>, StoreError> {
        self.store.flows_in(incident, (bodies, community_ids), self.scope).await
    }

    /// The history of an incident that is seen, newest first. That of a wide-area incident is everybody's: it is shown
    /// to whoever sees all.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn changes_of(&self, incident: &IncidentView) -> Result<Vec<ChangeView>, StoreError> {
        if !self.scope.covers_whole(incident.body.as_deref()) {
            return Ok(Vec::new());
        }
        let mut changes = self.store.changes_of(&incident.id).await?;
        for change in &mut changes {
            change.json = self.scope.redact(&change.json);
        }
        Ok(changes)
    }

    /// The batches behind an incident, newest first, with what is needed to verify them again.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn batches_of(&self, incident: &str) -> Result<Vec<BatchView>, StoreError> {
        self.store.batches_in(incident, self.scope).await
    }

    /// Agents, by body and name.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn agents(&self) -> Result<Vec<AgentView>, StoreError> {
        let mut agents = self.store.agents().await?;
        agents.retain(|agent| self.scope.covers(&agent.body));
        Ok(agents)
    }

    /// One agent.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn agent(&self, id: &str) -> Result<Option<AgentView>, StoreError> {
        Ok(self.store.agent(id).await?.filter(|agent| self.scope.covers(&agent.body)))
    }

    /// Bodies: code and name.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn bodies(&self) -> Result<Vec<(String, String)>, StoreError> {
        let mut bodies = self.store.bodies().await?;
        bodies.retain(|(code, _)| self.scope.covers(code));
        Ok(bodies)
    }

    /// Every counter, by name; `None`: they count everybody's, and this person does not see everybody's.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn counters(&self) -> Result<Option<Vec<(String, i64)>>, StoreError> {
        if self.scope.is_all() { self.store.counters().await.map(Some) } else { Ok(None) }
    }

    /// Whom the collector turned away, the latest first. Addresses belong to no body: only whoever sees all sees them.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn rejections(&self) -> Result<Option<Vec<RejectionView>>, StoreError> {
        if self.scope.is_all() { self.store.rejections().await.map(Some) } else { Ok(None) }
    }

    /// Exceptions in force, in order. Somebody of a body sees those that name their body, and those of all bodies that
    /// have covered something of theirs.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn exceptions(&self) -> Result<Vec<ExceptionView>, StoreError> {
        let mut exceptions = self.store.exceptions_in(self.scope).await?;
        exceptions.retain(|one| self.concerns(one));
        Ok(exceptions)
    }

    fn concerns(&self, exception: &ExceptionView) -> bool {
        if self.scope.is_all() {
            return true;
        }
        let mut names = false;
        let mut others = false;
        for body in texts(&exception.scope).filter(|text| text.parse::<BodyCode>().is_ok()) {
            names |= self.scope.covers(body);
            others |= !self.scope.covers(body);
        }
        !others && (names || exception.findings > 0)
    }

    /// Exceptions that only agents know, those with the latest evidence first.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn unknown_exceptions(&self) -> Result<Vec<UnknownView>, StoreError> {
        self.store.unknown_exceptions_in(self.scope).await
    }

    /// When the files were read last, and what was wrong with them; it may name anybody's.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn exceptions_read(&self) -> Result<Option<ReadView>, StoreError> {
        if self.scope.is_all() { self.store.exceptions_read().await } else { Ok(None) }
    }

    /// Findings that are under an exception, those with the latest evidence first.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn excepted_findings(&self) -> Result<Vec<FindingView>, StoreError> {
        self.store.excepted_findings_in(self.scope).await
    }

    /// Findings under exceptions that are about the subject of an incident, about its time, and belong to none.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn excepted_beside(&self, incident: &IncidentView) -> Result<Vec<FindingView>, StoreError> {
        self.store.excepted_beside_in(incident, self.scope).await
    }

    /// The newest policy of each scope: those that this person's agents are given.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn policies(&self) -> Result<Vec<Kept>, StoreError> {
        let mut policies = self.store.policies().await?;
        if self.scope.is_all() {
            return Ok(policies);
        }
        let agents = self.agents().await?;
        policies.retain(|kept| match kept.scope {
            For::All => true,
            For::Body(body) => self.scope.covers(body.as_str()),
            For::Agent(agent) => agents.iter().any(|one| one.id == agent.to_string()),
        });
        Ok(policies)
    }

    /// A number that is another one after every change that this person can see, and only then.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn change_number(&self) -> Result<i64, StoreError> {
        let Some(seen) = self.scope.sql() else { return Ok(*self.store.subscribe().borrow()) };
        // A count of their own changes: the number in the feed would tell how much happens elsewhere.
        db::query_scalar(
            "SELECT count(*) FROM incident_changes
             WHERE incident IN (SELECT id FROM incidents WHERE $1 LIKE '%,' || body || ',%')",
        )
        .bind(seen)
        .fetch_one(self.store.reader())
        .await
        .map_err(query("count the changes of some bodies"))
    }

    /// What people wrote down and decided about an incident that is seen. Of a wide-area incident that is everybody's: it
    /// is shown to whoever sees all.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn work_of(&self, id: &str) -> Result<Option<WorkView>, StoreError> {
        let Some(view) = self.incident(id).await? else { return Ok(None) };
        let Some(mut work) = self.store.work_of(id).await? else { return Ok(None) };
        if !self.scope.covers_whole(view.body.as_deref()) {
            let facts = &mut work.facts;
            (facts.version, facts.bodies, facts.work) = (view.version, 1, Work::default());
            facts.tasks.clear();
            facts.proposals.clear();
            facts.obligations.clear();
            facts.children.clear();
            facts.findings.clear();
            facts.segments.clear();
            work.notes.clear();
            work.merged.clear();
            work.masked.clear();
            work.grants.clear();
        }
        Ok(Some(work))
    }

    /// What an incident that is seen can be compared by, and the same of those of the past that are seen.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn traits_of(&self, id: &str) -> Result<Option<(Traits, Vec<Traits>)>, StoreError> {
        if self.incident(id).await?.is_none() {
            return Ok(None);
        }
        let mut compared = self.store.traits_of(id).await?;
        if let Some((_, past)) = &mut compared {
            past.retain(|one| self.scope.covers_whole(one.body.as_ref().map(BodyCode::as_str)));
        }
        Ok(compared)
    }

    /// Does to an incident what is asked, if it is this person's to change.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn act(
        &self,
        id: &str,
        actor: &Actor,
        asked: &Asked,
        now: Timestamp,
    ) -> Result<Acted, StoreError> {
        let view = self.incident(id).await?;
        if view.is_none_or(|view| !self.scope.covers_whole(view.body.as_deref())) {
            return Ok(Acted::NotFound);
        }
        self.store.act(id, actor, asked, now).await
    }

    /// Opens an incident from what somebody told; gives back its name.
    ///
    /// # Errors
    /// If the role may not, the body is not theirs, something is missing, or the store fails.
    pub async fn open_by_hand(
        &self,
        intake: &Intake,
        actor: &Actor,
        now: Timestamp,
    ) -> Result<String, IntakeError> {
        self.store.open_by_hand(intake, actor, now).await
    }

    /// Flow summaries that were asked for.
    ///
    /// # Errors
    /// If it takes too long, or the store fails.
    pub async fn search_flows(&self, search: &Search) -> Result<Found<FlowHit>, SearchError> {
        self.store.search_flows(search, self.scope).await
    }

    /// Findings that were asked for.
    ///
    /// # Errors
    /// If it takes too long, or the store fails.
    pub async fn search_findings(&self, search: &Search) -> Result<Found<FindingHit>, SearchError> {
        self.store.search_findings(search, self.scope).await
    }

    /// Endpoint alerts that were asked for.
    ///
    /// # Errors
    /// If it takes too long, or the store fails.
    pub async fn search_alerts(&self, search: &Search) -> Result<Found<AlertHit>, SearchError> {
        self.store.search_alerts(search, self.scope).await
    }

    /// What is left of an incident when the other bodies are taken out of it.
    async fn own_part(&self, mut view: IncidentView) -> Result<IncidentView, StoreError> {
        if self.scope.is_all() {
            return Ok(view);
        }
        if view.body.is_some() {
            view.reason = self.scope.redact(&view.reason);
            return Ok(view);
        }
        let (children, findings, first, last, changed) = self.part_of(&view.id).await?;
        let own = self.store.children_in(&view.id, self.scope).await?;
        let sources = ["finding", "endpoint_alert"];
        view.sources =
            sources.into_iter().filter(|name| own.iter().any(|child| child.sources.contains(name))).collect();
        view.signed = own.iter().all(|child| child.signed);
        (view.children, view.findings) = (children, findings);
        view.first_evidence = first.map_or(view.opened_at, from_stored);
        view.last_evidence = last.map_or(view.opened_at, from_stored);
        view.updated_at = changed.map_or(view.opened_at, from_stored);
        // It grows with everybody's changes, and this person can change nothing of it.
        view.version = 0;
        view.title_ja = format!("広域: {} ({})", view.subject, view.category.ja());
        view.title_en = format!("Wide-area: {} ({})", view.subject, view.category.en());
        view.reason = reason_of_many(&view.reason);
        Ok(view)
    }

    async fn part_of(&self, parent: &str) -> Result<Part, StoreError> {
        db::query_as(
            "SELECT count(*), CAST(coalesce(sum(findings), 0) AS BIGINT), min(first_evidence), max(last_evidence),
                max(updated_at)
             FROM incidents WHERE parent = $1 AND (CAST($2 AS TEXT) IS NULL OR $2 LIKE '%,' || body || ',%')",
        )
        .bind(parent)
        .bind(self.scope.sql())
        .fetch_one(self.store.reader())
        .await
        .map_err(query("read somebody's part of a wide-area incident"))
    }
}

/// Rule, kind and value: what they saw themselves.
fn reason_of_many(reason: &Value) -> Value {
    let inputs = reason.get("inputs");
    let shared = ["kind", "value"].into_iter().filter_map(|key| Some((key, inputs?.get(key)?)));
    let inputs: Map<String, Value> = shared.map(|(key, value)| (key.to_owned(), value.clone())).collect();
    let mut kept = Map::from_iter([("inputs".to_owned(), Value::Object(inputs))]);
    for key in ["rule", "formula"] {
        kept.extend(reason.get(key).map(|value| (key.to_owned(), value.clone())));
    }
    Value::Object(kept)
}

/// Every text in a value.
fn texts(value: &Value) -> Box<dyn Iterator<Item = &str> + '_> {
    match value {
        Value::String(text) => Box::new(text.split(',').map(str::trim)),
        Value::Array(items) => Box::new(items.iter().flat_map(texts)),
        Value::Object(fields) => Box::new(fields.values().flat_map(texts)),
        Value::Null | Value::Bool(_) | Value::Number(_) => Box::new(std::iter::empty()),
    }
}
