//! Export of incidents for other programs: STIX 2.1, OCSF and CSV (docs/export.md).
//!
//! ```text
//! Seen (what this person may see) ─► Case (incident, work, findings, indicators) ─► stix | ocsf | csv ─► File
//! ```
//! Everything in it came over the network: text is cut and what is invisible is written out, times and numbers are made
//! here, and a value becomes an address, a domain or a hash only if it is one.

mod ocsf;
mod stix;
pub(crate) mod table;
mod text;

pub(crate) use self::text::is_public;

use std::collections::HashSet;

use serde::Deserialize;
use tokio::sync::Semaphore;

use crate::audit::Entry;
use crate::clock::{now, stored};
use crate::store::StoreError;
use crate::store::seen::{ExportIndicator, Seen};
use crate::store::view::{After, FindingView, IncidentFilter, IncidentView};
use crate::store::work::WorkView;
use sekimori_wire::time::Timestamp;

/// Incidents in one export; of more, the first in the order that was asked for.
pub const INCIDENTS_MAX: usize = 5_000;
/// Findings in one export.
pub const FINDINGS_MAX: usize = 20_000;
/// Findings of one incident, the worst and newest.
const FINDINGS_OF_INCIDENT: usize = 2_000;
/// Indicators of one incident.
const INDICATORS_OF_INCIDENT: usize = 500;
/// Incidents that are read at a time.
const PAGE_ROWS: u32 = 200;
/// Exports that are made at a time: each holds all that it gives in memory.
const AT_A_TIME: usize = 2;

static TURNS: Semaphore = Semaphore::const_new(AT_A_TIME);

/// How an export is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, clap::ValueEnum, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// One STIX 2.1 bundle.
    #[default]
    Stix,
    /// One OCSF event a line: Incident Finding (2005) and Detection Finding (2004).
    Ocsf,
    /// One table.
    Csv,
}

impl Format {
    /// The stable identifier.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Stix => "stix",
            Self::Ocsf => "ocsf",
            Self::Csv => "csv",
        }
    }

    /// The media type.
    pub const fn media_type(self) -> &'static str {
        match self {
            Self::Stix => "application/stix+json;version=2.1",
            Self::Ocsf => "application/x-ndjson",
            Self::Csv => "text/csv; charset=utf-8",
        }
    }

    const fn ending(self) -> &'static str {
        match self {
            Self::Stix => "json",
            Self::Ocsf => "jsonl",
            Self::Csv => "csv",
        }
    }
}

/// What the rows of a table are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, clap::ValueEnum, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Table {
    /// One incident each.
    #[default]
    Incidents,
    /// One finding each.
    Findings,
}

/// Traffic Light Protocol 2.0 (FIRST): with whom it may be shared.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, clap::ValueEnum)]
pub enum Tlp {
    /// With everybody.
    #[serde(rename = "clear")]
    Clear,
    /// Within the community.
    #[serde(rename = "green")]
    Green,
    /// Within the organisation and with its clients.
    #[default]
    #[serde(rename = "amber")]
    Amber,
    /// Within the organisation.
    #[serde(rename = "amber+strict")]
    #[value(name = "amber+strict")]
    AmberStrict,
    /// With nobody else.
    #[serde(rename = "red")]
    Red,
}

impl Tlp {
    /// As the protocol writes it, in lower case and without `TLP:`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Clear => "clear",
            Self::Green => "green",
            Self::Amber => "amber",
            Self::AmberStrict => "amber+strict",
            Self::Red => "red",
        }
    }
}

/// `[export]` of the configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Who says all this: the name of the prefecture's SOC. Identifiers are made of it.
    pub producer: String,
    /// With whom it may be shared.
    pub tlp: Tlp,
}

impl Default for Settings {
    fn default() -> Self {
        Self { producer: "Sekimori".to_owned(), tlp: Tlp::default() }
    }
}

/// What is asked for.
#[derive(Clone, Debug)]
pub struct Order {
    /// How it is written.
    pub format: Format,
    /// Of a table: what its rows are.
    pub table: Table,
    /// Of a table: begin with a byte order mark, without which spreadsheets take UTF-8 for something else.
    pub bom: bool,
    /// Who exports, and with whom it may be shared.
    pub settings: Settings,
}

/// Which incidents.
#[derive(Clone, Debug)]
pub enum Which {
    /// One, by its name.
    Incident(String),
    /// Those that a filter lets through, and the words that it was made of.
    Matching(Box<IncidentFilter>, String),
}

/// Who exports, for the audit log.
#[derive(Clone, Debug)]
pub struct By {
    /// By name.
    pub actor: String,
    /// In which role.
    pub role: String,
}

/// One incident with all that is told of it.
#[derive(Clone, Debug)]
pub(crate) struct Case {
    pub(crate) view: IncidentView,
    /// None where only the list is asked for.
    pub(crate) work: Option<WorkView>,
    pub(crate) findings: Vec<FindingView>,
    pub(crate) indicators: Vec<ExportIndicator>,
}

impl Case {
    fn is_drill(&self) -> bool {
        self.work.as_ref().is_some_and(|work| work.facts.drill)
    }
}

/// An export, whole.
#[derive(Clone, Debug)]
pub struct File {
    /// What it says.
    pub bytes: Vec<u8>,
    /// What it is.
    pub media_type: &'static str,
    /// What it may be called: ASCII letters, digits, `-` and `.`.
    pub name: String,
    /// Incidents in it.
    pub incidents: usize,
    /// Findings in it.
    pub findings: usize,
    /// Incidents and findings that matched and are not in it, because it would be too large.
    pub left_out: u64,
}

/// Why there is none.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A table could not be written.
    #[error("cannot write the table")]
    Table(#[from] csv::Error),
    /// The part that writes failed.
    #[error("the export was interrupted")]
    Interrupted,
}

/// Makes an export of what is seen; `None` if the one incident is not seen. It is in the audit log before it is given.
///
/// # Errors
/// If the store fails.
pub async fn export(
    seen: Seen<'_>,
    which: &Which,
    order: Order,
    by: By,
) -> Result<Option<File>, ExportError> {
    let _turn = TURNS.acquire().await.map_err(|_closed| ExportError::Interrupted)?;
    let Some((cases, left_out)) = read(seen, which, &order).await? else { return Ok(None) };
    let at = now();
    let (incident, reason) = match which {
        Which::Incident(id) => (id.clone(), String::new()),
        Which::Matching(_, words) => {
            (String::new(), text::clean::<512>(&format!("{} incidents: {words}", cases.len())))
        }
    };
    let action = format!("export:{}", order.format.as_str());
    let entry = Entry { at, actor: by.actor, role: by.role, incident, action, reason, ..Entry::default() };
    seen.audit_export(entry).await?;
    let name = match which {
        Which::Incident(id) => text::file_name(id),
        Which::Matching(..) => format!("incidents-{}", at.secs()),
    };
    let name =
        format!("{name}.{}.{}", order.format.as_str(), order.format.ending()).replace(".csv.csv", ".csv");
    // Thousands of findings take a while to write: off the threads that serve everybody.
    let file = tokio::task::spawn_blocking(move || write(&cases, &order, at, (name, left_out))).await;
    file.map_err(|_cause| ExportError::Interrupted)?.map(Some)
}

fn write(cases: &[Case], order: &Order, at: Timestamp, said: (String, u64)) -> Result<File, ExportError> {
    let bytes = match order.format {
        Format::Stix => stix::bundle(cases, &order.settings, at).to_string().into_bytes(),
        Format::Ocsf => ocsf::lines(cases, &order.settings),
        Format::Csv => table::table(cases, order.table, order.bom)?,
    };
    let (name, left_out) = said;
    Ok(File {
        bytes,
        media_type: order.format.media_type(),
        name,
        incidents: cases.len(),
        findings: cases.iter().map(|case| case.findings.len()).sum(),
        left_out,
    })
}

/// What is asked for, and how much of it is too much.
async fn read(seen: Seen<'_>, which: &Which, order: &Order) -> Result<Option<(Vec<Case>, u64)>, StoreError> {
    let (views, mut left_out) = match which {
        Which::Incident(id) => match seen.incident(id).await? {
            Some(view) => (vec![view], 0),
            None => return Ok(None),
        },
        Which::Matching(filter, _) => matching(seen, filter).await?,
    };
    let only_list = order.format == Format::Csv && order.table == Table::Incidents;
    let mut room = FINDINGS_MAX;
    let mut cases = Vec::with_capacity(views.len());
    for view in views {
        let mut case = Case { view, work: None, findings: Vec::new(), indicators: Vec::new() };
        let id = case.view.id.clone();
        case.work = seen.work_of(&id).await?;
        if !only_list {
            let most = room.min(FINDINGS_OF_INCIDENT);
            let (findings, more) = seen.export_findings(&id, most).await?;
            room -= findings.len().min(room);
            left_out += more;
            case.findings = findings;
            if order.format == Format::Stix {
                case.indicators = seen.export_indicators(&id, INDICATORS_OF_INCIDENT).await?;
            }
        }
        cases.push(case);
    }
    Ok(Some((cases, left_out)))
}

/// Page by page, each after the last of the one before; one that becomes worse meanwhile comes once.
async fn matching(seen: Seen<'_>, filter: &IncidentFilter) -> Result<(Vec<IncidentView>, u64), StoreError> {
    let mut known = HashSet::new();
    let mut views: Vec<IncidentView> = Vec::new();
    let mut filter = IncidentFilter { page: 1, rows: Some(PAGE_ROWS), ..filter.clone() };
    loop {
        let (rows, total) = seen.incidents(&filter).await?;
        let total = usize::try_from(total).unwrap_or(usize::MAX);
        let is_last = rows.len() < usize::try_from(PAGE_ROWS).unwrap_or(usize::MAX);
        filter.after = rows.last().map(|last| After {
            severity: i64::from(last.severity.level()),
            opened_at: stored(last.opened_at),
            id: last.id.clone(),
        });
        views.extend(rows.into_iter().filter(|view| known.insert(view.id.clone())));
        views.truncate(INCIDENTS_MAX);
        if is_last || views.len() >= total.min(INCIDENTS_MAX) {
            let left_out = u64::try_from(total.saturating_sub(views.len())).unwrap_or(u64::MAX);
            return Ok((views, left_out));
        }
    }
}
