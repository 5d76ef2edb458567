//! 月次報告: what happened in a month, of one body or of the prefecture, with the figures that are agreed with the bodies.
//!
//! [`gather`] reads it as one person may see it and writes that down; [`kpi`] computes, without a store; `doc` puts it into
//! words, which the console shows and which leave as HTML, Markdown and CSV. Exercises, replayed captures and incidents that were
//! merged into others count nowhere but where they are named.

mod doc;
pub mod kpi;
mod month;

use std::collections::BTreeSet;

use sekimori_wire::finding::Severity;
use sekimori_wire::time::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use self::kpi::{Figure, Share};
pub use self::month::{Month, NotAMonth};
use crate::audit::Entry;
use crate::export::By;
use crate::i18n::Lang;
use crate::incident::facts::Work;
use crate::incident::form::CauseClass;
use crate::incident::obligation::{ObligationKind, ObligationState};
use crate::incident::severity::level;
use crate::incident::{IncidentCategory, IncidentState};
use crate::store::StoreError;
use crate::store::seen::Seen;
use crate::timing::local;
use crate::timing::table::TimerKind;

/// Incidents that are told of one by one, the worst first; all are counted.
const MAJOR_MAX: usize = 200;
/// From this level on.
const MAJOR: Severity = Severity::MEDIUM;

/// As what a report leaves.
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
    /// One of its tables (RFC 4180).
    Csv,
}

impl Format {
    /// The stable identifier.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Json => "json",
            Self::Markdown => "markdown",
            Self::Html => "html",
            Self::Csv => "csv",
        }
    }

    /// The media type.
    pub const fn media_type(self) -> &'static str {
        match self {
            Self::Json => "application/json",
            Self::Markdown => "text/markdown; charset=utf-8",
            Self::Html => "text/html; charset=utf-8",
            Self::Csv => "text/csv; charset=utf-8",
        }
    }

    /// How a file of it ends.
    pub const fn ending(self) -> &'static str {
        match self {
            Self::Json => "json",
            Self::Markdown => "md",
            Self::Html => "html",
            Self::Csv => "csv",
        }
    }
}

/// Why a report cannot be written.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// There is no such table.
    #[error("there is no table {0}: they are {TABLES}")]
    NoTable(String),
    /// As JSON.
    #[error("cannot write JSON")]
    Json(#[from] serde_json::Error),
    /// As HTML.
    #[error("cannot write HTML")]
    Html(#[from] askama::Error),
    /// As CSV.
    #[error("cannot write CSV")]
    Csv(#[from] csv::Error),
}

/// Tables that can be asked for.
pub const TABLES: &str = "counts, bodies, incidents, kpi, sla, missed, services, endpoints, sensors, statutory, tuning, \
    improvements, drills, next";

/// Whether a table has this name.
pub fn is_table(name: &str) -> bool {
    TABLES.split(", ").any(|table| table == name)
}

/// What is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// Which month.
    pub month: Month,
    /// Of which body, 団体コード; `None`: of all that is seen.
    pub body: Option<String>,
    /// Bodies are told of without their names, and nothing that names one: for readers of other bodies.
    pub anonymous: bool,
}

/// The report.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Report {
    /// The month, in Japan.
    #[schema(value_type = String, pattern = "^[0-9]{4}-[0-9]{2}$")]
    pub month: Month,
    /// When it was made: a month that is not over counts up to then.
    #[schema(value_type = String, format = DateTime)]
    pub made_at: Timestamp,
    /// 団体コード; none: of all bodies.
    pub body: Option<String>,
    /// Its name.
    pub body_name: Option<String>,
    /// Bodies are not named.
    pub anonymous: bool,
    /// How much there was.
    pub counts: Counts,
    /// The same, of the month before.
    pub before: Counts,
    /// Incidents by level, informational first; and in the month before.
    pub levels: Vec<Row>,
    /// Incidents by category.
    pub categories: Vec<Row>,
    /// Incidents by the segment whose rules were broken.
    pub segments: Vec<Row>,
    /// Incidents by cause, as the review or else the triage says.
    pub causes: Vec<Row>,
    /// Incidents from level 2 on, the worst first.
    pub incidents: Vec<Major>,
    /// How long things took.
    pub figures: Vec<Figure>,
    /// How much of it was as it should be.
    pub shares: Vec<Share>,
    /// Limits that were missed.
    pub missed: Vec<Missed>,
    /// Services that did not run.
    pub outages: Vec<Outage>,
    /// Endpoint alerts.
    pub endpoints: Endpoints,
    /// Sensors.
    pub sensors: Vec<SensorRow>,
    /// Reports that the law or an agreement asks for.
    pub statutory: Vec<Statutory>,
    /// Exceptions and threat information.
    pub tuning: Tuning,
    /// What will be done so that it does not happen again.
    pub improvements: Vec<Improvement>,
    /// Exercises.
    pub drills: Vec<Drill>,
    /// What falls due in the month after.
    pub next: Vec<Next>,
    /// One line a body; of one body none.
    pub bodies: Vec<BodyRow>,
}

/// How much there was.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, ToSchema)]
pub struct Counts {
    /// Findings of sensors.
    pub findings: i64,
    /// Endpoint alerts.
    pub alerts: i64,
    /// 予兆 that led to nothing.
    pub precursors: i64,
    /// Incidents.
    pub incidents: i64,
    /// Those of them that were none.
    pub false_positives: i64,
    /// Those of them that a person opened.
    pub by_hand: i64,
    /// Those of them that are not over.
    pub open: i64,
}

/// How many, by something.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Row {
    /// By what.
    pub key: String,
    /// In this month.
    pub count: i64,
    /// In the month before.
    pub before: i64,
}

/// An incident of the month as the report needs it.
#[derive(Clone, Debug)]
pub struct Case {
    /// `INC-…`.
    pub id: String,
    /// 団体コード; none: wide-area.
    pub body: Option<String>,
    /// What kind.
    pub category: IncidentCategory,
    /// How bad.
    pub severity: Severity,
    /// Where the work stands.
    pub state: IncidentState,
    /// In Japanese.
    pub title_ja: String,
    /// In English.
    pub title_en: String,
    /// By the collector's clock.
    pub opened_at: Timestamp,
    /// Event time.
    pub first_evidence: Timestamp,
    /// When the body was told.
    pub notified_at: Option<Timestamp>,
    /// A person opened it.
    pub by_hand: bool,
    /// What people wrote down.
    pub work: Work,
    /// Limits that ran out before they were kept.
    pub passed: BTreeSet<TimerKind>,
    /// Whose rules were broken.
    pub segments: Vec<String>,
}

impl Case {
    /// Why it happened, as far as one knows.
    pub fn cause(&self) -> Option<CauseClass> {
        let review = self.work.review.as_ref().and_then(|review| review.cause);
        review.or_else(|| self.work.triage.as_ref().and_then(|triage| triage.cause))
    }
}

/// An incident that is told of.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Major {
    /// `INC-…`; empty where bodies are not named.
    pub id: String,
    /// Whose, by code or letter; none: wide-area.
    pub body: Option<String>,
    /// 0 to 4.
    #[serde(serialize_with = "level::serialize")]
    #[schema(value_type = u8, maximum = 4)]
    pub severity: Severity,
    /// What kind.
    pub category: IncidentCategory,
    /// Where the work stands.
    pub state: IncidentState,
    /// One line, Japanese.
    pub title_ja: String,
    /// One line, English.
    pub title_en: String,
    /// When it was opened.
    #[schema(value_type = String, format = DateTime)]
    pub opened_at: Timestamp,
    /// When the first task was done.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub first_response_at: Option<Timestamp>,
    /// What was at the root of it.
    pub root_cause: String,
    /// What will be done.
    pub prevention: Vec<String>,
}

/// A limit that was missed.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Missed {
    /// Of which incident.
    pub incident: String,
    /// Of which step.
    pub what: TimerKind,
    /// How bad.
    #[serde(serialize_with = "level::serialize")]
    #[schema(value_type = u8, maximum = 4)]
    pub severity: Severity,
    /// It was done all the same, then.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub done_at: Option<Timestamp>,
}

/// A service that did not run.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Outage {
    /// Which incident.
    pub incident: String,
    /// One line, Japanese.
    pub title_ja: String,
    /// One line, English.
    pub title_en: String,
    /// Since when.
    #[schema(value_type = String, format = DateTime)]
    pub from: Timestamp,
    /// Until when.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub until: Option<Timestamp>,
}

/// Endpoint alerts.
#[derive(Clone, Debug, Default, Serialize, ToSchema)]
pub struct Endpoints {
    /// How many, by class.
    pub classes: Vec<Row>,
    /// Machines of which an alert says that nothing contained it, in this month and later.
    pub uncontained: Vec<String>,
}

/// A sensor.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct SensorRow {
    /// Its label.
    pub name: String,
    /// 団体コード.
    pub body: String,
    /// Its program.
    pub version: String,
    /// Minutes of the month in which it sealed something; none: too many sensors to count.
    pub minutes: Option<i64>,
    /// Minutes of the month since it was enrolled, up to when the report was made.
    pub of_minutes: i64,
    /// Gaps that it declared.
    pub gaps: i64,
    /// Records that it says were lost in them.
    pub lost: i64,
}

/// A report that the law or an agreement asks for.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Statutory {
    /// For which incident.
    pub incident: String,
    /// Which.
    pub kind: ObligationKind,
    /// Where it stands.
    pub state: ObligationState,
    /// Nobody is obliged.
    pub voluntary: bool,
    /// The day on which it must be filed, in Japan.
    pub last_day: Option<String>,
    /// When it was.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub filed_at: Option<Timestamp>,
    /// It was filed in time; none: it is not filed, and there is time.
    pub in_time: Option<bool>,
}

/// Exceptions and threat information.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, ToSchema)]
pub struct Tuning {
    /// Exceptions in force now.
    pub exceptions: i64,
    /// Those of them that began in the month.
    pub began: i64,
    /// Those of them that end in the month after.
    pub ending: i64,
    /// Findings of the month that are under one.
    pub excepted: i64,
    /// Policies with lists of indicators that went out.
    pub intel: i64,
    /// Findings that an indicator brought.
    pub matches: i64,
}

/// What will be done.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Improvement {
    /// After which incident.
    pub incident: String,
    /// What.
    pub what: String,
    /// Who.
    pub owner: String,
    /// Until when.
    pub due: String,
    /// That day is over.
    pub overdue: bool,
}

/// An exercise.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Drill {
    /// Its incident.
    pub incident: String,
    /// One line, Japanese.
    pub title_ja: String,
    /// One line, English.
    pub title_en: String,
    /// When it began.
    #[schema(value_type = String, format = DateTime)]
    pub opened_at: Timestamp,
}

/// What falls due.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, ToSchema)]
pub struct Next {
    /// On which day.
    pub day: String,
    /// Of which incident.
    pub incident: String,
    /// A report, by kind; none: an improvement.
    pub report: Option<ObligationKind>,
    /// The improvement.
    pub what: String,
}

/// A body of the prefecture.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct BodyRow {
    /// 団体コード, or a letter.
    pub body: String,
    /// Its name; empty where bodies are not named.
    pub name: String,
    /// Incidents by level, informational first.
    pub levels: [i64; 5],
    /// Those that are not over.
    pub open: i64,
    /// Sensors.
    pub sensors: i64,
}

/// Reads the report and writes into the audit log that it was given; `None`: the body is not seen.
///
/// # Errors
/// If the store fails: then nothing is given.
pub async fn gather(
    seen: Seen<'_>,
    wanted: &Wanted,
    given: &str,
    by: &By,
    now: Timestamp,
) -> Result<Option<Report>, StoreError> {
    let bodies = seen.bodies().await?;
    let of = wanted.body.as_deref();
    let own = of.map(|code| bodies.iter().find(|(known, _)| known == code));
    if own == Some(None) {
        return Ok(None);
    }
    let month = wanted.month;
    let (cases, earlier) = (seen.cases_of(month, of).await?, seen.cases_of(month.before(), of).await?);
    let (counts, before) = (seen.counts_of(month, of).await?, seen.counts_of(month.before(), of).await?);
    let statutory = seen.statutory_of(month, of, now).await?;
    let sensors = seen.sensors_of(month, of, now).await?;
    let lessons = seen.root_causes_of(month, of).await?;
    let improvements = kpi::improvements(&cases, local(now).date());
    let shares = kpi::shares(&cases, &statutory, &sensors, &lessons);
    let mut report = Report {
        month,
        made_at: now,
        body: wanted.body.clone(),
        body_name: own.flatten().map(|(_, name)| name.clone()),
        anonymous: wanted.anonymous,
        counts: kpi::counted(counts, &cases),
        before: kpi::counted(before, &earlier),
        levels: kpi::by(&cases, &earlier, |case| vec![case.severity.level().to_string()]),
        categories: kpi::by(&cases, &earlier, |case| vec![case.category.as_str().to_owned()]),
        segments: kpi::by(&cases, &earlier, |case| case.segments.clone()),
        causes: kpi::by(&cases, &earlier, |case| {
            case.cause().map(|cause| cause.as_str().to_owned()).into_iter().collect()
        }),
        incidents: cases.iter().filter(|case| case.severity >= MAJOR).take(MAJOR_MAX).map(major).collect(),
        figures: kpi::figures(&cases),
        shares,
        missed: cases.iter().flat_map(missed).collect(),
        outages: cases
            .iter()
            .filter(|case| case.category == IncidentCategory::ServiceOutage)
            .map(outage)
            .collect(),
        endpoints: seen.endpoints_of(month, of).await?,
        statutory,
        tuning: seen.tuning_of(month, of, now).await?,
        drills: seen.drills_of(month, of).await?,
        next: Vec::new(),
        bodies: if of.is_some() { Vec::new() } else { kpi::bodies(&bodies, &cases, &sensors) },
        sensors,
        improvements,
    };
    report.next = kpi::next(&report);
    if wanted.anonymous {
        report.hide();
    }
    seen.audit_export(Entry {
        at: now,
        actor: by.actor.clone(),
        role: by.role.clone(),
        action: format!("report:{given}"),
        reason: format!("month {month} of {}", of.unwrap_or("all")),
        ..Entry::default()
    })
    .await?;
    Ok(Some(report))
}

fn major(case: &Case) -> Major {
    let review = case.work.review.clone().unwrap_or_default();
    Major {
        id: case.id.clone(),
        body: case.body.clone(),
        severity: case.severity,
        category: case.category,
        state: case.state,
        title_ja: case.title_ja.clone(),
        title_en: case.title_en.clone(),
        opened_at: case.opened_at,
        first_response_at: case.work.first_response_at,
        root_cause: review.root_cause,
        prevention: review.prevention.into_iter().map(|one| one.what).collect(),
    }
}

fn missed(case: &Case) -> impl Iterator<Item = Missed> {
    case.passed.iter().map(|what| Missed {
        incident: case.id.clone(),
        what: *what,
        severity: case.severity,
        done_at: kpi::done(case, *what),
    })
}

fn outage(case: &Case) -> Outage {
    Outage {
        incident: case.id.clone(),
        title_ja: case.title_ja.clone(),
        title_en: case.title_en.clone(),
        from: case.first_evidence,
        until: case.work.recovered_at.or(case.work.closed_at),
    }
}

impl Report {
    /// As it leaves. `table` and `bom` (a byte order mark for spreadsheets) are for CSV alone.
    ///
    /// # Errors
    /// If there is no such table, or it cannot be written.
    pub fn write(
        &self,
        format: Format,
        lang: Lang,
        (table, bom): (&str, bool),
    ) -> Result<Vec<u8>, WriteError> {
        let doc = self.doc(lang);
        Ok(match format {
            Format::Json => serde_json::to_vec_pretty(self)?,
            Format::Markdown => doc.markdown().into_bytes(),
            Format::Html => doc.html(lang)?.into_bytes(),
            Format::Csv => doc.csv(table, bom).ok_or_else(|| WriteError::NoTable(table.to_owned()))??,
        })
    }

    /// Leaves out whatever could name a body: numbers of incidents, titles, machines, people's words.
    fn hide(&mut self) {
        let letters = kpi::letters(&mut self.bodies);
        let letter = |body: &Option<String>| body.as_ref().and_then(|code| letters.get(code).cloned());
        for one in &mut self.incidents {
            one.body = letter(&one.body);
            one.title_ja.clear();
            one.title_en.clear();
            one.root_cause.clear();
            one.prevention.clear();
        }
        let ids = self.incidents.iter_mut().map(|one| &mut one.id);
        let ids = ids.chain(self.missed.iter_mut().map(|one| &mut one.incident));
        ids.chain(self.statutory.iter_mut().map(|one| &mut one.incident)).for_each(String::clear);
        self.outages.clear();
        self.endpoints.uncontained.clear();
        self.improvements.clear();
        self.next.clear();
        self.drills.clear();
        for one in &mut self.sensors {
            one.name.clear();
            one.body = letters.get(&one.body).cloned().unwrap_or_default();
        }
    }
}
