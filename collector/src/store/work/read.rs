//! What the console and the API show of the work on an incident.

use std::collections::BTreeSet;

use sekimori_wire::time::Timestamp;

use super::granted::{self, GrantView};
use super::load;
use crate::clock::from_stored;
use crate::incident::IncidentCategory;
use crate::incident::facts::IncidentFacts;
use crate::incident::form::CauseClass;
use crate::incident::similar::Traits;
use crate::store::db;
use crate::store::{Store, StoreError, query};

/// Notes shown of one incident, the newest.
const NOTES: i64 = 100;
/// Incidents of the past that one is compared with.
const PAST_MAX: i64 = 500;
/// Indicators of one incident that count.
const INDICATORS_MAX: i64 = 64;

/// The work on an incident.
#[derive(Clone, Debug)]
pub struct WorkView {
    /// What decides.
    pub facts: IncidentFacts,
    /// What people noted, newest first.
    pub notes: Vec<NoteView>,
    /// Incidents that were merged into it.
    pub merged: Vec<String>,
    /// Names of what is hidden of it.
    pub masked: Vec<String>,
    /// What was granted, newest first.
    pub grants: Vec<GrantView>,
}

/// A note.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NoteView {
    /// When.
    pub at: Timestamp,
    /// Who.
    pub author: String,
    /// In which role.
    pub role: String,
    /// What.
    pub text: String,
}

impl Store {
    /// The work on an incident, from one view of the store.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn work_of(&self, id: &str) -> Result<Option<WorkView>, StoreError> {
        let mut tx = self.snapshot().await?;
        let Some(facts) = load::facts(&mut tx, id, None).await? else { return Ok(None) };
        let notes: Vec<(i64, String, String, String)> = db::query_as(
            "SELECT at, author, role, text FROM incident_notes WHERE incident = $1 ORDER BY n DESC LIMIT $2",
        )
        .bind(id)
        .bind(NOTES)
        .fetch_all(&mut *tx)
        .await
        .map_err(query("read notes"))?;
        let merged = db::query_scalar("SELECT id FROM incidents WHERE merged_into = $1 ORDER BY id LIMIT $2")
            .bind(id)
            .bind(NOTES)
            .fetch_all(&mut *tx)
            .await
            .map_err(query("read what was merged"))?;
        let note = |(at, author, role, text)| NoteView { at: from_stored(at), author, role, text };
        let masked = granted::masked(&mut tx, id).await?;
        let grants = granted::grants(&mut tx, id).await?;
        Ok(Some(WorkView { facts, notes: notes.into_iter().map(note).collect(), merged, masked, grants }))
    }

    /// What an incident can be compared by, and the same of those of the past that may resemble it: of the same
    /// category, or with the same indicator.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn traits_of(&self, id: &str) -> Result<Option<(Traits, Vec<Traits>)>, StoreError> {
        let failed = "compare incidents";
        let mut tx = self.snapshot().await?;
        let row: Option<(String, Option<String>, String)> =
            db::query_as("SELECT category, body, subject FROM incidents WHERE id = $1")
                .bind(id)
                .fetch_optional(&mut *tx)
                .await
                .map_err(query(failed))?;
        let Some((category, body, subject)) = row else { return Ok(None) };
        let work = load::work(&mut tx, id).await?;
        let own: Vec<(String, String)> = db::query_as(
            "SELECT kind, value FROM indicators WHERE incident = $1 ORDER BY kind, value LIMIT $2",
        )
        .bind(id)
        .bind(INDICATORS_MAX)
        .fetch_all(&mut *tx)
        .await
        .map_err(query(failed))?;
        let now = Traits {
            id: id.to_owned(),
            body: body.and_then(|body| body.parse().ok()),
            category: IncidentCategory::from_name(&category).unwrap_or(IncidentCategory::PolicyViolation),
            subject,
            indicators: own.iter().map(|(kind, value)| format!("{kind}:{value}")).collect(),
            cause: work.triage.as_ref().and_then(|triage| triage.cause),
            root_cause: work.review.map(|review| review.root_cause).unwrap_or_default(),
            lesson: String::new(),
        };
        let mut past: Vec<Traits> = db::query_as::<PastRow>(
            "SELECT incident, category, body, subject, cause, root_cause, lesson FROM lessons
             WHERE category = $2 OR incident IN (
                SELECT o.incident FROM indicators m JOIN indicators o ON o.kind = m.kind AND o.value = m.value
                WHERE m.incident = $1)
             ORDER BY closed_at DESC LIMIT $3",
        )
        .bind(id)
        .bind(&category)
        .bind(PAST_MAX)
        .fetch_all(&mut *tx)
        .await
        .map_err(query(failed))?
        .into_iter()
        .filter_map(traits)
        .collect();
        // What they share with it, in one question: which of its own indicators which of them has.
        let shared: Vec<(String, String, String)> = db::query_as(
            "SELECT o.incident, o.kind, o.value FROM indicators m
             JOIN indicators o ON o.kind = m.kind AND o.value = m.value AND o.incident <> m.incident
             JOIN lessons l ON l.incident = o.incident WHERE m.incident = $1 LIMIT $2",
        )
        .bind(id)
        .bind(PAST_MAX * 4)
        .fetch_all(&mut *tx)
        .await
        .map_err(query(failed))?;
        for (incident, kind, value) in shared {
            if let Some(past) = past.iter_mut().find(|past| past.id == incident) {
                past.indicators.insert(format!("{kind}:{value}"));
            }
        }
        Ok(Some((now, past)))
    }
}

/// Incident, category, body, subject, cause, root cause, lesson.
type PastRow = (String, String, Option<String>, String, Option<String>, String, String);

fn traits((id, category, body, subject, cause, root_cause, lesson): PastRow) -> Option<Traits> {
    Some(Traits {
        id,
        body: body.and_then(|body| body.parse().ok()),
        category: IncidentCategory::from_name(&category)?,
        subject,
        indicators: BTreeSet::new(),
        cause: cause.as_deref().and_then(CauseClass::from_name),
        root_cause,
        lesson,
    })
}
