//! Incidents that people open: from what somebody told them, or out of another one.

use sekimori_wire::finding::Severity;
use sekimori_wire::id::BodyCode;
use sekimori_wire::time::Timestamp;
use serde::Deserialize;
use serde_json::{Value, json};
use utoipa::ToSchema;

use super::details::Details;
use super::{Seen, change, entry, last_change, load, save_work};
use crate::audit::Entry;
use crate::clock::stored;
use crate::incident::facts::Work;
use crate::incident::form::said;
use crate::incident::permission::{AtHand, Grant, Part, Permission, grant};
use crate::incident::transition::Actor;
use crate::incident::{IncidentCategory, IncidentState, name_prefix};
use crate::store::audit::append;
use crate::store::db::{self, Conn};
use crate::store::{Store, StoreError, query};

/// Longest title, in characters.
const TITLE_MAX: usize = 200;
/// Longest account, in characters.
const TEXT_MAX: usize = 4000;

/// What somebody tells: a staff member, somebody outside, or somebody who gives no name.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Intake {
    /// What kind, as far as one can tell.
    pub category: IncidentCategory,
    /// 団体コード.
    #[schema(min_length = 6, max_length = 6, pattern = "^[0-9]{6}$")]
    pub body: String,
    /// One line.
    #[schema(min_length = 1, max_length = 200)]
    pub title: String,
    /// What happened.
    #[schema(min_length = 1, max_length = 4000)]
    pub text: String,
    /// What it is about: a device, a file, an account.
    #[serde(default)]
    #[schema(max_length = 200)]
    pub subject: String,
    /// How bad it looks, 0 to 4.
    #[serde(default)]
    #[schema(maximum = 4)]
    pub severity: Option<u8>,
    /// When it happened, if that is known.
    #[serde(default)]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub occurred_at: Option<Timestamp>,
    /// Who told it.
    pub reporter: Reporter,
    /// How to reach who told it. Hidden, like their name.
    #[serde(default)]
    #[schema(max_length = 200)]
    pub contact: String,
    /// What one asks of this kind.
    #[serde(default)]
    pub details: Option<Details>,
    /// An exercise. Never changes later.
    #[serde(default)]
    pub drill: bool,
}

/// Who told it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Reporter {
    /// Somebody of the organisation.
    Staff {
        /// Who, and of which section.
        #[schema(min_length = 1, max_length = 200)]
        name: String,
    },
    /// Somebody else.
    Outside {
        /// Who.
        #[schema(min_length = 1, max_length = 200)]
        name: String,
    },
    /// Somebody who gives no name: none is kept.
    Anonymous {},
}

impl Reporter {
    const fn kind(&self) -> &'static str {
        match self {
            Self::Staff { .. } => "staff",
            Self::Outside { .. } => "outside",
            Self::Anonymous {} => "anonymous",
        }
    }

    fn name(&self) -> &str {
        match self {
            Self::Staff { name } | Self::Outside { name } => name,
            Self::Anonymous {} => "",
        }
    }
}

/// Why no incident was opened.
#[derive(Debug, thiserror::Error)]
pub enum IntakeError {
    /// The role opens none.
    #[error("the role {0} may not open an incident")]
    NotAllowed(Part),
    /// Something is missing or not valid.
    #[error("missing or not valid: {}", .0.join(", "))]
    Missing(Vec<String>),
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Intake {
    /// What is missing or not valid, but for what the store must know.
    fn missing(&self) -> Vec<String> {
        let long = |text: &str, most: usize| text.chars().nth(most).is_some();
        let nameless = match &self.reporter {
            Reporter::Staff { name } | Reporter::Outside { name } => !said(name) || long(name, TITLE_MAX),
            Reporter::Anonymous {} => false,
        };
        let anonymous = self.reporter == Reporter::Anonymous {};
        let details = self.details.as_ref().map(Details::missing).unwrap_or_default();
        [
            ("contact", long(&self.contact, TITLE_MAX) || (anonymous && said(&self.contact))),
            ("title", !said(&self.title) || long(&self.title, TITLE_MAX)),
            ("text", !said(&self.text) || long(&self.text, TEXT_MAX)),
            ("subject", long(&self.subject, TITLE_MAX)),
            ("severity", self.severity.is_some_and(|level| Severity::new(level).is_none())),
            ("reporter.name", nameless),
            ("body", self.body.parse::<BodyCode>().is_err()),
        ]
        .into_iter()
        .filter(|(_, missing)| *missing)
        .map(|(name, _)| name)
        .chain(details)
        .map(str::to_owned)
        .collect()
    }

    /// Names and contacts, which are kept apart.
    fn hidden(&self) -> Vec<(&'static str, &str)> {
        let mut all = vec![("reporter.name", self.reporter.name()), ("contact", self.contact.as_str())];
        all.extend(self.details.iter().map(Details::hidden));
        all.retain(|(_, value)| said(value));
        all
    }
}

impl Store {
    /// Opens an incident from what somebody told; gives back its name.
    ///
    /// # Errors
    /// If the role may not, something is missing, or the store fails.
    pub async fn open_by_hand(
        &self,
        intake: &Intake,
        actor: &Actor,
        now: Timestamp,
    ) -> Result<String, IntakeError> {
        let at_hand = AtHand { severity: Severity::INFORMATIONAL, level: None, days: None };
        if grant(actor.role, Permission::Open, at_hand) != Grant::May {
            return Err(IntakeError::NotAllowed(actor.role));
        }
        let missing = intake.missing();
        let body: Option<BodyCode> = intake.body.parse().ok();
        let Some(body) = body.filter(|body| missing.is_empty() && actor.bodies.hold(Some(body))) else {
            let named = if missing.is_empty() { vec!["body".to_owned()] } else { missing };
            return Err(IntakeError::Missing(named));
        };
        let mut tx = self.begin_changing().await?;
        let known: Option<String> = db::query_scalar("SELECT code FROM bodies WHERE code = $1")
            .bind(body.as_str())
            .fetch_optional(&mut *tx)
            .await
            .map_err(query("read a body"))?;
        if known.is_none() {
            return Err(IntakeError::Missing(vec!["body".to_owned()]));
        }
        let told = intake.severity.and_then(Severity::new).unwrap_or(Severity::LOW);
        let occurred = intake.occurred_at.unwrap_or(now).min(now);
        let hidden = intake.hidden();
        let masked: Vec<&str> = hidden.iter().map(|(name, _)| *name).collect();
        let reason = json!({
            "rule": "intake.manual/1",
            "inputs": {
                "reporter": { "kind": intake.reporter.kind() },
                "text": intake.text,
                "occurred_at": intake.occurred_at,
                "details": intake.details.as_ref().map(Details::open),
                "masked": masked,
            },
        });
        let new = New {
            body: Some(&body),
            category: intake.category,
            severity: told.max(intake.category.floor()),
            state: IncidentState::Detected,
            subject: if said(&intake.subject) { intake.subject.trim() } else { "-" },
            first: occurred,
            last: now,
            drill: intake.drill || intake.category == IncidentCategory::DrillTest,
            mode: "live",
            title: (&intake.title, &intake.title),
            reason: &reason,
        };
        let id = insert(&mut tx, &new, now).await?;
        for (name, value) in hidden {
            db::query("INSERT INTO masked_values (incident, name, value) VALUES ($1, $2, $3)")
                .bind(&id)
                .bind(name)
                .bind(value.trim())
                .execute(&mut *tx)
                .await
                .map_err(query("hide a value"))?;
        }
        let what = json!({
            "actor": actor.name, "role": actor.role, "category": intake.category, "severity": new.severity,
        });
        change(&mut tx, &id, "opened", &what, now).await?;
        append(&mut tx, opened(actor, &id, "", now)).await?;
        let last = last_change(&mut tx).await?;
        tx.commit().await?;
        self.announce(last);
        Ok(id)
    }
}

fn opened(actor: &Actor, id: &str, reason: &str, now: Timestamp) -> Entry {
    Entry {
        at: now,
        actor: actor.name.clone(),
        role: actor.role.as_str().to_owned(),
        incident: id.to_owned(),
        action: "open".to_owned(),
        from: String::new(),
        to: IncidentState::Detected.as_str().to_owned(),
        reason: reason.to_owned(),
        version: 1,
    }
}

/// What an incident starts with.
struct New<'a> {
    body: Option<&'a BodyCode>,
    category: IncidentCategory,
    severity: Severity,
    state: IncidentState,
    subject: &'a str,
    first: Timestamp,
    last: Timestamp,
    drill: bool,
    mode: &'a str,
    /// In Japanese and in English.
    title: (&'a str, &'a str),
    reason: &'a Value,
}

/// What a drill puts before its players: an incident as somebody would have opened it by hand.
#[derive(Debug)]
pub(in crate::store) struct Staged<'a> {
    /// Whose.
    pub body: &'a BodyCode,
    /// What the scenario is about.
    pub category: IncidentCategory,
    /// What it is about: a device, an account.
    pub subject: &'a str,
    /// In Japanese and in English.
    pub title: (&'a str, &'a str),
    /// Why it is there.
    pub reason: &'a Value,
}

/// Opens an incident of a drill; gives back its name. How bad it is, is for the players to say.
///
/// # Errors
/// If the store fails.
pub(in crate::store) async fn stage(
    tx: &mut Conn,
    staged: &Staged<'_>,
    now: Timestamp,
) -> Result<String, StoreError> {
    let new = New {
        body: Some(staged.body),
        category: staged.category,
        severity: Severity::LOW.max(staged.category.floor()),
        state: IncidentState::Detected,
        subject: staged.subject,
        first: now,
        last: now,
        drill: true,
        mode: "live",
        title: staged.title,
        reason: staged.reason,
    };
    let id = insert(tx, &new, now).await?;
    let actor = Actor::system();
    let what = json!({
        "actor": actor.name, "role": actor.role, "category": new.category, "severity": new.severity,
    });
    change(tx, &id, "opened", &what, now).await?;
    append(tx, opened(&actor, &id, "drill", now)).await?;
    Ok(id)
}

async fn insert(tx: &mut Conn, new: &New<'_>, now: Timestamp) -> Result<String, StoreError> {
    let mut prefix = name_prefix(new.body, now);
    if new.drill {
        prefix.replace_range(..3, "DRL");
    }
    let number: i64 = db::query_scalar(
        "INSERT INTO incident_numbers (prefix, last) VALUES ($1, 1)
         ON CONFLICT (prefix) DO UPDATE SET last = incident_numbers.last + 1 RETURNING last",
    )
    .bind(&prefix)
    .fetch_one(&mut *tx)
    .await
    .map_err(query("number an incident"))?;
    let id = format!("{prefix}{number}");
    let mark = if new.drill { "【訓練】" } else { "" };
    db::query(
        "INSERT INTO incidents (id, category, severity, state, body, subject, opened_at, updated_at,
            first_evidence, last_evidence, findings, mode, version, work_version, title_ja, title_en, reason_json, drill,
            claimed)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $7, $8, $9, 0, $10, 1, 1, $11, $14, $12, $13, $3)",
    )
    .bind(&id)
    .bind(new.category.as_str())
    .bind(i64::from(new.severity.level()))
    .bind(new.state.as_str())
    .bind(new.body.map(BodyCode::as_str))
    .bind(new.subject)
    .bind(stored(now))
    .bind(stored(new.first))
    .bind(stored(new.last))
    .bind(new.mode)
    .bind(format!("{mark}{}", new.title.0))
    .bind(new.reason.to_string())
    .bind(i64::from(new.drill))
    .bind(format!("{mark}{}", new.title.1))
    .execute(&mut *tx)
    .await
    .map_err(query("open an incident"))?;
    Ok(id)
}

/// Findings leave for an incident of their own, which somebody has seen: it starts as received.
pub(super) async fn split_off(tx: &mut Conn, seen: Seen<'_>, findings: &[String]) -> Result<(), StoreError> {
    let facts = &seen.changes.facts;
    let failed = "split an incident";
    let (subject, title, mode): (String, String, String) =
        db::query_as("SELECT subject, title_ja, mode FROM incidents WHERE id = $1")
            .bind(&facts.id)
            .fetch_one(&mut *tx)
            .await
            .map_err(query(failed))?;
    let new = New {
        body: facts.body.as_ref(),
        category: facts.category,
        severity: facts.severity,
        state: IncidentState::Received,
        subject: &subject,
        first: seen.now,
        last: seen.now,
        drill: facts.drill,
        mode: &mode,
        title: (title.trim_start_matches("【訓練】"), title.trim_start_matches("【訓練】")),
        reason: &json!({ "rule": "split/1", "inputs": { "from": facts.id, "findings": findings } }),
    };
    let id = insert(tx, &new, seen.now).await?;
    for finding in findings {
        db::query("UPDATE findings SET incident = $2 WHERE incident = $1 AND id = $3")
            .bind(&facts.id)
            .bind(&id)
            .bind(finding)
            .execute(&mut *tx)
            .await
            .map_err(query(failed))?;
    }
    for incident in [&facts.id, &id] {
        db::query(
            "UPDATE incidents SET findings = (SELECT count(*) FROM findings WHERE incident = $1),
                first_evidence = (SELECT coalesce(min(time), incidents.first_evidence) FROM findings WHERE incident = $1),
                last_evidence = (SELECT coalesce(max(\"end\"), incidents.last_evidence) FROM findings WHERE incident = $1)
             WHERE id = $1",
        )
        .bind(incident)
        .execute(&mut *tx)
        .await
        .map_err(query(failed))?;
    }
    let Some(mut split) = load::facts(tx, &id, None).await? else { return Ok(()) };
    split.work =
        Work { acknowledged_at: Some(seen.now), split_from: Some(facts.id.clone()), ..Work::default() };
    save_work(tx, &split).await?;
    let what = json!({ "actor": seen.actor.name, "role": seen.actor.role, "split_from": facts.id });
    change(tx, &id, "opened", &what, seen.now).await?;
    let line = entry(seen.actor, &split, "open", seen.now);
    append(tx, Entry { from: String::new(), reason: facts.id.clone(), ..line }).await
}
