//! Telephone calls: who was called, whether they were reached, what was said. One that reached somebody tells the body.

use sekimori_wire::time::Timestamp;
use serde_json::json;

use crate::audit::Entry;
use crate::clock::stored;
use crate::store::audit::append;
use crate::store::db;
use crate::store::{Store, StoreError, query};
use crate::timing::duty::Mover;

/// A call, as whoever made it tells of it.
#[derive(Clone, Debug, PartialEq, Eq, serde::Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Call {
    /// Who was called.
    #[schema(min_length = 1, max_length = 200)]
    pub to: String,
    /// Somebody there answered. A call that reached nobody ends no time limit.
    pub reached: bool,
    /// What was said; needed where somebody answered.
    #[serde(default)]
    #[schema(max_length = 4000)]
    pub said: String,
    /// As what they were called; only a call to the body ends the time limit for telling it.
    #[serde(default)]
    pub role: CalledRole,
    /// When; now, if not given.
    #[serde(default)]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub at: Option<Timestamp>,
}

/// As what somebody was called.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize, utoipa::ToSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum CalledRole {
    /// The body's officer.
    #[default]
    BodyOfficer,
    /// The body's CISO.
    BodyCiso,
    /// Incident control.
    Control,
    /// The prefecture's CSIRT.
    PrefCsirt,
    /// Technical support.
    TechSupport,
    /// Somebody else: a vendor, a carrier, the police.
    Other,
}

impl CalledRole {
    /// Every one.
    pub const ALL: [Self; 6] =
        [Self::BodyOfficer, Self::BodyCiso, Self::Control, Self::PrefCsirt, Self::TechSupport, Self::Other];

    /// The stable word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::BodyOfficer => "body_officer",
            Self::BodyCiso => "body_ciso",
            Self::Control => "control",
            Self::PrefCsirt => "pref_csirt",
            Self::TechSupport => "tech_support",
            Self::Other => "other",
        }
    }

    /// From the stable word.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|one| one.as_str() == name)
    }
}

/// Longest name of whoever was called, in characters.
pub const TO_MAX: usize = 200;
/// Longest text of what was said, in characters.
pub const SAID_MAX: usize = 4000;

impl Call {
    /// What is missing or wrong, by name.
    pub fn missing(&self, now: Timestamp) -> Vec<&'static str> {
        let to = self.to.trim().is_empty() || self.to.chars().count() > TO_MAX;
        let said = self.said.chars().count() > SAID_MAX || (self.reached && self.said.trim().is_empty());
        let at = self.at.is_some_and(|at| at > now);
        [("to", to), ("said", said), ("at", at)]
            .into_iter()
            .filter(|(_, is)| *is)
            .map(|(name, _)| name)
            .collect()
    }
}

impl Store {
    /// Writes a call down, in the history of the incident and in the audit log.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn record_call(&self, incident: &str, call: &Call, by: Mover<'_>) -> Result<(), StoreError> {
        let failed = "write a call down";
        let mut tx = self.begin_changing().await?;
        let called = call.at.unwrap_or(by.now);
        if call.reached {
            db::query(
                "INSERT INTO notices (key, incident, kind, level, drill, role, place, contact, channel, address,
                                      subject, text, written_at, sent_at, read_at, read_by)
                 SELECT $1, id, 'opened', severity, drill, $6, 0, $3, 'telephone', '', '', '', $4, $4, $4, $5
                 FROM incidents WHERE id = $2
                 ON CONFLICT (key) DO NOTHING",
            )
            .bind(format!("{incident}/telephone/{}", by.now.nanos()))
            .bind(incident)
            .bind(&call.to)
            .bind(stored(called))
            .bind(by.account)
            .bind(call.role.as_str())
            .execute(&mut *tx)
            .await
            .map_err(query(failed))?;
        }
        let what = json!({
            "actor": by.account, "role": by.role.as_str(), "to": call.to, "as": call.role, "reached": call.reached,
            "said": call.said, "called_at": called,
        });
        db::query("INSERT INTO incident_changes (at, incident, kind, json) VALUES ($1, $2, 'call', $3)")
            .bind(stored(by.now))
            .bind(incident)
            .bind(what.to_string())
            .execute(&mut *tx)
            .await
            .map_err(query(failed))?;
        let version: i64 = db::query_scalar("SELECT work_version FROM incidents WHERE id = $1")
            .bind(incident)
            .fetch_one(&mut *tx)
            .await
            .map_err(query(failed))?;
        let entry = Entry {
            at: by.now,
            actor: by.account.to_owned(),
            role: by.role.as_str().to_owned(),
            incident: incident.to_owned(),
            action: if call.reached { "call:reached" } else { "call:not_reached" }.to_owned(),
            from: String::new(),
            to: String::new(),
            reason: format!("{}: {}", call.to, call.said),
            version,
        };
        append(&mut tx, entry).await?;
        tx.commit().await
    }
}
