//! `/incidents/{id}/obligations` and `/incidents/{id}/calls`: what must be reported, and who was told by telephone.

use axum::extract::rejection::JsonRejection;
use axum::extract::{Path, State};
use axum::http::HeaderMap;
use axum::http::header::IF_MATCH;
use axum::{Extension, Json};
use sekimori_wire::time::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::{OpenApi, ToSchema};

use super::Caller;
use super::common::Versioned;
use super::problem::ApiError;
use super::work::{Wanted as Version, authorised, body};
use crate::clock::now;
use crate::console::Console;
use crate::incident::obligation::{ObligationKind, ObligationState};
use crate::incident::permission::{AtHand, Grant, Part, Permission, grant};
use crate::incident::transition::Refused;
use crate::store::clocks::call::{Call, SAID_MAX, TO_MAX};
use crate::store::clocks::duty::{Handed, MoveError, ObligationView};
use crate::store::seen::Step;
use crate::timing::assess::{Awareness, OriginRule};
use crate::timing::duty::{Exemption, Move, Mover, Refused as Unmoved};

/// What this module adds to the document.
#[derive(OpenApi)]
#[openapi(paths(obligations, move_obligation, awareness, call))]
pub(super) struct Duties;

/// What must be reported.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Obligations {
    /// The version of the incident.
    version: i64,
    obligations: Vec<Obligation>,
}

/// An obligation.
#[derive(Debug, Serialize, ToSchema)]
#[expect(clippy::struct_excessive_bools, reason = "each is a field of the answer")]
pub(super) struct Obligation {
    kind: ObligationKind,
    state: ObligationState,
    /// Nobody is obliged.
    voluntary: bool,
    /// The day on which it should be filed, in Japan.
    target: Option<String>,
    /// The day on which it must be filed.
    limit: Option<String>,
    /// Our own deadline before the limit.
    internal: Option<String>,
    /// Its last day has passed and nothing was filed.
    overdue: bool,
    /// It was filed after its last day.
    late: bool,
    /// What makes it owed.
    triggers: Vec<String>,
    reason: String,
    #[schema(value_type = Option<String>, format = DateTime)]
    filed_at: Option<Timestamp>,
    /// The number that the receiver gave.
    receipt: String,
    /// Who received it.
    filed_to: String,
    /// An exemption that waits for the body's CISO.
    proposed: Option<Proposed>,
}

/// An exemption that is asked for.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Proposed {
    reason: String,
    note: String,
    by: String,
    role: String,
}

impl Obligation {
    fn new(view: ObligationView, now: Timestamp) -> Self {
        let day = |day: Option<jiff::civil::Date>| day.map(|day| day.to_string());
        Self {
            overdue: view.overdue(now),
            late: view.late(),
            kind: view.kind,
            state: view.state,
            voluntary: view.voluntary,
            target: day(view.due.target),
            limit: day(view.due.limit),
            internal: day(view.due.internal),
            triggers: view.triggers,
            reason: view.reason,
            filed_at: view.filed_at,
            receipt: view.receipt,
            filed_to: view.filed_to,
            proposed: view.proposed.map(|one| Proposed {
                reason: one.reason,
                note: one.note,
                by: one.by,
                role: one.role,
            }),
        }
    }
}

/// A move of one obligation.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Moving {
    kind: ObligationKind,
    #[serde(rename = "move")]
    wanted: Wanted,
    /// The version of the incident that the caller saw; not needed with `If-Match`.
    version: Option<i64>,
    /// When it is arranged for (`schedule` needs it), or when it was filed (`file`; now, if not given).
    #[schema(value_type = Option<String>, format = DateTime)]
    at: Option<Timestamp>,
    /// Why it does not apply; `propose_exempt` needs it.
    #[schema(value_type = Option<String>)]
    reason: Option<String>,
    /// Why, in words.
    #[serde(default)]
    #[schema(max_length = 4000)]
    note: String,
    /// The number that the receiver gave.
    #[serde(default)]
    #[schema(max_length = 200)]
    receipt: String,
    /// Who received it; `file` needs it.
    #[serde(default)]
    #[schema(max_length = 200)]
    filed_to: String,
}

/// What may be asked. That an obligation does not apply is asked for by one person and approved by the body's CISO, another one.
#[derive(Clone, Copy, Debug, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum Wanted {
    Assess,
    Applies,
    Schedule,
    File,
    Supplement,
    Reassess,
    ProposeExempt,
    ApproveExempt,
    RejectExempt,
}

impl Moving {
    fn step(&self) -> Result<Step, ApiError> {
        let missing = |name: &str| ApiError::Refused(Refused::Guard(vec![name.to_owned()]));
        if self.note.chars().count() > SAID_MAX {
            return Err(missing("note"));
        }
        for (name, value) in [("receipt", &self.receipt), ("filed_to", &self.filed_to)] {
            if value.chars().count() > TO_MAX {
                return Err(missing(name));
            }
        }
        Ok(match self.wanted {
            Wanted::Assess => Step::Move(Move::Assess),
            Wanted::Applies => Step::Move(Move::Applies),
            Wanted::Schedule => Step::Move(Move::Schedule { at: self.at.ok_or_else(|| missing("at"))? }),
            Wanted::File if self.filed_to.trim().is_empty() => return Err(missing("filed_to")),
            Wanted::File => Step::Move(Move::File),
            Wanted::Supplement => Step::Move(Move::Supplement),
            Wanted::Reassess => Step::Move(Move::Reassess),
            Wanted::ProposeExempt => {
                let reason = self.reason.as_deref().and_then(Exemption::from_name);
                Step::Propose(reason.ok_or_else(|| missing("reason"))?)
            }
            Wanted::ApproveExempt => Step::Decide(true),
            Wanted::RejectExempt => Step::Decide(false),
        })
    }
}

/// Since when a leak is known.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Known {
    #[schema(value_type = String, format = DateTime)]
    known_at: Timestamp,
    /// Who knew first.
    #[schema(min_length = 1, max_length = 200)]
    known_by: String,
    /// In which department.
    #[serde(default)]
    #[schema(max_length = 200)]
    known_dept: String,
    /// Why it is corrected; needed where a time is recorded already.
    #[serde(default)]
    #[schema(max_length = 4000)]
    reason: String,
    /// The version of the incident that the caller saw; not needed with `If-Match`.
    version: Option<i64>,
}

fn refused(cause: MoveError, seen: i64, matched: bool) -> ApiError {
    let missing = |name: String| ApiError::Refused(Refused::Guard(vec![name]));
    match cause {
        MoveError::NotFound => ApiError::NotFound,
        MoveError::Store(cause) => cause.into(),
        MoveError::Conflict { is } if matched => ApiError::Precondition { is },
        MoveError::Conflict { is } => ApiError::Refused(Refused::Conflict { seen, is }),
        MoveError::Future => missing("at".to_owned()),
        MoveError::Why => missing("reason".to_owned()),
        MoveError::NothingProposed => missing("proposal".to_owned()),
        MoveError::Refused(Unmoved::Role(role)) => ApiError::Refused(Refused::NotAllowed {
            role: Part::Person(role),
            permission: Permission::ObligationFile,
        }),
        MoveError::Refused(Unmoved::State(state)) => missing(format!("obligation.not_while:{state}")),
        MoveError::Refused(Unmoved::Past) => missing("at".to_owned()),
        MoveError::Refused(Unmoved::Approval) => missing("approval".to_owned()),
        MoveError::Refused(Unmoved::Words) => missing("note".to_owned()),
        MoveError::Refused(Unmoved::NotVoluntary) => missing("voluntary".to_owned()),
    }
}

fn mover(caller: &Caller) -> Mover<'_> {
    Mover { account: caller.user.name.as_str(), role: caller.user.role, now: now() }
}

/// What must be reported of an incident, with its days; what is overdue says so.
#[utoipa::path(
    get, path = "/api/v1/incidents/{id}/obligations", tag = "incidents",
    params(("id" = String, Path, description = "`INC-…`")),
    responses((status = 200, description = "Every obligation", body = Obligations))
)]
pub(super) async fn obligations(
    State(console): State<Console>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<(Extension<Versioned>, Json<Obligations>), ApiError> {
    let seen = console.seen_by(&caller.user);
    let views = seen.obligations(&id).await?.ok_or(ApiError::NotFound)?;
    let version = seen.incident(&id).await?.ok_or(ApiError::NotFound)?.version;
    let now = now();
    let all = views.into_iter().map(|view| Obligation::new(view, now)).collect();
    Ok((Extension(Versioned(version)), Json(Obligations { version, obligations: all })))
}

/// Moves an obligation: decided, arranged, filed, or an exemption asked for and approved.
#[utoipa::path(
    post, path = "/api/v1/incidents/{id}/obligations", tag = "incidents", request_body = Moving,
    params(("id" = String, Path, description = "`INC-…`")),
    responses((status = 200, description = "Every obligation, after it", body = Obligations))
)]
pub(super) async fn move_obligation(
    State(console): State<Console>,
    caller: Caller,
    Path(id): Path<String>,
    headers: HeaderMap,
    asked: Result<Json<Moving>, JsonRejection>,
) -> Result<(Extension<Versioned>, Json<Obligations>), ApiError> {
    authorised(&caller, &headers)?;
    let seen = console.seen_by(&caller.user);
    if !seen.is_wholly_theirs(&id).await? {
        return Err(ApiError::NotFound);
    }
    let asked = body(asked)?;
    let (version, matched) = Version::new(asked.version, &headers)?.of(seen, &id).await?;
    let step = asked.step()?;
    let handed = Handed {
        version: Some(version),
        receipt: asked.receipt.trim(),
        filed_to: asked.filed_to.trim(),
        filed_at: asked.at.filter(|_| matches!(asked.wanted, Wanted::File)),
        note: asked.note.trim(),
    };
    let done = seen.move_obligation(&id, asked.kind, mover(&caller), &step, &handed).await;
    done.map_err(|cause| refused(cause, version, matched))?;
    obligations(State(console.clone()), caller, Path(id)).await
}

/// Records since when a leak is known, or corrects it with a reason; the days are computed anew within a second.
#[utoipa::path(
    post, path = "/api/v1/incidents/{id}/awareness", tag = "incidents", request_body = Known,
    params(("id" = String, Path, description = "`INC-…`")),
    responses((status = 200, description = "It is written down", body = bool, content_type = "application/json"))
)]
pub(super) async fn awareness(
    State(console): State<Console>,
    caller: Caller,
    Path(id): Path<String>,
    headers: HeaderMap,
    asked: Result<Json<Known>, JsonRejection>,
) -> Result<Json<bool>, ApiError> {
    authorised(&caller, &headers)?;
    let seen = console.seen_by(&caller.user);
    if !seen.is_wholly_theirs(&id).await? {
        return Err(ApiError::NotFound);
    }
    let asked = body(asked)?;
    let (version, matched) = Version::new(asked.version, &headers)?.of(seen, &id).await?;
    let mut missing = Vec::new();
    if asked.known_by.trim().is_empty() || asked.known_by.chars().count() > TO_MAX {
        missing.push("known_by".to_owned());
    }
    if asked.known_dept.chars().count() > TO_MAX {
        missing.push("known_dept".to_owned());
    }
    if asked.reason.chars().count() > SAID_MAX {
        missing.push("reason".to_owned());
    }
    if !missing.is_empty() {
        return Err(ApiError::Refused(Refused::Guard(missing)));
    }
    let known = Awareness {
        known_at: asked.known_at,
        known_by: asked.known_by,
        known_dept: asked.known_dept,
        origin_rule: OriginRule::Recorded,
    };
    let done = seen.record_awareness(&id, &known, mover(&caller), asked.reason.trim(), Some(version)).await;
    done.map_err(|cause| refused(cause, version, matched))?;
    Ok(Json(true))
}

/// Writes a telephone call down. One that reached the body counts as telling it. Calls are added and change nothing, so that
/// they need no version.
#[utoipa::path(
    post, path = "/api/v1/incidents/{id}/calls", tag = "incidents", request_body = Call,
    params(("id" = String, Path, description = "`INC-…`")),
    responses((status = 200, description = "It is written down", body = bool, content_type = "application/json"))
)]
pub(super) async fn call(
    State(console): State<Console>,
    caller: Caller,
    Path(id): Path<String>,
    headers: HeaderMap,
    asked: Result<Json<Call>, JsonRejection>,
) -> Result<Json<bool>, ApiError> {
    authorised(&caller, &headers)?;
    let seen = console.seen_by(&caller.user);
    let view = seen.incident(&id).await?.ok_or(ApiError::NotFound)?;
    if !seen.is_wholly_theirs(&id).await? {
        return Err(ApiError::NotFound);
    }
    if headers.contains_key(IF_MATCH) {
        Version::new(None, &headers)?.of(seen, &id).await?;
    }
    let role = Part::Person(caller.user.role);
    let at_hand = AtHand { severity: view.severity, level: None, days: None };
    if grant(role, Permission::Work, at_hand) != Grant::May {
        return Err(ApiError::Refused(Refused::NotAllowed { role, permission: Permission::Work }));
    }
    let asked = body(asked)?;
    let missing = asked.missing(now());
    if !missing.is_empty() {
        return Err(ApiError::Refused(Refused::Guard(missing.into_iter().map(str::to_owned).collect())));
    }
    Ok(Json(seen.record_call(&id, &asked, mover(&caller)).await?))
}
