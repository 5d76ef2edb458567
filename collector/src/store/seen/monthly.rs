//! What a monthly report is made of, of what is seen.

use std::collections::{BTreeMap, BTreeSet};

use sekimori_wire::time::Timestamp;
use serde_json::Value;

use super::Seen;
use crate::clock::{from_stored, stored};
use crate::incident::facts::Work;
use crate::incident::obligation::{ObligationKind, ObligationState};
use crate::incident::{IncidentCategory, IncidentState};
use crate::monthly::kpi::{RECURS_DAYS, RootCause};
use crate::monthly::{Case, Counts, Drill, Endpoints, Month, Row, SensorRow, Statutory, Tuning};
use crate::store::db::{self, Row as Stored};
use crate::store::incident::severity;
use crate::store::{StoreError, query};
use crate::timing::table::TimerKind;
use crate::timing::{end_of, local};

/// Incidents of a month, the worst first: more are not told of.
const CASES_MAX: i64 = 20_000;
/// Rows of the other parts.
const ROWS_MAX: i64 = 2_000;
/// Sensors whose minutes are counted: each has thousands of batches a day.
const SENSORS_COUNTED: usize = 64;
const MINUTE: i64 = 60 * 1_000_000_000;
const DAY: i64 = 1_440 * MINUTE;

/// Body and scope, of a column with the body's code.
const OF: &str = "(CAST($3 AS TEXT) IS NULL OR {body} = $3) AND (CAST($4 AS TEXT) IS NULL OR $4 LIKE '%,' || {body} || ',%')";

fn of(sql: &str, body: &str) -> String {
    sql.replace("{of}", &OF.replace("{body}", body))
}

/// Name, version, body, identity, when it was enrolled.
type SensorFacts = (String, Option<String>, String, String, i64);

impl Seen<'_> {
    /// Incidents that were opened in the month, the worst first. Neither exercises nor what was replayed.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn cases_of(&self, month: Month, body: Option<&str>) -> Result<Vec<Case>, StoreError> {
        let failed = "read the incidents of a month";
        let sql = of(
            "SELECT i.id, i.body, i.category, i.severity, i.state, i.title_ja, i.title_en, i.opened_at,
                i.first_evidence, i.reason_json, w.json AS work,
                (SELECT min(read_at) FROM notices n
                    WHERE n.incident = i.id AND n.role IN ('body_officer', 'body_ciso')) AS was_read,
                (SELECT min(sent_at) FROM notices n
                    WHERE n.incident = i.id AND n.role IN ('body_officer', 'body_ciso')) AS was_sent
             FROM incidents i LEFT JOIN incident_work w ON w.incident = i.id
             WHERE i.opened_at >= $1 AND i.opened_at < $2 AND i.drill = 0 AND i.mode <> 'replay'
                AND i.category <> 'drill_test' AND {of}
             ORDER BY i.severity DESC, i.opened_at, i.id LIMIT $5",
            "i.body",
        );
        let rows = db::query(db::AssertSqlSafe(sql))
            .bind(stored(month.begins()))
            .bind(stored(month.ends()))
            .bind(body)
            .bind(self.scope.sql())
            .bind(CASES_MAX)
            .fetch_all(self.store.reader())
            .await
            .map_err(query(failed))?;
        let (mut passed, mut segments) =
            (self.passed_of(month, body).await?, self.segments_of(month, body).await?);
        let mut cases = Vec::with_capacity(rows.len());
        for row in &rows {
            let mut case = case(row)?;
            case.passed = passed.remove(&case.id).unwrap_or_default();
            case.segments = segments.remove(&case.id).unwrap_or_default().into_iter().collect();
            cases.push(case);
        }
        Ok(cases)
    }

    /// Limits that ran out, by incident of the month.
    async fn passed_of(
        &self,
        month: Month,
        body: Option<&str>,
    ) -> Result<BTreeMap<String, BTreeSet<TimerKind>>, StoreError> {
        let rows: Vec<(String, String)> = self
            .month_rows(
                "SELECT DISTINCT t.incident, t.what FROM timers t JOIN incidents i ON i.id = t.incident
                 WHERE i.opened_at >= $1 AND i.opened_at < $2 AND t.rung = 100 AND t.fired_at IS NOT NULL
                    AND t.what NOT LIKE '%/%' AND {of}",
                "i.body",
                (month, body),
            )
            .await?;
        let mut all: BTreeMap<String, BTreeSet<TimerKind>> = BTreeMap::new();
        for (incident, what) in rows {
            if let Some(what) = TimerKind::from_name(&what) {
                all.entry(incident).or_default().insert(what);
            }
        }
        Ok(all)
    }

    /// Segments whose rules were broken, by incident of the month.
    async fn segments_of(
        &self,
        month: Month,
        body: Option<&str>,
    ) -> Result<BTreeMap<String, BTreeSet<String>>, StoreError> {
        let rows: Vec<(String, String)> = self
            .month_rows(
                "SELECT f.incident, f.json FROM findings f JOIN incidents i ON i.id = f.incident
                 WHERE i.opened_at >= $1 AND i.opened_at < $2 AND f.category LIKE 'segment.%' AND {of}",
                "i.body",
                (month, body),
            )
            .await?;
        let mut all: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for (incident, json) in rows {
            let json: Value = serde_json::from_str(&json).unwrap_or_default();
            if let Some(segment) = json.get("segment").and_then(Value::as_str) {
                all.entry(incident).or_default().insert(segment.to_owned());
            }
        }
        Ok(all)
    }

    /// Pairs of the month: begin, end, body and scope are bound.
    async fn month_rows(
        &self,
        sql: &str,
        column: &str,
        (month, body): (Month, Option<&str>),
    ) -> Result<Vec<(String, String)>, StoreError> {
        db::query_as(db::AssertSqlSafe(of(sql, column)))
            .bind(stored(month.begins()))
            .bind(stored(month.ends()))
            .bind(body)
            .bind(self.scope.sql())
            .fetch_all(self.store.reader())
            .await
            .map_err(query("read the work of a month"))
    }

    /// One number of the month.
    async fn month_count(
        &self,
        sql: &str,
        column: &str,
        (month, body): (Month, Option<&str>),
    ) -> Result<i64, StoreError> {
        db::query_scalar(db::AssertSqlSafe(of(sql, column)))
            .bind(stored(month.begins()))
            .bind(stored(month.ends()))
            .bind(body)
            .bind(self.scope.sql())
            .fetch_one(self.store.reader())
            .await
            .map_err(query("count what a month brought"))
    }

    /// What sensors and endpoints said; nothing of incidents.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn counts_of(&self, month: Month, body: Option<&str>) -> Result<Counts, StoreError> {
        let asked = (month, body);
        Ok(Counts {
            findings: self
                .month_count(
                    "SELECT count(*) FROM findings WHERE time >= $1 AND time < $2 AND mode <> 'replay' AND {of}",
                    "body",
                    asked,
                )
                .await?,
            alerts: self
                .month_count("SELECT count(*) FROM alerts WHERE time >= $1 AND time < $2 AND {of}", "body", asked)
                .await?,
            precursors: self
                .month_count(
                    "SELECT count(*) FROM precursors WHERE time >= $1 AND time < $2 AND incident IS NULL AND {of}",
                    "body",
                    asked,
                )
                .await?,
            ..Counts::default()
        })
    }

    /// Reports of the incidents that were opened, or fall due, in the month or before it and are not done.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn statutory_of(
        &self,
        month: Month,
        body: Option<&str>,
        now: Timestamp,
    ) -> Result<Vec<Statutory>, StoreError> {
        let failed = "read the reports of a month";
        let sql = of(
            "SELECT o.incident, o.kind, o.state, o.voluntary, o.last_day, o.filed_at
             FROM obligations o JOIN incidents i ON i.id = o.incident
             WHERE i.opened_at < $2 AND (i.opened_at >= $1 OR o.filed_at >= $1 OR o.last_day >= $5
                OR o.state IN ('not_assessed', 'assessing', 'applicable', 'scheduled'))
                AND i.drill = 0 AND i.mode <> 'replay' AND {of}
             ORDER BY o.last_day IS NULL, o.last_day, o.incident, o.kind LIMIT $6",
            "i.body",
        );
        let rows = db::query(db::AssertSqlSafe(sql))
            .bind(stored(month.begins()))
            .bind(stored(month.ends()))
            .bind(body)
            .bind(self.scope.sql())
            .bind(month.days().0.to_string())
            .bind(ROWS_MAX)
            .fetch_all(self.store.reader())
            .await
            .map_err(query(failed))?;
        rows.iter().map(|row| statutory(row, now)).collect()
    }

    /// Sensors that were enrolled before the month ended and are not revoked.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn sensors_of(
        &self,
        month: Month,
        body: Option<&str>,
        now: Timestamp,
    ) -> Result<Vec<SensorRow>, StoreError> {
        let failed = "read the sensors of a month";
        let (begins, ends) = (stored(month.begins()), stored(month.ends()).min(stored(now)));
        let sql = of(
            "SELECT name, version, body, id, enrolled_at FROM agents
             WHERE enrolled_at >= $1 AND enrolled_at < $2 AND revoked_at IS NULL AND {of} ORDER BY body, name, id LIMIT $5",
            "body",
        );
        let agents: Vec<SensorFacts> = db::query_as(db::AssertSqlSafe(sql))
            .bind(0_i64)
            .bind(stored(month.ends()))
            .bind(body)
            .bind(self.scope.sql())
            .bind(ROWS_MAX)
            .fetch_all(self.store.reader())
            .await
            .map_err(query(failed))?;
        let counted = agents.len() <= SENSORS_COUNTED;
        let mut all = Vec::with_capacity(agents.len());
        for (name, version, body, id, enrolled) in agents {
            let from = begins.max(enrolled);
            let minutes = if counted { Some(self.minutes(&id, from, ends).await?) } else { None };
            let (gaps, lost): (i64, i64) = db::query_as(
                "SELECT count(*), CAST(coalesce(sum(records), 0) AS BIGINT) FROM gaps
                 WHERE agent = $1 AND start >= $2 AND start < $3",
            )
            .bind(&id)
            .bind(begins)
            .bind(ends)
            .fetch_one(self.store.reader())
            .await
            .map_err(query(failed))?;
            let of_minutes = ends.saturating_sub(from).max(0) / MINUTE;
            let version = version.unwrap_or_default();
            all.push(SensorRow { name, body, version, minutes, of_minutes, gaps, lost });
        }
        Ok(all)
    }

    /// Whole minutes in which an agent sealed something.
    async fn minutes(&self, agent: &str, from: i64, until: i64) -> Result<i64, StoreError> {
        db::query_scalar(
            "SELECT count(DISTINCT (sealed_at - $2) / $4) FROM batches
             WHERE agent = $1 AND sealed_at >= $2 AND sealed_at < $3 - ($3 - $2) % $4 AND mode <> 'replay'",
        )
        .bind(agent)
        .bind(from)
        .bind(until.max(from))
        .bind(MINUTE)
        .fetch_one(self.store.reader())
        .await
        .map_err(query("count the minutes of a sensor"))
    }

    /// Root causes of what was closed in the month, and whether the same body had had the same in the days before.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn root_causes_of(
        &self,
        month: Month,
        body: Option<&str>,
    ) -> Result<Vec<RootCause>, StoreError> {
        let days = i64::try_from(RECURS_DAYS).unwrap_or(i64::MAX);
        let sql = of(
            "SELECT l.root_cause, CAST(EXISTS (SELECT 1 FROM lessons e WHERE e.body = l.body AND e.category = l.category
                AND e.root_cause = l.root_cause AND e.incident <> l.incident
                AND e.closed_at <= l.closed_at AND e.closed_at >= l.closed_at - $5) AS INTEGER)
             FROM lessons l JOIN incidents i ON i.id = l.incident
             WHERE l.closed_at >= $1 AND l.closed_at < $2 AND l.root_cause <> '' AND i.drill = 0 AND {of}
             ORDER BY l.closed_at, l.incident",
            "l.body",
        );
        let rows: Vec<(String, i32)> = db::query_as(db::AssertSqlSafe(sql))
            .bind(stored(month.begins()))
            .bind(stored(month.ends()))
            .bind(body)
            .bind(self.scope.sql())
            .bind(days.saturating_mul(DAY))
            .fetch_all(self.store.reader())
            .await
            .map_err(query("read the root causes of a month"))?;
        Ok(rows.into_iter().map(|(cause, again)| (again != 0, cause)).collect())
    }

    /// Endpoint alerts of the month, and machines that nothing contained.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn endpoints_of(&self, month: Month, body: Option<&str>) -> Result<Endpoints, StoreError> {
        let failed = "read the endpoint alerts of a month";
        let sql = of(
            "SELECT class, count(*) FROM alerts WHERE time >= $1 AND time < $2 AND {of} GROUP BY class ORDER BY class",
            "body",
        );
        let mut classes: BTreeMap<String, (i64, i64)> = BTreeMap::new();
        for (month, is_now) in [(month, true), (month.before(), false)] {
            let rows: Vec<(String, i64)> = db::query_as(db::AssertSqlSafe(sql.clone()))
                .bind(stored(month.begins()))
                .bind(stored(month.ends()))
                .bind(body)
                .bind(self.scope.sql())
                .fetch_all(self.store.reader())
                .await
                .map_err(query(failed))?;
            for (class, count) in rows {
                let entry = classes.entry(class).or_default();
                *(if is_now { &mut entry.0 } else { &mut entry.1 }) = count;
            }
        }
        let uncontained = of(
            "SELECT DISTINCT host FROM host_sightings WHERE last_seen >= $1 AND first_seen < $2
                AND source = 'endpoint' AND contained = 0 AND {of} ORDER BY host LIMIT $5",
            "body",
        );
        let uncontained: Vec<String> = db::query_scalar(db::AssertSqlSafe(uncontained))
            .bind(stored(month.begins()))
            .bind(stored(month.ends()))
            .bind(body)
            .bind(self.scope.sql())
            .bind(ROWS_MAX)
            .fetch_all(self.store.reader())
            .await
            .map_err(query(failed))?;
        let row = |(key, (count, before))| Row { key, count, before };
        Ok(Endpoints { classes: classes.into_iter().map(row).collect(), uncontained })
    }

    /// Exceptions and threat information. Exceptions of all bodies are shown to whoever sees all.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn tuning_of(
        &self,
        month: Month,
        body: Option<&str>,
        now: Timestamp,
    ) -> Result<Tuning, StoreError> {
        let asked = (month, body);
        let next = month.after();
        let within = |at: Timestamp, month: Month| month.begins() <= at && at < month.ends();
        let exceptions = self.exceptions().await?;
        let signed = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
        Ok(Tuning {
            exceptions: signed(exceptions.iter().filter(|one| one.expires >= now).count()),
            began: signed(exceptions.iter().filter(|one| within(one.created, month)).count()),
            ending: signed(exceptions.iter().filter(|one| within(one.expires, next)).count()),
            excepted: self
                .month_count(
                    "SELECT count(*) FROM findings
                     WHERE time >= $1 AND time < $2 AND excepted_by IS NOT NULL AND mode <> 'replay' AND {of}",
                    "body",
                    asked,
                )
                .await?,
            matches: self
                .month_count(
                    "SELECT count(*) FROM findings
                     WHERE time >= $1 AND time < $2 AND category = 'intel.match' AND mode <> 'replay' AND {of}",
                    "body",
                    asked,
                )
                .await?,
            intel: db::query_scalar(
                "SELECT count(*) FROM policies WHERE at >= $1 AND at < $2 AND intel_json <> '[]'
                    AND (CAST($3 AS TEXT) IS NULL OR scope = 'all' OR scope = 'body:' || $3)",
            )
            .bind(stored(month.begins()))
            .bind(stored(month.ends()))
            .bind(body)
            .fetch_one(self.store.reader())
            .await
            .map_err(query("count the policies of a month"))?,
        })
    }

    /// Exercises of the month.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn drills_of(&self, month: Month, body: Option<&str>) -> Result<Vec<Drill>, StoreError> {
        let sql = of(
            "SELECT id, title_ja, title_en, opened_at FROM incidents
             WHERE opened_at >= $1 AND opened_at < $2 AND (drill <> 0 OR category = 'drill_test') AND {of}
             ORDER BY opened_at, id LIMIT $5",
            "body",
        );
        let rows: Vec<(String, String, String, i64)> = db::query_as(db::AssertSqlSafe(sql))
            .bind(stored(month.begins()))
            .bind(stored(month.ends()))
            .bind(body)
            .bind(self.scope.sql())
            .bind(ROWS_MAX)
            .fetch_all(self.store.reader())
            .await
            .map_err(query("read the exercises of a month"))?;
        let one = |(incident, title_ja, title_en, opened)| Drill {
            incident,
            title_ja,
            title_en,
            opened_at: from_stored(opened),
        };
        Ok(rows.into_iter().map(one).collect())
    }
}

fn case(row: &Stored) -> Result<Case, StoreError> {
    let failed = "read an incident of a month";
    let text = |column: &'static str| row.get::<String>(column).map_err(query(failed));
    let time = |column: &'static str| row.get::<i64>(column).map(from_stored).map_err(query(failed));
    let maybe = |column: &'static str| {
        row.get::<Option<i64>>(column).map(|at| at.map(from_stored)).map_err(query(failed))
    };
    let level = severity(row.get("severity").map_err(query(failed))?);
    let work: Option<String> = row.get("work").map_err(query(failed))?;
    let work = work.as_deref().map(serde_json::from_str::<Work>).transpose();
    let work =
        work.map_err(|cause| StoreError::Query { what: failed, cause: db::Error::Decode(cause.into()) })?;
    let (read, sent) = (maybe("was_read")?, maybe("was_sent")?);
    let reason: Value = serde_json::from_str(&text("reason_json")?).unwrap_or_default();
    let rule = reason.get("rule").and_then(Value::as_str).unwrap_or_default();
    Ok(Case {
        id: text("id")?,
        body: row.get("body").map_err(query(failed))?,
        category: IncidentCategory::from_name(&text("category")?)
            .unwrap_or(IncidentCategory::PolicyViolation),
        severity: level,
        state: IncidentState::from_name(&text("state")?).unwrap_or(IncidentState::Detected),
        title_ja: text("title_ja")?,
        title_en: text("title_en")?,
        opened_at: time("opened_at")?,
        first_evidence: time("first_evidence")?,
        // As the clocks have it: at high levels somebody must have read it.
        notified_at: if level >= sekimori_wire::finding::Severity::HIGH {
            read
        } else {
            read.into_iter().chain(sent).min()
        },
        by_hand: rule.starts_with("intake."),
        work: work.unwrap_or_default(),
        passed: BTreeSet::new(),
        segments: Vec::new(),
    })
}

fn statutory(row: &Stored, now: Timestamp) -> Result<Statutory, StoreError> {
    let failed = "read a report of a month";
    let text = |column: &'static str| row.get::<String>(column).map_err(query(failed));
    let last_day: Option<String> = row.get("last_day").map_err(query(failed))?;
    let filed: Option<i64> = row.get("filed_at").map_err(query(failed))?;
    let filed_at = filed.map(from_stored);
    let state = ObligationState::from_name(&text("state")?).unwrap_or(ObligationState::NotAssessed);
    let last = last_day.as_deref().and_then(|day| day.parse::<jiff::civil::Date>().ok());
    let in_time = match (last, filed_at) {
        (Some(last), Some(filed)) => Some(local(filed).date() <= last),
        (Some(last), None) if !state.is_terminal() && now >= end_of(last) => Some(false),
        (Some(_) | None, _) => None,
    };
    Ok(Statutory {
        incident: text("incident")?,
        kind: ObligationKind::from_name(&text("kind")?).unwrap_or(ObligationKind::PrefReport),
        state,
        voluntary: row.get::<i64>("voluntary").map_err(query(failed))? != 0,
        last_day,
        filed_at,
        in_time,
    })
}
