//! How things look in JSON. The names are a contract.

use serde_json::{Value, json};

use sekimori_wire::batch::Lane;
use sekimori_wire::id::Digest;
use sekimori_wire::time::Timestamp;

use crate::clock::{from_stored, now};
use crate::console::Check;
use crate::exceptions::{days_left, ending_within};
use crate::fleet::policy::command::Reported;
use crate::incident::similar::Similar;
use crate::incident::taxonomy::elsewhere;
use crate::incident::transition::Offer;
use crate::store::exception::{ExceptionView, UnknownView};
use crate::store::view::{
    AgentView, BatchView, ChangeView, FindingView, IncidentView, LinkView, RejectionView,
};
use crate::store::work::{GrantView, NoteView, WorkView};

/// An incident, as in lists.
pub(super) fn incident(view: &IncidentView) -> Value {
    json!({
        "id": view.id,
        "category": view.category.as_str(),
        "severity": view.severity,
        "state": view.state.as_str(),
        "body": view.body,
        "body_name": view.body_name,
        "subject": view.subject,
        "title": { "ja": view.title_ja, "en": view.title_en },
        "grouping": {
            "key": { "body": view.body, "category": view.category.as_str(), "subject": view.subject },
            "rule": view.reason.get("rule"),
        },
        "parent": view.parent,
        "children": view.children,
        "findings": view.findings,
        "sources": view.sources,
        "verified": view.signed,
        "mode": if view.replay { "replay" } else { "live" },
        "opened_at": view.opened_at,
        "updated_at": view.updated_at,
        "first_evidence": view.first_evidence,
        "last_evidence": view.last_evidence,
        "version": view.version,
    })
}

/// The work on an incident: what people wrote and decided, what is to do, and what the caller could do next.
pub(super) fn work(view: &WorkView, offers: &[Offer], similar: &[Similar<'_>]) -> Value {
    let facts = &view.facts;
    let others = elsewhere(facts.category);
    let offer =
        |one: &Offer| json!({ "action": one.action, "proposes": one.proposes, "missing": one.missing });
    let note =
        |one: &NoteView| json!({ "at": one.at, "author": one.author, "role": one.role, "text": one.text });
    let resembles = |one: &Similar<'_>| {
        json!({
            "id": one.past.id, "score": one.score, "because": one.because,
            "lesson": one.past.lesson, "root_cause": one.past.root_cause,
        })
    };
    let obligations: Vec<Value> =
        facts.obligations.iter().map(|one| json!({ "kind": one.kind, "state": one.state })).collect();
    json!({
        "version": facts.version,
        "drill": facts.drill,
        "facts": facts.work,
        "investigation_percent": facts.work.investigation.completeness(),
        "tasks": facts.tasks,
        "proposals": facts.proposals,
        "obligations": obligations,
        "notes": view.notes.iter().map(note).collect::<Vec<_>>(),
        "merged_here": view.merged,
        "masked": view.masked,
        "grants": view.grants.iter().map(grant).collect::<Vec<_>>(),
        "offers": offers.iter().map(offer).collect::<Vec<_>>(),
        "similar": similar.iter().map(resembles).collect::<Vec<_>>(),
        "elsewhere": { "jpcert": others.jpcert, "rsit": others.rsit },
    })
}

/// Something that two persons agreed to.
fn grant(view: &GrantView) -> Value {
    json!({
        "n": view.n, "kind": view.kind, "what": view.what, "state": view.state(now()), "asked_by": view.asked_by,
        "granted_by": view.granted_by, "at": view.at, "until": view.until, "reason": view.reason,
        "tlp": (!view.tlp.is_empty()).then_some(&view.tlp), "extract": view.digest,
    })
}

/// An incident that a rule put beside another one.
pub(super) fn link(view: &LinkView) -> Value {
    json!({ "incident": view.incident, "rule": view.rule, "details": view.json })
}

/// A finding, with the batch that brought it.
pub(super) fn finding(view: &FindingView) -> Value {
    let batch = json!({ "agent": view.batch.agent, "lane": lane(view.batch.lane), "epoch": view.batch.epoch, "seq": view.batch.seq });
    json!({
        "body": view.body,
        "finding": view.json,
        "link": view.link,
        "exception": view.exception,
        "batch": batch,
    })
}

/// An exception in force. `ends_within` is 0 once it has ended, else 7, 14 or 30 days, or null.
pub(super) fn exception(view: &ExceptionView, now: Timestamp) -> Value {
    json!({
        "id": view.id,
        "owner": view.owner,
        "reason": view.reason,
        "scope": view.scope,
        "created": view.created,
        "expires": view.expires,
        "days_left": days_left(view.expires, now),
        "ends_within": ending_within(view.expires, now),
        "findings": view.findings,
        "last": view.last,
    })
}

/// An exception that only an agent knows.
pub(super) fn unknown(view: &UnknownView) -> Value {
    json!({
        "id": view.id,
        "agent": view.agent,
        "agent_name": view.agent_name,
        "findings": view.findings,
        "last": view.last,
    })
}

/// A batch, verified just now.
pub(super) fn batch(view: &BatchView) -> Value {
    json!({
        "agent": view.name.agent,
        "agent_name": view.agent_name,
        "lane": lane(view.name.lane),
        "epoch": view.name.epoch,
        "seq": view.name.seq,
        "digest": Digest::from_bytes(&view.digest),
        "received_at": from_stored(view.received_at),
        "signature": Check::of(view).as_str(),
    })
}

/// The name of a lane.
fn lane(number: i64) -> Option<&'static str> {
    Some(Lane::from_number(number.try_into().ok()?)?.as_str())
}

/// A line of a history.
pub(super) fn change(view: &ChangeView) -> Value {
    json!({ "at": view.at, "kind": view.kind, "details": view.json })
}

/// An agent.
pub(super) fn agent(view: &AgentView) -> Value {
    let reported = Reported::of(view);
    let health = view.health_json.as_deref().and_then(|json| serde_json::from_str::<Value>(json).ok());
    json!({
        "id": view.id,
        "name": view.name,
        "body": view.body,
        "body_name": view.body_name,
        "enrolled_at": from_stored(view.enrolled_at),
        "revoked_at": view.revoked_at.map(from_stored),
        "certificate_expires_at": from_stored(view.cert_expires_at),
        "last_seen": view.last_seen.map(from_stored),
        "epoch": view.epoch,
        "through": view.through,
        "head": view.head.as_deref().and_then(Digest::from_bytes),
        "detail": {
            "epoch": view.detail_epoch,
            "through": view.detail_through,
            "head": view.detail_head.as_deref().and_then(Digest::from_bytes),
        },
        "sealed_at": view.sealed_at.map(from_stored),
        "version": view.version,
        "sealed_ahead_ms": view.sealed_ahead.map(|nanos| nanos / 1_000_000),
        "policy": { "wanted": view.policy_wanted, "version": reported.version, "state": reported.state },
        "conditions": view.conditions,
        "health": health,
    })
}

/// Somebody who was turned away.
pub(super) fn rejection(view: &RejectionView) -> Value {
    json!({
        "peer": view.peer,
        "kind": view.kind,
        "count": view.count,
        "last_at": from_stored(view.last_at),
        "detail": view.detail,
    })
}
