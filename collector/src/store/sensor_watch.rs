//! One look at all agents: conditions that begin, last or end, and what is written into incidents because of it.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::store::db::{self, Bulk, Conn, FromRow, Kind};
use sekimori_wire::finding::Severity;
use sekimori_wire::time::Timestamp;
use serde_json::{Value, json};

use super::commit::{Ledger, json_text};
use super::incident::sensor::{self, Told};
use super::{Store, StoreError, query};
use crate::clock::{from_stored, stored};
use crate::config::Correlation;
use crate::exceptions::ruling::Judge;
use crate::fleet::watch::{CONDITIONS, Facts, Limits, Row, SILENT, Step, Verdict, listening, silence, step};

/// An agent as it is watched. A health that was judged already is not read again.
#[derive(Debug, FromRow)]
struct Watched {
    id: String,
    name: String,
    body: String,
    last_seen: i64,
    sealed_ahead: Option<i64>,
    health_received_at: Option<i64>,
    health_json: Option<String>,
    sample_json: Option<String>,
}

/// A row that is kept.
#[derive(Debug, FromRow)]
struct KeptRow {
    agent: String,
    condition: String,
    since: i64,
    good_since: Option<i64>,
    incident: Option<String>,
}

/// What is to be done about one condition of one agent.
struct Due<'a> {
    agent: &'a Watched,
    told: Told,
    step: Step,
    incident: Option<String>,
    since: Timestamp,
}

impl Store {
    /// Looks at every agent that is enrolled, live and was heard of. What the collector was away for counts for nobody.
    ///
    /// # Errors
    /// If the store fails; nothing is then written.
    pub async fn watch(
        &self,
        limits: Limits,
        correlation: Correlation,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let kept: Option<(i64, i64)> = db::query_as("SELECT at, listening_since FROM watch_clock")
            .fetch_optional(self.reader())
            .await
            .map_err(query("read when agents were looked after"))?;
        let listening = listening(kept.map(|(at, since)| (from_stored(at), from_stored(since))), now);
        let agents = self.watched().await?;
        let rows = self.watch_rows().await?;
        let mut due = Vec::new();
        for agent in &agents {
            due.extend(look(agent, &rows, limits, listening, now));
        }
        let mut tx = self.begin_changing().await?;
        let mut ledger = Ledger::new(now, correlation, Judge::default());
        for due in due {
            apply(&mut tx, &mut ledger, &due).await?;
        }
        let samples = agents.iter().filter_map(sample).collect();
        SAMPLES.execute(&mut tx, samples).await.map_err(query("keep the counters of agents"))?;
        super::incident::hosts::overdue(&mut tx, &mut ledger).await?;
        db::query(
            "INSERT INTO watch_clock (one, at, listening_since) VALUES (1, $1, $2)
             ON CONFLICT (one) DO UPDATE SET at = excluded.at, listening_since = excluded.listening_since",
        )
        .bind(stored(now))
        .bind(stored(listening))
        .execute(&mut *tx)
        .await
        .map_err(query("note when agents were looked after"))?;
        super::writer::add_counters(&mut tx, ledger.counters.into_iter()).await?;
        tx.commit().await?;
        let last = self.last_change().await?;
        if last > *self.changes.borrow() {
            self.announce(last);
        }
        Ok(())
    }

    async fn watched(&self) -> Result<Vec<Watched>, StoreError> {
        db::query_as(
            "SELECT g.id, g.name, g.body, g.last_seen, g.sealed_ahead, s.json AS sample_json,
                CASE WHEN s.received_at IS NULL OR g.health_received_at <> s.received_at
                    THEN g.health_received_at END AS health_received_at,
                CASE WHEN s.received_at IS NULL OR g.health_received_at <> s.received_at
                    THEN g.health_json END AS health_json
             FROM agents g LEFT JOIN sensor_samples s ON s.agent = g.id
             WHERE g.revoked_at IS NULL AND g.last_seen IS NOT NULL
                AND NOT EXISTS (SELECT 1 FROM chains c WHERE c.agent = g.id AND c.mode = 'replay')
             ORDER BY g.id",
        )
        .fetch_all(self.reader())
        .await
        .map_err(query("look after the agents"))
    }

    async fn watch_rows(&self) -> Result<BTreeMap<(String, String), Row>, StoreError> {
        let rows: Vec<KeptRow> =
            db::query_as("SELECT agent, condition, since, good_since, incident FROM sensor_watch")
                .fetch_all(self.reader())
                .await
                .map_err(query("read what is wrong with agents"))?;
        let row = |row: KeptRow| {
            let kept = Row {
                since: from_stored(row.since),
                good_since: row.good_since.map(from_stored),
                incident: row.incident,
            };
            ((row.agent, row.condition), kept)
        };
        Ok(rows.into_iter().map(row).collect())
    }
}

/// Judges every condition of one agent.
fn look<'a>(
    agent: &'a Watched,
    rows: &BTreeMap<(String, String), Row>,
    limits: Limits,
    listening: Timestamp,
    now: Timestamp,
) -> Vec<Due<'a>> {
    let mut due = Vec::new();
    let mut judge = |told: Told, verdict: Verdict, hold: Duration, clear: Duration| {
        let kept = rows.get(&(agent.id.clone(), told.condition.to_owned()));
        let mut row = kept.cloned();
        let mut told = told;
        if let Verdict::Bad(_, inputs) = &verdict {
            told.inputs = inputs.clone();
        }
        // What begins may have lasted long enough already.
        for _begun in 0..2 {
            let step = step(hold, clear, row.as_ref(), &verdict, now);
            let since = row.as_ref().map_or(now, |row| row.since);
            let incident = row.as_ref().and_then(|row| row.incident.clone());
            if step == Step::Keep {
                break;
            }
            due.push(Due { agent, told: told.clone(), step, incident, since });
            let Step::Begin(since) = step else { break };
            row = Some(Row { since, good_since: None, incident: None });
        }
    };
    let told = Told {
        condition: SILENT,
        ja: "センサ不通",
        en: "Sensor silent",
        severity: Severity::MEDIUM,
        inputs: Value::Null,
        threshold: json!({ "seconds": limits.silent.as_secs() }),
        why: "an agent sends its health every half minute",
    };
    let last_seen = from_stored(agent.last_seen);
    // Silence begins with the last sign of life: as long as that is the same, it is not over, whatever the clock says.
    let row = rows.get(&(agent.id.clone(), SILENT.to_owned()));
    let verdict = match silence(limits.silent, last_seen, listening, now) {
        Verdict::Good if row.is_some_and(|row| row.since == last_seen) => Verdict::Open,
        verdict @ (Verdict::Bad(..) | Verdict::Good | Verdict::Open) => verdict,
    };
    judge(told, verdict, limits.silent, Duration::ZERO);
    let health = agent.health_json.as_deref().and_then(|json| serde_json::from_str::<Value>(json).ok());
    let Some(facts) = health.as_ref().map(Facts::of) else { return due };
    let before = agent.sample_json.as_deref().and_then(|json| serde_json::from_str::<Facts>(json).ok());
    let ahead_ms = agent.sealed_ahead.unwrap_or_default() / 1_000_000;
    for one in CONDITIONS {
        let told = Told {
            condition: one.key,
            ja: one.ja,
            en: one.en,
            severity: one.severity,
            inputs: Value::Null,
            threshold: one.measure.threshold(limits),
            why: one.why,
        };
        judge(told, one.measure.judge(limits, &facts, before.as_ref(), ahead_ms), one.hold, one.clear);
    }
    due
}

async fn apply(tx: &mut Conn, ledger: &mut Ledger, due: &Due<'_>) -> Result<(), StoreError> {
    let (agent, condition) = (&due.agent.id, due.told.condition);
    let now = ledger.now;
    let write = match due.step {
        Step::Keep => return Ok(()),
        Step::Begin(since) => {
            db::query("INSERT INTO sensor_watch (agent, condition, since) VALUES ($1, $2, $3)")
                .bind(agent)
                .bind(condition)
                .bind(stored(since))
        }
        Step::SeemsOver(since) => {
            db::query("UPDATE sensor_watch SET good_since = $3 WHERE agent = $1 AND condition = $2")
                .bind(agent)
                .bind(condition)
                .bind(since.map(stored))
        }
        Step::Tell => {
            let whose = sensor::Whose { agent, name: &due.agent.name, body: &due.agent.body };
            let incident = sensor::tell(tx, ledger, &whose, &due.told, due.since).await?;
            ledger.count("sensor_conditions_told");
            db::query("UPDATE sensor_watch SET incident = $3, good_since = NULL WHERE agent = $1 AND condition = $2")
                .bind(agent)
                .bind(condition)
                .bind(incident)
        }
        Step::Forget | Step::Over => {
            if let Some(incident) = &due.incident {
                sensor::over(tx, ledger, incident, condition, due.since, now).await?;
                ledger.count("sensor_conditions_over");
            }
            db::query("DELETE FROM sensor_watch WHERE agent = $1 AND condition = $2")
                .bind(agent)
                .bind(condition)
        }
    };
    write.execute(tx).await.map(drop).map_err(query("note what is wrong with an agent"))
}

static SAMPLES: Bulk<3> = Bulk::new(
    "INSERT INTO sensor_samples (agent, received_at, json) {rows}
     ON CONFLICT (agent) DO UPDATE SET received_at = excluded.received_at, json = excluded.json",
    [Kind::Text, Kind::Int, Kind::Text],
);

/// The health that was judged is what the next one is compared with; nothing if none came since the last time.
fn sample(agent: &Watched) -> Option<[db::Value<'_>; 3]> {
    let (received_at, json) = agent.health_received_at.zip(agent.health_json.as_deref())?;
    let facts = serde_json::from_str::<Value>(json).map(|health| Facts::of(&health)).unwrap_or_default();
    Some([(&agent.id).into(), received_at.into(), json_text(&facts).into()])
}
