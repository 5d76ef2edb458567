//! What exceptions would have covered of the stored findings, before anybody puts them in force.
//!
//! Each is judged by itself, as if it were the only one. Of a finding the store keeps the last revision: what an exception
//! covered of an earlier one is not seen here.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use crate::store::db::{self, FromRow};
use futures_util::TryStreamExt as _;
use sekimori_wire::exception::{Exception, Exceptions, Facts, Verdict};
use sekimori_wire::text::BoundedText;
use sekimori_wire::time::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::ruling::scope_of;
use crate::clock::{from_stored, stored};
use crate::store::{Store, StoreError, query};

/// Findings named of each kind.
const EXAMPLES: usize = 5;
/// Distinct hosts that are told apart for one exception; beyond it there are "at least" so many.
const HOSTS_MAX: usize = 65_536;

/// The answer.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// Only findings with evidence since then were looked at.
    pub since: Option<Timestamp>,
    /// Findings that were looked at.
    pub findings: u64,
    /// Of those, covered by at least one of the exceptions.
    pub covered: u64,
    /// Findings of a kind that this version does not know, which no exception can name.
    pub unreadable: u64,
    /// One for each exception, in order.
    pub exceptions: Vec<Trial>,
}

/// What one exception would have done.
#[derive(Clone, Debug, Serialize)]
pub struct Trial {
    /// Its number in the owner's list.
    pub id: String,
    /// Who decided it.
    pub owner: String,
    /// Why it is acceptable.
    pub reason: String,
    /// It holds up to and including this time.
    pub expires: Timestamp,
    /// Keys and values, as the file writes them.
    pub scope: Value,
    /// Findings that it would have covered.
    pub findings: u64,
    /// Highest severity among them.
    pub severity: Option<u8>,
    /// Distinct acting hosts among them.
    pub hosts: u64,
    /// There are more than that.
    pub more_hosts: bool,
    /// Whose networks.
    pub bodies: BTreeSet<String>,
    /// Of the findings, under an exception already.
    pub already: u64,
    /// Incidents all of whose findings it would have covered: they would not have been opened.
    pub incidents: u64,
    /// Those, and incidents that would have had fewer findings, by name; the first few.
    pub incident_examples: Vec<String>,
    /// Incidents that would have been opened all the same, with fewer findings.
    pub incidents_in_part: u64,
    /// Some of the findings that it would have covered.
    pub examples: Vec<Example>,
    /// Findings that fit, but for a port or target that lies outside.
    pub exceeding: u64,
    /// Some of those.
    pub exceeding_examples: Vec<Exceeding>,
    /// Findings that fit, with evidence after its end.
    pub after_end: u64,
    #[serde(skip)]
    acting: HashSet<String>,
    #[serde(skip)]
    linked: HashMap<String, i64>,
}

/// A finding.
#[derive(Clone, Debug, Serialize)]
pub struct Example {
    /// Its name.
    pub id: String,
    /// Whose network.
    pub body: String,
    /// What kind.
    pub category: String,
    /// 0 to 4.
    pub severity: u8,
    /// The acting host.
    pub originator: Option<String>,
    /// Its only victim.
    pub responder: Option<String>,
    /// Last evidence.
    pub end: Timestamp,
}

/// A finding that goes beyond the scope.
#[derive(Clone, Debug, Serialize)]
pub struct Exceeding {
    /// The finding.
    #[serde(flatten)]
    pub finding: Example,
    /// Which key of the scope.
    pub key: &'static str,
    /// What lies outside.
    pub outside: String,
}

#[derive(FromRow)]
struct Row {
    id: String,
    body: String,
    end: i64,
    category: String,
    severity: i64,
    originator: Option<String>,
    responder: Option<String>,
    json: String,
    incident: Option<String>,
    excepted_by: Option<String>,
}

/// What of the finding itself is judged and has no column.
#[derive(Deserialize)]
struct Lists<'a> {
    #[serde(default, borrow)]
    targets: Vec<Cow<'a, str>>,
    #[serde(default)]
    ports: Vec<u16>,
    #[serde(default, borrow)]
    segment: Option<Cow<'a, str>>,
}

/// Judges every stored finding.
///
/// # Errors
/// If the store cannot be read.
pub async fn run(
    store: &Store,
    exceptions: &Exceptions,
    since: Option<Timestamp>,
) -> Result<Report, StoreError> {
    let trials = exceptions.iter().map(Trial::new).collect();
    let mut report = Report { since, findings: 0, covered: 0, unreadable: 0, exceptions: trials };
    let mut rows = db::query_as::<Row>(
        "SELECT id, body, \"end\", category, severity, originator, responder, json, incident, excepted_by
         FROM findings WHERE \"end\" >= $1 ORDER BY n",
    )
    .bind(stored(since.unwrap_or_default()))
    .fetch(store.reader());
    while let Some(row) = rows.try_next().await.map_err(query("read the findings"))? {
        report.findings += 1;
        judge(&mut report, exceptions, &row);
    }
    drop(rows);
    if report.exceptions.iter().any(|trial| !trial.linked.is_empty()) {
        let all: Vec<(String, i64)> = db::query_as(
            "SELECT incident, count(*) FROM findings WHERE incident IS NOT NULL GROUP BY incident",
        )
        .fetch_all(store.reader())
        .await
        .map_err(query("count the findings of incidents"))?;
        let all: HashMap<String, i64> = all.into_iter().collect();
        report.exceptions.iter_mut().for_each(|trial| trial.weigh(&all));
    }
    Ok(report)
}

fn judge(report: &mut Report, exceptions: &Exceptions, row: &Row) {
    let lists: Option<Lists<'_>> = serde_json::from_str(&row.json).ok();
    let (Some(lists), Ok(category)) = (lists, row.category.parse()) else {
        report.unreadable += 1;
        return;
    };
    let host = |text: &Option<String>| text.as_ref().and_then(|text| text.parse().ok());
    let facts = Facts {
        category,
        originator: host(&row.originator),
        responder: host(&row.responder),
        targets: lists.targets.iter().map(|target| &**target).collect(),
        ports: &lists.ports,
        body: row.body.parse().ok(),
        segment: lists.segment.as_deref(),
    };
    let at = from_stored(row.end);
    let mut covered = false;
    for (exception, trial) in exceptions.iter().zip(&mut report.exceptions) {
        match exception.verdict(&facts, at) {
            Verdict::Covers => {
                covered = true;
                trial.cover(row);
            }
            Verdict::Ended => trial.after_end += 1,
            Verdict::Exceeds { key, outside } => {
                trial.exceeding += 1;
                if trial.exceeding_examples.len() < EXAMPLES {
                    let outside = outside.to_string();
                    trial.exceeding_examples.push(Exceeding { finding: Example::new(row), key, outside });
                }
            }
            Verdict::Other => {}
        }
    }
    report.covered += u64::from(covered);
}

impl Trial {
    fn new(exception: &Exception) -> Self {
        Self {
            id: exception.id.to_string(),
            owner: shown(&exception.owner),
            reason: shown(&exception.reason),
            expires: exception.expires,
            scope: scope_of(exception),
            findings: 0,
            severity: None,
            hosts: 0,
            more_hosts: false,
            bodies: BTreeSet::new(),
            already: 0,
            incidents: 0,
            incident_examples: Vec::new(),
            incidents_in_part: 0,
            examples: Vec::new(),
            exceeding: 0,
            exceeding_examples: Vec::new(),
            after_end: 0,
            acting: HashSet::new(),
            linked: HashMap::new(),
        }
    }

    fn cover(&mut self, row: &Row) {
        self.findings += 1;
        self.severity = self.severity.max(Some(level(row.severity)));
        self.already += u64::from(row.excepted_by.is_some());
        if !self.bodies.contains(&row.body) {
            self.bodies.insert(row.body.clone());
        }
        if let Some(host) = &row.originator
            && !self.acting.contains(host)
        {
            if self.acting.len() < HOSTS_MAX {
                self.acting.insert(host.clone());
                self.hosts += 1;
            } else {
                self.more_hosts = true;
            }
        }
        if let Some(incident) = &row.incident {
            *self.linked.entry(incident.clone()).or_insert(0) += 1;
        }
        if self.examples.len() < EXAMPLES {
            self.examples.push(Example::new(row));
        }
    }

    /// An incident of which every finding is covered would not be there.
    fn weigh(&mut self, all: &HashMap<String, i64>) {
        let in_order: BTreeMap<_, _> = self.linked.drain().collect();
        for (incident, covered) in in_order {
            if all.get(&incident).is_some_and(|all| *all <= covered) {
                self.incidents += 1;
            } else {
                self.incidents_in_part += 1;
            }
            if self.incident_examples.len() < EXAMPLES {
                self.incident_examples.push(incident);
            }
        }
    }
}

impl Example {
    fn new(row: &Row) -> Self {
        Self {
            id: row.id.clone(),
            body: row.body.clone(),
            category: row.category.clone(),
            severity: level(row.severity),
            originator: row.originator.clone(),
            responder: row.responder.clone(),
            end: from_stored(row.end),
        }
    }
}

fn level(severity: i64) -> u8 {
    u8::try_from(severity).unwrap_or_default()
}

/// What a terminal may show.
fn shown(text: &str) -> String {
    BoundedText::<1024>::new(text).to_string()
}
