//! Drills as they are kept. What the clock has given is a row, written in the transaction that gave it: a restart or a second
//! collector gives nothing twice.

use std::collections::{BTreeMap, BTreeSet};

use sekimori_wire::id::BodyCode;
use sekimori_wire::time::Timestamp;
use serde::Serialize;
use serde_json::{Value, json};

use super::audit::append;
use super::db::{self, Conn, Row};
use super::seen::Seen;
use super::work::{Staged, change, last_change, stage};
use super::{Store, StoreError, query};
use crate::audit::Entry;
use crate::auth::role::Role;
use crate::auth::scope::Scope;
use crate::clock::{from_stored, stored};
use crate::drill::scenario::Scenario;
use crate::drill::score::{Done, Score, minute, score};
use crate::export::By;

/// Drills that may run at a time.
const RUNNING_MAX: usize = 8;
/// Drills that a list shows, the newest.
const LISTED_MAX: i64 = 200;
const COLUMNS: &str =
    "SELECT id, scenario_json, bodies, started_by, started_role, started_at, ended_at, ended_by, score_json
     FROM drills";

/// A drill.
#[derive(Clone, Debug, Serialize)]
pub struct Drill {
    /// Its number.
    pub id: i64,
    /// What is exercised, as it was when the drill began.
    pub scenario: Scenario,
    /// Who takes part: 団体コード, in the order of the scenario's numbers.
    pub bodies: Vec<String>,
    /// Who began it.
    pub started_by: String,
    /// In which role.
    pub started_role: String,
    /// When.
    pub started_at: Timestamp,
    /// When it ended.
    pub ended_at: Option<Timestamp>,
    /// Who ended it; `system` if its time was up.
    pub ended_by: Option<String>,
    /// What the clock has given, in the order of time.
    pub given: Vec<Given>,
    /// What it comes to: as of now while it runs, and kept when it ends.
    pub score: Score,
}

/// Something that the clock gave.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Given {
    /// What.
    pub kind: Kind,
    /// Which of the scenario's, from 0.
    pub n: usize,
    /// When.
    pub at: Timestamp,
    /// The incident that was opened with it.
    pub incident: Option<String>,
}

closed_words! {
    /// What the clock of a drill gives.
    Kind {
        /// What sensors would find.
        Capture "capture" "センサ検知(想定)" "What sensors would find",
        /// What somebody reports.
        Report "report" "通報" "Report",
        /// A card.
        Inject "inject" "状況付与" "Card",
    }
}

/// Why a drill did not begin.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The scenario is for another number of bodies.
    #[error("the scenario needs {wanted} bodies, each of them once")]
    Bodies {
        /// How many.
        wanted: u8,
    },
    /// A body is not known, or not this person's to see.
    #[error("there is no body {0}")]
    UnknownBody(String),
    /// Too many run.
    #[error("{RUNNING_MAX} drills run already: end one first")]
    Busy,
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Drill {
    /// Nothing is given any more.
    pub const fn is_over(&self) -> bool {
        self.ended_at.is_some()
    }

    /// When its time is up.
    pub fn ends_at(&self) -> Timestamp {
        minute(self.started_at, self.scenario.minutes)
    }

    /// Its incidents, each once.
    pub fn incidents(&self) -> Vec<&str> {
        let all: BTreeSet<&str> = self.given.iter().filter_map(|one| one.incident.as_deref()).collect();
        all.into_iter().collect()
    }

    /// What is due by `now` and was not given yet, in the order of the scenario's clock: what opens incidents comes before cards of
    /// the same minute.
    fn due(&self, now: Timestamp) -> Vec<(Kind, usize)> {
        let Scenario { captures, reports, injects, .. } = &self.scenario;
        let minutes = |kind, list: Vec<u32>| list.into_iter().enumerate().map(move |(n, at)| (at, kind, n));
        let all = minutes(Kind::Capture, captures.iter().map(|one| one.minute).collect())
            .chain(minutes(Kind::Report, reports.iter().map(|one| one.minute).collect()))
            .chain(minutes(Kind::Inject, injects.iter().map(|one| one.minute).collect()));
        let given = |kind: Kind, n: usize| self.given.iter().any(|one| one.kind == kind && one.n == n);
        let mut due: Vec<(u32, Kind, usize)> =
            all.filter(|(at, kind, n)| minute(self.started_at, *at) <= now && !given(*kind, *n)).collect();
        due.sort_unstable();
        due.into_iter().map(|(_, kind, n)| (kind, n)).collect()
    }

    fn body(&self, number: u8) -> Option<BodyCode> {
        let at = usize::from(number).checked_sub(1)?;
        self.bodies.get(at)?.parse().ok()
    }
}

impl Seen<'_> {
    /// Begins a drill; gives back its number. It is in the audit log.
    ///
    /// # Errors
    /// If its bodies are not those that the scenario needs or not seen, too many run, or the store fails.
    pub async fn start_drill(
        &self,
        scenario: &Scenario,
        bodies: &[String],
        by: &By,
        now: Timestamp,
    ) -> Result<i64, StartError> {
        let each: BTreeSet<&String> = bodies.iter().collect();
        if each.len() != bodies.len() || bodies.len() != usize::from(scenario.bodies) {
            return Err(StartError::Bodies { wanted: scenario.bodies });
        }
        let known = self.bodies().await?;
        if let Some(unknown) = bodies.iter().find(|body| !known.iter().any(|(code, _)| code == *body)) {
            return Err(StartError::UnknownBody(unknown.clone()));
        }
        self.store.start_drill(scenario, bodies, by, now).await
    }

    /// Drills, the newest first: those of whose bodies every one is seen, since cards and scores speak of them all.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn drills(&self, now: Timestamp) -> Result<Vec<Drill>, StoreError> {
        let mut tx = self.store.snapshot().await?;
        let sql = format!("{COLUMNS} ORDER BY id DESC LIMIT $1");
        let rows = db::query(db::AssertSqlSafe(sql))
            .bind(LISTED_MAX)
            .fetch_all(&mut *tx)
            .await
            .map_err(query("read the drills"))?;
        let mut all = Vec::new();
        for row in &rows {
            let drill = read(&mut tx, row, now).await?;
            if sees(self.scope, &drill) {
                all.push(drill);
            }
        }
        Ok(all)
    }

    /// One of them.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn drill(&self, id: i64, now: Timestamp) -> Result<Option<Drill>, StoreError> {
        let mut tx = self.store.snapshot().await?;
        let found = one(&mut tx, id, now).await?;
        Ok(found.filter(|drill| sees(self.scope, drill)))
    }

    /// Ends a drill before its time; `false` if none of this number runs among those that are seen. It is in the audit log.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn end_drill(&self, id: i64, by: &By, now: Timestamp) -> Result<bool, StoreError> {
        let mut tx = self.store.begin_changing().await?;
        let found = one(&mut tx, id, now).await?;
        let Some(drill) = found.filter(|drill| !drill.is_over() && sees(self.scope, drill)) else {
            return Ok(false);
        };
        end(&mut tx, &drill, by, now).await?;
        tx.commit().await?;
        Ok(true)
    }
}

fn sees(scope: &Scope, drill: &Drill) -> bool {
    drill.bodies.iter().all(|body| scope.covers(body))
}

impl Store {
    async fn start_drill(
        &self,
        scenario: &Scenario,
        bodies: &[String],
        by: &By,
        now: Timestamp,
    ) -> Result<i64, StartError> {
        let failed = "begin a drill";
        let mut tx = self.begin_changing().await?;
        if running(&mut tx, now).await?.len() >= RUNNING_MAX {
            return Err(StartError::Busy);
        }
        let id: i64 = db::query_scalar(
            "INSERT INTO drills (id, scenario, scenario_json, bodies, started_by, started_role, started_at)
             SELECT coalesce(max(id), 0) + 1, $1, $2, $3, $4, $5, $6 FROM drills RETURNING id",
        )
        .bind(&scenario.id)
        .bind(json!(scenario).to_string())
        .bind(bodies.join(","))
        .bind(&by.actor)
        .bind(&by.role)
        .bind(stored(now))
        .fetch_one(&mut *tx)
        .await
        .map_err(query(failed))?;
        append(&mut tx, entry(id, &scenario.id, "drill:start", by, now)).await?;
        tx.commit().await?;
        Ok(id)
    }

    /// Gives what is due in every drill that runs, and ends those whose time is up. How much it gave.
    ///
    /// # Errors
    /// If the store fails; nothing was given then.
    pub async fn drill_tick(&self, now: Timestamp) -> Result<usize, StoreError> {
        let is_idle = {
            let mut tx = self.snapshot().await?;
            running(&mut tx, now).await?.iter().all(|one| one.due(now).is_empty() && now < one.ends_at())
        };
        if is_idle {
            return Ok(0);
        }
        let mut tx = self.begin_changing().await?;
        let mut count = 0;
        for mut drill in running(&mut tx, now).await? {
            for (kind, n) in drill.due(now) {
                let incident = give(&mut tx, &drill, (kind, n), now).await?;
                drill.given.push(Given { kind, n, at: now, incident });
                count += 1;
            }
            if now >= drill.ends_at() {
                let by = By { actor: "system".to_owned(), role: "system".to_owned() };
                end(&mut tx, &drill, &by, now).await?;
            }
        }
        let last = last_change(&mut tx).await?;
        tx.commit().await?;
        self.announce(last);
        Ok(count)
    }
}

fn entry(id: i64, scenario: &str, action: &str, by: &By, now: Timestamp) -> Entry {
    Entry {
        at: now,
        actor: by.actor.clone(),
        role: by.role.clone(),
        action: action.to_owned(),
        reason: format!("{id} {scenario}"),
        ..Entry::default()
    }
}

/// Those that run.
async fn running(tx: &mut Conn, now: Timestamp) -> Result<Vec<Drill>, StoreError> {
    let sql = format!("{COLUMNS} WHERE ended_at IS NULL ORDER BY id");
    let rows =
        db::query(db::AssertSqlSafe(sql)).fetch_all(&mut *tx).await.map_err(query("read the drills"))?;
    let mut all = Vec::with_capacity(rows.len());
    for row in &rows {
        all.push(read(tx, row, now).await?);
    }
    Ok(all)
}

async fn one(tx: &mut Conn, id: i64, now: Timestamp) -> Result<Option<Drill>, StoreError> {
    let row = db::query(db::AssertSqlSafe(format!("{COLUMNS} WHERE id = $1")))
        .bind(id)
        .fetch_optional(&mut *tx)
        .await
        .map_err(query("read a drill"))?;
    match row {
        Some(row) => read(tx, &row, now).await.map(Some),
        None => Ok(None),
    }
}

async fn read(tx: &mut Conn, row: &Row, now: Timestamp) -> Result<Drill, StoreError> {
    let failed = "read a drill";
    let (mut drill, kept) = plain(row).map_err(query(failed))?;
    let rows: Vec<(String, i64, i64, Option<String>)> =
        db::query_as("SELECT kind, n, at, incident FROM drill_given WHERE drill = $1 ORDER BY at, kind, n")
            .bind(drill.id)
            .fetch_all(&mut *tx)
            .await
            .map_err(query(failed))?;
    let given = |(kind, n, at, incident): (String, i64, i64, Option<String>)| {
        Some(Given {
            kind: Kind::from_name(&kind)?,
            n: usize::try_from(n).ok()?,
            at: from_stored(at),
            incident,
        })
    };
    drill.given = rows.into_iter().filter_map(given).collect();
    drill.score = match kept {
        Some(kept) => kept,
        None => score(&drill.scenario, drill.started_at, &done(tx, drill.id).await?, now),
    };
    Ok(drill)
}

fn plain(row: &Row) -> Result<(Drill, Option<Score>), db::Error> {
    let unreadable = |cause: serde_json::Error| db::Error::Decode(Box::new(cause));
    let kept: Option<String> = row.get("score_json")?;
    let drill = Drill {
        id: row.get("id")?,
        scenario: serde_json::from_str(&row.get::<String>("scenario_json")?).map_err(unreadable)?,
        bodies: row.get::<String>("bodies")?.split(',').map(str::to_owned).collect(),
        started_by: row.get("started_by")?,
        started_role: row.get("started_role")?,
        started_at: from_stored(row.get("started_at")?),
        ended_at: row.get::<Option<i64>>("ended_at")?.map(from_stored),
        ended_by: row.get("ended_by")?,
        given: Vec::new(),
        score: Score::default(),
    };
    Ok((drill, kept.map(|kept| serde_json::from_str(&kept)).transpose().map_err(unreadable)?))
}

/// What people did on the incidents of a drill, in the order of time.
async fn done(tx: &mut Conn, drill: i64) -> Result<Vec<Done>, StoreError> {
    let failed = "read what was done in a drill";
    let of = "IN (SELECT incident FROM drill_given WHERE drill = $1 AND incident IS NOT NULL)";
    let tasks = format!("SELECT incident, n, json FROM incident_tasks WHERE incident {of}");
    let tasks: Vec<(String, i64, String)> = db::query_as(db::AssertSqlSafe(tasks))
        .bind(drill)
        .fetch_all(&mut *tx)
        .await
        .map_err(query(failed))?;
    let step = |json: &str| {
        let task: Value = serde_json::from_str(json).ok()?;
        Some(task.get("origin")?.as_str()?.split_once('#')?.1.to_owned())
    };
    let steps: BTreeMap<(String, i64), String> =
        tasks.iter().filter_map(|(incident, n, json)| Some(((incident.clone(), *n), step(json)?))).collect();
    let changes =
        format!("SELECT at, incident, json FROM incident_changes WHERE incident {of} ORDER BY at, seq");
    let changes: Vec<(i64, String, String)> =
        db::query_as(db::AssertSqlSafe(changes)).bind(drill).fetch_all(tx).await.map_err(query(failed))?;
    Ok(changes.into_iter().filter_map(|change| deed(change, &steps)).collect())
}

/// From a line of the history; `None` for what the program did, and for what was refused by somebody.
fn deed(
    (at, incident, json): (i64, String, String),
    steps: &BTreeMap<(String, i64), String>,
) -> Option<Done> {
    let what: Value = serde_json::from_str(&json).ok()?;
    let role = Role::from_name(what.get("role")?.as_str()?)?;
    let written = what.get("action")?.as_str()?;
    let action = match written.split_once(':') {
        None => written,
        Some(("propose" | "approve", action)) => action,
        Some(_) => return None,
    };
    let task = what.get("asked").and_then(|asked| asked.get("task")).and_then(Value::as_i64);
    Some(Done {
        at: from_stored(at),
        actor: what.get("actor")?.as_str()?.to_owned(),
        role,
        action: action.to_owned(),
        step: task.and_then(|n| steps.get(&(incident.clone(), n)).cloned()),
        incident,
    })
}

async fn end(tx: &mut Conn, drill: &Drill, by: &By, now: Timestamp) -> Result<(), StoreError> {
    let at = now.min(drill.ends_at());
    let score = score(&drill.scenario, drill.started_at, &done(tx, drill.id).await?, now);
    db::query("UPDATE drills SET ended_at = $2, ended_by = $3, score_json = $4 WHERE id = $1")
        .bind(drill.id)
        .bind(stored(at))
        .bind(&by.actor)
        .bind(json!(score).to_string())
        .execute(&mut *tx)
        .await
        .map_err(query("end a drill"))?;
    append(tx, entry(drill.id, &drill.scenario.id, "drill:end", by, now)).await
}

/// Gives one thing, and writes down that it was given; gives back the incident that it opened.
async fn give(
    tx: &mut Conn,
    drill: &Drill,
    (kind, n): (Kind, usize),
    now: Timestamp,
) -> Result<Option<String>, StoreError> {
    let scenario = &drill.scenario;
    let incident = match kind {
        Kind::Report => {
            let Some((one, body)) =
                scenario.reports.get(n).and_then(|one| Some((one, drill.body(one.body)?)))
            else {
                return Ok(None);
            };
            let reason = json!({ "rule": "intake.drill/1", "inputs": {
                "drill": drill.id, "scenario": scenario.id, "text": one.ja, "text_en": one.en,
            }});
            Some((body, one.subject.as_str(), (one.title_ja.as_str(), one.title_en.as_str()), reason))
        }
        Kind::Capture => {
            let Some((one, body)) =
                scenario.captures.get(n).and_then(|one| Some((one, drill.body(one.body)?)))
            else {
                return Ok(None);
            };
            let reason = json!({ "rule": "intake.drill/1", "inputs": {
                "drill": drill.id, "scenario": scenario.id, "would_find": one.finds, "capture": one.file,
            }});
            Some((body, "-", (scenario.title_ja.as_str(), scenario.title_en.as_str()), reason))
        }
        Kind::Inject => None,
    };
    let opened = match incident {
        Some((body, subject, title, reason)) => {
            let (body, category, reason) = (&body, scenario.category, &reason);
            Some(stage(tx, &Staged { body, category, subject, title, reason }, now).await?)
        }
        None => None,
    };
    if let Some(card) = scenario.injects.get(n).filter(|_| kind == Kind::Inject) {
        for incident in drill.incidents() {
            note(tx, incident, &format!("【訓練】[{}] {} / {}", card.to, card.ja, card.en), now).await?;
        }
    }
    db::query("INSERT INTO drill_given (drill, kind, n, at, incident) VALUES ($1, $2, $3, $4, $5)")
        .bind(drill.id)
        .bind(kind.as_str())
        .bind(i64::try_from(n).unwrap_or(i64::MAX))
        .bind(stored(now))
        .bind(opened.as_deref())
        .execute(tx)
        .await
        .map_err(query("write down what a drill gave"))?;
    Ok(opened)
}

/// A card, where the players look.
async fn note(tx: &mut Conn, incident: &str, text: &str, now: Timestamp) -> Result<(), StoreError> {
    db::query(
        "INSERT INTO incident_notes (incident, n, at, author, role, text)
         SELECT $1, coalesce(max(n), 0) + 1, $2, 'drill', 'system', $3 FROM incident_notes WHERE incident = $1",
    )
    .bind(incident)
    .bind(stored(now))
    .bind(text)
    .execute(&mut *tx)
    .await
    .map_err(query("hand out a card"))?;
    let what = json!({ "actor": "drill", "role": "system", "action": "note", "asked": {
        "action": "note", "text": text,
    }});
    change(tx, incident, "note", &what, now).await
}

#[cfg(test)]
mod tests;
