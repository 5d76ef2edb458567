//! The work on an incident, for people: next steps, tasks to tick, forms to fill in, proposals to decide.

use axum::Form;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Redirect, Response};
use sekimori_wire::id::BodyCode;

use super::granted::{GrantRow, hidden};
use super::incident::read;
use super::page::{When, error, failed, render, shown};
use super::{Console, Visitor, conflict};
use crate::clock::now;
use crate::i18n::Lang;
use crate::incident::IncidentCategory;
use crate::incident::facts::{IncidentFacts, ProposalState};
use crate::incident::form::{Aspect, CauseClass, FalsePositiveReason, Leak, LeakClass, Publication};
use crate::incident::obligation::ObligationKind;
use crate::incident::permission::{Grant, Part, Permission, grant};
use crate::incident::severity::{Impact, Urgency};
use crate::incident::similar::similar;
use crate::incident::task::TaskState;
use crate::incident::transition::{Asked, Offer, Refused, offers};
use crate::store::StoreError;
use crate::store::work::{Acted, WorkView};

mod fill;

/// Everything that the work part of an incident's page shows.
#[derive(Debug)]
pub(super) struct Panel {
    pub(super) version: i64,
    /// Why the last thing was not done.
    pub(super) refused: Vec<String>,
    pub(super) steps: Vec<StepForm>,
    pub(super) tasks: Vec<TaskRow>,
    pub(super) proposals: Vec<ProposalRow>,
    pub(super) triage: Option<TriageForm>,
    pub(super) investigation: Vec<AnswerRow>,
    pub(super) percent: u8,
    /// What this person may do here, or propose where the form says so.
    pub(super) may: Vec<Permission>,
    pub(super) publication: Publication,
    pub(super) leak: Leak,
    /// Where others speak of it.
    pub(super) mentioned: String,
    pub(super) review: ReviewForm,
    pub(super) eta: Option<When>,
    pub(super) evidence: String,
    pub(super) similar: Vec<SimilarRow>,
    pub(super) notes: Vec<NoteRow>,
    pub(super) merged: Vec<String>,
    /// Who works on it; empty: nobody in particular.
    pub(super) owner: String,
    /// To whom it can be given: name and role.
    pub(super) people: Vec<(String, String)>,
    /// What can be split off: identifier and words.
    pub(super) findings: Vec<(String, String)>,
    /// What is hidden: name and words.
    pub(super) masked: Vec<(String, String)>,
    pub(super) grants: Vec<GrantRow>,
    /// Bodies as recipients: code and name.
    pub(super) bodies: Vec<(String, String)>,
    /// Why retention leaves it alone.
    pub(super) hold: String,
    pub(super) can_hold: bool,
}

/// A step that this person could take, or propose.
#[derive(Debug)]
pub(super) struct StepForm {
    pub(super) action: &'static str,
    pub(super) label: String,
    pub(super) proposes: bool,
    pub(super) missing: Vec<String>,
    pub(super) needs_reason: bool,
    /// Where a step back leads.
    pub(super) to: Option<&'static str>,
    /// Reasons to choose from.
    pub(super) codes: Vec<Choice>,
}

/// A task.
#[derive(Debug)]
pub(super) struct TaskRow {
    pub(super) n: u32,
    pub(super) text: String,
    pub(super) mandatory: bool,
    pub(super) role: String,
    pub(super) open: bool,
    pub(super) outcome: String,
}

/// Something that waits for a decision.
#[derive(Debug)]
pub(super) struct ProposalRow {
    pub(super) n: u32,
    pub(super) label: String,
    pub(super) reason: String,
    pub(super) by: String,
    pub(super) at: When,
    pub(super) can_decide: bool,
    pub(super) own: bool,
}

/// Something to choose.
#[derive(Debug)]
pub(super) struct Choice {
    pub(super) value: &'static str,
    pub(super) label: &'static str,
    pub(super) chosen: bool,
}

/// The triage form.
#[derive(Debug)]
pub(super) struct TriageForm {
    pub(super) categories: Vec<Choice>,
    pub(super) impacts: Vec<Choice>,
    pub(super) urgencies: Vec<Choice>,
    pub(super) hurts: Vec<Choice>,
    pub(super) leaks: Vec<Choice>,
    pub(super) causes: Vec<Choice>,
    pub(super) owner: String,
    pub(super) proposes: bool,
}

/// An item of the investigation.
#[derive(Debug)]
pub(super) struct AnswerRow {
    pub(super) name: &'static str,
    pub(super) label: String,
    pub(super) value: String,
    pub(super) unknown: String,
    pub(super) given: bool,
}

/// The review.
#[derive(Debug, Default)]
pub(super) struct ReviewForm {
    pub(super) held_on: String,
    pub(super) attendees: String,
    pub(super) whys: String,
    pub(super) root_cause: String,
    pub(super) findings: String,
    pub(super) lesson: String,
    pub(super) prevention: Vec<(String, String, String)>,
}

/// An incident of the past.
#[derive(Debug)]
pub(super) struct SimilarRow {
    pub(super) id: String,
    pub(super) because: String,
    pub(super) lesson: String,
}

/// A note.
#[derive(Debug)]
pub(super) struct NoteRow {
    pub(super) at: When,
    pub(super) author: String,
    pub(super) text: String,
}

/// Forms that whoever may only propose has, too.
const PROPOSABLE: &[Permission] = &[
    Permission::Level,
    Permission::Regroup,
    Permission::PublicationApprove,
    Permission::Triage,
    Permission::Unmask,
    Permission::Share,
    Permission::EvidenceCapture,
    Permission::Suppress,
];
/// Rows for prevention measures that the form has at least.
const PREVENTION_ROWS: usize = 3;

/// What the part shows to this person.
pub(super) async fn panel(
    console: &Console,
    visitor: &Visitor,
    id: &str,
    refused: &[String],
) -> Result<Option<Panel>, StoreError> {
    let Some(view) = console.seen_by(&visitor.user).work_of(id).await? else { return Ok(None) };
    let compared = console.seen_by(&visitor.user).traits_of(id).await?;
    let lang = visitor.lang;
    let resembling = compared.as_ref().map(|(own, past)| similar(own, past)).unwrap_or_default();
    let because = |words: &[&'static str]| {
        words.iter().map(|word| lang.text(&format!("because-{word}"))).collect::<Vec<_>>().join("・")
    };
    let rows = resembling.iter().map(|one| SimilarRow {
        id: one.past.id.clone(),
        because: because(&one.because),
        lesson: shown(&one.past.lesson),
    });
    let body = view.facts.body.as_ref().map(BodyCode::as_str);
    let whole = visitor.user.scope.covers_whole(body);
    let people = if whole { console.everything().users().await? } else { Vec::new() };
    let mut panel = Panel::new(lang, visitor, &view, refused);
    panel.people = people
        .iter()
        .filter(|one| !one.disabled && one.user.role.works_incidents() && one.user.scope.covers_whole(body))
        .map(|one| (one.user.name.to_string(), lang.role(one.user.role)))
        .collect();
    let bodies = console.seen_by(&visitor.user).bodies().await?;
    panel.bodies = bodies.into_iter().map(|(code, name)| (code, shown(&name))).collect();
    panel.similar = rows.collect();
    Ok(Some(panel))
}

impl Panel {
    /// Whether this person has that form.
    pub(super) fn can(&self, permission: &str) -> bool {
        self.may.iter().any(|one| one.as_str() == permission)
    }

    fn new(lang: Lang, visitor: &Visitor, view: &WorkView, refused: &[String]) -> Self {
        let facts = &view.facts;
        let offered = offers(facts, &visitor.user.actor(), now());
        let may = |permission| granted(visitor, facts, permission) == Grant::May;
        let open = facts.state.is_open();
        let work = &facts.work;
        Self {
            version: facts.version,
            refused: refused.iter().map(|one| missing(lang, facts, one)).collect(),
            steps: offered
                .iter()
                .filter(|offer| !["acknowledge", "triage"].contains(&offer.action))
                .map(|offer| StepForm::new(lang, facts, offer))
                .collect(),
            tasks: facts.tasks.iter().map(|task| TaskRow::new(lang, task)).collect(),
            proposals: facts
                .proposals
                .iter()
                .filter(|one| one.state == ProposalState::Pending)
                .map(|one| ProposalRow::new(lang, visitor, facts, one))
                .collect(),
            triage: offered
                .iter()
                .find(|offer| offer.action == "triage")
                .map(|_| TriageForm::new(lang, facts, !may(Permission::Triage))),
            investigation: work
                .investigation
                .items()
                .map(|(name, answer)| AnswerRow {
                    name,
                    label: lang.text(&format!("missing-investigation-{name}")),
                    value: answer.value.clone().unwrap_or_default(),
                    unknown: answer.unknown_because.clone().unwrap_or_default(),
                    given: answer.is_given(),
                })
                .into(),
            percent: work.investigation.completeness(),
            may: [Permission::Record, Permission::Work, Permission::Waive]
                .into_iter()
                .filter(|permission| may(*permission))
                .chain(PROPOSABLE.iter().copied().filter(|one| granted(visitor, facts, *one) != Grant::No))
                .filter(|_| open)
                .collect(),
            publication: work.publication.clone().unwrap_or_default(),
            leak: work.leak.clone().unwrap_or_default(),
            mentioned: work.mentioned.as_ref().map(|one| shown(&one.place)).unwrap_or_default(),
            review: ReviewForm::new(facts),
            eta: work.etas.last().map(|eta| When::from(eta.until)),
            evidence: work.evidence.as_ref().map(|one| shown(&one.what)).unwrap_or_default(),
            similar: Vec::new(),
            notes: view
                .notes
                .iter()
                .map(|note| NoteRow {
                    at: When::from(note.at),
                    author: shown(&note.author),
                    text: shown(&note.text),
                })
                .collect(),
            merged: view.merged.clone(),
            owner: work.owner.clone().unwrap_or_default(),
            people: Vec::new(),
            findings: facts.findings.iter().map(|id| (id.clone(), String::new())).collect(),
            masked: view.masked.iter().map(|one| (one.clone(), hidden(lang, one))).collect(),
            grants: view.grants.iter().map(|one| GrantRow::new(lang, visitor, one)).collect(),
            bodies: Vec::new(),
            hold: work.hold.as_ref().map(|one| shown(&one.what)).unwrap_or_default(),
            can_hold: granted(visitor, facts, Permission::Close) != Grant::No,
        }
    }
}

fn granted(visitor: &Visitor, facts: &IncidentFacts, permission: Permission) -> Grant {
    let at_hand = crate::incident::permission::AtHand { severity: facts.severity, level: None, days: None };
    grant(Part::Person(visitor.user.role), permission, at_hand)
}

/// What is missing, in words.
fn missing(lang: Lang, facts: &IncidentFacts, name: &str) -> String {
    if let Some(n) = name.strip_prefix("task:").and_then(|n| n.parse::<u32>().ok())
        && let Some(task) = facts.tasks.iter().find(|task| task.n == n)
    {
        return format!("{n}. {}", shown(lang.pick(&task.ja, &task.en)));
    }
    if let Some(kind) = name.strip_prefix("obligation:").and_then(ObligationKind::from_name) {
        return lang.pick(kind.ja(), kind.en()).to_owned();
    }
    let key = format!("missing-{}", name.replace(['.', '_'], "-"));
    if lang.has(&key) { lang.text(&key) } else { shown(name) }
}

macro_rules! choices {
    ($lang:expr, $words:ty, $chosen:expr) => {{
        let chosen = $chosen;
        let one = |word: &$words| Choice {
            value: word.as_str(),
            label: $lang.pick(word.ja(), word.en()),
            chosen: chosen(*word),
        };
        <$words>::ALL.iter().map(one).collect::<Vec<_>>()
    }};
}

impl StepForm {
    fn new(lang: Lang, facts: &IncidentFacts, offer: &Offer) -> Self {
        let silent =
            ["acknowledge", "start", "investigate", "notify", "recover", "finish", "close", "expire"];
        let notifying = facts.state == crate::incident::IncidentState::Notifying;
        let back = if notifying { "investigating" } else { "containing" };
        let no = |_: FalsePositiveReason| false;
        Self {
            action: offer.action,
            label: lang.text(&format!("action-{}", offer.action)),
            proposes: offer.proposes,
            missing: offer.missing.iter().map(|one| missing(lang, facts, one)).collect(),
            needs_reason: !silent.contains(&offer.action),
            to: (offer.action == "back").then_some(back),
            codes: if offer.action == "false_positive" {
                choices!(lang, FalsePositiveReason, no)
            } else {
                Vec::new()
            },
        }
    }
}

impl TaskRow {
    fn new(lang: Lang, task: &crate::incident::task::Task) -> Self {
        let outcome = match &task.state {
            TaskState::Open => String::new(),
            TaskState::Done { signed, note } => format!("✓ {} {}", signed.by, note),
            TaskState::Waived { signed, reason } => {
                format!("{} {}: {reason}", lang.text("task-waived"), signed.by)
            }
        };
        Self {
            n: task.n,
            text: shown(lang.pick(&task.ja, &task.en)),
            mandatory: task.mandatory,
            role: lang.role(task.role),
            open: task.state == TaskState::Open,
            outcome: shown(&outcome),
        }
    }
}

impl ProposalRow {
    fn new(
        lang: Lang,
        visitor: &Visitor,
        facts: &IncidentFacts,
        proposal: &crate::incident::facts::Proposal,
    ) -> Self {
        let role = Part::Person(visitor.user.role);
        let own = proposal.by == visitor.user.name.as_str();
        let signed = proposal.signed.iter().any(|(name, _)| name == visitor.user.name.as_str());
        let at_hand = facts.at_hand(&proposal.action);
        let permission = proposal.action.permission();
        let may = permission.is_some_and(|permission| grant(role, permission, at_hand) == Grant::May);
        Self {
            n: proposal.n,
            label: lang.text(&format!("action-{}", proposal.action.name())),
            reason: shown(proposal.action.reason()),
            by: format!("{} ({})", shown(&proposal.by), proposal.role),
            at: When::from(proposal.at),
            can_decide: may && !own && !signed,
            own,
        }
    }
}

impl TriageForm {
    fn new(lang: Lang, facts: &IncidentFacts, proposes: bool) -> Self {
        let before = facts.work.triage.clone().unwrap_or_default();
        let hurts = before.hurts.unwrap_or_default();
        Self {
            categories: choices!(lang, IncidentCategory, |one| one == facts.category),
            impacts: choices!(lang, Impact, |one| before.impact == Some(one)),
            urgencies: choices!(lang, Urgency, |one| before.urgency == Some(one)),
            hurts: choices!(lang, Aspect, |one| hurts.contains(&one)),
            leaks: choices!(lang, LeakClass, |one| before.leak_class == Some(one)),
            causes: choices!(lang, CauseClass, |one| before.cause == Some(one)),
            owner: facts.work.owner.clone().unwrap_or_default(),
            proposes,
        }
    }
}

impl ReviewForm {
    fn new(facts: &IncidentFacts) -> Self {
        let review = facts.work.review.clone().unwrap_or_default();
        let mut prevention: Vec<_> =
            review.prevention.into_iter().map(|one| (one.what, one.owner, one.due)).collect();
        let rows = prevention.len().saturating_add(1).max(PREVENTION_ROWS);
        prevention.resize_with(rows, Default::default);
        Self {
            held_on: review.held_on,
            attendees: review.attendees.join("\n"),
            whys: review.whys.join("\n"),
            root_cause: review.root_cause,
            findings: review.findings,
            lesson: review.lesson,
            prevention,
        }
    }
}

/// `POST /incidents/{id}/act`: a form of the work part.
pub(super) async fn act(
    State(console): State<Console>,
    visitor: Visitor,
    Path(id): Path<String>,
    Form(fields): Form<Vec<(String, String)>>,
) -> Response {
    let lang = visitor.lang;
    let field = |name: &str| fields.iter().find(|(field, _)| field == name).map(|(_, value)| value.as_str());
    if field("csrf") != Some(visitor.token.csrf().as_str()) {
        return error(lang, StatusCode::FORBIDDEN);
    }
    let version = field("version").and_then(|version| version.parse().ok());
    let (Some(version), Some(action)) = (version, fill::action(&fields)) else {
        return error(lang, StatusCode::BAD_REQUEST);
    };
    let asked = Asked { version, action };
    match console.seen_by(&visitor.user).act(&id, &visitor.user.actor(), &asked, now()).await {
        Ok(Acted::Done(_)) => Redirect::to(&format!("/incidents/{id}")).into_response(),
        Ok(Acted::Refused(Refused::Guard(missing))) => again(&console, &visitor, &id, missing).await,
        Ok(Acted::Refused(refused @ (Refused::Conflict { .. } | Refused::State { .. }))) => {
            conflict::answer(&console, &visitor, &id, (version, &refused), &fields).await
        }
        Ok(Acted::Refused(refused)) => error(lang, status_of(&refused)),
        Ok(Acted::NotFound) => error(lang, StatusCode::NOT_FOUND),
        Err(cause) => failed(lang, &cause),
    }
}

/// The page again, saying what is missing.
pub(super) async fn again(console: &Console, visitor: &Visitor, id: &str, missing: Vec<String>) -> Response {
    match read(console, visitor, id, &missing).await {
        Ok(Some(page)) => (StatusCode::UNPROCESSABLE_ENTITY, render(&page)).into_response(),
        Ok(None) => error(visitor.lang, StatusCode::NOT_FOUND),
        Err(cause) => failed(visitor.lang, &cause),
    }
}

/// What a refusal is in HTTP.
pub(super) const fn status_of(refused: &Refused) -> StatusCode {
    match refused {
        Refused::NotAllowed { .. } | Refused::SamePerson => StatusCode::FORBIDDEN,
        Refused::Conflict { .. } | Refused::State { .. } => StatusCode::CONFLICT,
        Refused::Guard(_) => StatusCode::UNPROCESSABLE_ENTITY,
        Refused::OutOfScope => StatusCode::NOT_FOUND,
    }
}
