//! 引継ぎ: what whoever comes next must know, of a shift or of one incident: what is open and who owes what next, limits and
//! days that run out, what changed, sensors that say nothing, notices that did not arrive, lessons.
//!
//! [`gather`] reads it as one person may see it and writes that down; `doc` puts it into words, which the console shows
//! and which leave as HTML or Markdown.

mod doc;

use std::time::Duration;

use jiff::civil::time;
use sekimori_wire::finding::Severity;
use sekimori_wire::time::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::audit::Entry;
use crate::auth::role::Role;
use crate::export::By;
use crate::incident::facts::{IncidentFacts, ProposalState};
use crate::incident::obligation::{ObligationKind, ObligationState};
use crate::incident::severity::level;
use crate::incident::similar::similar;
use crate::incident::task::{Task, TaskState};
use crate::incident::{IncidentCategory, IncidentState};
use crate::query::span;
use crate::store::StoreError;
use crate::store::clocks::ObligationView;
use crate::store::seen::Seen;
use crate::store::view::{IncidentFilter, IncidentView, Order, Scope};
use crate::timing::table::TimerKind;
use crate::timing::{instant, local};

/// Open incidents that one pack tells of, the worst first; the rest is counted.
pub const INCIDENTS_MAX: u32 = 100;
/// Tasks of one incident in the pack of a shift; in its own pack there are all.
const TASKS_MAX: usize = 3;
/// Shifts change at these times of Japan.
const SHIFTS: [jiff::civil::Time; 2] = [time(8, 30, 0, 0), time(17, 30, 0, 0)];
/// A shift that began more lately is the one that is read for, and not the last one.
const SHIFT_MIN: Duration = Duration::from_secs(4 * 3600);

/// As what a pack leaves.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, ToSchema, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// For programs.
    #[default]
    Json,
    /// Text with tables.
    Markdown,
    /// A page that can be printed, with nothing around it.
    Html,
}

impl Format {
    /// The stable identifier.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Json => "json",
            Self::Markdown => "markdown",
            Self::Html => "html",
        }
    }

    /// The media type.
    pub const fn media_type(self) -> &'static str {
        match self {
            Self::Json => "application/json",
            Self::Markdown => "text/markdown; charset=utf-8",
            Self::Html => "text/html; charset=utf-8",
        }
    }
}

/// What is handed over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// One incident; `None`: the shift.
    pub incident: Option<String>,
    /// What changed from here on.
    pub since: Timestamp,
}

impl Wanted {
    /// From what somebody wrote: a time as in a query (`2026-11-22T08:30`, `-12h`), or nothing for the last shift.
    /// `None`: that is no time.
    pub fn new(incident: Option<String>, since: &str, now: Timestamp) -> Option<Self> {
        let since = match since.trim() {
            "" => last_shift(now),
            text => Timestamp::from_nanos(u64::try_from(span(text, now)?.0).ok()?),
        };
        Some(Self { incident, since })
    }
}

/// When the last shift began: the latest change of shifts that is not just over.
pub fn last_shift(now: Timestamp) -> Timestamp {
    let until = now.minus(SHIFT_MIN);
    let today = local(until).date();
    let days = [today, today.yesterday().unwrap_or(today)];
    let begins = days.into_iter().flat_map(|day| SHIFTS.map(|at| instant(day.to_datetime(at))));
    begins.filter(|at| *at <= until).max().unwrap_or(until)
}

/// The pack.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Pack {
    /// When it was made.
    #[schema(value_type = String, format = DateTime)]
    pub made_at: Timestamp,
    /// What changed is told from here on.
    #[schema(value_type = String, format = DateTime)]
    pub since: Timestamp,
    /// The one incident that it is about; none: all that is open.
    pub incident: Option<String>,
    /// What is open, the worst first.
    pub incidents: Vec<Open>,
    /// Open incidents that are not told of: there are too many.
    pub left_out: u32,
    /// What happened to incidents.
    pub changes: Vec<Changed>,
    /// Sensors of which an incident says that they are silent or do not see well.
    pub sensors: Vec<Sensor>,
    /// Notices that were given up or wait after a failure.
    pub notices: Vec<Undelivered>,
    /// What was learned.
    pub lessons: Vec<Lesson>,
}

/// An open incident.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Open {
    /// `INC-…`.
    pub id: String,
    /// 0 to 4.
    #[serde(serialize_with = "level::serialize")]
    #[schema(value_type = u8, maximum = 4)]
    pub severity: Severity,
    /// What kind.
    pub category: IncidentCategory,
    /// Where the work stands.
    pub state: IncidentState,
    /// 団体コード; none: wide-area.
    pub body: Option<String>,
    /// The body's name.
    pub body_name: Option<String>,
    /// What it is about.
    pub subject: String,
    /// When it was opened.
    #[schema(value_type = String, format = DateTime)]
    pub opened_at: Timestamp,
    /// Who works on it.
    pub owner: Option<String>,
    /// What must be done next, mandatory things first.
    pub tasks: Vec<Todo>,
    /// Tasks that are open, in all.
    pub tasks_open: usize,
    /// What waits for somebody's agreement.
    pub proposals: Vec<Pending>,
    /// Limits that run, and those that ran out.
    pub limits: Vec<Limit>,
    /// What must be reported and is not yet.
    pub reports: Vec<ReportOwed>,
    /// The last thing that somebody noted.
    pub note: Option<Noted>,
}

/// A task.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Todo {
    /// Its number.
    pub n: u32,
    /// In Japanese.
    pub ja: String,
    /// In English.
    pub en: String,
    /// It blocks the end of its step.
    pub mandatory: bool,
    /// Who owes it.
    pub role: Role,
    /// Who took it.
    pub assignee: Option<String>,
}

/// A proposal.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Pending {
    /// Its number.
    pub n: u32,
    /// What is asked for.
    pub action: String,
    /// Who asked.
    pub by: String,
    /// When.
    #[schema(value_type = String, format = DateTime)]
    pub at: Timestamp,
}

/// A limit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Limit {
    /// Of which step.
    pub what: TimerKind,
    /// Until when.
    #[schema(value_type = String, format = DateTime)]
    pub due_at: Timestamp,
    /// It is over.
    pub passed: bool,
}

/// A report that is owed.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct ReportOwed {
    /// Which.
    pub kind: ObligationKind,
    /// Where it stands.
    pub state: ObligationState,
    /// Nobody is obliged.
    pub voluntary: bool,
    /// Our own deadline.
    pub internal: Option<String>,
    /// The day on which it should be filed, in Japan.
    pub target: Option<String>,
    /// The day on which it must be filed.
    pub limit: Option<String>,
    /// Its last day is over.
    pub overdue: bool,
}

/// A note.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Noted {
    /// When.
    #[schema(value_type = String, format = DateTime)]
    pub at: Timestamp,
    /// Who.
    pub author: String,
    /// What.
    pub text: String,
}

/// What happened to one incident, of one kind.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Changed {
    /// Which.
    pub incident: String,
    /// As in its history.
    pub kind: String,
    /// How often.
    pub count: i64,
    /// When last.
    #[schema(value_type = String, format = DateTime)]
    pub last: Timestamp,
    /// Where the work on it stands now.
    pub state: String,
}

/// A sensor that is not well.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Sensor {
    /// Its identity.
    pub agent: String,
    /// Its label.
    pub name: String,
    /// 団体コード.
    pub body: String,
    /// What is wrong: `silent` …
    pub condition: String,
    /// Since when.
    #[schema(value_type = String, format = DateTime)]
    pub since: Timestamp,
    /// Which incident says so.
    pub incident: String,
}

/// A notice that did not arrive.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Undelivered {
    /// What makes it one of its kind.
    pub key: String,
    /// About which incident.
    pub incident: Option<String>,
    /// What it is about.
    pub kind: String,
    /// To whom, in which role.
    pub role: String,
    /// To whom, by name; empty: nobody is named for the role.
    pub contact: String,
    /// When it was written.
    #[schema(value_type = String, format = DateTime)]
    pub written_at: Timestamp,
    /// It is given up; else it is tried again.
    pub dead: bool,
    /// What was wrong with the last attempt.
    pub error: String,
}

/// A lesson.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Lesson {
    /// Of which incident.
    pub incident: String,
    /// What kind it was.
    pub category: String,
    /// What was at the root of it.
    pub root_cause: String,
    /// What was learned.
    pub lesson: String,
}

/// Reads the pack and writes into the audit log that it was given, as `view` or as a file; `None`: the one incident is not seen.
///
/// # Errors
/// If the store fails: then nothing is given.
pub async fn gather(
    seen: Seen<'_>,
    wanted: &Wanted,
    given: &str,
    by: &By,
    now: Timestamp,
) -> Result<Option<Pack>, StoreError> {
    let one = wanted.incident.as_deref();
    let (views, total) = match one {
        Some(id) => match seen.incident(id).await? {
            Some(view) => (vec![view], 1),
            None => return Ok(None),
        },
        None => {
            let filter = IncidentFilter {
                scope: Scope::Open,
                order: Order::Worst,
                page: 1,
                rows: Some(INCIDENTS_MAX),
                ..IncidentFilter::default()
            };
            seen.incidents(&filter).await?
        }
    };
    let shown = u32::try_from(views.len()).unwrap_or(u32::MAX);
    let mut incidents = Vec::with_capacity(views.len());
    for view in views {
        incidents.push(open(seen, view, one.is_some(), now).await?);
    }
    let pack = Pack {
        made_at: now,
        since: wanted.since,
        incident: wanted.incident.clone(),
        incidents,
        left_out: total.saturating_sub(shown),
        changes: seen.changed_since(wanted.since, one).await?,
        sensors: seen.sensors_unwell(one).await?,
        notices: seen.undelivered(one).await?,
        lessons: match one {
            Some(id) => resembling(seen, id).await?,
            None => seen.lessons_since(wanted.since).await?,
        },
    };
    seen.audit_export(Entry {
        at: now,
        actor: by.actor.clone(),
        role: by.role.clone(),
        incident: one.unwrap_or_default().to_owned(),
        action: format!("handover:{given}"),
        reason: format!("since {}", wanted.since),
        ..Entry::default()
    })
    .await?;
    Ok(Some(pack))
}

async fn open(seen: Seen<'_>, view: IncidentView, whole: bool, now: Timestamp) -> Result<Open, StoreError> {
    let work = seen.work_of(&view.id).await?;
    let facts = work.as_ref().map(|work| &work.facts);
    let (tasks, tasks_open) = facts.map(|facts| todo(facts, whole)).unwrap_or_default();
    let reports = seen.obligations(&view.id).await?.unwrap_or_default();
    let limits = seen.limits_of(&view.id, now).await?;
    let note = work.as_ref().and_then(|work| work.notes.first());
    Ok(Open {
        owner: facts.and_then(|facts| facts.work.owner.clone()),
        proposals: facts.map(pending).unwrap_or_default(),
        note: note.map(|one| Noted { at: one.at, author: one.author.clone(), text: one.text.clone() }),
        reports: reports.iter().filter(|one| !one.state.is_terminal()).map(|one| owed(one, now)).collect(),
        id: view.id,
        severity: view.severity,
        category: view.category,
        state: view.state,
        body: view.body,
        body_name: view.body_name,
        subject: view.subject,
        opened_at: view.opened_at,
        tasks,
        tasks_open,
        limits,
    })
}

/// What is to be done next, in the order of the steps, what blocks a step first; and how many there are.
fn todo(facts: &IncidentFacts, whole: bool) -> (Vec<Todo>, usize) {
    let mut open: Vec<&Task> = facts.tasks.iter().filter(|task| task.state == TaskState::Open).collect();
    open.sort_by_key(|task| (task.phase, !task.mandatory, task.n));
    let most = if whole { usize::MAX } else { TASKS_MAX };
    let one = |task: &&Task| Todo {
        n: task.n,
        ja: task.ja.clone(),
        en: task.en.clone(),
        mandatory: task.mandatory,
        role: task.role,
        assignee: task.assignee.clone(),
    };
    (open.iter().take(most).map(one).collect(), open.len())
}

fn pending(facts: &IncidentFacts) -> Vec<Pending> {
    let waits = facts.proposals.iter().filter(|one| one.state == ProposalState::Pending);
    waits
        .map(|one| Pending { n: one.n, action: one.action.name().to_owned(), by: one.by.clone(), at: one.at })
        .collect()
}

fn owed(view: &ObligationView, now: Timestamp) -> ReportOwed {
    let day = |day: Option<jiff::civil::Date>| day.map(|day| day.to_string());
    ReportOwed {
        overdue: view.overdue(now),
        kind: view.kind,
        state: view.state,
        voluntary: view.voluntary,
        internal: day(view.due.internal),
        target: day(view.due.target),
        limit: day(view.due.limit),
    }
}

/// Lessons of incidents that resemble it.
async fn resembling(seen: Seen<'_>, id: &str) -> Result<Vec<Lesson>, StoreError> {
    let Some((own, past)) = seen.traits_of(id).await? else { return Ok(Vec::new()) };
    let lesson = |one: &crate::incident::similar::Similar<'_>| Lesson {
        incident: one.past.id.clone(),
        category: one.past.category.as_str().to_owned(),
        root_cause: one.past.root_cause.clone(),
        lesson: one.past.lesson.clone(),
    };
    Ok(similar(&own, &past).iter().map(lesson).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_shift_is_the_one_that_was_before() {
        for (now, expected) in [
            ("2026-11-23T08:35:00+09:00", "2026-11-22T17:30:00+09:00"),
            ("2026-11-23T08:25:00+09:00", "2026-11-22T17:30:00+09:00"),
            ("2026-11-23T12:31:00+09:00", "2026-11-23T08:30:00+09:00"),
            ("2026-11-23T17:31:00+09:00", "2026-11-23T08:30:00+09:00"),
            ("2026-11-23T01:00:00+09:00", "2026-11-22T17:30:00+09:00"),
        ] {
            let (now, expected): (Timestamp, Timestamp) = (now.parse().unwrap(), expected.parse().unwrap());
            assert_eq!(last_shift(now), expected, "{now}");
            assert_eq!(Wanted::new(None, "", now).unwrap().since, expected);
        }
        let now: Timestamp = "2026-11-23T08:35:00+09:00".parse().unwrap();
        let hour = Wanted::new(None, "-1h", now).unwrap();
        assert_eq!(hour.since, now.minus(Duration::from_secs(3600)));
        assert_eq!(Wanted::new(None, "since lunch", now), None);
    }
}
