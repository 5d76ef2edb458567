//! What must be reported of an incident and who was called, for people: the days, what can be done, and the forms.

use axum::Form;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Redirect, Response};
use sekimori_wire::time::Timestamp;

use super::page::{When, error, failed, shown};
use super::work::again;
use super::{Console, Visitor};
use crate::auth::role::Role;
use crate::clock::now;
use crate::i18n::Lang;
use crate::incident::obligation::{ObligationKind, ObligationState};
use crate::incident::permission::{AtHand, Grant, Part, Permission, grant};
use crate::store::StoreError;
use crate::store::clocks::call::{Call, CalledRole, SAID_MAX, TO_MAX};
use crate::store::clocks::duty::{Handed, MoveError, ObligationView};
use crate::store::seen::{Seen, Step};
use crate::store::view::IncidentView;
use crate::timing::assess::{Awareness, OriginRule};
use crate::timing::duty::{Exemption, Move, Mover, Refused, corrects, files, prepares};

/// What the part shows.
#[derive(Debug)]
pub(super) struct Duties {
    pub(super) rows: Vec<DutyRow>,
    pub(super) exemptions: Vec<(&'static str, &'static str)>,
    pub(super) called: Vec<(&'static str, String)>,
    pub(super) may_know: bool,
    pub(super) may_call: bool,
}

/// An obligation.
#[derive(Debug)]
pub(super) struct DutyRow {
    pub(super) kind: &'static str,
    pub(super) label: &'static str,
    pub(super) state: &'static str,
    pub(super) overdue: bool,
    pub(super) late: bool,
    pub(super) limit: String,
    pub(super) target: String,
    pub(super) reason: String,
    pub(super) filed: Option<When>,
    pub(super) filed_to: String,
    pub(super) receipt: String,
    pub(super) proposed: String,
    /// What this person could do with it: value and words.
    pub(super) moves: Vec<(&'static str, String)>,
}

/// What this person sees and may do.
pub(super) async fn duties(
    seen: &Seen<'_>,
    visitor: &Visitor,
    view: &IncidentView,
) -> Result<Duties, StoreError> {
    let (lang, role) = (visitor.lang, visitor.user.role);
    let views = seen.obligations(&view.id).await?;
    let theirs = views.is_some();
    let now = now();
    let row = |one: &ObligationView| DutyRow::new(lang, visitor, one, now);
    let called = |one: CalledRole| {
        let label = Role::from_name(one.as_str()).map(|role| lang.role(role));
        (one.as_str(), label.unwrap_or_else(|| lang.text("called-other")))
    };
    Ok(Duties {
        rows: views.iter().flatten().map(row).collect(),
        exemptions: Exemption::ALL.iter().map(|one| (one.as_str(), lang.pick(one.ja(), one.en()))).collect(),
        called: CalledRole::ALL.into_iter().map(called).collect(),
        may_know: theirs && (prepares(role).is_ok() || corrects(role).is_ok()),
        may_call: theirs && may_call(role, view),
    })
}

fn may_call(role: Role, view: &IncidentView) -> bool {
    let at_hand = AtHand { severity: view.severity, level: None, days: None };
    grant(Part::Person(role), Permission::Work, at_hand) == Grant::May
}

impl DutyRow {
    fn new(lang: Lang, visitor: &Visitor, one: &ObligationView, now: Timestamp) -> Self {
        let day = |day: Option<jiff::civil::Date>| day.map(|day| day.to_string()).unwrap_or_default();
        let proposed = one.proposed.as_ref().map(|asked| {
            let reason = Exemption::from_name(&asked.reason).map(|one| lang.pick(one.ja(), one.en()));
            shown(&format!("{}: {} ({})", reason.unwrap_or_default(), asked.note, asked.by))
        });
        Self {
            kind: one.kind.as_str(),
            label: lang.pick(one.kind.ja(), one.kind.en()),
            state: lang.pick(one.state.ja(), one.state.en()),
            overdue: one.overdue(now),
            late: one.late(),
            limit: day(one.due.limit),
            target: day(one.due.target),
            reason: shown(&one.reason),
            filed: one.filed_at.map(When::from),
            filed_to: shown(&one.filed_to),
            receipt: shown(&one.receipt),
            proposed: proposed.unwrap_or_default(),
            moves: moves(visitor, one)
                .into_iter()
                .map(|name| (name, lang.text(&format!("duty-move-{name}"))))
                .collect(),
        }
    }
}

/// What this person could do with it now.
fn moves(visitor: &Visitor, one: &ObligationView) -> Vec<&'static str> {
    use ObligationState as S;
    let role = visitor.user.role;
    let mut out = Vec::new();
    if files(role).is_ok() {
        out.extend(match one.state {
            S::Applicable | S::Scheduled => &["file", "schedule"][..],
            S::FiledPrelim | S::FiledFinal => &["supplement"][..],
            S::NotAssessed | S::Assessing | S::Completed | S::NotApplicable => &[][..],
        });
    }
    if prepares(role).is_ok() {
        out.extend(match one.state {
            S::NotAssessed => &["assess", "applies", "propose_exempt"][..],
            S::Assessing => &["applies", "propose_exempt"][..],
            S::Applicable => &["propose_exempt", "reassess"][..],
            S::Scheduled | S::NotApplicable => &["reassess"][..],
            S::FiledPrelim | S::FiledFinal | S::Completed => &[][..],
        });
    }
    if let Some(asked) = &one.proposed {
        let own = asked.by == visitor.user.name.as_str();
        out.extend((role == Role::BodyCiso && !own).then_some("approve_exempt"));
        out.extend((role == Role::BodyCiso || own).then_some("reject_exempt"));
    }
    out
}

/// Why it was not done.
enum Undone {
    Missing(&'static str),
    Status(StatusCode),
    Store(StoreError),
}

impl From<MoveError> for Undone {
    fn from(cause: MoveError) -> Self {
        match cause {
            MoveError::NotFound => Self::Status(StatusCode::NOT_FOUND),
            MoveError::Conflict { .. } | MoveError::Refused(Refused::State(_)) => {
                Self::Status(StatusCode::CONFLICT)
            }
            MoveError::Refused(Refused::Role(_)) => Self::Status(StatusCode::FORBIDDEN),
            MoveError::Future | MoveError::Refused(Refused::Past) => Self::Missing("at"),
            MoveError::Why | MoveError::Refused(Refused::Words) => Self::Missing("note"),
            MoveError::NothingProposed => Self::Missing("proposal"),
            MoveError::Refused(Refused::Approval) => Self::Missing("approval"),
            MoveError::Refused(Refused::NotVoluntary) => Self::Missing("voluntary"),
            MoveError::Store(cause) => Self::Store(cause),
        }
    }
}

/// The fields of a form.
struct Fields(Vec<(String, String)>);

impl Fields {
    fn one(&self, name: &str) -> &str {
        self.0.iter().find(|(field, _)| field == name).map_or("", |(_, value)| value.trim())
    }

    /// At most so long.
    fn within(&self, name: &'static str, most: usize) -> Result<&str, Undone> {
        let text = self.one(name);
        if text.chars().count() > most { Err(Undone::Missing(name)) } else { Ok(text) }
    }

    /// Japan's, as the field of a browser gives it.
    fn at(&self) -> Result<Option<Timestamp>, Undone> {
        let at = self.one("at");
        if at.is_empty() {
            return Ok(None);
        }
        format!("{at}:00+09:00").parse().map(Some).map_err(|_cause| Undone::Missing("at"))
    }

    fn step(&self, at: Option<Timestamp>) -> Result<Step, Undone> {
        Ok(match self.one("move") {
            "assess" => Step::Move(Move::Assess),
            "applies" => Step::Move(Move::Applies),
            "schedule" => Step::Move(Move::Schedule { at: at.ok_or(Undone::Missing("at"))? }),
            "file" if self.one("filed_to").is_empty() => return Err(Undone::Missing("filed_to")),
            "file" => Step::Move(Move::File),
            "supplement" => Step::Move(Move::Supplement),
            "reassess" => Step::Move(Move::Reassess),
            "propose_exempt" => {
                Step::Propose(Exemption::from_name(self.one("reason")).ok_or(Undone::Missing("reason"))?)
            }
            "approve_exempt" => Step::Decide(true),
            "reject_exempt" => Step::Decide(false),
            _ => return Err(Undone::Status(StatusCode::BAD_REQUEST)),
        })
    }
}

/// `POST /incidents/{id}/duty`: a form of this part.
pub(super) async fn submit(
    State(console): State<Console>,
    visitor: Visitor,
    Path(id): Path<String>,
    Form(fields): Form<Vec<(String, String)>>,
) -> Response {
    let (lang, fields) = (visitor.lang, Fields(fields));
    if fields.one("csrf") != visitor.token.csrf() {
        return error(lang, StatusCode::FORBIDDEN);
    }
    let seen = console.seen_by(&visitor.user);
    match done(&seen, &visitor, &id, &fields).await {
        Ok(()) => Redirect::to(&format!("/incidents/{id}#duties")).into_response(),
        Err(Undone::Missing(name)) => again(&console, &visitor, &id, vec![name.to_owned()]).await,
        Err(Undone::Status(status)) => error(lang, status),
        Err(Undone::Store(cause)) => failed(lang, &cause),
    }
}

async fn done(seen: &Seen<'_>, visitor: &Visitor, id: &str, fields: &Fields) -> Result<(), Undone> {
    let view = seen.incident(id).await.map_err(Undone::Store)?;
    let view = view.ok_or(Undone::Status(StatusCode::NOT_FOUND))?;
    if !visitor.user.scope.covers_whole(view.body.as_deref()) {
        return Err(Undone::Status(StatusCode::NOT_FOUND));
    }
    let by = Mover { account: visitor.user.name.as_str(), role: visitor.user.role, now: now() };
    let version = fields.one("version").parse().map_err(|_cause| Undone::Status(StatusCode::BAD_REQUEST))?;
    let (at, note) = (fields.at()?, fields.within("note", SAID_MAX)?);
    if fields.one("move") == "call" {
        return call(seen, &view, by, (fields, at)).await;
    }
    if fields.one("move") == "known" {
        let known_by = fields.within("known_by", TO_MAX)?;
        let known = Awareness {
            known_at: at.ok_or(Undone::Missing("at"))?,
            known_by: Some(known_by)
                .filter(|by| !by.is_empty())
                .ok_or(Undone::Missing("known_by"))?
                .to_owned(),
            known_dept: fields.within("known_dept", TO_MAX)?.to_owned(),
            origin_rule: OriginRule::Recorded,
        };
        return Ok(seen.record_awareness(id, &known, by, note, Some(version)).await?);
    }
    let step = fields.step(at)?;
    let kind = ObligationKind::from_name(fields.one("kind"));
    let kind = kind.ok_or(Undone::Status(StatusCode::BAD_REQUEST))?;
    let handed = Handed {
        version: Some(version),
        receipt: fields.within("receipt", TO_MAX)?,
        filed_to: fields.within("filed_to", TO_MAX)?,
        filed_at: at.filter(|_| matches!(step, Step::Move(Move::File))),
        note,
    };
    Ok(seen.move_obligation(id, kind, by, &step, &handed).await?)
}

async fn call(
    seen: &Seen<'_>,
    view: &IncidentView,
    by: Mover<'_>,
    (fields, at): (&Fields, Option<Timestamp>),
) -> Result<(), Undone> {
    if !may_call(by.role, view) {
        return Err(Undone::Status(StatusCode::FORBIDDEN));
    }
    let role = CalledRole::from_name(fields.one("role"));
    let call = Call {
        to: fields.one("to").to_owned(),
        reached: fields.one("reached") == "1",
        said: fields.one("said").to_owned(),
        role: role.ok_or(Undone::Status(StatusCode::BAD_REQUEST))?,
        at,
    };
    if let Some(name) = call.missing(by.now).first() {
        return Err(Undone::Missing(name));
    }
    seen.record_call(&view.id, &call, by).await.map(drop).map_err(Undone::Store)
}
